//! Devices whose TLS goes wrong: each is named, and none holds the client longer than its time-out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use espstress_event::{Endpoints, Failure, HttpFault, StallEnd, TlsFault};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::{detail, faults, file, tls};
use crate::common::run_at;
use crate::common::said::said;
use crate::common::scripted::{Peer, scripted};

/// Reads the client's first record, and gives the socket away.
fn greeted(mut peer: Peer) -> TcpStream {
    peer.receive();
    peer.handle()
}

/// Runs two attempts and says how TLS failed; no attempt takes much longer than its time-out.
#[track_caller]
fn fails(settings: &str, script: impl Fn(Peer) + Send + Sync + 'static, fault: TlsFault) -> String {
    let start = Instant::now();
    let stats = tls("head", &format!("count = 2\ninsecure = true\n{settings}"), scripted(script));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(faults(&stats), [(fault, 2)]);
    detail(&stats, fault)
}

/// A handshake record of TLS 1.2 with this content.
fn record(content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[22, 3, 3, high, low], content].concat()
}

#[test]
fn a_plain_http_server_is_not_tls() {
    let detail = fails(
        "",
        |peer| {
            let mut stream = greeted(peer);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        },
        TlsFault::NotTls,
    );
    assert!(detail.contains("http://"), "{detail}");
}

#[test]
fn a_close_and_a_reset_in_the_handshake_are_told_apart() {
    fails("", |peer| drop(greeted(peer)), TlsFault::Closed);
    fails("", |peer| crate::common::reset(greeted(peer)), TlsFault::Reset);
}

#[test]
fn the_command_names_a_close_in_the_handshake_as_one() {
    let target = scripted(|peer| drop(greeted(peer)));
    said("head --insecure -n 8 --watch 0s --no-capture", &[&format!("https://{target}")])
        .fails_with(&["tls_failed"])
        .says(&["closed the connection during the handshake"]);
}

/// The usual fault of small devices: no memory for one session more.
#[test]
fn a_session_that_is_one_too_many_and_reset_in_the_handshake_failed_in_tls() {
    let speaks = device_of_one();
    said("head --insecure -n 24 -c 3 --watch 0s", &[&format!("https://{speaks}")])
        .fails_with(&["tls_failed"])
        .says(&["reset the connection during the handshake", "too little memory"])
        .never_says(&["accept()"]);
}

/// It has memory for one session; the others get a RST after their ClientHello.
fn device_of_one() -> SocketAddr {
    let sessions = std::sync::atomic::AtomicU32::new(0);
    let config = config(rustls::DEFAULT_VERSIONS, None);
    scripted(move |peer| {
        use std::sync::atomic::Ordering;
        peer.without_delay();
        if sessions.fetch_add(1, Ordering::SeqCst) > 0 {
            crate::common::reset(greeted(peer));
        } else {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, peer.handle());
            let mut request = [0; 1_000];
            while stream.read(&mut request).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
            }
        }
        sessions.fetch_sub(1, Ordering::SeqCst);
    })
}

/// The figures of the response before are none of a handshake that fails.
#[test]
fn a_handshake_that_fails_after_a_good_response_has_no_malformed_response() {
    let first = std::sync::atomic::AtomicBool::new(true);
    let config = config(rustls::DEFAULT_VERSIONS, None);
    let target = scripted(move |peer| {
        if !first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            let _ = greeted(peer).read(&mut [0; 100]);
            return;
        }
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), peer.handle());
        let _ = stream.read(&mut [0; 1_000]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    });
    let stats = tls("head", "count = 3\ninsecure = true\ntimeout_connect = '300ms'", target);
    assert_eq!((stats.succeeded, faults(&stats)), (1, vec![(TlsFault::TimedOut, 2)]));
    assert!(stats.malformed.is_empty(), "{:?}", stats.malformed);
}

#[test]
fn the_command_names_a_handshake_that_takes_too_long_and_no_request_that_was_never_sent() {
    let target = scripted(|peer| {
        let _ = greeted(peer).read(&mut [0; 100]);
    });
    said(
        "head --insecure -n 4 -c 4 --timeout-connect 1s --watch 0s --no-capture",
        &[&format!("https://{target}")],
    )
    .fails_with(&["tls_failed"])
    .says(&["the handshake timed out"])
    .never_says(&["no handler for HEAD"]);
}

#[test]
fn alerts_are_named() {
    let alert = |code: u8| {
        move |peer: Peer| {
            let mut stream = greeted(peer);
            let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, code]);
            let _ = stream.read(&mut [0; 100]);
        }
    };
    assert!(fails("", alert(40), TlsFault::Incompatible).contains("handshake_failure"));
    assert_eq!(fails("", alert(80), TlsFault::Alert), "internal_error");
}

