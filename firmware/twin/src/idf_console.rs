//! A console in ESP-IDF's style, on standard error: the ROM's banner, the Wi-Fi driver's words, heap before and after each
//! connection, calls that failed, the task watchdog, and what a panic handler says before a restart. So everything that
//! listens to a device's console can be tried without one.
//!
//! It says what a device would know. One that forgets to read, accepts too slowly or closes too early notices nothing of it, and
//! prints nothing.

use std::net::Ipv4Addr;

use espstress_device::telemetry::{Heap, ResetReason, Wifi};
use espstress_device::{ErrorKind, Service};

use crate::clock;

/// At 115,200 baud a device prints some hundred lines a second, and waits for each: no more of one kind than this are
/// printed, nanoseconds.
const APART_NS: u64 = 50_000_000;

/// The same of calls that fail, which a program tries again at once.
const FAILURES_NS: u64 = 250_000_000;

/// `CONFIG_ESP_TASK_WDT_TIMEOUT_S` as ESP-IDF has it, nanoseconds.
const WATCHDOG_NS: u64 = 5_000_000_000;

/// BEACON_TIMEOUT, which the driver notices first (`esp_wifi_types_generic.h`).
const BEACON_TIMEOUT: u32 = 200;

/// What of a connection failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// `recv()`.
    Receive,
    /// `send()`.
    Send,
}

/// Whose connection it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// A client's of this service.
    Of(Service),
    /// The MQTT client's.
    OfMqtt,
    /// One that the device dialled for something else.
    Dialled,
}

/// The console of one start.
pub(crate) struct IdfConsole {
    origin_ns: u64,
    address: Ipv4Addr,
    gateway: Ipv4Addr,
    heap: Apart,
    refusals: Apart,
    failures: Apart,
    allocations: Apart,
    disconnects: Option<u32>,
    associated: bool,
    /// Since when the task watchdog was not reset.
    hung_ns: Option<u64>,
}

impl IdfConsole {
    /// Prints what a device prints when it starts.
    pub(crate) fn start(reason: &str, address: Ipv4Addr, gateway: Ipv4Addr) -> Self {
        let console = Self {
            origin_ns: clock::now_ns(),
            address,
            gateway,
            heap: Apart::of(APART_NS),
            refusals: Apart::of(FAILURES_NS),
            failures: Apart::of(FAILURES_NS),
            allocations: Apart::of(FAILURES_NS),
            disconnects: None,
            associated: true,
            hung_ns: None,
        };
        let (number, name) = rom(reason);
        // A listener on a busy machine may hear the first start only when the load has begun, and would take it for a restart.
        if reason != "POWERON" {
            say("ets Jun  8 2016 00:22:57");
            say(&format!("rst:0x{number:x} ({name}),boot:0x13 (SPI_FAST_FLASH_BOOT)"));
        }
        console.log('I', "boot", "ESP-IDF v5.5 2nd stage bootloader (the twin's imitation)");
        console.joins();
        console
    }

    fn log(&self, level: char, tag: &str, message: &str) {
        let ms = clock::now_ns().saturating_sub(self.origin_ns) / 1_000_000;
        say(&format!("{level} ({ms}) {tag}: {message}"));
    }

    fn joins(&self) {
        self.log('I', "wifi", "state: assoc -> run (10)");
        self.log('I', "wifi", "connected with twin, aid = 1, channel 6, BW20, bssid = 02:45:53:50:00:01");
        let told = format!("sta ip: {}, mask: 255.255.255.0, gw: {}", self.address, self.gateway);
        self.log('I', "esp_netif_handlers", &told);
    }

    /// A connection was accepted, or closed: the heap at that time.
    pub(crate) fn connection(&mut self, heap: impl FnOnce() -> Option<Heap>) {
        if !self.heap.due() {
            return;
        }
        if let Some(heap) = heap() {
            let least = heap.min_free.unwrap_or(heap.free);
            self.log('I', "heap", &format!("Free Heap: {} bytes, Min Free: {least} bytes", heap.free));
        }
    }

    /// Whether a refusal would be printed.
    pub(crate) fn may_refuse(&self) -> bool {
        self.refusals.is_due()
    }

    /// A connection could not be accepted.
    pub(crate) fn refused(&mut self, service: Service, error: ErrorKind) {
        let Some(number) = number(error).filter(|_| self.refusals.due()) else { return };
        match service {
            Service::Http => {
                self.log('W', "httpd", &format!("httpd_accept_conn: error in accept ({number})"))
            }
            other => self.log('E', other.name(), &format!("Unable to accept connection: errno {number}")),
        }
    }

    /// A call on a connection failed: in the words of ESP-IDF's HTTP server, its socket examples and its MQTT client.
    pub(crate) fn failed(&mut self, whose: Whose, call: Call, error: ErrorKind) {
        let Some(number) = number(error).filter(|_| self.failures.due()) else { return };
        let (short, long) = match call {
            Call::Receive => ("recv", "receiving"),
            Call::Send => ("send", "sending"),
        };
        match whose {
            Whose::Of(Service::Http) => {
                self.log('W', "httpd_txrx", &format!("httpd_sock_err: error in {short} : {number}"));
            }
            Whose::Of(service) => {
                let told = format!("Error occurred during {long}: errno {number}");
                self.log('E', service.name(), &told);
            }
            Whose::OfMqtt => self.mqtt_reads(number),
            Whose::Dialled => {
                self.log('E', "device", &format!("Error occurred during {long}: errno {number}"))
            }
        }
    }

