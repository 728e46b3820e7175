//! Frames between the link and smoltcp: what a Wi-Fi driver is on a board.
//!
//! The link's thread puts frames into a queue of fixed length, the stack's task takes them out. Their memory goes back
//! and forth between the queue and the stack.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};

use espstress_embassy::driver::{self, Capabilities, Driver, HardwareAddress, LinkState};
use espstress_lwip::Dropped;

use crate::air::{Air, Station};

/// Longest Ethernet frame without checksum.
const FRAME_LEN: usize = 1_514;

/// Frames that wait for the stack, as in esp-radio's own queue of received frames.
const QUEUE_LEN: usize = 5;

struct Queue {
    waiting: VecDeque<Vec<u8>>,
    free: Vec<Vec<u8>>,
    reader: Option<Waker>,
}

/// The link's end.
#[derive(Clone)]
pub(crate) struct Inbox(Arc<Mutex<Queue>>);

/// The stack's end.
pub(crate) struct Radio {
    inbox: Inbox,
    air: Arc<Air>,
    mac: [u8; 6],
    outgoing: [u8; FRAME_LEN],
}

/// Both ends.
pub(crate) fn radio(air: Arc<Air>, mac: [u8; 6]) -> (Inbox, Radio) {
    // One more than can wait: the one that the stack is looking at.
    let free = (0..=QUEUE_LEN).map(|_| Vec::with_capacity(FRAME_LEN)).collect();
    let queue = Queue { waiting: VecDeque::with_capacity(QUEUE_LEN), free, reader: None };
    let inbox = Inbox(Arc::new(Mutex::new(queue)));
    (inbox.clone(), Radio { inbox, air, mac, outgoing: [0; FRAME_LEN] })
}

impl Inbox {
    fn with<R>(&self, work: impl FnOnce(&mut Queue) -> R) -> R {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Station for Inbox {
    fn input(&self, frame: &[u8]) -> Result<(), Dropped> {
        if frame.len() > FRAME_LEN {
            return Err(Dropped::Malformed);
        }
        let reader = self.with(|queue| {
            let full = queue.waiting.len() == QUEUE_LEN;
            let mut place = queue.free.pop().filter(|_| !full).ok_or(Dropped::MailboxFull)?;
            place.clear();
            place.extend_from_slice(frame);
            queue.waiting.push_back(place);
            Ok(queue.reader.take())
        })?;
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }
}

impl Driver for Radio {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Outgoing<'_>)> {
        let frame = self.inbox.with(|queue| {
            let frame = queue.waiting.pop_front();
            if frame.is_none() {
                queue.reader = Some(cx.waker().clone());
            }
            frame
        })?;
        let outgoing = Outgoing { air: &self.air, space: &mut self.outgoing };
        Some((Received { inbox: &self.inbox, frame }, outgoing))
    }

    fn transmit(&mut self, _cx: &mut Context<'_>) -> Option<Outgoing<'_>> {
        Some(Outgoing { air: &self.air, space: &mut self.outgoing })
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        // An outage is the link model's: the stack's addresses stay, as in a station that joins again.
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_LEN;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.mac)
    }
}

/// A frame for the stack.
pub(crate) struct Received<'a> {
    inbox: &'a Inbox,
    frame: Vec<u8>,
}

impl driver::RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, look: F) -> R {
        look(&mut self.frame)
    }
}

impl Drop for Received<'_> {
    fn drop(&mut self) {
        self.inbox.with(|queue| queue.free.push(std::mem::take(&mut self.frame)));
    }
}

/// Room for a frame of the stack.
pub(crate) struct Outgoing<'a> {
    air: &'a Air,
    space: &'a mut [u8; FRAME_LEN],
}

impl driver::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        // The stack has been told the longest there is.
        let frame = &mut self.space[..len];
        let result = fill(frame);
        self.air.take_out(frame);
        result
    }
}
