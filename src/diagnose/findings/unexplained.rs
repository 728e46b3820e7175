//! `unexplained_failures`: attempts failed, or connections showed anomalies of the device, and no other finding and nothing
//! that went on at the time explains them.
//!
//! Evidence: the account of failures. The statement says what happened on the wire, as far as the packets were looked
//! at, else what the client's socket saw.
//!
//! Neighbours: every other finding; it comes last and takes only what they leave.
//!
//! Threshold: more than three of a workload's attempts, and more than one in a hundred, are an error; fewer are a
//! warning, but for a wrong payload, which no link makes of a right one over TCP. Anomalies without failures are a warning from there on, and below it they are in the account alone. (Three in a row are what a person would no longer call chance; one in a hundred is the success rate that
//! gates usually ask for.)

use super::super::account::{Account, Accounted};
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Protocol, Severity, WorkloadEvidence};
use super::text::things;
use super::{FindingEntry, abortive_close, rest};
use espstress_event::{AnomalyId, Failure, WorkloadKind};

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::UnexplainedFailures,
    severity: Severity::Error,
    meaning: "attempts failed, or the packets show anomalies of the device, and no other finding explains them",
    needs: "at least one failed attempt; a capture for anomalies",
    neighbours: "every other finding: failures that one of them explains don't count here",
    change: "check what the device logs when it happens; keep the packets with --pcap and read one such \
             connection",
};

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, |_, _| true);
    let anomalies = anomalies(e, account);
    let Some(worst) = all.first() else { return of_anomalies(e, &anomalies) };
    let (failure, n) = *worst.failures.first()?;
    let failed = all.iter().map(|rest| rest.in_figures("failed and are not explained"));
    let (cause, change) = match failure {
        Failure::ConnectRefused if abortive_close::before_refusals(e) => (
            "the program ended and left connections behind, which its system reset; nothing listened until it was back".into(),
            "look at what ended it; the device itself was there all the while if probes were answered",
        ),
        failure => match advice(worst.w, failure) {
            Some((cause, change)) => (cause.into(), change),
            None => (unknown(worst), READ_ONE),
        },
    };
    Some(Finding {
        id: FindingId::UnexplainedFailures,
        severity: rest::severity(&all),
        statement: rest::of_workload(e, worst.w, statement(worst.w, failure, n)),
        evidence: failed
            .chain(all.iter().filter_map(|rest| websocket_ends(rest.w)))
            .chain(anomalies.iter().map(Odd::in_figures))
            .collect(),
        cause,
        change: change.into(),
    })
}

/// What is known of a cause that no finding names: there are too few failures for the rules, or none of the rules fits.
fn unknown(rest: &rest::Rest<'_>) -> String {
    if rest.is_much() {
        return NO_RULE.into();
    }
    format!(
        "unknown: {} of {} are too few to name a cause; that takes more than {}, and more than 1 in {}",
        rest.attempts,
        things(rest.w.attempts, "attempt"),
        rest::FEW,
        rest::ONE_IN
    )
}

/// How the device ended a workload's WebSockets.
fn websocket_ends(w: &WorkloadEvidence) -> Option<String> {
    let ws = w.by_protocol.as_ref()?.websocket.as_ref().filter(|ws| ws.handshakes > 0)?;
    let closes: Vec<String> = ws.closes.iter().map(|(code, n)| format!("{code} {n}")).collect();
    let closes = if closes.is_empty() { "none".to_owned() } else { closes.join(", ") };
    Some(format!(
        "{}: {} completed; connections that the device closed, by close code: {closes}",
        w.name,
        things(ws.handshakes, "WebSocket handshake")
    ))
}

/// Connections of a workload with an anomaly that nothing explains, too many to be chance.
struct Odd<'a> {
    w: &'a WorkloadEvidence,
    id: AnomalyId,
    connections: u64,
    first_s: f64,
    last_s: f64,
}

impl Odd<'_> {
    fn in_figures(&self) -> String {
        format!(
            "{}: {} on {} of {}, from {:.1} s to {:.1} s, not explained",
            self.w.name,
            self.id.name(),
            self.connections,
            things(self.w.attempts, "attempt"),
            self.first_s,
            self.last_s
        )
    }
}

/// The most frequent first.
fn anomalies<'a>(e: &'a Evidence<'_>, account: &Account) -> Vec<Odd<'a>> {
    let mut all = Vec::new();
    for row in account.rows.iter().filter(|row| row.accounted == Accounted::Unexplained) {
        let Some(w) = e.workloads.iter().find(|w| w.name == row.workload) else { continue };
        let much = row.anomalies.iter().filter(|(_, n)| rest::is_much(**n, w.attempts));
        all.extend(much.map(|(id, n)| Odd {
            w,
            id: *id,
            connections: *n,
            first_s: row.first_s,
            last_s: row.last_s,
        }));
    }
    all.sort_by_key(|odd| std::cmp::Reverse(odd.connections));
    all
}

