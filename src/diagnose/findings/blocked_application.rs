//! `blocked_application`: a connection whose request was acknowledged got no answer, while the stack still
//! answers ping or SYN. The program hangs, or serves one client only, or stopped reading.
//!
//! Evidence, any of these:
//! - the packets show a window shut for more than a second, or payload that is never acknowledged though there is
//!   memory for it, while exchanges time out: the program does not read;
//! - nothing was ever served although connections stood, or although ping works;
//! - standing connections stop being answered;
//! - nobody is served while the device connects to a broker that answers nothing (`while_dialling`);
//! - nobody else is served beside clients that keep their connections (`kept_out`);
//! - service ends for good while handshakes still complete, and nothing shows that sockets are held;
//! - a single silent or slow client (or none at all) kept every other one from being served, for good or for as long as the program
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

use super::super::bouts::{self, Bout};
use super::super::choice::{Claim, Firm};
use super::super::facts::{self, Stack};
use super::super::{
    ClosePolicy, Evidence, Finding, FindingId, HalfOpenEvidence, Severity, Untold, WorkloadEvidence,
    WorkloadKind,
};
use super::kept_out::{self, KeptOut, NoneNew};
use super::one_at_a_time::{self, OneAtATime};
use super::text::{percent, things, time, times};
use super::while_dialling::{self, WhileDialling};
use super::{FindingEntry, head_only, http_use};
use espstress_event::{AnomalyId, Failure};

/// Three in a row are no chance to a person; where losses may make more, the bound of the loss asks for more.
const UNANSWERED: u64 = 3;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::BlockedApplication,
    severity: Severity::Error,
    meaning: "the stack accepts requests but the program doesn't answer: it hangs, waits for one client, \
              stopped reading, or leaves some requests out",
    needs: "requests that time out on open connections, while ping, telemetry or handshakes still work",
    neighbours: "sockets held by silent or closed connections (several were served first); a slow queue; a \
                 link outage",
    change: "give every blocking recv() a timeout: setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, ..); serve all \
             clients from one select(), or each in its own task",
};

/// Silences of standing connections: once or twice a slow job may explain.
const OFTEN: usize = 3;

/// What shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The program does not read.
    NotReading,
    /// One silent client keeps all others out.
    OneClient,
    /// One client keeps all others waiting for a time.
    OneAtATime(OneAtATime),
    /// Nobody is served while it connects to its broker.
    WhileDialling(WhileDialling),
    /// Nothing was ever served.
    NeverServed,
    /// Ping works, and no handshake ever completed.
    NoHandshake,
    /// Standing connections stop being answered.
    Standing,
    /// Nobody else is served beside clients that keep their connections.
    KeptOut(KeptOut),
    /// No new connection is served, beside clients that keep theirs.
    NoneNew(NoneNew),
    /// Connections fall silent again and again, and the stack doesn't.
    Mute,
    /// Service ended for good.
    Hung,
}

