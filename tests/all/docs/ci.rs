//! What CI is told to run is there, and does what its page says.

use std::path::Path;
use std::process::{Command, Output};

use super::{espstress, read};

const TINY: &str =
    "name = 'tiny'\n[[phase]]\nkind = 'head'\nconnections = 6\ncount = 60\ntimeout_read = '2s'\n";

/// scripts/ci-benchmark against the sim, in a folder that holds `tiny.toml` and what is kept; `None` where python3 is missing.
fn benchmark(folder: &Path, arguments: &str) -> Option<Output> {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: no python3");
        return None;
    }
    std::fs::write(folder.join("tiny.toml"), TINY).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ci-benchmark");
    let output = Command::new(script)
        .args(["sim", "--scenario", "tiny.toml", "--no-probes", "--watch", "10ms"])
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env("ESPSTRESS", env!("CARGO_BIN_EXE_espstress"))
        .env("GITHUB_STEP_SUMMARY", folder.join("step.md"))
        .output()
        .unwrap();
    Some(output)
}

#[track_caller]
fn ended_with(output: &Output, status: i32) {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{err}{out}");
}

fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_benchmark_keeps_its_reports_their_medians_and_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let Some(output) = benchmark(folder.path(), "--repeat 3 --no-capture --keep kept") else { return };
    ended_with(&output, 0);
    let kept = folder.path().join("kept");
    let mut rates: Vec<f64> = (1..=3)
        .map(|n| {
            assert!(kept.join(format!("run-{n}.junit.xml")).exists());
            json(&kept.join(format!("run-{n}.json")))["workloads"][0]["attempts_per_s"].as_f64().unwrap()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let bigger = json(&kept.join("bigger.json"));
    let rate = bigger.as_array().unwrap().iter().find(|figure| figure["name"] == "head.rate").unwrap();
    assert_eq!(rate["value"].as_f64(), Some(rates[1]));
    let p99 = &json(&kept.join("bmf.json"))["head.latency.total.p99"]["latency"];
    assert!(p99["lower_value"].as_f64() <= p99["value"].as_f64(), "{p99}");
    assert!(p99["value"].as_f64() <= p99["upper_value"].as_f64(), "{p99}");
    let smaller = json(&kept.join("smaller.json"));
    assert!(smaller.as_array().unwrap().iter().any(|figure| figure["name"] == "head.failed"), "{smaller}");
    let summary = std::fs::read_to_string(kept.join("summary.md")).unwrap();
    assert!(summary.contains("tiny, 3 runs") && summary.contains("`head.rate`"), "{summary}");
    assert_eq!(std::fs::read_to_string(folder.path().join("step.md")).unwrap(), summary);
}

#[test]
fn a_benchmark_worse_than_its_baseline_is_status_one_and_says_what_is_worse() {
    let folder = tempfile::tempdir().unwrap();
    let few = "--repeat 3 --no-capture --no-gate --timeout-read 200ms --timeout-connect 200ms --baseline-if-any base";
    let Some(first) = benchmark(folder.path(), &format!("{few} --keep base")) else { return };
    ended_with(&first, 0);
    let second = benchmark(folder.path(), &format!("{few} --keep new --persona frozen")).unwrap();
    ended_with(&second, 1);
    let kept = folder.path().join("new");
    let summary = std::fs::read_to_string(kept.join("summary.md")).unwrap();
    assert!(summary.contains("| **worse** | `head.success_rate` |"), "{summary}");
    assert_eq!(json(&kept.join("compare.json"))["decision"], "worse");
    // Stored runs are not interleaved with the new ones, and the page says what that means.
    assert!(std::fs::read_to_string(kept.join("compare.txt")).unwrap().contains("one after the other"));
}

#[test]
fn a_benchmark_runs_base_and_new_in_turns_and_cant_tell_from_a_few_attempts() {
    let folder = tempfile::tempdir().unwrap();
    let base = format!("--base-program {}", env!("CARGO_BIN_EXE_espstress"));
    let Some(output) =
        benchmark(folder.path(), &format!("--repeat 2 --no-capture --no-gate --keep kept {base}"))
    else {
        return;
    };
    // 240 attempts without a failure don't show one in a hundred, and two runs no latency.
    ended_with(&output, 4);
    let kept = folder.path().join("kept");
    let mut runs: Vec<(String, &str)> = ["base-1", "run-1", "run-2", "base-2"]
        .into_iter()
        .map(|name| {
            (json(&kept.join(format!("{name}.json")))["started_at"].as_str().unwrap().to_owned(), name)
        })
        .collect();
    runs.sort();
    let order: Vec<&str> = runs.iter().map(|(_, name)| *name).collect();
    assert_eq!(order, ["base-1", "run-1", "run-2", "base-2"]);
    let summary = std::fs::read_to_string(kept.join("summary.md")).unwrap();
    assert!(summary.contains("can't tell: "), "{summary}");
    assert!(!std::fs::read_to_string(kept.join("compare.txt")).unwrap().contains("one after the other"));
}

#[test]
fn a_benchmark_whose_base_cant_be_built_takes_the_baseline_or_ends() {
    let folder = tempfile::tempdir().unwrap();
    let few = "--repeat 1 --no-capture --no-gate";
    let Some(first) = benchmark(folder.path(), &format!("{few} --keep base")) else { return };
    ended_with(&first, 0);
    let base = "--base-ref no-such-commit";
    let stored = benchmark(folder.path(), &format!("{few} {base} --baseline base --keep new")).unwrap();
    ended_with(&stored, 4);
    let message = String::from_utf8_lossy(&stored.stderr);
    assert!(message.contains("no-such-commit can't be built: comparing with"), "{message}");
    ended_with(&benchmark(folder.path(), &format!("{few} {base} --keep new")).unwrap(), 3);
}

#[test]
fn a_benchmark_refuses_a_baseline_of_other_work_and_one_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let Some(first) = benchmark(folder.path(), "--repeat 1 --no-capture --keep base") else { return };
    ended_with(&first, 0);
    let other = benchmark(folder.path(), "--repeat 1 --no-capture --keep new --baseline base -c 2").unwrap();
    ended_with(&other, 2);
    let message = String::from_utf8_lossy(&other.stderr);
    assert!(message.contains("connections 6 and 2") && message.contains("base/run-1.json"), "{message}");
    let absent = benchmark(folder.path(), "--repeat 1 --keep new --baseline nowhere").unwrap();
    ended_with(&absent, 2);
    assert!(String::from_utf8_lossy(&absent.stderr).contains("nowhere"));
}

