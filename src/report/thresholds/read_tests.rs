//! What each name of the vocabulary reads: the figure that it names, or why there is none.

use super::*;
use crate::{
    Bytes, Capture, HalfOpenFigures, OutageRow, OutageSummary, ProbeKind, ProbeRow, ReadingSummary, Target,
    TargetKind, Tcp, TelemetrySummary,
};
use ThresholdStatus::{Fail, Inconclusive, Pass};
use espstress_diagnose::{Examination, Finding, Severity};
use espstress_event::{
    ByProtocol, DatagramSize, Failure, FaultSeen, HttpFault, IdleCloses, MqttClient, MqttDelivery, MqttFault,
    MqttOutage, MqttProtocol, WebSockets,
};
use espstress_stats::{Latency, MqttStats, Phase, Recorder};

const S: u64 = 1_000_000_000;

fn empty(kind: &str) -> Workload {
    let stats = Recorder::new(0, Phase::Total).finish(2 * S);
    Workload::from_stats(kind, kind, serde_json::json!({}), &stats)
}

fn report_of(workloads: Vec<Workload>) -> Report {
    let mut report = Report::new(Target::new("127.0.0.1", TargetKind::Sim), serde_json::json!({}), 1, 0);
    report.capture = Capture::seen(1_000, 7);
    report.workloads = workloads;
    report
}

/// A workload whose every figure is another number.
fn full() -> Workload {
    let mut w = empty("head");
    (w.attempts, w.succeeded, w.duration_s) = (1_000, 967, 4.0);
    w.failures.0 =
        [(Failure::ConnectTimeout, 20), (Failure::ReadReset, 3), (Failure::HostOutOfPorts, 10)].into();
    (w.success_rate, w.attempts_per_s, w.goodput_bytes_per_s) = (Some(0.977), Some(250.0), Some(5_000.0));
    w.bytes = Bytes { sent: 101, received: 102, goodput: 103 };
    (w.port_waits, w.reconnects, w.late_starts, w.late_starts_dropped) = (11, 12, 13, 14);
    w.idle_closes = Some(IdleCloses { count: 15, min_us: 1, median_us: 2, before_request: 0, told: 0 });
    w.responses = [("200".to_owned(), 900), ("503".to_owned(), 5)].into();
    let truncated =
        || FaultSeen { fault: HttpFault::Truncated, promised: None, received: None, detail: "then FIN" };
    (0..6).for_each(|_| w.malformed.count(truncated()));
    w.tcp = Some(Tcp {
        connections: 9,
        retransmissions: 16,
        lost: 17,
        rtt_min_us: 18.0,
        rtt_mean_us: Some(19.0),
        rtt_max_us: 20.0,
    });
    let size = |bytes, echoed| DatagramSize { bytes, packets: 1, sent: 50, echoed, lost: 50 - echoed };
    w.by_protocol = Some(Box::new(ByProtocol {
        udp: Some(Datagrams {
            sent: 100,
            lost: 21,
            late: 22,
            duplicates: 23,
            reordered: 24,
            sizes: vec![size(64, 50), size(512, 1), size(1_024, 0)],
            ..Datagrams::default()
        }),
        websocket: Some(WebSockets { pings: 40, pongs: 15, refused: 26, ..WebSockets::default() }),
        sse: Some(EventStreams {
            streams: 5,
            ended: 1,
            ended_empty: 2,
            cut: 4,
            reset: 8,
            longest_gap_us: Some(27),
            longest_silence_us: Some(28),
            ..EventStreams::default()
        }),
        ..ByProtocol::default()
    }));
    let outage = |recovery_s, messages_lost, connections_died| OutageRow {
        recovery_s: Some(recovery_s),
        messages_lost,
        connections_died,
        ..OutageRow::default()
    };
    w.outages = Some(vec![outage(2.0, 30, 1), outage(3.0, 1, 32), outage(1.0, 0, 0)]);
    w.half_open = Some(HalfOpenFigures {
        capacity: Some(34),
        exhausted_attempts: 10,
        exhausted_succeeded: 3,
        first_reclaimed_s: Some(35.0),
        all_reclaimed_s: Some(36.0),
        ..HalfOpenFigures::default()
    });
    w.mqtt = Some(broker());
    w
}

