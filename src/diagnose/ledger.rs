//! Every occurrence of a run, judged and counted.

use std::collections::BTreeMap;

use super::anomalies::{Anomalies, AnomalyRow, Classed, Example, ExamplePacket, Intentions};
use super::ends::{Lingers, ResetCauses, Unserved};
use super::judge::{self, Standing};
use super::silences::{Moment, Moments, Untold, Verdicts, Weather};
use espstress_event::{
    AnomalyClass, AnomalyId, Direction, Intent, IntentEntry, NotJudged, Occurrence, Shown, WorkloadId,
};

const EXAMPLES: usize = 5;
const PROBE: &str = "probe";
/// Of a silence that the path's losses explain.
const LOST: &str = "the path loses segments: what was waited for may be among them";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    id: AnomalyId,
    standing: Standing,
    direction: Direction,
    workload: Option<WorkloadId>,
}

#[derive(Clone, Debug)]
struct Row {
    count: u64,
    connections: u64,
    first_ns: i64,
    last_ns: i64,
    examples: Vec<Example>,
    /// Silences, moment by moment, as long as nobody has said whose doing they are.
    moments: Moments,
}

impl Row {
    /// Takes another part of the same row in.
    fn absorb(&mut self, part: &Self) {
        self.count = self.count.saturating_add(part.count);
        self.connections = self.connections.saturating_add(part.connections);
        self.first_ns = self.first_ns.min(part.first_ns);
        self.last_ns = self.last_ns.max(part.last_ns);
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(part.examples.iter().take(room).cloned());
    }
}

/// Takes every occurrence of a run, in any order; its size depends on the number of workloads only.
#[derive(Clone, Debug)]
pub struct Ledger {
    start_unix_ns: i64,
    workloads: Vec<String>,
    rows: BTreeMap<RowKey, Row>,
    resets: ResetCauses,
    unserved: BTreeMap<WorkloadId, Unserved>,
    lingers: BTreeMap<WorkloadId, Lingering>,
}

/// Lingering connections, moment by moment, by whether everything that was asked had been answered.
#[derive(Clone, Debug, Default)]
struct Lingering {
    answered: Moments,
    unanswered: Moments,
}

