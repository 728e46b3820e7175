//! What is to be run, resolved and unchangeable, and what came of it.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use super::air::AirPlan;
use super::hear::ConsolePlan;
use super::watch::WatchPlan;
use espstress_connection::PortRange;
use espstress_diagnose::{Account, AnomalyRow, Finding, Lingers, ResetCauses, Resolved, Unserved};
use espstress_event::{Air, Console, Endpoints, Examination, Failure, LinkOutageCause, WorkloadFacts};
use espstress_observe::{Dials, WireSummary};
use espstress_stats::{ProbeOutcome, WorkloadStats};
#[cfg(target_os = "linux")]
use espstress_targets::twin::Twin;
use espstress_workload::Workload;

/// When a phase begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartRule {
    /// When the phases before it have ended.
    AfterPrevious,
    /// Together with the phase before it.
    WithPrevious,
}

/// One workload of a plan.
pub struct PlannedPhase {
    /// Its name in the scenario: what thresholds and reports call it.
    pub name: String,
    /// When it begins.
    pub start: StartRule,
    /// What it does.
    pub workload: Box<dyn Workload>,
}

/// Decides, as a run goes on, which of its phases are still of use.
pub trait Course: Send {
    /// Whether `next` should run, given what the phases before it came to.
    fn wants(&mut self, next: &PlannedPhase, so_far: &[WorkloadOutcome]) -> bool;

    /// What the workloads that have ended come to in plain words, `probes` being what the probes beside them have
    /// seen; `None` where nobody examines anything.
    fn ended(
        &mut self,
        _so_far: &[WorkloadOutcome],
        _probes: &dyn Fn() -> Option<ProbeOutcome>,
    ) -> Option<Examination> {
        None
    }
}

/// Every phase runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct EveryPhase;

impl Course for EveryPhase {
    fn wants(&mut self, _: &PlannedPhase, _: &[WorkloadOutcome]) -> bool {
        true
    }
}

/// A run.
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// The device in words.
    pub target: String,
    /// The device's services.
    pub endpoints: Endpoints,
    /// What is known of it.
    pub device: DeviceFacts,
    /// The workloads, in order.
    pub phases: Vec<PlannedPhase>,
    /// Which of them run.
    pub course: Box<dyn Course>,
    /// Source ports to use.
    pub ports: Ports,
    /// Source address, or the routing table's choice.
    pub source: Option<IpAddr>,
    /// Of everything random.
    pub seed: u64,
    /// The packets.
    pub watch: WatchPlan,
    /// The device's console, where one is listened to.
    pub console: Option<ConsolePlan>,
    /// The air beside the run; `None` where nobody listens.
    pub air: Option<AirPlan>,
    /// Which probes go along.
    pub probing: Probing,
    /// Whether the run comes to nothing where the first TCP probes, or without them the first attempts, find no device.
    pub looks_first: bool,
    /// The twin, where the device is one: its link can be cut.
    #[cfg(target_os = "linux")]
    pub twin: Option<Arc<Twin>>,
    /// The token of the device's control service, where it is known.
    pub control_token: Option<String>,
}

/// Whether probes go beside the workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probing {
    /// Ping, TCP connect and telemetry, once a second each.
    On,
    /// The same, but TCP connect every third second: a device that accepts slowly has its queue for others.
    Sparing,
    /// Ping and telemetry alone: of a device that dials in nobody knows whether it listens anywhere.
    WithoutConnect,
    /// None.
    Off,
}

/// What is known of a device before a run.
#[derive(Clone, Debug, Default)]
pub struct DeviceFacts {
    /// How many connections it says it holds at once.
    pub capacity: Option<u32>,
    /// Its TCP/IP stack.
    pub stack: Option<String>,
    /// Options in force, by their names in sdkconfig.
    pub options: BTreeMap<String, String>,
    /// Whether the program on it is known to be somebody else's, which speaks none of this project's protocols.
    pub foreign: bool,
    /// The target, where it was typed as a name.
    pub name: Option<String>,
}

/// The source ports of a run.
#[derive(Clone, Copy, Debug)]
pub enum Ports {
    /// Those that the host's system gives out.
    Usual(PortRange),
    /// Those that the user restricted the run to.
    Restricted(PortRange),
}

