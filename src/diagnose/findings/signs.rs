//! Small facts that several findings ask for.

use super::super::bouts::{Bout, SLOW, course};
use super::super::intervals::Intervals;
use super::super::loss;
use super::super::{
    AnomalyRow, CaptureState, ClosePolicy, Evidence, HeapStep, OutageCause, ProbeEvidence, Recovery, Silence,
    TelemetryEvidence, WorkloadEvidence, WorkloadKind,
};
use super::heap_low;
use super::text::{bytes, time};
use super::{head_unanswered, malformed_response, other_protocol, pipelining_lost};
use espstress_event::{AnomalyClass, AnomalyId, Ending, Failure, FailureCounts, Losses};

pub(super) const SECOND: u64 = 1_000_000_000;

/// How often an anomaly was seen, and on how many connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) connections: u64,
}

/// Workloads of plain exchanges: nothing in them is silenced or cut.
pub(super) fn exchanges<'a>(e: &'a Evidence<'_>) -> impl Iterator<Item = &'a WorkloadEvidence> {
    e.workloads.iter().filter(|w| is_exchange(w))
}

/// Whether nothing in it is silenced or cut.
pub(super) fn is_exchange(w: &WorkloadEvidence) -> bool {
    matches!(w.kind, WorkloadKind::Head | WorkloadKind::Rw) && w.close != ClosePolicy::Vanish
}

/// An anomaly counted against the device, outside of workloads that silence connections or cut the link: there
/// the host's own absence explains most of what is seen.
pub(super) fn of_device(e: &Evidence<'_>, id: AnomalyId) -> Tally {
    let cut = |name: &str| {
        e.workloads.iter().any(|w| {
            w.name == name
                && (matches!(w.kind, WorkloadKind::Outage | WorkloadKind::HalfOpen)
                    || w.close == ClosePolicy::Vanish)
        })
    };
    e.anomalies
        .iter()
        .filter(|row| row.id == id && row.class == AnomalyClass::Device)
        .filter(|row| !row.workload.as_deref().is_some_and(cut))
        .fold(Tally::default(), |sum, row| Tally {
            count: sum.count.saturating_add(row.count),
            connections: sum.connections.saturating_add(row.connections),
        })
}

/// The same on the connections of workloads alone: probes are not among them.
pub(super) fn of_device_in_exchanges(e: &Evidence<'_>, id: AnomalyId) -> Tally {
    e.anomalies
        .iter()
        .filter(|row| row.id == id && row.class == AnomalyClass::Device)
        .filter(|row| row.workload.as_deref().is_none_or(|name| exchanges(e).any(|w| w.name == name)))
        .fold(Tally::default(), |sum, row| Tally {
            count: sum.count.saturating_add(row.count),
            connections: sum.connections.saturating_add(row.connections),
        })
}

/// The handshake did not come about.
pub(super) fn not_connected(w: &WorkloadEvidence) -> u64 {
    sum(w, &CONNECT)
}

/// The connection stood and no answer came. One that began and broke off by itself is an answer, and a broken one.
pub(super) fn unanswered(w: &WorkloadEvidence) -> u64 {
    count(&without_silence(w.failures.clone(), malformed_response::stops_in_the_middle(w)), &SILENT)
}

/// Attempts of a workload that outages made by this run may have cost: each of them every connection once.
pub(super) fn met_outages(e: &Evidence<'_>, w: &WorkloadEvidence) -> u64 {
    let made = e.workloads.iter().filter_map(|w| w.outages.as_ref()).map(|o| o.made);
    made.fold(0, u64::saturating_add).saturating_mul(u64::from(w.at_once))
}

/// Whether the device came to what the host had given up on: of the connections that got no answer in time, most
/// ended in order, so that its program works, only later. One that hangs never closes them.
pub(super) fn taken_late(e: &Evidence<'_>) -> bool {
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

/// The device ended the connection by a RST in the middle of an exchange.
pub(super) fn reset_in_exchange(w: &WorkloadEvidence) -> u64 {
    sum(w, &[Failure::ReadReset, Failure::WriteReset])
}

fn sum(w: &WorkloadEvidence, names: &[Failure]) -> u64 {
    count(&w.failures, names)
}

/// The sum of some failures.
pub(super) fn count(failures: &FailureCounts, names: &[Failure]) -> u64 {
    names.iter().fold(0, |n, f| n.saturating_add(failures.get(*f)))
}

/// No connection came about.
pub(super) const CONNECT: [Failure; 4] =
    [Failure::ConnectTimeout, Failure::ConnectRefused, Failure::ConnectReset, Failure::ConnectUnreachable];

/// A connection stood and no answer came.
pub(super) const SILENT: [Failure; 2] = [Failure::ReadTimeout, Failure::WriteTimeout];

/// The end of a workload's service: what failed after its last success, less what intervals excuse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ServiceEnd {
    /// When the first of these attempts began.
    pub(super) from_ns: u64,
    /// When the last of them ended.
    pub(super) to_ns: u64,
    /// Them by name.
    pub(super) failures: FailureCounts,
}

