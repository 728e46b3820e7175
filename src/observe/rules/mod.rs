//! The anomalies, each a small pure function of a connection, a segment, or a deadline that has passed.
//!
//! In these pages T is the device, C the host. A rule sees the connection as it was before the segment and
//! changes nothing. Where packets are missing from the capture, a rule that could be fooled by that says
//! so instead of firing.
//!
//! **One RST, one name.** `late_rst`, `rst_after_fin`, `abortive_close`, `rst_after_handshake`: the first of
//! them that fits names the first RST of a connection. `rst_storm` and `rst_bad_seq` may come on top.
//!
//! **What is shown.** Facts, not fault, which `diagnose` decides: `Prompted` where C itself had reset the connection or had
//! fallen silent on it; `OnTheWay` where losses or copies on the way may have led to it; else `Unprompted`.
//!
//! **Time.** The capture is made on C, so that C's segments are seen before the link has carried them and
//! T's after: a T segment seen less than a round trip after a C segment may not have known of it.

mod catalogue;
mod close;
mod handshake;
mod path;
mod reset;
mod stall;

use espstress_event::{AnomalyId, Answered, Direction, RequestFate, Shown};
use espstress_wire::{Flags, Segment};

use super::flow::{Chain, Ending, Facts, Flow, Kind, Stage};

pub use catalogue::{CatalogueEntry, Needs, catalogue};

/// What a rule found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) id: AnomalyId,
    pub(crate) shows: Shown,
    pub(crate) direction: Direction,
    pub(crate) at: i64,
    pub(crate) lasted: i64,
    pub(crate) answers: Option<Answered>,
    pub(crate) after_fin: Option<i64>,
    pub(crate) request: Option<RequestFate>,
    /// For a silence: how many copies would have to be lost for it.
    pub(crate) copies: Option<u32>,
    pub(crate) remark: Option<&'static str>,
}

/// Where the packets come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// A run that is going on.
    #[default]
    Run,
    /// A file.
    File,
}

/// Why a rule could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    /// The watch, or the capture file, ended before the deadline.
    WatchTooShort,
    /// The connection began before the capture.
    BeganBefore,
    /// Packets of the connection are missing from the capture.
    PacketsMissing,
    /// It made room for others in the table.
    Evicted,
}

impl Obstacle {
    pub(crate) const ALL: [Self; 4] =
        [Self::WatchTooShort, Self::BeganBefore, Self::PacketsMissing, Self::Evicted];

    /// In words, with what would have helped.
    pub(crate) const fn in_words(self, source: Source) -> &'static str {
        match (self, source) {
            (Self::WatchTooShort, Source::Run) => {
                "the watch ended before the time that this needs had passed; a longer --watch would tell"
            }
            (Self::WatchTooShort, Source::File) => {
                "the capture ends before the time that this needs has passed"
            }
            (Self::BeganBefore, _) => "the connection began before the capture did",
            (Self::PacketsMissing, _) => "packets of the connection are missing from the capture",
            (Self::Evicted, _) => "more connections were open at once than are followed",
        }
    }
}

/// What a rule says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ruling {
    /// It fires.
    Fires(Verdict),
    /// It might, but the capture cannot tell.
    CannotTell(AnomalyId, Obstacle),
}

/// The times that rules allow, nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    pub(crate) syn: i64,
    pub(crate) zero_window: i64,
    pub(crate) linger: i64,
}

impl Deadlines {
    pub(crate) const fn of(&self, chain: Chain) -> i64 {
        match chain {
            Chain::Syn => self.syn,
            Chain::Window => self.zero_window,
            Chain::Linger => self.linger,
            Chain::Live | Chain::Settled => i64::MAX,
        }
    }
}

/// What the capture as a whole has shown of the path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PathSigns {
    /// Packets that the path copied, or held up until others had overtaken them.
    pub(crate) astray: u64,
    /// Segments of the device that were sent again, or after which something was missing.
    pub(crate) device_losses: u64,
}

