//! HTTP as people use it: bodies and how the device takes them, `100 Continue`, redirects, logins.

use std::io::Read;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use espstress_event::{Continues, Failure, HttpFigures, StallEnd};
use espstress_stats::WorkloadStats;

use crate::common::said::said;
use crate::common::scripted::{Peer, scripted};
use crate::common::{espstress, run};

/// Both workloads that speak HTTP.
const BOTH: [(&str, &str); 2] = [("head", ""), ("rw", "protocol = 'http'\n")];

fn each(settings: &str, target: SocketAddr, look: impl Fn(&str, &WorkloadStats, &HttpFigures)) {
    for (kind, more) in BOTH {
        let stats = run(kind, &format!("{more}{settings}"), target);
        look(kind, &stats, &stats.http);
    }
}

/// Reads a whole body.
fn read_body(peer: &mut Peer, length: usize) -> bool {
    let mut left = length.saturating_sub(peer.take().len());
    while left > 0 {
        let Some(n) = peer.receive() else { return false };
        peer.take();
        left = left.saturating_sub(n);
    }
    true
}

#[test]
fn bodies_go_out_whole_by_any_method() {
    let target = scripted(|mut peer| {
        while let Some(request) = peer.request() {
            let right = request.is("PATCH") && read_body(&mut peer, request.body_length());
            peer.answer(&request, if right { "204 No Content" } else { "400 Bad Request" }, "");
        }
    });
    each("method = 'PATCH'\nbody = '200KiB'\ncount = 5\nexpect_status = 204", target, |kind, stats, http| {
        assert_eq!((stats.succeeded, stats.attempts), (5, 5), "{kind}: {:?}", stats.failures);
        let uploads = http.uploads.as_ref().unwrap();
        assert_eq!((uploads.begun, uploads.taken, uploads.answered_early), (5, 5, 0), "{kind}");
        assert!(stats.bytes_sent > 5 * 200 * 1_024, "{kind}");
    });
}

