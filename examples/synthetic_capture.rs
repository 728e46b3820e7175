//! Makes a large capture file of known content, and measures how fast it is read.
//!
//! ```text
//! cargo run --release --example synthetic_capture -- make FILE PACKETS   # pcap, headers only, microseconds
//! cargo run --release --example synthetic_capture -- read FILE           # parse only: packets a second
//! ```
//!
//! The file holds short HTTP connections to one device, in the mix that a storm against a middling device
//! shows: of every 40 connections one is refused, one reset after the answer, one loses a segment that is
//! sent again after duplicate ACKs, one meets a closed window, and one repeats its FIN.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use espstress_observe::file::Reader;

const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);
const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 91);
const SYN: u8 = 2;
const FIN: u8 = 1;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["make", file, packets] => match packets.parse() {
            Ok(packets) => make(Path::new(file), packets),
            Err(e) => Err(io::Error::other(e)),
        },
        ["read", file] => read(Path::new(file)),
        _ => Err(io::Error::other("usage: synthetic_capture make FILE PACKETS | read FILE")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> io::Result<()> {
    let start = Instant::now();
    let mut reader = Reader::open(path).map_err(io::Error::other)?;
    let mut bytes = 0;
    while let Some(record) = reader.next_record() {
        bytes += u64::from(record.original_len);
    }
    let seconds = start.elapsed().as_secs_f64();
    let packets = reader.packets();
    let end = reader.into_end().map_or_else(String::new, |e| e.to_string());
    println!(
        "{packets} packets, {bytes} bytes on the wire, {seconds:.3} s, {:.1} million packets/s, file {end}",
        packets as f64 / seconds / 1e6
    );
    Ok(())
}

fn make(path: &Path, packets: u64) -> io::Result<()> {
    let mut out = Capture {
        out: BufWriter::with_capacity(1 << 20, File::create(path)?),
        left: packets,
        at_us: 0,
        window: 5760,
    };
    out.out.write_all(&0xa1b2_c3d4_u32.to_le_bytes())?;
    out.out.write_all(&[2, 0, 4, 0])?;
    for word in [0, 0, 262_144, 1_u32] {
        out.out.write_all(&word.to_le_bytes())?;
    }
    let mut number = 0_u32;
    while out.left > 0 {
        connection(&mut out, number)?;
        number += 1;
    }
    out.out.flush()
}

/// One connection's two ends.
struct Ends {
    port: u16,
    host_seq: u32,
    device_seq: u32,
}

fn connection(out: &mut Capture, number: u32) -> io::Result<()> {
    let mut ends = Ends {
        port: 20_000 + (number % 40_000) as u16,
        host_seq: number.wrapping_mul(2_654_435_761),
        device_seq: number.wrapping_mul(40_503).wrapping_add(77),
    };
    let kind = number % 40;
    out.host(&mut ends, SYN, 0)?;
    if kind == 7 {
        return out.device(&mut ends, RST | ACK, 0);
    }
    out.device(&mut ends, SYN | ACK, 0)?;
    out.host(&mut ends, ACK, 0)?;
    out.host(&mut ends, PSH | ACK, 80)?;
    match kind {
        11 => {
            // The answer and a reset instead of a FIN.
            out.device(&mut ends, PSH | ACK, 120)?;
            return out.device(&mut ends, RST | ACK, 0);
        }
        17 => {
            // The first of five segments is lost and comes last.
            let lost = ends.device_seq;
            ends.device_seq = ends.device_seq.wrapping_add(1440);
            let acknowledged = lost;
            for _ in 0..4 {
                out.device(&mut ends, ACK, 1440)?;
                let ahead = std::mem::replace(&mut ends.device_seq, acknowledged);
                out.host(&mut ends, ACK, 0)?;
                ends.device_seq = ahead;
            }
            out.at_us += 200_000;
            let ahead = std::mem::replace(&mut ends.device_seq, lost);
            out.device(&mut ends, ACK, 1440)?;
            ends.device_seq = ahead;
        }
        23 => {
            out.window = 0;
            out.device(&mut ends, ACK, 0)?;
            out.window = 5760;
            out.at_us += 1_500_000;
            out.device(&mut ends, ACK, 0)?;
            out.device(&mut ends, PSH | ACK, 120)?;
        }
        _ => out.device(&mut ends, PSH | ACK, 120)?,
    }
    out.host(&mut ends, ACK, 0)?;
    out.host(&mut ends, FIN | ACK, 0)?;
    out.device(&mut ends, FIN | ACK, 0)?;
    if kind == 31 {
        out.at_us += 1_500_000;
        ends.device_seq = ends.device_seq.wrapping_sub(1);
        out.device(&mut ends, FIN | ACK, 0)?;
    }
    out.host(&mut ends, ACK, 0)
}

/// The file, and the clock of what happens in it.
struct Capture {
    out: BufWriter<File>,
    left: u64,
    at_us: u64,
    /// What the device advertises.
    window: u16,
}

impl Capture {
    fn host(&mut self, ends: &mut Ends, flags: u8, payload: u32) -> io::Result<()> {
        let acknowledged = if flags & ACK == 0 { 0 } else { ends.device_seq };
        let segment = Segment { flags, seq: ends.host_seq, acknowledged, payload, window: 64_240 };
        ends.host_seq = ends.host_seq.wrapping_add(segment.length());
        self.packet((HOST, ends.port), (DEVICE, 80), &segment)
    }

    fn device(&mut self, ends: &mut Ends, flags: u8, payload: u32) -> io::Result<()> {
        let window = self.window;
        let segment = Segment { flags, seq: ends.device_seq, acknowledged: ends.host_seq, payload, window };
        ends.device_seq = ends.device_seq.wrapping_add(segment.length());
        self.packet((DEVICE, 80), (HOST, ends.port), &segment)
    }

    /// Ethernet, IPv4 and TCP headers; the payload itself is left out, as a capture of headers does.
    fn packet(&mut self, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), segment: &Segment) -> io::Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        self.at_us += 20;
        let at = 1_700_000_000_000_000 + self.at_us;
        let mut p = [0_u8; 16 + 54];
        let words = [(at / 1_000_000) as u32, (at % 1_000_000) as u32, 54, 54 + segment.payload];
        for (place, word) in p.chunks_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let frame = &mut p[16..];
        frame[0..12].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        frame[12] = 8;
        let ip = &mut frame[14..];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&(40 + segment.payload as u16).to_be_bytes());
        ip[8] = 64;
        ip[9] = 6;
        ip[12..16].copy_from_slice(&from.0.octets());
        ip[16..20].copy_from_slice(&to.0.octets());
        let tcp = &mut ip[20..];
        tcp[0..2].copy_from_slice(&from.1.to_be_bytes());
        tcp[2..4].copy_from_slice(&to.1.to_be_bytes());
        tcp[4..8].copy_from_slice(&segment.seq.to_be_bytes());
        tcp[8..12].copy_from_slice(&segment.acknowledged.to_be_bytes());
        tcp[12] = 0x50;
        tcp[13] = segment.flags;
        tcp[14..16].copy_from_slice(&segment.window.to_be_bytes());
        self.out.write_all(&p)
    }
}

struct Segment {
    flags: u8,
    seq: u32,
    acknowledged: u32,
    payload: u32,
    window: u16,
}

impl Segment {
    /// Sequence space that it takes.
    fn length(&self) -> u32 {
        self.payload + u32::from(self.flags & (SYN | FIN) != 0)
    }
}
