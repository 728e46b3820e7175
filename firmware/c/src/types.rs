//! The values that cross the border, and their translation.
#![expect(unsafe_code, reason = "the border to C: texts and lists are pointers there")]

use core::ffi::{CStr, c_char};
use core::time::Duration;

use espstress_device::config::{Boot, Host, LineTimes};
use espstress_device::mqtt::{self, Qos};
use espstress_device::persona::KeepAlive;
use espstress_device::telemetry::{DisconnectReason, Heap, PowerSave, ResetReason, SocketUse, Stack, Wifi};
use espstress_device::text::{Text, Token};
use espstress_device::{CloseHow, Config, ErrorKind, Instant, Readings, Service, Services};

/// A time that never comes, and an interval that never ends, in microseconds.
pub const ESPSTRESS_NEVER: u64 = u64::MAX;

/// A reading that the device does not have.
pub const ESPSTRESS_UNKNOWN: u32 = u32::MAX;

/// The signal strength of a station that is not associated.
pub const ESPSTRESS_NO_RSSI: i16 = i16::MIN;

/// Longest telemetry in bytes: room for an answer to a datagram.
pub const ESPSTRESS_TELEMETRY_MAX: usize = 1_376;

/// Bytes that the longest persona with its parameters takes, its NUL included.
pub const ESPSTRESS_PERSONA_MAX: usize = 128;

const _: () = assert!(ESPSTRESS_TELEMETRY_MAX >= espstress_device::telemetry::MAX_LEN);

/// Options of one telemetry that are looked at; further ones are left out.
const MAX_OPTIONS: usize = 32;

/// Bytes of a host name, its end included.
pub const ESPSTRESS_HOST_LEN: usize = 65;

/// Whether a call did what it was asked to.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It did.
    Ok = 0,
    /// A pointer was null, or its place holds nothing yet.
    Nothing = 1,
    /// There is no such persona, or its parameters are wrong.
    Persona = 2,
    /// A text is too long or no UTF-8.
    Text = 3,
    /// A number stands for nothing.
    Number = 4,
}

/// The services. Bits in a set of services are `1 << service`.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServiceId {
    /// HTTP/1.1, port 80.
    Http = 0,
    /// Framed read-write, port 7007.
    Framed = 1,
    /// Request in, ten kilobytes out, port 8080.
    Raw = 2,
    /// Newline-terminated JSON, port 8123.
    Line = 3,
    /// Telemetry datagrams, port 7008/udp; never a connection.
    Telemetry = 4,
}

/// What a stack can report, by name; the numbers are the library's own and no errno's.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorId {
    /// The peer reset the connection.
    Reset = 0,
    /// Keep-alive or retransmissions exhausted, or nobody answered in time.
    TimedOut = 1,
    /// Nobody listens there.
    Refused = 2,
    /// No way there.
    Unreachable = 3,
    /// The stack had no memory.
    OutOfMemory = 4,
    /// The stack had no socket left.
    OutOfSockets = 5,
    /// Anything else.
    Other = 6,
}

/// How a socket is to be closed.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseId {
    /// `close()`; everything that had arrived was read, so a FIN follows what was written.
    Orderly = 0,
    /// `close()` with bytes unread, which lwIP and most others answer with a RST.
    Unread = 1,
    /// RST at once: linger of zero, then `close()`.
    Abort = 2,
    /// No close: the socket stays occupied until the device restarts.
    Leak = 3,
}

/// What a connection wants next.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WishKind {
    /// Read at most `len` bytes to `space`.
    Read = 0,
    /// Send the `len` bytes at `bytes`, or some of them.
    Write = 1,
    /// Call `espstress_connection_provide`.
    Readings = 2,
    /// Shut down the sending direction.
    ShutdownWrite = 3,
    /// Neither read nor write until the deadline.
    Hold = 4,
    /// Close as `close` says and forget the connection.
    Close = 5,
}

/// A wish of a connection.
#[repr(C)]
pub struct ConnectionWish {
    /// Which.
    pub kind: WishKind,
    /// Of a close.
    pub close: CloseId,
    /// Bytes of `space` or `bytes`, at least one.
    pub len: usize,
    /// Of a read, else null. Valid until the next call for this connection.
    pub space: *mut u8,
    /// Of a write, else null. Valid until the next call for this connection.
    pub bytes: *const u8,
}

