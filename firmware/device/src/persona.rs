//! Personas: device programs with one habit each, as data.
//!
//! A persona is a [`Kind`] and the [`Habits`] that come with it. The state machines ask for habits and never for the
//! persona's name, so that a new persona is a new row in [`Habits::of`] and nothing else.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

pub use self::mqtt::{
    Dialling, MqttHabits, Queueing, Reconnecting, Redelivering, Resubscribing, SessionPresent,
};
use crate::telemetry::ResetReason;
use crate::units::{self, Written};

mod mqtt;

/// The parameter of every persona: the device is robust until it has been up for so long.
const FROM: &str = "from";

/// What makes a device restart, as people write it.
const RESTARTS: [(&str, ResetReason); 4] = [
    ("panic", ResetReason::Panic),
    ("brownout", ResetReason::Brownout),
    ("watchdog", ResetReason::TaskWatchdog),
    ("software", ResetReason::Software),
];

/// Which persona.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Does everything right.
    Robust,
    /// Replies and closes with request bytes unread.
    UnreadClose,
    /// Replies and closes before the request has arrived.
    EarlyClose,
    /// One client at a time, blocking, no time-out.
    Serial,
    /// Robust, but never notices a peer that vanished.
    NoKeepalive,
    /// Forgets to close after an error.
    Leaky,
    /// Keeps a part of every request for ever.
    Hoarder,
    /// Accepts one connection now and then.
    SlowAccept,
    /// Stops reading in mid-stream.
    Deaf,
    /// Never closes after the peer did.
    HalfCloser,
    /// The application hangs, the stack lives.
    Frozen,
    /// Restarts again and again.
    Rebooting,
    /// Its MQTT client pings too late.
    MqttLatePing,
    /// Its MQTT client does not wait for the answer to a ping.
    MqttDeafPing,
    /// Its MQTT client never dials again.
    MqttNoRetry,
    /// Its MQTT client dials again without a wait.
    MqttStorm,
    /// Its MQTT client does not subscribe again.
    MqttForgetful,
    /// Its MQTT client sends again without saying so.
    MqttNoDup,
    /// Its MQTT client sends again and again.
    MqttRepeat,
    /// Its MQTT client cannot stand that its session is still there.
    MqttSessionBlind,
    /// Its MQTT client drops what does not fit its buffer.
    MqttSmallBuffer,
    /// Its MQTT client loses what it should keep.
    MqttLossy,
    /// It serves nothing while its MQTT client dials.
    MqttBlocking,
}

impl Kind {
    /// Every persona.
    pub const ALL: [Self; 23] = [
        Self::Robust,
        Self::UnreadClose,
        Self::EarlyClose,
        Self::Serial,
        Self::NoKeepalive,
        Self::Leaky,
        Self::Hoarder,
        Self::SlowAccept,
        Self::Deaf,
        Self::HalfCloser,
        Self::Frozen,
        Self::Rebooting,
        Self::MqttLatePing,
        Self::MqttDeafPing,
        Self::MqttNoRetry,
        Self::MqttStorm,
        Self::MqttForgetful,
        Self::MqttNoDup,
        Self::MqttRepeat,
        Self::MqttSessionBlind,
        Self::MqttSmallBuffer,
        Self::MqttLossy,
        Self::MqttBlocking,
    ];

