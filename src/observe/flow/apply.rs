//! What a segment changes.

use espstress_event::{Answered, Direction};
use espstress_wire::{Flags, Segment};

use super::half::Fin;
use super::look::Repetition;
use super::notes::Note;
use super::seq::{after, before};
use super::{Acks, Ending, Facts, FinCopy, Flow, Kind, MILLISECOND, Place, Stage, Wait};

/// Idle this long before its FIN, a side looks as if an idle time-out had run out.
const IDLE: i64 = 100 * MILLISECOND;

/// A system answers within this time of a segment's arrival, being asked nothing of its application.
const AT_ONCE: i64 = 100 * MILLISECOND;

impl Flow {
    /// Takes the segment in; `facts` are those of [`Flow::look`] for this segment and state.
    pub(crate) fn apply(&mut self, s: &Segment, facts: &Facts, number: u64) {
        let from = facts.from;
        if facts.from == Direction::FromDevice {
            self.device_sent.prompt = self.is_prompt(facts.at);
        }
        match facts.kind {
            Kind::Foreign => self.apply_foreign(facts),
            Kind::Reset => self.apply_reset(s, facts),
            Kind::Syn | Kind::SynAck => self.apply_syn(s, facts),
            Kind::KeepAlive | Kind::WindowProbe => self.apply_probe(s, facts),
            Kind::Ordinary => self.apply_ordinary(s, facts),
        }
        if facts.kind != Kind::Foreign {
            self.count_duels(facts);
            let (own, other) = self.halves_mut(from);
            own.last_at = Some(facts.at);
            other.probes = 0;
            other.repeats = 0;
        }
        if from == Direction::FromHost {
            self.host_last = Some(answered(s));
            if s.flags.has(Flags::ACK) {
                self.host_acked.note(s.ack, facts.at);
            }
        }
        self.notes.keep(Note::new(s, from, facts.at, number));
        self.settle(facts);
        self.set_waits(facts);
    }

    /// Whether a segment of the device's that comes at `at` was not held up: it follows another such closely, or the
    /// host's last segment after about a round trip.
    fn is_prompt(&self, at: i64) -> bool {
        let since = |last: Option<i64>| last.map_or(i64::MAX, |last| at.saturating_sub(last));
        let usual = self.rtt_min..=self.rtt.saturating_mul(3) / 2 + IDLE;
        (self.device_sent.prompt && since(self.device.last_at) <= IDLE)
            || (self.host.repeats == 0 && usual.contains(&since(self.host.last_at)))
    }

    /// In SYN-SENT an ACK of something else answers the SYN all the same (RFC 9293, 3.10.7.3).
    fn apply_foreign(&mut self, facts: &Facts) {
        if self.device_opens() && facts.from == Direction::FromHost && facts.bare_ack {
            self.host_acked_dial.get_or_insert(facts.at);
        }
        if self.host_opens() && facts.from == Direction::FromDevice && facts.bare_ack {
            self.stray_acks = self.stray_acks.saturating_add(1);
            self.syn_wait = Wait::Off;
        }
    }

    fn apply_reset(&mut self, s: &Segment, facts: &Facts) {
        let copied = self.is_path_copy(s, facts.from);
        // The host's RST in SYN-SENT answers a stray ACK (RFC 9293, 3.10.7.3) and ends nothing.
        if self.host_opens() && facts.from == Direction::FromHost {
            return;
        }
        let astray = facts.from == Direction::FromDevice && self.answers_astray(s, facts.at);
        let own = self.halves_mut(facts.from).0;
        if !copied && !astray {
            own.resets = own.resets.saturating_add(1);
        }
        own.reset = Some((s.seq, facts.at));
        if self.ended.is_none() {
            self.ended = Some((facts.at, Ending::Reset(facts.from)));
        }
    }

    fn apply_syn(&mut self, s: &Segment, facts: &Facts) {
        let mut end = s.seq.wrapping_add(1);
        if facts.kind == Kind::SynAck {
            // What a SYN carries counts only when it is accepted (RFC 7413, 4.2); a SYN-ACK's payload has its number.
            end = end.wrapping_add(s.payload);
            self.stage = Stage::Open;
            let (own, other) = self.halves_mut(facts.from);
            own.ack = Some(own.ack.map_or(s.ack, |a| super::seq::later(a, s.ack)));
            if s.payload > 0 {
                own.payload_at = Some(facts.at);
            }
            let accepted =
                other.syn_answered_by(s.ack) && other.space.next().is_some_and(|n| after(s.ack, n));
            if accepted {
                other.payload_at = Some(facts.at);
            }
            other.isn.get_or_insert(s.ack.wrapping_sub(1));
            let _ = other.space.acknowledged(s.ack);
            if accepted && facts.from == Direction::FromDevice {
                self.request_acked_at = Some(facts.at);
            }
            self.opener.get_or_insert(opposite(facts.from));
            self.sample_rtt(s, facts);
        } else {
            self.syns = self.syns.saturating_add(1);
            if self.opener.is_some_and(|o| o != facts.from) {
                // Simultaneous open (RFC 9293, 3.5): the other SYN is an answer as well.
                self.stage = Stage::Open;
            }
        }
        let own = self.halves_mut(facts.from).0;
        let again = own.isn == Some(s.seq) && own.space.next().is_some();
        self.taken_late |= again
            && facts.kind == Kind::SynAck
            && facts.from == Direction::FromDevice
            && self.host.repeated.is_some()
            && self.request_acked_at.is_none();
        let own = self.halves_mut(facts.from).0;
        own.isn = Some(s.seq);
        own.carried = if facts.kind == Kind::Syn { u16::try_from(s.payload).unwrap_or(u16::MAX) } else { 0 };
        own.shift = s.window_scale.unwrap_or(0);
        own.window = s.window.max(1);
        own.space.claim(s.seq, end, facts.at);
        if again {
            own.repeats = own.repeats.saturating_add(1);
        }
        if facts.from == Direction::FromHost {
            self.timed = if again { None } else { Some((end, facts.at)) };
        }
    }

