//! Python's ssl, nginx and node: handshakes, certificates, resumption, bodies.

use espstress_event::TlsFault;
use espstress_stats::Phase;

use super::{detail, faults, path, tls, trusting};
use crate::common::programs::{Server, nginx_with, node_script, python};
use crate::common::said::said;

/// Python's, with a certificate of the tests.
fn pythons(certificate: &str, more: &[&str]) -> Option<Server> {
    let files = [path(certificate), path("device.key")];
    let words: Vec<&str> = files.iter().map(String::as_str).chain(more.iter().copied()).collect();
    python(include_str!("server.py"), &words)
}

fn nginxs() -> Option<Server> {
    let keys = format!("ssl_certificate {}; ssl_certificate_key {};", path("device.pem"), path("device.key"));
    nginx_with("ssl", &keys)
}

/// Every attempt goes well, over TLS.
#[track_caller]
fn serves(server: &Server) {
    for (kind, settings) in
        [("head", "count = 8\nconnections = 2"), ("rw", "count = 40\nconnections = 2\nwindow = 4")]
    {
        let stats = tls(kind, &format!("{}{settings}", trusting("authority.pem")), server.address);
        assert_eq!(stats.succeeded, stats.attempts, "{kind}: {:?} {:?}", stats.failures, stats.http);
        assert!(stats.malformed.is_empty(), "{kind}: {:?}", stats.malformed);
        let seen = stats.http.tls.unwrap();
        assert_eq!(stats.latency[&Phase::Tls].corrected.count(), seen.full + seen.resumed, "{kind}");
        assert!(seen.first.unwrap().starts_with("TLS 1.") && seen.failures.is_empty(), "{kind}");
    }
}

#[test]
fn pythons_ssl_serves() {
    let Some(server) = pythons("device.pem", &[]) else { return };
    serves(&server);
    let Some(older) = pythons("device.pem", &["1.2"]) else { return };
    serves(&older);
    let stats = tls("head", &format!("{}count = 1", trusting("authority.pem")), older.address);
    assert!(stats.http.tls.unwrap().first.unwrap().starts_with("TLS 1.2, "));
}

#[test]
fn nginx_serves() {
    let Some(server) = nginxs() else { return };
    serves(&server);
}

/// TLS's own end, sent to a socket that the device has closed, meets a RST: that is nobody's fault.
#[test]
fn a_server_that_closes_after_each_response_is_not_blamed_for_what_it_does_not_read() {
    let Some(server) = pythons("device.pem", &["1.0"]) else { return };
    let at = format!("https://{}", server.address);
    for command in ["head -n 30 -c 3 --watch 1s --insecure", "rw -n 30 --protocol http --watch 1s --insecure"]
    {
        said(command, &[&at]).passes().never_says(&["abortive_close"]);
    }
}

/// It may say by an alert that the client's FIN came without TLS's own end: that is this program's doing, and its FIN follows.
#[test]
fn a_server_that_waits_for_the_clients_end_has_closed_the_connection() {
    let Some(server) = pythons("device.pem", &["keeps"]) else { return };
    let at = format!("https://{}", server.address);
    for command in ["head -n 20 -c 2", "rw -n 20 -c 2 --protocol http"] {
        let run = said(&format!("{command} --watch 1s --insecure --header Connection:close"), &[&at]);
        assert!(run.passed(), "{}", run.page);
        run.never_says(&["socket_exhaustion", "never closed", "alert"]);
    }
}

#[test]
fn what_is_no_tls_is_named_and_nothing_else() {
    let Some(server) = python(include_str!("../cases/page.py"), &[]) else { return };
    let at = format!("https://{}", server.address);
    let one = said("head -n 5 --watch 1s --insecure", &[&at]);
    one.fails_with(&["tls_failed"]).never_says(&["abortive_close", "lossy_link", "unexplained"]);
}

#[test]
fn node_serves() {
    let Some(server) = node_script(&format!(
        "const fs = require('fs'); require('https').createServer({{ cert: fs.readFileSync('{}'), \
         key: fs.readFileSync('{}') }}, (request, response) => response.end('hello\\n'))",
        path("device.pem"),
        path("device.key")
    )) else {
        return;
    };
    serves(&server);
}

#[test]
fn sessions_are_resumed_unless_that_is_switched_off() {
    let Some(server) = nginxs() else { return };
    let kinds = |more: &str| {
        let settings = format!("{}count = 6\nmethod = 'GET'\n{more}", trusting("authority.pem"));
        let seen = tls("head", &settings, server.address).http.tls.unwrap();
        (seen.full, seen.resumed)
    };
    assert_eq!(kinds(""), (1, 5));
    assert_eq!(kinds("tls_resumption = 'off'"), (6, 0));
}

#[test]
fn a_body_goes_over_tls_and_what_the_device_took_is_known() {
    let Some(server) = pythons("device.pem", &[]) else { return };
    for kind in ["head", "rw"] {
        let settings = "method = 'POST'\nbody = '300KiB'\ncount = 3\nexpect_continue = true";
        let stats = tls(kind, &format!("{}{settings}", trusting("authority.pem")), server.address);
        assert_eq!(stats.succeeded, 3, "{kind}: {:?}", stats.failures);
        let uploads = stats.http.uploads.unwrap();
        assert_eq!((uploads.begun, uploads.taken), (3, 3), "{kind}");
        assert_eq!(stats.http.continues.unwrap().continued, 3, "{kind}");
    }
}

#[test]
fn a_certificate_that_cannot_be_trusted_is_named_by_what_is_wrong_with_it() {
    let with = |certificate: &str, settings: &str| {
        let server = pythons(certificate, &[])?;
        Some(tls("head", &format!("count = 2\n{settings}"), server.address))
    };
    let authority = trusting("authority.pem");
    for (certificate, settings, fault, says) in [
        ("device.pem", "", TlsFault::NotTrusted, "--ca"),
        ("expired.pem", authority.as_str(), TlsFault::Expired, "expired"),
        ("another.pem", authority.as_str(), TlsFault::WrongName, "it is for another.test, not localhost"),
        ("self-signed.pem", "", TlsFault::NotTrusted, "self-signed"),
    ] {
        let Some(stats) = with(certificate, settings) else { return };
        assert_eq!(faults(&stats), [(fault, 2)], "{certificate}");
        assert!(detail(&stats, fault).contains(says), "{certificate}: {}", detail(&stats, fault));
    }
    for (certificate, settings) in [
        ("expired.pem", "insecure = true"),
        ("another.pem", "insecure = true"),
        ("self-signed.pem", trusting("self-signed.pem").as_str()),
    ] {
        let Some(stats) = with(certificate, settings) else { return };
        assert_eq!((stats.succeeded, faults(&stats)), (2, vec![]), "{certificate}");
    }
}

#[test]
fn the_command_speaks_tls_to_https_urls_and_says_what_failed() {
    let Some(server) = nginxs() else { return };
    let at = format!("https://{}", server.address);
    said("head -n 5 --insecure --watch 0s", &[&at]).passes().says(&["full handshake"]);
    said("rw -n 5 --insecure --watch 0s", &[&at]).passes();
    let refused = said("head -n 5 --watch 0s", &[&at]);
    refused.fails_with(&["tls_failed"]).says(&["not trusted", "--ca"]);
    let plain = format!("http://{}", server.address);
    said("head -n 2 --watch 0s", &[&plain]).says(&["400"]);
}
