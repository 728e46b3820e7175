//! Whether each link does what its numbers say, in many frames and with a fixed seed. Tolerances are about four
//! standard errors of the figure, so that another seed would pass as well.

use espstress_twin::link::{BEACON_NS, Direction, Link, LinkEvent, LinkSpec, NAMED, OutageCause, Passage};

const SEED: u64 = 20_261_121;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

fn link(text: &str) -> Link {
    Link::new(text.parse().unwrap_or_else(|e| panic!("{text}: {e}")), SEED, 0)
}

/// Time on the way of `count` frames of 60 bytes sent `gap_ns` apart; `None` for a lost one.
fn times(link: &mut Link, direction: Direction, count: u64, gap_ns: u64) -> Vec<Option<u64>> {
    let mut times = vec![None; count as usize];
    let mut frame = [0; 60];
    for n in 0..=count {
        let now = n * gap_ns;
        let until = if n == count { u64::MAX } else { now };
        while let Some(due) = link.next_due_ns().filter(|&due| due <= until && due < 1_u64 << 62) {
            while link.poll_event().is_some() {}
            while let Some((_, bytes)) = link.poll(due) {
                let n = u64::from_be_bytes(bytes[..8].try_into().unwrap());
                times[n as usize].get_or_insert(due - n * gap_ns);
            }
            if n == count && link.counters(direction).held == 0 {
                break;
            }
        }
        if n < count {
            frame[..8].copy_from_slice(&n.to_be_bytes());
            if link.push(direction, &frame, now) == Passage::Through {
                times[n as usize] = Some(0);
            }
        }
    }
    times
}

fn assert_near(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!(
        (found - expected).abs() <= tolerance,
        "{what}: {found} is not {expected} +- {tolerance} (seed {SEED})"
    );
}

#[test]
fn each_named_link_delays_as_its_numbers_say() {
    for named in NAMED {
        let spec: LinkSpec = format!("{},outage=none", named.name).parse().unwrap();
        for direction in Direction::ALL {
            if spec.beacons().is_some() && direction == Direction::ToDevice {
                continue; // Below, with the beacons.
            }
            let path = spec.path(direction);
            // A second apart: no frame waits for another one.
            let mut link = Link::new(spec.clone(), SEED, 0);
            let times: Vec<f64> = times(&mut link, direction, 20_000, SECOND)
                .into_iter()
                .flatten()
                .map(|ns| ns as f64)
                .collect();
            let air = path.rate.map_or(0.0, |rate| 480e9 / rate as f64);
            let expected = path.delay_ns as f64 + path.jitter_ns as f64 / 2.0 + air;
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            // Uniform: standard deviation jitter / sqrt(12), here over at least 19,000 frames.
            let tolerance = 4.0 * path.jitter_ns as f64 / 12_f64.sqrt() / 19_000_f64.sqrt() + 2.0;
            assert_near(&format!("{} mean delay", named.name), mean, expected, tolerance);
            let (least, most) = times.iter().fold((f64::MAX, 0_f64), |(a, b), &t| (a.min(t), b.max(t)));
            assert!(
                least >= path.delay_ns as f64 && most <= (path.delay_ns + path.jitter_ns) as f64 + air + 1.0
            );
        }
    }
}

#[test]
fn each_named_link_loses_the_share_and_in_the_runs_its_numbers_say() {
    const FRAMES: usize = 200_000;
    for named in NAMED {
        let spec: LinkSpec = format!("{},outage=none,power-save=none", named.name).parse().unwrap();
        for direction in Direction::ALL {
            let path = spec.path(direction);
            let mut link = Link::new(spec.clone(), SEED, 0);
            let fates: Vec<bool> =
                times(&mut link, direction, FRAMES as u64, 100 * MS).iter().map(Option::is_none).collect();
            let lost = fates.iter().filter(|&&lost| lost).count() as f64;
            let burst = path.burst.unwrap_or(1.0 / (1.0 - path.loss));
            // Runs inflate the variance of the share by less than twice the mean run.
            let tolerance = 4.0 * (path.loss * (1.0 - path.loss) * 2.0 * burst / FRAMES as f64).sqrt();
            assert_near(&format!("{} loss", named.name), lost / FRAMES as f64, path.loss, tolerance);
            let runs = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
            if runs > 100.0 {
                // Geometric: standard deviation of a run is below its mean.
                assert_near(&format!("{} run", named.name), lost / runs, burst, 4.0 * burst / runs.sqrt());
            } else {
                assert_eq!(path.loss, 0.0, "{} lost too few frames to tell", named.name);
            }
        }
    }
}

