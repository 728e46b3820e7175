//! The kinds of workload there are, and how one is made from settings.
//!
//! A kind's options stand once, as the fields of one structure: clap reads flags and defaults from it, serde the
//! keys of a scenario, and the report echoes it. A key of a file is the flag's name with underscores.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::context::Context;
use super::load::Load;
use super::{half_open, head, mqtt, outage, rw};
use espstress_event::{Endpoints, Expected, WorkloadFacts};
use espstress_stats::Phase;

/// One workload, ready to run.
pub trait Workload: Send {
    /// The kind's name.
    fn kind(&self) -> &'static str;

    /// What its latency figures are about, first of all.
    fn main_phase(&self) -> Phase;

    /// How much it will do.
    fn expected(&self) -> Expected;

    /// What findings have to know of it, for a device with these endpoints.
    fn facts(&self, endpoints: &Endpoints) -> WorkloadFacts;

    /// Whether each setting that was given can have an effect on a device with these endpoints; `is_ours` says whether it
    /// can be asked for settings.
    ///
    /// # Errors
    /// The first that cannot, and why.
    fn check_device(&self, endpoints: &Endpoints, is_ours: bool) -> Result<(), ParamError> {
        let _ = (endpoints, is_ours);
        Ok(())
    }

    /// Whether it has the device leave its network, which is a command of our device program's.
    fn sends_device_away(&self) -> bool {
        false
    }

    /// Whether it asks the device for another keep-alive, which is one as well.
    fn sets_keepalive(&self) -> bool {
        false
    }

    /// Its settings, defaults included, as the report echoes them. Nothing is read back from them.
    fn settings(&self) -> serde_json::Value;

    /// Connections it holds at once.
    fn at_once(&self) -> u32;

    /// Connections that it may open within a minute, where that is known.
    fn connections_in_a_minute(&self) -> Option<u64>;

    /// How long it waits for a connection.
    fn connect_timeout(&self) -> Duration;

    /// The TCP port of this machine on which it waits for devices that dial in; `None` where it dials itself.
    fn listens_on(&self) -> Option<u16> {
        None
    }

    /// Takes that port, a free one where it is 0, on `source` or any address of the family of `peer`, and tells which it
    /// is. It does not listen on it before it runs: whoever dials is refused until the capture is open.
    fn take_port(&mut self, source: Option<IpAddr>, peer: IpAddr) -> Option<u16> {
        let _ = (source, peer);
        self.listens_on()
    }

    /// Looks up the names in its settings, on the network that this program was started in.
    ///
    /// # Errors
    /// Why they are of no use.
    fn look_up(&mut self) -> Result<(), Unfit> {
        Ok(())
    }

    /// Waits for the device to test, where it can tell by itself which that is, and tells its address; `None` where it
    /// cannot. `say` gets what the person who waits should know.
    fn await_device(
        &mut self,
        source: Option<IpAddr>,
        say: &mut dyn FnMut(String),
    ) -> Option<Result<IpAddr, String>> {
        let _ = (source, say);
        None
    }

    /// Runs it to its end.
    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// A kind of workload.
#[derive(Debug)]
pub struct Kind {
    /// The command and the value of `kind` in a scenario.
    pub name: &'static str,
    /// Adds its flags to a command.
    pub flags: fn(Command) -> Command,
    /// Its keys, in the order of the help.
    pub keys: fn() -> Vec<String>,
    /// The settings that were typed, as a table of a scenario would hold them.
    pub typed: fn(&clap::ArgMatches) -> toml::Table,
    /// Makes one from a table of settings.
    pub build: fn(&toml::Table) -> Result<Box<dyn Workload>, ParamError>,
}

/// Every kind: a new one is its file and its line here.
pub const KINDS: &[Kind] = &[head::KIND, rw::KIND, outage::KIND, half_open::KIND, mqtt::KIND];

/// The kind of that name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// Adds the load flags that every workload has, for commands that run several.
#[must_use]
pub fn load_flags(command: Command) -> Command {
    flags::<Load>(command.next_help_heading("Load, for every phase of the scenario"))
}

/// The load settings that were typed.
#[must_use]
pub fn typed_load(matches: &clap::ArgMatches) -> toml::Table {
    typed::<Load>(matches)
}

/// A setting that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamError {
    /// No such setting.
    #[error("unknown key `{key}`; allowed here: {allowed}")]
    Unknown {
        /// As given.
        key: String,
        /// All there are, comma-separated.
        allowed: String,
    },
    /// A value that the setting does not take.
    #[error("`{key}`: {what}")]
    Value {
        /// The setting.
        key: String,
        /// What was wrong and what is allowed.
        what: String,
    },
}

impl ParamError {
    /// The setting that is wrong.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::Unknown { key, .. } | Self::Value { key, .. } => key,
        }
    }
}

/// Why a workload can't run, found before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It was asked for what it doesn't do.
    Usage(String),
    /// What it needs is not there.
    Environment(String),
}

/// What a kind's settings must be able to do.
pub(super) trait Params: Args + FromArgMatches + Serialize + DeserializeOwned {}
impl<P: Args + FromArgMatches + Serialize + DeserializeOwned> Params for P {}

pub(super) fn flags<P: Params>(command: Command) -> Command {
    P::augment_args(command)
}

pub(super) fn keys<P: Params>() -> Vec<String> {
    P::augment_args(Command::new("keys")).get_arguments().map(|arg| arg.get_id().to_string()).collect()
}

