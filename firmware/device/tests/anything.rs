//! Arbitrary bytes in arbitrary pieces on every service: nothing panics, nothing spins, everything still serves.

mod support;

use std::time::Duration;

use espstress_device::framed::{Header, Kind, fill_payload};
use espstress_device::persona::Kind as Persona;
use espstress_device::text::Token;
use espstress_device::{Admission, CloseHow, Config, Persona as Setup, Readings, Service};
use proptest::prelude::*;
use support::{Bench, HEAD, Waits};

/// What somebody may send: noise, or something that starts out right.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let beginnings = prop::sample::select(vec![
        &b""[..],
        b"HEAD / HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /telemetry HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET /?bytes=5000 HTTP/1.1\r\nHost: d\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: ",
        b"POST /control HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer t\r\nContent-Length: 20\r\n\r\n{\"outage_ms\": ",
        b"POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 99999\r\n\r\n",
        b"ESF1\x01\x00",
        b"{\"n\":1}\n\n[1]\n",
        b"\n\r\n\r",
    ]);
    (beginnings, prop::collection::vec(any::<u8>(), 0..3_000)).prop_map(|(beginning, noise)| {
        let mut bytes = beginning.to_vec();
        bytes.extend(noise);
        bytes
    })
}

fn service() -> impl Strategy<Value = Service> {
    prop::sample::select(Service::TCP.to_vec())
}

fn serves(bench: &mut Bench) -> bool {
    if bench.program.admit(Service::Http, bench.now) != Admission::Accept {
        return false;
    }
    let mut wire = bench.open(Service::Http);
    bench.say(&mut wire, HEAD);
    let served = wire.sent.starts_with(b"HTTP/1.1 200 OK");
    bench.close_peer(&mut wire) == Waits::Closed(CloseHow::Orderly) && served
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_a_robust_device_serves_on(
        service in service(),
        stream in stream(),
        piece in 1usize..2_000,
    ) {
        let mut bench = Bench::new(Config { token: Token::new("t").unwrap(), ..Config::default() });
        let mut wire = bench.open(service);
        wire.piece = piece;
        bench.say(&mut wire, &stream);
        prop_assert!(serves(&mut bench), "beside the connection");
        let end = bench.close_peer(&mut wire);
        prop_assert!(matches!(end, Waits::Closed(_)), "{:?} after the peer's end", end);
        prop_assert!(serves(&mut bench), "after the connection");
        prop_assert_eq!(bench.program.counters(service).open, 0);
    }

    #[test]
    fn answers_do_not_depend_on_how_the_stream_is_cut(
        service in service(),
        stream in stream(),
        piece in 1usize..100,
    ) {
        let answer = |piece| {
            let mut bench = Bench::new(Config::default());
            let mut wire = bench.open(service);
            wire.piece = piece;
            bench.say(&mut wire, &stream);
            bench.close_peer(&mut wire);
            wire.take_sent()
        };
        // Telemetry counts what was served meanwhile, which is the same for both.
        prop_assert_eq!(answer(piece), answer(usize::MAX));
    }

    #[test]
    fn no_persona_panics_or_spins_whatever_comes_and_however_time_passes(
        kind in prop::sample::select(Persona::ALL.to_vec()),
        service in service(),
        stream in stream(),
        pauses in prop::collection::vec(0u64..70_000, 1..8),
    ) {
        let mut bench = Bench::new(Config { persona: Setup::new(kind), ..Config::default() });
        let mut wire = bench.open(service);
        for piece in stream.chunks(stream.len() / pauses.len() + 1) {
            bench.say(&mut wire, piece);
            bench.wishes();
        }
        for pause in pauses {
            bench.pass(Duration::from_millis(pause));
            bench.wishes();
            bench.run(&mut wire);
            if let Some(deadline) = wire.connection.deadline() {
                prop_assert!(deadline > bench.now, "a deadline that has passed: {:?}", kind);
            }
        }
    }

    #[test]
    fn echoes_come_back_whole_however_they_are_cut(
        lens in prop::collection::vec(0usize..5_000, 1..5),
        piece in 1usize..2_000,
    ) {
        let mut bench = Bench::new(Config::default());
        let mut wire = bench.open(Service::Framed);
        wire.piece = piece;
        let mut expected = Vec::new();
        for (sequence, len) in lens.into_iter().enumerate() {
            let sequence = sequence as u32;
            let mut payload = vec![0; len];
            fill_payload(sequence, &mut payload);
            let header = Header::new(Kind::Echo, sequence, &payload);
            expected.extend(Header { kind: Kind::EchoReply, ..header }.encode());
            expected.extend(&payload);
            wire.unread.extend(header.encode());
            wire.unread.extend(&payload);
        }
        bench.run(&mut wire);
        prop_assert_eq!(wire.take_sent(), expected);
    }

    #[test]
    fn any_datagram_gets_telemetry_or_nothing(
        start in prop::sample::select(vec![&b""[..], b"telemetry", b"telemetry "]),
        rest in prop::collection::vec(prop_oneof![any::<u8>(), b'0'..=b'9'], 0..12),
    ) {
        let datagram = [start, &rest].concat();
        let bench = Bench::new(Config::default());
        let mut answer = [0; 1_400];
        let len = bench.program.answer_datagram(&datagram, &Readings::default(), bench.now, &mut answer);
        match len {
            Some(len) => {
                prop_assert!(datagram.starts_with(b"telemetry"));
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&answer[..len]).is_ok());
            }
            None => prop_assert_ne!(datagram, b"telemetry"),
        }
    }

    #[test]
    fn any_text_is_a_persona_or_an_error(text in ".{0,40}") {
        if let Ok(persona) = text.parse::<Setup>() {
            prop_assert!(text.trim_start().starts_with(persona.name()));
        }
    }
}
