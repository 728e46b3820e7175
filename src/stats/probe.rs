//! What the probes beside the workloads saw, and what the device said of itself, as bounded series.

use std::collections::{BTreeMap, VecDeque};

use super::{Latency, Trend};
use espstress_event::{DeviceSample, FailureCounts, FullSize, Reading, Restart, Silence, Telemetry};

/// What the probes of a run came to.
#[derive(Clone, Debug)]
pub struct ProbeOutcome {
    /// ICMP echo.
    pub icmp: ProbeStats,
    /// TCP connect and orderly close.
    pub tcp: ProbeStats,
    /// Telemetry, as a request and an answer.
    pub telemetry: ProbeStats,
    /// What the telemetry said.
    pub device: DeviceSeries,
}

/// One kind of probe: what it measured, or why it did not.
#[derive(Clone, Debug)]
pub enum ProbeStats {
    /// It ran.
    Measured(Box<ProbeKindStats>),
    /// It could not run, or was switched off.
    Unavailable {
        /// Why, in half a sentence.
        reason: String,
    },
}

impl ProbeStats {
    /// What it measured.
    #[must_use]
    pub fn measured(&self) -> Option<&ProbeKindStats> {
        match self {
            Self::Measured(stats) => Some(stats),
            Self::Unavailable { .. } => None,
        }
    }
}

/// What one kind of probe measured.
#[derive(Clone, Debug)]
pub struct ProbeKindStats {
    /// When it began, nanoseconds since the start of the run.
    start_ns: u64,
    /// Time between two probes, nanoseconds.
    pub(crate) interval_ns: u64,
    /// Time after which a probe counts as lost, nanoseconds.
    pub(crate) timeout_ns: u64,
    /// Probes sent whose fate is known.
    pub sent: u64,
    /// Those answered in time.
    pub answered: u64,
    /// Those answered too late: they are lost, but the device was there.
    pub late: u64,
    /// Those that the host itself could not send; in no other count.
    pub host_failures: u64,
    /// The most lost in a row.
    pub(crate) most_lost_in_a_row: u64,
    /// The longest time between two answers that lost probes lie between, nanoseconds; `None` when none was lost.
    pub longest_gap_ns: Option<u64>,
    /// Spells in which two or more in a row were lost; the last one may be going on. When there are
    /// [`ProbeKindStats::MOST_SILENCES`], the newest takes the place of the one before it.
    pub silences: Vec<Silence>,
    /// Times that are over in which one or more were lost; the newest, [`ProbeKindStats::MOST_SILENCES`] at most.
    pub gaps: VecDeque<ProbeGap>,
    /// When the last answer came, nanoseconds since the start of the run; before the first one, the start.
    pub(crate) last_answer_ns: u64,
    /// When the latest of the answered probes was sent, nanoseconds since the start of the run; before the first one, an
    /// interval before the start.
    last_answered_sent_ns: Option<u64>,
    /// For how long none was asked that was due since the last answered one, nanoseconds, and until when.
    not_asked: (u64, u64),
    /// Why probes failed, by name (TCP and telemetry over HTTP only).
    pub failures: FailureCounts,
    /// Probes as large as the path is said to carry, beside the small ones; `None` where none were sent.
    pub full_size: Option<FullSize>,
    /// Why none of them were sent; `None` where they were, or are still to be.
    pub no_full_size: Option<String>,
    /// From sending to the answer.
    pub latency: Latency,
}

/// The time between two answers in which probes were lost, nanoseconds since the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeGap {
    /// The answer before; the start of the run where there was none.
    pub after_ns: u64,
    /// The answer after.
    pub until_ns: u64,
    /// Probes lost in between.
    pub lost: u64,
}

/// Whether a time without answers is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpellEnd {
    Answered { at_ns: u64 },
    GoesOn,
}

impl ProbeKindStats {
    /// Spells kept at most: those that a path losing one probe in twenty makes by chance in two weeks, at a probe a second.
    pub const MOST_SILENCES: usize = 4_096;

    /// Nothing measured yet.
    #[must_use]
    pub fn new(start_ns: u64, interval_ns: u64, timeout_ns: u64) -> Self {
        Self {
            start_ns,
            interval_ns,
            timeout_ns,
            sent: 0,
            answered: 0,
            late: 0,
            host_failures: 0,
            most_lost_in_a_row: 0,
            longest_gap_ns: None,
            silences: Vec::new(),
            gaps: VecDeque::new(),
            last_answer_ns: start_ns,
            last_answered_sent_ns: None,
            not_asked: (0, 0),
            failures: FailureCounts::default(),
            full_size: None,
            no_full_size: None,
            latency: Latency::default(),
        }
    }

