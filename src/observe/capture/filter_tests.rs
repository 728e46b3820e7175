use proptest::prelude::*;

use super::*;

/// Runs a program over a packet as the kernel does; `outgoing` is what it says of the direction.
fn run(program: &[Instruction], packet: &[u8], outgoing: bool) -> u32 {
    let (mut a, mut x, mut word, mut pc) = (0_u32, 0_u32, 0_u32, 0_usize);
    let load = |at: u32, n: usize| -> Option<u32> {
        let bytes = packet.get(at as usize..)?.get(..n)?;
        Some(bytes.iter().fold(0, |sum, b| sum << 8 | u32::from(*b)))
    };
    loop {
        let i = program[pc];
        pc += 1;
        let loaded = match i.code {
            LD_W_ABS if i.k == PACKET_TYPE => Some(if outgoing { PACKET_OUTGOING } else { 0 }),
            LD_W_ABS => load(i.k, 4),
            LD_H_ABS => load(i.k, 2),
            LD_B_ABS => load(i.k, 1),
            LD_W_IND => load(x + i.k, 4),
            LD_H_IND => load(x + i.k, 2),
            LD_B_IND => load(x + i.k, 1),
            _ => Some(a),
        };
        let Some(loaded) = loaded else { return 0 };
        a = loaded;
        match i.code {
            LDX_IMM => x = i.k,
            LDX_MEM => x = word,
            STX => word = x,
            ADD_X => a = a.wrapping_add(x),
            AND_K => a &= i.k,
            LSH_K => a <<= i.k,
            RSH_K => a >>= i.k,
            TAX => x = a,
            JA => pc += i.k as usize,
            JEQ_K => pc += usize::from(if a == i.k { i.jt } else { i.jf }),
            JSET_K => pc += usize::from(if a & i.k != 0 { i.jt } else { i.jf }),
            RET_K => return i.k,
            LD_W_ABS | LD_H_ABS | LD_B_ABS | LD_W_IND | LD_H_IND | LD_B_IND => {}
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn addresses() -> Vec<IpAddr> {
    vec!["192.168.4.91".parse().unwrap(), "fd00::91".parse().unwrap()]
}

fn selection<'a>(devices: &'a [IpAddr], ports: &'a Ports, link: LinkHeader) -> Selection<'a> {
    Selection {
        devices,
        ports,
        dialled: None,
        icmp: IcmpErrors::Keep,
        link,
        outgoing: OutgoingCopy::Keep,
        snap_length: 160,
    }
}

/// An IP packet with 20 bytes of transport; `options` are words of IPv4 options.
fn packet(from: IpAddr, to: IpAddr, protocol: u8, ports: (u16, u16), options: u8) -> Vec<u8> {
    let mut p = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut p = vec![0x45 + options, 0, 0, 40, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            p.extend(from.octets());
            p.extend(to.octets());
            p.extend(vec![1; usize::from(options) * 4]);
            p
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut p = vec![0x60, 0, 0, 0, 0, 20, protocol, 64];
            p.extend(from.octets());
            p.extend(to.octets());
            p
        }
        _ => panic!("one family a packet"),
    };
    p.extend(ports.0.to_be_bytes());
    p.extend(ports.1.to_be_bytes());
    p.extend([0; 16]);
    p
}

fn ethernet(packet: &[u8], tags: usize) -> Vec<u8> {
    let mut frame = vec![2; 12];
    for i in 0..tags {
        frame.extend(if i + 1 < tags { [0x88, 0xa8, 0, 9] } else { [0x81, 0, 0, 5] });
    }
    frame.extend(if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] });
    frame.extend(packet);
    frame
}

