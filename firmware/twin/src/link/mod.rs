//! The link between the host and the device: what the air does to frames.
//!
//! Pure and seeded. Frames go in with [`Link::push`], due ones come out of [`Link::poll`], and
//! [`Link::next_due_ns`] says when to ask again. Time is an argument, nanoseconds on any clock that only goes
//! forward. The fate of a frame depends on the seed, the direction and the frame's number in that direction; with
//! the same times of pushing, the same frames meet the same fate to the nanosecond.
//!
//! Nothing here knows sockets, threads, clocks or what the bytes of a frame mean.

mod counters;
mod luck;
mod model;
mod outage;
mod parse;
mod path;
mod pool;
mod power_save;
mod spec;
mod table;

pub use counters::{Counters, Lost};
pub use model::{Link, LinkEvent, Passage};
pub use outage::OutageCause;
pub use parse::LinkError;
pub use power_save::BEACON_NS;
pub use spec::{LinkSpec, MAX_QUEUE, Order, OutagePlan, PathSpec, PowerSave, Spacing};
pub use table::{NAMED, Named, named};

/// Which way a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// From the host to the device.
    ToDevice,
    /// From the device to the host.
    ToHost,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ToDevice, Self::ToHost];

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::ToDevice => 0,
            Self::ToHost => 1,
        }
    }
}
