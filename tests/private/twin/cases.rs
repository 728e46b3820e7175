//! What is seen from inside of the private network.

use std::io::{Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use espstress_device::Service;
use espstress_targets::network::{Carrier, PrivateNetwork};
use espstress_targets::twin::{OptionSet, Twin, TwinEvent, TwinSpec};

use super::client::{self, PATIENCE, address, until};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = cases![
    a_twin_serves_as_soon_as_it_has_started,
    a_robust_twin_answers_heads_by_the_thousand_and_loses_no_frame,
    a_veth_pair_with_a_packet_socket_carries_as_well_as_a_tap,
    sixteen_at_once_are_served_where_sockets_and_backlog_allow,
    a_close_with_unread_bytes_is_seen_as_a_reset,
    a_rebooting_twin_starts_anew_with_its_interface_kept,
    a_control_request_restarts_the_device,
    a_hoarder_eats_its_heap_and_lives_on,
    an_asked_outage_begins_and_ends_when_asked,
    planned_outages_are_logged_with_their_real_times,
    telemetry_answers_while_the_application_hangs,
    two_twins_share_a_network,
    a_place_is_free_again_when_its_twin_is_gone,
    a_persona_can_be_changed_while_the_twin_runs,
    a_link_can_be_changed_while_the_twin_runs,
    the_death_of_a_twin_is_told_with_its_status,
    curl_and_ping_reach_the_twin,
];

fn persona(name: &str) -> TwinSpec {
    TwinSpec { persona: name.to_owned(), ..TwinSpec::default() }
}

/// So many HEADs over so many connections at once; gives connections a second.
fn heads(to: SocketAddr, at_once: u32, each: u32) -> Result<f64, Box<dyn std::error::Error>> {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..at_once).map(|_| scope.spawn(move || (0..each).try_for_each(|_| client::head(to)))).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("no panic"))
    })?;
    Ok(f64::from(at_once * each) / begin.elapsed().as_secs_f64())
}

/// A thousand connections a second are within what a processor can do, however many others are at work on this machine:
/// each costs the twin's process less than a millisecond of it.
fn by_the_thousand(twin: &Twin) -> Outcome {
    const CONNECTIONS: u32 = 2_000;
    let before = processor_time(twin)?;
    let rate = heads(address(twin, Service::Http)?, 4, CONNECTIONS / 4)?;
    let each = (processor_time(twin)? - before) / CONNECTIONS;
    println!("{rate:.0} connections/s, {each:?} of a processor each, over {:?}", twin.carrier());
    assert!(each < Duration::from_millis(1), "{each:?}");
    Ok(())
}

/// What the twin's process has had of a processor.
fn processor_time(twin: &Twin) -> Result<Duration, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", twin.process_id()))?;
    // utime and stime are the 14th and the 15th field; the second, a name in brackets, may hold blanks.
    let fields = stat.rsplit_once(") ").ok_or("a name in brackets")?.1;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// A twin that answers the first request after its start.
pub(super) fn served_at_once(
    spec: &TwinSpec,
    network: &PrivateNetwork,
) -> Result<Twin, Box<dyn std::error::Error>> {
    let begin = Instant::now();
    let twin = Twin::start(spec.clone(), network)?;
    client::head(address(&twin, Service::Http)?)?;
    println!("served after {:?} over {:?}", begin.elapsed(), twin.carrier());
    Ok(twin)
}

fn a_twin_serves_as_soon_as_it_has_started(network: &PrivateNetwork) -> Outcome {
    let twin = served_at_once(&TwinSpec::default(), network)?;
    let ready = twin.ready();
    assert_eq!((ready.sockets, ready.capacity), (10, 5));
    assert_eq!(ready.options["CONFIG_LWIP_TCP_MSL"], "60000");
    assert!(ready.no_effect.iter().any(|line| line.key == "CONFIG_LWIP_TCP_QUEUE_OOSEQ"));
    let telemetry = client::telemetry(&twin)?;
    assert_eq!(telemetry["heap"]["total_bytes"], 113_840);
    assert_eq!(telemetry["sockets"]["limit"], 10);
    assert!(telemetry["wifi"]["rssi_dbm"].is_null());
    Ok(())
}

fn a_robust_twin_answers_heads_by_the_thousand_and_loses_no_frame(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec::default(), network)?;
    by_the_thousand(&twin)?;
    let frames = twin.frames()?;
    assert_eq!(frames.to_device.lost.total() + frames.to_host.lost.total(), 0, "{frames:?}");
    assert_eq!(frames.dropped_mailbox_full + frames.dropped_no_memory, 0, "{frames:?}");
    Ok(())
}

