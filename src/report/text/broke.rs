//! What broke: findings in plain words, the device's anomalies, and what could not be looked at.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{LABEL, label, title};
use crate::human::{count, things, when};
use crate::ladder::Ladder;
use crate::style::{Detail, Style, Tone};
use crate::verdict::no_pongs;
use crate::{CaptureStatus, Report, Verdict};
use espstress_diagnose::{AccountRow, Accounted, AnomalyRow, Finding, FindingId, Severity};
use espstress_event::{AnomalyClass, AnomalyId};

pub(super) fn section(out: &mut String, r: &Report, style: Style) {
    let of_device: Vec<_> = r.anomalies.iter().filter(|a| a.class == AnomalyClass::Device).collect();
    let bad: Vec<_> = r.findings.iter().filter(|f| f.severity != Severity::Info).collect();
    let failed: u64 = r.workloads.iter().map(|w| w.failures.of_device()).sum();
    if of_device.is_empty() && bad.is_empty() && failed == 0 {
        clean(out, r, style);
    } else {
        // What every gate allows is no more than that; nor is a warning beside which nothing failed.
        let allowed = r.verdict == Verdict::Pass && !r.thresholds.is_empty();
        let only_warned = bad.iter().all(|f| f.severity == Severity::Warning);
        let nothing = r.verdict != Verdict::Fail && of_device.is_empty() && failed == 0 && only_warned;
        title(out, if allowed || nothing { "What was noticed" } else { "What broke" }, style);
        for finding in &bad {
            self::finding(out, finding, style);
        }
        frameworks(out, r, &bad, style);
        if failed > 0 {
            let attempts: u64 = r.workloads.iter().map(|w| w.attempts).sum();
            let _ = writeln!(out, "{}{} of {} attempts", label("failed"), count(failed), count(attempts));
            account(out, r, style);
        }
        if !of_device.is_empty() {
            anomalies(out, &of_device, style);
        }
        packets(out, r, of_device.is_empty(), style);
    }
    if let Some(reason) = &r.findings_incomplete {
        style.wrapped(out, &style.paint(Tone::Doubt, &label("findings")), LABEL, reason);
    }
    folded(out, r, AnomalyClass::Path, "path", style);
    folded(out, r, AnomalyClass::Provoked, "provoked", style);
    not_judged(out, r, style);
    let notes: Vec<_> = r.findings.iter().filter(|f| f.severity == Severity::Info).collect();
    if !notes.is_empty() {
        title(out, "Worth knowing", style);
        for note in notes {
            finding(out, note, style);
        }
    }
}

/// Who answers for the failures, a line each.
fn account(out: &mut String, r: &Report, style: Style) {
    let of_failures = |row: &&AccountRow| row.attempts > 0 && row.by.as_deref() != Some("host");
    for row in r.account.iter().filter(of_failures) {
        let (tone, by) = match row.accounted {
            Accounted::Explained => {
                (Tone::Quiet, format!("explained by {}", row.by.as_deref().unwrap_or("a finding")))
            }
            Accounted::Excused => (Tone::Quiet, format!("excused: {}", excuse(row.by.as_deref()))),
            Accounted::Unexplained => (Tone::Bad, "not explained".to_owned()),
        };
        let names: Vec<String> =
            row.failures.iter().map(|(f, n)| format!("{} {}", f.name(), count(*n))).collect();
        let text = format!(
            "{} {by} ({}), {}, {}",
            count(row.attempts),
            names.join(", "),
            row.workload,
            when(row.first_s, row.last_s)
        );
        style.wrapped(out, &style.paint(tone, &label("")), LABEL, &text);
    }
    if let Some(text) = r.unaccounted() {
        style.wrapped(out, &style.paint(Tone::Doubt, &label("")), LABEL, &text);
    }
}

