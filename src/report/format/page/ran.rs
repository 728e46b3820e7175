//! What was run, on what, from where, with every default.

use std::fmt::Write as _;

use super::markup::{facts, heading};
use crate::Report;
use crate::format::escape;
use crate::human::{bytes, count, things, time_s};
use serde_json::Value;

pub(super) fn section(out: &mut String, r: &Report) {
    heading(out, "What was run, and on what");
    out.push_str("<h3>The device</h3>\n");
    facts(out, &target(r));
    out.push_str("<h3>The machine that sent the traffic</h3>\n");
    facts(out, &host(r));
    if !r.probes.is_empty() {
        out.push_str("<h3>Probes during the workloads</h3>\n");
        facts(out, &crate::text::probes(r));
    }
    for w in &r.workloads {
        let _ = writeln!(out, "<h3>Settings of {} ({})</h3>", escape(&w.name), escape(&w.kind));
        facts(out, &settings(&w.params));
    }
    let scenario = serde_json::to_string_pretty(&r.scenario).unwrap_or_default();
    let _ = writeln!(
        out,
        "<details><summary>the scenario as JSON</summary>\n<pre>{}</pre></details>",
        escape(&scenario)
    );
}

fn target(r: &Report) -> Vec<(String, String)> {
    let t = &r.target;
    let mut rows = vec![("address".to_owned(), format!("{} ({})", t.address, t.kind.name()))];
    let mut add = |name: &str, text: Option<String>| rows.extend(text.map(|text| (name.to_owned(), text)));
    add("stack", t.stack.clone());
    add("firmware", t.firmware.clone());
    add("persona", t.persona.clone());
    add("link", t.link.clone());
    add("capacity", t.capacity.map(|n| things(n, "connection")));
    let services: Vec<String> = t.services.iter().map(|s| format!("{} {}", s.name, s.port)).collect();
    add("services", (!services.is_empty()).then(|| services.join(", ")));
    if let Some(program) = &t.program {
        add("program", Some(program.command.join(" ")));
        add("its end", program.end.clone());
        let used = program.unsupported.iter().map(|(what, n)| format!("{what} {}", count(*n)));
        let used = used.collect::<Vec<_>>().join(", ");
        add("used, and not in lwIP", (!used.is_empty()).then_some(used));
    }
    let options: Vec<String> = t.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    add("options in force", (!options.is_empty()).then(|| options.join(", ")));
    let without = &t.options_without_effect;
    add("options without effect", (!without.is_empty()).then(|| without.join(", ")));
    rows
}

fn host(r: &Report) -> Vec<(String, String)> {
    let h = &r.host;
    let kernel = h.kernel.as_ref().map_or_else(String::new, |k| format!(" {k}"));
    let cpus = h.cpus.map_or_else(String::new, |n| format!(", {}", things(n, "processor")));
    let mut rows = vec![("system".to_owned(), format!("{}{kernel}, {}{cpus}", h.os, h.arch))];
    if let (Some(user), Some(system)) = (h.cpu_user_s, h.cpu_system_s) {
        rows.push(("processor time".to_owned(), format!("{} user, {} system", time_s(user), time_s(system))));
    }
    rows.extend(h.memory_peak_bytes.map(|n| ("most memory".to_owned(), bytes(n as f64))));
    rows.push(("espstress".to_owned(), format!("{} {}", r.tool.name, r.tool.version)));
    rows.push(("started".to_owned(), r.started_at.clone()));
    rows.push(("seed".to_owned(), r.seed.to_string()));
    rows
}

/// Settings by name, every one, as they would be written.
fn settings(params: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let all = all.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned));
            all.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    params.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}
