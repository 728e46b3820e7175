//! The catalogues and the files for shells.

use super::output::print;
use super::{Exit, Failed, command_line};
use espstress_cli::Shell;
use espstress_diagnose::{FindingEntry, frameworks};
use espstress_observe::Needs;
use espstress_scenario::{BUILT_IN, Scenario, built_in};

fn done(text: &str) -> Result<Exit, Failed> {
    print(text).map_err(Failed::environment)?;
    Ok(Exit::Done)
}

/// `espstress anomalies`.
pub(super) fn anomalies() -> Result<Exit, Failed> {
    let mut text = String::from(
        "Classes: device (counts against the device), path (the network, or this machine's TCP), provoked (caused by \
         this\ntest). `No anomaly` means none of class device.\n",
    );
    for entry in espstress_observe::catalogue() {
        let needs = match entry.needs {
            Needs::Packet => "one packet is enough".to_owned(),
            Needs::Watch(ns) => format!("needs {} s more of packets", ns / 1_000_000_000),
            Needs::End => "needs packets until the connection ends".to_owned(),
        };
        text.push_str(&format!("\n{}\n  {}\n", entry.id.name(), entry.definition));
        if !entry.looks_like.is_empty() {
            text.push_str(&format!("  not: {}\n", entry.looks_like));
        }
        text.push_str(&format!("  {needs}\n"));
    }
    done(&text)
}

/// `espstress findings`.
pub(super) fn findings(name: Option<&str>) -> Result<Exit, Failed> {
    let all = espstress_diagnose::finding_catalogue();
    let chosen: Vec<_> = all.iter().filter(|entry| name.is_none_or(|name| entry.id.name() == name)).collect();
    if let (Some(name), []) = (name, chosen.as_slice()) {
        return Err(Failed::usage(format!("no finding `{name}`; `espstress findings` lists them")));
    }
    done(&chosen.into_iter().map(finding).collect::<Vec<_>>().join("\n"))
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
    let mut text = serde_json::to_string_pretty(&schema).map_err(Failed::environment)?;
    text.push('\n');
    done(&text)
}

/// `espstress completions`.
pub(super) fn completions(shell: Shell) -> Result<Exit, Failed> {
    let mut text = Vec::new();
    espstress_cli::completions(shell, &mut command_line(), &mut text);
    done(&String::from_utf8_lossy(&text))
}

/// `espstress man`.
pub(super) fn man() -> Result<Exit, Failed> {
    let mut text = Vec::new();
    espstress_cli::man_page(&command_line(), &mut text).map_err(Failed::environment)?;
    done(&String::from_utf8_lossy(&text))
}
