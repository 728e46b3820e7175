//! The load: lanes that behave as `head` and `rw` do, over sockets in virtual time.
//!
//! `head` opens a connection for each request; `rw` keeps one a lane and opens another after a failure. Steps, limits,
//! names of failures and the order of recording are theirs (`src/workload/head.rs`, `rw/worker.rs`, `load.rs`).

use std::net::SocketAddrV4;
use std::sync::Arc;

use espstress_connection::http::{Expects, Progress, Response};
use espstress_device::framed::{HEADER_LEN, Header, Kind as Frame, fill_payload};
use espstress_event::{
    Asks, ClosePolicy, Ending, Failure, Intent, IntentBook, Protocol, WorkloadFacts, WorkloadId, WorkloadKind,
};
use espstress_stats::{Phase as Latency, Recorder};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;

use crate::host::{Host, Incoming};

const MS: u64 = 1_000_000;

/// The default of `--timeout-connect`, `-read` and `-write`.
const LIMIT: u64 = 5_000 * MS;

/// How the host ends a connection of `head`: the part of [`ClosePolicy`] that the lab's host can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Close {
    /// A FIN, and wait for the device's.
    Fin,
    /// A RST.
    Rst,
    /// Nothing at all.
    Vanish,
}

impl From<Close> for ClosePolicy {
    fn from(close: Close) -> Self {
        match close {
            Close::Fin => Self::Fin,
            Close::Rst => Self::Rst,
            Close::Vanish => Self::Vanish,
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A connection for each request.
    Head {
        /// How it ends.
        close: Close,
        /// Between handshake and request, nanoseconds.
        request_delay: u64,
    },
    /// Echoes of so many bytes over persistent connections.
    Framed {
        /// Payload.
        size: u32,
    },
    /// GET over persistent connections.
    KeepAlive,
}

/// A load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Load {
    /// What is sent.
    pub kind: Kind,
    /// Attempts that may be under way together.
    pub lanes: u32,
    /// Between two starts; `None` is a closed loop.
    pub interval_ns: Option<u64>,
    /// How long.
    pub duration_ns: u64,
}

impl Load {
    /// The workload's name.
    pub const fn workload(&self) -> &'static str {
        match self.kind {
            Kind::Head { .. } => "head",
            Kind::Framed { .. } | Kind::KeepAlive => "rw",
        }
    }

    /// The latency that is its headline.
    pub const fn main_phase(&self) -> Latency {
        match self.kind {
            Kind::Head { .. } => Latency::Total,
            Kind::Framed { .. } | Kind::KeepAlive => Latency::RoundTrip,
        }
    }

    /// What findings have to know of it.
    pub fn facts(&self) -> WorkloadFacts {
        let asks = |protocol, method: Option<&str>, request_delay_ns| Asks {
            protocol,
            method: method.map(str::to_owned),
            window: 1,
            request_delay_ns,
            ..Asks::default()
        };
        match self.kind {
            Kind::Head { close, request_delay } => WorkloadFacts {
                kind: Some(WorkloadKind::Head),
                asks: asks(Protocol::Http, Some("HEAD"), request_delay),
                close: close.into(),
            },
            Kind::Framed { .. } => WorkloadFacts {
                kind: Some(WorkloadKind::Rw),
                asks: asks(Protocol::Framed, None, 0),
                close: ClosePolicy::Fin,
            },
            Kind::KeepAlive => WorkloadFacts {
                kind: Some(WorkloadKind::Rw),
                asks: asks(Protocol::Http, Some("GET"), 0),
                close: ClosePolicy::Fin,
            },
        }
    }
}

/// Local ports, one after the other, and from the beginning again.
#[derive(Debug)]
pub(crate) struct Ports {
    next: u16,
}

impl Ports {
    /// From a port on.
    pub(crate) const fn from(next: u16) -> Self {
        Self { next }
    }

    /// Another one.
    pub(crate) const fn take(&mut self) -> u16 {
        let port = self.next;
        self.next = if port == u16::MAX { 32_768 } else { port + 1 };
        port
    }
}

/// What all lanes and probes have in common.
pub(crate) struct Shared {
    /// Where intentions are noted.
    pub(crate) book: Arc<IntentBook>,
    /// Connections that the load holds open.
    pub(crate) open: u32,
    /// How many the device says it holds.
    pub(crate) capacity: Option<u32>,
    /// Local ports.
    pub(crate) ports: Ports,
}

