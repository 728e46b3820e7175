//! What there is to examine: all of a run that is over, or what the workloads that have ended came to.

use espstress_diagnose::{AccountRow, Finding};
use espstress_engine::{Outcome, Packets, WorkloadOutcome};
use espstress_event::Console;
use espstress_stats::ProbeOutcome;

/// What was measured.
pub(super) struct Measured<'a> {
    /// Workload by workload.
    pub(super) workloads: &'a [WorkloadOutcome],
    /// The probes beside them; `None` where they were switched off.
    pub(super) probes: Option<&'a ProbeOutcome>,
    /// What the packets showed; `None` while a run goes on.
    pub(super) packets: Option<&'a Packets>,
    /// What the device said on its console; `None` where nobody listened, and while a run goes on.
    pub(super) console: Option<&'a Console>,
    /// What it means, as far as anybody has thought about it.
    pub(super) findings: &'a [Finding],
    /// Who answers for what failed, as far as that is known.
    pub(super) account: &'a [AccountRow],
}

impl<'a> Measured<'a> {
    /// All of a run that is over.
    pub(super) fn all(outcome: &'a Outcome) -> Self {
        Self {
            workloads: &outcome.workloads,
            probes: outcome.probes.as_ref(),
            packets: Some(&outcome.packets),
            console: outcome.console.as_ref(),
            findings: &outcome.findings,
            account: &outcome.account.rows,
        }
    }

    /// What is known of a run that goes on.
    pub(super) const fn so_far(workloads: &'a [WorkloadOutcome], probes: Option<&'a ProbeOutcome>) -> Self {
        Self { workloads, probes, packets: None, console: None, findings: &[], account: &[] }
    }
}
