use super::*;
use crate::lines::Lines;
use espstress_event::Crash;
use proptest::prelude::*;

const MS: i64 = 1_000_000;

/// A console, a line at a time: `123 text` arrived at 123 ms.
fn heard(log: &str) -> Heard {
    let mut account = Account::new("test".into(), None, None);
    for line in log.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (at, text) = line.split_once(' ').unwrap();
        let at: i64 = at.parse().unwrap();
        account.line(at * MS, Line { text: text.trim(), partial: false });
    }
    account.finish()
}

fn said(log: &str) -> Vec<(u64, Said)> {
    heard(log).console.events.into_iter().map(|e| (e.at_ns / 1_000_000, e.said)).collect()
}

fn restart(reason: ResetReason) -> Said {
    Said::Restart { reason }
}

const PANIC: &str = "
    1000 I (900) app: up
    2000 Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.
    2001 Core  0 register dump:
    2002 PC      : 0x400d1234  PS      : 0x00060330
    2003 Backtrace: 0x400d1231:0x3ffb5c50 0x400d1234:0x3ffb5c70
    2004 Rebooting...
    2100 ets Jun  8 2016 00:22:57
    2101 rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)
    2200 I (30) boot: ESP-IDF v5.1 2nd stage bootloader
    2300 I (130) app: up
";

#[test]
fn a_panic_is_one_crash_with_its_backtrace_and_a_restart_by_panic() {
    let said = said(PANIC);
    let [(2_000, Said::Crash { how, cause, backtrace, .. }), (2_101, start)] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!((*how, cause.as_str(), backtrace.len()), (Crash::Exception, "LoadProhibited", 2));
    assert_eq!(*start, restart(ResetReason::Panic));
}

