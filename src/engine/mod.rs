//! Runs a plan: dispatcher and executor.
//!
//! The executor is a thread of its own that does nothing but the workloads (`load`), so that neither display nor
//! signals disturb what is measured. The dispatcher (`run`, on the caller's thread) is the one place that hears
//! signals and tells the reporters what happens. The engine knows no report: it returns what was measured.

mod load;
mod plan;

pub use plan::{Ended, Outcome, Plan, PlannedPhase, RunError, StartRule, WorkloadOutcome};

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::event::{Event, EventSink};
use crate::workload::StopSource;

/// Runs `plan` to its end, telling `sink` about it.
///
/// # Errors
/// [`RunError`] when the system refuses what a run needs, or a second Ctrl-C gave it up.
pub fn run(plan: Plan, sink: &mut dyn EventSink) -> Result<Outcome, RunError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.block_on(dispatch(plan, sink))
}

async fn dispatch(plan: Plan, sink: &mut dyn EventSink) -> Result<Outcome, RunError> {
    let mut signals = Signals::listen().map_err(RunError::Runtime)?;
    let clock = Clock::start();
    let started = std::time::SystemTime::now();
    sink.event(&Event::RunStarted {
        scenario: plan.scenario.clone(),
        target: plan.target.clone(),
        seed: plan.seed,
    });
    let stop = StopSource::default();
    let (events, mut incoming) = mpsc::channel(1_024);
    let listener = stop.listener();
    let executor = std::thread::Builder::new()
        .name("load".into())
        .spawn(move || load::execute(plan, clock, listener, &events))
        .map_err(RunError::Runtime)?;
    let mut ended = Ended::Completed;
    loop {
        tokio::select! {
            event = incoming.recv() => match event {
                Some(event) => sink.event(&event),
                None => break,
            },
            signal = signals.next() => match (signal, ended) {
                (Signal::Interrupt, Ended::Interrupted) => return Err(RunError::Aborted),
                (Signal::Interrupt, _) => {
                    ended = Ended::Interrupted;
                    stop.stop();
                }
                (Signal::Terminate, Ended::Completed) => {
                    ended = Ended::Terminated;
                    stop.stop();
                }
                (Signal::Terminate, _) => {}
            },
        }
    }
    let workloads = match executor.join() {
        Ok(result) => result?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    let duration_ns = clock.now_ns();
    sink.event(&Event::RunEnded { interrupted: ended == Ended::Interrupted });
    Ok(Outcome { clock, started, duration_ns, ended, workloads })
}

/// What a person or a supervisor says to a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Interrupt,
    Terminate,
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
