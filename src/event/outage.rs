//! One outage of standing connections, as the host saw it and as its maker tells it.

use serde::{Deserialize, Serialize};

use super::MessageLedger;

/// What made an outage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutageOrigin {
    /// This run, by the means it was told to use.
    #[default]
    Made,
    /// Nobody here.
    Natural,
}

/// Why a modelled link was down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkOutageCause {
    /// By the link's own plan.
    Planned,
    /// Somebody asked for it: the workload, or the device itself.
    Asked,
}

/// One outage. Times are nanoseconds since the start of the run; `None` is "not known", never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutageRow {
    /// Its number in the run, from 1.
    pub number: u64,
    /// What made it.
    pub origin: OutageOrigin,
    /// The device that dialled in, when the workload listened.
    pub device: Option<u8>,
    /// When it was to begin.
    pub planned_start_ns: Option<u64>,
    /// How long it was to last.
    pub planned_length_ns: Option<u64>,
    /// When the means says that it began.
    pub made_start_ns: Option<u64>,
    /// When the means says that it ended.
    pub made_end_ns: Option<u64>,
    /// The last byte heard before it.
    pub seen_start_ns: Option<u64>,
    /// The first byte heard after it.
    pub seen_end_ns: Option<u64>,
    /// When the host first called a peer gone.
    pub host_noticed_ns: Option<u64>,
    /// When the device was first seen to have let go of its dead connections: an upper bound.
    pub device_noticed_ns: Option<u64>,
    /// When every connection stood again.
    pub recovered_ns: Option<u64>,
    /// When the host had waited for that as long as it was told to; `None` when it came about, or when the run
    /// was stopped before.
    pub gave_up_ns: Option<u64>,
    /// The first message acknowledged after it.
    pub first_data_ns: Option<u64>,
    /// Connections that stood through it.
    pub lived: u32,
    /// Connections that it ended.
    pub died: u32,
    /// Connections that the device still held for nobody when all of the host's stood again.
    pub half_open_on_device: Option<u32>,
    /// Messages to the device that were under way at its start or sent from then until its recovery.
    pub to_device: MessageLedger,
    /// The same from the device.
    pub to_host: MessageLedger,
}

impl OutageRow {
    /// One about which nothing is known yet.
    #[must_use]
    pub const fn new(number: u64, origin: OutageOrigin) -> Self {
        Self {
            number,
            origin,
            device: None,
            planned_start_ns: None,
            planned_length_ns: None,
            made_start_ns: None,
            made_end_ns: None,
            seen_start_ns: None,
            seen_end_ns: None,
            host_noticed_ns: None,
            device_noticed_ns: None,
            recovered_ns: None,
            gave_up_ns: None,
            first_data_ns: None,
            lived: 0,
            died: 0,
            half_open_on_device: None,
            to_device: MessageLedger::NONE,
            to_host: MessageLedger::NONE,
        }
    }

    /// Length as the host saw it, nanoseconds.
    #[must_use]
    pub fn length_seen_ns(&self) -> Option<u64> {
        Some(self.seen_end_ns?.saturating_sub(self.seen_start_ns?))
    }

    /// Length as far as it is known; where nobody saw the end, it was over at the latest when a device that dials in was
    /// back.
    #[must_use]
    pub fn length_ns(&self) -> Option<u64> {
        let back = self.recovered_ns.filter(|_| self.device.is_some());
        let until_back = || back.zip(self.seen_start_ns).map(|(back, start)| back.saturating_sub(start));
        self.length_seen_ns().or_else(until_back)
    }

    /// Length by the means' own account, nanoseconds.
    #[must_use]
    pub fn length_made_ns(&self) -> Option<u64> {
        Some(self.made_end_ns?.saturating_sub(self.made_start_ns?))
    }

    /// From its end until every connection stood again, nanoseconds.
    #[must_use]
    pub fn recovery_ns(&self) -> Option<u64> {
        Some(self.recovered_ns?.saturating_sub(self.end_ns()?))
    }

    /// The end by the best knowledge: the means', else the first byte heard again.
    #[must_use]
    pub fn end_ns(&self) -> Option<u64> {
        self.made_end_ns.or(self.seen_end_ns)
    }
}

/// What outages have come to so far; a plain copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageProgress {
    /// Outages that were made on purpose.
    pub made: u64,
    /// Outages that came by themselves.
    pub natural: u64,
    /// Attempts to make one that failed.
    pub make_failures: u64,
    /// Connections that stood through an outage.
    pub lived: u64,
    /// Connections that an outage ended.
    pub died: u64,
    /// Connections that ended outside of any outage.
    pub died_outside: u64,
    /// Connections opened again.
    pub reconnected: u64,
    /// Messages to the device.
    pub to_device: MessageLedger,
    /// Messages from the device.
    pub to_host: MessageLedger,
}