fn of_anomalies(e: &Evidence<'_>, all: &[Odd<'_>]) -> Option<Finding> {
    let worst = all.first()?;
    let statement = format!(
        "On {} of {} the packets show {}. {}, and no finding explains it.",
        worst.connections,
        things(worst.w.attempts, "connection"),
        worst.id.name(),
        if worst.w.failures.of_device() == 0 {
            "No attempt failed"
        } else {
            "What failed is accounted for otherwise"
        }
    );
    Some(Finding {
        id: FindingId::UnexplainedFailures,
        severity: Severity::Warning,
        statement: rest::of_workload(e, worst.w, statement),
        evidence: all.iter().map(Odd::in_figures).collect(),
        cause: NO_RULE.into(),
        change: format!(
            "`espstress anomalies` says what {} is; read one such connection (-v, or --pcap and Wireshark)",
            worst.id.name()
        ),
    })
}

/// What happened, in one sentence.
fn statement(w: &WorkloadEvidence, failure: Failure, n: u64) -> String {
    // A connection that came about serves many requests.
    let opened = w.connect.map(|connect| connect.count);
    let tried = opened.map(|opened| opened.saturating_add(facts::count(&w.failures, &facts::CONNECT)));
    let whole = if facts::CONNECT.contains(&failure) { tried.unwrap_or(w.attempts) } else { w.attempts };
    let share = format!("{n} of {whole}");
    let kept = w.kind == WorkloadKind::Rw && w.succeeded > 0;
    let what = match failure {
        Failure::WriteReset if kept => "requests met a reset of their connection while they were being sent",
        Failure::ReadReset if kept => {
            "requests met a reset of their connection before the answer was complete"
        }
        Failure::EofBeforeResponse if kept && !facts::opens_websockets(w) => {
            "requests got no byte of a response: the device closed their connection"
        }
        Failure::ConnectTimeout => "connections were not accepted in time: no SYN-ACK came",
        Failure::ConnectRefused => "connections were refused: a RST answered the SYN",
        Failure::ConnectReset => "connections were reset before the request was sent",
        Failure::ConnectUnreachable => {
            "connections failed: the network reported that the device is unreachable"
        }
        Failure::TlsFailed => "connections failed in TLS",
        Failure::WriteTimeout => "requests could not be sent in time: the device did not take them",
        Failure::WriteReset => "connections were reset while the request was being sent",
        Failure::ReadTimeout if facts::passes_over(w) => {
            "messages were not sent back in time, while the device sent others on the same connections"
        }
        Failure::ReadTimeout => "requests got no complete answer in time",
        Failure::ReadReset => {
            "connections were reset instead of being answered, or in the middle of the answer"
        }
        Failure::EofBeforeResponse if facts::opens_websockets(w) => {
            "messages were not sent back: the device closed their WebSocket connections"
        }
        Failure::EofBeforeResponse => "connections were closed by the device before any byte of a response",
        Failure::TruncatedResponse => "responses ended in the middle: the device closed the connection",
        Failure::BadResponse => "responses broke the protocol",
        Failure::BadStatus => "responses had an error status (5xx)",
        Failure::CorruptPayload => "responses had the wrong payload",
        Failure::PassedOver if out_of_order(w) > 0 => {
            "messages were not sent back before later ones on the same connection"
        }
        Failure::PassedOver => "messages were not sent back: the answers to later ones came instead",
        Failure::DatagramLost => "datagrams did not come back in time",
        Failure::PortUnreachable => "datagrams were answered by an ICMP port unreachable",
        Failure::SlowGivenUp => "clients that were slow on purpose were given up by the device",
        Failure::HostOutOfPorts | Failure::HostOutOfFiles | Failure::HostOther => {
            "attempts failed on this machine"
        }
    };
    format!("{share} {what}.")
}

/// Whether a workload was served, and then nothing more came but all of its failures of this kind.
fn ends_with(w: &WorkloadEvidence, failure: Failure) -> bool {
    let Some(served) = w.episodes.iter().rposition(|episode| episode.succeeded > 0) else { return false };
    let after = w.episodes.iter().skip(served + 1);
    let failed = after.fold(0_u64, |n, episode| n.saturating_add(episode.failures.get(failure)));
    failed > 0 && failed == w.failures.get(failure)
}

/// Answers that came behind those to later requests.
fn out_of_order(w: &WorkloadEvidence) -> u64 {
    w.by_protocol.as_ref().map_or(0, |by| by.out_of_order)
}

/// There are rules for most failures and anomalies; each asks for more than that they occur.
const NO_RULE: &str = "unknown: what was seen fits none of espstress's rules";