/// Why failures are excused, in words.
pub(crate) fn excuse(by: Option<&str>) -> &'static str {
    match by {
        Some("host") => "the limits of this machine",
        Some("host_stood_still") => "this machine stood still",
        Some("outage_made") => "an outage that the test made",
        Some("link_away") => "the link was away",
        Some("restarting") => "the device was restarting",
        Some("provoked") => "the test provoked it",
        Some("beyond_capacity") => "more connections at once than the device has room for",
        _ => "not told",
    }
}

/// What a capture says that looks at TCP alone, where there was none.
const NO_TCP: &str = "no TCP packets passed, and anomalies are TCP's";

fn clean(out: &mut String, r: &Report, style: Style) {
    let gates = (r.verdict == Verdict::Fail).then(|| "the gates above".to_owned());
    let broken: Vec<String> = gates.into_iter().chain(r.workloads.iter().filter_map(no_pongs)).collect();
    let told = broken.iter().fold(String::new(), |told, what| told + what + "; ");
    let otherwise = if broken.is_empty() { "" } else { "otherwise " };
    let before = format!("{told}{otherwise}");
    let judged = if r.not_judged.is_empty() { "" } else { ", as far as espstress could judge" };
    let text = if r.findings_incomplete.is_some() {
        format!("{before}no failures")
    } else if r.capture.saw_all() {
        match r.capture.packets {
            None | Some(0) => format!("{before}no failures and no findings; {NO_TCP}"),
            Some(n) => format!(
                "{before}no failures, no findings, and no anomalies of the device in {}{judged}",
                things(n, "packet")
            ),
        }
    } else {
        format!("{before}no failures and no findings")
    };
    let able = r.workloads.iter().all(|w| w.not_done().is_none());
    let done = r.findings_incomplete.is_none() && able && r.left_open().next().is_none();
    let heading = match (r.verdict == Verdict::Fail, broken.is_empty(), r.capture.saw_all() && done) {
        (true, ..) => "What broke",
        (_, false, _) => "What was noticed",
        (_, true, true) => "Nothing broke",
        (_, true, false) => "Nothing was seen to break",
    };
    title(out, heading, style);
    style.wrapped(out, "  ", 2, &text);
    if r.capture.status != CaptureStatus::Complete {
        packets(out, r, true, style);
    }
}

fn packets(out: &mut String, r: &Report, none_seen: bool, style: Style) {
    let reason = || r.capture.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let seen = r.capture.packets.map_or_else(|| "packets".to_owned(), |n| things(n, "packet"));
    let (tone, text) = match (r.capture.status, none_seen) {
        (CaptureStatus::Complete, _) if r.capture.packets.is_none_or(|n| n == 0) => {
            (Tone::Quiet, NO_TCP.to_owned())
        }
        (CaptureStatus::Complete, true) => {
            (Tone::Quiet, format!("{seen} captured, no anomalies of the device"))
        }
        (CaptureStatus::Complete, false) => (Tone::Quiet, format!("{seen} captured")),
        (CaptureStatus::FileIncomplete, _) => (Tone::Doubt, format!("{seen} looked at{}", reason())),
        (CaptureStatus::Dropped, _) => {
            (Tone::Doubt, format!("{seen} captured, but not all{}; there may be more anomalies", reason()))
        }
        (CaptureStatus::Denied | CaptureStatus::Off, _) => {
            (Tone::Doubt, format!("no packets captured{}", reason()))
        }
    };
    style.wrapped(out, &style.paint(tone, &label("capture")), LABEL, &text);
}

pub(super) fn finding(out: &mut String, f: &Finding, style: Style) {
    let (word, tone) = match f.severity {
        Severity::Error => ("error", Tone::Bad),
        Severity::Warning => ("warning", Tone::Doubt),
        Severity::Info => ("info", Tone::Quiet),
    };
    style.wrapped(
        out,
        &style.paint(tone, &label(word)),
        LABEL,
        &format!("{} [{}]", f.statement, f.id.name()),
    );
    let indent = LABEL + 9;
    let mut line = |word: &str, text: &str| {
        let head = format!("{}{word:<9}", " ".repeat(LABEL));
        style.wrapped(out, &style.paint(Tone::Quiet, &head), indent, text);
    };
    if style.detail == Detail::Evidence {
        for (i, evidence) in f.evidence.iter().enumerate() {
            line(if i == 0 { "evidence" } else { "" }, evidence);
        }
    }
    line("cause", &f.cause);
    line("change", &f.change);
}

