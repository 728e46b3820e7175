//! What only some protocols and runs have to tell: one record each, from the workload to the report.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The figures that belong to one protocol alone, and what few workloads have to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ByProtocol {
    /// UDP: what became of the datagrams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<Datagrams>,
    /// WebSocket: handshakes, pings and closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSockets>,
    /// Server-sent events: streams, their ends and their silences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sse: Option<EventStreams>,
    /// Clients that are slow on purpose (`--read-rate`, `--send-rate`), and how others fared meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow: Option<SlowClients>,
    /// Clients that say nothing before their first request (`--silent-before`), and how others fared meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_before: Option<SilentClients>,
    /// Answers of `rw` that came behind those to later requests on the same connection: they had counted as passed over.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub out_of_order: u64,
    /// Times of a second and more in which requests waited and none was answered, until one was; null where there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standstills: Option<Standstills>,
    /// Answers of `rw` that the device had given before on the same connection, byte for byte: no request failed by them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
}

impl ByProtocol {
    /// The greatest of its counts: a damaged record is known by it.
    #[must_use]
    pub fn most(&self) -> u64 {
        let udp = self.udp.as_ref().map_or(0, Datagrams::most);
        let sse = self.sse.as_ref().map_or(0, EventStreams::most);
        let slow = self.slow.as_ref().map_or(0, SlowClients::most);
        let silent = self.silent_before.as_ref().map_or(0, SilentClients::most);
        let websocket = self.websocket.as_ref().map_or(0, WebSockets::most);
        let still = self.standstills.map_or(0, |still| still.times);
        [udp, websocket, sse, slow, silent, self.out_of_order, self.repeated, still]
            .into_iter()
            .max()
            .unwrap_or(0)
    }
}

/// Times in which requests waited, of any workload, and none was answered and none failed, until one of this workload's was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Standstills {
    /// How many there were.
    pub times: u64,
    /// When the longest began, microseconds since the start of the run.
    pub longest_since_us: u64,
    /// When it ended.
    pub longest_to_us: u64,
}

impl Standstills {
    /// Shorter ones do not count, nanoseconds.
    pub const LEAST_NS: u64 = 1_000_000_000;

    /// Another one, nanoseconds since the start of the run.
    pub fn note(&mut self, since_ns: u64, to_ns: u64) {
        self.times += 1;
        if to_ns.saturating_sub(since_ns) / 1_000 > self.longest_us() {
            (self.longest_since_us, self.longest_to_us) = (since_ns / 1_000, to_ns / 1_000);
        }
    }

    /// How long the longest was, microseconds.
    #[must_use]
    pub const fn longest_us(&self) -> u64 {
        self.longest_to_us.saturating_sub(self.longest_since_us)
    }
}

/// Clients that are slow on purpose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SlowClients {
    /// Slow clients that were served to the end.
    pub served: u64,
    /// Slow clients that the device gave up: by a status, a FIN or a RST.
    pub given_up: u64,
    /// Those of them that it told so, by the status.
    pub given_up_by_status: BTreeMap<u16, u64>,
    /// The first slow clients, each with what other workloads met meanwhile; at most 64.
    pub spans: Vec<SlowSpan>,
}

impl SlowClients {
    /// Keeps what happened beside a slow client, where there is room.
    pub fn note(&mut self, span: SlowSpan) {
        span.keep_in(&mut self.spans);
    }

    fn most(&self) -> u64 {
        let told = self.given_up_by_status.values().copied();
        let spans = self.spans.iter().map(|span| span.others_served);
        told.chain(spans).chain([self.served, self.given_up]).max().unwrap_or(0)
    }
}

/// Clients that say nothing before their first request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SilentClients {
    /// The first silences that the client ended, each with what other workloads met meanwhile; at most 64.
    pub spans: Vec<SlowSpan>,
}

impl SilentClients {
    /// Keeps what happened beside a silent client, where there is room.
    pub fn note(&mut self, span: SlowSpan) {
        span.keep_in(&mut self.spans);
    }

    fn most(&self) -> u64 {
        self.spans.iter().map(|span| span.others_served).max().unwrap_or(0)
    }
}

/// The time of a slow or silent client or of an event stream, and what other workloads met in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SlowSpan {
    /// How long it was, milliseconds: from the first byte of the request, or of the response that is read slowly, to the
    /// end; of a silence before the request, from the handshake to the request.
    pub length_ms: u64,
    /// Attempts of other workloads that were served in it.
    pub others_served: u64,
    /// The longest time in it in which attempts of other workloads waited and none was served, milliseconds; null where no
    /// other asked in its second half.
    pub others_waited_ms: Option<u64>,
    /// How long attempts of other workloads that were still under way at its end had waited in it by then, while none was
    /// served, milliseconds; null where none was under way.
    #[serde(default)]
    pub others_waiting_ms: Option<u64>,
    /// When the last of them was served, milliseconds from its begin; null where none was.
    #[serde(default)]
    pub others_served_until_ms: Option<u64>,
}