/// The end of a workload's service; `None` where its last word is a success, or only what intervals excuse.
pub(super) fn service_end(e: &Evidence<'_>, w: &WorkloadEvidence) -> Option<ServiceEnd> {
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
pub(super) fn unexcused(e: &Evidence<'_>, w: &WorkloadEvidence) -> FailureCounts {
    let intervals = Intervals::of(e);
    let mut failures = FailureCounts::default();
    w.episodes.iter().for_each(|t| failures.merge(&intervals.left(t)));
    of_program(e, w, failures)
}

/// Without the time-outs of answers that began and broke off by themselves each time, and of HEADs to a program that
/// answers GET alone, of questions in a protocol that it does not speak, and of requests behind others: it is at work.
pub(super) fn of_program(e: &Evidence<'_>, w: &WorkloadEvidence, failures: FailureCounts) -> FailureCounts {
    let at_work = malformed_response::stops_in_the_middle(w)
        || head_unanswered::happens_to(e, w)
        || other_protocol::happens_to(e, w)
        || pipelining_lost::happens_to(w);
    without_silence(failures, at_work)
}

fn without_silence(failures: FailureCounts, at_work: bool) -> FailureCounts {
    if !at_work {
        return failures;
    }
    let mut left = FailureCounts::default();
    failures.iter().filter(|(f, _)| *f != Failure::ReadTimeout).for_each(|(failure, n)| left.add(failure, n));
    left
}

/// Failures that successes follow.
pub(super) fn recovered(w: &WorkloadEvidence) -> u64 {
    let last = w.episodes.iter().rposition(|episode| episode.succeeded > 0);
    let before = last.map_or(&[][..], |last| w.episodes.get(..=last).unwrap_or_default());
    before.iter().fold(0, |n, t| n.saturating_add(t.failures.of_device()))
}

/// When the last success of a workload ended.
pub(super) fn last_success_ns(w: &WorkloadEvidence) -> Option<u64> {
    w.episodes.iter().filter(|t| t.succeeded > 0).map(|t| t.to_ns).max()
}

/// The end of a workload's service, where no later workload of its kind was served either.
pub(super) fn ends_service(e: &Evidence<'_>, w: &WorkloadEvidence) -> Option<ServiceEnd> {
    let end = service_end(e, w)?;
    // Of one workload the order of ends tells: what failed last may have begun before the last success.
    let served_later = |other: &WorkloadEvidence| {
        !std::ptr::eq(other, w)
            && other.kind == w.kind
            && last_success_ns(other).is_some_and(|at| at > end.from_ns)
    };
    (!exchanges(e).any(served_later)).then_some(end)
}

/// Whether any exchange of the run succeeded.
pub(super) fn ever_served(e: &Evidence<'_>) -> bool {
    e.workloads
        .iter()
        .any(|w| w.succeeded > 0 || w.half_open.as_ref().is_some_and(|h| h.served > 0 || h.before.served > 0))
}

/// How many of a workload's well-ended exchanges ended so.
pub(super) fn endings(e: &Evidence<'_>, ending: Ending) -> u64 {
    exchanges(e).fold(0, |n, w| n.saturating_add(w.endings.get(ending)))
}

/// All well-ended exchanges whose end the host waited for.
pub(super) fn all_endings(e: &Evidence<'_>) -> u64 {
    Ending::ALL.into_iter().fold(0, |n, ending| n.saturating_add(endings(e, ending)))
}

/// What is known of the device's stack at the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stack {
    /// It answers ping, telemetry or SYN.
    Answers,
    /// It answers nothing any more, or never did.
    Silent,
    /// Nobody asked.
    Unknown,
}

