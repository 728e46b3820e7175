//! The account of failures: who answers for each.

use super::markup::{Cell, heading, paragraph, table};
use crate::human::{count, things, when};
use crate::{Report, text};
use espstress_diagnose::{AccountRow, Accounted};

pub(super) fn section(out: &mut String, r: &Report) {
    let failed: u64 = r.workloads.iter().map(|w| w.failures.of_device() + w.failures.of_host()).sum();
    if failed == 0 && r.account.is_empty() {
        return;
    }
    heading(out, "The account of failures");
    let attempts: u64 = r.workloads.iter().map(|w| w.attempts).sum();
    paragraph(out, "", &format!("{} of {} failed.", count(failed), things(attempts, "attempt")));
    if r.account.is_empty() {
        paragraph(out, "doubt", "This report says nothing of who answers for them.");
        let names = r.workloads.iter().flat_map(|w| {
            w.failures.iter().map(|(failure, n)| {
                vec![Cell::number(count(n)), Cell::text(failure.name()), Cell::text(&w.name)]
            })
        });
        table(out, &["failed", "failures", "workload"], names);
        return;
    }
    let rows = r.account.iter().map(|row| {
        let (class, by) = match row.accounted {
            Accounted::Explained => {
                ("", format!("explained by {}", row.by.as_deref().unwrap_or("a finding")))
            }
            Accounted::Excused => ("quiet", format!("excused: {}", text::excuse(row.by.as_deref()))),
            Accounted::Unexplained => ("bad mark", "not explained".to_owned()),
        };
        vec![
            Cell::toned(class, by),
            Cell::number(count(row.attempts)),
            Cell::text(names(row)),
            Cell::text(&row.workload),
            Cell::number(when(row.first_s, row.last_s)),
        ]
    });
    table(out, &["", "failed", "failures and anomalies", "workload", "when"], rows);
    if let Some(text) = r.unaccounted() {
        paragraph(out, "doubt", &format!("{text}."));
    }
}

fn names(row: &AccountRow) -> String {
    let failures = row.failures.iter().map(|(failure, n)| format!("{} {}", failure.name(), count(*n)));
    let anomalies =
        row.anomalies.iter().map(|(id, n)| format!("{} on {}", id.name(), things(*n, "connection")));
    failures.chain(anomalies).collect::<Vec<_>>().join(", ")
}
