//! From what a rule says of a connection to what is told: once where it cannot tell, with packets for the first few.

use espstress_event::{AnomalyId, Direction, Occurrence, Shown};

use super::super::flow::{Ending, Flow};
use super::super::rules::{self, Obstacle, Ruling, Verdict};
use super::super::summary::QuietSpell;
use super::Observer;

impl Observer {
    /// A stall of the device's is over, or nothing more will be seen of it.
    pub(super) fn stall(&mut self, slot: u32, at: i64, sink: &mut impl FnMut(Occurrence)) {
        if let Some(since) = self.table.flow_mut(slot).stalled_since.take() {
            let ruling = rules::on_stall(self.table.flow(slot), since, at, self.gaps);
            self.rule(slot, ruling, sink);
        }
    }

    /// Nothing more will come of the connection in `slot`.
    pub(super) fn end_of(&mut self, slot: u32, why: Obstacle, sink: &mut impl FnMut(Occurrence)) {
        self.stall(slot, self.now, sink);
        let flow = self.table.flow(slot);
        if flow.missing {
            match (flow.host.last_at, flow.device.last_at) {
                (Some(_), None) => self.summary.host_half_only += 1,
                (None, Some(_)) => self.summary.device_half_only += 1,
                _ => {}
            }
        }
        let mut said: [Option<Ruling>; 4] = [None; 4];
        let mut n = 0;
        rules::on_end(self.table.flow(slot), self.gaps, why, |ruling| {
            if let Some(place) = said.get_mut(n) {
                *place = Some(ruling);
                n += 1;
            }
        });
        for ruling in said.into_iter().flatten() {
            self.rule(slot, ruling, sink);
        }
    }

    pub(super) fn rule(&mut self, slot: u32, ruling: Ruling, sink: &mut impl FnMut(Occurrence)) {
        let live = self.table.live();
        let flow = self.table.flow_mut(slot);
        match ruling {
            Ruling::CannotTell(id, why) => {
                if !flow.has_told(id) {
                    flow.tell(id);
                    self.unjudged.add(id, why);
                }
            }
            Ruling::Fires(verdict) => {
                flow.tell(verdict.id);
                let absence = self.quiet.just_ended(verdict.at, flow.opened_at);
                let mut occurrence = self.examples.occurrence(flow, &verdict, absence);
                occurrence.others = live.saturating_sub(u32::from(flow.ended.is_none()));
                if let (Some((reset_at, Ending::Reset(Direction::FromHost))), true) =
                    (flow.ended, shows_lost_reset(&occurrence))
                {
                    self.resets.lost(reset_at, occurrence.at_ns);
                }
                sink(occurrence);
            }
        }
    }
}

/// Whether it is the first sign that the device has not received the RST by which the host ended the connection.
fn shows_lost_reset(o: &Occurrence) -> bool {
    o.id == AnomalyId::PostRunChatter && o.shows == Shown::Prompted && o.nth == 1
}

/// How many examples are still wanted, by id and by what is shown.
#[derive(Debug)]
pub(super) struct Examples {
    left: [[u32; 3]; AnomalyId::ALL.len()],
}

impl Examples {
    /// So many for each.
    pub(super) const fn new(each: u32) -> Self {
        Self { left: [[each; 3]; AnomalyId::ALL.len()] }
    }

    fn occurrence(&mut self, flow: &mut Flow, v: &Verdict, absence: Option<QuietSpell>) -> Occurrence {
        let nth = flow.count(v.id, v.shows, v.direction);
        let shown = match v.shows {
            Shown::Unprompted => 0,
            Shown::OnTheWay => 1,
            Shown::Prompted => 2,
        };
        let left = &mut self.left[v.id as usize][shown];
        let packets = if *left > 0 {
            *left -= 1;
            flow.packets()
        } else {
            Vec::new()
        };
        Occurrence {
            id: v.id,
            shows: v.shows,
            connection: flow.connection(),
            direction: v.direction,
            at_ns: v.at,
            nth,
            answers: v.answers,
            after_fin_ns: v.after_fin,
            request: v.request,
            others: 0,
            copies: v.copies,
            unanswered_ns: flow.unanswered(v.at),
            after_absence: absence.is_some(),
            forgotten: absence.is_some_and(|spell| {
                let asked = flow.unanswered(v.at).map(|waited| v.at.saturating_sub(waited));
                flow.host.fin.is_none() && asked.is_none_or(|asked| asked >= spell.from_ns)
            }),
            lasted_ns: v.lasted,
            packets,
            remark: v.remark,
        }
    }
}
