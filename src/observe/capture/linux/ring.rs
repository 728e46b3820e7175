//! The ring of blocks that the kernel fills and this process reads in place (TPACKET_V3, packet(7) and
//! the kernel's packet_mmap document).
//!
//! A block belongs to the kernel or to the process, told by one status word. While it is the process's, the
//! kernel does not touch it, so its bytes can be lent out; everything in it is read with checked offsets.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::{Frame, Travel, VlanTag};

/// Bytes of a block; holds the largest merged segment, about 64 KiB.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// Where the status word is in a block, and where what follows it begins.
const STATUS_AT: usize = 8;
const AFTER_STATUS: usize = 12;
const TP_STATUS_KERNEL: u32 = 0;
const TP_STATUS_USER: u32 = 1;
const TP_STATUS_VLAN_VALID: u32 = 1 << 4;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
const PACKET_OUTGOING: u8 = 4;
const PACKET_LOOPBACK: u8 = 5;
const DEFAULT_TPID: u16 = 0x8100;
/// sockaddr_ll follows the packet's header of 48 bytes; its pkttype is at 10.
const PACKET_TYPE_AT: usize = 48 + 10;

/// A shared mapping of the ring; unmapped when dropped.
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    #[expect(unsafe_code, reason = "the ring is shared memory of the kernel's")]
    fn of(socket: impl AsFd, length: NonZeroUsize) -> io::Result<Self> {
        // SAFETY: a new mapping at a place that the kernel chooses overlaps nothing; `length` is not 0 and
        // the descriptor is open for the time of the call.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length.get(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, length: length.get() })
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "gives back what `of` mapped")]
    fn drop(&mut self) {
        // SAFETY: exactly the range that mmap returned, unmapped once; nothing borrowed from `Ring` outlives it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

#[expect(unsafe_code, reason = "the mapping is plain memory, whichever thread reads it")]
// SAFETY: the pointer is not shared with anything in this process, and the mapping is not tied to a thread.
unsafe impl Send for Mapping {}

/// The ring, with the block that is to be read next.
pub(super) struct Ring {
    mapping: Mapping,
    blocks: usize,
    next: usize,
}

impl Ring {
    /// Maps the ring of `blocks` blocks that was set up on `socket`.
    pub(super) fn map(socket: impl AsFd, blocks: usize) -> io::Result<Self> {
        let length = blocks.checked_mul(BLOCK_BYTES).and_then(NonZeroUsize::new);
        let length = length.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { mapping: Mapping::of(socket, length)?, blocks, next: 0 })
    }

    /// How many blocks there are.
    pub(super) const fn blocks(&self) -> usize {
        self.blocks
    }

    /// The next block if the kernel has handed it over. It goes back to the kernel when dropped.
    #[expect(unsafe_code, reason = "borrows a block from the shared memory")]
    pub(super) fn ready(&mut self) -> Option<Block<'_>> {
        let at = self.next * BLOCK_BYTES;
        // SAFETY: `next < blocks` and the mapping is `blocks * BLOCK_BYTES` long, so the word lies inside;
        // it is aligned, since blocks are page-aligned; kernel and process both access it atomically.
        let status = unsafe { AtomicU32::from_ptr(self.mapping.start.as_ptr().add(at + STATUS_AT).cast()) };
        if status.load(Ordering::Acquire) & TP_STATUS_USER == 0 {
            return None;
        }
        // SAFETY: the range lies inside the mapping, behind the status word; the kernel does not write to a
        // block that it has handed over until the status says so, which only `Block::drop` does, after which
        // the slice is gone: both borrow `self` mutably, so there is one block at a time.
        let bytes = unsafe {
            std::slice::from_raw_parts(
                self.mapping.start.as_ptr().add(at + AFTER_STATUS),
                BLOCK_BYTES - AFTER_STATUS,
            )
        };
        self.next = (self.next + 1) % self.blocks;
        Some(Block { status, bytes })
    }
}

/// A block that is the process's for as long as this lives.
pub(super) struct Block<'a> {
    status: &'a AtomicU32,
    /// What follows the status word.
    bytes: &'a [u8],
}

impl Drop for Block<'_> {
    fn drop(&mut self) {
        self.status.store(TP_STATUS_KERNEL, Ordering::Release);
    }
}

/// How many packets of a block were handed out, and how many could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BlockCount {
    pub(super) packets: u64,
    pub(super) malformed: u64,
}

impl Block<'_> {
    /// Hands out each packet.
    pub(super) fn each(&self, link: u16, mut f: impl FnMut(Frame<'_>)) -> BlockCount {
        each_packet(self.bytes, link, &mut f)
    }
}

