//! Captures of the air: what is said of them, and of what they don't show.

mod sky;
mod with_tshark;

use std::io::Cursor;

use espstress_analyze::{Analysis, AnalyzeConfig, analyze_records};
use espstress_diagnose::{FindingId, Severity, air_findings, air_not_judged};
use espstress_event::{Air, AirDeed, AirSide, AirStation, Chosen, MacAddress};
use espstress_observe::file::Reader;

use crate::common::espstress;
use sky::{AP, BOARD, Head, INTERVAL, Mac, OTHER_AP, PROTECTED, Sky};

fn analyzed(file: Vec<u8>) -> Analysis {
    let reader = Reader::new(Box::new(Cursor::new(file))).unwrap();
    analyze_records(reader, &AnalyzeConfig::default(), |_, _| {})
}

fn heard(sky: &Sky, head: Head) -> Air {
    analyzed(sky.pcap(head)).air.unwrap()
}

fn station(air: &Air) -> &AirStation {
    air.station.as_ref().unwrap()
}

fn found(air: &Air) -> Vec<FindingId> {
    air_findings(air).into_iter().map(|finding| finding.id).collect()
}

fn not_judged(air: &Air) -> Vec<FindingId> {
    air_not_judged(air).into_iter().map(|not| not.id).collect()
}

/// A board that joins, and 200 beacons and requests with their responses, the content encrypted; it sleeps in between
/// where it is said, and the access point's DTIM period is `period`.
fn day(period: u8, sleeps: bool) -> Sky {
    let mut sky = Sky::default();
    sky.beacon(0, AP, (0, period), &[]);
    sky.joins(20_000, BOARD, AP, 1);
    for n in 1..=200_u64 {
        let count = (u64::from(period) - n % u64::from(period)) % u64::from(period);
        sky.beacon(n, AP, (count as u8, period), &[]);
        let at = n * INTERVAL + 10_000;
        sky.data(at, BOARD, AP, true, PROTECTED, &[0; 60]);
        sky.data(at + 3_000, BOARD, AP, false, PROTECTED, &[0; 200]);
        if sleeps {
            sky.null(at + 10_000, BOARD, AP, true);
            sky.null(at + 80_000, BOARD, AP, false);
        }
    }
    sky
}

/// A board that sleeps, and for which frames are held: a beacon announces them, and it fetches them after the next DTIM.
fn holds(period: u64, times: u64) -> Sky {
    let mut sky = Sky::default();
    sky.beacon(0, AP, (0, period as u8), &[]);
    sky.joins(20_000, BOARD, AP, 1);
    sky.null(40_000, BOARD, AP, true);
    // Frames come just before the beacon after each DTIM; the board hears of them at the next DTIM.
    for n in 1..=times * period {
        let count = (period - n % period) % period;
        sky.beacon(n, AP, (count as u8, period as u8), &[1]);
        if count == 0 {
            let at = n * INTERVAL + 2_000;
            sky.poll(at, BOARD, AP, 1);
            sky.data(at + 1_000, BOARD, AP, false, PROTECTED, &[0; 200]);
        }
    }
    sky
}

