//! A report as a file: its schema, reading with a clear word on what is wrong, writing all or nothing.

use std::borrow::Cow;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::tame::tame;
use super::{OLDEST_SCHEMA_VERSION, Report, SCHEMA_VERSION};

/// Why a report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not JSON.
    #[error("{name}: not a report: no JSON at line {line}, column {column}: {detail}")]
    NotJson {
        /// Which file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was wrong.
        detail: String,
    },
    /// JSON, but not a report.
    #[error("{name}: not a report of espstress: {detail}")]
    NotReport {
        /// Which file.
        name: String,
        /// What was missing.
        detail: String,
    },
    /// A report of another version of the format.
    #[error(
        "{name}: a report of schema_version {found}; this program reads schema_version {OLDEST_SCHEMA_VERSION} to {SCHEMA_VERSION}: \
         use the espstress that wrote it, or make the report again"
    )]
    Version {
        /// Which file.
        name: String,
        /// The version found.
        found: serde_json::Value,
    },
    /// A report whose verdict claims more than the rest of it shows.
    #[error("{name}: a report that contradicts itself: {what}; make it again")]
    Contradiction {
        /// Which file.
        name: String,
        /// What does.
        what: String,
    },
    /// A report of this version with a field that does not belong or does not fit.
    #[error("{name}: a report with a mistake at line {line}, column {column}: {detail}")]
    Field {
        /// Which file.
        name: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was wrong.
        detail: String,
    },
}

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {reason}; give another path to {option}", path.display())]
pub struct WriteError {
    /// The option that names it.
    pub(crate) option: &'static str,
    /// Which file.
    pub(crate) path: PathBuf,
    /// What the system said.
    pub(crate) reason: String,
}

/// The report's JSON Schema.
#[must_use]
pub fn schema() -> serde_json::Value {
    // A test holds the file against the types.
    serde_json::from_str(include_str!("schema.json")).unwrap_or_default()
}

/// The JSON Schema that the types make. The program carries it as a file: making it took half a megabyte of code.
#[cfg(feature = "schema")]
#[must_use]
pub fn schema_of_types() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Report);
    schema.insert("title".into(), "espstress report".into());
    schema.to_value()
}

/// The report as JSON text, ending in a newline. A figure that is not finite is written as null.
#[must_use]
pub fn to_json(report: &Report) -> String {
    super::json::pretty(report)
}

/// Reads a report from a file.
///
/// # Errors
/// When the file cannot be read, is no report, or is one of another version.
pub fn read(path: &Path) -> Result<Report, ReadError> {
    let text = std::fs::read_to_string(path).map_err(|source| ReadError::Io { path: path.into(), source })?;
    from_json(&path.display().to_string(), &text)
}

/// Reads a report from text; `name` is what errors call it.
///
/// # Errors
/// When the text is no report, or one of another version.
pub fn from_json(name: &str, text: &str) -> Result<Report, ReadError> {
    let name = name.to_owned();
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| ReadError::NotJson {
        name: name.clone(),
        line: e.line(),
        column: e.column(),
        detail: plain(&e),
    })?;
    let Some(found) = value.get("schema_version") else {
        return Err(ReadError::NotReport { name, detail: "it has no schema_version".into() });
    };
    if !found.as_u64().is_some_and(|v| (OLDEST_SCHEMA_VERSION..=SCHEMA_VERSION).contains(&v)) {
        return Err(ReadError::Version { name, found: found.clone() });
    }
    // From the text again, not from the value: only then does an error know its line.
    let wrong = |e: serde_json::Error| ReadError::Field {
        name: name.clone(),
        line: e.line(),
        column: e.column(),
        detail: plain(&e),
    };
    // The text as it is comes first, since its lines are those of the file.
    let mut report: Report = serde_json::from_str(text).map_err(wrong)?;
    if let Cow::Owned(tame) = tame(text) {
        report = serde_json::from_str(&tame).map_err(wrong)?;
    }
    match report.contradiction() {
        Some(what) => Err(ReadError::Contradiction { name, what }),
        None => Ok(report),
    }
}

/// A report's text, or a fleet's, without anything that a terminal would obey.
#[must_use]
pub fn without_controls(json: &str) -> Cow<'_, str> {
    tame(json)
}

