//! Live capture, on interfaces of a network namespace of each test's own.
//!
//! A test runs this same program again under `unshare`, for itself alone, and does its work there. Where
//! that is not permitted it prints why it was skipped; with `capture` in `ESPSTRESS_REQUIRE` it fails.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::apart::{self, OWN_NETWORK, ip};

use espstress_observe::capture::{
    Capture, CaptureConfig, CaptureError, CaptureStats, IcmpErrors, Keep, LINKTYPE_ETHERNET, LINKTYPE_RAW,
    Ports, Travel, VlanTag,
};
use espstress_observe::file::{Reader, Writer, WriterConfig};

/// In a fresh namespace, as [`apart::apart`] does it.
fn apart(test: &str, options: &[&str], body: fn()) {
    apart::apart("capture", &format!("{}::{test}", module_path!()), options, body);
}

/// A captured frame, kept.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    at_ns: i64,
    link: u16,
    bytes: Vec<u8>,
    original_len: u32,
    travel: Travel,
    vlan: Option<VlanTag>,
}

/// Reads until nothing more comes for a tenth of a second.
fn drain(capture: &mut Capture) -> Vec<Seen> {
    let mut seen = Vec::new();
    loop {
        let before = seen.len() as u64;
        let batch = capture
            .next_batch(Duration::from_millis(100), |f| {
                seen.push(Seen {
                    at_ns: f.at_ns,
                    link: f.link,
                    bytes: f.bytes.to_vec(),
                    original_len: f.original_len,
                    travel: f.travel,
                    vlan: f.vlan,
                });
            })
            .unwrap();
        assert_eq!(batch.packets, seen.len() as u64 - before, "a batch counts what it hands out");
        if batch.packets == 0 {
            return seen;
        }
    }
}

/// The parts of a TCP segment that the tests count.
#[derive(Debug)]
struct Segment {
    from: SocketAddr,
    to: SocketAddr,
    flags: u8,
    payload: usize,
}

fn segment(ip: &[u8]) -> Segment {
    let h = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
    let (from, to, tcp, length): (IpAddr, IpAddr, usize, usize) = if ip[0] >> 4 == 4 {
        let v4 = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&ip[at..at + 4]).unwrap());
        let header = usize::from(ip[0] & 15) * 4;
        (v4(12).into(), v4(16).into(), header, usize::from(h(2)) - header)
    } else {
        let v6 = |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&ip[at..at + 16]).unwrap());
        (v6(8).into(), v6(24).into(), 40, usize::from(h(4)))
    };
    Segment {
        from: SocketAddr::new(from, h(tcp)),
        to: SocketAddr::new(to, h(tcp + 2)),
        flags: ip[tcp + 13],
        payload: length - usize::from(ip[tcp + 12] >> 4) * 4,
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// One connection, `there` bytes one way and `back` bytes the other, closed by the client first.
fn exchange(listener: &TcpListener, there: usize, back: usize) -> SocketAddr {
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    client.write_all(&vec![1; there]).unwrap();
    server.read_exact(&mut vec![0; there]).unwrap();
    server.write_all(&vec![2; back]).unwrap();
    client.read_exact(&mut vec![0; back]).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    peer
}

/// One exchange on the loopback interface, among foreign traffic that began before.
fn loopback_exchange(address: IpAddr) {
    ip("link set lo up");
    let stop = Arc::new(AtomicBool::new(false));
    let noise = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let foreign = TcpListener::bind((address, 0)).unwrap();
            while !stop.load(Ordering::Relaxed) {
                exchange(&foreign, 100, 100);
            }
        }
    });
    let listener = TcpListener::bind((address, 0)).unwrap();
    let device = listener.local_addr().unwrap();
    let mut config = CaptureConfig::of([address]);
    config.ports = Ports::Only(vec![device.port()]);
    let mut capture = Capture::open(&config).unwrap();
    assert_eq!((capture.interface(), capture.link()), ("lo", LINKTYPE_ETHERNET));
    let before = now_ns();
    let host = exchange(&listener, 5000, 9000);
    let seen = drain(&mut capture);
    let after = now_ns();
    stop.store(true, Ordering::Relaxed);
    noise.join().unwrap();

    let mut payload = [0, 0];
    let (mut syns, mut fins) = (Vec::new(), Vec::new());
    let mut last = 0;
    for frame in &seen {
        assert!(frame.at_ns >= before.max(last) && frame.at_ns <= after, "times go forward");
        last = frame.at_ns;
        assert!(frame.bytes.len() <= Keep::Headers.snap_length() as usize);
        let segment = segment(&frame.bytes[14..]);
        let direction = match (segment.from, segment.to) {
            (from, to) if (from, to) == (host, device) => 0,
            (from, to) if (from, to) == (device, host) => 1,
            other => panic!("foreign packet {other:?}"),
        };
        payload[direction] += segment.payload;
        if segment.flags & SYN != 0 {
            syns.push((direction, segment.flags & ACK != 0));
        }
        if segment.flags & FIN != 0 {
            fins.push(direction);
        }
    }
    // Were a packet seen twice, or not at all, these sums would show it.
    assert_eq!(payload, [5000, 9000]);
    assert_eq!(syns, [(0, false), (1, true)]);
    assert_eq!(fins, [0, 1]);
    let stats = capture.stats();
    assert!(stats.is_complete(), "{stats:?}");
    assert_eq!(stats.packets, seen.len() as u64);
}

