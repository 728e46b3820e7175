//! What a board has to be told before it can serve: as lines of a console, and as bytes of a flash sector.
//!
//! Secrets go in and never come out: nothing in here prints one, not even as `Debug`.

use core::fmt;

use espstress_device::config::Host;
use espstress_device::mqtt::Settings;
use espstress_device::text::Text;

/// The settings of one board.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// Name of the Wi-Fi network.
    pub ssid: Text<32>,
    /// Its password; empty for an open network.
    pub password: Text<64>,
    /// What control requests have to show; when empty, they are refused.
    pub token: Text<64>,
    /// The host that it dials, if any: `name:port` with the line protocol, `mqtt:name:port` for an MQTT broker.
    pub dial: Text<75>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("ssid", &self.ssid).finish_non_exhaustive()
    }
}

/// What a line of the console asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// Nothing.
    Empty,
    /// A setting has been changed, and is not yet saved.
    Changed,
    /// Save the settings and restart.
    Save,
    /// Forget all settings, and save that.
    Forget,
    /// Say how things are.
    Status,
    /// Restart.
    Reboot,
    /// Be well-behaved again: the way out of a persona that cannot be reached any more.
    Robust,
    /// Not understood.
    Unknown,
    /// The value does not fit its place.
    TooLong,
}

/// What the console says to a line that it does not understand.
pub const HELP: &str = "commands: ssid NAME, password SECRET, token SECRET, dial [mqtt:]HOST:PORT, save, forget, status, robust, reboot";

impl Setup {
    /// Carries out a line of the console.
    pub fn line(&mut self, line: &str) -> Line {
        let line = line.trim_ascii_start().trim_end_matches(['\r', '\n']);
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        let changed = match word {
            "" => return Line::Empty,
            "ssid" => replace(&mut self.ssid, value),
            "password" => replace(&mut self.password, value),
            "token" => replace(&mut self.token, value),
            "dial" => replace(&mut self.dial, value),
            "save" => return Line::Save,
            "forget" => {
                *self = Self::default();
                return Line::Forget;
            }
            "status" => return Line::Status,
            "robust" => return Line::Robust,
            "reboot" => return Line::Reboot,
            _ => return Line::Unknown,
        };
        changed.map_or(Line::TooLong, |()| Line::Changed)
    }

    /// How the MQTT client is set up, where the host to dial is a broker; the seed should be another one on each board.
    #[must_use]
    pub fn mqtt(&self, seed: u64) -> Option<Settings> {
        self.dial.starts_with(MQTT).then(|| Settings { seed, ..Settings::default() })
    }

    /// The host to dial.
    #[must_use]
    pub fn host(&self) -> Option<Host> {
        let dial = self.dial.strip_prefix(MQTT).unwrap_or(&self.dial);
        let (name, port) = dial.rsplit_once(':')?;
        let port = port.parse().ok()?;
        (!name.is_empty()).then_some(Host { name: Text::try_from(name).ok()?, port })
    }
}

/// Marks a host to dial that is an MQTT broker.
const MQTT: &str = "mqtt:";

fn replace<const N: usize>(place: &mut Text<N>, value: &str) -> Option<()> {
    *place = Text::try_from(value).ok()?;
    Some(())
}

/// Bytes that the settings take in flash at most; a multiple of every chip's word.
pub const STORED_LEN: usize = 256;

/// Marks a sector that holds settings, with the version of their layout.
const MAGIC: [u8; 4] = *b"esp\x01";

impl Setup {
    /// The bytes for the flash: magic, four texts with their lengths, checksum.
    #[must_use]
    pub fn encode(&self) -> [u8; STORED_LEN] {
        let mut out = [0xFF; STORED_LEN];
        out[..4].copy_from_slice(&MAGIC);
        let mut at = 4;
        for text in [&*self.ssid, &*self.password, &*self.token, &*self.dial] {
            // The limits of the texts and `STORED_LEN` leave room for all of them.
            out[at] = text.len() as u8;
            out[at + 1..=at + text.len()].copy_from_slice(text.as_bytes());
            at += 1 + text.len();
        }
        let sum = checksum(&out[..at]).to_le_bytes();
        out[at..at + 4].copy_from_slice(&sum);
        out
    }

