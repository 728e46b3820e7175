//! The checks: one line each, in plain words with its figure.

mod close;
mod idle;
mod reach;
mod requests;

use std::fmt::Write as _;

use super::hold::HoldSeen;
use super::measured::Measured;
use super::names;
use super::ports::PortSeen;
use espstress_diagnose::words::{things, time};
use espstress_diagnose::{AccountRow, Check, FindingId, Mark};
use espstress_engine::{Packets, Seen, WorkloadOutcome};
use espstress_event::{Ending, Failure};
use espstress_stats::{HalfOpenStats, Latency, LatencyPair, Phase, ProbeStats};

pub(super) fn of(measured: &Measured<'_>, ports: &[PortSeen], hold: Option<&HoldSeen>) -> Vec<Check> {
    let look = Look { measured, hold };
    let mut checks =
        vec![look.reachable(), look.ping(), look.full_size(), look.tcp(), look.http(), look.power_save()];
    checks.push(look.clean_close());
    checks.extend(look.late_request());
    checks.extend(look.persistent());
    checks.extend(look.stream());
    checks.extend(look.crowd());
    checks.extend(look.after_reset());
    checks.extend(look.idle_connections());
    checks.extend(look.takes_back());
    checks.push(look.keep_alive());
    checks.push(look.telemetry());
    checks.extend(look.console());
    checks.push(reach::ports(ports, look.phase(names::PORTS).is_some()));
    checks
}

fn check(name: &str, mark: Mark, seen: impl Into<String>) -> Check {
    Check { name: name.to_owned(), mark, seen: seen.into() }
}

/// Whether it comes of a device that closes idle connections, which is a way of working.
fn closed_idle(row: &AccountRow) -> bool {
    row.by.as_deref() == Some(FindingId::ClosesIdle.name())
}

const fn good_if(holds: bool) -> Mark {
    if holds { Mark::Good } else { Mark::Bad }
}

/// Why a device has one request on each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OneEach {
    /// It was seen to close after each.
    Closed,
    /// Its responses say that it will.
    Announced,
}

impl OneEach {
    const fn words(self) -> &'static str {
        match self {
            Self::Closed => "the device closes after each response",
            Self::Announced => "its responses announce a close",
        }
    }
}

struct Look<'a> {
    measured: &'a Measured<'a>,
    hold: Option<&'a HoldSeen>,
}

