use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

type Packets = Vec<(i64, u16, Vec<u8>, u32)>;

fn read(bytes: &[u8]) -> (Packets, End) {
    let mut reader = Reader::new(Box::new(Cursor::new(bytes.to_vec()))).unwrap();
    let mut packets = Vec::new();
    while let Some(r) = reader.next_record() {
        assert_eq!(r.number, packets.len() as u64 + 1);
        packets.push((r.at_ns, r.link, r.bytes.to_vec(), r.original_len));
    }
    assert!(reader.next_record().is_none());
    (packets, reader.into_end().unwrap())
}

/// Writes integers in one byte order.
#[derive(Clone, Copy)]
struct Bytes(Order2);

#[derive(Clone, Copy, PartialEq, Debug)]
enum Order2 {
    Little,
    Big,
}

impl Bytes {
    fn w(self, n: u32) -> [u8; 4] {
        if self.0 == Order2::Little { n.to_le_bytes() } else { n.to_be_bytes() }
    }
    fn h(self, n: u16) -> [u8; 2] {
        if self.0 == Order2::Little { n.to_le_bytes() } else { n.to_be_bytes() }
    }
    fn pcap(self, magic: u32, link: u32, records: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
        let mut f = self.w(magic).to_vec();
        f.extend(self.h(2));
        f.extend(self.h(4));
        for n in [0, 0, 65535, link] {
            f.extend(self.w(n));
        }
        for (seconds, fraction, bytes, original) in records {
            for n in [*seconds, *fraction, bytes.len() as u32, *original] {
                f.extend(self.w(n));
            }
            if magic == 0xa1b2_cd34 {
                f.extend([0; 8]);
            }
            f.extend(*bytes);
        }
        f
    }
    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = self.w(padded as u32 + 12);
        let mut b = self.w(kind).to_vec();
        b.extend(length);
        b.extend(body);
        b.resize(8 + padded, 0);
        b.extend(length);
        b
    }
    fn section(self) -> Vec<u8> {
        let mut body = self.w(0x1a2b_3c4d).to_vec();
        body.extend(self.h(1));
        body.extend(self.h(0));
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }
    fn interface(self, link: u16, snap: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = self.h(link).to_vec();
        body.extend(self.h(0));
        body.extend(self.w(snap));
        for (code, value) in options {
            body.extend(self.h(*code));
            body.extend(self.h(value.len() as u16));
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        self.block(1, &body)
    }
    fn enhanced(self, interface: u32, at: u64, bytes: &[u8], original: u32) -> Vec<u8> {
        let mut body = Vec::new();
        for n in [interface, (at >> 32) as u32, at as u32, bytes.len() as u32, original] {
            body.extend(self.w(n));
        }
        body.extend(bytes);
        self.block(6, &body)
    }
}

const BOTH: [Bytes; 2] = [Bytes(Order2::Little), Bytes(Order2::Big)];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// A pcapng file in which every kind of block occurs.
fn rich() -> Vec<u8> {
    let mut file = Vec::new();
    for b in BOTH {
        file.extend(b.section());
        file.extend(b.interface(1, 0, &[(2, b"eth0"), (9, &[9])]));
        file.extend(b.interface(101, 2, &[]));
        file.extend(b.enhanced(0, 1_700_000_000_123_456_789, b"first", 60));
        file.extend(b.block(4, b"name resolution, not read"));
        file.extend(b.enhanced(1, 1_700_000_000_000_001, b"second", 6));
    }
    file
}

#[test]
fn classic_files_of_both_byte_orders_and_every_resolution_are_read() {
    for b in BOTH {
        for (magic, ns) in [(0xa1b2_c3d4, 7000), (0xa1b2_3c4d, 7), (0xa1b2_cd34, 7000)] {
            let file = b.pcap(magic, 101, &[(1_700_000_000, 7, b"abc", 60), (u32::MAX, 0, b"", 0)]);
            let (packets, end) = read(&file);
            assert!(end.is_complete(), "{end}");
            assert_eq!(packets[0], (1_700_000_000_000_000_000 + ns, 101, b"abc".to_vec(), 60));
            assert_eq!(packets[1], (4_294_967_295_000_000_000, 101, Vec::new(), 0));
            assert_eq!(packets.len(), 2);
        }
    }
}