#[test]
fn a_watchdog_a_brownout_and_a_plain_restart_are_told_apart() {
    let watchdog = said(
        "1000 I (900) app: up
         2000 E (1900) task_wdt: Task watchdog got triggered. The following tasks/users did not reset the watchdog in time:
         2001 E (1900) task_wdt:  - IDLE (CPU 0)
         2001 E (1900) task_wdt: Tasks currently running:
         2002 E (1900) task_wdt: CPU 0: busy
         2003 E (1900) task_wdt: Aborting.
         2004 abort() was called at PC 0x400d1234 on core 0
         2005 Backtrace: 0x400d1231:0x3ffb5c50
         2100 rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
    );
    let dog = Said::Watchdog { which: Watchdog::Task, task: Some("busy".into()), restarts: true };
    assert_eq!(watchdog, [(2_000, dog), (2_100, restart(ResetReason::TaskWatchdog))]);
    let brownout = said(
        "2000 Brownout detector was triggered
         2100 rst:0xf (RTCWDT_BROWN_OUT_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
    );
    assert_eq!(brownout, [(2_000, Said::Brownout), (2_100, restart(ResetReason::Brownout))]);
    let plain = said("2100 rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)");
    assert_eq!(plain, [(2_100, restart(ResetReason::Software))]);
}

#[test]
fn a_watchdog_that_only_tells_restarts_nothing() {
    let said = said(
        "2000 E (1900) task_wdt: Task watchdog got triggered. The following tasks did not reset the watchdog in time:
         2001 E (1900) task_wdt:  - IDLE (CPU 0)
         2002 E (1900) task_wdt: CPU 0: busy
         2500 I (2400) app: on we go",
    );
    assert_eq!(
        said,
        [(2_000, Said::Watchdog { which: Watchdog::Task, task: Some("busy".into()), restarts: false })]
    );
}

#[test]
fn a_text_with_the_words_of_a_crash_in_a_log_that_goes_on_is_none() {
    let said = said(
        "1000 I (900) app: GET /help
         1001 abort() was called at PC 0x400d1234 on core 0
         1002 I (902) app: sent
         1100 I (1000) app: GET /",
    );
    assert_eq!(said, []);
    // Without a log that goes on, but with a program that does.
    let said = self::said(
        "1001 abort() was called at PC 0x400d1234 on core 0
         5000 serving
         12000 serving",
    );
    assert_eq!(said, []);
}

#[test]
fn an_assertion_and_the_abort_after_it_are_one_crash() {
    let said = said(
        "2000 CORRUPT HEAP: Bad head at 0x3ffb6f1c. Expected 0xabba1234 got 0x00000000
         2001 assert failed: multi_heap_free multi_heap_poisoning.c:259 (head != NULL)
         2002 abort() was called at PC 0x400d1234 on core 0
         2003 Backtrace: 0x400d1231:0x3ffb5c50",
    );
    let [(2_000, Said::Crash { how: Crash::CorruptHeap, backtrace, .. })] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(backtrace.len(), 1);
}

#[test]
fn a_stack_that_overflows_has_its_task() {
    let said = said(
        "2000 Guru Meditation Error: Core  0 panic'ed (Unhandled debug exception).
         2001 Debug exception reason: Stack canary watchpoint triggered (httpd)
         2002 Backtrace: 0x400d1231:0x3ffb5c50",
    );
    let [(_, Said::Crash { how, task, .. })] = &said[..] else { panic!("{said:?}") };
    assert_eq!((*how, task.as_deref()), (Crash::StackOverflow, Some("httpd")));
}

#[test]
fn a_device_whose_time_begins_anew_without_a_banner_has_restarted_once() {
    let said = said(
        "1000 I (60900) app: up
         2000 I (61900) app: up
         5000 I (300) app: hello
         5100 I (400) app: up
         5200 I (500) app: up
         6200 I (1500) app: up",
    );
    assert_eq!(said, [(5_000, restart(ResetReason::Unknown))]);
}

#[test]
fn one_loss_that_the_driver_and_the_program_tell_is_one_with_the_reason() {
    let said = said(
        "1000 I (900) wifi:state: run -> init (0)
         1010 W (910) app: WiFi disconnected, reason: 200
         4000 I (3900) wifi:connected with home, aid = 1, channel 6, BW20
         4500 I (4400) esp_netif_handlers: sta ip: 192.168.1.5, mask: 255.255.255.0, gw: 192.168.1.1",
    );
    let lost = Said::WifiLost { reason: Some(200), name: "BEACON_TIMEOUT".into() };
    assert_eq!(said[..2], [(1_000, lost), (4_000, Said::WifiUp)]);
    assert_eq!(said.len(), 3);
}

#[test]
fn a_loss_after_the_device_has_joined_again_is_another_one_with_a_reason_of_its_own() {
    let lost = |reason, name: &str| Said::WifiLost { reason: Some(reason), name: name.into() };
    for joined in [
        "I (1100) wifi:state: assoc -> run (10)",
        "I (1100) esp_netif_handlers: sta ip: 192.168.4.91, mask: 255.255.255.0, gw: 192.168.4.1",
        "I (1100) wifi:connected with home, aid = 1, channel 6, BW20",
    ] {
        let log = format!(
            "1000 I (900) wifi:state: run -> init (c800)
             1200 {joined}
             3500 I (3400) wifi:state: run -> init (2c0)
             3510 I (3410) app: WiFi disconnected, reason: 2"
        );
        let losses: Vec<Said> = said(&log)
            .into_iter()
            .map(|(_, said)| said)
            .filter(|s| matches!(s, Said::WifiLost { .. }))
            .collect();
        assert_eq!(losses, [lost(200, "BEACON_TIMEOUT"), lost(2, "AUTH_EXPIRE")], "{joined}");
    }
    // Attempts to join again that fail are of the loss before them.
    let tries = said(
        "1000 I (900) wifi:state: run -> init (c800)
         2000 I (1900) wifi:state: init -> auth (b0)
         2010 I (1910) wifi:state: auth -> init (200)
         2020 I (1920) app: WiFi disconnected, reason: 2",
    );
    assert_eq!(tries, [(1_000, lost(200, "BEACON_TIMEOUT"))]);
}

#[test]
fn heap_lines_are_a_series_and_a_pattern_of_the_users_own_is_one_too() {
    let heard = heard(
        "1000 Free Heap: 50000 bytes, Min Free: 40000 bytes
         2000 Free Heap: 30000 bytes, Min Free: 29000 bytes",
    );
    let free = &heard.device.readings[&espstress_event::Reading::HeapFree];
    assert_eq!((free.first, free.last), (Some(50_000.0), Some(30_000.0)));
    let own: HeapLine = r"mem (?<free>\d+)/(?<least>\d+)".parse().unwrap();
    let mut account = Account::new("test".into(), Some(own), None);
    account.line(0, Line { text: "I (1) app: mem 5000/4000 ok", partial: false });
    assert_eq!(account.finish().device.last.unwrap().telemetry.heap_free_bytes, Some(5_000));
    assert!("no group".parse::<HeapLine>().is_err());
}

#[test]
fn a_batch_that_came_late_has_the_devices_times_and_what_was_before_the_run_is_not_of_it() {
    // What a command printed at once: the device had run for 100 s, and failed 90 s before the run began.
    let mut log = String::from("5 W (10000) httpd: httpd_accept_conn: error in accept (23)\n");
    log += "5 I (99000) app: up\n";
    log += "1005 I (101000) app: up\n2005 I (102000) app: up\n";
    log += "9000 W (105000) httpd: httpd_accept_conn: error in accept (23)\n";
    let heard = heard(&log);
    let at: Vec<u64> = heard.console.events.iter().map(|e| e.at_ns / 1_000_000).collect();
    assert_eq!(at, [5_005]);
    assert_eq!(heard.console.counts["accept ENFILE"], 1);
}

#[test]
fn a_device_that_repeats_itself_for_ever_takes_no_more_memory() {
    let mut account = Account::new("test".into(), None, None);
    for n in 0..200_000_i64 {
        let text = format!("W ({n}) httpd: httpd_accept_conn: error in accept ({})", 20 + n % 5);
        account.line(n * 150 * MS, Line { text: &text, partial: false });
    }
    assert!(account.kept.len() <= 5 * OF_A_KEY);
    let heard = account.finish();
    assert_eq!(heard.console.counts.values().sum::<u64>(), 200_000);
    assert_eq!(heard.console.last_lines.len(), LAST);
    assert!(heard.console.events.iter().all(|e| e.around.len() <= AROUND));
}

#[test]
fn twenty_lines_stand_around_an_event() {
    let mut account = Account::new("test".into(), None, None);
    for n in 0..40 {
        let text =
            if n == 20 { "rst:0x1 (POWERON_RESET),boot:0x13 (X)".to_owned() } else { format!("line {n}") };
        account.line(n * MS, Line { text: &text, partial: false });
    }
    let heard = account.finish();
    let around = &heard.console.events[0].around;
    assert_eq!((around.len(), around[0].as_str(), around[19].as_str()), (AROUND, "line 10", "line 29"));
}

#[test]
fn garbage_between_lines_hides_no_event_and_makes_none() {
    use rand_xoshiro::SplitMix64;
    use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
    for seed in 0..20 {
        let mut random = SplitMix64::seed_from_u64(seed);
        let mut account = Account::new("test".into(), None, None);
        let mut lines = Lines::new(true);
        let mut bytes = Vec::new();
        for line in PANIC.lines().filter_map(|line| line.trim().split_once(' ')).map(|(_, text)| text) {
            let mut garbage = vec![0; (random.next_u64() % 300) as usize];
            random.fill_bytes(&mut garbage);
            bytes.extend(garbage);
            bytes.extend(b"\n");
            bytes.extend(line.as_bytes());
            bytes.extend(b"\r\n");
        }
        for chunk in bytes.chunks(7) {
            lines.take(chunk, |line| account.line(MS, line));
        }
        let said: Vec<Said> = account.finish().console.events.into_iter().map(|e| e.said).collect();
        let kinds: Vec<String> = said.iter().map(Said::key).collect();
        assert_eq!(kinds, ["crash", "restart"], "seed {seed}: {said:?}");
    }
}

/// A console as a script plays it: a line each 30 ms, from 1 s on.
fn played(lines: &[&str]) -> Heard {
    let mut account = Account::new("test".into(), None, None);
    for (n, text) in lines.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).enumerate() {
        account.line((1_000 + 30 * n as i64) * MS, Line { text, partial: false });
    }
    account.finish()
}

