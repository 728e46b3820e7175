//! What a link is asked to do.

use std::fmt;

/// Most frames that one direction holds, whatever its delay and queue: some 12 MiB.
pub const MAX_QUEUE: u32 = 8_192;

/// A whole link.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkSpec {
    /// From the host to the device.
    pub to_device: PathSpec,
    /// From the device to the host.
    pub to_host: PathSpec,
    /// Planned outages, of both directions at once; at most [`LinkSpec::MAX_PLANS`].
    pub outages: Vec<OutagePlan>,
    /// How the device saves power.
    pub power_save: PowerSave,
    /// Beacons to a DTIM, 1 to 10: how often [`PowerSave::MinModem`] listens.
    pub dtim: u32,
    /// Beacons to a listen interval, 1 to 100: how often [`PowerSave::MaxModem`] listens.
    pub listen: u32,
    /// How long the device listens after it sent or received, nanoseconds.
    pub awake_ns: u64,
}

impl LinkSpec {
    /// Most outage plans of one link.
    pub const MAX_PLANS: usize = 16;

    /// A link that does nothing to a frame.
    pub const CLEAN: Self = Self {
        to_device: PathSpec::CLEAN,
        to_host: PathSpec::CLEAN,
        outages: Vec::new(),
        power_save: PowerSave::None,
        dtim: 1,
        listen: 3,
        awake_ns: 10_000_000,
    };

    /// What one direction is asked to do.
    #[must_use]
    pub const fn path(&self, direction: super::Direction) -> &PathSpec {
        match direction {
            super::Direction::ToDevice => &self.to_device,
            super::Direction::ToHost => &self.to_host,
        }
    }

    /// Beacons between two that a sleeping device listens to; `None` when it never sleeps.
    #[must_use]
    pub const fn beacons(&self) -> Option<u32> {
        match self.power_save {
            PowerSave::None => None,
            PowerSave::MinModem => Some(self.dtim),
            PowerSave::MaxModem => Some(self.listen),
        }
    }
}

/// One direction of a link.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PathSpec {
    /// Time on the way, nanoseconds.
    pub delay_ns: u64,
    /// Up to so much more, uniformly distributed, nanoseconds.
    pub jitter_ns: u64,
    /// Whether jitter may let frames overtake each other.
    pub order: Order,
    /// Share of frames lost, 0 to 1.
    pub loss: f64,
    /// Mean length of a run of lost frames (Gilbert-Elliott); `None` loses each frame for itself.
    pub burst: Option<f64>,
    /// Share of frames that arrive twice, 0 to 1.
    pub duplicate: f64,
    /// Bits a second; `None` is without limit.
    pub rate: Option<u64>,
    /// Frames that wait for the air or for the device to wake before further ones are dropped.
    pub queue: u32,
}

impl PathSpec {
    /// A direction that does nothing to a frame.
    pub const CLEAN: Self = Self {
        delay_ns: 0,
        jitter_ns: 0,
        order: Order::Kept,
        loss: 0.0,
        burst: None,
        duplicate: 0.0,
        rate: None,
        queue: 1_000,
    };

    /// Whether a frame passes as if there were no link.
    #[must_use]
    pub fn is_transparent(&self) -> bool {
        self.delay_ns == 0
            && self.jitter_ns == 0
            && self.loss == 0.0
            && self.duplicate == 0.0
            && self.rate.is_none()
    }
}

/// Whether frames arrive in the order in which they were sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// They do: a frame waits for the one before.
    Kept,
    /// They may overtake each other, as their jitter has it.
    Free,
}

/// How the Wi-Fi station saves power.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerSave {
    /// Always awake.
    None,
    /// Wakes at each DTIM beacon.
    MinModem,
    /// Wakes at each listen interval.
    MaxModem,
}

/// Outages by plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutagePlan {
    /// Shortest, nanoseconds.
    pub shortest_ns: u64,
    /// Longest, nanoseconds; between the two uniformly distributed.
    pub longest_ns: u64,
    /// When.
    pub spacing: Spacing,
}

/// When planned outages begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spacing {
    /// Once, so many nanoseconds after the link's start.
    Once(u64),
    /// Again and again, this many nanoseconds from begin to begin; the first one after that time.
    Every(u64),
    /// By chance: from the end of one to the begin of the next, exponentially distributed around this many
    /// nanoseconds.
    Around(u64),
}

impl fmt::Display for PowerSave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::MinModem => "min-modem",
            Self::MaxModem => "max-modem",
        })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Free => "free",
        })
    }
}
