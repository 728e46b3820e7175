//! Habits of the MQTT client.

use core::time::Duration;

/// When the client dials again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reconnecting {
    /// After a wait that doubles.
    BackingOff,
    /// At once.
    AtOnce,
    /// Never, once it had a session.
    Never,
}

/// When the client subscribes again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resubscribing {
    /// When the broker may not have its subscription.
    WhenNeeded,
    /// Never.
    Never,
}

/// How the client sends again what its session already has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Redelivering {
    /// Marked.
    WithDup,
    /// As if for the first time, in a new session as well.
    WithoutDup,
}

/// What the client makes of a session that the broker still has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionPresent {
    /// It goes on with it.
    Taken,
    /// It takes the flag for an error.
    Refused,
}

/// What becomes of messages that wait while there is no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queueing {
    /// They wait on.
    Kept,
    /// They are dropped.
    DroppedInOutages,
}

/// What the device does while it is on its way to the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialling {
    /// All that it does otherwise.
    Beside,
    /// Nothing else.
    Blocking,
}

/// All habits of the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MqttHabits {
    /// Hundredths of the keep alive without a packet after which it pings.
    pub pings_after: u16,
    /// Hundredths of the keep alive after which it gives up an unanswered ping, if ever.
    pub gives_up_after: Option<u16>,
    /// Hundredths of the keep alive that it waits between messages of its own at least.
    pub quiet_for: u16,
    /// When it dials again.
    pub reconnecting: Reconnecting,
    /// When it subscribes again.
    pub resubscribing: Resubscribing,
    /// How it sends again.
    pub redelivering: Redelivering,
    /// How often it sends again on the same connection, if ever.
    pub repeats_every: Option<Duration>,
    /// What it makes of a session that is still there.
    pub session_present: SessionPresent,
    /// The longest packet that it takes, where it drops longer ones without a word.
    pub longest_packet: Option<u16>,
    /// What becomes of waiting messages.
    pub queueing: Queueing,
    /// What else it does while it dials.
    pub dialling: Dialling,
}

impl MqttHabits {
    /// Those of a client that does everything right.
    pub const RIGHT: Self = Self {
        pings_after: 50,
        gives_up_after: Some(50),
        quiet_for: 0,
        reconnecting: Reconnecting::BackingOff,
        resubscribing: Resubscribing::WhenNeeded,
        redelivering: Redelivering::WithDup,
        repeats_every: None,
        session_present: SessionPresent::Taken,
        longest_packet: None,
        queueing: Queueing::Kept,
        dialling: Dialling::Beside,
    };
}
