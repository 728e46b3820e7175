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
        scope.spawn(|| (&host).write_all(message).and_then(|()| host.shutdown(Shutdown::Write)));
        let mut back = Vec::new();
        (&host).read_to_end(&mut back).map(|_| back)
    })
}

/// The free heap, in bytes, once no connection holds a control block, the listener's is the only socket, and
/// no frame is on its way through the stack.
///
/// The peer may have acknowledged the end, and the connection be gone, while the thread that served it has
/// not come back from closing, with the socket's memory still its own. A frame holds memory for some
/// microseconds: what two readings agree on is not one.
fn free_at_rest(stack: &Stack) -> usize {
    let end = Instant::now() + Duration::from_secs(20);
    let mut last = None;
    loop {
        let now = stack.stats();
        let rests = now.tcp_states.connections() == 0 && now.sockets.in_use == 1;
        let free = rests.then_some(now.heap.free);
        if free.is_some() && free == last {
            return now.heap.free;
        }
        assert!(Instant::now() < end, "{now:?}");
        last = free;
        std::thread::sleep(Duration::from_millis(5));
    }
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
    }
    host.shutdown(Shutdown::Write).expect("an end");
    let end = Instant::now() + Duration::from_secs(20);
    while stack.stats().tcp_states.count(TcpState::CloseWait) == 0 {
        assert!(Instant::now() < end, "{:?}", stack.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
    stream.set_recv_timeout(Some(Duration::from_secs(10))).expect("an option");
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
    let before = free_at_rest(&stack);
    let start = Instant::now();
    for _ in 0..2_000 {
        assert_eq!(talk(b"hello").expect("an echo"), b"hello");
    }
    let rate = 2_000.0 / start.elapsed().as_secs_f64();
    println!("{rate:.0} connections a second, one at a time");
    let end = Instant::now() + Duration::from_secs(20);
    while free_at_rest(&stack) != before {
        assert!(Instant::now() < end, "{before}, {:?}", stack.stats());
    }
});

isolated!(time_wait_fills_the_heap_and_gives_it_back, Needs::Tap, {
    let options = Options { tcp_msl: 2_000, ..Options::std() };
    let stack = tap::start(StackConfig { options, ..StackConfig::default() });
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
    assert!(full.heap.free + 200 * waiting as usize <= before, "{full:?}");
    let end = Instant::now() + Duration::from_secs(30);
    while stack.stats().tcp_states.count(TcpState::TimeWait) > 0 {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(stack.heap().free >= before, "{before}, {:?}", stack.stats());
});

/// Serves each connection in a thread of its own, while there are sockets.
fn serve_many(stack: &Stack, backlog: u8) {
    let listener = TcpListener::bind(stack, 7, backlog).expect("a listener");
    let stack = stack.clone();
    std::thread::spawn(move || {
        loop {
            let sockets = stack.stats().sockets;
            if sockets.in_use == sockets.limit {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            let Ok((stream, _)) = listener.accept() else {
                continue;
            };
            std::thread::spawn(move || {
                let _ = stream.set_recv_timeout(Some(Duration::from_millis(500)));
                let _ = stream.set_send_timeout(Some(Duration::from_millis(500)));
                let mut buf = [0; 1_024];
                while let Ok(n @ 1..) = stream.recv(&mut buf) {
                    if stream.send_all(&buf[..n]).is_err() {
                        break;
                    }
                }
            });
        }
    });
}

/// Sixteen clients at once; gives how many of their attempts were served.
fn sixteen_clients(attempts: usize, message: &[u8]) -> usize {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    (0..attempts).filter(|_| talk(message).is_ok_and(|back| back == message)).count()
                })
            })
            .collect();
        clients.into_iter().map(|c| c.join().expect("a client")).sum()
    })
}

isolated!(a_heap_too_small_for_the_load_fails_allocations_and_recovers, Needs::Tap, {
    let options = Options { tcp_msl: 500, tcp_fin_wait_timeout: 1_000, tcp_maxrtx: 4, ..Options::std() };
    let stack = tap::start(StackConfig { options, heap_bytes: 20 * 1024, ..StackConfig::default() });
    serve_many(&stack, 6);
    assert_eq!(talk(b"alone").expect("an echo"), b"alone");
    let message: Vec<u8> = (0..8_000u32).map(|n| (n % 251) as u8).collect();
    let served = sixteen_clients(4, &message);
    let after = stack.stats();
    println!("{served} of 64 served, {} allocations refused", after.heap.refused);
    assert!(after.heap.refused > 0, "{after:?}");
    let end = Instant::now() + Duration::from_secs(60);
    while stack.stats().tcp_states.connections() > 0 || stack.stats().sockets.in_use > 1 {
        assert!(Instant::now() < end, "{:?}", stack.stats());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(talk(b"alone again").expect("an echo"), b"alone again");
});

isolated!(many_sockets_serve_sixteen_clients_at_once, Needs::Tap, {
    let stack = tap::start(StackConfig {
        options: Options {
            max_sockets: 80,
            max_active_tcp: 128,
            tcp_acceptmbox_size: 64,
            ..Options::current()
        },
        ..StackConfig::default()
    });
    serve_many(&stack, 64);
    let message = [0x5a; 3_000];
    assert_eq!(sixteen_clients(50, &message), 800, "{:?}", stack.stats());
});

isolated!(without_a_limit_time_wait_fills_the_whole_heap, Needs::Tap, {
    let stack = tap::start(StackConfig { options: Options::std(), ..StackConfig::default() });
    let listener = TcpListener::bind(&stack, 7, 6).expect("a listener");
    std::thread::spawn(move || {
        loop {
            let _ = listener.accept().map(|(stream, _)| stream.close());
        }
    });
    let address = "192.168.4.91:7".parse().expect("an address");
    let (mut attempts, mut served) = (0, 0);
    // From the first refusal on, lwIP recycles the oldest connection for each new one.
    while stack.heap().refused == 0 {
        assert!(attempts < 2_000, "{:?}", stack.stats());
        attempts += 1;
        // One that fails met the end of the heap, or the host has taken a port again that is in TIME_WAIT here.
        let Ok(mut host) = HostStream::connect_timeout(&address, Duration::from_millis(500)) else {
            continue;
        };
        let _ = host.set_read_timeout(Some(Duration::from_millis(500)));
        let _ = host.read(&mut [0; 8]);
        served += 1;
    }
    let full = stack.stats();
    println!("{served} connections, then {:?} {:?}", full.heap, full.tcp_states);
    assert!((200..1_000).contains(&served), "{served}");
    assert!(full.tcp_states.count(TcpState::TimeWait) > 200, "{full:?}");
    // What is free at the first refusal is in pieces: seldom more than a twelfth.
    assert!(full.heap.min_free < full.heap.total / 8, "{full:?}");
});
