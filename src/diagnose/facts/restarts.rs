//! Restarts that telemetry proves, and what shows them where there is none.

use super::super::{AnomalyRow, Evidence, ProbeEvidence, Silence};
use super::{
    SECOND, captured, datagram_probe, exchanges, explained, natural_silences, of_device, recovered,
    reset_in_exchange, telemetry,
};
use espstress_event::{AnomalyClass, AnomalyId, Ending};

/// Exchanges that succeed for each that is cut, at least; fewer are a habit and no event.
const SERVED_FOR_EACH_CUT: u64 = 20;

/// First RSTs of connections that stood.
const RESETS: [AnomalyId; 3] =
    [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin, AnomalyId::RstAfterHandshake];

/// Restarts that telemetry proves, or the end of the process that is the device.
pub(crate) fn restarts(e: &Evidence<'_>) -> u64 {
    e.telemetry.value().map_or(0, |t| (t.restarts.len() as u64).saturating_add(t.more_restarts))
}

/// Exchanges that were cut as a restart cuts them, where no telemetry can tell.
pub(crate) fn forgotten(e: &Evidence<'_>) -> u64 {
    if telemetry(e).is_some() || answered_all_probes(e) {
        return 0;
    }
    if captured(e) {
        // A device that resets by habit does so after silences as well.
        let all = RESETS.into_iter().fold(0_u64, |n, id| n.saturating_add(of_device(e, id).count));
        let habit = all.saturating_sub(e.resets.after_absence) > e.resets.after_absence;
        return if habit { 0 } else { e.resets.forgotten };
    }
    exchanges(e)
        .filter(|w| {
            let cut = reset_in_exchange(w);
            let habit = w.endings.get(Ending::Reset) > 0;
            // Who closes before it has read the requests behind the last one resets them as well.
            let alone = w.asks.window <= 1;
            alone
                && cut >= 2
                && !habit
                && w.succeeded >= cut.saturating_mul(SERVED_FOR_EACH_CUT)
                && recovered(w) > 0
        })
        .map(reset_in_exchange)
        .fold(0, u64::saturating_add)
}

/// Whether the device answered every ping, and every handshake that was asked for: one that restarts answers none meanwhile.
fn answered_all_probes(e: &Evidence<'_>) -> bool {
    let mut probes = [&e.probes.icmp, &e.probes.tcp].into_iter().filter_map(|kind| kind.value());
    let at_once = |p: &ProbeEvidence| p.latency.is_none_or(|q| q.max_ns < SECOND);
    datagram_probe(e).is_some() && probes.all(|p| p.answered == p.sent && at_once(p))
}

/// A silence after which the device no longer knew connections of before, or for a while took no new ones.
pub(crate) struct Forgot {
    pub(crate) silence: Silence,
    /// Connections of before that it reset.
    pub(crate) connections: u64,
    /// New ones that it refused, before its program listened again.
    pub(crate) refused: u64,
}

/// Connections that stood when the device fell silent for some seconds, and that it reset when it was back. Its own
/// time-outs end them by a FIN, which comes again and again until it arrives; TCP keep-alive gives up later.
pub(crate) fn forgot(e: &Evidence<'_>) -> Option<Forgot> {
    /// Longer, and keep-alive of usual settings (10 s, and 3 probes 3 s apart) gives connections up as well.
    const LONGEST: u64 = 15 * SECOND;
    if telemetry(e).is_some() || e.workloads.iter().any(|w| w.outages.is_some() || w.half_open.is_some()) {
        return None;
    }
    let silences: Vec<Silence> = natural_silences(e)
        .into_iter()
        .chain(quiet_and_unpinged(e))
        .filter(|s| s.to_ns.is_some_and(|to| to.saturating_sub(s.from_ns) <= LONGEST))
        .collect();
    // The device is back before the next ping is answered; the host repeats a segment, or closes a connection, later.
    let met = |at_s: f64| {
        let after = |s: &&Silence| {
            let (from, to) = (s.from_ns.saturating_add(SECOND), s.to_ns.unwrap_or(s.from_ns));
            let settled = to.saturating_add((to.saturating_sub(s.from_ns)).max(12 * SECOND));
            at_s >= from as f64 / 1e9 && at_s <= settled as f64 / 1e9
        };
        silences.iter().find(after)
    };
    let rows = e.anomalies.iter().filter(|row| {
        matches!(row.id, AnomalyId::RstAfterHandshake | AnomalyId::SynRefused)
            && row.class != AnomalyClass::Provoked
            && row.count > 0
    });
    // A device that resets connections as a habit does so beside a silence as well, and its answer may be lost in one.
    let habits = [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin, AnomalyId::RstStorm];
    let of_habit =
        |row: &&AnomalyRow| habits.contains(&row.id) && row.class == AnomalyClass::Device && row.count > 0;
    if e.anomalies.iter().filter(of_habit).any(|row| met(row.first_s).is_none() || met(row.last_s).is_none())
    {
        return None;
    }
    let mut found: Option<Forgot> = None;
    for row in rows {
        // One outside of these times is a habit, or another cause.
        let (Some(silence), Some(_)) = (met(row.first_s), met(row.last_s)) else { return None };
        let found = found.get_or_insert(Forgot { silence: *silence, connections: 0, refused: 0 });
        match row.id {
            AnomalyId::SynRefused => found.refused = found.refused.saturating_add(row.connections),
            _ => found.connections = found.connections.saturating_add(row.connections),
        }
    }
    found
}

