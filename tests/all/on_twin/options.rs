//! What the options of the stack and the size of the heap do to a run.

use espstress_diagnose::FindingId;
use espstress_event::{AnomalyId, Failure};
use espstress_report::{Reading, Report};

use super::{charged, on_twin, says};

/// Forty ports, three connections a second: a port comes round after 13 s, within a TIME_WAIT of 120 s and after one
/// of 12 s.
const ROTATION: &str = "--close wait --rate 3/s -c 4 --local-ports 40000-40039 --timeout-connect 1s -d 26s";

#[cfg(feature = "long")]
#[test]
fn the_same_rotation_of_ports_meets_time_wait_with_the_standard_options_and_not_with_the_experimental_ones() {
    let beside = std::thread::spawn(|| on_twin(&format!("head twin:expr {ROTATION}")));
    let standard = on_twin(&format!("head twin:std {ROTATION}"));
    let experimental = beside.join().unwrap();
    let (Some(standard), Some(experimental)) = (standard, experimental) else { return };
    let timeouts = |report: &Report| report.workloads[0].failures.get(Failure::ConnectTimeout);
    // The first round is served, the second is not.
    let workload = &standard.workloads[0];
    assert_eq!((workload.succeeded, workload.succeeded + timeouts(&standard)), (40, workload.attempts));
    assert_eq!(charged(&standard, AnomalyId::TimewaitCollision), timeouts(&standard));
    says(&standard, &[FindingId::TimewaitPortReuse]);
    let few = timeouts(&experimental);
    assert!(few * 10 <= timeouts(&standard), "{few} against {}", timeouts(&standard));
}

#[test]
fn a_fin_wait_timeout_is_a_rst_to_a_host_that_closes_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sdkconfig");
    std::fs::write(&file, "CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT=2000\n").unwrap();
    let arguments = format!("head twin:{} --close wait --close-delay 3s -c 4 -n 8", file.display());
    let Some(report) = on_twin(&arguments) else { return };
    assert_eq!(charged(&report, AnomalyId::RstAfterFin), 8, "{:?}", report.anomalies);
    says(&report, &[FindingId::FinWaitTimeout]);
}

#[test]
fn time_wait_eats_the_heap_where_control_blocks_are_not_limited() {
    let Some(report) = on_twin("head twin:std --close wait -c 4 --rate 80/s -d 4s") else { return };
    let telemetry = report.telemetry.unwrap();
    let heap = &telemetry.summary[&Reading::HeapFreeBytes];
    assert!(heap.min < heap.first * 0.7, "{heap:?}");
}

#[test]
fn a_heap_that_is_too_small_fails_connections_and_not_the_device() {
    let Some(report) =
        on_twin("head twin:std --heap 20KiB -c 4 -n 40 --timeout-connect 1s --timeout-read 1s")
    else {
        return;
    };
    let telemetry = report.telemetry.unwrap();
    assert_eq!(telemetry.reboots.unwrap_or(0), 0);
    assert!(telemetry.samples > 0);
}

#[cfg(feature = "long")]
#[test]
fn enforced_limits_recycle_time_wait_before_a_port_comes_round() {
    // Forty ports at five a second: eight seconds, in which forty connections pass sixteen control blocks.
    let wide = "--close wait --rate 5/s -c 4 --local-ports 40000-40039 --timeout-connect 1s";
    let Some(report) = on_twin(&format!("head twin {wide} -d 12s")) else { return };
    super::clean(&report);
    says(&report, &[]);
}

#[cfg(feature = "long")]
#[test]
fn a_heap_that_time_wait_has_filled_is_low_and_the_only_cause() {
    // Some 400 connections fill it, and nothing is served any more.
    let flat_out = "head twin:std --close wait -c 4 -n 420 -d 60s --timeout-connect 1s --timeout-read 1s";
    let Some(report) = on_twin(flat_out) else { return };
    assert!(report.workloads[0].succeeded >= 300, "{:?}", report.workloads[0].failures);
    says(&report, &[FindingId::HeapLow]);
}
