//! `rw --window` against echo services that lose messages, mix them up or change them, in each protocol that numbers its messages.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use espstress_device::framed::{HEADER_LEN, Header, Kind};
use espstress_event::Failure;
use tungstenite::Message;

use crate::common::said::{Said, said};
use crate::common::server;

/// Gets how manyth a message is, from 1, and it; says what goes back.
type Answer = fn(u64, Vec<u8>, &mut Vec<Vec<u8>>) -> Vec<Vec<u8>>;

/// Loses each twentieth.
const LOSES: Answer = |nth, message, _| if nth % 20 == 0 { vec![] } else { vec![message] };

/// Sends each twentieth back behind the next.
const SWAPS: Answer = |nth, message, held| match nth % 20 {
    0 => {
        held.push(message);
        vec![]
    }
    1 if nth > 1 => [vec![message], std::mem::take(held)].concat(),
    _ => vec![message],
};

/// Sends each twentieth back twice.
const DOUBLES: Answer = |nth, message, _| vec![message; if nth % 20 == 0 { 2 } else { 1 }];

/// Changes the last byte but five of each twentieth.
const CHANGES: Answer = |nth, mut message, _| {
    let at = message.len() - 5;
    message[at] ^= if nth % 20 == 0 { 1 } else { 0 };
    vec![message]
};

fn line(answer: Answer) -> SocketAddr {
    server(move |mut stream: TcpStream| {
        stream.set_nodelay(true).unwrap();
        let (mut lines, mut held) = (BufReader::new(stream.try_clone().unwrap()), Vec::new());
        for nth in 1.. {
            let mut line = Vec::new();
            if lines.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(&answer(nth, line, &mut held).concat());
            } else {
                return;
            }
        }
    })
}

fn framed(answer: Answer) -> SocketAddr {
    server(move |mut stream: TcpStream| {
        stream.set_nodelay(true).unwrap();
        let (mut frame, mut held) = ([0; HEADER_LEN + 64], Vec::new());
        for nth in 1.. {
            if stream.read_exact(&mut frame).is_err() {
                return;
            }
            let (head, payload) = frame.split_first_chunk::<HEADER_LEN>().unwrap();
            let header = Header { kind: Kind::EchoReply, ..Header::decode(head).unwrap() };
            let reply = [&header.encode()[..], payload].concat();
            let _ = stream.write_all(&answer(nth, reply, &mut held).concat());
        }
    })
}

fn websocket(answer: Answer) -> SocketAddr {
    server(move |stream: TcpStream| {
        stream.set_nodelay(true).unwrap();
        let Ok(mut socket) = tungstenite::accept(stream) else { return };
        let (mut nth, mut held) = (0, Vec::new());
        while let Ok(message) = socket.read() {
            if let Message::Binary(bytes) = message {
                nth += 1;
                for bytes in answer(nth, bytes.to_vec(), &mut held) {
                    let _ = socket.send(Message::Binary(bytes.into()));
                }
            }
        }
    })
}

/// 310 messages of 64 bytes, four under way at once.
#[track_caller]
fn each(answer: Answer, look: impl Fn(&str, Said)) {
    for (protocol, target) in
        [("line", line(answer)), ("framed", framed(answer)), ("websocket", websocket(answer))]
    {
        let command =
            format!("rw --protocol {protocol} --window 4 --size 64B -c 1 -n 310 --no-capture --watch 0s");
        look(protocol, said(&command, &[&target.to_string()]));
    }
}

#[test]
fn an_answer_to_a_later_message_says_that_those_before_it_were_lost_and_the_rest_go_on_in_step() {
    each(LOSES, |protocol, run| {
        let w = &run.report.workloads[0];
        let counted: Vec<_> = w.failures.iter().filter(|(_, n)| *n > 0).collect();
        assert_eq!((w.succeeded, counted), (295, vec![(Failure::PassedOver, 15)]), "{protocol}");
        run.says(&["15 of 310 messages were not sent back", "none was changed"])
            .never_says(&["wrong payload"]);
    });
}

#[test]
fn an_answer_that_comes_behind_a_later_one_is_out_of_order_and_not_lost() {
    each(SWAPS, |protocol, run| {
        let w = &run.report.workloads[0];
        assert_eq!((w.succeeded, w.failures.get(Failure::PassedOver)), (295, 15), "{protocol}");
        assert_eq!(w.by_protocol.as_ref().map(|by| by.out_of_order), Some(15), "{protocol}");
        run.says(&["messages were not sent back before later ones", "15 answers came behind"]);
        run.never_says(&["wrong payload", "loses some messages, or doesn't"]);
    });
}

#[test]
fn an_answer_that_comes_again_is_told_and_fails_nothing() {
    each(DOUBLES, |protocol, run| {
        let w = &run.report.workloads[0];
        assert_eq!((w.succeeded, w.attempts), (310, 310), "{protocol}");
        assert_eq!(w.by_protocol.as_ref().map(|by| by.repeated), Some(15), "{protocol}");
        run.says(&["The device sent 15 answers again", "answers_repeated", "15 answers came again"]);
        run.never_says(&["wrong payload", "other messages received"]);
    });
}

#[test]
fn a_changed_message_is_the_only_one_that_fails_and_those_behind_it_are_sent_again() {
    each(CHANGES, |protocol, run| {
        let w = &run.report.workloads[0];
        let counted: Vec<_> = w.failures.iter().filter(|(_, n)| *n > 0).collect();
        // Each connection carries twenty answers, the last of them wrong.
        assert_eq!((w.succeeded, counted), (295, vec![(Failure::CorruptPayload, 15)]), "{protocol}");
    });
}
