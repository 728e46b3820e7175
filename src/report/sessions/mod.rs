//! A run that was stopped and resumed: the report of its sessions together. What adds up is added up; a trend, a median and
//! the like do not, and are absent or said to be those of the last session.

mod found;
mod mqtt;

use serde::{Deserialize, Serialize};

use crate::human::time_s;
use crate::outages::{LinkOutages, OutageSummary};
use crate::thresholds::Gates;
use crate::{
    Capture, CaptureStatus, LatencyFigures, ProbeRow, Report, SeriesRow, TelemetrySummary, Timeline, Workload,
};
use espstress_diagnose::AnomalyRow;
use espstress_event::WorkloadKind;
use espstress_stats::{Latency, Phase};

/// Rows of a series at most: more are joined two by two.
const MOST_ROWS: usize = 1_800;

/// Examples of one anomaly.
const EXAMPLES: usize = 5;

/// One session of a run that was resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionRow {
    /// When it started, RFC 3339, UTC.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    pub started_at: String,
    /// When it started, seconds since the start of the first one.
    pub start_s: f64,
    /// How long it took, seconds.
    pub duration_s: f64,
    /// Whether it was ended before it was complete.
    pub interrupted: bool,
    /// Its seed.
    pub seed: u64,
    /// Attempts that ended in it.
    pub attempts: u64,
    /// Successes among them.
    pub succeeded: u64,
}

impl SessionRow {
    fn of(report: &Report, start_s: f64) -> Self {
        Self {
            started_at: report.started_at.clone(),
            start_s,
            duration_s: report.duration_s,
            interrupted: report.interrupted,
            seed: report.seed,
            attempts: report.workloads.iter().map(|w| w.attempts).sum(),
            succeeded: report.workloads.iter().map(|w| w.succeeded).sum(),
        }
    }
}

/// What of a run must be the same for it to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Continues<'a> {
    /// The device.
    pub target: &'a crate::Target,
    /// Name, kind and parameters of each workload.
    pub workloads: Vec<(&'a str, &'a str, &'a serde_json::Value)>,
}

/// Why a workload of this kind can't go on in another run; `None` where it can.
#[must_use]
pub fn cannot_resume(kind: WorkloadKind) -> Option<&'static str> {
    let why = "the silent connections that it waits for ended with the run that opened them";
    (kind == WorkloadKind::HalfOpen).then_some(why)
}

/// Parameters that may differ between sessions: how long the rest is.
const LENGTHS: [&str; 3] = ["duration", "count", "cycles"];

impl Report {
    /// Whether both hold the attempts of one session of one device: they are reports of the same run, or one of them goes on
    /// where the other ended.
    #[must_use]
    pub fn shares_a_session(&self, other: &Self) -> bool {
        let theirs = other.each_session();
        self.target.address == other.target.address
            && self.each_session().iter().any(|one| theirs.contains(one))
    }

    /// When each session began, and its seed.
    fn each_session(&self) -> Vec<(&str, u64)> {
        match self.sessions.as_slice() {
            [] => vec![(&self.started_at, self.seed)],
            sessions => sessions.iter().map(|row| (row.started_at.as_str(), row.seed)).collect(),
        }
    }

    /// Why a run can't continue this report; `None` if it can.
    #[must_use]
    pub fn refuses(&self, run: &Continues<'_>) -> Option<String> {
        if self.examination.is_some() {
            return Some("an examination can't be continued".into());
        }
        if self.target.kind != run.target.kind {
            let (was, is) = (self.target.kind.name(), run.target.kind.name());
            return Some(format!("it is of another kind of target: {was}, not {is}"));
        }
        // A twin or a sim has another port each time.
        if self.target.kind == crate::TargetKind::Device && self.target.address != run.target.address {
            return Some(format!("it is of {}, not of {}", self.target.address, run.target.address));
        }
        if let Some(why) = self.target.differs(run.target) {
            return Some(why);
        }
        for (name, kind, params) in &run.workloads {
            if let Some(why) = WorkloadKind::named(kind).and_then(cannot_resume) {
                return Some(format!("its workload {name} can't be resumed: {why}"));
            }
            // A session that was stopped early has not begun all of them.
            let Some(before) = self.workload(name) else { continue };
            if before.kind != *kind {
                return Some(format!("its workload {name} is of the kind {}, not {kind}", before.kind));
            }
            if let Some(key) = other_key(&before.params, params) {
                return Some(format!("its workload {name} has another setting `{key}`"));
            }
        }
        let gone = self.workloads.iter().find(|w| run.workloads.iter().all(|(name, ..)| *name != w.name));
        gone.map(|w| format!("its workload {} is not part of this run", w.name))
    }

