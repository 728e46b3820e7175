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

use super::super::choice::{Claim, Firm};
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity};
use super::FindingEntry;
use super::text::{percent, things, times};
use espstress_event::{AnomalyId, END_NOT_SEEN, Failure};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::TimewaitPortReuse,
    severity: Severity::Error,
    meaning: "the device closes first and holds TIME_WAIT, so a client that reuses a port can't connect",
    needs: "a capture; or a workload with a limited port range in which the device closes first",
    neighbours: "a full accept queue; sockets kept after a close; an old connection that never ended",
    change: "set CONFIG_LWIP_TCP_MSL=6000, or let the client close first",
};

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    facts::ports::run_out(e).then(|| Claim::new(Firm::Shown, finding(e)))
}

fn finding(e: &Evidence<'_>) -> Finding {
    let collisions = facts::of_device(e, AnomalyId::TimewaitCollision);
    let mut evidence = Vec::new();
    if collisions.count > 0 {
        evidence.push(format!(
            "packets: the device answered a SYN on a reused port with an ACK of the old connection {}",
            times(collisions.count)
        ));
    }
    let (mut failed, mut attempts) = (0_u64, 0_u64);
    for w in facts::exchanges(e) {
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
    if let Some(t) = facts::telemetry(e).and_then(|t| t.time_wait) {
        evidence
            .push(format!("the device held up to {} in TIME_WAIT", things(u64::from(t.most), "connection")));
    }
    let statement = if failed > 0 {
        format!(
            "TIME_WAIT on the device blocks clients that reuse a port: {failed} of {} ({}) timed out.",
            things(attempts, "attempt"),
            percent(failed, attempts)
        )
    } else {
        format!(
            "The device answers clients that reuse a port with an ACK of an old connection ({}); no attempt timed out.",
            times(collisions.count)
        )
    };
    let hold = e.device.msl_ms.map_or_else(
        || "twice the maximum segment lifetime (60 s by default: 120 s)".to_owned(),
        |ms| format!("twice CONFIG_LWIP_TCP_MSL={ms}, so {} s", ms.saturating_mul(2) / 1000),
    );
    Finding {
        id: FindingId::TimewaitPortReuse,
        severity: if failed > 0 { Severity::Error } else { Severity::Warning },
        statement,
        evidence,
        cause: if may_never_have_ended(e) {
            format!(
                "the device still holds connections from before the capture: in TIME_WAIT, for {hold}, or because they \
                 never ended"
            )
        } else {
            format!("the device closes first and remembers the connection for {hold}")
        },
        change:
            "set CONFIG_LWIP_TCP_MSL=6000 in sdkconfig, let the client close first, or keep connections open; \
             ESP-IDF 5.5 and later recycle TIME_WAIT at CONFIG_LWIP_MAX_ACTIVE_TCP"
                .into(),
    }
}

/// Whether the connections from before may as well have never ended: none of them was seen to end, and the device told of
/// none in TIME_WAIT.
fn may_never_have_ended(e: &Evidence<'_>) -> bool {
    let of_collisions = e.anomalies.iter().filter(|row| row.id == AnomalyId::TimewaitCollision);
    let mut examples = of_collisions.flat_map(|row| &row.examples).peekable();
    let told = facts::telemetry(e).and_then(|t| t.time_wait).is_some_and(|t| t.most > 0);
    !told && examples.peek().is_some() && examples.all(|one| one.remark.as_deref() == Some(END_NOT_SEEN))
}
