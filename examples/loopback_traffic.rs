//! Makes a capture of real TCP traffic with real troubles: losses, resets, closed windows, refusals.
//!
//! ```text
//! unshare --user --map-root-user --net cargo run --example loopback_traffic -- FILE
//! ```
//!
//! In a network namespace of its own, since it brings the loopback interface up and drops packets: a socket
//! filter with the kernel's random numbers takes some of what a socket receives, after the capture has seen
//! it, as a bad link does.
#![cfg_attr(not(target_os = "linux"), expect(unused, reason = "capture is Linux's"))]

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use espstress_observe::capture::{Capture, CaptureConfig, DEFAULT_RING_BYTES, Keep};
use espstress_observe::file::{Writer, WriterConfig, WriterReport};
use socket2::{SockFilter, SockRef};

const DEVICES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn main() -> ExitCode {
    let Some(path) = std::env::args().nth(1) else {
        eprintln!("usage: loopback_traffic FILE");
        return ExitCode::from(2);
    };
    match record(Path::new(&path)) {
        Ok(report) => {
            println!("{} packets, {} missed", report.packets, report.missed);
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn record(path: &Path) -> io::Result<WriterReport> {
    // Packets of an Ethernet's size, one segment each: losses are then repaired as on a real link.
    Command::new("ip").args(["link", "set", "lo", "mtu", "1500", "gso_max_segs", "1", "up"]).status()?;
    let mut config = CaptureConfig::of(DEVICES);
    config.ring_bytes = 4 * DEFAULT_RING_BYTES;
    let mut capture = Capture::open(&config).map_err(io::Error::other)?;
    let about = WriterConfig {
        link: capture.link(),
        snap_length: Keep::Headers.snap_length(),
        interface: capture.interface().to_owned(),
    };
    let mut writer = Writer::create(path, &about).map_err(io::Error::other)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let result = DEVICES.iter().try_for_each(|device| traffic(*device));
            over.store(true, Ordering::Release);
            result
        });
        let mut number = 0;
        loop {
            let done = over.load(Ordering::Acquire);
            let batch = capture.next_batch(Duration::from_millis(300), |frame| {
                number += 1;
                writer.packet(number, &frame);
            })?;
            writer.batch_done();
            if done && batch.packets == 0 {
                break;
            }
        }
        traffic.join().map_err(|_| io::Error::other("the traffic ended by itself"))?
    })?;
    Ok(writer.finish(Some(capture.stats())))
}

fn traffic(device: IpAddr) -> io::Result<()> {
    let listener = TcpListener::bind((device, 0))?;
    let closed = TcpListener::bind((device, 0))?.local_addr()?; // dropped at once: refuses
    for round in 0..15 {
        plain(&listener)?;
        reset_by_client(&listener)?;
        unread_close(&listener)?;
        assert!(TcpStream::connect(closed).is_err());
        lossy(&listener, 2 + round % 6)?;
    }
    for _ in 0..3 {
        deaf(&listener)?;
    }
    Ok(())
}

fn pair(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream, SocketAddr)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, peer) = listener.accept()?;
    Ok((client, server, peer))
}

/// A request, an answer, and the client closes.
fn plain(listener: &TcpListener) -> io::Result<()> {
    let (mut client, mut server, _) = pair(listener)?;
    client.write_all(&[1; 80])?;
    server.read_exact(&mut [0; 80])?;
    server.write_all(&[2; 500])?;
    client.read_exact(&mut [0; 500])?;
    client.shutdown(Shutdown::Write)?;
    let _ = server.read(&mut [0])?;
    Ok(())
}

/// The client resets instead of closing.
fn reset_by_client(listener: &TcpListener) -> io::Result<()> {
    let (mut client, mut server, _) = pair(listener)?;
    client.write_all(&[1; 80])?;
    server.read_exact(&mut [0; 80])?;
    SockRef::from(&client).set_linger(Some(Duration::ZERO))
}

/// The server answers and closes with part of the request unread.
fn unread_close(listener: &TcpListener) -> io::Result<()> {
    let (mut client, mut server, _) = pair(listener)?;
    client.write_all(&[1; 80])?;
    server.read_exact(&mut [0; 10])?;
    server.write_all(&[2; 500])?;
    drop(server);
    thread::sleep(Duration::from_millis(1));
    drop(client);
    Ok(())
}

/// Bulk both ways over sockets that lose some of what they receive.
fn lossy(listener: &TcpListener, percent: u32) -> io::Result<()> {
    const BYTES: usize = 100_000;
    let (mut client, mut server, _) = pair(listener)?;
    for socket in [&client, &server] {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(true)?;
        lose(&socket, percent)?;
    }
    thread::scope(|scope| {
        let far = scope.spawn(move || {
            server.read_exact(&mut vec![0; BYTES])?;
            for piece in vec![2; BYTES].chunks(1400) {
                server.write_all(piece)?;
            }
            let _ = server.read(&mut [0])?;
            io::Result::Ok(())
        });
        for piece in vec![1; BYTES].chunks(1400) {
            client.write_all(piece)?;
        }
        client.read_exact(&mut vec![0; BYTES])?;
        client.shutdown(Shutdown::Write)?;
        far.join().map_err(|_| io::Error::other("the far end ended by itself"))?
    })
}

/// The server does not read for a while, and its window closes.
fn deaf(listener: &TcpListener) -> io::Result<()> {
    let (mut client, mut server, _) = pair(listener)?;
    SockRef::from(&server).set_recv_buffer_size(8192)?;
    thread::scope(|scope| {
        let far = scope.spawn(move || {
            thread::sleep(Duration::from_millis(1500));
            server.read_to_end(&mut Vec::new())
        });
        client.write_all(&vec![1; 600_000])?;
        client.shutdown(Shutdown::Write)?;
        far.join().map_err(|_| io::Error::other("the far end ended by itself"))??;
        Ok(())
    })
}

/// Lets the socket lose this share of what it receives.
#[cfg(target_os = "linux")]
fn lose(socket: &SockRef<'_>, percent: u32) -> io::Result<()> {
    const RANDOM: u32 = (-0x1000_i32 + 56) as u32; // SKF_AD_OFF + SKF_AD_RANDOM
    socket.attach_filter(&[
        SockFilter::new(0x20, 0, 0, RANDOM),
        SockFilter::new(0x35, 1, 0, u32::MAX / 100 * percent), // at or above: keep
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn lose(_socket: &SockRef<'_>, _percent: u32) -> io::Result<()> {
    Err(io::Error::other("socket filters are Linux's"))
}
