//! Whether ports that come again are kept out by TIME_WAIT.

use super::super::{ClosePolicy, Evidence, WorkloadEvidence};
use super::{captured, exchanges, of_device};
use espstress_event::{AnomalyId, Failure};

/// Every port served about once, and timed out when it came again.
pub(crate) fn ports_ran_out(e: &Evidence<'_>, w: &WorkloadEvidence) -> bool {
    let timeouts = w.failures.get(Failure::ConnectTimeout);
    w.close == ClosePolicy::Wait
        && !captured(e)
        && timeouts > 0
        && timeouts == w.failures.of_device()
        && w.local_ports.is_some_and(|ports| {
            let ports = u64::from(ports);
            w.attempts > ports && w.succeeded.saturating_mul(10) >= ports.saturating_mul(9)
        })
}

pub(crate) fn run_out(e: &Evidence<'_>) -> bool {
    of_device(e, AnomalyId::TimewaitCollision).count > 0 || exchanges(e).any(|w| ports_ran_out(e, w))
}
