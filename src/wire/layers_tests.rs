use super::*;
use crate::{Link, Segment, decode};
use proptest::prelude::*;

/// An IPv4 packet with a TCP header, 10.0.0.1 port 4,660 to 10.0.0.2 port 80, without payload.
fn tcp() -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 40, 0, 7, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    p.extend([0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0x16, 0x70, 0, 0, 0, 0]);
    p
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet that carries something else.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 0, 0, 9, 0, 0, 64, protocol, 0, 0, 172, 16, 0, 1, 172, 16, 0, 2];
    p[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    p.extend_from_slice(payload);
    p
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x60, 0, 0, 0, 0, payload.len() as u8, next, 64];
    p.extend([0xfd; 32]);
    p.extend_from_slice(payload);
    p
}

fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len() as u16).to_be_bytes();
    let header = [0xc0, 0, port.to_be_bytes()[0], port.to_be_bytes()[1], length[0], length[1], 0, 0];
    ipv4(17, &[&header, payload].concat())
}

/// An 802.11 header of a frame of that kind, and SNAP for IPv4 behind it.
fn wifi(control: u8, flags: u8, length: usize) -> Vec<u8> {
    let mut header = vec![0; length];
    header[..2].copy_from_slice(&[control, flags]);
    header.extend([0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
    header
}

fn read(link: Link, frame: &[u8]) -> Result<Segment, NotSegment> {
    decode(link, frame, frame.len())
}

/// What comes out of `frame` is the segment of [`tcp`], and every way to cut the frame is survived.
fn holds_tcp(what: &str, link: Link, frame: &[u8]) {
    let segment = read(link, frame).unwrap_or_else(|e| panic!("{what}: {e:?}"));
    let segment = Segment { heard_again: false, ..segment };
    let expected = decode(Link::Raw, &tcp(), 40).unwrap();
    assert_eq!(segment, expected, "{what}");
    for n in 0..frame.len() {
        assert!(decode(link, &frame[..n], frame.len()).is_err(), "{what} cut to {n} bytes");
    }
}

fn with(head: &[u8], rest: &[u8]) -> Vec<u8> {
    [head, rest].concat()
}

#[test]
fn what_lies_between_ethernet_and_ip_is_stepped_over() {
    let ip = tcp();
    let pppoe = with(&[0x11, 0, 0, 1, 0, 42, 0, 0x21], &ip);
    let snap = with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip);
    for (what, kind, payload) in [
        ("plain", 0x0800, ip.clone()),
        ("two tags", 0x88a8, with(&[0, 1, 0x81, 0, 0, 2, 8, 0], &ip)),
        ("PPPoE", 0x8864, pppoe.clone()),
        ("PPPoE in a VLAN", 0x8100, with(&[0, 7, 0x88, 0x64], &pppoe)),
        ("PPPoE, protocol compressed", 0x8864, with(&[0x11, 0, 0, 1, 0, 41, 0x21], &ip)),
        ("one label", 0x8847, with(&[0, 1, 1, 64], &ip)),
        ("three labels", 0x8847, with(&[0, 1, 0, 64, 0, 2, 0, 64, 0, 3, 1, 64], &ip)),
        ("Ethernet over MPLS", 0x8847, with(&[0, 1, 1, 64, 0, 0, 0, 0], &ethernet(0x0800, &ip))),
        ("LLC and SNAP", 48, snap.clone()),
        ("LLC, SNAP of 802.1H", 48, with(&[0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0], &ip)),
        ("LLC for IP", 43, with(&[6, 6, 3], &ip)),
        ("802.1ah", 0x88e7, with(&[0, 0, 0, 1], &ethernet(0x0800, &ip))),
        ("MACsec, integrity only", 0x88e5, with(&[0, 0, 0, 0, 0, 1, 8, 0], &ip)),
    ] {
        holds_tcp(what, Link::Ethernet, &ethernet(kind, &payload));
    }
}

#[test]
fn every_link_is_read() {
    let ip = tcp();
    let mut nflog = vec![2, 0, 0, 0];
    nflog.extend([8, 0, 1, 0, 8, 0, 1, 0, 9, 0, 10, 0, b'e', b't', b'h', b'0', 0, 0, 0, 0, 44, 0, 9, 0]);
    nflog.extend(&ip);
    let big = with(&[2, 0, 0, 0, 0, 8, 0, 1, 8, 0, 1, 0, 0, 44, 0, 9], &ip);
    for (what, link, frame) in [
        ("PPP", Link::Ppp, with(&[0, 0x21], &ip)),
        ("PPP as HDLC", Link::Ppp, with(&[0xff, 3, 0, 0x21], &ip)),
        ("PPP, compressed", Link::Ppp, with(&[0x21], &ip)),
        ("Cisco HDLC where PPP is said", Link::Ppp, with(&[0x0f, 0, 8, 0], &ip)),
        ("PPP with direction", Link::PppWithDirection, with(&[1, 0xff, 3, 0, 0x21], &ip)),
        ("PPPoE", Link::PppEther, with(&[0x11, 0, 0, 1, 0, 42, 0, 0x21], &ip)),
        ("Cisco HDLC", Link::CiscoHdlc, with(&[0x8f, 0, 8, 0], &ip)),
        ("SLIP", Link::Slip, with(&[1, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &ip)),
        ("SLIP without libpcap's header", Link::Slip, ip.clone()),
        ("NFLOG", Link::Nflog, nflog),
        ("NFLOG of a big-endian machine", Link::Nflog, big),
        ("LLC", Link::Llc, with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip)),
        ("MPLS", Link::Mpls, with(&[0, 1, 1, 64], &ip)),
        (
            "cooked PPPoE",
            Link::LinuxSll,
            with(&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x64, 0x11, 0, 0, 1, 0, 42, 0, 0x21], &ip),
        ),
    ] {
        holds_tcp(what, link, &frame);
    }
}

