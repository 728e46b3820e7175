//! What is written beside the packets.

use super::*;
use espstress_event::{AnomalyId, Direction, PacketNote, Shown};

#[path = "../../diagnose/lone.rs"]
mod lone;
use lone::lone;

/// A RST too late that these packets show, seen at 7 ns.
fn late_rst(packets: &[u64]) -> Occurrence {
    let direction = Direction::FromDevice;
    let note = |number: &u64| PacketNote { at_ns: 7, number: *number, direction, summary: String::new() };
    Occurrence {
        packets: packets.iter().map(note).collect(),
        ..lone(AnomalyId::LateRst, Shown::Unprompted, 7)
    }
}

/// The file of ten packets of which the sixth, of 7 ns, was just looked at when this was seen.
fn commented(packets: &[u64], class: AnomalyClass, seen_at: i64) -> Disk {
    let disk = Disk::of(usize::MAX);
    let mut writer = Writer::start(disk.clone(), &config()).unwrap();
    for number in 1..=10 {
        writer.packet(number, &frame(1, format!("<packet {number}>").as_bytes()));
    }
    writer.evidence(6, seen_at, &late_rst(packets), class);
    let _ = writer.finish(None);
    disk
}

/// Whether `text` is what is said beside that packet.
fn is_beside(disk: &Disk, packet: u64, text: &str) -> bool {
    let [before, after] = [packet, packet + 1].map(|n| disk.place(&format!("<packet {n}>")));
    disk.contains(text) && (before..after).contains(&disk.place(text))
}

#[test]
fn an_anomaly_stands_beside_each_packet_that_shows_it_with_whose_doing_it_is() {
    let one = commented(&[4], AnomalyClass::Device, 7);
    assert!(is_beside(&one, 4, "late_rst (device)") && !one.contains("packet 1 of"));
    let three = commented(&[2, 4, 9], AnomalyClass::Path, 7);
    for (packet, nth) in [(2, 1), (4, 2), (9, 3)] {
        assert!(is_beside(&three, packet, &format!("late_rst (path), packet {nth} of 3")), "{packet}");
    }
}

#[test]
fn an_anomaly_that_names_no_packet_stands_beside_the_one_that_showed_it_or_nowhere() {
    assert!(is_beside(&commented(&[], AnomalyClass::Provoked, 7), 6, "late_rst (provoked)"));
    let of_a_deadline = commented(&[], AnomalyClass::Provoked, 8);
    assert!(!of_a_deadline.contains("late_rst"), "a packet that came later shows nothing of it");
}

#[test]
fn remarks_for_which_there_is_no_room_are_counted() {
    let mut writer = Writer::start(Disk::of(usize::MAX), &config()).unwrap();
    for _ in 0..CHUNK_REMARKS + 3 {
        writer.comment(1, "late_rst (device)");
    }
    assert_eq!(writer.finish(None).remarks_lost, 3);
}

#[test]
fn remarks_that_wait_for_their_packet_and_late_ones_have_one_room_between_them() {
    let mut journal = Journal::new(Disk::of(usize::MAX), Vec::new()).unwrap();
    let (messages, received) = channel();
    let (give_back, _free) = channel();
    journal.pass(10);
    let mut waiting = Chunk::default();
    for n in 0..2_048 {
        waiting.remarks.push((1, "late".to_owned()));
        waiting.remarks.push((100 + n, "early".to_owned()));
    }
    waiting.remarks.extend([(1, "beyond".to_owned()), (9_999, "beyond".to_owned())]);
    messages.send(Message::Packets(waiting)).unwrap();
    drop(messages);
    assert_eq!(journal.run(&received, &give_back).remarks_lost, 2);
}

#[test]
fn a_remark_says_of_missing_packets_only_where_some_are_missing() {
    let disk = Disk::of(usize::MAX);
    let mut journal = Journal::new(disk.clone(), head()).unwrap();
    let (give_back, _free) = channel();
    let full = disk.bytes.lock().unwrap().len();
    disk.limit.store(full, Ordering::SeqCst);
    journal.write(chunk(1..4, b"refused"), &give_back);
    disk.limit.store(usize::MAX, Ordering::SeqCst);
    journal.write(chunk(4..5, b"<packet 4>"), &give_back);
    let (messages, received) = channel();
    let mut last = chunk(5..6, b"<packet 5>");
    last.remarks.push((5, "late_rst (device)".to_owned()));
    messages.send(Message::Packets(last)).unwrap();
    drop(messages);
    let report = journal.run(&received, &give_back);
    assert_eq!((report.packets, report.missed, report.remarks), (2, 3, 2));
    assert!(disk.place("3 packets are missing before this one") > disk.place("<packet 4>"));
    assert!(disk.place("late_rst (device)") > disk.place("<packet 5>"));
    assert!(!disk.contains("0 packets are missing"));
}
