//! `rw --protocol sse` against event streams of servers that others wrote, and ones with one fault each.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use espstress_event::{EventStreams, Failure};
use espstress_stats::Phase;

use crate::common::programs::{nginx, node_script, python};
use crate::common::said::{Said, said};
use crate::common::scripted::serial;
use crate::common::{request, reset, server};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n";

#[track_caller]
fn rw(address: SocketAddr, more: &str) -> Said {
    said(&format!("rw --protocol sse --no-capture {more}"), &[&address.to_string()])
}

fn seen(said: &Said) -> &EventStreams {
    said.report.workloads[0].by_protocol.as_ref().unwrap().sse.as_ref().unwrap()
}

fn failures(said: &Said, failure: Failure) -> u64 {
    said.report.workloads[0].failures.get(failure)
}

/// A service that answers each request with these bytes and then does `serve`.
fn raw(head: &'static str, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    server(move |mut stream| {
        request(&mut stream);
        if stream.write_all(head.as_bytes()).is_ok() {
            serve(stream);
        }
    })
}

/// A stream of these bytes, a piece every so often, until the other side has had enough.
fn drips(piece: &'static [u8], pause: Duration) -> SocketAddr {
    raw(HEAD, move |mut stream| {
        while stream.write_all(piece).is_ok() {
            std::thread::sleep(pause);
        }
    })
}

