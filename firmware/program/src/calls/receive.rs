//! `read`, `recv` and their kin.

use std::net::SocketAddrV4;

use super::{Outcome, Try, flags};
use crate::memory::{Errno, Memory, Parts, sockaddr};
use crate::notify::Call;
use crate::readiness;
use crate::supervisor::Supervisor;
use crate::table::{Socket, SocketId};

/// Most bytes of one call: more than any window that lwIP has.
const MOST: usize = 1 << 20;

/// Longest datagram.
const DATAGRAM: usize = 1 << 16;

/// Where what is received goes.
struct Wanted {
    parts: Parts,
    /// Address and place of its length.
    name: Option<(u64, u64)>,
    /// A struct msghdr.
    message: Option<u64>,
}

/// What was received.
struct Received {
    bytes: Vec<u8>,
    /// Of a datagram, all of it.
    full: usize,
    from: Option<SocketAddrV4>,
}

/// Offsets in a struct msghdr of 64 bits, and the sizes of it and of struct mmsghdr.
pub(super) mod msghdr {
    pub(crate) const NAME: u64 = 0;
    pub(crate) const NAME_LEN: u64 = 8;
    pub(crate) const PARTS: u64 = 16;
    pub(crate) const PARTS_LEN: u64 = 24;
    pub(crate) const CONTROL_LEN: u64 = 40;
    pub(crate) const FLAGS: u64 = 48;
    pub(crate) const SIZE: u64 = 56;
    pub(crate) const WITH_LENGTH: u64 = 64;
}

impl Wanted {
    fn of(memory: Memory, call: &Call) -> Result<Self, Errno> {
        let a = &call.arguments;
        match call.number {
            libc::SYS_readv => Ok(Self { parts: memory.parts(a[1], a[2])?, name: None, message: None }),
            libc::SYS_recvfrom => {
                let name = (a[4] != 0).then_some((a[4], a[5]));
                Ok(Self { parts: Parts::one(a[1], a[2])?, name, message: None })
            }
            libc::SYS_recvmsg | libc::SYS_recvmmsg => Self::message(memory, a[1]),
            _ => Ok(Self { parts: Parts::one(a[1], a[2])?, name: None, message: None }),
        }
    }

    fn message(memory: Memory, at: u64) -> Result<Self, Errno> {
        let word = |offset| memory.read_array(at.wrapping_add(offset)).map(u64::from_ne_bytes);
        let parts = memory.parts(word(msghdr::PARTS)?, word(msghdr::PARTS_LEN)?)?;
        Ok(Self { parts, name: None, message: Some(at) })
    }

    /// Puts what was received where it belongs.
    fn fill(&self, memory: Memory, received: &Received) -> Result<(), Errno> {
        memory.scatter(&self.parts, &received.bytes)?;
        if let Some((at, len_at)) = self.name {
            match received.from {
                Some(from) => memory.write_address(at, len_at, from)?,
                None if len_at != 0 => memory.write_int(len_at, 0)?,
                None => {}
            }
        }
        let Some(message) = self.message else { return Ok(()) };
        let at = |offset| message.wrapping_add(offset);
        let name = u64::from_ne_bytes(memory.read_array(at(msghdr::NAME))?);
        let mut len = 0;
        if let (true, Some(from)) = (name != 0, received.from) {
            let room = usize::try_from(memory.read_int(at(msghdr::NAME_LEN))?).unwrap_or(0);
            let bytes = sockaddr(from);
            memory.write(name, &bytes[..room.min(bytes.len())])?;
            len = 16;
        }
        memory.write_int(at(msghdr::NAME_LEN), len)?;
        memory.write(at(msghdr::CONTROL_LEN), &0_u64.to_ne_bytes())?;
        let cut = received.full > received.bytes.len();
        memory.write_int(at(msghdr::FLAGS), if cut { flags::TRUNCATED } else { 0 })
    }
}

/// Where a call wants to have what comes, and what comes put there.
#[cfg(feature = "fuzzing")]
pub(crate) fn fill_for_fuzzing(memory: Memory, call: &Call, len: usize) {
    let Ok(wanted) = Wanted::of(memory, call) else { return };
    let from = Some(SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 80));
    for from in [None, from] {
        let received = Received { bytes: vec![0; len.min(wanted.parts.total)], full: len, from };
        let _ = wanted.fill(memory, &received);
    }
}