#[test]
fn a_benchmark_ends_as_its_gates_do() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = "--repeat 2 --no-capture --keep kept --threshold";
    let Some(broken) = benchmark(folder.path(), &format!("{arguments} head.latency.total.p50<1us")) else {
        return;
    };
    ended_with(&broken, 1);
    // Nobody has looked, so nobody can tell; both runs are made all the same.
    let open = benchmark(folder.path(), &format!("{arguments} anomalies.device==0")).unwrap();
    ended_with(&open, 4);
    assert!(folder.path().join("kept/run-2.json").exists());
    let wrong = benchmark(folder.path(), &format!("{arguments} head.latency.totl.p50<1us")).unwrap();
    ended_with(&wrong, 2);
}

/// The commands of the `run:` and `script:` lines of a page's workflows, folded ones in one piece.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for block in page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let mut folded = None;
        for line in block.lines() {
            let step = line.trim_start().trim_start_matches("- ");
            let indent = line.len() - line.trim_start().len();
            if folded.is_some_and(|from| indent > from) {
                let command: &mut String = commands.last_mut().unwrap();
                *command += " ";
                *command += step;
            } else if let Some(command) = step.strip_prefix("run: ") {
                folded = (command == ">-").then_some(indent);
                commands.push(command.replace(">-", ""));
            } else if step.starts_with("scripts/") {
                commands.push(step.to_owned());
            }
        }
    }
    commands
}

