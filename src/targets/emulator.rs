//! An emulator for a firmware image: which chip the image is for, which program emulates it, how that is started.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A chip of Espressif's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chip {
    Esp32,
    Esp32S2,
    Esp32C3,
    Esp32S3,
    Esp32C2,
    Esp32C6,
    Esp32H2,
    Esp32P4,
    Esp32C5,
}

impl Chip {
    /// The chip with this number in an image's header (`esp_chip_id_t`).
    const fn of(id: u16) -> Option<Self> {
        Some(match id {
            0 => Self::Esp32,
            2 => Self::Esp32S2,
            5 => Self::Esp32C3,
            9 => Self::Esp32S3,
            12 => Self::Esp32C2,
            13 => Self::Esp32C6,
            16 => Self::Esp32H2,
            18 => Self::Esp32P4,
            23 => Self::Esp32C5,
            _ => return None,
        })
    }

    /// The name, as emulators and esptool write it.
    const fn name(self) -> &'static str {
        match self {
            Self::Esp32 => "esp32",
            Self::Esp32S2 => "esp32s2",
            Self::Esp32C3 => "esp32c3",
            Self::Esp32S3 => "esp32s3",
            Self::Esp32C2 => "esp32c2",
            Self::Esp32C6 => "esp32c6",
            Self::Esp32H2 => "esp32h2",
            Self::Esp32P4 => "esp32p4",
            Self::Esp32C5 => "esp32c5",
        }
    }

    /// Espressif's QEMU for it.
    const fn qemu(self) -> Option<&'static str> {
        match self {
            Self::Esp32 | Self::Esp32S3 => Some("qemu-system-xtensa"),
            Self::Esp32C3 => Some("qemu-system-riscv32"),
            _ => None,
        }
    }

    /// Whether esp-emu has it with a network.
    const fn in_esp_emu(self) -> bool {
        matches!(self, Self::Esp32C3 | Self::Esp32C5 | Self::Esp32C6 | Self::Esp32S3 | Self::Esp32P4)
    }

    /// Where the bootloader is in its flash.
    const fn bootloader(self) -> u64 {
        match self {
            Self::Esp32 | Self::Esp32S2 => 0x1000,
            Self::Esp32C5 | Self::Esp32P4 => 0x2000,
            _ => 0,
        }
    }
}

/// Where a merged image may have a bootloader.
const BOOTLOADERS: [u64; 3] = [0, 0x1000, 0x2000];

/// What an image begins with.
const MAGIC: u8 = 0xe9;

/// Length of the header.
const HEADER: usize = 24;

/// Flash sizes that Espressif's QEMU takes.
const FLASH_SIZES: [u64; 4] = [2 << 20, 4 << 20, 8 << 20, 16 << 20];

/// Why there is no emulator for an image.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// It cannot be read.
    #[error("{}: {error}", image.display())]
    Unreadable {
        /// The file.
        image: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It ends within its header.
    #[error("{}: not a firmware image: {len} bytes, and the header alone has {HEADER}", image.display())]
    TooShort {
        /// The file.
        image: PathBuf,
        /// Its length.
        len: u64,
    },
    /// It is none.
    #[error(
        "{}: not a firmware image: no header (0xe9) at 0x0, 0x1000 or 0x2000. Use the merged image of bootloader, partition \
         table and application: idf.py merge-bin, or esptool merge_bin",
        image.display()
    )]
    NoImage {
        /// The file.
        image: PathBuf,
    },
    /// It is for a chip that is not known.
    #[error(
        "{}: the image is for chip number {id}, which espstress doesn't know; start the emulator with tap:CMD",
        image.display()
    )]
    UnknownChip {
        /// The file.
        image: PathBuf,
        /// The number in the header.
        id: u16,
    },
    /// It is not a merged one.
    #[error(
        "{}: the image is for {chip} and begins at 0x{at:x}, where no {chip} has its bootloader (0x{bootloader:x}): this is \
         the application alone. Merge it with bootloader and partition table: idf.py merge-bin, or esptool merge_bin",
        image.display()
    )]
    NotMerged {
        /// The file.
        image: PathBuf,
        /// The chip's name.
        chip: &'static str,
        /// Where the image is.
        at: u64,
        /// Where the bootloader of the chip is.
        bootloader: u64,
    },
    /// No emulator has the chip.
    #[error("{}: the image is for {chip}, and neither esp-emu nor Espressif's QEMU emulates its network", image.display())]
    NotEmulated {
        /// The file.
        image: PathBuf,
        /// The chip's name.
        chip: &'static str,
    },
    /// QEMU takes whole flashes.
    #[error(
        "{}: QEMU needs an image of 2, 4, 8 or 16 MiB, and this one has {len} bytes. Pad it: esptool merge_bin \
         --fill-flash-size 4MB",
        image.display()
    )]
    FlashSize {
        /// The file.
        image: PathBuf,
        /// Its length.
        len: u64,
    },
    /// There is no emulator.
    #[error("no emulator for {chip}: {}", why.join("; "))]
    NoEmulator {
        /// The chip's name.
        chip: &'static str,
        /// What was looked for and how to get it.
        why: Vec<String>,
    },
}

