//! The HTML report as a page: what a reader of it must find whole.

use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::report_support as make;
use espstress_device::persona::Kind;
use espstress_event::{PhaseProgress, WorkloadKind};
use espstress_report::{
    Announced, Format, IntervalLine, LogLine, LogStart, Options, PhaseStart, Report, Target, TargetKind,
    render,
};
use espstress_stats::{Latency, Phase};
use serde_json::json;

const HOUR: f64 = 3_600.0;

/// The log of fifteen days, with an outage every three hours, a heap that shrinks, and no end.
fn log_of_360_hours() -> String {
    const STEP_S: u64 = 900;
    let params = json!({ "connections": 2 });
    let announced = |name: &str, kind: WorkloadKind, main_phase| Announced {
        name: name.into(),
        kind: kind.name().into(),
        params: params.clone(),
        facts: None,
        main_phase,
    };
    let target = Target::new("192.168.4.91:80", TargetKind::Twin);
    let mut start = LogStart::new(target, json!({ "name": "resilience-360h" }), 7);
    start.started(1_767_225_600_000_000_000);
    start.workloads = vec![
        announced("data", WorkloadKind::Outage, Phase::Heartbeat),
        announced("head", WorkloadKind::Head, Phase::Total),
    ];
    let mut text = LogLine::Start(Box::new(start)).to_text();
    for workload in ["data", "head"] {
        let begun = PhaseStart { workload: workload.into(), at_s: 0.0 };
        text.push_str(&LogLine::PhaseStart(begun).to_text());
    }
    let mut so_far = [PhaseProgress::default(), PhaseProgress::default()];
    for step in 0..(360 * 3_600 / STEP_S) {
        let (from, to) = ((step * STEP_S) as f64, ((step + 1) * STEP_S) as f64);
        // Slower by day than by night, and a stall now and then.
        let day = (1.0 + (to / (24.0 * HOUR) * std::f64::consts::TAU).sin()) * 3e6;
        let away = step % 12 == 11;
        for (progress, name) in so_far.iter_mut().zip(["data", "head"]) {
            let before = progress.clone();
            if name == "data" {
                let made = if away { 1 } else { 0 };
                progress.outages.get_or_insert_default().made += made;
            }
            let failed = if away { 3 } else { 0 };
            progress.attempts += STEP_S / 4;
            progress.succeeded += STEP_S / 4 - failed;
            progress.failures.add(espstress_event::Failure::ConnectTimeout, failed);
            let mut latencies = Latency::default();
            for n in 0..20 {
                let tail = if n == 19 && step % 97 == 3 { 400_000_000 } else { 0 };
                latencies.record(2_000_000 + day as u64 + n * 60_000 + tail);
            }
            let line = IntervalLine::between(name.into(), (from, &before), (to, progress), &latencies);
            text.push_str(&LogLine::Interval(Box::new(line)).to_text());
        }
        if away {
            let (number, start_s) = (step / 12 + 1, from + 60.0);
            let row = json!({
                "number": number, "origin": "made", "device": null, "planned_start_s": start_s,
                "planned_length_s": 30.0, "made_start_s": start_s, "made_length_s": 30.0, "seen_start_s": start_s,
                "seen_length_s": 31.0, "host_noticed_s": null, "device_noticed_s": null,
                "data_again_s": start_s + 33.0, "back_s": start_s + 30.0 + (number % 7) as f64,
                "recovery_s": (number % 7) as f64, "gave_up_after_s": null, "messages_acknowledged": 9,
                "messages_lost": 0, "messages_duplicated": 0, "connections_lived": 1, "connections_died": 1,
                "device_half_open_sockets": null,
            });
            let data = json!({ "workload": "data", "outage": row });
            let _ = writeln!(text, "{}", json!({ "event": "outage", "data": data }));
        }
        if step % 2 == 0 {
            let free = 180_000.0 - to / 12.0;
            let went = json!({
                "first": 180_000.0, "last": free, "min": free, "max": 180_000.0, "mean": null,
                "slope_per_hour": -300.0, "slope_low_per_hour": -310.0, "slope_high_per_hour": -290.0,
            });
            let rssi = -48.0 - (step % 9) as f64;
            let signal = json!({
                "first": -48.0, "last": rssi, "min": -56.0, "max": -48.0, "mean": null, "slope_per_hour": null,
                "slope_low_per_hour": null, "slope_high_per_hour": null,
            });
            let device = json!({
                "samples": step + 1, "reboots": 0, "restarts": [], "uptime_s": to, "reset_reason": "POWERON",
                "wifi_disconnects": 0, "wifi_last_reason": null, "heap_total_bytes": 200_000, "sockets_limit": 10,
                "summary": { "heap_free_bytes": went, "wifi_rssi_dbm": signal },
                "rows": [{ "at_s": to, "readings": { "heap_free_bytes": free, "wifi_rssi_dbm": rssi } }],
            });
            let data = json!({ "at_s": to, "covers": "since_last", "probes": [], "telemetry": device });
            let _ = writeln!(text, "{}", json!({ "event": "probed", "data": data }));
        }
    }
    text
}

