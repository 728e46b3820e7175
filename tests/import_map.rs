//! Rooms import each other only as the map in lib's documentation says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Whatever lies downstream of each room: arrows of the map followed to their ends.
fn downstream() -> BTreeMap<String, BTreeSet<String>> {
    let mut map = map();
    loop {
        let before = map.clone();
        for rooms in map.values_mut() {
            let further: Vec<String> =
                rooms.iter().filter_map(|room| before.get(room)).flatten().cloned().collect();
            rooms.extend(further);
        }
        if map == before {
            return map;
        }
    }
}

/// The map, read from where it is documented.
fn map() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string("src/lib.rs").unwrap();
    let mut map: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines() {
        let Some((from, to)) = line.strip_prefix("//! ").and_then(|line| line.split_once(" -> ")) else {
            continue;
        };
        let words = |s: &str| -> Vec<String> {
            s.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|w| !w.is_empty())
                .map(str::to_owned)
                .collect()
        };
        // "main -> lib -> {...}" is a chain; only its last two links matter to rooms.
        let from = from.rsplit(" -> ").next().unwrap();
        let (from, to) = to.split_once(" -> ").map_or((from, to), |(middle, last)| (middle, last));
        for room in words(from) {
            map.entry(room).or_default().extend(words(to));
        }
    }
    map
}

fn rust_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The names of `{a, b::{c, d}, e}` without what is nested, from behind its first brace.
fn top_level_names(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(list[start..at].trim());
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// Rooms that a file's code names by `crate::ROOM`.
fn imports(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => top_level_names(list),
            None => vec![rest],
        };
        for name in names {
            let room: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            rooms.insert(room);
        }
    }
    rooms
}

#[test]
fn no_room_imports_against_the_map() {
    let map = downstream();
    let leaves = ["event", "clock"];
    assert!(map.len() > 5 && map["observe"].contains("wire"), "the map was read: {map:?}");
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir("src").unwrap().flatten() {
        let room = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
        if matches!(room.as_str(), "lib" | "main" | "command") {
            continue;
        }
        let mut files = Vec::new();
        if entry.path().is_dir() {
            rust_files(&entry.path(), &mut files);
        } else {
            files.push(entry.path());
        }
        let none = BTreeSet::new();
        let allowed = map.get(&room).unwrap_or(&none);
        for file in files {
            for import in imports(&std::fs::read_to_string(&file).unwrap()) {
                let fine = import == room
                    || leaves.contains(&import.as_str()) && !leaves.contains(&room.as_str())
                    || allowed.contains(&import);
                if !fine {
                    wrong.push(format!("{}: crate::{import}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports against the map:\n{}", wrong.join("\n"));
}

#[test]
fn the_check_sees_a_wrong_import() {
    assert_eq!(imports("use crate::report::Report;\n// crate::stats\n"), BTreeSet::from(["report".into()]));
    let nested = "use crate::{\n    event::{A, B},\n    stats,\n};";
    assert_eq!(imports(nested), BTreeSet::from(["event".into(), "stats".into()]));
}
