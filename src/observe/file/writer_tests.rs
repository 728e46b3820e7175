#[path = "journal_tests.rs"]
mod journal;
#[path = "remark_tests.rs"]
mod remarks;

use std::io::{Cursor, ErrorKind};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::*;
use crate::capture::{Travel, VlanTag};
use crate::file::{End, Reader};

/// Keeps the file in memory, up to a limit as a disk has one.
#[derive(Clone)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    limit: Arc<AtomicUsize>,
}

/// Time, bytes and original length of a packet.
type Kept = (i64, Vec<u8>, u32);

impl Disk {
    fn of(limit: usize) -> Self {
        Self { bytes: Arc::default(), limit: Arc::new(AtomicUsize::new(limit)) }
    }

    fn packets(&self) -> (Vec<Kept>, End, Option<u64>) {
        let bytes = self.bytes.lock().unwrap().clone();
        let mut reader = Reader::new(Box::new(Cursor::new(bytes))).unwrap();
        let mut packets = Vec::new();
        while let Some(r) = reader.next_record() {
            packets.push((r.at_ns, r.bytes.to_vec(), r.original_len));
        }
        let dropped = reader.dropped();
        (packets, reader.into_end().unwrap(), dropped)
    }

    /// Sum of what the packets say is missing before them.
    fn gaps(&self) -> u64 {
        let bytes = self.bytes.lock().unwrap().clone();
        let mut reader = Reader::new(Box::new(Cursor::new(bytes))).unwrap();
        let mut gaps = 0;
        while let Some(r) = reader.next_record() {
            gaps += r.dropped_before;
        }
        gaps
    }

    fn contains(&self, what: impl AsRef<[u8]>) -> bool {
        let what = what.as_ref();
        self.bytes.lock().unwrap().windows(what.len()).any(|w| w == what)
    }

    /// Where `text` is in the file.
    fn place(&self, text: &str) -> usize {
        let bytes = self.bytes.lock().unwrap();
        bytes.windows(text.len()).position(|w| w == text.as_bytes()).unwrap()
    }
}

impl Store for Disk {
    fn append(&mut self, more: &[u8]) -> io::Result<()> {
        let mut bytes = self.bytes.lock().unwrap();
        let fits = more.len().min(self.limit.load(Ordering::SeqCst) - bytes.len());
        bytes.extend_from_slice(&more[..fits]);
        if fits < more.len() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.bytes.lock().unwrap().truncate(length as usize);
        Ok(())
    }
}

/// A disk that does each write only when it is told to.
struct Slow {
    disk: Disk,
    go: Receiver<()>,
}

impl Store for Slow {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // After the sender is gone it is fast.
        let _ = self.go.recv();
        self.disk.append(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.disk.cut(length)
    }
}

fn config() -> WriterConfig {
    WriterConfig { link: LINKTYPE_ETHERNET, snap_length: 160, interface: "tap0".to_owned() }
}

fn head() -> Vec<u8> {
    let mut head = Vec::new();
    block::section_header(&mut head, "test");
    block::interface(&mut head, LINKTYPE_ETHERNET, 160, "tap0");
    head
}

/// A chunk of packets with these numbers and bytes; each came at as many nanoseconds as its number.
fn chunk(numbers: Range<u64>, bytes: &[u8]) -> Chunk {
    let mut chunk = Chunk::default();
    for number in numbers {
        chunk.bytes.extend_from_slice(bytes);
        chunk.entries.push(Entry {
            number,
            at_ns: number as i64,
            original_len: bytes.len() as u32,
            length: bytes.len() as u32,
            missed: 0,
            travel: Travel::Outgoing,
        });
    }
    chunk
}

fn frame(at_ns: i64, bytes: &[u8]) -> Frame<'_> {
    Frame { at_ns, link: 1, bytes, original_len: 1000, travel: Travel::Outgoing, vlan: None }
}

#[test]
fn what_is_written_is_read_again_to_the_nanosecond() {
    let disk = Disk::of(usize::MAX);
    let mut writer = Writer::start(disk.clone(), &config()).unwrap();
    let first = 1_700_000_000_123_456_789;
    for i in 0..10_000_u64 {
        writer.packet(i + 1, &frame(first + i as i64 * 1_000_001, &i.to_be_bytes()[..(i % 9) as usize]));
    }
    let stats = CaptureStats { packets: 10_003, dropped: 3, ..CaptureStats::default() };
    let report = writer.finish(Some(stats));
    assert!(report.failure.is_none());
    assert_eq!((report.packets, report.missed), (10_000, 0));
    assert_eq!(report.bytes, disk.bytes.lock().unwrap().len() as u64);
    let (packets, end, dropped) = disk.packets();
    assert!(end.is_complete(), "{end}");
    assert_eq!(dropped, Some(3));
    assert_eq!(packets.len(), 10_000);
    for (i, packet) in (0_u64..).zip(&packets) {
        let bytes = i.to_be_bytes()[..(i % 9) as usize].to_vec();
        assert_eq!(*packet, (first + i as i64 * 1_000_001, bytes, 1000));
    }
}

