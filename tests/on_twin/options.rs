//! What the options of the stack and the size of the heap do to a run.

use espstress::event::{AnomalyId, Failure};
use espstress::report::Reading;

use super::{charged, on_twin};

/// Ten ports, two connections a second: a port comes round after five seconds.
const ROTATION: &str = "--close wait --rate 2/s -c 4 --local-ports 40000-40009 --timeout-connect 1s";

#[test]
fn ports_that_come_round_within_time_wait_meet_the_old_connection() {
    let Some(report) = on_twin(&format!("head twin:std {ROTATION} -d 10s")) else { return };
    let workload = &report.workloads[0];
    let timeouts = workload.failures.get(Failure::ConnectTimeout);
    // The first round is served, the second is not.
    assert_eq!((workload.succeeded, workload.succeeded + timeouts), (10, workload.attempts));
    assert_eq!(charged(&report, AnomalyId::TimewaitCollision), timeouts);
}

#[test]
fn ports_that_come_round_after_time_wait_are_served() {
    // Thirty ports at two a second: fifteen seconds, and TIME_WAIT is twelve.
    let wide = ROTATION.replace("40000-40009", "40000-40029");
    let Some(report) = on_twin(&format!("head twin:expr {wide} -d 25s")) else { return };
    let workload = &report.workloads[0];
    assert!(workload.succeeded >= workload.attempts * 9 / 10, "{:?}", workload.failures);
}

#[test]
fn a_fin_wait_timeout_is_a_rst_to_a_host_that_closes_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sdkconfig");
    std::fs::write(&file, "CONFIG_LWIP_TCP_FIN_WAIT_TIMEOUT=2000\n").unwrap();
    let arguments = format!("head twin:{} --close wait --close-delay 3s -c 4 -n 8", file.display());
    let Some(report) = on_twin(&arguments) else { return };
    assert_eq!(charged(&report, AnomalyId::RstAfterFin), 8, "{:?}", report.anomalies);
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

#[test]
fn enforced_limits_recycle_time_wait_before_a_port_comes_round() {
    // Forty ports at five a second: eight seconds, in which forty connections pass sixteen control blocks.
    let wide = "--close wait --rate 5/s -c 4 --local-ports 40000-40039 --timeout-connect 1s";
    let Some(report) = on_twin(&format!("head twin {wide} -d 12s")) else { return };
    super::clean(&report);
}
