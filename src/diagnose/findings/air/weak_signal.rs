//! `weak_signal`: frames come in weakly, and their rates or retries show that this hurts.
//!
//! Evidence: the signal that the capture's receiver noted, and in the same direction rates at the lowest step or retries.
//!
//! Neighbours: a monitor that is far away hears a good link weakly, so signal alone says nothing; a crowded channel
//! makes retries at a good signal.
//!
//! Severity: a warning.

use super::super::super::loss::share_at_most;
use super::super::super::{Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::{Judged, directions, either, heard, station};
use espstress_event::{Air, AirTraffic};

/// Median signal at which faster rates begin to fail, dBm: a choice, and never enough without rates or retries that agree.
const WEAK: i32 = -75;
/// Fewest frames whose signal says something.
const FRAMES: u64 = 50;
/// Rates up to this are those to which senders go back when nothing else comes through, Mbit/s.
const SLOW: f64 = 2.0;
/// Share of data frames that are sent again on a link that suffers.
const RETRIED: f64 = 0.1;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::WeakSignal,
    severity: Severity::Warning,
    meaning: "frames come in weakly, and the lowest rates or many retries show that it hurts",
    needs: "frames in monitor mode with their signal (radiotap, PPI or AVS), 50 of one direction or more",
    neighbours: "a monitor that is far away; a crowded channel",
    change: "move the device or the access point, or use an external antenna",
};

/// The share of frames that were sent again, at least.
pub(super) fn retried_at_least(traffic: &AirTraffic) -> f64 {
    1.0 - share_at_most(traffic.data.saturating_sub(traffic.retried), traffic.data)
}

pub(super) fn judge(air: &Air) -> Judged {
    let station = station(air)?;
    either(directions(station).map(|(way, _, traffic)| one(way, traffic)))
}

fn one(way: &str, traffic: &AirTraffic) -> Judged {
    let Some(signal) = traffic.signal.filter(|signal| signal.frames >= FRAMES) else {
        return Err(format!("the signal of too few frames {way} was noted"));
    };
    if i32::from(signal.p50_dbm) > WEAK {
        return Ok(None);
    }
    let missed = heard(traffic)?;
    let slow = traffic.rate.filter(|rate| rate.frames >= FRAMES && rate.p50_mbps <= SLOW);
    let retries = traffic.data >= FRAMES && retried_at_least(traffic) * (1.0 - missed) >= RETRIED;
    if slow.is_none() && !retries {
        return Ok(None);
    }
    let mut evidence = vec![format!(
        "frames {way}: signal median {} dBm, {} to {} dBm, where the capture was made",
        signal.p50_dbm, signal.min_dbm, signal.max_dbm
    )];
    if let Some(rate) = traffic.rate {
        evidence.push(format!(
            "their rates: median {} Mbit/s, {} to {} Mbit/s",
            rate.p50_mbps, rate.min_mbps, rate.max_mbps
        ));
    }
    evidence.push(format!("{} of {} data frames were sent again", traffic.retried, traffic.data));
    Ok(Some(Finding {
        id: FindingId::WeakSignal,
        severity: Severity::Warning,
        statement: format!("Frames {way} come in weakly, and it hurts: median {} dBm.", signal.p50_dbm),
        evidence,
        cause: "distance, walls, or an antenna that is covered; the signal is that of the capture's place"
            .into(),
        change: "move the device or the access point, turn the antenna, or use a module with an external one"
            .into(),
    }))
}
