//! Asks the kernel about interfaces, addresses and routes, and changes them: rtnetlink(7), one message after the other.
//!
//! Only the few messages that this program needs are written here. Crates that know all of rtnetlink take as much room in the
//! program as its HTTP, and a tenth of its compile time.

#![cfg(target_os = "linux")]

mod body;

use std::io::{self, Read, Write};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

pub use body::{Body, attributes};
use body::{u16_at, u32_at};

const HEADER: usize = 16;
const ANSWER_LIMIT: usize = 64 << 10;

/// The kernel answers at once, or never.
const PATIENCE: Duration = Duration::from_secs(2);

/// A socket to the kernel's rtnetlink.
#[derive(Debug)]
pub struct Rtnetlink {
    socket: Socket,
    sequence: u32,
    answer: Vec<u8>,
}

impl Rtnetlink {
    /// Opens one, in the network of the calling thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW.cloexec(), Some(protocol))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0, answer: vec![0; ANSWER_LIMIT] })
    }

    /// Asks for one thing, and returns the body of the one answer, which is of the type `answer`.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData` where that is not to be read.
    pub fn ask(&mut self, request: u16, answer: u16, body: &Body) -> io::Result<Vec<u8>> {
        let (kind, body) = self.exchange(request, 0, body)?;
        if kind == answer { Ok(body.to_vec()) } else { Err(unreadable()) }
    }

    /// Changes something: a request with `flags` (`NLM_F_`) beside those that every request has. The kernel acknowledges it.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData` where that is not to be read.
    pub fn change(&mut self, request: u16, flags: libc::c_int, body: &Body) -> io::Result<()> {
        self.exchange(request, libc::NLM_F_ACK | flags, body).map(|_| ())
    }

    /// Sends a request; type and body of its answer.
    fn exchange(&mut self, request: u16, flags: libc::c_int, body: &Body) -> io::Result<(u16, &[u8])> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADER + body.bytes().len();
        let mut message = Vec::with_capacity(length);
        message.extend_from_slice(&(length as u32).to_ne_bytes());
        message.extend_from_slice(&request.to_ne_bytes());
        message.extend_from_slice(&((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&[0; 4]);
        message.extend_from_slice(body.bytes());
        self.socket.write_all(&message)?;
        // What answers an earlier request, that was given up, is no answer to this one.
        let received = loop {
            let received = self.socket.read(&mut self.answer)?;
            if u32_at(&self.answer, 8) == Some(self.sequence) {
                break received;
            }
        };
        let length = u32_at(&self.answer, 0).map_or(0, |n| n as usize);
        let whole = self.answer.get(..received).ok_or_else(unreadable)?;
        let body = whole.get(HEADER..length).ok_or_else(unreadable)?;
        let kind = u16_at(whole, 4).ok_or_else(unreadable)?;
        if i32::from(kind) == libc::NLMSG_ERROR {
            match u32_at(body, 0).ok_or_else(unreadable)? as i32 {
                0 => {}
                code => return Err(io::Error::from_raw_os_error(code.saturating_neg())),
            }
        }
        Ok((kind, body))
    }
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's rtnetlink answer could not be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_known_by_its_number_and_has_its_name() {
        let mut rtnetlink = Rtnetlink::open().unwrap();
        for _ in 0..3 {
            let answer = rtnetlink.ask(libc::RTM_GETLINK, libc::RTM_NEWLINK, &Body::link(1)).unwrap();
            let name = attributes(&answer[Body::LINK..]).find(|(kind, _)| *kind == libc::IFLA_IFNAME);
            assert_eq!(name.unwrap().1, b"lo\0");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error_with_its_number_and_the_next_request_goes_on() {
        let mut rtnetlink = Rtnetlink::open().unwrap();
        let none = Body::link(u32::MAX >> 1);
        let code = |refused: io::Error| refused.raw_os_error();
        let asked = rtnetlink.ask(libc::RTM_GETLINK, libc::RTM_NEWLINK, &none).unwrap_err();
        assert_eq!(code(asked), Some(libc::ENODEV));
        // Whoever may not change an interface is told so before it is looked for.
        let changed = rtnetlink.change(libc::RTM_DELLINK, 0, &none).unwrap_err();
        assert!(matches!(code(changed), Some(libc::ENODEV | libc::EPERM)));
        assert!(rtnetlink.ask(libc::RTM_GETLINK, libc::RTM_NEWLINK, &Body::link(1)).is_ok());
        let other = rtnetlink.ask(libc::RTM_GETLINK, libc::RTM_NEWROUTE, &Body::link(1)).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::InvalidData, "an answer of another type");
    }
}
