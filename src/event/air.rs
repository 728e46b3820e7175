//! What was heard on the air of one station and its access points.
//!
//! Times are seconds since the start of the run, or since the first packet of a capture file. What was not heard is
//! absent, and never 0.

use serde::{Deserialize, Serialize};

use super::MacAddress;

/// What the air showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Air {
    /// 802.11 frames, each once; of control frames, PS-Polls alone.
    pub frames: u64,
    /// Frames that were heard again: by a second radio, or because they were sent again.
    pub heard_again: u64,
    /// Frames whose check sequence was wrong; they are left out.
    pub damaged: u64,
    /// Frames whose header is cut or no 802.11; they are left out.
    pub not_read: u64,
    /// Data frames whose content is encrypted.
    pub encrypted: u64,
    /// Data frames whose content is open.
    pub open: u64,
    /// The channels on which frames were heard, by frequency.
    pub channels: Vec<AirChannel>,
    /// The station that is described; null where none was heard.
    pub station: Option<AirStation>,
    /// The networks to which it belonged.
    pub networks: Vec<AirNetwork>,
    /// Other stations, those that talk most first; ten at most.
    pub other_stations: Vec<AirOther>,
    /// Stations and networks beyond those that are kept.
    pub beyond: u64,
    /// Packets that the kernel dropped before they were read; null for a capture file.
    #[serde(default)]
    pub dropped: Option<u64>,
    /// Why the capture broke off, if it did.
    #[serde(default)]
    pub failure: Option<String>,
}

/// A channel on which frames were heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirChannel {
    /// Its frequency, MHz.
    pub frequency_mhz: u16,
    /// Frames heard there.
    pub frames: u64,
}

/// Another station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirOther {
    /// Its hardware address.
    pub address: MacAddress,
    /// Whether the address is one of Espressif's.
    pub espressif: bool,
    /// Frames from it.
    pub frames: u64,
}

/// Why this station is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Chosen {
    /// The user named it, or it has the address of the device under test.
    Named,
    /// It talks most of those with an address of Espressif's.
    Espressif,
    /// It talks most.
    TalksMost,
}

/// Who sent a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AirSide {
    /// The station.
    Station,
    /// Its access point.
    AccessPoint,
}

/// A station.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirStation {
    /// Its hardware address.
    pub address: MacAddress,
    /// Whether the address is one of Espressif's.
    pub espressif: bool,
    /// Why this one.
    pub chosen: Chosen,
    /// The number of its last association; null where it was not heard.
    pub association_id: Option<u16>,
    /// The listen interval that it announced, beacons; null where it was not heard.
    pub listen_interval: Option<u16>,
    /// Authentications that succeeded.
    pub authentications: u64,
    /// Associations that succeeded.
    pub associations: u64,
    /// Authentications and associations that were refused, by status.
    pub refusals: Vec<Refusal>,
    /// Deauthentications and disassociations, by whom, kind and reason.
    pub departures: Vec<Departure>,
    /// How often it went to another access point.
    pub roams: u64,
    /// What happened, in the order of time; a hundred at most.
    pub events: Vec<AirEvent>,
    /// Further events.
    pub events_beyond: u64,
    /// How it saves power.
    pub power_save: AirPowerSave,
    /// Frames from it.
    pub sent: AirTraffic,
    /// Frames to it from its access points.
    pub received: AirTraffic,
}

impl AirStation {
    /// One of which nothing more was heard.
    #[must_use]
    pub fn new(address: MacAddress, chosen: Chosen) -> Self {
        Self {
            address,
            espressif: address.is_espressif(),
            chosen,
            association_id: None,
            listen_interval: None,
            authentications: 0,
            associations: 0,
            refusals: Vec::new(),
            departures: Vec::new(),
            roams: 0,
            events: Vec::new(),
            events_beyond: 0,
            power_save: AirPowerSave::default(),
            sent: AirTraffic::default(),
            received: AirTraffic::default(),
        }
    }
}

/// Attempts to join that were refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Whether an association was refused, rather than an authentication.
    pub association: bool,
    /// Status code.
    pub status: u16,
    /// Its name; null for a code without one.
    pub status_name: Option<String>,
    /// How many.
    pub count: u64,
    /// The first one, seconds.
    pub first_s: f64,
    /// The last one, seconds.
    pub last_s: f64,
}

/// Deauthentications or disassociations of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Departure {
    /// Whose address the frame has as its sender.
    pub by: AirSide,
    /// Whether it was a deauthentication, rather than a disassociation.
    pub deauthentication: bool,
    /// Reason code; null where it is encrypted or cut.
    pub reason: Option<u16>,
    /// Its name; null for a code without one.
    pub reason_name: Option<String>,
    /// How many.
    pub count: u64,
    /// Those after which the station was at another access point within two seconds.
    pub before_roam: u64,
    /// Those whose sequence number does not follow the sender's own: someone else may have sent them.
    pub out_of_sequence: u64,
    /// Number of the first one's packet.
    pub packet: u64,
    /// The first one, seconds.
    pub first_s: f64,
    /// The last one, seconds.
    pub last_s: f64,
}