#[test]
fn a_remark_made_soon_after_is_written_beside_its_packet() {
    let disk = Disk::of(usize::MAX);
    let mut writer = Writer::start(disk.clone(), &config()).unwrap();
    for i in 1..=20_u64 {
        writer.packet(i, &frame(1_000_000 * i as i64, format!("<packet {i}>").as_bytes()));
        if i == 10 {
            writer.comment(7, "late_rst (device)");
            writer.comment(7, "rst_storm (device)");
        }
    }
    let report = writer.finish(None);
    assert_eq!(report.remarks, 1);
    let place = disk.place("late_rst (device); rst_storm (device)");
    assert!(disk.place("<packet 7>") < place && place < disk.place("<packet 8>"));
    assert!(disk.packets().1.is_complete());
}

#[test]
fn a_remark_on_a_packet_that_is_written_goes_to_the_next_with_its_number() {
    let disk = Disk::of(usize::MAX);
    let mut journal = Journal::new(disk.clone(), Vec::new()).unwrap();
    // The journal's own view of the past, without the time that holding back takes.
    let (messages, received) = channel();
    let (give_back, _free) = channel();
    journal.pass(7);
    for (number, remark) in [(8, Some((3, "fin_duel (device)"))), (9, None)] {
        let mut chunk = chunk(number..number + 1, format!("<packet {number}>").as_bytes());
        chunk.remarks.extend(remark.map(|(n, text)| (n, text.to_owned())));
        messages.send(Message::Packets(chunk)).unwrap();
    }
    drop(messages);
    let report = journal.run(&received, &give_back);
    assert_eq!(report.packets, 2);
    let place = disk.place("packet 3 of the capture: fin_duel (device)");
    assert!(disk.place("<packet 8>") < place && place < disk.place("<packet 9>"));
}

#[test]
fn a_remark_on_the_last_packets_is_not_lost() {
    let disk = Disk::of(usize::MAX);
    let mut writer = Writer::start(disk.clone(), &config()).unwrap();
    writer.packet(1, &frame(1, b"x"));
    writer.comment(99, "half_closed_linger (device)");
    let _ = writer.finish(None);
    assert!(disk.contains("packet 99 of the capture: half_closed_linger (device)"));
}

#[test]
fn a_disk_that_is_too_slow_costs_packets_and_the_file_says_how_many() {
    let disk = Disk::of(usize::MAX);
    let (go, wait): (Sender<()>, _) = channel();
    go.send(()).unwrap(); // the file's head
    let mut writer = Writer::start(Slow { disk: disk.clone(), go: wait }, &config()).unwrap();
    let whole = [7; 1400];
    let mut number = 0;
    // More than all chunks hold, while the disk does not move at all.
    while writer.missed < 1000 {
        number += 1;
        writer.packet(number, &frame(number as i64, &whole));
        assert!(number < 100_000, "memory is not bounded");
    }
    drop(go);
    while writer.missed_since > 0 {
        number += 1;
        writer.packet(number, &frame(number as i64, &whole));
        std::thread::yield_now();
    }
    let report = writer.finish(None);
    assert!(report.failure.is_none() && report.missed >= 1000);
    assert_eq!(report.packets + report.missed, number);
    assert!(disk.contains("packets are missing before this one: the disk was too slow"));
    let (packets, end, dropped) = disk.packets();
    assert!(end.is_complete(), "{end}");
    assert_eq!(packets.len() as u64, report.packets);
    assert_eq!(dropped, Some(report.missed));
    assert_eq!(disk.gaps(), report.missed, "each gap is told where it is");
}

#[test]
fn a_full_disk_leaves_a_file_that_can_be_read_and_an_error_that_says_so() {
    let disk = Disk::of(1 << 20);
    let mut writer = Writer::start(disk.clone(), &config()).unwrap();
    let whole = [7; 1400];
    let mut number = 0;
    while number < 3000 {
        number += 1;
        writer.packet(number, &frame(number as i64, &whole));
    }
    let report = writer.finish(None);
    assert_eq!(report.failure.as_ref().unwrap().kind(), ErrorKind::StorageFull);
    assert_eq!(report.packets + report.missed, 3000);
    assert!(report.packets > 300, "{report:?}");
    let (packets, end, _) = disk.packets();
    assert!(end.is_complete(), "{end}");
    assert_eq!(packets.len() as u64, report.packets);
    assert!(disk.contains("the file ends before the capture did"));
}

