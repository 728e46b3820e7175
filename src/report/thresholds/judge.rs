//! One gate judged on one report.

use super::by_host::Shifted;
use super::figure::{
    Anomalies, Figure, ProbeFigure, SseFigure, Start, Stat, Trend, UdpFigure, WorkloadFigure, check_name,
};
use super::needs;
use super::{Op, Threshold};
use crate::mqtt::Unsure;
use crate::{
    LatencyFigures, MqttClientFigures, MqttFigures, Report, ThresholdRow, ThresholdStatus, Unit, Workload,
};
use espstress_diagnose::{Accounted, FindingId};
use espstress_event::{AnomalyClass, AnomalyId, Datagrams, EventStreams, Failure};

/// A figure with what is to be thought of it.
#[derive(Debug, PartialEq)]
enum Reading {
    /// As measured.
    Sure(f64),
    /// As measured; a pass leaves something open.
    WithRemark(f64, String),
    /// It is at least this: not everything was looked at.
    AtLeast(f64, String),
    /// It is at most this: not everything was looked at.
    AtMost(f64, String),
    /// Measured, but not to be relied on.
    Doubtful(f64, String),
    /// Not measured.
    Missing(String),
}

/// Judges one gate.
pub(super) fn judge(t: &Threshold, report: &Report) -> ThresholdRow {
    use ThresholdStatus::{Fail, Inconclusive, Pass};
    let mut names: Vec<_> = report.workloads.iter().map(|w| w.name.as_str()).collect();
    for name in report.planned().chain(report.left_out().map(|(name, _)| name)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let expr = t.text().to_owned();
    let (resolved, bound) = match check_name(t, &names) {
        Ok(found) => found,
        Err(e) => {
            let reason = Some(e.to_string());
            return ThresholdRow { expr, value: None, unit: Unit::Count, status: Inconclusive, reason };
        }
    };
    let workload = resolved.workload.as_deref().and_then(|name| report.workload(name));
    let plain = |value| if t.op().holds(value, bound) { Pass } else { Fail };
    let reading = match resolved.workload.as_deref().filter(|_| workload.is_none()) {
        Some(name) => Reading::Missing(report.why_not_run(name)),
        None => beside_host(read(resolved.figure, workload, report), resolved.figure, workload, report),
    };
    let (value, status, reason) = match reading {
        // A run that was stopped had no time to come to as much.
        Reading::Sure(v)
            if report.interrupted
                && resolved.figure.grows()
                && plain(v) == Fail
                && at_least(t.op(), v, bound) == Inconclusive =>
        {
            (Some(v), Inconclusive, Some("the run was stopped before its end".to_owned()))
        }
        Reading::Sure(v) => (Some(v), plain(v), None),
        Reading::WithRemark(v, remark) => {
            let status = plain(v);
            (Some(v), status, (status == Pass).then_some(remark))
        }
        Reading::AtLeast(v, reason) => match at_least(t.op(), v, bound) {
            Inconclusive => (Some(v), Inconclusive, Some(reason)),
            sure => (Some(v), sure, None),
        },
        Reading::AtMost(v, reason) => match at_least(t.op().mirrored(), -v, -bound) {
            Inconclusive => (Some(v), Inconclusive, Some(reason)),
            sure => (Some(v), sure, None),
        },
        Reading::Doubtful(v, reason) => (Some(v), Inconclusive, Some(reason)),
        Reading::Missing(reason) => (None, Inconclusive, Some(reason)),
    };
    ThresholdRow { expr, value, unit: resolved.unit, status, reason }
}

/// Judges a figure of which only a lower bound is known.
fn at_least(op: Op, value: f64, bound: f64) -> ThresholdStatus {
    let now = op.holds(value, bound);
    let decided = match op {
        // Growing can only break these: what is broken now stays broken.
        Op::Less | Op::AtMost => !now,
        // Growing can only help these.
        Op::Greater | Op::AtLeast => now,
        // Beyond the bound it can never be equal again.
        Op::Equal | Op::NotEqual => Op::Greater.holds(value, bound),
    };
    match (decided, now) {
        (false, _) => ThresholdStatus::Inconclusive,
        (true, true) => ThresholdStatus::Pass,
        (true, false) => ThresholdStatus::Fail,
    }
}

/// The same figure as far as it is the device's, where the testing machine was the limit.
fn beside_host(reading: Reading, figure: Figure, workload: Option<&Workload>, report: &Report) -> Reading {
    let limited = report.findings.iter().any(|f| f.id == FindingId::HostLimited);
    let by_datagrams = workload.is_some_and(|w| w.by_protocol.as_ref().is_some_and(|by| by.udp.is_some()));
    let Some(shifted) = figure.shifted_by_host(by_datagrams).filter(|_| limited) else { return reading };
    let why =
        |than| format!("this machine was the limit (host_limited); the device's own figure may be {than}");
    match (reading, shifted) {
        (Reading::Sure(v) | Reading::AtMost(v, _), Shifted::Up) => Reading::AtMost(v, why("lower")),
        (Reading::Sure(v) | Reading::AtLeast(v, _), Shifted::Down) => Reading::AtLeast(v, why("higher")),
        (Reading::Sure(v), Shifted::EitherWay) => Reading::Doubtful(v, why("another")),
        (Reading::AtLeast(v, reason), Shifted::Up) | (Reading::AtMost(v, reason), Shifted::Down) => {
            Reading::Doubtful(v, reason)
        }
        (reading, _) => reading,
    }
}

fn read(figure: Figure, workload: Option<&Workload>, report: &Report) -> Reading {
    match figure {
        Figure::Workload(f) => match workload {
            Some(w) => of_workload(f, w, report),
            None => Reading::Missing("the report has no such workload".into()),
        },
        Figure::Anomalies(a) => anomalies(a, None, report),
        Figure::FindingsOf(severity) => {
            let n = report.findings.iter().filter(|f| f.severity == severity).count() as f64;
            if let Some(w) = report.workloads.iter().find_map(|w| Some((&w.name, w.not_done()?))) {
                return Reading::AtLeast(n, format!("{} could not do its job: {}", w.0, w.1));
            }
            if let Some(why) = &report.findings_incomplete {
                return Reading::AtLeast(n, why.clone());
            }
            if let Some(why) = report.untested().or_else(|| unexplained(report)) {
                return Reading::AtLeast(n, why);
            }
            match packets_missing(report) {
                Some(why) => Reading::WithRemark(
                    n,
                    format!("findings that rest on the packets were not judged: {why}"),
                ),
                None => Reading::Sure(n),
            }
        }
        Figure::Finding(id) => finding(id, report),
        Figure::CapturePackets => or_missing(report.capture.packets.map(count), "nothing was captured"),
        Figure::CaptureDropped => or_missing(report.capture.dropped.map(count), "nothing was captured"),
        Figure::TelemetrySamples => telemetry(report, |t| Some(count(t.samples))),
        Figure::TelemetryLost => telemetry(report, |t| Some(count(t.lost))),
        Figure::TelemetryReboots => telemetry(report, |t| t.reboots.map(count)),
        Figure::Reading(reading, trend) => {
            let value = telemetry(report, |t| {
                let s = t.summary.get(&reading)?;
                match trend {
                    Trend::First => Some(s.first),
                    Trend::Last => Some(s.last),
                    Trend::Min => Some(s.min),
                    Trend::Max => Some(s.max),
                    Trend::Mean => s.mean,
                    Trend::Slope => s.slope_per_hour,
                }
            });
            match (value, trend) {
                // What it was at first, nothing that came later could change.
                (Reading::AtLeast(v, _), Trend::First) => Reading::Sure(v),
                (Reading::AtLeast(v, why), Trend::Min) => Reading::AtMost(v, why),
                (Reading::AtLeast(v, why), Trend::Last | Trend::Mean | Trend::Slope) => {
                    Reading::Doubtful(v, why)
                }
                (value, _) => value,
            }
        }
        Figure::Probe(kind, f) => {
            let Some(row) = report.probes.iter().find(|p| p.kind == kind) else {
                return Reading::Missing(format!("no {} probe was sent", kind.name()));
            };
            let so_far = |value| so_far(value, row.incomplete.as_ref());
            match f {
                ProbeFigure::Sent => so_far(count(row.sent)),
                ProbeFigure::Lost => so_far(count(row.lost)),
                ProbeFigure::LongestGap => so_far(row.longest_gap_s.unwrap_or(0.0) * 1e6),
                ProbeFigure::Loss => {
                    doubtful(or_missing(row.loss_ratio(), "no probe was sent"), row.incomplete.as_ref())
                }
                ProbeFigure::Latency(stat) => doubtful(latency(&row.latency, stat), row.incomplete.as_ref()),
            }
        }
    }
}

fn of_udp(figure: UdpFigure, udp: &Datagrams) -> Option<f64> {
    match figure {
        UdpFigure::Loss => udp.loss(),
        UdpFigure::Lost => Some(count(udp.lost)),
        UdpFigure::Late => Some(count(udp.late)),
        UdpFigure::Duplicates => Some(count(udp.duplicates)),
        UdpFigure::Reordered => Some(count(udp.reordered)),
        UdpFigure::Largest => {
            udp.sizes.iter().rev().find(|row| row.echoed > 0).map(|row| f64::from(row.bytes))
        }
    }
}

fn of_sse(figure: SseFigure, sse: &EventStreams) -> Option<f64> {
    match figure {
        SseFigure::LongestGap => sse.longest_gap_us.map(count),
        SseFigure::LongestSilence => sse.longest_silence_us.map(count),
        SseFigure::Ended => {
            let ended = [sse.ended, sse.ended_empty, sse.cut, sse.reset];
            (sse.streams > 0).then(|| count(ended.into_iter().fold(0, u64::saturating_add)))
        }
    }
}

fn of_workload(f: WorkloadFigure, w: &Workload, report: &Report) -> Reading {
    use WorkloadFigure as W;
    const NO_ATTEMPT: &str = "no attempt ended";
    const NO_TIME: &str = "the workload did not run";
    let tcp = |f: fn(&crate::Tcp) -> Option<f64>| or_missing(w.tcp.as_ref().and_then(f), no_tcp(w, report));
    match f {
        W::Attempts => Reading::Sure(count(w.attempts)),
        W::Succeeded => Reading::Sure(count(w.succeeded)),
        W::Failed => Reading::Sure(count(w.failures.of_device())),
        W::HostFailed => Reading::Sure(count(w.failures.of_host())),
        W::SuccessRate => or_missing(w.success_rate, NO_ATTEMPT),
        W::Rate => or_missing(w.attempts_per_s, NO_TIME),
        W::Goodput => or_missing(w.goodput_bytes_per_s, NO_TIME),
        W::Duration => Reading::Sure(w.duration_s * 1e6),
        W::BytesSent => Reading::Sure(count(w.bytes.sent)),
        W::BytesReceived => Reading::Sure(count(w.bytes.received)),
        W::BytesGoodput => Reading::Sure(count(w.bytes.goodput)),
        W::PortWaits => Reading::Sure(count(w.port_waits)),
        W::Reconnects => Reading::Sure(count(w.reconnects)),
        W::LateStarts => Reading::Sure(count(w.late_starts)),
        W::LateStartsDropped => Reading::Sure(count(w.late_starts_dropped)),
        W::IdleCloses => Reading::Sure(count(w.idle_closes.map_or(0, |closes| closes.count))),
        W::Udp(figure) => match w.by_protocol.as_ref().and_then(|by| by.udp.as_ref()) {
            Some(udp) => or_missing(of_udp(figure, udp), "no datagram came back"),
            None => Reading::Missing("the workload sends no datagrams".into()),
        },
        W::Sse(figure) => match w.by_protocol.as_ref().and_then(|by| by.sse.as_ref()) {
            Some(sse) => or_missing(of_sse(figure, sse), "no event stream opened"),
            None => Reading::Missing("the workload reads no event stream".into()),
        },
        W::PongsMissing | W::HandshakesRefused => {
            match w.by_protocol.as_ref().and_then(|by| by.websocket.as_ref()) {
                Some(ws) if f == W::HandshakesRefused => Reading::Sure(count(ws.refused)),
                Some(ws) => Reading::Sure(count(ws.pings.saturating_sub(ws.pongs))),
                None => Reading::Missing("the workload speaks no WebSocket".into()),
            }
        }
        W::Malformed(fault) => Reading::Sure(count(w.malformed.times(fault))),
        W::Response(code) => Reading::Sure(count(w.responses.get(&code.to_string()).copied().unwrap_or(0))),
        W::Failure(f) => Reading::Sure(count(w.failures.get(f))),
        W::Latency(phase, start, stat) => match (w.latency.get(&phase), start) {
            (None, _) => Reading::Missing(format!("the workload measured no {} latency", phase.name())),
            (Some(l), Start::Intended) => latency(l, stat),
            (Some(l), Start::Actual) => match &l.uncorrected {
                Some(l) => latency(l, stat),
                None => Reading::Missing("a closed loop has no uncorrected latency".into()),
            },
        },
        W::TcpRetransmissions => tcp(|t| Some(count(t.retransmissions))),
        W::TcpLost => tcp(|t| Some(count(t.lost))),
        W::TcpRttMin => tcp(|t| Some(t.rtt_min_us)),
        W::TcpRttMean => tcp(|t| t.rtt_mean_us),
        W::TcpRttMax => tcp(|t| Some(t.rtt_max_us)),
        W::Anomalies(a) => anomalies(a, Some(&w.name), report),
        W::Outages => outages(w, |rows| Some(rows.len() as f64)),
        W::OutageLongestRecovery => match &w.outages {
            Some(rows) if rows.iter().any(|r| r.recovery_s.is_none()) => Reading::AtLeast(
                rows.iter().filter_map(|r| r.recovery_s).fold(0.0, f64::max) * 1e6,
                if rows.iter().all(crate::OutageRow::is_back) {
                    "the end of an outage is not known: only the device's telemetry tells it".into()
                } else {
                    "an outage was not recovered from within the watched time".into()
                },
            ),
            _ => {
                outages(w, |rows| rows.iter().filter_map(|r| r.recovery_s).reduce(f64::max).map(|s| s * 1e6))
            }
        },
        W::OutageMessagesLost => outages(w, |rows| Some(count(rows.iter().map(|r| r.messages_lost).sum()))),
        W::OutageConnectionsDied => {
            outages(w, |rows| Some(count(rows.iter().map(|r| r.connections_died).sum())))
        }
        W::HalfOpenCapacity => half_open(w, |h| h.capacity.map(count), "the device's limit was not found"),
        W::HalfOpenAvailability => {
            // A share of what was cut off is no share of the whole.
            half_open(
                w,
                |h| h.availability().filter(|_| h.incomplete.is_none()),
                "the device was not exhausted",
            )
        }
        W::HalfOpenFirstReclaimed => reclaimed(w, |h| h.first_reclaimed_s),
        W::HalfOpenAllReclaimed => reclaimed(w, |h| h.all_reclaimed_s),
        W::MqttPingP99OfK => match &w.mqtt {
            Some(m) if m.target().is_some_and(|c| c.ping_interval.count < P99_TAKES) => {
                Reading::Missing(format!("p99 takes {P99_TAKES} pings"))
            }
            _ => mqtt(w, |m| of_k(m, |c| c.ping_interval.p99_us)),
        },
        W::MqttPingMaxOfK => mqtt(w, |m| of_k(m, |c| c.ping_interval.max_us)),
        W::MqttNoticeMaxOfK => mqtt(w, MqttFigures::notice_max_of_k),
        W::MqttBackMax => mqtt(w, |m| m.back_max_s().map(|s| s * 1e6)),
        W::MqttLost(qos) => match w.mqtt.as_ref().and_then(|m| m.lost(qos)) {
            Some((lost, Some(Unsure::More(why)))) => Reading::AtLeast(count(lost), why.into()),
            Some((_, Some(Unsure::AtMost(most, why)))) => Reading::AtMost(count(most), why.into()),
            known => mqtt(w, |_| known.map(|(lost, _)| count(lost))),
        },
        W::MqttAttemptsPerS => mqtt(w, MqttFigures::attempts_per_s),
    }
}

/// Why nothing is known of a workload's connections from TCP_INFO.
fn no_tcp(w: &Workload, report: &Report) -> &'static str {
    let unopened = |f: Failure| {
        f.is_host()
            || matches!(f, Failure::ConnectRefused | Failure::ConnectTimeout | Failure::ConnectUnreachable)
    };
    let opened = w.attempts > w.failures.iter().filter(|(f, _)| unopened(*f)).map(|(_, n)| n).sum();
    if w.by_protocol.as_ref().is_some_and(|by| by.udp.is_some()) {
        "the workload sends datagrams, which have no TCP_INFO"
    } else if !opened {
        "no connection was opened whose TCP_INFO could be read"
    } else if report.interrupted {
        "TCP_INFO could not be read, or the run was stopped before its report had it"
    } else {
        "TCP_INFO could not be read"
    }
}

