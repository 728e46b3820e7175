//! What lwIP does on the wire and with its memory, whatever the options.

mod common;

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::Needs::Process;
use common::frame::{self, ACK, FIN, RST, SYN};
use common::wire::{PATIENCE, PEER, Wire, quick};
use espstress_lwip::heap::Block;
use espstress_lwip::{
    Dropped, Interest, Options, Poll, PollEntry, Shutdown, SocketError, Stack, StackConfig, StartError,
    TcpListener, TcpState, TcpStream, UdpSocket,
};

isolated!(a_second_stack_is_refused, Process, {
    let _wire = Wire::with(quick());
    let second = Stack::start(StackConfig::default(), |_: &[u8]| {});
    assert_eq!(second.map(drop), Err(StartError::AlreadyStarted));
});

isolated!(a_start_with_a_wrong_value_can_be_tried_again, Process, {
    let wrong =
        StackConfig { options: Options { tcp_mss: 9_000, ..Options::current() }, ..StackConfig::default() };
    let refused = Stack::start(wrong, |_: &[u8]| {}).map(drop);
    assert!(matches!(refused, Err(StartError::Option(e)) if e.option == "TCP_MSS"));
    let small = StackConfig { heap_bytes: 1_000, ..StackConfig::default() };
    let refused = Stack::start(small, |_: &[u8]| {}).map(drop);
    assert_eq!(refused, Err(StartError::HeapSize(1_000)));
    let stack = Stack::start(StackConfig::default(), |_: &[u8]| {}).expect("a stack");
    assert!(stack.version().starts_with("2.2.1"), "{}", stack.version());
    assert_eq!(stack.heap().total, 113_840);
});

isolated!(a_ping_is_answered, Process, {
    let wire = Wire::with(quick());
    wire.stack.input(&wire.ping()).expect("room");
    let end = Instant::now() + PATIENCE;
    while !wire.next_frame(PATIENCE).is_some_and(|(_, f)| frame::is_echo_reply(&f)) {
        assert!(Instant::now() < end);
    }
    assert_eq!(wire.stack.stats().icmp.received, 1);
});

isolated!(a_frame_of_no_possible_length_is_dropped_and_counted, Process, {
    let wire = Wire::with(quick());
    assert_eq!(wire.stack.input(&[0; 13]), Err(Dropped::Malformed));
    assert_eq!(wire.stack.input(&[0; 1_515]), Err(Dropped::Malformed));
    assert_eq!(wire.stack.stats().frames.dropped_malformed, 2);
});

isolated!(closing_with_unread_data_sends_a_reset, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    wire.send_data(&mut conn, b"HEAD / HTTP/1.1\r\n\r\n");
    let (stream, peer) = listener.accept().expect("a connection");
    assert_eq!(peer, SocketAddrV4::new(PEER, 4000));
    assert_eq!(stream.recv(&mut [0; 4]), Ok(4));
    stream.close().expect("closed");
    let end = wire.ending(&conn);
    assert!(end.has(RST) && !end.has(FIN), "{end:?}");
    assert_eq!(wire.stack.stats().tcp_resets_sent, 1);
});

isolated!(closing_after_reading_all_sends_a_fin, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    wire.send_data(&mut conn, b"HEAD");
    let (stream, _) = listener.accept().expect("a connection");
    assert_eq!(stream.recv(&mut [0; 16]), Ok(4));
    drop(stream);
    let end = wire.ending(&conn);
    assert!(end.has(FIN) && !end.has(RST), "{end:?}");
});

isolated!(an_abort_is_a_reset_without_the_linger_option, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.abort().expect("closed");
    assert!(wire.ending(&conn).has(RST));
    wire.until("nothing left", |s| s.stats().tcp_states.connections() == 0 && s.stats().sockets.in_use == 1);
});

isolated!(shutting_down_writing_leaves_reading, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.shutdown(Shutdown::Write).expect("a FIN");
    wire.answer_fin(&mut conn, 0);
    wire.send_data(&mut conn, b"still here");
    let mut buf = [0; 16];
    assert_eq!(stream.recv(&mut buf), Ok(10));
    assert_eq!(&buf[..10], b"still here");
});

