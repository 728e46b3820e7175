//! Heap: what programs print of it, as a list of names and numbers and nothing else.
//!
//! It must be the system's heap: a pool, a queue or PSRAM has free room of its own, and a garbage collector's heap is told
//! apart.

use super::{LogLine, Meaning, Sample};

/// More is no heap of a small device: bytes.
const MOST: u64 = 64 << 20;

/// What is free in a heap of a small device, at least, where the name doesn't say what is free: bytes.
const LEAST: u64 = 1_024;

pub(super) fn read(line: &LogLine<'_>) -> Option<Meaning> {
    let text = line.message.strip_prefix("[APP] ").unwrap_or(line.message);
    Tuples::read(text).map(Tuples::sample).or_else(|| named(line.tag, text)).map(Meaning::Sample)
}

/// `Free Heap: 123456 bytes, Min Free: 100000 bytes`, `heap=1234 min=1000`, `free: 123456`, `GC: total: 1, used: 2, free: 3`:
/// every part is a known name and a number.
fn named(tag: Option<&str>, text: &str) -> Option<Sample> {
    let collected = text.strip_prefix("GC: ");
    let (text, mut collected) = (collected.unwrap_or(text), collected.is_some());
    if text.len() > 160 || !text.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut sample = Sample::default();
    let mut clear = false;
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.find(|c: char| c.is_ascii_digit())?;
        let (name, after) = rest.split_at(at);
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(end);
        let name = name.trim().to_ascii_lowercase();
        let name = name.strip_suffix([':', '=']).unwrap_or(&name).trim_end();
        let value: u64 = number.parse().ok().filter(|n| *n <= MOST)?;
        match name {
            "free heap" | "heap free" | "heap_free" | "freeheap" | "free heap size" | "free memory"
            | "memory free" | "free mem" => {
                (sample.heap_free, clear) = (Some(value), true);
            }
            "mem_free" | "gc.mem_free()" => {
                (sample.heap_free, clear, collected) = (Some(value), true, true);
            }
            // Other things have room, and some are called so.
            "heap" | "free" => sample.heap_free = Some(value),
            "min free"
            | "min"
            | "minimum free"
            | "min free heap"
            | "minimum free heap"
            | "minimum free heap size"
            | "min_free"
            | "heap_min"
            | "heap_least"
            | "least"
            | "min heap" => sample.heap_least = Some(value),
            "largest" | "largest block" | "largest free block" | "max block" | "heap_largest" | "block" => {
                sample.heap_block = Some(value);
            }
            "total" | "used" | "stack" => {}
            _ => return None,
        }
        let after = after.trim_start();
        let after = ["bytes", "byte", "B"]
            .iter()
            .find_map(|unit| after.strip_prefix(unit).filter(|rest| !rest.starts_with(char::is_alphanumeric)))
            .unwrap_or(after);
        rest = after.trim_start_matches([' ', ',', ';', '|', '.']);
    }
    let free = sample.heap_free?;
    let sane = sample.heap_least.is_none_or(|least| least <= free)
        && sample.heap_block.is_none_or(|block| block <= free);
    let of_system = clear || collected || (free >= LEAST && tag.is_none_or(may_tell_of_the_heap));
    sample.collected = collected;
    (sane && of_system).then_some(sample)
}

/// Whether a program that logs by this tag and says no more than `free` or `heap` means the system's heap.
fn may_tell_of_the_heap(tag: &str) -> bool {
    const TAGS: [&str; 17] = [
        "heap",
        "mem",
        "memory",
        "ram",
        "sys",
        "system",
        "main",
        "app",
        "stats",
        "stat",
        "status",
        "monitor",
        "health",
        "info",
        "debug",
        "diag",
        "diagnostics",
    ];
    let tag = tag.to_ascii_lowercase();
    tag.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| TAGS.contains(&word))
}

/// MicroPython's `esp32.idf_heap_info()`: a list of `(total, free, largest free block, least ever free)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tuples {
    free: u64,
    block: u64,
    least: u64,
}

impl Tuples {
    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix("DATA:").unwrap_or(text).trim();
        let mut rest = text.strip_prefix('[')?.strip_suffix(']')?;
        let mut sum = Self { free: 0, block: 0, least: 0 };
        while !rest.is_empty() {
            let (one, after) = rest.strip_prefix('(')?.split_once(')')?;
            let mut numbers = one.split(',').map(|n| n.trim().parse::<u64>().ok().filter(|n| *n <= MOST));
            let mut next = || numbers.next().flatten();
            let (total, free, block, least) = (next()?, next()?, next()?, next()?);
            if numbers.next().is_some() || free > total || block > free || least > free {
                return None;
            }
            sum = Self { free: sum.free + free, block: sum.block.max(block), least: sum.least + least };
            rest = after.trim_start_matches([',', ' ']);
            if sum.free > MOST {
                return None;
            }
        }
        (sum.free > 0).then_some(sum)
    }

    fn sample(self) -> Sample {
        Sample {
            heap_free: Some(self.free),
            heap_least: Some(self.least),
            heap_block: Some(self.block),
            ..Sample::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heap_lines_of_every_kind_are_measurements() {
        let cases = [
            ("Free Heap: 123456 bytes, Min Free: 100000 bytes", 123_456, Some(100_000), None),
            ("I (98) app: Free Heap: 123456 bytes, Min Free: 100000 bytes", 123_456, Some(100_000), None),
            ("I (98) MQTT_EXAMPLE: [APP] Free memory: 223344 bytes", 223_344, None, None),
            ("heap=51200 min=40960 largest=20000", 51_200, Some(40_960), Some(20_000)),
            ("free: 123456", 123_456, None, None),
            ("I (98) app_main: heap=51200", 51_200, None, None),
            ("free heap: 640", 640, None, None),
            (
                "DATA:[(15072, 11984, 11776, 11984), (113840, 100, 50, 20)]",
                12_084,
                Some(12_004),
                Some(11_776),
            ),
            ("[(15072, 11984, 11776, 11984)]", 11_984, Some(11_984), Some(11_776)),
        ];
        for (text, free, least, block) in cases {
            let want =
                Sample { heap_free: Some(free), heap_least: least, heap_block: block, ..Sample::default() };
            assert_eq!(read(&LogLine::read(text)), Some(Meaning::Sample(want)), "{text}");
        }
    }

    #[test]
    fn a_garbage_collectors_heap_is_told_apart() {
        for (text, free) in [("mem_free: 64", 64), ("GC: total: 111168, used: 4736, free: 106432", 106_432)] {
            let want = Sample { heap_free: Some(free), collected: true, ..Sample::default() };
            assert_eq!(read(&LogLine::read(text)), Some(Meaning::Sample(want)), "{text}");
        }
    }

    #[test]
    fn other_lists_of_names_and_numbers_are_none() {
        for text in [
            "free: 12",
            "I (21900) queue: heap=7",
            "I (21900) queue: heap=7000",
            "I (21900) app: heap=7",
            "heap=512 min=409",
            "I (21300) pool: free: 3000",
            "I (22200) psram: free: 4000000",
            "I (21600) nvs: Count: UsedEntries = (100), free: 26000",
            "SPIFFS total: 1000000, used: 950000, free: 50000",
            "heap of 3",
            "min=5",
            "[(1, 2, 3, 4)]",
            "[(5, 4)]",
            "[]",
            "free: 99999999999",
            "free heap 12 of 30",
            "heap=5000 apples=3",
        ] {
            assert_eq!(read(&LogLine::read(text)), None, "{text}");
        }
    }
}
