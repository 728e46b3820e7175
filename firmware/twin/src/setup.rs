//! What a twin is started with. The host program writes it, the twin's process reads it, and a twin that restarts
//! writes it again for its next start.

use std::net::Ipv4Addr;
use std::time::Duration;

use espstress_device::mqtt::{Qos, Settings};
use espstress_lwip::sdkconfig::{self, Parsed, SdkconfigError};
use espstress_lwip::{Options, heap};
use serde::{Deserialize, Serialize};

/// The environment variable that carries a [`Setup`] as JSON: unlike arguments, it is not shown to other users.
pub const SETUP_VARIABLE: &str = "ESPSTRESS_TWIN_SETUP";

/// The argument that makes the host program a twin.
pub const TWIN_ARGUMENT: &str = "__twin";

/// How long a restart takes before the device answers again, unless said otherwise: about what a chip takes to boot
/// and join a known network with a fixed address, milliseconds.
pub const DEFAULT_BOOT_MS: u64 = 1_000;

/// The setup of one twin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Its address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// The host's address.
    pub gateway: Ipv4Addr,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// The stack under the device program.
    pub stack: StackKind,
    /// lwIP's options.
    pub options: OptionSet,
    /// Size of the heap in bytes.
    pub heap_bytes: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// The link, in its own grammar.
    pub link: String,
    /// The persona, in its own grammar.
    pub persona: String,
    /// Names of the services that are switched on.
    pub services: Vec<String>,
    /// The bearer token of control requests.
    pub token: Option<String>,
    /// Its name in telemetry.
    pub name: String,
    /// Its number in telemetry, and the id line of the line protocol.
    pub number: u8,
    /// The host that it dials, if any.
    pub dial: Option<(String, u16)>,
    /// With it, that host is an MQTT broker.
    #[serde(default)]
    pub mqtt: Option<MqttSetup>,
    /// A foreign program and its arguments, instead of the device program.
    #[serde(default)]
    pub program: Option<Vec<String>>,
    /// A process behind a TAP device, instead of a stack and a program on it.
    #[serde(default)]
    pub tap: Option<TapSetup>,
    /// Whether the device program prints a console as ESP-IDF does.
    #[serde(default)]
    pub prints_console: bool,
    /// Whether it announces itself by multicast DNS; on lwIP that takes about a kilobyte of the heap.
    #[serde(default)]
    pub announce: bool,
    /// How long a restart takes, milliseconds.
    pub boot_ms: u64,
    /// How it comes to start.
    pub boot: BootState,
}

impl Default for Setup {
    /// The robust device with current options on a clean link, at the first address.
    fn default() -> Self {
        Self {
            address: Ipv4Addr::new(192, 168, 4, 91),
            prefix: 24,
            gateway: Ipv4Addr::new(192, 168, 4, 1),
            mac: [0x02, 0x45, 0x53, 0x50, 0x00, 0x5b],
            stack: StackKind::Lwip,
            options: OptionSet::Current,
            heap_bytes: heap::DEFAULT_BYTES,
            seed: 0,
            link: "clean".to_owned(),
            persona: "robust".to_owned(),
            services: espstress_device::Service::ALL.map(|service| service.name().to_owned()).to_vec(),
            token: None,
            name: "twin".to_owned(),
            number: 1,
            dial: None,
            mqtt: None,
            program: None,
            tap: None,
            prints_console: false,
            announce: false,
            boot_ms: DEFAULT_BOOT_MS,
            boot: BootState::default(),
        }
    }
}

/// How the MQTT client is set up. Its jitter comes from the setup's seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MqttSetup {
    /// Keep alive, seconds; 0 for none.
    pub keep_alive_s: u16,
    /// Whether every connection starts a new session.
    pub clean: bool,
    /// Quality of service of what it publishes, 0 or 1.
    pub qos: u8,
    /// Time between messages, milliseconds.
    pub interval_ms: u64,
}

impl MqttSetup {
    /// The client's settings; a quality of service above 1 is taken as 1.
    #[must_use]
    pub const fn settings(&self, seed: u64) -> Settings {
        Settings {
            keep_alive: self.keep_alive_s,
            clean: self.clean,
            qos: if self.qos == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce },
            interval: Duration::from_millis(self.interval_ms),
            seed,
        }
    }
}

