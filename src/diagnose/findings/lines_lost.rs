//! `lines_lost`: a device that dials in counts lines as sent that never came, on a connection that stood.
//!
//! Evidence: the counts in the device's own lines (`[sent,received,...]`). Only lines before the last one that came are
//! counted, each on its own connection: TCP leaves nothing out there, so that the device never sent what is missing.
//!
//! Neighbours: what was under way when a connection ended, which is in no later line's count.

use super::super::{Evidence, Finding, FindingId, Severity};
use super::FindingEntry;
use super::text::things;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::LinesLost,
    severity: Severity::Error,
    meaning: "a device that dials in counted lines as sent that never came, on a connection that stood",
    needs: "an outage workload with --listen, and a device whose lines begin with its own counts",
    neighbours: "what was under way when a connection ended",
    change: "check where the program counts and what its send call returns; send again what was not taken",
};

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let all = || e.workloads.iter().filter_map(|w| w.outages.as_ref()).flat_map(|o| &o.lines);
    let worst = all().filter(|lines| lines.lost > 0).max_by_key(|lines| lines.lost)?;
    let line = |of: &super::super::DialledLines| {
        let (sent, connections) = (things(of.sent, "line"), things(of.connections, "connection"));
        format!("device {}: {sent} counted as sent on {connections}, {} never came", of.device, of.lost)
    };
    Some(Finding {
        id: FindingId::LinesLost,
        severity: Severity::Error,
        statement: format!(
            "Device {}, which dials in, counted {} as sent, and {} of them never came on a connection that stood.",
            worst.device,
            things(worst.sent, "line"),
            worst.lost
        ),
        evidence: all().filter(|lines| lines.lost > 0).map(line).collect(),
        cause: "the device never sent them, since TCP leaves nothing out in the middle of a connection: it skips numbers, or \
                drops lines before it sends them, for example where its send buffer is full"
            .into(),
        change: "check where the program counts and what send() returns: fewer bytes than were given, or an error, means that \
                 the rest has to be sent again"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DialledLines, OutageEvidence, WorkloadEvidence};

    #[test]
    fn lines_that_are_missing_on_a_connection_that_stood_are_named() {
        let said = |lost| {
            let lines = vec![DialledLines { device: 1, sent: 13, lost, connections: 1 }];
            let outages = Some(OutageEvidence { lines, ..OutageEvidence::default() });
            let w = WorkloadEvidence { outages, ..WorkloadEvidence::default() };
            find(&Evidence { workloads: vec![w], ..Evidence::default() }).map(|finding| finding.statement)
        };
        let text = "Device 1, which dials in, counted 13 lines as sent, and 3 of them never came on a connection that stood.";
        assert_eq!(said(3).as_deref(), Some(text));
        assert_eq!(said(0), None);
    }
}