    fn apply_probe(&mut self, s: &Segment, facts: &Facts) {
        let own = self.halves_mut(facts.from).0;
        own.probes = own.probes.saturating_add(1);
        own.probing = true;
        self.take_ack(s, facts);
        self.take_window(s, facts);
    }

    fn apply_ordinary(&mut self, s: &Segment, facts: &Facts) {
        if self.stage == Stage::Opening {
            // The opener goes on, or the other side does: the SYN-ACK is not in the capture.
            self.stage = Stage::Open;
            self.missing = true;
        }
        let (own, _) = self.halves_mut(facts.from);
        if own
            .fin
            .is_some_and(|fin| after(s.seq, fin.end()) && own.space.next().is_none_or(|n| after(s.seq, n)))
        {
            // Nobody goes on so far behind a FIN: the handshake of another connection is not in the capture.
            self.missing = true;
        }
        self.take_ack(s, facts);
        self.take_window(s, facts);
        self.take_space(s, facts);
        self.take_fin(s, facts);
        if facts.from == Direction::FromHost && self.ended.is_some() {
            self.host_repeated = true;
        }
        self.halves_mut(facts.from).0.probing = false;
    }

    fn take_space(&mut self, s: &Segment, facts: &Facts) {
        let (at, from) = (facts.at, facts.from);
        let (own, other) = self.halves_mut(from);
        if s.space() == 0 {
            // A bare ACK shows how far its sender has come (RFC 9293, 3.10.7.4: SEG.SEQ is SND.NXT), also past what
            // was lost on the way here; an old one may be late.
            if own.space.next().is_none_or(|next| after(s.seq, next)) {
                own.space.claim(s.seq, s.seq, at);
            }
            return;
        }
        let repeated =
            matches!(facts.place, Place::Seen | Place::Fills(_)) || matches!(facts.fin, FinCopy::Again(_));
        if repeated {
            own.repeats = own.repeats.saturating_add(1);
        }
        if s.payload > 0 {
            own.payload_at = Some(at);
            if let (Place::Seen, Some(ack)) = (facts.place, other.ack)
                && !after(s.seq, ack)
                && after(s.end(), ack)
            {
                own.repeat(ack, at);
            }
        }
        own.space.claim(s.seq, s.end(), at);
        if from == Direction::FromDevice
            && s.payload > 0
            && facts.place == Place::Next
            && self.device_sent.prompt
        {
            self.device_sent.note(s.seq, s.seq.wrapping_add(s.payload), at);
        }
        if from == Direction::FromHost {
            if repeated {
                self.timed = None;
            } else if self.timed.is_none() {
                self.timed = Some((s.end(), at));
            }
        }
    }

    fn take_fin(&mut self, s: &Segment, facts: &Facts) {
        let at = facts.at;
        match facts.fin {
            FinCopy::None | FinCopy::Again(Repetition::PathCopy) => {}
            FinCopy::First => {
                let opened_at = self.opened_at;
                let own = self.halves_mut(facts.from).0;
                let busy_at = own.payload_at.unwrap_or(opened_at);
                let after_idle = s.payload == 0 && at.saturating_sub(busy_at) >= IDLE;
                own.fin = Some(Fin {
                    seq: s.end().wrapping_sub(1),
                    ack: s.ack,
                    first_at: at,
                    last_at: at,
                    interval: 0,
                    copies: 1,
                    after_idle,
                    acked_at: None,
                    proof: None,
                });
                self.first_fin.get_or_insert(facts.from);
            }
            FinCopy::Again(_) => {
                if let Some(fin) = &mut self.halves_mut(facts.from).0.fin {
                    fin.interval = at.saturating_sub(fin.last_at);
                    fin.last_at = at;
                    fin.copies = fin.copies.saturating_add(1);
                }
            }
        }
    }

