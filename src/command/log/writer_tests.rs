use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::mpsc;

use super::super::files::{LIMITS, Limits};
use super::*;
use espstress_event::{DeviceSample, Expected, Failure, ResetReason, Telemetry};
use espstress_report::{Announced, Target, TargetKind, read_log};
use espstress_stats::{DeviceSeries, Phase, ProbeKindStats, ProbeNews, ProbeStats, Recorder};

const S: u64 = 1_000_000_000;

fn start() -> LogStart {
    let params = serde_json::json!({});
    let storm = Announced {
        name: "storm".into(),
        kind: "head".into(),
        params,
        facts: None,
        main_phase: Phase::Total,
    };
    let target = Target::new("127.0.0.1:80", TargetKind::Sim);
    LogStart { workloads: vec![storm], ..LogStart::new(target, serde_json::json!({ "name": "t" }), 7) }
}

fn writer(path: &Path, limits: Limits) -> (Writer, Receiver<String>) {
    let (remarks_out, remarks) = mpsc::channel();
    (Writer::new(Files::open(path, limits).unwrap(), start(), remarks_out), remarks)
}

fn begin(writer: &mut Writer) {
    writer.event(Event::RunStarted {
        scenario: "t".into(),
        target: "x".into(),
        seed: 7,
        start_unix_ns: S as i64,
    });
    writer.event(Event::PhaseStarted { workload: "storm".into(), at_ns: 0, expected: Expected::Open });
}

/// Seconds of a workload that fails at every fourth attempt, each told to the writer.
fn seconds_of(writer: &mut Writer, recorder: &mut Recorder, seconds: std::ops::RangeInclusive<u64>) {
    for second in seconds {
        for attempt in 0..10 {
            if attempt % 4 == 3 {
                recorder.attempt(second * S - 1, second * S, Err(Failure::ConnectTimeout));
            } else {
                recorder.attempt(second * S - 1, second * S, Ok(()));
                recorder.latency(Phase::Total, (second + attempt) * 1_000_000);
            }
        }
        recorder.bytes(60, 40);
        let progress = recorder.roll(second * S);
        writer.event(Event::Interval { workload: "storm".into(), at_ns: second * S, progress });
    }
}

#[test]
fn a_report_is_rebuilt_from_a_log_that_stops_in_the_middle_of_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, LIMITS);
    let mut recorder = Recorder::new(0, Phase::Total);
    begin(&mut writer);
    seconds_of(&mut writer, &mut recorder, 1..=20);
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"event\":\"interval\",\"data\":{\"work").unwrap();

    let rebuilt = read_log(&path).unwrap();
    let workload = rebuilt.report.workload("storm").unwrap();
    let measured = recorder.finish(20 * S);
    assert!(rebuilt.report.interrupted);
    assert_eq!((workload.attempts, workload.succeeded), (200, measured.succeeded));
    assert_eq!(workload.failures.get(Failure::ConnectTimeout), 40);
    assert_eq!((workload.bytes.sent, workload.bytes.received), (1_200, 800));
    assert_eq!(workload.series.len(), 20);
    let p99 = workload.latency[&Phase::Total].histogram().unwrap().value_at_quantile(0.99);
    assert_eq!(Some(p99), measured.latency[&Phase::Total].corrected.quantile_ns(0.99));
    assert!(rebuilt.remarks.iter().any(|r| r.contains("middle of line")), "{:?}", rebuilt.remarks);
}

#[test]
fn a_log_stays_within_its_files_and_its_totals_survive_the_oldest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let limits = Limits { bytes: 6_000, files: 3 };
    let (mut writer, _remarks) = writer(&path, limits);
    let mut recorder = Recorder::new(0, Phase::Total);
    begin(&mut writer);
    seconds_of(&mut writer, &mut recorder, 1..=200);
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let length = file.metadata().unwrap().len();
        assert!(length <= 2 * limits.bytes, "{file:?}: {length} bytes");
    }
    let rebuilt = read_log(&path).unwrap();
    let workload = rebuilt.report.workload("storm").unwrap();
    assert_eq!((workload.attempts, workload.bytes.sent), (2_000, 12_000));
    assert_eq!(workload.start_s.round(), 0.0, "the workload's start is told again in each file");
    assert!(rebuilt.remarks.iter().any(|r| r.contains("oldest part is gone")), "{:?}", rebuilt.remarks);
}

