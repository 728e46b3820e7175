//! What others did to a file while it was written: whoever asked for it has to know that it isn't where it should be.

use std::fs::{File, Metadata};
use std::path::Path;

/// Why a file that was written all the while isn't whole where it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nothing has its name any more.
    Removed,
    /// Another file has its name.
    Replaced,
    /// It is shorter than what was written.
    Truncated,
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Removed => "something removed or renamed it during the run",
            Self::Replaced => "something replaced it with another file during the run",
            Self::Truncated => {
                "something truncated it during the run, as logrotate does with copytruncate; what was in it is gone"
            }
        })
    }
}

/// What became of `file`, which was opened at `path` and of which `written` bytes should be there; `None` where it is whole,
/// and of pipes and devices.
#[must_use]
pub fn lost(path: &Path, file: &File, written: u64) -> Option<Lost> {
    let own = file.metadata().ok().filter(Metadata::is_file)?;
    let Ok(named) = std::fs::metadata(path) else { return Some(Lost::Removed) };
    if !is_same(&own, &named) {
        return Some(Lost::Replaced);
    }
    (own.len() < written).then_some(Lost::Truncated)
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    a.created().ok() == b.created().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_that_is_removed_renamed_replaced_or_truncated_is_lost_and_one_that_grew_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = File::options().create(true).append(true).open(&path).unwrap();
        file.write_all(b"12345").unwrap();
        assert_eq!(lost(&path, &file, 5), None);
        File::options().append(true).open(&path).unwrap().write_all(b"6").unwrap();
        assert_eq!(lost(&path, &file, 5), None);
        file.set_len(0).unwrap();
        assert_eq!(lost(&path, &file, 5), Some(Lost::Truncated));
        std::fs::rename(&path, dir.path().join("file.1")).unwrap();
        assert_eq!(lost(&path, &file, 0), Some(Lost::Removed));
        std::fs::write(&path, b"another").unwrap();
        assert_eq!(lost(&path, &file, 0), Some(Lost::Replaced));
    }

    #[test]
    fn a_loss_says_in_words_what_was_done_to_the_file() {
        for (lost, word) in
            [(Lost::Removed, "removed"), (Lost::Replaced, "replaced"), (Lost::Truncated, "truncated")]
        {
            assert!(lost.to_string().contains(word), "{lost}");
        }
    }

    #[test]
    fn a_device_is_never_lost() {
        let path = Path::new("/dev/null");
        if let Ok(null) = File::options().write(true).open(path) {
            assert_eq!(lost(path, &null, 1_000), None);
        }
    }
}
