//! What the tests of reports share: a check that any integration test can call on any report's text, and a few
//! reports made as a run makes them.
#![allow(dead_code, unreachable_pub, reason = "every test program uses another part of it")]

use crate::common::report_schema;
use espstress_diagnose::{AnomalyRow, Example, ExamplePacket, Finding, FindingId, Severity};
use espstress_event::{AnomalyClass, AnomalyId, Direction, Failure};
use espstress_event::{PhaseProgress, ReadingProgress, TcpSample};
use espstress_report::thresholds::Gates;
use espstress_report::{
    Announced, Capture, Host, IntervalLine, LogLine, LogStart, PhaseStart, Reading, Report, Target,
    TargetKind, TelemetryRow, TelemetrySummary, Tool, Workload,
};
use espstress_stats::{
    DialledDevice, Latency, LimitReached, MakeFailure, MessageLedger, OpenFailure, OutageOrigin, OutageRow,
    Phase, ReclaimEvidence, Recorder, SocketsUsed, Spell,
};
use serde_json::json;

/// Reads a report as its readers do, with unknown fields denied, and holds it against the schema.
pub fn assert_valid_report(text: &str) -> Report {
    let value: serde_json::Value =
        serde_json::from_str(text).unwrap_or_else(|e| panic!("no JSON: {e}\n{text}"));
    let mistakes: Vec<_> =
        report_schema().iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(mistakes.is_empty(), "the report breaks its schema:\n{}", mistakes.join("\n"));
    let read = espstress_report::from_json("report", text).unwrap_or_else(|e| panic!("{e}"));
    let again: serde_json::Value = serde_json::from_str(&espstress_report::to_json(&read)).unwrap();
    assert_eq!(again, value, "what was read is not what was written");
    read
}

const S: u64 = 1_000_000_000;

fn base(name: &str) -> Report {
    let mut target = Target::new("127.0.0.1:41080", TargetKind::Sim);
    target.capacity = Some(10);
    target.firmware = Some("espstress-device 0.1.0".into());
    let mut r = Report::new(target, json!({ "name": name }), 42, 1_767_225_600_000_000_000);
    r.tool = Tool { name: "espstress".into(), version: "0.1.0".into() };
    r.host = Host { os: "linux".into(), arch: "x86_64".into(), cpus: Some(2), ..Host::default() };
    r.duration_s = 9.5;
    r
}

/// A seeded spread of latencies around `mid_ns`: a body, and a tail of one in fifty.
fn spread(mid_ns: u64, i: u64) -> u64 {
    let hash = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let body = mid_ns / 2 + mid_ns * (hash % 1000) / 1000;
    if i % 50 == 49 { body * 6 } else { body }
}

/// A head workload of `n` successes over three seconds, `mid_ns` from start to response.
pub fn head(n: u64, mid_ns: u64, failures: &[(Failure, u64)]) -> Workload {
    let mut r = Recorder::new(0, Phase::Total);
    for i in 0..n {
        r.attempt(0, 1, Ok(()));
        r.latency(Phase::Connect, spread(mid_ns / 4, i));
        r.latency(Phase::FirstByte, spread(mid_ns / 3, i + 1));
        r.latency(Phase::Total, spread(mid_ns, i + 2));
        r.latency(Phase::Close, spread(mid_ns / 10, i + 3));
        r.bytes(63, 120);
        r.tcp(TcpSample { rtt_us: 40 + (i % 7) as u32, retransmissions: 0, lost: 0 });
        if i % 100 == 99 {
            r.roll(3 * S * i / n);
        }
    }
    for (failure, count) in failures {
        (0..*count).for_each(|_| r.attempt(0, 1, Err(*failure)));
    }
    let params = json!({ "connections": 4, "count": 2000, "close": "fin", "interval_ms": null });
    Workload::from_stats("head", "head", params, &r.finish(3 * S))
}

/// A run in which nothing went wrong.
pub fn clean() -> Report {
    let mut r = base("quick");
    r.capture = Capture::seen(20_331, 0);
    r.workloads.push(head(2_000, 300_000, &[]));
    let mut rw = Recorder::new(3 * S, Phase::RoundTrip);
    for i in 0..500 {
        rw.attempt(0, 1, Ok(()));
        rw.latency(Phase::RoundTrip, spread(200_000, i));
        rw.bytes(1_060, 1_060);
        rw.goodput(1_024);
    }
    (0..8).for_each(|i| rw.latency(Phase::Connect, spread(80_000, i)));
    let stats = rw.finish(5 * S);
    r.workloads.push(Workload::from_stats("rw", "rw", json!({ "connections": 8 }), &stats));
    gate(r, &[])
}

/// The same run without the right to capture.
pub fn denied() -> Report {
    let mut r = clean();
    r.capture = Capture::denied("AF_PACKET needs CAP_NET_RAW; give it with setcap, or run as root");
    gate(r, &[])
}

