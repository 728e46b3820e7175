//! Whether a device is there at all, before figures are made of its absence: told by the first connections of the run
//! itself, which are captured and counted as all others are.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::plan::WorkloadOutcome;
use espstress_event::{Failure, FailureCounts};
use espstress_probe::Prober;
use espstress_stats::{ProbeStats, Recorder};
use espstress_workload::Stop;

/// How long a device that answers nothing is asked.
const LONGEST: Duration = Duration::from_secs(5);

/// Between two looks at what came of the first connections.
const EACH: Duration = Duration::from_millis(2);

/// Waits until a TCP probe shows that the device is there.
pub(super) async fn by_probe(prober: &Prober, stop: &Stop) -> Result<(), Failure> {
    let give_up = Instant::now() + LONGEST;
    loop {
        // The probes' tasks begin while this one sleeps.
        tokio::time::sleep(EACH).await;
        let ProbeStats::Measured(tcp) = prober.so_far().tcp else { return Ok(()) };
        if tcp.answered > 0 || tcp.host_failures > 0 || stop.is_stopping() {
            return Ok(());
        }
        match told(tcp.sent, &tcp.failures) {
            Told::There => return Ok(()),
            Told::Absent(failure) => return Err(failure),
            Told::Silent if Instant::now() >= give_up => return Err(Failure::ConnectTimeout),
            Told::Silent | Told::Nothing => {}
        }
    }
}

/// Runs the first workloads, and gives up as soon as their first attempts show that nobody is there.
pub(super) async fn by_attempts(
    recorders: &[Rc<RefCell<Recorder>>],
    run: impl Future<Output = Vec<WorkloadOutcome>>,
    stop: &Stop,
) -> Result<Vec<WorkloadOutcome>, Failure> {
    let outcomes = tokio::select! {
        biased;
        outcomes = run => outcomes,
        failure = absent(recorders) => return Err(failure),
    };
    let all = outcomes.iter().map(|outcome| told(outcome.stats.attempts, &outcome.stats.failures));
    match together(all) {
        Told::Absent(failure) if !stop.is_stopping() => Err(failure),
        Told::Silent if !stop.is_stopping() => Err(Failure::ConnectTimeout),
        _ => Ok(outcomes),
    }
}

/// Ends where nobody is there, and never else.
async fn absent(recorders: &[Rc<RefCell<Recorder>>]) -> Failure {
    let give_up = Instant::now() + LONGEST;
    loop {
        tokio::time::sleep(EACH).await;
        let progress = recorders.iter().map(|recorder| recorder.borrow().progress());
        match together(progress.map(|progress| told(progress.attempts, &progress.failures))) {
            Told::There => return std::future::pending().await,
            Told::Absent(failure) => return failure,
            Told::Silent if Instant::now() >= give_up => return Failure::ConnectTimeout,
            Told::Silent | Told::Nothing => {}
        }
    }
}

/// What first connections tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// None has ended.
    Nothing,
    /// All went unanswered.
    Silent,
    /// All failed, and one so.
    Absent(Failure),
    /// One came about, or was reset: somebody is there, and the run shows what it does.
    There,
}

fn told(ended: u64, failures: &FailureCounts) -> Told {
    let nobody = [Failure::ConnectRefused, Failure::ConnectUnreachable];
    let failed = |failure| failures.get(failure);
    let silent = failed(Failure::ConnectTimeout);
    match nobody.into_iter().find(|failure| failed(*failure) > 0) {
        _ if ended == 0 => Told::Nothing,
        _ if nobody.into_iter().map(failed).sum::<u64>() + silent < ended => Told::There,
        Some(failure) => Told::Absent(failure),
        None => Told::Silent,
    }
}

fn together(all: impl Iterator<Item = Told>) -> Told {
    all.max().unwrap_or(Told::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_that_all_fail_to_come_about_show_that_nobody_is_there() {
        let of = |ended, all: &[Failure]| {
            let mut failures = FailureCounts::default();
            all.iter().for_each(|failure| failures.count(*failure));
            told(ended, &failures)
        };
        assert_eq!(of(0, &[]), Told::Nothing);
        assert_eq!(of(1, &[Failure::ConnectTimeout]), Told::Silent);
        assert_eq!(
            of(2, &[Failure::ConnectTimeout, Failure::ConnectRefused]),
            Told::Absent(Failure::ConnectRefused)
        );
        assert_eq!(of(2, &[Failure::ConnectRefused]), Told::There, "the other one succeeded");
        assert_eq!(of(1, &[Failure::ConnectReset]), Told::There);
        assert_eq!(together([Told::Silent, Told::There].into_iter()), Told::There);
    }
}
