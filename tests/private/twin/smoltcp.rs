//! A twin on smoltcp as a device: what it is, and that link, control and restart reach it.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use espstress_device::Service;
use espstress_targets::network::{Carrier, PrivateNetwork};
use espstress_targets::twin::{StackKind, Twin, TwinEvent, TwinSpec};

use super::cases::served_at_once;
use super::client::{self, PATIENCE, address, until};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = cases![
    a_twin_on_smoltcp_serves_as_soon_as_it_has_started,
    a_veth_pair_carries_smoltcp_as_well,
    an_outage_on_smoltcp_begins_and_ends_when_asked,
    a_link_is_under_smoltcp_as_under_lwip,
    power_save_and_outages_are_switched_by_control_on_smoltcp,
    a_twin_on_smoltcp_restarts_as_a_process,
    a_hoarder_on_smoltcp_eats_its_heap,
];

fn spec(persona: &str) -> TwinSpec {
    TwinSpec { stack: StackKind::Smoltcp, persona: persona.to_owned(), ..TwinSpec::default() }
}

fn a_twin_on_smoltcp_serves_as_soon_as_it_has_started(network: &PrivateNetwork) -> Outcome {
    let twin = served_at_once(&spec("robust"), network)?;
    let ready = twin.ready();
    assert!(
        ready.stack.starts_with("smoltcp 0.13") && ready.stack.contains("embassy-net"),
        "{}",
        ready.stack
    );
    assert_eq!((ready.sockets, ready.capacity, ready.backlog), (13, 5, 0));
    assert_eq!(ready.options["BACKLOG"], "none");
    assert!(ready.no_effect.iter().any(|option| option.key == "CONFIG_LWIP_TCP_MSL"));
    let telemetry = client::telemetry(&twin)?;
    assert_eq!(telemetry["stack"]["name"], "smoltcp");
    assert_eq!(telemetry["heap"]["total_bytes"], 113_840);
    assert_eq!(telemetry["capacity"], 5);
    assert_eq!(telemetry["options_left_out"], 0);
    Ok(())
}

fn a_veth_pair_carries_smoltcp_as_well(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec { carrier: Some(Carrier::PacketVeth), ..spec("robust") }, network)?;
    for _ in 0..200 {
        client::head(address(&twin, Service::Http)?)?;
    }
    let frames = twin.frames()?;
    assert_eq!(frames.to_device.lost.total() + frames.to_host.lost.total(), 0, "{frames:?}");
    Ok(())
}

/// Asks once; whether there was an answer in so long.
fn answers(twin: &Twin, patience: Duration) -> Result<bool, Box<dyn std::error::Error>> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(patience))?;
    socket.send_to(b"telemetry", address(twin, Service::Telemetry)?)?;
    Ok(socket.recv(&mut [0; 2_048]).is_ok())
}

fn an_outage_on_smoltcp_begins_and_ends_when_asked(network: &PrivateNetwork) -> Outcome {
    const LENGTH: Duration = Duration::from_millis(500);
    let twin = Twin::start(spec("robust"), network)?;
    let mut held = client::connect(address(&twin, Service::Http)?)?;
    twin.outage(LENGTH)?;
    assert!(!answers(&twin, LENGTH / 4)?, "silent");
    until("the end", PATIENCE, || twin.outage_log().iter().any(|record| record.end.is_some()))?;
    let log = twin.outage_log();
    let record = log.iter().next().ok_or("a record")?;
    let seen = Duration::from_nanos(record.end.ok_or("an end")?.monotonic_ns - record.start.monotonic_ns);
    assert!(seen >= LENGTH, "{seen:?}");
    // The connection has lived through it.
    held.write_all(b"HEAD / HTTP/1.1\r\nHost: twin\r\n\r\n")?;
    assert!(client::read_head(&mut held)?.starts_with("HTTP/1.1 200"));
    assert_eq!(client::telemetry(&twin)?["wifi"]["last_disconnect_reason"], "ASSOC_LEAVE");
    Ok(())
}

fn a_link_is_under_smoltcp_as_under_lwip(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec { link: "delay=30ms".parse()?, ..spec("robust") }, network)?;
    let begin = Instant::now();
    client::head(address(&twin, Service::Http)?)?;
    // Two round trips: one to connect, one for the request.
    assert!(begin.elapsed() >= Duration::from_millis(120), "{:?}", begin.elapsed());
    Ok(())
}

fn power_save_and_outages_are_switched_by_control_on_smoltcp(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(TwinSpec { token: Some("secret".to_owned()), ..spec("robust") }, network)?;
    let told = client::control(&twin, "secret", r#"{"power_save":"MIN_MODEM","outage_ms":300}"#)?;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    until("an outage", PATIENCE, || twin.outage_log().iter().any(|record| record.end.is_some()))?;
    let wifi = client::telemetry(&twin)?["wifi"].clone();
    assert_eq!((&wifi["power_save"], &wifi["disconnects"]), (&"MIN_MODEM".into(), &1.into()));
    Ok(())
}

fn a_twin_on_smoltcp_restarts_as_a_process(network: &PrivateNetwork) -> Outcome {
    let boot_time = Duration::from_millis(300);
    let twin = Twin::start(TwinSpec { boot_time, ..spec("rebooting:every=800ms") }, network)?;
    let events = twin.events().ok_or("the first to ask")?;
    let mut held = client::connect(address(&twin, Service::Http)?)?;
    for boot in 2..4 {
        let TwinEvent::Restarting { at: restarts, reason, boot_count } = events.recv_timeout(PATIENCE)?
        else {
            return Err("it restarts first".into());
        };
        assert_eq!((reason.as_str(), boot_count), ("PANIC", boot));
        let TwinEvent::Ready { at: ready, .. } = events.recv_timeout(PATIENCE)? else {
            return Err("it serves next".into());
        };
        assert!(ready.monotonic_ns - restarts.monotonic_ns >= 300_000_000, "{restarts:?} {ready:?}");
        assert!(client::telemetry(&twin)?["boot_count"].as_u64() >= Some(boot.into()));
    }
    // The device has forgotten the connection, and says so when it hears of it.
    held.write_all(b"HEAD / HTTP/1.1\r\n\r\n")?;
    let ended = held.read(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(ended, Err(std::io::ErrorKind::ConnectionReset));
    Ok(())
}

fn a_hoarder_on_smoltcp_eats_its_heap(network: &PrivateNetwork) -> Outcome {
    let twin = Twin::start(spec("hoarder"), network)?;
    let free =
        || Ok::<_, Box<dyn std::error::Error>>(client::telemetry(&twin)?["heap"]["free_bytes"].as_u64());
    let before = free()?.ok_or("a reading")?;
    for _ in 0..100 {
        client::head(address(&twin, Service::Http)?)?;
    }
    let eaten = before - free()?.ok_or("a reading")?;
    assert!((25_600..30_000).contains(&eaten), "{eaten}");
    Ok(())
}
