//! What packets can show: the catalogue's ids, and one occurrence of an anomaly as the wire saw it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Remark on a stray ACK where nobody knows whether the connection before was in TIME-WAIT or had never ended.
pub const END_NOT_SEEN: &str = "suspected: the previous connection was not seen to end";

/// An anomaly's public name. Definitions, near misses and precedence are in `observe::rules`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each id is defined, at length, beside its rule in `observe::rules`")]
pub enum AnomalyId {
    SynRefused,
    SynUnanswered,
    TimewaitCollision,
    DialCollision,
    RstAfterHandshake,
    ClosedUnserved,
    AbortiveClose,
    RstAfterFin,
    LateRst,
    RstStorm,
    RstBadSeq,
    FinRetransmission,
    FinDuel,
    DataAfterFin,
    ChallengeAck,
    NoAckToData,
    ZeroWindowStall,
    HalfClosedLinger,
    Retransmission,
    DuplicateAck,
    OutOfOrder,
    PostRunChatter,
}

impl AnomalyId {
    /// Every id, in the order of reports.
    pub const ALL: [Self; 22] = [
        Self::SynRefused,
        Self::SynUnanswered,
        Self::TimewaitCollision,
        Self::DialCollision,
        Self::RstAfterHandshake,
        Self::ClosedUnserved,
        Self::AbortiveClose,
        Self::RstAfterFin,
        Self::LateRst,
        Self::RstStorm,
        Self::RstBadSeq,
        Self::FinRetransmission,
        Self::FinDuel,
        Self::DataAfterFin,
        Self::ChallengeAck,
        Self::NoAckToData,
        Self::ZeroWindowStall,
        Self::HalfClosedLinger,
        Self::Retransmission,
        Self::DuplicateAck,
        Self::OutOfOrder,
        Self::PostRunChatter,
    ];

    /// The name in reports and threshold expressions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynRefused => "syn_refused",
            Self::SynUnanswered => "syn_unanswered",
            Self::TimewaitCollision => "timewait_collision",
            Self::DialCollision => "dial_collision",
            Self::RstAfterHandshake => "rst_after_handshake",
            Self::ClosedUnserved => "closed_unserved",
            Self::AbortiveClose => "abortive_close",
            Self::RstAfterFin => "rst_after_fin",
            Self::LateRst => "late_rst",
            Self::RstStorm => "rst_storm",
            Self::RstBadSeq => "rst_bad_seq",
            Self::FinRetransmission => "fin_retransmission",
            Self::FinDuel => "fin_duel",
            Self::DataAfterFin => "data_after_fin",
            Self::ChallengeAck => "challenge_ack",
            Self::NoAckToData => "no_ack_to_data",
            Self::ZeroWindowStall => "zero_window_stall",
            Self::HalfClosedLinger => "half_closed_linger",
            Self::Retransmission => "retransmission",
            Self::DuplicateAck => "duplicate_ack",
            Self::OutOfOrder => "out_of_order",
            Self::PostRunChatter => "post_run_chatter",
        }
    }

    /// What it is, in one line.
    #[must_use]
    pub const fn definition(self) -> &'static str {
        match self {
            Self::SynRefused => "the device answers the client's SYN with a RST",
            Self::SynUnanswered => "the client's SYN gets no answer before the deadline",
            Self::TimewaitCollision => {
                "the device answers a SYN on reused ports with an ACK of the old connection, which it holds in \
         TIME-WAIT"
            }
            Self::DialCollision => {
                "the device opens a connection from the ports of one that the client still holds, and repeats its SYN \
         instead of resetting the old one: it has restarted or forgotten it"
            }
            Self::RstAfterHandshake => {
                "the device resets a connection on which it has sent neither payload nor a FIN"
            }
            Self::ClosedUnserved => {
                "the device sends its FIN before any payload, and the client hasn't sent one"
            }
            Self::AbortiveClose => {
                "the device sends payload, then a RST and never a FIN: it closed with unread data"
            }
            Self::RstAfterFin => "the device sends its FIN, then a RST before both sides have closed",
            Self::LateRst => "the device sends a RST after both FINs were acknowledged",
            Self::RstStorm => "the device sends three or more RSTs on one connection",
            Self::RstBadSeq => {
                "the sequence number of the device's RST is neither the client's last ACK nor the end of the sent \
         data, so the client can't accept it"
            }
            Self::FinRetransmission => "the device sends the same FIN again",
            Self::FinDuel => {
                "after both FINs, the device sends three or more segments that carry nothing new but need a reply"
            }
            Self::DataAfterFin => "the device sends payload after its own FIN",
            Self::ChallengeAck => {
                "the device answers a SYN or an inexact RST with a bare ACK, because it considers the connection alive"
            }
            Self::NoAckToData => {
                "the client retransmitted the same payload three or more times, and the device never acknowledged it"
            }
            Self::ZeroWindowStall => "the device advertises a zero window for more than a second",
            Self::HalfClosedLinger => {
                "the device acknowledges the client's FIN, then sends no FIN, RST or payload for 5 s"
            }
            Self::Retransmission => {
                "either side sends payload again; the device's fault if it comes sooner than a round trip after a copy \
         that the client acknowledged"
            }
            Self::DuplicateAck => "either side repeats an ACK while data is outstanding",
            Self::OutOfOrder => "a segment arrives just after one that was sent later, in either direction",
            Self::PostRunChatter => {
                "the device sends segments on a connection more than max(1 s, 4 round trips) after it ended"
            }
        }
    }
}

