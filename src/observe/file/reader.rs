//! The reader: finds out what a file is, then gives its packets one after the other.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::pcap::Pcap;
use super::pcapng::{Pcapng, SECTION_HEADER};
use super::source::{Fill, Source};

/// Longest record or block that is believed; a greater length is damage. No packet is longer than 256 KiB,
/// but name resolution and secrets blocks may be.
pub(super) const MAX_RECORD: u32 = 16 << 20;

/// One packet of a file, borrowed from the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Which packet of the file, from 1.
    pub number: u64,
    /// When it was captured, nanoseconds since the Unix epoch; as far as the file says.
    pub at_ns: i64,
    /// How its bytes begin: a LINKTYPE number.
    pub link: u16,
    /// What was kept of it.
    pub bytes: &'a [u8],
    /// How long it was on the wire.
    pub original_len: u32,
    /// Packets that, by the file's account, are missing between the one before and this one.
    pub dropped_before: u64,
}

/// How a file ended.
#[derive(Debug)]
pub enum End {
    /// Where a file ends.
    Complete,
    /// In the middle of a packet, as when the capturing program was killed or is still writing.
    Truncated {
        /// Where the cut packet begins; for gzip, in the unpacked file.
        at_byte: u64,
        /// Bytes that are missing from it at least; 0 where that cannot be told.
        missing: u64,
    },
    /// With bytes that are no capture.
    Damaged {
        /// Where they begin; for gzip, in the unpacked file.
        at_byte: u64,
        /// What is wrong with them.
        what: Damage,
    },
    /// Because it could not be read on.
    Unreadable {
        /// Where.
        at_byte: u64,
        /// What the system said.
        error: io::Error,
    },
}

impl End {
    /// Whether everything in the file was read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Complete => write!(f, "complete"),
            Self::Truncated { at_byte, missing: 0 } => write!(f, "cut off in the packet at byte {at_byte}"),
            Self::Truncated { at_byte, missing } => {
                write!(f, "cut off in the packet at byte {at_byte}, {missing} bytes short")
            }
            Self::Damaged { at_byte, what } => write!(f, "damaged at byte {at_byte}: {what}"),
            Self::Unreadable { at_byte, error } => write!(f, "unreadable from byte {at_byte} on: {error}"),
        }
    }
}

/// What is wrong with a damaged place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A length that no packet has.
    #[error("a record of {bytes} bytes")]
    RecordTooLong {
        /// As the file has it.
        bytes: u32,
    },
    /// A block length that no block can have.
    #[error("a block of {bytes} bytes, which is too short or no multiple of 4")]
    BlockLength {
        /// As the file has it.
        bytes: u32,
    },
    /// The length at a block's end is not that of its beginning.
    #[error("a block whose two lengths differ")]
    BlockTrailer,
    /// A block's fields do not fit into it.
    #[error("a block that is shorter than what it says to contain")]
    BlockContent,
    /// A section in no byte order.
    #[error("a section that begins with no known byte order")]
    ByteOrder,
    /// A packet of an interface that was not described.
    #[error("a packet of an interface that was not described")]
    UnknownInterface,
    /// More interfaces than anyone has.
    #[error("more interfaces in one section than any machine has")]
    TooManyInterfaces,
    /// The compressed stream makes no sense.
    #[error("a compressed stream that cannot be unpacked")]
    Compression,
}

/// Why a file gives no packets at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It could not be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("this is neither a pcap nor a pcapng file (nor gzip of one): it begins with {}", hex(.first))]
    NotACapture {
        /// Its first bytes, up to eight.
        first: Vec<u8>,
    },
    /// It begins like a capture, but ends before the first packet could.
    #[error("the file is cut off within its header, after {bytes} bytes")]
    CutInHeader {
        /// Bytes that there are; for gzip, unpacked.
        bytes: usize,
    },
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

/// What a format's parser came upon.
pub(super) enum Step {
    Packet(Found),
    Complete,
    Truncated { missing: u64 },
    Damaged(Damage),
    Failed(io::Error),
}