/// A broker and a client with a keep-alive of 10 s.
fn broker() -> MqttFigures {
    let mut ping_interval = Latency::default();
    (1..=100).for_each(|n| ping_interval.record(n * S / 10));
    let mut stats = MqttStats { watched_ns: 600 * S, ..MqttStats::default() };
    stats.clients.push(MqttClient {
        id_hash: "0".into(),
        protocol: MqttProtocol::V311,
        keepalive_s: 10,
        clean: true,
        will: None,
        filters: 1,
        connects: 1,
        packets: 1,
        pings: 100,
        ping_interval,
        silence_max_ns: None,
        late: 0,
        missed: 0,
        birth_retained: None,
        births_missing: 0,
    });
    let mut outage = MqttOutage::new(1, MqttFault::Silent, 0, 10);
    (outage.length_ns, outage.device_notices_ns, outage.back_ns) = (Some(60 * S), Some(15 * S), Some(4 * S));
    outage.attempts = Some(180);
    stats.ended(outage);
    stats.to_host[1] = MqttDelivery { received: 100, lost: Some(42), ..MqttDelivery::default() };
    MqttFigures::from_stats(&stats)
}

fn row(report: &Report, expr: &str) -> ThresholdRow {
    judge(&Threshold::parse(expr).unwrap(), report)
}

/// What a gate on that figure reads, and how it comes out where the figure is to be the same as that.
fn read_as(report: &Report, name: &str, value: f64) {
    let time = matches!(row(report, &format!("{name} == 0")).unit, Unit::Us);
    let bound = if time { format!("{value}us") } else { format!("{value}") };
    let row = row(report, &format!("{name} == {bound}"));
    let read = row.value.unwrap_or_else(|| panic!("{name}: {row:?}"));
    assert!((read - value).abs() <= value.abs() * 2e-3, "{name} is {read} and not {value}");
}

#[test]
fn each_name_reads_the_figure_that_it_names() {
    let report = report_of(vec![full()]);
    for (name, value) in [
        ("attempts", 1_000.0),
        ("succeeded", 967.0),
        ("failed", 23.0),
        ("host_failed", 10.0),
        ("success_rate", 0.977),
        ("rate", 250.0),
        ("goodput", 5_000.0),
        ("duration", 4e6),
        ("bytes.sent", 101.0),
        ("bytes.received", 102.0),
        ("bytes.goodput", 103.0),
        ("port_waits", 11.0),
        ("reconnects", 12.0),
        ("late_starts", 13.0),
        ("late_starts_dropped", 14.0),
        ("idle_closes", 15.0),
        ("failures.connect_timeout", 20.0),
        ("failures.read_timeout", 0.0),
        ("responses.503", 5.0),
        ("responses.404", 0.0),
        ("malformed.truncated", 6.0),
        ("tcp.retransmissions", 16.0),
        ("tcp.lost", 17.0),
        ("tcp.rtt_min", 18.0),
        ("tcp.rtt_mean", 19.0),
        ("tcp.rtt_max", 20.0),
        ("udp.loss", 0.21),
        ("udp.lost", 21.0),
        ("udp.late", 22.0),
        ("udp.duplicates", 23.0),
        ("udp.reordered", 24.0),
        ("udp.largest", 512.0),
        ("websocket.pongs_missing", 25.0),
        ("websocket.refused", 26.0),
        ("sse.longest_gap", 27.0),
        ("sse.longest_silence", 28.0),
        ("sse.ended", 15.0),
        ("outages.count", 3.0),
        ("outages.longest_recovery", 3e6),
        ("outages.messages_lost", 31.0),
        ("outages.connections_died", 33.0),
        ("half_open.capacity", 34.0),
        ("half_open.availability", 0.3),
        ("half_open.first_reclaimed", 35e6),
        ("half_open.all_reclaimed", 36e6),
        ("ping_interval.p99_of_k", 0.99),
        ("ping_interval.max_of_k", 1.0),
        ("device_notices.max_of_k", 1.5),
        ("back.max", 4e6),
        ("lost.qos1", 42.0),
        ("attempts_per_s", 3.0),
    ] {
        read_as(&report, &format!("head.{name}"), value);
    }
}

