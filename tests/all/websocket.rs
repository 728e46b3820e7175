//! `rw --protocol websocket` against services that others wrote, and ones with one fault each.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use espstress_event::{Failure, WebSockets};
use espstress_report::Verdict;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::common::said::{Said, said};
use crate::common::{answer_all, request, server, skipped};

#[track_caller]
fn rw(address: SocketAddr, more: &str) -> Said {
    said(&format!("rw --protocol websocket --no-capture {more}"), &[&address.to_string()])
}

fn seen(said: &Said) -> &WebSockets {
    said.report.workloads[0].by_protocol.as_ref().unwrap().websocket.as_ref().unwrap()
}

fn failures(said: &Said, failure: Failure) -> u64 {
    said.report.workloads[0].failures.get(failure)
}

/// A service that completes each handshake and then does `serve`.
fn service(serve: impl Fn(WebSocket<TcpStream>) + Send + Sync + 'static) -> SocketAddr {
    server(move |stream| {
        // Or what it says last waits for an acknowledgement, and is thrown away where unread messages end it by a RST.
        stream.set_nodelay(true).unwrap();
        if let Ok(socket) = tungstenite::accept(stream) {
            serve(socket);
        }
    })
}

/// Sends back what comes, until it ends or `most` messages have come.
fn echo(socket: &mut WebSocket<TcpStream>, most: usize) {
    let mut sent = 0;
    while let Ok(message) = socket.read() {
        if message.is_binary() || message.is_text() {
            if sent == most {
                return;
            }
            sent += 1;
            if socket.send(message).is_err() {
                return;
            }
        }
    }
}

/// A service that completes each handshake by hand and then sends these bytes.
fn raw(bytes: &'static [u8]) -> SocketAddr {
    greeted(move |stream| {
        let _ = stream.write_all(bytes);
        // Until the other side has had enough.
        let _ = std::io::copy(stream, &mut std::io::sink());
    })
}

/// A service that completes each handshake by hand and then does `serve`.
fn greeted(serve: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    server(move |mut stream| {
        let head = String::from_utf8(request(&mut stream)).unwrap();
        let Some(key) = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")) else {
            return;
        };
        let accept = derive_accept_key(key.trim().as_bytes());
        let _ = write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        serve(&mut stream);
    })
}

#[test]
fn an_echo_service_passes_with_pings_windows_and_large_messages() {
    let address = service(|mut socket| echo(&mut socket, usize::MAX));
    let run = rw(address, "-n 100 -c 2");
    run.passes();
    let ws = seen(&run);
    assert_eq!((ws.handshakes, ws.refused, ws.close_unanswered), (2, 0, 0));
    assert!(ws.pings > 4 && ws.pongs == ws.pings, "{ws:?}");
    assert!(ws.closes.is_empty(), "it was this side that closed: {ws:?}");
    rw(address, "-n 50 --window 8 --size 100KiB --threshold rw.websocket.pongs_missing==0").passes();
    rw(address, "-n 20 --per-connection 5 --size 8B").passes();
}

#[test]
fn what_the_device_pushes_between_its_echoes_is_no_failure() {
    let address = service(|mut socket| {
        let _ = socket.send(Message::text("hello"));
        while let Ok(message) = socket.read() {
            if message.is_binary() {
                let _ = socket.send(Message::text("{\"heap\":1}"));
                let _ = socket.send(Message::Ping(vec![1, 2].into()));
                let _ = socket.send(message);
            }
        }
    });
    let run = rw(address, "-n 30");
    run.passes();
    assert_eq!((seen(&run).pushed, seen(&run).pings_from_device), (31, 30));
}

#[test]
fn a_frame_that_is_not_allowed_fails_the_next_message_although_it_comes_between_two() {
    const MASKED: &[u8] = &[0x81, 0x81, 1, 2, 3, 4, 5];
    const RESERVED: &[u8] = &[0x83, 0];
    const FRAGMENTED: &[u8] = &[0x09, 1, b'x'];
    let long: &'static [u8] = Box::leak([&[0x89, 126, 0, 200][..], &[b'x'; 200]].concat().into_boxed_slice());
    std::thread::scope(|scope| {
        for (frame, words) in [
            (MASKED, "a masked frame"),
            (RESERVED, "a reserved opcode"),
            (FRAGMENTED, "a fragmented control frame"),
            (long, "a control frame of more than 125 bytes"),
        ] {
            scope.spawn(move || {
                let address = service(move |mut socket| {
                    while let Ok(message) = socket.read() {
                        if message.is_binary()
                            && (socket.send(message).is_err() || socket.get_mut().write_all(frame).is_err())
                        {
                            return;
                        }
                    }
                });
                let run = rw(address, "-n 12 -c 1 --interval 50ms");
                run.fails_with(&["malformed_response"]).says(&["breaks the WebSocket protocol", words]);
                assert_eq!(failures(&run, Failure::BadResponse), 6, "every other one: {words}");
            });
        }
    });
}

