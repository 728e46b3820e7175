//! Clients keep their connections and are served on them, and nobody else is as long as they stand: a part of
//! `blocked_application`, of a program that serves one client at a time, or so many.
//!
//! Evidence: a workload that opened each of its connections once and was served on them again and again; beside it each other
//! workload met nothing but time-outs for most of the time. Where one connection did that, and the others are served once it
//! has gone, the program serves one client at a time. Where nobody else was ever served again, what they asked for may be
//! what the program leaves unanswered.
//!
//! Neighbours: a device that serves some others meanwhile, however few; one that says that it holds no more connections; a
//! link that was away, where those on the kept connections waited as well.

use super::super::bouts::{self, Bout};
use super::super::{Evidence, WorkloadEvidence, WorkloadKind, facts};
use super::text::{things, time};

/// How long the others were kept out at least. A stall of the program that meets one client sooner than others is no longer.
const LEAST_NS: u64 = 2 * facts::SECOND;

/// How long everybody else was kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptOut {
    /// By so many connections at once.
    connections: u32,
    /// For so long at least.
    ns: u64,
    /// Whether they were served again after that.
    served_again: bool,
}

pub(super) const CAUSE: &str = "the program serves a client until that one closes, and only then accepts the next; or what the \
                                others asked for is not answered at all";

pub(super) const CHANGE: &str = "serve each client in its own task, or all of them with select(); set SO_RCVTIMEO; to tell the two \
                                 apart, test what the others asked for alone";

impl KeptOut {
    pub(super) fn statement(self) -> String {
        let kept = if self.connections == 1 { "its connection" } else { "their connections" };
        format!(
            "While {} kept {kept} and {} served, the device served no other client for at least {}.",
            things(u64::from(self.connections), "client"),
            if self.connections == 1 { "was" } else { "were" },
            time(self.ns)
        )
    }
}

/// Everybody else, beside clients that keep their connections.
pub(super) fn seen(e: &Evidence<'_>) -> Option<KeptOut> {
    facts::exchanges(e).filter_map(|w| beside(e, w)).max_by_key(|out| out.ns)
}

/// How long the only client that keeps its connection kept everybody else out until it went, nanoseconds.
pub(super) fn by_one_client(e: &Evidence<'_>, kept: &WorkloadEvidence) -> Option<u64> {
    beside(e, kept).filter(|out| out.connections == 1 && out.served_again).map(|out| out.ns)
}

fn beside(e: &Evidence<'_>, kept: &WorkloadEvidence) -> Option<KeptOut> {
    let full = e.device.capacity.is_some_and(|capacity| kept.at_once >= capacity);
    if !facts::keeps_connections(kept) || full {
        return None;
    }
    let asked_beside = |w: &&WorkloadEvidence| {
        !std::ptr::eq(*w, kept) && w.start_ns < kept.end_ns && kept.start_ns < w.end_ns && w.attempts > 0
    };
    let mut others = facts::exchanges(e).filter(asked_beside).peekable();
    others.peek()?;
    let bouts: Vec<Bout> = others.map(|w| kept_out(e, w, kept)).collect::<Option<_>>()?;
    let ns = bouts.iter().map(|bout| bout.to_ns.saturating_sub(bout.from_ns)).min()?;
    let served_again = bouts.iter().all(|bout| !bout.is_last);
    Some(KeptOut { connections: kept.at_once, ns, served_again })
}

/// The time for which a workload was kept out, where that is most of the time that it was beside the other.
fn kept_out(e: &Evidence<'_>, w: &WorkloadEvidence, kept: &WorkloadEvidence) -> Option<Bout> {
    let (from_ns, to_ns) = (kept.start_ns.max(w.start_ns), kept.end_ns.min(w.end_ns));
    let mut within = bouts::course(e, w).bouts;
    within.retain(|bout| bout.to_ns.min(to_ns) > bout.from_ns.max(from_ns));
    let [bout] = within.as_slice() else { return None };
    let length = bout.to_ns.saturating_sub(bout.from_ns);
    // Who has begun just before the end is still served after it: some of the time is left for that.
    let most = length.saturating_mul(10) >= to_ns.saturating_sub(from_ns).saturating_mul(7);
    let served_before = bout.served_ns.is_some_and(|served| served > from_ns);
    let served_within = w.episodes.iter().any(|t| t.succeeded > 0 && t.from_ns > from_ns && t.to_ns < to_ns);
    let all = length >= LEAST_NS && most && !served_before && !served_within;
    let slow = bout.count(&bouts::SLOW);
    let few = slow < 2.max(facts::path::by_loss(e, w.attempts) + 1);
    (all && !few && bout.is_slow() && facts::served_in(kept, bout)).then(|| bout.clone())
}

