//! What telemetry says of the stack is what its segments show: on a driver in memory, with a peer of a few frames.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embassy_futures::block_on;
use embassy_time::Timer;
use espstress_device::telemetry::ResetReason;
use espstress_device::{Config, DeviceWish, Readings};
use espstress_embassy::driver::{
    Capabilities, Checksum, Driver, HardwareAddress, LinkState, RxToken, TxToken,
};
use espstress_embassy::host::{self, Place};
use espstress_embassy::{Board, Change, Device};

const DEVICE: [u8; 4] = [192, 168, 4, 91];
const PEER: [u8; 4] = [192, 168, 4, 1];
const DEVICE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 91];
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// Frames both ways.
#[derive(Default)]
struct Wire {
    to_device: VecDeque<Vec<u8>>,
    from_device: VecDeque<Vec<u8>>,
    device: Option<Waker>,
    peer: Option<Waker>,
}

#[derive(Clone, Default)]
struct Link(Rc<RefCell<Wire>>);

impl Link {
    fn send(&self, frame: Vec<u8>) {
        let mut wire = self.0.borrow_mut();
        wire.to_device.push_back(frame);
        if let Some(waker) = wire.device.take() {
            waker.wake();
        }
    }

    /// The device's next frame of which this makes something.
    async fn receive<T>(&self, look: impl Fn(&[u8]) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut wire = self.0.borrow_mut();
            while let Some(frame) = wire.from_device.pop_front() {
                if let Some(found) = look(&frame) {
                    return Poll::Ready(found);
                }
            }
            wire.peer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// The device's end of it.
struct Port {
    link: Link,
    mtu: usize,
    burst: Option<usize>,
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, look: F) -> R {
        look(&mut self.0)
    }
}

struct Sent(Link);

impl TxToken for Sent {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        let mut wire = self.0.0.borrow_mut();
        wire.from_device.push_back(frame);
        if let Some(waker) = wire.peer.take() {
            waker.wake();
        }
        result
    }
}

impl Driver for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sent;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received, Sent)> {
        let mut wire = self.link.0.borrow_mut();
        let frame = wire.to_device.pop_front();
        if frame.is_none() {
            wire.device = Some(cx.waker().clone());
        }
        Some((Received(frame?), Sent(self.link.clone())))
    }

    fn transmit(&mut self, _cx: &mut Context<'_>) -> Option<Sent> {
        Some(Sent(self.link.clone()))
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = self.mtu;
        capabilities.max_burst_size = self.burst;
        // The peer's frames have none.
        capabilities.checksum.ipv4 = Checksum::None;
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(DEVICE_MAC)
    }
}

/// Counts what it hears of connections.
#[derive(Default)]
struct Host {
    came: Cell<u32>,
    gone: Cell<u32>,
}

impl Board for Host {
    fn with_readings<R>(&self, use_them: impl FnOnce(&Readings<'_>) -> R) -> R {
        use_them(&Readings { options: &[("chip", "none")], stack: host::STACK, ..Readings::default() })
    }

    fn obey(&self, _wish: DeviceWish) {}

    fn connection(&self, change: Change) {
        let count = match change {
            Change::Comes => &self.came,
            Change::Goes => &self.gone,
        };
        count.set(count.get() + 1);
    }

    fn restart(&self, _reason: ResetReason, _next: Config) {}
}

/// An Ethernet frame from the peer.
fn frame(kind: [u8; 2], packet: &[u8]) -> Vec<u8> {
    [&DEVICE_MAC[..], &PEER_MAC, &kind, packet].concat()
}

/// "Who has the device's address?", from which the device learns the peer's (RFC 826).
fn arp() -> Vec<u8> {
    frame([8, 6], &[&[0, 1, 8, 0, 6, 4, 0, 1][..], &PEER_MAC, &PEER, &[0; 6], &DEVICE].concat())
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + payload.len() as u16).to_be_bytes();
    let head = [0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0];
    frame([8, 0], &[&head[..], &PEER, &DEVICE, payload].concat())
}

fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let words = [4_000, port, 8 + payload.len() as u16, 0].map(u16::to_be_bytes).concat();
    ipv4(17, &[&words, payload].concat())
}

const SYN: u8 = 2;
const ACK: u8 = 16;
const RST: u8 = 4;

/// A segment to port 80, with an MSS of 1460 when it is a SYN.
fn segment(flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let ports = [5_000u16, 80].map(u16::to_be_bytes).concat();
    let numbers = [seq, ack].map(u32::to_be_bytes).concat();
    let options: &[u8] = if flags == SYN { &[2, 4, 5, 180] } else { &[] };
    let words = (5 + options.len() as u8 / 4) << 4;
    let rest = [words, flags, 0x40, 0, 0, 0, 0, 0];
    ipv4(6, &[&ports, &numbers, &rest[..], options, payload].concat())
}

