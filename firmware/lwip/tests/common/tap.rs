//! The stack on a TAP device, in a network namespace that ends with the test's process.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use espstress_lwip::{Stack, StackConfig};

const NAME: &[u8] = b"lwip0";
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 168, 4, 1);

/// Why there can be no TAP device here, if so: tried in a process of its own.
pub(crate) fn unavailable() -> Option<String> {
    let mut probe = Command::new("true");
    in_namespace(&mut probe);
    match probe.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Some(format!("network namespace: {status}")),
        Err(e) => return Some(format!("network namespace: {e}")),
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .err()
        .map(|e| format!("/dev/net/tun: {e}"))
}

/// Lets the command run as root of namespaces of its own.
#[expect(unsafe_code, reason = "system calls between fork and exec")]
pub(crate) fn in_namespace(command: &mut Command) {
    // SAFETY: only reads the ids.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let maps = [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ];
    let flags = if user == 0 {
        libc::CLONE_NEWNET
    } else {
        libc::CLONE_NEWNET | libc::CLONE_NEWUSER
    };
    // SAFETY: the closure makes system calls only; what it uses was allocated before the fork.
    unsafe {
        command.pre_exec(move || {
            if libc::unshare(flags) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            if user != 0 {
                for (path, text) in &maps {
                    OpenOptions::new()
                        .write(true)
                        .open(path)?
                        .write_all(text.as_bytes())?;
                }
            }
            Ok(())
        });
    }
}

fn request() -> libc::ifreq {
    #[expect(unsafe_code, reason = "a C structure")]
    // SAFETY: all zeroes is a valid request without a name.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME) {
        *to = *from as libc::c_char;
    }
    request
}

fn set(fd: i32, code: libc::c_ulong, request: &libc::ifreq, what: &str) {
    #[expect(unsafe_code, reason = "interface set-up")]
    // SAFETY: each of these codes takes a pointer to an interface request.
    let ret = unsafe { libc::ioctl(fd, code as _, request) };
    assert_eq!(ret, 0, "{what}: {}", std::io::Error::last_os_error());
}

fn address(ip: Ipv4Addr) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..6].iter_mut().zip(ip.octets()) {
        *to = from as libc::c_char;
    }
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: data,
    }
}

fn open() -> File {
    let tap = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .expect("/dev/net/tun");
    let mut named = request();
    named.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    set(tap.as_raw_fd(), libc::TUNSETIFF, &named, "TUNSETIFF");
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket for requests");
    let fd = socket.as_raw_fd();
    let mut with_address = request();
    with_address.ifr_ifru.ifru_addr = address(HOST);
    set(fd, libc::SIOCSIFADDR, &with_address, "SIOCSIFADDR");
    with_address.ifr_ifru.ifru_netmask = address(Ipv4Addr::new(255, 255, 255, 0));
    set(fd, libc::SIOCSIFNETMASK, &with_address, "SIOCSIFNETMASK");
    let mut up = request();
    up.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    set(fd, libc::SIOCSIFFLAGS, &up, "SIOCSIFFLAGS");
    tap
}

/// Starts the stack on a TAP device of this process's namespace.
pub(crate) fn start(config: StackConfig) -> Stack {
    let tap = Arc::new(open());
    let out = Arc::clone(&tap);
    let stack = Stack::start(config, move |frame: &[u8]| {
        let _ = (&*out).write_all(frame);
    })
    .expect("a first stack");
    let input = stack.clone();
    std::thread::spawn(move || {
        let mut frame = [0; 2048];
        while let Ok(len) = (&*tap).read(&mut frame) {
            // A frame without room is lost, as on a device.
            let _ = input.input(&frame[..len]);
        }
    });
    stack
}
