//! How a target is to be brought up.

use std::net::Ipv4Addr;

use espstress_device::mqtt::Settings;

use super::address::{DeviceAddress, PublicAddresses};
#[cfg(target_os = "linux")]
use super::network::PrivateNetwork;
use super::spec::Spec;

/// A host that the device program dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialOut {
    /// Its address; this machine's, as the device sees it, where none is given.
    pub host: Option<Ipv4Addr>,
    /// Its TCP port.
    pub port: u16,
    /// With it, that host is an MQTT broker; without, it speaks the line protocol. The seed in it is not used: the
    /// device's own is.
    pub mqtt: Option<Settings>,
}

impl DialOut {
    /// This machine's port, where the line protocol is spoken.
    #[must_use]
    pub const fn host(port: u16) -> Self {
        Self { host: None, port, mqtt: None }
    }

    /// This machine's port, where a broker listens; the client is set up as usual.
    #[must_use]
    pub fn broker(port: u16) -> Self {
        Self { mqtt: Some(Settings::default()), ..Self::host(port) }
    }
}

impl std::str::FromStr for DialOut {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "give PORT or ADDRESS:PORT, as 8123 or 192.168.4.1:8123; for MQTT, mqtt:1883 or mqtt:192.168.4.1:1883";
        let (mqtt, text) = match text.strip_prefix("mqtt:") {
            Some(text) => (Some(Settings::default()), text),
            None => (None, text),
        };
        let (host, port) = text.rsplit_once(':').map_or((None, text), |(host, port)| (Some(host), port));
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(FORM)?;
        Ok(Self { host: host.map(str::parse).transpose().map_err(|_| FORM)?, port, mqtt })
    }
}

/// The private network that the twins of one process share.
#[derive(Debug, Default)]
pub struct Nest {
    #[cfg(target_os = "linux")]
    pub(super) network: Option<PrivateNetwork>,
    /// The next twin's index.
    #[cfg(target_os = "linux")]
    pub(super) next: u8,
}

/// How to bring a target up.
#[derive(Clone, Debug)]
pub struct DeviceSetup {
    /// The target.
    pub spec: Spec,
    /// The device program's habit, where it is ours to start.
    pub persona: Option<String>,
    /// The twin's link.
    pub link: Option<String>,
    /// The twin's heap, bytes.
    pub heap: Option<u64>,
    /// The twin's stack; lwIP unless said otherwise.
    pub stack: Option<String>,
    /// A program of the user's own instead of the device program, with its arguments.
    pub program: Option<Vec<String>>,
    /// Where a process behind a TAP device is.
    pub at: DeviceAddress,
    /// Whether the device program announces itself by multicast DNS; on lwIP that takes about a kilobyte of its heap.
    pub announce: bool,
    /// Whether what that program or process writes is shown on standard error.
    pub show_program: bool,
    /// Whether the device program of a twin prints a console as ESP-IDF does.
    pub prints_console: bool,
    /// The host that the device program dials, if any.
    pub dial: Option<DialOut>,
    /// Of everything random in the twin.
    pub seed: u64,
    /// Whether a public address may be used.
    pub public: PublicAddresses,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_to_dial_is_a_port_with_or_without_an_address() {
        let line = |host, port| DialOut { host, port, mqtt: None };
        assert_eq!("8123".parse(), Ok(line(None, 8_123)));
        let host = Some(Ipv4Addr::new(192, 168, 4, 1));
        assert_eq!("192.168.4.1:81".parse(), Ok(line(host, 81)));
        let mqtt = Some(Settings::default());
        assert_eq!("mqtt:1883".parse(), Ok(DialOut { mqtt, ..line(None, 1_883) }));
        assert_eq!("mqtt:192.168.4.1:81".parse(), Ok(DialOut { mqtt, ..line(host, 81) }));
        for bad in ["", "0", "host:80", "192.168.4.1", "192.168.4.1:", ":80", "mqtt:", "mqtt:host:80"] {
            assert!(bad.parse::<DialOut>().is_err(), "{bad}");
        }
    }
}
