//! The services, announced by multicast DNS (RFC 6762, RFC 6763).

use core::net::{Ipv4Addr, Ipv6Addr};

use edge_mdns::domain::base::Ttl;
use edge_mdns::host::{Host, Service as Announced, ServiceAnswers};
use edge_mdns::{HostAnswersMdnsHandler, MdnsHandler, MdnsRequest, MdnsResponse};
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpAddress, IpEndpoint, Stack};
use embassy_time::Timer;
use espstress_device::Service;

/// The group, and the port, of multicast DNS.
const GROUP: (Ipv4Addr, u16) = (Ipv4Addr::new(224, 0, 0, 251), 5353);

/// How long others may remember the records, in seconds (RFC 6762 section 10).
const TTL_SECS: u32 = 120;

/// Longest message in bytes, either way.
const MESSAGE_LEN: usize = 768;

/// Announcements after the address is known, one second apart (RFC 6762 section 8.3).
const ANNOUNCEMENTS: u32 = 2;

/// Announces `name._espstress._tcp.local` and `name.local`, and answers questions for them. Never ends but when the
/// stack has no socket for it.
///
/// The port is that of the framed service; the others are as `txt` and the documentation say.
pub async fn announce(stack: Stack<'_>, name: &str, txt: &[(&str, &str)]) {
    let (mut rx_meta, mut tx_meta) = ([PacketMetadata::EMPTY; 4], [PacketMetadata::EMPTY; 2]);
    let (mut rx, mut tx) = ([0; 2 * MESSAGE_LEN], [0; MESSAGE_LEN]);
    let mut socket = UdpSocket::new(stack, &mut rx_meta, &mut rx, &mut tx_meta, &mut tx);
    if socket.bind(GROUP.1).is_err() {
        return;
    }
    // RFC 6762 section 11: 255 shows that a message comes from the local link.
    socket.set_hop_limit(Some(255));
    let mut message = [0; MESSAGE_LEN];
    loop {
        stack.wait_config_up().await;
        let Some(config) = stack.config_v4() else {
            yield_now().await;
            continue;
        };
        // Refused only when the table of groups is full; announcements then still go out.
        let _ = stack.join_multicast_group(IpAddress::Ipv4(GROUP.0));
        let records = Records { name, address: config.address.address(), txt };
        let mut announced = 0;
        loop {
            let timer = async {
                match announced {
                    ANNOUNCEMENTS => core::future::pending().await,
                    _ => Timer::after_secs(1).await,
                }
            };
            match select(select(socket.recv_from(&mut message), timer), stack.wait_config_down()).await {
                Either::Second(()) => break,
                Either::First(Either::First(Ok((len, from)))) => {
                    let legacy = from.endpoint.port != GROUP.1;
                    let request = MdnsRequest::Request { legacy, multicast: true, data: &message[..len] };
                    let mut answer = [0; MESSAGE_LEN];
                    if let Some(len) = records.answer(request, &mut answer) {
                        let to = if legacy { from.endpoint } else { group() };
                        // What cannot be sent is lost, as datagrams are.
                        let _ = socket.send_to(&answer[..len], to).await;
                    }
                }
                // One that is longer than any question worth an answer.
                Either::First(Either::First(Err(_))) => {}
                Either::First(Either::Second(())) => {
                    announced += 1;
                    let mut answer = [0; MESSAGE_LEN];
                    if let Some(len) = records.answer(MdnsRequest::None, &mut answer) {
                        let _ = socket.send_to(&answer[..len], group()).await;
                    }
                }
            }
        }
    }
}

fn group() -> IpEndpoint {
    (IpAddress::Ipv4(GROUP.0), GROUP.1).into()
}

/// What there is to be said.
struct Records<'a> {
    name: &'a str,
    address: Ipv4Addr,
    txt: &'a [(&'a str, &'a str)],
}

impl Records<'_> {
    /// The answer to a message, if it asks for anything of this device, and its length.
    fn answer(&self, request: MdnsRequest<'_>, out: &mut [u8]) -> Option<usize> {
        let host = Host {
            hostname: self.name,
            ipv4: self.address,
            ipv6: Ipv6Addr::UNSPECIFIED,
            ttl: Ttl::from_secs(TTL_SECS),
        };
        let service = Announced {
            name: self.name,
            priority: 0,
            weight: 0,
            service: "_espstress",
            protocol: "_tcp",
            port: Service::Framed.port(),
            service_subtypes: &[],
            txt_kvs: self.txt,
        };
        let mut handler = HostAnswersMdnsHandler::new(ServiceAnswers::new(&host, &service));
        match handler.handle(request, out) {
            Ok(MdnsResponse::Reply { data, .. }) => Some(data.len()),
            Ok(MdnsResponse::None) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDS: Records<'_> =
        Records { name: "espstress-a1b2", address: Ipv4Addr::new(192, 168, 4, 91), txt: &[("http", "80")] };

    /// A question for PTR records of a name, as RFC 1035 section 4.1 lays it out.
    fn question(labels: &[&str], out: &mut [u8; 64]) -> usize {
        out[5] = 1;
        let mut at = 12;
        for label in labels {
            out[at] = label.len() as u8;
            out[at + 1..=at + label.len()].copy_from_slice(label.as_bytes());
            at += 1 + label.len();
        }
        out[at + 2] = 12;
        out[at + 4] = 1;
        at + 5
    }

    fn ask(labels: &[&str]) -> Option<usize> {
        let mut message = [0; 64];
        let len = question(labels, &mut message);
        let request = MdnsRequest::Request { legacy: false, multicast: true, data: &message[..len] };
        RECORDS.answer(request, &mut [0; MESSAGE_LEN])
    }

    #[test]
    fn the_service_is_answered_for_and_others_are_not() {
        assert!(ask(&["_espstress", "_tcp", "local"]).is_some());
        assert_eq!(ask(&["_http", "_tcp", "local"]), None);
    }

    #[test]
    fn an_announcement_has_the_address_and_the_port() {
        let mut out = [0; MESSAGE_LEN];
        let len = RECORDS.answer(MdnsRequest::None, &mut out).expect("an announcement");
        let found = |bytes: &[u8]| out[..len].windows(bytes.len()).any(|window| window == bytes);
        assert!(found(&[192, 168, 4, 91]) && found(&7007u16.to_be_bytes()) && found(b"espstress-a1b2"));
    }

    #[test]
    fn damaged_messages_get_no_answer() {
        let mut message = [0; 64];
        let len = question(&["_espstress", "_tcp", "local"], &mut message);
        for cut in 0..len {
            let request = MdnsRequest::Request { legacy: false, multicast: true, data: &message[..cut] };
            assert_eq!(RECORDS.answer(request, &mut [0; MESSAGE_LEN]), None, "cut at {cut}");
        }
    }
}
