//! Figures in words.

/// `1 packet`, `3 packets`; a plural that is not made with `s` is given whole.
pub fn things(n: u64, one: &str) -> String {
    match (n, one) {
        (1, _) => format!("1 {one}"),
        _ => format!("{n} {one}s"),
    }
}

/// Nanoseconds as people say them.
pub fn time(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{:.0} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} ms", ns as f64 / 1e6),
        1_000_000_000..10_000_000_000 => format!("{:.1} s", ns as f64 / 1e9),
        _ => format!("{:.0} s", ns as f64 / 1e9),
    }
}

/// A share in percent; `0 %` of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let share = if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    if share > 0.0 && share < 10.0 { format!("{share:.1} %") } else { format!("{share:.0} %") }
}

/// Bytes as people say them.
pub fn bytes(n: u64) -> String {
    if n < 10_240 { format!("{n} B") } else { format!("{:.0} KiB", n as f64 / 1024.0) }
}

/// A number of bytes that may be a fraction, without its sign; nothing unless it is a number.
pub(crate) fn rate(bytes: f64) -> Option<String> {
    bytes.is_finite().then(|| format!("{:.1} B", bytes.abs()))
}

/// A number with its thousands apart: `1,306`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `once`, `3 times`.
pub(crate) fn times(n: u64) -> String {
    if n == 1 { "once".into() } else { format!("{n} times") }
}

/// Kinds that a statement names; what else there is has a number.
const NAMED: usize = 4;

/// What there is of each kind, in the order in which the kinds came first: `a 2 times, b once`.
pub(crate) fn of_each(kinds: &[(String, u64)]) -> String {
    let mut parts: Vec<String> =
        kinds.iter().take(NAMED).map(|(kind, n)| format!("{kind} {}", times(*n))).collect();
    let more: u64 = kinds.iter().skip(NAMED).map(|(_, n)| n).sum();
    if more > 0 {
        parts.push(format!("others {}", times(more)));
    }
    parts.join(", ")
}

/// How often each comes, in the order in which they came first.
pub(crate) fn tally<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<(T, u64)> {
    let mut kinds: Vec<(T, u64)> = Vec::new();
    for one in all {
        match kinds.iter_mut().find(|(known, _)| *known == one) {
            Some((_, n)) => *n += 1,
            None => kinds.push((one, 1)),
        }
    }
    kinds
}

/// What is to be said of several kinds: of one as it is, of several each after its name.
pub(crate) fn by_kind<'a>(kinds: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for (kind, what) in kinds {
        match said.iter_mut().find(|(known, _)| *known == what) {
            Some((_, of)) if of.contains(&kind) => {}
            Some((_, of)) => of.push(kind),
            None => said.push((what, vec![kind])),
        }
    }
    match &said[..] {
        [(what, _)] => (*what).to_owned(),
        _ => {
            let each: Vec<String> =
                said.iter().map(|(what, of)| format!("{}: {what}", of.join(" and "))).collect();
            each.join("; ")
        }
    }
}

/// A text with a capital at its beginning.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
