//! What a device says of itself: readings, and their JSON.
//!
//! A reading that the device does not have is `null`, never 0. The unit is in every field's name; fields without one
//! are counts.

use core::fmt::{self, Write};

use crate::buffer::SliceWriter;
use crate::error::ErrorKind;
use crate::program::Program;
use crate::service::Service;
use crate::time::Instant;

/// Longest telemetry in bytes; fits one datagram and, with its HTTP head, one connection's buffer.
pub const MAX_LEN: usize = 1_376;

/// The word that a telemetry datagram starts with.
pub const REQUEST: &str = "telemetry";

/// What the carrier can read off the device at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings<'a> {
    /// The heap.
    pub heap: Option<Heap>,
    /// The Wi-Fi station.
    pub wifi: Option<Wifi>,
    /// Sockets; when absent, the program reports what it holds itself.
    pub sockets: Option<SocketUse>,
    /// TCP connections of the stack by state, those without a socket included.
    pub tcp: Option<TcpUse>,
    /// The network stack.
    pub stack: Stack<'a>,
    /// Options in force, name and value. Those that do not fit into the datagram are left out and counted.
    pub options: &'a [(&'a str, &'a str)],
}

/// Heap readings in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Heap {
    /// Free now.
    pub free: u32,
    /// The least that was ever free, where the allocator knows.
    pub min_free: Option<u32>,
    /// Largest block that could be had now, where the allocator knows.
    pub largest: Option<u32>,
    /// In all.
    pub total: u32,
}

/// Readings of the Wi-Fi station.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wifi {
    /// Signal strength, absent while not associated.
    pub rssi_dbm: Option<i8>,
    /// Disconnects since the start.
    pub disconnects: u32,
    /// Why the last one happened.
    pub last_reason: Option<DisconnectReason>,
    /// Power-save mode in force.
    pub power_save: PowerSave,
}

/// Sockets of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketUse {
    /// In use, listeners included.
    pub used: u16,
    /// There are.
    pub limit: u16,
}

/// TCP connections of the stack by state, listeners not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TcpUse {
    /// Established.
    pub established: u16,
    /// The peer has closed and the program has not (CLOSE_WAIT).
    pub close_wait: u16,
    /// The device's FIN is out and not everything is acknowledged (FIN_WAIT_1 and _2, CLOSING, LAST_ACK).
    pub fin_wait: u16,
    /// Over, and kept against stray segments (TIME_WAIT).
    pub time_wait: u16,
}

/// Name and version of the network stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stack<'a> {
    /// For example `lwIP`.
    pub name: &'a str,
    /// For example `2.2.1`.
    pub version: &'a str,
}

/// Wi-Fi power-save mode.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum PowerSave {
    /// Always awake.
    #[default]
    None,
    /// Wakes at each DTIM beacon.
    MinModem,
    /// Wakes at each listen interval.
    MaxModem,
}

impl PowerSave {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::None, Self::MinModem, Self::MaxModem];

    /// The name as ESP-IDF has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::MinModem => "MIN_MODEM",
            Self::MaxModem => "MAX_MODEM",
        }
    }

    /// The mode of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Why the Wi-Fi station was disconnected: ESP-IDF's `wifi_err_reason_t`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DisconnectReason(pub u8);

impl DisconnectReason {
    /// The name without `WIFI_REASON_`, where the number has one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "UNSPECIFIED",
            2 => "AUTH_EXPIRE",
            3 => "AUTH_LEAVE",
            4 => "DISASSOC_DUE_TO_INACTIVITY",
            5 => "ASSOC_TOOMANY",
            6 => "NOT_AUTHED",
            7 => "NOT_ASSOCED",
            8 => "ASSOC_LEAVE",
            9 => "ASSOC_NOT_AUTHED",
            10 => "DISASSOC_PWRCAP_BAD",
            11 => "DISASSOC_SUPCHAN_BAD",
            12 => "BSS_TRANSITION_DISASSOC",
            13 => "IE_INVALID",
            14 => "MIC_FAILURE",
            15 => "4WAY_HANDSHAKE_TIMEOUT",
            16 => "GROUP_KEY_UPDATE_TIMEOUT",
            17 => "IE_IN_4WAY_DIFFERS",
            18 => "GROUP_CIPHER_INVALID",
            19 => "PAIRWISE_CIPHER_INVALID",
            20 => "AKMP_INVALID",
            21 => "UNSUPP_RSN_IE_VERSION",
            22 => "INVALID_RSN_IE_CAP",
            23 => "802_1X_AUTH_FAILED",
            24 => "CIPHER_SUITE_REJECTED",
            200 => "BEACON_TIMEOUT",
            201 => "NO_AP_FOUND",
            202 => "AUTH_FAIL",
            203 => "ASSOC_FAIL",
            204 => "HANDSHAKE_TIMEOUT",
            205 => "CONNECTION_FAIL",
            206 => "AP_TSF_RESET",
            207 => "ROAMING",
            208 => "ASSOC_COMEBACK_TIME_TOO_LONG",
            209 => "SA_QUERY_TIMEOUT",
            _ => return None,
        })
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "REASON_{}", self.0),
        }
    }
}

