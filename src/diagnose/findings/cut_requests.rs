//! `resets_requests` and `closes_unserved`: the device takes connections and ends them without an answer, by a RST or by a
//! FIN, and nothing else explains it.
//!
//! Evidence: attempts that ended so; with the packets also how far their requests had come.
//!
//! Neighbours: want of sockets, a full queue, a restart, a link that was away: what one of them explains is not counted
//! here. `abortive_close`: there the response came first.
//!
//! Threshold: more than three of a workload's attempts, and more than one in a hundred. Fewer are no habit, and a name for
//! what is seen would explain nothing: they stay with `unexplained_failures`.

use super::super::account::Account;
use super::super::facts;
use super::super::{CutRequests, Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use super::text::time;
use super::{FindingEntry, closes_idle, rest};
use espstress_event::{ClosePolicy, Failure, WorkloadKind};

pub(super) const RESETS: FindingEntry = FindingEntry {
    id: FindingId::ResetsRequests,
    severity: Severity::Error,
    meaning: "the device accepts connections and resets them instead of answering",
    needs: "attempts that ended in a RST; a capture shows when it came",
    neighbours: "no free socket; a full accept queue; a restart; a RST after the response (abortive_close)",
    change: "read the request before you close; look for SO_LINGER and for error paths that close; check what accept() and \
             recv() return, and log errno on the device",
};

pub(super) const CLOSES: FindingEntry = FindingEntry {
    id: FindingId::ClosesUnserved,
    severity: Severity::Error,
    meaning: "the device accepts connections and closes them without sending a byte of a response",
    needs: "attempts that ended in a FIN; a capture shows when it came",
    neighbours: "no free socket or session; a full accept queue; a truncated response (malformed_response)",
    change: "log why the program closes; send an error status (for example 503) before close()",
};

/// How a connection was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Reset,
    Closed,
}

/// The failures of a connection that the device resets.
pub(in super::super) const RESET: [Failure; 3] =
    [Failure::ReadReset, Failure::WriteReset, Failure::ConnectReset];

pub(super) fn resets(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let rest = rest::of(e, account, |_, failure| RESET.contains(&failure));
    let (cause, change) = if closed_behind_an_answer(&rest) {
        (closes_idle::RACE, closes_idle::SAY_SO.to_owned())
    } else if silent_until_reset(&rest) {
        (
            "the server gives up connections that send no request for so long (--request-delay), and ends them by a RST; \
             or the program closes the socket without reading the request, or resets it on an error path (SO_LINGER with 0), \
             or the stack has no free socket",
            format!("{SOONER}; {}", RESETS.change),
        )
    } else {
        (
            "the program closes the socket without reading the request (lwIP then sends a RST); or it ends the connection by \
             a RST after reading, on purpose or on an error path (SO_LINGER with 0); or the stack has no free socket",
            RESETS.change.to_owned(),
        )
    };
    finding(e, How::Reset, &rest, cause, &change)
}

/// What a connection without a response ends in. A WebSocket that is open has had one.
pub(super) fn closes_so(w: &WorkloadEvidence, failure: Failure) -> bool {
    failure == Failure::EofBeforeResponse && !facts::opens_websockets(w)
}

pub(super) fn closes(e: &Evidence<'_>, account: &Account) -> Option<Finding> {
    let rest = rest::of(e, account, closes_so);
    let (cause, change) = if let Some((cause, change)) = asked_for(e, &rest) {
        (cause, change.to_owned())
    } else if closed_behind_an_answer(&rest) {
        (closes_idle::RACE, closes_idle::SAY_SO.to_owned())
    } else if facts::ever_served(e) {
        (
            "an error path, a missing handler, or no free session; or the device closes its oldest session for \
             each new one (run half-open to find out)",
            CLOSES.change.to_owned(),
        )
    } else if facts::exchanges(e).all(|w| w.asks.head()) {
        (
            "the program has no handler for HEAD, or the port doesn't speak HTTP",
            format!("test with --method GET, and check the port; in the program: {}", CLOSES.change),
        )
    } else {
        (
            "the port speaks another protocol, or the program fails on every request",
            format!("check the port and --protocol; in the program: {}", CLOSES.change),
        )
    };
    finding(e, How::Closed, &rest, cause, &change)
}

