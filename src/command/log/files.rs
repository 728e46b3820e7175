//! The files of a log: appended to, rotated, and locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use espstress_observe::file::Lost;

/// How large a log may grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes in one file, about.
    pub(super) bytes: u64,
    /// Files: the one that is written, and the older ones.
    pub(super) files: u32,
}

/// A quarter of a gigabyte: a day and a half of three workloads second by second; sums are those of the whole run.
pub(super) const LIMITS: Limits = Limits { bytes: 64 << 20, files: 4 };

/// Where the next line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    SameFile,
    NewFile,
}

/// The files of a log: the one that is written, and older ones with a number.
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) written: u64,
    limits: Limits,
    /// What must come before the next line: a line feed after one that was cut off.
    tail: Tail,
    kind: Kind,
}

/// How the file ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Whole,
    Torn,
}

/// Whether it can be renamed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    /// A device or a pipe.
    Special,
}

impl Files {
    pub(super) fn open(path: &Path, limits: Limits) -> io::Result<Self> {
        let special = std::fs::metadata(path).is_ok_and(|m| !m.is_file());
        if special {
            let file = OpenOptions::new().append(true).open(path)?;
            let (tail, kind) = (Tail::Whole, Kind::Special);
            return Ok(Self { path: path.to_owned(), file, written: 0, limits, tail, kind });
        }
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        lock(&file)?;
        let written = file.metadata()?.len();
        let mut tail = Tail::Whole;
        if written > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                tail = Tail::Torn;
            }
        }
        Ok(Self { path: path.to_owned(), file, written, limits, tail, kind: Kind::File })
    }

    /// Begins a new file when `bytes` more would be too many for this one.
    pub(super) fn make_room(&mut self, bytes: u64) -> io::Result<Room> {
        let fits = self.written == 0 || self.written + bytes <= self.limits.bytes;
        if fits || self.kind == Kind::Special {
            return Ok(Room::SameFile);
        }
        self.sync();
        for n in (0..self.limits.files.saturating_sub(1)).rev() {
            match std::fs::rename(self.older(n), self.older(n + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        lock(&file)?;
        unlock(&self.file);
        self.file = file;
        self.written = self.file.metadata()?.len();
        self.tail = Tail::Whole;
        Ok(Room::NewFile)
    }

    /// What others did to the file.
    pub(super) fn lost(&self) -> Option<Lost> {
        espstress_observe::file::lost(&self.path, &self.file, self.written)
    }

    /// Goes on from what others left of the file.
    pub(super) fn take_length(&mut self) {
        self.written = self.file.metadata().map_or(self.written, |file| file.len());
        self.tail = Tail::Whole;
    }

    /// The file of `n` files ago.
    fn older(&self, n: u32) -> PathBuf {
        if n == 0 {
            return self.path.clone();
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{n}"));
        name.into()
    }

    /// Hands whole lines to the kernel in one call.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.tail == Tail::Torn {
            self.put(b"\n")?;
            self.tail = Tail::Whole;
        }
        let before = self.written;
        let result = self.put(lines);
        if result.is_err() && self.written > before {
            self.tail = Tail::Torn;
        }
        result
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // One call takes all, unless the disk fills up in the middle of it.
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.written += n as u64;
                    bytes = &bytes[n..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What was written lasts through a power cut; a file that cannot do that is written all the same.
    pub(super) fn sync(&self) {
        let _ = self.file.sync_data();
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

/// Two runs never write one log: their lines would be those of no run. The lock ends with the process, also after a kill.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::ResourceBusy, "another run is writing it"))
        }
        // A file system without locks has the log all the same.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

/// A process that starts another has, for a moment, two of each of its files. Closing one of them would leave the lock with
/// the other.
fn unlock(file: &File) {
    let _ = file.unlock();
}

#[cfg(test)]
mod tests {
    use super::{Files, LIMITS};

    #[test]
    fn a_log_that_was_closed_is_free_also_while_a_process_that_is_being_started_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let files = Files::open(&path, LIMITS).unwrap();
        // What a fork does to it.
        let of_a_child = files.file.try_clone().unwrap();
        assert!(Files::open(&path, LIMITS).is_err());
        drop(files);
        assert!(Files::open(&path, LIMITS).is_ok());
        drop(of_a_child);
    }
}
