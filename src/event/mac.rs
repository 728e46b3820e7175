//! Hardware addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::espressif::ESPRESSIF;

/// A hardware address of six bytes (IEEE 802, 8.2), written as `24:6f:28:aa:bb:cc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether it addresses several stations.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether its first three bytes are one of Espressif's in the IEEE's registry. Addresses that the firmware changes
    /// for its access point (`locally administered`) keep them with one bit set.
    #[must_use]
    pub fn is_espressif(self) -> bool {
        let [first, second, third, ..] = self.0;
        ESPRESSIF.binary_search(&u32::from_be_bytes([0, first & !2, second, third])).is_ok()
    }
}

/// Text that is no hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMacAddress;

impl fmt::Display for NoMacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write a hardware address as six pairs of hex digits, as 24:6f:28:aa:bb:cc")
    }
}

impl std::error::Error for NoMacAddress {}

impl FromStr for MacAddress {
    type Err = NoMacAddress;

    fn from_str(text: &str) -> Result<Self, NoMacAddress> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part =
                parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or(NoMacAddress)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NoMacAddress)?;
        }
        if parts.next().is_some() { Err(NoMacAddress) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for MacAddress {
    type Error = NoMacAddress;

    fn try_from(text: String) -> Result<Self, NoMacAddress> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(address: MacAddress) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let address: MacAddress = "24:6F:28:aa:bb:cc".parse().unwrap();
        assert_eq!(address.to_string(), "24:6f:28:aa:bb:cc");
        assert_eq!("24-6f-28-aa-bb-cc".parse(), Ok(address));
        for bad in ["", "24:6f:28:aa:bb", "24:6f:28:aa:bb:cc:dd", "24:6f:28:aa:bb:+c", "246f28aabbcc"] {
            assert!(bad.parse::<MacAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn boards_of_espressif_are_known_by_their_prefix() {
        let known = |text: &str| text.parse::<MacAddress>().unwrap().is_espressif();
        assert!(known("24:6f:28:00:00:01") && known("26:6f:28:00:00:01"));
        assert!(!known("00:00:5e:00:00:01"));
    }
}
