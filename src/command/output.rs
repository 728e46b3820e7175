//! What a run prints at its end.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use super::live::Look;
use espstress_cli::ColourWhen;
use espstress_report::{Colour, Detail, Glyphs, Report, Style};

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// The JSON report and nothing else.
    Json,
    /// One line.
    Verdict,
    /// The page.
    Page,
    /// The page with its evidence.
    Evidence,
}

/// Prints it to standard output.
pub(super) fn show(report: &Report, show: &Show) -> io::Result<()> {
    let text = match show {
        Show::Json => espstress_report::to_json(report),
        Show::Verdict => format!("{}\n", espstress_report::verdict_line(report)),
        Show::Page => espstress_report::text::page(report, &style(Detail::Page)),
        Show::Evidence => espstress_report::text::page(report, &style(Detail::Evidence)),
    };
    print(&text)
}

/// What was typed of colour: of the whole process, as the terminal is.
static WHEN: OnceLock<ColourWhen> = OnceLock::new();

/// Sets when to colour; before anything is printed.
pub(super) fn colour(when: ColourWhen) {
    let _ = WHEN.set(when);
}

/// Whether the terminal knows no sequences: those of an editor, or a build server's.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

fn is_coloured(when: ColourWhen, terminal: bool, no_colour: bool, dumb: bool) -> bool {
    match when {
        ColourWhen::Always => true,
        ColourWhen::Never => false,
        ColourWhen::Auto => terminal && !no_colour && !dumb,
    }
}

/// How a view on standard error is to look.
pub(super) fn look() -> Look {
    Look { coloured: is_coloured_here(io::stderr().is_terminal()), blocks: has_blocks() }
}

fn is_coloured_here(terminal: bool) -> bool {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_coloured(WHEN.get().copied().unwrap_or_default(), terminal, no_colour, is_dumb())
}

/// Whether the locale has block characters.
fn has_blocks() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(|name| {
        let value = std::env::var(name).ok()?;
        (!value.is_empty()).then_some(value)
    });
    locale.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.contains("utf-8") || name.contains("utf8")
    })
}

/// How a page is to look here: colour on a terminal only and not under NO_COLOR, block characters where the
/// locale has them.
pub(super) fn style(detail: Detail) -> Style {
    let terminal = io::stdout().is_terminal();
    let colour = if is_coloured_here(terminal) { Colour::Ansi } else { Colour::Plain };
    let glyphs = if has_blocks() { Glyphs::Unicode } else { Glyphs::Ascii };
    let width = console_width().filter(|_| terminal).map_or(100, |width| width.min(120));
    Style { width, colour, glyphs, detail }
}

/// Text whose lines fit on the terminal; as it is where it goes to a file or another program, which look for lines.
pub(super) fn fitted(text: String) -> String {
    let terminal = io::stdout().is_terminal();
    if terminal { style(Detail::Page).fitted(&text) } else { text }
}

fn console_width() -> Option<usize> {
    let (_, columns) = console::Term::stdout().size_checked()?;
    Some(columns.into())
}

/// The result went nowhere: which file that was, the system doesn't say.
fn unprinted(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write to standard output: {error}"))
}

/// Prints text; a reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(unprinted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_that_cannot_be_printed_names_standard_output() {
        let error = unprinted(io::ErrorKind::StorageFull.into());
        assert!(error.to_string().starts_with("cannot write to standard output: "), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
