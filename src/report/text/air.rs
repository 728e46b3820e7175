//! What was heard on the air.

use super::super::Report;
use super::super::air::air_lines;
use super::super::style::{Detail, Style};
use super::measured::line;
use super::title;

pub(super) fn section(out: &mut String, r: &Report, style: Style) {
    let Some(air) = &r.air else { return };
    title(out, "On the air", style);
    for (name, text) in air_lines(air, style.detail == Detail::Evidence) {
        line(out, name, &text, style);
    }
}
