//! Which of the program's calls are handed over, as a BPF program for the kernel.
//!
//! Calls on files and pipes must not pay for this, so descriptors of sockets lie in a range of their own. Standard
//! input, output and error are looked at as well: a server may `dup2` a connection there.

use std::ops::Range;

use libc::{
    AF_INET, AF_INET6, BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, EAFNOSUPPORT,
    EINVAL, ENOSYS, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_USER_NOTIF,
    sock_filter,
};

/// Numbers of the sockets' descriptors: above what most programs use for files, below what `select` and the usual limit
/// of 1,024 allow. There are as many as lwIP can have sockets.
pub(crate) const DESCRIPTORS: Range<i32> = 512..765;

/// Standard input, output and error.
const STANDARD: u32 = 3;

/// The kernel's name for the architecture (linux/audit.h): the ELF machine, 64 bits, little-endian.
const ARCHITECTURE: u32 =
    0xc000_0000 | if cfg!(target_arch = "x86_64") { libc::EM_X86_64 as u32 } else { libc::EM_AARCH64 as u32 };

/// Calls of x32 have this bit.
const X32: u32 = 0x4000_0000;

// Offsets in struct seccomp_data; of an argument the lower half, which is all of a descriptor.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

/// Calls whose first argument is a descriptor, and that a socket has.
pub(crate) const ON_A_DESCRIPTOR: [libc::c_long; 24] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_connect,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_ioctl,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_sendfile,
];

/// Where a jump goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Next,
    Socket,
    Splice,
    SpliceOut,
    Descriptor,
    HighDescriptor,
    Allow,
    HandOver,
    Killed,
    NoSuchCall,
    NoSuchFamily,
    Unfit,
}

enum Line {
    Label(To),
    Load(u32),
    /// If equal there, otherwise here.
    IfIs(u32, To, To),
    /// If at least there, otherwise here.
    IfAtLeast(u32, To, To),
    Return(u32),
}

fn lines() -> Vec<Line> {
    use Line::{IfAtLeast, IfIs, Label, Load, Return};
    let number = |call: libc::c_long| u32::try_from(call).unwrap_or(u32::MAX);
    let (first, end) = (DESCRIPTORS.start.unsigned_abs(), DESCRIPTORS.end.unsigned_abs());
    let mut lines = vec![
        Load(ARCH),
        IfIs(ARCHITECTURE, To::Next, To::Killed),
        Load(NUMBER),
        IfAtLeast(X32, To::NoSuchCall, To::Next),
        // A ring would carry calls past the filter; programs fall back without one.
        IfIs(number(libc::SYS_io_uring_setup), To::NoSuchCall, To::Next),
        IfIs(number(libc::SYS_socket), To::Socket, To::Next),
        IfIs(number(libc::SYS_splice), To::Splice, To::Next),
    ];
    lines.extend(ON_A_DESCRIPTOR.map(|call| IfIs(number(call), To::Descriptor, To::Next)));
    lines.extend([
        Return(SECCOMP_RET_ALLOW),
        Label(To::Socket),
        Load(argument(0)),
        IfIs(AF_INET.unsigned_abs(), To::HandOver, To::Next),
        IfIs(AF_INET6.unsigned_abs(), To::NoSuchFamily, To::Allow),
        // Through the kernel it would move what the socket pair holds; programs fall back to read and write.
        Label(To::Splice),
        Load(argument(0)),
        IfAtLeast(first, To::Next, To::SpliceOut),
        IfAtLeast(end, To::SpliceOut, To::Unfit),
        Label(To::SpliceOut),
        Load(argument(2)),
        IfAtLeast(first, To::Next, To::Allow),
        IfAtLeast(end, To::Allow, To::Unfit),
        Label(To::Descriptor),
        Load(argument(0)),
        IfAtLeast(STANDARD, To::HighDescriptor, To::HandOver),
        Label(To::HighDescriptor),
        IfAtLeast(first, To::Next, To::Allow),
        IfAtLeast(end, To::Allow, To::HandOver),
        Label(To::Allow),
        Return(SECCOMP_RET_ALLOW),
        Label(To::HandOver),
        Return(SECCOMP_RET_USER_NOTIF),
        Label(To::Killed),
        Return(SECCOMP_RET_KILL_PROCESS),
        Label(To::NoSuchCall),
        Return(SECCOMP_RET_ERRNO | ENOSYS.unsigned_abs()),
        Label(To::NoSuchFamily),
        Return(SECCOMP_RET_ERRNO | EAFNOSUPPORT.unsigned_abs()),
        Label(To::Unfit),
        Return(SECCOMP_RET_ERRNO | EINVAL.unsigned_abs()),
    ]);
    lines
}