    /// The settings in these bytes; `None` when there are none, or not whole.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let setup = Self {
            ssid: text(&mut rest)?,
            password: text(&mut rest)?,
            token: text(&mut rest)?,
            dial: text(&mut rest)?,
        };
        let end = bytes.len() - rest.len();
        let stored = rest.first_chunk().copied().map(u32::from_le_bytes)?;
        (stored == checksum(&bytes[..end])).then_some(setup)
    }
}

fn text<const N: usize>(rest: &mut &[u8]) -> Option<Text<N>> {
    let (&len, after) = rest.split_first()?;
    let (text, after) = after.split_at_checked(len.into())?;
    *rest = after;
    Text::try_from(core::str::from_utf8(text).ok()?).ok()
}

/// FNV-1a: against an interrupted write, not against an enemy.
pub fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |sum, &byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;

    fn told() -> Setup {
        let mut setup = Setup::default();
        for line in ["ssid my net ", "password p w\r", "token t0ken", "dial host.local:8123"] {
            assert_eq!(setup.line(line), Line::Changed, "{line}");
        }
        setup
    }

    #[test]
    fn values_keep_their_spaces() {
        assert_eq!((&*told().ssid, &*told().password), ("my net ", "p w"));
    }

    #[test]
    fn settings_come_back_from_flash_as_they_were() {
        assert_eq!(Setup::decode(&told().encode()), Some(told()));
        let mut full = Setup::default();
        let long = "x".repeat(75);
        for (word, len) in [("ssid", 32), ("password", 64), ("token", 64), ("dial", 75)] {
            assert_eq!(full.line(&std::format!("{word} {}", &long[..len])), Line::Changed);
        }
        assert_eq!(Setup::decode(&full.encode()), Some(full));
    }

    #[test]
    fn an_empty_damaged_or_cut_sector_holds_no_settings() {
        assert_eq!(Setup::decode(&[0xFF; STORED_LEN]), None);
        let whole = told().encode();
        let used = 4 + 4 + "my net ".len() + "p w".len() + "t0ken".len() + "host.local:8123".len() + 4;
        for at in 0..used {
            let mut damaged = whole;
            damaged[at] ^= 0x10;
            assert_eq!(Setup::decode(&damaged), None, "byte {at}");
            assert_eq!(Setup::decode(&whole[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_value_that_does_not_fit_changes_nothing() {
        let mut setup = told();
        assert_eq!(setup.line(&std::format!("ssid {}", "x".repeat(33))), Line::TooLong);
        assert_eq!(setup, told());
        assert_eq!(setup.line("sudo"), Line::Unknown);
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut printed = std::string::String::new();
        write!(printed, "{:?}", told()).expect("a string");
        assert!(!printed.contains("p w") && !printed.contains("t0ken"), "{printed}");
    }

    #[test]
    fn the_host_to_dial_has_a_name_and_a_port() {
        let host = told().host().expect("a host");
        assert_eq!((&*host.name, host.port), ("host.local", 8123));
        assert_eq!(told().mqtt(7), None);
        let mut broker = told();
        broker.line("dial mqtt:host.local:1883");
        let host = broker.host().expect("a host");
        assert_eq!((&*host.name, host.port), ("host.local", 1883));
        assert_eq!(broker.mqtt(7), Some(Settings { seed: 7, ..Settings::default() }));
        for nonsense in ["dial ", "dial host", "dial host:", "dial :80", "dial host:65536"] {
            let mut setup = Setup::default();
            setup.line(nonsense);
            assert_eq!(setup.host(), None, "{nonsense}");
        }
    }
}
