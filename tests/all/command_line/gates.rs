//! What a gate, a threshold or a comparison ends with.

use super::{refused, without_net_admin};
use crate::common::{espstress, espstress_with, valid_report};
use espstress_report::{ThresholdStatus, Verdict};

#[cfg(target_os = "linux")]
#[test]
fn a_gate_on_silent_peers_is_open_where_nobody_could_fall_silent() {
    let gate = "findings.half_open_not_reclaimed==0";
    let Some(output) =
        without_net_admin(&format!("half-open sim --baseline 500ms --no-capture --threshold {gate}"))
    else {
        return;
    };
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{page}");
    assert!(page.starts_with("INCONCLUSIVE") && page.contains("CAP_NET_ADMIN"), "{page}");
}

#[test]
fn a_run_that_tests_nothing_does_not_pass() {
    let run = |arguments: &str| espstress().args(arguments.split_whitespace()).output().unwrap();
    let none = run("head sim --no-capture -d 0s");
    let page = String::from_utf8_lossy(&none.stdout);
    assert_eq!(none.status.code(), Some(4), "{page}");
    assert!(page.contains("nothing was tested"), "{page}");
    let gated = run("head sim --no-capture -d 0s --json --threshold head.failed==0");
    let report = valid_report(&gated.stdout);
    assert_eq!((gated.status.code(), report.verdict), (Some(4), Verdict::Inconclusive));
    assert_eq!(report.verdict_reasons, ["head made no attempts: nothing was tested"]);
    let elsewhere = run("head sim --no-capture -n 5 --source 192.0.2.77");
    let said = String::from_utf8_lossy(&elsewhere.stderr);
    assert_eq!(elsewhere.status.code(), Some(2), "{said}");
    assert!(said.contains("not an address of this machine") && said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_quiet_run_prints_one_line_with_the_verdict_and_its_reason() {
    let output = espstress_with("head sim -n 5 -q --no-capture --no-probes");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "pass: `findings.error == 0` passes\n");
}

#[test]
fn a_comparison_that_cant_tell_ends_with_four_and_says_how_to_tell() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<String> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let file = folder.path().join(format!("{name}.json")).display().to_string();
            let run = format!("head sim -n 20 -q --no-capture --no-probes --watch 10ms -o {file}");
            assert!(espstress_with(&run).status.success());
            file
        })
        .collect();
    let (a, b, c) = (&files[0], &files[1], &files[2]);
    for arguments in [format!("{a} {b}"), format!("{a} {b} {c}"), format!("--base {a} --new {b} {c}")] {
        let output = espstress_with(&format!("compare {arguments}"));
        let page = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(4), "{arguments}: {page}");
        assert!(page.starts_with("CAN'T TELL") && page.contains("at least 5 times"), "{page}");
    }
    let output = espstress_with(&format!("compare --json --fail-on-regression 25% --base {a} --new {b}"));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (json["decision"].as_str(), json["fail_on_regression"].as_f64()),
        (Some("cant_tell"), Some(0.25))
    );
    refused(&format!("compare {a}"), 2, &["2 values"]);
    refused(&format!("compare --base {a}"), 2, &["--new"]);
    refused(&format!("compare --tolerance none {a} {b}"), 2, &["as 10%"]);
    refused(&format!("compare --base {a} {a} --new {b}"), 2, &["the same run"]);
}

#[test]
fn a_wrong_threshold_is_answered_with_the_nearest_right_one() {
    refused(
        "head sim -n 1 --threshold head.latency.totl.p99<1ms",
        2,
        &["head.latency.totl.p99", "head.latency.total.p99"],
    );
}

#[test]
fn a_broken_threshold_is_status_one() {
    let output = espstress_with("head sim -n 400 --json -q --threshold head.latency.total.p50<1us");
    let report = valid_report(&output.stdout);
    assert_eq!((output.status.code(), report.verdict), (Some(1), Verdict::Fail));
    assert_eq!(report.thresholds[0].status, ThresholdStatus::Fail);
}

#[test]
fn no_gate_means_no_verdict_to_fail() {
    let output = espstress_with("head sim -n 20 -q --no-gate");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn anomalies_cannot_be_judged_without_a_capture() {
    let output =
        espstress_with("head sim -n 20 --json -q --no-capture --threshold anomalies.abortive_close==0");
    let report = valid_report(&output.stdout);
    assert_eq!((output.status.code(), report.verdict), (Some(4), Verdict::Inconclusive));
}
