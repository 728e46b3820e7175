//! Our own writing and reading agree, however the bytes arrive.

use espstress_device::mqtt::{Decoded, EncodeError, MAX_REMAINING, Packet, Version, decode, publish_start};
use proptest::prelude::*;

use crate::arbitrary::{Parts, parts};

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(VERSIONS.to_vec())
}

/// Noise, or something that starts out right.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let right =
        (parts(&VERSIONS), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(parts, index, byte)| {
            let mut bytes = parts.encode();
            let at = index.index(bytes.len().min(64));
            bytes[at] = byte;
            bytes
        });
    let random = prop::collection::vec(any::<u8>(), 0..200);
    // A head with a length that fits what follows it gets the noise to the fields.
    let headed = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..120))
        .prop_map(|(first, body)| [&[first, body.len() as u8][..], &body].concat());
    prop_oneof![right, random, headed]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_as_it_was(parts in parts(&VERSIONS)) {
        parts.with(|packet| {
            let bytes = parts.encode();
            let read = decode(&bytes, parts.version, MAX_REMAINING);
            prop_assert_eq!(read, Ok(Decoded::Packet { packet, len: bytes.len() }));
            Ok(())
        })?;
    }

    #[test]
    fn a_packet_in_pieces_asks_for_no_more_than_is_missing_and_never_for_nothing(parts in parts(&VERSIONS)) {
        let bytes = parts.encode();
        for cut in (0..bytes.len()).take(300) {
            match decode(&bytes[..cut], parts.version, MAX_REMAINING) {
                Ok(Decoded::Needs(missing)) => prop_assert!(missing > 0 && missing <= bytes.len() - cut),
                other => prop_assert!(false, "{other:?} after {cut} bytes"),
            }
        }
    }

    #[test]
    fn bytes_behind_a_packet_do_not_change_it(parts in parts(&VERSIONS), more in any::<[u8; 3]>()) {
        let bytes = parts.encode();
        let followed = [&bytes[..], &more].concat();
        let alone = decode(&bytes, parts.version, MAX_REMAINING);
        prop_assert_eq!(decode(&followed, parts.version, MAX_REMAINING), alone);
    }

    #[test]
    fn a_place_that_is_too_small_says_how_much_is_needed(parts in parts(&VERSIONS), cut in any::<prop::sample::Index>()) {
        let needs = parts.encode().len();
        let mut small = vec![0; cut.index(needs)];
        let refused = parts.with(|packet| packet.encode(parts.version, &mut small));
        prop_assert_eq!(refused, Err(EncodeError::Full { needs }));
    }

    #[test]
    fn the_start_of_a_publish_is_told_before_its_payload_is_there(parts in parts(&VERSIONS).prop_map(Parts::published)) {
        let bytes = parts.encode();
        parts.with(|packet| {
            let Packet::Publish(publish) = packet else { return Ok(()) };
            let start_len = bytes.len() - publish.payload.len();
            for cut in 0..start_len {
                prop_assert_eq!(publish_start(&bytes[..cut], parts.version, MAX_REMAINING), Ok(None));
            }
            let start = publish_start(&bytes[..start_len], parts.version, MAX_REMAINING);
            let start = start.expect("a right packet").expect("all that it needs");
            prop_assert_eq!((start.topic, start.id, start.payload), (publish.topic, publish.id, publish.payload.len()));
            prop_assert_eq!((start.dup, start.qos, start.retain), (publish.dup, publish.qos, publish.retain));
            Ok(())
        })?;
    }

    #[test]
    fn whatever_comes_reading_ends_and_what_was_read_can_be_written(bytes in noise(), version in version()) {
        let _ = publish_start(&bytes, version, MAX_REMAINING);
        if let Ok(Decoded::Packet { packet, len }) = decode(&bytes, version, 100_000) {
            prop_assert!((2..=bytes.len()).contains(&len));
            let version = if let Packet::Connect(connect) = packet { connect.version } else { version };
            let mut again = vec![0; bytes.len() + 64];
            let written = packet.encode(version, &mut again).expect("no field was too long to be read");
            // Not the same bytes: properties are parsed past, lengths may have been padded.
            let read = decode(&again[..written], version, 100_000);
            prop_assert_eq!(read, Ok(Decoded::Packet { packet, len: written }));
        }
    }

    #[test]
    fn what_is_wrong_is_wrong_however_much_follows(bytes in noise(), version in version(), more in any::<[u8; 4]>()) {
        if let Err(why) = decode(&bytes, version, 100_000) {
            let followed = [&bytes[..], &more].concat();
            prop_assert_eq!(decode(&followed, version, 100_000), Err(why));
        }
    }
}
