//! Outages that the test makes, and those that nobody made.

use super::{balanced, endpoints, filtered, plan, rows, run};
use espstress_event::{Endpoints, Event};
use espstress_stats::{OutageOrigin, OutageRow};
use espstress_targets::sim::{Sim, SimConfig};

#[test]
fn connections_live_through_a_short_silence_and_lose_nothing() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'filter'\ncycles = 3\noutage = '300ms'\nevery = '1s'\nheartbeat = '100ms'\n\
                    peer_timeout = '2s'\nconnections = 2";
    let stats = run(&sim, settings, "20000-20099");
    let Some(outage) = filtered(&stats) else { return };
    balanced(outage);
    assert_eq!((outage.made, outage.made_seen, outage.unrecovered), (3, 3, 0), "{outage:?}");
    assert_eq!((outage.fates.lived, outage.fates.died), (6, 0), "{:?}", rows(outage));
    assert_eq!(outage.to_device.lost + outage.to_host.lost, 0, "{outage:?}");
    for row in rows(outage) {
        assert!(row.length_seen_ns() >= Some(200_000_000), "at least the silence less a heartbeat: {row:?}");
        assert!(row.first_data_ns >= row.made_end_ns && row.recovered_ns >= row.made_end_ns, "{row:?}");
    }
    // Of the best one: others may be at work on this machine, and heartbeats come late.
    let early = |row: &OutageRow| row.made_start_ns.unwrap().saturating_sub(row.seen_start_ns.unwrap());
    let earliest = rows(outage).iter().map(early).min();
    assert!(earliest <= Some(150_000_000), "the start as seen is within a heartbeat: {:?}", rows(outage));
}

#[test]
fn connections_die_in_a_long_silence_and_come_back_with_every_message_accounted_for() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'filter'\ncycles = 1\noutage = '1500ms'\nevery = '1s'\nheartbeat = '100ms'\n\
                    peer_timeout = '500ms'\nstable = '200ms'\nconnections = 2";
    let stats = run(&sim, settings, "20100-20199");
    let Some(outage) = filtered(&stats) else { return };
    balanced(outage);
    let rows = rows(outage);
    assert_eq!((rows[0].lived, rows[0].died), (0, 2), "{rows:?}");
    assert!(rows[0].half_open_on_device.is_some(), "the telemetry tells: {rows:?}");
    assert!(rows[0].host_noticed_ns < rows[0].made_end_ns, "{rows:?}");
    assert!(rows[0].device_noticed_ns.is_none_or(|at| Some(at) > rows[0].host_noticed_ns), "{rows:?}");
    assert_eq!(outage.fates.reconnected, 2);
    assert_eq!(stats.failures.of_device(), 0, "what an outage breaks is not the device's failure");
}

#[test]
fn the_device_leaves_its_network_when_asked_with_its_token() {
    let config = SimConfig { token: Some("secret".into()), ..SimConfig::default() };
    let sim = Sim::start(config).unwrap();
    let settings = "by = 'device'\ntoken = 'secret'\ncycles = 2\noutage = '600ms'\nevery = '1s'\n\
                    heartbeat = '100ms'\npeer_timeout = '300ms'\nstable = '100ms'\nconnections = 2";
    let stats = run(&sim, settings, "20200-20299");
    let outage = stats.outage.as_deref().unwrap();
    balanced(outage);
    assert_eq!((outage.made, outage.made_seen, outage.unrecovered), (2, 2, 0), "{outage:?}");
    let seen: Vec<u64> = rows(outage).iter().map(|row| row.length_seen_ns().unwrap()).collect();
    assert!(seen.iter().all(|length| *length >= 500_000_000), "at least all but a heartbeat: {seen:?}");
    assert!(seen.iter().any(|length| *length < 800_000_000), "within a heartbeat: {seen:?}");
}