/// Something that happened to a station.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirEvent {
    /// When, seconds.
    pub at_s: f64,
    /// Number of the packet that shows it.
    pub packet: u64,
    /// The access point.
    pub network: MacAddress,
    /// What.
    pub what: AirDeed,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AirDeed {
    /// It was associated when it was first heard.
    AlreadyAssociated,
    /// It was authenticated.
    Authenticated,
    /// Authentication was refused, with this status.
    AuthenticationRefused(u16),
    /// It was associated.
    Associated,
    /// Association was refused, with this status.
    AssociationRefused(u16),
    /// A deauthentication, with its reason where it could be read.
    Deauthenticated {
        /// Who sent it.
        by: AirSide,
        /// Reason code.
        reason: Option<u16>,
    },
    /// A disassociation, with its reason where it could be read.
    Disassociated {
        /// Who sent it.
        by: AirSide,
        /// Reason code.
        reason: Option<u16>,
    },
    /// It is with this access point now, and was with another before.
    Roamed {
        /// With which before.
        from: MacAddress,
        /// From the last frame with the old one to the first with the new one, seconds.
        gap_s: f64,
    },
    /// The access point announces that it goes to another channel.
    ChannelSwitchAnnounced {
        /// To which.
        channel: u8,
    },
    /// The access point's beacons name another channel than before.
    ChannelSwitched {
        /// Before.
        from: u8,
        /// Now.
        to: u8,
    },
    /// The access point's own clock began anew.
    AccessPointRestarted,
}

impl AirDeed {
    /// Whether the association ends by it.
    #[must_use]
    pub const fn is_departure(&self) -> bool {
        matches!(self, Self::Deauthenticated { .. } | Self::Disassociated { .. })
    }
}

/// How a station saves power.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirPowerSave {
    /// How often it said that it goes to sleep.
    pub sleeps: u64,
    /// How often it said that it is awake again.
    pub wakes: u64,
    /// How long it slept, as far as it said, seconds.
    pub asleep_s: f64,
    /// Null frames from it.
    pub null_frames: u64,
    /// PS-Poll frames from it.
    pub ps_polls: u64,
    /// How often beacons announced frames for it, each announcement once until a frame comes; null where the number of its
    /// association is not known.
    pub announced: Option<u64>,
    /// Announcements after which a frame to it was heard.
    pub fetched: u64,
    /// From the beacon to the frame; null where there was none.
    pub wait: Option<AirWait>,
}

/// How long frames waited at the access point after a beacon had announced them. The frames came to the access point up
/// to one beacon interval before: see `at_most_s`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirWait {
    /// How many waits.
    pub count: u64,
    /// Median, seconds.
    pub p50_s: f64,
    /// The longest, seconds.
    pub max_s: f64,
    /// Median of the time since the last beacon that did not announce them yet, seconds: they waited no longer. Null where
    /// no such beacon was heard.
    pub at_most_p50_s: Option<f64>,
    /// Packet number of the beacon that announced the longest one.
    pub beacon: u64,
    /// When, seconds.
    pub beacon_at_s: f64,
    /// Packet number of the frame that ended it.
    pub frame: u64,
}

/// Frames of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirTraffic {
    /// Frames, each once: data, null frames and management.
    pub frames: u64,
    /// Data frames, each once.
    pub data: u64,
    /// Data frames that were sent more than once.
    pub retried: u64,
    /// Frames that were not heard, by their sequence numbers.
    pub missed: u64,
    /// Frames with a sequence number that could have shown one.
    pub followed: u64,
    /// Signal at the receiver of the capture; null where it did not note it.
    pub signal: Option<AirSignal>,
    /// Rates of data frames; null where they were not noted.
    pub rate: Option<AirRate>,
}

impl AirTraffic {
    /// The share of frames that were not heard; `None` where too few could show it.
    #[must_use]
    pub fn missed_share(&self) -> Option<f64> {
        (self.followed >= 20).then(|| self.missed as f64 / self.missed.saturating_add(self.followed) as f64)
    }
}

/// Signal of frames, dBm, where the capture was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirSignal {
    /// Frames whose signal was noted.
    pub frames: u64,
    /// The weakest, dBm.
    pub min_dbm: i8,
    /// Median, dBm.
    pub p50_dbm: i8,
    /// The strongest, dBm.
    pub max_dbm: i8,
}

/// Rates of data frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirRate {
    /// Frames whose rate was noted.
    pub frames: u64,
    /// The slowest, Mbit/s.
    pub min_mbps: f64,
    /// Median, Mbit/s.
    pub p50_mbps: f64,
    /// The fastest, Mbit/s.
    pub max_mbps: f64,
}

/// A network, as its beacons tell it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AirNetwork {
    /// Hardware address of the access point (BSSID).
    pub address: MacAddress,
    /// Its name; null where it is hidden or no text.
    pub ssid: Option<String>,
    /// Its channel; null where no beacon named it.
    pub channel: Option<u8>,
    /// Beacon interval, units of 1,024 us; null without a beacon.
    pub beacon_interval_tu: Option<u16>,
    /// Beacons from one DTIM to the next; null without a beacon that tells.
    pub dtim_period: Option<u8>,
    /// Beacons heard.
    pub beacons: u64,
    /// Beacons that were due and that the access point did not send: its sequence numbers have no gap there.
    pub beacons_unsent: u64,
    /// Beacons that were due and not heard: the capture may have missed them.
    pub beacons_unheard: u64,
    /// The longest time from one beacon to the next where those between were not sent, seconds; null where all were.
    pub longest_unsent_s: Option<f64>,
    /// Signal of its frames where the capture was made.
    pub signal: Option<AirSignal>,
}