/// Whether the device's stack answers at the end of the run. A device without the telemetry service, or one
/// that answers no ping on principle, is told from a dead one by the other kinds.
pub(super) fn stack(e: &Evidence<'_>) -> Stack {
    let kinds = [&e.probes.icmp, &e.probes.telemetry, &e.probes.tcp];
    let asked = || kinds.iter().filter_map(|kind| kind.value()).filter(|p| p.sent > 0);
    if asked().any(|p| p.answered > 0 && open_silence(p).is_none()) {
        return Stack::Answers;
    }
    // A TCP probe that goes unanswered may mean a full backlog as well. A kind that was never answered may not be
    // served by the device at all: it counts only where nothing else shows that there is one.
    let connected = ever_served(e) || e.workloads.iter().any(|w| unanswered(w) > 0);
    let mut datagrams = kinds[..2].iter().filter_map(|kind| kind.value()).filter(|p| p.sent > 2);
    if datagrams.any(|p| p.answered > 0 || !connected) { Stack::Silent } else { Stack::Unknown }
}

/// A device that had dialled in and is gone: its number, since when, and for how long. It keeps quiet after a loss for
/// as long as the recovery rule says, and then has as long as any recovery may take.
pub(super) fn gone_dialler(e: &Evidence<'_>) -> Option<(u8, u64, u64)> {
    let outages = e.workloads.iter().filter_map(|w| w.outages.as_ref());
    let rows = outages.flat_map(|o| o.rows.iter().map(move |row| (row, o.quiet_ns)));
    rows.filter_map(|(row, quiet)| {
        let Recovery::NotBack(took) = row.recovery else { return None };
        (took >= quiet.saturating_add(RECOVERY)).then_some((row.device?, row.seen_start_ns?, took))
    })
    .min_by_key(|(_, since, _)| *since)
}

/// What a recovery may take beside the deliberate quiet: two connect time-outs of 5 s.
pub(super) const RECOVERY: u64 = 10 * SECOND;

/// The silence that lasted until the end of the run.
pub(super) fn open_silence(p: &ProbeEvidence) -> Option<&Silence> {
    p.silences.iter().find(|s| s.to_ns.is_none())
}

/// The probe that knows nothing of connections: ping, else telemetry.
pub(super) fn datagram_probe<'a>(e: &'a Evidence<'_>) -> Option<&'a ProbeEvidence> {
    [&e.probes.icmp, &e.probes.telemetry]
        .into_iter()
        .filter_map(|kind| kind.value())
        .find(|p| p.sent > 0 && p.answered > 0)
}

/// What the device said, if it said anything.
pub(super) fn telemetry<'a>(e: &'a Evidence<'_>) -> Option<&'a TelemetryEvidence> {
    e.telemetry.value().filter(|t| t.samples > 0)
}

/// When no kind of datagram probe was answered that is answered at other times; `None` where there is none.
pub(super) fn silent_probes(e: &Evidence<'_>) -> Option<Vec<Silence>> {
    let kinds = [&e.probes.icmp, &e.probes.telemetry].into_iter().filter_map(|kind| kind.value());
    let mut answered = kinds.filter(|p| p.answered > 0).map(|p| &p.silences);
    let first = answered.next()?.clone();
    Some(answered.fold(first, |common, list| {
        let meet = |a: &Silence| {
            let a = *a;
            list.iter().filter(move |b| overlap(&a, b)).map(move |b| Silence {
                from_ns: a.from_ns.max(b.from_ns),
                to_ns: a.to_ns.into_iter().chain(b.to_ns).min(),
                lost: a.lost.min(b.lost),
            })
        };
        common.iter().flat_map(meet).collect()
    }))
}

/// The step by which the free heap fell, where most of what is missing went in it.
pub(super) fn heap_step(e: &Evidence<'_>) -> Option<HeapStep> {
    let heap = telemetry(e)?.heap.as_ref()?;
    let lost = heap.free_first.saturating_sub(heap.free_last);
    heap.step.filter(|step| step.by < 0 && step.by.unsigned_abs().saturating_mul(2) >= lost)
}

/// It, with its time.
pub(super) fn step_in_words(step: HeapStep) -> String {
    let (fell, at) = (bytes(step.by.unsigned_abs()), time(step.at_ns));
    format!("free heap fell by {fell} at {at} and stayed there: a step, no loss with each request")
}

