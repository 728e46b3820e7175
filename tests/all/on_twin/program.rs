//! Other programs inside the twin's network.

use std::process::{Command, Output, Stdio};

use crate::common::{espstress, skipped};

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok()
}

/// Runs a program beside the twin; `None`, and said, where it or the twin cannot be had.
fn inside(program: &[&str]) -> Option<Output> {
    if !is_there(program[0]) {
        skipped("peers", &format!("no {}", program[0]));
        return None;
    }
    let output = espstress().args(["twin", "--"]).args(program).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && (said.contains("namespace") || said.contains("tun")) {
        skipped("twin", &said);
        return None;
    }
    Some(output)
}

#[test]
fn curl_reaches_the_twin() {
    let Some(output) = inside(&["curl", "-si", "http://192.168.4.91/"]) else { return };
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("200 OK"), "{output:?}");
}

#[test]
fn ping_reaches_the_twin() {
    let Some(output) = inside(&["ping", "-c", "1", "-W", "5", "192.168.4.91"]) else { return };
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn ab_loads_the_twin() {
    let Some(output) = inside(&["ab", "-n", "100", "-c", "2", "http://192.168.4.91/"]) else { return };
    assert!(output.status.success(), "{output:?}");
    let page = String::from_utf8_lossy(&output.stdout);
    assert!(page.contains("Complete requests:      100"), "{page}");
}

#[test]
fn the_inner_programs_status_is_returned() {
    let Some(output) = inside(&["sh", "-c", "exit 7"]) else { return };
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn the_machines_own_addresses_are_untouched() {
    let addresses = || std::fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = |text: String| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
    };
    let before = names(addresses());
    let Some(_) = inside(&["sh", "-c", "exit 0"]) else { return };
    assert_eq!(names(addresses()), before);
}
