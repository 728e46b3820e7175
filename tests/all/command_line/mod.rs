//! The program as a person or a script meets it: endings, statuses, messages and what goes to which stream.

#[cfg(target_os = "linux")]
mod discover;
mod endings;
mod gates;
mod refusals;
mod served;
mod streams;

use crate::common::{answer_all, espstress_with, failure, server, skipped, valid_report};
use espstress_report::Report;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

/// A server that answers everything, and hears of each connection.
fn heard_server() -> (SocketAddr, Receiver<()>) {
    let (heard, hears) = channel();
    let address = server(move |stream| {
        let _ = heard.send(());
        answer_all(stream);
    });
    (address, hears)
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

#[track_caller]
fn refused(arguments: &str, status: i32, says: &[&str]) {
    let output = espstress_with(arguments);
    let (message, code) = failure(&output);
    assert_eq!(code, status, "{arguments}: {message}");
    for part in says {
        assert!(message.contains(part), "{arguments}: {part:?} is not in: {message}");
    }
}

/// A run that has to end well, through `--json`.
#[track_caller]
fn well(arguments: &str) -> Report {
    let output = espstress_with(&format!("{arguments} --json -q"));
    let report = valid_report(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{arguments}: {:?} {:?}", report.findings, failure(&output));
    report
}
