//! Entrance for the fuzz targets (`tests/fuzz`): any arguments of any call, pointing anywhere in the memory of a process
//! that does nothing else.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::calls::decode_for_fuzzing;
use crate::memory::Memory;
use crate::notify::Call;

/// Bytes at the far end of the process's stack that calls may point to.
const ROOM: usize = 16 * 1_024;

/// Most bytes that a call receives.
const MOST: usize = 4_096;

/// A word of the room that begins so is a pointer into it.
const POINTER: u64 = 0xb5b5;

/// Calls that carry pointers.
const NUMBERS: [i64; 12] = [
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_connect,
    libc::SYS_setsockopt,
];

/// The process, which waits for its input until this one ends.
struct Victim {
    process: Child,
    room: u64,
}

impl Victim {
    fn start() -> Option<Self> {
        let mut process = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        // It has come to its loop when it gives back what it was given.
        process.stdin.as_mut()?.write_all(b"x").ok()?;
        process.stdout.as_mut()?.read_exact(&mut [0]).ok()?;
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", process.id())).ok()?;
        let stack = maps.lines().find(|line| line.ends_with("[stack]"))?;
        let room = u64::from_str_radix(stack.split('-').next()?, 16).ok()?;
        Some(Self { process, room })
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

static VICTIM: Mutex<Option<Victim>> = Mutex::new(None);

/// A call: which one, six arguments of three bytes each, how much it receives, and what lies in the memory.
pub fn call(bytes: &[u8]) {
    let Some((head, content)) = bytes.split_first_chunk::<21>() else { return };
    let mut victim = VICTIM.lock().unwrap_or_else(PoisonError::into_inner);
    if victim.as_mut().is_none_or(|victim| !matches!(victim.process.try_wait(), Ok(None))) {
        *victim = Victim::start();
    }
    let Some(victim) = &*victim else { return };
    let place = |offset: u64| victim.room + offset % ROOM as u64;
    let mut room = content.to_vec();
    room.resize(ROOM, 0);
    for word in room.as_chunks_mut::<8>().0 {
        let value = u64::from_le_bytes(*word);
        if value >> 48 == POINTER {
            *word = place(value & 0xffff).to_ne_bytes();
        }
    }
    let thread = i32::try_from(victim.process.id()).unwrap_or(0);
    if Memory::of_thread(thread).write(victim.room, &room).is_err() {
        return;
    }
    let mut arguments = [0; 6];
    for (argument, [tag, low, high]) in arguments.iter_mut().zip(head[1..19].as_chunks::<3>().0) {
        let number = u64::from(u16::from_le_bytes([*low, *high]));
        *argument = match tag % 4 {
            0 => place(number),
            1 => number,
            2 => u64::MAX - number,
            _ => number << 32,
        };
    }
    let number = NUMBERS[usize::from(head[0]) % NUMBERS.len()];
    let len = usize::from(u16::from_le_bytes([head[19], head[20]])) % MOST;
    decode_for_fuzzing(&Call::made_up(thread, number, arguments), len);
}
