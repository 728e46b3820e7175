//! What each segment adds to the figures: weather of the path, keep-alive probes, copies.

use espstress_event::{AnomalyId, Direction, Losses};
use espstress_wire::{Flags, Segment};

use super::super::flow::{Acks, Facts, FinCopy, Kind, Place, SECOND, after, before};
use super::super::weather::{self, AT_ONCE};
use super::Observer;

/// Connections looked at for a request that waits: it is among those that have been idle for longest.
const LOOKED_AT: usize = 64;

impl Observer {
    /// Adds what a segment shows of the path to the window of its time.
    pub(super) fn weather(&mut self, s: &Segment, facts: &Facts, slot: u32) {
        let flow = self.table.flow_mut(slot);
        let mut seen = weather::occasions(flow, s, facts);
        let untaken = weather::nothing_taken(flow);
        if facts.from == Direction::FromDevice {
            let new = seen.losses.segments > 0;
            let mut before_taken = Losses::default();
            let both_arrived = std::mem::take(&mut flow.presumed_lost) && weather::takes_back(facts);
            if !self.quiet.was_away(facts.at) {
                let of_host = weather::lost_of_host(flow, s, facts);
                seen.losses = seen.losses.and(weather::lost_of_device(flow, s, facts)).and(of_host);
                before_taken = if untaken { of_host } else { before_taken };
                flow.presumed_lost = weather::is_presumed(flow, s, facts);
            }
            let window = self.windows.at(facts.at);
            window.losses.lost = window.losses.lost.saturating_sub(u64::from(both_arrived));
            window.add(seen);
            self.windows.untaken(before_taken);
            if new && !self.overtakes(s, facts, slot) {
                let flow = self.table.flow(slot);
                if flow.taken_late && flow.device.payload_at.is_none() {
                    self.program.had_nothing_before(flow.request_acked_at.unwrap_or(facts.at));
                }
                self.program.heard(facts.at);
            }
            return;
        }
        self.windows.at(facts.at).add(seen);
        if untaken {
            self.windows.untaken(seen.losses);
        }
    }

    /// Whether the device ends a connection on which nobody asked while a request waits on an older one. A queue is taken in
    /// order: what accepts there is not what serves.
    fn overtakes(&self, s: &Segment, facts: &Facts, slot: u32) -> bool {
        let flow = self.table.flow(slot);
        if s.payload > 0 || flow.host.payload_at.is_some() || flow.host.isn.is_none() {
            return false;
        }
        self.table.longest_idle(LOOKED_AT).any(|other| {
            let acked = other.request_acked_at >= other.host.payload_at;
            let waits = acked && other.unanswered(facts.at).is_some() && other.host.fin.is_none();
            // A device that was away may have forgotten it.
            waits && other.opened_at < flow.opened_at && !self.quiet.was_away_since(other.opened_at)
        })
    }

    pub(super) fn keep_alive(&mut self, slot: u32, at: i64) {
        let flow = self.table.flow(slot);
        let figures = &mut self.summary.keep_alive;
        let idle = flow.host.last_at.max(flow.device.last_at).map_or(0, |last| at.saturating_sub(last));
        // Idle times and intervals are whole seconds (TCP_KEEPIDLE, TCP_KEEPINTVL): what comes sooner is an old ACK.
        if idle < SECOND {
            return;
        }
        figures.probes += 1;
        if flow.device.probes == 0 {
            figures.idle_ns = Some(figures.idle_ns.map_or(idle, |least| least.min(idle)));
        }
    }

    pub(super) fn count(&mut self, s: &Segment, facts: &Facts, slot: u32) {
        let Facts { from, kind, place, .. } = *facts;
        let flow = self.table.flow(slot);
        if kind == Kind::Syn && from == Direction::FromHost && flow.syns > 0 {
            self.summary.syn_repetitions += 1;
        }
        let figures = match from {
            Direction::FromDevice => &mut self.summary.from_device,
            Direction::FromHost => &mut self.summary.from_host,
        };
        if place == Place::Empty && s.payload == 0 {
            return;
        }
        figures.data_segments += 1;
        figures.bytes += u64::from(s.payload);
        match place {
            Place::Seen if facts.spurious => figures.spurious += 1,
            Place::Seen if flow.is_path_copy(s, from) => {
                figures.path_copies += 1;
                figures.retransmissions += 1;
            }
            Place::Seen => figures.retransmissions += 1,
            Place::Fills(age) if age > flow.rtt_min.max(3_000_000) => figures.late_fills += 1,
            Place::Fills(_) => figures.out_of_order += 1,
            Place::Empty | Place::Next | Place::Ahead | Place::Unknown => {}
        }
    }

    /// A segment of the device's shows that the path copies packets, or holds some up until others have overtaken them.
    pub(super) fn count_astray(&mut self, s: &Segment, facts: &Facts, slot: u32) {
        if facts.from != Direction::FromDevice {
            return;
        }
        let flow = self.table.flow(slot);
        let shows = match facts.kind {
            Kind::Reset => flow.answers_astray(s, facts.at),
            Kind::Foreign | Kind::Syn | Kind::SynAck => false,
            Kind::Ordinary | Kind::KeepAlive | Kind::WindowProbe => {
                // A stack that doesn't count its packets gives each the identification 0 (RFC 6864).
                let counted = s.ip_id.is_some_and(|id| id != 0);
                let overtaken =
                    matches!(facts.place, Place::Fills(age) if age <= flow.rtt_min.max(3_000_000));
                overtaken || facts.acks == Acks::Older || (counted && flow.is_path_copy(s, facts.from))
            }
        };
        self.summary.astray += u64::from(shows);
    }

    /// An acknowledgement right after the host's first repetition: what it repeated had been there before. One
    /// that is delayed, or that comes with an answer, says nothing; nor does one for the host's FIN, which is
    /// acknowledged at once (lwIP `tcp_receive`: `tcp_ack_now`), unless it shows that an answer is on its way.
    pub(super) fn count_early(&mut self, s: &Segment, facts: &Facts, slot: u32) {
        if facts.from != Direction::FromDevice || !facts.bare_ack || facts.acks != Acks::More {
            return;
        }
        let flow = self.table.flow(slot);
        let fin = flow.host.fin.is_some_and(|fin| !before(s.ack, fin.end()));
        let answered = flow.device.space.next().is_some_and(|next| after(s.seq, next));
        if fin && !answered {
            return;
        }
        let at_once = flow.rtt_min.saturating_add(AT_ONCE);
        let early = flow.host.repeated.is_some_and(|repeated| {
            repeated.times == 1
                && after(s.ack, repeated.seq)
                && facts.at.saturating_sub(repeated.last_at) <= at_once
        });
        self.summary.from_host.repeated_early += u64::from(early);
    }

    /// The device's end of a connection that lingered.
    pub(super) fn count_late_end(&mut self, s: &Segment, facts: &Facts, slot: u32) {
        let flow = self.table.flow(slot);
        let ends = facts.fin == FinCopy::First || (s.flags.has(Flags::RST) && flow.device.resets == 0);
        if facts.from != Direction::FromDevice || !ends || !flow.has_told(AnomalyId::HalfClosedLinger) {
            return;
        }
        if let (Some(fin), None) = (flow.host.fin, flow.device.fin) {
            let late = &mut self.summary.late_ends;
            late.count += 1;
            late.longest_ns = late.longest_ns.max(facts.at.saturating_sub(fin.first_at));
        }
    }
}
