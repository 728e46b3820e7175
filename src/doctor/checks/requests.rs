//! How requests fared: one after the other, late, many at once, and after a reset.

use super::super::names;
use super::{Look, all_served, check, closed_idle, failures, good_if, latency, main_latency, served};
use espstress_diagnose::words::{things, time};
use espstress_diagnose::{Accounted, Check, FindingId, Mark};
use espstress_engine::WorkloadOutcome;
use espstress_event::HttpFault;
use espstress_stats::Phase;

/// How long the slowest answer took, where others came at once: the program stood still, or a segment was lost.
fn stalled(w: &WorkloadOutcome) -> Option<u64> {
    /// Nobody takes less for slow.
    const LONG_NS: u64 = 2_000_000_000;
    let answers = w.stats.latency.get(&Phase::FirstByte)?.from_actual_start();
    let (median, most) = (answers.quantile_ns(0.5)?, answers.quantile_ns(1.0)?);
    (most >= LONG_NS && most / 20 >= median).then_some(most)
}

impl Look<'_> {
    pub(super) fn http(&self) -> Check {
        let Some(w) = self.tried(names::REQUESTS) else {
            return check("HTTP", Mark::Unknown, "no request finished");
        };
        let total = main_latency(w).map(latency).unwrap_or_default();
        let mark = if stalled(w).is_some() { Mark::Unknown } else { Mark::Good };
        let mark = if all_served(w) { mark } else { Mark::Bad };
        let check = check("HTTP", mark, format!("{}{total}{}", served(w, "request"), failures(w)));
        self.unless_refused(w, "how it serves its page", check)
    }

    pub(super) fn late_request(&self) -> Option<Check> {
        let w = self.tried(names::LATE)?;
        Some(self.unless_refused(w, "how it serves a late request", self.late(w)))
    }

    fn late(&self, w: &WorkloadOutcome) -> Check {
        let delay = time(w.facts.asks.request_delay_ns);
        let text = format!("{} sent {delay} after the handshake{}", served(w, "request"), failures(w));
        let rows = || self.measured.account.iter().filter(|row| row.workload == w.name && row.attempts > 0);
        if rows().next().is_some() && rows().all(closed_idle) {
            let why = "the device closes connections that are silent for so long";
            return check("late request", Mark::Unknown, format!("{text}: {why}"));
        }
        let Some(waited) = self.waited_beside(w) else {
            let beside = self.tried(names::BESIDE).and_then(stalled);
            let slowest = stalled(w).max(beside).filter(|_| all_served(w));
            let mark = if slowest.is_some() { Mark::Unknown } else { good_if(all_served(w)) };
            let slowest = slowest.map_or_else(String::new, |ns| {
                format!("; once an answer, here or to others meanwhile, took {}", time(ns))
            });
            return check("late request", mark, format!("{text}{slowest}"));
        };
        check("late request", Mark::Bad, format!("{text}; others waited up to {} meanwhile", time(waited)))
    }

    /// How long others waited while a client was silent before its request, where that is why they did.
    pub(super) fn waited_beside(&self, late: &WorkloadOutcome) -> Option<u64> {
        self.found(FindingId::BlockedApplication)?;
        // From when each was asked: the requests that were to follow waited in this program.
        let answers = self.tried(names::BESIDE)?.stats.latency.get(&Phase::FirstByte)?;
        let most = answers.corrected.quantile_ns(1.0)?;
        (most >= late.facts.asks.request_delay_ns / 10 * 9).then_some(most)
    }

    pub(super) fn persistent(&self) -> Option<Check> {
        let Some(w) = self.tried(names::PERSISTENT) else {
            let cut = self.phase(names::PERSISTENT).filter(|w| w.stats.unfinished > 0)?;
            let endless = cut.stats.malformed.times(HttpFault::Endless) > 0;
            let why = if endless { "the response to GET doesn't end" } else { "no response came in time" };
            return Some(check("keep-alive HTTP", Mark::Unknown, format!("not tested: {why}")));
        };
        let connections = w.stats.latency.get(&Phase::Connect).map_or(0, |pair| pair.corrected.count());
        let how = match self.one_request_each() {
            Some(why) => format!("{}: {}", served(w, "request"), why.words()),
            None => format!("{} on {}", served(w, "request"), things(connections, "connection")),
        };
        let check = check("keep-alive HTTP", good_if(all_served(w)), format!("{how}{}", failures(w)));
        Some(self.unless_refused(w, "how it serves many requests on a connection", check))
    }

    pub(super) fn stream(&self) -> Option<Check> {
        let w = self.tried(names::STREAM)?;
        let text =
            format!("{} of 16 KiB on port 7007{}", served(w, "echo").replace("echos", "echoes"), failures(w));
        Some(check("payload", good_if(all_served(w)), text))
    }

    pub(super) fn crowd(&self) -> Option<Check> {
        let w = self.tried(names::CROWD)?;
        Some(self.unless_refused(w, "how it serves many at once", self.many_at_once(w)))
    }

    fn many_at_once(&self, w: &WorkloadOutcome) -> Check {
        let slowest = main_latency(w).and_then(|l| l.quantile_ns(1.0));
        let slowest = slowest.map_or_else(String::new, |ns| format!(", the slowest after {}", time(ns)));
        let (made_room, room) = self.made_room(w);
        let text =
            format!("{} with {} at once{slowest}{}{room}", served(w, "request"), w.at_once, failures(w));
        if let Some(why) = self.excuse(w) {
            return check("many at once", Mark::Good, format!("{text}: {why}"));
        }
        check("many at once", good_if(all_served(w) || made_room), text)
    }

    /// Why all that failed in a phase is no fault of the device's, which served others; `None` where that isn't so.
    pub(super) fn excuse(&self, w: &WorkloadOutcome) -> Option<&'static str> {
        let rows = self.measured.account.iter().filter(|row| row.workload == w.name);
        let excused = || rows.clone().filter(|row| row.accounted == Accounted::Excused && row.attempts > 0);
        let failed = w.stats.failures.of_device();
        let all = w.stats.succeeded > 0 && excused().map(|row| row.attempts).sum::<u64>() >= failed;
        let room = excused().any(|row| row.by.as_deref() == Some("beyond_capacity"));
        let why = if room { "more at once than it has room for" } else { "not the device's doing" };
        (failed > 0 && all).then_some(why)
    }

    pub(super) fn after_reset(&self) -> Option<Check> {
        let w = self.tried(names::RESET)?;
        let text =
            format!("{}, standing connections then reset by the host{}", served(w, "request"), failures(w));
        let check = check("after a reset", good_if(all_served(w)), text);
        Some(self.unless_refused(w, "how it serves after a reset", check))
    }
}
