//! `half-open`: connections whose peer falls silent, to the device's limit and back.

mod client;
mod search;
mod settings;
mod sockets;
mod watch;

use std::future::Future;
use std::pin::Pin;

pub(crate) use self::settings::By;
use self::settings::Params;
use super::context::Context;
use super::registry::{self, Kind, Workload};
use espstress_clock::nanos;
use espstress_event::{Asks, ClosePolicy, Endpoints, Expected, WorkloadFacts, WorkloadKind};
use espstress_stats::Phase;

/// The registry's line.
pub(super) const KIND: Kind = Kind {
    name: WorkloadKind::HalfOpen.name(),
    flags: registry::flags::<Params>,
    keys: registry::keys::<Params>,
    typed: registry::typed::<Params>,
    build: |table| Ok(Box::new(HalfOpen { params: registry::params(table)? })),
};

#[derive(Debug)]
struct HalfOpen {
    params: Params,
}

impl Workload for HalfOpen {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn main_phase(&self) -> Phase {
        Phase::Total
    }

    fn expected(&self) -> Expected {
        let at_most = self.params.baseline.0 + self.params.watch_reclaim.0;
        Expected::Duration(nanos(at_most))
    }

    fn facts(&self, _: &Endpoints) -> WorkloadFacts {
        WorkloadFacts {
            kind: Some(WorkloadKind::HalfOpen),
            asks: Asks { window: 1, ..Asks::default() },
            close: ClosePolicy::Fin,
        }
    }

    fn settings(&self) -> serde_json::Value {
        registry::settings(&self.params)
    }

    fn at_once(&self) -> u32 {
        // It goes to the device's limit on purpose; nobody has to be told so.
        1
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        None
    }

    fn connect_timeout(&self) -> std::time::Duration {
        self.params.timeouts().connect
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(watch::run(context, &self.params))
    }
}
