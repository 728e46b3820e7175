//! Whether the device answers, how soon, and what it says of itself.

use super::super::names;
use super::super::ports::{PortSeen, State};
use super::{Look, check, good_if, latency};
use espstress_diagnose::words::{bytes, things, time};
use espstress_diagnose::{Check, FindingId, Mark};
use espstress_engine::WorkloadOutcome;
use espstress_stats::{HalfOpenStats, ProbeKindStats, ProbeStats};

/// Why nothing is said of the device.
pub(super) const LOST: &str = "; the device or the path lost the others";

/// What it says of a device that so many of its probes were answered. One of few, and one of ten, a path may lose; of more
/// than that nobody knows here who lost them.
pub(super) const fn lost(sent: u64, answered: u64) -> Mark {
    let lost = sent.saturating_sub(answered);
    match (sent, answered.saturating_mul(2) < sent, lost <= 1 || lost.saturating_mul(10) <= sent) {
        (0, ..) => Mark::Unknown,
        (_, true, _) => Mark::Bad,
        (_, false, true) => Mark::Good,
        (_, false, false) => Mark::Unknown,
    }
}

impl Look<'_> {
    pub(super) fn reachable(&self) -> Check {
        // An error page is an answer: what it says, other checks tell.
        let answers =
            |w: &WorkloadOutcome| w.stats.succeeded > 0 || w.stats.responses.iter().any(|(_, n)| n > 0);
        let served = self.measured.workloads.iter().any(|w| answers(w) && w.name != names::PORTS);
        let by: Vec<&str> = [
            (self.answered(0), "ping"),
            (self.answered(1), "TCP"),
            (served, "HTTP"),
            (self.answered(2), "telemetry"),
        ]
        .into_iter()
        .filter_map(|(yes, name)| yes.then_some(name))
        .collect();
        if by.is_empty() {
            return check("reachable", Mark::Bad, "no answer: not to ping, TCP or HTTP");
        }
        let only = match (self.answered(0), self.answered(1), served) {
            (true, false, false) => "; ping answers, but TCP and HTTP don't",
            (_, true, false) => "; it accepts connections, but HTTP doesn't answer",
            _ => "",
        };
        let mark = good_if(served || self.tried(names::REQUESTS).is_none());
        check("reachable", mark, format!("by {}{only}", by.join(", ")))
    }

    pub(super) fn probe(&self, kind: usize) -> Check {
        let (name, stats) = self.probes()[kind];
        let Some(stats) = stats else { return check(name, Mark::Unknown, "probes were switched off") };
        let stats = match stats {
            ProbeStats::Unavailable { reason } => return check(name, Mark::Unknown, reason.clone()),
            ProbeStats::Measured(stats) => stats,
        };
        let text = format!("{} of {} answered{}", stats.answered, stats.sent, latency(&stats.latency));
        match (stats.sent, stats.answered) {
            // Some devices answer no ping on principle.
            (_, 0) if kind == 0 => check(name, Mark::Unknown, text),
            (sent, answered) => match lost(sent, answered) {
                Mark::Unknown if sent > 0 => check(name, Mark::Unknown, format!("{text}{LOST}")),
                mark => check(name, mark, text),
            },
        }
    }

    pub(super) fn ping(&self) -> Check {
        self.probe(0)
    }

    /// Small pages arrive and large ones never where something on the way drops packets of full size without a word.
    pub(super) fn full_size(&self) -> Check {
        /// As `path_mtu` has it.
        const ENOUGH: u64 = 4;
        const NAME: &str = "full-size ping";
        let not_tested = |why: &str| check(NAME, Mark::Unknown, format!("not tested: {why}"));
        let stats = match self.probes()[0].1 {
            None => return not_tested("probes were switched off"),
            Some(ProbeStats::Unavailable { reason }) => return not_tested(reason),
            Some(ProbeStats::Measured(stats)) => stats,
        };
        if let Some(why) = &stats.no_full_size {
            return not_tested(why);
        }
        let Some(full) = stats.full_size.filter(|full| full.sent > 0) else {
            return not_tested("none was waited for yet");
        };
        let text = format!("{} of {} of {} bytes answered", full.answered, full.sent, full.bytes);
        match (full.answered, full.reported) {
            (0, _) if stats.answered == 0 => check(NAME, Mark::Unknown, format!("{text}, and no small one")),
            (0, Some(mtu)) => {
                let why = format!("the path reports that it carries {mtu} bytes");
                check(NAME, Mark::Unknown, format!("{text}: {why}"))
            }
            (0, None) if full.sent < ENOUGH => check(NAME, Mark::Unknown, format!("{text}: too few to tell")),
            (0, None) => {
                // A device may refuse large pings and send large pages all the same.
                let mark = if self.found(FindingId::PathMtu).is_some() { Mark::Bad } else { Mark::Unknown };
                let small = format!("{} of {} small ones", stats.answered, stats.sent);
                check(NAME, mark, format!("{text}, but {small}: large responses may never arrive"))
            }
            _ => check(NAME, Mark::Good, text),
        }
    }

    pub(super) fn tcp(&self) -> Check {
        let check = self.probe(1);
        let Some(stats) = self.probes()[1].1.and_then(ProbeStats::measured) else { return check };
        // The device was filled on purpose: what was refused then says nothing.
        let filled = self.lost_while_full(stats).min(stats.sent.saturating_sub(stats.answered));
        if filled == 0 || stats.answered == 0 {
            return check;
        }
        let seen = check.seen.trim_end_matches(LOST);
        let seen = format!("{seen}; this test kept the device full for part of the time");
        match lost(stats.sent - filled, stats.answered) {
            Mark::Good => Check { mark: Mark::Good, seen, ..check },
            mark => {
                let rest = things(stats.sent - filled - stats.answered, "other");
                Check { mark, seen: format!("{seen}, and the device or the path lost {rest}"), ..check }
            }
        }
    }

    /// Probes that were lost from the first silent connection until all were let go, where these kept others out.
    pub(super) fn lost_while_full(&self, stats: &ProbeKindStats) -> u64 {
        let full = |h: &&HalfOpenStats| h.may_be_full() || h.kept_out().is_some();
        let Some((h, phase)) = self.half_open().filter(full).zip(self.phase(names::SILENT)) else { return 0 };
        let Some(from_ns) = h.connections.iter().map(|c| c.silent_ns).min() else { return 0 };
        stats.lost_between(from_ns, phase.stats.end_ns)
    }

    pub(super) fn power_save(&self) -> Check {
        if let Some(finding) = self.found(FindingId::PowerSaveLatency) {
            return check("power save", Mark::Bad, finding.statement.clone());
        }
        /// Fewer answers show no pattern.
        const ENOUGH: u64 = 20;
        /// Half a beacon interval: who waits for beacons shows a wider spread.
        const NARROW_NS: u64 = 51_200_000;
        let measured = self.probes().into_iter().filter_map(|(_, stats)| stats?.measured());
        let Some(stats) = measured.into_iter().find(|stats| stats.answered >= ENOUGH) else {
            return check("power save", Mark::Unknown, "too few replies to see a pattern");
        };
        let at = |q| stats.latency.quantile_ns(q).unwrap_or(0);
        if at(0.9).saturating_sub(at(0.0)) < NARROW_NS {
            let text = format!("{} show no wait for beacons", things(stats.answered, "answer"));
            return check("power save", Mark::Good, text);
        }
        let text = format!("replies took {} to {}, with no clear pattern", time(at(0.0)), time(at(1.0)));
        check("power save", Mark::Unknown, text)
    }

    /// What the device said on its console, where somebody listened.
    pub(super) fn console(&self) -> Option<Check> {
        const NAME: &str = "console";
        const TOLD: [FindingId; 5] = [
            FindingId::DeviceCrashed,
            FindingId::Brownout,
            FindingId::Watchdog,
            FindingId::NoMemoryReported,
            FindingId::WifiLost,
        ];
        let console = self.measured.console?;
        if console.lines == 0 {
            return Some(check(NAME, Mark::Unknown, "not a line came"));
        }
        let told: Vec<&str> =
            TOLD.into_iter().filter_map(|id| self.found(id)).map(|f| f.statement.as_str()).collect();
        Some(if told.is_empty() {
            let lines = things(console.lines, "line");
            check(NAME, Mark::Good, format!("{lines}, no crash, no brownout, no watchdog, no want of memory"))
        } else {
            check(NAME, Mark::Bad, told.join(" "))
        })
    }

    pub(super) fn telemetry(&self) -> Check {
        const NAME: &str = "telemetry";
        let Some(probes) = self.measured.probes else {
            return check(NAME, Mark::Unknown, "probes were switched off");
        };
        let device = &probes.device;
        let Some(last) = device.last.as_ref().map(|sample| &sample.telemetry) else {
            let reason = match &probes.telemetry {
                ProbeStats::Unavailable { reason } => reason.clone(),
                ProbeStats::Measured(_) => "no answer".into(),
            };
            return check(NAME, Mark::Unknown, reason);
        };
        let mut list = Vec::new();
        list.extend(last.heap_free_bytes.map(|free| {
            let least =
                last.heap_min_free_bytes.map_or_else(String::new, |b| format!(", {} least ever", bytes(b)));
            format!("heap {} free{least}", bytes(free))
        }));
        list.extend(last.sockets_used.map(|used| {
            let of = last.sockets_limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            format!("sockets {used}{of}")
        }));
        list.extend(last.wifi_rssi_dbm.map(|dbm| format!("signal {dbm} dBm")));
        list.extend(last.wifi_power_save.as_ref().map(|mode| format!("power save {}", mode.name())));
        list.extend(last.uptime_ms.map(|ms| format!("up {}", time(ms.saturating_mul(1_000_000)))));
        list.extend(last.reset_reason.as_ref().map(|reason| format!("last reset {}", reason.name())));
        list.extend(last.capacity.map(|n| format!("states {}", things(u64::from(n), "connection"))));
        let text = if list.is_empty() { "answered, but without readings".into() } else { list.join(", ") };
        check(NAME, good_if(device.restart_count == 0), text)
    }
}

pub(super) fn ports(seen: &[PortSeen], asked: bool) -> Check {
    const NAME: &str = "ports";
    if seen.is_empty() {
        return check(NAME, Mark::Unknown, if asked { "not captured" } else { "not asked" });
    }
    let list: Vec<String> = seen
        .iter()
        .map(|p| {
            let state = match p.state {
                State::Open => "open",
                State::Closed => "closed",
                State::Silent => "no answer",
                State::NotAsked => "not asked",
            };
            format!("{} ({}) {state}", p.port, p.service)
        })
        .collect();
    let first = seen.first().map(|p| p.state);
    check(NAME, if first == Some(State::Open) { Mark::Good } else { Mark::Unknown }, list.join(", "))
}
