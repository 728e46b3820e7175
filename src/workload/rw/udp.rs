//! `rw --protocol udp`: numbered datagrams to a service that sends each one back, or to a multicast group that it has joined.
//!
//! A listener of its own takes what comes, so that an echo's time is that of its arrival, whatever is being sent. TCP
//! hides loss; here every datagram that does not come back is seen, and it is the host's own where the host's socket
//! was full.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::context::Context;
use crate::load::{LoopKind, Outcome, Start, Worker};
use espstress_connection::{DatagramSocket, Received};
use espstress_device::framed::fill_payload;
use espstress_event::{Datagrams, Failure, LostRun};
use espstress_stats::Phase;

/// The run's mark and the number: what an echo is known by.
pub(super) const LEAST: u64 = 8;

/// The largest payload of a datagram over IPv4: 65,535 bytes less both headers.
pub(super) const MOST: u64 = 65_507;

/// Datagrams under way at once in an open loop, which does not wait for echoes.
const OPEN_WINDOW: usize = 1_024;

/// Datagrams whose fate is remembered, so that a late echo and a second one are told apart.
const REMEMBERED: usize = 8_192;

/// Echoes that wait behind others are read before their time is up for good.
const GRACE: Duration = Duration::from_secs(1);

/// IPv4 and UDP headers.
const HEADERS: u32 = 28;

/// What Ethernet carries: the edge that a sweep goes over, also where the loopback interface carries more.
const ETHERNET: u32 = 1_500;

/// The sizes of a sweep: small ones, the largest that fits into one packet, one byte more, and several packets.
fn swept(mtu: Option<u32>) -> Vec<u32> {
    let edge = mtu.map_or(ETHERNET, |mtu| mtu.clamp(576, ETHERNET)) - HEADERS;
    let mut sizes = vec![64, 256, 512, 1_024, edge, edge + 1, edge * 2, 4_096, 8_192];
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// IP packets that a datagram of so many bytes takes where one carries `mtu`.
fn packets(bytes: u32, mtu: Option<u32>) -> u32 {
    // Each piece but the last is a multiple of eight bytes after its IP header (RFC 791, 3.2).
    let piece = mtu.map_or(ETHERNET, |mtu| mtu.max(68)).saturating_sub(20) / 8 * 8;
    if mtu.is_some_and(|mtu| bytes.saturating_add(HEADERS) <= mtu) {
        return 1;
    }
    bytes.saturating_add(8).div_ceil(piece.max(8))
}

/// Which sizes to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sizes {
    /// This one.
    One(u32),
    /// Those of a sweep, in turn.
    Sweep,
}

/// One socket, and the datagrams that are under way on it.
pub(super) struct Sender {
    context: Context,
    way: Way,
    limit: Duration,
    window: usize,
    sizes: Sizes,
    number: u32,
    /// The datagram that is sent, used again for the next one.
    buffer: Vec<u8>,
    link: Option<Link>,
}

/// Where datagrams go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) target: SocketAddr,
    /// The multicast group that they go to instead, on the target's port.
    pub(super) group: Option<Ipv4Addr>,
}

impl Way {
    fn open(self, source: Option<IpAddr>) -> Result<DatagramSocket, Failure> {
        match (self.group, self.target) {
            (None, target) => DatagramSocket::open(target, source),
            (Some(group), SocketAddr::V4(target)) => DatagramSocket::open_group(group, target, source),
            (Some(_), SocketAddr::V6(_)) => Err(Failure::HostOther),
        }
    }
}

