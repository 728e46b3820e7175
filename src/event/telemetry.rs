//! What the device said of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One telemetry datagram or `/telemetry` answer. Every reading that the device could not make is `None`.
/// Field names are the device program's; unknown ones are ignored so that other firmware may say more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// Time since the device started, milliseconds.
    pub uptime_ms: Option<u64>,
    /// How often it has started, where it keeps count.
    pub boot_count: Option<u32>,
    /// Why it last started, by ESP-IDF's name without the `ESP_RST_` (POWERON, SW, PANIC, TASK_WDT, ...).
    pub reset_reason: Option<String>,
    /// Heap free now, bytes.
    pub heap_free_bytes: Option<u64>,
    /// Least heap that was ever free, bytes.
    pub heap_min_free_bytes: Option<u64>,
    /// Largest block that could be allocated now, bytes.
    pub heap_largest_block_bytes: Option<u64>,
    /// Heap in all, bytes.
    pub heap_total_bytes: Option<u64>,
    /// Signal strength, dBm.
    pub wifi_rssi_dbm: Option<i32>,
    /// Disconnections from the access point since start.
    pub wifi_disconnects: Option<u64>,
    /// Last reason, by ESP-IDF's name without `WIFI_REASON_`.
    pub wifi_last_reason: Option<String>,
    /// Power-save mode: NONE, MIN_MODEM or MAX_MODEM.
    pub wifi_power_save: Option<String>,
    /// Sockets in use.
    pub sockets_used: Option<u32>,
    /// Sockets there are.
    pub sockets_limit: Option<u32>,
    /// TCP control blocks in TIME_WAIT, where the stack can tell.
    pub tcp_time_wait: Option<u32>,
    /// Which stack carries the program: lwip, smoltcp, host, ...
    pub stack: Option<String>,
    /// Its version.
    pub stack_version: Option<String>,
    /// Persona in force.
    pub persona: Option<String>,
    /// Options in force, by name.
    pub options: BTreeMap<String, String>,
}

/// A telemetry reading with the time it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSample {
    /// Since the start of the run, nanoseconds on the monotonic clock.
    pub at_ns: u64,
    /// The reading.
    pub telemetry: Telemetry,
}