    /// The name as people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Robust => "robust",
            Self::UnreadClose => "unread-close",
            Self::EarlyClose => "early-close",
            Self::Serial => "serial",
            Self::NoKeepalive => "no-keepalive",
            Self::Leaky => "leaky",
            Self::Hoarder => "hoarder",
            Self::SlowAccept => "slow-accept",
            Self::Deaf => "deaf",
            Self::HalfCloser => "half-closer",
            Self::Frozen => "frozen",
            Self::Rebooting => "rebooting",
            Self::MqttLatePing => "mqtt-late-ping",
            Self::MqttDeafPing => "mqtt-deaf-ping",
            Self::MqttNoRetry => "mqtt-no-retry",
            Self::MqttStorm => "mqtt-storm",
            Self::MqttForgetful => "mqtt-forgetful",
            Self::MqttNoDup => "mqtt-no-dup",
            Self::MqttRepeat => "mqtt-repeat",
            Self::MqttSessionBlind => "mqtt-session-blind",
            Self::MqttSmallBuffer => "mqtt-small-buffer",
            Self::MqttLossy => "mqtt-lossy",
            Self::MqttBlocking => "mqtt-blocking",
        }
    }

    /// The habit in half a sentence, for help texts.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Robust => {
                "concurrent, reads to the end, closes after the peer (robust:idle=10s,interval=3s,count=3: keep-alive)"
            }
            Self::UnreadClose => "replies and closes with request bytes unread (unread-close:bytes=16)",
            Self::EarlyClose => "replies and closes before the request has arrived (early-close:wait=100ms)",
            Self::Serial => "one client at a time, blocking, no time-out",
            Self::NoKeepalive => "robust, but never notices a vanished peer",
            Self::Leaky => "forgets to close after an error",
            Self::Hoarder => "keeps bytes of every request (hoarder:bytes=256)",
            Self::SlowAccept => "accepts one connection an interval (slow-accept:every=1s)",
            Self::Deaf => "stops reading in mid-stream (deaf:after=8KiB)",
            Self::HalfCloser => "never closes after the peer's FIN",
            Self::Frozen => "application hangs, stack lives (frozen:after=0s,requests=0)",
            Self::Rebooting => {
                "restarts again and again (rebooting:every=5s,reason=panic; or brownout, watchdog, software)"
            }
            Self::MqttLatePing => {
                "MQTT client: pings only after 1.7 times the keep alive, and publishes less often"
            }
            Self::MqttDeafPing => "MQTT client: pings and never waits for the answer",
            Self::MqttNoRetry => "MQTT client: never dials again after a session",
            Self::MqttStorm => "MQTT client: dials again at once, without back-off",
            Self::MqttForgetful => "MQTT client: subscribes once and never again",
            Self::MqttNoDup => "MQTT client: sends again without DUP",
            Self::MqttRepeat => "MQTT client: sends again each second until acknowledged",
            Self::MqttSessionBlind => "MQTT client: can't stand a session that is still there",
            Self::MqttSmallBuffer => "MQTT client: drops packets of more than 256 bytes without a word",
            Self::MqttLossy => "MQTT client: claims QoS 1 and drops its queue in an outage",
            Self::MqttBlocking => "MQTT client: serves nothing while it dials the broker",
        }
    }

    /// The persona of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its habit is one of the MQTT client: everything else is as the robust device does it.
    #[must_use]
    pub fn is_of_mqtt(self) -> bool {
        self.name().starts_with("mqtt-")
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::UnreadClose | Self::Hoarder => &["bytes", FROM],
            Self::EarlyClose => &["wait", FROM],
            Self::SlowAccept => &["every", FROM],
            Self::Rebooting => &["every", "reason", FROM],
            Self::Deaf => &["after", FROM],
            Self::Frozen => &["after", "requests", FROM],
            Self::Robust => &["idle", "interval", "count", FROM],
            _ => &[FROM],
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When to take a new connection from the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepting {
    /// As long as a slot is free.
    WhileSlotFree,
    /// While a slot is free, but at most one in so long a time.
    OneEach(Duration),
    /// Only while there is no other connection, of any service.
    OneAtATime,
}

/// How much of what the peer sends is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Everything.
    ToTheEnd,
    /// The first so many bytes, then the reply.
    OnlyFirst(u16),
    /// What comes within so long a time after the handshake, then the reply.
    OnlyWithin(Duration),
    /// Everything until so many bytes were read on the connection, then nothing more.
    StopsAfter(u64),
}

/// What follows when the peer closes its side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterPeerCloses {
    /// The device closes as well.
    Close,
    /// The device keeps its side open for ever.
    Hold,
}

/// What follows when a connection fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterError {
    /// The socket is given back.
    Close,
    /// The socket is forgotten and stays occupied.
    Forget,
}

/// TCP keep-alive times of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepAlive {
    /// Idle time before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes before the connection is given up.
    pub count: u8,
}

/// What becomes of the program as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lifetime {
    /// It runs.
    Forever,
    /// It hangs once both the time is over and the requests were served.
    HangsAfter {
        /// Time since the start.
        uptime: Duration,
        /// Requests served.
        requests: u32,
    },
    /// It restarts each time so much time is over.
    RestartsEvery {
        /// The time.
        period: Duration,
        /// What makes it restart.
        reason: ResetReason,
    },
}

/// All habits of a persona.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Habits {
    /// When connections are accepted.
    pub accepting: Accepting,
    /// How much is read.
    pub reading: Reading,
    /// What the peer's FIN leads to.
    pub after_peer_closes: AfterPeerCloses,
    /// What a failure leads to.
    pub after_error: AfterError,
    /// Keep-alive probes, if any.
    pub keep_alive: Option<KeepAlive>,
    /// Silence after which a connection is closed, if ever.
    pub idle_limit: Option<Duration>,
    /// Bytes of heap kept for ever with each request.
    pub hoards: u32,
    /// What becomes of the program.
    pub lifetime: Lifetime,
    /// Those of its MQTT client.
    pub mqtt: MqttHabits,
}

