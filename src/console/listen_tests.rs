//! Each kind of source, read as a run reads it.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::Source;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const CRASH: &str = "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\r\n\
                     Backtrace: 0x400d1231:0x3ffb5c50\r\n\
                     Rebooting...\r\n\
                     rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n";

/// A pseudo-terminal: the end that a device writes to, and the path of the port.
fn port() -> (File, PathBuf) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap();
    // The other end passes bytes as they are, before anybody has opened the port.
    (File::from(master), PathBuf::from(path.to_str().unwrap()))
}

/// A console that is listened to, and what it has come to so far.
struct Test {
    listening: Listening,
    known: Arc<Mutex<Console>>,
}

impl Test {
    fn of(source: &str) -> Self {
        Self::opened(source.parse::<Source>().unwrap().open(115_200, false).unwrap())
    }

    fn opened(opened: Opened) -> Self {
        let start = Instant::now();
        let known = Arc::new(Mutex::new(Console::default()));
        let so_far = Arc::clone(&known);
        let now = move || start.elapsed().as_nanos() as u64;
        let news = move |news: News| {
            let mut known = so_far.lock().unwrap();
            let lines = news.lines.unwrap_or_else(|| known.last_lines.clone());
            *known = Console { last_lines: lines, ..news.known };
        };
        let listening = listen(opened, Options::default(), now, news).unwrap();
        Self { listening, known }
    }

    /// Waits until this much is known.
    fn until(&self, what: impl Fn(&Console) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !what(&self.known.lock().unwrap()) {
            assert!(Instant::now() < end, "{:?}", self.known.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn said(self) -> (Vec<String>, Console) {
        let console = self.listening.finish().console;
        (console.events.iter().map(|event| event.said.key()).collect(), console)
    }
}

#[test]
fn a_port_with_garbage_half_lines_and_nuls_tells_every_event_and_no_other() {
    let (mut device, path) = port();
    let test = Test::of(path.to_str().unwrap());
    // The first line may be the end of one: nobody reads an event out of it.
    device.write_all(b"Soft WDT reset\r\n\0\0\xff\xfe\x80 noise \x1b[31m\r\nhalf a li").unwrap();
    device.write_all(b"ne\r\nI (100) app: abort() was called at PC 0x400d1234 on core 0\r\n").unwrap();
    for byte in CRASH.as_bytes() {
        device.write_all(&[*byte]).unwrap();
    }
    device.write_all(b"I (30) boot: up\r\n").unwrap();
    test.until(|console| console.lines >= 9);
    let (said, console) = test.said();
    assert_eq!(said, ["crash", "restart"], "{console:?}");
}

#[test]
fn a_port_that_vanishes_and_comes_back_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("port");
    let (mut device, path) = port();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let test = Test::of(link.to_str().unwrap());
    device.write_all(b"first\nLmacRxBlk:1\n").unwrap();
    test.until(|console| console.lines == 2);
    // Another port takes its place; what was under way on the first one is no line.
    device.write_all(b"Soft WDT re").unwrap();
    let (mut again, path) = port();
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    drop(device);
    test.until(|console| console.troubles.len() == 2);
    again.write_all(b"set\nLmacRxBlk:1\n").unwrap();
    test.until(|console| console.lines == 4);
    let (said, console) = test.said();
    assert_eq!(said, ["receive_blocked", "receive_blocked"], "{console:?}");
    assert!(console.troubles[1].contains("was back"), "{:?}", console.troubles);
}

#[test]
fn ten_megabytes_at_once_lose_no_event_and_take_no_more_memory() {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let test = Test::opened(Opened::of_pipe(read).unwrap());
    let mut write = File::from(write);
    let filler = "I (1) app: a line of some length, as a device prints that cannot stop\n".repeat(1_000);
    let starts = 150;
    for _ in 0..starts {
        write.write_all(filler.as_bytes()).unwrap();
        write.write_all(b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\n").unwrap();
    }
    drop(write);
    test.until(|console| !console.troubles.is_empty());
    let (_, console) = test.said();
    assert_eq!((console.lines, console.counts.get("restart")), (starts * 1_001, Some(&starts)));
    assert!(console.events.len() <= 64 && console.last_lines.len() == 200);
}

#[test]
fn what_a_file_had_before_the_run_is_not_of_it_and_what_is_added_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("monitor.log");
    std::fs::write(&path, format!("{CRASH}Brownout detector was trig")).unwrap();
    let test = Test::of(&format!("file:{}", path.display()));
    let mut log = File::options().append(true).open(&path).unwrap();
    log.write_all(b"gered\nSoft WDT reset\nrst:0x8 (TG1WDT_SYS_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\n")
        .unwrap();
    test.until(|console| console.lines == 3);
    // A file that is begun anew is read from its beginning.
    std::fs::write(&path, "LmacRxBlk:1\n").unwrap();
    test.until(|console| console.lines == 4);
    assert_eq!(test.said().0, ["watchdog", "restart", "receive_blocked"]);
}

#[test]
fn a_commands_output_is_a_console_and_its_end_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("log"), CRASH).unwrap();
    let test = Test::of(&format!("cmd:cat {}", folder.path().join("log").display()));
    test.until(|console| !console.troubles.is_empty());
    let (said, console) = test.said();
    assert_eq!(said, ["crash", "restart"]);
    assert!(console.troubles[0].contains("ended"), "{:?}", console.troubles);
}