    /// A probe was answered, `latency_ns` after it was sent; `at_ns` is now.
    pub fn answer(&mut self, at_ns: u64, latency_ns: u64) {
        self.sent += 1;
        self.answered += 1;
        self.latency.record(latency_ns);
        let sent_ns = at_ns.saturating_sub(latency_ns);
        self.spell(sent_ns, SpellEnd::Answered { at_ns });
        self.last_answer_ns = self.last_answer_ns.max(at_ns);
        self.last_answered_sent_ns = self.last_answered_sent_ns.max(Some(sent_ns));
        if sent_ns >= self.not_asked.1 {
            self.not_asked = (0, sent_ns);
        }
    }

    /// The host could not send a probe.
    pub fn host_failure(&mut self, at_ns: u64) {
        self.host_failures += 1;
        self.not_asked(at_ns, self.interval_ns);
    }

    /// Probes that were due were not asked for so long, until `at_ns`.
    pub fn not_asked(&mut self, at_ns: u64, for_ns: u64) {
        self.not_asked = (self.not_asked.0.saturating_add(for_ns), at_ns);
    }

    /// A probe was not answered in time.
    pub fn loss(&mut self, at_ns: u64) {
        self.sent += 1;
        // Later probes may have been answered while this one was waited for: then there is no spell.
        self.spell(at_ns.saturating_sub(self.timeout_ns), SpellEnd::GoesOn);
    }

    /// Notes the time without an answer that a probe sent at `sent_ns` ends or prolongs. Losses become known later than
    /// the answers to the probes behind them, so the times at which answered probes were sent tell how many are missing
    /// between them: an answer that is merely late is no loss.
    fn spell(&mut self, sent_ns: u64, end: SpellEnd) {
        let since = match self.last_answered_sent_ns {
            Some(last) => sent_ns.saturating_sub(last),
            None => sent_ns.saturating_sub(self.start_ns) + self.interval_ns,
        };
        let not_asked = if sent_ns >= self.not_asked.1 { self.not_asked.0 } else { 0 };
        let asked_for = since.saturating_sub(not_asked);
        let sent = (asked_for + self.interval_ns / 2) / self.interval_ns.max(1);
        let (lost, until_ns) = match end {
            SpellEnd::Answered { at_ns } => (sent.saturating_sub(1), at_ns),
            SpellEnd::GoesOn => (sent, sent_ns),
        };
        if lost == 0 {
            return;
        }
        let gap = until_ns.saturating_sub(self.last_answer_ns);
        self.most_lost_in_a_row = self.most_lost_in_a_row.max(lost);
        self.longest_gap_ns = Some(self.longest_gap_ns.map_or(gap, |longest| longest.max(gap)));
        let to_ns = match end {
            SpellEnd::Answered { at_ns } => Some(at_ns),
            SpellEnd::GoesOn => None,
        };
        if to_ns.is_some() {
            self.gap(ProbeGap { after_ns: self.last_answer_ns, until_ns, lost });
        }
        if lost < 2 {
            return;
        }
        if let Some(open) = self.silences.last_mut().filter(|silence| silence.to_ns.is_none()) {
            (open.to_ns, open.lost) = (to_ns, lost);
        } else {
            self.silences.truncate(Self::MOST_SILENCES - 1);
            let first = self.last_answered_sent_ns.map_or(self.start_ns, |last| last + self.interval_ns);
            self.silences.push(Silence { from_ns: first.min(until_ns), to_ns, lost });
        }
    }

    /// How many were sent between these times and lost, as far as their even distances tell; also those after the last answer.
    #[must_use]
    pub fn lost_between(&self, from_ns: u64, to_ns: u64) -> u64 {
        let within = |first_ns: u64, apart_ns: u64, lost: u64| {
            let sent_ns = (0..lost).map(|n| first_ns.saturating_add(apart_ns.saturating_mul(n)));
            sent_ns.filter(|at_ns| (from_ns..to_ns).contains(at_ns)).count() as u64
        };
        let over = self.gaps.iter().map(|gap| {
            let apart = gap.until_ns.saturating_sub(gap.after_ns) / gap.lost.saturating_add(1);
            within(gap.after_ns.saturating_add(apart), apart, gap.lost)
        });
        let over: u64 = over.sum();
        let known: u64 = self.gaps.iter().map(|gap| gap.lost).sum();
        let going_on = match self.gaps.len() {
            // The oldest are forgotten.
            Self::MOST_SILENCES => 0,
            _ => self.sent.saturating_sub(self.answered).saturating_sub(known),
        };
        let first =
            self.last_answered_sent_ns.map_or(self.start_ns, |last| last.saturating_add(self.interval_ns));
        over + within(first, self.interval_ns, going_on)
    }

