//! `--metrics-listen`: figures of a run while it goes on, and at its end those of its report.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::{answer_all, espstress, failure, plan, request, server, valid_report};
use crate::report_readers::read_by;
use espstress_connection::PortRange;
use espstress_event::{Endpoints, EventSink, Failure};
use espstress_report::{Live, Workload};

/// A run that goes on until it is told to end, and where its figures are.
struct Running {
    child: Child,
    at: SocketAddr,
    report: tempfile::NamedTempFile,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start() -> Self {
        let report = tempfile::NamedTempFile::new().unwrap();
        let target = server(answer_all).to_string();
        let mut command = espstress();
        command.args(["head", &target, "-d", "10m", "--interval", "10ms", "--no-probes", "--no-capture"]);
        command.args(["--metrics-listen", "0", "-o"]).arg(report.path());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let at = lines.find_map(|line| {
            let line = line.unwrap();
            let address = line.strip_prefix("note: metrics are at http://")?.strip_suffix("/metrics")?;
            Some(address.parse().unwrap())
        });
        // Its words must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, at: at.unwrap(), report }
    }

    /// Everything that comes back for `bytes`.
    fn ask(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.at).unwrap();
        // A server that has refused may not read it all.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    fn scrape(&self) -> String {
        let response = self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/openmetrics-text; version=1.0.0")
        );
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        body.to_owned()
    }
}

/// The figure of a sample without a reader's help.
fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn a_run_is_scraped_while_it_goes_on_and_hostile_clients_cost_it_nothing() {
    let mut run = Running::start();
    let attempts = "espstress_attempts_total{workload=\"head\"}";
    // One that says nothing, and one that never ends.
    let silent = TcpStream::connect(run.at).unwrap();
    let mut endless = TcpStream::connect(run.at).unwrap();
    let _ = endless.write_all(&[b'A'; 100_000]);
    assert!(run.ask(b"\0\xff\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(run.ask(b"DELETE /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(run.ask(&[b'A'; 20_000]).starts_with("HTTP/1.1 400 "));
    let mut text = run.scrape();
    while sample(&text, attempts).unwrap_or(0.0) < 1.0 {
        std::thread::sleep(Duration::from_millis(20));
        text = run.scrape();
    }
    assert!(text.ends_with("# EOF\n"));
    if let Some(read) = read_by("openmetrics", "prometheus_client", &text) {
        assert_eq!(read["espstress_running{workload=head}"], 1.0);
        assert!(
            read["espstress_latency_seconds{phase=total,quantile=0.99,workload=head}"].as_f64() > Some(0.0)
        );
        assert_eq!(read["espstress_failures_total{failure=read_timeout,workload=head}"], 0.0);
    }
    let seen = sample(&text, attempts).unwrap();
    let id = run.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let status = run.child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let report = valid_report(&std::fs::read(run.report.path()).unwrap());
    assert!(report.workloads[0].attempts as f64 >= seen, "a counter that has fallen");
    drop(silent);
}

#[test]
fn at_its_end_the_figures_are_those_of_the_report() {
    // Every third request gets no response.
    let n = std::sync::atomic::AtomicU64::new(0);
    let target = server(move |mut stream| {
        let every_third = |n: u64| n.is_multiple_of(3);
        if !request(&mut stream).is_empty()
            && !every_third(n.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            let _ = stream.write_all(crate::common::OK);
        }
    });
    let plan = plan("head", "count = 90", Endpoints::only(target), PortRange::of_this_host());
    let main = plan.phases[0].workload.main_phase();
    let mut live = Live::new([("head".to_owned(), main)]);
    let outcome =
        espstress_engine::run(plan, &mut |event: &espstress_event::Event| live.event(event)).unwrap();
    let text = live.open_metrics();
    let w = Workload::from_stats("head", "head", Value::Null, &outcome.workloads[0].stats);
    let figure = |name: &str| sample(&text, name).unwrap_or_else(|| panic!("no {name}: {text}"));
    assert_eq!(figure("espstress_attempts_total{workload=\"head\"}"), w.attempts as f64);
    assert_eq!(figure("espstress_succeeded_total{workload=\"head\"}"), w.succeeded as f64);
    assert!(w.failures.get(Failure::EofBeforeResponse) >= 20);
    for failure in Failure::ALL {
        let name = format!("espstress_failures_total{{workload=\"head\",failure=\"{}\"}}", failure.name());
        assert_eq!(figure(&name), w.failures.get(failure) as f64, "{name}");
    }
    assert_eq!(figure("espstress_sent_bytes_total{workload=\"head\"}"), w.bytes.sent as f64);
    let latency = &w.latency[&main];
    for (quantile, us) in
        [("0.0", latency.min_us), ("0.5", latency.p50_us), ("0.99", latency.p99_us), ("1.0", latency.max_us)]
    {
        let labels = format!("workload=\"head\",phase=\"{}\",quantile=\"{quantile}\"", main.name());
        assert_eq!(figure(&format!("espstress_latency_seconds{{{labels}}}")), us.unwrap() / 1e6);
    }
    if let Some(read) = read_by("openmetrics", "prometheus_client", &text) {
        assert_eq!(read["espstress_running{workload=head}"], 0.0);
    }
}

#[test]
fn a_place_where_nobody_can_listen_is_refused_before_the_run() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    for (place, why) in [(at.to_string(), "in use"), ("here".to_owned(), "IP:PORT")] {
        let output =
            espstress().args(["head", "sim", "-n", "1", "--metrics-listen", &place]).output().unwrap();
        let (said, status) = failure(&output);
        assert!(status == 2 && said.contains("--metrics-listen") && said.contains(why), "{said}");
    }
}