fn now_ns() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_nanos() as i64
}

#[test]
fn an_ipv4_exchange_on_the_loopback_is_captured_exactly_once() {
    apart("an_ipv4_exchange_on_the_loopback_is_captured_exactly_once", &OWN_NETWORK, || {
        loopback_exchange(Ipv4Addr::LOCALHOST.into());
    });
}

#[test]
fn an_ipv6_exchange_on_the_loopback_is_captured_exactly_once() {
    apart("an_ipv6_exchange_on_the_loopback_is_captured_exactly_once", &OWN_NETWORK, || {
        loopback_exchange(Ipv6Addr::LOCALHOST.into());
    });
}

#[test]
fn packets_that_find_the_ring_full_are_counted() {
    apart("packets_that_find_the_ring_full_are_counted", &OWN_NETWORK, || {
        ip("link set lo up");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut config = CaptureConfig::of([Ipv4Addr::LOCALHOST.into()]);
        config.ring_bytes = 0; // as small as it gets
        let mut capture = Capture::open(&config).unwrap();
        let mut stats = CaptureStats::default();
        for _ in 0..5000 {
            exchange(&listener, 100, 100);
            stats = capture.stats();
            if stats.dropped > 100 {
                break;
            }
        }
        assert!(stats.dropped > 100 && stats.freezes > 0 && !stats.is_complete(), "{stats:?}");
        let kept = drain(&mut capture).len() as u64;
        let stats = capture.stats();
        assert_eq!(stats.packets, kept + stats.dropped);
        // With room again, it goes on.
        exchange(&listener, 100, 100);
        assert!(drain(&mut capture).len() >= 8);
        assert_eq!(capture.stats().dropped, stats.dropped);
    });
}

#[test]
fn a_batch_is_handed_out_when_its_first_packets_are_there() {
    apart("a_batch_is_handed_out_when_its_first_packets_are_there", &OWN_NETWORK, || {
        const PATIENCE: Duration = Duration::from_secs(60);
        ip("link set lo up");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut capture = Capture::open(&CaptureConfig::of([Ipv4Addr::LOCALHOST.into()])).unwrap();
        exchange(&listener, 100, 100);
        let asked = Instant::now();
        let batch = capture.next_batch(PATIENCE, |_| {}).unwrap();
        assert!(batch.packets > 0 && asked.elapsed() < PATIENCE, "{batch:?} after {:?}", asked.elapsed());
    });
}

#[test]
fn without_the_capability_the_denial_names_the_remedy() {
    // A user namespace without a network of its own gives no rights over the machine's.
    apart("without_the_capability_the_denial_names_the_remedy", &["--user"], || {
        let error = Capture::open(&CaptureConfig::of([Ipv4Addr::LOCALHOST.into()])).unwrap_err();
        let CaptureError::Denied { reason, remedy } = &error else { panic!("{error:?}") };
        assert!(reason.contains("CAP_NET_RAW"), "{reason}");
        let program = std::env::current_exe().unwrap();
        assert!(
            remedy.contains(&format!("setcap cap_net_raw,cap_net_admin+ep {}", program.display())),
            "{remedy}"
        );
        assert!(remedy.contains("sudo"), "{remedy}");
    });
}

#[test]
fn an_interface_that_does_not_exist_is_named_in_the_error() {
    let mut config = CaptureConfig::of([Ipv4Addr::LOCALHOST.into()]);
    config.interface = Some("no-such-thing".to_owned());
    let error = Capture::open(&config).unwrap_err();
    assert!(matches!(error, CaptureError::Failed { .. }), "{error:?}");
    assert!(error.to_string().contains("no-such-thing"), "{error}");
}

