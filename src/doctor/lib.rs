//! The doctor: a fixed, gentle course of workloads for one minute, and what it says of any device.
//!
//! [`plan`] makes the phases for the engine and the doctor's course leaves out those that would only do harm once a
//! device has stopped serving; the findings are made by the same rules as for any run. [`Doctor::examination`] reads the
//! outcome as checks in plain words. Knows no report and no page.
//!
//! # The course
//! 1. `requests`: eight HEADs a second, for latency, clean closes, and sockets that are not given back.
//! 2. `late`: requests a moment after the handshake, for programs that close before they have read.
//! 3. `beside`: requests at the same time, for programs that wait for a silent client and serve nobody meanwhile.
//! 4. `persistent`: many GETs on one connection; also where no HEAD was answered, which some devices do not know.
//! 5. `stream`: payload in the device's own protocol, where it has it, for programs that stop reading.
//! 6. `crowd`: more connections at once than a small device holds.
//! 7. `reset`: connections that the host resets, for sockets forgotten after an error.
//! 8. `silent`: connections that fall silent, to the device's limit, and whether it frees them.
//! 9. `hold`: where the host may not fall silent, connections held open and idle instead.
//! 10. `ports`: which of the known ports take connections.
//!
//! What does harm comes late: a device that leaks a socket with each reset has been asked everything else before.

mod checks;
mod deeds;
#[cfg(test)]
mod fixtures;
mod hold;
mod measured;
mod phase;
mod ports;
mod triage;

use std::sync::Arc;
use std::time::Duration;

use espstress_diagnose::Examination;
use espstress_engine::{Course, Outcome, PlannedPhase, StartRule, WorkloadOutcome};
use espstress_event::Endpoints;
use espstress_stats::ProbeOutcome;
use espstress_workload::{ParamError, Workload, kind};

use hold::{Hold, HoldNotes};
use measured::Measured;
use phase::Limited;
use ports::{PortNotes, Ports};
use triage::Triage;

/// The length that is meant when none is given.
pub const USUAL: Duration = Duration::from_secs(60);

/// The shortest length in which everything but slow reclaims can be looked at.
pub const SHORTEST: Duration = Duration::from_secs(20);

/// Names of the phases: what reports and gates call them.
pub mod names {
    /// Steady requests, a connection each.
    pub(crate) const REQUESTS: &str = "requests";
    /// Requests that come late.
    pub(crate) const LATE: &str = "late";
    /// Requests beside those.
    pub(crate) const BESIDE: &str = "beside";
    /// Many requests on a connection.
    pub(crate) const PERSISTENT: &str = "persistent";
    /// Payload in the device's own protocol.
    pub(crate) const STREAM: &str = "stream";
    /// Many connections at once.
    pub(crate) const CROWD: &str = "crowd";
    /// Connections that the host resets.
    pub(crate) const RESET: &str = "reset";
    /// Connections that fall silent.
    pub(crate) const SILENT: &str = "silent";
    /// Connections held open and idle.
    pub(crate) const HOLD: &str = "hold";
    /// Known ports.
    pub(crate) const PORTS: &str = "ports";

    /// All of them, in the order of the course.
    pub const ALL: [&str; 10] =
        [REQUESTS, LATE, BESIDE, PERSISTENT, STREAM, CROWD, RESET, SILENT, HOLD, PORTS];
}

/// Most connections that are opened at once to find out how many the device holds.
const MOST_HELD: u32 = 16;

/// Time within which a device with keep-alive of 10 s and three probes 3 s apart has its sockets back.
const RECLAIM: Duration = Duration::from_secs(20);

/// What the course takes besides waiting for reclaimed sockets.
const BESIDE_RECLAIM: Duration = Duration::from_secs(34);

/// A shorter examination has no time to ask beside silent clients.
const BESIDE_FROM: Duration = Duration::from_secs(40);

/// A doctor with a plan. A copy attends the run as its [`Course`] and says after each workload what is known by then.
#[derive(Clone)]
pub struct Doctor {
    ports: Arc<PortNotes>,
    hold: Arc<HoldNotes>,
}

