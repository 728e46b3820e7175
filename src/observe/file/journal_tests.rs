//! What is held back, what comes of a file that others change, and what the file says at its end.

use super::*;

#[test]
fn so_many_chunks_wait_for_remarks_and_of_more_the_oldest_is_written() {
    let disk = Disk::of(usize::MAX);
    let journal = Journal::new(disk.clone(), Vec::new()).unwrap();
    let (messages, received) = channel();
    let (give_back, _free) = channel();
    let many = HOLD_CHUNKS as u64 + 1;
    for number in 1..=many {
        messages.send(Message::Packets(chunk(number..number + 1, b"x"))).unwrap();
    }
    let remarks = vec![(1, "too late".to_owned()), (2, "in time".to_owned())];
    messages.send(Message::Packets(Chunk { remarks, ..Chunk::default() })).unwrap();
    drop(messages);
    assert_eq!(journal.run(&received, &give_back).packets, many);
    assert!(disk.contains("packet 1 of the capture: too late"));
    assert!(disk.contains("in time") && !disk.contains("packet 2 of the capture"));
}

#[test]
fn a_chunk_that_comes_back_from_the_disk_is_empty() {
    let mut journal = Journal::new(Disk::of(usize::MAX), Vec::new()).unwrap();
    let (give_back, free) = channel();
    let mut used = chunk(1..5, b"x");
    used.remarks.push((1, "late_rst (device)".to_owned()));
    journal.write(used, &give_back);
    let free = free.recv().unwrap();
    assert!(free.entries.is_empty() && free.bytes.is_empty() && free.remarks.is_empty());
}

#[test]
fn a_file_that_others_truncate_takes_nothing_more_and_one_that_they_rename_does() {
    let (give_back, _free) = channel();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.pcapng");
    let begin = || {
        let file = File::create(&path).unwrap();
        Journal::new(Named { file, path: path.clone() }, head()).unwrap()
    };
    let mut journal = begin();
    let lost = journal.lost();
    journal.look();
    assert_eq!(lost.get(), None);
    File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    journal.look();
    assert_eq!(lost.get(), Some(&Lost::Truncated), "the capture knows at once");
    journal.write(chunk(1..5, b"x"), &give_back);
    let report = journal.close(None);
    assert_eq!((report.packets, report.missed, report.lost), (0, 4, Some(Lost::Truncated)));
    assert!(std::fs::read(&path).unwrap().is_empty(), "what came later would stand behind a hole");

    let mut journal = begin();
    let elsewhere = dir.path().join("elsewhere.pcapng");
    std::fs::rename(&path, &elsewhere).unwrap();
    journal.look();
    journal.write(chunk(1..5, b"x"), &give_back);
    let report = journal.close(None);
    assert_eq!((report.packets, report.missed, report.lost), (4, 0, Some(Lost::Removed)));
    let mut reader = Reader::open(&elsewhere).unwrap();
    while reader.next_record().is_some() {}
    assert_eq!((reader.packets(), reader.end().unwrap().is_complete()), (4, true));
}

#[test]
fn what_is_written_after_a_cut_follows_what_was_left() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.pcapng");
    let file = File::options().create(true).append(true).open(&path).unwrap();
    let mut named = Named { file, path: path.clone() };
    named.append(b"whole and hal").unwrap();
    named.cut(6).unwrap();
    named.append(b"again").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"whole again");
}

#[test]
fn a_file_says_when_its_first_and_its_last_packet_came() {
    let disk = Disk::of(usize::MAX);
    let mut journal = Journal::new(disk.clone(), Vec::new()).unwrap();
    let (give_back, _free) = channel();
    journal.write(chunk(5..8, b"x"), &give_back);
    journal.write(chunk(8..10, b"x"), &give_back);
    let _ = journal.close(None);
    let time = |code: u8, at: u8| [code, 0, 8, 0, 0, 0, 0, 0, at, 0, 0, 0];
    assert!(disk.contains([time(2, 5), time(3, 9)].concat()));
}
