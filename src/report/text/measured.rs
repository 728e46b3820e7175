//! What was measured: a block a workload, then what went on beside them.

use std::fmt::Write as _;

use super::{LABEL, label, raw, title};
use crate::by_protocol;
use crate::distribution::Axis;
use crate::human::{bytes, count, digits, figure, percent, positive, rate, things, time_s, time_us};
use crate::style::{Detail, Glyphs, Style, Tone};
use crate::{Failures, LatencyFigures, OutageRow, Reading, Report, TelemetrySummary, Unit, Workload};
use espstress_event::{Failure, IdleCloses};

pub(super) fn workload(out: &mut String, w: &Workload, style: Style) {
    let kind = if w.kind == w.name { String::new() } else { format!(" ({})", w.kind) };
    let mut head = vec![format!("{} in {}", things(w.attempts, "attempt"), time_s(w.duration_s))];
    head.extend(w.attempts_per_s.map(rate));
    head.extend(w.success_in_words());
    let name = format!("{}{kind}", w.name);
    out.push('\n');
    let indent = name.chars().count() + 3;
    if indent + 40 <= style.columns() {
        style.wrapped(out, &format!("{}   ", style.paint(Tone::Strong, &name)), indent, &head.join(", "));
    } else {
        let _ = writeln!(out, "{}", style.paint(Tone::Strong, &name));
        style.wrapped(out, "  ", 2, &head.join(", "));
    }
    if style.detail == Detail::Evidence {
        parameters(out, &w.params, style);
    }
    latencies(out, w, style);
    for (name, text) in answers(w) {
        line(out, &name, &text, style);
    }
    failures(out, &w.failures, style);
    for (name, text) in traffic(w) {
        line(out, &name, &text, style);
    }
    if let Some(summary) = &w.raw_summary {
        raw::lines(out, w, summary, style);
    }
    for (label, text) in w.standing() {
        line(out, &label, &text, style);
    }
    if style.detail == Detail::Evidence {
        outages(out, w.outages.as_deref().unwrap_or_default(), style);
    }
}

/// Everything that a workload measured besides its latencies and outages, by the names of the page.
pub(crate) fn measured(w: &Workload) -> Vec<(String, String)> {
    let failed = [(false, "failures"), (true, "host")].into_iter().filter_map(|(host, name)| {
        let text = listed(&w.failures, |f| f.is_host() == host);
        let note = if host { " (limits of this machine, not of the device)" } else { "" };
        (!text.is_empty()).then(|| (name.to_owned(), format!("{text}{note}")))
    });
    answers(w).into_iter().chain(failed).chain(traffic(w)).chain(w.standing()).collect()
}

/// What came back.
fn answers(w: &Workload) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if !w.responses.is_empty() {
        rows.push(("responses".to_owned(), responses(w)));
    }
    rows.extend(w.malformed_in_words().map(|text| ("malformed".to_owned(), text)));
    rows.extend(w.http_in_words().into_iter().map(|(name, text)| (name.to_owned(), text)));
    rows
}

/// Bytes, TCP, and what the host did besides.
fn traffic(w: &Workload) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    if w.bytes.sent + w.bytes.received > 0 {
        let mut list = vec![
            format!("sent {}", bytes(w.bytes.sent as f64)),
            format!("received {}", bytes(w.bytes.received as f64)),
        ];
        if let Some(g) = w.goodput_bytes_per_s.filter(|g| *g > 0.0) {
            let right = if w.payload_is_compared() { "correct payload" } else { "payload" };
            list.push(format!("{right} {}/s (wall clock)", bytes(g)));
        }
        rows.push(("bytes".to_owned(), list.join(", ")));
    }
    if let Some(t) = &w.tcp {
        let mean = t.rtt_mean_us.map_or(String::new(), |m| format!("mean {}, ", time_us(m)));
        let mut list =
            vec![format!("round trip {mean}{} to {}", time_us(t.rtt_min_us), time_us(t.rtt_max_us))];
        list.extend(positive(t.retransmissions, "segment").map(|s| format!("{s} retransmitted")));
        list.extend(positive(t.lost, "segment").map(|s| format!("{s} considered lost at close")));
        rows.push(("tcp".to_owned(), list.join(", ")));
    }
    let mut also = Vec::new();
    also.extend(positive(w.reconnects, "reconnection"));
    also.extend(
        positive(w.port_waits, "wait")
            .map(|s| format!("{s} for a free source port (not part of any latency)")),
    );
    also.extend(
        positive(w.late_starts, "start")
            .map(|s| format!("{s} late: every connection was busy, or this machine")),
    );
    also.extend(positive(w.late_starts_dropped, "start").map(|s| {
        format!("{s} never started: until the time was up, every connection was busy, or this machine")
    }));
    also.extend(positive(w.unfinished, "attempt").map(|s| format!("{s} under way at the end (not counted)")));
    also.extend(w.idle_closes.map(idle_closes));
    if !also.is_empty() {
        rows.push(("also".to_owned(), also.join("; ")));
    }
    let by_protocol = w.by_protocol.iter().flat_map(|by| by_protocol::lines(by));
    rows.extend(by_protocol.map(|(name, text)| (name.to_owned(), text)));
    rows
}