impl Shared {
    /// The intention of a connection about to be opened, beside `open` others.
    fn intent(&self, planned: Intent) -> Intent {
        match self.capacity {
            Some(capacity) if self.open >= capacity && planned == Intent::Plain => Intent::BeyondCapacity,
            _ => planned,
        }
    }

    /// Begins a connection, its intention noted.
    pub(crate) fn open(
        &mut self,
        host: &mut Host,
        to: SocketAddrV4,
        workload: WorkloadId,
        planned: Intent,
    ) -> (SocketHandle, u16) {
        let mut port = self.ports.take();
        while host.holds(port) {
            port = self.ports.take();
        }
        // Each packet is seen as it is sent: no time is needed to tell two connections on a port apart.
        self.book.opens(port, workload, self.intent(planned), 0);
        (host.connect(port, to), port)
    }
}

/// What a lane's bytes mean.
enum Codec {
    Http(Box<Response>),
    Framed { size: usize, have: Vec<u8> },
}

/// What came of bytes.
enum Fed {
    More,
    Answer(u64),
}

impl Codec {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Head { .. } => Self::Http(Box::new(Response::new(Expects::HeadOnly))),
            Kind::KeepAlive => Self::Http(Box::new(Response::new(Expects::Body))),
            Kind::Framed { size } => Self::Framed { size: size as usize, have: Vec::new() },
        }
    }

    fn start(&mut self) {
        match self {
            Self::Http(response) => response.start(),
            Self::Framed { have, .. } => have.clear(),
        }
    }

    fn request(&self, kind: Kind, sequence: u32) -> Vec<u8> {
        match self {
            Self::Http(_) => {
                let method = if matches!(kind, Kind::KeepAlive) { "GET" } else { "HEAD" };
                format!("{method} / HTTP/1.1\r\nHost: 192.168.77.2\r\nUser-Agent: espstress\r\n\r\n").into()
            }
            Self::Framed { size, .. } => {
                let mut payload = vec![0; *size];
                fill_payload(sequence, &mut payload);
                let mut frame = Header::new(Frame::Echo, sequence, &payload).encode().to_vec();
                frame.extend_from_slice(&payload);
                frame
            }
        }
    }

    fn feed(&mut self, sequence: u32, bytes: &[u8]) -> Result<Fed, Failure> {
        match self {
            Self::Http(response) => match response.feed(bytes)? {
                Progress::More => Ok(Fed::More),
                Progress::Done { .. } => Ok(Fed::Answer(response.body_bytes())),
            },
            Self::Framed { size, have } => {
                have.extend_from_slice(bytes);
                let Some((head, payload)) = have.split_first_chunk::<HEADER_LEN>() else {
                    return Ok(Fed::More);
                };
                let header = Header::decode(head).map_err(|_| Failure::BadResponse)?;
                if header.kind != Frame::EchoReply {
                    return Err(Failure::BadResponse);
                }
                if payload.len() < *size {
                    return Ok(Fed::More);
                }
                let mut expected = vec![0; *size];
                fill_payload(sequence, &mut expected);
                if header.sequence != sequence || payload != expected {
                    return Err(Failure::CorruptPayload);
                }
                Ok(Fed::Answer(*size as u64))
            }
        }
    }

    fn eof(&self) -> Failure {
        match self {
            Self::Http(response) => response.eof().err().unwrap_or(Failure::BadResponse),
            Self::Framed { have, .. } if have.is_empty() => Failure::EofBeforeResponse,
            Self::Framed { .. } => Failure::TruncatedResponse,
        }
    }
}

/// A lane's connection.
#[derive(Clone, Copy)]
struct Link {
    handle: SocketHandle,
    port: u16,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Asks for another attempt.
    Free,
    /// A pause after a failure.
    Paused(u64),
    /// Has an attempt, and waits for its time.
    Planned,
    Connecting {
        deadline: u64,
    },
    /// Between handshake and request.
    Delayed(u64),
    Exchanging {
        deadline: u64,
        asked: u64,
        heard: bool,
    },
    Draining {
        since: u64,
        deadline: u64,
    },
    Over,
}