/// An error's words without the position, which is told apart.
fn plain(e: &serde_json::Error) -> String {
    let text = e.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Looks before a run whether the file of this option can be written to `path`. Leaves nothing behind, and an existing file
/// as it is.
///
/// # Errors
/// When the folder does not exist or may not be written to, or `path` is a folder.
pub fn check_writable(path: &Path, option: &'static str) -> Result<(), WriteError> {
    let failed = |path, reason: String| WriteError { option, ..failed(path, reason) };
    if path.is_dir() {
        return Err(failed(path, "it is a folder".to_owned()));
    }
    if is_special(path) {
        return File::options().write(true).open(path).map(drop).map_err(|e| failed(path, e.to_string()));
    }
    tempfile::NamedTempFile::new_in(folder(path)).map(drop).map_err(|e| failed(path, of_folder(path, &e)))
}

/// Writes the report to `path`, all or nothing: a reader sees the old file or the whole new one, also after
/// a power cut.
///
/// # Errors
/// When the folder may not be written to, or is full.
pub fn write_json(report: &Report, path: &Path) -> Result<(), WriteError> {
    write_text(&to_json(report), path)
}

/// Writes `text` to `path`, all or nothing.
///
/// # Errors
/// When the folder may not be written to, or is full.
pub fn write_text(text: &str, path: &Path) -> Result<(), WriteError> {
    let write = || -> std::io::Result<()> {
        if is_special(path) {
            return File::options().write(true).open(path)?.write_all(text.as_bytes());
        }
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            // Like any other new file; the library's own default would hide the report from everyone else.
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut file = builder.tempfile_in(folder(path))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        // The new name is durable only once the folder is; a file system without that still has the file.
        if let Ok(dir) = File::open(folder(path)) {
            let _ = dir.sync_all();
        }
        Ok(())
    };
    write().map_err(|e| failed(path, e))
}

/// A device or pipe, as `/dev/stdout`: written to as it is, since it must not be replaced by a file.
fn is_special(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

/// What is wrong with the folder of a file; the name of a temporary file in it says nothing to anybody.
fn of_folder(path: &Path, error: &std::io::Error) -> String {
    let plain = error.get_ref().and_then(|inner| inner.source()).map(ToString::to_string);
    let folder = folder(path).display();
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no folder {folder}"),
        _ => format!("the folder {folder}: {}", plain.unwrap_or_else(|| error.to_string())),
    }
}

fn failed(path: &Path, reason: impl ToString) -> WriteError {
    WriteError { option: "-o", path: path.into(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Target, TargetKind};

    fn report() -> Report {
        Report::new(Target::new("127.0.0.1", TargetKind::Sim), serde_json::json!({ "name": "quick" }), 7, 0)
    }

    #[test]
    fn what_was_written_is_read_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        check_writable(&path, "-o").unwrap();
        assert!(!path.exists(), "looking leaves nothing behind");
        write_json(&report(), &path).unwrap();
        write_json(&report(), &path).unwrap();
        assert_eq!(read(&path).unwrap(), report());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_folder_that_is_not_there_is_found_before_the_run() {
        let e = check_writable(Path::new("/nonexistent/folder/run.log"), "--log").unwrap_err().to_string();
        assert_eq!(
            e,
            "cannot write /nonexistent/folder/run.log: there is no folder /nonexistent/folder; give another path to --log"
        );
    }

    #[test]
    fn a_folder_is_no_report() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_writable(dir.path(), "-o").unwrap_err().to_string().contains("it is a folder"));
    }

    #[test]
    fn a_figure_that_is_not_finite_is_written_as_null() {
        let mut r = report();
        r.host.cpu_user_s = Some(f64::NAN);
        r.host.cpu_system_s = Some(f64::INFINITY);
        let text = to_json(&r);
        assert!(text.contains("\"cpu_user_s\": null") && text.contains("\"cpu_system_s\": null"), "{text}");
        assert_eq!(from_json("x", &text).unwrap().host.cpu_user_s, None);
    }

    proptest::proptest! {
        #[test]
        fn every_finite_figure_is_read_back_to_the_last_digit(x in proptest::num::f64::NORMAL) {
            let mut r = report();
            r.host.cpu_user_s = Some(x);
            proptest::prop_assert_eq!(from_json("x", &to_json(&r)).unwrap().host.cpu_user_s, Some(x));
        }

        #[test]
        fn any_text_is_a_report_or_an_error(text in "\\PC{0,60}") {
            let _ = from_json("x", &text);
        }
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        let text = to_json(&report()).replace("\"schema_version\": 2", "\"schema_version\": 3");
        let e = from_json("new.json", &text).unwrap_err().to_string();
        assert!(e.contains("new.json") && e.contains("schema_version 3"), "{e}");
    }

    #[test]
    fn a_file_that_is_no_report_is_named_with_what_is_wrong() {
        let e = from_json("x.json", "{\"a\": 1}").unwrap_err();
        assert!(matches!(e, ReadError::NotReport { .. }), "{e}");
        let e = from_json("x.pcap", "\u{1}").unwrap_err();
        assert!(matches!(e, ReadError::NotJson { line: 1, .. }), "{e}");
        let e = from_json("x.json", "[1, 2]").unwrap_err();
        assert!(matches!(e, ReadError::NotReport { .. }), "{e}");
    }

    #[test]
    fn an_unknown_field_is_refused_with_its_line() {
        let text = to_json(&report()).replace("\"seed\": 7", "\"seed\": 7,\n  \"sede\": 8");
        let e = from_json("x.json", &text).unwrap_err();
        assert!(matches!(e, ReadError::Field { .. }), "{e}");
        assert!(e.to_string().contains("sede") && e.to_string().contains("line"), "{e}");
    }
}
