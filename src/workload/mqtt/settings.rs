//! The options of `mqtt`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::half_open::By;
use crate::outage::SpanRange;
use crate::registry::{Given, ParamError};
use espstress_clock::{Size, Span};
use espstress_device::mqtt::{Qos, topic::check_topic};
use espstress_event::MqttFault;

/// The longest packet that is published.
const MOST_BYTES: u32 = 256 * 1_024;

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

    /// Be a proxy in front of your own broker: same faults, same figures
    #[arg(long, value_name = "HOST:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) via: Option<String>,

    /// Faults of the broker, one after the other, separated by commas
    #[arg(long, value_enum, value_name = "FAULT,...", value_delimiter = ',', default_value = "none")]
    pub(super) fault: Vec<MqttFault>,

    /// How to make the path dead (--fault silent) [default: filter if permitted, else link if the target has one]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<By>,

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

    /// Length of the run. If numbers or acknowledgements are missing by then, it waits for them: as a rule twice --settle or
    /// 3 keep-alives, and half as long again at most [default: with no faults 60s, or two and a half keep-alives if
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

    /// Have our own device program (on the twin) use this keep-alive; other devices cannot be asked for it
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_keepalive: Option<Span>,

    /// The same for the time between its messages
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) device_interval: Option<Span>,

    /// Publish on this topic while the device is subscribed to it: it may switch something [default: nothing is
    /// published; QoS 1]
    #[arg(long, value_name = "TOPIC[:QOS]")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publish: Option<PublishTo>,

    /// Time between two messages
    #[arg(long, value_name = "DUR", default_value = "1s")]
    pub(super) publish_interval: Span,

    /// Sizes of whole PUBLISH packets, growing, separated by commas (--fault big)
    #[arg(
        long,
        value_name = "SIZE,...",
        value_delimiter = ',',
        default_value = "128,256,512,1KiB,2KiB,4KiB,8KiB,16KiB"
    )]
    pub(super) sizes: Vec<Size>,
}

/// A topic that is published to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct PublishTo {
    pub(super) topic: String,
    pub(super) qos: Qos,
}

/// Why nothing can be published there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a topic without + and # and a quality of service from 0 to 2, as kitchen/set or kitchen/set:1; at most 200 bytes"
)]
pub(super) struct PublishToError;

/// The longest topic: one that makes no packet of the least size.
const LONGEST_TOPIC: usize = 200;

impl FromStr for PublishTo {
    type Err = PublishToError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A topic may have a colon of its own; a single digit after it is meant as the quality of service.
        let digit = |qos: &str| qos.len() == 1 && qos.as_bytes()[0].is_ascii_digit();
        let (topic, qos) = match text.rsplit_once(':').filter(|(_, qos)| digit(qos)) {
            Some((topic, qos)) => (topic, qos.parse().ok().and_then(Qos::from_number).ok_or(PublishToError)?),
            None => (text, Qos::AtLeastOnce),
        };
        let good = check_topic(topic).is_ok() && topic.len() <= LONGEST_TOPIC && !topic.contains('\0');
        if good { Ok(Self { topic: topic.to_owned(), qos }) } else { Err(PublishToError) }
    }
}

impl fmt::Display for PublishTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.qos as u8)
    }
}

