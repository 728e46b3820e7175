//! The device's console beside a run: what it says joins what telemetry and probes tell.

use espstress_clock::{Clock, nanos};
use espstress_console::{Heard, Listening, News, Opened, Options, listen};
use espstress_event::{Backlog, ConsoleEvent, Event, ResetReason, Restart, Said};
use espstress_stats::{DeviceSeries, ProbeOutcome, ProbeStats};
use std::sync::Arc;
use std::time::Duration;

/// A console to listen to.
#[derive(Debug)]
pub struct ConsolePlan {
    /// The source, open.
    pub opened: Opened,
    /// What is listened for.
    pub options: Options,
}

/// Listens from now on; `events` hears what is new.
pub(super) fn start(plan: ConsolePlan, clock: Clock, events: Backlog) -> std::io::Result<Listening> {
    let news = move |news: News| {
        let News { events: new, known, lines, telemetry } = news;
        if let Some(lines) = lines {
            events.tell(Event::ConsoleLines { lines: lines.into() });
        }
        if let Some((at_ns, telemetry)) = telemetry {
            events.tell(Event::Device { at_ns, telemetry: Arc::new(telemetry) });
        }
        events.tell(Event::Console { at_ns: clock.now_ns(), events: new, known: Arc::new(known) });
    };
    listen(plan.opened, plan.options, move || clock.now_ns(), news)
}

/// How far the console and telemetry may be apart about one restart: a device boots for some seconds, and telemetry tells
/// of it a second or two later.
const ONE_RESTART: Duration = Duration::from_secs(15);

/// Adds to what the device told over the network what it said on its console. What it said before `load_ns`, when the
/// first workload began, led up to the run and is not its doing.
pub(super) fn join(probes: &mut Option<ProbeOutcome>, heard: &Heard, load_ns: u64) {
    let starts: Vec<(&ConsoleEvent, &ResetReason)> = heard
        .console
        .events
        .iter()
        .filter(|event| event.at_ns >= load_ns)
        .filter_map(|event| match &event.said {
            Said::Restart { reason } => Some((event, reason)),
            _ => None,
        })
        .collect();
    if starts.is_empty() && heard.device.samples == 0 {
        return;
    }
    let probes = probes.get_or_insert_with(switched_off);
    if probes.device.samples == 0 {
        let known = std::mem::take(&mut probes.device);
        probes.device = heard.device.clone();
        probes.device.unasked = true;
        (probes.device.restarts, probes.device.restart_count) = (known.restarts, known.restart_count);
    }
    starts.into_iter().for_each(|(event, reason)| {
        restart(&mut probes.device, event, reason, words(&heard.console.events, event));
    });
}

/// What the device said last before it started.
fn words<'a>(events: &'a [ConsoleEvent], start: &'a ConsoleEvent) -> &'a str {
    let before = events.iter().rev().find(|event| {
        event.at_ns <= start.at_ns
            && start.at_ns - event.at_ns <= nanos(ONE_RESTART)
            && event.said.ends_the_program()
            && !matches!(event.said, Said::Restart { .. })
    });
    before.map_or(&start.line, |event| &event.line)
}

fn restart(device: &mut DeviceSeries, event: &ConsoleEvent, reason: &ResetReason, words: &str) {
    let near = |known: &&mut Restart| {
        let one = nanos(ONE_RESTART);
        known.started_ns.abs_diff(event.at_ns) <= one || known.noticed_ns.abs_diff(event.at_ns) <= one
    };
    // Each of several restarts in a row has an account of its own.
    let untold = |known: &&mut Restart| known.last_words.is_none();
    if let Some(known) = device.restarts.iter_mut().filter(near).find(untold) {
        if known.reset_reason.as_ref().is_none_or(|known| *known == ResetReason::Unknown) {
            known.reset_reason = Some(reason.clone());
        }
        known.last_words = Some(words.to_owned());
        return;
    }
    // The end of a process has its own last words, and is the same restart.
    if device
        .restarts
        .iter()
        .any(|known| known.noticed_ns.abs_diff(event.at_ns) <= nanos(Duration::from_secs(2)))
    {
        return;
    }
    device.note_restart(Restart {
        noticed_ns: event.at_ns,
        started_ns: event.at_ns,
        reset_reason: Some(reason.clone()),
        last_words: Some(words.to_owned()),
        boot_count: None,
    });
}

fn switched_off() -> ProbeOutcome {
    let off = || ProbeStats::Unavailable { reason: "probes were switched off".into() };
    ProbeOutcome { icmp: off(), tcp: off(), telemetry: off(), device: DeviceSeries::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn event(at_s: u64, said: Said, line: &str) -> ConsoleEvent {
        ConsoleEvent { at_ns: at_s * S, device_ms: None, said, line: line.to_owned(), around: Vec::new() }
    }

    fn heard(events: Vec<ConsoleEvent>) -> Heard {
        let mut heard = Heard::default();
        heard.console.events = events;
        heard
    }

    fn start(at_s: u64) -> ConsoleEvent {
        event(at_s, Said::Restart { reason: ResetReason::Brownout }, "rst:0xf")
    }

    #[test]
    fn a_restart_that_only_the_console_tells_is_one_with_the_words_before_it() {
        let mut probes = None;
        join(
            &mut probes,
            &heard(vec![event(9, Said::Brownout, "Brownout detector was triggered"), start(10)]),
            S,
        );
        let device = probes.unwrap().device;
        assert_eq!((device.restart_count, device.restarts.len()), (1, 1));
        let words = device.restarts[0].last_words.as_deref();
        assert_eq!(words, Some("Brownout detector was triggered"));
    }

    #[test]
    fn a_restart_that_telemetry_tells_as_well_is_one() {
        let mut probes = Some(switched_off());
        let restarts = &mut probes.as_mut().unwrap().device;
        restarts.restart_count = 1;
        restarts.restarts = vec![Restart {
            noticed_ns: 13 * S,
            started_ns: 11 * S,
            reset_reason: Some(ResetReason::Panic),
            last_words: None,
            boot_count: Some(2),
        }];
        join(&mut probes, &heard(vec![start(10)]), S);
        let device = probes.unwrap().device;
        assert_eq!((device.restart_count, device.restarts.len()), (1, 1));
        assert_eq!(device.restarts[0].reset_reason, Some(ResetReason::Panic));
    }

    #[test]
    fn a_start_before_the_load_is_not_of_it() {
        let mut probes = None;
        join(&mut probes, &heard(vec![start(1)]), 2 * S);
        assert!(probes.is_none());
    }
}
