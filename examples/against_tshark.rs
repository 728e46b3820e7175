//! Compares what espstress and tshark make of the same capture files, packet by packet, and their speed.
//!
//! ```text
//! cargo run --release --example against_tshark -- [--frames N] FILE...
//! ```
//!
//! `--frames N` lists the first N packets of each kind that only one of the two names. What the differences
//! come from is in docs/against-tshark.md.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use espstress_analyze::{AnalyzeConfig, analyze, analyze_with};
use espstress_event::AnomalyId;
use espstress_observe::file::Reader;
use espstress_wire::{Flags, Link, Segment, decode};

/// Kinds of packets, in the order of the table.
const KINDS: [&str; 6] =
    ["reset", "zero window", "retransmission", "FIN repeated", "duplicate ACK", "out of order"];
const FIELDS: [&str; 9] = [
    "frame.number",
    "tcp.stream",
    "tcp.flags",
    "tcp.analysis.retransmission",
    "tcp.analysis.fast_retransmission",
    "tcp.analysis.spurious_retransmission",
    "tcp.analysis.duplicate_ack",
    "tcp.analysis.out_of_order",
    "tcp.analysis.zero_window",
];

/// What one of the two says: packet numbers by kind.
#[derive(Default)]
struct Marks {
    packets: BTreeMap<&'static str, BTreeSet<u64>>,
    connections: u64,
}

impl Marks {
    fn mark(&mut self, kind: &'static str, number: u64) {
        self.packets.entry(kind).or_default().insert(number);
    }
}

fn main() -> ExitCode {
    let mut files: Vec<String> = env::args().skip(1).collect();
    let mut frames = 0;
    if files.first().is_some_and(|a| a == "--frames") {
        frames = files.get(1).and_then(|n| n.parse().ok()).unwrap_or(10);
        files.drain(..2.min(files.len()));
    }
    if files.is_empty() {
        eprintln!("usage: against_tshark [--frames N] FILE...");
        return ExitCode::from(2);
    }
    for file in &files {
        if let Err(e) = compare(Path::new(file), frames) {
            eprintln!("{file}: {e}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn compare(path: &Path, frames: usize) -> io::Result<()> {
    let theirs = tshark(path)?;
    let ours = espstress(path)?;
    println!("{}\n{:16} {:>9} {:>9} {:>9}", path.display(), "", "tshark", "espstress", "both");
    println!("{:16} {:>9} {:>9}", "connections", theirs.connections, ours.connections);
    let none = BTreeSet::new();
    for kind in KINDS {
        let [theirs, ours] = [&theirs, &ours].map(|m| m.packets.get(kind).unwrap_or(&none));
        let both = theirs.intersection(ours).count();
        println!("{kind:16} {:>9} {:>9} {both:>9}", theirs.len(), ours.len());
        for (who, a, b) in [("tshark", theirs, ours), ("espstress", ours, theirs)] {
            let only: Vec<String> = a.difference(b).take(frames).map(u64::to_string).collect();
            if !only.is_empty() {
                println!("    only {who}: {}", only.join(" "));
            }
        }
    }
    speed(path)
}

fn tshark(path: &Path) -> io::Result<Marks> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(path).args(["-Y", "tcp", "-T", "fields", "-E", "separator=|"]);
    for field in FIELDS {
        command.args(["-e", field]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut marks = Marks::default();
    let out = child.stdout.take().ok_or_else(|| io::Error::other("tshark has no output"))?;
    for line in BufReader::new(out).lines() {
        let line = line?;
        let fields: Vec<&str> = line.split('|').collect();
        let &[number, stream, flags, again, fast, spurious, duplicate, order, zero] = fields.as_slice()
        else {
            return Err(io::Error::other(format!("tshark says: {line}")));
        };
        let (Ok(number), Ok(stream)) = (number.parse(), stream.parse::<u64>()) else { continue };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).map_err(io::Error::other)?;
        marks.connections = marks.connections.max(stream + 1);
        if flags & 4 != 0 {
            marks.mark("reset", number);
        }
        if ![again, fast, spurious].iter().all(|f| f.is_empty()) {
            match flags & 3 {
                0 => marks.mark("retransmission", number),
                1 => marks.mark("FIN repeated", number),
                _ => {} // of a SYN
            }
        }
        for (field, kind) in [(duplicate, "duplicate ACK"), (order, "out of order"), (zero, "zero window")] {
            if !field.is_empty() {
                marks.mark(kind, number);
            }
        }
    }
    if !child.wait()?.success() {
        return Err(io::Error::other("tshark failed"));
    }
    Ok(marks)
}

fn espstress(path: &Path) -> io::Result<Marks> {
    let mut marks = Marks::default();
    // What a single segment says by itself.
    let mut reader = Reader::open(path).map_err(io::Error::other)?;
    while let Some(record) = reader.next_record() {
        let Some(link) = Link::from_link_type(record.link.into()) else { continue };
        let Ok(segment) = decode(link, record.bytes, record.original_len as usize) else { continue };
        let Segment { flags, window, .. } = segment;
        if flags.has(Flags::RST) {
            marks.mark("reset", record.number);
        } else if window == 0 && !flags.has(Flags::SYN) && !flags.has(Flags::FIN) {
            marks.mark("zero window", record.number);
        }
    }
    // What it says in its connection.
    let analysis = analyze_with(path, &AnalyzeConfig::default(), |number, occurrence| {
        let kind = match occurrence.id {
            AnomalyId::Retransmission => "retransmission",
            AnomalyId::FinRetransmission => "FIN repeated",
            AnomalyId::DuplicateAck => "duplicate ACK",
            AnomalyId::OutOfOrder => "out of order",
            _ => return,
        };
        marks.mark(kind, number);
    })
    .map_err(io::Error::other)?;
    marks.connections = analysis.connections;
    Ok(marks)
}

/// The whole of each program's work on the file: tshark's expert pass, and the analysis with all rules.
fn speed(path: &Path) -> io::Result<()> {
    let start = Instant::now();
    let analysis = analyze(path, &AnalyzeConfig::default()).map_err(io::Error::other)?;
    let ours = start.elapsed();
    let start = Instant::now();
    let status = Command::new("tshark")
        .args(["-n", "-q", "-z", "expert", "-r"])
        .arg(path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    let theirs = start.elapsed();
    if !status.success() {
        return Err(io::Error::other("tshark failed"));
    }
    let rate = |time: Duration| analysis.packets as f64 / time.as_secs_f64();
    println!(
        "{:16} {:>9.0} {:>9.0} packets/s, {:.1} times as fast\n",
        "speed",
        rate(theirs),
        rate(ours),
        theirs.as_secs_f64() / ours.as_secs_f64()
    );
    Ok(())
}
