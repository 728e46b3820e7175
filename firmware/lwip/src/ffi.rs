//! The C side, as `c/shim.h` declares it, behind safe functions.
//!
//! Every function here is safe to call at any time after the start of the stack, from any thread:
//! buffers are slices, results are plain numbers, and a descriptor that is not (or no longer) open is
//! answered with `EBADF` by lwIP's own table.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::net::{Ipv4Addr, SocketAddrV4};

/// `struct esl_start`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub(crate) max_sockets: u32,
    pub(crate) max_active_tcp: u32,
    pub(crate) max_listening_tcp: u32,
    pub(crate) tcp_mss: u32,
    pub(crate) tcp_wnd: u32,
    pub(crate) tcp_snd_buf: u32,
    pub(crate) wnd_scale: u32,
    pub(crate) tcp_rcv_scale: u32,
    pub(crate) tcp_maxrtx: u32,
    pub(crate) tcp_synmaxrtx: u32,
    pub(crate) tcp_msl: u32,
    pub(crate) tcp_tmr_interval: u32,
    pub(crate) tcp_rto_time: u32,
    pub(crate) tcp_fin_wait_timeout: u32,
    pub(crate) tcp_recvmbox: u32,
    pub(crate) udp_recvmbox: u32,
    pub(crate) tcp_acceptmbox: u32,
    pub(crate) tcpip_recvmbox: u32,
    pub(crate) ip: u32,
    pub(crate) netmask: u32,
    pub(crate) gateway: u32,
    pub(crate) mac_low: u32,
    pub(crate) mac_high: u32,
    pub(crate) seed: u64,
}

/// `struct esl_pollfd`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollFd {
    pub(crate) fd: c_int,
    pub(crate) events: i16,
    pub(crate) revents: i16,
}

/// `enum esl_option`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    NonBlocking,
    NoDelay,
    KeepAlive,
    KeepIdleSeconds,
    KeepIntervalSeconds,
    KeepCount,
    ReceiveTimeoutMs,
    SendTimeoutMs,
    ReuseAddress,
    /// Seconds; a negative number switches lingering off.
    LingerSeconds,
    MulticastTtl,
}

pub(crate) const STATES: usize = 11;
pub(crate) const PROTOCOLS: usize = 6;

/// `struct esl_protocol_counts`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct ProtocolCounts {
    pub(crate) sent: u32,
    pub(crate) received: u32,
    pub(crate) dropped: u32,
    pub(crate) checksum_errors: u32,
    pub(crate) memory_errors: u32,
    pub(crate) other_errors: u32,
}

/// `struct esl_stats`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Stats {
    pub(crate) tcp_states: [u32; STATES],
    pub(crate) tcp_bound: u32,
    pub(crate) tcp_pcbs: u32,
    pub(crate) tcp_pcbs_refused: u32,
    pub(crate) elements_refused: u32,
    pub(crate) tcp_retransmitted: u32,
    pub(crate) tcp_resets_sent: u32,
    pub(crate) protocols: [ProtocolCounts; PROTOCOLS],
}

/// `struct esl_connection`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Connection {
    pub(crate) local_ip: u32,
    pub(crate) remote_ip: u32,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) state: u32,
}

mod c {
    #![expect(unsafe_code, reason = "declarations of c/shim.h")]
    use super::*;