isolated!(a_socket_whose_time_wait_made_room_for_another_closes_nothing_of_it, Process, {
    let wire = Wire::with(Options { tcp_msl: 60_000, max_active_tcp: 3, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let accept = |port| {
        let conn = wire.connect(port, 7);
        (conn, listener.accept().expect("a connection").0)
    };
    let (mut conn, first) = accept(4000);
    first.shutdown(Shutdown::Write).expect("a FIN");
    wire.answer_fin(&mut conn, FIN);
    let states = || wire.stack.stats().tcp_states;
    wire.until("TIME_WAIT", |_| states().count(TcpState::TimeWait) == 1);
    // The last of these gets the control block of the first, whose socket has not been closed.
    let others = [4001, 4002, 4003].map(accept);
    assert_eq!(states().count(TcpState::TimeWait), 0);
    first.close().expect("closed");
    assert_eq!((states().count(TcpState::Established), others.len()), (3, 3));
});

isolated!(a_syn_beyond_the_backlog_is_dropped, Process, {
    let wire = Wire::with(quick());
    let _listener = TcpListener::bind(&wire.stack, 7, 2).expect("a listener");
    wire.connect(4000, 7);
    wire.connect(4001, 7);
    let third = wire.connect_within(4002, 7, Duration::from_millis(500));
    assert!(third.is_none(), "{third:?}");
});

isolated!(closing_a_listener_resets_what_was_not_accepted, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    wire.send_data(&mut conn, b"unread");
    drop(listener);
    assert!(wire.ending(&conn).has(RST));
    assert_eq!(wire.stack.stats().tcp_states.connections(), 0);
});

isolated!(a_syn_for_no_listener_is_refused, Process, {
    let wire = Wire::with(quick());
    wire.send_syn(4000, 81);
    let (_, answer) = wire.next(PATIENCE, |s| s.to == 4000).expect("an answer");
    assert!(answer.has(RST), "{answer:?}");
});

isolated!(keepalive_gives_up_a_silent_peer_with_a_reset, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    let second = Duration::from_secs(1);
    stream.set_keepalive(second, second, 2).expect("an option");
    assert_eq!(stream.recv(&mut [0; 8]), Err(SocketError::ConnectionAborted));
    let seen = wire.all_until_quiet(Duration::from_millis(100), |s| s.to == conn.port && !s.has(SYN));
    let probes = seen.iter().filter(|(_, s)| s.flags == ACK).count();
    assert_eq!(probes, 2, "{seen:?}");
    assert!(seen.last().expect("segments").1.has(RST));
});

isolated!(a_connection_can_be_made_from_the_device, Process, {
    let wire = Wire::with(quick());
    let peer = SocketAddrV4::new(PEER, 8123);
    let stream = TcpStream::start_connect(&wire.stack, peer).expect("begun");
    let (_, syn) = wire.next(PATIENCE, |s| s.has(SYN)).expect("a SYN");
    let answer = frame::Segment {
        from: 8123,
        to: syn.from,
        seq: 5_000,
        ack: syn.seq.wrapping_add(1),
        flags: SYN | ACK,
        window: 64_000,
        mss: Some(1_460),
        scale: None,
        payload: Vec::new(),
    };
    wire.send(&answer);
    let mut entries = [PollEntry::new(&stream, Interest::Writable)];
    assert_eq!(Poll::new().wait(&mut entries, Some(PATIENCE)), Ok(1));
    assert!(entries[0].readiness().writable());
    assert_eq!(stream.take_error(), Ok(()));
    assert_eq!(stream.peer_addr(), Ok(peer));
    let states = wire.stack.connections();
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].remote, states[0].state), (peer, TcpState::Established));
});

isolated!(a_refused_connection_is_named, Process, {
    let wire = Wire::with(quick());
    let stream = TcpStream::start_connect(&wire.stack, SocketAddrV4::new(PEER, 9)).expect("begun");
    let (_, syn) = wire.next(PATIENCE, |s| s.has(SYN)).expect("a SYN");
    wire.send(&frame::Segment {
        from: 9,
        to: syn.from,
        seq: 0,
        ack: syn.seq.wrapping_add(1),
        flags: RST | ACK,
        window: 0,
        mss: None,
        scale: None,
        payload: Vec::new(),
    });
    let mut entries = [PollEntry::new(&stream, Interest::Writable)];
    assert_eq!(Poll::new().wait(&mut entries, Some(PATIENCE)), Ok(1));
    assert_eq!(stream.take_error(), Err(SocketError::ConnectionReset));
});

