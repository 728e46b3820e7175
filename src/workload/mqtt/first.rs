//! Waits for the first CONNECT before a run, where nobody has said which device is to be tested: its address decides what
//! is captured and pinged. The connection is only looked into, and served when the run begins.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use espstress_device::mqtt::{Decoded, Packet, Version, decode};

/// Connections that are looked into at once.
const MOST: usize = 16;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// A connection without a CONNECT is closed after this.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest CONNECT that is waited for.
const LONGEST: usize = 16 * 1_024;

/// The first connection that says CONNECT.
#[derive(Debug)]
pub(super) struct First {
    pub(super) stream: TcpStream,
    pub(super) peer: SocketAddr,
}

/// What a connection has said so far.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    NotEnough,
    Connect,
    Other,
}

/// Waits for it; `None` when none came in time. `client_id` is the one that is wanted, where that matters.
pub(super) fn wait(
    listener: &TcpListener,
    limit: Duration,
    client_id: Option<&str>,
) -> io::Result<Option<First>> {
    listener.set_nonblocking(true)?;
    let give_up = Instant::now() + limit;
    let mut open: Vec<(First, Instant)> = Vec::new();
    while Instant::now() < give_up {
        match listener.accept() {
            Ok((stream, peer)) if open.len() < MOST => {
                stream.set_nonblocking(true)?;
                open.push((First { stream, peer }, Instant::now()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(error) => return Err(error),
        }
        let connects = |(first, _): &(First, Instant)| said(&first.stream, client_id) == Said::Connect;
        if let Some(at) = open.iter().position(connects) {
            return Ok(Some(open.swap_remove(at).0));
        }
        open.retain(|(first, since)| {
            since.elapsed() < LIMIT && said(&first.stream, client_id) == Said::NotEnough
        });
    }
    Ok(None)
}

fn said(stream: &TcpStream, client_id: Option<&str>) -> Said {
    let mut buffer = [0; LONGEST];
    match stream.peek(&mut buffer) {
        Ok(0) => Said::Other,
        Ok(n) => judge(buffer.get(..n).unwrap_or_default(), client_id),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Said::NotEnough,
        Err(_) => Said::Other,
    }
}

fn judge(bytes: &[u8], client_id: Option<&str>) -> Said {
    match decode(bytes, Version::V311, LONGEST as u32) {
        Ok(Decoded::Packet { packet: Packet::Connect(connect), .. }) => {
            if client_id.is_none_or(|id| id == connect.client_id) { Said::Connect } else { Said::Other }
        }
        Ok(Decoded::Needs(_)) => Said::NotEnough,
        Ok(Decoded::Packet { .. }) | Err(_) => Said::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_device::mqtt::Connect;
    use std::io::Write;

    #[test]
    fn http_and_other_clients_are_no_device_and_a_connect_in_pieces_is_one() {
        let mut bytes = [0; 64];
        let connect = Packet::Connect(Connect { client_id: "kitchen", ..Connect::default() });
        let len = connect.encode(Version::V311, &mut bytes).unwrap();
        assert_eq!(judge(&bytes[..len], None), Said::Connect);
        assert_eq!(judge(&bytes[..len], Some("kitchen")), Said::Connect);
        assert_eq!(judge(&bytes[..len], Some("hall")), Said::Other);
        (0..len).for_each(|cut| assert_eq!(judge(&bytes[..cut], None), Said::NotEnough));
        assert_eq!(judge(b"GET / HTTP/1.1\r\n\r\n", None), Said::Other);
    }

    #[test]
    fn the_connection_that_says_connect_is_handed_over_with_all_its_bytes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let _scanner = TcpStream::connect(address).unwrap();
        let mut device = TcpStream::connect(address).unwrap();
        let mut bytes = [0; 64];
        let len = Packet::Connect(Connect::default()).encode(Version::V311, &mut bytes).unwrap();
        device.write_all(&bytes[..len]).unwrap();
        let first = wait(&listener, Duration::from_secs(60), None).unwrap().unwrap();
        assert_eq!(first.peer, device.local_addr().unwrap());
        assert_eq!(first.stream.peek(&mut [0; 64]).unwrap(), len);
        assert!(wait(&listener, Duration::ZERO, None).unwrap().is_none());
    }
}
