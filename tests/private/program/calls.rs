//! One call each: what the program finds out, and what the peer sees.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::time::Duration;

use espstress_targets::network::PrivateNetwork;

use super::client::{self, DEVICE, PATIENCE, pattern, said, unacknowledged, until};
use super::{built, twin};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = cases![
    sendfile_sends_the_file,
    a_deaf_program_gets_exactly_the_window_acknowledged,
    a_close_with_unread_bytes_is_a_reset,
    a_socket_can_be_closed_and_opened_at_the_limit,
    a_socket_that_is_being_closed_is_free_for_the_next_accept,
    a_refused_connection_is_told_blocking_and_not,
    a_program_dials_out,
    receive_time_outs_end_accept_and_read,
    options_of_the_stack_work_and_others_are_listed,
    a_name_is_unknown_at_once,
    datagrams_and_a_multicast_group_reach_the_program,
];

fn sendfile_sends_the_file(network: &PrivateNetwork) -> Outcome {
    let name = format!("file-{}", std::process::id());
    let file = built(&name);
    let bytes = pattern(300_000, 5);
    std::fs::write(&file, &bytes)?;
    let path = file.display().to_string();
    let _twin = twin(&["calls", "sendfile", &path], network)?;
    for _ in 0..3 {
        let mut back = Vec::new();
        client::connect()?.read_to_end(&mut back)?;
        let expected = [&bytes[..], &bytes[..100]].concat();
        assert!(back == expected, "{} bytes of {}", back.len(), expected.len());
    }
    std::fs::remove_file(file)?;
    Ok(())
}

fn a_deaf_program_gets_exactly_the_window_acknowledged(network: &PrivateNetwork) -> Outcome {
    /// CONFIG_LWIP_TCP_WND_DEFAULT.
    const WINDOW: u64 = 5_760;
    let _twin = twin(&["calls", "deaf"], network)?;
    let mut stream = client::connect()?;
    let bytes = pattern(50_000, 1);
    stream.write_all(&bytes)?;
    let acknowledged = || unacknowledged(&stream).map(|waiting| bytes.len() as u64 - waiting);
    until("the window is full", PATIENCE, || acknowledged().is_ok_and(|n| n >= WINDOW))?;
    // Probes of the zero window are answered, and nothing more is taken.
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(acknowledged()?, WINDOW);
    Ok(())
}

fn a_close_with_unread_bytes_is_a_reset(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["calls", "unread"], network)?;
    for n in 0..300 {
        let mut stream = client::connect()?;
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: twin\r\n\r\n")?;
        let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "connection {n}");
    }
    Ok(())
}

fn a_socket_can_be_closed_and_opened_at_the_limit(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["calls", "reopen"], network)?;
    // Ten sockets less the listener.
    assert_eq!(said()?, "opened 9, then ENFILE; reopened 200, failed 0\n");
    Ok(())
}

fn a_socket_that_is_being_closed_is_free_for_the_next_accept(network: &PrivateNetwork) -> Outcome {
    let twin = twin(&["calls", "take-over"], network)?;
    let mut before = None;
    for n in 0..300 {
        let mut stream = client::connect()?;
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).map_err(|error| format!("connection {n}: {error}"))?;
        assert_eq!(&answer, b"ok\n", "connection {n}");
        before = Some(stream);
    }
    drop(before);
    assert_eq!(twin.program()?.last_lines, Vec::<String>::new());
    Ok(())
}

fn a_refused_connection_is_told_blocking_and_not(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["calls", "refused"], network)?;
    // lwIP says ECONNRESET where Linux says ECONNREFUSED (err_to_errno of ERR_RST), as on the device.
    let expected = "blocking ECONNRESET\nnon-blocking EINPROGRESS\nthen poll 1 and SO_ERROR ECONNRESET\n";
    assert_eq!(said()?, expected);
    Ok(())
}

fn a_program_dials_out(network: &PrivateNetwork) -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 7_000))?;
    let _twin = twin(&["calls", "dials"], network)?;
    let (mut stream, peer) = listener.accept()?;
    assert_eq!(peer.ip(), DEVICE);
    let mut line = String::new();
    stream.read_to_string(&mut line)?;
    assert_eq!(line, "hello\n");
    assert_eq!(said()?, "connect EINPROGRESS, poll 1, from 192.168.4.91, to 192.168.4.1:7000\n");
    Ok(())
}

fn receive_time_outs_end_accept_and_read(network: &PrivateNetwork) -> Outcome {
    let twin = twin(&["calls", "timeout"], network)?;
    until("accept has ended", PATIENCE, || {
        twin.program().is_ok_and(|program| program.last_lines.iter().any(|line| line == "accept has ended"))
    })?;
    let _first = client::connect()?;
    let expected = "accept EAGAIN after its time-out\nread EAGAIN after its time-out\nSO_RCVTIMEO 0.200000\n";
    assert_eq!(said()?, expected);
    Ok(())
}

fn options_of_the_stack_work_and_others_are_listed(network: &PrivateNetwork) -> Outcome {
    let twin = twin(&["calls", "options"], network)?;
    let said = said()?;
    for line in [
        "SO_REUSEPORT ENOPROTOOPT ENOPROTOOPT",
        "SO_DOMAIN ENOPROTOOPT 2",
        "SO_PROTOCOL ENOPROTOOPT 17",
        "TCP_NODELAY ok 1",
        "TCP_CORK ENOPROTOOPT ENOPROTOOPT",
        "IP_MULTICAST_TTL ok 1",
        "FIONREAD ENOSYS",
        "AF_INET6 EAFNOSUPPORT",
        "SOCK_RAW EPROTONOSUPPORT",
        "bad pointer EFAULT",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    for option in ["SO_REUSEADDR ok", "SO_KEEPALIVE ok"] {
        assert!(said.contains(option), "{option}: {said}");
    }
    println!("{said}");
    let seen = twin.program()?;
    for listed in ["setsockopt SO_REUSEPORT", "setsockopt TCP_CORK", "ioctl FIONREAD", "socket type SOCK_RAW"]
    {
        assert!(seen.unsupported.contains_key(listed), "{listed}: {:?}", seen.unsupported);
    }
    Ok(())
}

fn a_name_is_unknown_at_once(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["calls", "names"], network)?;
    let said = said()?;
    assert!(said.ends_with("within 1 s\n") && said.starts_with("Name or service not known"), "{said}");
    Ok(())
}

fn datagrams_and_a_multicast_group_reach_the_program(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["calls", "udp"], network)?;
    let socket = UdpSocket::bind((Ipv4Addr::new(192, 168, 4, 1), 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let mut answer = [0; 200];
    for to in [DEVICE, group] {
        // 64 bytes have room in the program, and it is told of all.
        for (len, expected) in [(5, "5 aaaaa from 192.168.4.1"), (100, "100 aaaaaaaaaa from 192.168.4.1")] {
            until("the program answers", PATIENCE, || {
                let _ = socket.send_to(&vec![b'a'; len], (to, 7_007));
                socket.set_read_timeout(Some(Duration::from_millis(300))).is_ok()
                    && socket.recv(&mut answer).is_ok_and(|n| &answer[..n] == expected.as_bytes())
            })?;
        }
    }
    // Its own port, beside ours, which takes none of its sockets: the listener and this one.
    assert_eq!(client::figure("/sockets/used")?, 2);
    Ok(())
}
