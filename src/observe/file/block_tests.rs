use super::*;

/// The block of a packet of four bytes, behind its fixed part and these bytes, up to its second length.
fn behind(travel: Travel, missed: u32, comment: Option<&str>) -> Vec<u8> {
    let mut block = Vec::new();
    let packet = Packet { at_ns: 1, bytes: b"abcd", original_len: 4, travel, missed, comment };
    enhanced_packet(&mut block, &packet);
    block[28 + 4..block.len() - 4].to_vec()
}

/// Options as the draft has them: code, length, value, padding.
fn options(list: &[(u8, &[u8])]) -> Vec<u8> {
    let mut all = Vec::new();
    for (code, value) in list {
        all.extend([*code, 0, value.len() as u8, 0]);
        all.extend(*value);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    all
}

const END: (u8, &[u8]) = (0, &[]);

#[test]
fn a_packet_says_which_way_it_went_where_that_is_known() {
    assert_eq!(behind(Travel::Incoming, 0, None), options(&[(2, &[1, 0, 0, 0]), END]));
    assert_eq!(behind(Travel::Outgoing, 0, None), options(&[(2, &[2, 0, 0, 0]), END]));
}

#[test]
fn a_packet_of_which_there_is_nothing_to_say_has_no_options() {
    assert!(behind(Travel::Unknown, 0, None).is_empty());
}

#[test]
fn what_is_missing_before_a_packet_and_what_is_said_of_it_stand_beside_it() {
    let both = options(&[(4, &[3, 0, 0, 0, 0, 0, 0, 0]), (1, b"late_rst"), END]);
    assert_eq!(behind(Travel::Unknown, 3, Some("late_rst")), both);
}

#[test]
fn the_end_of_a_file_says_when_it_began_and_ended_and_what_the_system_and_the_disk_lost() {
    let (first_ns, last_ns) = (0x1_0000_0002, 0x3_0000_0004);
    let stats = Some(CaptureStats { packets: 12, dropped: 3, ..CaptureStats::default() });
    let mut block = Vec::new();
    statistics(&mut block, &Summary { first_ns, last_ns, stats, written: 7, missed: 2, comment: None });
    let count = |n: u8| [n, 0, 0, 0, 0, 0, 0, 0];
    let time = |high: u8, low: u8| [high, 0, 0, 0, low, 0, 0, 0];
    let (start, stop) = (time(1, 2), time(3, 4));
    let [received, system, all, delivered] = [12, 3, 5, 7].map(count);
    let said =
        options(&[(2, &start), (3, &stop), (4, &received), (7, &system), (5, &all), (8, &delivered), END]);
    assert_eq!(block[12..20], stop);
    assert_eq!(block[20..block.len() - 4], said);
}