isolated!(polling_finds_what_is_ready, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let socket = UdpSocket::bind(&wire.stack, 9).expect("a socket");
    let mut entries =
        [PollEntry::new(&listener, Interest::Readable), PollEntry::new(&socket, Interest::Readable)];
    let mut poll = Poll::new();
    assert_eq!(poll.wait(&mut entries, Some(Duration::ZERO)), Ok(0));
    wire.send_udp(4000, 9, b"now");
    assert_eq!(poll.wait(&mut entries, Some(PATIENCE)), Ok(1));
    assert_eq!(entries.map(|e| e.readiness().readable()), [false, true]);
    wire.connect(4001, 7);
    let mut listening = [entries[0]];
    assert_eq!(poll.wait(&mut listening, Some(PATIENCE)), Ok(1));
});

isolated!(a_waker_ends_a_wait_and_disturbs_nothing_else, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut poll = Poll::new();
    let waker = poll.waker();
    waker.wake();
    let mut entries = [PollEntry::new(&listener, Interest::Readable)];
    assert_eq!(poll.wait(&mut entries, None), Ok(0), "woken before the wait");
    // Wakes all the time, while the polling thread makes socket calls that use the same semaphore.
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let waking = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            waker.wake();
            std::thread::yield_now();
        }
    });
    for round in 0..300u16 {
        assert_eq!(poll.wait(&mut entries, None), Ok(0));
        let socket = UdpSocket::bind(&wire.stack, 5000 + round).expect("a socket");
        assert_eq!(socket.local_addr().map(|a| a.port()), Ok(5000 + round));
    }
    done.store(true, Ordering::Relaxed);
    waking.join().expect("the waking thread");
});

isolated!(a_leaked_socket_stays_in_use, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.leak();
    wire.send(&conn.segment(RST, b""));
    wire.until("the reset", |s| s.stats().tcp_states.connections() == 0);
    assert_eq!(wire.stack.stats().sockets.in_use, 2);
});

isolated!(an_exhausted_heap_fails_allocations_and_recovers, Process, {
    let wire = Wire::with(quick());
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    let free = wire.stack.heap().free;
    let mut hoard = Vec::new();
    for size in [4_096, 256, 16, 1] {
        hoard.extend(std::iter::from_fn(|| Block::alloc(size)));
    }
    let empty = wire.stack.heap();
    assert!(empty.free < 64 && empty.largest_block < 8, "{empty:?}");
    assert_eq!(wire.stack.input(&wire.ping()), Err(Dropped::NoMemory));
    assert!(stream.try_send(b"no room").is_err());
    assert!(UdpSocket::bind(&wire.stack, 9).is_err());
    // A thread that has never called in finds no memory for its semaphore, and does without.
    let stack = wire.stack.clone();
    std::thread::spawn(move || assert_eq!(stack.stats().sockets.in_use, 2))
        .join()
        .expect("the stack answers");
    // The timers go on meanwhile.
    std::thread::sleep(Duration::from_millis(200));
    drop(hoard);
    assert!(wire.stack.heap().free >= free - 256, "{:?}", wire.stack.heap());
    assert!(wire.stack.heap().min_free < 64);
    assert!(wire.stack.stats().elements_refused > 0);
    stream.send_all(b"room again").expect("room");
    let (_, data) = wire.next(PATIENCE, |s| !s.payload.is_empty()).expect("data");
    assert_eq!(data.payload, b"room again");
    drop(wire.connect(4001, 7));
});

