//! `rw --protocol udp --group`: a device that has joined a multicast group, on the loopback interface.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

use crate::common::said::said;
use crate::common::{espstress_with, failure, skipped};

/// For tests and documentation (RFC 5771, 9.2).
const GROUP: Ipv4Addr = Ipv4Addr::new(233, 252, 0, 7);

/// A socket that hears the group on the loopback interface, and has the port alone or with others.
fn member(port: u16) -> std::io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
    Ok(socket.into())
}

/// A device that answers from that address; its second answer to every fifth datagram is a duplicate.
fn device(socket: UdpSocket, answers_from: &str, duplicates: bool) {
    let answers = UdpSocket::bind((answers_from, 0)).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2_048];
        let mut n = 0;
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            n += 1;
            let copies = if duplicates && n % 5 == 0 { 2 } else { 1 };
            for _ in 0..copies {
                let _ = answers.send_to(&buffer[..length], from);
            }
        }
    });
}

/// A port with members on it; `None` where this machine's loopback interface has no multicast.
fn group_of(members: &[(&str, bool)]) -> Option<u16> {
    let first = match member(0) {
        Ok(first) => first,
        Err(why) => {
            skipped("multicast", &format!("cannot join a group on the loopback interface: {why}"));
            return None;
        }
    };
    let port = first.local_addr().unwrap().port();
    let mut sockets = vec![first];
    sockets.extend(members.iter().skip(1).map(|_| member(port).unwrap()));
    for (socket, (address, duplicates)) in sockets.into_iter().zip(members) {
        device(socket, address, *duplicates);
    }
    Some(port)
}

fn run(port: u16, more: &str) -> crate::common::said::Said {
    let target = SocketAddr::from(([127, 0, 0, 1], port)).to_string();
    said(&format!("rw --protocol udp --no-capture --no-probes --group {GROUP} {more}"), &[&target])
}

#[test]
fn a_device_in_the_group_answers_and_other_members_are_counted_by_address() {
    let Some(port) = group_of(&[("127.0.0.1", false), ("127.0.0.2", false)]) else { return };
    let run = run(port, "-n 20");
    run.passes().counts("rw", 20, 20).says(&["sent to the group 233.252.0.7", "127.0.0.2 sent back"]);
    let udp = run.report.workloads[0].by_protocol.as_ref().unwrap().udp.clone().unwrap();
    assert_eq!((udp.echoed, udp.lost, udp.duplicates, udp.strangers), (20, 0, 0, 0), "{udp:?}");
    // The run ends with the device's last echo, however far the other member has come.
    let other = udp.other_members.get(&Ipv4Addr::new(127, 0, 0, 2).into()).copied();
    assert!((1..=20).contains(&other.unwrap_or(0)), "{udp:?}");
}

#[test]
fn second_answers_are_duplicates() {
    let Some(port) = group_of(&[("127.0.0.1", true)]) else { return };
    let run = run(port, "-n 21");
    let udp = run.report.workloads[0].by_protocol.as_ref().unwrap().udp.clone().unwrap();
    assert_eq!((udp.echoed, udp.duplicates), (21, 4), "{udp:?}");
}

#[test]
fn a_device_that_has_not_joined_is_named_with_what_to_check() {
    let alone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = alone.local_addr().unwrap().port();
    let run = run(port, "-n 5 --timeout-read 100ms");
    run.fails_with(&["no_echo"]).says(&["has not joined the group"]);
}

#[test]
fn a_group_that_is_none_is_refused_in_words() {
    for (options, word) in [
        ("rw --protocol udp --group 192.168.4.91", "224.0.0.0 to 239.255.255.255"),
        ("rw --protocol http --group 233.252.0.7", "for --protocol udp"),
    ] {
        let (message, status) = failure(&espstress_with(&format!("{options} 127.0.0.1:9")));
        assert!(status == 2 && message.contains(word), "{options}: {status}: {message}");
    }
}
