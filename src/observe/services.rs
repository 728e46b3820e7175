//! What one connection alone cannot tell, service by service.
//!
//! A SYN sent once that went unanswered is the path's when it is alone, the device's when three in a row met it, by
//! the order in which they were sent: it is the deadline that tells of them, and answers may come before it. A
//! silence of the device (no answer to a SYN sent again, no FIN, no window, no acknowledgement) may be a run of lost
//! segments where the path loses some: it is the device's when three met it before fifty others have ended as they
//! should.
//!
//! The first two are held back until the third, an answer, or the end says what they are.

use crate::event::{AnomalyClass, AnomalyId, Occurrence};

use super::flow::End;

/// Connections that make it the device's doing.
const ROW: u32 = 3;
/// Connections that have ended in an orderly way since, and show that it was an exception.
const ORDERLY: u32 = 50;
/// What a silence looks like.
const SILENCES: [AnomalyId; 4] = [
    AnomalyId::SynUnanswered,
    AnomalyId::HalfClosedLinger,
    AnomalyId::ZeroWindowStall,
    AnomalyId::NoAckToData,
];
const LOST: &str = "the path loses segments: what was waited for may be among them";
/// Services followed at once; far more than a device has.
const SERVICES: usize = 64;

#[derive(Debug)]
struct Service {
    end: End,
    row: u32,
    /// When the last one of the row was sent, nanoseconds since the Unix epoch.
    last_of_row: i64,
    /// When a SYN was last answered.
    answered_at: i64,
    held: Vec<Occurrence>,
    silences: [Silence; SILENCES.len()],
}

/// One kind of silence of one service.
#[derive(Debug, Default)]
struct Silence {
    met: u32,
    orderly_since: u32,
    held: Vec<Occurrence>,
}

/// Whether the path has been seen to lose segments of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathIs {
    /// Nothing was missing.
    Whole,
    /// The host sent payload again. It does so as well to a device that does not read; a lost SYN and a lost FIN are
    /// explained.
    Repeating,
    /// Something of the device's was sent again or came late, once or twice. A device that drops segments misses the
    /// acknowledgements in them and repeats as well (lwIP `tcp_input`, `refused_data`).
    Losing,
    /// Three times and more.
    LosingOften,
}

impl PathIs {
    /// Whether the device's own segments show it to lose some.
    pub(super) const fn loses(self) -> bool {
        matches!(self, Self::Losing | Self::LosingOften)
    }

    /// Whether lost segments may be all there is to an occurrence of the kind.
    fn explains(self, id: AnomalyId) -> bool {
        match id {
            // Four copies of a segment, or a window and the answers to all probes for it, have to be lost.
            AnomalyId::NoAckToData | AnomalyId::ZeroWindowStall => self == Self::LosingOften,
            _ => self != Self::Whole,
        }
    }
}

impl Silence {
    fn met(&mut self, occurrence: Occurrence, sink: &mut impl FnMut(Occurrence)) {
        self.met = self.met.saturating_add(1);
        self.orderly_since = 0;
        if self.met < ROW {
            self.held.push(occurrence);
        } else {
            self.held.drain(..).for_each(&mut *sink);
            sink(occurrence);
        }
    }

    fn orderly(&mut self, path: PathIs, sink: &mut impl FnMut(Occurrence)) {
        if self.met == 0 {
            return;
        }
        self.orderly_since += 1;
        if self.orderly_since >= ORDERLY {
            self.met = 0;
            self.release(path, sink);
        }
    }

    fn release(&mut self, path: PathIs, sink: &mut impl FnMut(Occurrence)) {
        for mut occurrence in self.held.drain(..) {
            if path.explains(occurrence.id) {
                occurrence.class = AnomalyClass::Path;
                occurrence.remark = Some(LOST);
            }
            sink(occurrence);
        }
    }
}

/// The rows of all services.
#[derive(Debug, Default)]
pub(super) struct Services {
    list: Vec<Service>,
    /// Which one makes room next.
    turn: usize,
}

