//! What the device's console says, as findings of its own and as evidence of others: `device_crashed`, `brownout`,
//! `watchdog`, `wifi_lost`, `no_memory_reported`.
//!
//! Evidence: a line in the form in which a panic handler, a watchdog, the Wi-Fi driver or a library says it. What was said
//! before the first workload led up to the run and is not its doing; an access point that the run itself had left is none
//! that was lost.
//!
//! Neighbours: `device_rebooted` says that the device restarted, these say why. A loss of the access point that the packets
//! show as well is `link_outages`, which quotes the line.
//!
//! Threshold: what is said within a second of a failure belongs to it.

use super::super::facts;
use super::super::{Evidence, Finding, FindingId, Severity};
use super::text::{by_kind, of_each, sentence, tally, things, time, times};
use super::{FindingEntry, watchdog};
use espstress_event::{ConsoleEvent, Crash, Doing, Episode, Frame, Said, Watchdog, WifiSign};

/// What is said so near to a failure belongs to it, nanoseconds.
const NEAR: u64 = 1_000_000_000;

/// Lines quoted in one finding.
const QUOTED: usize = 3;

pub(super) const CRASHED: FindingEntry = FindingEntry {
    id: FindingId::DeviceCrashed,
    severity: Severity::Error,
    meaning: "the device's program crashed, as its console says",
    needs: "--console",
    neighbours: "a watchdog or a brownout, which also restart the device; a program that only prints the words of a crash",
    change: "read the backtrace (--elf build/app.elf resolves it); check every malloc() and pbuf for NULL",
};

pub(super) const BROWNOUT: FindingEntry = FindingEntry {
    id: FindingId::Brownout,
    severity: Severity::Error,
    meaning: "the supply voltage fell too low and the device restarted, as its console says",
    needs: "--console",
    neighbours: "a crash; a restart by software",
    change: "use a stronger supply and a shorter cable, or a capacitor near the module",
};

pub(super) const WATCHDOG: FindingEntry = FindingEntry {
    id: FindingId::Watchdog,
    severity: Severity::Error,
    meaning: "a watchdog ran out: a task did not yield, or an interrupt handler did not end",
    needs: "--console",
    neighbours: "a crash; a program that waits for a peer, which yields",
    change: "task watchdog: call vTaskDelay(1) in long loops and don't block in the tcpip or event task; interrupt \
             watchdog: keep interrupt handlers and critical sections short; a longer time-out only hides the problem",
};

pub(super) const WIFI_LOST: FindingEntry = FindingEntry {
    id: FindingId::WifiLost,
    severity: Severity::Warning,
    meaning: "the device lost its access point, with the reason that it gives",
    needs: "--console",
    neighbours: "an outage that the test made; a restart",
    change: "BEACON_TIMEOUT: the signal is weak; ASSOC_LEAVE: the program left; reconnect on \
             WIFI_EVENT_STA_DISCONNECTED",
};

pub(super) const NO_MEMORY: FindingEntry = FindingEntry {
    id: FindingId::NoMemoryReported,
    severity: Severity::Error,
    meaning: "the device reports that it could not allocate memory",
    needs: "--console",
    neighbours: "want of sockets (ENFILE), which is a limit and no want of memory",
    change: "use fewer or smaller buffers and connections, or find the leak: log esp_get_free_heap_size() before and \
             after each connection",
};

/// What was said since the first workload began.
fn said<'a>(e: &'a Evidence<'_>) -> impl Iterator<Item = &'a ConsoleEvent> {
    let start = e.workloads.iter().map(|w| w.start_ns).min().unwrap_or(0);
    e.console.unwrap_or_default().iter().filter(move |event| event.at_ns >= start)
}

/// Whether anything failed within a second of it.
fn is_near_a_failure(e: &Evidence<'_>, event: &ConsoleEvent) -> bool {
    let fails = |episode: &Episode| {
        episode.succeeded < episode.attempts
            && event.at_ns.saturating_add(NEAR) >= episode.from_ns
            && event.at_ns <= episode.to_ns.saturating_add(NEAR)
    };
    e.workloads.iter().flat_map(|w| &w.episodes).any(fails)
}

