use super::super::super::{DeviceEvidence, Resolved, WorkloadEvidence};
use super::super::diagnose;
use super::*;
use crate::facts::SECOND as S;
use crate::{Accounted, Measured, ProbeEvidence, ProbesEvidence, Silence};
use espstress_event::{ConsoleEvent, Episode, Failure, FailureCounts};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn says(at_s: u64, address: &str) -> ConsoleEvent {
    ConsoleEvent {
        at_ns: at_s * S,
        device_ms: None,
        said: Said::Address { ip: ip(address) },
        line: format!("I (9) esp_netif_handlers: sta ip: {address}, mask: 255.255.255.0, gw: 192.168.1.1"),
        around: Vec::new(),
    }
}

/// Served at 192.168.1.57 until 10 s; from then until 20 s every connection times out, and so does ping.
fn run<'a>(console: &'a [ConsoleEvent], resolved: Option<&str>) -> Evidence<'a> {
    let mut failures = FailureCounts::default();
    failures.add(Failure::ConnectTimeout, 10);
    let served = Episode { from_ns: S, to_ns: 10 * S, attempts: 90, succeeded: 90, ..Episode::default() };
    let failed =
        Episode { from_ns: 11 * S, to_ns: 20 * S, attempts: 10, succeeded: 0, failures: failures.clone() };
    let silence = Silence { from_ns: 10 * S, to_ns: None, lost: 10 };
    let ping = ProbeEvidence { sent: 20, answered: 10, silences: vec![silence], ..ProbeEvidence::default() };
    let off = || Measured::Unavailable { reason: "off".into() };
    Evidence {
        duration_ns: 21 * S,
        workloads: vec![WorkloadEvidence {
            name: "head".into(),
            start_ns: S,
            end_ns: 20 * S,
            attempts: 100,
            succeeded: 90,
            failures,
            episodes: vec![served, failed],
            ..WorkloadEvidence::default()
        }],
        probes: ProbesEvidence { icmp: Measured::Value(ping), tcp: off(), telemetry: off() },
        console: Some(console),
        device: DeviceEvidence {
            place: Some(Place {
                address: ip("192.168.1.57"),
                resolved: resolved
                    .map(|to| Resolved { name: "kitchen.local".into(), addresses: vec![ip(to)] }),
            }),
            ..DeviceEvidence::default()
        },
        ..Evidence::default()
    }
}

#[test]
fn a_new_address_on_the_console_explains_what_fails_at_the_old_one() {
    let console = [says(0, "192.168.1.57"), says(12, "192.168.1.61")];
    let judged = diagnose(&run(&console, None));
    let ids: Vec<FindingId> = judged.findings.iter().map(|f| f.id).collect();
    assert_eq!(ids, [FindingId::AddressChanged], "{:?}", judged.findings);
    let found = &judged.findings[0];
    assert!(found.statement.contains("192.168.1.61 instead of 192.168.1.57"), "{found:?}");
    assert!(found.evidence[0].contains("sta ip: 192.168.1.61"), "{found:?}");
    assert!(judged.account.rows.iter().all(|row| row.accounted != Accounted::Unexplained));
    assert_eq!(judged.account.rows[0].by.as_deref(), Some("address_changed"));
}

#[test]
fn a_name_that_stands_for_another_address_at_the_end_is_told_without_a_console() {
    let judged = diagnose(&run(&[], Some("192.168.1.61")));
    assert_eq!(judged.findings[0].id, FindingId::AddressChanged, "{:?}", judged.findings);
    assert!(judged.findings[0].evidence[0].starts_with("kitchen.local resolved to 192.168.1.57"));
    assert_eq!(judged.account.unexplained(), 0);
    let same = diagnose(&run(&[], Some("192.168.1.57")));
    assert!(same.findings.iter().all(|f| f.id != FindingId::AddressChanged));
}

#[test]
fn an_address_that_was_never_the_runs_or_that_came_back_is_no_change() {
    let never = |console: &[ConsoleEvent]| {
        assert_eq!(find(&run(console, None)), None, "{console:?}");
    };
    // Behind a forwarded port, and before the run.
    never(&[says(0, "10.0.2.15"), says(12, "10.0.2.16")]);
    never(&[says(12, "10.0.2.15")]);
    never(&[says(0, "192.168.1.61")]);
    never(&[says(12, "192.168.1.61"), says(13, "192.168.1.57")]);
    never(&[says(12, "192.168.1.57")]);
    // Still served at the old one.
    never(&[says(5, "192.168.1.61")]);
}
