//! Reads a project's `sdkconfig`: which options it sets, and which of its lines mean nothing here.
//!
//! A file is read as ESP-IDF reads it (`esp_kconfiglib`, `_load_config`): what follows a space and a `#` is a comment, a
//! switch goes by its first letter, a value that is missing leaves the default, later lines win, names of ESP-IDF 3 and 4
//! stand for what they became (`sdkconfig.rename`) except in the block of deprecated options at the file's end, which
//! only repeats. Numbers that are none or out of range are errors here: ESP-IDF warns and takes the default.
//!
//! Three option sets are part of the program: the defaults of current ESP-IDF versions, and the two
//! builds of ESP-IDF 5.0.4 that the field has compared. Values that a file leaves out are the defaults
//! of its version, told by its heading (`... (ESP-IDF) 5.0.4 Project Configuration`) or by
//! `CONFIG_IDF_INIT_VERSION`; the heading of versions before 5.0 names none. Without a heading, those of current versions.

use crate::options::{NUMBERS, Number, Options, PcbLimits, SocketOption};

/// A line of our own, `ESPSTRESS_MAX_ACTIVE_TCP_ENFORCED=y` or `=n`, that says whether control block
/// limits are enforced whatever the file's version.
pub const ENFORCED_KEY: &str = "ESPSTRESS_MAX_ACTIVE_TCP_ENFORCED";

/// The first ESP-IDF version whose lwIP enforces the limits of control blocks.
const ENFORCED_SINCE: (u32, u32, u32) = (5, 4, 1);
/// The first version with the larger default buffers.
const LARGER_BUFFERS_SINCE: (u32, u32, u32) = (5, 1, 0);

const PREFIX: &str = "CONFIG_LWIP_";
/// Names of ESP-IDF 3 and 4 that began with `CONFIG_` alone, without that.
const OLD_NAMES: [&str; 20] = [
    "L2_TO_L3_COPY",
    "ESP_GRATUITOUS_ARP",
    "GARP_TMR_INTERVAL",
    "TCPIP_RECVMBOX_SIZE",
    "TCP_MAXRTX",
    "TCP_SYNMAXRTX",
    "TCP_MSS",
    "TCP_MSL",
    "TCP_SND_BUF_DEFAULT",
    "TCP_WND_DEFAULT",
    "TCP_RECVMBOX_SIZE",
    "TCP_QUEUE_OOSEQ",
    "TCP_OVERSIZE",
    "TCP_OVERSIZE_MSS",
    "TCP_OVERSIZE_QUARTER_MSS",
    "TCP_OVERSIZE_DISABLE",
    "UDP_RECVMBOX_SIZE",
    "TCPIP_TASK_STACK_SIZE",
    "PPP_SUPPORT",
    "USE_ONLY_LWIP_SELECT",
];
const DEPRECATED_BEGIN: &str = "# Deprecated options for backward compatibility";
const DEPRECATED_END: &str = "# End of deprecated options";
/// What the absence of `TCP_HIGH_SPEED_RETRANSMISSION` makes of two defaults (lwIP's Kconfig).
const LOW_SPEED: [(&str, u32); 2] = [("TCP_RTO_TIME", 3_000), ("TCP_SYNMAXRTX", 6)];

const STD: (&str, &str) = ("sdkconfig.std", include_str!("../../../configs/sdkconfig.std"));
const EXPR: (&str, &str) = ("sdkconfig.expr", include_str!("../../../configs/sdkconfig.expr"));
const CURRENT: (&str, &str) = ("sdkconfig.current", include_str!("../../../configs/sdkconfig.current"));

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

/// Whether a line may matter here: of a whole file only these need to be kept.
#[must_use]
pub fn concerns(line: &str) -> bool {
    ["LWIP", "ESPSTRESS_", "IDF", DEPRECATED_BEGIN, DEPRECATED_END].iter().any(|word| line.contains(word))
        || setting(line).is_some_and(|setting| old_name(setting.key).is_some())
}

