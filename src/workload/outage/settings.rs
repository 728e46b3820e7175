//! The options of `outage`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::shared::Rule;
use crate::registry::{Given, ParamError};
use espstress_clock::{Span, UnitError};
use espstress_connection::Timeouts;
use espstress_event::OutageMeans;

/// What a host does about a peer that says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Recovery {
    /// Drop the connection, pause, and reconnect
    Drop,
    /// Keep the connection until the stack gives up
    Keep,
}

/// The options of `outage`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(super) struct Params {
    /// Number of connections to hold open
    #[arg(short, long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) connections: u32,

    /// Number of outages [default: 5, unless --duration is given]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cycles: Option<u64>,

    /// Length of the run [default: 60s with --by none or --listen, unless --cycles is given]
    #[arg(short, long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<Span>,

    /// What causes the outages [default: link if the target has one that can be cut, else device if its token
    /// is known, else filter]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<OutageMeans>,

    /// Length of an outage, or a range for a random choice
    #[arg(long, value_name = "DUR[-DUR]", default_value = "2s")]
    pub(super) outage: SpanRange,

    /// Time from the start of one outage to the start of the next
    #[arg(long, value_name = "DUR", default_value = "10s")]
    pub(super) every: Span,

    /// Send nothing for this long after each outage
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle: Option<Span>,

    /// Time between heartbeats in each direction
    #[arg(long, value_name = "DUR", default_value = "1s")]
    pub(super) heartbeat: Span,

    /// Treat a peer as gone after this much silence
    #[arg(long, value_name = "DUR", default_value = "1500ms")]
    pub(super) peer_timeout: Span,

    /// What to do when a peer is gone
    #[arg(long, value_enum, default_value_t = Recovery::Drop)]
    pub(super) recovery: Recovery,

    /// Pause before a reconnect, so the peer notices the loss too [default: twice the --peer-timeout]
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stable: Option<Span>,

    /// Pause after a failed connect; doubles with each failure, up to eight times
    #[arg(long, value_name = "DUR", default_value = "250ms")]
    pub(super) back_off: Span,

    /// Timeout for all connections to recover
    #[arg(long, value_name = "DUR", default_value = "60s")]
    pub(super) recover_limit: Span,

    /// Shell command that switches the device off (--by command)
    #[arg(long, value_name = "CMD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) off: Option<String>,

    /// Shell command that switches it on again (--by command)
    #[arg(long, value_name = "CMD")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on: Option<String>,

    /// Timeout for either command (--by command)
    #[arg(long, value_name = "DUR", default_value = "30s")]
    pub(super) script_limit: Span,

    /// Token of the device's control service (--by device); never in reports
    #[arg(long, value_name = "TOKEN")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,

    /// Listen on this TCP port for devices that connect, send their number and speak the line protocol
    #[arg(long, value_name = "PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<u16>,

    /// Time between data lines (--listen)
    #[arg(long, value_name = "DUR", default_value = "5s")]
    pub(super) data_interval: Span,

    /// Timeout to connect
    #[arg(long, value_name = "DUR", default_value = "5s")]
    pub(super) timeout_connect: Span,

    /// Timeout for the first response on a connection
    #[arg(long, value_name = "DUR", default_value = "5s")]
    pub(super) timeout_read: Span,

    /// Timeout to send a request
    #[arg(long, value_name = "DUR", default_value = "5s")]
    pub(super) timeout_write: Span,
}

/// When outages are made and when all ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    pub(super) cycles: Option<u64>,
    pub(super) duration: Option<Duration>,
    pub(super) outage: SpanRange,
    pub(super) every: Duration,
    pub(super) idle: Option<Duration>,
    pub(super) recover_limit: Duration,
}

impl Params {
    /// Checks what a single value cannot show.
    pub(super) fn check(&self) -> Result<(), ParamError> {
        let bad = |key: &str, what: &str| Err(ParamError::Value { key: key.into(), what: what.into() });
        for (key, span) in [("heartbeat", self.heartbeat), ("peer_timeout", self.peer_timeout)] {
            if !(Duration::from_millis(10)..=Duration::from_secs(3_600)).contains(&span.0) {
                return bad(key, "from 10ms to 1h");
            }
        }
        if self.recovery == Recovery::Drop && self.peer_timeout.0 <= self.heartbeat.0 && self.listen.is_none()
        {
            return bad("peer_timeout", "must be longer than the heartbeat, or every peer counts as gone");
        }
        if self.outage.most > Duration::from_secs(600) || self.outage.least.is_zero() {
            return bad("outage", "from 1ms to 10m");
        }
        if self.data_interval.0.is_zero() {
            return bad("data_interval", "longer than 0s");
        }
        if self.by == Some(OutageMeans::Command) && (self.off.is_none() || self.on.is_none()) {
            return bad("by", "`command` needs both --off CMD and --on CMD");
        }
        if self.by.is_some_and(|by| by != OutageMeans::Command) && (self.off.is_some() || self.on.is_some()) {
            return bad("by", "--off and --on belong to --by command");
        }
        if self.listen.is_some() && self.by.is_some_and(|by| by != OutageMeans::None) {
            return bad("listen", "outages of devices that dial in are waited for: only --by none");
        }
        Ok(())
    }