#[test]
fn tunnels_are_followed_down_to_the_innermost_packet() {
    let ip = tcp();
    let frame = ethernet(0x0800, &ip);
    for (what, packet) in [
        ("IP in IP", ipv4(4, &ip)),
        ("IP in IPv6", ipv6(4, &ip)),
        ("GRE", ipv4(47, &with(&[0, 0, 8, 0], &ip))),
        ("GRE in IPv6", ipv6(47, &with(&[0, 0, 8, 0], &ip))),
        ("GRE with everything", ipv4(47, &with(&[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], &ip))),
        ("Ethernet over GRE", ipv4(47, &with(&[0x20, 0, 0x65, 0x58, 0, 0, 0, 7], &frame))),
        ("PPTP", ipv4(47, &with(&[0x30, 1, 0x88, 0x0b, 0, 44, 0, 1, 0, 0, 0, 1, 0xff, 3, 0, 0x21], &ip))),
        ("ERSPAN I", ipv4(47, &with(&[0, 0, 0x88, 0xbe], &frame))),
        ("ERSPAN II", ipv4(47, &with(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 1, 0, 0, 0, 0], &frame))),
        (
            "ERSPAN III",
            ipv4(
                47,
                &with(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], &frame),
            ),
        ),
        ("VXLAN", udp(4789, &with(&[8, 0, 0, 0, 0, 0, 7, 0], &frame))),
        ("VXLAN on Linux's old port", udp(8472, &with(&[8, 0, 0, 0, 0, 0, 7, 0], &frame))),
        ("Geneve", udp(6081, &with(&[0, 0, 0x65, 0x58, 0, 0, 7, 0], &frame))),
        (
            "Geneve with an option",
            udp(6081, &with(&[2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 1, 1, 1, 0, 0, 0, 0], &frame)),
        ),
        ("GTP-U", udp(2152, &with(&[0x30, 255, 0, 40, 0, 0, 0, 1], &ip))),
        (
            "GTP-U with an extension",
            udp(2152, &with(&[0x34, 255, 0, 48, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 1, 0], &ip)),
        ),
        ("TZSP", udp(37_008, &with(&[1, 0, 0, 1, 10, 1, 0x80, 0, 1], &frame))),
        ("MPLS in UDP", udp(6635, &with(&[0, 1, 1, 64], &ip))),
        (
            "authentication header",
            ipv4(51, &with(&[4, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &ip)),
        ),
        (
            "VXLAN in GRE",
            ipv4(47, &with(&[0, 0, 8, 0], &udp(4789, &with(&[8, 0, 0, 0, 0, 0, 7, 0], &frame)))),
        ),
    ] {
        holds_tcp(what, Link::Raw, &packet);
    }
}

#[test]
fn the_first_fragment_of_a_tunnels_packet_has_the_segment_and_the_others_are_told() {
    let mut inner = tcp();
    inner[2..4].copy_from_slice(&1_000_u16.to_be_bytes());
    let mut first = ipv4(47, &with(&[0, 0, 8, 0], &inner));
    first[6] = 0x20;
    assert_eq!(read(Link::Raw, &first).map(|s| s.payload), Ok(960));
    let mut second = ipv4(47, &[0; 100]);
    second[7] = 6;
    assert_eq!(read(Link::Raw, &second), Err(NotSegment::Unread(Unread::TunnelFragment)));
}

