//! The central rows of docs/stacks.md for smoltcp: what a well-behaved device does there, and what of each habit is to
//! be seen.

use espstress_diagnose::FindingId;
use espstress_event::{AnomalyClass, AnomalyId, Failure};
use espstress_report::Report;

use super::{charged, charged_in, clean, of_class, on_twin, said, says};
use crate::common::{espstress_with, failure};

/// A run on smoltcp.
#[track_caller]
fn on_smoltcp(arguments: &str) -> Option<Report> {
    on_twin(&format!("{arguments} --stack smoltcp"))
}

fn failed(report: &Report, failure: Failure) -> u64 {
    report.workloads[0].failures.get(failure)
}

#[test]
fn the_report_says_which_stack_it_was_and_which_options_have_no_effect_there() {
    let Some(report) = on_smoltcp("head twin -n 4") else { return };
    let stack = report.target.stack.unwrap();
    assert!(stack.starts_with("smoltcp 0.13") && stack.contains("(embassy-net 0.9"), "{stack}");
    assert_eq!(report.target.capacity, Some(5));
    assert_eq!(report.target.options["BACKLOG"], "none");
    assert!(!report.target.options.keys().any(|key| key.contains("LWIP")), "{:?}", report.target.options);
    let without = report.target.options_without_effect;
    assert!(without.iter().any(|one| one == "CONFIG_LWIP_TCP_MSL=60000"), "{without:?}");
    let Some(report) = on_twin("head twin -n 4") else { return };
    assert!(report.target.stack.unwrap().starts_with("lwIP"), "nobody asked for another one");
}

#[test]
fn options_of_lwip_on_smoltcp_are_a_usage_error_that_says_why() {
    for target in ["twin:std", "twin:expr", "twin:my.sdkconfig"] {
        let (said, status) = failure(&espstress_with(&format!("head {target} -n 1 --stack smoltcp")));
        assert_eq!(status, 2, "{said}");
        assert!(said.contains(target) && said.contains("options of lwIP"), "{said}");
    }
    let (said, status) = failure(&espstress_with("head twin -n 1 --stack uip"));
    assert_eq!((status, said.contains("lwip, smoltcp")), (2, true), "{said}");
    let (said, status) = failure(&espstress_with("head sim -n 1 --stack smoltcp"));
    assert_eq!((status, said.contains("--stack works only with twin")), (2, true), "{said}");
}

#[cfg(feature = "long")]
#[test]
fn a_robust_device_on_smoltcp_is_charged_with_nothing_within_its_capacity() {
    for (seed, link) in [(1, "clean"), (2, "home")] {
        for run in ["head twin -c 4 -n 400", "rw twin -c 4 -n 400"] {
            let Some(report) = on_smoltcp(&format!("{run} --link {link} --seed {seed}")) else { return };
            clean(&report);
            says(&report, &[]);
        }
    }
}

#[test]
fn closing_first_costs_smoltcp_neither_listeners_nor_its_last_ack() {
    for run in ["rw twin -c 4 -n 200 --protocol raw", "head twin -c 4 -n 200 --close wait"] {
        let Some(report) = on_smoltcp(run) else { return };
        clean(&report);
        says(&report, &[]);
    }
}

#[cfg(feature = "long")]
#[test]
fn outages_leave_a_robust_device_on_smoltcp_blameless() {
    let Some(report) = on_smoltcp("outage twin --cycles 2 --outage 1s --every 4s") else { return };
    clean(&report);
    assert_eq!(report.workloads[0].outages.as_ref().map(Vec::len), Some(2));
}

#[cfg(feature = "long")]
#[test]
fn vanished_peers_cost_smoltcp_its_sockets_until_keep_alive_gives_up() {
    let Some(report) = on_smoltcp("half-open twin --watch-reclaim 25s") else { return };
    let figures = report.workloads[0].half_open.as_ref().unwrap();
    assert_eq!(figures.capacity, Some(5), "{figures:?}");
    // 10 s idle and three probes of 3 s, from the last sign of life.
    let reclaimed = figures.first_reclaimed_s.unwrap();
    assert!((18.0..24.0).contains(&reclaimed), "{figures:?}");
    // A full device answers at once.
    assert!(failed(&report, Failure::ConnectRefused) > 0);
    assert_eq!(failed(&report, Failure::ConnectTimeout), 0, "{:?}", report.workloads[0].failures);
    assert_eq!(of_class(&report, AnomalyClass::Device), Vec::<String>::new());
    says(&report, &[]);
}

