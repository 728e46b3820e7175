//! The services of the device and the ports they live on.

use core::fmt;

/// One service of the device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Service {
    /// HTTP/1.1: `/`, `/telemetry`, `/control`.
    Http,
    /// Framed read-write, see [`crate::framed`].
    Framed,
    /// Request in, some ten kilobytes out, close: no HTTP head in the answer.
    Raw,
    /// Newline-terminated JSON, see [`crate::line`].
    Line,
    /// Telemetry in one datagram, served by the carrier itself.
    Telemetry,
    /// The client of an MQTT broker, see [`crate::mqtt`]. It dials and never listens.
    Mqtt,
}

impl Service {
    /// How many services run over TCP.
    pub const TCP_COUNT: usize = 4;

    /// The services over TCP.
    pub const TCP: [Self; Self::TCP_COUNT] = [Self::Http, Self::Framed, Self::Raw, Self::Line];

    /// How many services have connections: those over TCP, and the client that only dials.
    pub(crate) const COUNTED: usize = Self::TCP_COUNT + 1;

    /// All services that listen.
    pub const ALL: [Self; 5] = [Self::Http, Self::Framed, Self::Raw, Self::Line, Self::Telemetry];

    /// The port on a device of its own, and the usual one of a broker. A carrier on a shared host uses free ports instead.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Framed => 7007,
            Self::Telemetry => 7008,
            Self::Raw => 8080,
            Self::Line => 8123,
            Self::Mqtt => 1883,
        }
    }

    /// The name used in telemetry and options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Framed => "framed",
            Self::Raw => "raw",
            Self::Line => "line",
            Self::Telemetry => "telemetry",
            Self::Mqtt => "mqtt",
        }
    }

    /// Its place among those that have connections; telemetry's is none of them.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Http | Self::Framed | Self::Raw | Self::Line => self as usize,
            Self::Mqtt => Self::TCP_COUNT,
            Self::Telemetry => Self::COUNTED,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of services.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Services(u8);

impl Services {
    /// No service.
    pub const NONE: Self = Self(0);

    /// Every service.
    pub const ALL: Self = Self(0b1_1111);

    /// This set and one more.
    #[must_use]
    pub const fn with(self, service: Service) -> Self {
        Self(self.0 | 1 << service as u8)
    }

    /// This set without one.
    #[must_use]
    pub const fn without(self, service: Service) -> Self {
        Self(self.0 & !(1 << service as u8))
    }

    /// Whether the set has it.
    #[must_use]
    pub const fn contains(self, service: Service) -> bool {
        self.0 & 1 << service as u8 != 0
    }

    /// The services in the set.
    pub fn iter(self) -> impl Iterator<Item = Service> {
        Service::ALL.into_iter().filter(move |&service| self.contains(service))
    }

    /// How many sockets the set occupies before anybody connects: a listener or a datagram socket each.
    #[must_use]
    pub const fn sockets(self) -> u16 {
        self.0.count_ones() as u16
    }
}

impl Default for Services {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromIterator<Service> for Services {
    fn from_iter<I: IntoIterator<Item = Service>>(services: I) -> Self {
        services.into_iter().fold(Self::NONE, Self::with)
    }
}
