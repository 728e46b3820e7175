//! What a line means: one small total parser a subject, each with its table of examples.
//!
//! A form is clear or it is nothing: a panic handler's words stand at the beginning of a line that no log library framed, so
//! that a program that prints them as its own text, or logs a page that has them in it, does not crash by it.

mod boot;
mod crash;
mod errors;
mod heap;
mod wifi;

use espstress_event::{PowerSave, Said};

use super::log_line::LogLine;

pub(crate) use boot::SOFT_REBOOT;
pub(crate) use crash::{MOST_FRAMES, USER_EXCEPTION, glued};
pub(crate) use errors::is_want_of_memory as is_no_memory;

/// What a line means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// Something happened.
    Said(Said),
    /// A panic, whose message is the next line.
    Panic(Said),
    /// A measurement of the device's own.
    Sample(Sample),
    /// More about what was told just before.
    More(More),
}

/// What the device measured of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    pub(crate) heap_free: Option<u64>,
    /// Whether that is the heap of a garbage collector.
    pub(crate) collected: bool,
    pub(crate) heap_least: Option<u64>,
    pub(crate) heap_block: Option<u64>,
    pub(crate) rssi_dbm: Option<i32>,
    pub(crate) power_save: Option<PowerSave>,
}

/// More about a crash, a watchdog or a lost access point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// Addresses of calls, the innermost first.
    Backtrace(Vec<u32>),
    /// One more of them, on a line of its own.
    Frame(u32),
    /// Registers or memory: a panic handler is at work.
    Dump,
    /// The task whose stack was too small.
    StackOf(String),
    /// The task in which it happened.
    InTask(String),
    /// A task that did not reset its watchdog.
    Starved(String),
    /// The task that ran meanwhile.
    Running(String),
    /// The watchdog ends the program.
    Aborting,
    /// The panic handler restarts the device.
    Rebooting,
    /// The station runs again: what is lost from now on is another loss.
    Joined,
}

/// What a line means; `None` for the many that mean nothing here.
pub(crate) fn meaning(line: &LogLine<'_>) -> Option<Meaning> {
    boot::read(line)
        .or_else(|| crash::read(line))
        .or_else(|| wifi::read(line))
        .or_else(|| heap::read(line))
        .or_else(|| errors::read(line))
}

