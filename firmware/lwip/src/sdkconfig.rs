//! Reads a project's `sdkconfig`: which options it sets, and which of its lines mean nothing here.
//!
//! Three option sets are part of the program: the defaults of current ESP-IDF versions, and the two
//! builds of ESP-IDF 5.0.4 that the field has compared. Values that a file leaves out are the defaults
//! of its version, told by its heading (`... (ESP-IDF) 5.0.4 Project Configuration`) or by
//! `CONFIG_IDF_INIT_VERSION`; without either, those of current versions.

use crate::options::{NUMBERS, Number, Options, PcbLimits, SocketOption};

/// A line of our own, `ESPSTRESS_MAX_ACTIVE_TCP_ENFORCED=y` or `=n`, that says whether control block
/// limits are enforced whatever the file's version.
pub const ENFORCED_KEY: &str = "ESPSTRESS_MAX_ACTIVE_TCP_ENFORCED";

/// The first ESP-IDF version whose lwIP enforces the limits of control blocks.
const ENFORCED_SINCE: (u32, u32, u32) = (5, 4, 1);
/// The first version with the larger default buffers.
const LARGER_BUFFERS_SINCE: (u32, u32, u32) = (5, 1, 0);

const PREFIX: &str = "CONFIG_LWIP_";
const STD: (&str, &str) = (
    "sdkconfig.std",
    include_str!("../../../configs/sdkconfig.std"),
);
const EXPR: (&str, &str) = (
    "sdkconfig.expr",
    include_str!("../../../configs/sdkconfig.expr"),
);
const CURRENT: (&str, &str) = (
    "sdkconfig.current",
    include_str!("../../../configs/sdkconfig.current"),
);

/// An sdkconfig as this stack understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// The options in force.
    pub options: Options,
    /// `CONFIG_LWIP_` lines that change nothing here, in the file's order.
    pub no_effect: Vec<NoEffect>,
    /// The ESP-IDF version the file names.
    pub idf_version: Option<(u32, u32, u32)>,
}

/// A line that changes nothing here: an option that is fixed when the stack is compiled, or that
/// concerns what the host has no counterpart of (scheduling, PPP, IPv6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoEffect {
    /// Line number, from 1.
    pub line: usize,
    /// The option with its prefix.
    pub key: String,
    /// The value as written; `n` for `is not set`.
    pub value: String,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {what}; allowed: {allowed}")]
pub struct SdkconfigError {
    /// The name given for the file.
    pub file: String,
    /// Line number, from 1; the last line for values that do not go together.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What may stand there.
    pub allowed: String,
}

impl Options {
    /// ESP-IDF 5.0.4 as it comes: control block limits not enforced.
    ///
    /// # Panics
    /// Never: the file is part of the program and read in the tests.
    pub fn std() -> Self {
        embedded(STD).options
    }

    /// ESP-IDF 5.0.4 with the seven settings of the experimental build.
    ///
    /// # Panics
    /// Never: the file is part of the program and read in the tests.
    pub fn expr() -> Self {
        embedded(EXPR).options
    }

    /// Reads an sdkconfig; `file` is the name for error messages.
    ///
    /// # Errors
    /// A line that is none, a value that is not of its kind or outside of its range.
    pub fn from_sdkconfig(file: &str, text: &str) -> Result<Parsed, SdkconfigError> {
        Reader::new(file, text).read(text)
    }
}

impl Parsed {
    /// `configs/sdkconfig.std`, with its lines that have no effect.
    pub fn std() -> Self {
        embedded(STD)
    }

    /// `configs/sdkconfig.expr`, likewise.
    pub fn expr() -> Self {
        embedded(EXPR)
    }

    /// `configs/sdkconfig.current`, likewise.
    pub fn current() -> Self {
        embedded(CURRENT)
    }
}

fn embedded((name, text): (&str, &str)) -> Parsed {
    Options::from_sdkconfig(name, text).unwrap_or_else(|e| panic!("embedded option set: {e}"))
}

/// A line that sets something.
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
}

