//! The colours of charts. `plotters` writes colours as numbers; a page has two themes. So each ink is a number that
//! means nothing, and the style sheet gives it the colour of the theme.

use std::fmt::Write as _;

use plotters::style::RGBColor;

/// How many colours tell series apart.
pub(crate) const COLOURS: usize = 8;

/// What a stroke or an area is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Labels of axes.
    Label,
    /// Lines of the grid.
    Grid,
    /// What is bad.
    Bad,
    /// A limit.
    Limit,
    /// One of the colours that tell series apart; they repeat.
    Series(usize),
}

impl Ink {
    const fn number(self) -> u8 {
        match self {
            Self::Label => 1,
            Self::Grid => 2,
            Self::Bad => 3,
            Self::Limit => 4,
            Self::Series(n) => 16 + (n % COLOURS) as u8,
        }
    }

    /// For plotters.
    pub(crate) const fn colour(self) -> RGBColor {
        RGBColor(1, 0, self.number())
    }

    /// Class for what is filled with it by hand.
    pub(crate) fn class(self) -> String {
        match self {
            Self::Label => "quiet".to_owned(),
            Self::Grid => "rule".to_owned(),
            Self::Bad => "bad".to_owned(),
            Self::Limit => "doubt".to_owned(),
            Self::Series(n) => format!("c{}", n % COLOURS),
        }
    }
}

/// The rules that give each ink its colour.
pub(crate) fn style_sheet() -> String {
    let mut rules = String::new();
    let series = (0..COLOURS).map(|n| (Ink::Series(n), format!("c{n}")));
    let named = [(Ink::Label, "quiet"), (Ink::Grid, "rule"), (Ink::Bad, "bad"), (Ink::Limit, "doubt")];
    for (ink, name) in named.into_iter().map(|(ink, name)| (ink, name.to_owned())).chain(series) {
        let n = ink.number();
        let _ = writeln!(
            rules,
            "svg [fill=\"#0100{n:02X}\"] {{ fill: var(--{name}); }} svg [stroke=\"#0100{n:02X}\"] {{ stroke: var(--{name}); }}"
        );
    }
    for n in 0..COLOURS {
        let _ = writeln!(rules, "svg .c{n} {{ fill: var(--c{n}); }}");
    }
    rules
}
