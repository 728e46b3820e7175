//! From layers to a plan's workloads: command line over file over default.

use crate::engine::{PlannedPhase, StartRule};
use crate::scenario::{PhaseSpec, Place, Scenario, ScenarioError, Start};
use crate::workload::{KINDS, ParamError, Workload, kind};

use super::Failed;

/// Settings from the command line for one phase, or for all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Typed(pub(super) toml::Table);

/// Makes a scenario's workloads, the typed settings over the file's.
pub(super) fn workloads(scenario: &Scenario, typed: &Typed) -> Result<Vec<PlannedPhase>, Failed> {
    scenario.phases.iter().map(|phase| planned(phase, typed)).collect()
}

fn planned(phase: &PhaseSpec, typed: &Typed) -> Result<PlannedPhase, Failed> {
    let start = match phase.start {
        Start::AfterPrevious => StartRule::AfterPrevious,
        Start::WithPrevious => StartRule::WithPrevious,
    };
    Ok(PlannedPhase { name: phase.name.clone(), start, workload: workload(phase, typed)? })
}

fn workload(phase: &PhaseSpec, typed: &Typed) -> Result<Box<dyn Workload>, Failed> {
    let Some(kind) = kind(&phase.kind) else {
        let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        let what = format!("no workload `{}`; there are {}", phase.kind, known.join(", "));
        return Err(Failed::usage(ScenarioError::Wrong { place: phase.kind_place.clone(), what }));
    };
    let mut table = toml::Table::new();
    for setting in &phase.settings {
        table.insert(setting.key.clone(), setting.value.clone());
    }
    // Not every workload has every load option: those it lacks are no business of its.
    let keys = (kind.keys)();
    for (key, value) in typed.0.iter().filter(|(key, _)| keys.contains(key)) {
        replace_pace(&mut table, key);
        table.insert(key.clone(), value.clone());
    }
    (kind.build)(&table).map_err(|error| Failed::usage(placed(phase, typed, error)))
}

/// A typed rate replaces a file's interval and the other way round: they are two words for one thing.
fn replace_pace(table: &mut toml::Table, key: &str) {
    match key {
        "rate" => table.remove("interval"),
        "interval" => table.remove("rate"),
        _ => None,
    };
}

/// An error at the place that its setting came from.
fn placed(phase: &PhaseSpec, typed: &Typed, error: ParamError) -> Box<dyn std::error::Error + Send + Sync> {
    if typed.0.contains_key(error.key()) {
        return format!("--{}: {error}", error.key().replace('_', "-")).into();
    }
    let setting = phase.settings.iter().find(|setting| setting.key == error.key());
    let place: Place = setting.map_or_else(|| phase.place.clone(), |setting| setting.place.clone());
    let what = match &error {
        ParamError::Unknown { key, allowed } => {
            format!("unknown key `{key}` for `{}`; allowed: name, kind, start, {allowed}", phase.kind)
        }
        ParamError::Value { .. } => error.to_string(),
    };
    ScenarioError::Wrong { place, what }.into()
}
