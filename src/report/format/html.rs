//! One HTML file: no script, nothing loaded from anywhere, light and dark by the reader's own setting.

use std::fmt::Write as _;

use super::{chart, escape};
use crate::human::{bytes, count, found, percent, rate, things, time_s, time_us};
use crate::{LatencyFigures, OutageRow, Report, ThresholdStatus, Verdict, Workload};
use espstress_diagnose::{Finding, Severity};
use espstress_event::{AnomalyClass, Direction};

const STYLE: &str = include_str!("page.css");

pub(super) fn render(r: &Report) -> String {
    let name = r.scenario.get("name").and_then(serde_json::Value::as_str).unwrap_or("run");
    let (class, word) = match (r.verdict, r.thresholds.is_empty()) {
        (_, true) => ("quiet", "done"),
        (Verdict::Pass, _) => ("good", "pass"),
        (Verdict::Fail, _) => ("bad", "fail"),
        (Verdict::Inconclusive, _) => ("doubt", "inconclusive"),
    };
    let heading = escape(&format!("{name} on {} ({})", r.target.address, r.target.kind.name()));
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let _ = writeln!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{word}: {heading}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1><span class=\"badge {class}\">{word}</span> {heading}</h1>"
    );
    let mut about =
        vec![time_s(r.duration_s), format!("started {}", r.started_at), format!("seed {}", r.seed)];
    about.push(format!("{} {}", r.tool.name, r.tool.version));
    about.extend(r.target.firmware.iter().cloned());
    about.extend(r.target.stack.iter().cloned());
    about.extend(r.target.persona.iter().map(|p| format!("persona {p}")));
    about.extend(r.target.program.iter().map(|p| format!("program {}", p.command.join(" "))));
    about.extend(r.target.link.iter().map(|l| format!("link {l}")));
    let _ = writeln!(out, "<p class=\"quiet\">{}</p>", escape(&about.join(", ")));
    if r.interrupted {
        out.push_str(
            "<p class=\"doubt\">Interrupted: everything below is what was measured until then.</p>\n",
        );
    }
    for remark in &r.remarks {
        let _ = writeln!(out, "<p class=\"doubt\">{}.</p>", escape(remark));
    }
    gates(&mut out, r);
    findings(&mut out, r);
    packets(&mut out, r);
    r.workloads.iter().for_each(|w| workload(&mut out, w));
    let scenario = serde_json::to_string_pretty(&r.scenario).unwrap_or_default();
    let _ = writeln!(
        out,
        "<details><summary>what was run</summary><pre>{}</pre></details>\n</body>\n</html>",
        escape(&scenario)
    );
    out
}

fn gates(out: &mut String, r: &Report) {
    if r.thresholds.is_empty() {
        return;
    }
    out.push_str("<h2>Gates</h2>\n<table>\n");
    for t in &r.thresholds {
        let (class, word) = match t.status {
            ThresholdStatus::Pass => ("good", "pass"),
            ThresholdStatus::Fail => ("bad", "fail"),
            ThresholdStatus::Inconclusive => ("doubt", "not judged"),
        };
        let _ = writeln!(
            out,
            "<tr><td class=\"{class}\">{word}</td><td><code>{}</code></td><td>{}</td><td class=\"quiet\">{}</td></tr>",
            escape(&t.expr),
            escape(&found(t)),
            escape(t.reason.as_deref().unwrap_or(""))
        );
    }
    out.push_str("</table>\n");
}

fn findings(out: &mut String, r: &Report) {
    if let Some(reason) = &r.findings_incomplete {
        let _ = writeln!(out, "<p class=\"doubt\">Findings: {}.</p>", escape(reason));
    }
    if r.findings.is_empty() {
        return;
    }
    out.push_str("<h2>What it means</h2>\n");
    for f in &r.findings {
        let (class, word) = match f.severity {
            Severity::Error => ("bad", "error"),
            Severity::Warning => ("doubt", "warning"),
            Severity::Info => ("quiet", "info"),
        };
        let _ = writeln!(
            out,
            "<section class=\"finding\"><p><span class=\"{class}\">{word}</span> {} <code>{}</code></p>\n<ul>",
            escape(&f.statement),
            f.id.name()
        );
        for evidence in &f.evidence {
            let _ = writeln!(out, "<li>{}</li>", escape(evidence));
        }
        let _ = writeln!(
            out,
            "</ul>\n<p><b>cause</b> {}</p>\n<p><b>change</b> {}</p>",
            escape(&f.cause),
            escape(&f.change)
        );
        frameworks(out, f);
        out.push_str("</section>\n");
    }
}

