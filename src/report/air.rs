//! What was heard on the air, in words: a label and a sentence each, for both pages.

use espstress_diagnose::air_not_judged;
use espstress_event::{
    Air, AirDeed, AirNetwork, AirSide, AirStation, AirTraffic, Chosen, Departure, MacAddress, reason_name,
    status_name,
};

use crate::human::{count, percent, things, time_s};
use crate::{TimelineKind, TimelineRow, TimelineSource};

/// Events on a page that doesn't ask for more.
const EVENTS: usize = 10;

/// The lines of a page; `all` the events where that is asked for.
#[must_use]
pub fn air_lines(air: &Air, all: bool) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    match &air.station {
        Some(station) => of_station(&mut lines, air, station, all),
        None => lines.push(("station", "no frame of the station was heard".to_owned())),
    }
    lines.extend(not_seen(air).into_iter().map(|text| ("not seen", text)));
    lines.extend(
        air_not_judged(air)
            .into_iter()
            .map(|not| ("not judged", format!("{}: {}", not.id.name(), not.reason))),
    );
    lines
}

fn of_station(lines: &mut Vec<(&'static str, String)>, air: &Air, station: &AirStation, all: bool) {
    let why = match station.chosen {
        Chosen::Named => "",
        Chosen::Espressif => ", the Espressif station that talks most",
        Chosen::TalksMost => ", the station that talks most",
    };
    lines.push(("station", format!("{}{why}", named(station.address))));
    if !air.other_stations.is_empty() {
        let others: Vec<String> =
            air.other_stations.iter().take(3).map(|other| named(other.address)).collect();
        let more = air.other_stations.len().saturating_sub(3);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(("others", format!("{}{more}; --station describes another one", others.join(", "))));
    }
    lines.extend(air.networks.iter().map(|network| ("network", self::network(network))));
    let mut joins = vec![things(station.associations, "association")];
    joins.extend((station.authentications > 0).then(|| things(station.authentications, "authentication")));
    joins.extend(
        (station.roams > 0).then(|| format!("went to another access point {}", times(station.roams))),
    );
    for refusal in &station.refusals {
        let what = if refusal.association { "association" } else { "authentication" };
        let name = refusal.status_name.as_deref().unwrap_or("no name");
        joins.push(format!("{} refused (status {}, {name})", things(refusal.count, what), refusal.status));
    }
    lines.push(("joins", joins.join(", ")));
    lines.extend(station.departures.iter().map(|row| ("leaves", departure(row))));
    let shown = if all { station.events.len() } else { EVENTS };
    for event in station.events.iter().take(shown) {
        let text =
            format!("{:.3} s, packet {}: {}", event.at_s, event.packet, deed(&event.what, event.network));
        lines.push(("event", text));
    }
    let more = station.events.len().saturating_sub(shown) as u64 + station.events_beyond;
    if more > 0 {
        lines.push(("event", format!("and {more} more")));
    }
    lines.push(("power save", power_save(station)));
    lines.push(("sent", traffic(&station.sent)));
    lines.push(("received", traffic(&station.received)));
}

fn named(address: MacAddress) -> String {
    if address.is_espressif() { format!("{address} (Espressif)") } else { address.to_string() }
}

fn network(network: &AirNetwork) -> String {
    let mut list = vec![match &network.ssid {
        Some(ssid) => format!("\"{}\" {}", ssid.escape_default(), network.address),
        None => network.address.to_string(),
    }];
    list.extend(network.channel.map(|channel| format!("channel {channel}")));
    if let Some(interval) = network.beacon_interval_tu {
        list.push(format!("a beacon every {:.1} ms", f64::from(interval) * 1.024));
    }
    list.extend(network.dtim_period.map(|period| format!("DTIM period {period}")));
    list.push(format!("{} heard", things(network.beacons, "beacon")));
    list.extend((network.beacons_unsent > 0).then(|| format!("{} not sent", network.beacons_unsent)));
    list.extend((network.beacons_unheard > 0).then(|| format!("{} perhaps missed", network.beacons_unheard)));
    list.extend(network.signal.map(|signal| format!("signal {} dBm", signal.p50_dbm)));
    list.join(", ")
}

fn side(by: AirSide) -> &'static str {
    match by {
        AirSide::Station => "the device",
        AirSide::AccessPoint => "the access point",
    }
}

fn reason(code: Option<u16>) -> String {
    match code {
        None => "reason encrypted or cut".to_owned(),
        Some(code) => match reason_name(code) {
            Some(name) => format!("reason {code}, {name}"),
            None => format!("reason {code}"),
        },
    }
}

fn departure(row: &Departure) -> String {
    let kind = if row.deauthentication { "deauthentication" } else { "disassociation" };
    let roams =
        if row.before_roam > 0 { format!(", {} of them to roam", row.before_roam) } else { String::new() };
    format!("{kind} by {}, {}: {}{roams}", side(row.by), reason(row.reason), times(row.count))
}

