//! The functions of the device as a whole.
#![expect(unsafe_code, reason = "the border to C: exported names and pointers")]
// What a caller has to keep to is said once, in the header's beginning and on the types.
#![expect(
    clippy::missing_safety_doc,
    reason = "the same for all: pointers are null or valid as their types say"
)]

use core::ffi::c_char;
use core::fmt::Write;

use espstress_device::telemetry::ResetReason;
use espstress_device::{Admission, DeviceWish, Instant, Program, Readings};

use crate::storage::Device;
use crate::types::{
    AdmissionC, DeviceConfig, DeviceWishC, DeviceWishKind, DialHost, ESPSTRESS_NEVER, KeepAliveC,
    PowerSaveId, ReadingsC, ResetId, Status, error, instant, keep_alive, list, power_save, reset,
    reset_reason, service, text,
};

/// Version of the device program.
#[unsafe(no_mangle)]
pub extern "C" fn espstress_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The port of a service on a device of its own; 0 when there is no such service.
#[unsafe(no_mangle)]
pub extern "C" fn espstress_service_port(service_id: u8) -> u16 {
    service(service_id).map_or(0, |service| service.port())
}

/// The name of a service; `?` when there is none.
#[unsafe(no_mangle)]
pub extern "C" fn espstress_service_name(service_id: u8) -> *const c_char {
    let name = match service_id {
        0 => c"http",
        1 => c"framed",
        2 => c"raw",
        3 => c"line",
        4 => c"telemetry",
        _ => c"?",
    };
    name.as_ptr()
}

/// Sets up a device that starts now. A null `config` is the ordinary one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_init(
    device: *mut Device,
    config: *const DeviceConfig,
    now_us: u64,
) -> Status {
    // SAFETY: the caller's promise.
    let config = match unsafe { config.as_ref() } {
        // SAFETY: the caller's promise.
        Some(config) => match unsafe { config.read() } {
            Ok(config) => config,
            Err(status) => return status,
        },
        None => espstress_device::Config::default(),
    };
    let program = Program::new(config, Instant::from_micros(now_us));
    // SAFETY: the caller's promise.
    if unsafe { Device::put(device, program) } { Status::Ok } else { Status::Nothing }
}

/// Starts the device anew: its persona stays, the boot is counted, `reset` (an `espstress_reset`) is the reason.
/// Connections from before are to be forgotten.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_restart(device: *mut Device, reset: u8, now_us: u64) -> Status {
    // SAFETY: the caller's promise.
    let Some(program) = (unsafe { Device::get(device) }) else {
        return Status::Nothing;
    };
    let config = program.config_after_restart(reset_reason(reset));
    *program = Program::new(config, Instant::from_micros(now_us));
    Status::Ok
}

/// Changes the persona, for example to `robust` or `deaf:after=2KiB`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_set_persona(device: *mut Device, persona: *const c_char) -> Status {
    // SAFETY: the caller's promise.
    let (program, persona) = unsafe { (Device::get(device), text(persona)) };
    let Some(program) = program else {
        return Status::Nothing;
    };
    match persona.map(str::parse) {
        Some(Ok(persona)) => program.set_persona(persona),
        Some(Err(_)) => return Status::Persona,
        None => return Status::Text,
    }
    Status::Ok
}

/// Writes the persona that stays after a restart, with its parameters and a final NUL, into `out`, so that the next start can have
/// it as its `config.persona`: its length, or 0 when it does not fit. `ESPSTRESS_PERSONA_MAX` bytes are enough.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_persona(
    device: *mut Device,
    out: *mut c_char,
    out_len: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let Some(program) = (unsafe { Device::get(device) }) else {
        return 0;
    };
    if out.is_null() {
        return 0;
    }
    // SAFETY: not null; so many bytes and nobody else's during the call, the caller's promise.
    let out = unsafe { core::slice::from_raw_parts_mut(out.cast::<u8>(), out_len) };
    let next = program.config_after_restart(ResetReason::Software);
    let mut text = Text { bytes: out, len: 0 };
    if write!(text, "{}\0", next.persona.spelled()).is_err() {
        return 0;
    }
    text.len - 1
}

/// Text that is written to bytes of C's.
struct Text<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let place = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// Connections that the device holds at once; the one that it dialled comes on top.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_capacity(device: *mut Device) -> u16 {
    // SAFETY: the caller's promise.
    unsafe { Device::get(device) }.map_or(0, |program| program.config().capacity())
}

/// Whether a service is switched on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_has(device: *mut Device, service_id: u8) -> bool {
    // SAFETY: the caller's promise.
    match (unsafe { Device::get(device) }, service(service_id)) {
        (Some(program), Some(service)) => program.services().contains(service),
        _ => false,
    }
}

/// Whether the application hangs: telemetry datagrams are then served, and nothing else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_is_hung(device: *mut Device) -> bool {
    // SAFETY: the caller's promise.
    unsafe { Device::get(device) }.is_some_and(|program| program.is_hung())
}

/// Whether to take a connection of this service from the stack now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_admit(
    device: *mut Device,
    service_id: u8,
    now_us: u64,
) -> AdmissionC {
    // SAFETY: the caller's promise.
    let admission = match (unsafe { Device::get(device) }, service(service_id)) {
        (Some(program), Some(service)) => program.admit(service, Instant::from_micros(now_us)),
        _ => Admission::NotNow { retry_at: None },
    };
    match admission {
        Admission::Accept => AdmissionC { accept: true, retry_at_us: now_us },
        Admission::NotNow { retry_at } => AdmissionC { accept: false, retry_at_us: instant(retry_at) },
    }
}

