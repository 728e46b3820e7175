//! Whole runs of the command: what it refuses, and what its report says of a program.

use std::path::Path;
use std::process::{Command, Output};

use espstress_diagnose::FindingId;
use espstress_event::{AnomalyClass, AnomalyId};
use espstress_report::{CaptureStatus, Report, Verdict};
use libtest_mimic::Failed;

use crate::runner::skip;

/// A run's case: it gets the folder of the programs.
pub(crate) type Case = (&'static str, fn(&Path) -> Result<(), Failed>);

pub(crate) const ALL: &[Case] = &[
    ("what_a_program_has_not_is_refused_with_the_reason", refused),
    ("a_close_with_unread_bytes_is_charged_to_the_device_each_time", unread_close),
    ("a_crash_is_in_the_report_with_its_last_words", crash),
    ("a_scenario_names_its_program", scenario),
    ("a_program_that_dials_in_needs_no_port_of_its_own", dials_in),
    ("the_twin_command_keeps_a_program_up", kept_up),
    ("datagrams_come_back_from_a_program_as_far_as_one_packet_holds_them", datagrams),
    ("a_program_that_joins_a_multicast_group_gets_its_datagrams_and_no_other_groups", multicast),
    ("a_supervisor_inside_of_another_says_why_it_cannot_be", nested),
    ("the_example_fails_by_its_fault", example_fails),
    ("the_example_repaired_passes", example_passes),
];

pub(crate) fn espstress(folder: &Path, words: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_espstress"));
    command.args(words).current_dir(folder).env("NO_COLOR", "1").output()
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// A run's report; none, and said, where no twin can be had.
pub(crate) fn report(folder: &Path, words: &[&str]) -> Result<Option<Report>, Failed> {
    let output = espstress(folder, &[words, &["--json", "-q"]].concat())?;
    let text = said(&output);
    if output.status.code() == Some(3) && (text.contains("namespace") || text.contains("tun")) {
        skip("twin", &text)?;
        return Ok(None);
    }
    let report: Report =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("{words:?}: {error}: {text}"))?;
    let schema = espstress_report::schema();
    let value = serde_json::to_value(&report)?;
    let validator = jsonschema::validator_for(&schema).map_err(|error| error.to_string())?;
    assert!(validator.is_valid(&value), "the report does not fit its schema");
    Ok(Some(report))
}

fn refused(folder: &Path) -> Result<(), Failed> {
    let program = ["--program", "./echo blocking"];
    for (words, expected) in [
        (&["head", "twin", "--persona", "deaf"][..], "--persona"),
        (&["head", "twin", "--stack", "smoltcp"], "--stack smoltcp"),
        (&["outage", "twin", "--by", "device"], "--by device"),
        (&["head", "sim"], "--program works only with twin"),
        (&["head", "127.0.0.1"], "--program works only with twin"),
    ] {
        let output = espstress(folder, &[words, &program].concat())?;
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{words:?}: {}", said(&output));
    }
    for bad in ["", "'./echo"] {
        let output = espstress(folder, &["head", "twin", "--program", bad])?;
        assert!(output.status.code() == Some(2) && said(&output).contains("--program"), "{}", said(&output));
    }
    Ok(())
}

fn unread_close(folder: &Path) -> Result<(), Failed> {
    let words = ["head", "twin", "--program", "./calls unread", "-n", "300", "-c", "2", "--no-gate"];
    let Some(report) = report(folder, &words)? else { return Ok(()) };
    if report.capture.status != CaptureStatus::Complete {
        return skip("twin", report.capture.reason.as_deref().unwrap_or("no capture"));
    }
    let of_device = |row: &&espstress_diagnose::AnomalyRow| {
        row.id == AnomalyId::AbortiveClose && row.class == AnomalyClass::Device && row.workload.is_some()
    };
    let charged: u64 = report.anomalies.iter().filter(of_device).map(|row| row.connections).sum();
    assert_eq!(charged, 300, "{:#?}", report.anomalies);
    Ok(())
}

fn crash(folder: &Path) -> Result<(), Failed> {
    // It ends by its count, and so comes to the crash on a slow machine as well.
    let words = ["head", "twin", "--program", "./calls crash-after 300", "-n", "400", "-d", "60s", "-c", "2"];
    let Some(report) = report(folder, &words)? else { return Ok(()) };
    assert_eq!(report.verdict, Verdict::Fail);
    let rebooted =
        report.findings.iter().find(|f| f.id == FindingId::DeviceRebooted).ok_or("device_rebooted")?;
    let words = "killed by SIGABRT, its last line: out of buffers";
    assert!(rebooted.evidence.iter().any(|line| line.contains(words)), "{rebooted:#?}");
    assert!(rebooted.statement.contains("PANIC"), "{rebooted:#?}");
    let program = report.target.program.ok_or("target.program")?;
    assert_eq!(program.end.as_deref(), Some(words));
    assert_eq!(program.command, ["./calls", "crash-after", "300"]);
    assert_eq!(program.last_lines.last().map(String::as_str), Some("out of buffers"));
    // It crashed after a close: neither a FIN nor a RST of a device that is gone is anybody's anomaly.
    assert_eq!((report.target.persona, report.target.capacity), (None, Some(9)));
    Ok(())
}

fn scenario(folder: &Path) -> Result<(), Failed> {
    let text =
        "target = \"twin\"\nprogram = [\"./calls\", \"crash\"]\n[[phase]]\nkind = \"head\"\ncount = 20\n";
    std::fs::write(folder.join("own.toml"), text)?;
    let Some(report) = report(folder, &["run", "own.toml"])? else { return Ok(()) };
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.findings);
    assert_eq!(report.target.program.map(|p| p.command), Some(vec!["./calls".into(), "crash".into()]));
    std::fs::write(folder.join("empty.toml"), text.replace("\"./calls\", \"crash\"", ""))?;
    let output = espstress(folder, &["run", "empty.toml"])?;
    assert!(said(&output).contains("empty.toml:2: `program` names no program"), "{}", said(&output));
    Ok(())
}

