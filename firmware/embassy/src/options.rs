//! Options of the stack that matter for what is seen on the wire, read from what the stack was given: the driver's
//! capabilities and the buffers of its sockets.
//!
//! smoltcp has no call for them. What it makes of its input is short enough to be repeated here, and
//! `tests/wire.rs` holds it to the SYN-ACK.

use embassy_net::driver::Capabilities;
use embassy_time::Duration;

use crate::digits::decimal;
use crate::slot::{FIN_WAIT, TIME_WAIT};

/// Headers without options, in bytes: Ethernet, IPv4 (RFC 791), TCP (RFC 9293).
const ETHERNET: usize = 14;
const IPV4: usize = 20;
const TCP: usize = 20;

/// Options of the stack, at most.
const STACK: usize = 7;

/// Options at most, those of the board included.
const ALL: usize = 16;

/// What the stack works with. Absent until it has been seen.
#[derive(Clone, Copy, Default)]
pub(crate) struct InForce {
    link: Option<Link>,
    socket: Option<Socket>,
}

#[derive(Clone, Copy)]
struct Link {
    /// Longest frame, the Ethernet header included.
    mtu: usize,
    /// Frames that the driver takes in one go.
    burst: Option<usize>,
}

#[derive(Clone, Copy)]
struct Socket {
    rx: usize,
    tx: usize,
}

impl InForce {
    pub(crate) fn with_link(self, link: &Capabilities) -> Self {
        let link = Link { mtu: link.max_transmission_unit, burst: link.max_burst_size };
        Self { link: Some(link), ..self }
    }

    pub(crate) fn with_socket(self, rx: usize, tx: usize) -> Self {
        Self { socket: Some(Socket { rx, tx }), ..self }
    }

    /// The segment that a SYN announces: smoltcp's `ip_mtu` without the headers (`socket/tcp.rs`, RFC 6691).
    fn mss(&self) -> Option<usize> {
        self.link?.mtu.checked_sub(ETHERNET + IPV4 + TCP)
    }

    /// The window of an idle connection: the receive buffer, but no more than a driver takes in one go. A SYN-ACK has
    /// less by its options for each frame of a burst (smoltcp's `iface/packet.rs`).
    fn window(&self) -> Option<usize> {
        let Link { mtu, burst } = self.link?;
        // A field of 16 bits, which buffers of these sizes do not scale.
        let window = self.socket?.rx.min(usize::from(u16::MAX));
        let Some(burst) = burst else {
            return Some(window);
        };
        Some(window.min(burst.saturating_mul(mtu.checked_sub(IPV4 + TCP)?)))
    }

    /// Hands over these options and then the board's own, as far as they fit.
    pub(crate) fn with_names<R>(
        &self,
        pool: usize,
        own: &[(&str, &str)],
        use_them: impl FnOnce(&[(&str, &str)]) -> R,
    ) -> R {
        let ms = |time: Duration| usize::try_from(time.as_millis()).ok();
        let numbers: [(&str, Option<usize>); STACK - 1] = [
            ("TCP_WND", self.window()),
            ("TCP_SND_BUF", self.socket.map(|socket| socket.tx)),
            ("TCP_MSS", self.mss()),
            ("TIME_WAIT_MS", ms(TIME_WAIT)),
            ("FIN_WAIT_MS", ms(FIN_WAIT)),
            ("POOL", Some(pool)),
        ];
        let mut digits = [[0; 10]; STACK - 1];
        let mut all = [("", ""); ALL];
        let mut len = 0;
        let known = numbers.iter().zip(&mut digits).filter_map(|(&(name, number), digits)| {
            Some((name, decimal(u32::try_from(number?).ok()?, digits)))
        });
        for (place, option) in
            all.iter_mut().zip(known.chain([("BACKLOG", "none")]).chain(own.iter().copied()))
        {
            *place = option;
            len += 1;
        }
        use_them(&all[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn told(in_force: InForce) -> Vec<(String, String)> {
        in_force.with_names(12, &[("chip", "ESP32-C3")], |options| {
            options.iter().map(|&(name, value)| (name.to_string(), value.to_string())).collect()
        })
    }

    #[test]
    fn what_has_not_been_seen_yet_is_not_told() {
        let names: Vec<_> = told(InForce::default()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["TIME_WAIT_MS", "FIN_WAIT_MS", "POOL", "BACKLOG", "chip"]);
    }

    #[test]
    fn a_short_mtu_and_a_burst_make_segment_and_window_smaller() {
        // What esp-radio has without our settings.
        let mut link = Capabilities::default();
        (link.max_transmission_unit, link.max_burst_size) = (1_492, Some(3));
        let told = told(InForce::default().with_link(&link).with_socket(5_760, 2_920));
        let has = |name: &str, value: &str| told.contains(&(name.to_string(), value.to_string()));
        assert!(has("TCP_MSS", "1438") && has("TCP_WND", "4356") && has("TCP_SND_BUF", "2920"), "{told:?}");
    }

    #[test]
    fn a_link_that_carries_no_segment_has_none() {
        let mut link = Capabilities::default();
        (link.max_transmission_unit, link.max_burst_size) = (20, Some(usize::MAX));
        let in_force = InForce::default().with_link(&link).with_socket(5_760, 2_920);
        assert_eq!((in_force.mss(), in_force.window()), (None, None));
    }
}