    /// This report as the continuation of an earlier one. Gates are not judged again.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        let by_s = self.start_after(earlier);
        // Both sessions together may show what one of them left open.
        let mut open = earlier.standing_remarks();
        open.extend(self.standing_remarks());
        self.remarks.retain(|remark| !open.contains(remark));
        let mut sessions = earlier.sessions.clone();
        if sessions.is_empty() {
            sessions.push(SessionRow::of(earlier, 0.0));
        }
        sessions.push(SessionRow::of(&self, by_s));
        self.shift(by_s);
        let mut of_last = Vec::new();
        let mut workloads = earlier.workloads.clone();
        for w in std::mem::take(&mut self.workloads) {
            match workloads.iter_mut().find(|before| before.name == w.name) {
                Some(before) => of_last.extend(before.add(w)),
                None => workloads.push(w),
            }
        }
        self.workloads = workloads;
        self.capture = capture(&earlier.capture, &self.capture, sessions.len());
        self.anomalies = anomalies(&earlier.anomalies, std::mem::take(&mut self.anomalies));
        for row in &earlier.not_judged {
            match self.not_judged.iter_mut().find(|own| own.id == row.id && own.reason == row.reason) {
                Some(own) => own.connections += row.connections,
                None => self.not_judged.push(row.clone()),
            }
        }
        self.telemetry = match (earlier.telemetry.clone(), self.telemetry.take()) {
            (Some(before), Some(now)) => Some(telemetry(before, now)),
            (before, now) => before.or(now),
        };
        self.probes = probes(&earlier.probes, std::mem::take(&mut self.probes));
        self.link_outages = match (earlier.link_outages.clone(), self.link_outages.take()) {
            (Some(before), Some(now)) => Some(links(before, now)),
            (before, now) => before.or(now),
        };
        let nth = sessions.len();
        self.findings = found::findings(&earlier.findings, std::mem::take(&mut self.findings), nth);
        self.account = found::account(&earlier.account, std::mem::take(&mut self.account));
        self.findings_incomplete = found::incomplete(
            earlier.findings_incomplete.as_deref(),
            self.findings_incomplete.as_deref(),
            nth,
        );
        self.timeline = Timeline::joined(&earlier.timeline, std::mem::take(&mut self.timeline));
        let add = |a: Option<f64>, b: Option<f64>| Some(a.unwrap_or(0.0) + b?);
        self.host.cpu_user_s = add(earlier.host.cpu_user_s, self.host.cpu_user_s);
        self.host.cpu_system_s = add(earlier.host.cpu_system_s, self.host.cpu_system_s);
        self.host.memory_peak_bytes = self.host.memory_peak_bytes.max(earlier.host.memory_peak_bytes);
        let away_s = by_s - earlier.duration_s;
        let mut remarks = earlier.remarks.clone();
        remarks.retain(|remark| !self.remarks.contains(remark) && !open.contains(remark));
        // A log without an end tells its last line, not how long the program lived after it.
        let cut = earlier.sessions.last().map_or(earlier.interrupted, |last| last.interrupted);
        let (after, between) = if cut {
            ("the last that the previous one tells", "nothing is known of the time in between")
        } else {
            ("the previous one had ended", "nothing was measured in between")
        };
        remarks.push(format!("session {nth} began {} after {after}; {between}", time_s(away_s)));
        remarks.append(&mut self.remarks);
        of_last.retain(|remark| !remarks.contains(remark));
        remarks.extend(of_last);
        self.remarks = remarks;
        self.duration_s += by_s;
        self.started_at.clone_from(&earlier.started_at);
        self.sessions = sessions;
        self.note_remarks();
        self
    }

    /// The continuation with the gates judged; without expressions there are none.
    pub(crate) fn after_judged(self, earlier: &Self, gates: Option<&Gates>) -> Self {
        let mut report = self.after(earlier);
        if let Some(gates) = gates {
            gates.judge(&mut report);
        }
        report
    }

    /// When this one started, seconds since the start of the earlier one. A clock that was set back counts no time twice.
    fn start_after(&self, earlier: &Self) -> f64 {
        let at = |report: &Self| humantime::parse_rfc3339(&report.started_at).ok();
        let apart = at(self).zip(at(earlier)).and_then(|(now, then)| now.duration_since(then).ok());
        apart.map_or(0.0, |apart| apart.as_secs_f64()).max(earlier.duration_s)
    }

    /// Moves every time of it.
    fn shift(&mut self, by_s: f64) {
        for w in &mut self.workloads {
            w.start_s += by_s;
            w.series.iter_mut().for_each(|row| row.start_s += by_s);
            w.outages.iter_mut().flatten().for_each(|row| row.shift(by_s));
            w.mqtt.iter_mut().for_each(|mqtt| mqtt.shift(by_s));
        }
        for a in &mut self.anomalies {
            a.first_s += by_s;
            a.last_s += by_s;
            for example in &mut a.examples {
                example.at_s += by_s;
                example.packets.iter_mut().for_each(|packet| packet.at_s += by_s);
            }
        }
        for row in &mut self.account {
            row.first_s += by_s;
            row.last_s += by_s;
        }
        self.telemetry.iter_mut().flat_map(|t| &mut t.series).for_each(|row| row.at_s += by_s);
        self.link_outages.iter_mut().flat_map(|l| &mut l.rows).for_each(|row| row.start_s += by_s);
        for row in &mut self.timeline.rows {
            row.start_s += by_s;
            row.end_s = row.end_s.map(|s| s + by_s);
        }
    }
}

