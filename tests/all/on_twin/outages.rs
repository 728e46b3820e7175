//! Outages: when they were and how long, by the means that makes them, against what the link itself tells; and what
//! is said of scripts that fail.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use espstress_device::Service;
use espstress_event::{AnomalyClass, AnomalyId, LinkOutageCause, OutageOrigin};
use espstress_observe::file::Reader;
use espstress_report::{OutageRow, OutageSummary, Reading, Report, Verdict};
use espstress_targets::sim::{Sim, SimConfig};
use espstress_wire::{Link, decode};

use super::{charged, on_twin};
use crate::common::apart::in_this_program;
use crate::common::{espstress, skipped, valid_report};

/// The heartbeats' distance, and so how far a time may be off.
const HEARTBEAT_S: f64 = 0.2;

/// What every run here has in common.
const USUAL: &str = "--cycles 3 --outage 1s --every 3s --heartbeat 200ms --peer-timeout 3s -c 2";

/// A run with outages whose times are right. On a machine that is busy with something else a time may be off by more
/// than a heartbeat: of three runs one has to be right.
fn right_times(arguments: &str, check: impl Fn(&Report) -> Result<(), String>) {
    let mut wrong = Vec::new();
    for _ in 0..3 {
        let Some(report) = on_twin(arguments) else { return };
        balanced(&report);
        match check(&report) {
            Ok(()) => return,
            Err(what) => wrong.push(what),
        }
    }
    panic!("{arguments}: {wrong:#?}");
}

fn rows(report: &Report) -> &[OutageRow] {
    report.workloads[0].outages.as_deref().unwrap()
}

fn summary(report: &Report) -> &OutageSummary {
    report.workloads[0].outage_summary.as_ref().unwrap()
}

fn near(one: Option<f64>, other: Option<f64>, apart: f64, what: &str) -> Result<(), String> {
    match (one, other) {
        (Some(one), Some(other)) if (one - other).abs() <= apart => Ok(()),
        _ => Err(format!("{what}: {one:?} and {other:?}")),
    }
}

/// Every message is in one place, in sum and in each outage.
#[track_caller]
fn balanced(report: &Report) {
    let sum = summary(report);
    assert!(sum.messages_balance && sum.contradictions == 0, "{sum:?}");
    for row in rows(report) {
        assert!(row.to_device.balances() && row.to_host.balances(), "{row:?}");
    }
}

/// Start and length as seen and as made, outage by outage, against what the link tells of itself.
fn as_the_link_tells(report: &Report) -> Result<(), String> {
    let link = report.link_outages.as_ref().unwrap();
    let asked: Vec<_> = link.rows.iter().filter(|row| row.cause == LinkOutageCause::Asked).collect();
    assert_eq!((asked.len(), rows(report).len(), summary(report).made_seen), (3, 3, Some(3)), "{link:?}");
    for (row, truth) in rows(report).iter().zip(asked) {
        assert_eq!(row.origin, OutageOrigin::Made);
        near(row.seen_start_s, Some(truth.start_s), HEARTBEAT_S, "the start as seen")?;
        near(row.seen_length_s, truth.length_s, HEARTBEAT_S, "the length as seen")?;
        near(row.made_start_s, Some(truth.start_s), 0.05, "the start as made")?;
        near(row.made_length_s, truth.length_s, 0.05, "the length as made")?;
    }
    Ok(())
}

#[cfg(feature = "long")]
#[test]
fn outages_of_the_link_are_seen_when_they_were() {
    right_times(&format!("outage twin --by link {USUAL}"), as_the_link_tells);
}

#[cfg(feature = "long")]
#[test]
fn outages_that_the_device_makes_itself_are_seen_when_they_were() {
    right_times(&format!("outage twin --by device {USUAL}"), as_the_link_tells);
}

/// A silence of the host towards a port, seconds since the start of the run.
#[derive(Debug)]
struct Silence {
    start_s: f64,
    length_s: f64,
    /// The last payload of the device before it.
    heard_s: f64,
}

