//! Each option that takes effect at run time: changing it changes what the wire or the readings show.

mod common;

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use common::Needs::Process;
use common::frame::{ACK, FIN, RST, SYN};
use common::wire::{PATIENCE, PEER, Wire, quick};
use espstress_lwip::{
    Options, PcbLimits, SocketError, SocketOption, Stack, StackConfig, TcpListener, TcpState, TcpStream,
    UdpSocket,
};
use std::net::SocketAddrV4;

fn millis(since: Instant, until: Instant) -> u128 {
    until.duration_since(since).as_millis()
}

isolated!(tcp_mss_and_tcp_wnd_are_what_the_syn_ack_announces, Process, {
    let wire = Wire::with(Options { tcp_mss: 1_000, tcp_wnd: 3_000, ..quick() });
    let _listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let syn_ack = wire.connect(4000, 7).syn_ack;
    assert_eq!((syn_ack.mss, syn_ack.window), (Some(1_000), 3_000));
});

isolated!(the_current_options_announce_their_mss_and_window, Process, {
    let wire = Wire::with(Options::current());
    let _listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let syn_ack = wire.connect(4000, 7).syn_ack;
    assert_eq!((syn_ack.mss, syn_ack.window), (Some(1_440), 5_760));
});

isolated!(with_window_scaling_windows_are_larger_than_sixteen_bits, Process, {
    let scaled = Options { wnd_scale: true, tcp_rcv_scale: 3, tcp_wnd: 524_280, ..quick() };
    let wire = Wire::with(scaled);
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    assert_eq!((conn.syn_ack.scale, conn.syn_ack.window), (Some(3), 65_535));
    let (_stream, _) = listener.accept().expect("a connection");
    wire.send_data(&mut conn, &[1; 800]);
    let (_, ack) = wire.next(PATIENCE, |s| s.to == conn.port && s.ack == conn.seq).expect("an ACK");
    assert_eq!(u32::from(ack.window) << 3, 524_280 - 800);
});

isolated!(without_window_scaling_the_offer_is_left_alone, Process, {
    let wire = Wire::with(quick());
    let _listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let syn_ack = wire.connect(4000, 7).syn_ack;
    assert_eq!((syn_ack.scale, syn_ack.window), (None, 5_760));
});

