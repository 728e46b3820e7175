//! A client that keeps its connection, and what others meet as long as it stands.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use crate::common::said::{Said, said};
use crate::common::{OK, answer_all, one_client_at_a_time, request, server};

/// One client on its only connection for 4 s, and for `seconds` others that give up after a second each.
#[track_caller]
fn beside(address: SocketAddr, seconds: u32, others: &str, options: &str) -> Said {
    let scenario = format!(
        "
watch = '200ms'

[[phase]]
name = 'kept'
kind = 'rw'
protocol = 'http'
connections = 1
interval = '50ms'
duration = '4s'

[[phase]]
name = 'others'
kind = 'head'
start = 'with-previous'
rate = '5/s'
connections = 4
timeout_connect = '1s'
timeout_read = '1s'
duration = '{seconds}s'
{others}
"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kept.toml");
    std::fs::write(&file, scenario).unwrap();
    said(&format!("run {options} -t"), &[&address.to_string(), file.to_str().unwrap()])
}

#[test]
fn a_server_for_one_client_at_a_time_is_named_with_and_without_packets() {
    for options in ["", "--no-capture"] {
        let run = beside(one_client_at_a_time(answer_all), 6, "", options);
        run.fails_with(&["blocked_application"])
            .says(&["serves one client at a time", "for a client that keeps its connection"]);
        assert!(run.report.workload("others").unwrap().succeeded > 0, "once it had gone");
    }
}

#[test]
fn where_the_others_are_not_served_again_what_they_asked_for_may_be_what_fails() {
    for options in ["", "--no-capture"] {
        beside(one_client_at_a_time(answer_all), 2, "", options)
            .fails_with(&["blocked_application"])
            .says(&["1 client kept its connection", "served no other client", "or what the others asked for"])
            .never_says(&["HEAD", "stopped answering"]);
    }
}

#[test]
fn a_head_that_is_not_answered_is_told_by_a_get_for_the_same_page_alone() {
    let without_head = |mut stream: TcpStream| loop {
        let head = request(&mut stream);
        if head.is_empty() || (!head.starts_with(b"HEAD") && stream.write_all(OK).is_err()) {
            return;
        }
    };
    beside(server(without_head), 6, "", "").says(&["answers GET but not HEAD"]);
    beside(server(without_head), 6, "path = '/other'", "").never_says(&["answers GET but not HEAD"]);
}

#[test]
fn a_server_that_serves_others_meanwhile_is_blamed_for_nothing() {
    beside(server(answer_all), 6, "", "").passes();
}
