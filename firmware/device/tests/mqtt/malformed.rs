//! Every rule that a packet can break is told by its name.

use espstress_device::mqtt::{Decoded, Kind, Malformed, Packet, Version, Writer, decode};

/// The bound that the tests read with.
const AT_MOST: u32 = 1_000;

fn refused(bytes: &[u8], version: Version) -> Malformed {
    decode(bytes, version, AT_MOST).expect_err("malformed")
}

/// A packet of this kind and flags with these fields.
fn framed(kind: Kind, flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; fields.len() + 5];
    let len = Writer::new(&mut bytes).first(kind, flags).length(fields.len()).raw(fields).finish().unwrap();
    bytes.truncate(len);
    bytes
}

#[test]
fn a_head_is_refused_as_soon_as_it_shows_what_is_wrong() {
    let version = Version::V311;
    assert_eq!(refused(&[0x00], version), Malformed::Kind(0));
    assert_eq!(refused(&[0xF0], version), Malformed::Kind(15));
    assert_eq!(decode(&[0xF0], Version::V5, AT_MOST), Ok(Decoded::Needs(1)));
    assert_eq!(refused(&[0x36], version), Malformed::Qos3);
    assert_eq!(refused(&[0x38], version), Malformed::DupAtMostOnce);
    assert_eq!(refused(&[0xC1], version), Malformed::Flags(Kind::PingReq));
    assert_eq!(refused(&[0x80], version), Malformed::Flags(Kind::Subscribe));
    assert_eq!(refused(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], version), Malformed::LengthBytes);
    assert_eq!(
        refused(&[0x30, 0xE9, 0x07], version),
        Malformed::TooLarge { remaining: 1_001, at_most: AT_MOST }
    );
    assert_eq!(decode(&[0x30, 0xE8, 0x07], version, AT_MOST), Ok(Decoded::Needs(1_000)));
}

#[test]
fn only_3_1_repeats_a_subscription_with_dup() {
    let bytes = framed(Kind::Subscribe, 0b1010, b"\x00\x01\x00\x01a\x00");
    assert_eq!(refused(&bytes, Version::V311), Malformed::Flags(Kind::Subscribe));
    assert!(matches!(
        decode(&bytes, Version::V31, AT_MOST),
        Ok(Decoded::Packet { packet: Packet::Subscribe(_), .. })
    ));
}

