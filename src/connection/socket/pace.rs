//! A host that is slow on purpose.

use super::Connection;

impl Connection {
    /// Until when the host sends nothing on its own account.
    pub(super) fn sends_not_before(&self) -> Option<tokio::time::Instant> {
        self.slow.as_ref()?.send.as_ref()?.waits_until(tokio::time::Instant::now())
    }

    /// Until when the host reads nothing on its own account.
    pub(super) fn reads_not_before(&self) -> Option<tokio::time::Instant> {
        self.slow.as_ref()?.read.as_ref()?.waits_until(tokio::time::Instant::now())
    }

    pub(super) async fn wait_until(&mut self, until: tokio::time::Instant) {
        self.waits();
        tokio::time::sleep_until(until).await;
    }

    pub(super) fn waits(&mut self) {
        if let Some(slow) = &mut self.slow {
            slow.has_waited = true;
        }
    }

    /// Whether the host has kept the device waiting on purpose.
    #[must_use]
    pub fn was_slow(&self) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.has_waited)
    }

    /// Whether the host takes what comes slowly on purpose.
    #[must_use]
    pub fn reads_slowly(&self) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.read.is_some())
    }

    /// Whether the host sends slowly on purpose.
    #[must_use]
    pub fn sends_slowly(&self) -> bool {
        self.slow.as_ref().is_some_and(|slow| slow.send.is_some())
    }

    /// From now on the host is as fast as it can be.
    pub(super) fn hurry(&mut self) {
        if let Some(slow) = &mut self.slow {
            (slow.read, slow.send) = (None, None);
        }
    }
}