isolated!(a_small_heap_under_load_keeps_the_process_alive, Process, {
    let wire = Wire::start(StackConfig { options: quick(), heap_bytes: 16 * 1024, ..StackConfig::default() });
    let _listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    // Connections nobody accepts, with all the data their windows take.
    for port in 4000..4020 {
        let Some(mut conn) = wire.connect_within(port, 7, Duration::from_millis(50)) else {
            continue;
        };
        for _ in 0..4 {
            let segment = conn.segment(ACK, &[7; 1_400]);
            conn.seq = conn.seq.wrapping_add(1_400);
            let _ = wire.try_send(&segment);
        }
    }
    let stats = wire.stack.stats();
    assert!(stats.heap.refused > 0, "{stats:?}");
    assert!(stats.frames.dropped_no_memory > 0, "{stats:?}");
});

isolated!(damaged_frames_do_not_stop_the_stack, Process, {
    let wire = Wire::with(quick());
    let _listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let _socket = UdpSocket::bind(&wire.stack, 9).expect("a socket");
    let mac = StackConfig::default().mac;
    let device = *wire.device(0).ip();
    let mut conn = wire.connect(4000, 7);
    let samples = [
        frame::tcp(mac, PEER, device, &conn.segment(ACK | FIN, &[1; 300])),
        frame::udp(mac, (PEER, 4000), (device, 9), b"datagram"),
        wire.ping(),
    ];
    const SEED: u64 = 0x5eed;
    let mut state = SEED;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };
    for round in 0..20_000 {
        let mut bytes = samples[round % samples.len()].clone();
        for _ in 0..=random(4) {
            // The addresses of the link stay, or nothing would look at the rest.
            let at = 12 + random(bytes.len() - 12);
            bytes[at] = random(256) as u8;
        }
        bytes.truncate(14 + random(bytes.len()));
        // A full mailbox hides the frame from everything behind it.
        wire.until("room in the mailbox", |s| s.input(&bytes) != Err(Dropped::MailboxFull));
    }
    wire.until("room in the mailbox", |s| s.input(&wire.ping()).is_ok());
    let stats = wire.stack.stats();
    assert!(stats.ip.dropped + stats.tcp.dropped > 10_000, "{stats:?}");
    conn = wire.connect(5000, 7);
    wire.send_data(&mut conn, b"still there");
    let heard = wire.next(PATIENCE, |s| s.to == 5000 && s.ack == conn.seq);
    assert!(heard.is_some(), "seed {SEED:#x}: {:?}", wire.stack.stats());
});

isolated!(the_programs_own_blocks_are_the_devices_memory, Process, {
    assert!(Block::alloc(8).is_none(), "no heap before the start");
    let wire = Wire::with(quick());
    let before = wire.stack.heap();
    let mut block = Block::alloc(256).expect("room");
    assert!(block.iter().all(|&b| b == 0));
    block.fill(0x55);
    let with = wire.stack.heap();
    assert_eq!(before.free - with.free, 264, "256 bytes and a header");
    drop(block);
    assert_eq!(wire.stack.heap().free, before.free);
    assert!(Block::alloc(before.largest_block + 1).is_none());
    assert_eq!(wire.stack.heap().refused, before.refused + 1);
});

isolated!(a_multicast_group_is_heard_once_joined, Process, {
    let wire = Wire::with(quick());
    let socket = UdpSocket::bind(&wire.stack, 5353).expect("a socket");
    let group = "224.0.0.251".parse().expect("an address");
    socket.join_multicast(group).expect("joined");
    socket.set_multicast_ttl(255).expect("an option");
    let mac = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];
    let query = frame::udp(mac, (PEER, 5353), (group, 5353), b"who is there");
    wire.stack.input(&query).expect("room");
    socket.set_recv_timeout(Some(PATIENCE)).expect("an option");
    assert_eq!(socket.recv_from(&mut [0; 64]).map(|(n, _)| n), Ok(12));
});

isolated!(the_same_seed_gives_the_same_local_ports, Process, {
    let wire = Wire::with(quick());
    let socket = UdpSocket::bind(&wire.stack, 0).expect("a socket");
    let port = socket.local_addr().expect("bound").port();
    // The value belongs to seed 0; the point is that it is not drawn from anywhere else.
    assert_eq!(port, SEED_0_PORT);
});

/// Found by the first run; changes only with the generator or with lwIP's use of it.
const SEED_0_PORT: u16 = 59450;
