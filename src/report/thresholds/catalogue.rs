//! The names of all figures, explained, for `espstress thresholds`.

use std::fmt::Write as _;

use super::figure::{CLASSES, STATS, allowed};
use crate::{ProbeKind, Reading, Unit};
use espstress_diagnose::FindingId;
use espstress_event::{AnomalyId, Failure, HttpFault};
use espstress_stats::Phase;

/// The catalogue of figures: their names, what they mean and what they may be compared with.
#[must_use]
pub fn catalogue() -> String {
    let mut out = String::from(
        "A threshold is NAME OP VALUE, OP one of < <= > >= == !=, as in\n\
         \x20 head.latency.total.p99 < 250ms\n\
         \x20 head.success_rate >= 99.9%\n\
         \x20 anomalies.abortive_close == 0\n\
         W stands for the workload's name in the scenario.\n",
    );
    for (title, rows) in SECTIONS {
        let _ = write!(out, "\n{title}\n");
        for (name, unit, about) in *rows {
            let _ = writeln!(out, "  {name:<34} {:<10} {about}", kind(*unit));
        }
    }
    let mut list = |title: &str, names: &mut dyn Iterator<Item = &str>| {
        let _ = write!(out, "\n{title}\n{}", folded(names));
    };
    list("PHASE is one of", &mut Phase::ALL.iter().map(|p| p.name()));
    list("STAT is one of", &mut STATS.iter().map(|s| s.0));
    list("FAILURE is one of", &mut Failure::ALL.iter().map(|f| f.name()));
    list("FAULT is one of", &mut HttpFault::ALL.iter().map(|f| f.name()));
    list("ANOMALY is one of", &mut AnomalyId::ALL.iter().map(|a| a.name()));
    list("CLASS is one of", &mut CLASSES.iter().map(|c| c.0));
    list("FINDING is one of", &mut FindingId::ALL.iter().map(|f| f.name()));
    list("READING is one of", &mut Reading::ALL.iter().map(|r| r.name()));
    list("PROBE is one of", &mut ProbeKind::ALL.iter().map(|p| p.name()));
    out.push_str("\nValues\n");
    for unit in KINDS {
        let _ = writeln!(out, "  {:<10} {}", kind(unit), allowed(unit));
    }
    out.push_str(
        "\nA latency is of what ended well: a failed attempt has none in the step in which it failed, and no total.\n\
         So a gate on total.max passes although requests time out: set one on W.failed or W.success_rate as well.\n\
         In an open loop total is from the intended start.\n\
         \nA gate is inconclusive (exit status 4) when its figure was not measured, when a percentile rests on\n\
         too few samples (p99 takes 100, p999 takes 1,000), and, for anomalies, when the packets were not all\n\
         looked at and what was seen does not break it already. So is one on an amount that a run which was\n\
         stopped early had not come to.\n",
    );
    out
}

type Row = (&'static str, Unit, &'static str);