/// The line with its time.
pub(super) fn quote(event: &ConsoleEvent) -> String {
    format!("console at {}: \"{}\"", time(event.at_ns), event.line)
}

fn quotes(events: &[&ConsoleEvent]) -> Vec<String> {
    let mut lines: Vec<String> = events.iter().take(QUOTED).map(|event| quote(event)).collect();
    if events.len() > QUOTED {
        lines.push(format!("{} more", things((events.len() - QUOTED) as u64, "line")));
    }
    lines
}

/// The five findings.
pub(super) fn find(e: &Evidence<'_>) -> Vec<Finding> {
    [crashed(e), brownout(e), ran_out(e), wifi_lost(e), no_memory(e)].into_iter().flatten().collect()
}

/// A crash: how, the cause with its task, and the calls that led there.
struct Fall<'a> {
    how: Crash,
    what: String,
    backtrace: &'a [Frame],
}

fn crashed(e: &Evidence<'_>) -> Option<Finding> {
    let crashes: Vec<&ConsoleEvent> =
        said(e).filter(|event| matches!(event.said, Said::Crash { .. })).collect();
    let first = crashes.first()?;
    let falls: Vec<Fall<'_>> = crashes
        .iter()
        .filter_map(|event| match &event.said {
            Said::Crash { how, cause, task, backtrace } => {
                let in_task = task.as_ref().map(|task| format!(" in task {task}")).unwrap_or_default();
                Some(Fall { how: *how, what: format!("{cause}{in_task}"), backtrace })
            }
            _ => None,
        })
        .collect();
    let kinds = tally(falls.iter().map(|fall| fall.what.clone()));
    // Of each kind the first.
    let of_kind = || kinds.iter().filter_map(|(what, _)| falls.iter().find(|fall| fall.what == *what));
    let what = match &kinds[..] {
        [(what, _)] => what.clone(),
        _ => of_each(&kinds),
    };
    let mut evidence = quotes(&crashes);
    for fall in of_kind().take(QUOTED) {
        let whose = if kinds.len() > 1 { format!("{}: ", fall.what) } else { String::new() };
        for frame in fall.backtrace.iter().take(if kinds.len() > 1 { 4 } else { 8 }) {
            let place = frame.place.as_deref().map(|place| format!(" {place}")).unwrap_or_default();
            evidence.push(format!("{whose}called from 0x{:08x}{place}", frame.address));
        }
    }
    Some(Finding {
        id: FindingId::DeviceCrashed,
        severity: Severity::Error,
        statement: format!(
            "The device's program crashed {}: {what}, first at {}.",
            times(crashes.len() as u64),
            time(first.at_ns)
        ),
        evidence,
        cause: by_kind(of_kind().map(|fall| (kind_of(fall.how), why(fall.how)))),
        change: by_kind(of_kind().map(|fall| (kind_of(fall.how), remedy(fall)))),
    })
}

/// A kind of crash, in words.
const fn kind_of(how: Crash) -> &'static str {
    match how {
        Crash::Exception => "exception",
        Crash::Abort => "abort()",
        Crash::Assert => "assertion",
        Crash::CorruptHeap => "corrupt heap",
        Crash::StackOverflow => "stack overflow",
        Crash::Panic => "panic",
        Crash::StackSmashed => "stack smashed",
        Crash::Undefined => "undefined behavior",
        Crash::NoMemory => "no memory",
    }
}

const fn why(how: Crash) -> &'static str {
    match how {
        Crash::Exception => {
            "the program used a bad pointer or a bad instruction; under load, usually a NULL from malloc() or a buffer \
             that was freed"
        }
        Crash::Abort => {
            "the program gave up: a failed ESP_ERROR_CHECK(), an exception that nothing caught, or a new that found no \
             memory"
        }
        Crash::Assert => "an assertion of the program or of a library failed",
        Crash::CorruptHeap => "the program wrote beyond a buffer, or into one that was freed",
        Crash::StackOverflow => "a task used more stack than it has",
        Crash::Panic => "the program gave up on an error that nothing handled",
        Crash::StackSmashed => "a function wrote beyond a buffer on its stack",
        Crash::Undefined => "UBSan found an operation that the language doesn't define",
        Crash::NoMemory => "an allocation failed that the program cannot continue without",
    }
}

