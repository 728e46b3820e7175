//! The near end of `--pcap`: takes packets from the capture's thread without ever waiting for the disk.
//!
//! Packets are copied into chunks of [`CHUNK_BYTES`]; there are [`CHUNKS`] of them, which bounds the memory.
//! When the disk is so slow that none is free, packets are counted instead of kept, and the next one that is
//! kept says so, in its drop count and in a comment.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::block;
use super::journal::{Chunk, Entry, HOLD_CHUNKS, Journal, Message, Named, Store};
use super::lost::Lost;
use crate::capture::{CaptureStats, Frame, LINKTYPE_ETHERNET};
use espstress_event::{AnomalyClass, Occurrence};

/// Bytes of packets after which a chunk is handed over.
const CHUNK_BYTES: usize = 256 << 10;
/// Packets after which it is, too, however short they are.
const CHUNK_PACKETS: usize = 8192;
/// Chunks there are: those that are held back and as many again for a disk that hesitates.
const CHUNKS: usize = 2 * HOLD_CHUNKS;
/// A chunk is handed over after this time, full or not.
const CHUNK_AGE: Duration = Duration::from_millis(250);
/// Remarks in a chunk.
const CHUNK_REMARKS: usize = 1024;
/// Length of the addresses of an Ethernet header, behind which a VLAN tag belongs.
const ADDRESSES: usize = 12;

