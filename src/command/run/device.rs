//! The device of a run: found or started, and what to say when that fails.

use crate::command::Failed;
use espstress_cli::Common;
use espstress_scenario::{Place, Scenario};
#[cfg(target_os = "linux")]
use espstress_targets::twin::TwinError;
use espstress_targets::{
    Device, DeviceAddress, DeviceSetup, DialOut, Nest, PublicAddresses, Spec, TargetError,
};

pub(super) fn bring_up(
    scenario: &Scenario,
    common: &Common,
    seed: u64,
    dial: Option<DialOut>,
    nest: &mut Nest,
) -> Result<(Device, Option<String>), Failed> {
    let typed: Option<Spec> = scenario.target.as_deref().map(str::parse).transpose().map_err(|error| {
        let text = scenario.target.as_deref();
        let shown = text.map(without_login);
        Failed::usage(placed("target", shown.as_deref(), scenario.target_place.as_ref(), &error))
    })?;
    let usual = typed.is_none();
    let spec = typed.unwrap_or(Spec::Sim);
    let setup = DeviceSetup {
        spec,
        persona: scenario.persona.clone(),
        link: scenario.link.clone(),
        heap: common.device.heap.map(|size| size.0),
        stack: scenario.stack.clone(),
        program: scenario.program.clone(),
        at: device_address(scenario.device_address.as_deref())?,
        announce: false,
        show_program: common.verbose,
        prints_console: common.device.console_style.is_some(),
        dial,
        seed,
        public: if common.allow_public { PublicAddresses::Allowed } else { PublicAddresses::Refused },
    };
    let up = if usual {
        Device::bring_up_usual(&setup)
    } else {
        Device::bring_up_in(&setup, nest).map(|device| (device, None))
    };
    up.map_err(|error| match error.is_usage() {
        true => Failed::usage(misnamed(scenario, &error)),
        false => Failed::environment(error),
    })
}

/// Where a process behind a TAP device is said to be.
pub(in crate::command) fn device_address(text: Option<&str>) -> Result<DeviceAddress, Failed> {
    let Some(text) = text else { return Ok(DeviceAddress::default()) };
    text.parse().map_err(|why: &str| Failed::usage(format!("--device-address {text}: {why}")))
}

/// What is wrong with the device as it was asked for: what was asked, and where.
fn misnamed(scenario: &Scenario, error: &TargetError) -> String {
    match error {
        TargetError::Persona(why) => {
            placed("persona", scenario.persona.as_deref(), scenario.persona_place.as_ref(), why)
        }
        #[cfg(target_os = "linux")]
        TargetError::Twin(TwinError::Persona(why)) => {
            placed("persona", scenario.persona.as_deref(), scenario.persona_place.as_ref(), why)
        }
        TargetError::NotForThis { option, kinds, target } => {
            let place = match *option {
                "--persona" => &scenario.persona_place,
                "--link" => &scenario.link_place,
                _ => &None,
            };
            let why = format!("works only with {kinds}, not with {target}");
            let key = option.trim_start_matches('-');
            place.as_ref().map_or_else(|| error.to_string(), |place| format!("{place}: `{key}` {why}"))
        }
        TargetError::Link(why) => placed("link", scenario.link.as_deref(), scenario.link_place.as_ref(), why),
        other => other.to_string(),
    }
}

/// A target as it may be shown: a user name and a password in it are nobody's business.
fn without_login(target: &str) -> String {
    let (scheme, rest) = target.split_once("://").map_or(("", target), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, rest)) if scheme.is_empty() => format!("...@{rest}"),
        Some((_, rest)) => format!("{scheme}://...@{rest}"),
        None => target.to_owned(),
    }
}

/// An error with what was typed and where it stands: the file's line, or the flag.
fn placed(key: &str, text: Option<&str>, place: Option<&Place>, why: &dyn std::fmt::Display) -> String {
    let text = text.unwrap_or_default();
    match place {
        Some(place) => format!("{place}: {key} `{text}`: {why}"),
        None => format!("{key} `{text}`: {why}"),
    }
}

/// Whether connections can come from the address that was asked for.
pub(super) fn source_is_here(source: Option<std::net::IpAddr>) -> Result<(), Failed> {
    let Some(source) = source else { return Ok(()) };
    let Err(error) = std::net::UdpSocket::bind((source, 0)) else { return Ok(()) };
    let mut here: Vec<String> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip().to_string())
        .collect();
    here.dedup();
    let here = if here.is_empty() { "none is up".to_owned() } else { here.join(", ") };
    Err(Failed::usage(format!(
        "--source {source}: not an address of this machine ({error}); its addresses: {here}"
    )))
}

/// Why no connection to the device came about, and what may help: what the system says by the next one.
pub(super) fn not_there(device: &Device) -> Failed {
    let address = device.endpoints.http;
    let limit = std::time::Duration::from_secs(5);
    match std::net::TcpStream::connect_timeout(&address, limit) {
        Ok(_) => Failed::environment(format!(
            "{address} takes connections only now: the first ones were refused, or not answered for 5 s; try again"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Failed::environment(format!(
            "{address} refuses connections: nothing listens on that port (for another port: HOST:PORT){}",
            ipv4_only(address)
        )),
        Err(error) => Failed::environment(format!(
            "cannot reach {address}: {error}{} (is the device up, on this network, and at that address?)",
            neighbour(&error, address)
        )),
    }
}

/// What else a refusal may mean at an IPv6 address.
const fn ipv4_only(address: std::net::SocketAddr) -> &'static str {
    if address.is_ipv6() {
        "; or the device has IPv6 and its program listens on IPv4 only: try its IPv4 address"
    } else {
        ""
    }
}

/// What the system says by "no route to host" of an address on its own network: nobody there answered for it.
fn neighbour(error: &std::io::Error, address: std::net::SocketAddr) -> &'static str {
    match (error.kind(), address) {
        (std::io::ErrorKind::HostUnreachable, std::net::SocketAddr::V4(_)) => {
            ": no answer to ARP, so that nobody on this network has this address now; after a restart it may be another, \
             see `espstress discover`"
        }
        (std::io::ErrorKind::HostUnreachable, std::net::SocketAddr::V6(_)) => {
            ": no answer to neighbour discovery, so that nobody on this network has this address now; see `espstress discover`"
        }
        _ => "",
    }
}