/// The first setting that differs, but for lengths.
fn other_key(before: &serde_json::Value, now: &serde_json::Value) -> Option<String> {
    let (Some(before), Some(now)) = (before.as_object(), now.as_object()) else {
        return (before != now).then(|| "params".to_owned());
    };
    let keys = before.keys().chain(now.keys());
    let mut other = keys.filter(|key| !LENGTHS.contains(&key.as_str()) && before.get(*key) != now.get(*key));
    other.next().cloned()
}

impl Workload {
    /// Adds a later session of the same workload; what could not be added up, in sentences.
    fn add(&mut self, later: Self) -> Option<String> {
        let wall_s = self.duration_s + later.duration_s;
        let (mut last, mut not_all) = (Vec::new(), Vec::new());
        let both_tried = self.attempts > 0 && later.attempts > 0;
        self.duration_s = wall_s;
        self.attempts += later.attempts;
        self.succeeded += later.succeeded;
        for (failure, n) in later.failures.0 {
            *self.failures.0.entry(failure).or_default() += n;
        }
        for (code, n) in later.responses {
            *self.responses.entry(code).or_default() += n;
        }
        self.first_status = self.first_status.or(later.first_status);
        self.malformed.add(&later.malformed);
        self.bytes.sent += later.bytes.sent;
        self.bytes.received += later.bytes.received;
        self.bytes.goodput += later.bytes.goodput;
        self.port_waits += later.port_waits;
        self.reconnects += later.reconnects;
        self.late_starts += later.late_starts;
        self.late_starts_dropped += later.late_starts_dropped;
        self.unfinished += later.unfinished;
        let tried = self.attempts.saturating_sub(self.failures.of_host());
        self.success_rate = (tried > 0).then(|| self.succeeded as f64 / tried as f64);
        let per_second = |n: u64| crate::latency::finite(n as f64 / wall_s);
        self.attempts_per_s = per_second(tried);
        self.goodput_bytes_per_s = per_second(self.bytes.goodput);
        // A session without an end has the latencies of its main phase only, and no TCP_INFO.
        let one_sided =
            |phase: &&Phase| self.latency.contains_key(*phase) != later.latency.contains_key(*phase);
        let mut phases: Vec<_> = self.latency.keys().chain(later.latency.keys()).filter(one_sided).collect();
        phases.sort();
        not_all.extend(phases.iter().map(|phase| format!("latency.{}", phase.name())));
        if self.tcp.is_some() != later.tcp.is_some() {
            not_all.push("tcp".to_owned());
        }
        not_all.retain(|_| both_tried);
        for (phase, l) in later.latency {
            match self.latency.get_mut(&phase) {
                Some(before) => *before = before.with(&l),
                None => drop(self.latency.insert(phase, l)),
            }
        }
        self.main_phase = self.main_phase.or(later.main_phase);
        self.series = joined(std::mem::take(&mut self.series), later.series);
        self.tcp = match (self.tcp.take(), later.tcp) {
            (Some(before), Some(now)) => Some(before.with(&now)),
            (before, now) => before.or(now),
        };
        let mut replace = |name: &str, had: bool| {
            if had {
                last.push(name.to_owned());
            }
        };
        replace("idle_closes", self.idle_closes.is_some());
        replace("http", !self.http.is_empty());
        replace("by_protocol", self.by_protocol.is_some());
        replace("raw_summary", self.raw_summary.is_some());
        self.idle_closes = later.idle_closes;
        self.http = later.http;
        self.by_protocol = later.by_protocol;
        self.raw_summary = later.raw_summary;
        self.half_open = later.half_open;
        self.mqtt = match (self.mqtt.take(), later.mqtt) {
            (Some(before), Some(now)) => Some(before.with(now)),
            (before, now) => before.or(now),
        };
        self.refused = later.refused.or(self.refused.take());
        self.params = later.params;
        let before = self.outages.as_ref().map_or(0, Vec::len);
        if let Some(rows) = later.outages {
            self.outages.get_or_insert_default().extend(rows);
        }
        for (i, row) in self.outages.iter_mut().flatten().enumerate().skip(before) {
            row.number = i as u64 + 1;
        }
        self.outage_summary = match (self.outage_summary.take(), later.outage_summary) {
            (Some(before), Some(now)) => Some(OutageSummary::joined(before, now)),
            (before, now) => before.or(now),
        };
        let told = [(last, "of the last session only"), (not_all, "not of every session")]
            .into_iter()
            .filter(|(what, _)| !what.is_empty());
        let told: Vec<_> = told.map(|(what, of)| format!("{} {of}", what.join(", "))).collect();
        (!told.is_empty()).then(|| format!("{}: {}", self.name, told.join("; ")))
    }
}

