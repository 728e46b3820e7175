//! `socket`, and how a descriptor gets into the program.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use espstress_lwip::{DeviceSocket, Kind};

use super::Outcome;
use crate::notify::Call;
use crate::readiness;
use crate::supervisor::Supervisor;
use crate::tracee::{self, NoNumber};

/// Why a descriptor was not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotHanded {
    /// Nobody waits for it any more.
    Gone,
    /// It has no number for it.
    Refused(i32),
}

impl Supervisor {
    pub(super) fn open(&mut self, call: &Call) -> Outcome {
        /// Kinds are below their flags.
        const KIND: i32 = 0xf;
        let bits = call.int(1);
        let kind = match bits & KIND {
            libc::SOCK_STREAM => Kind::Stream,
            libc::SOCK_DGRAM => Kind::Datagram,
            other => {
                let name = if other == libc::SOCK_RAW { "SOCK_RAW".to_owned() } else { other.to_string() };
                self.note_unsupported(format!("socket type {name}"));
                return Outcome::Answer(Err(libc::EPROTONOSUPPORT));
            }
        };
        let opened = match DeviceSocket::open(&self.stack, kind) {
            Err(errno) if matches!(errno.0, libc::ENFILE | libc::ENOBUFS) => {
                // One may have been closed a moment ago.
                self.collect_hang_ups();
                if self.closing > 0 {
                    self.openers.push_back(*call);
                    return Outcome::Taken;
                }
                DeviceSocket::open(&self.stack, kind)
            }
            result => result,
        };
        let device = match opened {
            Ok(device) => Arc::new(device),
            Err(errno) => return Outcome::Answer(Err(errno.0)),
        };
        let close_on_exec = bits & libc::SOCK_CLOEXEC != 0;
        match self.install(call, device, bits & libc::SOCK_NONBLOCK != 0, close_on_exec) {
            Ok(()) | Err((NotHanded::Gone, _)) => Outcome::Taken,
            Err((NotHanded::Refused(errno), _)) => Outcome::Answer(Err(errno)),
        }
    }

    /// Gives the program a descriptor for a socket as the call's answer; the socket back if that does not work.
    pub(super) fn install(
        &mut self,
        call: &Call,
        device: Arc<DeviceSocket>,
        non_blocking: bool,
        close_on_exec: bool,
    ) -> Result<(), (NotHanded, Arc<DeviceSocket>)> {
        let kept = Arc::clone(&device);
        let Ok((id, theirs)) = self.table.adopt(device, non_blocking) else {
            return Err((NotHanded::Refused(libc::EMFILE), kept));
        };
        // What has come in before shows at once.
        if let Some(socket) = self.table.get(id) {
            readiness::mirror(socket, false);
        }
        match self.hand_over(call, theirs.as_fd(), 0, close_on_exec) {
            Ok(()) => {
                drop(theirs);
                // Without it the socket's end would never be known; the table holds at most as many as lwIP has.
                let _ = self.watch(id);
                Ok(())
            }
            Err(why) => {
                self.table.remove(id);
                Err((why, kept))
            }
        }
    }

    /// Installs a copy of `descriptor` in the caller, its number the call's answer.
    pub(super) fn hand_over(
        &mut self,
        call: &Call,
        descriptor: BorrowedFd<'_>,
        least: i32,
        close_on_exec: bool,
    ) -> Result<(), NotHanded> {
        let number = match tracee::free_number(call.thread, least) {
            Ok(number) => number,
            Err(NoNumber::Used) => return Err(NotHanded::Refused(libc::EMFILE)),
            Err(NoNumber::Hidden) => {
                self.note_hidden();
                return Err(NotHanded::Refused(libc::EPERM));
            }
        };
        self.listener.hand_over(call, descriptor, number, close_on_exec).map_err(|error| {
            match error.raw_os_error() {
                // Above the program's own limit of open files.
                Some(libc::EBADF | libc::EMFILE) => NotHanded::Refused(libc::EMFILE),
                _ => NotHanded::Gone,
            }
        })
    }
}
