//! A workload that ends in time, whatever it is waiting for.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use espstress_event::{Endpoints, Expected, WorkloadFacts};
use espstress_stats::Phase;
use espstress_workload::{Context, StopSource, Workload};

/// How long attempts that are under way at the limit may go on. A workload that is stopped needs a little less.
const DRAIN: Duration = Duration::from_secs(2);

/// A workload that is stopped at a limit. What is still under way then counts as unfinished.
pub(super) struct Limited {
    pub(super) inner: Box<dyn Workload>,
    pub(super) limit: Duration,
}

impl Workload for Limited {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn main_phase(&self) -> Phase {
        self.inner.main_phase()
    }

    fn expected(&self) -> Expected {
        self.inner.expected()
    }

    fn facts(&self, endpoints: &Endpoints) -> WorkloadFacts {
        self.inner.facts(endpoints)
    }

    fn settings(&self) -> serde_json::Value {
        self.inner.settings()
    }

    fn at_once(&self) -> u32 {
        self.inner.at_once()
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        self.inner.connections_in_a_minute()
    }

    fn connect_timeout(&self) -> Duration {
        self.inner.connect_timeout()
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let here = StopSource::default();
            let mut run = context.stop.clone();
            let mut inner = pin!(self.inner.run(Context { stop: here.listener(), ..context }));
            tokio::select! {
                biased;
                () = &mut inner => return,
                () = run.stopped() => {}
                () = tokio::time::sleep(self.limit) => {}
            }
            here.stop();
            tokio::select! {
                biased;
                () = &mut inner => return,
                () = run.hurried() => here.hurry(),
                () = tokio::time::sleep(DRAIN) => return,
            }
            // It counts what it gives up; whoever is in a hurry sees to it that this is soon over.
            inner.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    /// It waits for answers until it is told to hurry, and then counts what it gives up.
    #[derive(Debug)]
    struct Patient;

    impl Workload for Patient {
        fn kind(&self) -> &'static str {
            "patient"
        }

        fn main_phase(&self) -> Phase {
            Phase::RoundTrip
        }

        fn expected(&self) -> Expected {
            Expected::Open
        }

        fn facts(&self, _: &Endpoints) -> WorkloadFacts {
            WorkloadFacts::default()
        }

        fn settings(&self) -> serde_json::Value {
            serde_json::Value::Null
        }

        fn at_once(&self) -> u32 {
            1
        }

        fn connections_in_a_minute(&self) -> Option<u64> {
            None
        }

        fn connect_timeout(&self) -> Duration {
            Duration::ZERO
        }

        fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
            Box::pin(async move {
                let mut stop = context.stop.clone();
                stop.hurried().await;
                context.recorder.borrow_mut().unfinished(3);
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_in_a_hurry_still_hears_what_was_given_up() {
        let run = StopSource::default();
        let context = fixtures::context(run.listener());
        let phase = Limited { inner: Box::new(Patient), limit: Duration::from_secs(60) };
        run.hurry();
        phase.run(context.clone()).await;
        let recorder = context.recorder.replace(fixtures::recorder());
        assert_eq!(recorder.finish(1).unfinished, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn at_its_limit_a_phase_waits_for_attempts_under_way_no_longer_than_it_says() {
        let run = StopSource::default();
        let context = fixtures::context(run.listener());
        let phase = Limited { inner: Box::new(Patient), limit: Duration::from_secs(60) };
        let from = tokio::time::Instant::now();
        phase.run(context).await;
        assert_eq!(from.elapsed(), Duration::from_secs(60) + DRAIN);
    }
}
