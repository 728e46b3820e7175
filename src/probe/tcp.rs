//! TCP connect, closed in order at once: is there a stack that completes a handshake?

use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{ProbeConfig, ProbeContext, Shared, Ticks, begin, with};
use espstress_clock::nanos;
use espstress_connection::{HostClosed, Refused};
use espstress_stats::ProbeStats;

/// Longest wait for the device's FIN.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Connections under way at once; a further one is left out.
const MOST_UNDER_WAY: usize = 8;

/// Connects until it is dropped.
pub(super) async fn run(
    config: ProbeConfig,
    interval: Duration,
    context: ProbeContext,
    stats: Shared<ProbeStats>,
) {
    begin(&stats, context.clock, interval, config.timeout);
    let mut ticks = Ticks::new(interval, context.clock);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            () = ticks.next(&stats) => {
                if under_way.len() < MOST_UNDER_WAY {
                    under_way.spawn_local(connect(config.clone(), context.clone(), Rc::clone(&stats)));
                }
            }
            Some(_) = under_way.join_next() => {}
        }
    }
}

async fn connect(config: ProbeConfig, context: ProbeContext, stats: Shared<ProbeStats>) {
    let connector = context.connector(config.tcp, &config);
    let start = Instant::now();
    let opened = connector.open(context.intent()).await;
    let took = nanos(start.elapsed());
    let at_ns = context.clock.now_ns();
    let mut connection = match opened {
        Ok(connection) => connection,
        Err(Refused::Failure(failure)) if !failure.is_host() => {
            with(&stats, |stats| {
                stats.failures.count(failure);
                stats.loss(at_ns);
            });
            return;
        }
        Err(Refused::Failure(_) | Refused::PortsUntil(_)) => {
            with(&stats, |stats| stats.host_failure(at_ns));
            return;
        }
    };
    with(&stats, |stats| stats.answer(at_ns, took));
    if connection.shut_down_writing().is_ok() {
        connection.drain(&mut [0; 64], CLOSE_LIMIT, HostClosed::First).await;
    }
}