isolated!(tcp_mss_bounds_the_segments_sent, Process, {
    let wire = Wire::with(Options { tcp_mss: 700, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.send_all(&[1; 2_100]).expect("room");
    let (_, data) = wire.next(PATIENCE, |s| s.to == conn.port && !s.payload.is_empty()).expect("data");
    assert_eq!(data.payload.len(), 700);
});

isolated!(tcp_snd_buf_bounds_what_a_program_can_queue, Process, {
    let wire = Wire::with(Options { tcp_snd_buf: 4_000, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.set_nonblocking(true).expect("an option");
    let mut queued = 0;
    let stopped = loop {
        match stream.send(&[1; 100]) {
            Ok(n) => queued += n,
            Err(e) => break e,
        }
    };
    assert_eq!((queued, stopped), (4_000, SocketError::WouldBlock));
});

/// The gap between the first two transmissions of data that nobody acknowledges.
fn first_retransmission_after(options: Options) -> u128 {
    let wire = Wire::with(options);
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.send_all(b"unheard").expect("room");
    let data = |s: &common::frame::Segment| s.to == conn.port && s.payload == b"unheard";
    let (first, _) = wire.next(PATIENCE, data).expect("data");
    let (second, _) = wire.next(PATIENCE, data).expect("data again");
    millis(first, second)
}

isolated!(tcp_rto_time_is_the_first_retransmission_delay, Process, {
    let after = first_retransmission_after(Options { tcp_rto_time: 800, ..quick() });
    assert!(after >= 700, "{after} ms");
});

isolated!(a_shorter_tcp_rto_time_retransmits_earlier, Process, {
    let after = first_retransmission_after(Options { tcp_rto_time: 100, ..quick() });
    assert!(after < 700, "{after} ms");
});

isolated!(tcp_maxrtx_bounds_the_transmissions_of_data, Process, {
    let wire = Wire::with(Options { tcp_maxrtx: 2, tcp_rto_time: 100, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.send_all(b"unheard").expect("room");
    assert_eq!(stream.recv(&mut [0; 8]), Err(SocketError::ConnectionAborted));
    let sent =
        wire.all_until_quiet(Duration::from_millis(100), |s| s.to == conn.port && !s.payload.is_empty());
    assert_eq!(sent.len(), 3);
});

isolated!(tcp_synmaxrtx_bounds_the_syns_sent, Process, {
    let wire = Wire::with(Options { tcp_synmaxrtx: 2, tcp_rto_time: 100, ..quick() });
    let refused = TcpStream::connect(&wire.stack, SocketAddrV4::new(PEER, 9));
    assert_eq!(refused.map(drop), Err(SocketError::ConnectionAborted));
    let syns = wire.all_until_quiet(Duration::from_millis(100), |s| s.has(SYN));
    assert_eq!(syns.len(), 3);
});

/// How long one segment's acknowledgement was delayed.
fn acknowledged_after(tcp_tmr_interval: u32) -> u128 {
    let wire = Wire::with(Options { tcp_tmr_interval, ..Options::current() });
    let _listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    let sent = Instant::now();
    wire.send_data(&mut conn, b"one segment");
    let (at, _) =
        wire.next(PATIENCE, |s| s.to == conn.port && s.ack == conn.seq).expect("an acknowledgement");
    millis(sent, at)
}

isolated!(a_long_tcp_tmr_interval_delays_acknowledgements, Process, {
    // The timer starts with the connection, so that the first round of it is nearly whole.
    let after = acknowledged_after(1_000);
    assert!(after > 500, "{after} ms");
});

isolated!(a_short_tcp_tmr_interval_acknowledges_sooner, Process, {
    let after = acknowledged_after(50);
    assert!(after < 500, "{after} ms");
});

/// Closes a connection from the device's side and gives the time it spends in a state.
fn time_in(options: Options, state: TcpState, answer: u8) -> u128 {
    let wire = Wire::with(options);
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.close().expect("a FIN");
    wire.answer_fin(&mut conn, answer);
    wire.until("the state", |s| s.stats().tcp_states.count(state) == 1);
    let start = Instant::now();
    wire.until("its end", |s| s.stats().tcp_states.connections() == 0);
    millis(start, Instant::now())
}

isolated!(time_wait_lasts_twice_tcp_msl, Process, {
    let options = Options { tcp_msl: 700, ..quick() };
    let ms = time_in(options, TcpState::TimeWait, FIN);
    assert!(ms >= 1_300, "{ms} ms");
});

isolated!(a_shorter_tcp_msl_shortens_time_wait, Process, {
    let options = Options { tcp_msl: 100, ..quick() };
    let ms = time_in(options, TcpState::TimeWait, FIN);
    assert!((150..1_300).contains(&ms), "{ms} ms");
});

isolated!(fin_wait_2_lasts_tcp_fin_wait_timeout, Process, {
    let options = Options { tcp_fin_wait_timeout: 1_000, ..quick() };
    let ms = time_in(options, TcpState::FinWait2, 0);
    assert!(ms >= 900, "{ms} ms");
});

isolated!(a_shorter_tcp_fin_wait_timeout_shortens_fin_wait_2, Process, {
    let options = Options { tcp_fin_wait_timeout: 200, ..quick() };
    let ms = time_in(options, TcpState::FinWait2, 0);
    assert!(ms < 900, "{ms} ms");
});

/// How many small segments are taken from a peer while the program does not read.
fn segments_taken(tcp_recvmbox_size: u32) -> u32 {
    let wire = Wire::with(Options { tcp_recvmbox_size, ..quick() });
    let _listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    let start = conn.seq;
    for _ in 0..40 {
        wire.send_data(&mut conn, b"small one ");
        // Room for each in the tcpip thread's own mailbox.
        wire.until("the segment", |s| s.stats().heap.free > 0);
    }
    wire.all_until_quiet(Duration::from_millis(300), |s| s.to == conn.port)
        .iter()
        .map(|(_, s)| s.ack.wrapping_sub(start) / 10)
        .max()
        .expect("an acknowledgement")
}

isolated!(tcp_recvmbox_size_bounds_the_segments_taken, Process, {
    // One more waits outside of the mailbox ("refused data"); the rest is dropped.
    assert_eq!(segments_taken(6), 7);
});

isolated!(a_larger_tcp_recvmbox_size_takes_more_segments, Process, {
    assert_eq!(segments_taken(20), 21);
});

isolated!(connections_beyond_tcp_acceptmbox_size_are_reset, Process, {
    let wire = Wire::with(Options { tcp_acceptmbox_size: 3, ..quick() });
    let _listener = TcpListener::bind(&wire.stack, 7, 20).expect("a listener");
    for port in 4000..4003 {
        wire.connect(port, 7);
    }
    let beyond = wire.connect(4003, 7);
    assert!(wire.ending(&beyond).has(RST));
    assert_eq!(wire.stack.stats().tcp_states.count(TcpState::Established), 3);
});

isolated!(udp_recvmbox_size_bounds_the_datagrams_that_wait, Process, {
    let wire = Wire::with(Options { udp_recvmbox_size: 4, ..quick() });
    let socket = UdpSocket::bind(&wire.stack, 9).expect("a socket");
    for n in 0..10 {
        wire.send_udp(4000, 9, &[n]);
    }
    wire.until("all datagrams", |s| s.stats().udp.received == 10);
    let mut buf = [0; 4];
    let got: Vec<_> =
        std::iter::from_fn(|| socket.try_recv_from(&mut buf).ok().map(|(n, from)| (buf[..n].to_vec(), from)))
            .collect();
    let first = |n| (vec![n], SocketAddrV4::new(PEER, 4000));
    assert_eq!(got, [first(0), first(1), first(2), first(3)]);
});

isolated!(tcpip_recvmbox_size_bounds_the_frames_that_wait_for_the_stack, Process, {
    let (entered, wait_entered) = channel();
    let (release, wait_release) = channel::<()>();
    let mut first = true;
    let config =
        StackConfig { options: Options { tcpip_recvmbox_size: 9, ..quick() }, ..StackConfig::default() };
    let mac = config.mac;
    let ip = config.ip;
    // The stack's own announcement of its address is the frame that holds its thread up.
    let (started, wait_started) = channel();
    let stack = Stack::start(config, move |_: &[u8]| {
        if std::mem::take(&mut first) {
            return;
        }
        let _ = entered.send(());
        let _ = wait_release.recv();
    })
    .expect("a stack");
    started.send(()).expect("receiver");
    wait_started.recv().expect("sender");
    let ping = common::frame::echo_request(mac, PEER, ip);
    // Its answer needs an ARP request: the tcpip thread enters the output and stays there.
    stack.input(&ping).expect("room");
    wait_entered.recv_timeout(PATIENCE).expect("the stack sends");
    let taken = (0..30).take_while(|_| stack.input(&ping).is_ok()).count();
    drop(release);
    assert_eq!(taken, 9);
    assert_eq!(stack.stats().frames.dropped_mailbox_full, 1);
});

/// The most control blocks seen while the device closes 12 connections first, and how many of the 12
/// were served.
fn control_blocks(pcb_limits: PcbLimits) -> (u32, usize) {
    let wire = Wire::with(Options { max_active_tcp: 5, pcb_limits, tcp_msl: 60_000, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut most = 0;
    let mut served = 0;
    for port in 4000..4012 {
        let mut conn = wire.connect(port, 7);
        let (stream, _) = listener.accept().expect("a connection");
        stream.close().expect("a FIN");
        wire.answer_fin(&mut conn, FIN);
        served += 1;
        wire.until("time-wait", |s| {
            let states = s.stats().tcp_states;
            states.connections() == states.count(TcpState::TimeWait)
        });
        most = most.max(wire.stack.stats().tcp_control_blocks);
    }
    (most, served)
}

isolated!(max_active_tcp_recycles_time_wait_when_enforced, Process, {
    assert_eq!(control_blocks(PcbLimits::Enforced), (5, 12));
});

isolated!(max_active_tcp_means_nothing_when_not_enforced, Process, {
    assert_eq!(control_blocks(PcbLimits::NotEnforced), (12, 12));
});

fn listeners(pcb_limits: PcbLimits) -> (usize, Option<SocketError>) {
    let wire = Wire::with(Options { max_listening_tcp: 3, max_sockets: 8, pcb_limits, ..quick() });
    let mut open = Vec::new();
    for port in 1..=6 {
        match TcpListener::bind(&wire.stack, port, 1) {
            Ok(listener) => open.push(listener),
            Err(e) => return (open.len(), Some(e)),
        }
    }
    (open.len(), None)
}

isolated!(max_listening_tcp_bounds_listeners_when_enforced, Process, {
    assert_eq!(listeners(PcbLimits::Enforced), (3, Some(SocketError::NoMemory)));
});

isolated!(max_listening_tcp_means_nothing_when_not_enforced, Process, {
    assert_eq!(listeners(PcbLimits::NotEnforced), (6, None));
});

isolated!(max_sockets_bounds_all_sockets_together, Process, {
    let wire = Wire::with(Options { max_sockets: 5, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut sockets: Vec<_> = (0..4).map(|_| UdpSocket::bind(&wire.stack, 0).expect("a socket")).collect();
    assert_eq!(UdpSocket::bind(&wire.stack, 0).map(drop), Err(SocketError::NoSocket));
    // A connection without a socket is accepted by the stack and closed again.
    let refused = wire.connect(4000, 7);
    assert_eq!(listener.accept().map(drop), Err(SocketError::NoSocket));
    wire.ending(&refused);
    sockets.pop();
    wire.connect(4001, 7);
    assert!(listener.accept().is_ok());
    assert_eq!(wire.stack.stats().sockets.limit, 5);
});

isolated!(many_sockets_can_be_had, Process, {
    let wire = Wire::with(Options { max_sockets: 80, ..quick() });
    let sockets: Vec<_> = (0..80).map(|_| UdpSocket::bind(&wire.stack, 0).expect("a socket")).collect();
    assert_eq!(UdpSocket::bind(&wire.stack, 0).map(drop), Err(SocketError::NoSocket));
    assert_eq!(wire.stack.stats().sockets.in_use, 80);
    drop(sockets);
    assert_eq!(wire.stack.stats().sockets.in_use, 0);
});

/// A program that sets lingering to nothing and closes: what the peer sees.
fn lingering(so_linger: SocketOption) -> (Result<(), SocketError>, bool) {
    let wire = Wire::with(Options { so_linger, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    let set = stream.set_linger(Some(Duration::ZERO));
    // lwIP resets only what is not acknowledged.
    stream.send_all(b"unheard").expect("room");
    stream.close().expect("closed");
    (set, wire.ending(&conn).has(RST))
}

isolated!(so_linger_lets_a_program_close_with_a_reset, Process, {
    assert_eq!(lingering(SocketOption::Allowed), (Ok(()), true));
});

isolated!(without_so_linger_setting_it_fails, Process, {
    assert_eq!(lingering(SocketOption::Refused), (Err(SocketError::NoProtocolOption), false));
});

isolated!(so_reuse_lets_two_sockets_share_a_port, Process, {
    let wire = Wire::with(quick());
    let _one = UdpSocket::bind_shared(&wire.stack, 5353).expect("a socket");
    let _two = UdpSocket::bind_shared(&wire.stack, 5353).expect("another");
    assert_eq!(UdpSocket::bind(&wire.stack, 5353).map(drop), Err(SocketError::AddressInUse));
});

isolated!(without_so_reuse_a_port_is_not_shared, Process, {
    let wire = Wire::with(Options { so_reuse: SocketOption::Refused, ..quick() });
    assert_eq!(UdpSocket::bind_shared(&wire.stack, 5353).map(drop), Err(SocketError::NoProtocolOption));
});

isolated!(a_syn_in_time_wait_is_answered_by_a_bare_ack, Process, {
    let wire = Wire::with(Options { tcp_msl: 60_000, ..quick() });
    let listener = TcpListener::bind(&wire.stack, 7, 6).expect("a listener");
    let mut conn = wire.connect(4000, 7);
    let (stream, _) = listener.accept().expect("a connection");
    stream.close().expect("a FIN");
    wire.answer_fin(&mut conn, FIN);
    wire.until("time-wait", |s| s.stats().tcp_states.count(TcpState::TimeWait) == 1);
    wire.send_syn(conn.port, 7);
    let (_, answer) = wire.next(PATIENCE, |s| s.to == conn.port && !s.has(FIN)).expect("an answer");
    assert_eq!(answer.flags, ACK);
});
