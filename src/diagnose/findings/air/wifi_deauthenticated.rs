//! `wifi_deauthenticated`: an access point, or the device itself, ended the association.
//!
//! Evidence: deauthentication and disassociation frames with their reason, as they were heard.
//!
//! Neighbours: a station that leaves for another access point (roaming): it is there within two seconds. A device that
//! restarts sends none. A frame that somebody forged: its sequence number does not follow the access point's own.
//!
//! Severity: a warning; information where the device leaves of its own accord.

use super::super::super::{Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::times;
use super::{Judged, heard, station, time};
use espstress_event::{Air, AirSide, Departure, is_leaving};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::WifiDeauthenticated,
    severity: Severity::Warning,
    meaning: "the access point or the device ended the Wi-Fi association",
    needs: "frames in monitor mode (--air, or a capture with 802.11 headers)",
    neighbours: "roaming; a restart of the device; forged frames",
    change: "depends on who sent the frame and on its reason; see docs/wifi.md",
};

pub(super) fn judge(air: &Air) -> Judged {
    let station = station(air)?;
    let mut rows: Vec<(u64, &Departure)> = station
        .departures
        .iter()
        .map(|row| (row.count.saturating_sub(row.before_roam), row))
        .filter(|(count, _)| *count > 0)
        .collect();
    // The worst first, then the most frequent.
    rows.sort_by_key(|(count, row)| (leaves(row), std::cmp::Reverse(*count)));
    let Some((count, worst)) = rows.first() else {
        heard(&station.received)?;
        return Ok(None);
    };
    let who = match worst.by {
        AirSide::AccessPoint => "The access point",
        AirSide::Station => "The device",
    };
    let deed = match (worst.deauthentication, worst.by) {
        (true, AirSide::AccessPoint) => "deauthenticated the device",
        (false, AirSide::AccessPoint) => "disassociated the device",
        (true, AirSide::Station) => "deauthenticated itself",
        (false, AirSide::Station) => "disassociated itself",
    };
    let (cause, change) = advice(worst);
    Ok(Some(Finding {
        id: FindingId::WifiDeauthenticated,
        severity: if leaves(worst) { Severity::Info } else { Severity::Warning },
        statement: format!("{who} {deed} {}: {}.", times(*count), reason(worst)),
        evidence: rows.iter().flat_map(|(count, row)| lines(*count, row)).collect(),
        cause: cause.into(),
        change: change.into(),
    }))
}

/// Whether the device leaves of its own accord.
fn leaves(row: &Departure) -> bool {
    row.by == AirSide::Station && row.reason.is_some_and(is_leaving)
}

fn reason(row: &Departure) -> String {
    match (row.reason, &row.reason_name) {
        (Some(code), Some(name)) => format!("reason {code}, {name}"),
        (Some(code), None) => format!("reason {code}"),
        (None, _) => "the reason is encrypted or cut".into(),
    }
}

fn lines(count: u64, row: &Departure) -> Vec<String> {
    let by = match row.by {
        AirSide::AccessPoint => "access point",
        AirSide::Station => "device",
    };
    let kind = if row.deauthentication { "deauthentication" } else { "disassociation" };
    let when = if count > 1 {
        format!("{} to {}", time(row.first_s), time(row.last_s))
    } else {
        format!("at {}", time(row.first_s))
    };
    let mut lines = vec![format!(
        "{kind} by the {by}, {}: {}, {when}, first in packet {}",
        reason(row),
        times(count),
        row.packet
    )];
    if row.out_of_sequence > 0 {
        lines.push(format!(
            "of these, {} with a sequence number that does not follow the access point's own: somebody else may have sent them",
            row.out_of_sequence
        ));
    }
    lines
}

/// Likely cause, and what to change.
fn advice(row: &Departure) -> (&'static str, &'static str) {
    match (row.by, row.reason) {
        (AirSide::AccessPoint, Some(2)) => (
            "the access point no longer accepts the device's authentication: it expired, or keys could not be agreed",
            "connect again on WIFI_EVENT_STA_DISCONNECTED; check the passphrase and the signal",
        ),
        (AirSide::AccessPoint, Some(4)) => (
            "the access point heard nothing from the device for its inactivity limit",
            "raise the limit at the access point, or let the device send something more often (a smaller listen interval)",
        ),
        (AirSide::AccessPoint, Some(5)) => (
            "the access point has no room for another station",
            "raise the access point's limit of stations, or use another access point",
        ),
        (AirSide::AccessPoint, Some(6 | 7 | 9)) => (
            "the access point does not know the device (any more): it restarted, or had ended the association before",
            "connect again on WIFI_EVENT_STA_DISCONNECTED; look at the access point's log of that time",
        ),
        (AirSide::AccessPoint, Some(14..=17)) => (
            "the keys could not be agreed: a wrong passphrase, or frames of the handshake were lost",
            "check the passphrase; if it is right, check signal and retries",
        ),
        (AirSide::AccessPoint, Some(12)) => (
            "the access point steers the device to another one",
            "switch steering off for this network, or support 802.11v on the device (CONFIG_ESP_WIFI_11KV_SUPPORT)",
        ),
        (AirSide::AccessPoint, Some(34)) => (
            "the device did not acknowledge many frames: it hears the access point badly",
            "move the device nearer, or choose another channel",
        ),
        (AirSide::AccessPoint, _) => (
            "the access point ended the association: it restarted, steers stations, or was told to",
            "look at the access point's log of that time; connect again on WIFI_EVENT_STA_DISCONNECTED",
        ),
        (AirSide::Station, Some(code)) if is_leaving(code) => (
            "the device's program disconnects (esp_wifi_disconnect, esp_wifi_stop, WiFi.disconnect)",
            "nothing, if the program means to; else look for what calls it",
        ),
        (AirSide::Station, _) => (
            "the device's Wi-Fi stack gave up the association",
            "look at the device's console of that time; print the reason on WIFI_EVENT_STA_DISCONNECTED",
        ),
    }
}
