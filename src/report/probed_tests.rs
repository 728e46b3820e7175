use super::*;
use crate::from_log::{Rebuilt, read_log_bytes};
use crate::{LogLine, LogStart, PhaseStart, ThresholdStatus, Verdict};
use espstress_event::{DeviceSample, ResetReason, SectionCourse, Telemetry};
use espstress_stats::{Phase, ProbeNews, ProbeStats};
use proptest::prelude::*;

const S: u64 = 1_000_000_000;

/// Probes of one kind and what a device says, told to a log.
struct Run {
    stats: ProbeKindStats,
    device: DeviceSeries,
    news: ProbeNews,
    so_far: ProbedSoFar,
    lines: Vec<LogLine>,
}

fn start() -> LogStart {
    let thresholds = Some(Vec::new());
    let mut start = LogStart { thresholds, ..LogStart::of_one("storm", "head", Phase::Total) };
    start.started(0);
    start
}

impl Run {
    fn new() -> Self {
        Self {
            stats: ProbeKindStats::new(0, S, 2 * S),
            device: DeviceSeries::default(),
            news: ProbeNews::default(),
            so_far: ProbedSoFar::default(),
            lines: vec![LogLine::Start(Box::new(start()))],
        }
    }

    /// A second in which the device answers.
    fn answer(&mut self, second: u64, telemetry: Telemetry) {
        self.stats.answer(second * S, second * 1_000_000);
        self.device.take(DeviceSample { asked_ns: second * S, at_ns: second * S, telemetry });
        self.tell(second, SectionCourse::UnderWay);
    }

    fn tell(&mut self, second: u64, course: SectionCourse) {
        let none = ProbeStats::Unavailable { reason: "test".into() };
        let telemetry = ProbeStats::Measured(Box::new(self.stats.clone()));
        let kinds = [&telemetry, &none, &telemetry];
        let Some(probed) = self.news.due(kinds, &self.device, course, second * S) else { return };
        let line = self.so_far.news(second as f64, &probed);
        self.so_far.take(line.clone());
        self.lines.push(LogLine::Probed(Box::new(line)));
    }

    fn rebuilt(&self) -> Rebuilt {
        read_log_bytes("x", text(&self.lines).as_bytes()).unwrap()
    }
}

fn text(lines: &[LogLine]) -> String {
    lines.iter().map(LogLine::to_text).collect()
}

fn says(second: u64, heap_free: u64) -> Telemetry {
    Telemetry {
        uptime_ms: Some(second * 1_000),
        boot_count: Some(1),
        reset_reason: Some(ResetReason::PowerOn),
        heap_free_bytes: Some(heap_free),
        heap_total_bytes: Some(100_000),
        sockets_used: Some(3),
        wifi_disconnects: Some(0),
        ..Telemetry::default()
    }
}

fn found(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|f| f.id.name()).collect()
}

#[test]
fn probes_and_telemetry_are_rebuilt_as_they_were_measured() {
    let mut run = Run::new();
    (1..=60).for_each(|second| run.answer(second, says(second, 50_000 + second % 7)));
    (62..=65).for_each(|second| run.stats.loss(second * S));
    (66..=80).for_each(|second| run.answer(second, says(second, 50_000)));
    run.tell(80, SectionCourse::Ended);
    let report = run.rebuilt().report;
    let row = report.probes.iter().find(|p| p.kind == ProbeKind::Icmp).unwrap();
    assert_eq!((row.sent, row.lost), (run.stats.sent, run.stats.sent - run.stats.answered));
    assert_eq!(row.longest_gap_s, run.stats.longest_gap_ns.map(seconds));
    assert_eq!(row.latency, LatencyFigures::from_latency(&run.stats.latency));
    assert!(row.incomplete.as_ref().unwrap().contains("80.0 s"), "{row:?}");
    let telemetry = report.telemetry.as_ref().unwrap();
    assert_eq!((telemetry.samples, telemetry.reboots), (75, Some(0)));
    assert_eq!((telemetry.heap_total_bytes, telemetry.wifi_last_reason.as_ref()), (Some(100_000), None));
    for (reading, trend) in &run.device.readings {
        let measured = ReadingSummary::from(trend.progress().unwrap());
        assert_eq!(telemetry.summary[&Reading::from(*reading)], measured);
    }
    assert_eq!(telemetry.series.last().unwrap().at_s, 80.0);
    assert!(telemetry.incomplete.is_some());
}