#[test]
fn several_addresses_of_a_device_are_captured_where_one_interface_reaches_them_all() {
    apart(
        "several_addresses_of_a_device_are_captured_where_one_interface_reaches_them_all",
        &OWN_NETWORK,
        || {
            ip("link set lo up");
            veth_pair();
            ip("addr add 10.77.0.1/24 dev v0");
            let open =
                |devices: [&str; 2]| Capture::open(&CaptureConfig::of(devices.map(|a| a.parse().unwrap())));
            assert_eq!(open(["127.0.0.1", "::1"]).unwrap().interface(), "lo");
            assert_eq!(open(["10.77.0.91", "10.77.0.92"]).unwrap().interface(), "v0");
            let error = open(["127.0.0.1", "10.77.0.91"]).unwrap_err().to_string();
            assert!(error.contains("reached by several"), "{error}");
        },
    );
}

/// A TCP segment without payload from `from` to `to`, with IP header.
fn bare(from: SocketAddr, to: SocketAddr, flags: u8) -> Vec<u8> {
    let mut p = match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mut p = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0];
            p.extend(a.octets());
            p.extend(b.octets());
            p
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mut p = vec![0x60, 0, 0, 0, 0, 20, 6, 64];
            p.extend(a.octets());
            p.extend(b.octets());
            p
        }
        _ => panic!("one family a segment"),
    };
    p.extend(from.port().to_be_bytes());
    p.extend(to.port().to_be_bytes());
    p.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 16, 0, 0, 0, 0, 0]);
    p
}

fn ethernet(ip: &[u8], tag: Option<u16>) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 1]);
    if let Some(tag) = tag {
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(if ip[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] });
    frame.extend(ip);
    frame
}

/// Sends link-layer frames by a packet socket.
#[expect(unsafe_code, reason = "binding a packet socket")]
fn sender(interface: &str) -> socket2::Socket {
    let name = std::ffi::CString::new(interface).unwrap();
    let socket =
        socket2::Socket::new(socket2::Domain::PACKET, socket2::Type::RAW, Some(socket2::Protocol::from(0)))
            .unwrap();
    // SAFETY: the name ends with a zero byte; the address is plain data of the length given.
    unsafe {
        let mut address: libc::sockaddr_ll = std::mem::zeroed();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = libc::if_nametoindex(name.as_ptr()) as i32;
        let length = size_of::<libc::sockaddr_ll>() as u32;
        assert_eq!(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length), 0);
    }
    socket
}

fn addresses() -> [(SocketAddr, SocketAddr); 2] {
    [
        ("10.77.0.1:40000".parse().unwrap(), "10.77.0.91:80".parse().unwrap()),
        ("[fd77::1]:40000".parse().unwrap(), "[fd77::91]:80".parse().unwrap()),
    ]
}

fn veth_pair() {
    ip("link add v0 type veth peer name v1");
    // No frame but the test's own.
    for name in ["v0", "v1"] {
        ip(&format!("link set {name} addrgenmode none"));
        ip(&format!("link set {name} up"));
    }
    // Until the kernel has noticed on each end that the other one is up, it drops what is sent.
    let is_up = |name: &str| {
        let link = std::process::Command::new("ip")
            .args(["-oneline", "link", "show", "dev", name])
            .output()
            .unwrap();
        String::from_utf8_lossy(&link.stdout).contains(" state UP ")
    };
    let give_up = Instant::now() + Duration::from_secs(60);
    while !(is_up("v0") && is_up("v1")) {
        assert!(Instant::now() < give_up, "the pair doesn't come up");
        std::thread::yield_now();
    }
}

