//! Servers without a fault: every run passes, and blames nobody.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::common::programs::{Server, busybox_httpd, civetweb, http_server, lighttpd, nginx, node};
use crate::common::scripted::scripted;
use crate::strangers::runs::{self, Kind, run};

#[track_caller]
fn passes(server: SocketAddr) {
    for kind in [Kind::Head, Kind::Rw] {
        runs::passes(&run(kind, server)).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[track_caller]
fn program_passes(server: Option<Server>) {
    if let Some(server) = server {
        passes(server.address);
    }
}

/// A page whose length grows with what it tells: how often it was asked, and since when it is up.
fn counting() -> SocketAddr {
    let (asked, start) = (AtomicU64::new(0), Instant::now());
    scripted(move |mut peer| {
        peer.without_delay();
        while let Some(request) = peer.request() {
            let nth = asked.fetch_add(1, Ordering::Relaxed) + 1;
            let up = start.elapsed().as_millis();
            peer.answer(&request, "200 OK", format!("{{\"asked\":{nth},\"uptime_ms\":{up}}}"));
        }
    })
}

#[test]
fn nginx_passes() {
    program_passes(nginx(""));
}

#[test]
fn nginx_that_closes_idle_connections_early_passes() {
    program_passes(nginx("keepalive_timeout 2s;"));
}

#[test]
fn lighttpd_passes() {
    program_passes(lighttpd());
}

#[test]
fn busyboxs_httpd_passes() {
    program_passes(busybox_httpd());
}

#[test]
fn civetweb_passes() {
    program_passes(civetweb());
}

#[test]
fn pythons_http_server_passes() {
    program_passes(http_server("HTTP/1.0"));
}

#[cfg(feature = "long")]
#[test]
fn pythons_http_server_with_keep_alive_is_slow_by_its_two_writes_and_nothing_else() {
    // Its head and its file are two send()s with Nagle's algorithm left on: 44 ms for each answer.
    let Some(server) = http_server("HTTP/1.1") else { return };
    runs::passes(&run(Kind::Head, server.address)).unwrap_or_else(|wrong| panic!("{wrong}"));
    for kind in [Kind::Rw, Kind::Doctor] {
        let one = run(kind, server.address);
        one.blames(&["nagle_delay"]);
        assert!(one.passed(), "{}", one.page);
    }
}

#[test]
fn node_passes() {
    program_passes(node());
}

#[test]
fn a_page_whose_length_changes_passes() {
    passes(counting());
}

/// All examinations at once: each takes half a minute and mostly waits.
#[cfg(feature = "long")]
#[test]
fn the_doctor_finds_nothing_wrong_with_any_of_them() {
    let programs = [
        ("nginx", nginx("")),
        ("nginx, keepalive_timeout 2s", nginx("keepalive_timeout 2s;")),
        ("lighttpd", lighttpd()),
        ("busybox", busybox_httpd()),
        ("civetweb", civetweb()),
        ("http.server, HTTP/1.0", http_server("HTTP/1.0")),
        ("node", node()),
    ];
    let there = programs.iter().filter_map(|(name, server)| Some((*name, server.as_ref()?.address)));
    let all: Vec<_> = there.chain([("counting", counting())]).collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let each = all
            .iter()
            .map(|&(name, server)| (name, scope.spawn(move || runs::passes(&run(Kind::Doctor, server)))));
        let under_way: Vec<_> = each.collect();
        let ended = under_way.into_iter().filter_map(|(name, one)| Some((name, one.join().unwrap().err()?)));
        ended.map(|(name, wrong)| format!("{name}: {wrong}")).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}
