//! `espstress analyze` as a person or a script meets it: what it says of a capture, and its exit status.
//!
//! The captures are told in [`story`], and packed as captures are.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::common::espstress;

const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 2);
const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 91);
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
const MS: u64 = 1_000;

/// One IP packet and when it was captured, microseconds.
type Packet = (u64, Vec<u8>);

/// An IPv4 packet with TCP.
fn tcp(from_device: bool, port: u16, flags: u8, (seq, ack): (u32, u32), payload: u16, id: u16) -> Vec<u8> {
    let (host, device) = ((HOST, port), (DEVICE, 80));
    let (from, to) = if from_device { (device, host) } else { (host, device) };
    let mut p = vec![0x45, 0];
    p.extend((40 + payload).to_be_bytes());
    p.extend(id.to_be_bytes());
    p.extend([0x40, 0, 64, 6, 0, 0]);
    p.extend(from.0.octets());
    p.extend(to.0.octets());
    p.extend(from.1.to_be_bytes());
    p.extend(to.1.to_be_bytes());
    p.extend(seq.to_be_bytes());
    p.extend(ack.to_be_bytes());
    p.extend([0x50, flags, 0x16, 0x70, 0, 0, 0, 0]);
    p.resize(40 + usize::from(payload), b'x');
    p
}

/// A request and its response, and how the connection ends.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Well,
    Aborted,
}

/// Connections one after the other, half a second apart. Identification is 0, as many stacks have it.
fn story(connections: u16, ends: Ends) -> Vec<Packet> {
    let mut packets = Vec::new();
    for n in 0..connections {
        let (start, port) = (u64::from(n) * 500 * MS, 40_000 + n);
        let mut say = |at: u64, from_device, flags, numbers, payload| {
            packets.push((start + at * MS, tcp(from_device, port, flags, numbers, payload, 0)));
        };
        say(0, false, SYN, (100, 0), 0);
        say(2, true, SYN | ACK, (500, 101), 0);
        say(3, false, ACK, (101, 501), 0);
        say(10, false, ACK, (101, 501), 80);
        say(20, true, ACK, (501, 181), 120);
        if ends == Ends::Aborted {
            say(21, true, RST | ACK, (621, 181), 0);
            continue;
        }
        say(21, false, ACK, (181, 621), 0);
        say(30, false, FIN | ACK, (181, 621), 0);
        say(32, true, ACK, (621, 182), 0);
        say(33, true, FIN | ACK, (621, 182), 0);
        say(34, false, ACK, (182, 622), 0);
    }
    packets
}

