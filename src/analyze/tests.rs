use std::io::Cursor;
use std::net::Ipv4Addr;

use super::*;
use espstress_event::{AnomalyClass, AnomalyId, Direction};
use espstress_observe::file::Damage;

const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Who sends, with the host's port.
#[derive(Clone, Copy)]
enum Sender {
    Host(u16),
    Device(u16),
}
use Sender::{Device, Host};

/// A classic pcap file in the making: raw IP, nanoseconds.
struct File(Vec<u8>);

impl File {
    fn new(link: u32) -> Self {
        let mut bytes = 0xa1b2_3c4d_u32.to_le_bytes().to_vec();
        bytes.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
        bytes.extend(link.to_le_bytes());
        Self(bytes)
    }

    /// One segment, `at_ms` after second 1,000.
    fn segment(&mut self, at_ms: u32, end: Sender, flags: u8, numbers: (u32, u32), payload: u16) {
        self.segment_of(80, at_ms, end, flags, numbers, payload);
    }

    /// The same of a port of the device's.
    fn segment_of(
        &mut self,
        service: u16,
        at_ms: u32,
        end: Sender,
        flags: u8,
        (seq, ack): (u32, u32),
        payload: u16,
    ) {
        let (Host(port) | Device(port)) = end;
        let (host, device) = ((Ipv4Addr::new(10, 0, 0, 1), port), (Ipv4Addr::new(10, 0, 0, 2), service));
        let (from, to) = if matches!(end, Host(_)) { (host, device) } else { (device, host) };
        let mut p = vec![0x45, 0];
        p.extend((40 + payload).to_be_bytes());
        p.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        p.extend(from.0.octets());
        p.extend(to.0.octets());
        p.extend(from.1.to_be_bytes());
        p.extend(to.1.to_be_bytes());
        p.extend(seq.to_be_bytes());
        p.extend(ack.to_be_bytes());
        p.extend([0x50, flags, 0x16, 0, 0, 0, 0, 0]);
        for word in [1000 + at_ms / 1000, at_ms % 1000 * 1_000_000, 40, 40 + u32::from(payload)] {
            self.0.extend(word.to_le_bytes());
        }
        self.0.extend(p);
    }

    /// A connection that a port refuses.
    fn refused(&mut self, at_ms: u32, service: u16, port: u16) {
        self.segment_of(service, at_ms, Host(port), SYN, (100, 0), 0);
        self.segment_of(service, at_ms + 1, Device(port), RST | ACK, (0, 101), 0);
    }

    /// A connection whose answer is followed by a RST; 6 segments in 5 ms from `at_ms` on.
    fn aborted(&mut self, at_ms: u32, port: u16) {
        self.segment(at_ms, Host(port), SYN, (100, 0), 0);
        self.segment(at_ms + 1, Device(port), SYN | ACK, (500, 101), 0);
        self.segment(at_ms + 2, Host(port), ACK, (101, 501), 0);
        self.segment(at_ms + 3, Host(port), ACK, (101, 501), 80);
        self.segment(at_ms + 4, Device(port), ACK, (501, 181), 120);
        self.segment(at_ms + 5, Device(port), RST | ACK, (621, 181), 0);
    }

    /// A connection as it should be; the host closes.
    fn plain(&mut self, at_ms: u32, port: u16) {
        self.segment(at_ms, Host(port), SYN, (100, 0), 0);
        self.segment(at_ms + 1, Device(port), SYN | ACK, (500, 101), 0);
        self.segment(at_ms + 2, Host(port), ACK, (101, 501), 80);
        self.segment(at_ms + 3, Device(port), ACK, (501, 181), 120);
        self.segment(at_ms + 4, Host(port), FIN | ACK, (181, 621), 0);
        self.segment(at_ms + 5, Device(port), FIN | ACK, (621, 182), 0);
        self.segment(at_ms + 6, Host(port), ACK, (182, 622), 0);
    }

    fn analyze(self, config: &AnalyzeConfig) -> Analysis {
        let reader = Reader::new(Box::new(Cursor::new(self.0))).unwrap();
        analyze_records(reader, config, |_, _| {})
    }
}

fn device(address: [u8; 4], port: Option<u16>) -> AnalyzeConfig {
    AnalyzeConfig { device: DeviceEnds::Known(vec![(address.into(), port)]), ..AnalyzeConfig::default() }
}

#[test]
fn an_anomaly_is_a_row_with_its_packets_and_times_from_the_first_packet_on() {
    let mut file = File::new(101);
    for i in 0..7 {
        file.aborted(u32::from(i) * 1000, 40_000 + i);
    }
    let analysis = file.analyze(&AnalyzeConfig::default());
    assert_eq!((analysis.packets, analysis.connections), (42, 7));
    assert_eq!(analysis.duration_ns, 6_005_000_000);
    assert!(analysis.is_complete());
    let [row] = analysis.anomalies.as_slice() else { panic!("{:?}", analysis.anomalies) };
    assert_eq!((row.id, row.class), (AnomalyId::AbortiveClose, AnomalyClass::Device));
    assert_eq!((row.count, row.connections, row.direction), (7, 7, Direction::FromDevice));
    assert_eq!((row.first_s, row.last_s), (0.005, 6.005));
    assert_eq!(row.examples.len(), 5);
    let second = &row.examples[1];
    assert_eq!((second.host.as_str(), second.device.as_str()), ("10.0.0.1:40001", "10.0.0.2:80"));
    assert_eq!(second.at_s, 1.005);
    let last = second.packets.last().unwrap();
    assert_eq!((last.number, last.at_s, last.direction), (12, 1.005, Direction::FromDevice));
}