fn a_veth_pair_with_a_packet_socket_carries_as_well_as_a_tap(network: &PrivateNetwork) -> Outcome {
    let spec = TwinSpec { carrier: Some(Carrier::PacketVeth), ..TwinSpec::default() };
    let twin = Twin::start(spec, network)?;
    assert_eq!(twin.carrier(), Carrier::PacketVeth);
    by_the_thousand(&twin)
}

fn sixteen_at_once_are_served_where_sockets_and_backlog_allow(network: &PrivateNetwork) -> Outcome {
    let text =
        "CONFIG_LWIP_MAX_SOCKETS=80\nCONFIG_LWIP_MAX_ACTIVE_TCP=80\nCONFIG_LWIP_TCP_ACCEPTMBOX_SIZE=64\n";
    let options = OptionSet::file("many.sdkconfig", text);
    let twin = Twin::start(TwinSpec { options, ..TwinSpec::default() }, network)?;
    assert_eq!(twin.capacity(), 75);
    println!("{:.0} connections/s", heads(address(&twin, Service::Http)?, 16, 100)?);
    Ok(())
}

/// How a connection ends after a request whose last bytes the device may not have read.
fn end_of_head(to: SocketAddr) -> std::io::Result<usize> {
    let mut stream = client::connect(to)?;
    let padding = "x".repeat(300);
    write!(stream, "HEAD / HTTP/1.1\r\nHost: twin\r\nConnection: close\r\nX-Padding: {padding}\r\n\r\n")?;
    client::read_head(&mut stream)?;
    stream.read(&mut [0; 64])
}

