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

/// Writes the manual page: the program's, then each command's.
///
/// # Errors
/// Those of the writer.
pub fn man_page(command: &Command, to: &mut dyn io::Write) -> io::Result<()> {
    clap_mangen::Man::new(command.clone()).render(to)?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let man = clap_mangen::Man::new(sub.clone().display_name(format!("espstress {}", sub.get_name())));
        man.render_name_section(to)?;
        man.render_synopsis_section(to)?;
        man.render_options_section(to)?;
        man.render_extra_section(to)?;
    }
    Ok(())
}
