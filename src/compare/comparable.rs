//! Whether reports are of the same work, and what else differs between them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Named;
use super::figures::Groups;
use espstress_diagnose::FindingId;
use espstress_report::{Report, things};
use espstress_stats::significance::p_of_counts;

/// Probability below which two sides are not limited alike.
const ALIKE: f64 = 0.1;

/// Parameters that say how much was done or from where, not what was done: these may differ.
const FREE: [&str; 6] = ["count", "seed", "source", "local_ports", "watch", "name"];

fn is_free(key: &str) -> bool {
    FREE.contains(&key) || key.starts_with("duration") || key.starts_with("watch_")
}

/// Why reports were not compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// They are of different work.
    #[error("cannot compare {new} with {base}: {}", differences.join("; "))]
    OtherWork {
        /// A report's name.
        base: String,
        /// The name of the one that differs from it.
        new: String,
        /// What differs, each in words.
        differences: Vec<String>,
    },
    /// A group holds the same run twice.
    #[error("{one} and {other} are reports of the same run; each repeat must be a separate run")]
    SameRun {
        /// A report's name.
        one: String,
        /// The other's.
        other: String,
    },
    /// A group is empty.
    #[error("each side needs at least one report")]
    NoReport,
}

/// Refuses groups that cannot be held against each other.
pub(super) fn check(base: &[Named<'_>], new: &[Named<'_>]) -> Result<(), Refused> {
    let (Some(first), false) = (base.first(), new.is_empty()) else { return Err(Refused::NoReport) };
    for other in base.iter().skip(1).chain(new) {
        same_work(*first, *other)?;
    }
    for group in [base, new] {
        for (i, one) in group.iter().enumerate() {
            let same = |other: &&Named<'_>| one.report.shares_a_session(other.report);
            if let Some(other) = group[i + 1..].iter().find(same) {
                return Err(Refused::SameRun { one: one.name.into(), other: other.name.into() });
            }
        }
    }
    Ok(())
}

/// Refuses a report that other work made.
fn same_work(base: Named<'_>, new: Named<'_>) -> Result<(), Refused> {
    let differences = differences(base, new);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Refused::OtherWork { base: base.name.to_owned(), new: new.name.to_owned(), differences })
}

/// In what the work of two reports differs, each difference in words; none where it is the same work.
#[must_use]
pub fn differences(base: Named<'_>, new: Named<'_>) -> Vec<String> {
    let mut differences = Vec::new();
    let (b, n) = (base.report, new.report);
    if b.target.kind != n.target.kind {
        differences.push(format!("target kind {} and {}", b.target.kind.name(), n.target.kind.name()));
    }
    let names = |r: &Report| r.workloads.iter().map(|w| w.name.clone()).collect::<BTreeSet<_>>();
    let (of_base, of_new) = (names(b), names(n));
    differences.extend(of_base.difference(&of_new).map(|w| format!("workload {w} only in {}", base.name)));
    differences.extend(of_new.difference(&of_base).map(|w| format!("workload {w} only in {}", new.name)));
    for w in &b.workloads {
        let Some(other) = n.workload(&w.name) else { continue };
        if w.kind != other.kind {
            differences.push(format!("workload {} is {} and {}", w.name, w.kind, other.kind));
        }
        for key in keys(&w.params, &other.params) {
            let (x, y) = (w.params.get(key), other.params.get(key));
            if !is_free(key) && x.unwrap_or(&Value::Null) != y.unwrap_or(&Value::Null) {
                differences.push(format!("{}: {key} {} and {}", w.name, words(x), words(y)));
            }
        }
    }
    differences
}

fn keys<'a>(a: &'a Value, b: &'a Value) -> BTreeSet<&'a String> {
    [a, b].into_iter().filter_map(Value::as_object).flat_map(serde_json::Map::keys).collect()
}

fn words(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".into(),
        Some(Value::String(s)) => s.clone(),
        Some(other) => other.to_string(),
    }
}

/// What else differs: the things that a change of figures may come from.
pub(super) fn notes(groups: Groups<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |what: &str, of: &dyn Fn(&Report) -> String| {
        let values = |runs: &[&Report]| runs.iter().map(|r| of(r)).collect::<BTreeSet<_>>();
        let (base, new) = (values(groups.base), values(groups.new));
        if base != new {
            let joined = |values: BTreeSet<String>| values.into_iter().collect::<Vec<_>>().join(" or ");
            notes.push(format!("{what}: {} -> {}", joined(base), joined(new)));
        } else if base.len() > 1 {
            notes.push(format!("{what}: not the same in all runs of a group"));
        }
    };
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    note("firmware", &|r| or_none(&r.target.firmware));
    note("stack", &|r| or_none(&r.target.stack));
    note("program", &|r| r.target.program.as_ref().map_or("none".into(), |p| p.command.join(" ")));
    note("persona", &|r| or_none(&r.target.persona));
    note("link", &|r| or_none(&r.target.link));
    let options: BTreeSet<&String> = groups.all().flat_map(|r| r.target.options.keys()).collect();
    for key in options {
        note(key, &|r| r.target.options.get(key).cloned().unwrap_or_else(|| "none".into()));
    }
    note("host kernel", &|r| or_none(&r.host.kernel));
    note("host cpus", &|r| r.host.cpus.map_or("unknown".into(), |n| n.to_string()));
    note("espstress", &|r| r.tool.version.clone());
    note("capture", &|r| r.capture.status.name().into());
    let left_out = leaves_out_limited(groups);
    for (runs, name) in [(groups.base, "base"), (groups.new, "new")] {
        let mut count = |what: &str, is: &dyn Fn(&Report) -> bool| {
            let n = runs.iter().filter(|r| is(r)).count();
            if n > 0 {
                notes.push(format!("{n} of {} {what}", things(runs.len() as u64, &format!("{name} run"))));
            }
        };
        count("interrupted", &|r| r.interrupted);
        let what = if left_out { "timings left out" } else { "kept, since both sides were alike" };
        count(&format!("limited by the testing machine: {what}"), &host_limited);
    }
    if groups.all().count() > 2 && apart(groups) {
        notes.push(
            "the groups ran one after the other: if the testing machine or the network changed between them, that looks \
             like a change of the device; interleave the runs to rule it out"
                .into(),
        );
    }
    notes
}

/// Whether the timings of runs that were limited by the testing machine are left out. Where the two sides ran in turns and
/// are limited alike, that is scatter between runs like any other, and is allowed for as such.
pub(super) fn leaves_out_limited(groups: Groups<'_>) -> bool {
    let limited = |runs: &[&Report]| runs.iter().filter(|r| host_limited(r)).count() as u64;
    let (base, new) = (limited(groups.base), limited(groups.new));
    apart(groups) || p_of_counts(base, groups.base.len() as u64, new, groups.new.len() as u64) < ALIKE
}

/// Whether one group had ended before the other began. RFC 3339 in UTC sorts as text.
fn apart(groups: Groups<'_>) -> bool {
    let ends = |runs: &[&Report]| {
        let times = || runs.iter().map(|r| r.started_at.clone());
        Some((times().min()?, times().max()?))
    };
    match (ends(groups.base), ends(groups.new)) {
        (Some(base), Some(new)) => base.1 < new.0 || new.1 < base.0,
        _ => false,
    }
}

/// Whether the testing machine, not the device, set the figures.
pub(super) fn host_limited(r: &Report) -> bool {
    r.findings.iter().any(|f| f.id == FindingId::HostLimited)
}
