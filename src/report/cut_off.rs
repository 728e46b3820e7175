//! Sections of a run whose log has no end: what was known by the last line about them, and that it is not all.

use std::collections::BTreeMap;

use super::log_lines::{CaptureAsked, ExaminedLine, HalfOpenLine, SilencedLine};
use super::workload::seconds;
use super::{Availability, Capture, CaptureStatus, HalfOpenFigures};
use espstress_event::{Examination, LimitReached, SectionCourse, SilencedConnection, Stage};

/// What a run that cannot look at packets says of it, by its beginning.
pub(super) const NO_PACKETS: &str = "packets are not looked at: ";

/// What the lines told of the connections that one workload silenced.
#[derive(Default)]
pub(super) struct Silenced {
    connections: BTreeMap<u32, SilencedConnection>,
    section: Option<HalfOpenLine>,
}

impl Silenced {
    /// Takes what is new about connections.
    pub(super) fn connections(&mut self, line: SilencedLine) {
        self.connections.extend(line.connections.into_iter().map(|c| (c.connection, c)));
    }

    /// Takes a newer account of the sums.
    pub(super) fn section(&mut self, line: HalfOpenLine) {
        self.section = Some(line);
    }

    /// The section as it is known; `None` where the log tells nothing of one.
    pub(super) fn rebuilt(self) -> Option<HalfOpenFigures> {
        let (mut figures, when) = match self.section {
            Some(line) if line.course == SectionCourse::Ended => return Some(line.half_open),
            Some(line) => (line.half_open, format!("the sums are those of {:.1} s", line.at_s)),
            None if self.connections.is_empty() => return None,
            None => (HalfOpenFigures::default(), "there are no sums yet".to_owned()),
        };
        let known: Vec<SilencedConnection> = self.connections.into_values().collect();
        // Lines may have been lost: then the sums know better.
        if figures.unavailable.is_none() && known.len() as u64 >= figures.silenced {
            count(&mut figures, &known);
        }
        figures.connections = known;
        if figures.limit == LimitReached::NotSearched {
            // There may have been more to come.
            figures.all_reclaimed_s = None;
        }
        figures.incomplete =
            Some(format!("the log ends while connections were silent or being opened; {when} of the run"));
        Some(figures)
    }
}

/// What follows from the connections alone.
fn count(figures: &mut HalfOpenFigures, known: &[SilencedConnection]) {
    let of = |stage| known.iter().filter(|c| c.stage == stage).count() as u64;
    let back = || known.iter().filter_map(|c| c.reclaimed_after_ns);
    figures.silenced = known.len() as u64;
    (figures.served, figures.unserved) = (of(Stage::Served), of(Stage::Unserved));
    figures.never_reclaimed = known.iter().filter(|c| c.reclaimed_after_ns.is_none()).count() as u64;
    figures.first_reclaimed_s = back().min().map(seconds);
    figures.all_reclaimed_s = back().max().filter(|_| figures.never_reclaimed == 0).map(seconds);
    for evidence in known.iter().filter_map(|c| c.evidence) {
        if !figures.evidence.contains(&evidence) {
            figures.evidence.push(evidence);
        }
    }
}

/// An examination whose end is not known.
pub(super) fn examination(line: ExaminedLine) -> Examination {
    let incomplete = Some(format!(
        "the log ends before the examination did: this was known after `{}`, at {:.1} s; what came later and what \
         the packets showed is not in it",
        line.workload, line.at_s
    ));
    Examination { incomplete, ..line.examination }
}

/// What can be said of the packets of a run whose end is not known.
pub(super) fn capture(asked: CaptureAsked, refused: Option<String>) -> Capture {
    match (asked, refused) {
        (CaptureAsked::Off, _) => Capture::off(None),
        (CaptureAsked::On, Some(text)) => {
            Capture::denied(text.strip_prefix(NO_PACKETS).unwrap_or(&text).to_owned())
        }
        (CaptureAsked::On, None) => Capture {
            status: CaptureStatus::Dropped,
            packets: None,
            dropped: None,
            reason: Some(
                "rebuilt from the log of a run without an end: it names the anomalies that were told by then, at \
                 most 1000, and no count of packets"
                    .into(),
            ),
        },
    }
}

impl SilencedLine {
    /// Whether its figures can be figures.
    pub(super) fn is_sane(&self) -> bool {
        self.connections.iter().all(sane)
    }
}

