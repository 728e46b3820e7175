//! The device program's conformance checks, on the host's own stack.

use espstress_device::Persona;
use espstress_device::conformance::{self, Backlog, Device, PERSONA_CHECKS, SERVICE_CHECKS, TOKEN};
use espstress_device::persona::Kind;
use espstress_targets::sim::{Sim, SimConfig};

fn start(persona: Persona) -> (Sim, Device) {
    let config = SimConfig { persona, token: Some(TOKEN.to_owned()), ..SimConfig::default() };
    let sim = Sim::start(config).expect("sim starts");
    let device = Device {
        addresses: sim.addresses().iter().collect(),
        capacity: sim.capacity().into(),
        backlog: Backlog::Kept,
    };
    (sim, device)
}

#[test]
fn every_service_behaves_as_every_carrier_has_to() {
    let faults: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = SERVICE_CHECKS
            .iter()
            .map(|check| {
                scope.spawn(|| {
                    let (_sim, device) = start(Persona::ROBUST);
                    check.run(&device).err()
                })
            })
            .collect();
        running.into_iter().filter_map(|check| check.join().expect("no panic")).collect()
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_persona_shows_its_habit() {
    let faults: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = PERSONA_CHECKS
            .iter()
            .map(|check| {
                scope.spawn(|| {
                    let (_sim, device) = start(check.persona.parse().expect("the table names personas"));
                    check.run(&device).err()
                })
            })
            .collect();
        running.into_iter().filter_map(|check| check.join().expect("no panic")).collect()
    });
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn noise_on_every_port_leaves_it_as_it_was() {
    std::thread::scope(|scope| {
        for seed in [0xC0FF_EE01, 0xC0FF_EE02] {
            scope.spawn(move || {
                let (_sim, device) = start(Persona::ROBUST);
                conformance::withstands_noise(&device, seed).unwrap();
            });
        }
    });
}

#[test]
fn no_persona_is_without_a_check() {
    // Those of the MQTT client have tests of their own.
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_of_mqtt()) {
        assert!(PERSONA_CHECKS.iter().any(|check| check.kind == kind), "{kind}");
    }
}

#[test]
fn a_robust_device_passes_for_no_persona_with_a_fault() {
    // The check of `rebooting` would wait long for what does not come.
    let alike = [Kind::Robust, Kind::NoKeepalive, Kind::Rebooting];
    let passed: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = PERSONA_CHECKS
            .iter()
            .filter(|check| !alike.contains(&check.kind))
            .map(|check| {
                scope.spawn(|| {
                    let (_sim, device) = start(Persona::ROBUST);
                    check.run(&device).is_ok().then_some(check.persona)
                })
            })
            .collect();
        running.into_iter().filter_map(|check| check.join().expect("no panic")).collect()
    });
    assert!(passed.is_empty(), "{passed:?}");
}