#[test]
fn pcapng_sections_of_both_byte_orders_follow_each_other_with_interfaces_of_their_own() {
    let (packets, end) = read(&rich());
    assert!(end.is_complete(), "{end}");
    assert_eq!(packets.len(), 4);
    for pair in packets.chunks(2) {
        assert_eq!(pair[0], (1_700_000_000_123_456_789, 1, b"first".to_vec(), 60));
        assert_eq!(pair[1], (1_700_000_000_000_001_000, 101, b"second".to_vec(), 6));
    }
}

#[test]
fn time_units_and_offsets_of_an_interface_are_obeyed() {
    for b in BOTH {
        let mut file = b.section();
        let second = 5_u64;
        let hundred = if b.0 == Order2::Little { 100_i64.to_le_bytes() } else { 100_i64.to_be_bytes() };
        let cases: [(&[u8], u64); 6] = [
            (&[0], 1),
            (&[3], 1000),
            (&[6], 1_000_000),
            (&[12], 1_000_000_000_000),
            (&[0x80], 1),
            (&[0x8a], 1024),
        ];
        for (i, (resolution, units)) in cases.iter().enumerate() {
            file.extend(b.interface(1, 0, &[(9, resolution), (14, &hundred)]));
            file.extend(b.enhanced(i as u32, second * units, b"x", 1));
        }
        let (packets, end) = read(&file);
        assert!(end.is_complete(), "{end}");
        for (case, packet) in cases.iter().zip(&packets) {
            assert_eq!(packet.0, 105_000_000_000, "{case:?}");
        }
        assert_eq!(packets.len(), cases.len());
    }
}

#[test]
fn simple_and_obsolete_packet_blocks_are_read() {
    for b in BOTH {
        let mut file = b.section();
        file.extend(b.interface(1, 4, &[]));
        let mut simple = b.w(9).to_vec();
        simple.extend(b"abcd");
        file.extend(b.block(3, &simple));
        let mut old = b.h(0).to_vec();
        old.extend(b.h(3));
        for n in [0, 5_000_000, 3, 70] {
            old.extend(b.w(n));
        }
        old.extend(b"xyz");
        file.extend(b.block(2, &old));
        let (packets, end) = read(&file);
        assert!(end.is_complete(), "{end}");
        assert_eq!(packets[0], (0, 1, b"abcd".to_vec(), 9));
        assert_eq!(packets[1], (5_000_000_000, 1, b"xyz".to_vec(), 70));
    }
}

#[test]
fn without_a_snap_length_a_simple_block_holds_the_whole_packet_and_no_padding() {
    let b = BOTH[0];
    let file = |simple: &[u8]| {
        let block = b.block(3, &[&b.w(simple.len() as u32), simple].concat());
        [b.section(), b.interface(1, 0, &[]), block].concat()
    };
    for bytes in [b"abcd".as_slice(), b"abcde", b"abcdefg"] {
        assert_eq!(read(&file(bytes)).0, [(0, 1, bytes.to_vec(), bytes.len() as u32)]);
    }
    let mut longer = b.w(90).to_vec();
    longer.extend(b"abcdefgh");
    let cut = [b.section(), b.interface(1, 0, &[]), b.block(3, &longer)].concat();
    assert_eq!(read(&cut).0, [(0, 1, b"abcdefgh".to_vec(), 90)], "no longer than its block");
}

#[test]
fn an_obsolete_block_says_how_many_were_dropped_before_it_or_that_it_does_not_know() {
    let b = BOTH[1];
    let old = |drops: u16| {
        let words = [0, 1, 2, 2].map(|n| b.w(n)).concat();
        b.block(2, &[&b.h(0)[..], &b.h(drops), &words, b"xy"].concat())
    };
    let file = [b.section(), b.interface(1, 0, &[]), old(3), old(u16::MAX)].concat();
    let mut reader = Reader::new(Box::new(Cursor::new(file))).unwrap();
    let mut before = || reader.next_record().unwrap().dropped_before;
    assert_eq!((before(), before()), (3, 0));
}

#[test]
fn a_packet_that_is_longer_than_its_block_is_damage() {
    let b = BOTH[0];
    let of = |bytes: u8| {
        let mut block = b.enhanced(0, 1, b"abcd", 4);
        block[20] = bytes;
        read(&[b.section(), b.interface(1, 0, &[]), block].concat())
    };
    assert_eq!(of(4).0.len(), 1);
    for too_long in 5..=12 {
        assert!(matches!(of(too_long).1, End::Damaged { what: Damage::BlockContent, .. }), "{too_long}");
    }
}

