//! What makes an outage: the target's link, the device itself, or the user's own scripts.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use espstress_device::COMMAND_DELAY;
use tokio::io::AsyncReadExt;

use crate::context::Stop;
use crate::control;
use espstress_connection::Connector;
use espstress_event::{Failure, Intent};

/// The making of one outage.
pub type Making<'a> = Pin<Box<dyn Future<Output = Result<Made, MakeError>> + 'a>>;

/// Something that can take a device off the network and bring it back.
pub trait OutageMaker: fmt::Debug {
    /// What it is called in reports, as `link` or `command`.
    fn name(&self) -> &'static str;

    /// Makes one outage of `length`. May return when it has ended, or as soon as it is certain when it will end
    /// by itself. When `stop` is heard it brings the device back early.
    fn make(&self, length: Duration, stop: Stop) -> Making<'_>;
}

/// An outage that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Since when nothing passed.
    pub start: Instant,
    /// Since when everything passes again; may lie ahead.
    pub end: Instant,
}

/// Why an outage was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// A script ended with a failure.
    #[error("{script} ended with {}: {stderr}", status_text(*.status))]
    Script {
        /// Which, as `--off`.
        script: &'static str,
        /// Its exit status; `None` when a signal ended it.
        status: Option<i32>,
        /// The last line of its standard error.
        stderr: String,
    },
    /// A script did not end in time, or could not be started.
    #[error("{script}: {reason}")]
    NoScript {
        /// Which, as `--off`.
        script: &'static str,
        /// Why.
        reason: String,
    },
    /// The device refused.
    #[error("the device refused to leave the network: HTTP status {0}")]
    Refused(u16),
    /// The device could not be asked.
    #[error("the device could not be asked to leave the network: {}", .0.name())]
    NotAsked(Failure),
    /// Anything else, in a sentence.
    #[error("{0}")]
    Other(String),
}

fn status_text(status: Option<i32>) -> String {
    status.map_or_else(|| "a signal".to_owned(), |status| format!("exit status {status}"))
}

impl MakeError {
    /// The exit status of a script that failed by itself.
    #[must_use]
    pub(crate) const fn exit_status(&self) -> Option<i32> {
        match self {
            Self::Script { status, .. } => *status,
            _ => None,
        }
    }
}

/// Asks the device to leave the network by itself for a time.
#[derive(Debug)]
pub(super) struct DeviceMaker {
    connector: Connector,
    token: String,
}

impl DeviceMaker {
    /// `connector` leads to the device's HTTP service.
    pub(super) const fn new(connector: Connector, token: String) -> Self {
        Self { connector, token }
    }

    async fn ask(&self, length: Duration) -> Result<u16, Failure> {
        let body = format!("{{\"outage_ms\":{}}}", length.as_millis().max(1));
        control::ask(&self.connector, &self.token, &body, Intent::Silenced).await
    }
}

impl OutageMaker for DeviceMaker {
    fn name(&self) -> &'static str {
        "device"
    }

    fn make(&self, length: Duration, _: Stop) -> Making<'_> {
        Box::pin(async move {
            match self.ask(length).await {
                Ok(200..=299) => {
                    // It lets its answer go out first.
                    let start = Instant::now() + COMMAND_DELAY;
                    Ok(Made { start, end: start + length })
                }
                Ok(status) => Err(MakeError::Refused(status)),
                Err(failure) => Err(MakeError::NotAsked(failure)),
            }
        })
    }
}

/// Runs the user's scripts.
#[derive(Debug)]
pub(super) struct CommandMaker {
    off: String,
    on: String,
    limit: Duration,
}

/// Standard error of a script that is read; what comes after is thrown away.
const MOST_STDERR: usize = 64 * 1024;

impl CommandMaker {
    /// Both are given to the shell, and may take `limit` each.
    pub(super) const fn new(off: String, on: String, limit: Duration) -> Self {
        Self { off, on, limit }
    }
}

impl OutageMaker for CommandMaker {
    fn name(&self) -> &'static str {
        "command"
    }

    fn make(&self, length: Duration, mut stop: Stop) -> Making<'_> {
        Box::pin(async move {
            // Whatever happens from here on, the device is to come back.
            let mut promise = BringBack(Some(&self.on));
            let off = script("--off", &self.off, self.limit).await;
            let start = Instant::now();
            if off.is_ok() {
                tokio::select! {
                    () = tokio::time::sleep(length) => {}
                    () = stop.stopped() => {}
                }
            }
            let on = script("--on", &self.on, self.limit).await;
            promise.0 = None;
            off?;
            on?;
            Ok(Made { start, end: Instant::now() })
        })
    }
}

/// Starts the script that ends the outage when the run is cut off in the middle of it.
struct BringBack<'a>(Option<&'a str>);

