//! What the device said of itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PowerSave, ResetReason};

/// One telemetry datagram or `/telemetry` answer. Every reading that the device could not make is `None`.
/// The device's JSON is nested and read by [`Telemetry::parse`]; unknown keys are ignored so that other firmware
/// may say more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Telemetry {
    /// The number of the request that this answers.
    pub request: Option<u32>,
    /// The device's name.
    pub device: Option<String>,
    /// Version of its firmware.
    pub firmware: Option<String>,
    /// Time since the device started, milliseconds.
    pub uptime_ms: Option<u64>,
    /// How often it has started, where it keeps count.
    pub boot_count: Option<u32>,
    /// Why it last started.
    pub reset_reason: Option<ResetReason>,
    /// How its program ended before this start, in its own words, where somebody kept them.
    pub last_words: Option<String>,
    /// Memory of a program of the user's own, apart from the stack's heap, bytes.
    pub program_memory_bytes: Option<u64>,
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
    /// Power-save mode.
    pub wifi_power_save: Option<PowerSave>,
    /// Sockets in use, listeners included.
    pub sockets_used: Option<u32>,
    /// Sockets there are.
    pub sockets_limit: Option<u32>,
    /// TCP control blocks in TIME_WAIT, where the stack can tell.
    pub tcp_time_wait: Option<u32>,
    /// TCP connections established, where the stack can tell.
    pub tcp_established: Option<u32>,
    /// TCP connections that the peer has closed and the program has not, where the stack can tell.
    pub tcp_close_wait: Option<u32>,
    /// TCP connections that the device has closed and the peer has not let go of, where the stack can tell.
    pub tcp_fin_wait: Option<u32>,
    /// Connections that it holds at once.
    pub capacity: Option<u32>,
    /// Bytes that its program keeps for no purpose.
    pub hoarded_bytes: Option<u64>,
    /// Counters by service: `http`, `framed`, `raw`, `line`.
    pub services: BTreeMap<String, ServiceCounters>,
    /// Which stack carries the program: lwip, smoltcp, host, ...
    pub stack: Option<String>,
    /// Its version.
    pub stack_version: Option<String>,
    /// Persona in force.
    pub persona: Option<String>,
    /// Options in force, by name.
    pub options: BTreeMap<String, String>,
    /// Options that did not fit into the answer.
    pub options_left_out: u32,
}