fn dials_in(folder: &Path) -> Result<(), Failed> {
    // Dials again and again, as a device does, and says who it is; it never listens.
    let program =
        "bash -c 'while :; do exec 3<>/dev/tcp/192.168.4.1/8123 && echo 1 >&3 && cat <&3; sleep 0.1; done'";
    let words = ["outage", "twin", "--program", program, "--listen", "8123", "-d", "3s", "--no-gate"];
    let Some(report) = report(folder, &words)? else { return Ok(()) };
    let dialled = &report.workload("outage").and_then(|w| w.outage_summary.as_ref()).ok_or("outage")?.dialled;
    assert!(!dialled.is_empty(), "a device has dialled in");
    Ok(())
}

fn kept_up(folder: &Path) -> Result<(), Failed> {
    let client = "exec 3<>/dev/tcp/$ESPSTRESS_TWIN/80; echo hello >&3; read line <&3; echo it said $line";
    let output = espstress(folder, &["twin", "--program", "./echo blocking", "--", "bash", "-c", client])?;
    let text = said(&output);
    if output.status.code() == Some(3) && (text.contains("namespace") || text.contains("tun")) {
        return skip("twin", &text);
    }
    assert!(text.contains("it said hello"), "{text}");
    Ok(())
}

fn nested(folder: &Path) -> Result<(), Failed> {
    let inner = format!("{} twin --program './echo blocking' -- true", env!("CARGO_BIN_EXE_espstress"));
    let output = espstress(folder, &["twin", "--program", &inner, "--", "true"])?;
    let text = said(&output);
    if text.contains("namespace") || text.contains("tun") {
        return skip("twin", &text);
    }
    assert!(text.contains("another supervisor already receives"), "{text}");
    Ok(())
}

