use super::merge::Named;
use super::*;
use espstress_diagnose::{Finding, FindingId, Severity};
use espstress_event::Failure;
use espstress_report::{Report, Style, Target, TargetKind, Verdict, Workload};
use espstress_stats::{Phase, Recorder};

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// A report of a run that began `start_s` after the epoch, with an attempt a second of those latencies; 0 fails.
fn report(address: &str, start_s: i64, latencies_ms: &[u64]) -> Report {
    let target = Target::new(address, TargetKind::Device);
    let scenario = serde_json::json!({ "name": "head" });
    let mut report = Report::new(target, scenario, 7, start_s * S as i64);
    let mut recorder = Recorder::new(0, Phase::Total);
    for (second, ms) in (1..).zip(latencies_ms) {
        if *ms == 0 {
            recorder.attempt(0, 1, Err(Failure::ReadTimeout));
        } else {
            recorder.attempt(0, 1, Ok(()));
            recorder.latency(Phase::Total, ms * MS);
        }
        let _ = recorder.roll(second * S);
    }
    let length = latencies_ms.len() as u64 * S;
    let params = serde_json::json!({ "path": "/", "count": latencies_ms.len() });
    report.workloads.push(Workload::from_stats("head", "head", params, &recorder.finish(length)));
    report.duration_s = length as f64 / 1e9;
    report
}

fn named(name: &str, report: &Report) -> Named {
    Named::Report(name.to_owned(), Box::new(report.clone()))
}

fn two() -> FleetReport {
    let (a, b) = (report("10.0.0.1:80", 1_000, &[10, 20, 0]), report("10.0.0.2:80", 1_002, &[30, 40]));
    merge(vec![named("a.json", &a), named("b.json", &b)]).unwrap()
}

#[test]
fn histograms_and_counts_are_added_and_each_report_stays_whole() {
    let (a, b) = (report("10.0.0.1:80", 1_000, &[10, 20, 0]), report("10.0.0.2:80", 1_002, &[30, 40]));
    let fleet = two();
    let [head] = &fleet.workloads[..] else { panic!("one workload") };
    assert_eq!((head.runs, head.attempts, head.succeeded), (2, 5, 4));
    assert_eq!(head.failures.get(Failure::ReadTimeout), 1);
    let mut sum = a.workloads[0].latency[&Phase::Total].histogram().unwrap();
    sum.add(b.workloads[0].latency[&Phase::Total].histogram().unwrap()).unwrap();
    assert_eq!(head.latency[&Phase::Total].histogram().unwrap(), sum);
    assert_eq!(fleet.device("10.0.0.2:80").unwrap().report.as_ref(), Some(&b));
}

#[test]
fn series_are_in_line_by_wall_clock_and_no_attempt_is_lost() {
    let fleet = two();
    let rows: Vec<(f64, u64, u64)> =
        fleet.workloads[0].series.iter().map(|row| (row.start_s, row.attempts, row.succeeded)).collect();
    // The second run began two seconds after the first one: its first second is the first one's third.
    assert_eq!(rows, [(0.0, 1, 1), (1.0, 1, 1), (2.0, 2, 1), (3.0, 1, 1)]);
    let third = &fleet.workloads[0].series[2];
    assert!(third.latency_mean_us.is_some_and(|us| (us - 30_000.0).abs() < 100.0), "{third:?}");
    assert_eq!((fleet.duration_s, fleet.devices[1].start_s), (4.0, Some(2.0)));
    assert_eq!(fleet.started_at.as_deref(), Some("1970-01-01T00:16:40.000Z"));
}

#[test]
fn two_reports_of_one_address_are_not_called_two_devices_and_a_pause_between_runs_makes_no_rate() {
    let merged = |address: &str, start_s| {
        let (a, b) = (report("10.0.0.1:80", 1_000, &[10, 20]), report(address, start_s, &[30, 40]));
        merge(vec![named("a.json", &a), named("b.json", &b)]).unwrap()
    };
    let again = merged("10.0.0.1:80", 1_008);
    let text = page(&again, &Style::default());
    assert!(text.starts_with("DONE  head: 2 reports of 1 device (by address)\n"), "{text}");
    assert_eq!(again.workloads[0].attempts_per_s, None);
    assert!(text.contains("4 attempts in 2 runs (no rate: they did not all overlap in time)"), "{text}");
    let at_once = merged("10.0.0.2:80", 1_001);
    let text = page(&at_once, &Style::default());
    assert!(
        text.starts_with("DONE  head on 2 devices\n") && text.contains("4 attempts in 3.00 s, 1.33/s"),
        "{text}"
    );
}

#[test]
fn a_long_series_stays_within_its_limit_and_keeps_every_attempt() {
    let row = |second: u32| espstress_report::SeriesRow {
        start_s: f64::from(second),
        length_s: 1.0,
        attempts: 1,
        succeeded: 1,
        failures: espstress_report::Failures::default(),
        bytes: 2,
        latency_mean_us: Some(1.0),
        latency_p50_us: Some(1.0),
        latency_p90_us: Some(1.0),
        latency_p99_us: Some(1.0),
        latency_max_us: Some(1.0),
    };
    let rows: Vec<_> = (0..1_700).map(row).collect();
    let joined = series::aligned(&[(0.0, &rows), (86_400.3, &rows)]);
    assert!(joined.len() < 2_000);
    assert_eq!(joined.iter().map(|row| row.attempts).sum::<u64>(), 3_400);
    assert!(joined.is_sorted_by(|a, b| a.start_s + a.length_s <= b.start_s));
}