fn proof(e: &Evidence<'_>) -> Option<Proof> {
    let link_explains = facts::stack(e) == Stack::Silent;
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
    if let Some(dialling) = while_dialling::seen(e) {
        return Some(Proof::WhileDialling(dialling));
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
    if let Some(out) = kept_out::seen(e) {
        return Some(Proof::KeptOut(out));
    }
    if facts::mute::mute(e).len() >= OFTEN {
        return Some(Proof::Mute);
    }
    if facts::exchanges(e).any(|w| hangs(e, w)) {
        return Some(Proof::Hung);
    }
    kept_out::none_new(e).map(Proof::NoneNew)
}

/// Whether it kept a window shut, which no want of memory does.
fn shuts_its_window(e: &Evidence<'_>) -> bool {
    facts::of_device(e, AnomalyId::ZeroWindowStall).count > 0
}

fn reads_no_more(e: &Evidence<'_>, link_explains: bool) -> bool {
    let shut = facts::of_device(e, AnomalyId::ZeroWindowStall).count;
    // What cannot be told alone is told by what came of it.
    let untold = e.not_judged.iter().filter(|n| {
        n.id == AnomalyId::NoAckToData && Untold::FEW.iter().any(|few| n.reason == few.in_words())
    });
    let untold = untold.fold(0, |n: u64, row| n.saturating_add(row.connections));
    let unread = facts::of_device(e, AnomalyId::NoAckToData).count.saturating_add(untold);
    let left = |w: &WorkloadEvidence| facts::count(&facts::unexcused(e, w), &facts::SILENT);
    let timed_out = facts::exchanges(e).any(|w| left(w) > 0);
    // Without memory a segment is dropped as it comes in, whatever the program does.
    timed_out && (shut > 0 || (unread > 0 && !link_explains))
}

fn one_client_only(e: &Evidence<'_>, h: &HalfOpenEvidence) -> bool {
    let made_for_one = e.device.capacity == Some(1) && h.served == 1;
    let others_wait = h.unserved > 0 || facts::stack(e) == Stack::Answers;
    let shut_out = h.during.attempts > 0 && h.during.served == 0 && h.served_again_ns.is_none();
    if h.served == 0 && turned_away_before(h) {
        return false;
    }
    // Connections that are over may take the room that the silent one seems to take.
    let forgets = facts::sockets::forgotten(e) > 0;
    h.silenced() > 0 && h.served <= 1 && !made_for_one && others_wait && shut_out && !forgets
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
        .fold(0_u64, |n, w| n.saturating_add(facts::count(&facts::unexcused(e, w), &facts::SILENT)));
    unanswered > 0 && !facts::ever_served(e)
}

/// lwIP drops SYNs without a word while the backlog is full of connections that nobody accepts.
fn no_handshake(e: &Evidence<'_>) -> bool {
    let timeouts = |w: &WorkloadEvidence| facts::unexcused(e, w).get(Failure::ConnectTimeout);
    let tried = facts::exchanges(e).fold(0_u64, |n, w| n.saturating_add(timeouts(w)));
    tried >= UNANSWERED && !facts::ever_served(e) && facts::stack(e) == Stack::Answers
}

/// One connection stands and is not answered, while others are.
fn standing_unanswered(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let standing = match w.kind {
        WorkloadKind::Rw => true,
        // Between outages nothing but the probes tells whether the link was there.
        WorkloadKind::Outage => {
            facts::stack(e) == Stack::Answers && w.outages.as_ref().is_none_or(|o| o.natural == 0)
        }
        WorkloadKind::Head | WorkloadKind::HalfOpen | WorkloadKind::Mqtt => false,
    };
    let beyond = facts::room::too_many(e, w);
    let course = bouts::course(e, w);
    // Who is not accepted beside connections that stand waits for them to end.
    let kinds: &[Failure] = if beyond { &facts::SILENT } else { &bouts::SLOW };
    // Where few connections are open and all of them are stuck at the same time, that is a bout, too short to show a hang.
    // The program may serve others meanwhile, as probes; a queue that is slow ends what was given up, only later.
    let taken_late = facts::taken_late(e);
    let counts = |bout: &&bouts::Bout| {
        let stuck = bout.program_is_idle(e) != Some(false) || !taken_late;
        w.kind == WorkloadKind::Outage || (bout.stack_answers(e) == Some(true) && stuck)
    };
    let slow =
        course.bouts.iter().filter(counts).fold(facts::count(&course.beside, kinds), |n, bout| {
            n.saturating_add(bout.count(&facts::SILENT))
        });
    standing
        && slow.saturating_sub(facts::met_outages(e, w))
            >= UNANSWERED.max(facts::path::by_loss(e, w.attempts) + 1)
}

/// Whether others were served beside the requests that standing connections got no answer to, or soon after them: the
/// program did not stop there.
fn goes_on(e: &Evidence<'_>) -> bool {
    let mut unanswered = e.workloads.iter().filter(|w| standing_unanswered(e, w));
    unanswered.all(|w| {
        let course = bouts::course(e, w);
        let (last, earlier): (Vec<_>, Vec<_>) = course.bouts.iter().partition(|bout| bout.is_last);
        let silent = |bouts: &[&bouts::Bout]| {
            bouts.iter().fold(0_u64, |n, bout| n.saturating_add(bout.count(&facts::SILENT)))
        };
        let beside = facts::count(&course.beside, &bouts::SLOW);
        // The run may have ended before the next one was served.
        let ends_open = last.iter().all(|bout| gave_up_once(bout));
        w.kind == WorkloadKind::Rw
            && ends_open
            && beside.saturating_add(silent(&earlier)) >= UNANSWERED.max(silent(&last))
    })
}

/// Whether no request in it began after another of it had been given up.
fn gave_up_once(bout: &bouts::Bout) -> bool {
    bout.to_ns.saturating_sub(bout.from_ns) <= bout.wait_ns.saturating_mul(5) / 4
}

/// A program that hangs serves nobody for a time, while the stack goes on.
fn hangs(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let stuck = facts::stuck(e, w);
    !stuck.is_empty() && !leaves_out(w, &stuck)
}

/// Whether each time the next request after the first that timed out was answered at once: a program that is busy for a time
/// is still so when its client gives up, or at times late for the next.
fn leaves_out(w: &WorkloadEvidence, stuck: &[bouts::Bout]) -> bool {
    /// Twice may be chance.
    const OFTEN: usize = 3;
    let shortest = stuck.iter().map(|bout| bout.wait_ns).min().unwrap_or(0);
    let once = |bout: &bouts::Bout| !bout.is_last && gave_up_once(bout);
    w.kind == WorkloadKind::Rw
        && stuck.len() >= OFTEN
        && stuck.iter().all(once)
        && w.main.is_some_and(|main| main.max_ns <= shortest / 4)
}

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    let proof = proof(e)?;
    if proof != Proof::NotReading && only_in_between(e) {
        return None;
    }
    let firm = match proof {
        // Without memory a segment is dropped as it comes in, whatever the program does.
        Proof::NotReading if facts::memory::runs_low(e) && !shuts_its_window(e) => Firm::Left,
        Proof::NotReading | Proof::OneClient | Proof::OneAtATime(_) | Proof::WhileDialling(_) => Firm::Shown,
        Proof::NeverServed | Proof::NoHandshake => Firm::Likely,
        Proof::Standing | Proof::KeptOut(_) | Proof::NoneNew(_) | Proof::Mute | Proof::Hung => Firm::Left,
    };
    Some(Claim::new(firm, finding(e, proof)))
}

