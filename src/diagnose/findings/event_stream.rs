//! `event_stream`: event streams that are none, that break off, or that stay silent for longer than the user allows.
//!
//! Evidence: the counts of `rw --protocol sse`: how each stream ended. A silence alone is no fault: a device may have
//! nothing to say. It fails only where the user has said how long it may last (`--timeout-read`).
//!
//! Neighbours: a device that is gone, restarts or has no room breaks streams as well; these findings take theirs first. An
//! orderly end after an event is none of its failures: EventSource is made to connect again.
//!
//! Severity: an error where it meets more than three attempts and more than one in a hundred, or leaves nothing; else a
//! warning.

use super::super::account::Account;
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::{things, time};
use super::{FindingEntry, rest};
use espstress_event::{EventStreams, Failure};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::EventStream,
    severity: Severity::Error,
    meaning: "event streams are of another type, break off, or stay silent for longer than --timeout-read",
    needs: "rw --protocol sse",
    neighbours: "a device that is gone or restarts; a silence that nobody objects to",
    change: "send a comment line (\":\") every 15 s or so; end a stream by closing it after a whole event",
};

/// How streams fail that had opened, or that were of another type.
pub(super) fn fails_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    let Some(sse) = facts::streams(w) else { return false };
    match failure {
        Failure::BadResponse => sse.wrong_type > 0 || sse.broken > 0,
        Failure::ReadTimeout => sse.silent > 0,
        Failure::TruncatedResponse => sse.cut > 0,
        Failure::ReadReset => sse.reset > 0,
        Failure::EofBeforeResponse => sse.ended_empty > 0,
        _ => false,
    }
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, fails_so);
    let worst = all.first()?;
    let sse = facts::streams(worst.w)?;
    let (failure, _) = worst.failures.first()?;
    let (statement, cause, change) = words(sse, *failure);
    let mut evidence: Vec<String> = all.iter().map(|rest| rest.in_figures("failed")).collect();
    evidence.push(format!("{}: {}", worst.w.name, in_figures(sse)));
    Some(Finding {
        id: FindingId::EventStream,
        severity: rest::severity(&all),
        statement,
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}

/// Statement, cause and change.
fn words(sse: &EventStreams, failure: Failure) -> (String, &'static str, &'static str) {
    match failure {
        Failure::BadResponse if sse.wrong_type > 0 => {
            let named = sse.wrong_type_seen.as_deref().filter(|name| !name.is_empty());
            let what = named.map_or_else(|| "no Content-Type".to_owned(), |name| format!("the type {name}"));
            (
                format!(
                    "The device answers {} with {what} instead of text/event-stream: browsers refuse such a stream.",
                    things(sse.wrong_type, "request")
                ),
                "another page is served at that path, or the handler doesn't set the type",
                "check --path; set Content-Type: text/event-stream before the first event",
            )
        }
        Failure::BadResponse => (
            format!(
                "{} broke off: a chunk had a wrong length, or an event was longer than the 1 MiB that espstress takes.",
                things(sse.broken, "event stream")
            ),
            "the handler writes chunks with a wrong length, an event is very long, or it never ends",
            "end each event with a blank line, and let the library frame the chunks",
        ),
        Failure::ReadTimeout => (
            format!(
                "{} stayed silent for longer than --timeout-read allows; the longest silence was {}.",
                things(sse.silent, "event stream"),
                longest(sse)
            ),
            "the device had nothing to say for that long, or it has lost the stream without an end",
            "send a comment line (\":\") regularly if clients should notice a lost stream; else raise --timeout-read",
        ),
        Failure::TruncatedResponse if sse.unfinished >= sse.cut => (
            format!(
                "{} ended in the middle of an event, which browsers drop.",
                things(sse.cut, "event stream")
            ),
            "the program closes the stream while it sends an event, or leaves out the blank line that ends one",
            "send the blank line behind each event, and close only then",
        ),
        Failure::TruncatedResponse => (
            format!(
                "{} ended in the middle: the device closed the connection before the response was complete.",
                things(sse.cut, "event stream")
            ),
            "the program closes the socket without the last chunk, or it was ended",
            "send the last chunk before closing, or use no chunks",
        ),
        Failure::ReadReset => (
            format!("The device reset {}.", things(sse.reset, "event stream")),
            "the program closes the socket while something is unread, or its stack ran out of memory",
            "look at the device's log at these times; read what the client sends before closing",
        ),
        _ => (
            format!("{} ended before any event.", things(sse.ended_empty, "event stream")),
            "the handler returns after the head, which ends the response in most libraries",
            "keep the request open in the handler, as an asynchronous request, and send events from a task",
        ),
    }
}

fn longest(sse: &EventStreams) -> String {
    time(sse.longest_silence_us.unwrap_or(0).saturating_mul(1_000))
}

/// The streams in figures.
fn in_figures(sse: &EventStreams) -> String {
    let ends = [
        (sse.ended.saturating_add(sse.ended_empty), "ended in order"),
        (sse.cut, "cut off"),
        (sse.reset, "reset"),
        (sse.silent, "silent for too long"),
        (sse.broken, "broken"),
    ];
    let mut list = vec![things(sse.streams, "stream"), things(sse.events, "event")];
    list.extend(ends.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    list.join(", ")
}
