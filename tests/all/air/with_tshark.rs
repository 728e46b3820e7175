//! The same captures as tshark reads them: counts and values of its fields against ours.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::sky::{self, Head, Sky};
use super::{AP, BOARD, day, heard, holds, retries, station};
use espstress_event::Air;

/// A line a packet, a column a field; `None` where tshark isn't installed.
fn fields(test: &str, sky: &Sky, head: Head, names: &[&str]) -> Option<Vec<Vec<String>>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("air.pcap");
    std::fs::write(&path, sky.pcap(head)).unwrap();
    let mut arguments = vec!["-n", "-r", path.to_str().unwrap(), "-T", "fields", "-E", "separator=|"];
    names.iter().for_each(|name| arguments.extend(["-e", name]));
    let output = match Command::new("tshark").args(&arguments).output() {
        Ok(output) => output,
        Err(error) => {
            let required = std::env::var("ESPSTRESS_REQUIRE")
                .is_ok_and(|v| v.split(',').any(|word| word.trim() == "tshark"));
            assert!(!required, "{test} needs tshark: {error}");
            println!("SKIPPED {test}: tshark: {error}");
            return None;
        }
    };
    assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn is_set(text: &str) -> bool {
    matches!(text, "1" | "True")
}

fn mac(address: sky::Mac) -> String {
    espstress_event::MacAddress(address).to_string()
}

const FIELDS: [&str; 17] = [
    "wlan.fc.type_subtype",
    "wlan.ta",
    "wlan.ra",
    "wlan.seq",
    "wlan.fc.retry",
    "wlan.fc.pwrmgt",
    "wlan.fc.protected",
    "wlan.fixed.beacon",
    "wlan.tim.dtim_period",
    "wlan.ds.current_channel",
    "wlan.fixed.aid",
    "wlan.fixed.listen_ival",
    "wlan.fixed.reason_code",
    "wlan_radio.signal_dbm",
    "wlan_radio.data_rate",
    "wlan_radio.channel",
    "wlan.fixed.timestamp",
];

/// What tshark's fields say of the board, counted as we count.
fn compare(air: &Air, rows: &[Vec<String>], head: Head) {
    let (board, ap) = (mac(BOARD), mac(AP));
    let mut seen = BTreeSet::new();
    let mut retried: BTreeMap<(bool, String), bool> = BTreeMap::new();
    let (mut encrypted, mut beacons, mut again, mut nulls, mut polls, mut sleeps, mut asleep) =
        (0, 0, 0, 0, 0, 0, false);
    let (mut reasons, mut signals) = (BTreeMap::<u64, u64>::new(), Vec::new());
    let station = station(air);
    for row in rows {
        let [
            kind,
            from,
            to,
            sequence,
            retry,
            sleep,
            protected,
            interval,
            dtim,
            channel,
            aid,
            listen,
            reason,
            ..,
        ] = row.as_slice()
        else {
            panic!("{row:?}")
        };
        let kind = number(kind).unwrap();
        let data = kind & 0x30 == 0x20 && kind & 4 == 0;
        if data {
            let sent_again = retried.entry((*from == board, sequence.clone())).or_default();
            *sent_again |= is_set(retry);
        }
        // The identity of a frame; a poll has no number, and ours are 100 ms apart.
        let row_number = if kind == 0x1a { polls.to_string() } else { sequence.clone() };
        if !seen.insert((kind, from.clone(), to.clone(), row_number)) {
            again += 1;
            continue;
        }
        encrypted += u64::from(data && is_set(protected));
        nulls += u64::from(kind == 0x24 || kind == 0x2c);
        polls += u64::from(kind == 0x1a);
        if *from == board && kind & 0x30 != 0 {
            sleeps += u64::from(is_set(sleep) && !asleep);
            asleep = is_set(sleep);
        }
        if kind == 8 && *from == ap {
            beacons += 1;
            assert_eq!(
                interval.parse::<f64>().ok().map(|tu| (tu * 1_000.0).round() as u64 % 1_000),
                Some(0),
                "{interval}"
            );
            assert_eq!(number(dtim), air.networks[0].dtim_period.map(Into::into));
            assert_eq!(number(channel), air.networks[0].channel.map(Into::into));
        }
        if kind == 1 {
            assert_eq!(number(aid).map(|aid| aid & 0x3fff), station.association_id.map(Into::into));
        }
        if kind == 0 {
            assert_eq!(number(listen), station.listen_interval.map(Into::into));
        }
        if kind == 0xc || kind == 0xa {
            *reasons.entry(number(reason).unwrap()).or_default() += 1;
        }
        if *from == board && kind != 0x1a {
            signals.extend(row[13].parse::<i8>().ok());
        }
        if head != Head::Plain && data && *from == ap {
            let rate = station.received.rate.unwrap();
            assert_eq!(row[14].parse::<f64>().unwrap(), rate.p50_mbps, "{head:?}");
            assert_eq!(number(&row[15]), Some(6), "{head:?}");
        }
    }
    let both = |of_board: bool| retried.iter().filter(move |((board, _), _)| *board == of_board);
    let count = |of_board| {
        (both(of_board).count() as u64, both(of_board).filter(|(_, again)| **again).count() as u64)
    };
    assert_eq!((station.sent.data, station.sent.retried), count(true), "{head:?}");
    assert_eq!((station.received.data, station.received.retried), count(false));
    assert_eq!((air.encrypted, air.networks[0].beacons, air.heard_again), (encrypted, beacons, again));
    let save = &station.power_save;
    assert_eq!((save.null_frames, save.ps_polls, save.sleeps), (nulls, polls, sleeps));
    let ours = station.departures.iter().map(|row| (row.reason.unwrap().into(), row.count)).collect();
    assert_eq!(reasons, ours);
    if head != Head::Plain {
        signals.sort_unstable();
        let signal = station.sent.signal.unwrap();
        assert_eq!((signal.min_dbm, signal.max_dbm), (signals[0], signals[signals.len() - 1]), "{head:?}");
        assert_eq!(signal.frames, signals.len() as u64);
    }
}

