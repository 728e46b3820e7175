//! The device's side of the line protocol, in both roles.

use core::fmt::Write;

use crate::config::{Config, LineTimes};
use crate::connection::CloseHow;
use crate::error::ErrorKind;
use crate::line::{KEEP_ALIVE, MAX_LINE};
use crate::program::Program;
use crate::protocol::{Io, Step};
use crate::time::{Instant, earliest};

/// Free output that a line of the device's own fits into.
const ROOM: usize = 64;

/// The device's side of one line connection.
pub(crate) struct Line {
    times: LineTimes,
    role: Role,
    place: Place,
    /// When the peer was last heard.
    heard: Instant,
    /// When something was last sent.
    said: Instant,
    next_data: Instant,
    /// Lines of data sent and received.
    data_sent: u32,
    data_received: u32,
    /// Whether the peer sends keep-alives, and so can be missed.
    alive: Alive,
    /// Bytes of input already looked at while waiting for more.
    seen: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The peer dialled.
    Answers,
    /// The device dialled and has not said its number yet.
    Introduces(u8),
    /// The device dialled.
    Dialled,
}

/// Where in a line the input stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    /// In a line that goes straight back, after so many bytes.
    Echo(usize),
    /// In the peer's data, after so many bytes.
    Data(usize),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Alive {
    Unknown,
    Sends,
}

impl Line {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self {
            times: config.line,
            role: Role::Answers,
            place: Place::Start,
            heard: now,
            said: now,
            next_data: now + config.line.data_interval,
            data_sent: 0,
            data_received: 0,
            alive: Alive::Unknown,
            seen: 0,
        }
    }

    /// Takes the role of the one who dialled. Its host is expected to follow the protocol from the start.
    pub(crate) fn dialled_as(&mut self, number: u8) {
        self.role = Role::Introduces(number);
        self.alive = Alive::Sends;
    }

    pub(crate) fn is_in_mid_request(&self, input_is_empty: bool) -> bool {
        self.place != Place::Start || !input_is_empty
    }

    pub(crate) fn step(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        if io.output.room() < ROOM {
            return Step::Flush;
        }
        if io.input.len() > self.seen {
            self.heard = now;
        }
        // A CR alone may be half the end of a line: it waits, and times go on as without it.
        let half_an_end =
            self.place == Place::Start && io.input.filled() == b"\r".as_slice() && !io.peer_closed;
        self.seen = usize::from(half_an_end);
        if !io.input.is_empty() && !half_an_end {
            return self.input(io, program, now);
        }
        if self.alive == Alive::Sends && now >= self.heard + self.times.timeout {
            io.error(program, ErrorKind::TimedOut);
            return Step::Close(CloseHow::Orderly);
        }
        self.speak(io, now);
        self.wait()
    }

    /// What the device says by itself, never in the middle of a line that goes back.
    fn speak(&mut self, io: &mut Io<'_>, now: Instant) {
        if matches!(self.place, Place::Echo(_)) {
            return;
        }
        if let Role::Introduces(number) = self.role {
            let _ = writeln!(io.output, "{number}");
            self.role = Role::Dialled;
            self.said = now;
        }
        if self.speaks_data() && now >= self.next_data {
            self.data_sent = self.data_sent.wrapping_add(1);
            let _ = writeln!(io.output, "[{},{}]", self.data_sent, self.data_received);
            self.next_data = now + self.times.data_interval;
            self.said = now;
        }
        if now >= self.said + self.times.keep_alive() {
            let _ = io.output.push(KEEP_ALIVE);
            self.said = now;
        }
    }

    /// Data goes to a peer that follows the protocol; others only want their lines back.
    fn speaks_data(&self) -> bool {
        self.alive == Alive::Sends
    }

    fn wait(&self) -> Step {
        let silence = (self.alive == Alive::Sends).then(|| self.heard + self.times.timeout);
        let speech = (!matches!(self.place, Place::Echo(_))).then(|| {
            let keep_alive = self.said + self.times.keep_alive();
            if self.speaks_data() { keep_alive.min(self.next_data) } else { keep_alive }
        });
        Step::Read { at_most: usize::MAX, wake: earliest(silence, speech) }
    }

    fn input(&mut self, io: &mut Io<'_>, program: &mut Program, now: Instant) -> Step {
        let filled = io.input.filled();
        match self.place {
            Place::Start => match filled.first() {
                Some(b'\n') => {
                    self.alive = Alive::Sends;
                    io.input.consume(1);
                }
                Some(b'\r') if filled.get(1) == Some(&b'\n') => {
                    self.alive = Alive::Sends;
                    io.input.consume(2);
                }
                Some(b'{') => self.place = Place::Echo(0),
                _ => self.place = Place::Data(0),
            },
            Place::Echo(before) => {
                let (take, whole) = line_part(filled, io.output.room());
                let fits = io.output.push(&filled[..take]);
                debug_assert!(fits, "no more was taken than there is room for");
                io.input.consume(take);
                self.said = now;
                return self.advance(io, program, before + take, whole, Place::Echo);
            }
            Place::Data(before) => {
                let (take, whole) = line_part(filled, usize::MAX);
                if whole {
                    self.data_received = self.data_received.wrapping_add(1);
                }
                io.input.consume(take);
                return self.advance(io, program, before + take, whole, Place::Data);
            }
        }
        Step::Again
    }

    fn advance(
        &mut self,
        io: &mut Io<'_>,
        program: &mut Program,
        len: usize,
        whole: bool,
        place: fn(usize) -> Place,
    ) -> Step {
        if whole {
            self.place = Place::Start;
            program.count_served(io.service);
        } else if len > MAX_LINE {
            io.error(program, ErrorKind::TooLarge);
            return Step::Drain;
        } else {
            self.place = place(len);
        }
        Step::Again
    }
}

/// How many bytes of the input belong to the line, at most so many, and whether its newline is among them.
fn line_part(input: &[u8], at_most: usize) -> (usize, bool) {
    let input = &input[..input.len().min(at_most)];
    match input.iter().position(|&byte| byte == b'\n') {
        Some(newline) => (newline + 1, true),
        None => (input.len(), false),
    }
}
