//! Between driver and stack: the sockets' tasks have their turn before the next SYN is looked at.
//!
//! smoltcp takes all frames that the driver has before any task of a socket runs. Of a handful of SYNs in one go, those
//! beyond the listeners of that port would be refused, although there are sockets that could listen there.

use core::cell::Cell;
use core::task::Context;

use embassy_net::driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken};

/// Turns of all tasks after a SYN: the socket's own, which gives up its part as listener; that of the socket that takes
/// its place; and one for an executor that runs its tasks in another order.
const TURNS: u8 = 3;

/// A driver that gives others their turn after each SYN.
pub struct Turns<D> {
    driver: D,
    left: Cell<u8>,
}

impl<D: Driver> Turns<D> {
    /// Around this driver.
    pub const fn new(driver: D) -> Self {
        Self { driver, left: Cell::new(0) }
    }
}

impl<D: Driver> Driver for Turns<D> {
    type RxToken<'a>
        = Seen<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = D::TxToken<'a>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            cx.waker().wake_by_ref();
            return None;
        }
        let (frame, answer) = self.driver.receive(cx)?;
        Some((Seen { frame, left: &self.left }, answer))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.driver.transmit(cx)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.driver.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.driver.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.driver.hardware_address()
    }
}

/// A received frame that is looked at on its way.
pub struct Seen<'a, T> {
    frame: T,
    left: &'a Cell<u8>,
}

impl<T: RxToken> RxToken for Seen<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, look: F) -> R {
        let left = self.left;
        self.frame.consume(|frame| {
            if is_syn(frame) {
                left.set(TURNS);
            }
            look(frame)
        })
    }
}

/// Whether an Ethernet frame opens a TCP connection: IPv4 (RFC 791), protocol 6, SYN without ACK (RFC 9293).
fn is_syn(frame: &[u8]) -> bool {
    let is_ipv4 = frame.get(12..14) == Some(&[0x08, 0x00]);
    let Some((&first, packet)) = frame.get(14..).and_then(|packet| Some((packet.first()?, packet))) else {
        return false;
    };
    let header = usize::from(first & 0x0F) * 4;
    let flags = packet.get(header + 13).copied().unwrap_or(0);
    is_ipv4 && packet.get(9) == Some(&6) && flags & 0x12 == 0x02
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP segment with these flags.
    fn segment(flags: u8) -> [u8; 54] {
        let mut frame = [0; 54];
        (frame[12], frame[14], frame[23], frame[47]) = (0x08, 0x45, 6, flags);
        frame
    }

    #[test]
    fn a_syn_is_told_from_all_else() {
        assert!(is_syn(&segment(0x02)));
        assert!(!is_syn(&segment(0x12)) && !is_syn(&segment(0x10)) && !is_syn(&segment(0x04)));
        let mut datagram = segment(0x02);
        datagram[23] = 17;
        assert!(!is_syn(&datagram));
    }

    #[test]
    fn cut_frames_are_no_syns() {
        let whole = segment(0x02);
        for len in 0..48 {
            assert!(!is_syn(&whole[..len]), "{len} bytes");
        }
        assert!(!is_syn(&[0xFF; 60]));
    }
}