/// One lane.
struct Lane {
    phase: Phase,
    link: Option<Link>,
    codec: Codec,
    sequence: u32,
    intended: u64,
    actual: u64,
    back_off: u64,
    had_failed: bool,
    /// The last close, then over.
    ending: bool,
}

/// When attempts begin, as `Schedule` has it.
struct Schedule {
    interval_ns: Option<u64>,
    end_ns: u64,
    started: u64,
}

impl Schedule {
    fn next(&mut self, now: u64) -> Option<u64> {
        let at = match self.interval_ns {
            Some(interval) => {
                let at = interval.saturating_mul(self.started);
                self.started += 1;
                at
            }
            None => now,
        };
        // What is late when time is up is not begun.
        (at < self.end_ns && now < self.end_ns).then_some(at)
    }
}

/// A workload under way.
pub(crate) struct Workload {
    load: Load,
    to: SocketAddrV4,
    lanes: Vec<Lane>,
    schedule: Schedule,
    recorder: Recorder,
    buffer: Vec<u8>,
    ended_ns: Option<u64>,
    id: WorkloadId,
    /// Attempts that failed, connections that were reset or left open: how often a fault can have shown.
    pub(crate) troubles: u64,
}

impl Workload {
    /// Begins at 0; `id` is its place among the workloads.
    pub(crate) fn new(load: Load, to: SocketAddrV4, id: WorkloadId) -> Self {
        let lane = |n: u32| Lane {
            phase: Phase::Free,
            link: None,
            codec: Codec::new(load.kind),
            sequence: n.wrapping_mul(0x0100_0001),
            intended: 0,
            actual: 0,
            back_off: 0,
            had_failed: false,
            ending: false,
        };
        Self {
            lanes: (0..load.lanes).map(lane).collect(),
            schedule: Schedule { interval_ns: load.interval_ns, end_ns: load.duration_ns, started: 0 },
            recorder: Recorder::new(0, load.main_phase()),
            load,
            to,
            buffer: vec![0; 16 * 1024],
            ended_ns: None,
            id,
            troubles: 0,
        }
    }

    /// When it ended.
    pub(crate) const fn ended_ns(&self) -> Option<u64> {
        self.ended_ns
    }

    /// What it does.
    pub(crate) const fn load(&self) -> &Load {
        &self.load
    }

    /// The recorder.
    pub(crate) const fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// What it measured.
    pub(crate) fn finish(self) -> Recorder {
        self.recorder
    }