/// The losses that are known: of the packets and of single probes; `None` where neither was looked at.
pub(super) fn losses(e: &Evidence<'_>) -> Option<Losses> {
    let probes = datagram_probe(e).map(|p| {
        let spells = p.silences.iter().fold(0_u64, |n, s| n.saturating_add(s.lost));
        let lost = p.sent.saturating_sub(p.answered).saturating_sub(spells);
        Losses { segments: p.sent.saturating_sub(spells).saturating_mul(2), lost, again: 0 }
    });
    let known = e.path.map(|path| path.losses).into_iter().chain(probes);
    known.reduce(Losses::and)
}

/// How many attempts the path may have made time out: so many copies, or answers to them, have to be lost in a row.
pub(super) fn by_loss(e: &Evidence<'_>, attempts: u64) -> u64 {
    losses(e).map_or(0, |losses| loss::at_most(attempts as f64 * loss::silence(losses, LOST_COPIES)))
}

/// Whether `n` attempts in a row that timed out, of so many attempts, are more than the path can have made.
pub(super) fn beyond_loss(e: &Evidence<'_>, n: u64, attempts: u64) -> bool {
    let chance = losses(e).map_or(0.0, |losses| loss::silence(losses, LOST_COPIES));
    attempts as f64 * chance.powf(n as f64) <= loss::constants::DEVICE
}

/// Stretches in which nobody was served for want of an answer, while the device's stack was there: more than the path
/// can have made.
pub(super) fn stuck(e: &Evidence<'_>, w: &WorkloadEvidence) -> Vec<Bout> {
    /// Three in a row are no chance to a person.
    const FEW: u64 = 3;
    let at_once = u64::from(w.at_once.max(1));
    let is_stuck = |bout: &Bout| {
        let slow = bout.count(&SLOW).saturating_sub(met_outages(e, w));
        let answers = bout.stack_answers(e);
        // Without probes, attempts at the same time may have met the same burst of the path.
        let alone = if answers.is_some() { slow } else { slow.div_ceil(at_once) };
        let alive = answers.unwrap_or_else(|| bout.count(&SILENT) > at_once);
        bout.is_slow() && slow >= FEW && alive && beyond_loss(e, alone, w.attempts)
    };
    let mut bouts = course(e, w).bouts;
    bouts.retain(|bout| is_stuck(bout) && bout.program_is_idle(e) != Some(false));
    bouts
}

/// Failures of a workload while its device's program was at work: beside successes, or while it came to clients that
/// had given up.
pub(super) fn while_serving(e: &Evidence<'_>, w: &WorkloadEvidence) -> FailureCounts {
    let course = course(e, w);
    let mut failures = course.beside;
    let late = course.bouts.iter().filter(|bout| bout.program_is_idle(e) == Some(false));
    late.for_each(|bout| failures.merge(&bout.failures));
    failures
}

/// Copies of a request, or of its answer, that have to be lost for a time-out of some seconds (lwIP repeats after 1.5, 3
/// and 6 s, Linux after 0.2, 0.4, 0.8 and 1.6 s).
const LOST_COPIES: u32 = 3;

/// Spells in which no kind of datagram probe was answered and no packet came, that ended, and that neither this run,
/// nor a restart, nor a machine that stood still made.
pub(super) fn natural_silences(e: &Evidence<'_>) -> Vec<Silence> {
    let mut found = unmade_silences(e);
    found.retain(|s| !host_stood_still(e, s.from_ns, s.to_ns));
    found
}

/// Whether the testing machine stood still for half of a time or more: what was not heard in it says nothing of the
/// device or its link.
pub(super) fn host_stood_still(e: &Evidence<'_>, from_ns: u64, to_ns: Option<u64>) -> bool {
    let Some(to_ns) = to_ns else { return false };
    let still = e.host.stood_still.iter().fold(0_u64, |sum, spell| {
        let common = spell.to_ns.min(to_ns).saturating_sub(spell.from_ns.max(from_ns));
        sum.saturating_add(common)
    });
    still > 0 && still >= to_ns.saturating_sub(from_ns) / 2
}

