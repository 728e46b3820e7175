//! Markdown: the page's content as headings and tables.

use std::fmt::Write as _;

use crate::human::{bytes, count, found, rate, time_s, time_us};
use crate::{LatencyFigures, OutageRow, Report, ThresholdStatus, Workload};
use espstress_event::{AnomalyClass, Failure};

/// Text that stays text in Markdown, also inside a table.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '*' | '`' | '[' | ']' | '\\' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

pub(super) fn render(r: &Report) -> String {
    let mut out = String::new();
    let name = r.scenario.get("name").and_then(serde_json::Value::as_str).unwrap_or("run");
    let verdict =
        if r.thresholds.is_empty() { "done, no gate".into() } else { r.verdict.name().to_uppercase() };
    let _ = writeln!(
        out,
        "## {verdict}: {} on {} ({})\n\n{}, started {}, seed {}.",
        plain(name),
        plain(&r.target.address),
        r.target.kind.name(),
        time_s(r.duration_s),
        r.started_at,
        r.seed
    );
    if r.interrupted {
        out.push_str("\n**Interrupted**: everything below is what was measured until then.\n");
    }
    for remark in &r.remarks {
        let _ = writeln!(out, "\n{}.", plain(remark));
    }
    gates(&mut out, r);
    findings(&mut out, r);
    packets(&mut out, r);
    r.workloads.iter().for_each(|w| workload(&mut out, w));
    out
}

fn gates(out: &mut String, r: &Report) {
    if r.thresholds.is_empty() {
        return;
    }
    out.push_str("\n| gate | | found | |\n|---|---|---|---|\n");
    for t in &r.thresholds {
        let status = match t.status {
            ThresholdStatus::Pass => "pass",
            ThresholdStatus::Fail => "**fail**",
            ThresholdStatus::Inconclusive => "not judged",
        };
        let reason = t.reason.as_deref().map(plain).unwrap_or_default();
        let _ = writeln!(out, "| {} | {status} | {} | {reason} |", plain(&t.expr), plain(&found(t)));
    }
    for reason in r.open_reasons() {
        let _ = writeln!(out, "\n**Not judged**: {}.", plain(reason));
    }
}

fn findings(out: &mut String, r: &Report) {
    if let Some(reason) = &r.findings_incomplete {
        let _ = writeln!(out, "\nFindings: {}.", plain(reason));
    }
    for f in &r.findings {
        let severity = format!("{:?}", f.severity).to_lowercase();
        let _ = writeln!(out, "\n### {severity}: {} ({})\n", plain(&f.statement), f.id.name());
        for evidence in &f.evidence {
            let _ = writeln!(out, "- {}", plain(evidence));
        }
        let _ = writeln!(out, "- cause: {}\n- change: {}", plain(&f.cause), plain(&f.change));
    }
}

fn packets(out: &mut String, r: &Report) {
    out.push_str("\n### Packets\n\n");
    let reason = r.capture.reason.as_deref().map(|s| format!(": {}", plain(s))).unwrap_or_default();
    let _ = match (r.capture.saw_all(), r.capture.packets) {
        (true, n) => writeln!(out, "{} packets looked at{reason}.", count(n.unwrap_or(0))),
        (false, Some(n)) => writeln!(out, "{} packets looked at, not all{reason}.", count(n)),
        (false, None) => writeln!(out, "The packets were not looked at{reason}."),
    };
    if !r.anomalies.is_empty() {
        out.push_str("\n| anomaly | class | count | connections | workload |\n|---|---|--:|--:|---|\n");
    }
    for a in &r.anomalies {
        let class = match a.class {
            AnomalyClass::Device => "**device**",
            AnomalyClass::Path => "path",
            AnomalyClass::Provoked => "provoked",
        };
        let _ = writeln!(
            out,
            "| {} | {class} | {} | {} | {} |",
            a.id.name(),
            count(a.count),
            count(a.connections),
            a.workload.as_deref().map(plain).unwrap_or_default()
        );
    }
    for n in &r.not_judged {
        let _ = writeln!(out, "\nNot judged: {}, {}", n.id.name(), plain(&n.reason));
    }
}

fn workload(out: &mut String, w: &Workload) {
    let mut head = vec![format!("{} attempts in {}", count(w.attempts), time_s(w.duration_s))];
    head.extend(w.attempts_per_s.map(rate));
    head.extend(w.success_in_words());
    head.extend(w.goodput_bytes_per_s.filter(|g| *g > 0.0).map(|g| {
        let right = if w.payload_is_compared() { "right payload" } else { "payload" };
        format!("{}/s of {right}", bytes(g))
    }));
    let _ = writeln!(out, "\n### {}\n\n{}.\n", plain(&w.name), head.join(", "));
    if w.latency.values().any(|l| l.count > 0) {
        out.push_str("| latency | count | min | mean | p50 | p90 | p99 | p99.9 | max |\n");
        out.push_str("|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
    }
    for (phase, l) in w.latency.iter().filter(|(_, l)| l.count > 0) {
        latency(out, phase.name(), l);
        if let Some(u) = &l.uncorrected {
            latency(out, &format!("{} uncorrected", phase.name()), u);
        }
    }
    outages(out, w);
    let list = |keep: fn(Failure) -> bool| {
        let names: Vec<_> = w.failures.iter().filter(|(f, _)| keep(*f)).collect();
        names.iter().map(|(f, n)| format!("{} {}", f.name(), count(*n))).collect::<Vec<_>>().join(", ")
    };
    if !w.responses.is_empty() {
        let codes: Vec<_> = w.responses.iter().map(|(code, n)| format!("{code} {}", count(*n))).collect();
        let _ = writeln!(out, "\nHTTP status codes: {}.", codes.join(", "));
    }
    for text in w.malformed_in_words() {
        let _ = writeln!(out, "\nMalformed responses: {text}.");
    }
    for (name, text) in w.http_in_words() {
        let _ = writeln!(out, "\nHTTP, {name}: {text}.");
    }
    if w.failures.of_device() > 0 {
        let _ = writeln!(out, "\nFailures: {}.", list(|f| !f.is_host()));
    }
    if w.failures.of_host() > 0 {
        let _ = writeln!(
            out,
            "\nThe testing machine's own limits, not the device's: {}.",
            list(Failure::is_host)
        );
    }
}

/// Single outages in a table at most.
const OUTAGES: usize = 50;

fn outages(out: &mut String, w: &Workload) {
    for (label, text) in w.standing() {
        let _ = writeln!(out, "- {label}: {}", plain(&text));
    }
    let rows = w.outages.as_deref().unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n| {} |", OutageRow::HEADINGS.join(" | "));
    out.push_str("|--:|---|---|--:|--:|--:|--:|--:|\n");
    for row in rows.iter().take(OUTAGES) {
        let _ = writeln!(out, "| {} |", row.cells().join(" | "));
    }
}

fn latency(out: &mut String, name: &str, l: &LatencyFigures) {
    let _ = write!(out, "| {name} | {} |", count(l.count));
    for us in [l.min_us, l.mean_us, l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us] {
        let _ = write!(out, " {} |", us.map_or_else(|| "-".into(), time_us));
    }
    out.push('\n');
}
