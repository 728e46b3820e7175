//! A peer that talks to the stack in raw frames, so that a test decides what is answered and sees
//! everything that is sent, with its time. ARP requests are answered by themselves.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use espstress_lwip::{Dropped, Options, Stack, StackConfig};

use super::frame::{self, ACK, FIN, RST, SYN, Segment};

pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);
/// Long enough for anything that is to happen, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A started stack and its peer.
pub(crate) struct Wire {
    pub(crate) stack: Stack,
    config: StackConfig,
    sent: Receiver<(Instant, Vec<u8>)>,
}

/// The peer's end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Conn {
    pub(crate) port: u16,
    pub(crate) to: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) syn_ack: Segment,
}

/// Options with timers short enough for tests.
pub(crate) fn quick() -> Options {
    Options { tcp_tmr_interval: 20, tcp_msl: 100, tcp_rto_time: 200, ..Options::current() }
}

impl Wire {
    pub(crate) fn with(options: Options) -> Self {
        Self::start(StackConfig { options, ..StackConfig::default() })
    }

    pub(crate) fn start(config: StackConfig) -> Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        let (sender, sent) = channel();
        let output = move |frame: &[u8]| {
            if let (Some(reply), Some(stack)) = (frame::arp_reply(frame), STACK.get()) {
                // Lost in a flood, it is asked for again.
                let _ = stack.input(&reply);
            }
            let _ = sender.send((Instant::now(), frame.to_vec()));
        };
        let stack = Stack::start(config.clone(), output).expect("a first stack");
        STACK.set(stack.clone()).expect("one stack a process");
        Self { stack, config, sent }
    }

    pub(crate) fn device(&self, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.config.ip, port)
    }

    /// Any frame that the stack sends within the time.
    pub(crate) fn next_frame(&self, within: Duration) -> Option<(Instant, Vec<u8>)> {
        self.sent.recv_timeout(within).ok()
    }

    /// The next TCP segment that `wanted` accepts; others are passed over.
    pub(crate) fn next(
        &self,
        within: Duration,
        wanted: impl Fn(&Segment) -> bool,
    ) -> Option<(Instant, Segment)> {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (at, bytes) = self.next_frame(left)?;
            match frame::parse_tcp(&bytes) {
                Some(segment) if wanted(&segment) => return Some((at, segment)),
                _ => {}
            }
        }
    }

    /// Everything accepted until the stack has been silent for `quiet`.
    pub(crate) fn all_until_quiet(
        &self,
        quiet: Duration,
        wanted: impl Fn(&Segment) -> bool,
    ) -> Vec<(Instant, Segment)> {
        std::iter::from_fn(|| self.next(quiet, &wanted)).collect()
    }

    pub(crate) fn send(&self, segment: &Segment) {
        let frame = frame::tcp(self.config.mac, PEER, self.config.ip, segment);
        self.stack.input(&frame).expect("room for a segment");
    }

    /// Sends if the stack takes it.
    pub(crate) fn try_send(&self, segment: &Segment) -> Result<(), Dropped> {
        let frame = frame::tcp(self.config.mac, PEER, self.config.ip, segment);
        self.stack.input(&frame)
    }

    pub(crate) fn send_udp(&self, from: u16, to: u16, payload: &[u8]) {
        let frame = frame::udp(self.config.mac, (PEER, from), (self.config.ip, to), payload);
        self.stack.input(&frame).expect("room for a datagram");
    }

    pub(crate) fn ping(&self) -> Vec<u8> {
        frame::echo_request(self.config.mac, PEER, self.config.ip)
    }

    pub(crate) fn send_syn(&self, port: u16, to: u16) -> Segment {
        let syn = Segment {
            from: port,
            to,
            seq: 1_000,
            ack: 0,
            flags: SYN,
            window: 64_000,
            mss: Some(1_460),
            scale: Some(7),
            payload: Vec::new(),
        };
        // A stack without room drops it, and leaves it unanswered.
        let _ = self.try_send(&syn);
        syn
    }

    /// Sends a SYN and completes the handshake, if it is answered within the time.
    pub(crate) fn connect_within(&self, port: u16, to: u16, within: Duration) -> Option<Conn> {
        self.send_syn(port, to);
        let (_, syn_ack) = self.next(within, |s| s.to == port && s.has(SYN))?;
        assert_eq!(syn_ack.ack, 1_001);
        let conn = Conn { port, to, seq: 1_001, ack: syn_ack.seq.wrapping_add(1), syn_ack };
        let _ = self.try_send(&conn.segment(ACK, b""));
        Some(conn)
    }

    pub(crate) fn connect(&self, port: u16, to: u16) -> Conn {
        self.connect_within(port, to, PATIENCE).expect("a SYN-ACK")
    }

    pub(crate) fn send_data(&self, conn: &mut Conn, payload: &[u8]) {
        self.send(&conn.segment(ACK | frame::PSH, payload));
        conn.seq = conn.seq.wrapping_add(payload.len() as u32);
    }

    /// Waits for the device's FIN, acknowledges it, and sends one if asked to.
    pub(crate) fn answer_fin(&self, conn: &mut Conn, with: u8) {
        let (_, fin) = self.next(PATIENCE, |s| s.to == conn.port && s.has(FIN)).expect("the device's FIN");
        conn.ack = fin.seq.wrapping_add(fin.payload.len() as u32).wrapping_add(1);
        self.send(&conn.segment(ACK | with, b""));
    }

    /// The first segment of a connection that ends it: its flags hold FIN or RST.
    pub(crate) fn ending(&self, conn: &Conn) -> Segment {
        self.next(PATIENCE, |s| s.to == conn.port && (s.has(FIN) || s.has(RST)))
            .expect("an end of the connection")
            .1
    }

    /// Waits until a reading of the stack is as asked.
    pub(crate) fn until(&self, what: &str, done: impl Fn(&Stack) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(&self.stack) {
            assert!(Instant::now() < end, "{what}: {:?}", self.stack.stats());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Conn {
    pub(crate) fn segment(&self, flags: u8, payload: &[u8]) -> Segment {
        Segment {
            from: self.port,
            to: self.to,
            seq: self.seq,
            ack: self.ack,
            flags,
            window: 64_000,
            mss: None,
            scale: None,
            payload: payload.to_vec(),
        }
    }
}
