//! A device that dials in: in time, late, and not again.

use espstress_diagnose::*;
use espstress_event::Failure;

use crate::support::*;

#[test]
fn recovery_within_back_off_is_in_time_and_beyond_it_slow() {
    let case = |recovery| {
        let mut w = outage(1);
        w.outages.as_mut().unwrap().rows[0] = EndedOutage {
            outage: OutageRow {
                planned_start_ns: Some(5 * S),
                planned_length_ns: Some(10 * S),
                ..seen(OutageOrigin::Made, 5 * S, 10 * S)
            },
            recovery,
        };
        Case::clean(w).findings().iter().map(|f| (f.id, f.severity)).collect::<Vec<_>>()
    };
    assert_eq!(case(Recovery::After(23 * S)), []);
    assert_eq!(case(Recovery::CutOff), []);
    assert_eq!(case(Recovery::After(24 * S)), [(FindingId::SlowRecovery, Severity::Warning)]);
    assert_eq!(case(Recovery::NotWithin(60 * S)), [(FindingId::SlowRecovery, Severity::Error)]);
}

/// A device that had dialled in and was away for `away` seconds when the run of 60 s ended.
fn dialled_and_away(away: u64) -> Case {
    let mut w = outage(1);
    let outages = w.outages.as_mut().unwrap();
    (outages.made, outages.natural, outages.quiet_ns) = (0, 1, 3 * S);
    outages.rows[0] = EndedOutage {
        outage: OutageRow {
            origin: OutageOrigin::Natural,
            device: Some(1),
            seen_start_ns: Some((60 - away) * S),
            ..OutageRow::default()
        },
        recovery: Recovery::NotBack(away * S),
    };
    Case::clean(w)
}

#[test]
fn a_device_that_does_not_dial_in_again_is_gone_once_it_had_its_time() {
    fn none<T>() -> Measured<T> {
        Measured::Unavailable { reason: "switched off".into() }
    }
    let unasked = |away| {
        let probes = ProbesEvidence { icmp: none(), tcp: none(), telemetry: none() };
        dialled_and_away(away).with(|e| (e.probes, e.telemetry) = (probes, none())).ids()
    };
    // Three seconds of quiet, and ten for the recovery.
    assert_eq!(unasked(12), []);
    assert_eq!(unasked(13), [FindingId::DeviceUnreachable]);
    // Its stack answers: its program does not dial.
    let case = dialled_and_away(30);
    let found: Vec<_> = case.findings().iter().map(|f| (f.id, f.severity)).collect();
    assert_eq!(found, [(FindingId::SlowRecovery, Severity::Error)]);
}

#[test]
fn what_made_outages_cost_the_workloads_beside_them_is_held_against_nobody() {
    let made = outage(89);
    let paced = fails_beside(head(8_974), &[(Failure::ConnectTimeout, 26)]);
    let paced = WorkloadEvidence { at_once: 2, ..paced };
    let standing = fails_beside(rw(8_937), &[(Failure::ReadTimeout, 63)]);
    let standing = WorkloadEvidence { at_once: 2, ..standing };
    let case = Case::clean(paced).with(|e| {
        let probe = || Measured::Value(probe_through(&made));
        e.probes = ProbesEvidence { icmp: probe(), tcp: probe(), telemetry: probe() };
        e.workloads.extend([standing, made.clone()]);
    });
    assert_eq!(case.ids(), []);
}