fn frameworks(out: &mut String, f: &Finding) {
    let all = espstress_diagnose::frameworks(f.id);
    if all.is_empty() {
        return;
    }
    out.push_str("<details><summary>in the framework that you use</summary>\n<ul>\n");
    for (framework, change) in all {
        let _ = writeln!(out, "<li>{}: {}</li>", framework.name(), escape(change));
    }
    out.push_str("</ul></details>\n");
}

fn packets(out: &mut String, r: &Report) {
    out.push_str("<h2>Packets</h2>\n");
    let reason = r.capture.reason.as_ref().map(|s| format!(": {s}")).unwrap_or_default();
    let (class, words) = match (r.capture.saw_all(), r.capture.packets) {
        (true, n) => ("quiet", format!("{} looked at{reason}", things(n.unwrap_or(0), "packet"))),
        (false, Some(n)) => ("doubt", format!("{} looked at, not all{reason}", things(n, "packet"))),
        (false, None) => ("doubt", format!("The packets were not looked at{reason}")),
    };
    let _ = writeln!(out, "<p class=\"{class}\">{}</p>", escape(&words));
    if !r.anomalies.is_empty() {
        out.push_str(
            "<table>\n<tr><th>anomaly</th><th>class</th><th>count</th><th>connections</th><th>workload</th>\
             <th>when</th></tr>\n",
        );
        for a in &r.anomalies {
            let (class, word) = match a.class {
                AnomalyClass::Device => ("bad", "device"),
                AnomalyClass::Path => ("quiet", "path"),
                AnomalyClass::Provoked => ("quiet", "provoked"),
            };
            let _ = writeln!(
                out,
                "<tr><td><code>{}</code></td><td class=\"{class}\">{word}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td>{}</td><td class=\"n\">{} to {}</td></tr>",
                a.id.name(),
                count(a.count),
                count(a.connections),
                escape(a.workload.as_deref().unwrap_or("")),
                time_s(a.first_s),
                time_s(a.last_s)
            );
        }
        out.push_str("</table>\n");
    }
    examples(out, r);
    for n in &r.not_judged {
        let words = format!("{} was not judged: {}", n.id.name(), n.reason);
        let _ = writeln!(out, "<p class=\"doubt\">{}</p>", escape(&words));
    }
}

fn examples(out: &mut String, r: &Report) {
    for a in r.anomalies.iter().filter(|a| !a.examples.is_empty()) {
        let _ = write!(out, "<details><summary>examples of {}</summary><pre>", a.id.name());
        for e in &a.examples {
            let remark = e.remark.as_ref().map(|r| format!(", {r}")).unwrap_or_default();
            let line = format!("{} with {} at {:.6} s{remark}", e.host, e.device, e.at_s);
            let _ = writeln!(out, "{}", escape(&line));
            for p in &e.packets {
                let from = if p.direction == Direction::FromDevice { "device" } else { "host" };
                let line = format!("  #{:<8} {:>12.6} s  {from:<6}  {}", p.number, p.at_s, p.summary);
                let _ = writeln!(out, "{}", escape(&line));
            }
        }
        out.push_str("</pre></details>\n");
    }
}

/// Single outages in a table at most.
const OUTAGES: usize = 500;

