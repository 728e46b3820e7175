use std::sync::Arc;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::{Look, Screen, draw};
use espstress_event::{
    DeviceProgress, DeviceSample, Event, EventSink, Expected, Failure, OutageOrigin, OutageRow,
    PhaseProgress, ProbeProgress, Probed, Telemetry,
};
use espstress_report::Live;
use espstress_stats::Phase;

const S: u64 = 1_000_000_000;

fn run() -> Live {
    let mut live = Live::new([("paced".to_owned(), Phase::Total)]);
    let start = Event::RunStarted {
        scenario: "soak".into(),
        target: "192.168.4.1 at 192.168.4.1:80".into(),
        seed: 7,
        start_unix_ns: 0,
    };
    live.event(&start);
    for (name, expected) in [("paced", Expected::Duration(24 * 3_600 * S)), ("rw", Expected::Count(1_000))] {
        live.event(&Event::PhaseStarted { workload: name.into(), at_ns: 0, expected });
    }
    for second in 1..=90 {
        let mut progress =
            PhaseProgress { attempts: second * 123, succeeded: second * 123, ..PhaseProgress::default() };
        progress.latencies = Arc::from(vec![(4_000_000, 120), (90_000_000, 3)]);
        (progress.p50_ns, progress.p99_ns, progress.open) = (Some(4_000_000), Some(90_000_000), 2);
        if second >= 30 {
            progress.failures.add(Failure::ReadTimeout, 12);
            progress.succeeded -= 12;
        }
        live.event(&Event::Interval { workload: "paced".into(), at_ns: second * S, progress });
    }
    let telemetry = Telemetry {
        heap_free_bytes: Some(97_000),
        sockets_used: Some(7),
        sockets_limit: Some(10),
        wifi_rssi_dbm: Some(-61),
        ..Telemetry::default()
    };
    let device = DeviceProgress {
        samples: 90,
        newest: DeviceSample { asked_ns: 90 * S, at_ns: 90 * S, telemetry },
        restart_count: 1,
        restarts: Vec::new(),
        disconnects: None,
        readings: Vec::new(),
    };
    let icmp = ProbeProgress {
        sent: 90,
        answered: 88,
        longest_gap_ns: None,
        silences: Vec::new(),
        latencies: Arc::from(Vec::new()),
    };
    let probed = Probed { icmp: Some(icmp), tcp: None, telemetry: None, device: Some(device) };
    live.event(&Event::Probed { at_ns: 90 * S, probed: Arc::new(probed) });
    let mut outage = OutageRow::new(1, OutageOrigin::Made);
    (outage.seen_start_ns, outage.seen_end_ns, outage.recovered_ns) =
        (Some(40 * S), Some(42 * S), Some(43 * S));
    live.event(&Event::Outage { workload: "outage".into(), outage });
    live.event(&Event::Notice {
        text: "packets are not looked at: \x1b[2Jno rights, and a sentence that goes on and on".into(),
    });
    live
}

fn drawn(live: &Live, width: u16, height: u16, blocks: bool) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let screen = Screen::of(live, Duration::from_secs(90));
    terminal.draw(|frame| draw(frame, &screen, Look { coloured: false, blocks })).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width));
    let line = |row: &[ratatui::buffer::Cell]| row.iter().map(|cell| cell.symbol()).collect::<String>();
    rows.map(|row| line(row).trim_end().to_owned() + "\n").collect()
}

#[test]
fn a_small_terminal_shows_what_matters() {
    insta::assert_snapshot!(drawn(&run(), 60, 20, false));
}

#[test]
fn a_large_terminal_shows_all_of_it() {
    insta::assert_snapshot!(drawn(&run(), 120, 40, true));
}

#[test]
fn lines_of_the_console_take_the_place_of_remarks_and_the_newest_is_first() {
    let mut live = run();
    let lines = ["I (900) app: up".to_owned(), "I (1234) wifi: \x1b[2Jconnected".to_owned()];
    live.event(&Event::ConsoleLines { lines: lines.into() });
    let text = drawn(&live, 80, 24, false);
    let console = "Console of the device\nI (1234) wifi:  [2Jconnected\nI (900) app: up\n";
    assert!(text.contains(console) && !text.contains("Remarks"), "{text}");
    // Each list is that of all: what scrolled away is gone.
    live.event(&Event::ConsoleLines { lines: ["I (2000) app: next".to_owned()].into() });
    let text = drawn(&live, 80, 24, false);
    assert!(text.contains("next") && !text.contains("(900)"), "{text}");
}

#[test]
fn heap_and_sockets_are_the_newest_whether_or_not_probes_have_been_summed_up() {
    let told = |heap, sockets| {
        let telemetry = Telemetry {
            heap_free_bytes: Some(heap),
            sockets_used: sockets,
            sockets_limit: Some(10),
            ..Telemetry::default()
        };
        Event::Device { at_ns: 91 * S, telemetry: Arc::new(telemetry) }
    };
    let mut live = run();
    live.event(&told(54_000, Some(9)));
    let text = drawn(&live, 80, 24, false);
    assert!(text.contains("heap 52.7 KiB, sockets 9 of 10, 1 restart"), "{text}");
    // A console tells of the heap where there are no probes.
    let mut live = Live::default();
    live.event(&told(80_000, None));
    let text = drawn(&live, 60, 20, false);
    assert!(text.contains("heap 78.1 KiB\n"), "{text}");
}

#[test]
fn nothing_and_too_much_are_drawn_at_any_size() {
    let mut crowded = run();
    for i in 0..40 {
        let workload = format!("workload-with-a-long-name-{i}");
        crowded.event(&Event::PhaseStarted { workload, at_ns: 0, expected: Expected::Open });
    }
    for live in [Live::default(), crowded] {
        for (width, height) in [(1, 1), (20, 5), (60, 20), (99, 24), (300, 100)] {
            let text = drawn(&live, width, height, true);
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        }
    }
}
