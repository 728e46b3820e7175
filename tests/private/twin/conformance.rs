//! The checks that every carrier of the device program has to pass, on both stacks of the twin.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use espstress_device::Service;
use espstress_device::conformance::{self, Backlog, Device, PERSONA_CHECKS, SERVICE_CHECKS, TOKEN};
use espstress_targets::network::{MAX_TWINS, PrivateNetwork};
use espstress_targets::twin::{OptionSet, StackKind, Twin, TwinSpec};

use super::client::{self, PATIENCE, until};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = cases![
    every_service_on_lwip_does_what_it_does_on_every_carrier,
    every_service_on_smoltcp_does_what_it_does_on_every_carrier,
    every_persona_shows_its_habit_on_lwip,
    every_persona_shows_its_habit_on_smoltcp,
    noise_on_every_port_costs_lwip_no_memory,
    noise_on_every_port_costs_smoltcp_no_memory,
    a_persona_set_by_control_outlives_a_restart_with_its_parameters,
];

const STACKS: [StackKind; 2] = [StackKind::Lwip, StackKind::Smoltcp];

fn spec(stack: StackKind) -> TwinSpec {
    // Shorter than a check waits for one answer.
    let boot_time = Duration::from_millis(50);
    TwinSpec { stack, token: Some(TOKEN.to_owned()), boot_time, ..TwinSpec::default() }
}

fn device(twin: &Twin) -> Device {
    let at = |service| Some((service, twin.service(service)?));
    let addresses: Vec<(Service, SocketAddr)> = Service::ALL.into_iter().filter_map(at).collect();
    Device { addresses, capacity: twin.capacity().into(), backlog: Backlog::Kept }
}

fn judge(faults: &[String]) -> Outcome {
    if faults.is_empty() { Ok(()) } else { Err(format!("{faults:#?}").into()) }
}

/// Every check against a twin of its own, all of them at once: most of their time is waiting.
fn services(network: &PrivateNetwork, stack: StackKind) -> Outcome {
    let mut faults = Vec::new();
    for checks in SERVICE_CHECKS.chunks(MAX_TWINS.into()) {
        let twins: Vec<Twin> = (0..checks.len() as u8)
            .map(|index| Twin::start(TwinSpec { index, ..spec(stack) }, network))
            .collect::<Result<_, _>>()?;
        std::thread::scope(|scope| {
            let running: Vec<_> = checks
                .iter()
                .zip(&twins)
                .map(|(check, twin)| scope.spawn(move || check.run(&device(twin)).err()))
                .collect();
            faults.extend(running.into_iter().filter_map(|one| one.join().expect("no panic")));
        });
    }
    judge(&faults)
}

fn every_service_on_lwip_does_what_it_does_on_every_carrier(network: &PrivateNetwork) -> Outcome {
    services(network, StackKind::Lwip)
}

fn every_service_on_smoltcp_does_what_it_does_on_every_carrier(network: &PrivateNetwork) -> Outcome {
    services(network, StackKind::Smoltcp)
}

fn personas(network: &PrivateNetwork, stack: StackKind) -> Outcome {
    let start = |(index, check): (u8, &conformance::PersonaCheck)| {
        let persona = check.persona.to_owned();
        Twin::start(TwinSpec { index, persona, ..spec(stack) }, network)
    };
    let twins: Vec<Twin> = (0..).zip(PERSONA_CHECKS).map(start).collect::<Result<_, _>>()?;
    let faults: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = PERSONA_CHECKS
            .iter()
            .zip(&twins)
            .map(|(check, twin)| scope.spawn(move || check.run(&device(twin)).err()))
            .collect();
        running.into_iter().filter_map(|one| one.join().expect("no panic")).collect()
    });
    judge(&faults)
}

fn every_persona_shows_its_habit_on_lwip(network: &PrivateNetwork) -> Outcome {
    personas(network, StackKind::Lwip)
}

fn every_persona_shows_its_habit_on_smoltcp(network: &PrivateNetwork) -> Outcome {
    personas(network, StackKind::Smoltcp)
}

fn noise_on_every_port_costs_lwip_no_memory(network: &PrivateNetwork) -> Outcome {
    // Connections that the device closes first keep memory for twice the MSL: not for long here.
    let options = OptionSet::file("short.sdkconfig", "CONFIG_LWIP_TCP_MSL=500\n");
    let twin = Twin::start(TwinSpec { options, ..spec(StackKind::Lwip) }, network)?;
    noise(&twin)
}

fn noise_on_every_port_costs_smoltcp_no_memory(network: &PrivateNetwork) -> Outcome {
    noise(&Twin::start(spec(StackKind::Smoltcp), network)?)
}

fn noise(twin: &Twin) -> Outcome {
    for seed in [0xC0FF_EE01, 0xC0FF_EE02] {
        let fault = conformance::withstands_noise(&device(twin), seed);
        fault.map_err(|fault| {
            format!("{fault}; {}", twin.ended().map_or("alive".into(), |end| end.to_string()))
        })?;
    }
    assert!(twin.ended().is_none());
    assert_eq!(twin.restarts(), 0);
    Ok(())
}

fn a_persona_set_by_control_outlives_a_restart_with_its_parameters(network: &PrivateNetwork) -> Outcome {
    for (stack, index) in STACKS.into_iter().zip(0..) {
        let twin = Twin::start(TwinSpec { index, ..spec(stack) }, network)?;
        let answer = client::control(&twin, TOKEN, r#"{"persona":"hoarder:bytes=100","reboot":true}"#)?;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        until("restarted", PATIENCE, || twin.restarts() == 1)?;
        hoards(&twin, 100).map_err(|error| format!("{stack:?}: {error}"))?;
    }
    Ok(())
}

/// The device keeps so many bytes of a request.
fn hoards(twin: &Twin, bytes: u64) -> Result<(), Box<dyn Error>> {
    assert_eq!(client::telemetry(twin)?["hoarded_bytes"], 0, "a new start");
    client::head(client::address(twin, Service::Http)?)?;
    let telemetry = client::telemetry(twin)?;
    assert_eq!((&telemetry["persona"], &telemetry["hoarded_bytes"]), (&"hoarder".into(), &bytes.into()));
    Ok(())
}
