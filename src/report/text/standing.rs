//! What outages and silent connections did.

use super::measured::{line, positive};
use crate::event::MessageLedger;
use crate::report::human::{count, percent, things, time_s};
use crate::report::style::{Detail, Style};
use crate::report::{HalfOpenFigures, OutageRow, OutageSummary, Workload};

/// Single outages on a page at most.
const ROWS: usize = 20;

/// The lines of a workload that looks for outages.
pub(super) fn outages(out: &mut String, w: &Workload, style: Style) {
    let rows = w.outages.as_deref().unwrap_or_default();
    let Some(sum) = &w.outage_summary else {
        if let Some(rows) = &w.outages {
            line(out, "outages", &in_sum(rows, rows.len() as u64).join(", "), style);
        }
        return;
    };
    if let Some(reason) = &sum.unavailable {
        line(out, "outages", &format!("none could be made: {reason}"), style);
    } else {
        let list = in_sum(rows, sum.made + sum.natural);
        line(out, "outages", &list.join(", "), style);
    }
    if sum.make_failures > 0 {
        line(out, "not made", &not_made(sum), style);
    }
    if sum.to_device.sent + sum.to_host.sent > 0 {
        line(out, "messages", &messages(sum), style);
    }
    let fates = connections(sum);
    if !fates.is_empty() {
        line(out, "connections", &fates, style);
    }
    if let Some(idle) = &sum.idle {
        let mut text =
            format!("{}, {} lived", things(idle.spells, "spell"), things(idle.lived, "connection"));
        if idle.died > 0 {
            text.push_str(&format!(", {} died", count(idle.died)));
        }
        line(out, "idle", &text, style);
    }
    for device in &sum.dialled {
        let text = format!(
            "{}, {}; lines to it: {}; from it: {}; longest silence {}",
            things(device.connections, "connection"),
            things(device.outages, "outage"),
            ledger(&device.to_device),
            ledger(&device.to_host),
            time_s(device.longest_silence_s)
        );
        line(out, &format!("device {}", device.id), &text, style);
    }
    if sum.turned_away > 0 {
        line(
            out,
            "turned away",
            &format!("{} that dialled in", things(sum.turned_away, "connection")),
            style,
        );
    }
    if style.detail == Detail::Evidence {
        single(out, rows, style);
    }
}

/// The outages in sum; `all` counts those without a row as well.
fn in_sum(rows: &[OutageRow], all: u64) -> Vec<String> {
    let recovered = || rows.iter().filter_map(|r| r.recovery_s);
    let mut list = vec![things(all, "outage")];
    if let (Some(least), Some(most)) = (recovered().reduce(f64::min), recovered().reduce(f64::max)) {
        list.push(format!(
            "every connection stood again {} to {} after their end",
            time_s(least),
            time_s(most)
        ));
    }
    list.extend(
        positive(rows.iter().filter(|r| r.recovery_s.is_none()).count() as u64, "outage")
            .map(|s| format!("{s} without recovery in the watched time")),
    );
    list
}

fn not_made(sum: &OutageSummary) -> String {
    let tried = sum.make_failures + sum.made;
    let mut text = format!("{} of {}", count(sum.make_failures), things(tried, "outage"));
    for (i, failure) in sum.make_failure_examples.iter().take(3).enumerate() {
        text.push_str(if i == 0 { ": " } else { "; " });
        text.push_str(&format!("at {} {}", time_s(failure.at_s), failure.words()));
    }
    text
}

fn messages(sum: &OutageSummary) -> String {
    let mut text = format!("to the device {}; from it {}", ledger(&sum.to_device), ledger(&sum.to_host));
    if !sum.messages_balance {
        text.push_str("; the counts do not balance");
    }
    if let Some(times) = positive(sum.contradictions, "time") {
        text.push_str(&format!("; the device's counts contradicted the host's {times}"));
    }
    if let Some(sessions) = positive(sum.sessions_forgotten, "session") {
        text.push_str(&format!("; {sessions} forgotten by the device"));
    }
    text
}

/// `120 sent: 117 acknowledged, 1 late, 2 lost`.
fn ledger(of: &MessageLedger) -> String {
    let places = [
        (of.acknowledged, "acknowledged"),
        (of.late, "late"),
        (of.delivered, "delivered and the acknowledgement lost"),
        (of.lost, "lost"),
        (of.unknown, "unknown"),
        (of.in_flight, "under way at the end"),
        (of.duplicates, "twice"),
    ];
    let told: Vec<String> = places
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, place)| format!("{} {place}", count(n)))
        .collect();
    format!(
        "{} sent: {}",
        count(of.sent),
        if told.is_empty() { "none decided".into() } else { told.join(", ") }
    )
}

