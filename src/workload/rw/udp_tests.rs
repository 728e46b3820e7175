use super::*;

fn sent(bytes: u32) -> Sent {
    let now = Instant::now();
    Sent { start: Start { intended: now, actual: now, kind: LoopKind::Closed }, bytes, packets: 1 }
}

/// One socket with these numbers under way.
fn under_way(numbers: &[u32]) -> UnderWay {
    let mut all = UnderWay::new(7);
    numbers.iter().for_each(|number| all.sent(*number, sent(100)));
    all
}

#[test]
fn an_echo_is_taken_once_and_a_second_one_is_a_duplicate() {
    let mut all = under_way(&[1]);
    assert!(matches!(all.take(&datagram(7, 1, 100)), Echo::Of(_, false)));
    assert!(matches!(all.take(&datagram(7, 1, 100)), Echo::Duplicate));
}

#[test]
fn an_echo_after_a_later_one_is_reordered() {
    let mut all = under_way(&[1, 2, 3]);
    assert!(matches!(all.take(&datagram(7, 2, 100)), Echo::Of(_, false)));
    assert!(matches!(all.take(&datagram(7, 1, 100)), Echo::Of(_, true)));
    assert!(matches!(all.take(&datagram(7, 3, 100)), Echo::Of(_, false)));
}

#[test]
fn an_echo_of_what_counts_as_lost_is_late_and_the_next_one_a_duplicate() {
    let mut all = under_way(&[1]);
    assert!(all.expired(Instant::now(), Duration::ZERO).is_some());
    assert!(matches!(all.take(&datagram(7, 1, 100)), Echo::Late(_)));
    assert!(matches!(all.take(&datagram(7, 1, 100)), Echo::Duplicate));
}

#[test]
fn other_bytes_and_other_lengths_are_no_echo() {
    let mut wrong = datagram(7, 1, 100);
    wrong[50] ^= 1;
    assert!(matches!(under_way(&[1]).take(&wrong), Echo::Corrupt(_)));
    assert!(matches!(under_way(&[1]).take(&datagram(7, 1, 99)), Echo::Corrupt(_)));
    for stranger in [&b""[..], b"hello", &datagram(8, 1, 100), &datagram(7, 2, 100)] {
        assert!(matches!(under_way(&[1]).take(stranger), Echo::Stranger), "{stranger:?}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut all = UnderWay::new(7);
    for number in 0..100_000 {
        all.sent(number, sent(8));
        all.take(&datagram(7, number, 8));
    }
    assert!(all.over.len() <= REMEMBERED && all.order.len() <= REMEMBERED);
}

#[test]
fn packets_are_counted_as_ip_cuts_them() {
    let at = |bytes| packets(bytes, Some(1_500));
    assert_eq!([at(1_472), at(1_473), at(2_952), at(2_953), at(65_507)], [1, 2, 2, 3, 45]);
    assert_eq!(packets(8_192, Some(65_536)), 1);
    let sizes = swept(Some(65_536));
    assert!(sizes.contains(&1_472) && sizes.contains(&1_473), "{sizes:?}");
    assert!(swept(Some(0)).iter().all(|bytes| u64::from(*bytes) >= LEAST));
}
