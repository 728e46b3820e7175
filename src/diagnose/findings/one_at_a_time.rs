//! A program that serves one client at a time and waits for it: a part of `blocked_application`.
//!
//! Evidence, any of these:
//! - the host waits for the device to close, each close takes the same long time, and all of these together fill the run,
//!   though several clients were there: while the program waits for one to close, nobody else is served;
//! - a client that is silent after its request keeps every other one waiting until the device gives it up; or it comes to
//!   silent clients one by one, and spends the same long time on each;
//! - connections that are silent before their first request: while one stands, the program sends nothing to anybody, and
//!   goes on as soon as it has closed it;
//! - the same where it closes none of them: at the end of two of three silences others have waited for half of it at least and
//!   are waiting still, and the silent one is answered at once when it asks;
//! - clients that read or send slowly on purpose, or read an event stream: other workloads wait while one is slow, and none
//!   of them is served for most of its time, while the slow one gets the first byte of its answer at once;
//! - event streams go on, and as long as they are open nobody gets another one;
//! - a client that keeps its connection is served on it, and nobody else is (`kept_out`).
//!
//! Neighbours: a program that serves several and is slow with each fills the run with several at once. One that waits
//! without a time-out serves nobody any more.
//!
//! Thresholds: half a second, longer than a close takes on any link; a constant wait, its 90th percentile within a fourth
//! of the median; closes that fill seven tenths of the run, and not more than all of it but for figures that are rounded.

use super::super::bouts;
use super::super::facts::{self, SECOND};
use super::super::{ClosePolicy, Evidence, HalfOpenEvidence, WorkloadEvidence};
use super::kept_out;
use super::text::{things, time};
use espstress_event::{Protocol, SilencedConnection, SlowSpan};

/// For what, and for how long, the program waits while nobody else is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OneAtATime {
    /// For a client's request.
    request_ns: Option<u64>,
    /// For a client's close.
    close_ns: Option<u64>,
    /// For a client that is silent after its request.
    silent_ns: Option<u64>,
    /// For a client that sends its request slowly.
    sends_ns: Option<u64>,
    /// For a client that takes its response slowly.
    reads_ns: Option<u64>,
    /// For a client that reads an event stream.
    stream_ns: Option<u64>,
    /// For a client that keeps its connection.
    kept_ns: Option<u64>,
    /// Clients that it waited for at once, where that was more than one: it may serve as many at a time.
    at_once: Option<u32>,
    /// Whether whoever asks for another event stream waits while some are open; of other clients nothing is known.
    too_few_streams: bool,
}

const CAUSE: &str = "one loop accepts a client, waits for its request and its close, and only then \
                                accepts the next; browsers open connections before they have a request for them";

const CAUSE_OF_FEW: &str = "each task that serves clients, or the only one, waits for its client's request and its close before it \
                            takes the next; browsers open connections before they have a request for them";

const CHANGE: &str = "serve each client in its own task, or all of them with select(); close right \
                                 after the response; a shorter SO_RCVTIMEO reduces the wait";

pub(super) fn seen(e: &Evidence<'_>) -> Option<OneAtATime> {
    let half_open = |w: &WorkloadEvidence| while_silent(e, w.half_open.as_ref()?);
    // One client or one close after the other is one at a time, however many there were.
    let waited_for = |w: &WorkloadEvidence| {
        let slow = w.asks.sends_slowly || w.asks.reads_slowly || w.asks.protocol == Protocol::Sse;
        before_a_request(e, w).max(beside_a_silence(e, w)).is_some() || (slow && beside_slow(e, w).is_some())
    };
    let at_once = facts::exchanges(e).filter(|w| waited_for(w)).map(|w| w.at_once).min().filter(|n| *n > 1);
    let one = OneAtATime {
        request_ns: facts::exchanges(e)
            .filter_map(|w| before_a_request(e, w).max(beside_a_silence(e, w)))
            .max(),
        close_ns: facts::exchanges(e).filter_map(before_a_close).max(),
        silent_ns: e.workloads.iter().filter_map(half_open).max(),
        sends_ns: facts::exchanges(e).filter(|w| w.asks.sends_slowly).filter_map(|w| beside_slow(e, w)).max(),
        reads_ns: facts::exchanges(e)
            .filter(|w| w.asks.reads_slowly && !w.asks.sends_slowly)
            .filter_map(|w| beside_slow(e, w))
            .max(),
        stream_ns: facts::exchanges(e)
            .filter(|w| w.asks.protocol == Protocol::Sse)
            .filter_map(|w| beside_slow(e, w))
            .max(),
        kept_ns: facts::exchanges(e).filter_map(|w| kept_out::by_one_client(e, w)).max(),
        at_once: None,
        too_few_streams: facts::exchanges(e).any(|w| without_a_stream(e, w).is_some()),
    };
    let in_turn = one.close_ns.or(one.silent_ns).or(one.kept_ns).is_some();
    (one != OneAtATime::default()).then_some(OneAtATime { at_once: at_once.filter(|_| !in_turn), ..one })
}