/// What lives as long as the socket.
struct Link {
    socket: Rc<DatagramSocket>,
    under_way: Rc<RefCell<UnderWay>>,
    changed: Rc<Notify>,
    sizes: Vec<u32>,
    mtu: Option<u32>,
    turn: usize,
    listener: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Sender {
    pub(super) fn new(
        context: Context,
        way: Way,
        limit: Duration,
        window: usize,
        sizes: Sizes,
        first: u32,
    ) -> Self {
        Self { context, way, limit, window, sizes, number: first, buffer: Vec::new(), link: None }
    }

    fn open(&self) -> Result<Link, Failure> {
        let socket = Rc::new(self.way.open(self.context.source)?);
        let mtu = socket.mtu();
        let sizes = match self.sizes {
            Sizes::One(bytes) => vec![bytes],
            Sizes::Sweep => swept(mtu),
        };
        // A mark of its own for each socket: what an earlier run left behind is no echo of this one's.
        let mark = SplitMix64::seed_from_u64(self.context.seed ^ u64::from(self.number)).next_u32();
        let under_way = Rc::new(RefCell::new(UnderWay::new(mark)));
        let changed = Rc::<Notify>::default();
        let listener = Listener {
            context: self.context.clone(),
            socket: Rc::clone(&socket),
            under_way: Rc::clone(&under_way),
            changed: Rc::clone(&changed),
            limit: self.limit,
            device: self.way.target.ip(),
        };
        let listener = tokio::task::spawn_local(listener.run()).abort_handle();
        with(&self.context, |udp| {
            udp.mtu = mtu;
            udp.group = self.way.group;
        });
        Ok(Link { socket, under_way, changed, sizes, mtu, turn: 0, listener })
    }

    /// Sends the next one; what the socket tells of earlier ones is theirs.
    async fn send(&mut self, start: Start) -> Result<(), Failure> {
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let Some(link) = &mut self.link else { return Err(Failure::HostOther) };
        let bytes = link.sizes.get(link.turn % link.sizes.len().max(1)).copied().unwrap_or(64);
        link.turn = link.turn.wrapping_add(1);
        let (socket, under_way) = (Rc::clone(&link.socket), Rc::clone(&link.under_way));
        let packets = packets(bytes, link.mtu);
        write_datagram(&mut self.buffer, under_way.borrow().mark, number, bytes);
        let start = Start { actual: Instant::now(), ..start };
        under_way.borrow_mut().sent(number, Sent { start, bytes, packets, replaced: false });
        loop {
            match socket.send(&self.buffer).await {
                Ok(()) => break,
                Err(failure) if failure.is_host() => {
                    under_way.borrow_mut().take_back(number);
                    return Err(failure);
                }
                // Where this one is the oldest the error is the system's own word on it: no route, say.
                Err(failure) => {
                    let oldest = under_way.borrow_mut().oldest();
                    let Some((of, sent)) = oldest else { return Err(failure) };
                    fail(&self.context, &mut under_way.borrow_mut(), Some(of), sent, failure);
                    if of == number {
                        return Ok(());
                    }
                }
            }
        }
        self.context.recorder.borrow_mut().bytes(u64::from(bytes), 0);
        Ok(())
    }

    /// Waits until fewer than so many are under way.
    async fn wait_below(&self, most: usize) {
        let Some(link) = &self.link else { return };
        loop {
            let changed = link.changed.notified();
            if link.under_way.borrow().waiting.len() < most {
                return;
            }
            changed.await;
        }
    }
}

impl Worker for Sender {
    fn waits_for_answers(&self) -> bool {
        // An attempt has begun when its datagram is sent; what is lost is waited for as well.
        false
    }

    async fn attempt(&mut self, start: Start) -> Outcome {
        if self.link.is_none() {
            match self.open() {
                Ok(link) => self.link = Some(link),
                Err(failure) => {
                    self.context.attempted(start.actual, Err(failure));
                    return Outcome::Failed;
                }
            }
        }
        let window = if start.kind == LoopKind::Open { OPEN_WINDOW } else { self.window };
        if let Err(failure) = self.send(start).await {
            if failure == Failure::HostOther {
                self.context
                    .notice("this system does not send datagrams of that size, or to that address".into());
            }
            self.context.attempted(start.actual, Err(failure));
            return Outcome::Failed;
        }
        self.wait_below(window).await;
        let failed =
            self.link.as_ref().is_some_and(|link| std::mem::take(&mut link.under_way.borrow_mut().failed));
        if failed { Outcome::Failed } else { Outcome::GoOn }
    }