/// A packet by its place in the source's buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) at_ns: i64,
    pub(super) link: u16,
    pub(super) start: usize,
    pub(super) length: usize,
    pub(super) original_len: u32,
    pub(super) dropped_before: u64,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// Gives the packets of a capture file: call [`Reader::next_record`] until it gives none, then ask
/// [`Reader::end`] how it ended.
pub struct Reader {
    source: Source,
    format: Format,
    number: u64,
    end: Option<End>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("number", &self.number).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or its first bytes are no capture's.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        if path.as_os_str() == "-" {
            Self::new(Box::new(io::stdin()))
        } else {
            Self::new(Box::new(File::open(path)?))
        }
    }

    /// Reads a stream.
    ///
    /// # Errors
    ///
    /// When its first bytes are no capture's.
    pub fn new(mut inner: Box<dyn Read + Send>) -> Result<Self, OpenError> {
        let mut first = Vec::with_capacity(2);
        inner.by_ref().take(2).read_to_end(&mut first)?;
        let packed = first == [0x1f, 0x8b];
        let whole = Cursor::new(first).chain(inner);
        let mut source = Source::new(if packed {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole)))
        } else {
            Box::new(whole)
        });
        let there = match source.fill(Pcap::header_length()) {
            Fill::Ready => Pcap::header_length(),
            Fill::Ended(there) => there,
            // A packed file that is cut right here is read as far as it goes.
            Fill::Failed(_) if !source.bytes().is_empty() => source.bytes().len(),
            Fill::Failed(e) => return Err(OpenError::Io(e)),
        };
        let head = &source.bytes()[..there];
        let format = if let Some(pcap) = Pcap::of_header(head) {
            source.skip(Pcap::header_length());
            Format::Pcap(pcap)
        } else if head.first_chunk() == Some(&SECTION_HEADER.to_le_bytes()) {
            Format::Pcapng(Pcapng::new())
        } else if Pcap::is_magic(head) {
            return Err(OpenError::CutInHeader { bytes: head.len() });
        } else if head.is_empty() {
            return Err(OpenError::Empty);
        } else {
            return Err(OpenError::NotACapture { first: head[..head.len().min(8)].to_vec() });
        };
        Ok(Self { source, format, number: 0, end: None })
    }

    /// The next packet; `None` when there is no further one.
    #[inline]
    pub fn next_record(&mut self) -> Option<Record<'_>> {
        if self.end.is_some() {
            return None;
        }
        let step = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.source),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.source),
        };
        match step {
            Step::Packet(found) => {
                self.number += 1;
                Some(Record {
                    number: self.number,
                    at_ns: found.at_ns,
                    link: found.link,
                    bytes: self.source.slice(found.start, found.length),
                    original_len: found.original_len,
                    dropped_before: found.dropped_before,
                })
            }
            other => {
                self.end = Some(self.end_of(other));
                None
            }
        }
    }

    fn end_of(&self, step: Step) -> End {
        let at_byte = self.source.offset();
        match step {
            Step::Packet(_) | Step::Complete => End::Complete,
            Step::Truncated { missing } => End::Truncated { at_byte, missing },
            Step::Damaged(what) => End::Damaged { at_byte, what },
            Step::Failed(error) => match error.kind() {
                // What the unpacking says of a packed file that is cut, and of one that is damaged.
                io::ErrorKind::UnexpectedEof => End::Truncated { at_byte, missing: 0 },
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    End::Damaged { at_byte, what: Damage::Compression }
                }
                _ => End::Unreadable { at_byte, error },
            },
        }
    }

    /// How the file ended; `None` as long as it has not.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Takes the end out, for a caller that is done.
    #[must_use]
    pub fn into_end(self) -> Option<End> {
        self.end
    }

    /// Packets given so far.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.number
    }

    /// Packets that, by the file's own account, were dropped while it was captured; `None` where the format
    /// has no account.
    #[must_use]
    pub fn dropped(&self) -> Option<u64> {
        match &self.format {
            Format::Pcap(_) => None,
            Format::Pcapng(pcapng) => Some(pcapng.dropped()),
        }
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