#[test]
fn what_may_hold_tcp_and_is_not_read_is_told_apart_from_what_holds_none() {
    let unread = |what| Err(NotSegment::Unread(what));
    for (packet, expected) in [
        (ipv4(50, &[0; 40]), unread(Unread::Encrypted)),
        (ipv4(115, &[0; 40]), unread(Unread::L2tp)),
        (ipv4(47, &[0, 0, 0x12, 0x34, 0, 0]), unread(Unread::Gre)),
        (ipv4(17, &[0; 40]), Err(NotSegment::Other)),
        (ipv4(1, &[0; 40]), Err(NotSegment::Other)),
        (udp(53, &[0; 40]), Err(NotSegment::Other)),
    ] {
        assert_eq!(read(Link::Raw, &packet), expected);
    }
    for (kind, payload, expected) in [
        (0x88e5, vec![0x0c; 40], unread(Unread::Encrypted)),
        (0x8864, vec![0x11, 0, 0, 1, 0, 42, 0, 0xfd, 0, 0], unread(Unread::Compressed)),
        (0x8864, vec![0x11, 0, 0, 1, 0, 42, 0xc0, 0x21, 0, 0], Err(NotSegment::Other)),
        (0x8863, vec![0x11, 9, 0, 0, 0, 0, 0, 0], Err(NotSegment::Other)),
        (0x0806, vec![0; 28], Err(NotSegment::Other)),
        (0x4305, vec![0; 28], unread(Unread::Mesh)),
        (38, vec![0x42, 0x42, 3, 0, 0, 0], Err(NotSegment::Other)),
    ] {
        assert_eq!(read(Link::Ethernet, &ethernet(kind, &payload)), expected, "{kind:x}");
    }
}

#[test]
fn frames_of_a_radio_that_hold_no_packet_or_none_that_can_be_read() {
    let read = |control, flags, length| read(Link::Wifi, &with(&wifi(control, flags, length), &tcp()));
    let segment = |flags| read(0x08, flags, 24).map(|s| s.heard_again);
    assert_eq!((segment(0x01), segment(0x09), segment(0x02)), (Ok(false), Ok(true), Ok(true)));
    assert_eq!(read(0x08, 0x41, 24), Err(NotSegment::Unread(Unread::Encrypted)));
    for no_data in [0x80, 0x48, 0xc8, 0xd4] {
        assert_eq!(read(no_data, 0x01, 24), Err(NotSegment::Other), "{no_data:x}");
    }
    let mut aggregated = with(&wifi(0x88, 0x01, 26), &tcp());
    aggregated[24] = 0x80;
    assert_eq!(
        decode(Link::Wifi, &aggregated, aggregated.len()),
        Err(NotSegment::Unread(Unread::Aggregated))
    );
    let bad_check_sequence = with(&with(&[0, 0, 9, 0, 2, 0, 0, 0, 0x40], &wifi(0x08, 1, 24)), &tcp());
    assert_eq!(decode(Link::Radiotap, &bad_check_sequence, 200), Err(NotSegment::Other));
}

#[test]
fn tunnels_in_tunnels_without_end_are_given_up() {
    let mut packet = tcp();
    for _ in 0..7 {
        packet = ipv4(4, &packet);
    }
    assert!(read(Link::Raw, &packet).is_ok());
    assert_eq!(read(Link::Raw, &ipv4(4, &packet)), Err(NotSegment::Unread(Unread::TooDeep)));
    let tags = [0, 1, 0x81, 0].repeat(100);
    assert_eq!(read(Link::Ethernet, &ethernet(0x8100, &tags)), Err(NotSegment::Unread(Unread::TooDeep)));
}

proptest! {
    #[test]
    fn any_bytes_on_any_link_give_a_result(
        link in 0..Link::ALL.len(),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        length in 0_usize..300,
    ) {
        let _ = decode(Link::ALL[link], &bytes, length);
    }

    #[test]
    fn a_header_that_is_nearly_right_gives_a_result(
        frame in 0_usize..8,
        changes in prop::collection::vec((0_usize..100, any::<u8>()), 0..6),
        cut in 0_usize..120,
    ) {
        let ip = tcp();
        let inner = ethernet(0x0800, &ip);
        let mut frame = match frame {
            0 => ethernet(0x8864, &with(&[0x11, 0, 0, 1, 0, 42, 0, 0x21], &ip)),
            1 => ethernet(0x8847, &with(&[0, 1, 0, 64, 0, 2, 1, 64], &ip)),
            2 => ethernet(48, &with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &ip)),
            3 => ethernet(0x0800, &ipv4(47, &with(&[0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1], &inner))),
            4 => ethernet(0x0800, &udp(4789, &with(&[8, 0, 0, 0, 0, 0, 7, 0], &inner))),
            5 => ethernet(0x0800, &udp(6081, &with(&[2, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 1, 1, 1, 0, 0, 0, 0], &inner))),
            6 => ethernet(0x0800, &udp(2152, &with(&[0x34, 255, 0, 48, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 1, 0], &ip))),
            _ => ethernet(0x86dd, &ipv6(44, &with(&[6, 0, 0, 1, 0, 0, 0, 1], &ip[20..]))),
        };
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(cut);
        let _ = decode(Link::Ethernet, &frame, frame.len());
    }
}
