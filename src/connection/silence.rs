//! Falling silent on one connection: a socket filter that drops every incoming segment, and a close that says
//! nothing.
//!
//! With the filter attached the kernel hears nothing on that socket, so it sends no ACK, FIN or RST in answer;
//! closing under TCP_REPAIR drops the socket without a FIN. Both need CAP_NET_ADMIN over the network namespace
//! on current Linux (the root of a user namespace has it there).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use socket2::SockRef;

/// Why a connection could not be silenced.
#[derive(Debug, thiserror::Error)]
pub enum SilenceError {
    /// The right is missing.
    #[error(
        "falling silent on a connection needs CAP_NET_ADMIN (socket filter: {0}); run inside the twin's network \
         (`espstress twin`), or allow it once with `{setcap} \"$(command -v espstress)\"`",
        setcap = espstress_event::SETCAP
    )]
    Denied(io::Error),
    /// This system has no such means.
    #[error("falling silent on a connection needs Linux socket filters")]
    Unsupported,
    /// Anything else.
    #[error("the socket filter could not be set: {0}")]
    Failed(io::Error),
}

impl From<io::Error> for SilenceError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Denied(error),
            _ => Self::Failed(error),
        }
    }
}

/// From now on the host neither hears nor answers anything on this connection.
///
/// # Errors
/// [`SilenceError`], with what is missing.
#[cfg(target_os = "linux")]
pub fn silence<S: AsFd>(socket: &S) -> Result<(), SilenceError> {
    // Classic BPF `ret #0`: keep no byte of any segment (BPF_RET | BPF_K).
    let drop_all = [socket2::SockFilter::new(0x06, 0, 0, 0)];
    Ok(SockRef::from(socket).attach_filter(&drop_all)?)
}

/// As [`silence`], but for a RST: the host answers nothing, and yet learns when the peer gives the connection up.
/// A RST is never answered, so the peer cannot tell the difference.
///
/// # Errors
/// [`SilenceError`], with what is missing.
#[cfg(target_os = "linux")]
pub(crate) fn silence_but_for_resets<S: AsFd>(socket: &S) -> Result<(), SilenceError> {
    // On a TCP socket the filter's data begins with the TCP header, whose byte 13 holds the flags (RFC 9293, 3.1).
    let only_resets = [
        // ldb [13]
        socket2::SockFilter::new(0x30, 0, 0, 13),
        // jset #RST, keep, drop
        socket2::SockFilter::new(0x45, 0, 1, 0x04),
        // keep: ret #-1
        socket2::SockFilter::new(0x06, 0, 0, u32::MAX),
        // drop: ret #0
        socket2::SockFilter::new(0x06, 0, 0, 0),
    ];
    Ok(SockRef::from(socket).attach_filter(&only_resets)?)
}

/// Ends [`silence`]: the host hears again, and its next retransmission or answer goes out.
///
/// # Errors
/// [`SilenceError`], with what is missing.
#[cfg(target_os = "linux")]
pub fn unsilence<S: AsFd>(socket: &S) -> Result<(), SilenceError> {
    Ok(SockRef::from(socket).detach_filter()?)
}

/// Makes the coming close of this socket silent: no FIN, no RST. Silence it first.
///
/// # Errors
/// [`SilenceError`], with what is missing.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "TCP_REPAIR has no safe binding")]
pub(crate) fn vanish<S: AsFd>(socket: &S) -> Result<(), SilenceError> {
    silence(socket)?;
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is borrowed and open for the call; the option value is a c_int that lives across it
    // and its length is passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_REPAIR,
            std::ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
}

/// Not to be had on this system.
///
/// # Errors
/// Always [`SilenceError::Unsupported`].
#[cfg(not(target_os = "linux"))]
pub fn silence<S: AsFd>(_: &S) -> Result<(), SilenceError> {
    Err(SilenceError::Unsupported)
}

/// Not to be had on this system.
///
/// # Errors
/// Always [`SilenceError::Unsupported`].
#[cfg(not(target_os = "linux"))]
pub fn silence_but_for_resets<S: AsFd>(_: &S) -> Result<(), SilenceError> {
    Err(SilenceError::Unsupported)
}

/// Not to be had on this system.
///
/// # Errors
/// Always [`SilenceError::Unsupported`].
#[cfg(not(target_os = "linux"))]
pub fn unsilence<S: AsFd>(_: &S) -> Result<(), SilenceError> {
    Err(SilenceError::Unsupported)
}

/// Not to be had on this system.
///
/// # Errors
/// Always [`SilenceError::Unsupported`].
#[cfg(not(target_os = "linux"))]
pub fn vanish<S: AsFd>(_: &S) -> Result<(), SilenceError> {
    Err(SilenceError::Unsupported)
}