/// Kinds of what it says, with the cause of a crash or the reason of a start.
fn kinds(lines: &[&str]) -> Vec<String> {
    let of = |said: Said| match said {
        Said::Crash { cause, .. } => format!("crash: {cause}"),
        Said::Restart { reason } => format!("restart: {}", reason.name()),
        said => said.key(),
    };
    played(lines).console.events.into_iter().map(|event| of(event.said)).collect()
}

const SW: &str = "rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)";

const BACKTRACE: &str = "Backtrace: 0x40081a5e:0x3ffb4ef0 0x40085df9:0x3ffb4f10";

#[test]
fn a_banner_in_a_log_that_goes_on_is_no_restart() {
    let quoted = ["I (921034) support: send us a log like", SW, "I (921335) support: thanks"];
    assert_eq!(kinds(&quoted), [""; 0], "a single line of it");
    let forwarded = [
        "I (921034) bridge: forwarding the co-processor's console:",
        "ets Jul 29 2019 12:21:46",
        "rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)",
        "I (29) boot: ESP-IDF v5.1 2nd stage bootloader",
        "I (300) main: a",
        "I (921335) bridge: end",
        "I (921835) main: a",
    ];
    assert_eq!(kinds(&forwarded), [""; 0]);
    let replayed = [
        "I (921034) log: dump of the flash log begins",
        "I (30) boot: ESP-IDF v5.1 2nd stage bootloader",
        "I (500) app: started",
        "I (900) wifi: connected",
        "I (921335) log: dump ends",
        "I (921835) main: a",
    ];
    let heard = played(&replayed);
    assert_eq!((heard.console.events, heard.console.counts.len()), (Vec::new(), 0));
    // The same banner, and the log begins anew.
    let real = ["I (921034) main: a", SW, "I (29) boot: ESP-IDF v5.1", "I (300) main: a", "I (900) main: b"];
    assert_eq!(kinds(&real), ["restart: SW"]);
}

