//! `malformed_response`: what the device answers is not what HTTP/1.1 allows, or leaves the client in doubt where it ends.
//!
//! Evidence: what the clients noted while they read the responses, with the figures of the first one of each kind.
//!
//! Neighbours: a response that a RST cuts (`abortive_close`, `resets_requests`); a program that hangs in the middle of a
//! response: there new requests get no answer at all, and here each gets its head and stops at the same place; a link that
//! was away, which the account excuses.
//!
//! Severity: an error where it fails more than three requests and more than one in a hundred, or where as many responses
//! have bytes behind their end; a warning where fewer do, or where clients may live with it and some do not; information where RFC 9112 allows it.

use super::super::account::Account;
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::{grouped, things};
use super::{FindingEntry, rest};
use espstress_event::{
    Failure, FaultCount, HEAD_CUT, HEAD_TOO_LONG, HttpFault, NO_CLOSE_NOTIFY, SECOND_RESPONSE, TLS_ALERT,
    TOO_MANY_FIELDS,
};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::MalformedResponse,
    severity: Severity::Error,
    meaning: "responses break HTTP/1.1: shorter or longer than their length, broken chunks, a body after HEAD, \
              no end, a malformed head; or frames break WebSocket (RFC 6455)",
    needs: "at least one HTTP response",
    neighbours: "responses cut by a RST; a program that hangs; a port that speaks another protocol",
    change: "compare Content-Length with the bytes sent, and check what send() returns; end chunks with 0 and \
             an empty line; send no body after HEAD",
};

/// Failures that a response which breaks its own framing ends in.
pub(in super::super) fn fails_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    match failure {
        Failure::BadResponse if broken_frames(w).is_some() => true,
        Failure::TruncatedResponse | Failure::BadResponse => !w.malformed.is_empty(),
        Failure::ReadTimeout => facts::stops_in_the_middle(w),
        _ => false,
    }
}

/// What a WebSocket's device sent that RFC 6455 does not allow; `None` where it sent nothing like that.
fn broken_frames(w: &WorkloadEvidence) -> Option<Vec<(&str, u64)>> {
    let ws = w.by_protocol.as_ref()?.websocket.as_ref()?;
    let mut all: Vec<(&str, u64)> = ws.violations.iter().map(|(what, n)| (what.as_str(), *n)).collect();
    all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    (!all.is_empty()).then_some(all)
}

