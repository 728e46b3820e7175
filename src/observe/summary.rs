//! What remains of a capture when it is over.

use std::net::SocketAddr;

use espstress_event::{AckWaits, AnomalyId, DialSign, HostResets, NotJudged, PathFigures, PathWindow};
use espstress_wire::Unread;

use super::dials::Dials;
use super::rules::{Obstacle, Source};

/// Keep-alive probes of the device's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeepAliveFigures {
    /// How many were seen.
    pub probes: u64,
    /// The shortest idle time of a connection before its first one, nanoseconds; `None` without any.
    pub idle_ns: Option<i64>,
}

/// A time in which no segment came from the device, half a second or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuietSpell {
    /// The segment before it, nanoseconds since the Unix epoch; `i64::MIN` before the first one.
    pub from_ns: i64,
    /// The segment after it; `i64::MAX` after the last one.
    pub to_ns: i64,
}

/// A time in which the host asked and the device answered nothing, a second or more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The first segment that wanted an answer, nanoseconds since the Unix epoch.
    pub from_ns: i64,
    /// The device's first segment after it.
    pub to_ns: i64,
    /// Moments at which the host asked in vain; what it sent within 50 ms is one.
    pub asked: u32,
    /// Those at which the device's stack had something to acknowledge, which takes no program.
    pub owed: u32,
}

/// Connections that the device ended only when they counted as lingering (`half_closed_linger`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateEnds {
    /// How many.
    pub count: u64,
    /// The longest time from the host's FIN to that end, nanoseconds.
    pub longest_ns: i64,
}

/// Figures of a whole capture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireSummary {
    /// Frames looked at.
    pub(crate) packets: u64,
    /// Of those, TCP segments to or from the device.
    pub tcp_packets: u64,
    /// Of those, the ones that the device sent.
    pub device_packets: u64,
    /// Frames whose headers were cut or contradict themselves.
    pub damaged: u64,
    /// Frames in which TCP may be, and which are not read.
    pub unread: u64,
    /// What the first of those was.
    pub unread_kind: Option<Unread>,
    /// TCP segments of which neither end is the device.
    pub tcp_of_others: u64,
    /// The end of the first of those that looks like a device.
    pub other_device: Option<SocketAddr>,
    /// Packets that came in parts, one of which is missing.
    pub fragments_missing: u64,
    /// Connections seen.
    pub connections: u64,
    /// Of those, without their beginning.
    pub mid_stream: u64,
    /// Segments that belonged to no connection that is known.
    pub strays: u64,
    /// Connections that had ended and were forgotten, to make room or after five minutes.
    pub(crate) evicted_settled: u64,
    /// Connections that had not ended and were forgotten to make room: what came of them is not judged.
    pub evicted_live: u64,
    /// How often the capture said that it had dropped packets.
    pub gaps: u64,
    /// Connections of which packets were missing.
    pub incomplete: u64,
    /// Of those, the ones of which only the host's packets are there.
    pub host_half_only: u64,
    /// Likewise only the device's.
    pub device_half_only: u64,
    /// Rules that could not be judged.
    pub not_judged: Vec<NotJudged>,
    /// Keep-alive probes of the device's.
    pub keep_alive: KeepAliveFigures,
    /// Connections that counted as lingering, and that the device ended after all.
    pub late_ends: LateEnds,
    /// Connections that the host reset.
    pub resets: HostResets,
    /// From the RST to the first sign that the device still held the connection, for those whose RST was lost, nanoseconds
    /// since the Unix epoch; the last of them.
    pub held: Vec<(i64, i64)>,
    /// What the path did, window by window.
    pub windows: Vec<PathWindow>,
    /// What came from the device.
    pub from_device: PathFigures,
    /// What came from the host.
    pub from_host: PathFigures,
    /// Small segments that waited for an acknowledgement.
    pub ack_waits: AckWaits,
    /// Packets that the path copied, or held up until others had overtaken them, as far as they show it.
    pub(crate) astray: u64,
    /// SYNs of the host that were sent again.
    pub(crate) syn_repetitions: u64,
    /// When nothing came from the device, in the order of time; the oldest are told as one where they became many.
    pub quiet: Vec<QuietSpell>,
    /// When the host asked and the device answered nothing for a second or more; the last of them.
    pub absences: Vec<Absence>,
    /// What the device began and ended on a port of the host's that it dials, the first `DIAL_SIGNS`.
    pub dial_signs: Vec<DialSign>,
    /// What the device dials.
    pub dials: Dials,
    /// When the device's program sent nothing new, neither payload nor a FIN; as above. A FIN for a client that asked nothing, while an older one
    /// waits for its answer, is not counted.
    pub idle: Vec<QuietSpell>,
}

/// Connections for each rule and reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unjudged([[u64; Obstacle::ALL.len()]; AnomalyId::ALL.len()]);

impl Unjudged {
    pub(super) fn add(&mut self, id: AnomalyId, why: Obstacle) {
        self.0[id as usize][why as usize] += 1;
    }

    pub(super) fn list(&self, source: Source) -> Vec<NotJudged> {
        let mut list = Vec::new();
        for id in AnomalyId::ALL {
            for why in Obstacle::ALL {
                let connections = self.0[id as usize][why as usize];
                if connections > 0 {
                    list.push(NotJudged { id, reason: why.in_words(source).to_owned(), connections });
                }
            }
        }
        list
    }
}
