//! The loop of carriers over scripted sockets.

mod support;

use std::collections::VecDeque;
use std::time::Duration;

use espstress_device::carrier::{
    Carrier, Dialled, Entry, Interest, Readiness, Received, Sent, Sockets, Source, entries_needed,
};
use espstress_device::config::Host;
use espstress_device::{
    CloseHow, Config, DeviceWish, ErrorKind, Instant, Program, Readings, Service, SocketOptions,
};
use support::HEAD;

/// A stack with what the test has put into it.
#[derive(Default)]
struct Script {
    now: Instant,
    accepts: VecDeque<Result<u32, ErrorKind>>,
    accept_calls: usize,
    incoming: Vec<u8>,
    sent: Vec<u8>,
    sends: usize,
    datagrams: VecDeque<Vec<u8>>,
    answers: usize,
    closed: Vec<(u32, CloseHow)>,
    device: Vec<DeviceWish>,
    /// How long each wait was allowed to take; `None` for as long as nothing happens.
    waits: Vec<Option<Duration>>,
}

impl Sockets for Script {
    type Id = u32;

    fn now(&self) -> Instant {
        self.now
    }

    fn accept(&mut self, service: Service) -> Result<Option<u32>, ErrorKind> {
        self.accept_calls += 1;
        if service != Service::Http {
            return Ok(None);
        }
        match self.accepts.pop_front() {
            Some(Ok(id)) => Ok(Some(id)),
            Some(Err(kind)) => Err(kind),
            None => Ok(None),
        }
    }

    fn prepare(&mut self, _id: u32, _options: &SocketOptions) {}

    fn receive(&mut self, _id: u32, space: &mut [u8]) -> Received {
        // Little by little, so that a long request takes many steps.
        let n = space.len().min(self.incoming.len()).min(40);
        if n == 0 {
            return Received::NotYet;
        }
        space[..n].copy_from_slice(&self.incoming[..n]);
        self.incoming.drain(..n);
        Received::Bytes(n)
    }

    fn send(&mut self, _id: u32, bytes: &[u8]) -> Sent {
        self.sends += 1;
        self.sent.extend(bytes);
        Sent::Bytes(bytes.len())
    }

    fn shutdown_write(&mut self, _id: u32) {}

    fn close(&mut self, id: u32, how: CloseHow) {
        self.closed.push((id, how));
    }

    fn dial(&mut self, _host: &Host) -> Result<u32, ErrorKind> {
        Err(ErrorKind::Unreachable)
    }

    fn dialled(&mut self, _id: u32) -> Dialled {
        Dialled::NotYet
    }

    fn receive_datagram(&mut self, space: &mut [u8]) -> Option<usize> {
        let datagram = self.datagrams.pop_front()?;
        space[..datagram.len()].copy_from_slice(&datagram);
        Some(datagram.len())
    }

    fn answer_datagram(&mut self, _bytes: &[u8]) {
        self.answers += 1;
    }

    fn readings(&mut self) -> Readings<'_> {
        Readings::default()
    }

    fn device(&mut self, wish: DeviceWish) {
        self.device.push(wish);
    }

    /// Level-triggered, like the poll of lwIP.
    fn wait(&mut self, entries: &mut [Entry<u32>], until: Option<Instant>) {
        self.waits.push(until.map(|until| until.since(self.now)));
        for entry in entries {
            let ready = match (entry.source(), entry.interest()) {
                (Source::Listener(Service::Http), Interest::Read) => !self.accepts.is_empty(),
                (Source::Telemetry, _) => !self.datagrams.is_empty(),
                (Source::Stream(_), Interest::Read) => !self.incoming.is_empty(),
                (Source::Stream(_), Interest::Write) => true,
                _ => false,
            };
            if ready {
                entry.set_ready(Readiness::Ready);
            }
        }
    }
}

