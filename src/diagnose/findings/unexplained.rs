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

use super::super::account::Account;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::{FindingEntry, rest};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::UnexplainedFailures,
    severity: Severity::Error,
    meaning: "attempts failed, and no other finding explains it",
    needs: "at least one failed attempt",
    neighbours: "every other finding: what one of them explains is not counted here",
    change: "look at what the device logs when it happens; keep the packets with --pcap and read one such connection",
};

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, |_, _| true);
    let worst = all.first()?;
    let (failure, n) = *worst.failures.first()?;
    let (cause, change) = advice(failure);
    Some(Finding {
        id: FindingId::UnexplainedFailures,
        severity: rest::severity(&all),
        statement: statement(worst.w, failure, n),
        evidence: all.iter().map(|rest| rest.in_figures("failed and are not explained")).collect(),
        cause: cause.into(),
        change: change.into(),
    })
}

/// What happened, in one sentence.
fn statement(w: &WorkloadEvidence, failure: Failure, n: u64) -> String {
    let share = format!("{n} of {}", w.attempts);
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

/// Likely cause and what to change.
const fn advice(failure: Failure) -> (&'static str, &'static str) {
    match failure {
        Failure::TruncatedResponse => (
            "the program ends before it has sent all that it promised: send() took less than it was given, or failed",
            "check what send() returns and send the rest; compare Content-Length with what is sent",
        ),
        Failure::BadResponse | Failure::CorruptPayload => (
            "the port speaks another protocol, or the program writes its answer wrongly",
            "look at the bytes (--pcap, then Follow TCP Stream in Wireshark); check the port",
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
