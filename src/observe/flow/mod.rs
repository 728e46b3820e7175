//! Connections: the state of each, what a segment is in the light of it, and the bounded table that holds
//! them. No opinion about any of it: that is the rules'.

mod apply;
mod chain;
mod half;
mod key;
mod look;
mod notes;
mod pack;
mod second;
mod seq;
mod space;
mod sparse;
mod table;
mod trail;

use espstress_event::{AnomalyId, Answered, ConnectionKey, Direction, PacketNote, Shown};

pub(crate) use chain::Chain;
pub(crate) use half::{Fin, Half};
pub(crate) use key::{End, FlowKey};
pub(crate) use look::{Acks, Facts, FinCopy, Kind, Repetition};
pub(crate) use notes::Notes;
pub(crate) use second::{Second, Small};
pub(crate) use seq::{after, before, distance};
pub(crate) use space::Place;
pub(crate) use table::{Evicted, Table};
pub(crate) use trail::{Acked, Sent};

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub(crate) const MILLISECOND: i64 = 1_000_000;

/// How far establishing a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// A SYN was sent and not answered by a SYN-ACK.
    Opening,
    /// Both sides have sent their SYN, or the capture began later.
    Open,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both FINs were acknowledged.
    Closed,
    /// A RST of that side.
    Reset(Direction),
}

/// What is known of the connection that had the same 4-tuple before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Previous {
    /// None was seen.
    Unseen,
    /// It was not seen to end.
    Live,
    /// It ended, and this side's FIN was first.
    ClosedFirstBy(Direction),
    /// It ended by a RST.
    Reset,
}

/// A deadline of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing to wait for.
    Off,
    /// Waiting since then.
    Since(i64),
    /// The deadline has passed and was judged; not again until it was off.
    Told,
}

/// Occurrences by id, by what is shown, and by direction.
#[derive(Clone, Copy, Debug, Default)]
struct Counts([[[u8; 2]; 3]; AnomalyId::ALL.len()]);

/// One connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    /// The host's end.
    pub(crate) host_end: End,
    /// The device's end.
    pub(crate) device_end: End,
    /// Who sent the SYN; `None` where nobody knows.
    pub(crate) opener: Option<Direction>,
    pub(crate) stage: Stage,
    pub(crate) previous: Previous,
    pub(crate) host: Half,
    pub(crate) device: Half,
    /// When it was first seen.
    pub(crate) opened_at: i64,
    /// How often the opening SYN was sent.
    pub(crate) syns: u16,
    /// How often a SYN was answered by an ACK that was none for it.
    pub(crate) stray_acks: u16,
    /// When the host first answered the device's SYN by an ACK that was none for it.
    pub(crate) host_acked_dial: Option<i64>,
    /// Whose FIN was first.
    pub(crate) first_fin: Option<Direction>,
    /// When and how it ended.
    pub(crate) ended: Option<(i64, Ending)>,
    /// Packets are missing from the capture of it.
    pub(crate) missing: bool,
    /// The observer's count of gaps when it began.
    pub(crate) gaps: u32,
    /// Round trip, smoothed and least, nanoseconds; 0 before the first sample.
    pub(crate) rtt: i64,
    pub(crate) rtt_min: i64,
    /// The host's segment whose acknowledgement is being timed: its end, and when it was sent.
    pub(crate) timed: Option<(u32, i64)>,
    /// The host's last segment.
    pub(crate) host_last: Option<Answered>,
    /// What the host acknowledged lately.
    pub(crate) host_acked: Acked,
    /// When the device's payload came.
    pub(crate) device_sent: Sent,
    /// The device's last segment, where it was a small one.
    pub(crate) small: Option<Small>,
    /// Since when the device's window has been shut for so long that it is a stall.
    pub(crate) stalled_since: Option<i64>,
    /// Whether the host has repeated itself since the connection ended.
    pub(crate) host_repeated: bool,
    /// Whether the device's last segment let a repetition of the host's seem needed.
    pub(crate) presumed_lost: bool,
    /// Whether the device answered the SYN once more after the host had sent its first payload again: it drops what comes
    /// behind the handshake, as a full accept queue does (Linux, `tcp_check_req`).
    pub(crate) taken_late: bool,
    /// When the device last acknowledged more of the host's payload.
    pub(crate) request_acked_at: Option<i64>,
    /// When the device's last superfluous segment after both FINs came, unanswered so far.
    pub(crate) duel_pending: Option<i64>,
    /// How many were answered.
    pub(crate) duels: u16,
    pub(crate) syn_wait: Wait,
    pub(crate) window_wait: Wait,
    pub(crate) linger_wait: Wait,
    /// When each deadline's list was entered; by order of [`Chain::DEADLINES`].
    pub(crate) armed: [Option<i64>; 3],
    /// When it was last put at the end of the order of age.
    pub(crate) touched_at: i64,
    /// Whether it is in the list of those that ended.
    pub(crate) in_settled: bool,
    /// Rules that fired or were given up, one bit each; only for those that speak once.
    pub(crate) told: u32,
    /// Occurrences by id, by what is shown, and by direction.
    counts: Counts,
    pub(crate) notes: Notes,
}

