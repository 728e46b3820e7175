//! A workload that ends in time, whatever it is waiting for.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use espstress_event::{Endpoints, Expected, WorkloadFacts};
use espstress_stats::Phase;
use espstress_workload::{Context, Workload};

/// A workload with a limit. Attempts that are under way when it is reached are not counted.
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
            // What is cut off is told by the figures of what had ended.
            let _ = tokio::time::timeout(self.limit, self.inner.run(context)).await;
        })
    }
}
