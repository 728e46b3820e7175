//! The catalogues and the files for shells.

use super::output::print;
use super::{Exit, Failed, command_line};
use espstress_cli::Shell;
use espstress_observe::Needs;
use espstress_scenario::{BUILT_IN, Scenario, built_in};

fn done(text: &str) -> Result<Exit, Failed> {
    print(text).map_err(Failed::environment)?;
    Ok(Exit::Done)
}

/// `espstress anomalies`.
pub(super) fn anomalies() -> Result<Exit, Failed> {
    let mut text = String::from(
        "T is the device, C the host that runs the test. Classes: device, counted against T; path, what a link\n\
         does; provoked, asked for by the workload. `No anomaly` means none of class device.\n",
    );
    for entry in espstress_observe::catalogue() {
        let needs = match entry.needs {
            Needs::Packet => "one packet tells".to_owned(),
            Needs::Watch(ns) => format!("takes a watch of {} s", ns / 1_000_000_000),
            Needs::End => "takes a watch to the connection's end".to_owned(),
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
pub(super) fn findings() -> Result<Exit, Failed> {
    let mut text = String::new();
    for entry in espstress_diagnose::finding_catalogue() {
        text.push_str(&format!(
            "{}\n  {}\n  evidence: {}\n  not: {}\n  change: {}\n\n",
            entry.id.name(),
            entry.meaning,
            entry.needs,
            entry.neighbours,
            entry.change
        ));
    }
    done(text.trim_end_matches('\n')).and_then(|_| done("\n"))
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
                "no built-in scenario `{name}`; there are {}",
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
pub(super) fn schema() -> Result<Exit, Failed> {
    let mut text = serde_json::to_string_pretty(&espstress_report::schema()).map_err(Failed::environment)?;
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