    unsafe extern "C" {
        pub(crate) fn esl_start(start: *const Start) -> c_int;
        pub(crate) fn esl_input(frame: *const u8, len: usize) -> c_int;
        pub(crate) fn esl_get_stats(out: *mut Stats);
        pub(crate) fn esl_get_connections(out: *mut Connection, room: usize) -> usize;
        pub(crate) fn esl_version() -> *const c_char;
        pub(crate) safe fn esl_socket_tcp() -> c_int;
        pub(crate) safe fn esl_socket_udp() -> c_int;
        pub(crate) safe fn esl_bind(fd: c_int, ip: u32, port: u16) -> c_int;
        pub(crate) safe fn esl_listen(fd: c_int, backlog: c_int) -> c_int;
        pub(crate) fn esl_accept(fd: c_int, ip: *mut u32, port: *mut u16) -> c_int;
        pub(crate) safe fn esl_connect(fd: c_int, ip: u32, port: u16) -> c_int;
        pub(crate) fn esl_recv(fd: c_int, buf: *mut u8, len: usize, dont_wait: c_int) -> c_int;
        pub(crate) fn esl_send(fd: c_int, buf: *const u8, len: usize, dont_wait: c_int) -> c_int;
        pub(crate) fn esl_recv_from(
            fd: c_int,
            buf: *mut u8,
            len: usize,
            dont_wait: c_int,
            ip: *mut u32,
            port: *mut u16,
        ) -> c_int;
        pub(crate) fn esl_send_to(fd: c_int, buf: *const u8, len: usize, ip: u32, port: u16) -> c_int;
        pub(crate) safe fn esl_shutdown(fd: c_int, how: c_int) -> c_int;
        pub(crate) safe fn esl_abort(fd: c_int) -> c_int;
        pub(crate) safe fn esl_close(fd: c_int) -> c_int;
        pub(crate) safe fn esl_set(fd: c_int, option: c_int, value: c_int) -> c_int;
        pub(crate) safe fn esl_take_error(fd: c_int) -> c_int;
        pub(crate) fn esl_local_addr(fd: c_int, ip: *mut u32, port: *mut u16) -> c_int;
        pub(crate) fn esl_peer_addr(fd: c_int, ip: *mut u32, port: *mut u16) -> c_int;
        pub(crate) safe fn esl_join_multicast(fd: c_int, group: u32, interface: u32) -> c_int;
        pub(crate) fn esl_recv_flags(
            fd: c_int,
            buf: *mut u8,
            len: usize,
            peek: c_int,
            ip: *mut u32,
            port: *mut u16,
        ) -> c_int;
        pub(crate) fn esl_send_flags(
            fd: c_int,
            buf: *const u8,
            len: usize,
            dont_wait: c_int,
            more: c_int,
        ) -> c_int;
        pub(crate) safe fn esl_ready(fd: c_int) -> c_int;
        pub(crate) fn esl_set_linux_option(
            fd: c_int,
            level: c_int,
            name: c_int,
            value: *const u8,
            len: u32,
        ) -> c_int;
        pub(crate) fn esl_get_linux_option(
            fd: c_int,
            level: c_int,
            name: c_int,
            value: *mut u8,
            len: *mut u32,
        ) -> c_int;
        pub(crate) safe fn esl_unread(fd: c_int) -> c_int;
        pub(crate) safe fn esl_datagrams_open(port: u16) -> c_int;
        pub(crate) safe fn esl_datagrams_close();
        pub(crate) fn esl_datagrams_send(buf: *const u8, len: usize, ip: u32, port: u16) -> c_int;
        pub(crate) fn esl_announce(name: *const c_char, port: u16, strings: *const u8, len: usize) -> c_int;
        pub(crate) fn esl_announce_again(strings: *const u8, len: usize) -> c_int;
        pub(crate) fn esl_poll(fds: *mut PollFd, count: usize, timeout_ms: c_int) -> c_int;
        pub(crate) safe fn esl_poll_sem() -> *mut c_void;
        pub(crate) fn esl_poll_sem_signal(sem: *mut c_void);
        pub(crate) safe fn esl_poll_sem_clear();
        pub(crate) safe fn esl_thread_is_no_task();
        #[cfg(test)]
        pub(crate) safe fn esl_size_of(which: c_int) -> usize;
    }
}

pub(crate) use c::{esl_abort as abort, esl_shutdown as shutdown, esl_take_error as take_error};
pub(crate) use c::{esl_close as close, esl_listen as listen, esl_poll_sem_clear as clear_poll_semaphore};
pub(crate) use c::{esl_socket_tcp as socket_tcp, esl_socket_udp as socket_udp};

pub(crate) use c::{esl_datagrams_close as datagrams_close, esl_datagrams_open as datagrams_open};
pub(crate) use c::{esl_ready as ready, esl_thread_is_no_task as thread_is_no_task, esl_unread as unread};

/// An address as the C side has it: its four bytes in the order of the network.
pub(crate) fn ip_number(ip: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(ip.octets())
}

/// The other way round.
pub(crate) fn socket_addr(ip: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from(ip.to_ne_bytes()), port)
}

/// Starts lwIP. To be called once in the life of a process, after the heap was made.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn start(start: &Start) -> c_int {
    // SAFETY: the structure is read during the call; `Stack::start` makes sure of the single call.
    unsafe { c::esl_start(start) }
}

/// Hands a frame to lwIP, which copies it.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn input(frame: &[u8]) -> c_int {
    // SAFETY: pointer and length are those of a slice.
    unsafe { c::esl_input(frame.as_ptr(), frame.len()) }
}