#[test]
fn a_board_that_joins_is_described_behind_every_header() {
    let mut sky = day(1, false);
    for frame in &mut sky.frames {
        frame.signal = if frame.bytes[10..16] == BOARD { -61 } else { -44 };
    }
    for head in Head::EVERY {
        let air = heard(&sky, head);
        let station = station(&air);
        assert_eq!(
            (station.address, station.espressif, station.chosen),
            (MacAddress(BOARD), true, Chosen::Espressif)
        );
        assert_eq!((station.authentications, station.associations), (1, 1), "{head:?}");
        assert_eq!((station.association_id, station.listen_interval), (Some(1), Some(3)));
        let deeds: Vec<&AirDeed> = station.events.iter().map(|event| &event.what).collect();
        assert_eq!(deeds, [&AirDeed::Authenticated, &AirDeed::Associated]);
        assert_eq!((station.events[1].at_s, station.events[1].packet), (0.026, 5));
        let network = &air.networks[0];
        assert_eq!((network.ssid.as_deref(), network.channel), (Some("home"), Some(6)));
        assert_eq!((network.beacon_interval_tu, network.dtim_period), (Some(100), Some(1)));
        assert_eq!((network.beacons, network.beacons_unsent, network.beacons_unheard), (201, 0, 0));
        assert_eq!((station.sent.frames, station.sent.data, station.received.data), (202, 200, 200));
        assert_eq!((station.sent.missed, station.received.missed), (0, 0));
        assert_eq!((air.encrypted, air.open, air.heard_again), (400, 0, 0));
        if head != Head::Plain {
            let signal = |dbm| (dbm, dbm, dbm);
            let of = |s: espstress_event::AirSignal| (s.min_dbm, s.p50_dbm, s.max_dbm);
            assert_eq!(station.sent.signal.map(of), Some(signal(-61)), "{head:?}");
            assert_eq!(station.received.signal.map(of), Some(signal(-44)));
            assert_eq!(station.sent.rate.unwrap().p50_mbps, 54.0);
            assert_eq!((air.channels[0].frequency_mhz, air.channels.len()), (2_437, 1));
        }
    }
}

#[test]
fn healthy_captures_give_no_finding() {
    for head in Head::EVERY {
        assert_eq!(found(&heard(&day(1, false), head)), []);
        assert_eq!(found(&heard(&day(1, true), head)), []);
        assert_eq!(found(&heard(&day(3, false), head)), [], "a long DTIM period hurts nobody who is awake");
    }
    assert_eq!(not_judged(&heard(&day(1, true), Head::Radiotap)), []);
}

#[test]
fn who_ends_an_association_is_said_with_the_reason_by_name() {
    let mut sky = day(1, false);
    sky.management(21_000_000, 12, AP, BOARD, AP, &[7, 0]);
    sky.again(1_000);
    let air = heard(&sky, Head::Radiotap);
    let row = &station(&air).departures[0];
    assert_eq!(
        (row.by, row.deauthentication, row.count),
        (AirSide::AccessPoint, true, 1),
        "a retry counts once"
    );
    assert_eq!((row.reason, row.reason_name.as_deref()), (Some(7), Some("CLASS3_FRAME_FROM_NONASSOC_STA")));
    let finding = &air_findings(&air)[0];
    assert_eq!((finding.id, finding.severity), (FindingId::WifiDeauthenticated, Severity::Warning));
    assert!(
        finding.statement.starts_with("The access point deauthenticated the device once: reason 7, CLASS3")
    );
    assert!(finding.evidence[0].contains("in packet 606"), "{finding:#?}");

    let mut sky = day(1, false);
    sky.management(21_000_000, 10, BOARD, AP, AP, &[8, 0]);
    let air = heard(&sky, Head::Avs);
    let finding = &air_findings(&air)[0];
    assert_eq!((finding.id, finding.severity), (FindingId::WifiDeauthenticated, Severity::Info));
    assert!(finding.statement.contains("The device disassociated itself once: reason 8, ASSOC_LEAVE"));

    let mut sky = day(1, false);
    sky.management(21_000_000, 12, AP, sky::ALL, AP, &[3, 0]);
    assert_eq!(
        station(&heard(&sky, Head::Ppi)).departures[0].by,
        AirSide::AccessPoint,
        "to all of its stations"
    );
}

#[test]
fn a_reason_that_is_encrypted_or_cut_is_not_invented() {
    let mut sky = day(1, false);
    sky.management(21_000_000, 12, AP, BOARD, AP, &[7, 0, 0, 0, 0, 0, 0, 0]);
    sky.frames.last_mut().unwrap().bytes[1] |= PROTECTED;
    let air = heard(&sky, Head::Radiotap);
    assert_eq!((station(&air).departures[0].reason, station(&air).departures[0].count), (None, 1));
    assert!(air_findings(&air)[0].statement.contains("the reason is encrypted or cut"));
}

