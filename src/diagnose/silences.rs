//! Whose doing silences are: answers that did not come, weighed against what the path was seen to lose.
//!
//! One silence alone may be a run of lost segments. How many such runs the path brings about is known from its rate of
//! loss and from how often there was an occasion ([`loss`](super::loss)). What was silent at one moment counts once,
//! however many connections it met: one burst of the path may be all there is to it.

use espstress_event::{AnomalyClass, AnomalyId, Losses, PathWindow};

use super::{loss, syns};

/// Silences that begin within this time of each other are one moment, nanoseconds: longer than a link's bursts, and
/// as long as the shortest time without a packet that is told ([`Absent`]).
const MOMENT: i64 = 500_000_000;

/// Moments kept of one kind; when they are as many, each two become one entry.
const MOST: usize = 512;

/// Lost RSTs whose connections the device held at once: so many explain a SYN without an answer.
const SEVERAL: usize = 3;

/// What surrounds the silences of a capture. Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    /// What probes show of the path's losses, all over the run.
    pub probes: Losses,
    /// What the path did, window by window, in the order of time.
    pub windows: Vec<PathWindow>,
    /// When no packet came from the device, nor an answer to a probe where there are probes: what was silent in one such
    /// time may have had one cause.
    pub quiet: Vec<Absent>,
    /// When the probes went unanswered as well, those that are answered at other times: the device, or its link, was
    /// away.
    pub absent: Vec<Absent>,
    /// The same where one probe of each kind was lost, which chance may do.
    pub unheard: Vec<Absent>,
    /// When the device held connections whose RST the path had lost.
    pub held: Vec<(i64, i64)>,
}

/// A time in which nothing came from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent {
    /// The last sign of it before.
    pub from_ns: i64,
    /// The first sign of it after; `i64::MAX` where none came.
    pub to_ns: i64,
}

/// Why nobody can tell whose doing something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Untold {
    /// It is too often for the path and too seldom for certainty.
    TooFew,
    /// It is too seldom for certainty, though the path was not seen to lose anything.
    NoLoss,
    /// Nothing else came from the device then, and nothing came after it.
    Absent,
    /// Nothing else came from the device then, and a probe was lost as well.
    Unheard,
}

impl Untold {
    /// Those of which there are not enough.
    pub(super) const FEW: [Self; 2] = [Self::TooFew, Self::NoLoss];

    /// In words.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::TooFew => {
                "the path's losses may have made these silences, or the device; more of them, or a path that loses less, \
                 would tell"
            }
            Self::NoLoss => {
                "there were too few of these silences to blame the device: nothing was seen to get lost on the path, but a \
                 few losses can go unseen; more of them would tell"
            }
            Self::Absent => "nothing came from the device any more, so that nobody can tell it from its link",
            Self::Unheard => {
                "nothing else came from the device meanwhile, and a probe was lost: its link may have been away"
            }
        }
    }
}

/// Whose doing silences are.
pub type Whose = Result<AnomalyClass, Untold>;

/// One or more moments that follow each other, with no answer of the same kind known in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// When the first silence of it began.
    pub(super) from_ns: i64,
    /// When the last one of it began.
    pub(super) last_ns: i64,
    /// When the last one of it was told.
    pub(super) to_ns: i64,
    /// Silences in it.
    pub(super) count: u64,
    /// Connections that show them.
    pub(super) connections: u64,
    /// The fewest copies that had to be lost for one of them.
    pub(super) copies: u32,
    /// The most that one of them took: the others gave up sooner.
    most_copies: u32,
    /// Moments in it.
    moments: u64,
}

impl Moment {
    pub(super) const fn new(from_ns: i64, to_ns: i64, copies: u32, is_first: bool) -> Self {
        let connections = if is_first { 1 } else { 0 };
        Self {
            from_ns,
            last_ns: from_ns,
            to_ns,
            count: 1,
            connections,
            copies,
            most_copies: copies,
            moments: 1,
        }
    }