/// Counters, collected in the tcpip thread.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn stats() -> Stats {
    let mut out = Stats::default();
    // SAFETY: the call waits until the tcpip thread has filled the structure.
    unsafe { c::esl_get_stats(&raw mut out) };
    out
}

/// Fills `out` with connections and gives how many there are, which may be more than fit.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn connections(out: &mut [Connection]) -> usize {
    // SAFETY: at most `out.len()` entries are written, and before the call returns.
    unsafe { c::esl_get_connections(out.as_mut_ptr(), out.len()) }
}

/// lwIP's version.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn version() -> &'static str {
    // SAFETY: the C side returns a string literal.
    let text = unsafe { CStr::from_ptr(c::esl_version()) };
    text.to_str().unwrap_or("unknown")
}

/// Binds a socket; the unspecified address is any.
pub(crate) fn bind(fd: c_int, addr: SocketAddrV4) -> c_int {
    c::esl_bind(fd, ip_number(*addr.ip()), addr.port())
}

/// Connects a socket.
pub(crate) fn connect(fd: c_int, addr: SocketAddrV4) -> c_int {
    c::esl_connect(fd, ip_number(*addr.ip()), addr.port())
}

/// Joins a multicast group on the interface that has the address.
pub(crate) fn join_multicast(fd: c_int, group: Ipv4Addr, interface: Ipv4Addr) -> c_int {
    c::esl_join_multicast(fd, ip_number(group), ip_number(interface))
}

/// Sets a socket option.
pub(crate) fn set(fd: c_int, setting: Setting, value: c_int) -> c_int {
    c::esl_set(fd, setting as c_int, value)
}

/// Accepts a connection: the new descriptor and the peer.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn accept(fd: c_int) -> (c_int, SocketAddrV4) {
    let (mut ip, mut port) = (0, 0);
    // SAFETY: both places are valid during the call.
    let ret = unsafe { c::esl_accept(fd, &raw mut ip, &raw mut port) };
    (ret, socket_addr(ip, port))
}

/// Receives into a buffer.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn recv(fd: c_int, buf: &mut [u8], dont_wait: bool) -> c_int {
    // SAFETY: pointer and length are those of a slice.
    unsafe { c::esl_recv(fd, buf.as_mut_ptr(), capped(buf.len()), c_int::from(dont_wait)) }
}

/// Sends from a buffer.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn send(fd: c_int, buf: &[u8], dont_wait: bool) -> c_int {
    // SAFETY: pointer and length are those of a slice.
    unsafe { c::esl_send(fd, buf.as_ptr(), capped(buf.len()), c_int::from(dont_wait)) }
}

/// Receives a datagram and its sender.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn recv_from(fd: c_int, buf: &mut [u8], dont_wait: bool) -> (c_int, SocketAddrV4) {
    let (mut ip, mut port) = (0, 0);
    // SAFETY: pointer and length are those of a slice, both places are valid during the call.
    let ret = unsafe {
        c::esl_recv_from(
            fd,
            buf.as_mut_ptr(),
            capped(buf.len()),
            c_int::from(dont_wait),
            &raw mut ip,
            &raw mut port,
        )
    };
    (ret, socket_addr(ip, port))
}

/// Receives without waiting, by the flags of a foreign program.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn recv_flags(fd: c_int, buf: &mut [u8], peek: bool) -> (c_int, SocketAddrV4) {
    let (mut ip, mut port) = (0, 0);
    let len = capped(buf.len());
    // SAFETY: pointer and length are those of a slice, both places are valid during the call.
    let ret = unsafe {
        c::esl_recv_flags(fd, buf.as_mut_ptr(), len, c_int::from(peek), &raw mut ip, &raw mut port)
    };
    (ret, socket_addr(ip, port))
}

/// Sends by the flags of a foreign program.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn send_flags(fd: c_int, buf: &[u8], dont_wait: bool, more: bool) -> c_int {
    let len = capped(buf.len());
    // SAFETY: pointer and length are those of a slice.
    unsafe { c::esl_send_flags(fd, buf.as_ptr(), len, c_int::from(dont_wait), c_int::from(more)) }
}

/// Sets an option by Linux's numbers.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn set_linux_option(fd: c_int, level: c_int, name: c_int, value: &[u8]) -> c_int {
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    // SAFETY: pointer and length are those of a slice, of which the C side copies what it has room for.
    unsafe { c::esl_set_linux_option(fd, level, name, value.as_ptr(), len) }
}

