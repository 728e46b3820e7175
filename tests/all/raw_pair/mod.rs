//! The raw protocol against a server that behaves like the MicroPython pair's: a backlog of one, one client at a time,
//! the request read in small pieces, two lines of heap figures and ten kilobytes, then the server closes first.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use espstress_event::Failure;
use espstress_report::{RawSummary, Workload};
use espstress_stats::Phase;

use crate::common::{espstress, reset, run, valid_report};

/// What the server does to one client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    /// The whole answer.
    Answer,
    /// The whole answer, while the request stays unread: that server's loop has given up waiting for it.
    AnswerUnread,
    /// A FIN in the middle of the answer.
    Truncate,
    /// A RST instead of an answer.
    Reset,
}

/// How long the server thinks about an answer.
const THINKING: Duration = Duration::from_millis(40);

/// Several regions of heap a line, as a MicroPython board lists them.
fn answer() -> Vec<u8> {
    let mut bytes = b"EXEC:[(15072, 4, 0, 4), (113840, 38540, 8704, 4648)]\nDATA:[(240, 4, 0, 4)]\n".to_vec();
    bytes.extend(b" HelloWorld@2606537269000".iter().cycle().take(10_240));
    bytes
}

/// Serves one client an act and is gone then: further connects are refused.
fn scripted(acts: &'static [Act]) -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut acts = acts.iter().copied().peekable();
        while acts.peek().is_some() {
            let (mut stream, _) = listener.accept().unwrap();
            // A look whether anyone is there is no client.
            if !request(&mut stream, *acts.peek().unwrap()) {
                continue;
            }
            let act = acts.next().unwrap();
            if acts.peek().is_none() {
                drop(listener);
                serve(stream, act);
                return;
            }
            serve(stream, act);
        }
    });
    address
}

/// Whether a request came; it stays in the socket where the act leaves it unread.
fn request(stream: &mut TcpStream, act: Act) -> bool {
    let mut piece = [0; 256];
    if act == Act::AnswerUnread {
        return stream.peek(&mut piece).is_ok_and(|n| n > 0);
    }
    let mut whole = Vec::new();
    while whole.len() < 1_024 && !whole.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => whole.extend_from_slice(&piece[..n]),
            _ => return false,
        }
    }
    assert!(whole.starts_with(b"GET / HTTP/1.1\r\nHost: "), "{}", String::from_utf8_lossy(&whole));
    true
}

fn serve(mut stream: TcpStream, act: Act) {
    std::thread::sleep(THINKING);
    let answer = answer();
    // The client may be gone: its business.
    let _ = match act {
        Act::Answer | Act::AnswerUnread => stream.write_all(&answer),
        Act::Truncate => stream.write_all(&answer[..5_000]),
        Act::Reset => return reset(stream),
    };
}

#[test]
fn every_answer_of_that_server_is_a_transaction_and_its_fin_the_end() {
    const ACTS: [Act; 12] = [Act::Answer; 12];
    let stats = run("rw", "protocol = 'raw'\nsuccesses = 12", scripted(&ACTS));
    let failures: Vec<_> = stats.failures.iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!((stats.attempts, stats.succeeded), (12, 12), "{failures:?}");
    assert_eq!(stats.goodput_bytes, 12 * 10_240);
    let raw = stats.raw.unwrap();
    assert_eq!((raw.attempts, raw.connects.count, raw.transactions.count), (12, 12, 12));
    assert_eq!(raw.bytes, 12 * answer().len() as u64);
}

#[test]
fn a_request_that_the_server_leaves_unread_is_a_reset_to_the_reader() {
    const ACTS: [Act; 4] = [Act::AnswerUnread; 4];
    let stats = run("rw", "protocol = 'raw'\ncount = 4", scripted(&ACTS));
    assert_eq!(stats.failures.get(Failure::ReadReset), 4, "{} succeeded", stats.succeeded);
    assert_eq!(stats.raw.unwrap().read_errors, 4);
}

