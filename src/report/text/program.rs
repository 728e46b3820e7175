//! A program of the user's own: what it was, how it ended, what it asked of the stack that the stack has not.

use super::super::human::things;
use super::super::style::{Detail, Style};
use super::super::{Report, TargetKind};
use super::measured::line;
use super::title;

/// Lines of its output on the page.
const LINES: usize = 5;

pub(super) fn section(out: &mut String, r: &Report, style: Style) {
    let Some(program) = &r.target.program else { return };
    let evidence = style.detail == Detail::Evidence;
    let last: &[String] = match (&program.end, evidence) {
        (_, true) => &program.last_lines,
        (Some(_), false) => &program.last_lines[program.last_lines.len().saturating_sub(LINES)..],
        (None, false) => &[],
    };
    if program.end.is_none() && program.unsupported.is_empty() && last.is_empty() {
        return;
    }
    title(out, "Your program", style);
    line(out, "command", &program.command.join(" "), style);
    if let Some(end) = &program.end {
        line(out, "ended", end, style);
    }
    for text in last {
        line(out, "wrote", text, style);
    }
    let (not, unit) = match r.target.kind {
        TargetKind::Tap => ("not carried", "frame"),
        _ => ("not in lwIP", "call"),
    };
    for (what, n) in &program.unsupported {
        line(out, not, &format!("{what} ({})", things(*n, unit)), style);
    }
}
