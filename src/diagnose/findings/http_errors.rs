//! `http_errors`: the device answers, and the answer's status says that something is wrong.
//!
//! Evidence: status codes of complete responses. 5xx (RFC 9110, 15.6), or a status other than the one that was asked for,
//! is a failure. A 4xx (RFC 9110, 15.5) is an answer and no failure. Where a page is served to nobody, the request was not one
//! for this device, and the figures are those of its error page; where it is served to some, the device refuses the others.
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

/// The 4xx of a workload that failed none of its requests and that nobody told it to expect, and how often each came.
fn refusals(w: &WorkloadEvidence) -> Vec<(u16, u64)> {
    let wrong = &w.http.wrong_statuses;
    // Reports of older programs don't tell which statuses failed requests.
    if w.asks.status_expected || (w.failures.get(Failure::BadStatus) > 0 && wrong.is_empty()) {
        return Vec::new();
    }
    let none_failed =
        |(status, n): (u16, u64)| (status, n.saturating_sub(wrong.get(&status).copied().unwrap_or(0)));
    let all = w.responses.iter().filter(|(status, _)| (400..500).contains(status));
    all.map(none_failed).filter(|(_, n)| *n > 0).collect()
}

/// Whether a workload got an answer that is no error.
fn served(w: &WorkloadEvidence) -> bool {
    w.responses.iter().any(|(status, n)| status < 400 && n > 0)
}

/// Whether another workload was served that asked for the same page in the same way. HEAD promises what GET gives (RFC 9110,
/// 9.3.2); of a request with a body nobody knows here whether the other one had the same.
fn served_to_others(e: &Evidence<'_>, w: &WorkloadEvidence, status: u16) -> bool {
    let alike = |other: &WorkloadEvidence| {
        let same_method = other.asks.method == w.asks.method && (w.asks.head() || w.asks.get());
        let promised = other.asks.head() && w.asks.get() && !matches!(status, 405 | 501);
        same_method || promised
    };
    facts::exchanges(e).any(|other| other.asks.same_page(&w.asks) && alike(other) && served(other))
}

fn responses(w: &WorkloadEvidence) -> u64 {
    w.responses.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(n))
}

/// The 4xx that a workload got instead of its page, where that page was served to nobody: what it measured is an error page.
fn error_page(e: &Evidence<'_>, w: &WorkloadEvidence) -> Option<u16> {
    let (status, n) = refusals(w).into_iter().max_by_key(|(_, n)| *n)?;
    let most = n.saturating_mul(2) > responses(w);
    (most && !served(w) && !served_to_others(e, w, status)).then_some(status)
}

/// What is said of some of the answers.
struct Part {
    severity: Severity,
    /// How many they are.
    answers: u64,
    statement: String,
    cause: String,
    change: String,
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let failed = rest::of(e, account, |_, failure| failure == Failure::BadStatus);
    let pages: Vec<(&WorkloadEvidence, u16)> =
        facts::exchanges(e).filter_map(|w| Some((w, error_page(e, w)?))).collect();
    let is_page = |w: &WorkloadEvidence| pages.iter().any(|(page, _)| page.name == w.name);
    let others: Vec<&WorkloadEvidence> = facts::exchanges(e).filter(|w| !is_page(w)).collect();
    let page = pages.first().map(|(w, status)| of_page(e, w, *status));
    let mut parts: Vec<Part> = [of_failed(&failed), page, of_some(&others)].into_iter().flatten().collect();
    parts.sort_by_key(|part| (part.severity, std::cmp::Reverse(part.answers)));
    let mut evidence: Vec<String> =
        failed.iter().map(|rest| rest.in_figures("failed by their status")).collect();
    let told =
        |w: &&WorkloadEvidence| failed.iter().any(|rest| rest.w.name == w.name) || !refusals(w).is_empty();
    let told = e.workloads.iter().filter(told).filter(|w| responses(w) > 0);
    evidence.extend(told.map(|w| format!("{}: responses {}", w.name, codes(w, |_| true).join(", "))));
    let statements: Vec<String> = parts.iter().map(|part| part.statement.clone()).collect();
    let Part { severity, cause, change, .. } = parts.into_iter().next()?;
    Some(Finding {
        id: FindingId::HttpErrors,
        severity,
        statement: statements.join(" "),
        evidence,
        cause,
        change,
    })
}

