//! The fuzz targets without libFuzzer: their corpora, and seeded changes of these. No panic, no growth, no end that does
//! not come.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use espstress_fuzz::{Mutator, TARGETS, Target};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread holds.
struct Counting;

fn count(bytes: isize) {
    // A thread that ends has no place to count any more.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

#[expect(unsafe_code, reason = "an allocator's interface")]
// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are those that the system's allocator needs.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs an input: what it held at most, bytes.
fn held(target: &Target, bytes: &[u8]) -> usize {
    let before = HELD.get();
    MOST.set(before);
    (target.run)(bytes);
    usize::try_from(MOST.get() - before).unwrap_or(0)
}

/// An input that went wrong, so that it can be repeated.
fn shown(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().take(2_048).map(|byte| format!("{byte:02x}")).collect();
    format!("{} bytes: {hex}", bytes.len())
}

fn check(target: &Target, bytes: &[u8], what: &str) {
    let name = target.name;
    match catch_unwind(AssertUnwindSafe(|| held(target, bytes))) {
        Ok(most) => {
            let limit = target.memory.most(bytes.len());
            assert!(most <= limit, "{name}, {what}: held {most} bytes, more than {limit}; {}", shown(bytes));
        }
        Err(panic) => {
            eprintln!("{name}, {what}: {}", shown(bytes));
            std::panic::resume_unwind(panic);
        }
    }
}

/// `ESPSTRESS_FUZZ_ROUNDS` multiplies the rounds, and `ESPSTRESS_FUZZ_SEED` is another seed.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn bounded(name: &str) {
    let target = espstress_fuzz::target(name).expect("a target");
    let corpus = (target.corpus)();
    for (at, bytes) in corpus.iter().enumerate() {
        check(target, bytes, &format!("corpus {at}"));
        check(target, &bytes.repeat(20), &format!("corpus {at}, twenty times"));
    }
    check(target, b"", "nothing");
    let seed = number("ESPSTRESS_FUZZ_SEED").unwrap_or(1);
    let rounds = u64::from(target.rounds) * number("ESPSTRESS_FUZZ_ROUNDS").unwrap_or(1);
    let mut mutator = Mutator::new(seed, target.words);
    for round in 0..rounds {
        let bytes = mutator.next(&corpus);
        check(target, &bytes, &format!("seed {seed}, round {round}"));
    }
}

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            bounded(stringify!($name));
        })*

        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets!(
    wire,
    air,
    capture_file,
    scenario,
    settings,
    http_response,
    answers,
    websocket,
    event_stream,
    mqtt,
    console,
    telemetry,
    log,
    report,
    device,
    device_mqtt,
);

#[cfg(target_os = "linux")]
#[test]
fn sdkconfig() {
    bounded("sdkconfig");
}

#[cfg(target_os = "linux")]
#[test]
fn program_calls() {
    bounded("program_calls");
}

#[test]
fn every_target_is_tested_and_has_its_file_for_libfuzzer() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");
    let manifest = std::fs::read_to_string(format!("{folder}/Cargo.toml")).expect("its manifest");
    for target in TARGETS {
        let name = target.name;
        assert!(TESTED.contains(&name) || ["sdkconfig", "program_calls"].contains(&name), "{name}");
        let file = std::fs::read_to_string(format!("{folder}/fuzz_targets/{name}.rs")).expect(name);
        assert!(file.contains(&format!("\"{name}\"")), "{name}");
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not in fuzz/Cargo.toml");
    }
}