/// What the device as a whole wants.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceWishKind {
    /// Nothing now.
    Nothing = 0,
    /// Drop every connection without goodbye and start anew, with `reset` as the reason.
    Restart = 1,
    /// Leave the network for `duration_us` and come back.
    LeaveNetwork = 2,
    /// Switch power save to `power_save`.
    PowerSave = 3,
    /// Serve telemetry datagrams alone from now on, while `espstress_device_is_hung`.
    Hang = 4,
    /// Allocate `bytes` and never give them back; failing is allowed.
    Hoard = 5,
}

/// A wish of the device as a whole.
#[repr(C)]
pub struct DeviceWishC {
    /// Which.
    pub kind: DeviceWishKind,
    /// Of power save.
    pub power_save: PowerSaveId,
    /// Of a restart.
    pub reset: ResetId,
    /// Of a hoard.
    pub bytes: u32,
    /// Of leaving the network, in microseconds.
    pub duration_us: u64,
}

/// Whether to accept a connection now.
#[repr(C)]
pub struct AdmissionC {
    /// Accept one, then ask again.
    pub accept: bool,
    /// When to ask again; `ESPSTRESS_NEVER` means after a connection has ended.
    pub retry_at_us: u64,
}

/// Keep-alive times of a socket, in seconds and probes; all zero for none. `TCP_NODELAY` is always wanted.
#[repr(C)]
#[derive(Default)]
pub struct KeepAliveC {
    /// Idle time before the first probe.
    pub idle_s: u32,
    /// Time between probes.
    pub interval_s: u32,
    /// Unanswered probes before the connection is given up.
    pub count: u32,
}

/// A host to dial.
#[repr(C)]
pub struct DialHost {
    /// Address or name, ended by a zero.
    pub name: [c_char; ESPSTRESS_HOST_LEN],
    /// TCP port.
    pub port: u16,
}

/// Wi-Fi power save.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerSaveId {
    /// Always awake.
    None = 0,
    /// Wakes at each DTIM beacon.
    MinModem = 1,
    /// Wakes at each listen interval.
    MaxModem = 2,
}

/// Why the device started, in the order and with the numbers of ESP-IDF's `esp_reset_reason_t`.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResetId {
    /// Not known.
    Unknown = 0,
    /// Power came on.
    PowerOn = 1,
    /// External pin.
    External = 2,
    /// The software asked for it.
    Software = 3,
    /// Exception or panic.
    Panic = 4,
    /// Interrupt watchdog.
    InterruptWatchdog = 5,
    /// Task watchdog.
    TaskWatchdog = 6,
    /// Another watchdog.
    Watchdog = 7,
    /// Woke from deep sleep.
    DeepSleep = 8,
    /// The supply voltage fell too low.
    Brownout = 9,
    /// Over SDIO.
    Sdio = 10,
    /// Over USB.
    Usb = 11,
    /// Over JTAG.
    Jtag = 12,
    /// An efuse error.
    Efuse = 13,
    /// A power glitch was detected.
    PowerGlitch = 14,
    /// The CPU locked up.
    CpuLockup = 15,
}

/// The ordinary quality of service of the MQTT client: at least once.
pub const ESPSTRESS_MQTT_QOS_1: u8 = 0;

/// The other one: at most once.
pub const ESPSTRESS_MQTT_QOS_0: u8 = 1;

/// What the dialled host speaks.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialId {
    /// The line protocol.
    Line = 0,
    /// MQTT: it is a broker.
    Mqtt = 1,
}

