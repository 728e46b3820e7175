//! `write`, `send` and their kin, and `sendfile`.

use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use nix::sys::uio::pread;
use nix::unistd::{Whence, lseek};

use super::receive::msghdr;
use super::{Outcome, Try, Unfinished, flags};
use crate::memory::{Errno, Memory, Parts};
use crate::names;
use crate::notify::Call;
use crate::readiness;
use crate::supervisor::Supervisor;
use crate::table::{Socket, SocketId};
use crate::workers::Work;

/// Most bytes of one call; one that has more is told a smaller number.
const MOST: usize = 64 << 20;

/// Most bytes of one `sendfile`.
const MOST_OF_A_FILE: usize = 1 << 20;

/// A send that goes on in a worker.
#[derive(Debug)]
pub(crate) struct SendRest {
    id: SocketId,
    call: Call,
    /// Sent before.
    done: usize,
    file: Option<Source>,
}

/// What `sendfile` reads from.
#[derive(Debug)]
struct Source {
    file: OwnedFd,
    /// Where the program keeps the offset; the file does if it does not.
    offset_at: Option<u64>,
    offset: i64,
}

impl Source {
    /// Notes that so many bytes have been taken.
    fn advance(&self, memory: Memory, sent: usize) -> Result<(), Errno> {
        let offset = self.offset.saturating_add(i64::try_from(sent).unwrap_or(i64::MAX));
        match self.offset_at {
            Some(at) => memory.write(at, &offset.to_ne_bytes()),
            None => {
                lseek(self.file.as_fd(), offset, Whence::SeekSet).map(drop).map_err(|errno| errno as Errno)
            }
        }
    }
}

/// What is to be sent, and where to.
struct Message {
    parts: Parts,
    to: Option<SocketAddrV4>,
}

impl Message {
    fn of(memory: Memory, call: &Call) -> Result<Self, Errno> {
        let a = &call.arguments;
        match call.number {
            libc::SYS_writev => Ok(Self { parts: memory.parts(a[1], a[2])?, to: None }),
            libc::SYS_sendto => {
                let to = if a[4] == 0 { None } else { memory.address(a[4], a[5])? };
                Ok(Self { parts: Parts::one(a[1], a[2])?, to })
            }
            libc::SYS_sendmsg | libc::SYS_sendmmsg => Self::at(memory, a[1]),
            _ => Ok(Self { parts: Parts::one(a[1], a[2])?, to: None }),
        }
    }

    /// A struct msghdr.
    fn at(memory: Memory, at: u64) -> Result<Self, Errno> {
        let word = |offset| memory.read_array(at.wrapping_add(offset)).map(u64::from_ne_bytes);
        let name = word(msghdr::NAME)?;
        let len = u64::from(memory.read_int(at.wrapping_add(msghdr::NAME_LEN))?.cast_unsigned());
        let to = if name == 0 || len == 0 { None } else { memory.address(name, len)? };
        Ok(Self { parts: memory.parts(word(msghdr::PARTS)?, word(msghdr::PARTS_LEN)?)?, to })
    }
}

/// What a call asks to be sent, as far as it can be read.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_for_fuzzing(memory: Memory, call: &Call) {
    let Ok(message) = Message::of(memory, call) else { return };
    if let Ok(bytes) = memory.gather(&message.parts, MOST) {
        assert!(bytes.len() <= message.parts.total && bytes.len() <= MOST);
    }
}

impl Supervisor {
    pub(super) fn send(&mut self, id: SocketId, call: &Call) -> Outcome {
        let bits = match call.number {
            libc::SYS_sendto | libc::SYS_sendmmsg => call.int(3),
            libc::SYS_sendmsg => call.int(2),
            _ => 0,
        };
        if bits & flags::OUT_OF_BAND != 0 {
            self.note_unsupported("send MSG_OOB");
            return Outcome::Answer(Err(libc::EOPNOTSUPP));
        }
        let memory = Memory::of_thread(call.thread);
        let message = match Message::of(memory, call) {
            Ok(message) => message,
            Err(errno) => return Outcome::Answer(Err(errno)),
        };
        let Some(socket) = self.table.get(id) else { return Outcome::Answer(Err(libc::EBADF)) };
        if socket.is_datagram() {
            let sent = send_datagram(socket, memory, &message);
            return if call.number == libc::SYS_sendmmsg {
                self.send_several(id, call, sent)
            } else {
                Outcome::Answer(sent)
            };
        }
        let bytes = match memory.gather(&message.parts, MOST) {
            Ok(bytes) => bytes,
            Err(errno) => return Outcome::Answer(Err(errno)),
        };
        self.send_stream(id, call, bytes, bits, None)
    }

