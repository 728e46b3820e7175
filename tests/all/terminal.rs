//! How the program behaves on a terminal and off it: colour, progress, the one line of `-q`, manual pages, catalogues.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::common::{espstress, espstress_with, failure, skipped, valid_report};

const RUN: &str = "head sim -n 20 --no-capture --no-probes --watch 10ms";

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn with(arguments: &str, environment: &[(&str, &str)]) -> Output {
    let mut command = espstress();
    command.env_remove("NO_COLOR").envs(environment.iter().copied());
    command.args(arguments.split_whitespace()).output().unwrap()
}

/// What the program writes to a terminal; `None` where there is no `script` to make one.
fn on_a_terminal(arguments: &str, environment: &[(&str, &str)]) -> Option<String> {
    on_a_terminal_of(100, arguments, environment)
}

/// The same on one with so many columns.
pub(crate) fn on_a_terminal_of(
    columns: u16,
    arguments: &str,
    environment: &[(&str, &str)],
) -> Option<String> {
    let program = env!("CARGO_BIN_EXE_espstress");
    let mut command = Command::new("script");
    command
        .args(["-qec", &format!("stty cols {columns} rows 30; {program} {arguments}"), "/dev/null"])
        .stdin(Stdio::null());
    command.env_remove("NO_COLOR").env("TERM", "xterm").envs(environment.iter().copied());
    match command.output() {
        Ok(output) => Some(text(&output.stdout)),
        Err(error) => {
            skipped("terminal", &format!("no script(1): {error}"));
            None
        }
    }
}

#[test]
fn colour_is_as_it_was_asked_for_before_or_after_the_command() {
    for (arguments, coloured) in [
        (RUN.to_owned(), false),
        (format!("{RUN} --color always"), true),
        (format!("--color=always {RUN}"), true),
        (format!("{RUN} --color never"), false),
    ] {
        let output = with(&arguments, &[]);
        assert!(output.status.success(), "{:?}", failure(&output));
        assert_eq!(text(&output.stdout).contains('\x1b'), coloured, "{arguments}");
    }
    // What was typed comes before the environment.
    assert!(text(&with(&format!("{RUN} --color always"), &[("NO_COLOR", "1")]).stdout).contains('\x1b'));
    let help = with("--color always head --help", &[]);
    assert!(text(&help.stdout).contains("\x1b["), "help as well");
    assert_eq!(failure(&with("schema --color sometimes", &[])).1, 2);
}

#[test]
fn a_terminal_has_colour_unless_it_or_its_user_wants_none() {
    let cases = [
        (vec![], "", true),
        (vec![("TERM", "dumb")], "", false),
        (vec![("NO_COLOR", "1")], "", false),
        (vec![("TERM", "dumb")], " --color always", true),
    ];
    for (environment, more, coloured) in cases {
        let Some(said) = on_a_terminal(&format!("{RUN}{more}"), &environment) else { return };
        assert!(said.contains("PASS"), "{said}");
        assert_eq!(said.contains("\x1b[1;32mPASS"), coloured, "{environment:?}{more}: {said}");
    }
}

#[test]
fn a_dumb_terminal_gets_lines_instead_of_bars() {
    let Some(said) = on_a_terminal(RUN, &[("TERM", "dumb")]) else { return };
    assert!(!said.contains('\x1b') && said.contains("\nhead: 20 attempts, p99 "), "{said}");
}

/// The p99 of the page's row for the main phase.
fn p99_of_the_page(page: &str) -> &str {
    let heading = page.lines().find(|line| line.contains(" p99 ")).unwrap();
    let end = heading.find(" p99").unwrap() + 4;
    let row = page.lines().find(|line| line.starts_with("  total ")).unwrap();
    let before = row.char_indices().nth(end).map_or(row, |(at, _)| &row[..at]);
    before.rsplit("  ").next().unwrap().trim()
}

#[test]
fn the_last_line_of_progress_agrees_with_the_page() {
    let faulty = "head sim -n 8 --persona frozen:from=0s --timeout-read 50ms --timeout-connect 50ms --no-capture --no-probes --watch 10ms";
    for arguments in ["head sim -n 400 -c 2 --no-capture --no-probes --watch 10ms", faulty] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let output = with(&format!("{arguments} -o {}", file.path().display()), &[]);
        let (page, progress) = (text(&output.stdout), text(&output.stderr));
        let report = valid_report(&std::fs::read(file.path()).unwrap());
        let last = progress.lines().rfind(|line| line.starts_with("head: ")).unwrap();
        let w = &report.workloads[0];
        assert!(last.starts_with(&format!("head: {} attempts", w.attempts)), "{last}\n{page}");
        for (failure, n) in w.failures.iter() {
            assert!(last.contains(&format!("{} {n}", failure.name())), "{last}\n{page}");
        }
        if w.succeeded > 0 {
            assert!(last.ends_with(&format!("p99 {}", p99_of_the_page(&page))), "{last}\n{page}");
        }
    }
}

