//! The device's console as it was asked for: opened before anything else, so that the host's own network has its port.

use std::fs::{File, Metadata};
use std::io::Seek as _;
use std::path::PathBuf;

use super::Failed;
use espstress_cli::{ConsoleOptions, DeviceOptions};
use espstress_console::{Elf, HeapLine, Opened, Options, Source};
use espstress_engine::ConsolePlan;
use espstress_event::Console;
use espstress_observe::file::lost;
use espstress_targets::Device;

/// What was asked for, open where it is not the device's own.
pub(super) struct Asked {
    opened: Option<Opened>,
    options: Options,
    copied: Option<Copied>,
}

/// The file of `--console-log`, kept to see at the end whether all is there.
pub(super) struct Copied {
    path: PathBuf,
    file: File,
}

/// Opens the source, and all that goes with it.
pub(super) fn open(typed: &ConsoleOptions) -> Result<Asked, Failed> {
    let heap = typed.console_heap.as_deref().map(str::parse::<HeapLine>).transpose();
    let heap = heap.map_err(|why| Failed::usage(format!("--console-heap: {why}")))?;
    let elf = typed.elf.as_deref().map(Elf::open).transpose().map_err(Failed::usage)?;
    let copied = typed.console_log.as_deref().map(|path| {
        let copy = File::create(path).and_then(|file| Ok((file.try_clone()?, file)));
        copy.map(|(copy, file)| (copy, Copied { path: path.to_owned(), file }))
            .map_err(|error| Failed::usage(format!("--console-log {}: {error}", path.display())))
    });
    let (copy, copied) = copied.transpose()?.unzip();
    let options = Options { heap, elf, copy };
    let source = typed.console.as_deref().map(str::parse::<Source>).transpose();
    let source = source.map_err(|why| Failed::usage(format!("--console: {why}")))?;
    let opened = source.map(|source| source.open(typed.baud, typed.console_reset));
    Ok(Asked { opened: opened.transpose().map_err(Failed::environment)?, options, copied })
}

impl Asked {
    /// The console to listen to: the one that was named, else that of a process that is the device.
    /// With it, the file that it is copied to.
    pub(super) fn of(
        self,
        device: &Device,
        typed: &DeviceOptions,
    ) -> Result<(Option<ConsolePlan>, Option<Copied>), Failed> {
        let Self { opened, options, copied } = self;
        let opened = match opened {
            Some(opened) => Some(opened),
            None => own(device, typed).map_err(Failed::environment)?,
        };
        Ok((opened.map(|opened| ConsolePlan { opened, options }), copied))
    }
}

impl Copied {
    /// Why the file has not all that the console said, if so. Pipes and devices can't tell.
    pub(super) fn incomplete(&self, heard: Option<&Console>) -> Option<String> {
        self.file.metadata().ok().filter(Metadata::is_file)?;
        let (said, written) =
            (heard.map_or(0, |console| console.bytes), (&self.file).stream_position().ok()?);
        let why = match lost(&self.path, &self.file, written) {
            Some(lost) => lost.to_string(),
            None if written < said => format!("{written} of {said} bytes were written"),
            None => return None,
        };
        Some(format!("--console-log {} is incomplete: {why}", self.path.display()))
    }
}

/// What the process that is the device writes, where it writes as a device does.
#[cfg(target_os = "linux")]
fn own(device: &Device, typed: &DeviceOptions) -> std::io::Result<Option<Opened>> {
    let prints = device.program.is_some() || typed.console_style.is_some();
    let Some(twin) = device.twin().filter(|_| prints) else { return Ok(None) };
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    twin.copy_console(write)?;
    Opened::of_pipe(read).map(Some)
}

#[cfg(not(target_os = "linux"))]
fn own(_: &Device, _: &DeviceOptions) -> std::io::Result<Option<Opened>> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;

    use super::*;

    /// What is said of a copy at `path` to which three bytes were written.
    fn said_of(path: &Path, bytes: u64) -> Option<String> {
        let mut copied = Copied { path: path.to_owned(), file: File::create(path).unwrap() };
        copied.file.write_all(b"one").unwrap();
        copied.incomplete(Some(&Console { bytes, ..Console::default() }))
    }

    #[test]
    fn a_copy_with_less_than_was_said_is_incomplete_and_a_device_never_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        assert_eq!(said_of(&path, 3), None);
        let short = said_of(&path, 5).unwrap();
        assert!(short.ends_with("is incomplete: 3 of 5 bytes were written"), "{short}");
        assert_eq!(said_of(Path::new("/dev/null"), 5), None);
    }
}
