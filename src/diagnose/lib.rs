//! Where what was intended and what was seen meet: anomalies classed by intention, and findings that say
//! what they mean.
//!
//! Pure: takes values of `event` and plain figures, returns values; reads no clock, opens nothing.

mod account;
mod anomalies;
mod bouts;
mod choice;
mod dialling;
mod ends;
mod evidence;
mod facts;
mod finding;
mod findings;
mod frameworks;
mod intervals;
mod judge;
mod ledger;
#[cfg(test)]
mod lone;
mod loss;
mod needs;
mod silences;
mod syns;

pub use account::{Account, AccountRow, Accounted, Excuse};
pub use anomalies::{Anomalies, AnomalyRow, Classed, Example, ExamplePacket, Intentions};
pub use dialling::tell_dialling;
pub use ends::{CutRequests, Lingers, ResetCauses, Unserved};
pub use espstress_event::{
    AckWaits, Asks, Check, ClosePolicy, Deeds, Examination, FullSize, HostResets, Mark, OutageOrigin,
    OutageRow, PathFigures, PowerSave, Protocol, ResetReason, Silence, WorkloadKind,
};
pub use evidence::{
    Absence, Availability, CaptureEvidence, CaptureState, DeviceEvidence, DialledLines, EndedOutage,
    Evidence, HalfOpenEvidence, HeapCeiling, HeapEvidence, HeapStep, HostEvidence, InUse, Measured,
    MemoryEvidence, MqttEvidence, OutageEvidence, Pace, PathEvidence, Place, ProbeEvidence, ProbesEvidence,
    Quantiles, Quiet, Recovery, Resolved, RestartEvidence, Slope, SocketsEvidence, Stalls, StoodStill,
    TcpEvidence, TelemetryEvidence, TimeWaitEvidence, WorkloadEvidence,
};
pub use finding::{Finding, FindingId, Severity};

pub use findings::{
    AirNotJudged, Diagnosis, FindingEntry, air_findings, air_not_judged, diagnose, finding_catalogue,
    findings,
};
pub use frameworks::{Framework, frameworks};
pub use ledger::Ledger;
pub use loss::share_at_most;
pub use needs::Need;
pub use silences::{Absent, Untold, Weather, Whose};

/// Figures in words, for others that tell what they measured.
pub mod words {
    pub use crate::findings::text::{bytes, things, time};
}
