//! The functions of one connection.
#![expect(unsafe_code, reason = "the border to C: exported names and pointers")]
// What a caller has to keep to is said once, in the header's beginning and on the types.
#![expect(
    clippy::missing_safety_doc,
    reason = "the same for all: pointers are null or valid as their types say"
)]

use core::ptr;

use espstress_device::{Instant, Readings, Service, Wish};

use crate::storage::{ConnectionStorage, Device};
use crate::types::{CloseId, ConnectionWish, ReadingsC, Status, WishKind, close, error, instant, service};

/// Starts the program's side of a connection that the stack has accepted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_open(
    connection: *mut ConnectionStorage,
    device: *mut Device,
    service_id: u8,
    now_us: u64,
) -> Status {
    // SAFETY: the caller's promise.
    let Some(program) = (unsafe { Device::get(device) }) else {
        return Status::Nothing;
    };
    if connection.is_null() {
        return Status::Nothing;
    }
    let Some(service) = service(service_id).filter(|&service| service != Service::Telemetry) else {
        return Status::Number;
    };
    let opened = program.open(service, Instant::from_micros(now_us));
    // SAFETY: the caller's promise; not null, so it is put there.
    unsafe { ConnectionStorage::put(connection, opened) };
    Status::Ok
}

/// Starts the program's side of the connection to the host that `espstress_device_dial` named.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_open_dialled(
    connection: *mut ConnectionStorage,
    device: *mut Device,
    now_us: u64,
) -> Status {
    // SAFETY: the caller's promise.
    let Some(program) = (unsafe { Device::get(device) }) else {
        return Status::Nothing;
    };
    if connection.is_null() {
        return Status::Nothing;
    }
    let opened = program.dialled(Instant::from_micros(now_us));
    // SAFETY: the caller's promise; not null, so it is put there.
    unsafe { ConnectionStorage::put(connection, opened) };
    Status::Ok
}

/// What to do next. A place that holds nothing wants to hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_next(
    connection: *mut ConnectionStorage,
    device: *mut Device,
    now_us: u64,
) -> ConnectionWish {
    let mut answer = ConnectionWish {
        kind: WishKind::Hold,
        close: CloseId::Orderly,
        len: 0,
        space: ptr::null_mut(),
        bytes: ptr::null(),
    };
    // SAFETY: the caller's promise; two places, so that they do not overlap.
    let (connection, program) = unsafe { (ConnectionStorage::get(connection), Device::get(device)) };
    let (Some(connection), Some(program)) = (connection, program) else {
        return answer;
    };
    match connection.next(program, Instant::from_micros(now_us)) {
        Wish::Read(space) => {
            answer.kind = WishKind::Read;
            answer.len = space.len();
            answer.space = space.as_mut_ptr();
        }
        Wish::Write(bytes) => {
            answer.kind = WishKind::Write;
            answer.len = bytes.len();
            answer.bytes = bytes.as_ptr();
        }
        Wish::Readings => answer.kind = WishKind::Readings,
        Wish::ShutdownWrite => answer.kind = WishKind::ShutdownWrite,
        Wish::Hold => answer.kind = WishKind::Hold,
        Wish::Close(how) => {
            answer.kind = WishKind::Close;
            answer.close = close(how);
        }
    }
    answer
}

/// So many bytes were read to the space of the last wish.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_received(connection: *mut ConnectionStorage, len: usize) {
    // SAFETY: the caller's promise.
    if let Some(connection) = unsafe { ConnectionStorage::get(connection) } {
        connection.received(len);
    }
}

/// So many of the bytes of the last wish were taken by the stack.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_sent(connection: *mut ConnectionStorage, len: usize) {
    // SAFETY: the caller's promise.
    if let Some(connection) = unsafe { ConnectionStorage::get(connection) } {
        connection.sent(len);
    }
}

/// The peer has closed its sending direction, and everything before that was read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_peer_closed(connection: *mut ConnectionStorage) {
    // SAFETY: the caller's promise.
    if let Some(connection) = unsafe { ConnectionStorage::get(connection) } {
        connection.peer_closed();
    }
}

/// The stack reports that the connection is gone; `error` is an `espstress_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_failed(connection: *mut ConnectionStorage, error_id: u8) {
    // SAFETY: the caller's promise.
    if let Some(connection) = unsafe { ConnectionStorage::get(connection) } {
        connection.failed(error(error_id));
    }
}

/// Answers the wish for readings. Null ones are those of a device that knows nothing of itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_provide(
    connection: *mut ConnectionStorage,
    device: *mut Device,
    readings: *const ReadingsC,
    now_us: u64,
) {
    // SAFETY: the caller's promise; places that do not overlap.
    let (connection, program, readings) =
        unsafe { (ConnectionStorage::get(connection), Device::get(device), readings.as_ref()) };
    let (Some(connection), Some(program)) = (connection, program) else {
        return;
    };
    let now = Instant::from_micros(now_us);
    match readings {
        // SAFETY: the caller's promise.
        Some(readings) => unsafe { readings.lend(|readings| connection.provide(program, readings, now)) },
        None => connection.provide(program, &Readings::default(), now),
    }
}

/// When to ask for the next wish at the latest, even if nothing happens, or `ESPSTRESS_NEVER`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn espstress_connection_deadline(connection: *mut ConnectionStorage) -> u64 {
    // SAFETY: the caller's promise.
    instant(unsafe { ConnectionStorage::get(connection) }.and_then(|connection| connection.deadline()))
}
