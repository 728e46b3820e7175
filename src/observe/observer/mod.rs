//! From frames to occurrences.

mod counting;
mod rulings;
mod segments;

use std::net::IpAddr;

use espstress_event::{AnomalyId, ConnectionKey, DialSign, Direction, MqttSign, Occurrence, PathWindow};
use espstress_wire::{Flags, Link, NotSegment, Segment};

use super::flow::{Chain, End, Ending, Evicted, Flow, FlowKey, Kind, SECOND, Second, Stage, Table, Wait};
use super::fragments::Fragments;
use super::quiet::{Asks, Quiet};
use super::resets::Resets;
use super::rules::{self, Deadlines, Obstacle, PathSigns, Ruling, Scene, Source};
use super::summary::{Unjudged, WireSummary};
use super::windows::Windows;
use rulings::Examples;
pub use segments::Turn;
use segments::{Belongs, belongs, guess, turn};

/// Beginnings and ends of dialled connections that are kept.
const DIAL_SIGNS: usize = 16_384;

/// How the device's end of a connection is told from the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEnds {
    /// By address, and by port where one is given; what touches none of them is left out.
    Known(Vec<(IpAddr, Option<u16>)>),
    /// The device is the side that was connected to; where the beginning is not captured, the side with
    /// the lower port. An MQTT broker is the host.
    Guessed,
}

/// What an observer is to know beforehand.
#[derive(Clone, Debug)]
pub struct ObserverConfig {
    /// Which end is the device.
    pub device: DeviceEnds,
    /// Connections followed at once; the oldest that ended, then the longest idle, make room.
    pub connections: usize,
    /// How long a SYN may go unanswered, nanoseconds; a run's connect time-out.
    pub syn_deadline_ns: i64,
    /// Examples with their packets for each anomaly and each thing shown.
    pub examples: u32,
    /// Where the packets come from.
    pub source: Source,
}

impl Default for ObserverConfig {
    fn default() -> Self {
        Self {
            device: DeviceEnds::Guessed,
            connections: 65_536,
            syn_deadline_ns: 5 * SECOND,
            examples: 40,
            source: Source::Run,
        }
    }
}

/// Follows connections and tells anomalies.
///
/// Call [`frame`](Self::frame) for every frame in the order of capture, [`gap`](Self::gap) where the capture
/// dropped some, [`advance`](Self::advance) as time passes without frames, and [`finish`](Self::finish) once.
#[derive(Debug)]
pub struct Observer {
    /// The device's ends, as [`End`] has them; `None` where they are to be guessed.
    ends: Option<Vec<(u128, Option<u16>)>>,
    /// A port of the host's that the device dials.
    dialled: Option<u16>,
    deadlines: Deadlines,
    table: Table,
    windows: Windows,
    quiet: Quiet,
    /// The same of what the device's program sends.
    program: Quiet,
    resets: Resets,
    examples: Examples,
    summary: WireSummary,
    unjudged: Unjudged,
    source: Source,
    fragments: Fragments,
    now: i64,
    gaps: u32,
    /// Until when the connections that ended may still be answered, nanoseconds.
    grace_until: i64,
    /// What the last segment was for its connection, where others wait for that.
    turn: Option<Turn>,
}

impl Observer {
    /// An observer that has seen nothing.
    #[must_use]
    pub fn new(config: ObserverConfig) -> Self {
        Self {
            ends: match config.device {
                DeviceEnds::Known(ends) => {
                    Some(ends.iter().map(|(ip, port)| (End::mapped(*ip), *port)).collect())
                }
                DeviceEnds::Guessed => None,
            },
            dialled: None,
            deadlines: Deadlines { syn: config.syn_deadline_ns, zero_window: SECOND, linger: 5 * SECOND },
            table: Table::new(config.connections),
            windows: Windows::default(),
            quiet: Quiet::default(),
            program: Quiet::default(),
            resets: Resets::default(),
            examples: Examples::new(config.examples),
            summary: WireSummary::default(),
            unjudged: Unjudged::default(),
            source: config.source,
            fragments: Fragments::default(),
            now: i64::MIN,
            gaps: 0,
            grace_until: i64::MIN,
            turn: None,
        }
    }

    /// A device whose addresses are known dials this port of the host's: such connections are its own as well.
    pub fn device_dials(&mut self, port: u16) {
        self.dialled = Some(port);
    }