/// A segment and what is known when it comes.
pub(crate) struct Scene<'a> {
    /// The connection before it.
    pub(crate) flow: &'a Flow,
    pub(crate) segment: &'a Segment,
    pub(crate) facts: &'a Facts,
    /// The observer's count of capture gaps.
    pub(crate) gaps: u32,
    pub(crate) path: PathSigns,
}

impl Scene<'_> {
    /// A verdict on this segment.
    fn verdict(&self, id: AnomalyId, shows: Shown) -> Verdict {
        let from_device = self.facts.from == Direction::FromDevice;
        let fin = self.flow.device.fin.filter(|_| from_device);
        Verdict {
            id,
            shows,
            direction: self.facts.from,
            at: self.facts.at,
            lasted: 0,
            answers: self.answers().filter(|_| from_device),
            after_fin: fin.map(|f| self.facts.at.saturating_sub(f.first_at)),
            request: from_device.then(|| self.request_fate()),
            copies: None,
            remark: None,
        }
    }

    /// How far the host's request has come as this segment of the device's arrives.
    fn request_fate(&self) -> RequestFate {
        let host = &self.flow.host;
        if host.payload_at.is_none() {
            return RequestFate::NotSent;
        }
        let covers = |ack: Option<u32>| {
            host.space.next().zip(ack).is_some_and(|(next, ack)| !super::flow::before(ack, next))
        };
        if covers(self.flow.device.ack) {
            let since = self.flow.request_acked_at.map_or(0, |at| self.facts.at.saturating_sub(at));
            return RequestFate::Acknowledged(since);
        }
        let says = self.segment.flags.has(Flags::ACK).then_some(self.segment.ack);
        if covers(says) { RequestFate::Acknowledged(0) } else { RequestFate::Unacknowledged }
    }

    /// What the device's segment answers. A RST for data names the end of that data in its ack (RFC 9293, 3.10.7.1),
    /// also when the host's FIN has left meanwhile.
    fn answers(&self) -> Option<Answered> {
        let last = self.flow.host_last;
        let fin = self.flow.host.fin.map(|fin| fin.seq);
        let of_data = last == Some(Answered::Fin)
            && self.segment.flags.has(Flags::RST)
            && self.segment.flags.has(Flags::ACK)
            && fin == Some(self.segment.ack)
            && self.flow.host.payload_at > self.flow.device.fin.map(|fin| fin.first_at);
        if of_data { Some(Answered::Payload) } else { last }
    }

    /// A verdict against the device, or, where C's own packets explain it, not.
    fn of_device(&self, id: AnomalyId) -> Verdict {
        match self.host_caused() {
            Some(remark) => Verdict { remark: Some(remark), ..self.verdict(id, Shown::Prompted) },
            None => self.verdict(id, Shown::Unprompted),
        }
    }

    /// The part that C's own packets had in what comes now.
    fn host_caused(&self) -> Option<&'static str> {
        if self.flow.host.resets > 0 && self.flow.stage == Stage::Open {
            return Some("the host had reset the connection");
        }
        self.flow
            .host_is_silent(self.facts.at)
            .then_some("the host had left the device's probes or repetitions unanswered")
    }

    /// Whether packets of this connection are missing from the capture.
    fn incomplete(&self) -> bool {
        self.flow.incomplete(self.gaps)
    }

    /// Fires, unless missing packets could be the reason.
    fn unless_incomplete(&self, verdict: Verdict) -> Ruling {
        if self.incomplete() {
            Ruling::CannotTell(verdict.id, Obstacle::PacketsMissing)
        } else {
            Ruling::Fires(verdict)
        }
    }

    fn device_sends(&self, kind: Kind) -> bool {
        self.facts.from == Direction::FromDevice && self.facts.kind == kind
    }

    const fn reset_by_host(&self) -> bool {
        matches!(self.flow.ended, Some((_, Ending::Reset(Direction::FromHost))))
    }
}

