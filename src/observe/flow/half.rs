//! What one side of a connection has sent so far.

use super::space::Space;

/// A FIN, and how often it came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fin {
    /// Its own sequence number, behind the last byte of payload.
    pub(crate) seq: u32,
    /// What its first copy acknowledged.
    pub(crate) ack: u32,
    /// When its first copy came.
    pub(crate) first_at: i64,
    /// When its last copy came.
    pub(crate) last_at: i64,
    /// Between the last two copies, nanoseconds; 0 before the second.
    pub(crate) interval: i64,
    /// Copies.
    pub(crate) copies: u16,
    /// Whether the side had been idle before it, so that it looks like an idle time-out.
    pub(crate) after_idle: bool,
    /// When the other side first acknowledged it.
    pub(crate) acked_at: Option<i64>,
    /// The end of the other side's first payload or FIN that carried that acknowledgement: who
    /// acknowledges this has received that.
    pub(crate) proof: Option<u32>,
}

impl Fin {
    /// Number behind it.
    pub(crate) const fn end(&self) -> u32 {
        self.seq.wrapping_add(1)
    }
}

/// Payload that was sent again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated {
    /// The first number that is not acknowledged.
    pub(crate) seq: u32,
    /// How often it was sent again.
    pub(crate) times: u16,
    /// When for the third time.
    pub(crate) third_at: i64,
    /// When last.
    pub(crate) last_at: i64,
}

/// One side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Half {
    /// Sequence number of its SYN.
    pub(crate) isn: Option<u32>,
    /// Payload that its SYN carried (RFC 7413), of which the other side may accept none.
    pub(crate) carried: u16,
    /// What was seen of its sequence numbers.
    pub(crate) space: Space,
    /// Highest acknowledgement that it sent.
    pub(crate) ack: Option<u32>,
    /// Last window it advertised, not scaled.
    pub(crate) window: u16,
    /// How far its windows are shifted, where its SYN was seen.
    pub(crate) shift: u8,
    /// Its FIN.
    pub(crate) fin: Option<Fin>,
    /// When its last payload came.
    pub(crate) payload_at: Option<i64>,
    /// When its last segment came.
    pub(crate) last_at: Option<i64>,
    /// Its payload that is sent again.
    pub(crate) repeated: Option<Repeated>,
    /// Its probes since the other side's last segment.
    pub(crate) probes: u8,
    /// Its repetitions since the other side's last segment.
    pub(crate) repeats: u8,
    /// Whether its last segment was a keep-alive or window probe.
    pub(crate) probing: bool,
    /// RSTs it sent, without copies made by the path and answers to what the path held up or copied.
    pub(crate) resets: u16,
    /// Sequence number and time of its last RST.
    pub(crate) reset: Option<(u32, i64)>,
}

impl Half {
    /// Whether the other side, having sent up to `next`, still waits for acknowledgement from here.
    pub(crate) fn owes_ack(&self, next: Option<u32>) -> bool {
        match (self.ack, next) {
            (Some(ack), Some(next)) => super::seq::before(ack, next),
            _ => false,
        }
    }

    /// Whether `ack` answers this side's SYN: it acknowledges that, and of its payload as much as was accepted.
    pub(crate) fn syn_answered_by(&self, ack: u32) -> bool {
        self.isn.is_some_and(|isn| ack.wrapping_sub(isn.wrapping_add(1)) <= u32::from(self.carried))
    }

    /// Whether this side's FIN has been acknowledged by `other`.
    pub(crate) fn fin_acked_by(&self, other: &Self) -> bool {
        match (self.fin, other.ack) {
            (Some(fin), Some(ack)) => !super::seq::before(ack, fin.end()),
            _ => false,
        }
    }

    /// The payload from `seq` on, the first that is not acknowledged, was sent again.
    pub(crate) fn repeat(&mut self, seq: u32, at: i64) {
        let before = self.repeated.filter(|r| r.seq == seq);
        let times = before.map_or(0, |r| r.times).saturating_add(1);
        let third_at = before.filter(|_| times > 3).map_or(at, |r| r.third_at);
        self.repeated = Some(Repeated { seq, times, third_at, last_at: at });
    }
}