/// What the doctor says of one of the example's two servers: warnings of a busy machine are not about it.
fn examined(folder: &Path, name: &str) -> Result<Option<(Verdict, Vec<FindingId>)>, Failed> {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/program").join(name).with_extension("c");
    let program = format!("./example-{name}");
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-Werror", "-o", &program]).arg(source).current_dir(folder);
    assert!(cc.status()?.success());
    let Some(report) = report(folder, &["doctor", "twin", "-d", "30s", "--program", &program])? else {
        return Ok(None);
    };
    if report.capture.status != CaptureStatus::Complete {
        skip("twin", report.capture.reason.as_deref().unwrap_or("no capture"))?;
        return Ok(None);
    }
    let ids = report.findings.iter().map(|f| f.id).filter(|id| *id != FindingId::HostLimited).collect();
    Ok(Some((report.verdict, ids)))
}

fn example_fails(folder: &Path) -> Result<(), Failed> {
    let Some(found) = examined(folder, "server")? else { return Ok(()) };
    assert_eq!(found, (Verdict::Fail, vec![FindingId::AbortiveClose]));
    Ok(())
}

fn example_passes(folder: &Path) -> Result<(), Failed> {
    let Some(found) = examined(folder, "repaired")? else { return Ok(()) };
    assert_eq!(found, (Verdict::Pass, vec![]));
    Ok(())
}

/// lwIP takes in what is sent to a group that a socket has joined, by IGMP, and nothing else.
fn multicast(folder: &Path) -> Result<(), Failed> {
    const ECHO: &str = "import socket\n\
                        listener = socket.socket(); listener.bind(('0.0.0.0', 80)); listener.listen(2)\n\
                        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 80))\n\
                        group = socket.inet_aton('239.1.2.3') + socket.inet_aton('0.0.0.0')\n\
                        s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)\n\
                        while True:\n\
                        \x20   data, peer = s.recvfrom(2048); s.sendto(data, peer)\n";
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("python3", "no python3");
    }
    let own = tempfile::tempdir()?;
    let script = own.path().join("echo.py");
    std::fs::write(&script, ECHO)?;
    let program = format!("python3 {}", script.display());
    let words = ["rw", "twin", "--program", &program, "--protocol", "udp", "--no-gate", "--group"];
    let Some(joined) = report(folder, &[&words[..], &["239.1.2.3", "-n", "30"]].concat())? else {
        return Ok(());
    };
    let udp =
        |report: &Report| report.workloads[0].by_protocol.as_ref().and_then(|by| by.udp.clone()).unwrap();
    assert_eq!((udp(&joined).sent, udp(&joined).echoed), (30, 30), "{:?}", joined.findings);
    let other = ["239.1.2.4", "-n", "4", "--timeout-read", "200ms"];
    let Some(other) = report(folder, &[&words[..], &other].concat())? else { return Ok(()) };
    assert_eq!(udp(&other).echoed, 0);
    assert!(other.findings.iter().any(|f| f.id == FindingId::NoEcho), "{:?}", other.findings);
    Ok(())
}

/// ESP-IDF does not put fragments together by default (`CONFIG_LWIP_IP4_REASSEMBLY`).
fn datagrams(folder: &Path) -> Result<(), Failed> {
    const ECHO: &str = "import socket\n\
                        listener = socket.socket(); listener.bind(('0.0.0.0', 80)); listener.listen(2)\n\
                        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 80))\n\
                        while True:\n\
                        \x20   data, peer = s.recvfrom(65536); s.sendto(data, peer)\n";
    if Command::new("python3").arg("--version").output().is_err() {
        return skip("python3", "no python3");
    }
    let own = tempfile::tempdir()?;
    let script = own.path().join("echo.py");
    std::fs::write(&script, ECHO)?;
    let program = format!("python3 {}", script.display());
    let words = ["rw", "twin", "--program", &program, "--protocol", "udp", "--sweep", "-n", "27"];
    let Some(report) = report(folder, &[&words[..], &["--timeout-read", "1s"]].concat())? else {
        return Ok(());
    };
    assert!(report.findings.iter().any(|f| f.id == FindingId::DatagramSize), "{:?}", report.findings);
    let udp = report.workloads[0].by_protocol.as_ref().and_then(|by| by.udp.clone()).unwrap();
    assert_eq!(
        udp.limit().map(|(up_to, from)| (up_to.bytes, from.bytes, from.packets)),
        Some((1_472, 1_473, 2))
    );
    Ok(())
}
