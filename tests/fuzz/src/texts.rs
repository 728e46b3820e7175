//! Texts that people write: scenarios, inventories, options of the stack, and what flags take.

use espstress_device::Persona;
use espstress_report::thresholds::Gates;
use espstress_scenario::{Inventory, Scenario};

use crate::input::Input;

pub(crate) const SCENARIO_WORDS: &[&str] = &[
    "[[phase]]\n",
    "[thresholds]\n",
    "kind = \"",
    "duration = \"360h\"\n",
    "target = \"twin\"\n",
    "name = ",
    "= [",
    "'''",
    "{ ",
    "[[targets]]\n",
    "address = \"",
    "tags = [\"a\"]\n",
    "token_env = \"",
    "99999999999999999999",
    "\"\"\"",
    "nan",
    "1979-05-27",
];

/// A scenario, and a list of targets.
pub(crate) fn scenario(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(scenario) = Scenario::parse("fuzz.toml", &text) {
        let _ = format!("{scenario:?}");
        let _ = Gates::from_expressions(&scenario.thresholds);
    }
    if let Err(error) = Scenario::parse("fuzz.toml", &text) {
        assert!(!error.to_string().is_empty());
    }
    if let Err(error) = Inventory::parse("fuzz.toml", &text) {
        assert!(!error.to_string().is_empty());
    }
}

/// An sdkconfig.
#[cfg(target_os = "linux")]
pub(crate) fn sdkconfig(bytes: &[u8]) {
    use espstress_lwip::Options;

    let text = String::from_utf8_lossy(bytes);
    match Options::from_sdkconfig("sdkconfig", &text) {
        Ok(parsed) => {
            let lines = text.lines().count();
            assert!(parsed.no_effect.iter().all(|line| (1..=lines).contains(&line.line)));
        }
        Err(error) => assert!(!error.to_string().is_empty() && error.line <= text.lines().count().max(1)),
    }
}

pub(crate) const SETTINGS_WORDS: &[&str] = &[
    "home",
    "delay=",
    "jitter=",
    "loss=",
    "%",
    "outage=",
    "@",
    "..",
    "every=",
    "rebooting:",
    "hoarder:",
    "ms",
    "h",
    "KiB",
    "/s",
    ",",
    "p99",
    " < ",
    ".latency.",
    "head",
    "and",
    "(",
    "1e400",
    "-0",
    "9223372036854775808",
];

/// What flags take: links, personas and gates.
pub(crate) fn settings(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let which = input.byte();
    let text = String::from_utf8_lossy(input.rest());
    match which % 3 {
        0 => {
            if let Ok(persona) = text.parse::<Persona>() {
                assert!(text.trim_start().starts_with(persona.name()));
            }
        }
        1 => drop(Gates::from_expressions(&text.lines().take(50).collect::<Vec<_>>())),
        _ => link(&text),
    }
}

#[cfg(target_os = "linux")]
fn link(text: &str) {
    let _ = text.parse::<espstress_twin::link::LinkSpec>();
}

#[cfg(not(target_os = "linux"))]
fn link(_: &str) {}
