//! Runs a plan: dispatcher and executor.
//!
//! The executor is a thread of its own that does nothing but the workloads (`load`), so that neither display nor
//! signals disturb what is measured. The dispatcher (`run`, on the caller's thread) is the one place that hears
//! signals and tells the reporters what happens. The engine knows no report: it returns what was measured.

mod air;
mod dials;
mod evidence;
mod first_look;
mod hear;
mod link;
mod load;
#[cfg(test)]
#[path = "../diagnose/lone.rs"]
mod lone;
mod plan;
mod sight;
mod signals;
mod stalls;
#[cfg(target_os = "linux")]
mod twin_link;
mod watch;
mod weigh;

pub use air::AirPlan;
pub use evidence::Measurements;
pub use hear::ConsolePlan;
pub use plan::{
    Capturing, Course, DeviceFacts, Ended, EveryPhase, LinkSpell, Outcome, Packets, Plan, PlannedPhase,
    Ports, Probing, RunError, Seen, StartRule, WorkloadOutcome,
};
pub use sight::Sight;
pub use watch::WatchPlan;

use signals::{Answer, Ending, Signals};
use std::sync::Arc;
use std::time::{Duration, Instant};

use espstress_clock::Clock;
use espstress_diagnose::{Diagnosis, Place, Resolved};
use espstress_event::{Backlog, Console, Event, EventSink, IntentBook};
use espstress_stats::ProbeOutcome;
use espstress_workload::StopSource;
use tokio::sync::Notify;
use weigh::Watched;

/// Runs `plan` to its end, telling `sink` about it.
///
/// # Errors
/// [`RunError`] when the system refuses what a run needs, or a third Ctrl-C gave it up.
pub fn run(plan: Plan, sink: &mut dyn EventSink) -> Result<Outcome, RunError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.block_on(dispatch(plan, sink))
}

async fn dispatch(mut plan: Plan, sink: &mut dyn EventSink) -> Result<Outcome, RunError> {
    let mut signals = Signals::listen().map_err(RunError::Runtime)?;
    let clock = Clock::start();
    let started = std::time::SystemTime::now();
    sink.event(&Event::RunStarted {
        scenario: plan.scenario.clone(),
        target: plan.target.clone(),
        seed: plan.seed,
        start_unix_ns: clock.start_unix_ns(),
    });
    let stop = StopSource::default();
    let book = Arc::new(IntentBook::default());
    let events = Backlog::default();
    let incoming = events.clone();
    // Which port a device will dial is known before the capture is open, and nothing listens on it before.
    let (source, peer) = (plan.source, plan.endpoints.http.ip());
    let ports = plan.phases.iter_mut().filter_map(|phase| phase.workload.take_port(source, peer));
    let ports: Vec<u16> = ports.collect();
    let names = plan.phases.iter().map(|phase| phase.name.clone()).collect();
    // The capture is open before the first SYN.
    let link = link::Link::of(&plan, clock);
    let watch = watch::start(
        &plan.watch,
        &plan.endpoints,
        ports.first().copied(),
        names,
        Arc::clone(&book),
        clock,
        events.clone(),
        link.clone(),
    );
    tracing::debug!(target = %plan.target, seed = plan.seed, phases = plan.phases.len(), "a run begins");
    if let Err(Packets::Denied(reason)) = &watch {
        sink.event(&Event::Notice { text: format!("packets are not looked at: {reason}") });
    }
    let console = plan.console.take().map(|console| hear::start(console, clock, events.clone()));
    let console = console.transpose().map_err(RunError::Runtime)?;
    let air = plan.air.take().map(|air| air::start(air, plan.endpoints.http.ip(), clock.start_unix_ns()));
    if let Some(Err(reason)) = &air {
        sink.event(&Event::Notice { text: format!("the air is not heard: {reason}") });
    }
    let after = plan.watch.after;
    let device = plan.device.clone();
    let local_ports = plan.ports.restricted_to();
    let listener = stop.listener();
    let (executed, over) = End::of_thread();
    let executor = std::thread::Builder::new()
        .name("load".into())
        .spawn(move || {
            let _executed = executed;
            load::execute(&mut plan, clock, book, listener, &events)
        })
        .map_err(RunError::Runtime)?;
    let mut run = Running { sink, incoming, ending: Ending::default() };
    let end = |answer: Answer| if answer == Answer::Hurry { stop.hurry() } else { stop.stop() };
    run.until(&mut signals, &over, end).await?;
    let load::Loaded { mut workloads, mut probes, host, kept_ports } = match executor.join() {
        Ok(result) => result?,
        Err(panic) => std::panic::resume_unwind(panic),
    };
    if let Some(probes) = &mut probes {
        link.note_restarts(&mut probes.device);
    }
    let packets = match watch {
        Err(none) => none,
        Ok(watch) => {
            let watched = run.watched(watch, after, &mut signals).await?;
            Packets::Seen(Box::new(watched.weighed(probes.as_ref(), clock.start_unix_ns())))
        }
    };
    drop(kept_ports);
    let air = air.map(|air| air.map(air::Hearing::join));
    tell_dialling(&mut workloads, &packets, clock.start_unix_ns());
    let duration_ns = clock.now_ns();
    let console = console.map(|console| said(console, &workloads, &mut probes));
    tracing::debug!(duration_ns, ended = ?run.ending.ended(), "a run is over");
    run.drain();
    run.sink.event(&Event::RunEnded { interrupted: run.ending.ended() != Ended::Completed });
    let failed = workloads.iter().any(|w| w.stats.succeeded < w.stats.attempts);
    let resolved = device.name.as_deref().filter(|_| failed).map(resolve_again);
    let measured = evidence::Measurements {
        start_unix_ns: clock.start_unix_ns(),
        duration_ns,
        workloads: &workloads,
        packets: &packets,
        probes: probes.as_ref(),
        console: console.as_ref(),
        air: air.as_ref().and_then(|air| air.as_ref().ok()),
        device: &device,
        place: Some(Place { address: peer, resolved: resolved.clone() }),
        local_ports,
        host,
    };
    let Diagnosis { findings, account } = judge(&measured);
    let ended = run.ending.ended();
    Ok(Outcome {
        started,
        duration_ns,
        ended,
        workloads,
        packets,
        findings,
        account,
        link_outages: link.outages(),
        probes,
        console,
        air,
        resolved,
    })
}