#[test]
fn successes_are_counted_and_not_attempts_and_each_failure_is_followed_by_its_pause() {
    const ACTS: [Act; 5] = [Act::Reset, Act::Answer, Act::Reset, Act::Answer, Act::Answer];
    let settings = "protocol = 'raw'\nsuccesses = 3\npause_after_failure = '200ms'";
    let stats = run("rw", settings, scripted(&ACTS));
    assert_eq!((stats.attempts, stats.succeeded), (5, 3));
    let least = 2 * Duration::from_millis(200) + 5 * THINKING;
    assert!(u128::from(stats.wall_ns()) >= least.as_nanos(), "{} ns", stats.wall_ns());
}

/// Three answers, one of five thousand bytes, one reset, and then nobody is there any more.
const SCRIPT: [Act; 5] = [Act::Answer, Act::Reset, Act::Answer, Act::Truncate, Act::Answer];

/// Within a thousandth and a bit: what the histogram's three figures leave.
fn about(left: Option<f64>, right: f64) -> bool {
    left.is_some_and(|left| (left / right - 1.0).abs() < 0.01)
}

#[test]
fn the_scripts_summary_misleads_by_its_own_arithmetic_and_the_other_figures_do_not() {
    let stats = run("rw", "protocol = 'raw'\ncount = 8\npause_after_failure = '100ms'", scripted(&SCRIPT));
    let w = Workload::from_stats("rw", "rw", serde_json::json!({}), &stats);
    let raw = w.raw_summary.as_ref().unwrap();
    // Eight attempts, three of them refused: time-outs to the script, and none was.
    assert_eq!((raw.attempts, raw.timeouts, raw.write_errors, raw.read_errors), (8, 3, 0, 1));
    assert_eq!((w.failures.get(Failure::ConnectRefused), w.failures.get(Failure::ConnectTimeout)), (3, 0));
    // The truncated answer is one to the script.
    assert_eq!((raw.transactions, w.succeeded), (4, 3));
    assert_eq!(w.failures.get(Failure::TruncatedResponse), 1);
    let bytes = 3 * answer().len() as u64 + 5_000;
    assert_eq!(raw.bytes, bytes);
    // Five connected; their time is divided by eight.
    let connect = &w.latency[&Phase::Connect];
    assert_eq!(connect.count, 5);
    assert!(about(raw.connect_avg_us, connect.mean_us.unwrap() * 5.0 / 8.0), "{raw:?} {connect:?}");
    // Four transactions' time for the script's rate, all of it for the honest one.
    let answered_s = raw.transaction_avg_us.unwrap() * 4.0 / 1e6;
    assert!(about(raw.rate_bytes_per_s, bytes as f64 / answered_s), "{raw:?}");
    assert!(about(raw.wall_rate_bytes_per_s, bytes as f64 / w.duration_s), "{raw:?}");
    // Five pauses of a tenth of a second are in the one and not in the other.
    assert!(w.duration_s >= answered_s + 0.5, "{} s", w.duration_s);
    assert!(raw.transaction_min_us.unwrap() >= THINKING.as_secs_f64() * 1e6, "{raw:?}");
}

#[test]
fn the_page_has_the_scripts_line_and_the_truth_below_it() {
    let target = scripted(&SCRIPT);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let arguments = format!("rw {target} --protocol raw -n 8 --no-capture --no-probes --no-gate");
    let output = espstress().args(arguments.split(' ')).arg("-o").arg(&file).output().unwrap();
    let page = String::from_utf8(output.stdout).unwrap();
    let one_line = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "script says connect",
        "avg by all 8 attempts",
        "timeouts 3 (any connect error)",
        "w-err 0, r-err 1",
        "4 transactions",
        "in truth 62.5 % of the attempts failed",
        "of the 5 that connected",
        "connect_timeout 0",
    ] {
        assert!(one_line.contains(part), "no `{part}` in\n{page}");
    }
    let report = valid_report(&std::fs::read(&file).unwrap());
    let summary: &RawSummary = report.workloads[0].raw_summary.as_ref().unwrap();
    assert_eq!((summary.timeouts, summary.transactions), (3, 4));
}

#[test]
fn other_protocols_have_no_such_summary() {
    let stats = run("head", "count = 1", crate::common::server(crate::common::answer_all));
    assert_eq!(stats.raw, None);
    let w = Workload::from_stats("head", "head", serde_json::json!({}), &stats);
    assert_eq!(w.raw_summary, None);
}
