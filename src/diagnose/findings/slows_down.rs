//! `slows_down`: answers took longer and longer from the start of a workload to its end, and nothing else was wrong.
//!
//! Evidence: the median of each sixth of the workload. That no more requests were under way than before: latency and rate
//! together (Little's law). That the link was as quick as ever: pings.
//!
//! Neighbours: a device that is asked faster than it answers: requests queue, and more and more are under way. A step, when
//! something else begins: it rises once. A link that gets worse: pings rise with it. A host that gets busy is a finding of its
//! own. Clients that are slow, silent or made to vanish on purpose, for whom others may have to wait.
//!
//! Thresholds: none of the six medians is less than the one before, four of the five steps go up, and the last is at least
//! twice the first and five milliseconds more. Six medians that differ by chance alone are in this order once in 720 times.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Pace, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::time;

/// Answers in each part, at least: fewer have no median to speak of.
const ENOUGH: u64 = 10;

/// Steps that go up, of one fewer than there are parts.
const STEPS: usize = 4;

/// What the last median is of the first, at least.
const TIMES: u64 = 2;

/// And how much longer, nanoseconds: a host's scheduling makes less.
const LONGER_NS: u64 = 5_000_000;

/// How much the number of requests under way may differ between parts, as a factor; below one request it doesn't matter.
const SAME: f64 = 1.25;

/// The greatest part of the rise that nine in ten pings may take, as a divisor.
const PING: u64 = 4;

/// How much larger the last answers are than the first where they are what grew.
const LARGER: f64 = 1.5;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::SlowsDown,
    severity: Severity::Warning,
    meaning: "answers took longer and longer from the start of a workload to its end, while no more requests were under way and \
              the link stayed quick",
    needs: "six seconds of a workload with ten answers in each sixth of it, and no other workload beside it",
    neighbours: "a device that is asked faster than it answers; a link or a client that gets slower",
    change: "find what grows with each request: a list that is searched, a log that is read, memory that fragments",
};

/// Whether it ran while another did.
fn is_alone(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let beside = |other: &&WorkloadEvidence| other.start_ns < w.end_ns && w.start_ns < other.end_ns;
    e.workloads.iter().filter(beside).count() <= 1
}

/// Whether the medians go up and up.
fn rises(pace: &[Pace]) -> Option<(u64, u64)> {
    let (first, last) = (pace.first()?.p50_ns, pace.last()?.p50_ns);
    let steps = || pace.iter().zip(pace.iter().skip(1));
    let up = steps().filter(|(before, after)| after.p50_ns > before.p50_ns).count();
    let down = steps().any(|(before, after)| after.p50_ns < before.p50_ns);
    let enough = pace.iter().all(|part| part.answers >= ENOUGH);
    let much = last >= first.saturating_mul(TIMES) && last >= first.saturating_add(LONGER_NS);
    (enough && !down && up >= STEPS && much).then_some((first, last))
}

/// Whether as many requests were under way in each part.
fn is_as_busy(pace: &[Pace]) -> bool {
    let (least, most) = pace.iter().fold((f64::MAX, 0.0_f64), |(least, most), part| {
        (least.min(part.under_way), most.max(part.under_way))
    });
    most <= SAME * least.max(1.0)
}

