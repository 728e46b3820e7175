//! ICMP echo (RFC 792, RFC 4443), over a datagram socket where the system allows it, else over a raw one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::pending::{Answer, Pending};
use super::{ProbeConfig, Shared, Ticks, begin, no, with};
use espstress_clock::{Clock, nanos};
use espstress_stats::ProbeStats;

/// ICMP header and payload.
const LENGTH: usize = 8 + 24;

/// IPv4 header without options.
const IPV4: usize = 20;

/// The largest packet of a full-size probe: what Ethernet carries, and most devices' buffers hold.
const ETHERNET: usize = 1_500;

/// Full-size probes of a run: enough to tell a path that carries none from one that loses some.
const FULL_SIZE: u16 = 10;

/// Asks until it is dropped.
pub(super) async fn run(config: ProbeConfig, interval: Duration, clock: Clock, stats: Shared<ProbeStats>) {
    let echo = match Echo::open(config.target, config.source) {
        Ok(echo) => echo,
        Err(reason) => {
            *stats.borrow_mut() = no(&reason);
            return;
        }
    };
    begin(&stats, clock, interval, config.timeout);
    let mut pending = Pending::default();
    let mut ticks = Ticks::new(interval, clock);
    let mut buffer = [0; 256];
    loop {
        let expiry = pending.next_expiry(config.timeout).unwrap_or_else(|| Instant::now() + interval);
        tokio::select! {
            () = ticks.next(&stats) => {
                let number = pending.ask(Instant::now());
                if echo.socket.send(&echo.request(number as u16, LENGTH)).await.is_err() {
                    // No route, or the system's buffer is full: nothing was asked.
                    pending.take_back();
                    with(&stats, |stats| stats.host_failure(clock.now_ns()));
                }
            }
            received = echo.socket.recv(&mut buffer) => {
                let now = Instant::now();
                let number = received.ok().and_then(|n| echo.reply(buffer.get(..n).unwrap_or_default()));
                let Some(number) = number else { continue };
                match pending.answer(now, |asked| asked as u16 == number) {
                    Answer::InTime(took) => with(&stats, |stats| stats.answer(clock.at_ns(now), nanos(took))),
                    Answer::Late => with(&stats, |stats| stats.late += 1),
                    Answer::Stranger => {}
                }
            }
            () = tokio::time::sleep_until(expiry.into()) => {
                let now = Instant::now();
                for _ in 0..pending.expire(now, config.timeout) {
                    with(&stats, |stats| stats.loss(clock.at_ns(now)));
                }
            }
        }
    }
}

/// Asks a few times by packets as large as the interface carries, one after the other and never in pieces: a path that
/// carries less than that somewhere, and does not say so, answers small ones alone.
pub(super) async fn full_size(config: ProbeConfig, interval: Duration, stats: Shared<ProbeStats>) {
    // Where there is no socket at all the small ones say why.
    let Ok(echo) = Echo::open(config.target, config.source) else { return };
    let not_sent = |why: String| with(&stats, |stats| stats.no_full_size = Some(why.clone()));
    let bytes = match echo.largest() {
        Ok(bytes) => bytes,
        Err(why) => {
            // The small ones begin at the same time, and their figures may not be there yet.
            tokio::task::yield_now().await;
            return not_sent(why);
        }
    };
    let mut tick = tokio::time::interval(interval);
    let mut buffer = [0; ETHERNET + IPV4];
    // Other numbers than those of the small ones, whose answers a raw socket sees as well.
    for number in (0..FULL_SIZE).map(|n| n | 0x8000) {
        tick.tick().await;
        if let Err(error) = echo.socket.send(&echo.request(number, bytes - IPV4)).await {
            // What an earlier one met: a router that reports its limit.
            if !is_too_long(&error) {
                return not_sent(error.to_string());
            }
        }
        let answer = async {
            loop {
                match echo.socket.recv(&mut buffer).await {
                    Ok(n) if echo.reply(buffer.get(..n).unwrap_or_default()) == Some(number) => return true,
                    Err(error) if is_too_long(&error) => return false,
                    _ => {}
                }
            }
        };
        let answered = tokio::time::timeout(config.timeout.min(interval), answer).await.unwrap_or(false);
        let now = echo.mtu().filter(|mtu| *mtu < bytes).and_then(|mtu| u32::try_from(mtu).ok());
        with(&stats, |stats| {
            let full = stats.full_size.get_or_insert_default();
            full.bytes = bytes as u32;
            full.sent += 1;
            full.answered += u64::from(answered);
            full.reported = full.reported.or(now);
        });
    }
}

