//! The DHCP server that an access point has: on the host's side of the link, with one address to give.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use edge_dhcp::server::{Action, ServerOptions};
use edge_dhcp::{Options, Packet};
use nix::sys::socket::{setsockopt, sockopt};

const SERVER_PORT: u16 = 67;
const CLIENTS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);

/// Longer than any run.
const LEASE_S: u32 = 7 * 24 * 3_600;

/// A network, and the one address to give.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    /// The address for whoever asks.
    pub(crate) address: Ipv4Addr,
    /// Length of the network's prefix.
    pub(crate) prefix: u8,
    /// The host's address.
    pub(crate) gateway: Ipv4Addr,
}

/// Serves it on an interface, from a thread of its own.
pub(crate) fn serve(interface: &str, lease: Lease) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SERVER_PORT))?;
    setsockopt(&socket, sockopt::BindToDevice, &interface.into())?;
    socket.set_broadcast(true)?;
    std::thread::Builder::new().name("dhcp".to_owned()).spawn(move || {
        let (mut asked, mut room) = ([0; 2_048], [0; 1_024]);
        while let Ok((len, _)) = socket.recv_from(&mut asked) {
            if let Some(answer) = asked.get(..len).and_then(|asked| lease.answer(asked, &mut room)) {
                // To all: whoever asks has no address yet. The link may be down, and the device asks again.
                let _ = socket.send_to(answer, CLIENTS);
            }
        }
    })?;
    Ok(())
}

impl Lease {
    /// The answer to a datagram, where it is a question that has one.
    fn answer<'a>(&self, asked: &[u8], room: &'a mut [u8]) -> Option<&'a [u8]> {
        let request = Packet::decode(asked).ok()?;
        let gateways = [self.gateway];
        let mut server = ServerOptions::new(self.gateway, None);
        server.gateways = &gateways;
        server.subnet = Some(mask(self.prefix));
        server.lease_duration_secs = LEASE_S;
        let mut options = Options::buf();
        let answer = match server.process(&request)? {
            Action::Discover(..) => server.offer(&request, self.address, &mut options),
            Action::Request(wanted, _) => {
                let granted = (wanted == self.address).then_some(wanted);
                server.ack_nak(&request, granted, &mut options)
            }
            Action::Release(..) | Action::Decline(..) => return None,
        };
        answer.encode(room).ok()
    }
}

fn mask(prefix: u8) -> Ipv4Addr {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_dhcp::{DhcpOption, MessageType};

    const LEASE: Lease =
        Lease { address: Ipv4Addr::new(192, 168, 4, 91), prefix: 24, gateway: Ipv4Addr::new(192, 168, 4, 1) };

    /// Kind of the answer, and the address in it.
    fn answered(options: Options<'_>) -> Option<(MessageType, Ipv4Addr)> {
        let (mut asked, mut room) = ([0; 1_024], [0; 1_024]);
        let request = Packet::new_request([2, 0, 0, 0, 0, 9], 7, 0, None, true, options);
        let answer = LEASE.answer(request.encode(&mut asked).unwrap(), &mut room)?;
        let answer = Packet::decode(answer).unwrap();
        let kind = answer.options.iter().find_map(|option| match option {
            DhcpOption::MessageType(kind) => Some(kind),
            _ => None,
        });
        Some((kind?, answer.yiaddr))
    }

    #[test]
    fn whoever_asks_is_offered_the_address_and_gets_it() {
        let mut options = Options::buf();
        let offered = answered(Options::discover(None, &mut options));
        assert_eq!(offered, Some((MessageType::Offer, LEASE.address)));
        let mut options = Options::buf();
        let granted = answered(Options::request(LEASE.address, &mut options));
        assert_eq!(granted, Some((MessageType::Ack, LEASE.address)));
    }

    #[test]
    fn another_address_is_refused() {
        let mut options = Options::buf();
        let refused = answered(Options::request(Ipv4Addr::new(10, 0, 0, 2), &mut options));
        assert_eq!(refused.map(|(kind, _)| kind), Some(MessageType::Nak));
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let mut room = [0; 1_024];
        assert_eq!(LEASE.answer(b"", &mut room), None);
        assert_eq!(LEASE.answer(&[1; 300], &mut room), None);
    }

    #[test]
    fn a_prefix_is_a_mask() {
        assert_eq!(mask(24), Ipv4Addr::new(255, 255, 255, 0));
        assert_eq!((mask(0), mask(32)), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
    }
}
