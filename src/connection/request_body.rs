//! The body of a request: so many bytes, or a file's.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use espstress_clock::{Size, UnitError};

/// What a request carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Given", into = "String")]
pub enum RequestBody {
    /// So many bytes of text.
    Size(Size),
    /// What is in a file.
    File(PathBuf),
}

/// Why there is no body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than a small device takes, and than this program keeps in memory.
    #[error("a request's body has at most 64MiB")]
    TooLong,
    /// The file cannot be read.
    #[error("{}: {error}", file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl RequestBody {
    /// Longest body, bytes.
    const LONGEST: u64 = 64 << 20;

    /// Its bytes.
    ///
    /// # Errors
    /// `BodyError`.
    pub fn bytes(&self) -> Result<Vec<u8>, BodyError> {
        let bytes = match self {
            Self::Size(Size(n)) if *n > Self::LONGEST => return Err(BodyError::TooLong),
            // Text that shows its place, so that a capture can be read.
            Self::Size(Size(n)) => (b'a'..=b'z').cycle().take(*n as usize).collect(),
            Self::File(file) => {
                std::fs::read(file).map_err(|error| BodyError::File { file: file.clone(), error })?
            }
        };
        if bytes.len() as u64 > Self::LONGEST { Err(BodyError::TooLong) } else { Ok(bytes) }
    }
}

impl FromStr for RequestBody {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        match text.strip_prefix('@') {
            Some(file) => Ok(Self::File(file.into())),
            None => Ok(Self::Size(text.parse()?)),
        }
    }
}

impl fmt::Display for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => size.fmt(f),
            Self::File(file) => write!(f, "@{}", file.display()),
        }
    }
}

/// As scenario files may have it: bytes are a number there.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Number(u64),
    Text(String),
}

impl TryFrom<Given> for RequestBody {
    type Error = UnitError;

    fn try_from(given: Given) -> Result<Self, UnitError> {
        match given {
            Given::Number(n) => Ok(Self::Size(Size(n))),
            Given::Text(text) => text.parse(),
        }
    }
}

impl From<RequestBody> for String {
    fn from(body: RequestBody) -> Self {
        body.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_a_size_or_a_file() {
        let body: RequestBody = "2KiB".parse().unwrap();
        assert_eq!((body.to_string(), body.bytes().unwrap().len()), ("2KiB".into(), 2_048));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"led\":1}").unwrap();
        let body: RequestBody = format!("@{}", file.path().display()).parse().unwrap();
        assert_eq!(body.bytes().unwrap(), b"{\"led\":1}");
        assert!("no size".parse::<RequestBody>().is_err());
        assert!("1GiB".parse::<RequestBody>().unwrap().bytes().is_err());
        assert!("@/no/such/file".parse::<RequestBody>().unwrap().bytes().is_err());
    }
}
