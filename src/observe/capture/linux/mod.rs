//! Capture by a packet socket with a ring (packet(7)).
//!
//! Order matters: the socket is made for no protocol at all, so that it receives nothing; filter and ring
//! are set; only then is it bound. No packet from before the filter can be in the ring.
//!
//! On `lo` the kernel shows each packet twice, on its way out and on its way in. The one on its way in is
//! kept: it is what the receiving stack gets.

mod netlink;
mod ring;
mod socket;

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use self::netlink::Interface;
use self::ring::{BLOCK_BYTES, Ring};
use self::socket::Wake;
use super::filter::{self, Instruction, LinkHeader, OutgoingCopy, Selection};
use super::{
    AIR_SNAP_LENGTH, BatchInfo, CaptureConfig, CaptureError, CaptureStats, Frame, HOLD_BACK,
    LINKTYPE_ETHERNET, LINKTYPE_RADIOTAP, LINKTYPE_RAW, LINKTYPE_WIFI, Travel,
};

const LEAST_RING_BYTES: usize = 1 << 20;

/// An open capture. Dropping it ends it.
pub struct Capture {
    // Before the socket: unmapped first, then closed.
    ring: Ring,
    socket: Socket,
    interface: Interface,
    link: u16,
    totals: CaptureStats,
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("interface", &self.interface).finish_non_exhaustive()
    }
}

impl Capture {
    /// Opens the capture; packets are kept from the return of this call on.
    ///
    /// # Errors
    ///
    /// [`CaptureError::Denied`] without the capability, with what to do; [`CaptureError::Unsupported`] on a
    /// kernel without packet sockets; [`CaptureError::Failed`] with the step that failed.
    pub fn open(config: &CaptureConfig) -> Result<Self, CaptureError> {
        let interface = interface_for(config)?;
        let (kind, header, link) = match interface.hardware {
            libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK => {
                (Type::RAW, LinkHeader::Ethernet, LINKTYPE_ETHERNET)
            }
            // For a link without a header, or with one that is strange to us, the kernel gives the bare packet.
            _ => (Type::DGRAM, LinkHeader::None, LINKTYPE_RAW),
        };
        let loops = interface.hardware == libc::ARPHRD_LOOPBACK;
        let program = filter::program(&Selection {
            devices: &config.devices,
            ports: &config.ports,
            dialled: config.dialled,
            icmp: config.icmp,
            link: header,
            outgoing: if loops { OutgoingCopy::Reject } else { OutgoingCopy::Keep },
            snap_length: config.keep.snap_length(),
        })
        .map_err(|e| failed("making the capture filter", io::Error::new(io::ErrorKind::InvalidInput, e)))?;

        Self::start(interface, kind, link, &program, config.ring_bytes)
    }

    /// Opens the capture of a monitor interface: every frame of the air, its first 512 bytes.
    ///
    /// # Errors
    ///
    /// As [`Self::open`]; [`CaptureError::Denied`] where the interface is not in monitor mode.
    pub fn monitor(name: &str) -> Result<Self, CaptureError> {
        /// `ARPHRD_IEEE80211` and `ARPHRD_IEEE80211_RADIOTAP` (linux/if_arp.h).
        const WIFI: u16 = 801;
        const RADIOTAP: u16 = 803;
        let interface = netlink::interface_by_name(name)
            .map_err(|e| failed(&format!("looking for interface {name}"), e))?;
        let link = match interface.hardware {
            WIFI => LINKTYPE_WIFI,
            RADIOTAP => LINKTYPE_RADIOTAP,
            _ => {
                return Err(CaptureError::Denied {
                    reason: format!("{name} is not in monitor mode"),
                    remedy: format!(
                        "`sudo ip link set {name} down; sudo iw dev {name} set type monitor; sudo ip link set {name} up`, \
                         then `sudo iw dev {name} set channel N` (docs/wifi.md)"
                    ),
                });
            }
        };
        Self::start(
            interface,
            Type::RAW,
            link,
            &filter::everything(AIR_SNAP_LENGTH),
            super::DEFAULT_RING_BYTES,
        )
    }

    fn start(
        interface: Interface,
        kind: Type,
        link: u16,
        program: &[Instruction],
        ring_bytes: usize,
    ) -> Result<Self, CaptureError> {
        let socket = Socket::new(Domain::PACKET, kind, Some(Protocol::from(0))).map_err(refused)?;
        socket::attach(&socket, program).map_err(|e| failed("setting the capture filter", e))?;
        socket::set_version(&socket).map_err(|e| failed("choosing the capture ring's version", e))?;
        if interface.hardware == libc::ARPHRD_LOOPBACK {
            // Saves a copy of each packet; where the kernel is too old for it, the filter rejects them.
            let _ = socket::ignore_outgoing(&socket);
        }
        let blocks = set_ring(&socket, ring_bytes)?;
        let ring = Ring::map(&socket, blocks).map_err(|e| failed("mapping the capture ring", e))?;
        socket::bind(&socket, interface.index)
            .map_err(|e| failed(&format!("capturing on interface {}", interface.name), e))?;
        Ok(Self { ring, socket, interface, link, totals: CaptureStats::default() })
    }

