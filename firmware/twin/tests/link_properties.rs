//! What holds of every link, whatever its settings and traffic.

use espstress_twin::link::{Direction, Link, LinkSpec, Order, Passage};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// Settings in their own grammar, so that the grammar is exercised too.
fn settings() -> impl Strategy<Value = String> {
    let path = (0_u64..50, 0_u64..50, 0..40_u32, 0..20_u32, prop::option::of(10_u64..20_000), 1..64_u32);
    let path = path.prop_map(|(delay, jitter, loss, duplicate, rate, queue)| {
        let rate = rate.map_or("none".to_owned(), |rate| format!("{rate}kbit/s"));
        format!(
            "delay={delay}ms,jitter={jitter}ms,loss={loss}%,duplicate={duplicate}%,rate={rate},queue={queue}"
        )
    });
    let burst = prop_oneof![
        Just(String::new()),
        (10..50_u32).prop_map(|b| format!(",burst={}", f64::from(b) / 10.0))
    ];
    let order = prop_oneof![Just(",order=kept"), Just(",order=free")];
    let sleep = prop_oneof![
        Just(String::new()),
        (1..5_u32, 0..30_u32)
            .prop_map(|(dtim, awake)| format!(",power-save=min-modem,dtim={dtim},awake={awake}ms")),
        (1..20_u32).prop_map(|listen| format!(",power-save=max-modem,listen={listen}")),
    ];
    let outage = prop_oneof![
        Just(String::new()),
        (1..500_u32, 1..900_u32).prop_map(|(length, every)| format!(",outage={length}ms/{every}ms")),
        (1..500_u32, 1..900_u32).prop_map(|(length, mean)| format!(",outage=1ms-{length}ms~{mean}ms")),
        (1..500_u32, 0..900_u32).prop_map(|(length, at)| format!(",outage={length}ms@{at}ms")),
    ];
    (path, burst, order, sleep, outage)
        .prop_map(|(path, burst, order, sleep, outage)| format!("{path}{burst}{order}{sleep}{outage}"))
}

/// Frames as (gap in microseconds, direction, length).
fn traffic() -> impl Strategy<Value = Vec<(u64, Direction, usize)>> {
    let direction = prop_oneof![Just(Direction::ToDevice), Just(Direction::ToHost)];
    prop::collection::vec((0_u64..20_000, direction, 14_usize..1_514), 1..300)
}

/// What came out, and when.
#[derive(Debug, PartialEq, Clone)]
struct Arrival {
    at_ns: u64,
    direction: Direction,
    number: u32,
}

fn frame(number: u32, len: usize) -> Vec<u8> {
    let mut frame = vec![0; len];
    frame[..4].copy_from_slice(&number.to_be_bytes());
    frame
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]])
}

/// Runs traffic through a link, as a loop with an exact timer would.
fn run(link: &mut Link, traffic: &[(u64, Direction, usize)], begin_ns: u64) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    let mut now = begin_ns;
    let drain = |link: &mut Link, until: u64, arrivals: &mut Vec<Arrival>| {
        while let Some(due) = link.next_due_ns().filter(|&due| due <= until) {
            while link.poll_event().is_some() {}
            while let Some((direction, bytes)) = link.poll(due) {
                arrivals.push(Arrival { at_ns: due, direction, number: number(bytes) });
            }
        }
    };
    for (n, &(gap, direction, len)) in traffic.iter().enumerate() {
        now += gap * 1_000;
        drain(link, now, &mut arrivals);
        let n = n as u32;
        let passage = link.push(direction, &frame(n, len), now);
        drain(link, now, &mut arrivals);
        if passage == Passage::Through {
            arrivals.push(Arrival { at_ns: now, direction, number: n });
        }
        check_books(link);
    }
    drain(link, now + 60 * SECOND, &mut arrivals);
    arrivals
}

