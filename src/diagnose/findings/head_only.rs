//! A device of which only HEAD was asked, and that answered none: whether its program hangs, or only does not know HEAD,
//! cannot be told from outside. What is said of it says so.

use super::super::facts;
use super::super::{Evidence, Finding};

/// The same finding in words that leave it open.
pub(super) fn left_open(e: &Evidence<'_>, finding: Finding) -> Finding {
    if facts::exchanges(e).next().is_none() || !facts::exchanges(e).all(|w| w.asks.head()) {
        return finding;
    }
    Finding {
        statement: "The device accepts connections and requests, but answers none in time; only HEAD was tried."
            .into(),
        cause: "the program has no handler for HEAD, takes longer than the client waits, or answers nothing at all: a \
                deadlock, an endless loop, or a blocking call without a timeout"
            .into(),
        change:
            "test with --method GET and a longer --timeout-read to tell these apart. If GET gets no response either, set SO_RCVTIMEO \
                 and SO_SNDTIMEO, and subscribe the serving task to the watchdog: esp_task_wdt_add(NULL), \
                 CONFIG_ESP_TASK_WDT_PANIC=y"
                .into(),
        ..finding
    }
}
