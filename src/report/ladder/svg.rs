//! A ladder as SVG: for the page, and as a file of its own.

use std::fmt::Write as _;

use super::{Ladder, Room, Rung, Step, class_in_words, ladders};
use crate::drawing::{Anchor, Canvas, Face, SMALL, Type, wrapped};
use crate::format::{PALETTE, escape};
use crate::human::time_s;
use espstress_diagnose::AnomalyRow;
use espstress_event::{AnomalyClass, Direction};

/// Width of a ladder: that of the narrowest screens.
const WIDTH: f64 = 340.0;
/// The client's and the device's line.
const CLIENT: f64 = 75.0;
const DEVICE: f64 = 334.0;
/// Where the line of time runs.
const CLOCK: f64 = 65.0;
/// Size of an arrow's words: the usual ones stand in one line.
const WORDS: f64 = 10.0;
/// Height of a line of words.
const LINE: f64 = 13.0;
/// Where the first arrow can be, at the earliest.
const TOP: f64 = 44.0;

/// A moment of a run, to the microsecond.
pub(super) fn moment(at_s: f64) -> String {
    format!("{at_s:.6} s")
}

/// Words of an arrow, in lines that fit between the two lines.
fn words(rung: &Rung) -> Vec<String> {
    wrapped(&rung.words, DEVICE - CLIENT - 8.0, WORDS, Face::Mono)
}

impl Ladder {
    /// What the drawing shows, in a line.
    pub(crate) fn title(&self) -> String {
        format!("{} {}, {} with {}", self.id.name(), class_in_words(self.class), self.client, self.device)
    }

    /// The drawing.
    #[must_use]
    pub fn svg(&self) -> String {
        let (canvas, height) = self.draw();
        canvas.finish((WIDTH, height), "ladder", &self.title())
    }

    fn draw(&self) -> (Canvas, f64) {
        let mut c = Canvas::default();
        let lines = self.rungs.iter().map(|rung| words(rung).len()).max().unwrap_or(1);
        let least = LINE * lines as f64 + 14.0;
        let room = Room { least, most: least * 4.0, cut: least + 18.0 };
        let steps = self.steps(room);
        let marked = self.marked();
        let said = wrapped(&self.wrong, DEVICE - CLIENT - 12.0, SMALL, Face::Sans);
        let said_height = LINE * said.len() as f64 + 8.0;
        // The words below the marked arrow push down what follows: time is not to scale there.
        let mut ys = Vec::with_capacity(self.rungs.len());
        let mut y = TOP + LINE * lines as f64;
        for i in 0..self.rungs.len() {
            if let Some(step) = i.checked_sub(1).and_then(|before| steps.get(before)) {
                let pushed = if i == marked + 1 { said_height } else { 0.0 };
                y += step.height() + pushed;
            }
            ys.push(y);
        }
        let bottom = y + if marked + 1 == self.rungs.len() { said_height } else { 0.0 } + 12.0;
        self.ends(&mut c, bottom);
        for (i, step) in steps.iter().enumerate() {
            let gap_s = self.rungs[i + 1].after_s - self.rungs[i].after_s;
            clock(&mut c, (ys[i], ys[i + 1]), *step, gap_s, i == marked);
        }
        let tone = if self.class == AnomalyClass::Device { "bad" } else { "doubt" };
        for (i, (rung, y)) in self.rungs.iter().zip(&ys).enumerate() {
            arrow(&mut c, rung, *y, if i == marked && rung.telling { tone } else { "ink" });
            let time = if i == 0 { "0 s".to_owned() } else { format!("+{}", time_s(rung.after_s)) };
            let gutter = Type::sans(SMALL, "quiet").at(Anchor::End);
            c.text(CLOCK - 6.0, y - 1.0, &time, gutter);
            c.text(CLOCK - 6.0, y + 10.5, &format!("#{}", rung.number), gutter);
            if i == marked {
                for (n, line) in said.iter().enumerate() {
                    c.text(CLIENT + 6.0, y + 14.0 + LINE * n as f64, line, Type::sans(SMALL, tone));
                }
            }
        }
        (c, bottom + 6.0)
    }

    /// The two lines with their names.
    fn ends(&self, c: &mut Canvas, bottom: f64) {
        let name = Type::sans(SMALL, "ink");
        c.text(CLIENT - 4.0, 13.0, &format!("client {}", self.client), name);
        c.text(DEVICE, 28.0, &format!("device {}", self.device), name.at(Anchor::End));
        for x in [CLIENT, DEVICE] {
            let top = if x == CLIENT { 19.0 } else { 34.0 };
            c.line((x, top), (x, bottom), "life");
        }
    }
}

