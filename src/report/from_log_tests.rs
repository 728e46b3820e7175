use super::*;
use crate::{NoticeLine, anomalies_cut};
use espstress_stats::Phase;
use proptest::prelude::*;

fn start() -> LogStart {
    let mut start = LogStart::of_one("rw", "rw", Phase::RoundTrip);
    start.started(0);
    start
}

fn interval(second: f64, attempts: u64) -> IntervalLine {
    IntervalLine {
        workload: "rw".into(),
        start_s: second,
        end_s: second + 1.0,
        attempts,
        succeeded: attempts,
        failures: crate::Failures::default(),
        bytes: 0,
        open: 0,
        p50_us: None,
        p99_us: None,
        hdr: None,
        total: Totals { attempts, succeeded: attempts, ..Totals::default() },
    }
}

fn log(lines: &[LogLine]) -> String {
    lines.iter().map(LogLine::to_text).collect()
}

#[test]
fn a_damaged_line_is_left_out_and_named() {
    let text = log(&[LogLine::Start(Box::new(start())), LogLine::Interval(Box::new(interval(0.0, 5)))]);
    let text =
        format!("{text}{{\"event\":\"inter\0\n{}", log(&[LogLine::Interval(Box::new(interval(1.0, 9)))]));
    let rebuilt = read_log_bytes("x.log", text.as_bytes()).unwrap();
    assert!(rebuilt.remarks.iter().any(|r| r.contains("x.log, line 3,")), "{:?}", rebuilt.remarks);
    assert_eq!(rebuilt.report.workload("rw").unwrap().series.len(), 2);
    assert_eq!(rebuilt.report.workload("rw").unwrap().attempts, 9);
}

#[test]
fn a_line_whose_members_were_sorted_is_the_same_line() {
    let lines = [LogLine::Start(Box::new(start())), LogLine::Interval(Box::new(interval(0.0, 5)))];
    let sorted: String = lines
        .iter()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.to_text()).unwrap();
            format!("{{\"data\":{},\"event\":{}}}\n", line["data"], line["event"])
        })
        .collect();
    let rebuilt = read_log_bytes("x.log", sorted.as_bytes()).unwrap();
    assert_eq!(rebuilt.report, read_log_bytes("x.log", log(&lines).as_bytes()).unwrap().report);
    assert_eq!(rebuilt.report.workload("rw").unwrap().attempts, 5);
}

#[test]
fn outages_and_their_ledgers_are_rebuilt() {
    let mut row = espstress_event::OutageRow::new(1, espstress_event::OutageOrigin::Made);
    (row.made_start_ns, row.made_end_ns) = (Some(1_000_000_000), Some(3_000_000_000));
    row.recovered_ns = Some(4_000_000_000);
    let told = LogLine::Outage(Box::new(OutageLine::new("rw".into(), &row)));
    let mut last = interval(4.0, 9);
    let to_device = espstress_event::MessageLedger {
        sent: 9,
        acknowledged: 9,
        ..espstress_event::MessageLedger::default()
    };
    let so_far =
        OutageProgress { made: 1, make_failures: 2, died: 3, to_device, ..OutageProgress::default() };
    last.total.outages = Some(so_far);
    let cut = LogLine::Notice(NoticeLine { at_s: 5.0, text: anomalies_cut(1_000) });
    let lines = [LogLine::Start(Box::new(start())), told, LogLine::Interval(Box::new(last)), cut];
    let rebuilt = read_log_bytes("x", log(&lines).as_bytes()).unwrap();
    let workload = rebuilt.report.workload("rw").unwrap();
    let sum = workload.outage_summary.as_ref().unwrap();
    assert_eq!((sum.made, sum.make_failures, sum.connections.died, sum.unrecovered), (1, 2, 3, 0));
    assert!(sum.messages_balance && sum.to_device == to_device);
    assert_eq!(workload.outages.as_ref().unwrap()[0].recovery_s, Some(1.0));
    assert!(rebuilt.remarks.iter().any(|r| r.contains("only a part")), "{:?}", rebuilt.remarks);
}

#[test]
fn what_http_responses_were_like_is_rebuilt() {
    let mut last = interval(0.0, 9);
    last.total.responses.insert("503".into(), 2);
    last.total.first_status = Some(405);
    last.total.late_starts_dropped = 7;
    let closes = espstress_event::IdleCloses {
        count: 3,
        min_us: 2_000_000,
        median_us: 2_500_000,
        before_request: 1,
        told: 0,
    };
    last.total.idle_closes = Some(closes);
    last.total.malformed.count(espstress_event::FaultSeen {
        fault: espstress_event::HttpFault::Truncated,
        promised: Some(1_306),
        received: Some(1_305),
        detail: "then FIN",
    });
    let lines = [LogLine::Start(Box::new(start())), LogLine::Interval(Box::new(last.clone()))];
    let rebuilt = read_log_bytes("x", log(&lines).as_bytes()).unwrap();
    let workload = rebuilt.report.workload("rw").unwrap();
    assert_eq!(workload.responses.get("503"), Some(&2));
    assert_eq!((workload.first_status, workload.late_starts_dropped), (Some(405), 7));
    assert_eq!((workload.idle_closes, &workload.malformed), (Some(closes), &last.total.malformed));
}

#[test]
fn a_log_without_a_start_says_so() {
    let text = log(&[LogLine::Interval(Box::new(interval(0.0, 5)))]);
    assert!(matches!(read_log_bytes("x", text.as_bytes()), Err(LogError::NoStart)));
}

#[test]
fn latencies_that_no_line_holds_are_absent() {
    let text = log(&[LogLine::Start(Box::new(start())), LogLine::Interval(Box::new(interval(0.0, 5)))]);
    let rebuilt = read_log_bytes("x", text.as_bytes()).unwrap();
    assert!(rebuilt.report.workload("rw").unwrap().latency.is_empty());
    assert_eq!(rebuilt.report.capture.status, crate::CaptureStatus::Off);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = read_log_bytes("x", &bytes);
    }

    #[test]
    fn any_damage_to_a_log_is_survived(at in 0_usize..4_000, byte: u8, from in -1e12_f64..1e12, count: u64) {
        let odd = IntervalLine { start_s: from, attempts: count, ..interval(from, count) };
        let lines = [
            LogLine::Start(Box::new(start())),
            LogLine::Interval(Box::new(interval(0.0, 5))),
            LogLine::Interval(Box::new(odd)),
            LogLine::PhaseEnd(Box::new(interval(3.0, 5))),
        ];
        let mut bytes = log(&lines).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(rebuilt) = read_log_bytes("x", &bytes) {
            prop_assert!(!crate::to_json(&rebuilt.report).is_empty());
        }
    }
}
