//! A doctor's page: what is wrong with the device, what was looked at, and what was done to it.

use super::{LABEL, broke, title};
use crate::human::{bytes, things};
use crate::style::{Glyphs, Style, Tone};
use crate::{CaptureStatus, Report, ThresholdRow, ThresholdStatus};
use espstress_diagnose::{Deeds, Examination, Mark, Severity};

/// Width of a check's name with its mark.
const NAME: usize = LABEL + 7;

pub(super) fn page(out: &mut String, r: &Report, examination: &Examination, style: Style) {
    gates(out, r, style);
    if let Some(reason) = &r.findings_incomplete {
        title(out, "Not all findings could be checked", style);
        style.wrapped(out, "  ", 2, reason);
    } else if r.unexplained_cross().is_some() {
        title(out, "Something is wrong, but no finding explains it", style);
        style.wrapped(out, "  ", 2, "see the crosses below; -v shows more, --pcap saves the packets");
    } else if r.findings.iter().all(|f| f.severity == Severity::Info) {
        title(out, "Nothing wrong was found", style);
        let found = if r.findings.is_empty() { "no findings" } else { "only information was found" };
        let looked = match r.capture.status {
            CaptureStatus::Complete => {
                format!("{} captured, {found}", things(r.capture.packets.unwrap_or(0), "packet"))
            }
            CaptureStatus::FileIncomplete => {
                let reason = r.capture.reason.as_deref().unwrap_or_default();
                format!("{} looked at, {found}; {reason}", things(r.capture.packets.unwrap_or(0), "packet"))
            }
            _ => {
                let reason = r.capture.reason.as_deref().unwrap_or("not requested");
                format!("{found}; not all packets were captured: {reason}")
            }
        };
        style.wrapped(out, "  ", 2, &looked);
    }
    if !r.findings.is_empty() {
        title(out, "Findings, most severe first", style);
        for severity in [Severity::Error, Severity::Warning, Severity::Info] {
            for finding in r.findings.iter().filter(|finding| finding.severity == severity) {
                broke::finding(out, finding, style);
            }
        }
        let bad: Vec<_> = r.findings.iter().filter(|finding| finding.severity != Severity::Info).collect();
        broke::frameworks(out, r, &bad, style);
    }
    title(out, "Checks", style);
    for check in &examination.checks {
        let (sign, tone) = sign(check.mark, style.glyphs);
        let head = format!("  {} {:<width$}", style.paint(tone, sign), check.name, width = NAME - 4);
        style.wrapped(out, &head, NAME, &check.seen);
    }
    if let Some(reason) = &examination.incomplete {
        style.wrapped(out, "  ", 2, reason);
    }
    title(out, "What this test did to the device", style);
    style.wrapped(out, "  ", 2, &deeds(&examination.done));
}

/// The gates that somebody set; the usual one says no more than the findings do.
fn gates(out: &mut String, r: &Report, style: Style) {
    let usual = |t: &ThresholdRow| t.expr == crate::thresholds::DEFAULT_GATE;
    let open = r.open_reasons().next().is_some();
    if open || r.thresholds.iter().any(|t| !usual(t) || t.status == ThresholdStatus::Inconclusive) {
        super::gates(out, r, style);
    }
}

const fn sign(mark: Mark, glyphs: Glyphs) -> (&'static str, Tone) {
    match (mark, glyphs) {
        (Mark::Good, Glyphs::Unicode) => ("\u{2713}", Tone::Good),
        (Mark::Good, Glyphs::Ascii) => ("+", Tone::Good),
        (Mark::Bad, Glyphs::Unicode) => ("\u{2717}", Tone::Bad),
        (Mark::Bad, Glyphs::Ascii) => ("x", Tone::Bad),
        (Mark::Unknown, _) => ("?", Tone::Doubt),
    }
}

/// What a doctor did to the device, for both pages.
pub(crate) fn deeds(done: &Deeds) -> String {
    let mut list = vec![
        format!(
            "{} attempted, up to {} at once",
            things(done.connections, "connection"),
            done.connections_at_once
        ),
        things(done.requests, "request"),
        format!("{} sent and {} received", bytes(done.bytes_sent as f64), bytes(done.bytes_received as f64)),
    ];
    let more = [
        (done.silenced, "connection", "silenced"),
        (done.resets, "connection", "reset by this test"),
        (done.datagrams, "datagram", "for ping and telemetry"),
    ];
    let more = more.into_iter().filter(|(n, ..)| *n > 0);
    list.extend(more.map(|(n, one, what)| format!("{} {what}", things(n, one))));
    list.join("; ")
}