#[test]
fn the_devices_tcp_is_kept_in_both_directions_with_any_link_header() {
    let devices = addresses();
    let ports = Ports::Only(vec![80, 8080]);
    let (raw, link) =
        (selection(&devices, &ports, LinkHeader::None), selection(&devices, &ports, LinkHeader::Ethernet));
    let (raw, link) = (program(&raw).unwrap(), program(&link).unwrap());
    for (host, device) in [("192.168.4.1", "192.168.4.91"), ("fd00::1", "fd00::91")] {
        let (host, device) = (host.parse().unwrap(), device.parse().unwrap());
        for options in [0, 10] {
            for p in [
                packet(host, device, 6, (40000, 80), options),
                packet(device, host, 6, (8080, 40000), options),
            ] {
                assert_eq!(run(&raw, &p, false), 160);
                for tags in 0..=2 {
                    assert_eq!(run(&link, &ethernet(&p, tags), true), 160, "{tags} tags");
                }
            }
        }
    }
}

#[test]
fn what_the_device_dials_is_kept_whatever_its_own_port() {
    let devices = addresses();
    let ports = Ports::Only(vec![80]);
    for link in [LinkHeader::None, LinkHeader::Ethernet] {
        let dialled = Selection { dialled: Some(8_123), ..selection(&devices, &ports, link) };
        let program = program(&dialled).unwrap();
        for (host, device, other) in
            [("192.168.4.1", "192.168.4.91", "192.168.4.92"), ("fd00::1", "fd00::91", "fd00::92")]
        {
            let [host, device, other] = [host, device, other].map(|a| a.parse().unwrap());
            let kept = |from, to, ports| {
                let p = packet(from, to, 6, ports, 3);
                match link {
                    LinkHeader::None => run(&program, &p, false),
                    LinkHeader::Ethernet => run(&program, &ethernet(&p, 0), true),
                }
            };
            assert_eq!(kept(device, host, (50_001, 8_123)), 160, "the device dials");
            assert_eq!(kept(host, device, (8_123, 50_001)), 160, "and is answered");
            assert_eq!(kept(host, device, (40_000, 80)), 160, "its own service as ever");
            assert_eq!(kept(device, host, (50_001, 8_124)), 0, "another port");
            assert_eq!(kept(host, device, (50_001, 8_123)), 0, "the host dials the device's 8123");
            assert_eq!(kept(other, host, (50_001, 8_123)), 0, "another device");
        }
    }
}

#[test]
fn other_addresses_ports_and_protocols_are_rejected() {
    let devices = addresses();
    let ports = Ports::Only(vec![80]);
    let program = program(&selection(&devices, &ports, LinkHeader::None)).unwrap();
    for (host, device, other) in
        [("192.168.4.1", "192.168.4.91", "192.168.4.92"), ("fd00::1", "fd00::91", "fd00::92")]
    {
        let [host, device, other] = [host, device, other].map(|a| a.parse().unwrap());
        assert_eq!(run(&program, &packet(host, other, 6, (40000, 80), 0), false), 0);
        assert_eq!(run(&program, &packet(host, device, 17, (40000, 80), 0), false), 0);
        assert_eq!(run(&program, &packet(host, device, 6, (80, 81), 0), false), 0, "the host's own port 80");
        assert_eq!(run(&program, &packet(host, device, 6, (40000, 80), 0), false), 160);
    }
}

#[test]
fn two_ends_on_one_address_are_told_apart_by_port() {
    let lo: IpAddr = "127.0.0.1".parse().unwrap();
    let devices = [lo];
    let ports = Ports::Only(vec![80]);
    let program = program(&selection(&devices, &ports, LinkHeader::Ethernet)).unwrap();
    for (ports, kept) in [((40000, 80), 160), ((80, 40000), 160), ((40000, 40001), 0)] {
        assert_eq!(run(&program, &ethernet(&packet(lo, lo, 6, ports, 0), 0), false), kept);
    }
}

#[test]
fn an_outgoing_copy_is_rejected_where_it_is_a_second_one() {
    let lo: IpAddr = "127.0.0.1".parse().unwrap();
    let devices = [lo];
    let mut selection = selection(&devices, &Ports::Any, LinkHeader::Ethernet);
    selection.outgoing = OutgoingCopy::Reject;
    let program = program(&selection).unwrap();
    let frame = ethernet(&packet(lo, lo, 6, (1, 2), 0), 0);
    assert_eq!((run(&program, &frame, true), run(&program, &frame, false)), (0, 160));
}

