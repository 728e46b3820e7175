//! What each finding needs to be judged: where a need was not met, its absence says nothing, and a gate on it is
//! inconclusive.

use super::FindingId;

/// Something that a run has to have done or seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// Attempts: the run asked the device for something.
    Attempts,
    /// Every packet was looked at.
    Packets,
    /// Ping or telemetry was answered, so that the device's absence can be told from its program's.
    Probes,
    /// The device's telemetry.
    Telemetry,
    /// The host fell silent on connections: a `half-open` workload, or `head --close vanish`.
    Silence,
    /// An `outage` workload.
    Outages,
}

impl FindingId {
    /// What has to have been done and seen for this finding to be judged.
    #[must_use]
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Self::HalfOpenNotReclaimed => &[Need::Silence],
            Self::AbortiveClose | Self::TimewaitPortReuse | Self::FinWaitTimeout | Self::LossyLink => {
                &[Need::Attempts, Need::Packets]
            }
            Self::SocketExhaustion
            | Self::AcceptOverflow
            | Self::BlockedApplication
            | Self::DeviceUnreachable
            | Self::UnexplainedFailures => &[Need::Attempts],
            Self::DeviceRebooted | Self::HeapLeak | Self::HeapLow => &[Need::Telemetry],
            Self::PowerSaveLatency | Self::LinkOutages => &[Need::Probes],
            Self::SlowRecovery => &[Need::Outages],
            Self::HostLimited | Self::CaptureIncomplete => &[],
        }
    }
}