    fn gap(&mut self, gap: ProbeGap) {
        if self.gaps.len() == Self::MOST_SILENCES {
            self.gaps.pop_front();
        }
        self.gaps.push_back(gap);
    }
}

/// What the device said of itself over a run.
#[derive(Clone, Debug, Default)]
pub struct DeviceSeries {
    /// Answers taken.
    pub samples: u64,
    /// Whether the device told them unasked, on its console: when it prints is the program's choice, so a reading may come in
    /// the middle of a connection, and none after the last.
    pub unasked: bool,
    /// Whether its free heap is that of a garbage collector, which falls until the collector runs.
    pub collected: bool,
    /// Answers that could not be read.
    pub unreadable: u64,
    /// The first answer.
    pub first: Option<DeviceSample>,
    /// The last answer.
    pub last: Option<DeviceSample>,
    /// Extremes and slope of each number; one that the device does not have is not here.
    pub readings: BTreeMap<Reading, Trend>,
    /// Heap free over the requests that the device has counted, bytes; empty where it does not count them.
    pub heap_by_request: Trend,
    /// Restarts in the order of time. When there are [`DeviceSeries::MOST_RESTARTS`], the newest takes the place of the one
    /// before it.
    pub restarts: Vec<Restart>,
    /// All restarts that were noticed.
    pub restart_count: u64,
    /// Disconnections from the access point during the run, by the reason that was the last at the time.
    pub disconnects: BTreeMap<String, u64>,
    /// Answers kept as they were, evenly spread over the run; at most [`DeviceSeries::MOST`].
    kept: Vec<DeviceSample>,
    /// Every how-manieth answer is kept; a power of two.
    stride: u64,
}

impl DeviceSeries {
    /// Answers kept at most.
    pub const MOST: usize = 1_000;
    /// Restarts kept at most: those of a device that restarts every five minutes for two weeks.
    pub const MOST_RESTARTS: usize = 4_096;

    /// Clocks of small devices are some hundred parts per million off, and answers are late: an uptime that is
    /// behind by less than this is no restart.
    const UPTIME_SLACK_MS: u64 = 1_000;

    /// Takes one answer.
    pub fn take(&mut self, sample: DeviceSample) {
        let restarted = self.last.as_ref().is_some_and(|last| Self::is_restart(last, &sample));
        if restarted {
            let uptime_ns = sample.telemetry.uptime_ms.unwrap_or(0).saturating_mul(1_000_000);
            self.note_restart(Restart {
                noticed_ns: sample.at_ns,
                started_ns: sample.at_ns.saturating_sub(uptime_ns),
                reset_reason: sample.telemetry.reset_reason.clone(),
                last_words: sample.telemetry.last_words.clone(),
                boot_count: sample.telemetry.boot_count,
            });
        }
        self.note_disconnects(&sample.telemetry, restarted);
        for reading in Reading::ALL {
            if let Some(value) = reading.of(&sample.telemetry) {
                let trend = self.readings.entry(reading).or_default();
                if restarted {
                    trend.restart();
                }
                trend.add(sample.at_ns as f64 / 1e9, value);
            }
        }
        if let (Some(free), Some(served)) = (sample.telemetry.heap_free_bytes, sample.telemetry.served()) {
            if restarted {
                self.heap_by_request.restart();
            }
            self.heap_by_request.add(served as f64, free as f64);
        }
        self.keep(&sample);
        self.samples += 1;
        self.first.get_or_insert_with(|| sample.clone());
        self.last = Some(sample);
    }

    /// Counts a restart, and keeps it.
    pub fn note_restart(&mut self, restart: Restart) {
        self.restart_count += 1;
        let at = self.restarts.partition_point(|known| known.noticed_ns <= restart.noticed_ns);
        self.restarts.insert(at, restart);
        if self.restarts.len() > Self::MOST_RESTARTS {
            self.restarts.remove(Self::MOST_RESTARTS - 1);
        }
    }

    /// Whether its last answer was asked for at `since_ns` or later and shows no more connections than the least so far.
    #[must_use]
    pub fn is_at_rest(&self, since_ns: u64) -> bool {
        let Some(last) = self.last.as_ref().filter(|last| last.asked_ns >= since_ns) else { return false };
        let least = self.readings.get(&Reading::SocketsUsed).and_then(|trend| trend.min);
        let open = last.telemetry.sockets_used.zip(least).is_some_and(|(now, least)| f64::from(now) > least);
        !open && last.telemetry.tcp_fin_wait.unwrap_or(0) == 0
    }

