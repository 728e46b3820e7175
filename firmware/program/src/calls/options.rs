//! `setsockopt` and `getsockopt`. What the stack has not is `ENOPROTOOPT`, and noted.

use std::time::Duration;

use espstress_lwip::Kind;

use super::Outcome;
use crate::memory::Memory;
use crate::notify::Call;
use crate::supervisor::Supervisor;
use crate::table::SocketId;

/// Longest value of an option that is passed on.
const LONGEST: usize = 128;

/// The time-outs with 64-bit seconds, which 64-bit programs may name as well (asm-generic/socket.h).
const SO_RCVTIMEO_NEW: i32 = 66;
const SO_SNDTIMEO_NEW: i32 = 67;

impl Supervisor {
    pub(super) fn set_option(&mut self, id: SocketId, call: &Call) -> Outcome {
        let (level, name) = (call.int(1), plain(call.int(1), call.int(2)));
        let Ok(len) = usize::try_from(call.int(4)) else { return Outcome::Answer(Err(libc::EINVAL)) };
        let mut value = [0; LONGEST];
        let value = &mut value[..len.min(LONGEST)];
        if let Err(errno) = Memory::of_thread(call.thread).read(call.arguments[3], value) {
            return Outcome::Answer(Err(errno));
        }
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        if let (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) = (level, name) {
            let Some(timeout) = time(value) else { return Outcome::Answer(Err(libc::EDOM)) };
            let timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
            match name {
                libc::SO_RCVTIMEO => socket.receive_timeout = timeout,
                _ => socket.send_timeout = timeout,
            }
        }
        let result = socket.device.set_option(level, name, value).map_err(|errno| errno.0);
        self.note_option(&result, "setsockopt", level, name);
        Outcome::of(result)
    }

    pub(super) fn get_option(&mut self, id: SocketId, call: &Call) -> Outcome {
        let (level, name) = (call.int(1), plain(call.int(1), call.int(2)));
        let memory = Memory::of_thread(call.thread);
        let room = match memory.read_int(call.arguments[4]).map(usize::try_from) {
            Ok(Ok(room)) => room.min(LONGEST),
            Ok(Err(_)) => return Outcome::Answer(Err(libc::EINVAL)),
            Err(errno) => return Outcome::Answer(Err(errno)),
        };
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        let mut value = [0; LONGEST];
        let kind = socket.device.kind();
        let known = match (level, name) {
            (libc::SOL_SOCKET, libc::SO_DOMAIN) => Some(libc::AF_INET),
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) if kind == Kind::Stream => Some(libc::IPPROTO_TCP),
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => Some(libc::IPPROTO_UDP),
            _ => None,
        };
        let result = match known {
            Some(number) => {
                value[..4].copy_from_slice(&number.to_ne_bytes());
                Ok(room.min(4))
            }
            None => socket.device.option(level, name, &mut value[..room]).map_err(|errno| errno.0),
        };
        self.note_option(&result, "getsockopt", level, name);
        let written = result.and_then(|len| {
            memory.write(call.arguments[3], &value[..len])?;
            memory.write_int(call.arguments[4], i32::try_from(len).unwrap_or(i32::MAX))
        });
        Outcome::of(written)
    }

    fn note_option<T>(&mut self, result: &Result<T, i32>, call: &str, level: i32, name: i32) {
        if matches!(result, Err(libc::ENOPROTOOPT)) {
            self.note_unsupported(format!("{call} {}", spelled(level, name)));
        }
    }
}

const fn plain(level: i32, name: i32) -> i32 {
    match (level, name) {
        (libc::SOL_SOCKET, SO_RCVTIMEO_NEW) => libc::SO_RCVTIMEO,
        (libc::SOL_SOCKET, SO_SNDTIMEO_NEW) => libc::SO_SNDTIMEO,
        _ => name,
    }
}

