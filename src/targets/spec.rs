//! A target as it is typed. Pure: nothing is resolved here.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// Which options a twin's stack has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TwinOptions {
    /// ESP-IDF's current defaults.
    Current,
    /// ESP-IDF 5.0.4's defaults.
    Std,
    /// ESP-IDF 5.0.4 with the experimental build's settings.
    Expr,
    /// An sdkconfig file.
    File(PathBuf),
}

impl From<&str> for TwinOptions {
    fn from(name: &str) -> Self {
        match name {
            "" | "current" => Self::Current,
            "std" => Self::Std,
            "expr" => Self::Expr,
            file => Self::File(file.into()),
        }
    }
}

/// The TCP/IP stack of a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwinStack {
    /// lwIP, as ESP-IDF, Arduino and MicroPython have it.
    Lwip,
    /// smoltcp under embassy-net, as this project's own firmware for boards has it.
    Smoltcp,
}

impl TwinStack {
    /// Every stack there is.
    pub const ALL: [Self; 2] = [Self::Lwip, Self::Smoltcp];

    /// The name as people type it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lwip => "lwip",
            Self::Smoltcp => "smoltcp",
        }
    }

    /// The stack of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stack| stack.name() == name)
    }
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spec {
    /// The device program on lwIP or smoltcp in a private network.
    Twin(TwinOptions),
    /// A process of the user's own that holds the far end of a TAP device: its command, as in a shell.
    Tap(String),
    /// An emulator with a firmware image.
    Emulator(PathBuf),
    /// The device program on this host's own TCP stack.
    Sim,
    /// A device of which nothing is known but that it dials in.
    DialsIn,
    /// A device on the network.
    Address {
        /// Name or address, without brackets.
        host: String,
        /// The HTTP port, when it is given.
        port: Option<u16>,
        /// Whether TLS is spoken there: https://.
        tls: bool,
    },
}

/// A target that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what}. A target is an address or name with optional :PORT, an http:// or https:// URL, twin, twin:std, twin:expr, twin:FILE, tap:CMD, emu:IMAGE, sim, or dials-in"
)]
pub struct SpecError {
    what: String,
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = |what: &str| SpecError { what: what.to_owned() };
        match s {
            "" => return Err(error("the target is empty")),
            "sim" => return Ok(Self::Sim),
            "dials-in" => return Ok(Self::DialsIn),
            "twin" => return Ok(Self::Twin(TwinOptions::Current)),
            _ => {}
        }
        if let Some(options) = s.strip_prefix("twin:") {
            return twin(options).map(Self::Twin).map_err(|what| SpecError { what });
        }
        if let Some(command) = s.strip_prefix("tap:") {
            return tap(command).map_err(|what| SpecError { what });
        }
        if let Some(image) = s.strip_prefix("emu:") {
            let named = || error("emu: names no image, as in emu:build/merged.bin");
            return if image.is_empty() { Err(named()) } else { Ok(Self::Emulator(image.into())) };
        }
        let (scheme, rest) = s.split_once("://").map_or((None, s), |(scheme, rest)| (Some(scheme), rest));
        // A scheme is the same in any case (RFC 3986, 3.1).
        let scheme = scheme.map(str::to_ascii_lowercase);
        let tls = scheme.as_deref() == Some("https");
        if let Some(scheme) = scheme.filter(|scheme| scheme != "http" && scheme != "https") {
            return Err(SpecError { what: not_supported(&scheme) });
        }
        let rest = rest.split_once(['/', '?', '#']).map_or(rest, |(authority, _)| authority);
        if rest.contains('@') {
            return Err(error(
                "user names and passwords in targets would end up in reports; give only the host, and --user NAME with \
                 --password-file FILE",
            ));
        }
        let (host, port) =
            split_port(rest).ok_or_else(|| error("the port isn't a number from 1 to 65535"))?;
        if let Some(own) = ["sim", "twin"].into_iter().find(|own| host.eq_ignore_ascii_case(own)) {
            return Err(SpecError { what: format!("write `{own}` in lower case and without a port") });
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || host.starts_with('-') || !host.chars().all(fits) {
            return Err(error("this is neither an address nor a name"));
        }
        Ok(Self::Address { host: host.to_owned(), port, tls })
    }
}

/// A twin's options, unless what follows them says that a port was meant.
fn twin(options: &str) -> Result<TwinOptions, String> {
    let is_port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = options.rsplit_once(':').filter(|(_, last)| is_port(last)).map(|(_, port)| port);
    match port.or_else(|| is_port(options).then_some(options)) {
        Some(port) => Err(format!("a twin's ports are fixed by service; remove `:{port}`")),
        None => Ok(options.into()),
    }
}

/// A command that can be taken apart.
fn tap(command: &str) -> Result<Spec, String> {
    match shlex::split(command) {
        Some(words) if !words.is_empty() => Ok(Spec::Tap(command.to_owned())),
        Some(_) => Err("tap: names no program, as in 'tap:./my_stack --interface {tap}'".to_owned()),
        None => Err(format!("tap:{command}: missing closing quote")),
    }
}

