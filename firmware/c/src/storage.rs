//! Memory that C keeps for the program's state: of fixed size, so that it can be static or part of a struct.
//!
//! A place holds either nothing (all zero, as static memory starts) or a value that one of the init functions put
//! there, and a word that says which. A place is never moved by Rust; C may free it whenever it likes, as the values
//! own nothing outside of it.
#![expect(unsafe_code, reason = "the border to C: values live in memory that C owns")]

use core::mem::MaybeUninit;

use espstress_device::{Connection, Program};

/// Eight-byte words of a device's place.
pub const ESPSTRESS_DEVICE_WORDS: usize = 448;

/// Eight-byte words of a connection's place.
pub const ESPSTRESS_CONNECTION_WORDS: usize = 464;

/// In the first word of a place that holds a device.
const DEVICE: u64 = 0x6573_7074_6465_7631;

/// In the first word of a place that holds a connection.
const CONNECTION: u64 = 0x6573_7074_636f_6e31;

const fn fits<T>(words: usize) -> bool {
    size_of::<T>() <= words * 8 && align_of::<T>() <= align_of::<u64>()
}

const _: () = assert!(fits::<Program>(ESPSTRESS_DEVICE_WORDS), "raise ESPSTRESS_DEVICE_WORDS");
const _: () = assert!(fits::<Connection>(ESPSTRESS_CONNECTION_WORDS), "raise ESPSTRESS_CONNECTION_WORDS");

/// A place for the state that all connections share. One a device; zero it or leave it to static memory.
#[repr(C)]
pub struct Device {
    /// The library's own.
    holds: u64,
    /// The library's own.
    place: [MaybeUninit<u64>; ESPSTRESS_DEVICE_WORDS],
}

/// A place for one connection. Reused as often as needed; zero it or leave it to static memory.
#[repr(C)]
pub struct ConnectionStorage {
    /// The library's own.
    holds: u64,
    /// The library's own.
    place: [MaybeUninit<u64>; ESPSTRESS_CONNECTION_WORDS],
}

impl Device {
    /// Puts a program into the place that C points at; `false` when it points nowhere.
    ///
    /// # Safety
    /// The pointer is null or points to a whole, aligned [`Device`] that nobody else uses during the call.
    pub(crate) unsafe fn put(this: *mut Self, program: Program) -> bool {
        // SAFETY: as the caller promises; the words may be anything, which their type allows.
        let Some(this) = (unsafe { this.as_mut() }) else {
            return false;
        };
        // SAFETY: the place is large and aligned enough, asserted above; what it held is forgotten, which leaks nothing.
        unsafe { this.place.as_mut_ptr().cast::<Program>().write(program) };
        this.holds = DEVICE;
        true
    }

    /// The program in the place that C points at, if there is one.
    ///
    /// # Safety
    /// As [`Device::put`], for as long as the reference lives, and the place was zero before the first `put`.
    pub(crate) unsafe fn get<'a>(this: *mut Self) -> Option<&'a mut Program> {
        // SAFETY: as the caller promises.
        let this = unsafe { this.as_mut() }?;
        if this.holds != DEVICE {
            return None;
        }
        // SAFETY: `put` wrote a program there, said by the word that only `put` sets.
        Some(unsafe { &mut *this.place.as_mut_ptr().cast::<Program>() })
    }
}

impl ConnectionStorage {
    /// Puts a connection into the place that C points at; `false` when it points nowhere.
    ///
    /// # Safety
    /// As [`Device::put`].
    pub(crate) unsafe fn put(this: *mut Self, connection: Connection) -> bool {
        // SAFETY: as the caller promises; the words may be anything, which their type allows.
        let Some(this) = (unsafe { this.as_mut() }) else {
            return false;
        };
        // SAFETY: the place is large and aligned enough, asserted above; what it held is forgotten, which leaks nothing.
        unsafe { this.place.as_mut_ptr().cast::<Connection>().write(connection) };
        this.holds = CONNECTION;
        true
    }

    /// The connection in the place that C points at, if there is one.
    ///
    /// # Safety
    /// As [`Device::get`].
    pub(crate) unsafe fn get<'a>(this: *mut Self) -> Option<&'a mut Connection> {
        // SAFETY: as the caller promises.
        let this = unsafe { this.as_mut() }?;
        if this.holds != CONNECTION {
            return None;
        }
        // SAFETY: `put` wrote a connection there, said by the word that only `put` sets.
        Some(unsafe { &mut *this.place.as_mut_ptr().cast::<Connection>() })
    }
}