#[test]
fn a_disk_that_comes_back_takes_the_packets_that_come_then_and_the_file_says_what_is_missing() {
    let disk = Disk::of(1 << 20);
    let mut journal = Journal::new(disk.clone(), head()).unwrap();
    let (give_back, free) = channel();
    for n in 0..4 {
        if n == 3 {
            disk.limit.store(usize::MAX, Ordering::SeqCst);
        }
        journal.write(chunk(1 + 300 * n..301 + 300 * n, &[7; 1400]), &give_back);
        free.recv().unwrap();
    }
    let report = journal.close(None);
    assert_eq!((report.packets, report.missed), (900, 300));
    assert_eq!(report.failure.unwrap().kind(), ErrorKind::StorageFull);
    let (packets, end, _) = disk.packets();
    assert!(end.is_complete(), "{end}");
    assert_eq!((packets.len(), packets.last().unwrap().0), (900, 1200));
    assert_eq!(disk.gaps(), 300, "the gap is told where it is");
    assert!(disk.contains("300 packets are missing before this one"));
    assert!(!disk.contains("the file ends before the capture did"));
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_with_its_name() {
    let error = Writer::create(Path::new("/nonexistent/capture.pcapng"), &config()).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/capture.pcapng"), "{error}");
}

#[test]
fn a_tag_that_the_kernel_took_out_is_put_back() {
    let disk = Disk::of(usize::MAX);
    let mut writer = Writer::start(disk.clone(), &config()).unwrap();
    let mut tagged = frame(1, b"ddddddssssss\x08\x00rest");
    tagged.vlan = Some(VlanTag { protocol: 0x8100, control: 0x2005 });
    writer.packet(1, &tagged);
    let _ = writer.finish(None);
    assert_eq!(disk.packets().0, [(1, b"ddddddssssss\x81\x00\x20\x05\x08\x00rest".to_vec(), 1004)]);
}

#[test]
fn a_tag_is_put_back_only_where_an_ethernet_header_has_a_place_for_it() {
    let kept = |link: u16, bytes: &[u8]| {
        let disk = Disk::of(usize::MAX);
        let mut writer = Writer::start(disk.clone(), &WriterConfig { link, ..config() }).unwrap();
        let vlan = Some(VlanTag { protocol: 0x8100, control: 0x2005 });
        writer.packet(1, &Frame { vlan, ..frame(1, bytes) });
        let _ = writer.finish(None);
        disk.packets().0
    };
    assert_eq!(kept(101, b"an IP packet of its own"), [(1, b"an IP packet of its own".to_vec(), 1000)]);
    assert_eq!(kept(LINKTYPE_ETHERNET, b"ddddddsssss"), [(1, b"ddddddsssss".to_vec(), 1000)]);
}

#[test]
fn what_has_waited_for_a_quarter_of_a_second_is_handed_over_and_no_sooner() {
    let mut writer = Writer::start(Disk::of(usize::MAX), &config()).unwrap();
    writer.batch_done();
    writer.packet(1, &frame(1, b"x"));
    writer.chunk_since = Instant::now() + CHUNK_AGE;
    writer.batch_done();
    assert!(writer.chunk.is_some());
    writer.chunk_since = Instant::now().checked_sub(CHUNK_AGE).unwrap();
    writer.batch_done();
    assert!(writer.chunk.is_none());
    assert_eq!(writer.finish(None).packets, 1);
}

/// A disk on which nothing can be written, not even an error.
struct Broken(Disk);

impl Store for Broken {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(self.0.bytes.lock().unwrap().is_empty(), "only the file's head is taken");
        self.0.append(bytes)
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_thread_that_ends_before_the_capture_does_is_a_failure() {
    let mut writer = Writer::start(Broken(Disk::of(usize::MAX)), &config()).unwrap();
    writer.packet(1, &frame(1, b"x"));
    let report = writer.finish(None);
    assert!(report.failure.unwrap().to_string().contains("ended by itself"));
    assert_eq!(report.packets, 0);
}

#[test]
fn a_run_learns_of_the_loss_of_its_packet_file_before_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.pcapng");
    let writer = Writer::create(&path, &config()).unwrap();
    assert_eq!(writer.lost(), None);
    std::fs::remove_file(&path).unwrap();
    // Until the thread has looked.
    writer.lost.wait();
    assert_eq!(writer.lost(), Some(Lost::Removed));
}

#[test]
fn a_packet_file_that_somebody_removes_or_truncates_is_lost() {
    for (what, expected) in [("rm", Lost::Removed), ("truncate", Lost::Truncated)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.pcapng");
        let mut writer = Writer::create(&path, &config()).unwrap();
        match what {
            "rm" => std::fs::remove_file(&path).unwrap(),
            _ => File::options().write(true).open(&path).unwrap().set_len(0).unwrap(),
        }
        // What comes after does not hide it.
        (1..=100).for_each(|n| writer.packet(n, &frame(n as i64, b"packet")));
        let report = writer.finish(None);
        assert_eq!(report.lost, Some(expected));
    }
}