#[test]
fn a_lost_line_costs_its_seconds_and_no_more() {
    let mut run = Run::new();
    (1..=50).for_each(|second| run.answer(second, says(second, 50_000 + second)));
    assert!(run.lines.len() > 4);
    run.lines.remove(3);
    let report = run.rebuilt().report;
    let row = &report.probes[0];
    assert_eq!((row.sent, row.lost), (41, 0));
    assert!(row.latency.count < 41 && row.latency.count >= 31, "{row:?}");
    assert_eq!(report.telemetry.as_ref().unwrap().samples, 41);
}

#[test]
fn a_line_that_tells_everything_stands_for_all_that_came_before() {
    let mut run = Run::new();
    (1..=40).for_each(|second| run.answer(second, says(second, 50_000)));
    run.answer(41, Telemetry { boot_count: Some(2), ..says(0, 60_000) });
    let before = run.rebuilt().report;
    let whole = run.so_far.whole().unwrap();
    for lines in [vec![whole.clone()], vec![whole.clone(), whole]] {
        let head = [LogLine::Start(Box::new(start()))].into_iter();
        let lines: Vec<LogLine> =
            head.chain(lines.into_iter().map(|w| LogLine::Probed(Box::new(w)))).collect();
        let after = read_log_bytes("x", text(&lines).as_bytes()).unwrap().report;
        assert_eq!((after.probes, &after.telemetry), (before.probes.clone(), &before.telemetry));
        assert_eq!(after.findings, before.findings);
    }
}

#[test]
fn a_series_of_two_weeks_stays_bounded_and_covers_them() {
    let mut run = Run::new();
    for line in 0..121_000_u32 {
        let at_s = f64::from(line) * 10.0;
        let rows = vec![TelemetryRow { at_s, readings: BTreeMap::new() }];
        let telemetry = Some(ProbedDevice { samples: 1, rows, ..ProbedDevice::default() });
        run.so_far.take(ProbedLine { at_s, covers: Covers::SinceLast, probes: Vec::new(), telemetry });
    }
    let rows = run.so_far.whole().unwrap().telemetry.unwrap().rows;
    assert!((MOST_ROWS / 2..=MOST_ROWS).contains(&rows.len()), "{}", rows.len());
    let widest = rows.windows(2).map(|pair| pair[1].at_s - pair[0].at_s).fold(0.0, f64::max);
    assert!(rows[0].at_s == 0.0 && widest < 1_209_990.0 / 100.0, "{widest}");
}

#[test]
fn what_the_device_proves_is_found_in_a_log_without_an_end_and_the_rest_is_left_open() {
    let mut run = Run::new();
    (1..=40).for_each(|second| run.answer(second, says(second, 50_000)));
    let calm = run.rebuilt().report;
    assert_eq!(found(&calm), [""; 0]);
    let reason = calm.findings_incomplete.as_ref().unwrap();
    assert!(reason.contains("restarts") && !reason.contains("leaks"), "{reason}");
    assert_eq!(calm.verdict, Verdict::Inconclusive, "nobody says that it passed");

    let panicked =
        Telemetry { boot_count: Some(2), reset_reason: Some(ResetReason::Panic), ..says(0, 60_000) };
    run.answer(41, panicked);
    let report = run.rebuilt().report;
    assert_eq!(found(&report), ["device_rebooted"]);
    assert_eq!(report.telemetry.as_ref().unwrap().reset_reasons, ["PANIC"]);
    assert_eq!(report.thresholds[0].status, ThresholdStatus::Fail);
}

#[test]
fn a_heap_that_falls_all_the_while_is_found_to_leak_and_to_be_low() {
    let mut run = Run::new();
    (1..=120).for_each(|second| run.answer(second, says(second, 64_000 - second * 500)));
    run.tell(120, SectionCourse::Ended);
    let report = run.rebuilt().report;
    assert_eq!(found(&report), ["heap_leak", "heap_low"]);
    assert!(report.findings_incomplete.as_ref().unwrap().contains("leaks"), "{report:?}");
}

#[test]
fn a_heap_that_falls_while_nobody_counts_sockets_is_not_judged() {
    let mut run = Run::new();
    for second in 1..=120 {
        run.answer(second, Telemetry { sockets_used: None, ..says(second, 90_000 - second * 100) });
    }
    assert_eq!(found(&run.rebuilt().report), [""; 0]);
}