    /// A restart shows in the device's own count of starts, or in an uptime that went back, or that is younger
    /// than the time since the last answer.
    fn is_restart(last: &DeviceSample, now: &DeviceSample) -> bool {
        if let (Some(before), Some(after)) = (last.telemetry.boot_count, now.telemetry.boot_count) {
            return after != before;
        }
        let (Some(before), Some(after)) = (last.telemetry.uptime_ms, now.telemetry.uptime_ms) else {
            return false;
        };
        let between_ms = now.at_ns.saturating_sub(last.at_ns) / 1_000_000;
        after + Self::UPTIME_SLACK_MS + between_ms / 100 < before + between_ms
    }

    fn note_disconnects(&mut self, now: &Telemetry, restarted: bool) {
        let Some(count) = now.wifi_disconnects else { return };
        let before = match &self.last {
            Some(last) if !restarted => last.telemetry.wifi_disconnects.unwrap_or(count),
            Some(_) => 0,
            None => count,
        };
        if count > before {
            let reason = now.wifi_last_reason.clone().unwrap_or_else(|| "UNKNOWN".to_owned());
            *self.disconnects.entry(reason).or_insert(0) += count - before;
        }
    }

    fn keep(&mut self, sample: &DeviceSample) {
        self.stride = self.stride.max(1);
        if !self.samples.is_multiple_of(self.stride) {
            return;
        }
        if self.kept.len() >= Self::MOST {
            let mut nth = 0;
            self.kept.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.stride *= 2;
            if !self.samples.is_multiple_of(self.stride) {
                return;
            }
        }
        let mut sample = sample.clone();
        if !self.kept.is_empty() {
            // Options do not change from answer to answer; the first one has them.
            sample.telemetry.options.clear();
        }
        self.kept.push(sample);
    }

    /// Answers spread over the run; options only in the first.
    #[must_use]
    pub fn rows(&self) -> &[DeviceSample] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    /// Probes each second with a time-out of two; those whose answer is lost are given by their second.
    fn probed(seconds: u64, lost: &[u64]) -> ProbeKindStats {
        let mut stats = ProbeKindStats::new(0, S, 2 * S);
        let mut known: Vec<(u64, Option<u64>)> = (0..seconds)
            .map(|s| if lost.contains(&s) { (s * S + 2 * S, None) } else { (s * S + S / 100, Some(S / 100)) })
            .collect();
        known.sort_unstable();
        for (at_ns, latency) in known {
            match latency {
                Some(latency) => stats.answer(at_ns, latency),
                None => stats.loss(at_ns),
            }
        }
        stats
    }

    #[test]
    fn a_single_loss_is_a_gap_of_two_intervals_and_no_silence() {
        let stats = probed(20, &[5]);
        assert_eq!((stats.sent, stats.answered, stats.longest_gap_ns), (20, 19, Some(2 * S)));
        assert_eq!(stats.silences, []);
        assert_eq!(stats.gaps, [ProbeGap { after_ns: 4 * S + S / 100, until_ns: 6 * S + S / 100, lost: 1 }]);
    }

    #[test]
    fn losses_in_a_row_are_one_silence_whatever_becomes_known_first() {
        let stats = probed(20, &[5, 6, 7, 8]);
        assert_eq!(stats.longest_gap_ns, Some(5 * S));
        let ends = stats.silences.iter().map(|s| (s.to_ns, s.lost)).collect::<Vec<_>>();
        assert_eq!(ends, [(Some(9 * S + S / 100), 4)]);
    }

    #[test]
    fn probes_that_were_not_asked_are_not_lost() {
        let mut stats = ProbeKindStats::new(0, S, S);
        stats.answer(S / 100, S / 100);
        // This machine stood still from before 1 s on, and asked the probe of then at 4.9 s, and the next in time.
        stats.not_asked(4_900_000_000, 3_900_000_000);
        stats.answer(4_900_000_000 + S / 100, S / 100);
        stats.answer(5 * S + S / 100, S / 100);
        stats.host_failure(6 * S);
        stats.answer(7 * S + S / 100, S / 100);
        assert_eq!((stats.longest_gap_ns, stats.silences.len(), stats.gaps.len()), (None, 0, 0));
        // One was lost before it stood still.
        stats.not_asked(11 * S, 2 * S);
        stats.answer(11 * S + S / 100, S / 100);
        assert_eq!((stats.longest_gap_ns, stats.gaps.len()), (Some(4 * S), 1));
    }

