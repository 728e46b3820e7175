//! `http_errors`: the device answers, and the answer's status says that something is wrong.
//!
//! Evidence: status codes of complete responses. 5xx (RFC 9110, 15.6), or a status other than the one that was asked for,
//! is a failure. A first answer of 4xx (RFC 9110, 15.5) says that the request was not one for this device: no failure,
//! and the figures of the run are those of its error page.
//!
//! Neighbours: everything that leaves requests without a whole response. A status that only some requests get under load
//! is one as well: esp_http_server has none for want of sessions, but many programs answer 503.
//!
//! Severity: an error where it meets more than three requests and more than one in a hundred; else, and for a 4xx, a
//! warning.

use super::super::account::Account;
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Protocol, Severity, WorkloadEvidence, WorkloadKind};
use super::{FindingEntry, rest};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HttpErrors,
    severity: Severity::Error,
    meaning: "responses with an error status: 5xx (the server failed) or 4xx (not found, not allowed)",
    needs: "at least one complete HTTP response",
    neighbours: "requests without a response; malformed responses",
    change: "5xx: check what the device logs for this path. 4xx: test a page your users request, with --path \
             and --method GET",
};

/// A workload whose first answer was a 4xx, as most of its answers were, and that was not told to expect it.
fn refused(w: &WorkloadEvidence) -> Option<u16> {
    let status = w.first_status.filter(|status| (400..500).contains(status))?;
    let all = w.responses.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
    let most = w.responses.get(status).saturating_mul(2) > all;
    (most && w.failures.get(Failure::BadStatus) == 0 && !w.asks.status_expected).then_some(status)
}

/// The most frequent 4xx of a workload that got another status as well, and how often it came.
fn some_refused(w: &WorkloadEvidence) -> Option<(&WorkloadEvidence, u16, u64)> {
    let others = w.responses.iter().any(|(status, n)| status < 400 && n > 0);
    let refusals = w.responses.iter().filter(|(status, n)| (400..500).contains(status) && *n > 0);
    let (status, n) = refusals.max_by_key(|(_, n)| *n)?;
    let counts = others && w.failures.get(Failure::BadStatus) == 0 && !w.asks.status_expected;
    counts.then_some((w, status, n))
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let failed = rest::of(e, account, |_, failure| failure == Failure::BadStatus);
    let refused: Vec<(&WorkloadEvidence, u16)> =
        facts::exchanges(e).filter_map(|w| Some((w, refused(w)?))).collect();
    let some: Vec<_> = facts::exchanges(e).filter_map(some_refused).collect();
    let mut evidence: Vec<String> =
        failed.iter().map(|rest| rest.in_figures("failed by their status")).collect();
    let answered = failed.iter().map(|rest| rest.w).chain(refused.iter().map(|(w, _)| *w));
    let told = answered.filter(|w| w.responses.iter().next().is_some());
    evidence.extend(told.map(|w| format!("{}: responses {}", w.name, codes(w, |_| true).join(", "))));
    let (severity, statement, cause, change) = if let Some(worst) = failed.first() {
        let (wrong, counted) = wrong(worst.w);
        if worst.w.asks.protocol == Protocol::WebSocket {
            return Some(Finding {
                id: FindingId::HttpErrors,
                severity: rest::severity(&failed),
                statement: format!(
                    "The device refused {} the WebSocket handshake{}.",
                    worst.share("attempt"),
                    listed(&codes(worst.w, |code| code != 101))
                ),
                evidence,
                cause: "no WebSocket service at that path, or it has no room or asks for authentication"
                    .into(),
                change: "check --path and the port; 101 is the only status that opens a WebSocket".into(),
            });
        }
        let what = match worst.w.asks.protocol {
            Protocol::Sse => "another status than 200, which opens an event stream",
            _ if wrong >= 400 => "an error status",
            _ if worst.w.asks.status_expected => "another status than --expect-status lists",
            _ if wrong == 101 => "an answer in another protocol, which none of them asked for",
            _ => "a status that fails a request",
        };
        let statement = format!(
            "{} got {what}, from {:.1} s to {:.1} s{}.",
            worst.share("request"),
            worst.first_s,
            worst.last_s,
            listed(&counted)
        );
        let (cause, change) = wrong_advice(worst.w, wrong);
        (rest::severity(&failed), statement, cause.to_owned(), change)
    } else if let (None, Some((w, status, n))) = (refused.first(), some.first().copied()) {
        let all = w.responses.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
        let (cause, change) = match status {
            401 => (
                "the login expires, or is refused now and then",
                "look at how long a login lasts; test with the user and password that users have",
            ),
            429 => {
                ("the device limits how often it may be asked", "ask less often (--rate), or raise the limit")
            }
            _ => ("the device refuses some of the same requests", "look at what it logs for these"),
        };
        let name = name_of(status).map_or_else(String::new, |name| format!(" ({name})"));
        let statement = format!(
            "{n} of {} had the status {status}{name}, and others had not. They count as responses.",
            super::text::things(all, "response")
        );
        evidence.push(format!("{}: responses {}", w.name, codes(w, |_| true).join(", ")));
        (Severity::Warning, statement, cause.to_owned(), change.to_owned())
    } else {
        let (w, status) = *refused.first()?;
        let (cause, change) = advice(e, w, status);
        let statement = format!(
            "The device answers {} with {status}{}{}: this run measured its error page.",
            w.asks
                .method
                .as_deref()
                .map_or_else(|| "requests".to_owned(), |method| format!("{method} requests")),
            name_of(status).map_or_else(String::new, |name| format!(" ({name})")),
            if status == 401 { login(w) } else { "" }
        );
        (Severity::Warning, statement, cause, change)
    };
    Some(Finding { id: FindingId::HttpErrors, severity, statement, evidence, cause, change })
}

