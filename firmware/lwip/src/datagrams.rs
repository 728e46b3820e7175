//! UDP without a socket: a port of the stack's own, for what must not take one of the program's sockets.

use std::net::SocketAddrV4;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::error::{SocketError, check};
use crate::ffi;
use crate::stack::Stack;

type Receiver = Box<dyn FnMut(&[u8], SocketAddrV4) + Send>;

static RECEIVER: Mutex<Option<Receiver>> = Mutex::new(None);

/// An open port; closed when dropped.
#[derive(Debug)]
pub struct Datagrams {
    _open: (),
}

impl Datagrams {
    /// Opens a port. `receive` gets each datagram (of long ones the beginning) in the tcpip thread: it must return
    /// quickly and send nothing, as sending waits for that very thread.
    ///
    /// # Errors
    /// [`SocketError::AddressInUse`], also when there is such a port already; [`SocketError::NoMemory`].
    pub fn open(
        _stack: &Stack,
        port: u16,
        receive: impl FnMut(&[u8], SocketAddrV4) + Send + 'static,
    ) -> Result<Self, SocketError> {
        check(ffi::datagrams_open(port))?;
        *RECEIVER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(receive));
        Ok(Self { _open: () })
    }

    /// Sends a datagram from the port.
    ///
    /// # Errors
    /// lwIP's.
    pub fn send(&self, bytes: &[u8], to: SocketAddrV4) -> Result<(), SocketError> {
        check(ffi::datagrams_send(bytes, to)).map(drop)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        ffi::datagrams_close();
        *RECEIVER.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[expect(unsafe_code, reason = "called by name from C, with a pointer and a length")]
#[unsafe(no_mangle)]
extern "C" fn esl_datagram(buf: *const u8, len: usize, ip: u32, port: u16) {
    // SAFETY: the C side passes a buffer of `len` bytes that stays as it is during the call.
    let bytes = unsafe { std::slice::from_raw_parts(buf, len) };
    if let Some(receive) = RECEIVER.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        // A panic must not pass through C; the datagram is lost, as on a link.
        let _ = catch_unwind(AssertUnwindSafe(|| receive(bytes, ffi::socket_addr(ip, port))));
    }
}