    /// Takes the next one in; `moments` is how many both are together.
    fn absorb(&mut self, next: &Self, moments: u64) {
        self.from_ns = self.from_ns.min(next.from_ns);
        self.last_ns = self.last_ns.max(next.last_ns);
        self.to_ns = self.to_ns.max(next.to_ns);
        self.count = self.count.saturating_add(next.count);
        self.connections = self.connections.saturating_add(next.connections);
        self.copies = self.copies.min(next.copies);
        self.most_copies = self.most_copies.max(next.most_copies);
        self.moments = moments;
    }
}

/// Silences of one kind, moment by moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments(Vec<Moment>);

impl Moments {
    /// Adds one silence. They come in the order in which they are told, which is not that in which they began.
    pub(super) fn add(&mut self, new: Moment) {
        let after = self.0.partition_point(|m| m.from_ns <= new.from_ns);
        let near = |m: &Moment| {
            new.from_ns >= m.from_ns.saturating_sub(MOMENT) && new.from_ns <= m.last_ns.saturating_add(MOMENT)
        };
        let beside = [after.checked_sub(1), Some(after)].into_iter().flatten();
        for at in beside {
            if let Some(moment) = self.0.get_mut(at).filter(|m| m.moments == 1 && near(m)) {
                moment.absorb(&new, 1);
                return;
            }
        }
        if self.0.len() == MOST {
            self.coarsen();
        }
        let after = self.0.partition_point(|m| m.from_ns <= new.from_ns);
        self.0.insert(after, new);
    }

    fn coarsen(&mut self) {
        let both = |a: &Moment, b: &Moment| {
            let mut both = *a;
            both.absorb(b, a.moments.saturating_add(b.moments));
            both
        };
        self.0 = self
            .0
            .chunks(2)
            .filter_map(|pair| Some(pair.get(1).map_or(*pair.first()?, |b| both(&pair[0], b))))
            .collect();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Moment> {
        self.0.iter()
    }
}

/// The verdict on silences of one kind.
#[derive(Debug)]
pub(super) struct Verdicts<'a> {
    id: AnomalyId,
    weather: &'a Weather,
    /// By window: when it ends, and whose doing its silences are.
    windows: Vec<(i64, Whose)>,
    /// Of what lies in no window.
    whole: Whose,
}

/// Windows in which the path lost more than it usually does, and how much it usually does.
struct Usual {
    losses: Losses,
    bad: Vec<bool>,
}

impl Usual {
    fn of(weather: &Weather) -> Self {
        let windows = &weather.windows;
        let all = windows.iter().fold(Losses::default(), |sum, w| sum.and(w.losses));
        let share = all.lost as f64 / all.segments.max(1) as f64;
        let is_bad = |w: &PathWindow| {
            w.losses.lost > 2
                && loss::tail(w.losses.lost, w.losses.segments as f64 * share) < loss::constants::PATH
        };
        let bad: Vec<bool> = windows.iter().map(is_bad).collect();
        let good = windows.iter().zip(&bad).filter(|(_, bad)| !**bad);
        Self { losses: good.fold(weather.probes, |sum, (w, _)| sum.and(w.losses)), bad }
    }
}

fn occasions(id: AnomalyId, window: &PathWindow) -> u64 {
    match id {
        AnomalyId::SynUnanswered => window.syns,
        AnomalyId::HalfClosedLinger => window.fins,
        _ => window.requests,
    }
}

