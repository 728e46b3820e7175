//! A blocking client that reports what it saw as a fault or as an ending.

use std::format;
use std::io::{ErrorKind as Io, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::string::{String, ToString};
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use super::{Device, Fault};
use crate::framed::{HEADER_LEN, Header, Kind, checksum};
use crate::service::Service;

/// Far above what any device needs for one answer, far below what a person waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Fin,
    Reset,
    /// Not within the time given.
    Silence,
}

/// A connection to a service.
pub(super) struct Client(TcpStream);

/// An answer: status, head, body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) fn connect(device: &Device, service: Service) -> Result<Self, Fault> {
        Self::connect_to(device.address(service)?)
    }

    fn connect_to(address: SocketAddr) -> Result<Self, Fault> {
        let stream =
            TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| format!("connect: {error}"))?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let client = Self(stream);
        client.patience(PATIENCE)?;
        Ok(client)
    }

    pub(super) fn patience(&self, time: Duration) -> Result<(), Fault> {
        self.0.set_read_timeout(Some(time)).map_err(|error| error.to_string())?;
        self.0.set_write_timeout(Some(time)).map_err(|error| error.to_string())
    }

    pub(super) fn say(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Fault> {
        self.0.write_all(bytes.as_ref()).map_err(|error| format!("write: {error}"))
    }

    /// Writes until the device takes no more, at most so many bytes; returns how many it took.
    pub(super) fn stuff(&mut self, limit: usize) -> usize {
        let piece = [b'x'; 4096];
        let mut taken = 0;
        while taken < limit {
            match self.0.write(&piece) {
                Ok(n) => taken += n,
                Err(_) => break,
            }
        }
        taken
    }

    pub(super) fn shut(&self) -> Result<(), Fault> {
        self.0.shutdown(Shutdown::Write).map_err(|error| format!("shutdown: {error}"))
    }

    pub(super) fn hear(&mut self, len: usize) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).map_err(|error| format!("read of {len} bytes: {error}"))?;
        Ok(bytes)
    }

    /// Everything until the end, and which end that was.
    pub(super) fn hear_out(&mut self) -> (Vec<u8>, Ending) {
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match self.0.read(&mut piece) {
                Ok(0) => return (bytes, Ending::Fin),
                Ok(n) => bytes.extend_from_slice(&piece[..n]),
                Err(error) if matches!(error.kind(), Io::WouldBlock | Io::TimedOut) => {
                    return (bytes, Ending::Silence);
                }
                Err(error) if error.kind() == Io::Interrupted => {}
                Err(_) => return (bytes, Ending::Reset),
            }
        }
    }

    pub(super) fn line(&mut self) -> Result<String, Fault> {
        let mut line = Vec::new();
        loop {
            match self.hear(1)?[0] {
                b'\n' => {
                    return String::from_utf8(line).map_err(|_| "a line that is no UTF-8".to_string());
                }
                byte => line.push(byte),
            }
        }
    }

    /// A request without a body, and its answer.
    pub(super) fn ask(&mut self, method: &str, target: &str) -> Result<Answer, Fault> {
        self.say(request(method, target, ""))?;
        self.answer(method)
    }

    /// The answer to a request of this method.
    pub(super) fn answer(&mut self, method: &str) -> Result<Answer, Fault> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = self.hear(1).map_err(|fault| format!("head of the answer to {method}: {fault}"))?[0];
            head.push(byte);
        }
        let head = String::from_utf8(head).map_err(|_| "a head that is no UTF-8".to_string())?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| format!("no status in {head:?}"))?;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length = length.and_then(|value| value.parse().ok());
        let length: usize = length.ok_or_else(|| format!("no length in {head:?}"))?;
        let body = if method == "HEAD" { Vec::new() } else { self.hear(length)? };
        Ok(Answer { status, head, body })
    }

    pub(super) fn send_frame(&mut self, kind: Kind, sequence: u32, payload: &[u8]) -> Result<(), Fault> {
        self.say(Header::new(kind, sequence, payload).encode())?;
        self.say(payload)
    }

    pub(super) fn frame(&mut self) -> Result<(Header, Vec<u8>), Fault> {
        let mut bytes = [0; HEADER_LEN];
        bytes.copy_from_slice(&self.hear(HEADER_LEN)?);
        let header = Header::decode(&bytes).map_err(|error| error.to_string())?;
        let payload = self.hear(header.length as usize)?;
        if checksum(&payload) != header.checksum {
            return Err(format!("payload of {header:?} is damaged"));
        }
        Ok((header, payload))
    }

    /// A second handle, to read while another thread writes.
    pub(super) fn twin(&self) -> Result<Self, Fault> {
        self.0.try_clone().map(Self).map_err(|error| error.to_string())
    }
}

pub(super) fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: device\r\n{fields}\r\n")
}

/// One telemetry datagram's answer, asked for up to five times; `None` when none came within so long each time.
pub(super) fn datagram(device: &Device, request: &[u8], patience: Duration) -> Result<Option<String>, Fault> {
    let address = device.address(Service::Telemetry)?;
    let any = SocketAddr::new(if address.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() }, 0);
    let socket = UdpSocket::bind(any).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(patience)).map_err(|error| error.to_string())?;
    for _ in 0..5 {
        socket.send_to(request, address).map_err(|error| error.to_string())?;
        let mut bytes = [0; 2048];
        match socket.recv_from(&mut bytes) {
            Ok((len, _)) => return Ok(Some(String::from_utf8_lossy(&bytes[..len]).into_owned())),
            Err(error) if matches!(error.kind(), Io::WouldBlock | Io::TimedOut) => {}
            // A device that is restarting.
            Err(error) if error.kind() == Io::ConnectionRefused => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(None)
}

/// The telemetry of a device that has to have some.
pub(super) fn telemetry(device: &Device) -> Result<String, Fault> {
    datagram(device, b"telemetry", Duration::from_secs(2))?.ok_or_else(|| "no telemetry".to_string())
}

/// The number after `"name":` in a JSON text.
pub(super) fn number(json: &str, name: &str) -> Option<u64> {
    let (_, rest) = json.split_once(&format!("\"{name}\":"))?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