impl Services {
    /// A SYN to `end` was answered, at `at` nanoseconds since the Unix epoch.
    pub(super) fn answered(&mut self, end: End, at: i64, path: PathIs, sink: &mut impl FnMut(Occurrence)) {
        let service = self.service(end, path, sink);
        service.answered_at = at;
        service.end_row(sink);
    }

    /// A SYN to `end` was not answered by the deadline.
    pub(super) fn unanswered(
        &mut self,
        end: End,
        mut occurrence: Occurrence,
        path: PathIs,
        sink: &mut impl FnMut(Occurrence),
    ) {
        let service = self.service(end, path, sink);
        if service.answered_at > service.last_of_row && service.answered_at <= occurrence.at_ns {
            service.end_row(sink);
        }
        service.last_of_row = service.last_of_row.max(occurrence.at_ns);
        service.row = service.row.saturating_add(1);
        if service.row >= ROW {
            for mut held in service.held.drain(..) {
                held.class = AnomalyClass::Device;
                sink(held);
            }
            occurrence.class = AnomalyClass::Device;
        }
        match occurrence.class {
            AnomalyClass::Device if service.row < ROW => self.silent(end, occurrence, path, sink),
            AnomalyClass::Device => sink(occurrence),
            AnomalyClass::Path | AnomalyClass::Provoked => service.held.push(occurrence),
        }
    }

    /// Whether `occurrence` is one of those that [`silent`](Self::silent) weighs.
    pub(super) fn weighs(occurrence: &Occurrence) -> bool {
        occurrence.class == AnomalyClass::Device && SILENCES.contains(&occurrence.id)
    }

    /// The device at `end` was silent where it had to say something.
    pub(super) fn silent(
        &mut self,
        end: End,
        occurrence: Occurrence,
        path: PathIs,
        sink: &mut impl FnMut(Occurrence),
    ) {
        let Some(kind) = SILENCES.iter().position(|id| *id == occurrence.id) else { return sink(occurrence) };
        self.service(end, path, sink).silences[kind].met(occurrence, sink);
    }

    /// A connection to `end` has ended with both FINs acknowledged.
    pub(super) fn orderly(&mut self, end: End, path: PathIs, sink: &mut impl FnMut(Occurrence)) {
        if let Some(service) = self.list.iter_mut().find(|s| s.end == end) {
            service.silences.iter_mut().for_each(|silence| silence.orderly(path, sink));
        }
    }

    fn service(&mut self, end: End, path: PathIs, sink: &mut impl FnMut(Occurrence)) -> &mut Service {
        let at = self.list.iter().position(|s| s.end == end).unwrap_or_else(|| {
            let new = Service::new(end);
            if self.list.len() < SERVICES {
                self.list.push(new);
                return self.list.len() - 1;
            }
            let at = self.turn;
            self.turn = (at + 1) % SERVICES;
            self.list[at].release(path, sink);
            self.list[at] = new;
            at
        });
        &mut self.list[at]
    }

    /// Nothing more will come: hands out what is held back.
    pub(super) fn finish(&mut self, path: PathIs, sink: &mut impl FnMut(Occurrence)) {
        for service in &mut self.list {
            service.release(path, sink);
        }
    }
}

impl Service {
    fn new(end: End) -> Self {
        let (last_of_row, answered_at) = (i64::MIN, i64::MIN);
        Self { end, row: 0, last_of_row, answered_at, held: Vec::new(), silences: Default::default() }
    }

    fn end_row(&mut self, sink: &mut impl FnMut(Occurrence)) {
        self.row = 0;
        self.held.drain(..).for_each(sink);
    }

    fn release(&mut self, path: PathIs, sink: &mut impl FnMut(Occurrence)) {
        self.held.drain(..).for_each(&mut *sink);
        self.silences.iter_mut().for_each(|silence| silence.release(path, sink));
    }
}