impl SlowSpan {
    /// Spans of a workload that are kept.
    const MOST: usize = 64;

    /// One more of a workload, where there is room.
    fn keep_in(self, spans: &mut Vec<Self>) {
        if spans.len() < Self::MOST {
            spans.push(self);
        }
    }
}

/// What WebSocket connections told beside their messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebSockets {
    /// Handshakes that were completed.
    pub handshakes: u64,
    /// Handshakes that the device answered otherwise: by another status than 101, or wrongly.
    pub refused: u64,
    /// Pings sent to the device.
    pub pings: u64,
    /// Those answered by a pong (RFC 6455, 5.5.3).
    pub pongs: u64,
    /// Pings from the device, each answered.
    pub pings_from_device: u64,
    /// Messages from the device that are no echo.
    pub pushed: u64,
    /// Messages that were not sent back in time, while such others came on the same connection.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub passed_over: u64,
    /// Connections that the device closed, by the name of its close code (RFC 6455, 7.4.1); `no_close_frame` where it closed
    /// without one.
    pub closes: BTreeMap<String, u64>,
    /// Of this machine's close frames, those that the device did not answer by its own (RFC 6455, 5.5.1).
    pub close_unanswered: u64,
    /// Connections on which the device sent what RFC 6455 does not allow, by what it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub violations: BTreeMap<String, u64>,
}

impl WebSockets {
    fn most(&self) -> u64 {
        let pushed = self.pushed.max(self.passed_over);
        let all = [self.handshakes, self.refused, self.pings, self.pongs, self.pings_from_device, pushed];
        let named = self.closes.values().chain(self.violations.values()).copied();
        all.into_iter().chain([self.close_unanswered]).chain(named).max().unwrap_or(0)
    }
}

/// What event streams brought, and how they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EventStreams {
    /// Streams that opened: status 200 and the right type.
    pub streams: u64,
    /// Requests answered by another status than 200.
    pub refused: u64,
    /// Requests answered by 200 with another type than text/event-stream.
    pub wrong_type: u64,
    /// The first of these types, empty where there was none; null where no type was wrong.
    pub wrong_type_seen: Option<String>,
    /// Events received.
    pub events: u64,
    /// Comment lines, which servers send to keep a stream open.
    pub comments: u64,
    /// Streams that the device ended in order, after an event at least.
    pub ended: u64,
    /// The same before any event.
    pub ended_empty: u64,
    /// Streams that ended by FIN in the middle of a chunk or of an event, or before their Content-Length.
    pub cut: u64,
    /// Streams that the device reset.
    pub reset: u64,
    /// Streams on which nothing came within the read time-out that the user set.
    pub silent: u64,
    /// Streams given up because one event grew beyond 1 MiB, or because the chunks were wrong.
    pub broken: u64,
    /// Streams that ended with an event half sent.
    pub unfinished: u64,
    /// The reconnection time that the device asked for last (`retry`), milliseconds; null where it asked for none.
    pub retry_ms: Option<u64>,
    /// Longest time without an event on a stream, microseconds: from the open stream or the last event to the next one, or to
    /// the end of the stream or the run. Null where no stream opened.
    pub longest_gap_us: Option<u64>,
    /// Longest time without any byte on a stream, microseconds: comments count as bytes. Null where no stream opened.
    pub longest_silence_us: Option<u64>,
    /// The first streams, each with what other workloads met meanwhile; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<SlowSpan>,
}

impl EventStreams {
    /// Keeps what happened beside a stream, where there is room.
    pub fn note(&mut self, span: SlowSpan) {
        span.keep_in(&mut self.spans);
    }

    fn most(&self) -> u64 {
        let opened = [self.streams, self.refused, self.wrong_type, self.events, self.comments];
        let ended = [self.ended, self.ended_empty, self.cut, self.reset, self.silent, self.broken];
        let spans = self.spans.iter().map(|span| span.others_served);
        opened.into_iter().chain(ended).chain([self.unfinished]).chain(spans).max().unwrap_or(0)
    }
}