    /// When it wants to be asked again without anything coming in.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        let at = |lane: &Lane| match lane.phase {
            Phase::Paused(at) | Phase::Delayed(at) => Some(at),
            Phase::Planned => Some(lane.intended),
            Phase::Connecting { deadline }
            | Phase::Exchanging { deadline, .. }
            | Phase::Draining { deadline, .. } => Some(deadline),
            Phase::Free | Phase::Over => None,
        };
        self.lanes.iter().filter_map(at).min()
    }

    /// Does what can be done now.
    pub(crate) fn step(&mut self, host: &mut Host, shared: &mut Shared, now: u64) {
        for at in 0..self.lanes.len() {
            while self.lane(at, host, shared, now) {}
        }
        if self.ended_ns.is_none() && self.lanes.iter().all(|lane| matches!(lane.phase, Phase::Over)) {
            self.ended_ns = Some(now);
        }
    }

    /// One step of a lane; whether another one may follow at once.
    fn lane(&mut self, at: usize, host: &mut Host, shared: &mut Shared, now: u64) -> bool {
        let lane = &mut self.lanes[at];
        match lane.phase {
            Phase::Over => false,
            Phase::Free => {
                match self.schedule.next(now) {
                    None => self.end(at, host, shared, now),
                    Some(intended) => {
                        if self.schedule.interval_ns.is_some() && now > intended + MS {
                            self.recorder.late_start();
                        }
                        (lane.intended, lane.phase) = (intended, Phase::Planned);
                    }
                }
                true
            }
            Phase::Paused(until) => {
                if now >= until {
                    lane.phase = Phase::Free;
                }
                now >= until
            }
            Phase::Planned if now < lane.intended => false,
            Phase::Planned => {
                self.begin(at, host, shared, now);
                true
            }
            Phase::Connecting { deadline } => self.connecting(at, deadline, host, shared, now),
            Phase::Delayed(until) => {
                if now >= until {
                    self.ask(at, host, now);
                }
                now >= until
            }
            Phase::Exchanging { .. } => self.exchanging(at, host, shared, now),
            Phase::Draining { since, deadline } => self.draining(at, since, deadline, host, shared, now),
        }
    }

    fn begin(&mut self, at: usize, host: &mut Host, shared: &mut Shared, now: u64) {
        let lane = &mut self.lanes[at];
        lane.actual = now;
        if lane.link.is_some() {
            self.ask(at, host, now);
            return;
        }
        let planned = match self.load.kind {
            Kind::Head { close: Close::Rst, .. } => Intent::Reset,
            Kind::Head { close: Close::Vanish, .. } => Intent::Vanished,
            _ => Intent::Plain,
        };
        shared.open += 1;
        self.recorder.opened();
        let (handle, port) = shared.open(host, self.to, self.id, planned);
        lane.link = Some(Link { handle, port });
        lane.phase = Phase::Connecting { deadline: now + LIMIT };
    }

    fn connecting(
        &mut self,
        at: usize,
        deadline: u64,
        host: &mut Host,
        shared: &mut Shared,
        now: u64,
    ) -> bool {
        let lane = &mut self.lanes[at];
        let Some(Link { handle, .. }) = lane.link else { return false };
        match host.state(handle) {
            State::SynSent | State::SynReceived if now < deadline => return false,
            State::SynSent | State::SynReceived => self.fail(at, Failure::ConnectTimeout, host, shared, now),
            State::Closed => self.fail(at, Failure::ConnectRefused, host, shared, now),
            _ => {
                self.recorder.latency(Latency::Connect, now - lane.actual);
                if std::mem::take(&mut lane.had_failed) && !matches!(self.load.kind, Kind::Head { .. }) {
                    self.recorder.reconnected();
                }
                lane.codec.start();
                match self.load.kind {
                    Kind::Head { request_delay, .. } if request_delay > 0 => {
                        lane.phase = Phase::Delayed(now + request_delay);
                    }
                    _ => self.ask(at, host, now),
                }
            }
        }
        true
    }

    fn ask(&mut self, at: usize, host: &mut Host, now: u64) {
        let lane = &mut self.lanes[at];
        let Some(Link { handle, .. }) = lane.link else { return };
        lane.sequence = lane.sequence.wrapping_add(1);
        lane.codec.start();
        let request = lane.codec.request(self.load.kind, lane.sequence);
        if !matches!(self.load.kind, Kind::Head { .. }) {
            // The round trip begins with the request, not with a connection that had to be opened.
            lane.actual = now;
        }
        let written = host.write(handle, &request);
        self.recorder.bytes(written as u64, 0);
        lane.phase = Phase::Exchanging { deadline: now + LIMIT, asked: now, heard: false };
    }

    fn exchanging(&mut self, at: usize, host: &mut Host, shared: &mut Shared, now: u64) -> bool {
        let lane = &mut self.lanes[at];
        let Phase::Exchanging { deadline, asked, heard } = lane.phase else { return false };
        let Some(Link { handle, .. }) = lane.link else { return false };
        let result = match host.read(handle, &mut self.buffer) {
            Incoming::Nothing if now < deadline => return false,
            Incoming::Nothing => Err(Failure::ReadTimeout),
            Incoming::Reset => Err(Failure::ReadReset),
            Incoming::End => Err(lane.codec.eof()),
            Incoming::Bytes(n) => {
                if !heard && matches!(self.load.kind, Kind::Head { .. }) {
                    self.recorder.latency(Latency::FirstByte, now - asked);
                }
                self.recorder.bytes(0, n as u64);
                lane.codec.feed(lane.sequence, self.buffer.get(..n).unwrap_or_default())
            }
        };
        match result {
            Err(failure) => self.fail(at, failure, host, shared, now),
            Ok(Fed::More) => {
                lane.phase = Phase::Exchanging { deadline: now + LIMIT, asked, heard: true };
            }
            Ok(Fed::Answer(payload)) => self.answered(at, payload, host, shared, now),
        }
        true
    }

    fn answered(&mut self, at: usize, payload: u64, host: &mut Host, shared: &mut Shared, now: u64) {
        let lane = &mut self.lanes[at];
        self.recorder.goodput(payload);
        let phase = self.load.main_phase();
        match self.schedule.interval_ns {
            None => self.recorder.latency(phase, now - lane.actual),
            Some(_) => self.recorder.latency_pair(phase, now - lane.intended, now - lane.actual),
        }
        self.recorder.attempt(lane.actual, now, Ok(()));
        lane.back_off = 0;
        let Some(Link { handle, port }) = lane.link else { return };
        let Kind::Head { close, .. } = self.load.kind else {
            lane.phase = Phase::Free;
            return;
        };
        match close {
            Close::Fin => {
                host.shut_down(handle);
                lane.phase = Phase::Draining { since: now, deadline: now + LIMIT };
                return;
            }
            Close::Rst => host.reset(handle),
            Close::Vanish => host.vanish(handle),
        }
        self.let_go(at, port, host, shared);
        self.lanes[at].phase = Phase::Free;
    }

    fn draining(
        &mut self,
        at: usize,
        since: u64,
        deadline: u64,
        host: &mut Host,
        shared: &mut Shared,
        now: u64,
    ) -> bool {
        let Some(Link { handle, port }) = self.lanes[at].link else { return false };
        let ending = match host.read(handle, &mut self.buffer) {
            Incoming::Bytes(_) => return true,
            Incoming::End => Ending::Fin,
            Incoming::Reset => Ending::Reset,
            Incoming::Nothing if now < deadline => return false,
            Incoming::Nothing => Ending::NotEnded,
        };
        self.troubles += u64::from(ending != Ending::Fin);
        self.recorder.ended(ending, now - since);
        host.close(handle);
        self.let_go(at, port, host, shared);
        let lane = &mut self.lanes[at];
        lane.phase = if lane.ending { Phase::Over } else { Phase::Free };
        true
    }

    /// The attempt has failed, and its connection with it.
    fn fail(&mut self, at: usize, failure: Failure, host: &mut Host, shared: &mut Shared, now: u64) {
        self.recorder.attempt(self.lanes[at].actual, now, Err(failure));
        self.troubles += 1;
        if let Some(Link { handle, port }) = self.lanes[at].link {
            host.close(handle);
            self.let_go(at, port, host, shared);
        }
        let lane = &mut self.lanes[at];
        lane.had_failed = true;
        lane.phase = Phase::Free;
        if self.schedule.interval_ns.is_none() {
            lane.back_off = (lane.back_off * 2).clamp(MS, 100 * MS);
            lane.phase = Phase::Paused(now + lane.back_off);
        }
    }

    fn let_go(&mut self, at: usize, port: u16, host: &Host, shared: &mut Shared) {
        if let Some(sample) = host.sample(port) {
            self.recorder.tcp(sample);
        }
        self.lanes[at].link = None;
        shared.open -= 1;
        self.recorder.closed();
    }

    /// No further attempt: what stands is closed.
    fn end(&mut self, at: usize, host: &mut Host, shared: &mut Shared, now: u64) {
        let lane = &mut self.lanes[at];
        let Some(Link { handle, port }) = lane.link else {
            lane.phase = Phase::Over;
            return;
        };
        if host.read(handle, &mut self.buffer) == Incoming::Nothing {
            lane.ending = true;
            host.shut_down(handle);
            lane.phase = Phase::Draining { since: now, deadline: now + LIMIT };
        } else {
            lane.phase = Phase::Over;
            host.close(handle);
            self.let_go(at, port, host, shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn ports_that_come_again_pass_over_one_that_is_held() {
        let mut host = Host::new(Ipv4Addr::new(192, 168, 77, 1), 7);
        let (book, ports) = (Arc::new(IntentBook::default()), Ports::from(u16::MAX - 1));
        let mut shared = Shared { book, open: 0, capacity: None, ports };
        let to = SocketAddrV4::new(Ipv4Addr::new(192, 168, 77, 2), 80);
        let mut open = |shared: &mut Shared| shared.open(&mut host, to, WorkloadId(0), Intent::Plain).1;
        assert_eq!([(); 3].map(|()| open(&mut shared)), [65_534, 65_535, 32_768]);
        shared.ports = Ports::from(65_534);
        assert_eq!(open(&mut shared), 32_769);
    }
}
