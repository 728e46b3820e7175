//! Devices that dial in, and how they leave.

use super::{dialler, listened, listening, of_nobody, rows};
use espstress_device::config::LineTimes;
use espstress_diagnose::{FindingId, Severity};
use espstress_engine::{Capturing, Packets};
use espstress_targets::sim::{Sim, SimConfig};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn where_no_device_dials_in_there_is_nothing_to_judge() {
    let (host, port) = listening("duration = '1s'", of_nobody);
    let (outage, findings) = listened(host);
    assert_eq!(outage.unavailable, Some(format!("no device dialled in to port {port}")));
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn a_client_that_is_none_of_these_devices_is_turned_away_with_what_it_said() {
    let (host, port) = listening("duration = '2s'", of_nobody);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let (outage, _) = listened(host);
    let reason = outage.unavailable.unwrap();
    assert!(reason.contains("1 turned away") && reason.contains("\"GET / HTTP/1.1\""), "{reason}");
    assert_eq!(outage.turned_away, 1);
}

#[cfg(feature = "long")]
#[test]
fn a_device_that_leaves_for_good_is_gone_whether_it_closes_or_falls_silent() {
    let settings = "duration = '13s'\npeer_timeout = '300ms'\nstable = '600ms'\ndata_interval = '1s'";
    let both = [true, false].map(|closes| {
        let (host, port) = listening(settings, of_nobody);
        let stream = dialler(port, 10);
        (closes, host, if closes { None } else { Some(stream) })
    });
    for (closes, host, _silent) in both {
        let (outage, findings) = listened(host);
        let gone: Vec<_> = findings.iter().map(|f| (f.id, f.severity)).collect();
        assert!(gone.contains(&(FindingId::DeviceUnreachable, Severity::Error)), "{closes}: {findings:?}");
        let device = &outage.dialled[0];
        assert!(device.away_since_ns.is_some() && device.connections == 1, "{device:?}");
        assert_eq!((device.to_host.acknowledged, device.to_host.lost), (10, 0), "{device:?}");
        assert_eq!((outage.natural, outage.unrecovered), (1, 1), "{outage:?}");
        assert_eq!((device.outages, outage.fates.died, outage.fates.died_outside), (1, 1, 0), "{outage:?}");
        assert!(outage.to_device.balances() && outage.to_host == device.to_host, "{outage:?}");
    }
}

#[test]
fn lines_that_a_device_counts_and_does_not_send_are_lost_without_any_outage() {
    let (host, port) = listening("duration = '2s'\npeer_timeout = '10s'", of_nobody);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"1\n[1,0]\n[2,0]\n[4,0]\n[5,0]\n").unwrap();
    let (outage, findings) = listened(host);
    drop(stream);
    assert_eq!((outage.dialled[0].to_host.lost, outage.natural), (1, 0), "{outage:?}");
    let found: Vec<_> = findings.iter().map(|f| (f.id, f.severity)).collect();
    assert_eq!(found, [(FindingId::LinesLost, Severity::Error)], "{findings:?}");
}

#[test]
fn a_device_that_closes_and_dials_again_has_had_no_outage() {
    let (host, port) = listening("duration = '3s'\npeer_timeout = '1s'", of_nobody);
    drop(dialler(port, 2));
    let stream = dialler(port, 400);
    let (outage, findings) = listened(host);
    drop(stream);
    let device = &outage.dialled[0];
    assert_eq!((device.connections, device.closed_by_device, device.outages), (2, 1, 0), "{device:?}");
    assert_eq!((outage.natural, outage.unrecovered, device.away_since_ns), (0, 0, None), "{outage:?}");
    assert!(findings.is_empty(), "{findings:?}");
}

#[test]
fn without_telemetry_nobody_knows_when_an_outage_ended_and_how_long_the_recovery_took() {
    let settings = "duration = '5s'\npeer_timeout = '300ms'\ncycles = 1000";
    let (host, port) = listening(settings, of_nobody);
    let mut silent = dialler(port, 4);
    // Until the host has given it up: with a FIN, or with a RST, which is an error here.
    while matches!(silent.read(&mut [0; 64]), Ok(1..)) {}
    let back = dialler(port, 400);
    let (outage, _) = listened(host);
    drop(back);
    let row = rows(&outage)[0];
    assert_eq!((row.recovery_ns(), row.length_seen_ns(), row.device), (None, None, Some(1)), "{row:?}");
    assert!(row.recovered_ns > row.host_noticed_ns && row.first_data_ns > row.recovered_ns, "{row:?}");
    assert_eq!((outage.natural, outage.unrecovered, outage.fates.reconnected), (1, 0, 1), "{outage:?}");
}

#[test]
fn the_first_connection_of_a_device_that_dials_in_is_captured_from_its_syn_on() {
    let (host, port) = listening("duration = '2s'", |settings| {
        let mut plan = of_nobody(settings);
        plan.watch.capturing = Capturing::On;
        plan
    });
    drop(dialler(port, 3));
    let outcome = host.join().unwrap();
    let seen = match outcome.packets {
        Packets::Seen(seen) => seen,
        Packets::Denied(reason) => return crate::common::skipped("capture", &reason),
        Packets::Off => panic!("it was asked for"),
    };
    let summary = &seen.summary;
    assert_eq!((summary.connections, summary.mid_stream, summary.strays), (1, 0, 0), "{summary:?}");
    assert!(summary.device_packets > 3, "{summary:?}");
}

#[test]
fn four_devices_dial_in_and_each_keeps_its_own_ledger() {
    let (host, port) =
        listening("duration = '6s'\npeer_timeout = '600ms'\ndata_interval = '200ms'", of_nobody);
    let line = LineTimes { timeout: Duration::from_millis(600), data_interval: Duration::from_millis(200) };
    let sims: Vec<Sim> = (1..=4)
        .map(|number| {
            let dial = Some(("127.0.0.1".to_owned(), port));
            Sim::start(SimConfig { number, dial, line, ..SimConfig::default() }).unwrap()
        })
        .collect();
    let mut outcome = host.join().unwrap();
    let stats = outcome.workloads.remove(0).stats;
    let outage = stats.outage.as_deref().unwrap();
    let ids: Vec<u8> = outage.dialled.iter().map(|device| device.id).collect();
    assert_eq!(ids, [1, 2, 3, 4], "{outage:?}");
    for device in &outage.dialled {
        assert!(device.to_device.balances() && device.to_host.balances(), "{device:?}");
        assert!(device.to_device.acknowledged > 5 && device.to_host.acknowledged > 5, "{device:?}");
        assert_eq!((device.outages, device.to_host.lost), (0, 0), "{device:?}");
    }
    drop(sims);
}