type SegmentRule = fn(&Scene<'_>) -> Option<Ruling>;

const ON_DEVICE_RESET: [SegmentRule; 5] = [
    handshake::syn_refused,
    reset::first_reset,
    reset::rst_storm,
    reset::rst_bad_seq,
    close::post_run_chatter,
];
const ON_DEVICE_SEGMENT: [SegmentRule; 10] = [
    handshake::timewait_collision,
    handshake::dial_collision,
    handshake::challenge_ack,
    close::closed_unserved,
    close::fin_retransmission,
    close::data_after_fin,
    close::post_run_chatter,
    path::retransmission,
    path::duplicate_ack,
    path::out_of_order,
];
const ON_HOST_SEGMENT: [SegmentRule; 3] = [path::retransmission, path::duplicate_ack, path::out_of_order];

/// Asks every rule that a segment can concern, before the connection has taken it in.
pub(crate) fn on_segment(scene: &Scene<'_>, mut told: impl FnMut(Ruling)) {
    let rules: &[SegmentRule] = match (scene.facts.from, scene.facts.kind) {
        (Direction::FromDevice, Kind::Reset) => &ON_DEVICE_RESET,
        (Direction::FromDevice, _) => &ON_DEVICE_SEGMENT,
        (Direction::FromHost, Kind::Ordinary) => &ON_HOST_SEGMENT,
        (Direction::FromHost, _) => &[],
    };
    for rule in rules {
        if let Some(ruling) = rule(scene) {
            told(ruling);
        }
    }
}

/// Asks the rules that count answers, after the connection has taken a host's segment in.
pub(crate) fn after_host_segment(scene: &Scene<'_>) -> Option<Ruling> {
    close::fin_duel(scene)
}

/// A deadline has passed at `deadline` without a packet; `since` is when its wait began.
pub(crate) fn on_deadline(flow: &Flow, chain: Chain, since: i64, deadline: i64, gaps: u32) -> Option<Ruling> {
    let verdict = match chain {
        Chain::Syn => handshake::syn_unanswered(flow, deadline),
        Chain::Linger => Some(close::half_closed_linger(flow, since, deadline)),
        Chain::Window | Chain::Live | Chain::Settled => None,
    }?;
    Some(unless_missing(flow, verdict, gaps))
}

/// The device's window, shut since `since` and for longer than its deadline, is open again at `until`, or the
/// connection has ended, or the capture has.
pub(crate) fn on_stall(flow: &Flow, since: i64, until: i64, gaps: u32) -> Ruling {
    unless_missing(flow, stall::zero_window_stall(flow, since, until), gaps)
}

fn unless_missing(flow: &Flow, verdict: Verdict, gaps: u32) -> Ruling {
    if flow.incomplete(gaps) {
        Ruling::CannotTell(verdict.id, Obstacle::PacketsMissing)
    } else {
        Ruling::Fires(verdict)
    }
}

/// Nothing more will come of this connection: asks the rules that judge by that, and those whose deadline
/// is still to come.
pub(crate) fn on_end(flow: &Flow, gaps: u32, why: Obstacle, mut told: impl FnMut(Ruling)) {
    match stall::no_ack_to_data(flow) {
        Some(Ruling::Fires(v)) if flow.incomplete(gaps) => {
            told(Ruling::CannotTell(v.id, Obstacle::PacketsMissing));
        }
        Some(ruling) => told(ruling),
        None => {}
    }
    for (chain, id) in [
        (Chain::Syn, AnomalyId::SynUnanswered),
        (Chain::Window, AnomalyId::ZeroWindowStall),
        (Chain::Linger, AnomalyId::HalfClosedLinger),
    ] {
        if flow.wait(chain).is_some() && !flow.has_told(id) {
            told(Ruling::CannotTell(id, why));
        }
    }
}
