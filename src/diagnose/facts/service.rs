//! How service went and ended, without what intervals excuse.

use super::super::bouts::{Bout, SLOW, course};
use super::super::intervals::Intervals;
use super::super::{AnomalyRow, CaptureState, Evidence, WorkloadEvidence, WorkloadKind};
use super::path::beyond_loss;
use super::{SILENT, exchanges, last_success_ns, met_outages_in, of_program, unanswered};
use espstress_event::{AnomalyClass, AnomalyId, Episode, FailureCounts};

/// The end of a workload's service: what failed after its last success, less what intervals excuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServiceEnd {
    /// When the first of these attempts began.
    pub(crate) from_ns: u64,
    /// When the last of them ended.
    pub(crate) to_ns: u64,
    /// Them by name.
    pub(crate) failures: FailureCounts,
}

/// The end of a workload's service; `None` where its last word is a success, or only what intervals excuse.
pub(crate) fn service_end(e: &Evidence<'_>, w: &WorkloadEvidence) -> Option<ServiceEnd> {
    let intervals = Intervals::of(e);
    let tail = w.episodes.iter().rev().take_while(|episode| episode.succeeded == 0);
    let mut end: Option<ServiceEnd> = None;
    let left = |t| of_program(e, w, intervals.left(t));
    for (episode, left) in tail.map(|t| (t, left(t))).filter(|(_, left)| left.of_device() > 0) {
        let end = end.get_or_insert_with(|| ServiceEnd { from_ns: u64::MAX, ..ServiceEnd::default() });
        end.from_ns = end.from_ns.min(episode.from_ns);
        end.to_ns = end.to_ns.max(episode.to_ns);
        end.failures.merge(&left);
    }
    end
}

/// A workload's failures that no interval excuses.
pub(crate) fn unexcused(e: &Evidence<'_>, w: &WorkloadEvidence) -> FailureCounts {
    let intervals = Intervals::of(e);
    let mut failures = FailureCounts::default();
    w.episodes.iter().for_each(|t| failures.merge(&intervals.left(t)));
    of_program(e, w, failures)
}

/// The end of a workload's service, where no later workload of its kind was served either.
pub(crate) fn ends_service(e: &Evidence<'_>, w: &WorkloadEvidence) -> Option<ServiceEnd> {
    service_end(e, w).filter(|end| !others_served_after(e, w, end.from_ns))
}

/// Whether another workload of this kind was served after that moment. Of one workload the order of ends tells: what failed
/// last may have begun before the last success.
pub(crate) fn others_served_after(e: &Evidence<'_>, w: &WorkloadEvidence, at_ns: u64) -> bool {
    exchanges(e).any(|other| {
        !std::ptr::eq(other, w)
            && other.kind == w.kind
            && last_success_ns(other).is_some_and(|last| last > at_ns)
    })
}

/// Stretches in which nobody was served for want of an answer, while the device's stack was there: more than the path
/// can have made.
pub(crate) fn stuck(e: &Evidence<'_>, w: &WorkloadEvidence) -> Vec<Bout> {
    /// Three in a row are no chance to a person.
    const FEW: u64 = 3;
    let at_once = u64::from(w.at_once.max(1));
    let is_stuck = |bout: &Bout| {
        let slow = bout.count(&SLOW).saturating_sub(met_outages_in(e, w, bout.from_ns, bout.to_ns));
        let answers = bout.stack_answers(e);
        // Without probes, attempts at the same time may have met the same burst of the path.
        let alone = if answers.is_some() { slow } else { slow.div_ceil(at_once) };
        let alive = answers.unwrap_or_else(|| bout.count(&SILENT) > at_once);
        bout.is_slow() && slow >= FEW && alive && beyond_loss(e, alone, w.attempts)
    };
    let mut bouts = course(e, w).bouts;
    let at_work = |bout: &Bout| {
        bout.program_is_idle(e) == Some(false)
            || exchanges(e).any(|other| !std::ptr::eq(other, w) && served_in(other, bout))
    };
    bouts.retain(|bout| is_stuck(bout) && !at_work(bout));
    bouts
}

/// Whether a workload was served in a bout of another's: it asked several times in it and never waited long.
pub(crate) fn served_in(w: &WorkloadEvidence, bout: &Bout) -> bool {
    /// Twice may be just before and just after it.
    const FEW: u64 = 5;
    let length = bout.to_ns.saturating_sub(bout.from_ns);
    let common = |t: &Episode| t.to_ns.min(bout.to_ns).saturating_sub(t.from_ns.max(bout.from_ns));
    // Of an episode in which several were served, the part that lies in the bout.
    let served = w.episodes.iter().fold(0_u128, |hundredths, t| {
        let whole = t.to_ns.saturating_sub(t.from_ns).max(1);
        hundredths + u128::from(t.succeeded) * 100 * u128::from(common(t)) / u128::from(whole)
    });
    let Some(main) = w.main else { return false };
    // Or it was served more often than it can have been outside of the bout, one answer after the other on each connection.
    let beside_ns = w.end_ns.saturating_sub(w.start_ns).saturating_sub(length);
    let places = u64::from(w.at_once.max(1)).saturating_mul(u64::from(w.asks.window.max(1)));
    let most = (beside_ns / main.min_ns.max(1)).saturating_add(1).saturating_mul(places);
    served >= u128::from(FEW) * 100 && (main.max_ns <= length / 4 || w.succeeded > most)
}