/// The same, whoever it was that did not hear the device.
pub(super) fn unmade_silences(e: &Evidence<'_>) -> Vec<Silence> {
    let kinds: Vec<&ProbeEvidence> = [&e.probes.icmp, &e.probes.telemetry]
        .into_iter()
        .filter_map(|kind| kind.value())
        .filter(|p| p.answered > 0)
        .collect();
    let Some((first, others)) = kinds.split_first() else { return Vec::new() };
    let mut found: Vec<Silence> = first
        .silences
        .iter()
        .filter(|s| s.to_ns.is_some())
        .filter(|s| others.iter().all(|p| p.silences.iter().any(|o| overlap(s, o))))
        .filter(|s| !explained(e, s.from_ns, s.to_ns) && !heard_in(e, s))
        .copied()
        .collect();
    found.retain(|s| away_in(e, s) || !by_chance(e, s, &kinds));
    found
}

/// Whether the packets show that the device answered nothing in most of a silence.
fn away_in(e: &Evidence<'_>, silence: &Silence) -> bool {
    let length = silence.to_ns.unwrap_or(e.duration_ns).saturating_sub(silence.from_ns);
    let to = silence.to_ns.unwrap_or(u64::MAX);
    e.absences.as_ref().is_some_and(|absences| {
        absences.iter().any(|a| {
            let common = a.to_ns.min(to).saturating_sub(a.from_ns.max(silence.from_ns));
            common.saturating_mul(2) >= length
        })
    })
}

/// Whether the path may have lost so many probes of each kind in a row, one by one.
fn by_chance(e: &Evidence<'_>, silence: &Silence, kinds: &[&ProbeEvidence]) -> bool {
    let Some(losses) = losses(e).filter(|losses| losses.lost > 0) else { return false };
    let sent = kinds.iter().map(|p| p.sent).max().unwrap_or(0) as f64;
    let each = loss::silence(losses, 1);
    let all = silence.lost.saturating_mul(kinds.len() as u64);
    sent * each.powf(all as f64) >= loss::constants::PATH
}

/// Whether the packets show that the device was there in a silence, which was the probes' bad luck then.
fn heard_in(e: &Evidence<'_>, silence: &Silence) -> bool {
    /// Between a probe and the packets beside it, on a machine that may be busy, nanoseconds.
    const SLACK: u64 = SECOND / 10;
    let (Some(quiet), Some(to)) = (&e.quiet, silence.to_ns) else { return false };
    // The link may have come back right after the last probe that was lost: a probe's interval before the answer.
    let each = to.saturating_sub(silence.from_ns) / silence.lost.max(1);
    let (from, to) = (silence.from_ns.saturating_add(SLACK), to.saturating_sub(each).saturating_sub(SLACK));
    from < to && !quiet.iter().any(|q| q.from_ns <= from && q.to_ns >= to)
}

fn overlap(a: &Silence, b: &Silence) -> bool {
    a.from_ns <= b.to_ns.unwrap_or(u64::MAX) && b.from_ns <= a.to_ns.unwrap_or(u64::MAX)
}

/// Whether a spell without answers is an outage that was made, a restart of the device, or its want of memory: an answer
/// to ping takes some as well.
pub(super) fn explained(e: &Evidence<'_>, from: u64, to: Option<u64>) -> bool {
    /// Probes are a second apart and their time-out is another, nanoseconds.
    const PROBES: u64 = 3 * SECOND;
    /// A restarted device needs some seconds to join its network again, nanoseconds.
    const START: u64 = 15 * SECOND;
    let to = to.unwrap_or(u64::MAX);
    let near = |start: u64, end: u64, slack: u64| {
        from <= end.saturating_add(slack) && start.saturating_sub(slack) <= to
    };
    let made = e.workloads.iter().filter_map(|w| w.outages.as_ref()).flat_map(|o| &o.rows);
    let made = made.filter(|row| row.cause == OutageCause::Made).any(|row| {
        let start = row.planned_start_ns.or(row.seen_start_ns).unwrap_or(0);
        let length = row.planned_length_ns.max(row.seen_length_ns).unwrap_or(0);
        near(start, start.saturating_add(length), PROBES)
    });
    let restarted = telemetry(e).is_some_and(|t| t.restarts.iter().any(|r| near(r.at_ns, r.at_ns, START)));
    made || restarted || heap_low::low(e).is_some()
}

/// Whether the packets were looked at, at least most of them.
pub(super) const fn captured(e: &Evidence<'_>) -> bool {
    matches!(e.capture.status, CaptureState::Complete | CaptureState::Dropped)
}

/// Connections that all workloads may have open at once, and the probe's.
pub(super) fn at_once(e: &Evidence<'_>) -> u64 {
    e.workloads.iter().map(|w| u64::from(w.at_once)).max().unwrap_or(0) + 1
}
