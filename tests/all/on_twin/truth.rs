//! The truth table: each habit of a device program, and each way of a link, is given its name and no other.
//!
//! Rows whose anomalies are counted are in `anomalies` and `options`, reclaim times in `reclaim`, outages in `outages`.

use espstress_diagnose::FindingId;
use espstress_event::{AnomalyClass, AnomalyId};
use espstress_report::Report;

use super::{charged, of_class, on_twin, on_twins, said, says};

/// Short waits for a device that will not answer.
const IMPATIENT: &str = "--timeout-connect 1s --timeout-read 1s";

/// The device is charged with one of these at least.
#[track_caller]
fn charged_with_any(report: &Report, ids: &[AnomalyId]) {
    assert!(ids.iter().any(|id| charged(report, *id) > 0), "{:?}", of_class(report, AnomalyClass::Device));
}

/// What a device shows that has no place for another connection.
const NO_PLACE: [AnomalyId; 4] = [
    AnomalyId::SynUnanswered,
    AnomalyId::RstAfterHandshake,
    AnomalyId::RstAfterFin,
    AnomalyId::ClosedUnserved,
];

#[cfg(feature = "long")]
#[test]
fn one_client_at_a_time_is_a_blocked_application_and_missing_keep_alive_is_not_reclaimed() {
    // The search for the limit takes six seconds after the last silence.
    let times = "--baseline 1s --expect-reclaim 4s --watch-reclaim 14s";
    let serial = format!("half-open twin --persona serial {times}");
    let forgetful = format!("half-open twin --persona no-keepalive {times}");
    let Some([serial, forgetful]) = on_twins([&serial, &forgetful]) else { return };
    charged_with_any(&serial, &[AnomalyId::SynUnanswered]);
    says(&serial, &[FindingId::BlockedApplication]);
    charged_with_any(&forgetful, &NO_PLACE);
    says(&forgetful, &[FindingId::HalfOpenNotReclaimed]);
}

#[cfg(feature = "long")]
#[test]
fn sockets_that_are_forgotten_after_an_error_run_out() {
    let Some(report) = on_twin(&format!("head twin --persona leaky --close rst -c 4 -n 20 {IMPATIENT}"))
    else {
        return;
    };
    charged_with_any(&report, &NO_PLACE);
    says(&report, &[FindingId::SocketExhaustion]);
}

#[test]
fn memory_that_is_kept_of_every_request_leaks() {
    let Some(report) = on_twin("head twin --persona hoarder -n 300 --rate 40/s") else { return };
    assert_eq!(report.workloads[0].succeeded, 300);
    assert_eq!(of_class(&report, AnomalyClass::Device), Vec::<String>::new());
    says(&report, &[FindingId::HeapLeak]);
}

#[cfg(feature = "long")]
#[test]
fn memory_that_is_kept_for_long_enough_runs_low_and_is_still_a_leak() {
    let load = "head twin --persona hoarder:bytes=1KiB -n 130 --rate 16/s";
    let Some(report) = on_twin(&format!("{load} {IMPATIENT}")) else { return };
    let said = said(&report);
    assert!(
        said.contains(&FindingId::HeapLeak) && said.contains(&FindingId::HeapLow),
        "{:#?}",
        report.findings
    );
    assert_eq!(said.len(), 2, "{:#?}", report.findings);
}

#[cfg(feature = "long")]
#[test]
fn one_accept_a_second_is_an_overflow_however_long_clients_wait() {
    let Some(reports) = on_twins([
        "head twin --persona slow-accept -c 12 -n 24 --timeout-read 20s",
        "head twin --persona slow-accept -c 12 -n 24 --timeout-read 2s",
        "head twin --persona slow-accept -c 5 -n 15 --timeout-read 3s --no-probes",
    ]) else {
        return;
    };
    for report in &reports {
        says(report, &[FindingId::AcceptOverflow]);
    }
}

#[cfg(feature = "long")]
#[test]
fn a_program_that_hangs_is_blocked_in_any_workload() {
    let head = format!("head twin --persona frozen -c 4 -n 12 {IMPATIENT}");
    let rw = format!("rw twin --persona frozen -c 2 -n 8 {IMPATIENT}");
    let later = format!("head twin --persona frozen:requests=20 -c 4 -n 32 {IMPATIENT}");
    // The queue of handshakes is full before the first silence, or only after it.
    let half_open = "half-open twin --persona frozen --expect-reclaim 4s --watch-reclaim 14s";
    let sooner = format!("{half_open} --baseline 1s");
    let Some(reports) = on_twins([&head, &rw, &later, half_open, &sooner]) else { return };
    for report in &reports {
        says(report, &[FindingId::BlockedApplication]);
    }
}

