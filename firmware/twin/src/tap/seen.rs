//! The address that a frame of the device shows, and the question for it.

use std::net::Ipv4Addr;

const ETHERNET_HEADER: usize = 14;
const IPV4: [u8; 2] = [0x08, 0x00];
const ARP: [u8; 2] = [0x08, 0x06];
const BROADCAST: [u8; 6] = [0xff; 6];

/// Ethernet and IPv4, with addresses of 6 and 4 bytes (RFC 826).
const ARP_KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];

/// The address that the sender of this frame has: by ARP, or by its first packet. A probe for an address (RFC 5227) and a
/// question for DHCP come from 0.0.0.0.
pub(crate) fn address(frame: &[u8]) -> Option<Ipv4Addr> {
    let (header, packet) = frame.split_at_checked(ETHERNET_HEADER)?;
    let at = match header.get(12..14)? {
        kind if *kind == ARP && packet.starts_with(&ARP_KIND) => 14,
        kind if *kind == IPV4 && packet.first()? >> 4 == 4 => 12,
        _ => return None,
    };
    let address = Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?);
    let of_one = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
    (of_one && !address.is_loopback() && !address.is_link_local()).then_some(address)
}

/// The host's question for an address, by ARP.
pub(crate) fn question(mac: [u8; 6], host: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let parts: [&[u8]; 9] =
        [&BROADCAST, &mac, &ARP, &ARP_KIND, &REQUEST, &mac, &host.octets(), &[0; 6], &wanted.octets()];
    let mut frame = parts.concat();
    // The shortest frame there is, without checksum (IEEE 802.3).
    frame.resize(60, 0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);
    const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 91);

    #[test]
    fn a_question_shows_who_asks() {
        let frame = question([2, 0, 0, 0, 0, 1], HOST, DEVICE);
        assert_eq!((address(&frame), frame.len()), (Some(HOST), 60));
        assert_eq!(address(&question([2; 6], Ipv4Addr::UNSPECIFIED, DEVICE)), None, "a probe");
    }

    #[test]
    fn a_packet_shows_its_source_and_what_is_cut_short_shows_nothing() {
        let mut frame = vec![0; 54];
        frame[12..14].copy_from_slice(&IPV4);
        frame[14] = 0x45;
        frame[26..30].copy_from_slice(&DEVICE.octets());
        assert_eq!(address(&frame), Some(DEVICE));
        for len in 0..30 {
            assert_eq!(address(&frame[..len]), None, "{len} bytes");
        }
        frame[26..30].copy_from_slice(&[0; 4]);
        assert_eq!(address(&frame), None, "DHCP");
        frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        assert_eq!(address(&frame), None, "IPv6");
    }
}