#[test]
fn each_figure_of_a_distribution_is_its_own_also_where_the_report_has_only_the_histogram() {
    let mut latency = Latency::default();
    (1..=10_000).for_each(|us| latency.record(us * 1_000));
    let mut l = LatencyFigures::from_latency(&latency);
    let mut twice = Latency::default();
    (1..=10_000).for_each(|us| twice.record(us * 2_000));
    l.uncorrected = Some(Box::new(LatencyFigures::from_latency(&twice)));
    let mut w = empty("head");
    w.latency.insert(Phase::Total, l.clone());
    let probe = ProbeRow {
        kind: ProbeKind::Icmp,
        sent: 8,
        lost: 2,
        longest_gap_s: Some(3.0),
        latency: l,
        incomplete: None,
    };
    let mut report = report_of(vec![w]);
    report.probes.push(probe);
    for (name, us) in [
        ("count", 10_000.0),
        ("min", 1.0),
        ("mean", 5_000.5),
        ("stdev", 2_886.8),
        ("p50", 5_000.0),
        ("p75", 7_500.0),
        ("p90", 9_000.0),
        ("p95", 9_500.0),
        ("p99", 9_900.0),
        ("p999", 9_990.0),
        ("p9999", 9_999.0),
        ("max", 10_000.0),
    ] {
        read_as(&report, &format!("head.latency.total.{name}"), us);
        read_as(&report, &format!("probes.icmp.latency.{name}"), us);
        let factor = if name == "count" { 1.0 } else { 2.0 };
        read_as(&report, &format!("head.latency.total.uncorrected.{name}"), us * factor);
    }
    for (name, value) in [("sent", 8.0), ("lost", 2.0), ("loss", 0.25), ("longest_gap", 3e6)] {
        read_as(&report, &format!("probes.icmp.{name}"), value);
    }
}

#[test]
fn a_quantile_is_judged_from_as_many_samples_as_it_takes() {
    let status = |n: u64, gate: &str| {
        let mut latency = Latency::default();
        (1..=n).for_each(|us| latency.record(us * 1_000));
        let mut w = empty("head");
        w.latency.insert(Phase::Total, LatencyFigures::from_latency(&latency));
        row(&report_of(vec![w]), &format!("head.latency.total.{gate} < 1s")).status
    };
    for (gate, takes) in [("p50", 2), ("p90", 10), ("p99", 100), ("p999", 1_000)] {
        assert_eq!((status(takes, gate), status(takes - 1, gate)), (Pass, Inconclusive), "{gate}");
    }
    assert_eq!(status(1, "max"), Pass);
}

#[test]
fn a_ping_interval_is_judged_from_a_hundred_pings() {
    let report = |pings: u64| {
        let mut w = full();
        w.mqtt.as_mut().unwrap().clients[0].ping_interval.count = pings;
        report_of(vec![w])
    };
    assert_eq!(row(&report(100), "head.ping_interval.p99_of_k < 1.5").status, Pass);
    assert_eq!(row(&report(99), "head.ping_interval.p99_of_k < 1.5").status, Inconclusive);
    assert_eq!(row(&report(99), "head.ping_interval.max_of_k < 1.5").status, Pass);
}