struct Reader<'a> {
    file: &'a str,
    parsed: Parsed,
    line: usize,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &str) -> Self {
        let idf_version = text.lines().find_map(version_in);
        let mut options = Options::current();
        if let Some(version) = idf_version {
            if version < LARGER_BUFFERS_SINCE {
                options = Options::idf_5_0();
            }
            options.pcb_limits = if version < ENFORCED_SINCE {
                PcbLimits::NotEnforced
            } else {
                PcbLimits::Enforced
            };
        }
        Self {
            file,
            parsed: Parsed {
                options,
                no_effect: Vec::new(),
                idf_version,
            },
            line: 0,
        }
    }

    fn read(mut self, text: &str) -> Result<Parsed, SdkconfigError> {
        for line in text.lines() {
            self.line += 1;
            if let Some(setting) = self.setting(line.trim())? {
                self.apply(&setting)?;
            }
        }
        let checked = self.parsed.options.check();
        checked.map_err(|e| {
            self.error(
                format!("CONFIG_LWIP_{} is {}", e.option, e.value),
                e.allowed,
            )
        })?;
        Ok(self.parsed)
    }

    fn error(&self, what: impl Into<String>, allowed: impl Into<String>) -> SdkconfigError {
        SdkconfigError {
            file: self.file.to_owned(),
            line: self.line.max(1),
            what: what.into(),
            allowed: allowed.into(),
        }
    }

    fn setting<'l>(&self, line: &'l str) -> Result<Option<Setting<'l>>, SdkconfigError> {
        if let Some(comment) = line.strip_prefix('#') {
            let unset = comment.trim().strip_suffix(" is not set");
            return Ok(unset.map(|key| Setting { key, value: "n" }));
        }
        if line.is_empty() {
            return Ok(None);
        }
        match line.split_once('=') {
            Some((key, value)) => Ok(Some(Setting {
                key: key.trim(),
                value: value.trim(),
            })),
            None => Err(self.error(
                format!("`{}` sets nothing", shortened(line)),
                "KEY=VALUE, or a comment after #",
            )),
        }
    }

    fn apply(&mut self, setting: &Setting<'_>) -> Result<(), SdkconfigError> {
        if setting.key == ENFORCED_KEY {
            self.parsed.options.pcb_limits = if self.switch(setting)? {
                PcbLimits::Enforced
            } else {
                PcbLimits::NotEnforced
            };
            return Ok(());
        }
        let Some(name) = setting.key.strip_prefix(PREFIX) else {
            return Ok(());
        };
        if let Some(number) = NUMBERS.iter().find(|n| n.key == name) {
            return self.number(number, setting);
        }
        match name {
            "SO_LINGER" => self.parsed.options.so_linger = self.allowance(setting)?,
            "SO_REUSE" => self.parsed.options.so_reuse = self.allowance(setting)?,
            _ => self.parsed.no_effect.push(NoEffect {
                line: self.line,
                key: setting.key.to_owned(),
                value: setting.value.to_owned(),
            }),
        }
        Ok(())
    }

    fn number(&mut self, number: &Number, setting: &Setting<'_>) -> Result<(), SdkconfigError> {
        let value = setting.value.parse::<u32>().ok();
        match value.filter(|v| (number.min..=number.max).contains(v)) {
            Some(value) => {
                (number.set)(&mut self.parsed.options, value);
                Ok(())
            }
            None => Err(self.error(
                format!("{} is `{}`", setting.key, shortened(setting.value)),
                format!("a whole number from {} to {}", number.min, number.max),
            )),
        }
    }

    fn switch(&self, setting: &Setting<'_>) -> Result<bool, SdkconfigError> {
        match setting.value {
            "y" => Ok(true),
            "n" => Ok(false),
            other => Err(self.error(
                format!("{} is `{}`", setting.key, shortened(other)),
                "y, n, or `# ... is not set`",
            )),
        }
    }

    fn allowance(&self, setting: &Setting<'_>) -> Result<SocketOption, SdkconfigError> {
        Ok(if self.switch(setting)? {
            SocketOption::Allowed
        } else {
            SocketOption::Refused
        })
    }
}

/// The ESP-IDF version that a line names.
fn version_in(line: &str) -> Option<(u32, u32, u32)> {
    let text = line
        .strip_prefix("CONFIG_IDF_INIT_VERSION=")
        .map(|v| v.trim().trim_matches('"'))
        .or_else(|| {
            let heading = line.strip_prefix('#')?;
            let (_, after) = heading.split_once("(ESP-IDF)")?;
            after.split_whitespace().next()
        })?;
    let text = text.trim_start_matches('v');
    let mut parts = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    let major = parts.next()?.ok()?;
    let minor = parts.next()?.ok()?;
    let patch = parts.next().and_then(Result::ok).unwrap_or(0);
    Some((major, minor, patch))
}

