//! The frame that log libraries put around a message: level, the device's time, tag.

/// A line's frame, and its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogLine<'a> {
    /// `E`, `W`, `I`, `D` or `V`; `None` for a line without a frame.
    pub(crate) level: Option<char>,
    /// Since the device's start, milliseconds.
    pub(crate) device_ms: Option<u64>,
    /// Who says it: ESP-IDF's tag, or Arduino's file.
    pub(crate) tag: Option<&'a str>,
    /// What is said.
    pub(crate) message: &'a str,
}

/// More is no time since a start: 34 years.
const LATEST_MS: u64 = 1 << 40;

impl<'a> LogLine<'a> {
    /// Reads any line.
    pub(crate) fn read(text: &'a str) -> Self {
        idf(text).or_else(|| arduino(text)).unwrap_or(Self {
            level: None,
            device_ms: None,
            tag: None,
            message: text,
        })
    }

    /// Whether no log library framed it: the ROM, a panic handler, or a program's own `printf`.
    pub(crate) const fn is_bare(&self) -> bool {
        self.level.is_none()
    }
}

fn level(letter: char) -> Option<char> {
    matches!(letter, 'E' | 'W' | 'I' | 'D' | 'V').then_some(letter)
}

/// `I (1234) tag: message` of both versions of ESP-IDF's log library; the time may be the system's
/// (`(09:59:34.123)`, `(24-08-15 16:30:45.123)`), or missing. The Wi-Fi library says `wifi:message`.
fn idf(text: &str) -> Option<LogLine<'_>> {
    let mut chars = text.chars();
    let level = level(chars.next()?)?;
    let rest = chars.as_str().strip_prefix(' ')?;
    let (device_ms, rest) = match rest.strip_prefix('(') {
        Some(rest) => {
            let (time, rest) = rest.split_once(") ")?;
            let known = time.len() <= 32
                && time.bytes().all(|b| matches!(b, b'0'..=b'9' | b':' | b'.' | b'-' | b' '));
            if !known || time.is_empty() {
                return None;
            }
            (time.parse().ok().filter(|ms| *ms < LATEST_MS), rest)
        }
        None => (None, rest),
    };
    let (tag, message) = rest.split_once(':')?;
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'/' | b' ');
    let single =
        !tag.contains(' ') || rest.len() > tag.len() && tag.len() <= 24 && text.as_bytes()[2] == b'(';
    (!tag.is_empty() && tag.len() <= 48 && tag.bytes().all(named) && single).then(|| LogLine {
        level: Some(level),
        device_ms,
        tag: Some(tag),
        message: message.trim_start(),
    })
}

/// `[  1234][E][File.cpp:57] function(): message` of arduino-esp32; before 2.0 without the time.
fn arduino(text: &str) -> Option<LogLine<'_>> {
    let (first, rest) = text.strip_prefix('[')?.split_once(']')?;
    let (device_ms, rest) = match first.trim().parse::<u64>() {
        Ok(ms) => {
            let (letter, rest) = rest.strip_prefix('[')?.split_once(']')?;
            (Some(ms).filter(|ms| *ms < LATEST_MS), (letter, rest))
        }
        Err(_) => (None, (first, rest)),
    };
    let (letter, rest) = rest;
    let mut letters = letter.chars();
    let level = level(letters.next()?).filter(|_| letters.next().is_none())?;
    let (place, rest) = rest.strip_prefix('[')?.split_once(']')?;
    let (file, _) = place.rsplit_once(':')?;
    let message = rest.trim_start();
    let message = message.split_once("(): ").map_or(message, |(_, message)| message);
    Some(LogLine { level: Some(level), device_ms, tag: Some(file), message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_of_every_kind_are_read() {
        let cases = [
            ("I (1234) wifi:state: init -> auth (b0)", 'I', Some(1_234), "wifi", "state: init -> auth (b0)"),
            (
                "W (98) httpd: httpd_accept_conn: error in accept (23)",
                'W',
                Some(98),
                "httpd",
                "httpd_accept_conn: error in accept (23)",
            ),
            (
                "I (27) boot: ESP-IDF v5.1 2nd stage bootloader",
                'I',
                Some(27),
                "boot",
                "ESP-IDF v5.1 2nd stage bootloader",
            ),
            ("I (09:59:34.123) main: up", 'I', None, "main", "up"),
            ("E (24-08-15 16:30:45.123) main: down", 'E', None, "main", "down"),
            ("E BOD: Brownout detector was triggered", 'E', None, "BOD", "Brownout detector was triggered"),
            ("I (5) wifi station: connected", 'I', Some(5), "wifi station", "connected"),
            (
                "[  4711][E][WiFiClient.cpp:258] connect(): socket error on fd 48, errno: 104",
                'E',
                Some(4_711),
                "WiFiClient.cpp",
                "socket error on fd 48, errno: 104",
            ),
            (
                "[W][WiFiGeneric.cpp:391] _eventCallback(): Reason: 200 - BEACON_TIMEOUT",
                'W',
                None,
                "WiFiGeneric.cpp",
                "Reason: 200 - BEACON_TIMEOUT",
            ),
        ];
        for (text, level, device_ms, tag, message) in cases {
            let want = LogLine { level: Some(level), device_ms, tag: Some(tag), message };
            assert_eq!(LogLine::read(text), want, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_frame_is_a_message() {
        for text in [
            "I am here: really",
            "E (x) a: b",
            "[1, 2, 3]",
            "[(15072, 11984, 11776, 11984)]",
            "V",
            "",
            "ets Jun  8 2016 00:22:57",
            "D (1) no colon",
        ] {
            assert!(LogLine::read(text).is_bare(), "{text}: {:?}", LogLine::read(text));
            assert_eq!(LogLine::read(text).message, text);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}") {
            let _ = LogLine::read(&text);
        }

        #[test]
        fn any_text_behind_a_frame_is_read(text in "[EWIDV] ?\\(?[0-9:.]{0,30}\\)? ?[a-z]{0,9}:?\\PC{0,20}") {
            let _ = LogLine::read(&text);
        }
    }
}