const SECTIONS: &[(&str, &[Row])] = &[
    (
        "A workload",
        &[
            ("W.attempts", Unit::Count, "attempts ended"),
            ("W.succeeded", Unit::Count, "successes among them"),
            ("W.failed", Unit::Count, "failures, the host's own left out"),
            ("W.host_failed", Unit::Count, "failures of the host's own"),
            ("W.failures.FAILURE", Unit::Count, "failures of one name"),
            ("W.responses.CODE", Unit::Count, "HTTP responses with one status code, as 200 or 503"),
            ("W.malformed.FAULT", Unit::Count, "HTTP responses with one fault, as truncated or bad_chunk"),
            ("W.success_rate", Unit::Ratio, "successes among what the host did not prevent"),
            ("W.rate", Unit::PerS, "attempts that this host didn't prevent, by wall clock"),
            ("W.goodput", Unit::BytesPerS, "payload of whole answers by wall clock"),
            ("W.duration", Unit::Us, "how long it ran"),
            ("W.bytes.sent .received .goodput", Unit::Bytes, "application bytes"),
            ("W.latency.PHASE.STAT", Unit::Us, "latency without failed attempts (see below)"),
            ("W.latency.PHASE.uncorrected.STAT", Unit::Us, "open loop: from the actual start"),
            ("W.tcp.retransmissions .lost", Unit::Count, "what the host sent again, thought lost"),
            ("W.tcp.rtt_min .rtt_mean .rtt_max", Unit::Us, "smoothed round-trip time at close"),
            ("W.port_waits", Unit::Count, "waits for a free source port"),
            ("W.reconnects", Unit::Count, "connections opened again after a failure"),
            ("W.late_starts", Unit::Count, "open loop: starts that found every connection busy"),
            ("W.late_starts_dropped", Unit::Count, "open loop: starts that never took place"),
            ("W.idle_closes", Unit::Count, "idle connections that the device closed"),
            ("W.udp.loss", Unit::Ratio, "datagrams that did not come back in time"),
            ("W.udp.lost .late", Unit::Count, "the same as a number; those of them that came later"),
            ("W.udp.duplicates .reordered", Unit::Count, "echoes that came again, or after a later one's"),
            ("W.udp.largest", Unit::Bytes, "the largest datagram that came back"),
            ("W.sse.longest_gap", Unit::Us, "longest time without an event on a stream"),
            ("W.sse.longest_silence", Unit::Us, "longest time without any byte on a stream"),
            ("W.sse.ended", Unit::Count, "event streams that the device ended"),
            ("W.websocket.pongs_missing", Unit::Count, "pings that the device did not answer"),
            ("W.websocket.refused", Unit::Count, "handshakes that the device refused"),
            ("W.anomalies.ANOMALY", Unit::Count, "as below, on this workload's connections"),
            ("W.outages.count", Unit::Count, "outages seen"),
            ("W.outages.longest_recovery", Unit::Us, "longest time until data flowed again"),
            ("W.outages.messages_lost", Unit::Count, "messages lost in outages"),
            ("W.outages.connections_died", Unit::Count, "connections that died in outages"),
            ("W.half_open.capacity", Unit::Count, "connections held when the next one failed"),
            ("W.half_open.availability", Unit::Ratio, "successes of others while sockets were held"),
            ("W.half_open.first_reclaimed", Unit::Us, "time until the first socket came back"),
            ("W.half_open.all_reclaimed", Unit::Us, "time until all came back"),
            (
                "W.ping_interval.p99_of_k .max_of_k",
                Unit::Count,
                "mqtt: last packet to PINGREQ, in keep-alives",
            ),
            ("W.device_notices.max_of_k", Unit::Count, "mqtt: until the device notices, in keep-alives"),
            ("W.back.max", Unit::Us, "mqtt: from the end of a fault to CONNACK"),
            ("W.lost.qos0 .qos1 .qos2", Unit::Count, "mqtt: messages lost, by quality of service"),
            ("W.attempts_per_s", Unit::PerS, "mqtt: most connections that the device tried in a fault"),
        ],
    ),
    (
        "What the packets showed",
        &[
            ("anomalies.ANOMALY", Unit::Count, "occurrences that count (see `espstress anomalies`)"),
            ("anomalies.ANOMALY.CLASS", Unit::Count, "occurrences of one class"),
            ("anomalies.CLASS", Unit::Count, "all of one class"),
            ("capture.packets", Unit::Count, "packets looked at"),
            ("capture.dropped", Unit::Count, "packets missed"),
        ],
    ),
    (
        "What it means",
        &[
            ("findings.error .warning .info", Unit::Count, "findings of that severity"),
            ("findings.FINDING", Unit::Count, "1 where it was found (see `espstress findings`)"),
        ],
    ),
    (
        "What the device said of itself, and the probes",
        &[
            ("telemetry.READING.first .last", Unit::Bytes, "a reading, in bytes, dBm or a number"),
            ("telemetry.READING.min .max .mean", Unit::Bytes, "the same over the run"),
            ("telemetry.READING.slope", Unit::BytesPerHour, "its trend per hour"),
            ("telemetry.reboots", Unit::Count, "restarts seen"),
            ("telemetry.samples .lost", Unit::Count, "readings received, not received"),
            ("probes.PROBE.sent .lost", Unit::Count, "questions sent, unanswered"),
            ("probes.PROBE.loss", Unit::Ratio, "share unanswered"),
            ("probes.PROBE.longest_gap", Unit::Us, "longest spell without an answer"),
            ("probes.PROBE.latency.STAT", Unit::Us, "latency of the answers"),
        ],
    ),
];

const KINDS: [Unit; 9] = [
    Unit::Count,
    Unit::Ratio,
    Unit::Us,
    Unit::Bytes,
    Unit::BytesPerS,
    Unit::PerS,
    Unit::BytesPerHour,
    Unit::PerHour,
    Unit::Dbm,
];

/// A unit's word in the catalogue.
const fn kind(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "number",
        Unit::Ratio => "share",
        Unit::Us => "time",
        Unit::Bytes => "bytes",
        Unit::BytesPerS => "bytes/s",
        Unit::PerS => "rate",
        Unit::Dbm => "dBm",
        Unit::BytesPerHour => "bytes/h",
        Unit::PerHour => "per hour",
    }
}

/// Words in lines of at most 96 characters, indented.
fn folded(words: &mut dyn Iterator<Item = &str>) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in words {
        if line.len() + word.len() > 94 {
            let _ = writeln!(out, " {line}");
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, " {line}");
    out
}

#[cfg(test)]
mod tests {
    use super::super::figure::{section_entries, workload_entries};
    use super::*;

    #[test]
    fn every_name_of_the_vocabulary_is_explained() {
        // Patterns and their alternatives of the last part, expanded to plain prefixes.
        let text = catalogue();
        for e in workload_entries().iter().chain(&section_entries()) {
            // Status codes are one pattern.
            for part in e.name.split('.').filter(|part| !part.starts_with(|c: char| c.is_ascii_digit())) {
                let known = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|w| w == part);
                assert!(known, "{part} of {} is not in the catalogue", e.name);
            }
        }
    }

    #[test]
    fn no_line_is_wider_than_a_page() {
        for line in catalogue().lines() {
            assert!(line.len() <= 110, "{}: {line}", line.len());
        }
    }

    #[test]
    fn each_figure_is_listed_with_what_it_is_compared_with() {
        let text = catalogue();
        for (name, kind) in [
            ("W.attempts", "number"),
            ("W.success_rate", "share"),
            ("W.duration", "time"),
            ("W.udp.largest", "bytes"),
            ("W.goodput", "bytes/s"),
            ("W.rate", "rate"),
            ("telemetry.READING.slope", "bytes/h"),
        ] {
            let line = text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
            assert_eq!(line.split_whitespace().nth(1), Some(kind), "{line}");
        }
        assert!(text.contains("\n  per hour   a plain number, or one with /h\n"), "{text}");
        assert!(text.contains("\n  dBm        a plain number, or one with dBm\n"), "{text}");
    }

    #[test]
    fn names_fill_their_lines() {
        let (long, fits) = ("a".repeat(46), "b".repeat(47));
        let words = [long.as_str(), fits.as_str(), "c", "d"];
        assert_eq!(folded(&mut words.into_iter()), format!("  {long} {fits}\n  c d\n"));
    }
}
