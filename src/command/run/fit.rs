//! Whether the phases fit the device, as far as that is known before the first packet.

use std::time::Duration;

use crate::command::Failed;
use espstress_connection::PortRange;
use espstress_engine::PlannedPhase;
use espstress_event::{Protocol, WorkloadKind};
use espstress_scenario::Scenario;
use espstress_targets::{Device, DeviceKind, Spec};

/// Only HTTP is spoken over TLS.
pub(super) fn refuse_tls(phases: &[PlannedPhase], device: &Device) -> Result<(), Failed> {
    if device.endpoints.tls_name.is_none() {
        return Ok(());
    }
    let speaks = |phase: &&PlannedPhase| {
        let facts = phase.workload.facts(&device.endpoints);
        let kind = matches!(facts.kind, Some(WorkloadKind::Head | WorkloadKind::Rw));
        !kind || facts.asks.protocol != Protocol::Http
    };
    phases.iter().find(speaks).map_or(Ok(()), |phase| {
        Err(Failed::usage(format!(
            "{}: only `head` and `rw --protocol http` speak TLS; give the device's plain HTTP port for the others",
            phase.name
        )))
    })
}

/// Refuses what the device says that it does not have, rather than to wait for it.
pub(super) fn refuse_lacking(phases: &[PlannedPhase], device: &Device) -> Result<(), Failed> {
    let needs = |phase: &PlannedPhase| {
        let facts = phase.workload.facts(&device.endpoints);
        match facts.kind {
            Some(WorkloadKind::Outage) if phase.workload.listens_on().is_none() => Some(Protocol::Framed),
            Some(WorkloadKind::Rw) => Some(facts.asks.protocol),
            _ => None,
        }
    };
    let lacking = phases.iter().find_map(|phase| {
        let protocol = needs(phase).filter(|protocol| device.lacks.contains(protocol))?;
        Some((phase, protocol))
    });
    let Some((phase, protocol)) = lacking else { return Ok(()) };
    let protocol = protocol.name();
    let instead = match phase.workload.kind() == WorkloadKind::Outage.name() {
        true => "let the device dial in: outage --listen PORT",
        false => "choose another --protocol",
    };
    Err(Failed::usage(format!(
        "{}: needs the {protocol} service, and by its telemetry the device has none; {instead}",
        phase.name
    )))
}

/// What was asked for and cannot have an effect on this device.
pub(super) fn refuse_useless(phases: &[PlannedPhase], device: &Device) -> Result<(), Failed> {
    let ours = device.control_token.is_some();
    phases.iter().try_for_each(|phase| {
        let checked = phase.workload.check_device(&device.endpoints, ours);
        checked.map_err(|error| Failed::usage(format!("{}: {error}", phase.name)))
    })
}

/// How long a device may take to refuse or accept a connection to the framed service.
const KNOCK: Duration = Duration::from_secs(2);

/// An optional phase that the device can't serve.
pub(in crate::command) struct LeftOut {
    pub(in crate::command) name: String,
    pub(in crate::command) reason: &'static str,
}

impl LeftOut {
    /// In a sentence without an end.
    pub(super) fn words(&self) -> String {
        format!("phase {} is left out: {}", self.name, self.reason)
    }
}

/// Takes out the optional phases whose service the device lacks.
pub(super) fn leave_out(
    scenario: &Scenario,
    phases: &mut Vec<PlannedPhase>,
    device: &Device,
) -> Vec<LeftOut> {
    let mut left_out = Vec::new();
    let mut take = |phase: &PlannedPhase, reason| left_out.push(LeftOut { name: phase.name.clone(), reason });
    let mut specs = scenario.phases.iter();
    phases.retain(|phase| {
        let optional = specs.next().is_some_and(|spec| spec.optional);
        let needs_framed = phase.workload.kind() == WorkloadKind::Outage.name();
        let lacks = optional && needs_framed && !has_framed(device);
        if lacks {
            take(phase, "it needs the framed service, which this device does not have");
        }
        let unasked = optional && phase.workload.sets_keepalive() && device.control_token.is_none();
        if unasked {
            take(phase, "only our device program can be asked for another keep-alive");
        }
        !lacks && !unasked
    });
    left_out
}

/// Whether the device has the framed service, as far as can be known without speaking to it: a port that refuses has
/// none, and one that says nothing may come back.
fn has_framed(device: &Device) -> bool {
    let Some(framed) = device.endpoints.framed else { return false };
    if device.kind != DeviceKind::Address {
        return true;
    }
    let knocked = std::net::TcpStream::connect_timeout(&framed, KNOCK);
    !knocked.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// A program of the user's own has no control service that could take the device off its network.
pub(super) fn refuse_by_device(scenario: &Scenario, phases: &[PlannedPhase]) -> Result<(), Failed> {
    let by_device = |phase: &PlannedPhase| phase.workload.sends_device_away();
    let tap = scenario
        .target
        .as_deref()
        .is_some_and(|target| matches!(target.parse(), Ok(Spec::Tap(_) | Spec::Emulator(_))));
    if tap && phases.iter().any(by_device) {
        return Err(Failed::usage(
            "--by device isn't for tap:CMD and emu:IMAGE: leaving the network is a command of the device program; --by \
             link cuts the link to the process",
        ));
    }
    if scenario.program.is_some() && phases.iter().any(by_device) {
        return Err(Failed::usage(
            "--program can't be used with --by device: leaving the network is a command of the device program; \
             --by link cuts the twin's link",
        ));
    }
    Ok(())
}

/// What would have to begin anew is told so by the first session, not by the second, which would lose what there is.
pub(super) fn refuse_resuming(phases: &[PlannedPhase]) -> Result<(), Failed> {
    let why = |phase: &PlannedPhase| {
        let why = espstress_report::cannot_resume(WorkloadKind::named(phase.workload.kind())?)?;
        Some(format!("--resume: {} can't be resumed: {why}; use --log, and start it again", phase.name))
    };
    phases.iter().find_map(why).map_or(Ok(()), |why| Err(Failed::usage(why)))
}

/// What will not go as it may have been meant.
pub(super) fn warnings(phases: &[PlannedPhase], ports: PortRange, device: &Device) -> Vec<String> {
    let mut warnings = Vec::new();
    let planned: u64 = phases.iter().filter_map(|phase| phase.workload.connections_in_a_minute()).sum();
    if planned > ports.len() as u64 {
        warnings.push(format!(
            "this run may open {planned} connections within a minute, more than there are source ports ({}): where the \
             host closes first, a port can be used again after 60 s, so that it will have to wait",
            ports.len()
        ));
    }
    if let Some(capacity) = device.capacity {
        for phase in phases.iter().filter(|phase| phase.workload.at_once() > capacity) {
            warnings.push(format!(
                "{} wants {} connections at once; the device states a capacity of {capacity}",
                phase.name,
                phase.workload.at_once()
            ));
        }
    }
    warnings
}
