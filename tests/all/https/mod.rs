//! `https://`: against servers that others wrote, and against hostile ones.

mod hostile;
mod strangers;

use std::net::SocketAddr;
use std::path::PathBuf;

use espstress_event::{Endpoints, Failure, TlsFault};
use espstress_stats::WorkloadStats;

use crate::common::run_at;

/// A certificate or a key of the tests: `authority` signed `device` (for localhost and device.test), `expired` and
/// `another` (for another name); they and `self-signed` have the key `device.key`.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/all/https/certs").join(name)
}

fn path(name: &str) -> String {
    file(name).display().to_string()
}

/// Setting to trust a certificate.
fn trusting(name: &str) -> String {
    format!("ca = '{}'\n", path(name))
}

/// Runs a workload over TLS against a device that is called localhost.
fn tls(kind: &str, settings: &str, target: SocketAddr) -> WorkloadStats {
    let endpoints = Endpoints { tls_name: Some("localhost".into()), ..Endpoints::only(target) };
    run_at(kind, settings, endpoints).workloads.remove(0).stats
}

/// How TLS failed, with how often; nothing else has failed.
#[track_caller]
fn faults(stats: &WorkloadStats) -> Vec<(TlsFault, u64)> {
    let tls = stats.http.tls.clone().unwrap_or_default();
    let all: Vec<_> = tls.failures.iter().map(|(fault, seen)| (*fault, seen.count)).collect();
    let sum: u64 = all.iter().map(|(_, n)| n).sum();
    assert_eq!(stats.failures.of_device(), sum, "{tls:?} {:?}", stats.failures);
    // What any connection may meet has its usual name.
    let usual = [
        (TlsFault::TimedOut, Failure::ReadTimeout),
        (TlsFault::Closed, Failure::EofBeforeResponse),
        (TlsFault::Reset, Failure::ReadReset),
    ];
    for (fault, n) in &all {
        let name =
            usual.iter().find(|(usual, _)| usual == fault).map_or(Failure::TlsFailed, |(_, name)| *name);
        assert_eq!(stats.failures.get(name), *n, "{fault:?}: {:?}", stats.failures);
    }
    all
}

/// What exactly the first one was.
fn detail(stats: &WorkloadStats, fault: TlsFault) -> String {
    stats
        .http
        .tls
        .as_ref()
        .and_then(|tls| tls.failures.get(&fault))
        .map_or_else(String::new, |seen| seen.detail.clone())
}