/// What became of numbered datagrams that a device should send back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Datagrams {
    /// Datagrams sent whose fate is known.
    pub sent: u64,
    /// Those that came back in time and unchanged.
    pub echoed: u64,
    /// Those that did not come back in time, whatever dropped them between this machine and the device's program.
    pub lost: u64,
    /// Of the lost ones, those that came back later.
    pub late: u64,
    /// Echoes of a datagram that had come back already.
    pub duplicates: u64,
    /// Echoes that came after the echo of a later datagram (RFC 4737, 3.3).
    pub reordered: u64,
    /// Echoes with a wrong length or wrong bytes.
    pub corrupt: u64,
    /// Datagrams from the device that are no echo.
    pub strangers: u64,
    /// Of the lost ones, those in whose place another datagram came: an echo that had come already, or a datagram of the
    /// same length that is no echo.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub replaced: u64,
    /// ICMP port unreachable messages: nothing listens on the port.
    pub unreachable: u64,
    /// Echoes that this machine dropped because its receive buffer was full. They count against nobody else.
    pub dropped_here: u64,
    /// When the last of those that came back was sent, microseconds since the start of the run; null where none did.
    #[serde(default)]
    pub echoed_until_us: Option<u64>,
    /// Datagrams that did not come back, with none after them that did.
    pub silent: u64,
    /// When the first of these was sent, microseconds since the start of the run; null where there is none.
    pub silent_since_us: Option<u64>,
    /// The same for the last of these.
    pub silent_until_us: Option<u64>,
    /// The longest run of datagrams that were lost one after the other on a socket; null where none was lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_run: Option<LostRun>,
    /// The longest time in the order of sending in which none that was sent came back, on whatever socket, between two that
    /// did; null where fewer than two came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_gap: Option<EchoGap>,
    /// Largest IP packet that this machine sends to the device in one piece, bytes; null where the system does not tell.
    pub mtu: Option<u32>,
    /// The same for each size, in the order of sizes.
    pub sizes: Vec<DatagramSize>,
    /// The multicast group that the datagrams went to; null where they went to the device's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Ipv4Addr>,
    /// Echoes from other members of the group, by address; at most 32 members. They count nowhere else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_members: BTreeMap<IpAddr, u64>,
    /// Echoes from further members.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beyond_members: u64,
}

/// Datagrams that were lost one after the other, in the order in which a socket sent them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LostRun {
    /// How many.
    pub lost: u64,
    /// When the first of them was sent, microseconds since the start of the run.
    pub since_us: u64,
    /// The same for the last of them.
    pub until_us: u64,
    /// The same for the next one, which came back; null where that is not known.
    pub to_us: Option<u64>,
}

/// A time in which no datagram was sent that came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EchoGap {
    /// When the one before it was sent, microseconds since the start of the run.
    pub since_us: u64,
    /// The same for the one after it.
    pub to_us: u64,
}

impl EchoGap {
    /// The longer of two.
    const fn or(self, other: Self) -> Self {
        if other.to_us.saturating_sub(other.since_us) > self.to_us.saturating_sub(self.since_us) {
            other
        } else {
            self
        }
    }
}

impl LostRun {
    /// How long each one that was sent was lost, microseconds, at least.
    #[must_use]
    pub const fn length_us(&self) -> u64 {
        self.until_us.saturating_sub(self.since_us)
    }
}

impl Datagrams {
    /// Keeps the longest run: this one goes on, or is another.
    pub fn note_run(&mut self, run: LostRun) {
        let replaces = |known: LostRun| {
            known.since_us == run.since_us || (known.length_us(), known.lost) < (run.length_us(), run.lost)
        };
        if self.longest_run.is_none_or(replaces) {
            self.longest_run = Some(run);
        }
    }

    /// Datagrams that were lost or not: no ICMP message answered them.
    #[must_use]
    pub const fn at_stake(&self) -> u64 {
        self.sent.saturating_sub(self.unreachable)
    }

