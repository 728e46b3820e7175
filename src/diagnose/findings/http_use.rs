//! `tls_failed`, `upload_stalled`, `redirected`: what real use of HTTP meets beside bad answers.
//!
//! Evidence: the workload's own figures (`http`), by name. The first two take the failures that all other findings leave:
//! of TLS, and of bodies that the device stopped taking. A redirect is an answer and no failure, but figures of a redirect
//! are not those of the page behind it.
//!
//! Neighbours: a device that takes no body because it serves nobody any more, or whose packets show that it stopped reading
//! (`blocked_application`), a lossy link.
//!
//! Severity: as for other failures; a redirect is a warning.

use super::super::account::Account;
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::{grouped, things};
use super::{FindingEntry, rest};
use espstress_event::{Failure, StallEnd, TlsFault, UploadStall};

pub(super) const TLS: FindingEntry = FindingEntry {
    id: FindingId::TlsFailed,
    severity: Severity::Error,
    meaning: "TLS handshakes failed, or TLS broke on a connection: certificate, version, alert, time-out",
    needs: "requests over TLS",
    neighbours: "a device that serves nobody (blocked_application); a plain HTTP port",
    change: "not_trusted: give the device's certificate or its authority's with --ca. timed_out: fewer connections at \
             once, or an ECDSA key instead of RSA",
};

pub(super) const UPLOADS: FindingEntry = FindingEntry {
    id: FindingId::UploadStalled,
    severity: Severity::Error,
    meaning: "the device stopped taking request bodies until the client gave up",
    needs: "requests with a body",
    neighbours: "a device that serves nobody (blocked_application); a lossy link",
    change: "read the body in a loop until Content-Length bytes have come, or answer 413 and close",
};

pub(super) const REDIRECTS: FindingEntry = FindingEntry {
    id: FindingId::Redirected,
    severity: Severity::Warning,
    meaning: "the device redirects requests: the figures are those of the redirect, not of a page",
    needs: "at least one complete HTTP response",
    neighbours: "an error page (http_errors)",
    change: "test the page that it points to, or expect the redirect with --expect-status",
};

/// Whether a failure is that of a handshake: TLS's own, or most of those that ended in this way ended so in a handshake.
pub(super) fn tls_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    let fault = match failure {
        Failure::TlsFailed => return true,
        Failure::ReadTimeout => TlsFault::TimedOut,
        Failure::EofBeforeResponse => TlsFault::Closed,
        Failure::ReadReset => TlsFault::Reset,
        _ => return false,
    };
    handshakes(w, fault).saturating_mul(2) > w.failures.get(failure)
}

/// Handshakes that timed out.
pub(super) fn handshakes_timed_out(w: &WorkloadEvidence) -> u64 {
    handshakes(w, TlsFault::TimedOut)
}

/// Handshakes that the device cut by a RST or a FIN.
pub(super) fn handshakes_cut(w: &WorkloadEvidence) -> u64 {
    handshakes(w, TlsFault::Reset).saturating_add(handshakes(w, TlsFault::Closed))
}

/// Whether this fault says how a handshake ended, and not what was wrong with it.
const fn is_just_over(fault: TlsFault) -> bool {
    matches!(fault, TlsFault::TimedOut | TlsFault::Reset | TlsFault::Closed)
}

fn handshakes(w: &WorkloadEvidence, fault: TlsFault) -> u64 {
    w.http.tls.as_ref().and_then(|tls| tls.failures.get(&fault)).map_or(0, |seen| seen.count)
}

