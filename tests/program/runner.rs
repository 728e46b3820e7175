//! Builds the C programs and runs each case in a process of its own.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use espstress_targets::network::PrivateNetwork;
use espstress_targets::twin::{Twin, TwinSpec};
use libtest_mimic::{Arguments, Failed, Trial};

use crate::{calls, ends, runs, strangers, styles};

/// What a case comes to.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// A case: what it shows, as a sentence, and how.
pub(crate) type Case = (&'static str, fn(&PrivateNetwork) -> Outcome);

const CASE_ARGUMENT: &str = "__case";
const SKIPPED: u8 = 77;

/// Where the programs are that the runner has built.
const BUILT: &str = "ESPSTRESS_TEST_PROGRAMS";

/// The case that an ordinary user runs as well.
const AS_NOBODY: &str = "an_ordinary_user_runs_a_program_too";

/// Nobody: the user and group that own nothing.
const NOBODY: u32 = 65_534;

pub(crate) fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(espstress_twin::setup::TWIN_ARGUMENT) => return espstress_twin::child_main(),
        Some(CASE_ARGUMENT) => return run_case(&arguments.next().unwrap_or_default()),
        _ => {}
    }
    let folder = match build() {
        Ok(folder) => folder,
        Err(why) => {
            println!("SKIPPED: {why}");
            return ExitCode::SUCCESS;
        }
    };
    let path = folder.path().to_owned();
    let mut trials: Vec<Trial> = inside().map(|&(name, _)| trial(name, &path, None)).collect();
    trials.push(trial(AS_NOBODY, &path, Some(NOBODY)));
    // Other people's programs take a doctor each.
    let strangers = if cfg!(feature = "long") { strangers::ALL } else { &[] };
    for &(name, test) in runs::ALL.iter().chain(strangers) {
        let path = path.clone();
        trials.push(Trial::test(name, move || test(&path)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn inside() -> impl Iterator<Item = &'static Case> {
    styles::ALL.iter().chain(calls::ALL).chain(ends::ALL)
}

fn trial(name: &'static str, built: &Path, user: Option<u32>) -> Trial {
    let built = built.to_owned();
    Trial::test(name, move || {
        let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        command.args([CASE_ARGUMENT, name]).env(BUILT, &built).current_dir(&built);
        if let Some(user) = user {
            if !nix::unistd::geteuid().is_root() {
                println!(
                    "SKIPPED: only root can become somebody else; every case has run as an ordinary user"
                );
                return Ok(());
            }
            // Under any folder that only root may read there is no way to the test for somebody else.
            let program = built.join("program");
            std::fs::copy(std::env::current_exe()?, &program)?;
            command = Command::new(program);
            command.args([CASE_ARGUMENT, name]).env(BUILT, &built).current_dir("/").uid(user).gid(user);
        }
        judge(&mut command)
    })
}

/// Compiles the C programs.
fn build() -> Result<tempfile::TempDir, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).map_err(|error| error.to_string())?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/c");
    for name in ["echo", "calls"] {
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]);
        cc.arg(folder.path().join(name)).arg(source.join(name).with_extension("c"));
        let output = cc.output().map_err(|error| format!("no cc: {error}"))?;
        assert!(output.status.success(), "{name}.c: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(folder)
}

/// A file in the folder of the programs.
pub(crate) fn built(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(BUILT).unwrap_or_default()).join(name)
}

/// A twin that runs one of the programs with these words.
pub(crate) fn twin(words: &[&str], network: &PrivateNetwork) -> Result<Twin, Box<dyn Error>> {
    start(words, TwinSpec::default(), network)
}

/// The same with other settings.
pub(crate) fn start(
    words: &[&str],
    spec: TwinSpec,
    network: &PrivateNetwork,
) -> Result<Twin, Box<dyn Error>> {
    let (first, rest) = words.split_first().ok_or("a program")?;
    let program = built(first);
    let program = if program.exists() { program.display().to_string() } else { (*first).to_owned() };
    let program = std::iter::once(program).chain(rest.iter().map(|word| (*word).to_owned())).collect();
    Ok(Twin::start(TwinSpec { program: Some(program), ..spec }, network)?)
}

fn run_case(name: &str) -> ExitCode {
    let network = match PrivateNetwork::enter() {
        Ok(network) => network,
        Err(error) => {
            println!("{error}");
            return ExitCode::from(SKIPPED);
        }
    };
    const NOBODYS: &[Case] = &[(AS_NOBODY, styles::an_ordinary_user_runs_a_program_too)];
    let Some((_, case)) = inside().chain(NOBODYS).find(|&&(known, _)| known == name) else {
        println!("no such case");
        return ExitCode::FAILURE;
    };
    match case(&network) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a case and takes its status for what it is.
fn judge(command: &mut Command) -> Result<(), Failed> {
    let output = command.output().map_err(|error| Failed::from(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    match output.status.code() {
        Some(0) => {
            if !said.is_empty() {
                println!("{said}");
            }
            Ok(())
        }
        Some(code) if code == i32::from(SKIPPED) => skip(said),
        _ => Err(Failed::from(format!("{}: {said}", output.status))),
    }
}

/// Passes with a word that a program of the system's is missing.
pub(crate) fn skip_program(name: &str) -> Result<(), Failed> {
    let required =
        std::env::var("ESPSTRESS_REQUIRE").is_ok_and(|list| list.split(',').any(|what| what == "strangers"));
    if required {
        return Err(Failed::from(format!("required, but there is no {name} here")));
    }
    println!("SKIPPED: no {name}");
    Ok(())
}

/// Passes with a word why, or fails where twins are required.
pub(crate) fn skip(why: &str) -> Result<(), Failed> {
    let required =
        std::env::var("ESPSTRESS_REQUIRE").is_ok_and(|list| list.split(',').any(|what| what == "twin"));
    if required {
        return Err(Failed::from(format!("required, but: {why}")));
    }
    println!("SKIPPED: {why}");
    Ok(())
}
