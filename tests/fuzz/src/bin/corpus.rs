//! Writes the corpora as libFuzzer wants them: `corpus FOLDER` makes FOLDER/TARGET/NUMBER, and FOLDER/TARGET.words.

use std::path::PathBuf;
use std::process::ExitCode;

use espstress_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: corpus FOLDER");
        return ExitCode::from(2);
    };
    match TARGETS.iter().try_for_each(|target| write(&folder, target)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &std::path::Path, target: &Target) -> std::io::Result<()> {
    let own = folder.join(target.name);
    std::fs::create_dir_all(&own)?;
    for (number, bytes) in (target.corpus)().iter().enumerate() {
        std::fs::write(own.join(number.to_string()), bytes)?;
    }
    // libFuzzer's dictionaries: a word a line, in quotes.
    let escaped = |word: &&str| {
        let bytes: String = word.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        format!("\"{bytes}\"\n")
    };
    std::fs::write(
        folder.join(format!("{}.words", target.name)),
        target.words.iter().map(escaped).collect::<String>(),
    )
}