#[test]
fn the_drops_that_a_file_admits_are_added_up_over_its_sections() {
    let mut file = Vec::new();
    for b in BOTH {
        file.extend(b.section());
        file.extend(b.interface(1, 0, &[]));
        for total in [2_u64, 5] {
            let mut body = [b.w(0), b.w(0), b.w(0)].concat();
            body.extend(b.h(5));
            body.extend(b.h(8));
            body.extend(if b.0 == Order2::Little { total.to_le_bytes() } else { total.to_be_bytes() });
            file.extend(b.block(5, &body));
        }
    }
    let mut reader = Reader::new(Box::new(Cursor::new(file))).unwrap();
    assert!(reader.next_record().is_none());
    assert_eq!(reader.dropped(), Some(10));
}

#[test]
fn a_packed_file_is_read_like_the_file_itself() {
    let plain = BOTH[0].pcap(0xa1b2_c3d4, 1, &[(1, 2, b"abc", 60)]);
    for file in [plain, rich()] {
        assert_eq!(read(&gzip(&file)).0, read(&file).0);
        // Members one after the other are one stream (RFC 1952, 2.2).
        let (first, second) = file.split_at(30);
        assert_eq!(read(&[gzip(first), gzip(second)].concat()).0, read(&file).0);
    }
}

