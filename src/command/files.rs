//! Commands on reports that exist.

use super::{Exit, Failed, output};
use crate::cli::{CompareArgs, ReportArgs};
use crate::report;

/// `espstress report`.
pub(super) fn report(args: &ReportArgs) -> Result<Exit, Failed> {
    let report = report::read(&args.file).map_err(Failed::usage)?;
    let text = report::to_json(&report);
    match &args.output {
        Some(path) => report::write_text(&text, path).map_err(Failed::environment)?,
        None => output::print(&text).map_err(Failed::environment)?,
    }
    Ok(Exit::Done)
}

/// `espstress compare`.
pub(super) fn compare(_: &CompareArgs) -> Result<Exit, Failed> {
    Ok(Exit::Done)
}
