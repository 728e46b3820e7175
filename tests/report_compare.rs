//! Reports side by side.

mod report_support;

use espstress::compare::{Comparison, Decision, Judgement, Named, Options, Refused, compare, page};
use espstress::diagnose::{Finding, FindingId, Severity};
use espstress::event::Failure;
use espstress::report::{Capture, Detail, Report, Style};
use report_support as make;
use serde_json::json;

fn of(w: espstress::report::Workload) -> Report {
    let mut r = make::clean();
    r.workloads = vec![w];
    r
}

fn against(base: &Report, new: &[&Report]) -> Result<Comparison, Refused> {
    let names = ["new.json", "second.json"];
    let new: Vec<_> = new.iter().zip(names).map(|(report, name)| Named { name, report }).collect();
    compare(Named { name: "base.json", report: base }, &new, &Options::default())
}

fn judged(c: &Comparison, figure: &str) -> Judgement {
    c.workloads[0].rows.iter().find(|r| r.figure == figure).unwrap_or_else(|| panic!("{figure}")).new[0]
        .judgement
}

fn finding(id: FindingId, severity: Severity) -> Finding {
    let text = String::new;
    Finding { id, severity, statement: text(), evidence: Vec::new(), cause: text(), change: text() }
}

#[test]
fn a_report_is_the_same_as_itself() {
    let base = of(make::head(2_000, 300_000, &[]));
    let c = against(&base, &[&base]).unwrap();
    assert_eq!(c.decision, Decision::Same);
    assert!(c.workloads[0].rows.iter().all(|r| r.new[0].judgement != Judgement::Worse));
    assert_eq!(c.decision.exit().code(), 0);
}

#[test]
fn a_slower_device_is_a_regression_and_a_faster_one_an_improvement() {
    let (slow, fast) = (of(make::head(2_000, 600_000, &[])), of(make::head(2_000, 300_000, &[])));
    let worse = against(&fast, &[&slow]).unwrap();
    assert_eq!((worse.decision, worse.decision.exit().code()), (Decision::Regression, 1));
    assert_eq!(judged(&worse, "latency.total.p50"), Judgement::Worse);
    assert_eq!(judged(&worse, "latency.total.mean"), Judgement::Worse);
    assert_eq!(against(&slow, &[&fast]).unwrap().decision, Decision::Better);
}

#[test]
fn a_real_difference_within_the_tolerance_is_slight() {
    let (a, b) = (of(make::head(2_000, 300_000, &[])), of(make::head(2_000, 318_000, &[])));
    let c = against(&a, &[&b]).unwrap();
    assert_eq!(judged(&c, "latency.total.p50"), Judgement::Slight);
    assert_eq!(c.decision, Decision::Same);
}

#[test]
fn few_samples_are_not_judged() {
    let (a, b) = (of(make::head(20, 300_000, &[])), of(make::head(20, 600_000, &[])));
    assert_eq!(judged(&against(&a, &[&b]).unwrap(), "latency.total.p99"), Judgement::Unknown);
}

#[test]
fn failures_are_held_against_chance() {
    let base = of(make::head(1_000, 300_000, &[(Failure::ReadReset, 2)]));
    let by_chance = of(make::head(1_000, 300_000, &[(Failure::ReadReset, 4)]));
    let many = of(make::head(1_000, 300_000, &[(Failure::ReadReset, 30)]));
    assert_eq!(against(&base, &[&by_chance]).unwrap().decision, Decision::Same);
    let c = against(&base, &[&many]).unwrap();
    assert_eq!(judged(&c, "failures.read_reset"), Judgement::Worse);
    assert_eq!(c.decision, Decision::Regression);
}

#[test]
fn the_hosts_own_failures_are_no_regression() {
    let base = of(make::head(1_000, 300_000, &[]));
    let host = of(make::head(1_000, 300_000, &[(Failure::HostOutOfPorts, 300)]));
    assert_eq!(against(&base, &[&host]).unwrap().decision, Decision::Same);
}

#[test]
fn anomalies_are_judged_only_where_both_sides_looked() {
    let mut base = make::clean();
    base.workloads = make::broken().workloads;
    let c = against(&base, &[&make::broken()]).unwrap();
    assert_eq!(judged(&c, "anomalies.abortive_close"), Judgement::Worse);
    base.capture = Capture::denied("no right");
    let c = against(&base, &[&make::broken()]).unwrap();
    assert_eq!(judged(&c, "anomalies.abortive_close"), Judgement::Unknown);
}

#[test]
fn an_error_found_only_in_the_new_report_is_a_regression() {
    let base = make::clean();
    let mut new = base.clone();
    new.findings.push(finding(FindingId::HeapLeak, Severity::Error));
    let c = against(&base, &[&new]).unwrap();
    assert_eq!(
        (c.decision, &c.new[0].findings_gained[..]),
        (Decision::Regression, &[FindingId::HeapLeak][..])
    );
    assert_eq!(against(&new, &[&base]).unwrap().decision, Decision::Better);
}

#[test]
fn latencies_of_a_limited_host_are_not_judged() {
    let base = of(make::head(2_000, 300_000, &[]));
    let mut slow = of(make::head(2_000, 600_000, &[]));
    slow.findings.push(finding(FindingId::HostLimited, Severity::Warning));
    let c = against(&base, &[&slow]).unwrap();
    assert_eq!(judged(&c, "latency.total.p50"), Judgement::Unknown);
    assert_eq!(c.decision, Decision::Same);
}

#[test]
fn the_worst_column_decides() {
    let (base, slow) = (of(make::head(2_000, 300_000, &[])), of(make::head(2_000, 600_000, &[])));
    let c = against(&base, &[&base, &slow]).unwrap();
    let decisions: Vec<_> = c.new.iter().map(|n| n.decision).collect();
    assert_eq!(decisions, [Decision::Same, Decision::Regression]);
    assert_eq!(c.decision, Decision::Regression);
}

#[test]
fn other_work_is_refused_with_all_that_differs() {
    let base = of(make::head(100, 300_000, &[]));
    let mut other = base.clone();
    other.target.kind = espstress::report::TargetKind::Twin;
    other.workloads[0].params = json!({ "connections": 16, "count": 9, "close": "fin", "rate_per_s": 10 });
    let e = against(&base, &[&other]).unwrap_err().to_string();
    for word in [
        "base.json",
        "new.json",
        "target kind sim and twin",
        "connections 4 and 16",
        "rate_per_s none and 10",
    ] {
        assert!(e.contains(word), "{word}: {e}");
    }
    assert!(!e.contains("count 2000"), "how many may differ: {e}");
    let e = against(&base, &[&make::clean()]).unwrap_err().to_string();
    assert!(e.contains("workload rw only in new.json"), "{e}");
}

#[test]
fn the_page_shows_decision_cause_and_figures() {
    let base = of(make::head(2_000, 300_000, &[]));
    let mut slow = of(make::head(2_000, 600_000, &[(Failure::ConnectTimeout, 40)]));
    slow.target.options.insert("CONFIG_LWIP_TCP_MSL".into(), "6000".into());
    slow.findings.push(finding(FindingId::TimewaitPortReuse, Severity::Error));
    let c = against(&base, &[&slow, &base]).unwrap();
    insta::assert_snapshot!(page(&c, &Style::default()));
    let all = page(&c, &Style { detail: Detail::Evidence, ..Style::default() });
    assert!(all.lines().count() > 15, "{all}");
    let json: serde_json::Value = serde_json::from_str(&c.to_json()).unwrap();
    assert_eq!(json["decision"], "regression");
}
