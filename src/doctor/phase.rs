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
                () = inner => {}
                () = run.hurried() => {}
                () = tokio::time::sleep(DRAIN) => {}
            }
        })
    }
}
