//! The link that lies before the device, where it is a modelled one: what it says of its own outages.

#[cfg(target_os = "linux")]
use std::sync::Arc;
#[cfg(target_os = "linux")]
use std::time::{Duration, Instant};

use super::plan::{LinkSpell, Plan};
use espstress_clock::Clock;
use espstress_event::{AwaySpell, LinkOutageCause, OutageOrigin};
use espstress_stats::DeviceSeries;
#[cfg(target_os = "linux")]
use espstress_targets::twin::Twin;

/// How old an account of the link may be.
#[cfg(target_os = "linux")]
const FRESH: Duration = Duration::from_millis(20);

/// The link of a run's device.
#[derive(Clone, Debug)]
pub(super) struct Link {
    clock: Clock,
    #[cfg(target_os = "linux")]
    twin: Option<Arc<Twin>>,
    #[cfg(target_os = "linux")]
    asked: Option<Instant>,
}

impl Link {
    pub(super) fn of(plan: &Plan, clock: Clock) -> Self {
        #[cfg(not(target_os = "linux"))]
        let _ = plan;
        Self {
            clock,
            #[cfg(target_os = "linux")]
            twin: plan.twin.clone(),
            #[cfg(target_os = "linux")]
            asked: None,
        }
    }

    /// A real link.
    #[cfg(test)]
    pub(super) const fn real(clock: Clock) -> Self {
        Self {
            clock,
            #[cfg(target_os = "linux")]
            twin: None,
            #[cfg(target_os = "linux")]
            asked: None,
        }
    }

    /// Its outages, by its own account; `None` for a real one.
    #[cfg(target_os = "linux")]
    pub(super) fn outages(&self) -> Option<Vec<LinkSpell>> {
        self.twin.as_deref().map(|twin| super::twin_link::outages(twin, self.clock))
    }

    /// Its outages, by its own account; `None` for a real one.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn outages(&self) -> Option<Vec<LinkSpell>> {
        None
    }

    /// Notes the restarts that are known of without telemetry: the ends of a process that somebody else wrote.
    pub(super) fn note_restarts(&self, device: &mut DeviceSeries) {
        #[cfg(target_os = "linux")]
        if let Some(twin) = &self.twin {
            super::twin_link::note_restarts(twin, device, self.clock);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = device;
    }

    /// The same by wall time, unless it was asked just before.
    pub(super) fn news(&mut self) -> Option<Vec<AwaySpell>> {
        #[cfg(target_os = "linux")]
        {
            if self.asked.is_some_and(|asked| asked.elapsed() < FRESH) {
                return None;
            }
            self.asked = Some(Instant::now());
        }
        let start = self.clock.start_unix_ns();
        let away = |spell: LinkSpell| AwaySpell {
            cause: match spell.cause {
                LinkOutageCause::Planned => OutageOrigin::Natural,
                LinkOutageCause::Asked => OutageOrigin::Made,
            },
            from_ns: start.saturating_add(spell.start_ns),
            to_ns: spell.end_ns.map(|end| start.saturating_add(end)),
        };
        Some(self.outages()?.into_iter().map(away).collect())
    }
}
