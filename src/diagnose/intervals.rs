//! Times in which failures say nothing of the device: typed intervals that excuse what overlaps them.

use super::facts::{restarts, unmade_silences};
use super::{Evidence, Excuse, OutageOrigin};
use espstress_event::{Episode, Failure, FailureCounts};

const SECOND: u64 = 1_000_000_000;

/// What was under way when an interval ended is still settled after it: TCP repeats at doubling distances (RFC 6298,
/// 5.5), and probes that tell of the interval are a second apart.
const SETTLES: u64 = SECOND;
/// A device that restarts answers nothing for so long at most before its telemetry shows it: the program starts, joins
/// its network and gets an address.
const STARTS: u64 = 15 * SECOND;

/// How soon after a host's standstill what had piled up is sent, nanoseconds.
const BURST: u64 = 200_000_000;

/// The intervals of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Intervals(Vec<(Excuse, u64, u64)>);

/// When a device that restarted at `at` serves again: where failures follow on each other from the restart on, its end is
/// theirs. A process that is the device restarts where it ended, and starts after that.
fn starting_until(e: &Evidence<'_>, at: u64) -> u64 {
    let all = e.workloads.iter().flat_map(|w| &w.episodes);
    let mut episodes: Vec<&Episode> = all.filter(|episode| episode.succeeded < episode.attempts).collect();
    episodes.sort_by_key(|episode| episode.from_ns);
    let follows = |until: u64, episode: &Episode| {
        episode.to_ns >= at && episode.from_ns <= until.saturating_add(SETTLES)
    };
    episodes.into_iter().fold(at.saturating_add(SECOND), |until, episode| {
        let latest = episode.to_ns.min(at.saturating_add(STARTS));
        if follows(until, episode) { until.max(latest) } else { until }
    })
}

impl Intervals {
    pub(super) fn of(e: &Evidence<'_>) -> Self {
        let mut all = Vec::new();
        all.extend(e.host.stood_still.iter().map(|s| (Excuse::HostStoodStill, s.from_ns, s.to_ns)));
        for row in e.workloads.iter().filter_map(|w| w.outages.as_ref()).flat_map(|o| &o.rows) {
            let excuse = match row.outage.origin {
                OutageOrigin::Made => Excuse::OutageMade,
                OutageOrigin::Natural => Excuse::LinkAway,
            };
            let Some((start, end)) = row.span_ns() else { continue };
            all.push((excuse, start, end));
        }
        all.extend(unmade_silences(e).iter().filter_map(|s| Some((Excuse::LinkAway, s.from_ns, s.to_ns?))));
        // A restart that only the packets show has the time in which the device was silent.
        let silence = restarts::forgot(e).map(|forgot| forgot.silence);
        all.extend(silence.and_then(|s| Some((Excuse::Restarting, s.from_ns, s.to_ns?))));
        if let Some(telemetry) = e.telemetry.value() {
            let around = |at: u64| (Excuse::Restarting, at.saturating_sub(STARTS), starting_until(e, at));
            all.extend(telemetry.restarts.iter().map(|r| around(r.at_ns)));
        }
        Self(all)
    }

    /// What excuses a failure of this kind at these times.
    pub(super) fn excuse(&self, episode: &Episode, failure: Failure) -> Option<Excuse> {
        if failure == Failure::SlowGivenUp {
            // At any time: the workload asked for it.
            return Some(Excuse::Provoked);
        }
        let overlaps = |from: u64, to: u64| {
            episode.from_ns <= to.saturating_add(SETTLES) && from.saturating_sub(SETTLES) <= episode.to_ns
        };
        // What had gone unanswered for a while before it began is not its doing.
        let causes = |from: u64, to: u64| {
            let common = to.min(episode.to_ns).saturating_sub(from.max(episode.from_ns));
            let long = common.saturating_mul(2) >= episode.to_ns.saturating_sub(episode.from_ns);
            overlaps(from, to) && (long || episode.from_ns >= from.saturating_sub(SETTLES))
        };
        // A stall has to be long enough to have made these attempts late.
        let stalls = |from: u64, to: u64| {
            let common = to.min(episode.to_ns).saturating_sub(from.max(episode.from_ns));
            common.saturating_mul(2) >= episode.to_ns.saturating_sub(episode.from_ns)
        };
        // The datagrams that fell due meanwhile leave in one go, and overflow the queues on their way.
        let bursts = |from: u64, to: u64| {
            failure == Failure::DatagramLost && (from..=to.saturating_add(BURST)).contains(&episode.from_ns)
        };
        let excuses = |excuse: Excuse, from, to| {
            let fits = match excuse {
                Excuse::HostStoodStill => stalls(from, to) || bursts(from, to),
                Excuse::LinkAway => causes(from, to),
                _ => overlaps(from, to),
            };
            fits && produces(excuse, failure)
        };
        self.0.iter().find(|(excuse, from, to)| excuses(*excuse, *from, *to)).map(|(excuse, ..)| *excuse)
    }

    /// What goes on for the whole of a time.
    pub(super) fn holding(&self, from_ns: u64, to_ns: u64) -> Option<Excuse> {
        let holds = |from: u64, to: u64| {
            from.saturating_sub(SETTLES) <= from_ns && to_ns <= to.saturating_add(SETTLES)
        };
        self.0.iter().find(|(_, from, to)| holds(*from, *to)).map(|(excuse, ..)| *excuse)
    }

    /// An episode's failures that nothing excuses.
    pub(super) fn left(&self, episode: &Episode) -> FailureCounts {
        let mut left = FailureCounts::default();
        let open = episode.failures.iter().filter(|(f, n)| *n > 0 && self.excuse(episode, *f).is_none());
        open.for_each(|(failure, n)| left.add(failure, n));
        left
    }
}

/// Whether such an interval makes attempts fail in this way: a machine that stands still makes them late and changes no
/// answer; a link that is away does no more than that, and what the device gave up meanwhile is reset; a device that
/// restarts also refuses and cuts what was open. No interval writes a wrong answer.
const fn produces(excuse: Excuse, failure: Failure) -> bool {
    use Failure as F;
    let late = matches!(failure, F::ConnectTimeout | F::ReadTimeout | F::WriteTimeout | F::DatagramLost);
    let lost =
        late || matches!(failure, F::ConnectUnreachable | F::ConnectReset | F::ReadReset | F::WriteReset);
    match excuse {
        Excuse::HostStoodStill => late,
        Excuse::OutageMade | Excuse::LinkAway => lost,
        Excuse::Restarting => {
            let refused = matches!(failure, F::ConnectRefused | F::PortUnreachable);
            lost || refused || matches!(failure, F::EofBeforeResponse | F::TruncatedResponse)
        }
        Excuse::Host | Excuse::Provoked | Excuse::BeyondCapacity => false,
    }
}
