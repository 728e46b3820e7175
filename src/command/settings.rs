//! From layers to a plan's workloads: command line over file over default.

use espstress_engine::{PlannedPhase, StartRule};
use espstress_scenario::{PhaseSpec, Place, Scenario, ScenarioError, Setting, Start};
use espstress_workload::{KINDS, ParamError, Workload, kind};

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
        let what = format!("no workload `{}`; the workloads are {}", phase.kind, known.join(", "));
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
    if let Some(setting) = setting.filter(|setting| setting.place.file.starts_with(SET)) {
        return format!("{}: {error}", setting.place.file).into();
    }
    let place: Place = setting.map_or_else(|| phase.place.clone(), |setting| setting.place.clone());
    let what = match &error {
        ParamError::Unknown { key, allowed } => {
            format!("unknown key `{key}` for `{}`; allowed: name, kind, start, {allowed}", phase.kind)
        }
        ParamError::Value { .. } => error.to_string(),
    };
    ScenarioError::Wrong { place, what }.into()
}

/// What the place of such a setting begins with.
const SET: &str = "--set ";

/// Puts a setting of the command line, `[NAME.]KEY=VALUE`, over the scenario's: in the phase of that name, or in
/// every phase whose workload has the key.
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub(super) fn set(scenario: &mut Scenario, expression: &str) -> Result<(), String> {
    let flag = format!("{SET}{expression}");
    let Some((path, value)) = expression.split_once('=') else {
        return Err(format!("{flag}: a setting is [NAME.]KEY=VALUE, as in `cycles=3`"));
    };
    let (name, key) = path.split_once('.').map_or((None, path), |(name, key)| (Some(name), key));
    if let Some(name) = name.filter(|name| scenario.phases.iter().all(|phase| phase.name != *name)) {
        let known: Vec<&str> = scenario.phases.iter().map(|phase| phase.name.as_str()).collect();
        return Err(format!("{flag}: no phase has the name `{name}`; the phases are {}", known.join(", ")));
    }
    let keys_of = |phase: &PhaseSpec| kind(&phase.kind).map_or_else(Vec::new, |kind| (kind.keys)());
    let mut allowed: Vec<String> = Vec::new();
    let mut taken = false;
    for phase in scenario.phases.iter_mut().filter(|phase| name.is_none_or(|name| phase.name == name)) {
        let keys = keys_of(phase);
        if keys.iter().any(|known| known == key) {
            let place = Place { file: flag.clone(), line: 1 };
            phase.settings.retain(|setting| !replaces(key, &setting.key));
            phase.settings.push(Setting { key: key.to_owned(), value: toml_value(value), place });
            taken = true;
        }
        allowed.extend(keys);
    }
    if taken {
        return Ok(());
    }
    allowed.sort_unstable();
    allowed.dedup();
    Err(format!("{flag}: unknown key `{key}`; allowed here: {}", allowed.join(", ")))
}

/// Whether a new `key` makes an `old` one meaningless.
fn replaces(key: &str, old: &str) -> bool {
    old == key || matches!((key, old), ("rate", "interval") | ("interval", "rate"))
}

/// A value as a file would hold it; a duration or a name needs no quotes here.
fn toml_value(text: &str) -> toml::Value {
    let table: Option<toml::Table> = format!("value = {text}").parse().ok();
    let value = table.and_then(|mut table| table.remove("value"));
    value.unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str =
        "[[phase]]\nkind = 'head'\nrate = '5/s'\n[[phase]]\nname = 'cut'\nkind = 'outage'\ncycles = 100\n";

    fn after(expression: &str) -> Result<Scenario, String> {
        let mut scenario = Scenario::parse("t.toml", TWO).unwrap();
        set(&mut scenario, expression).map(|()| scenario)
    }

    fn value(scenario: &Scenario, phase: usize, key: &str) -> Option<toml::Value> {
        let mut settings = scenario.phases[phase].settings.iter();
        settings.find(|setting| setting.key == key).map(|setting| setting.value.clone())
    }

    #[test]
    fn a_setting_goes_to_every_phase_that_has_it() {
        let scenario = after("duration=20s").unwrap();
        for phase in 0..2 {
            assert_eq!(value(&scenario, phase, "duration"), Some("20s".into()));
        }
        let scenario = after("cycles=3").unwrap();
        assert_eq!((value(&scenario, 0, "cycles"), value(&scenario, 1, "cycles")), (None, Some(3.into())));
    }

    #[test]
    fn a_name_before_the_key_means_one_phase() {
        let scenario = after("cut.duration=20s").unwrap();
        assert_eq!(value(&scenario, 0, "duration"), None);
        assert_eq!(value(&scenario, 1, "duration"), Some("20s".into()));
    }

    #[test]
    fn a_pace_replaces_the_other_word_for_it() {
        let scenario = after("head.interval=1s").unwrap();
        assert_eq!((value(&scenario, 0, "rate"), value(&scenario, 0, "interval")), (None, Some("1s".into())));
    }

    #[test]
    fn what_cannot_be_set_is_refused_with_what_can() {
        assert!(after("cycels=3").unwrap_err().contains("cycles"));
        assert!(after("head.cycles=3").unwrap_err().contains("close_delay"));
        assert!(after("cutt.cycles=3").unwrap_err().contains("head, cut"));
        assert!(after("cycles").unwrap_err().contains("KEY=VALUE"));
    }

    #[test]
    fn a_wrong_value_is_refused_with_the_flag_that_gave_it() {
        let scenario = after("cut.every=often").unwrap();
        let said = workloads(&scenario, &Typed::default()).err().unwrap().error.to_string();
        assert!(said.starts_with("--set cut.every=often: `every`"), "{said}");
    }
}
