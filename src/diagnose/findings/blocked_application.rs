//! `blocked_application`: a connection whose request was acknowledged got no answer, while the stack still
//! answers ping or SYN. The program hangs, or serves one client only, or stopped reading.
//!
//! Evidence, any of these:
//! - the packets show a window shut for more than a second, or payload that is never acknowledged though there is
//!   memory for it, while exchanges time out: the program does not read;
//! - nothing was ever served although connections stood, or although ping works;
//! - standing connections stop being answered;
//! - service ends for good while handshakes still complete, and nothing shows that sockets are held;
//! - a single silent client (or none at all) kept every other one from being served, for good or for as long as the program
//!   waits for it (`one_at_a_time`).
//!
//! Neighbours: `half_open_not_reclaimed` and `socket_exhaustion` also leave requests in the backlog without an
//! answer. There the program serves several at once, and what is missing is a socket: two or more connections
//! were served before. `accept_overflow`: service goes on all the time, or the packets show that the device came to
//! the connections after the host had given them up. A link that was away: ping was, too. RSTs that a losing path
//! kept from the device: the connections that it still holds were served.
//!
//! Thresholds: three exchanges without an answer, and one in a hundred where the link loses segments, because
//! a few losses in a row use up a read time-out.

use super::super::bouts;
use super::super::{
    ClosePolicy, Evidence, Finding, FindingId, HalfOpenEvidence, Severity, Untold, WorkloadEvidence,
    WorkloadKind,
};
use super::one_at_a_time::{self, OneAtATime};
use super::signs::{self, Stack};
use super::text::{percent, things, time, times};
use super::{FindingEntry, head_only};
use espstress_event::{AnomalyId, Failure};

/// Three in a row are no chance to a person; where losses may make more, the bound of the loss asks for more.
const UNANSWERED: u64 = 3;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::BlockedApplication,
    severity: Severity::Error,
    meaning: "the stack takes requests and the program does not answer them: it hangs, waits for one client, or \
              stopped reading",
    needs: "exchanges that time out on connections that stand; ping, telemetry or handshakes that go on",
    neighbours: "sockets held by silent or closed connections (several were served first); a queue that is \
                 served slowly; a link that was away",
    change: "no blocking recv() without a time-out: setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, ..); one task or one \
             select() for all clients",
};

/// What shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The program does not read.
    NotReading,
    /// One silent client keeps all others out.
    OneClient,
    /// One client keeps all others waiting for a time.
    OneAtATime(OneAtATime),
    /// Nothing was ever served.
    NeverServed,
    /// Ping works, and no handshake ever completed.
    NoHandshake,
    /// Standing connections stop being answered.
    Standing,
    /// Service ended for good.
    Hung,
}

pub(super) fn proof(e: &Evidence<'_>) -> Option<Proof> {
    let link_explains = signs::stack(e) == Stack::Silent;
    if reads_no_more(e, link_explains) {
        return Some(Proof::NotReading);
    }
    if let Some(one) = one_at_a_time::seen(e) {
        return Some(Proof::OneAtATime(one));
    }
    if e.workloads.iter().filter_map(|w| w.half_open.as_ref()).any(|h| one_client_only(e, h)) {
        return Some(Proof::OneClient);
    }
    if link_explains {
        return None;
    }
    if never_served(e) {
        return Some(Proof::NeverServed);
    }
    if no_handshake(e) {
        return Some(Proof::NoHandshake);
    }
    if e.workloads.iter().any(|w| standing_unanswered(e, w)) {
        return Some(Proof::Standing);
    }
    signs::exchanges(e).any(|w| hangs(e, w)).then_some(Proof::Hung)
}

/// Whether it kept a window shut, which no want of memory does.
pub(super) fn shuts_its_window(e: &Evidence<'_>) -> bool {
    signs::of_device(e, AnomalyId::ZeroWindowStall).count > 0
}

fn reads_no_more(e: &Evidence<'_>, link_explains: bool) -> bool {
    let shut = signs::of_device(e, AnomalyId::ZeroWindowStall).count;
    // What cannot be told alone is told by what came of it.
    let untold = e
        .not_judged
        .iter()
        .filter(|n| n.id == AnomalyId::NoAckToData && n.reason == Untold::TooFew.in_words());
    let untold = untold.fold(0, |n: u64, row| n.saturating_add(row.connections));
    let unread = signs::of_device(e, AnomalyId::NoAckToData).count.saturating_add(untold);
    let left = |w: &WorkloadEvidence| signs::count(&signs::unexcused(e, w), &signs::SILENT);
    let timed_out = signs::exchanges(e).any(|w| left(w) > 0);
    // Without memory a segment is dropped as it comes in, whatever the program does.
    timed_out && (shut > 0 || (unread > 0 && !link_explains))
}