#[test]
fn what_the_sections_tell_is_read_by_its_name() {
    let mut report = report_of(vec![full()]);
    let reading = |first, last, min, max, mean, slope| ReadingSummary {
        first,
        last,
        min,
        max,
        mean: Some(mean),
        slope_per_hour: Some(slope),
        slope_low_per_hour: None,
        slope_high_per_hour: None,
    };
    let summary = [
        (crate::Reading::HeapFreeBytes, reading(61.0, 62.0, 60.0, 65.0, 63.0, -7.0)),
        (crate::Reading::WifiRssiDbm, reading(-61.0, -62.0, -65.0, -60.0, -63.0, 2.0)),
    ];
    report.telemetry = Some(TelemetrySummary {
        samples: 71,
        lost: 72,
        reboots: Some(73),
        summary: summary.into(),
        ..TelemetrySummary::default()
    });
    for severity in [Severity::Error, Severity::Warning, Severity::Warning] {
        report.findings.push(found(FindingId::HeapLeak, severity));
    }
    for (name, value) in [
        ("capture.packets", 1_000.0),
        ("capture.dropped", 7.0),
        ("telemetry.samples", 71.0),
        ("telemetry.lost", 72.0),
        ("telemetry.reboots", 73.0),
        ("telemetry.heap_free.first", 61.0),
        ("telemetry.heap_free.last", 62.0),
        ("telemetry.heap_free.min", 60.0),
        ("telemetry.heap_free.max", 65.0),
        ("telemetry.heap_free.mean", 63.0),
        ("telemetry.heap_free.slope", -7.0),
        ("telemetry.wifi_rssi.min", -65.0),
        ("telemetry.wifi_rssi.slope", 2.0),
        ("findings.error", 1.0),
        ("findings.warning", 2.0),
        ("findings.info", 0.0),
        ("findings.heap_leak", 3.0),
        ("findings.abortive_close", 0.0),
    ] {
        read_as(&report, name, value);
    }
}

fn found(id: FindingId, severity: Severity) -> Finding {
    Finding {
        id,
        severity,
        statement: String::new(),
        evidence: Vec::new(),
        cause: String::new(),
        change: String::new(),
    }
}

#[test]
fn a_share_of_what_never_came_about_is_not_judged() {
    let mut w = full();
    let by = w.by_protocol.as_mut().unwrap();
    by.udp = Some(Datagrams::default());
    by.sse = Some(EventStreams::default());
    (w.success_rate, w.attempts_per_s) = (None, None);
    w.outages = Some(Vec::new());
    w.half_open.as_mut().unwrap().exhausted_attempts = 0;
    let report = report_of(vec![w]);
    for name in [
        "udp.loss",
        "udp.largest",
        "sse.ended",
        "sse.longest_gap",
        "success_rate",
        "rate",
        "outages.longest_recovery",
        "half_open.availability",
    ] {
        let row = row(&report, &format!("head.{name} == 0"));
        assert_eq!((row.status, row.value), (Inconclusive, None), "{name}");
    }
    assert_eq!(row(&report, "head.udp.lost == 0").status, Pass);
}

#[test]
fn a_figure_of_a_protocol_that_the_workload_does_not_speak_is_not_judged() {
    let report = report_of(vec![empty("head")]);
    for name in
        ["udp.lost", "sse.ended", "websocket.refused", "outages.count", "half_open.capacity", "lost.qos1"]
    {
        let row = row(&report, &format!("head.{name} == 0"));
        assert_eq!((row.status, row.value), (Inconclusive, None), "{name}");
    }
}