fn connections(sum: &OutageSummary) -> String {
    let fates = &sum.connections;
    let told = [
        (fates.lived, "lived through an outage"),
        (fates.died, "died in one"),
        (fates.died_outside, "died outside of any"),
        (fates.reconnected, "opened again"),
        (fates.given_up_by_silence, "given up for silence"),
    ];
    let mut list: Vec<String> =
        told.into_iter().filter(|(n, _)| *n > 0).map(|(n, fate)| format!("{} {fate}", count(n))).collect();
    let failed: Vec<String> =
        fates.reconnect_failures.iter().map(|(f, n)| format!("{} {}", f.name(), count(n))).collect();
    if !failed.is_empty() {
        list.push(format!("attempts to open one again failed: {}", failed.join(", ")));
    }
    if let (Some(outages), Some(most)) = (fates.half_open_outages.filter(|n| *n > 0), fates.half_open_most) {
        list.push(format!(
            "half-open on the device after {}, {} at most",
            things(outages, "outage"),
            count(most)
        ));
    }
    list.join(", ")
}

/// One by one.
fn single(out: &mut String, rows: &[OutageRow], style: Style) {
    for row in rows.iter().take(ROWS) {
        let span = |start: Option<f64>, length: Option<f64>| match (start, length) {
            (Some(start), Some(length)) => Some(format!("at {start:.3} s for {length:.3} s")),
            (Some(start), None) => Some(format!("at {start:.3} s, no end")),
            _ => None,
        };
        let mut list = Vec::new();
        list.extend(span(row.made_start_s, row.made_length_s).map(|s| format!("made {s}")));
        list.push(
            span(row.seen_start_s, row.seen_length_s).map_or("not seen".into(), |s| format!("seen {s}")),
        );
        list.extend(row.host_noticed_s.map(|s| format!("host noticed at {s:.3} s")));
        list.extend(row.device_noticed_s.map(|s| format!("device by {s:.3} s")));
        list.extend(row.recovery_s.map(|s| format!("all back after {}", time_s(s))));
        list.extend(row.gave_up_after_s.map(|s| format!("not back within {}", time_s(s))));
        list.push(format!("lived {}, died {}", row.connections_lived, row.connections_died));
        list.push(format!("lost {}, twice {}", row.messages_lost, row.messages_duplicated));
        line(out, &format!("outage {}", row.number), &list.join(", "), style);
    }
    if let Some(more) = rows.len().checked_sub(ROWS).filter(|n| *n > 0) {
        line(out, "", &format!("{} more in the JSON report", count(more as u64)), style);
    }
}

/// The line of a workload that falls silent.
pub(super) fn half_open(out: &mut String, h: &HalfOpenFigures, style: Style) {
    if let Some(reason) = &h.unavailable {
        line(out, "half-open", &format!("nothing measured: {reason}"), style);
        return;
    }
    let mut list = vec![format!("{} silenced", things(h.silenced, "connection"))];
    let rule = h.limit_rule.as_ref().map_or(String::new(), |rule| format!(" ({rule})"));
    list.push(match h.capacity {
        Some(n) => format!("the device held {} at once{rule}", count(n)),
        None => format!("its limit was not reached{rule}"),
    });
    list.extend(h.availability().map(|a| format!("others got through {} of the time", percent(a))));
    list.push(match (h.first_reclaimed_s, h.all_reclaimed_s) {
        (_, Some(all)) => format!("all sockets were back after {}", time_s(all)),
        (Some(first), None) => format!("the first socket was back after {}, not all", time_s(first)),
        (None, None) => format!("no socket came back in the {} watched", time_s(h.watched_s)),
    });
    line(out, "half-open", &list.join("; "), style);
    if let Some(s) = &h.sockets {
        let limit = s.limit.map_or(String::new(), |n| format!(" of {}", count(n)));
        let text = format!(
            "{} before, {} at most, {} at the end{limit}, as the device counts",
            s.before, s.most, s.at_end
        );
        line(out, "sockets", &text, style);
    }
    let away = &h.unavailable_spells;
    if !away.is_empty() {
        let told: Vec<String> = away.iter().take(5).map(spell).collect();
        let more = away.len().saturating_sub(5);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        line(out, "unavailable", &format!("{}{more}", told.join(", ")), style);
    }
    if style.detail == Detail::Evidence {
        let met: Vec<String> = h
            .failures
            .iter()
            .map(|f| format!("connection {} met {} at {}", f.connection, f.met.name(), time_s(f.at_s)))
            .collect();
        if !met.is_empty() {
            line(out, "met", &met.join("; "), style);
        }
        let evidence: Vec<&str> = h.evidence.iter().map(|e| e.name()).collect();
        if !evidence.is_empty() {
            line(out, "known by", &evidence.join(", "), style);
        }
    }
}

fn spell(of: &crate::report::Spell) -> String {
    match of.to_s {
        Some(to) => format!("{} from {}", time_s(to - of.from_s), time_s(of.from_s)),
        None => format!("from {} on", time_s(of.from_s)),
    }
}
