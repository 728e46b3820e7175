//! A two-level segregated fit allocator over offsets: the algorithm of ESP-IDF's heap, with its
//! book-keeping beside the memory instead of inside it.
//!
//! It hands out ranges of an address space that it never touches, so it is ordinary safe code. What a
//! block's header costs on a device is charged all the same: every block has [`HEADER`] bytes before
//! its payload. It must not know what the memory is used for.

/// Alignment of every block and the unit in which sizes are counted, in bytes.
pub(crate) const GRANULE: usize = 8;
/// Bytes in front of each payload that nobody may use: the price of a header.
pub(crate) const HEADER: usize = GRANULE;

/// Blocks of up to this many granules have a list each.
const LINEAR: u32 = 16;
const SECOND_LEVELS: usize = 16;
const FIRST_LEVELS: usize = 28;
const NONE: u32 = u32::MAX;
/// A header and one granule.
const MIN_BLOCK: u32 = 2;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Not the first granule of a block.
    Inside,
    Used,
    Free,
}

/// Book-keeping of one granule; the fields mean something at the first granule of a block, `start`
/// at its last.
#[derive(Clone, Copy)]
struct Tag {
    kind: Kind,
    len: u32,
    next: u32,
    prev: u32,
    start: u32,
}

const UNTAGGED: Tag = Tag {
    kind: Kind::Inside,
    len: 0,
    next: NONE,
    prev: NONE,
    start: NONE,
};

/// What was freed is not a block in use: freed twice, or never allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAllocated;

/// The allocator's state.
pub(crate) struct Tlsf {
    tags: Vec<Tag>,
    heads: [[u32; SECOND_LEVELS]; FIRST_LEVELS],
    /// Which second-level lists of a first level hold a block.
    filled: [u16; FIRST_LEVELS],
    free: u32,
    min_free: u32,
}

impl Tlsf {
    /// An allocator over `bytes` bytes, rounded down to whole granules; all of it is one free block.
    pub(crate) fn new(bytes: usize) -> Self {
        let granules = u32::try_from(bytes / GRANULE)
            .unwrap_or(NONE - 1)
            .max(MIN_BLOCK);
        let mut heap = Self {
            tags: vec![UNTAGGED; granules as usize],
            heads: [[NONE; SECOND_LEVELS]; FIRST_LEVELS],
            filled: [0; FIRST_LEVELS],
            free: granules,
            min_free: granules,
        };
        heap.insert(0, granules);
        heap
    }

    /// Bytes managed.
    pub(crate) fn total(&self) -> usize {
        self.tags.len() * GRANULE
    }

    /// Bytes in free blocks, their headers included.
    pub(crate) fn free_bytes(&self) -> usize {
        self.free as usize * GRANULE
    }

    /// The least that [`Tlsf::free_bytes`] has been.
    pub(crate) fn min_free_bytes(&self) -> usize {
        self.min_free as usize * GRANULE
    }

    /// The longest payload that can be had now, in bytes.
    pub(crate) fn largest(&self) -> usize {
        let Some(first) = (0..FIRST_LEVELS).rev().find(|&f| self.filled[f] != 0) else {
            return 0;
        };
        let second = 15 - self.filled[first].leading_zeros() as usize;
        let mut longest = 0;
        let mut at = self.heads[first][second];
        while at != NONE {
            let tag = &self.tags[at as usize];
            longest = longest.max(tag.len);
            at = tag.next;
        }
        (longest as usize * GRANULE).saturating_sub(HEADER)
    }

    /// Takes a block for `len` bytes and gives the offset of its payload, a multiple of
    /// [`GRANULE`]; `None` if no free block is long enough.
    pub(crate) fn alloc(&mut self, len: usize) -> Option<usize> {
        let granules = len.div_ceil(GRANULE).checked_add(HEADER / GRANULE)?;
        let want = u32::try_from(granules).ok()?.max(MIN_BLOCK);
        let start = self.find(want)?;
        let have = self.tags[start as usize].len;
        self.remove(start);
        if have - want >= MIN_BLOCK {
            self.insert(start + want, have - want);
            self.mark(start, want, Kind::Used);
        } else {
            self.mark(start, have, Kind::Used);
        }
        self.free -= self.tags[start as usize].len;
        self.min_free = self.min_free.min(self.free);
        Some(start as usize * GRANULE + HEADER)
    }

    /// Gives back the block whose payload begins at `offset`, and joins it with free neighbours.
    pub(crate) fn release(&mut self, offset: usize) -> Result<(), NotAllocated> {
        let mut start = self.used_block(offset)?;
        let mut len = self.tags[start as usize].len;
        self.free += len;
        let after = start + len;
        if self
            .tags
            .get(after as usize)
            .is_some_and(|t| t.kind == Kind::Free)
        {
            len += self.tags[after as usize].len;
            self.remove(after);
            self.tags[after as usize].kind = Kind::Inside;
        }
        if start > 0 {
            let before = self.tags[start as usize - 1].start;
            if self.tags[before as usize].kind == Kind::Free {
                len += self.tags[before as usize].len;
                self.remove(before);
                self.tags[start as usize].kind = Kind::Inside;
                start = before;
            }
        }
        self.insert(start, len);
        Ok(())
    }

    fn used_block(&self, offset: usize) -> Result<u32, NotAllocated> {
        let start = offset.checked_sub(HEADER).ok_or(NotAllocated)?;
        if !start.is_multiple_of(GRANULE) {
            return Err(NotAllocated);
        }
        let granule = start / GRANULE;
        match self.tags.get(granule) {
            Some(tag) if tag.kind == Kind::Used => Ok(granule as u32),
            _ => Err(NotAllocated),
        }
    }

