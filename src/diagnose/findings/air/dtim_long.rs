//! `dtim_long`: the access point's DTIM period makes a sleeping device wait for several beacons.
//!
//! Evidence: the traffic indication map of its beacons, and a station that says that it sleeps.
//!
//! Neighbours: a station that doesn't sleep waits for nothing; one with a long listen interval (MAX_MODEM) waits longer
//! than the DTIM.
//!
//! Severity: a warning where frames were held for the device, else information.

use super::super::super::{Finding, FindingId, Severity};
use super::super::FindingEntry;
use super::super::text::times;
use super::{Judged, station, time};
use espstress_event::{Air, AirNetwork};

/// From one DTIM to the next, seconds: three usual beacon intervals and more. The default of hostapd, 2, is 205 ms.
const LONG: f64 = 0.25;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::DtimLong,
    severity: Severity::Warning,
    meaning: "the access point's DTIM period makes a device that sleeps wait for several beacons",
    needs: "beacons of its access point in monitor mode, and a device that sleeps",
    neighbours: "a device that doesn't sleep; a long listen interval",
    change: "set the DTIM period to 1 at the access point, or call esp_wifi_set_ps(WIFI_PS_NONE)",
};

/// From one DTIM to the next, seconds.
fn between(network: &AirNetwork) -> Option<f64> {
    Some(f64::from(network.dtim_period?) * f64::from(network.beacon_interval_tu?) * 1.024e-3)
}

pub(super) fn judge(air: &Air) -> Judged {
    let station = station(air)?;
    let save = &station.power_save;
    if save.sleeps == 0 && save.ps_polls == 0 {
        return Ok(None);
    }
    let known = air.networks.iter().filter_map(|network| Some((network, between(network)?)));
    let Some((network, seconds)) = known.max_by(|a, b| a.1.total_cmp(&b.1)) else {
        return Err("no beacon of its access point was heard".to_owned());
    };
    if seconds < LONG {
        return Ok(None);
    }
    let (period, interval) = (network.dtim_period.unwrap_or(0), network.beacon_interval_tu.unwrap_or(0));
    Ok(Some(Finding {
        id: FindingId::DtimLong,
        severity: if save.fetched > 0 { Severity::Warning } else { Severity::Info },
        statement: format!(
            "A device that sleeps may wait {} for each packet: the access point's DTIM period is {period}.",
            time(seconds)
        ),
        evidence: vec![
            format!(
                "beacons of {}: interval {interval} TU (1,024 us each), DTIM period {period}",
                network.address
            ),
            format!(
                "the device went to sleep {}; frames were held and fetched {}",
                times(save.sleeps),
                times(save.fetched)
            ),
        ],
        cause: "with WIFI_PS_MIN_MODEM the device wakes for DTIM beacons only".into(),
        change: "set the DTIM period to 1 at the access point (hostapd: dtim_period=1), or call \
                 esp_wifi_set_ps(WIFI_PS_NONE)"
            .into(),
    }))
}
