//! Calls that failed on the device, by the name of their error.

use espstress_event::{Doing, Said};

use super::super::errno::{is_no_memory, mbedtls, name, named};
use super::{LogLine, Meaning};

/// What an allocation that failed is called where the device names no error.
const ALLOCATION: &str = "allocation failed";

pub(super) fn read(line: &LogLine<'_>) -> Option<Meaning> {
    let said = match line.level {
        None => bare(line.message)?,
        Some('E' | 'W') => framed(line)?,
        Some(_) => return None,
    };
    Some(Meaning::Said(said))
}

fn error(doing: Doing, name: impl Into<String>) -> Said {
    let name = name.into();
    let no_memory = is_no_memory(&name) || name == ALLOCATION;
    Said::Error { doing, name, no_memory }
}

/// Lines of the log library at level E or W.
fn framed(line: &LogLine<'_>) -> Option<Said> {
    let text = line.message;
    let lower = text.to_ascii_lowercase();
    let doing = doing(line.tag.unwrap_or_default(), &lower);
    if let Some(code) = after(&lower, "returned -0x").or_else(|| after(&lower, "error -0x")) {
        let end = code.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(code.len());
        let code = u32::from_str_radix(&code[..end], 16).ok()?;
        let name =
            mbedtls(code).map_or_else(|| format!("-0x{code:04X}"), |name| format!("MBEDTLS_ERR_{name}"));
        return Some(error(Doing::Tls, name));
    }
    if line.tag.is_some_and(is_mqtt) {
        return mqtt(text, &lower);
    }
    if line.tag == Some("esp-tls")
        && let Some(found) = dialling(text)
    {
        return Some(error(Doing::Connect, found));
    }
    if let Some(found) = after(text, "errno=").or_else(|| after(text, "errno = ")).and_then(words) {
        return Some(error(doing, found));
    }
    if let Some(found) = errno(&lower) {
        return Some(error(doing, name(found).map_or_else(|| format!("errno {found}"), str::to_owned)));
    }
    if let Some(found) = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').find_map(token) {
        return Some(error(if found == "ESP_ERR_NO_MEM" { Doing::Allocate } else { doing }, found));
    }
    if let Some(found) = after(text, "socket: ").and_then(words) {
        return Some(error(Doing::Socket, found));
    }
    is_want_of_memory(text).then(|| error(Doing::Allocate, ALLOCATION))
}

/// Words that may follow what ran out; a noun right after it would be what has run out instead.
const GO_ON: [&str; 14] = [
    "for",
    "while",
    "in",
    "to",
    "at",
    "when",
    "on",
    "allocating",
    "during",
    "creating",
    "error",
    "available",
    "left",
    "by",
];

/// Memory, and what is made of it.
const OF_MEMORY: [&str; 16] = [
    "memory", "mem", "heap", "ram", "byte", "bytes", "buf", "buffer", "buffers", "pbuf", "netbuf", "stack",
    "struct", "context", "ctx", "string",
];

/// Whether the words are of an allocation that failed, and not of a card, a seat or a slot: what is said to have run out
/// is memory itself, and what could not be allocated is memory or a thing made of it.
pub(crate) fn is_want_of_memory(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let words = |text: &str, of: &[&str]| {
        text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| of.contains(&word))
    };
    let ends = |rest: &str| match rest.strip_prefix(' ') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            rest.starts_with(['(', '-', ':']) || GO_ON.contains(&&rest[..end])
        }
        None => !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'),
    };
    let ran_out = ["out of memory", "memory exhausted", "no memory", "not enough memory"];
    let refused = [
        "failed to allocate",
        "failed to alloc",
        "unable to allocate",
        "cannot allocate",
        "could not allocate",
    ];
    let what = refused.iter().find_map(|words| after(&lower, words));
    ["malloc failed", "malloc buffer fail"].iter().any(|words| lower.contains(words))
        || ran_out.iter().any(|words| after(&lower, words).is_some_and(ends))
        || what.is_some_and(|what| what.trim_matches(['.', '!', ' ']).is_empty() || words(what, &OF_MEMORY))
}

