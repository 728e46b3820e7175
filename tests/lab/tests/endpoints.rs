//! Where it matters for the rules, the two ends behave as Linux and lwIP do.

use std::collections::BTreeMap;

use espstress_event::Ending;
use espstress_lab::case::{Cell, Half, Onset, cells};
use espstress_lab::world::{self, Run, Setup};
use espstress_wire::{Flags, Link, Segment, decode};

const MS: u64 = 1_000_000;

fn run(wanted: impl Fn(&Cell) -> bool) -> Run {
    let cell = cells().into_iter().find(wanted).unwrap();
    world::run(&Setup { keeps: true, ..cell.setup(cell.seed(0, Half::Training)) })
}

fn is(persona: &str, link: &str, load: &str) -> impl Fn(&Cell) -> bool {
    move |cell: &Cell| {
        cell.onset == Onset::Start && (cell.truth.persona, cell.link, cell.load.name) == (persona, link, load)
    }
}

/// Every TCP segment, with its time.
fn segments(run: &Run) -> Vec<(u64, Segment)> {
    let decoded = run.kept.iter().map(|(at, bytes)| Some((*at, decode(Link::Raw, bytes, bytes.len()).ok()?)));
    decoded.flatten().collect()
}

fn is_of_host(segment: &Segment) -> bool {
    segment.source_port >= 32_768
}

/// SYNs of the host and answers to them, by port.
fn handshakes(run: &Run) -> BTreeMap<u16, (Vec<u64>, usize)> {
    let mut all: BTreeMap<u16, (Vec<u64>, usize)> = BTreeMap::new();
    for (at, segment) in segments(run) {
        if is_of_host(&segment) && segment.flags.has(Flags::SYN) {
            all.entry(segment.source_port).or_default().0.push(at);
        } else if !is_of_host(&segment) && segment.flags.has(Flags::SYN) {
            all.entry(segment.destination_port).or_default().1 += 1;
        }
    }
    all
}

#[test]
fn the_backlog_of_a_frozen_device_takes_six_and_leaves_further_syns_unanswered() {
    let run = run(is("frozen", "clean", "head 25/s x4"));
    let handshakes = handshakes(&run);
    assert_eq!(handshakes.values().filter(|(_, answers)| *answers > 0).count(), 6);
    assert!(handshakes.len() > 20, "{}", handshakes.len());
}

#[test]
fn an_unanswered_syn_is_repeated_after_one_second_and_after_two_more() {
    let run = run(is("frozen", "clean", "head 25/s x4"));
    let times: Vec<Vec<u64>> = handshakes(&run).into_values().map(|(times, _)| times).collect();
    let gaps: Vec<Vec<u64>> =
        times.iter().map(|t| t.windows(2).map(|pair| (pair[1] - pair[0]) / MS).collect()).collect();
    assert!(gaps.contains(&vec![1_000, 2_000]), "{gaps:?}");
    assert!(gaps.iter().all(|gaps| [1_000, 2_000].starts_with(gaps)), "{gaps:?}");
}

#[test]
fn the_hosts_segments_are_repeated_after_200_ms_and_not_sooner() {
    let run = run(is("robust", "lossy", "head 25/s x4"));
    let mut sent: BTreeMap<(u16, u32), u64> = BTreeMap::new();
    let mut gaps = Vec::new();
    for (at, segment) in segments(&run) {
        if is_of_host(&segment) && segment.payload > 0 {
            gaps.extend(sent.insert((segment.source_port, segment.seq), at).map(|before| (at - before) / MS));
        }
    }
    let shortest = gaps.iter().min().unwrap();
    assert!((199..=201).contains(shortest), "{gaps:?}");
}

#[test]
fn no_rst_is_on_the_wire_of_a_healthy_device_on_a_clean_link() {
    let run = run(is("robust", "clean", "head 25/s x4"));
    let resets = segments(&run).into_iter().filter(|(_, segment)| segment.flags.has(Flags::RST)).count();
    assert_eq!(resets, 0);
    let stats = &run.workloads[0].stats;
    assert_eq!(stats.endings.get(Ending::Fin), stats.succeeded);
}

#[test]
fn a_device_that_closes_with_bytes_unread_answers_and_then_resets() {
    let run = run(is("unread-close", "clean", "head 2/s x1"));
    let resets = segments(&run)
        .into_iter()
        .filter(|(_, segment)| !is_of_host(segment) && segment.flags.has(Flags::RST))
        .count() as u64;
    let stats = &run.workloads[0].stats;
    assert_eq!(stats.endings.get(Ending::Reset), stats.succeeded);
    assert!(resets >= stats.succeeded, "{resets}");
}
