//! Waiting for several sockets at once, and ending the wait from another thread.
//!
//! lwIP's `poll` sleeps on the calling thread's semaphore. A [`Waker`] signals that semaphore, but only
//! while its owner is inside a wait: at any other time the owner may be using it for a socket call.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{SocketError, check};
use crate::ffi::{self, PollFd, PollSemaphore};
use crate::socket::{Socket, millis};
use crate::tcp::{TcpListener, TcpStream};
use crate::udp::UdpSocket;

// lwip/sockets.h; c/shim.c checks them.
const IN: i16 = 0x1;
const OUT: i16 = 0x2;
const ERR: i16 = 0x4;
const NVAL: i16 = 0x8;
const HUP: i16 = 0x200;

/// What to wait for. Errors always end a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to receive or accept, or the peer's end.
    Readable,
    /// Room to send, or a connection made.
    Writable,
    /// Either.
    Both,
    /// Nothing but errors.
    Errors,
}

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readiness {
    bits: i16,
}

impl Readiness {
    /// There is something to receive or accept, or the peer's end.
    pub const fn readable(self) -> bool {
        self.bits & IN != 0
    }

    /// There is room to send.
    pub const fn writable(self) -> bool {
        self.bits & OUT != 0
    }

    /// The connection failed, or the socket is closed; the next call on it tells how.
    pub const fn error(self) -> bool {
        self.bits & (ERR | NVAL | HUP) != 0
    }

    /// Anything at all.
    pub const fn any(self) -> bool {
        self.bits != 0
    }
}

/// A socket that can be waited for.
pub trait Pollable: sealed::HasSocket {}

mod sealed {
    /// Gives this crate the socket without showing it.
    pub trait HasSocket {
        fn descriptor(&self) -> i32;
    }
}

macro_rules! pollable {
    ($($kind:ty),*) => {
        $(impl sealed::HasSocket for $kind {
            fn descriptor(&self) -> i32 {
                let socket: &Socket = &self.socket;
                socket.fd()
            }
        }
        impl Pollable for $kind {})*
    };
}
pollable!(TcpListener, TcpStream, UdpSocket);

/// A socket, what is waited for, and what was found. It keeps no hold on the socket: one that is
/// closed meanwhile is found to be in error.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct PollEntry {
    raw: PollFd,
}

impl PollEntry {
    /// An entry with nothing found yet.
    pub fn new(socket: &impl Pollable, interest: Interest) -> Self {
        let events = match interest {
            Interest::Readable => IN,
            Interest::Writable => OUT,
            Interest::Both => IN | OUT,
            Interest::Errors => 0,
        };
        Self {
            raw: PollFd {
                fd: socket.descriptor(),
                events,
                revents: 0,
            },
        }
    }

    /// What the last wait found.
    pub fn readiness(&self) -> Readiness {
        Readiness {
            bits: self.raw.revents,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    /// A wake that no wait has seen yet.
    woken: bool,
    /// The semaphore of the thread inside a wait.
    waiting: Option<PollSemaphore>,
}

/// Waits for sockets; one thread at a time, by `&mut self`.
#[derive(Debug, Default)]
pub struct Poll {
    state: Arc<Mutex<State>>,
    raw: Vec<PollFd>,
}

/// Ends the wait of a [`Poll`], from any thread.
#[derive(Debug, Clone)]
pub struct Waker {
    state: Arc<Mutex<State>>,
}

impl Poll {
    /// A new one, without allocation on the device's heap.
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that ends this one's waits.
    pub fn waker(&self) -> Waker {
        Waker {
            state: Arc::clone(&self.state),
        }
    }

    /// Waits until an entry is ready, a waker is used or the time is over (`None` is never), and
    /// gives the number of entries that are ready: 0 after a wake or the time-out. A wake between two
    /// waits ends the next one at once. Without entries it only waits.
    ///
    /// # Errors
    /// [`SocketError::BadSocket`] if a socket was closed during the wait.
    pub fn wait(
        &mut self,
        entries: &mut [PollEntry],
        timeout: Option<Duration>,
    ) -> Result<usize, SocketError> {
        let mut timeout_ms = match timeout {
            None => -1,
            Some(Duration::ZERO) => 0,
            Some(t) => millis(t),
        };
        {
            let mut state = lock(&self.state);
            if std::mem::take(&mut state.woken) {
                timeout_ms = 0;
            }
            state.waiting = Some(PollSemaphore::of_this_thread());
        }
        self.raw.clear();
        self.raw.extend(entries.iter().map(|e| e.raw));
        let ret = ffi::poll(&mut self.raw, timeout_ms);
        {
            let mut state = lock(&self.state);
            state.waiting = None;
            state.woken = false;
            // A wake may have come after the sleep: its signal must not reach the next socket call.
            ffi::clear_poll_semaphore();
        }
        for (entry, raw) in entries.iter_mut().zip(&self.raw) {
            entry.raw.revents = raw.revents;
        }
        check(ret)
    }
}

impl Waker {
    /// Ends the wait going on, or the next one.
    pub fn wake(&self) {
        let mut state = lock(&self.state);
        state.woken = true;
        if let Some(semaphore) = &state.waiting {
            semaphore.signal();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