fn is_mqtt(tag: &str) -> bool {
    tag.eq_ignore_ascii_case("mqtt_client")
}

/// What esp-mqtt says when a session ends, or does not begin.
fn mqtt(text: &str, lower: &str) -> Option<Said> {
    let whole = [
        ("No PING_RESP, disconnected", "no PINGRESP"),
        ("Error transport connect", "no connection"),
        ("esp_mqtt_connect: mqtt_message_receive() returned 0", "no CONNACK"),
    ];
    if let Some((_, name)) = whole.iter().find(|(words, _)| *words == text) {
        return Some(error(Doing::Mqtt, *name));
    }
    if text.ends_with("transport_read(): EOF") {
        return Some(error(Doing::Mqtt, "closed by the broker"));
    }
    if let Some(number) = errno(lower) {
        return Some(error(
            Doing::Mqtt,
            name(number).map_or_else(|| format!("errno {number}"), str::to_owned),
        ));
    }
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .find_map(token)
        .map(|found| error(Doing::Mqtt, found))
}

/// What esp-tls says of a dial, of plain TCP as well: `[sock=54] delayed connect error: Connection reset by peer`.
fn dialling(text: &str) -> Option<&'static str> {
    let (_, rest) = text.strip_prefix("[sock=")?.split_once("] ")?;
    if rest == "select() timeout" {
        return Some("ETIMEDOUT");
    }
    words(rest.strip_prefix("delayed connect error: ").or_else(|| rest.strip_prefix("connect() error: "))?)
}

/// Lines without a frame: only whole and exact forms.
fn bare(text: &str) -> Option<Said> {
    // The ESP8266's allocator: E:M and the bytes that it could not give.
    if let Some(bytes) = text.strip_prefix("E:M ") {
        bytes.trim().parse::<u32>().ok()?;
        return Some(error(Doing::Allocate, ALLOCATION));
    }
    if text.starts_with("MemoryError: memory allocation failed") || text == "MemoryError:" {
        return Some(error(Doing::Allocate, ALLOCATION));
    }
    if let Some(rest) = text.strip_prefix("lua: ").and_then(|rest| rest.strip_suffix(": not enough memory")) {
        return (!rest.is_empty()).then(|| error(Doing::Allocate, ALLOCATION));
    }
    if let Some(rest) = text.strip_prefix("ESP_ERROR_CHECK failed: esp_err_t 0x") {
        return rest.contains("(ESP_ERR_NO_MEM)").then(|| error(Doing::Allocate, "ESP_ERR_NO_MEM"));
    }
    let (doing, rest) = match text.strip_prefix("OSError: ") {
        Some(rest) => (Doing::Other, rest),
        None => {
            let (what, rest) = text.split_once(": ")?;
            (exactly(what)?, rest.strip_prefix("OSError: ").unwrap_or(rest))
        }
    };
    python(rest).map(|name| error(doing, name))
}

/// `[Errno 23] ENFILE`, or `23`.
fn python(text: &str) -> Option<&'static str> {
    let number = match text.strip_prefix("[Errno ") {
        Some(rest) => {
            let (number, rest) = rest.split_once(']')?;
            if let Some(found) = named(rest.trim()) {
                return Some(found);
            }
            rest.trim().is_empty().then_some(number)?
        }
        None => text,
    };
    name(number.trim().parse().ok()?)
}

fn exactly(what: &str) -> Option<Doing> {
    Some(match what {
        "accept" => Doing::Accept,
        "socket" => Doing::Socket,
        "connect" => Doing::Connect,
        "send" => Doing::Send,
        "recv" => Doing::Receive,
        _ => return None,
    })
}

fn doing(tag: &str, lower: &str) -> Doing {
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match () {
        () if tag.starts_with("esp-tls") || tag.starts_with("mbedtls") => Doing::Tls,
        () if has(&["accept"]) => Doing::Accept,
        () if has(&["create socket", "creating socket", "open socket"]) => Doing::Socket,
        () if has(&["send", "write", "fail on fd"]) => Doing::Send,
        () if has(&["recv", "receiv", "read"]) => Doing::Receive,
        () if has(&["connect"]) => Doing::Connect,
        () if has(&["alloc"]) => Doing::Allocate,
        () => Doing::Other,
    }
}

