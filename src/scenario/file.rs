//! The scenario file: structure, places, and errors that name file and line.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::builtin::{BUILT_IN, built_in};
use espstress_clock::Span;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// File name, or a built-in scenario's.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why a scenario cannot be run, or an inventory not be read.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a file nor a built-in one.
    #[error("no scenario `{name}`: no such file ({error}), and the built-in scenarios are {built_in}")]
    NotFound {
        /// As given.
        name: String,
        /// What reading the file said.
        error: std::io::Error,
        /// Comma-separated.
        built_in: String,
    },
    /// It is there, and cannot be read.
    #[error("cannot read the {what} {file}: {why}")]
    Unreadable {
        /// Scenario or inventory.
        what: &'static str,
        /// As given.
        file: String,
        /// Why not.
        why: String,
    },
    /// Its text is not right.
    #[error("{place}: {what}")]
    Wrong {
        /// Where.
        place: Place,
        /// What, and what is allowed.
        what: String,
    },
}

/// When a phase begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// When the phases before it have ended.
    #[default]
    AfterPrevious,
    /// Together with the phase before it.
    WithPrevious,
}

/// One setting of a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: toml::Value,
    /// Where it stands.
    pub place: Place,
}

/// One phase.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseSpec {
    /// What thresholds and reports call it; the kind when not given.
    pub name: String,
    /// The kind of workload.
    pub kind: String,
    /// Where the kind stands.
    pub kind_place: Place,
    /// When it begins.
    pub start: Start,
    /// Whether it is left out where the device lacks the service that it needs.
    pub optional: bool,
    /// The workload's settings.
    pub settings: Vec<Setting>,
    /// Where it stands.
    pub place: Place,
}

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Name.
    pub name: String,
    /// One line about it.
    pub description: Option<String>,
    /// The device, as on the command line.
    pub target: Option<String>,
    /// The persona of a twin or a sim.
    pub persona: Option<String>,
    /// The link of a twin.
    pub link: Option<String>,
    /// The TCP/IP stack of a twin.
    pub stack: Option<String>,
    /// A program of the user's own as the twin, with its arguments.
    pub program: Option<Vec<String>>,
    /// Where a process behind a TAP device is.
    pub device_address: Option<String>,
    /// Of everything random.
    pub seed: Option<u64>,
    /// How long to listen after the last close.
    pub watch: Option<Span>,
    /// Source ports, `FIRST-LAST`.
    pub local_ports: Option<String>,
    /// Gates.
    pub thresholds: Vec<String>,
    /// What happens.
    pub phases: Vec<PhaseSpec>,
    /// Where the persona stands, when it is the file's.
    pub persona_place: Option<Place>,
    /// Where the link stands, when it is the file's.
    pub link_place: Option<Place>,
    /// Where the target stands, when it is the file's.
    pub target_place: Option<Place>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    description: Option<String>,
    target: Option<Spanned<String>>,
    persona: Option<Spanned<String>>,
    link: Option<Spanned<String>>,
    stack: Option<String>,
    program: Option<Spanned<Vec<String>>>,
    device_address: Option<String>,
    seed: Option<u64>,
    watch: Option<Span>,
    local_ports: Option<String>,
    #[serde(default)]
    thresholds: Vec<String>,
    #[serde(default)]
    phase: Vec<Spanned<BTreeMap<Spanned<String>, Spanned<toml::Value>>>>,
}