/// Time between two arrows: a whole line to scale, a dotted one where it is stretched, a gap where it is cut.
fn clock(c: &mut Canvas, (from, to): (f64, f64), step: Step, gap_s: f64, pushed: bool) {
    match step {
        Step::Scaled(_) if !pushed => c.line((CLOCK, from), (CLOCK, to), "clock"),
        Step::Scaled(_) | Step::Stretched(_) => c.line((CLOCK, from), (CLOCK, to), "clock dots"),
        Step::Cut(_) => {
            let middle = f64::midpoint(from + if pushed { 14.0 } else { 0.0 }, to - 10.0);
            c.line((CLOCK, from), (CLOCK, middle - 4.0), "clock dots");
            c.line((CLOCK, middle + 4.0), (CLOCK, to), "clock dots");
            for y in [middle - 2.5, middle + 2.5] {
                c.line((CLOCK - 5.0, y + 2.0), (CLOCK + 5.0, y - 2.0), "clock");
            }
            if !pushed {
                let words = format!("{} later", time_s(gap_s));
                c.text(
                    f64::midpoint(CLIENT, DEVICE),
                    from + 17.0,
                    &words,
                    Type::sans(SMALL, "quiet").at(Anchor::Middle),
                );
            }
        }
    }
}

fn arrow(c: &mut Canvas, rung: &Rung, y: f64, tone: &'static str) {
    let (tail, tip, back) = match rung.from {
        Direction::FromHost => (CLIENT, DEVICE - 1.5, -7.0),
        Direction::FromDevice => (DEVICE, CLIENT + 1.5, 7.0),
    };
    let class = if tone == "ink" { "arrow" } else { "arrow telling" };
    c.line((tail, y), (tip, y), &format!("{class} {tone}"));
    let base = tip + back;
    let d = format!("M{tip:.1} {y:.1}L{base:.1} {:.1}L{base:.1} {:.1}Z", y - 3.5, y + 3.5);
    c.path(&d, &format!("tip {tone}"), "");
    let lines = words(rung);
    for (n, line) in lines.iter().enumerate() {
        let above = LINE * (lines.len() - 1 - n) as f64;
        let look = Type::mono(WORDS, tone).at(Anchor::Middle);
        c.text(f64::midpoint(CLIENT, DEVICE), y - 4.0 - above, line, look);
    }
}

/// All ladders of these anomalies as one SVG file.
#[must_use]
pub fn document(rows: &[AnomalyRow]) -> String {
    const GAP: f64 = 24.0;
    let mut body = String::new();
    let mut y = 12.0;
    for ladder in ladders(rows) {
        let mut c = Canvas::default();
        for (n, line) in wrapped(&ladder.heading(), WIDTH - 12.0, 12.0, Face::Sans).iter().enumerate() {
            y += if n == 0 { 12.0 } else { 16.0 };
            c.text(6.0, y, line, Type::sans(12.0, "ink strong"));
        }
        y += 8.0;
        body.push_str(&c.into_body());
        let (drawn, height) = ladder.draw();
        let _ = write!(body, "<g transform=\"translate(0 {y:.1})\">\n{}</g>\n", drawn.into_body());
        y += height + GAP;
    }
    if body.is_empty() {
        let mut c = Canvas::default();
        c.text(6.0, y + 12.0, "There are no packets of anomalies to draw.", Type::sans(12.0, "quiet"));
        body.push_str(&c.into_body());
        y += 24.0 + GAP;
    }
    let height = y - GAP + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"ladder\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" viewBox=\"0 0 \
         {WIDTH:.0} {height:.0}\">\n<title>{}</title>\n<style>\n{PALETTE}\nsvg {{ background: var(--bg); }}\n{}</style>\n{body}</svg>\n",
        escape("Packets of anomalies"),
        crate::format::DRAWINGS,
    )
}

impl Ladder {
    /// When it happened, for a caption.
    pub(crate) fn when(&self) -> String {
        format!("at {}", moment(self.at_s))
    }

    /// What a ladder that stands alone is headed with.
    fn heading(&self) -> String {
        format!("{} ({}) at {}", self.id.name(), class_in_words(self.class), moment(self.at_s))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{row, sample};
    use super::*;
    use crate::drawing::width_of;

    #[test]
    fn long_words_are_broken_to_stand_between_the_lines() {
        let long = "[SYN, ECE, CWR] seq=4294967295 ack=4294967295 win=65535 len=1460";
        let of = row(&[(0.0, Direction::FromHost, long)], 0.0);
        let ladder = ladders(std::slice::from_ref(&of)).next().unwrap();
        let lines = words(&ladder.rungs[0]);
        assert!(
            lines.len() == 2 && lines.iter().all(|line| width_of(line, WORDS, Face::Mono) <= DEVICE - CLIENT),
            "{lines:?}"
        );
    }

    #[test]
    fn the_drawing_names_the_packets_and_what_is_wrong() {
        let svg = ladders(&[sample()]).next().unwrap().svg();
        for word in ["#1<", "#5<", "[RST, ACK] seq=65", "3.00 s later", "192.168.4.91:80", "then a RST"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        assert_eq!(svg.matches("telling").count(), 1);
    }

    #[test]
    fn a_file_of_ladders_stands_alone() {
        let file = document(&[sample(), sample()]);
        assert!(file.starts_with("<svg xmlns=") && file.contains("prefers-color-scheme"));
        assert_eq!(file.matches("<g transform").count(), 2);
        assert!(document(&[]).contains("no packets"));
    }
}
