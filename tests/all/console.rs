//! A run that listens to the device's console: what the report says of it.

use std::path::Path;

use crate::common::{espstress, failure, valid_report};
use espstress_diagnose::{FindingId, Severity};
use espstress_report::{Report, TimelineKind, TimelineSource};

const PANIC: &str = "I (900) app: up\n\
    Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\n\
    Backtrace: 0x400d1231:0x3ffb5c50 0x400d1a2c:0x3ffb5c70\n\
    Rebooting...\n\
    rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\n\
    I (30) boot: ESP-IDF v5.5 2nd stage bootloader\n";

/// A short run on the sim, whose console prints `log` half a second after its start; the report and the page.
fn run(folder: &Path, log: &str, more: &[&str]) -> (Report, String) {
    let (text, report) = (folder.join("console.txt"), folder.join("report.json"));
    std::fs::write(&text, log).unwrap();
    let source = format!("cmd:sleep 0.5; cat {}; sleep 60", text.display());
    let output = espstress()
        .args(["head", "sim", "--duration", "1500ms", "--rate", "20/s", "--no-capture", "--no-gate"])
        .args(["--console", &source, "-o"])
        .arg(&report)
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    (valid_report(&std::fs::read(report).unwrap()), page)
}

fn severity(report: &Report, id: FindingId) -> Option<Severity> {
    report.findings.iter().find(|finding| finding.id == id).map(|finding| finding.severity)
}

#[test]
fn a_panic_on_the_console_is_a_finding_that_quotes_it_and_stands_on_the_timeline() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("run.log");
    let copy = folder.path().join("copy.txt");
    let more = ["--log", log.to_str().unwrap(), "--console-log", copy.to_str().unwrap(), "--no-probes"];
    let (report, page) = run(folder.path(), PANIC, &more);
    assert_eq!(severity(&report, FindingId::DeviceCrashed), Some(Severity::Error), "{page}");
    assert_eq!(severity(&report, FindingId::DeviceRebooted), Some(Severity::Error), "{page}");
    assert_eq!(severity(&report, FindingId::Brownout), None);
    assert!(
        page.contains("Guru Meditation Error: Core  0 panic'ed") || page.contains("Guru Meditation"),
        "{page}"
    );
    let on_console = |kind| {
        let rows = report.timeline.rows.iter();
        rows.filter(|row| row.source == TimelineSource::Console && row.kind == kind).count()
    };
    assert_eq!((on_console(TimelineKind::Crash), on_console(TimelineKind::Restart)), (1, 1));
    assert_eq!(std::fs::read_to_string(copy).unwrap(), PANIC);
    // The log without its end, as a power cut leaves it.
    let text = std::fs::read_to_string(&log).unwrap();
    let cut: String =
        text.lines().filter(|line| !line.contains("\"event\":\"end\"")).map(|l| format!("{l}\n")).collect();
    std::fs::write(&log, cut).unwrap();
    let rebuilt = espstress_report::read_log(&log).unwrap().report;
    assert_eq!(severity(&rebuilt, FindingId::DeviceCrashed), Some(Severity::Error), "{:?}", rebuilt.console);
    let crash = rebuilt.timeline.rows.iter().find(|row| row.kind == TimelineKind::Crash).unwrap();
    assert!(crash.text.contains("LoadProhibited"), "{crash:?}");
}

#[test]
fn a_copy_that_is_removed_during_the_run_is_told_by_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.txt");
    let source =
        format!("cmd:echo one; while ! rm {}; do sleep 0.05; done; echo two; sleep 60", copy.display());
    let output = espstress()
        .args([
            "head",
            "sim",
            "--duration",
            "1s",
            "--rate",
            "20/s",
            "--no-capture",
            "--no-gate",
            "--no-probes",
        ])
        .args(["--console", &source, "--console-log"])
        .arg(&copy)
        .output()
        .unwrap();
    let (said, status) = failure(&output);
    assert_eq!(status, 3, "{said}");
    assert!(said.contains("is incomplete: something removed or renamed it"), "{said}");
}

#[test]
fn a_brownout_and_a_watchdog_are_told_apart_from_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let brownout =
        "Brownout detector was triggered\nrst:0xf (RTCWDT_BROWN_OUT_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\n";
    let (report, page) = run(folder.path(), brownout, &[]);
    let found = |report: &Report| {
        let ids = [FindingId::DeviceCrashed, FindingId::Brownout, FindingId::Watchdog];
        ids.map(|id| severity(report, id).is_some())
    };
    assert_eq!(found(&report), [false, true, false], "{page}");
    let dog = "E (900) task_wdt: Task watchdog got triggered. The following tasks/users did not reset the watchdog in time:\n\
               E (900) task_wdt:  - IDLE0 (CPU 0)\nE (900) task_wdt: CPU 0: busy\nE (900) task_wdt: Aborting.\n\
               rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\n";
    let (report, page) = run(folder.path(), dog, &[]);
    assert_eq!(found(&report), [false, false, true], "{page}");
    assert!(page.contains("task busy held"), "{page}");
}

/// It answers where it was: something else has the other address. The rule itself is tested beside it.
#[test]
fn a_new_address_on_the_console_is_no_finding_while_the_device_is_served_at_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let address = |ip: &str| {
        format!("I (900) esp_netif_handlers: sta ip: {ip}, mask: 255.255.255.0, gw: 127.0.0.254\n")
    };
    let log = format!("{}{}", address("127.0.0.1"), address("127.0.0.9"));
    for persona in ["robust", "frozen"] {
        let more =
            ["--persona", persona, "--timeout-connect", "200ms", "--timeout-read", "200ms", "--no-probes"];
        let (report, page) = run(folder.path(), &log, &more);
        assert_eq!(severity(&report, FindingId::AddressChanged), None, "{persona}: {page}");
    }
}

#[test]
fn heap_lines_are_telemetry_and_words_without_a_clear_form_are_no_findings() {
    let folder = tempfile::tempdir().unwrap();
    let log = "I (900) app: <p>abort() was called at PC 0x400d1234 on core 0</p>\n\
               I (910) app: Free Heap\nI (920) app: ENOMEM means that memory ran out\n\
               Free Heap: 50000 bytes, Min Free: 40000 bytes\n";
    let (report, page) = run(folder.path(), log, &[]);
    let of_console =
        [FindingId::DeviceCrashed, FindingId::Brownout, FindingId::Watchdog, FindingId::NoMemoryReported];
    assert!(of_console.iter().all(|id| severity(&report, *id).is_none()), "{page}");
    let console = report.console.as_ref().unwrap();
    assert_eq!((console.lines, console.events.len()), (4, 0), "{console:?}");
}

#[test]
fn a_source_that_is_not_there_is_refused_before_the_run() {
    let output = espstress().args(["head", "sim", "--console", "/dev/ttyNONE0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("--console /dev/ttyNONE0"), "{error}");
    let output = espstress().args(["head", "sim", "--console-heap", "(", "-n", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