#[test]
fn a_connection_that_the_client_asked_to_end_serves_one_request_and_its_end_is_no_fault() {
    let second = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&second);
    let target = scripted(move |mut peer| {
        let Some(request) = peer.request() else { return };
        assert!(request.wants_close());
        peer.answer(&request, "200 OK", "ok");
        if peer.request().is_some() {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    each("method = 'GET'\nheader = ['Connection: close']\ncount = 100", target, |kind, stats, _| {
        assert_eq!((stats.succeeded, stats.attempts), (100, 100), "{kind}: {:?}", stats.failures);
        assert!(stats.idle_closes.is_none() && stats.malformed.is_empty(), "{kind}: {:?}", stats.malformed);
    });
    assert_eq!(second.load(std::sync::atomic::Ordering::Relaxed), 0);
}

/// A server that reads the head alone; it tells how much of the body lies in its receive buffer once the client has given
/// up.
fn never_reads_the_body() -> (SocketAddr, Receiver<u64>) {
    let (tell, told): (Sender<u64>, _) = channel();
    let tell = Mutex::new(tell);
    let target = scripted(move |mut peer| {
        if peer.request().is_none() {
            return;
        }
        let read = peer.take().len() as u64;
        let stream = peer.handle();
        // The client gives up after a second; the window is full, and nothing more comes in.
        std::thread::sleep(Duration::from_millis(2_500));
        let waiting = rustix::io::ioctl_fionread(&stream).unwrap();
        let _ = tell.lock().unwrap().send(read + waiting);
    });
    (target, told)
}

#[test]
fn a_body_that_the_device_stops_taking_is_a_stall_of_its_length_after_the_bytes_that_it_took() {
    for (kind, more) in BOTH {
        let (target, told) = never_reads_the_body();
        let settings = "method = 'POST'\nbody = '32MiB'\ncount = 1\ntimeout_write = '1s'";
        let stats = run(kind, &format!("{more}{settings}"), target);
        assert_eq!(stats.failures.get(Failure::WriteTimeout), 1, "{kind}: {:?}", stats.failures);
        let uploads = stats.http.uploads.unwrap();
        assert_eq!((uploads.begun, uploads.taken, uploads.stalls), (1, 0, 1), "{kind}");
        let stall = uploads.longest_stall.unwrap();
        assert_eq!((stall.end, stall.of_bytes), (StallEnd::GaveUp, 32 << 20), "{kind}");
        assert!((1_000..30_000).contains(&stall.length_ms), "{kind}: {stall:?}");
        assert_eq!(stall.taken_bytes, told.recv().unwrap(), "{kind}");
    }
}

#[test]
fn a_stalled_upload_is_named_as_what_it_is_and_not_as_a_program_that_hangs() {
    let (target, _told) = never_reads_the_body();
    said(
        "head --method POST --body 32MiB -n 2 --timeout-write 1s --watch 0s --no-capture",
        &[&target.to_string()],
    )
    .fails_with(&["upload_stalled"])
    .says(&["stopped taking the body"]);
}

#[test]
fn a_small_body_that_lies_in_the_receive_buffer_is_taken_and_the_answer_is_what_is_missing() {
    let target = scripted(|mut peer| {
        peer.request();
        while peer.receive().is_some() {}
    });
    each("method = 'POST'\nbody = '1KiB'\ncount = 1\ntimeout_read = '300ms'", target, |kind, stats, http| {
        assert_eq!(stats.failures.get(Failure::ReadTimeout), 1, "{kind}");
        let uploads = http.uploads.as_ref().unwrap();
        assert_eq!((uploads.taken, uploads.stalls), (1, 0), "{kind}");
    });
}

#[test]
fn an_answer_before_the_body_is_taken_counts_and_is_named() {
    let target = scripted(|mut peer| {
        if let Some(request) = peer.request() {
            peer.answer(&request, "413 Content Too Large", "");
            // It never reads the body, and waits for the client's end.
            let mut stream = peer.handle();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let _ = stream.read_exact(&mut vec![0; 30 << 20]);
        }
    });
    each("method = 'POST'\nbody = '60MiB'\ncount = 2", target, |kind, stats, http| {
        assert_eq!((stats.succeeded, stats.responses.get(413)), (2, 2), "{kind}: {:?}", stats.failures);
        let uploads = http.uploads.as_ref().unwrap();
        assert_eq!((uploads.taken, uploads.answered_early), (0, 2), "{kind}");
    });
}

#[test]
fn the_body_waits_for_100_continue_and_no_longer_than_a_second() {
    let says = |interim: &'static str| {
        scripted(move |mut peer| {
            while let Some(request) = peer.request() {
                peer.send(interim);
                read_body(&mut peer, request.body_length());
                peer.answer(&request, "200 OK", "x");
            }
        })
    };
    let settings = "method = 'PUT'\nbody = '10KiB'\nexpect_continue = true\ncount = 2";
    each(settings, says("HTTP/1.1 100 Continue\r\n\r\n"), |kind, stats, http| {
        assert_eq!(stats.succeeded, 2, "{kind}: {:?}", stats.failures);
        assert_eq!(
            http.continues,
            Some(Continues { asked: 2, continued: 2, ..Continues::default() }),
            "{kind}"
        );
    });
    each(settings, says(""), |kind, stats, http| {
        assert_eq!(stats.succeeded, 2, "{kind}: {:?}", stats.failures);
        assert_eq!(
            http.continues,
            Some(Continues { asked: 2, not_heard: 2, ..Continues::default() }),
            "{kind}"
        );
        assert_eq!(http.uploads.as_ref().unwrap().taken, 2, "{kind}");
    });
}

#[test]
fn a_final_answer_instead_of_100_continue_keeps_the_body_back() {
    let target = scripted(|mut peer| {
        if let Some(request) = peer.request() {
            peer.answer(&request, "417 Expectation Failed", "");
            while peer.receive().is_some() {}
            assert!(peer.take().is_empty(), "no body");
        }
    });
    let settings = "method = 'PUT'\nbody = '10KiB'\nexpect_continue = true\ncount = 2";
    each(settings, target, |kind, stats, http| {
        assert_eq!(stats.responses.get(417), 2, "{kind}: {:?}", stats.failures);
        assert_eq!(
            http.continues,
            Some(Continues { asked: 2, answered: 2, ..Continues::default() }),
            "{kind}"
        );
        assert_eq!(http.uploads, None, "{kind}");
    });
}

#[test]
fn a_fin_after_100_continue_is_no_answer() {
    let target = scripted(|mut peer| {
        if let Some(request) = peer.request() {
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            read_body(&mut peer, request.body_length());
            peer.finish();
        }
    });
    let settings = "method = 'PUT'\nbody = '1KiB'\nexpect_continue = true\ncount = 1";
    each(settings, target, |kind, stats, _| {
        assert_eq!(stats.failures.get(Failure::EofBeforeResponse), 1, "{kind}: {:?}", stats.failures);
    });
}

/// A server that sends everybody to the same place.
fn redirects_to(location: &'static str) -> SocketAddr {
    scripted(move |mut peer| {
        while peer.request().is_some() {
            peer.send(format!("HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n"));
        }
    })
}

#[test]
fn redirects_are_reported_by_host_and_path_without_secrets() {
    let target = redirects_to("Location: https://me:pw@other.test:8443/setup?token=abc#x\r\n");
    each("count = 3", target, |kind, stats, http| {
        assert_eq!(stats.succeeded, 3, "{kind}");
        let places: Vec<_> =
            http.redirects.iter().map(|one| (one.status, one.to.as_str(), one.count)).collect();
        assert_eq!(places, [(302, "https://other.test:8443/setup", 3)], "{kind}");
    });
    let page = said("head -n 3 --watch 0s", &[&target.to_string()]);
    assert_eq!(page.blamed().iter().map(|(_, id)| *id).collect::<Vec<_>>(), ["redirected"]);
    assert!(!page.page.contains("abc") && !page.page.contains("pw@"), "{}", page.page);
    said("head -n 3 --watch 0s --expect-status 302", &[&target.to_string()]).passes();
}

#[test]
fn a_redirect_loop_is_named_and_costs_no_more_than_its_answer() {
    let itself = redirects_to("Location: /a?x=1\r\n");
    each("count = 2\npath = '/a?x=1'", itself, |kind, _, http| {
        assert!(http.redirects.iter().all(|one| one.to_itself && one.to == "/a"), "{kind}: {http:?}");
    });
    let elsewhere = redirects_to("Location: /b\r\n");
    each("count = 2\npath = '/a'", elsewhere, |kind, _, http| {
        assert!(http.redirects.iter().all(|one| !one.to_itself), "{kind}: {http:?}");
    });
    each("count = 1", redirects_to(""), |kind, _, http| assert_eq!(http.redirects[0].to, "", "{kind}"));
}

#[test]
fn a_location_of_a_query_alone_is_the_same_page_and_many_places_are_not_called_one() {
    let query = redirects_to("Location: ?token=abc\r\n");
    each("count = 2\npath = '/a'", query, |kind, _, http| {
        assert!(http.redirects.iter().all(|one| one.to == "/a"), "{kind}: {http:?}");
    });
    let asked = std::sync::atomic::AtomicU32::new(0);
    let places = scripted(move |mut peer| {
        while peer.request().is_some() {
            let n = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            peer.send(format!("HTTP/1.1 302 Found\r\nLocation: /p{n}\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let page = said("head -n 20 --watch 0s", &[&places.to_string()]);
    page.says(&["20 of 20 requests got a redirect (302) to more than 8 different places"]);
}

/// A server that puts what it was sent into its redirect.
#[test]
fn a_password_that_the_device_sends_back_is_left_out_of_its_place() {
    for (location, place) in [
        ("/login/s3cret", "/login/(secret)"),
        ("/a/s3%63ret/b", "/a/(secret)/b"),
        ("http://other.test/x-YWRtaW46czNjcmV0", "http://other.test/(secret)"),
        ("/s3cre", "/s3cre"),
    ] {
        let target = scripted(move |mut peer| {
            while peer.request().is_some() {
                peer.send(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        each("count = 1\nuser = 'admin'\npassword = 's3cret'", target, |kind, _, http| {
            assert_eq!(http.redirects[0].to, place, "{kind}");
        });
    }
}

/// A server that lets in who knows the password (`admin:s3cret` in base64).
fn guarded(scheme: &'static str) -> SocketAddr {
    scripted(move |mut peer| {
        while let Some(request) = peer.request() {
            if request.says("Authorization", "Basic YWRtaW46czNjcmV0") {
                peer.answer(&request, "200 OK", "x");
            } else {
                let head =
                    format!("WWW-Authenticate: {scheme} realm=\"device\"\r\nContent-Length: 0\r\n\r\n");
                peer.send(format!("HTTP/1.1 401 Unauthorized\r\n{head}"));
            }
        }
    })
}

#[test]
fn a_login_opens_the_page_and_401_is_named() {
    let target = guarded("Basic");
    each("count = 2\nuser = 'admin'\npassword = 's3cret'", target, |kind, stats, http| {
        assert_eq!((stats.responses.get(200), &http.login), (2, &None), "{kind}");
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s3cret\n").unwrap();
    let settings = format!("count = 2\nuser = 'admin'\npassword_file = '{}'", file.path().display());
    each(&settings, target, |kind, stats, _| assert_eq!(stats.responses.get(200), 2, "{kind}"));
    each("count = 2", target, |kind, _, http| {
        let login = http.login.as_ref().unwrap();
        assert_eq!((login.count, login.sent, login.scheme.as_deref()), (2, false, Some("Basic")), "{kind}");
    });
    let at = target.to_string();
    said("head -n 3 --watch 0s", &[&at]).says(&["asks for a user name and a password", "--password-file"]);
    said("head -n 3 --watch 0s --user admin --password wrong", &[&at])
        .says(&["doesn't accept the user name"]);
    said("head -n 3 --watch 0s", &[&guarded("Digest").to_string()]).says(&["Digest", "Basic only"]);
}

#[test]
fn passwords_and_secret_headers_are_in_no_report_and_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("password");
    std::fs::write(&secret, "s3cret").unwrap();
    let target = guarded("Basic").to_string();
    let ways: [&[&str]; 4] = [
        &["--user", "admin", "--password", "s3cret"],
        &["--user", "admin", "--password-file", secret.to_str().unwrap()],
        &["--user", "admin"],
        &["--header", "Authorization: Basic YWRtaW46czNjcmV0", "--header", "Cookie: id=s3cret"],
    ];
    for (kind, way) in ["head", "rw"].iter().flat_map(|kind| ways.map(|way| (*kind, way))) {
        let [report, log] = ["report.json", "log.jsonl"].map(|name| folder.path().join(name));
        let mut command = espstress();
        command.args([kind, "-n", "2", "--watch", "0s", "--no-capture", "-v"]).args(way).arg(&target);
        command.arg("-o").arg(&report).arg("--log").arg(&log).env("ESPSTRESS_PASSWORD", "s3cret");
        let output = command.output().unwrap();
        let json = std::fs::read_to_string(&report).unwrap();
        assert!(json.contains("\"200\": 2"), "{way:?}: {json}");
        let html = espstress().args(["report", "--format", "html"]).arg(&report).output().unwrap();
        let texts = [output.stdout, output.stderr, html.stdout].map(|text| String::from_utf8(text).unwrap());
        let texts = texts.into_iter().chain([json, std::fs::read_to_string(&log).unwrap()]);
        for text in texts {
            assert!(!text.contains("s3cret") && !text.contains("YWRtaW46"), "{kind} {way:?}: {text}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused_by_its_option() {
    for (arguments, says) in [
        ("head --body 1KiB", "HEAD has no body"),
        ("head --method POST --expect-continue", "needs --body"),
        ("head --password x", "needs --user"),
        ("head --user a:b --password x", "no colon"),
        ("head --user a", "--password-file"),
        ("head --user a --password-file /no/such", "/no/such"),
        ("head --ca /no/such.pem", "/no/such.pem"),
        ("rw --protocol framed --user a --password x", "only for HTTP"),
        ("rw --protocol http --method POST --body 1KiB --window 4", "one at a time"),
        ("head --insecure", "`insecure`: has no effect here: TLS is spoken to an https:// target"),
        ("rw --protocol http --tls-resumption off", "`tls_resumption`: has no effect here"),
        ("head --header :x", "Name: value"),
        ("head --header Na(me:x", "Name: value"),
        ("head --header Content-Length:5", "--body says how long"),
        ("head --rate 5/s --pause-after-failure 1s", "an open loop"),
        ("rw --protocol udp --sweep --size 64", "--sweep sends its own sizes"),
        ("rw --protocol http --size 64", "`size`: has no effect here"),
        ("rw --no-probes --size 64", "`size`: has no effect here"),
        ("rw --protocol line --path /x", "`path`: has no effect here"),
        ("rw --protocol websocket --method POST", "`method`: has no effect here"),
        ("rw --protocol framed --expect-status 200", "only for HTTP"),
        ("rw --protocol raw --per-connection 3", "`per_connection`: has no effect here"),
        ("rw --protocol udp --timeout-connect 1s", "`timeout_connect`: has no effect here"),
        ("mqtt --cycles 3", "no --fault is made"),
        ("mqtt --fault close --delay 3s", "for --fault slow"),
        ("mqtt --fault slow --code 3", "for --fault refuse"),
        ("mqtt --fault slow --sizes 128", "for --fault big"),
        ("mqtt --fault slow --session lose", "for --fault close and reset"),
        ("mqtt --publish-interval 2s", "needs --publish"),
        ("mqtt --wait 1s --device-keepalive 5s", "only our own device program"),
        ("outage --by filter --script-limit 3s", "for --by command"),
        ("outage --by filter --token x", "for --by device"),
        ("outage --by none --every 3s", "makes no outages"),
        ("outage --data-interval 3s", "needs --listen"),
        ("outage --listen 0 --connections 3", "with --listen devices connect"),
    ] {
        let mut command = espstress();
        command.args(arguments.split(' ')).arg("127.0.0.1:9").env_remove("ESPSTRESS_PASSWORD");
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), error.contains(says)), (Some(2), true), "{arguments}: {error}");
    }
    let output = espstress().args(["head", "http://me:s3cret@127.0.0.1:9/"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("--password-file") && !error.contains("s3cret"), "{error}");
}