/// Walks a block, given without its first [`AFTER_STATUS`] bytes. Total: any bytes are a block.
fn each_packet(bytes: &[u8], link: u16, f: &mut impl FnMut(Frame<'_>)) -> BlockCount {
    let mut count = BlockCount::default();
    let Some((packets, first)) = u32_at(bytes, 0).zip(u32_at(bytes, 4)) else { return count };
    let mut at = (first as usize).wrapping_sub(AFTER_STATUS);
    for left in (0..packets).rev() {
        let Some((frame, next)) = bytes.get(at..).and_then(|entry| packet(entry, link)) else {
            count.malformed += u64::from(left) + 1;
            break;
        };
        f(frame);
        count.packets += 1;
        at = at.wrapping_add(next);
    }
    count
}

/// One packet and the distance to the next.
fn packet(entry: &[u8], link: u16) -> Option<(Frame<'_>, usize)> {
    let next = u32_at(entry, 0)? as usize;
    let seconds = u32_at(entry, 4)?;
    let nanoseconds = u32_at(entry, 8)?;
    let captured = u32_at(entry, 12)? as usize;
    let original_len = u32_at(entry, 16)?;
    let status = u32_at(entry, 20)?;
    let start = usize::from(u16_at(entry, 24)?);
    let vlan = (status & TP_STATUS_VLAN_VALID != 0).then(|| {
        let protocol = if status & TP_STATUS_VLAN_TPID_VALID == 0 { None } else { u16_at(entry, 36) };
        VlanTag {
            protocol: protocol.unwrap_or(DEFAULT_TPID),
            control: u32_at(entry, 32).map_or(0, |tci| tci as u16),
        }
    });
    let travel = match *entry.get(PACKET_TYPE_AT)? {
        PACKET_OUTGOING => Travel::Outgoing,
        PACKET_LOOPBACK => Travel::Unknown,
        _ => Travel::Incoming,
    };
    let frame = Frame {
        at_ns: i64::from(seconds) * 1_000_000_000 + i64::from(nanoseconds),
        link,
        bytes: entry.get(start..start.checked_add(captured)?)?,
        original_len,
        travel,
        vlan,
    };
    Some((frame, next))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet as the kernel lays it down (`struct tpacket3_hdr` and sockaddr_ll), with four bytes at 68.
    fn entry(status: u32, kind: u8) -> Vec<u8> {
        let words = [72, 3, 7, 4, 60, status, 0, 0, 5, 0x88a8];
        let mut entry: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
        entry[24..26].copy_from_slice(&68_u16.to_ne_bytes());
        entry.resize(68, 0);
        entry[PACKET_TYPE_AT] = kind;
        entry.extend(*b"abcd");
        entry
    }

    #[test]
    fn a_packet_is_read_as_the_kernel_lays_it_down() {
        let bytes = entry(TP_STATUS_USER, 0);
        let (frame, next) = packet(&bytes, 9).unwrap();
        assert_eq!((frame.at_ns, frame.link, frame.bytes, next), (3_000_000_007, 9, &b"abcd"[..], 72));
        assert_eq!((frame.original_len, frame.travel, frame.vlan), (60, Travel::Incoming, None));
        let travel = |kind| packet(&entry(TP_STATUS_USER, kind), 9).unwrap().0.travel;
        assert_eq!((travel(PACKET_OUTGOING), travel(PACKET_LOOPBACK)), (Travel::Outgoing, Travel::Unknown));
    }

    #[test]
    fn a_tag_that_the_network_card_took_off_comes_with_its_protocol_where_the_kernel_knows_it() {
        let vlan = |status| packet(&entry(status, 0), 9).unwrap().0.vlan;
        let tagged = TP_STATUS_VLAN_VALID | TP_STATUS_USER;
        assert_eq!(vlan(tagged), Some(VlanTag { protocol: DEFAULT_TPID, control: 5 }));
        let known = tagged | TP_STATUS_VLAN_TPID_VALID;
        assert_eq!(vlan(known), Some(VlanTag { protocol: 0x88a8, control: 5 }));
        assert_eq!(vlan(TP_STATUS_VLAN_TPID_VALID), None);
    }

    #[test]
    fn each_block_is_read_once_it_is_handed_over_and_then_given_back() {
        use std::os::unix::fs::FileExt;
        let kernel = tempfile::tempfile().unwrap();
        kernel.set_len(2 * BLOCK_BYTES as u64).unwrap();
        let mut ring = Ring::map(&kernel, 2).unwrap();
        let status = |block: usize| {
            let mut word = [0; 4];
            kernel.read_exact_at(&mut word, (block * BLOCK_BYTES + STATUS_AT) as u64).unwrap();
            u32::from_ne_bytes(word)
        };
        // The last packet of each ends where the block does.
        let at = (BLOCK_BYTES - entry(0, 0).len()) as u32;
        let hand_over = |block: usize, status: u32| {
            let head = [status, 1, at].map(u32::to_ne_bytes).concat();
            let start = (block * BLOCK_BYTES) as u64;
            kernel.write_all_at(&entry(TP_STATUS_USER, 0), start + u64::from(at)).unwrap();
            kernel.write_all_at(&head, start + STATUS_AT as u64).unwrap();
        };
        hand_over(1, TP_STATUS_USER);
        assert!(ring.ready().is_none(), "the first is not there yet");
        hand_over(0, !TP_STATUS_USER);
        assert!(ring.ready().is_none(), "other marks don't hand it over");
        for block in [0, 1, 0] {
            hand_over(block, TP_STATUS_USER);
            let count = ring.ready().unwrap().each(9, |frame| assert_eq!(frame.bytes, b"abcd"));
            assert_eq!((count.packets, count.malformed), (1, 0));
            assert_eq!(status(block), TP_STATUS_KERNEL);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_block(bytes in proptest::collection::vec(any::<u8>(), 0..400), packets in 0_u32..9) {
            let mut bytes = bytes;
            if bytes.len() >= 8 {
                bytes[..4].copy_from_slice(&packets.to_ne_bytes());
            }
            let mut seen = 0;
            let count = each_packet(&bytes, 1, &mut |_| seen += 1);
            prop_assert_eq!(seen, count.packets);
            prop_assert!(bytes.len() < 8 || count.packets + count.malformed == u64::from(packets));
        }
    }
}
