//! The process at the far end: its start, its console, its end.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use espstress_program::EndKind;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::console::{self, Console};
use super::interface::{Far, Namespace, enter};
use super::raw;

/// How often those that are told to end are looked for, and how long each time.
const SWEEPS: u32 = 200;
const SWEEP_STEP: Duration = Duration::from_millis(5);

/// A process that was started.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    namespace: Namespace,
    console: Arc<Console>,
}

/// The same with this end of its TAP device.
pub(crate) struct Started {
    pub(crate) process: Process,
    pub(crate) far: Far,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) kind: EndKind,
    /// Whether processes of its own went on without it.
    pub(crate) left_behind: bool,
    pub(crate) last_lines: Vec<String>,
}

/// Starts it in a network namespace of its own; `ended` is told of its end, when all that it started is gone as well.
pub(crate) fn start(
    command: Vec<String>,
    environment: Vec<(OsString, Option<OsString>)>,
    ended: impl FnOnce(Ending) + Send + 'static,
) -> Result<Started, String> {
    let (send, started) = channel();
    // The namespace is this thread's, and the process ends with this thread.
    let thread = std::thread::Builder::new().name("process".to_owned()).spawn(move || {
        let (started, child) = match launch(&command, environment) {
            Ok(started) => started,
            Err(why) => return drop(send.send(Err(why))),
        };
        let process = started.process.clone();
        let _ = send.send(Ok(started));
        ended(process.wait(child));
    });
    thread.map_err(|error| format!("cannot start a thread for the process: {error}"))?;
    started.recv().unwrap_or_else(|_| Err("the process's thread is gone".to_owned()))
}

fn launch(
    command: &[String],
    environment: Vec<(OsString, Option<OsString>)>,
) -> Result<(Started, Child), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("no program is named".to_owned());
    };
    let (namespace, far) = enter()?;
    let terminal = |error: io::Error| format!("cannot open a terminal for the process: {error}");
    let (console, writes) = console::open(|line| drop(writeln!(io::stderr(), "{line}"))).map_err(terminal)?;
    let mut start = Command::new(program);
    start.args(arguments).stdin(Stdio::null()).process_group(0);
    start.stdout(writes.try_clone().map_err(terminal)?).stderr(writes);
    for (name, value) in environment {
        match value {
            Some(value) => start.env(name, value),
            None => start.env_remove(name),
        };
    }
    raw::end_with_parent(&mut start);
    let child = start.spawn().map_err(|error| format!("cannot start `{program}`: {error}"))?;
    let process = Process { namespace, console: Arc::new(console) };
    Ok((Started { process, far }, child))
}

impl Process {
    /// The last lines that it wrote so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.console.lines()
    }

    /// Ends it, and all that it has started.
    pub(crate) fn end(&self) {
        self.sweep();
    }

    fn wait(&self, mut child: Child) -> Ending {
        let kind = child.wait().map_or(EndKind::Unknown, kind);
        let left_behind = self.sweep();
        Ending { kind, left_behind, last_lines: self.console.last_lines() }
    }

    /// Ends whatever is in the namespace; whether there was anything.
    fn sweep(&self) -> bool {
        let mut any = false;
        for _ in 0..SWEEPS {
            let processes = self.namespace.processes();
            if processes.is_empty() {
                break;
            }
            any = true;
            for process in processes {
                // Gone meanwhile is as good.
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
            std::thread::sleep(SWEEP_STEP);
        }
        any
    }
}

fn kind(status: ExitStatus) -> EndKind {
    let signal = status.signal().and_then(|signal| Signal::try_from(signal).ok());
    match (status.code(), signal) {
        (Some(status), _) => EndKind::Exited(status),
        (None, Some(signal)) => EndKind::Signalled(signal),
        (None, None) => EndKind::Unknown,
    }
}