impl Drop for BringBack<'_> {
    fn drop(&mut self) {
        if let Some(on) = self.0 {
            let child = std::process::Command::new("sh").arg("-c").arg(on).stdin(Stdio::null()).spawn();
            if let Err(error) = child {
                tracing::error!(%error, "the script that ends the outage could not be started");
            }
        }
    }
}

async fn script(name: &'static str, text: &str, limit: Duration) -> Result<(), MakeError> {
    let no_script = |reason: String| MakeError::NoScript { script: name, reason };
    let mut command = tokio::process::Command::new("sh");
    // A group of its own: a script that never ends is ended with everything that it has started, and Ctrl-C is for
    // this program, which then still brings the device back.
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command
        .arg("-c")
        .arg(text)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| no_script(error.to_string()))?;
    let stderr = child.stderr.take();
    let mut stderr_text = Vec::new();
    let status = {
        let read = async {
            let Some(mut pipe) = stderr else { return };
            let mut piece = [0; 4_096];
            while let Ok(n @ 1..) = pipe.read(&mut piece).await {
                if stderr_text.len() < MOST_STDERR {
                    stderr_text.extend_from_slice(piece.get(..n).unwrap_or_default());
                }
            }
        };
        tokio::pin!(read);
        let wait = async {
            tokio::select! {
                status = child.wait() => {
                    // What it had written before it ended is in the pipe; a process that it left behind may hold
                    // the pipe open for ever.
                    let _ = tokio::time::timeout(Duration::from_millis(100), &mut read).await;
                    status
                }
                // All is read: the script has closed its standard error, and will end.
                () = &mut read => child.wait().await,
            }
        };
        tokio::time::timeout(limit, wait).await
    };
    let status: ExitStatus = match status {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => return Err(no_script(error.to_string())),
        Err(_) => {
            end_group(&child);
            return Err(no_script(format!("not ended within {}", espstress_clock::Span(limit))));
        }
    };
    if status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&stderr_text);
    let last = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("");
    Err(MakeError::Script { script: name, status: status.code(), stderr: last.to_owned() })
}

/// Ends a script and what it has started.
#[cfg(unix)]
fn end_group(child: &tokio::process::Child) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // Gone meanwhile is as good.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn end_group(_: &tokio::process::Child) {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::StopSource;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(flavor = "current_thread")]
    async fn a_script_that_fails_is_reported_in_its_own_words() {
        let source = StopSource::default();
        let maker =
            CommandMaker::new("echo first >&2; echo no such switch >&2; exit 7".into(), "true".into(), LIMIT);
        let error = maker.make(Duration::from_millis(1), source.listener()).await.unwrap_err();
        let expected =
            MakeError::Script { script: "--off", status: Some(7), stderr: "no such switch".into() };
        assert_eq!(error, expected);
        assert_eq!(error.to_string(), "--off ended with exit status 7: no such switch");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_outage_lies_between_the_scripts_and_is_ended_early_by_a_stop() {
        let source = StopSource::default();
        source.stop();
        let maker = CommandMaker::new("true".into(), "true".into(), LIMIT);
        let made = maker.make(Duration::from_secs(3_600), source.listener()).await.unwrap();
        assert!(made.start <= made.end);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_run_that_is_cut_off_still_brings_the_device_back() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("on");
        let source = StopSource::default();
        let maker = CommandMaker::new("true".into(), format!("touch {}", mark.display()), LIMIT);
        let making = maker.make(Duration::from_secs(3_600), source.listener());
        assert!(tokio::time::timeout(Duration::from_millis(300), making).await.is_err());
        let deadline = Instant::now() + Duration::from_secs(10);
        while !mark.exists() {
            assert!(Instant::now() < deadline, "the script was not run");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_script_that_never_ends_is_ended_with_all_that_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let off = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let source = StopSource::default();
        let maker = CommandMaker::new(off, "true".into(), Duration::from_secs(3_600));
        let (made, pid) = tokio::join!(maker.make(Duration::from_millis(1), source.listener()), async {
            // The limit ends only after the script has written this, however long the machine takes over it.
            let deadline = Instant::now() + Duration::from_secs(60);
            let pid = loop {
                match std::fs::read_to_string(&file) {
                    Ok(text) if text.ends_with('\n') => break text,
                    _ => assert!(Instant::now() < deadline, "the script was not run"),
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            };
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(3_600)).await;
            tokio::time::resume();
            pid
        });
        assert_eq!(made.unwrap_err().to_string(), "--off: not ended within 1h");
        let state = format!("/proc/{}/stat", pid.trim());
        let deadline = Instant::now() + Duration::from_secs(10);
        // Gone, or a zombie that nobody has fetched yet.
        while std::fs::read_to_string(&state).is_ok_and(|text| !text.contains(") Z")) {
            assert!(Instant::now() < deadline, "what the script started still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