/// Whether all that got no answer are bodies that the device took a part of and then no more, or handshakes of TLS after
/// which nothing was ever asked: whether it would have served anything else is not known.
fn only_in_between(e: &Evidence<'_>) -> bool {
    let silent = |w: &WorkloadEvidence| facts::count(&w.failures, &facts::SILENT);
    let stalled =
        |w: &WorkloadEvidence| silent(w) == w.failures.get(Failure::WriteTimeout) && http_use::took_some(w);
    let shaking = |w: &WorkloadEvidence| silent(w) == http_use::handshakes_timed_out(w);
    let mut unanswered = facts::exchanges(e).filter(|w| silent(w) > 0).peekable();
    e.workloads.iter().all(|w| w.half_open.is_none())
        && unanswered.peek().is_some()
        && unanswered.all(|w| stalled(w) || shaking(w))
}

fn finding(e: &Evidence<'_>, proof: Proof) -> Finding {
    let unanswered = facts::exchanges(e).fold(0_u64, |n, w| n.saturating_add(facts::unanswered(w)));
    let standing = e.workloads.iter().filter(|w| standing_unanswered(e, w));
    let standing = standing.fold(0_u64, |n, w| n.saturating_add(facts::unanswered(w)));
    let statement = match proof {
        Proof::NotReading => format!(
            "The program stops reading in the middle of a connection: {} got no response.",
            things(unanswered, "exchange")
        ),
        Proof::OneClient => "A single silent client blocks all others.".into(),
        Proof::OneAtATime(one) => one.statement(),
        Proof::WhileDialling(dialling) => dialling.statement(),
        Proof::NeverServed => {
            "The device accepts connections and requests, but its program answers none of them in time."
                .into()
        }
        Proof::NoHandshake => "The device answers ping, but no TCP handshake ever completes.".into(),
        Proof::Standing if goes_on(e) => format!(
            "{} on persistent connections got no response, while the device's stack still answered; its program answered \
             others meanwhile or soon after.",
            things(standing.max(1), "request")
        ),
        Proof::Standing => format!(
            "{} on persistent connections got no response, while the device's stack still answered.",
            things(standing.max(1), "request")
        ),
        Proof::KeptOut(out) => out.statement(),
        Proof::NoneNew(none) => none.statement(),
        Proof::Mute => format!(
            "Connections fell silent {} while the device's stack answered every ping: its program sent nothing, or \
             didn't answer what it was sent.",
            times(facts::mute::mute(e).len() as u64)
        ),
        Proof::Hung => hung(e),
    };
    let (cause, change) = match proof {
        Proof::NotReading => (
            "the program is stuck in send() or in a long job and doesn't return to recv(), so the receive \
             window fills up",
            "set SO_SNDTIMEO and SO_RCVTIMEO, or use select() with non-blocking sockets",
        ),
        Proof::OneClient => (
            "the program serves one client at a time, and its recv() or send() has no timeout or one that is \
             longer than this run watched",
            "set a short SO_RCVTIMEO and SO_SNDTIMEO on each accepted socket; serve each client in its own task, \
             or all of them with select()",
        ),
        Proof::OneAtATime(one) => one.advice(),
        Proof::WhileDialling(_) => (while_dialling::CAUSE, while_dialling::CHANGE),
        Proof::NoHandshake => (
            "the program hangs and its accept queue is full; or a firewall drops SYNs",
            "restart the device and test again; then set SO_RCVTIMEO on accepted sockets, and subscribe the \
             accepting task to the watchdog: esp_task_wdt_add(NULL), CONFIG_ESP_TASK_WDT_PANIC=y",
        ),
        Proof::Hung if hangs_since(e).is_none() => (
            "the task that serves clients did something else for so long: a slow job such as flash or a sensor, a \
             blocking call, or a wait for a single client",
            "move slow jobs to a task of their own; set SO_RCVTIMEO and SO_SNDTIMEO; serve each client in its own \
             task, or all of them with select()",
        ),
        Proof::Hung if resets_uncounted(e) => (
            "the program hangs (a deadlock, an endless loop, or a blocking call without a timeout), or it kept \
             the sockets of reset connections until none was left; the device doesn't report how many it uses",
            "set SO_RCVTIMEO and SO_SNDTIMEO; subscribe the serving task to the watchdog: \
             esp_task_wdt_add(NULL); call close() on every path, also after recv() fails",
        ),
        Proof::Hung if keeps_some(e) => (
            "the program hangs (a deadlock, an endless loop, or a blocking call without a timeout), perhaps \
             because it doesn't close connections that the client has closed",
            "set SO_RCVTIMEO and SO_SNDTIMEO; subscribe the serving task to the watchdog: \
             esp_task_wdt_add(NULL); call close() when recv() returns 0",
        ),
        Proof::KeptOut(_) => (kept_out::CAUSE, kept_out::CHANGE),
        Proof::NoneNew(_) => (NoneNew::CAUSE, NoneNew::CHANGE),
        Proof::Mute => (
            "the program doesn't answer heartbeats, or is busy with something else for longer than --peer-timeout",
            "answer each heartbeat in the task that reads the connection; raise --peer-timeout for a program that may take longer",
        ),
        Proof::NeverServed if facts::taken_late(e) => (
            "the program answers later than the client waits, or not at all; it still ends its connections, so it is in no \
             deadlock",
            "test with a longer --timeout-read to tell the two apart; answer each request, with an error status if need be",
        ),
        Proof::NeverServed => (
            "the program takes longer than the client waits, or it hangs: a deadlock, an endless loop, or a blocking call \
             without a timeout",
            "test with a longer --timeout-read to tell the two apart; set SO_RCVTIMEO and SO_SNDTIMEO, and subscribe the \
             serving task to the watchdog: esp_task_wdt_add(NULL), CONFIG_ESP_TASK_WDT_PANIC=y",
        ),
        Proof::Standing if goes_on(e) => (
            "the program loses some requests or answers, serves one connection at a time, or is stuck for a time in a job or \
             in a call without a timeout",
            "check that each request is answered, and what send() returns; move slow jobs to a task of their own; set \
             SO_RCVTIMEO and SO_SNDTIMEO",
        ),
        Proof::Standing | Proof::Hung => (
            "the program hangs: a deadlock, an endless loop, or a blocking call without a timeout",
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
    facts::telemetry(e).and_then(|t| t.sockets).is_none()
        && facts::exchanges(e).any(|w| w.close == ClosePolicy::Rst)
}

/// Whether some connections linger that were answered.
fn keeps_some(e: &Evidence<'_>) -> bool {
    facts::exchanges(e).any(|w| w.lingers.is_some_and(|lingers| lingers.answered > 0))
}

/// Since when the program did not come back, neither for this workload nor for a later one of its kind: one that does is in
/// no deadlock.
fn hangs_since(e: &Evidence<'_>) -> Option<Bout> {
    let last = facts::exchanges(e).flat_map(|w| facts::stuck(e, w).into_iter().map(move |bout| (w, bout)));
    let lasting = last.filter(|(w, bout)| bout.is_last && !facts::others_served_after(e, w, bout.from_ns));
    lasting.map(|(_, bout)| bout).min_by_key(|bout| bout.from_ns)
}

/// When the program stopped, as far as anybody asked: nobody may have, while all waited for the ends of their connections.
fn stopped(bout: &Bout) -> String {
    let unknown = |served: &u64| bout.from_ns.saturating_sub(*served) >= facts::SECOND;
    bout.served_ns.filter(unknown).map_or_else(
        || format!("at {}", time(bout.from_ns)),
        |served| format!("between {} and {}", time(served), time(bout.from_ns)),
    )
}

/// The slowest answer of the run.
fn slowest_answer(e: &Evidence<'_>) -> u64 {
    facts::exchanges(e).filter_map(|w| w.main).map(|main| main.max_ns).max().unwrap_or(0)
}

/// When the program hung, and whether it came back.
fn hung(e: &Evidence<'_>) -> String {
    let bouts: Vec<_> = facts::exchanges(e).flat_map(|w| facts::stuck(e, w)).collect();
    let first = bouts.iter().map(|bout| bout.from_ns).min().unwrap_or(0);
    if let Some(since) = hangs_since(e) {
        return format!(
            "The program stopped answering {} and hadn't recovered by the end of the run, while the device's stack still answered.",
            stopped(&since)
        );
    }
    // As far as clients waited: what came after the last of them had given up is in no bout.
    let longest = bouts.iter().map(|bout| bout.to_ns.saturating_sub(bout.from_ns)).max().unwrap_or(0);
    // What was answered waited as long: these are the answers that the client no longer waited for.
    let slowest = slowest_answer(e);
    if slowest >= longest / 2 {
        return format!(
            "The program is slow at times, and serves nobody else meanwhile: it answered no request for at least {} from {} on, \
             and took up to {} for those that it answered.",
            time(longest),
            time(first),
            time(slowest)
        );
    }
    format!(
        "The program stopped answering {}, first at {}, and for at least {} at the longest, while the device's \
         stack still answered.",
        times(bouts.len() as u64),
        time(first),
        time(longest)
    )
}

fn evidence(e: &Evidence<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, what) in [
        (AnomalyId::ZeroWindowStall, "kept its receive window at zero for more than a second"),
        (AnomalyId::NoAckToData, "never acknowledged the data it was sent"),
    ] {
        let seen = facts::of_device(e, id);
        if seen.count > 0 {
            lines.push(format!("the device {what} on {}", things(seen.connections, "connection")));
        }
    }
    for w in &e.workloads {
        let unanswered = facts::unanswered(w);
        if unanswered > 0 && w.kind != WorkloadKind::HalfOpen {
            lines.push(format!(
                "{}: {unanswered} of {} got no response in time ({}), {} succeeded",
                w.name,
                things(w.attempts, "attempt"),
                percent(unanswered, w.attempts),
                w.succeeded
            ));
        }
        if let Some(h) = &w.half_open {
            lines.push(format!(
                "{}: {} served before the client fell silent, {} connected but not served; a normal client was \
                 served {} of {} times in the meantime",
                w.name,
                things(u64::from(h.served), "connection"),
                h.unserved,
                h.during.served,
                h.during.attempts
            ));
        }
        lines.extend(one_at_a_time::in_figures(e, w));
    }
    lines.extend(facts::memory::heap_step(e).map(facts::memory::step_in_words));
    for (name, kind) in [("ping", &e.probes.icmp), ("telemetry", &e.probes.telemetry)] {
        if let Some(p) = kind.value().filter(|p| p.sent > 0) {
            lines.push(format!("{name}: {} of {} answered", p.answered, things(p.sent, "probe")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantiles;
    use bouts::Bout;

    const MS: u64 = 1_000_000;

    #[test]
    fn who_answers_the_next_request_at_once_each_time_did_not_hang() {
        let bout = |from, length| Bout {
            from_ns: from * MS,
            to_ns: (from + length) * MS,
            wait_ns: 500 * MS,
            ..Bout::default()
        };
        let of = |bouts: &[Bout], slowest: u64| {
            let main = Some(Quantiles { max_ns: slowest * MS, ..Quantiles::default() });
            leaves_out(
                &WorkloadEvidence { kind: WorkloadKind::Rw, main, ..WorkloadEvidence::default() },
                bouts,
            )
        };
        let three = [bout(10, 503), bout(600, 510), bout(1_200, 500)];
        assert!(of(&three, 20));
        assert!(!of(&three, 400), "some came late: it was busy");
        assert!(!of(&three[..2], 20), "it may be chance");
        assert!(!of(&[bout(10, 503), bout(600, 1_100), bout(2_000, 500)], 20), "the second lasted");
        let last = Bout { is_last: true, ..bout(1_200, 500) };
        assert!(!of(&[bout(10, 503), bout(600, 510), last], 20));
    }
}
