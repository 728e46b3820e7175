//! A time in which nothing came back, between datagrams that did: no link loses so many one by one. The device's program or a
//! queue in front of it stood still, or the link was away.

use super::super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence, facts, loss};
use super::super::text::{things, time};
use super::{ENOUGH, LASTS};
use espstress_event::{Datagrams, EchoGap, LostRun};

/// No burst of losses is so long: losses at least so far apart are each a matter of their own, microseconds.
const APART: u64 = 100_000;

/// Between two pings of a second's interval, in intervals: one of them may be lost for itself, two in a row are a silence.
const PINGS: u64 = 2;

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The link was there.
    Device,
    /// Pings were lost as well.
    Away,
    /// Nothing tells.
    Unknown,
}

/// When it began and ended, nanoseconds since the start of the run: where nothing tells the end, the last that was lost.
const fn span(run: &LostRun) -> (u64, u64) {
    let to = match run.to_us {
        Some(to) => to,
        None => run.until_us,
    };
    (run.since_us.saturating_mul(1_000), to.saturating_mul(1_000))
}

/// The run of losses that is no chance; `None` where there is none.
fn no_chance(e: &Evidence<'_>, w: &WorkloadEvidence, udp: &Datagrams) -> Option<LostRun> {
    let run = udp.longest_run.filter(|run| run.lost >= ENOUGH && run.length_us() >= LASTS / 1_000)?;
    let (from, to) = span(&run);
    // What other sockets sent meanwhile may have come back.
    let within = |gap: EchoGap| gap.since_us <= run.since_us && run.until_us <= gap.to_us;
    let at_the_end = udp.echoed_until_us.is_some_and(|until| run.since_us > until);
    if !udp.longest_gap.is_some_and(within) && !at_the_end {
        return None;
    }
    // In a sweep all that are too large follow each other. What came late was not lost.
    let is_other = udp.sizes.len() > 1 || udp.late.saturating_mul(2) > udp.lost;
    // What this run or a restart made has a name of its own.
    if is_other || facts::host_stood_still(e, from, Some(to)) || facts::explained(e, from, Some(to)) {
        return None;
    }
    // The others tell how often one is lost by chance.
    let (lost, all) = (udp.lost.saturating_sub(run.lost), udp.at_stake().saturating_sub(run.lost));
    // A window is sent at once, and lost at once.
    let windows = run.lost.div_ceil(u64::from(w.asks.window.max(1)));
    let apart = windows.min((run.length_us() / APART).saturating_add(1));
    let chance = all as f64 * loss::share_at_most(lost, all).powf(apart as f64);
    (chance <= loss::constants::DEVICE).then_some(run)
}

fn whose(e: &Evidence<'_>, udp: &Datagrams, run: &LostRun) -> Whose {
    if facts::path::has_no_link(e) {
        return Whose::Device;
    }
    let (from, to) = span(run);
    let Some(ping) = e.probes.icmp.value().filter(|ping| ping.answered > 0) else { return Whose::Unknown };
    if ping.silences.iter().any(|s| s.from_ns <= to && s.to_ns.is_none_or(|end| end >= from)) {
        return Whose::Away;
    }
    // Of a link that was away as long as that, two pings in a row would tell. An access point may drop a group's datagrams
    // and no others.
    let interval = e.duration_ns / ping.sent.max(1);
    let long = run.length_us().saturating_mul(1_000) >= interval.saturating_mul(PINGS);
    if long && udp.group.is_none() { Whose::Device } else { Whose::Unknown }
}

