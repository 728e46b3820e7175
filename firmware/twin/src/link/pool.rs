//! Storage for frames in flight, recycled: no allocation per frame once the link has been as full as it gets.

/// Place of a frame in the pool.
pub(super) type Slot = u32;

#[derive(Debug, Default)]
pub(super) struct Pool {
    frames: Vec<Vec<u8>>,
    free: Vec<Slot>,
}

impl Pool {
    /// Keeps a copy of `frame`.
    pub(super) fn store(&mut self, frame: &[u8]) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.frames.push(Vec::with_capacity(frame.len().max(TYPICAL)));
            (self.frames.len() - 1) as Slot
        });
        if let Some(place) = self.frames.get_mut(slot as usize) {
            place.clear();
            place.extend_from_slice(frame);
        }
        slot
    }

    /// The bytes at `slot`.
    pub(super) fn bytes(&self, slot: Slot) -> &[u8] {
        self.frames.get(slot as usize).map_or(&[], Vec::as_slice)
    }

    /// Gives the place back.
    pub(super) fn release(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// Places that were ever needed at once.
    #[cfg(test)]
    pub(super) fn places(&self) -> usize {
        self.frames.len()
    }
}

/// Room for a full Ethernet frame, so that a place is allocated once.
const TYPICAL: usize = 1_536;
