//! Servers and clients that others wrote, on ten sockets.

use std::path::{Path, PathBuf};
use std::process::Command;

use espstress_report::Verdict;
use libtest_mimic::Failed;

use super::runs::{Case, espstress, report, said};
use crate::runner::skip;

pub(crate) const ALL: &[Case] = &[
    ("python_serves_on_ten_sockets", |folder| serves(folder, "python3", "-m http.server 80")),
    ("lighttpd_serves_on_ten_sockets", lighttpd),
    ("nginx_with_two_workers_serves_on_ten_sockets", nginx),
    ("busybox_serves_on_ten_sockets", |folder| serves(folder, "busybox", "httpd -f -p 80")),
    ("node_serves_on_ten_sockets", node),
    ("a_static_go_program_serves_on_ten_sockets", go),
    ("mosquitto_passes_messages_on_ten_sockets", mosquitto),
    ("pythons_ssl_speaks_tls_on_lwip", python_tls),
    ("pythons_event_streams_come_over_lwip", python_events),
    ("pythons_websockets_echoes_messages_over_lwip", python_websockets),
    ("what_a_program_dials_on_this_host_is_told_if_it_is_refused", python_dials),
    ("curl_fetches_as_the_device", curl),
];

/// Whether a program can be started at all; Debian has its servers where an ordinary user's PATH may not name them.
fn is_here(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Every request of several clients is answered, packets and report without a fault of the device's.
fn serves(folder: &Path, program: &str, arguments: &str) -> Result<(), Failed> {
    if !is_here(program) {
        return skip("strangers", &format!("no {program}"));
    }
    std::fs::write(folder.join("index.html"), "<p>hello</p>\n")?;
    let command = format!("{program} {arguments}");
    let words = ["head", "twin", "--program", &command, "-c", "3", "-n", "300", "--no-gate"];
    let Some(report) = report(folder, &words)? else { return Ok(()) };
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.findings);
    let head = report.workload("head").ok_or("head")?;
    assert_eq!((head.attempts, head.succeeded), (300, 300), "{:?}", head.failures);
    assert_eq!(report.target.program.as_ref().and_then(|p| p.end.clone()), None);
    let end = format!("{:?}", report.telemetry.as_ref().and_then(|t| t.reboots));
    assert!(matches!(end.as_str(), "Some(0)" | "None"), "{end}");
    Ok(())
}

fn lighttpd(folder: &Path) -> Result<(), Failed> {
    let root = folder.display();
    let text = format!(
        "server.bind = \"0.0.0.0\"\nserver.port = 80\nserver.document-root = \"{root}\"\nindex-file.names = ( \"index.html\" )\n"
    );
    std::fs::write(folder.join("lighttpd.conf"), text)?;
    serves(folder, "lighttpd", "-D -f lighttpd.conf")
}

fn nginx(folder: &Path) -> Result<(), Failed> {
    let root = folder.display();
    let text = format!(
        "daemon off; worker_processes 2; pid pid; error_log stderr;\nevents {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d;\n\
         scgi_temp_path e; sendfile on; server {{ listen 80; location / {{ root {root}; }} }} }}\n"
    );
    std::fs::write(folder.join("nginx.conf"), text)?;
    serves(folder, "nginx", &format!("-p {root} -c nginx.conf -e stderr"))
}

fn node(folder: &Path) -> Result<(), Failed> {
    let text = "require('http').createServer((request, response) => response.end('hello\\n')).listen(80)";
    std::fs::write(folder.join("server.js"), text)?;
    serves(folder, "node", "server.js")
}

/// TLS over lwIP: handshakes of both kinds, a body, and packets that are judged as ever.
fn python_tls(folder: &Path) -> Result<(), Failed> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/https");
    let certificate = here.join("certs/device.pem");
    let key = here.join("certs/device.key");
    let script = here.join("server.py");
    let command =
        format!("python3 {} 0.0.0.0 443 {} {}", script.display(), certificate.display(), key.display());
    let more = ["--tls", "--insecure", "-n", "20", "-c", "2", "--no-gate"];
    let body = ["--method", "POST", "--body", "20KiB"];
    for kind in ["head", "rw"] {
        let protocol: &[&str] = if kind == "rw" { &["--protocol", "http"] } else { &[] };
        let words = [&[kind, "twin", "--program", &command], &more[..], &body, protocol].concat();
        let Some(report) = report(folder, &words)? else { return Ok(()) };
        let w = report.workload(kind).ok_or(kind)?;
        assert_eq!((w.attempts, w.succeeded), (20, 20), "{kind}: {:?}", w.failures);
        let tls = w.http.tls.as_ref().ok_or("no TLS")?;
        assert!(tls.failures.is_empty() && tls.full > 0, "{kind}: {tls:?}");
        assert_eq!(tls.full + tls.resumed, if kind == "rw" { 2 } else { 20 }, "{kind}");
        let uploads = w.http.uploads.as_ref().ok_or("no uploads")?;
        assert_eq!((uploads.begun, uploads.taken), (20, 20), "{kind}");
    }
    Ok(())
}