/// Whether a packet was too large for the path, as something on it reported.
#[cfg(target_os = "linux")]
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

#[cfg(not(target_os = "linux"))]
const fn is_too_long(_: &io::Error) -> bool {
    false
}

/// A socket for echo requests to one address.
struct Echo {
    socket: UdpSocket,
    kind: Kind,
    v6: bool,
    identifier: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The system sets identifier and checksum, and keeps others' replies away.
    Datagram,
    /// All is done here; replies to others come in as well.
    Raw,
}

impl Echo {
    fn open(target: IpAddr, source: Option<IpAddr>) -> Result<Self, String> {
        let datagram = match Self::of(target, source, Kind::Datagram) {
            Ok(echo) => return Ok(echo),
            Err(error) => error,
        };
        Self::of(target, source, Kind::Raw).map_err(|raw| {
            format!(
                "ICMP is not allowed here (datagram socket: {datagram}; raw socket: {raw}); put your group into \
                 net.ipv4.ping_group_range"
            )
        })
    }

    fn of(target: IpAddr, source: Option<IpAddr>, kind: Kind) -> io::Result<Self> {
        let target = SocketAddr::new(target, 0);
        let protocol = if target.is_ipv6() { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
        let socket_type = match kind {
            Kind::Datagram => Type::DGRAM,
            Kind::Raw => Type::RAW,
        };
        let socket =
            Socket::new(Domain::for_address(target), socket_type.nonblocking().cloexec(), Some(protocol))?;
        if let Some(source) = source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        socket.connect(&target.into())?;
        let identifier = std::process::id() as u16;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, kind, v6: target.is_ipv6(), identifier })
    }

    /// The size of the largest packet to this address, up to Ethernet's, which is from now on sent in one piece or not at
    /// all, whatever is known of the path; or why there is none.
    #[cfg(target_os = "linux")]
    fn largest(&self) -> Result<usize, String> {
        use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};

        if self.v6 {
            return Err("for IPv4 only".into());
        }
        set_ip_mtu_discover(&self.socket, Ipv4PathMtuDiscovery::PROBE).map_err(|error| error.to_string())?;
        let mtu = self.mtu().ok_or("the system does not tell the interface's MTU")?;
        if mtu > IPV4 + LENGTH { Ok(mtu.min(ETHERNET)) } else { Err(format!("the interface's MTU is {mtu}")) }
    }

    #[cfg(not(target_os = "linux"))]
    fn largest(&self) -> Result<usize, String> {
        Err("on Linux only".into())
    }

    /// The largest packet that the path to this address is known to carry.
    #[cfg(target_os = "linux")]
    fn mtu(&self) -> Option<usize> {
        usize::try_from(rustix::net::sockopt::ip_mtu(&self.socket).ok()?).ok()
    }

    #[cfg(not(target_os = "linux"))]
    const fn mtu(&self) -> Option<usize> {
        None
    }

    /// A request whose ICMP part has this length.
    fn request(&self, number: u16, length: usize) -> Vec<u8> {
        let mut packet = vec![0; length.max(LENGTH)];
        packet[0] = if self.v6 { 128 } else { 8 };
        packet[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        packet[6..8].copy_from_slice(&number.to_be_bytes());
        packet[8..17].copy_from_slice(b"espstress");
        if !self.v6 {
            let sum = checksum(&packet).to_be_bytes();
            packet[2..4].copy_from_slice(&sum);
        }
        packet
    }

    /// The number of an echo reply to this socket; `None` for any other packet.
    fn reply(&self, packet: &[u8]) -> Option<u16> {
        let packet = match (self.kind, self.v6) {
            // A raw IPv4 socket hands over the IP header as well.
            (Kind::Raw, false) => packet.get(usize::from(packet.first()? & 0x0f) * 4..)?,
            _ => packet,
        };
        let header = packet.first_chunk::<8>()?;
        let is_reply = header[0] == if self.v6 { 129 } else { 0 };
        let ours = self.kind == Kind::Datagram || header[4..6] == self.identifier.to_be_bytes();
        (is_reply && ours).then(|| u16::from_be_bytes([header[6], header[7]]))
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        let high = u32::from(pair.first().copied().unwrap_or(0)) << 8;
        sum += high | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_rfc() {
        // RFC 1071, section 3: the sum of these bytes is ddf2.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