/// `errno 23`, `errno: 23`, `errno = 23`, and esp_http_server's `error in accept (23)`, `error in send : 104`.
fn errno(lower: &str) -> Option<u32> {
    let rest = after(lower, "errno").or_else(|| {
        let rest = after(lower, "error in ")?;
        let rest = ["accept", "send", "recv", "select"].iter().find_map(|verb| rest.strip_prefix(verb))?;
        rest.starts_with([' ', ':', '(']).then_some(rest)
    })?;
    let rest = rest.trim_start_matches([' ', ':', '=', '(']);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok().filter(|number| (1..1_000).contains(number))
}

fn after<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    text.split_once(what).map(|(_, rest)| rest)
}

fn token(word: &str) -> Option<&'static str> {
    if word == "ESP_ERR_NO_MEM" { Some("ESP_ERR_NO_MEM") } else { named(word) }
}

/// newlib's words of an error, as `strerror()` has them, or its number.
fn words(text: &str) -> Option<&'static str> {
    let text = text.split_once(',').map_or(text, |(text, _)| text);
    match text.trim() {
        "No more processes" => Some("EAGAIN"),
        "Not enough space" => Some("ENOMEM"),
        "Too many open files in system" => Some("ENFILE"),
        "No buffer space available" => Some("ENOBUFS"),
        "Connection reset by peer" => Some("ECONNRESET"),
        "Software caused connection abort" => Some("ECONNABORTED"),
        "Host is unreachable" => Some("EHOSTUNREACH"),
        "Socket is not connected" => Some("ENOTCONN"),
        number => name(number.parse().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_newlibs_names_and_what_failed() {
        let cases = [
            ("W (98) httpd: httpd_accept_conn: error in accept (23)", Doing::Accept, "ENFILE"),
            ("E (98) tcp_server: Unable to accept connection: errno 23", Doing::Accept, "ENFILE"),
            ("W (98) httpd_txrx: httpd_sock_err: error in send : 104", Doing::Send, "ECONNRESET"),
            ("W (98) httpd_txrx: httpd_sock_err: error in recv : 113", Doing::Receive, "ECONNABORTED"),
            ("E (98) example: Error occurred during sending: errno 11", Doing::Send, "EAGAIN"),
            ("E (98) example: Unable to create socket: errno 105", Doing::Socket, "ENOBUFS"),
            ("E (98) example: Socket unable to connect: errno 118", Doing::Connect, "EHOSTUNREACH"),
            (
                "[  4711][E][WiFiClient.cpp:422] write(): fail on fd 48, errno: 11, \"No more processes\"",
                Doing::Send,
                "EAGAIN",
            ),
            (
                "[  4711][E][WiFiClient.cpp:232] connect(): socket: No buffer space available",
                Doing::Socket,
                "ENOBUFS",
            ),
            ("E (98) app: create failed with ESP_ERR_NO_MEM", Doing::Allocate, "ESP_ERR_NO_MEM"),
            (
                "ESP_ERROR_CHECK failed: esp_err_t 0x101 (ESP_ERR_NO_MEM) at 0x4200a1b2",
                Doing::Allocate,
                "ESP_ERR_NO_MEM",
            ),
            (
                "E (98) esp-tls-mbedtls: mbedtls_ssl_handshake returned -0x7F00",
                Doing::Tls,
                "MBEDTLS_ERR_SSL_ALLOC_FAILED",
            ),
            (
                "E (98) esp-tls-mbedtls: mbedtls_ssl_handshake returned -0x7780",
                Doing::Tls,
                "MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE",
            ),
            ("E (98) esp-tls-mbedtls: read error -0x0050:", Doing::Tls, "MBEDTLS_ERR_NET_CONN_RESET"),
            ("E (98) esp-tls-mbedtls: mbedtls_ssl_handshake returned -0x1234", Doing::Tls, "-0x1234"),
            (
                "E (98) mqtt_client: esp_mqtt_handle_transport_read_error: transport_read(): EOF",
                Doing::Mqtt,
                "closed by the broker",
            ),
            (
                "E (98) mqtt_client: esp_mqtt_handle_transport_read_error: transport_read() error: errno=128",
                Doing::Mqtt,
                "ENOTCONN",
            ),
            (
                "E (98) MQTT_CLIENT: mqtt_message_receive: transport_read() error: errno=104",
                Doing::Mqtt,
                "ECONNRESET",
            ),
            ("E (98) mqtt_client: No PING_RESP, disconnected", Doing::Mqtt, "no PINGRESP"),
            ("E (98) mqtt_client: Error transport connect", Doing::Mqtt, "no connection"),
            ("E (98) esp-tls: [sock=54] select() timeout", Doing::Connect, "ETIMEDOUT"),
            (
                "E (98) esp-tls: [sock=54] delayed connect error: Connection reset by peer",
                Doing::Connect,
                "ECONNRESET",
            ),
            (
                "E (98) esp-tls: [sock=43] connect() error: Host is unreachable",
                Doing::Connect,
                "EHOSTUNREACH",
            ),
            (
                "E (98) transport_base: tcp_read error, errno=Software caused connection abort",
                Doing::Receive,
                "ECONNABORTED",
            ),
            (
                "E (98) TRANSPORT_BASE: poll_read select error 104, errno = Connection reset by peer, fd = 48",
                Doing::Receive,
                "ECONNRESET",
            ),
            ("E (98) httpd: Failed to allocate memory for request", Doing::Allocate, ALLOCATION),
            ("E (98) app: out of memory", Doing::Allocate, ALLOCATION),
            ("E (98) app: Out of memory while reading the page", Doing::Allocate, ALLOCATION),
            ("W (98) wifi: no memory (12)", Doing::Allocate, ALLOCATION),
            ("E (98) spi: Failed to allocate 1024 bytes", Doing::Allocate, ALLOCATION),
            ("E (98) app: failed to allocate RX buffer", Doing::Allocate, ALLOCATION),
            ("E:M 1032", Doing::Allocate, ALLOCATION),
            ("lua: init.lua:5: not enough memory", Doing::Allocate, ALLOCATION),
            ("OSError: [Errno 12] ENOMEM", Doing::Other, "ENOMEM"),
            ("OSError: 23", Doing::Other, "ENFILE"),
            ("accept: [Errno 23] ENFILE", Doing::Accept, "ENFILE"),
            ("accept: OSError: 23", Doing::Accept, "ENFILE"),
            ("MemoryError: memory allocation failed, allocating 1024 bytes", Doing::Allocate, ALLOCATION),
        ];
        for (text, what, want) in cases {
            let Some(Meaning::Said(Said::Error { doing, name, .. })) = read(&LogLine::read(text)) else {
                panic!("{text}")
            };
            assert_eq!((doing, name.as_str()), (what, want), "{text}");
        }
    }

    #[test]
    fn what_has_run_out_must_be_memory() {
        for text in [
            "W (98) mqtt: out of memory card space",
            "E (98) sd: no memory card in the slot",
            "W (98) shop: failed to allocate seat 12 to guest",
            "W (98) can: failed to allocate mailbox 3",
            "W (98) flash: not enough memory cards",
            "E (98) app: tried to allocate memory: ok",
        ] {
            assert_eq!(read(&LogLine::read(text)), None, "{text}");
        }
    }

    #[test]
    fn only_some_errors_mean_that_memory_ran_out() {
        let of = |text: &str| match read(&LogLine::read(text)) {
            Some(Meaning::Said(Said::Error { no_memory, .. })) => no_memory,
            other => panic!("{text}: {other:?}"),
        };
        assert!(of("E (98) example: Unable to create socket: errno 105"));
        assert!(of("E (98) esp-tls-mbedtls: mbedtls_ssl_setup returned -0x7f00"));
        assert!(of("MemoryError: memory allocation failed, allocating 1024 bytes"));
        assert!(!of("W (98) httpd: httpd_accept_conn: error in accept (23)"));
        assert!(!of("E (98) example: Error occurred during sending: errno 11"));
    }
}
