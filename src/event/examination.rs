//! What a doctor's examination came to: checks in plain words, and what was done to the device for them.

use serde::{Deserialize, Serialize};

/// How a check turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// It could not be told.
    Unknown,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What, in a word or two.
    pub name: String,
    /// How it turned out.
    pub mark: Mark,
    /// What was seen, with its figures.
    pub seen: String,
}

/// What was done to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Deeds {
    /// TCP connections tried, the probes' among them.
    pub connections: u64,
    /// Connections that were open at once, at most.
    pub connections_at_once: u64,
    /// Requests sent.
    pub requests: u64,
    /// Bytes sent to it within connections.
    pub bytes_sent: u64,
    /// Bytes received from it within connections.
    pub bytes_received: u64,
    /// Connections on which the host fell silent.
    pub silenced: u64,
    /// Connections that the host ended by a RST.
    pub resets: u64,
    /// Pings and telemetry questions.
    pub datagrams: u64,
}

/// An examination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Examination {
    /// What was looked at, in a fixed order.
    pub checks: Vec<Check>,
    /// What was done to the device for it.
    pub done: Deeds,
    /// Why it is not complete; null when it came to its end.
    #[serde(default)]
    pub incomplete: Option<String>,
}
