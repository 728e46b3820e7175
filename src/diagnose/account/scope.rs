//! Which failures each finding explains: the kinds that its fault produces at the client's socket.

use super::super::facts::{CONNECT, SILENT, unmade_silences};
use super::super::findings::{
    address_changed_since, answers_otherwise, console_explains, departs, gone_since, silent_since, too_large,
};
use super::super::{Evidence, FindingId, WorkloadEvidence};
use super::anomalies::SILENCES;
use espstress_event::{AnomalyClass, Episode, Failure};

use Failure as F;

/// The device ended the connection by a RST.
const RESET: [Failure; 3] = [F::ReadReset, F::WriteReset, F::ConnectReset];
/// The device ended the connection by a FIN.
const CLOSED: [Failure; 2] = [F::EofBeforeResponse, F::TruncatedResponse];

/// What a device without a free socket or slot does to new connections.
pub(super) const WANT_OF_ROOM: [Failure; 9] = [
    F::ConnectTimeout,
    F::ConnectRefused,
    F::ConnectReset,
    F::ConnectUnreachable,
    F::ReadTimeout,
    F::WriteTimeout,
    F::ReadReset,
    F::WriteReset,
    F::EofBeforeResponse,
];

/// Nothing came back of a datagram.
const DATAGRAM: [Failure; 2] = [F::DatagramLost, F::PortUnreachable];

/// Whether a fault explains a failure of this kind at this time.
pub(super) fn explains(
    e: &Evidence<'_>,
    w: &WorkloadEvidence,
    id: FindingId,
    failure: Failure,
    at: &Episode,
) -> bool {
    let any = |sets: &[&[Failure]]| sets.iter().any(|set| set.contains(&failure));
    match id {
        // The client beside silent connections: 503 and 429 say that there is no room for it.
        FindingId::HalfOpenNotReclaimed if failure == F::BadStatus => {
            let silent_since = w.half_open.as_ref().and_then(|h| h.silent_since_ns);
            silent_since.is_some_and(|since| at.to_ns > since)
        }
        FindingId::SocketExhaustion
        | FindingId::HalfOpenNotReclaimed
        | FindingId::AcceptOverflow
        | FindingId::HeapLow => any(&[&CONNECT, &SILENT, &RESET, &CLOSED]),
        FindingId::BlockedApplication => any(&[&CONNECT, &SILENT, &RESET]),
        FindingId::DeviceUnreachable => {
            any(&[&CONNECT, &SILENT, &RESET, &DATAGRAM])
                && gone_since(e).is_none_or(|since| at.to_ns >= since)
        }
        // Proven restarts have a time, and the intervals excuse what met it; suspected ones have none.
        FindingId::DeviceRebooted => {
            let kinds: [&[Failure]; 4] = [&RESET, &CLOSED, &[F::ConnectRefused], &DATAGRAM];
            e.telemetry.value().is_none_or(|t| t.restarts.is_empty()) && any(&kinds)
        }
        FindingId::DeviceCrashed
        | FindingId::Brownout
        | FindingId::Watchdog
        | FindingId::NoMemoryReported => {
            any(&[&CONNECT, &SILENT, &RESET, &CLOSED, &DATAGRAM]) && console_explains(e, id, at)
        }
        FindingId::AddressChanged => {
            any(&[&CONNECT, &SILENT, &RESET, &CLOSED, &DATAGRAM])
                && address_changed_since(e).is_some_and(|since| at.to_ns >= since)
        }
        FindingId::WifiLost => {
            let kinds: [&[Failure]; 3] = [&SILENT, &[F::ConnectTimeout, F::ConnectUnreachable], &DATAGRAM];
            any(&kinds) && console_explains(e, id, at)
        }
        FindingId::AbortiveClose => any(&[&RESET, &[F::TruncatedResponse]]),
        FindingId::TimewaitPortReuse => any(&[&CONNECT]),
        FindingId::FinWaitTimeout => any(&[&RESET]),
        FindingId::PowerSaveLatency | FindingId::SlowRecovery | FindingId::LossyLink => {
            any(&[&SILENT, &[F::ConnectTimeout]])
        }
        // Its intervals excuse what met an outage. Where only the device counts its disconnections, nobody knows when.
        FindingId::LinkOutages => {
            unmade_silences(e).is_empty() && any(&[&SILENT, &[F::ConnectTimeout, F::DatagramLost]])
        }
        FindingId::WifiDeauthenticated => {
            any(&[&SILENT, &[F::ConnectTimeout], &DATAGRAM]) && departs(e, at.from_ns, at.to_ns)
        }
        FindingId::PathMtu => any(&[&SILENT, &[F::TruncatedResponse]]),
        FindingId::HttpErrors => failure == F::BadStatus,
        FindingId::MalformedResponse
        | FindingId::TlsFailed
        | FindingId::UploadStalled
        | FindingId::HeadUnanswered
        | FindingId::OtherProtocol
        | FindingId::PipeliningLost
        | FindingId::EventStream
        | FindingId::ClosesIdle
        | FindingId::MakesRoom => answers_otherwise(e, w, id, failure),
        FindingId::NoEcho => any(&[&DATAGRAM]) && silent_since(w).is_none_or(|since| at.to_ns >= since),
        FindingId::DatagramSize | FindingId::DatagramsLost => failure == F::DatagramLost,
        FindingId::ResetsRequests => any(&[&RESET]),
        FindingId::ClosesUnserved => answers_otherwise(e, w, id, failure),
        FindingId::HeapLeak
        | FindingId::Redirected
        | FindingId::LinesLost
        | FindingId::AnswersRepeated
        | FindingId::MqttKeepaliveMissed
        | FindingId::MqttPingLate
        | FindingId::MqttOutageUnnoticed
        | FindingId::MqttSlowNotice
        | FindingId::MqttCloseUnnoticed
        | FindingId::MqttNoReconnect
        | FindingId::MqttSessionRefused
        | FindingId::MqttNotResubscribed
        | FindingId::MqttReconnectStorm
        | FindingId::MqttDupMissing
        | FindingId::MqttDuplicates
        | FindingId::MqttMessageLost
        | FindingId::MqttNoPuback
        | FindingId::MqttBigPacket
        | FindingId::MqttHasty
        | FindingId::MqttAvailability
        | FindingId::MqttTooLongKeepalive
        | FindingId::DtimLong
        | FindingId::WeakSignal
        | FindingId::RetryStorm
        | FindingId::BeaconLoss
        | FindingId::NagleDelay
        | FindingId::StandsStill
        | FindingId::SlowsDown
        | FindingId::BodyTimeout
        | FindingId::HostLimited
        | FindingId::CaptureIncomplete
        | FindingId::UnexplainedFailures => false,
    }
}

