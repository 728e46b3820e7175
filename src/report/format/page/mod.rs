//! The report as one HTML file: no script, nothing loaded from anywhere, light and dark by the reader's own setting, to be
//! printed on A4. The verdict comes first, then what it means, then the evidence, then what was run.

mod account;
mod capture;
mod findings;
mod markup;
mod outages;
mod packets;
mod ran;
mod silenced;
mod time;
mod tracks;
mod verdict;
mod workloads;

use std::fmt::Write as _;

use super::escape;
use crate::{Report, drawing};
use espstress_event::Air;

pub use capture::{CapturePage, capture_page};

/// Colours, for light and for dark.
pub(crate) const PALETTE: &str = include_str!("palette.css");
/// What drawings add to them.
pub(crate) const DRAWINGS: &str = include_str!("drawings.css");
const PAGE: &str = include_str!("page.css");

pub(super) fn render(r: &Report) -> String {
    let mut body = String::new();
    verdict::section(&mut body, r);
    findings::section(&mut body, r);
    account::section(&mut body, r);
    time::section(&mut body, r);
    r.workloads.iter().for_each(|w| workloads::section(&mut body, w));
    packets::section(&mut body, r);
    if let Some(air) = &r.air {
        on_the_air(&mut body, air);
    }
    ran::section(&mut body, r);
    document(&verdict::title(r), &body)
}

/// What was heard on the air.
fn on_the_air(out: &mut String, air: &Air) {
    markup::heading(out, "On the air");
    let lines = crate::air::air_lines(air, true);
    let lines: Vec<_> = lines.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    markup::facts(out, &lines);
}

/// A whole page.
fn document(title: &str, body: &str) -> String {
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    let _ = writeln!(
        out,
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{PALETTE}{DRAWINGS}{}{PAGE}</style>\n</head>\n<body>\n{body}</body>\n</html>",
        escape(title),
        drawing::ink::style_sheet(),
    );
    out
}
