//! `lossy_link`: the path loses segments here and there.
//!
//! Evidence, the best there is: pings (else telemetry) lost one by one; segments that came through only when they were
//! sent again, and whose first copy had not arrived; the host's own count of repetitions.
//!
//! Neighbours: an outage loses everything for a time; `power_save_latency` makes the host repeat what is only
//! late; a program that does not read, a full backlog and TIME_WAIT leave segments unanswered that did arrive: what never
//! comes through does not count. lwIP delays acknowledgements by up to 250 ms, so that one-way data, and requests that a
//! program is slow to answer, are repeated on a perfect link: repetitions that met what had arrived do not count, and
//! pings that all arrive outweigh the others. On a machine that stood still for a fifth of the run nothing is said.
//!
//! Severity: information, because it is no fault of the device; a warning from 5 %, where TCP no longer hides it.
//!
//! Threshold: more losses than a link that loses one in two hundred has by chance, once in a thousand runs
//! (`loss::constants`). A percentage is given of 200 and more: of fewer, three losses may stand for one in a hundred or
//! ten.

use super::super::{
    Evidence, Finding, FindingId, ProbeEvidence, Severity, WorkloadEvidence, WorkloadKind, loss,
};
use super::text::{percent, things};
use super::{FindingEntry, Trouble, power_save, signs, timewait};
use espstress_event::{AnomalyClass, AnomalyId, Losses};

/// Without packets and pings the host's repetitions are counted, and twice so many are asked for.
const FEW: u64 = 3;
/// Part of a run in which this machine stood still, from which on what seems lost may only have been late: a device on
/// the same machine stood still as well.
const STILL: u64 = 5;
/// Fewest exchanges of which a share of repetitions says something.
const SEGMENTS: u64 = 50;
/// Least sample whose share is worth a figure in percent.
const PERCENT: u64 = 200;
/// A request that is answered later than this may be repeated once without any loss (Linux: `TCP_RTO_MIN`).
const SHORTEST_TIME_OUT: u64 = 200_000_000;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::LossyLink,
    severity: Severity::Warning,
    meaning: "the path between host and device loses segments",
    needs: "ping, or the packets, or TCP_INFO",
    neighbours: "outages; power save; a device that does not read or accept; repetitions by delayed acknowledgements",
    change: "nothing in the device: signal, channel, access point; CONFIG_LWIP_TCP_QUEUE_OOSEQ=y makes losses cheaper",
};

/// A share of lost segments with where it is known from.
#[derive(Clone, Copy, Debug)]
struct Loss {
    of: &'static str,
    lost: u64,
    whole: u64,
}

/// Probes lost one by one, and all that say something of single losses. Two in a row may still be chance.
fn scattered(p: &ProbeEvidence) -> Loss {
    let spells = p.silences.iter().filter(|s| s.lost > 2).fold(0_u64, |n, s| n.saturating_add(s.lost));
    let lost = p.sent.saturating_sub(p.answered).saturating_sub(spells);
    Loss { of: "pings or telemetry answers", lost, whole: p.sent.saturating_sub(spells) }
}

/// Whether this run, or this machine, lost what was sent.
fn cut(e: &Evidence<'_>) -> bool {
    let still =
        e.host.stood_still.iter().fold(0_u64, |n, s| n.saturating_add(s.to_ns.saturating_sub(s.from_ns)));
    e.workloads.iter().any(|w| {
        w.kind == WorkloadKind::HalfOpen || w.outages.as_ref().is_some_and(|o| o.made > 0 || o.natural > 0)
    }) || still.saturating_mul(STILL) >= e.duration_ns.max(1)
}

fn loss(e: &Evidence<'_>) -> Option<Loss> {
    if cut(e) {
        return None;
    }
    let probe = signs::datagram_probe(e).map(scattered);
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
    let by_packets = segments.filter(|s| {
        loss::is_bad(lost(s, 1)) && !contradicts(probe, 2.0, rate(*s, 1.0)) && !power_save::happened(e)
    });
    // The larger sample has the better figure.
    let bad = by_probes.into_iter().chain(by_packets).max_by_key(|loss| loss.whole);
    if bad.is_some() || segments.is_some() {
        return bad;
    }
    // Without packets and pings the host's own repetitions are all there is: twice as many are asked for.
    let slow = |w: &WorkloadEvidence| w.main.is_some_and(|q| q.p50_ns >= SHORTEST_TIME_OUT);
    if probe.is_some() || device_does_not_take(e) || power_save::happened(e) || signs::exchanges(e).any(slow)
    {
        return None;
    }
    let (lost, whole) = signs::exchanges(e).fold((0_u64, 0_u64), |(lost, whole), w| {
        let repeated = w.tcp.map_or(0, |t| t.retransmissions);
        (lost.saturating_add(repeated), whole.saturating_add(w.attempts))
    });
    let tcp = Loss { of: "exchanges, as the host's TCP tells", lost, whole };
    (lost >= 2 * FEW && lost.saturating_mul(50) >= whole && whole >= SEGMENTS).then_some(tcp)
}

/// What was sent arrived, and the device did not take it.
fn device_does_not_take(e: &Evidence<'_>) -> bool {
    let blamed =
        |id| e.anomalies.iter().any(|row| row.id == id && row.class == AnomalyClass::Device && row.count > 0);
    timewait::happened(e)
        || [AnomalyId::ZeroWindowStall, AnomalyId::NoAckToData, AnomalyId::SynUnanswered]
            .into_iter()
            .any(blamed)
        || (!signs::captured(e) && signs::exchanges(e).any(|w| w.failures.of_device() > 0))
}

/// Whether the path is known to lose single segments.
pub(super) fn loses(e: &Evidence<'_>) -> bool {
    loss(e).is_some()
}

pub(super) fn find(e: &Evidence<'_>, trouble: Option<Trouble>) -> Option<Finding> {
    if trouble.is_some_and(|t| t != Trouble::Overflow) {
        return None;
    }
    let loss = loss(e)?;
    let mut evidence = vec![format!("{} of {} {} lost", loss.lost, loss.whole, loss.of)];
    if let Some(path) = e.path {
        evidence.push(format!(
            "packets: the host repeated {} of {} to the device, {} of them though it had arrived; {} of {} from it \
             filled a hole late; {} overtaken",
            path.to_device.retransmissions,
            things(path.to_device.data_segments, "segment"),
            path.to_device.repeated_early,
            path.from_device.late_fills,
            path.from_device.data_segments,
            path.to_device.out_of_order.saturating_add(path.from_device.out_of_order)
        ));
        if path.resets.lost > 0 {
            evidence.push(format!(
                "of {} that the host reset, the device still held {} long after, {} at once: their RSTs were lost",
                things(path.resets.sent, "connection"),
                path.resets.lost,
                path.resets.lost_at_once
            ));
        }
    }
    let bad = loss.lost.saturating_mul(20) >= loss.whole;
    Some(Finding {
        id: FindingId::LossyLink,
        severity: if bad { Severity::Warning } else { Severity::Info },
        statement: if loss.whole >= PERCENT {
            format!("The link loses {} of {}.", percent(loss.lost, loss.whole), loss.of)
        } else {
            format!("The link loses {}: {} of {}.", loss.of, loss.lost, loss.whole)
        },
        evidence,
        cause: "radio: distance, interference, a full channel; no fault of the device's program".into(),
        change:
            "nothing in the program; try another channel or a place nearer to the access point, and keep \
                 CONFIG_LWIP_TCP_QUEUE_OOSEQ=y so that a loss costs one segment"
                .into(),
    })
}
