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
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::things;
use super::{FindingEntry, rest, signs};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::HttpErrors,
    severity: Severity::Error,
    meaning: "requests were answered with a status that says that the server failed (5xx), or that it does not know \
              or allow what is asked for (4xx)",
    needs: "at least one complete HTTP response",
    neighbours: "requests without a response; responses that are broken",
    change: "5xx: look at what the device logs for this path. 4xx: test what your users ask for, with --path and \
             --method GET",
};

/// A workload whose first answer was a 4xx, as most of its answers were, and that was not told to expect it.
fn refused(w: &WorkloadEvidence) -> Option<u16> {
    let status = w.first_status.filter(|status| (400..500).contains(status))?;
    let all = w.responses.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
    let most = w.responses.get(status).saturating_mul(2) > all;
    (most && w.failures.get(Failure::BadStatus) == 0 && !w.asks.status_expected).then_some(status)
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let failed = rest::of(e, account, |_, failure| failure == Failure::BadStatus);
    let refused: Vec<(&WorkloadEvidence, u16)> =
        signs::exchanges(e).filter_map(|w| Some((w, refused(w)?))).collect();
    let mut evidence: Vec<String> =
        failed.iter().map(|rest| rest.in_figures("failed by their status")).collect();
    let answered = failed.iter().map(|rest| rest.w).chain(refused.iter().map(|(w, _)| *w));
    evidence.extend(answered.map(|w| format!("{}: responses {}", w.name, codes(w, |_| true).join(", "))));
    let (severity, statement, cause, change) = if let Some(worst) = failed.first() {
        let fives = codes(worst.w, |code| code >= 500);
        let counted = if fives.is_empty() { codes(worst.w, |_| true) } else { fives };
        let statement = format!(
            "{} of {} were answered with a status that says that they failed, from {:.1} s to {:.1} s: {}.",
            worst.attempts,
            things(worst.w.attempts, "request"),
            worst.first_s,
            worst.last_s,
            counted.join(", ")
        );
        let cause = "the handler failed, or the program had no room for the request";
        let change = "look at what the device logs for this path at these times: 500 is mostly a handler that returned \
                      an error, 503 a want of memory or sessions; --expect-status says which codes are right";
        (rest::severity(&failed), statement, cause.to_owned(), change.to_owned())
    } else {
        let (w, status) = *refused.first()?;
        let (cause, change) = advice(e, w, status);
        let statement = format!(
            "The device answers {} with {status}{}: the figures are those of its error page.",
            w.asks
                .method
                .as_deref()
                .map_or_else(|| "requests".to_owned(), |method| format!("{method} requests")),
            name_of(status).map_or_else(String::new, |name| format!(" ({name})"))
        );
        (Severity::Warning, statement, cause, change)
    };
    Some(Finding { id: FindingId::HttpErrors, severity, statement, evidence, cause, change })
}

/// `503 (20 times)` for each code that `wants`.
fn codes(w: &WorkloadEvidence, wants: impl Fn(u16) -> bool) -> Vec<String> {
    let counted = w.responses.iter().filter(|(code, _)| wants(*code));
    counted.map(|(code, n)| format!("{code} ({})", super::text::times(n))).collect()
}

/// What the usual ones are called (RFC 9110, 15.5).
const fn name_of(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => return None,
    })
}

/// Cause, and what to change.
fn advice(e: &Evidence<'_>, w: &WorkloadEvidence, status: u16) -> (String, String) {
    let head = w.asks.head();
    let get_works = signs::exchanges(e)
        .any(|other| other.asks.get() && other.first_status.is_some_and(|status| status < 400));
    match status {
        401 | 403 => (
            "the page wants a login".into(),
            "send what it asks for with --header 'Authorization: ...', or test a page without a login (--path)".into(),
        ),
        _ if head && get_works => (
            "the program has no handler for HEAD; GET is answered".into(),
            "nothing that browsers notice; RFC 9110, 9.1 wants HEAD wherever there is GET. Test with --method GET".into(),
        ),
        404 | 405 | 501 if head => (
            "the program has no handler for HEAD, or no page at this path".into(),
            "test with --method GET, or with --path and a page that the device has; RFC 9110, 9.1 wants HEAD wherever \
             there is GET"
                .into(),
        ),
        _ => (
            "the device has no such page, or does not allow this request".into(),
            "test a page that the device has, with --path (and --method)".into(),
        ),
    }
}