/// The setup of a device. All zero is the ordinary one.
#[repr(C)]
pub struct DeviceConfig {
    /// For example `robust` or `deaf:after=2KiB`; null means robust.
    pub persona: *const c_char,
    /// Name in telemetry, at most 32 bytes; null means `espstress`.
    pub name: *const c_char,
    /// What control requests have to show, at most 64 bytes; null or empty refuses them all.
    pub token: *const c_char,
    /// A host to dial, at most 64 bytes; null for none.
    pub dial_host: *const c_char,
    /// Its port.
    pub dial_port: u16,
    /// Sockets of the stack in all, listeners and the datagram socket included; 0 means 10.
    pub sockets: u16,
    /// Services switched on, `1 << service` each; 0 means all.
    pub services: u8,
    /// Number of the device, its id line in the line protocol; 0 means 1.
    pub number: u8,
    /// Why the device started, one of `espstress_reset`; 0 is unknown.
    pub reset_reason: u8,
    /// Starts since power-on, this one included; 0 means 1.
    pub boot_count: u32,
    /// Time-out of the line protocol; 0 means 1,500.
    pub line_timeout_ms: u32,
    /// Time between lines of data of the line protocol; 0 means 5,000.
    pub line_data_interval_ms: u32,
    /// What the dialled host speaks, one of `espstress_dial`.
    pub dial_protocol: u8,
    /// Quality of service of the MQTT client's messages, `ESPSTRESS_MQTT_QOS_1` or `ESPSTRESS_MQTT_QOS_0`.
    pub mqtt_qos: u8,
    /// Whether every connection of the MQTT client starts a new session.
    pub mqtt_clean: bool,
    /// Keep alive of the MQTT client in seconds; 0 means 15.
    pub mqtt_keep_alive_s: u16,
    /// Time between messages of the MQTT client; 0 means 1,000.
    pub mqtt_interval_ms: u32,
    /// Of the random part of the MQTT client's waits: another one on each device.
    pub mqtt_seed: u32,
}

/// Heap readings in bytes.
#[repr(C)]
pub struct HeapC {
    /// Free now.
    pub free_bytes: u32,
    /// The least that was ever free, or `ESPSTRESS_UNKNOWN`.
    pub min_free_bytes: u32,
    /// Largest block that could be had now, or `ESPSTRESS_UNKNOWN`.
    pub largest_free_block_bytes: u32,
    /// In all.
    pub total_bytes: u32,
}

/// Readings of the Wi-Fi station.
#[repr(C)]
pub struct WifiC {
    /// Signal strength in dBm, or `ESPSTRESS_NO_RSSI`.
    pub rssi_dbm: i16,
    /// ESP-IDF's `wifi_err_reason_t` of the last disconnect; 0 when there was none.
    pub last_disconnect_reason: u8,
    /// Power save in force, one of `espstress_power_save`.
    pub power_save: u8,
    /// Disconnects since the start.
    pub disconnects: u32,
}

/// An option in force.
#[repr(C)]
pub struct OptionC {
    /// Its name.
    pub name: *const c_char,
    /// Its value.
    pub value: *const c_char,
}

/// What can be read off the device at this moment. All zero is a device that knows nothing of itself.
#[repr(C)]
pub struct ReadingsC {
    /// The heap, null when it is not known.
    pub heap: *const HeapC,
    /// The Wi-Fi station, null where there is none.
    pub wifi: *const WifiC,
    /// Name of the network stack, null for an unnamed one.
    pub stack_name: *const c_char,
    /// Its version, or null.
    pub stack_version: *const c_char,
    /// Options in force, null for none.
    pub options: *const OptionC,
    /// How many options.
    pub options_len: usize,
    /// Sockets in use, listeners included; with no `sockets_limit`, the program reports what it holds itself.
    pub sockets_used: u16,
    /// Sockets there are, or 0 when the stack does not say.
    pub sockets_limit: u16,
}

pub(crate) const fn service(number: u8) -> Option<Service> {
    Some(match number {
        0 => Service::Http,
        1 => Service::Framed,
        2 => Service::Raw,
        3 => Service::Line,
        4 => Service::Telemetry,
        _ => return None,
    })
}

pub(crate) const fn error(number: u8) -> ErrorKind {
    match number {
        0 => ErrorKind::Reset,
        1 => ErrorKind::TimedOut,
        2 => ErrorKind::Refused,
        3 => ErrorKind::Unreachable,
        4 => ErrorKind::OutOfMemory,
        5 => ErrorKind::OutOfSockets,
        _ => ErrorKind::Other,
    }
}

pub(crate) const fn close(how: CloseHow) -> CloseId {
    match how {
        CloseHow::Orderly => CloseId::Orderly,
        CloseHow::Unread => CloseId::Unread,
        CloseHow::Abort => CloseId::Abort,
        CloseHow::Leak => CloseId::Leak,
    }
}

