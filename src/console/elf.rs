//! Addresses of a backtrace to functions and lines, out of the firmware's ELF file.

use std::path::{Path, PathBuf};

use espstress_event::Frame;

/// A firmware's ELF file with its debugging information.
pub struct Elf {
    loader: addr2line::Loader,
}

/// Why a file is no such file.
#[derive(Debug, thiserror::Error)]
#[error("--elf {}: {reason}; give the .elf file that the build wrote beside the .bin", path.display())]
pub struct ElfError {
    path: PathBuf,
    reason: String,
}

impl std::fmt::Debug for Elf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Elf")
    }
}

impl Elf {
    /// Opens the file.
    ///
    /// # Errors
    /// [`ElfError`] when it cannot be read or is no ELF file.
    pub fn open(path: &Path) -> Result<Self, ElfError> {
        let failed = |reason: String| ElfError { path: path.to_owned(), reason };
        let loader = addr2line::Loader::new(path).map_err(|error| failed(error.to_string()))?;
        Ok(Self { loader })
    }

    /// Fills in what the file knows of the addresses.
    pub(crate) fn resolve(&self, frames: &mut [Frame]) {
        frames.iter_mut().for_each(|frame| frame.place = self.place(frame.address));
    }

    /// `function at file:line` of the innermost function at an address.
    fn place(&self, address: u32) -> Option<String> {
        let address = u64::from(address);
        let symbol = || self.loader.find_symbol(address).map(str::to_owned);
        let mut frames = self.loader.find_frames(address).ok()?;
        let Ok(Some(frame)) = frames.next() else { return symbol() };
        let name = frame.function.as_ref().and_then(|f| f.demangle().ok()).map(|name| name.into_owned());
        let name = name.or_else(symbol);
        let place = frame.location.and_then(|location| {
            let file = tail(location.file?);
            Some(location.line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}")))
        });
        match (name, place) {
            (Some(name), Some(place)) => Some(format!("{name} at {place}")),
            (name, place) => name.or(place),
        }
    }
}

/// The last two parts of a path: who builds where is nobody's business.
fn tail(path: &str) -> &str {
    path.rmatch_indices(['/', '\\']).nth(1).map_or(path, |(at, _)| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_test_itself_is_resolved() {
        // Its own file has debugging information, and addresses that a small device has too.
        let elf = Elf::open(&std::env::current_exe().unwrap()).unwrap();
        let found =
            (0x1000..0x0100_0000).step_by(0x4000).filter_map(|at| elf.place(at)).find(|p| p.contains(".rs:"));
        assert!(found.is_some_and(|place| place.contains(" at ")), "no function with a line");
    }

    #[test]
    fn what_is_no_elf_file_is_refused_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.elf");
        std::fs::write(&path, "no").unwrap();
        let error = Elf::open(&path).unwrap_err().to_string();
        assert!(error.contains("app.elf"), "{error}");
    }

    #[test]
    fn of_a_path_its_last_two_parts_are_told() {
        assert_eq!((tail("/home/me/app/main/server.c"), tail("server.c")), ("main/server.c", "server.c"));
    }
}
