//! What the program tells of its own workings (`tracing`): to standard error, or to the file of `--trace`.
//!
//! `RUST_LOG` says what is told. Without it these are warnings and errors, and with `--trace` everything above `trace`:
//! whoever asks for a file wants to see something in it.

use std::fs::File;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub(super) enum TraceError {
    /// The filter has a mistake.
    #[error("RUST_LOG={text}: {source}; write it like `info` or `espstress_targets=debug,warn`")]
    Filter { text: String, source: tracing_subscriber::filter::ParseError },
    /// The file can't be written.
    #[error("cannot write the trace {path}: {source}; choose another path with --trace")]
    File { path: String, source: std::io::Error },
}

/// Begins to write what is told from now on.
///
/// # Errors
/// [`TraceError`].
pub(super) fn begin(path: Option<&Path>) -> Result<(), TraceError> {
    let wanted = std::env::var("RUST_LOG").ok();
    let usual = if path.is_some() { LevelFilter::DEBUG } else { LevelFilter::WARN };
    let filter = filter(wanted.as_deref(), usual)?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_ansi(false);
    let installed = match path {
        None => registry.with(lines.without_time().with_writer(std::io::stderr)).try_init(),
        Some(path) => {
            let file = File::create(path)
                .map_err(|source| TraceError::File { path: path.display().to_string(), source })?;
            registry.with(lines.with_writer(Mutex::new(file))).try_init()
        }
    };
    // Refused only where there is one already.
    let _ = installed;
    Ok(())
}

fn filter(wanted: Option<&str>, usual: LevelFilter) -> Result<Targets, TraceError> {
    let Some(text) = wanted.filter(|text| !text.is_empty()) else {
        return Ok(Targets::new().with_default(usual));
    };
    text.parse().map_err(|source| TraceError::Filter { text: text.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_is_told_and_a_mistake_in_it_is_named() {
        let usual = filter(None, LevelFilter::WARN).unwrap();
        assert_eq!(usual.default_level(), Some(LevelFilter::WARN));
        assert_eq!(filter(Some(""), LevelFilter::WARN).unwrap(), usual);
        let some = filter(Some("espstress_targets=debug"), LevelFilter::WARN).unwrap();
        assert_eq!(some.to_string(), "espstress_targets=debug");
        let error = filter(Some("espstress=loud"), LevelFilter::WARN).unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG=espstress=loud: "), "{error}");
    }
}
