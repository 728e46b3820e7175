//! Capture files against Wireshark's own programs, as an independent reader and writer of the formats.
//!
//! Where they are not installed a test prints that it was skipped; with `tshark` in `ESPSTRESS_REQUIRE` it
//! fails.

use std::path::Path;
use std::process::Command;

use espstress_observe::capture::{CaptureStats, Frame, LINKTYPE_RAW, Travel, VlanTag};
use espstress_observe::file::{Reader, Writer, WriterConfig};

/// Runs a program; `None` when it is not there.
fn run(test: &str, program: &str, arguments: &[&str]) -> Option<String> {
    let output = match Command::new(program).args(arguments).output() {
        Ok(output) => output,
        Err(e) => {
            let required =
                std::env::var("ESPSTRESS_REQUIRE").is_ok_and(|v| v.split(',').any(|w| w.trim() == "tshark"));
            assert!(!required, "{test} needs {program}: {e}");
            println!("SKIPPED {test}: {program}: {e}");
            return None;
        }
    };
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A SYN from port 40000 to port 80, without link header.
fn syn() -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 192, 168, 4, 1, 192, 168, 4, 91];
    p.extend([0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x10, 0, 0, 0, 0, 0]);
    p
}

fn frame(at_ns: i64, bytes: &[u8], travel: Travel) -> Frame<'_> {
    Frame { at_ns, link: LINKTYPE_RAW, bytes, original_len: bytes.len() as u32, travel, vlan: None }
}

/// Writes a file with three packets, a comment on the second, and three drops.
fn write(path: &Path) {
    let config = WriterConfig { link: LINKTYPE_RAW, snap_length: 160, interface: "tap0".to_owned() };
    let mut writer = Writer::create(path, &config).unwrap();
    let packet = syn();
    for (number, travel) in [(1, Travel::Outgoing), (2, Travel::Incoming), (3, Travel::Unknown)] {
        writer.packet(number, &frame(1_700_000_000_123_456_700 + number as i64, &packet, travel));
    }
    writer.comment(2, "abortive_close (device)");
    let stats = CaptureStats { packets: 6, dropped: 3, ..CaptureStats::default() };
    let report = writer.finish(Some(stats));
    assert!(report.failure.is_none());
}

#[test]
fn tshark_reads_what_is_written_with_times_directions_and_comments() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcapng");
    write(&path);
    let fields =
        ["frame.time_epoch", "frame.packet_flags_direction", "frame.comment", "tcp.dstport", "_ws.malformed"];
    let mut arguments = vec!["-n", "-r", path.to_str().unwrap(), "-T", "fields", "-E", "separator=|"];
    for field in &fields {
        arguments.extend(["-e", field]);
    }
    let test = "tshark_reads_what_is_written_with_times_directions_and_comments";
    let Some(said) = run(test, "tshark", &arguments) else { return };
    let lines: Vec<Vec<&str>> = said.lines().map(|l| l.split('|').collect()).collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line[0], format!("1700000000.12345670{}", i + 1));
        assert_eq!((line[3], line[4]), ("80", ""));
    }
    let comments: Vec<&str> = lines.iter().map(|l| l[2]).collect();
    assert_eq!(comments, ["", "abortive_close (device)", ""]);
    // Wireshark prints 1 for inbound and 2 for outbound, in hexadecimal.
    let directions: Vec<u32> = lines
        .iter()
        .map(|l| u32::from_str_radix(l[1].trim_start_matches("0x"), 16).unwrap_or_default())
        .collect();
    assert_eq!(directions, [2, 1, 0]);
}

#[test]
fn tshark_sees_the_tag_that_the_kernel_had_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcapng");
    let config = WriterConfig { link: 1, snap_length: 160, interface: "eth0".to_owned() };
    let mut writer = Writer::create(&path, &config).unwrap();
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    bytes.extend(syn());
    let mut tagged = frame(1, &bytes, Travel::Incoming);
    tagged.link = 1;
    tagged.vlan = Some(VlanTag { protocol: 0x8100, control: 5 });
    writer.packet(1, &tagged);
    assert!(writer.finish(None).failure.is_none());
    let arguments =
        ["-n", "-r", path.to_str().unwrap(), "-T", "fields", "-e", "vlan.id", "-e", "tcp.dstport"];
    let test = "tshark_sees_the_tag_that_the_kernel_had_taken_out";
    let Some(said) = run(test, "tshark", &arguments) else { return };
    assert_eq!(said.trim(), "5\t80");
}

#[test]
fn what_editcap_converts_is_read_the_same_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcapng");
    write(&path);
    let read = |path: &Path| {
        let mut reader = Reader::open(path).unwrap();
        let mut records = Vec::new();
        while let Some(r) = reader.next_record() {
            records.push((r.at_ns, r.link, r.bytes.to_vec(), r.original_len));
        }
        assert!(reader.end().unwrap().is_complete());
        (records, reader.dropped())
    };
    let (own, dropped) = read(&path);
    assert_eq!((own.len(), dropped), (3, Some(3)));
    for (format, unit) in [("pcap", 1000), ("nsecpcap", 1), ("modpcap", 1000), ("pcapng", 1)] {
        let other = folder.path().join(format);
        let arguments = ["-F", format, path.to_str().unwrap(), other.to_str().unwrap()];
        let test = "what_editcap_converts_is_read_the_same_in_every_format";
        if run(test, "editcap", &arguments).is_none() {
            return;
        }
        let mut expected = own.clone();
        for record in &mut expected {
            record.0 = record.0 / unit * unit;
        }
        assert_eq!(read(&other).0, expected, "{format}");
    }
}
