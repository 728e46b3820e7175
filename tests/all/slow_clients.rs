//! Clients that are slow on purpose, and what others meet meanwhile.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use espstress_event::{Failure, SlowClients, SlowSpan};
use espstress_report::{Verdict, Workload};
use espstress_stats::Phase;

use crate::common::said::{Said, said};
use crate::common::{OK, answer_all, espstress_with, failure, one_client_at_a_time, request, server};

/// One slow client after the other, and others beside them. A request of some 70 bytes takes more than a second.
fn scenario(slow: &str) -> String {
    format!(
        "
watch = '200ms'

[[phase]]
name = 'slow'
method = 'GET'
{slow}
duration = '2500ms'

[[phase]]
name = 'others'
kind = 'head'
start = 'with-previous'
method = 'GET'
rate = '5/s'
connections = 8
duration = '2500ms'
"
    )
}

#[track_caller]
fn beside(address: SocketAddr, slow: &str) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("slow.toml");
    std::fs::write(&file, scenario(slow)).unwrap();
    said("run --no-capture -t", &[&address.to_string(), file.to_str().unwrap()])
}

const SENDS: &str = "kind = 'head'\nsend_rate = '50B/s'";

fn of_device(run: &Said) -> u64 {
    run.report.workloads.iter().map(|w| w.failures.of_device()).sum()
}

fn slow(run: &Said) -> SlowClients {
    let slow = |w: &Workload| w.by_protocol.as_ref()?.slow.clone();
    run.report.workloads.iter().find_map(slow).expect("slow clients")
}

/// The slow clients beside which others asked until its end: the last one is slow beyond the end of the others.
fn beside_others(slow: &SlowClients) -> impl Iterator<Item = &SlowSpan> {
    slow.spans.iter().filter(|span| span.others_waited_ms.is_some())
}

#[test]
fn a_server_for_one_client_at_a_time_is_named_beside_a_slow_sender() {
    let address = one_client_at_a_time(|mut stream| {
        if !request(&mut stream).is_empty() {
            let _ = stream.write_all(OK);
        }
    });
    let run = beside(address, SENDS);
    run.fails_with(&["blocked_application"]).says(&[
        "serves one client at a time",
        "for a client that sends slowly",
        "no other client served for up to",
    ]);
    assert_eq!(of_device(&run), 0, "nobody failed: they waited");
    let slow = slow(&run);
    assert_eq!(slow.given_up, 0);
    assert!(beside_others(&slow).all(|span| span.others_waited_ms >= Some(span.length_ms / 2)), "{slow:?}");
}

#[test]
fn a_server_that_serves_others_meanwhile_is_blamed_for_nothing() {
    let run = beside(server(answer_all), SENDS);
    run.passes();
    let slow = slow(&run);
    assert!(slow.served >= 2 && slow.given_up == 0, "{slow:?}");
    assert!(beside_others(&slow).all(|span| span.length_ms >= 1_000 && span.others_served > 0), "{slow:?}");
    let own = &run.report.workloads[0];
    assert!(!own.latency.contains_key(&Phase::Total), "the whole of a slow exchange is the host's own time");
    assert!(own.latency.contains_key(&Phase::FirstByte));
}

/// Closes a client whose request isn't whole within half a second, as most servers do after half a minute or so.
fn gives_up_slow_clients(last_words: &'static [u8]) -> SocketAddr {
    server(move |mut stream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let begun = std::time::Instant::now();
        let mut bytes = Vec::new();
        let mut buffer = [0; 256];
        while !bytes.ends_with(b"\r\n\r\n") {
            if begun.elapsed() > Duration::from_millis(500) {
                let _ = stream.write_all(last_words);
                return;
            }
            match std::io::Read::read(&mut stream, &mut buffer) {
                Ok(0) => return,
                Ok(n) => bytes.extend_from_slice(&buffer[..n]),
                Err(_) => {}
            }
        }
        let _ = stream.write_all(OK);
    })
}