/// Whether the connections had all ended with an earlier answer.
fn closed_behind_an_answer(all: &[rest::Rest<'_>]) -> bool {
    !all.is_empty() && all.iter().all(|rest| closes_idle::unannounced(rest.w))
}

/// What the client did by its own options where the device closed, as programs may that take it for the client's end.
fn asked_for(e: &Evidence<'_>, all: &[rest::Rest<'_>]) -> Option<(&'static str, &'static str)> {
    let by = |asks: fn(&WorkloadEvidence) -> bool| !all.is_empty() && all.iter().all(|rest| asks(rest.w));
    if by(|w| w.close == ClosePolicy::Half) && !facts::ever_served(e) {
        return Some((
            "the program takes the client's FIN (--close half) for the end of the connection; or it has no handler for the \
             request",
            "answer a client that has only shut down its sending side (RFC 9293, 3.6), or test without --close half",
        ));
    }
    let unsent = |rest: &rest::Rest<'_>| {
        !closes_idle::turned_away(rest.w)
            && rest.w.unserved.is_some_and(|cut| cut.closed.not_sent.saturating_mul(2) >= rest.attempts)
    };
    if by(|w| w.asks.request_delay_ns > 0) && all.iter().all(unsent) {
        return Some((
            "the server gives up connections that send no request for so long (--request-delay)",
            SOONER,
        ));
    }
    None
}

/// What ends the giving up of clients that are silent before their first request.
const SOONER: &str =
    "a longer timeout for the first request in the program, or a shorter --request-delay in the test";

/// Whether the resets came while clients were silent before their requests, as the test had them be.
fn silent_until_reset(all: &[rest::Rest<'_>]) -> bool {
    let silent = |rest: &rest::Rest<'_>| {
        let not_sent = match rest.w.unserved {
            Some(cut) => cut.reset.not_sent,
            // A request that is one short write meets a RST that came before it; a body may meet a later one.
            None if rest.w.asks.body => 0,
            None => rest.get(Failure::ConnectReset) + rest.get(Failure::WriteReset),
        };
        rest.w.asks.request_delay_ns > 0 && not_sent.saturating_mul(2) >= rest.attempts
    };
    !all.is_empty() && all.iter().all(silent)
}

fn finding(e: &Evidence<'_>, how: How, all: &[rest::Rest<'_>], cause: &str, change: &str) -> Option<Finding> {
    let worst = all.first().filter(|rest| rest.is_much())?;
    let mut evidence: Vec<String> =
        all.iter().map(|rest| rest.in_figures("ended without a response")).collect();
    for rest in all {
        evidence.extend(cut(rest.w, how).and_then(|cut| in_figures(&rest.w.name, &cut)));
    }
    if !facts::captured(e) {
        evidence.push("without a capture, espstress can't tell when the device ended them".into());
    }
    Some(Finding {
        id: if how == How::Reset { FindingId::ResetsRequests } else { FindingId::ClosesUnserved },
        severity: Severity::Error,
        statement: statement(worst, how),
        evidence,
        cause: cause.into(),
        change: change.into(),
    })
}

/// What the packets say of the connections that ended so.
fn cut(w: &WorkloadEvidence, how: How) -> Option<CutRequests> {
    let unserved = w.unserved?;
    Some(if how == How::Reset { unserved.reset } else { unserved.closed })
}

fn in_figures(name: &str, cut: &CutRequests) -> Option<String> {
    let all = [
        (cut.acknowledged, "after the request was acknowledged"),
        (cut.unacknowledged, "before that"),
        (cut.not_sent, "before it was sent"),
    ];
    let told: Vec<String> =
        all.iter().filter(|(n, _)| *n > 0).map(|(n, when)| format!("{n} {when}")).collect();
    (!told.is_empty()).then(|| format!("{name}, packets: {}", told.join(", ")))
}

fn statement(worst: &rest::Rest<'_>, how: How) -> String {
    if worst.w.kind == WorkloadKind::Rw && worst.w.succeeded > 0 {
        let share = worst.share("request");
        let how = if how == How::Reset { "reset connections" } else { "closed connections" };
        return format!("The device {how} instead of answering {share} on them.");
    }
    let share = worst.share("connection");
    let verb = if how == How::Reset { "reset" } else { "closed" };
    let served_first = worst.get(Failure::ConnectReset) < worst.attempts;
    match cut(worst.w, how).and_then(|cut| when(&cut, worst.attempts)) {
        Some(when) => format!("The device {verb} {share} {when}."),
        None if how == How::Closed => {
            format!("The device closed {share} without sending a byte of a response.")
        }
        None if served_first => {
            format!("The device reset {share} instead of answering, or in the middle of the response.")
        }
        None => format!("The device reset {share} before the request was sent."),
    }
}

/// How far the requests had come, where the packets show it for most of them.
fn when(cut: &CutRequests, n: u64) -> Option<String> {
    let most = |part: u64| part > 0 && part.saturating_mul(2) >= n;
    if most(cut.acknowledged) {
        let (least, most) = (cut.least_ns?, cut.most_ns?);
        let span =
            if time(least) == time(most) { time(most) } else { format!("{} to {}", time(least), time(most)) };
        return Some(format!(
            "{span} after it acknowledged the request, without sending a byte of a response"
        ));
    }
    if most(cut.unacknowledged) {
        return Some("before it acknowledged the request".into());
    }
    most(cut.not_sent).then(|| "before the request was sent".into())
}
