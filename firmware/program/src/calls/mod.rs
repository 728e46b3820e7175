//! The calls, one module a family. Each gives its outcome, or takes the call over.

mod accept;
mod connect;
mod control;
mod open;
mod options;
mod receive;
mod send;

use crate::notify::Call;
use crate::supervisor::Supervisor;
use crate::table::SocketId;
use crate::tracee;

pub(crate) use send::SendRest;

/// What the calls read of a program's memory and write to it.
#[cfg(feature = "fuzzing")]
pub(crate) fn decode_for_fuzzing(call: &Call, len: usize) {
    let memory = crate::memory::Memory::of_thread(call.thread);
    send::read_for_fuzzing(memory, call);
    receive::fill_for_fuzzing(memory, call, len);
    options::read_for_fuzzing(memory, call);
    let [_, at, len_at, ..] = call.arguments;
    if let Ok(Some(address)) = memory.address(at, len_at) {
        let _ = memory.write_address(at, len_at, address);
    }
}

/// What is to become of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Its value, or its error's number.
    Answer(Result<i64, i32>),
    /// The kernel carries it out.
    PassOn,
    /// It waits for its socket.
    Wait,
    /// It is answered already, or will be.
    Taken,
}

impl Outcome {
    const DONE: Self = Self::Answer(Ok(0));

    fn of(result: Result<(), i32>) -> Self {
        Self::Answer(result.map(|()| 0))
    }
}

/// Which time a call is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Try {
    First,
    Again,
    /// Its time-out is over.
    Late,
}

/// What a worker does.
#[derive(Debug)]
pub(crate) enum Unfinished {
    Close,
    Shutdown(SocketId, Call),
    Send(SendRest),
}

/// Flags of calls, by Linux's numbers.
pub(crate) mod flags {
    pub(crate) const PEEK: i32 = libc::MSG_PEEK;
    pub(crate) const DONT_WAIT: i32 = libc::MSG_DONTWAIT;
    pub(crate) const TRUNCATED: i32 = libc::MSG_TRUNC;
    pub(crate) const MORE: i32 = libc::MSG_MORE;
    pub(crate) const WAIT_ALL: i32 = libc::MSG_WAITALL;
    pub(crate) const OUT_OF_BAND: i32 = libc::MSG_OOB;
    pub(crate) const ERRORS: i32 = libc::MSG_ERRQUEUE;
}

impl Supervisor {
    /// Carries out a call that has just come in.
    pub(crate) fn handle(&mut self, call: &Call) {
        if call.number == libc::SYS_socket {
            let outcome = self.open(call);
            return self.conclude(call, outcome);
        }
        let inode = tracee::socket_inode(call.thread, call.descriptor());
        let Some(id) = inode.and_then(|inode| self.table.of_inode(inode)) else {
            if inode.is_none() && tracee::is_hidden(call.thread) {
                self.note_hidden();
            }
            return self.listener.pass_on(call);
        };
        match self.perform(id, call, Try::First) {
            Outcome::Wait => self.let_wait(id, call),
            outcome => self.conclude(call, outcome),
        }
    }

    pub(crate) fn note_hidden(&mut self) {
        self.note_unsupported(
            "the program made itself undumpable (it changed its user, or PR_SET_DUMPABLE), and espstress may not look into \
             it: run it without that, or run espstress as root",
        );
    }

    fn let_wait(&mut self, id: SocketId, call: &Call) {
        let Some(socket) = self.table.get(id) else { return };
        let timeout = match call.number {
            // lwIP has no time-out for it, and the stack's own ends it.
            libc::SYS_connect => None,
            libc::SYS_sendfile => socket.send_timeout,
            _ => socket.receive_timeout,
        };
        self.park(id, call, timeout);
    }

    /// Carries out a call on a socket.
    pub(crate) fn perform(&mut self, id: SocketId, call: &Call, attempt: Try) -> Outcome {
        match call.number {
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg => self.receive(id, call, attempt),
            libc::SYS_write
            | libc::SYS_writev
            | libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg => self.send(id, call),
            libc::SYS_sendfile => self.send_file(id, call, attempt),
            libc::SYS_accept | libc::SYS_accept4 => self.accept(id, call, attempt),
            libc::SYS_connect => self.connect(id, call, attempt),
            libc::SYS_bind => self.bind(id, call),
            libc::SYS_listen => self.listen(id, call),
            libc::SYS_shutdown => self.shutdown(id, call),
            libc::SYS_getsockname | libc::SYS_getpeername => self.name(id, call),
            libc::SYS_setsockopt => self.set_option(id, call),
            libc::SYS_getsockopt => self.get_option(id, call),
            libc::SYS_ioctl => self.ioctl(id, call),
            libc::SYS_fcntl => self.fcntl(id, call),
            libc::SYS_dup => self.duplicate(call, 0, false),
            _ => Outcome::PassOn,
        }
    }

    /// A worker is done.
    pub(crate) fn resume(&mut self, work: Unfinished, result: Result<usize, espstress_lwip::Errno>) {
        match work {
            Unfinished::Close => {}
            Unfinished::Shutdown(id, call) => {
                self.listener.answer(&call, result.map(|_| 0).map_err(|errno| errno.0));
                if let Some(socket) = self.table.get(id) {
                    crate::readiness::mirror(socket, false);
                }
            }
            Unfinished::Send(rest) => self.sent(rest, result),
        }
    }
}