pub(crate) const fn power_save(mode: PowerSave) -> PowerSaveId {
    match mode {
        PowerSave::None => PowerSaveId::None,
        PowerSave::MinModem => PowerSaveId::MinModem,
        PowerSave::MaxModem => PowerSaveId::MaxModem,
    }
}

const RESETS: [(ResetId, ResetReason); 16] = [
    (ResetId::Unknown, ResetReason::Unknown),
    (ResetId::PowerOn, ResetReason::PowerOn),
    (ResetId::External, ResetReason::External),
    (ResetId::Software, ResetReason::Software),
    (ResetId::Panic, ResetReason::Panic),
    (ResetId::InterruptWatchdog, ResetReason::InterruptWatchdog),
    (ResetId::TaskWatchdog, ResetReason::TaskWatchdog),
    (ResetId::Watchdog, ResetReason::Watchdog),
    (ResetId::DeepSleep, ResetReason::DeepSleep),
    (ResetId::Brownout, ResetReason::Brownout),
    (ResetId::Sdio, ResetReason::Sdio),
    (ResetId::Usb, ResetReason::Usb),
    (ResetId::Jtag, ResetReason::Jtag),
    (ResetId::Efuse, ResetReason::Efuse),
    (ResetId::PowerGlitch, ResetReason::PowerGlitch),
    (ResetId::CpuLockup, ResetReason::CpuLockup),
];

pub(crate) fn reset(reason: ResetReason) -> ResetId {
    RESETS.iter().find(|&&(_, each)| each == reason).map_or(ResetId::Unknown, |&(id, _)| id)
}

/// Reasons from a newer ESP-IDF than this list are unknown ones.
pub(crate) fn reset_reason(number: u8) -> ResetReason {
    RESETS.get(usize::from(number)).map_or(ResetReason::Unknown, |&(_, reason)| reason)
}

pub(crate) fn keep_alive(wanted: Option<KeepAlive>) -> KeepAliveC {
    let Some(wanted) = wanted else {
        return KeepAliveC::default();
    };
    // A stack counts whole seconds, and zero would switch the probes off.
    let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX).max(1);
    KeepAliveC {
        idle_s: seconds(wanted.idle),
        interval_s: seconds(wanted.interval),
        count: u32::from(wanted.count).max(1),
    }
}

pub(crate) fn instant(at: Option<Instant>) -> u64 {
    at.map_or(ESPSTRESS_NEVER, Instant::as_micros)
}

impl DialHost {
    pub(crate) fn from_host(host: &Host) -> Self {
        let mut name = [0; ESPSTRESS_HOST_LEN];
        // One byte stays zero.
        for (place, &byte) in name[..ESPSTRESS_HOST_LEN - 1].iter_mut().zip(host.name.as_bytes()) {
            *place = byte.cast_signed() as c_char;
        }
        Self { name, port: host.port }
    }
}

/// The text at a pointer, empty for null, `None` when it is no UTF-8.
///
/// # Safety
/// Null, or ended by a zero and unchanged while the result lives.
pub(crate) unsafe fn text<'a>(pointer: *const c_char) -> Option<&'a str> {
    if pointer.is_null() {
        return Some("");
    }
    // SAFETY: not null; the rest is the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_str().ok()
}

/// The list at a pointer, empty for null.
///
/// # Safety
/// Null, or so many whole, aligned values, unchanged while the result lives.
pub(crate) unsafe fn list<'a, T>(pointer: *const T, len: usize) -> &'a [T] {
    if pointer.is_null() {
        return &[];
    }
    // SAFETY: not null; the rest is the caller's promise.
    unsafe { core::slice::from_raw_parts(pointer, len) }
}

