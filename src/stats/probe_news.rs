//! When there is something to tell of the probes, and what: so that a log has it before the run is over.

use super::{DeviceSeries, ProbeStats};
use espstress_event::{DeviceProgress, DeviceSample, ProbeProgress, Probed, Recorded, SectionCourse};

/// Time between two accounts while nothing decisive happens, nanoseconds: ten seconds, less half of the second between
/// two looks at it, so that one that comes a little early is not put off to the next.
const EVERY_NS: u64 = 9_500_000_000;

/// What of the probes was told, in a few numbers.
#[derive(Clone, Debug, Default)]
pub struct ProbeNews {
    told: Option<(Decisive, u64)>,
}

/// What is told as soon as it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decisive {
    /// Each kind's spells without answers, and whether the last one goes on; `None` for a kind that has asked nothing.
    silences: [Option<(usize, bool)>; 3],
    /// Whether the device has said anything.
    speaks: bool,
    restarts: u64,
}

impl ProbeNews {
    /// What is to be told at `now_ns`, if it is time; `kinds` are ICMP, TCP and telemetry. From now on it is told.
    pub fn due(
        &mut self,
        kinds: [&ProbeStats; 3],
        device: &DeviceSeries,
        course: SectionCourse,
        now_ns: u64,
    ) -> Option<Probed> {
        let decisive = Decisive {
            silences: kinds.map(silences),
            speaks: device.samples > 0,
            restarts: device.restart_count,
        };
        let due = match self.told {
            None => decisive.silences.iter().any(Option::is_some),
            Some((told, at_ns)) => {
                told != decisive || course == SectionCourse::Ended || now_ns.saturating_sub(at_ns) >= EVERY_NS
            }
        };
        due.then(|| {
            self.told = Some((decisive, now_ns));
            let [icmp, tcp, telemetry] = kinds.map(progress);
            Probed { icmp, tcp, telemetry, device: device_progress(device) }
        })
    }
}

fn silences(of: &ProbeStats) -> Option<(usize, bool)> {
    let stats = of.measured().filter(|stats| stats.sent > 0)?;
    Some((stats.silences.len(), stats.silences.last().is_some_and(|silence| silence.to_ns.is_none())))
}

fn progress(of: &ProbeStats) -> Option<ProbeProgress> {
    let stats = of.measured().filter(|stats| stats.sent > 0)?;
    Some(ProbeProgress {
        sent: stats.sent,
        answered: stats.answered,
        longest_gap_ns: stats.longest_gap_ns,
        silences: stats.silences.clone(),
        latencies: stats.latency.recorded().collect::<Recorded>(),
    })
}

fn device_progress(of: &DeviceSeries) -> Option<DeviceProgress> {
    let newest = of.last.as_ref()?;
    let telemetry = newest.telemetry.brief();
    let readings = of.readings.iter().filter_map(|(reading, trend)| Some((*reading, trend.progress()?)));
    Some(DeviceProgress {
        samples: of.samples,
        disconnects: telemetry.wifi_disconnects.map(|_| of.disconnects.values().sum()),
        newest: DeviceSample { telemetry, ..*newest },
        restart_count: of.restart_count,
        restarts: of.restarts.clone(),
        readings: readings.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProbeKindStats;
    use espstress_event::Telemetry;

    const S: u64 = 1_000_000_000;

    /// Probes of one kind with the device's answers, told every second.
    struct Run {
        stats: ProbeStats,
        device: DeviceSeries,
        news: ProbeNews,
    }

    impl Run {
        fn new() -> Self {
            let stats = ProbeStats::Measured(Box::new(ProbeKindStats::new(0, S, 2 * S)));
            Self { stats, device: DeviceSeries::default(), news: ProbeNews::default() }
        }

        fn kind(&mut self) -> &mut ProbeKindStats {
            match &mut self.stats {
                ProbeStats::Measured(stats) => stats,
                ProbeStats::Unavailable { reason } => panic!("{reason}"),
            }
        }

        fn answer(&mut self, second: u64, uptime_ms: u64) {
            self.kind().answer(second * S, S / 100);
            let telemetry = Telemetry {
                uptime_ms: Some(uptime_ms),
                heap_free_bytes: Some(50_000 + second),
                ..Telemetry::default()
            };
            self.device.take(DeviceSample { asked_ns: second * S, at_ns: second * S, telemetry });
        }

        fn told(&mut self, course: SectionCourse, second: u64) -> Option<Probed> {
            let none = ProbeStats::Unavailable { reason: "test".into() };
            self.news.due([&none, &none, &self.stats], &self.device, course, second * S)
        }
    }

    #[test]
    fn what_probes_come_to_is_told_at_first_then_every_ten_seconds_and_when_workloads_end() {
        let mut run = Run::new();
        assert!(run.told(SectionCourse::UnderWay, 1).is_none(), "nothing is known yet");
        let mut told = Vec::new();
        for second in 2..=30 {
            run.answer(second, second * 1_000);
            if run.told(SectionCourse::UnderWay, second).is_some() {
                told.push(second);
            }
        }
        assert_eq!(told, [2, 12, 22]);
        let probed = run.told(SectionCourse::Ended, 30).unwrap();
        let kind = probed.telemetry.unwrap();
        assert_eq!((kind.sent, kind.answered, kind.latencies[0].1), (29, 29, 29));
        let device = probed.device.unwrap();
        let heap = device.readings[0].1;
        assert_eq!((device.samples, heap.first, heap.last), (29, 50_002.0, 50_030.0));
        assert!(heap.slope.is_some_and(|slope| slope.low_per_second > 0.0));
    }

    #[test]
    fn a_restart_and_a_silence_are_told_at_once() {
        let mut run = Run::new();
        run.answer(1, 9_000);
        assert!(run.told(SectionCourse::UnderWay, 1).is_some());
        run.answer(2, 300);
        let probed = run.told(SectionCourse::UnderWay, 2).unwrap();
        assert_eq!(probed.device.unwrap().restarts.len(), 1);
        (5..=7).for_each(|second| run.kind().loss(second * S));
        assert_eq!(run.told(SectionCourse::UnderWay, 7).unwrap().telemetry.unwrap().silences.len(), 1);
        run.kind().loss(8 * S);
        assert!(run.told(SectionCourse::UnderWay, 8).is_none(), "it goes on");
        run.answer(9, 7_300);
        assert!(run.told(SectionCourse::UnderWay, 9).unwrap().telemetry.unwrap().silences[0].to_ns.is_some());
    }
}