/// Why the device started: ESP-IDF's `esp_reset_reason_t`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum ResetReason {
    /// Not known.
    #[default]
    Unknown,
    /// Power came on.
    PowerOn,
    /// External pin.
    External,
    /// The software asked for it.
    Software,
    /// Exception or panic.
    Panic,
    /// Interrupt watchdog.
    InterruptWatchdog,
    /// Task watchdog.
    TaskWatchdog,
    /// Another watchdog.
    Watchdog,
    /// Woke from deep sleep.
    DeepSleep,
    /// The supply voltage fell too low.
    Brownout,
    /// Over SDIO.
    Sdio,
    /// Over USB.
    Usb,
    /// Over JTAG.
    Jtag,
    /// An efuse error.
    Efuse,
    /// A power glitch was detected.
    PowerGlitch,
    /// The CPU locked up.
    CpuLockup,
}

impl ResetReason {
    /// The name as ESP-IDF has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::PowerOn => "POWERON",
            Self::External => "EXT",
            Self::Software => "SW",
            Self::Panic => "PANIC",
            Self::InterruptWatchdog => "INT_WDT",
            Self::TaskWatchdog => "TASK_WDT",
            Self::Watchdog => "WDT",
            Self::DeepSleep => "DEEPSLEEP",
            Self::Brownout => "BROWNOUT",
            Self::Sdio => "SDIO",
            Self::Usb => "USB",
            Self::Jtag => "JTAG",
            Self::Efuse => "EFUSE",
            Self::PowerGlitch => "PWR_GLITCH",
            Self::CpuLockup => "CPU_LOCKUP",
        }
    }
}

/// The number in a telemetry datagram, to be echoed as `request`: `telemetry` or `telemetry 17`.
///
/// `None` when the datagram is something else and deserves no answer.
#[must_use]
pub fn read_request(datagram: &[u8]) -> Option<Option<u32>> {
    let rest = core::str::from_utf8(datagram).ok()?.trim_end().strip_prefix(REQUEST)?;
    if rest.is_empty() {
        return Some(None);
    }
    let number = rest.strip_prefix(' ')?.parse().ok()?;
    Some(Some(number))
}

/// Writes one telemetry object and says how long it is: at most [`MAX_LEN`] bytes and the slice's length.
///
/// Options that do not fit are left out; should even the rest not fit, which takes a slice much below [`MAX_LEN`],
/// the answer is an empty object.
pub(crate) fn write(
    program: &Program,
    readings: &Readings<'_>,
    request: Option<u32>,
    now: Instant,
    out: &mut [u8],
) -> usize {
    let limit = out.len().min(MAX_LEN);
    let mut json = SliceWriter::new(&mut out[..limit]);
    if body(&mut json, program, readings, request, now).is_err() {
        json.truncate(0);
        // Two bytes fit wherever a datagram does; a slice without them gets nothing.
        let _ = json.write_str("{}");
    }
    json.len()
}

