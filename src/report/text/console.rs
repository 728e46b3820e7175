//! The console on the page: the lines that matter, and nothing of the rest.

use super::super::Report;
use super::super::console::words;
use super::super::human::{count, things, time_s};
use super::super::style::{Detail, Style};
use super::measured::line;
use super::title;
use espstress_event::{Console, ConsoleEvent, Said};

/// Lines on the page.
const LINES: usize = 12;

pub(super) fn section(out: &mut String, r: &Report, style: Style) {
    let Some(console) = &r.console else { return };
    title(out, "Console", style);
    line(out, "heard", &heard(console), style);
    for trouble in &console.troubles {
        line(out, "", trouble, style);
    }
    let matters: Vec<&ConsoleEvent> = console.events.iter().filter(|event| matters(&event.said)).collect();
    let shown = first_of_each(&matters);
    for event in shown.iter().take(LINES) {
        let times = console.counts.get(&event.said.key()).copied().unwrap_or(1);
        let again = if times > 1 { format!(" (first of {})", count(times)) } else { String::new() };
        line(
            out,
            &time_s(event.at_s()),
            &format!("\"{}\" - {}{again}", event.line, words(&event.said)),
            style,
        );
        backtrace(out, event, style);
        if style.detail == Detail::Evidence {
            event.around.iter().for_each(|text| line(out, "", text, style));
        }
    }
    if shown.len() > LINES {
        line(out, "", &format!("{} more in the report", things((shown.len() - LINES) as u64, "line")), style);
    }
}

fn heard(console: &Console) -> String {
    let mut text = format!("{} from {}", things(console.lines, "line"), console.source);
    let of = |level: char, name: &str| {
        console.levels.get(&level).map(|n| format!(", {}", things(*n, name))).unwrap_or_default()
    };
    text += &of('E', "error");
    text += &of('W', "warning");
    if let Some(drift) = console.clock.and_then(|clock| clock.drift_ppm).filter(|drift| drift.abs() >= 100) {
        text += &format!(", its clock is {} ppm {}", drift.abs(), if drift > 0 { "fast" } else { "slow" });
    }
    text
}

/// Whether a line says that something is wrong.
const fn matters(said: &Said) -> bool {
    !matches!(said, Said::WifiUp | Said::Address { .. })
}

/// The first of those that are told in the same words.
fn first_of_each<'a>(events: &[&'a ConsoleEvent]) -> Vec<&'a ConsoleEvent> {
    let mut first: Vec<&ConsoleEvent> = Vec::new();
    for event in events {
        if first.iter().all(|known| known.said.key() != event.said.key()) {
            first.push(event);
        }
    }
    first
}

fn backtrace(out: &mut String, event: &ConsoleEvent, style: Style) {
    let Said::Crash { backtrace, .. } = &event.said else { return };
    for frame in backtrace.iter().take(8) {
        let place = frame.place.as_deref().map(|place| format!(" {place}")).unwrap_or_default();
        line(out, "", &format!("0x{:08x}{place}", frame.address), style);
    }
}