/// Where to read what to set in the framework that the device's program uses. Our own device program uses none.
pub(super) fn frameworks(out: &mut String, r: &Report, findings: &[&Finding], style: Style) {
    let Some(first) = findings.iter().find(|f| !espstress_diagnose::frameworks(f.id).is_empty()) else {
        return;
    };
    let others = r.target.program.is_some() || r.target.firmware.is_none();
    if others {
        let text = format!("how in your framework: espstress findings {}", first.id.name());
        style.wrapped(out, &style.paint(Tone::Quiet, &label("")), LABEL, &text);
    }
}

fn anomalies(out: &mut String, rows: &[&AnomalyRow], style: Style) {
    let wide = rows.iter().map(|a| a.id.name().len()).max().unwrap_or(0);
    for (i, a) in rows.iter().enumerate() {
        let head = label(if i == 0 { "anomalies" } else { "" });
        let owner = a.workload.as_deref().unwrap_or("no workload");
        let told = format!(
            "{} on {}, {owner}, {}",
            count(a.count),
            things(a.connections, "connection"),
            when(a.first_s, a.last_s)
        );
        let row = format!("{:<wide$}  {told}", a.id.name());
        let head = style.paint(Tone::Bad, &head);
        if LABEL + row.chars().count() <= style.columns() {
            let _ = writeln!(out, "{head}{row}");
        } else {
            style.wrapped(out, &head, LABEL + 2, &row);
        }
        if style.detail == Detail::Evidence {
            examples(out, a, style);
        }
    }
}

fn examples(out: &mut String, a: &AnomalyRow, style: Style) {
    for ladder in a.examples.iter().filter_map(|example| Ladder::of(a, example)) {
        out.push_str(&ladder.text(style, LABEL));
    }
}

/// Every anomaly of a class that is no fault, in one line.
fn folded(out: &mut String, r: &Report, class: AnomalyClass, name: &str, style: Style) {
    let mut counts: BTreeMap<AnomalyId, u64> = BTreeMap::new();
    for a in r.anomalies.iter().filter(|a| a.class == class) {
        *counts.entry(a.id).or_default() += a.count;
    }
    if counts.is_empty() {
        return;
    }
    let list: Vec<_> = counts.iter().map(|(id, n)| format!("{} {}", id.name(), count(*n))).collect();
    let silent = |id: &AnomalyId| {
        matches!(id, AnomalyId::SynUnanswered | AnomalyId::NoAckToData | AnomalyId::HalfClosedLinger)
    };
    let note = match class {
        // One loss is enough for a silence, and a device that has no room says nothing either.
        AnomalyClass::Path if counts.keys().any(silent) => {
            " (a loss in the network or this machine's TCP explains each; a silence may be the device's all the same)"
        }
        // What its queue drops this machine sends again.
        AnomalyClass::Path if r.findings.iter().any(|f| f.id == FindingId::AcceptOverflow) => {
            " (by the network, by this machine's TCP, or because the device's accept queue was full)"
        }
        AnomalyClass::Path => " (by the network or this machine's TCP, not by the device)",
        AnomalyClass::Provoked => " (caused by this test)",
        AnomalyClass::Device => "",
    };
    style.wrapped(out, &style.paint(Tone::Quiet, &label(name)), LABEL, &format!("{}{note}", list.join(", ")));
}

fn not_judged(out: &mut String, r: &Report, style: Style) {
    for (i, row) in r.not_judged.iter().enumerate() {
        let head = style.paint(Tone::Doubt, &label(if i == 0 { "not judged" } else { "" }));
        let text = format!("{} on {}: {}", row.id.name(), things(row.connections, "connection"), row.reason);
        style.wrapped(out, &head, LABEL, &text);
    }
}
