//! What the client is set up with, and what it is called.

use core::fmt::{self, Write};
use core::time::Duration;

use crate::mqtt::packet::Qos;
use crate::text::Text;

/// The setup of the client. The broker is the host that the device dials.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Seconds of keep alive, 0 for none.
    pub keep_alive: u16,
    /// Whether every connection starts a new session.
    pub clean: bool,
    /// How hard it tries with what it publishes; at most 1.
    pub qos: Qos,
    /// Time between messages.
    pub interval: Duration,
    /// Of the jitter in its back-off.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            keep_alive: 15,
            clean: false,
            qos: Qos::AtLeastOnce,
            interval: Duration::from_secs(1),
            seed: 0,
        }
    }
}

/// The client's identifier: the device's name and number. What means something in a topic is a hyphen in it.
#[must_use]
pub fn client_id(name: &str, number: u8) -> Text<36> {
    let mut id = Text::new();
    // 32 bytes of name, a hyphen, three digits.
    for char in name.chars() {
        let _ = id.write_char(if matches!(char, '/' | '+' | '#' | '\0') { '-' } else { char });
    }
    let _ = write!(id, "-{number}");
    id
}

/// The topics of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topic {
    /// `online` (birth) or `offline` (will), both retained.
    Status,
    /// Messages with a number: `{"n":N,"boot":B,"up_ms":T}`. Numbers start at 1 with each boot and leave none out.
    Data,
    /// What the client subscribes to.
    Command,
    /// The payload of each command of up to 128 bytes; of a longer one `{"bytes":N}`.
    Echo,
}

impl Topic {
    const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Data => "data",
            Self::Command => "cmd",
            Self::Echo => "echo",
        }
    }

    /// The whole topic of the client with this identifier.
    #[must_use]
    pub fn of(self, id: &str) -> Text<56> {
        let mut topic = Text::new();
        let _ = write!(topic, "espstress/{id}/{self}");
        topic
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_and_number_fit_their_places() {
        let id = client_id("abcdefghijklmnopqrstuvwxyzabcdef", 255);
        assert!(id.ends_with("-255"), "{id}");
        assert_eq!(&*client_id("a/b+#", 1), "a-b---1");
        for topic in [Topic::Status, Topic::Data, Topic::Command, Topic::Echo] {
            assert!(topic.of(&id).ends_with(topic.name()), "{topic}");
        }
    }
}
