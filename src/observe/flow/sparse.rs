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

/// The bytes again, eight at a time, with zeros behind the last.
pub(super) struct Eights<'a>(pub(super) &'a [u8]);

impl Iterator for Eights<'_> {
    type Item = [u8; 8];

    fn next(&mut self) -> Option<[u8; 8]> {
        let (bits, rest) = self.0.split_first()?;
        let (kept, rest) = rest.split_at_checked(bits.count_ones() as usize).unwrap_or((rest, &[]));
        self.0 = rest;
        let (mut eight, mut bits) = ([0; 8], *bits);
        for byte in kept {
            eight[bits.trailing_zeros() as usize] = *byte;
            // The lowest is done.
            bits &= bits - 1;
        }
        Some(eight)
    }
}

/// Writes all of them to `room`, in place of what was there.
pub(super) fn expand(squeezed: &[u8], room: &mut Vec<u8>) {
    room.clear();
    Eights(squeezed).for_each(|eight| room.extend_from_slice(&eight));
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
            let mut again = vec![7; 3];
            expand(&squeezed, &mut again);
            prop_assert_eq!(again.len(), plain.len().next_multiple_of(8));
            prop_assert_eq!(&again[..plain.len()], &plain);
            prop_assert!(again[plain.len()..].iter().all(|byte| *byte == 0));
        }

        #[test]
        fn whatever_is_read_is_no_more_than_eight_times_as_long(hostile in vec(any::<u8>(), 0..40)) {
            prop_assert!(Eights(&hostile).count() <= hostile.len());
        }
    }
}