impl LatencyFigures {
    /// Both distributions as one.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut both = match (self.histogram(), other.histogram()) {
            (Some(a), Some(b)) => {
                let mut all = Latency::from_histogram(a);
                all.merge(&Latency::from_histogram(b));
                Self::from_latency(&all)
            }
            (Some(_), None) => self.clone(),
            (None, _) => other.clone(),
        };
        both.uncorrected = match (&self.uncorrected, &other.uncorrected) {
            (Some(a), Some(b)) => Some(Box::new(a.with(b))),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        both
    }
}

impl crate::Tcp {
    fn with(&self, other: &Self) -> Self {
        let connections = self.connections + other.connections;
        let weighted = |t: &Self| Some(t.rtt_mean_us? * t.connections as f64);
        let mean = weighted(self).zip(weighted(other)).map(|(a, b)| (a + b) / connections as f64);
        Self {
            connections,
            retransmissions: self.retransmissions + other.retransmissions,
            lost: self.lost + other.lost,
            rtt_min_us: self.rtt_min_us.min(other.rtt_min_us),
            rtt_mean_us: mean.and_then(crate::latency::finite),
            rtt_max_us: self.rtt_max_us.max(other.rtt_max_us),
        }
    }
}

/// Both series, coarser where there would be too many rows. Rows that nothing lies between are joined, never over a gap.
fn joined(mut rows: Vec<SeriesRow>, later: Vec<SeriesRow>) -> Vec<SeriesRow> {
    rows.extend(later);
    let mut apart_s = 0.5;
    while rows.len() > MOST_ROWS {
        let mut coarser: Vec<SeriesRow> = Vec::with_capacity(rows.len() / 2 + 1);
        let mut rest = rows.into_iter().peekable();
        while let Some(mut row) = rest.next() {
            let end_s = row.start_s + row.length_s;
            if let Some(next) = rest.next_if(|next| next.start_s - end_s < apart_s) {
                absorb(&mut row, next);
            }
            coarser.push(row);
        }
        // Many short sessions: gaps of theirs are joined as well in the end.
        apart_s *= 4.0;
        rows = coarser;
    }
    rows
}

fn absorb(row: &mut SeriesRow, next: SeriesRow) {
    let counted = |row: &SeriesRow| row.latency_mean_us.map(|mean| (mean, row.succeeded.max(1) as f64));
    row.latency_mean_us = match (counted(row), counted(&next)) {
        (Some((a, m)), Some((b, n))) => Some((a * m + b * n) / (m + n)),
        (a, b) => a.or(b).map(|(mean, _)| mean),
    };
    // Percentiles of two rows do not follow from those of each.
    (row.latency_p50_us, row.latency_p90_us, row.latency_p99_us) = (None, None, None);
    row.latency_max_us = match (row.latency_max_us, next.latency_max_us) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    row.length_s = next.start_s + next.length_s - row.start_s;
    row.attempts += next.attempts;
    row.succeeded += next.succeeded;
    row.bytes += next.bytes;
    for (failure, n) in next.failures.0 {
        *row.failures.0.entry(failure).or_default() += n;
    }
}

