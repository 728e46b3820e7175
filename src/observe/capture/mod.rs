//! Live capture of the device's packets, headers only unless whole packets are asked for.
//!
//! Duty: open a packet socket on the interface that leads to the device, let the kernel keep only the
//! device's packets, hand them out borrowed, and never lose count of what was dropped. It must not know
//! what the packets mean.
//!
//! A capture is complete only if [`CaptureStats::is_complete`] says so at its end: whoever reports "nothing
//! was seen" has to ask.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

pub mod filter;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::Capture;

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(not(target_os = "linux"))]
pub use elsewhere::Capture;

pub use filter::{IcmpErrors, Ports};

/// LINKTYPE number of frames that begin with an Ethernet header (the `lo` interface has one, too).
pub const LINKTYPE_ETHERNET: u16 = 1;
/// LINKTYPE number of packets that begin with their IP header, as from a TUN device.
pub const LINKTYPE_RAW: u16 = 101;

/// LINKTYPE number of 802.11 frames without anything before them.
pub const LINKTYPE_WIFI: u16 = 105;
/// The same behind a radiotap header.
pub const LINKTYPE_RADIOTAP: u16 = 127;

/// Bytes of each frame of the air: a beacon's traffic indication map is within its first hundreds.
const AIR_SNAP_LENGTH: u32 = 512;

/// Room that a ring has by default: about 40,000 packets cut to headers, a tenth of a second of the fastest storm.
pub const DEFAULT_RING_BYTES: usize = 8 << 20;

/// How much of each packet is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Keep {
    /// Link, IP and TCP headers with all their options: 160 bytes.
    #[default]
    Headers,
    /// All of it, as a file for other tools wants.
    Whole,
}

impl Keep {
    /// The snap length: 14 bytes of Ethernet, two VLAN tags, IP with options and TCP with options make 142;
    /// the rest is for a short IPv6 extension header.
    #[must_use]
    pub const fn snap_length(self) -> u32 {
        match self {
            Self::Headers => 160,
            Self::Whole => 262_144,
        }
    }
}

/// What to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureConfig {
    /// The device's addresses, 1 to [`filter::MAX_ADDRESSES`].
    pub devices: Vec<IpAddr>,
    /// The device's TCP ports.
    pub ports: Ports,
    /// A TCP port of this machine's that the device dials.
    pub dialled: Option<u16>,
    /// How much of each packet to keep.
    pub keep: Keep,
    /// Whether ICMP errors about packets to the device are wanted, too.
    pub icmp: IcmpErrors,
    /// Room for packets that were not read yet, bytes; 1 MiB at least.
    pub ring_bytes: usize,
    /// The interface by name; `None` for the one that the route to the device leaves by.
    pub interface: Option<String>,
}

impl CaptureConfig {
    /// All TCP packets of `devices`, headers only, on the interface that leads there.
    #[must_use]
    pub fn of(devices: impl IntoIterator<Item = IpAddr>) -> Self {
        Self {
            devices: devices.into_iter().collect(),
            ports: Ports::Any,
            dialled: None,
            keep: Keep::Headers,
            icmp: IcmpErrors::Ignore,
            ring_bytes: DEFAULT_RING_BYTES,
            interface: None,
        }
    }
}

/// Why there is no capture. The run goes on without one, and says so.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The system does not let this process see packets.
    #[error("{reason}; {remedy}")]
    Denied {
        /// What was refused.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// This system cannot capture at all.
    #[error("this system has no packet capture that espstress can use: {reason}")]
    Unsupported {
        /// What is missing.
        reason: String,
    },
    /// It should have worked.
    #[error("{step}: {source}")]
    Failed {
        /// What was being done.
        step: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Which way a packet went, where the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travel {
    /// The host sent it.
    Outgoing,
    /// The host received it.
    Incoming,
    /// Both ends are this host, as on `lo`.
    Unknown,
}

/// One captured packet, borrowed from the ring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// When the kernel saw it, nanoseconds since the Unix epoch.
    pub at_ns: i64,
    /// How its bytes begin: [`LINKTYPE_ETHERNET`] or [`LINKTYPE_RAW`]; from a monitor interface [`LINKTYPE_RADIOTAP`] or
    /// [`LINKTYPE_WIFI`].
    pub link: u16,
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// How long it was; above 1,514 where the network card merges or splits segments itself.
    pub original_len: u32,
    /// Which way it went.
    pub travel: Travel,
    /// The VLAN tag that the kernel took out of `bytes`, if any.
    pub vlan: Option<VlanTag>,
}

/// An 802.1Q tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// Tag protocol: 0x8100 or 0x88a8.
    pub protocol: u16,
    /// Priority, drop eligibility and VLAN number.
    pub control: u16,
}

impl fmt::Debug for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("at_ns", &self.at_ns)
            .field("link", &self.link)
            .field("captured", &self.bytes.len())
            .field("original_len", &self.original_len)
            .field("travel", &self.travel)
            .field("vlan", &self.vlan)
            .finish()
    }
}

/// What one call of `next_batch` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct BatchInfo {
    /// Packets handed out; 0 when the time passed without one.
    pub packets: u64,
}

/// The kernel's own counts since the capture was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CaptureStats {
    /// Packets that passed the filter, the dropped ones included.
    pub packets: u64,
    /// Of those, dropped because the ring was full.
    pub dropped: u64,
    /// How often the ring was full.
    pub freezes: u64,
    /// How often the interface went down; what passed while it came back may be missing.
    pub interface_downs: u64,
    /// Ring entries that made no sense and were skipped: a fault of the kernel's or ours.
    pub malformed: u64,
}

impl CaptureStats {
    /// Whether every packet was seen.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.dropped == 0 && self.interface_downs == 0 && self.malformed == 0
    }
}

/// How long the kernel may hold back a packet before it hands it out.
pub const HOLD_BACK: Duration = Duration::from_millis(20);