#[test]
fn rotation_alone_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, Limits { bytes: 6_000, files: 100 });
    let mut recorder = Recorder::new(0, Phase::Total);
    begin(&mut writer);
    seconds_of(&mut writer, &mut recorder, 1..=60);
    assert!(dir.path().join("log.2").exists());
    let rebuilt = read_log(&path).unwrap();
    let workload = rebuilt.report.workload("storm").unwrap();
    assert_eq!(workload.series.iter().map(|row| row.attempts).sum::<u64>(), 600);
    assert_eq!(workload.series.len(), 60);
}

#[test]
fn a_second_run_in_the_same_file_is_the_one_that_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    for seconds in [5, 3] {
        let (mut writer, _remarks) = writer(&path, LIMITS);
        let mut recorder = Recorder::new(0, Phase::Total);
        begin(&mut writer);
        seconds_of(&mut writer, &mut recorder, 1..=seconds);
        // The power went off in the middle of a line.
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"eve").unwrap();
    }
    let rebuilt = read_log(&path).unwrap();
    assert_eq!(rebuilt.report.workload("storm").unwrap().attempts, 30);
    assert!(rebuilt.remarks.iter().any(|r| r.contains("has 2 runs")), "{:?}", rebuilt.remarks);
}

#[test]
fn a_full_disk_is_told_once() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        return;
    }
    let (mut writer, remarks) = writer(full, LIMITS);
    begin(&mut writer);
    seconds_of(&mut writer, &mut Recorder::new(0, Phase::Total), 1..=5);
    drop(writer);
    let told: Vec<String> = remarks.iter().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("No space left"), "{told:?}");
}

#[test]
fn a_line_that_could_not_be_written_is_made_up_for_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, LIMITS);
    let mut recorder = Recorder::new(0, Phase::Total);
    begin(&mut writer);
    seconds_of(&mut writer, &mut recorder, 1..=2);
    let good = std::mem::replace(&mut writer.files.file, File::open(&path).unwrap());
    seconds_of(&mut writer, &mut recorder, 3..=5);
    writer.files.file = good;
    seconds_of(&mut writer, &mut recorder, 6..=6);
    let rebuilt = read_log(&path).unwrap();
    let workload = rebuilt.report.workload("storm").unwrap();
    assert_eq!(workload.series.iter().map(|row| row.attempts).sum::<u64>(), 60);
    assert_eq!(
        workload.latency[&Phase::Total].count,
        recorder.finish(6 * S).latency[&Phase::Total].corrected.count()
    );
}

#[test]
fn the_log_says_when_it_names_no_more_anomalies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, LIMITS);
    begin(&mut writer);
    writer.event(Event::AnomaliesCut { told: 1_000 });
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("no more than 1000 anomalies are named one by one"), "{text}");
    let rebuilt = read_log(&path).unwrap();
    assert!(rebuilt.remarks.iter().any(|remark| remark.contains("only a part")), "{:?}", rebuilt.remarks);
}

#[test]
fn sections_that_are_whole_outlive_the_files_they_were_first_written_to() {
    use espstress_event::{Examination, HalfOpen, Mqtt, SilencedConnection, Stage};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, Limits { bytes: 6_000, files: 2 });
    let mut recorder = Recorder::new(0, Phase::Total);
    begin(&mut writer);
    let mut section = HalfOpen { watched_ns: 30 * S, ..HalfOpen::default() };
    section.fell_silent(SilencedConnection {
        connection: 1,
        port: 40_000,
        stage: Stage::Served,
        opened_ns: None,
        silent_ns: S,
        reclaimed_after_ns: None,
        evidence: None,
    });
    section.before.attempts = 3;
    section.before.latency = [(1_000_000, 2), (5_000_000, 1)].into();
    let (workload, course) = ("storm".to_owned(), SectionCourse::Ended);
    writer.event(Event::HalfOpen { workload, at_ns: 31 * S, course, section: Arc::new(section) });
    let mqtt = Mqtt { watched_ns: 30 * S, connect: [(2_000_000, 4)].into(), ..Mqtt::default() };
    let workload = "storm".to_owned();
    writer.event(Event::Mqtt { workload, at_ns: 31 * S, course, section: Arc::new(mqtt) });
    let mut examination = Examination::default();
    examination.done.requests = 7;
    writer.event(Event::Examined {
        workload: "storm".into(),
        at_ns: 31 * S,
        examination: Arc::new(examination),
    });
    seconds_of(&mut writer, &mut recorder, 32..=200);

    let rebuilt = read_log(&path).unwrap();
    assert!(rebuilt.remarks.iter().any(|r| r.contains("oldest part is gone")), "{:?}", rebuilt.remarks);
    let half_open = rebuilt.report.workload("storm").unwrap().half_open.as_ref().unwrap();
    assert_eq!((half_open.silenced, half_open.watched_s, &half_open.incomplete), (1, 30.0, &None));
    let before = half_open.before.as_ref().unwrap();
    assert_eq!((before.attempts, before.latency.count), (3, 3));
    let mqtt = rebuilt.report.workload("storm").unwrap().mqtt.as_ref().unwrap();
    assert_eq!((mqtt.watched_s, mqtt.connect.count, &mqtt.incomplete), (30.0, 4, &None));
    assert!(mqtt.no_signs.is_some(), "packets are not in a log");
    let examination = rebuilt.report.examination.unwrap();
    assert_eq!(examination.done.requests, 7);
    assert!(examination.incomplete.is_some(), "nobody knows what came after it");
}