/// What is known of an image by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    chip: Chip,
    len: u64,
}

/// Reads an image's header.
fn header(image: &Path) -> Result<Header, EmulatorError> {
    let unreadable = |error| EmulatorError::Unreadable { image: image.into(), error };
    let mut file = File::open(image).map_err(unreadable)?;
    let len = file.seek(SeekFrom::End(0)).map_err(unreadable)?;
    if len < HEADER as u64 {
        return Err(EmulatorError::TooShort { image: image.into(), len });
    }
    for at in BOOTLOADERS {
        let mut header = [0; HEADER];
        file.seek(SeekFrom::Start(at)).map_err(unreadable)?;
        match file.read_exact(&mut header) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(unreadable(error)),
        }
        if header[0] != MAGIC {
            continue;
        }
        let id = u16::from_le_bytes([header[12], header[13]]);
        let chip = Chip::of(id).ok_or_else(|| EmulatorError::UnknownChip { image: image.into(), id })?;
        let (chip_name, bootloader) = (chip.name(), chip.bootloader());
        if at != bootloader {
            return Err(EmulatorError::NotMerged { image: image.into(), chip: chip_name, at, bootloader });
        }
        return Ok(Header { chip, len });
    }
    Err(EmulatorError::NoImage { image: image.into() })
}

/// The command that starts an emulator with this image, its TAP device left open.
///
/// # Errors
/// The image is none, or there is no emulator for it.
pub(super) fn command(image: &Path) -> Result<Vec<String>, EmulatorError> {
    let Header { chip, len } = header(image)?;
    if !chip.in_esp_emu() && chip.qemu().is_none() {
        return Err(EmulatorError::NotEmulated { image: image.into(), chip: chip.name() });
    }
    let file = image.display().to_string();
    let mut why = Vec::new();
    if chip.in_esp_emu() {
        if on_path("esp-emu") {
            return Ok(esp_emu(chip, &file));
        }
        why.push(
            "esp-emu isn't on PATH (Espressif's emulator, github.com/espressif/esp-emulator)".to_owned(),
        );
    }
    if let Some(program) = chip.qemu() {
        if !on_path(program) {
            why.push(format!(
                "{program} isn't on PATH (Espressif's QEMU: python $IDF_PATH/tools/idf_tools.py install {}, then source \
                 export.sh)",
                program.replace("-system", "")
            ));
        } else if !has_machine(program, chip) {
            why.push(format!(
                "{program} on PATH has no machine {}: it isn't Espressif's (github.com/espressif/qemu)",
                chip.name()
            ));
        } else if FLASH_SIZES.contains(&len) {
            return Ok(qemu(program, chip, &file));
        } else {
            return Err(EmulatorError::FlashSize { image: image.into(), len });
        }
    }
    Err(EmulatorError::NoEmulator { chip: chip.name(), why })
}

