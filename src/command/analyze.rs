//! `analyze`: what a capture file shows.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::output::{fitted, print, style};
use super::{Exit, Failed};
use espstress_analyze::{Analysis, AnalyzeConfig};
use espstress_cli::{AnalyzeArgs, AnalyzeForm};
use espstress_diagnose::{AnomalyRow, Severity, air_findings, air_not_judged};
use espstress_event::{Air, AnomalyClass};
use espstress_observe::{DeviceEnds, Dial};
use espstress_report::ladder::{self, Ladder};
use espstress_report::{CapturePage, Detail, NotJudgedRow, air_lines, capture_page, things};

/// Closed ports that the page names.
const PORTS: usize = 4;

/// `espstress analyze`.
pub(super) fn analyze(args: &AnalyzeArgs) -> Result<Exit, Failed> {
    let device = args.target.map_or(DeviceEnds::Guessed, |ip| DeviceEnds::Known(vec![(ip, None)]));
    let config = AnalyzeConfig { device, station: args.station, ..AnalyzeConfig::default() };
    let analysis = espstress_analyze::analyze(&args.file, &config).map_err(Failed::usage)?;
    let name = args.file.display().to_string();
    let text = match args.form() {
        AnalyzeForm::Page if args.output.is_none() => fitted(page(&name, &analysis, args)),
        AnalyzeForm::Page => page(&name, &analysis, args),
        AnalyzeForm::Json => json(&name, &analysis),
        AnalyzeForm::Html => html(&name, &analysis, args),
        AnalyzeForm::Svg => ladder::document(&analysis.anomalies),
    };
    match &args.output {
        Some(path) => espstress_report::write_text(&text, path).map_err(Failed::environment)?,
        None => print(&text).map_err(Failed::environment)?,
    }
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
    let wire = &analysis.wire;
    let value = serde_json::json!({
        "file": name,
        "complete": analysis.is_complete(),
        "end": analysis.end.to_string(),
        "packets": analysis.packets,
        "packets_dropped": analysis.dropped,
        "packets_of_unknown_link": analysis.unknown_link,
        "packets_not_read": wire.unread,
        "packets_damaged": wire.damaged,
        "packets_captured_again": analysis.copies,
        "tcp_packets": wire.tcp_packets,
        "tcp_packets_of_others": wire.tcp_of_others,
        "fragments_missing": wire.fragments_missing,
        "clock_steps": analysis.clock_steps.map_or(0, |(_, steps)| steps),
        "packets_out_of_order": analysis.out_of_order,
        "connections": analysis.connections,
        "connections_with_packets_missing": wire.incomplete,
        "closed_ports": analysis.closed_ports.iter().map(closed_json).collect::<Vec<_>>(),
        "dialled": wire.dials.rows.iter().map(dial_json).collect::<Vec<_>>(),
        "dialled_beyond": wire.dials.beyond,
        "duration_s": analysis.duration_ns as f64 / 1e9,
        "anomalies": analysis.anomalies,
        "not_judged": wire.not_judged,
        "air": analysis.air,
        "findings": analysis.air.as_ref().map(air_findings).unwrap_or_default(),
        "findings_not_judged": findings_not_judged(analysis),
    });
    espstress_report::pretty(&value)
}

/// Findings of the air that could not be judged, with the reason.
fn findings_not_judged(analysis: &Analysis) -> Vec<serde_json::Value> {
    let not = analysis.air.as_ref().map(air_not_judged).unwrap_or_default();
    not.into_iter().map(|not| serde_json::json!({ "id": not.id, "reason": not.reason })).collect()
}

fn closed_json((port, refused): (&SocketAddr, &u64)) -> serde_json::Value {
    serde_json::json!({ "port": port, "refused": refused })
}

fn dial_json(dial: &Dial) -> serde_json::Value {
    serde_json::json!({
        "to": dial.to,
        "opened": dial.opened,
        "accepted": dial.accepted,
        "refused": dial.refused,
    })
}

/// Packets, connections and duration.
fn about(analysis: &Analysis) -> String {
    let seconds = analysis.duration_ns as f64 / 1e9;
    let (packets, connections) =
        (things(analysis.packets, "packet"), things(analysis.connections, "connection"));
    format!("{packets}, {connections} in {seconds:.3} s")
}