pub(super) fn line(out: &mut String, name: &str, text: &str, style: Style) {
    style.wrapped(out, &style.paint(Tone::Quiet, &label(name)), LABEL, text);
}

/// Single outages on a page at most.
const OUTAGES: usize = 20;

/// Outages one by one, a table.
fn outages(out: &mut String, rows: &[OutageRow], style: Style) {
    if rows.is_empty() {
        return;
    }
    let cells: Vec<[String; 8]> = rows.iter().take(OUTAGES).map(OutageRow::cells).collect();
    let headings = OutageRow::HEADINGS.map(str::to_owned);
    let all = || std::iter::once(&headings).chain(&cells);
    let widths: Vec<usize> =
        (0..headings.len()).map(|i| all().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
    if widths.iter().map(|width| width + 2).sum::<usize>() > style.columns() {
        // No room for a table: a sentence for each outage.
        for row in &cells {
            let told: Vec<String> =
                headings.iter().zip(row).skip(1).map(|(name, cell)| format!("{name} {cell}")).collect();
            line(out, &format!("outage {}", row[0]), &told.join(", "), style);
        }
        return more_outages(out, rows, style);
    }
    for row in all() {
        let mut text = String::from(" ");
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, " {cell:>width$} ");
        }
        let _ = writeln!(out, "{}", style.paint(Tone::Quiet, text.trim_end()));
    }
    more_outages(out, rows, style);
}

fn more_outages(out: &mut String, rows: &[OutageRow], style: Style) {
    let more = rows.len().saturating_sub(OUTAGES);
    if more > 0 {
        line(out, "", &format!("{more} more in the JSON report"), style);
    }
}