fn remedy(fall: &Fall<'_>) -> &'static str {
    let resolved = fall.backtrace.iter().any(|frame| frame.place.is_some());
    match (fall.how, resolved, fall.backtrace.is_empty()) {
        (Crash::StackOverflow, ..) => "give the task more stack, or move large buffers off it",
        (Crash::CorruptHeap, ..) => {
            "set CONFIG_HEAP_POISONING_COMPREHENSIVE=y and repeat: the heap is then checked at every free()"
        }
        (_, true, _) => "start at the first line of the backtrace above that is your own code",
        (_, false, false) => {
            "repeat with --elf build/app.elf: it turns the addresses above into functions and lines"
        }
        (_, false, true) => "set CONFIG_ESP_SYSTEM_PANIC_PRINT_REBOOT=y so that the console has a backtrace",
    }
}

fn brownout(e: &Evidence<'_>) -> Option<Finding> {
    let all: Vec<&ConsoleEvent> = said(e).filter(|event| is_brownout(&event.said)).collect();
    // The detector's line and the banner after it are one.
    let told = all.iter().filter(|event| matches!(event.said, Said::Brownout)).count();
    let started = all.len() - told;
    let first = all.first()?;
    Some(Finding {
        id: FindingId::Brownout,
        severity: Severity::Error,
        statement: format!(
            "The device's supply voltage fell too low {}, first at {}.",
            times(told.max(started) as u64),
            time(first.at_ns)
        ),
        evidence: quotes(&all),
        cause: "the supply cannot deliver the current peaks of Wi-Fi transmission: a long or thin USB cable, a hub, or a weak \
                regulator"
            .into(),
        change: "use a stronger supply and a shorter cable, or a capacitor of 100 uF or more near the module; lower \
                 CONFIG_ESP_PHY_MAX_WIFI_TX_POWER as a test"
            .into(),
    })
}

const fn is_brownout(said: &Said) -> bool {
    matches!(said, Said::Brownout | Said::Restart { reason: espstress_event::ResetReason::Brownout })
}

/// A watchdog that ran out.
struct RanOut<'a> {
    which: Watchdog,
    /// The task that held the processor, where the device tells.
    task: Option<&'a str>,
    restarts: bool,
    at_ns: u64,
}

/// How long after its words a watchdog that did not say that it restarts the device may do so, nanoseconds.
const THEN: u64 = 10_000_000_000;

/// Each time that a watchdog ran out: the banner of the start that follows its words is of the same time.
fn times_out<'a>(all: &[&'a ConsoleEvent]) -> Vec<RanOut<'a>> {
    let mut dogs: Vec<RanOut<'_>> = Vec::new();
    // Whether the last one waits for its banner.
    let mut open = false;
    for event in all {
        let at_ns = event.at_ns;
        match &event.said {
            Said::Watchdog { which, task, restarts } => {
                dogs.push(RanOut { which: *which, task: task.as_deref(), restarts: *restarts, at_ns });
                open = true;
            }
            Said::Restart { reason } => {
                let Some(which) = watchdog::of_reason(reason) else { continue };
                let hard = |which| matches!(which, Watchdog::Soft | Watchdog::Hardware);
                let same = |dog: &&mut RanOut<'_>| {
                    (dog.which == which || (hard(dog.which) && hard(which)))
                        && (dog.restarts || at_ns.saturating_sub(dog.at_ns) < THEN)
                };
                match dogs.last_mut().filter(|_| open).filter(same) {
                    Some(dog) => dog.restarts = true,
                    None => dogs.push(RanOut { which, task: None, restarts: true, at_ns }),
                }
                open = false;
            }
            _ => {}
        }
    }
    dogs
}

