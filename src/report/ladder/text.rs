//! A ladder in characters, for terminals.

use std::fmt::Write as _;

use super::{Ladder, Room, Rung, Step};
use crate::human::time_s;
use crate::style::{Glyphs, Style, Tone};
use espstress_event::{AnomalyClass, Direction};

/// Columns left of the client's line: the time.
const TIME: usize = 11;
/// Columns right of the device's line: the packet's number.
const NUMBER: usize = 9;
/// Lines between arrows: none, up to three to scale, one that says what was cut.
const ROOM: Room = Room { least: 1.0, most: 4.0, cut: 2.0 };
/// The widest that lines stand apart.
const WIDEST: usize = 64;

struct Pen {
    line: char,
    right: char,
    left: char,
    lifeline: char,
    cut: char,
}

impl Pen {
    const fn of(glyphs: Glyphs) -> Self {
        match glyphs {
            Glyphs::Unicode => Self {
                line: '\u{2500}',
                right: '\u{25b6}',
                left: '\u{25c0}',
                lifeline: '\u{2502}',
                cut: '\u{2506}',
            },
            Glyphs::Ascii => Self { line: '-', right: '>', left: '<', lifeline: '|', cut: ':' },
        }
    }
}

impl Ladder {
    /// Lines for a terminal, each after `indent` blanks.
    #[must_use]
    pub fn text(&self, style: Style, indent: usize) -> String {
        let lane = style.columns().saturating_sub(indent + TIME + NUMBER + 4).clamp(20, WIDEST);
        let pen = Pen::of(style.glyphs);
        let blank = " ".repeat(indent);
        let mut out = String::new();
        let head = format!("{} with {} at {}", self.client, self.device, super::svg::moment(self.at_s));
        style.wrapped(&mut out, &blank, indent, &head);
        let gap = lane.saturating_sub("client".len() + "device".len()) + 2;
        let names = format!("{blank}{:TIME$} client{}device   packet", "", " ".repeat(gap));
        let _ = writeln!(out, "{}", style.paint(Tone::Quiet, &names));
        let steps = self.steps(ROOM);
        let marked = self.marked();
        let tone = if self.class == AnomalyClass::Device { Tone::Bad } else { Tone::Doubt };
        for (i, rung) in self.rungs.iter().enumerate() {
            if let Some(step) = i.checked_sub(1).and_then(|before| steps.get(before)) {
                between(&mut out, *step, rung.after_s - self.rungs[i - 1].after_s, lane, indent, &pen, style);
            }
            let time = if i == 0 { "0 s".to_owned() } else { format!("+{}", time_s(rung.after_s)) };
            let line = arrow(rung, &time, lane, indent, &pen);
            if i == marked && rung.telling {
                let _ = writeln!(out, "{}", style.paint(tone, &line));
            } else {
                let _ = writeln!(out, "{line}");
            }
            if i == marked {
                let mut words = String::new();
                let head = format!("{blank}{:TIME$} ^ ", "");
                let narrow = Style { width: indent + TIME + lane + 2, ..style };
                narrow.wrapped(&mut words, &head, indent + TIME + 3, &self.wrong);
                words.lines().for_each(|line| {
                    let _ = writeln!(out, "{}", style.paint(tone, line));
                });
            }
        }
        out
    }
}

/// What lies between two arrows.
fn between(out: &mut String, step: Step, gap_s: f64, lane: usize, indent: usize, pen: &Pen, style: Style) {
    let rail = |words: &str, c: char| {
        let words = if words.is_empty() { String::new() } else { format!("  {words}") };
        format!("{:width$}{c}{words:<lane$}{c}", "", width = indent + TIME + 1)
    };
    match step {
        Step::Stretched(_) => {}
        Step::Scaled(height) => {
            for _ in 1..(height.round() as usize) {
                let _ = writeln!(out, "{}", rail("", pen.lifeline));
            }
        }
        Step::Cut(_) => {
            let line = rail(&format!("{} later", time_s(gap_s)), pen.cut);
            let _ = writeln!(out, "{}", style.paint(Tone::Quiet, &line));
        }
    }
}

/// One arrow with its words: in it where there is room, above it otherwise.
fn arrow(rung: &Rung, time: &str, lane: usize, indent: usize, pen: &Pen) -> String {
    let number = format!("#{}", rung.number);
    let shaft = |words: &str| {
        let words = if words.is_empty() { String::new() } else { format!(" {words} ") };
        let rest = lane.saturating_sub(words.chars().count() + 3);
        let (start, end) = (pen.line.to_string().repeat(2), pen.line.to_string().repeat(rest));
        match rung.from {
            Direction::FromHost => format!("{start}{words}{end}{}", pen.right),
            Direction::FromDevice => format!("{}{end}{words}{start}", pen.left),
        }
    };
    let v = pen.lifeline;
    let blank = " ".repeat(indent);
    if rung.words.chars().count() + 6 <= lane {
        return format!("{blank}{time:>TIME$} {v}{}{v} {number:>NUMBER$}", shaft(&rung.words));
    }
    let mut lines: Vec<String> = Vec::new();
    for word in rung.words.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= lane => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let above: String =
        lines.iter().map(|line| format!("{blank}{:TIME$} {v}{line:^lane$}{v}\n", "")).collect();
    format!("{above}{blank}{time:>TIME$} {v}{}{v} {number:>NUMBER$}", shaft(""))
}

#[cfg(test)]
mod tests {
    use super::super::{ladders, tests::sample};
    use super::*;

    fn drawn(width: usize, glyphs: Glyphs) -> String {
        let ladder = ladders(&[sample()]).next().unwrap();
        ladder.text(Style { width, glyphs, ..Style::default() }, 4)
    }

    #[test]
    fn a_ladder_in_ascii_has_arrows_times_cuts_and_words() {
        insta::assert_snapshot!(drawn(100, Glyphs::Ascii));
    }

    #[test]
    fn every_line_fits_from_sixty_columns_on() {
        for width in [60, 72, 80, 100, 120] {
            for glyphs in [Glyphs::Ascii, Glyphs::Unicode] {
                for line in drawn(width, glyphs).lines() {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
            }
        }
    }
}
