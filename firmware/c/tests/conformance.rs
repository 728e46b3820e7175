//! The checks that every carrier of the device program has to pass, on the one in C.

mod support;

use espstress_device::conformance::{PERSONA_CHECKS, SERVICE_CHECKS, TOKEN};
use support::{Build, Host};

fn start(build: Build, persona: &str) -> Host {
    Host::start(build, &["--persona", persona, "--token", TOKEN])
}

fn faults_of_services(build: Build) -> Vec<String> {
    let fault = |check: &espstress_device::conformance::Check| {
        let host = start(build, "robust");
        check.run(&host.device()).err()
    };
    SERVICE_CHECKS.iter().filter_map(fault).collect()
}

fn faults_of_personas(build: Build) -> Vec<String> {
    // At once: most of their time they wait for what must not happen.
    std::thread::scope(|scope| {
        let running: Vec<_> = PERSONA_CHECKS
            .iter()
            .map(|check| {
                scope.spawn(move || {
                    let host = start(build, check.persona);
                    check.run(&host.device()).err()
                })
            })
            .collect();
        running.into_iter().filter_map(|check| check.join().expect("no panic")).collect()
    })
}

#[test]
fn every_service_behaves_as_every_carrier_has_to() {
    let faults = faults_of_services(Build::Sanitized);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_persona_shows_its_habit() {
    let faults = faults_of_personas(Build::Sanitized);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_library_without_std_behaves_the_same() {
    let mut faults = faults_of_services(Build::NoStd);
    faults.extend(faults_of_personas(Build::NoStd));
    assert!(faults.is_empty(), "{faults:#?}");
}