/// The same as a finding.
fn of_frames(failed: &[rest::Rest<'_>]) -> Option<Finding> {
    let worst = failed.first()?;
    let all = broken_frames(worst.w)?;
    let named: Vec<String> =
        all.iter().map(|(what, n)| format!("{what} ({})", super::text::times(*n))).collect();
    Some(Finding {
        id: FindingId::MalformedResponse,
        severity: rest::severity(failed),
        statement: format!(
            "The device breaks the WebSocket protocol: {} failed, since it sent {}.",
            if worst.attempts == worst.w.attempts { worst.whole("message") } else { worst.share("message") },
            named.join(", ")
        ),
        evidence: failed.iter().map(|rest| rest.in_figures("failed because of a malformed frame")).collect(),
        cause: "the program writes frames by hand, or its library has a bug; browsers close such a connection with code \
                1002"
            .into(),
        change: "a frame of the device's is unmasked; a ping, a pong or a close frame has at most 125 bytes and is one frame \
                 (RFC 6455, 5.1 and 5.5)"
            .into(),
    })
}

/// How bad it is where it fails nothing.
fn severity_of(w: &WorkloadEvidence, fault: HttpFault) -> Severity {
    match fault {
        // This client leaves the connection; another takes these bytes for its next response (RFC 9112, 6.3).
        HttpFault::Overlong | HttpFault::BodyNotAllowed
            if rest::is_much(w.malformed.times(fault), w.attempts) =>
        {
            Severity::Error
        }
        // The body is ended by the connection; RFC 9112, 6.3 and 9.6 allow the others, and they surprise many.
        HttpFault::BodyBeforeClose | HttpFault::NoLength | HttpFault::CloseIgnored => Severity::Info,
        HttpFault::Truncated
        | HttpFault::Overlong
        | HttpFault::BodyNotAllowed
        | HttpFault::BadChunk
        | HttpFault::BodyAfterHead
        | HttpFault::Endless
        | HttpFault::BadHead => Severity::Warning,
    }
}

/// A fault that says something although no request failed by it. Every other one did fail a request, and the account
/// says who answers for that.
fn says_something(w: &WorkloadEvidence, fault: HttpFault) -> bool {
    match fault {
        HttpFault::Truncated | HttpFault::BadHead => false,
        // Of a large page that is on its way when the time is up, others have come.
        HttpFault::Endless => w.succeeded == 0,
        // Elsewhere the connection stayed open, and the request failed.
        HttpFault::NoLength => w.failures.get(Failure::ReadTimeout) == 0,
        HttpFault::Overlong | HttpFault::BodyNotAllowed | HttpFault::BadChunk | HttpFault::BodyAfterHead => {
            w.succeeded > 0
        }
        HttpFault::BodyBeforeClose | HttpFault::CloseIgnored => true,
    }
}

/// How long the client waits, which nobody counted for each of them (`head`).
const PATIENCE: &str = "after a response, head --close wait waits at most 2.5 s for the device's close, then less with \
                        each that didn't come, down to 100 ms; once the device has closed, up to the read timeout";

/// What is said of a chunked response without its end.
const LAST_CHUNK: &str = "the last chunk did not come";

struct Seen<'a> {
    w: &'a WorkloadEvidence,
    fault: HttpFault,
    count: &'a FaultCount,
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let failed = rest::of(e, account, fails_so);
    if let Some(frames) = of_frames(&failed) {
        return Some(frames);
    }
    let all = |w: &'_ WorkloadEvidence| -> Vec<(HttpFault, u64)> {
        let mut all: Vec<_> = w.malformed.iter().map(|(fault, seen)| (fault, seen.count)).collect();
        all.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        all
    };
    let worst_of = |rest: &rest::Rest<'_>| all(rest.w).first().map(|(fault, _)| *fault);
    let soft = || {
        let each = facts::exchanges(e)
            .flat_map(|w| w.malformed.iter().map(move |(fault, count)| Seen { w, fault, count }));
        let mut each: Vec<_> = each.filter(|seen| says_something(seen.w, seen.fault)).collect();
        each.sort_by_key(|seen| (severity_of(seen.w, seen.fault), std::cmp::Reverse(seen.count.count)));
        each
    };
    let soft = soft();
    let (severity, w, fault) = match failed.first() {
        Some(rest) => (rest::severity(&failed), rest.w, worst_of(rest)?),
        None => soft.first().map(|seen| (severity_of(seen.w, seen.fault), seen.w, seen.fault))?,
    };
    let count = w.malformed.get(fault)?;
    let mut evidence: Vec<String> =
        failed.iter().map(|rest| rest.in_figures("failed because of a malformed response")).collect();
    let shown = |w: &WorkloadEvidence| {
        failed.iter().any(|rest| rest.w.name == w.name) || soft.iter().any(|seen| seen.w.name == w.name)
    };
    for w in facts::exchanges(e).filter(|w| shown(w)) {
        evidence.extend(w.malformed.iter().map(|(fault, seen)| {
            format!(
                "{}: {} {}, the first: {}",
                w.name,
                fault.name(),
                super::text::times(seen.count),
                figures(seen)
            )
        }));
    }
    if facts::exchanges(e).any(|w| shown(w) && w.malformed.times(HttpFault::CloseIgnored) > 0) {
        evidence.push(PATIENCE.into());
    }
    let (cause, change) = match fault {
        HttpFault::Truncated if count.detail == LAST_CHUNK => (
            "the program ends the connection without the last chunk, so no client can tell whether the body is whole",
            "end a chunked body with the chunk of size 0: \"0\", CRLF, CRLF (RFC 9112, 7.1); or send a Content-Length",
        ),
        HttpFault::Truncated if count.detail == HEAD_CUT => (
            "the program closes before the whole head is sent, or send() took a part of it and the rest was never sent",
            "check what send() returns and send the rest; before close(): shutdown(s, SHUT_WR), then recv() until it \
             returns 0",
        ),
        HttpFault::Overlong if count.detail == SECOND_RESPONSE => (
            "the program answers some requests twice, for example by an error page after a complete response",
            "return from the handler after the response: a client takes a second one for the answer to its next request",
        ),
        HttpFault::BadHead if beyond_this_client(&count.detail) => (
            "the head is larger than this client reads; HTTP sets no limit, but most clients have one",
            "send fewer or shorter fields; look for one that grows, such as a cookie",
        ),
        HttpFault::BadHead if count.detail == TLS_ALERT => (
            "this is an https:// port: it answers plain HTTP with an alert",
            "use an https:// target, or add --tls; or give the port that speaks plain HTTP",
        ),
        HttpFault::Truncated if count.detail == NO_CLOSE_NOTIFY => (
            "the program closes the socket without ending TLS, so no client can tell a whole body from one that was cut off \
             (RFC 9112, 9.8)",
            "send Content-Length or chunks; end TLS before you close (mbedtls_ssl_close_notify())",
        ),
        // It does speak HTTP.
        HttpFault::BadHead if facts::ever_served(e) => (
            "the head lacks a line end or a status; or one response runs into the next",
            "look at the bytes (--pcap, then Follow TCP Stream in Wireshark)",
        ),
        fault => advice(fault),
    };
    Some(Finding {
        id: FindingId::MalformedResponse,
        severity,
        statement: rest::of_workload(e, w, statement(w, fault, count)),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}

/// `promised 1,306 bytes, sent 1,305, then FIN`.
fn figures(seen: &FaultCount) -> String {
    let promised = seen.promised_bytes.map(|n| format!("promised {} bytes, ", grouped(n)));
    let sent = seen.received_bytes.map(|n| format!("sent {}, ", grouped(n)));
    [promised, sent, Some(seen.detail.to_string())].into_iter().flatten().collect()
}

fn statement(w: &WorkloadEvidence, fault: HttpFault, seen: &FaultCount) -> String {
    let times = seen.count;
    let share = format!("{times} of {}", things(w.attempts.max(times), "response"));
    let promised = seen.promised_bytes.map(grouped);
    let sent = seen.received_bytes.map(grouped);
    match (fault, promised, sent) {
        (HttpFault::Truncated, Some(promised), Some(sent)) => {
            format!(
                "{share} ended too early: the first promised {promised} bytes and sent {sent} ({}).",
                seen.detail
            )
        }
        (HttpFault::Truncated, None, Some(sent)) if seen.detail == NO_CLOSE_NOTIFY => {
            format!("{share} may be incomplete: after {sent} bytes {}.", seen.detail)
        }
        (HttpFault::Truncated, None, Some(sent)) => {
            format!("{share} ended too early: after {sent} bytes {}.", seen.detail)
        }
        (HttpFault::Truncated, ..) => format!("{share} ended too early: {}.", seen.detail),
        (HttpFault::Overlong, Some(promised), Some(sent)) => {
            let second = if seen.detail == SECOND_RESPONSE {
                "; what follows begins as a second response"
            } else {
                ""
            };
            format!(
                "Bytes follow after the end of {share}: the first promised {promised} bytes and sent {sent}{second}."
            )
        }
        (HttpFault::Overlong, None, Some(sent)) if seen.detail == SECOND_RESPONSE => {
            format!("Bytes follow after the end of {share}: after the first {sent} bytes, a second response.")
        }
        (HttpFault::Overlong, ..) => format!("Bytes follow after the end of {share}."),
        (HttpFault::BodyNotAllowed, _, Some(sent)) => format!(
            "A body follows {share} that have none by their status, the first with {sent} bytes ({}).",
            seen.detail
        ),
        (HttpFault::BodyNotAllowed, ..) => {
            format!("A body follows {share} that have none by their status ({}).", seen.detail)
        }
        (HttpFault::BadChunk, Some(size), _) => {
            format!("{share} had a broken chunk: {} (a chunk of {size} bytes).", seen.detail)
        }
        (HttpFault::BadChunk, ..) => format!("{share} had a broken chunk: {}.", seen.detail),
        (HttpFault::BodyAfterHead | HttpFault::BodyBeforeClose, _, Some(sent)) => {
            format!("The device sends a body after HEAD: {share}, the first with {sent} bytes.")
        }
        (HttpFault::BodyAfterHead | HttpFault::BodyBeforeClose, ..) => {
            format!("The device sends a body after HEAD: {share}.")
        }
        (HttpFault::NoLength, ..) => format!("{share} don't state their length: {}.", seen.detail),
        (HttpFault::CloseIgnored, ..) => {
            format!(
                "After Connection: close, {share} had no close by the device in the time that espstress waits; the \
                 client closed instead."
            )
        }
        (HttpFault::Endless, promised, sent) => {
            let promised = promised.map_or_else(String::new, |n| format!(" of {n} promised"));
            let sent = sent.map_or_else(String::new, |n| format!(" after {n} bytes{promised}"));
            if w.failures.get(Failure::ReadTimeout) > 0 {
                let given_up = sent.replace(" after", ", the first after");
                return format!("{share} had no end: still arriving after 12 read timeouts{given_up}.");
            }
            format!("A response didn't end: it was still arriving when the time was up{sent}.")
        }
        (HttpFault::BadHead, ..) if beyond_this_client(&seen.detail) => {
            format!("{share} had a head that espstress doesn't read to its end: {}.", seen.detail)
        }
        (HttpFault::BadHead, ..) if seen.detail == TLS_ALERT => {
            format!("The port speaks TLS, and was asked in plain HTTP: {share} were a TLS alert.")
        }
        (HttpFault::BadHead, ..) => format!("{share} were not HTTP/1.1: {}.", seen.detail),
    }
}

/// Whether a head was only too long for espstress.
fn beyond_this_client(detail: &str) -> bool {
    [HEAD_TOO_LONG, TOO_MANY_FIELDS].contains(&detail)
}

/// Likely cause and what to change.
const fn advice(fault: HttpFault) -> (&'static str, &'static str) {
    match fault {
        HttpFault::Truncated => (
            "Content-Length is larger than what the program sends: send() took less than it was given, or the \
             length was computed from something else",
            "check what send() returns and send the rest; compute Content-Length from the bytes you send",
        ),
        HttpFault::Overlong => (
            "the program sends more than Content-Length says, or a second response, such as an error page \
             after a complete response",
            "compute Content-Length from the bytes you send; return from the handler after the response",
        ),
        HttpFault::BodyNotAllowed => (
            "the handler sends a body, or a Content-Length and a body, with a status that has none: 1xx, 204 and 304 end \
             with their head (RFC 9112, 6.3)",
            "send 200 with the body, or leave the body out: a client reads these bytes as its next response",
        ),
        HttpFault::BadChunk => (
            "the program writes chunks by hand: a padded or wrong size, or a missing CRLF",
            "a chunk is its size in hexadecimal without spaces, CRLF, that many bytes, CRLF (RFC 9112, 7.1); \
             or send a Content-Length",
        ),
        HttpFault::BodyAfterHead => (
            "the handler for GET, or for errors, also serves HEAD and sends its body",
            "send the same head without the body (RFC 9110, 9.3.2): a client reads these bytes as its next \
             response",
        ),
        HttpFault::BodyBeforeClose => (
            "the handler for GET, or for errors, also serves HEAD and sends its body",
            "harmless as long as each connection ends with its response; RFC 9110, 9.3.2 allows only the head",
        ),
        HttpFault::NoLength => (
            "neither Content-Length nor chunks, so only the end of the connection ends the response",
            "send Content-Length so the connection can be reused, or close it after the response",
        ),
        HttpFault::CloseIgnored => (
            "the program keeps every connection open, waits for the client to close, or closes later than espstress \
             waits",
            "close after the response when the request asks for it (RFC 9112, 9.6), so the socket is free at \
             once",
        ),
        HttpFault::Endless => (
            "an event or video stream, or a page that is sent bit by bit",
            "measure another page (--path), or an event stream with rw --protocol sse; give a large page more time \
             (--timeout-read, --duration)",
        ),
        HttpFault::BadHead => (
            "the port doesn't speak HTTP, or the head lacks a line end or a status",
            "look at the bytes (--pcap, then Follow TCP Stream in Wireshark); check the port",
        ),
    }
}
