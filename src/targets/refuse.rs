//! Options that a kind of target does not have.

use super::address::DeviceAddress;
use super::error::TargetError;
use super::setup::DeviceSetup;
#[cfg(target_os = "linux")]
use super::{
    spec::{TwinOptions, TwinStack},
    twin::StackKind,
};

/// Refuses a persona where the device program is not ours to start.
pub(super) fn refuse_persona(setup: &DeviceSetup) -> Result<(), TargetError> {
    match setup.persona {
        Some(_) => Err(TargetError::NotForThis {
            option: "--persona",
            kinds: "twin and sim",
            target: setup.spec.to_string(),
        }),
        None => Ok(()),
    }
}

/// Refuses what belongs to the device program and the stacks under it.
#[cfg(target_os = "linux")]
pub(super) fn refuse_device_program(setup: &DeviceSetup) -> Result<(), TargetError> {
    let given = [
        ("--persona", "twin and sim", setup.persona.is_some()),
        ("--stack", "twin", setup.stack.is_some()),
        ("--heap", "twin", setup.heap.is_some()),
        ("--program", "twin", setup.program.is_some()),
    ];
    match given.into_iter().find(|(.., is_given)| *is_given) {
        Some((option, kinds, _)) => {
            Err(TargetError::NotForThis { option, kinds, target: setup.spec.to_string() })
        }
        None => Ok(()),
    }
}

/// Refuses a place for a device that has one, or is ours to place.
pub(super) fn refuse_address(setup: &DeviceSetup) -> Result<(), TargetError> {
    if setup.at == DeviceAddress::default() {
        return Ok(());
    }
    let (option, kinds) = ("--device-address", "tap:CMD and emu:IMAGE");
    Err(TargetError::NotForThis { option, kinds, target: setup.spec.to_string() })
}

/// Refuses what only twins have.
pub(super) fn refuse_twin_options(setup: &DeviceSetup) -> Result<(), TargetError> {
    refuse_address(setup)?;
    let given = [
        ("--link", setup.link.is_some()),
        ("--heap", setup.heap.is_some()),
        ("--stack", setup.stack.is_some()),
        ("--program", setup.program.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((option, _)) => {
            Err(TargetError::NotForThis { option, kinds: "twin", target: setup.spec.to_string() })
        }
        None => Ok(()),
    }
}

/// Refuses what a program of the user's own has not.
#[cfg(target_os = "linux")]
pub(super) fn refuse_with_program(setup: &DeviceSetup, stack: StackKind) -> Result<(), TargetError> {
    let refused = |other, why| Err(TargetError::NotWithProgram { other, why });
    match (&setup.program, &setup.persona, stack) {
        (Some(_), Some(_), _) => refused("--persona", "a persona is a habit of the device program"),
        (Some(_), _, StackKind::Smoltcp) => refused("--stack smoltcp", "a program's sockets live on lwIP"),
        _ => Ok(()),
    }
}

/// The stack that was asked for, which has to be one for these options.
#[cfg(target_os = "linux")]
pub(super) fn twin_stack(setup: &DeviceSetup, options: &TwinOptions) -> Result<StackKind, TargetError> {
    let Some(given) = &setup.stack else { return Ok(StackKind::Lwip) };
    match (TwinStack::from_name(given), options) {
        (None, _) => Err(TargetError::Stack { given: given.clone() }),
        (Some(TwinStack::Lwip), _) => Ok(StackKind::Lwip),
        (Some(TwinStack::Smoltcp), _) if !StackKind::Smoltcp.is_built() => Err(TargetError::NotBuilt),
        (Some(TwinStack::Smoltcp), TwinOptions::Current) => Ok(StackKind::Smoltcp),
        (Some(TwinStack::Smoltcp), _) => Err(TargetError::OptionsOfLwip { target: setup.spec.to_string() }),
    }
}