/// How long dialling may take, milliseconds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_dial_limit_ms(device: *mut Device) -> u32 {
    // SAFETY: the caller's promise.
    let limit = unsafe { Device::get(device) }.map(|program| program.dial_limit().as_millis());
    limit.map_or(0, |millis| u32::try_from(millis).unwrap_or(u32::MAX))
}

/// Keep-alive for the dialled connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_dial_keep_alive(device: *mut Device) -> KeepAliveC {
    // SAFETY: the caller's promise.
    keep_alive(unsafe { Device::get(device) }.and_then(|program| program.dial_options().keep_alive))
}

/// Keep-alive for accepted connections.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_keep_alive(device: *mut Device) -> KeepAliveC {
    // SAFETY: the caller's promise.
    keep_alive(unsafe { Device::get(device) }.and_then(|program| program.socket_options().keep_alive))
}

/// Counts a failure that has no connection, such as an accept that found no socket. `error` is an `espstress_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_count_error(device: *mut Device, service_id: u8, error_id: u8) {
    // SAFETY: the caller's promise.
    if let (Some(program), Some(service)) = (unsafe { Device::get(device) }, service(service_id)) {
        program.count_error(service, error(error_id));
    }
}

/// The next thing that the device as a whole wants; call it until it is nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_poll_wish(device: *mut Device, now_us: u64) -> DeviceWishC {
    let mut wish = DeviceWishC {
        kind: DeviceWishKind::Nothing,
        power_save: PowerSaveId::None,
        reset: ResetId::Unknown,
        bytes: 0,
        duration_us: 0,
    };
    // SAFETY: the caller's promise.
    let wanted =
        unsafe { Device::get(device) }.and_then(|program| program.poll_wish(Instant::from_micros(now_us)));
    wish.kind = match wanted {
        None => DeviceWishKind::Nothing,
        Some(DeviceWish::Restart(reason)) => {
            wish.reset = reset(reason);
            DeviceWishKind::Restart
        }
        Some(DeviceWish::LeaveNetwork(time)) => {
            wish.duration_us = u64::try_from(time.as_micros()).unwrap_or(ESPSTRESS_NEVER);
            DeviceWishKind::LeaveNetwork
        }
        Some(DeviceWish::PowerSave(mode)) => {
            wish.power_save = power_save(mode);
            DeviceWishKind::PowerSave
        }
        Some(DeviceWish::Hang) => DeviceWishKind::Hang,
        Some(DeviceWish::Hoard(bytes)) => {
            wish.bytes = bytes;
            DeviceWishKind::Hoard
        }
    };
    wish
}

/// When `espstress_device_poll_wish` has something without anything else happening, or `ESPSTRESS_NEVER`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_next_wish_at(device: *mut Device) -> u64 {
    // SAFETY: the caller's promise.
    instant(unsafe { Device::get(device) }.and_then(|program| program.next_wish_at()))
}

/// Whether to dial now, and whom. To be answered with `espstress_connection_open_dialled` or
/// `espstress_device_dial_failed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_dial(
    device: *mut Device,
    now_us: u64,
    host: *mut DialHost,
) -> bool {
    // SAFETY: the caller's promise.
    let (program, place) = unsafe { (Device::get(device), host.as_mut()) };
    let (Some(program), Some(place)) = (program, place) else {
        return false;
    };
    match program.poll_dial(Instant::from_micros(now_us)) {
        Some(host) => {
            *place = DialHost::from_host(&host);
            true
        }
        None => false,
    }
}

/// When `espstress_device_dial` next has something, or `ESPSTRESS_NEVER`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_next_dial_at(device: *mut Device) -> u64 {
    // SAFETY: the caller's promise.
    instant(unsafe { Device::get(device) }.and_then(|program| program.next_dial_at()))
}

/// The dialled host has not answered; `error` is an `espstress_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_dial_failed(device: *mut Device, error_id: u8, now_us: u64) {
    // SAFETY: the caller's promise.
    if let Some(program) = unsafe { Device::get(device) } {
        program.dial_failed(error(error_id), Instant::from_micros(now_us));
    }
}

/// Answers a telemetry datagram into `out`, `ESPSTRESS_TELEMETRY_MAX` bytes for a whole one: the length of the
/// answer, or 0 when there is none. Null `readings` are those of a device that knows nothing of itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_device_answer_datagram(
    device: *mut Device,
    datagram: *const u8,
    datagram_len: usize,
    readings: *const ReadingsC,
    now_us: u64,
    out: *mut u8,
    out_len: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let (program, readings) = unsafe { (Device::get(device), readings.as_ref()) };
    let Some(program) = program else {
        return 0;
    };
    if out.is_null() {
        return 0;
    }
    // SAFETY: not null; so many bytes and nobody else's during the call, the caller's promise.
    let out = unsafe { core::slice::from_raw_parts_mut(out, out_len) };
    // SAFETY: the caller's promise.
    let datagram = unsafe { list(datagram, datagram_len) };
    let now = Instant::from_micros(now_us);
    let mut answer =
        |readings: &Readings<'_>| program.answer_datagram(datagram, readings, now, out).unwrap_or(0);
    match readings {
        // SAFETY: the caller's promise.
        Some(readings) => unsafe { readings.lend(answer) },
        None => answer(&Readings::default()),
    }
}
