//! The few elements that pages are made of.

use std::fmt::Write as _;

use crate::format::escape;

pub(super) fn heading(out: &mut String, words: &str) {
    let _ = writeln!(out, "<h2>{}</h2>", escape(words));
}

pub(super) fn paragraph(out: &mut String, class: &str, words: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = writeln!(out, "<p{class}>{}</p>", escape(words));
}

/// A sentence that begins with a capital letter and ends with a full stop; what stands between backquotes is code.
pub(super) fn sentence(out: &mut String, class: &str, words: &str) {
    let mut letters = words.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let stop = if words.ends_with(['.', '!', '?']) { "" } else { "." };
    let whole = escape(&format!("{first}{}{stop}", letters.as_str()));
    let mut parts = whole.split('`');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let rest: Vec<&str> = parts.collect();
    for two in rest.chunks(2) {
        match two {
            [code, plain] => {
                let _ = write!(text, "<code>{code}</code>{plain}");
            }
            // A backquote without its other half is one.
            _ => two.iter().for_each(|part| {
                let _ = write!(text, "`{part}");
            }),
        }
    }
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = writeln!(out, "<p{class}>{text}</p>");
}

/// A drawing with what it shows.
pub(super) fn figure(out: &mut String, caption: &str, drawing: &str) {
    let caption = if caption.is_empty() {
        String::new()
    } else {
        format!("<figcaption>{}</figcaption>\n", escape(caption))
    };
    let _ = writeln!(out, "<figure>{caption}{drawing}</figure>");
}

/// Facts by their names, in two columns where there is room.
pub(super) fn facts(out: &mut String, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    out.push_str("<dl class=\"facts\">\n");
    for (name, text) in rows {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(text));
    }
    out.push_str("</dl>\n");
}

/// A cell of a table.
pub(super) struct Cell<'a> {
    class: &'a str,
    text: String,
    code: bool,
}

impl<'a> Cell<'a> {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { class: "", text: text.into(), code: false }
    }

    pub(super) fn number(text: impl Into<String>) -> Self {
        Self { class: "n", text: text.into(), code: false }
    }

    pub(super) fn code(text: impl Into<String>) -> Self {
        Self { class: "", text: text.into(), code: true }
    }

    pub(super) fn toned(class: &'a str, text: impl Into<String>) -> Self {
        Self { class, text: text.into(), code: false }
    }
}

/// A table; on a narrow page each row becomes a block, in which cells name their column.
pub(super) fn table<'a>(out: &mut String, columns: &[&str], rows: impl IntoIterator<Item = Vec<Cell<'a>>>) {
    out.push_str("<table class=\"stack\">\n");
    let rows: Vec<Vec<Cell<'_>>> = rows.into_iter().collect();
    if columns.iter().any(|name| !name.is_empty()) {
        out.push_str("<tr>");
        for (i, name) in columns.iter().enumerate() {
            // Names stand over their figures.
            let figures = rows.first().and_then(|row| row.get(i)).is_some_and(|cell| cell.class == "n");
            let class = if figures { " class=\"n\"" } else { "" };
            let _ = write!(out, "<th{class}>{}</th>", escape(name));
        }
        out.push_str("</tr>\n");
    }
    for row in rows {
        out.push_str("<tr>");
        for (cell, column) in row.iter().zip(columns.iter().chain(std::iter::repeat(&""))) {
            let class =
                if cell.class.is_empty() { String::new() } else { format!(" class=\"{}\"", cell.class) };
            let label =
                if column.is_empty() { String::new() } else { format!(" data-label=\"{}\"", escape(column)) };
            let text = escape(&cell.text);
            let text = if cell.code && !text.is_empty() { format!("<code>{text}</code>") } else { text };
            let _ = write!(out, "<td{class}{label}>{text}</td>");
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
}
