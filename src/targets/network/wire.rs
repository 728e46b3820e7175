//! What carries the frames between an interface of the host and a twin.

use std::os::fd::OwnedFd;

use super::error::{NetworkError, Step};
use super::facts::open_tun;
use super::raw;
use super::rtnetlink::{Rtnetlink, index};

/// A carrier of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carrier {
    /// A TAP device.
    Tap,
    /// A veth pair, with a packet socket on its other end: where an ordinary user may not open `/dev/net/tun`.
    PacketVeth,
}

/// Makes the interface of this name and opens its other end.
pub(super) fn open(
    rtnetlink: &mut Rtnetlink,
    name: &str,
    asked: Option<Carrier>,
) -> Result<(Carrier, OwnedFd), NetworkError> {
    match asked {
        Some(Carrier::Tap) => Ok((Carrier::Tap, tap(name)?)),
        Some(Carrier::PacketVeth) => Ok((Carrier::PacketVeth, packet_veth(rtnetlink, name)?)),
        None => match tap(name) {
            Ok(fd) => Ok((Carrier::Tap, fd)),
            Err(error) => match packet_veth(rtnetlink, name) {
                Ok(fd) => Ok((Carrier::PacketVeth, fd)),
                Err(second) => Err(second.after(error)),
            },
        },
    }
}

fn tap(name: &str) -> Result<OwnedFd, NetworkError> {
    let tun = open_tun().map_err(|error| NetworkError::new(Step::TunDevice, error))?;
    raw::name_tap(tun, name).map_err(|error| NetworkError::new(Step::Tap, error))
}

fn packet_veth(rtnetlink: &mut Rtnetlink, name: &str) -> Result<OwnedFd, NetworkError> {
    let peer = format!("{name}p");
    let veth = |error| NetworkError::new(Step::Veth, error);
    rtnetlink.add_veth(name, &peer).map_err(veth)?;
    // What is sent here arrives there as it is: nobody on the way would fill in a checksum that was left out.
    raw::switch_offloads_off(name).map_err(|error| NetworkError::new(Step::Offload, error))?;
    rtnetlink.set_up(&peer).map_err(veth)?;
    let packets = |error| NetworkError::new(Step::PacketSocket, error);
    raw::packet_socket(index(&peer).map_err(packets)?).map_err(packets)
}
