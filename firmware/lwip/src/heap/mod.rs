//! The device's heap: one region of a device's size from which lwIP and the device program take all
//! that they allocate, with the readings that ESP-IDF's `heap_caps_*` functions give.
//!
//! The heap is made by the start of the stack and stays until the process ends. Structures are those
//! of a 64-bit host, so a reading is this stack's and not a board's.

mod tlsf;

use std::alloc::Layout;
use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tlsf::Tlsf;

/// The size of the heap unless a start asks for another, in bytes.
pub const DEFAULT_BYTES: usize = 113_840;
/// The least the stack can start in, in bytes.
pub const MIN_BYTES: usize = 16 * 1024;
/// The most a heap can be made, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Alignment of the region; payloads are aligned to 8 bytes in it.
const ALIGN: usize = 64;

struct Heap {
    blocks: Tlsf,
    base: NonNull<u8>,
    refused: u64,
}

#[expect(unsafe_code, reason = "the region is reached from every thread of the stack")]
// SAFETY: `base` points to a region that is never freed and that is handed out in parts which do not
// overlap; the pointer itself is only used for arithmetic, under the mutex.
unsafe impl Send for Heap {}

static HEAP: Mutex<Option<Heap>> = Mutex::new(None);

fn heap() -> MutexGuard<'static, Option<Heap>> {
    HEAP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A moment's reading of the heap, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readings {
    /// Size of the heap.
    pub total: usize,
    /// Sum of the free blocks.
    pub free: usize,
    /// The least that `free` has been since the start.
    pub min_free: usize,
    /// The longest block that can be allocated now.
    pub largest_block: usize,
    /// Allocations refused since the start.
    pub refused: u64,
}

/// Reads the heap; `None` before the stack's start.
pub fn readings() -> Option<Readings> {
    heap().as_ref().map(|h| Readings {
        total: h.blocks.total(),
        free: h.blocks.free_bytes(),
        min_free: h.blocks.min_free_bytes(),
        largest_block: h.blocks.largest(),
        refused: h.refused,
    })
}

/// Makes the heap, with a length within the limits above: by the start of the stack, or by a device program that runs
/// on another one. False when there is one already, or when the host has no memory for it.
#[expect(unsafe_code, reason = "the region is raw memory for C")]
pub fn create(bytes: usize) -> bool {
    let mut heap = heap();
    if heap.is_some() {
        return false;
    }
    let blocks = Tlsf::new(bytes);
    let Ok(layout) = Layout::from_size_align(blocks.total(), ALIGN) else {
        return false;
    };
    // SAFETY: the layout has a size of at least one granule, as `Tlsf::new` sees to.
    let Some(base) = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }) else {
        return false;
    };
    *heap = Some(Heap { blocks, base, refused: 0 });
    true
}

fn allocate(len: usize) -> Option<NonNull<u8>> {
    let mut guard = heap();
    let heap = guard.as_mut()?;
    let Some(offset) = heap.blocks.alloc(len) else {
        heap.refused += 1;
        return None;
    };
    NonNull::new(heap.base.as_ptr().wrapping_add(offset))
}

/// Frees a payload. One that is not in use means that memory is corrupt, on which a device restarts:
/// the process ends.
fn free(payload: NonNull<u8>) {
    let freed = match heap().as_mut() {
        Some(heap) => {
            let offset = payload.as_ptr().addr().wrapping_sub(heap.base.as_ptr().addr());
            heap.blocks.release(offset).is_ok()
        }
        None => false,
    };
    if !freed {
        eprintln!("device heap: a block was freed that is not in use");
        std::process::abort();
    }
}

/// Memory of the device's heap, held by the device program itself; freed when dropped.
///
/// ```no_run
/// // Within a process whose stack has been started:
/// let mut kept = espstress_lwip::heap::Block::alloc(256).expect("the heap has 256 bytes");
/// kept.copy_from_slice(&[0x55; 256]);
/// ```
#[derive(Debug)]
pub struct Block {
    payload: NonNull<u8>,
    len: usize,
}

// SAFETY: a block is the sole owner of its bytes, like a boxed slice.
#[expect(unsafe_code, reason = "a block owns plain bytes")]
unsafe impl Send for Block {}
// SAFETY: shared access only reads.
#[expect(unsafe_code, reason = "a block owns plain bytes")]
unsafe impl Sync for Block {}

impl Block {
    /// Allocates `len` zeroed bytes; `None` if the heap has no block that long, or there is no heap
    /// yet.
    #[expect(unsafe_code, reason = "fresh memory is cleared before it is shown")]
    pub fn alloc(len: usize) -> Option<Self> {
        let payload = allocate(len)?;
        // SAFETY: `allocate` gave `len` writable bytes that nobody else has.
        unsafe { payload.write_bytes(0, len) };
        Some(Self { payload, len })
    }
}

impl Deref for Block {
    type Target = [u8];

    #[expect(unsafe_code, reason = "a block is a slice of the region")]
    fn deref(&self) -> &[u8] {
        // SAFETY: `payload` has `len` initialised bytes until the block is dropped.
        unsafe { std::slice::from_raw_parts(self.payload.as_ptr(), self.len) }
    }
}

impl DerefMut for Block {
    #[expect(unsafe_code, reason = "a block is a slice of the region")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.payload.as_ptr(), self.len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        free(self.payload);
    }
}

/// lwIP's `malloc`.
#[expect(unsafe_code, reason = "called by name from C")]
#[unsafe(no_mangle)]
extern "C" fn esl_heap_alloc(len: usize) -> *mut c_void {
    allocate(len).map_or(std::ptr::null_mut(), |p| p.as_ptr().cast())
}

/// lwIP's `calloc`.
#[expect(unsafe_code, reason = "called by name from C; clears what it allocated")]
#[unsafe(no_mangle)]
extern "C" fn esl_heap_calloc(count: usize, len: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(len) else {
        return std::ptr::null_mut();
    };
    let Some(payload) = allocate(bytes) else {
        return std::ptr::null_mut();
    };
    // SAFETY: `allocate` gave that many writable bytes.
    unsafe { payload.write_bytes(0, bytes) };
    payload.as_ptr().cast()
}

/// lwIP's `free`.
#[expect(unsafe_code, reason = "called by name from C")]
#[unsafe(no_mangle)]
extern "C" fn esl_heap_free(payload: *mut c_void) {
    if let Some(payload) = NonNull::new(payload.cast()) {
        free(payload);
    }
}
