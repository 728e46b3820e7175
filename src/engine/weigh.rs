//! What the packets showed, weighed with what the probes heard meanwhile.

use super::plan::Seen;
use espstress_diagnose::{Absent, Ledger, Weather};
use espstress_event::{Losses, Silence};
use espstress_observe::{Absence, WireSummary};
use espstress_stats::{ProbeGap, ProbeOutcome, ProbeStats};

/// Moments at which the stack was to acknowledge something in a time of absence.
const OWED: u32 = 2;

/// Packets that have been looked at; whose doing silences are is not yet said.
#[derive(Debug)]
pub struct Watched {
    pub(super) seen: Seen,
    pub(super) ledger: Ledger,
}

impl Watched {
    /// Says it. `start_unix_ns` is when the times of the probes begin.
    #[must_use]
    pub fn weighed(self, probes: Option<&ProbeOutcome>, start_unix_ns: i64) -> Seen {
        let Self { mut seen, ledger } = self;
        let weather = weather(&seen.summary, probes, start_unix_ns);
        let judged = ledger.anomalies(&weather);
        seen.anomalies = judged.rows;
        seen.summary.not_judged.extend(judged.not_judged);
        seen.lingers = ledger.lingers(&weather);
        seen
    }
}

fn weather(summary: &WireSummary, probes: Option<&ProbeOutcome>, start_unix_ns: i64) -> Weather {
    let quiet: Vec<Absent> =
        summary.quiet.iter().map(|q| Absent { from_ns: q.from_ns, to_ns: q.to_ns }).collect();
    let mut weather =
        Weather { windows: summary.windows.clone(), held: summary.held.clone(), ..Weather::default() };
    if let Some(probes) = probes {
        weather.probes = lost_probes(&probes.icmp).and(lost_probes(&probes.telemetry));
    }
    let Some(silent) = probes.and_then(|probes| Silent::of(probes, start_unix_ns)) else {
        return Weather { quiet, ..weather };
    };
    // One probe may be lost by chance; not all that goes to the stack beside it as well.
    let times = |of: &dyn Fn(&Absence) -> bool| -> Vec<Absent> {
        summary
            .absences
            .iter()
            .filter(|a| of(a))
            .map(|a| Absent { from_ns: a.from_ns, to_ns: a.to_ns })
            .collect()
    };
    weather.absent = meet(&quiet, &silent.for_long);
    weather.absent.extend(meet(&times(&|a| a.owed >= OWED), &silent.at_all));
    weather.unheard = meet(&times(&|a| a.owed < OWED), &silent.at_all);
    // Where probes are answered meanwhile, a time without packets has no common cause in the path.
    weather.quiet = meet(&quiet, &silent.from_losses);
    weather
}

/// Question and answer of each datagram probe, without those in silences: they are times of absence.
fn lost_probes(of: &ProbeStats) -> Losses {
    match of {
        ProbeStats::Measured(stats) if stats.answered > 0 => {
            let in_silences = stats.silences.iter().fold(0_u64, |n, s| n.saturating_add(s.lost));
            let lost = stats.sent.saturating_sub(stats.answered).saturating_sub(in_silences);
            Losses { segments: stats.sent.saturating_sub(in_silences).saturating_mul(2), lost, again: 0 }
        }
        ProbeStats::Measured(_) | ProbeStats::Unavailable { .. } => Losses::default(),
    }
}

/// When no kind of probe that is answered at other times was answered.
struct Silent {
    /// Two in a row and more, from the first that was lost.
    from_losses: Vec<Absent>,
    /// The same from the answer before.
    for_long: Vec<Absent>,
    /// One and more, from the answer before.
    at_all: Vec<Absent>,
}