fn a_close_with_unread_bytes_is_seen_as_a_reset(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(persona("unread-close"), network)?;
    for _ in 0..20 {
        let end = end_of_head(address(&twin, Service::Http)?);
        assert_eq!(end.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    }
    twin.persona("robust")?;
    for _ in 0..20 {
        assert_eq!(end_of_head(address(&twin, Service::Http)?)?, 0, "an orderly end");
    }
    Ok(())
}

fn a_rebooting_twin_starts_anew_with_its_interface_kept(network: &PrivateNetwork) -> Outcome {
    let spec = TwinSpec { boot_time: Duration::from_millis(300), ..persona("rebooting:every=800ms") };
    let began = Instant::now();
    let twin = Twin::start(spec, network)?;
    let events = twin.events().ok_or("the first to ask")?;
    let mut held = client::connect(address(&twin, Service::Http)?)?;
    let process = twin.process_id();
    for boot in 2..4 {
        let TwinEvent::Restarting { at: restarts, reason, boot_count } = events.recv_timeout(PATIENCE)?
        else {
            return Err("it restarts first".into());
        };
        assert_eq!((reason.as_str(), boot_count), ("PANIC", boot));
        let TwinEvent::Ready { at: ready, boot_count, .. } = events.recv_timeout(PATIENCE)? else {
            return Err("it serves next".into());
        };
        assert_eq!(boot_count, boot);
        assert!(ready.monotonic_ns - restarts.monotonic_ns >= 300_000_000, "{restarts:?} {ready:?}");
        let telemetry = client::telemetry(&twin)?;
        assert_eq!(telemetry["boot_count"], boot);
        let uptime = Duration::from_millis(telemetry["uptime_ms"].as_u64().ok_or("uptime")?);
        let runs_before = Duration::from_millis(700) * (boot - 1);
        assert!(uptime + runs_before < began.elapsed(), "{telemetry}");
    }
    assert_eq!(twin.process_id(), process, "the same process, its program started again");
    // The device has forgotten the connection, and says so when it hears of it.
    held.write_all(b"HEAD / HTTP/1.1\r\n\r\n")?;
    assert_eq!(
        held.read(&mut [0; 64]).map_err(|error| error.kind()),
        Err(std::io::ErrorKind::ConnectionReset)
    );
    Ok(())
}

fn a_control_request_restarts_the_device(network: &PrivateNetwork) -> Outcome {
    let boot_time = Duration::from_millis(100);
    let twin = Twin::start(
        TwinSpec { token: Some("secret".to_owned()), boot_time, ..persona("deaf:after=2KiB") },
        network,
    )?;
    assert!(client::control(&twin, "guess", r#"{"reboot":true}"#)?.starts_with("HTTP/1.1 403"));
    let answer = client::control(&twin, "secret", r#"{"reboot":true}"#)?;
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    until("restarted", PATIENCE, || twin.restarts() == 1)?;
    // Asked while it boots, it answers when it has booted.
    twin.outage(Duration::from_millis(1))?;
    let telemetry = client::telemetry(&twin)?;
    assert_eq!((&telemetry["boot_count"], &telemetry["reset_reason"]), (&2.into(), &"SW".into()));
    assert_eq!(telemetry["persona"], "deaf");
    Ok(())
}

fn a_hoarder_eats_its_heap_and_lives_on(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(persona("hoarder"), network)?;
    let free = |twin: &Twin| {
        Ok::<_, Box<dyn std::error::Error>>(client::telemetry(twin)?["heap"]["free_bytes"].as_u64())
    };
    let before = free(&twin)?.ok_or("a reading")?;
    let to = address(&twin, Service::Http)?;
    for _ in 0..100 {
        client::head(to)?;
    }
    let eaten = before - free(&twin)?.ok_or("a reading")?;
    println!("{eaten} bytes for 100 requests");
    assert!((25_600..60_000).contains(&eaten), "{eaten}");
    // To the end of the heap and beyond: connections fail, the device does not.
    let failed =
        (0..600).filter(|_| client::head_within(to, Duration::from_secs(1)).is_err()).take(1).count();
    println!("{failed} failed");
    assert!(twin.ended().is_none());
    Ok(())
}

/// Within 50 ms, in the best of five outages: others may be at work on this machine.
fn an_asked_outage_begins_and_ends_when_asked(network: &PrivateNetwork) -> Outcome {
    const TOLERANCE: Duration = Duration::from_millis(50);
    let twin = Twin::start(TwinSpec::default(), network)?;
    client::telemetry(&twin)?;
    for disconnects in 1..=5 {
        let seen = asked_outage(&twin)?;
        println!("{seen:?}");
        let telemetry = client::telemetry(&twin)?;
        assert_eq!(telemetry["wifi"]["disconnects"], disconnects);
        assert_eq!(telemetry["wifi"]["last_disconnect_reason"], "ASSOC_LEAVE");
        let as_made = seen.in_the_log.abs_diff(OUTAGE) < TOLERANCE;
        let as_seen = (OUTAGE..OUTAGE + TOLERANCE).contains(&seen.answers_again);
        if as_made && as_seen && seen.last_answer < TOLERANCE {
            return Ok(());
        }
    }
    Err("not one of five outages was as it was asked for".into())
}

const OUTAGE: Duration = Duration::from_millis(500);

/// One outage, the first two times since it was asked for.
#[derive(Debug)]
struct Asked {
    last_answer: Duration,
    answers_again: Duration,
    in_the_log: Duration,
}

fn asked_outage(twin: &Twin) -> Result<Asked, Box<dyn std::error::Error>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address(twin, Service::Telemetry)?)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    let stop = AtomicBool::new(false);
    let (asked, answers) = std::thread::scope(|scope| {
        // A question every two milliseconds, and when each answer came.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = socket.send(b"telemetry");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let hearing = scope.spawn(|| {
            let mut answers = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if socket.recv(&mut [0; 2_048]).is_ok() {
                    answers.push(Instant::now());
                }
            }
            answers
        });
        std::thread::sleep(Duration::from_millis(100));
        let asked = Instant::now();
        let told = twin.outage(OUTAGE);
        std::thread::sleep(OUTAGE + Duration::from_millis(200));
        stop.store(true, Ordering::Relaxed);
        (told.map(|()| asked), hearing.join().expect("no panic"))
    });
    let asked = asked?;
    let last = answers.iter().rfind(|&&at| at < asked + OUTAGE / 2).ok_or("answers before")?;
    let first = answers.iter().find(|&&at| at > asked + OUTAGE / 2).ok_or("answers after")?;
    until("its end in the log", PATIENCE, || twin.outage_log().iter().all(|record| record.end.is_some()))?;
    let log = twin.outage_log();
    let record = log.iter().last().ok_or("a record")?;
    let end = record.end.ok_or("an end")?;
    Ok(Asked {
        last_answer: last.saturating_duration_since(asked),
        answers_again: *first - asked,
        in_the_log: Duration::from_nanos(end.monotonic_ns - record.start.monotonic_ns),
    })
}

fn planned_outages_are_logged_with_their_real_times(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec { link: "outage=50ms/200ms".parse()?, ..TwinSpec::default() }, network)?;
    let ended = || twin.outage_log().iter().filter(|record| record.end.is_some()).count();
    until("four outages", PATIENCE, || ended() >= 4)?;
    let log = twin.outage_log();
    let starts: Vec<u64> = log.iter().map(|record| record.start.monotonic_ns).collect();
    assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == 200_000_000), "{starts:?}");
    let telemetry = client::telemetry(&twin)?;
    assert_eq!(telemetry["wifi"]["last_disconnect_reason"], "BEACON_TIMEOUT");
    Ok(())
}

