//! Starts the program: its output on a terminal, the filter in force before the first of its instructions.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

use crate::filter;
use crate::notify::{self, Listener};
use crate::output::{self, Output, Tell};

/// Why a program could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// No words.
    #[error("the program's command is empty")]
    Empty,
    /// It is not there, or not executable.
    #[error("the program `{program}` cannot be run: {error}")]
    Program {
        /// As given.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// It was compiled for another architecture.
    #[error("the program `{program}` is a {what}: build it for this machine ({})", std::env::consts::ARCH)]
    Architecture {
        /// As given.
        program: String,
        /// What it is.
        what: &'static str,
    },
    /// Another supervisor has the notifications.
    #[error(
        "another supervisor already receives this process's system calls (seccomp user notification), as some container \
         runtimes do; run espstress outside of it, or without --program"
    )]
    ListenerInForce,
    /// Before Linux 5.19.
    #[error(
        "--program needs Linux 5.19 or newer (seccomp's WAIT_KILLABLE_RECV): without it a signal can make the program lose \
         or repeat data. This kernel is {0}"
    )]
    OldKernel(String),
    /// The system refused something else.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) listener: Listener,
    pub(crate) process: i32,
    pub(crate) exit: OwnedFd,
    pub(crate) output: Output,
}

/// Starts it.
pub(crate) fn launch(
    command: &[OsString],
    environment: &[(OsString, Option<OsString>)],
    tell: Tell,
) -> Result<Launched, StartError> {
    let Some((name, arguments)) = command.split_first() else { return Err(StartError::Empty) };
    let program = name.to_string_lossy().into_owned();
    let path = find(name).map_err(|error| StartError::Program { program: program.clone(), error })?;
    if let Some(what) = foreign(&path) {
        return Err(StartError::Architecture { program, what });
    }
    let system = |what| move |error: io::Error| StartError::System(what, error);
    nix::sys::prctl::set_child_subreaper(true).map_err(|e| system("prctl")(e.into()))?;
    let (ours, theirs) = UnixStream::pair().map_err(system("socket pair"))?;
    let (reader, terminal) = output::terminal().map_err(system("terminal for the program's output"))?;
    let copy = || terminal.try_clone().map(Stdio::from).map_err(system("terminal"));
    let mut child = Command::new(&path);
    child.args(arguments).stdin(Stdio::null()).stdout(copy()?).stderr(copy()?);
    std::os::unix::process::CommandExt::arg0(&mut child, name);
    for (name, value) in environment {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    notify::arm(&mut child, filter::program(), theirs.into());
    let spawned = child.spawn();
    // The parent's copies of the child's ends.
    drop((child, terminal));
    let child = spawned.map_err(|error| why(program, error))?;
    let process = child.id().cast_signed();
    let listener = notify::take(ours.as_fd()).map_err(system("notification descriptor"))?;
    listener.wake_synchronously();
    let pid = rustix::process::Pid::from_raw(process).ok_or(StartError::Empty)?;
    let exit = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let exit = exit.map_err(|error| StartError::System("pidfd_open", error.into()))?;
    let output = Output::read(reader, tell).map_err(system("thread"))?;
    Ok(Launched { listener, process, exit, output })
}

fn why(program: String, error: io::Error) -> StartError {
    match error.raw_os_error() {
        Some(libc::EBUSY) => StartError::ListenerInForce,
        // The filter has been run in this crate's tests: the kernel does not know a flag.
        Some(libc::EINVAL | libc::ENOSYS) => {
            let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
            StartError::OldKernel(release.trim().to_owned())
        }
        _ => StartError::Program { program, error },
    }
}

/// The file, looked for in PATH if it has no slash.
fn find(name: &OsString) -> io::Result<PathBuf> {
    let given = Path::new(name);
    if given.components().count() > 1 || name.to_string_lossy().contains('/') {
        // Absolute, since a twin that restarts starts it again.
        fs::metadata(given)?;
        return std::path::absolute(given);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where Debian has its servers, which an ordinary user's PATH may not name.
    let servers = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    let runs =
        |file: &PathBuf| nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_ok() && file.is_file();
    let found = std::env::split_paths(&path).chain(servers).map(|folder| folder.join(given)).find(runs);
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no such program in PATH"))
}

/// What the file is, if it is an ELF file for another machine.
fn foreign(path: &Path) -> Option<&'static str> {
    let mut head = [0; 20];
    fs::File::open(path).ok()?.read_exact(&mut head).ok()?;
    foreign_in(&head)
}

fn foreign_in(head: &[u8; 20]) -> Option<&'static str> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let machine = u16::from_le_bytes([head[18], head[19]]);
    match (head[4], machine) {
        (_, 94) => Some("program for the Xtensa processor of a device"),
        (_, 243) => Some("program for a RISC-V processor"),
        (1, _) => Some("32-bit program"),
        (2, libc::EM_X86_64) if cfg!(target_arch = "x86_64") => None,
        (2, libc::EM_AARCH64) if cfg!(target_arch = "aarch64") => None,
        _ => Some("program for another processor"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_and_32_bit_programs_are_told_apart_before_they_run() {
        let elf = |class: u8, machine: u16| {
            let mut head = [0; 20];
            head[..4].copy_from_slice(b"\x7fELF");
            head[4] = class;
            head[18..].copy_from_slice(&machine.to_le_bytes());
            foreign_in(&head)
        };
        assert!(elf(1, 94).is_some_and(|what| what.contains("Xtensa")));
        assert!(elf(1, 3).is_some_and(|what| what.contains("32-bit")));
        assert_eq!(foreign_in(b"#!/bin/sh\n0123456789"), None);
        assert_eq!(foreign(Path::new("/proc/self/exe")), None);
    }

    #[test]
    fn a_program_is_found_by_name_and_by_path() {
        assert!(find(&"sh".into()).is_ok_and(|path| path.ends_with("sh")));
        assert!(find(&"/bin/sh".into()).is_ok());
        assert!(find(&"no-such-program-anywhere".into()).is_err());
        assert!(find(&"./no/such/program".into()).is_err());
    }
}
