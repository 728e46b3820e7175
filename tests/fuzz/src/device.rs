//! The device program: its services, its datagrams, and its MQTT client under a broker that says anything.

use std::time::Duration;

use espstress_device::control::Command;
use espstress_device::framed::{HEADER_LEN, Header, Report, Subscribe};
use espstress_device::mqtt::{Qos, Settings};
use espstress_device::persona::Kind;
use espstress_device::text::Token;
use espstress_device::{CloseHow, Config, Persona, Readings, Service};

use crate::input::Input;
use bench::{Bench, HEAD, Waits};
use broker::World;

#[path = "../../../firmware/device/tests/support/mod.rs"]
mod bench;
#[path = "../../../firmware/device/tests/mqtt_client/broker.rs"]
#[expect(dead_code, reason = "the device's own tests use the rest")]
mod broker;

pub(crate) const WORDS: &[&str] = &[
    "HEAD / HTTP/1.1\r\nHost: d\r\n\r\n",
    "GET /telemetry",
    "POST /control?",
    "Content-Length: ",
    "Authorization: Bearer t\r\n",
    "Transfer-Encoding: chunked\r\n",
    "persona=frozen",
    "reboot=true",
    "outage_ms=",
    "ESF1",
    "\n",
    "?bytes=",
    "Expect: 100-continue\r\n",
    "{\"n\":1}\n",
    "telemetry 1",
];

fn token() -> Option<Token> {
    Token::new("t").ok().flatten()
}

/// Pieces for one connection of a service, with pauses between them, and what a datagram and a control request say.
pub(crate) fn services(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let service = Service::TCP[usize::from(input.byte()) % Service::TCP.len()];
    let kind = Kind::ALL[usize::from(input.byte()) % Kind::ALL.len()];
    let (pause, piece) = (u64::from(input.byte()), usize::from(input.byte()) + 1);
    let mut bench = Bench::new(Config { token: token(), persona: Persona::new(kind), ..Config::default() });
    datagram(&bench, input.rest());
    headers(input.rest());
    let mut wire = bench.open(service);
    wire.piece = piece;
    for part in input.pieces() {
        bench.say(&mut wire, part);
        bench.wishes();
        bench.pass(Duration::from_millis(pause * pause));
        bench.wishes();
        bench.run(&mut wire);
        if let Some(deadline) = wire.connection.deadline() {
            assert!(deadline > bench.now, "a deadline that has passed: {kind:?}");
        }
        // What was sent is the peer's.
        drop(wire.take_sent());
    }
    bench.close_peer(&mut wire);
    // A robust device serves on, unless it was told to be another one.
    if *bench.program.persona() == Persona::ROBUST && !bench.program.is_hung() {
        let mut next = bench.open(Service::Http);
        bench.say(&mut next, HEAD);
        assert!(next.sent.starts_with(b"HTTP/1.1 200 OK"), "{}", next.sent_text());
        assert_eq!(bench.close_peer(&mut next), Waits::Closed(CloseHow::Orderly));
    }
}

fn datagram(bench: &Bench, bytes: &[u8]) {
    let mut answer = [0; 1_400];
    let bytes = &bytes[..bytes.len().min(1_472)];
    let len = bench.program.answer_datagram(bytes, &Readings::default(), bench.now, &mut answer);
    if let Some(len) = len {
        assert!(bytes.starts_with(b"telemetry"));
        assert!(serde_json::from_slice::<serde_json::Value>(&answer[..len]).is_ok());
    }
}

fn headers(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk::<HEADER_LEN>() {
        let _ = Header::decode(head);
    }
    let _ = (Report::decode(bytes), Subscribe::decode(bytes));
    let (body, query) = bytes.split_at(bytes.len() / 2);
    let _ = Command::read(body, &String::from_utf8_lossy(query));
}

/// What a broker says, piece by piece, with pauses. Afterwards the client works with a broker that serves.
pub(crate) fn mqtt_client(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let of_mqtt: Vec<Kind> =
        Kind::ALL.into_iter().filter(|kind| kind.is_of_mqtt()).chain([Kind::Robust]).collect();
    let persona = of_mqtt[usize::from(input.byte()) % of_mqtt.len()];
    let settings = input.byte();
    let qos = if settings & 1 == 0 { Qos::AtMostOnce } else { Qos::AtLeastOnce };
    let mut world =
        World::new(persona.name(), Settings { qos, clean: settings & 2 == 0, ..Settings::default() });
    world.pass(Duration::from_secs(u64::from(settings >> 2)));
    let pause = Duration::from_millis(u64::from(input.byte()) * 100);
    for piece in input.pieces().take(64) {
        if world.is_connected() {
            world.say(piece);
        }
        world.pass(pause);
        drop(world.take());
    }
    // In the middle of a packet, the client waits for the rest of it until its keep alive is over.
    if world.is_connected() {
        world.hang_up();
    }
    if persona != Kind::MqttNoRetry {
        world.session = false;
        drop(world.take());
        world.pass(Duration::from_secs(200));
        assert!(world.is_connected(), "{persona:?}");
    }
}