impl<'a> Look<'a> {
    fn phase(&self, name: &str) -> Option<&'a WorkloadOutcome> {
        self.measured.workloads.iter().find(|w| w.name == name)
    }

    /// A phase in which something was tried.
    fn tried(&self, name: &str) -> Option<&'a WorkloadOutcome> {
        self.phase(name).filter(|w| w.stats.attempts > 0)
    }

    fn half_open(&self) -> Option<&'a HalfOpenStats> {
        self.phase(names::SILENT)?.stats.half_open.as_deref().filter(|h| h.unavailable.is_none())
    }

    fn probes(&self) -> [(&'static str, Option<&'a ProbeStats>); 3] {
        let probes = self.measured.probes;
        [
            ("ping", probes.map(|p| &p.icmp)),
            ("TCP connect", probes.map(|p| &p.tcp)),
            ("telemetry", probes.map(|p| &p.telemetry)),
        ]
    }

    fn packets(&self) -> Option<&'a Seen> {
        match self.measured.packets {
            Some(Packets::Seen(seen)) => Some(seen),
            Some(Packets::Denied(_) | Packets::Off) | None => None,
        }
    }

    /// Why nothing is said of the packets.
    const fn no_packets(&self) -> &'static str {
        match self.measured.packets {
            None => "the packets are judged at the end",
            Some(_) => "there was no capture",
        }
    }

    fn found(&self, id: FindingId) -> Option<&'a espstress_diagnose::Finding> {
        self.measured.findings.iter().find(|finding| finding.id == id)
    }

    fn answered(&self, kind: usize) -> bool {
        self.probes()[kind].1.and_then(ProbeStats::measured).is_some_and(|stats| stats.answered > 0)
    }

    /// Why no connection took a second request; `None` where one did.
    fn one_request_each(&self) -> Option<OneEach> {
        let w = self.tried(names::PERSISTENT)?;
        let connections = w.stats.latency.get(&Phase::Connect).map_or(0, |pair| pair.corrected.count());
        if w.stats.succeeded <= 1 || w.stats.succeeded > connections {
            return None;
        }
        // The client ends a connection at once whose response announces the close, and waits for nothing but an answer to
        // that: only where there was nothing left to end, the device had closed.
        let by_host: u64 = Ending::ALL.into_iter().map(|ending| w.stats.endings.get(ending)).sum();
        Some(if by_host * 2 < connections { OneEach::Closed } else { OneEach::Announced })
    }

    /// The status of the run's first answer.
    fn first_status(&self) -> Option<u16> {
        self.measured.workloads.iter().find_map(|w| w.stats.first_status)
    }

    /// Answers by which the device refused a phase's requests, and how often each came: a limit, want of room, or an error page
    /// where it had served the page before. A device that has answered by an error page from the start refuses nothing: each
    /// check measures that page.
    fn refusals(&self, w: &WorkloadOutcome) -> Vec<(u16, u64)> {
        let served_first = self.first_status().is_some_and(|status| status < 400);
        let refuses =
            |status: u16| matches!(status, 429 | 503) || (served_first && (400..500).contains(&status));
        w.stats.responses.iter().filter(|(status, n)| refuses(*status) && *n > 0).collect()
    }

    /// The check of a phase, which shows nothing where its answers were refusals; `shows` is what it would show.
    fn unless_refused(&self, w: &WorkloadOutcome, shows: &str, check: Check) -> Check {
        /// A person no longer calls four chance.
        const CHANCE: u64 = 3;
        let refusals = self.refusals(w);
        let refused: u64 = refusals.iter().map(|(_, n)| n).sum();
        let all: u64 = w.stats.responses.iter().map(|(_, n)| n).sum();
        if refused == 0 {
            return check;
        }
        let list: Vec<String> = match refusals.as_slice() {
            [(status, _)] => vec![status.to_string()],
            _ => refusals.iter().map(|(status, n)| format!("{status} ({n})")).collect(),
        };
        let told = format!("{refused} of {all} were answered {}", list.join(" or "));
        let most = refused * 2 > all;
        let seen = match most {
            true => format!("{}: {told}: this doesn't show {shows}", check.seen),
            false => format!("{}; {told}", check.seen),
        };
        let doubt = most || (refused > CHANCE && refused * 100 > all);
        let mark = if doubt && check.mark == Mark::Good { Mark::Unknown } else { check.mark };
        Check { mark, seen, ..check }
    }

    /// Whether all that failed in a phase was closed to make room for others, and this in words.
    fn made_room(&self, w: &WorkloadOutcome) -> (bool, &'static str) {
        let rows = self.measured.account.iter().filter(|row| row.workload == w.name && row.attempts > 0);
        let made_room = FindingId::MakesRoom.name();
        let all = self.found(FindingId::MakesRoom).is_some()
            && w.stats.succeeded > 0
            && rows.into_iter().all(|row| row.by.as_deref() == Some(made_room));
        if all && w.stats.failures.of_device() > 0 {
            (true, ": the device closed them to make room for others")
        } else {
            (all, "")
        }
    }
}

/// How long the device took. What waited in this host for one of the phase's few connections is not its doing.
fn main_latency(w: &WorkloadOutcome) -> Option<&Latency> {
    w.stats.main_phase.and_then(|phase| w.stats.latency.get(&phase)).map(LatencyPair::from_actual_start)
}

fn all_served(w: &WorkloadOutcome) -> bool {
    w.stats.succeeded > 0 && w.stats.failures.of_device() == 0
}

fn served(w: &WorkloadOutcome, one: &str) -> String {
    format!("{} of {} answered", w.stats.succeeded, things(w.stats.attempts, one))
}

/// `; read_timeout 2; 3 more had no response yet when the time was up`, or nothing.
fn failures(w: &WorkloadOutcome) -> String {
    let all: Vec<(Failure, u64)> = w.stats.failures.iter().filter(|(_, n)| *n > 0).collect();
    let list: Vec<String> = all.iter().map(|(failure, n)| format!("{} {n}", failure.name())).collect();
    let mut text = if list.is_empty() { String::new() } else { format!("; {}", list.join(", ")) };
    if w.stats.unfinished > 0 {
        let _ = write!(text, "; {} more had no response yet when the time was up", w.stats.unfinished);
    }
    text
}

/// `, 1 ms median, 5 ms at most`, or nothing.
fn latency(of: &Latency) -> String {
    match (of.quantile_ns(0.5), of.quantile_ns(1.0)) {
        (Some(median), Some(most)) if of.count() > 0 => {
            format!(", median {}, max {}", time(median), time(most))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