#[test]
fn tagged_frames_are_captured_with_their_tag_wherever_the_kernel_puts_it() {
    apart("tagged_frames_are_captured_with_their_tag_wherever_the_kernel_puts_it", &OWN_NETWORK, || {
        veth_pair();
        let pairs = addresses();
        let mut config = CaptureConfig::of(pairs.map(|(_, device)| device.ip()));
        config.ports = Ports::Only(vec![80]);
        let [mut near, mut far] = ["v0", "v1"].map(|name| {
            config.interface = Some(name.to_owned());
            Capture::open(&config).unwrap()
        });
        let out = sender("v0");
        let mut sent = Vec::new();
        for (host, device) in pairs {
            let foreign = SocketAddr::new(device.ip(), 81);
            for tag in [None, Some(0x2005)] {
                for p in [bare(host, device, SYN), bare(device, host, SYN | ACK)] {
                    out.send(&ethernet(&p, tag)).unwrap();
                    sent.push((p, tag));
                }
                out.send(&ethernet(&bare(host, foreign, SYN), tag)).unwrap();
                out.send(&ethernet(&bare(host, host, SYN), tag)).unwrap();
            }
        }
        for (capture, expected) in [(&mut near, Travel::Outgoing), (&mut far, Travel::Incoming)] {
            let seen = drain(capture);
            assert_eq!(seen.len(), sent.len(), "{expected:?}");
            for (frame, (packet, tag)) in seen.iter().zip(&sent) {
                assert_eq!((frame.travel, frame.link), (expected, LINKTYPE_ETHERNET));
                // Taken out and told beside the frame, or still in it.
                let inside = match frame.vlan {
                    Some(found) => {
                        assert_eq!((found.protocol, Some(found.control)), (0x8100, *tag));
                        None
                    }
                    None => *tag,
                };
                assert_eq!(frame.bytes, ethernet(packet, inside));
                assert_eq!(frame.original_len as usize, frame.bytes.len());
            }
            assert!(capture.stats().is_complete());
        }
    });
}

#[test]
fn whole_packets_are_kept_for_a_file_and_headers_otherwise() {
    apart("whole_packets_are_kept_for_a_file_and_headers_otherwise", &OWN_NETWORK, || {
        veth_pair();
        let (host, device) = addresses()[0];
        let mut packet = bare(host, device, ACK);
        packet.extend([7; 1400]);
        let mut config = CaptureConfig::of([device.ip()]);
        config.interface = Some("v1".to_owned());
        for (keep, length) in [(Keep::Headers, 160), (Keep::Whole, 14 + 1440)] {
            config.keep = keep;
            let mut capture = Capture::open(&config).unwrap();
            sender("v0").send(&ethernet(&packet, None)).unwrap();
            let seen = drain(&mut capture);
            assert_eq!(seen.len(), 1);
            assert_eq!((seen[0].bytes.len(), seen[0].original_len), (length, 14 + 1440));
        }
    });
}

#[test]
fn an_interface_that_went_down_makes_the_capture_incomplete() {
    apart("an_interface_that_went_down_makes_the_capture_incomplete", &OWN_NETWORK, || {
        veth_pair();
        let (host, device) = addresses()[0];
        let mut config = CaptureConfig::of([device.ip()]);
        config.interface = Some("v1".to_owned());
        let mut capture = Capture::open(&config).unwrap();
        ip("link set v1 down");
        assert_eq!(drain(&mut capture), []);
        assert_eq!(capture.stats().interface_downs, 1);
        assert!(!capture.stats().is_complete());
        ip("link set v1 up");
        let sender = sender("v0");
        let frame = ethernet(&bare(host, device, SYN), None);
        // The kernel drops what is sent before it has noticed that the other end is up.
        let again = (0..50).any(|_| sender.send(&frame).is_ok() && !drain(&mut capture).is_empty());
        assert!(again, "it goes on by itself");
    });
}

#[test]
fn an_unreachable_message_about_the_device_is_captured_where_wanted() {
    apart("an_unreachable_message_about_the_device_is_captured_where_wanted", &OWN_NETWORK, || {
        veth_pair();
        let (host, device) = addresses()[0];
        let router = "10.77.0.254:0".parse().unwrap();
        let mut message = bare(router, host, 0);
        message.truncate(20);
        message[9] = 1;
        message.extend([3, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(&bare(host, device, SYN)[..28]);
        for (icmp, count) in [(IcmpErrors::Keep, 1), (IcmpErrors::Ignore, 0)] {
            let mut config = CaptureConfig::of([device.ip()]);
            config.interface = Some("v1".to_owned());
            config.icmp = icmp;
            let mut capture = Capture::open(&config).unwrap();
            sender("v0").send(&ethernet(&message, None)).unwrap();
            assert_eq!(drain(&mut capture).len(), count);
        }
    });
}

/// A TUN device, whose packets have no link header.
#[expect(unsafe_code, reason = "TUNSETIFF")]
fn tun(name: &str) -> std::io::Result<OwnedFd> {
    let file = std::fs::File::options().read(true).write(true).open("/dev/net/tun")?;
    let mut request = [0_u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..18].copy_from_slice(&0x1001_u16.to_ne_bytes()); // IFF_TUN, IFF_NO_PI
    // SAFETY: the request is as long as a struct ifreq and begins with a name that ends with a zero byte;
    // the duplicate is a descriptor of this process's own.
    unsafe {
        if libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, request.as_mut_ptr()) < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(libc::dup(file.as_raw_fd())))
    }
}