fn html(name: &str, analysis: &Analysis, args: &AnalyzeArgs) -> String {
    let nothing = (!analysis.saw_anything()).then(|| nothing(analysis, args));
    let not_judged: Vec<NotJudgedRow> = analysis.wire.not_judged.iter().map(Into::into).collect();
    capture_page(&CapturePage {
        name,
        about: &about(analysis),
        remarks: &remarks(analysis),
        nothing: nothing.as_deref(),
        complete: analysis.is_complete(),
        anomalies: &analysis.anomalies,
        not_judged: &not_judged,
        dialled: &dialled_lines(analysis),
        air: analysis.air.as_ref(),
    })
}

/// Connections that the device opened, a line for each address.
fn dialled_lines(analysis: &Analysis) -> Vec<String> {
    let dials = &analysis.wire.dials;
    let beyond = (dials.beyond > 0).then(|| format!("and {} to other addresses and ports", dials.beyond));
    dials.rows.iter().map(dialled).chain(beyond).collect()
}

fn page(name: &str, analysis: &Analysis, args: &AnalyzeArgs) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{name}: {}", about(analysis));
    for line in remarks(analysis) {
        let _ = writeln!(text, "{line}");
    }
    if let Some(air) = &analysis.air {
        on_the_air(&mut text, air, args.verbose);
    }
    if !analysis.saw_anything() {
        let what = if analysis.air.is_some() { "No TCP connection" } else { "Nothing" };
        let _ = writeln!(text, "\n{what} was judged: {}", nothing(analysis, args));
        return text;
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
    let dials = &analysis.wire.dials;
    if !dials.rows.is_empty() {
        let _ = writeln!(text, "\nConnections that the device opened");
        for line in dialled_lines(analysis) {
            let _ = writeln!(text, "  {line}");
        }
    }
    if !analysis.wire.not_judged.is_empty() {
        let _ = writeln!(text, "\nNot judged");
        for rule in &analysis.wire.not_judged {
            let _ = writeln!(
                text,
                "  {:<20} on {}: {}",
                rule.id.name(),
                things(rule.connections, "connection"),
                rule.reason
            );
        }
    }
    text
}

/// What was heard on the air, and what it means.
fn on_the_air(text: &mut String, air: &Air, verbose: bool) {
    let _ = writeln!(text, "\nOn the air");
    for (name, line) in air_lines(air, verbose) {
        let _ = writeln!(text, "  {name:<12}{line}");
    }
    for finding in air_findings(air) {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        };
        let _ = writeln!(text, "\n  {severity:<12}{} ({})", finding.statement, finding.id.name());
        for line in &finding.evidence {
            let _ = writeln!(text, "  {:<12}{line}", "");
        }
        let _ = writeln!(text, "  {:<12}cause: {}", "", finding.cause);
        let _ = writeln!(text, "  {:<12}change: {}", "", finding.change);
    }
}

/// `to 192.168.1.2:1883: 12 opened, 1 accepted, 11 refused`.
fn dialled(dial: &Dial) -> String {
    let Dial { to, opened, accepted, refused } = *dial;
    let mut text = format!("to {to}: {opened} opened, {accepted} accepted");
    if refused > 0 {
        let _ = write!(text, ", {refused} refused (a RST answers the SYN: nothing listens there)");
    }
    let unanswered = opened.saturating_sub(accepted + refused);
    if unanswered > 0 {
        let _ = write!(text, ", {unanswered} without an answer in this capture");
    }
    text
}