/// A classic file of that link type.
fn pcap(link: u32, packets: &[Packet]) -> Vec<u8> {
    let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
    file.extend(link.to_le_bytes());
    for (at, bytes) in packets {
        let length = bytes.len() as u32;
        for word in [10_000 + (at / 1_000_000) as u32, (at % 1_000_000) as u32, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(bytes);
    }
    file
}

fn wrapped(packets: &[Packet], wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Packet> {
    packets.iter().map(|(at, ip)| (*at, wrap(ip))).collect()
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet of other addresses with something else in it.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0, 172, 16, 0, 1, 172, 16, 0, 2];
    p[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    p.extend_from_slice(payload);
    p
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    let [long, short] = (8 + payload.len() as u16).to_be_bytes();
    ipv4(17, &[&[0xc0, 0, high, low, long, short, 0, 0], payload].concat())
}

/// What the program says of a file, and its exit status.
fn analyzed(file: &[u8], arguments: &[&str]) -> (String, i32) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("x.pcap");
    std::fs::write(&path, file).unwrap();
    let output = espstress().arg("analyze").arg(&path).args(arguments).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

fn json(file: &[u8]) -> serde_json::Value {
    serde_json::from_str(&analyzed(file, &["--json"]).0).unwrap()
}

fn healthy(what: &str, file: &[u8]) {
    let (page, status) = analyzed(file, &[]);
    assert!(page.contains("5 connections") && page.contains("No anomaly of the device\n"), "{what}: {page}");
    assert_eq!(status, 0, "{what}: {page}");
}

/// The page says `words`, and neither that nothing was wrong nor what was.
fn inconclusive(words: &str, file: &[u8], arguments: &[&str]) {
    let (page, status) = analyzed(file, arguments);
    assert!(page.contains(words), "{words}: {page}");
    assert!(!page.contains("No anomaly of the device\n"), "{page}");
    assert_eq!(status, 4, "{page}");
    assert!(!page.contains("--watch") && !page.contains(" 1 connections"), "{page}");
}

#[test]
fn a_capture_of_nothing_that_can_be_judged_is_inconclusive_and_says_why() {
    let good = story(5, Ends::Well);
    healthy("as it is", &pcap(101, &good));
    let here = format!("There are TCP packets of {DEVICE}:80: try -t {DEVICE}.");
    inconclusive(&here, &pcap(101, &good), &["-t", "192.168.4.77"]);
    inconclusive("the file has no packets", &pcap(101, &[]), &[]);
    inconclusive("the file has no TCP packets", &pcap(1, &wrapped(&good, |ip| ethernet(0x0806, ip))), &[]);
    inconclusive("the file has no TCP packets", &pcap(101, &wrapped(&good, |ip| udp(53, ip))), &[]);
    inconclusive("an encrypted link or tunnel", &pcap(101, &wrapped(&good, |ip| ipv4(50, ip))), &[]);
    inconclusive("LINKTYPE 189", &pcap(189, &good), &[]);
}

#[test]
fn packets_that_are_known_to_be_missing_make_it_inconclusive() {
    let good = story(5, Ends::Well);
    let from = |device: bool| {
        let mut half = good.clone();
        half.retain(|(_, ip)| (ip[15] == 91) == device);
        pcap(101, &half)
    };
    inconclusive("The device's packets are missing on 5 connections", &from(false), &[]);
    inconclusive("The client's packets are missing on 5 connections", &from(true), &[]);
    let mut one_less = good.clone();
    one_less.remove(4);
    inconclusive("Packets of 1 connection are missing", &pcap(101, &one_less), &[]);
    let whole = pcap(101, &good);
    inconclusive("cut off", &whole[..whole.len() - 5], &[]);
}

#[test]
fn a_syn_without_an_answer_is_not_held_against_a_device_whose_packets_were_not_captured() {
    let mut half = story(5, Ends::Well);
    half.retain(|(_, ip)| ip[15] != 91);
    for at in [5_000, 6_000, 8_000] {
        half.push((at * MS, tcp(false, 50_000, SYN, (100, 0), 0, 0)));
    }
    half.push((20_000 * MS, tcp(false, 40_004, ACK, (182, 622), 0, 0)));
    let (page, status) = analyzed(&pcap(101, &half), &[]);
    assert_eq!(status, 4, "{page}");
    assert!(page.contains("the capture has none of the device's packets"), "{page}");
}

#[test]
fn encapsulated_packets_are_read() {
    let good = story(5, Ends::Well);
    let on = |link, wrap: &dyn Fn(&[u8]) -> Vec<u8>| pcap(link, &wrapped(&good, wrap));
    let head = |head: &'static [u8]| move |ip: &[u8]| [head, ip].concat();
    let frame = |ip: &[u8]| ethernet(0x0800, ip);
    healthy("PPPoE", &on(1, &|ip| ethernet(0x8864, &head(&[0x11, 0, 0, 1, 0, 42, 0, 0x21])(ip))));
    healthy("PPP", &on(9, &head(&[0xff, 3, 0, 0x21])));
    healthy("MPLS", &on(1, &|ip| ethernet(0x8847, &head(&[0, 1, 0, 64, 0, 1, 0x11, 64])(ip))));
    healthy("GRE", &on(101, &|ip| ipv4(47, &head(&[0, 0, 8, 0])(ip))));
    healthy("VXLAN", &on(101, &|ip| udp(4789, &[&[8, 0, 0, 0, 0, 0, 7, 0], &frame(ip)[..]].concat())));
    healthy("LLC", &on(1, &|ip| ethernet(8 + ip.len() as u16, &head(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0])(ip))));
    healthy("SLIP", &on(8, &head(&[0; 16])));
    let nflog = |ip: &[u8]| {
        let length = (4 + ip.len() as u16).to_le_bytes();
        [&[2, 0, 0, 0, length[0], length[1], 9, 0], ip].concat()
    };
    healthy("NFLOG", &on(239, &nflog));
}

#[test]
fn fragments_are_put_together_and_a_missing_one_is_told() {
    let cut = |skip: bool| {
        let mut packets = Vec::new();
        for (i, (at, mut ip)) in story(5, Ends::Well).into_iter().enumerate() {
            if ip.len() < 100 {
                packets.push((at, ip));
                continue;
            }
            // Parts are of units of eight bytes.
            let rest = ip.split_off(20 + 56);
            let place = 56 / 8;
            ip[4..6].copy_from_slice(&(i as u16 + 1).to_be_bytes());
            let mut second = ip[..20].to_vec();
            second.extend(rest);
            let length = |p: &mut Vec<u8>| {
                let n = (p.len() as u16).to_be_bytes();
                p[2..4].copy_from_slice(&n);
            };
            length(&mut ip);
            length(&mut second);
            ip[6] = 0x20;
            second[6..8].copy_from_slice(&[0, place]);
            packets.push((at, ip));
            if !skip {
                packets.push((at + 50, second));
            }
        }
        pcap(101, &packets)
    };
    healthy("fragments", &cut(false));
    inconclusive("Of 10 IP packets a fragment is missing", &cut(true), &[]);
}

#[test]
fn a_capture_in_which_everything_is_twice_is_judged_once() {
    let twice = |packets: &[Packet]| {
        let cooked = |at: u64, kind: u8, ip: &[u8]| {
            let head = [0, kind, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0];
            (at, [&head, ip].concat())
        };
        let both = packets.iter().flat_map(|(at, ip)| [cooked(*at, 0, ip), cooked(at + 40, 4, ip)]);
        pcap(113, &both.collect::<Vec<_>>())
    };
    let (page, status) = analyzed(&twice(&story(5, Ends::Well)), &[]);
    assert!(page.contains("50 packets were captured more than once; the copies were left out."), "{page}");
    assert_eq!(status, 0, "{page}");
    let report = json(&twice(&story(5, Ends::Aborted)));
    assert_eq!(report["packets_captured_again"], 30);
    let rows = report["anomalies"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["id"], &rows[0]["count"]), (&"abortive_close".into(), &5.into()));
}

