//! What outages and silent connections did, in words for any form of the report.

use super::human::{count, percent, positive, things, time_s};
use super::mqtt;
use super::workload::seconds;
use super::{HalfOpenFigures, OutageRow, OutageSummary, Workload};
use espstress_event::{LimitReached, MessageLedger, ReclaimEvidence, SilencedConnection, Spell, Stage};

/// Spells without service that are told one by one.
const SPELLS: usize = 5;

/// A label and what it says.
pub(super) type Line = (String, String);

impl Workload {
    /// The share that succeeded, and of how many where this machine itself prevented some.
    pub(crate) fn success_in_words(&self) -> Option<String> {
        let share = percent(self.success_rate?);
        Some(match self.failures.of_host() {
            0 => format!("{share} succeeded"),
            prevented => {
                let tried = self.attempts.saturating_sub(prevented);
                format!("{share} of the {} that left this machine succeeded", count(tried))
            }
        })
    }

    /// What outages and silent connections came to: nothing for other workloads.
    pub(super) fn standing(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut say = |label: &str, text: String| lines.push((label.to_owned(), text));
        if let Some(sum) = &self.outage_summary {
            outages(&mut say, sum, self.outages.as_deref().unwrap_or_default());
        } else if let Some(rows) = &self.outages {
            say("outages", in_sum(rows, rows.len() as u64).join(", "));
        }
        if let Some(h) = &self.half_open {
            half_open(&mut say, h);
        }
        if let Some(m) = &self.mqtt {
            lines.extend(mqtt::lines(m));
        }
        lines
    }
}

fn outages(say: &mut impl FnMut(&str, String), sum: &OutageSummary, rows: &[OutageRow]) {
    match &sum.unavailable {
        Some(reason) => say("outages", format!("none: {reason}")),
        None => say("outages", in_sum(rows, sum.made + sum.natural).join(", ")),
    }
    if sum.make_failures > 0 {
        say("not made", not_made(sum));
    }
    if sum.to_device.sent + sum.to_host.sent > 0 {
        say("messages", messages(sum));
    }
    let fates = connections(sum);
    if !fates.is_empty() {
        say("connections", fates);
    }
    if let Some(idle) = &sum.idle {
        let died = if idle.died > 0 { format!(", {} died", count(idle.died)) } else { String::new() };
        let lived = things(idle.lived, "connection");
        say("idle", format!("{}, {lived} lived{died}", things(idle.spells, "spell")));
    }
    for device in &sum.dialled {
        let since = |s| format!("; away since {} until the end", time_s(s));
        let away = device.away_since_s.map_or_else(String::new, since);
        let text = format!(
            "{}, {}; lines to it: {}; from it: {}; longest silence {}{away}",
            things(device.connections, "connection"),
            things(device.outages, "outage"),
            ledger(&device.to_device),
            ledger(&device.to_host),
            time_s(device.longest_silence_s)
        );
        say(&format!("device {}", device.id), text);
    }
    if sum.turned_away > 0 {
        say("turned away", format!("{} that dialled in", things(sum.turned_away, "connection")));
    }
}

