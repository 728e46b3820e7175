//! `other_protocol`: the device takes connections and never answers in the protocol that it is asked in; nothing else
//! is wrong with it as far as is known.
//!
//! Evidence: a workload that speaks something else than HTTP (`rw --protocol line|framed|raw`), not one answer, and nothing
//! that says that the device runs a program that speaks it.
//!
//! Neighbours: `blocked_application`: a device that tells its stack or its telemetry runs this project's program, and
//! speaks all of them; one that does not accept leaves SYNs unanswered, and who speaks something else accepts.
//!
//! Severity: an error, because not one figure of the run is the device's.

use super::super::account::Account;
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Protocol, Severity, WorkloadEvidence};
use super::text::things;
use super::{FindingEntry, rest};
use espstress_event::Failure;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::OtherProtocol,
    severity: Severity::Error,
    meaning: "the device never answers in this protocol: the port speaks another one",
    needs: "a workload that doesn't use HTTP, and a device that espstress knows nothing about",
    neighbours: "a program that hangs; a device program of this project",
    change: "--protocol http for a web server; check the port",
};

/// What a question that nobody understands ends in.
pub(in super::super) fn fails_so(e: &Evidence<'_>, w: &WorkloadEvidence, failure: Failure) -> bool {
    use Failure as F;
    let kinds = [F::ReadTimeout, F::EofBeforeResponse, F::ReadReset, F::BadResponse, F::TruncatedResponse];
    kinds.contains(&failure) && facts::other_happens(e, w)
}

pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let all = rest::of(e, account, |w, failure| fails_so(e, w, failure));
    let worst = all.first()?;
    let words = websocket(worst).unwrap_or_else(|| plain(worst));
    Some(Finding {
        id: FindingId::OtherProtocol,
        severity: Severity::Error,
        statement: words.statement,
        evidence: all.iter().map(|rest| rest.in_figures("got no response in this protocol")).collect(),
        cause: words.cause,
        change: words.change,
    })
}

struct Words {
    statement: String,
    cause: String,
    change: String,
}

fn plain(worst: &rest::Rest<'_>) -> Words {
    let asks = &worst.w.asks;
    let is_websocket = asks.protocol == Protocol::WebSocket;
    Words {
        statement: format!(
            "The device accepts connections but answers none of {} in the {} protocol: the port speaks another \
             protocol, or the program doesn't answer at all.",
            worst.whole("request"),
            asks.protocol.name()
        ),
        cause: if is_websocket {
            "another server listens there, or one that never completes a handshake".into()
        } else {
            "another server listens there; only this project's device programs speak the framed, line and raw \
             protocols"
                .into()
        },
        change: if is_websocket {
            "check the port and --path".into()
        } else {
            "test a web server with --protocol http, or with head; check the port".into()
        },
    }
}

/// What is said of a WebSocket server: it speaks the protocol, as far as it goes.
fn websocket(worst: &rest::Rest<'_>) -> Option<Words> {
    let ws = worst.w.by_protocol.as_ref()?.websocket.as_ref()?;
    if ws.handshakes == 0 {
        return (ws.refused > 0).then(|| Words {
            statement: format!(
                "The device answers the WebSocket handshake wrongly, on {}.",
                things(ws.refused, "connection")
            ),
            cause:
                "a header of its answer is missing, wrong or not asked for, such as Sec-WebSocket-Accept (RFC 6455, 4.1 and 4.2.2)"
                    .into(),
            change: "compute Sec-WebSocket-Accept from the client's key, and name no extension or subprotocol that the client \
                     did not ask for; use a library for the handshake"
                .into(),
        });
    }
    let closes: Vec<String> = ws.closes.iter().map(|(code, n)| format!("{code} {n}")).collect();
    let cause = if !closes.is_empty() {
        format!("it closes the connections instead, with these codes: {}", closes.join(", "))
    } else if worst.get(Failure::BadResponse) > 0 {
        "its frames or messages are not what was sent: masked or compressed frames, a wrong length, text instead of \
         binary"
            .into()
    } else {
        "the service pushes messages, or takes them and sends nothing back".into()
    };
    Some(Words {
        statement: format!(
            "The device completes the WebSocket handshake, but sends none of {} back.",
            worst.whole("message")
        ),
        cause,
        change: "the service has to send each message back unchanged; check the port and --path".into(),
    })
}
