//! The program's threads and descriptors, as /proc and pidfds show them. A thread that is gone is no error: what is
//! asked of it has no answer.

use std::collections::VecDeque;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::filter::DESCRIPTORS;

/// Threads whose descriptor is kept open.
const KEPT: usize = 32;

/// The inode behind a thread's descriptor, if that is a socket.
pub(crate) fn socket_inode(thread: i32, descriptor: i32) -> Option<u64> {
    let link = fs::read_link(format!("/proc/{thread}/fd/{descriptor}")).ok()?;
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// Why there is no number for a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// All are in use.
    Used,
    /// The program cannot be looked into.
    Hidden,
}

/// The lowest free number of the sockets' descriptors, from `least` on.
pub(crate) fn free_number(thread: i32, least: i32) -> Result<i32, NoNumber> {
    for number in DESCRIPTORS.start.max(least)..DESCRIPTORS.end {
        match fs::symlink_metadata(format!("/proc/{thread}/fd/{number}")) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(NoNumber::Hidden),
            Err(_) => return Ok(number),
        }
    }
    Err(NoNumber::Used)
}

/// Whether /proc hides the thread: a program that has changed its user is not dumpable, and cannot be looked into.
pub(crate) fn is_hidden(thread: i32) -> bool {
    fs::read_dir(format!("/proc/{thread}/fd")).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Whether a signal waits for the thread, or for its process, that it neither blocks nor ignores.
pub(crate) fn has_signal(thread: i32) -> bool {
    fs::read_to_string(format!("/proc/{thread}/status")).is_ok_and(|text| signal_in(&text))
}

fn signal_in(status: &str) -> bool {
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    };
    (mask("SigPnd:") | mask("ShdPnd:")) & !mask("SigBlk:") & !mask("SigIgn:") != 0
}

/// Whether every thread of the process is on its way out, or gone.
pub(crate) fn is_exiting(process: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return true };
    threads
        .flatten()
        .all(|thread| fs::read_to_string(thread.path().join("stat")).is_ok_and(|stat| exiting_in(&stat)))
}

/// PF_EXITING (linux/sched.h), which the kernel sets before it closes the descriptors.
const EXITING: u64 = 4;

fn exiting_in(stat: &str) -> bool {
    // Fields after the command's closing bracket: state, ppid, pgrp, session, tty_nr, tpgid, flags.
    let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
    let mut fields = rest.split(' ');
    let gone = fields.next().is_some_and(|state| matches!(state, "Z" | "X" | "x"));
    gone || fields
        .nth(5)
        .and_then(|flags| flags.parse::<u64>().ok())
        .is_some_and(|flags| flags & EXITING != 0)
}

/// Gets at the program's own descriptors.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    threads: VecDeque<(i32, OwnedFd)>,
}

impl Reach {
    /// A copy of a thread's descriptor.
    pub(crate) fn descriptor(&mut self, thread: i32, number: i32) -> Option<OwnedFd> {
        if let Some(at) = self.threads.iter().position(|(known, _)| *known == thread) {
            let got = pidfd_getfd(self.threads[at].1.as_fd(), number, PidfdGetfdFlags::empty());
            if let Ok(fd) = got {
                return Some(fd);
            }
            // Another thread may have the number by now.
            self.threads.remove(at);
        }
        let pidfd = open(thread)?;
        let fd = pidfd_getfd(pidfd.as_fd(), number, PidfdGetfdFlags::empty()).ok();
        if self.threads.len() == KEPT {
            self.threads.pop_front();
        }
        self.threads.push_back((thread, pidfd));
        fd
    }
}

fn open(thread: i32) -> Option<OwnedFd> {
    /// `PIDFD_THREAD`, since Linux 6.9.
    const THREAD: PidfdFlags = PidfdFlags::from_bits_retain(libc::O_EXCL.cast_unsigned());
    let by = |id: i32, flags| pidfd_open(Pid::from_raw(id)?, flags).ok();
    by(thread, THREAD).or_else(|| by(process_of(thread)?, PidfdFlags::empty()))
}

/// The process of a thread.
fn process_of(thread: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pending_signal_counts_unless_it_is_blocked_or_ignored() {
        let status = |pending, shared, blocked, ignored| {
            signal_in(&format!(
                "Name:\tx\nSigQ:\t0/1\nSigPnd:\t{pending:016x}\nShdPnd:\t{shared:016x}\nSigBlk:\t{blocked:016x}\n\
                 SigIgn:\t{ignored:016x}\n"
            ))
        };
        assert!(status(4, 0, 0, 0) && status(0, 4, 0, 0) && status(0, 6, 4, 0));
        assert!(!status(0, 0, 0, 0) && !status(0, 4, 4, 0) && !status(4, 0, 0, 4));
        assert!(!signal_in("") && !signal_in("SigPnd:\tnonsense"));
    }

    #[test]
    fn a_process_exits_when_the_flag_is_set_or_it_is_a_zombie() {
        assert!(exiting_in("7 (a) b) R 1 7 7 0 -1 4194564 0"));
        assert!(exiting_in("7 (x) Z 1 7 7 0 -1 0 0"));
        assert!(!exiting_in("7 (x) S 1 7 7 0 -1 4194304 0"));
        assert!(!exiting_in("") && !exiting_in("7 (x) S"));
        assert!(!is_exiting(std::process::id().cast_signed()) && is_exiting(i32::MAX));
    }

    #[test]
    fn a_socket_is_told_from_a_file_and_its_copy_is_the_same() {
        let here = std::process::id().cast_signed();
        let (a, _b) = std::os::unix::net::UnixStream::pair().unwrap();
        use std::os::fd::AsRawFd;
        let copy = Reach::default().descriptor(here, a.as_raw_fd()).unwrap();
        let inode = socket_inode(here, a.as_raw_fd());
        assert!(inode.is_some() && socket_inode(here, copy.as_raw_fd()) == inode);
        let file = fs::File::open("/dev/null").unwrap();
        assert_eq!(socket_inode(here, file.as_raw_fd()), None);
    }
}