    /// Refuses what was given and has no effect.
    pub(super) fn check_given(&self, given: Given<'_>) -> Result<(), ParamError> {
        let by = |means: OutageMeans| self.by == Some(means);
        given.only_where(by(OutageMeans::Command), &["script_limit"], "for --by command")?;
        let by_device = self.listen.is_none() && self.by.is_none_or(|by| by == OutageMeans::Device);
        given.only_where(by_device, &["token"], "for --by device")?;
        let makes = self.listen.is_none() && !by(OutageMeans::None);
        given.only_where(makes, &["outage", "every"], "this run makes no outages")?;
        given.only_where(self.listen.is_some(), &["data_interval"], "needs --listen")?;
        given.only_where(
            self.listen.is_none(),
            &["connections", "timeout_connect"],
            "with --listen devices connect",
        )
    }

    pub(super) fn schedule(&self, by: OutageMeans) -> Schedule {
        let waits = by == OutageMeans::None || self.listen.is_some();
        let (cycles, duration) = match (self.cycles, self.duration) {
            (None, None) if waits => (None, Some(Duration::from_secs(60))),
            (None, None) => (Some(5), None),
            (cycles, duration) => (cycles, duration.map(|span| span.0)),
        };
        Schedule {
            cycles,
            duration,
            outage: self.outage,
            every: self.every.0,
            idle: self.idle.map(|span| span.0),
            recover_limit: self.recover_limit.0,
        }
    }

    pub(super) fn rule(&self) -> Rule {
        let quiet = self.stable.map_or(self.peer_timeout.0 * 2, |span| span.0);
        Rule {
            heartbeat: self.heartbeat.0,
            silence: (self.recovery == Recovery::Drop).then_some(self.peer_timeout.0),
            late_after: self.peer_timeout.0,
            quiet,
            back_off: self.back_off.0,
            back_off_most: self.back_off.0 * 8,
        }
    }

    pub(super) const fn timeouts(&self) -> Timeouts {
        Timeouts { connect: self.timeout_connect.0, read: self.timeout_read.0, write: self.timeout_write.0 }
    }
}

/// A length of time, or two with a `-` between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct SpanRange {
    pub(crate) least: Duration,
    pub(crate) most: Duration,
}

/// Why a range could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    /// One of its ends is no duration.
    #[error(transparent)]
    End(#[from] UnitError),
    /// It ends before it begins.
    #[error("a range is LEAST-MOST, as 0.1s-10s")]
    Order,
}

impl FromStr for SpanRange {
    type Err = RangeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (least, most) = match text.split_once('-') {
            Some((least, most)) => (least.parse::<Span>()?.0, most.parse::<Span>()?.0),
            None => {
                let length = text.parse::<Span>()?.0;
                (length, length)
            }
        };
        if least > most { Err(RangeError::Order) } else { Ok(Self { least, most }) }
    }
}

impl fmt::Display for SpanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            return Span(self.least).fmt(f);
        }
        write!(f, "{}-{}", Span(self.least), Span(self.most))
    }
}

impl TryFrom<String> for SpanRange {
    type Error = RangeError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SpanRange> for String {
    fn from(range: SpanRange) -> Self {
        range.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_read_as_people_write_them_and_print_back() {
        for text in ["2s", "100ms-10s"] {
            assert_eq!(text.parse::<SpanRange>().unwrap().to_string(), text);
        }
        let range: SpanRange = "0.1s-10s".parse().unwrap();
        assert_eq!((range.least, range.most), (Duration::from_millis(100), Duration::from_secs(10)));
        assert_eq!("10s-1s".parse::<SpanRange>(), Err(RangeError::Order));
        assert!("1s-soon".parse::<SpanRange>().is_err());
    }
}
