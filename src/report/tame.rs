//! What a file may hold and a terminal must not see: control characters in strings, by which whoever wrote a report could
//! clear the screen, rename the window or forge lines.

use std::borrow::Cow;

use serde_json::Value;

/// JSON text in which no string has a control character but line feeds and tabs; they become visible (`\x1b`). Text that is
/// no JSON stays as it is, for its reader to refuse.
pub(super) fn tame(json: &str) -> Cow<'_, str> {
    // Within JSON, control characters are escaped, but for DEL and those behind it (RFC 8259, 7).
    let suspicious = |text: &str| {
        text.contains("\\u")
            || text.contains("\\b")
            || text.contains("\\f")
            || text.contains("\\r")
            || text.contains(is_wild)
    };
    if !suspicious(json) {
        return Cow::Borrowed(json);
    }
    let Ok(mut value) = serde_json::from_str::<Value>(json) else { return Cow::Borrowed(json) };
    if !tame_value(&mut value) {
        return Cow::Borrowed(json);
    }
    serde_json::to_string_pretty(&value).map_or(Cow::Borrowed(json), Cow::Owned)
}

/// Whether there was anything to tame.
fn tame_value(value: &mut Value) -> bool {
    match value {
        Value::String(text) => tame_text(text),
        Value::Array(all) => all.iter_mut().fold(false, |any, one| tame_value(one) | any),
        Value::Object(all) => {
            let keys = all.keys().any(|key| key.contains(is_wild));
            if keys {
                *all = std::mem::take(all).into_iter().map(|(key, value)| (visible(&key), value)).collect();
            }
            all.iter_mut().fold(keys, |any, (_, one)| tame_value(one) | any)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn tame_text(text: &mut String) -> bool {
    let wild = text.contains(is_wild);
    if wild {
        *text = visible(text);
    }
    wild
}

fn visible(text: &str) -> String {
    let mut tame = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !is_wild(c) => tame.push(c),
            c if u32::from(c) < 0x100 => tame.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => tame.extend(c.escape_unicode()),
        }
    }
    tame
}

/// Control characters, and those that turn the direction of the text around them.
fn is_wild(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible_and_nothing_else_changes() {
        let text =
            r#"{"a": "red \u001b[31m", "b\u0007": ["\u009b2J", "a\\u001b", "\r", "ok\n\t\u00e9"], "n": 1.5}"#;
        let value: Value = serde_json::from_str(&tame(text)).unwrap();
        let expected = serde_json::json!({
            "a": "red \\x1b[31m", "b\\x07": ["\\x9b2J", "a\\u001b", "\\x0d", "ok\n\té"], "n": 1.5
        });
        assert_eq!(value, expected);
        for same in [r#"{"a": "b\n\\u001b"}"#, "no JSON \\u001b"] {
            assert!(matches!(tame(same), Cow::Borrowed(_)), "{same}");
        }
    }
}
