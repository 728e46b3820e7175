//! The writing end of `--pcap`: a thread that holds packets back for a while, so that what is said of them
//! a little later can still be written beside them, and then writes them.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::block::{self, Packet, Summary};
use super::writer::WriterReport;
use crate::capture::{CaptureStats, Travel};

/// How long a packet waits for remarks before it is written.
pub(super) const HOLD: Duration = Duration::from_secs(2);
/// How many chunks wait at most.
pub(super) const HOLD_CHUNKS: usize = 16;
/// How often the thread looks at the clock when nothing comes.
const TICK: Duration = Duration::from_millis(250);
/// Remarks that wait for their packet, and late ones that wait for the next packet; more are counted only.
const MOST_REMARKS: usize = 4096;

/// A packet in a [`Chunk`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) at_ns: i64,
    pub(super) original_len: u32,
    pub(super) length: u32,
    pub(super) missed: u32,
    pub(super) travel: Travel,
}

/// Packets and remarks on their way to the thread; goes back and forth and is reused.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: Vec<u8>,
    pub(super) remarks: Vec<(u64, String)>,
}

impl Chunk {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.remarks.clear();
    }
}

/// What the thread is told.
pub(super) enum Message {
    Packets(Chunk),
    /// The capture is over, with the kernel's counts and the count of what did not fit the queue.
    Over {
        stats: Option<CaptureStats>,
        missed: u64,
    },
}

/// Where the file's bytes go.
pub(super) trait Store: Send {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Takes back what lies behind `length`, as far as that is possible.
    fn cut(&mut self, length: u64);
}

impl Store for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn cut(&mut self, length: u64) {
        // A pipe or device cannot be cut; the reader then finds the file truncated there.
        let _ = self.set_len(length).and_then(|()| self.seek(SeekFrom::Start(length)));
    }
}

/// The file while it is written.
pub(super) struct Journal<S> {
    store: S,
    out: Vec<u8>,
    held: VecDeque<(Instant, Chunk)>,
    remarks: HashMap<u64, String>,
    late: Vec<String>,
    /// Number of the last packet that was written or given up.
    passed: u64,
    first_ns: i64,
    last_ns: i64,
    report: WriterReport,
}

impl<S: Store> Journal<S> {
    /// Begins the file with `head`.
    pub(super) fn new(mut store: S, head: Vec<u8>) -> io::Result<Self> {
        store.append(&head)?;
        let report = WriterReport { bytes: head.len() as u64, ..WriterReport::default() };
        Ok(Self {
            store,
            out: head,
            held: VecDeque::with_capacity(HOLD_CHUNKS + 1),
            remarks: HashMap::new(),
            late: Vec::new(),
            passed: 0,
            first_ns: 0,
            last_ns: 0,
            report,
        })
    }

    /// As if everything up to packet `number` were written.
    #[cfg(test)]
    pub(super) const fn pass(&mut self, number: u64) {
        self.passed = number;
    }

    /// Writes until it is told that the capture is over.
    pub(super) fn run(mut self, messages: &Receiver<Message>, free: &Sender<Chunk>) -> WriterReport {
        let (stats, missed) = loop {
            match messages.recv_timeout(TICK) {
                Ok(Message::Packets(chunk)) => self.hold(chunk),
                Ok(Message::Over { stats, missed }) => break (stats, missed),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break (None, 0),
            }
            while let Some((since, _)) = self.held.front()
                && (self.held.len() > HOLD_CHUNKS || since.elapsed() >= HOLD)
            {
                self.write_front(free);
            }
        };
        while !self.held.is_empty() {
            self.write_front(free);
        }
        self.report.missed += missed;
        self.close(stats)
    }

    fn hold(&mut self, mut chunk: Chunk) {
        for (number, text) in chunk.remarks.drain(..) {
            if self.remarks.len() + self.late.len() >= MOST_REMARKS {
                self.report.remarks_lost += 1;
            } else if number <= self.passed {
                self.late.push(format!("packet {number} of the capture: {text}"));
            } else {
                self.remarks
                    .entry(number)
                    .and_modify(|old| {
                        old.push_str("; ");
                        old.push_str(&text);
                    })
                    .or_insert(text);
            }
        }
        self.held.push_back((Instant::now(), chunk));
    }

    fn write_front(&mut self, free: &Sender<Chunk>) {
        let Some((_, mut chunk)) = self.held.pop_front() else { return };
        self.out.clear();
        let mut at = 0;
        for entry in &chunk.entries {
            let length = entry.length as usize;
            let comment = self.comment_for(entry);
            block::enhanced_packet(
                &mut self.out,
                &Packet {
                    at_ns: entry.at_ns,
                    bytes: chunk.bytes.get(at..at + length).unwrap_or_default(),
                    original_len: entry.original_len,
                    travel: entry.travel,
                    missed: entry.missed,
                    comment: comment.as_deref(),
                },
            );
            at += length;
            self.passed = entry.number;
        }
        let packets = chunk.entries.len() as u64;
        if let (Some(first), Some(last)) = (chunk.entries.first(), chunk.entries.last()) {
            if self.first_ns == 0 {
                self.first_ns = first.at_ns;
            }
            self.last_ns = last.at_ns;
        }
        if self.append() {
            self.report.packets += packets;
        } else {
            self.report.missed += packets;
        }
        chunk.clear();
        // The front may be gone already; then the chunk is, too.
        let _ = free.send(chunk);
    }

    /// Everything that is to be said beside this packet.
    fn comment_for(&mut self, entry: &Entry) -> Option<String> {
        if self.remarks.is_empty() && self.late.is_empty() && entry.missed == 0 {
            return None;
        }
        let mut said = Vec::new();
        if entry.missed > 0 {
            said.push(format!("{} packets are missing before this one: the disk was too slow", entry.missed));
        }
        said.extend(self.remarks.remove(&entry.number));
        said.append(&mut self.late);
        self.report.remarks += u64::from(!said.is_empty());
        (!said.is_empty()).then(|| said.join("\n"))
    }

    /// Appends `out` to the file, whole or not at all; `false` if not, now or earlier.
    fn append(&mut self) -> bool {
        if self.report.failure.is_some() {
            return false;
        }
        match self.store.append(&self.out) {
            Ok(()) => {
                self.report.bytes += self.out.len() as u64;
                true
            }
            Err(error) => {
                self.store.cut(self.report.bytes);
                self.report.failure = Some(error);
                false
            }
        }
    }

    fn close(mut self, stats: Option<CaptureStats>) -> WriterReport {
        // Remarks on packets that never came to the file.
        let mut left: Vec<(u64, String)> = self.remarks.drain().collect();
        left.sort_unstable_by_key(|(number, _)| *number);
        self.late.extend(left.into_iter().map(|(n, text)| format!("packet {n} of the capture: {text}")));
        if let Some(failure) = &self.report.failure {
            self.late.push(format!("the file ends before the capture did: {failure}"));
        }
        let comment = self.late.join("\n");
        self.out.clear();
        block::statistics(
            &mut self.out,
            &Summary {
                first_ns: self.first_ns,
                last_ns: self.last_ns,
                stats,
                written: self.report.packets,
                missed: self.report.missed,
                comment: (!comment.is_empty()).then_some(&comment),
            },
        );
        // After a failure it is tried all the same: where a whole chunk did not fit, this may.
        let failure = self.report.failure.take();
        self.append();
        self.report.failure = failure.or(self.report.failure.take());
        self.report
    }
}