impl Habits {
    /// The habits of a well-behaved device.
    pub const ROBUST: Self = Self {
        accepting: Accepting::WhileSlotFree,
        reading: Reading::ToTheEnd,
        after_peer_closes: AfterPeerCloses::Close,
        after_error: AfterError::Close,
        keep_alive: Some(KeepAlive {
            idle: Duration::from_secs(10),
            interval: Duration::from_secs(3),
            count: 3,
        }),
        idle_limit: Some(Duration::from_secs(60)),
        hoards: 0,
        lifetime: Lifetime::Forever,
        mqtt: MqttHabits::RIGHT,
    };

    /// The default habits of a persona.
    #[must_use]
    pub const fn of(kind: Kind) -> Self {
        let robust = Self::ROBUST;
        let right = MqttHabits::RIGHT;
        match kind {
            Kind::Robust => robust,
            Kind::UnreadClose => Self { reading: Reading::OnlyFirst(16), ..robust },
            Kind::EarlyClose => Self { reading: Reading::OnlyWithin(Duration::from_millis(100)), ..robust },
            Kind::Serial => {
                Self { accepting: Accepting::OneAtATime, keep_alive: None, idle_limit: None, ..robust }
            }
            Kind::NoKeepalive => Self { keep_alive: None, idle_limit: None, ..robust },
            Kind::Leaky => Self { after_error: AfterError::Forget, ..robust },
            Kind::Hoarder => Self { hoards: 256, ..robust },
            Kind::SlowAccept => Self { accepting: Accepting::OneEach(Duration::from_secs(1)), ..robust },
            Kind::Deaf => Self { reading: Reading::StopsAfter(8 * 1024), ..robust },
            // Probes to a peer that closed long ago would end in its RST and give the socket back after all.
            Kind::HalfCloser => Self { after_peer_closes: AfterPeerCloses::Hold, keep_alive: None, ..robust },
            Kind::Frozen => {
                Self { lifetime: Lifetime::HangsAfter { uptime: Duration::ZERO, requests: 0 }, ..robust }
            }
            Kind::Rebooting => Self {
                lifetime: Lifetime::RestartsEvery {
                    period: Duration::from_secs(5),
                    reason: ResetReason::Panic,
                },
                ..robust
            },
            Kind::MqttLatePing => {
                Self { mqtt: MqttHabits { pings_after: 170, quiet_for: 300, ..right }, ..robust }
            }
            Kind::MqttDeafPing => Self { mqtt: MqttHabits { gives_up_after: None, ..right }, ..robust },
            Kind::MqttNoRetry => {
                Self { mqtt: MqttHabits { reconnecting: Reconnecting::Never, ..right }, ..robust }
            }
            Kind::MqttStorm => {
                Self { mqtt: MqttHabits { reconnecting: Reconnecting::AtOnce, ..right }, ..robust }
            }
            Kind::MqttForgetful => {
                Self { mqtt: MqttHabits { resubscribing: Resubscribing::Never, ..right }, ..robust }
            }
            Kind::MqttNoDup => {
                Self { mqtt: MqttHabits { redelivering: Redelivering::WithoutDup, ..right }, ..robust }
            }
            Kind::MqttRepeat => {
                Self { mqtt: MqttHabits { repeats_every: Some(Duration::from_secs(1)), ..right }, ..robust }
            }
            Kind::MqttSessionBlind => {
                Self { mqtt: MqttHabits { session_present: SessionPresent::Refused, ..right }, ..robust }
            }
            Kind::MqttSmallBuffer => {
                Self { mqtt: MqttHabits { longest_packet: Some(256), ..right }, ..robust }
            }
            Kind::MqttLossy => {
                Self { mqtt: MqttHabits { queueing: Queueing::DroppedInOutages, ..right }, ..robust }
            }
            Kind::MqttBlocking => {
                Self { mqtt: MqttHabits { dialling: Dialling::Blocking, ..right }, ..robust }
            }
        }
    }
}

/// A persona with its habits: the defaults, or those changed by parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Persona {
    kind: Kind,
    habits: Habits,
    /// The device is robust until it has been up for so long.
    from: Duration,
}

impl Persona {
    /// The well-behaved device.
    pub const ROBUST: Self = Self::new(Kind::Robust);

    /// A persona with its default habits.
    #[must_use]
    pub const fn new(kind: Kind) -> Self {
        Self { kind, habits: Habits::of(kind), from: Duration::ZERO }
    }

    /// Which one it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its name, without parameters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Its habits.
    #[must_use]
    pub const fn habits(&self) -> &Habits {
        &self.habits
    }