impl Silent {
    /// `None` where no kind is answered.
    fn of(probes: &ProbeOutcome, start_unix_ns: i64) -> Option<Self> {
        let unix = |ns: u64| start_unix_ns.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX));
        let silence =
            |s: &Silence| Absent { from_ns: unix(s.from_ns), to_ns: s.to_ns.map_or(i64::MAX, unix) };
        let gap = |g: &ProbeGap| Absent { from_ns: unix(g.after_ns), to_ns: unix(g.until_ns) };
        let kinds = [&probes.icmp, &probes.telemetry].into_iter().filter_map(|kind| match kind {
            ProbeStats::Measured(stats) if stats.answered > 0 => Some(stats),
            ProbeStats::Measured(_) | ProbeStats::Unavailable { .. } => None,
        });
        let lists = kinds.map(|stats| {
            let from_losses: Vec<Absent> = stats.silences.iter().map(silence).collect();
            let long = stats.gaps.iter().filter(|g| g.lost > 1).map(gap);
            // What goes on has no answer behind it, and of gaps the oldest are forgotten.
            let for_long = long.chain(from_losses.iter().copied()).collect();
            let at_all = stats.gaps.iter().map(gap).chain(from_losses.iter().copied()).collect();
            Self { from_losses, for_long, at_all }
        });
        lists.reduce(|a, b| Self {
            from_losses: meet(&a.from_losses, &b.from_losses),
            for_long: meet(&a.for_long, &b.for_long),
            at_all: meet(&a.at_all, &b.at_all),
        })
    }
}

/// The times that both lists have in common.
fn meet(a: &[Absent], b: &[Absent]) -> Vec<Absent> {
    let both = a.iter().flat_map(|x| {
        b.iter().map(move |y| Absent { from_ns: x.from_ns.max(y.from_ns), to_ns: x.to_ns.min(y.to_ns) })
    });
    both.filter(|spell| spell.from_ns < spell.to_ns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_observe::QuietSpell;
    use espstress_stats::{DeviceSeries, ProbeKindStats};

    const S: i64 = 1_000_000_000;
    const START: i64 = 1_000 * S;

    /// Ten pings, a second apart and answered after 10 ms, without those.
    fn pinged(lost: &[u64]) -> ProbeOutcome {
        let second = S.unsigned_abs();
        let mut icmp = ProbeKindStats::new(0, second, second);
        for n in 0..10 {
            if lost.contains(&n) {
                icmp.loss((n + 1) * second);
            } else {
                icmp.answer(n * second + second / 100, second / 100);
            }
        }
        let none = || ProbeStats::Unavailable { reason: String::new() };
        let (tcp, telemetry) = (none(), none());
        ProbeOutcome {
            icmp: ProbeStats::Measured(Box::new(icmp)),
            tcp,
            telemetry,
            device: DeviceSeries::default(),
        }
    }

    /// No packet from 4.2 s to 6 s, while the stack was to acknowledge something so often.
    fn absent(owed: u32, lost: &[u64]) -> Option<(i64, i64)> {
        let (from_ns, to_ns) = (START + 42 * S / 10, START + 6 * S);
        let mut summary = WireSummary::default();
        summary.absences = vec![Absence { from_ns, to_ns, asked: 9, owed }];
        summary.quiet = vec![QuietSpell { from_ns, to_ns }];
        let weather = weather(&summary, Some(&pinged(lost)), START);
        let tenths = |at_ns: i64| (at_ns - START) * 10 / S;
        // The first is the widest.
        weather.absent.first().map(|a| (tenths(a.from_ns), tenths(a.to_ns)))
    }

    #[test]
    fn a_time_in_which_one_probe_was_lost_is_one_of_absence_where_the_stack_acknowledged_nothing_either() {
        assert_eq!(absent(OWED, &[5]), Some((42, 60)));
        assert_eq!(absent(OWED - 1, &[5]), None, "the probe may have been lost by chance");
        assert_eq!(absent(OWED, &[]), None, "a probe was answered meanwhile");
        assert_eq!(absent(0, &[5, 6]), Some((42, 60)), "two aren't");
    }
}