/// What happened, in words.
fn deed(deed: &AirDeed, network: MacAddress) -> String {
    let status = |code: u16| match status_name(code) {
        Some(name) => format!("status {code}, {name}"),
        None => format!("status {code}"),
    };
    match deed {
        AirDeed::AlreadyAssociated => format!("is with {network} when it is first heard"),
        AirDeed::Authenticated => format!("authenticated with {network}"),
        AirDeed::AuthenticationRefused(code) => {
            format!("{network} refuses the authentication ({})", status(*code))
        }
        AirDeed::Associated => format!("associated with {network}"),
        AirDeed::AssociationRefused(code) => format!("{network} refuses the association ({})", status(*code)),
        AirDeed::Deauthenticated { by, reason: code } => {
            format!("deauthenticated by {} ({})", side(*by), reason(*code))
        }
        AirDeed::Disassociated { by, reason: code } => {
            format!("disassociated by {} ({})", side(*by), reason(*code))
        }
        AirDeed::Roamed { from, gap_s } => format!("went from {from} to {network} in {}", time_s(*gap_s)),
        AirDeed::ChannelSwitchAnnounced { channel } => {
            format!("{network} announces that it goes to channel {channel}")
        }
        AirDeed::ChannelSwitched { from, to } => {
            format!("{network} went from channel {from} to channel {to}")
        }
        AirDeed::AccessPointRestarted => format!("{network} restarted: its clock begins anew"),
    }
}

fn power_save(station: &AirStation) -> String {
    let save = &station.power_save;
    if save.sleeps == 0 && save.ps_polls == 0 {
        return "the device never said that it sleeps".to_owned();
    }
    let mut list = vec![format!("slept {}, {} in all", times(save.sleeps), time_s(save.asleep_s))];
    list.extend((save.null_frames > 0).then(|| things(save.null_frames, "null frame")));
    list.extend((save.ps_polls > 0).then(|| things(save.ps_polls, "PS-Poll")));
    list.push(match save.announced {
        None => "its association was not heard, so espstress can't tell which beacons announce frames for it"
            .to_owned(),
        Some(0) => "no beacon announced frames for it".to_owned(),
        Some(n) => {
            format!("beacons announced frames for it {}, {} heard when they came", times(n), save.fetched)
        }
    });
    if let Some(wait) = save.wait {
        list.push(format!(
            "they came {} after the beacon (median), {} at most",
            time_s(wait.p50_s),
            time_s(wait.max_s)
        ));
    }
    list.join(", ")
}

fn traffic(traffic: &AirTraffic) -> String {
    let mut list = vec![things(traffic.frames, "frame")];
    if traffic.data > 0 {
        let share = percent(traffic.retried as f64 / traffic.data as f64);
        list.push(format!(
            "{} of {} with data sent again ({share})",
            count(traffic.retried),
            count(traffic.data)
        ));
    }
    list.extend(
        traffic.rate.map(|rate| {
            format!("rate median {} Mbit/s, {} to {}", rate.p50_mbps, rate.min_mbps, rate.max_mbps)
        }),
    );
    list.extend(traffic.signal.map(|signal| {
        format!("signal median {} dBm, {} to {}", signal.p50_dbm, signal.min_dbm, signal.max_dbm)
    }));
    list.join(", ")
}

/// What could not be looked at, in sentences.
fn not_seen(air: &Air) -> Vec<String> {
    let mut texts = Vec::new();
    if air.encrypted > 0 {
        texts.push(format!(
            "{} with encrypted content: TCP inside can't be read",
            things(air.encrypted, "data frame")
        ));
    }
    if let [only] = air.channels.as_slice() {
        texts.push(format!("frames on other channels than that of {} MHz", only.frequency_mhz));
    } else if air.channels.len() > 1 {
        let all: Vec<String> = air.channels.iter().map(|channel| channel.frequency_mhz.to_string()).collect();
        texts.push(format!(
            "a radio that was on several channels ({} MHz) did not hear each of them all the time",
            all.join(", ")
        ));
    }
    if let Some(station) = &air.station {
        for (way, traffic) in [("from", &station.sent), ("to", &station.received)] {
            if let Some(share) = traffic.missed_share().filter(|share| *share > 0.0) {
                texts.push(format!(
                    "{} of the frames {way} the device, by their sequence numbers",
                    percent(share)
                ));
            }
        }
    }
    if air.damaged > 0 {
        texts.push(format!("{} that the radio received with errors", things(air.damaged, "frame")));
    }
    if air.not_read > 0 {
        texts.push(format!("{} that are cut or no 802.11", things(air.not_read, "frame")));
    }
    if let Some(dropped) = air.dropped.filter(|n| *n > 0) {
        texts.push(format!("{} that the kernel dropped", things(dropped, "frame")));
    }
    texts.extend(air.failure.clone());
    texts
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{} times", count(n)) }
}

/// Its events on the timeline.
pub(super) fn air_rows(air: &Air) -> Vec<TimelineRow> {
    let events = air.station.iter().flat_map(|station| &station.events);
    let row = |event: &espstress_event::AirEvent| {
        let text = deed(&event.what, event.network);
        TimelineRow::moment(TimelineSource::Air, TimelineKind::Association, event.at_s, text)
    };
    events.map(row).collect()
}