/// The host's silences towards a port as the packets show them: those longer than half of an outage. What its stack
/// repeats meanwhile, hearing no acknowledgement, says nothing new.
fn silences(file: &std::path::Path, port: u16, report: &Report) -> Vec<Silence> {
    let start = humantime::parse_rfc3339(&report.started_at).unwrap();
    let start_ns = start.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as i64;
    let seconds = |ns: i64| (ns - start_ns) as f64 / 1e9;
    let mut reader = Reader::open(file).unwrap();
    let (mut last, mut heard, mut heard_before) = (None::<i64>, 0, 0);
    let (mut found, mut said) = (Vec::new(), BTreeSet::new());
    while let Some(record) = reader.next_record() {
        let Ok(segment) = decode(Link::Ethernet, record.bytes, record.original_len as usize) else {
            continue;
        };
        if segment.source_port == port && segment.payload > 0 {
            heard = record.at_ns;
        }
        if segment.destination_port != port || !said.insert((segment.source_port, segment.end(), segment.ack))
        {
            continue;
        }
        if let Some(from) = last.filter(|from| record.at_ns - from > 500_000_000) {
            let length_s = (record.at_ns - from) as f64 / 1e9;
            found.push(Silence { start_s: seconds(from), length_s, heard_s: seconds(heard_before) });
        }
        (last, heard_before) = (Some(record.at_ns), heard);
    }
    found
}

#[cfg(feature = "long")]
#[test]
fn outages_by_filter_are_the_silences_that_the_packets_show() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.pcapng");
    let arguments = format!("outage twin --by filter {USUAL} --pcap {} --no-probes", file.display());
    right_times(&arguments, |report| {
        if let Some(reason) = &summary(report).unavailable {
            skipped("twin", reason);
            return Ok(());
        }
        assert_eq!((summary(report).made, rows(report).len()), (3, 3));
        assert!(report.link_outages.as_ref().unwrap().rows.is_empty(), "the link itself stays");
        let silences = silences(&file, Service::Framed.port(), report);
        if silences.len() != 3 {
            return Err(format!("{silences:?}"));
        }
        for (row, silence) in rows(report).iter().zip(silences) {
            near(row.seen_start_s, Some(silence.heard_s), HEARTBEAT_S, "the start as seen")?;
            near(row.made_start_s, Some(silence.start_s), HEARTBEAT_S, "the start as made")?;
            near(row.made_length_s, Some(silence.length_s), HEARTBEAT_S * 2.0, "the length as made")?;
        }
        Ok(())
    });
}

#[cfg(feature = "long")]
#[test]
fn outages_by_the_links_own_plan_are_natural_and_seen_when_they_were() {
    let arguments = "outage twin --by none --link outage=1500ms@3s,outage=1500ms@9s -d 14s --heartbeat 200ms \
                     --peer-timeout 800ms --stable 0s -c 2";
    right_times(arguments, |report| {
        let link = report.link_outages.as_ref().unwrap();
        assert!(link.rows.iter().all(|row| row.cause == LinkOutageCause::Planned), "{link:?}");
        if (link.count, summary(report).natural, summary(report).made) != (2, 2, 0) {
            return Err(format!("{link:?}, {:?}", summary(report)));
        }
        for (row, truth) in rows(report).iter().zip(&link.rows) {
            assert_eq!(row.origin, OutageOrigin::Natural);
            near(row.seen_start_s, Some(truth.start_s), HEARTBEAT_S, "the start as seen")?;
            near(row.seen_length_s, truth.length_s, HEARTBEAT_S, "the length as seen")?;
        }
        Ok(())
    });
}

#[test]
fn syns_into_an_outage_are_not_charged_to_the_device() {
    let link = "--link outage=4s@2s";
    let run = "head twin -c 2 --rate 4/s -d 8s --timeout-connect 2s";
    let Some(report) = on_twin(&format!("{run} {link}")) else { return };
    assert!(report.workloads[0].failures.of_device() > 0, "SYNs were lost");
    assert_eq!(charged(&report, AnomalyId::SynUnanswered), 0, "{:?}", report.anomalies);
    let of_path = report
        .anomalies
        .iter()
        .filter(|row| row.id == AnomalyId::SynUnanswered && row.class == AnomalyClass::Path)
        .map(|row| row.connections);
    let rest = (&report.not_judged, &report.capture);
    assert!(of_path.sum::<u64>() > 0, "they are the path's: {:?}, {rest:?}", report.anomalies);
}

