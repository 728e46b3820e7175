//! Web servers that answer as HTTP/1.1 forbids, leave a client in doubt, or close idle connections: what `head` and `rw`
//! make of each, by name and with its figures.

mod bounds;
mod framing;
mod idle;
mod pipelining;
mod status;

use std::net::SocketAddr;

use espstress_event::{Failure, HttpFault};
use espstress_stats::WorkloadStats;

fn head(settings: &str, target: SocketAddr) -> WorkloadStats {
    crate::common::run("head", settings, target)
}

fn rw(settings: &str, target: SocketAddr) -> WorkloadStats {
    crate::common::run("rw", &format!("protocol = 'http'\n{settings}"), target)
}

/// A fault with the first one's figures: how often, promised, received.
type Figures = (HttpFault, u64, Option<u64>, Option<u64>);

fn faults(stats: &WorkloadStats) -> Vec<Figures> {
    let all = stats.malformed.iter();
    all.map(|(fault, seen)| (fault, seen.count, seen.promised_bytes, seen.received_bytes)).collect()
}

fn failures(stats: &WorkloadStats) -> Vec<(Failure, u64)> {
    stats.failures.iter().filter(|(_, n)| *n > 0).collect()
}
