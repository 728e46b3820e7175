//! What a run means: the catalogue of findings.

use serde::{Deserialize, Serialize};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Users of the device will meet it.
    Error,
    /// It will hurt under other circumstances, or it hurts a little.
    Warning,
    /// Worth knowing; nothing is wrong.
    Info,
}

impl Severity {
    /// As reports and gates have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// A finding's public name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each id is explained in the catalogue beside its rule")]
pub enum FindingId {
    SocketExhaustion,
    HalfOpenNotReclaimed,
    AbortiveClose,
    TimewaitPortReuse,
    FinWaitTimeout,
    AcceptOverflow,
    BlockedApplication,
    DeviceUnreachable,
    DeviceCrashed,
    Brownout,
    Watchdog,
    DeviceRebooted,
    NoMemoryReported,
    WifiLost,
    AddressChanged,
    HeapLeak,
    HeapLow,
    PowerSaveLatency,
    LinkOutages,
    SlowRecovery,
    LossyLink,
    WifiDeauthenticated,
    DtimLong,
    WeakSignal,
    RetryStorm,
    BeaconLoss,
    HostLimited,
    CaptureIncomplete,
    HttpErrors,
    MalformedResponse,
    HeadUnanswered,
    OtherProtocol,
    PipeliningLost,
    ResetsRequests,
    ClosesUnserved,
    TlsFailed,
    UploadStalled,
    Redirected,
    NagleDelay,
    StandsStill,
    SlowsDown,
    ClosesIdle,
    MakesRoom,
    PathMtu,
    BodyTimeout,
    NoEcho,
    DatagramSize,
    DatagramsLost,
    EventStream,
    UnexplainedFailures,
    LinesLost,
    AnswersRepeated,
    MqttKeepaliveMissed,
    MqttPingLate,
    MqttOutageUnnoticed,
    MqttSlowNotice,
    MqttCloseUnnoticed,
    MqttNoReconnect,
    MqttSessionRefused,
    MqttNotResubscribed,
    MqttReconnectStorm,
    MqttDupMissing,
    MqttDuplicates,
    MqttMessageLost,
    MqttNoPuback,
    MqttBigPacket,
    MqttHasty,
    MqttAvailability,
    MqttTooLongKeepalive,
}

impl FindingId {
    /// Every id.
    pub const ALL: [Self; 69] = [
        Self::SocketExhaustion,
        Self::HalfOpenNotReclaimed,
        Self::AbortiveClose,
        Self::TimewaitPortReuse,
        Self::FinWaitTimeout,
        Self::AcceptOverflow,
        Self::BlockedApplication,
        Self::DeviceUnreachable,
        Self::DeviceCrashed,
        Self::Brownout,
        Self::Watchdog,
        Self::DeviceRebooted,
        Self::NoMemoryReported,
        Self::WifiLost,
        Self::AddressChanged,
        Self::HeapLeak,
        Self::HeapLow,
        Self::PowerSaveLatency,
        Self::LinkOutages,
        Self::SlowRecovery,
        Self::LossyLink,
        Self::WifiDeauthenticated,
        Self::DtimLong,
        Self::WeakSignal,
        Self::RetryStorm,
        Self::BeaconLoss,
        Self::HostLimited,
        Self::CaptureIncomplete,
        Self::HttpErrors,
        Self::MalformedResponse,
        Self::HeadUnanswered,
        Self::OtherProtocol,
        Self::PipeliningLost,
        Self::ResetsRequests,
        Self::ClosesUnserved,
        Self::TlsFailed,
        Self::UploadStalled,
        Self::Redirected,
        Self::NagleDelay,
        Self::StandsStill,
        Self::SlowsDown,
        Self::ClosesIdle,
        Self::MakesRoom,
        Self::PathMtu,
        Self::BodyTimeout,
        Self::NoEcho,
        Self::DatagramSize,
        Self::DatagramsLost,
        Self::EventStream,
        Self::UnexplainedFailures,
        Self::LinesLost,
        Self::AnswersRepeated,
        Self::MqttKeepaliveMissed,
        Self::MqttPingLate,
        Self::MqttOutageUnnoticed,
        Self::MqttSlowNotice,
        Self::MqttCloseUnnoticed,
        Self::MqttNoReconnect,
        Self::MqttSessionRefused,
        Self::MqttNotResubscribed,
        Self::MqttReconnectStorm,
        Self::MqttDupMissing,
        Self::MqttDuplicates,
        Self::MqttMessageLost,
        Self::MqttNoPuback,
        Self::MqttBigPacket,
        Self::MqttHasty,
        Self::MqttAvailability,
        Self::MqttTooLongKeepalive,
    ];