fn one_client_only(e: &Evidence<'_>, h: &HalfOpenEvidence) -> bool {
    let made_for_one = e.device.capacity == Some(1) && h.served == 1;
    let others_wait = h.unserved > 0 || signs::stack(e) == Stack::Answers;
    let shut_out = h.during.attempts > 0 && h.during.served == 0 && h.served_again_ns.is_none();
    if h.served == 0 && turned_away_before(h) {
        return false;
    }
    h.silenced > 0 && h.served <= 1 && !made_for_one && others_wait && shut_out
}

/// The well-behaved client was not served before the first silence: nobody kept it out.
const fn turned_away_before(h: &HalfOpenEvidence) -> bool {
    h.before.attempts > 0 && h.before.served == 0
}

fn never_served(e: &Evidence<'_>) -> bool {
    // Silent connections keep others out: there only a client counts that was not served without them.
    let unanswered = e
        .workloads
        .iter()
        .filter(|w| w.kind != WorkloadKind::HalfOpen || w.half_open.as_ref().is_none_or(turned_away_before))
        .fold(0_u64, |n, w| n.saturating_add(signs::count(&signs::unexcused(e, w), &signs::SILENT)));
    unanswered > 0 && !signs::ever_served(e)
}

/// lwIP drops SYNs without a word while the backlog is full of connections that nobody accepts.
fn no_handshake(e: &Evidence<'_>) -> bool {
    let timeouts = |w: &WorkloadEvidence| signs::unexcused(e, w).get(Failure::ConnectTimeout);
    let tried = signs::exchanges(e).fold(0_u64, |n, w| n.saturating_add(timeouts(w)));
    tried >= UNANSWERED && !signs::ever_served(e) && signs::stack(e) == Stack::Answers
}

/// One connection stands and is not answered, while others are.
fn standing_unanswered(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let standing = match w.kind {
        WorkloadKind::Rw => true,
        // Between outages nothing but the probes tells whether the link was there.
        WorkloadKind::Outage => {
            signs::stack(e) == Stack::Answers && w.outages.as_ref().is_none_or(|o| o.natural == 0)
        }
        WorkloadKind::Head | WorkloadKind::HalfOpen => false,
    };
    let beyond = e.device.capacity.is_some_and(|capacity| w.at_once > capacity);
    let course = bouts::course(e, w);
    // Who is not accepted beside connections that stand waits for them to end.
    let kinds: &[Failure] = if beyond { &signs::SILENT } else { &bouts::SLOW };
    // Where few connections are open and all of them are stuck at the same time, that is a bout, too short to show a hang.
    // The program may serve others meanwhile, as probes; a queue that is slow ends what was given up, only later.
    let taken_late = signs::taken_late(e);
    let counts = |bout: &&bouts::Bout| {
        let stuck = bout.program_is_idle(e) != Some(false) || !taken_late;
        w.kind == WorkloadKind::Outage || (bout.stack_answers(e) == Some(true) && stuck)
    };
    let slow =
        course.bouts.iter().filter(counts).fold(signs::count(&course.beside, kinds), |n, bout| {
            n.saturating_add(bout.count(&signs::SILENT))
        });
    standing
        && slow.saturating_sub(signs::met_outages(e, w)) >= UNANSWERED.max(signs::by_loss(e, w.attempts) + 1)
}

/// A program that hangs serves nobody for a time, while the stack goes on.
fn hangs(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    !signs::stuck(e, w).is_empty()
}

