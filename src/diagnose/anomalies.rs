//! The anomalies of a run: occurrences classed by intention and counted, a row for each id, class,
//! direction and workload.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::silences::{Moment, Moments, Untold, Verdicts, Weather};
use crate::event::{
    AnomalyClass, AnomalyId, Answered, AwayCause, Direction, Intent, IntentBook, NotJudged, Occurrence,
    RequestFate, WorkloadId,
};

/// All occurrences of one anomaly, of one class, in one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnomalyRow {
    /// Which anomaly.
    pub id: AnomalyId,
    /// Whom it counts against.
    pub class: AnomalyClass,
    /// Occurrences.
    pub count: u64,
    /// Connections that show it.
    pub connections: u64,
    /// Workload whose connections they are; null where no workload of the run opened them.
    pub workload: Option<String>,
    /// First occurrence, seconds since the start of the run.
    pub first_s: f64,
    /// Last occurrence, seconds since the start of the run; with its duration where it has one.
    pub last_s: f64,
    /// Who sent the telling segments.
    pub direction: Direction,
    /// Up to five.
    pub examples: Vec<Example>,
}

/// One occurrence, for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// The host's end, `address:port`.
    pub host: String,
    /// The device's end, `address:port`.
    pub device: String,
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// How long it lasted, seconds; null for an instant.
    pub lasted_s: Option<f64>,
    /// What qualifies it; null when nothing does.
    pub remark: Option<String>,
    /// The few packets that show it.
    pub packets: Vec<ExamplePacket>,
}

/// One packet of an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExamplePacket {
    /// Number in the capture, from 1.
    pub number: u64,
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// Who sent it.
    pub direction: Direction,
    /// The segment in words.
    pub summary: String,
}

/// What the device's RSTs of class device answered: the findings tell an application that closes too
/// early from a stack that gave up waiting by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetCauses {
    /// RSTs (`abortive_close`, `rst_after_fin`) that came while or after the host sent payload.
    pub answering_payload: u64,
    /// `rst_after_fin` that answered the host's FIN or ACK a second or more after the device's own FIN.
    pub answering_late_close: u64,
    /// First RSTs of connections older than a time in which the device answered nothing, just after it: whatever that
    /// was, they are its consequence.
    pub after_absence: u64,
    /// Of those, the ones that a stack sends that started anew and has forgotten the connection.
    pub forgotten: u64,
    /// RSTs (`abortive_close`, `rst_after_fin`) on connections whose request had gone unanswered for a second or more.
    pub unanswered: u64,
}

/// Connections of a workload on which the device acknowledged the host's FIN and sent nothing more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lingers {
    /// Everything that was asked had been answered: the program keeps the socket.
    pub answered: u64,
    /// The last request had not been answered: the program may not have come to it.
    pub unanswered: u64,
}

/// Connections of a workload that the device ended before any byte of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unserved {
    /// By a RST.
    pub reset: CutRequests,
    /// By a FIN.
    pub closed: CutRequests,
}

/// How far the requests of such connections had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutRequests {
    /// The host had sent no request.
    pub not_sent: u64,
    /// The device had not acknowledged it.
    pub unacknowledged: u64,
    /// The device had acknowledged it.
    pub acknowledged: u64,
    /// The shortest time from that to the end, nanoseconds; `None` where none was acknowledged.
    pub least_ns: Option<u64>,
    /// The longest.
    pub most_ns: Option<u64>,
}

impl CutRequests {
    fn count(&mut self, fate: RequestFate) {
        match fate {
            RequestFate::NotSent => self.not_sent += 1,
            RequestFate::Unacknowledged => self.unacknowledged += 1,
            RequestFate::Acknowledged(after) => {
                let after = u64::try_from(after).unwrap_or(0);
                self.acknowledged += 1;
                self.least_ns = Some(self.least_ns.map_or(after, |least| least.min(after)));
                self.most_ns = Some(self.most_ns.map_or(after, |most| most.max(after)));
            }
        }
    }
}

