//! What the packets showed, weighed with what the probes heard meanwhile.

use super::plan::Seen;
use espstress_diagnose::{Absent, Ledger, Weather};
use espstress_event::{Losses, Silence};
use espstress_observe::WireSummary;
use espstress_stats::{ProbeOutcome, ProbeStats};

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
    // Where probes are answered meanwhile, a time without packets has no common cause in the path.
    let absent = probes.and_then(|probes| absent(&quiet, probes, start_unix_ns));
    let (quiet, absent) = absent.map_or_else(|| (quiet, Vec::new()), |absent| (absent.clone(), absent));
    let probes = probes.map_or_else(Losses::default, |p| lost_probes(&p.icmp).and(lost_probes(&p.telemetry)));
    Weather { probes, windows: summary.windows.clone(), quiet, absent, held: summary.held.clone() }
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

/// When no kind of probe that is answered at other times was answered, and no packet came; `None` where there is none.
fn absent(quiet: &[Absent], probes: &ProbeOutcome, start_unix_ns: i64) -> Option<Vec<Absent>> {
    let unix = |ns: u64| start_unix_ns.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX));
    let spell = |s: &Silence| Absent { from_ns: unix(s.from_ns), to_ns: s.to_ns.map_or(i64::MAX, unix) };
    let kinds = [&probes.icmp, &probes.telemetry].into_iter().filter_map(|kind| match kind {
        ProbeStats::Measured(stats) if stats.answered > 0 => Some(stats.silences.iter().map(spell).collect()),
        ProbeStats::Measured(_) | ProbeStats::Unavailable { .. } => None,
    });
    let lists: Vec<Vec<Absent>> = kinds.collect();
    (!lists.is_empty()).then(|| lists.iter().fold(quiet.to_vec(), |common, list| meet(&common, list)))
}

/// The times that both lists have in common; each is in the order of time.
fn meet(a: &[Absent], b: &[Absent]) -> Vec<Absent> {
    let both = a.iter().flat_map(|x| {
        b.iter().map(move |y| Absent { from_ns: x.from_ns.max(y.from_ns), to_ns: x.to_ns.min(y.to_ns) })
    });
    both.filter(|spell| spell.from_ns < spell.to_ns).collect()
}