/// Enough of a text for a message.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_embedded_current_set_is_the_default() {
        assert_eq!(Parsed::current().options, Options::current());
    }

    #[test]
    fn the_two_older_builds_differ_in_what_the_experiment_changed() {
        let (std, expr) = (Options::std(), Options::expr());
        assert_eq!(std.pcb_limits, PcbLimits::NotEnforced);
        assert_eq!(
            (std.tcp_wnd, std.tcp_msl, std.so_linger),
            (5_744, 60_000, SocketOption::Refused)
        );
        let changed = Options {
            tcp_tmr_interval: 100,
            tcp_msl: 6_000,
            tcp_fin_wait_timeout: 2_000,
            so_linger: SocketOption::Allowed,
            ..std
        };
        assert_eq!(expr, changed);
    }

    #[test]
    fn the_experimental_settings_without_effect_are_listed() {
        let keys: Vec<_> = Parsed::expr()
            .no_effect
            .into_iter()
            .map(|n| n.key)
            .collect();
        for name in [
            "TCPIP_TASK_PRIO",
            "TCPIP_TASK_AFFINITY_CPU0",
            "PPP_ENABLE_IPV6",
        ] {
            assert!(
                keys.contains(&format!("{PREFIX}{name}")),
                "{name} in {keys:?}"
            );
        }
    }

    #[test]
    fn the_version_decides_what_is_enforced_and_the_override_wins() {
        let read = |text: &str| Options::from_sdkconfig("f", text).map(|p| p.options.pcb_limits);
        let heading = |v: &str| {
            format!(
                "#\n# Espressif IoT Development Framework (ESP-IDF) {v} Project Configuration\n#\n"
            )
        };
        assert_eq!(read(&heading("5.0.4")), Ok(PcbLimits::NotEnforced));
        assert_eq!(read(&heading("5.5")), Ok(PcbLimits::Enforced));
        assert_eq!(read(&heading("v6.0-dev")), Ok(PcbLimits::Enforced));
        assert_eq!(
            read("CONFIG_IDF_INIT_VERSION=\"5.3.2\"\n"),
            Ok(PcbLimits::NotEnforced)
        );
        assert_eq!(read(""), Ok(PcbLimits::Enforced));
        assert_eq!(
            read(&(heading("5.5") + ENFORCED_KEY + "=n\n")),
            Ok(PcbLimits::NotEnforced)
        );
        assert_eq!(
            read(&(heading("5.0") + ENFORCED_KEY + "=y\n")),
            Ok(PcbLimits::Enforced)
        );
    }

    #[test]
    fn an_error_names_file_line_and_what_is_allowed() {
        let error =
            Options::from_sdkconfig("mine", "\nCONFIG_LWIP_TCP_MSS=9000\n").expect_err("too long");
        assert_eq!((error.file.as_str(), error.line), ("mine", 2));
        assert_eq!(
            error.to_string(),
            "mine:2: CONFIG_LWIP_TCP_MSS is `9000`; allowed: a whole number from 536 to 1460"
        );
        let error =
            Options::from_sdkconfig("f", "CONFIG_LWIP_SO_REUSE=yes\n").expect_err("no switch");
        assert_eq!(error.allowed, "y, n, or `# ... is not set`");
        let error = Options::from_sdkconfig("f", "hello\n").expect_err("no setting");
        assert_eq!(error.line, 1);
    }

    #[test]
    fn a_switch_that_is_not_set_is_off() {
        let parsed =
            Options::from_sdkconfig("f", "# CONFIG_LWIP_SO_REUSE is not set\n").expect("valid");
        assert_eq!(parsed.options.so_reuse, SocketOption::Refused);
        assert!(parsed.no_effect.is_empty());
    }

    #[test]
    fn options_written_out_read_back_as_themselves() {
        let text = Options::expr().to_string();
        assert_eq!(
            Options::from_sdkconfig("f", &text).map(|p| p.options),
            Ok(Options::expr())
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_is_read_or_refused_with_a_line_of_the_file(text in "\\PC*") {
            if let Err(e) = Options::from_sdkconfig("f", &text) {
                prop_assert!(e.line >= 1 && e.line <= text.lines().count().max(1));
            }
        }

        #[test]
        fn any_value_of_a_known_option_is_accepted_within_its_range_only(index in 0..NUMBERS.len(), value in ".{0,6}") {
            let number = &NUMBERS[index];
            let text = format!("CONFIG_LWIP_{}={value}\n", number.key);
            if let Ok(parsed) = Options::from_sdkconfig("f", &text) {
                let got = (number.get)(&parsed.options);
                prop_assert!((number.min..=number.max).contains(&got));
            }
        }
    }
}
