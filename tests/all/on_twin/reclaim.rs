//! When the device takes back the sockets of peers that vanished: its keep-alive, as the options of the socket have it.

use espstress_event::AnomalyClass;

use super::{of_class, on_twin, on_twins, said, says};

/// What reclaim may take beyond the keep-alive's own time, seconds. lwIP looks at it in `tcp_slowtmr`, each 500 ms,
/// and acts on the first look after the time is over; the host's last ACK may come 40 ms after its silence. As much
/// again for a busy machine.
const BEYOND: f64 = 1.1;

/// A reclaim before its time can only come of the clocks' grain, seconds.
const BEFORE: f64 = 0.1;

#[test]
fn sockets_come_back_after_idle_time_and_interval_times_count_whatever_made_the_silence() {
    let settings = [(2, 1, 3, "filter"), (2, 1, 3, "link"), (4, 2, 2, "filter"), (10, 3, 3, "filter")];
    let runs = settings.map(|(idle, interval, count, by)| {
        let time = idle + interval * count;
        format!(
            "half-open twin --by {by} -c 5 --persona robust:idle={idle}s,interval={interval}s,count={count} \
             --baseline 1s --expect-reclaim {}s --watch-reclaim {}s",
            time + 1,
            time + 6
        )
    });
    let Some(reports) = on_twins(runs.each_ref().map(String::as_str)) else { return };
    for ((idle, interval, count, by), report) in settings.into_iter().zip(&reports) {
        let time = f64::from(idle + interval * count);
        let figures = report.workloads[0].half_open.as_ref().expect("a half-open section");
        println!("{idle} s + {count} x {interval} s, by {by}: {figures:?}");
        assert_eq!(figures.silenced, 5);
        let allowed = time - BEFORE..=time + BEYOND;
        for reclaimed in [figures.first_reclaimed_s, figures.all_reclaimed_s] {
            let reclaimed = reclaimed.expect("every socket comes back");
            assert!(allowed.contains(&reclaimed), "{reclaimed} s of {allowed:?}");
        }
        says(report, &[]);
    }
}

#[test]
fn vanished_connections_that_a_robust_device_still_holds_are_room_that_the_run_has_taken() {
    let Some(report) = on_twin("head twin --close vanish --rate 1/s -d 20s") else { return };
    let w = &report.workloads[0];
    // It was full: some had to wait until keep-alive had found out, and so had the probes.
    assert!(w.attempts > w.succeeded && w.succeeded > 4, "{} of {}", w.succeeded, w.attempts);
    assert!(!of_class(&report, AnomalyClass::Provoked).is_empty());
    assert_eq!(of_class(&report, AnomalyClass::Device), Vec::<String>::new());
    assert_eq!(said(&report), []);
}
