//! The MQTT client against a scripted broker, in virtual time.

mod anything;
mod broker;
mod personas;
mod robust;

use std::time::Duration;

use broker::{Seen, World};
use espstress_device::Instant;
use espstress_device::mqtt::{Qos, Settings};

pub(crate) const S: Duration = Duration::from_secs(1);

/// The keep alive of the tests.
pub(crate) const K: Duration = Duration::from_secs(15);

/// A client that says nothing by itself for long.
pub(crate) fn quiet() -> Settings {
    Settings { interval: Duration::from_secs(100_000), ..Settings::default() }
}

/// A device that has been connected for long enough for its session to count as one that lasted.
pub(crate) fn connected(persona: &str, settings: Settings) -> World {
    let mut world = World::new(persona, settings);
    world.pass(20 * S);
    assert!(world.is_connected());
    world.take();
    world
}

/// One of the device's numbered messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Data {
    pub(crate) n: u64,
    pub(crate) dup: bool,
    pub(crate) qos: Qos,
    pub(crate) id: Option<u16>,
    pub(crate) at: Instant,
}

pub(crate) fn data(seen: &[(Instant, Seen)]) -> Vec<Data> {
    let of = |&(at, ref seen): &(Instant, Seen)| match seen {
        Seen::Publish { topic, payload, qos, dup, id, .. } if topic == "data" => {
            let payload: serde_json::Value = serde_json::from_str(payload).expect("JSON");
            Some(Data { n: payload["n"].as_u64().expect("a number"), dup: *dup, qos: *qos, id: *id, at })
        }
        _ => None,
    };
    seen.iter().filter_map(of).collect()
}

/// When this was seen.
pub(crate) fn times(seen: &[(Instant, Seen)], what: impl Fn(&Seen) -> bool) -> Vec<Instant> {
    seen.iter().filter(|(_, seen)| what(seen)).map(|&(at, _)| at).collect()
}

pub(crate) fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

pub(crate) fn is_dial(seen: &Seen) -> bool {
    *seen == Seen::Dial
}

pub(crate) fn is_subscribe(seen: &Seen) -> bool {
    matches!(seen, Seen::Subscribe(_))
}

pub(crate) fn is_close(seen: &Seen) -> bool {
    matches!(seen, Seen::Closed(_))
}