fn parameters(out: &mut String, params: &serde_json::Value, style: Style) {
    let Some(map) = params.as_object() else { return };
    let list: Vec<_> = map
        .iter()
        .filter(|(_, v)| !v.is_null())
        .map(|(k, v)| format!("{k}={}", v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
        .collect();
    if !list.is_empty() {
        line(out, "parameters", &list.join(" "), style);
    }
}

/// Status codes with how often each came.
fn responses(w: &Workload) -> String {
    w.responses.iter().map(|(code, n)| format!("{code} {}", count(*n))).collect::<Vec<_>>().join(", ")
}

/// Idle connections that the device closed.
fn idle_closes(closes: IdleCloses) -> String {
    let (least, median) = (time_us(closes.min_us as f64), time_us(closes.median_us as f64));
    let verdict = match closes.before_request {
        0 => "not a failure".to_owned(),
        n => format!("{} before their first request, which failed", count(n)),
    };
    let told = match closes.told {
        0 => String::new(),
        n if n == closes.count => "with a response 408, ".to_owned(),
        n => format!("{} with a response 408, ", count(n)),
    };
    format!(
        "{} closed by the device ({told}after {least} or sooner, median {median}; {verdict})",
        things(closes.count, "idle connection"),
    )
}

/// Failures of a kind, with how often each came.
fn listed(failures: &Failures, keep: impl Fn(Failure) -> bool) -> String {
    let names: Vec<_> = failures
        .iter()
        .filter(|(f, _)| keep(*f))
        .map(|(f, n)| format!("{} {}", f.name(), count(n)))
        .collect();
    names.join(", ")
}

fn failures(out: &mut String, failures: &Failures, style: Style) {
    if failures.of_device() > 0 {
        let head = style.paint(Tone::Bad, &label("failures"));
        style.wrapped(out, &head, LABEL, &listed(failures, |f| !f.is_host()));
    }
    if failures.of_host() > 0 {
        let text =
            format!("{} (limits of this machine, not of the device)", listed(failures, Failure::is_host));
        style.wrapped(out, &style.paint(Tone::Doubt, &label("host")), LABEL, &text);
    }
}

/// The latency table: a row a phase, and on the right, where there is room, the distribution.
fn latencies(out: &mut String, w: &Workload, style: Style) {
    let mut rows: Vec<(String, &LatencyFigures)> = Vec::new();
    for (phase, l) in w.latency.iter().filter(|(_, l)| l.count > 0) {
        rows.push((phase.name().to_owned(), l));
        rows.extend(l.uncorrected.as_deref().map(|u| ("- uncorrected".to_owned(), u)));
    }
    let Some(axis) = Axis::over(rows.iter().map(|(_, l)| *l)) else { return };
    let headings = ["count", "min", "mean", "p50", "p90", "p99", "max"].map(str::to_owned);
    let cells: Vec<[String; 7]> = rows.iter().map(|(_, l)| figures(l)).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|i| cells.iter().map(|c| c[i].len()).max().unwrap_or(0).max(headings[i].len()) + 2)
        .collect();
    let name_width = rows.iter().map(|(name, _)| name.len() + 2).max().unwrap_or(0).max(LABEL - 2);
    let shown = columns(&widths, style.columns().saturating_sub(name_width));
    let used = name_width + shown.iter().map(|i| widths[*i]).sum::<usize>();
    let room = style.columns().saturating_sub(used + 3).min(40);
    let table_row = |name: &str, cells: &[String; 7]| {
        let mut line = format!("  {name:<width$}", width = name_width - 2);
        for i in &shown {
            let (cell, width) = (&cells[*i], widths[*i]);
            let _ = write!(line, "{cell:>width$}");
        }
        line
    };
    let mut heading = table_row("", &headings);
    if room >= MIN_CELLS {
        let (left, right) = (decade(axis.low), decade(axis.high));
        let gap = room.saturating_sub(left.len() + right.len());
        let _ = write!(heading, "   {left}{}{right}", " ".repeat(gap));
    }
    let _ = writeln!(out, "{}", style.paint(Tone::Quiet, &heading));
    for ((name, l), cells) in rows.iter().zip(&cells) {
        out.push_str(&table_row(name, cells));
        if room >= MIN_CELLS
            && let Some(h) = l.histogram()
        {
            let drawn = strip(&axis.cut(&h, room), style.glyphs);
            let _ = write!(out, "   {}", drawn.trim_end());
        }
        out.push('\n');
    }
    if rows.iter().any(|(name, _)| name.starts_with('-')) {
        let text = "uncorrected: measured from the actual start of an attempt, not the intended one";
        let mut told = String::new();
        style.wrapped(&mut told, "  ", 2, text);
        let _ = writeln!(out, "{}", style.paint(Tone::Quiet, told.trim_end()));
    }
    if style.detail == Detail::Evidence
        && let Some((phase, l)) = w.main_latency()
    {
        bars(out, phase.name(), l, style);
    }
}

/// The columns of the latency table that fit into `room`: the mean goes first, then what matters less than the median and
/// the tail.
fn columns(widths: &[usize], room: usize) -> Vec<usize> {
    const DISPENSABLE: [usize; 4] = [2, 1, 4, 0];
    let mut shown: Vec<usize> = (0..widths.len()).collect();
    for dispensable in DISPENSABLE {
        if shown.iter().map(|i| widths[*i]).sum::<usize>() <= room {
            break;
        }
        shown.retain(|i| *i != dispensable);
    }
    shown
}

/// Fewest columns in which a distribution can be told.
const MIN_CELLS: usize = 12;

fn figures(l: &LatencyFigures) -> [String; 7] {
    let t = |v: Option<f64>| v.map_or_else(|| "-".to_owned(), time_us);
    [count(l.count), t(l.min_us), t(l.mean_us), t(l.p50_us), t(l.p90_us), t(l.p99_us), t(l.max_us)]
}

/// `10 us`: a power of ten, nanoseconds.
fn decade(exponent: i32) -> String {
    let (unit, base) = match exponent {
        ..3 => ("ns", 0),
        3..6 => ("us", 3),
        6..9 => ("ms", 6),
        _ => ("s", 9),
    };
    format!("{} {unit}", 10_u64.pow((exponent - base).unsigned_abs()))
}

/// A distribution in one line. Height goes with the square root, so that a tail of a few stays to be seen.
fn strip(counts: &[u64], glyphs: Glyphs) -> String {
    const BLOCKS: [char; 9] =
        [' ', '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
    const ASCII: [char; 9] = [' ', '.', ':', '-', '=', '+', '*', '#', '@'];
    let ramp = if glyphs == Glyphs::Unicode { BLOCKS } else { ASCII };
    let most = (counts.iter().copied().max().unwrap_or(0).max(1) as f64).sqrt();
    counts
        .iter()
        .map(|n| {
            let height = ((*n as f64).sqrt() / most * 8.0).ceil() as usize;
            ramp[height.min(8)]
        })
        .collect()
}

/// The main phase's distribution, a bar for each of three cells a decade.
fn bars(out: &mut String, name: &str, l: &LatencyFigures, style: Style) {
    let (Some(axis), Some(h)) = (Axis::over([l].into_iter()), l.histogram()) else { return };
    let cells = usize::try_from(axis.high - axis.low).unwrap_or(1) * 3;
    let counts = axis.cut(&h, cells);
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let first = counts.iter().position(|n| *n > 0).unwrap_or(0);
    let last = counts.iter().rposition(|n| *n > 0).unwrap_or(0);
    // The label, `from 10.0 ms`, and the count beside the bar.
    let room = style.columns().saturating_sub(LABEL + 15 + 11).clamp(10, 40) as u64;
    let block = if style.glyphs == Glyphs::Unicode { "\u{2588}" } else { "#" };
    for (i, n) in counts.iter().enumerate().take(last + 1).skip(first) {
        let from = 10_f64.powf(f64::from(axis.low) + i as f64 / 3.0) / 1e3;
        let length = (*n * room).div_ceil(most) as usize;
        let head = if i == first { label(name) } else { label("") };
        let bar = block.repeat(length);
        let _ = writeln!(out, "{head}from {:>8}  {bar} {}", time_us(from), count(*n));
    }
}

/// Probes and telemetry.
pub(super) fn beside(out: &mut String, r: &Report, style: Style) {
    let rows = probes(r);
    if rows.is_empty() {
        return;
    }
    title(out, "During the workloads", style);
    for (name, text) in rows {
        line(out, &name, &text, style);
    }
}

/// Probes and telemetry, by the names of the page.
pub(crate) fn probes(r: &Report) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for p in &r.probes {
        let mut list = vec![format!("{} sent", count(p.sent))];
        if p.lost > 0 {
            list.push(format!("{} lost ({})", count(p.lost), percent(p.loss_ratio().unwrap_or(0.0))));
        }
        if let (Some(p50), Some(p99)) = (p.latency.p50_us, p.latency.p99_us) {
            list.push(format!("p50 {}, p99 {}", time_us(p50), time_us(p99)));
        }
        list.extend(p.longest_gap_s.map(|s| format!("longest gap {}", time_s(s))));
        rows.push((p.kind.name().to_owned(), list.join(", ")));
    }
    if let Some(t) = &r.telemetry {
        telemetry(&mut rows, t);
    }
    // The probes are cut off together, and told in one line.
    let cut = r.probes.iter().map(|p| &p.incomplete).chain(r.telemetry.iter().map(|t| &t.incomplete));
    rows.extend(cut.flatten().next().map(|reason| ("incomplete".to_owned(), reason.clone())));
    rows
}

fn telemetry(rows: &mut Vec<(String, String)>, t: &TelemetrySummary) {
    let mut line = |name: &str, text: String| rows.push((name.to_owned(), text));
    let mut list = vec![things(t.samples, "reading")];
    list.extend((t.lost > 0).then(|| format!("{} lost", count(t.lost))));
    list.extend(t.reboots.filter(|n| *n > 0).map(|n| {
        let why = if t.reset_reasons.is_empty() {
            String::new()
        } else {
            format!(" ({})", t.reset_reasons.join(", "))
        };
        format!("{}{why}", things(n, "restart"))
    }));
    line("device", list.join(", "));
    let span_s = match (t.series.first(), t.series.last()) {
        (Some(first), Some(last)) => last.at_s - first.at_s,
        _ => 0.0,
    };
    for (reading, s) in &t.summary {
        let unit = match reading {
            Reading::HeapFreeBytes
            | Reading::HeapMinFreeBytes
            | Reading::HeapLargestBlockBytes
            | Reading::ProgramMemoryBytes => Unit::Bytes,
            Reading::WifiRssiDbm => Unit::Dbm,
            _ => Unit::Count,
        };
        if s.min == s.max {
            if s.max != 0.0 {
                line(reading.short(), format!("{} throughout", figure(s.max, unit)));
            }
            continue;
        }
        let mut text = format!(
            "{} to {}, between {} and {}",
            figure(s.first, unit),
            figure(s.last, unit),
            figure(s.min, unit),
            figure(s.max, unit)
        );
        if let (Some(slope), Some(low), Some(high)) =
            (s.slope_per_hour, s.slope_low_per_hour, s.slope_high_per_hour)
            && (low > 0.0) == (high > 0.0)
        {
            let _ = write!(text, ", trend {}", trend(slope, unit, span_s));
        }
        line(reading.short(), text);
    }
}

/// A trend by a time that was watched: nobody knows an hour from its first seconds.
fn trend(per_hour: f64, unit: Unit, span_s: f64) -> String {
    let (slope, time) = match span_s {
        ..120.0 => (per_hour / 3_600.0, "s"),
        ..7_200.0 => (per_hour / 60.0, "min"),
        _ => (per_hour, "h"),
    };
    match unit {
        Unit::Bytes => format!("{}/{time}", bytes(slope)),
        _ => format!("{}/{time}", digits(slope)),
    }
}