fn body(
    json: &mut SliceWriter<'_>,
    program: &Program,
    readings: &Readings<'_>,
    request: Option<u32>,
    now: Instant,
) -> fmt::Result {
    let config = program.config();
    write!(json, "{{\"request\":{},\"device\":{}", Null(request), Quoted(&config.name))?;
    write!(json, ",\"number\":{},\"firmware\":\"{}\"", config.number, env!("CARGO_PKG_VERSION"))?;
    let stack = readings.stack;
    write!(json, ",\"stack\":{{\"name\":{},\"version\":{}}}", Quoted(stack.name), Quoted(stack.version))?;
    write!(json, ",\"persona\":\"{}\"", program.persona().name())?;
    write!(json, ",\"uptime_ms\":{}", program.uptime(now).as_millis())?;
    let boot = config.boot;
    write!(json, ",\"boot_count\":{},\"reset_reason\":\"{}\"", boot.count, boot.reason.name())?;
    match readings.heap {
        Some(heap) => write!(
            json,
            ",\"heap\":{{\"free_bytes\":{},\"min_free_bytes\":{},\"largest_free_block_bytes\":{},\"total_bytes\":{}}}",
            heap.free,
            Null(heap.min_free),
            Null(heap.largest),
            heap.total
        )?,
        None => json.write_str(",\"heap\":null")?,
    }
    match readings.wifi {
        Some(wifi) => {
            write!(
                json,
                ",\"wifi\":{{\"rssi_dbm\":{},\"disconnects\":{}",
                Null(wifi.rssi_dbm),
                wifi.disconnects
            )?;
            match wifi.last_reason {
                Some(reason) => write!(json, ",\"last_disconnect_reason\":\"{reason}\"")?,
                None => json.write_str(",\"last_disconnect_reason\":null")?,
            }
            write!(json, ",\"power_save\":\"{}\"}}", wifi.power_save.name())?;
        }
        None => json.write_str(",\"wifi\":null")?,
    }
    let sockets = readings.sockets.unwrap_or_else(|| program.sockets());
    write!(json, ",\"sockets\":{{\"used\":{},\"limit\":{}}}", sockets.used, sockets.limit)?;
    if let Some(tcp) = readings.tcp {
        write!(
            json,
            ",\"tcp\":{{\"established\":{},\"close_wait\":{},\"fin_wait\":{},\"time_wait\":{}}}",
            tcp.established, tcp.close_wait, tcp.fin_wait, tcp.time_wait
        )?;
    }
    write!(json, ",\"capacity\":{},\"hoarded_bytes\":{}", config.capacity(), program.hoarded())?;
    json.write_str(",\"services\":{")?;
    let mut separator = "";
    let mut services = Service::TCP.into_iter().filter(|&service| config.services.contains(service));
    while let Some(service) = services.next() {
        let to_come = services.clone().count();
        counters(json, program, service, separator, COUNTERS * to_come + TAIL)?;
        separator = ",";
    }
    json.write_str("},\"options\":{")?;
    options(json, readings.options)?;
    json.write_str("}")
}

/// Room for the counters of one service without its errors.
const COUNTERS: usize = 120;

/// Room for `},"options":{},"options_left_out":65535}`.
const TAIL: usize = 48;

/// A service's counters; of its errors those that leave so much room for what is to come.
fn counters(
    json: &mut SliceWriter<'_>,
    program: &Program,
    service: Service,
    separator: &str,
    to_come: usize,
) -> fmt::Result {
    /// Room for `"left_out":14}}`.
    const END: usize = 16;
    let counters = program.counters(service);
    write!(
        json,
        "{separator}\"{service}\":{{\"open\":{},\"accepted\":{},\"served\":{},\"leaked\":{},\"errors\":{{",
        counters.open, counters.accepted, counters.served, counters.leaked
    )?;
    let mut separator = "";
    let mut left_out = 0u32;
    for kind in ErrorKind::ALL {
        let count = counters.errors[kind as usize];
        if count == 0 {
            continue;
        }
        let before = json.len();
        let written = write!(json, "{separator}\"{kind}\":{count}");
        if written.is_err() || json.room() < to_come + END {
            json.truncate(before);
            left_out += 1;
        } else {
            separator = ",";
        }
    }
    if left_out > 0 {
        write!(json, "{separator}\"left_out\":{left_out}")?;
    }
    json.write_str("}}")
}

/// The options that fit, with the closing brace and the count of those left out.
fn options(json: &mut SliceWriter<'_>, options: &[(&str, &str)]) -> fmt::Result {
    let mut left_out = 0u32;
    let mut separator = "";
    for (name, value) in options {
        let before = json.len();
        let written = write!(json, "{separator}{}:{}", Quoted(name), Quoted(value));
        if written.is_err() || json.room() < TAIL {
            json.truncate(before);
            left_out += 1;
        } else {
            separator = ",";
        }
    }
    write!(json, "}},\"options_left_out\":{left_out}")
}

/// A value, or `null` without one.
pub(crate) struct Null<T>(pub(crate) Option<T>);

impl<T: fmt::Display> fmt::Display for Null<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("null"),
        }
    }
}

/// A JSON string.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}