fn ran_out(e: &Evidence<'_>) -> Option<Finding> {
    let all: Vec<&ConsoleEvent> = said(e)
        .filter(|event| match &event.said {
            Said::Watchdog { .. } => true,
            Said::Restart { reason } => reason.is_watchdog(),
            _ => false,
        })
        .collect();
    let dogs = times_out(&all);
    let first = dogs.first()?;
    let (n, restarted) = (dogs.len(), dogs.iter().filter(|dog| dog.restarts).count());
    let (severity, then) = match restarted {
        0 => (Severity::Warning, String::new()),
        all if all == n => (Severity::Error, " and restarted the device".to_owned()),
        some => (Severity::Error, format!(" and restarted the device {}", times(some as u64))),
    };
    let kinds = tally(dogs.iter().map(|dog| dog.which));
    let mut holders = tally(dogs.iter().map(|dog| (dog.which, dog.task)));
    let told = holders.iter().any(|(of, _)| of.1.is_some());
    let (who, how) = match (&kinds[..], &mut holders[..]) {
        ([(which, _)], [((_, Some(task)), _)]) => {
            (sentence(watchdog::name(*which)), format!(": task {task} held the processor"))
        }
        ([(which, _)], holders) if told => {
            // Whom nobody knows comes last.
            holders.sort_by_key(|((_, task), _)| task.is_none());
            let of = |task: Option<&str>| task.map_or("an unnamed task".to_owned(), |t| format!("task {t}"));
            let each: Vec<(String, u64)> = holders.iter().map(|((_, task), n)| (of(*task), *n)).collect();
            (sentence(watchdog::name(*which)), format!(": the processor was held by {}", of_each(&each)))
        }
        ([(which, _)], _) => (sentence(watchdog::name(*which)), String::new()),
        (_, holders) => {
            let of = |which, task: Option<&str>| {
                let held = task.map(|task| format!(" (task {task} held the processor)")).unwrap_or_default();
                format!("{}{held}", watchdog::name(which))
            };
            let each: Vec<(String, u64)> =
                holders.iter().map(|((which, task), n)| (of(*which, *task), *n)).collect();
            ("Watchdogs".to_owned(), format!(": {}", of_each(&each)))
        }
    };
    Some(Finding {
        id: FindingId::Watchdog,
        severity,
        statement: format!("{who} ran out {}{then}{how}, first at {}.", times(n as u64), time(first.at_ns)),
        evidence: quotes(&all),
        cause: by_kind(kinds.iter().map(|(which, _)| (watchdog::name(*which), watchdog::cause(*which)))),
        change: by_kind(kinds.iter().map(|(which, _)| (watchdog::name(*which), watchdog::change(*which)))),
    })
}

/// Losses of the access point that the run did not make, and that no restart brought.
fn losses<'a>(e: &'a Evidence<'_>) -> impl Iterator<Item = (&'a ConsoleEvent, &'a str)> {
    said(e).filter_map(|event| match &event.said {
        Said::WifiLost { name, .. } if !facts::explained(e, event.at_ns, Some(event.at_ns)) => {
            Some((event, name.as_str()))
        }
        _ => None,
    })
}

fn wifi_lost(e: &Evidence<'_>) -> Option<Finding> {
    let lost: Vec<(&ConsoleEvent, &str)> = losses(e).collect();
    let (first, _) = lost.first()?;
    let mut reasons = std::collections::BTreeMap::<&str, u64>::new();
    lost.iter().for_each(|(_, name)| *reasons.entry(name).or_default() += 1);
    let list: Vec<String> = reasons.iter().map(|(name, n)| format!("{name} {n}")).collect();
    let only = |name: &str| reasons.len() == 1 && reasons.contains_key(name);
    let (cause, change) = if only("ASSOC_LEAVE") {
        (
            "the program on the device left the access point",
            "find who calls esp_wifi_disconnect() or WiFi.disconnect()",
        )
    } else if only("BEACON_TIMEOUT") {
        (
            "no beacon of the access point arrived for seconds: a weak signal, interference, or an access point that \
             changed its channel",
            "move the device or its antenna; esp_wifi_set_inactive_time() tolerates longer gaps",
        )
    } else {
        (
            "the access point and the device parted for the reasons above",
            "look the reasons up in ESP-IDF's Wi-Fi guide; reconnect on WIFI_EVENT_STA_DISCONNECTED",
        )
    };
    let events: Vec<&ConsoleEvent> = lost.iter().map(|(event, _)| *event).collect();
    Some(Finding {
        id: FindingId::WifiLost,
        severity: Severity::Warning,
        statement: format!(
            "The device lost its access point {} ({}), first at {}. This test did not cause it.",
            times(lost.len() as u64),
            list.join(", "),
            time(first.at_ns)
        ),
        evidence: quotes(&events),
        cause: cause.into(),
        change: change.into(),
    })
}

