use super::*;
use proptest::prelude::*;

fn whole(expects: Expects, bytes: &[u8]) -> Result<Progress, Failure> {
    Response::new(expects).feed(bytes)
}

#[test]
fn a_head_response_ends_with_its_head_whatever_length_it_declares() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 612\r\n\r\n";
    assert_eq!(whole(Expects::HeadOnly, text), Ok(Progress::Done { used: text.len() }));
}

#[test]
fn a_status_without_a_body_ends_with_its_head_whatever_length_it_declares() {
    for status in ["204 No Content", "304 Not Modified"] {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(
            whole(Expects::Body, text.as_bytes()),
            Ok(Progress::Done { used: text.len() }),
            "{status}"
        );
    }
}

#[test]
fn a_body_ends_after_its_declared_length_and_what_follows_is_the_next_response() {
    let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1";
    assert_eq!(whole(Expects::Body, text), Ok(Progress::Done { used: text.len() - 8 }));
}

#[test]
fn a_chunked_body_ends_with_the_empty_chunk_and_its_trailer() {
    let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
    let mut response = Response::new(Expects::Body);
    assert_eq!(response.feed(text), Ok(Progress::Done { used: text.len() }));
    assert_eq!(response.body_bytes(), 5);
}

#[test]
fn the_peers_fin_is_judged_by_where_it_comes() {
    let mut response = Response::new(Expects::Body);
    assert_eq!(response.eof(), Err(Failure::EofBeforeResponse));
    response.feed(b"HTTP/1.1 200 OK\r\n").unwrap();
    assert_eq!(response.eof(), Err(Failure::TruncatedResponse));
    response.feed(b"Content-Length: 5\r\n\r\nhel").unwrap();
    assert_eq!(response.eof(), Err(Failure::TruncatedResponse));
    response.start();
    response.feed(b"HTTP/1.0 200 OK\r\n\r\nall that comes").unwrap();
    assert_eq!(response.eof(), Ok(()));
}

#[test]
fn connection_close_and_http_1_0_end_persistence() {
    let mut response = Response::new(Expects::HeadOnly);
    response.feed(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert!(response.persistent());
    response.start();
    response.feed(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
    assert!(!response.persistent());
    response.start();
    response.feed(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    assert!(!response.persistent());
}

#[test]
fn a_field_folded_over_two_lines_is_taken() {
    let text = b"HTTP/1.1 200\r\nX: a\r\n b\r\nContent-Length:5\r\n\r\nhello";
    assert_eq!(whole(Expects::Body, text), Ok(Progress::Done { used: text.len() }));
}

#[test]
fn what_is_no_http_is_a_bad_response() {
    assert_eq!(whole(Expects::Body, b"EXEC:[(1, 2)]\n"), Err(Failure::BadResponse));
    let endless = vec![b'a'; HEAD_LIMIT + 1];
    let mut response = Response::new(Expects::Body);
    response.feed(b"HTTP/1.1 200 OK\r\nX: ").unwrap();
    assert_eq!(response.feed(&endless), Err(Failure::BadResponse));
}

#[test]
fn a_head_of_many_fields_is_http() {
    let of = |fields: usize| {
        let head = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X: y\r\n".repeat(fields));
        whole(Expects::Body, head.as_bytes()).map(|_| ())
    };
    assert_eq!((of(300), of(600)), (Ok(()), Err(Failure::BadResponse)));
}

#[test]
fn basic_is_the_scheme_among_several_that_this_client_speaks() {
    let asked = |fields: &str| {
        let mut response = Response::new(Expects::Body);
        let head = format!("HTTP/1.1 401 No\r\n{fields}\r\nContent-Length: 0\r\n\r\n");
        response.feed(head.as_bytes()).unwrap();
        response.challenge().map(str::to_owned)
    };
    let digest = "WWW-Authenticate: Digest realm=\"a, Basic b\", qop = \"auth\", nonce=x";
    assert_eq!(asked(digest).as_deref(), Some("Digest"));
    assert_eq!(asked(&format!("{digest}\r\nWWW-Authenticate: Basic realm=\"a\"")).as_deref(), Some("Basic"));
    assert_eq!(asked(&format!("{digest}, basic realm=\"a\"")).as_deref(), Some("basic"));
    assert_eq!(asked("WWW-Authenticate: Negotiate, NTLM").as_deref(), Some("Negotiate"));
    assert_eq!(asked("WWW-Authenticate: =").as_deref(), None);
}

proptest! {
    #[test]
    fn any_bytes_in_any_cuts_never_panic(bytes: Vec<u8>, cut in 1usize..64) {
        let mut response = Response::new(Expects::Body);
        for piece in bytes.chunks(cut) {
            if response.feed(piece).is_err() { break; }
        }
        let _ = response.eof();
    }

    #[test]
    fn cuts_do_not_change_what_is_read(cut in 1usize..20) {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n";
        let mut response = Response::new(Expects::Body);
        let mut last = Progress::More;
        for piece in text.chunks(cut) {
            prop_assert_eq!(last, Progress::More);
            last = response.feed(piece).unwrap();
        }
        let done = matches!(last, Progress::Done { .. });
        prop_assert!(done);
        prop_assert_eq!(response.body_bytes(), 10);
    }
}

#[test]
fn bytes_behind_a_response_that_begin_as_another_are_a_second_response_whatever_the_method() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 264\r\n\r\n";
    let behind = |expects, begin: &[u8]| {
        let mut response = Response::new(expects);
        response.feed(head).unwrap();
        response.unasked(begin.len() as u64, begin);
        response.take_fault().map(|seen| (seen.fault, seen.received, seen.detail == SECOND_RESPONSE))
    };
    let length = Some(head.len() as u64);
    assert_eq!(behind(Expects::HeadOnly, head), Some((HttpFault::Overlong, length, true)));
    for body in [&b"{\"temp\":21.5}"[..], b"HTTP/1.1 is a protocol", b"HTTP/1."] {
        let received = Some(body.len() as u64);
        assert_eq!(behind(Expects::HeadOnly, body), Some((HttpFault::BodyAfterHead, received, false)));
    }
    assert_eq!(behind(Expects::Body, head), Some((HttpFault::Overlong, length, true)));
    assert_eq!(behind(Expects::Body, b"more").map(|(.., second)| second), Some(false));
}