pub(super) fn tls(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let failed = rest::of(e, account, tls_so);
    let worst = failed.first()?;
    let figures = worst.w.http.tls.as_ref();
    let most = figures.and_then(|tls| tls.failures.iter().max_by_key(|(_, seen)| seen.count));
    // A few handshakes that just ended have no cause: as with requests that were cut off, they stay unexplained.
    if !failed.iter().any(rest::Rest::is_much) && most.is_some_and(|(fault, _)| is_just_over(*fault)) {
        return None;
    }
    let mut evidence: Vec<String> = failed.iter().map(|rest| rest.in_figures("failed in TLS")).collect();
    for rest in &failed {
        let faults = rest.w.http.tls.iter().flat_map(|tls| &tls.failures);
        evidence.extend(faults.map(|(fault, seen)| {
            let detail =
                if seen.detail.is_empty() { String::new() } else { format!(", the first: {}", seen.detail) };
            format!("{}: {} {}{detail}", rest.w.name, fault.name(), super::text::times(seen.count))
        }));
    }
    let what = most.map_or_else(
        || "no figures tell how".to_owned(),
        |(fault, seen)| {
            let detail = if seen.detail.is_empty() { String::new() } else { format!(" ({})", seen.detail) };
            format!("{}{detail}", fault.in_words())
        },
    );
    let statement = format!("{} failed in TLS: {what}.", worst.share("request"));
    let (cause, change) = tls_advice(most.map(|(fault, _)| *fault));
    Some(Finding {
        id: FindingId::TlsFailed,
        severity: rest::severity(&failed),
        statement,
        evidence,
        cause: cause.to_owned(),
        change: change.to_owned(),
    })
}

/// Cause, and what to change.
const fn tls_advice(fault: Option<TlsFault>) -> (&'static str, &'static str) {
    match fault {
        Some(TlsFault::NotTrusted) => (
            "this machine doesn't know who signed the device's certificate; most devices sign their own",
            "give the certificate of the authority that signed it with --ca FILE, or the device's own if it signed itself; a \
             certificate that an authority has signed is not enough; --insecure accepts any",
        ),
        Some(TlsFault::Expired) => (
            "the certificate's time is over or has not begun, by this machine's clock",
            "renew the certificate; --insecure tests the rest meanwhile",
        ),
        Some(TlsFault::WrongName) => (
            "the certificate doesn't name the host of the target (subjectAltName)",
            "use the certificate's name in the target, or issue it for this name or address; --insecure accepts any name",
        ),
        Some(TlsFault::BadCertificate) => (
            "the certificate has a form that this client doesn't accept",
            "check it with `openssl x509 -text`; it has to be X.509 version 3 with a subjectAltName",
        ),
        Some(TlsFault::Incompatible) => (
            "this client speaks TLS 1.2 and 1.3 with AEAD suites and ephemeral keys; the device has none of them",
            "enable ECDHE and AES-GCM or ChaCha20-Poly1305 in the device's TLS library (mbedTLS: MBEDTLS_KEY_EXCHANGE_ECDHE_*, \
             MBEDTLS_GCM_C)",
        ),
        Some(TlsFault::Alert) => (
            "the device refused the handshake or the connection, by this alert",
            "look at what the device logs at that time; internal_error often means that memory ran out",
        ),
        Some(TlsFault::NotTls) => ("the port doesn't speak TLS", "check the port, or use an http:// target"),
        Some(TlsFault::BadRecord) => (
            "the device's TLS is broken, or something on the way changes it",
            "look at the bytes (--pcap, then Wireshark)",
        ),
        Some(TlsFault::Closed | TlsFault::Reset) => (
            "the device took the connection and gave it up: often too little memory for another TLS session, or no free \
             session",
            "try fewer connections at once; a session takes tens of kilobytes of heap: see CONFIG_MBEDTLS_DYNAMIC_BUFFER \
             and CONFIG_MBEDTLS_SSL_IN_CONTENT_LEN (sdkconfig)",
        ),
        Some(TlsFault::TimedOut) => (
            "the handshake took longer than --timeout-connect: slow cryptography, a server that serves one client at a time, \
             or a program that hangs in it",
            "try one connection, an ECDSA key instead of RSA, or a longer --timeout-connect",
        ),
        None => ("not known", "look at the bytes (--pcap, then Wireshark)"),
    }
}

/// The longest stall of a workload at whose end the client gave up.
fn given_up(w: &WorkloadEvidence) -> Option<UploadStall> {
    w.http.uploads.as_ref()?.longest_stall.filter(|stall| stall.end == StallEnd::GaveUp)
}

