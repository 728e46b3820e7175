//! The heap: where it is, how much of it was ever free, and the largest block.

use alloc::vec::Vec;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use esp_alloc::export::enumset::EnumSet;
use esp_alloc::{EspHeap, HEAP, MemoryCapability};
use espstress_device::telemetry::Heap;

/// The least that was ever free, in bytes.
static MIN_FREE: AtomicU32 = AtomicU32::new(u32::MAX);

/// Set while the largest block is being looked for, which takes nearly everything for a moment.
static LOOKING: AtomicBool = AtomicBool::new(false);

/// Gives the allocator its memory: what the boot loader leaves behind, and a part of the rest.
pub(crate) fn init() {
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 60 * 1024);
    esp_alloc::heap_allocator!(size: 52 * 1024);
}

/// Free now, and the least that was ever free, in bytes: without looking for the largest block, so cheap.
pub(crate) fn free() -> (u32, u32) {
    let free = HEAP.free() as u32;
    (free, MIN_FREE.load(Ordering::Relaxed).min(free))
}

/// Readings of this moment.
pub(crate) fn reading() -> Heap {
    let used = HEAP.used();
    let (free, least) = self::free();
    Heap { free, min_free: Some(least), largest: Some(largest() as u32), total: free + used as u32 }
}

/// The largest block that could be had now, to 64 bytes: found by asking for it, with everything else held off.
fn largest() -> usize {
    critical_section::with(|_| {
        LOOKING.store(true, Ordering::Relaxed);
        let (mut had, mut refused) = (0, HEAP.free() + 1);
        while refused - had > 64 {
            let size = had.midpoint(refused);
            let mut block = Vec::<u8>::new();
            if block.try_reserve_exact(size).is_ok() {
                black_box(&mut block);
                had = size;
            } else {
                refused = size;
            }
        }
        LOOKING.store(false, Ordering::Relaxed);
        had
    })
}

/// esp-alloc calls this after each allocation.
#[unsafe(no_mangle)]
#[expect(
    unsafe_code,
    reason = "the name is how esp-alloc finds its hook; it has the signature that is declared there"
)]
extern "Rust" fn _esp_alloc_alloc(heap: &EspHeap, _: EnumSet<MemoryCapability>, _: usize, _: usize) {
    if !LOOKING.load(Ordering::Relaxed) {
        let free = heap.free() as u32;
        // Two allocations at once may lose one of two figures that are close to each other.
        if free < MIN_FREE.load(Ordering::Relaxed) {
            MIN_FREE.store(free, Ordering::Relaxed);
        }
    }
}

/// esp-alloc calls this before each deallocation.
#[unsafe(no_mangle)]
#[expect(
    unsafe_code,
    reason = "the name is how esp-alloc finds its hook; it has the signature that is declared there"
)]
extern "Rust" fn _esp_alloc_dealloc(_: &EspHeap, _: usize, _: usize) {}