    /// Looks at one frame. `captured` may be cut to the headers; `original_len` is its length on the wire.
    /// Deadlines that passed before `at_ns` (nanoseconds since the Unix epoch) are judged first.
    pub fn frame(
        &mut self,
        at_ns: i64,
        link: Link,
        captured: &[u8],
        original_len: usize,
        sink: &mut impl FnMut(Occurrence),
    ) {
        let number = self.summary.packets + 1;
        self.decoded(at_ns, number, &espstress_wire::decode(link, captured, original_len), sink);
    }

    /// The same for a frame that was taken apart already; `number` is its place in the capture, from 1.
    pub fn decoded(
        &mut self,
        at_ns: i64,
        number: u64,
        decoded: &Result<Segment, NotSegment>,
        sink: &mut impl FnMut(Occurrence),
    ) {
        self.summary.packets = number;
        match decoded {
            Ok(segment) => self.segment(at_ns, segment, sink),
            Err(NotSegment::Damaged) => self.summary.damaged += 1,
            Err(NotSegment::Other) => {}
            Err(NotSegment::Unread(what)) => {
                self.summary.unread += 1;
                self.summary.unread_kind.get_or_insert(*what);
            }
            Err(NotSegment::Fragment(part)) => {
                if let Some(segment) = self.fragments.take(part, at_ns) {
                    self.segment(at_ns, &segment, sink);
                }
            }
        }
    }

    /// Judges the deadlines that have passed by `now_ns`, nanoseconds since the Unix epoch.
    pub fn advance(&mut self, now_ns: i64, sink: &mut impl FnMut(Occurrence)) {
        self.now = self.now.max(now_ns);
        for chain in Chain::DEADLINES {
            while let Some((slot, since)) = self.table.next_due(chain) {
                let deadline = since.saturating_add(self.deadlines.of(chain));
                if deadline > self.now {
                    break;
                }
                if chain == Chain::Window {
                    // Told when it is over, with its length.
                    self.table.flow_mut(slot).stalled_since = Some(since);
                }
                let ruling = rules::on_deadline(self.table.flow(slot), chain, since, deadline, self.gaps);
                self.table.flow_mut(slot).waited(chain);
                self.table.file(slot, self.now);
                if let Some(ruling) = ruling {
                    self.rule(slot, ruling, sink);
                }
            }
        }
    }

    /// What the last frame was for its connection; asked for once.
    pub const fn take_turn(&mut self) -> Option<Turn> {
        self.turn.take()
    }

    /// The capture dropped packets here. Rules that could be fooled by that are not judged for the
    /// connections that are open now.
    pub fn gap(&mut self) {
        self.gaps = self.gaps.wrapping_add(1);
        self.summary.gaps += 1;
    }