fn telemetry_answers_while_the_application_hangs(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(persona("frozen"), network)?;
    let mut stream = client::connect(address(&twin, Service::Http)?)?;
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: twin\r\n\r\n")?;
    assert!(stream.read(&mut [0; 64]).is_err(), "the stack takes the connection, nobody answers");
    assert_eq!(client::telemetry(&twin)?["persona"], "frozen");
    Ok(())
}

fn two_twins_share_a_network(network: &PrivateNetwork) -> Outcome {
    let first = Twin::start(TwinSpec::default(), network)?;
    let second = Twin::start(TwinSpec { index: 1, ..persona("leaky") }, network)?;
    assert_eq!(first.address().to_string(), "192.168.4.91");
    assert_eq!(second.address().to_string(), "192.168.4.92");
    assert_ne!(first.interface(), second.interface());
    for twin in [&first, &second] {
        client::head(address(twin, Service::Http)?)?;
    }
    assert_eq!(client::telemetry(&first)?["persona"], "robust");
    assert_eq!(client::telemetry(&second)?["persona"], "leaky");
    drop(first);
    client::head(address(&second, Service::Http)?)?;
    Ok(())
}

fn a_place_is_free_again_when_its_twin_is_gone(network: &PrivateNetwork) -> Outcome {
    for carrier in [None, Some(Carrier::PacketVeth), None, Some(Carrier::PacketVeth)] {
        let twin = Twin::start(TwinSpec { carrier, ..TwinSpec::default() }, network)?;
        client::head(address(&twin, Service::Http)?)?;
        let error = Twin::start(TwinSpec::default(), network).expect_err("the number is taken").to_string();
        assert!(error.contains("64 places"), "{error}");
    }
    Ok(())
}

fn a_persona_can_be_changed_while_the_twin_runs(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec::default(), network)?;
    twin.persona("slow-accept:every=2s")?;
    assert_eq!(client::telemetry(&twin)?["persona"], "slow-accept");
    let refused = twin.persona("robot").expect_err("no such persona").to_string();
    assert!(refused.contains("robust"), "{refused}");
    Ok(())
}

fn a_link_can_be_changed_while_the_twin_runs(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec::default(), network)?;
    let to = address(&twin, Service::Http)?;
    let time = || {
        let begin = Instant::now();
        client::head(to).map(|()| begin.elapsed())
    };
    // The best of twenty: others may be at work on this machine.
    let mut clean = time()?;
    for _ in 1..20 {
        clean = clean.min(time()?);
    }
    twin.link(&"delay=30ms".parse()?)?;
    let slow = time()?;
    twin.link(&"min-modem".parse()?)?;
    let power_save = client::telemetry(&twin)?["wifi"]["power_save"].clone();
    println!("clean {clean:?}, 30 ms one way {slow:?}");
    assert!(clean < Duration::from_millis(30), "{clean:?}");
    // Two round trips: one to connect, one for the request.
    assert!(slow >= Duration::from_millis(120), "{slow:?}");
    assert_eq!(power_save, "MIN_MODEM");
    Ok(())
}

fn the_death_of_a_twin_is_told_with_its_status(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec::default(), network)?;
    let events = twin.events().ok_or("the first to ask")?;
    assert!(Command::new("kill").args(["-9", &twin.process_id().to_string()]).status()?.success());
    let event = events.recv_timeout(PATIENCE)?;
    assert!(matches!(event, TwinEvent::Ended(_)), "{event:?}");
    let error = twin.outage(Duration::from_secs(1)).expect_err("it is dead").to_string();
    assert!(error.contains("signal: 9"), "{error}");
    Ok(())
}

fn curl_and_ping_reach_the_twin(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec::default(), network)?;
    let url = format!("http://{}/", twin.address());
    for (program, arguments, expected) in [
        ("curl", vec!["-s", "-i", "--max-time", "5", &url], "HTTP/1.1 200"),
        ("ping", vec!["-n", "-c", "2", "-i", "0.2", "-W", "2", "192.168.4.91"], " 0% packet loss"),
    ] {
        match Command::new(program).args(arguments).output() {
            Err(error) => println!("{program} is not here: {error}"),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout);
                assert!(
                    said.contains(expected),
                    "{program}: {said} {}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
    }
    Ok(())
}

/// For the cases outside: says which processes there are, and stays until it is killed.
pub(crate) fn hold(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec::default(), network)?;
    client::head(address(&twin, Service::Http)?)?;
    println!("{}", twin.process_id());
    std::io::stdout().flush()?;
    loop {
        std::thread::park();
    }
}
