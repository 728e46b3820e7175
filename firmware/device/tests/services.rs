//! Services with time by hand: what depends on the clock, on cuts, and on limits.

mod support;

use std::time::Duration;

use espstress_device::config::{Host, LineTimes};
use espstress_device::framed::{HEADER_LEN, Header, Kind, MAX_PAYLOAD, MOST_UNACKNOWLEDGED, Subscribe};
use espstress_device::telemetry::{
    DisconnectReason, Heap, MAX_LEN, PowerSave, Readings, ResetReason, SocketUse, Stack, TcpUse, Wifi,
};
use espstress_device::text::{Text, Token};
use espstress_device::{CloseHow, Config, DeviceWish, ErrorKind, Instant, Service};
use support::{Bench, HEAD, Waits, Wire};

fn with_token() -> Bench {
    Bench::new(Config { token: Token::new("secret").unwrap(), ..Config::default() })
}

fn control(body: &str) -> String {
    let len = body.len();
    format!(
        "POST /control HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer secret\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

#[test]
fn a_commanded_outage_begins_after_the_answer_is_out() {
    let mut bench = with_token();
    let mut wire = bench.open(Service::Http);
    bench.say(&mut wire, control(r#"{"outage_ms": 2500}"#));
    assert!(wire.sent_text().starts_with("HTTP/1.1 200"));
    assert_eq!(bench.wishes(), []);
    bench.now = bench.program.next_wish_at().expect("an outage is to come");
    assert_eq!(bench.wishes(), [DeviceWish::LeaveNetwork(Duration::from_millis(2_500))]);
}

#[test]
fn power_save_and_reboot_become_wishes() {
    let mut bench = with_token();
    let mut wire = bench.open(Service::Http);
    bench.say(&mut wire, control(r#"{"power_save": "MAX_MODEM", "reboot": true}"#));
    bench.pass(Duration::from_secs(1));
    let wishes = bench.wishes();
    assert_eq!(
        wishes,
        [DeviceWish::PowerSave(PowerSave::MaxModem), DeviceWish::Restart(ResetReason::Software)]
    );
}

#[test]
fn without_a_token_set_up_no_token_opens_control() {
    let mut bench = Bench::new(Config::default());
    let mut wire = bench.open(Service::Http);
    for shown in ["secret", "", " "] {
        bench.say(
            &mut wire,
            format!("POST /control?reboot=true HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer {shown}\r\n\r\n"),
        );
        assert!(wire.sent_text().starts_with("HTTP/1.1 403"), "{}", wire.sent_text());
        wire.take_sent();
    }
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.wishes(), []);
}

#[test]
fn a_drain_ends_by_itself_when_the_peer_does_not_close() {
    let mut bench = Bench::new(Config::default());
    let mut wire = bench.open(Service::Http);
    assert_eq!(bench.say(&mut wire, "nonsense\r\n\r\n"), Waits::Reading);
    assert!(wire.shut);
    bench.say(&mut wire, "more and more");
    bench.now = wire.connection.deadline().expect("a drain has an end");
    assert_eq!(bench.run(&mut wire), Waits::Closed(CloseHow::Orderly));
    assert_eq!(bench.program.counters(Service::Http).errors[ErrorKind::Malformed as usize], 1);
}

#[test]
fn a_peer_that_takes_nothing_for_a_minute_is_reset() {
    let mut bench = Bench::new(Config::default());
    let mut wire = bench.open(Service::Http);
    wire.unread = HEAD.into();
    let espstress_device::Wish::Read(space) = wire.connection.next(&mut bench.program, bench.now) else {
        panic!("a new connection reads");
    };
    space[..HEAD.len()].copy_from_slice(HEAD.as_bytes());
    wire.connection.received(HEAD.len());
    let wish = wire.connection.next(&mut bench.program, bench.now);
    assert!(matches!(wish, espstress_device::Wish::Write(_)));
    bench.now = wire.connection.deadline().expect("a write has an end");
    assert_eq!(bench.run(&mut wire), Waits::Closed(CloseHow::Abort));
}

#[test]
fn a_frame_above_the_limit_is_refused_before_its_payload() {
    let mut bench = Bench::new(Config::default());
    let mut wire = bench.open(Service::Framed);
    let mut header = Header::new(Kind::Echo, 1, b"");
    header.length = MAX_PAYLOAD + 1;
    bench.say(&mut wire, header.encode());
    let answer = Header::decode(wire.sent[..20].try_into().unwrap()).unwrap();
    assert_eq!(answer.kind, Kind::Error);
    assert!(wire.shut);
}

/// A connection whose heartbeats come every so many milliseconds.
fn beating(bench: &mut Bench, interval_ms: u32) -> Wire {
    let mut wire = bench.open(Service::Framed);
    let subscribe = Subscribe { session: 5, interval_ms }.encode();
    let mut message = Header::new(Kind::Subscribe, 1, &subscribe).encode().to_vec();
    message.extend(subscribe);
    bench.say(&mut wire, message);
    wire.take_sent();
    wire
}

fn acknowledge(bench: &mut Bench, wire: &mut Wire, number: u32) {
    bench.say(wire, Header::new(Kind::Ack, number, b"").encode());
}

/// The numbers of the heartbeats that came since the last look, and nothing else came.
fn beats(wire: &mut Wire) -> Vec<u32> {
    let sent = wire.take_sent();
    let headers = sent.chunks(HEADER_LEN).map(|bytes| Header::decode(bytes.try_into().unwrap()).unwrap());
    headers.inspect(|header| assert_eq!(header.kind, Kind::Heartbeat)).map(|header| header.sequence).collect()
}

#[test]
fn the_devices_heartbeats_come_at_their_interval() {
    let mut bench = Bench::new(Config::default());
    let mut wire = beating(&mut bench, 100);
    for number in 1..=100 {
        let due = wire.connection.deadline().expect("a heartbeat is to come");
        assert_eq!(due, Instant::from_millis(100 * u64::from(number)));
        bench.now = due;
        bench.run(&mut wire);
        assert_eq!(beats(&mut wire), [number]);
        acknowledge(&mut bench, &mut wire, number);
        assert!(beats(&mut wire).is_empty(), "more than was due");
    }
}

#[test]
fn heartbeats_that_nobody_acknowledges_end_at_the_bound_and_go_on_at_their_interval_with_an_ack() {
    let mut bench = Bench::new(Config::default());
    let mut wire = beating(&mut bench, 100);
    let mut came = Vec::new();
    for _ in 0..100 {
        bench.pass(Duration::from_millis(100));
        bench.run(&mut wire);
        came.extend(beats(&mut wire));
    }
    assert_eq!(came, (1..=MOST_UNACKNOWLEDGED).collect::<Vec<_>>());
    assert!(wire.connection.deadline().is_none_or(|deadline| deadline > bench.now), "spins");
    // One that was waiting goes out at once, and none for those that would have followed it.
    acknowledge(&mut bench, &mut wire, 1);
    assert_eq!(beats(&mut wire), [MOST_UNACKNOWLEDGED + 1]);
    acknowledge(&mut bench, &mut wire, MOST_UNACKNOWLEDGED);
    assert!(beats(&mut wire).is_empty(), "more than was due");
    for number in MOST_UNACKNOWLEDGED + 2..=2 * MOST_UNACKNOWLEDGED {
        bench.pass(Duration::from_millis(100));
        bench.run(&mut wire);
        assert_eq!(beats(&mut wire), [number]);
    }
}

#[test]
fn a_heartbeat_that_is_due_during_an_echo_waits_without_spinning() {
    let mut bench = Bench::new(Config::default());
    let mut wire = beating(&mut bench, 100);
    let mut echo = Header::new(Kind::Echo, 2, b"");
    echo.length = 10;
    bench.say(&mut wire, echo.encode());
    bench.pass(Duration::from_secs(1));
    bench.run(&mut wire);
    assert!(wire.connection.deadline().is_none_or(|deadline| deadline > bench.now));
}

#[test]
fn a_wrong_checksum_is_counted_and_comes_back_as_it_was() {
    let mut bench = Bench::new(Config::default());
    let mut wire = bench.open(Service::Framed);
    let header = Header::new(Kind::Echo, 1, b"right");
    let mut message = header.encode().to_vec();
    message.extend(b"wrong");
    bench.say(&mut wire, message);
    assert_eq!(&wire.sent[20..], b"wrong");
    assert_eq!(Header::decode(wire.sent[..20].try_into().unwrap()).unwrap().checksum, header.checksum);
    assert_eq!(bench.program.counters(Service::Framed).errors[ErrorKind::Corrupt as usize], 1);
}

fn dialling() -> Bench {
    Bench::new(Config {
        number: 3,
        dial: Some(Host { name: Text::try_from("host").unwrap(), port: 8123 }),
        ..Config::default()
    })
}

#[test]
fn a_device_that_dials_says_its_number_first_then_keeps_alive_and_sends_data() {
    let mut bench = dialling();
    assert_eq!(bench.program.config().capacity(), 4, "dialling takes a socket");
    assert!(bench.program.poll_dial(bench.now).is_some());
    assert!(bench.program.poll_dial(bench.now).is_none(), "only once");
    let connection = bench.program.dialled(bench.now);
    let mut wire = bench.wire(connection);
    bench.run(&mut wire);
    assert_eq!(wire.sent_text(), "3\n");
    wire.take_sent();
    let mut lines = Vec::new();
    while bench.now < Instant::from_millis(5_000) {
        bench.now = wire.connection.deadline().expect("always something to come");
        bench.say(&mut wire, "\n");
        let sent = wire.take_sent();
        if !sent.is_empty() {
            lines.push((bench.now.as_millis(), String::from_utf8(sent).unwrap()));
        }
    }
    let expected: Vec<_> = [1_000, 2_000, 3_000, 4_000].into_iter().map(|at| (at, "\n".to_owned())).collect();
    assert_eq!(lines[..4], expected);
    assert_eq!(lines[4], (5_000, "[1,0]\n".to_owned()));
}

#[test]
fn a_lost_host_is_noticed_after_the_time_out_and_dialled_after_twice_that() {
    let mut bench = dialling();
    let _ = bench.program.poll_dial(bench.now);
    let connection = bench.program.dialled(bench.now);
    let mut wire = bench.wire(connection);
    bench.run(&mut wire);
    let LineTimes { timeout, .. } = bench.program.config().line;
    bench.pass(timeout);
    assert_eq!(bench.run(&mut wire), Waits::Closed(CloseHow::Orderly));
    assert_eq!(bench.program.poll_dial(bench.now), None);
    assert_eq!(bench.program.next_dial_at(), Some(bench.now + timeout * 2));
    bench.pass(timeout * 2);
    assert!(bench.program.poll_dial(bench.now).is_some());
    bench.program.dial_failed(ErrorKind::Refused, bench.now);
    assert_eq!(bench.program.next_dial_at(), Some(bench.now + timeout * 2));
}

#[test]
fn telemetry_is_json_with_null_for_what_is_not_there() {
    let bench = Bench::new(Config::default());
    let mut bytes = [0; MAX_LEN];
    let len = bench.program.telemetry(&Readings::default(), Instant::from_millis(1_234), &mut bytes);
    let json: serde_json::Value = serde_json::from_slice(&bytes[..len]).unwrap();
    assert!(json["heap"].is_null() && json["wifi"].is_null());
    assert_eq!(json["uptime_ms"], 1_234);
    assert_eq!(json["sockets"]["used"], 5);
    assert_eq!(json["reset_reason"], "POWERON");
}

#[test]
fn telemetry_gives_readings_under_names_with_units() {
    let bench = Bench::new(Config::default());
    let readings = Readings {
        heap: Some(Heap { free: 1, min_free: Some(2), largest: None, total: 4 }),
        wifi: Some(Wifi {
            rssi_dbm: Some(-67),
            disconnects: 3,
            last_reason: Some(DisconnectReason(200)),
            power_save: PowerSave::MinModem,
        }),
        sockets: Some(SocketUse { used: 9, limit: 10 }),
        tcp: Some(TcpUse { established: 4, close_wait: 1, fin_wait: 2, time_wait: 65_535 }),
        stack: Stack { name: "a \"stack\"\n", version: "1\\2" },
        options: &[("TCP_MSL", "60000")],
    };
    let mut bytes = [0; MAX_LEN];
    let len = bench.program.telemetry(&readings, Instant::ZERO, &mut bytes);
    let json: serde_json::Value = serde_json::from_slice(&bytes[..len]).unwrap();
    assert_eq!(json["heap"]["free_bytes"], 1);
    assert!(json["heap"]["largest_free_block_bytes"].is_null());
    assert_eq!(json["wifi"]["rssi_dbm"], -67);
    assert_eq!(json["wifi"]["last_disconnect_reason"], "BEACON_TIMEOUT");
    assert_eq!(json["wifi"]["power_save"], "MIN_MODEM");
    assert_eq!(json["sockets"]["used"], 9);
    assert_eq!((&json["tcp"]["close_wait"], &json["tcp"]["time_wait"]), (&1.into(), &65_535.into()));
    assert_eq!(json["stack"]["name"], "a \"stack\"\n");
    assert_eq!(json["options"]["TCP_MSL"], "60000");
}

#[test]
fn telemetry_stays_within_a_datagram_however_many_options_and_errors_there_are() {
    let mut bench = Bench::new(Config::default());
    for service in Service::TCP {
        for kind in ErrorKind::ALL {
            for _ in 0..1_000 {
                bench.program.count_error(service, kind);
            }
        }
    }
    let options: Vec<_> = (0..100).map(|_| ("CONFIG_LWIP_TCP_SND_BUF_DEFAULT", "5760")).collect();
    let tcp = TcpUse { established: u16::MAX, close_wait: u16::MAX, fin_wait: u16::MAX, time_wait: u16::MAX };
    let readings = Readings { tcp: Some(tcp), options: &options, ..Readings::default() };
    let mut bytes = [0; 4096];
    let len = bench.program.telemetry(&readings, Instant::ZERO, &mut bytes);
    assert!(len <= MAX_LEN);
    let json: serde_json::Value = serde_json::from_slice(&bytes[..len]).unwrap();
    assert!(json["options_left_out"].as_u64().unwrap() > 0);
}

#[test]
fn a_connection_and_the_program_are_of_a_size_that_fits_a_small_device() {
    assert!(size_of::<espstress_device::Connection>() < 3_600);
    // A good half is the MQTT client's outbox: eight messages of 128 bytes.
    assert!(size_of::<espstress_device::Program>() < 3_584, "{}", size_of::<espstress_device::Program>());
}

#[test]
fn half_an_end_of_a_line_stops_neither_keep_alives_nor_the_time_out() {
    let mut bench = Bench::new(Config::default());
    let mut wire = bench.open(Service::Line);
    assert_eq!(bench.say(&mut wire, "\r"), Waits::Reading);
    bench.pass(Duration::from_millis(1_100));
    assert_eq!(bench.run(&mut wire), Waits::Reading);
    assert_eq!(wire.take_sent(), b"\n");
    assert!(wire.connection.deadline().is_some_and(|deadline| deadline > bench.now));
    // Now it is a peer that sends keep-alives, and can be missed.
    bench.say(&mut wire, "\n\r");
    bench.pass(Duration::from_millis(1_600));
    assert!(matches!(bench.run(&mut wire), Waits::Closed(_)));
}