#[test]
fn messages_behind_a_close_frame_are_not_sent_back_and_met_no_reset() {
    let address = service(|mut socket| {
        echo(&mut socket, 20);
        let normal = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
        let _ = socket.close(Some(normal)).and_then(|()| socket.flush());
    });
    let run = rw(address, "-n 100 --window 4");
    run.says(&["the device closed their WebSocket connections"])
        .never_says(&["before the request has arrived"]);
    let failures = &run.report.workloads[0].failures;
    assert_eq!((failures.get(Failure::WriteReset), failures.get(Failure::ReadReset)), (0, 0));
}

#[test]
fn a_service_that_pushes_and_echoes_nothing_is_no_hang() {
    let address = service(|mut socket| {
        while socket.read().is_ok() {
            let _ = socket.send(Message::text("21 degrees"));
        }
    });
    let run = rw(address, "-n 4 --timeout-read 300ms");
    run.fails_with(&["other_protocol"])
        .says(&["completes the WebSocket handshake", "send each message back"]);
}

#[test]
fn a_close_between_messages_ends_an_idle_connection_and_fails_nothing() {
    let address = service(|mut socket| {
        let mut echoed = 0;
        while echoed < 2 {
            match socket.read() {
                Ok(message) if message.is_binary() => {
                    let _ = socket.send(message);
                    echoed += 1;
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let _ = socket.close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }));
        while socket.read().is_ok() {}
    });
    let run = rw(address, "-n 6 -c 1 --interval 500ms");
    run.passes().counts("rw", 6, 6);
    // The last one may cross this side's own.
    assert!(matches!(seen(&run).closes.get("normal"), Some(2 | 3)), "{:?}", seen(&run));
}

#[test]
fn close_codes_are_told_by_name() {
    for (code, name) in [
        (CloseCode::Size, "too_big"),
        (CloseCode::Away, "going_away"),
        (CloseCode::Error, "internal_error"),
        (CloseCode::Library(4_000), "4000"),
    ] {
        let address = service(move |mut socket| {
            echo(&mut socket, 2);
            let _ = socket.close(Some(CloseFrame { code, reason: "".into() }));
            while socket.read().is_ok() {}
        });
        let run = rw(address, "-n 9");
        assert_eq!((seen(&run).closes.get(name), seen(&run).closes.len()), (Some(&3), 1), "{:?}", seen(&run));
        assert_eq!(failures(&run, Failure::EofBeforeResponse), 3);
        run.says(&[&format!("closed by the device: {name} 3")]);
    }
    let cut = service(|mut socket| echo(&mut socket, 2));
    let run = rw(cut, "-n 3");
    assert_eq!(seen(&run).closes.get("no_close_frame"), Some(&1), "{:?}", seen(&run));
}

#[test]
fn a_device_that_closes_with_its_last_echo_is_not_asked_to_close_again() {
    let address = service(|mut socket| {
        while let Ok(message) = socket.read() {
            if message.is_binary() {
                // Both leave in one segment.
                let _ = socket.write(message);
                let _ = socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "".into() }));
            }
        }
    });
    let run = rw(address, "-n 4 -c 4");
    assert_eq!(run.report.workloads[0].succeeded, 4);
    let ws = seen(&run);
    assert_eq!(ws.closes, [("going_away".to_owned(), 4)].into(), "{ws:?}");
    assert_eq!(ws.close_unanswered, 0);
}

#[test]
fn a_close_frame_that_the_device_ignores_is_counted() {
    let address = server(|stream| {
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        echo(&mut socket, 1);
        // It has read the close frame or a further message, and answers neither.
        let _ = std::io::copy(socket.get_mut(), &mut std::io::sink());
    });
    let run = rw(address, "-n 1 --timeout-read 300ms");
    assert_eq!(failures(&run, Failure::ReadTimeout), 0);
}