    /// The name in reports and threshold expressions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketExhaustion => "socket_exhaustion",
            Self::HalfOpenNotReclaimed => "half_open_not_reclaimed",
            Self::AbortiveClose => "abortive_close",
            Self::TimewaitPortReuse => "timewait_port_reuse",
            Self::FinWaitTimeout => "fin_wait_timeout",
            Self::AcceptOverflow => "accept_overflow",
            Self::BlockedApplication => "blocked_application",
            Self::DeviceUnreachable => "device_unreachable",
            Self::DeviceCrashed => "device_crashed",
            Self::Brownout => "brownout",
            Self::Watchdog => "watchdog",
            Self::DeviceRebooted => "device_rebooted",
            Self::NoMemoryReported => "no_memory_reported",
            Self::WifiLost => "wifi_lost",
            Self::AddressChanged => "address_changed",
            Self::HeapLeak => "heap_leak",
            Self::HeapLow => "heap_low",
            Self::PowerSaveLatency => "power_save_latency",
            Self::LinkOutages => "link_outages",
            Self::SlowRecovery => "slow_recovery",
            Self::LossyLink => "lossy_link",
            Self::WifiDeauthenticated => "wifi_deauthenticated",
            Self::DtimLong => "dtim_long",
            Self::WeakSignal => "weak_signal",
            Self::RetryStorm => "retry_storm",
            Self::BeaconLoss => "beacon_loss",
            Self::HostLimited => "host_limited",
            Self::CaptureIncomplete => "capture_incomplete",
            Self::HttpErrors => "http_errors",
            Self::MalformedResponse => "malformed_response",
            Self::HeadUnanswered => "head_unanswered",
            Self::OtherProtocol => "other_protocol",
            Self::PipeliningLost => "pipelining_lost",
            Self::ResetsRequests => "resets_requests",
            Self::ClosesUnserved => "closes_unserved",
            Self::TlsFailed => "tls_failed",
            Self::UploadStalled => "upload_stalled",
            Self::Redirected => "redirected",
            Self::NagleDelay => "nagle_delay",
            Self::StandsStill => "stands_still",
            Self::SlowsDown => "slows_down",
            Self::ClosesIdle => "closes_idle",
            Self::MakesRoom => "makes_room",
            Self::PathMtu => "path_mtu",
            Self::BodyTimeout => "body_timeout",
            Self::NoEcho => "no_echo",
            Self::DatagramSize => "datagram_size",
            Self::DatagramsLost => "datagrams_lost",
            Self::EventStream => "event_stream",
            Self::UnexplainedFailures => "unexplained_failures",
            Self::LinesLost => "lines_lost",
            Self::AnswersRepeated => "answers_repeated",
            Self::MqttKeepaliveMissed => "mqtt_keepalive_missed",
            Self::MqttPingLate => "mqtt_ping_late",
            Self::MqttOutageUnnoticed => "mqtt_outage_unnoticed",
            Self::MqttSlowNotice => "mqtt_slow_notice",
            Self::MqttCloseUnnoticed => "mqtt_close_unnoticed",
            Self::MqttNoReconnect => "mqtt_no_reconnect",
            Self::MqttSessionRefused => "mqtt_session_refused",
            Self::MqttNotResubscribed => "mqtt_not_resubscribed",
            Self::MqttReconnectStorm => "mqtt_reconnect_storm",
            Self::MqttDupMissing => "mqtt_dup_missing",
            Self::MqttDuplicates => "mqtt_duplicates",
            Self::MqttMessageLost => "mqtt_message_lost",
            Self::MqttNoPuback => "mqtt_no_puback",
            Self::MqttBigPacket => "mqtt_big_packet",
            Self::MqttHasty => "mqtt_hasty",
            Self::MqttAvailability => "mqtt_availability",
            Self::MqttTooLongKeepalive => "mqtt_too_long_keepalive",
        }
    }
}

/// What a run means, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Which finding.
    pub id: FindingId,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence.
    pub statement: String,
    /// The evidence with its figures, a line each.
    pub evidence: Vec<String>,
    /// The likely cause.
    pub cause: String,
    /// What to change: an sdkconfig line or a code habit.
    pub change: String,
}