#[test]
fn an_unreachable_message_about_the_device_is_kept() {
    let devices = addresses();
    let program = program(&selection(&devices, &Ports::Any, LinkHeader::None)).unwrap();
    for (router, host, device, protocol, kind) in
        [("10.0.0.1", "192.168.4.1", "192.168.4.91", 1, 3), ("fd00::9", "fd00::1", "fd00::91", 58, 1)]
    {
        let [router, host, device]: [IpAddr; 3] = [router, host, device].map(|a| a.parse().unwrap());
        for (quoted, kept) in [(device, 160), (router, 0)] {
            let mut message = packet(router, host, protocol, (0, 0), 0);
            message.truncate(message.len() - 20);
            message.extend([kind, 1, 0, 0, 0, 0, 0, 0]);
            message.extend(packet(host, quoted, 6, (40000, 80), 0));
            assert_eq!(run(&program, &message, false), kept);
        }
    }
}

#[test]
fn an_ipv6_packet_with_an_extension_header_is_kept_by_its_addresses() {
    let devices = addresses();
    let ports = Ports::Only(vec![80]);
    let program = program(&selection(&devices, &ports, LinkHeader::None)).unwrap();
    let (host, device) = ("fd00::1".parse().unwrap(), "fd00::91".parse().unwrap());
    assert_eq!(run(&program, &packet(host, device, 60, (0, 0), 0), false), 160);
    assert_eq!(run(&program, &packet(host, host, 60, (0, 0), 0), false), 0);
}

#[test]
fn the_largest_program_is_one_that_the_kernel_takes() {
    let devices: Vec<IpAddr> =
        (0..MAX_ADDRESSES as u16).map(|i| IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 2, 3, 4, 5, 6, i))).collect();
    let ports = Ports::Only((0..MAX_PORTS as u16).collect());
    let program = program(&selection(&devices, &ports, LinkHeader::Ethernet)).unwrap();
    assert!(program.len() <= 4096, "{}", program.len()); // BPF_MAXINSNS
}

#[test]
fn an_ipv4_address_written_as_ipv6_selects_ipv4_packets_and_no_others() {
    let mapped: IpAddr = "::ffff:192.168.4.91".parse().unwrap();
    let [host, host_v6, device]: [IpAddr; 3] =
        ["192.168.4.1", "fd00::1", "192.168.4.91"].map(|a| a.parse().unwrap());
    let (ports, devices) = (Ports::Any, [mapped]);
    let program = program(&selection(&devices, &ports, LinkHeader::None)).unwrap();
    assert_eq!(run(&program, &packet(device, host, 6, (80, 40_000), 0), false), 160);
    assert_eq!(
        run(&program, &packet(mapped, host_v6, 6, (80, 40_000), 0), false),
        0,
        "no network carries it"
    );
}

#[test]
fn nothing_to_select_is_an_error() {
    assert_eq!(program(&selection(&[], &Ports::Any, LinkHeader::None)), Err(FilterError::Addresses(0)));
    let devices = addresses();
    let none = Ports::Only(Vec::new());
    assert_eq!(program(&selection(&devices, &none, LinkHeader::None)), Err(FilterError::Ports(0)));
}

proptest! {
    #[test]
    fn any_packet_comes_to_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..120), tag in any::<bool>()) {
        let devices = addresses();
        let ports = Ports::Only(vec![80]);
        for link in [LinkHeader::Ethernet, LinkHeader::None] {
            let program = program(&selection(&devices, &ports, link)).unwrap();
            let verdict = run(&program, &if tag { ethernet(&[&[0x45][..], &bytes].concat(), 1) } else { bytes.clone() }, false);
            prop_assert!(verdict == 0 || verdict == 160);
        }
    }
}
