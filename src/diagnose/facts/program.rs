//! A program that is at work and answers otherwise than it is asked: its silence is no hang.

use super::super::{Evidence, HalfOpenEvidence, Protocol, WorkloadEvidence, WorkloadKind};
use super::{Stack, exchanges, keeps_connections, of_device, stack, telemetry};
use espstress_event::{AnomalyId, EventStreams, Failure, FailureCounts, HttpFault};

/// Without the time-outs of answers that began and broke off by themselves each time, and of HEADs to a program that
/// answers GET alone, of questions in a protocol that it does not speak, and of requests behind others: it is at work.
pub(crate) fn of_program(e: &Evidence<'_>, w: &WorkloadEvidence, failures: FailureCounts) -> FailureCounts {
    let at_work = stops_in_the_middle(w)
        || head_happens(e, w)
        || other_happens(e, w)
        || pipe_happens(w)
        || pushes(w)
        || is_quiet(w);
    without_silence(failures, at_work)
}

pub(crate) fn without_silence(failures: FailureCounts, at_work: bool) -> FailureCounts {
    if !at_work {
        return failures;
    }
    let mut left = FailureCounts::default();
    failures.iter().filter(|(f, _)| *f != Failure::ReadTimeout).for_each(|(failure, n)| left.add(failure, n));
    left
}

/// Responses that began and then stopped, while the connection stayed open.
pub(crate) fn stopped_midway(w: &WorkloadEvidence) -> u64 {
    let begun =
        w.malformed.times(HttpFault::Truncated).saturating_add(w.malformed.times(HttpFault::NoLength));
    begun.saturating_sub(w.failures.get(Failure::TruncatedResponse))
}

/// Whether the read time-outs of a workload are those of responses that began and never came to their end, each time anew:
/// a program that hangs begins no new ones.
pub(crate) fn stops_in_the_middle(w: &WorkloadEvidence) -> bool {
    let stopped = stopped_midway(w);
    let timeouts = w.failures.get(Failure::ReadTimeout);
    // Each of these was seen to go on.
    let endless = w.malformed.times(HttpFault::Endless);
    if timeouts > 0 && endless.saturating_mul(10) >= timeouts.saturating_mul(9) {
        return true;
    }
    stopped > u64::from(w.at_once) && stopped.saturating_mul(10) >= timeouts.saturating_mul(9)
}

/// Whether this is a workload whose HEADs nobody answered, nor any other's, while GET was answered for the same page.
pub(crate) fn head_happens(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    // A program for one client at a time answers whoever keeps its connection, and nobody else whatever they ask.
    let only_beside = |other: &WorkloadEvidence| {
        keeps_connections(other) && other.start_ns <= w.start_ns && w.end_ns <= other.end_ns
    };
    let get_works = || {
        exchanges(e).any(|other| {
            let answered = other.asks.get() && other.succeeded > 0;
            answered && other.asks.same_page(&w.asks) && !only_beside(other)
        })
    };
    let answered =
        |other: &WorkloadEvidence| other.asks.head() && (other.succeeded > 0 || other.first_status.is_some());
    // The half-open workload asks by HEAD as well.
    let silent = |h: &HalfOpenEvidence| h.served > 0 || h.before.served > 0;
    let known = || e.workloads.iter().any(|w| answered(w) || w.half_open.as_ref().is_some_and(silent));
    w.asks.head() && w.attempts > 0 && !known() && get_works()
}

/// Whether the device completed WebSocket handshakes and spoke, and never sent a message back: it echoes nothing. Or most
/// that were not sent back are ones in whose time it sent others.
fn pushes(w: &WorkloadEvidence) -> bool {
    let ws = w.by_protocol.as_ref().and_then(|by| by.websocket.as_ref());
    let nothing = w.succeeded == 0 && ws.is_some_and(|ws| ws.pongs > 0 || ws.pushed > 0);
    nothing || passes_over(w)
}

/// Whether most WebSocket messages that were not sent back in time are ones in whose time the device sent others on the same
/// connection.
pub(crate) fn passes_over(w: &WorkloadEvidence) -> bool {
    let ws = w.by_protocol.as_ref().and_then(|by| by.websocket.as_ref());
    let passed_over = ws.map_or(0, |ws| ws.passed_over);
    passed_over > 0
        && passed_over.saturating_mul(10) >= w.failures.get(Failure::ReadTimeout).saturating_mul(9)
}

/// The event streams of a workload.
pub(crate) fn streams(w: &WorkloadEvidence) -> Option<&EventStreams> {
    w.by_protocol.as_ref()?.sse.as_ref()
}

/// Whether the read time-outs are those of open event streams: a device that has nothing to say hangs nowhere.
fn is_quiet(w: &WorkloadEvidence) -> bool {
    streams(w).is_some_and(|sse| sse.silent > 0 && sse.silent >= w.failures.get(Failure::ReadTimeout))
}

/// SYNs that go unanswered: the host repeats each before it counts as that.
const FEW: u64 = 3;

/// Whether this workload speaks to a device of which nobody knows that it speaks this, and got not one answer.
pub(crate) fn other_happens(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    // Our device programs speak neither.
    let ours = !matches!(w.asks.protocol, Protocol::WebSocket | Protocol::Sse);
    let known = ours && !e.device.foreign && (e.device.stack.is_some() || telemetry(e).is_some());
    // A program that speaks something else reads what it is sent all the same.
    let reads = [AnomalyId::ZeroWindowStall, AnomalyId::NoAckToData];
    let reads = reads.into_iter().all(|id| of_device(e, id).count == 0);
    let unknown = !matches!(w.asks.protocol, Protocol::Http | Protocol::Udp);
    // A web server answered, with a stream or with something else.
    let opened = streams(w).is_some_and(|sse| sse.streams > 0 || sse.wrong_type > 0 || sse.refused > 0);
    unknown && !opened && w.attempts > 0 && w.succeeded == 0 && !known && reads && accepts(e)
}

/// Whether the device completed a WebSocket handshake: what it does afterwards, it does in that protocol.
pub(crate) fn opens_websockets(w: &WorkloadEvidence) -> bool {
    w.by_protocol.as_ref().and_then(|by| by.websocket.as_ref()).is_some_and(|ws| ws.handshakes > 0)
}

/// Whether new connections come about all the while: a program that accepts none fills its backlog with those that ask
/// nothing as well, and then SYNs go unanswered.
pub(crate) fn accepts(e: &Evidence<'_>) -> bool {
    let unanswered = of_device(e, AnomalyId::SynUnanswered).connections;
    let most_missed = e.probes.tcp.value().is_some_and(|tcp| tcp.answered.saturating_mul(2) < tcp.sent);
    unanswered < FEW && !(most_missed && stack(e) == Stack::Answers)
}

/// Whether fewer requests failed in a row than are under way at once: the first of each connection was answered.
pub(crate) fn pipe_happens(w: &WorkloadEvidence) -> bool {
    let behind = u64::from(w.asks.window.saturating_sub(1)).saturating_mul(u64::from(w.at_once));
    let mut in_a_row = 0_u64;
    let mut longest = 0_u64;
    for episode in &w.episodes {
        in_a_row = if episode.succeeded == 0 { in_a_row.saturating_add(episode.attempts) } else { 0 };
        longest = longest.max(in_a_row);
    }
    w.kind == WorkloadKind::Rw
        && w.asks.method.is_some()
        && behind > 0
        && w.succeeded > 0
        && w.failures.get(Failure::ReadTimeout) > 0
        && longest <= behind
}