impl<'a> Verdicts<'a> {
    /// Weighs all silences of the kind that nothing else explains.
    pub(super) fn of(id: AnomalyId, moments: &Moments, weather: &'a Weather) -> Self {
        let usual = Usual::of(weather);
        let open: Vec<&Moment> = moments.iter().filter(|m| elsewhere(id, m, weather).is_none()).collect();
        let copies = open.iter().map(|m| m.copies).min().unwrap_or(1);
        // For each window, its silences and how many are to be expected.
        let mut rows: Vec<(u64, f64)> = Vec::with_capacity(weather.windows.len());
        let mut rest = open.as_slice();
        for (window, bad) in weather.windows.iter().zip(&usual.bad) {
            let here = rest.partition_point(|m| m.from_ns < window.to_ns);
            let (now, later) = rest.split_at(here);
            rest = later;
            let n = distinct(now, &weather.quiet);
            let chance = loss::silence(if *bad { window.losses } else { usual.losses }, copies);
            // What was silent was an occasion as well, also where its beginning was not captured.
            rows.push((n, occasions(id, window).max(n) as f64 * chance));
        }
        let together = |of: bool| {
            let chosen = rows.iter().zip(&usual.bad).filter(|(_, bad)| **bad == of);
            chosen.fold((0_u64, 0.0_f64), |(n, x), ((m, y), _)| (n + m, x + y))
        };
        let (good, bad) = (together(false), together(true));
        let tries = rows.iter().filter(|(n, _)| *n > 0).count();
        let windows = weather.windows.iter().zip(&rows).zip(&usual.bad).map(|((window, row), is_bad)| {
            let (all, losses) = if *is_bad { (bad, window.losses) } else { (good, usual.losses) };
            // A path that was never seen to lose anything is not blamed.
            let seen = |whose: Option<AnomalyClass>| {
                whose.filter(|class| *class == AnomalyClass::Device || losses.lost > 0)
            };
            let (all, here) = (loss::whose(all.0, all.1), loss::whose_of_many(row.0, row.1, tries));
            (window.to_ns, worse(seen(all), seen(here)))
        });
        let least = distinct(&open, &weather.quiet);
        let whole =
            loss::whose(least, least as f64 * loss::silence(usual.losses, copies)).ok_or(Untold::TooFew);
        Self { id, weather, windows: windows.collect(), whole }
    }

    /// Whose doing a moment is.
    pub(super) fn whose(&self, moment: &Moment) -> Whose {
        elsewhere(self.id, moment, self.weather).unwrap_or_else(|| {
            let at = self.windows.partition_point(|(to, _)| *to <= moment.from_ns);
            let whose = self.windows.get(at).map_or(self.whole, |(_, whose)| *whose);
            whose.map_err(|untold| match untold {
                Untold::TooFew if lost_nothing(self.weather) => Untold::NoLoss,
                other => other,
            })
        })
    }
}

/// Whether the path was not seen to lose a single segment or probe.
fn lost_nothing(weather: &Weather) -> bool {
    weather.probes.lost == 0 && weather.windows.iter().all(|window| window.losses.lost == 0)
}

/// What the whole says and what a window says: certainty of either counts, and else doubt.
fn worse(whole: Option<AnomalyClass>, window: Option<AnomalyClass>) -> Whose {
    let device = Some(AnomalyClass::Device);
    if whole == device || window == device {
        return Ok(AnomalyClass::Device);
    }
    whole.and(window).ok_or(Untold::TooFew)
}

/// What explains a moment, or hides its cause, without any weighing.
fn elsewhere(id: AnomalyId, moment: &Moment, weather: &Weather) -> Option<Whose> {
    let is_syn = id == AnomalyId::SynUnanswered;
    let during = |(from, to): &&(i64, i64)| *from < moment.to_ns && moment.from_ns < *to;
    if is_syn && weather.held.iter().filter(during).count() >= SEVERAL {
        return Some(Ok(AnomalyClass::Path));
    }
    let whole = weather.absent.iter().find(|a| a.from_ns <= moment.from_ns && moment.to_ns <= a.to_ns);
    if let Some(absent) = whole.or_else(|| is_syn.then(|| met(moment, &[&weather.absent])).flatten()) {
        return Some(if absent.to_ns == i64::MAX { Err(Untold::Absent) } else { Ok(AnomalyClass::Path) });
    }
    let unheard = is_syn && met(moment, &[&weather.absent, &weather.unheard]).is_some();
    unheard.then_some(Err(Untold::Unheard))
}

/// The last of the times that the copies of a SYN met, where all but one met some: one may have been lost at another
/// time, and that several were is the device's doing.
fn met<'a>(moment: &Moment, times: &[&'a [Absent]]) -> Option<&'a Absent> {
    let has = |at: i64| times.iter().copied().flatten().find(move |a| (a.from_ns..a.to_ns).contains(&at));
    let waited = moment.to_ns.saturating_sub(moment.last_ns);
    let met: Vec<_> = syns::sent(moment.from_ns, moment.most_copies, waited).map(has).collect();
    let at_large = met.iter().filter(|met| met.is_none()).count();
    let enough = at_large == 0 || at_large == 1 && moment.most_copies > 2;
    met.into_iter().flatten().next_back().filter(|_| enough)
}

