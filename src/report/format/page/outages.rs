//! Outages and a broker's faults: a row each, all from their own start on, so that they can be compared.

use super::markup::{Cell, figure, paragraph, table};
use crate::drawing::{Bar, Row, RowChart, Shape, Sign, both};
use crate::human::time_s;
use crate::workload::seconds;
use crate::{OutageRow, Workload};
use espstress_event::{MqttOutage, OutageOrigin};

/// Single outages in a table at most.
const OUTAGES: usize = 200;

pub(super) fn drawing(out: &mut String, w: &Workload) {
    let rows: Vec<Row> = w.outages.iter().flatten().filter_map(row).collect();
    if rows.is_empty() {
        return;
    }
    let chart = RowChart {
        title: format!("{}: outages and recoveries", w.name),
        axis: "Time since the start of each outage. Recovery is over when every connection stands again and has an answer."
            .to_owned(),
        from_s: 0.0,
        to_s: end_of(&rows),
        legend: vec![
            ("outage made".to_owned(), "c7".to_owned()),
            ("outage not made by the test".to_owned(), "bad".to_owned()),
            ("recovery".to_owned(), "c0".to_owned()),
            ("not recovered".to_owned(), "bad".to_owned()),
        ],
        rows,
    };
    figure(out, "Outages and recoveries", &both(|width| chart.draw(width)));
}

fn end_of(rows: &[Row]) -> f64 {
    let bars = rows.iter().flat_map(|row| &row.bars).map(|bar| bar.to_s);
    let signs = rows.iter().flat_map(|row| &row.signs).map(|sign| sign.at_s);
    bars.chain(signs).fold(1e-3, f64::max)
}

fn row(of: &OutageRow) -> Option<Row> {
    let seen = of.seen_start_s.zip(of.seen_length_s);
    let (start, length) = of.made_start_s.zip(of.made_length_s).or(seen)?;
    let (class, origin) = match of.origin {
        OutageOrigin::Made => ("c7", "made"),
        OutageOrigin::Natural => ("bad", "not made by the test"),
    };
    let words = format!("outage {}, {origin}, at {}: {}", of.number, time_s(start), time_s(length));
    let mut bars = vec![Bar { from_s: 0.0, to_s: length, class, words }];
    let mut signs = Vec::new();
    let mut sign = |at: Option<f64>, shape, class, words: &str| {
        let at_s = at.map(|s| s - start).filter(|s| *s >= 0.0);
        signs.extend(at_s.map(|at_s| Sign {
            at_s,
            shape,
            class,
            words: format!("{words} after {}", time_s(at_s)),
        }));
    };
    sign(of.host_noticed_s, Shape::Tick, "ink", "the host noticed");
    sign(of.device_noticed_s, Shape::Tick, "doubt", "the device noticed");
    let note = match (of.recovery_s, of.gave_up_after_s) {
        (Some(s), _) => {
            let words = format!("recovery took {}", time_s(s));
            bars.push(Bar { from_s: length, to_s: length + s, class: "c0", words });
            sign(of.back_s, Shape::Dot, "good", "every connection stood again");
            format!("recovery {}", time_s(s))
        }
        (None, Some(s)) => {
            sign(Some(start + length + s), Shape::Onward, "bad", "not recovered");
            format!("not within {}", time_s(s))
        }
        (None, None) if of.is_back() => "back".to_owned(),
        (None, None) => "end of the run".to_owned(),
    };
    let whose = of.device.map_or_else(String::new, |id| format!(" of device {id}"));
    let label = format!("#{}{whose} at {}, {}", of.number, time_s(start), time_s(length));
    Some(Row { label, bars, signs, note })
}

/// The outages in figures.
pub(super) fn rows(out: &mut String, w: &Workload) {
    let rows = w.outages.as_deref().unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    let cells = rows.iter().take(OUTAGES).map(|row| row.cells().map(Cell::number).into_iter().collect());
    table(out, &OutageRow::HEADINGS, cells);
    if rows.len() > OUTAGES {
        paragraph(out, "quiet", &format!("{} more are in the JSON report.", rows.len() - OUTAGES));
    }
}

/// What a broker did, and what the MQTT client made of it.
pub(super) fn faults(out: &mut String, w: &Workload) {
    let Some(mqtt) = w.mqtt.as_ref().filter(|mqtt| !mqtt.outages.is_empty()) else { return };
    let rows: Vec<Row> = mqtt.outages.iter().map(fault).collect();
    let chart = RowChart {
        title: format!("{}: faults of the broker", w.name),
        axis: "Time since the start of each fault. K is the client's keep-alive.".to_owned(),
        from_s: 0.0,
        to_s: end_of(&rows),
        legend: vec![
            ("fault of the broker".to_owned(), "c7".to_owned()),
            ("until the client was back".to_owned(), "c0".to_owned()),
            ("a broker would notice".to_owned(), "ink".to_owned()),
            ("the client noticed".to_owned(), "doubt".to_owned()),
            ("back, subscribed, data".to_owned(), "good".to_owned()),
            ("not back".to_owned(), "bad".to_owned()),
        ],
        rows,
    };
    figure(out, "The broker's faults and the client's answers", &both(|width| chart.draw(width)));
}

fn fault(of: &MqttOutage) -> Row {
    let length = of.length_ns.map_or(0.0, seconds);
    let at = |ns: Option<u64>| ns.map(seconds);
    let mut bars = vec![Bar {
        from_s: 0.0,
        to_s: length,
        class: "c7",
        words: format!("{} for {}", of.fault.name(), time_s(length)),
    }];
    let mut signs = Vec::new();
    let mut sign = |at_s: Option<f64>, shape, class, words: &str| {
        signs.extend(at_s.map(|at_s| Sign {
            at_s,
            shape,
            class,
            words: format!("{words} after {}", time_s(at_s)),
        }));
    };
    sign(at(of.host_notices_ns), Shape::Tick, "ink", "a broker would call the client gone");
    sign(at(of.device_notices_ns), Shape::Tick, "doubt", "the client noticed");
    let back = at(of.back_ns).map(|s| length + s);
    if let Some(back) = back {
        bars.push(Bar {
            from_s: length,
            to_s: back,
            class: "c0",
            words: format!("back after {}", time_s(back - length)),
        });
        sign(Some(back), Shape::Dot, "good", "connected again");
        sign(at(of.resubscribed_ns).map(|s| back + s), Shape::Tick, "good", "subscribed again");
    }
    sign(at(of.data_again_ns).map(|s| length + s), Shape::Tick, "good", "first message");
    let note = match (back, of.gave_up_ns) {
        (Some(at), _) => format!("back after {}", time_s(at - length)),
        (None, Some(ns)) => {
            sign(Some(length + seconds(ns)), Shape::Onward, "bad", "not back");
            format!("not back within {}", time_s(seconds(ns)))
        }
        (None, None) if of.survived => "the connection lived".to_owned(),
        (None, None) => "end of the run".to_owned(),
    };
    let label = format!("#{} {}, K {} s, {}", of.number, of.fault.name(), of.keepalive_s, time_s(length));
    Row { label, bars, signs, note }
}