/// Why a URL of another scheme than http's is no target.
fn not_supported(scheme: &str) -> String {
    let instead = match scheme {
        "ws" | "wss" => "; http:// tests the web server behind a WebSocket",
        "mqtt" | "mqtts" => "; `outage --listen` and `analyze` cover devices that dial in",
        _ => "; only http:// and https:// are",
    };
    format!("{scheme}:// isn't supported{instead}")
}

fn split_port(s: &str) -> Option<(&str, Option<u16>)> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    if let Some(inner) = s.strip_prefix('[') {
        let (host, rest) = inner.split_once(']')?;
        return match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(port(rest.strip_prefix(':')?)?))),
        };
    }
    let address = s.split_once('%').map_or(s, |(address, _)| address);
    if address.parse::<Ipv6Addr>().is_ok() {
        return Some((s, None));
    }
    match s.split_once(':') {
        None => Some((s, None)),
        Some((host, text)) => Some((host, Some(port(text)?))),
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sim => f.write_str("sim"),
            Self::DialsIn => f.write_str("dials-in"),
            Self::Twin(TwinOptions::Current) => f.write_str("twin"),
            Self::Twin(TwinOptions::Std) => f.write_str("twin:std"),
            Self::Twin(TwinOptions::Expr) => f.write_str("twin:expr"),
            Self::Twin(TwinOptions::File(path)) => write!(f, "twin:{}", path.display()),
            Self::Tap(command) => write!(f, "tap:{command}"),
            Self::Emulator(image) => write!(f, "emu:{}", image.display()),
            Self::Address { host, port, tls } => {
                let in_brackets = host.contains(':') && (port.is_some() || *tls);
                let scheme = if *tls { "https://" } else { "" };
                let (open, close) = if in_brackets { ("[", "]") } else { ("", "") };
                write!(f, "{scheme}{open}{host}{close}")?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(s: &str) -> (String, Option<u16>) {
        match s.parse() {
            Ok(Spec::Address { host, port, .. }) => (host, port),
            other => panic!("{s}: {other:?}"),
        }
    }

    #[test]
    fn addresses_names_ports_and_urls_are_read() {
        assert_eq!(address("192.168.4.1"), ("192.168.4.1".into(), None));
        assert_eq!(address("esp.local:8080"), ("esp.local".into(), Some(8080)));
        assert_eq!(address("http://10.0.0.7:81/x?y"), ("10.0.0.7".into(), Some(81)));
        assert_eq!(address("::1"), ("::1".into(), None));
        assert_eq!(address("[fe80::1%eth0]:80"), ("fe80::1%eth0".into(), Some(80)));
    }

    #[test]
    fn https_urls_are_targets_that_speak_tls() {
        let is_tls = |text: &str| matches!(text.parse(), Ok(Spec::Address { tls: true, .. }));
        assert!(
            is_tls("https://esp.local") && is_tls("HTTPS://[fe80::1]:8443/x") && !is_tls("http://esp.local")
        );
        for text in ["https://esp.local", "https://10.0.0.7:8443", "https://[::1]", "esp.local:80"] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn twins_and_sim_are_told_from_names() {
        assert_eq!("sim".parse(), Ok(Spec::Sim));
        assert_eq!("dials-in".parse(), Ok(Spec::DialsIn));
        assert_eq!("twin:expr".parse(), Ok(Spec::Twin(TwinOptions::Expr)));
        assert_eq!("twin:my/sdkconfig".parse(), Ok(Spec::Twin(TwinOptions::File("my/sdkconfig".into()))));
    }

    #[test]
    fn what_is_no_target_is_refused_with_what_is_wrong_and_the_forms_there_are() {
        for (bad, wrong) in [
            ("", "empty"),
            ("ftp://esp.local", "ftp:// isn't supported"),
            ("ws://esp.local", "WebSocket"),
            ("user:pw@esp.local", "user names and passwords"),
            ("http://user@esp.local/", "user names and passwords"),
            ("twin:std:80", "`:80`"),
            ("twin:80", "`:80`"),
            ("TWIN", "lower case"),
            ("sim:80", "without a port"),
            ("a b", "neither an address nor a name"),
            ("esp:0", "port"),
            ("esp:http", "port"),
            ("[::1", "port"),
            ("tap:", "names no program"),
            ("tap: ", "names no program"),
            ("tap:./x 'y", "missing closing quote"),
            ("emu:", "names no image"),
            ("--x", "neither an address nor a name"),
        ] {
            let said = bad.parse::<Spec>().unwrap_err().to_string();
            assert!(said.contains(wrong) && said.contains("twin:FILE"), "{bad}: {said}");
        }
    }

    #[test]
    fn a_process_behind_a_tap_device_is_told_by_its_prefix() {
        let command = "esp-emu --firmware 'my image.bin' --net tap,ifname={tap}";
        for spec in [Spec::Tap(command.into()), Spec::Emulator("build/merged.bin".into())] {
            assert_eq!(spec.to_string().parse(), Ok(spec));
        }
        assert_eq!("tap:ls http://x".parse(), Ok(Spec::Tap("ls http://x".into())));
    }

    #[test]
    fn a_scheme_is_the_same_in_any_case() {
        assert_eq!(address("HTTP://10.0.0.7:81/"), ("10.0.0.7".into(), Some(81)));
    }
}
