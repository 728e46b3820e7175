//! Habits of personas as wishes, with time by hand.

mod support;

use std::time::Duration;

use espstress_device::config::Boot;
use espstress_device::telemetry::ResetReason;
use espstress_device::{
    Admission, CloseHow, Config, DeviceWish, ErrorKind, Instant, Persona, Program, Service,
};
use support::{Bench, HEAD, Waits};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn robust_accepts_only_while_a_slot_is_free() {
    let mut bench = Bench::with_persona("robust");
    let mut wires = Vec::new();
    for _ in 0..bench.program.config().capacity() {
        assert_eq!(bench.program.admit(Service::Http, bench.now), Admission::Accept);
        wires.push(bench.open(Service::Http));
    }
    assert_eq!(bench.program.admit(Service::Http, bench.now), Admission::NotNow { retry_at: None });
    bench.close_peer(&mut wires[0]);
    assert_eq!(bench.program.admit(Service::Http, bench.now), Admission::Accept);
}

#[test]
fn ten_sockets_with_all_services_leave_five_connections() {
    let mut config = Config::default();
    assert_eq!(config.capacity(), 5);
    config.services = config.services.without(Service::Raw).without(Service::Line);
    assert_eq!(config.capacity(), 7);
}

#[test]
fn robust_closes_after_a_minute_of_silence_and_not_before() {
    let mut bench = Bench::with_persona("robust");
    let mut wire = bench.open(Service::Http);
    bench.say(&mut wire, HEAD);
    bench.pass(59 * SECOND);
    assert_eq!(bench.run(&mut wire), Waits::Reading);
    let deadline = wire.connection.deadline();
    assert_eq!(deadline, Some(Instant::from_millis(60_000)));
    bench.pass(SECOND);
    assert_eq!(bench.run(&mut wire), Waits::Closed(CloseHow::Orderly));
}

#[test]
fn no_keepalive_waits_for_ever_and_asks_for_no_probes() {
    let mut bench = Bench::with_persona("no-keepalive");
    assert_eq!(bench.program.socket_options().keep_alive, None);
    let mut wire = bench.open(Service::Http);
    bench.say(&mut wire, HEAD);
    bench.pass(100_000 * SECOND);
    assert_eq!(bench.run(&mut wire), Waits::Reading);
    assert_eq!(wire.connection.deadline(), None);
}