/// Requests that failed by their status.
fn of_failed(failed: &[rest::Rest<'_>]) -> Option<Part> {
    let worst = failed.first()?;
    let (severity, answers) = (rest::severity(failed), worst.attempts);
    let (wrong, codes) = wrong(worst.w);
    let all = codes.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
    let which = listed(&counted(&codes, answers));
    if worst.w.asks.protocol == Protocol::WebSocket {
        let refused: Vec<_> = worst.w.responses.iter().filter(|(code, _)| *code != 101).collect();
        return Some(Part {
            severity,
            answers,
            statement: format!(
                "The device refused {} the WebSocket handshake{}.",
                worst.share("attempt"),
                listed(&counted(&refused, answers))
            ),
            cause: "no WebSocket service at that path, or it has no room or asks for authentication".into(),
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
        "{} got {what}{}, from {:.1} s to {:.1} s{which}.",
        worst.share("request"),
        if all > answers { " that nothing else explains" } else { "" },
        worst.first_s,
        worst.last_s
    );
    let (cause, change) = wrong_advice(worst.w, wrong);
    Some(Part { severity, answers, statement, cause: cause.to_owned(), change })
}

/// A workload that got an error page and nothing else.
fn of_page(e: &Evidence<'_>, w: &WorkloadEvidence, status: u16) -> Part {
    let (cause, change) = advice(e, w, status);
    let asked =
        w.asks.method.as_deref().map_or_else(|| "requests".to_owned(), |method| format!("{method} requests"));
    let statement = format!(
        "The device answers {asked} with {status}{}{}: this run measured its {}.",
        named(status),
        if status == 401 { login(w) } else { "" },
        if status == LIMITED { "refusals" } else { "error page" }
    );
    Part { severity: Severity::Warning, answers: responses(w), statement, cause, change }
}

/// Answers of 4xx to some of the requests of these workloads.
fn of_some(all: &[&WorkloadEvidence]) -> Option<Part> {
    let mut counts = std::collections::BTreeMap::<u16, u64>::new();
    for (status, n) in all.iter().flat_map(|w| refusals(w)) {
        let count = counts.entry(status).or_default();
        *count = count.saturating_add(n);
    }
    let (status, n) = counts.iter().max_by_key(|(_, n)| **n).map(|(status, n)| (*status, *n))?;
    let whole = all.iter().fold(0_u64, |sum, w| sum.saturating_add(responses(w)));
    let (cause, change) = match status {
        401 => (
            "the login expires, or is refused now and then",
            "look at how long a login lasts; test with the user and password that users have",
        ),
        LIMITED => RATE_LIMIT,
        _ => ("the device refuses some of the same requests", "look at what it logs for these"),
    };
    let rest: Vec<String> = counts
        .iter()
        .filter(|(other, _)| **other != status)
        .map(|(other, n)| format!("{other} ({})", super::text::times(*n)))
        .collect();
    let rest = if rest.is_empty() { String::new() } else { format!(" Other refusals: {}.", rest.join(", ")) };
    let statement = format!(
        "{n} of {} had the status {status}{}, and others had not. They count as responses.{rest}",
        super::text::things(whole, "response"),
        named(status)
    );
    Some(Part {
        severity: Severity::Warning,
        answers: n,
        statement,
        cause: cause.to_owned(),
        change: change.to_owned(),
    })
}

/// Too Many Requests (RFC 6585, 4): a word about the client's haste, and none about the page.
const LIMITED: u16 = 429;

/// Its cause, and what to change.
const RATE_LIMIT: (&str, &str) = (
    "the device limits how often it may be asked",
    "ask less often (--rate, --interval), or raise the limit",
);

/// ` (Not Found)`, or nothing.
fn named(status: u16) -> String {
    name_of(status).map_or_else(String::new, |name| format!(" ({name})"))
}

/// `: 503 (20 times)`, or nothing where no code is known.
fn listed(codes: &[String]) -> String {
    if codes.is_empty() { String::new() } else { format!(": {}", codes.join(", ")) }
}

/// Each code with how often it came, of so many answers. Where there were more, these are some of them, and of which codes nobody
/// knows, unless there is a single one.
fn counted(codes: &[(u16, u64)], answers: u64) -> Vec<String> {
    let all = codes.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(*n));
    let one = codes.len() == 1;
    let figure = |code: u16, n: u64| match all > answers {
        true if !one => code.to_string(),
        _ => format!("{code} ({})", super::text::times(n.min(answers))),
    };
    codes.iter().map(|(code, n)| figure(*code, *n)).collect()
}

/// The most frequent code that failed a workload's requests, and each of them with its count; 0 and none where they are not
/// known. Reports of older programs don't tell them apart: there all codes are named where all of them failed.
fn wrong(w: &WorkloadEvidence) -> (u16, Vec<(u16, u64)>) {
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
    (most, all)
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

/// What the usual ones are called (RFC 9110, 15.5; RFC 6585, 4).
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
        LIMITED => "Too Many Requests",
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
        LIMITED => (RATE_LIMIT.0.into(), RATE_LIMIT.1.into()),
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
