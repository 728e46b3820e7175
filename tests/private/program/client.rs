//! A plain client: the standard library's sockets and nothing else.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::runner::Outcome;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The twin's.
pub(crate) const DEVICE: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 91);

pub(crate) fn server() -> SocketAddr {
    SocketAddr::new(DEVICE.into(), 80)
}

pub(crate) fn connect() -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server(), PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Bytes in which every place is told from its neighbours, in lines, of a seed.
pub(crate) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let letter = b'!' + u8::try_from((state >> 33) % 90).unwrap_or(0);
        bytes.push(if bytes.len() % 100 == 99 { b'\n' } else { letter });
    }
    if let Some(last) = bytes.last_mut() {
        *last = b'\n';
    }
    bytes
}

/// Sends all of it, at a rate where one is given, while it reads what comes back; both are the same.
pub(crate) fn echoes(len: usize, seed: u64, bytes_per_second: Option<f64>) -> Result<(), String> {
    let work = || -> std::io::Result<(Vec<u8>, Vec<u8>)> {
        let sent = pattern(len, seed);
        let mut stream = connect()?;
        let mut writer = stream.try_clone()?;
        let back = std::thread::scope(|scope| {
            let writing = scope.spawn(|| -> std::io::Result<()> {
                let begin = Instant::now();
                for (n, piece) in sent.chunks(4_000).enumerate() {
                    if let Some(rate) = bytes_per_second {
                        let due = Duration::from_secs_f64(n as f64 * 4_000.0 / rate);
                        std::thread::sleep(due.saturating_sub(begin.elapsed()));
                    }
                    writer.write_all(piece)?;
                }
                writer.shutdown(Shutdown::Write)
            });
            let mut back = Vec::new();
            stream.read_to_end(&mut back)?;
            writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<_, std::io::Error>(back)
        })?;
        Ok((sent, back))
    };
    let (sent, back) = work().map_err(|error| format!("{error}"))?;
    if sent == back {
        return Ok(());
    }
    let at = sent.iter().zip(&back).position(|(a, b)| a != b);
    Err(format!("{} bytes sent, {} came back, the first other one at {at:?}", sent.len(), back.len()))
}

/// What the program says to who connects.
pub(crate) fn said() -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    connect()?.read_to_string(&mut text)?;
    Ok(text)
}

/// One HEAD on a connection of its own.
pub(crate) fn head(line: &str) -> std::io::Result<String> {
    let mut stream = connect()?;
    // In one piece, as the program reads once.
    stream.write_all(format!("HEAD /{line} HTTP/1.1\r\nHost: twin\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Asks for telemetry by one datagram, as often as needed within the patience.
pub(crate) fn telemetry() -> Result<Value, Box<dyn Error>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let port = espstress_device::Service::Telemetry.port();
    let until = Instant::now() + PATIENCE;
    let mut answer = [0; 2_048];
    while Instant::now() < until {
        socket.send_to(b"telemetry", (DEVICE, port))?;
        if let Ok(len) = socket.recv(&mut answer) {
            return Ok(serde_json::from_slice(&answer[..len])?);
        }
    }
    Err("no telemetry".into())
}

/// A figure of the telemetry.
pub(crate) fn figure(path: &str) -> Result<u64, Box<dyn Error>> {
    let telemetry = telemetry()?;
    let value = telemetry.pointer(path).and_then(Value::as_u64);
    value.ok_or_else(|| format!("no {path} in {telemetry}").into())
}

/// Waits until something is so.
pub(crate) fn until(what: &str, patience: Duration, mut so: impl FnMut() -> bool) -> Outcome {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        if so() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(format!("not within {patience:?}: {what}").into())
}

/// Bytes written to a connection that its peer has not acknowledged, by the kernel's own table.
pub(crate) fn unacknowledged(stream: &TcpStream) -> Result<u64, Box<dyn Error>> {
    let port = format!(":{:04X} ", stream.local_addr()?.port());
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    // sl, local, remote, state, tx_queue:rx_queue.
    let row = table.lines().find(|row| row.split(": ").nth(1).is_some_and(|row| row[..14].contains(&port)));
    let queues = row.and_then(|row| row.split_whitespace().nth(4)).ok_or("no such connection")?;
    Ok(u64::from_str_radix(queues.split(':').next().unwrap_or_default(), 16)?)
}
