//! The page of constants: every number that decides whose fault something is, with where it comes from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::read;

const PAGE: &str = "docs/constants.md";

/// Units, and how much is kept: they decide nothing.
const OTHERS: [&str; 11] = [
    "SECOND",
    "MILLISECOND",
    "NONE",
    "EXAMPLES",
    "MOST",
    "WAITING",
    "PARTS",
    "NOTES",
    "HOLES",
    "ACKS",
    "SENDS",
];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if !path.ends_with("tests") && !path.ends_with("capture") && !path.ends_with("file") {
                rust_files(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs")
            && !path.to_string_lossy().ends_with("_tests.rs")
        {
            found.push(path);
        }
    }
}

/// Name and value of a line that defines a number.
fn number(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    let definition =
        (line.starts_with("pub") || line.starts_with("const")).then(|| line.split_once("const "))?;
    let (name, rest) = definition?.1.split_once(": ")?;
    let (kind, value) = rest.split_once(" = ")?;
    let is_number =
        ["i64", "u64", "u32", "u16", "u8", "usize", "f64", "i32", "(u64, u64)", "(f64, f64)"].contains(&kind);
    is_number.then_some((name, value.strip_suffix(';')?))
}

/// The rows that the page must have, in its order.
fn rows() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    rust_files(&root.join("src/compare"), &mut files);
    rust_files(&root.join("src/diagnose"), &mut files);
    rust_files(&root.join("src/observe"), &mut files);
    let mut rows = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let mut words = String::new();
        for line in code.lines() {
            if let Some(said) = line.trim_start().strip_prefix("///") {
                words.push_str(said);
                continue;
            }
            if let Some((name, value)) = number(line).filter(|(name, _)| !OTHERS.contains(name)) {
                let file = file.strip_prefix(root.join("src")).unwrap().display();
                assert!(!words.is_empty(), "{file}: {name} has no word of where it comes from");
                rows.push(format!(
                    "| `{file}` | `{name}` | `{value}` | {} |",
                    words.trim().replace('|', "/")
                ));
            }
            words.clear();
        }
    }
    rows
}

#[test]
fn every_number_that_decides_is_in_its_page_with_where_it_comes_from() {
    let rows = rows();
    let page = read(PAGE);
    let head = page.split("\n| `").next().unwrap();
    let wanted = format!("{head}\n{}\n", rows.join("\n"));
    if std::env::var_os("ESPSTRESS_WRITE_DOCS").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), &wanted).unwrap();
        return;
    }
    let (is, should): (BTreeSet<_>, BTreeSet<_>) = (page.lines().collect(), wanted.lines().collect());
    let gone: Vec<_> = is.difference(&should).map(|line| format!("- {line}")).collect();
    let new: Vec<_> = should.difference(&is).map(|line| format!("+ {line}")).collect();
    assert!(
        page == wanted,
        "{PAGE} is not what the code has, or not in its order:\n{}\n`ESPSTRESS_WRITE_DOCS=1 cargo test --test all \
         constants` writes the page anew",
        [gone, new].concat().join("\n")
    );
}
