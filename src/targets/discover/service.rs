//! Names of services (RFC 6763 section 7).

use std::fmt;
use std::str::FromStr;

/// A service that a device can announce, such as `_http._tcp`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ServiceName(String);

/// Text that is no service's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a service is a name such as `http`, `_http._tcp` or `_sleep-proxy._udp`")]
pub struct UnknownService;

impl ServiceName {
    /// What small devices announce: ours; web servers; ESPHome; Arduino's updates over the air; MQTT brokers; WLED; Shelly;     /// HomeKit; Matter; Home Assistant's discovery of Tasmota; and WebSockets.
    const USUAL: [&str; 10] = [
        "_espstress._tcp",
        "_http._tcp",
        "_esphomelib._tcp",
        "_arduino._tcp",
        "_mqtt._tcp",
        "_wled._tcp",
        "_shelly._tcp",
        "_hap._tcp",
        "_matter._tcp",
        "_ws._tcp",
    ];

    /// The services to look for where none is named.
    #[must_use]
    pub fn usual() -> Vec<Self> {
        Self::USUAL.iter().map(|&name| Self(name.to_owned())).collect()
    }

    /// As multicast DNS has it.
    pub(super) fn full(&self) -> String {
        format!("{self}.local.")
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = UnknownService;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_end_matches('.');
        let text = text.strip_suffix(".local").unwrap_or(text).to_ascii_lowercase();
        let (name, protocol) = match text.split_once('.') {
            None => (text.as_str(), "_tcp"),
            Some((name, protocol @ ("_tcp" | "_udp"))) if name.starts_with('_') => (name, protocol),
            Some(_) => return Err(UnknownService),
        };
        let name = name.strip_prefix('_').unwrap_or(name);
        // RFC 6335 section 5.1.
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=15).contains(&name.len()) && name.chars().all(allowed);
        if fits { Ok(Self(format!("_{name}.{protocol}"))) } else { Err(UnknownService) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_or_without_its_protocol_and_domain() {
        for text in ["http", "_http", "_http._tcp", "_HTTP._tcp.local", "_http._tcp.local."] {
            assert_eq!(text.parse::<ServiceName>().unwrap().full(), "_http._tcp.local.", "{text}");
        }
        assert_eq!("_sleep-proxy._udp".parse::<ServiceName>().unwrap().to_string(), "_sleep-proxy._udp");
    }

    #[test]
    fn what_is_no_service_is_refused() {
        for text in [
            "",
            "_",
            "a b",
            "http.tcp",
            "_http._sctp",
            "http._tcp._tcp",
            "_sixteen-letters-.local",
            "\u{1b}[2J",
        ] {
            assert_eq!(text.parse::<ServiceName>(), Err(UnknownService), "{text}");
        }
    }

    #[test]
    fn the_usual_ones_are_names_too() {
        for one in ServiceName::usual() {
            assert_eq!(one.to_string().parse::<ServiceName>().as_ref(), Ok(&one));
        }
    }
}