#[test]
fn the_twin_tells_its_connections_by_state() {
    let Some(report) = on_twin("head twin --close wait --rate 10/s -c 2 -d 4s") else { return };
    let telemetry = report.telemetry.unwrap();
    let most = |reading| telemetry.summary.get(&reading).map(|summary| summary.max);
    assert!(most(Reading::TcpTimeWait) >= Some(5.0), "the device closes first: {:?}", telemetry.summary);
    assert!(most(Reading::TcpEstablished).is_some() && most(Reading::TcpFinWait).is_some());
}

/// A run whose script fails: its report, its page and its status under the usual gate.
fn with_scripts(off: &str, on: &str) -> Option<(Report, String, Option<i32>)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.json");
    let mut command = espstress();
    command.args(
        "outage twin --by command --cycles 2 --outage 200ms --every 500ms --heartbeat 100ms".split(' '),
    );
    command.args(["--script-limit", "1s", "--watch", "0s", "-q", "--off", off, "--on", on, "-o"]).arg(&file);
    let output = command.output().unwrap();
    if no_twin(&output) {
        return None;
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{error}: {said}"));
    let page = espstress().arg("report").arg(&file).output().unwrap();
    assert!(page.status.success(), "{page:?}");
    let page = String::from_utf8(page.stdout).unwrap();
    let verdict = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(verdict.lines().count(), 1, "one line with -q: {verdict}");
    Some((valid_report(&text), format!("{page}\n{verdict}"), output.status.code()))
}

fn no_twin(output: &Output) -> bool {
    let said = String::from_utf8_lossy(&output.stderr);
    let refused = output.status.code() == Some(3) && (said.contains("namespace") || said.contains("tun"));
    if refused {
        skipped("twin", &said);
    }
    refused
}

/// What was measured stands, no outage was made, and the failure is told on the page and in the verdict.
#[track_caller]
fn told(run: &(Report, String, Option<i32>), words: &str) {
    let (report, page, status) = run;
    let sum = summary(report);
    assert_eq!((sum.made, sum.make_failures), (0, 2), "{sum:?}");
    assert!(page.contains("not made"), "{page}");
    let flat = page.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(words), "{page}");
    let verdict = page.lines().last().unwrap();
    assert!(verdict.starts_with("inconclusive: ") && verdict.contains(words), "{verdict}");
    assert_eq!((report.verdict, *status), (Verdict::Inconclusive, Some(4)));
    let workload = &report.workloads[0];
    assert!(workload.succeeded > 0 && workload.succeeded == workload.attempts, "{:?}", workload.failures);
    balanced(report);
}

#[test]
fn a_script_that_fails_is_told_and_the_runs_figures_stand() {
    let Some(run) = with_scripts("echo no such interface >&2; exit 3", "true") else { return };
    told(&run, "command --off ended with exit status 3: no such interface");
    let failure = &summary(&run.0).make_failure_examples[0];
    assert_eq!((failure.what.as_str(), failure.exit_status), ("command --off", Some(3)));
}

#[test]
fn a_program_that_does_not_exist_is_told_and_the_runs_figures_stand() {
    let Some(run) = with_scripts("no-such-program-here", "true") else { return };
    told(&run, "command --off ended with exit status 127");
}

#[test]
fn a_script_that_never_ends_is_ended_and_told_and_the_runs_figures_stand() {
    let Some(run) = with_scripts("sleep 1000", "true") else { return };
    told(&run, "--off: not ended within 1s");
    assert_eq!(summary(&run.0).make_failure_examples[0].exit_status, None);
}

#[test]
fn a_script_that_does_not_bring_the_device_back_is_told() {
    let Some(run) = with_scripts("true", "exit 5") else { return };
    told(&run, "command --on ended with exit status 5");
}

const INSIDE: &str = "ESPSTRESS_TEST_INSIDE";

/// The device's address in the second network, and the host's.
const DEVICE: &str = "10.77.0.2";
const HOST: &str = "10.77.0.1";

/// This test program again, one test of it alone, in a network of its own.
fn again(test: &str, options: &[&str], role: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(options).arg("--").arg(std::env::current_exe().unwrap());
    command.args(["--exact", in_this_program(test), "--nocapture"]).env(INSIDE, role);
    command
}

const SECOND: &str =
    concat!(module_path!(), "::an_interface_of_a_second_network_is_switched_off_and_on_by_the_users_scripts");