/// Reads an option by Linux's numbers: the result, and how long the value is.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn get_linux_option(fd: c_int, level: c_int, name: c_int, value: &mut [u8]) -> (c_int, usize) {
    let mut len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    // SAFETY: pointer and length are those of a slice; lwIP writes no more than the length it is given.
    let ret = unsafe { c::esl_get_linux_option(fd, level, name, value.as_mut_ptr(), &raw mut len) };
    (ret, (len as usize).min(value.len()))
}

/// Sends a datagram without a socket.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn datagrams_send(buf: &[u8], to: SocketAddrV4) -> c_int {
    // SAFETY: pointer and length are those of a slice; the call waits until the tcpip thread has copied it.
    unsafe { c::esl_datagrams_send(buf.as_ptr(), buf.len(), ip_number(*to.ip()), to.port()) }
}

/// Announces the device.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn announce(name: &CStr, port: u16, strings: &[u8]) -> c_int {
    // SAFETY: the name ends in a zero, pointer and length are those of a slice; the call waits until the tcpip thread has
    // copied both.
    unsafe { c::esl_announce(name.as_ptr(), port, strings.as_ptr(), strings.len()) }
}

/// Announces it again, with something else to say.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn announce_again(strings: &[u8]) -> c_int {
    // SAFETY: pointer and length are those of a slice; the call waits until the tcpip thread has copied it.
    unsafe { c::esl_announce_again(strings.as_ptr(), strings.len()) }
}

/// Sends a datagram.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn send_to(fd: c_int, buf: &[u8], to: SocketAddrV4) -> c_int {
    // SAFETY: pointer and length are those of a slice.
    unsafe { c::esl_send_to(fd, buf.as_ptr(), buf.len(), ip_number(*to.ip()), to.port()) }
}

/// The local address.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn local_addr(fd: c_int) -> (c_int, SocketAddrV4) {
    let (mut ip, mut port) = (0, 0);
    // SAFETY: both places are valid during the call.
    let ret = unsafe { c::esl_local_addr(fd, &raw mut ip, &raw mut port) };
    (ret, socket_addr(ip, port))
}

/// The peer's address.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn peer_addr(fd: c_int) -> (c_int, SocketAddrV4) {
    let (mut ip, mut port) = (0, 0);
    // SAFETY: both places are valid during the call.
    let ret = unsafe { c::esl_peer_addr(fd, &raw mut ip, &raw mut port) };
    (ret, socket_addr(ip, port))
}

/// Waits for one of the descriptors; a negative time-out waits for ever.
#[expect(unsafe_code, reason = "call into C")]
pub(crate) fn poll(fds: &mut [PollFd], timeout_ms: c_int) -> c_int {
    // lwIP wants a null pointer for an empty set.
    let first = if fds.is_empty() { std::ptr::null_mut() } else { fds.as_mut_ptr() };
    // SAFETY: pointer and length are those of a slice; lwIP takes it off its list before returning.
    unsafe { c::esl_poll(first, fds.len(), timeout_ms) }
}

/// The semaphore that the calling thread waits on in [`poll`].
#[derive(Debug)]
pub(crate) struct PollSemaphore(*mut c_void);

// SAFETY: the C side guards a semaphore by a mutex of its own; `poll.rs` keeps one of these only while
// the thread it belongs to is inside a wait.
#[expect(unsafe_code, reason = "signalled from another thread")]
unsafe impl Send for PollSemaphore {}

impl PollSemaphore {
    /// That of this thread.
    pub(crate) fn of_this_thread() -> Self {
        Self(c::esl_poll_sem())
    }

    /// Ends the wait.
    #[expect(unsafe_code, reason = "call into C")]
    pub(crate) fn signal(&self) {
        // SAFETY: the owner is inside a wait (see `poll.rs`), so its semaphore exists.
        unsafe { c::esl_poll_sem_signal(self.0) };
    }
}

/// lwIP counts lengths of TCP calls in an `int`.
fn capped(len: usize) -> usize {
    len.min(c_int::MAX as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_on_the_size_of_every_structure() {
        let here = [
            size_of::<Start>(),
            size_of::<PollFd>(),
            size_of::<ProtocolCounts>(),
            size_of::<Stats>(),
            size_of::<Connection>(),
        ];
        assert_eq!(here, [0, 1, 2, 3, 4].map(|n| c::esl_size_of(n)));
    }
}