/// Times in which no packet came from the device, that the last pings before its return were lost in: refusals before the
/// next ping is answered end the silence, and not the row of lost pings. Or that one of them was held up for as long in: a
/// system keeps a few packets to a neighbour that it looks for, and sends them when that is back (RFC 1122, 2.3.2.2).
pub(crate) fn quiet_and_unpinged(e: &Evidence<'_>) -> impl Iterator<Item = Silence> {
    let pings = e.probes.icmp.value();
    let silences = pings.map(|p| p.silences.as_slice()).unwrap_or_default();
    let held_up = pings.and_then(|p| p.latency).map_or(0, |q| q.max_ns);
    let quiet = e.quiet.as_deref().unwrap_or_default().iter();
    quiet.filter_map(move |quiet| {
        let (from_ns, to_ns) = (quiet.from_ns, Some(quiet.to_ns).filter(|to| *to < u64::MAX));
        let length = to_ns?.saturating_sub(from_ns);
        let meets = |s: &&Silence| s.from_ns < quiet.to_ns && s.to_ns.is_some_and(|to| to > quiet.from_ns);
        let lost = silences.iter().find(meets).map(|s| s.lost);
        let lost = lost.or_else(|| (held_up >= SECOND && held_up <= length).then_some(0))?;
        (length >= SECOND && !explained(e, from_ns, to_ns)).then_some(Silence { from_ns, to_ns, lost })
    })
}

pub(crate) fn happened(e: &Evidence<'_>) -> bool {
    restarts(e) > 0 || forgotten(e) > 0 || forgot(e).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measured, ProbesEvidence, Quantiles, Quiet};

    /// When the device is said to have been silent, and the pings lost then: nothing came from it from 10 s on, and pings
    /// were lost at these times, seconds.
    fn silent(quiet_until_ns: u64, lost: (u64, u64)) -> Vec<(u64, u64)> {
        let silence = Silence { from_ns: lost.0 * SECOND, to_ns: Some(lost.1 * SECOND), lost: 5 };
        let icmp =
            ProbeEvidence { sent: 60, answered: 55, silences: vec![silence], ..ProbeEvidence::default() };
        of(quiet_until_ns, icmp)
    }

    fn of(quiet_until_ns: u64, icmp: ProbeEvidence) -> Vec<(u64, u64)> {
        let e = Evidence {
            duration_ns: 60 * SECOND,
            quiet: Some(vec![Quiet { from_ns: 10 * SECOND, to_ns: quiet_until_ns }]),
            probes: ProbesEvidence { icmp: Measured::Value(icmp), ..ProbesEvidence::default() },
            ..Evidence::default()
        };
        quiet_and_unpinged(&e).map(|s| (s.from_ns, s.lost)).collect()
    }

    #[test]
    fn a_silence_is_one_where_pings_were_lost_during_it() {
        let found = [(10 * SECOND, 5)];
        assert_eq!(silent(20 * SECOND, (12, 25)), found);
        assert_eq!(silent(20 * SECOND, (5, 12)), found);
        for before_or_after in [(5, 10), (20, 25), (2, 4), (30, 40)] {
            assert_eq!(silent(20 * SECOND, before_or_after), [], "{before_or_after:?}");
        }
        assert_eq!(silent(u64::MAX, (12, 25)), [], "it did not come back");
        assert_eq!(silent(11 * SECOND - 1, (10, 11)), [], "shorter than a second");
        assert_eq!(silent(11 * SECOND, (10, 11)), found);
    }

    #[test]
    fn a_ping_that_was_held_up_for_as_long_is_as_good_as_a_lost_one() {
        let held_up = |max_ns| {
            let latency = Some(Quantiles { max_ns, ..Quantiles::default() });
            of(20 * SECOND, ProbeEvidence { sent: 60, answered: 60, latency, ..ProbeEvidence::default() })
        };
        assert_eq!(held_up(4 * SECOND), [(10 * SECOND, 0)]);
        assert_eq!((held_up(SECOND), held_up(10 * SECOND)), (held_up(4 * SECOND), held_up(4 * SECOND)));
        assert_eq!((held_up(SECOND - 1), held_up(10 * SECOND + 1)), (vec![], vec![]));
    }
}