    #[test]
    fn answers_that_are_late_and_come_together_are_no_silence() {
        let mut stats = ProbeKindStats::new(0, S, 2 * S);
        stats.answer(S / 100, S / 100);
        // Neither machine ran for a while: three probes are answered at once, in time.
        for sent in [1, 2, 3] {
            stats.answer(3 * S + S / 10, 3 * S + S / 10 - sent * S);
        }
        assert_eq!((stats.most_lost_in_a_row, stats.longest_gap_ns), (0, None));
        assert_eq!(stats.silences, []);
    }

    #[test]
    fn a_silence_that_lasts_has_no_end() {
        let stats = probed(20, &[16, 17, 18, 19]);
        let [silence] = stats.silences[..] else { panic!("{:?}", stats.silences) };
        assert_eq!((silence.to_ns, silence.lost), (None, 4));
        assert!(silence.from_ns.abs_diff(16 * S) < S / 10, "{silence:?}");
    }

    #[test]
    fn of_more_silences_than_are_kept_the_last_is_known() {
        let mut stats = ProbeKindStats::new(0, S, S);
        let silent = |stats: &mut ProbeKindStats, at: u64| {
            stats.answer(at * S, 0);
            (1..=3).for_each(|n| stats.loss((at + 1 + n) * S));
        };
        let many = ProbeKindStats::MOST_SILENCES as u64 + 10;
        (0..many).for_each(|n| silent(&mut stats, 10 * n));
        let (last, all) = (stats.silences.last().unwrap(), &stats.silences);
        assert_eq!((all.len(), last.to_ns), (ProbeKindStats::MOST_SILENCES, None));
        assert_eq!((all[0].from_ns, last.from_ns), (S, 10 * (many - 1) * S + S));
    }

    fn sample(at_s: u64, uptime_ms: u64, boot_count: Option<u32>) -> DeviceSample {
        let telemetry = Telemetry {
            uptime_ms: Some(uptime_ms),
            boot_count,
            heap_free_bytes: Some(50_000),
            ..Telemetry::default()
        };
        DeviceSample { asked_ns: at_s * S, at_ns: at_s * S, telemetry }
    }

    #[test]
    fn an_uptime_that_goes_back_is_a_restart_and_a_slow_clock_is_none() {
        let mut series = DeviceSeries::default();
        for (at, uptime) in [(1, 9_000), (2, 9_990), (3, 10_980), (4, 500), (5, 1_500)] {
            series.take(sample(at, uptime, None));
        }
        assert_eq!(series.restart_count, 1);
        assert_eq!(series.restarts[0].started_ns, 3_500_000_000);
    }

    #[test]
    fn of_more_restarts_than_are_kept_the_newest_is_known_and_all_are_counted() {
        let many = DeviceSeries::MOST_RESTARTS as u64 + 10;
        let mut series = DeviceSeries::default();
        for n in 1..=many {
            series.note_restart(Restart {
                noticed_ns: n,
                started_ns: n,
                reset_reason: None,
                last_words: None,
                boot_count: None,
            });
        }
        let (last, before) = (series.restarts[DeviceSeries::MOST_RESTARTS - 1].noticed_ns, &series.restarts);
        assert_eq!((series.restart_count, before.len(), last), (many, DeviceSeries::MOST_RESTARTS, many));
        assert!(before.is_sorted_by_key(|restart| restart.noticed_ns));
    }

    #[test]
    fn a_restart_between_two_distant_answers_shows_though_the_uptime_grew() {
        let mut series = DeviceSeries::default();
        series.take(sample(1, 5_000, None));
        series.take(sample(61, 30_000, None));
        assert_eq!(series.restart_count, 1);
    }

    #[test]
    fn the_devices_own_count_of_starts_decides_where_there_is_one() {
        let mut series = DeviceSeries::default();
        series.take(sample(1, 5_000, Some(1)));
        series.take(sample(2, 100, Some(2)));
        series.take(sample(3, 50, Some(2)));
        assert_eq!(series.restart_count, 1);
    }

    #[test]
    fn the_series_stays_bounded() {
        let mut series = DeviceSeries::default();
        for second in 0..100_000 {
            series.take(sample(second, second * 1_000, Some(1)));
        }
        assert!(series.rows().len() <= DeviceSeries::MOST && series.rows().len() >= DeviceSeries::MOST / 2);
        assert_eq!(series.restart_count, 0);
    }
}