fn check_books(link: &Link) {
    for direction in Direction::ALL {
        let c = link.counters(direction);
        assert_eq!(
            c.frames_in + c.duplicated,
            c.frames_out + c.lost.total() + c.held,
            "{direction:?}: {c:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_comes_out_or_is_counted_as_lost(text in settings(), traffic in traffic(), seed: u64) {
        let mut link = Link::new(text.parse().unwrap(), seed, SECOND);
        let arrivals = run(&mut link, &traffic, SECOND);
        for direction in Direction::ALL {
            let c = *link.counters(direction);
            let put_in = traffic.iter().filter(|frame| frame.1 == direction).count();
            let out = arrivals.iter().filter(|arrival| arrival.direction == direction).count();
            prop_assert_eq!(c.frames_in, put_in as u64);
            prop_assert_eq!(c.frames_out, out as u64);
            prop_assert_eq!(c.held, 0);
        }
        check_books(&link);
    }

    #[test]
    fn order_kept_is_kept_in_each_direction(text in settings(), traffic in traffic(), seed: u64) {
        let spec: LinkSpec = format!("{text},order=kept").parse().unwrap();
        let arrivals = run(&mut Link::new(spec, seed, 0), &traffic, 0);
        for direction in Direction::ALL {
            let numbers: Vec<_> = arrivals.iter().filter(|a| a.direction == direction).map(|a| a.number).collect();
            prop_assert!(numbers.is_sorted(), "{:?}", numbers);
        }
    }

    #[test]
    fn the_same_seed_and_frames_meet_the_same_fate(text in settings(), traffic in traffic(), seed: u64) {
        let spec: LinkSpec = text.parse().unwrap();
        let once = run(&mut Link::new(spec.clone(), seed, 5), &traffic, 5);
        let again = run(&mut Link::new(spec, seed, 5), &traffic, 5);
        prop_assert_eq!(once, again);
    }

    #[test]
    fn no_frame_arrives_before_its_delay(text in settings(), traffic in traffic(), seed: u64) {
        let spec: LinkSpec = text.parse().unwrap();
        let sent: Vec<u64> = traffic.iter().scan(0, |now, frame| { *now += frame.0 * 1_000; Some(*now) }).collect();
        for arrival in run(&mut Link::new(spec.clone(), seed, 0), &traffic, 0) {
            let delay = spec.path(arrival.direction).delay_ns;
            prop_assert!(arrival.at_ns >= sent[arrival.number as usize] + delay, "{:?}", arrival);
        }
    }

    #[test]
    fn a_link_written_out_reads_back_as_itself(text in settings(), down in settings()) {
        let down: String = down.split(',').filter(|item| !["outage", "power-save", "dtim", "listen", "awake"]
            .iter().any(|key| item.starts_with(key))).map(|item| format!(",down.{item}")).collect();
        // Runs of the one direction may not make up the losses of the other's settings.
        if let Ok(spec) = format!("{text}{down}").parse::<LinkSpec>() {
            prop_assert_eq!(spec.to_string().parse::<LinkSpec>(), Ok(spec));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}", key in "(up\\.|down\\.)?(delay|loss|burst|rate|outage|dtim|queue)", value in "[0-9.%a-z/@~-]{0,12}") {
        let _ = text.parse::<LinkSpec>();
        let _ = format!("{key}={value}").parse::<LinkSpec>();
    }

    #[test]
    fn changing_the_jitter_leaves_the_losses_where_they_were(seed: u64, jitter in 1..50_u32) {
        let lost = |text: String| {
            let mut link = Link::new(text.parse().unwrap(), seed, 0);
            (0..500).map(|n| link.push(Direction::ToHost, &[0; 60], n * SECOND) == Passage::Lost).collect::<Vec<_>>()
        };
        prop_assert_eq!(lost("loss=20%".to_owned()), lost(format!("loss=20%,duplicate=10%,jitter={jitter}ms")));
    }
}

#[test]
fn clean_hands_every_frame_through_at_once() {
    let mut link = Link::new(LinkSpec::CLEAN, 1, 0);
    for n in 0..10_000 {
        let direction = Direction::ALL[n as usize % 2];
        assert_eq!(link.push(direction, &[0; 1514], n), Passage::Through);
    }
    assert_eq!(link.next_due_ns(), None);
}

#[test]
fn order_free_lets_frames_overtake() {
    let spec: LinkSpec = "jitter=50ms,order=free".parse().unwrap();
    assert_eq!(spec.to_host.order, Order::Free);
    let traffic: Vec<_> = (0..100).map(|_| (1_000, Direction::ToHost, 60)).collect();
    let arrivals = run(&mut Link::new(spec, 7, 0), &traffic, 0);
    assert!(!arrivals.is_sorted_by_key(|arrival| arrival.number));
}

#[test]
fn a_full_queue_drops_the_newest_frames() {
    // 1,250 bytes take 10 ms at 1 Mbit/s: of 20 at once, 5 fit.
    let mut link = Link::new("rate=1Mbit/s,queue=5".parse().unwrap(), 1, 0);
    let traffic: Vec<_> = (0..20).map(|_| (0, Direction::ToDevice, 1_250)).collect();
    let arrivals = run(&mut link, &traffic, 0);
    let expected: Vec<_> = (0..5).map(|n| (n, u64::from(n + 1) * 10_000_000)).collect();
    assert_eq!(arrivals.iter().map(|a| (a.number, a.at_ns)).collect::<Vec<_>>(), expected);
    assert_eq!(link.counters(Direction::ToDevice).lost.queue, 15);
}

#[test]
fn a_link_that_becomes_clean_again_overtakes_nothing_on_its_way() {
    let mut link = Link::new("delay=50ms".parse().unwrap(), 1, 0);
    assert_eq!(link.push(Direction::ToHost, &frame(1, 60), 0), Passage::Held);
    link.set_spec(LinkSpec::CLEAN, 10_000_000);
    assert_eq!(link.push(Direction::ToHost, &frame(2, 60), 20_000_000), Passage::Held);
    assert!(link.poll(49_999_999).is_none());
    assert_eq!(link.poll(50_000_000).map(|(_, bytes)| number(bytes)), Some(1));
    assert_eq!(link.poll(50_000_000).map(|(_, bytes)| number(bytes)), Some(2));
    assert_eq!(link.push(Direction::ToHost, &frame(3, 60), 60_000_000), Passage::Through);
}
