//! The page as people see it, and the JSON as other programs do.

use crate::report_support as make;
use espstress_diagnose::Severity;
use espstress_report::text::page;
use espstress_report::{Colour, Detail, Glyphs, Style, to_json};

#[test]
fn every_report_fits_its_schema_and_is_read_back_the_same() {
    for (name, r) in make::samples() {
        assert_eq!(make::assert_valid_report(&to_json(&r)), r, "{name}");
    }
}

#[test]
fn a_clean_pass_is_short_and_says_that_the_packets_were_looked_at() {
    insta::assert_snapshot!(page(&make::clean(), &Style::default()));
}

#[test]
fn a_failure_says_what_broke_before_it_shows_figures() {
    insta::assert_snapshot!(page(&make::broken(), &Style::default()));
}

#[test]
fn the_page_says_where_a_remedy_for_each_framework_is_unless_the_program_is_ours() {
    let ours = make::broken();
    let mut others = ours.clone();
    others.target.firmware = None;
    let style = Style::default();
    assert!(!page(&ours, &style).contains("espstress findings"));
    assert!(page(&others, &style).contains("how in your framework: espstress findings abortive_close"));
}

#[test]
fn a_pass_never_stands_above_what_broke() {
    let mut warned = make::clean();
    warned.findings = make::broken().findings;
    warned.findings.iter_mut().for_each(|finding| finding.severity = Severity::Warning);
    let warned = make::gate(warned, &["findings.error == 0"]);
    let text = page(&warned, &Style::default());
    assert!(text.starts_with("PASS") && text.contains("What was noticed"), "{text}");
    for (name, r) in make::samples() {
        let text = page(&r, &Style::default());
        assert!(!(text.starts_with("PASS") && text.contains("What broke")), "{name}: {text}");
    }
}

#[test]
fn evidence_is_told_when_asked_for() {
    let style = Style { detail: Detail::Evidence, ..Style::default() };
    insta::assert_snapshot!(page(&make::broken(), &style));
}

#[test]
fn without_a_capture_the_page_never_speaks_of_no_anomalies() {
    let text = page(&make::denied(), &Style::default());
    assert!(!text.contains("no anomaly"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn an_interrupted_run_says_so_and_that_packets_were_missed() {
    insta::assert_snapshot!(page(&make::interrupted(), &Style::default()));
}

#[test]
fn outages_and_silent_connections_are_told_whole() {
    let style = Style { detail: Detail::Evidence, ..Style::default() };
    insta::assert_snapshot!(page(&make::outages(), &style));
}

#[test]
fn an_open_loop_shows_both_latencies() {
    insta::assert_snapshot!(page(&make::open_loop(), &Style::default()));
}

#[test]
fn every_page_fits_from_60_columns() {
    for (name, r) in make::samples() {
        for width in [60, 72, 80, 100, 120] {
            for glyphs in [Glyphs::Ascii, Glyphs::Unicode] {
                let text = page(&r, &Style { width, glyphs, ..Style::default() });
                assert!(glyphs == Glyphs::Unicode || text.is_ascii(), "{name}");
                for line in text.lines() {
                    assert!(line.chars().count() <= width, "{name} at {width}: {line}");
                }
            }
        }
    }
    // The tables and the packets of the evidence as well.
    let style = Style { width: 60, detail: Detail::Evidence, ..Style::default() };
    for r in [make::clean(), make::broken(), make::outages(), make::open_loop(), make::interrupted()] {
        page(&r, &style).lines().for_each(|line| assert!(line.chars().count() <= 60, "{line}"));
    }
}

#[test]
fn a_narrow_page_keeps_the_median_and_the_tail() {
    insta::assert_snapshot!(page(&make::broken(), &Style { width: 60, ..Style::default() }));
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let plain = page(&make::broken(), &Style::default());
    let coloured = page(&make::broken(), &Style { colour: Colour::Ansi, ..Style::default() });
    assert_ne!(plain, coloured);
    let mut stripped = String::new();
    let mut inside = false;
    for c in coloured.chars() {
        match (inside, c) {
            (false, '\x1b') => inside = true,
            (true, 'm') => inside = false,
            (false, c) => stripped.push(c),
            _ => {}
        }
    }
    assert_eq!(stripped, plain);
}
