//! Servers that fail: no run of any kind may pass, and none may blame what is not at fault.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::scripted::{Peer, scripted};
use crate::strangers::runs::{Kind, fails_with, run};

/// What each run has to say.
const fn expected(fault: Fault) -> &'static str {
    match fault {
        Fault::ResetsAtOnce | Fault::ResetsAfterRequest => "resets_requests",
        Fault::ClosesAtOnce | Fault::ClosesAfterRequest | Fault::FailsEveryFifth => "closes_unserved",
        Fault::AnswersGarbage | Fault::CutsTheHead => "malformed_response",
        Fault::Answers500 => "http_errors",
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    ResetsAtOnce,
    ResetsAfterRequest,
    ClosesAtOnce,
    ClosesAfterRequest,
    AnswersGarbage,
    CutsTheHead,
    FailsEveryFifth,
    Answers500,
}

impl Fault {
    const ALL: [Self; 8] = [
        Self::ResetsAtOnce,
        Self::ResetsAfterRequest,
        Self::ClosesAtOnce,
        Self::ClosesAfterRequest,
        Self::AnswersGarbage,
        Self::CutsTheHead,
        Self::FailsEveryFifth,
        Self::Answers500,
    ];

    fn serve(self, mut peer: Peer, asked: &AtomicU64) {
        match self {
            Self::ResetsAtOnce => return peer.reset(),
            Self::ClosesAtOnce => return peer.finish(),
            _ => {}
        }
        while let Some(request) = peer.request() {
            let nth = asked.fetch_add(1, Ordering::Relaxed) + 1;
            match self {
                Self::ResetsAfterRequest => return peer.reset(),
                Self::AnswersGarbage => {
                    peer.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1 no HTTP at all\r\n\r\n");
                    return peer.finish();
                }
                Self::CutsTheHead => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Le");
                    return peer.finish();
                }
                Self::FailsEveryFifth if !nth.is_multiple_of(5) => {
                    peer.answer(&request, "200 OK", "hello");
                }
                Self::Answers500 => {
                    peer.answer(&request, "500 Internal Server Error", "");
                }
                _ => return peer.finish(),
            }
        }
    }

    fn server(self) -> SocketAddr {
        let asked = AtomicU64::new(0);
        scripted(move |peer| self.serve(peer, &asked))
    }

    fn judge(self, kind: Kind) -> Result<(), String> {
        fails_with(&run(kind, self.server()), expected(self)).map_err(|wrong| format!("{self:?}: {wrong}"))
    }
}

#[track_caller]
fn fails(fault: Fault) {
    for kind in [Kind::Head, Kind::Rw] {
        fault.judge(kind).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[test]
fn a_server_that_resets_every_connection_at_once_fails() {
    fails(Fault::ResetsAtOnce);
}

#[test]
fn a_server_that_resets_every_connection_after_its_request_fails() {
    fails(Fault::ResetsAfterRequest);
}

#[test]
fn a_server_that_closes_every_connection_at_once_fails() {
    fails(Fault::ClosesAtOnce);
}

#[test]
fn a_server_that_closes_every_connection_after_its_request_fails() {
    fails(Fault::ClosesAfterRequest);
}

#[test]
fn a_server_that_answers_no_http_fails() {
    fails(Fault::AnswersGarbage);
}

#[test]
fn a_server_that_ends_within_the_head_of_its_response_fails() {
    fails(Fault::CutsTheHead);
}

#[test]
fn a_server_that_leaves_every_fifth_request_unanswered_fails() {
    fails(Fault::FailsEveryFifth);
}

#[test]
fn a_server_that_answers_500_to_everything_fails() {
    fails(Fault::Answers500);
}

/// All examinations at once: each takes half a minute and mostly waits.
#[cfg(feature = "long")]
#[test]
fn the_doctor_finds_something_wrong_with_each_of_them() {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let all = Fault::ALL.map(|fault| scope.spawn(move || fault.judge(Kind::Doctor)));
        all.into_iter().filter_map(|one| one.join().unwrap().err()).collect()
    });
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), Fault::ALL.len(), wrong.join("\n"));
}