#[test]
fn a_cut_file_gives_the_whole_packets_before_the_cut_and_says_where_it_is() {
    let whole = BOTH[0].pcap(0xa1b2_c3d4, 1, &[(1, 2, b"abcd", 60), (1, 3, b"efgh", 60)]);
    for cut in 24..whole.len() {
        let (packets, end) = read(&whole[..cut]);
        let before = (cut - 24) / 20;
        assert_eq!(packets.len(), before, "cut at {cut}");
        match end {
            End::Complete => assert_eq!((cut - 24) % 20, 0),
            End::Truncated { at_byte, missing } => {
                let there = (cut - 24) % 20;
                // As long as its header is cut as well, nobody knows how long it is.
                let whole = if there < 16 { 16 } else { 20 };
                assert_eq!((at_byte, missing), (24 + 20 * before as u64, whole - there as u64));
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_cut_block_says_how_many_of_its_bytes_are_missing() {
    let before = [BOTH[0].section(), BOTH[0].interface(1, 0, &[])].concat();
    let whole = [before.clone(), BOTH[0].enhanced(0, 1, b"abcd", 4)].concat();
    for cut in before.len() + 1..whole.len() {
        let there = cut - before.len();
        let known = if there < 12 { 12 } else { whole.len() - before.len() };
        let End::Truncated { at_byte, missing } = read(&whole[..cut]).1 else { panic!("cut at {cut}") };
        assert_eq!((at_byte, missing), (before.len() as u64, (known - there) as u64), "cut at {cut}");
    }
}

#[test]
fn a_cut_packed_file_is_truncated_wherever_it_is_cut() {
    let mut noise = 1_u32;
    let records: Vec<Vec<u8>> = (0..50)
        .map(|_| {
            (0..64)
                .map(|_| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (noise >> 24) as u8
                })
                .collect()
        })
        .collect();
    let records: Vec<_> = records.iter().map(|r| (1, 1, r.as_slice(), 64)).collect();
    let packed = gzip(&BOTH[0].pcap(0xa1b2_c3d4, 1, &records));
    let mut most = 0;
    for cut in (10..packed.len() - 1).step_by(7) {
        if let Err(error) = Reader::new(Box::new(Cursor::new(packed[..cut].to_vec()))) {
            assert!(cut < 400, "cut at {cut}: {error}");
            continue;
        }
        let (packets, end) = read(&packed[..cut]);
        assert!(matches!(end, End::Truncated { .. }), "cut at {cut}: {end}");
        most = most.max(packets.len());
    }
    assert!(most > 40, "{most}");
}

#[test]
fn a_damaged_record_ends_the_file_where_it_begins() {
    let mut file = BOTH[0].pcap(0xa1b2_c3d4, 1, &[(1, 2, b"abcd", 60), (1, 3, b"efgh", 60)]);
    file[24 + 20 + 8..][..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let (packets, end) = read(&file);
    assert_eq!(packets.len(), 1);
    assert!(
        matches!(end, End::Damaged { at_byte: 44, what: Damage::RecordTooLong { bytes: u32::MAX } }),
        "{end}"
    );
}

#[test]
fn damaged_blocks_are_told_apart() {
    let b = BOTH[0];
    let good = [b.section(), b.interface(1, 0, &[]), b.enhanced(0, 1, b"abcd", 4)].concat();
    let mut trailer = b.enhanced(0, 1, b"abcd", 4);
    *trailer.last_mut().unwrap() ^= 1;
    let mut content = b.enhanced(0, 1, b"abcd", 4);
    content[20] = 200;
    let mut length = b.enhanced(0, 1, b"abcd", 4);
    length[4] = 7;
    let with_length = |length: u32| [b.w(4), b.w(length), [0; 4], b.w(length)].concat();
    let mut order = b.section();
    order[8] ^= 1;
    for (bad, expected) in [
        (trailer, Damage::BlockTrailer),
        (content, Damage::BlockContent),
        (length, Damage::BlockLength { bytes: 7 }),
        (order, Damage::ByteOrder),
        (b.enhanced(1, 1, b"abcd", 4), Damage::UnknownInterface),
        (with_length(8), Damage::BlockLength { bytes: 8 }),
        (with_length(MAX_RECORD + 4), Damage::RecordTooLong { bytes: MAX_RECORD + 4 }),
    ] {
        let (packets, end) = read(&[good.clone(), bad].concat());
        assert_eq!(packets.len(), 1);
        let End::Damaged { at_byte, what } = end else { panic!("{end}") };
        assert_eq!((at_byte, what), (good.len() as u64, expected));
    }
}

#[test]
fn what_is_no_capture_is_refused_with_its_first_bytes() {
    let open = |bytes: &'static [u8]| Reader::new(Box::new(bytes));
    assert!(matches!(open(b""), Err(OpenError::Empty)));
    let message = open(b"GET / HTTP/1.1\r\n\r\n").unwrap_err().to_string();
    assert!(message.contains("47 45 54 20"), "{message}");
    assert!(matches!(open(&[0xd4, 0xc3]), Err(OpenError::NotACapture { .. })));
}

#[test]
fn a_capture_that_is_cut_within_its_header_is_told_from_what_is_no_capture() {
    let cut = BOTH[1].pcap(0xa1b2_c3d4, 1, &[])[..23].to_vec();
    assert!(matches!(Reader::new(Box::new(Cursor::new(cut))), Err(OpenError::CutInHeader { bytes: 23 })));
}

#[test]
fn a_packed_file_that_cannot_be_unpacked_is_damaged_and_not_cut() {
    let packed = gzip(&BOTH[0].pcap(0xa1b2_c3d4, 1, &[(1, 2, &[7; 3000], 3000)]));
    let sum = packed.len() - 8;
    let mut wrong = packed;
    wrong[sum] ^= 1;
    let (packets, end) = read(&wrong);
    assert_eq!(packets.len(), 1, "its packet comes before the sum that is wrong");
    assert!(matches!(end, End::Damaged { what: Damage::Compression, .. }), "{end}");
}

#[test]
fn every_end_but_a_whole_file_s_is_incomplete_and_says_where_and_why() {
    let said = |end: End| (end.is_complete(), end.to_string());
    assert_eq!(said(End::Complete), (true, "complete".to_owned()));
    let cut = |missing| said(End::Truncated { at_byte: 44, missing });
    assert_eq!(cut(0), (false, "cut off in the packet at byte 44".to_owned()));
    assert_eq!(cut(3), (false, "cut off in the packet at byte 44, 3 bytes short".to_owned()));
    let (complete, damage) = said(End::Damaged { at_byte: 44, what: Damage::BlockTrailer });
    assert!(!complete && damage.contains("byte 44") && damage.contains("two lengths differ"), "{damage}");
    let (complete, unread) = said(End::Unreadable { at_byte: 44, error: io::Error::other("no such disk") });
    assert!(!complete && unread.contains("byte 44") && unread.contains("no such disk"), "{unread}");
}

#[test]
fn a_file_is_opened_by_its_name_and_its_packets_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("two.pcap");
    std::fs::write(&path, BOTH[0].pcap(0xa1b2_c3d4, 1, &[(1, 2, b"abcd", 4), (1, 3, b"efgh", 4)])).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    for read in 0..2 {
        assert_eq!(reader.packets(), read);
        assert!(reader.next_record().is_some());
    }
    assert_eq!(reader.packets(), 2);
}

#[test]
fn a_length_that_lies_makes_no_memory_of_its_length() {
    let mut file = BOTH[0].pcap(0xa1b2_c3d4, 1, &[(1, 2, b"abcd", 60)]);
    file[24 + 8..][..4].copy_from_slice(&MAX_RECORD.to_le_bytes());
    let mut reader = Reader::new(Box::new(Cursor::new(file))).unwrap();
    assert!(reader.next_record().is_none());
    assert!(matches!(reader.end(), Some(End::Truncated { at_byte: 24, .. })));
    assert!(reader.source.capacity() <= 2 << 20, "{}", reader.source.capacity());
}

/// Gives a stream in pieces of one byte, as a pipe may.
struct Dripping(Cursor<Vec<u8>>);

impl Read for Dripping {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = buffer.len().min(1);
        self.0.read(&mut buffer[..n])
    }
}

#[test]
fn a_stream_that_comes_byte_by_byte_is_read_like_a_file() {
    let mut reader = Reader::new(Box::new(Dripping(Cursor::new(rich())))).unwrap();
    let mut lengths = Vec::new();
    while let Some(record) = reader.next_record() {
        lengths.push(record.bytes.len());
    }
    assert_eq!(lengths, [5, 6, 5, 6]);
    assert!(reader.end().unwrap().is_complete());
}

/// Gives a stream, but says first, and after each piece, that a signal came.
struct Signalled(Dripping, bool);

impl Read for Signalled {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 { Err(io::ErrorKind::Interrupted.into()) } else { self.0.read(buffer) }
    }
}

#[test]
fn a_signal_ends_no_file() {
    let stream = Signalled(Dripping(Cursor::new(rich())), false);
    let mut reader = Reader::new(Box::new(stream)).unwrap();
    while reader.next_record().is_some() {}
    assert_eq!((reader.packets(), reader.end().unwrap().is_complete()), (4, true));
}

#[test]
fn a_block_with_nothing_in_it_is_passed_over() {
    let b = BOTH[0];
    let file = [b.section(), b.interface(1, 0, &[]), b.block(4, b""), b.enhanced(0, 1, b"abcd", 4)].concat();
    let (packets, end) = read(&file);
    assert_eq!((packets.len(), end.is_complete()), (1, true));
}

proptest! {
    #[test]
    fn any_bytes_come_to_an_end(
        head in 0_usize..9,
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
    ) {
        let head = match head {
            0 => Vec::new(),
            1 => BOTH[0].pcap(0xa1b2_c3d4, 1, &[]),
            2 => BOTH[1].pcap(0xa1b2_3c4d, 1, &[]),
            3 => BOTH[0].section(),
            4 => [BOTH[1].section(), BOTH[1].interface(1, 0, &[(9, &[255])])].concat(),
            5 => vec![0x1f, 0x8b],
            6 => gzip(&rich())[..40].to_vec(),
            _ => rich(),
        };
        let file = [head, bytes].concat();
        if let Ok(mut reader) = Reader::new(Box::new(Cursor::new(file))) {
            let mut sum = 0;
            while let Some(record) = reader.next_record() {
                sum += record.bytes.len();
            }
            prop_assert!(reader.end().is_some());
            prop_assert!(sum < 1 << 30);
            prop_assert!(reader.source.capacity() <= 2 * MAX_RECORD as usize);
        }
    }

    #[test]
    fn any_change_to_a_good_file_comes_to_an_end_after_what_was_before_it(
        at in 0_usize..500, value in any::<u8>(), cut in 0_usize..500,
    ) {
        let mut file = rich();
        let at = at % file.len();
        file[at] = value;
        file.truncate(file.len().saturating_sub(cut));
        if let Ok(mut reader) = Reader::new(Box::new(Cursor::new(file))) {
            let mut seen = 0;
            while reader.next_record().is_some() {
                seen += 1;
            }
            prop_assert!(reader.end().is_some());
            prop_assert!(seen <= 4);
        }
    }
}