#[test]
fn bursts_have_the_asked_length_and_share_over_the_whole_range() {
    const FRAMES: usize = 400_000;
    for (loss, burst) in [(0.01, 1.0), (0.02, 4.0), (0.1, 10.0), (0.4, 2.0), (0.05, 1.5)] {
        let mut link = link(&format!("loss={loss},burst={burst}"));
        let fates: Vec<bool> = (0..FRAMES)
            .map(|n| link.push(Direction::ToHost, &[0; 60], n as u64 * MS) == Passage::Lost)
            .collect();
        let lost = fates.iter().filter(|&&lost| lost).count() as f64;
        let runs = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        let tolerance = 4.0 * (loss * (1.0 - loss) * 2.0 * burst / FRAMES as f64).sqrt();
        assert_near("loss", lost / FRAMES as f64, loss, tolerance);
        assert_near("run", lost / runs, burst, 4.0 * burst / runs.sqrt());
    }
}

#[test]
fn duplicates_have_the_asked_share() {
    let mut link = link("duplicate=10%");
    times(&mut link, Direction::ToHost, 100_000, MS);
    let share = link.counters(Direction::ToHost).duplicated as f64 / 100_000.0;
    assert_near("duplicates", share, 0.1, 4.0 * (0.1_f64 * 0.9 / 100_000.0).sqrt());
}

#[test]
fn a_rate_lets_exactly_that_many_bits_through() {
    // 1,250 bytes at 10 Mbit/s are 1 ms each: of two seconds' load offered in one, the second half is still there.
    let mut link = link("rate=10Mbit/s,queue=8192");
    for _ in 0..2_000 {
        assert_eq!(link.push(Direction::ToDevice, &[0; 1_250], 0), Passage::Held);
    }
    let mut out = 0;
    while link.poll(SECOND).is_some() {
        out += 1;
    }
    assert_eq!(out, 1_000);
}

#[test]
fn a_sleeping_device_gets_its_frames_at_the_beacon_it_listens_to() {
    for (name, beacons) in
        [("min-modem", 1.0), ("max-modem", 3.0), ("min-modem,dtim=2", 2.0), ("max-modem,listen=10", 10.0)]
    {
        let spec: LinkSpec = format!("{name},delay=0ms,jitter=0ms,rate=none").parse().unwrap();
        let interval = beacons * BEACON_NS as f64;
        let mut link = Link::new(spec, SEED, 0);
        // 1.2347 s apart: every place between two beacons is met evenly.
        let mut waits: Vec<f64> = times(&mut link, Direction::ToDevice, 10_000, 1_234_700_000)
            .into_iter()
            .map(|t| t.unwrap() as f64)
            .collect();
        waits.sort_by(f64::total_cmp);
        // Uniform between 0 and the interval: the Kolmogorov-Smirnov distance over 10,000 is below 2 %.
        let distance = waits
            .iter()
            .enumerate()
            .map(|(n, w)| (w / interval - n as f64 / 10_000.0).abs())
            .fold(0.0, f64::max);
        assert!(distance < 0.02, "{name}: {distance} (seed {SEED})");
        assert!(waits[9_999] <= interval, "{name}: {}", waits[9_999]);
    }
}