#[test]
fn a_refused_handshake_is_named_with_its_status() {
    let missing = server(|mut stream| {
        while !request(&mut stream).is_empty() {
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let run = rw(missing, "-n 6 --path /nowhere");
    run.fails_with(&["http_errors"])
        .says(&["refused 6 of 6 attempts the WebSocket handshake: 404 (6 times)", "--path"]);
    assert_eq!((failures(&run, Failure::BadStatus), seen(&run).refused), (6, 6));
    let page = server(answer_all);
    rw(page, "-n 6").fails_with(&["http_errors"]).says(&["the WebSocket handshake: 200 (6 times)"]);
    let other = server(|mut stream| {
        let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n");
        let _ = request(&mut stream);
    });
    let run = rw(other, "-n 6");
    assert_eq!((run.failed(), failures(&run, Failure::BadResponse)), (true, 6));
}

#[test]
fn frames_that_are_none_are_bad_responses_and_end_the_connection() {
    // Compressed though nobody offered it, a length beyond every limit, a masked frame, an opcode that there is not.
    let frames: [&[u8]; 4] = [
        b"\xc2\x05\xec\x1d\xc1\x01\x00",
        b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\x82\x81\x01\x02\x03\x04\x05",
        b"\x83\x00",
    ];
    for bytes in frames {
        let run = rw(raw(bytes), "-n 5");
        assert_eq!((run.failed(), failures(&run, Failure::BadResponse)), (true, 5), "{bytes:?}");
    }
    // A frame that promises more than it holds.
    let run = rw(raw(b"\x82\x7e\x01\x00\xe5\x57"), "-n 2 --timeout-read 200ms");
    assert_eq!((run.failed(), failures(&run, Failure::ReadTimeout)), (true, 2));
}

#[test]
fn a_handshake_that_trickles_in_ends_with_the_read_time_out() {
    let address = server(|mut stream| {
        let _ = request(&mut stream);
        let head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: ";
        for byte in head.iter().chain(std::iter::repeat(&b'a')) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let run = rw(address, "-n 2 --timeout-read 300ms");
    assert_eq!((run.failed(), failures(&run, Failure::ReadTimeout)), (true, 2));
}

#[test]
fn a_handshake_or_a_message_without_end_is_cut_off_and_takes_no_memory() {
    let head = server(|mut stream| {
        let _ = request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n");
        while stream.write_all(&[&b"X: "[..], &[b'a'; 4_096], b"\r\n"].concat()).is_ok() {}
    });
    let run = rw(head, "-n 2");
    assert_eq!((run.failed(), failures(&run, Failure::BadResponse)), (true, 2));
    // The first fragment of a message, and further ones without end.
    let fragments = greeted(|stream| {
        let frame = |first: u8| [&[first, 126, 0xff, 0xff][..], &[0; 0xffff]].concat();
        let (first, next) = (frame(0x02), frame(0x00));
        let mut on = stream.write_all(&first);
        while on.is_ok() {
            on = stream.write_all(&next);
        }
    });
    let run = rw(fragments, "-n 2");
    assert_eq!((run.failed(), failures(&run, Failure::BadResponse)), (true, 2));
    assert!(run.report.host.memory_peak_bytes.unwrap() < 200 << 20, "{:?}", run.report.host);
}

/// Each byte is in time, as on a slow link: the run's own time is the bound.
#[test]
fn a_message_that_trickles_in_ends_with_the_run_and_is_no_success() {
    let address = greeted(|stream| {
        let _ = stream.write_all(&[0x82, 126, 0x10, 0]);
        while stream.write_all(b"a").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let run = rw(address, "-d 100ms --timeout-connect 500ms --timeout-read 500ms --timeout-write 500ms");
    run.within(Duration::from_secs(60));
    assert_eq!((run.report.verdict, run.report.workloads[0].succeeded), (Verdict::Inconclusive, 0));
    assert!(run.progress.contains("an answer was still coming in"), "{}", run.progress);
}

#[test]
fn compression_that_nobody_offered_fails_the_handshake() {
    let address = server(|mut stream| {
        let head = String::from_utf8(request(&mut stream)).unwrap();
        let Some(key) = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")) else {
            return;
        };
        assert!(!head.contains("permessage-deflate"), "{head}");
        let accept = derive_accept_key(key.trim().as_bytes());
        let _ = write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
        );
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let run = rw(address, "-n 2");
    assert_eq!((run.failed(), failures(&run, Failure::BadResponse), seen(&run).refused), (true, 2, 2));
}

#[test]
fn a_connection_on_which_nobody_would_answer_pings_is_refused() {
    for (more, status) in [("--interval 1m -d 1s", 2), ("--size 7B", 2), ("--size 2MiB", 2)] {
        let output = crate::common::espstress_with(&format!("rw 127.0.0.1:9 --protocol websocket {more}"));
        assert_eq!(output.status.code(), Some(status), "{more}");
    }
}

/// The service of Python's `websockets`: `ESPSTRESS_WEBSOCKETS` names a Python that has it, else the virtual environment
/// that CI makes, else the system's.
struct Theirs(Child, SocketAddr);

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Python with this module.
fn python_with(module: &str) -> Option<PathBuf> {
    let venv = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/mqtt-venv/bin/python");
    let named = std::env::var_os("ESPSTRESS_WEBSOCKETS").map(PathBuf::from);
    let has = |python: &PathBuf| {
        let import = Command::new(python).args(["-c", &format!("import {module}")]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let python = named.into_iter().chain([venv, PathBuf::from("python3")]).find(has);
    if python.is_none() {
        skipped("websockets", &format!("no Python with {module}"));
    }
    python
}

/// Starts a server and waits until it takes connections.
fn start(command: &mut Command, address: SocketAddr) -> Theirs {
    let child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut theirs = Theirs(child, address);
    let give_up = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(theirs.0.try_wait().unwrap().is_none() && Instant::now() < give_up, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    theirs
}

fn theirs() -> Option<Theirs> {
    let python = python_with("websockets.asyncio.server")?;
    let address = crate::common::scripted::own_address();
    // Its own keep-alive pings each second, and gives up a client that does not answer for two.
    let script = format!(
        "import asyncio\n\
         from websockets.asyncio.server import serve\n\
         async def echo(ws):\n\
         \x20   async for message in ws: await ws.send(message)\n\
         async def main():\n\
         \x20   async with serve(echo, '{}', {}, ping_interval=1, ping_timeout=2): await asyncio.Future()\n\
         asyncio.run(main())\n",
        address.ip(),
        address.port()
    );
    Some(start(Command::new(python).args(["-c", &script]), address))
}

/// The service of aiohttp, with its own pings.
fn aiohttp() -> Option<Theirs> {
    let python = python_with("aiohttp.web")?;
    let address = crate::common::scripted::own_address();
    let script = format!(
        "from aiohttp import web, WSMsgType\n\
         async def echo(request):\n\
         \x20   ws = web.WebSocketResponse(heartbeat=1)\n\
         \x20   await ws.prepare(request)\n\
         \x20   async for message in ws:\n\
         \x20       if message.type == WSMsgType.BINARY: await ws.send_bytes(message.data)\n\
         \x20   return ws\n\
         app = web.Application()\n\
         app.router.add_get('/', echo)\n\
         web.run_app(app, host='{}', port={}, print=None)\n",
        address.ip(),
        address.port()
    );
    Some(start(Command::new(python).args(["-c", &script]), address))
}

/// The service of node's package `ws`, where node finds it (NODE_PATH): node has no WebSocket server of its own.
fn node_ws() -> Option<Theirs> {
    let has = Command::new("node").args(["-e", "require('ws')"]).stderr(Stdio::null()).status();
    if !has.is_ok_and(|status| status.success()) {
        skipped("strangers", "no node with the package ws, which NODE_PATH may name");
        return None;
    }
    let address = crate::common::scripted::own_address();
    let script = format!(
        "new (require('ws').WebSocketServer)({{host: '{}', port: {}}}).on('connection', ws => \
         ws.on('message', (data, binary) => ws.send(data, {{binary}})))",
        address.ip(),
        address.port()
    );
    Some(start(Command::new("node").args(["-e", &script]), address))
}

/// nginx as a proxy in front of a service.
fn behind_nginx(service: SocketAddr) -> Option<(crate::common::programs::Server, SocketAddr)> {
    let front = crate::common::scripted::own_address();
    let proxy = format!(
        "server {{ listen {front}; location / {{ proxy_pass http://{service}; proxy_http_version 1.1;\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}"
    );
    Some((crate::common::programs::nginx(&proxy)?, front))
}

#[test]
fn services_that_others_wrote_pass_also_behind_nginx() {
    for (name, service) in [("websockets", theirs()), ("aiohttp", aiohttp()), ("ws", node_ws())] {
        let Some(service) = service else { continue };
        let Some((_nginx, front)) = behind_nginx(service.1) else { return };
        for address in [service.1, front] {
            let run = rw(address, "-n 100 -c 2 --size 4KiB");
            run.passes();
            let seen = seen(&run);
            assert_eq!((seen.handshakes, seen.pings), (2, seen.pongs), "{name} at {address}: {seen:?}");
        }
    }
}

#[test]
fn pythons_websockets_passes_and_its_limit_is_told_by_the_close_code() {
    let Some(server) = theirs() else { return };
    let run = rw(server.1, "-n 200 -c 2 --size 4KiB");
    run.passes();
    assert_eq!((seen(&run).pings, seen(&run).close_unanswered), (seen(&run).pongs, 0));
    // Its pings come between two messages and have to be answered.
    let run = rw(server.1, "--interval 400ms -c 1 -d 3s");
    run.passes();
    assert!(seen(&run).pings_from_device >= 1 && seen(&run).closes.is_empty(), "{:?}", seen(&run));
}
