//! The kernel's notification descriptor (seccomp_unotify(2)): install the filter, receive a call, answer it, install a
//! descriptor in the caller. All of this crate's unsafe code is here.

#![expect(unsafe_code, reason = "system calls without a safe wrapper")]

use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{io, ptr};

use libc::{c_int, c_ulong, sock_filter};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::filter::DESCRIPTORS;

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    id: u64,
    /// The thread that made it.
    pub(crate) thread: i32,
    /// Which call.
    pub(crate) number: i64,
    /// Its arguments.
    pub(crate) arguments: [u64; 6],
}

impl Call {
    /// One that nobody has made.
    #[cfg(feature = "fuzzing")]
    pub(crate) const fn made_up(thread: i32, number: i64, arguments: [u64; 6]) -> Self {
        Self { id: 0, thread, number, arguments }
    }

    /// An argument that is an `int`.
    pub(crate) const fn int(&self, index: usize) -> i32 {
        // The upper half of a register is not part of an int.
        self.arguments[index] as u32 as i32
    }

    /// The descriptor that it is made on.
    pub(crate) const fn descriptor(&self) -> i32 {
        self.int(0)
    }
}

/// What the kernel writes or reads may be longer in a newer kernel than it is here.
#[repr(C)]
struct Roomy<T> {
    known: T,
    rest: [u64; 16],
}

impl<T: Copy> Roomy<T> {
    fn zeroed() -> Self {
        // SAFETY: T is one of the kernel's structures of integers, for which all zeros is a value.
        unsafe { zeroed() }
    }
}

/// The notification descriptor.
#[derive(Debug)]
pub(crate) struct Listener(OwnedFd);

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Listener {
    fn ioctl<T>(&self, request: c_ulong, argument: *mut T) -> io::Result<c_int> {
        // SAFETY: every request here is one of seccomp's, and `argument` points to the structure that it takes, with
        // room for a longer one where the kernel's may be longer.
        let ret = unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) };
        if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(ret) }
    }

    /// Wakes the caller on this processor as soon as it is answered; a kernel before 6.6 does it less well.
    pub(crate) fn wake_synchronously(&self) {
        const SYNCHRONOUS: usize = 1;
        // The argument is the value itself.
        let _ = self.ioctl(
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS as c_ulong,
            ptr::without_provenance_mut::<u64>(SYNCHRONOUS),
        );
    }

    /// The next call; `None` when it is gone again, as its caller was interrupted.
    pub(crate) fn receive(&self) -> io::Result<Option<Call>> {
        let mut got = Roomy::<libc::seccomp_notif>::zeroed();
        match self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV as c_ulong, &raw mut got) {
            Ok(_) => {
                let got = got.known;
                Ok(Some(Call {
                    id: got.id,
                    thread: got.pid.cast_signed(),
                    number: got.data.nr.into(),
                    arguments: got.data.args,
                }))
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Answers with a value, or with an error's number. False if nobody waits for it any more.
    pub(crate) fn answer(&self, call: &Call, result: Result<i64, i32>) -> bool {
        let (val, error) = match result {
            Ok(value) => (value, 0),
            Err(errno) => (0, -errno),
        };
        self.respond(libc::seccomp_notif_resp { id: call.id, val, error, flags: 0 })
    }

    /// Lets the kernel carry the call out.
    pub(crate) fn pass_on(&self, call: &Call) {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        self.respond(libc::seccomp_notif_resp { id: call.id, val: 0, error: 0, flags });
    }

    fn respond(&self, response: libc::seccomp_notif_resp) -> bool {
        let mut roomy = Roomy { known: response, rest: [0; 16] };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND as c_ulong, &raw mut roomy).is_ok()
    }

    /// Whether somebody still waits for the answer.
    pub(crate) fn is_waited_for(&self, call: &Call) -> bool {
        let mut id = call.id;
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID as c_ulong, &raw mut id).is_ok()
    }

    /// Installs a copy of `descriptor` in the caller as `number` and answers with that number, in one.
    pub(crate) fn hand_over(
        &self,
        call: &Call,
        descriptor: BorrowedFd<'_>,
        number: i32,
        close_on_exec: bool,
    ) -> io::Result<()> {
        let mut request = libc::seccomp_notif_addfd {
            id: call.id,
            flags: (libc::SECCOMP_ADDFD_FLAG_SETFD | libc::SECCOMP_ADDFD_FLAG_SEND) as u32,
            srcfd: descriptor.as_raw_fd().cast_unsigned(),
            newfd: number.cast_unsigned(),
            newfd_flags: if close_on_exec { libc::O_CLOEXEC.cast_unsigned() } else { 0 },
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD as c_ulong, &raw mut request).map(drop)
    }
}

