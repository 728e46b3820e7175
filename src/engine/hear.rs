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

/// How far they may be apart about the end of a process, which is noticed at once.
const ONE_END: Duration = Duration::from_secs(2);

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
    let accounts: Vec<Account<'_>> = starts
        .into_iter()
        .map(|(event, reason)| Account { event, reason, words: words(&heard.console.events, event) })
        .collect();
    let unmatched = match_up(&mut probes.device, &accounts);
    // A telling of a restart beyond those that the console keeps may be that of one of these.
    let untold = (probes.device.restart_count).saturating_sub((accounts.len() - unmatched.len()) as u64);
    for account in unmatched {
        probes.device.note_restart(Restart {
            noticed_ns: account.event.at_ns,
            started_ns: account.event.at_ns,
            reset_reason: Some(account.reason.clone()),
            last_words: Some(account.words.to_owned()),
            boot_count: None,
        });
    }
    probes.device.restart_count += not_kept(heard, load_ns).saturating_sub(untold);
}

/// A restart as the console tells it.
#[derive(Clone, Copy, Debug)]
struct Account<'a> {
    event: &'a ConsoleEvent,
    reason: &'a ResetReason,
    /// What the device said last before it.
    words: &'a str,
}

/// What the device said last before it started, since its start before that.
fn words<'a>(events: &'a [ConsoleEvent], start: &'a ConsoleEvent) -> &'a str {
    let before = events.iter().rev().skip_while(|event| !std::ptr::eq(*event, start)).skip(1);
    let said = before
        .take_while(|event| start.at_ns - event.at_ns <= nanos(ONE_RESTART))
        .find(|event| event.said.ends_the_program())
        .filter(|event| !matches!(event.said, Said::Restart { .. }));
    said.map_or(&start.line, |event| &event.line)
}

/// How far an account of the console is from a restart that is known; `None` where they are two. Before what is nearer goes
/// what was noticed after it happened.
fn distance(known: &Restart, at_ns: u64) -> Option<(bool, u64)> {
    let apart = known.started_ns.abs_diff(at_ns).min(known.noticed_ns.abs_diff(at_ns));
    // The end of a process has its own last words, and no boot before it is noticed.
    let one = if known.last_words.is_none() { ONE_RESTART } else { ONE_END };
    let early = known.noticed_ns.saturating_add(nanos(ONE_END)) < at_ns;
    (apart <= nanos(one)).then_some((early, apart))
}

/// Puts each account to the restart that it is of, the nearest first, and gives those back that are of none. A restart has
/// one account: the accounts of a loop of crashes are each near several restarts.
fn match_up<'a>(device: &mut DeviceSeries, accounts: &[Account<'a>]) -> Vec<Account<'a>> {
    let mut pairs = Vec::new();
    for (n, account) in accounts.iter().enumerate() {
        for (of, known) in device.restarts.iter().enumerate() {
            pairs.extend(distance(known, account.event.at_ns).map(|distance| (distance, n, of)));
        }
    }
    pairs.sort_unstable();
    let (mut told, mut taken) = (vec![false; accounts.len()], vec![false; device.restarts.len()]);
    for (_, n, of) in pairs {
        if told[n] || taken[of] {
            continue;
        }
        (told[n], taken[of]) = (true, true);
        let (known, account) = (&mut device.restarts[of], &accounts[n]);
        if known.last_words.is_some() {
            continue;
        }
        if known.reset_reason.as_ref().is_none_or(|known| *known == ResetReason::Unknown) {
            known.reset_reason = Some(account.reason.clone());
        }
        known.last_words = Some(account.words.to_owned());
    }
    accounts.iter().zip(told).filter(|(_, told)| !told).map(|(account, _)| *account).collect()
}