/// Event streams over lwIP, from a thread each: events, gaps, and an end in order at each thirtieth event.
fn python_events(folder: &Path) -> Result<(), Failed> {
    if !is_here("python3") {
        return skip("strangers", "no python3");
    }
    let text = "import time\nfrom http.server import BaseHTTPRequestHandler, ThreadingHTTPServer\n\
                class Handler(BaseHTTPRequestHandler):\n    def do_GET(self):\n        self.send_response(200)\n        \
                self.send_header('Content-Type', 'text/event-stream')\n        self.end_headers()\n        \
                self.wfile.write(b'retry: 100\\n\\n')\n        for n in range(30):\n            \
                self.wfile.write(b'id: %d\\ndata: tick\\n\\n' % n)\n            time.sleep(0.05)\n\
                ThreadingHTTPServer(('0.0.0.0', 80), Handler).serve_forever()\n";
    std::fs::write(folder.join("events.py"), text)?;
    let words = ["rw", "twin", "--program", "python3 events.py", "--protocol", "sse", "-c", "2", "-d", "5s"];
    let Some(report) = report(folder, &words)? else { return Ok(()) };
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.findings);
    let rw = report.workload("rw").ok_or("rw")?;
    let sse = rw.by_protocol.as_ref().and_then(|by| by.sse.clone()).ok_or("no streams")?;
    assert!(sse.ended >= 2, "{sse:?}");
    assert_eq!((sse.cut, sse.reset, sse.unfinished, sse.retry_ms), (0, 0, 0, Some(100)), "{sse:?}");
    assert!(sse.events >= 30 * sse.ended, "{sse:?}");
    Ok(())
}