/// A figure of the outages, where the workload looked for them to its end.
fn outages(w: &Workload, f: impl Fn(&[crate::OutageRow]) -> Option<f64>) -> Reading {
    match (&w.outages, w.not_done()) {
        (Some(_), Some(why)) => Reading::Missing(why),
        (Some(rows), None) => or_missing(f(rows), "no outage was seen to end"),
        (None, _) => Reading::Missing("the workload looks for no outages".into()),
    }
}

/// A figure of the half-open connections; `missing` says why it may not be known.
fn half_open(w: &Workload, f: impl Fn(&crate::HalfOpenFigures) -> Option<f64>, missing: &str) -> Reading {
    match &w.half_open {
        Some(h) if h.unavailable.is_some() => Reading::Missing(h.unavailable.clone().unwrap_or_default()),
        Some(h) => or_missing(f(h), h.incomplete.as_deref().unwrap_or(missing)),
        None => Reading::Missing("the workload leaves no connection half-open".into()),
    }
}

/// Samples that a 99th percentile takes.
const P99_TAKES: u64 = 100;

/// A figure of an MQTT client's.
fn mqtt(w: &Workload, f: impl Fn(&MqttFigures) -> Option<f64>) -> Reading {
    match &w.mqtt {
        Some(m) => or_missing(f(m), "the broker did not see it"),
        None => Reading::Missing("this workload is no broker".into()),
    }
}

