//! `ioctl`, `fcntl`, `dup`: what changes a descriptor. The flags are the kernel's; `O_NONBLOCK` is noted on its way there.

use std::os::fd::AsFd;

use super::Outcome;
use super::open::NotHanded;
use crate::memory::Memory;
use crate::notify::Call;
use crate::supervisor::Supervisor;
use crate::table::SocketId;

impl Supervisor {
    pub(super) fn ioctl(&mut self, id: SocketId, call: &Call) -> Outcome {
        let request = call.arguments[1] as u32;
        let memory = Memory::of_thread(call.thread);
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        if request == libc::FIONBIO as u32 {
            if let Ok(on) = memory.read_int(call.arguments[2]) {
                socket.non_blocking = on != 0;
            }
            return Outcome::PassOn;
        }
        if request == libc::FIONREAD as u32 {
            let kept = socket.returned.len();
            return match socket.device.unread() {
                Ok(n) => {
                    let n = i32::try_from(n + kept).unwrap_or(i32::MAX);
                    Outcome::of(memory.write_int(call.arguments[2], n))
                }
                Err(errno) => {
                    self.note_unsupported("ioctl FIONREAD");
                    Outcome::Answer(Err(errno.0))
                }
            };
        }
        Outcome::PassOn
    }

    pub(super) fn fcntl(&mut self, id: SocketId, call: &Call) -> Outcome {
        match call.int(1) {
            libc::F_SETFL => {
                if let Some(socket) = self.table.get(id) {
                    socket.non_blocking = call.int(2) & libc::O_NONBLOCK != 0;
                }
                Outcome::PassOn
            }
            libc::F_DUPFD => self.duplicate(call, call.int(2), false),
            libc::F_DUPFD_CLOEXEC => self.duplicate(call, call.int(2), true),
            _ => Outcome::PassOn,
        }
    }

    /// A copy stays in the range that is handed over.
    pub(super) fn duplicate(&mut self, call: &Call, least: i32, close_on_exec: bool) -> Outcome {
        let Some(theirs) = self.reach.descriptor(call.thread, call.descriptor()) else {
            return Outcome::Answer(Err(libc::EBADF));
        };
        match self.hand_over(call, theirs.as_fd(), least, close_on_exec) {
            Ok(()) | Err(NotHanded::Gone) => Outcome::Taken,
            Err(NotHanded::Refused(errno)) => Outcome::Answer(Err(errno)),
        }
    }
}
