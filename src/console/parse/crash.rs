//! Crashes, watchdogs and brownouts, in the words of panic handlers.

use espstress_event::{Crash, Said, Watchdog};

use super::{LogLine, Meaning, More, address};

pub(super) fn read(line: &LogLine<'_>) -> Option<Meaning> {
    if let Some(tag) = line.tag {
        return match tag {
            "task_wdt" => task_watchdog(line.message),
            "BOD" => brownout(line.message),
            _ => None,
        };
    }
    let text = line.message;
    told(text)
        .or_else(|| brownout(text))
        .or_else(|| esp8266(text))
        .or_else(|| languages(text))
        .or_else(|| esp_backtrace(text))
        .or_else(|| more(text))
        .or_else(|| {
            text.starts_with("Task watchdog got triggered. The following task")
                .then(|| watchdog(Watchdog::Task, false))
        })
}

/// What ESP-IDF's panic handler and its libraries say of a crash.
fn told(text: &str) -> Option<Meaning> {
    guru(text)
        .or_else(|| aborted(text))
        .or_else(|| asserted(text))
        .or_else(|| overflow(text))
        .or_else(|| found_by_the_compiler(text))
        .or_else(|| in_the_panic_handler(text))
}

/// The words of a crash in the middle of a line: a program that does not end its line is cut short by them. A program that
/// logs them looks alike, until a dump follows.
pub(crate) fn glued(text: &str) -> Option<Said> {
    const WORDS: [&str; 7] = [
        "Guru Meditation Error: Core",
        "abort() was called at PC ",
        "assert failed: ",
        "CORRUPT HEAP: ",
        "***ERROR*** A stack overflow in task ",
        "Stack smashing protect failure!",
        "Undefined behavior of type ",
    ];
    let at = WORDS.iter().filter_map(|words| text.find(words)).filter(|at| *at > 0).min()?;
    match told(&text[at..])? {
        Meaning::Said(said) => Some(said),
        _ => None,
    }
}

const fn watchdog(which: Watchdog, restarts: bool) -> Meaning {
    Meaning::Said(Said::Watchdog { which, task: None, restarts })
}

fn crash(how: Crash, cause: impl Into<String>) -> Meaning {
    Meaning::Said(Said::Crash { how, cause: cause.into(), task: None, backtrace: Vec::new() })
}

/// `Guru Meditation Error: Core  0 panic'ed (CAUSE)` of ESP-IDF's panic handler.
fn guru(text: &str) -> Option<Meaning> {
    let rest = text.strip_prefix("Guru Meditation Error: Core")?.trim_start();
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(" panic'ed (")?;
    let (cause, _) = rest.split_once(')')?;
    Some(match cause {
        cause if cause.starts_with("Interrupt wdt timeout") => watchdog(Watchdog::Interrupt, true),
        "Stack protection fault" => crash(Crash::StackOverflow, cause),
        cause => crash(Crash::Exception, cause),
    })
}

/// `abort() was called at PC 0x400d1234 on core 0`.
fn aborted(text: &str) -> Option<Meaning> {
    let (pc, core) = text.strip_prefix("abort() was called at PC ")?.split_once(" on core ")?;
    address(pc)?;
    matches!(core, "0" | "1").then(|| crash(Crash::Abort, format!("abort() at {pc}")))
}