/// A time of the client's as a multiple of its keep-alive.
fn of_k(m: &MqttFigures, f: impl Fn(&MqttClientFigures) -> Option<f64>) -> Option<f64> {
    let client = m.target()?;
    client.of_keepalive(f(client)? / 1e6)
}

/// The time until sockets came back; where they did not, it is at least the watched time.
fn reclaimed(w: &Workload, f: fn(&crate::HalfOpenFigures) -> Option<f64>) -> Reading {
    let Some(h) = &w.half_open else {
        return Reading::Missing("the workload leaves no connection half-open".into());
    };
    if let Some(reason) = &h.unavailable {
        return Reading::Missing(reason.clone());
    }
    match f(h) {
        Some(s) => Reading::Sure(s * 1e6),
        None => Reading::AtLeast(
            h.watched_s * 1e6,
            format!("the sockets did not come back within the {} s watched", h.watched_s),
        ),
    }
}

fn latency(l: &LatencyFigures, stat: Stat) -> Reading {
    const NONE: &str = "nothing was measured";
    let value = match stat {
        Stat::Count => return Reading::Sure(count(l.count)),
        Stat::Min => l.min_us,
        Stat::Mean => l.mean_us,
        Stat::Stdev => l.stdev_us,
        Stat::Max => l.max_us,
        Stat::Quantile(q) => {
            let value = match q {
                0.5 => l.p50_us,
                0.9 => l.p90_us,
                0.99 => l.p99_us,
                0.999 => l.p999_us,
                _ => l.quantile_us(q),
            };
            let needed = (1.0 / (1.0 - q)).round();
            match value {
                Some(v) if count(l.count) < needed => {
                    let reason = format!("too few samples: {} of the {needed} that it takes", l.count);
                    return Reading::Doubtful(v, reason);
                }
                other => other,
            }
        }
    };
    or_missing(value, NONE)
}