/// A hexadecimal address, `0x` before it.
fn address(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Option<Meaning> {
        meaning(&LogLine::read(text))
    }

    #[test]
    fn a_line_that_only_looks_like_an_event_is_none() {
        let lines = [
            "I (5123) app: <p>abort() was called at PC 0x400d1234 on core 0</p>",
            "I (5123) app: abort() was called at PC 0x400d1234 on core 0",
            "how to debug: abort() was called at PC 0x400d1234 on core 0",
            "abort() is a function of the C library",
            "abort()",
            "I (9) app: Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.",
            "Guru Meditation Error",
            "I (9) app: Free Heap",
            "Free Heap is shown below",
            "I (9) app: free: 12 of 30 lockers",
            "free: 7",
            "I (9) app: heap of stones=4000",
            "rst:0x1",
            "the banner says rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
            "I (9) app: rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
            "I (9) app: Brownout detector was triggered",
            "Brownout detector was triggered last year",
            "Task watchdog got triggered",
            "I (9) help: ENOMEM means that memory ran out",
            "I (9) app: errno 12",
            "reason: 200",
            "I (9) app: state: run -> init (c800)",
            "<h1>Exception (28):</h1>",
            "Exception (28): see the manual",
            "assert failed: no such word",
            "CORRUPT HEAP: what to do",
            "I (9) main: OSError: [Errno 12] ENOMEM",
            "he said OSError: [Errno 12] ENOMEM",
            "I (9) shop: disconnected the reason: 42 customers",
        ];
        for line in lines {
            assert_eq!(of(line), None, "{line}");
        }
    }

    /// What frameworks print every day, and what resembles an event in their words.
    #[test]
    fn the_everyday_lines_of_frameworks_mean_nothing() {
        let lines = [
            "I (345) heap_init: At 3FFB2EC8 len 0002D138 (180 KiB): DRAM",
            "I (26) boot: Enabling RNG early entropy source...",
            "I (350) spi_flash: detected chip: generic",
            "I (2345) wifi:AP's beacon interval = 102400 us, DTIM period = 1",
            "I (2345) wifi:<ba-add>idx:0 (ifx:0, aa:bb:cc:dd:ee:ff), tid:0, ssn:0, winSize:64",
            "W (2345) wifi station: retry to connect to the AP",
            "I (1234) MQTT_EXAMPLE: MQTT_EVENT_DISCONNECTED",
            "I (1234) NimBLE_BLE_PRPH: disconnect; reason=531",
            "I (1000) app_update: Boot ok, cancelling rollback",
            "I (5) Free heap after init: 123456",
            "I (5) cpu_start: Pro cpu start user code",
            "E (99) sdmmc: no memory card inserted",
            "Rebooting in 3 seconds...",
            "E (30303) task_wdt: esp_task_wdt_reset(763): task not found",
            "E (5555) esp-tls: couldn't get hostname for :x: getaddrinfo() returns 202, addrinfo=0x0",
            "E (5555) i2c: i2c_master_transmit(1086): ESP_ERR_TIMEOUT",
            "E (5555) nvs: nvs_set_blob failed: ESP_ERR_NVS_NOT_ENOUGH_SPACE",
            "ESP_ERROR_CHECK failed: esp_err_t 0x103 (ESP_ERR_INVALID_STATE) at 0x400d5b7a",
            "[00:00:10.123,000] <inf> net_dhcpv4: Received: 192.168.1.5",
            "[    0.000000] Kernel panic - not syncing: Fatal exception",
            "00:00:05.123 WIF: Connected",
            "wdt reset",
            "Stack smashing protect failure! is explained in chapter 4",
            "Undefined behavior of type theories, chapter 4",
            "Undefined behavior of type ",
            "Task stack [httpd] usage: 40 %",
            "User exception handlers: 3",
            "thread 'main' has ended at src/main.rs:10:5",
            "thread 'main' panicked at the disco",
            "memory allocation of 12 bytes failed to impress",
            "0x3ffb4ef0: 0x00000000 0x00000000",
            "0xdeadbeef00",
            "Exception 'Load access fault' is the usual one",
            "Core 0 is idle",
            "Heap: 51",
        ];
        for line in lines {
            assert_eq!(of(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_means_something_or_nothing(text in "\\PC{0,120}") {
            let _ = of(&text);
        }

        #[test]
        fn any_damage_to_a_known_line_is_survived(which in 0_usize..KNOWN.len(), at in 0_usize..120, with in "\\PC{0,3}") {
            let mut text = KNOWN[which].to_owned();
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.insert_str(at, &with);
            let _ = of(&text);
            let _ = of(&text[..at]);
            let _ = of(&text[at..]);
        }
    }

    const KNOWN: [&str; 14] = [
        "rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
        " ets Jan  8 2013,rst cause:2, boot mode:(3,6)",
        "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.",
        "Backtrace: 0x400d1231:0x3ffb5c50 0x400d1234:0x3ffb5c70 |<-CORRUPTED",
        "***ERROR*** A stack overflow in task httpd has been detected.",
        "E (10293) task_wdt:  - IDLE (CPU 0)",
        "I (4567) wifi:state: run -> init (c800)",
        "I (4567) wifi:security: WPA2-PSK, phy: bgn, rssi: -50",
        "I (4567) esp_netif_handlers: sta ip: 192.168.1.5, mask: 255.255.255.0, gw: 192.168.1.1",
        "W (98) httpd: httpd_accept_conn: error in accept (23)",
        "E (98) esp-tls-mbedtls: mbedtls_ssl_handshake returned -0x7F00",
        "Free Heap: 123456 bytes, Min Free: 100000 bytes",
        "DATA:[(15072, 11984, 11776, 11984), (113840, 100, 50, 20)]",
        "OSError: [Errno 12] ENOMEM",
    ];
}
