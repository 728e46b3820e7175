//! What a run prints at its end.

use std::io::{self, Write};

use crate::report::{self, Report};

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
        Show::Json => report::to_json(report),
        Show::Verdict => format!("{}\n", report.verdict.name()),
        Show::Page | Show::Evidence => report::to_json(report),
    };
    print(&text)
}

/// Prints text; a reader that has gone away (`| head`) is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
