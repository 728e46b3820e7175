//! The documents say what the program says: each name has its row, each named file is there.

mod ci;
mod constants;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn espstress(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_espstress")).args(arguments).output().unwrap();
    assert!(output.status.success(), "espstress {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What stands in backticks in the first cell of each row of the tables.
fn first_cells(markdown: &str) -> BTreeSet<&str> {
    let rows = markdown.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

/// All that stands in backticks.
fn quoted(markdown: &str) -> BTreeSet<&str> {
    markdown.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// The long flags that a command's help names.
fn flags(help: &str, before: &str) -> BTreeSet<String> {
    let workload = help.split("\nWorkload:\n").nth(1).unwrap().split(before).next().unwrap();
    let flag = |line: &str| {
        let line = line.trim_start();
        let from = line.starts_with('-').then(|| line.find("--"))??;
        let name = line[from + 2..].split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()?;
        Some(name.replace('-', "_"))
    };
    workload.lines().filter_map(flag).collect()
}

#[test]
fn every_anomaly_and_no_other_has_a_row_in_its_page() {
    let told = espstress(&["anomalies"]);
    let known: BTreeSet<&str> = told
        .split("\n\n")
        .filter_map(|block| block.trim_start().lines().next())
        .filter(|line| line.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
        .collect();
    assert!(known.len() > 15, "{known:?}");
    assert_eq!(first_cells(&read("docs/anomalies.md")), known);
}

#[test]
fn every_key_of_a_workload_is_in_the_page_of_scenarios() {
    let page = read("docs/scenarios.md");
    for kind in ["head", "rw", "outage", "half-open", "mqtt"] {
        let section =
            page.split(&format!("\n## `{kind}`")).nth(1).unwrap_or_else(|| panic!("no section {kind}"));
        let section = section.split("\n## ").next().unwrap();
        let keys = flags(&espstress(&[kind, "--help"]), "\nRun:\n");
        assert!(keys.len() > 5, "{kind}: {keys:?}");
        let explained = quoted(section);
        // These share their explanation with `head`.
        let shared = "three time-outs as with `head`";
        let missing: Vec<_> = keys
            .iter()
            .filter(|key| !explained.contains(key.as_str()))
            .filter(|key| !(key.starts_with("timeout_") && section.contains(shared)))
            .collect();
        assert!(missing.is_empty(), "{kind}: {missing:?} are not explained in docs/scenarios.md");
    }
}

#[test]
fn every_built_in_scenario_has_its_row_and_its_figures_or_a_word_why_not() {
    let scenarios = read("docs/scenarios.md");
    let figures = read("docs/reference-tests.md");
    for scenario in espstress_scenario::BUILT_IN {
        let name = scenario.name;
        assert!(first_cells(&scenarios).contains(name), "docs/scenarios.md has no row for {name}");
        assert!(figures.contains(&format!("`{name}`")), "docs/reference-tests.md does not name {name}");
    }
}

#[test]
fn every_format_of_a_report_has_its_command_in_the_page_of_reports() {
    let page = read("docs/report.md");
    let help = espstress(&["report", "--help"]);
    let formats: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("- "))
        .filter_map(|line| line.split(':').next())
        .collect();
    assert!(formats.len() > 5, "{formats:?}");
    for format in formats.into_iter().filter(|format| *format != "text") {
        let command = format!("--format {format}");
        assert!(quoted(&page).iter().any(|q| q.contains(&command)), "docs/report.md has no `{command}`");
    }
}

#[test]
fn every_top_level_field_of_the_report_is_in_its_page() {
    let schema: serde_json::Value = serde_json::from_str(&espstress(&["schema"])).unwrap();
    let page = read("docs/report.md");
    let explained = quoted(&page);
    for field in schema["properties"].as_object().unwrap().keys() {
        assert!(explained.contains(field.as_str()), "docs/report.md does not explain `{field}`");
    }
}

#[test]
fn the_page_of_targets_lists_every_persona() {
    let page = read("docs/targets.md");
    for kind in espstress_device::persona::Kind::ALL {
        assert!(first_cells(&page).contains(kind.name()), "docs/targets.md has no row for {}", kind.name());
    }
}

#[test]
fn the_tour_says_which_crates_each_crate_uses() {
    let tour = read("docs/tour.md");
    let map = tour.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let told: BTreeMap<&str, BTreeSet<String>> = map
        .lines()
        .map(|line| {
            let mut names = line.split_whitespace();
            (names.next().unwrap(), names.map(str::to_owned).collect())
        })
        .collect();
    let mut folders = BTreeSet::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap().flatten() {
        let Ok(manifest) = std::fs::read_to_string(entry.path().join("Cargo.toml")) else { continue };
        let name = entry.file_name().into_string().unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let linux = manifest.get("target").and_then(|t| t.as_table()?.values().next()?.get("dependencies"));
        let uses: BTreeSet<String> = [manifest.get("dependencies"), linux]
            .into_iter()
            .flatten()
            .flat_map(|dependencies| dependencies.as_table().unwrap().keys())
            .filter_map(|dependency| dependency.strip_prefix("espstress-").map(str::to_owned))
            .collect();
        assert_eq!(told.get(name.as_str()), Some(&uses), "docs/tour.md on {name}");
        folders.insert(name);
    }
    assert_eq!(folders.len(), told.len(), "docs/tour.md names a crate that isn't there");
}

#[test]
fn links_between_the_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md"].iter().map(|name| root.join(name)).collect();
    pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    let mut broken = Vec::new();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if !link.contains("://") && !file.is_empty() && !page.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
