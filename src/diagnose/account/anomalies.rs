//! Who answers for the connections that showed an anomaly of the device: the same answers as for failures, since most
//! of them are two sides of one thing.

use super::super::intervals::Intervals;
use super::super::{AnomalyRow, Evidence, Finding, FindingId, facts};
use super::{By, Excuse};
use espstress_event::{AnomalyClass, AnomalyId};

use AnomalyId as A;

/// The device ended a connection by a RST, or answered by one.
const RESETS: [AnomalyId; 6] =
    [A::RstAfterHandshake, A::AbortiveClose, A::RstAfterFin, A::LateRst, A::RstStorm, A::RstBadSeq];
/// It did not answer.
pub(super) const SILENCES: [AnomalyId; 4] =
    [A::SynUnanswered, A::NoAckToData, A::ZeroWindowStall, A::HalfClosedLinger];
/// It took no connection, or ended one that it had taken.
const ENDS: [AnomalyId; 2] = [A::SynRefused, A::ClosedUnserved];
/// How a device without room for a connection refuses it. Of connections that come at once, nobody knows which will find
/// room.
const WANT_OF_ROOM: [AnomalyId; 4] =
    [A::SynRefused, A::SynUnanswered, A::RstAfterHandshake, A::ClosedUnserved];
/// It sent something again, or out of its turn.
const REPEATS: [AnomalyId; 8] = [
    A::FinRetransmission,
    A::FinDuel,
    A::DataAfterFin,
    A::ChallengeAck,
    A::Retransmission,
    A::DuplicateAck,
    A::OutOfOrder,
    A::PostRunChatter,
];

/// The answer for one row of anomalies; `None` for those that do not count against the device, or are of no workload.
pub(super) fn answer(
    e: &Evidence<'_>,
    findings: &[Finding],
    intervals: &Intervals,
    row: &AnomalyRow,
) -> Option<By> {
    if row.class != AnomalyClass::Device || row.count == 0 {
        return None;
    }
    let w = e.workloads.iter().find(|w| row.workload.as_deref() == Some(w.name.as_str()))?;
    if let Some(finding) = findings.iter().find(|f| explains(f.id, row.id)) {
        return Some(By::Finding(finding.id));
    }
    // What the host's own silence brings about there cannot be told from what the device does.
    if !facts::is_exchange(w) {
        return Some(By::Excuse(Excuse::Provoked));
    }
    if [A::AbortiveClose, A::RstAfterFin].contains(&row.id) && facts::unread_by_right(w) >= row.connections {
        return Some(By::Excuse(Excuse::Provoked));
    }
    let room = row.id != A::SynRefused || w.succeeded > 0;
    if room && facts::room::excuses(e, w) && WANT_OF_ROOM.contains(&row.id) {
        return Some(By::Excuse(Excuse::BeyondCapacity));
    }
    let (from, to) = (nanoseconds(row.first_s), nanoseconds(row.last_s));
    Some(intervals.holding(from, to).map_or(By::Nothing, By::Excuse))
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * 1e9) as u64
}

/// Whether a fault shows itself in this way on the wire.
fn explains(id: FindingId, anomaly: AnomalyId) -> bool {
    use FindingId as Id;
    let any = |sets: &[&[AnomalyId]]| sets.iter().any(|set| set.contains(&anomaly));
    match id {
        Id::SocketExhaustion
        | Id::HalfOpenNotReclaimed
        | Id::AcceptOverflow
        | Id::HeapLow
        | Id::BlockedApplication
        | Id::DeviceUnreachable
        | Id::DeviceCrashed
        | Id::Brownout
        | Id::Watchdog
        | Id::DeviceRebooted => any(&[&RESETS, &SILENCES, &ENDS, &REPEATS]),
        Id::AbortiveClose => any(&[&RESETS, &[A::FinDuel, A::ClosedUnserved]]),
        Id::TimewaitPortReuse => any(&[&[A::TimewaitCollision, A::SynUnanswered, A::ChallengeAck]]),
        Id::FinWaitTimeout => any(&[&[A::RstAfterFin, A::LateRst]]),
        // What is charged to the device, the path's losses do not explain.
        Id::LossyLink => any(&[&REPEATS]),
        Id::PowerSaveLatency | Id::SlowRecovery => any(&[&SILENCES, &REPEATS]),
        // A device gives up during an outage what it could not deliver.
        Id::LinkOutages | Id::WifiDeauthenticated => any(&[&SILENCES, &REPEATS, &RESETS]),
        Id::PathMtu => any(&[&SILENCES]),
        Id::HeadUnanswered | Id::OtherProtocol | Id::MalformedResponse => {
            any(&[&RESETS, &[A::ClosedUnserved, A::HalfClosedLinger, A::DataAfterFin]])
        }
        Id::PipeliningLost | Id::BodyTimeout => anomaly == A::HalfClosedLinger,
        Id::ResetsRequests => any(&[&RESETS]),
        Id::ClosesUnserved => any(&[&[A::ClosedUnserved, A::RstAfterFin]]),
        Id::ClosesIdle | Id::MakesRoom => any(&[&RESETS, &[A::ClosedUnserved]]),
        // A handshake that fails is a connection without payload for HTTP, alerts cross its end, and who hangs in it keeps
        // the connection.
        Id::TlsFailed => any(&[&RESETS, &[A::ClosedUnserved, A::HalfClosedLinger]]),
        // Their times are known, and what failed then is answered by them.
        Id::NoMemoryReported | Id::WifiLost | Id::AddressChanged => any(&[&SILENCES, &REPEATS, &RESETS]),
        Id::HeapLeak
        | Id::LinesLost
        | Id::AnswersRepeated
        | Id::MqttKeepaliveMissed
        | Id::MqttPingLate
        | Id::MqttOutageUnnoticed
        | Id::MqttSlowNotice
        | Id::MqttCloseUnnoticed
        | Id::MqttNoReconnect
        | Id::MqttSessionRefused
        | Id::MqttNotResubscribed
        | Id::MqttReconnectStorm
        | Id::MqttDupMissing
        | Id::MqttDuplicates
        | Id::MqttMessageLost
        | Id::MqttNoPuback
        | Id::MqttBigPacket
        | Id::MqttHasty
        | Id::MqttAvailability
        | Id::MqttTooLongKeepalive
        | Id::HttpErrors
        | Id::UploadStalled
        | Id::Redirected
        | Id::NagleDelay
        | Id::StandsStill
        | Id::SlowsDown
        | Id::DtimLong
        | Id::WeakSignal
        | Id::RetryStorm
        | Id::BeaconLoss
        | Id::NoEcho
        | Id::DatagramSize
        | Id::DatagramsLost
        | Id::EventStream
        | Id::HostLimited
        | Id::CaptureIncomplete
        | Id::UnexplainedFailures => false,
    }
}