fn is_no_memory(said: &Said) -> bool {
    matches!(
        said,
        Said::Error { no_memory: true, .. }
            | Said::WifiSign { sign: WifiSign::ReceiveBlocked }
            | Said::Crash { how: Crash::NoMemory, .. }
    )
}

fn no_memory(e: &Evidence<'_>) -> Option<Finding> {
    let all: Vec<&ConsoleEvent> = said(e).filter(|event| is_no_memory(&event.said)).collect();
    let first = all.first()?;
    let failing = all.iter().any(|event| is_near_a_failure(e, event));
    let kinds = tally(all.iter().map(|event| match &event.said {
        Said::Error { doing, name, .. } => format!("{name} ({})", doing.name()),
        Said::Crash { cause, .. } => cause.clone(),
        _ => "its Wi-Fi receive buffers were full".to_owned(),
    }));
    let what = match &kinds[..] {
        [(what, n)] => format!("{what}, {}", times(*n)),
        _ => of_each(&kinds),
    };
    let (severity, then) = if failing {
        (Severity::Error, " Attempts failed within a second of it.")
    } else {
        (Severity::Warning, "")
    };
    Some(Finding {
        id: FindingId::NoMemoryReported,
        severity,
        statement: format!(
            "The device reports that it has no memory: {what}, first at {}.{then}",
            time(first.at_ns)
        ),
        evidence: quotes(&all),
        cause: "connections, buffers and TIME_WAIT take the heap, or the program leaks".into(),
        change: "use fewer or smaller buffers and connections; log esp_get_free_heap_size() before and after each \
                 connection to tell a leak from a peak"
            .into(),
    })
}

/// Whether the device says that it has no socket for a connection, when attempts fail.
pub(super) fn has_no_socket(e: &Evidence<'_>) -> bool {
    said(e).any(|event| is_no_socket(&event.said) && is_near_a_failure(e, event))
}

fn is_no_socket(said: &Said) -> bool {
    match said {
        Said::Error { doing: Doing::Accept | Doing::Socket, name, .. } => {
            matches!(name.as_str(), "ENFILE" | "EMFILE")
        }
        _ => false,
    }
}

/// Whether a fault that the console tells of explains a failure at this time.
pub(crate) fn explains(e: &Evidence<'_>, id: FindingId, at: &Episode) -> bool {
    let near = |event: &ConsoleEvent| {
        event.at_ns <= at.to_ns.saturating_add(NEAR) && event.at_ns.saturating_add(NEAR) >= at.from_ns
    };
    match id {
        FindingId::NoMemoryReported => said(e).any(|event| is_no_memory(&event.said) && near(event)),
        FindingId::WifiLost => {
            let mut spells = losses(e).map(|(event, _)| {
                let back = said(e).find(|later| {
                    later.at_ns > event.at_ns && matches!(later.said, Said::WifiUp | Said::Address { .. })
                });
                (event.at_ns, back.map_or(u64::MAX, |back| back.at_ns.saturating_add(NEAR)))
            });
            spells.any(|(from, to)| at.to_ns.saturating_add(NEAR) >= from && at.from_ns <= to)
        }
        // A restart has a time of its own, which excuses what met it. What crashed and did not start again is gone.
        FindingId::DeviceCrashed | FindingId::Brownout | FindingId::Watchdog => {
            let last = said(e).filter(|event| event.said.ends_the_program()).last();
            let stays = last.filter(|event| !matches!(event.said, Said::Restart { .. }));
            stays.is_some_and(|event| at.to_ns.saturating_add(NEAR) >= event.at_ns)
        }
        _ => false,
    }
}