fn run(persona: &str, script: Script, test: impl FnOnce(&mut Carrier<'_, Script>)) {
    let config = Config { persona: persona.parse().expect("a persona"), ..Config::default() };
    let mut entries: Vec<_> = (0..entries_needed(&config)).map(|_| Entry::EMPTY).collect();
    test(&mut Carrier::new(Program::new(config, Instant::ZERO), script, &mut entries));
}

#[test]
fn a_failed_accept_is_counted_and_rests_before_the_next() {
    let script = Script { accepts: [Err(ErrorKind::OutOfSockets), Ok(1)].into(), ..Script::default() };
    run("robust", script, |carrier| {
        carrier.turn();
        carrier.turn();
        assert_eq!(carrier.sockets().accept_calls, 1);
        let rest = carrier.sockets().waits[1].expect("the rest has an end");
        assert!(!rest.is_zero());
        carrier.sockets().now = Instant::ZERO + rest;
        carrier.turn();
        let counters = carrier.program().counters(Service::Http);
        assert_eq!((counters.accepted, counters.errors[ErrorKind::OutOfSockets as usize]), (1, 1));
    });
}

#[test]
fn connections_beyond_the_capacity_stay_with_the_stack() {
    let script = Script { accepts: (0..8).map(Ok).collect(), ..Script::default() };
    run("robust", script, |carrier| {
        for _ in 0..5 {
            carrier.turn();
        }
        assert_eq!(carrier.program().counters(Service::Http).open, 5);
        assert_eq!(carrier.sockets().accepts.len(), 3);
    });
}

#[test]
fn a_hung_program_answers_telemetry_and_nothing_else() {
    let script =
        Script { accepts: [Ok(1)].into(), datagrams: [b"telemetry".to_vec()].into(), ..Script::default() };
    run("frozen", script, |carrier| {
        carrier.turn();
        carrier.turn();
        assert_eq!(carrier.sockets().accept_calls, 0);
        assert_eq!(carrier.sockets().answers, 1);
        assert_eq!(carrier.sockets().waits[1], None, "nothing but telemetry is waited for");
    });
}

#[test]
fn a_connection_with_much_to_do_lets_others_have_their_turn_and_comes_back_without_waiting() {
    let script =
        Script { accepts: [Ok(1)].into(), incoming: HEAD.repeat(200).into_bytes(), ..Script::default() };
    run("robust", script, |carrier| {
        carrier.turn();
        assert!(!carrier.sockets().incoming.is_empty(), "not all at once");
        let mut turns = 1;
        while !carrier.sockets().incoming.is_empty() {
            carrier.turn();
            turns += 1;
            assert_eq!(carrier.sockets().waits.last(), Some(&Some(Duration::ZERO)));
            assert!(turns < 1_000, "it does not come to an end");
        }
        carrier.turn();
        let answers =
            carrier.sockets().sent.windows(15).filter(|window| window == b"HTTP/1.1 200 OK").count();
        assert_eq!(answers, 200);
    });
}

#[test]
fn what_is_hoarded_is_taken_from_the_carrier() {
    let script = Script { accepts: [Ok(1)].into(), incoming: HEAD.into(), ..Script::default() };
    run("hoarder", script, |carrier| {
        carrier.turn();
        assert_eq!(carrier.sockets().device, [DeviceWish::Hoard(256)]);
    });
}

#[test]
fn a_host_that_cannot_be_dialled_is_tried_again_later() {
    let config =
        Config { dial: Some(Host { name: "host".try_into().expect("short"), port: 1 }), ..Config::default() };
    let mut entries: Vec<_> = (0..entries_needed(&config)).map(|_| Entry::EMPTY).collect();
    let mut carrier = Carrier::new(Program::new(config, Instant::ZERO), Script::default(), &mut entries);
    for seconds in [0, 0, 3] {
        carrier.sockets().now = Instant::from_millis(seconds * 1_000);
        carrier.turn();
    }
    let errors = carrier.program().counters(Service::Line).errors;
    assert_eq!(errors[ErrorKind::Unreachable as usize], 2);
    assert_eq!(carrier.sockets().waits[1], Some(Duration::from_secs(3)));
}
