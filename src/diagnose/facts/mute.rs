//! Connections on which a program fell silent while its stack answered all the while.

use super::super::{Evidence, OutageOrigin, OutageRow, Recovery};
use super::{SECOND, datagram_probe, explained, host_stood_still};

/// What is shorter may lie between two pings, which go out once a second, and is over before two are lost in a row.
const SHORT: u64 = 4 * SECOND;

/// The outages that nobody made and that were the program's, since pings were answered all the while. Short ones count
/// where all of them together are long enough for several pings, and none was lost.
pub(crate) fn mute(e: &Evidence<'_>) -> Vec<OutageRow> {
    let Some(probe) = datagram_probe(e) else { return Vec::new() };
    let natural = e
        .workloads
        .iter()
        .filter_map(|w| w.outages.as_ref())
        .flat_map(|outages| &outages.rows)
        .filter(|row| {
            row.outage.origin == OutageOrigin::Natural && !matches!(row.recovery, Recovery::NotBack(_))
        })
        .map(|row| row.outage)
        .filter(|row| {
            let Some(start) = row.seen_start_ns else { return true };
            let end = row.length_ns().map(|length| start.saturating_add(length));
            !explained(e, start, end) && !host_stood_still(e, start, end)
        });
    let (mut short, long): (Vec<OutageRow>, Vec<OutageRow>) =
        natural.partition(|row| row.length_ns().is_some_and(|ns| ns <= SHORT));
    let total = short.iter().filter_map(OutageRow::length_ns).fold(0, u64::saturating_add);
    if probe.answered < probe.sent || total < SHORT {
        short.clear();
    }
    let answered = |row: &OutageRow| {
        let Some(start) = row.seen_start_ns else { return false };
        let end = row.length_ns().map_or(u64::MAX, |length| start.saturating_add(length));
        !probe.silences.iter().any(|s| s.from_ns <= end && s.to_ns.is_none_or(|to| to >= start))
    };
    short.into_iter().chain(long.into_iter().filter(answered)).collect()
}