impl Flow {
    /// A connection of which nothing has been seen yet.
    pub(crate) fn new(host_end: End, device_end: End, at: i64, gaps: u32) -> Self {
        Self {
            host_end,
            device_end,
            opener: None,
            stage: Stage::Open,
            previous: Previous::Unseen,
            host: Half::default(),
            device: Half::default(),
            opened_at: at,
            syns: 0,
            stray_acks: 0,
            host_acked_dial: None,
            first_fin: None,
            ended: None,
            missing: false,
            gaps,
            rtt: 0,
            rtt_min: 0,
            timed: None,
            host_last: None,
            host_acked: Acked::default(),
            device_sent: Sent::default(),
            small: None,
            stalled_since: None,
            host_repeated: false,
            presumed_lost: false,
            taken_late: false,
            request_acked_at: None,
            duel_pending: None,
            duels: 0,
            syn_wait: Wait::Off,
            window_wait: Wait::Off,
            linger_wait: Wait::Off,
            armed: [None; 3],
            touched_at: at,
            in_settled: false,
            told: 0,
            counts: Counts::default(),
            notes: Notes::default(),
        }
    }

    /// Its place in the table.
    pub(crate) fn key(&self) -> FlowKey {
        FlowKey::new(self.host_end, self.device_end)
    }

    /// The side that sends in `direction`.
    pub(crate) const fn half(&self, direction: Direction) -> &Half {
        match direction {
            Direction::FromDevice => &self.device,
            Direction::FromHost => &self.host,
        }
    }

    /// The side that sends in `direction`, then the other.
    pub(crate) const fn halves_mut(&mut self, direction: Direction) -> (&mut Half, &mut Half) {
        match direction {
            Direction::FromDevice => (&mut self.device, &mut self.host),
            Direction::FromHost => (&mut self.host, &mut self.device),
        }
    }

    /// Since when it waits for the deadline of `chain`.
    pub(crate) const fn wait(&self, chain: Chain) -> Option<i64> {
        let wait = match chain {
            Chain::Syn => self.syn_wait,
            Chain::Window => self.window_wait,
            Chain::Linger => self.linger_wait,
            Chain::Live | Chain::Settled => Wait::Off,
        };
        match wait {
            Wait::Since(at) => Some(at),
            Wait::Off | Wait::Told => None,
        }
    }

    /// Notes that the deadline of `chain` has passed and was judged.
    pub(crate) const fn waited(&mut self, chain: Chain) {
        match chain {
            Chain::Syn => self.syn_wait = Wait::Told,
            Chain::Window => self.window_wait = Wait::Told,
            Chain::Linger => self.linger_wait = Wait::Told,
            Chain::Live | Chain::Settled => {}
        }
    }

    /// What names it in reports.
    pub(crate) fn connection(&self) -> ConnectionKey {
        ConnectionKey {
            host: self.host_end.socket(),
            device: self.device_end.socket(),
            isn: self.opener.and_then(|o| self.half(o).isn),
        }
    }

    /// Whether the host's SYN still waits for its SYN-ACK.
    pub(crate) fn host_opens(&self) -> bool {
        self.stage == Stage::Opening && self.opener == Some(Direction::FromHost)
    }

    /// Whether the device's SYN still waits for its SYN-ACK.
    pub(crate) fn device_opens(&self) -> bool {
        self.stage == Stage::Opening && self.opener == Some(Direction::FromDevice)
    }

    /// Whether a SYN of the device's with the number of the one that opened this connection opens another: one that is
    /// sent again was not answered, and this side has sent payload since.
    pub(crate) fn dials_again(&self, from: Direction, at: i64) -> bool {
        from == Direction::FromDevice
            && self.opener == Some(from)
            && self.stage == Stage::Open
            && (self.device.payload_at.is_some() || self.ended.is_some())
            && self.device.last_at.is_some_and(|last| at.saturating_sub(last) > 100 * MILLISECOND)
    }

    /// Whether the device has sent payload, by its sequence numbers and not by what the capture holds;
    /// `None` where the connection's beginning was not captured.
    pub(crate) fn device_sent_payload(&self) -> Option<bool> {
        if self.device.payload_at.is_some() {
            return Some(true);
        }
        let first = self.device.isn?.wrapping_add(1);
        let behind = match (self.device.fin, self.device.space.next()) {
            (Some(fin), _) => fin.seq,
            (None, Some(next)) => next,
            (None, None) => first,
        };
        Some(after(behind, first))
    }