/// The wait for each close, where these waits one after the other fill a workload of several clients.
fn before_a_close(w: &WorkloadEvidence) -> Option<u64> {
    /// Three in a row are no chance to a person.
    const FEW: u64 = 3;
    let (closing, main) = (w.closing?, w.main?);
    let wait = closing.p50_ns;
    let constant = wait >= SECOND / 2 && closing.p90_ns.saturating_sub(wait) <= wait / 4;
    let all = (u128::from(wait) * u128::from(closing.count)).saturating_mul(10);
    let run = u128::from(w.end_ns.saturating_sub(w.start_ns));
    let one_by_one = all >= run * 7 && all <= run * 11;
    let others_waited = w.at_once >= 2 && main.p50_ns >= wait / 10 * 9;
    (w.close == ClosePolicy::Wait && closing.count >= FEW && constant && one_by_one && others_waited)
        .then_some(wait)
}

/// How long a silent client kept the others out, where the device gave it up and went on.
fn while_silent(e: &Evidence<'_>, h: &HalfOpenEvidence) -> Option<u64> {
    if e.device.capacity == Some(1) || h.before.served == 0 || facts::sockets::forgotten(e) > 0 {
        return None;
    }
    let alone = h.served == 1 && h.unserved > 0 && h.exhausted == Some(true) && h.during.served <= 1;
    // A FIN that came with the response is no answer to the silence.
    let waits = |ns: &u64| *ns >= SECOND / 2;
    let first = || h.connections.first().and_then(SilencedConnection::closed_after_ns).filter(waits);
    let given_up = || first().max(facts::turns::longest(h)).or(h.served_again_ns.filter(waits));
    let in_turn = facts::turns::each(h).or_else(|| facts::turns::before_service(h));
    in_turn.or_else(|| given_up().filter(|_| alone))
}

/// How long the program was silent towards all while connections without a request stood, and others asked.
fn before_a_request(e: &Evidence<'_>, late: &WorkloadEvidence) -> Option<u64> {
    let closed = late.unserved?.closed.not_sent;
    if !late.asks.late() || closed == 0 {
        return None;
    }
    let idle = e.idle.as_ref()?.iter().filter(|q| q.from_ns < late.end_ns && q.to_ns > late.start_ns);
    let idle = idle.filter(|q| q.to_ns < u64::MAX).map(|q| q.to_ns.saturating_sub(q.from_ns));
    let waits: Vec<u64> = idle.filter(|ns| *ns >= SECOND && *ns <= late.asks.request_delay_ns).collect();
    let longest = *waits.iter().max()?;
    // Another workload asked all the while.
    let waited = |w: &WorkloadEvidence| {
        let beside = w.start_ns < late.end_ns && late.start_ns < w.end_ns;
        !std::ptr::eq(w, late)
            && beside
            && w.succeeded > 0
            && w.main.is_some_and(|main| main.max_ns >= longest / 2)
    };
    (waits.len() as u64 >= closed && facts::exchanges(e).any(waited)).then_some(longest)
}