/// A ping and an answer of the device each second, told to the writer; a restart at second 30.
fn probed_seconds(writer: &mut Writer, seconds: u64) -> (ProbeKindStats, DeviceSeries) {
    let mut ping = ProbeKindStats::new(0, S, 2 * S);
    let (mut device, mut news) = (DeviceSeries::default(), ProbeNews::default());
    let none = ProbeStats::Unavailable { reason: "test".into() };
    for second in 1..=seconds {
        if second % 10 == 7 {
            ping.loss(second * S);
        } else {
            ping.answer(second * S, second * 100_000);
        }
        let telemetry = Telemetry {
            boot_count: Some(if second < 30 { 1 } else { 2 }),
            reset_reason: Some(ResetReason::TaskWatchdog),
            heap_free_bytes: Some(60_000 + second),
            ..Telemetry::default()
        };
        device.take(DeviceSample { asked_ns: second * S, at_ns: second * S, telemetry });
        let measured = ProbeStats::Measured(Box::new(ping.clone()));
        let kinds = [&measured, &none, &none];
        if let Some(probed) = news.due(kinds, &device, SectionCourse::UnderWay, second * S) {
            writer.event(Event::Probed { at_ns: second * S, probed: Arc::new(probed) });
        }
    }
    (ping, device)
}

#[test]
fn what_probes_came_to_outlives_the_files_it_was_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, Limits { bytes: 20_000, files: 2 });
    begin(&mut writer);
    let (ping, device) = probed_seconds(&mut writer, 600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    let rebuilt = read_log(&path).unwrap();
    assert!(rebuilt.remarks.iter().any(|r| r.contains("oldest part is gone")), "{:?}", rebuilt.remarks);
    let row = &rebuilt.report.probes[0];
    assert_eq!((row.sent, row.lost), (ping.sent, ping.sent - ping.answered));
    assert_eq!(row.latency.histogram().unwrap(), ping.latency.exported());
    let telemetry = rebuilt.report.telemetry.unwrap();
    assert_eq!((telemetry.samples, telemetry.reboots), (device.samples, Some(1)));
    assert_eq!(telemetry.reset_reasons, ["TASK_WDT"], "of a restart that no file tells as it happened");
    let heap = &telemetry.summary[&espstress_report::Reading::HeapFreeBytes];
    assert_eq!((heap.first, heap.last), (60_001.0, 60_600.0));
    assert!(telemetry.series[0].at_s < 2.0, "the series is told again as well");
}

#[test]
fn what_probes_came_to_while_the_disk_was_full_is_told_by_the_next_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, LIMITS);
    begin(&mut writer);
    let good = std::mem::replace(&mut writer.files.file, File::open(&path).unwrap());
    probed_seconds(&mut writer, 40);
    writer.files.file = good;
    assert!(read_log(&path).unwrap().report.probes.is_empty());
    // The same run once more: what was told before is in no file.
    let (ping, _) = probed_seconds(&mut writer, 40);
    let rebuilt = read_log(&path).unwrap();
    assert_eq!(rebuilt.report.probes[0].latency.count, ping.answered);
    assert_eq!(rebuilt.report.telemetry.unwrap().reset_reasons.len(), 1);
}

fn outage_event(number: u64) -> Event {
    use espstress_event::{OutageOrigin, OutageRow};
    let mut outage = OutageRow::new(number, OutageOrigin::Natural);
    outage.seen_start_ns = Some(number * S);
    Event::Outage { workload: "storm".into(), outage }
}

