//! Files for shells: completions and the manual page, from the same definitions as the parser.

use std::io;

use clap::{Command, ValueEnum};

/// A shell that completions can be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    PowerShell,
    Zsh,
}

/// Writes a shell's completion file.
pub fn completions(shell: Shell, command: &mut Command, to: &mut dyn io::Write) {
    use clap_complete::aot::{Shell as Target, generate};
    let target = match shell {
        Shell::Bash => Target::Bash,
        Shell::Elvish => Target::Elvish,
        Shell::Fish => Target::Fish,
        Shell::PowerShell => Target::PowerShell,
        Shell::Zsh => Target::Zsh,
    };
    generate(target, command, "espstress", to);
}

/// A manual page.
#[derive(Clone, Debug)]
pub struct ManPage {
    /// The command that it is about; `None` for the program's own.
    pub command: Option<String>,
    /// Its file's name, as `espstress-head.1`.
    pub file: String,
    /// What is in it, as roff.
    pub text: Vec<u8>,
}

/// Every manual page: the program's, then each command's.
///
/// # Errors
/// Those of memory that is written to: none.
pub fn man_pages(mut command: Command) -> io::Result<Vec<ManPage>> {
    // Global flags and versions are handed down.
    command.build();
    let mut pages = vec![page(None, command.clone())?];
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        pages.push(page(Some(sub.get_name().to_owned()), sub.clone())?);
    }
    Ok(pages)
}

fn page(name: Option<String>, command: Command) -> io::Result<ManPage> {
    let title = name.as_ref().map_or_else(|| "espstress".to_owned(), |name| format!("espstress-{name}"));
    // The name by which the program's page refers to it.
    let command = command.display_name(title.clone());
    let man = clap_mangen::Man::new(command).title(title.to_uppercase());
    let mut text = Vec::new();
    man.render(&mut text)?;
    Ok(ManPage { command: name, file: format!("{title}.1"), text })
}
