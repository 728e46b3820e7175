//! `beacon_loss`: the access point leaves out beacons.
//!
//! Evidence: its own clock in the beacons says which are missing, and its sequence numbers have no gap there: they were
//! not sent.
//!
//! Neighbours: beacons that the capture missed leave a gap in the sequence numbers, and are not counted; an access point
//! that restarts begins its clock anew.
//!
//! Severity: a warning; a device gives up after 6 s without a beacon (ESP-IDF's default).

use super::super::super::loss::share_at_most;
use super::super::super::{Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::{percent, things};
use super::{Judged, MOST_MISSED, station, time};
use espstress_event::{Air, AirNetwork};

/// Fewest beacons that are missing: fewer are a scan of the access point's, or a radar check.
const FEW: u64 = 10;
/// Share of the beacons, at least.
const SHARE: f64 = 0.05;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::BeaconLoss,
    severity: Severity::Warning,
    meaning: "the access point leaves out beacons, without which a device loses its time and its association",
    needs: "beacons of its access point in monitor mode, of which the capture missed few",
    neighbours: "a capture that misses beacons; an access point that restarts",
    change: "look at the access point: its load, its channel, its scans",
};

pub(super) fn judge(air: &Air) -> Judged {
    station(air)?;
    let mut why = None;
    for network in &air.networks {
        match one(network) {
            Ok(Some(finding)) => return Ok(Some(finding)),
            Ok(None) => {}
            Err(reason) => why = Some(reason),
        }
    }
    if air.networks.iter().all(|network| network.beacons == 0) {
        return Err("no beacon of its access point was heard".to_owned());
    }
    why.map_or(Ok(None), Err)
}

fn one(network: &AirNetwork) -> Judged {
    let unsent = network.beacons_unsent;
    let due = network.beacons.saturating_add(unsent).saturating_add(network.beacons_unheard);
    let at_least = 1.0 - share_at_most(due.saturating_sub(unsent), due);
    if unsent >= FEW && at_least >= SHARE {
        return Ok(Some(found(network, due)));
    }
    if network.beacons_unheard as f64 > due as f64 * MOST_MISSED {
        return Err(format!(
            "{} of {} were not heard, and the capture may have missed them",
            network.beacons_unheard,
            things(due, "beacon")
        ));
    }
    Ok(None)
}

fn found(network: &AirNetwork, due: u64) -> Finding {
    let unsent = network.beacons_unsent;
    let mut evidence = vec![format!(
        "{}: {} heard, {unsent} not sent, {} that the capture may have missed",
        network.address,
        things(network.beacons, "beacon"),
        network.beacons_unheard
    )];
    if let Some(longest) = network.longest_unsent_s {
        evidence.push(format!("the longest time without one: {}", time(longest)));
    }
    Finding {
        id: FindingId::BeaconLoss,
        severity: Severity::Warning,
        statement: format!("The access point did not send {} of its beacons.", percent(unsent, due)),
        evidence,
        cause: "the access point is overloaded, finds its channel busy, or leaves it to scan".into(),
        change: "look at the access point: its load, background scans, a less crowded channel".into(),
    }
}