fn anomalies(which: Anomalies, workload: Option<&str>, report: &Report) -> Reading {
    let counted = |id: AnomalyId, class: AnomalyClass| match which {
        Anomalies::Counted(wanted) => {
            let of_path =
                matches!(wanted, AnomalyId::Retransmission | AnomalyId::DuplicateAck | AnomalyId::OutOfOrder);
            id == wanted && (class == AnomalyClass::Device || (of_path && class == AnomalyClass::Path))
        }
        Anomalies::Of(wanted, of) => id == wanted && class == of,
        Anomalies::Class(of) => class == of,
    };
    let rows = report.anomalies.iter().filter(|r| counted(r.id, r.class));
    let rows = rows.filter(|r| workload.is_none_or(|w| r.workload.as_deref() == Some(w)));
    let n = count(rows.map(|r| r.count).sum());
    if let Some(why) = packets_missing(report) {
        return Reading::AtLeast(n, why);
    }
    let open: Vec<_> = report
        .not_judged
        .iter()
        .filter(|row| match which {
            Anomalies::Counted(id) | Anomalies::Of(id, _) => row.id == id,
            Anomalies::Class(_) => true,
        })
        .map(|row| format!("{} was not judged: {}", row.id.name(), row.reason))
        .collect();
    if open.is_empty() { Reading::Sure(n) } else { Reading::AtLeast(n, open.join("; ")) }
}

