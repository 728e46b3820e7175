//! Fuzz targets: every reader of bytes from outside, as a function of the bytes.
//!
//! `fuzz/` hands them to libFuzzer (`cargo +nightly fuzz run NAME`). The tests of this crate replay the corpora and some
//! thousand seeded changes of each, which needs no nightly compiler. CONTRIBUTING.md says how to use both.
//!
//! A target fails by a panic. Loops that the bytes drive are bounded by a count of steps, never by a clock. Memory is
//! bounded by [`Target::memory`], which the tests measure.

mod corpus;
mod device;
mod files;
mod input;
mod mutate;
mod packets;
mod streams;
mod texts;

pub use mutate::Mutator;

/// What a target may hold at once, beside its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes, whatever the input.
    pub base: usize,
    /// Bytes for each byte of the input.
    pub per_byte: usize,
}

impl Memory {
    /// Of an input so long.
    #[must_use]
    pub const fn most(self, input: usize) -> usize {
        self.base + self.per_byte * input
    }
}

/// A reader under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of the libFuzzer target.
    pub name: &'static str,
    /// Reads the bytes; panics where something is wrong.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub corpus: fn() -> Vec<Vec<u8>>,
    /// Words that its inputs are made of.
    pub words: &'static [&'static str],
    /// What it may hold.
    pub memory: Memory,
    /// Changed inputs that the bounded run tries.
    pub rounds: u32,
}

/// What is read piece by piece, or into structures of a fixed size.
const fn memory(base: usize, per_byte: usize) -> Memory {
    Memory { base, per_byte }
}

const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "wire",
        run: packets::wire,
        corpus: corpus::wire,
        words: &[],
        memory: memory(16 * MIB, 64),
        rounds: 10_000,
    },
    Target {
        name: "air",
        run: packets::air,
        corpus: corpus::air,
        words: &[],
        memory: memory(MIB, 128),
        rounds: 10_000,
    },
    Target {
        name: "capture_file",
        run: packets::capture_file,
        corpus: corpus::capture_files,
        words: &["\u{a}\r\r\n", "\u{1}\0\0\0", "\u{6}\0\0\0"],
        memory: memory(20 * MIB, 256),
        rounds: 4_000,
    },
    Target {
        name: "scenario",
        run: texts::scenario,
        corpus: corpus::scenarios,
        words: texts::SCENARIO_WORDS,
        memory: memory(MIB, 400),
        rounds: 2_000,
    },
    #[cfg(target_os = "linux")]
    Target {
        name: "sdkconfig",
        run: texts::sdkconfig,
        corpus: corpus::sdkconfigs,
        words: &[
            "CONFIG_LWIP_",
            "=y\n",
            " is not set\n",
            "=4294967296",
            "CONFIG_LWIP_TCP_MSS=",
            "\"",
            "=-1\n",
        ],
        memory: memory(MIB, 200),
        rounds: 4_000,
    },
    Target {
        name: "settings",
        run: texts::settings,
        corpus: corpus::settings,
        words: texts::SETTINGS_WORDS,
        memory: memory(MIB, 200),
        rounds: 10_000,
    },
    Target {
        name: "http_response",
        run: streams::http_response,
        corpus: corpus::http_responses,
        words: streams::HTTP_WORDS,
        memory: memory(64 * KIB, 16),
        rounds: 10_000,
    },
    Target {
        name: "answers",
        run: streams::answers,
        corpus: corpus::answers,
        words: &["ESF1", "{\"seq\":", "\n", "HelloWorld@"],
        memory: memory(256 * KIB, 16),
        rounds: 5_000,
    },
    Target {
        name: "websocket",
        run: streams::websocket,
        corpus: corpus::websockets,
        words: &["\u{7f}", "\u{7e}"],
        memory: memory(5 * MIB, 32),
        rounds: 5_000,
    },
    Target {
        name: "event_stream",
        run: streams::event_stream,
        corpus: corpus::event_streams,
        words: &["data:", "id:", "retry:", "event:", "\r\n\r\n", "\u{feff}", ":"],
        memory: memory(64 * KIB, 64),
        rounds: 10_000,
    },
    Target {
        name: "mqtt",
        run: streams::mqtt,
        corpus: corpus::mqtt,
        words: &["MQTT", "\u{4}", "\u{5}"],
        memory: memory(512 * KIB, 32),
        rounds: 10_000,
    },
    Target {
        name: "console",
        run: streams::console,
        corpus: corpus::consoles,
        words: streams::CONSOLE_WORDS,
        memory: memory(MIB, 64),
        rounds: 3_000,
    },
    Target {
        name: "telemetry",
        run: streams::telemetry,
        corpus: corpus::telemetry,
        words: &["{", "}", "null", "-1", "18446744073709551616", "1e999", "\"services\":{"],
        memory: memory(64 * KIB, 400),
        rounds: 10_000,
    },
    Target {
        name: "log",
        run: files::log,
        corpus: corpus::logs,
        words: files::LOG_WORDS,
        memory: memory(4 * MIB, 2_000),
        rounds: 300,
    },
    Target {
        name: "report",
        run: files::report,
        corpus: corpus::reports,
        words: files::REPORT_WORDS,
        memory: memory(8 * MIB, 4_000),
        rounds: 200,
    },
    Target {
        name: "device",
        run: device::services,
        corpus: corpus::device_services,
        words: device::WORDS,
        memory: memory(2 * MIB, 64),
        rounds: 3_000,
    },
    Target {
        name: "device_mqtt",
        run: device::mqtt_client,
        corpus: corpus::device_mqtt,
        words: &["espstress/espstress-1/cmd", "{\"outage_ms\":", "MQTT"],
        memory: memory(MIB, 64),
        rounds: 600,
    },
    #[cfg(target_os = "linux")]
    Target {
        name: "program_calls",
        run: espstress_program::fuzzing::call,
        corpus: corpus::program_calls,
        words: &[],
        memory: memory(70 * MIB, 64),
        rounds: 2_000,
    },
];

/// The target of that name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs a target of libFuzzer's.
///
/// # Panics
/// Where the target does, and where there is none of that name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = target(name).unwrap_or_else(|| panic!("no fuzz target {name}"));
    (target.run)(bytes);
}
