//! The probes beside the load, once a second each: ping, TCP connect, telemetry by datagram.

use std::collections::VecDeque;
use std::net::SocketAddrV4;

use espstress_event::{DeviceSample, Failure, Intent, Probed, SectionCourse, Telemetry, WorkloadId};
use espstress_stats::{DeviceSeries, ProbeKindStats, ProbeNews, ProbeOutcome, ProbeStats};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use crate::host::{Host, Incoming};
use crate::load::Shared;

const SECOND: u64 = 1_000_000_000;
const INTERVAL: u64 = SECOND;
const LIMIT: u64 = 2 * SECOND;

/// Longest wait for the device's FIN.
const CLOSE_LIMIT: u64 = SECOND;

/// Connections under way at once; a further one is left out.
const MOST_UNDER_WAY: usize = 8;

/// Questions that have not been answered: number, when, and whether it counts as lost.
#[derive(Default)]
struct Pending(VecDeque<(u32, u64, bool)>);

impl Pending {
    /// When the question was asked that this answers; `None` where there was none. Numbers come again after 65,536
    /// questions: it is the newest one's.
    fn answer(&mut self, number: u32, now: u64, stats: &mut ProbeKindStats) -> Option<u64> {
        let at = self.0.iter().rposition(|&(asked, ..)| asked == number)?;
        let (_, since, lost) = self.0.remove(at)?;
        if lost {
            stats.late += 1;
        } else {
            stats.answer(now, now - since);
        }
        Some(since)
    }

    fn expire(&mut self, now: u64, stats: &mut ProbeKindStats) {
        for (_, since, lost) in &mut self.0 {
            if !*lost && now - *since >= LIMIT {
                *lost = true;
                stats.loss(now);
            }
        }
        while self.0.len() > 64 {
            self.0.pop_front();
        }
    }

    fn next_ns(&self) -> Option<u64> {
        self.0.iter().filter(|(.., lost)| !lost).map(|(_, since, _)| since + LIMIT).min()
    }
}

/// Spells without answers of each kind, and whether the last one goes on; restarts; whether the device has said anything.
type Signs = ([(usize, bool); 3], u64, bool);

/// One TCP probe under way.
#[derive(Clone, Copy)]
enum Connect {
    Opening { handle: SocketHandle, since: u64 },
    Closing { handle: SocketHandle, deadline: u64 },
}

/// As in a live run: `engine::load` and `probe::Prober::last_reading`.
const LAST_READING: u64 = 2_000_000_000;
const AGAIN: u64 = 100_000_000;

/// The probes.
pub(crate) struct Probes {
    http: SocketAddrV4,
    telemetry_at: Option<SocketAddrV4>,
    tick_ns: u64,
    number: u32,
    icmp: ProbeKindStats,
    tcp: ProbeKindStats,
    telemetry: ProbeKindStats,
    news: ProbeNews,
    /// What may be news, and when it was last looked at.
    looked: (Signs, u64),
    device: DeviceSeries,
    pings: Pending,
    questions: Pending,
    connects: Vec<Connect>,
    /// Since when everything is closed, and only telemetry is still asked for.
    closed_ns: Option<u64>,
}

impl Probes {
    /// From 0 on; without an address for it, there is no telemetry.
    pub(crate) fn new(http: SocketAddrV4, telemetry_at: Option<SocketAddrV4>) -> Self {
        let stats = || ProbeKindStats::new(0, INTERVAL, LIMIT);
        Self {
            http,
            telemetry_at,
            tick_ns: 0,
            number: 0,
            icmp: stats(),
            tcp: stats(),
            telemetry: stats(),
            news: ProbeNews::default(),
            looked: Default::default(),
            device: DeviceSeries::default(),
            pings: Pending::default(),
            questions: Pending::default(),
            connects: Vec::new(),
            closed_ns: None,
        }
    }

    /// What is to be told of them now, if it is time.
    pub(crate) fn news(&mut self, course: SectionCourse, now: u64) -> Option<Probed> {
        /// As often as `ProbeNews` tells what is not decisive.
        const EVERY: u64 = 10 * SECOND;
        let kinds = [&self.icmp, &self.tcp, &self.telemetry];
        let spells = kinds.map(|kind| {
            (kind.silences.len(), kind.silences.last().is_some_and(|silence| silence.to_ns.is_none()))
        });
        let signs = (spells, self.device.restart_count, self.device.samples > 0);
        let (before, at) = self.looked;
        // A copy of the distributions is dear, a thousand thousand times in a run.
        if signs == before && now < at + EVERY && course == SectionCourse::UnderWay {
            return None;
        }
        self.looked = (signs, now);
        let [icmp, tcp, telemetry] = kinds.map(|kind| ProbeStats::Measured(Box::new(kind.clone())));
        self.news.due([&icmp, &tcp, &telemetry], &self.device, course, now)
    }