    fn cut(&mut self) -> u64 {
        // Whatever was answered, or lost, before the others is counted.
        self.link.take().map_or(0, |link| link.under_way.borrow().waiting.len() as u64)
    }

    async fn end(&mut self) {
        self.wait_below(1).await;
        // What comes now is late, and not lost.
        if self.link.as_ref().is_some_and(|link| link.under_way.borrow().any_lost) {
            tokio::time::sleep(GRACE).await;
        }
        self.link = None;
    }
}

/// The datagram of that number.
fn datagram(mark: u32, number: u32, bytes: u32) -> Vec<u8> {
    let mut all = Vec::new();
    write_datagram(&mut all, mark, number, bytes);
    all
}

/// The same in a buffer that is used again.
fn write_datagram(all: &mut Vec<u8>, mark: u32, number: u32, bytes: u32) {
    all.clear();
    all.resize(bytes as usize, 0);
    if let Some((head, rest)) = all.split_at_mut_checked(LEAST as usize) {
        head[..4].copy_from_slice(&mark.to_be_bytes());
        head[4..].copy_from_slice(&number.to_be_bytes());
        fill_payload(number, rest);
    }
}

/// The run's mark and number in a datagram; `None` for one that is too short.
fn head(datagram: &[u8]) -> Option<(u32, u32)> {
    let mark = datagram.first_chunk::<4>()?;
    let number = datagram.get(4..)?.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*mark), u32::from_be_bytes(*number)))
}

/// A datagram that is under way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    start: Start,
    bytes: u32,
    packets: u32,
    /// Whether a datagram came that may be its echo with a changed number, or another's in its place: such a one counts for the
    /// first behind those that came back.
    replaced: bool,
}

/// What is under way on one socket, and what became of the rest. Its memory is bounded.
#[derive(Debug)]
struct UnderWay {
    mark: u32,
    waiting: BTreeMap<u32, Sent>,
    /// Whether each of the last ones came back, so that a further echo has a name.
    over: HashMap<u32, Fate>,
    order: VecDeque<u32>,
    /// The highest number that came back.
    highest: Option<u32>,
    /// The last ones that were lost, one after the other.
    run: Option<Run>,
    /// Of what the system dropped, how many losses are accounted for.
    dropped: u64,
    /// Whether any counts as lost: its echo may still come.
    any_lost: bool,
    /// Whether one failed since this was last asked.
    failed: bool,
    /// What the echo that has come should be.
    expected: Vec<u8>,
}

/// Datagrams that were lost one after the other. Their time is up in the order of their numbers, so whatever lies between two
/// losses has come back by then.
#[derive(Clone, Copy, Debug)]
struct Run {
    lost: u64,
    /// Number of the last one.
    last: u32,
    since: Instant,
    until: Instant,
    /// When the next one was sent, where that has come back.
    to: Option<Instant>,
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It was sent then.
    CameBack(Instant),
    /// It counts as lost; it was sent then.
    Lost(Instant),
}

/// What an incoming datagram is.
#[derive(Clone, Copy, Debug)]
enum Echo {
    /// The first echo of one that is under way, and whether a later one came before it.
    Of(Sent, bool),
    /// The same with other bytes than were sent.
    Corrupt(Sent),
    /// A further one.
    Duplicate,
    /// Of one that counts as lost, and was sent then.
    Late(Instant),
    /// None of ours.
    Stranger,
}

impl UnderWay {
    fn new(mark: u32) -> Self {
        Self {
            mark,
            waiting: BTreeMap::new(),
            over: HashMap::new(),
            order: VecDeque::new(),
            highest: None,
            run: None,
            dropped: 0,
            any_lost: false,
            failed: false,
            expected: Vec::new(),
        }
    }