impl Scenario {
    /// Loads a file, or the built-in scenario of that name.
    ///
    /// # Errors
    /// [`ScenarioError`], with the place.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some(found) = built_in(name) {
            return Self::parse(name, found.text);
        }
        match std::fs::read_to_string(Path::new(name)) {
            Ok(text) => Self::parse(name, &text),
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ScenarioError::Unreadable { what: "scenario", file: name.to_owned(), why: why(&error) })
            }
            Err(error) => Err(ScenarioError::NotFound {
                name: name.to_owned(),
                error,
                built_in: BUILT_IN.iter().map(|s| s.name).collect::<Vec<_>>().join(", "),
            }),
        }
    }

    /// Reads a scenario's text; `file` is for error messages and, without a `name`, for its name.
    ///
    /// # Errors
    /// [`ScenarioError::Wrong`], with the place.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let place = |at: usize| Place {
            file: file.to_owned(),
            line: text.get(..at).unwrap_or(text).bytes().filter(|b| *b == b'\n').count() + 1,
        };
        let wrong = |at: usize, what: String| ScenarioError::Wrong { place: place(at), what };
        let read: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            wrong(at, error.message().replace('\n', " "))
        })?;
        if read.phase.is_empty() {
            return Err(wrong(text.len(), "a scenario needs at least one [[phase]] with a `kind`".into()));
        }
        let mut phases: Vec<PhaseSpec> = Vec::with_capacity(read.phase.len());
        for table in read.phase {
            let at = table.span().start;
            let phase = PhaseSpec::from_table(table.into_inner(), at, &place)?;
            if phases.iter().any(|other| other.name == phase.name) {
                let what = format!("two phases have the name `{}`; rename one of them", phase.name);
                return Err(wrong(at, what));
            }
            phases.push(phase);
        }
        if phases.first().is_some_and(|phase| phase.start == Start::WithPrevious) {
            let at = phases.first().map_or_else(|| place(0), |phase| phase.place.clone());
            let what =
                "the first phase has no previous one; remove its `start = \"with-previous\"`".to_owned();
            return Err(ScenarioError::Wrong { place: at, what });
        }
        if let Some(program) = read.program.as_ref().filter(|program| program.get_ref().is_empty()) {
            let what = "`program` names no program: give it and its arguments, as [\"./my_server\", \"--port\", \"80\"]";
            return Err(wrong(program.span().start, what.into()));
        }
        let stands = |text: &Option<Spanned<String>>| text.as_ref().map(|text| place(text.span().start));
        let stem = Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok(Self {
            name: read.name.or(stem).unwrap_or_else(|| file.to_owned()),
            description: read.description,
            target_place: stands(&read.target),
            persona_place: stands(&read.persona),
            link_place: stands(&read.link),
            target: read.target.map(Spanned::into_inner),
            persona: read.persona.map(Spanned::into_inner),
            link: read.link.map(Spanned::into_inner),
            stack: read.stack,
            program: read.program.map(Spanned::into_inner),
            device_address: read.device_address,
            seed: read.seed,
            watch: read.watch,
            local_ports: read.local_ports,
            thresholds: read.thresholds,
            phases,
        })
    }

    /// A scenario of one workload, as the commands `head`, `rw`, ... are.
    #[must_use]
    pub fn of_one(kind: &str) -> Self {
        Self {
            name: kind.to_owned(),
            description: None,
            target: None,
            persona: None,
            link: None,
            stack: None,
            program: None,
            device_address: None,
            seed: None,
            watch: None,
            local_ports: None,
            thresholds: Vec::new(),
            persona_place: None,
            link_place: None,
            target_place: None,
            phases: vec![PhaseSpec {
                name: kind.to_owned(),
                kind: kind.to_owned(),
                kind_place: Place { file: "command line".into(), line: 1 },
                start: Start::AfterPrevious,
                optional: false,
                settings: Vec::new(),
                place: Place { file: "command line".into(), line: 1 },
            }],
        }
    }
}