    fn take_ack(&mut self, s: &Segment, facts: &Facts) {
        if facts.acks == Acks::Nothing {
            return;
        }
        if facts.acks == Acks::More && facts.from == Direction::FromDevice && self.host.payload_at.is_some() {
            self.request_acked_at = Some(facts.at);
        }
        if facts.acks == Acks::More {
            let missing = {
                let (own, other) = self.halves_mut(facts.from);
                own.ack = Some(s.ack);
                if other.repeated.is_some_and(|r| after(s.ack, r.seq)) {
                    other.repeated = None;
                }
                // The byte of a window probe may be kept by the receiver (RFC 9293, 3.8.6.1).
                let probed = other.probing && other.space.next().is_some_and(|n| s.ack == n.wrapping_add(1));
                other.space.acknowledged(s.ack) && !probed
            };
            self.missing |= missing;
            self.sample_rtt(s, facts);
        }
        let (own, other) = self.halves_mut(facts.from);
        let Some(fin) = &mut other.fin else { return };
        if before(own.ack.unwrap_or(s.ack), fin.end()) {
            return;
        }
        fin.acked_at.get_or_insert(facts.at);
        if s.space() > 0 && facts.kind == Kind::Ordinary && !before(s.ack, fin.end()) {
            fin.proof.get_or_insert(s.end());
        }
    }

    fn take_window(&mut self, s: &Segment, facts: &Facts) {
        if facts.acks != Acks::Older {
            self.halves_mut(facts.from).0.window = s.window;
        }
    }

    fn sample_rtt(&mut self, s: &Segment, facts: &Facts) {
        if facts.from != Direction::FromDevice {
            return;
        }
        let Some((end, sent_at)) = self.timed.filter(|&(end, _)| !before(s.ack, end)) else { return };
        let _ = end;
        self.timed = None;
        let sample = facts.at.saturating_sub(sent_at).max(1);
        self.rtt = if self.rtt == 0 { sample } else { self.rtt - self.rtt / 8 + sample / 8 };
        self.rtt_min = if self.rtt_min == 0 { sample } else { self.rtt_min.min(sample) };
    }

    /// After both FINs, what the device sends that says nothing new, and the host's answers to it.
    fn count_duels(&mut self, facts: &Facts) {
        if self.device.fin.is_none() || self.host.fin.is_none() {
            return;
        }
        match facts.from {
            Direction::FromHost => {
                let at_once = |sent: i64| facts.at.saturating_sub(sent) <= AT_ONCE;
                let answers = facts.bare_ack || facts.kind == Kind::Reset;
                if self.duel_pending.take().is_some_and(at_once) && answers {
                    self.duels = self.duels.saturating_add(1);
                }
            }
            Direction::FromDevice => {
                let superfluous = match facts.fin {
                    FinCopy::None => {
                        facts.kind == Kind::KeepAlive || (facts.bare_ack && facts.acks == Acks::Same)
                    }
                    FinCopy::First => false,
                    FinCopy::Again(why) => matches!(why, Repetition::TooSoon | Repetition::Delivered),
                };
                self.duel_pending = superfluous.then_some(facts.at);
            }
        }
    }

    fn settle(&mut self, facts: &Facts) {
        if self.ended.is_none()
            && self.host.fin_acked_by(&self.device)
            && self.device.fin_acked_by(&self.host)
        {
            self.ended = Some((facts.at, Ending::Closed));
        }
    }

    fn set_waits(&mut self, facts: &Facts) {
        let over = self.ended.is_some();
        if self.host_opens() && !over {
            if self.syn_wait == Wait::Off && self.stray_acks == 0 {
                self.syn_wait = Wait::Since(self.opened_at);
            }
        } else {
            self.syn_wait = Wait::Off;
        }
        if over || self.stage == Stage::Opening {
            self.window_wait = Wait::Off;
            self.linger_wait = Wait::Off;
            return;
        }
        if facts.from == Direction::FromDevice && !matches!(facts.kind, Kind::Foreign) {
            if self.device.window > 0 || self.host.fin_acked_by(&self.device) {
                self.window_wait = Wait::Off;
            } else if self.window_wait == Wait::Off && matches!(facts.kind, Kind::Ordinary | Kind::KeepAlive)
            {
                self.window_wait = Wait::Since(facts.at);
            }
        }
        if self.device.fin.is_some() || !self.host.fin_acked_by(&self.device) {
            self.linger_wait = Wait::Off;
        } else if facts.from == Direction::FromDevice
            && (self.linger_wait == Wait::Off || facts.place != Place::Empty)
            && self.linger_wait != Wait::Told
        {
            self.linger_wait = Wait::Since(facts.at);
        }
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::FromDevice => Direction::FromHost,
        Direction::FromHost => Direction::FromDevice,
    }
}

const fn answered(s: &Segment) -> Answered {
    if s.flags.has(Flags::RST) {
        Answered::Reset
    } else if s.flags.has(Flags::SYN) {
        Answered::Syn
    } else if s.payload > 0 {
        Answered::Payload
    } else if s.flags.has(Flags::FIN) {
        Answered::Fin
    } else {
        Answered::Ack
    }
}
