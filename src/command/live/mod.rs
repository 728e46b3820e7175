//! `--live`: the whole terminal as a view of the run, drawn by a thread of its own four times a second. Without a
//! terminal there is nothing to draw on, and the usual progress is shown.

mod draw;
mod screen;

use std::io::{self, Stderr, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen};

use super::metrics::Shared;
use super::progress::{say, started};
pub(super) use draw::Look;
use espstress_event::{Event, EventSink};
use screen::Screen;

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(250);

/// Lines that are kept for when the terminal is free again.
const KEPT: usize = 1_000;

/// Draws a run, and leaves behind on the terminal what a run without a view leaves: its remarks and each workload's last line.
pub(super) struct View {
    figures: Shared,
    look: Look,
    drawing: Option<Drawing>,
    /// What to say when the terminal is free again.
    after: Vec<String>,
}

/// The thread that draws.
struct Drawing {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl View {
    pub(super) fn new(look: Look) -> Self {
        Self { figures: Shared::default(), look, drawing: None, after: Vec::new() }
    }

    /// Not before the run, since a twin's network is entered by a process of one thread.
    fn begin(&mut self) {
        let (end, ended) = channel();
        let (figures, look) = (self.figures.clone(), self.look);
        let draw = move || {
            // A terminal that can't be drawn on costs the view, never the run.
            let _ = draw_until(&ended, &figures, look);
        };
        let thread = std::thread::Builder::new().name("view".into()).spawn(draw);
        self.drawing = thread.ok().map(|thread| Drawing { end, thread });
    }

    /// Gives the terminal back.
    fn end(&mut self) {
        let Some(Drawing { end, thread }) = self.drawing.take() else { return };
        drop(end);
        let _ = thread.join();
        self.after.drain(..).for_each(|line| say(&line));
    }
}

impl EventSink for View {
    fn event(&mut self, event: &Event) {
        self.figures.event(event);
        match event {
            Event::RunStarted { scenario, target, seed, .. } => {
                self.after.push(started(scenario, target, *seed));
                self.begin();
            }
            Event::Notice { text } if self.drawing.is_none() => say(&format!("note: {text}")),
            Event::Notice { text } if self.after.len() < KEPT => self.after.push(format!("note: {text}")),
            Event::PhaseEnded { workload, .. } => {
                self.after.extend(self.figures.with(|live| live.last_line(workload)));
            }
            Event::RunEnded { .. } => self.end(),
            _ => {}
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.end();
    }
}

/// The terminal while it is drawn on; given back however that ends.
struct Borrowed(Terminal<CrosstermBackend<Stderr>>);

impl Borrowed {
    fn take() -> io::Result<Self> {
        let mut err = io::stderr();
        execute!(err, EnterAlternateScreen, Hide)?;
        Ok(Self(Terminal::new(CrosstermBackend::new(err))?))
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let mut err = io::stderr();
        let _ = execute!(err, LeaveAlternateScreen, Show);
        let _ = err.flush();
    }
}

fn draw_until(ended: &Receiver<()>, figures: &Shared, look: Look) -> io::Result<()> {
    let mut terminal = Borrowed::take()?;
    let began = std::time::Instant::now();
    loop {
        // What is shown is taken out first: a terminal that stands still must not hold up the run.
        let screen = figures.with(|live| Screen::of(live, began.elapsed()));
        terminal.0.draw(|frame| draw::draw(frame, &screen, look))?;
        match ended.recv_timeout(FRAME) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return Ok(()),
        }
    }
}
