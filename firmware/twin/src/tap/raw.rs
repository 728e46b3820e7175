//! The system calls that no library here wraps: a TAP device that stays, an interface that is up, two options of a packet
//! socket, and a process that dies with its parent.

use std::fs::OpenOptions;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{Ioctl, c_char, c_int, c_ulong, c_void, socklen_t};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An interface request for this name.
#[expect(unsafe_code, reason = "a C structure of plain numbers")]
fn request(name: &str) -> libc::ifreq {
    // SAFETY: all its bytes zero is a valid `ifreq`: integers, arrays and a null pointer.
    let mut request: libc::ifreq = unsafe { zeroed() };
    // The last byte stays zero.
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1].iter_mut().zip(name.bytes()) {
        *place = byte as c_char;
    }
    request
}

/// Makes a TAP device that is there without anybody who holds it, so that whoever opens it finds it up.
#[expect(unsafe_code, reason = "TUNSETIFF and TUNSETPERSIST are ioctls")]
pub(super) fn make_tap(name: &str) -> io::Result<()> {
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
    let mut request = request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the descriptor is open as long as `tun` is, and the kernel reads and writes one `ifreq` there.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF as Ioctl, &raw mut request) })?;
    let stays: c_ulong = 1;
    // SAFETY: the argument is a number; no memory is involved.
    check(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST as Ioctl, stays) })
}

/// Sets an interface up.
#[expect(unsafe_code, reason = "SIOCGIFFLAGS and SIOCSIFFLAGS are ioctls")]
pub(super) fn set_up(name: &str) -> io::Result<()> {
    let any = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut request = request(name);
    // SAFETY: the descriptor is open as long as `any` is, and the kernel reads and writes one `ifreq` there.
    check(unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCGIFFLAGS as Ioctl, &raw mut request) })?;
    // SAFETY: the request before has filled this member of the union, and every value of it is a valid number.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags | libc::IFF_UP as i16;
    // SAFETY: as above; the kernel only reads.
    check(unsafe { libc::ioctl(any.as_raw_fd(), libc::SIOCSIFFLAGS as Ioctl, &raw mut request) })
}

/// Switches an option of a packet socket on.
#[expect(unsafe_code, reason = "no library here has the options of packet sockets")]
pub(super) fn switch_on(socket: &impl AsFd, option: c_int) -> io::Result<()> {
    let on: c_int = 1;
    let (fd, len) = (socket.as_fd().as_raw_fd(), size_of::<c_int>() as socklen_t);
    // SAFETY: the kernel reads one `c_int`, which lives during the call.
    check(unsafe { libc::setsockopt(fd, libc::SOL_PACKET, option, (&raw const on).cast::<c_void>(), len) })
}

/// Makes the process end with the thread that starts it.
#[expect(unsafe_code, reason = "runs between fork and exec")]
pub(super) fn end_with_parent(command: &mut Command) {
    // SAFETY: one system call, which allocates nothing and takes no lock.
    unsafe { command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)) };
}