impl PhaseSpec {
    fn from_table(
        table: BTreeMap<Spanned<String>, Spanned<toml::Value>>,
        at: usize,
        place: &impl Fn(usize) -> Place,
    ) -> Result<Self, ScenarioError> {
        let (mut name, mut kind, mut start, mut optional) = (None, None, Start::default(), false);
        let mut settings = Vec::with_capacity(table.len());
        for (key, value) in table {
            let here = place(key.span().start);
            let (key, value) = (key.into_inner(), value.into_inner());
            let text = |value: &toml::Value| {
                value.as_str().map(str::to_owned).ok_or_else(|| ScenarioError::Wrong {
                    place: here.clone(),
                    what: format!("`{key}` must be a string in quotes"),
                })
            };
            match key.as_str() {
                "name" => name = Some(check_name(text(&value)?, &here)?),
                "kind" => kind = Some((text(&value)?, here)),
                "start" => {
                    start = value.try_into().map_err(|_| ScenarioError::Wrong {
                        place: here.clone(),
                        what: "`start` is \"after-previous\" or \"with-previous\"".into(),
                    })?;
                }
                "optional" => {
                    optional = value.as_bool().ok_or_else(|| ScenarioError::Wrong {
                        place: here.clone(),
                        what: "`optional` is true or false".into(),
                    })?;
                }
                _ => settings.push(Setting { key, value, place: here }),
            }
        }
        let (kind, kind_place) = kind.ok_or_else(|| ScenarioError::Wrong {
            place: place(at),
            what: "this phase has no `kind`".into(),
        })?;
        let name = name.unwrap_or_else(|| kind.clone());
        Ok(Self { name, kind, kind_place, start, optional, settings, place: place(at) })
    }
}

/// Why a file can't be read, in words.
pub(super) fn why(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::InvalidData => "it is not a text file".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// A name is the first word of a threshold expression.
fn check_name(name: String, place: &Place) -> Result<String, ScenarioError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.chars().all(fits) {
        return Ok(name);
    }
    let what = format!("`{name}` isn't a valid name; use letters, digits, _ and -, as in `head-slow`");
    Err(ScenarioError::Wrong { place: place.clone(), what })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        Scenario::parse("t.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn every_built_in_scenario_reads() {
        for scenario in BUILT_IN {
            let read = Scenario::load(scenario.name).unwrap();
            assert_eq!(read.name, scenario.name);
            assert!(read.description.is_some(), "{}", scenario.name);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_line_and_the_allowed_ones() {
        let said = error("name = \"x\"\n\nsede = 3\n[[phase]]\nkind = \"head\"\n");
        assert!(said.starts_with("t.toml:3: "), "{said}");
        assert!(said.contains("sede") && said.contains("seed") && said.contains("watch"), "{said}");
    }

    #[test]
    fn a_phase_keeps_the_line_of_each_of_its_settings() {
        let read = Scenario::parse("t.toml", "[[phase]]\nkind = \"head\"\n# a remark\ncount = 5\n").unwrap();
        let setting = &read.phases[0].settings[0];
        assert_eq!((setting.key.as_str(), setting.place.line), ("count", 4));
    }

    #[test]
    fn what_is_missing_or_double_is_said_with_its_place() {
        assert!(error("name = \"x\"\n").contains("[[phase]]"));
        assert!(error("\n[[phase]]\ncount = 1\n").starts_with("t.toml:2: "));
        let twice = "[[phase]]\nkind = \"head\"\n[[phase]]\nkind = \"head\"\n";
        assert!(error(twice).starts_with("t.toml:3: two phases"));
        assert!(error("[[phase]]\nkind = \"head\"\nstart = \"now\"\n").contains("with-previous"));
        assert!(error("seed = \n").starts_with("t.toml:1: "));
        let first = "\n[[phase]]\nkind = \"head\"\nstart = \"with-previous\"\n";
        assert!(
            error(first).starts_with("t.toml:2: the first phase has no previous one"),
            "{}",
            error(first)
        );
    }

    #[test]
    fn a_name_that_is_neither_file_nor_built_in_lists_the_built_in_ones() {
        let said = Scenario::load("quik").unwrap_err().to_string();
        assert!(said.contains("quick"), "{said}");
    }

    #[test]
    fn a_file_that_is_there_and_cannot_be_read_is_not_called_missing() {
        let folder = std::env::temp_dir();
        let said = Scenario::load(&folder.display().to_string()).unwrap_err().to_string();
        assert!(said.contains("cannot read the scenario") && !said.contains("no such file"), "{said}");
        let said =
            crate::Inventory::load(std::path::Path::new("/nonexistent/lab.toml")).unwrap_err().to_string();
        assert!(said.starts_with("cannot read the inventory /nonexistent/lab.toml: "), "{said}");
        assert!(why(&std::io::ErrorKind::InvalidData.into()).contains("not a text file"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = Scenario::parse("t.toml", &text);
        }
    }
}
