//! Frames that the access point held for a device that slept, with the beacons that announced them: the proof of
//! `power_save_latency`.

use super::{heard, time};
use espstress_event::{Air, AirWait};

/// Fewest waits: a few are a device that slept a little.
const WAITS: u64 = 10;

/// The waits, where they are enough and the capture missed little.
pub(in super::super) fn waits(air: &Air) -> Option<AirWait> {
    let station = air.station.as_ref()?;
    let wait = station.power_save.wait.filter(|wait| wait.count >= WAITS)?;
    heard(&station.received).is_ok().then_some(wait)
}

/// The longest a frame waited for certain, and how long half of them waited at least and at most.
pub(in super::super) fn lines(air: &Air) -> Vec<String> {
    let Some(wait) = waits(air) else { return Vec::new() };
    let announced =
        air.station.as_ref().and_then(|station| station.power_save.announced).unwrap_or(wait.count);
    let at_most = wait.at_most_p50_s.map_or_else(String::new, |s| {
        format!(", and at most {} after the beacon that did not announce them yet", time(s))
    });
    vec![
        format!(
            "on the air: beacons announced frames for it {announced} times; they came a median of {} after the beacon{at_most}",
            time(wait.p50_s)
        ),
        format!(
            "the longest wait: the beacon in packet {} at {} announces a frame, which comes in packet {}, {} later",
            wait.beacon,
            time(wait.beacon_at_s),
            wait.frame,
            time(wait.max_s)
        ),
    ]
}

/// The statement where nothing but the air shows it.
pub(in super::super) fn statement(wait: &AirWait) -> String {
    format!(
        "Packets to the device wait at the access point until it wakes: {} were held, up to {} after their beacon.",
        wait.count,
        time(wait.max_s)
    )
}