/// Stands until the other side ends it.
fn hold(mut stream: TcpStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

#[test]
fn a_204_ends_a_subscription_and_is_told_as_that() {
    let address = raw("HTTP/1.1 204 No Content\r\n\r\n", drop);
    let run = rw(address, "-d 1s");
    run.says(&["204 (once)", "not to connect again"]).never_says(&["as the status says"]);
    run.counts("rw", 1, 0);
}

#[test]
fn a_redirect_to_the_devices_own_stream_is_followed_as_browsers_do() {
    let address = crate::common::scripted::scripted(|mut peer| {
        let Some(request) = peer.request() else { return };
        if request.path() == "/" {
            peer.send("HTTP/1.1 301 Moved\r\nLocation: /events\r\nContent-Length: 0\r\n\r\n");
            return peer.finish();
        }
        if peer.send(HEAD) {
            while peer.send("data: x\n\n") {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    });
    let run = rw(address, "-n 5 -d 1m");
    run.passes().never_says(&["not followed"]);
    assert_eq!((seen(&run).streams, seen(&run).events, seen(&run).refused), (1, 5, 0));
}

#[test]
fn events_are_counted_with_their_gaps_and_comments_are_none() {
    let address = drips(b": hi\r\nid: 7\r\ndata: 21\r\n\r\n", Duration::from_millis(50));
    let run = rw(address, "-n 10 -d 1m -c 2 --threshold rw.sse.ended==0");
    run.passes().says(&["2 streams, 10 events", "without an event"]);
    let sse = seen(&run);
    assert_eq!((sse.streams, sse.events, sse.ended), (2, 10, 0), "{sse:?}");
    assert!(sse.comments >= 10);
    let gaps = &run.report.workloads[0].latency[&Phase::EventGap];
    assert_eq!(gaps.count, 10);
    assert!(sse.longest_gap_us.unwrap() >= 40_000, "{sse:?}");
}

#[test]
fn a_silent_stream_is_no_fault_unless_the_user_says_so() {
    let address = raw(HEAD, hold);
    let run = rw(address, "-d 1s");
    assert_eq!((run.blamed(), failures(&run, Failure::ReadTimeout)), (vec![], 0));
    assert!(seen(&run).longest_gap_us.unwrap() >= 900_000, "{:?}", seen(&run));
    assert!(seen(&run).longest_silence_us.unwrap() >= 900_000);
    let run = rw(address, "-d 2s --timeout-read 300ms");
    run.fails_with(&["event_stream"]).says(&["stayed silent for longer than --timeout-read"]);
    run.never_says(&["blocked", "hangs"]);
    // Comments are for this.
    let kept = drips(b":\n", Duration::from_millis(50));
    let run = rw(kept, "-d 1s --timeout-read 5s");
    assert_eq!((run.blamed(), seen(&run).silent), (vec![], 0));
    assert!(seen(&run).longest_gap_us > seen(&run).longest_silence_us, "{:?}", seen(&run));
}

#[test]
fn an_orderly_end_is_told_and_the_stream_opened_anew_when_the_device_says() {
    // A comment that is cut off is no event.
    let address = raw(HEAD, |mut stream| {
        let _ = stream.write_all(b"retry: 100\nid: last\ndata: a\n\ndata: b\n\n: half");
    });
    let run = rw(address, "-n 6 -d 1m");
    run.passes().says(&["ended in order", "reconnect after 100 ms"]);
    let sse = seen(&run);
    assert_eq!((sse.streams, sse.events, sse.ended, sse.unfinished), (3, 6, 2, 0), "{sse:?}");
    assert_eq!(sse.retry_ms, Some(100));
}

#[test]
fn a_stream_that_ends_in_the_middle_of_an_event_is_named() {
    let address = raw(HEAD, |mut stream| {
        let _ = stream.write_all(b"retry: 10\ndata: a\n\ndata: half");
    });
    let run = rw(address, "-n 12 -d 1m");
    run.fails_with(&["event_stream"]).says(&["6 event streams ended in the middle of an event"]);
    let sse = seen(&run);
    assert_eq!((sse.ended, sse.cut, sse.unfinished), (0, 6, 6), "{sse:?}");
}

#[test]
fn the_last_id_is_sent_with_the_next_request() {
    let (told, asked) = std::sync::mpsc::channel();
    let address = server(move |mut stream| {
        let head = String::from_utf8(request(&mut stream)).unwrap().to_ascii_lowercase();
        // A probe connects and asks nothing.
        if head.is_empty() {
            return;
        }
        let _ = told.send(head);
        let _ = stream.write_all(HEAD.as_bytes());
        let _ = stream.write_all(b"retry: 1\nid: 42\ndata: a\n\n");
    });
    rw(address, "-n 2 -d 1m").passes();
    let (first, second) = (asked.recv().unwrap(), asked.recv().unwrap());
    assert!(
        first.contains("\r\naccept: text/event-stream\r\n") && !first.contains("last-event-id"),
        "{first}"
    );
    assert!(second.contains("\r\nlast-event-id: 42\r\n"), "{second}");
}

#[test]
fn each_way_to_end_a_stream_has_its_name() {
    const CHUNKED: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    const EVENT: &[u8] = b"17\r\nretry: 10\ndata: 12345\n\n\r\n";
    let whole = raw(CHUNKED, |mut stream| {
        let _ = stream.write_all(&[EVENT, b"0\r\n\r\n"].concat());
        hold(stream);
    });
    let run = rw(whole, "-n 3 -d 1m");
    run.passes();
    assert_eq!((seen(&run).ended, seen(&run).cut), (2, 0), "{:?}", seen(&run));

    let cut = raw(CHUNKED, |mut stream| {
        let _ = stream.write_all(&[EVENT, b"5\r\nda"].concat());
    });
    let run = rw(cut, "-n 10 -d 1m");
    run.fails_with(&["event_stream"]).says(&["ended in the middle"]);
    assert_eq!((seen(&run).cut, failures(&run, Failure::TruncatedResponse)), (5, 5));

    let reset = raw(HEAD, |mut stream| {
        let _ = stream.write_all(b"retry: 10\ndata: a\n\n");
        std::thread::sleep(Duration::from_millis(50));
        reset(stream);
    });
    let run = rw(reset, "-n 10 -d 1m");
    assert!(run.failed(), "{}", run.page);
    assert_eq!((seen(&run).reset, failures(&run, Failure::ReadReset)), (5, 5), "{:?}", seen(&run));

    let empty = raw(HEAD, |mut stream| {
        let _ = stream.write_all(b"retry: 10\n\n");
    });
    let run = rw(empty, "-n 5 -d 1m");
    assert!(run.failed(), "{}", run.page);
    assert_eq!((seen(&run).ended_empty, seen(&run).ended), (5, 0));
    assert_eq!(failures(&run, Failure::EofBeforeResponse), 5);
}

#[test]
fn another_type_and_another_status_are_told() {
    let page = raw("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\nhello", hold);
    let run = rw(page, "-n 5 -d 1m");
    run.fails_with(&["event_stream"]).says(&["instead of text/event-stream", "text/html"]);
    assert_eq!((run.failed(), seen(&run).wrong_type), (true, 5));
    assert_eq!(seen(&run).wrong_type_seen.as_deref(), Some("text/html"));
    assert_eq!(failures(&run, Failure::BadResponse), 5);
    let gone = raw("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", hold);
    let run = rw(gone, "-n 5 -d 1m");
    run.fails_with(&["http_errors"]).says(&["404"]);
    assert_eq!((seen(&run).refused, seen(&run).streams), (5, 0));
    let mute = server(hold);
    let run = rw(mute, "-n 2 -d 1m --timeout-read 300ms");
    assert_eq!((run.failed(), failures(&run, Failure::ReadTimeout)), (true, 2));
}

#[test]
fn hostile_streams_end_with_the_run_and_are_never_a_pass_with_events() {
    // One byte at a time: nothing is ever silent, and no event is complete.
    let slow = drips(b"d", Duration::from_millis(20));
    let run = rw(slow, "-d 1s");
    run.within(Duration::from_secs(60));
    assert_eq!((seen(&run).events, seen(&run).broken), (0, 0), "{:?}", seen(&run));
    let endless = raw(HEAD, |mut stream| {
        let piece = [&b"data: "[..], &[b'a'; 64 * 1024]].concat();
        while stream.write_all(&piece).is_ok() {}
    });
    let run = rw(endless, "-n 1 -d 1m");
    run.fails_with(&["event_stream"]);
    assert_eq!((seen(&run).broken, failures(&run, Failure::BadResponse)), (1, 1));
    let chunk = raw(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        hold,
    );
    assert!(rw(chunk, "-n 1 -d 1m").failed());
    let later = raw(HEAD, |mut stream| {
        let _ = stream.write_all(b"retry: 99999999999999999999\n\n");
    });
    rw(later, "-n 5 -d 1s").within(Duration::from_secs(60));
}

#[test]
fn a_head_that_never_ends_is_cut_off_by_its_length_or_by_its_time() {
    let fast = server(|mut stream| {
        request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
        while stream.write_all(&[&b"X: "[..], &[b'a'; 4_096], b"\r\n"].concat()).is_ok() {}
    });
    let run = rw(fast, "-n 1 -d 1m");
    assert_eq!((run.failed(), failures(&run, Failure::BadResponse)), (true, 1), "{}", run.page);
    let slow = server(|mut stream| {
        request(&mut stream);
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'a')) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let run = rw(slow, "-n 1 -d 1m --timeout-read 300ms");
    assert_eq!((run.failed(), failures(&run, Failure::ReadTimeout)), (true, 1), "{}", run.page);
}

#[test]
fn a_length_that_is_wrong_is_named_whether_bytes_are_missing_or_too_many() {
    const EVENT: &[u8] = b"retry: 10\ndata: 12345\n\n";
    let of_length = |length: usize| {
        server(move |mut stream| {
            request(&mut stream);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {length}\r\n\r\n"
            );
            let _ = stream.write_all(EVENT);
        })
    };
    let run = rw(of_length(EVENT.len() + 9), "-n 10 -d 1m");
    run.fails_with(&["event_stream"]);
    assert_eq!((seen(&run).cut, failures(&run, Failure::TruncatedResponse)), (5, 5), "{:?}", seen(&run));
    let run = rw(of_length(EVENT.len() - 2), "-n 4 -d 1m");
    assert!(run.failed() && seen(&run).events == 0, "{:?}", seen(&run));
}

#[test]
fn a_compressed_stream_is_not_unpacked_and_brings_no_event() {
    // A megabyte of event in a kilobyte, again and again.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(&[b'\n'; 1 << 20]).unwrap();
    let packed = packed.finish().unwrap();
    let bomb = server(move |mut stream| {
        request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n\r\n";
        let mut on = stream.write_all(head.as_bytes());
        while on.is_ok() {
            on = stream.write_all(&packed);
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let run = rw(bomb, "-n 1 -d 1s");
    run.within(Duration::from_secs(60));
    assert_eq!((seen(&run).events, run.report.workloads[0].succeeded), (0, 0), "{:?}", seen(&run));
    assert!(run.report.host.memory_peak_bytes.unwrap() < 200 << 20, "{:?}", run.report.host);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for more in
        ["-n 5", "--rate 5/s -d 1s", "--window 2 -d 1s", "--method POST -d 1s", "--expect-status 204 -d 1s"]
    {
        let output = crate::common::espstress_with(&format!("rw 127.0.0.1:9 --protocol sse {more}"));
        assert_eq!(output.status.code(), Some(2), "{more}");
    }
}

#[test]
fn node_and_python_pass_also_behind_nginx() {
    const NODE: &str = "require('http').createServer((request, response) => {\
        response.writeHead(200, {'Content-Type': 'text/event-stream'});\
        const timer = setInterval(() => response.write('data: ' + Date.now() + '\\n\\n'), 50);\
        response.on('close', () => clearInterval(timer)); })";
    const PYTHON: &str = "
import sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.end_headers()
        try:
            while True:
                self.wfile.write(b'event: tick\\ndata: 1\\n\\n')
                time.sleep(0.05)
        except OSError:
            pass
ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
";
    let servers = [node_script(NODE), python(PYTHON, &[])];
    for server in servers.into_iter().flatten() {
        let run = rw(server.address, "-n 20 -d 1m -c 2");
        run.passes();
        assert_eq!((seen(&run).events, seen(&run).streams), (20, 2), "{:?}", seen(&run));
        let proxy = format!("proxy_buffering off; upstream device {{ server {}; }}", server.address);
        // Each path of this server's that is no file goes to the device.
        let proxy = format!("{proxy} server {{ listen PROXY; location / {{ proxy_pass http://device; }} }}");
        let front = crate::common::scripted::own_address();
        let Some(_nginx) = nginx(&proxy.replace("PROXY", &front.to_string())) else { continue };
        let run = rw(front, "-n 20 -d 1m");
        run.passes();
        assert_eq!(seen(&run).events, 20);
    }
}

/// A server that serves one client at a time: a stream of events at /events, and pages elsewhere.
fn one_client() -> SocketAddr {
    serial(128, |mut peer| {
        peer.without_delay();
        let Some(request) = peer.request() else { return };
        if request.path() != "/events" {
            peer.answer(&request, "200 OK", "page");
            return peer.finish();
        }
        let mut alive = peer.send(HEAD);
        while alive {
            alive = peer.send("data: 21\n\n");
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

#[test]
fn a_server_that_an_open_stream_keeps_from_all_others_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.toml");
    let scenario = "[[phase]]\nname = 'events'\nkind = 'rw'\nprotocol = 'sse'\npath = '/events'\nduration = '3s'\n\
                    [[phase]]\nname = 'page'\nkind = 'head'\nstart = 'with-previous'\nconnections = 2\n\
                    timeout_read = '500ms'\nduration = '2s'\n";
    std::fs::write(&file, scenario).unwrap();
    let run = said("run --no-capture --watch 0s -t", &[&one_client().to_string(), file.to_str().unwrap()]);
    run.fails_with(&["blocked_application"]).says(&["serves one client at a time", "reads an event stream"]);
    // Of those who ask for streams alone, no more is known.
    let run = rw(one_client(), "--path /events -c 3 -d 2s --timeout-read 700ms --watch 0s");
    run.fails_with(&["blocked_application"]).says(&["too few event streams at once"]);
    let page = said("head -n 5 --watch 0s", &[&one_client().to_string()]);
    page.passes();
}