#[cfg(feature = "long")]
#[test]
fn an_interface_of_a_second_network_is_switched_off_and_on_by_the_users_scripts() {
    match std::env::var(INSIDE).as_deref() {
        Ok("device") => return device_in_the_second_network(),
        Ok(_) => return host_in_the_first_network(),
        Err(_) => {}
    }
    let own = ["--user", "--map-root-user", "--net"];
    let works = Command::new("unshare")
        .args(own)
        .args(["sh", "-c", "ip link add va type veth peer name vb"])
        .output();
    let reason = match works {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("unshare: {error}")),
    };
    if let Some(reason) = reason {
        return skipped("twin", &reason);
    }
    let output = again(SECOND, &own, "host").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Serves until standard input ends; says its port once it has its address.
fn device_in_the_second_network() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let address: IpAddr = DEVICE.parse().unwrap();
    let sim = Sim::start(SimConfig { address, ..SimConfig::default() }).unwrap();
    println!("framed {}", sim.address(Service::Framed).port());
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read_line(&mut line);
}

/// Ends with the test, also where that panics.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn shell(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn host_in_the_first_network() {
    let mut device = again(SECOND, &["--net"], "device");
    let mut device = Ended(device.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let pid = device.0.id();
    // The process has its own network as soon as it is the test program and no longer `unshare`.
    let network = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/net")).ok();
    let deadline = Instant::now() + Duration::from_secs(20);
    while network(&pid.to_string()) == network("self") {
        assert!(Instant::now() < deadline, "the second network does not come about");
        std::thread::sleep(Duration::from_millis(10));
    }
    let inside = format!("nsenter -t {pid} -n");
    shell(&format!(
        "ip link set lo up; ip link add va type veth peer name vb; ip link set vb netns {pid}
         ip addr add {HOST}/24 dev va; ip link set va up; {inside} ip link set lo up
         {inside} ip addr add {DEVICE}/24 dev vb; {inside} ip link set vb up"
    ));
    device.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let said = BufReader::new(device.0.stdout.take().unwrap());
    let port = said
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.split_once("framed ").map(|(_, port)| port.trim().to_owned()))
        .expect("the device says its port");
    let folder = tempfile::tempdir().unwrap();
    let times = |name: &str| folder.path().join(name).display().to_string();
    let stamp = |name: &str| format!("date +%s.%N >> {}", times(name));
    let mut command = espstress();
    command.args(["outage", &format!("{DEVICE}:{port}"), "--by", "command", "--json", "-q", "--no-gate"]);
    command.args(
        "--cycles 2 --outage 1s --every 4s --heartbeat 200ms --peer-timeout 10s -c 2 --watch 1s".split(' '),
    );
    command.args(["--off", &format!("{inside} ip link set vb down; {}", stamp("down"))]);
    command.args(["--on", &format!("{}; {inside} ip link set vb up", stamp("up"))]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report = valid_report(&output.stdout);
    let start = humantime::parse_rfc3339(&report.started_at).unwrap();
    let start_s = start.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let stamps = |name: &str| -> Vec<f64> {
        let text = std::fs::read_to_string(times(name)).unwrap();
        text.lines().map(|line| line.parse::<f64>().unwrap() - start_s).collect()
    };
    let (down, up) = (stamps("down"), stamps("up"));
    let sum = summary(&report);
    assert_eq!((sum.made, sum.made_seen, sum.make_failures, sum.unrecovered), (2, Some(2), 0, 0), "{sum:?}");
    assert_eq!((sum.connections.lived, sum.connections.died), (4, 0), "{sum:?}");
    assert_eq!((sum.to_device.lost, sum.to_host.lost), (0, 0), "TCP brings all of it later: {sum:?}");
    balanced(&report);
    for (row, (down, up)) in rows(&report).iter().zip(down.into_iter().zip(up)) {
        let (seen, length) = (row.seen_start_s.unwrap(), row.seen_length_s.unwrap());
        // The last thing that was heard comes before the interface is down, by a heartbeat and what the shell takes;
        // nothing is heard until it is up again, and then when TCP next tries.
        assert!(seen <= down + 0.02, "{row:?}, down at {down} s");
        assert!(down - seen <= HEARTBEAT_S * 2.0, "{row:?}, down at {down} s");
        assert!(seen + length >= up - 0.02, "{row:?}, up at {up} s");
        assert!(row.made_start_s.unwrap() >= down - 0.02, "{row:?}, down at {down} s");
        assert!(row.made_start_s.unwrap() + row.made_length_s.unwrap() >= up - 0.02, "{row:?}, up at {up} s");
    }
}
