//! `unexplained_failures`: attempts failed, and no other finding and nothing that went on at the time explains them.
//!
//! Evidence: the account of failures. The statement says what happened on the wire, as far as the packets were looked
//! at, else what the client's socket saw.
//!
//! Neighbours: every other finding; it comes last and takes only what they leave.
//!
//! Threshold: more than three of a workload's attempts, and more than one in a hundred, are an error; fewer are a
//! warning. (Three in a row are what a person would no longer call chance; one in a hundred is the success rate that
//! gates usually ask for.)

use super::super::account::{Account, Accounted};
use super::super::{CutRequests, Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::FindingEntry;
use super::text::{percent, things, time};
use crate::event::Failure;

const FEW: u64 = 3;
const ONE_IN: u64 = 100;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::UnexplainedFailures,
    severity: Severity::Error,
    meaning: "attempts failed, and no other finding explains it",
    needs: "at least one failed attempt",
    neighbours: "every other finding: what one of them explains is not counted here",
    change: "look at what the device logs when it happens; keep the packets with --pcap and read one such connection",
};

/// The unexplained failures of one workload.
struct Rest<'a> {
    w: &'a WorkloadEvidence,
    attempts: u64,
    failures: Vec<(Failure, u64)>,
    first_s: f64,
    last_s: f64,
}

impl Rest<'_> {
    const fn is_much(&self) -> bool {
        self.attempts > FEW && self.attempts.saturating_mul(ONE_IN) > self.w.attempts
    }
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let mut rest: Vec<Rest<'_>> = account
        .rows
        .iter()
        .filter(|row| row.accounted == Accounted::Unexplained)
        .filter_map(|row| {
            let w = e.workloads.iter().find(|w| w.name == row.workload)?;
            let mut failures: Vec<_> = row.failures.iter().map(|(f, n)| (*f, *n)).collect();
            failures.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
            Some(Rest { w, attempts: row.attempts, failures, first_s: row.first_s, last_s: row.last_s })
        })
        .collect();
    rest.sort_by_key(|r| (!r.is_much(), std::cmp::Reverse(r.attempts)));
    let worst = rest.first()?;
    let (failure, n) = *worst.failures.first()?;
    let mut evidence = Vec::new();
    for r in &rest {
        let names: Vec<String> = r.failures.iter().map(|(f, n)| format!("{} {n}", f.name())).collect();
        evidence.push(format!(
            "{}: {} of {} ({}) failed and are not explained, from {:.1} s to {:.1} s: {}",
            r.w.name,
            r.attempts,
            things(r.w.attempts, "attempt"),
            percent(r.attempts, r.w.attempts),
            r.first_s,
            r.last_s,
            names.join(", ")
        ));
    }
    let (cause, change) = advice(failure);
    Some(Finding {
        id: FindingId::UnexplainedFailures,
        severity: if worst.is_much() { Severity::Error } else { Severity::Warning },
        statement: statement(worst.w, failure, n),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}

/// What happened, in one sentence.
fn statement(w: &WorkloadEvidence, failure: Failure, n: u64) -> String {
    let share = format!("{n} of {}", w.attempts);
    let cut = w.unserved.and_then(|unserved| match failure {
        Failure::ReadReset | Failure::WriteReset | Failure::ConnectReset => Some((unserved.reset, "reset")),
        Failure::EofBeforeResponse => Some((unserved.closed, "closed")),
        _ => None,
    });
    if let Some((cut, how)) = cut
        && let Some(when) = when(&cut, n)
    {
        return format!("{share} connections were {how} by the device {when}.");
    }
    if failure == Failure::BadStatus {
        let codes: Vec<String> =
            w.responses.iter().filter(|(c, _)| *c >= 500).map(|(c, _)| c.to_string()).collect();
        return format!("{share} requests were answered with status {}.", codes.join(", "));
    }
    let what = match failure {
        Failure::ConnectTimeout => "connections were not accepted in time: no SYN-ACK came",
        Failure::ConnectRefused => "connections were refused: a RST answered the SYN",
        Failure::ConnectReset => "connections were reset before the request was sent",
        Failure::ConnectUnreachable => {
            "connections failed: the network said that there is no way to the device"
        }
        Failure::WriteTimeout => "requests could not be sent in time: the device did not take them",
        Failure::WriteReset => "connections were reset while the request was being sent",
        Failure::ReadTimeout => "requests got no complete answer in time",
        Failure::ReadReset => {
            "connections were reset instead of being answered, or in the middle of the answer"
        }
        Failure::EofBeforeResponse => "connections were closed by the device before any byte of a response",
        Failure::TruncatedResponse => "responses ended in the middle: the device closed the connection",
        Failure::BadResponse => "responses were not what the protocol allows",
        Failure::BadStatus => "responses had a status that says that the server failed (5xx)",
        Failure::CorruptPayload => "responses carried the wrong payload",
        Failure::HostOutOfPorts | Failure::HostOutOfFiles | Failure::HostOther => {
            "attempts failed on this machine"
        }
    };
    format!("{share} {what}.")
}

/// How far the requests had come, where the packets show it for most of them.
fn when(cut: &CutRequests, n: u64) -> Option<String> {
    let most = |part: u64| part > 0 && part.saturating_mul(2) >= n;
    if most(cut.acknowledged) {
        let (least, most) = (cut.least_ns?, cut.most_ns?);
        let span =
            if time(least) == time(most) { time(most) } else { format!("{} to {}", time(least), time(most)) };
        return Some(format!("{span} after it acknowledged the request, before any byte of a response"));
    }
    if most(cut.unacknowledged) {
        return Some("before it acknowledged the request".into());
    }
    most(cut.not_sent).then(|| "before the request was sent".into())
}

/// Likely cause and what to change.
const fn advice(failure: Failure) -> (&'static str, &'static str) {
    match failure {
        Failure::ReadReset | Failure::WriteReset | Failure::ConnectReset => (
            "the program closes the socket with the request unread, or the stack has no socket for the connection",
            "read the request before closing; check what accept() and recv() return, and log errno on the device",
        ),
        Failure::EofBeforeResponse => (
            "the program closes the connection without an answer: an error path, a missing handler, or no free session",
            "log why the program closes; answer with an error status instead (for example 503) before close()",
        ),
        Failure::TruncatedResponse => (
            "the program ends before it has sent all that it promised: send() took less than it was given, or failed",
            "check what send() returns and send the rest; compare Content-Length with what is sent",
        ),
        Failure::BadResponse | Failure::CorruptPayload => (
            "the port speaks another protocol, or the program writes its answer wrongly",
            "look at the bytes (--pcap, then Follow TCP Stream in Wireshark); check the port",
        ),
        Failure::BadStatus => (
            "the server's handler failed, or it has no room for the request",
            "look at what the device logs for this path; try another with --path",
        ),
        Failure::ConnectRefused => (
            "nothing listens at that port at that time",
            "check that the server keeps running, and what bind(), listen() and accept() return",
        ),
        _ => (
            "not known: the rules of espstress have no name for it",
            "look at what the device logs at these times; keep the packets with --pcap and read one such connection",
        ),
    }
}
