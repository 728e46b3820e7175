//! What a device is set up with.

use core::time::Duration;

use crate::mqtt;
use crate::persona::Persona;
use crate::service::Services;
use crate::telemetry::ResetReason;
use crate::text::{Text, Token};

/// The setup of one device.
#[derive(Clone, Debug)]
pub struct Config {
    /// How it behaves.
    pub persona: Persona,
    /// Sockets the stack has in all, listeners and datagram sockets included.
    pub sockets: u16,
    /// The services that are switched on.
    pub services: Services,
    /// What control requests have to show; with none, every control request is refused.
    pub token: Option<Token>,
    /// Its name in telemetry.
    pub name: Text<32>,
    /// Its number, the id line of the line protocol.
    pub number: u8,
    /// How it came to start.
    pub boot: Boot,
    /// Times of the line protocol.
    pub line: LineTimes,
    /// The host to dial, if any.
    pub dial: Option<Host>,
    /// With it, the host to dial is an MQTT broker; without it, it speaks the line protocol.
    pub mqtt: Option<mqtt::Settings>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            persona: Persona::ROBUST,
            sockets: 10,
            services: Services::ALL,
            token: None,
            name: Text::try_from("espstress").unwrap_or_default(),
            number: 1,
            boot: Boot::default(),
            line: LineTimes::default(),
            dial: None,
            mqtt: None,
        }
    }
}

impl Config {
    /// Connections that can be held at once: sockets less listeners, the datagram socket and the one for dialling.
    #[must_use]
    pub const fn capacity(&self) -> u16 {
        let dialling = self.dial.is_some() as u16;
        self.sockets.saturating_sub(self.services.sockets() + dialling)
    }
}

/// How the device came to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Boot {
    /// Starts since power-on, this one included.
    pub count: u32,
    /// Why it started.
    pub reason: ResetReason,
}

impl Boot {
    /// The start that follows this one.
    #[must_use]
    pub const fn next(self, reason: ResetReason) -> Self {
        Self { count: self.count.saturating_add(1), reason }
    }
}

impl Default for Boot {
    fn default() -> Self {
        Self { count: 1, reason: ResetReason::PowerOn }
    }
}

/// Times of the line protocol, the resilience demos' by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineTimes {
    /// Silence after which the peer counts as gone. Keep-alives go out at two thirds of it.
    pub timeout: Duration,
    /// Time between lines of application data.
    pub data_interval: Duration,
}

impl LineTimes {
    /// Time between keep-alives: two thirds of the time-out.
    #[must_use]
    pub const fn keep_alive(&self) -> Duration {
        Duration::from_micros(self.timeout.as_micros() as u64 / 3 * 2)
    }

    /// How long a device keeps quiet after a loss before it dials again: twice the time-out, so that the peer has
    /// noticed as well.
    #[must_use]
    pub const fn recovery(&self) -> Duration {
        Duration::from_micros(self.timeout.as_micros() as u64 * 2)
    }
}

impl Default for LineTimes {
    fn default() -> Self {
        Self { timeout: Duration::from_millis(1_500), data_interval: Duration::from_secs(5) }
    }
}

/// A host to dial.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Address or name, for the carrier to resolve.
    pub name: Text<64>,
    /// TCP port.
    pub port: u16,
}