#[test]
fn beyond_its_pool_smoltcp_refuses_where_lwip_lets_wait() {
    let Some(report) = on_smoltcp("head twin -c 32 -n 400") else { return };
    let refused = failed(&report, Failure::ConnectRefused);
    assert!(refused > 0);
    assert_eq!(report.workloads[0].succeeded + refused, 400, "{:?}", report.workloads[0].failures);
}

#[test]
fn unread_bytes_at_the_close_are_a_rst_on_smoltcp_too() {
    let Some(report) = on_smoltcp("head twin -c 4 -n 300 --persona unread-close") else { return };
    assert_eq!(report.workloads[0].succeeded, 300, "the client sees nothing of it");
    assert_eq!(charged_in(&report, "head", AnomalyId::AbortiveClose), 300, "{:?}", report.anomalies);
    says(&report, &[FindingId::AbortiveClose]);
}

#[test]
fn smoltcp_takes_data_after_a_close_without_a_word() {
    let Some(report) = on_smoltcp("head twin -c 4 -n 40 --persona early-close --request-delay 300ms") else {
        return;
    };
    assert_eq!(report.workloads[0].succeeded, 40, "{:?}", report.workloads[0].failures);
    // Not `late_rst`: where a segment comes again, its socket may have left TIME_WAIT for the next connection.
    for rst in [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin] {
        assert_eq!(charged(&report, rst), 0, "{:?}", report.anomalies);
    }
}

#[cfg(feature = "long")]
#[test]
fn a_deaf_device_on_smoltcp_closes_its_window_to_small_segments_as_well() {
    for load in ["-n 2 --size 16KiB --timeout-write 3s", "-n 200 --size 200 --window 64"] {
        let Some(report) = on_smoltcp(&format!("rw twin -c 1 {load} --persona deaf --timeout-read 3s"))
        else {
            return;
        };
        assert!(charged_in(&report, "rw", AnomalyId::ZeroWindowStall) >= 1, "{load}: {:?}", report.anomalies);
        // There is no mailbox that small segments could fill before the window does.
        assert_eq!(charged(&report, AnomalyId::NoAckToData), 0, "{load}: {:?}", report.anomalies);
        says(&report, &[FindingId::BlockedApplication]);
    }
}

#[cfg(feature = "long")]
#[test]
fn sockets_that_do_not_come_back_end_in_refusals_on_smoltcp() {
    let timeouts = "--timeout-connect 1s --timeout-read 1s";
    for load in ["-n 12 --persona half-closer", "-n 60 --persona leaky --close rst"] {
        let Some(report) = on_smoltcp(&format!("head twin -c 4 {load} {timeouts}")) else { return };
        assert!(charged_in(&report, "head", AnomalyId::SynRefused) >= 1, "{load}: {:?}", report.anomalies);
        assert_eq!(charged(&report, AnomalyId::SynUnanswered), 0, "{load}: {:?}", report.anomalies);
        says(&report, &[FindingId::SocketExhaustion]);
    }
}

#[cfg(feature = "long")]
#[test]
fn a_frozen_device_on_smoltcp_answers_syns_until_its_pool_is_full() {
    let load = "-c 4 -n 16 --timeout-connect 1s --timeout-read 1s";
    let Some(report) = on_smoltcp(&format!("head twin {load} --persona frozen")) else { return };
    assert_eq!(report.workloads[0].succeeded, 0);
    assert!(failed(&report, Failure::ReadTimeout) >= 4 && failed(&report, Failure::ConnectRefused) >= 1);
    says(&report, &[FindingId::BlockedApplication]);
}

#[cfg(feature = "long")]
#[test]
fn restarts_are_found_on_smoltcp() {
    let load = "-c 2 --rate 10/s -d 12s --timeout-connect 1s --timeout-read 1s";
    let Some(report) = on_smoltcp(&format!("head twin {load} --persona rebooting")) else { return };
    assert!(said(&report).contains(&FindingId::DeviceRebooted), "{:?}", report.findings);
}