/// `: 503 (20 times)`, or nothing where no code is known.
fn listed(codes: &[String]) -> String {
    if codes.is_empty() { String::new() } else { format!(": {}", codes.join(", ")) }
}

/// The most frequent code that failed a workload's requests, and each of them in figures; 0 and none where they are not
/// known. Reports of older programs don't tell them apart: there all codes are named where all of them failed.
fn wrong(w: &WorkloadEvidence) -> (u16, Vec<String>) {
    let mut all: Vec<(u16, u64)> = w.http.wrong_statuses.iter().map(|(code, n)| (*code, *n)).collect();
    if all.is_empty() {
        all = w.responses.iter().filter(|(code, _)| *code >= 500).collect();
    }
    if all.is_empty() {
        let answers = w.responses.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
        let all_failed = answers == w.failures.get(Failure::BadStatus);
        all = w.responses.iter().filter(|_| all_failed).collect();
    }
    let most = all.iter().max_by_key(|(_, n)| *n).map_or(0, |(code, _)| *code);
    (most, all.iter().map(|(code, n)| format!("{code} ({})", super::text::times(*n))).collect())
}

/// Cause, and what to change, of a status that fails a request.
fn wrong_advice(w: &WorkloadEvidence, status: u16) -> (&'static str, String) {
    let is_stream = w.asks.protocol == Protocol::Sse;
    // An event stream opens with 200 alone, and `half-open` asks its own question.
    let takes_codes = !is_stream && matches!(w.kind, WorkloadKind::Head | WorkloadKind::Rw);
    let (cause, change) = match status {
        0 => (
            "the status of these answers failed the requests; which ones they were isn't known",
            "check what the device answers at this path (--path), for example in a capture (--pcap)",
        ),
        _ if !takes_codes && !is_stream => return half_open_advice(status),
        101 if !w.asks.status_expected => (
            "the device changes to another protocol, and the request has no header Upgrade (RFC 9110, 15.2.2)",
            "check what answers at this path (--path)",
        ),
        100..200 => (
            "the answer is no final one, or changes to another protocol",
            "check what answers at this path (--path)",
        ),
        204 if is_stream => (
            "the device has no stream for this client: 204 tells it not to connect again (WHATWG HTML, 9.2)",
            "check --path, and why the program ends the subscription",
        ),
        200..300 if is_stream => {
            ("the request succeeded, but only 200 opens an event stream (WHATWG HTML, 9.2)", "check --path")
        }
        200..300 => (
            "the request succeeded, and --expect-status asks for another code",
            "add the code to --expect-status, or test the page that answers as you expect (--path)",
        ),
        300..400 => (
            "the page is elsewhere, or hasn't changed (304): no error of the device's, but not the answer that was asked for",
            if is_stream {
                "test the page that it leads to (--path)"
            } else {
                "test the page that it leads to (--path), or add the code to --expect-status"
            },
        ),
        429 => (
            "the program limits how often it may be asked (429, Too Many Requests)",
            "ask less often (--rate, --interval), or raise the limit",
        ),
        400..=499 => (
            "the program refuses these requests, as the status says",
            if is_stream {
                "check --path and what the request holds"
            } else {
                "check --path, --method and what the request holds"
            },
        ),
        501 => (
            "the program doesn't know this method (501, Not Implemented)",
            if is_stream {
                "add a handler for it: an event stream is asked for by GET"
            } else {
                "add a handler for it, or test another one with --method"
            },
        ),
        _ => (
            "the handler failed, or the program had no memory or session for the request",
            "check what the device logs for this path at these times: 500 usually means that a handler returned an error, \
             503 that memory or sessions ran out",
        ),
    };
    let codes =
        if takes_codes && status >= 400 { "; --expect-status sets which codes are right" } else { "" };
    (cause, format!("{change}{codes}"))
}