/// The TCP part of a frame of the device's.
fn tcp(frame: &[u8]) -> Option<&[u8]> {
    (frame[12..14] == [8, 0] && frame[23] == 6).then(|| &frame[34..])
}

fn window(tcp: &[u8]) -> u16 {
    u16::from_be_bytes([tcp[14], tcp[15]])
}

/// What the device showed.
struct Shown {
    telemetry: String,
    mss: u16,
    syn_ack: u16,
    /// Length of the SYN-ACK's TCP header.
    syn_ack_header: u16,
    /// The window of the acknowledgement of data that the program has read.
    later: u16,
    /// Connections that the board heard of: come and gone, while it stood and after its RST.
    heard: [(u32, u32); 2],
}

impl Shown {
    fn tells(&self, name: &str, value: impl std::fmt::Display) -> bool {
        self.telemetry.contains(&format!("\"{name}\":\"{value}\""))
    }
}

/// A device on such a driver, asked for telemetry and spoken to once.
fn shown(mtu: usize, burst: Option<usize>) -> Shown {
    let link = Link::default();
    let device = Device::new(Config::default(), Host::default());
    let place =
        Place { address: Ipv4Addr::from(DEVICE), prefix: 24, gateway: None, name: "espstress-wire", seed: 1 };
    let peer = async {
        link.send(arp());
        link.receive(|frame| (frame[12..14] == [8, 6] && frame[21] == 2).then_some(())).await;
        link.send(segment(SYN, 100, 0, b""));
        let (mss, syn_ack, syn_ack_header, seq) = link
            .receive(|frame| {
                let tcp = tcp(frame).filter(|tcp| tcp[13] == SYN | ACK)?;
                assert_eq!(tcp[20..22], [2, 4], "MSS is the first option");
                let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
                let header = u16::from(tcp[12] >> 4) * 4;
                Some((u16::from_be_bytes([tcp[22], tcp[23]]), window(tcp), header, seq))
            })
            .await;
        // The answer to this acknowledges all of it, and the program has read all of it.
        let request = b"HEAD / HTTP/1.1\r\nHost: b\r\n\r\n";
        link.send(segment(ACK, 101, seq.wrapping_add(1), request));
        let later = link.receive(|frame| tcp(frame).filter(|tcp| tcp.len() > 20).map(window)).await;
        link.send(datagram(7008, b"telemetry"));
        let telemetry = link
            .receive(|frame| {
                let is_udp =
                    frame[12..14] == [8, 0] && frame[23] == 17 && frame[34..36] == 7008u16.to_be_bytes();
                is_udp.then(|| String::from_utf8_lossy(&frame[42..]).into_owned())
            })
            .await;
        let heard = || (device.board().came.get(), device.board().gone.get());
        let stood = heard();
        link.send(segment(RST, 101 + request.len() as u32, 0, b""));
        while device.board().gone.get() == 0 {
            Timer::after_millis(1).await;
        }
        Shown { telemetry, mss, syn_ack, syn_ack_header, later, heard: [stood, heard()] }
    };
    block_on(host::live(&device, Port { link: link.clone(), mtu, burst }, place, peer))
}

#[test]
fn segment_and_window_are_told_as_the_syn_ack_has_them() {
    for (mtu, mss) in [(1_514, 1_460), (1_492, 1_438), (1_400, 1_346)] {
        let shown = shown(mtu, None);
        assert_eq!((shown.mss, shown.syn_ack, shown.later), (mss, 5_760, 5_760));
        assert!(shown.tells("TCP_MSS", mss) && shown.tells("TCP_WND", 5_760), "{}", shown.telemetry);
    }
}

#[test]
fn a_driver_that_takes_few_frames_at_once_makes_the_window_that_is_told() {
    let shown = shown(1_492, Some(3));
    assert_eq!(shown.later, 3 * (1_492 - 40));
    assert_eq!(shown.syn_ack, 3 * (1_492 - 20 - shown.syn_ack_header), "its options take room in each frame");
    assert!(shown.tells("TCP_WND", shown.later) && shown.tells("TCP_MSS", shown.mss), "{}", shown.telemetry);
}

#[test]
fn the_board_hears_when_a_connection_comes_and_when_it_is_over() {
    assert_eq!(shown(1_514, None).heard, [(1, 0), (1, 1)]);
}

#[test]
fn every_option_of_the_stack_is_told_and_then_those_of_the_board() {
    let told = shown(1_514, None).telemetry;
    let options = told.split_once("\"options\":").map(|(_, options)| options).unwrap_or_default();
    assert!(
        options.starts_with(
            "{\"TCP_WND\":\"5760\",\"TCP_SND_BUF\":\"2920\",\"TCP_MSS\":\"1460\",\"TIME_WAIT_MS\":\"10000\",\
             \"FIN_WAIT_MS\":\"20000\",\"POOL\":\"12\",\"BACKLOG\":\"none\",\"chip\":\"none\"}"
        ),
        "{told}"
    );
}
