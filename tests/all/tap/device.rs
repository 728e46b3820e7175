//! The device program on smoltcp behind its own TAP device.

use std::net::Ipv4Addr;

use crate::common::apart::in_this_program;
use espstress_device::text::Token;
use espstress_device::{Config, Persona};
use espstress_diagnose::FindingId;
use espstress_embassy::tap::TapDevice;
use espstress_event::AnomalyClass;
use espstress_report::{CaptureStatus, Report, TargetKind};
use espstress_stats::Phase;

use super::{report, served};

/// The variable by which this test program knows that it is the device; `persona` or nothing.
const DEVICE: &str = "ESPSTRESS_TEST_DEVICE";

/// The device, where this test program was started as that.
#[test]
fn the_device_itself() {
    let Ok(persona) = std::env::var(DEVICE) else { return };
    let of = |name: &str| std::env::var(name).unwrap();
    let address: Ipv4Addr = of("ESPSTRESS_TWIN").parse().unwrap();
    eprintln!("\u{1b}[32mI (7) main: at {address}\u{1b}[0m");
    let device = TapDevice::open(&of("ESPSTRESS_TAP"), address, 24).unwrap();
    if let Ok(seconds) = persona.parse() {
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
            eprintln!("Guru Meditation Error: Core 0 panic'ed");
            std::process::abort();
        });
    }
    let persona: Persona = persona.parse().unwrap_or(Persona::ROBUST);
    device.run(Config { persona, token: Token::new("").unwrap(), ..Config::default() });
}

/// This test program as a device with this persona, or one that crashes after so many seconds.
fn target(persona: &str) -> String {
    let program = std::env::current_exe().unwrap();
    // `{address}` names the place, since smoltcp says nothing before it is asked.
    format!(
        "tap:env {DEVICE}={persona} PLACE={{address}} '{}' --exact {} --nocapture",
        program.display(),
        in_this_program(concat!(module_path!(), "::the_device_itself"))
    )
}

/// A line of a shell script that turns into the robust device at the address that esp-emu gives its guests.
pub(super) fn as_a_process() -> String {
    let program = std::env::current_exe().unwrap();
    let name = in_this_program(concat!(module_path!(), "::the_device_itself"));
    format!(
        "exec env {DEVICE}=robust ESPSTRESS_TWIN=192.168.4.2 '{}' --exact {name} --nocapture\n",
        program.display()
    )
}

/// What a run says of the device and its link. That this machine was busy says nothing of either.
fn said(report: &Report) -> Vec<FindingId> {
    report.findings.iter().map(|f| f.id).filter(|id| *id != FindingId::HostLimited).collect()
}

#[track_caller]
fn whole(report: &Report) {
    assert_eq!(report.target.kind, TargetKind::Tap);
    assert_eq!(report.capture.status, CaptureStatus::Complete, "{:?}", report.capture);
    let charged: Vec<_> = report.anomalies.iter().filter(|row| row.class == AnomalyClass::Device).collect();
    assert!(charged.is_empty(), "{charged:#?}");
    assert_eq!(said(report), []);
}

#[test]
fn a_stack_behind_its_own_tap_device_serves_head_and_rw() {
    let Some(head) = report("head -c 2 -n 60", &target("robust"), &[]) else { return };
    served(&head);
    whole(&head);
    assert_eq!((&head.target.stack, head.target.capacity), (&None, None));
    assert_eq!(head.target.link.as_deref(), Some("clean"));
    let program = head.target.program.unwrap();
    assert!(program.command.iter().any(|word| word == "PLACE={address}"), "{:?}", program.command);
    assert!(
        program.last_lines.iter().any(|line| line == "I (7) main: at 192.168.4.91"),
        "{:?}",
        program.last_lines
    );
    let rw = report("rw -c 2 -n 100 --size 4KiB", &target("robust"), &[]).unwrap();
    served(&rw);
    whole(&rw);
}

#[test]
fn the_link_is_between_host_and_process() {
    let Some(slow) = report("head -n 20", &target("robust"), &["--link", "delay=20ms"]) else { return };
    served(&slow);
    // A round trip for the handshake and one for the answer.
    let latency = &slow.workloads[0].latency[&Phase::Total];
    assert!(latency.min_us.is_some_and(|least| least >= 80_000.0), "{latency:?}");
    assert_eq!(slow.target.link.as_deref(), Some("delay=20ms"));
}

#[test]
fn an_outage_of_the_link_is_survived_and_known() {
    let workload = "outage --by link --cycles 2 --every 2s --outage 700ms";
    let Some(outage) = report(workload, &target("robust"), &[]) else { return };
    let rows = outage.workloads[0].outages.as_ref().unwrap();
    assert_eq!(rows.len(), 2, "{rows:#?}");
    for row in rows {
        let length = row.made_length_s.unwrap();
        assert!((0.69..0.8).contains(&length), "{row:#?}");
        assert!(row.recovery_s.is_some(), "{row:#?}");
    }
    whole(&outage);
}

#[cfg(feature = "long")]
#[test]
fn clients_that_vanish_are_noticed_by_keep_alive() {
    let Some(robust) = report("half-open", &target("robust"), &[]) else { return };
    // smoltcp has no backlog: the connections beyond its sockets are refused.
    let charged = robust.anomalies.iter().filter(|row| row.class == AnomalyClass::Device);
    assert!(
        charged.clone().all(|row| row.id == espstress_event::AnomalyId::SynRefused),
        "{:#?}",
        charged.collect::<Vec<_>>()
    );
    assert_eq!(said(&robust), []);
    let figures = robust.workloads[0].half_open.as_ref().unwrap();
    assert!(figures.silenced > 0 && figures.capacity == Some(5), "{figures:#?}");
}

#[test]
fn a_fault_is_seen_as_on_a_twin() {
    let Some(unread) = report("head -n 60", &target("unread-close"), &[]) else { return };
    assert_eq!(said(&unread), [FindingId::AbortiveClose]);
}

#[test]
fn the_end_of_the_process_is_a_restart_with_its_last_words() {
    let Some(crashing) = report("head --rate 10/s -d 8s", &target("3.5"), &[]) else { return };
    assert!(said(&crashing).contains(&FindingId::DeviceRebooted), "{:#?}", crashing.findings);
    let program = crashing.target.program.unwrap();
    assert_eq!(
        program.end.as_deref(),
        Some("killed by SIGABRT, its last line: Guru Meditation Error: Core 0 panic'ed")
    );
    let workload = &crashing.workloads[0];
    assert!(workload.succeeded > 20, "it is served again: {} of {}", workload.succeeded, workload.attempts);
}

#[test]
fn it_may_be_in_a_network_of_its_own_choice() {
    let place = ["--device-address", "192.168.5.100"];
    let Some(elsewhere) = report("head -n 10", &target("robust"), &place) else { return };
    served(&elsewhere);
    assert_eq!(elsewhere.target.address, "192.168.5.100:80");
}
