//! What each finding needs to be judged: where a need was not met, its absence says nothing, and a gate on it is
//! inconclusive.

use super::FindingId;
use espstress_event::MqttFault;

/// Fewest answers of a probe over which power save shows.
pub(super) const ANSWERS: u64 = 20;
/// Fewest readings of the heap for a trend with a confidence interval.
const READINGS: u64 = 5;

/// Faults in which the broker closes connections.
const CLOSING: &[MqttFault] = &[
    MqttFault::Close,
    MqttFault::NoConnack,
    MqttFault::Refuse,
    MqttFault::Takeover,
    MqttFault::SessionLost,
    MqttFault::SessionKept,
];
/// Faults after which a device has to connect again.
const ENDING: &[MqttFault] = &[
    MqttFault::Close,
    MqttFault::Reset,
    MqttFault::Silent,
    MqttFault::Frozen,
    MqttFault::NoConnack,
    MqttFault::Refuse,
    MqttFault::Takeover,
    MqttFault::SessionLost,
    MqttFault::SessionKept,
];

/// Something that a run has to have done or seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// Attempts: the run asked the device for something.
    Attempts,
    /// Every packet was looked at.
    Packets,
    /// Ping or telemetry was answered, so that the device's absence can be told from its program's.
    Probes,
    /// So many answers of one kind of probe, or so many connections.
    Answers(u64),
    /// The device's console was listened to.
    Console,
    /// The device's telemetry tells its restarts.
    Restarts,
    /// The device's telemetry tells its free heap.
    Heap,
    /// So many readings of the free heap: a trend of fewer has no confidence.
    HeapReadings(u64),
    /// The host fell silent on connections, a `half-open` workload or `head --close vanish`, and watched them for as
    /// long as the device may take.
    Silence,
    /// Datagrams to an echo service, `rw --protocol udp`.
    Datagrams,
    /// Event streams, `rw --protocol sse`.
    Streams,
    /// An `outage` workload.
    Outages,
    /// An `mqtt` workload that watched a device for two of its keep-alives.
    Mqtt,
    /// One of these faults of the broker's, to its end.
    Faults(&'static [MqttFault]),
    /// One of these faults to its end, with the device's packets during it: not behind a cut link.
    SeenFaults(&'static [MqttFault]),
    /// One of these faults that lasted two keep-alives and ten seconds, and that nothing spoilt.
    LongFaults(&'static [MqttFault]),
    /// A device whose messages the broker could count.
    Sequence,
    /// Messages to the device that it has to acknowledge.
    Publishes,
    /// The fault `big`, and what the device did with it.
    Grown,
    /// Frames of the device on the air, so many that this finding could be judged.
    Air(FindingId),
}

impl FindingId {
    /// What has to have been done and seen for this finding to be judged.
    #[must_use]
    pub const fn needs(self) -> &'static [Need] {
        match self {
            Self::HalfOpenNotReclaimed | Self::MakesRoom => &[Need::Silence],
            Self::AbortiveClose
            | Self::TimewaitPortReuse
            | Self::FinWaitTimeout
            | Self::LossyLink
            | Self::NagleDelay => &[Need::Attempts, Need::Packets],
            Self::SocketExhaustion
            | Self::AcceptOverflow
            | Self::BlockedApplication
            | Self::DeviceUnreachable
            | Self::HttpErrors
            | Self::MalformedResponse
            | Self::HeadUnanswered
            | Self::OtherProtocol
            | Self::PipeliningLost
            | Self::ResetsRequests
            | Self::ClosesUnserved
            | Self::TlsFailed
            | Self::UploadStalled
            | Self::Redirected
            | Self::ClosesIdle
            | Self::BodyTimeout
            | Self::StandsStill
            | Self::SlowsDown
            | Self::AnswersRepeated
            | Self::UnexplainedFailures => &[Need::Attempts],
            Self::NoEcho | Self::DatagramSize | Self::DatagramsLost => &[Need::Attempts, Need::Datagrams],
            Self::EventStream => &[Need::Attempts, Need::Streams],
            Self::PathMtu => &[Need::Attempts, Need::Probes],
            Self::DeviceCrashed
            | Self::Brownout
            | Self::Watchdog
            | Self::WifiLost
            | Self::NoMemoryReported => &[Need::Console],
            Self::AddressChanged => &[Need::Attempts],
            Self::DeviceRebooted => &[Need::Restarts],
            Self::HeapLeak => &[Need::Heap, Need::HeapReadings(READINGS)],
            Self::HeapLow => &[Need::Heap],
            Self::PowerSaveLatency => &[Need::Answers(ANSWERS)],
            Self::WifiDeauthenticated => &[Need::Air(Self::WifiDeauthenticated)],
            Self::DtimLong => &[Need::Air(Self::DtimLong)],
            Self::WeakSignal => &[Need::Air(Self::WeakSignal)],
            Self::RetryStorm => &[Need::Air(Self::RetryStorm)],
            Self::BeaconLoss => &[Need::Air(Self::BeaconLoss)],
            Self::LinkOutages => &[Need::Probes],
            Self::SlowRecovery | Self::LinesLost => &[Need::Outages],
            Self::MqttKeepaliveMissed
            | Self::MqttPingLate
            | Self::MqttDupMissing
            | Self::MqttAvailability
            | Self::MqttTooLongKeepalive => &[Need::Mqtt],
            Self::MqttOutageUnnoticed => &[
                Need::Mqtt,
                Need::Packets,
                Need::LongFaults(&[MqttFault::Silent, MqttFault::Frozen, MqttFault::NoPingresp]),
            ],
            Self::MqttSlowNotice => {
                &[Need::Mqtt, Need::Packets, Need::SeenFaults(&[MqttFault::Silent, MqttFault::Frozen])]
            }
            Self::MqttCloseUnnoticed => &[Need::Mqtt, Need::Packets, Need::Faults(CLOSING)],
            Self::MqttReconnectStorm => &[Need::Mqtt, Need::Packets, Need::SeenFaults(ENDING)],
            Self::MqttNoReconnect | Self::MqttNotResubscribed => &[Need::Mqtt, Need::Faults(ENDING)],
            Self::MqttSessionRefused => &[Need::Mqtt, Need::Faults(&[MqttFault::SessionKept])],
            Self::MqttDuplicates => &[Need::Mqtt, Need::Faults(&[MqttFault::Slow])],
            Self::MqttHasty => &[Need::Mqtt, Need::Packets, Need::Faults(&[MqttFault::Slow])],
            Self::MqttMessageLost => &[Need::Mqtt, Need::Sequence],
            Self::MqttNoPuback => &[Need::Mqtt, Need::Publishes],
            Self::MqttBigPacket => &[Need::Mqtt, Need::Grown],
            Self::HostLimited | Self::CaptureIncomplete => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_about_the_device_needs_something() {
        let about_the_run = [FindingId::HostLimited, FindingId::CaptureIncomplete];
        for id in FindingId::ALL {
            assert_eq!(id.needs().is_empty(), about_the_run.contains(&id), "{}", id.name());
        }
    }
}