    /// How long the host's last payload has gone without any of the device's after it; `None` where the device has
    /// answered, or was not asked.
    pub(crate) fn unanswered(&self, at: i64) -> Option<i64> {
        let asked = self.host.payload_at?;
        self.device.payload_at.is_none_or(|answered| answered < asked).then(|| at.saturating_sub(asked))
    }

    /// Whether the host has both sent something that wants an answer and let the device's own questions go
    /// unanswered: it has fallen silent.
    pub(crate) fn host_is_silent(&self, at: i64) -> bool {
        let since = self.host.last_at.map_or(i64::MAX, |last| at.saturating_sub(last));
        (self.device.probes > 0 && since >= 200 * MILLISECOND) || self.device.repeats >= 3
    }

    /// Whether one packet or more of it may be missing from the capture.
    pub(crate) const fn incomplete(&self, gaps: u32) -> bool {
        self.missing || self.gaps != gaps
    }

    /// How long after its end a stray segment is nobody's fault, nanoseconds.
    pub(crate) const fn grace(&self) -> i64 {
        let four = self.rtt.saturating_mul(4);
        if four > SECOND { four } else { SECOND }
    }

    /// Whether it may still end: not yet ended, and no SYN that has been given up.
    pub(crate) fn goes_on(&self) -> bool {
        self.ended.is_none() && !(self.stage == Stage::Opening && self.syn_wait == Wait::Told)
    }

    /// The last packets in words.
    pub(crate) fn packets(&self) -> Vec<PacketNote> {
        let isn = |half: &Half, other: &Half| {
            half.isn.or_else(|| {
                let first = |from| self.notes.iter().find(move |n| n.from == from);
                let direction =
                    if std::ptr::eq(half, &self.host) { Direction::FromHost } else { Direction::FromDevice };
                first(direction).map(|n| n.seq).or(other.ack)
            })
        };
        let host = isn(&self.host, &self.device).unwrap_or(0);
        let device = isn(&self.device, &self.host).unwrap_or(0);
        self.notes
            .iter()
            .map(|n| match n.from {
                Direction::FromHost => n.in_words(host, device),
                Direction::FromDevice => n.in_words(device, host),
            })
            .collect()
    }

    /// Adds one occurrence and says how manyth of its id and direction, with the same shown, it is; no more than 255.
    pub(crate) fn count(&mut self, id: AnomalyId, shows: Shown, from: Direction) -> u32 {
        let shown = match shows {
            Shown::Unprompted => 0,
            Shown::OnTheWay => 1,
            Shown::Prompted => 2,
        };
        let direction = match from {
            Direction::FromDevice => 0,
            Direction::FromHost => 1,
        };
        let n = &mut self.counts.0[id as usize][shown][direction];
        *n = n.saturating_add(1);
        u32::from(*n)
    }

    /// Whether a rule has spoken.
    pub(crate) const fn has_told(&self, id: AnomalyId) -> bool {
        self.told & (1 << id as u32) != 0
    }

    /// Notes that a rule has spoken.
    pub(crate) const fn tell(&mut self, id: AnomalyId) {
        self.told |= 1 << id as u32;
    }

    /// Whether `s`, from `direction`, is a copy that the path made of a packet seen lately.
    pub(crate) fn is_path_copy(&self, s: &espstress_wire::Segment, direction: Direction) -> bool {
        s.ip_id.is_some() && self.notes.iter().any(|n| n.is_copied_by(s, direction))
    }

    /// Whether the device's RST `s`, on a connection that both sides had closed, answers a segment that the host had sent
    /// before its last acknowledgement: the path held that segment up, or copied it. Whoever has no connection takes the
    /// number of a RST from what it answers (RFC 9293, 3.10.7.1); a RST of its own would be at the end of what it sent.
    pub(crate) fn answers_astray(&self, s: &espstress_wire::Segment, at: i64) -> bool {
        matches!(self.ended, Some((_, Ending::Closed)))
            && self.host.ack.is_some_and(|last| before(s.seq, last))
            && self.host_acked.may_have_sent(s.seq, at, self.grace())
    }

    /// What the connection leaves behind for the next on the same 4-tuple.
    pub(crate) fn as_previous(&self) -> Previous {
        match self.ended {
            // A SYN that came to nothing leaves what was there before it.
            _ if self.stage == Stage::Opening => self.previous,
            Some((_, Ending::Closed)) => self.first_fin.map_or(Previous::Live, Previous::ClosedFirstBy),
            Some((_, Ending::Reset(_))) => Previous::Reset,
            None => Previous::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_takes_little_room() {
        assert!(size_of::<Flow>() <= 1_424, "{} bytes", size_of::<Flow>());
    }
}
