use super::*;

fn sent(bytes: u32) -> Sent {
    let now = Instant::now();
    let start = Start { intended: now, actual: now, kind: LoopKind::Closed };
    Sent { start, bytes, packets: 1, replaced: false }
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
    for stranger in [&b""[..], b"hello", &datagram(!7, 1, 100), &datagram(7, 2, 100)] {
        assert!(matches!(under_way(&[1]).take(stranger), Echo::Stranger), "{stranger:?}");
    }
}

#[test]
fn an_echo_with_a_changed_mark_or_number_is_corrupt_and_no_stranger() {
    for at in 0..LEAST as usize {
        for bit in 0..8 {
            let mut wrong = datagram(7, 2, 100);
            wrong[at] ^= 1 << bit;
            let mut all = under_way(&[1, 2, 3]);
            assert!(matches!(all.take(&datagram(7, 1, 100)), Echo::Of(..)));
            assert!(matches!(all.take(&wrong), Echo::Corrupt(_)), "byte {at}, bit {bit}");
            assert_eq!(all.waiting.keys().copied().collect::<Vec<_>>(), [3], "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn a_loss_in_whose_place_another_datagram_came_is_known() {
    let lost = |came: &[&[u8]]| {
        let mut all = under_way(&[1, 2]);
        assert!(matches!(all.take(&datagram(7, 1, 100)), Echo::Of(..)));
        came.iter().for_each(|bytes| assert!(!matches!(all.take(bytes), Echo::Of(..) | Echo::Corrupt(_))));
        all.expired(Instant::now(), Duration::ZERO).map(|(_, sent)| sent.replaced)
    };
    assert_eq!(lost(&[]), Some(false));
    assert_eq!(lost(&[&datagram(7, 1, 100)]), Some(true), "the one before it came again");
    assert_eq!(lost(&[&[0; 100]]), Some(true), "one of its length");
    assert_eq!(lost(&[b"21 degrees"]), Some(false), "the device speaks by itself");
    // Several that wait for their time-out: each has its own.
    let mut all = under_way(&[1, 2, 3]);
    (0..2).for_each(|_| assert!(matches!(all.take(&[0; 100]), Echo::Stranger)));
    let replaced: Vec<_> = all.waiting.values().map(|sent| sent.replaced).collect();
    assert_eq!(replaced, [true, true, false]);
    // One that the path has lost waits for its time-out while the path repeats a later one's echo.
    let mut all = under_way(&[1, 2, 3]);
    assert!(matches!(all.take(&datagram(7, 2, 100)), Echo::Of(..)));
    assert!(matches!(all.take(&datagram(7, 2, 100)), Echo::Duplicate));
    let replaced: Vec<_> = all.waiting.values().map(|sent| sent.replaced).collect();
    assert_eq!(replaced, [false, true]);
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
