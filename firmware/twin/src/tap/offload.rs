//! What a network card would still have done to a frame: a process that asks for such a card's services (`IFF_VNET_HDR`, as
//! QEMU does for virtio) leaves out checksums and segmentation. The header that says so is virtio's (virtio 1.2, 5.1.6).

/// Length of that header.
pub(super) const HEADER: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;

/// A frame that cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotWhole {
    /// It is to be cut into segments.
    Uncut,
    /// Its header does not fit it.
    Malformed,
}

/// Puts in the checksum that is left out.
pub(super) fn complete(header: &[u8; HEADER], frame: &mut [u8]) -> Result<(), NotWhole> {
    let [flags, segmentation, _, _, _, _, start_low, start_high, at_low, at_high] = *header;
    if segmentation != 0 {
        return Err(NotWhole::Uncut);
    }
    if flags & NEEDS_CHECKSUM == 0 {
        return Ok(());
    }
    let start = usize::from(u16::from_ne_bytes([start_low, start_high]));
    let at = usize::from(u16::from_ne_bytes([at_low, at_high]));
    let covered = frame.get_mut(start..).ok_or(NotWhole::Malformed)?;
    // The field holds the pseudo header's sum already (RFC 1071 for what follows).
    let mut sum: u32 = 0;
    for pair in covered.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = match !(sum as u16) {
        // UDP has 0 for none (RFC 768), and the two are equal for TCP.
        0 => 0xffff,
        other => other,
    };
    let field = covered.get_mut(at..).and_then(|rest| rest.first_chunk_mut()).ok_or(NotWhole::Malformed)?;
    *field = checksum.to_be_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, segmentation: u8, start: u16, at: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        (header[0], header[1]) = (flags, segmentation);
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..].copy_from_slice(&at.to_ne_bytes());
        header
    }

    #[test]
    fn a_checksum_that_was_left_out_makes_the_sum_zero() {
        let mut frame: Vec<u8> = (0..61).collect();
        complete(&header(NEEDS_CHECKSUM, 0, 14, 6), &mut frame).unwrap();
        let pairs = frame[14..].chunks(2);
        let mut sum: u32 = pairs.map(|p| u32::from(p[0]) << 8 | u32::from(*p.get(1).unwrap_or(&0))).sum();
        // The field's old value was the start of the sum, so that it counts once more.
        sum += u32::from(u16::from_be_bytes([20, 21]));
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(sum, 0xffff);
    }

    #[test]
    fn a_whole_frame_stays_as_it_is_and_an_uncut_one_is_refused() {
        let mut frame = [7; 60];
        complete(&header(0, 0, 0, 0), &mut frame).unwrap();
        assert_eq!(frame, [7; 60]);
        assert_eq!(complete(&header(NEEDS_CHECKSUM, 1, 34, 16), &mut frame), Err(NotWhole::Uncut));
    }

    #[test]
    fn a_place_beyond_the_frame_is_malformed() {
        let mut frame = [0; 60];
        for (start, at) in [(61, 0), (60, 0), (34, 26), (34, 25), (0, u16::MAX)] {
            let result = complete(&header(NEEDS_CHECKSUM, 0, start, at), &mut frame);
            assert_eq!(result, Err(NotWhole::Malformed), "{start} {at}");
        }
    }
}
