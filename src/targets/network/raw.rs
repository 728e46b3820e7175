//! The system calls that no library here wraps: a TAP device by name, a packet socket on one interface, and an
//! interface's offloads. Each is one request on a descriptor that is open.

use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{self, Ioctl, c_char, c_int, c_void, socklen_t};

// linux/ethtool.h
const ETHTOOL_STXCSUM: u32 = 0x17;
const ETHTOOL_STSO: u32 = 0x1f;
const ETHTOOL_SGSO: u32 = 0x24;
const ETHTOOL_SGRO: u32 = 0x2c;
// linux/sockios.h
const SIOCETHTOOL: Ioctl = 0x8946;

/// An interface request for this name.
fn request(name: &str) -> io::Result<libc::ifreq> {
    // The last byte stays zero.
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    #[expect(unsafe_code, reason = "a C structure of plain numbers")]
    // SAFETY: all its bytes zero is a valid `ifreq`: integers, arrays and a null pointer.
    let mut request: libc::ifreq = unsafe { zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as c_char;
    }
    Ok(request)
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes the opened `/dev/net/tun` a TAP device of this name: Ethernet frames without any header before them, hence
/// without offloads.
#[expect(unsafe_code, reason = "TUNSETIFF is an ioctl")]
pub(super) fn name_tap(tun: File, name: &str) -> io::Result<OwnedFd> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the descriptor is open as long as `tun` is, and the kernel reads and writes one `ifreq` there.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as Ioctl, &raw mut request) })?;
    Ok(tun.into())
}

/// A packet socket that takes and gives whole frames on this interface alone, and does not see its own.
#[expect(unsafe_code, reason = "packet sockets are not in the standard library")]
pub(super) fn packet_socket(interface: u32) -> io::Result<OwnedFd> {
    // Protocol 0: nothing arrives before it is bound.
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just opened and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let set = |level: c_int, option: c_int, value: c_int| {
        let len = size_of::<c_int>() as socklen_t;
        // SAFETY: the kernel reads one `c_int`, which lives during the call.
        check(unsafe {
            libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast::<c_void>(), len)
        })
    };
    set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
    // A default buffer is some hundred small frames; less than asked for will do.
    let _ = set(libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20);
    // SAFETY: all its bytes zero is a valid `sockaddr_ll`.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = c_int::try_from(interface).map_err(io::Error::other)?;
    let len = size_of::<libc::sockaddr_ll>() as socklen_t;
    // SAFETY: the kernel reads one `sockaddr_ll`, which lives during the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast::<libc::sockaddr>(), len) })?;
    Ok(socket)
}

/// Switches off what an interface leaves to the hardware it does not have: checksums and segmentation.
#[expect(unsafe_code, reason = "SIOCETHTOOL is an ioctl")]
pub(super) fn switch_offloads_off(name: &str) -> io::Result<()> {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    // SAFETY: no memory is involved.
    let fd = check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just opened and nobody else has it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    for command in [ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO, ETHTOOL_STXCSUM] {
        let mut value = Value { command, data: 0 };
        let mut request = request(name)?;
        request.ifr_ifru.ifru_data = (&raw mut value).cast::<c_char>();
        // SAFETY: the kernel reads one `ifreq` and the eight bytes of `value`, which both live during the call.
        let result = check(unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) });
        // Only wrong checksums would be wrong; the others are a matter of tidy captures.
        if command == ETHTOOL_STXCSUM {
            result?;
        }
    }
    Ok(())
}