    /// How long the device is up, and robust, before it behaves like this.
    #[must_use]
    pub const fn from(&self) -> Duration {
        self.from
    }

    /// The same without a wait.
    #[must_use]
    pub(crate) const fn at_once(self) -> Self {
        Self { from: Duration::ZERO, ..self }
    }

    /// Its name with every parameter that it takes, as its parser reads it.
    #[must_use]
    pub const fn spelled(&self) -> Spelled<'_> {
        Spelled(self)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), PersonaError> {
        let bad = PersonaError::Value(self.kind);
        let duration = || units::duration(value).ok_or(bad);
        let size = || units::size(value).ok_or(bad);
        if key == FROM {
            self.from = duration()?;
            return Ok(());
        }
        let habits = &mut self.habits;
        match (self.kind, key) {
            (Kind::Robust, "idle" | "interval" | "count") => {
                let keep_alive = habits.keep_alive.as_mut().ok_or(bad)?;
                // Stacks count these times in whole seconds.
                let seconds = || duration().map(|time| time.max(Duration::from_secs(1)));
                match key {
                    "idle" => keep_alive.idle = seconds()?,
                    "interval" => keep_alive.interval = seconds()?,
                    _ => keep_alive.count = value.parse::<u8>().map_err(|_| bad)?.max(1),
                }
            }
            (Kind::UnreadClose, "bytes") => {
                habits.reading = Reading::OnlyFirst(u16::try_from(size()?).map_err(|_| bad)?.clamp(1, 512));
            }
            (Kind::EarlyClose, "wait") => habits.reading = Reading::OnlyWithin(duration()?),
            (Kind::Hoarder, "bytes") => habits.hoards = u32::try_from(size()?).map_err(|_| bad)?,
            (Kind::SlowAccept, "every") => habits.accepting = Accepting::OneEach(duration()?),
            (Kind::Deaf, "after") => habits.reading = Reading::StopsAfter(size()?),
            (Kind::Rebooting, "every") => {
                // A device that restarts faster than it starts could not even be told to stop.
                let every = duration()?.max(Duration::from_millis(100));
                if let Lifetime::RestartsEvery { period, .. } = &mut habits.lifetime {
                    *period = every;
                }
            }
            (Kind::Rebooting, "reason") => {
                let named = RESTARTS.iter().find(|(name, _)| *name == value).ok_or(bad)?;
                if let Lifetime::RestartsEvery { reason, .. } = &mut habits.lifetime {
                    *reason = named.1;
                }
            }
            (Kind::Frozen, "after" | "requests") => {
                if let Lifetime::HangsAfter { uptime, requests } = &mut habits.lifetime {
                    if key == "after" {
                        *uptime = duration()?;
                    } else {
                        *requests = value.parse().map_err(|_| bad)?;
                    }
                }
            }
            _ => return Err(PersonaError::Key(self.kind)),
        }
        Ok(())
    }
}

impl Default for Persona {
    fn default() -> Self {
        Self::ROBUST
    }
}

impl From<Kind> for Persona {
    fn from(kind: Kind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Persona {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A persona written so that reading it gives the same one again.
#[derive(Clone, Copy, Debug)]
pub struct Spelled<'a>(&'a Persona);

impl fmt::Display for Spelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Persona { kind, habits, from } = self.0;
        f.write_str(kind.name())?;
        let mut next = ':';
        if !from.is_zero() {
            write!(f, ":{FROM}={}", Written(*from))?;
            next = ',';
        }
        match (kind, habits.reading, habits.accepting, habits.lifetime) {
            (Kind::UnreadClose, Reading::OnlyFirst(bytes), ..) => write!(f, "{next}bytes={bytes}"),
            (Kind::EarlyClose, Reading::OnlyWithin(wait), ..) => write!(f, "{next}wait={}", Written(wait)),
            (Kind::Hoarder, ..) => write!(f, "{next}bytes={}", habits.hoards),
            (Kind::SlowAccept, _, Accepting::OneEach(every), _) => {
                write!(f, "{next}every={}", Written(every))
            }
            (Kind::Deaf, Reading::StopsAfter(after), ..) => write!(f, "{next}after={after}"),
            (Kind::Rebooting, .., Lifetime::RestartsEvery { period, reason }) => {
                write!(f, "{next}every={}", Written(period))?;
                match RESTARTS.iter().find(|(_, of)| *of == reason) {
                    Some((name, of)) if *of != ResetReason::Panic => write!(f, ",reason={name}"),
                    _ => Ok(()),
                }
            }
            (Kind::Frozen, .., Lifetime::HangsAfter { uptime, requests }) => {
                write!(f, "{next}after={},requests={requests}", Written(uptime))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for Persona {
    type Err = PersonaError;

    /// Reads `name` or `name:key=value,key=value`.
    fn from_str(text: &str) -> Result<Self, PersonaError> {
        let (name, parameters) = text.split_once(':').unwrap_or((text, ""));
        let mut persona = Self::new(Kind::from_name(name.trim()).ok_or(PersonaError::Name)?);
        for parameter in parameters.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = parameter.split_once('=').ok_or(PersonaError::Key(persona.kind))?;
            persona.set(key.trim(), value.trim())?;
        }
        Ok(persona)
    }
}

/// Why a text names no persona.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PersonaError {
    /// There is no persona of that name.
    Name,
    /// The persona has no parameter of that name.
    Key(Kind),
    /// The value does not fit its parameter.
    Value(Kind),
}

impl fmt::Display for PersonaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => {
                f.write_str("no such persona; allowed: ")?;
                list(f, Kind::ALL.iter().map(|kind| kind.name()))
            }
            Self::Key(kind) => {
                write!(f, "no such parameter; persona {kind} takes: ")?;
                list(f, kind.keys().iter().copied())
            }
            Self::Value(kind) => write!(
                f,
                "bad value for a parameter of persona {kind}: times read 200ms or 3s, sizes 512 or 8KiB, \
                 reasons panic, brownout, watchdog or software"
            ),
        }
    }
}

