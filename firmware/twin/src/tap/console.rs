//! What the process writes. It goes to a terminal, as a device's console does: on a pipe, a C program keeps its last lines to
//! itself when it crashes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// Lines kept.
const LINES: usize = 20;

/// A line is cut here.
const LINE_LEN: u64 = 500;

/// How long the rest of the output is waited for when all processes are gone.
const PATIENCE: Duration = Duration::from_millis(500);

/// The console of one start.
#[derive(Debug)]
pub(super) struct Console {
    lines: Arc<Mutex<VecDeque<String>>>,
    over: Mutex<Receiver<()>>,
}

/// A console, and the end that the process writes to; `tell` gets each line.
pub(super) fn open(mut tell: impl FnMut(&str) + Send + 'static) -> io::Result<(Console, OwnedFd)> {
    let pair = openpty(None, None)?;
    let mut plain = tcgetattr(&pair.slave)?;
    cfmakeraw(&mut plain);
    tcsetattr(&pair.slave, SetArg::TCSANOW, &plain)?;
    for fd in [&pair.master, &pair.slave] {
        fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    let lines = Arc::new(Mutex::new(VecDeque::new()));
    let (send, over) = channel();
    let kept = Arc::clone(&lines);
    std::thread::Builder::new().name("console".to_owned()).spawn(move || {
        let mut from = BufReader::new(File::from(pair.master));
        let mut line = Vec::new();
        while from.by_ref().take(LINE_LEN).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            let text = strip_ansi_escapes::strip_str(String::from_utf8_lossy(&line)).trim_end().to_owned();
            line.clear();
            tell(&text);
            if !text.is_empty() {
                let mut kept: std::sync::MutexGuard<'_, VecDeque<String>> =
                    kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LINES {
                    kept.pop_front();
                }
                kept.push_back(text);
            }
        }
        let _ = send.send(());
    })?;
    Ok((Console { lines, over: Mutex::new(over) }, pair.slave))
}

impl Console {
    /// The last lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The last lines, after every process has ended.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let _ = self.over.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(PATIENCE);
        self.lines()
    }
}