/// What became of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classed<'a> {
    /// Its class, intentions considered.
    pub class: AnomalyClass,
    /// The workload whose connection it was.
    pub workload: Option<&'a str>,
}

/// Where the reports' seconds begin, and whose intentions count.
#[derive(Clone, Copy, Debug)]
pub enum Intentions<'a> {
    /// A run's.
    Of(&'a IntentBook),
    /// Nobody knows: a capture file.
    Unknown,
}

const EXAMPLES: usize = 5;
const PROBE: &str = "probe";
/// Of a silence that the path's losses explain.
const LOST: &str = "the path loses segments: what was waited for may be among them";
const SECOND: i64 = 1_000_000_000;

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

/// What a capture's anomalies come to.
#[derive(Clone, Debug, Default)]
pub struct Anomalies {
    /// In the order of [`AnomalyId::ALL`], then by class, direction and workload.
    pub rows: Vec<AnomalyRow>,
    /// What could not be told.
    pub not_judged: Vec<NotJudged>,
}

/// Whose doing something is, as long as not everything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    Decided(AnomalyClass),
    /// A silence: to be weighed against the path's losses.
    Open,
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
        };
        let (rows, unserved, lingers) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { start_unix_ns, workloads, rows, resets, unserved, lingers }
    }

    /// Classes and counts one occurrence. Call it soon after the occurrence: a later connection on the same
    /// port has other intentions.
    ///
    /// A silence that no intention explains is weighed at the end, in [`anomalies`](Self::anomalies); until then it
    /// counts as the weather so far would have it.
    pub fn take(&mut self, o: &Occurrence, intentions: Intentions<'_>, so_far: &Weather) -> Classed<'_> {
        let entry = match intentions {
            Intentions::Of(book) => book.look_up(o.connection.host.port()),
            Intentions::Unknown => None,
        };
        let class = match (entry, intentions) {
            _ if !asks_intention(o) => o.class,
            (Some(e), _) if excuses(e.intent, o.id) => AnomalyClass::Provoked,
            (_, Intentions::Of(book)) => without_link(book, o).unwrap_or(o.class),
            _ => o.class,
        };
        let workload = entry.map(|e| e.workload);
        if class == AnomalyClass::Device {
            self.count_reset(o);
        }
        if let (AnomalyId::HalfClosedLinger, AnomalyClass::Device, Some(entry), Some(copies)) =
            (o.id, class, entry, o.copies)
        {
            let lingering = self.lingers.entry(entry.workload).or_default();
            let of =
                if o.unanswered_ns.is_none() { &mut lingering.answered } else { &mut lingering.unanswered };
            of.add(Moment::new(o.at_ns, o.at_ns.saturating_add(o.lasted_ns), copies, o.nth == 1));
        }
        if let (Some(fate), Some(entry)) = (o.request, entry) {
            let unserved = self.unserved.entry(entry.workload).or_default();
            match o.id {
                AnomalyId::RstAfterHandshake => unserved.reset.count(fate),
                AnomalyId::ClosedUnserved => unserved.closed.count(fate),
                _ => {}
            }
        }
        let example = || self.example(o, class, intentions);
        let standing = match (class, o.copies) {
            (AnomalyClass::Device, Some(_)) => Standing::Open,
            _ => Standing::Decided(class),
        };
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
        let class = match (standing, o.copies) {
            (Standing::Open, Some(copies)) => {
                let moment = Moment::new(o.at_ns, until, copies, o.nth == 1);
                row.moments.add(moment);
                let whose = Verdicts::of(o.id, &self.moments_of(o.id), so_far).whose(&moment);
                whose.unwrap_or(AnomalyClass::Path)
            }
            _ => class,
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

    fn count_reset(&mut self, o: &Occurrence) {
        let is_reset =
            matches!(o.id, AnomalyId::AbortiveClose | AnomalyId::RstAfterFin | AnomalyId::RstAfterHandshake);
        if is_reset && o.after_absence {
            self.resets.after_absence += 1;
            // A connection that the device had closed before is none that it forgot.
            self.resets.forgotten += u64::from(o.forgotten && o.id != AnomalyId::RstAfterFin);
            return;
        }
        if is_reset && o.unanswered_ns.is_some_and(|ns| ns >= SECOND) {
            self.resets.unanswered += u64::from(o.id != AnomalyId::RstAfterHandshake);
            return;
        }
        match (o.id, o.answers) {
            (AnomalyId::AbortiveClose | AnomalyId::RstAfterFin, Some(Answered::Payload)) => {
                self.resets.answering_payload += 1;
            }
            (AnomalyId::RstAfterFin, Some(Answered::Fin | Answered::Ack))
                if o.after_fin_ns.is_some_and(|ns| ns >= SECOND) =>
            {
                self.resets.answering_late_close += 1;
            }
            _ => {}
        }
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

    fn example(&self, o: &Occurrence, class: AnomalyClass, intentions: Intentions<'_>) -> Example {
        let unknown = matches!(intentions, Intentions::Unknown) && o.class == AnomalyClass::Device;
        let doubt = if unknown { may_have_been_provoked(o) } else { None };
        // What the path may have done is no remark on what the run did.
        let remark = o.remark.filter(|_| class == o.class || o.class != AnomalyClass::Path);
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

/// Whether what the run intended may say more of an occurrence than the packets did.
const fn asks_intention(o: &Occurrence) -> bool {
    matches!(o.class, AnomalyClass::Device)
}

/// Whose doing an anomaly is that an absent link explains: this run's where it cut the link, else the path's.
///
/// A SYN that met the outage, and every repetition that did, shows nothing of the device. What is left over counts as
/// always: one SYN may have been lost, two in vain are the device's doing.
fn without_link(book: &IntentBook, o: &Occurrence) -> Option<AnomalyClass> {
    let until = o.at_ns.saturating_add(o.lasted_ns);
    let class = |cause| match cause {
        AwayCause::Made => AnomalyClass::Provoked,
        AwayCause::Natural => AnomalyClass::Path,
    };
    match o.id {
        AnomalyId::SynUnanswered => {
            let cause = book.link_was_away(o.at_ns, until)?;
            // Repetitions double their distance from a second on (RFC 6298, 2.1 and 5.5).
            let copies = (0..6).map(|n| ((1_i64 << n) - 1) * SECOND).filter(|after| *after <= o.lasted_ns);
            let at_large =
                copies.map(|after| o.at_ns + after).filter(|at| book.link_was_away(*at, *at).is_none());
            match at_large.count() {
                0 => Some(class(cause)),
                1 => Some(AnomalyClass::Path),
                _ => None,
            }
        }
        AnomalyId::NoAckToData | AnomalyId::HalfClosedLinger => book.link_was_away(o.at_ns, until).map(class),
        _ => None,
    }
}

/// Whether what was intended with a connection explains an anomaly on it.
///
/// Silence on the host's side explains everything. A host that vanished had a connection first: what kept
/// it from getting one is not explained. A RST that was to come explains only what can come after it. More
/// connections than the device says it can hold explain that it did not take one.
const fn excuses(intent: Intent, id: AnomalyId) -> bool {
    use AnomalyId as A;
    let opening = matches!(id, A::SynRefused | A::SynUnanswered | A::TimewaitCollision);
    match intent {
        Intent::Plain | Intent::HalfClosed => false,
        // It may sit in the backlog, acknowledged by the stack and seen by no program.
        Intent::BeyondCapacity => matches!(
            id,
            A::SynRefused
                | A::SynUnanswered
                | A::RstAfterHandshake
                | A::ClosedUnserved
                | A::HalfClosedLinger
                | A::NoAckToData
        ),
        Intent::Reset => !opening && !matches!(id, A::RstAfterHandshake | A::ClosedUnserved | A::RstAfterFin),
        Intent::Silenced => true,
        Intent::Vanished => !opening,
    }
}

/// For a capture of which nobody knows what was intended.
const fn may_have_been_provoked(o: &Occurrence) -> Option<&'static str> {
    match o.id {
        AnomalyId::SynUnanswered | AnomalyId::SynRefused => {
            Some("may have been provoked: more connections than the device is made for, or a cut link")
        }
        AnomalyId::NoAckToData | AnomalyId::HalfClosedLinger | AnomalyId::ZeroWindowStall => {
            Some("may have been provoked: the link or the host may have been cut off on purpose")
        }
        AnomalyId::PostRunChatter | AnomalyId::FinRetransmission => {
            Some("may have been provoked: the host may have vanished on purpose")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{AwaySpell, ConnectionKey, Losses, PathWindow};

    const START: i64 = 1_700_000_000 * SECOND;

    fn occurrence(id: AnomalyId, class: AnomalyClass) -> Occurrence {
        Occurrence {
            id,
            class,
            connection: ConnectionKey {
                host: ([192, 168, 4, 1], 40_000).into(),
                device: ([192, 168, 4, 91], 80).into(),
                isn: Some(1),
            },
            direction: Direction::FromDevice,
            at_ns: START + 2 * SECOND,
            nth: 1,
            answers: None,
            after_fin_ns: None,
            request: None,
            copies: None,
            unanswered_ns: None,
            after_absence: false,
            forgotten: false,
            lasted_ns: 0,
            packets: Vec::new(),
            remark: None,
        }
    }

    fn ledger() -> Ledger {
        Ledger::new(START, vec!["first".into(), "second".into()])
    }

    fn classed_from(class: AnomalyClass, intent: Intent, id: AnomalyId) -> AnomalyClass {
        let book = IntentBook::default();
        book.note(40_000, WorkloadId(1), intent);
        ledger().take(&occurrence(id, class), Intentions::Of(&book), &Weather::default()).class
    }

    fn classed(intent: Intent, id: AnomalyId) -> AnomalyClass {
        classed_from(AnomalyClass::Device, intent, id)
    }

    #[test]
    fn occurrences_are_counted_by_workload_and_connections_once() {
        let book = IntentBook::default();
        book.note(40_000, WorkloadId(1), Intent::Plain);
        let mut l = ledger();
        let mut o = occurrence(AnomalyId::PostRunChatter, AnomalyClass::Device);
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
    }

    #[test]
    fn what_the_intention_does_not_explain_stays_the_devices() {
        assert_eq!(classed(Intent::Plain, AnomalyId::AbortiveClose), AnomalyClass::Device);
        assert_eq!(classed(Intent::HalfClosed, AnomalyId::HalfClosedLinger), AnomalyClass::Device);
        assert_eq!(classed(Intent::Reset, AnomalyId::ClosedUnserved), AnomalyClass::Device);
        assert_eq!(classed(Intent::Vanished, AnomalyId::SynUnanswered), AnomalyClass::Device);
        assert_eq!(classed(Intent::BeyondCapacity, AnomalyId::AbortiveClose), AnomalyClass::Device);
    }

    /// A SYN and its repetitions within five seconds, at 0, 1 and 3 s, with the link away from and to so many
    /// milliseconds after the first.
    fn syn_with_the_link_away(cause: AwayCause, from_ms: i64, to_ms: i64) -> AnomalyClass {
        let book = IntentBook::default();
        book.note(40_000, WorkloadId::PROBE, Intent::Plain);
        let mut o = occurrence(AnomalyId::SynUnanswered, AnomalyClass::Device);
        o.lasted_ns = 5 * SECOND;
        let number = book.link_goes_away(cause, o.at_ns + from_ms * SECOND / 1_000);
        book.link_is_back(number, o.at_ns + to_ms * SECOND / 1_000);
        ledger().take(&o, Intentions::Of(&book), &Weather::default()).class
    }

    #[test]
    fn syns_into_an_outage_are_the_runs_or_the_paths_doing_and_not_the_devices() {
        assert_eq!(syn_with_the_link_away(AwayCause::Made, -500, 4_000), AnomalyClass::Provoked);
        assert_eq!(syn_with_the_link_away(AwayCause::Natural, -500, 4_000), AnomalyClass::Path);
        assert_eq!(
            syn_with_the_link_away(AwayCause::Natural, -20, 2_500),
            AnomalyClass::Path,
            "one was at large"
        );
    }

    #[test]
    fn syns_that_an_outage_does_not_explain_stay_the_devices() {
        assert_eq!(
            syn_with_the_link_away(AwayCause::Made, -900, 300),
            AnomalyClass::Device,
            "two were at large"
        );
        assert_eq!(syn_with_the_link_away(AwayCause::Natural, -5_000, -1_000), AnomalyClass::Device);
        assert_eq!(syn_with_the_link_away(AwayCause::Natural, 6_000, 8_000), AnomalyClass::Device);
    }

    #[test]
    fn data_into_an_outage_goes_unacknowledged_and_other_anomalies_keep_their_class() {
        let book = IntentBook::default();
        book.link_says(vec![AwaySpell {
            cause: AwayCause::Natural,
            from_ns: START,
            to_ns: Some(START + 3 * SECOND),
        }]);
        let class = |id| {
            ledger()
                .take(&occurrence(id, AnomalyClass::Device), Intentions::Of(&book), &Weather::default())
                .class
        };
        assert_eq!(class(AnomalyId::NoAckToData), AnomalyClass::Path);
        assert_eq!(class(AnomalyId::AbortiveClose), AnomalyClass::Device);
    }

    #[test]
    fn the_paths_doing_stays_the_paths() {
        let book = IntentBook::default();
        book.note(40_000, WorkloadId::PROBE, Intent::Vanished);
        let mut l = ledger();
        let o = occurrence(AnomalyId::Retransmission, AnomalyClass::Path);
        let classed = l.take(&o, Intentions::Of(&book), &Weather::default());
        assert_eq!(classed, Classed { class: AnomalyClass::Path, workload: Some("probe") });
    }

    /// A silence that takes so many lost copies.
    fn silence(id: AnomalyId, at_s: i64, copies: u32) -> Occurrence {
        let at_ns = START + at_s * SECOND;
        Occurrence {
            at_ns,
            lasted_ns: 5 * SECOND,
            copies: Some(copies),
            ..occurrence(id, AnomalyClass::Device)
        }
    }

    #[test]
    fn a_silence_that_was_asked_for_is_provoked() {
        let class = |intent, id| {
            let book = IntentBook::default();
            book.note(40_000, WorkloadId(1), intent);
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
        book.link_goes_away(AwayCause::Made, o.at_ns - SECOND);
        let class = ledger().take(&o, Intentions::Of(&book), &Weather::default()).class;
        assert_eq!(class, AnomalyClass::Provoked);
    }

    #[test]
    fn connections_of_nobody_have_no_workload() {
        let book = IntentBook::default();
        let mut l = ledger();
        l.take(
            &occurrence(AnomalyId::LateRst, AnomalyClass::Device),
            Intentions::Of(&book),
            &Weather::default(),
        );
        assert_eq!(l.anomalies(&Weather::default()).rows[0].workload, None);
    }

    #[test]
    fn without_intentions_the_doubt_is_said() {
        let mut l = ledger();
        l.take(
            &occurrence(AnomalyId::NoAckToData, AnomalyClass::Device),
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
        let mut o = occurrence(AnomalyId::RstAfterFin, AnomalyClass::Device);
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
