//! `retry_storm`: many data frames have to be sent again.
//!
//! Evidence: the retry bit. Each frame counts once however often it is repeated or heard.
//!
//! Neighbours: a capture that misses frames hears repeated ones more easily than others: its own loss, by sequence
//! numbers, is taken off, and with much of it nothing is said. A weak signal (`weak_signal`) is one of the causes.
//!
//! Severity: a warning.

use super::super::super::{Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::percent;
use super::weak_signal::retried_at_least;
use super::{Judged, directions, either, heard, station};
use espstress_event::{Air, AirSide, AirTraffic};

/// Share of data frames that are sent again beyond which a link is in trouble: a choice, well above what rate control's
/// trials of faster rates and a busy channel cause as a rule.
const STORM: f64 = 0.25;
/// Fewest data frames that tell.
const FRAMES: u64 = 100;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::RetryStorm,
    severity: Severity::Warning,
    meaning: "more than a quarter of the data frames of one direction have to be sent again",
    needs: "100 data frames of one direction in monitor mode, of which the capture missed few",
    neighbours: "a capture that misses frames; a weak signal",
    change: "choose another channel; move the device; look for what else uses the channel",
};

pub(super) fn judge(air: &Air) -> Judged {
    let station = station(air)?;
    either(directions(station).map(|(way, by, traffic)| one(way, by, traffic)))
}

fn one(way: &str, by: AirSide, traffic: &AirTraffic) -> Judged {
    if traffic.data < FRAMES {
        return Err(format!("too few data frames {way}: {} of the {FRAMES} that it takes", traffic.data));
    }
    let missed = heard(traffic)?;
    if retried_at_least(traffic) * (1.0 - missed) < STORM {
        return Ok(None);
    }
    let receiver = match by {
        AirSide::Station => "the access point does not acknowledge them at once",
        AirSide::AccessPoint => "the device does not acknowledge them at once",
    };
    Ok(Some(Finding {
        id: FindingId::RetryStorm,
        severity: Severity::Warning,
        statement: format!(
            "{} of the data frames {way} are sent more than once.",
            percent(traffic.retried, traffic.data)
        ),
        evidence: vec![
            format!("{} of {} data frames {way} were sent again: {receiver}", traffic.retried, traffic.data),
            format!(
                "the capture itself missed {:.1} % of the frames, by their sequence numbers",
                missed * 100.0
            ),
        ],
        cause: "interference, a crowded channel, or a weak signal; TCP sees it as delay".into(),
        change: "choose another channel (1, 6 or 11 at 2.4 GHz, 20 MHz wide), move the device, or keep it away from USB 3 \
                 and power supplies"
            .into(),
    }))
}