/// How long others waited at most beside clients that were silent before their request, where the device gave none of these
/// up: whoever asks meanwhile is still waiting when the silence ends, and the silent one is answered at once then. A program
/// that is slow with each request is slow with that one as well. What others wait for after the silence, or before it, says
/// nothing.
fn beside_a_silence(e: &Evidence<'_>, late: &WorkloadEvidence) -> Option<u64> {
    /// Of silence in which others waited; a single wait of a second is chance.
    const SILENT_MS: u64 = 3_000;
    let silence = late.asks.request_delay_ns;
    let answer = |w: &WorkloadEvidence| w.first_byte.or(w.main);
    let prompt = answer(late)?.p50_ns <= silence / 10;
    if !late.asks.late() || !prompt || e.device.capacity == Some(1) {
        return None;
    }
    let spans = late.by_protocol.as_ref()?.silent_before.as_ref()?.spans.as_slice();
    let waiting = |span: &SlowSpan| span.others_waiting_ms.unwrap_or(0);
    // Whoever stood in line before it is served at its very beginning, and whoever is served later is served beside it.
    let none_served = |span: &SlowSpan| {
        span.others_served_until_ms.is_none_or(|until| until.saturating_mul(10) <= span.length_ms)
    };
    let half = |span: &&SlowSpan| waiting(span).saturating_mul(2) >= span.length_ms && none_served(span);
    let kept_out: Vec<&SlowSpan> = spans.iter().filter(half).collect();
    let served = |span: &&SlowSpan| {
        span.others_waited_ms.is_some() && waiting(span).saturating_mul(10) <= span.length_ms
    };
    let served = |span: &&SlowSpan| served(span) || (waiting(span) > 0 && !none_served(span));
    let (out, all) = (kept_out.len(), kept_out.len() + spans.iter().filter(served).count());
    let longest = kept_out.iter().map(|span| waiting(span)).max()?.saturating_mul(1_000_000);
    let long = kept_out.iter().fold(0, |sum: u64, span| sum.saturating_add(span.length_ms)) >= SILENT_MS;
    // Another page may take as long as that whoever is silent.
    let comparable = |w: &WorkloadEvidence| {
        let beside = w.start_ns < late.end_ns && late.start_ns < w.end_ns;
        let at_once = w.connect.is_some_and(|connect| connect.p50_ns <= silence / 10);
        let at_times = || answer(w).is_some_and(|wait| wait.min_ns <= longest / 3);
        beside && !w.asks.late() && w.succeeded > 0 && at_once && (w.asks.same_page(&late.asks) || at_times())
    };
    let enough = long && out * 3 >= all * 2 && facts::exchanges(e).any(comparable);
    (enough && !slow_elsewhere(e, late, longest)).then_some(longest)
}

/// Whether a third workload asks for another page, which always takes half as long as others waited: they may have waited for
/// that one, where the program serves several clients at a time.
fn slow_elsewhere(e: &Evidence<'_>, w: &WorkloadEvidence, longest_ns: u64) -> bool {
    let elsewhere = |other: &WorkloadEvidence| {
        let beside = other.start_ns < w.end_ns && w.start_ns < other.end_ns;
        let answer = other.first_byte.or(other.main);
        let slow = answer.is_some_and(|wait| wait.min_ns.saturating_mul(2) >= longest_ns);
        let on_purpose = other.asks.sends_slowly || other.asks.reads_slowly || other.asks.late();
        beside && slow && !on_purpose && !other.asks.same_page(&w.asks) && facts::streams(other).is_none()
    };
    facts::exchanges(e).any(elsewhere)
}

/// The times of slow clients, or of event streams.
fn spans(w: &WorkloadEvidence) -> Option<&[SlowSpan]> {
    let slow = || Some(w.by_protocol.as_ref()?.slow.as_ref()?.spans.as_slice());
    facts::streams(w).map(|sse| sse.spans.as_slice()).or_else(slow)
}

/// How long others waited at most while clients were slow, where most of these kept all others out for most of their time. A
/// device that holds what it has to send, as a stack with large buffers does, is done long before the slow one is. A program
/// that is slow with each request is slow with the slow one's as well.
fn beside_slow(e: &Evidence<'_>, slow: &WorkloadEvidence) -> Option<u64> {
    let spans = spans(slow)?;
    let told = |span: &&SlowSpan| span.length_ms >= 1_000 && span.others_waited_ms.is_some();
    let waited = |span: &SlowSpan| span.others_waited_ms.unwrap_or(0);
    let judged: Vec<&SlowSpan> = spans.iter().filter(told).collect();
    let kept_out =
        judged.iter().filter(|span| waited(span) >= 500 && waited(span).saturating_mul(2) >= span.length_ms);
    let (all, most) = (judged.len(), kept_out.clone().count());
    let others: Vec<&WorkloadEvidence> = facts::exchanges(e)
        .filter(|w| !w.asks.reads_slowly && !w.asks.sends_slowly && facts::streams(w).is_none())
        .collect();
    let late = |w: &WorkloadEvidence| facts::count(&w.failures, &bouts::SLOW);
    let others_failed = others.iter().any(|w| late(w) > 0);
    let longest_ms = kept_out.map(|span| waited(span)).max()?;
    let enough = match all {
        1 => others_failed || judged.iter().all(|span| waited(span) >= span.length_ms / 10 * 8),
        _ => most * 3 >= all * 2,
    };
    let longest = longest_ms.saturating_mul(1_000_000);
    let prompt = slow.first_byte.is_none_or(|first| first.p50_ns <= longest / 10);
    // Others are served at some time, or events show that the program is there; and so is the link.
    let others_served =
        others.iter().any(|w| w.succeeded > 0) || facts::streams(slow).is_some_and(|sse| sse.events > 0);
    let away = facts::stack(e) == facts::Stack::Silent;
    let alone = e.device.capacity == Some(1) || slow_elsewhere(e, slow, longest);
    (enough && prompt && others_served && !away && !alone).then_some(longest)
}