impl HalfOpenLine {
    /// Whether its figures can be figures.
    pub(super) fn is_sane(&self) -> bool {
        let h = &self.half_open;
        let times = [
            h.served_again_s,
            h.served_after_release_s,
            h.first_reclaimed_s,
            h.all_reclaimed_s,
            h.expected_reclaim_s,
            Some(h.watched_s),
            Some(self.at_s),
        ];
        let counts = [h.silenced, h.served, h.unserved, h.exhausted_attempts, h.exhausted_succeeded];
        let periods = [&h.before, &h.filling, &h.during, &h.after];
        times.into_iter().flatten().all(is_time)
            && counts.into_iter().all(is_count)
            && h.capacity.is_none_or(is_count)
            && is_count(h.never_reclaimed)
            && periods.into_iter().flatten().all(countable)
            && h.connections.iter().all(sane)
            && h.failures.iter().all(|f| is_moment(f.at_ns))
            && h.unavailable_spells.iter().all(|s| is_moment(s.from_ns) && s.to_ns.is_none_or(is_moment))
    }
}

fn is_moment(ns: u64) -> bool {
    is_time(seconds(ns))
}

fn sane(connection: &SilencedConnection) -> bool {
    is_moment(connection.silent_ns) && connection.reclaimed_after_ns.is_none_or(is_moment)
}

fn countable(of: &Availability) -> bool {
    is_count(of.attempts) && is_count(of.served) && of.failures.iter().all(|(_, n)| is_count(n))
}

fn is_time(s: f64) -> bool {
    (0.0..=super::from_log::LATEST_S).contains(&s)
}

const fn is_count(n: u64) -> bool {
    n <= super::from_log::MOST
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::ReclaimEvidence;

    fn connection(number: u32, reclaimed_after_ns: Option<u64>) -> SilencedConnection {
        SilencedConnection {
            connection: number,
            port: 40_000,
            stage: Stage::Served,
            opened_ns: None,
            silent_ns: 2_000_000_000,
            reclaimed_after_ns,
            evidence: reclaimed_after_ns.map(|_| ReclaimEvidence::Reset),
        }
    }

    fn told(connections: Vec<SilencedConnection>) -> SilencedLine {
        SilencedLine { workload: "silent".into(), connections }
    }

    fn section(course: SectionCourse, half_open: HalfOpenFigures) -> HalfOpenLine {
        HalfOpenLine { workload: "silent".into(), at_s: 12.0, course, half_open }
    }

    #[test]
    fn a_fate_that_is_newer_than_the_sums_counts() {
        let mut of = Silenced::default();
        of.connections(told(vec![connection(1, None), connection(2, None)]));
        let figures =
            HalfOpenFigures { silenced: 2, limit: LimitReached::Device, ..HalfOpenFigures::default() };
        of.section(section(SectionCourse::UnderWay, figures));
        of.connections(told(vec![connection(2, Some(19_500_000_000))]));
        let rebuilt = of.rebuilt().unwrap();
        assert_eq!((rebuilt.silenced, rebuilt.served, rebuilt.never_reclaimed), (2, 2, 1));
        assert_eq!((rebuilt.first_reclaimed_s, rebuilt.all_reclaimed_s), (Some(19.5), None));
        assert_eq!(rebuilt.evidence, [ReclaimEvidence::Reset]);
        assert!(rebuilt.incomplete.unwrap().contains("12.0 s"));
    }

    #[test]
    fn nobody_says_that_all_came_back_while_more_may_fall_silent() {
        let mut of = Silenced::default();
        of.connections(told(vec![connection(1, Some(3_000_000_000))]));
        let rebuilt = of.rebuilt().unwrap();
        assert_eq!((rebuilt.first_reclaimed_s, rebuilt.all_reclaimed_s), (Some(3.0), None));
    }

    #[test]
    fn sums_stand_where_lines_about_connections_were_lost() {
        let mut of = Silenced::default();
        of.connections(told(vec![connection(7, None)]));
        let figures = HalfOpenFigures { silenced: 7, served: 7, ..HalfOpenFigures::default() };
        of.section(section(SectionCourse::UnderWay, figures));
        let rebuilt = of.rebuilt().unwrap();
        assert_eq!((rebuilt.silenced, rebuilt.served, rebuilt.connections.len()), (7, 7, 1));
    }

    #[test]
    fn what_had_ended_is_whole() {
        let mut of = Silenced::default();
        let figures = HalfOpenFigures { silenced: 3, watched_s: 30.0, ..HalfOpenFigures::default() };
        of.section(section(SectionCourse::Ended, figures.clone()));
        assert_eq!(of.rebuilt(), Some(figures));
        assert_eq!(Silenced::default().rebuilt(), None, "a log without such lines tells of no such section");
    }
}
