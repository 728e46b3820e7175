//! What the packets showed: anomalies, and a ladder for each example.

use std::fmt::Write as _;

use super::markup::{Cell, heading, paragraph, table};
use crate::human::{count, things, when};
use crate::ladder::{Ladder, class_in_words};
use crate::{NotJudgedRow, Report};
use espstress_diagnose::AnomalyRow;
use espstress_event::AnomalyClass;

pub(super) fn section(out: &mut String, r: &Report) {
    heading(out, "Packets");
    let reason = r.capture.reason.as_ref().map(|s| format!(": {s}")).unwrap_or_default();
    let (class, words) = match (r.capture.saw_all(), r.capture.packets) {
        (true, n) => ("quiet", format!("{} captured{reason}", things(n.unwrap_or(0), "packet"))),
        (false, Some(n)) => (
            "doubt",
            format!("{} captured, but not all{reason}; there may be more anomalies", things(n, "packet")),
        ),
        (false, None) => ("doubt", format!("No packets were captured{reason}")),
    };
    let none = r.anomalies.is_empty() && r.capture.saw_all();
    paragraph(out, class, &format!("{words}{}.", if none { "; no anomalies" } else { "" }));
    anomalies(out, &r.anomalies);
    not_judged(out, &r.not_judged);
    ladders(out, &r.anomalies);
}

pub(super) fn anomalies(out: &mut String, rows: &[AnomalyRow]) {
    if rows.is_empty() {
        return;
    }
    let rows = rows.iter().map(|a| {
        let class = if a.class == AnomalyClass::Device { "bad" } else { "quiet" };
        let when = when(a.first_s, a.last_s);
        vec![
            Cell::code(a.id.name()),
            Cell::toned(class, class_in_words(a.class)),
            Cell::number(count(a.count)),
            Cell::number(count(a.connections)),
            Cell::text(a.workload.as_deref().unwrap_or("")),
            Cell::number(when),
        ]
    });
    table(out, &["anomaly", "caused", "times", "connections", "workload", "when"], rows);
}

pub(super) fn not_judged(out: &mut String, rows: &[NotJudgedRow]) {
    for row in rows {
        let words = format!(
            "{} could not be judged on {}: {}.",
            row.id.name(),
            things(row.connections, "connection"),
            row.reason
        );
        paragraph(out, "doubt", &words);
    }
}

/// Ladders on a page at most; those of the device come first.
const MOST: usize = 120;

/// A ladder for each example. Those that do not count against the device are folded.
pub(super) fn ladders(out: &mut String, rows: &[AnomalyRow]) {
    let mut rows: Vec<&AnomalyRow> = rows.iter().collect();
    rows.sort_by_key(|row| row.class != AnomalyClass::Device);
    let (mut left, mut left_out) = (MOST, 0);
    let mut drawn = |row: &AnomalyRow| {
        let mut ladders: Vec<Ladder> = row.examples.iter().filter_map(|e| Ladder::of(row, e)).collect();
        left_out += ladders.len().saturating_sub(left);
        ladders.truncate(left);
        left -= ladders.len();
        ladders
    };
    let all: Vec<(&AnomalyRow, Vec<Ladder>)> =
        rows.into_iter().map(|row| (row, drawn(row))).filter(|(_, ladders)| !ladders.is_empty()).collect();
    if all.is_empty() {
        return;
    }
    heading(out, "What the packets looked like");
    paragraph(
        out,
        "quiet",
        "Time runs down. Where its line is whole, distances are to scale; where it is dotted, packets stand further apart \
         than their times, and a double stroke cuts a longer wait short. # is the packet's number in the capture.",
    );
    let (of_device, others): (Vec<_>, Vec<_>) =
        all.iter().partition(|(row, _)| row.class == AnomalyClass::Device);
    of_device.iter().for_each(|(row, ladders)| group(out, row, ladders));
    if !others.is_empty() {
        out.push_str("<details><summary>anomalies that do not count against the device</summary>\n");
        others.iter().for_each(|(row, ladders)| group(out, row, ladders));
        out.push_str("</details>\n");
    }
    if left_out > 0 {
        paragraph(
            out,
            "quiet",
            &format!("The page leaves out {} that the JSON report has.", things(left_out as u64, "example")),
        );
    }
}

/// The ladders of one anomaly.
fn group(out: &mut String, row: &AnomalyRow, ladders: &[Ladder]) {
    let _ = writeln!(
        out,
        "<h3><code>{}</code> {}</h3>\n<div class=\"ladders\">",
        row.id.name(),
        class_in_words(row.class)
    );
    for ladder in ladders {
        super::markup::figure(out, &ladder.when(), &ladder.svg());
    }
    out.push_str("</div>\n");
}