impl From<Settings> for MqttSetup {
    fn from(settings: Settings) -> Self {
        Self {
            keep_alive_s: settings.keep_alive,
            clean: settings.clean,
            qos: settings.qos as u8,
            interval_ms: u64::try_from(settings.interval.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A process that holds the far end of a TAP device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapSetup {
    /// The program and its arguments, with `{tap}`, `{address}`, `{gateway}` and `{mac}` to fill in.
    pub command: Vec<String>,
    /// The host's interface.
    pub interface: String,
    /// Its hardware address.
    pub host_mac: [u8; 6],
    /// Whether it has to be at the setup's address; otherwise it is offered that by DHCP and may have another one.
    pub given: bool,
}

/// What outlives a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootState {
    /// Starts since power-on, this one included.
    pub count: u32,
    /// Why it starts, as ESP-IDF names it.
    pub reason: String,
    /// Start of the link on the monotonic clock, nanoseconds; absent on the first start.
    pub link_origin_ns: Option<u64>,
    /// How a foreign program ended before this start, and its last line.
    #[serde(default)]
    pub last_words: Option<String>,
}

impl Default for BootState {
    fn default() -> Self {
        Self { count: 1, reason: "POWERON".to_owned(), link_origin_ns: None, last_words: None }
    }
}

/// A TCP/IP stack that a twin can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StackKind {
    /// lwIP, as ESP-IDF, Arduino and MicroPython have it.
    #[default]
    Lwip,
    /// smoltcp under embassy-net, as this project's own firmware for boards has it.
    Smoltcp,
}

impl StackKind {
    /// Whether this build has it: smoltcp is there with the feature of that name.
    #[must_use]
    pub const fn is_built(self) -> bool {
        match self {
            Self::Lwip => true,
            Self::Smoltcp => cfg!(feature = "smoltcp"),
        }
    }
}

/// A set of lwIP options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptionSet {
    /// The defaults of current ESP-IDF versions.
    #[default]
    Current,
    /// ESP-IDF 5.0.4 as it comes.
    Std,
    /// ESP-IDF 5.0.4 with the settings of the experimental build.
    Expr,
    /// A project's sdkconfig.
    File {
        /// Its name for messages.
        name: String,
        /// Its text; see [`OptionSet::file`].
        text: String,
    },
}

impl OptionSet {
    /// An sdkconfig, less the lines that cannot concern lwIP: a whole one is too long for an environment variable.
    /// Lines keep their numbers.
    #[must_use]
    pub fn file(name: &str, text: &str) -> Self {
        // In what is no sdkconfig at all the first line is kept for the error that names it.
        let settings = text.lines().any(sdkconfig::is_setting);
        let odd = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
        let first_odd = if settings { None } else { text.lines().position(odd) };
        let mut kept = String::new();
        for (number, line) in text.lines().enumerate() {
            if sdkconfig::concerns(line) || first_odd == Some(number) {
                kept.push_str(line);
            }
            kept.push('\n');
        }
        let text = kept;
        Self::File { name: name.to_owned(), text }
    }

    /// The options, and the lines that change nothing here.
    ///
    /// # Errors
    /// The line of the file that cannot be read, and what may stand there.
    pub fn resolve(&self) -> Result<Parsed, SdkconfigError> {
        match self {
            Self::Current => Ok(Parsed::current()),
            Self::Std => Ok(Parsed::std()),
            Self::Expr => Ok(Parsed::expr()),
            Self::File { name, text } => Options::from_sdkconfig(name, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_line_numbers_and_what_concerns_lwip() {
        let text = "# Espressif IoT Development Framework (ESP-IDF) 5.0.4 Project Configuration\nCONFIG_X=y\n\
                    CONFIG_LWIP_MAX_SOCKETS=nonsense\n";
        let set = OptionSet::file("my.sdkconfig", text);
        let error = set.resolve().expect_err("nonsense is no number");
        assert_eq!((error.file.as_str(), error.line), ("my.sdkconfig", 3));
        let OptionSet::File { text, .. } = set else { panic!("a file") };
        assert!(!text.contains("CONFIG_X") && text.contains("5.0.4"));
    }

    #[test]
    fn a_file_that_is_no_sdkconfig_is_refused_with_its_first_line() {
        let error = OptionSet::file("README.md", "\nHello.\nWorld.\n").resolve().expect_err("a text");
        assert_eq!((error.line, error.what.as_str()), (2, "`Hello.` sets nothing"));
        assert!(OptionSet::file("defaults", "CONFIG_X=y\n").resolve().is_ok());
    }

    #[test]
    fn the_clients_settings_survive_their_way_through_a_setup() {
        let settings =
            Settings { keep_alive: 5, clean: true, qos: Qos::AtMostOnce, seed: 7, ..Settings::default() };
        assert_eq!(MqttSetup::from(settings).settings(7), settings);
    }

    #[test]
    fn a_setup_survives_its_way_through_the_environment() {
        let setup = Setup { options: OptionSet::file("f", "CONFIG_LWIP_MAX_SOCKETS=16"), ..Setup::default() };
        let json = serde_json::to_string(&setup).expect("plain data");
        assert_eq!(serde_json::from_str::<Setup>(&json).expect("its own JSON"), setup);
    }
}
