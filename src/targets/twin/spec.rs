//! What a twin is to be.

use std::net::Ipv4Addr;
use std::time::Duration;

use espstress_device::mqtt::Settings;
use espstress_device::{Persona, Services};
use espstress_twin::link::LinkSpec;
use espstress_twin::setup::{BootState, DEFAULT_BOOT_MS, MqttSetup, OptionSet, Setup, StackKind, TapSetup};
use espstress_twin::{DEFAULT_HEAP_BYTES, MAX_HEAP_BYTES, MIN_HEAP_BYTES};

use super::TwinError;
use crate::network::{Carrier, HOST_ADDRESS, PREFIX, host_mac, interface_name, twin_address, twin_mac};

/// A process of the user's own behind a TAP device.
#[derive(Clone, Debug)]
pub struct TapSpec {
    /// The program and its arguments, with `{tap}`, `{address}`, `{gateway}` and `{mac}` to fill in.
    pub command: Vec<String>,
    /// Where it is to be; learned where it is not given.
    pub address: Option<Ipv4Addr>,
}

/// The setup of a twin.
#[derive(Clone, Debug)]
pub struct TwinSpec {
    /// The stack under the device program.
    pub stack: StackKind,
    /// lwIP's options. On another stack they have no effect.
    pub options: OptionSet,
    /// The persona, `name` or `name:key=value,...`.
    pub persona: String,
    /// The link.
    pub link: LinkSpec,
    /// Size of the heap in bytes.
    pub heap_bytes: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// Its number in the network, from 0.
    pub index: u8,
    /// The services that are switched on.
    pub services: Services,
    /// The bearer token of control requests; with none, every control request is refused.
    pub token: Option<String>,
    /// The host that it dials, if any.
    pub dial: Option<(Ipv4Addr, u16)>,
    /// With it, that host is an MQTT broker.
    pub mqtt: Option<Settings>,
    /// A foreign program and its arguments, instead of the device program.
    pub program: Option<Vec<String>>,
    /// A process behind a TAP device, instead of a stack and a program on it.
    pub tap: Option<TapSpec>,
    /// Whether it announces itself by multicast DNS, which on lwIP takes some of its heap.
    pub announce: bool,
    /// Whether what the program writes is shown on standard error.
    pub show_output: bool,
    /// Whether the device program prints a console as ESP-IDF does.
    pub prints_console: bool,
    /// How long a restart takes.
    pub boot_time: Duration,
    /// What is to carry its frames; by itself the best there is.
    pub carrier: Option<Carrier>,
}

impl Default for TwinSpec {
    /// The robust device with current options and a device's heap on a clean link.
    fn default() -> Self {
        let setup = Setup::default();
        Self {
            stack: StackKind::Lwip,
            options: OptionSet::Current,
            persona: setup.persona,
            link: LinkSpec::CLEAN,
            heap_bytes: DEFAULT_HEAP_BYTES,
            seed: 0,
            index: 0,
            services: Services::ALL,
            token: None,
            dial: None,
            mqtt: None,
            program: None,
            tap: None,
            announce: false,
            show_output: false,
            prints_console: false,
            boot_time: Duration::from_millis(DEFAULT_BOOT_MS),
            carrier: None,
        }
    }
}

impl TwinSpec {
    /// Looks for what is wrong with it before anything is started.
    ///
    /// # Errors
    /// [`TwinError`]: options, persona or heap.
    pub fn check(&self) -> Result<(), TwinError> {
        self.setup().map(drop)
    }

    /// The host's address in the network of a process that is to be in another one than twins are.
    pub(super) fn further_host_address(&self) -> Option<Ipv4Addr> {
        let [a, b, c, number] = self.tap.as_ref()?.address?.octets();
        let elsewhere = [a, b, c] != HOST_ADDRESS.octets()[..3];
        elsewhere.then(|| Ipv4Addr::new(a, b, c, if number == 1 { 2 } else { 1 }))
    }

    /// The setup for the twin's process, everything in it checked.
    pub(super) fn setup(&self) -> Result<Setup, TwinError> {
        self.options.resolve()?;
        self.persona.parse::<Persona>().map_err(|error| TwinError::Persona(error.to_string()))?;
        if !(MIN_HEAP_BYTES..=MAX_HEAP_BYTES).contains(&self.heap_bytes) {
            return Err(TwinError::Heap(self.heap_bytes));
        }
        let asked = self.tap.as_ref().and_then(|tap| tap.address);
        let tap = self.tap.as_ref().map(|tap| TapSetup {
            command: tap.command.clone(),
            interface: interface_name(self.index),
            host_mac: host_mac(self.index),
            // Whoever has it filled in puts the process there.
            given: asked.is_some() || tap.command.iter().any(|word| word.contains("{address}")),
        });
        Ok(Setup {
            address: asked.unwrap_or(twin_address(self.index)),
            prefix: PREFIX,
            gateway: self.further_host_address().unwrap_or(HOST_ADDRESS),
            mac: twin_mac(self.index),
            stack: self.stack,
            options: self.options.clone(),
            heap_bytes: self.heap_bytes,
            seed: self.seed.wrapping_add(u64::from(self.index)),
            link: self.link.to_string(),
            persona: self.persona.clone(),
            services: self.services.iter().map(|service| service.name().to_owned()).collect(),
            token: self.token.clone(),
            name: "twin".to_owned(),
            number: self.index.saturating_add(1),
            dial: self.dial.map(|(address, port)| (address.to_string(), port)),
            mqtt: self.mqtt.map(MqttSetup::from),
            program: self.program.clone(),
            prints_console: self.prints_console,
            tap,
            announce: self.announce,
            boot_ms: u64::try_from(self.boot_time.as_millis()).unwrap_or(u64::MAX),
            boot: BootState::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_in_another_network_finds_the_host_there() {
        let at = |address: &str| {
            let tap = TapSpec { command: vec!["x".into()], address: address.parse().ok() };
            let setup = TwinSpec { tap: Some(tap), ..TwinSpec::default() }.setup().unwrap();
            (setup.address.to_string(), setup.gateway.to_string(), setup.tap.is_some_and(|tap| tap.given))
        };
        assert_eq!(at("192.168.5.100"), ("192.168.5.100".into(), "192.168.5.1".into(), true));
        assert_eq!(at("192.168.5.1"), ("192.168.5.1".into(), "192.168.5.2".into(), true));
        assert_eq!(at("192.168.4.7"), ("192.168.4.7".into(), "192.168.4.1".into(), true));
        assert_eq!(at(""), ("192.168.4.91".into(), "192.168.4.1".into(), false));
    }

    #[test]
    fn what_is_wrong_is_told_before_anything_is_started() {
        let persona = TwinSpec { persona: "robot".to_owned(), ..TwinSpec::default() };
        assert!(persona.setup().expect_err("no such persona").to_string().contains("robust"));
        let heap = TwinSpec { heap_bytes: 10, ..TwinSpec::default() };
        assert!(heap.setup().expect_err("too small").to_string().contains("heap"));
        let options = OptionSet::file("my.sdkconfig", "\nCONFIG_LWIP_MAX_SOCKETS=many\n");
        let error = TwinSpec { options, ..TwinSpec::default() }.setup().expect_err("no number");
        assert!(error.to_string().contains("my.sdkconfig:2"), "{error}");
    }
}
