use super::super::super::{Measured, WorkloadEvidence};
use super::*;
use crate::facts::SECOND as S;

/// What a device that restarted for these reasons, two seconds apart, is told to have done.
fn of(reasons: &[ResetReason]) -> Finding {
    with(reasons, Vec::new())
}

fn with(reasons: &[ResetReason], workloads: Vec<WorkloadEvidence>) -> Finding {
    let restarts = reasons.iter().zip(5..).map(|(reason, n)| RestartEvidence {
        at_ns: 2 * n * S,
        reason: Some(reason.clone()),
        last_words: None,
    });
    let telemetry = TelemetryEvidence { restarts: restarts.collect(), ..TelemetryEvidence::default() };
    finding(&Evidence {
        duration_ns: 60 * S,
        telemetry: Measured::Value(telemetry),
        workloads,
        ..Evidence::default()
    })
}

#[test]
fn each_watchdog_has_its_own_cause_and_its_own_option() {
    let interrupt = of(&[ResetReason::InterruptWatchdog]);
    assert!(interrupt.cause.contains("interrupt handler"), "{interrupt:?}");
    assert!(interrupt.change.contains("CONFIG_ESP_INT_WDT_TIMEOUT_MS"), "{interrupt:?}");
    assert!(
        !interrupt.change.contains("vTaskDelay") && !interrupt.change.contains("TASK_WDT"),
        "{interrupt:?}"
    );
    let task = of(&[ResetReason::TaskWatchdog]);
    assert!(task.cause.contains("without yielding"), "{task:?}");
    assert!(task.change.contains("CONFIG_ESP_TASK_WDT_TIMEOUT_S"), "{task:?}");
}

/// What restarts before the first workload or after the last one is on the console, and not in the count.
#[test]
fn restarts_are_counted_while_the_workloads_ran() {
    let said = of(&[ResetReason::Software, ResetReason::Software]).statement;
    assert_eq!(said, "The device restarted 2 times while the workloads ran (reset reason: SW 2).");
}

#[test]
fn each_of_several_reasons_has_its_cause_the_most_frequent_first() {
    let found = of(&[ResetReason::Brownout, ResetReason::Panic, ResetReason::Panic]);
    let want = "PANIC: the program crashed; BROWNOUT: the supply voltage drops";
    assert!(found.cause.starts_with(want), "{found:?}");
    assert!(found.change.starts_with("PANIC: read the backtrace"), "{found:?}");
    assert!(found.change.contains("; BROWNOUT: use a stronger supply"), "{found:?}");
    // What has one cause needs no name before it.
    let found = of(&[ResetReason::Panic, ResetReason::Panic]);
    assert_eq!(found.cause, "the program crashed");
    let found = of(&[ResetReason::Unknown, ResetReason::Other("ODD".into())]);
    assert!(found.cause.starts_with("the program restarts the device"), "{found:?}");
}

#[test]
fn a_device_that_woke_up_from_deep_sleep_did_nothing_wrong_unless_attempts_failed() {
    let asleep = |succeeded| {
        let w = WorkloadEvidence { attempts: 20, succeeded, ..WorkloadEvidence::default() };
        with(&[ResetReason::DeepSleep], vec![w])
    };
    assert_eq!((asleep(20).severity, asleep(19).severity), (Severity::Info, Severity::Error));
    assert!(asleep(19).cause.contains("woke up from deep sleep"), "{:?}", asleep(19));
    let beside = of(&[ResetReason::DeepSleep, ResetReason::Panic]);
    assert_eq!(beside.severity, Severity::Error);
}

#[test]
fn a_reset_by_the_usb_port_is_the_hosts() {
    let found = of(&[ResetReason::Usb]);
    assert!(found.cause.contains("USB-Serial-JTAG") && !found.change.contains("EN"), "{found:?}");
}
