//! What ends a run before its time: Ctrl-C, SIGTERM, and a terminal that is closed.

use super::plan::Ended;

/// How a run is ending, as its signals say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    ended: Ended,
    hurried: bool,
}

impl Default for Ending {
    fn default() -> Self {
        Self { ended: Ended::Completed, hurried: false }
    }
}

/// What is to be done about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Begin nothing new, and wait for what is under way.
    Stop,
    /// Wait for nothing any more, and report.
    Hurry,
    /// It is being done already.
    Nothing,
    /// End without a report.
    GiveUp,
}

impl Ending {
    pub(super) const fn ended(&self) -> Ended {
        self.ended
    }

    /// A terminal and a supervisor may both pass on one Ctrl-C, so the second one must not cost the report.
    pub(super) fn hear(&mut self, signal: Signal) -> Answer {
        match (signal, self.ended) {
            (Signal::Interrupt, Ended::Interrupted) if self.hurried => Answer::GiveUp,
            (Signal::Interrupt, Ended::Interrupted) => {
                self.hurried = true;
                Answer::Hurry
            }
            (Signal::Interrupt, _) => {
                self.ended = Ended::Interrupted;
                Answer::Stop
            }
            (Signal::Terminate, Ended::Completed) => {
                self.ended = Ended::Terminated;
                Answer::Stop
            }
            (Signal::Terminate, _) => Answer::Nothing,
        }
    }
}

/// What a person, a supervisor or a terminal that is closed says to a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Interrupt,
    Terminate,
}

#[cfg(unix)]
pub(super) struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// The terminal is gone; `None` where whoever started the program wants it to outlive that (`nohup`).
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = (!ignores_hang_up()).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
        })
    }

    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = async {
                match &mut self.hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            } => Signal::Terminate,
        }
    }
}

/// Whether SIGHUP is ignored, as under `nohup`.
#[cfg(unix)]
#[expect(unsafe_code, reason = "no crate here asks for a signal's action without setting one")]
fn ignores_hang_up() -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one to `action`, which outlives it.
    let asked = unsafe { libc::sigaction(libc::SIGHUP, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zeros is a value of this plain C structure, and the call has filled it in where it succeeded.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(super) async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_ctrl_c_ends_the_waiting_and_only_a_third_gives_the_report_up() {
        let mut ending = Ending::default();
        let heard = [Signal::Interrupt; 3].map(|signal| ending.hear(signal));
        assert_eq!(heard, [Answer::Stop, Answer::Hurry, Answer::GiveUp]);
        assert_eq!(ending.ended(), Ended::Interrupted);
    }

    #[test]
    fn a_supervisor_that_insists_changes_nothing_and_a_person_who_adds_a_ctrl_c_does() {
        let mut ending = Ending::default();
        let heard =
            [Signal::Terminate, Signal::Terminate, Signal::Interrupt].map(|signal| ending.hear(signal));
        assert_eq!(heard, [Answer::Stop, Answer::Nothing, Answer::Stop]);
    }
}