#[test]
fn what_happened_while_the_disk_was_full_is_written_when_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, remarks) = writer(&path, LIMITS);
    let mut recorder = Recorder::new(0, Phase::Total);
    let good = std::mem::replace(&mut writer.files.file, File::open(&path).unwrap());
    begin(&mut writer);
    seconds_of(&mut writer, &mut recorder, 1..=3);
    recorder.outage().natural = 20;
    (1..=20).for_each(|number| writer.event(outage_event(number)));
    let progress = recorder.roll(4 * S);
    writer.event(Event::PhaseEnded { workload: "storm".into(), at_ns: 4 * S, progress });
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
    writer.files.file = good;
    writer.event(Event::Notice { text: "anything".into() });
    let rebuilt = read_log(&path).unwrap();
    let workload = rebuilt.report.workload("storm").unwrap();
    assert_eq!((workload.attempts, workload.outages.as_ref().map(Vec::len)), (30, Some(20)));
    assert_eq!(
        workload.latency[&Phase::Total].count,
        recorder.finish(4 * S).latency[&Phase::Total].corrected.count()
    );
    let told: Vec<String> = remarks.try_iter().collect();
    assert!(told[0].contains("cannot write the log") && told[1].contains("written again"), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn of_what_a_disk_was_full_for_too_long_to_take_the_number_is_in_the_log_and_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, LIMITS);
    let good = std::mem::replace(&mut writer.files.file, File::open(&path).unwrap());
    begin(&mut writer);
    // The start and the workload's start are owed as well.
    (1..=OWED as u64 + 5).for_each(|number| writer.event(outage_event(number)));
    writer.files.file = good;
    seconds_of(&mut writer, &mut Recorder::new(0, Phase::Total), 1..=1);
    writer.event(Event::OutagesLeftOut { rows: 3 });
    writer.event(Event::OutagesLeftOut { rows: 9 });
    let rebuilt = read_log(&path).unwrap();
    let said = |text: &str| rebuilt.remarks.iter().filter(|remark| remark.contains(text)).count();
    assert_eq!(said("left out: 7 lines"), 1, "{:?}", rebuilt.remarks);
    assert_eq!((said("left out: 3 outages"), said("left out: 9 outages")), (0, 1), "{:?}", rebuilt.remarks);
    assert_eq!(rebuilt.report.workload("storm").unwrap().attempts, 10);
}

#[test]
fn a_file_whose_head_met_a_full_disk_begins_with_it_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, _remarks) = writer(&path, Limits { bytes: 6_000, files: 2 });
    let mut recorder = Recorder::new(0, Phase::Total);
    begin(&mut writer);
    let mut second = 1;
    while !dir.path().join("log.1").exists() {
        seconds_of(&mut writer, &mut recorder, second..=second);
        second += 1;
    }
    // As if the first write to the new file had failed.
    std::fs::write(&path, "").unwrap();
    (writer.headless, writer.files.written) = (true, 0);
    seconds_of(&mut writer, &mut recorder, second..=second + 2);
    std::fs::remove_file(dir.path().join("log.1")).unwrap();
    assert_eq!(read_log(&path).unwrap().report.workload("storm").unwrap().attempts, (second + 2) * 10);
}

/// Tells the writer of a run of some seconds, in the middle of which `meanwhile` happens to the file; what it then says.
fn told_after(meanwhile: impl Fn(&Path)) -> (Whole, Vec<String>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (mut writer, remarks) = writer(&path, LIMITS);
    let mut recorder = Recorder::new(0, Phase::Total);
    begin(&mut writer);
    seconds_of(&mut writer, &mut recorder, 1..=3);
    writer.look();
    assert_eq!(writer.whole(), Ok(()));
    meanwhile(&path);
    writer.look();
    writer.look();
    seconds_of(&mut writer, &mut recorder, 4..=6);
    let whole = writer.whole();
    drop(writer);
    (whole, remarks.iter().collect(), dir)
}

#[test]
fn a_log_that_somebody_removes_is_told_at_once_and_is_not_whole() {
    let (whole, told, _dir) = told_after(|path| std::fs::remove_file(path).unwrap());
    assert!(whole.unwrap_err().contains("removed"));
    assert!(told.len() == 1 && told[0].contains("removed"), "{told:?}");
}

#[test]
fn a_log_that_somebody_truncates_is_not_whole_and_what_follows_can_be_read() {
    let (whole, told, dir) =
        told_after(|path| File::options().write(true).open(path).unwrap().set_len(0).unwrap());
    assert!(whole.unwrap_err().contains("truncated"));
    assert!(told.len() == 1 && told[0].contains("truncated"), "{told:?}");
    let rebuilt = read_log(&dir.path().join("log")).unwrap();
    assert_eq!(rebuilt.report.workload("storm").unwrap().attempts, 60);
}
