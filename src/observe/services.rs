//! SYNs that went unanswered, service by service: one alone is the path's, three in a row are the device's.
//!
//! The first two of a row are held back until the third, or an answer, says what they are.

use crate::event::{AnomalyClass, Occurrence};

use super::flow::End;

/// Connections in a row that make it the device's doing.
const ROW: u32 = 3;
/// Services followed at once; far more than a device has.
const SERVICES: usize = 64;

#[derive(Debug)]
struct Service {
    end: End,
    row: u32,
    held: Vec<Occurrence>,
}

/// The rows of all services.
#[derive(Debug, Default)]
pub(super) struct Services {
    list: Vec<Service>,
    /// Which one makes room next.
    turn: usize,
}

impl Services {
    /// A SYN to `end` was answered.
    pub(super) fn answered(&mut self, end: End, sink: &mut impl FnMut(Occurrence)) {
        if let Some(service) = self.list.iter_mut().find(|s| s.end == end) {
            service.row = 0;
            service.held.drain(..).for_each(sink);
        }
    }

    /// A SYN to `end` was not answered by the deadline.
    pub(super) fn unanswered(
        &mut self,
        end: End,
        mut occurrence: Occurrence,
        sink: &mut impl FnMut(Occurrence),
    ) {
        let service = self.service(end, sink);
        service.row = service.row.saturating_add(1);
        if service.row >= ROW {
            for mut held in service.held.drain(..) {
                held.class = AnomalyClass::Device;
                sink(held);
            }
            occurrence.class = AnomalyClass::Device;
        }
        if occurrence.class == AnomalyClass::Device {
            sink(occurrence);
        } else {
            service.held.push(occurrence);
        }
    }

    fn service(&mut self, end: End, sink: &mut impl FnMut(Occurrence)) -> &mut Service {
        let at = self.list.iter().position(|s| s.end == end).unwrap_or_else(|| {
            let new = Service { end, row: 0, held: Vec::new() };
            if self.list.len() < SERVICES {
                self.list.push(new);
                return self.list.len() - 1;
            }
            let at = self.turn;
            self.turn = (at + 1) % SERVICES;
            self.list[at].held.drain(..).for_each(sink);
            self.list[at] = new;
            at
        });
        &mut self.list[at]
    }

    /// Nothing more will come: hands out what is held back.
    pub(super) fn finish(&mut self, sink: &mut impl FnMut(Occurrence)) {
        for service in &mut self.list {
            service.held.drain(..).for_each(&mut *sink);
        }
    }
}
