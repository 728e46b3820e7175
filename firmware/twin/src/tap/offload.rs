//! What a network card would still have done to a frame: a process that asks for such a card's services (`IFF_VNET_HDR`, as
//! QEMU does for virtio) leaves out checksums and hands over long segments. The header that says so is virtio's (virtio 1.2,
//! 5.1.6).

/// Length of that header.
pub(super) const HEADER: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;

/// Segments of TCP over IPv4; with the upper bit, of a connection that uses ECN.
const TCP_IPV4: u8 = 1;
const ECN: u8 = 0x80;

const ETHERNET: usize = 14;
const TCP: u8 = 6;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// A frame that cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotWhole {
    /// It is to be cut in a way that is not known here.
    Uncut,
    /// Its header does not fit it.
    Malformed,
}

/// Does to a frame what is left to do, and hands on the frames that come of it.
pub(super) fn complete(
    header: &[u8; HEADER],
    frame: &mut [u8],
    take: impl FnMut(&[u8]),
) -> Result<(), NotWhole> {
    let [flags, kind, _, _, size_low, size_high, start_low, start_high, at_low, at_high] = *header;
    let number = |low, high| usize::from(u16::from_ne_bytes([low, high]));
    if kind == 0 {
        if flags & NEEDS_CHECKSUM != 0 {
            put_in(frame, number(start_low, start_high), number(at_low, at_high))?;
        }
        let mut take = take;
        take(frame);
        return Ok(());
    }
    if kind & !ECN != TCP_IPV4 {
        return Err(NotWhole::Uncut);
    }
    cut(frame, number(size_low, size_high), take).ok_or(NotWhole::Malformed)
}

/// Puts in the checksum that is left out: over all from `start`, into the field `at` behind that.
fn put_in(frame: &mut [u8], start: usize, at: usize) -> Result<(), NotWhole> {
    let covered = frame.get_mut(start..).ok_or(NotWhole::Malformed)?;
    // The field holds the pseudo header's sum already.
    let checksum = match !folded(sum(covered)) {
        // UDP has 0 for none (RFC 768), and the two are equal for TCP.
        0 => 0xffff,
        other => other,
    };
    let field = covered.get_mut(at..).and_then(|rest| rest.first_chunk_mut()).ok_or(NotWhole::Malformed)?;
    *field = checksum.to_be_bytes();
    Ok(())
}

