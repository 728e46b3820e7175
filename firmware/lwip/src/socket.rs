//! A descriptor of lwIP's socket table that is closed once.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use crate::error::{SocketError, check};
use crate::ffi::{self, Setting};

/// Sockets opened and not closed, leaked ones included.
static OPEN: AtomicU32 = AtomicU32::new(0);

/// How many sockets are open.
pub(crate) fn open_count() -> u32 {
    OPEN.load(Ordering::Relaxed)
}

/// An open socket; closed when dropped.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: i32,
    /// Closed, aborted or leaked already.
    gone: AtomicBool,
}

impl Socket {
    /// Takes over what a call that opens a socket returned.
    pub(crate) fn opened(ret: i32) -> Result<Self, SocketError> {
        check(ret)?;
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(Self { fd: ret, gone: AtomicBool::new(false) })
    }

    pub(crate) fn fd(&self) -> i32 {
        self.fd
    }

    pub(crate) fn set(&self, setting: Setting, value: i32) -> Result<(), SocketError> {
        check(ffi::set(self.fd, setting, value)).map(drop)
    }

    /// Sets a time-out; `None` waits for ever, and anything shorter than a millisecond is one.
    pub(crate) fn set_timeout(&self, setting: Setting, timeout: Option<Duration>) -> Result<(), SocketError> {
        self.set(setting, timeout.map_or(0, millis))
    }

    pub(crate) fn local_addr(&self) -> Result<SocketAddrV4, SocketError> {
        let (ret, addr) = ffi::local_addr(self.fd);
        check(ret).map(|_| addr)
    }

    pub(crate) fn peer_addr(&self) -> Result<SocketAddrV4, SocketError> {
        let (ret, addr) = ffi::peer_addr(self.fd);
        check(ret).map(|_| addr)
    }

    /// Closes, and says how that went.
    pub(crate) fn close(self) -> Result<(), SocketError> {
        self.close_once().map_or(Ok(()), |ret| check(ret).map(drop))
    }

    /// The same while others may be inside of a call on it; `None` if it is closed already.
    pub(crate) fn close_once(&self) -> Option<i32> {
        (!self.gone.swap(true, Ordering::Relaxed)).then(|| self.close_now(ffi::close))
    }

    /// Closes with a reset.
    pub(crate) fn abort(self) -> Result<(), SocketError> {
        self.gone.store(true, Ordering::Relaxed);
        check(self.close_now(ffi::abort)).map(drop)
    }

    /// Forgets the socket without closing it: its place in the table is gone for good.
    pub(crate) fn leak(self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    fn close_now(&self, how: extern "C" fn(i32) -> i32) -> i32 {
        let ret = how(self.fd);
        // lwIP keeps the place when the closing failed, for want of memory for instance.
        if ret >= 0 {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        ret
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close_once();
    }
}

/// Whole milliseconds, at least one, at most what fits.
pub(crate) fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_micros().div_ceil(1000).max(1)).unwrap_or(i32::MAX)
}

/// Whole seconds, at least one: what keep-alive times are counted in.
pub(crate) fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis().div_ceil(1000).max(1)).unwrap_or(i32::MAX)
}
