//! Findings in plain words: what happened, its cause, what to change, and the evidence.

use std::fmt::Write as _;

use super::markup::{heading, paragraph};
use crate::Report;
use crate::format::escape;
use espstress_diagnose::{Finding, Severity};

pub(super) fn section(out: &mut String, r: &Report) {
    if r.findings.is_empty() && r.findings_incomplete.is_none() {
        heading(out, "Findings");
        paragraph(out, "quiet", &nothing(r));
        return;
    }
    heading(out, "Findings");
    if let Some(reason) = &r.findings_incomplete {
        paragraph(out, "doubt", &format!("Not all findings could be looked for: {reason}."));
    }
    for severity in [Severity::Error, Severity::Warning, Severity::Info] {
        r.findings.iter().filter(|f| f.severity == severity).for_each(|f| finding(out, f));
    }
}

/// What the absence of findings means.
fn nothing(r: &Report) -> String {
    if let Some(check) = r.unexplained_cross() {
        return format!("No finding explains why the check of {} went badly.", check.name);
    }
    if r.left_open().next().is_some() {
        return "None; but the run did not test everything, as said above.".to_owned();
    }
    if r.capture.saw_all() {
        "None.".to_owned()
    } else {
        "None, but not all packets were seen: what only packets show was not looked for.".to_owned()
    }
}

pub(super) fn finding(out: &mut String, f: &Finding) {
    let (class, word) = match f.severity {
        Severity::Error => ("bad", "error"),
        Severity::Warning => ("doubt", "warning"),
        Severity::Info => ("quiet", "worth knowing"),
    };
    let _ = writeln!(
        out,
        "<section class=\"finding {class}\">\n<p><span class=\"tag {class}\">{word}</span> <b>{}</b> <code>{}</code></p>\n<dl>",
        escape(&f.statement),
        f.id.name()
    );
    let _ = writeln!(out, "<dt>cause</dt><dd>{}</dd>", escape(&f.cause));
    let _ = writeln!(out, "<dt>change</dt><dd>{}</dd>", escape(&f.change));
    if !f.evidence.is_empty() {
        out.push_str("<dt>evidence</dt><dd><ul>\n");
        f.evidence.iter().for_each(|line| {
            let _ = writeln!(out, "<li>{}</li>", escape(line));
        });
        out.push_str("</ul></dd>\n");
    }
    out.push_str("</dl>\n");
    let frameworks = espstress_diagnose::frameworks(f.id);
    if !frameworks.is_empty() {
        out.push_str("<details><summary>in the framework that you use</summary>\n<ul>\n");
        for (framework, change) in frameworks {
            let _ = writeln!(out, "<li>{}: {}</li>", framework.name(), escape(change));
        }
        out.push_str("</ul></details>\n");
    }
    out.push_str("</section>\n");
}
