//! A carrier without sockets: a peer's bytes in, the device's bytes out, time by hand.
#![allow(dead_code)] // Each test file uses its own part.

use std::time::Duration;

use espstress_device::{
    CloseHow, Config, Connection, DeviceWish, ErrorKind, Instant, Persona, Program, Readings, Service, Wish,
};

/// What a connection waits for once it has done all it can.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waits {
    Reading,
    Holding,
    Closed(CloseHow),
}

/// A device with one connection under the eye of the test.
pub(crate) struct Bench {
    pub(crate) program: Program,
    pub(crate) now: Instant,
}

/// One connection and the peer's side of it.
pub(crate) struct Wire {
    pub(crate) connection: Connection,
    /// What the peer has sent and the device has not read.
    pub(crate) unread: Vec<u8>,
    /// What the device has sent.
    pub(crate) sent: Vec<u8>,
    /// The device has shut down sending.
    pub(crate) shut: bool,
    /// The peer has closed its side.
    pub(crate) peer_closed: bool,
    told: bool,
    ended: Option<CloseHow>,
    /// Bytes that the stack takes or gives at once.
    pub(crate) piece: usize,
}

impl Bench {
    pub(crate) fn new(config: Config) -> Self {
        Self { program: Program::new(config, Instant::ZERO), now: Instant::ZERO }
    }

    pub(crate) fn with_persona(persona: &str) -> Self {
        let persona: Persona = persona.parse().expect("a persona");
        Self::new(Config { persona, ..Config::default() })
    }

    pub(crate) fn open(&mut self, service: Service) -> Wire {
        let connection = self.program.open(service, self.now);
        self.wire(connection)
    }

    pub(crate) fn wire(&mut self, connection: Connection) -> Wire {
        Wire {
            connection,
            unread: Vec::new(),
            sent: Vec::new(),
            shut: false,
            peer_closed: false,
            told: false,
            ended: None,
            piece: usize::MAX,
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Everything the device as a whole wants now.
    pub(crate) fn wishes(&mut self) -> Vec<DeviceWish> {
        std::iter::from_fn(|| self.program.poll_wish(self.now)).take(10).collect()
    }

    /// Lets the connection do all it can.
    pub(crate) fn run(&mut self, wire: &mut Wire) -> Waits {
        if let Some(how) = wire.ended {
            return Waits::Closed(how);
        }
        // Far more steps than any input here needs: a connection that goes on without end fails the test.
        for _ in 0..2_000_000 {
            match wire.connection.next(&mut self.program, self.now) {
                Wish::Read(space) => {
                    assert!(!space.is_empty(), "a read without space");
                    let n = space.len().min(wire.unread.len()).min(wire.piece);
                    if n > 0 {
                        space[..n].copy_from_slice(&wire.unread[..n]);
                        wire.unread.drain(..n);
                        wire.connection.received(n);
                    } else if wire.peer_closed && !wire.told {
                        wire.told = true;
                        wire.connection.peer_closed();
                    } else {
                        assert!(!wire.told, "reads on after the end");
                        return Waits::Reading;
                    }
                }
                Wish::Write(bytes) => {
                    assert!(!bytes.is_empty(), "a write of nothing");
                    assert!(!wire.shut, "a write after the shutdown");
                    let n = bytes.len().min(wire.piece);
                    wire.sent.extend_from_slice(&bytes[..n]);
                    wire.connection.sent(n);
                }
                Wish::Readings => wire.connection.provide(&mut self.program, &Readings::default(), self.now),
                Wish::ShutdownWrite => wire.shut = true,
                Wish::Hold => return Waits::Holding,
                Wish::Close(how) => {
                    wire.ended = Some(how);
                    return Waits::Closed(how);
                }
            }
        }
        panic!("the connection does not come to rest");
    }

    /// The peer sends, and the connection does all it can.
    pub(crate) fn say(&mut self, wire: &mut Wire, bytes: impl AsRef<[u8]>) -> Waits {
        wire.unread.extend_from_slice(bytes.as_ref());
        self.run(wire)
    }

    pub(crate) fn fail(&mut self, wire: &mut Wire, kind: ErrorKind) -> Waits {
        wire.connection.failed(kind);
        self.run(wire)
    }

    pub(crate) fn close_peer(&mut self, wire: &mut Wire) -> Waits {
        wire.peer_closed = true;
        self.run(wire)
    }
}

impl Wire {
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    pub(crate) fn sent_text(&self) -> String {
        String::from_utf8_lossy(&self.sent).into_owned()
    }
}

pub(crate) const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: device\r\n\r\n";
