//! A twin that dials in, as devices do that have no server: its outages against what its link tells, its packets, and what
//! is said of one that does not come back.

use std::collections::BTreeSet;

use espstress_diagnose::FindingId;
use espstress_event::AnomalyClass;
use espstress_observe::file::Reader;
use espstress_report::Report;

use super::{of_class, on_twin, said};

fn usual(link: &str, stack: &str) -> String {
    format!("outage twin --stack {stack} --listen 8123 -d 26s --data-interval 1s --link {link}")
}

#[cfg(feature = "long")]
#[test]
fn a_twin_that_dials_in_recovers_from_an_outage_of_its_link() {
    for stack in ["lwip", "smoltcp"] {
        let Some(report) = on_twin(&usual("clean,outage=3s@8s", stack)) else { return };
        comes_back(&report);
    }
}

fn comes_back(report: &Report) {
    let workload = &report.workloads[0];
    let (rows, sum) = (workload.outages.as_deref().unwrap(), workload.outage_summary.as_ref().unwrap());
    let truth = report.link_outages.as_ref().unwrap().rows[0];
    assert_eq!((rows.len(), sum.unrecovered, sum.dialled[0].connections), (1, 0, 2), "{rows:?}");
    let row = &rows[0];
    let end = |start: Option<f64>, length: Option<f64>| start.unwrap() + length.unwrap();
    // From the last keep-alive, a second apart, to the first answer after the link was back.
    let start = row.seen_start_s.unwrap();
    assert!(start > truth.start_s - 1.6 && start <= truth.start_s + 0.1, "{row:?}, {truth:?}");
    let apart = end(row.seen_start_s, row.seen_length_s) - end(Some(truth.start_s), truth.length_s);
    assert!(apart.abs() < 0.5, "{row:?}, {truth:?}");
    let back = end(row.seen_start_s, row.seen_length_s) + row.recovery_s.unwrap();
    assert!((back - row.back_s.unwrap()).abs() < 1e-6 && row.data_again_s > row.back_s, "{row:?}");
    assert!(sum.messages_balance && sum.to_device.acknowledged > 0, "{sum:?}");
    assert_eq!(of_class(report, AnomalyClass::Device), Vec::<String>::new());
    assert_eq!(said(report), [FindingId::LinkOutages]);
    // Its packets were looked at: the outage cost some that it had to send again.
    let seen = report.anomalies.iter().any(|row| row.workload.as_deref() == Some("outage"));
    assert!(seen, "{:?}", report.anomalies);
}

#[cfg(feature = "long")]
#[test]
fn a_twin_that_dials_in_and_is_gone_for_good_fails() {
    let Some(report) = on_twin(&usual("clean,outage=100s@6s", "lwip")) else { return };
    assert_eq!(said(&report), [FindingId::DeviceUnreachable]);
    let sum = report.workloads[0].outage_summary.as_ref().unwrap();
    assert!(sum.dialled[0].away_since_s.is_some() && sum.unrecovered == 1, "{sum:?}");
}

#[test]
fn every_connection_of_a_twin_that_dials_in_is_captured_from_its_syn_on() {
    let dir = tempfile::tempdir().unwrap();
    let pcap = dir.path().join("packets.pcapng");
    let arguments = format!("outage twin --listen 8123 -d 6s --no-probes --pcap {}", pcap.display());
    let Some(report) = on_twin(&arguments) else { return };
    let dialled = &report.workloads[0].outage_summary.as_ref().unwrap().dialled[0];
    let mut packets = Reader::open(&pcap).unwrap();
    // Each by the device's port and its initial sequence number. A SYN may have come before the port was open.
    let (mut syns, mut answered) = (BTreeSet::new(), BTreeSet::new());
    while let Some(record) = packets.next_record() {
        let Ok(segment) =
            espstress_wire::decode(espstress_wire::Link::Ethernet, record.bytes, record.bytes.len())
        else {
            continue;
        };
        match (segment.flags.has(espstress_wire::Flags::SYN), segment.source_port == 8_123) {
            (true, false) => syns.insert((segment.source_port, segment.seq)),
            (true, true) => answered.insert((segment.destination_port, segment.ack.wrapping_sub(1))),
            (false, _) => false,
        };
    }
    assert!(dialled.connections >= 1, "{dialled:?}");
    assert_eq!(answered.len() as u64, dialled.connections);
    assert!(answered.is_subset(&syns), "{answered:?} of {syns:?}");
}
