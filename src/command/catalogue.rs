//! The catalogues and the files for shells.

use super::output::print;
use super::{Exit, Failed, command_line};
use espstress_cli::{CatalogueArgs, ManArgs, Shell};
use espstress_diagnose::{FindingEntry, frameworks};
use espstress_observe::{CatalogueEntry, Needs};
use espstress_scenario::{BUILT_IN, Scenario, built_in};

fn done(text: &str) -> Result<Exit, Failed> {
    print(text).map_err(Failed::environment)?;
    Ok(Exit::Done)
}

/// `espstress anomalies`.
pub(super) fn anomalies(args: &CatalogueArgs) -> Result<Exit, Failed> {
    let all = espstress_observe::catalogue().iter();
    let known = all.clone().map(|entry| entry.id.name());
    one_of("anomaly", "anomalies", args.name.as_deref(), known)?;
    let chosen: Vec<_> = all.filter(|entry| is_chosen(args, entry.id.name())).collect();
    if args.json {
        return json(chosen.into_iter().map(anomaly_json).collect());
    }
    let mut text = String::new();
    if args.name.is_none() {
        text.push_str(
            "Classes: device (counts against the device), path (the network, or this machine's TCP), provoked (caused by \
             this\ntest). `No anomaly` means none of class device.\n\n",
        );
    }
    text.push_str(&chosen.into_iter().map(anomaly).collect::<Vec<_>>().join("\n"));
    done(&text)
}

/// Refuses a name that no entry has.
fn one_of<'a>(
    what: &str,
    command: &str,
    name: Option<&str>,
    mut known: impl Iterator<Item = &'a str>,
) -> Result<(), Failed> {
    match name {
        Some(name) if known.all(|one| one != name) => {
            Err(Failed::usage(format!("no {what} `{name}`; `espstress {command}` lists them")))
        }
        _ => Ok(()),
    }
}

fn is_chosen(args: &CatalogueArgs, name: &str) -> bool {
    args.name.as_deref().is_none_or(|chosen| chosen == name)
}

fn json(entries: Vec<serde_json::Value>) -> Result<Exit, Failed> {
    done(&format!("{:#}\n", serde_json::Value::from(entries)))
}

fn anomaly(entry: &CatalogueEntry) -> String {
    let needs = match entry.needs {
        Needs::Packet => "one packet is enough".to_owned(),
        Needs::Watch(ns) => format!("needs {} s more of packets", ns / 1_000_000_000),
        Needs::End => "needs packets until the connection ends".to_owned(),
    };
    let mut text = format!("{}\n  {}\n", entry.id.name(), entry.definition);
    if !entry.looks_like.is_empty() {
        text.push_str(&format!("  not: {}\n", entry.looks_like));
    }
    text.push_str(&format!("  {needs}\n"));
    text
}

fn anomaly_json(entry: &CatalogueEntry) -> serde_json::Value {
    let (needs, watch_s) = match entry.needs {
        Needs::Packet => ("packet", None),
        Needs::Watch(ns) => ("watch", Some(ns as f64 / 1e9)),
        Needs::End => ("end", None),
    };
    serde_json::json!({
        "id": entry.id.name(),
        "definition": entry.definition,
        "not": (!entry.looks_like.is_empty()).then_some(entry.looks_like),
        "needs": needs,
        "watch_s": watch_s,
    })
}

/// `espstress findings`.
pub(super) fn findings(args: &CatalogueArgs) -> Result<Exit, Failed> {
    let all = espstress_diagnose::finding_catalogue();
    one_of("finding", "findings", args.name.as_deref(), all.iter().map(|entry| entry.id.name()))?;
    let chosen = all.iter().filter(|entry| is_chosen(args, entry.id.name()));
    if args.json {
        return json(chosen.map(finding_json).collect());
    }
    done(&chosen.map(finding).collect::<Vec<_>>().join("\n"))
}

fn finding_json(entry: &FindingEntry) -> serde_json::Value {
    let of = |(framework, change): &(espstress_diagnose::Framework, &str)| {
        (framework.name().to_owned(), serde_json::Value::from(*change))
    };
    serde_json::json!({
        "id": entry.id.name(),
        "severity": entry.severity,
        "meaning": entry.meaning,
        "evidence": entry.needs,
        "not": entry.neighbours,
        "change": entry.change,
        "frameworks": frameworks(entry.id).iter().map(of).collect::<serde_json::Map<_, _>>(),
    })
}

fn finding(entry: &FindingEntry) -> String {
    let mut text = format!(
        "{}\n  {}\n  evidence: {}\n  not: {}\n  change: {}\n",
        entry.id.name(),
        entry.meaning,
        entry.needs,
        entry.neighbours,
        entry.change
    );
    for (framework, change) in frameworks(entry.id) {
        text.push_str(&format!("    {}: {change}\n", framework.name()));
    }
    text
}

/// `espstress thresholds`.
pub(super) fn thresholds() -> Result<Exit, Failed> {
    done(&espstress_report::thresholds::catalogue())
}

/// `espstress scenarios`.
pub(super) fn scenarios(name: Option<&str>) -> Result<Exit, Failed> {
    if let Some(name) = name {
        let Some(scenario) = built_in(name) else {
            let known: Vec<&str> = BUILT_IN.iter().map(|s| s.name).collect();
            return Err(Failed::usage(format!(
                "no built-in scenario `{name}`; the scenarios are {}",
                known.join(", ")
            )));
        };
        return done(scenario.text);
    }
    let mut text = String::new();
    for built_in in BUILT_IN {
        let scenario = Scenario::load(built_in.name).map_err(Failed::usage)?;
        text.push_str(&format!("{:<20} {}\n", built_in.name, scenario.description.unwrap_or_default()));
    }
    text.push_str(
        "\nespstress run NAME runs one; espstress scenarios NAME prints its file to start your own from.\n",
    );
    done(&text)
}

/// `espstress schema`.
pub(super) fn schema(fleet: bool) -> Result<Exit, Failed> {
    let schema = if fleet { espstress_fleet::schema() } else { espstress_report::schema() };
    done(&espstress_report::pretty(&schema))
}

/// `espstress completions`.
pub(super) fn completions(shell: Shell) -> Result<Exit, Failed> {
    let mut text = Vec::new();
    espstress_cli::completions(shell, &mut command_line(), &mut text);
    done(&String::from_utf8_lossy(&text))
}

/// `espstress man`.
pub(super) fn man(args: &ManArgs) -> Result<Exit, Failed> {
    let pages = espstress_cli::man_pages(command_line()).map_err(Failed::environment)?;
    if let Some(folder) = &args.output {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failed::environment(format!("{}: {error}", folder.display())))?;
        for page in pages {
            let path = folder.join(&page.file);
            std::fs::write(&path, &page.text)
                .map_err(|error| Failed::environment(format!("{}: {error}", path.display())))?;
        }
        return Ok(Exit::Done);
    }
    let wanted = pages.iter().find(|page| page.command == args.name).ok_or_else(|| {
        let known: Vec<&str> = pages.iter().filter_map(|page| page.command.as_deref()).collect();
        let name = args.name.as_deref().unwrap_or_default();
        Failed::usage(format!("no command `{name}`; the commands are {}", known.join(", ")))
    })?;
    done(&String::from_utf8_lossy(&wanted.text))
}