/// Whether a line sets an option, of whatever component.
#[must_use]
pub fn is_setting(line: &str) -> bool {
    setting(line).is_some()
}

/// A line that sets something.
struct Setting<'a> {
    key: &'a str,
    value: &'a str,
}

fn setting(line: &str) -> Option<Setting<'_>> {
    let line = line.trim();
    if let Some(comment) = line.strip_prefix('#') {
        let key = comment.trim().strip_suffix(" is not set")?;
        return Some(Setting { key, value: "n" });
    }
    let (key, value) = line.split_once('=')?;
    let key = key.trim();
    let word = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    word.then(|| Setting { key, value: without_comment(value.trim()) })
}

/// A quoted value may have a `#` of its own.
fn without_comment(value: &str) -> &str {
    if value.starts_with('"') {
        return value;
    }
    let spaced = |(at, _): &(usize, &str)| value[..*at].ends_with([' ', '\t']) || *at == 0;
    value.match_indices('#').find(spaced).map_or(value, |(at, _)| value[..at].trim_end())
}

/// The name without `CONFIG_LWIP_` that an old one stands for.
fn old_name(key: &str) -> Option<&str> {
    key.strip_prefix("CONFIG_").filter(|name| OLD_NAMES.contains(name))
}

struct Reader<'a> {
    file: &'a str,
    parsed: Parsed,
    line: usize,
    /// Numbers that the file sets.
    set: Vec<&'static str>,
    high_speed: bool,
    deprecated: bool,
}

impl<'a> Reader<'a> {
    fn new(file: &'a str, text: &str) -> Self {
        let idf_version = text.lines().find_map(version_in);
        let mut options = Options::current();
        match idf_version {
            Some(version) => {
                if version < LARGER_BUFFERS_SINCE {
                    options = Options::idf_5_0();
                }
                options.pcb_limits =
                    if version < ENFORCED_SINCE { PcbLimits::NotEnforced } else { PcbLimits::Enforced };
            }
            None if text.lines().any(is_heading) => options = Options::idf_5_0(),
            None => {}
        }
        let parsed = Parsed { options, no_effect: Vec::new(), idf_version };
        Self { file, parsed, line: 0, set: Vec::new(), high_speed: true, deprecated: false }
    }