#[test]
fn findings_keep_their_devices_and_the_verdict_is_the_worst() {
    let mut a = report("10.0.0.1:80", 1_000, &[10]);
    let mut b = report("10.0.0.2:80", 1_000, &[10]);
    let finding = |severity| Finding {
        id: FindingId::DeviceUnreachable,
        severity,
        statement: String::new(),
        evidence: Vec::new(),
        cause: String::new(),
        change: String::new(),
    };
    a.findings.push(finding(Severity::Warning));
    b.findings.push(finding(Severity::Error));
    (b.verdict, b.verdict_reasons) = (Verdict::Fail, vec!["`findings.error == 0` fails".to_owned()]);
    let fleet = merge(vec![named("a.json", &a), named("b.json", &b)]).unwrap();
    assert_eq!(fleet.verdict, Verdict::Fail);
    assert_eq!(fleet.verdict_reasons, ["10.0.0.2:80: `findings.error == 0` fails"]);
    let [finding] = &fleet.findings[..] else { panic!("one finding") };
    assert_eq!((finding.severity, finding.devices.len()), (Severity::Error, 2));
    let text = page(&fleet, &Style::default());
    assert!(text.starts_with("FAIL") || text.starts_with("DONE"), "{text}");
    assert!(text.contains("error: device_unreachable on 10.0.0.1:80, 10.0.0.2:80"), "{text}");
}

#[test]
fn joining_in_two_steps_is_joining_at_once() {
    let all: Vec<Report> =
        (1..=3).map(|n| report(&format!("10.0.0.{n}:80"), 1_000 + n, &[10 * n as u64, 7])).collect();
    let once = merge(all.iter().map(|r| named("x", r)).collect()).unwrap();
    let first = merge(all[..2].iter().map(|r| named("x", r)).collect()).unwrap();
    let twice = merge(vec![Named::Fleet("two".into(), Box::new(first)), named("x", &all[2])]).unwrap();
    assert_eq!(twice, once);
}

#[test]
fn devices_of_one_address_are_told_apart_by_their_files() {
    let (a, b) = (report("10.0.0.1:80", 1_000, &[10]), report("10.0.0.1:80", 1_001, &[10]));
    let fleet = merge(vec![named("a.json", &a), named("b.json", &b)]).unwrap();
    let names: Vec<&str> = fleet.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names, ["10.0.0.1:80 (a.json)", "10.0.0.1:80 (b.json)"]);
}

#[test]
fn other_work_other_versions_and_the_same_run_are_refused() {
    let a = report("10.0.0.1:80", 1_000, &[10]);
    let refused = |b: &Report| merge(vec![named("a.json", &a), named("b.json", b)]).unwrap_err().to_string();
    let mut other = report("10.0.0.2:80", 1_000, &[10]);
    other.workloads[0].params = serde_json::json!({ "path": "/other" });
    let said = refused(&other);
    assert!(said.starts_with("cannot join b.json with a.json: head: path /"), "{said}");
    let mut newer = report("10.0.0.2:80", 1_000, &[10]);
    newer.tool.version = "99.0.0".to_owned();
    assert!(refused(&newer).contains("make all of them with the same espstress"));
    assert!(refused(&a).contains("reports of the same run"));
    // One goes on where the other ended.
    let longer = report("10.0.0.1:80", 1_010, &[10]).after(&a);
    let longest = report("10.0.0.1:80", 1_020, &[10]).after(&longer);
    for (one, two) in [(&a, &longer), (&longer, &longest), (&longest, &a)] {
        let both = merge(vec![named("one.json", one), named("two.json", two)]);
        assert!(matches!(both, Err(Refused::SameRun { .. })), "{both:?}");
    }
    assert_eq!(merge(Vec::new()), Err(Refused::NoReport));
    let mut damaged = report("10.0.0.2:80", 1_000, &[10]);
    damaged.workloads[0].latency.get_mut(&Phase::Total).unwrap().hdr = Some("HISTFAAA".to_owned());
    assert_eq!(refused(&damaged), "b.json: head: the latency total has no readable histogram to add");
}

#[test]
fn a_device_that_could_not_be_tested_leaves_the_verdict_open() {
    let tested = FleetDevice {
        name: "kitchen".into(),
        tags: vec!["s3".into()],
        start_s: None,
        not_run: None,
        report: Some(report("10.0.0.1:80", 1_000, &[10])),
    };
    let not_run = Some("10.0.0.2:80 refuses connections".to_owned());
    let away = FleetDevice { name: "hall".into(), tags: Vec::new(), start_s: None, not_run, report: None };
    let fleet = join(vec![tested, away]);
    assert_eq!(fleet.verdict, Verdict::Inconclusive);
    assert_eq!(fleet.verdict_reasons, ["hall: not tested: 10.0.0.2:80 refuses connections"]);
    assert!(markdown(&fleet).contains("| hall | not tested |"));
}

#[test]
fn what_was_written_is_read_back_the_same_and_another_version_is_refused() {
    let fleet = two();
    let text = to_json(&fleet);
    let Ok(Read::Fleet(read)) = from_json("c.json", &text) else { panic!("a fleet report") };
    assert_eq!(*read, fleet);
    let newer = text.replace("\"fleet_version\": 1", "\"fleet_version\": 2");
    assert!(from_json("c.json", &newer).unwrap_err().to_string().contains("fleet_version 2"));
    let one = espstress_report::to_json(&report("10.0.0.1:80", 0, &[1]));
    assert!(matches!(from_json("a.json", &one), Ok(Read::Report(_))));
    assert!(from_json("x", "no JSON").is_err());
}
