//! The raw service of port 8080: a request in, heap lists and ten kilobytes out, close.
//!
//! What a well-known pair of MicroPython test programs speaks, without that server's read race: the answer waits
//! for the end of the request. There is no HTTP head in the answer, and the device closes first.

use core::fmt::Write;

use crate::connection::CloseHow;
use crate::persona::Reading;
use crate::program::Program;
use crate::protocol::{Io, Step};
use crate::telemetry::Readings;
use crate::time::Instant;

/// Bytes of filler after the two lists.
pub const FILLER_LEN: u32 = 10_240;

/// Longest request that is waited for to its end.
const MAX_REQUEST: usize = 1_024;

/// Bytes read at once.
const PIECE: usize = 256;

/// The device's side of one raw connection.
pub(crate) struct Raw {
    phase: Phase,
    /// Microseconds at the time of the answer, repeated throughout the filler.
    stamp_us: u64,
}

#[derive(Clone, Copy)]
enum Phase {
    Request,
    Lists(Ending),
    Filler(u32, Ending),
}

/// How the connection ends once the answer is out.
#[derive(Clone, Copy)]
enum Ending {
    Close(CloseHow),
    /// Some of an oversized request may still be on its way.
    Drain,
}

impl Raw {
    pub(crate) const fn new() -> Self {
        Self { phase: Phase::Request, stamp_us: 0 }
    }

    pub(crate) fn step(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        match self.phase {
            Phase::Request => self.request(io, program, now),
            Phase::Lists(_) if !io.output.is_empty() => Step::Flush,
            Phase::Lists(_) => Step::Readings,
            Phase::Filler(0, Ending::Close(how)) => Step::Close(how),
            Phase::Filler(0, Ending::Drain) => Step::Drain,
            Phase::Filler(left, ending) => {
                let written = self.fill(io, FILLER_LEN - left);
                self.phase = Phase::Filler(left - written, ending);
                if written == left { Step::Again } else { Step::Flush }
            }
        }
    }

    fn request(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        let len = io.input.len();
        let mut at_most = PIECE;
        let mut wake = None;
        let ending = match io.habits.reading {
            Reading::OnlyFirst(bytes) if len >= bytes.into() => Some(Ending::Close(CloseHow::Unread)),
            Reading::OnlyFirst(bytes) => {
                at_most = usize::from(bytes) - len;
                None
            }
            Reading::OnlyWithin(wait) => {
                wake = Some(io.opened + wait);
                (now >= io.opened + wait).then_some(Ending::Close(CloseHow::Orderly))
            }
            Reading::ToTheEnd | Reading::StopsAfter(_) => None,
        };
        let end_of_head = ends(io.input.filled());
        let ending = match ending {
            Some(ending) => Some(ending),
            None if end_of_head || (io.peer_closed && len > 0) => Some(Ending::Close(CloseHow::Orderly)),
            None if len >= MAX_REQUEST => Some(Ending::Drain),
            None => None,
        };
        match ending {
            Some(ending) => {
                io.input.clear();
                program.count_served(io.service);
                self.stamp_us = now.as_micros();
                self.phase = Phase::Lists(ending);
                Step::Again
            }
            None => Step::Read { at_most, wake },
        }
    }

    /// Answers [`Step::Readings`] with the lists: one tuple a heap region, of total, free, largest free block and
    /// minimum ever free, in bytes. A device that does not know its heap has empty lists.
    pub(crate) fn provide(
        &mut self,
        io: &mut Io<'_>,
        _program: &mut Program,
        readings: &Readings<'_>,
        _now: Instant,
    ) {
        let Phase::Lists(ending) = self.phase else {
            return;
        };
        let written = match readings.heap {
            Some(heap) => write!(
                io.output,
                "EXEC:[]\nDATA:[({}, {}, {}, {})]\n",
                heap.total,
                heap.free,
                heap.largest.unwrap_or(0),
                heap.min_free.unwrap_or(0),
            ),
            None => io.output.write_str("EXEC:[]\nDATA:[]\n"),
        };
        debug_assert!(written.is_ok(), "the lists always fit into an empty buffer");
        self.phase = Phase::Filler(FILLER_LEN, ending);
    }

    /// Writes filler from this offset on, as much as fits, and returns how much.
    fn fill(&self, io: &mut Io<'_>, offset: u32) -> u32 {
        let mut unit = crate::buffer::Buffer::<48>::new();
        // Twenty digits at most: fits.
        let _ = write!(unit, " HelloWorld@{}", u128::from(self.stamp_us) * 1_000);
        let unit = unit.filled();
        let left = (FILLER_LEN - offset) as usize;
        let space = io.output.space();
        let take = left.min(space.len());
        let mut pattern = unit.iter().cycle().skip(offset as usize % unit.len());
        for place in &mut space[..take] {
            *place = pattern.next().copied().unwrap_or(b' ');
        }
        io.output.fill(take);
        take as u32
    }
}

fn ends(request: &[u8]) -> bool {
    request.windows(4).any(|window| window == b"\r\n\r\n")
        || request.windows(2).any(|window| window == b"\n\n")
}
