//! The words that the crates share: how a transaction failed, what the packets showed, what a workload
//! intended with a connection, what the device said of itself, and the events a run is made of.
//!
//! A leaf: it imports nothing of the program, decides nothing and formats nothing. Names that end up in
//! reports are fixed here, so that rewording a message can never change a statistic.

mod address;
mod air;
mod anomaly;
mod away;
mod backlog;
mod by_port;
mod by_protocol;
mod console;
mod ending;
mod endpoints;
mod episode;
mod espressif;
mod examination;
mod facts;
mod failure;
mod half_open;
mod http;
mod http_fault;
mod intent;
mod ledger;
mod mac;
mod mqtt;
mod named;
mod outage;
mod path;
mod probed;
mod reading;
mod responses;
mod run;
mod seconds;
mod tcp;
mod telemetry;
mod wifi_reason;

/// What gives the program both rights that it can use without root, before its path: to capture packets, and to fall silent on
/// a connection. `setcap` replaces what a file had, so two commands with one right each would undo each other.
pub const SETCAP: &str = "sudo setcap cap_net_raw,cap_net_admin+ep";

pub use address::is_public;
pub use air::{
    Air, AirChannel, AirDeed, AirEvent, AirNetwork, AirOther, AirPowerSave, AirRate, AirSide, AirSignal,
    AirStation, AirTraffic, AirWait, Chosen, Departure, Refusal,
};
pub use anomaly::{
    AnomalyClass, AnomalyId, Answered, ConnectionKey, Direction, NotJudged, Occurrence, PacketNote, Shown,
};
pub use anomaly::{END_NOT_SEEN, RequestFate};
pub use away::AwaySpell;
pub use backlog::Backlog;
pub use by_protocol::{
    ByProtocol, DatagramSize, Datagrams, EchoGap, EventStreams, LostRun, SilentClients, SlowClients,
    SlowSpan, Standstills, WebSockets,
};
pub use console::{Console, ConsoleEvent, Crash, DeviceClock, Doing, Frame, Said, Watchdog, WifiSign};
pub use ending::{Ending, EndingCounts};
pub use endpoints::Endpoints;
pub use episode::Episode;
pub use examination::{Check, Deeds, Examination, Mark};
pub use facts::{Asks, ClosePolicy, OutageMeans, Protocol, WorkloadFacts, WorkloadKind};
pub use failure::{Failure, FailureCounts};
pub use half_open::{
    Availability, Full, HalfOpen, LimitReached, OpenFailure, ReclaimEvidence, Recorded, SilencedConnection,
    SocketsUsed, Spell, Stage,
};
pub use http::{
    Continues, HttpFigures, Login, Redirect, StallEnd, TlsFailure, TlsFault, TlsFaultSeen, TlsFigures,
    UploadStall, Uploads,
};
pub use http_fault::{
    FaultCount, FaultSeen, HEAD_CUT, HEAD_TOO_LONG, HttpFault, HttpFaults, IdleCloses, NO_CLOSE_NOTIFY,
    SECOND_RESPONSE, TLS_ALERT, TOO_MANY_FIELDS,
};
pub use intent::{Intent, IntentBook, IntentEntry, WorkloadId};
pub use ledger::MessageLedger;
pub use mac::{MacAddress, NoMacAddress};
pub use mqtt::{
    DialSign, Mqtt, MqttAbsence, MqttAway, MqttBig, MqttBigEnd, MqttClient, MqttDelivery, MqttFault,
    MqttLeft, MqttOutage, MqttProtocol, MqttSessions, MqttSign, MqttToDevice, MqttWill,
};
pub use named::{PowerSave, ResetReason};
pub use outage::{LinkOutageCause, OutageOrigin, OutageProgress, OutageRow};
pub use path::{AckWaits, HostResets, Losses, PathFigures, PathWindow};
pub use probed::{
    DeviceProgress, FullSize, ProbeProgress, Probed, ReadingProgress, Restart, Silence, SlopeProgress,
};
pub use reading::Reading;
pub use responses::Responses;
pub use run::{Event, EventSink, Expected, PhaseProgress, SectionCourse};
pub use tcp::TcpSample;
pub use telemetry::{DeviceSample, Telemetry};
pub use wifi_reason::{idf_reason_name, is_leaving, reason_name, status_name};