#[test]
fn a_wrong_token_makes_no_outage_and_says_so() {
    let config = SimConfig { token: Some("secret".into()), ..SimConfig::default() };
    let sim = Sim::start(config).unwrap();
    let settings = "by = 'device'\ntoken = 'guess'\ncycles = 1\noutage = '100ms'\nevery = '200ms'\n\
                    heartbeat = '100ms'\nconnections = 1";
    let stats = run(&sim, settings, "20300-20399");
    let outage = stats.outage.as_deref().unwrap();
    assert_eq!((outage.made, outage.make_failures), (0, 1));
    assert!(outage.make_failure_examples[0].message.contains("403"), "{:?}", outage.make_failure_examples);
}

#[test]
fn a_script_that_fails_is_no_outage() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'command'\noff = 'echo no such interface >&2; exit 3'\non = 'true'\ncycles = 2\n\
                    outage = '100ms'\nevery = '200ms'\nheartbeat = '100ms'\nconnections = 1";
    let stats = run(&sim, settings, "20400-20499");
    let outage = stats.outage.as_deref().unwrap();
    assert_eq!((outage.made, outage.natural, outage.make_failures), (0, 0, 2));
    let failure = &outage.make_failure_examples[0];
    assert_eq!((failure.what.as_str(), failure.exit_status), ("command --off", Some(3)));
    assert_eq!(failure.message, "no such interface");
    balanced(outage);
}

#[test]
fn a_link_that_cannot_be_cut_is_said_to_be_missing() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let stats = run(&sim, "by = 'link'\ncycles = 1", "20500-20579");
    let reason = stats.outage.as_deref().unwrap().unavailable.clone().unwrap();
    assert!(reason.contains("--by"), "{reason}");
}

#[test]
fn a_service_that_speaks_something_else_has_no_outages() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let other = Endpoints { framed: None, telemetry: None, ..endpoints(&sim) };
    let settings =
        "by = 'none'\nduration = '60s'\nheartbeat = '100ms'\npeer_timeout = '300ms'\nconnections = 1";
    let mut outcome =
        espstress_engine::run(plan(other, None, settings, "20580-20599"), &mut |_: &Event| {}).unwrap();
    let stats = outcome.workloads.remove(0).stats;
    let outage = stats.outage.as_deref().unwrap();
    assert!(
        outage.unavailable.as_ref().unwrap().contains("does not speak the framed protocol"),
        "{outage:?}"
    );
    assert_eq!((outage.natural, outage.made), (0, 0));
}

#[test]
fn restarts_of_the_device_are_natural_outages_and_messages_are_still_accounted_for() {
    let persona = "rebooting:every=2s".parse().unwrap();
    let sim = Sim::start(SimConfig { persona, ..SimConfig::default() }).unwrap();
    let settings = "by = 'none'\nduration = '6s'\nheartbeat = '100ms'\npeer_timeout = '500ms'\nstable = '0s'\n\
                    connections = 2";
    let stats = run(&sim, settings, "20600-20699");
    let outage = stats.outage.as_deref().unwrap();
    assert!(outage.to_device.balances() && outage.to_host.balances(), "{outage:?}");
    assert!(outage.natural >= 1 && outage.made == 0, "{outage:?}");
    assert!(outage.device_restarts >= 1 && outage.sessions_forgotten >= 1, "{outage:?}");
    assert!(rows(outage).iter().all(|row| row.origin == OutageOrigin::Natural));
}

#[test]
fn idle_spells_end_with_every_connection_alive() {
    let sim = Sim::start(SimConfig::default()).unwrap();
    let settings = "by = 'command'\noff = 'true'\non = 'true'\ncycles = 1\noutage = '100ms'\nevery = '200ms'\n\
                    heartbeat = '100ms'\npeer_timeout = '300ms'\nidle = '1s'\nconnections = 2";
    let stats = run(&sim, settings, "20700-20799");
    let outage = stats.outage.as_deref().unwrap();
    balanced(outage);
    assert_eq!((outage.idle.spells, outage.idle.lived, outage.idle.died), (1, 2, 0), "{outage:?}");
}