/// Why the absence of findings is no clean bill: failures that none of them explains, or a doctor's cross that none does.
fn unexplained(report: &Report) -> Option<String> {
    let rest: u64 = report
        .account
        .iter()
        .filter(|row| row.accounted == Accounted::Unexplained)
        .map(|row| row.attempts)
        .sum();
    if rest > 0 {
        return Some(format!("no finding explains {rest} of the failed attempts"));
    }
    let cross = report.unexplained_cross()?;
    Some(format!("no finding explains what the doctor saw of \"{}\": {}", cross.name, cross.seen))
}

fn finding(id: FindingId, report: &Report) -> Reading {
    let n = report.findings.iter().filter(|f| f.id == id).count() as f64;
    if let Some(why) = &report.findings_incomplete {
        return Reading::AtLeast(n, why.clone());
    }
    match id.needs().iter().find_map(|need| needs::unmet(*need, report)) {
        Some(why) => Reading::AtLeast(n, why),
        None => Reading::Sure(n),
    }
}

/// Why nothing may be concluded from what the packets did not show; `None` when all were looked at.
pub(super) fn packets_missing(report: &Report) -> Option<String> {
    if report.capture.saw_all() {
        return None;
    }
    let what = match report.capture.packets {
        Some(_) => "not all packets were looked at",
        None => "there was no capture",
    };
    Some(match &report.capture.reason {
        Some(reason) => format!("{what} ({reason})"),
        None => format!("{what} (capture {})", report.capture.status.name()),
    })
}

fn telemetry(report: &Report, f: impl Fn(&crate::TelemetrySummary) -> Option<f64>) -> Reading {
    match &report.telemetry {
        Some(t) => match or_missing(f(t), "the device does not tell it, or too rarely") {
            Reading::Sure(v) => so_far(v, t.incomplete.as_ref()),
            other => other,
        },
        None => Reading::Missing("the device told nothing of itself".into()),
    }
}

/// A figure that can only have grown after what is known, where that is not all.
fn so_far(value: f64, incomplete: Option<&String>) -> Reading {
    incomplete.map_or(Reading::Sure(value), |why| Reading::AtLeast(value, why.clone()))
}

/// A figure that may have become anything after what is known, where that is not all.
fn doubtful(reading: Reading, incomplete: Option<&String>) -> Reading {
    match (reading, incomplete) {
        (Reading::Sure(v), Some(why)) => Reading::Doubtful(v, why.clone()),
        (reading, _) => reading,
    }
}

fn or_missing(value: Option<f64>, missing: &str) -> Reading {
    value.filter(|v| v.is_finite()).map_or_else(|| Reading::Missing(missing.into()), Reading::Sure)
}

fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "read_tests.rs"]
mod read_tests;