#[test]
fn frames_of_a_radio_are_read_and_each_counts_once_however_often_it_was_heard() {
    let radio = |flags: u8, ip: &[u8]| {
        let radiotap = [0, 0, 9, 0, 2, 0, 0, 0, 0];
        let header = [&[0x08, flags][..], &[0; 22], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
        [&radiotap, &header[..], ip].concat()
    };
    let (up, down, retry) = (1, 2, 8);
    let heard = |packets: &[Packet]| {
        let all = packets.iter().enumerate().flat_map(|(i, (at, ip))| {
            let again = if i % 3 == 0 { vec![(at + 200, radio(up | retry, ip))] } else { Vec::new() };
            let first = vec![(*at, radio(up, ip))];
            [first, again, vec![(at + 400, radio(down, ip))]].concat()
        });
        pcap(127, &all.collect::<Vec<_>>())
    };
    let good = story(5, Ends::Well);
    healthy("heard twice and more", &heard(&good));
    assert_eq!(json(&heard(&good))["packets_captured_again"], 50 + 17);
    healthy("heard once", &pcap(127, &wrapped(&good, |ip| radio(down, ip))));
    let row = &json(&heard(&story(5, Ends::Aborted)))["anomalies"][0];
    assert_eq!((&row["id"], &row["count"]), (&"abortive_close".into(), &5.into()));
    inconclusive("an encrypted link", &pcap(127, &wrapped(&good, |ip| radio(up | 0x40, ip))), &[]);
}

#[test]
fn a_clock_that_is_set_back_is_told_and_what_comes_after_is_judged() {
    let mut packets = story(5, Ends::Well);
    let last = packets.last().unwrap().0;
    for at in [1_000, 2_000, 4_000] {
        packets.push((last + at * MS, tcp(false, 50_000, SYN, (100, 0), 0, 0)));
    }
    packets.extend(story(1, Ends::Well).into_iter().map(|(at, ip)| (last + 20_000 * MS + at, ip)));
    let unanswered = |file: &[u8]| json(file)["not_judged"][0]["id"].clone();
    assert_eq!(unanswered(&pcap(101, &packets)), "syn_unanswered");
    let mut back = packets.clone();
    back[..20].iter_mut().for_each(|(at, _)| *at += 3_600_000 * MS);
    let file = pcap(101, &back);
    assert_eq!(unanswered(&file), "syn_unanswered");
    let (page, status) = analyzed(&file, &[]);
    assert!(
        page.contains("The capture's clock was set back by 3599.") && page.contains("before packet 21"),
        "{page}"
    );
    assert_eq!(status, 1);
}

#[test]
fn connections_are_counted_for_each_row_and_named_as_one_or_many() {
    let mut packets = story(1, Ends::Well);
    let again = |i: usize, at: u64| (at * MS, packets[i].1.clone());
    let (request, response) = (again(3, 400), again(4, 401));
    packets.extend([request, response]);
    let rows = json(&pcap(101, &packets))["anomalies"].as_array().unwrap().clone();
    let retransmissions: Vec<_> = rows.iter().filter(|row| row["id"] == "retransmission").collect();
    assert_eq!(retransmissions.len(), 2, "{rows:?}");
    assert!(retransmissions.iter().all(|row| row["connections"] == 1), "{rows:?}");
    let (page, _) = analyzed(&pcap(101, &packets), &[]);
    assert!(page.contains("1 on 1 connection, ") && !page.contains("1 connections"), "{page}");
}

#[test]
fn the_packets_of_an_anomaly_are_drawn_as_text_as_a_page_and_as_a_picture() {
    let file = pcap(1, &wrapped(&story(2, Ends::Aborted), |ip| ethernet(0x0800, ip)));
    let wrong = "the device sends payload, then a RST and never a FIN";
    let (text, status) = analyzed(&file, &["-v"]);
    assert_eq!(status, 1, "{text}");
    assert_eq!(text.matches("client    ").count(), 2, "-v draws each example: {text}");
    assert!(
        text.contains("[RST, ACK] seq=121 ack=81") && text.contains("#6") && text.contains(wrong),
        "{text}"
    );
    let (page, status) = analyzed(&file, &["--html"]);
    assert_eq!(status, 1);
    assert!(page.starts_with("<!DOCTYPE html>") && !page.contains("<script"), "{page}");
    assert_eq!(page.matches("<svg ").count(), 2);
    for said in ["anomalies", "abortive_close", "2 connections", "#6<", "[RST, ACK] seq=121 ack=81"] {
        assert!(page.contains(said), "{said}");
    }
    let (picture, _) = analyzed(&file, &["--svg"]);
    assert!(picture.starts_with("<svg xmlns=") && picture.matches("<g ").count() == 2, "{picture}");
    let (refused, status) = analyzed(&file, &["--svg", "--json"]);
    assert_eq!((refused.as_str(), status), ("", 2), "one form at a time");
}

#[test]
fn a_page_of_a_healthy_capture_says_that_there_is_no_anomaly() {
    let file = pcap(1, &wrapped(&story(2, Ends::Well), |ip| ethernet(0x0800, ip)));
    let (page, status) = analyzed(&file, &["--html"]);
    assert_eq!(status, 0);
    assert!(page.contains("No anomaly of the device.") && !page.contains("<svg"), "{page}");
    let (page, status) = analyzed(&pcap(1, &[]), &["--html"]);
    assert_eq!(status, 4);
    assert!(page.contains("Nothing was judged: the file has no packets."), "{page}");
}

/// The IP packets of five good connections, for other ways to carry them.
pub(crate) fn good_packets() -> Vec<Vec<u8>> {
    story(5, Ends::Well).into_iter().map(|(_, ip)| ip).collect()
}

#[test]
fn a_page_fits_a_terminal_of_60_columns_and_a_pipe_gets_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    let file = pcap(101, &story(5, Ends::Aborted));
    std::fs::write(&path, &file).unwrap();
    let shown = path.display().to_string();
    for arguments in [format!("analyze {shown} -v"), format!("analyze {shown}")] {
        let Some(said) = crate::terminal::on_a_terminal_of(60, &arguments, &[("NO_COLOR", "1")]) else {
            return;
        };
        // The name of the file is one word.
        for line in said.lines().filter(|line| !line.contains("x.pcap")) {
            assert!(line.trim_end().chars().count() <= 60, "{line:?}\n{said}");
        }
        assert!(said.contains("abortive_close") && said.contains("client"), "{said}");
    }
    let page = analyzed(&file, &[]).0;
    assert!(page.lines().any(|line| line.chars().count() > 60), "{page}");
}
