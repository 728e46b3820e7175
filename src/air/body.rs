//! Bodies of management frames (IEEE 802.11-2020, 9.3.3 and 9.4), as far as they were captured.

/// Two bytes, little-endian, as everything in 802.11.
fn word(body: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*body.get(at..)?.first_chunk()?))
}

/// Elements: number, length, value. One that was cut ends them.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[id, length], rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(length.into())?;
        self.0 = rest;
        Some((id, value))
    }
}

/// The traffic indication map (9.4.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Map<'a> {
    /// Beacons from one DTIM to the next; `None` for 0, which is reserved.
    pub(super) period: Option<u8>,
    control: u8,
    bitmap: &'a [u8],
}

impl Map<'_> {
    /// Whether frames are held for the association of that number. The bitmap begins at an even byte that its control
    /// names, and what is beyond it is 0.
    pub(super) fn announces(&self, association: u16) -> bool {
        let first = usize::from(self.control >> 1) * 2;
        let byte = usize::from(association / 8).checked_sub(first).and_then(|at| self.bitmap.get(at));
        byte.is_some_and(|byte| byte >> (association % 8) & 1 == 1)
    }
}

/// A beacon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Beacon<'a> {
    /// The access point's clock, microseconds.
    pub(super) clock_us: u64,
    /// Units of 1,024 us.
    pub(super) interval: u16,
    pub(super) ssid: Option<&'a str>,
    pub(super) channel: Option<u8>,
    pub(super) map: Option<Map<'a>>,
    /// The channel to which the access point is about to go.
    pub(super) switch_to: Option<u8>,
}

impl<'a> Beacon<'a> {
    pub(super) fn new(body: &'a [u8]) -> Option<Self> {
        const FIXED: usize = 12;
        let clock_us = u64::from_le_bytes(*body.first_chunk()?);
        let mut beacon = Self { clock_us, interval: word(body, 8)?, ..Self::default() };
        for (id, value) in Elements(body.get(FIXED..)?) {
            match (id, value) {
                (0, name) if name.iter().any(|byte| *byte != 0) => beacon.ssid = str::from_utf8(name).ok(),
                (3, [channel, ..]) => beacon.channel = Some(*channel),
                // HT operation begins with the primary channel.
                (61, [channel, ..]) => beacon.channel = beacon.channel.or(Some(*channel)),
                (5, [_, period, control, bitmap @ ..]) => {
                    let period = Some(*period).filter(|period| *period > 0);
                    beacon.map = Some(Map { period, control: *control, bitmap });
                }
                _ => beacon.switch_to = beacon.switch_to.or(switch(id, value)),
            }
        }
        Some(beacon)
    }
}

/// Channel switch announcements, plain and extended (9.4.2.18, 9.4.2.52).
fn switch(id: u8, value: &[u8]) -> Option<u8> {
    match (id, value) {
        (37, [_, channel, _]) | (60, [_, _, channel, _]) => Some(*channel),
        _ => None,
    }
}

/// The same in an action frame of spectrum management.
pub(super) fn announced_switch(body: &[u8]) -> Option<u8> {
    match body {
        [0, 4, elements @ ..] => Elements(elements).find_map(|(id, value)| switch(id, value)),
        _ => None,
    }
}

/// An access point's word on an authentication; `None` while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    Done,
    Refused(u16),
}

impl Authentication {
    /// Of a frame from the access point: algorithm, step, status. Shared keys take four steps, all others two.
    pub(super) fn new(body: &[u8]) -> Option<Self> {
        /// Statuses with which SAE goes on (12.4.7.6): a token is asked for, hash-to-element, a public key.
        const GOES_ON: [u16; 3] = [76, 126, 127];
        let (algorithm, step, status) = (word(body, 0)?, word(body, 2)?, word(body, 4)?);
        let last = if algorithm == 1 { 4 } else { 2 };
        match status {
            0 => (step == last).then_some(Self::Done),
            status => (!GOES_ON.contains(&status)).then_some(Self::Refused(status)),
        }
    }
}

/// The listen interval in a request for association, beacons.
pub(super) fn listen_interval(body: &[u8]) -> Option<u16> {
    word(body, 2)
}

/// An answer to a request for association: the association's number, or the status of the refusal.
pub(super) fn association(body: &[u8]) -> Option<Result<u16, u16>> {
    Some(match word(body, 2)? {
        0 => Ok(association_id(word(body, 4)?)),
        status => Err(status),
    })
}

/// The upper two bits of the field are set.
pub(super) const fn association_id(field: u16) -> u16 {
    field & 0x3fff
}

/// Why somebody leaves.
pub(super) fn reason(body: &[u8]) -> Option<u16> {
    word(body, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_announces_what_its_bits_say_from_its_offset_on() {
        let map = Map { period: Some(3), control: 0x02, bitmap: &[0b0000_0010] };
        assert!(map.announces(17));
        assert!(!map.announces(1) && !map.announces(16) && !map.announces(25));
        let empty = Map { period: Some(1), control: 0, bitmap: &[0] };
        assert!((0..2_008).all(|n| !empty.announces(n)));
    }

    #[test]
    fn what_was_cut_off_is_not_invented() {
        let mut body = vec![0; 8];
        body.extend([100, 0, 1, 4, 0, 4, b'h', b'o', b'm', b'e', 3, 1, 6, 5, 4, 0, 3, 0]);
        let beacon = Beacon::new(&body).unwrap();
        assert_eq!((beacon.ssid, beacon.channel, beacon.map), (Some("home"), Some(6), None));
        body.push(2);
        assert_eq!(Beacon::new(&body).unwrap().map.unwrap().period, Some(3));
        assert!(Beacon::new(&body[..11]).is_none());
    }

    #[test]
    fn sae_goes_on_where_it_asks_for_a_token() {
        let frame =
            |algorithm: u8, step: u8, status: u8| Authentication::new(&[algorithm, 0, step, 0, status, 0]);
        assert_eq!(frame(0, 2, 0), Some(Authentication::Done));
        assert_eq!(frame(1, 2, 0), None);
        assert_eq!(
            (frame(3, 1, 76), frame(3, 1, 126), frame(3, 2, 0)),
            (None, None, Some(Authentication::Done))
        );
        assert_eq!(frame(3, 2, 15), Some(Authentication::Refused(15)));
    }
}
