//! Makes a descriptor as readable and as writable as its socket, so that the kernel's `poll`, `select` and `epoll` see it.
//!
//! Readable: a byte lies at the program's end, and one more for each further event, which edge-triggered `epoll` waits for.
//! Not writable: its small send buffer is full. Nobody in the program reads or writes these bytes, as those calls come
//! here.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::table::Socket;

/// More bytes than this say nothing more.
const MOST_SHOWN: u32 = 64;

/// Enough to fill the smallest send buffer there is (SOCK_MIN_SNDBUF).
const FILL: [u8; 2_048] = [0; 2_048];

/// After an event of lwIP, or when it may have become ready meanwhile.
pub(crate) fn mirror(socket: &mut Socket, event: bool) {
    let ready = socket.device.ready();
    let readable = socket.has_kept() || ready.readable();
    if readable && (socket.shown == 0 || (event && socket.shown < MOST_SHOWN)) {
        show(socket);
    }
    if socket.filled && ready.writable() {
        let mut junk = [0; 4_096];
        while (&socket.end).read(&mut junk).is_ok_and(|n| n > 0) {}
        socket.filled = false;
    }
    if ready.writable() {
        socket.connecting = false;
    }
}

fn show(socket: &mut Socket) {
    if (&socket.end).write(b"r").is_ok_and(|n| n == 1) {
        socket.shown += 1;
    }
}

/// After a call took something: is it still readable? `theirs` gets at the program's end.
pub(crate) fn settle(socket: &mut Socket, theirs: impl FnOnce() -> Option<OwnedFd>) {
    if socket.shown == 0 || socket.is_readable() {
        return;
    }
    let Some(theirs) = theirs() else { return };
    let mut junk = [0; MOST_SHOWN as usize];
    let theirs = UnixStream::from(theirs);
    // As many as were written: reading one too many would wait, as the program's end may be a blocking one.
    let mut left = socket.shown as usize;
    while left > 0 {
        match (&theirs).read(&mut junk[..left]) {
            Ok(n) if n > 0 => left -= n,
            _ => break,
        }
    }
    socket.shown = 0;
    // It may have become readable meanwhile.
    mirror(socket, false);
}

/// Keeps the program's end from being writable until the socket is.
pub(crate) fn fill(socket: &mut Socket, theirs: impl FnOnce() -> Option<OwnedFd>) {
    if socket.filled || socket.device.ready().writable() {
        return;
    }
    let Some(theirs) = theirs() else { return };
    if send_without_waiting(&theirs) {
        socket.filled = true;
    }
    // It may have become writable meanwhile.
    mirror(socket, false);
}

fn send_without_waiting(theirs: &OwnedFd) -> bool {
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    send(theirs.as_raw_fd(), &FILL, flags).is_ok_and(|n| n > 0)
}
