//! What has to outlast a restart: the persona, the count of starts, and why the next one happens.
//!
//! A board keeps [`Lasting`] in memory that a reset leaves alone. Plain words with a checksum, because after power-on
//! such memory holds anything.

use core::fmt::Write;

use espstress_device::config::Boot;
use espstress_device::telemetry::ResetReason;
use espstress_device::{Config, Persona};

use crate::setup::checksum;

/// Bytes of the words.
const LEN: usize = 64;

/// Where the persona's name starts.
const NAME: usize = 8;

/// The bytes that outlast a restart.
pub type Lasting = [u8; LEN];

/// Every reason that a program can restart for, as a number.
const REASONS: [ResetReason; 5] = [
    ResetReason::Unknown,
    ResetReason::Software,
    ResetReason::Panic,
    ResetReason::TaskWatchdog,
    ResetReason::Brownout,
];

/// The bytes for a restart with this setup.
#[must_use]
pub fn keep(config: &Config) -> Lasting {
    let mut name = Line { bytes: [0; LEN], len: NAME };
    // A persona without its parameters is still the persona, should they ever not fit.
    if write!(name, "{}", config.persona.spelled()).is_err() {
        name.len = NAME;
        let _ = name.write_str(config.persona.name());
    }
    let mut bytes = name.bytes;
    bytes[..4].copy_from_slice(&config.boot.count.to_le_bytes());
    let reason = REASONS.iter().position(|&reason| reason == config.boot.reason);
    bytes[4] = reason.unwrap_or_default() as u8;
    bytes[5] = name.len as u8;
    let sum = checksum(&bytes[..LEN - 4]).to_le_bytes();
    bytes[LEN - 4..].copy_from_slice(&sum);
    bytes
}

/// What the bytes say; `None` after power-on. The reason is [`ResetReason::Unknown`] when nobody announced the restart.
#[must_use]
pub fn recall(bytes: &Lasting) -> Option<(Persona, Boot)> {
    let (content, sum) = bytes.split_last_chunk()?;
    if checksum(content) != u32::from_le_bytes(*sum) {
        return None;
    }
    let count = u32::from_le_bytes(*content.first_chunk()?);
    let reason = *REASONS.get(usize::from(content[4]))?;
    let name = content.get(NAME..usize::from(content[5]))?;
    let persona = core::str::from_utf8(name).ok()?.parse().ok()?;
    Some((persona, Boot { count, reason }))
}

struct Line {
    bytes: Lasting,
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes[..LEN - 4].get_mut(self.len..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_device::persona::Kind;

    fn config(persona: &str) -> Config {
        let boot = Boot { count: 7, reason: ResetReason::Panic };
        Config { persona: persona.parse().expect("a persona"), boot, ..Config::default() }
    }

    #[test]
    fn personas_outlast_a_restart_with_their_parameters() {
        let changed = [
            "unread-close:bytes=40",
            "early-close:wait=7ms",
            "hoarder:bytes=1KiB",
            "slow-accept:every=300ms",
            "deaf:after=2KiB",
            "rebooting:every=800ms",
            "frozen:after=2s,requests=10",
        ];
        for persona in changed.into_iter().chain(Kind::ALL.map(Kind::name)) {
            let config = config(persona);
            assert_eq!(recall(&keep(&config)), Some((config.persona, config.boot)), "{persona}");
        }
    }

    #[test]
    fn what_memory_holds_after_power_on_says_nothing() {
        assert_eq!(recall(&[0; LEN]), None);
        assert_eq!(recall(&[0xFF; LEN]), None);
        let kept = keep(&config("deaf"));
        for at in 0..LEN {
            let mut damaged = kept;
            damaged[at] ^= 1;
            assert_eq!(recall(&damaged), None, "byte {at}");
        }
    }
}