impl core::error::Error for PersonaError {}

fn list(f: &mut fmt::Formatter<'_>, names: impl Iterator<Item = &'static str>) -> fmt::Result {
    for (i, name) in names.enumerate() {
        if i > 0 {
            f.write_str(", ")?;
        }
        f.write_str(name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn every_name_reads_back_as_its_persona() {
        for kind in Kind::ALL {
            assert_eq!(kind.name().parse(), Ok(Persona::new(kind)));
        }
    }

    #[test]
    fn a_persona_reads_back_from_its_spelling_parameters_included() {
        let changed = [
            "unread-close:bytes=40",
            "early-close:wait=7ms",
            "hoarder:bytes=1KiB",
            "slow-accept:every=300ms",
            "deaf:after=2KiB",
            "rebooting:every=800ms",
            "rebooting:every=4s,reason=brownout",
            "rebooting:from=2s,every=4s,reason=watchdog",
            "rebooting:reason=software",
            "frozen:after=2s,requests=10",
            "leaky:from=15s",
            "deaf:after=2KiB,from=1500ms",
        ];
        for text in changed.into_iter().chain(Kind::ALL.map(Kind::name)) {
            let persona: Persona = text.parse().unwrap();
            assert_eq!(persona.spelled().to_string().parse(), Ok(persona), "{text}");
        }
    }

    #[test]
    fn parameters_change_the_habit_they_name() {
        let deaf: Persona = "deaf:after=2KiB".parse().unwrap();
        assert_eq!(deaf.habits().reading, Reading::StopsAfter(2048));
        let frozen: Persona = "frozen:after=2s,requests=10".parse().unwrap();
        let expected = Lifetime::HangsAfter { uptime: Duration::from_secs(2), requests: 10 };
        assert_eq!(frozen.habits().lifetime, expected);
    }

    #[test]
    fn keep_alive_times_are_the_robust_devices_to_set() {
        let robust: Persona = "robust:idle=4s,interval=2s,count=2".parse().unwrap();
        let expected = KeepAlive { idle: Duration::from_secs(4), interval: Duration::from_secs(2), count: 2 };
        assert_eq!(robust.habits().keep_alive, Some(expected));
        assert_eq!("robust:count=often".parse::<Persona>(), Err(PersonaError::Value(Kind::Robust)));
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_allowed_ones() {
        let error = "robot".parse::<Persona>().unwrap_err().to_string();
        assert!(Kind::ALL.iter().all(|kind| error.contains(kind.name())), "{error}");
    }

    #[test]
    fn an_unknown_parameter_is_answered_with_the_allowed_ones() {
        let error = "frozen:when=3s".parse::<Persona>().unwrap_err().to_string();
        assert!(error.contains("after") && error.contains("requests"), "{error}");
        assert_eq!("robust:x=1".parse::<Persona>(), Err(PersonaError::Key(Kind::Robust)));
        let unknown = "rebooting:reason=boredom".parse::<Persona>();
        assert_eq!(unknown, Err(PersonaError::Value(Kind::Rebooting)));
        assert_eq!("deaf:after=soon".parse::<Persona>(), Err(PersonaError::Value(Kind::Deaf)));
    }
}