/// Puts the device's own words to the findings that they bear out.
pub(super) fn attach(e: &Evidence<'_>, found: &mut [Finding]) {
    for finding in found {
        let bears_out: fn(&Said) -> bool = match finding.id {
            FindingId::SocketExhaustion | FindingId::HalfOpenNotReclaimed | FindingId::AcceptOverflow => {
                |said| matches!(said, Said::Error { doing: Doing::Accept | Doing::Socket, .. })
            }
            FindingId::HeapLow | FindingId::HeapLeak => is_no_memory,
            FindingId::DeviceRebooted => |said| said.ends_the_program(),
            FindingId::LinkOutages => |said| {
                matches!(said, Said::WifiLost { .. } | Said::WifiSign { sign: WifiSign::BeaconTimeout })
            },
            FindingId::BlockedApplication => |said| matches!(said, Said::Watchdog { .. }) || is_of_mqtt(said),
            FindingId::MqttKeepaliveMissed
            | FindingId::MqttPingLate
            | FindingId::MqttNoReconnect
            | FindingId::MqttSessionRefused
            | FindingId::MqttReconnectStorm
            | FindingId::MqttSlowNotice
            | FindingId::MqttHasty => is_of_mqtt,
            FindingId::DeviceUnreachable => {
                |said| said.ends_the_program() || matches!(said, Said::WifiLost { .. })
            }
            _ => continue,
        };
        // A broker comes with the run and goes with it, which the device notices as well.
        let counts = |event: &ConsoleEvent| !is_of_mqtt(&event.said) || is_in_a_fault(e, event);
        let lines: Vec<&ConsoleEvent> =
            said(e).filter(|event| bears_out(&event.said) && counts(event)).collect();
        let Some(first) = lines.first() else { continue };
        finding.evidence.push(match &first.said {
            Said::Error { name, .. } => {
                let limit = if is_no_socket(&first.said) { " - no free socket" } else { "" };
                format!("{}: {name}{limit}, {}", quote(first), progress(e, first.at_ns))
            }
            _ => quote(first),
        });
        if lines.len() > 1 {
            finding.evidence.push(format!("the console says such things {}", times(lines.len() as u64)));
        }
    }
}

const fn is_of_mqtt(said: &Said) -> bool {
    matches!(said, Said::Error { doing: Doing::Mqtt, .. })
}

/// Whether it was said while the broker made a fault, or right after it.
fn is_in_a_fault(e: &Evidence<'_>, event: &ConsoleEvent) -> bool {
    let outages = e.workloads.iter().filter_map(|w| w.mqtt.as_ref()).flat_map(|mqtt| &mqtt.outages);
    outages.into_iter().any(|outage| {
        // Two clocks, a little apart.
        let begin = outage.start_ns.saturating_sub(NEAR / 4);
        let end = outage.end_ns().unwrap_or(u64::MAX).saturating_add(NEAR);
        (begin..=end).contains(&event.at_ns)
    })
}

/// How far the run was at a time.
fn progress(e: &Evidence<'_>, at_ns: u64) -> String {
    let silent = e.workloads.iter().filter_map(|w| w.half_open.as_ref()).flat_map(|h| &h.connections);
    let silent = silent.filter(|connection| connection.silent_ns <= at_ns).count() as u64;
    if silent > 0 {
        return format!("{} in", things(silent, "silent connection"));
    }
    let over = |episode: &&Episode| episode.to_ns <= at_ns;
    let attempts: u64 = e.workloads.iter().flat_map(|w| &w.episodes).filter(over).map(|t| t.attempts).sum();
    format!("at least {} in", things(attempts, "attempt"))
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