fn esp_emu(chip: Chip, image: &str) -> Vec<String> {
    let words = ["esp-emu", "--chip", chip.name(), "--firmware", image, "--net", "tap,ifname={tap}"];
    words.map(str::to_owned).into()
}

fn qemu(program: &str, chip: Chip, image: &str) -> Vec<String> {
    // In an option of QEMU's a comma is written twice.
    let drive = format!("file={},if=mtd,format=raw", image.replace(',', ",,"));
    let nic = "tap,ifname={tap},script=no,downscript=no,model=open_eth";
    let words = [program, "-nographic", "-machine", chip.name(), "-drive", &drive, "-nic", nic];
    words.map(str::to_owned).into()
}

/// Whether a program of this name is on PATH.
fn on_path(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Whether a QEMU has the chip: a distribution's has not.
fn has_machine(program: &str, chip: Chip) -> bool {
    let listed = Command::new(program).args(["-machine", "help"]).stdin(Stdio::null()).output();
    let is_it = |line: &str| line.split_whitespace().next() == Some(chip.name());
    listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).lines().any(is_it))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of this length with a header for the chip with this number at `at`.
    fn image(len: usize, at: usize, id: u16) -> (tempfile::TempDir, PathBuf) {
        let mut bytes = vec![0xff; len];
        if let Some(header) = bytes.get_mut(at..at + HEADER) {
            header[0] = MAGIC;
            header[12..14].copy_from_slice(&id.to_le_bytes());
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("merged.bin");
        std::fs::write(&file, bytes).unwrap();
        (folder, file)
    }

    fn chip_of(len: usize, at: usize, id: u16) -> Result<Chip, String> {
        let (_folder, file) = image(len, at, id);
        header(&file).map(|header| header.chip).map_err(|error| error.to_string())
    }

    #[test]
    fn the_chip_is_read_from_where_its_bootloader_is() {
        for (id, at, chip) in [
            (0, 0x1000, Chip::Esp32),
            (2, 0x1000, Chip::Esp32S2),
            (5, 0, Chip::Esp32C3),
            (9, 0, Chip::Esp32S3),
            (12, 0, Chip::Esp32C2),
            (13, 0, Chip::Esp32C6),
            (16, 0, Chip::Esp32H2),
            (18, 0x2000, Chip::Esp32P4),
            (23, 0x2000, Chip::Esp32C5),
        ] {
            assert_eq!(chip_of(0x4000, at, id), Ok(chip));
        }
    }

    #[test]
    fn what_is_no_image_for_a_known_chip_is_refused_with_the_reason() {
        for (len, at, id, wrong) in [
            (10, 0, 5, "not a firmware image: 10 bytes"),
            (100, 200, 5, "no header (0xe9)"),
            (0x4000, 0x1000, 99, "chip number 99"),
            (0x4000, 0, 0, "the application alone"),
            (0x4000, 0x1000, 5, "the application alone"),
        ] {
            let said = chip_of(len, at, id).unwrap_err();
            assert!(said.contains(wrong), "{said}");
        }
        let missing = header(Path::new("/nowhere/merged.bin")).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/merged.bin"), "{missing}");
    }

    #[test]
    fn a_chip_without_an_emulator_is_refused_before_one_is_looked_for() {
        let (_folder, file) = image(0x4000, 0, 16);
        assert!(matches!(command(&file), Err(EmulatorError::NotEmulated { chip: "esp32h2", .. })));
    }

    #[test]
    fn each_emulator_is_started_as_its_manual_has_it() {
        let emu = esp_emu(Chip::Esp32C6, "a b.bin");
        assert_eq!(
            emu,
            ["esp-emu", "--chip", "esp32c6", "--firmware", "a b.bin", "--net", "tap,ifname={tap}"]
        );
        let qemu = qemu("qemu-system-xtensa", Chip::Esp32, "a,b.bin").join(" ");
        assert_eq!(
            qemu,
            "qemu-system-xtensa -nographic -machine esp32 -drive file=a,,b.bin,if=mtd,format=raw -nic \
             tap,ifname={tap},script=no,downscript=no,model=open_eth"
        );
    }
}