/// A device that resets after every answer.
pub fn broken() -> Report {
    let mut r = base("quick");
    r.target.persona = Some("unread-close".into());
    r.capture = Capture::seen(22_033, 0);
    let failures = [(Failure::ConnectTimeout, 12), (Failure::ReadReset, 3), (Failure::HostOutOfPorts, 2)];
    r.workloads.push(head(2_000, 300_000, &failures));
    let row = |id, class, count, direction| AnomalyRow {
        id,
        class,
        count,
        connections: count,
        workload: Some("head".into()),
        first_s: 0.001,
        last_s: 2.998,
        direction,
        examples: Vec::new(),
    };
    let packet = |number, at_s, direction, summary: &str| ExamplePacket {
        number,
        at_s,
        direction,
        summary: summary.into(),
    };
    let mut reset = row(AnomalyId::AbortiveClose, AnomalyClass::Device, 2_000, Direction::FromDevice);
    reset.examples.push(Example {
        host: "127.0.0.1:50001".into(),
        device: "127.0.0.1:41080".into(),
        at_s: 0.0014,
        lasted_s: None,
        remark: Some("1 <b>&\"quoted\"</b>".into()),
        packets: vec![
            packet(5, 0.0012, Direction::FromDevice, "[PSH, ACK] seq=1 ack=63 win=5744 len=120"),
            packet(6, 0.0014, Direction::FromDevice, "[RST, ACK] seq=121 ack=63 win=5744 len=0"),
        ],
    });
    r.anomalies.push(reset);
    r.anomalies.push(row(AnomalyId::SynUnanswered, AnomalyClass::Device, 12, Direction::FromHost));
    r.anomalies.push(row(AnomalyId::Retransmission, AnomalyClass::Path, 7, Direction::FromHost));
    r.anomalies.push(row(AnomalyId::RstAfterFin, AnomalyClass::Provoked, 4, Direction::FromDevice));
    r.not_judged.push(espstress_report::NotJudgedRow {
        id: AnomalyId::HalfClosedLinger,
        reason: "it takes 5 s of watching, there were 2 s".into(),
        connections: 3,
    });
    r.findings.push(Finding {
        id: FindingId::AbortiveClose,
        severity: Severity::Error,
        statement: "The device answers, and then resets the connection instead of closing it.".into(),
        evidence: vec![
            "2,000 of 2,000 connections ended with a RST after the answer".into(),
            "the device never sent a FIN".into(),
        ],
        cause:
            "The application closes its socket while part of the request is still unread; lwIP then aborts \
                the connection (tcp_close with unread data)."
                .into(),
        change: "Read the request to its end before closing the socket.".into(),
    });
    gate(r, &["findings.error == 0", "head.latency.total.p99 < 250ms", "anomalies.half_closed_linger == 0"])
}

/// Broken off in the middle, before anything could be concluded.
pub fn interrupted() -> Report {
    let mut r = base("soak");
    r.interrupted = true;
    r.duration_s = 1.25;
    r.capture = Capture::seen(410, 12);
    r.workloads.push(head(40, 300_000, &[]));
    gate(r, &["head.attempts >= 1000", "head.latency.total.p999 < 1s", "anomalies.device == 0"])
}

/// An open loop at a device that stopped for a second.
pub fn open_loop() -> Report {
    let mut r = base("steady");
    r.capture = Capture::off(Some("--no-capture".into()));
    let mut rec = Recorder::new(0, Phase::Total);
    for i in 0..5_000_u64 {
        let service = spread(300_000, i);
        // The device stops at attempt 2,000 for a second; what was to start meanwhile waits.
        let waited = if (2_000..3_000).contains(&i) { (3_000 - i) * 1_000_000 } else { 0 };
        rec.attempt(0, 1, Ok(()));
        rec.latency_pair(Phase::Total, service + waited, service);
        if i % 100 == 99 {
            rec.roll(i * 1_000_000);
        }
    }
    (0..990).for_each(|_| rec.late_start());
    let stats = rec.finish(5 * S);
    let params = json!({ "rate_per_s": 1000, "connections": 1 });
    r.workloads.push(Workload::from_stats("head", "head", params, &stats));
    gate(r, &["head.latency.total.p99 < 250ms", "head.latency.total.uncorrected.p99 < 250ms"])
}