#[cfg(feature = "long")]
#[test]
fn a_device_that_restarts_is_said_to_in_any_workload() {
    let Some(reports) = on_twins([
        "head twin --persona rebooting:every=3s -c 2 --rate 10/s -d 8s",
        "rw twin --persona rebooting:every=3s -c 2 --rate 10/s -d 8s",
        "outage twin --persona rebooting:every=5s --by none -d 12s",
    ]) else {
        return;
    };
    for report in &reports {
        says(report, &[FindingId::DeviceRebooted]);
    }
}

#[cfg(feature = "long")]
#[test]
fn a_link_that_saves_power_is_late_and_loses_nothing() {
    let Some(reports) = on_twins([
        "head twin --link min-modem -c 2 --rate 5/s -d 22s",
        "head twin --link max-modem -c 2 --rate 5/s -d 22s",
        "rw twin --link min-modem -c 2 --rate 4/s -d 22s",
    ]) else {
        return;
    };
    for report in &reports {
        says(report, &[FindingId::PowerSaveLatency]);
        assert_eq!(of_class(report, AnomalyClass::Device), Vec::<String>::new());
    }
}

#[cfg(feature = "long")]
#[test]
fn links_that_do_not_save_power_are_not_said_to() {
    let Some(reports) = on_twins([
        "head twin --link home -c 2 --rate 5/s -d 21s",
        "head twin --link busy -c 2 --rate 5/s -d 21s",
        "head twin --link roaming -c 2 --rate 5/s -d 21s",
        "head twin --link lossy -c 2 --rate 5/s -d 21s",
    ]) else {
        return;
    };
    for report in &reports {
        assert!(!said(report).contains(&FindingId::PowerSaveLatency), "{:#?}", report.findings);
    }
}

#[test]
fn of_a_robust_device_nothing_is_said_whatever_closes_and_whatever_the_protocol() {
    let closes = ["fin", "wait", "rst", "half"].map(|close| format!("head twin -c 4 -n 100 --close {close}"));
    let protocols = ["http", "framed", "raw", "line"].map(|p| format!("rw twin -c 4 -n 60 --protocol {p}"));
    for runs in [closes, protocols] {
        let Some(reports) = on_twins(runs.each_ref().map(String::as_str)) else { return };
        for (run, report) in runs.iter().zip(&reports) {
            println!("{run}");
            super::clean(report);
            says(report, &[]);
        }
    }
}

#[cfg(feature = "long")]
#[test]
fn of_a_robust_device_whose_peers_vanish_nothing_is_said() {
    let Some(reports) = on_twins([
        "head twin -n 5 --close vanish",
        "half-open twin -c 5 --baseline 1s",
        "half-open twin --baseline 1s",
    ]) else {
        return;
    };
    for report in &reports {
        assert_eq!(of_class(report, AnomalyClass::Device), Vec::<String>::new());
        says(report, &[]);
    }
    // Beyond the capacity SYNs stay unanswered, as expected: none of them is put down to the path, although the host
    // repeats itself on the connections that it silenced. A machine that stalls hears of the exhaustion too late.
    let to_exhaustion = &reports[2];
    if !to_exhaustion.findings.iter().any(|f| f.id == FindingId::HostLimited) {
        let path = of_class(to_exhaustion, AnomalyClass::Path);
        assert!(!path.iter().any(|row| row.contains(AnomalyId::SynUnanswered.name())), "{path:?}");
    }
}

#[cfg(feature = "long")]
#[test]
fn of_a_robust_device_nothing_is_said_through_outages_of_each_kind() {
    let Some(reports) = on_twins([
        "outage twin --by none -d 12s",
        "outage twin --by link --cycles 3 --every 4s --outage 500ms-2s",
        "outage twin --by device --cycles 3 --every 4s --outage 500ms-2s",
        "outage twin --by filter --cycles 3 --every 4s --outage 500ms-2s",
    ]) else {
        return;
    };
    for report in &reports {
        says(report, &[]);
    }
}