/// Whether silent connections excuse that others were not served then: from the first of them until the device is expected to
/// have got over them, where it had served half of the requests before or more.
pub(super) fn is_of_silence(w: &WorkloadEvidence, at: &Episode) -> bool {
    /// What began just before is settled just after, nanoseconds.
    const MARGIN: u64 = 1_000_000_000;
    w.half_open.as_ref().is_none_or(|h| {
        let expected = h.expected_reclaim_ns.saturating_add(MARGIN);
        let over = h.silent_since_ns.map(|since| since.saturating_add(expected));
        let first = h.connections.iter().map(|connection| connection.silent_ns).min();
        // A path loses a request now and then; a device that failed most of them needed no silence for that.
        let served_before = h.before.served.saturating_mul(2) >= h.before.attempts;
        // Once all are silent there is no less room than before, so who was served then has met something else.
        let kept_out = h
            .kept_out()
            .is_some_and(|spell| at.to_ns >= spell.from_ns && spell.to_ns.is_none_or(|to| at.from_ns <= to));
        served_before
            && (h.may_be_full() || h.rate_limit().is_some() || kept_out)
            && first.is_none_or(|first| at.to_ns > first)
            && over.is_none_or(|over| at.from_ns < over)
    })
}

/// How many failures a finding may explain at most.
#[derive(Debug)]
pub(super) struct Limits {
    by_loss: u64,
    too_large: u64,
}

impl Limits {
    pub(super) fn of(e: &Evidence<'_>, w: &WorkloadEvidence) -> Self {
        /// Time-outs that losses may explain of few attempts. One of some seconds takes four or more losses in a row: at one
        /// loss in five that is less than one attempt in two hundred, with bursts ten times as often.
        const LEAST: u64 = 3;
        // Silences that were weighed against the path's losses, and found to be the device's.
        let charged = e.anomalies.iter().filter(|row| {
            row.class == AnomalyClass::Device
                && SILENCES.contains(&row.id)
                && row.workload.as_deref() == Some(w.name.as_str())
        });
        let charged = charged.fold(0_u64, |n, row| n.saturating_add(row.connections));
        let by_loss = (w.attempts / 20).max(LEAST).saturating_sub(charged);
        Self { by_loss, too_large: too_large(w) }
    }

    /// How many of `n` further failures this finding explains.
    pub(super) fn take(&mut self, id: FindingId, n: u64) -> u64 {
        let left = match id {
            FindingId::LossyLink => &mut self.by_loss,
            FindingId::DatagramSize => &mut self.too_large,
            _ => return n,
        };
        let part = n.min(*left);
        *left -= part;
        part
    }
}
