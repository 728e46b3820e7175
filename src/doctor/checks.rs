//! The checks: one line each, in plain words with its figure.

use super::hold::HoldSeen;
use super::measured::Measured;
use super::names;
use super::ports::{PortSeen, State};
use espstress_diagnose::words::{bytes, things, time};
use espstress_diagnose::{AccountRow, Accounted, Check, FindingId, Mark};
use espstress_engine::{Packets, Seen, WorkloadOutcome};
use espstress_event::{AnomalyClass, AnomalyId, Ending, Failure, HttpFault};
use espstress_stats::{HalfOpenStats, Latency, LimitReached, Phase, ProbeKindStats, ProbeStats, Stage};

/// The idle time after which a system sends its first keep-alive probe where nobody has set another (lwIP's
/// `TCP_KEEPIDLE_DEFAULT`, RFC 9293, section 3.8.4).
const USUAL_KEEP_IDLE_S: u64 = 7_200;

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
    checks.push(self::ports(ports, look.phase(names::PORTS).is_some()));
    checks
}

fn check(name: &str, mark: Mark, seen: impl Into<String>) -> Check {
    Check { name: name.to_owned(), mark, seen: seen.into() }
}

/// Whether it comes of a device that closes idle connections, which is a way of working.
fn closed_idle(row: &AccountRow) -> bool {
    row.by.as_deref() == Some(FindingId::ClosesIdle.name())
}

/// Why nothing is said of the device.
const LOST: &str = "; the device or the path lost the others";

/// What it says of a device that so many of its probes were answered. One of few, and one of ten, a path may lose; of more
/// than that nobody knows here who lost them.
const fn lost(sent: u64, answered: u64) -> Mark {
    let lost = sent.saturating_sub(answered);
    match (sent, answered.saturating_mul(2) < sent, lost <= 1 || lost.saturating_mul(10) <= sent) {
        (0, ..) => Mark::Unknown,
        (_, true, _) => Mark::Bad,
        (_, false, true) => Mark::Good,
        (_, false, false) => Mark::Unknown,
    }
}

