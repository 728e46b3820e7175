//! A connection that has ended, in a fifth of the room, with nothing left out.
//!
//! A run keeps the last connection on each of its source ports, tens of thousands, and few of them are heard of again. Times
//! are written as what has passed since the connection began, sequence numbers as what lies between them and the first,
//! what is absent takes a byte, and a byte that is zero takes a bit.

use std::net::{Ipv4Addr, Ipv6Addr};

use espstress_event::{Answered, Direction};
use espstress_wire::Flags;

use super::half::{Fin, Half, Repeated};
use super::notes::{Note, Notes};
use super::second::Small;
use super::space::{Hole, Space};
use super::sparse::{Eights, expand, squeeze};
use super::trail::{Acked, Sent};
use super::{Counts, End, Ending, Flow, FlowKey, Previous, Stage, Wait};

/// Room to pack in, whatever is there.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    plain: Vec<u8>,
    squeezed: Vec<u8>,
}

/// Takes a connection's state apart.
pub(super) fn pack(flow: &Flow, scratch: &mut Scratch) -> Box<[u8]> {
    let Scratch { plain, squeezed } = scratch;
    plain.clear();
    let first = [flow.host.isn.unwrap_or(0), flow.device.isn.unwrap_or(0)];
    let mut to = Writer { bytes: plain, base: flow.opened_at, first, noted: (flow.opened_at, 0) };
    to.bytes.extend_from_slice(&flow.opened_at.to_ne_bytes());
    first.iter().for_each(|number| to.bytes.extend_from_slice(&number.to_ne_bytes()));
    flow.put(&mut to);
    squeeze(plain, squeezed);
    squeezed.as_slice().into()
}

/// Puts it together again.
pub(super) fn unpack(bytes: &[u8], scratch: &mut Scratch) -> Flow {
    expand(bytes, &mut scratch.plain);
    Flow::get(&mut reader(&scratch.plain))
}

/// What names it, which stands first.
pub(super) fn packed_key(bytes: &[u8]) -> FlowKey {
    /// As far as two ends of IPv6 reach.
    const KEY: usize = 56;
    let mut plain = [0; KEY];
    plain.as_chunks_mut::<8>().0.iter_mut().zip(Eights(bytes)).for_each(|(place, eight)| *place = eight);
    let mut from = reader(&plain);
    FlowKey::new(End::get(&mut from), End::get(&mut from))
}

fn reader(plain: &[u8]) -> Reader<'_> {
    let mut from = Reader { rest: plain, base: 0, first: [0; 2], noted: (0, 0) };
    from.base = i64::from_ne_bytes(from.take());
    from.noted.0 = from.base;
    from.first = [u32::from_ne_bytes(from.take()), u32::from_ne_bytes(from.take())];
    from
}

struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    /// What times are counted from.
    base: i64,
    /// What sequence numbers are counted from.
    first: [u32; 2],
    /// The time and number of the packet that was written before, which those of the next are counted from.
    noted: (i64, u64),
}

struct Reader<'a> {
    rest: &'a [u8],
    base: i64,
    first: [u32; 2],
    noted: (i64, u64),
}

impl Reader<'_> {
    /// Zeros behind the end, where only a fault of this module's leads.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (first, rest) = self.rest.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.rest = rest;
        *first
    }
}