pub(super) fn finding(e: &Evidence<'_>, proof: Proof) -> Finding {
    let unanswered = signs::exchanges(e).fold(0_u64, |n, w| n.saturating_add(signs::unanswered(w)));
    let statement = match proof {
        Proof::NotReading => format!(
            "The program stops reading in the middle of a connection: {} got no answer.",
            things(unanswered, "exchange")
        ),
        Proof::OneClient => {
            "One silent client is enough to keep every other one from being served, while the \
                             device still takes connections."
                .into()
        }
        Proof::OneAtATime(one) => one.statement(),
        Proof::NeverServed => {
            "The device takes connections and requests, and its program answers none.".into()
        }
        Proof::NoHandshake => "The device answers ping, and no TCP connection to it ever comes about.".into(),
        Proof::Standing => format!(
            "{} on standing connections got no answer, while the device's stack went on answering.",
            things(unanswered.max(1), "request")
        ),
        Proof::Hung => hung(e),
    };
    let (cause, change) = match proof {
        Proof::NotReading => (
            "the program is in a blocking send() or a long job and does not come back to recv(), so that the \
             stack's receive window fills",
            "read and write in turns: set SO_SNDTIMEO and SO_RCVTIMEO, or use select() and non-blocking sockets",
        ),
        Proof::OneClient => (
            "one client at a time, with a blocking recv() that has no time-out",
            "set SO_RCVTIMEO on each accepted socket and serve clients in tasks of their own, or with select()",
        ),
        Proof::OneAtATime(_) => (one_at_a_time::CAUSE, one_at_a_time::CHANGE),
        Proof::NoHandshake => (
            "its backlog is full of connections that the program does not accept, because it hangs; or a filter \
             drops SYNs on the way",
            "restart it and test again; then set SO_RCVTIMEO on accepted sockets and CONFIG_ESP_TASK_WDT_PANIC=y with \
             the accepting task subscribed: esp_task_wdt_add(NULL)",
        ),
        Proof::Hung if resets_uncounted(e) => (
            "the program hangs (a deadlock, an endless loop, or a blocking call without a time-out), or it keeps the \
             sockets of connections that the host reset and has none left: the device does not tell how many it uses",
            "set SO_RCVTIMEO and SO_SNDTIMEO, subscribe the serving task to the watchdog: esp_task_wdt_add(NULL); close() \
             on every path, also after an error of recv()",
        ),
        Proof::Hung if keeps_some(e) => (
            "the program hangs (a deadlock, an endless loop, or a blocking call without a time-out), perhaps on connections \
             that it has answered and does not close when the peer has",
            "set SO_RCVTIMEO and SO_SNDTIMEO, subscribe the serving task to the watchdog: esp_task_wdt_add(NULL); close() \
             when recv() returns 0",
        ),
        Proof::NeverServed | Proof::Standing | Proof::Hung => (
            "the program hangs: a deadlock, an endless loop, or a blocking call without a time-out",
            "set SO_RCVTIMEO and SO_SNDTIMEO, and subscribe the serving task to the watchdog: esp_task_wdt_add(NULL), \
             CONFIG_ESP_TASK_WDT_PANIC=y",
        ),
    };
    let finding = Finding {
        id: FindingId::BlockedApplication,
        severity: Severity::Error,
        statement,
        evidence: evidence(e),
        cause: cause.into(),
        change: change.into(),
    };
    if proof == Proof::NeverServed { head_only::left_open(e, finding) } else { finding }
}

/// Whether the host resets what was served, and nobody counts the device's sockets: then one that keeps them looks alike.
fn resets_uncounted(e: &Evidence<'_>) -> bool {
    signs::telemetry(e).and_then(|t| t.sockets).is_none()
        && signs::exchanges(e).any(|w| w.close == ClosePolicy::Rst)
}

/// Whether some connections linger that were answered.
fn keeps_some(e: &Evidence<'_>) -> bool {
    signs::exchanges(e).any(|w| w.lingers.is_some_and(|lingers| lingers.answered > 0))
}

/// When the program hung, and whether it came back.
fn hung(e: &Evidence<'_>) -> String {
    let bouts: Vec<_> = signs::exchanges(e).flat_map(|w| signs::stuck(e, w)).collect();
    let first = bouts.iter().map(|bout| bout.from_ns).min().unwrap_or(0);
    if bouts.iter().any(|bout| bout.is_last) {
        return format!(
            "The program stopped answering for good, from {} on, while the device's stack went on answering.",
            time(bouts.iter().filter(|bout| bout.is_last).map(|bout| bout.from_ns).min().unwrap_or(first))
        );
    }
    let longest = bouts.iter().map(|bout| bout.to_ns.saturating_sub(bout.from_ns)).max().unwrap_or(0);
    format!(
        "The program answered nobody for a time, {}, first from {} on and for up to {}, while the device's stack went on \
         answering.",
        times(bouts.len() as u64),
        time(first),
        time(longest)
    )
}

fn evidence(e: &Evidence<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, what) in [
        (AnomalyId::ZeroWindowStall, "kept its window shut for more than a second"),
        (AnomalyId::NoAckToData, "never acknowledged what it was sent"),
    ] {
        let seen = signs::of_device(e, id);
        if seen.count > 0 {
            lines.push(format!("the device {what} on {}", things(seen.connections, "connection")));
        }
    }
    for w in &e.workloads {
        let unanswered = signs::unanswered(w);
        if unanswered > 0 && w.kind != WorkloadKind::HalfOpen {
            lines.push(format!(
                "{}: {unanswered} of {} got no answer in time ({}), {} succeeded",
                w.name,
                things(w.attempts, "attempt"),
                percent(unanswered, w.attempts),
                w.succeeded
            ));
        }
        if let Some(h) = &w.half_open {
            lines.push(format!(
                "{}: {} served before they fell silent, {} connected and not served; a well-behaved client: {} of \
                 {} served meanwhile",
                w.name,
                things(u64::from(h.served), "connection"),
                h.unserved,
                h.during.served,
                h.during.attempts
            ));
        }
        lines.extend(one_at_a_time::in_figures(e, w));
    }
    lines.extend(signs::heap_step(e).map(signs::step_in_words));
    for (name, kind) in [("ping", &e.probes.icmp), ("telemetry", &e.probes.telemetry)] {
        if let Some(p) = kind.value().filter(|p| p.sent > 0) {
            lines.push(format!("{name}: {} of {} answered", p.answered, things(p.sent, "probe")));
        }
    }
    lines
}
