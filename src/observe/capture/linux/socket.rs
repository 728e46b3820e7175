//! The packet socket's options, behind safe functions (packet(7)).

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::{SockFilter, Socket};

use super::super::filter::Instruction;

const TPACKET_V3: libc::c_int = 2;
const PACKET_RX_RING: libc::c_int = 5;
const PACKET_STATISTICS: libc::c_int = 6;
const PACKET_VERSION: libc::c_int = 10;
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;
/// Length that the kernel wants to be given for a frame; v3 packs packets closer.
const FRAME_BYTES: usize = 2048;

/// `struct tpacket_req3`.
#[repr(C)]
struct RingRequest {
    block_size: u32,
    block_count: u32,
    frame_size: u32,
    frame_count: u32,
    retire_ms: u32,
    private_bytes: u32,
    features: u32,
}

/// `struct tpacket_stats_v3`: counts since it was last read.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) packets: u32,
    pub(super) dropped: u32,
    pub(super) freezes: u32,
}

pub(super) fn attach(socket: &Socket, program: &[Instruction]) -> io::Result<()> {
    let program: Vec<SockFilter> = program.iter().map(|i| SockFilter::new(i.code, i.jt, i.jf, i.k)).collect();
    socket.attach_filter(&program)
}

/// Chooses the ring's format; before [`set_ring`].
pub(super) fn set_version(socket: &Socket) -> io::Result<()> {
    set(socket, PACKET_VERSION, &TPACKET_V3)
}

/// Sets a ring of `blocks` blocks of `block_bytes` up.
pub(super) fn set_ring(socket: &Socket, blocks: usize, block_bytes: usize, hold: Duration) -> io::Result<()> {
    let small = |n: usize| u32::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    let request = RingRequest {
        block_size: small(block_bytes)?,
        block_count: small(blocks)?,
        frame_size: small(FRAME_BYTES)?,
        frame_count: small(block_bytes / FRAME_BYTES * blocks)?,
        retire_ms: u32::try_from(hold.as_millis()).unwrap_or(u32::MAX),
        private_bytes: 0,
        features: 0,
    };
    set(socket, PACKET_RX_RING, &request)
}

/// Asks not to be shown packets on their way out. Kernels before 4.20 do not know the option.
pub(super) fn ignore_outgoing(socket: &Socket) -> io::Result<()> {
    let yes: libc::c_int = 1;
    set(socket, PACKET_IGNORE_OUTGOING, &yes)
}

/// The kernel's counts, which begin again at 0.
#[expect(unsafe_code, reason = "a socket option that socket2 does not know")]
pub(super) fn take_counts(socket: &Socket) -> io::Result<Counts> {
    let mut counts = Counts::default();
    let mut length = size_of::<Counts>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which is the size of `counts`; any bits are a `Counts`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_STATISTICS,
            (&raw mut counts).cast(),
            &raw mut length,
        )
    };
    if result == 0 { Ok(counts) } else { Err(io::Error::last_os_error()) }
}

/// Binds to an interface and every protocol; packets come from here on.
#[expect(unsafe_code, reason = "an address family that socket2 cannot build")]
pub(super) fn bind(socket: &Socket, interface: u32) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: i32::try_from(interface).map_err(|_| io::ErrorKind::InvalidInput)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: the pointer and the length describe `address`, which lives until after the call.
    let result = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What woke [`wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// A block is ready.
    Ready,
    /// The socket has an error to be asked for.
    Error,
    /// Nothing within the time, or a signal.
    Nothing,
}

/// Waits until a block is ready.
#[expect(unsafe_code, reason = "poll(2)")]
pub(super) fn wait(socket: &Socket, timeout: Duration) -> io::Result<Wake> {
    // Rounded up, so that a caller with half a millisecond left does not spin.
    let timeout = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    let mut entry = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives until after the call.
    match unsafe { libc::poll(&raw mut entry, 1, timeout) } {
        0 => Ok(Wake::Nothing),
        n if n > 0 && entry.revents & (libc::POLLERR | libc::POLLNVAL) != 0 => Ok(Wake::Error),
        n if n > 0 => Ok(Wake::Ready),
        _ => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(Wake::Nothing),
            error => Err(error),
        },
    }
}

#[expect(unsafe_code, reason = "socket options that socket2 does not know")]
fn set<T>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, plain data that the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_wait_ends_with_what_came_with_an_error_or_with_nothing() {
        let bound = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (receiver, sender) = (bound(), bound());
        let port = receiver.local_addr().unwrap();
        let receiver = Socket::from(receiver);
        assert_eq!(wait(&receiver, SHORT).unwrap(), Wake::Nothing);
        sender.connect(port).unwrap();
        sender.send(b"x").unwrap();
        assert_eq!(wait(&receiver, LONG).unwrap(), Wake::Ready);
        // Nobody is there any more, and the sender is told so.
        drop(receiver);
        sender.send(b"x").unwrap();
        assert_eq!(wait(&Socket::from(sender), LONG).unwrap(), Wake::Error);
    }
}