impl Ledger {
    /// `start_unix_ns` is the wall time from which seconds count (a run's start, a capture's first packet),
    /// `workloads` are the names by [`WorkloadId`].
    #[must_use]
    pub fn new(start_unix_ns: i64, workloads: Vec<String>) -> Self {
        let resets = ResetCauses {
            answering_payload: 0,
            answering_late_close: 0,
            after_absence: 0,
            forgotten: 0,
            unanswered: 0,
            instead_of_answer: 0,
        };
        let (rows, unserved, lingers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { start_unix_ns, workloads, rows, resets, unserved, lingers }
    }

    /// Classes and counts one occurrence. Call it before the port is used twice more: intentions are kept that long.
    ///
    /// A silence that no intention explains is weighed at the end, in [`anomalies`](Self::anomalies); until then it
    /// counts as the weather so far would have it.
    pub fn take(&mut self, o: &Occurrence, intentions: Intentions<'_>, so_far: &Weather) -> Classed<'_> {
        let entry = match intentions {
            Intentions::Of(book) => {
                let (port, peer) = (o.connection.host.port(), o.connection.device.port());
                let entry = book.look_up(port, o.connection.isn);
                let cut = book.is_cut_off(port, peer, o.at_ns);
                entry.map(|entry| if cut { IntentEntry { intent: Intent::Silenced, ..entry } } else { entry })
            }
            Intentions::Unknown => None,
        };
        let standing = judge::standing(o, entry, intentions);
        let workload = entry.map(|e| e.workload);
        if standing == Standing::Decided(AnomalyClass::Device) {
            self.resets.count(o);
        }
        if let (AnomalyId::HalfClosedLinger, Standing::Open, Some(entry), Some(copies)) =
            (o.id, standing, entry, o.copies)
        {
            let lingering = self.lingers.entry(entry.workload).or_default();
            let of =
                if o.unanswered_ns.is_none() { &mut lingering.answered } else { &mut lingering.unanswered };
            of.add(Moment::new(o.at_ns, o.at_ns.saturating_add(o.lasted_ns), copies, o.nth == 1));
        }
        // Who is slow on purpose is given up before its request is whole.
        if let (Some(fate), Some(entry)) = (o.request, entry.filter(|entry| entry.intent != Intent::Slow)) {
            let unserved = self.unserved.entry(entry.workload).or_default();
            match o.id {
                AnomalyId::RstAfterHandshake => unserved.reset.count(fate, o.others),
                AnomalyId::ClosedUnserved => unserved.closed.count(fate, o.others),
                _ => {}
            }
        }
        let example = || self.example(o, standing, intentions);
        let key = RowKey { id: o.id, standing, direction: o.direction, workload };
        let until = o.at_ns.saturating_add(o.lasted_ns);
        let wants = self.rows.get(&key).is_none_or(|r| r.examples.len() < EXAMPLES);
        let example = wants.then(example);
        let row = self.rows.entry(key).or_insert_with(|| Row {
            count: 0,
            connections: 0,
            first_ns: o.at_ns,
            last_ns: until,
            examples: Vec::new(),
            moments: Moments::default(),
        });
        row.count += 1;
        row.connections += u64::from(o.nth == 1);
        row.first_ns = row.first_ns.min(o.at_ns);
        row.last_ns = row.last_ns.max(until);
        row.examples.extend(example);
        let class = match standing {
            Standing::Decided(class) => class,
            Standing::Open => {
                let moment = Moment::new(o.at_ns, until, o.copies.unwrap_or(1), o.nth == 1);
                row.moments.add(moment);
                let whose = Verdicts::of(o.id, &self.moments_of(o.id), so_far).whose(&moment);
                whose.unwrap_or(AnomalyClass::Path)
            }
        };
        Classed { class, workload: workload.and_then(|w| self.name(w)) }
    }

    /// What the anomalies come to, with silences weighed against everything that is known of the path.
    #[must_use]
    pub fn anomalies(&self, weather: &Weather) -> Anomalies {
        let mut rows: BTreeMap<(AnomalyId, AnomalyClass, Direction, Option<WorkloadId>), Row> =
            BTreeMap::new();
        let mut untold: BTreeMap<(AnomalyId, Untold), u64> = BTreeMap::new();
        for (key, row) in &self.rows {
            let mut add = |class, part: Row| {
                let place = rows.entry((key.id, class, key.direction, key.workload));
                place.and_modify(|row| row.absorb(&part)).or_insert(part);
            };
            match key.standing {
                Standing::Decided(class) => add(class, row.clone()),
                Standing::Open => {
                    let moments = self.moments_of(key.id);
                    let verdicts = Verdicts::of(key.id, &moments, weather);
                    for moment in row.moments.iter() {
                        match verdicts.whose(moment) {
                            Ok(class) => add(class, self.part(row, moment, class)),
                            Err(why) => *untold.entry((key.id, why)).or_default() += moment.connections,
                        }
                    }
                }
            }
        }
        let rows = rows.into_iter().map(|((id, class, direction, workload), row)| AnomalyRow {
            id,
            class,
            count: row.count,
            connections: row.connections,
            workload: workload.and_then(|w| self.name(w)).map(str::to_owned),
            first_s: self.seconds(row.first_ns),
            last_s: self.seconds(row.last_ns),
            direction,
            examples: row.examples,
        });
        let not_judged = untold
            .into_iter()
            .filter(|(_, n)| *n > 0)
            .map(|((id, why), connections)| NotJudged { id, reason: why.in_words().to_owned(), connections });
        Anomalies { rows: rows.collect(), not_judged: not_judged.collect() }
    }

    /// All silences of a kind that nothing else explains, whoever's connections they met.
    fn moments_of(&self, id: AnomalyId) -> Moments {
        let open = self.rows.iter().filter(|(key, _)| key.id == id && key.standing == Standing::Open);
        let mut lists = open.map(|(_, row)| &row.moments);
        let first = lists.next().cloned().unwrap_or_default();
        lists.fold(first, |mut all, list| {
            list.iter().for_each(|moment| all.add(*moment));
            all
        })
    }

    /// The part of a row that lies in one moment.
    fn part(&self, row: &Row, moment: &Moment, class: AnomalyClass) -> Row {
        let (from, to) = (self.seconds(moment.from_ns), self.seconds(moment.last_ns));
        let here = row.examples.iter().filter(|e| e.at_s >= from && e.at_s <= to).cloned();
        let examples = here.map(|mut example| {
            if class == AnomalyClass::Path {
                example.remark = Some(LOST.to_owned());
            }
            example
        });
        Row {
            count: moment.count,
            connections: moment.connections,
            first_ns: moment.from_ns,
            last_ns: moment.to_ns,
            examples: examples.collect(),
            moments: Moments::default(),
        }
    }

    /// What the device's own RSTs answered.
    #[must_use]
    pub const fn reset_causes(&self) -> ResetCauses {
        self.resets
    }

    /// Connections that the device ended before any byte of a response, by workload.
    #[must_use]
    pub fn unserved(&self) -> BTreeMap<String, Unserved> {
        self.unserved.iter().filter_map(|(id, u)| Some((self.name(*id)?.to_owned(), *u))).collect()
    }

    /// Connections that lingered after the host's FIN, by workload, those left out that the path explains.
    #[must_use]
    pub fn lingers(&self, weather: &Weather) -> BTreeMap<String, Lingers> {
        let id = AnomalyId::HalfClosedLinger;
        let all = self.moments_of(id);
        let verdicts = Verdicts::of(id, &all, weather);
        let of_device = |moments: &Moments| {
            // What cannot be told alone may be told by what came of it.
            let those = moments.iter().filter(|m| verdicts.whose(m) != Ok(AnomalyClass::Path));
            those.fold(0_u64, |n, m| n.saturating_add(m.connections))
        };
        let named = |(id, l): (&WorkloadId, &Lingering)| {
            let (answered, unanswered) = (of_device(&l.answered), of_device(&l.unanswered));
            Some((self.name(*id)?.to_owned(), Lingers { answered, unanswered }))
        };
        self.lingers.iter().filter_map(named).collect()
    }

    fn name(&self, workload: WorkloadId) -> Option<&str> {
        if workload == WorkloadId::PROBE {
            return Some(PROBE);
        }
        self.workloads.get(usize::from(workload.0)).map(String::as_str)
    }

    fn seconds(&self, unix_ns: i64) -> f64 {
        unix_ns.saturating_sub(self.start_unix_ns) as f64 / 1e9
    }

    fn example(&self, o: &Occurrence, standing: Standing, intentions: Intentions<'_>) -> Example {
        let unknown = matches!(intentions, Intentions::Unknown) && o.shows == Shown::Unprompted;
        let doubt = if unknown { judge::may_have_been_provoked(o) } else { None };
        // What the path may have done is no remark on what the run did.
        let remark = o
            .remark
            .filter(|_| o.shows != Shown::OnTheWay || standing == Standing::Decided(AnomalyClass::Path));
        Example {
            host: o.connection.host.to_string(),
            device: o.connection.device.to_string(),
            at_s: self.seconds(o.at_ns),
            lasted_s: (o.lasted_ns > 0).then(|| o.lasted_ns as f64 / 1e9),
            remark: remark.or(doubt).map(str::to_owned),
            packets: o
                .packets
                .iter()
                .map(|p| ExamplePacket {
                    number: p.number,
                    at_s: self.seconds(p.at_ns),
                    direction: p.direction,
                    summary: p.summary.clone(),
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::{
        Answered, AwaySpell, Direction, Intent, IntentBook, Losses, OutageOrigin, PathWindow,
    };

    const SECOND: i64 = 1_000_000_000;
    const START: i64 = 1_700_000_000 * SECOND;

    fn occurrence(id: AnomalyId, shows: Shown) -> Occurrence {
        crate::lone::lone(id, shows, START + 2 * SECOND)
    }

    /// A workload opens the connection that `occurrence` is about.
    fn announce(book: &IntentBook, workload: WorkloadId, intent: Intent) {
        book.opens(40_000, workload, intent, START);
        book.opened(40_000, 1, START);
    }

    fn ledger() -> Ledger {
        Ledger::new(START, vec!["first".into(), "second".into()])
    }

    fn classed(intent: Intent, id: AnomalyId) -> AnomalyClass {
        let book = IntentBook::default();
        announce(&book, WorkloadId(1), intent);
        ledger().take(&occurrence(id, Shown::Unprompted), Intentions::Of(&book), &Weather::default()).class
    }

    #[test]
    fn occurrences_are_counted_by_workload_and_connections_once() {
        let book = IntentBook::default();
        announce(&book, WorkloadId(1), Intent::Plain);
        let mut l = ledger();
        let mut o = occurrence(AnomalyId::PostRunChatter, Shown::Unprompted);
        for n in 1..=7 {
            o.nth = n;
            o.at_ns += SECOND;
            l.take(&o, Intentions::Of(&book), &Weather::default());
        }
        let rows = l.anomalies(&Weather::default()).rows;
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count, rows[0].connections, rows[0].examples.len()), (7, 1, 5));
        assert_eq!((rows[0].first_s, rows[0].last_s), (3.0, 9.0));
        assert_eq!(rows[0].workload.as_deref(), Some("second"));
    }

    #[test]
    fn what_was_asked_for_is_provoked() {
        assert_eq!(classed(Intent::Vanished, AnomalyId::RstAfterHandshake), AnomalyClass::Provoked);
        assert_eq!(classed(Intent::Silenced, AnomalyId::SynUnanswered), AnomalyClass::Provoked);
        assert_eq!(classed(Intent::Reset, AnomalyId::ChallengeAck), AnomalyClass::Provoked);
        assert_eq!(classed(Intent::BeyondCapacity, AnomalyId::SynUnanswered), AnomalyClass::Provoked);
        assert_eq!(classed(Intent::BeyondCapacity, AnomalyId::HalfClosedLinger), AnomalyClass::Provoked);
        for id in [AnomalyId::AbortiveClose, AnomalyId::RstAfterFin, AnomalyId::RstStorm, AnomalyId::LateRst]
        {
            assert_eq!(classed(Intent::LeftBehind, id), AnomalyClass::Provoked, "{id:?}");
        }
    }

    #[test]
    fn what_a_cut_of_the_link_did_to_a_connection_is_provoked_while_it_lasts() {
        let book = IntentBook::default();
        announce(&book, WorkloadId(1), Intent::Plain);
        let o = occurrence(AnomalyId::HalfClosedLinger, Shown::Unprompted);
        let class = |from, to| {
            book.cuts_off(o.connection.host.port(), o.connection.device.port(), from, to);
            ledger().take(&o, Intentions::Of(&book), &Weather::default()).class
        };
        assert_eq!(class(o.at_ns - 2 * SECOND, o.at_ns - 1), AnomalyClass::Device);
        assert_eq!(class(o.at_ns - SECOND, o.at_ns), AnomalyClass::Provoked);
    }

    #[test]
    fn what_the_intention_does_not_explain_stays_the_devices() {
        assert_eq!(classed(Intent::Plain, AnomalyId::AbortiveClose), AnomalyClass::Device);
        assert_eq!(classed(Intent::HalfClosed, AnomalyId::HalfClosedLinger), AnomalyClass::Device);
        assert_eq!(classed(Intent::Reset, AnomalyId::ClosedUnserved), AnomalyClass::Device);
        assert_eq!(classed(Intent::LeftBehind, AnomalyId::RstAfterHandshake), AnomalyClass::Device);
        assert_eq!(classed(Intent::Vanished, AnomalyId::SynUnanswered), AnomalyClass::Device);
        assert_eq!(classed(Intent::BeyondCapacity, AnomalyId::AbortiveClose), AnomalyClass::Device);
    }

    /// So many copies of a SYN within five seconds, with the link away from and to so many milliseconds after the first.
    fn syn_with_the_link_away(copies: u32, cause: OutageOrigin, from_ms: i64, to_ms: i64) -> Standing {
        let book = IntentBook::default();
        announce(&book, WorkloadId::PROBE, Intent::Plain);
        let at_ns = occurrence(AnomalyId::SynUnanswered, Shown::Unprompted).at_ns;
        let number = book.link_goes_away(cause, at_ns + from_ms * SECOND / 1_000);
        book.link_is_back(number, at_ns + to_ms * SECOND / 1_000);
        let o = Occurrence { at_ns, ..silence(AnomalyId::SynUnanswered, 0, copies) };
        judge::standing(&o, None, Intentions::Of(&book))
    }

    #[test]
    fn syns_into_an_outage_are_the_runs_or_the_paths_doing_and_not_the_devices() {
        let decided = Standing::Decided;
        let away = syn_with_the_link_away;
        assert_eq!(away(3, OutageOrigin::Made, -500, 4_000), decided(AnomalyClass::Provoked));
        assert_eq!(away(3, OutageOrigin::Natural, -500, 4_000), decided(AnomalyClass::Path));
        assert_eq!(
            away(3, OutageOrigin::Natural, -20, 2_500),
            decided(AnomalyClass::Path),
            "that of 3 s was at large"
        );
        assert_eq!(
            away(5, OutageOrigin::Natural, -20, 3_500),
            decided(AnomalyClass::Path),
            "that of 4 s was"
        );
    }

    #[test]
    fn syns_that_an_outage_does_not_explain_stay_to_be_weighed() {
        let away = syn_with_the_link_away;
        assert_eq!(away(3, OutageOrigin::Made, -900, 300), Standing::Open, "two were at large");
        assert_eq!(away(5, OutageOrigin::Natural, -20, 2_500), Standing::Open, "those of 3 and 4 s were");
        assert_eq!(away(3, OutageOrigin::Natural, -5_000, -1_000), Standing::Open);
        assert_eq!(away(3, OutageOrigin::Natural, 6_000, 8_000), Standing::Open);
    }

    #[test]
    fn data_into_an_outage_goes_unacknowledged_and_other_anomalies_keep_their_class() {
        let book = IntentBook::default();
        book.link_says(vec![AwaySpell {
            cause: OutageOrigin::Natural,
            from_ns: START,
            to_ns: Some(START + 3 * SECOND),
        }]);
        let class = |id| {
            ledger()
                .take(&occurrence(id, Shown::Unprompted), Intentions::Of(&book), &Weather::default())
                .class
        };
        assert_eq!(class(AnomalyId::NoAckToData), AnomalyClass::Path);
        assert_eq!(class(AnomalyId::AbortiveClose), AnomalyClass::Device);
    }

    #[test]
    fn the_paths_doing_stays_the_paths() {
        let book = IntentBook::default();
        announce(&book, WorkloadId::PROBE, Intent::Vanished);
        let o = occurrence(AnomalyId::Retransmission, Shown::OnTheWay);
        let o = Occurrence { direction: Direction::FromHost, ..o };
        let mut l = ledger();
        let classed = l.take(&o, Intentions::Of(&book), &Weather::default());
        assert_eq!(classed, Classed { class: AnomalyClass::Path, workload: Some("probe") });
    }

    #[test]
    fn what_a_silent_host_leaves_unanswered_is_repeated_by_its_doing() {
        let class = |intent, id| {
            let book = IntentBook::default();
            announce(&book, WorkloadId::PROBE, intent);
            let o = Occurrence { direction: Direction::FromDevice, ..occurrence(id, Shown::OnTheWay) };
            ledger().take(&o, Intentions::Of(&book), &Weather::default()).class
        };
        for id in [AnomalyId::FinRetransmission, AnomalyId::Retransmission] {
            assert_eq!(class(Intent::Silenced, id), AnomalyClass::Provoked);
            assert_eq!(class(Intent::Vanished, id), AnomalyClass::Provoked);
            assert_eq!(class(Intent::Plain, id), AnomalyClass::Path);
        }
    }

    /// A silence that takes so many lost copies.
    fn silence(id: AnomalyId, at_s: i64, copies: u32) -> Occurrence {
        let at_ns = START + at_s * SECOND;
        Occurrence { at_ns, lasted_ns: 5 * SECOND, copies: Some(copies), ..occurrence(id, Shown::Unprompted) }
    }

    #[test]
    fn a_silence_that_was_asked_for_is_provoked() {
        let class = |intent, id| {
            let book = IntentBook::default();
            announce(&book, WorkloadId(1), intent);
            ledger().take(&silence(id, 0, 1), Intentions::Of(&book), &Weather::default()).class
        };
        assert_eq!(class(Intent::BeyondCapacity, AnomalyId::SynUnanswered), AnomalyClass::Provoked);
        assert_eq!(class(Intent::BeyondCapacity, AnomalyId::HalfClosedLinger), AnomalyClass::Provoked);
        assert_eq!(class(Intent::Silenced, AnomalyId::NoAckToData), AnomalyClass::Provoked);
    }

    #[test]
    fn a_silence_that_nothing_explains_is_weighed_at_the_end() {
        let mut l = ledger();
        for n in 0..20 {
            l.take(&silence(AnomalyId::SynUnanswered, n * 10, 3), Intentions::Unknown, &Weather::default());
        }
        let window = |lost| PathWindow {
            from_ns: START,
            to_ns: START + 1_000 * SECOND,
            losses: Losses { segments: 4_000, lost, again: lost / 3 },
            syns: 1_000,
            ..PathWindow::default()
        };
        let classes = |lost| {
            let weather = Weather { windows: vec![window(lost)], ..Weather::default() };
            let judged = l.anomalies(&weather);
            let rows: Vec<_> = judged.rows.iter().map(|row| (row.class, row.count)).collect();
            (rows, judged.not_judged.len())
        };
        assert_eq!(classes(1), (vec![(AnomalyClass::Device, 20)], 0));
        assert_eq!(classes(400), (vec![(AnomalyClass::Path, 20)], 0));
        assert_eq!(classes(300), (vec![], 1), "in between nobody can tell");
    }

    #[test]
    fn a_lone_syn_into_an_outage_that_was_made_is_the_runs_doing() {
        let book = IntentBook::default();
        let o = silence(AnomalyId::SynUnanswered, 1, 1);
        book.link_goes_away(OutageOrigin::Made, o.at_ns - SECOND);
        let class = ledger().take(&o, Intentions::Of(&book), &Weather::default()).class;
        assert_eq!(class, AnomalyClass::Provoked);
    }

    #[test]
    fn connections_of_nobody_have_no_workload() {
        let book = IntentBook::default();
        let mut l = ledger();
        l.take(
            &occurrence(AnomalyId::LateRst, Shown::Unprompted),
            Intentions::Of(&book),
            &Weather::default(),
        );
        assert_eq!(l.anomalies(&Weather::default()).rows[0].workload, None);
    }

    #[test]
    fn without_intentions_the_doubt_is_said() {
        let mut l = ledger();
        l.take(
            &occurrence(AnomalyId::NoAckToData, Shown::Unprompted),
            Intentions::Unknown,
            &Weather::default(),
        );
        let rows = l.anomalies(&Weather::default()).rows;
        assert_eq!(rows[0].class, AnomalyClass::Device);
        assert!(rows[0].examples[0].remark.as_deref().unwrap().starts_with("may have been provoked"));
    }

    #[test]
    fn resets_are_told_apart_by_what_they_answer() {
        let mut l = ledger();
        let mut o = occurrence(AnomalyId::RstAfterFin, Shown::Unprompted);
        o.answers = Some(Answered::Payload);
        o.after_fin_ns = Some(3 * SECOND);
        l.take(&o, Intentions::Unknown, &Weather::default());
        o.answers = Some(Answered::Fin);
        l.take(&o, Intentions::Unknown, &Weather::default());
        o.after_fin_ns = Some(SECOND / 10);
        l.take(&o, Intentions::Unknown, &Weather::default());
        assert_eq!(
            l.reset_causes(),
            ResetCauses { answering_payload: 1, answering_late_close: 1, ..ResetCauses::default() }
        );
    }
}