    /// A free block of at least `want` granules. Good fit first: any block of the next class up is
    /// long enough. The block's own class is searched last, so that the longest block can always be
    /// had whole.
    fn find(&self, want: u32) -> Option<u32> {
        let rounded = if want < LINEAR {
            want
        } else {
            want.checked_add((1 << (want.ilog2() - 4)) - 1)?
        };
        let (first, second) = class(rounded);
        if let Some(head) = self.first_filled(first, second) {
            return Some(head);
        }
        let (first, second) = class(want);
        let mut at = self.heads[first][second];
        while at != NONE && self.tags[at as usize].len < want {
            at = self.tags[at as usize].next;
        }
        (at != NONE).then_some(at)
    }

    fn first_filled(&self, first: usize, second: usize) -> Option<u32> {
        let here = self.filled[first] & (u16::MAX << second);
        if here != 0 {
            return Some(self.heads[first][here.trailing_zeros() as usize]);
        }
        let first = (first + 1..FIRST_LEVELS).find(|&f| self.filled[f] != 0)?;
        Some(self.heads[first][self.filled[first].trailing_zeros() as usize])
    }

    fn mark(&mut self, start: u32, len: u32, kind: Kind) {
        self.tags[start as usize].kind = kind;
        self.tags[start as usize].len = len;
        self.tags[(start + len) as usize - 1].start = start;
    }

    fn insert(&mut self, start: u32, len: u32) {
        self.mark(start, len, Kind::Free);
        let (first, second) = class(len);
        let head = self.heads[first][second];
        self.tags[start as usize].next = head;
        self.tags[start as usize].prev = NONE;
        if head != NONE {
            self.tags[head as usize].prev = start;
        }
        self.heads[first][second] = start;
        self.filled[first] |= 1 << second;
    }

    fn remove(&mut self, start: u32) {
        let Tag {
            len, next, prev, ..
        } = self.tags[start as usize];
        let (first, second) = class(len);
        if next != NONE {
            self.tags[next as usize].prev = prev;
        }
        if prev != NONE {
            self.tags[prev as usize].next = next;
        } else {
            self.heads[first][second] = next;
            if next == NONE {
                self.filled[first] &= !(1 << second);
            }
        }
    }
}

/// First and second level of blocks of `len` granules.
fn class(len: u32) -> (usize, usize) {
    if len < LINEAR {
        return (0, len as usize);
    }
    let log = len.ilog2();
    let second = (len >> (log - 4)) & 15;
    ((log - 3) as usize, second as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_empty_heap_gives_its_whole_length_once() {
        let mut heap = Tlsf::new(113_840);
        assert_eq!(heap.total(), 113_840);
        let largest = heap.largest();
        assert_eq!(largest, 113_840 - HEADER);
        let block = heap.alloc(largest).expect("the largest block");
        assert_eq!(heap.alloc(1), None);
        assert_eq!((heap.free_bytes(), heap.largest()), (0, 0));
        heap.release(block).expect("in use");
        assert_eq!(heap.free_bytes(), 113_840);
        assert_eq!(heap.min_free_bytes(), 0);
    }

    #[test]
    fn what_is_not_in_use_cannot_be_freed() {
        let mut heap = Tlsf::new(4096);
        let block = heap.alloc(100).expect("room");
        assert_eq!(heap.release(block + GRANULE), Err(NotAllocated));
        assert_eq!(heap.release(block + 1), Err(NotAllocated));
        assert_eq!(heap.release(0), Err(NotAllocated));
        assert_eq!(heap.release(usize::MAX), Err(NotAllocated));
        assert_eq!(heap.release(block), Ok(()));
        assert_eq!(heap.release(block), Err(NotAllocated));
    }

    #[test]
    fn a_heap_in_pieces_has_memory_and_no_long_block() {
        let mut heap = Tlsf::new(64 * 1024);
        let mut blocks = Vec::new();
        while let Some(block) = heap.alloc(500) {
            blocks.push(block);
        }
        for block in blocks.iter().step_by(2) {
            heap.release(*block).expect("in use");
        }
        assert!(heap.free_bytes() > 30_000, "{}", heap.free_bytes());
        assert!(heap.largest() < 1_100, "{}", heap.largest());
        assert_eq!(heap.alloc(2_000), None);
    }

    proptest! {
        #[test]
        fn blocks_never_overlap_and_all_memory_comes_back(
            steps in prop::collection::vec((0usize..3, 0usize..4_000), 1..400)
        ) {
            let mut heap = Tlsf::new(32_768);
            let mut live: Vec<(usize, usize)> = Vec::new();
            for (kind, n) in steps {
                if kind == 0 && !live.is_empty() {
                    let (offset, _) = live.swap_remove(n % live.len());
                    prop_assert_eq!(heap.release(offset), Ok(()));
                } else {
                    let largest = heap.largest();
                    match heap.alloc(n) {
                        Some(offset) => {
                            prop_assert!(offset + n <= heap.total());
                            for &(o, l) in &live {
                                prop_assert!(offset >= o + l + HEADER || offset + n + HEADER <= o);
                            }
                            live.push((offset, n));
                        }
                        None => prop_assert!(largest < n, "{} refused with {} to be had", n, largest),
                    }
                }
            }
            for (offset, _) in live {
                prop_assert_eq!(heap.release(offset), Ok(()));
            }
            prop_assert_eq!(heap.free_bytes(), heap.total());
            prop_assert_eq!(heap.largest(), heap.total() - HEADER);
        }
    }
}