    /// The rest of `sendmmsg`.
    fn send_several(&mut self, id: SocketId, call: &Call, first: Result<i64, Errno>) -> Outcome {
        let memory = Memory::of_thread(call.thread);
        let place = |index: u64| call.arguments[1].wrapping_add(index * msghdr::WITH_LENGTH);
        let note = |index: u64, sent: i64| {
            let len = i32::try_from(sent).unwrap_or(i32::MAX);
            memory.write_int(place(index).wrapping_add(msghdr::SIZE), len)
        };
        if let Err(errno) = first.and_then(|sent| note(0, sent)) {
            return Outcome::Answer(Err(errno));
        }
        let mut count = 1;
        while count < call.arguments[2].min(1_024) {
            let Some(socket) = self.table.get(id) else { break };
            let sent = Message::at(memory, place(count)).and_then(|one| send_datagram(socket, memory, &one));
            if sent.and_then(|sent| note(count, sent)).is_err() {
                break;
            }
            count += 1;
        }
        Outcome::Answer(Ok(count.cast_signed()))
    }

    /// Sends on a stream: what fits at once, and the rest, if the caller waits, in the real call.
    fn send_stream(
        &mut self,
        id: SocketId,
        call: &Call,
        bytes: Vec<u8>,
        bits: i32,
        file: Option<Source>,
    ) -> Outcome {
        let more = bits & flags::MORE != 0;
        let send_buffer = self.stack.options().tcp_snd_buf as usize;
        let Some(socket) = self.table.get(id) else { return Outcome::Answer(Err(libc::EBADF)) };
        let waits = !socket.non_blocking && bits & flags::DONT_WAIT == 0;
        // More follows for certain when it cannot fit, as lwIP itself would know.
        let sent = socket.device.send(&bytes, more || (waits && bytes.len() > send_buffer));
        let done = match sent {
            Ok(n) => n,
            Err(errno) if errno.0 == libc::EAGAIN && waits => 0,
            Err(errno) => {
                if errno.0 == libc::EAGAIN {
                    self.fill(id, call);
                }
                return Outcome::Answer(Err(errno.0));
            }
        };
        if waits && done < bytes.len() {
            let rest = bytes[done..].to_vec();
            let job = self.workers.start(Arc::clone(&socket.device), Work::Send { bytes: rest, more });
            self.unfinished.insert(job, Unfinished::Send(SendRest { id, call: *call, done, file }));
            return Outcome::Taken;
        }
        self.fill(id, call);
        let advanced = file.map_or(Ok(()), |file| file.advance(Memory::of_thread(call.thread), done));
        Outcome::Answer(advanced.map(|()| i64::try_from(done).unwrap_or(i64::MAX)))
    }

    /// A worker has sent the rest, or could not.
    pub(super) fn sent(&mut self, rest: SendRest, result: Result<usize, espstress_lwip::Errno>) {
        let SendRest { id, call, done, file } = rest;
        let result = match result {
            Ok(n) => Ok(done + n),
            Err(_) if done > 0 => Ok(done),
            Err(errno) => Err(errno.0),
        };
        self.fill(id, &call);
        let result = result.and_then(|sent| {
            if let Some(file) = &file {
                file.advance(Memory::of_thread(call.thread), sent)?;
            }
            Ok(i64::try_from(sent).unwrap_or(i64::MAX))
        });
        self.listener.answer(&call, result);
    }

    /// `sendfile`, as programs that use it have no other way.
    pub(super) fn send_file(&mut self, id: SocketId, call: &Call, _attempt: Try) -> Outcome {
        let memory = Memory::of_thread(call.thread);
        match self.read_file(memory, call) {
            Ok((bytes, _)) if bytes.is_empty() => Outcome::DONE,
            Ok((bytes, source)) => self.send_stream(id, call, bytes, 0, Some(source)),
            Err(errno) => Outcome::Answer(Err(errno)),
        }
    }

    fn read_file(&mut self, memory: Memory, call: &Call) -> Result<(Vec<u8>, Source), Errno> {
        let file = self.reach.descriptor(call.thread, call.int(1)).ok_or(libc::EBADF)?;
        let offset_at = Some(call.arguments[2]).filter(|at| *at != 0);
        let offset = match offset_at {
            Some(at) => i64::from_ne_bytes(memory.read_array(at)?),
            None => lseek(file.as_fd(), 0, Whence::SeekCur).map_err(|_| libc::EINVAL)?,
        };
        let len = usize::try_from(call.arguments[3]).unwrap_or(usize::MAX).min(MOST_OF_A_FILE);
        let mut bytes = vec![0; len];
        let n = pread(file.as_fd(), &mut bytes, offset).map_err(|_| libc::EINVAL)?;
        bytes.truncate(n);
        Ok((bytes, Source { file, offset_at, offset }))
    }
}

fn send_datagram(socket: &mut Socket, memory: Memory, message: &Message) -> Result<i64, Errno> {
    if message.parts.total > usize::from(u16::MAX) {
        return Err(libc::EMSGSIZE);
    }
    let bytes = memory.gather(&message.parts, usize::from(u16::MAX))?;
    let to = message.to.or(socket.peer);
    if let Some(server) = to.filter(|to| to.port() == names::PORT) {
        if let Some(answer) = names::no_such_name(&bytes) {
            socket.replies.push_back((answer, server));
            readiness::mirror(socket, true);
        }
        return Ok(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
    }
    let sent = match message.to {
        Some(to) => socket.device.send_to(&bytes, to),
        None => socket.device.send(&bytes, false),
    };
    sent.map(|n| i64::try_from(n).unwrap_or(i64::MAX)).map_err(|errno| errno.0)
}