/// Whom an anomaly counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AnomalyClass {
    /// The device did it, unasked.
    Device,
    /// What a link does: never a fault by itself.
    Path,
    /// The workload asked for it: it silenced, reset, vanished from or cut off that connection.
    Provoked,
}

/// What the packets show of how an occurrence came about. Whose doing it is, `diagnose` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shown {
    /// Nothing that the host sent or the path did leads to it.
    Unprompted,
    /// Losses, delays or copies on the way lead to it, or may have.
    OnTheWay,
    /// The host's own packets lead to it: its RST, its silence, its shut window, a request that crossed a close.
    Prompted,
}

/// Who sent the segment that shows an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the device under test.
    FromDevice,
    /// From the host that runs the test.
    FromHost,
}

/// One connection on the wire: the 4-tuple and the initial sequence number that tells it from an earlier
/// one on the same ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    /// The host's end.
    pub host: SocketAddr,
    /// The device's end.
    pub device: SocketAddr,
    /// Initial sequence number of the side that opened it; `None` where the capture began later.
    pub isn: Option<u32>,
}

/// What the host had sent when the device's telling segment came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answered {
    /// A SYN.
    Syn,
    /// Payload, alone or with a FIN.
    Payload,
    /// A FIN without payload.
    Fin,
    /// A bare ACK.
    Ack,
    /// A RST.
    Reset,
}

/// How far the host's request had come when the device ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestFate {
    /// The host had sent no payload.
    NotSent,
    /// It had, and the device had not acknowledged it.
    Unacknowledged,
    /// The device acknowledged it so long before, nanoseconds.
    Acknowledged(i64),
}

/// One packet that is part of the evidence: enough to find it again in the capture and to read it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketNote {
    /// Capture time, nanoseconds since the Unix epoch.
    pub at_ns: i64,
    /// Index of the packet in the capture, from 1 as Wireshark numbers them.
    pub number: u64,
    /// Who sent it.
    pub direction: Direction,
    /// The segment in words, as `[RST, ACK] seq=1 ack=63 win=5744 len=0`, sequence numbers relative.
    pub summary: String,
}

/// One anomaly, once, as the wire saw it; what was intended is not known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Which one.
    pub id: AnomalyId,
    /// What leads to it, as far as the packets tell.
    pub shows: Shown,
    /// Where.
    pub connection: ConnectionKey,
    /// Who sent the telling segment.
    pub direction: Direction,
    /// When, nanoseconds since the Unix epoch, of the telling segment (or of the deadline that passed).
    pub at_ns: i64,
    /// How manyth of this id and direction, and that shows the same, on this connection, from 1: a connection counts once, at 1.
    pub nth: u32,
    /// The host's last segment before a telling segment of the device's; `None` where there was none, or
    /// where the host sent the telling one.
    pub answers: Option<Answered>,
    /// Time from the device's own FIN to `at_ns`, nanoseconds; `None` where it had sent none.
    pub after_fin_ns: Option<i64>,
    /// What had become of the host's request; `None` where the telling segment is not the device's.
    pub request: Option<RequestFate>,
    /// How many other connections were open by then.
    pub others: u32,
    /// For a silence, how many copies of one segment, or of the answers to it, would have to be lost for it; `None` where
    /// the packets show more than silence.
    pub copies: Option<u32>,
    /// How long the host's last payload had gone without any of the device's after it, nanoseconds; `None` where the
    /// device had answered, or was not asked.
    pub unanswered_ns: Option<i64>,
    /// Whether the device had answered nothing at all for half a second or more just before, and the connection is older
    /// than that.
    pub after_absence: bool,
    /// The same, where the host's part of the connection was still open, and what it last asked there fell into that time:
    /// so a stack that started anew has forgotten it.
    pub forgotten: bool,
    /// How far the thing went on from `at_ns`, nanoseconds; 0 for an instant.
    pub lasted_ns: i64,
    /// The few packets that show it; filled only while examples of this id are still wanted.
    pub packets: Vec<PacketNote>,
    /// A remark that qualifies it, as `suspected: the previous connection was not seen to end`.
    pub remark: Option<&'static str>,
}

/// A rule that could not be judged, and why: never to be read as absence.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotJudged {
    /// The rule.
    pub id: AnomalyId,
    /// Why, in words for people: which watch would have been needed, what was missing.
    pub reason: String,
    /// On how many connections.
    pub connections: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serialised_id_is_the_public_name() {
        for id in AnomalyId::ALL {
            assert_eq!(serde_json::to_value(id).unwrap(), id.name());
        }
    }
}