pub(super) fn find(e: &Evidence<'_>, found: &[Finding]) -> Option<Finding> {
    // What is wrong otherwise may be why; memory that goes with it is no reason.
    let is_why = |f: &Finding| {
        f.severity != Severity::Info && !matches!(f.id, FindingId::HeapLeak | FindingId::HeapLow)
    };
    if found.iter().any(is_why) {
        return None;
    }
    let each = facts::exchanges(e).filter_map(|w| {
        let pace = w.pace.as_ref().filter(|pace| is_as_busy(&pace[..]))?;
        Some((w, pace, rises(&pace[..])?))
    });
    let fair = each.filter(|(w, ..)| is_alone(e, w) && !facts::keeps_others_waiting(w));
    let (w, pace, (first, last)) = fair.max_by_key(|(.., (first, last))| last / (*first).max(1))?;
    let ping = e.probes.icmp.value().filter(|ping| ping.answered > 0);
    let rise = last.saturating_sub(first);
    if ping.is_some_and(|ping| ping.latency.is_some_and(|q| q.p90_ns > rise / PING)) {
        return None;
    }
    let medians: Vec<String> = pace.iter().map(|part| time(part.p50_ns)).collect();
    let mut evidence =
        vec![format!("{}: the medians of each sixth of it are {}", w.name, medians.join(", "))];
    evidence.extend(ping.and_then(|ping| {
        let q = ping.latency?;
        Some(format!(
            "ping: half of {} within {}, nine in ten within {}",
            q.count,
            time(q.p50_ns),
            time(q.p90_ns)
        ))
    }));
    let size = |part: Option<&Pace>| part.map_or(0.0, |part| part.bytes_each);
    let (small, large) = (size(pace.first()), size(pace.last()));
    let grown = large > small * LARGER;
    if grown {
        evidence
            .push(format!("bytes for each answer: {small:.0} in the first sixth, {large:.0} in the last"));
    }
    Some(Finding {
        id: FindingId::SlowsDown,
        severity: Severity::Warning,
        statement: format!(
            "The device's answers took longer and longer: {} in the first sixth of the workload, {} in the last (medians).",
            time(first),
            time(last)
        ),
        evidence,
        cause: match (grown, ping.is_some() || facts::path::has_no_link(e)) {
            (true, _) => "its answers get larger with each request",
            (false, true) => "each request costs the program more than the one before: something that it walks through grows",
            (false, false) => {
                "each request costs the program more than the one before, or the link gets slower: no ping tells them apart"
            }
        }
        .into(),
        change: ENTRY.change.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measured, ProbeEvidence, Quantiles, WorkloadKind};

    const MS: u64 = 1_000_000;

    /// A workload of one connection, whose medians these are.
    fn medians(ms: [u64; 6]) -> WorkloadEvidence {
        let part = |ms| Pace { answers: 50, p50_ns: ms * MS, under_way: 0.9, bytes_each: 100.0 };
        WorkloadEvidence {
            name: "head".into(),
            kind: WorkloadKind::Head,
            end_ns: 60_000 * MS,
            pace: Some(Box::new(ms.map(part))),
            ..WorkloadEvidence::default()
        }
    }

    fn said(workloads: Vec<WorkloadEvidence>) -> Option<Finding> {
        find(&Evidence { workloads, ..Evidence::default() }, &[])
    }

    #[test]
    fn answers_that_take_longer_and_longer_are_named() {
        let finding = said(vec![medians([1, 9, 18, 25, 34, 44])]).unwrap();
        assert_eq!((finding.id, finding.severity), (FindingId::SlowsDown, Severity::Warning));
        assert!(finding.statement.contains("1 ms in the first sixth of the workload, 44 ms in the last"));
        assert!(finding.cause.contains("or the link gets slower"), "{}", finding.cause);
        assert!(said(vec![medians([10, 12, 14, 16, 16, 20])]).is_some(), "one step may be too small to see");
    }

    #[test]
    fn a_step_a_wave_and_a_small_rise_are_not() {
        for ms in
            [[1, 1, 1, 44, 44, 44], [1, 9, 18, 17, 34, 44], [10, 11, 12, 13, 14, 15], [1, 2, 3, 4, 5, 5]]
        {
            assert_eq!(said(vec![medians(ms)]), None, "{ms:?}");
        }
        let mut few = medians([1, 9, 18, 25, 34, 44]);
        few.pace.as_mut().unwrap()[3].answers = 9;
        assert_eq!(said(vec![few]), None, "nine answers");
    }

    #[test]
    fn requests_that_queue_and_workloads_beside_each_other_are_not() {
        let queues = |most: f64| {
            let mut w = medians([1, 9, 18, 25, 34, 44]);
            let pace = w.pace.as_mut().unwrap();
            pace.iter_mut().for_each(|part| part.under_way = 3.0);
            pace[5].under_way = most;
            said(vec![w]).is_some()
        };
        assert_eq!((queues(3.7), queues(3.8)), (true, false));
        let w = || medians([1, 9, 18, 25, 34, 44]);
        assert_eq!(said(vec![w(), medians([1; 6])]), None);
        let after = WorkloadEvidence { start_ns: 60_000 * MS, end_ns: 90_000 * MS, ..medians([1; 6]) };
        assert!(said(vec![w(), after]).is_some());
    }

    #[test]
    fn a_link_that_is_as_slow_is_why_and_so_is_whatever_else_was_found() {
        let pings = |p90: u64| {
            let latency = Quantiles { count: 9, p50_ns: MS, p90_ns: p90, ..Quantiles::default() };
            let ping =
                ProbeEvidence { sent: 9, answered: 9, latency: Some(latency), ..ProbeEvidence::default() };
            let mut e = Evidence { workloads: vec![medians([4, 9, 18, 25, 34, 44])], ..Evidence::default() };
            e.probes.icmp = Measured::Value(ping);
            find(&e, &[])
        };
        assert!(pings(10 * MS).unwrap().cause.contains("something that it walks through grows"));
        assert_eq!(pings(10 * MS + 1), None);
        let other = |id, severity| {
            let found = Finding { id, severity, ..pings(MS).unwrap() };
            let e = Evidence { workloads: vec![medians([1, 9, 18, 25, 34, 44])], ..Evidence::default() };
            find(&e, &[found]).is_some()
        };
        assert!(!other(FindingId::HostLimited, Severity::Warning));
        assert!(
            other(FindingId::HeapLeak, Severity::Warning) && other(FindingId::ClosesIdle, Severity::Info)
        );
    }

    #[test]
    fn answers_that_grow_are_the_cause() {
        let mut w = medians([1, 9, 18, 25, 34, 44]);
        w.pace.as_mut().unwrap()[5].bytes_each = 151.0;
        let finding = said(vec![w]).unwrap();
        assert_eq!(finding.cause, "its answers get larger with each request");
        assert!(finding.evidence[1].contains("100 in the first sixth, 151 in the last"), "{finding:?}");
    }
}