    /// Frames looked at so far: the number of the last one, as capture tools count.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.summary.packets
    }

    /// Whether every connection that `of_interest` names has both FINs acknowledged or a RST, and the time in
    /// which stray answers may still come is over by `now_ns`. A SYN counts as ended when it was judged.
    pub fn settled(&self, now_ns: i64, mut of_interest: impl FnMut(&ConnectionKey) -> bool) -> bool {
        if now_ns <= self.grace_until {
            return false;
        }
        self.table.live() == 0
            || !self.table.iter_open().any(|flow| flow.goes_on() && of_interest(&flow.connection()))
    }

    /// The capture is over: judges what remains and sums up. `end_ns` is when the watch ended.
    pub fn finish(mut self, end_ns: i64, sink: &mut impl FnMut(Occurrence)) -> WireSummary {
        self.advance(end_ns, sink);
        for slot in 0..self.table.len() {
            self.table.open(slot);
            self.end_of(slot, Obstacle::WatchTooShort, sink);
            self.table.let_go(slot);
        }
        self.summary.not_judged = self.unjudged.list(self.source);
        self.summary.absences = self.quiet.absences();
        self.summary.quiet = self.quiet.finish();
        self.summary.idle = self.program.finish();
        self.summary.resets = self.resets.figures();
        self.summary.held = self.resets.held();
        self.summary.windows = self.windows.finish();
        self.summary.fragments_missing = self.fragments.missing();
        self.summary
    }

    fn segment(&mut self, at_ns: i64, segment: &Segment, sink: &mut impl FnMut(Occurrence)) {
        // Capture times may step back a little between queues; the state's time does not.
        self.advance(at_ns, sink);
        let at = self.now;
        let (source, destination) = (End::source(segment), End::destination(segment));
        let Some(known) = self.sides(source, destination) else {
            self.summary.tcp_of_others += 1;
            let device = if guess(segment) == Direction::FromHost { destination } else { source };
            self.summary.other_device.get_or_insert_with(|| device.socket());
            return;
        };
        self.summary.tcp_packets += 1;
        let key = FlowKey::new(source, destination);
        let found = self.table.find(&key);
        let from = match (known, found) {
            (Some(from), _) => from,
            (None, Some(slot)) if self.table.flow(slot).device_end == source => Direction::FromDevice,
            (None, Some(_)) => Direction::FromHost,
            (None, None) => guess(segment),
        };
        let Some(slot) = self.slot(found, segment, from, at, known.is_none(), sink) else {
            self.summary.strays += 1;
            return;
        };
        // A new connection between guessed ends may have turned them round.
        let from = match known {
            Some(from) => from,
            None if self.table.flow(slot).device_end == source => Direction::FromDevice,
            None => Direction::FromHost,
        };
        if from == Direction::FromDevice {
            self.dial_sign(segment, at);
            self.summary.device_packets += 1;
            self.quiet.heard(at);
        } else if segment.flags.has(Flags::SYN) {
            self.quiet.asked(at, Asks::Connection);
        } else if segment.payload > 0 || segment.flags.has(Flags::FIN) {
            self.quiet.asked(at, Asks::Acknowledgement);
        }
        self.judge(slot, segment, from, at, sink);
    }

    /// Counts the answer to a connection that the device opens.
    fn dial_answered(&mut self, slot: u32, s: &Segment, from: Direction) {
        let flow = self.table.flow(slot);
        let asked = flow.opener == Some(Direction::FromDevice) && flow.stage == Stage::Opening;
        if !asked || flow.ended.is_some() || from == Direction::FromDevice {
            return;
        }
        let to = flow.host_end.socket();
        if s.flags.has(Flags::RST) {
            self.summary.dials.refused(to);
        } else if s.flags.has(Flags::SYN) {
            self.summary.dials.accepted(to);
        }
    }

    /// Notes a SYN, FIN or RST of the device's on the port that it dials; repetitions have the first one's number.
    fn dial_sign(&mut self, s: &Segment, at_ns: i64) {
        if self.dialled != Some(s.destination_port) || self.summary.dial_signs.len() >= DIAL_SIGNS {
            return;
        }
        let sign = if s.flags.has(Flags::RST) {
            MqttSign::Rst
        } else if s.flags.has(Flags::FIN) {
            MqttSign::Fin
        } else if s.flags.has(Flags::SYN) {
            MqttSign::Syn
        } else {
            return;
        };
        let new = DialSign { at_ns, port: s.source_port, seq: s.seq, sign };
        let recent = self.summary.dial_signs.iter().rev().take(64);
        let again = |old: &DialSign| (old.port, old.seq, old.sign) == (new.port, new.seq, new.sign);
        if !recent.into_iter().any(again) {
            self.summary.dial_signs.push(new);
        }
    }

    /// Who sends, as far as the configuration tells: `Some(None)` where it has to be guessed, `None` where
    /// the segment is none of the device's.
    fn sides(&self, source: End, destination: End) -> Option<Option<Direction>> {
        let Some(ends) = &self.ends else { return Some(None) };
        let fits = |end: End| {
            ends.iter().any(|&(address, port)| address == end.address && port.is_none_or(|p| p == end.port))
        };
        if let Some(port) = self.dialled {
            let is_device = |end: End| ends.iter().any(|&(address, _)| address == end.address);
            // On the host's own address the port alone tells them apart.
            match (source.port == port, destination.port == port) {
                (false, true) if is_device(source) => return Some(Some(Direction::FromDevice)),
                (true, false) if is_device(destination) => return Some(Some(Direction::FromHost)),
                _ => {}
            }
        }
        match (fits(source), fits(destination)) {
            (true, false) => Some(Some(Direction::FromDevice)),
            (false, true) => Some(Some(Direction::FromHost)),
            // A device on the host's own address, known by address alone.
            (true, true) => Some(None),
            (false, false) => None,
        }
    }

    /// The connection that a segment belongs to, begun here where it is a new one; `None` for a stray.
    fn slot(
        &mut self,
        found: Option<u32>,
        s: &Segment,
        from: Direction,
        at: i64,
        guessed: bool,
        sink: &mut impl FnMut(Occurrence),
    ) -> Option<u32> {
        let Some(slot) = found else {
            // A lone RST says nothing about a connection of which nothing else is known.
            return (!s.flags.has(Flags::RST)).then(|| self.begin(s, from, at, sink));
        };
        match belongs(self.table.flow(slot), s, from, at) {
            Belongs::Here => Some(slot),
            Belongs::Nowhere => None,
            Belongs::ToNew => {
                let from = if guessed && s.flags.has(Flags::SYN) { guess(s) } else { from };
                self.end_of(slot, Obstacle::WatchTooShort, sink);
                let mut flow = self.fresh(s, from, at);
                flow.previous = self.table.flow(slot).as_previous();
                self.table.replace(slot, flow);
                Some(slot)
            }
        }
    }

    fn begin(&mut self, s: &Segment, from: Direction, at: i64, sink: &mut impl FnMut(Occurrence)) -> u32 {
        if let Some((slot, why)) = self.table.victim(at) {
            match why {
                Evicted::Settled => self.summary.evicted_settled += 1,
                Evicted::Live => self.summary.evicted_live += 1,
            }
            self.table.open(slot);
            self.end_of(slot, Obstacle::Evicted, sink);
        }
        let flow = self.fresh(s, from, at);
        self.table.insert(flow, at)
    }

    fn fresh(&mut self, s: &Segment, from: Direction, at: i64) -> Flow {
        let (source, destination) = (End::source(s), End::destination(s));
        let (host, device) = match from {
            Direction::FromDevice => (destination, source),
            Direction::FromHost => (source, destination),
        };
        let mut flow = Flow::new(host, device, at, self.gaps);
        self.summary.connections += 1;
        if s.flags.has(Flags::SYN) && !s.flags.has(Flags::ACK) {
            flow.stage = Stage::Opening;
            flow.opener = Some(from);
            if from == Direction::FromDevice {
                self.summary.dials.opened(destination.socket());
            }
        } else if !s.flags.has(Flags::SYN) {
            self.summary.mid_stream += 1;
        }
        flow
    }

    fn judge(&mut self, slot: u32, s: &Segment, from: Direction, at: i64, sink: &mut impl FnMut(Occurrence)) {
        let facts = self.table.flow(slot).look(s, from, at);
        let path = PathSigns {
            astray: self.summary.astray,
            device_losses: self.summary.from_device.late_fills
                + self.summary.from_device.retransmissions
                + self.summary.syn_repetitions,
        };
        let mut said: [Option<Ruling>; 8] = [None; 8];
        let mut n = 0;
        let flow = self.table.flow(slot);
        let was_missing = flow.missing;
        let was_open = flow.ended.is_none();
        let scene = Scene { flow, segment: s, facts: &facts, gaps: self.gaps, path };
        rules::on_segment(&scene, |ruling| {
            if let Some(place) = said.get_mut(n) {
                *place = Some(ruling);
                n += 1;
            }
        });
        self.turn = turn(flow, s, &facts).or(self.turn);
        self.dial_answered(slot, s, from);
        self.count(s, &facts, slot);
        self.count_astray(s, &facts, slot);
        self.count_early(s, &facts, slot);
        self.count_late_end(s, &facts, slot);
        self.weather(s, &facts, slot);
        if facts.kind == Kind::KeepAlive && from == Direction::FromDevice {
            self.keep_alive(slot, at);
        }
        let number = self.summary.packets;
        let flow = self.table.flow_mut(slot);
        match flow.second(s, &facts) {
            Some(Second::Waited(ns)) => self.summary.ack_waits.waited(u64::try_from(ns).unwrap_or(0)),
            Some(Second::Otherwise) => self.summary.ack_waits.otherwise += 1,
            None => {}
        }
        flow.apply(s, &facts, number);
        self.table.file(slot, at);
        let flow = self.table.flow(slot);
        if flow.missing && !was_missing {
            self.summary.incomplete += 1;
        }
        let stalled = if flow.window_wait == Wait::Off { flow.stalled_since } else { None };
        if was_open && matches!(flow.ended, Some((_, Ending::Reset(Direction::FromHost)))) {
            self.resets.sent();
        }
        if flow.ended.is_some_and(|(ended, _)| ended == at) {
            self.grace_until = self.grace_until.max(at.saturating_add(flow.grace()));
        }
        for ruling in said.into_iter().flatten() {
            self.rule(slot, ruling, sink);
        }
        if stalled.is_some() {
            self.stall(slot, at, sink);
        }
        if from == Direction::FromHost {
            let flow = self.table.flow(slot);
            let scene = Scene { flow, segment: s, facts: &facts, gaps: self.gaps, path };
            if let Some(ruling) = rules::after_host_segment(&scene) {
                self.table.flow_mut(slot).tell(AnomalyId::FinDuel);
                self.rule(slot, ruling, sink);
            }
        }
    }

    /// What has been seen of the path so far.
    #[must_use]
    pub fn path(&self) -> PathWindow {
        self.windows.sum()
    }
}