trait Packed {
    fn put(&self, to: &mut Writer<'_>);
    fn get(from: &mut Reader<'_>) -> Self;
}

macro_rules! plain {
    ($($number:ty),*) => {$(
        impl Packed for $number {
            fn put(&self, to: &mut Writer<'_>) {
                to.bytes.extend_from_slice(&self.to_ne_bytes());
            }
            fn get(from: &mut Reader<'_>) -> Self {
                Self::from_ne_bytes(from.take())
            }
        }
    )*};
}

plain!(u8, u16);

/// Numbers from here on, of those that take two bytes, are counted from each side's first, and then from nothing. One that is
/// further away than that takes six.
const COUNTED: [u16; 3] = [0x0000, 0x7000, 0xe000];
/// In place of the two bytes: the four of the number follow. It counts nothing.
const FAR: u16 = u16::MAX;

impl Packed for u32 {
    fn put(&self, to: &mut Writer<'_>) {
        let [host, device] = to.first;
        for ((from, start), end) in [host, device, 0].into_iter().zip(COUNTED).zip([0x7000, 0xe000, FAR]) {
            let distance = self.wrapping_sub(from);
            if distance < Self::from(end - start) {
                return (start + distance as u16).put(to);
            }
        }
        FAR.put(to);
        to.bytes.extend_from_slice(&self.to_ne_bytes());
    }
    fn get(from: &mut Reader<'_>) -> Self {
        let near = u16::get(from);
        let [host, device] = from.first;
        match near {
            FAR => Self::from_ne_bytes(from.take()),
            0xe000.. => Self::from(near - 0xe000),
            0x7000.. => device.wrapping_add((near - 0x7000).into()),
            _ => host.wrapping_add(near.into()),
        }
    }
}

impl Packed for bool {
    fn put(&self, to: &mut Writer<'_>) {
        u8::from(*self).put(to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        u8::get(from) != 0
    }
}

/// Seven bits a byte, the lowest first.
impl Packed for u64 {
    fn put(&self, to: &mut Writer<'_>) {
        let mut left = *self;
        while left > 0x7f {
            to.bytes.push(left as u8 | 0x80);
            left >>= 7;
        }
        to.bytes.push(left as u8);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = u8::get(from);
            number |= Self::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }
}

/// A time counts from the connection's beginning, an even number, and what is no such time from nothing, an odd one. Within a
/// millisecond that takes three bytes, within an eighth of a second four.
impl Packed for i64 {
    fn put(&self, to: &mut Writer<'_>) {
        let passed = self.checked_sub(to.base).filter(|passed| (0..Self::MAX).contains(passed));
        let code = match (passed, *self) {
            (Some(passed), _) => passed.unsigned_abs() << 1,
            (None, number @ 0..) => number.unsigned_abs() << 1 | 1,
            (None, _) => RAW,
        };
        code.put(to);
        if code == RAW {
            to.bytes.extend_from_slice(&self.to_ne_bytes());
        }
    }
    fn get(from: &mut Reader<'_>) -> Self {
        match u64::get(from) {
            RAW => Self::from_ne_bytes(from.take()),
            code if code & 1 == 0 => from.base.saturating_add_unsigned(code >> 1),
            code => (code >> 1).cast_signed(),
        }
    }
}

/// In place of a time or number: its eight bytes follow.
const RAW: u64 = u64::MAX - 1;

impl<T: Packed> Packed for Option<T> {
    fn put(&self, to: &mut Writer<'_>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }
    fn get(from: &mut Reader<'_>) -> Self {
        bool::get(from).then(|| T::get(from))
    }
}

impl<T: Packed, const N: usize> Packed for [T; N] {
    fn put(&self, to: &mut Writer<'_>) {
        self.iter().for_each(|value| value.put(to));
    }
    fn get(from: &mut Reader<'_>) -> Self {
        std::array::from_fn(|_| T::get(from))
    }
}

impl<A: Packed, B: Packed> Packed for (A, B) {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
        self.1.put(to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        (A::get(from), B::get(from))
    }
}

impl<A: Packed, B: Packed, C: Packed> Packed for (A, B, C) {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
        self.1.put(to);
        self.2.put(to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        (A::get(from), B::get(from), C::get(from))
    }
}

impl Packed for End {
    fn put(&self, to: &mut Writer<'_>) {
        let v4 = Ipv6Addr::from_bits(self.address).to_ipv4_mapped();
        v4.is_some().put(to);
        match v4 {
            Some(v4) => to.bytes.extend_from_slice(&v4.octets()),
            None => to.bytes.extend_from_slice(&self.address.to_ne_bytes()),
        }
        self.port.put(to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        let address = if bool::get(from) {
            Ipv4Addr::from(from.take::<4>()).to_ipv6_mapped().to_bits()
        } else {
            u128::from_ne_bytes(from.take())
        };
        Self { address, port: u16::get(from) }
    }
}

/// The values of an enum, by their place in this list.
macro_rules! values {
    ($name:ty: $($value:ident),*) => {
        impl Packed for $name {
            fn put(&self, to: &mut Writer<'_>) {
                to.bytes.push(*self as u8);
            }
            fn get(from: &mut Reader<'_>) -> Self {
                let all = [$(Self::$value),*];
                let wanted = u8::get(from);
                all.into_iter().find(|value| *value as u8 == wanted).unwrap_or(all[0])
            }
        }
        const _: fn($name) = |value| match value {
            $(<$name>::$value)|* => {}
        };
    };
}

values!(Direction: FromDevice, FromHost);
values!(Stage: Opening, Open);
values!(Answered: Syn, Payload, Fin, Ack, Reset);

/// One number for each of the values; what the last one has follows on its own.
macro_rules! last_has {
    ($name:ident: $($value:ident = $number:literal),*; $last:ident) => {
        impl Packed for $name {
            fn put(&self, to: &mut Writer<'_>) {
                match self {
                    $(Self::$value => to.bytes.push($number),)*
                    Self::$last(has) => (u8::MAX, *has).put(to),
                }
            }
            fn get(from: &mut Reader<'_>) -> Self {
                match u8::get(from) {
                    $($number => Self::$value,)*
                    _ => Self::$last(Packed::get(from)),
                }
            }
        }
    };
}

last_has!(Previous: Unseen = 0, Live = 1, Reset = 2; ClosedFirstBy);
last_has!(Wait: Off = 0, Told = 1; Since);

impl Packed for Ending {
    fn put(&self, to: &mut Writer<'_>) {
        let reset_by = match self {
            Self::Closed => None,
            Self::Reset(direction) => Some(*direction),
        };
        reset_by.put(to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        Option::get(from).map_or(Self::Closed, Self::Reset)
    }
}

impl Packed for Flags {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        Self(u8::get(from))
    }
}

/// All fields, one after the other.
macro_rules! fields {
    ($name:ident: $($field:ident),*) => {
        impl Packed for $name {
            fn put(&self, to: &mut Writer<'_>) {
                let Self { $($field),* } = self;
                $($field.put(to);)*
            }
            fn get(from: &mut Reader<'_>) -> Self {
                $(let $field = Packed::get(from);)*
                Self { $($field),* }
            }
        }
    };
}

fields!(Fin: seq, ack, first_at, last_at, interval, copies, after_idle, acked_at, proof);
fields!(Repeated: seq, times, third_at, last_at);
fields!(Half: isn, carried, space, ack, window, shift, fin, payload_at, last_at, repeated, probes, repeats, probing, resets, reset);
fields!(Small: end, at, acked_at);
fields!(Notes: ring, next);
fields!(Hole: start, end, since);
fields!(
    Flow: host_end, device_end, opener, stage, previous, host, device, opened_at, syns, stray_acks, host_acked_dial,
    first_fin, ended, missing, gaps, rtt, rtt_min, timed, host_last, host_acked, device_sent, small, stalled_since,
    host_repeated, presumed_lost, taken_late, request_acked_at, duel_pending, duels, syn_wait, window_wait, linger_wait, armed,
    touched_at, in_settled, told, counts, notes
);

/// What lies between two numbers, of which either may be the larger one.
const fn step(from: u64, to: u64) -> u64 {
    let step = to.wrapping_sub(from).cast_signed();
    ((step << 1) ^ (step >> 63)).cast_unsigned()
}

/// The number that is a step away.
const fn stepped(from: u64, step: u64) -> u64 {
    from.wrapping_add((step >> 1) ^ (step & 1).wrapping_neg())
}

/// Its neighbours came a moment and a few packets apart.
impl Packed for Note {
    fn put(&self, to: &mut Writer<'_>) {
        let Self { at, number, seq, ack, payload, window, ip_id, flags, from } = self;
        let (at_before, number_before) = std::mem::replace(&mut to.noted, (*at, *number));
        step(at_before.cast_unsigned(), at.cast_unsigned()).put(to);
        step(number_before, *number).put(to);
        ((*seq, *ack, *payload), (*window, *ip_id), (*flags, *from)).put(to);
    }
    fn get(reader: &mut Reader<'_>) -> Self {
        let (at_before, number_before) = reader.noted;
        let at = stepped(at_before.cast_unsigned(), u64::get(reader)).cast_signed();
        let number = stepped(number_before, u64::get(reader));
        reader.noted = (at, number);
        let ((seq, ack, payload), (window, ip_id), (flags, from)) = Packed::get(reader);
        Self { at, number, seq, ack, payload, window, ip_id, flags, from }
    }
}

/// Nearly all have none.
impl Packed for Counts {
    fn put(&self, to: &mut Writer<'_>) {
        let any = self.0.as_flattened().as_flattened().iter().any(|n| *n > 0);
        any.then_some(self.0).put(to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        Option::get(from).map_or_else(Self::default, Self)
    }
}

/// Writes as many as there are; the rest of the room is as it was when new.
fn put_some<T: Packed>(some: &[T], to: &mut Writer<'_>) {
    some.iter().for_each(|value| value.put(to));
}

fn get_some<T: Packed, const N: usize>(room: &mut [T; N], count: usize, from: &mut Reader<'_>) {
    room.iter_mut().take(count).for_each(|value| *value = T::get(from));
}

impl Packed for Space {
    fn put(&self, to: &mut Writer<'_>) {
        let Self { range, holes: _, open } = self;
        range.put(to);
        open.put(to);
        put_some(self.holes(), to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        let mut space = Self { range: Option::get(from), open: u8::get(from), ..Self::default() };
        get_some(&mut space.holes, space.open.into(), from);
        space
    }
}

impl Packed for Acked {
    fn put(&self, to: &mut Writer<'_>) {
        let Self { ring: _, count, forgot_at, at } = self;
        (*count, *forgot_at, *at).put(to);
        put_some(self.known(), to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        let (count, forgot_at, at) = Packed::get(from);
        let mut acked = Self { count, forgot_at, at, ..Self::default() };
        get_some(&mut acked.ring, count as usize, from);
        acked
    }
}

impl Packed for Sent {
    fn put(&self, to: &mut Writer<'_>) {
        let Self { ring, count, prompt } = self;
        (*count, *prompt).put(to);
        put_some(ring.get(..usize::from(*count)).unwrap_or_default(), to);
    }
    fn get(from: &mut Reader<'_>) -> Self {
        let (count, prompt) = Packed::get(from);
        let mut sent = Self { count, prompt, ..Self::default() };
        get_some(&mut sent.ring, count.into(), from);
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::notes::NOTES;
    use proptest::prelude::*;

    fn packed<T: Packed>(value: &T, base: i64, first: [u32; 2]) -> Vec<u8> {
        let mut bytes = Vec::new();
        value.put(&mut Writer { bytes: &mut bytes, base, first, noted: (base, 0) });
        bytes
    }

    fn again<T: Packed>(value: &T, base: i64, first: [u32; 2]) -> T {
        let bytes = packed(value, base, first);
        let mut from = Reader { rest: &bytes, base, first, noted: (base, 0) };
        let again = T::get(&mut from);
        assert!(from.rest.is_empty(), "{} bytes are left", from.rest.len());
        again
    }

    proptest! {
        #[test]
        fn a_number_is_what_it_was_however_near_it_is(
            n in any::<u32>(), near in 0..0x1_0000_u32, first in any::<[u32; 2]>(), long in any::<u64>(),
            at in any::<i64>(), base in any::<i64>(), passed in 0..5_000_000_000_i64,
        ) {
            for n in [n, near, first[0].wrapping_add(near), first[1].wrapping_add(near), first[0].wrapping_sub(near)] {
                prop_assert_eq!(again(&n, base, first), n);
            }
            prop_assert_eq!(again(&long, base, first), long);
            for at in [at, passed, base.saturating_add(passed), i64::MIN, i64::MAX] {
                prop_assert_eq!(again(&at, base, first), at);
            }
        }
    }

    proptest! {
        #[test]
        fn packets_are_what_they_were_in_any_order(
            packets in proptest::collection::vec((any::<i64>(), any::<u64>(), any::<u32>(), any::<u16>()), 1..=NOTES),
            base in any::<i64>(),
        ) {
            let mut notes = Notes::default();
            for (at, number, seq, window) in packets {
                let (ip_id, flags, from) = (Some(window ^ 1), Flags(window as u8), Direction::FromDevice);
                notes.keep(Note { at, number, seq, ack: !seq, payload: seq >> 20, window, ip_id, flags, from });
            }
            prop_assert_eq!(format!("{:?}", again(&notes, base, [7, 9])), format!("{notes:?}"));
        }
    }

    #[test]
    fn a_number_is_short_up_to_the_last_one_that_is_near() {
        let first = [0x1000_0000, 0x2000_0000];
        for (start, room) in [(first[0], 0x7000), (first[1], 0x7000), (0, 0x1fff)] {
            for (n, length) in [(start, 2), (start + room - 1, 2), (start + room, 6)] {
                assert_eq!((again(&n, 0, first), packed(&n, 0, first).len()), (n, length), "{n:#x}");
            }
        }
        for (n, length) in [(0_u64, 1), (0x7f, 1), (0x80, 2), (0x3fff, 2), (0x4000, 3), (u64::MAX, 10)] {
            assert_eq!((again(&n, 0, first), packed(&n, 0, first).len()), (n, length), "{n:#x}");
        }
        let base = 1_700_000_000_000_000_000;
        let within = [(0, 1), (1 << 20, 4), ((1 << 20) - 1, 3), ((1 << 27) - 1, 4), (1 << 27, 5)];
        for (at, length) in within.into_iter().map(|(passed, length)| (base + passed, length)).chain([
            (0, 1),
            ((1 << 20) - 1, 3),
            (-1, 18),
            (i64::MIN, 18),
        ]) {
            assert_eq!((again(&at, base, first), packed(&at, base, first).len()), (at, length), "{at}");
        }
        for (at, base) in [(i64::MAX, 0), (i64::MAX, i64::MIN), (i64::MAX - 1, 0), (-1, -1), (-5, -4)] {
            assert_eq!(again(&at, base, first), at);
        }
    }

    #[test]
    fn each_value_is_what_it_was() {
        let sides = [Direction::FromDevice, Direction::FromHost];
        let closed = sides.map(Previous::ClosedFirstBy);
        for value in [Previous::Unseen, Previous::Live, Previous::Reset].into_iter().chain(closed) {
            assert_eq!(again(&value, 0, [0; 2]), value);
        }
        for value in [Wait::Off, Wait::Told, Wait::Since(7), Wait::Since(i64::MIN)] {
            assert_eq!(again(&value, 5, [0; 2]), value);
        }
        for value in [Flags(0), Flags(0x12), Flags(u8::MAX)] {
            assert_eq!(again(&value, 0, [0; 2]), value);
        }
    }

    #[test]
    fn a_connection_without_anomalies_keeps_no_counts_of_them() {
        assert_eq!(packed(&Counts::default(), 0, [0; 2]).len(), 1);
        let mut counts = Counts::default();
        counts.0[0][0][1] = 1;
        assert_eq!(again(&counts, 0, [0; 2]).0, counts.0);
    }

    #[test]
    fn an_end_is_what_it_was_in_both_families() {
        for address in ["::ffff:192.0.2.1", "2001:db8::1", "::"] {
            let end = End { address: address.parse::<Ipv6Addr>().unwrap().to_bits(), port: 8080 };
            assert_eq!(again(&end, 0, [0; 2]), end);
        }
    }

    #[test]
    fn a_connection_is_what_it_was() {
        let end = |port| End { address: Ipv4Addr::LOCALHOST.to_ipv6_mapped().to_bits(), port };
        let mut flow = Flow::new(end(40_000), end(80), 1_700_000_000_000_000_000, 3);
        flow.host.isn = Some(u32::MAX - 5);
        flow.device.isn = Some(7);
        flow.previous = Previous::ClosedFirstBy(Direction::FromDevice);
        flow.ended = Some((flow.opened_at + 5_000_000_000, Ending::Reset(Direction::FromHost)));
        flow.host_last = Some(Answered::Fin);
        flow.syn_wait = Wait::Told;
        flow.linger_wait = Wait::Since(flow.opened_at + 9);
        (0..20).for_each(|n| flow.host_acked.note(n * 100_000, flow.opened_at + i64::from(n)));
        flow.device_sent.note(8, 1_468, flow.opened_at + 1);
        flow.device_sent.prompt = true;
        flow.device.space.claim(7, 8, flow.opened_at);
        flow.device.space.claim(100, 200, flow.opened_at + 2);
        flow.counts.0[3][1][0] = 200;
        let mut scratch = Scratch::default();
        let packed = pack(&flow, &mut scratch);
        assert_eq!(format!("{:?}", unpack(&packed, &mut scratch)), format!("{flow:?}"));
        assert_eq!(packed_key(&packed), flow.key());
    }

    #[test]
    fn a_connection_is_named_without_all_of_it_in_both_families() {
        for address in ["::ffff:192.0.2.1", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"] {
            let end = |port| End { address: address.parse::<Ipv6Addr>().unwrap().to_bits(), port };
            let flow = Flow::new(end(0xffff), end(0xfffe), i64::MAX, 3);
            assert_eq!(packed_key(&pack(&flow, &mut Scratch::default())), flow.key());
        }
    }
}