/// What a name stands for now.
fn resolve_again(name: &str) -> Resolved {
    use std::net::ToSocketAddrs as _;
    let found = (name, 0).to_socket_addrs().map(|found| found.map(|one| one.ip()).collect());
    Resolved { name: name.to_owned(), addresses: found.unwrap_or_default() }
}

/// What the console said; the probes count a restart that only it tells.
fn said(
    console: espstress_console::Listening,
    workloads: &[WorkloadOutcome],
    probes: &mut Option<ProbeOutcome>,
) -> Console {
    let heard = console.finish();
    let load_ns = workloads.iter().map(|w| w.stats.start_ns).min().unwrap_or(0);
    hear::join(probes, &heard, load_ns);
    heard.console
}

/// What the packets say of devices that dial a broker.
fn tell_dialling(workloads: &mut [WorkloadOutcome], packets: &Packets, start_unix_ns: i64) {
    for mqtt in workloads.iter_mut().filter_map(|w| w.stats.mqtt.as_deref_mut()) {
        match packets {
            Packets::Seen(seen) => {
                espstress_diagnose::tell_dialling(mqtt, &seen.summary.dial_signs, start_unix_ns);
            }
            Packets::Denied(reason) => mqtt.no_signs = Some(reason.clone()),
            Packets::Off => mqtt.no_signs = Some("packets were not looked at".to_owned()),
        }
    }
}

/// What the measurements of a run mean: the same for a live run and for one in a laboratory.
#[must_use]
pub fn judge(measured: &Measurements<'_>) -> Diagnosis {
    espstress_diagnose::diagnose(&evidence::of(measured))
}

/// Held by a thread: says when it has ended, in whatever way.
#[derive(Debug)]
struct End(Arc<Notify>);

impl End {
    /// One to be held, and what hears of its end.
    fn of_thread() -> (Self, Arc<Notify>) {
        let over = Arc::new(Notify::new());
        (Self(Arc::clone(&over)), over)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The dispatcher at work.
struct Running<'a> {
    sink: &'a mut dyn EventSink,
    incoming: Backlog,
    ending: Ending,
}

impl Running<'_> {
    /// Passes events on and hears signals until `over`; signals call `end`.
    async fn until(
        &mut self,
        signals: &mut Signals,
        over: &Notify,
        end: impl Fn(Answer),
    ) -> Result<(), RunError> {
        let mut over = std::pin::pin!(over.notified());
        loop {
            tokio::select! {
                event = self.incoming.next() => self.sink.event(&event),
                () = &mut over => break,
                signal = signals.next() => {
                    tracing::debug!(?signal, "a signal");
                    match self.ending.hear(signal) {
                        Answer::GiveUp => return Err(RunError::Aborted),
                        Answer::Nothing => {}
                        answer => end(answer),
                    }
                }
            }
        }
        self.drain();
        Ok(())
    }

    /// Goes on capturing `after` the load; a run that was interrupted doesn't.
    async fn watched(
        &mut self,
        watch: watch::Watch,
        after: Duration,
        signals: &mut Signals,
    ) -> Result<Watched, RunError> {
        let after = if self.ending.ended() == Ended::Interrupted { Duration::ZERO } else { after };
        watch.listen_until(Instant::now() + after);
        self.sink.event(&Event::Watching { at_most_ns: espstress_clock::nanos(after) });
        self.until(signals, watch.over(), |_| watch.listen_until(Instant::now())).await?;
        Ok(watch.join())
    }

    /// Passes on what is still under way.
    fn drain(&mut self) {
        while let Some(event) = self.incoming.try_next() {
            self.sink.event(&event);
        }
    }
}