/// What is to be known of the capture before its anomalies.
fn remarks(analysis: &Analysis) -> Vec<String> {
    let wire = &analysis.wire;
    let mut lines = Vec::new();
    if !analysis.end.is_complete() {
        lines.push(format!("The file is {}; what comes before was analysed.", analysis.end));
    }
    if let Some(dropped) = analysis.dropped.filter(|n| *n > 0) {
        lines.push(format!("The file says that {} not captured.", were(dropped, "packet")));
    } else if wire.gaps > 0 {
        lines
            .push(format!("The file says in {} that packets were not captured.", things(wire.gaps, "place")));
    }
    if analysis.unknown_link > 0 {
        let kind = analysis.unknown_link_type.map_or_else(String::new, |n| format!(" (LINKTYPE {n})"));
        let verb = if analysis.unknown_link == 1 { "has" } else { "have" };
        let packets = things(analysis.unknown_link, "packet");
        lines.push(format!("{packets} {verb} a link layer that espstress doesn't read{kind}."));
    }
    if let Some(kind) = wire.unread_kind {
        let packets = things(wire.unread, "packet");
        lines.push(format!("{packets} of {} could not be read.", kind.in_words()));
    }
    if wire.damaged > 0 {
        lines.push(format!("{} with headers that are cut or wrong.", things(wire.damaged, "packet")));
    }
    if wire.fragments_missing > 0 {
        lines.push(format!("Of {} a fragment is missing.", things(wire.fragments_missing, "IP packet")));
    }
    for (port, refused) in analysis.closed_ports.iter().take(PORTS) {
        let refused = things(*refused, "connection");
        lines.push(format!("{port} refused {refused} and accepted none: nothing listens there."));
    }
    let more = analysis.closed_ports.len().saturating_sub(PORTS) as u64;
    if more > 0 {
        lines.push(format!("So did {}.", things(more, "further port")));
    }
    if analysis.copies > 0 {
        lines.push(format!(
            "{} captured more than once; the copies were left out.",
            were(analysis.copies, "packet")
        ));
    }
    if analysis.out_of_order > 0 {
        lines.push(format!(
            "{} after younger ones in the file; they were taken in the order of their times.",
            things(analysis.out_of_order, "packet")
        ));
    }
    if let Some((step, steps)) = analysis.clock_steps {
        let seconds = step.back_ns as f64 / 1e9;
        let more =
            if steps > 1 { format!(", and {} more", things(steps - 1, "time")) } else { String::new() };
        let packet = step.packet;
        lines.push(format!(
            "The capture's clock was set back by {seconds:.3} s before packet {packet}{more}; times go on without the step."
        ));
    }
    let halves = [(wire.host_half_only, "The device's"), (wire.device_half_only, "The client's")];
    for (n, missing) in halves.into_iter().filter(|(n, _)| *n > 0) {
        lines.push(format!(
            "{missing} packets are missing on {}: only one direction was captured.",
            things(n, "connection")
        ));
    }
    let others = wire.incomplete.saturating_sub(wire.host_half_only + wire.device_half_only);
    if others > 0 {
        lines.push(format!("Packets of {} are missing from the capture.", things(others, "connection")));
    }
    lines
}

/// Why there was nothing to judge, with what would help.
fn nothing(analysis: &Analysis, args: &AnalyzeArgs) -> String {
    let wire = &analysis.wire;
    match (args.target, wire.other_device) {
        _ if analysis.packets == 0 => "the file has no packets.".to_owned(),
        _ if wire.tcp_packets > 0 => {
            "no TCP packet of the file belongs to a connection. A RST alone shows none.".to_owned()
        }
        (Some(target), Some(other)) => format!(
            "no TCP packet is from or to {target}. There are TCP packets of {other}: try -t {}.",
            other.ip()
        ),
        _ if wire.unread + analysis.unknown_link + wire.damaged == 0 => {
            "the file has no TCP packets.".to_owned()
        }
        _ => "no TCP packet could be read.".to_owned(),
    }
}

/// `1 packet was`, `2 packets were`.
fn were(n: u64, one: &str) -> String {
    format!("{} {}", things(n, one), if n == 1 { "was" } else { "were" })
}

fn one(text: &mut String, row: &AnomalyRow, verbose: bool) {
    let _ = writeln!(
        text,
        "  {:<20} {} on {}, {:.3} s to {:.3} s",
        row.id.name(),
        row.count,
        things(row.connections, "connection"),
        row.first_s,
        row.last_s
    );
    let ladders = row.examples.iter().filter_map(|example| Ladder::of(row, example));
    let shown = if verbose { row.examples.len() } else { 1 };
    ladders.take(shown).for_each(|ladder| text.push_str(&ladder.text(style(Detail::Page), 6)));
}
