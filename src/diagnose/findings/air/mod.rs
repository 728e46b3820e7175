//! What was heard on the air: findings about the station, its access points and the radio between them. Each judges
//! only what was heard, and says why where the capture missed too much.

mod beacon_loss;
mod dtim_long;
pub(super) mod held;
mod retry_storm;
mod weak_signal;
mod wifi_deauthenticated;

use espstress_event::{Air, AirSide, AirStation, AirTraffic};

use super::super::{Evidence, Finding, FindingId};
use super::{FindingEntry, power_save};

pub(super) const DEAUTHENTICATED: FindingEntry = wifi_deauthenticated::ENTRY;
pub(super) const DTIM: FindingEntry = dtim_long::ENTRY;
pub(super) const SIGNAL: FindingEntry = weak_signal::ENTRY;
pub(super) const RETRIES: FindingEntry = retry_storm::ENTRY;
pub(super) const BEACONS: FindingEntry = beacon_loss::ENTRY;

/// Of more that was missed, nothing is concluded: what was heard may be the odd part. At a tenth, a share of retries is off by
/// a tenth of itself at most.
const MOST_MISSED: f64 = 0.1;

/// What a rule makes of the air: a finding, nothing, or why it can't tell.
type Judged = Result<Option<Finding>, String>;

/// A finding that could not be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AirNotJudged {
    /// Which.
    pub id: FindingId,
    /// Why.
    pub reason: String,
}

/// A rule, and what it looks for.
type Rule = (FindingId, fn(&Air) -> Judged);

/// The rules but that of power save, which has other evidence as well.
const RULES: [Rule; 5] = [
    (FindingId::WifiDeauthenticated, wifi_deauthenticated::judge),
    (FindingId::DtimLong, dtim_long::judge),
    (FindingId::WeakSignal, weak_signal::judge),
    (FindingId::RetryStorm, retry_storm::judge),
    (FindingId::BeaconLoss, beacon_loss::judge),
];

/// The findings of the air beside other evidence.
pub(super) fn find(e: &Evidence<'_>) -> Vec<Finding> {
    let Some(air) = e.air else { return Vec::new() };
    RULES.iter().filter_map(|(_, judge)| judge(air).ok().flatten()).collect()
}

/// Every finding of the air alone, the most harmful first.
#[must_use]
pub fn air_findings(air: &Air) -> Vec<Finding> {
    let e = Evidence { air: Some(air), ..Evidence::default() };
    let mut found = find(&e);
    found.extend(power_save::find(&e));
    found.sort_by_key(|f| (f.severity, f.id));
    found
}

/// What of the air could not be judged, and why.
#[must_use]
pub fn air_not_judged(air: &Air) -> Vec<AirNotJudged> {
    let not = |(id, judge): &Rule| Some(AirNotJudged { id: *id, reason: judge(air).err()? });
    RULES.iter().filter_map(not).collect()
}

/// Whether a departure was heard from a second before `from_ns` to `to_ns`, nanoseconds since the start of the run.
pub(super) fn departs(e: &Evidence<'_>, from_ns: u64, to_ns: u64) -> bool {
    /// What follows from a departure begins within this time, nanoseconds.
    const SOON: u64 = 1_000_000_000;
    let Some(station) = e.air.and_then(|air| air.station.as_ref()) else { return false };
    station.events.iter().filter(|event| event.what.is_departure()).any(|event| {
        let at = (event.at_s.max(0.0) * 1e9) as u64;
        at.saturating_add(SOON) >= from_ns && at <= to_ns
    })
}

fn station(air: &Air) -> Result<&AirStation, String> {
    air.station.as_ref().ok_or_else(|| "no frame of the station was heard".to_owned())
}

/// Whether enough of one direction was heard; else why not.
fn heard(traffic: &AirTraffic) -> Result<f64, String> {
    match traffic.missed_share() {
        None => Err("too few frames to tell how many the capture missed".to_owned()),
        Some(share) if share > MOST_MISSED => {
            Err(format!("the capture missed {:.0} % of the frames, by their sequence numbers", share * 100.0))
        }
        Some(share) => Ok(share),
    }
}

/// The two directions in words.
fn directions(station: &AirStation) -> [(&'static str, AirSide, &AirTraffic); 2] {
    [
        ("from the device", AirSide::Station, &station.sent),
        ("to the device", AirSide::AccessPoint, &station.received),
    ]
}

/// The first finding of both directions; why not, where neither shows one and one could not be judged.
fn either(judged: [Judged; 2]) -> Judged {
    let mut why = None;
    for judged in judged {
        match judged {
            Ok(Some(finding)) => return Ok(Some(finding)),
            Ok(None) => {}
            Err(reason) => why = why.or(Some(reason)),
        }
    }
    why.map_or(Ok(None), Err)
}

/// Seconds as people say them.
fn time(s: f64) -> String {
    super::text::time((s.max(0.0) * 1e9) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::{AirSignal, Chosen, MacAddress};

    #[test]
    fn what_was_heard_alone_is_told_the_most_harmful_first() {
        let signal = AirSignal { frames: 500, min_dbm: -90, p50_dbm: -85, max_dbm: -80 };
        let weak = AirTraffic {
            frames: 500,
            data: 400,
            retried: 200,
            followed: 400,
            signal: Some(signal),
            ..AirTraffic::default()
        };
        let address = MacAddress([0x24, 0x6f, 0x28, 0, 0, 1]);
        let station = AirStation { sent: weak, received: weak, ..AirStation::new(address, Chosen::Named) };
        let found = air_findings(&Air { station: Some(station), ..Air::default() });
        assert!(found.iter().any(|f| f.id == FindingId::WeakSignal), "{found:?}");
        assert!(found.is_sorted_by_key(|f| (f.severity, f.id)), "{found:?}");
        assert_eq!(air_findings(&Air::default()), []);
    }
}