#[test]
fn a_deauthentication_out_of_sequence_may_be_forged() {
    let mut sky = day(1, false);
    sky.management(21_000_000, 12, AP, BOARD, AP, &[7, 0]);
    sky.frames.last_mut().unwrap().bytes[22..24].copy_from_slice(&(3_000_u16 << 4).to_le_bytes());
    let finding = air_findings(&heard(&sky, Head::Radiotap)).remove(0);
    assert!(finding.evidence[1].contains("somebody else may have sent them"), "{finding:#?}");
}

#[test]
fn a_board_that_goes_to_another_access_point_roams_and_was_not_thrown_out() {
    let mut sky = day(1, false);
    sky.management(20_600_000, 10, BOARD, AP, AP, &[8, 0]);
    sky.joins(20_700_000, BOARD, OTHER_AP, 4);
    sky.data(20_800_000, BOARD, OTHER_AP, true, PROTECTED, &[0; 60]);
    let air = heard(&sky, Head::Radiotap);
    let station = station(&air);
    assert_eq!((station.roams, station.association_id), (1, Some(4)));
    let last = &station.events.last().unwrap().what;
    assert!(
        matches!(last, AirDeed::Roamed { from, gap_s } if *from == MacAddress(AP) && (0.2..0.3).contains(gap_s))
    );
    assert_eq!(station.departures[0].before_roam, 1);
    assert_eq!(found(&air), []);
}

#[test]
fn frames_that_are_held_are_timed_from_the_beacon_that_announces_them() {
    let air = heard(&holds(1, 40), Head::Radiotap);
    let save = &station(&air).power_save;
    assert_eq!((save.announced, save.fetched, save.ps_polls, save.sleeps), (Some(40), 40, 40, 1));
    let wait = save.wait.unwrap();
    assert!((0.002_9..0.003_1).contains(&wait.p50_s) && (0.002_9..0.003_1).contains(&wait.max_s), "{wait:?}");
    assert_eq!(found(&air), [FindingId::PowerSaveLatency]);

    let air = heard(&holds(3, 40), Head::Radiotap);
    let wait = station(&air).power_save.wait.unwrap();
    // Two intervals from the beacon after a DTIM to the next DTIM, and 3 ms.
    assert!((0.205..0.210).contains(&wait.p50_s) && (0.205..0.210).contains(&wait.max_s), "{wait:?}");
    assert_eq!(air.networks[0].dtim_period, Some(3));
    assert_eq!(found(&air), [FindingId::PowerSaveLatency, FindingId::DtimLong]);
    let finding = air_findings(&air).remove(0);
    let proof = format!("the beacon in packet {}", wait.beacon);
    assert!(finding.evidence.iter().any(|line| line.contains(&proof)), "{finding:#?}");

    let few = heard(&holds(1, 5), Head::Radiotap);
    assert_eq!(found(&few), [], "a few are no habit");
}

#[test]
fn a_device_whose_association_was_not_heard_has_no_announcements_rather_than_none() {
    let mut sky = day(1, true);
    sky.frames.retain(|frame| frame.at_us > 30_000);
    let air = heard(&sky, Head::Radiotap);
    let save = &station(&air).power_save;
    assert_eq!((save.announced, save.fetched, save.wait), (None, 0, None));
    assert!((save.sleeps, save.wakes) == (200, 200), "{save:?}");
    // 70 ms of each of 200 intervals.
    assert!((13.9..14.1).contains(&save.asleep_s), "{save:?}");
    assert_eq!(station(&air).events[0].what, AirDeed::AlreadyAssociated);
}

