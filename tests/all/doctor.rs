//! The doctor at an address where nothing is, and Ctrl-C; what it says of web servers is in `strangers`.

use std::process::Stdio;

use crate::common::scripted::own_address;
use crate::common::{espstress, valid_report};
#[cfg(feature = "long")]
use crate::common::{request, server};
use espstress_diagnose::FindingId;
use espstress_report::Report;

fn examined(target: &str, length: &str) -> (Report, Option<i32>) {
    let output = espstress().args(["doctor", target, "--json", "-q", "--duration", length]).output().unwrap();
    println!("{}", String::from_utf8_lossy(&output.stderr));
    (valid_report(&output.stdout), output.status.code())
}

#[test]
fn an_address_where_nothing_listens_is_a_finding_and_not_an_empty_page() {
    let (report, status) = examined(&own_address().to_string(), "20s");
    let found: Vec<FindingId> = report.findings.iter().map(|finding| finding.id).collect();
    assert!(found.contains(&FindingId::DeviceUnreachable), "{found:?}");
    assert_eq!(status, Some(1));
    assert_eq!(report.scenario["name"], "doctor");
}

#[test]
fn a_length_that_is_too_short_is_refused_with_the_shortest() {
    let output = espstress().args(["doctor", "sim", "--duration", "5s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--duration") && said.contains("20s"), "{said}");
}

/// Every request is told, also those that were still waiting when a phase's time was up.
#[cfg(feature = "long")]
#[test]
fn a_crowd_that_is_still_waiting_at_the_end_of_its_time_is_counted() {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;

    let (asked, waiting) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let counted = Arc::clone(&asked);
    let address = server(move |mut stream| {
        if request(&mut stream).is_empty() {
            return;
        }
        counted.fetch_add(1, SeqCst);
        // Twelve at once are too many for it: the second round of a crowd outlasts the phase.
        waiting.fetch_add(1, SeqCst);
        std::thread::sleep(Duration::from_millis(30));
        if waiting.load(SeqCst) > 4 {
            std::thread::sleep(Duration::from_millis(7_500));
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        waiting.fetch_sub(1, SeqCst);
    });
    let (report, _) = examined(&address.to_string(), "20s");
    let examination = report.examination.unwrap();
    let crowd = report.workloads.iter().find(|w| w.name == "crowd").unwrap();
    let cut = serde_json::to_value(crowd).unwrap()["unfinished"].as_u64().unwrap();
    assert!(cut > 0, "{crowd:?}");
    let check = examination.checks.iter().find(|check| check.name == "many at once").unwrap();
    let waited = format!("{cut} more had no response yet when the time was up");
    assert!(check.seen.contains(&waited), "{}", check.seen);
    assert_eq!(examination.done.requests, asked.load(SeqCst));
}

#[cfg(unix)]
#[test]
fn an_interrupt_still_writes_the_page() {
    use std::io::{BufRead, BufReader, Read};
    let mut child =
        espstress().args(["doctor", "sim"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines();
    // The first phase is over: there is something to tell.
    assert!(progress.any(|line| line.unwrap().starts_with("requests: ")));
    let rest = std::thread::spawn(move || progress.for_each(drop));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let mut page = String::new();
    child.stdout.take().unwrap().read_to_string(&mut page).unwrap();
    rest.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(page.contains("Checks") && page.contains("What this test did to the device"), "{page}");
    assert!(page.contains("Interrupted"), "{page}");
}