/// The program.
pub(crate) fn program() -> Vec<sock_filter> {
    let lines = lines();
    let mut places = Vec::new();
    let mut at = 0_usize;
    for line in &lines {
        match line {
            Line::Label(label) => places.push((*label, at)),
            _ => at += 1,
        }
    }
    let code = |bits: u32| u16::try_from(bits).unwrap_or(u16::MAX);
    let plain = |bits, k| sock_filter { code: code(bits), jt: 0, jf: 0, k };
    let mut program: Vec<sock_filter> = Vec::with_capacity(at);
    for line in lines {
        let here = program.len() + 1;
        let distance = |to: To| {
            let place = places.iter().find(|(label, _)| *label == to).map_or(here, |(_, place)| *place);
            u8::try_from(place - here).unwrap_or(u8::MAX)
        };
        let jump = |test, k, yes, no| sock_filter {
            code: code(BPF_JMP | test | BPF_K),
            jt: distance(yes),
            jf: distance(no),
            k,
        };
        program.push(match line {
            Line::Label(_) => continue,
            Line::Load(offset) => plain(BPF_LD | BPF_W | BPF_ABS, offset),
            Line::Return(action) => plain(BPF_RET | BPF_K, action),
            Line::IfIs(k, yes, no) => jump(BPF_JEQ, k, yes, no),
            Line::IfAtLeast(k, yes, no) => jump(BPF_JGE, k, yes, no),
        });
    }
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel does.
    fn verdict(arch: u32, number: u32, arguments: [u32; 6]) -> u32 {
        let program = program();
        let (mut at, mut a) = (0, 0);
        loop {
            let line = program[at];
            at += 1;
            let code = u32::from(line.code);
            if code == BPF_LD | BPF_W | BPF_ABS {
                a = match line.k {
                    NUMBER => number,
                    ARCH => arch,
                    k => arguments[(k as usize - 16) / 8],
                };
            } else if code == BPF_RET | BPF_K {
                return line.k;
            } else {
                let holds = if code == BPF_JMP | BPF_JEQ | BPF_K { a == line.k } else { a >= line.k };
                at += usize::from(if holds { line.jt } else { line.jf });
            }
        }
    }

    fn of(number: libc::c_long, first: i32, third: i32) -> u32 {
        let arguments = [first as u32, 0, third as u32, 0, 0, 0];
        verdict(ARCHITECTURE, number as u32, arguments)
    }

    const HANDED_OVER: u32 = SECCOMP_RET_USER_NOTIF;
    const ALLOWED: u32 = SECCOMP_RET_ALLOW;

    #[test]
    fn ipv4_sockets_are_handed_over_and_ipv6_ones_refused() {
        assert_eq!(of(libc::SYS_socket, AF_INET, 0), HANDED_OVER);
        assert_eq!(of(libc::SYS_socket, libc::AF_UNIX, 0), ALLOWED);
        assert_eq!(of(libc::SYS_socket, AF_INET6, 0), SECCOMP_RET_ERRNO | EAFNOSUPPORT as u32);
    }

    #[test]
    fn calls_on_files_stay_with_the_kernel() {
        for call in ON_A_DESCRIPTOR {
            for (descriptor, expected) in [
                (0, HANDED_OVER),
                (2, HANDED_OVER),
                (3, ALLOWED),
                (511, ALLOWED),
                (512, HANDED_OVER),
                (764, HANDED_OVER),
                (765, ALLOWED),
                (-1, ALLOWED),
            ] {
                assert_eq!(of(call, descriptor, 0), expected, "call {call} on {descriptor}");
            }
        }
        for call in [libc::SYS_close, libc::SYS_ppoll, libc::SYS_dup3, libc::SYS_openat] {
            assert_eq!(of(call, 600, 600), ALLOWED);
        }
    }

    #[test]
    fn ways_past_the_filter_are_closed() {
        assert_eq!(of(libc::SYS_io_uring_setup, 0, 0), SECCOMP_RET_ERRNO | ENOSYS as u32);
        assert_eq!(of(libc::SYS_splice, 600, 4), SECCOMP_RET_ERRNO | EINVAL as u32);
        assert_eq!(of(libc::SYS_splice, 4, 600), SECCOMP_RET_ERRNO | EINVAL as u32);
        assert_eq!(of(libc::SYS_splice, 4, 5), ALLOWED);
        assert_eq!(verdict(0x4000_0003, 1, [0; 6]), SECCOMP_RET_KILL_PROCESS);
        assert_eq!(verdict(ARCHITECTURE, X32 | 1, [0; 6]), SECCOMP_RET_ERRNO | ENOSYS as u32);
    }
}