#[test]
fn an_outage_that_is_not_over_took_at_least_as_long_as_the_longest_that_is() {
    let outage = |recovery_s| OutageRow { recovery_s, ..OutageRow::default() };
    let mut w = full();
    w.outages = Some(vec![outage(Some(2.0)), outage(None), outage(Some(3.0))]);
    let report = report_of(vec![w]);
    assert_eq!(row(&report, "head.outages.longest_recovery < 2500ms").status, Fail);
    let open = row(&report, "head.outages.longest_recovery < 10s");
    assert_eq!((open.status, open.value), (Inconclusive, Some(3e6)));
    assert!(open.reason.unwrap().contains("not recovered from"));
    let mut back = report.clone();
    back.workloads[0].outages.as_mut().unwrap()[1].back_s = Some(9.0);
    let open = row(&back, "head.outages.longest_recovery < 10s");
    assert!(open.reason.unwrap().contains("the end of an outage is not known"));
}

#[test]
fn the_outages_of_a_workload_that_could_make_none_are_not_judged() {
    let mut w = full();
    w.outage_summary =
        Some(OutageSummary { unavailable: Some("no CAP_NET_ADMIN".into()), ..OutageSummary::default() });
    let row = row(&report_of(vec![w]), "head.outages.count == 3");
    assert_eq!((row.status, row.reason.as_deref()), (Inconclusive, Some("no CAP_NET_ADMIN")));
}

#[test]
fn sockets_that_did_not_come_back_took_at_least_as_long_as_they_were_watched() {
    let mut w = full();
    let h = w.half_open.as_mut().unwrap();
    (h.first_reclaimed_s, h.all_reclaimed_s, h.watched_s) = (Some(5.0), None, 20.0);
    let mut report = report_of(vec![w]);
    assert_eq!(row(&report, "head.half_open.first_reclaimed < 6s").status, Pass);
    assert_eq!(row(&report, "head.half_open.all_reclaimed < 10s").status, Fail);
    assert_eq!(row(&report, "head.half_open.all_reclaimed < 60s").status, Inconclusive);
    report.workloads[0].half_open.as_mut().unwrap().unavailable = Some("EPERM".into());
    for name in ["first_reclaimed < 6s", "capacity > 1"] {
        let row = row(&report, &format!("head.half_open.{name}"));
        assert_eq!((row.status, row.reason.as_deref()), (Inconclusive, Some("EPERM")), "{name}");
    }
}

#[test]
fn availability_that_was_not_watched_to_the_end_is_not_judged() {
    let mut report = report_of(vec![full()]);
    assert_eq!(row(&report, "head.half_open.availability > 20%").status, Pass);
    report.workloads[0].half_open.as_mut().unwrap().incomplete = Some("the log ends".into());
    let open = row(&report, "head.half_open.availability > 20%");
    assert_eq!((open.status, open.reason.as_deref()), (Inconclusive, Some("the log ends")));
}

#[test]
fn a_gate_on_one_workload_counts_its_own_anomalies_alone() {
    let mut report = report_of(vec![empty("head"), empty("rw")]);
    let anomaly = |id, class, workload: Option<&str>, count| espstress_diagnose::AnomalyRow {
        id,
        class,
        count,
        connections: count,
        workload: workload.map(str::to_owned),
        first_s: 0.0,
        last_s: 1.0,
        direction: espstress_event::Direction::FromDevice,
        examples: Vec::new(),
    };
    let (device, path) = (AnomalyClass::Device, AnomalyClass::Path);
    report.anomalies = vec![
        anomaly(AnomalyId::AbortiveClose, device, Some("head"), 1),
        anomaly(AnomalyId::AbortiveClose, device, Some("rw"), 2),
        anomaly(AnomalyId::AbortiveClose, device, None, 4),
        anomaly(AnomalyId::AbortiveClose, path, Some("rw"), 8),
        anomaly(AnomalyId::DuplicateAck, path, Some("rw"), 16),
        anomaly(AnomalyId::OutOfOrder, path, Some("head"), 32),
    ];
    for (name, value) in [
        ("head.anomalies.abortive_close", 1.0),
        ("rw.anomalies.abortive_close", 2.0),
        ("anomalies.abortive_close", 7.0),
        ("anomalies.abortive_close.path", 8.0),
        ("anomalies.duplicate_ack", 16.0),
        ("anomalies.out_of_order", 32.0),
        ("anomalies.out_of_order.device", 0.0),
        ("anomalies.device", 7.0),
        ("rw.anomalies.path", 24.0),
    ] {
        read_as(&report, name, value);
    }
}