const READ_ONE: &str =
    "check what the device logs at these times; keep the packets with --pcap and read one such connection";

/// Likely cause and what to change, where the failure itself tells.
fn advice(w: &WorkloadEvidence, failure: Failure) -> Option<(&'static str, &'static str)> {
    Some(match failure {
        Failure::EofBeforeResponse if facts::opens_websockets(w) => (
            "the service ended these connections while messages were under way; its close code tells why, where there was one",
            "check what the device logs at these times; clients have to send such messages again",
        ),
        Failure::TruncatedResponse => (
            "the program stops before it has sent everything: send() took less than it was given, or failed",
            "check what send() returns and send the rest; compare Content-Length with the bytes you send",
        ),
        Failure::PassedOver if out_of_order(w) > 0 => (
            "the program answers some messages behind later ones, as with a task for each, or loses them",
            "answer the messages of a connection in their order, or tell clients that a number names the answer",
        ),
        Failure::PassedOver => (
            if w.failures.get(Failure::CorruptPayload) > 0 {
                "the program loses some messages, or doesn't answer all, and changes others"
            } else {
                "the program loses some messages, or doesn't answer all: none was changed, and what came behind them was right"
            },
            "check what the program does with a message while others wait: a full queue, or a read that takes several at once",
        ),
        Failure::CorruptPayload if w.asks.protocol == Protocol::Udp => (
            "the program sends back something else than it received: perhaps a buffer that is too small cuts what is longer, \
             two datagrams share one, or another service answers",
            "send back as many bytes as recvfrom() returned; look at the bytes (--pcap, then Wireshark)",
        ),
        Failure::CorruptPayload if w.asks.protocol == Protocol::Line && w.succeeded > 0 => (
            "the program changes lines: each object with a seq or data is compared with the request that waits",
            "send each line back once; look at the bytes (--pcap, then Follow TCP Stream in Wireshark)",
        ),
        Failure::CorruptPayload if facts::opens_websockets(w) => (
            "the service changes messages: each is compared with those that are still to come back, and with those that came",
            "send each message back once, unchanged; look at the bytes (--pcap, then Wireshark)",
        ),
        Failure::ReadTimeout if facts::passes_over(w) => (
            "the service answers some messages with something else, or loses them while it sends messages of its own",
            "send each message back once, unchanged; look at the bytes (--pcap, then Wireshark)",
        ),
        Failure::ReadTimeout if ends_with(w, failure) => (
            "the program stopped answering, or lost just these requests: nothing else was asked after them",
            "run for longer than --timeout-read, so that later requests tell the two apart; check what the device logs at this time",
        ),
        Failure::ReadTimeout if w.succeeded > 0 => (
            "the program left these requests unanswered, or was busy for longer than the client waits; it answered others",
            "a longer --timeout-read tells the two apart; check what the program does with such a request",
        ),
        Failure::BadResponse | Failure::CorruptPayload if w.succeeded > 0 => (
            "the program builds some of its responses wrongly: it speaks the protocol, as those that succeeded show",
            "look at the bytes of one that failed (--pcap, then Follow TCP Stream in Wireshark)",
        ),
        Failure::BadResponse | Failure::CorruptPayload => (
            "the port speaks another protocol, or the program builds its response wrongly",
            "look at the bytes (--pcap, then Follow TCP Stream in Wireshark); check the port",
        ),
        Failure::ConnectRefused | Failure::PortUnreachable => (
            "nothing listened on that port at that time",
            "check that the server keeps running, and what bind(), listen() and accept() return",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::AccountRow;

    fn cause(failure: Failure, failed: u64) -> String {
        let mut w = WorkloadEvidence {
            name: "head".into(),
            attempts: 1_000,
            succeeded: 1_000 - failed,
            ..Default::default()
        };
        w.failures.add(failure, failed);
        let row = AccountRow {
            workload: "head".into(),
            accounted: Accounted::Unexplained,
            by: None,
            attempts: failed,
            failures: [(failure, failed)].into(),
            anomalies: std::collections::BTreeMap::new(),
            first_s: 0.0,
            last_s: 1.0,
        };
        let e = Evidence { workloads: vec![w], ..Evidence::default() };
        find(&e, &Account { rows: vec![row] }).unwrap().cause
    }

    #[test]
    fn failures_that_are_too_few_for_the_rules_are_said_to_be_so() {
        let few = "unknown: 8 of 1000 attempts are too few to name a cause; that takes more than 3, and more than 1 in 100";
        assert_eq!(cause(Failure::ReadReset, 8), few);
        assert_eq!(cause(Failure::EofBeforeResponse, 8), few);
        assert_eq!(cause(Failure::ReadReset, 80), NO_RULE);
    }
}