#[test]
fn a_panic_that_is_forwarded_whole_is_no_crash_and_one_of_its_own_is_one() {
    let guru = "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.";
    let forwarded = [
        "I (921034) bridge: a",
        guru,
        "Core  0 register dump:",
        BACKTRACE,
        "Rebooting...",
        SW,
        "I (921335) bridge: end",
        "I (921435) bridge: b",
    ];
    assert_eq!(kinds(&forwarded), [""; 0]);
    let dumped = ["I (921034) bridge: a", guru, BACKTRACE, "I (921335) bridge: end", "I (921435) bridge: b"];
    assert_eq!(kinds(&dumped), [""; 0]);
    // The panic handler writes a core dump, which it logs with the time of the crash.
    let own = [
        "I (921034) app: a",
        guru,
        BACKTRACE,
        "I (921035) esp_core_dump_flash: Save core dump to flash...",
        "I (921035) esp_core_dump_flash: Core dump has been saved to flash.",
        "I (921036) esp_core_dump_common: done",
        "Rebooting...",
        SW,
        "I (29) boot: ESP-IDF v5.1",
    ];
    assert_eq!(kinds(&own), ["crash: LoadProhibited", "restart: PANIC"]);
}

#[test]
fn a_counter_that_turns_and_a_lone_word_are_nothing() {
    let turns = [
        "I (4294966900) app: tick",
        "I (4294967200) app: tick",
        "I (204) app: tick",
        "I (504) app: tick",
        "I (804) app: tick",
    ];
    assert_eq!(kinds(&turns), [""; 0]);
    assert_eq!(kinds(&["wdt reset", "temperature 21.5"]), [""; 0]);
    let hardware = [" ets Jan  8 2013,rst cause:4, boot mode:(3,6)", "wdt reset", "load 0x4010f000"];
    assert_eq!(kinds(&hardware), ["restart: WDT"]);
    // A program that prints the words of a crash and goes on for seconds.
    let said = said("1000 Soft WDT reset\n2000 temperature 21.5\n4000 temperature 21.6");
    assert_eq!(said, []);
}