#[test]
fn the_last_lines_and_the_newest_heap_line_are_told_as_they_come() {
    let (mut device, path) = port();
    let opened = path.to_str().unwrap().parse::<Source>().unwrap().open(115_200, false).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let listening = listen(opened, Options::default(), || 1, move |news| drop(tell.send(news))).unwrap();
    let wait = |last: &str| {
        let mut heap = None;
        loop {
            let news = told.recv_timeout(Duration::from_secs(30)).unwrap();
            heap = news.telemetry.map(|(_, t)| t.heap_free_bytes).or(heap);
            let lines = news.lines.unwrap_or_default();
            if lines.last().is_some_and(|line| line == last) {
                return (lines, heap.flatten());
            }
        }
    };
    let many: String = (0..40).map(|n| format!("line {n}\n")).collect();
    device.write_all(many.as_bytes()).unwrap();
    let (lines, heap) = wait("line 39");
    assert_eq!((lines.len(), lines[0].as_str(), heap), (16, "line 24", None));
    device.write_all(b"Free Heap: 50000 bytes, Min Free: 40000 bytes\nend\n").unwrap();
    assert_eq!(wait("end").1, Some(50_000));
    drop(listening.finish());
}

#[test]
fn a_command_that_fails_is_told_with_its_exit_status() {
    for (command, want) in [
        ("false", "the console ended: the command exited with status 1"),
        ("no-such-command-here", "did not find the command (exit status 127)"),
        ("kill -9 $$", "was ended by signal 9"),
    ] {
        let test = Test::of(&format!("cmd:{command}"));
        test.until(|console| !console.troubles.is_empty());
        let troubles = test.said().1.troubles;
        assert!(troubles[0].contains(want), "{command}: {troubles:?}");
    }
}

/// Serves one connection.
fn server(bytes: &'static [u8]) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(bytes).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    });
    address
}

#[test]
fn tcp_and_rfc2217_carry_the_same_lines() {
    let plain = Test::of(&format!("tcp:{}", server(b"x\nLmacRxBlk:1\n")));
    let telnet = Test::of(&format!("rfc2217:{}", server(b"\xff\xfb\x2cx\nLmac\xff\xfd\x00RxBlk:1\n")));
    for test in [plain, telnet] {
        test.until(|console| console.lines >= 2);
        assert_eq!(test.said().0, ["receive_blocked"]);
    }
}

#[test]
fn everything_is_copied_as_it_came() {
    let folder = tempfile::tempdir().unwrap();
    let (log, copy) = (folder.path().join("log"), folder.path().join("copy"));
    std::fs::write(&log, b"\x1b[31mred\x1b[0m\0\nend").unwrap();
    let opened = format!("cmd:cat {}", log.display()).parse::<Source>().unwrap().open(0, false).unwrap();
    let options = Options { copy: Some(File::create(&copy).unwrap()), ..Options::default() };
    let listening = listen(opened, options, || 0, |_| ()).unwrap();
    wait_for(&copy, b"\x1b[31mred\x1b[0m\0\nend");
    let _ = listening.finish();
}

fn wait_for(path: &Path, bytes: &[u8]) {
    let end = Instant::now() + Duration::from_secs(30);
    while std::fs::read(path).unwrap() != bytes {
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(10));
    }
}
