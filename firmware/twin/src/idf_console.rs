//! A console in ESP-IDF's style, on standard error: the ROM's banner, the Wi-Fi driver's words, heap before and after each
//! connection, errors of `accept()`, and what a panic handler says before a restart. So everything that listens to a
//! device's console can be tried without one.

use espstress_device::telemetry::{Heap, ResetReason, Wifi};
use espstress_device::{ErrorKind, Service};

use crate::clock;

/// At 115,200 baud a device prints some hundred lines a second, and waits for each: no more of one kind than this are
/// printed, nanoseconds.
const APART_NS: u64 = 50_000_000;

/// The same of errors of `accept()`, which a server tries again at once.
const REFUSALS_NS: u64 = 250_000_000;

/// The console of one start.
pub(crate) struct IdfConsole {
    origin_ns: u64,
    heap_ns: Option<u64>,
    error_ns: Option<u64>,
    disconnects: Option<u32>,
}

impl IdfConsole {
    /// Prints what a device prints when it starts.
    pub(crate) fn start(reason: &str, address: std::net::Ipv4Addr, gateway: std::net::Ipv4Addr) -> Self {
        let console = Self { origin_ns: clock::now_ns(), heap_ns: None, error_ns: None, disconnects: None };
        let (number, name) = rom(reason);
        say("ets Jun  8 2016 00:22:57");
        say(&format!("rst:0x{number:x} ({name}),boot:0x13 (SPI_FAST_FLASH_BOOT)"));
        console.log('I', "boot", "ESP-IDF v5.5 2nd stage bootloader (the twin's imitation)");
        console.log('I', "wifi", "state: assoc -> run (10)");
        console.log('I', "wifi", "connected with twin, aid = 1, channel 6, BW20, bssid = 02:45:53:50:00:01");
        console.log(
            'I',
            "esp_netif_handlers",
            &format!("sta ip: {address}, mask: 255.255.255.0, gw: {gateway}"),
        );
        console
    }

    fn log(&self, level: char, tag: &str, message: &str) {
        let ms = clock::now_ns().saturating_sub(self.origin_ns) / 1_000_000;
        say(&format!("{level} ({ms}) {tag}: {message}"));
    }

    /// A connection was accepted, or closed: the heap at that time.
    pub(crate) fn connection(&mut self, heap: impl FnOnce() -> Option<Heap>) {
        if !due(&mut self.heap_ns) {
            return;
        }
        if let Some(heap) = heap() {
            let least = heap.min_free.unwrap_or(heap.free);
            self.log('I', "heap", &format!("Free Heap: {} bytes, Min Free: {least} bytes", heap.free));
        }
    }

    /// Whether a refusal would be printed.
    pub(crate) fn may_refuse(&self) -> bool {
        self.error_ns.is_none_or(|last| clock::now_ns().saturating_sub(last) >= REFUSALS_NS)
    }

    /// A connection could not be accepted.
    pub(crate) fn refused(&mut self, service: Service, error: ErrorKind) {
        if !self.may_refuse() {
            return;
        }
        self.error_ns = Some(clock::now_ns());
        // newlib's numbers, as a device prints them.
        let number = match error {
            ErrorKind::OutOfSockets => 23,
            ErrorKind::OutOfMemory => 12,
            ErrorKind::Reset => 104,
            _ => 113,
        };
        match service {
            Service::Http => {
                self.log('W', "httpd", &format!("httpd_accept_conn: error in accept ({number})"))
            }
            other => self.log('E', other.name(), &format!("Unable to accept connection: errno {number}")),
        }
    }

    /// Tells when the station was disconnected since the last time.
    pub(crate) fn station(&mut self, wifi: &Wifi) {
        let before = self.disconnects.replace(wifi.disconnects);
        if before.is_some_and(|before| wifi.disconnects > before) {
            let reason = wifi.last_reason.map_or(0, |reason| u32::from(reason.0));
            self.log('I', "wifi", &format!("state: run -> init ({:x})", reason << 8));
        }
    }

    /// What is said before a restart.
    pub(crate) fn end(&self, reason: ResetReason) {
        match reason.name() {
            "PANIC" => {
                say("Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.");
                say("Backtrace: 0x400d1231:0x3ffb5c50 0x400d1a2c:0x3ffb5c70");
                say("Rebooting...");
            }
            "TASK_WDT" => {
                let told = "Task watchdog got triggered. The following tasks/users did not reset the watchdog in time:";
                self.log('E', "task_wdt", told);
                self.log('E', "task_wdt", " - IDLE0 (CPU 0)");
                self.log('E', "task_wdt", "CPU 0: device");
                self.log('E', "task_wdt", "Aborting.");
                say("Rebooting...");
            }
            "BROWNOUT" => say("Brownout detector was triggered"),
            _ => {}
        }
    }
}

/// A line on standard error, which is the console.
#[expect(clippy::print_stderr, reason = "this is what the console is for")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// Whether enough time has gone by; then it is noted.
fn due(last: &mut Option<u64>) -> bool {
    let now = clock::now_ns();
    let due = last.is_none_or(|last| now.saturating_sub(last) >= APART_NS);
    if due {
        *last = Some(now);
    }
    due
}

/// The ROM's number and name of a reset, as the ESP32 has them.
fn rom(reason: &str) -> (u32, &'static str) {
    match reason {
        "BROWNOUT" => (0xf, "RTCWDT_BROWN_OUT_RESET"),
        "INT_WDT" => (0x8, "TG1WDT_SYS_RESET"),
        "WDT" => (0x10, "RTCWDT_RTC_RESET"),
        "DEEPSLEEP" => (0x5, "DEEPSLEEP_RESET"),
        "POWERON" => (0x1, "POWERON_RESET"),
        _ => (0xc, "SW_CPU_RESET"),
    }
}
