//! The options of `mqtt`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::outage::SpanRange;
use crate::registry::ParamError;
use espstress_clock::Span;
use espstress_event::MqttFault;

/// What a restarted broker knows of earlier sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sessions {
    /// All of them
    Keep,
    /// None
    Lose,
}

/// The options of `mqtt`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(super) struct Params {
    /// TCP port to listen on; MQTT over TLS or WebSockets isn't supported
    #[arg(long, value_name = "PORT", default_value_t = 1883)]
    pub(super) listen: u16,

    /// Faults of the broker, one after the other, separated by commas
    #[arg(long, value_enum, value_name = "FAULT,...", value_delimiter = ',', default_value = "none")]
    pub(super) fault: Vec<MqttFault>,

    /// How often to make each fault
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(super) cycles: u64,

    /// Length of a fault, or a range for a random choice [default: 10s and twice the device's keep-alive]
    #[arg(long, value_name = "DUR[-DUR]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outage: Option<SpanRange>,

    /// Time from the start of one fault to the start of the next [default: 30s, or four keep-alives if that is longer]
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<Span>,

    /// Time after CONNACK before a fault
    #[arg(long, value_name = "DUR", default_value = "10s")]
    pub(super) settle: Span,

    /// How long to wait for the device after a fault [default: 60s, or four keep-alives if that is longer]
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recover_limit: Option<Span>,

    /// Length of the run [default: with no faults 60s, or two and a half keep-alives if
    /// that is longer; else until all faults are made]
    #[arg(short, long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<Span>,

    /// How long to wait for a device to connect
    #[arg(long, value_name = "DUR", default_value = "60s")]
    pub(super) wait: Span,

    /// Test the client with this id, and turn others away [default: the first one]
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,

    /// User name that the device must give [default: any]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<String>,

    /// Password that the device must give; never in reports [default: any]
    #[arg(long, value_name = "PASSWORD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<String>,

    /// How late to answer (--fault slow)
    #[arg(long, value_name = "DUR", default_value = "2s")]
    pub(super) delay: Span,

    /// Return code of CONNACK in MQTT 3.1.1, from 1 to 5; MQTT 5 gets its counterpart (--fault refuse)
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(super) code: u8,

    /// What the broker knows of sessions after close and reset
    #[arg(long, value_enum, default_value_t = Sessions::Keep)]
    pub(super) session: Sessions,

    /// Time for the device to subscribe again after a CONNACK without a session
    #[arg(long, value_name = "DUR", default_value = "5s")]
    pub(super) subscribe_grace: Span,

    /// JSON pointer to a counter in the device's payloads, such as /n, to find lost messages; `auto` is our own
    /// device program's
    #[arg(long, value_name = "POINTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<String>,
}

/// Ports that speak MQTT through something else.
const WRAPPED: [(u16, &str); 3] = [
    (
        8_883,
        "MQTT over TLS isn't supported: port 8883 is for TLS. Let the device use MQTT without TLS on port 1883",
    ),
    (
        8_884,
        "MQTT over TLS isn't supported: port 8884 is for TLS. Let the device use MQTT without TLS on port 1883",
    ),
    (
        9_001,
        "MQTT over WebSockets isn't supported: port 9001 is for them. Let the device use plain MQTT on port 1883",
    ),
];

impl Params {
    /// Checks what a single value cannot show.
    pub(super) fn check(&self) -> Result<(), ParamError> {
        let bad = |key: &str, what: &str| Err(ParamError::Value { key: key.into(), what: what.into() });
        if let Some((_, why)) = WRAPPED.iter().find(|(port, _)| *port == self.listen) {
            return bad("listen", why);
        }
        if self.outage.is_some_and(|o| o.least.is_zero() || o.most > Duration::from_secs(86_400)) {
            return bad("outage", "from 1ms to 24h");
        }
        if self.fault.is_empty() {
            return bad("fault", "at least one; `none` is one");
        }
        if self.delay.0.is_zero() {
            return bad("delay", "longer than 0s");
        }
        if self.sequence.as_ref().is_some_and(|s| s != "auto" && !s.starts_with('/')) {
            return bad("sequence", "a JSON pointer such as /n, or `auto`");
        }
        if self.password.is_some() && self.user.is_none() {
            return bad("password", "needs --user");
        }
        Ok(())
    }

    /// The faults in their order; empty where there are none to be made.
    pub(super) fn faults(&self) -> Vec<MqttFault> {
        self.fault.iter().copied().filter(|fault| *fault != MqttFault::None).collect()
    }

    /// How long a run goes on for a device of this keep-alive; `None` for as long as the faults take. Two keep-alives are
    /// the least that shows how a device keeps them.
    pub(super) fn length(&self, keepalive: Duration) -> Option<Duration> {
        let usual = || self.faults().is_empty().then(|| Duration::from_secs(60).max(keepalive * 5 / 2));
        self.duration.map(|span| span.0).or_else(usual)
    }

    /// The longest that a device of this keep-alive is waited for after a fault.
    pub(super) fn recover_limit(&self, keepalive: Duration) -> Duration {
        self.recover_limit.map_or_else(|| Duration::from_secs(60).max(keepalive * 4), |span| span.0)
    }

    /// Time between the starts of two faults.
    pub(super) fn every(&self, keepalive: Duration) -> Duration {
        self.every.map_or_else(|| Duration::from_secs(30).max(keepalive * 4), |span| span.0)
    }

    /// Length of a fault.
    pub(super) fn outage(&self, keepalive: Duration) -> SpanRange {
        let usual = keepalive * 2 + Duration::from_secs(10);
        self.outage.unwrap_or(SpanRange { least: usual, most: usual })
    }
}
