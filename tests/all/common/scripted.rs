//! Web servers that keep to a script: what a device's program does with each connection, written down as the calls that
//! it makes on its socket.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// An address of the host's own on which no other test listens, with a port that no client is given in between: they come
/// from above 32768.
pub fn own_address() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let [round, given] = GIVEN.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let address = Ipv4Addr::new(127, high | 128, low, given);
    // Bound and not listening: a process that another thread forks meanwhile holds a copy for a moment, which keeps
    // nobody from listening there.
    let free = (9_000 + u16::from(round) * 10..10_000).find(|&port| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&SocketAddr::from((address, port)).into()).is_ok()
    });
    (address, free.expect("a free port of 127.0.0.0/8")).into()
}

/// A server on an address of its own: `script` gets each connection, on a thread of its own. It listens until the test's
/// process ends.
pub fn scripted(script: impl Fn(Peer) + Send + Sync + 'static) -> SocketAddr {
    let script = Arc::new(script);
    serial(128, move |peer| {
        let script = Arc::clone(&script);
        std::thread::spawn(move || script(peer));
    })
}

/// The same by one thread alone, which accepts the next connection when `script` returns; the listening socket has a
/// backlog of so many.
pub fn serial(backlog: i32, mut script: impl FnMut(Peer) + Send + 'static) -> SocketAddr {
    let address = own_address();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.listen(backlog).unwrap();
    std::thread::spawn(move || {
        for stream in TcpListener::from(socket).incoming().flatten() {
            script(Peer { stream, unread: Vec::new() });
        }
    });
    address
}

/// A request's head.
pub struct Request {
    line: String,
    headers: Vec<String>,
}

impl Request {
    pub fn is(&self, method: &str) -> bool {
        self.line.split(' ').next() == Some(method)
    }

    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The length that the request gives its body.
    pub fn body_length(&self) -> usize {
        self.header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Whether the client asks for `Connection: close`.
    pub fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// Whether the header of that name has this value.
    pub fn says(&self, name: &str, value: &str) -> bool {
        self.header(name) == Some(value)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter().filter_map(|line| line.split_once(':'));
        all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// The server's end of a connection.
pub struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    /// The next request's head; `None` once the client has closed or reset the connection.
    pub fn request(&mut self) -> Option<Request> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = self.unread.split_off(end + 4);
                let head = std::mem::replace(&mut self.unread, rest);
                let head = String::from_utf8_lossy(&head);
                let mut lines = head.trim_end().split("\r\n").map(str::to_owned);
                return Some(Request { line: lines.next()?, headers: lines.collect() });
            }
            self.receive()?;
        }
    }

    /// Reads once, as a recv() does; `None` once the client has closed or reset the connection, or has been silent for
    /// as long as the script waits.
    pub fn receive(&mut self) -> Option<usize> {
        let mut some = [0; 2_048];
        let got = self.stream.read(&mut some).ok().filter(|&got| got > 0)?;
        self.unread.extend_from_slice(&some[..got]);
        Some(got)
    }

    /// Reads byte by byte until this one, or the client's FIN.
    #[cfg(feature = "long")]
    pub fn receive_up_to(&mut self, last: u8) {
        let mut one = [0];
        while self.stream.read(&mut one).is_ok_and(|got| got == 1) && one != [last] {}
    }

    /// What came and was not taken as a request.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// The same socket once more, to end it from elsewhere.
    pub fn handle(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// How long one read waits from now on.
    pub fn wait_at_most(&self, wait: Duration) {
        self.stream.set_read_timeout(Some(wait)).unwrap();
    }

    /// Without Nagle's algorithm.
    pub fn without_delay(&self) {
        self.stream.set_nodelay(true).unwrap();
    }

    /// One send(); whether the client still takes it.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// A whole response in one send(), without its body where the request was a HEAD.
    pub fn answer(&mut self, request: &Request, status: &str, body: impl AsRef<[u8]>) -> bool {
        let body = body.as_ref();
        let mut all = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        if !request.is("HEAD") {
            all.extend_from_slice(body);
        }
        self.send(all)
    }

    /// A FIN, and no RST after it: what the client still sends is read until it closes as well.
    pub fn finish(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        while self.receive().is_some() {
            self.unread.clear();
        }
    }

    /// A RST.
    pub fn reset(self) {
        super::reset(self.stream);
    }
}