impl TryFrom<String> for PublishTo {
    type Error = PublishToError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PublishTo> for String {
    fn from(to: PublishTo) -> Self {
        to.to_string()
    }
}

impl PublishTo {
    /// The least size of a packet on this topic in which the number of a message fits, bytes.
    pub(super) fn least_size(&self) -> u32 {
        super::outgoing::least_size(self.topic.len())
    }
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
        if self.by.is_some() && !self.fault.contains(&MqttFault::Silent) {
            return bad("by", "for --fault silent alone");
        }
        if self.delay.0.is_zero() {
            return bad("delay", "longer than 0s");
        }
        if let Some(via) = &self.via {
            let port = via
                .rsplit_once(':')
                .and_then(|(host, port)| port.parse::<u16>().ok().filter(|_| !host.is_empty()))
                // Neither a URL nor a login: what stands here is in reports.
                .filter(|_| !via.contains(['/', '@']));
            if port.is_none_or(|port| port == 0) {
                return bad("via", "HOST:PORT of your broker, as 192.168.4.2:1883");
            }
            if self.publish.is_some() {
                return bad("publish", "not with --via: publish with your own broker");
            }
            let own = |fault: &&MqttFault| matches!(**fault, MqttFault::SessionLost | MqttFault::SessionKept);
            if let Some(fault) = self.fault.iter().find(own) {
                return bad(
                    "fault",
                    &format!("{}: not with --via, where the sessions are your broker's", fault.name()),
                );
            }
        }
        if let Some(fault) = self.fault.iter().find(|fault| fault.publishes()) {
            match &self.publish {
                None => {
                    return bad(
                        "fault",
                        &format!(
                            "{} needs --publish TOPIC, with a topic that the device is subscribed to: the message may switch \
                         something",
                            fault.name()
                        ),
                    );
                }
                Some(to) if to.qos == Qos::AtMostOnce => {
                    return bad("publish", &format!("{} needs QoS 1 or 2, as {}:1", fault.name(), to.topic));
                }
                Some(_) => {}
            }
        }
        if let Some(to) = self.publish.as_ref().filter(|_| self.fault.contains(&MqttFault::Big)) {
            let (least, most) = (u64::from(to.least_size()), u64::from(MOST_BYTES));
            let in_range = self.sizes.iter().all(|size| (least..=most).contains(&size.0));
            if self.sizes.is_empty() || !in_range || !self.sizes.is_sorted_by(|a, b| a < b) {
                return bad(
                    "sizes",
                    &format!("growing sizes from {least} bytes to 256KiB, separated by commas"),
                );
            }
        }
        let whole =
            |span: Span| span.0.subsec_nanos() == 0 && (1..=u64::from(u16::MAX)).contains(&span.0.as_secs());
        if self.device_keepalive.is_some_and(|span| !whole(span)) {
            return bad("device-keepalive", "whole seconds, from 1s to 65535s");
        }
        if self.device_interval.is_some_and(|s| !(1..=600_000).contains(&s.0.as_millis())) {
            return bad("device-interval", "from 1ms to 10m");
        }
        if self.publish_interval.0 < Duration::from_millis(10) {
            return bad("publish-interval", "10ms or longer");
        }
        if self.sequence.as_ref().is_some_and(|s| s != "auto" && !s.starts_with('/')) {
            return bad("sequence", "a JSON pointer such as /n, or `auto`");
        }
        if self.password.is_some() && self.user.is_none() {
            return bad("password", "needs --user");
        }
        Ok(())
    }

    /// Refuses what was given and has no effect.
    pub(super) fn check_given(&self, given: Given<'_>) -> Result<(), ParamError> {
        use MqttFault as F;
        let has = |faults: &[MqttFault]| self.fault.iter().any(|fault| faults.contains(fault));
        let of_faults = ["cycles", "outage", "every", "settle", "recover_limit", "subscribe_grace"];
        given.only_where(!self.faults().is_empty(), &of_faults, "no --fault is made")?;
        given.only_where(has(&[F::Slow]), &["delay"], "for --fault slow")?;
        given.only_where(has(&[F::Refuse]), &["code"], "for --fault refuse")?;
        given.only_where(has(&[F::Big]), &["sizes"], "for --fault big")?;
        given.only_where(has(&[F::Close, F::Reset]), &["session"], "for --fault close and reset")?;
        given.only_where(self.publish.is_some(), &["publish_interval"], "needs --publish")
    }

    /// What our own device program is asked for, as its control service takes it.
    pub(super) fn asked_of_device(&self) -> Option<String> {
        let keepalive = self.device_keepalive.map(|span| format!("\"mqtt_keep_alive\":{}", span.0.as_secs()));
        let interval =
            self.device_interval.map(|span| format!("\"mqtt_interval_ms\":{}", span.0.as_millis()));
        let keys: Vec<String> = keepalive.into_iter().chain(interval).collect();
        (!keys.is_empty()).then(|| format!("{{{}}}", keys.join(",")))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Option<(String, u8)> {
        text.parse::<PublishTo>().ok().map(|to| (to.topic, to.qos as u8))
    }

    #[test]
    fn a_topic_may_have_colons_and_its_quality_of_service_is_one_unless_said_otherwise() {
        assert_eq!(to("kitchen/set"), Some(("kitchen/set".to_owned(), 1)));
        assert_eq!(to("kitchen/set:0"), Some(("kitchen/set".to_owned(), 0)));
        assert_eq!(to("a:b:2"), Some(("a:b".to_owned(), 2)));
        assert_eq!(to("a:b"), Some(("a:b".to_owned(), 1)));
        for bad in ["", "a/+", "#", ":1", "a:3", &"x".repeat(201)] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }
}