#[test]
fn a_server_that_gives_up_slow_senders_is_not_faulty() {
    let timed_out = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for kind in ["kind = 'head'", "kind = 'rw'\nprotocol = 'http'"] {
        let run = beside(gives_up_slow_clients(timed_out), &format!("{kind}\nsend_rate = '50B/s'"));
        run.passes();
        let slow = slow(&run);
        assert!(slow.given_up > 0 && slow.served == 0, "{kind}: {slow:?}");
        assert_eq!(slow.given_up_by_status.get(&408), Some(&slow.given_up), "{kind}");
        assert_eq!(of_device(&run), run.report.workloads[0].failures.get(Failure::SlowGivenUp), "{kind}");
    }
}

#[test]
fn a_server_that_closes_slow_senders_without_a_word_is_not_faulty() {
    let run = beside(gives_up_slow_clients(b""), SENDS);
    run.passes();
    assert!(slow(&run).given_up > 0);
}

#[test]
fn a_run_whose_every_client_was_given_up_measured_nothing() {
    let address = gives_up_slow_clients(b"").to_string();
    let run = said("head --no-capture --no-probes --send-rate 50B/s -n 1", &[&address]);
    run.blames(&[]);
    assert_eq!(run.report.verdict, Verdict::Inconclusive);
    let reasons = run.report.verdict_reasons.join("; ");
    assert!(reasons.contains("gave up every slow client"), "{reasons}");
}

#[test]
fn a_slow_reader_takes_its_rate_and_its_own_time_is_no_read_timeout() {
    let address = server(|mut stream| {
        while !request(&mut stream).is_empty() {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n";
            if stream.write_all(head).is_err() || stream.write_all(&[b'x'; 6_000]).is_err() {
                return;
            }
        }
    });
    for command in ["head --method GET --close rst", "rw --protocol http"] {
        // The host takes longer for the whole than the device may for its next bytes.
        let options = "--no-capture --no-probes --read-rate 2KiB/s --timeout-read 1s -n 1";
        let run = said(&format!("{command} {options}"), &[&address.to_string()]);
        run.passes();
        let slow = slow(&run);
        assert_eq!((slow.served, slow.spans.len()), (1, 1), "{command}");
        assert!(slow.spans[0].length_ms >= 2_000, "{command}: {slow:?}");
    }
}

#[test]
fn a_server_that_serves_nobody_beside_an_event_stream_is_named() {
    let address = one_client_at_a_time(|mut stream| {
        let asked = request(&mut stream);
        if !asked.windows(17).any(|part| part == b"text/event-stream") {
            let _ = stream.write_all(OK);
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        while stream.write_all(b"data: 1\n\n").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let run = beside(address, "kind = 'rw'\nprotocol = 'sse'");
    run.fails_with(&["blocked_application"]).says(&["serves one client at a time", "reads an event stream"]);
}

#[test]
fn slowness_that_makes_no_sense_is_refused_in_words() {
    for (options, word) in [
        ("rw --protocol udp --read-rate 1KiB/s", "only with the protocols http, framed and line"),
        ("rw --protocol sse --send-rate 1KiB/s", "only with the protocols http, framed and line"),
        ("rw --protocol http --window 4 --read-rate 1KiB/s", "one request in flight"),
        ("head --read-rate 0", "100B/s"),
    ] {
        let (message, status) = failure(&espstress_with(&format!("{options} 127.0.0.1:9")));
        assert!(status == 2 && message.contains(word), "{options}: {status}: {message}");
    }
}

/// Each takes four seconds, at the same time.
#[cfg(feature = "long")]
#[test]
fn servers_that_others_wrote_serve_others_beside_slow_clients() {
    use crate::common::programs::{busybox_httpd, http_server, lighttpd, nginx, node};

    let servers = [nginx(""), lighttpd(), busybox_httpd(), node(), http_server("HTTP/1.0")];
    std::thread::scope(|scope| {
        for server in servers.iter().flatten() {
            for slow in [SENDS, "kind = 'rw'\nprotocol = 'http'\nread_rate = '100B/s'"] {
                scope.spawn(|| {
                    beside(server.address, slow).passes().counts("others", 13, 13);
                });
            }
        }
    });
}