fn of_360_hours() -> &'static Report {
    static REPORT: LazyLock<Report> = LazyLock::new(read_360_hours);
    &REPORT
}

fn read_360_hours() -> Report {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), log_of_360_hours()).expect("room");
    let rebuilt = espstress_report::read_log(file.path()).expect("a log");
    assert!(rebuilt.remarks.iter().all(|remark| !remark.contains("damaged")), "{:?}", rebuilt.remarks);
    rebuilt.report
}

/// A run that came to nothing at all.
fn empty() -> Report {
    Report::new(Target::new("192.168.4.91:80", TargetKind::Device), json!({ "name": "empty" }), 7, 0)
}

fn pages() -> Vec<(String, String)> {
    let samples =
        make::samples().into_iter().chain([("empty", empty()), ("of_360_hours", of_360_hours().clone())]);
    let pages: Vec<_> = samples.map(|(name, r)| (name.to_owned(), html(&r))).collect();
    // To look at them.
    if let Some(folder) = std::env::var_os("ESPSTRESS_KEEP_PAGES") {
        for (name, page) in &pages {
            std::fs::write(std::path::Path::new(&folder).join(format!("sample-{name}.html")), page)
                .expect("room");
        }
    }
    pages
}

fn html(r: &Report) -> String {
    render(r, Format::Html, &Options::default()).expect("every report is a page")
}

/// The value of an attribute of a tag.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let at = tag.find(&format!(" {name}=\""))?;
    let rest = &tag[at + name.len() + 3..];
    rest.split('"').next()
}

fn number(tag: &str, name: &str) -> Option<f64> {
    attribute(tag, name)?.parse().ok()
}

/// A piece of text in a drawing: left, top, right, bottom, in the drawing's own units, as a middling face would have it.
#[derive(Clone, Debug)]
struct Boxed {
    words: String,
    sides: [f64; 4],
}

/// Each drawing's size and its texts.
fn drawings(html: &str) -> Vec<([f64; 2], Vec<Boxed>)> {
    html.split("<svg ").skip(1).map(|svg| drawing(svg.split("</svg>").next().unwrap_or(""))).collect()
}

fn drawing(svg: &str) -> ([f64; 2], Vec<Boxed>) {
    let view: Vec<f64> =
        attribute(&format!(" {svg}"), "viewBox").unwrap().split(' ').map(|n| n.parse().unwrap()).collect();
    let texts = svg.split("<text ").skip(1).map(|text| {
        let (tag, rest) = text.split_once('>').unwrap();
        let tag = format!(" {tag}");
        let words = rest.split("</text>").next().unwrap().trim();
        let words = words.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
        let size = number(&tag, "font-size").expect("its size is written out");
        let mono = attribute(&tag, "class").is_some_and(|class| class.ends_with(" m"));
        let wide = words.chars().count() as f64 * size * if mono { 0.602 } else { 0.52 };
        let (x, mut y) = (number(&tag, "x").unwrap(), number(&tag, "y").unwrap());
        y += match attribute(&tag, "dy") {
            Some("0.76em") => 0.76 * size,
            Some("0.5ex") => 0.26 * size,
            Some("-0.5ex") => -0.26 * size,
            _ => 0.0,
        };
        let left = match attribute(&tag, "text-anchor") {
            Some("middle") => x - wide / 2.0,
            Some("end") => x - wide,
            _ => x,
        };
        Boxed { words, sides: [left, y - 0.74 * size, left + wide, y + 0.2 * size] }
    });
    ([view[2], view[3]], texts.collect())
}