/// `share` of a hundred frames to the board are sent again.
fn retries(share: u64) -> Sky {
    let mut sky = day(1, false);
    for n in 0..300 {
        sky.data(21_000_000 + n * 5_000, BOARD, AP, false, PROTECTED, &[0; 60]);
        if n * 37 % 100 < share {
            sky.again(1_000);
            sky.again(1_000);
        }
    }
    sky
}

#[test]
fn a_frame_that_is_sent_three_times_is_one_that_was_sent_again() {
    let air = heard(&retries(50), Head::Radiotap);
    assert_eq!((station(&air).received.data, station(&air).received.retried), (500, 150));
    assert_eq!((air.heard_again, found(&air)), (300, vec![]), "150 of 500 and its lower bound");
    let air = heard(&retries(80), Head::Radiotap);
    assert_eq!(station(&air).received.retried, 240);
    assert_eq!(found(&air), [FindingId::RetryStorm]);
}

#[test]
fn everything_heard_twice_is_said_once() {
    for sky in [retries(80), holds(3, 40), day(1, true)] {
        let mut twice = sky.clone();
        twice
            .frames
            .extend(sky.frames.iter().map(|frame| sky::Frame { at_us: frame.at_us + 300, ..frame.clone() }));
        let (once, twice) = (heard(&sky, Head::Radiotap), heard(&twice, Head::Radiotap));
        assert!(twice.heard_again >= once.frames, "{} {}", twice.heard_again, once.frames);
        let numberless = |mut air: Air| {
            air.heard_again = 0;
            let station = air.station.as_mut().unwrap();
            station.events.iter_mut().for_each(|event| event.packet = 0);
            // The last copy ends the capture a little later.
            station.power_save.asleep_s = station.power_save.asleep_s.round();
            if let Some(wait) = &mut station.power_save.wait {
                (wait.beacon, wait.frame) = (0, 0);
            }
            air
        };
        assert_eq!(found(&once), found(&twice));
        assert_eq!(numberless(once), numberless(twice));
    }
}

#[test]
fn a_capture_that_misses_frames_makes_no_finding_of_it() {
    // A third is not heard, and of what is heard a good part are repetitions.
    let mut sky = retries(80);
    let mut n = 0_u32;
    sky.frames.retain(|frame| {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        frame.at_us < 40_000 || n >> 16 & 3 != 0
    });
    let air = heard(&sky, Head::Radiotap);
    let station = station(&air);
    assert!(station.received.missed_share().unwrap() > 0.1, "{station:?}");
    assert!(
        air.networks[0].beacons_unheard > 30 && air.networks[0].beacons_unsent == 0,
        "{:?}",
        air.networks
    );
    assert_eq!(found(&air), []);
    assert!(
        not_judged(&air).contains(&FindingId::RetryStorm)
            && not_judged(&air).contains(&FindingId::BeaconLoss)
    );
}

#[test]
fn beacons_that_were_not_sent_are_told_from_those_that_were_not_heard() {
    let mut sky = Sky::default();
    sky.joins(20_000, BOARD, AP, 1);
    for n in 1..=300 {
        if n % 8 != 0 {
            sky.beacon(n, AP, (0, 1), &[]);
        }
    }
    let air = heard(&sky, Head::Radiotap);
    let network = &air.networks[0];
    assert_eq!((network.beacons, network.beacons_unsent, network.beacons_unheard), (263, 37, 0));
    assert_eq!(found(&air), [FindingId::BeaconLoss]);

    let mut sky = Sky::default();
    sky.joins(20_000, BOARD, AP, 1);
    for n in 1..=300 {
        match n % 8 {
            0 => sky.skip(AP),
            _ => sky.beacon(n, AP, (0, 1), &[]),
        }
    }
    let air = heard(&sky, Head::Radiotap);
    assert_eq!((air.networks[0].beacons_unsent, air.networks[0].beacons_unheard), (0, 37));
    assert_eq!(found(&air), []);
    assert!(not_judged(&air).contains(&FindingId::BeaconLoss));
}