#[test]
fn silence_and_one_byte_a_second_end_with_the_time_out() {
    let limit = "timeout_connect = '1s'";
    fails(
        limit,
        |peer| {
            let mut stream = greeted(peer);
            let _ = stream.read(&mut [0; 100]);
        },
        TlsFault::TimedOut,
    );
    let detail = fails(
        limit,
        |peer| {
            let mut stream = greeted(peer);
            // A hello of 16 KiB, slowly.
            let bytes = record(&[&[2, 0, 63, 0][..], &[3; 16_000][..]].concat());
            for byte in bytes {
                if stream.write_all(&[byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(300));
            }
        },
        TlsFault::TimedOut,
    );
    assert!(detail.contains("bytes of an answer"), "{detail}");
}

#[test]
fn wrong_lengths_break_the_protocol() {
    // A record longer than any may be (RFC 8446, 5.2).
    fails(
        "",
        |peer| {
            let mut stream = greeted(peer);
            let _ = stream.write_all(&[22, 3, 3, 0xff, 0xff]);
            let _ = stream.write_all(&[0; 70_000]);
            let _ = stream.read(&mut [0; 100]);
        },
        TlsFault::BadRecord,
    );
    // A hello whose inner length goes beyond its own.
    fails(
        "",
        |peer| {
            let mut stream = greeted(peer);
            let _ = stream.write_all(&record(&[2, 0, 0, 3, 3, 3, 200]));
            let _ = stream.read(&mut [0; 100]);
        },
        TlsFault::BadRecord,
    );
}

#[test]
fn a_handshake_without_end_is_cut_off() {
    let flood = |piece: Vec<u8>| {
        move |peer: Peer| {
            let mut stream = greeted(peer);
            while stream.write_all(&piece).is_ok() {}
        }
    };
    // One message that claims sixteen megabytes, and records that go on filling it.
    fails("timeout_connect = '3s'", flood(record(&[2; 16_000])), TlsFault::BadRecord);
    // Change-cipher-spec without end.
    fails("timeout_connect = '3s'", flood([20, 3, 3, 0, 1, 1].repeat(500)), TlsFault::BadRecord);
}

/// A device that speaks TLS.
fn device(script: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static) -> SocketAddr {
    speaking(rustls::DEFAULT_VERSIONS, None, script)
}

/// The same in these versions, for clients that have a certificate of this authority.
fn speaking(
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<RootCertStore>,
    script: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
) -> SocketAddr {
    let config = config(versions, clients);
    scripted(move |peer| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        script(StreamOwned::new(connection, peer.handle()));
    })
}

fn config(
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<RootCertStore>,
) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(file("device.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("device.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = match clients {
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
        None => builder.with_no_client_auth(),
    };
    Arc::new(builder.with_single_cert(vec![certificate], key).unwrap())
}

#[test]
fn a_client_certificate_that_the_device_wants_is_named_in_both_versions() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file("authority.pem")).unwrap()).unwrap();
        let target = speaking(&[version], Some(roots), |mut stream| {
            let _ = stream.read(&mut [0; 1_000]);
            let _ = stream.flush();
            while stream.sock.read(&mut [0; 1_000]).is_ok_and(|n| n > 0) {}
        });
        let stats = tls("head", "count = 2\ninsecure = true", target);
        assert_eq!(faults(&stats), [(TlsFault::Alert, 2)], "{version:?}");
        let detail = detail(&stats, TlsFault::Alert);
        assert!(detail.contains("client certificate"), "{version:?}: {detail}");
    }
}

#[test]
fn a_reset_after_the_handshake_is_a_reset_of_the_request() {
    let target = device(|mut stream| {
        let _ = stream.read(&mut [0; 1_000]);
        let StreamOwned { sock, .. } = stream;
        crate::common::reset(sock);
    });
    let stats = tls("head", "count = 2\ninsecure = true", target);
    assert_eq!(stats.failures.get(Failure::ReadReset), 2, "{:?}", stats.failures);
    let seen = stats.http.tls.unwrap();
    assert_eq!(seen.full + seen.resumed, 2);
}

