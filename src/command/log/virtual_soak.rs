//! Days in virtual time, through log and report: every blink of the link, every restart and every leak is in the report at
//! its time, nothing else is, memory stays flat, and the log gives the same report again.
//!
//! The short form is an hour. `scripts/acceptance virtual-soak` runs the 360 hours of the resilience test over several
//! seeds, each in a process of its own: `ESPSTRESS_SOAK_HOURS` and `ESPSTRESS_SOAK_SEED`.

use std::sync::mpsc;

use super::super::files::LIMITS;
use super::*;
use crate::command::assemble;
use espstress_diagnose::{FindingId, Severity};
use espstress_engine::{Ended, Outcome};
use espstress_lab::load::Load;
use espstress_lab::soak::{Leak, Soak};
use espstress_lab::world::{Run, START_UNIX_NS, run_telling};
use espstress_report::{
    Announced, CaptureAsked, Reading, Target, TargetKind, TimelineKind, TimelineRow, TimelineSource, read_log,
};

const HOUR_S: f64 = 3_600.0;

/// A blink is noticed by packets: between the last sign of the device before it, and the first one after it. Messages go
/// every second and are repeated every few.
const NOTICED_S: f64 = 5.0;

/// Resident memory may differ so much between a tenth of the run and its end: the log's buffers, the allocator's pages.
const MEMORY: u64 = 6 << 20;

/// What came of a run of days.
struct Soaked {
    soak: Soak,
    report: Report,
    /// From the log as a power cut would have left it just before the end.
    cut: Report,
    /// From the whole log.
    rebuilt: Report,
    /// Resident memory after a tenth of the run and at its end, bytes.
    memory: (u64, u64),
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1_024
}

fn target() -> Target {
    Target::new("192.168.77.2:80", TargetKind::Twin)
}

fn start(seed: u64, loads: &[Load]) -> LogStart {
    let announced = |name: &str, main_phase| Announced {
        name: name.into(),
        kind: name.into(),
        params: serde_json::Value::Null,
        facts: None,
        main_phase,
    };
    LogStart {
        capture: CaptureAsked::On,
        workloads: loads.iter().map(|load| announced(load.workload(), load.main_phase())).collect(),
        ..LogStart::new(target(), serde_json::json!({ "name": "lab" }), seed)
    }
}

fn outcome(run: Run) -> Outcome {
    Outcome {
        started: UNIX_EPOCH + Duration::from_nanos(START_UNIX_NS as u64),
        duration_ns: run.duration_ns,
        ended: Ended::Completed,
        workloads: run.workloads,
        packets: run.packets,
        findings: run.findings,
        account: run.account,
        link_outages: None,
        probes: Some(run.probes),
        console: None,
        air: None,
        resolved: None,
    }
}

/// Runs a seed, with its log on a disk.
fn soaked(seed: u64, hours: u64) -> Soaked {
    let soak = Soak::of(seed, hours);
    let setup = soak.setup();
    let loads: Vec<Load> = std::iter::once(setup.load).chain(setup.beside).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("soak.log");
    let (remarks_out, _remarks) = mpsc::channel();
    let mut writer = Writer::new(Files::open(&path, LIMITS).unwrap(), start(seed, &loads), remarks_out);
    let mut memory = (0, 0);
    let run = run_telling(&setup, &mut |event| {
        if let Event::Interval { at_ns, .. } = &event
            && memory.0 == 0
            && *at_ns >= soak.length_ns / 10
        {
            memory.0 = resident();
        }
        writer.event(event);
    });
    memory.1 = resident();
    let outcome = outcome(run);
    let scenario = serde_json::json!({ "name": "lab" });
    let mut report = assemble::measured(&outcome, target(), &[], scenario, seed);
    assemble::conclude(&mut report, &outcome);
    let cut = read_log(&path).unwrap().report;
    writer.end(report.clone());
    assert_eq!(writer.whole(), Ok(()));
    let rebuilt = read_log(&path).unwrap().report;
    Soaked { soak, report, cut, rebuilt, memory }
}

fn rows(report: &Report, source: TimelineSource, kind: TimelineKind) -> impl Iterator<Item = &TimelineRow> {
    report.timeline.rows.iter().filter(move |row| row.source == source && row.kind == kind)
}

fn s(ns: u64) -> f64 {
    ns as f64 / 1e9
}