    fn sent(&mut self, number: u32, sent: Sent) {
        self.waiting.insert(number, sent);
    }

    fn take_back(&mut self, number: u32) {
        self.waiting.remove(&number);
    }

    fn oldest(&mut self) -> Option<(u32, Sent)> {
        let (number, sent) = self.waiting.pop_first()?;
        self.settle(number, Fate::Lost(sent.start.actual));
        self.any_lost = true;
        Some((number, sent))
    }

    fn settle(&mut self, number: u32, fate: Fate) {
        if self.over.insert(number, fate).is_none() {
            self.order.push_back(number);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.over.remove(&oldest);
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Echo {
        let Some((mark, number)) = head(bytes) else { return Echo::Stranger };
        let due = if mark == self.mark { self.waiting.get(&number).copied() } else { None };
        let expected = &mut self.expected;
        let whole = due.filter(|sent| {
            write_datagram(expected, mark, number, sent.bytes);
            bytes == *expected
        });
        let Some(sent) = whole else {
            // Where mark or number are changed, the rest tells whose echo it is.
            let changed = self.with_payload_of(bytes).or_else(|| due.map(|_| number));
            if let Some((number, sent)) = changed.and_then(|of| self.waiting.remove_entry(&of)) {
                self.settle(number, Fate::CameBack(sent.start.actual));
                return Echo::Corrupt(sent);
            }
            return self.of_none(mark, number, bytes.len());
        };
        self.waiting.remove(&number);
        self.settle(number, Fate::CameBack(sent.start.actual));
        let ended = self.run.as_mut().filter(|run| run.last.wrapping_add(1) == number);
        ended.into_iter().for_each(|run| run.to = Some(sent.start.actual));
        let reordered = self.highest.is_some_and(|highest| number < highest);
        self.highest = self.highest.max(Some(number));
        Echo::Of(sent, reordered)
    }

    /// Which one under way has that length, and behind its number those bytes.
    fn with_payload_of(&self, bytes: &[u8]) -> Option<u32> {
        /// So many equal bytes are no chance.
        const TELLING: usize = 8;
        // That of an earlier run has the same bytes behind the same number, and hardly one of its mark's.
        let mark = self.mark.to_be_bytes();
        let rest = bytes.get(LEAST as usize..)?;
        if mark.iter().zip(bytes).filter(|(a, b)| a == b).count() < mark.len() / 2 {
            return None;
        }
        let first = rest.first_chunk::<TELLING>()?;
        let mut alike = self.waiting.iter().filter(|(_, sent)| sent.bytes as usize == bytes.len());
        let found = alike.find(|(number, _)| {
            let mut begins = [0; TELLING];
            fill_payload(**number, &mut begins);
            begins == *first && datagram(0, **number, bytes.len() as u32).ends_with(rest)
        });
        found.map(|(number, _)| *number)
    }

    /// One that answers none under way.
    fn of_none(&mut self, mark: u32, number: u32, length: usize) -> Echo {
        let fate = if mark == self.mark { self.over.get_mut(&number) } else { None };
        let echo = match fate {
            Some(fate) => match *fate {
                Fate::Lost(sent) => {
                    *fate = Fate::CameBack(sent);
                    return Echo::Late(sent);
                }
                Fate::CameBack(_) => Echo::Duplicate,
            },
            None => Echo::Stranger,
        };
        // One that is overdue has been lost before, perhaps; what the device sends by itself has other lengths, as a rule.
        let again = matches!(echo, Echo::Duplicate);
        let next = self.highest.map_or(0, |highest| highest.saturating_add(1));
        let mut due = self.waiting.range_mut(next..).filter(|(_, sent)| !sent.replaced);
        if let Some((_, next)) = due.find(|(_, sent)| again || sent.bytes as usize == length) {
            next.replaced = true;
        }
        echo
    }

    /// When the time of the oldest is up.
    fn expiry(&self, limit: Duration) -> Option<Instant> {
        self.waiting.values().next().and_then(|sent| sent.start.actual.checked_add(limit))
    }

    /// The oldest, where its time is up at `now`.
    fn expired(&mut self, now: Instant, limit: Duration) -> Option<(u32, Sent)> {
        let due = self.expiry(limit)?;
        if due > now {
            return None;
        }
        self.oldest()
    }

    /// The one of that number is lost: the run of losses that it ends for now.
    fn lose(&mut self, number: u32, sent: Instant) -> Run {
        let before = self.run.filter(|run| run.last.wrapping_add(1) == number);
        let to = match self.over.get(&number.wrapping_add(1)) {
            Some(Fate::CameBack(sent)) => Some(*sent),
            Some(Fate::Lost(_)) | None => None,
        };
        let run = Run {
            lost: before.map_or(0, |run| run.lost) + 1,
            last: number,
            since: before.map_or(sent, |run| run.since),
            until: sent,
            to,
        };
        *self.run.insert(run)
    }
}

/// Takes what comes in on one socket, until it is dropped.
struct Listener {
    context: Context,
    socket: Rc<DatagramSocket>,
    under_way: Rc<RefCell<UnderWay>>,
    changed: Rc<Notify>,
    limit: Duration,
    device: IpAddr,
}

impl Listener {
    async fn run(self) {
        /// Nothing is under way: whatever is sent next wakes this up in time.
        const IDLE: Duration = Duration::from_millis(250);
        let mut buffer = vec![0; 65_536];
        loop {
            let idle = Instant::now() + IDLE.min(self.limit);
            let expiry = self.under_way.borrow().expiry(self.limit).unwrap_or(idle);
            tokio::select! {
                biased;
                received = self.socket.receive(&mut buffer) => {
                    self.take(received, &buffer);
                    self.expire(Instant::now().checked_sub(GRACE));
                }
                () = tokio::time::sleep_until(expiry.into()) => {
                    // What has come in is no loss, however late this program looks at it.
                    for _ in 0..OPEN_WINDOW {
                        let Some(received) = self.socket.received(&mut buffer) else { break };
                        self.take(received, &buffer);
                    }
                    self.expire(Some(Instant::now()));
                }
            }
        }
    }

    fn expire(&self, now: Option<Instant>) {
        let Some(now) = now else { return };
        loop {
            let expired = self.under_way.borrow_mut().expired(now, self.limit);
            let Some((number, sent)) = expired else { return };
            let mut under_way = self.under_way.borrow_mut();
            let dropped = self.socket.dropped().unwrap_or(0) > under_way.dropped;
            if dropped {
                under_way.dropped += 1;
                with(&self.context, |udp| udp.dropped_here += 1);
            }
            let failure = if dropped { Failure::HostOther } else { Failure::DatagramLost };
            fail(&self.context, &mut under_way, Some(number), sent, failure);
            drop(under_way);
            self.changed.notify_one();
        }
    }

    fn take(&self, received: Received, buffer: &[u8]) {
        let n = match received {
            Received::Datagram { bytes, from } => match from.filter(|from| *from != self.device) {
                Some(other) => return self.other_member(other, buffer.get(..bytes).unwrap_or_default()),
                None => bytes,
            },
            Received::Failure(failure) => {
                let mut under_way = self.under_way.borrow_mut();
                if let Some((number, sent)) = under_way.oldest() {
                    fail(&self.context, &mut under_way, Some(number), sent, failure);
                }
                drop(under_way);
                self.changed.notify_one();
                return;
            }
        };
        let bytes = buffer.get(..n).unwrap_or_default();
        self.context.recorder.borrow_mut().bytes(0, n as u64);
        let echo = self.under_way.borrow_mut().take(bytes);
        match echo {
            Echo::Of(sent, reordered) => self.echoed(sent, reordered),
            Echo::Corrupt(sent) => {
                with(&self.context, |udp| udp.corrupt += 1);
                fail(&self.context, &mut self.under_way.borrow_mut(), None, sent, Failure::CorruptPayload);
            }
            Echo::Duplicate => with(&self.context, |udp| udp.duplicates += 1),
            Echo::Late(sent) => with(&self.context, |udp| {
                udp.late += 1;
                udp.came_back(self.context.clock.at_ns(sent) / 1_000);
            }),
            Echo::Stranger => with(&self.context, |udp| udp.strangers += 1),
        }
        self.changed.notify_one();
    }

    /// Another member of the group has answered, or somebody else has sent something.
    fn other_member(&self, from: IpAddr, bytes: &[u8]) {
        let mark = self.under_way.borrow().mark;
        let is_ours = |(of, number)| of == mark && bytes == datagram(mark, number, bytes.len() as u32);
        with(&self.context, |udp| {
            if head(bytes).is_some_and(is_ours) {
                udp.answered_by(from);
            } else {
                udp.strangers += 1;
            }
        });
    }

    fn echoed(&self, sent: Sent, reordered: bool) {
        let context = &self.context;
        let at = sent.start.actual;
        // It is behind a run of losses.
        let run = self.under_way.borrow().run.filter(|run| run.to == Some(at));
        with(context, |udp| {
            run.into_iter().for_each(|run| udp.note_run(in_figures(context, run)));
            udp.sent += 1;
            udp.echoed += 1;
            udp.reordered += u64::from(reordered);
            udp.came_back(context.clock.at_ns(sent.start.actual) / 1_000);
            let row = udp.of_size(sent.bytes, sent.packets);
            row.sent += 1;
            row.echoed += 1;
        });
        context.attempted(sent.start.actual, Ok(()));
        let actual = context.since_ns(sent.start.actual);
        let mut recorder = context.recorder.borrow_mut();
        recorder.goodput(u64::from(sent.bytes));
        match sent.start.kind {
            LoopKind::Closed => recorder.latency(Phase::RoundTrip, actual),
            LoopKind::Open => {
                recorder.latency_pair(Phase::RoundTrip, context.since_ns(sent.start.intended), actual);
            }
        }
    }
}

/// One did not come back, or not as it was sent.
fn fail(context: &Context, under_way: &mut UnderWay, number: Option<u32>, sent: Sent, failure: Failure) {
    under_way.failed = true;
    // One in whose place another came is perhaps not lost at all.
    let number = number.filter(|_| failure == Failure::DatagramLost && !sent.replaced);
    let run = number.map(|number| under_way.lose(number, sent.start.actual));
    with(context, |udp| {
        run.into_iter().for_each(|run| udp.note_run(in_figures(context, run)));
        udp.sent += 1;
        udp.unreachable += u64::from(failure == Failure::PortUnreachable);
        let lost = failure == Failure::DatagramLost;
        udp.lost += u64::from(lost);
        udp.replaced += u64::from(lost && sent.replaced);
        if lost || failure == Failure::PortUnreachable {
            udp.stayed_away(context.clock.at_ns(sent.start.actual) / 1_000);
        }
        let row = udp.of_size(sent.bytes, sent.packets);
        row.sent += 1;
        row.lost += u64::from(lost);
    });
    context.attempted(sent.start.actual, Err(failure));
}

/// A run of losses as the report has it.
fn in_figures(context: &Context, run: Run) -> LostRun {
    let us = |at| context.clock.at_ns(at) / 1_000;
    LostRun { lost: run.lost, since_us: us(run.since), until_us: us(run.until), to_us: run.to.map(us) }
}

fn with(context: &Context, change: impl FnOnce(&mut Datagrams)) {
    change(context.recorder.borrow_mut().by_protocol().udp.get_or_insert_default());
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