/// How many silences there are, where those in one time without any packet of the device's are one: one cause may be
/// behind all of them. While the device is heard each needs losses of its own, since its copies are sent seconds apart.
fn distinct(moments: &[&Moment], quiet: &[Absent]) -> u64 {
    let spell = |m: &Moment| {
        quiet.iter().position(|a| {
            let common = a.to_ns.min(m.to_ns).saturating_sub(a.from_ns.max(m.from_ns));
            common.saturating_mul(2) >= m.to_ns.saturating_sub(m.from_ns)
        })
    };
    let mut n = 0_u64;
    let mut before = None;
    for moment in moments {
        let here = spell(moment);
        if here.is_none() {
            n = n.saturating_add(moment.connections.max(1));
        } else if here != before {
            n = n.saturating_add(moment.moments);
        }
        before = here;
    }
    n
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;
    const SYN: AnomalyId = AnomalyId::SynUnanswered;

    /// A hundred seconds with so many connections, segments and losses, in ten windows.
    fn weather(syns: u64, segments: u64, lost: u64) -> Weather {
        let window = |n: i64| PathWindow {
            from_ns: n * 10 * S,
            to_ns: (n + 1) * 10 * S,
            losses: Losses { segments: segments / 10, lost: lost / 10, again: 0 },
            syns: syns / 10,
            ..PathWindow::default()
        };
        Weather { windows: (0..10).map(window).collect(), ..Weather::default() }
    }

    fn silences(times: impl IntoIterator<Item = i64>) -> Moments {
        let mut moments = Moments::default();
        times.into_iter().for_each(|at| moments.add(Moment::new(at, at + 5 * S, 3, true)));
        moments
    }

    fn verdicts(moments: &Moments, weather: &Weather) -> Vec<Whose> {
        let verdicts = Verdicts::of(SYN, moments, weather);
        moments.iter().map(|m| verdicts.whose(m)).collect()
    }

    #[test]
    fn every_hundredth_syn_without_an_answer_is_the_devices_on_a_link_that_lost_ten_in_forty_thousand() {
        let moments = silences((0..50).map(|n| n * 2 * S));
        assert!(
            verdicts(&moments, &weather(5_000, 40_000, 10)).iter().all(|w| *w == Ok(AnomalyClass::Device))
        );
    }

    #[test]
    fn a_link_that_loses_one_in_ten_makes_single_silences() {
        let moments = silences([10 * S, 50 * S]);
        assert_eq!(verdicts(&moments, &weather(500, 2_000, 200)), [Ok(AnomalyClass::Path); 2]);
    }

    #[test]
    fn a_link_that_was_never_seen_to_lose_anything_is_not_blamed() {
        assert_eq!(verdicts(&silences([10 * S]), &weather(500, 100, 0)), [Err(Untold::NoLoss)]);
        assert!(!Untold::NoLoss.in_words().contains("losses may have made"));
    }

    #[test]
    fn what_is_silent_in_one_time_without_a_packet_counts_once() {
        let together = silences((0..8).map(|n| 10 * S + n * S));
        let mut quiet = weather(500, 4_000, 100);
        assert_eq!(
            verdicts(&together, &quiet)[0],
            Ok(AnomalyClass::Device),
            "the device was heard in between"
        );
        quiet.quiet = vec![Absent { from_ns: 9 * S, to_ns: 24 * S }];
        assert_eq!(verdicts(&together, &quiet)[0], Ok(AnomalyClass::Path));
    }

    #[test]
    fn nobody_answers_while_the_device_is_away_and_who_does_not_come_back_cannot_be_told_from_its_link() {
        let moments = silences((0..8).map(|n| 10 * S + n * S));
        let absent =
            |to_ns| Weather { absent: vec![Absent { from_ns: 9 * S, to_ns }], ..weather(5_000, 40_000, 10) };
        assert!(verdicts(&moments, &absent(30 * S)).iter().all(|w| *w == Ok(AnomalyClass::Path)));
        assert!(verdicts(&moments, &absent(i64::MAX)).iter().all(|w| *w == Err(Untold::Absent)));
    }

    #[test]
    fn a_syn_whose_copies_met_two_absences_is_not_the_devices_and_one_with_two_copies_beside_them_is() {
        let whose = |copies, absent: &[(i64, i64)]| {
            let mut moments = Moments::default();
            moments.add(Moment::new(10 * S, 15 * S, copies, true));
            let absent = absent
                .iter()
                .map(|(from, to)| Absent { from_ns: from * S / 10, to_ns: to * S / 10 })
                .collect();
            // The path was seen to lose nothing: without an absence nobody can tell.
            verdicts(&moments, &Weather { absent, ..weather(5_000, 40_000, 0) })[0]
        };
        assert_eq!(whose(3, &[(105, 115), (125, 140)]), Ok(AnomalyClass::Path), "10 s is beside them");
        assert_eq!(whose(3, &[(105, 115)]), Err(Untold::NoLoss), "10 and 13 s are");
        assert_eq!(whose(5, &[(95, 115), (125, 145)]), Ok(AnomalyClass::Path), "12 s is");
        assert_eq!(whose(5, &[(105, 115), (125, 145)]), Ok(AnomalyClass::Device), "10 and 12 s are");
        assert_eq!(whose(2, &[(105, 115)]), Err(Untold::NoLoss), "one of two");
    }

    #[test]
    fn a_syn_into_times_with_a_single_lost_probe_is_nobodys_that_can_be_told() {
        let at = |from: i64, to: i64| Absent { from_ns: from * S / 10, to_ns: to * S / 10 };
        let mut weather = weather(5_000, 40_000, 10);
        let moments = silences((0..8).map(|n| 10 * S + n * S / 20));
        assert_eq!(verdicts(&moments, &weather)[0], Ok(AnomalyClass::Device));
        (weather.absent, weather.unheard) = (vec![at(125, 140)], vec![at(95, 115)]);
        assert_eq!(verdicts(&moments, &weather)[0], Err(Untold::Unheard));
    }

    #[test]
    fn a_syn_is_not_the_devices_to_answer_while_it_holds_what_lost_resets_left_there() {
        let moments = silences((0..8).map(|n| 10 * S + n * S));
        let held = |n: usize| Weather { held: vec![(9 * S, 40 * S); n], ..weather(5_000, 40_000, 10) };
        assert_eq!(verdicts(&moments, &held(3))[0], Ok(AnomalyClass::Path));
        assert_eq!(verdicts(&moments, &held(2))[0], Ok(AnomalyClass::Device), "two do not fill it");
    }

    #[test]
    fn a_bad_time_of_the_path_excuses_what_falls_into_it_and_nothing_else() {
        let mut weather = weather(1_000, 10_000, 0);
        weather.windows[3].losses = Losses { segments: 1_000, lost: 300, again: 150 };
        let moments = silences([32 * S, 35 * S, 38 * S, 60 * S, 62 * S, 64 * S, 66 * S, 68 * S]);
        let verdicts = verdicts(&moments, &weather);
        assert_eq!(verdicts[..3], [Ok(AnomalyClass::Path); 3]);
        assert_eq!(verdicts[3..], [Ok(AnomalyClass::Device); 5]);
    }

    #[test]
    fn many_silences_in_one_time_say_less_where_there_were_some_in_every_time() {
        // A bad link that is to bring about 0.4 silences in each tenth of the run: seven in one have a chance of 2e-7.
        let lossy = weather(50_000, 40_000, 1_000);
        let crowd = || (0..7).map(|n| n * S / 8);
        assert_eq!(verdicts(&silences(crowd()), &lossy)[0], Ok(AnomalyClass::Device));
        let everywhere = silences(crowd().chain((1..10).map(|n| n * 10 * S)));
        assert_eq!(
            verdicts(&everywhere, &lossy)[0],
            Err(Untold::TooFew),
            "one of ten times that were looked at"
        );
    }

    #[test]
    fn moments_stay_few_and_lose_nothing() {
        let moments = silences((0..10_000).map(|n| n * S));
        assert!(moments.iter().count() <= MOST);
        assert_eq!(moments.iter().map(|m| m.count).sum::<u64>(), 10_000);
        assert_eq!(moments.iter().map(|m| m.moments).sum::<u64>(), 10_000);
    }
}