/// The same for the client beside silent connections, which only 503 and 429 fail.
fn half_open_advice(status: u16) -> (&'static str, String) {
    let (cause, change) = match status {
        429 => (
            "the program limits how often it may be asked (429, Too Many Requests)",
            "raise the limit, or ask less often (--client-interval)",
        ),
        _ => (
            "the program had no memory or session for the request",
            "check what the device logs at these times: 503 usually means that memory or sessions ran out",
        ),
    };
    (cause, change.to_owned())
}

/// `503 (20 times)` for each code that `wants`.
fn codes(w: &WorkloadEvidence, wants: impl Fn(u16) -> bool) -> Vec<String> {
    let counted = w.responses.iter().filter(|(code, _)| wants(*code));
    counted.map(|(code, n)| format!("{code} ({})", super::text::times(n))).collect()
}

/// What a 401 asks for.
fn login(w: &WorkloadEvidence) -> &'static str {
    match &w.http.login {
        Some(login) if login.sent => " and doesn't accept the user name and password",
        _ => " and asks for a user name and a password",
    }
}

/// Cause, and what to change, of a 401.
fn login_advice(w: &WorkloadEvidence) -> (String, String) {
    let login = w.http.login.as_ref();
    let scheme = login.and_then(|login| login.scheme.as_deref());
    let other = scheme.filter(|scheme| !scheme.eq_ignore_ascii_case("basic"));
    let cause = match (other, login.is_some_and(|login| login.sent)) {
        (Some(scheme), _) => format!("the page requires a login by the scheme {scheme}"),
        (None, true) => "the user name or the password is wrong".to_owned(),
        (None, false) => "the page requires a login".to_owned(),
    };
    let change = match (other, login.is_some_and(|login| login.sent)) {
        (Some(scheme), _) => format!(
            "espstress logs in by Basic only: allow Basic besides {scheme}, add a valid --header 'Authorization: ...', or \
             test a page without a login (--path)"
        ),
        (None, true) => {
            "check --user and the password; --password-file takes the file's first line".to_owned()
        }
        (None, false) => {
            "add --user NAME and --password-file FILE, or test a page without a login (--path)".to_owned()
        }
    };
    (cause, change)
}

/// What the usual ones are called (RFC 9110, 15.5).
const fn name_of(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        _ => return None,
    })
}

/// Cause, and what to change.
fn advice(e: &Evidence<'_>, w: &WorkloadEvidence, status: u16) -> (String, String) {
    let head = w.asks.head();
    let get_works = facts::exchanges(e)
        .any(|other| other.asks.get() && other.first_status.is_some_and(|status| status < 400));
    match status {
        401 => login_advice(w),
        413 => (
            "the body is longer than the device accepts".into(),
            "send a smaller --body, or raise the device's limit".into(),
        ),
        417 => (
            "the device doesn't know 100-continue".into(),
            "leave --expect-continue out; clients that get 417 have to repeat the request without it (RFC 9110, 10.1.1)"
                .into(),
        ),
        400 if w.http.tls.is_some() => (
            "the device refuses the request; over TLS, servers that want a certificate of the client answer so as well"
                .into(),
            "espstress has no client certificate: allow clients without one, or check the request (--path, --header)"
                .into(),
        ),
        400 => (
            "the device can't read the request, or refuses it as malformed".into(),
            "check --header, --path and --method; it may want something that the request lacks".into(),
        ),
        403 => (
            "the page requires a login".into(),
            "send credentials with --header 'Authorization: ...', or test a page without a login (--path)".into(),
        ),
        _ if head && get_works => (
            "the program has no handler for HEAD; it answers GET".into(),
            "browsers don't notice; RFC 9110, 9.1 requires HEAD wherever there is GET. Test with --method GET".into(),
        ),
        404 | 405 | 501 if head => (
            "the program has no handler for HEAD, or no page at this path".into(),
            "test with --method GET, or with --path and a page that exists; RFC 9110, 9.1 requires HEAD \
             wherever there is GET"
                .into(),
        ),
        _ => (
            "the device has no such page, or doesn't allow this request".into(),
            "test a page that exists, with --path (and --method)".into(),
        ),
    }
}