/// Whether a workload opened each of its connections once, and was served on them again and again.
pub(crate) fn keeps_connections(w: &WorkloadEvidence) -> bool {
    /// Requests that show that its clients are served all the time.
    const REQUESTS: u64 = 10;
    let opened = w.connect.map_or(0, |connect| connect.count);
    w.kind == WorkloadKind::Rw && (1..=u64::from(w.at_once)).contains(&opened) && w.succeeded >= REQUESTS
}

/// Failures of a workload while its device's program was at work: beside successes, or while it came to clients that
/// had given up.
pub(crate) fn while_serving(e: &Evidence<'_>, w: &WorkloadEvidence) -> FailureCounts {
    let course = course(e, w);
    let mut failures = course.beside;
    let late = course.bouts.iter().filter(|bout| bout.program_is_idle(e) == Some(false));
    late.for_each(|bout| failures.merge(&bout.failures));
    failures
}

/// Whether the device came to what the host had given up on: of the connections that got no answer in time, most
/// ended in order, so that its program works, only later. One that hangs never closes them.
pub(crate) fn taken_late(e: &Evidence<'_>) -> bool {
    let waited = exchanges(e).fold(0_u64, |n, w| n.saturating_add(unanswered(w)));
    let of_exchanges = |row: &&AnomalyRow| {
        row.class != AnomalyClass::Path
            && row.workload.as_deref().is_none_or(|name| exchanges(e).any(|w| w.name == name))
    };
    let rows = e.anomalies.iter().filter(|row| row.id == AnomalyId::HalfClosedLinger).filter(of_exchanges);
    let kept = rows.fold(0_u64, |n, row| n.saturating_add(row.connections));
    let unknown = e.not_judged.iter().filter(|n| n.id == AnomalyId::HalfClosedLinger);
    let unknown = unknown.fold(0_u64, |n, row| n.saturating_add(row.connections));
    e.capture.status == CaptureState::Complete
        && waited > 0
        && kept.saturating_add(unknown).saturating_mul(2) < waited
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CaptureEvidence, CaptureState, WorkloadKind};
    use espstress_event::{Direction, Failure, NotJudged};

    /// Ten requests timed out in a workload of this kind; of their connections, so many of this class linger, and of so
    /// many more that isn't known.
    fn late(class: AnomalyClass, workload: Option<&str>, lingering: u64, unknown: u64) -> bool {
        late_of(10, CaptureState::Complete, (class, workload), lingering, unknown)
    }

    fn late_of(
        waited: u64,
        status: CaptureState,
        (class, workload): (AnomalyClass, Option<&str>),
        lingering: u64,
        unknown: u64,
    ) -> bool {
        let mut failures = FailureCounts::default();
        failures.add(Failure::ReadTimeout, waited);
        let named =
            |name: &str, kind| WorkloadEvidence { name: name.into(), kind, ..WorkloadEvidence::default() };
        let row = AnomalyRow {
            id: AnomalyId::HalfClosedLinger,
            class,
            count: lingering,
            connections: lingering,
            workload: workload.map(str::to_owned),
            first_s: 1.0,
            last_s: 2.0,
            direction: Direction::FromDevice,
            examples: Vec::new(),
        };
        let rows = [row];
        let e = Evidence {
            workloads: vec![
                WorkloadEvidence { attempts: 100, failures, ..named("w", WorkloadKind::Head) },
                named("half", WorkloadKind::HalfOpen),
            ],
            anomalies: &rows,
            not_judged: &[NotJudged {
                id: AnomalyId::HalfClosedLinger,
                reason: "the watch was too short".into(),
                connections: unknown,
            }],
            capture: CaptureEvidence { status, ..CaptureEvidence::default() },
            ..Evidence::default()
        };
        taken_late(&e)
    }

    #[test]
    fn a_program_works_that_ends_most_of_what_was_given_up() {
        let device = AnomalyClass::Device;
        assert!(late(device, Some("w"), 4, 0) && !late(device, Some("w"), 5, 0));
        assert!(late(device, Some("w"), 2, 2) && !late(device, Some("w"), 2, 3));
    }

    #[test]
    fn nothing_is_known_without_all_packets_and_nothing_waited_without_a_failure() {
        let of = (AnomalyClass::Device, Some("w"));
        assert!(!late_of(10, CaptureState::Dropped, of, 0, 0) && !late_of(10, CaptureState::Off, of, 0, 0));
        assert!(!late_of(0, CaptureState::Complete, of, 0, 0));
    }

    #[test]
    fn what_the_path_kept_open_or_another_workload_left_is_not_counted() {
        assert!(late(AnomalyClass::Path, Some("w"), 10, 0));
        assert!(late(AnomalyClass::Device, Some("half"), 10, 0));
        assert!(!late(AnomalyClass::Device, None, 10, 0), "of no workload");
        assert!(!late(AnomalyClass::Provoked, Some("w"), 10, 0));
    }
}
