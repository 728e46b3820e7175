//! Which phases are still of use, given what the earlier ones came to.

use espstress_engine::{PlannedPhase, WorkloadOutcome};
use espstress_event::{Failure, WorkloadKind};
use espstress_stats::LimitReached;

use super::names;

/// Leaves out what would tell nothing more, or only do harm.
///
/// A device that has stopped serving is asked no further requests; one that serves slowly, or only some, is asked
/// what many at once do to it and nothing else. Its ports are looked at in any case.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Triage;

/// How the device has been serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    /// As it should.
    Well,
    /// Some requests, or after a long time.
    Badly,
    /// Not any more, or never.
    Ended,
}

impl Triage {
    /// Whether `next` is still of use after what `so_far` came to.
    pub(super) fn wants(self, next: &PlannedPhase, so_far: &[WorkloadOutcome]) -> bool {
        match next.name.as_str() {
            names::REQUESTS | names::PORTS => true,
            names::HOLD => so_far.iter().any(silence_was_refused),
            // A device that does not know HEAD may answer GET.
            names::PERSISTENT if so_far.iter().all(no_head_was_answered) => true,
            name => match service(so_far) {
                Service::Well => true,
                Service::Badly => name == names::CROWD,
                Service::Ended => false,
            },
        }
    }
}

/// Whether every request of a phase reached the device, and not one was answered.
fn no_head_was_answered(outcome: &WorkloadOutcome) -> bool {
    const CONNECT: [Failure; 4] = [
        Failure::ConnectTimeout,
        Failure::ConnectRefused,
        Failure::ConnectReset,
        Failure::ConnectUnreachable,
    ];
    let stats = &outcome.stats;
    let connected = CONNECT.into_iter().all(|failure| stats.failures.get(failure) == 0);
    stats.attempts > 0 && stats.succeeded == 0 && connected
}

/// Whether the host was not allowed to fall silent: the search for the device's limit did not even begin.
fn silence_was_refused(outcome: &WorkloadOutcome) -> bool {
    let half_open = outcome.stats.half_open.as_deref();
    half_open.is_some_and(|h| h.unavailable.is_some() && h.limit == LimitReached::NotSearched)
}

/// One connection each: what these come to is what any client would meet, but for those that are silent for so long that
/// a server may give them up, and those beside them.
fn service(so_far: &[WorkloadOutcome]) -> Service {
    let of_requests = so_far
        .iter()
        .filter(|outcome| outcome.facts.kind == Some(WorkloadKind::Head))
        .filter(|outcome| !outcome.facts.asks.late() && outcome.name != names::BESIDE);
    of_requests.fold(Service::Well, |worst, outcome| match (worst, of_one(outcome)) {
        (Service::Ended, _) | (_, Service::Ended) => Service::Ended,
        (Service::Badly, _) | (_, Service::Badly) => Service::Badly,
        _ => Service::Well,
    })
}

fn of_one(outcome: &WorkloadOutcome) -> Service {
    /// Longer than a device takes for a small answer, also one that sleeps between beacons.
    const SLOW_NS: u64 = 1_500_000_000;
    let stats = &outcome.stats;
    let failed = stats.failures.of_device().saturating_sub(turned_away(outcome));
    let rows = stats.series.rows();
    let first_failure = rows.iter().position(|row| row.failures.of_device() > 0);
    let served_after = first_failure.is_none_or(|at| rows.iter().skip(at + 1).any(|row| row.succeeded > 0));
    if stats.succeeded == 0 || (failed >= 2 && !served_after) {
        return Service::Ended;
    }
    let latency = stats.main_phase.and_then(|phase| stats.latency.get(&phase));
    let median = latency.and_then(|pair| pair.from_actual_start().quantile_ns(0.5));
    if failed * 10 >= stats.attempts || median.is_some_and(|ns| ns >= SLOW_NS) {
        return Service::Badly;
    }
    Service::Well
}

/// Connections of a crowd that the device ended before an answer: who does that is at work, and has no room.
fn turned_away(outcome: &WorkloadOutcome) -> u64 {
    let ended = [Failure::EofBeforeResponse, Failure::ReadReset, Failure::WriteReset];
    let of_crowd = || ended.into_iter().map(|failure| outcome.stats.failures.get(failure)).sum();
    if outcome.name == names::CROWD { of_crowd() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use espstress_event::{Endpoints, WorkloadFacts};
    use espstress_stats::{Phase, Recorder};

    const SECOND: u64 = 1_000_000_000;

    /// Names of the phases that are wanted after `requests` went so: rows of successes, failures and latency.
    fn wanted(rows: &[(u32, u32, u64)]) -> Vec<String> {
        let mut recorder = Recorder::new(0, Phase::Total);
        for (at, (served, failed, ns)) in rows.iter().enumerate() {
            for _ in 0..*served {
                recorder.attempt(at as u64 * SECOND, at as u64 * SECOND + ns, Ok(()));
                recorder.latency(Phase::Total, *ns);
            }
            let end = (at as u64 + 1) * SECOND;
            (0..*failed).for_each(|_| recorder.attempt(end - 1, end, Err(Failure::ReadTimeout)));
            let _ = recorder.roll((at as u64 + 1) * SECOND);
        }
        let requests = WorkloadOutcome {
            name: names::REQUESTS.into(),
            kind: "head",
            facts: WorkloadFacts { kind: Some(WorkloadKind::Head), ..WorkloadFacts::default() },
            settings: serde_json::Value::Null,
            at_once: 4,
            stats: recorder.finish(rows.len() as u64 * SECOND),
        };
        let endpoints = Endpoints::only(([192, 0, 2, 1], 80).into());
        let (_, phases) = plan(&endpoints, super::super::USUAL).unwrap();
        let wanted = phases.iter().filter(|phase| Triage.wants(phase, std::slice::from_ref(&requests)));
        wanted.map(|phase| phase.name.clone()).collect()
    }

    #[test]
    fn a_device_that_serves_well_is_asked_everything() {
        let all = wanted(&[(8, 0, 1_000_000); 8]);
        assert_eq!(all, ["requests", "late", "beside", "persistent", "crowd", "reset", "silent", "ports"]);
    }

    #[test]
    fn one_lost_request_among_many_changes_nothing() {
        assert!(wanted(&[(8, 0, 1_000_000), (7, 1, 1_000_000), (8, 0, 1_000_000)]).len() > 3);
    }

    #[test]
    fn a_device_that_serves_late_is_asked_what_a_crowd_does_to_it() {
        assert_eq!(wanted(&[(1, 0, 4 * SECOND); 8]), ["requests", "crowd", "ports"]);
    }

    #[test]
    fn a_device_that_has_stopped_serving_is_left_alone() {
        assert_eq!(wanted(&[(4, 0, 1_000_000), (0, 2, 0), (0, 2, 0)]), ["requests", "ports"]);
    }

    #[test]
    fn a_device_that_answers_no_head_at_all_is_asked_by_get() {
        assert_eq!(wanted(&[(0, 1, 0)]), ["requests", "persistent", "ports"]);
    }
}