    /// Hands out what has arrived, or what arrives within `timeout`; returns at the first packets.
    /// The kernel holds packets back for [`HOLD_BACK`] to hand over many at a time.
    ///
    /// # Errors
    ///
    /// What the system says of the socket. An interface that went down is no error but counted in
    /// [`CaptureStats::interface_downs`].
    pub fn next_batch(
        &mut self,
        timeout: Duration,
        mut each: impl FnMut(Frame<'_>),
    ) -> io::Result<BatchInfo> {
        let deadline = Instant::now().checked_add(timeout);
        let loops = self.interface.hardware == libc::ARPHRD_LOOPBACK;
        loop {
            let mut batch = BatchInfo::default();
            // Once around at most, so that a caller with other duties gets its turn under any load.
            for _ in 0..self.ring.blocks() {
                let Some(block) = self.ring.ready() else { break };
                let count = block.each(self.link, |mut frame| {
                    if loops {
                        frame.travel = Travel::Unknown;
                    }
                    each(frame);
                });
                batch.packets += count.packets;
                self.totals.malformed += count.malformed;
            }
            if batch.packets > 0 {
                return Ok(batch);
            }
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => timeout,
            };
            match socket::wait(&self.socket, left)? {
                Wake::Nothing => return Ok(batch),
                Wake::Ready => {}
                Wake::Error => match self.socket.take_error()? {
                    Some(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                        self.totals.interface_downs += 1;
                    }
                    Some(error) => return Err(error),
                    None => {}
                },
            }
        }
    }

    /// The counts since the capture was opened.
    pub fn stats(&mut self) -> CaptureStats {
        // It can only fail on a socket that is none.
        if let Ok(counts) = socket::take_counts(&self.socket) {
            self.totals.packets += u64::from(counts.packets);
            self.totals.dropped += u64::from(counts.dropped);
            self.totals.freezes += u64::from(counts.freezes);
        }
        self.totals
    }

    /// Name of the interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface.name
    }

    /// LINKTYPE number of the frames.
    #[must_use]
    pub const fn link(&self) -> u16 {
        self.link
    }
}

fn interface_for(config: &CaptureConfig) -> Result<Interface, CaptureError> {
    if let Some(name) = &config.interface {
        return netlink::interface_by_name(name)
            .map_err(|e| failed(&format!("looking for interface {name}"), e));
    }
    let mut found: Option<u32> = None;
    for address in &config.devices {
        let index = route_to(*address)?;
        if found.is_some_and(|other| other != index) {
            let source =
                io::Error::new(io::ErrorKind::InvalidInput, "the device's addresses are reached by several");
            return Err(failed("choosing the interface to capture on", source));
        }
        found = Some(index);
    }
    let index = found.ok_or_else(|| {
        failed(
            "choosing the interface to capture on",
            io::Error::new(io::ErrorKind::InvalidInput, "no address"),
        )
    })?;
    netlink::interface_by_index(index).map_err(|e| failed("asking about the interface to capture on", e))
}

fn route_to(address: IpAddr) -> Result<u32, CaptureError> {
    let plain = address.to_canonical();
    netlink::route_to(plain).map_err(|e| failed(&format!("asking for the route to {plain}"), e))
}

/// Sets the ring up, smaller where the system has not that much memory; returns its blocks.
fn set_ring(socket: &Socket, bytes: usize) -> Result<usize, CaptureError> {
    let mut blocks = (bytes.max(LEAST_RING_BYTES) / BLOCK_BYTES).max(1);
    loop {
        match socket::set_ring(socket, blocks, BLOCK_BYTES, HOLD_BACK) {
            Ok(()) => return Ok(blocks),
            Err(e) if e.raw_os_error() == Some(libc::ENOMEM) && blocks * BLOCK_BYTES > LEAST_RING_BYTES => {
                blocks /= 2
            }
            Err(e) => return Err(failed("setting up the capture ring", e)),
        }
    }
}

fn failed(step: &str, source: io::Error) -> CaptureError {
    CaptureError::Failed { step: step.to_owned(), source }
}

/// What it means that the packet socket itself was refused.
fn refused(error: io::Error) -> CaptureError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            let program = std::env::current_exe()
                .map_or_else(|_| "$(command -v espstress)".to_owned(), |p| p.display().to_string());
            CaptureError::Denied {
                reason: format!("this process may not open a packet socket ({error}): it lacks CAP_NET_RAW"),
                remedy: format!(
                    "allow it once with `{} {program}`, or run it with sudo",
                    espstress_event::SETCAP
                ),
            }
        }
        Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOSYS) => {
            CaptureError::Unsupported { reason: format!("this kernel has no packet sockets ({error})") }
        }
        _ => failed("opening a packet socket", error),
    }
}
