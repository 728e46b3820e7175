//! The writing end of `--pcap`: a thread that holds packets back for a while, so that what is said of them
//! a little later can still be written beside them, and then writes them.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::block::{self, Packet, Summary};
use super::lost::{Lost, lost};
use super::writer::WriterReport;
use crate::capture::{CaptureStats, Travel};

/// How long a packet waits for remarks before it is written.
pub(super) const HOLD: Duration = Duration::from_secs(2);
/// How many chunks wait at most.
pub(super) const HOLD_CHUNKS: usize = 16;
/// How often the thread looks at the clock when nothing comes.
const TICK: Duration = Duration::from_millis(250);
/// How often it looks whether the file is still there.
const LOOK: Duration = Duration::from_secs(1);
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
    /// Takes back what lies behind `length`; an error where that can't be done, so that nothing may follow.
    fn cut(&mut self, length: u64) -> io::Result<()>;
    /// What others did to it, where it should have this length.
    fn lost(&self, _length: u64) -> Option<Lost> {
        None
    }
}

/// A file and its name.
pub(super) struct Named {
    pub(super) file: File,
    pub(super) path: PathBuf,
}

impl Store for Named {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        // A pipe or device cannot be cut; the reader then finds the file truncated there.
        self.file.set_len(length)
    }

    fn lost(&self, length: u64) -> Option<Lost> {
        lost(&self.path, &self.file, length)
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
    /// Packets that the disk refused since the last one that it took.
    refused: u32,
    /// The file ends in the middle of a block, and that can't be taken back.
    torn: bool,
    /// What others did to the file.
    lost: Arc<OnceLock<Lost>>,
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
            refused: 0,
            torn: false,
            lost: Arc::default(),
            report,
        })
    }

    /// What others did to the file, as soon as it is known.
    pub(super) fn lost(&self) -> Arc<OnceLock<Lost>> {
        Arc::clone(&self.lost)
    }

    /// Looks whether the file is still there. After its first loss nothing makes it whole again.
    pub(super) fn look(&mut self) {
        if self.lost.get().is_none()
            && let Some(lost) = self.store.lost(self.report.bytes)
        {
            let _ = self.lost.set(lost);
            // What follows would stand behind a gap of zeros.
            self.torn |= lost == Lost::Truncated;
        }
    }

    /// As if everything up to packet `number` were written.
    #[cfg(test)]
    pub(super) const fn pass(&mut self, number: u64) {
        self.passed = number;
    }

    /// Writes until it is told that the capture is over.
    pub(super) fn run(mut self, messages: &Receiver<Message>, free: &Sender<Chunk>) -> WriterReport {
        let mut looked = Instant::now();
        let (stats, missed) = loop {
            if looked.elapsed() >= LOOK {
                self.look();
                looked = Instant::now();
            }
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
        self.look();
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
        if let Some((_, chunk)) = self.held.pop_front() {
            self.write(chunk, free);
        }
    }

    /// Writes a chunk, and gives it back.
    pub(super) fn write(&mut self, mut chunk: Chunk, free: &Sender<Chunk>) {
        self.out.clear();
        let mut at = 0;
        let mut refused = self.refused;
        let mut missed_here: u32 = 0;
        for entry in &chunk.entries {
            let length = entry.length as usize;
            let comment = self.comment_for(entry, refused);
            let missed = entry.missed.saturating_add(std::mem::take(&mut refused));
            missed_here = missed_here.saturating_add(entry.missed);
            block::enhanced_packet(
                &mut self.out,
                &Packet {
                    at_ns: entry.at_ns,
                    bytes: chunk.bytes.get(at..at + length).unwrap_or_default(),
                    original_len: entry.original_len,
                    travel: entry.travel,
                    missed,
                    comment: comment.as_deref(),
                },
            );
            at += length;
            self.passed = entry.number;
        }
        let packets = chunk.entries.len() as u64;
        if self.append() {
            self.report.packets += packets;
            if let (Some(first), Some(last)) = (chunk.entries.first(), chunk.entries.last()) {
                if self.first_ns == 0 {
                    self.first_ns = first.at_ns;
                }
                self.last_ns = last.at_ns;
                self.refused = 0;
            }
        } else {
            self.report.missed += packets;
            let gone = u32::try_from(packets).unwrap_or(u32::MAX).saturating_add(missed_here);
            self.refused = self.refused.saturating_add(gone);
        }
        chunk.clear();
        // The front may be gone already; then the chunk is, too.
        let _ = free.send(chunk);
    }

    /// Everything that is to be said beside this packet, before which the disk `refused` so many.
    fn comment_for(&mut self, entry: &Entry, refused: u32) -> Option<String> {
        if self.remarks.is_empty() && self.late.is_empty() && entry.missed == 0 && refused == 0 {
            return None;
        }
        let mut said = Vec::new();
        if let Some(failure) = self.report.failure.as_ref().filter(|_| refused > 0) {
            said.push(format!("{refused} packets are missing before this one: {failure}"));
        }
        if entry.missed > 0 {
            said.push(format!("{} packets are missing before this one: the disk was too slow", entry.missed));
        }
        said.extend(self.remarks.remove(&entry.number));
        said.append(&mut self.late);
        self.report.remarks += u64::from(!said.is_empty());
        (!said.is_empty()).then(|| said.join("\n"))
    }

    /// Appends `out` to the file, whole or not at all; `false` if not. A disk that was full is tried again: it may have
    /// room by now.
    fn append(&mut self) -> bool {
        if self.torn {
            return false;
        }
        match self.store.append(&self.out) {
            Ok(()) => {
                self.report.bytes += self.out.len() as u64;
                true
            }
            Err(error) => {
                self.torn = self.store.cut(self.report.bytes).is_err();
                self.report.failure.get_or_insert(error);
                false
            }
        }
    }

    pub(super) fn close(mut self, stats: Option<CaptureStats>) -> WriterReport {
        // Remarks on packets that never came to the file.
        let mut left: Vec<(u64, String)> = self.remarks.drain().collect();
        left.sort_unstable_by_key(|(number, _)| *number);
        self.late.extend(left.into_iter().map(|(n, text)| format!("packet {n} of the capture: {text}")));
        if let Some(failure) = &self.report.failure {
            self.late.push(match self.refused {
                0 => format!("packets are missing where the file says so: {failure}"),
                _ => format!("the file ends before the capture did: {failure}"),
            });
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
        self.append();
        self.look();
        self.report.lost = self.lost.get().copied();
        self.report
    }
}