#[test]
fn an_access_point_that_does_not_count_its_beacons_is_not_accused() {
    let mut sky = Sky::default();
    sky.joins(20_000, BOARD, AP, 1);
    for n in (1..=300).filter(|n| n % 8 != 0) {
        sky.beacon(n, AP, (0, 1), &[]);
        sky.frames.last_mut().unwrap().bytes[22..24].copy_from_slice(&[0, 0]);
    }
    let air = heard(&sky, Head::Radiotap);
    assert_eq!((air.networks[0].beacons, air.networks[0].beacons_unsent), (263, 0));
    assert_eq!(found(&air), []);
}

#[test]
fn a_weak_signal_is_a_finding_only_where_it_hurts() {
    let weak = |rate| {
        let mut sky = day(1, false);
        for frame in sky.frames.iter_mut().filter(|frame| frame.bytes[10..16] == BOARD) {
            (frame.signal, frame.rate) = (-84, rate);
        }
        heard(&sky, Head::Radiotap)
    };
    assert_eq!(found(&weak(10)), [FindingId::WeakSignal]);
    assert_eq!(found(&weak(540)), [], "the monitor may be far away");
}

#[test]
fn a_channel_switch_is_an_event() {
    let mut sky = day(1, false);
    for n in 201..=203 {
        sky.beacon_with(n, AP, (0, 1), &[], 6, &[37, 3, 1, 11, 203 - n as u8]);
    }
    sky.beacon_with(204, AP, (0, 1), &[], 11, &[]);
    let air = heard(&sky, Head::Radiotap);
    let deeds: Vec<&AirDeed> = station(&air).events.iter().skip(2).map(|event| &event.what).collect();
    let switched = AirDeed::ChannelSwitched { from: 6, to: 11 };
    assert_eq!(deeds, [&AirDeed::ChannelSwitchAnnounced { channel: 11 }, &switched]);
    assert_eq!(air.networks[0].channel, Some(11));
}

#[test]
fn refused_associations_are_counted_by_status() {
    let mut sky = Sky::default();
    sky.beacon(0, AP, (0, 1), &[]);
    for n in 0..3 {
        let at = 20_000 + n * 500_000;
        sky.management(at, 11, BOARD, AP, AP, &[0, 0, 1, 0, 0, 0]);
        sky.management(at + 2_000, 11, AP, BOARD, AP, &[0, 0, 2, 0, 0, 0]);
        sky.management(at + 4_000, 0, BOARD, AP, AP, b"\x11\x04\x03\x00\x00\x04home");
        sky.management(at + 6_000, 1, AP, BOARD, AP, &[0x11, 0x04, 17, 0, 0, 0]);
    }
    let air = heard(&sky, Head::Radiotap);
    let row = &station(&air).refusals[0];
    assert_eq!((row.association, row.status, row.count), (true, 17, 3));
    assert_eq!(row.status_name.as_deref(), Some("DENIED_TOO_MANY_STATIONS"));
    assert_eq!(station(&air).associations, 0);
}

#[test]
fn frames_that_are_cut_and_a_file_that_is_cut_give_what_there_is() {
    let sky = day(3, true);
    let whole = sky.pcap(Head::Radiotap);
    for snap in (0..160).step_by(7) {
        let air = analyzed(sky.cut_pcap(Head::Radiotap, snap)).air.unwrap();
        assert_eq!(found(&air).iter().filter(|id| **id != FindingId::DtimLong).count(), 0, "{snap}");
        assert!(
            air.networks.iter().all(|network| network.dtim_period.is_none_or(|period| period == 3)),
            "{snap}"
        );
    }
    for length in [whole.len() / 3, whole.len() / 2 + 11] {
        let analysis = analyzed(whole[..length].to_vec());
        assert!(!analysis.end.is_complete());
        assert_eq!(analysis.air.unwrap().station.unwrap().associations, 1);
    }
}