    fn mqtt_reads(&self, number: u32) {
        let told = format!("esp_mqtt_handle_transport_read_error: transport_read() error: errno={number}");
        self.log('E', "mqtt_client", &told);
        self.log('E', "mqtt_client", "mqtt_process_receive: mqtt_message_receive() returned -2");
    }

    /// The broker closed the MQTT client's connection.
    pub(crate) fn broker_closed(&mut self) {
        if self.failures.due() {
            self.log('E', "mqtt_client", "esp_mqtt_handle_transport_read_error: transport_read(): EOF");
            // ENOTCONN: the next read finds the connection gone.
            self.mqtt_reads(128);
        }
    }

    /// The MQTT client gave its broker up: it answered no ping, or, before anything was heard of it, no CONNECT.
    pub(crate) fn broker_given_up(&mut self, was_heard: bool) {
        if self.failures.due() {
            let told = if was_heard {
                "No PING_RESP, disconnected"
            } else {
                "esp_mqtt_connect: mqtt_message_receive() returned 0"
            };
            self.log('E', "mqtt_client", told);
        }
    }

    /// A dial failed; `None` when nobody answered in time.
    pub(crate) fn not_dialled(&mut self, whose: Whose, error: Option<ErrorKind>) {
        if !self.failures.due() {
            return;
        }
        let (told, code) = match error {
            None => ("select() timeout", 32_774),
            Some(ErrorKind::Unreachable) => ("connect() error: Host is unreachable", 32_772),
            Some(_) => ("delayed connect error: Connection reset by peer", 32_772),
        };
        self.log('E', "esp-tls", &format!("[sock=54] {told}"));
        if whose == Whose::OfMqtt {
            self.log('E', "transport_base", &format!("Failed to open a new connection: {code}"));
            self.log('E', "mqtt_client", "Error transport connect");
        }
    }

    /// An allocation found no memory.
    pub(crate) fn no_memory(&mut self, bytes: u32) {
        if self.allocations.due() {
            self.log('E', "device", &format!("Failed to allocate {bytes} bytes"));
        }
    }

    /// Whether the program hangs: in a loop, so that the idle task cannot reset the task watchdog. ESP-IDF's default is to tell
    /// of it, again and again, and to go on.
    pub(crate) fn hangs(&mut self, hung: bool) {
        let now = clock::now_ns();
        match self.hung_ns {
            _ if !hung => self.hung_ns = None,
            None => self.hung_ns = Some(now),
            Some(since) if now.saturating_sub(since) >= WATCHDOG_NS => {
                self.hung_ns = Some(now);
                self.watchdog();
            }
            Some(_) => {}
        }
    }

    /// When the watchdog will have something to say.
    pub(crate) fn barks_in(&self) -> Option<std::time::Duration> {
        let since = clock::now_ns().saturating_sub(self.hung_ns?);
        Some(std::time::Duration::from_nanos(WATCHDOG_NS.saturating_sub(since)))
    }

    fn watchdog(&self) {
        let told =
            "Task watchdog got triggered. The following tasks/users did not reset the watchdog in time:";
        self.log('E', "task_wdt", told);
        self.log('E', "task_wdt", " - IDLE0 (CPU 0)");
        self.log('E', "task_wdt", "Tasks currently running:");
        self.log('E', "task_wdt", "CPU 0: device");
    }

    /// Tells when the station was disconnected since the last time, and when it is back.
    pub(crate) fn station(&mut self, wifi: &Wifi, is_up: bool) {
        let before = self.disconnects.replace(wifi.disconnects);
        if before.is_some_and(|before| wifi.disconnects > before) {
            let reason = wifi.last_reason.map_or(0, |reason| u32::from(reason.0));
            if reason == BEACON_TIMEOUT {
                self.log('I', "wifi", "bcn_timeout,ap_probe_send_start");
            }
            self.log('I', "wifi", &format!("state: run -> init ({:x})", reason << 8));
            self.associated = false;
        }
        if is_up && !std::mem::replace(&mut self.associated, is_up) {
            self.joins();
        }
    }

    /// What is said before a restart. One that the program asked for comes without a word.
    pub(crate) fn end(&self, reason: ResetReason) {
        match reason {
            ResetReason::Panic => {
                say("Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.");
                say("Backtrace: 0x400d1231:0x3ffb5c50 0x400d1a2c:0x3ffb5c70");
                say("Rebooting...");
            }
            ResetReason::TaskWatchdog => {
                self.watchdog();
                self.log('E', "task_wdt", "Aborting.");
                say("Rebooting...");
            }
            ResetReason::Brownout => say("Brownout detector was triggered"),
            _ => {}
        }
    }
}

/// No more than one in so long a time.
struct Apart {
    interval_ns: u64,
    last_ns: Option<u64>,
}

impl Apart {
    const fn of(interval_ns: u64) -> Self {
        Self { interval_ns, last_ns: None }
    }

    fn is_due(&self) -> bool {
        self.last_ns.is_none_or(|last| clock::now_ns().saturating_sub(last) >= self.interval_ns)
    }

    /// Whether enough time has gone by; then it is noted.
    fn due(&mut self) -> bool {
        let due = self.is_due();
        if due {
            self.last_ns = Some(clock::now_ns());
        }
        due
    }
}

/// A line on standard error, which is the console.
#[expect(clippy::print_stderr, reason = "this is what the console is for")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// newlib's numbers, as a device prints them; `None` for what has none.
const fn number(error: ErrorKind) -> Option<u32> {
    Some(match error {
        ErrorKind::OutOfSockets => 23,
        ErrorKind::OutOfMemory => 12,
        ErrorKind::Reset => 104,
        // lwIP's word for a peer that it has given up.
        ErrorKind::TimedOut => 113,
        ErrorKind::Unreachable => 118,
        _ => return None,
    })
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
