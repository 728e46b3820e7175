//! A plain client: the standard library's sockets and nothing else.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use espstress_device::Service;
use espstress_targets::twin::Twin;
use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: twin\r\n\r\n";

/// Address of a service that is on.
pub(crate) fn address(twin: &Twin, service: Service) -> Result<SocketAddr, Box<dyn Error>> {
    twin.service(service).ok_or_else(|| format!("the {service} service is off").into())
}

/// One connection, one HEAD, and its close by this side.
pub(crate) fn head(address: SocketAddr) -> std::io::Result<()> {
    head_within(address, PATIENCE)
}

/// The same with another patience.
pub(crate) fn head_within(address: SocketAddr, patience: Duration) -> std::io::Result<()> {
    let mut stream = connect_within(address, patience)?;
    stream.write_all(HEAD)?;
    let head = read_head(&mut stream)?;
    if head.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other(head)) }
}

pub(crate) fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    connect_within(address, PATIENCE)
}

fn connect_within(address: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    Ok(stream)
}

/// Reads up to the empty line.
pub(crate) fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Asks for telemetry by one datagram, as often as needed within the patience.
pub(crate) fn telemetry(twin: &Twin) -> Result<Value, Box<dyn Error>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let to = address(twin, Service::Telemetry)?;
    let until = Instant::now() + PATIENCE;
    let mut answer = [0; 2_048];
    while Instant::now() < until {
        socket.send_to(b"telemetry", to)?;
        if let Ok(len) = socket.recv(&mut answer) {
            return Ok(serde_json::from_slice(&answer[..len])?);
        }
    }
    Err("no telemetry".into())
}

/// A POST to `/control` with a token.
pub(crate) fn control(twin: &Twin, token: &str, body: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = connect(address(twin, Service::Http)?)?;
    write!(
        stream,
        "POST /control HTTP/1.1\r\nHost: twin\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(read_head(&mut stream)?)
}

/// Waits until something is so.
pub(crate) fn until(
    what: &str,
    patience: Duration,
    mut so: impl FnMut() -> bool,
) -> Result<Duration, Box<dyn Error>> {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        if so() {
            return Ok(begin.elapsed());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(format!("not within {patience:?}: {what}").into())
}
