//! The program's standard output and error. They go to a terminal, as a device's console does: a C program then writes
//! its last line before it crashes, which it would keep to itself on a pipe.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fs, io};

use nix::pty::openpty;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

/// Lines kept.
const LINES: usize = 20;

/// A line is cut here.
const LINE_LEN: u64 = 500;

/// How long the rest of the output is waited for when all processes are gone.
const PATIENCE: Duration = Duration::from_millis(500);

/// Takes each line.
pub(crate) type Tell = Box<dyn FnMut(&str) + Send>;

/// What the program writes.
#[derive(Debug)]
pub(crate) struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
    over: Receiver<()>,
}

/// A terminal's two ends: ours, and the program's.
pub(crate) fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = openpty(None, None)?;
    let mut plain = tcgetattr(&pair.slave)?;
    cfmakeraw(&mut plain);
    tcsetattr(&pair.slave, SetArg::TCSANOW, &plain)?;
    // Only the child may have them.
    for fd in [&pair.master, &pair.slave] {
        nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::FD_CLOEXEC))?;
    }
    Ok((pair.master, pair.slave))
}

impl Output {
    /// Reads until every process of the program has closed its end.
    pub(crate) fn read(terminal: OwnedFd, mut tell: Tell) -> io::Result<Self> {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (send, over) = channel();
        let kept = Arc::clone(&lines);
        std::thread::Builder::new().name("program-output".to_owned()).spawn(move || {
            let mut from = BufReader::new(fs::File::from(terminal));
            let mut line = Vec::new();
            while from.by_ref().take(LINE_LEN).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = legible(&line);
                line.clear();
                tell(&text);
                if !text.is_empty() {
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() == LINES {
                        kept.pop_front();
                    }
                    kept.push_back(text);
                }
            }
            let _ = send.send(());
        })?;
        Ok(Self { lines, over })
    }

    /// The last lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The last lines, after every process of the program has ended.
    pub(crate) fn last_lines(&self) -> Vec<String> {
        let _ = self.over.recv_timeout(PATIENCE);
        self.lines()
    }
}

/// Without colours and other control characters.
fn legible(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // ESC [ parameters letter (ECMA-48).
            if chars.next() == Some('[') {
                let _ = chars.by_ref().find(char::is_ascii_alphabetic);
            }
        } else if c == '\t' || !c.is_control() {
            out.push(c);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_colours_and_its_end() {
        assert_eq!(legible(b"\x1b[0;32mI (12) main: \x1b[0mready \r\n"), "I (12) main: ready");
        assert_eq!(legible(b"\x1b"), "");
        assert_eq!(legible(b"\xff\x07a"), "\u{fffd}a");
    }
}