/// What the file says of its one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterConfig {
    /// LINKTYPE number of the packets.
    pub link: u16,
    /// At most this much of each was kept, bytes.
    pub snap_length: u32,
    /// The interface's name.
    pub interface: String,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// It could not be made, or its first bytes not be written.
    #[error("cannot write packets to {}: {source}", path.display())]
    Create {
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What became of the file.
#[derive(Debug, Default)]
pub struct WriterReport {
    /// Packets in it.
    pub packets: u64,
    /// Packets that are not in it because the disk was too slow or full.
    pub missed: u64,
    /// Its length, bytes.
    pub(crate) bytes: u64,
    /// Packets with a comment.
    pub(crate) remarks: u64,
    /// Comments for which there was no room.
    pub(crate) remarks_lost: u64,
    /// What the system said when it first refused to write; what was written can be read.
    pub failure: Option<io::Error>,
    /// What others did to the file.
    pub lost: Option<Lost>,
}

/// A pcapng file that is being written.
#[derive(Debug)]
pub struct Writer {
    link: u16,
    chunk: Option<Chunk>,
    chunk_since: Instant,
    made: usize,
    missed: u64,
    missed_since: u32,
    remarks_lost: u64,
    messages: SyncSender<Message>,
    free: Receiver<Chunk>,
    lost: Arc<OnceLock<Lost>>,
    thread: JoinHandle<WriterReport>,
}

impl Writer {
    /// Makes the file and starts the thread that writes it.
    ///
    /// # Errors
    ///
    /// When the file cannot be made or begun.
    pub fn create(path: &Path, config: &WriterConfig) -> Result<Self, WriterError> {
        let failed = |source| WriterError::Create { path: path.to_owned(), source };
        // Appending, each write shows in the length that others cut: at its own place it would leave a hole as long.
        let file = File::options().create(true).append(true).open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_file() {
            file.set_len(0).map_err(failed)?;
        }
        Self::start(Named { file, path: path.to_owned() }, config).map_err(failed)
    }

    pub(super) fn start(store: impl Store + 'static, config: &WriterConfig) -> io::Result<Self> {
        let mut head = Vec::with_capacity(CHUNK_BYTES);
        block::section_header(&mut head, concat!("espstress ", env!("CARGO_PKG_VERSION")));
        block::interface(&mut head, config.link, config.snap_length, &config.interface);
        let journal = Journal::new(store, head)?;
        let lost = journal.lost();
        // Room for every chunk there is and the last message, so that sending never waits.
        let (messages, received) = mpsc::sync_channel(CHUNKS + 1);
        let (give_back, free) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("pcapng".to_owned())
            .spawn(move || journal.run(&received, &give_back))?;
        Ok(Self {
            link: config.link,
            chunk: None,
            chunk_since: Instant::now(),
            made: 0,
            missed: 0,
            missed_since: 0,
            remarks_lost: 0,
            messages,
            free,
            lost,
            thread,
        })
    }

    /// Keeps a packet; `number` is its number in the capture, from 1, each greater than the one before.
    pub fn packet(&mut self, number: u64, frame: &Frame<'_>) {
        let missed = self.missed_since;
        let tagged = frame.vlan.filter(|_| self.link == LINKTYPE_ETHERNET && frame.bytes.len() >= ADDRESSES);
        let Some(chunk) = self.chunk() else {
            self.missed += 1;
            self.missed_since = self.missed_since.saturating_add(1);
            return;
        };
        let before = chunk.bytes.len();
        if let Some(tag) = tagged {
            let (addresses, rest) = frame.bytes.split_at(ADDRESSES);
            chunk.bytes.extend_from_slice(addresses);
            chunk.bytes.extend_from_slice(&tag.protocol.to_be_bytes());
            chunk.bytes.extend_from_slice(&tag.control.to_be_bytes());
            chunk.bytes.extend_from_slice(rest);
        } else {
            chunk.bytes.extend_from_slice(frame.bytes);
        }
        chunk.entries.push(Entry {
            number,
            at_ns: frame.at_ns,
            original_len: frame.original_len + if tagged.is_some() { 4 } else { 0 },
            length: u32::try_from(chunk.bytes.len() - before).unwrap_or(u32::MAX),
            missed,
            travel: frame.travel,
        });
        let full = chunk.bytes.len() >= CHUNK_BYTES || chunk.entries.len() >= CHUNK_PACKETS;
        self.missed_since = 0;
        if full {
            self.hand_over();
        }
    }

    /// Writes `text` beside packet `number`, or, when that is already written, beside the next one with the
    /// number of the packet that is meant.
    pub fn comment(&mut self, number: u64, text: &str) {
        let Some(chunk) = self.chunk().filter(|c| c.remarks.len() < CHUNK_REMARKS) else {
            self.remarks_lost += 1;
            return;
        };
        chunk.remarks.push((number, text.to_owned()));
    }

    /// Comments on the packets that show an anomaly: those that it names, or the packet that was just looked
    /// at, `number`, when it names none and was told by that packet.
    pub fn evidence(&mut self, number: u64, at_ns: i64, occurrence: &Occurrence, class: AnomalyClass) {
        let name = occurrence.id.name();
        let class = match class {
            AnomalyClass::Device => "device",
            AnomalyClass::Path => "path",
            AnomalyClass::Provoked => "provoked",
        };
        let packets = &occurrence.packets;
        match packets.as_slice() {
            [] if occurrence.at_ns == at_ns => self.comment(number, &format!("{name} ({class})")),
            [] => {}
            [only] => self.comment(only.number, &format!("{name} ({class})")),
            several => {
                for (i, packet) in several.iter().enumerate() {
                    let text = format!("{name} ({class}), packet {} of {}", i + 1, several.len());
                    self.comment(packet.number, &text);
                }
            }
        }
    }

    /// Hands over what has waited for a quarter of a second; call it after every batch of the capture.
    pub fn batch_done(&mut self) {
        if self.chunk.is_some() && self.chunk_since.elapsed() >= CHUNK_AGE {
            self.hand_over();
        }
    }

    /// What others did to the file so far.
    #[must_use]
    pub fn lost(&self) -> Option<Lost> {
        self.lost.get().copied()
    }

    /// Ends the file: writes what is held back and the capture's counts. Waits for the disk.
    #[must_use]
    pub fn finish(mut self, stats: Option<CaptureStats>) -> WriterReport {
        self.hand_over();
        let _ = self.messages.send(Message::Over { stats, missed: self.missed });
        let mut report = match self.thread.join() {
            Ok(report) => report,
            Err(_) => WriterReport {
                failure: Some(io::Error::other("the thread that wrote the packets ended by itself")),
                ..WriterReport::default()
            },
        };
        report.remarks_lost += self.remarks_lost;
        report
    }

    /// The chunk to be filled: the present one, a used one, or a new one as long as there are few.
    fn chunk(&mut self) -> Option<&mut Chunk> {
        if self.chunk.is_none() {
            self.chunk = self.free.try_recv().ok().or_else(|| {
                (self.made < CHUNKS).then(|| {
                    self.made += 1;
                    Chunk::default()
                })
            });
            self.chunk_since = Instant::now();
        }
        self.chunk.as_mut()
    }

    fn hand_over(&mut self) {
        if let Some(chunk) = self.chunk.take() {
            // There is room for all; it fails only when the thread is gone, which `finish` reports.
            let _ = self.messages.try_send(Message::Packets(chunk));
        }
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