#[test]
fn quiet_says_in_one_line_what_failed_and_how_often() {
    let output = with(
        "head sim -n 6 -q --persona frozen:from=0s --timeout-read 50ms --no-capture --no-probes --watch 10ms",
        &[],
    );
    let (line, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!((line.lines().count(), errors.as_str()), (1, ""), "{line}");
    assert!(line.contains(" of 6 attempts failed: ") && line.contains("read_timeout "), "{line}");
}

#[test]
fn each_command_has_a_manual_page_that_roff_reads() {
    let folder = tempfile::tempdir().unwrap();
    let output = espstress().args(["man", "-o"]).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{:?}", failure(&output));
    let help = text(&espstress_with("--help").stdout);
    let commands = help.split("Commands:\n").nth(1).unwrap().lines().take_while(|line| !line.is_empty());
    let commands: Vec<&str> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    let commands = commands.into_iter().filter(|name| *name != "help").collect::<Vec<_>>();
    assert!(commands.len() > 15, "{help}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), commands.len() + 1);
    let program = std::fs::read_to_string(folder.path().join("espstress.1")).unwrap();
    for name in &commands {
        let page = std::fs::read_to_string(folder.path().join(format!("espstress-{name}.1"))).unwrap();
        assert!(
            page.contains(&format!(".TH \"ESPSTRESS-{}\"", name.to_uppercase()))
                || page.contains(".TH ESPSTRESS")
        );
        assert!(page.contains("color"), "{name} has the flags of all commands");
        let dashed = name.replace('-', "\\-");
        assert!(program.contains(&format!("espstress\\-{dashed}(1)")), "espstress.1 does not name {name}");
    }
    assert_eq!(
        text(&espstress_with("man head").stdout),
        std::fs::read_to_string(folder.path().join("espstress-head.1")).unwrap()
    );
    let (said, status) = failure(&espstress_with("man haed"));
    assert!(status == 2 && said.contains("head"), "{said}");
    let mut pages: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    match Command::new("groff").args(["-man", "-Tascii", "-ww", "-z"]).args(&pages).output() {
        Ok(output) => {
            assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr))
        }
        Err(error) => skipped("groff", &format!("no groff: {error}")),
    }
}

#[test]
fn catalogues_are_json_whole_or_one_entry() {
    let read = |arguments: &str| -> Vec<Value> {
        serde_json::from_slice(&espstress_with(arguments).stdout).unwrap()
    };
    let ids = |entries: &[Value]| {
        entries.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let anomalies = read("anomalies --json");
    assert_eq!(ids(&anomalies), espstress_event::AnomalyId::ALL.map(|id| id.name().to_owned()));
    let findings = read("findings --json");
    assert_eq!(ids(&findings), espstress_diagnose::FindingId::ALL.map(|id| id.name().to_owned()));
    assert!(findings.iter().all(|f| ["error", "warning", "info"].contains(&f["severity"].as_str().unwrap())));
    let one = read("findings nagle_delay --json");
    assert_eq!(ids(&one), ["nagle_delay"]);
    assert!(one[0]["frameworks"]["esp_http_server"].is_string(), "{one:?}");
    let one = text(&espstress_with("anomalies abortive_close").stdout);
    assert!(one.starts_with("abortive_close\n  ") && one.lines().count() <= 4, "{one}");
    for wrong in ["anomalies abortiv_close", "findings nagle"] {
        let (said, status) = failure(&espstress_with(wrong));
        assert!(status == 2 && said.contains("lists them"), "{said}");
    }
}

#[test]
fn a_view_takes_the_terminal_and_gives_it_back_before_the_page() {
    let view = "head sim -d 1s --interval 10ms --no-capture --no-probes --watch 10ms --live --color never";
    let Some(said) = on_a_terminal(view, &[]) else { return };
    let (enter, leave) = (said.find("\x1b[?1049h"), said.rfind("\x1b[?1049l"));
    let (enter, leave) = (enter.expect("an alternate screen"), leave.expect("the first one again"));
    assert!(said[enter..leave].contains("workload") && said[enter..leave].contains("Remarks"), "{said:?}");
    let after = &said[leave..];
    assert!(
        after.contains("head: ") && after.contains(" attempts, p99 ") && after.contains("PASS"),
        "{after}"
    );
    assert!(after.contains("\x1b[?25h"), "the cursor is there again");
}

#[test]
fn without_a_terminal_a_view_is_lines() {
    let output = with(&format!("{RUN} --live"), &[]);
    let progress = text(&output.stderr);
    assert!(!progress.contains('\x1b') && progress.contains("\nhead: 20 attempts, p99 "), "{progress}");
    assert_eq!(failure(&with(&format!("{RUN} --live -q"), &[])).1, 2);
}