impl Ports {
    /// The range.
    #[must_use]
    pub const fn range(self) -> PortRange {
        match self {
            Self::Usual(range) | Self::Restricted(range) => range,
        }
    }

    /// How many there are, where the user restricted the run to them.
    pub(crate) fn restricted_to(self) -> Option<u32> {
        match self {
            Self::Usual(_) => None,
            Self::Restricted(range) => u32::try_from(range.len()).ok(),
        }
    }
}

/// Whether packets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capturing {
    /// Where the system allows it.
    On,
    /// Not at all.
    Off,
}

/// What the packets showed.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Packets looked at.
    pub packets: u64,
    /// Packets that the kernel dropped before they were.
    pub dropped: u64,
    /// Why the capture broke off, if it did.
    pub failure: Option<String>,
    /// What is wrong with the packet file, if anything.
    pub pcap_failure: Option<String>,
    /// The anomalies.
    pub anomalies: Vec<AnomalyRow>,
    /// What the device's RSTs answered.
    pub(crate) resets: ResetCauses,
    /// Connections that the device ended before any byte of a response, by workload.
    pub(crate) unserved: BTreeMap<String, Unserved>,
    /// Connections that lingered after the host's FIN, by workload.
    pub(crate) lingers: BTreeMap<String, Lingers>,
    /// Anomalies of the device that are in the counts and were not told one by one.
    pub untold: u64,
    /// Anomalies on connections that another program of this machine opened; they are left out.
    pub of_others: u64,
    /// What the device dialled on this host beside the port that a workload listens on.
    pub own_dials: Dials,
    /// Everything else.
    pub summary: WireSummary,
}

/// What came of looking at packets.
#[derive(Clone, Debug)]
pub enum Packets {
    /// They were looked at.
    Seen(Box<Seen>),
    /// The system did not allow it: why, and what to do.
    Denied(String),
    /// Nobody wanted to.
    Off,
}

/// What ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Its own limits.
    Completed,
    /// Ctrl-C.
    Interrupted,
    /// SIGTERM or SIGHUP: as Ctrl-C, but what the device still sends is waited for.
    Terminated,
}

/// What one workload came to.
#[derive(Clone, Debug)]
pub struct WorkloadOutcome {
    /// Its name in the scenario.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// What it does, as far as findings have to know.
    pub facts: WorkloadFacts,
    /// Its settings, for the report to echo.
    pub settings: serde_json::Value,
    /// Connections that it may have open at once.
    pub at_once: u32,
    /// What it measured.
    pub stats: WorkloadStats,
}

/// One outage of a modelled link, by its own account. Nanoseconds since the start of the run, negative before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSpell {
    /// Why.
    pub cause: LinkOutageCause,
    /// When it began.
    pub start_ns: i64,
    /// When it ended; `None` while it goes on.
    pub end_ns: Option<i64>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Wall time of its start.
    pub started: SystemTime,
    /// Its length, nanoseconds.
    pub duration_ns: u64,
    /// What ended it.
    pub ended: Ended,
    /// Workload by workload, in the order of the plan; those that never began are not here.
    pub workloads: Vec<WorkloadOutcome>,
    /// The packets.
    pub packets: Packets,
    /// What it means.
    pub findings: Vec<Finding>,
    /// Who answers for each failed attempt.
    pub account: Account,
    /// What a modelled link says of its own outages; `None` on a real one.
    pub link_outages: Option<Vec<LinkSpell>>,
    /// The probes, and what the device said of itself by any means; `None` when there was neither.
    pub probes: Option<ProbeOutcome>,
    /// What the device said on its console; `None` where nobody listened.
    pub console: Option<Console>,
    /// What was heard on the air, or why nothing was; `None` where nobody listened.
    pub air: Option<Result<Air, String>>,
    /// What the target's name stands for at the end; `None` where it has none, or nobody asked because nothing failed.
    pub resolved: Option<Resolved>,
}

/// Why a run came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A thread, a timer or a descriptor was refused.
    #[error("the system refused what a run needs: {0}")]
    Runtime(#[source] io::Error),
    /// No connection to the device came about before the first workload.
    #[error("the device cannot be reached: {}", .0.name())]
    NotThere(Failure),
    /// A third Ctrl-C.
    #[error("no report: a third Ctrl-C ended the run at once")]
    Aborted,
}
