//! `nagle_delay`: the device writes an answer in several small pieces, and each piece waits for the host's acknowledgement
//! of the one before, which the host delays (RFC 1122, 4.2.3.2 and 4.2.3.4). Or it waits for it by itself: a send() that
//! returns only when everything is acknowledged does the same.
//!
//! Evidence: the packets. Small segments right behind a delayed acknowledgement of the small one before, again and again.
//!
//! Neighbours: a program that takes its time between two writes: it does not know when the host acknowledges. A slow link,
//! power save: there acknowledgements are no later than anything else. New connections hide it: Linux acknowledges their
//! first segments at once.
//!
//! Thresholds: five, so that chance and a host that was busy are ruled out, and two in three of the small segments that came
//! 20 ms or more after the one before. By chance a segment comes within the 2 ms behind an acknowledgement in one of twenty
//! or so; on a link or a machine that is late now and then, some that waited come later than that.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Quantiles, Severity, WorkloadEvidence, WorkloadKind};
use super::FindingEntry;
use super::text::{things, time};

/// Fewer late segments may have met a busy machine.
const ENOUGH: u64 = 5;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::NagleDelay,
    severity: Severity::Warning,
    meaning: "the device's second small segment waits for the client's delayed ACK of the first: 40 ms or more \
              for each response",
    needs: "a capture, and connections that serve several requests",
    neighbours: "a program that is slow between two writes; a slow link; power save",
    change: "setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), or head and body in one send()",
};

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let seen = e.ack_waits?;
    let late = seen.waited.saturating_add(seen.otherwise);
    if seen.waited < ENOUGH || seen.waited.saturating_mul(3) < late.saturating_mul(2) {
        return None;
    }
    let mean = seen.total_ns / seen.waited.max(1);
    if !is_felt(e, seen.waited, mean) {
        return None;
    }
    let mut evidence = vec![format!(
        "packets: {} came right after the client's ACK of the one before, {} after it on average, {} at most; \
         {} at other times",
        things(seen.waited, "small segment"),
        time(mean),
        time(seen.longest_ns),
        seen.otherwise
    )];
    if let Some(ping) = facts::datagram_probe(e).and_then(|probe| probe.latency) {
        let main = facts::exchanges(e).filter_map(|w| Some((w, w.main?)));
        evidence.extend(main.map(|(w, main)| {
            format!("{}: median {}, ping {}", w.name, time(main.p50_ns), time(ping.p50_ns))
        }));
    }
    let (cause, change) = advice(e);
    Some(Finding {
        id: FindingId::NagleDelay,
        severity: Severity::Warning,
        statement: format!(
            "The device's second small segment waits for the ACK of the first: {}, {} each on average.",
            super::text::times(seen.waited),
            time(mean)
        ),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}

/// Whether the answers of this run took as long: the packets are those of every program on this machine that talks to the
/// device. A handshake of TLS waits before the first answer.
fn is_felt(e: &Evidence<'_>, waited: u64, mean_ns: u64) -> bool {
    let answers: Vec<Quantiles> = facts::exchanges(e).filter_map(|w| w.main).collect();
    let elsewhere = |w: &WorkloadEvidence| {
        w.http.tls.is_some() || w.asks.reads_slowly || w.asks.sends_slowly || facts::streams(w).is_some()
    };
    if answers.is_empty() || facts::exchanges(e).any(elsewhere) {
        return true;
    }
    let all = answers.iter().fold(0_u64, |n, main| n.saturating_add(main.count));
    let took = |main: &Quantiles| match () {
        () if waited.saturating_mul(2) >= all => main.p50_ns,
        () if waited.saturating_mul(10) >= all => main.p90_ns,
        () => main.max_ns,
    };
    answers.iter().any(|main| took(main) >= mean_ns / 2)
}

/// What the device writes in pieces, by what it speaks in this run: cause, and what to change.
fn advice(e: &Evidence<'_>) -> (&'static str, &'static str) {
    let mqtt = e.workloads.iter().any(|w| w.kind == WorkloadKind::Mqtt);
    let tls = facts::exchanges(e).any(|w| w.http.tls.is_some());
    if mqtt && facts::exchanges(e).next().is_none() {
        return (
            "the client writes its packets in several small pieces: Nagle's algorithm holds the second until the first is \
             acknowledged, and the broker's machine delays that ACK (40 ms on Linux)",
            "write each packet in one send(), or set TCP_NODELAY on the socket: setsockopt(s, IPPROTO_TCP, TCP_NODELAY, \
             &one, sizeof one)",
        );
    }
    if tls {
        return (
            "the device sends small TLS records one after the other: session tickets before the first response, or head \
             and body in writes of their own. Nagle's algorithm holds each until the one before is acknowledged, and the \
             client delays that ACK (40 ms on Linux)",
            "set TCP_NODELAY on accepted sockets: setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one)",
        );
    }
    (
        "the program sends its response in several small writes: Nagle's algorithm holds the second until the first is \
         acknowledged, and the client delays that ACK (40 ms on Linux, up to 250 ms on lwIP)",
        "set TCP_NODELAY on accepted sockets: setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); or send head and \
         body in one send(). If each write waits for its ACK (some Arduino cores), use larger writes",
    )
}