#[test]
fn a_doctors_cross_that_nothing_explains_leaves_the_gate_on_findings_open() {
    use espstress_diagnose::{Check, Mark};
    let mut report = report_of(vec![full()]);
    let checks = vec![Check { name: "HTTP".into(), mark: Mark::Bad, seen: "no answer".into() }];
    report.examination = Some(Examination { checks, ..Examination::default() });
    let open = row(&report, "findings.error == 0");
    assert_eq!((open.status, open.value), (Inconclusive, Some(0.0)));
    assert!(open.reason.unwrap().contains("\"HTTP\": no answer"));
}

#[test]
fn a_distribution_without_its_histogram_has_the_quantiles_that_were_written_down() {
    let mut w = empty("head");
    let figures = LatencyFigures {
        count: 5_000,
        p50_us: Some(1.0),
        p90_us: Some(2.0),
        p99_us: Some(3.0),
        p999_us: Some(4.0),
        ..LatencyFigures::default()
    };
    w.latency.insert(Phase::Total, figures);
    let report = report_of(vec![w]);
    for (name, us) in [("p50", 1.0), ("p90", 2.0), ("p99", 3.0), ("p999", 4.0)] {
        read_as(&report, &format!("head.latency.total.{name}"), us);
    }
    assert_eq!(row(&report, "head.latency.total.p95 < 1s").value, None);
}

/// What these gates make of messages from the device, by quality of service.
fn of_messages<const N: usize>(rows: &[(usize, MqttDelivery)], gates: [&str; N]) -> [ThresholdStatus; N] {
    let to_host = rows.iter().map(|(qos, row)| (qos.to_string(), row.clone())).collect();
    let mqtt = MqttFigures { to_host, ..MqttFigures::default() };
    let report = report_of(vec![Workload { mqtt: Some(mqtt), ..empty("mqtt") }]);
    gates.map(|gate| row(&report, &format!("mqtt.lost.{gate}")).status)
}

fn numbered(lost: u64) -> MqttDelivery {
    MqttDelivery { received: 100, lost: Some(lost), ..MqttDelivery::default() }
}

#[test]
fn lost_messages_are_read_by_their_quality_of_service() {
    for qos in 0..3 {
        let gates = ["qos0 == 7", "qos1 == 7", "qos2 == 7"];
        let read = of_messages(&[(qos, numbered(7))], gates);
        assert_eq!(read, [0, 1, 2].map(|other| if other == qos { Pass } else { Inconclusive }));
    }
}

#[test]
fn messages_that_may_still_come_are_lost_for_no_gate() {
    let open = MqttDelivery { under_way: 3, ..numbered(2) };
    let gates = ["qos1 <= 1", "qos1 <= 4", "qos1 <= 9", "qos1 >= 2"];
    assert_eq!(of_messages(&[(1, open)], gates), [Fail, Inconclusive, Inconclusive, Pass]);
    let quiet = MqttDelivery { quiet_after_fault: true, ..numbered(0) };
    assert_eq!(of_messages(&[(1, quiet)], ["qos1 == 0"]), [Inconclusive]);
}

#[test]
fn what_a_device_with_two_qualities_of_service_lost_is_laid_to_neither() {
    let gates = ["qos1 == 0", "qos1 <= 4", "qos0 == 0", "qos0 <= 4"];
    let read = of_messages(&[(0, numbered(4)), (1, numbered(0))], gates);
    assert_eq!(read, [Inconclusive, Pass, Inconclusive, Pass]);
    let read = of_messages(&[(0, numbered(0)), (1, numbered(0))], gates);
    assert_eq!(read, [Pass; 4]);
}