const fn good_if(holds: bool) -> Mark {
    if holds { Mark::Good } else { Mark::Bad }
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

    fn reachable(&self) -> Check {
        let served = self.measured.workloads.iter().any(|w| w.stats.succeeded > 0 && w.name != names::PORTS);
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

    fn probe(&self, kind: usize) -> Check {
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

    fn ping(&self) -> Check {
        self.probe(0)
    }

    /// Small pages arrive and large ones never where something on the way drops packets of full size without a word.
    fn full_size(&self) -> Check {
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

    fn tcp(&self) -> Check {
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
    fn lost_while_full(&self, stats: &ProbeKindStats) -> u64 {
        let full = |h: &&HalfOpenStats| {
            h.exhausted == Some(true) || h.filling.served < h.filling.attempts || h.capacity().is_some()
        };
        let Some((h, phase)) = self.half_open().filter(full).zip(self.phase(names::SILENT)) else { return 0 };
        let Some(from_ns) = h.connections.iter().map(|c| c.silent_ns).min() else { return 0 };
        stats.lost_between(from_ns, phase.stats.end_ns)
    }

    fn http(&self) -> Check {
        let Some(w) = self.tried(names::REQUESTS) else {
            return check("HTTP", Mark::Unknown, "no request finished");
        };
        let total = main_latency(w).map(latency).unwrap_or_default();
        check("HTTP", good_if(all_served(w)), format!("{}{total}{}", served(w, "request"), failures(w)))
    }

    fn power_save(&self) -> Check {
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

    fn clean_close(&self) -> Check {
        const NAME: &str = "clean close";
        let phases: Vec<_> =
            [names::REQUESTS, names::LATE, names::CROWD].iter().filter_map(|name| self.tried(name)).collect();
        let served: u64 = phases.iter().map(|w| w.stats.succeeded).sum();
        let ended = |ending| phases.iter().map(|w| w.stats.endings.get(ending)).sum::<u64>();
        if served == 0 {
            return check(NAME, Mark::Unknown, "no connection was served");
        }
        let sending = ended(Ending::StillSending);
        // A refusal by a status is an answer, and its connection ends as well.
        let answered = Ending::ALL.into_iter().map(ended).sum::<u64>();
        let connections = if answered > served {
            format!("{} answered", things(answered, "connection"))
        } else {
            format!("{} served", things(served, "connection"))
        };
        let sockets = format!(
            "{connections}: {} ended by FIN, {} by RST, {} not ended{}",
            ended(Ending::Fin) + ended(Ending::CloseIgnored),
            ended(Ending::Reset),
            ended(Ending::NotEnded),
            if sending > 0 {
                format!(", {sending} on which the device went on sending")
            } else {
                String::new()
            }
        );
        let Some(seen) = self.packets() else {
            let mark =
                if ended(Ending::Reset) + ended(Ending::NotEnded) > 0 { Mark::Bad } else { Mark::Unknown };
            return check(NAME, mark, format!("{sockets}; {}", self.no_packets()));
        };
        // What had to go for a newcomer was closed before an answer, and the request that was on its way met a RST.
        let made_room = |w: &WorkloadOutcome, id| {
            let unserved = [AnomalyId::ClosedUnserved, AnomalyId::RstAfterFin, AnomalyId::RstAfterHandshake]
                .contains(&id);
            unserved && self.made_room(w).0
        };
        let excused = |w: &WorkloadOutcome, id| {
            let mut rows = self.measured.account.iter().filter(|row| row.workload == w.name);
            rows.any(|row| {
                let excused = row.accounted == Accounted::Excused || closed_idle(row);
                excused && row.anomalies.contains_key(&id)
            })
        };
        let ours = |workload: Option<&str>, id| {
            phases.iter().any(|w| Some(w.name.as_str()) == workload && !made_room(w, id) && !excused(w, id))
        };
        let mut bad: Vec<(AnomalyId, u64)> = Vec::new();
        for row in &seen.anomalies {
            if row.class == AnomalyClass::Device
                && of_a_close(row.id)
                && ours(row.workload.as_deref(), row.id)
            {
                match bad.iter_mut().find(|(id, _)| *id == row.id) {
                    Some((_, n)) => *n += row.connections,
                    None => bad.push((row.id, row.connections)),
                }
            }
        }
        if !bad.is_empty() {
            let list: Vec<_> =
                bad.iter().map(|(id, n)| format!("{} on {}", id.name(), things(*n, "connection"))).collect();
            let text = format!("{}; {}", list.join(", "), things(served, "connection") + " served");
            return check(NAME, Mark::Bad, text);
        }
        if seen.dropped > 0 || seen.failure.is_some() {
            return check(NAME, Mark::Unknown, format!("{sockets}; not all packets were captured"));
        }
        // Of a connection that the device kept, or that it was still sending on, nobody has seen a close.
        let open = ended(Ending::NotEnded) + sending;
        let closed = ended(Ending::Fin) + ended(Ending::CloseIgnored) + ended(Ending::Reset);
        check(NAME, if open > closed { Mark::Unknown } else { Mark::Good }, sockets)
    }

    fn late_request(&self) -> Option<Check> {
        let w = self.tried(names::LATE)?;
        let delay = time(w.facts.asks.request_delay_ns);
        let text = format!("{} sent {delay} after the handshake{}", served(w, "request"), failures(w));
        let rows = || self.measured.account.iter().filter(|row| row.workload == w.name && row.attempts > 0);
        if rows().next().is_some() && rows().all(closed_idle) {
            let why = "the device closes connections that are silent for so long";
            return Some(check("late request", Mark::Unknown, format!("{text}: {why}")));
        }
        let Some(waited) = self.waited_beside(w) else {
            return Some(check("late request", good_if(all_served(w)), text));
        };
        Some(check(
            "late request",
            Mark::Bad,
            format!("{text}; others waited up to {} meanwhile", time(waited)),
        ))
    }

    /// How long others waited while a client was silent before its request, where that is why they did.
    fn waited_beside(&self, late: &WorkloadOutcome) -> Option<u64> {
        self.found(FindingId::BlockedApplication)?;
        // From when each was asked: the requests that were to follow waited in this program.
        let answers = self.tried(names::BESIDE)?.stats.latency.get(&Phase::FirstByte)?;
        let most = answers.corrected.quantile_ns(1.0)?;
        (most >= late.facts.asks.request_delay_ns / 10 * 9).then_some(most)
    }

    fn persistent(&self) -> Option<Check> {
        let Some(w) = self.tried(names::PERSISTENT) else {
            let cut = self.phase(names::PERSISTENT).filter(|w| w.stats.unfinished > 0)?;
            let endless = cut.stats.malformed.times(HttpFault::Endless) > 0;
            let why = if endless { "the response to GET doesn't end" } else { "no response came in time" };
            return Some(check("keep-alive HTTP", Mark::Unknown, format!("not tested: {why}")));
        };
        let connections = w.stats.latency.get(&Phase::Connect).map_or(0, |pair| pair.corrected.count());
        let how = if self.closes_after_each() {
            format!("{}: the device closes after each response", served(w, "request"))
        } else {
            format!("{} on {}", served(w, "request"), things(connections, "connection"))
        };
        Some(check("keep-alive HTTP", good_if(all_served(w)), format!("{how}{}", failures(w))))
    }

    fn closes_after_each(&self) -> bool {
        self.tried(names::PERSISTENT).is_some_and(|w| {
            let connections = w.stats.latency.get(&Phase::Connect).map_or(0, |pair| pair.corrected.count());
            w.stats.succeeded > 1 && w.stats.succeeded <= connections
        })
    }

    fn stream(&self) -> Option<Check> {
        let w = self.tried(names::STREAM)?;
        let text =
            format!("{} of 16 KiB on port 7007{}", served(w, "echo").replace("echos", "echoes"), failures(w));
        Some(check("payload", good_if(all_served(w)), text))
    }

    fn crowd(&self) -> Option<Check> {
        let w = self.tried(names::CROWD)?;
        let slowest = main_latency(w).and_then(|l| l.quantile_ns(1.0));
        let slowest = slowest.map_or_else(String::new, |ns| format!(", the slowest after {}", time(ns)));
        let (made_room, room) = self.made_room(w);
        let text =
            format!("{} with {} at once{slowest}{}{room}", served(w, "request"), w.at_once, failures(w));
        if let Some(why) = self.excuse(w) {
            return Some(check("many at once", Mark::Good, format!("{text}: {why}")));
        }
        Some(check("many at once", good_if(all_served(w) || made_room), text))
    }

    /// Why all that failed in a phase is no fault of the device's, which served others; `None` where that isn't so.
    fn excuse(&self, w: &WorkloadOutcome) -> Option<&'static str> {
        let rows = self.measured.account.iter().filter(|row| row.workload == w.name);
        let excused = || rows.clone().filter(|row| row.accounted == Accounted::Excused && row.attempts > 0);
        let failed = w.stats.failures.of_device();
        let all = w.stats.succeeded > 0 && excused().map(|row| row.attempts).sum::<u64>() >= failed;
        let room = excused().any(|row| row.by.as_deref() == Some("beyond_capacity"));
        let why = if room { "more at once than it has room for" } else { "not the device's doing" };
        (failed > 0 && all).then_some(why)
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

    fn after_reset(&self) -> Option<Check> {
        let w = self.tried(names::RESET)?;
        let text =
            format!("{}, standing connections then reset by the host{}", served(w, "request"), failures(w));
        Some(check("after a reset", good_if(all_served(w)), text))
    }

    fn idle_connections(&self) -> Option<Check> {
        const NAME: &str = "idle connections";
        if self.closes_after_each() {
            let text = "none: the device closes after each response";
            return self.phase(names::SILENT).map(|_| check(NAME, Mark::Good, text));
        }
        if let Some(finding) = self.found(FindingId::MakesRoom) {
            return Some(check(NAME, Mark::Good, finding.statement.clone()));
        }
        if let Some(h) = self.half_open() {
            let text = match h.limit {
                LimitReached::Device => {
                    format!("holds {} at once; more wait or fail", h.capacity().unwrap_or(h.served))
                }
                LimitReached::Setting if h.unserved > 0 => {
                    let held = h.capacity().unwrap_or(h.served);
                    let later = match h.served.saturating_sub(held) {
                        0 => String::new(),
                        later => format!(", and served {later} later"),
                    };
                    format!(
                        "holds {held} at once; it accepted {} more but didn't serve them{later}",
                        h.unserved
                    )
                }
                LimitReached::Setting if h.closed_early() > 0 => format!(
                    "served all {} that this test opened; {} of them were closed before the last",
                    h.served,
                    h.closed_early()
                ),
                // Without the packets nobody knows which of them the device has closed.
                LimitReached::Setting if self.packets().is_none() => {
                    format!("served all {} that this test opened", h.served)
                }
                LimitReached::Setting => format!("held all {} that this test opened", h.served),
                LimitReached::NotSearched | LimitReached::Host | LimitReached::Stopped => {
                    return Some(check(NAME, Mark::Unknown, "the search for the limit didn't finish"));
                }
            };
            return Some(check(NAME, if h.served > 1 { Mark::Good } else { Mark::Bad }, text));
        }
        if let Some(hold) = self.hold {
            let more = if hold.full { "more wait or fail" } else { "no more were tried" };
            let text = format!(
                "holds {} at once ({more}); {} ended by the device within {}",
                hold.held,
                hold.ended_by_device,
                time(hold.idle_ns)
            );
            return Some(check(NAME, if hold.held > 1 { Mark::Good } else { Mark::Bad }, text));
        }
        let reason = self.phase(names::SILENT)?.stats.half_open.as_deref()?.unavailable.as_deref()?;
        Some(check(NAME, Mark::Unknown, reason))
    }

    fn takes_back(&self) -> Option<Check> {
        const NAME: &str = "frees them";
        if self.closes_after_each() {
            return None;
        }
        if let Some(h) = self.half_open() {
            let of = h.connections.iter().filter(|c| c.stage == Stage::Served);
            let (all, back) = of.fold((0_u64, 0_u64), |(all, back), c| {
                (all + 1, back + u64::from(c.reclaimed_after_ns.is_some()))
            });
            let longest = h.connections.iter().filter_map(|c| c.reclaimed_after_ns).max();
            let after = longest
                .filter(|_| back > 0)
                .map_or_else(String::new, |ns| format!(", the last after {}", time(ns)));
            let text = format!(
                "{back} of {} whose client fell silent{after}; watched for {}",
                things(all, "connection"),
                time(h.watched_ns)
            );
            // Where others are served all the while nobody is hurt, and a server with much room takes its time.
            let hurts = h.exhausted == Some(true) && h.watched_ns >= h.expected_reclaim_ns;
            let makes_room = self.found(FindingId::MakesRoom).is_some();
            let mark = match (back == all && all > 0) || makes_room {
                true => Mark::Good,
                false if hurts => Mark::Bad,
                false => Mark::Unknown,
            };
            return Some(check(NAME, mark, text));
        }
        let hold = self.hold?;
        let reason = self.phase(names::SILENT)?.stats.half_open.as_deref()?.unavailable.as_deref()?;
        let after = match hold.served_after {
            Some(true) => "serves again after a normal close",
            Some(false) => "doesn't serve after a normal close",
            None => "not tested again",
        };
        let mark = if hold.served_after == Some(false) { Mark::Bad } else { Mark::Unknown };
        Some(check(NAME, mark, format!("{after}; silent clients couldn't be tested: {reason}")))
    }

    fn keep_alive(&self) -> Check {
        const NAME: &str = "TCP keep-alive";
        let idle_ns = self.half_open().map(|h| h.watched_ns).max(self.hold.map(|hold| hold.idle_ns));
        let Some(seen) = self.packets() else {
            return check(NAME, Mark::Unknown, self.no_packets());
        };
        let figures = seen.summary.keep_alive;
        if figures.probes > 0 {
            let after = figures.idle_ns.map_or_else(String::new, |ns| {
                format!(", the first after {} idle", time(u64::try_from(ns).unwrap_or(0)))
            });
            return check(
                NAME,
                Mark::Good,
                format!("{} from the device{after}", things(figures.probes, "probe")),
            );
        }
        match idle_ns.filter(|ns| *ns > 0) {
            Some(ns) => check(
                NAME,
                Mark::Unknown,
                format!(
                    "none within {} idle; by default the first probe comes after {USUAL_KEEP_IDLE_S} s",
                    time(ns)
                ),
            ),
            None => check(NAME, Mark::Unknown, "no connection was idle"),
        }
    }

    /// What the device said on its console, where somebody listened.
    fn console(&self) -> Option<Check> {
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

    fn telemetry(&self) -> Check {
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

/// Anomalies of how connections end.
const fn of_a_close(id: AnomalyId) -> bool {
    matches!(
        id,
        AnomalyId::AbortiveClose
            | AnomalyId::RstAfterFin
            | AnomalyId::LateRst
            | AnomalyId::RstAfterHandshake
            | AnomalyId::ClosedUnserved
            | AnomalyId::RstStorm
            | AnomalyId::FinRetransmission
            | AnomalyId::FinDuel
            | AnomalyId::DataAfterFin
            | AnomalyId::HalfClosedLinger
    )
}

fn main_latency(w: &WorkloadOutcome) -> Option<&Latency> {
    w.stats.main_phase.and_then(|phase| w.stats.latency.get(&phase)).map(|pair| &pair.corrected)
}

fn all_served(w: &WorkloadOutcome) -> bool {
    w.stats.succeeded > 0 && w.stats.failures.of_device() == 0
}

fn served(w: &WorkloadOutcome, one: &str) -> String {
    format!("{} of {} answered", w.stats.succeeded, things(w.stats.attempts, one))
}

/// `; read_timeout 2`, or nothing.
fn failures(w: &WorkloadOutcome) -> String {
    let all: Vec<(Failure, u64)> = w.stats.failures.iter().filter(|(_, n)| *n > 0).collect();
    let list: Vec<String> = all.iter().map(|(failure, n)| format!("{} {n}", failure.name())).collect();
    if list.is_empty() { String::new() } else { format!("; {}", list.join(", ")) }
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

fn ports(seen: &[PortSeen], asked: bool) -> Check {
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

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