#[test]
fn the_values_agree_with_tsharks_fields() {
    let mut leaves = day(3, true);
    leaves.management(21_000_000, 12, AP, BOARD, AP, &[15, 0]);
    leaves.management(21_200_000, 10, BOARD, AP, AP, &[8, 0]);
    let mut varied = retries(40);
    for (n, frame) in varied.frames.iter_mut().enumerate() {
        frame.signal = -40 - (n % 37) as i8;
    }
    // A start of tshark takes a third of a second: every header with one capture, every capture with one header.
    let every = Head::EVERY.map(|head| (&varied, head));
    let (three, one) = (holds(3, 20), holds(1, 20));
    let each = [(&leaves, Head::Ppi), (&three, Head::Radiotap), (&one, Head::Avs)];
    for (sky, head) in every.into_iter().chain(each) {
        let test = "the_values_agree_with_tsharks_fields";
        let Some(rows) = fields(test, sky, head, &FIELDS) else { return };
        assert_eq!(rows.len(), sky.frames.len());
        compare(&heard(sky, head), &rows, head);
    }
}

#[test]
fn frames_that_are_announced_are_those_that_tshark_reads_from_the_map() {
    let sky = holds(3, 20);
    let test = "frames_that_are_announced_are_those_that_tshark_reads_from_the_map";
    let names =
        ["wlan.tim.aid", "wlan.tim.dtim_count", "wlan.fc.type_subtype", "frame.time_relative", "wlan.ra"];
    let Some(rows) = fields(test, &sky, Head::Radiotap, &names) else { return };
    let mut waits = Vec::new();
    let mut since = None;
    for row in rows {
        let at: f64 = row[3].parse().unwrap();
        match number(&row[2]) {
            Some(8) if number(&row[0]) == Some(1) => since = since.or(Some(at)),
            Some(0x28) if row[4] == mac(BOARD) => waits.extend(since.take().map(|since| at - since)),
            _ => {}
        }
    }
    let air = heard(&sky, Head::Radiotap);
    let wait = station(&air).power_save.wait.unwrap();
    assert_eq!(wait.count, waits.len() as u64);
    let longest = waits.iter().copied().fold(0.0, f64::max);
    assert!((wait.max_s - longest).abs() < 2e-6, "{wait:?} {longest}");
}