/// As a finding.
pub(super) fn find(
    e: &Evidence<'_>,
    w: &WorkloadEvidence,
    udp: &Datagrams,
    mut evidence: Vec<String>,
) -> Option<Finding> {
    let run = no_chance(e, w, udp)?;
    let (from, to) = span(&run);
    let length = time(to.saturating_sub(from));
    // Each socket has a run of its own, and all of them had one then.
    let each = if w.at_once > 1 { " on one socket" } else { "" };
    let others = udp.lost.saturating_sub(run.lost);
    evidence.extend((others > 0).then(|| format!("{} outside that time", things(others, "lost datagram"))));
    let ping = e.probes.icmp.value().filter(|ping| ping.answered > 0);
    evidence.extend(ping.map(|ping| format!("ping: {} of {} answered", ping.answered, ping.sent)));
    let (severity, cause, change) = match whose(e, udp, &run) {
        Whose::Device => (
            Severity::Error,
            "the device's program, or the queue in front of it, stood still or dropped everything for that time: the link was \
             there",
            "look for what the program waits for (a lock, flash, a look-up, another client), and at what recvfrom() and \
             sendto() return",
        ),
        Whose::Away => (
            Severity::Warning,
            "the link was away, or the device: pings were lost in that time as well",
            "see whether the station left its network (--console, or the access point's log); repeat what matters in the program",
        ),
        Whose::Unknown => (
            Severity::Warning,
            "the link was away, or the device's program stood still: nothing tells them apart",
            "let ping be answered, which tells them apart; repeat what matters in the program",
        ),
    };
    Some(Finding {
        id: FindingId::DatagramsLost,
        severity,
        statement: format!(
            "Nothing came back for {length}, from {} on: {} lost in a row{each}.",
            time(from),
            things(run.lost, "datagram")
        ),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Asks, HostEvidence, Measured, Place, ProbeEvidence, StoodStill};
    use espstress_event::{DatagramSize, Silence};

    const SECOND: u64 = 1_000_000_000;

    /// A run of ten seconds with a ping each second, in which 48 of so many were lost from 2 s to 4.5 s.
    fn udp(sent: u64, lost: u64) -> Datagrams {
        let run = LostRun { lost: 48, since_us: 2_000_000, until_us: 4_500_000, to_us: Some(5_000_000) };
        let row = DatagramSize { bytes: 256, packets: 1, sent, echoed: sent - lost, lost };
        Datagrams {
            sent,
            echoed: sent - lost,
            lost,
            longest_run: Some(run),
            longest_gap: Some(EchoGap { since_us: 1_990_000, to_us: 5_000_000 }),
            sizes: vec![row],
            ..Datagrams::default()
        }
    }

    fn evidence(silences: Vec<Silence>) -> Evidence<'static> {
        let lost = silences.iter().map(|s| s.lost).sum::<u64>();
        let ping = ProbeEvidence { sent: 10, answered: 10 - lost, silences, ..ProbeEvidence::default() };
        let mut e = Evidence { duration_ns: 10 * SECOND, ..Evidence::default() };
        e.probes.icmp = Measured::Value(ping);
        e
    }

    fn said(e: &Evidence<'_>, udp: &Datagrams) -> Option<(Severity, String)> {
        let w = WorkloadEvidence { at_once: 1, ..WorkloadEvidence::default() };
        find(e, &w, udp, Vec::new())
            .map(|found| (found.severity, format!("{} {}", found.statement, found.cause)))
    }

    #[test]
    fn a_time_without_echoes_while_pings_are_answered_is_the_devices() {
        let (severity, said) = said(&evidence(vec![]), &udp(200_000, 48)).unwrap();
        assert_eq!(severity, Severity::Error);
        assert!(
            said.contains("Nothing came back for 3.0 s, from 2.0 s on: 48 datagrams lost in a row."),
            "{said}"
        );
        assert!(said.contains("the link was there"), "{said}");
    }

    #[test]
    fn a_link_that_was_away_is_no_fault_of_the_devices() {
        let away = Silence { from_ns: 2 * SECOND + SECOND / 2, to_ns: Some(5 * SECOND), lost: 2 };
        let (severity, words) = said(&evidence(vec![away]), &udp(200_000, 48)).unwrap();
        assert_eq!(severity, Severity::Warning);
        assert!(words.contains("pings were lost in that time as well"), "{words}");
        // At another time it says nothing.
        let away = Silence { from_ns: 7 * SECOND, to_ns: Some(9 * SECOND), lost: 2 };
        assert_eq!(said(&evidence(vec![away]), &udp(200_000, 48)).unwrap().0, Severity::Error);
    }

    #[test]
    fn where_a_ping_may_have_been_missed_nothing_tells_whose_it_is_but_on_loopback() {
        let mut short = udp(200_000, 48);
        short.longest_run.iter_mut().for_each(|run| run.since_us = 3_000_000);
        let mut e = evidence(vec![]);
        assert_eq!(said(&e, &short).unwrap().0, Severity::Warning);
        e.device.place = Some(Place { address: [127, 0, 0, 1].into(), resolved: None });
        assert_eq!(said(&e, &short).unwrap().0, Severity::Error);
    }

    #[test]
    fn losses_that_chance_or_this_machine_may_have_brought_together_are_no_gap() {
        let e = evidence(vec![]);
        let mut few = udp(200, 48);
        few.longest_run.iter_mut().for_each(|run| run.lost = 3);
        assert_eq!(said(&e, &few), None, "a few");
        let mut many = udp(200, 100);
        many.longest_run.iter_mut().for_each(|run| run.lost = 4);
        assert_eq!(said(&e, &many), None, "half of all are lost");
        let mut burst = udp(200_000, 48);
        burst.longest_run.iter_mut().for_each(|run| run.until_us = 2_300_000);
        assert_eq!(said(&e, &burst), None, "a burst");
        let mut beside = udp(200_000, 48);
        beside.longest_gap.iter_mut().for_each(|gap| gap.since_us = 2_100_000);
        assert_eq!(said(&e, &beside), None, "another socket's came back meanwhile");
        let w = |window| WorkloadEvidence {
            at_once: 1,
            asks: Asks { window, ..Asks::default() },
            ..WorkloadEvidence::default()
        };
        let windows = |window| find(&e, &w(window), &udp(2_000, 148), Vec::new()).is_some();
        assert!(windows(4) && !windows(48), "a window is lost at once");
        let mut late = udp(200_000, 48);
        late.late = 40;
        assert_eq!(said(&e, &late), None, "they came late");
        let stood_still = vec![StoodStill { from_ns: 2 * SECOND, to_ns: 5 * SECOND }];
        let host = HostEvidence { stood_still, ..HostEvidence::default() };
        assert_eq!(said(&Evidence { host, ..e }, &udp(200_000, 48)), None, "this machine stood still");
    }
}