#[test]
fn every_label_lies_in_its_drawing_and_none_on_another() {
    let mut labels = 0;
    for (name, html) in pages() {
        for (size, texts) in drawings(&html) {
            labels += texts.len();
            for (i, a) in texts.iter().enumerate() {
                let [left, top, right, bottom] = a.sides;
                assert!(!a.words.is_empty(), "{name}: a text without words");
                assert!(
                    left >= -0.5 && top >= -0.5 && right <= size[0] + 0.5 && bottom <= size[1] + 0.5,
                    "{name}: {a:?} in {size:?}"
                );
                for b in &texts[i + 1..] {
                    let across = a.sides[2].min(b.sides[2]) - left.max(b.sides[0]);
                    let down = bottom.min(b.sides[3]) - top.max(b.sides[1]);
                    assert!(across <= 0.5 || down <= 2.0, "{name}: {a:?} lies on {b:?}");
                }
            }
        }
    }
    assert!(labels > 500, "only {labels} labels were measured");
}

#[test]
fn a_page_of_360_hours_is_small_and_loses_no_outage() {
    let r = of_360_hours();
    let page = html(r);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert_eq!(r.workloads[0].outages.as_ref().map(Vec::len), Some(120));
    assert!(page.contains("the run over time") && page.contains("10 d") && page.contains("p90 to p99"));
    assert!(page.contains(" dBm<") || page.contains(" dBm\n"), "signal strength has its axis");
}

#[test]
fn a_page_of_twelve_workloads_and_hundreds_of_examples_is_small() {
    let mut r = of_360_hours().clone();
    let two = r.workloads.clone();
    r.workloads = (0..6).flat_map(|_| two.clone()).collect();
    for (n, w) in r.workloads.iter_mut().enumerate() {
        w.name = format!("{} {n}", w.name);
    }
    let mut row = make::broken().anomalies.swap_remove(0);
    row.examples = vec![row.examples.swap_remove(0); 5];
    r.anomalies = vec![row; 80];
    let page = html(&r);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert!(page.contains("leaves out 280 examples"));
}

#[test]
fn a_run_that_came_to_nothing_still_is_a_page() {
    let page = html(&empty());
    assert!(page.contains("No gate was set"), "{page}");
    assert!(page.contains("What was run"));
}

#[test]
fn the_pages_that_a_browser_measures_are_of_every_built_in_scenario_and_persona() {
    let script = include_str!("../pages/run");
    let (scenarios, rest) = script.split_once("PERSONAS = {").expect("its tables");
    let personas = rest.split_once("OTHERS = {").expect("its tables").0;
    for scenario in espstress_scenario::BUILT_IN {
        assert!(scenarios.contains(&format!("    \"{}\": ", scenario.name)), "{}", scenario.name);
    }
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Robust) {
        assert!(personas.contains(&format!("    \"{}\": ", kind.name())), "{}", kind.name());
    }
}

/// In a browser, which decides how wide letters are. CI has one; `.ci/run` measures pages of real runs as well.
#[cfg(feature = "long")]
#[test]
fn a_browser_cuts_no_label_of_these_pages_and_reports_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/pages-venv/bin/python");
    let python = if std::path::Path::new(own).exists() { own } else { "python3" };
    let mut measure = std::process::Command::new(python);
    measure.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pages/measure.py"));
    for (name, page) in pages() {
        let path = folder.path().join(format!("{name}.html"));
        std::fs::write(&path, page).expect("room");
        measure.arg(path);
    }
    let told = measure.output();
    let Ok(out) = told else {
        println!("SKIPPED: no Python");
        return;
    };
    let text = String::from_utf8_lossy(&out.stdout);
    if out.status.code() == Some(77) {
        println!("{}", text.trim());
        return;
    }
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("72 layouts of 8 pages"), "{text}");
}