/// Makes the phases of an examination of about `length` (at least [`SHORTEST`]).
///
/// # Errors
/// [`ParamError`] where a workload does not take the course's settings.
pub fn plan(endpoints: &Endpoints, length: Duration) -> Result<(Doctor, Vec<PlannedPhase>), ParamError> {
    let length = length.max(SHORTEST);
    let reclaim =
        length.saturating_sub(BESIDE_RECLAIM).clamp(Duration::from_secs(5), Duration::from_secs(30));
    let (ports, hold) = (Arc::<PortNotes>::default(), Arc::<HoldNotes>::default());
    let silent = format!(
        "connections = {MOST_HELD}\nfull_after = 2\nbaseline = \"2s\"\nwatch_reclaim = \"{}ms\"\n\
         expect_reclaim = \"{}s\"\ntimeout_connect = \"2500ms\"\ntimeout_read = \"2500ms\"",
        reclaim.as_millis(),
        RECLAIM.as_secs()
    );
    let mut phases = vec![step(names::REQUESTS, 12, made("head", REQUESTS)?)];
    if length < BESIDE_FROM {
        phases.push(step(names::LATE, 6, made("head", LATE)?));
    } else {
        phases.push(step(names::LATE, 14, made("head", ONE_BY_ONE)?));
        let beside = step(names::BESIDE, 14, made("head", BESIDE)?);
        phases.push(PlannedPhase { start: StartRule::WithPrevious, ..beside });
    }
    phases.push(step(names::PERSISTENT, 8, made("rw", PERSISTENT)?));
    if endpoints.framed.is_some() {
        phases.push(step(names::STREAM, 8, made("rw", STREAM)?));
    }
    phases.extend([
        step(names::CROWD, 12, made("head", CROWD)?),
        step(names::RESET, 13, made("head", RESET)?),
        // It ends by itself: the search for the limit, the watch, and ten seconds for the device to come back.
        step(names::SILENT, reclaim.as_secs() + 60, made("half-open", &silent)?),
        step(names::HOLD, 40, Box::new(Hold::new(Arc::clone(&hold), MOST_HELD, length / 5))),
        step(names::PORTS, 5, Box::new(Ports::new(Arc::clone(&ports)))),
    ]);
    Ok((Doctor { ports, hold }, phases))
}

const REQUESTS: &str = "rate = \"8/s\"\nduration = \"8s\"\nconnections = 4\ntimeout_connect = \"3s\"\n\
                        timeout_read = \"8s\"";
const LATE: &str = "count = 6\nconnections = 2\nrequest_delay = \"300ms\"\ntimeout_connect = \"2s\"\n\
                    timeout_read = \"2s\"";
/// One silent client after the other: whoever waits for them serves nobody else for most of the time.
const ONE_BY_ONE: &str = "count = 10\nconnections = 1\nrequest_delay = \"1s\"\ntimeout_connect = \"8s\"\n\
                          timeout_read = \"8s\"";
/// Beside each of them somebody asks.
const BESIDE: &str = "count = 60\nduration = \"10s\"\nconnections = 1\ninterval = \"160ms\"\n\
                      timeout_connect = \"8s\"\ntimeout_read = \"8s\"";
const PERSISTENT: &str = "protocol = \"http\"\nmethod = \"GET\"\ncount = 20\nduration = \"5s\"\nconnections = 1\n\
                          timeout_connect = \"2s\"\ntimeout_read = \"3s\"";
const STREAM: &str = "protocol = \"framed\"\ncount = 2\nconnections = 1\nsize = \"16KiB\"\n\
                      timeout_connect = \"2s\"\ntimeout_read = \"3s\"\ntimeout_write = \"3s\"";
const CROWD: &str = "count = 36\nduration = \"8s\"\nconnections = 12\ntimeout_connect = \"3s\"\n\
                     timeout_read = \"10s\"";
const RESET: &str = "close = \"rst\"\ncount = 12\nduration = \"8s\"\ntimeout_connect = \"2500ms\"\n\
                     timeout_read = \"2500ms\"";

fn made(name: &str, settings: &str) -> Result<Box<dyn Workload>, ParamError> {
    let wrong = |what: String| ParamError::Value { key: name.to_owned(), what };
    let table = settings.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    let kind = kind(name).ok_or_else(|| wrong("no such workload".into()))?;
    (kind.build)(&table)
}

/// A phase that ends after so many seconds, whatever it is waiting for.
fn step(name: &str, limit_s: u64, workload: Box<dyn Workload>) -> PlannedPhase {
    let workload = Limited { inner: workload, limit: Duration::from_secs(limit_s) };
    PlannedPhase { name: name.to_owned(), start: StartRule::AfterPrevious, workload: Box::new(workload) }
}

impl Doctor {
    /// What was seen, and what was done to the device for it.
    #[must_use]
    pub fn examination(&self, outcome: &Outcome) -> Examination {
        self.examine(&Measured::all(outcome))
    }

    fn examine(&self, measured: &Measured<'_>) -> Examination {
        let (ports, hold) = (self.ports.seen(), self.hold.seen());
        Examination {
            checks: checks::of(measured, &ports, hold.as_ref()),
            done: deeds::of(measured, &ports, hold.as_ref()),
            incomplete: None,
        }
    }
}

impl Course for Doctor {
    fn wants(&mut self, next: &PlannedPhase, so_far: &[WorkloadOutcome]) -> bool {
        Triage.wants(next, so_far)
    }

    fn ended(
        &mut self,
        so_far: &[WorkloadOutcome],
        probes: &dyn Fn() -> Option<ProbeOutcome>,
    ) -> Option<Examination> {
        Some(self.examine(&Measured::so_far(so_far, probes().as_ref())))
    }
}