/// WebSocket over lwIP: handshakes, messages of several segments, and pongs.
fn python_websockets(folder: &Path) -> Result<(), Failed> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/mqtt-venv/bin/python");
    let named = std::env::var_os("ESPSTRESS_WEBSOCKETS").map(PathBuf::from);
    let has = |python: &PathBuf| {
        let import = Command::new(python).args(["-c", "import websockets.asyncio.server"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let Some(python) = named.into_iter().chain([venv, "python3".into()]).find(has) else {
        return skip("websockets", "no Python with websockets");
    };
    let text = "import asyncio\nfrom websockets.asyncio.server import serve\n\
                async def echo(ws):\n    async for message in ws: await ws.send(message)\n\
                async def main():\n    async with serve(echo, '0.0.0.0', 80): await asyncio.Future()\n\
                asyncio.run(main())\n";
    std::fs::write(folder.join("websocket.py"), text)?;
    let program = format!("{} websocket.py", python.display());
    let words = ["rw", "twin", "--program", &program, "--protocol", "websocket", "-n", "60", "-c", "2"];
    let Some(report) = report(folder, &[&words[..], &["--size", "4KiB", "--no-gate"]].concat())? else {
        return Ok(());
    };
    let rw = report.workload("rw").ok_or("rw")?;
    assert_eq!((rw.attempts, rw.succeeded), (60, 60), "{:?}", rw.failures);
    let ws = rw.by_protocol.as_ref().and_then(|by| by.websocket.clone()).ok_or("no messages")?;
    assert!(ws.handshakes == 2 && ws.pings > 0 && ws.pongs == ws.pings, "{ws:?}");
    Ok(())
}

/// A program that serves, and dials a port of the host's where nothing listens: a remark, and no finding.
fn python_dials(folder: &Path) -> Result<(), Failed> {
    if !is_here("python3") {
        return skip("strangers", "no python3");
    }
    let text = "import socket, threading, time\nfrom http.server import BaseHTTPRequestHandler, ThreadingHTTPServer\n\
                class Handler(BaseHTTPRequestHandler):\n    def do_HEAD(self):\n        self.send_response(200)\n        \
                self.send_header('Content-Length', '0')\n        self.end_headers()\n\
                def dial():\n    while True:\n        try: socket.create_connection(('192.168.4.1', 1884), 2).close()\n        \
                except OSError: pass\n        time.sleep(0.3)\n\
                threading.Thread(target=dial, daemon=True).start()\n\
                ThreadingHTTPServer(('0.0.0.0', 80), Handler).serve_forever()\n";
    std::fs::write(folder.join("dials.py"), text)?;
    let words = ["head", "twin", "--program", "python3 dials.py", "-r", "5/s", "-d", "2s"];
    let Some(report) = report(folder, &words)? else { return Ok(()) };
    assert_eq!(report.verdict, Verdict::Pass, "{:#?}", report.findings);
    assert!(report.anomalies.iter().all(|row| row.workload.is_some()), "{:?}", report.anomalies);
    let remark = report.remarks.iter().find(|remark| remark.contains("the device dialed 192.168.4.1:1884"));
    assert!(remark.is_some_and(|remark| remark.contains("were refused")), "{:?}", report.remarks);
    Ok(())
}

fn go(folder: &Path) -> Result<(), Failed> {
    if !is_here("go") {
        return skip("strangers", "no go");
    }
    let text = "package main\n\nimport \"net/http\"\n\nfunc main() {\n\thttp.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) \
                { w.Write([]byte(\"hello\\n\")) })\n\tpanic(http.ListenAndServe(\":80\", nil))\n}\n";
    std::fs::write(folder.join("server.go"), text)?;
    let mut build = Command::new("go");
    build.args(["build", "-o", "go-server", "server.go"]).current_dir(folder);
    let output = build.env("CGO_ENABLED", "0").env("GO111MODULE", "off").output()?;
    assert!(output.status.success(), "{}", said(&output));
    let command = folder.join("go-server").display().to_string();
    let words = ["head", "twin", "--program", &command, "-c", "3", "-n", "300", "--no-gate"];
    let Some(report) = report(folder, &words)? else { return Ok(()) };
    let head = report.workload("head").ok_or("head")?;
    assert_eq!((head.attempts, head.succeeded), (300, 300), "{:?}", head.failures);
    Ok(())
}

/// What a shell says beside a twin that runs `program`.
fn beside(folder: &Path, options: &[&str], program: &str, script: &str) -> Result<Option<String>, Failed> {
    let words = [&["twin", "--program", program], options, &["--", "sh", "-c", script]].concat();
    let output = espstress(folder, &words)?;
    let text = said(&output);
    if output.status.code() == Some(3) && (text.contains("namespace") || text.contains("tun")) {
        skip("twin", &text)?;
        return Ok(None);
    }
    Ok(Some(text))
}

fn mosquitto(folder: &Path) -> Result<(), Failed> {
    for program in ["mosquitto", "mosquitto_pub", "mosquitto_sub"] {
        if !is_here(program) {
            return skip("strangers", &format!("no {program}"));
        }
    }
    std::fs::write(folder.join("mosquitto.conf"), "listener 1883 0.0.0.0\nallow_anonymous true\n")?;
    let script = "mosquitto_sub -h $ESPSTRESS_TWIN -q 1 -t a/# -C 200 > got & \
                  until mosquitto_pub -h $ESPSTRESS_TWIN -t b -n; do sleep 0.1; done; sleep 1; \
                  seq 200 | mosquitto_pub -h $ESPSTRESS_TWIN -q 1 -t a/b -l; wait; seq 200 | cmp - got && echo the same";
    let Some(text) = beside(folder, &[], "mosquitto -c mosquitto.conf", script)? else { return Ok(()) };
    assert!(text.contains("the same"), "{text}");
    Ok(())
}

fn curl(folder: &Path) -> Result<(), Failed> {
    for program in ["curl", "python3"] {
        if !is_here(program) {
            return skip("strangers", &format!("no {program}"));
        }
    }
    let page: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(folder.join("page"), &page)?;
    let device = "sh -c 'until curl -s -o fetched http://192.168.4.1:8000/page; do sleep 0.1; done; echo > done; exec sleep 100'";
    let script = "python3 -m http.server 8000 >/dev/null 2>&1 & server=$!; \
                  for n in $(seq 200); do [ -e done ] && break; sleep 0.1; done; kill $server; cmp page fetched && echo the same";
    let Some(text) = beside(folder, &["--dial", "8000"], device, script)? else { return Ok(()) };
    assert!(text.contains("the same"), "{text}");
    Ok(())
}