#[test]
fn resets_alone_show_no_connection_and_nothing_is_judged() {
    let mut file = File::new(101);
    for port in 40_000..40_003 {
        file.segment(u32::from(port) - 40_000, Device(port), RST | ACK, (501, 181), 0);
    }
    let analysis = file.analyze(&AnalyzeConfig::default());
    assert_eq!((analysis.packets, analysis.connections), (3, 0));
    assert!(!analysis.saw_anything() && !analysis.is_complete());
}

#[test]
fn a_good_connection_shows_nothing() {
    let mut file = File::new(101);
    file.plain(0, 40_000);
    let analysis = file.analyze(&AnalyzeConfig::default());
    assert_eq!(analysis.anomalies, []);
    assert!(analysis.is_complete());
}

#[test]
fn a_cut_file_keeps_what_came_before_the_cut_and_is_not_complete() {
    let mut file = File::new(101);
    file.aborted(0, 40_000);
    let cut_at = file.0.len() as u64;
    file.aborted(1000, 40_001);
    file.0.truncate(cut_at as usize + 30);
    let analysis = file.analyze(&AnalyzeConfig::default());
    assert_eq!(analysis.packets, 6);
    assert_eq!(analysis.anomalies[0].count, 1);
    assert!(matches!(analysis.end, End::Truncated { at_byte, .. } if at_byte == cut_at), "{}", analysis.end);
    assert!(!analysis.is_complete());
}

#[test]
fn a_damaged_file_keeps_what_came_before_the_damage() {
    let mut file = File::new(101);
    file.aborted(0, 40_000);
    file.0.extend([0xff; 100]);
    let analysis = file.analyze(&AnalyzeConfig::default());
    assert_eq!((analysis.packets, analysis.anomalies.len()), (6, 1));
    assert!(matches!(analysis.end, End::Damaged { what: Damage::RecordTooLong { .. }, .. }));
}

#[test]
fn only_the_devices_connections_are_looked_at_where_it_is_named() {
    for (config, connections) in [
        (device([10, 0, 0, 2], None), 1),
        (device([10, 0, 0, 2], Some(80)), 1),
        (device([10, 0, 0, 2], Some(81)), 0),
        (device([10, 0, 0, 3], None), 0),
    ] {
        let mut file = File::new(101);
        file.aborted(0, 40_000);
        let analysis = file.analyze(&config);
        assert_eq!(analysis.connections, connections, "{config:?}");
        assert_eq!(analysis.anomalies.len() as u64, connections);
        assert_eq!(analysis.packets, 6);
    }
}

#[test]
fn a_link_layer_that_is_not_known_is_told_and_never_called_clean() {
    let mut file = File::new(189); // USB
    file.plain(0, 40_000);
    let analysis = file.analyze(&AnalyzeConfig::default());
    assert_eq!((analysis.unknown_link, analysis.unknown_link_type), (7, Some(189)));
    assert!(!analysis.is_complete());
}

#[test]
fn a_file_without_packets_is_an_empty_analysis() {
    let analysis = File::new(101).analyze(&AnalyzeConfig::default());
    assert_eq!((analysis.packets, analysis.connections, analysis.duration_ns), (0, 0, 0));
    assert!(analysis.anomalies.is_empty() && analysis.end.is_complete());
}

#[test]
fn what_is_no_capture_is_an_error_with_the_files_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "not a capture").unwrap();
    let error = analyze(&path, &AnalyzeConfig::default()).unwrap_err().to_string();
    assert!(error.contains("notes.txt") && error.contains("neither a pcap nor a pcapng"), "{error}");
}

/// How often the device refused as an anomaly, and how many connections its closed ports refused.
fn refusals(file: File) -> (u64, Vec<(u16, u64)>) {
    let analysis = file.analyze(&AnalyzeConfig::default());
    let refused =
        analysis.anomalies.iter().filter(|row| row.id == AnomalyId::SynRefused).map(|row| row.count);
    let closed = analysis.closed_ports.iter().map(|(port, n)| (port.port(), *n)).collect();
    (refused.sum(), closed)
}

#[test]
fn a_port_where_nothing_listens_refuses_as_it_must_beside_one_that_accepts() {
    let mut file = File::new(101);
    file.refused(0, 443, 40_001);
    file.plain(10, 40_002);
    file.refused(20, 443, 40_003);
    assert_eq!(refusals(file), (0, vec![(443, 2)]));
}

#[test]
fn a_port_that_accepted_at_another_time_or_the_only_one_refuses_for_want_of_something() {
    let mut file = File::new(101);
    file.refused(0, 80, 40_001);
    file.plain(10, 40_002);
    file.refused(20, 80, 40_003);
    assert_eq!(refusals(file), (2, vec![]));
    let mut alone = File::new(101);
    alone.refused(0, 80, 40_001);
    assert_eq!(refusals(alone), (1, vec![]));
}