    fn read(mut self, text: &str) -> Result<Parsed, SdkconfigError> {
        let mut first_odd = None;
        let mut settings = 0;
        for line in text.lines() {
            self.line += 1;
            let line = line.trim();
            match line {
                DEPRECATED_BEGIN => self.deprecated = true,
                DEPRECATED_END => self.deprecated = false,
                _ if self.deprecated => {}
                _ => match setting(line) {
                    Some(setting) => {
                        settings += 1;
                        self.apply(&setting)?;
                    }
                    None if line.is_empty() || line.starts_with('#') => {}
                    None => {
                        first_odd = first_odd.or(Some((self.line, shortened(line))));
                        if line.contains("LWIP") {
                            self.ignore(&shortened(line), "");
                        }
                    }
                },
            }
        }
        if let (Some((at, line)), 0) = (first_odd, settings) {
            self.line = at;
            return Err(self.error(format!("`{line}` sets nothing"), "KEY=VALUE, or a comment after #"));
        }
        if !self.high_speed {
            for (key, value) in LOW_SPEED {
                let number = NUMBERS.iter().find(|n| n.key == key && !self.set.contains(&n.key));
                if let Some(number) = number {
                    (number.set)(&mut self.parsed.options, value);
                }
            }
        }
        let checked = self.parsed.options.check();
        checked.map_err(|e| self.error(format!("CONFIG_LWIP_{} is {}", e.option, e.value), e.allowed))?;
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

    fn ignore(&mut self, key: &str, value: &str) {
        self.parsed.no_effect.push(NoEffect {
            line: self.line,
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }

    fn apply(&mut self, setting: &Setting<'_>) -> Result<(), SdkconfigError> {
        if setting.key == ENFORCED_KEY {
            self.parsed.options.pcb_limits =
                if self.own_switch(setting)? { PcbLimits::Enforced } else { PcbLimits::NotEnforced };
            return Ok(());
        }
        let Some(name) = setting.key.strip_prefix(PREFIX).or_else(|| old_name(setting.key)) else {
            return Ok(());
        };
        if let Some(number) = NUMBERS.iter().find(|n| n.key == name) {
            return self.number(number, setting);
        }
        let options = &mut self.parsed.options;
        let allowance = |on| if on { SocketOption::Allowed } else { SocketOption::Refused };
        match (name, switch(setting.value)) {
            ("SO_LINGER", Some(on)) => options.so_linger = allowance(on),
            ("SO_REUSE", Some(on)) => options.so_reuse = allowance(on),
            ("WND_SCALE", Some(on)) => options.wnd_scale = on,
            ("TCP_HIGH_SPEED_RETRANSMISSION", Some(on)) => self.high_speed = on,
            _ => self.ignore(setting.key, setting.value),
        }
        Ok(())
    }

    fn number(&mut self, number: &Number, setting: &Setting<'_>) -> Result<(), SdkconfigError> {
        if setting.value.is_empty() {
            self.ignore(setting.key, setting.value);
            return Ok(());
        }
        let value = setting.value.parse::<u32>().ok();
        match value.filter(|v| (number.min..=number.max).contains(v)) {
            Some(value) => {
                (number.set)(&mut self.parsed.options, value);
                self.set.push(number.key);
                Ok(())
            }
            None => Err(self.error(
                format!("{} is `{}`", setting.key, shortened(setting.value)),
                format!("a whole number from {} to {}", number.min, number.max),
            )),
        }
    }

    /// Of a line of our own: no guessing.
    fn own_switch(&self, setting: &Setting<'_>) -> Result<bool, SdkconfigError> {
        match setting.value {
            "y" => Ok(true),
            "n" => Ok(false),
            other => Err(self
                .error(format!("{} is `{}`", setting.key, shortened(other)), "y, n, or `# ... is not set`")),
        }
    }
}

/// ESP-IDF looks at the first letter; anything else leaves the default.
fn switch(value: &str) -> Option<bool> {
    match value.as_bytes().first()? {
        b'y' => Some(true),
        b'n' => Some(false),
        _ => None,
    }
}

/// Whether a line is a file's heading.
fn is_heading(line: &str) -> bool {
    line.starts_with('#') && line.contains("(ESP-IDF)") && line.contains("Project Configuration")
}

/// The ESP-IDF version that a line names.
fn version_in(line: &str) -> Option<(u32, u32, u32)> {
    let text =
        line.strip_prefix("CONFIG_IDF_INIT_VERSION=").map(|v| v.trim().trim_matches('"')).or_else(|| {
            let heading = line.strip_prefix('#')?;
            let (_, after) = heading.split_once("(ESP-IDF)")?;
            after.split_whitespace().next()
        })?;
    let text = text.trim_start_matches('v');
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
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
        assert_eq!((std.tcp_wnd, std.tcp_msl, std.so_linger), (5_744, 60_000, SocketOption::Refused));
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
        let keys: Vec<_> = Parsed::expr().no_effect.into_iter().map(|n| n.key).collect();
        for name in ["TCPIP_TASK_PRIO", "TCPIP_TASK_AFFINITY_CPU0", "PPP_ENABLE_IPV6"] {
            assert!(keys.contains(&format!("{PREFIX}{name}")), "{name} in {keys:?}");
        }
    }

    #[test]
    fn the_version_decides_what_is_enforced_and_the_override_wins() {
        let read = |text: &str| Options::from_sdkconfig("f", text).map(|p| p.options.pcb_limits);
        let heading = |v: &str| {
            format!("#\n# Espressif IoT Development Framework (ESP-IDF) {v} Project Configuration\n#\n")
        };
        assert_eq!(read(&heading("5.0.4")), Ok(PcbLimits::NotEnforced));
        assert_eq!(read(&heading("5.5")), Ok(PcbLimits::Enforced));
        assert_eq!(read(&heading("v6.0-dev")), Ok(PcbLimits::Enforced));
        assert_eq!(read("CONFIG_IDF_INIT_VERSION=\"5.3.2\"\n"), Ok(PcbLimits::NotEnforced));
        assert_eq!(read(""), Ok(PcbLimits::Enforced));
        assert_eq!(read(&(heading("5.5") + ENFORCED_KEY + "=n\n")), Ok(PcbLimits::NotEnforced));
        assert_eq!(read(&(heading("5.0") + ENFORCED_KEY + "=y\n")), Ok(PcbLimits::Enforced));
    }

    #[test]
    fn an_error_names_file_line_and_what_is_allowed() {
        let error = Options::from_sdkconfig("mine", "\nCONFIG_LWIP_TCP_MSS=9000\n").expect_err("too long");
        assert_eq!((error.file.as_str(), error.line), ("mine", 2));
        assert_eq!(
            error.to_string(),
            "mine:2: CONFIG_LWIP_TCP_MSS is `9000`; allowed: a whole number from 536 to 1460"
        );
        let error =
            Options::from_sdkconfig("f", "ESPSTRESS_MAX_ACTIVE_TCP_ENFORCED=yes\n").expect_err("no switch");
        assert_eq!(error.allowed, "y, n, or `# ... is not set`");
        let error = Options::from_sdkconfig("f", "\nhello\n").expect_err("no sdkconfig at all");
        assert_eq!(error.line, 2);
    }

    fn read(text: &str) -> Parsed {
        Options::from_sdkconfig("f", text).expect("a file that ESP-IDF takes")
    }

    fn without_effect(parsed: &Parsed) -> Vec<(usize, &str, &str)> {
        parsed.no_effect.iter().map(|n| (n.line, n.key.as_str(), n.value.as_str())).collect()
    }

    #[test]
    fn names_of_old_versions_take_effect() {
        let heading = "# Espressif IoT Development Framework (ESP-IDF) Project Configuration\n";
        let text = "CONFIG_TCP_MSL=6000\nCONFIG_TCP_WND_DEFAULT=11520\nCONFIG_TCP_SYNMAXRTX=6\nCONFIG_TCP_QUEUE_OOSEQ=y\n";
        let parsed = read(&(heading.to_owned() + text));
        let o = &parsed.options;
        assert_eq!((o.tcp_msl, o.tcp_wnd, o.tcp_synmaxrtx), (6_000, 11_520, 6));
        assert_eq!(without_effect(&parsed), [(5, "CONFIG_TCP_QUEUE_OOSEQ", "y")]);
    }

    #[test]
    fn the_block_of_deprecated_options_only_repeats() {
        let text = format!(
            "CONFIG_LWIP_TCP_MSL=6000\n{DEPRECATED_BEGIN}\nCONFIG_TCP_MSL=60000\n{DEPRECATED_END}\nCONFIG_LWIP_TCP_MSS=900\n"
        );
        let o = read(&text).options;
        assert_eq!((o.tcp_msl, o.tcp_mss), (6_000, 900));
    }

    #[test]
    fn values_are_read_as_esp_idf_reads_them() {
        let parsed = read(
            "CONFIG_LWIP_MAX_SOCKETS=16  # more clients\nCONFIG_LWIP_SO_LINGER=yes\nCONFIG_LWIP_SO_REUSE=\n",
        );
        let o = &parsed.options;
        assert_eq!(
            (o.max_sockets, o.so_linger, o.so_reuse),
            (16, SocketOption::Allowed, SocketOption::Allowed)
        );
        assert_eq!(without_effect(&parsed), [(3, "CONFIG_LWIP_SO_REUSE", "")]);
        let parsed = read(
            "CONFIG_LWIP_LOCAL_HOSTNAME=\"a # b\"\nCONFIG_LWIP_TCP_MSS= # none\nCONFIG_LWIP_MAX_SOCKETS\n",
        );
        assert_eq!(parsed.options, Options::current());
        let listed = [
            (1, "CONFIG_LWIP_LOCAL_HOSTNAME", "\"a # b\""),
            (2, "CONFIG_LWIP_TCP_MSS", ""),
            (3, "CONFIG_LWIP_MAX_SOCKETS", ""),
        ];
        assert_eq!(without_effect(&parsed), listed);
    }

    #[test]
    fn windows_are_scaled_up_to_eight_times_65535() {
        let text = "CONFIG_SPIRAM_TRY_ALLOCATE_WIFI_LWIP=y\nCONFIG_LWIP_TCP_WND_DEFAULT=524280\n\
                    CONFIG_LWIP_WND_SCALE=y\nCONFIG_LWIP_TCP_RCV_SCALE=3\n";
        let parsed = read(text);
        let o = &parsed.options;
        assert_eq!((o.tcp_wnd, o.wnd_scale, o.tcp_rcv_scale), (524_280, true, 3));
        assert_eq!(without_effect(&parsed), []);
        let error =
            Options::from_sdkconfig("f", "CONFIG_LWIP_TCP_WND_DEFAULT=524280\n").expect_err("not scaled");
        assert!(error.to_string().contains("CONFIG_LWIP_WND_SCALE=y"), "{error}");
    }

    #[test]
    fn a_heading_without_a_version_is_an_old_versions() {
        let heading = "#\n# Espressif IoT Development Framework (ESP-IDF) Project Configuration\n#\n";
        let parsed = read(&(heading.to_owned() + "CONFIG_LWIP_MAX_ACTIVE_TCP=16\n"));
        assert_eq!(parsed.options, Options::idf_5_0());
        assert_eq!(parsed.idf_version, None);
        let newer = read(&(heading.to_owned() + "CONFIG_IDF_INIT_VERSION=\"5.5.0\"\n"));
        assert_eq!(newer.options, Options::current());
    }

    #[test]
    fn without_high_speed_retransmission_two_defaults_are_others() {
        let off = "# CONFIG_LWIP_TCP_HIGH_SPEED_RETRANSMISSION is not set\n";
        let o = read(off).options;
        assert_eq!((o.tcp_rto_time, o.tcp_synmaxrtx), (3_000, 6));
        let o = read(&("CONFIG_LWIP_TCP_RTO_TIME=1500\n".to_owned() + off)).options;
        assert_eq!((o.tcp_rto_time, o.tcp_synmaxrtx), (1_500, 6), "what the file says counts");
        assert_eq!(read("CONFIG_LWIP_TCP_HIGH_SPEED_RETRANSMISSION=y\n"), read(""));
    }

    #[test]
    fn what_need_not_be_kept_changes_nothing() {
        let text = format!(
            "# Espressif IoT Development Framework (ESP-IDF) 5.5 Project Configuration\nCONFIG_X=y\nCONFIG_TCP_MSS=900\n\
             CONFIG_LWIP_MAX_SOCKETS=4\n{DEPRECATED_BEGIN}\nCONFIG_TCP_MSS=1000\n{DEPRECATED_END}\n"
        );
        let kept: String =
            text.lines().map(|l| if concerns(l) { format!("{l}\n") } else { "\n".to_owned() }).collect();
        assert!(!kept.contains("CONFIG_X"));
        assert_eq!(read(&kept), read(&text));
    }

    #[test]
    fn a_switch_that_is_not_set_is_off() {
        let parsed = Options::from_sdkconfig("f", "# CONFIG_LWIP_SO_REUSE is not set\n").expect("valid");
        assert_eq!(parsed.options.so_reuse, SocketOption::Refused);
        assert!(parsed.no_effect.is_empty());
    }

    #[test]
    fn options_written_out_read_back_as_themselves() {
        let text = Options::expr().to_string();
        assert_eq!(Options::from_sdkconfig("f", &text).map(|p| p.options), Ok(Options::expr()));
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
