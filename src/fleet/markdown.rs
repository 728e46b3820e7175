//! The fleet report as Markdown, for a job's summary.

use std::fmt::Write as _;

use super::model::FleetReport;
use super::page::{cells, severity, sums, title};
use espstress_report::markdown_text as plain;

/// Markdown with a table of the devices.
#[must_use]
pub fn markdown(fleet: &FleetReport) -> String {
    let mut out = String::new();
    let verdict =
        if fleet.has_gates() { format!("{:?}", fleet.verdict).to_uppercase() } else { "DONE".into() };
    let _ = writeln!(out, "## {verdict}: {}\n", plain(&title(fleet)));
    out.push_str(
        "| device | verdict | attempts | failed | p50 | p99 | findings |\n|---|---|--:|--:|--:|--:|---|\n",
    );
    for device in &fleet.devices {
        let _ = writeln!(out, "| {} |", cells(device).map(|cell| plain(&cell)).join(" | "));
    }
    for reason in &fleet.verdict_reasons {
        let _ = writeln!(out, "\n- {}", plain(reason));
    }
    if !fleet.findings.is_empty() {
        out.push_str("\n| finding | severity | devices |\n|---|---|---|\n");
    }
    for finding in &fleet.findings {
        let devices = plain(&finding.devices.join(", "));
        let _ = writeln!(out, "| {} | {} | {devices} |", finding.id.name(), severity(finding.severity));
    }
    for workload in &fleet.workloads {
        let _ = writeln!(out, "\nAll together, {}.", plain(&sums(workload)));
    }
    out
}