/// New connections that were not served for a time, beside clients that keep theirs and were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoneNew {
    from_ns: u64,
    ns: u64,
}

impl NoneNew {
    pub(super) const CAUSE: &str = "each task of the server serves its client until that one closes, and no task is left; or no \
                                    socket is, because some are never closed; or the task that accepts hangs";

    pub(super) const CHANGE: &str = "serve all clients with select(), or each in a task of its own, and end idle ones after a while; \
                                     call close() on every path, also when recv() returns 0 or fails; subscribe the accepting \
                                     task to the watchdog: esp_task_wdt_add(NULL)";

    pub(super) fn statement(self) -> String {
        format!(
            "The device served no new connection from {} on for at least {}, while it went on serving clients that keep theirs.",
            time(self.from_ns),
            time(self.ns)
        )
    }
}

/// The longest time in which a workload that opens a connection for each request got no answer, and one that keeps its
/// connections did.
pub(super) fn none_new(e: &Evidence<'_>) -> Option<NoneNew> {
    /// Shorter, and a queue that is full for a moment looks so.
    const LONG_NS: u64 = 10 * facts::SECOND;
    /// Two may be chance.
    const FEW: u64 = 3;
    /// Requests on each connection, at least, of clients that keep theirs.
    const KEPT: u64 = 5;
    let keeps = |w: &&WorkloadEvidence| {
        let opened = w.connect.map_or(0, |connect| connect.count);
        w.kind == WorkloadKind::Rw && opened > 0 && w.succeeded >= opened.saturating_mul(KEPT)
    };
    let out = |w: &WorkloadEvidence, bout: &Bout| {
        let few = bout.count(&bouts::SLOW) < FEW.max(facts::path::by_loss(e, w.attempts) + 1);
        let long = bout.to_ns.saturating_sub(bout.from_ns) >= LONG_NS;
        let beside = facts::exchanges(e).filter(keeps).any(|kept| facts::served_in(kept, bout));
        long && !few && bout.is_slow() && beside
    };
    facts::exchanges(e)
        .filter(|w| w.kind == WorkloadKind::Head)
        .flat_map(|w| bouts::course(e, w).bouts.into_iter().filter(move |bout| out(w, bout)))
        .map(|bout| NoneNew { from_ns: bout.from_ns, ns: bout.to_ns.saturating_sub(bout.from_ns) })
        .max_by_key(|none| none.ns)
}

