//! A client of a broker, for the tests of one finding as for those of all.

use espstress_event::{MqttClient, MqttProtocol};

/// One with a keep-alive of 5 s that connected once and was heard as often as it should be.
pub(crate) fn mqtt_client<T>() -> MqttClient<Option<T>> {
    MqttClient {
        id_hash: "b91e1248".into(),
        protocol: MqttProtocol::V311,
        keepalive_s: 5,
        clean: true,
        will: None,
        filters: 1,
        connects: 1,
        packets: 40,
        pings: 10,
        ping_interval: None,
        silence_max_ns: None,
        late: 0,
        missed: 0,
        birth_retained: None,
        births_missing: 0,
    }
}