    /// Everything is closed: only telemetry goes on, as in a live run, until the device has let go as well.
    pub(crate) fn closed(&mut self, now: u64) {
        self.closed_ns = Some(now);
        self.tick_ns = now;
    }

    /// Whether the last reading is in, or was waited for long enough.
    pub(crate) fn are_over(&self, now: u64) -> bool {
        let Some(closed) = self.closed_ns else { return false };
        self.device.samples == 0 || self.device.is_at_rest(closed) || now >= closed + LAST_READING
    }

    /// When they want to be asked again without anything coming in.
    pub(crate) fn next_ns(&self) -> u64 {
        let connects = self.connects.iter().map(|connect| match connect {
            Connect::Opening { since, .. } => since + LIMIT,
            Connect::Closing { deadline, .. } => *deadline,
        });
        let pending = [self.pings.next_ns(), self.questions.next_ns()].into_iter().flatten();
        connects.chain(pending).chain([self.tick_ns]).min().unwrap_or(self.tick_ns)
    }

    /// Does what can be done now.
    pub(crate) fn step(&mut self, host: &mut Host, shared: &mut Shared, now: u64) {
        for number in host.pongs() {
            self.pings.answer(number.into(), now, &mut self.icmp);
        }
        while let Some(bytes) = host.datagram() {
            let Some(telemetry) = Telemetry::parse(&bytes) else {
                self.device.unreadable += 1;
                continue;
            };
            let number = telemetry.request.unwrap_or(0);
            if let Some(asked_ns) = self.questions.answer(number, now, &mut self.telemetry) {
                self.device.take(DeviceSample { asked_ns, at_ns: now, telemetry });
            }
        }
        self.pings.expire(now, &mut self.icmp);
        self.questions.expire(now, &mut self.telemetry);
        self.follow(host, now);
        if now >= self.tick_ns {
            self.ask(host, shared, now);
            self.tick_ns += if self.closed_ns.is_some() { AGAIN } else { INTERVAL };
        }
    }

    fn ask(&mut self, host: &mut Host, shared: &mut Shared, now: u64) {
        self.number = (self.number + 1) & 0xffff;
        if self.closed_ns.is_none() {
            host.ping(*self.http.ip(), self.number as u16);
            self.pings.0.push_back((self.number, now, false));
        }
        if let Some(at) = self.telemetry_at {
            host.send_datagram(at, format!("telemetry {}", self.number).as_bytes());
            self.questions.0.push_back((self.number, now, false));
        }
        if self.closed_ns.is_none() && self.connects.len() < MOST_UNDER_WAY {
            let (handle, _) = shared.open(host, self.http, WorkloadId::PROBE, Intent::Plain);
            self.connects.push(Connect::Opening { handle, since: now });
        }
    }

    fn follow(&mut self, host: &mut Host, now: u64) {
        let Self { connects, tcp, .. } = self;
        connects.retain_mut(|connect| {
            if let Connect::Opening { handle, since } = *connect {
                let failure = match host.state(handle) {
                    State::SynSent | State::SynReceived if now < since + LIMIT => return true,
                    State::SynSent | State::SynReceived => Some(Failure::ConnectTimeout),
                    State::Closed => Some(Failure::ConnectRefused),
                    _ => None,
                };
                if let Some(failure) = failure {
                    tcp.failures.count(failure);
                    tcp.loss(now);
                    host.close(handle);
                    return false;
                }
                tcp.answer(now, now - since);
                host.shut_down(handle);
                *connect = Connect::Closing { handle, deadline: now + CLOSE_LIMIT };
            }
            let Connect::Closing { handle, deadline } = *connect else { return true };
            match host.read(handle, &mut [0; 64]) {
                Incoming::Nothing | Incoming::Bytes(_) if now < deadline => true,
                _ => {
                    host.close(handle);
                    false
                }
            }
        });
    }

    /// Ends them; those under way are counted nowhere.
    pub(crate) fn stop(self, host: &mut Host) -> ProbeOutcome {
        for connect in self.connects {
            let (Connect::Opening { handle, .. } | Connect::Closing { handle, .. }) = connect;
            host.close(handle);
        }
        let measured = |stats| ProbeStats::Measured(Box::new(stats));
        ProbeOutcome {
            icmp: measured(self.icmp),
            tcp: measured(self.tcp),
            telemetry: match self.telemetry_at {
                Some(_) => measured(self.telemetry),
                None => ProbeStats::Unavailable { reason: "the device has none".to_owned() },
            },
            device: self.device,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_newest_questions_though_a_lost_one_had_its_number() {
        let (mut pending, mut stats) = (Pending::default(), ProbeKindStats::new(0, INTERVAL, LIMIT));
        pending.0.push_back((7, SECOND, false));
        pending.expire(SECOND + LIMIT, &mut stats);
        let again = 65_537 * SECOND;
        pending.0.push_back((7, again, false));
        assert_eq!(pending.answer(7, again + 1, &mut stats), Some(again));
        assert_eq!((stats.answered, stats.late), (1, 0));
    }
}