/// Makes `command` put the filter in force in the child before it executes the program, and send the notification
/// descriptor through `channel`.
pub(crate) fn arm(command: &mut Command, filter: Vec<sock_filter>, channel: OwnedFd) {
    let arm = move || {
        // A session of its own: a Ctrl-C at the host's terminal is the host's.
        nix::unistd::setsid()?;
        control_terminal();
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        make_room_for_descriptors()?;
        let listener = install(&filter)?;
        send(channel.as_fd(), listener.as_fd())
    };
    // SAFETY: between fork and exec the closure only makes system calls on memory that it owns or that lies on its
    // stack: it allocates nothing and takes no lock.
    unsafe { command.pre_exec(arm) };
}

/// The terminal on standard output is the session's: when the twin dies, the kernel hangs it up, which ends the processes
/// that the program has forked as well.
fn control_terminal() {
    // SAFETY: the call takes plain numbers. Without a controlling terminal the program runs as well.
    unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCSCTTY as _, 0) };
}

/// Descriptors are installed by number, which the soft limit has to allow.
fn make_room_for_descriptors() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let needed = DESCRIPTORS.end.unsigned_abs().into();
    if soft < needed && hard >= needed {
        setrlimit(Resource::RLIMIT_NOFILE, needed, hard)?;
    }
    Ok(())
}

fn install(filter: &[sock_filter]) -> io::Result<OwnedFd> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap_or(u16::MAX),
        filter: filter.as_ptr().cast_mut(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: prctl takes plain numbers; the kernel reads the program, whose pointer and length are those of a slice.
    let ret = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
            return Err(io::Error::last_os_error());
        }
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(ret).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: the kernel has just given this descriptor to this process.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Room for one descriptor's control message, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 32]);

fn send(channel: BorrowedFd<'_>, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut control = Control([0; 32]);
    let mut byte = 0_u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: CMSG_SPACE and CMSG_LEN compute; the header lies in `control`, which has room for one descriptor
    // (24 bytes of 32); everything pointed to lives until the call returns.
    let sent = unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as _;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast(), descriptor.as_raw_fd());
        libc::sendmsg(channel.as_raw_fd(), &raw const message, 0)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The notification descriptor that the child has sent.
pub(crate) fn take(channel: BorrowedFd<'_>) -> io::Result<Listener> {
    let mut control = Control([0; 32]);
    let mut byte = 0_u8;
    let mut part = libc::iovec { iov_base: (&raw mut byte).cast(), iov_len: 1 };
    // SAFETY: as for sending; a descriptor is read only if the kernel says that there is one, and it is this
    // process's alone.
    unsafe {
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = (&raw mut control).cast();
        message.msg_controllen = size_of::<Control>() as _;
        if libc::recvmsg(channel.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC) < 0 {
            return Err(io::Error::last_os_error());
        }
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::Error::from_raw_os_error(libc::EPROTO));
        }
        let fd: RawFd = ptr::read_unaligned(libc::CMSG_DATA(header).cast());
        Ok(Listener(OwnedFd::from_raw_fd(fd)))
    }
}
