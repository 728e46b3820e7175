//! The program as a person or a script meets it: endings, statuses, messages and what goes to which stream.

#[cfg(target_os = "linux")]
mod discover;

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crate::common::{answer_all, espstress, espstress_with, failure, request, server, skipped, valid_report};
use espstress_report::{Report, ThresholdStatus, Verdict};

/// A server that answers everything, and hears of each connection.
fn heard_server() -> (SocketAddr, Receiver<()>) {
    let (heard, hears) = channel();
    let address = server(move |stream| {
        let _ = heard.send(());
        answer_all(stream);
    });
    (address, hears)
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Runs the program as an ordinary user's child: without CAP_NET_ADMIN. `None`, and a line that says why, where this
/// machine has no way to do that.
#[cfg(target_os = "linux")]
fn without_net_admin(arguments: &str) -> Option<std::process::Output> {
    let output = Command::new("setpriv")
        .args(["--inh-caps", "-net_admin", "--bounding-set", "-net_admin"])
        .arg(env!("CARGO_BIN_EXE_espstress"))
        .args(arguments.split_whitespace())
        .output();
    match output {
        Ok(output) if !String::from_utf8_lossy(&output.stderr).starts_with("setpriv:") => Some(output),
        Ok(output) => {
            skipped("setpriv", &String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            skipped("setpriv", &error.to_string());
            None
        }
    }
}

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
fn listening_needs_no_device_and_says_where_it_listens() {
    let output = espstress().args(["outage", "--listen", "0", "-d", "1s"]).output().unwrap();
    let (said, page) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(4), "{said}{page}");
    assert!(said.contains("waiting for devices to dial ") && said.contains("127.0.0.1:"), "{said}");
    assert!(page.starts_with("INCONCLUSIVE") && page.contains("no device dialled in to port "), "{page}");
    refused("outage", 2, &["TARGET"]);
    refused("run quick -t dials-in", 2, &["outage", "--listen"]);
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

/// A run of `arguments` that is sent SIGTERM so long after its start; its status and its report.
fn terminated(arguments: &str, after: Duration) -> (Option<i32>, Report) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut child = espstress()
        .args(arguments.split_whitespace())
        .args(["--no-capture", "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The run has begun, and hears signals, once it says what it is.
    let said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(said).map_while(Result::ok);
    assert!(lines.any(|line| line.contains(", seed ")), "{arguments}: a first line");
    std::thread::sleep(after);
    signal(&child, "TERM");
    lines.for_each(drop);
    let status = child.wait().unwrap();
    (status.code(), valid_report(&std::fs::read(file).unwrap()))
}

#[test]
fn an_attempt_that_a_signal_cuts_off_is_told_as_such() {
    let target = crate::common::scripted::scripted(|mut peer| {
        while peer.request().is_some() {
            let mut goes_on = peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            while goes_on {
                std::thread::sleep(Duration::from_millis(50));
                goes_on = peer.send("data: 1\n\n");
            }
        }
    });
    let arguments = format!("rw {target} --protocol http -n 3 --timeout-read 30s");
    let (status, report) = terminated(&arguments, Duration::from_millis(300));
    assert_eq!((status, report.verdict), (Some(130), Verdict::Inconclusive));
    let reason = "rw finished no attempt: one was under way when it ended, so nothing was tested";
    assert!(report.verdict_reasons.join("; ").contains(reason), "{:?}", report.verdict_reasons);
}

#[test]
fn what_is_ended_before_it_has_seen_what_it_judges_does_not_pass() {
    let each = |arguments: &str, reason: &str| {
        let (status, report) = terminated(arguments, Duration::from_secs(3));
        assert_eq!((status, report.verdict), (Some(130), Verdict::Inconclusive), "{arguments}");
        let reasons = report.verdict_reasons.join("; ");
        assert!(reasons.contains(reason), "{arguments}: {reasons}");
    };
    let cases = [
        ("doctor sim", "ended before its last step"),
        ("doctor sim --threshold requests.failed==0", "ended before its last step"),
        ("half-open sim --baseline 20s", "the run was ended before half-open"),
        ("outage sim --every 20s", "it ended before its first outage"),
    ];
    std::thread::scope(|scope| {
        for (arguments, reason) in cases {
            scope.spawn(move || each(arguments, reason));
        }
    });
}

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

/// Interrupts a run in its middle; its status and its report.
fn ended_by(name: &str) -> (Option<i32>, Report) {
    let (target, hears) = heard_server();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let mut child = espstress()
        .args(["head", &target.to_string(), "-d", "10m", "-q", "--no-probes", "--no-capture", "-o"])
        .arg(&file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..20 {
        hears.recv().unwrap();
    }
    signal(&child, name);
    let status = child.wait().unwrap();
    (status.code(), valid_report(&std::fs::read(file).unwrap()))
}

#[test]
fn an_interrupt_ends_the_run_with_its_report() {
    let (status, report) = ended_by("INT");
    assert_eq!((status, report.interrupted), (Some(130), true));
    assert!(report.workloads[0].succeeded >= 19, "{}", report.workloads[0].succeeded);
}

#[test]
fn a_termination_and_a_terminal_that_is_closed_are_told_as_an_interrupt_is() {
    for signal in ["TERM", "HUP"] {
        let (status, report) = ended_by(signal);
        assert_eq!((status, report.interrupted), (Some(130), true), "{signal}");
    }
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
fn a_second_interrupt_does_not_wait_for_the_device() {
    let (heard, hears) = channel();
    let target = server(move |mut stream| {
        let _ = heard.send(());
        request(&mut stream);
        std::thread::sleep(Duration::from_secs(300));
    });
    let mut child = espstress()
        .args(["head", &target.to_string(), "-n", "1", "-q", "--no-probes", "--no-capture"])
        .args(["--timeout-read", "5m"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    hears.recv().unwrap();
    let started = std::time::Instant::now();
    // Two that come together may be taken as one, so it is asked until it goes.
    let status = loop {
        signal(&child, "INT");
        std::thread::sleep(Duration::from_millis(100));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it goes on after many interrupts");
    };
    assert!(!status.success());
}

/// Whoever started the program may have stopped reading what it says.
#[test]
fn a_reader_of_standard_error_that_has_gone_changes_no_status() {
    for (arguments, status) in [
        ("mqtt --listen 0 --wait 300ms", 3),
        ("run no-such-scenario -t sim", 2),
        ("head sim -n 2 --no-capture --watch 0s", 0),
    ] {
        let mut child = espstress()
            .args(arguments.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(status), "{arguments}");
    }
}

#[track_caller]
fn refused(arguments: &str, status: i32, says: &[&str]) {
    let output = espstress_with(arguments);
    let (message, code) = failure(&output);
    assert_eq!(code, status, "{arguments}: {message}");
    for part in says {
        assert!(message.contains(part), "{arguments}: {part:?} is not in: {message}");
    }
}

#[test]
fn a_wrong_scenario_key_is_told_with_its_line_and_the_allowed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    std::fs::write(&file, "name = 'mine'\n\n[[phase]]\nname = 'a'\nkind = 'head'\nconections = 4\n").unwrap();
    refused(
        &format!("run {} -t sim", file.display()),
        2,
        &["mine.toml:6", "conections", "connections", "timeout_connect"],
    );
}

#[test]
fn an_unknown_scenario_names_the_built_in_ones() {
    refused("run no-such-scenario -t sim", 2, &["quick", "timewait"]);
}

#[test]
fn an_unknown_persona_is_told_with_the_allowed_ones() {
    refused(
        "head sim -n 1 --persona nobody",
        2,
        &["`nobody`", "no such persona", "robust", "unread-close", "half-closer"],
    );
}

#[test]
fn a_wrong_name_in_a_scenario_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    let run = format!("run {} ", file.display());
    let phase = "[[phase]]\nname = 'a'\nkind = 'head'\ncount = 1\n";
    for (text, says) in [
        (format!("# mine\ntarget = 'sim'\npersona = 'nobody'\n{phase}"), ["mine.toml:3:", "`nobody`"]),
        (format!("target = 'twin'\nlink = 'rope'\n{phase}"), ["mine.toml:2:", "`rope`"]),
        (format!("\n\ntarget = 'ftp://x'\n{phase}"), ["mine.toml:3:", "`ftp://x`"]),
        ("target = 'sim'\n[[phase]]\nname = 'a'\n\nkind = 'haed'\n".to_owned(), ["mine.toml:5:", "`haed`"]),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&run, 2, &says);
    }
    // What is typed stands in no line of the file.
    std::fs::write(&file, format!("target = 'sim'\npersona = 'robust'\n{phase}")).unwrap();
    let (message, _) = failure(&espstress_with(&format!("{run} --persona nobody")));
    assert!(message.contains("`nobody`") && !message.contains("mine.toml:"), "{message}");
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
fn a_name_that_does_not_resolve_is_the_environments() {
    refused("head no-such-device.invalid -n 1", 3, &["no-such-device.invalid"]);
}

#[test]
fn a_refused_port_is_the_targets() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = espstress_with(&format!("head {free} -n 2 -q --no-probes"));
    let (message, status) = failure(&output);
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(status, 3, "{message}{page}");
    assert!(format!("{message}{page}").contains("refuses"), "{message}{page}");
}

#[test]
fn an_output_file_that_cannot_be_written_is_found_before_the_first_connection() {
    let (target, hears) = heard_server();
    refused(&format!("head {target} -n 1 -o /no-such-folder/report.json"), 2, &["/no-such-folder"]);
    assert!(hears.try_recv().is_err(), "there was a connection");
}

#[test]
fn a_public_address_is_refused() {
    // From a loopback source nothing could leave the machine, should the check ever fail.
    let nowhere = "-n 1 --source 127.0.0.1 --no-probes --no-capture";
    refused(&format!("head 8.8.8.8 {nowhere}"), 2, &["--allow-public"]);
    refused(&format!("head http://8.8.4.4:8080/ {nowhere}"), 2, &["--allow-public"]);
}

#[test]
fn a_local_name_is_resolved() {
    let (target, hears) = heard_server();
    let output = espstress_with(&format!("head localhost:{} -n 3 -q --no-probes --no-gate", target.port()));
    // `localhost` may be ::1 first, where this server is not.
    if output.status.success() {
        hears.recv().unwrap();
    } else {
        assert_eq!(output.status.code(), Some(3), "{:?}", failure(&output));
    }
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

/// A run that has to end well, through `--json`.
#[track_caller]
fn well(arguments: &str) -> Report {
    let output = espstress_with(&format!("{arguments} --json -q"));
    let report = valid_report(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{arguments}: {:?} {:?}", report.findings, failure(&output));
    report
}

#[track_caller]
fn served(arguments: &str, attempts: u64) {
    let report = well(arguments);
    let workload = &report.workloads[0];
    let failures: Vec<_> = workload.failures.iter().collect();
    assert_eq!((workload.attempts, workload.succeeded), (attempts, attempts), "{arguments}: {failures:?}");
}

#[test]
fn the_quick_scenario_passes_against_the_sim() {
    let report = well("run -t sim");
    assert_eq!(report.workloads.len(), 3);
    for workload in &report.workloads {
        assert_eq!(workload.attempts, workload.succeeded, "{}", workload.name);
    }
}

#[test]
fn each_way_of_closing_is_served_by_the_sim() {
    for close in ["fin", "wait", "rst", "half"] {
        served(&format!("head sim -c 4 -n 60 --close {close}"), 60);
    }
}

#[test]
fn heads_flat_out_are_served_with_one_and_with_four_connections() {
    served("head sim -c 1 -n 200", 200);
    served("head sim -c 4 -n 200", 200);
}

#[test]
fn an_interval_of_a_fifth_of_a_second_makes_fifteen_heads_in_three() {
    let report = well("head sim --interval 200ms -d 3s");
    let workload = &report.workloads[0];
    assert!((15..=16).contains(&workload.attempts), "{}", workload.attempts);
    assert_eq!(workload.succeeded, workload.attempts);
}

#[test]
fn ten_kilobytes_come_back_unchanged_on_one_and_on_eight_connections() {
    served("rw sim -c 1 -n 300 --size 10KiB", 300);
    served("rw sim -c 8 -n 300 --size 10KiB", 300);
}

#[test]
fn each_protocol_is_served_by_the_sim() {
    for protocol in ["http", "framed", "raw", "line"] {
        served(&format!("rw sim -c 2 -n 40 --protocol {protocol}"), 40);
    }
}

/// A child that is ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn heads_are_served_by_pythons_http_server() {
    let folder = tempfile::tempdir().unwrap();
    let server = Command::new("python3")
        .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut server) = server else { return skipped("peers", "no python3") };
    let mut first = server.stdout.take().unwrap();
    let _server = Ended(server);
    let mut line = String::new();
    let mut byte = [0; 1];
    while !line.ends_with('\n') && matches!(first.read(&mut byte), Ok(1)) {
        line.push(char::from(byte[0]));
    }
    // Serving HTTP on 127.0.0.1 port 40123 (http://...) ...
    let port = line.split(" port ").nth(1).and_then(|rest| rest.split(' ').next());
    let Some(port) = port else { return skipped("peers", "python3 has no http.server") };
    served(&format!("head 127.0.0.1:{port} -n 100"), 100);
    served(&format!("head 127.0.0.1:{port} -n 100 -c 2 --close wait"), 100);
}

#[test]
fn heads_are_served_by_nginx() {
    let folder = tempfile::tempdir().unwrap();
    // Taken until the test is over: two sockets that both say SO_REUSEADDR may share a port of which one listens.
    let taken = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    taken.set_reuse_address(true).unwrap();
    taken.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = taken.local_addr().unwrap().as_socket().unwrap().port();
    let here = folder.path().display();
    let configuration = format!(
        "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ }}\n\
         http {{ access_log off; client_body_temp_path {here}/a; proxy_temp_path {here}/b;\n\
         fastcgi_temp_path {here}/c; uwsgi_temp_path {here}/d; scgi_temp_path {here}/e;\n\
         server {{ listen 127.0.0.1:{port}; location / {{ return 200 'ok'; }} }} }}\n"
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let path = format!("{}:/usr/sbin:/usr/local/sbin", std::env::var("PATH").unwrap_or_default());
    let server = Command::new("nginx").env("PATH", path).arg("-c").arg(&file).stderr(Stdio::null()).spawn();
    let Ok(server) = server else { return skipped("peers", "no nginx") };
    let _server = Ended(server);
    let up = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    assert!(up, "nginx did not come up on port {port}");
    served(&format!("head 127.0.0.1:{port} -c 4 -n 500"), 500);
    served(&format!("head 127.0.0.1:{port} -c 4 -n 500 --close wait"), 500);
    let keep_alive: Output = espstress_with(&format!("rw 127.0.0.1:{port} -c 4 -n 400 -q"));
    assert_eq!(keep_alive.status.code(), Some(0), "{:?}", failure(&keep_alive));
}