/// How many requests for another event stream got no answer, or no connection, while some were open and brought events.
fn without_a_stream(e: &Evidence<'_>, w: &WorkloadEvidence) -> Option<u64> {
    /// Once may be a lost segment.
    const TWICE: u64 = 2;
    let sse = facts::streams(w).filter(|sse| sse.streams > 0 && sse.events > 0)?;
    let waited = facts::count(&facts::unexcused(e, w), &bouts::SLOW).saturating_sub(sse.silent);
    (w.at_once >= 2 && w.succeeded > 0 && waited >= TWICE && e.device.capacity != Some(1)).then_some(waited)
}

impl OneAtATime {
    /// Cause, and what to change.
    pub(super) const fn advice(self) -> (&'static str, &'static str) {
        if self.stream_ns.is_some() || self.too_few_streams {
            (
                if self.at_once.is_some() {
                    "the handler of an event stream keeps its task of the server until the stream ends, and there are no more"
                } else {
                    "the handler of an event stream keeps its task of the server until the stream ends, and there is no other"
                },
                "serve streams from a task of their own (esp_http_server: httpd_req_async_handler_begin), and go on \
                 accepting others",
            )
        } else {
            (if self.at_once.is_some() { CAUSE_OF_FEW } else { CAUSE }, CHANGE)
        }
    }

    pub(super) fn statement(self) -> String {
        if self.too_few_streams && (Self { too_few_streams: false, ..self }) == Self::default() {
            return "The device serves too few event streams at once: while some are open, requests for another get no \
                    answer."
                .to_owned();
        }
        let waits = [
            (self.request_ns, "for a client's request"),
            (self.close_ns, "for a client's close"),
            (self.silent_ns, "for a client that has fallen silent"),
            (self.sends_ns, "for a client that sends slowly"),
            (self.reads_ns, "for a client that reads slowly"),
            (self.stream_ns, "for a client that reads an event stream"),
            (self.kept_ns, "for a client that keeps its connection"),
        ];
        let waits = waits.into_iter().filter_map(|(ns, what)| Some(format!("{} {what}", time(ns?))));
        let waits = waits.collect::<Vec<_>>().join(" and ");
        match self.at_once {
            Some(most) => format!(
                "The device serves no more than {most} clients at a time: it waits {waits}, and while it waits for {most} of \
                 them, every other client waits as well."
            ),
            None => format!(
                "The device serves one client at a time: it waits {waits}, and every other client waits with it."
            ),
        }
    }
}

/// What a workload shows of it.
pub(super) fn in_figures(e: &Evidence<'_>, w: &WorkloadEvidence) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(ns), Some(closing)) = (before_a_close(w), w.closing) {
        lines.push(format!(
            "{}: the device closed {} {} after each response, one after the other, with {} at once",
            w.name,
            things(closing.count, "connection"),
            time(ns),
            w.at_once
        ));
    }
    if let (Some(ns), Some(unserved)) = (before_a_request(e, w), w.unserved) {
        lines.push(format!(
            "{}: {} without a request stayed open for up to {}, and the device sent nothing to any client in \
             the meantime",
            w.name,
            things(unserved.closed.not_sent, "connection"),
            time(ns)
        ));
    }
    if let (Some(ns), Some(spans)) = (beside_slow(e, w), spans(w)) {
        let longest = spans.iter().map(|span| span.length_ms).max().unwrap_or(0);
        let what = if facts::streams(w).is_some() { "event stream" } else { "slow client" };
        lines.push(format!(
            "{}: {} for up to {} each; in that time the device served no other client for up to {}, although others asked",
            w.name,
            things(spans.len() as u64, what),
            time(longest.saturating_mul(1_000_000)),
            time(ns)
        ));
    }
    if let (Some(n), Some(sse)) = (without_a_stream(e, w), facts::streams(w)) {
        lines.push(format!(
            "{}: {} brought {}; beside it {} got no answer or no connection in time",
            w.name,
            things(sse.streams, "event stream"),
            things(sse.events, "event"),
            things(n, "attempt")
        ));
    }
    if let Some(ns) = beside_a_silence(e, w) {
        lines.push(format!(
            "{}: each connection was silent for {} before its request and was answered at once then; others waited up \
             to {} for an answer beside it",
            w.name,
            time(w.asks.request_delay_ns),
            time(ns)
        ));
    }
    lines.extend(kept_out::in_figures(e, w));
    lines
}

#[cfg(test)]
#[path = "one_at_a_time_tests.rs"]
mod tests;