/// The outages in sum; `all` counts those without a row as well.
fn in_sum(rows: &[OutageRow], all: u64) -> Vec<String> {
    let recovered = || rows.iter().filter_map(|r| r.recovery_s);
    let mut list = vec![things(all, "outage")];
    if let (Some(least), Some(most)) = (recovered().reduce(f64::min), recovered().reduce(f64::max)) {
        let span = match (time_s(least), time_s(most)) {
            (least, most) if least == most => most,
            (least, most) => format!("{least} to {most}"),
        };
        list.push(format!("every connection stood again {span} after the end"));
    }
    let never = rows.iter().filter(|r| !r.is_back()).count() as u64;
    let unseen = rows.iter().filter(|r| r.is_back() && r.recovery_s.is_none()).count() as u64;
    list.extend(positive(never, "outage").map(|s| format!("{s} without recovery in the watched time")));
    list.extend(positive(unseen, "outage").map(|s| format!("{s} of which nobody saw the end")));
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
    if of.sent == 0 {
        return "none".into();
    }
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

/// Milliseconds tell in minutes and not in days.
fn to_the_ms(s: f64) -> String {
    if s < 300.0 { format!("{s:.3} s") } else { time_s(s) }
}

impl OutageRow {
    /// The columns of [`OutageRow::cells`].
    pub(super) const HEADINGS: [&str; 8] =
        ["outage", "made", "seen", "recovery", "lived", "died", "lost", "twice"];

    /// One outage as a row of a table.
    pub(super) fn cells(&self) -> [String; 8] {
        let span = |start: Option<f64>, length: Option<f64>| match (start, length) {
            (Some(start), Some(length)) => format!("at {} for {}", to_the_ms(start), to_the_ms(length)),
            (Some(start), None) => format!("at {}, no end", to_the_ms(start)),
            _ => "-".into(),
        };
        let recovery = match (self.recovery_s, self.gave_up_after_s) {
            (Some(s), _) => time_s(s),
            (None, Some(s)) => format!("not within {}", time_s(s)),
            (None, None) => "-".into(),
        };
        [
            self.number.to_string(),
            span(self.made_start_s, self.made_length_s),
            span(self.seen_start_s, self.seen_length_s),
            recovery,
            count(self.connections_lived),
            count(self.connections_died),
            count(self.messages_lost),
            count(self.messages_duplicated),
        ]
    }
}

fn half_open(say: &mut impl FnMut(&str, String), h: &HalfOpenFigures) {
    if let Some(reason) = &h.unavailable {
        say("half-open", format!("nothing measured: {reason}"));
        return;
    }
    let mut list = vec![format!("{} silenced", things(h.silenced, "connection"))];
    let rule = h.limit_rule.as_ref().map_or(String::new(), |rule| format!(" ({rule})"));
    list.push(match h.capacity {
        Some(n) if serves_with_gaps(h, n) => format!("the device served {} of them{rule}", count(h.served)),
        Some(n) => format!("the device held {} at once{rule}", count(n)),
        None if h.limit == LimitReached::NotSearched => {
            "the search for its limit did not come to its end".to_owned()
        }
        // The last of them may have met a device that was full.
        None if h.unserved > 0 => format!("its limit is not known{rule}"),
        // Whoever makes room may have none left: it shows in others that it closes.
        None if closed_early(h) > 0 => {
            format!(
                "the device had closed {} of them before the last one was opened{rule}",
                count(closed_early(h) as u64)
            )
        }
        None => format!("its limit was not reached{rule}"),
    });
    list.extend(others(h));
    list.push(came_back(h));
    say("half-open", list.join("; "));
    if let Some(reason) = &h.incomplete {
        say("incomplete", reason.clone());
    }
    if let Some(s) = &h.sockets {
        let limit = s.limit.map_or(String::new(), |n| format!(" of {}", count(n.into())));
        let (before, most, end) = (count(s.before.into()), count(s.most.into()), count(s.at_end.into()));
        say(
            "sockets",
            format!("{before} before, {most} at most, {end} at the end{limit}, as the device counts"),
        );
    }
    let away = &h.unavailable_spells;
    if !away.is_empty() {
        let told: Vec<String> = away.iter().take(SPELLS).map(spell).collect();
        let more = away.len().saturating_sub(SPELLS);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        say("unavailable", format!("{}{more}", told.join(", ")));
    }
    let met: Vec<String> = h
        .failures
        .iter()
        .map(|f| format!("connection {} met {} at {}", f.connection, f.met.name(), time_s(seconds(f.at_ns))))
        .collect();
    if !met.is_empty() {
        say("met", met.join("; "));
    }
    let evidence: Vec<&str> = h.evidence.iter().map(|e| e.name()).collect();
    if !evidence.is_empty() {
        say("known by", evidence.join(", "));
    }
}

/// Whether there were some among the first `n` that it served which it didn't serve: nobody knows which of them it held.
fn serves_with_gaps(h: &HalfOpenFigures, n: u64) -> bool {
    let mut served = h.connections.iter().filter(|c| c.stage == Stage::Served).zip(1_u64..);
    served.find(|(_, nth)| *nth == n).is_some_and(|(c, _)| u64::from(c.connection) != n)
}

/// How many the device closed before the last one fell silent.
fn closed_early(h: &HalfOpenFigures) -> usize {
    SilencedConnection::closed_before(&h.connections, h.connections.last().map_or(0, |c| c.silent_ns))
}

/// How the well-behaved client fared once all were silent, and before that where it was kept out then.
fn others(h: &HalfOpenFigures) -> Option<String> {
    let after = h.availability().map(|share| format!("{} of the time", percent(share)))?;
    Some(match h.filling.as_ref().filter(|a| a.served < a.attempts) {
        Some(a) => format!(
            "others got through {} of {} times while these were opened, then {after}",
            count(a.served),
            count(a.attempts)
        ),
        None => format!("others got through {after}"),
    })
}

/// What is known of the silent connections' sockets. A FIN is no more than that: who sent it may wait for the client's, and
/// the stack keeps the connection until its FIN is acknowledged. One that nobody saw may have been sent all the same: to a
/// client that acknowledges nothing it comes late or never.
fn came_back(h: &HalfOpenFigures) -> String {
    let by_fin = h.evidence == [ReclaimEvidence::Fin];
    let seen = |stage| {
        let of = h.connections.iter().filter(move |c| c.stage == stage);
        of.fold((0_u64, 0_u64), |(all, back), c| (all + 1, back + u64::from(c.reclaimed_after_ns.is_some())))
    };
    let ((served, of_served), (unserved, of_unserved)) = (seen(Stage::Served), seen(Stage::Unserved));
    let rest = if served + unserved == 0 {
        "not all".to_owned()
    } else if served > 0 && of_served == served && of_unserved == 0 {
        format!(
            "all {} that it had served, and none of the {} that it hadn't",
            count(served),
            count(unserved)
        )
    } else {
        format!("{} of {} in all", count(of_served + of_unserved), count(served + unserved))
    };
    match (h.first_reclaimed_s, h.all_reclaimed_s) {
        (_, Some(all)) if by_fin => {
            format!("the device closed all of them, each within {} of its silence", time_s(all))
        }
        (Some(first), None) if by_fin => {
            format!("the device was seen to close the first after {}, {rest}", time_s(first))
        }
        (_, Some(all)) => format!("all sockets were back after {}", time_s(all)),
        (Some(first), None) => format!("the first socket was seen back after {}, {rest}", time_s(first)),
        (None, None) => format!("no socket was seen to come back in the {} watched", time_s(h.watched_s)),
    }
}

fn spell(of: &Spell) -> String {
    match of.to_ns {
        Some(to) => {
            format!("{} from {}", time_s(seconds(to.saturating_sub(of.from_ns))), time_s(seconds(of.from_ns)))
        }
        None => format!("from {} on", time_s(seconds(of.from_ns))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::{Failure, OpenFailure};
    use espstress_stats::HalfOpenStats;

    const S: u64 = 1_000_000_000;

    /// What is said of connections that were opened a second apart, served (`s`), silenced and not served (`u`) or failed (`f`)
    /// until the setting ended the search. The device closes each that it served 10 s after its silence, as the packets show,
    /// or none.
    fn said(course: &str, closes: bool) -> String {
        let mut h = HalfOpenStats::default();
        (h.full_after, h.limit, h.watched_ns) = (Some(3), LimitReached::Setting, 12 * S);
        for (connection, what) in (1..).zip(course.chars()) {
            let silent_ns = u64::from(connection) * S;
            if what != 's' {
                h.failures.push(OpenFailure {
                    connection,
                    met: Failure::ReadTimeout,
                    status: None,
                    at_ns: silent_ns,
                });
            }
            if what == 'f' {
                continue;
            }
            let closed = closes && what == 's';
            h.fell_silent(SilencedConnection {
                connection,
                port: 40_000,
                stage: if what == 's' { Stage::Served } else { Stage::Unserved },
                opened_ns: None,
                silent_ns,
                reclaimed_after_ns: closed.then_some(10 * S),
                evidence: closed.then_some(ReclaimEvidence::Fin),
            });
            if closed {
                h.never_reclaimed -= 1;
                h.evidence = vec![ReclaimEvidence::Fin];
            }
        }
        let mut lines = Vec::new();
        let mut say = |label: &str, text: String| lines.push((label.to_owned(), text));
        half_open(&mut say, &HalfOpenFigures::from_stats(&h));
        lines.remove(0).1
    }

    #[test]
    fn a_limit_is_not_said_to_be_out_of_reach_where_connections_in_a_row_got_no_answer() {
        let full = said("sssssuuuufsuu", true);
        let held =
            "the device held 5 at once (5 connections in a row were not served, then 1 more was; as many";
        assert!(full.contains(held), "{full}");
        let closed = "was seen to close the first after 10.0 s, all 6 that it had served, and none of the 6 that it hadn't";
        assert!(full.contains(closed), "{full}");
        let perhaps = said("ssssssssssuu", false);
        assert!(perhaps.contains("its limit is not known (as many"), "{perhaps}");
        assert!(perhaps.contains("2 of them got no answer in time"), "{perhaps}");
        assert!(perhaps.contains("no socket was seen to come back"), "{perhaps}");
        let all = said("ssssssssssss", false);
        assert!(all.contains("its limit was not reached") && all.contains("took them all"), "{all}");
        let makes_room = said("ssssssssssss", true);
        assert!(
            makes_room.contains("the device had closed 1 of them before the last one was opened"),
            "{makes_room}"
        );
        let one_failed = said("ssssfsssssss", false);
        assert!(one_failed.contains("`connections` allows; 1 other failed"), "{one_failed}");
        // Five and then six, with none in between: nobody knows how many at once.
        let after_a_pause = said("sssssuuussssssuuu", false);
        assert!(after_a_pause.contains("the device served 11 of them"), "{after_a_pause}");
    }
}