#[test]
fn every_crash_has_its_cause_and_the_start_after_it_the_reason_panic() {
    let smash = ["I (9034) app: working", "Stack smashing protect failure!", BACKTRACE, "Rebooting...", SW];
    assert_eq!(kinds(&smash), ["crash: stack smashing protect failure", "restart: PANIC"]);
    let ubsan = ["Undefined behavior of type out_of_bounds", BACKTRACE, "Rebooting...", SW];
    assert_eq!(kinds(&ubsan), ["crash: undefined behavior: out_of_bounds", "restart: PANIC"]);
    let twice = [
        "Setting breakpoint at 0x400d1234 and returning...",
        "Re-entered core dump! Exception happened during core dump!",
        "Rebooting...",
        SW,
    ];
    assert_eq!(
        kinds(&twice),
        ["crash: Re-entered core dump! Exception happened during core dump!", "restart: PANIC"]
    );
    let glued = [
        "I (21000) app: progress 42%Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.",
        "Core  0 register dump:",
        "PC      : 0x400d5e2f  PS      : 0x00060630",
        BACKTRACE,
        "Rebooting...",
        SW,
    ];
    assert_eq!(kinds(&glued), ["crash: LoadProhibited", "restart: PANIC"]);
    let logged = [
        "E (21400) app: last boot: Guru Meditation Error: Core 0 panic'ed (LoadProhibited). Exception was unhandled.",
        "I (21500) app: going on",
        BACKTRACE,
    ];
    assert_eq!(kinds(&logged), [""; 0]);
}

#[test]
fn the_esp8266_says_what_its_user_exception_was() {
    let dump =
        ["--------------- CUT HERE FOR EXCEPTION DECODER ---------------", ">>>stack>>>", "<<<stack<<<"];
    let start = " ets Jan  8 2013,rst cause:2, boot mode:(3,6)";
    for (line, want) in [
        ("Unhandled C++ exception: OOM", "crash: new found no memory (unhandled C++ exception: OOM)"),
        ("Panic core_esp8266_main.cpp:137 __yield", "crash: Panic core_esp8266_main.cpp:137 __yield"),
        ("Abort called", "crash: abort()"),
        ("ctx: sys", "crash: user exception (panic, abort or assert)"),
    ] {
        let lines =
            ["working", "User exception (panic/abort/assert)", dump[0], line, dump[1], dump[2], start];
        assert_eq!(kinds(&lines), [want, "restart: PANIC"]);
    }
}

#[test]
fn a_rust_panic_has_its_message_and_its_frames() {
    let with_std = [
        "I (9034) app: working",
        "thread 'main' panicked at src/main.rs:10:5:",
        "index out of bounds: the len is 3 but the index is 5",
        "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        "abort() was called at PC 0x42010f8f on core 0",
        "Rebooting...",
        "rst:0x3 (RTC_SW_SYS_RST),boot:0xc (SPI_FAST_FLASH_BOOT)",
    ];
    let want = "crash: panicked at src/main.rs:10:5: index out of bounds: the len is 3 but the index is 5";
    assert_eq!(kinds(&with_std), [want, "restart: PANIC"]);
    let bare = [
        "INFO - working",
        "====================== PANIC ======================",
        "panicked at src/bin/main.rs:31:9:",
        "boom",
        "Backtrace:",
        "0x420014c6",
        "0x42000f00",
    ];
    let said = played(&bare).console.events.remove(0).said;
    let Said::Crash { cause, backtrace, .. } = said else { panic!("{said:?}") };
    let frames: Vec<u32> = backtrace.iter().map(|frame| frame.address).collect();
    assert_eq!(
        (cause.as_str(), &frames[..]),
        ("panicked at src/bin/main.rs:31:9: boom", &[0x4200_14c6, 0x4200_0f00][..])
    );
    let hungry = ["panicked at alloc.rs:2:1:", "memory allocation of 4096 bytes failed"];
    let said = played(&hungry).console.events.remove(0).said;
    assert!(matches!(said, Said::Crash { how: Crash::NoMemory, .. }), "{said:?}");
}

