//! Whatever comes: no panic, no growth, nothing invented.

use proptest::prelude::*;

use crate::{Observer, ObserverConfig, WireSummary};
use espstress_event::{AnomalyId, Direction, Occurrence, Shown};
use espstress_wire::{Flags, Link};

use super::support::{Conv, Look, MS, Seg, conv};

const RESETS: [AnomalyId; 7] = [
    AnomalyId::SynRefused,
    AnomalyId::RstAfterHandshake,
    AnomalyId::AbortiveClose,
    AnomalyId::RstAfterFin,
    AnomalyId::LateRst,
    AnomalyId::RstStorm,
    AnomalyId::RstBadSeq,
];
const FINS: [AnomalyId; 5] = [
    AnomalyId::ClosedUnserved,
    AnomalyId::FinRetransmission,
    AnomalyId::FinDuel,
    AnomalyId::DataAfterFin,
    AnomalyId::HalfClosedLinger,
];

fn observe(packets: &[(i64, Seg)]) -> (Vec<Occurrence>, WireSummary) {
    let mut seen = Vec::new();
    let mut observer = Observer::new(ObserverConfig { connections: 4, ..ObserverConfig::default() });
    for (at, seg) in packets {
        observer.frame(*at, Link::Raw, &seg.frame(), 40 + usize::from(seg.len), &mut |o| seen.push(o));
    }
    let end = packets.iter().map(|p| p.0).max().unwrap_or(0) + 10_000 * MS;
    let summary = observer.finish(end, &mut |o| seen.push(o));
    (seen, summary)
}

prop_compose! {
    /// Any flags, numbers from a few neighbourhoods so that segments meet each other, a few connections.
    fn any_segment()(
        from_host in any::<bool>(),
        flags in prop_oneof![Just(0x10_u8), Just(0x18), Just(0x11), Just(0x14), Just(0x02), Just(0x12), any::<u8>()],
        seq in prop_oneof![0_u32..300, Just(u32::MAX), any::<u32>()],
        ack in prop_oneof![0_u32..300, Just(u32::MAX), any::<u32>()],
        window in prop_oneof![Just(0_u16), any::<u16>()],
        len in prop_oneof![Just(0_u16), Just(1), 0_u16..200],
        ip_id in 0_u16..4,
        port in 5_000_u16..5_008,
        at in 0_i64..20_000,
    ) -> (i64, Seg) {
        let from = if from_host { Direction::FromHost } else { Direction::FromDevice };
        (at * MS, Seg { from, flags: Flags(flags), seq, ack, window, len, ip_id, port })
    }
}

/// Some healthy and some sick conversations.
fn stories() -> Vec<Conv> {
    vec![
        conv().served().served_again().closed(),
        conv().served().served_again().closed_by_device(),
        conv().served().served_again().closed_by_device().reopened().served().closed(),
        conv().served().device_rst(),
        conv().served().device_fin().ack().request(10).device_rst().device_rst().device_rst(),
        conv().served().closed().device_rst(),
        conv().established().request(63).device_fin().ack(),
    ]
}

fn has(packets: &[(i64, Seg)], from: Direction, flag: Flags) -> bool {
    packets.iter().any(|(_, s)| s.from == from && s.flags.has(flag))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        frames in prop::collection::vec((any::<i64>(), 0_u32..300, prop::collection::vec(any::<u8>(), 0..120), any::<u16>()), 0..40)
    ) {
        let mut observer = Observer::new(ObserverConfig { connections: 4, ..ObserverConfig::default() });
        for (at, link, bytes, len) in &frames {
            let link = Link::from_link_type(*link).unwrap_or(Link::Raw);
            observer.frame(*at, link, bytes, usize::from(*len), &mut |_| {});
        }
        observer.finish(i64::MAX, &mut |_| {});
    }

    #[test]
    fn arbitrary_segments_never_panic_and_never_show_what_was_not_there(
        packets in prop::collection::vec(any_segment(), 0..200)
    ) {
        let (seen, summary) = observe(&packets);
        prop_assert_eq!(summary.packets, packets.len() as u64);
        // Ends are guessed here, so that the flag may have come from either.
        let resets = packets.iter().any(|(_, s)| s.flags.has(Flags::RST));
        let fins = packets.iter().any(|(_, s)| s.flags.has(Flags::FIN));
        prop_assert!(resets || !seen.iter().any(|o| RESETS.contains(&o.id)));
        prop_assert!(fins || !seen.iter().any(|o| FINS.contains(&o.id)));
    }

    #[test]
    fn cutting_repeating_and_dropping_never_invents_a_reset_or_a_fin(
        story in 0_usize..7,
        kept in prop::collection::vec((any::<bool>(), any::<bool>()), 40),
        cut in 0_usize..12,
    ) {
        let mut packets = Vec::new();
        for (packet, (keep, twice)) in stories()[story].packets.iter().zip(kept).skip(cut) {
            if keep {
                packets.push(*packet);
            }
            if keep && twice {
                packets.push(*packet);
            }
        }
        let c = conv().of(packets);
        let (seen, _) = Look::for_ms(10_000).at(&c);
        let resets = has(&c.packets, Direction::FromDevice, Flags::RST);
        let fins = has(&c.packets, Direction::FromDevice, Flags::FIN);
        let host_fins = has(&c.packets, Direction::FromHost, Flags::FIN);
        for o in seen {
            prop_assert!(resets || !RESETS.contains(&o.id), "{:?}", o);
            let lingers = o.id == AnomalyId::HalfClosedLinger && host_fins;
            prop_assert!(fins || lingers || !FINS.contains(&o.id), "{:?}", o);
        }
    }

    #[test]
    fn copies_by_the_path_are_never_the_devices_fault(
        closed_by_device in any::<bool>(),
        twice in prop::collection::vec(any::<bool>(), 40),
    ) {
        let healthy = conv().served().served_again();
        let healthy = if closed_by_device { healthy.closed_by_device() } else { healthy.closed() };
        let mut packets = Vec::new();
        for (packet, twice) in healthy.packets.iter().zip(twice) {
            packets.push(*packet);
            if twice && packet.1.from == Direction::FromDevice {
                packets.push(*packet);
            }
        }
        let (seen, _) = Look::for_ms(10_000).at(&conv().of(packets));
        prop_assert!(!seen.iter().any(|o| o.shows == Shown::Unprompted), "{:?}", seen);
    }

    #[test]
    fn the_table_never_holds_more_than_it_may(
        packets in prop::collection::vec(any_segment(), 0..200)
    ) {
        let (_, summary) = observe(&packets);
        let forgotten = summary.evicted_live + summary.evicted_settled;
        prop_assert!(summary.connections >= forgotten);
    }
}
