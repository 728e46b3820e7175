//! `timewait_port_reuse`: the device holds connections in TIME_WAIT, and a client that comes again from the same
//! port is kept out.
//!
//! Evidence: a SYN on ports used before is answered by an ACK of the old connection, which had ended with the
//! device's FIN first. Without a capture: the device closes first, every port of a restricted range was served
//! about once, and what came on the same ports again timed out at connect.
//!
//! Neighbours: `challenge_ack` (the old connection had not ended); `accept_overflow` and `socket_exhaustion`,
//! which know nothing of ports.
//!
//! Severity: a warning as long as the repeated SYN gets through before the connect time-out.

use super::super::{ClosePolicy, Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::signs;
use super::text::{percent, things, times};
use espstress_event::{AnomalyId, Failure};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::TimewaitPortReuse,
    severity: Severity::Error,
    meaning: "the device closes first and holds TIME_WAIT, so that a client that reuses a port cannot connect",
    needs: "the packets; or a workload with a restricted range of ports in which the device closes first",
    neighbours: "a full backlog; sockets kept after a close; an old connection that never ended",
    change: "CONFIG_LWIP_TCP_MSL=6000; or let the client close first",
};

/// Every port served about once, and timed out when it came again.
fn ports_ran_out(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let timeouts = w.failures.get(Failure::ConnectTimeout);
    w.close == ClosePolicy::Wait
        && !signs::captured(e)
        && timeouts > 0
        && timeouts == w.failures.of_device()
        && w.local_ports.is_some_and(|ports| {
            let ports = u64::from(ports);
            w.attempts > ports && w.succeeded.saturating_mul(10) >= ports.saturating_mul(9)
        })
}

pub(super) fn happened(e: &Evidence<'_>) -> bool {
    signs::of_device(e, AnomalyId::TimewaitCollision).count > 0
        || signs::exchanges(e).any(|w| ports_ran_out(e, w))
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    if !happened(e) {
        return None;
    }
    let collisions = signs::of_device(e, AnomalyId::TimewaitCollision);
    let mut evidence = Vec::new();
    if collisions.count > 0 {
        evidence.push(format!(
            "packets: a SYN on reused ports was answered by an ACK of the old connection {}",
            times(collisions.count)
        ));
    }
    let (mut failed, mut attempts) = (0_u64, 0_u64);
    for w in signs::exchanges(e) {
        let timeouts = w.failures.get(Failure::ConnectTimeout);
        failed = failed.saturating_add(timeouts);
        attempts = attempts.saturating_add(w.attempts);
        let ports = w
            .local_ports
            .map_or_else(String::new, |n| format!(", from {}", things(u64::from(n), "local port")));
        evidence.push(format!(
            "{}: {} succeeded, {timeouts} timed out at connect{ports}",
            w.name,
            things(w.succeeded, "exchange")
        ));
    }
    if let Some(t) = signs::telemetry(e).and_then(|t| t.time_wait) {
        evidence
            .push(format!("the device held up to {} in TIME_WAIT", things(u64::from(t.most), "connection")));
    }
    let hold = e.device.msl_ms.map_or_else(
        || "twice the maximum segment lifetime (60 s by default: 120 s)".to_owned(),
        |ms| format!("twice CONFIG_LWIP_TCP_MSL={ms}, so {} s", ms.saturating_mul(2) / 1000),
    );
    Some(Finding {
        id: FindingId::TimewaitPortReuse,
        severity: if failed > 0 { Severity::Error } else { Severity::Warning },
        statement: format!(
            "Clients that come again from the same port are kept out by TIME_WAIT on the device: {failed} of {} ({}) \
             timed out.",
            things(attempts, "attempt"),
            percent(failed, attempts)
        ),
        evidence,
        cause: format!("the device closes first and remembers the connection for {hold}"),
        change:
            "CONFIG_LWIP_TCP_MSL=6000 in sdkconfig; or let the client close first, or keep connections open; \
                 ESP-IDF 5.5 and later recycle TIME_WAIT at CONFIG_LWIP_MAX_ACTIVE_TCP"
                .into(),
    })
}