/// What one of the device's services counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCounters {
    /// Connections open now.
    pub(crate) open: u32,
    /// Connections accepted since start.
    pub(crate) accepted: u64,
    /// Requests served since start.
    pub(crate) served: u64,
    /// Connections that were forgotten and stay occupied.
    pub(crate) leaked: u32,
    /// Errors since start, by name; those that did not occur are not here.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Telemetry {
    /// Reads the device's JSON; `None` when it is not a JSON object of the expected shape.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Wire>(bytes).ok().map(Wire::flat)
    }

    /// Only what a reading can be: options and services grow with the firmware's talkativeness.
    #[must_use]
    pub fn brief(&self) -> Self {
        Self { options: BTreeMap::new(), services: BTreeMap::new(), ..self.clone() }
    }

    /// Requests served since start, by all services; `None` where the device does not count them.
    #[must_use]
    pub fn served(&self) -> Option<u64> {
        let all = self.services.values().fold(0_u64, |n, service| n.saturating_add(service.served));
        (!self.services.is_empty()).then_some(all)
    }

    /// Connections of a service that are open now; `None` where the device does not count them.
    #[must_use]
    pub fn open(&self, service: &str) -> Option<u32> {
        self.services.get(service).map(|counters| counters.open)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire {
    request: Option<u32>,
    device: Option<String>,
    firmware: Option<String>,
    stack: Option<WireStack>,
    persona: Option<String>,
    uptime_ms: Option<u64>,
    boot_count: Option<u32>,
    reset_reason: Option<ResetReason>,
    last_words: Option<String>,
    program: Option<WireProgram>,
    heap: Option<WireHeap>,
    wifi: Option<WireWifi>,
    sockets: Option<WireSockets>,
    tcp: Option<WireTcp>,
    tcp_time_wait: Option<u32>,
    capacity: Option<u32>,
    hoarded_bytes: Option<u64>,
    services: BTreeMap<String, ServiceCounters>,
    options: BTreeMap<String, String>,
    options_left_out: u32,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireStack {
    name: Option<String>,
    version: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireProgram {
    memory_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireHeap {
    free_bytes: Option<u64>,
    min_free_bytes: Option<u64>,
    largest_free_block_bytes: Option<u64>,
    total_bytes: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireWifi {
    rssi_dbm: Option<i32>,
    disconnects: Option<u64>,
    last_disconnect_reason: Option<String>,
    power_save: Option<PowerSave>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireSockets {
    used: Option<u32>,
    limit: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WireTcp {
    established: Option<u32>,
    close_wait: Option<u32>,
    fin_wait: Option<u32>,
    time_wait: Option<u32>,
}

impl Wire {
    fn flat(self) -> Telemetry {
        let heap = self.heap.unwrap_or_default();
        let wifi = self.wifi.unwrap_or_default();
        let sockets = self.sockets.unwrap_or_default();
        let stack = self.stack.unwrap_or_default();
        let tcp = self.tcp.unwrap_or_default();
        Telemetry {
            request: self.request,
            device: self.device,
            firmware: self.firmware,
            uptime_ms: self.uptime_ms,
            boot_count: self.boot_count,
            reset_reason: self.reset_reason,
            last_words: self.last_words,
            program_memory_bytes: self.program.unwrap_or_default().memory_bytes,
            heap_free_bytes: heap.free_bytes,
            heap_min_free_bytes: heap.min_free_bytes,
            heap_largest_block_bytes: heap.largest_free_block_bytes,
            heap_total_bytes: heap.total_bytes,
            wifi_rssi_dbm: wifi.rssi_dbm,
            wifi_disconnects: wifi.disconnects,
            wifi_last_reason: wifi.last_disconnect_reason,
            wifi_power_save: wifi.power_save,
            sockets_used: sockets.used,
            sockets_limit: sockets.limit,
            tcp_time_wait: tcp.time_wait.or(self.tcp_time_wait),
            tcp_established: tcp.established,
            tcp_close_wait: tcp.close_wait,
            tcp_fin_wait: tcp.fin_wait,
            capacity: self.capacity,
            hoarded_bytes: self.hoarded_bytes,
            services: self.services,
            stack: stack.name,
            stack_version: stack.version,
            persona: self.persona,
            options: self.options,
            options_left_out: self.options_left_out,
        }
    }
}

/// A telemetry reading with the time it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSample {
    /// When it was asked for, nanoseconds since the start of the run on the monotonic clock; what the device did
    /// before that is in it.
    pub asked_ns: u64,
    /// When the answer came, nanoseconds since the start of the run.
    pub at_ns: u64,
    /// The reading.
    pub telemetry: Telemetry,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_devices_json_is_read_and_null_is_none() {
        let json = br#"{"request":7,"device":"sim","number":1,"firmware":"0.1.0","stack":{"name":"host","version":""},
            "persona":"robust","uptime_ms":12,"boot_count":1,"reset_reason":"POWERON","heap":null,
            "wifi":{"rssi_dbm":-60,"disconnects":2,"last_disconnect_reason":"BEACON_TIMEOUT","power_save":"NONE"},
            "sockets":{"used":5,"limit":10},"capacity":5,"hoarded_bytes":0,
            "services":{"http":{"open":1,"accepted":9,"served":8,"leaked":0,"errors":{"idle":1}}},
            "options":{"backlog":"6"},"options_left_out":0,"later":"ignored"}"#;
        let telemetry = Telemetry::parse(json).unwrap();
        assert_eq!(telemetry.request, Some(7));
        assert_eq!(telemetry.heap_free_bytes, None);
        assert_eq!((telemetry.wifi_rssi_dbm, telemetry.wifi_disconnects), (Some(-60), Some(2)));
        assert_eq!((telemetry.sockets_used, telemetry.open("http")), (Some(5), Some(1)));
        assert_eq!(telemetry.open("framed"), None);
        assert_eq!((telemetry.tcp_established, telemetry.tcp_time_wait), (None, None));
        let states = br#"{"tcp":{"established":2,"close_wait":1,"fin_wait":0,"time_wait":7}}"#;
        let telemetry = Telemetry::parse(states).unwrap();
        assert_eq!((telemetry.tcp_close_wait, telemetry.tcp_time_wait), (Some(1), Some(7)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Telemetry::parse(&bytes);
        }
    }
}
