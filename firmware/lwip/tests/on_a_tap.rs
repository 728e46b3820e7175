//! The stack against Linux's, over a TAP device.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream as HostStream};
use std::time::{Duration, Instant};

use common::{Needs, tap};
use espstress_lwip::{Options, Stack, StackConfig, TcpListener, TcpState};

fn echo_for_ever(stack: &Stack) {
    let listener = TcpListener::bind(stack, 7, 6).expect("a listener");
    std::thread::spawn(move || {
        let mut buf = [0; 512];
        loop {
            let Ok((stream, _)) = listener.accept() else {
                continue;
            };
            while let Ok(n @ 1..) = stream.recv(&mut buf) {
                if stream.send_all(&buf[..n]).is_err() {
                    break;
                }
            }
        }
    });
}

fn talk(message: &[u8]) -> std::io::Result<Vec<u8>> {
    let host = HostStream::connect(("192.168.4.91", 7))?;
    host.set_read_timeout(Some(Duration::from_secs(10)))?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&host)
                .write_all(message)
                .and_then(|()| host.shutdown(Shutdown::Write))
        });
        let mut back = Vec::new();
        (&host).read_to_end(&mut back).map(|_| back)
    })
}

isolated!(what_linux_sends_comes_back, Needs::Tap, {
    let stack = tap::start(StackConfig::default());
    echo_for_ever(&stack);
    let message: Vec<u8> = (0..100_000u32).map(|n| (n * 7 % 251) as u8).collect();
    assert!(talk(&message).expect("an echo") == message);
    let stats = stack.stats();
    assert_eq!(stats.sockets.limit, 10);
    assert!(stats.tcp.received > 60, "{stats:?}");
});

isolated!(the_peers_end_arrives_after_a_full_mailbox, Needs::Tap, {
    let stack = tap::start(StackConfig::default());
    let listener = TcpListener::bind(&stack, 7, 6).expect("a listener");
    let mut host = HostStream::connect(("192.168.4.91", 7)).expect("a connection");
    let (stream, _) = listener.accept().expect("a connection");
    host.set_nodelay(true).expect("an option");
    // Six segments fill the mailbox; the FIN is the seventh message.
    for _ in 0..6 {
        host.write_all(b"segment").expect("written");
        std::thread::sleep(Duration::from_millis(5));
    }
    host.shutdown(Shutdown::Write).expect("an end");
    let end = Instant::now() + Duration::from_secs(20);
    while stack.stats().tcp_states.count(TcpState::CloseWait) == 0 {
        assert!(Instant::now() < end, "{:?}", stack.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
    stream
        .set_recv_timeout(Some(Duration::from_secs(10)))
        .expect("an option");
    let mut received = 0;
    let mut buf = [0; 16];
    while let n @ 1.. = stream.recv(&mut buf).expect("data, then the end") {
        received += n;
    }
    assert_eq!(received, 42);
});

isolated!(two_thousand_connections_leave_nothing_behind, Needs::Tap, {
    let stack = tap::start(StackConfig::default());
    echo_for_ever(&stack);
    talk(b"once, for what is allocated the first time").expect("an echo");
    while stack.stats().tcp_states.connections() > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let before = stack.heap().free;
    let start = Instant::now();
    for _ in 0..2_000 {
        assert_eq!(talk(b"hello").expect("an echo"), b"hello");
    }
    let rate = 2_000.0 / start.elapsed().as_secs_f64();
    println!("{rate:.0} connections a second, one at a time");
    let end = Instant::now() + Duration::from_secs(20);
    while stack.heap().free != before {
        assert!(Instant::now() < end, "{before}, {:?}", stack.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
});

isolated!(time_wait_fills_the_heap_and_gives_it_back, Needs::Tap, {
    let options = Options {
        tcp_msl: 2_000,
        ..Options::std()
    };
    let stack = tap::start(StackConfig {
        options,
        ..StackConfig::default()
    });
    let listener = TcpListener::bind(&stack, 7, 6).expect("a listener");
    std::thread::spawn(move || {
        loop {
            // Closed at once: the device's FIN is the first.
            let _ = listener.accept().map(|(stream, _)| stream.close());
        }
    });
    let connect = || {
        let mut host = HostStream::connect(("192.168.4.91", 7)).expect("a connection");
        assert_eq!(host.read(&mut [0; 8]).expect("its end"), 0);
    };
    connect();
    let before = stack.heap().free;
    for _ in 0..200 {
        connect();
    }
    let full = stack.stats();
    let waiting = full.tcp_states.count(TcpState::TimeWait);
    assert!(waiting > 150, "{full:?}");
    assert!(
        full.heap.free + 200 * waiting as usize <= before,
        "{full:?}"
    );
    let end = Instant::now() + Duration::from_secs(30);
    while stack.stats().tcp_states.count(TcpState::TimeWait) > 0 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(stack.heap().free >= before, "{before}, {:?}", stack.stats());
});
