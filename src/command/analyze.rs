//! `analyze`: what a capture file shows.

use std::fmt::Write as _;

use super::output::print;
use super::{Exit, Failed};
use crate::analyze::{self, Analysis, AnalyzeConfig};
use crate::cli::AnalyzeArgs;
use crate::diagnose::AnomalyRow;
use crate::event::{AnomalyClass, Direction};
use crate::observe::DeviceEnds;

/// `espstress analyze`.
pub(super) fn analyze(args: &AnalyzeArgs) -> Result<Exit, Failed> {
    let device = args.target.map_or(DeviceEnds::Guessed, |ip| DeviceEnds::Known(vec![(ip, None)]));
    let config = AnalyzeConfig { device, ..AnalyzeConfig::default() };
    let analysis = analyze::analyze(&args.file, &config).map_err(Failed::usage)?;
    let name = args.file.display().to_string();
    let text = if args.json { json(&name, &analysis) } else { page(&name, &analysis, args) };
    print(&text).map_err(Failed::environment)?;
    Ok(if of_class(&analysis, AnomalyClass::Device).next().is_some() {
        Exit::GateBroken
    } else if analysis.is_complete() {
        Exit::Done
    } else {
        Exit::Inconclusive
    })
}

fn of_class(analysis: &Analysis, class: AnomalyClass) -> impl Iterator<Item = &AnomalyRow> {
    analysis.anomalies.iter().filter(move |row| row.class == class)
}

fn json(name: &str, analysis: &Analysis) -> String {
    let value = serde_json::json!({
        "file": name,
        "complete": analysis.is_complete(),
        "end": analysis.end.to_string(),
        "packets": analysis.packets,
        "packets_dropped": analysis.dropped,
        "packets_of_unknown_link": analysis.unknown_link,
        "connections": analysis.connections,
        "duration_s": analysis.duration_ns as f64 / 1e9,
        "anomalies": analysis.anomalies,
        "not_judged": analysis.wire.not_judged,
    });
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
}

fn page(name: &str, analysis: &Analysis, args: &AnalyzeArgs) -> String {
    let mut text = String::new();
    let seconds = analysis.duration_ns as f64 / 1e9;
    let _ = writeln!(
        text,
        "{name}: {} packets, {} connections in {seconds:.3} s",
        analysis.packets, analysis.connections
    );
    if !analysis.end.is_complete() {
        let _ = writeln!(text, "the file is {}; what comes before was analysed", analysis.end);
    }
    if let Some(dropped) = analysis.dropped.filter(|n| *n > 0) {
        let _ = writeln!(text, "the file says that {dropped} packets were not captured");
    }
    if analysis.unknown_link > 0 {
        let kind = analysis.unknown_link_type.map_or_else(String::new, |n| format!(" (LINKTYPE {n})"));
        let _ = writeln!(
            text,
            "{} packets have a link layer that is not known here{kind}",
            analysis.unknown_link
        );
    }
    let titles = [
        (AnomalyClass::Device, "\nAnomalies of the device"),
        (AnomalyClass::Path, "\nOf the path: what a link does, no fault by itself"),
        (AnomalyClass::Provoked, "\nProvoked by the host's own packets"),
    ];
    for (class, title) in titles {
        let rows: Vec<&AnomalyRow> = of_class(analysis, class).collect();
        if rows.is_empty() && class == AnomalyClass::Device {
            let words = if analysis.is_complete() {
                "\nNo anomaly of the device"
            } else {
                "\nNo anomaly of the device in what could be looked at; the capture is not complete"
            };
            let _ = writeln!(text, "{words}");
        } else if !rows.is_empty() {
            let _ = writeln!(text, "{title}");
            for row in rows {
                one(&mut text, row, args.verbose);
            }
        }
    }
    if !analysis.wire.not_judged.is_empty() {
        let _ = writeln!(text, "\nNot judged");
        for rule in &analysis.wire.not_judged {
            let _ = writeln!(
                text,
                "  {:<20} on {} connections: {}",
                rule.id.name(),
                rule.connections,
                rule.reason
            );
        }
    }
    text
}

fn one(text: &mut String, row: &AnomalyRow, verbose: bool) {
    let _ = writeln!(
        text,
        "  {:<20} {} on {} connections, {:.3} s to {:.3} s",
        row.id.name(),
        row.count,
        row.connections,
        row.first_s,
        row.last_s
    );
    let shown = if verbose { row.examples.len() } else { row.examples.len().min(1) };
    for example in row.examples.iter().take(shown) {
        let remark = example.remark.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
        let _ =
            writeln!(text, "      {} -> {} at {:.6} s{remark}", example.host, example.device, example.at_s);
        for packet in &example.packets {
            let arrow = match packet.direction {
                Direction::FromDevice => "device",
                Direction::FromHost => "host  ",
            };
            let _ = writeln!(
                text,
                "        {:>7}  {:>12.6} s  {arrow}  {}",
                packet.number, packet.at_s, packet.summary
            );
        }
    }
}
