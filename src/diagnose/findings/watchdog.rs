//! What each watchdog waits for, in the words of `device_rebooted` and `watchdog`: two findings of one restart say the same.

use espstress_event::{ResetReason, Watchdog};

/// The watchdog whose reset has this reason.
pub(super) const fn of_reason(reason: &ResetReason) -> Option<Watchdog> {
    match reason {
        ResetReason::InterruptWatchdog => Some(Watchdog::Interrupt),
        ResetReason::TaskWatchdog => Some(Watchdog::Task),
        ResetReason::Watchdog => Some(Watchdog::Hardware),
        _ => None,
    }
}

/// In words.
pub(super) const fn name(which: Watchdog) -> &'static str {
    match which {
        Watchdog::Task => "the task watchdog",
        Watchdog::Interrupt => "the interrupt watchdog",
        Watchdog::Soft => "the software watchdog",
        Watchdog::Hardware => "a hardware watchdog",
    }
}

/// Why it ran out.
pub(super) const fn cause(which: Watchdog) -> &'static str {
    match which {
        Watchdog::Interrupt => {
            "an interrupt handler, or code with interrupts disabled, takes too long: a critical section, or a write to the \
             flash"
        }
        Watchdog::Task => {
            "a task computes or polls without yielding, so that lower tasks, such as the idle task, starve"
        }
        Watchdog::Soft => {
            "the program does not return to the system for seconds: a long loop() or a busy wait"
        }
        // The name is the same on both families.
        Watchdog::Hardware => {
            "the program holds the processor for seconds: on an ESP8266 in a long loop() or a busy wait; on an ESP32 it \
             hangs in its start-up, in its panic handler or with interrupts disabled"
        }
    }
}

/// What to change.
pub(super) const fn change(which: Watchdog) -> &'static str {
    match which {
        Watchdog::Interrupt => {
            "keep interrupt handlers and critical sections short, without waits, logs and flash writes in them; raising \
             CONFIG_ESP_INT_WDT_TIMEOUT_MS only hides the problem"
        }
        Watchdog::Task => {
            "call vTaskDelay(1) in long loops and don't block in the tcpip or event task; raising \
             CONFIG_ESP_TASK_WDT_TIMEOUT_S only hides the problem"
        }
        Watchdog::Soft => "call yield() or delay(1) in long loops",
        Watchdog::Hardware => {
            "ESP8266: call yield() or delay(1) in long loops; ESP32: look at the last lines on the console before the \
             restart"
        }
    }
}