/// Three outages, one of them without recovery and one that could not be made, and connections that fell silent.
pub fn outages() -> Report {
    let mut r = base("resilience");
    r.capture = Capture::seen(3_100, 0);
    let mut outage = Recorder::new(0, Phase::Heartbeat);
    for i in 0..60 {
        outage.attempt(0, 1, Ok(()));
        outage.latency(Phase::Heartbeat, spread(3_000_000, i));
    }
    let ledger = |sent, lost| MessageLedger {
        sent,
        acknowledged: sent - lost - 1,
        late: 1,
        lost,
        ..MessageLedger::default()
    };
    let stats = outage.outage();
    for number in 1..=2 {
        let mut row = OutageRow::new(number, OutageOrigin::Made);
        let start = number * 10 * S;
        (row.made_start_ns, row.made_end_ns) = (Some(start), Some(start + 2 * S));
        (row.seen_start_ns, row.seen_end_ns) = (Some(start - S / 10), Some(start + 2 * S));
        row.recovered_ns = (number == 1).then_some(start + 3 * S);
        row.gave_up_ns = (number == 2).then_some(start + 62 * S);
        (row.to_device, row.to_host) = (ledger(5, 1), ledger(4, 0));
        (row.lived, row.died) = (1, 1);
        stats.ended(row);
    }
    (stats.to_device, stats.to_host) = (ledger(60, 2), ledger(58, 0));
    stats.make_failed(MakeFailure {
        at_ns: 30 * S,
        what: "command --off".into(),
        exit_status: Some(3),
        message: "no such interface".into(),
    });
    stats.dialled.push(DialledDevice {
        id: 2,
        connections: 1,
        to_host: ledger(9, 0),
        ..DialledDevice::default()
    });
    let params = json!({ "connections": 2 });
    r.workloads.push(Workload::from_stats("outage", "outage", params, &outage.finish(90 * S)));
    let mut silent = Recorder::new(90 * S, Phase::Total);
    for i in 0..20 {
        silent.attempt(0, 1, Ok(()));
        silent.latency(Phase::Total, spread(2_000_000, i));
    }
    let stats = silent.half_open();
    (stats.served, stats.limit, stats.watched_ns) = (5, LimitReached::Device, 30 * S);
    stats.full_after = Some(3);
    stats.failures.push(OpenFailure {
        connection: 6,
        met: Failure::ConnectTimeout,
        status: None,
        at_ns: 92 * S,
    });
    stats.spells.push(Spell { from_ns: 93 * S, to_ns: Some(105 * S), failed: 12 });
    stats.sockets_used = Some(SocketsUsed { before: 5, most: 10, at_end: 5, limit: Some(10) });
    stats.evidence.push(ReclaimEvidence::Reset);
    let params = json!({ "full_after": 3 });
    r.workloads.push(Workload::from_stats("half-open", "half-open", params, &silent.finish(130 * S)));
    r.note_remarks();
    gate(r, &["outage.outages.count == 2", "outage.outages.longest_recovery < 5s"])
}

/// The report with these gates judged; the default one when there are none.
pub fn gate(mut r: Report, gates: &[&str]) -> Report {
    let gates = Gates::from_expressions(gates).expect("expressions");
    let names: Vec<_> = r.workloads.iter().map(|w| w.name.clone()).collect();
    gates.check_names(&names.iter().map(String::as_str).collect::<Vec<_>>()).expect("names");
    gates.judge(&mut r);
    r
}

/// Every sample with its name.
pub fn samples() -> Vec<(&'static str, Report)> {
    vec![
        ("clean", clean()),
        ("denied", denied()),
        ("broken", broken()),
        ("interrupted", interrupted()),
        ("open_loop", open_loop()),
        ("outages", outages()),
    ]
}

/// What a device said of itself in two readings: its heap falls, and it has restarted.
pub fn telemetry() -> TelemetrySummary {
    let heap = ReadingProgress {
        first: 100_000.0,
        last: 90_000.0,
        min: 90_000.0,
        max: 100_000.0,
        mean: Some(95_000.0),
        slope: None,
    };
    let row = |at_s, heap| TelemetryRow { at_s, readings: [(Reading::HeapFreeBytes, heap)].into() };
    TelemetrySummary {
        samples: 2,
        reboots: Some(1),
        summary: [(Reading::HeapFreeBytes, heap.into())].into(),
        series: vec![row(1.0, 100_000.0), row(2.0, 90_000.0)],
        ..TelemetrySummary::default()
    }
}

/// The log of a run of which a second is known.
pub fn log_without_end() -> String {
    let mut start = LogStart::new(Target::new("127.0.0.1:80", TargetKind::Sim), json!({ "name": "soak" }), 7);
    start.started(0);
    start.workloads.push(Announced {
        name: "head".into(),
        kind: "head".into(),
        params: json!({}),
        facts: None,
        main_phase: Phase::Total,
    });
    let now = PhaseProgress { attempts: 5, succeeded: 5, ..PhaseProgress::default() };
    let before = PhaseProgress::default();
    let line = IntervalLine::between("head".into(), (0.0, &before), (1.0, &now), &Latency::default());
    let began = PhaseStart { workload: "head".into(), at_s: 0.0 };
    let lines =
        [LogLine::Start(Box::new(start)), LogLine::PhaseStart(began), LogLine::Interval(Box::new(line))];
    lines.iter().map(LogLine::to_text).collect()
}
