//! The console's part of a report: its rows on the timeline, and what a log tells of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Report, TimelineKind as Kind, TimelineRow, TimelineSource};
use espstress_event::{Console, ConsoleEvent, ResetReason, Said, WifiSign};

/// Events of a log that are kept when it is read: as many as a report has.
const MOST: usize = 4_096;

/// What a console has come to, as a log tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsoleLine {
    /// When, seconds since the start of the run.
    pub at_s: f64,
    /// What is new.
    pub events: Vec<ConsoleEvent>,
    /// What is known in sum, without events and last lines.
    pub known: Console,
}

/// What the lines of a log tell together.
#[derive(Clone, Debug, Default)]
pub(super) struct ConsoleSoFar {
    known: Option<Console>,
    events: BTreeMap<(u64, String), ConsoleEvent>,
}

impl ConsoleSoFar {
    pub(super) fn take(&mut self, line: ConsoleLine) {
        for event in line.events {
            if self.events.len() < MOST {
                self.events.insert((event.at_ns, event.line.clone()), event);
            }
        }
        self.known = Some(Console { events: Vec::new(), last_lines: Vec::new(), ..line.known });
    }

    /// The console as it is known; `None` where the log has none.
    pub(super) fn rebuilt(self) -> Option<Console> {
        Some(Console { events: self.events.into_values().collect(), ..self.known? })
    }
}

/// What a console says belongs on the timeline.
pub(super) fn timeline(report: &Report) -> Vec<TimelineRow> {
    let Some(console) = &report.console else { return Vec::new() };
    let mut rows: Vec<TimelineRow> = Vec::new();
    for event in &console.events {
        match &event.said {
            Said::WifiLost { .. } => {
                let text = format!("{}: {}", words(&event.said), event.line);
                let spell = (event.at_s(), None);
                rows.push(TimelineRow::spell(TimelineSource::Console, Kind::WifiLost, spell, text));
                continue;
            }
            // Either ends the time without an access point.
            Said::WifiUp | Said::Restart { .. } | Said::Address { .. } => {
                let open = |row: &&mut TimelineRow| row.kind == Kind::WifiLost && row.ongoing;
                if let Some(lost) = rows.iter_mut().rev().find(open) {
                    (lost.end_s, lost.ongoing) = (Some(event.at_s()), false);
                }
            }
            _ => {}
        }
        let kind = match &event.said {
            Said::Crash { .. } => Kind::Crash,
            Said::Watchdog { .. } => Kind::Watchdog,
            Said::Brownout => Kind::Brownout,
            Said::Restart { .. } => Kind::Restart,
            Said::WifiUp | Said::WifiLost { .. } | Said::WifiSign { .. } => Kind::Wifi,
            Said::Error { .. } => Kind::Error,
            Said::Address { .. } => Kind::Address,
        };
        let text = format!("{}: {}", words(&event.said), event.line);
        rows.push(TimelineRow::moment(TimelineSource::Console, kind, event.at_s(), text));
    }
    rows
}

/// An event in a few words.
pub(super) fn words(said: &Said) -> String {
    let in_task =
        |task: &Option<String>| task.as_ref().map(|task| format!(" in task {task}")).unwrap_or_default();
    match said {
        Said::Crash { cause, task, .. } => format!("crash ({cause}){}", in_task(task)),
        Said::Watchdog { task, .. } => format!("watchdog{}", in_task(task)),
        Said::Brownout => "brownout".to_owned(),
        Said::Restart { reason: ResetReason::Unknown } => "restart".to_owned(),
        Said::Restart { reason } => format!("restart ({})", reason.name()),
        Said::WifiUp => "joined its access point".to_owned(),
        Said::WifiLost { name, .. } => format!("lost its access point ({name})"),
        Said::WifiSign { sign: WifiSign::BeaconTimeout } => "no beacon".to_owned(),
        Said::WifiSign { sign: WifiSign::ReceiveBlocked } => "Wi-Fi receive buffers full".to_owned(),
        Said::Error { doing, name, .. } => format!("{}: {name}", doing.name()),
        Said::Address { ip } => format!("address {ip}"),
    }
}
