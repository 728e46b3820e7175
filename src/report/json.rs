//! JSON text for files and for standard output.

use serde::Serialize;
use serde_json::{Deserializer, Serializer};

/// As indented JSON text, ending in a newline. A figure that is not finite is written as null.
///
/// The types' own code writes compact text, as in a log, and that is indented: each further way to write would compile the
/// serialising of every type again.
#[must_use]
pub fn pretty(value: &impl Serialize) -> String {
    // Every key is a string and every value plain: serialising cannot fail.
    let compact = serde_json::to_string(value).unwrap_or_default();
    let mut text = Vec::with_capacity(2 * compact.len());
    let mut indented = Serializer::pretty(&mut text);
    let _ = serde_transcode::transcode(&mut Deserializer::from_str(&compact), &mut indented);
    text.push(b'\n');
    String::from_utf8(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_and_every_figure_stay_as_they_are() {
        let value = (u64::MAX, i64::MIN, 0.1 + 0.2, 1e300, 1.0, f64::NAN, "\u{7f}\u{2028}\"", [(); 0]);
        assert_eq!(pretty(&value), format!("{}\n", serde_json::to_string_pretty(&value).unwrap()));
        #[derive(Serialize)]
        struct Unsorted {
            b: Option<u8>,
            a: &'static [u8],
        }
        let value = Unsorted { b: None, a: &[] };
        assert_eq!(pretty(&value), "{\n  \"b\": null,\n  \"a\": []\n}\n");
    }
}