impl Supervisor {
    pub(super) fn receive(&mut self, id: SocketId, call: &Call, attempt: Try) -> Outcome {
        let bits = match call.number {
            libc::SYS_recvfrom | libc::SYS_recvmmsg => call.int(3),
            libc::SYS_recvmsg => call.int(2),
            _ => 0,
        };
        if bits & flags::ERRORS != 0 {
            return Outcome::Answer(Err(libc::EAGAIN));
        }
        if bits & flags::OUT_OF_BAND != 0 {
            return Outcome::Answer(Err(libc::EINVAL));
        }
        if bits & flags::WAIT_ALL != 0 && attempt == Try::First {
            self.note_unsupported("recv MSG_WAITALL");
        }
        let memory = Memory::of_thread(call.thread);
        let wanted = match Wanted::of(memory, call) {
            Ok(wanted) => wanted,
            Err(errno) => return Outcome::Answer(Err(errno)),
        };
        let Some(socket) = self.table.get(id) else { return Outcome::Answer(Err(libc::EBADF)) };
        let peek = bits & flags::PEEK != 0;
        let waits = !socket.non_blocking && bits & flags::DONT_WAIT == 0 && attempt != Try::Late;
        let received = match take(socket, wanted.parts.total, peek) {
            Err(libc::EAGAIN) if waits => return Outcome::Wait,
            Err(errno) => {
                self.settle(id, call);
                return Outcome::Answer(Err(errno));
            }
            Ok(received) => received,
        };
        let filled = wanted.fill(memory, &received);
        if call.number == libc::SYS_recvmmsg {
            return self.receive_several(id, call, received, filled, peek);
        }
        self.settle(id, call);
        let value = if bits & flags::TRUNCATED != 0 { received.full } else { received.bytes.len() };
        let answered = self.listener.answer(call, filled.map(|()| i64::try_from(value).unwrap_or(i64::MAX)));
        if !peek && (!answered || filled.is_err()) {
            self.give_back(id, received);
        }
        Outcome::Taken
    }

    /// The rest of `recvmmsg`: as many more as are there.
    fn receive_several(
        &mut self,
        id: SocketId,
        call: &Call,
        first: Received,
        filled: Result<(), Errno>,
        peek: bool,
    ) -> Outcome {
        let memory = Memory::of_thread(call.thread);
        let note_length = |at: u64, received: &Received| {
            let len = i32::try_from(received.bytes.len()).unwrap_or(i32::MAX);
            memory.write_int(at.wrapping_add(msghdr::SIZE), len)
        };
        let at = call.arguments[1];
        if let Err(errno) = filled.and_then(|()| note_length(at, &first)) {
            if !peek {
                self.give_back(id, first);
            }
            return Outcome::Answer(Err(errno));
        }
        let mut got = vec![first];
        let most = call.arguments[2].min(1_024);
        for index in 1..if peek { 1 } else { most } {
            let at = at.wrapping_add(index * msghdr::WITH_LENGTH);
            let Ok(wanted) = Wanted::message(memory, at) else { break };
            let Some(socket) = self.table.get(id) else { break };
            let Ok(received) = take(socket, wanted.parts.total, false) else { break };
            if wanted.fill(memory, &received).and_then(|()| note_length(at, &received)).is_err() {
                self.give_back(id, received);
                break;
            }
            got.push(received);
        }
        self.settle(id, call);
        if !self.listener.answer(call, Ok(i64::try_from(got.len()).unwrap_or(i64::MAX))) && !peek {
            for received in got.into_iter().rev() {
                self.give_back(id, received);
            }
        }
        Outcome::Taken
    }

    /// Keeps for the next caller what this one did not get: it was killed meanwhile, or its pointer was bad.
    fn give_back(&mut self, id: SocketId, received: Received) {
        let Some(socket) = self.table.get(id) else { return };
        match received.from {
            Some(from) => socket.replies.push_front((received.bytes, from)),
            None => {
                let mut bytes = std::collections::VecDeque::from(received.bytes);
                bytes.append(&mut socket.returned);
                socket.returned = bytes;
            }
        }
        readiness::mirror(socket, true);
    }
}

/// Takes what is there.
fn take(socket: &mut Socket, want: usize, peek: bool) -> Result<Received, Errno> {
    if socket.is_datagram() {
        return take_datagram(socket, want, peek);
    }
    let stream = |bytes: Vec<u8>| Received { full: bytes.len(), bytes, from: None };
    if want == 0 {
        return Ok(stream(Vec::new()));
    }
    if !socket.returned.is_empty() {
        let n = want.min(socket.returned.len());
        let bytes = match peek {
            true => socket.returned.iter().take(n).copied().collect(),
            false => socket.returned.drain(..n).collect(),
        };
        return Ok(stream(bytes));
    }
    let mut bytes = vec![0; want.min(MOST)];
    let (n, _) = socket.device.receive(&mut bytes, peek).map_err(|errno| errno.0)?;
    bytes.truncate(n);
    Ok(stream(bytes))
}

fn take_datagram(socket: &mut Socket, want: usize, peek: bool) -> Result<Received, Errno> {
    let kept = if peek { socket.replies.front().cloned() } else { socket.replies.pop_front() };
    let (mut bytes, from) = match kept {
        Some(kept) => kept,
        None => {
            let mut bytes = vec![0; DATAGRAM];
            let (n, from) = socket.device.receive(&mut bytes, peek).map_err(|errno| errno.0)?;
            bytes.truncate(n);
            (bytes, from)
        }
    };
    let full = bytes.len();
    bytes.truncate(want);
    Ok(Received { bytes, full, from: Some(from) })
}
