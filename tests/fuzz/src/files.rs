//! Files of our own that come back: logs and reports, from any version and any disk.

use espstress_compare::{Named as Compared, Options as Comparing, compare};
use espstress_fleet::{Named, Read, merge};
use espstress_report::thresholds::Gates;
use espstress_report::{Format, Options, Report, render};

use crate::input::Input;

pub(crate) const LOG_WORDS: &[&str] = &[
    "{\"event\":\"start\",\"data\":",
    "{\"event\":\"interval\",\"data\":",
    "{\"event\":\"end\"",
    "\n",
    "null",
    "1e308",
    "-1",
    "\"total\":{",
    "18446744073709551615",
    "\"end_s\":",
    "\"hdr\":\"",
];

pub(crate) const REPORT_WORDS: &[&str] = &[
    "null",
    "1e308",
    "-1e308",
    "18446744073709551615",
    "-0.0",
    "[]",
    "{}",
    "\"\"",
    "\"fleet_version\":1,",
    "\"hdr\":\"",
    "true",
];

/// A log, or what is left of one.
pub(crate) fn log(bytes: &[u8]) {
    let _ = espstress_report::looks_like_log(bytes);
    let Ok(rebuilt) = espstress_report::read_log_bytes("fuzz.log", bytes) else { return };
    assert!(rebuilt.remarks.len() <= 64 + bytes.len() / 8, "{} remarks", rebuilt.remarks.len());
    let json = espstress_report::to_json(&rebuilt.report);
    // A report that comes out of a log can be read.
    if let Err(error) = espstress_report::from_json("fuzz.json", &json) {
        panic!("{error}");
    }
    let _ = render(&rebuilt.report, Format::Text, &Options::default());
}

/// Two reports: each shown in every format and judged, both merged and compared.
pub(crate) fn report(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let first = input.chunk();
    let reports: Vec<Report> = [first, input.rest()].into_iter().filter_map(read).collect();
    for report in &reports {
        for format in Format::ALL {
            let _ = render(report, format, &Options::default());
        }
        let mut judged = report.clone();
        if let Ok(gates) = Gates::from_expressions(&["errors < 1%", "head.latency.total.p99 < 250ms"]) {
            gates.judge(&mut judged);
        }
    }
    let Some((one, others)) = reports.split_first() else { return };
    let other = others.first().unwrap_or(one);
    let named = |name: &str, report: &Report| Named::Report(name.to_owned(), Box::new(report.clone()));
    if let Ok(fleet) = merge(vec![named("a", one), named("b", other)]) {
        let json = espstress_fleet::to_json(&fleet);
        assert!(espstress_fleet::from_json("f", &json).is_ok(), "what was merged can be read");
        let _ = espstress_fleet::markdown(&fleet);
    }
    let (base, new) = ([Compared { name: "a", report: one }], [Compared { name: "b", report: other }]);
    if let Ok(comparison) = compare(&base, &new, &Comparing::default()) {
        let _ = comparison.to_json();
    }
}

fn read(bytes: &[u8]) -> Option<Report> {
    let text = String::from_utf8_lossy(bytes);
    match espstress_fleet::from_json("fuzz.json", &text).ok()? {
        Read::Report(report) => Some(*report),
        Read::Fleet(fleet) => fleet.devices.into_iter().find_map(|device| device.report),
    }
}