/// `assert failed: FUNCTION FILE:LINE (EXPRESSION)`, and what newlib's `__assert_func` printed before ESP-IDF 4.3.
fn asserted(text: &str) -> Option<Meaning> {
    let placed = |rest: &str| {
        [".c:", ".cpp:", ".h:", ".hpp:", ".cc:"].iter().any(|mark| {
            rest.split_once(mark).is_some_and(|(_, line)| line.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    if let Some(rest) = text.strip_prefix("assert failed: ").filter(|rest| placed(rest)) {
        return Some(crash(Crash::Assert, rest));
    }
    let old = text.strip_prefix("assertion \"").and_then(|rest| rest.split_once("\" failed: file \""));
    if let Some((what, place)) = old.filter(|(_, place)| place.contains("\", line ")) {
        return Some(crash(Crash::Assert, format!("{what}, {}", place.replace('"', ""))));
    }
    let rest = text.strip_prefix("CORRUPT HEAP: ").filter(|rest| rest.contains(" 0x"))?;
    Some(crash(Crash::CorruptHeap, rest))
}

/// `***ERROR*** A stack overflow in task NAME has been detected.`, and the ESP8266's `Task stack [NAME] overflow!`.
fn overflow(text: &str) -> Option<Meaning> {
    let of_idf = || {
        let rest = text.strip_prefix("***ERROR*** A stack overflow in task ")?;
        Some(rest.split_once(" has been detected")?.0)
    };
    let task = of_idf().or_else(|| text.strip_prefix("Task stack [")?.strip_suffix("] overflow!"))?;
    Some(Meaning::Said(Said::Crash {
        how: Crash::StackOverflow,
        cause: "stack overflow".into(),
        task: Some(task.to_owned()),
        backtrace: Vec::new(),
    }))
}

/// Checks that the compiler put in: `-fstack-protector`, and UBSan of ESP-IDF.
fn found_by_the_compiler(text: &str) -> Option<Meaning> {
    if text == "Stack smashing protect failure!" {
        return Some(crash(Crash::StackSmashed, "stack smashing protect failure"));
    }
    let kind = text.strip_prefix("Undefined behavior of type ")?;
    let is_name = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then(|| crash(Crash::Undefined, format!("undefined behavior: {kind}")))
}

/// What goes wrong in the panic handler itself, of a crash whose first words are lost.
fn in_the_panic_handler(text: &str) -> Option<Meaning> {
    let known = [
        "Re-entered core dump! Exception happened during core dump!",
        "Panic handler entered multiple times.",
    ];
    known.iter().any(|words| text.starts_with(words)).then(|| crash(Crash::Exception, text))
}

fn brownout(text: &str) -> Option<Meaning> {
    (text == "Brownout detector was triggered").then_some(Meaning::Said(Said::Brownout))
}

/// What the ESP8266's core says before it says what was wrong.
pub(crate) const USER_EXCEPTION: &str = "user exception (panic, abort or assert)";

/// The ESP8266's SDK and core. `wdt reset` says no more than the banner right before it, and is no event.
fn esp8266(text: &str) -> Option<Meaning> {
    match text {
        "User exception (panic/abort/assert)" => return Some(crash(Crash::Panic, USER_EXCEPTION)),
        "Unhandled C++ exception: OOM" => {
            return Some(crash(Crash::NoMemory, "new found no memory (unhandled C++ exception: OOM)"));
        }
        "Soft WDT reset" => return Some(watchdog(Watchdog::Soft, true)),
        "Abort called" => return Some(crash(Crash::Abort, "abort()")),
        _ => {}
    }
    if let Some(number) = text.strip_prefix("Exception (").and_then(|rest| rest.strip_suffix("):")) {
        let number: u32 = number.parse().ok()?;
        return Some(crash(Crash::Exception, exception(number)));
    }
    if let Some(rest) = text.strip_prefix("Fatal exception ") {
        let (number, name) = rest.split_once('(')?;
        number.parse::<u32>().ok()?;
        return Some(crash(Crash::Exception, name.strip_suffix("):")?));
    }
    if let Some(what) = text.strip_prefix("Unhandled C++ exception: ") {
        return Some(crash(Crash::Abort, format!("unhandled C++ exception: {what}")));
    }
    let rest = text.strip_prefix("Panic ")?;
    let (file, rest) = rest.split_once(".cpp:").or_else(|| rest.split_once(".c:"))?;
    let named = !file.contains(' ') && rest.starts_with(|c: char| c.is_ascii_digit());
    named.then(|| crash(Crash::Panic, text))
}

/// Xtensa's exception causes (ISA reference manual, table 4-64), of those that programs meet.
fn exception(number: u32) -> String {
    let name = match number {
        0 => "IllegalInstruction",
        2 => "InstructionFetchError",
        3 => "LoadStoreError",
        6 => "IntegerDivideByZero",
        9 => "LoadStoreAlignment",
        20 => "InstFetchProhibited",
        28 => "LoadProhibited",
        29 => "StoreProhibited",
        _ => return format!("exception {number}"),
    };
    format!("{name} ({number})")
}

/// Panics of C++, Lua and Rust.
fn languages(text: &str) -> Option<Meaning> {
    if let Some(rest) = text.strip_prefix("PANIC: unprotected error in call to Lua API (") {
        let cause = rest.trim_end_matches(')');
        let how = if cause.ends_with("not enough memory") { Crash::NoMemory } else { Crash::Panic };
        return Some(crash(how, cause));
    }
    if let Some(what) = text.strip_prefix("terminate called after throwing an instance of '") {
        let what = what.strip_suffix('\'')?;
        let how = if what == "std::bad_alloc" { Crash::NoMemory } else { Crash::Abort };
        return Some(crash(how, format!("unhandled C++ exception: {what}")));
    }
    let bytes = text.strip_prefix("memory allocation of ").and_then(|rest| rest.split_once(" bytes failed"));
    if let Some((_, "")) = bytes.filter(|(n, _)| n.parse::<u64>().is_ok()) {
        return Some(crash(Crash::NoMemory, text));
    }
    rust(text)
}

/// `panicked at src/main.rs:42:5:`, and the message on the next line; with the thread before it where there is a standard
/// library. Before Rust 1.73: `panicked at 'MESSAGE', src/main.rs:42:5`.
fn rust(text: &str) -> Option<Meaning> {
    let (task, text) = match text.strip_prefix("thread '") {
        Some(rest) => {
            let (task, rest) = rest.split_once('\'')?;
            // Since 1.91 the thread's number is told as well.
            let rest = rest.trim_start();
            let number = rest.strip_prefix('(').and_then(|rest| rest.split_once(") "));
            let rest = number.filter(|(n, _)| n.parse::<u64>().is_ok()).map_or(rest, |(_, rest)| rest);
            (Some(task.to_owned()), rest)
        }
        None => (None, text),
    };
    let place = text.strip_prefix("panicked at ")?;
    let (before, column) = place.trim_end_matches(':').rsplit_once(':')?;
    let (before, line) = before.rsplit_once(':')?;
    let numbers = line.parse::<u32>().is_ok() && column.parse::<u32>().is_ok();
    let (message, file) = match before.strip_prefix('\'') {
        Some(rest) => rest.rsplit_once("', ").map(|(message, file)| (Some(message), file))?,
        None => (None, before),
    };
    if !numbers || !file.ends_with(".rs") || file.contains(' ') {
        return None;
    }
    let said = Said::Crash { how: Crash::Panic, cause: text.to_owned(), task, backtrace: Vec::new() };
    Some(if message.is_some() { Meaning::Said(said) } else { Meaning::Panic(said) })
}

/// The exceptions that esp-backtrace tells: `Exception occurred on ProCpu 'LoadProhibited'`,
/// `Exception 'Load access fault' mepc=0x..., mtval=0x...`.
fn esp_backtrace(text: &str) -> Option<Meaning> {
    let quoted = if let Some(rest) = text.strip_prefix("Exception '") {
        rest.contains("' mepc=0x").then_some(rest)?
    } else {
        let rest = text
            .strip_prefix("Exception occurred on ")
            .or_else(|| text.strip_prefix("Exception occured on "))?;
        rest.split_once(" '")?.1
    };
    Some(crash(Crash::Exception, quoted.split_once('\'')?.0))
}

/// What follows a crash.
fn more(text: &str) -> Option<Meaning> {
    let quoted = |rest: &str| Some(rest.split_once(')')?.0.to_owned());
    let more = if let Some(rest) =
        text.strip_prefix("Debug exception reason: Stack canary watchpoint triggered (")
    {
        More::StackOf(quoted(rest)?)
    } else if let Some(rest) = text.strip_prefix("Detected in task \"") {
        More::InTask(rest.split_once('"')?.0.to_owned())
    } else if let Some(rest) = text.strip_prefix("Backtrace:") {
        let calls = rest.split_whitespace().map_while(|call| address(call.split(':').next()?));
        More::Backtrace(calls.take(MOST_FRAMES).collect())
    } else if let Some(rest) = text.strip_prefix("MEPC") {
        let after = |text: &str| address(text.split_once(':')?.1.split_whitespace().next()?);
        let pc = after(rest)?;
        let ra = rest.split_once("RA").and_then(|(_, rest)| after(rest));
        More::Backtrace(std::iter::once(pc).chain(ra).collect())
    } else if let Some(rest) = text.strip_prefix("epc1=") {
        let pc = rest.split([' ', ',']).next()?;
        More::Backtrace(vec![address(pc)?])
    } else if let Some(frame) = frame(text) {
        More::Frame(frame)
    } else {
        dumps(text).then_some(More::Dump)?
    };
    Some(Meaning::More(more))
}

/// A frame of esp-backtrace on a line of its own: `0x420014c6`, or with what the monitor adds, `0x420014c6 - main`.
fn frame(text: &str) -> Option<u32> {
    let digits = text.get(..10).filter(|digits| digits.starts_with("0x"))?;
    let rest = &text[10..];
    (rest.is_empty() || rest.starts_with(" - ")).then(|| address(digits)).flatten()
}

/// What a panic handler prints after the cause: registers, memory, the program's hash.
fn dumps(text: &str) -> bool {
    let registers = || {
        let rest = text.strip_prefix("Core").map(str::trim_start);
        rest.is_some_and(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()) == " register dump:")
    };
    matches!(text, "Stack memory:" | ">>>stack>>>")
        || text.starts_with("PC      : 0x")
        || text.starts_with("ELF file SHA256: ")
        || registers()
}

/// Addresses kept of one crash.
pub(crate) const MOST_FRAMES: usize = 32;

/// ESP-IDF's task watchdog: it may only tell, or end the program.
fn task_watchdog(text: &str) -> Option<Meaning> {
    if text.starts_with("Task watchdog got triggered.") {
        return Some(watchdog(Watchdog::Task, false));
    }
    if text == "Aborting." {
        return Some(Meaning::More(More::Aborting));
    }
    if let Some(rest) = text.strip_prefix("- ") {
        let (task, _) = rest.split_once(" (CPU ")?;
        return Some(Meaning::More(More::Starved(task.to_owned())));
    }
    let (cpu, task) = text.strip_prefix("CPU ")?.split_once(": ")?;
    cpu.parse::<u32>().ok()?;
    Some(Meaning::More(More::Running(task.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Meaning> {
        read(&LogLine::read(text))
    }

    #[test]
    fn every_kind_of_crash_is_told_apart() {
        let cases = [
            (
                "Guru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.",
                Crash::Exception,
                "LoadProhibited",
            ),
            ("Guru Meditation Error: Core 1 panic'ed (StoreProhibited)", Crash::Exception, "StoreProhibited"),
            (
                "Guru Meditation Error: Core  0 panic'ed (Load access fault). Exception was unhandled.",
                Crash::Exception,
                "Load access fault",
            ),
            (
                "Guru Meditation Error: Core  0 panic'ed (Stack protection fault).",
                Crash::StackOverflow,
                "Stack protection fault",
            ),
            ("abort() was called at PC 0x400d1234 on core 0", Crash::Abort, "abort() at 0x400d1234"),
            (
                "assert failed: xQueueSemaphoreTake queue.c:1549 (pxQueue->uxItemSize == 0)",
                Crash::Assert,
                "xQueueSemaphoreTake queue.c:1549 (pxQueue->uxItemSize == 0)",
            ),
            (
                "assertion \"x > 0\" failed: file \"main.c\", line 12, function: app_main",
                Crash::Assert,
                "x > 0, main.c, line 12, function: app_main",
            ),
            (
                "CORRUPT HEAP: Bad head at 0x3ffb6f1c. Expected 0xabba1234 got 0x00000000",
                Crash::CorruptHeap,
                "Bad head at 0x3ffb6f1c. Expected 0xabba1234 got 0x00000000",
            ),
            (
                "***ERROR*** A stack overflow in task httpd has been detected.",
                Crash::StackOverflow,
                "stack overflow",
            ),
            ("Exception (28):", Crash::Exception, "LoadProhibited (28)"),
            ("Fatal exception 9(LoadStoreAlignmentCause):", Crash::Exception, "LoadStoreAlignmentCause"),
            (
                "Panic core_esp8266_main.cpp:133 __yield",
                Crash::Panic,
                "Panic core_esp8266_main.cpp:133 __yield",
            ),
            ("Abort called", Crash::Abort, "abort()"),
            (
                "PANIC: unprotected error in call to Lua API (not enough memory)",
                Crash::NoMemory,
                "not enough memory",
            ),
            ("panicked at src/bin/main.rs:42:5:", Crash::Panic, "panicked at src/bin/main.rs:42:5:"),
            ("thread 'main' panicked at src/main.rs:10:5:", Crash::Panic, "panicked at src/main.rs:10:5:"),
            ("thread 'net' (3) panicked at src/main.rs:10:5:", Crash::Panic, "panicked at src/main.rs:10:5:"),
            (
                "thread '<unnamed>' panicked at 'no: such', src/main.rs:10:5",
                Crash::Panic,
                "panicked at 'no: such', src/main.rs:10:5",
            ),
            (
                "PANIC: unprotected error in call to Lua API (init.lua:12: not enough memory)",
                Crash::NoMemory,
                "init.lua:12: not enough memory",
            ),
            ("Stack smashing protect failure!", Crash::StackSmashed, "stack smashing protect failure"),
            (
                "Undefined behavior of type out_of_bounds",
                Crash::Undefined,
                "undefined behavior: out_of_bounds",
            ),
            (
                "Re-entered core dump! Exception happened during core dump!",
                Crash::Exception,
                "Re-entered core dump! Exception happened during core dump!",
            ),
            ("Task stack [httpd] overflow!", Crash::StackOverflow, "stack overflow"),
            (
                "Unhandled C++ exception: OOM",
                Crash::NoMemory,
                "new found no memory (unhandled C++ exception: OOM)",
            ),
            ("User exception (panic/abort/assert)", Crash::Panic, USER_EXCEPTION),
            (
                "terminate called after throwing an instance of 'std::bad_alloc'",
                Crash::NoMemory,
                "unhandled C++ exception: std::bad_alloc",
            ),
            (
                "memory allocation of 4096 bytes failed",
                Crash::NoMemory,
                "memory allocation of 4096 bytes failed",
            ),
            ("Exception occurred on ProCpu 'LoadProhibited'", Crash::Exception, "LoadProhibited"),
            (
                "Exception 'Load access fault' mepc=0x42001234, mtval=0x00000000",
                Crash::Exception,
                "Load access fault",
            ),
        ];
        for (text, want, why) in cases {
            let Some(
                Meaning::Said(Said::Crash { how, cause, .. })
                | Meaning::Panic(Said::Crash { how, cause, .. }),
            ) = of(text)
            else {
                panic!("{text}: {:?}", of(text))
            };
            assert_eq!((how, cause.as_str()), (want, why), "{text}");
        }
    }

    #[test]
    fn watchdogs_and_brownouts_are_no_crashes() {
        let cases = [
            (
                "E (10293) task_wdt: Task watchdog got triggered. The following tasks/users did not reset the watchdog in time:",
                Watchdog::Task,
                false,
            ),
            (
                "Task watchdog got triggered. The following tasks did not reset the watchdog in time:",
                Watchdog::Task,
                false,
            ),
            (
                "Guru Meditation Error: Core  0 panic'ed (Interrupt wdt timeout on CPU0).",
                Watchdog::Interrupt,
                true,
            ),
            ("Soft WDT reset", Watchdog::Soft, true),
        ];
        for (text, want, restart) in cases {
            let Some(Meaning::Said(Said::Watchdog { which, restarts, .. })) = of(text) else {
                panic!("{text}")
            };
            assert_eq!((which, restarts), (want, restart), "{text}");
        }
        for text in ["Brownout detector was triggered", "E BOD: Brownout detector was triggered"] {
            assert_eq!(of(text), Some(Meaning::Said(Said::Brownout)), "{text}");
        }
    }

    #[test]
    fn what_follows_a_crash_is_read() {
        let cases = [
            (
                "Backtrace: 0x400d1231:0x3ffb5c50 0x400d1234:0x3ffb5c70 |<-CORRUPTED",
                More::Backtrace(vec![0x400d_1231, 0x400d_1234]),
            ),
            ("Backtrace:0x400d1231:0x3ffb5c50", More::Backtrace(vec![0x400d_1231])),
            (
                "MEPC    : 0x42007a1e  RA      : 0x42007a1a  SP      : 0x3fc93f40",
                More::Backtrace(vec![0x4200_7a1e, 0x4200_7a1a]),
            ),
            (
                "epc1=0x40201234 epc2=0x00000000 epc3=0x00000000 excvaddr=0x00000000",
                More::Backtrace(vec![0x4020_1234]),
            ),
            (
                "Debug exception reason: Stack canary watchpoint triggered (httpd)",
                More::StackOf("httpd".into()),
            ),
            ("epc1=0x40201c1b, epc2=0x00000000, epc3=0x00000000", More::Backtrace(vec![0x4020_1c1b])),
            ("0x420014c6", More::Frame(0x4200_14c6)),
            ("0x420014c6 - main::serve", More::Frame(0x4200_14c6)),
            ("Core  0 register dump:", More::Dump),
            (">>>stack>>>", More::Dump),
            ("Detected in task \"main\" at 0x42007a1e", More::InTask("main".into())),
            ("E (10293) task_wdt:  - IDLE (CPU 0)", More::Starved("IDLE".into())),
            ("E (10293) task_wdt: CPU 0: busy", More::Running("busy".into())),
            ("E (10293) task_wdt: Aborting.", More::Aborting),
        ];
        for (text, want) in cases {
            assert_eq!(of(text), Some(Meaning::More(want)), "{text}");
        }
    }
}