#[test]
fn disconnections_that_the_device_counts_and_nobody_made_are_outages_of_the_link() {
    let mut run = Run::new();
    (1..=20).for_each(|second| run.answer(second, says(second, 50_000)));
    (23..=32).for_each(|second| run.stats.loss(second * S));
    (33..=40).for_each(|second| run.answer(second, says(second, 50_000)));
    assert_eq!(found(&run.rebuilt().report), [""; 0], "a silence alone may have other causes");
    run.answer(41, Telemetry { wifi_disconnects: Some(2), ..says(41, 50_000) });
    run.tell(41, SectionCourse::Ended);
    assert_eq!(found(&run.rebuilt().report), ["link_outages"]);
    // Where the run itself cuts the link, its own outages may not be in the log yet.
    let LogLine::Start(start) = &mut run.lines[0] else { panic!("a start") };
    start.workloads[0].kind = "outage".into();
    run.lines.insert(1, LogLine::PhaseStart(PhaseStart { workload: "storm".into(), at_s: 0.0 }));
    assert_eq!(found(&run.rebuilt().report), [""; 0]);
}

#[test]
fn figures_that_cannot_be_are_left_out() {
    let mut run = Run::new();
    run.answer(1, says(1, 50_000));
    let LogLine::Probed(good) = &run.lines[1] else { panic!("a line") };
    let changes: [fn(&mut ProbedLine); 12] = [
        |l| l.at_s = -1.0,
        |l| l.at_s = 1e12,
        |l| l.probes[0].sent = u64::MAX,
        |l| l.probes[0].lost = 2,
        |l| l.probes[0].longest_gap_s = Some(1e300),
        |l| l.probes[0].hdr = Some("HISTFAAA".into()),
        |l| l.probes[0].silences.push(ProbeSilence { number: 4_097, from_s: 0.0, to_s: None, lost: 1 }),
        |l| l.telemetry.as_mut().unwrap().samples = u64::MAX,
        |l| l.telemetry.as_mut().unwrap().reboots = Some(u64::MAX),
        |l| {
            let restart = DeviceRestart { number: 0, at_s: 1.0, reset_reason: None, last_words: None };
            l.telemetry.as_mut().unwrap().restarts.push(restart);
        },
        |l| l.telemetry.as_mut().unwrap().summary.values_mut().for_each(|s| s.min = 1e200),
        |l| l.telemetry.as_mut().unwrap().rows[0].at_s = -5.0,
    ];
    for (nth, change) in changes.iter().enumerate() {
        let mut odd = good.clone();
        change(&mut odd);
        let lines = [run.lines[0].clone(), LogLine::Probed(odd), run.lines[1].clone()];
        let rebuilt = read_log_bytes("x", text(&lines).as_bytes()).unwrap();
        assert!(rebuilt.remarks.iter().any(|r| r.contains("line 2")), "{nth}: {:?}", rebuilt.remarks);
        assert_eq!(rebuilt.report.telemetry.unwrap().samples, 1);
    }
    for wrong in [
        r#"{"event":"probed","data":{"at_s":"soon","covers":"since_last","probes":[],"telemetry":null}}"#,
        r#"{"event":"probed","data":{"at_s":1.0,"covers":"the sea","probes":[],"telemetry":null}}"#,
        r#"{"event":"probed","data":{"at_s":1.0,"covers":"since_last","probes":[{"kind":"icmp"}],"telemetry":7}}"#,
        r#"{"event":"probed","data":[]}"#,
    ] {
        let text = format!("{}{wrong}\n", text(&run.lines));
        let rebuilt = read_log_bytes("x", text.as_bytes()).unwrap();
        assert!(rebuilt.remarks.iter().any(|r| r.contains("line 3")), "{wrong}: {:?}", rebuilt.remarks);
    }
    let headless = text(&run.lines[1..]);
    assert!(read_log_bytes("x", headless.as_bytes()).is_err(), "without a start nobody knows what was run");
}

proptest! {
    #[test]
    fn any_damage_to_what_probes_say_is_survived(at in 0_usize..20_000, byte: u8, value in -1e13_f64..1e13, n: u64) {
        let mut run = Run::new();
        (1..=12).for_each(|second| run.answer(second, says(second, 50_000 + second)));
        let mut odd = run.so_far.whole().unwrap();
        odd.probes[0].sent = n;
        let telemetry = odd.telemetry.as_mut().unwrap();
        telemetry.rows.push(TelemetryRow { at_s: value, readings: [(Reading::HeapFreeBytes, value)].into() });
        telemetry.summary.values_mut().for_each(|s| (s.min, s.slope_high_per_hour) = (value, Some(value)));
        run.lines.push(LogLine::Probed(Box::new(odd)));
        let mut bytes = text(&run.lines).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(rebuilt) = read_log_bytes("x", &bytes) {
            let json = crate::to_json(&rebuilt.report);
            prop_assert!(crate::from_json("x", &json).is_ok());
        }
    }
}