/// A struct timeval; `None` if it is none.
fn time(value: &[u8]) -> Option<Duration> {
    let word = |at: usize| Some(i64::from_ne_bytes(value.get(at..at + 8)?.try_into().ok()?));
    let (seconds, micros) = (word(0)?, word(8)?);
    let micros = u32::try_from(micros).ok().filter(|micros| *micros < 1_000_000)?;
    // A negative time is none at all, as Linux has it.
    Some(u64::try_from(seconds).map_or(Duration::ZERO, |seconds| Duration::new(seconds, micros * 1_000)))
}

/// An option's name as programs write it.
fn spelled(level: i32, name: i32) -> String {
    let known = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_REUSEADDR) => "SO_REUSEADDR (CONFIG_LWIP_SO_REUSE=n)",
        (libc::SOL_SOCKET, libc::SO_LINGER) => "SO_LINGER (CONFIG_LWIP_SO_LINGER=n)",
        (libc::SOL_SOCKET, libc::SO_REUSEPORT) => "SO_REUSEPORT",
        (libc::SOL_SOCKET, libc::SO_SNDBUF) => "SO_SNDBUF",
        (libc::SOL_SOCKET, libc::SO_RCVBUF) => "SO_RCVBUF",
        (libc::SOL_SOCKET, libc::SO_OOBINLINE) => "SO_OOBINLINE",
        (libc::SOL_SOCKET, libc::SO_PRIORITY) => "SO_PRIORITY",
        (libc::SOL_SOCKET, libc::SO_BINDTODEVICE) => "SO_BINDTODEVICE",
        (libc::SOL_SOCKET, libc::SO_BUSY_POLL) => "SO_BUSY_POLL",
        (libc::SOL_SOCKET, libc::SO_MARK) => "SO_MARK",
        (libc::IPPROTO_TCP, libc::TCP_MAXSEG) => "TCP_MAXSEG",
        (libc::IPPROTO_TCP, libc::TCP_CORK) => "TCP_CORK",
        (libc::IPPROTO_TCP, libc::TCP_SYNCNT) => "TCP_SYNCNT",
        (libc::IPPROTO_TCP, libc::TCP_LINGER2) => "TCP_LINGER2",
        (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) => "TCP_DEFER_ACCEPT",
        (libc::IPPROTO_TCP, libc::TCP_INFO) => "TCP_INFO",
        (libc::IPPROTO_TCP, libc::TCP_QUICKACK) => "TCP_QUICKACK",
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION) => "TCP_CONGESTION",
        (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT) => "TCP_USER_TIMEOUT",
        (libc::IPPROTO_TCP, libc::TCP_FASTOPEN) => "TCP_FASTOPEN",
        (libc::IPPROTO_IP, libc::IP_PKTINFO) => "IP_PKTINFO",
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER) => "IP_MTU_DISCOVER",
        (libc::IPPROTO_IP, libc::IP_RECVERR) => "IP_RECVERR",
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => "IPV6_V6ONLY",
        _ => return format!("level {level} option {name}"),
    };
    known.to_owned()
}

/// An option's name and value, whatever they are.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_for_fuzzing(memory: Memory, call: &Call) {
    let mut value = [0; LONGEST];
    let len = usize::try_from(call.int(4)).unwrap_or(0).min(LONGEST);
    if memory.read(call.arguments[3], &mut value[..len]).is_ok() {
        let _ = time(&value[..len]);
    }
    let _ = spelled(call.int(1), plain(call.int(1), call.int(2)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_and_nonsense_refused() {
        let of = |seconds: i64, micros: i64| time(&[seconds.to_ne_bytes(), micros.to_ne_bytes()].concat());
        assert_eq!(of(1, 500_000), Some(Duration::from_millis(1_500)));
        assert_eq!(of(-1, 0), Some(Duration::ZERO));
        assert_eq!(of(0, 1_000_000), None);
        assert_eq!(of(0, -1), None);
        assert_eq!(time(&[0; 8]), None);
    }
}