#[test]
fn fields_that_break_a_rule_name_it() {
    let cases: &[(Kind, u8, &[u8], Malformed)] = &[
        (Kind::Publish, 0, b"\x00\x00", Malformed::EmptyTopic),
        (Kind::Publish, 0, b"\x00\x03a/#", Malformed::WildcardTopic),
        (Kind::Publish, 0, b"\x00\x05abc", Malformed::Short(Kind::Publish)),
        (Kind::Publish, 0, b"\x00\x02\xC3\x28", Malformed::Utf8(Kind::Publish)),
        (Kind::Publish, 0, b"\x00\x03\xED\xA0\x80", Malformed::Utf8(Kind::Publish)),
        (Kind::Publish, 0, b"\x00\x02a\x00", Malformed::Nul(Kind::Publish)),
        (Kind::Publish, 2, b"\x00\x01a\x00\x00", Malformed::PacketIdZero),
        (Kind::Publish, 2, b"\x00\x01a\x00", Malformed::Short(Kind::Publish)),
        (Kind::PubAck, 0, b"\x00\x00", Malformed::PacketIdZero),
        (Kind::PubAck, 0, b"\x00\x01\x00", Malformed::Excess(Kind::PubAck)),
        (Kind::Subscribe, 2, b"\x00\x01", Malformed::NoFilters),
        (Kind::Subscribe, 2, b"\x00\x01\x00\x00\x00", Malformed::EmptyFilter),
        (Kind::Subscribe, 2, b"\x00\x01\x00\x02a#\x00", Malformed::BadFilter),
        (Kind::Subscribe, 2, b"\x00\x01\x00\x01a\x03", Malformed::Qos3),
        (Kind::Subscribe, 2, b"\x00\x01\x00\x01a\x04", Malformed::SubscribeOptions),
        (Kind::Subscribe, 2, b"\x00\x01\x00\x01a", Malformed::Short(Kind::Subscribe)),
        (Kind::Unsubscribe, 2, b"\x00\x01", Malformed::NoFilters),
        (Kind::Unsubscribe, 2, b"\x00\x01\x00\x00", Malformed::EmptyFilter),
        (Kind::ConnAck, 0, b"\x02\x00", Malformed::ConnectFlags),
        (Kind::ConnAck, 0, b"\x00\x00\x00", Malformed::Excess(Kind::ConnAck)),
        (Kind::PingReq, 0, b"\x00", Malformed::Excess(Kind::PingReq)),
        (Kind::Disconnect, 0, b"\x00", Malformed::Excess(Kind::Disconnect)),
        (Kind::Connect, 0, b"\x00\x04HTTP\x04", Malformed::Protocol { level: None }),
        (Kind::Connect, 0, b"\x00\x04MQTT\x06", Malformed::Protocol { level: Some(6) }),
        (Kind::Connect, 0, b"\x00\x06MQIsdp\x04", Malformed::Protocol { level: Some(4) }),
        (Kind::Connect, 0, b"\x00\x04MQTT\x04\x01\x00\x00\x00\x00", Malformed::ConnectFlags),
        (Kind::Connect, 0, b"\x00\x04MQTT\x04\x20\x00\x00\x00\x00", Malformed::ConnectFlags),
        (Kind::Connect, 0, b"\x00\x04MQTT\x04\x08\x00\x00\x00\x00", Malformed::ConnectFlags),
        (Kind::Connect, 0, b"\x00\x04MQTT\x04\x1C\x00\x00\x00\x00", Malformed::Qos3),
        (Kind::Connect, 0, b"\x00\x04MQTT\x04\x40\x00\x00\x00\x00", Malformed::ConnectFlags),
        (Kind::Connect, 0, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x05", Malformed::Short(Kind::Connect)),
        (Kind::Connect, 0, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x00\x00", Malformed::Excess(Kind::Connect)),
    ];
    for &(kind, flags, fields, why) in cases {
        assert_eq!(refused(&framed(kind, flags, fields), Version::V311), why, "{kind} {fields:02X?}");
    }
}

#[test]
fn properties_are_parsed_past_by_their_rules() {
    let connack =
        |properties: &[u8]| framed(Kind::ConnAck, 0, &[&[0, 0, properties.len() as u8], properties].concat());
    for (properties, why) in [
        (&[0x04, 0][..], Malformed::Property(4)),
        (&[0x7F, 0], Malformed::Property(0x7F)),
        (&[0x80, 0x02, 0], Malformed::Property(256)),
        (&[0x21, 0, 0], Malformed::PropertyValue(0x21)),
        (&[0x27, 0, 0, 0, 0], Malformed::PropertyValue(0x27)),
        (&[0x24, 2], Malformed::PropertyValue(0x24)),
        (&[0x0B, 0], Malformed::PropertyValue(0x0B)),
        (&[0x13, 0, 1, 0x13, 0, 1], Malformed::PropertyTwice(0x13)),
        (&[0x11, 0, 0], Malformed::Short(Kind::ConnAck)),
        (&[0x26, 0, 1, b'a'], Malformed::Short(Kind::ConnAck)),
    ] {
        assert_eq!(refused(&connack(properties), Version::V5), why, "{properties:02X?}");
    }
    let many = b"\x26\x00\x01a\x00\x01b\x26\x00\x01a\x00\x01c\x1F\x00\x02no\x13\x00\x07\x22\x00\x09";
    let bytes = connack(many);
    let Ok(Decoded::Packet { packet: Packet::ConnAck(connack), .. }) = decode(&bytes, Version::V5, AT_MOST)
    else {
        panic!("user properties may be there twice");
    };
    assert_eq!(connack.properties.server_keep_alive, Some(7));
}

#[test]
fn a_length_may_be_padded_up_to_four_bytes() {
    let bytes = [0xC0, 0x80, 0x80, 0x80, 0x00];
    let read = decode(&bytes, Version::V311, AT_MOST);
    assert_eq!(read, Ok(Decoded::Packet { packet: Packet::PingReq, len: 5 }));
}

#[test]
fn a_password_is_not_shown() {
    let bytes = framed(Kind::Connect, 0, b"\x00\x04MQTT\x04\xC2\x00\x00\x00\x01i\x00\x01u\x00\x06secret");
    let shown = format!("{:?}", decode(&bytes, Version::V311, AT_MOST));
    assert!(shown.contains("Password(..)") && !shown.contains("115"), "{shown}");
}