/// The same in figures.
pub(super) fn in_figures(e: &Evidence<'_>, kept: &WorkloadEvidence) -> Option<String> {
    let out = beside(e, kept)?;
    Some(format!(
        "{}: {} answered on {} kept all the time; beside {}, no other client was served for {}",
        kept.name,
        things(kept.succeeded, "request"),
        things(u64::from(out.connections), "connection"),
        if out.connections == 1 { "it" } else { "them" },
        time(out.ns)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceEvidence, Quantiles};
    use espstress_event::{Episode, Failure};

    const S: u64 = 1_000_000_000;

    fn at(from: u64, to: u64, outcome: Result<(), Failure>) -> Episode {
        Episode::of(from * S / 10, to * S / 10, outcome)
    }

    fn of(name: &str, kind: WorkloadKind, episodes: Vec<Episode>) -> WorkloadEvidence {
        let succeeded = episodes.iter().map(|t| t.succeeded).sum();
        let figures = |count| Quantiles { count, max_ns: S / 10, ..Quantiles::default() };
        WorkloadEvidence {
            name: name.into(),
            kind,
            end_ns: 12 * S,
            attempts: episodes.len() as u64,
            succeeded,
            at_once: 1,
            connect: Some(figures(1)),
            main: Some(figures(succeeded)),
            episodes,
            ..WorkloadEvidence::default()
        }
    }

    /// A request each tenth of a second, for 12 s.
    fn kept() -> WorkloadEvidence {
        of("kept", WorkloadKind::Rw, (0..120).map(|n| at(n, n + 1, Ok(()))).collect())
    }

    /// Attempts of 5 s that time out, one after the other, and one that is served once the kept connection has gone.
    fn others() -> WorkloadEvidence {
        let late = Err(Failure::ReadTimeout);
        let mut all: Vec<Episode> = (1..=6).map(|n| at(n * 10, n * 10 + 50, late)).collect();
        all.push(at(79, 125, Ok(())));
        of("others", WorkloadKind::Head, all)
    }

    fn never() -> WorkloadEvidence {
        let mut never = others();
        never.episodes.pop();
        never
    }

    fn evidence(workloads: Vec<WorkloadEvidence>) -> Evidence<'static> {
        Evidence { duration_ns: 15 * S, workloads, ..Evidence::default() }
    }

    fn told(workloads: Vec<WorkloadEvidence>) -> Option<(u64, bool)> {
        let e = evidence(workloads);
        let one = by_one_client(&e, &e.workloads[0]);
        let any = seen(&e);
        assert!(one.is_none() || one == any.map(|out| out.ns));
        any.map(|out| (out.ns, one.is_some()))
    }

    #[test]
    fn whoever_keeps_its_connection_keeps_all_others_out_of_a_program_for_one_client() {
        assert_eq!(told(vec![kept(), others()]), Some((10 * S, true)));
    }

    #[test]
    fn others_that_are_never_served_may_ask_for_what_is_not_answered() {
        assert_eq!(told(vec![kept(), never()]), Some((10 * S, false)));
        let alone = WorkloadEvidence { start_ns: 13 * S, end_ns: 30 * S, ..never() };
        assert_eq!(told(vec![kept(), alone]), None, "not beside it");
    }

    #[test]
    fn a_device_that_serves_anybody_meanwhile_keeps_nobody_out() {
        let mut served = others();
        served.episodes.insert(3, at(82, 83, Ok(())));
        assert_eq!(told(vec![kept(), served]), None, "one of them");
        let third = of("third", WorkloadKind::Head, vec![at(30, 31, Ok(()))]);
        assert_eq!(told(vec![kept(), others(), third]), None, "those of another workload");
        assert_eq!(told(vec![kept()]), None, "nobody else asked");
    }

    #[test]
    fn where_those_on_kept_connections_waited_as_well_the_link_was_away() {
        let waited = Quantiles { count: 120, max_ns: 9 * S, ..Quantiles::default() };
        assert_eq!(told(vec![WorkloadEvidence { main: Some(waited), ..kept() }, others()]), None);
    }

    #[test]
    fn connections_that_are_opened_anew_and_a_device_without_more_room_say_nothing() {
        let again =
            WorkloadEvidence { connect: Some(Quantiles { count: 2, ..Quantiles::default() }), ..kept() };
        assert_eq!(told(vec![again, others()]), None);
        let device = DeviceEvidence { capacity: Some(1), ..DeviceEvidence::default() };
        assert_eq!(seen(&Evidence { device, ..evidence(vec![kept(), others()]) }), None);
    }

    #[test]
    fn new_connections_that_fail_from_some_time_on_are_told_from_a_program_that_stopped() {
        let late = Err(Failure::ConnectTimeout);
        let mut all = vec![at(1, 2, Ok(())), at(9, 10, Ok(()))];
        all.extend((1..=7).map(|n| at(n * 10, n * 10 + 50, late)));
        let short = of("short", WorkloadKind::Head, all);
        let e = evidence(vec![kept(), short.clone()]);
        assert_eq!(seen(&e), None, "they were served before");
        assert_eq!(none_new(&e), Some(NoneNew { from_ns: S, ns: 11 * S }));
        assert_eq!(none_new(&evidence(vec![short.clone()])), None, "nobody else was served");
        let waited = Quantiles { count: 120, max_ns: 9 * S, ..Quantiles::default() };
        assert_eq!(none_new(&evidence(vec![WorkloadEvidence { main: Some(waited), ..kept() }, short])), None);
    }

    #[test]
    fn several_that_keep_theirs_are_told_as_so_many() {
        let connect = Some(Quantiles { count: 4, ..Quantiles::default() });
        let e = evidence(vec![WorkloadEvidence { at_once: 4, connect, ..kept() }, others()]);
        assert_eq!(by_one_client(&e, &e.workloads[0]), None);
        let said = seen(&e).map(KeptOut::statement).unwrap_or_default();
        assert!(said.starts_with("While 4 clients kept their connections and were served,"), "{said}");
    }
}