/// Cuts a long TCP segment over IPv4 into those of `size` bytes, as Linux does (`tcp_gso_segment`); `None` where it is none.
fn cut(frame: &[u8], size: usize, mut take: impl FnMut(&[u8])) -> Option<()> {
    let ip = frame.get(ETHERNET..)?;
    let ip_len = usize::from(ip.first()? & 0x0f) * 4;
    let tcp = ip.get(ip_len..)?;
    let tcp_len = usize::from(tcp.get(12)? >> 4) * 4;
    let data = tcp.get(tcp_len..)?;
    if ip_len < 20 || tcp_len < 20 || *ip.get(9)? != TCP || size == 0 {
        return None;
    }
    let heads = frame.get(..ETHERNET + ip_len + tcp_len)?;
    let id = u16::from_be_bytes([ip[4], ip[5]]);
    let sequence = u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?);
    let pieces = data.chunks(size).count();
    for (number, piece) in data.chunks(size).enumerate() {
        let mut segment = [heads, piece].concat();
        let (ip, tcp) = segment[ETHERNET..].split_at_mut(ip_len);
        let len = u16::try_from(ip_len + tcp.len()).ok()?;
        ip[2..4].copy_from_slice(&len.to_be_bytes());
        ip[4..6].copy_from_slice(&id.wrapping_add(number as u16).to_be_bytes());
        ip[10..12].fill(0);
        let checksum = !folded(sum(ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        let at = sequence.wrapping_add((number * size) as u32);
        tcp[4..8].copy_from_slice(&at.to_be_bytes());
        if number > 0 {
            tcp[13] &= !CWR;
        }
        if number + 1 < pieces {
            tcp[13] &= !(FIN | PSH);
        }
        tcp[16..18].fill(0);
        let pseudo = sum(&ip[12..20]) + u64::from(TCP) + tcp.len() as u64;
        let checksum = !folded(pseudo + sum(tcp));
        tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
        take(&segment);
    }
    Some(())
}

/// The sum of RFC 1071, not folded yet.
fn sum(bytes: &[u8]) -> u64 {
    let pairs = bytes.chunks(2);
    pairs.map(|pair| u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum()
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(flags: u8, kind: u8, size: u16, start: u16, at: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        (header[0], header[1]) = (flags, kind);
        header[4..6].copy_from_slice(&size.to_ne_bytes());
        header[6..8].copy_from_slice(&start.to_ne_bytes());
        header[8..].copy_from_slice(&at.to_ne_bytes());
        header
    }

    fn completed(header: &[u8; HEADER], frame: &mut [u8]) -> Result<Vec<Vec<u8>>, NotWhole> {
        let mut frames = Vec::new();
        complete(header, frame, |frame| frames.push(frame.to_vec())).map(|()| frames)
    }

    /// A TCP segment over IPv4 with FIN, PSH and ACK, and this data.
    fn segment(data: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET + 40];
        frame[12..14].copy_from_slice(&[0x08, 0x00]);
        (frame[14], frame[23]) = (0x45, TCP);
        frame[18..20].copy_from_slice(&0xffff_u16.to_be_bytes());
        frame[26..34].copy_from_slice(&[192, 168, 4, 91, 192, 168, 4, 1]);
        frame[38..42].copy_from_slice(&0xffff_fff0_u32.to_be_bytes());
        (frame[46], frame[47]) = (0x50, 0x10 | FIN | PSH);
        frame.extend_from_slice(data);
        frame
    }

    #[test]
    fn a_checksum_that_was_left_out_is_put_in() {
        let mut frame = segment(b"some data");
        // What a stack leaves there: the pseudo header's sum.
        let pseudo = folded(sum(&frame[26..34]) + u64::from(TCP) + 29);
        frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
        let frames = completed(&header(NEEDS_CHECKSUM, 0, 0, 34, 16), &mut frame).unwrap();
        let whole = sum(&frames[0][26..34]) + u64::from(TCP) + 29 + sum(&frames[0][34..]);
        assert_eq!((frames.len(), folded(whole)), (1, 0xffff));
    }

    #[test]
    fn a_long_segment_is_cut_and_only_its_last_piece_ends_the_connection() {
        let data: Vec<u8> = (0..250).collect();
        let frames = completed(&header(NEEDS_CHECKSUM, TCP_IPV4, 100, 34, 16), &mut segment(&data)).unwrap();
        let joined: Vec<u8> = frames.iter().flat_map(|frame| frame[54..].to_vec()).collect();
        assert_eq!((frames.len(), joined), (3, data));
        for (number, frame) in frames.iter().enumerate() {
            let len = frame.len() as u16 - 14;
            assert_eq!(frame[16..18], len.to_be_bytes());
            assert_eq!(frame[18..20], (number as u16).wrapping_sub(1).to_be_bytes());
            assert_eq!(frame[38..42], 0xffff_fff0_u32.wrapping_add(number as u32 * 100).to_be_bytes());
            assert_eq!(frame[47], if number == 2 { 0x19 } else { 0x10 });
            assert_eq!(folded(sum(&frame[14..34])), 0xffff, "IPv4");
            let tcp = sum(&frame[26..34]) + u64::from(TCP) + u64::from(len) - 20 + sum(&frame[34..]);
            assert_eq!(folded(tcp), 0xffff, "TCP");
        }
    }

    #[test]
    fn a_whole_frame_stays_as_it_is_and_an_unknown_cut_is_refused() {
        let mut frame = [7; 60];
        assert_eq!(completed(&header(0, 0, 0, 0, 0), &mut frame), Ok(vec![vec![7; 60]]));
        assert_eq!(completed(&header(0, 4, 100, 0, 0), &mut frame), Err(NotWhole::Uncut));
    }

    proptest! {
        #[test]
        fn no_frame_and_no_header_is_too_odd(header in any::<[u8; HEADER]>(), frame in any::<Vec<u8>>()) {
            let _ = completed(&header, &mut frame.clone());
        }
    }
}
