//! What a device said on its console, as far as it means something: crashes, restarts, its Wi-Fi, its errors.

use serde::{Deserialize, Serialize};

use super::ResetReason;

/// One thing that the device said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConsoleEvent {
    /// When, nanoseconds since the start of the run; in a report seconds. By the host's clock, corrected by the device's own
    /// where a line came late.
    #[serde(rename = "at_s", with = "super::seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub at_ns: u64,
    /// Time since the device's start by its own clock, milliseconds; null where the line has none.
    pub device_ms: Option<u64>,
    /// What it means.
    pub said: Said,
    /// The line itself.
    pub line: String,
    /// Lines before and after it, itself included.
    pub around: Vec<String>,
}

/// What a line means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Said {
    /// The program crashed.
    Crash {
        /// How.
        how: Crash,
        /// The cause in the device's words, as `LoadProhibited`.
        cause: String,
        /// The task; null where the device does not tell.
        task: Option<String>,
        /// Addresses of the calls that led there, the innermost first.
        backtrace: Vec<Frame>,
    },
    /// A watchdog ran out.
    Watchdog {
        /// Which one.
        which: Watchdog,
        /// The task that held the processor; null where the device does not tell.
        task: Option<String>,
        /// Whether it restarts the device.
        restarts: bool,
    },
    /// The supply voltage was too low.
    Brownout,
    /// The device started.
    Restart {
        /// Why, by ESP-IDF's name without the prefix.
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        reason: ResetReason,
    },
    /// It joined an access point.
    WifiUp,
    /// It lost, or left, its access point.
    WifiLost {
        /// The reason's number as ESP-IDF has it; null where the device does not tell.
        reason: Option<u16>,
        /// The reason's name.
        name: String,
    },
    /// Its Wi-Fi driver complained.
    WifiSign {
        /// Of what.
        sign: WifiSign,
    },
    /// A call failed.
    Error {
        /// What it was doing.
        doing: Doing,
        /// The error's name: newlib's, ESP-IDF's or Mbed TLS's.
        name: String,
        /// Whether it means that memory ran out.
        no_memory: bool,
    },
    /// It has an IP address.
    Address {
        /// Which.
        ip: std::net::IpAddr,
    },
}

/// How a program crashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Crash {
    /// The processor raised an exception.
    Exception,
    /// `abort()`.
    Abort,
    /// An assertion failed.
    Assert,
    /// The heap's own structures were overwritten.
    CorruptHeap,
    /// A task used more stack than it has.
    StackOverflow,
    /// A panic of a language's own, as Rust's or Lua's.
    Panic,
    /// A function wrote beyond a buffer on its stack.
    StackSmashed,
    /// The sanitizer found what the language does not define.
    Undefined,
    /// An allocation failed that the program cannot go on without.
    NoMemory,
}

/// A watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Watchdog {
    /// A task did not yield.
    Task,
    /// An interrupt handler, or code with interrupts disabled, did not end.
    Interrupt,
    /// The ESP8266's software watchdog.
    Soft,
    /// A hardware watchdog that resets without a word.
    Hardware,
}

/// A complaint of a Wi-Fi driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WifiSign {
    /// No beacon came for some seconds.
    BeaconTimeout,
    /// Its receive buffers were full (`LmacRxBlk`).
    ReceiveBlocked,
}

/// What a call that failed was to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// Accept a connection.
    Accept,
    /// Make a socket.
    Socket,
    /// Connect.
    Connect,
    /// Send.
    Send,
    /// Receive.
    Receive,
    /// Allocate memory.
    Allocate,
    /// TLS.
    Tls,
    /// Keep a session with an MQTT broker.
    Mqtt,
    /// Something else.
    Other,
}

impl Doing {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Socket => "socket",
            Self::Connect => "connect",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Allocate => "allocate",
            Self::Tls => "tls",
            Self::Mqtt => "mqtt",
            Self::Other => "other",
        }
    }
}

/// One address of a backtrace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Frame {
    /// The address.
    pub address: u32,
    /// Function, file and line; null without an ELF file, and where it does not know.
    pub place: Option<String>,
}

/// What a console came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Where it was listened to.
    pub source: String,
    /// Whole lines.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// Lines by level: `E`, `W`, `I`, `D`, `V`; those without a level are not here.
    pub levels: std::collections::BTreeMap<char, u64>,
    /// Lines by tag, the first 64 of them.
    pub tags: std::collections::BTreeMap<String, u64>,
    /// The last 200 lines.
    pub last_lines: Vec<String>,
    /// What the device said, in the order of time: of each kind the first and the last 32.
    pub events: Vec<ConsoleEvent>,
    /// How often it said each, by kind and name; those without an event here are in it.
    pub counts: std::collections::BTreeMap<String, u64>,
    /// The device's clock against the host's; null where its lines have no time.
    pub clock: Option<DeviceClock>,
    /// What was wrong with the source, one line each, the first 16.
    pub troubles: Vec<String>,
}

/// A device's clock against the host's, since its last start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceClock {
    /// Starts of the device's time that were seen, the one that was under way included.
    pub starts: u32,
    /// The device's zero on the run's clock, milliseconds since the start of the run; negative if it started before.
    pub zero_ms: i64,
    /// How much faster than the host's it runs, parts per million; null with less than ten seconds of lines.
    pub drift_ppm: Option<i32>,
}

impl ConsoleEvent {
    /// When, seconds since the start of the run.
    #[must_use]
    pub fn at_s(&self) -> f64 {
        self.at_ns as f64 / 1e9
    }
}

impl Said {
    /// What it is counted as.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Crash { .. } => "crash".to_owned(),
            Self::Watchdog { .. } => "watchdog".to_owned(),
            Self::Brownout => "brownout".to_owned(),
            Self::Restart { .. } => "restart".to_owned(),
            Self::WifiUp => "wifi_up".to_owned(),
            Self::WifiLost { name, .. } => format!("wifi_lost {name}"),
            Self::WifiSign { sign: WifiSign::BeaconTimeout } => "beacon_timeout".to_owned(),
            Self::WifiSign { sign: WifiSign::ReceiveBlocked } => "receive_blocked".to_owned(),
            Self::Error { doing, name, .. } => format!("{} {name}", doing.name()),
            Self::Address { .. } => "address".to_owned(),
        }
    }

    /// Whether the device starts anew with it, or right after it.
    #[must_use]
    pub const fn ends_the_program(&self) -> bool {
        matches!(
            self,
            Self::Crash { .. }
                | Self::Brownout
                | Self::Restart { .. }
                | Self::Watchdog { restarts: true, .. }
        )
    }
}
