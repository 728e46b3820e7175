//! The program's processes: the first one, whose end is the program's, and all that descend from it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndKind {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal.
    Signalled(Signal),
    /// Not known.
    Unknown,
}

impl EndKind {
    /// Whether it crashed: a device would have had a panic.
    pub const fn is_crash(self) -> bool {
        use Signal::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
        matches!(self, Self::Signalled(SIGABRT | SIGBUS | SIGFPE | SIGILL | SIGSEGV | SIGSYS | SIGTRAP))
    }
}

impl fmt::Display for EndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exit status {status}"),
            Self::Signalled(Signal::SIGSYS) => {
                f.write_str("killed for a system call of another architecture (32-bit)")
            }
            Self::Signalled(signal) => write!(f, "killed by {}", signal.as_str()),
            Self::Unknown => f.write_str("end unknown"),
        }
    }
}

/// A program's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub kind: EndKind,
    /// Whether it left processes behind that went on: a server that goes to the background.
    pub left_behind: bool,
    /// The last lines that it wrote.
    pub last_lines: Vec<String>,
}

/// Parents by process, of every process that can be seen.
fn parents() -> BTreeMap<i32, i32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' '));
        let gone = fields.clone().and_then(|mut fields| fields.next()).is_none_or(|state| state == "Z");
        let parent = fields.and_then(|mut fields| fields.nth(1)).and_then(|parent| parent.parse().ok());
        if let (false, Some(parent)) = (gone, parent) {
            parents.insert(process, parent);
        }
    }
    parents
}

/// Every living process that descends from this one.
fn descendants() -> Vec<i32> {
    let (parents, own) = (parents(), std::process::id().cast_signed());
    let descends = |process: i32| {
        let mut at = process;
        // As deep as there are processes: /proc is not read in one moment, and could seem to have a circle.
        for _ in 0..parents.len() {
            match parents.get(&at) {
                Some(parent) if *parent == own => return true,
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        false
    };
    parents.keys().copied().filter(|process| descends(*process)).collect()
}

/// Memory of the program's own, of all its processes: what it has allocated and touched, in bytes.
pub(crate) fn memory() -> Option<u64> {
    let of = |process: i32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
    };
    descendants().into_iter().filter_map(of).reduce(|a, b| a.saturating_add(b))
}

/// How the first process ended, once it has.
pub(crate) fn reap(process: i32) -> EndKind {
    match waitpid(Pid::from_raw(process), None) {
        Ok(WaitStatus::Exited(_, status)) => EndKind::Exited(status),
        Ok(WaitStatus::Signaled(_, signal, _)) => EndKind::Signalled(signal),
        _ => EndKind::Unknown,
    }
}

/// Ends every process of the program; whether there were any.
pub(crate) fn end_all() -> bool {
    let mut any = false;
    loop {
        for process in descendants() {
            any = true;
            // Gone by itself meanwhile is as good.
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
        // Those whose parent is gone are this process's to reap (PR_SET_CHILD_SUBREAPER).
        match waitpid(None, None) {
            // One that the end of the first process has hung up was there as well.
            Ok(WaitStatus::Signaled(_, Signal::SIGHUP, _)) => any = true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return any,
        }
    }
}

/// Reaps what has ended, but for the first process, whose end is waited for elsewhere.
pub(crate) fn reap_orphans(first: i32) {
    let own = std::process::id().cast_signed();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        if process != first && rest.starts_with(&format!("Z {own} ")) {
            let _ = waitpid(Pid::from_raw(process), Some(WaitPidFlag::WNOHANG));
        }
    }
}
