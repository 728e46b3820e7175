//! `slow_recovery`: after an outage the connections take longer to stand again than back-off explains.
//!
//! Evidence: an outage workload. Recovery is counted from the end of the outage, without the deliberate quiet of
//! the recovery rule.
//!
//! Neighbours: a connection that lives through an outage goes on with the next repetition, which back-off puts as
//! far ahead as the outage was long (RFC 6298, 5.5); one that is opened anew may need two connect time-outs of 5 s.
//! So recovery may take the outage's length and ten seconds more. What the run's end cut off is not judged.
//!
//! Severity: an error where an outage was never recovered from in the time given for it.

use super::super::facts::RECOVERY;
use super::super::{EndedOutage, Evidence, Finding, FindingId, Recovery, Severity};
use super::FindingEntry;
use super::text::{things, time};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::SlowRecovery,
    severity: Severity::Error,
    meaning: "after an outage, connections take long to recover, or never do",
    needs: "an outage workload",
    neighbours: "TCP back-off of a connection that survived; the pause that the recovery rule asks for",
    change: "reconnect at once on IP_EVENT_STA_GOT_IP; close the old socket as soon as the device notices the \
             silence",
};

/// How long recovery took beyond what was to be expected; `None` where it was in time.
fn excess(row: &EndedOutage, quiet: u64) -> Option<u64> {
    let took = match row.recovery {
        Recovery::After(took) | Recovery::NotWithin(took) => took,
        Recovery::NotBack(took) if took >= quiet.saturating_add(RECOVERY) => took,
        Recovery::NotBack(_) | Recovery::CutOff => return None,
    };
    let length = row.outage.length_ns().or(row.outage.planned_length_ns).unwrap_or(0);
    let expected = quiet.saturating_add(length).saturating_add(RECOVERY);
    let never = matches!(row.recovery, Recovery::NotWithin(_) | Recovery::NotBack(_));
    (never || took > expected).then_some(took.saturating_sub(quiet))
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let (mut slow, mut never, mut judged, mut longest) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut evidence = Vec::new();
    for (row, quiet) in e
        .workloads
        .iter()
        .filter_map(|w| w.outages.as_ref())
        .flat_map(|o| o.rows.iter().map(|r| (r, o.quiet_ns)))
    {
        judged += u64::from(row.recovery != Recovery::CutOff);
        let Some(took) = excess(row, quiet) else { continue };
        let fate = match row.recovery {
            Recovery::NotWithin(_) | Recovery::NotBack(_) => {
                never += 1;
                format!("not recovered within {}", time(took))
            }
            _ => {
                slow += 1;
                longest = longest.max(took);
                format!("recovered after {}", time(took))
            }
        };
        if evidence.len() < 5 {
            let at = row
                .outage
                .seen_start_ns
                .or(row.outage.planned_start_ns)
                .map_or_else(String::new, |ns| format!(" at {}", time(ns)));
            let length = row
                .outage
                .length_ns()
                .or(row.outage.planned_length_ns)
                .map_or_else(String::new, |ns| format!(" of {}", time(ns)));
            evidence.push(format!(
                "outage{at}{length}: {fate}, not counting the planned pause of {}",
                time(quiet)
            ));
        }
    }
    if slow + never == 0 {
        return None;
    }
    let (severity, statement) = if never > 0 {
        (Severity::Error, format!("The device didn't recover from {never} of {}.", things(judged, "outage")))
    } else {
        (
            Severity::Warning,
            format!(
                "After {slow} of {}, data took up to {} to flow again.",
                things(judged, "outage"),
                time(longest)
            ),
        )
    };
    Some(Finding {
        id: FindingId::SlowRecovery,
        severity,
        statement,
        evidence,
        cause:
            "the device notices the loss late, waits before it rejoins the network, or keeps its old sockets"
                .into(),
        change:
            "call esp_wifi_connect() at once on WIFI_EVENT_STA_DISCONNECTED, without a growing delay; use \
                 a timeout in the program (SO_RCVTIMEO) to end a silent connection instead of waiting for TCP"
                .into(),
    })
}
