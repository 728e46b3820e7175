//! Open files: how many this process may have, and how many a run needs.

use espstress_engine::{PlannedPhase, StartRule};
use espstress_targets::{Device, DeviceKind};

/// What the program has open beside connections: the runtimes, the capture, probes, a log, the standard streams, and a
/// sim's listeners.
const OTHERS: u64 = 40;

/// A connection's socket, and the timer of the worker that drives it.
const OF_A_CONNECTION: u64 = 2;

/// As many descriptors as the system lets this process have.
pub(super) fn raise_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // A refusal leaves the limit as it is; running into it is counted as the host's own failure.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// How many this process may have; `None` without a limit.
fn limit() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    None
}

/// Why a run may find no descriptor for a connection; `None` where there are enough.
pub(super) fn too_few(phases: &[PlannedPhase], device: &Device) -> Option<String> {
    shortage(needed_by(phases, device), limit()?)
}

/// The same of several runs at once, which need so many in all.
pub(super) fn too_few_for(needed: u64) -> Option<String> {
    shortage(needed, limit()?)
}

/// Descriptors that a run needs.
pub(super) fn needed_by(phases: &[PlannedPhase], device: &Device) -> u64 {
    let of_the_sim = match device.kind {
        DeviceKind::Sim => device.capacity.unwrap_or(0),
        _ => 0,
    };
    let together = phases.iter().map(|phase| (phase.start, phase.workload.at_once()));
    needed(together, of_the_sim)
}

/// Descriptors of the most connections that phases have open together.
fn needed(phases: impl Iterator<Item = (StartRule, u32)>, of_the_sim: u32) -> u64 {
    let (mut group, mut most) = (0_u64, 0_u64);
    for (start, at_once) in phases {
        group = if start == StartRule::WithPrevious { group } else { 0 } + u64::from(at_once);
        most = most.max(group);
    }
    most * OF_A_CONNECTION + u64::from(of_the_sim) + OTHERS
}

fn shortage(needed: u64, limit: u64) -> Option<String> {
    (needed > limit).then(|| {
        format!(
            "this run may need {needed} open files, and this process may open {limit}: raise the \
             limit with `ulimit -n {needed}`, or use fewer connections at once"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_that_run_together_need_their_descriptors_together() {
        let phases =
            [(StartRule::AfterPrevious, 4), (StartRule::WithPrevious, 8), (StartRule::AfterPrevious, 10)];
        assert_eq!(needed(phases.into_iter(), 0), 12 * 2 + OTHERS);
        assert_eq!(needed(phases.into_iter(), 16), 12 * 2 + 16 + OTHERS);
    }

    #[test]
    fn a_limit_that_is_too_low_is_told_with_the_one_that_would_do() {
        assert_eq!(shortage(64, 64), None);
        assert!(shortage(65, 64).is_some_and(|text| text.contains("ulimit -n 65")));
    }
}
