//! What happened, in rows above the plots of the run: workloads, outages, faults, anomalies, and what the timeline adds.

use std::collections::BTreeMap;

use crate::drawing::{Ink, Mark, Track};
use crate::human::{things, time_s};
use crate::ladder::class_in_words;
use crate::{Report, TimelineKind, TimelineSource, Workload};
use espstress_event::{AnomalyClass, LinkOutageCause, OutageOrigin};

/// The tracks of a run, those without anything left out.
pub(super) fn of(r: &Report) -> Vec<Track> {
    [workloads(r), outages(r), faults(r), kept_out(r), link(r), others(r), anomalies(r)]
        .into_iter()
        .flatten()
        .filter(|track| !track.marks.is_empty())
        .collect()
}

/// What only the timeline has: restarts, absences, silences of probes, and whatever else somebody said.
fn others(r: &Report) -> Vec<Track> {
    use TimelineKind as Kind;
    let mut tracks: BTreeMap<(Kind, TimelineSource), Track> = BTreeMap::new();
    for row in &r.timeline.rows {
        // Other sections have all of these, the timeline only some.
        if matches!(row.kind, Kind::Load | Kind::Failures | Kind::Anomaly | Kind::Outage | Kind::LinkOutage) {
            continue;
        }
        let (label, class) = match row.kind {
            Kind::Absence => ("the device answered nothing".to_owned(), "doubt"),
            Kind::NoAnswer => ("probes had no answer".to_owned(), "doubt"),
            // What others have to say has its name.
            kind => {
                let label = format!("{} ({})", kind.name().replace('_', " "), row.source.name());
                (label, if kind == Kind::Restart { "bad" } else { "c6" })
            }
        };
        let end = row.end_s.or_else(|| row.ongoing.then_some(r.duration_s));
        let words = format!("{} at {}", row.text, time_s(row.start_s.max(0.0)));
        let mark = end.map_or_else(
            || moment(row.start_s.max(0.0), class, words.clone()),
            |end| spell(row.start_s, end, class, words.clone()),
        );
        let track = tracks.entry((row.kind, row.source));
        track.or_insert_with(|| Track { label, marks: Vec::new() }).marks.push(mark);
    }
    tracks.into_values().collect()
}

fn spell(from_s: f64, to_s: f64, class: &str, words: String) -> Mark {
    Mark { from_s: from_s.max(0.0), to_s: Some(to_s), class: class.to_owned(), words, inside: None }
}

fn moment(at_s: f64, class: &str, words: String) -> Mark {
    Mark { from_s: at_s, to_s: None, class: class.to_owned(), words, inside: None }
}

/// Places of workloads among the colours.
pub(super) fn ink(n: usize) -> Ink {
    Ink::Series(n)
}

fn workloads(r: &Report) -> Vec<Track> {
    let all_names = r.workloads.len();
    let mark = |(n, w): (usize, &Workload)| {
        let words = format!("{}: {} in {}", w.name, things(w.attempts, "attempt"), time_s(w.duration_s));
        let bar = spell(w.start_s, w.start_s + w.duration_s, &ink(n).class(), words);
        Mark { inside: (all_names > 1).then(|| w.name.clone()), ..bar }
    };
    let all: Vec<(usize, &Workload)> = r.workloads.iter().enumerate().collect();
    // Workloads that run at the same time have rows of their own.
    lanes(&all)
        .into_iter()
        .map(|lane| Track {
            label: match lane.as_slice() {
                few @ ([_] | [_, _] | [_, _, _]) => {
                    few.iter().map(|(_, w)| w.name.as_str()).collect::<Vec<_>>().join(", ")
                }
                many => format!("{} workloads", many.len()),
            },
            marks: lane.into_iter().map(mark).collect(),
        })
        .collect()
}

/// Workloads in as few lanes as keep those apart that ran at the same time.
pub(super) fn lanes<'a>(all: &[(usize, &'a Workload)]) -> Vec<Vec<(usize, &'a Workload)>> {
    let mut lanes: Vec<Vec<(usize, &Workload)>> = Vec::new();
    for (n, w) in all {
        let free = lanes.iter_mut().find(|lane| {
            lane.last().is_none_or(|(_, last)| last.start_s + last.duration_s <= w.start_s + 1e-3)
        });
        match free {
            Some(lane) => lane.push((*n, *w)),
            None => lanes.push(vec![(*n, *w)]),
        }
    }
    lanes
}