impl Soaked {
    /// Restarts, with the one that ends a leak of sockets.
    fn restarts(&self) -> Vec<f64> {
        let after_leak = match self.soak.leak {
            Leak::Sockets { to_ns, .. } => Some(to_ns),
            _ => None,
        };
        self.soak.restarts.iter().copied().chain(after_leak).map(s).collect()
    }

    /// Each blink is one absence in the report, where it was and as long as it was, and there is no other absence than
    /// these and the restarts'.
    fn every_blink_is_placed(&self) {
        let seed = self.soak.seed;
        let absences: Vec<(f64, f64)> = rows(&self.report, TimelineSource::Packets, TimelineKind::Absence)
            .map(|row| (row.start_s, row.end_s.unwrap_or(f64::INFINITY)))
            .collect();
        let is_of = |(from, to): (f64, f64), (start, end): (f64, f64)| {
            (start - NOTICED_S..=start + NOTICED_S).contains(&from) && (end..=end + NOTICED_S).contains(&to)
        };
        for &(from, to) in &self.soak.blinks {
            let blink = (s(from), s(to));
            let found = absences.iter().filter(|absence| is_of(**absence, blink)).count();
            assert_eq!(found, 1, "seed {seed}: the blink {blink:?} among {absences:?}");
        }
        for absence in &absences {
            let blink = self.soak.blinks.iter().any(|&(from, to)| is_of(*absence, (s(from), s(to))));
            let restart = self.restarts().iter().any(|at| (absence.0 - at).abs() <= NOTICED_S);
            // A device without a socket left answers no SYN.
            let full = match self.soak.leak {
                Leak::Sockets { from_ns, to_ns } => (s(from_ns)..=s(to_ns)).contains(&absence.0),
                _ => false,
            };
            assert!(blink || restart || full, "seed {seed}: nothing was away at {absence:?}");
        }
        let outages = self.report.findings.iter().find(|finding| finding.id == FindingId::LinkOutages);
        assert!(outages.is_some(), "seed {seed}: {:?}", self.said());
    }

    fn every_restart_is_placed(&self) {
        let seed = self.soak.seed;
        let told: Vec<f64> = rows(&self.report, TimelineSource::Telemetry, TimelineKind::Restart)
            .map(|row| row.start_s)
            .collect();
        let mut made = self.restarts();
        made.sort_by(f64::total_cmp);
        assert_eq!(told.len(), made.len(), "seed {seed}: {told:?} for {made:?}");
        for (told, made) in told.iter().zip(&made) {
            // Off for three seconds at most, and asked once a second.
            assert!((0.0..=6.0).contains(&(told - made)), "seed {seed}: {told} for {made}");
        }
        let said = self.said().contains(&FindingId::DeviceRebooted);
        assert_eq!(said, !made.is_empty(), "seed {seed}: {:?}", self.said());
    }

    fn every_leak_is_placed(&self) {
        let seed = self.soak.seed;
        let said = self.said();
        let sockets =
            said.contains(&FindingId::SocketExhaustion) || said.contains(&FindingId::BlockedApplication);
        match self.soak.leak {
            Leak::None => {
                assert!(!sockets && !said.contains(&FindingId::HeapLeak), "seed {seed}: {said:?}");
            }
            Leak::Heap { from_ns } => {
                assert!(said.contains(&FindingId::HeapLeak) && !sockets, "seed {seed}: {said:?}");
                let began = self.heap_fell_from();
                let away = (began - s(from_ns)).abs() / HOUR_S;
                let slack = 1.0_f64.min(s(self.soak.length_ns) / HOUR_S / 20.0);
                assert!(away <= slack, "seed {seed}: {began} s for {} s", s(from_ns));
            }
            Leak::Sockets { from_ns, to_ns } => {
                assert!(sockets && !said.contains(&FindingId::HeapLeak), "seed {seed}: {said:?}");
                // It is full after a few connections, and serves again after its restart.
                let failed: Vec<(f64, f64)> =
                    rows(&self.report, TimelineSource::Probes, TimelineKind::NoAnswer)
                        .filter_map(|row| Some((row.start_s, row.end_s?)))
                        .filter(|(from, to)| to - from > 300.0)
                        .collect();
                let [(from, to)] = failed[..] else { panic!("seed {seed}: {failed:?}") };
                assert!((0.0..=90.0).contains(&(from - s(from_ns))), "seed {seed}: {from}");
                assert!((0.0..=10.0).contains(&(to - s(to_ns))), "seed {seed}: {to}");
            }
        }
    }

