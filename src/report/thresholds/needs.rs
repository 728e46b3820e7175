//! Whether a report has what a finding needs to be judged.

use crate::diagnose::Need;
use crate::report::{Report, Workload};

/// Why a need was not met; `None` where it was.
pub(super) fn unmet(need: Need, report: &Report) -> Option<String> {
    match need {
        Need::Attempts => nothing_tested(report),
        Need::Packets => super::judge::packets_missing(report),
        Need::Probes => {
            let answered = report.probes.iter().any(|probe| probe.sent > probe.lost);
            (!answered).then(|| "neither ping nor telemetry was answered".to_owned())
        }
        Need::Telemetry => report.telemetry.is_none().then(|| "the device told nothing of itself".to_owned()),
        Need::Silence => done_by(report, silences, "no workload fell silent on the device"),
        Need::Outages => done_by(report, |w| w.outage_summary.is_some(), "no workload went through outages"),
    }
}

/// Why no workload of the run tested anything; `None` where one did.
pub(super) fn nothing_tested(report: &Report) -> Option<String> {
    let asked = |w: &Workload| w.attempts > w.failures.of_host() || w.half_open.is_some();
    if report.workloads.iter().any(asked) {
        return None;
    }
    let prevented = report.workloads.iter().any(|w| w.attempts > 0);
    Some(if prevented {
        "this machine prevented every attempt: nothing was tested".to_owned()
    } else {
        "the run made no attempt: nothing was tested".to_owned()
    })
}

fn silences(w: &Workload) -> bool {
    w.half_open.is_some() || w.params.get("close").and_then(serde_json::Value::as_str) == Some("vanish")
}

/// Whether one of these workloads did its job; else why not.
fn done_by(report: &Report, kind: impl Fn(&Workload) -> bool, none: &str) -> Option<String> {
    let mut reason = none.to_owned();
    for w in report.workloads.iter().filter(|w| kind(w)) {
        match w.not_done() {
            None => return None,
            Some(why) => reason = format!("{} could not do its job: {why}", w.name),
        }
    }
    Some(reason)
}
