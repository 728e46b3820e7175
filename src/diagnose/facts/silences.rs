//! When the device, its stack or its link answered nothing, and what explains it.

use super::super::{Absence, Evidence, OutageOrigin, ProbeEvidence, Recovery, Silence, loss};
use super::path::losses;
use super::{SECOND, ever_served, memory, unanswered};

/// What is known of the device's stack at the end of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    /// It answers ping, telemetry or SYN.
    Answers,
    /// It answers nothing any more, or never did.
    Silent,
    /// Nobody asked.
    Unknown,
}

/// Whether the device's stack answers at the end of the run. A device without the telemetry service, or one
/// that answers no ping on principle, is told from a dead one by the other kinds.
pub(crate) fn stack(e: &Evidence<'_>) -> Stack {
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

/// What a recovery may take beside the deliberate quiet: two connect time-outs of 5 s.
pub(crate) const RECOVERY: u64 = 10 * SECOND;

/// A device that had dialled in and is gone: its number, since when, and for how long. It keeps quiet after a loss for
/// as long as the recovery rule says, and then has as long as any recovery may take.
pub(crate) fn gone_dialler(e: &Evidence<'_>) -> Option<(u8, u64, u64)> {
    let outages = e.workloads.iter().filter_map(|w| w.outages.as_ref());
    let rows = outages.flat_map(|o| o.rows.iter().map(move |row| (row, o.quiet_ns)));
    rows.filter_map(|(row, quiet)| {
        let Recovery::NotBack(took) = row.recovery else { return None };
        (took >= quiet.saturating_add(RECOVERY)).then_some((
            row.outage.device?,
            row.outage.seen_start_ns?,
            took,
        ))
    })
    .min_by_key(|(_, since, _)| *since)
}

/// The silence that lasted until the end of the run.
pub(crate) fn open_silence(p: &ProbeEvidence) -> Option<&Silence> {
    p.silences.iter().find(|s| s.to_ns.is_none())
}

/// The probe that knows nothing of connections: ping, else telemetry.
pub(crate) fn datagram_probe<'a>(e: &'a Evidence<'_>) -> Option<&'a ProbeEvidence> {
    [&e.probes.icmp, &e.probes.telemetry]
        .into_iter()
        .filter_map(|kind| kind.value())
        .find(|p| p.sent > 0 && p.answered > 0)
}

/// When no kind of datagram probe was answered that is answered at other times; `None` where there is none.
pub(crate) fn silent_probes(e: &Evidence<'_>) -> Option<Vec<Silence>> {
    let kinds = [&e.probes.icmp, &e.probes.telemetry].into_iter().filter_map(|kind| kind.value());
    let mut answered = kinds.filter(|p| p.answered > 0).map(|p| &p.silences);
    let first = answered.next()?.clone();
    Some(answered.fold(first, |common, list| {
        let meet = |a: Silence| {
            met(list, a).map(move |b| Silence {
                from_ns: a.from_ns.max(b.from_ns),
                to_ns: a.to_ns.into_iter().chain(b.to_ns).min(),
                lost: a.lost.min(b.lost),
            })
        };
        common.into_iter().flat_map(meet).collect()
    }))
}

/// Spells in which no kind of datagram probe was answered and no packet came, that ended, and that neither this run,
/// nor a restart, nor a machine that stood still made.
pub(crate) fn natural_silences(e: &Evidence<'_>) -> Vec<Silence> {
    let mut found = unmade_silences(e);
    found.retain(|s| !host_stood_still(e, s.from_ns, s.to_ns));
    found
}

/// Whether the testing machine stood still for half of a time or more: what was not heard in it says nothing of the
/// device or its link.
pub(crate) fn host_stood_still(e: &Evidence<'_>, from_ns: u64, to_ns: Option<u64>) -> bool {
    let Some(to_ns) = to_ns else { return false };
    let still = e.host.stood_still.iter().fold(0_u64, |sum, spell| {
        let common = spell.to_ns.min(to_ns).saturating_sub(spell.from_ns.max(from_ns));
        sum.saturating_add(common)
    });
    still > 0 && still >= to_ns.saturating_sub(from_ns) / 2
}

/// The same, whoever it was that did not hear the device.
pub(crate) fn unmade_silences(e: &Evidence<'_>) -> Vec<Silence> {
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
        .filter(|s| others.iter().all(|p| met(&p.silences, **s).next().is_some()))
        .filter(|s| !explained(e, s.from_ns, s.to_ns) && !heard_in(e, s))
        .copied()
        .collect();
    found.retain(|s| !by_chance(e, s, &kinds));
    found
}

/// Moments in a silence at which the host's packets asked in vain as well, while most of it was an absence.
fn asked_in(e: &Evidence<'_>, silence: &Silence) -> u32 {
    let length = silence.to_ns.unwrap_or(e.duration_ns).saturating_sub(silence.from_ns);
    let to = silence.to_ns.unwrap_or(u64::MAX);
    let common = |a: &Absence| a.to_ns.min(to).saturating_sub(a.from_ns.max(silence.from_ns));
    let most = e.absences.iter().flatten().filter(|a| common(a).saturating_mul(2) >= length);
    most.map(|a| a.asked).max().unwrap_or(0)
}

/// Whether the path may have lost so many probes in a row, and the packets beside them, one by one.
pub(crate) fn by_chance(e: &Evidence<'_>, silence: &Silence, kinds: &[&ProbeEvidence]) -> bool {
    let Some(losses) = losses(e).filter(|losses| losses.lost > 0) else { return false };
    let sent = kinds.iter().map(|p| p.sent).max().unwrap_or(0) as f64;
    // Probes of two kinds leave together, and meet the same burst.
    let probes = loss::silence(losses, kinds.len() as u32).powf(silence.lost as f64);
    let packets = loss::silence(losses, 1).powf(f64::from(asked_in(e, silence)));
    sent * probes * packets >= loss::constants::PATH
}

/// Whether the packets show that the device was there in a silence, which was the probes' bad luck then.
pub(crate) fn heard_in(e: &Evidence<'_>, silence: &Silence) -> bool {
    /// Between a probe and the packets beside it, on a machine that may be busy, nanoseconds.
    const SLACK: u64 = SECOND / 10;
    let (Some(quiet), Some(to)) = (&e.quiet, silence.to_ns) else { return false };
    // The link may have come back right after the last probe that was lost: a probe's interval before the answer.
    let each = to.saturating_sub(silence.from_ns) / silence.lost.max(1);
    let (from, to) = (silence.from_ns.saturating_add(SLACK), to.saturating_sub(each).saturating_sub(SLACK));
    from < to && !quiet.iter().any(|q| q.from_ns <= from && q.to_ns >= to)
}

/// Those of a list, which follow each other, that meet a silence.
fn met(list: &[Silence], silence: Silence) -> impl Iterator<Item = &Silence> {
    let (from_ns, to_ns) = (silence.from_ns, silence.to_ns.unwrap_or(u64::MAX));
    let first = list.partition_point(|s| s.to_ns.unwrap_or(u64::MAX) < from_ns);
    list[first..].iter().take_while(move |s| s.from_ns <= to_ns)
}

/// Whether a spell without answers is an outage that was made, a restart of the device, or its want of memory: an answer
/// to ping takes some as well.
pub(crate) fn explained(e: &Evidence<'_>, from: u64, to: Option<u64>) -> bool {
    /// Probes are a second apart and their time-out is another, nanoseconds.
    const PROBES: u64 = 3 * SECOND;
    /// A restarted device needs some seconds to join its network again, nanoseconds.
    const START: u64 = 15 * SECOND;
    let to = to.unwrap_or(u64::MAX);
    let near = |start: u64, end: u64, slack: u64| {
        from <= end.saturating_add(slack) && start.saturating_sub(slack) <= to
    };
    let made = e.workloads.iter().filter_map(|w| w.outages.as_ref()).flat_map(|o| &o.rows);
    let made = made.filter(|row| row.outage.origin == OutageOrigin::Made).any(|row| {
        let start = row.outage.planned_start_ns.or(row.outage.seen_start_ns).unwrap_or(0);
        let length = row.outage.planned_length_ns.max(row.outage.length_ns()).unwrap_or(0);
        near(start, start.saturating_add(length), PROBES)
    });
    let restarted =
        e.telemetry.value().is_some_and(|t| t.restarts.iter().any(|r| near(r.at_ns, r.at_ns, START)));
    // A broker that had the link cut.
    let cut = e.workloads.iter().filter_map(|w| w.mqtt.as_ref()).flat_map(|m| &m.outages);
    let mut cut = cut.filter(|outage| outage.link_cut);
    let made = made || cut.any(|outage| near(outage.start_ns, outage.end_ns().unwrap_or(u64::MAX), PROBES));
    made || restarted || memory::low(e).is_some()
}