#[test]
fn a_station_is_named_or_else_the_board_is_preferred_to_who_talks_more() {
    let laptop = [0x00, 0x16, 0x3e, 0, 0, 9];
    let mut sky = day(1, false);
    for n in 0..900 {
        sky.data(30_000 + n * 9_000, laptop, AP, true, PROTECTED, &[0; 60]);
    }
    let air = heard(&sky, Head::Radiotap);
    assert_eq!((station(&air).address, station(&air).chosen), (MacAddress(BOARD), Chosen::Espressif));
    assert_eq!((air.other_stations[0].address, air.other_stations[0].frames), (MacAddress(laptop), 900));
    let config = AnalyzeConfig { station: Some(MacAddress(laptop)), ..AnalyzeConfig::default() };
    let reader = Reader::new(Box::new(Cursor::new(sky.pcap(Head::Radiotap)))).unwrap();
    let air = analyze_records(reader, &config, |_, _| {}).air.unwrap();
    assert_eq!((station(&air).address, station(&air).chosen), (MacAddress(laptop), Chosen::Named));
    let nobody = AnalyzeConfig { station: Some(MacAddress([2; 6])), ..AnalyzeConfig::default() };
    let reader = Reader::new(Box::new(Cursor::new(sky.pcap(Head::Radiotap)))).unwrap();
    let air = analyze_records(reader, &nobody, |_, _| {}).air.unwrap();
    assert_eq!((air.station.as_ref(), found(&air)), (None, vec![]));
    assert_eq!(not_judged(&air).len(), 5, "nothing is concluded of a station that was not heard");
}

#[test]
fn packets_in_one_frame_are_judged_as_any_others() {
    let part = |from: Mac, to: Mac, ip: &[u8]| {
        let llc = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], ip].concat();
        let mut part = [&to[..], &from, &(llc.len() as u16).to_be_bytes(), &llc].concat();
        part.resize(part.len().next_multiple_of(4), 0);
        part
    };
    let mut sky = Sky::default();
    let packets = crate::analyze::good_packets();
    for (n, pair) in packets.chunks(2).enumerate() {
        let parts: Vec<u8> = pair.iter().flat_map(|ip| part(BOARD, [2, 0, 0, 0, 0, 9], ip)).collect();
        sky.data(n as u64 * 1_000, BOARD, AP, true, 0, &parts);
        let frame = &mut sky.frames.last_mut().unwrap().bytes;
        frame[24] |= 0x80;
    }
    let analysis = analyzed(sky.pcap(Head::Radiotap));
    assert_eq!((analysis.connections, analysis.wire.tcp_packets), (5, packets.len() as u64));
    assert!(analysis.is_complete() && analysis.anomalies.is_empty(), "{:?}", analysis.wire);
}

#[test]
fn the_page_says_what_was_heard_and_what_could_not_be() {
    let mut sky = holds(3, 40);
    sky.management(13_000_000, 12, AP, BOARD, AP, &[4, 0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("air.pcap");
    std::fs::write(&path, sky.pcap(Head::Radiotap)).unwrap();
    let output = espstress().arg("analyze").arg(&path).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    for words in [
        "24:6f:28:00:00:07 (Espressif), the Espressif station that talks most",
        "\"home\" 02:aa:00:00:00:01, channel 6, a beacon every 102.4 ms, DTIM period 3",
        "deauthentication by the access point, reason 4, DISASSOC_DUE_TO_INACTIVITY: once",
        "40 data frames with encrypted content: TCP inside can't be read",
        "frames on other channels than that of 2437 MHz",
        "(dtim_long)",
        "(power_save_latency)",
        "(wifi_deauthenticated)",
        "No TCP connection was judged",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(output.status.code(), Some(4), "what TCP did is not known");
    let output = espstress().arg("analyze").arg(&path).arg("--json").output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["air"]["station"]["power_save"]["announced"], 40);
    assert_eq!(json["findings"].as_array().unwrap().len(), 3);
}
