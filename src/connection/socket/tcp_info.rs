//! What the host's stack tells of a connection (TCP_INFO, SIOCOUTQ).

use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;

use espstress_event::TcpSample;

/// Bytes that this host has taken and the peer's stack has not acknowledged (SIOCOUTQ, tcp(7)).
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "SIOCOUTQ has no safe binding")]
pub(super) fn unacknowledged(stream: &impl AsFd) -> Option<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open for the call, and this request (SIOCOUTQ is another name of it) writes one int.
    let result = unsafe { libc::ioctl(stream.as_fd().as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    (result == 0).then(|| u64::try_from(bytes).unwrap_or(0))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn unacknowledged(_: &impl AsFd) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
pub(super) fn tcp_info(stream: &impl AsFd) -> Option<TcpSample> {
    let info = whole_tcp_info(stream)?;
    Some(TcpSample { rtt_us: info.tcpi_rtt, retransmissions: info.tcpi_total_retrans, lost: info.tcpi_lost })
}

/// Whether the peer's stack has acknowledged this host's FIN; `None` where the system does not tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn fin_acknowledged(stream: &impl AsFd) -> Option<bool> {
    /// `TCP_FIN_WAIT1`, `TCP_CLOSING` and `TCP_LAST_ACK` of Linux's `net/tcp_states.h`: a FIN is on its way.
    const UNACKNOWLEDGED: [u8; 3] = [4, 11, 9];
    /// `TCP_ESTABLISHED` and `TCP_CLOSE_WAIT`: there was none.
    const NOT_SENT: [u8; 2] = [1, 8];
    let state = whole_tcp_info(stream)?.tcpi_state;
    (!NOT_SENT.contains(&state)).then(|| !UNACKNOWLEDGED.contains(&state))
}

/// Not to be had on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn fin_acknowledged(_: &impl AsFd) -> Option<bool> {
    None
}

/// How long ago at least the last segment with an acknowledgement came, which a FIN is; `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn last_heard(stream: &impl AsFd) -> Option<std::time::Duration> {
    /// The kernel counts in ticks of its clock, of 10 ms at most (CONFIG_HZ): it was no sooner than that.
    const TICK: std::time::Duration = std::time::Duration::from_millis(10);
    let ago = std::time::Duration::from_millis(whole_tcp_info(stream)?.tcpi_last_ack_recv.into());
    Some(ago.saturating_sub(TICK))
}

/// Not to be had on this system.
#[cfg(not(target_os = "linux"))]
pub(super) fn last_heard(_: &impl AsFd) -> Option<std::time::Duration> {
    None
}

/// Whether the peer's stack has acknowledged all that was written; `None` where the system does not tell.
#[cfg(target_os = "linux")]
#[must_use]
pub fn all_acknowledged(stream: &impl AsFd) -> Option<bool> {
    let info = whole_tcp_info(stream)?;
    Some(info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0)
}

/// Not to be had on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn all_acknowledged(_: &impl AsFd) -> Option<bool> {
    None
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "TCP_INFO has no safe binding")]
fn whole_tcp_info(stream: &impl AsFd) -> Option<libc::tcp_info> {
    use std::mem::MaybeUninit;
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for the call; the buffer is valid for `length` bytes, and the kernel writes
    // at most that many.
    let result = unsafe {
        libc::getsockopt(
            stream.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return None;
    }
    // SAFETY: the memory was zeroed and the structure holds integers only, so every byte pattern is a value.
    Some(unsafe { info.assume_init() })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn tcp_info(_: &impl AsFd) -> Option<TcpSample> {
    None
}
