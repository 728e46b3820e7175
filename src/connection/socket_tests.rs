use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::{Alarms, Connector, PortPool, PortRange, Slowness, Timeouts};
use espstress_event::{Intent, WorkloadId};

const LIMIT: Duration = Duration::from_secs(5);
const ANSWER: &[u8] = b"late is what this program was";

/// An open connection on which an answer has come that the runtime has not heard of: this thread stood still.
async fn answered_unheard() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connector = Connector {
        target: listener.local_addr().unwrap(),
        source: None,
        timeouts: Timeouts { connect: LIMIT, read: LIMIT, write: LIMIT },
        slowness: Slowness::default(),
        ports: Rc::new(RefCell::new(PortPool::new(PortRange::of_this_host(), 7))),
        book: Arc::default(),
        workload: WorkloadId::PROBE,
        late: Rc::default(),
        alarms: Alarms::default(),
    };
    let mut connection = connector.open(Intent::Plain).await.unwrap();
    // So that the runtime has been told that there is nothing to read.
    let nothing = connection.read(&mut [0; 64], Duration::from_millis(1)).await;
    assert_eq!(nothing, Err(Failure::ReadTimeout));
    connection.write_all(b"?", LIMIT).await.unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.read_exact(&mut [0]).unwrap();
    peer.write_all(ANSWER).unwrap();
    // Within this machine it has arrived once it has been sent.
    let socket = connection.stream.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
    assert_eq!(TcpStream::from(socket).peek(&mut [0; 64]).unwrap(), ANSWER.len());
    (connection, peer)
}

fn in_a_runtime<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(tokio::task::LocalSet::new().run_until(test))
}

#[test]
fn an_answer_that_came_while_this_program_stood_still_is_read_after_its_time() {
    in_a_runtime(async {
        let (mut connection, _peer) = answered_unheard().await;
        let mut buffer = [0; 64];
        let long_ago = Instant::now().checked_sub(2 * LIMIT).unwrap();
        let read = connection.read_from(&mut buffer, long_ago, LIMIT).await;
        assert_eq!(read.map(|n| &buffer[..n]), Ok(ANSWER));
        // What never came is late all the same.
        let read = connection.read_from(&mut buffer, long_ago, LIMIT).await;
        assert_eq!(read, Err(Failure::ReadTimeout));
    });
}

#[test]
fn so_is_one_that_came_while_there_was_nothing_left_to_send() {
    in_a_runtime(async {
        let (mut connection, _peer) = answered_unheard().await;
        let (mut buffer, at_once) = ([0; 64], Duration::from_nanos(1));
        let turn = connection.turn(&[], &mut buffer, at_once, at_once).await;
        assert_eq!(turn, Ok(Turn::Read(ANSWER.len())));
        let turn = connection.turn(&[], &mut buffer, at_once, at_once).await;
        assert_eq!(turn, Err(Failure::ReadTimeout));
    });
}

#[test]
fn an_answer_that_came_before_a_reset_is_read_though_a_write_met_the_reset_first() {
    in_a_runtime(async {
        let (mut connection, peer) = answered_unheard().await;
        let _ = socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO));
        drop(peer);
        // A request that goes out behind the first one takes the error with it.
        assert_eq!(connection.write_now(b"?"), Err(Failure::WriteReset));
        let mut buffer = [0; 64];
        let turn = connection.turn(b"?", &mut buffer, LIMIT, LIMIT).await;
        assert_eq!(turn, Ok(Turn::Read(ANSWER.len())));
        assert_eq!(&buffer[..ANSWER.len()], ANSWER);
        assert_eq!(connection.turn(b"?", &mut buffer, LIMIT, LIMIT).await, Err(Failure::WriteReset));
    });
}