#[test]
fn packets_without_a_link_header_are_captured_both_ways() {
    apart("packets_without_a_link_header_are_captured_both_ways", &OWN_NETWORK, || {
        let device_side = match tun("t0") {
            Ok(tun) => tun,
            Err(e) => {
                println!("SKIPPED packets_without_a_link_header_are_captured_both_ways: /dev/net/tun: {e}");
                return;
            }
        };
        ip("link set t0 addrgenmode none");
        ip("addr add 10.78.0.1/24 dev t0");
        ip("link set t0 up");
        let device: SocketAddr = "10.78.0.91:80".parse().unwrap();
        let mut capture = Capture::open(&CaptureConfig::of([device.ip()])).unwrap();
        assert_eq!((capture.interface(), capture.link()), ("t0", LINKTYPE_RAW));
        let mut tun = std::fs::File::from(device_side);
        let dialling = std::thread::spawn(move || TcpStream::connect(device));
        // The device refuses: a RST that acknowledges the SYN.
        let mut syn = [0; 2048];
        let length = tun.read(&mut syn).unwrap();
        let asked = segment(&syn[..length]);
        let mut answer = bare(asked.to, asked.from, RST | ACK);
        let sequence = u32::from_be_bytes(syn[24..28].try_into().unwrap());
        answer[28..32].copy_from_slice(&sequence.wrapping_add(1).to_be_bytes());
        checksums(&mut answer);
        tun.write_all(&answer).unwrap();
        let refused = dialling.join().unwrap().unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let seen = drain(&mut capture);
        let told: Vec<_> = seen.iter().map(|f| (f.travel, segment(&f.bytes).flags, f.link)).collect();
        assert_eq!(
            told,
            [(Travel::Outgoing, SYN, LINKTYPE_RAW), (Travel::Incoming, RST | ACK, LINKTYPE_RAW)]
        );
    });
}

/// Fills in the checksums of an IPv4 packet with 20 bytes of TCP.
fn checksums(packet: &mut [u8]) {
    let sum =
        |bytes: &[u8]| bytes.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum::<u32>();
    let fold = |n: u32| !(((n & 0xffff) + (n >> 16)) as u16 + u16::from(((n & 0xffff) + (n >> 16)) > 0xffff));
    let header = fold(sum(&packet[..20]));
    packet[10..12].copy_from_slice(&header.to_be_bytes());
    let tcp = fold(sum(&packet[12..40]) + 6 + 20);
    packet[36..38].copy_from_slice(&tcp.to_be_bytes());
}

#[test]
fn what_is_captured_and_written_is_read_back_the_same() {
    apart("what_is_captured_and_written_is_read_back_the_same", &OWN_NETWORK, || {
        ip("link set lo up");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut capture = Capture::open(&CaptureConfig::of([Ipv4Addr::LOCALHOST.into()])).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture.pcapng");
        let config = WriterConfig {
            link: capture.link(),
            snap_length: Keep::Headers.snap_length(),
            interface: capture.interface().to_owned(),
        };
        let mut writer = Writer::create(&path, &config).unwrap();
        for _ in 0..20 {
            exchange(&listener, 300, 3000);
        }
        let (mut number, mut seen) = (0, Vec::new());
        let quiet = Instant::now() + Duration::from_millis(300);
        while Instant::now() < quiet {
            capture
                .next_batch(Duration::from_millis(50), |frame| {
                    number += 1;
                    writer.packet(number, &frame);
                    seen.push((frame.at_ns, frame.bytes.to_vec(), frame.original_len));
                })
                .unwrap();
            writer.batch_done();
        }
        let stats = capture.stats();
        let report = writer.finish(Some(stats));
        assert!(report.failure.is_none());
        assert_eq!((report.packets, report.missed), (stats.packets, 0));
        let mut reader = Reader::open(&path).unwrap();
        let mut read = Vec::new();
        while let Some(r) = reader.next_record() {
            read.push((r.at_ns, r.bytes.to_vec(), r.original_len));
        }
        assert!(reader.end().unwrap().is_complete());
        assert_eq!(reader.dropped(), Some(0));
        assert!(read == seen && !seen.is_empty());
    });
}