/// A device that is too busy may say so before anybody has asked, and end TLS: that is an answer and no silent close.
#[test]
fn an_answer_before_the_request_over_tls_is_looked_at_also_after_a_silence() {
    let target = device(|mut stream| {
        let _ = stream
            .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.conn.send_close_notify();
        let _ = stream.flush();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let stats = tls("head", "count = 2\ninsecure = true\nrequest_delay = '200ms'", target);
    assert_eq!(stats.failures.get(Failure::EofBeforeResponse), 0, "{:?}", stats.failures);
    assert_eq!(stats.responses.get(503), 2, "{:?} {:?}", stats.responses, stats.failures);
}

#[test]
fn an_answer_in_pieces_of_one_byte_is_an_answer_and_garbage_after_it_is_none() {
    let target = device(|mut stream| {
        let _ = stream.read(&mut [0; 1_000]);
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" {
            let _ = stream.write_all(&[*byte]).and_then(|()| stream.flush());
        }
        let _ = stream.read(&mut [0; 1_000]);
    });
    let stats = tls("head", "count = 2\ninsecure = true\nmethod = 'GET'", target);
    assert_eq!((stats.succeeded, stats.goodput_bytes), (2, 4), "{:?}", stats.failures);
    let broken = device(|mut stream| {
        let _ = stream.read(&mut [0; 1_000]);
        let _ = stream.sock.write_all(&[23, 3, 3, 0, 20]).and_then(|()| stream.sock.write_all(&[7; 20]));
        let _ = stream.sock.read(&mut [0; 1_000]);
    });
    let stats = tls("head", "count = 2\ninsecure = true", broken);
    assert_eq!(faults(&stats), [(TlsFault::BadRecord, 2)]);
}

#[test]
fn a_body_that_is_never_taken_over_tls_is_a_stall_that_is_told_in_plain_text() {
    let target = device(|mut stream| {
        let _ = stream.read(&mut [0; 10]);
        // It reads no more until the client has given up.
        std::thread::sleep(Duration::from_secs(3));
    });
    for kind in ["head", "rw"] {
        let settings =
            "count = 1\ninsecure = true\nmethod = 'POST'\nbody = '32MiB'\ntimeout_write = '1200ms'";
        let stats = tls(kind, settings, target);
        assert_eq!(stats.failures.get(Failure::WriteTimeout), 1, "{kind}: {:?}", stats.failures);
        let stall = stats.http.uploads.unwrap().longest_stall.unwrap();
        assert_eq!((stall.end, stall.of_bytes), (StallEnd::GaveUp, 32 << 20), "{kind}");
        assert!(stall.taken_bytes > 0 && stall.taken_bytes < 32 << 20, "{kind}: {stall:?}");
    }
}

#[test]
fn the_heap_that_the_device_tells_during_a_handshake_is_kept_at_its_least() {
    let telemetry = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let endpoint = telemetry.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut question = [0; 100];
        for n in 0.. {
            let Ok((_, client)) = telemetry.recv_from(&mut question) else { return };
            let free = [90_000, 52_000, 71_000][n % 3];
            let _ = telemetry.send_to(format!("{{\"heap\":{{\"free_bytes\":{free}}}}}").as_bytes(), client);
        }
    });
    let target = device(|mut stream| {
        std::thread::sleep(Duration::from_millis(600));
        let _ = stream.read(&mut [0; 1_000]);
        let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").and_then(|()| stream.flush());
        let _ = stream.read(&mut [0; 1_000]);
    });
    let endpoints = Endpoints {
        tls_name: Some("localhost".into()),
        telemetry: Some(endpoint),
        ..Endpoints::only(target)
    };
    let stats = run_at("head", "count = 1\ninsecure = true", endpoints).workloads.remove(0).stats;
    assert_eq!((stats.succeeded, stats.http.tls.unwrap().handshake_heap_free_bytes), (1, Some(52_000)));
}

#[test]
fn plain_http_to_a_port_that_speaks_tls_is_named_where_the_port_says_so() {
    let target = scripted(|mut peer| {
        if peer.request().is_some() {
            // A fatal alert, protocol version.
            peer.send([0x15, 3, 1, 0, 2, 2, 70]);
            peer.finish();
        }
    });
    for command in ["head -n 5", "rw --protocol http -n 5"] {
        let run = said(&format!("{command} --watch 0s --no-capture"), &[&target.to_string()]);
        run.fails_with(&["malformed_response"]).says(&["The port speaks TLS", "https://"]);
        run.never_says(&["speak HTTP,"]);
    }
}

#[test]
fn a_body_that_only_the_connections_end_ends_is_whole_where_tls_ends_before_tcp() {
    for ends_tls in [true, false] {
        let target = device(move |mut stream| {
            let _ = stream.read(&mut [0; 1_000]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
            if ends_tls {
                stream.conn.send_close_notify();
            }
            let _ = stream.flush();
            let _ = stream.sock.shutdown(std::net::Shutdown::Write);
            while stream.sock.read(&mut [0; 1_000]).is_ok_and(|n| n > 0) {}
        });
        for (kind, settings) in [
            ("head", "method = 'GET'"),
            ("rw", "protocol = 'http'"),
            ("head", "method = 'GET'\nclose = 'wait'"),
        ] {
            let stats = tls(kind, &format!("{settings}\ncount = 2\ninsecure = true"), target);
            let cut = if ends_tls { 0 } else { 2 };
            assert_eq!(
                stats.failures.get(Failure::TruncatedResponse),
                cut,
                "{settings} {:?}",
                stats.failures
            );
            assert_eq!(
                (stats.succeeded, stats.malformed.times(HttpFault::Truncated)),
                (2 - cut, cut),
                "{settings}"
            );
        }
    }
}

#[test]
fn an_end_of_tls_before_the_answer_is_an_end_whether_tcp_ends_or_not() {
    let target = device(|mut stream| {
        while stream.conn.is_handshaking() && stream.conn.complete_io(&mut stream.sock).is_ok() {}
        stream.conn.send_close_notify();
        let _ = stream.conn.write_tls(&mut stream.sock);
        let _ = stream.sock.read(&mut [0; 1_000]);
    });
    let stats = tls("head", "count = 2\ninsecure = true", target);
    assert_eq!(stats.failures.get(Failure::EofBeforeResponse), 2, "{:?}", stats.failures);
}