/// Whether a failure is that of a body which the device stopped taking.
pub(super) fn stalled_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    failure == Failure::WriteTimeout && given_up(w).is_some()
}

/// The same, after the device had taken a part of it.
pub(super) fn took_some(w: &WorkloadEvidence) -> bool {
    given_up(w).is_some_and(|stall| stall.taken_bytes > 0)
}

pub(super) fn uploads(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let failed = rest::of(e, account, stalled_so);
    let worst = failed.first()?;
    let stall = given_up(worst.w)?;
    let statement = format!(
        "{} failed because the device stopped taking the body; the longest stall: {} of {} bytes taken, then none for \
         {:.1} s.",
        worst.share("upload"),
        grouped(stall.taken_bytes),
        grouped(stall.of_bytes),
        stall.length_ms as f64 / 1e3
    );
    Some(Finding {
        id: FindingId::UploadStalled,
        severity: rest::severity(&failed),
        statement,
        evidence: failed.iter().map(|rest| rest.in_figures("failed in the body")).collect(),
        cause: "the program stopped reading the body, for good or for longer than --timeout-write: its receive window \
                fills, and nothing more is taken"
            .to_owned(),
        change: "read until Content-Length bytes have come; for a body that is too long, answer 413 and close. If the \
                 program only pauses, for example to erase flash, raise --timeout-write"
            .to_owned(),
    })
}

/// Statuses that send a client elsewhere (RFC 9110, 15.4).
const SENDS_ELSEWHERE: [u16; 5] = [301, 302, 303, 307, 308];

pub(super) fn redirects(e: &Evidence<'_>) -> Option<Finding> {
    let redirected = |w: &&WorkloadEvidence| !w.asks.status_expected && w.http.redirects_in_all() > 0;
    let all: Vec<&WorkloadEvidence> = facts::exchanges(e).filter(redirected).collect();
    let w = all.iter().max_by_key(|w| w.http.redirects_in_all())?;
    let first = w.http.redirects.iter().max_by_key(|one| one.count)?;
    let whole = w.responses.iter().fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
    let places = w.http.redirects.len();
    let to = match (first.to.as_str(), first.to_itself) {
        _ if w.http.redirects_elsewhere > 0 => {
            format!("to more than {places} different places, such as {}", first.to)
        }
        _ if places > 1 => format!("to {places} different places, most often to {}", first.to),
        ("", _) => "without saying where to (no Location)".to_owned(),
        (_, true) => "to the page that was asked for: a client that follows never arrives".to_owned(),
        (to, false) => format!("to {to}"),
    };
    // An event stream's client follows some in a row.
    let all_3xx = w.responses.iter().filter(|(status, _)| SENDS_ELSEWHERE.contains(status));
    let all_3xx = all_3xx.fold(0_u64, |sum, (_, n)| sum.saturating_add(n));
    let followed = all_3xx.saturating_sub(w.http.redirects_in_all());
    let what = match followed {
        0 => "It was not followed: the figures are those of the redirect.".to_owned(),
        n => format!("{n} of them were followed, {} were not.", w.http.redirects_in_all()),
    };
    let statement = format!(
        "{} of {} got a redirect ({}) {to}. {what}",
        w.http.redirects_in_all().saturating_add(followed),
        things(whole, "request"),
        first.status
    );
    let rows = |w: &&WorkloadEvidence| {
        let name = w.name.clone();
        let rows = w.http.redirects.clone().into_iter();
        rows.map(move |one| {
            let to = if one.to.is_empty() { "no place" } else { &one.to };
            format!("{name}: {} to {to} {}", one.status, super::text::times(one.count))
        })
    };
    Some(Finding {
        id: FindingId::Redirected,
        severity: Severity::Warning,
        statement,
        evidence: all.iter().flat_map(rows).collect(),
        cause: "the page is elsewhere: a login, a setup page, https://, or a trailing slash".to_owned(),
        change: "test the page that it points to, with --path or another target; --expect-status 3xx makes the redirect the \
                 right answer"
            .to_owned(),
    })
}