/// Only what stands on the command line; defaults stay out, so that a file's settings are not covered by them.
pub(super) fn typed<P: Params>(matches: &clap::ArgMatches) -> toml::Table {
    let all = P::from_arg_matches(matches).ok().and_then(|params| toml::Table::try_from(params).ok());
    let mut table = all.unwrap_or_default();
    table.retain(|key, _| {
        matches.try_contains_id(key).unwrap_or(false)
            && matches.value_source(key) == Some(clap::parser::ValueSource::CommandLine)
    });
    table
}

/// The key that a setting of that name has: an alias of a flag is one of its key as well.
fn key_of<P: Params>(name: &str) -> Option<String> {
    let command = P::augment_args(Command::new("keys"));
    let is_alias = |alias: &str| alias.replace('-', "_") == name;
    let mut all = command.get_arguments();
    let arg = all.find(|arg| {
        arg.get_id() == name || arg.get_visible_aliases().unwrap_or_default().into_iter().any(is_alias)
    })?;
    Some(arg.get_id().to_string())
}

/// Settings from a table over the defaults, each key by itself so that an error names its key.
pub(super) fn params<P: Params>(table: &toml::Table) -> Result<P, ParamError> {
    let internal = |what: String| ParamError::Value { key: String::new(), what };
    let keys = keys::<P>();
    let command = P::augment_args(Command::new("defaults").no_binary_name(true));
    let matches = command.try_get_matches_from::<_, &str>([]).map_err(|e| internal(e.to_string()))?;
    let defaults = P::from_arg_matches(&matches).map_err(|e| internal(e.to_string()))?;
    let mut merged = toml::Table::try_from(defaults).map_err(|e| internal(e.to_string()))?;
    for (key, value) in table {
        let Some(known) = key_of::<P>(key) else {
            return Err(ParamError::Unknown { key: key.clone(), allowed: keys.join(", ") });
        };
        if known != *key && table.contains_key(&known) {
            let what = format!("the same as `{known}`: give one of them");
            return Err(ParamError::Value { key: key.clone(), what });
        }
        let previous = merged.insert(known, value.clone());
        if let Err(error) = P::deserialize(merged.clone()) {
            return Err(ParamError::Value { key: key.clone(), what: first_line(&error.to_string()) });
        }
        if let Some(what) = value.as_integer().and_then(|n| beyond_range::<P>(key, n)) {
            return Err(ParamError::Value { key: key.clone(), what });
        }
        drop(previous);
    }
    P::deserialize(merged).map_err(|e| internal(first_line(&e.to_string())))
}

/// What the flag says of this number: a range holds in a file as on a command line, and only clap knows it.
fn beyond_range<P: Params>(key: &str, number: i64) -> Option<String> {
    let command = P::augment_args(Command::new("range").no_binary_name(true));
    let long = command.get_arguments().find(|arg| arg.get_id() == key)?.get_long()?.to_owned();
    let error = command.try_get_matches_from([format!("--{long}={number}")]).err()?;
    let validation = error.kind() == clap::error::ErrorKind::ValueValidation;
    std::error::Error::source(&error).filter(|_| validation).map(ToString::to_string)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The settings that a person gave, in a file or on a command line; defaults are none of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a>(pub(super) &'a toml::Table);

impl Given<'_> {
    /// Refuses each of `keys` that was given, unless it can have an effect: `needs` says what is missing.
    pub(super) fn only_where(self, has_effect: bool, keys: &[&str], needs: &str) -> Result<(), ParamError> {
        let useless = keys.iter().find(|key| !has_effect && self.0.contains_key(**key));
        useless.map_or(Ok(()), |key| {
            Err(ParamError::Value { key: (*key).into(), what: format!("has no effect here: {needs}") })
        })
    }
}

/// Settings as the report shows them.
pub(super) fn settings<P: Serialize>(params: &P) -> serde_json::Value {
    serde_json::to_value(params).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: &str, settings: &str) -> Option<String> {
        let table: toml::Table = settings.parse().unwrap();
        (self::kind(kind).unwrap().build)(&table).err().map(|error| error.to_string())
    }

    #[test]
    fn a_number_in_a_file_has_the_range_of_the_flag() {
        for (kind, settings) in [
            ("outage", "cycles = 0"),
            ("mqtt", "cycles = 0"),
            ("head", "count = 0"),
            ("head", "connections = 0"),
        ] {
            let said = refused(kind, settings).unwrap_or_default();
            assert!(said.contains("0 is not in 1.."), "{kind} {settings}: {said}");
        }
        assert_eq!(refused("outage", "cycles = 3"), None);
    }

    #[test]
    fn an_alias_of_a_flag_is_a_key_as_well() {
        assert_eq!(refused("head", "silent_before = '1s'"), None);
        let settings = "silent_before = '1s'\nrequest_delay = '1s'";
        assert!(refused("head", settings).unwrap_or_default().contains("give one of them"));
        assert!(refused("head", "silent_before = 'x'").unwrap_or_default().contains("`silent_before`"));
        assert!(refused("mqtt", "silent_before = '1s'").unwrap_or_default().contains("unknown key"));
    }

    #[test]
    fn a_rate_and_an_interval_together_are_refused() {
        let said = refused("head", "rate = '50/s'\ninterval = '1s'").unwrap_or_default();
        assert!(said.contains("interval") && said.contains("rate"), "{said}");
    }
}