fn outages(out: &mut String, w: &Workload) {
    let told = w.standing();
    if !told.is_empty() {
        out.push_str("<ul>");
        told.iter().for_each(|(label, text)| {
            let _ = writeln!(out, "<li>{}: {}</li>", escape(label), escape(text));
        });
        out.push_str("</ul>\n");
    }
    let rows = w.outages.as_deref().unwrap_or_default();
    if rows.is_empty() {
        return;
    }
    out.push_str("<table>\n<tr>");
    for heading in OutageRow::HEADINGS {
        let _ = write!(out, "<th>{heading}</th>");
    }
    out.push_str("</tr>\n");
    for row in rows.iter().take(OUTAGES) {
        out.push_str("<tr>");
        row.cells().iter().for_each(|cell| {
            let _ = write!(out, "<td class=\"n\">{}</td>", escape(cell));
        });
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}

fn workload(out: &mut String, w: &Workload) {
    let mut head = vec![format!("{} in {}", things(w.attempts, "attempt"), time_s(w.duration_s))];
    head.extend(w.attempts_per_s.map(rate));
    head.extend(w.success_rate.map(|r| format!("{} succeeded", percent(r))));
    head.extend(
        w.goodput_bytes_per_s.filter(|g| *g > 0.0).map(|g| format!("{}/s of right payload", bytes(g))),
    );
    let _ = writeln!(out, "<h2>{}</h2>\n<p>{}</p>", escape(&w.name), escape(&head.join(", ")));
    let mut rows: Vec<(String, &LatencyFigures)> = Vec::new();
    for (phase, l) in w.latency.iter().filter(|(_, l)| l.count > 0) {
        rows.push((phase.name().to_owned(), l));
        rows.extend(l.uncorrected.as_deref().map(|u| (format!("{} uncorrected", phase.name()), u)));
    }
    if !rows.is_empty() {
        out.push_str("<table>\n<tr><th>latency</th>");
        for heading in ["count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"] {
            let _ = write!(out, "<th>{heading}</th>");
        }
        out.push_str("</tr>\n");
        for (name, l) in &rows {
            let _ = write!(out, "<tr><td>{name}</td><td class=\"n\">{}</td>", count(l.count));
            for us in [l.min_us, l.mean_us, l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us] {
                let _ = write!(out, "<td class=\"n\">{}</td>", us.map_or_else(|| "-".into(), time_us));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</table>\n");
    }
    outages(out, w);
    if !w.responses.is_empty() {
        out.push_str("<table>\n<tr><th>HTTP status</th><th>responses</th></tr>\n");
        for (code, n) in &w.responses {
            let _ = writeln!(out, "<tr><td>{code}</td><td class=\"n\">{}</td></tr>", count(*n));
        }
        out.push_str("</table>\n");
    }
    if !w.malformed.is_empty() {
        out.push_str("<table>\n<tr><th>malformed responses</th></tr>\n");
        for text in w.malformed_in_words() {
            let _ = writeln!(out, "<tr><td>{}</td></tr>", escape(&text));
        }
        out.push_str("</table>\n");
    }
    let http = w.http_in_words();
    if !http.is_empty() {
        out.push_str("<table>\n<tr><th>HTTP</th><th></th></tr>\n");
        for (name, text) in http {
            let _ = writeln!(out, "<tr><td>{name}</td><td>{}</td></tr>", escape(&text));
        }
        out.push_str("</table>\n");
    }
    let failures: Vec<_> = w.failures.iter().collect();
    if !failures.is_empty() {
        out.push_str("<table>\n<tr><th>failure</th><th>count</th></tr>\n");
        for (f, n) in failures {
            let note = if f.is_host() { " (this machine's limit)" } else { "" };
            let _ = writeln!(out, "<tr><td>{}{note}</td><td class=\"n\">{}</td></tr>", f.name(), count(n));
        }
        out.push_str("</table>\n");
    }
    let charts = [
        ("Latency distribution", chart::distributions(&format!("{} latency distribution", w.name), &rows)),
        (
            "Attempts per second",
            chart::series(
                &format!("{} attempts per second", w.name),
                &w.series,
                |r| (r.length_s > 0.0).then(|| r.attempts as f64 / r.length_s),
                chart::per_second,
            ),
        ),
        (
            "Longest latency",
            chart::series(&format!("{} longest latency", w.name), &w.series, |r| r.latency_max_us, time_us),
        ),
    ];
    for (title, svg) in charts {
        if let Some(svg) = svg {
            let _ = writeln!(out, "<figure><figcaption>{title}</figcaption>\n{svg}</figure>");
        }
    }
}
