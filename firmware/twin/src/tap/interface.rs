//! A network namespace of the process's own with the TAP device in it, and this end of that.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use espstress_lwip::Dropped;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, bind, recv, sendmsg, setsockopt, socket,
    sockopt,
};

use super::offload::{HEADER, NotWhole, complete};
use super::raw;
use crate::air::Station;

/// The TAP device's name.
pub(crate) const NAME: &str = "tap0";

/// Longest Ethernet frame without checksum that the host's interface takes.
const FRAME_LEN: usize = 1_514;

/// A frame that a network card would have cut into segments, with its header.
const ROOM: usize = HEADER + (64 << 10) + 64;

/// Frames that wait for this end, in bytes of the kernel's.
const QUEUE_BYTES: usize = 4 << 20;

/// A network namespace, as /proc names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Namespace(PathBuf);

impl Namespace {
    /// That of this thread.
    fn own() -> io::Result<Self> {
        fs::read_link("/proc/thread-self/ns/net").map(Self)
    }

    /// The processes whose first thread is in it.
    pub(super) fn processes(&self) -> Vec<i32> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let here = processes.filter_map(|entry| {
            let process = entry.file_name().to_str()?.parse().ok()?;
            let namespace = fs::read_link(entry.path().join("ns/net")).ok()?;
            (namespace == self.0).then_some(process)
        });
        here.collect()
    }
}

/// The far end of the link: what goes in there comes out of the process's TAP device, and the other way round.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    packets: Arc<OwnedFd>,
    uncut: Arc<AtomicU64>,
    too_long: Arc<AtomicU64>,
}

/// Takes this thread into a new network namespace and makes the TAP device there.
pub(super) fn enter() -> Result<(Namespace, Far), String> {
    let step = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("cannot make a network namespace for the process: {error}"))?;
    let namespace = Namespace::own().map_err(step("/proc shows no network namespace"))?;
    // A kernel without IPv6 is none the worse for it.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    raw::set_up("lo").map_err(step("the process's loopback interface could not be set up"))?;
    raw::make_tap(NAME).map_err(|error| {
        format!("cannot make a TAP device from /dev/net/tun: {error}; {}", remedy(&error))
    })?;
    raw::set_up(NAME).map_err(step("the process's TAP device could not be set up"))?;
    let far = Far::open().map_err(step("the process's TAP device gave no packet socket"))?;
    Ok((namespace, far))
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "let users open it: sudo chmod 0666 /dev/net/tun",
        _ => "load the driver: sudo modprobe tun; in a container, start it with --device /dev/net/tun",
    }
}

impl Far {
    fn open() -> io::Result<Self> {
        let family = AddressFamily::Packet;
        let packets = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
        raw::switch_on(&packets, libc::PACKET_IGNORE_OUTGOING)?;
        raw::switch_on(&packets, libc::PACKET_VNET_HDR)?;
        // Less than asked for will do.
        let _ = setsockopt(&packets, sockopt::RcvBuf, &QUEUE_BYTES);
        let named = |interface: &nix::ifaddrs::InterfaceAddress| interface.interface_name == NAME;
        let address =
            getifaddrs()?.filter(named).find_map(|interface| interface.address?.as_link_addr().copied());
        // Its protocol is 0, which leaves that of the socket.
        bind(packets.as_raw_fd(), &address.ok_or(io::ErrorKind::NotFound)?)?;
        Ok(Self { packets: Arc::new(packets), uncut: Arc::default(), too_long: Arc::default() })
    }

    /// Hands each frame of the process to `take`, until this end is gone.
    pub(crate) fn frames(&self, mut take: impl FnMut(&[u8])) -> io::Error {
        let mut room = vec![0; ROOM];
        loop {
            let len = match recv(self.packets.as_raw_fd(), &mut room, MsgFlags::empty()) {
                Ok(len) => len,
                // The interface was down for a moment.
                Err(Errno::EINTR | Errno::ENETDOWN | Errno::ENOBUFS) => continue,
                Err(error) => return error.into(),
            };
            let Some((header, frame)) = room[..len].split_first_chunk_mut::<HEADER>() else { continue };
            let whole = complete(header, frame, |frame| {
                if frame.len() <= FRAME_LEN {
                    take(frame);
                } else {
                    self.too_long.fetch_add(1, Ordering::Relaxed);
                }
            });
            if whole == Err(NotWhole::Uncut) {
                self.uncut.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What the process sent that no link carries, in words, with how often.
    pub(crate) fn not_carried(&self) -> impl Iterator<Item = (String, u64)> {
        let uncut = "packets that a network card is to cut, not TCP over IPv4: switch that off, with QEMU by vnet_hdr=off";
        let long = "frames longer than 1,514 bytes";
        let counted = [(uncut, &self.uncut), (long, &self.too_long)];
        let counted = counted.map(|(what, n)| (what.to_owned(), n.load(Ordering::Relaxed)));
        counted.into_iter().filter(|(_, n)| *n > 0)
    }
}

impl Station for Far {
    fn input(&self, frame: &[u8]) -> Result<(), Dropped> {
        let whole = [IoSlice::new(&[0; HEADER]), IoSlice::new(frame)];
        match sendmsg(self.packets.as_raw_fd(), &whole, &[], MsgFlags::MSG_DONTWAIT, None::<&()>) {
            Err(Errno::EAGAIN) => Err(Dropped::MailboxFull),
            // A device that is off, or does not read, loses it.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}
