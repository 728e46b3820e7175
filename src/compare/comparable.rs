//! Whether two reports are of the same work, and what else differs between them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Named;
use crate::diagnose::FindingId;
use crate::report::Report;

/// Parameters that say how much was done or from where, not what was done: these may differ.
const FREE: [&str; 6] = ["count", "seed", "source", "local_ports", "watch", "name"];

fn is_free(key: &str) -> bool {
    FREE.contains(&key) || key.starts_with("duration") || key.starts_with("watch_")
}

/// Why reports were not compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{new} cannot be compared with {base}: {}", differences.join("; "))]
pub struct Refused {
    /// The base's name.
    pub base: String,
    /// The new report's name.
    pub new: String,
    /// What differs, each in words.
    pub differences: Vec<String>,
}

/// Refuses a new report that other work made.
pub(super) fn check(base: Named<'_>, new: Named<'_>) -> Result<(), Refused> {
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
    if differences.is_empty() {
        return Ok(());
    }
    Err(Refused { base: base.name.to_owned(), new: new.name.to_owned(), differences })
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
pub(super) fn notes(base: &Report, new: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |what: &str, b: &str, n: &str| {
        if b != n {
            notes.push(format!("{what}: {b} -> {n}"));
        }
    };
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
    let (b, n) = (&base.target, &new.target);
    note("firmware", &or_none(&b.firmware), &or_none(&n.firmware));
    note("stack", &or_none(&b.stack), &or_none(&n.stack));
    note("persona", &or_none(&b.persona), &or_none(&n.persona));
    note("link", &or_none(&b.link), &or_none(&n.link));
    let options: BTreeSet<_> = b.options.keys().chain(n.options.keys()).collect();
    let none = "none".to_owned();
    for key in options {
        note(key, b.options.get(key).unwrap_or(&none), n.options.get(key).unwrap_or(&none));
    }
    note("host kernel", &or_none(&base.host.kernel), &or_none(&new.host.kernel));
    let cpus = |r: &Report| r.host.cpus.map_or("unknown".into(), |n| n.to_string());
    note("host cpus", &cpus(base), &cpus(new));
    note("espstress", &base.tool.version, &new.tool.version);
    note("capture", base.capture.status.name(), new.capture.status.name());
    for (r, name) in [(base, "the base"), (new, "the new run")] {
        if r.interrupted {
            notes.push(format!("{name} was interrupted"));
        }
        if host_limited(r) {
            notes.push(format!(
                "{name} was limited by its host: its latencies and rates are not the device's"
            ));
        }
    }
    notes
}

/// Whether the testing machine, not the device, set the figures.
pub(super) fn host_limited(r: &Report) -> bool {
    r.findings.iter().any(|f| f.id == FindingId::HostLimited)
}