/// As complete as the less complete one. Where only some sessions were captured, the packets are those of these, and the
/// others' were missed. `nth` is the number of the session that `now` is of.
fn capture(before: &Capture, now: &Capture, nth: usize) -> Capture {
    let none = |capture: &Capture| matches!(capture.status, CaptureStatus::Denied | CaptureStatus::Off);
    if none(before) != none(now) {
        let (seen, other, who) = match (none(now), nth) {
            (true, _) => (before, now, format!("session {nth} was")),
            (false, ..=2) => (now, before, "session 1 was".to_owned()),
            (false, _) => (now, before, format!("sessions 1 to {} were", nth - 1)),
        };
        let why = other.reason.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        let missed = [seen.reason.clone(), Some(format!("{who} not captured{why}"))];
        return Capture {
            status: CaptureStatus::Dropped,
            packets: seen.packets,
            dropped: seen.dropped,
            reason: Some(missed.into_iter().flatten().collect::<Vec<_>>().join("; ")),
        };
    }
    let rank = |capture: &Capture| match capture.status {
        CaptureStatus::Complete => 0,
        CaptureStatus::FileIncomplete => 1,
        CaptureStatus::Dropped => 2,
        CaptureStatus::Denied => 3,
        CaptureStatus::Off => 4,
    };
    let worse = if rank(before) > rank(now) { before } else { now };
    let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    // What either of them missed stays missed.
    let reasons = match (&before.reason, &now.reason) {
        (Some(a), Some(b)) if a != b && !none(before) => Some(format!("{a}; {b}")),
        _ => worse.reason.clone(),
    };
    Capture {
        status: worse.status,
        packets: add(before.packets, now.packets),
        dropped: add(before.dropped, now.dropped),
        reason: reasons,
    }
}

fn anomalies(before: &[AnomalyRow], now: Vec<AnomalyRow>) -> Vec<AnomalyRow> {
    let mut rows = before.to_vec();
    for row in now {
        let same = |own: &&mut AnomalyRow| {
            (own.id, own.class, own.direction, &own.workload)
                == (row.id, row.class, row.direction, &row.workload)
        };
        match rows.iter_mut().find(same) {
            None => rows.push(row),
            Some(own) => {
                own.count += row.count;
                own.connections += row.connections;
                own.last_s = own.last_s.max(row.last_s);
                own.examples.extend(row.examples);
                own.examples.truncate(EXAMPLES);
            }
        }
    }
    rows
}

fn telemetry(before: TelemetrySummary, now: TelemetrySummary) -> TelemetrySummary {
    let (m, n) = (before.samples as f64, now.samples as f64);
    let mut summary = before.summary;
    for (reading, s) in now.summary {
        let Some(own) = summary.get_mut(&reading) else {
            summary.insert(reading, s);
            continue;
        };
        own.last = s.last;
        own.min = own.min.min(s.min);
        own.max = own.max.max(s.max);
        own.mean = own.mean.zip(s.mean).and_then(|(a, b)| crate::latency::finite((a * m + b * n) / (m + n)));
        // A trend over a gap, in which the device may have been restarted, is none.
        (own.slope_per_hour, own.slope_low_per_hour, own.slope_high_per_hour) = (None, None, None);
    }
    let mut series = before.series;
    series.extend(now.series);
    while series.len() > MOST_ROWS {
        let mut nth = 0;
        series.retain(|_| {
            nth += 1;
            nth % 2 == 1
        });
    }
    TelemetrySummary {
        samples: before.samples + now.samples,
        lost: before.lost + now.lost,
        reboots: before.reboots.zip(now.reboots).map(|(a, b)| a + b),
        reset_reasons: before.reset_reasons.into_iter().chain(now.reset_reasons).collect(),
        wifi_last_reason: now.wifi_last_reason.or(before.wifi_last_reason),
        heap_total_bytes: now.heap_total_bytes,
        sockets_limit: now.sockets_limit,
        summary,
        series,
        incomplete: before.incomplete.or(now.incomplete),
    }
}

fn probes(before: &[ProbeRow], now: Vec<ProbeRow>) -> Vec<ProbeRow> {
    let mut rows = before.to_vec();
    for row in now {
        match rows.iter_mut().find(|own| own.kind == row.kind) {
            None => rows.push(row),
            Some(own) => {
                own.sent += row.sent;
                own.lost += row.lost;
                own.longest_gap_s = match (own.longest_gap_s, row.longest_gap_s) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    (a, b) => a.or(b),
                };
                own.latency = own.latency.with(&row.latency);
                own.incomplete = own.incomplete.take().or(row.incomplete);
            }
        }
    }
    rows
}

fn links(before: LinkOutages, now: LinkOutages) -> LinkOutages {
    let mut rows = before.rows;
    rows.extend(now.rows);
    let first = rows.len().saturating_sub(MOST_ROWS);
    LinkOutages { count: before.count + now.count, rows: rows.split_off(first) }
}