#[test]
fn unread_close_leaves_the_rest_of_a_short_request_in_the_socket() {
    let mut bench = Bench::with_persona("unread-close");
    let mut wire = bench.open(Service::Http);
    assert_eq!(bench.say(&mut wire, HEAD), Waits::Closed(CloseHow::Unread));
    assert_eq!(wire.unread.len(), HEAD.len() - 16);
    assert!(wire.sent_text().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn early_close_answers_when_the_wait_is_over_without_a_request() {
    let mut bench = Bench::with_persona("early-close:wait=50ms");
    let mut wire = bench.open(Service::Http);
    assert_eq!(bench.run(&mut wire), Waits::Reading);
    assert_eq!(wire.connection.deadline(), Some(Instant::from_millis(50)));
    bench.pass(Duration::from_millis(50));
    assert_eq!(bench.run(&mut wire), Waits::Closed(CloseHow::Orderly));
    assert!(wire.sent_text().starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn serial_serves_the_next_only_when_the_first_is_gone_even_if_the_stack_has_accepted_both() {
    let mut bench = Bench::with_persona("serial");
    let mut first = bench.open(Service::Http);
    assert_eq!(bench.program.admit(Service::Raw, bench.now), Admission::NotNow { retry_at: None });
    bench.run(&mut first);
    let mut second = bench.open(Service::Http);
    assert_eq!(bench.say(&mut second, HEAD), Waits::Holding);
    bench.close_peer(&mut first);
    assert_eq!(bench.run(&mut second), Waits::Reading);
    assert!(!second.sent.is_empty());
}

#[test]
fn leaky_gives_no_slot_back_after_an_error_and_every_other() {
    let mut bench = Bench::with_persona("leaky");
    let mut wire = bench.open(Service::Http);
    bench.run(&mut wire);
    assert_eq!(bench.fail(&mut wire, ErrorKind::Reset), Waits::Closed(CloseHow::Leak));
    let mut wire = bench.open(Service::Http);
    assert_eq!(bench.close_peer(&mut wire), Waits::Closed(CloseHow::Orderly));
    let counters = bench.program.counters(Service::Http);
    assert_eq!((counters.open, counters.leaked), (0, 1));
}

#[test]
fn hoarder_wants_256_bytes_for_each_request() {
    let mut bench = Bench::with_persona("hoarder");
    let mut wire = bench.open(Service::Http);
    bench.say(&mut wire, HEAD.repeat(3));
    assert_eq!(bench.wishes(), [DeviceWish::Hoard(256); 3], "each by itself");
    assert_eq!(bench.wishes(), []);
}

#[test]
fn slow_accept_takes_one_connection_a_second_of_each_service() {
    let mut bench = Bench::with_persona("slow-accept");
    assert_eq!(bench.program.admit(Service::Http, bench.now), Admission::Accept);
    let _first = bench.open(Service::Http);
    let retry_at = Some(Instant::from_millis(1_000));
    assert_eq!(bench.program.admit(Service::Http, bench.now), Admission::NotNow { retry_at });
    assert_eq!(bench.program.admit(Service::Framed, bench.now), Admission::Accept, "nobody came to this one");
    bench.pass(SECOND);
    assert_eq!(bench.program.admit(Service::Http, bench.now), Admission::Accept);
}

#[test]
fn deaf_stops_reading_in_mid_stream_and_hears_again_as_another_persona() {
    let mut bench = Bench::with_persona("deaf:after=4KiB");
    let mut wire = bench.open(Service::Http);
    assert_eq!(bench.say(&mut wire, HEAD.repeat(1_000)), Waits::Holding);
    let read = HEAD.len() * 1_000 - wire.unread.len();
    assert!((4_096..8_192).contains(&read), "{read}");
    bench.program.set_persona(Persona::ROBUST);
    assert_eq!(bench.run(&mut wire), Waits::Closed(CloseHow::Orderly));
}

#[test]
fn half_closer_holds_after_the_peers_fin() {
    let mut bench = Bench::with_persona("half-closer");
    let mut wire = bench.open(Service::Http);
    bench.say(&mut wire, HEAD);
    assert_eq!(bench.close_peer(&mut wire), Waits::Holding);
    bench.pass(1_000_000 * SECOND);
    assert_eq!(bench.run(&mut wire), Waits::Holding);
}

#[test]
fn frozen_hangs_when_both_its_time_and_its_requests_are_over() {
    let mut bench = Bench::with_persona("frozen:after=2s,requests=1");
    let mut wire = bench.open(Service::Http);
    bench.pass(3 * SECOND);
    assert_eq!(bench.wishes(), []);
    bench.say(&mut wire, HEAD);
    assert_eq!(bench.wishes(), [DeviceWish::Hang]);
    wire.take_sent();
    assert_eq!(bench.say(&mut wire, HEAD), Waits::Holding);
    assert!(wire.sent.is_empty());
    assert_eq!(bench.program.admit(Service::Http, bench.now), Admission::NotNow { retry_at: None });
}

#[test]
fn frozen_serves_no_request_too_many_to_connections_that_are_ready_in_the_same_round() {
    let mut bench = Bench::with_persona("frozen:requests=1");
    let (mut first, mut second) = (bench.open(Service::Http), bench.open(Service::Http));
    bench.say(&mut first, HEAD);
    assert!(!first.take_sent().is_empty());
    assert_eq!(bench.say(&mut second, HEAD), Waits::Holding, "nobody asked for a wish in between");
    assert!(second.sent.is_empty());
    assert_eq!(bench.wishes(), [DeviceWish::Hang]);
}

#[test]
fn rebooting_restarts_on_time_and_counts_its_starts() {
    let mut bench = Bench::with_persona("rebooting:every=3s");
    assert_eq!(bench.program.next_wish_at(), Some(Instant::from_millis(3_000)));
    assert_eq!(bench.wishes(), []);
    bench.pass(3 * SECOND);
    let restart = DeviceWish::Restart(ResetReason::Panic);
    assert_eq!(bench.program.poll_wish(bench.now), Some(restart));
    let config = bench.program.config_after_restart(ResetReason::Panic);
    let boot = Boot { count: 2, reason: ResetReason::Panic };
    assert_eq!(config.boot, boot);
    let again = Program::new(config, bench.now);
    assert_eq!(again.uptime(bench.now), Duration::ZERO);
    assert_eq!(again.persona().name(), "rebooting");
}

#[test]
fn a_persona_with_a_wait_is_robust_until_the_device_has_been_up_for_so_long() {
    let mut bench = Bench::with_persona("rebooting:every=3s,from=5s");
    assert_eq!(bench.program.persona(), &Persona::ROBUST);
    // A restart before then begins the wait anew.
    let config = bench.program.config_after_restart(ResetReason::Software);
    assert_eq!(config.persona, "rebooting:every=3s,from=5s".parse().unwrap());
    bench.pass(4 * SECOND);
    assert_eq!(bench.wishes(), []);
    assert_eq!(bench.program.next_wish_at(), Some(Instant::from_millis(5_000)));
    bench.pass(SECOND);
    let restart = DeviceWish::Restart(ResetReason::Panic);
    assert_eq!(bench.program.poll_wish(bench.now), Some(restart));
    // After that it is as it was.
    let config = bench.program.config_after_restart(ResetReason::Panic);
    assert_eq!(config.persona, "rebooting:every=3s".parse().unwrap());
}