/// Outages that workloads made or saw.
fn outages(r: &Report) -> Vec<Track> {
    let rows = r.workloads.iter().filter_map(|w| Some((w, w.outages.as_ref()?)));
    let mut made = Track { label: "outages that the test made".to_owned(), marks: Vec::new() };
    let mut natural = Track { label: "outages that the test did not make".to_owned(), marks: Vec::new() };
    for (w, rows) in rows {
        for row in rows {
            let span = row.made_start_s.zip(row.made_length_s).or(row.seen_start_s.zip(row.seen_length_s));
            let Some((start, length)) = span else { continue };
            let recovery = row.recovery_s.map_or_else(String::new, |s| format!(", recovery {}", time_s(s)));
            let words = format!("outage {} of {}: {}{recovery}", row.number, w.name, time_s(length));
            match row.origin {
                OutageOrigin::Made => made.marks.push(spell(start, start + length, "doubt", words)),
                OutageOrigin::Natural => natural.marks.push(spell(start, start + length, "bad", words)),
            }
        }
    }
    vec![made, natural]
}

/// Faults of the broker.
fn faults(r: &Report) -> Vec<Track> {
    let faults = r.workloads.iter().filter_map(|w| w.mqtt.as_ref()).flat_map(|m| &m.outages);
    let marks = faults.map(|fault| {
        let start = crate::workload::seconds(fault.start_ns);
        let end = fault.end_ns().map_or(r.duration_s, crate::workload::seconds);
        let words = format!("fault {}: {}, {}", fault.number, fault.fault.name(), time_s(end - start));
        Mark { inside: Some(fault.fault.name().to_owned()), ..spell(start, end, "doubt", words) }
    });
    vec![Track { label: "faults of the broker".to_owned(), marks: marks.collect() }]
}

/// When the well-behaved client of `half-open` was not served.
fn kept_out(r: &Report) -> Vec<Track> {
    let spells = r.workloads.iter().filter_map(|w| w.half_open.as_ref()).flat_map(|h| &h.unavailable_spells);
    let marks = spells.map(|of| {
        let from = crate::workload::seconds(of.from_ns);
        let to = of.to_ns.map_or(r.duration_s, crate::workload::seconds);
        spell(from, to, "bad", format!("others were not served for {}", time_s(to - from)))
    });
    vec![Track { label: "others were not served".to_owned(), marks: marks.collect() }]
}

fn link(r: &Report) -> Vec<Track> {
    let marks = r.link_outages.iter().flat_map(|of| &of.rows).map(|row| {
        let end = row.length_s.map_or(r.duration_s, |length| row.start_s + length);
        let cause = match row.cause {
            LinkOutageCause::Planned => "by its own plan",
            LinkOutageCause::Asked => "because the run asked for it",
        };
        spell(row.start_s, end, "doubt", format!("the link was down {cause}, {}", time_s(end - row.start_s)))
    });
    vec![Track { label: "the link was down, by its own account".to_owned(), marks: marks.collect() }]
}

/// A track for each anomaly: from the first to the last, and the examples of which the moment is kept.
fn anomalies(r: &Report) -> Vec<Track> {
    let mut rows: Vec<_> = r.anomalies.iter().collect();
    rows.sort_by_key(|a| (a.class != AnomalyClass::Device, a.class == AnomalyClass::Provoked));
    let mut tracks: Vec<Track> = Vec::new();
    for a in rows {
        let class = if a.class == AnomalyClass::Device { "bad" } else { "quiet" };
        let label = format!("{}, {}", a.id.name(), class_in_words(a.class));
        let words = format!("{} on {}", things(a.count, "time"), things(a.connections, "connection"));
        let mut marks = Vec::new();
        if a.last_s > a.first_s {
            marks.push(spell(a.first_s, a.last_s, &format!("faint {class}"), format!("{label}: {words}")));
        }
        let examples: Vec<f64> = a.examples.iter().map(|e| e.at_s).collect();
        let at = if examples.is_empty() { vec![a.first_s] } else { examples };
        marks
            .extend(at.into_iter().map(|s| moment(s, class, format!("{label} at {s:.6} s; {words} in all"))));
        match tracks.iter_mut().find(|track| track.label == label) {
            Some(track) => track.marks.extend(marks),
            None => tracks.push(Track { label, marks }),
        }
    }
    tracks
}