    fn nothing_is_invented(&self) {
        let seed = self.soak.seed;
        let allowed = |id: FindingId| {
            matches!(id, FindingId::LinkOutages | FindingId::DeviceRebooted)
                || match self.soak.leak {
                    Leak::None => false,
                    Leak::Heap { .. } => matches!(id, FindingId::HeapLeak | FindingId::HeapLow),
                    Leak::Sockets { .. } => matches!(
                        id,
                        FindingId::SocketExhaustion
                            | FindingId::BlockedApplication
                            | FindingId::AcceptOverflow
                            | FindingId::UnexplainedFailures
                    ),
                }
        };
        let findings = &self.report.findings;
        let invented: Vec<_> = findings.iter().filter(|finding| !allowed(finding.id)).collect();
        assert!(invented.is_empty(), "seed {seed}: {invented:#?}");
        if self.soak.leak == Leak::None {
            let errors = findings.iter().filter(|f| f.severity == Severity::Error);
            assert!(errors.clone().all(|f| f.id == FindingId::DeviceRebooted), "seed {seed}");
        }
    }

    fn the_log_gives_the_same_report(&self) {
        assert_eq!(self.rebuilt, self.report, "seed {}", self.soak.seed);
        // Without its last line: the sums, the restarts and the silences are there all the same.
        for workload in &self.report.workloads {
            let again = self.cut.workload(&workload.name).unwrap();
            let sums = |w: &espstress_report::Workload| (w.attempts, w.succeeded, w.failures.clone());
            assert_eq!(sums(again), sums(workload), "seed {}", self.soak.seed);
        }
        assert_eq!(
            self.cut.telemetry.as_ref().and_then(|t| t.reboots),
            self.report.telemetry.as_ref().and_then(|t| t.reboots)
        );
        let silent = |report: &Report| -> Vec<TimelineRow> {
            rows(report, TimelineSource::Probes, TimelineKind::NoAnswer).cloned().collect()
        };
        assert_eq!(silent(&self.cut), silent(&self.report), "seed {}", self.soak.seed);
    }

    fn memory_is_flat(&self) {
        let (early, late) = self.memory;
        assert!(
            late <= early + MEMORY,
            "seed {}: {early} bytes at a tenth, {late} at the end",
            self.soak.seed
        );
    }

    fn said(&self) -> Vec<FindingId> {
        self.report.findings.iter().map(|finding| finding.id).collect()
    }

    /// When the free heap began to fall, by the report's readings alone: the line through the last part that falls, back to
    /// the level before.
    fn heap_fell_from(&self) -> f64 {
        let telemetry = self.report.telemetry.as_ref().unwrap();
        let free: Vec<(f64, f64)> = telemetry
            .series
            .iter()
            .filter_map(|row| Some((row.at_s, *row.readings.get(&Reading::HeapFreeBytes)?)))
            .collect();
        let level = {
            let mut first: Vec<f64> = free.iter().take(free.len() / 2).map(|(_, free)| *free).collect();
            first.sort_by(f64::total_cmp);
            first[first.len() / 2]
        };
        let last = free.last().unwrap().1;
        let at = |share: f64| {
            let below = level - (level - last) * share;
            // The last reading above it: one that was taken with a connection open lies below its neighbours.
            free.iter().rev().find(|(_, free)| *free >= below).unwrap().0
        };
        let (quarter, three) = (at(0.25), at(0.75));
        quarter - (three - quarter) / 2.0
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_blink_and_every_leak_of_a_soak_is_in_the_report_at_its_hour() {
    let hours = number("ESPSTRESS_SOAK_HOURS").unwrap_or(1);
    // One of each kind.
    let seeds = number("ESPSTRESS_SOAK_SEED").map_or(0..3, |seed| seed..seed + 1);
    for seed in seeds {
        let began = Instant::now();
        let soaked = soaked(seed, hours);
        eprintln!(
            "seed {seed}: {hours} h in {:.1} s; {} blinks, {} restarts, {:?}; memory {:?} KiB; {:?}",
            began.elapsed().as_secs_f64(),
            soaked.soak.blinks.len(),
            soaked.restarts().len(),
            soaked.soak.leak,
            (soaked.memory.0 >> 10, soaked.memory.1 >> 10),
            soaked.said()
        );
        soaked.every_blink_is_placed();
        soaked.every_restart_is_placed();
        soaked.every_leak_is_placed();
        soaked.nothing_is_invented();
        soaked.the_log_gives_the_same_report();
        // The tables are full after a probe a second on each of 28,000 ports: before the first tenth, or never.
        if hours >= 100 {
            soaked.memory_is_flat();
        }
    }
}
