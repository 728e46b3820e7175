//! Connections that fell silent: a row each, from its silence until the device gave it up.

use super::markup::figure;
use crate::drawing::{Bar, Row, RowChart, Shape, Sign, both};
use crate::human::time_s;
use crate::workload::seconds;
use crate::{HalfOpenFigures, Workload};
use espstress_event::{ReclaimEvidence, SilencedConnection, Stage};

pub(super) fn drawing(out: &mut String, w: &Workload) {
    let Some(of) = w.half_open.as_ref().filter(|of| !of.connections.is_empty()) else { return };
    let chart = chart(w, of);
    figure(out, "Connections that fell silent, in the order of opening", &both(|width| chart.draw(width)));
}

fn chart(w: &Workload, of: &HalfOpenFigures) -> RowChart {
    let end_s = w.start_s + w.duration_s;
    let begun = |c: &SilencedConnection| seconds(c.opened_ns.unwrap_or(c.silent_ns));
    let first = of.connections.iter().map(begun).fold(f64::INFINITY, f64::min);
    let mut rows: Vec<Row> = Vec::new();
    if !of.unavailable_spells.is_empty() {
        let bars = of.unavailable_spells.iter().map(|spell| {
            let (from_s, to_s) = (seconds(spell.from_ns), spell.to_ns.map_or(end_s, seconds));
            let words = format!("others were not served for {}", time_s(to_s - from_s));
            Bar { from_s, to_s, class: "bad", words }
        });
        let label = "others not served".to_owned();
        rows.push(Row { label, bars: bars.collect(), ..Row::default() });
    }
    rows.extend(of.connections.iter().map(|c| row(c, end_s)));
    RowChart {
        title: format!("{}: connections that fell silent", w.name),
        axis: "Time since the start of the run. A row begins when the connection is open, and ends when the device gives it up."
            .to_owned(),
        from_s: first.min(end_s).max(0.0),
        to_s: end_s,
        legend: vec![
            ("open, with a request".to_owned(), "c7".to_owned()),
            ("silent, held by the device".to_owned(), "c0".to_owned()),
            ("silent, waits in the backlog".to_owned(), "c4".to_owned()),
            ("others not served".to_owned(), "bad".to_owned()),
            ("reclaimed".to_owned(), "good".to_owned()),
        ],
        rows,
    }
}

fn row(c: &SilencedConnection, end_s: f64) -> Row {
    let from_s = seconds(c.silent_ns);
    let reclaimed = c.reclaimed_after_ns.map(|ns| from_s + seconds(ns));
    let served = matches!(c.stage, Stage::Served);
    let (how, shape) = match c.evidence {
        Some(ReclaimEvidence::Reset) => ("RST", Shape::Cross),
        Some(ReclaimEvidence::Fin) => ("FIN", Shape::Dot),
        Some(ReclaimEvidence::Telemetry) => ("fewer sockets", Shape::Tick),
        None => ("", Shape::Onward),
    };
    let unserved = if served { "" } else { "not served; " };
    let note = match reclaimed {
        Some(at) => format!("{unserved}{how} after {}", time_s(at - from_s)),
        None => format!("{unserved}never reclaimed"),
    };
    let to_s = reclaimed.unwrap_or(end_s);
    let words =
        format!("connection {} from port {}: silent from {}, {note}", c.connection, c.port, time_s(from_s));
    let opened = c.opened_ns.map(|ns| Bar {
        from_s: seconds(ns),
        to_s: from_s,
        class: "c7",
        words: format!(
            "connection {} was open from {} to {}",
            c.connection,
            time_s(seconds(ns)),
            time_s(from_s)
        ),
    });
    let class = if served { "c0" } else { "c4" };
    let sign = Sign {
        at_s: to_s,
        shape: if reclaimed.is_some() { shape } else { Shape::Onward },
        class: if reclaimed.is_some() { "good" } else { "bad" },
        words: words.clone(),
    };
    Row {
        label: format!("#{} port {}", c.connection, c.port),
        bars: opened.into_iter().chain([Bar { from_s, to_s, class, words }]).collect(),
        signs: vec![sign],
        note,
    }
}