/// What a device does over and over or at length, each of which resembles something else.
#[test]
fn real_crashes_and_starts_are_told_however_they_come() {
    let guru = "Guru Meditation Error: Core  0 panic'ed (StoreProhibited). Exception was unhandled.";
    // Starts over and over, each before the clock can tell one from the other.
    let once = [guru, BACKTRACE, "Rebooting...", SW, "I (29) boot: a", "I (300) app: b", "I (1400) app: c"];
    let looped: Vec<&str> = ["I (900) app: c"].into_iter().chain([once; 3].concat()).collect();
    let want = ["crash: StoreProhibited", "restart: PANIC"];
    // The same words within 100 ms of each other are counted once, and these come each 210 ms.
    assert_eq!(kinds(&looped), [want; 3].concat());
    // A whole start that arrives at once, of a device that had run for longer.
    let late =
        ["I (21000) app: a", SW, "I (30) boot: a", "I (900) app: b", "I (5000) app: c", "I (9000) app: d"];
    assert_eq!(kinds(&late), ["restart: SW"]);
    // A core dump on the console takes half a minute.
    let log = format!(
        "1000 I (90000) app: a
         1100 {guru}
         1101 {BACKTRACE}
         1102 ================= CORE DUMP START =================
         9000 JCYAAAMAAAAEAAAAAAAA
         20000 QWxsIHdvcmsgYW5kIG5v
         31000 ================= CORE DUMP END =================
         31001 Rebooting...
         31100 {SW}"
    );
    let said = said(&log);
    assert!(
        matches!(
            &said[..],
            [(1_100, Said::Crash { .. }), (31_100, Said::Restart { reason: ResetReason::Panic })]
        ),
        "{said:?}"
    );
    // A crash, and much later a restart that the program asks for.
    let asked = [
        guru,
        BACKTRACE,
        SW,
        "I (29) boot: a",
        "I (300) app: b",
        "I (20000) app: c",
        "I (20300) ota: done, restarting",
        SW,
        "I (29) boot: a",
    ];
    assert_eq!(kinds(&asked), [want[0], want[1], "restart: SW"]);
    // The panic handler prints and halts.
    assert_eq!(kinds(&["I (9034) app: a", guru, "Core  0 register dump:", BACKTRACE]), [want[0]]);
    // MicroPython's interpreter starts anew, and the system's clock goes on.
    let soft = ["I (90000) wifi: a", "MPY: soft reboot", "I (90100) wifi: b", "I (90200) wifi: c"];
    assert_eq!(kinds(&soft), ["restart: SW"]);
    // Another processor's console runs beside its own, starts and all.
    let mut beside = Vec::new();
    let own: Vec<String> = (0..20).map(|n| format!("I ({}) main: a", 921_000 + 100 * n)).collect();
    for (n, line) in own.iter().enumerate() {
        beside.push(line.as_str());
        beside.push(if n == 7 { SW } else { "I (30) slave: hi" });
    }
    assert_eq!(kinds(&beside), [""; 0]);
}

#[test]
fn starts_that_arrive_at_once_are_each_an_event() {
    let mut account = Account::new("test".into(), None, None);
    for _ in 0..3 {
        account.line(1_000 * MS, Line { text: SW, partial: false });
    }
    let heard = account.finish();
    assert_eq!((heard.console.events.len(), heard.console.counts["restart"]), (3, 3));
}

#[test]
fn readings_close_together_are_all_taken_and_a_collectors_heap_gives_way() {
    let mut account = Account::new("test".into(), None, None);
    for n in 0..40_i64 {
        let text = if n % 2 == 0 { "Free Heap: 51200 bytes" } else { "Free Heap: 31200 bytes" };
        account.line(n * 30 * MS, Line { text, partial: false });
    }
    let device = account.finish().device;
    let ceiling = device.readings[&espstress_event::Reading::HeapFree].ceiling(|_| true).unwrap();
    assert_eq!((ceiling.first, ceiling.last, ceiling.values), (51_200.0, 51_200.0, 40));
    let collected = heard("1000 GC: total: 112000, used: 40000, free: 72000");
    assert!(collected.device.collected);
    let both = heard(
        "1000 GC: total: 112000, used: 40000, free: 72000
         2000 Free heap: 51200
         3000 GC: total: 112000, used: 40000, free: 72000",
    );
    assert!(!both.device.collected);
    assert_eq!(both.device.samples, 1);
}

proptest! {
    #[test]
    fn any_bytes_are_heard(chunks in proptest::collection::vec(any::<Vec<u8>>(), 0..20)) {
        let mut account = Account::new("test".into(), None, None);
        let mut lines = Lines::new(false);
        for (n, chunk) in chunks.iter().enumerate() {
            lines.take(chunk, |line| account.line(n as i64 * MS, line));
        }
        let _ = account.finish();
    }
}