/// Restarts since `load_ns` that the console counts and keeps no event of: those between its first events and its last.
fn not_kept(heard: &Heard, load_ns: u64) -> u64 {
    let kept: Vec<&ConsoleEvent> =
        heard.console.events.iter().filter(|event| matches!(event.said, Said::Restart { .. })).collect();
    let in_the_middle = kept.get(kept.len() / 2).is_some_and(|event| event.at_ns >= load_ns);
    let counted = heard.console.counts.get("restart").copied().unwrap_or(0);
    if in_the_middle { counted.saturating_sub(kept.len() as u64) } else { 0 }
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

    fn known(started_s: u64, noticed_s: u64) -> Restart {
        Restart {
            noticed_ns: noticed_s * S,
            started_ns: started_s * S,
            reset_reason: None,
            last_words: None,
            boot_count: None,
        }
    }

    fn told(restarts: Vec<Restart>) -> Option<ProbeOutcome> {
        let mut probes = switched_off();
        restarts.into_iter().for_each(|restart| probes.device.note_restart(restart));
        Some(probes)
    }

    #[test]
    fn every_banner_of_a_boot_loop_is_a_restart_however_soon_it_comes() {
        let mut probes = None;
        let mut events = Vec::new();
        for n in 0..5 {
            events.push(ConsoleEvent { at_ns: 2 * S + n * S * 6 / 5, ..start(0) });
        }
        join(&mut probes, &heard(events), S);
        let device = probes.unwrap().device;
        assert_eq!((device.restart_count, device.restarts.len()), (5, 5));
    }

    #[test]
    fn a_restart_of_a_boot_loop_that_telemetry_tells_as_well_is_one_and_the_others_are_more() {
        let mut probes = told(vec![known(8, 12)]);
        join(&mut probes, &heard(vec![start(4), start(6), start(8), start(20)]), S);
        let device = probes.unwrap().device;
        assert_eq!(device.restart_count, 4);
        let at: Vec<u64> = device.restarts.iter().map(|restart| restart.started_ns / S).collect();
        assert_eq!(at, [4, 6, 8, 20]);
    }

    #[test]
    fn restarts_that_both_tell_are_matched_one_to_one() {
        let mut probes = told(vec![known(5, 6), known(7, 8), known(9, 10)]);
        join(&mut probes, &heard(vec![start(4), start(6), start(8), start(30)]), S);
        let device = probes.unwrap().device;
        assert_eq!(device.restart_count, 4);
        let ended = Restart { last_words: Some("exit 1".into()), ..known(5, 5) };
        let mut probes = told(vec![ended]);
        join(&mut probes, &heard(vec![start(5), start(6)]), S);
        let device = probes.unwrap().device;
        assert_eq!(device.restart_count, 2);
        assert_eq!(device.restarts[0].last_words.as_deref(), Some("exit 1"));
    }

    #[test]
    fn restarts_that_the_console_counts_and_does_not_keep_are_counted_once() {
        let mut heard = heard(vec![start(4), start(40)]);
        heard.console.counts.insert("restart".to_owned(), 10);
        let mut probes = None;
        join(&mut probes, &heard, S);
        let device = probes.unwrap().device;
        assert_eq!((device.restart_count, device.restarts.len()), (10, 2));
        let mut probes = told(vec![known(4, 5), known(20, 22)]);
        join(&mut probes, &heard, S);
        assert_eq!(probes.unwrap().device.restart_count, 10);
    }

    #[test]
    fn a_restart_does_not_have_the_words_of_the_crash_before_an_earlier_one() {
        let mut probes = None;
        join(&mut probes, &heard(vec![event(9, Said::Brownout, "Brownout"), start(10), start(12)]), S);
        let restarts = probes.unwrap().device.restarts;
        let words: Vec<_> = restarts.iter().map(|restart| restart.last_words.as_deref().unwrap()).collect();
        assert_eq!(words, ["Brownout", "rst:0xf"]);
    }

    #[test]
    fn a_start_before_the_load_is_not_of_it() {
        let mut probes = None;
        join(&mut probes, &heard(vec![start(1)]), 2 * S);
        assert!(probes.is_none());
    }
}
