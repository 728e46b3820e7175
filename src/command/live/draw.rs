//! The view as cells of a terminal, from 60 columns and 20 rows on. Nothing is known here of a run.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Sparkline, Table};

use super::screen::{Last, Row, Screen};

/// Columns from which there is room for two lists side by side, and for more figures.
const WIDE: u16 = 100;

/// How it may look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) struct Look {
    /// Colours.
    pub(in crate::command) coloured: bool,
    /// Block characters.
    pub(in crate::command) blocks: bool,
}

impl Look {
    fn bad(self) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        if self.coloured { bold.fg(Color::Red) } else { bold }
    }

    fn title() -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }
}

/// Draws a frame.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, look: Look) {
    let area = frame.area();
    let wide = area.width >= WIDE;
    // A heading and a row each; of many workloads the last ones.
    let shown = screen.workloads.len().clamp(1, if area.height >= 30 { 10 } else { 5 });
    let curve = if wide && look.blocks { 3 } else { 0 };
    let device = screen.device.len().min(2) as u16;
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(shown as u16 + 2),
        Constraint::Length(curve),
        Constraint::Length(if device > 0 { device + 1 } else { 0 }),
        Constraint::Min(4),
        Constraint::Length(if area.height >= 30 { 8 } else { 4 }),
    ])
    .split(area);
    frame.render_widget(Paragraph::new(screen.head.as_str()).style(Look::title()), rows[0]);
    workloads(frame, rows[1], &screen.workloads, shown, look);
    if curve > 0 {
        let from = screen.rates.len().saturating_sub(usize::from(rows[2].width));
        frame.render_widget(Sparkline::default().data(&screen.rates[from..]), rows[2]);
    }
    if device > 0 {
        let lines: Vec<&str> = screen.device.iter().map(String::as_str).collect();
        list(frame, rows[3], None, &lines, Style::new());
    }
    let failures: Vec<&str> = screen.failures.iter().map(String::as_str).collect();
    let events: Vec<&str> = screen.events.iter().map(String::as_str).collect();
    let halves = if wide {
        Layout::horizontal([Constraint::Fill(1); 2])
    } else {
        Layout::vertical([Constraint::Fill(1); 2])
    };
    let halves = halves.spacing(u16::from(wide) * 2).split(rows[4]);
    list(frame, halves[0], Some("Failures"), or_none(&failures), look.bad());
    list(frame, halves[1], Some("Anomalies and outages"), or_none(&events), Style::new());
    let (title, last) = match &screen.last {
        Last::Console(lines) => ("Console of the device", lines),
        Last::Remarks(lines) => ("Remarks", lines),
    };
    let last: Vec<&str> = last.iter().map(String::as_str).collect();
    list(frame, rows[5], Some(title), or_none(&last), Style::new());
}

fn or_none<'a>(lines: &'a [&'a str]) -> &'a [&'a str] {
    if lines.is_empty() { &["none so far"] } else { lines }
}

/// A title and as many lines as there is room for.
fn list(frame: &mut Frame<'_>, area: Rect, title: Option<&str>, lines: &[&str], style: Style) {
    let plain = lines == ["none so far"];
    let heading = title.map(|title| Line::styled(title.to_owned(), Look::title()));
    let room = usize::from(area.height).saturating_sub(usize::from(heading.is_some()));
    let style = if plain { Style::new() } else { style };
    let shown = lines.iter().take(room).map(|line| Line::styled(cut(line, area.width), style));
    frame.render_widget(Paragraph::new(heading.into_iter().chain(shown).collect::<Vec<_>>()), area);
}

/// A line that fits, with a sign where it was cut. Control characters of others would move the cursor.
fn cut(line: &str, width: u16) -> String {
    let width = usize::from(width);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    if line.chars().count() <= width {
        return line.chars().map(clean).collect();
    }
    let mut text: String = line.chars().take(width.saturating_sub(2)).map(clean).collect();
    text.push_str("..");
    text
}

fn workloads(frame: &mut Frame<'_>, area: Rect, rows: &[Row], shown: usize, look: Look) {
    let wide = area.width >= WIDE;
    let heading: &[&str] = if wide {
        &["workload", "", "attempts", "rate", "failed", "p50 now", "p99 now", "p50 all", "p99 all", "open"]
    } else {
        &["workload", "attempts", "rate", "failed", "p99 now", "p99 all"]
    };
    let name = if wide { 18 } else { 11 };
    let widths =
        std::iter::once(Constraint::Length(name)).chain(heading.iter().skip(1).map(|_| Constraint::Fill(1)));
    let right = |text: &str| Cell::from(Line::from(text.to_owned()).right_aligned());
    let row = |row: &Row| {
        let failed = right(&row.failed).style(if row.is_failing { look.bad() } else { Style::new() });
        let first = Cell::from(cut(&row.name, name));
        let cells = if wide {
            let numbers = [&row.p50_now, &row.p99_now, &row.p50, &row.p99, &row.open];
            let front = [first, right(&row.done), right(&row.attempts), right(&row.rate), failed];
            front.into_iter().chain(numbers.map(|text| right(text))).collect::<Vec<_>>()
        } else {
            vec![first, right(&row.attempts), right(&row.rate), failed, right(&row.p99_now), right(&row.p99)]
        };
        TableRow::new(cells)
    };
    let head =
        heading.iter().enumerate().map(|(i, text)| if i == 0 { Cell::from(*text) } else { right(text) });
    let from = rows.len().saturating_sub(shown);
    let table = Table::new(rows[from..].iter().map(row), widths)
        .header(TableRow::new(head).style(Look::title()))
        .column_spacing(1);
    frame.render_widget(table, area);
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
