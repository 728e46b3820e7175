//! What goes to which stream and file.

use super::{well, without_net_admin};
use crate::common::{answer_all, espstress, espstress_with, failure, server, valid_report};
use espstress_report::Verdict;

/// A process that may not attach filters: root's children without CAP_NET_ADMIN, as an ordinary user's are.
#[cfg(target_os = "linux")]
#[test]
fn a_refused_filter_is_told_once() {
    let arguments = "outage sim --by filter --cycles 1 --outage 300ms --every 500ms --heartbeat 100ms -c 2 \
                     --no-capture --no-gate";
    let Some(output) = without_net_admin(arguments) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    let notes: Vec<&str> = said.lines().filter(|line| line.starts_with("note: no outage")).collect();
    // Some kernels let anybody attach one: then there is nothing to tell.
    assert!(notes.len() <= 1, "{said}");
    assert!(notes.is_empty() || notes[0].contains("CAP_NET_ADMIN"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn every_attempt_is_made_once_where_open_files_run_out_and_the_host_answers_for_those_that_fail() {
    let target = server(answer_all);
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_espstress"), "head"])
        .args([&target.to_string(), "-n", "400", "-c", "64", "--no-probes", "--no-capture", "--json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = valid_report(&output.stdout);
    let head = &report.workloads[0];
    assert_eq!(head.attempts, 400);
    assert_eq!(head.attempts - head.succeeded, head.failures.of_host(), "{:?}", head.failures);
    assert!(said.contains("may need 168 open files, and this process may open 40"), "{said}");
    let sim = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" head sim -c 64 -n 400", env!("CARGO_BIN_EXE_espstress")])
        .output()
        .unwrap();
    assert_eq!(sim.status.code(), Some(3), "a sim without descriptors would look like a device that is deaf");
}

#[test]
fn a_trace_is_written_to_its_file_and_a_mistake_in_its_filter_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.log");
    let run = |filter: &str| {
        let mut command = espstress();
        command.args("head sim -n 1 --no-capture --no-probes --trace".split(' ')).arg(&file);
        command.env("RUST_LOG", filter).output().unwrap()
    };
    assert_eq!(run("espstress_engine=debug").status.code(), Some(0));
    let trace = std::fs::read_to_string(&file).unwrap();
    assert!(trace.contains("a phase begins phase=\"head\""), "{trace}");
    let (said, status) = crate::common::failure(&run("espstress=loud"));
    assert!(status == 2 && said.contains("RUST_LOG=espstress=loud"), "{said}");
}

#[test]
fn a_soak_leaves_out_the_outages_of_a_device_without_the_framed_service() {
    let target = server(answer_all);
    let report = well(&format!("run soak -t {target} --duration 2s --no-capture"));
    let ran: Vec<&str> = report.workloads.iter().map(|w| w.name.as_str()).collect();
    assert_eq!((ran, report.verdict), (vec!["paced", "rw"], Verdict::Pass));
    assert!(report.remarks.iter().any(|remark| remark.contains("left out")), "{:?}", report.remarks);
}

#[test]
fn json_is_alone_on_standard_output_and_quiet_is_silent_elsewhere() {
    let output = espstress_with("head sim -n 20 --json -q --no-capture");
    let report = valid_report(&output.stdout);
    assert_eq!(report.workloads[0].attempts, 20);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!errors.contains('\r') && !errors.contains("20/20"), "{errors}");
}

#[track_caller]
fn says(arguments: &str, parts: &[&str]) {
    let output = espstress_with(arguments);
    assert!(output.status.success(), "{arguments}: {:?}", failure(&output));
    let text = String::from_utf8_lossy(&output.stdout);
    for part in parts {
        assert!(text.contains(part), "{arguments}: no {part:?} in: {text}");
    }
}

#[test]
fn the_catalogues_explain_themselves() {
    says("scenarios", &["quick", "timewait"]);
    let names: Vec<&str> = espstress_event::AnomalyId::ALL.iter().map(|id| id.name()).collect();
    says("anomalies", &names);
    says(
        "findings nagle_delay",
        &["TCP_NODELAY", "esp_http_server: httpd_config_t: open_fn", "MicroPython: "],
    );
    says("thresholds", &["latency", "failures", "anomalies", "findings"]);
}

#[test]
fn the_schema_and_the_completions_are_printed() {
    let schema = espstress_with("schema");
    serde_json::from_slice::<serde_json::Value>(&schema.stdout).unwrap();
    says("completions bash", &["espstress", "complete", "--threshold"]);
}
