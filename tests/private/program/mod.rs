//! Programs that nobody adapted, on the device's stack: small C programs of every style, each in a private network of
//! its own, and servers and clients that others wrote.
//!
//! Where no C compiler can be had, each says so.

mod calls;
mod client;
mod ends;
mod runs;
mod strangers;
mod styles;

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use espstress_targets::network::PrivateNetwork;
use espstress_targets::twin::{Twin, TwinSpec};
use libtest_mimic::{Failed, Trial};

use crate::runner::{Case, Outcome, case_command, judge, skip};

/// Where the programs are that the runner has compiled.
const COMPILED: &str = "ESPSTRESS_TEST_PROGRAMS";

/// The case that an ordinary user runs as well.
const AS_NOBODY: Case = ("an_ordinary_user_runs_a_program_too", styles::an_ordinary_user_runs_a_program_too);

/// Nobody: the user and group that own nothing.
const NOBODY: u32 = 65_534;

/// The C programs, compiled, until this is dropped; or why there are none.
pub(crate) struct Programs(Result<tempfile::TempDir, String>);

impl Programs {
    pub(crate) fn compile() -> Self {
        Self(compile())
    }

    /// A test that gets their folder.
    fn trial(&self, name: &str, test: impl FnOnce(&Path) -> Result<(), Failed> + Send + 'static) -> Trial {
        let folder = self.0.as_ref().map(|folder| folder.path().to_owned()).map_err(String::clone);
        Trial::test(whole(name), move || match folder {
            Ok(folder) => test(&folder),
            Err(why) => skip("cc", &why),
        })
    }
}

fn compile() -> Result<tempfile::TempDir, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let open = PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).map_err(|error| error.to_string())?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/private/program/c");
    for name in ["echo", "calls"] {
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]);
        cc.arg(folder.path().join(name)).arg(source.join(name).with_extension("c"));
        let output = cc.output().map_err(|error| format!("no cc: {error}"))?;
        assert!(output.status.success(), "{name}.c: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(folder)
}

pub(crate) fn trials(programs: &Programs) -> Vec<Trial> {
    let inside = cases().map(|&(name, _)| {
        programs.trial(name, move |folder| {
            judge(case_command(&whole(name))?.env(COMPILED, folder).current_dir(folder))
        })
    });
    // Other people's programs take seconds each.
    let strangers = if cfg!(feature = "long") { strangers::ALL } else { &[] };
    let runs = runs::ALL.iter().chain(strangers).map(|&(name, test)| programs.trial(name, test));
    runs.chain(inside).chain([programs.trial(AS_NOBODY.0, as_nobody)]).collect()
}

/// The cases that run in a private network, by their whole names.
pub(crate) fn inside() -> impl Iterator<Item = (String, fn(&PrivateNetwork) -> Outcome)> {
    cases().chain([&AS_NOBODY]).map(|&(name, case)| (whole(name), case))
}

fn cases() -> impl Iterator<Item = &'static Case> {
    ends::ALL.iter().chain(styles::ALL).chain(calls::ALL)
}

fn whole(name: &str) -> String {
    format!("program::{name}")
}

fn as_nobody(folder: &Path) -> Result<(), Failed> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: only root can become somebody else; every case has run as an ordinary user");
        return Ok(());
    }
    // Under any folder that only root may read there is no way to the test for somebody else.
    let this = folder.join("this");
    std::fs::copy(std::env::current_exe()?, &this)?;
    let case = case_command(&whole(AS_NOBODY.0))?;
    let mut command = Command::new(this);
    command.args(case.get_args()).env(COMPILED, folder).current_dir("/").uid(NOBODY).gid(NOBODY);
    judge(&mut command)
}

/// A file in the folder of the programs.
fn built(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(COMPILED).unwrap_or_default()).join(name)
}

/// A twin that runs one of the programs with these words.
fn twin(words: &[&str], network: &PrivateNetwork) -> Result<Twin, Box<dyn Error>> {
    start(words, TwinSpec::default(), network)
}

/// The same with other settings.
fn start(words: &[&str], spec: TwinSpec, network: &PrivateNetwork) -> Result<Twin, Box<dyn Error>> {
    let (first, rest) = words.split_first().ok_or("a program")?;
    let program = built(first);
    let program = if program.exists() { program.display().to_string() } else { (*first).to_owned() };
    let program = std::iter::once(program).chain(rest.iter().map(|word| (*word).to_owned())).collect();
    Ok(Twin::start(TwinSpec { program: Some(program), ..spec }, network)?)
}