#[test]
fn a_device_that_has_just_sent_or_received_is_awake() {
    let mut link = link("power-save=min-modem,awake=10ms");
    assert_eq!(link.push(Direction::ToHost, &[0; 60], SECOND), Passage::Through);
    assert_eq!(link.push(Direction::ToDevice, &[0; 60], SECOND + 9 * MS), Passage::Through);
    assert_eq!(
        link.push(Direction::ToDevice, &[0; 60], SECOND + 18 * MS),
        Passage::Through,
        "receiving counts"
    );
    assert_eq!(link.push(Direction::ToDevice, &[0; 60], SECOND + 29 * MS), Passage::Held, "asleep again");
    assert_eq!(link.push(Direction::ToHost, &[0; 60], SECOND + 30 * MS), Passage::Through);
    assert!(link.poll(SECOND + 30 * MS).is_some(), "sending fetches what was kept");
}

/// Begins and lengths of outages up to `until_ns`.
fn outages(link: &mut Link, until_ns: u64) -> Vec<(u64, u64, OutageCause)> {
    let mut seen = Vec::new();
    let mut began = None;
    while let Some(due) = link.next_due_ns().filter(|&due| due <= until_ns) {
        assert!(link.poll(due).is_none());
        while let Some(event) = link.poll_event() {
            match event {
                LinkEvent::Down { at_ns, cause } => began = Some((at_ns, cause)),
                LinkEvent::Up { at_ns } => {
                    let (begin, cause) = began.take().expect("an outage ends that has begun");
                    seen.push((begin, at_ns - begin, cause));
                }
            }
        }
    }
    seen
}

#[test]
fn outages_begin_and_end_when_planned() {
    let mut link = link("outage=2s@10s,outage=500ms/60s");
    let seen = outages(&mut link, 200 * SECOND);
    let planned = |begin, length| (begin * MS, length * MS, OutageCause::Planned);
    assert_eq!(
        seen,
        [planned(10_000, 2_000), planned(60_000, 500), planned(120_000, 500), planned(180_000, 500)]
    );
}

#[test]
fn outages_by_chance_have_the_asked_mean_gap_and_range_of_lengths() {
    let mut link = link("roaming");
    let seen = outages(&mut link, 1_000_000 * SECOND);
    let count = seen.len() as f64;
    assert!(count > 30_000.0, "{count}");
    let length = seen.iter().map(|o| o.1 as f64).sum::<f64>() / count / 1e9;
    // Uniform 1 to 3 s: standard deviation 0.577 s.
    assert_near("mean length", length, 2.0, 4.0 * 0.577 / count.sqrt());
    assert!(seen.iter().all(|o| (SECOND..=3 * SECOND).contains(&o.1)));
    let gaps: Vec<f64> = seen.windows(2).map(|o| (o[1].0 - o[0].0 - o[0].1) as f64 / 1e9).collect();
    assert_near("mean gap", gaps.iter().sum::<f64>() / count, 30.0, 4.0 * 30.0 / count.sqrt());
    // Exponential: half of them are below mean x ln 2.
    let below = gaps.iter().filter(|&&gap| gap < 30.0 * 2_f64.ln()).count() as f64 / count;
    assert_near("median gap", below, 0.5, 4.0 * 0.5 / count.sqrt());
}

#[test]
fn an_asked_outage_begins_at_once_and_loses_what_meets_it_in_both_directions() {
    let mut link = link("delay=100ms");
    assert_eq!(link.push(Direction::ToHost, &[0; 60], 0), Passage::Held);
    link.start_outage(SECOND, 50 * MS);
    assert_eq!(link.push(Direction::ToDevice, &[0; 60], 51 * MS), Passage::Lost);
    assert!(link.poll(120 * MS).is_none(), "what was on its way is lost too");
    assert_eq!(link.push(Direction::ToHost, &[0; 60], 1_050 * MS), Passage::Held);
    assert_eq!(link.counters(Direction::ToHost).lost.outage, 1);
    assert_eq!(link.counters(Direction::ToDevice).lost.outage, 1);
    assert_eq!(link.poll_event(), Some(LinkEvent::Down { at_ns: 50 * MS, cause: OutageCause::Asked }));
    assert_eq!(link.poll_event(), Some(LinkEvent::Up { at_ns: 1_050 * MS }));
}