impl DeviceConfig {
    /// The program's setup.
    ///
    /// # Safety
    /// Each text is null or ended by a zero.
    pub(crate) unsafe fn read(&self) -> Result<Config, Status> {
        // SAFETY: the caller's promise, for each of the four.
        let [persona, name, token, host] =
            unsafe { [text(self.persona), text(self.name), text(self.token), text(self.dial_host)] };
        let persona = persona.ok_or(Status::Text)?;
        let name = name.ok_or(Status::Text)?;
        let host = host.ok_or(Status::Text)?;
        let mut config = Config::default();
        if !persona.is_empty() {
            config.persona = persona.parse().map_err(|_| Status::Persona)?;
        }
        if !name.is_empty() {
            config.name = Text::try_from(name).map_err(|_| Status::Text)?;
        }
        config.token = Token::new(token.ok_or(Status::Text)?).map_err(|_| Status::Text)?;
        if !host.is_empty() {
            let name = Text::try_from(host).map_err(|_| Status::Text)?;
            config.dial = Some(Host { name, port: self.dial_port });
        }
        if self.sockets > 0 {
            config.sockets = self.sockets;
        }
        if self.services > 0 {
            if self.services & !0b1_1111 != 0 {
                return Err(Status::Number);
            }
            config.services = (0..8u8)
                .filter(|bit| self.services & 1 << bit != 0)
                .filter_map(service)
                .collect::<Services>();
        }
        config.number = self.number.max(1);
        config.boot = Boot { count: self.boot_count.max(1), reason: reset_reason(self.reset_reason) };
        let times = LineTimes::default();
        let or = |millis: u32, default| match millis {
            0 => default,
            millis => Duration::from_millis(millis.into()),
        };
        config.line = LineTimes {
            timeout: or(self.line_timeout_ms, times.timeout),
            data_interval: or(self.line_data_interval_ms, times.data_interval),
        };
        config.mqtt = match self.dial_protocol {
            0 => None,
            1 => Some(self.mqtt()?),
            _ => return Err(Status::Number),
        };
        Ok(config)
    }

    fn mqtt(&self) -> Result<mqtt::Settings, Status> {
        let usual = mqtt::Settings::default();
        Ok(mqtt::Settings {
            keep_alive: if self.mqtt_keep_alive_s == 0 { usual.keep_alive } else { self.mqtt_keep_alive_s },
            clean: self.mqtt_clean,
            qos: match self.mqtt_qos {
                ESPSTRESS_MQTT_QOS_1 => Qos::AtLeastOnce,
                ESPSTRESS_MQTT_QOS_0 => Qos::AtMostOnce,
                _ => return Err(Status::Number),
            },
            interval: match self.mqtt_interval_ms {
                0 => usual.interval,
                millis => Duration::from_millis(millis.into()),
            },
            seed: self.mqtt_seed.into(),
        })
    }
}

impl ReadingsC {
    /// Lends the readings to `with`. Texts that are no UTF-8 are left out.
    ///
    /// # Safety
    /// Each pointer is null or valid as its field says, until `with` returns.
    pub(crate) unsafe fn lend<R>(&self, with: impl FnOnce(&Readings<'_>) -> R) -> R {
        let mut options = [("", ""); MAX_OPTIONS];
        let mut len = 0;
        // SAFETY: the caller's promise.
        for option in unsafe { list(self.options, self.options_len) }.iter().take(MAX_OPTIONS) {
            // SAFETY: the caller's promise.
            if let (Some(name), Some(value)) = unsafe { (text(option.name), text(option.value)) } {
                options[len] = (name, value);
                len += 1;
            }
        }
        // SAFETY: the caller's promise.
        let (heap, wifi) = unsafe { (self.heap.as_ref(), self.wifi.as_ref()) };
        // SAFETY: the caller's promise.
        let (name, version) = unsafe { (text(self.stack_name), text(self.stack_version)) };
        let known = |value: u32| (value != ESPSTRESS_UNKNOWN).then_some(value);
        let readings = Readings {
            heap: heap.map(|heap| Heap {
                free: heap.free_bytes,
                min_free: known(heap.min_free_bytes),
                largest: known(heap.largest_free_block_bytes),
                total: heap.total_bytes,
            }),
            wifi: wifi.map(|wifi| Wifi {
                rssi_dbm: i8::try_from(wifi.rssi_dbm).ok(),
                disconnects: wifi.disconnects,
                last_reason: (wifi.last_disconnect_reason > 0)
                    .then_some(DisconnectReason(wifi.last_disconnect_reason)),
                power_save: match wifi.power_save {
                    1 => PowerSave::MinModem,
                    2 => PowerSave::MaxModem,
                    _ => PowerSave::None,
                },
            }),
            sockets: (self.sockets_limit > 0)
                .then_some(SocketUse { used: self.sockets_used, limit: self.sockets_limit }),
            tcp: None,
            stack: Stack { name: name.unwrap_or(""), version: version.unwrap_or("") },
            options: &options[..len],
        };
        with(&readings)
    }
}