    /// The share of those that was lost, 0 to 1; `None` where there was none.
    #[must_use]
    pub fn loss(&self) -> Option<f64> {
        (self.at_stake() > 0).then(|| self.lost as f64 / self.at_stake() as f64)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What became of the datagrams of one size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DatagramSize {
    /// Bytes of a datagram's payload.
    pub bytes: u32,
    /// IP packets that one takes on its way to the device.
    pub packets: u32,
    /// Datagrams sent whose fate is known.
    pub sent: u64,
    /// Those that came back in time and unchanged.
    pub echoed: u64,
    /// Those that did not come back in time.
    pub lost: u64,
}

impl Datagrams {
    /// Members that are told apart.
    const MEMBERS: usize = 32;

    /// Another member of the group has sent a datagram back.
    pub fn answered_by(&mut self, member: IpAddr) {
        let has_room = self.other_members.len() < Self::MEMBERS;
        match self.other_members.get_mut(&member) {
            Some(count) => *count += 1,
            None if has_room => drop(self.other_members.insert(member, 1)),
            None => self.beyond_members += 1,
        }
    }

    /// The row of this size, made when it is first asked for.
    pub fn of_size(&mut self, bytes: u32, packets: u32) -> &mut DatagramSize {
        let at = match self.sizes.binary_search_by_key(&bytes, |row| row.bytes) {
            Ok(at) => at,
            Err(at) => {
                self.sizes.insert(at, DatagramSize { bytes, packets, ..DatagramSize::default() });
                at
            }
        };
        &mut self.sizes[at]
    }

    /// The size up to which datagrams come back, and the next larger one tried, where not one of that size or above came
    /// back.
    #[must_use]
    pub fn limit(&self) -> Option<(DatagramSize, DatagramSize)> {
        let last = self.sizes.iter().rposition(|row| row.echoed > 0)?;
        Some((*self.sizes.get(last)?, *self.sizes.get(last + 1)?))
    }

    /// One that was sent at this time, microseconds since the start of the run, came back, however late.
    pub fn came_back(&mut self, sent_us: u64) {
        let known = self.longest_gap;
        match (self.echoed_until_us, known) {
            (Some(since_us), _) if sent_us > since_us => {
                let gap = EchoGap { since_us, to_us: sent_us };
                self.longest_gap = Some(known.map_or(gap, |known| known.or(gap)));
            }
            // It was sent in that time and took longer than the next one.
            (_, Some(gap)) if sent_us > gap.since_us && sent_us < gap.to_us => {
                let (first, second) =
                    (EchoGap { to_us: sent_us, ..gap }, EchoGap { since_us: sent_us, ..gap });
                self.longest_gap = Some(first.or(second));
            }
            _ => {}
        }
        self.echoed_until_us = self.echoed_until_us.max(Some(sent_us));
        if self.silent_since_us.is_some_and(|since| sent_us >= since) {
            (self.silent, self.silent_since_us, self.silent_until_us) = (0, None, None);
        }
    }

    /// One that was sent at this time did not, as is known by now: those that were sent after it may have come back long ago.
    pub fn stayed_away(&mut self, sent_us: u64) {
        if self.echoed_until_us.is_some_and(|until| sent_us <= until) {
            return;
        }
        self.silent += 1;
        self.silent_since_us = Some(self.silent_since_us.map_or(sent_us, |since| since.min(sent_us)));
        self.silent_until_us = self.silent_until_us.max(Some(sent_us));
    }

    fn most(&self) -> u64 {
        let rows = self.sizes.iter().flat_map(|row| [row.sent, row.echoed, row.lost]);
        let all =
            [self.sent, self.echoed, self.lost, self.late, self.duplicates, self.reordered, self.corrupt];
        let more = [self.strangers, self.replaced, self.unreachable, self.dropped_here];
        let members = self.other_members.values().copied().chain([self.beyond_members]);
        let members = members.chain(self.longest_run.map(|run| run.lost));
        all.into_iter().chain(more).chain(rows).chain(members).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_without_an_echo_goes_by_the_order_of_sending() {
        let gap = |sent: &[u64]| {
            let mut udp = Datagrams::default();
            sent.iter().for_each(|us| udp.came_back(*us));
            udp.longest_gap.map(|gap| (gap.since_us, gap.to_us))
        };
        assert_eq!((gap(&[]), gap(&[10])), (None, None));
        assert_eq!(gap(&[10, 20, 50, 60]), Some((20, 50)));
        assert_eq!(gap(&[10, 50, 60, 40]), Some((10, 40)), "one in between took longer");
        assert_eq!(gap(&[10, 50, 60, 20]), Some((20, 50)));
        assert_eq!(gap(&[10, 50, 5, 70]), Some((10, 50)), "one before it took longer");
    }

    #[test]
    fn sizes_are_in_order_and_the_limit_lies_behind_the_last_that_came_back() {
        let mut datagrams = Datagrams::default();
        for (bytes, echoed) in [(4_096, 0), (64, 3), (1_472, 2), (1_473, 0)] {
            let row = datagrams.of_size(bytes, 1);
            (row.sent, row.echoed) = (3, echoed);
        }
        let sizes: Vec<u32> = datagrams.sizes.iter().map(|row| row.bytes).collect();
        assert_eq!(sizes, [64, 1_472, 1_473, 4_096]);
        let limit = datagrams.limit().map(|(up_to, from)| (up_to.bytes, from.bytes));
        assert_eq!(limit, Some((1_472, 1_473)));
        assert_eq!(Datagrams::default().limit(), None);
    }

    #[test]
    fn losses_that_become_known_after_later_echoes_are_no_silence() {
        let mut datagrams = Datagrams::default();
        datagrams.stayed_away(10);
        datagrams.stayed_away(30);
        datagrams.came_back(20);
        assert_eq!((datagrams.silent, datagrams.silent_since_us), (0, None));
        datagrams.stayed_away(40);
        datagrams.came_back(35);
        assert_eq!((datagrams.silent, datagrams.silent_since_us), (1, Some(40)));
        // In an open loop the time-out of one passes after many echoes of later ones.
        datagrams.came_back(90);
        (50..60).for_each(|sent_us| datagrams.stayed_away(sent_us));
        assert_eq!((datagrams.silent, datagrams.silent_since_us), (0, None));
    }
}
