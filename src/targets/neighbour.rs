//! What this system knows of a device on its own network by ARP (RFC 826).

use std::net::{IpAddr, Ipv4Addr};

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Nothing: it is not on a network of this machine's, or nobody asked for it lately, or the system does not tell.
    Unknown,
    /// This machine asked, and nobody answered.
    NoAnswer,
    /// It was there at this hardware address.
    At(String),
}

impl Neighbour {
    /// As the system knows it now. IPv4 on Linux only.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match (address.to_canonical(), std::fs::read_to_string("/proc/net/arp")) {
            (IpAddr::V4(address), Ok(table)) => Self::find(&table, address),
            _ => Self::Unknown,
        }
    }

    /// In a table as `/proc/net/arp` has it (proc_net(5)): a header; then address, type, flags, hardware address, mask,
    /// and interface.
    fn find(table: &str, address: Ipv4Addr) -> Self {
        /// `ATF_COM` of linux/if_arp.h: the hardware address is known.
        const COMPLETE: u32 = 2;
        let mut seen = Self::Unknown;
        for line in table.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let (ip, _, flags, hardware) = (words.next(), words.next(), words.next(), words.next());
            if ip.and_then(|word| word.parse().ok()) != Some(address) {
                continue;
            }
            let flags = flags.and_then(|word| u32::from_str_radix(word.trim_start_matches("0x"), 16).ok());
            match (flags, hardware) {
                (Some(flags), Some(hardware)) if flags & COMPLETE != 0 => {
                    return Self::At(hardware.to_owned());
                }
                (Some(_), _) => seen = Self::NoAnswer,
                (None, _) => {}
            }
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
IP address       HW type     Flags       HW address            Mask     Device
192.168.1.57     0x1         0x2         24:6f:28:aa:bb:cc     *        wlan0
192.168.1.9      0x1         0x0         00:00:00:00:00:00     *        wlan0
192.168.1.8      0x1         0x0         00:00:00:00:00:00     *        wlan0
192.168.1.8      0x1         0x6         24:6f:28:00:00:01     *        eth0
192.168.1.7      0x1
";

    #[test]
    fn an_address_is_found_with_who_has_it() {
        let find = |last| Neighbour::find(TABLE, Ipv4Addr::new(192, 168, 1, last));
        assert_eq!(find(57), Neighbour::At("24:6f:28:aa:bb:cc".to_owned()));
        assert_eq!(find(9), Neighbour::NoAnswer);
        assert_eq!(find(8), Neighbour::At("24:6f:28:00:00:01".to_owned()));
        assert_eq!((find(7), find(5)), (Neighbour::Unknown, Neighbour::Unknown));
    }

    proptest::proptest! {
        #[test]
        fn no_table_is_too_odd(table in ".*") {
            Neighbour::find(&table, Ipv4Addr::LOCALHOST);
        }
    }
}
