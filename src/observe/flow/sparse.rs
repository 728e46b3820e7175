//! Bytes of which half are zero, in less room: for every eight a byte whose bits say which of them are not zero, and those.

/// Writes `plain` to `room`, in place of what was there. Its length is not kept: who reads it knows what to read.
pub(super) fn squeeze(plain: &[u8], room: &mut Vec<u8>) {
    room.clear();
    for eight in plain.chunks(8) {
        // No branch depends on a byte: what is zero is written over by the next.
        let (mut bits, mut count, mut kept) = (0, 0, [0; 8]);
        for (n, byte) in eight.iter().enumerate() {
            kept[count] = *byte;
            let some = *byte != 0;
            bits |= u8::from(some) << n;
            count += usize::from(some);
        }
        room.push(bits);
        room.extend_from_slice(&kept[..count]);
    }
}

/// Reads them again, and zeros behind the end.
pub(super) struct Expand<'a> {
    squeezed: &'a [u8],
    bits: u8,
    left: u8,
}

impl<'a> Expand<'a> {
    pub(super) const fn new(squeezed: &'a [u8]) -> Self {
        Self { squeezed, bits: 0, left: 0 }
    }

    pub(super) fn byte(&mut self) -> u8 {
        if self.left == 0 {
            self.bits = self.kept();
            self.left = 8;
        }
        let some = self.bits & 1 != 0;
        self.bits >>= 1;
        self.left -= 1;
        if some { self.kept() } else { 0 }
    }

    fn kept(&mut self) -> u8 {
        let (first, rest) = self.squeezed.split_first().unwrap_or((&0, &[]));
        self.squeezed = rest;
        *first
    }

    /// Whether nothing but zeros follows.
    #[cfg(test)]
    pub(super) const fn is_over(&self) -> bool {
        self.squeezed.is_empty() && self.bits == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_are_what_they_were(plain in vec(prop_oneof![Just(0), any::<u8>()], 0..100)) {
            let mut squeezed = vec![7; 3];
            squeeze(&plain, &mut squeezed);
            let some = plain.iter().filter(|byte| **byte != 0).count();
            prop_assert_eq!(squeezed.len(), plain.len().div_ceil(8) + some);
            let mut again = Expand::new(&squeezed);
            prop_assert!(plain.iter().all(|byte| again.byte() == *byte));
            prop_assert!(again.is_over());
            prop_assert_eq!(again.byte(), 0);
        }

        #[test]
        fn whatever_is_read_ends(hostile in vec(any::<u8>(), 0..40)) {
            let mut bytes = Expand::new(&hostile);
            (0..9 * hostile.len()).for_each(|_| { bytes.byte(); });
            prop_assert!(bytes.is_over());
        }
    }
}
