//! What the path loses, and what that may have done.

use super::super::{Evidence, ProbeEvidence, Quantiles, WorkloadEvidence, WorkloadKind, loss};
use super::{captured, datagram_probe, exchanges, ports, sleep};
use espstress_event::{AnomalyClass, AnomalyId, Losses};

/// The losses that are known: of the packets and of single probes; `None` where neither was looked at.
pub(crate) fn losses(e: &Evidence<'_>) -> Option<Losses> {
    let probes = datagram_probe(e).map(|p| {
        let spells = p.silences.iter().fold(0_u64, |n, s| n.saturating_add(s.lost));
        let lost = p.sent.saturating_sub(p.answered).saturating_sub(spells);
        Losses { segments: p.sent.saturating_sub(spells).saturating_mul(2), lost, again: 0 }
    });
    let known = e.path.map(|path| path.losses).into_iter().chain(probes);
    known.reduce(Losses::and)
}

/// Copies of a request, or of its answer, that have to be lost for a time-out of some seconds (lwIP repeats after 1.5, 3
/// and 6 s, Linux after 0.2, 0.4, 0.8 and 1.6 s).
const LOST_COPIES: u32 = 3;

/// How many attempts the path may have made time out: so many copies, or answers to them, have to be lost in a row.
pub(crate) fn by_loss(e: &Evidence<'_>, attempts: u64) -> u64 {
    losses(e).map_or(0, |losses| loss::at_most(attempts as f64 * loss::silence(losses, LOST_COPIES)))
}

/// Whether `n` attempts in a row that timed out, of so many attempts, are more than the path can have made.
pub(crate) fn beyond_loss(e: &Evidence<'_>, n: u64, attempts: u64) -> bool {
    let chance = losses(e).map_or(0.0, |losses| loss::silence(losses, LOST_COPIES));
    attempts as f64 * chance.powf(n as f64) <= loss::constants::DEVICE
}

/// Without packets and pings the host's repetitions are counted, and twice so many are asked for.
const FEW: u64 = 3;

/// Part of a run in which this machine stood still, from which on what seems lost may only have been late: a device on
/// the same machine stood still as well.
const STILL: u64 = 5;

/// Fewest exchanges of which a share of repetitions says something.
const SEGMENTS: u64 = 50;

/// A request that is answered later than this may be repeated once without any loss (Linux: `TCP_RTO_MIN`).
const SHORTEST_TIME_OUT: u64 = 200_000_000;

/// Whether answers often come so much later than others on this path that the host sends again what is only late. Where
/// both copies arrive together, one acknowledgement answers both, and nothing tells that from a loss. A link that holds
/// frames back does that, whether or not they wait for a beacon.
fn outwaits_the_host(e: &Evidence<'_>) -> bool {
    let late = |q: &Quantiles| {
        let spread = q.p90_ns.saturating_sub(q.min_ns);
        q.p90_ns >= SHORTEST_TIME_OUT && spread >= SHORTEST_TIME_OUT / 2
    };
    datagram_probe(e).and_then(|p| p.latency).as_ref().is_some_and(late)
}

/// A share of lost segments with where it is known from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) of: &'static str,
    pub(crate) lost: u64,
    pub(crate) whole: u64,
}

/// Probes lost one by one, and all that say something of single losses. Two in a row may still be chance.
pub(crate) fn scattered(p: &ProbeEvidence) -> Loss {
    let spells = p.silences.iter().filter(|s| s.lost > 2).fold(0_u64, |n, s| n.saturating_add(s.lost));
    let lost = p.sent.saturating_sub(p.answered).saturating_sub(spells);
    Loss { of: "pings or telemetry answers", lost, whole: p.sent.saturating_sub(spells) }
}

/// Whether this run, or this machine, lost what was sent.
pub(crate) fn cut(e: &Evidence<'_>) -> bool {
    let still =
        e.host.stood_still.iter().fold(0_u64, |n, s| n.saturating_add(s.to_ns.saturating_sub(s.from_ns)));
    e.workloads.iter().any(|w| {
        w.kind == WorkloadKind::HalfOpen || w.outages.as_ref().is_some_and(|o| o.made > 0 || o.natural > 0)
    }) || still.saturating_mul(STILL) >= e.duration_ns.max(1)
}

pub(crate) fn loss(e: &Evidence<'_>) -> Option<Loss> {
    if cut(e) {
        return None;
    }
    let probe = datagram_probe(e).map(scattered);
    // Each probe crosses the path twice.
    let lost =
        |l: &Loss, ways: u64| Losses { segments: l.whole.saturating_mul(ways), lost: l.lost, again: 0 };
    let segments =
        e.path.map(|path| Loss { of: "segments", lost: path.losses.lost, whole: path.losses.segments });
    // What one of them has lost the other would have lost as well, at its rate. A ping alone may have met a short outage.
    let contradicts = |others: Option<Loss>, ways: f64, rate: f64| {
        others.is_some_and(|o| o.lost == 0 && (-ways * o.whole as f64 * rate).exp() < loss::constants::PATH)
    };
    let rate = |l: Loss, ways: f64| l.lost as f64 / ways / l.whole.max(1) as f64;
    let by_probes = probe.filter(|p| loss::is_bad(lost(p, 2)) && !contradicts(segments, 1.0, rate(*p, 2.0)));
    let by_packets = segments
        .filter(|s| loss::is_bad(lost(s, 1)) && !contradicts(probe, 2.0, rate(*s, 1.0)))
        .filter(|_| !sleep::shows(e) && !outwaits_the_host(e));
    // The larger sample has the better figure.
    let bad = by_probes.into_iter().chain(by_packets).max_by_key(|loss| loss.whole);
    if bad.is_some() || segments.is_some() {
        return bad;
    }
    // Without packets and pings the host's own repetitions are all there is: twice as many are asked for.
    let slow = |w: &WorkloadEvidence| w.main.is_some_and(|q| q.p50_ns >= SHORTEST_TIME_OUT);
    if probe.is_some() || device_does_not_take(e) || sleep::shows(e) || exchanges(e).any(slow) {
        return None;
    }
    let (lost, whole) = exchanges(e).fold((0_u64, 0_u64), |(lost, whole), w| {
        let repeated = w.tcp.map_or(0, |t| t.retransmissions);
        (lost.saturating_add(repeated), whole.saturating_add(w.attempts))
    });
    let tcp = Loss { of: "exchanges, as the host's TCP tells", lost, whole };
    (lost >= 2 * FEW && lost.saturating_mul(50) >= whole && whole >= SEGMENTS).then_some(tcp)
}

/// Whether the device is at an address of this machine's own, where no link is that could lose anything.
pub(crate) fn has_no_link(e: &Evidence<'_>) -> bool {
    e.device.place.as_ref().is_some_and(|place| place.address.to_canonical().is_loopback())
}

/// What was sent arrived, and the device did not take it.
pub(crate) fn device_does_not_take(e: &Evidence<'_>) -> bool {
    let blamed =
        |id| e.anomalies.iter().any(|row| row.id == id && row.class == AnomalyClass::Device && row.count > 0);
    ports::run_out(e)
        || [AnomalyId::ZeroWindowStall, AnomalyId::NoAckToData, AnomalyId::SynUnanswered]
            .into_iter()
            .any(blamed)
        || (!captured(e) && exchanges(e).any(|w| w.failures.of_device() > 0))
}

/// Whether the path is known to lose single segments.
pub(crate) fn loses(e: &Evidence<'_>) -> bool {
    loss(e).is_some()
}
