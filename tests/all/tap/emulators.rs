//! Stand-ins for esp-emu and QEMU: how they are started.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ran;
use crate::common::{espstress, skipped, valid_report};
use espstress_diagnose::FindingId;

/// A folder of programs that is PATH, with an image in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// An image for the chip with this number, its bootloader at `at`.
    fn with_image(id: u16, at: usize, len: usize) -> Self {
        let mut image = vec![0xff; len];
        image[at] = 0xe9;
        image[at + 12..at + 14].copy_from_slice(&id.to_le_bytes());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("merged.bin"), image).unwrap();
        Self { folder }
    }

    /// A program that says how it was started, and ends.
    fn with(self, name: &str) -> Self {
        let script = "#!/bin/sh\n[ \"$2\" != help ] || { echo 'esp32c3  a chip'; echo 'esp32  another'; exit; }\n\
                      echo \"started: $0 $*\"\n[ -d /proc/sys/net/ipv4/conf/tap0 ] && echo 'with a TAP device'\nexit 9\n";
        self.with_script(name, script)
    }

    fn with_script(self, name: &str, script: &str) -> Self {
        let path = self.folder.path().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("merged.bin")
    }

    /// What a run says, and its status.
    fn says(&self) -> Option<(i32, String)> {
        self.says_of(&self.image())
    }

    fn says_of(&self, image: &Path) -> Option<(i32, String)> {
        let mut command: Command = espstress();
        command.arg("head").arg(format!("emu:{}", image.display())).env("PATH", self.folder.path());
        let output = ran(&mut command)?;
        Some((output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

#[test]
fn esp_emu_is_started_for_the_chip_of_the_image() {
    let bench = Bench::with_image(13, 0, 0x8000).with("esp-emu");
    let Some((status, said)) = bench.says() else { return };
    let started =
        format!("esp-emu --chip esp32c6 --firmware {} --net tap,ifname=tap0", bench.image().display());
    assert!(status == 3 && said.contains(&started) && said.contains("with a TAP device"), "{said}");
}

#[test]
fn qemu_is_started_for_a_whole_flash_where_there_is_no_esp_emu() {
    for (id, at, chip, program) in
        [(0, 0x1000, "esp32", "qemu-system-xtensa"), (5, 0, "esp32c3", "qemu-system-riscv32")]
    {
        let bench = Bench::with_image(id, at, 2 << 20).with(program);
        let Some((status, said)) = bench.says() else { return };
        let started = format!(
            "{program} -nographic -machine {chip} -drive file={},if=mtd,format=raw -nic \
             tap,ifname=tap0,script=no,downscript=no,model=open_eth",
            bench.image().display()
        );
        assert!(status == 3 && said.contains(&started), "{said}");
        let short = Bench::with_image(id, at, 0x8000).with(program);
        let Some((status, said)) = short.says() else { return };
        assert!(status == 2 && said.contains("2, 4, 8 or 16 MiB"), "{said}");
    }
}

#[test]
fn without_an_emulator_it_is_told_how_to_get_one() {
    let bench = Bench::with_image(5, 0, 2 << 20);
    let Some((status, said)) = bench.says() else { return };
    assert_eq!(status, 3, "{said}");
    assert!(said.contains("no emulator for esp32c3: esp-emu isn't on PATH"), "{said}");
    assert!(said.contains("idf_tools.py install qemu-riscv32"), "{said}");
    let distributions = bench.with_script("qemu-system-riscv32", "#!/bin/sh\necho 'virt  RISC-V board'\n");
    let Some((_, said)) = distributions.says() else { return };
    assert!(said.contains("has no machine esp32c3: it isn't Espressif's"), "{said}");
}

#[test]
fn what_is_no_image_is_refused() {
    let bench = Bench::with_image(99, 0, 0x8000).with("esp-emu");
    let Some((status, said)) = bench.says() else { return };
    assert!(status == 2 && said.contains("chip number 99"), "{said}");
    let Some((status, said)) = bench.says_of(&bench.folder.path().join("esp-emu")) else { return };
    assert!(status == 2 && said.contains("not a firmware image"), "{said}");
    let Some((status, said)) = bench.says_of(Path::new("/nowhere.bin")) else { return };
    assert!(status == 2 && said.contains("/nowhere.bin"), "{said}");
}

/// The merged image of a firmware for ESP32-C3, as small as it can be: by the Python that the scripts' own tests have.
fn merged_image(at: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made = format!(
        "import importlib.machinery, importlib.util, pathlib\n\
         loader = importlib.machinery.SourceFileLoader('tests', {tests:?})\n\
         tests = importlib.util.module_from_spec(importlib.util.spec_from_loader('tests', loader))\n\
         loader.exec_module(tests)\n\
         table = tests.script('firmware-image').table()\n\
         application = tests.program(5, tests.DESCRIPTOR + bytes(100))\n\
         pathlib.Path({at:?}).write_bytes(tests.merged(tests.program(5, bytes(100)), table, application))",
        tests = root.join("firmware/tests/run"),
    );
    let made = Command::new("python3").args(["-B", "-c", &made]).output().expect("python3 is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// `scripts/emulate` from image to report: the emulator's part is played by a program that takes the documented options
/// of esp-emu and no others, and is the device program on smoltcp at the address that esp-emu gives its guests.
#[test]
fn one_command_makes_a_report_of_a_merged_image() {
    if Command::new("python3").arg("--version").output().is_err() {
        return skipped("python", "no python3");
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("esp32c3-merged.bin");
    merged_image(&image);
    let bench = Bench { folder };
    let device = format!(
        "#!/bin/sh\nwhile [ $# -gt 0 ]; do case $1 in\n--chip) chip=$2;; --firmware) firmware=$2;; --net) net=$2;;\n\
         *) echo \"error: unexpected argument '$1'\"; exit 2;; esac; shift 2; done\n\
         [ \"$chip $net\" = 'esp32c3 tap,ifname=tap0' ] || {{ echo \"not documented: $chip $net\"; exit 2; }}\n\
         grep -q myssid \"$firmware\" || {{ echo 'no access point with that name'; exit 1; }}\n\
         {}",
        super::device::as_a_process(),
    );
    let bench = bench.with_script("esp-emu", &device);
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/emulate"));
    let path = std::env::join_paths(
        [bench.folder.path().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    command.arg(&image).args("head -n 20 --device-address 192.168.4.2 --json --no-gate".split_whitespace());
    command.env("PATH", path.unwrap()).env("ESPSTRESS", espstress().get_program());
    let Some(output) = ran(&mut command) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report = valid_report(&output.stdout);
    super::served(&report);
    assert!(report.target.address.contains("192.168.4.2"), "{:?}", report.target);
}

/// What esp-emu prints is the guest's console: no flag is needed.
#[test]
fn what_the_guest_prints_is_its_console_and_a_crash_in_it_is_quoted() {
    let crash = "assert failed: tcp_update_rcv_ann_wnd IDF/components/lwip/lwip/src/core/tcp.c:990 (new_rcv_ann_wnd <= 0xffff)\n\
                 Backtrace: 0x4200a1b2:0x3fc9a2c0 0x42009f10:0x3fc9a2e0\nRebooting...\n\
                 rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\n\
                 I (30) boot: ESP-IDF v5.5 2nd stage bootloader\n";
    let bench = Bench::with_image(5, 0, 0x8000);
    let said = bench.folder.path().join("crash.txt");
    fs::write(&said, crash).unwrap();
    // The chip restarts in the emulator, which goes on: again and again, so that one is within the load.
    let script = format!(
        "#!/bin/sh\nPATH=/usr/bin:/bin\necho 'I (20) boot: ESP-IDF v5.5 2nd stage bootloader'\n\
         (for i in 1 2 3 4 5 6 7 8; do sleep 1; cat {}; done) &\n{}",
        said.display(),
        super::device::as_a_process(),
    );
    let bench = bench.with_script("esp-emu", &script);
    let mut command = espstress();
    command.arg("head").arg(format!("emu:{}", bench.image().display())).env("PATH", bench.folder.path());
    command.args("--device-address 192.168.4.2 -d 2200ms --rate 20/s --json -q --no-gate".split_whitespace());
    let Some(output) = ran(&mut command) else { return };
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report = valid_report(&output.stdout);
    let crashed = report.findings.iter().find(|finding| finding.id == FindingId::DeviceCrashed);
    let quoted = crashed
        .is_some_and(|finding| finding.evidence.iter().any(|line| line.contains("tcp_update_rcv_ann_wnd")));
    assert!(quoted, "{:?}, {:?}", report.findings, report.console);
}