#[test]
fn the_workflows_in_the_documents_run_what_is_there_with_options_that_it_has() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of_run = espstress(&["run", "--help"]);
    let mut seen = 0;
    for page in ["README.md", "docs/ci.md"] {
        for command in commands(&read(page)) {
            let mut words = command.split_whitespace();
            let Some(script) = words.find(|word| word.contains("scripts/")) else { continue };
            // A project that has this one as its submodule names the folder too.
            let path = root.join(script.strip_prefix("espstress/").unwrap_or(script));
            assert!(path.is_file(), "{page}: {script} is not there");
            let help = Command::new(&path).arg("--help").output().unwrap();
            assert!(help.status.success(), "{page}: {script} does not run");
            let help = String::from_utf8_lossy(&help.stdout);
            for option in words.filter(|word| word.starts_with("--")) {
                let known = [help.as_ref(), &of_run].iter().any(|text| {
                    let names = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
                    names.into_iter().any(|name| name == option)
                });
                assert!(known, "{page}: neither {script} nor espstress run has {option}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 4, "{seen} commands found");
}

#[test]
fn the_pages_of_the_peers_have_a_place_for_each_table() {
    for (page, names) in [
        ("docs/performance.md", &["machine", "targets", "cost", "latency", "memory"][..]),
        ("docs/what-others-see.md", &["tools", "sight", "details"]),
    ] {
        let text = read(page);
        for name in names {
            for mark in [format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->")] {
                assert_eq!(text.matches(&mark).count(), 1, "{page}: {mark}");
            }
        }
    }
}

#[test]
fn the_peers_explain_themselves() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/peers");
    for part in [&["--help"][..], &["cost", "--help"], &["sight", "--help"]] {
        let Ok(output) = Command::new(&script).args(part).output() else {
            println!("SKIPPED: no python3");
            return;
        };
        // 127: `env` found no python3.
        if output.status.code() == Some(127) {
            println!("SKIPPED: no python3");
            return;
        }
        ended_with(&output, 0);
        assert!(String::from_utf8_lossy(&output.stdout).contains("nginx") || part[0] == "sight");
    }
}

/// scripts/ci-action with a run of the sim; its output, and what it told GitHub.
fn action(folder: &Path, arguments: &str) -> (Output, String, String) {
    let (step, outputs) = (folder.join("step.md"), folder.join("outputs"));
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ci-action"))
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env("ESPSTRESS", env!("CARGO_BIN_EXE_espstress"))
        .env("GITHUB_STEP_SUMMARY", &step)
        .env("GITHUB_OUTPUT", &outputs)
        .output()
        .unwrap();
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    (output, read(&step), read(&outputs))
}

#[test]
fn the_action_keeps_its_files_writes_the_summary_and_ends_as_the_run_does() {
    let folder = tempfile::tempdir().unwrap();
    let (output, summary, outputs) =
        action(folder.path(), "head sim -n 5 --no-capture --threshold head.attempts==4");
    ended_with(&output, 1);
    assert!(summary.starts_with("## FAIL: head on "), "{summary}");
    assert_eq!(outputs, "status=1\nverdict=fail\nreport=espstress-report/report.json\n");
    for file in ["report.json", "page.txt", "summary.md", "junit.xml"] {
        assert!(folder.path().join("espstress-report").join(file).exists(), "{file}");
    }
    let fleet = tempfile::tempdir().unwrap();
    let (output, summary, outputs) = action(fleet.path(), "head -t sim -t sim -n 5 --no-capture");
    ended_with(&output, 0);
    assert!(
        summary.contains("| sim-2 | pass | 5 |") && outputs.contains("verdict=pass"),
        "{summary}{outputs}"
    );
    let nowhere = tempfile::tempdir().unwrap();
    let (output, summary, outputs) = action(nowhere.path(), "head 127.0.0.1:9 -n 5 --no-capture");
    ended_with(&output, 3);
    assert!(summary.contains("did not run") && outputs.contains("verdict=none"), "{summary}{outputs}");
}
