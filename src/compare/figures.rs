//! What is compared of a workload: its figures, run by run, and which of them decide.

use std::collections::BTreeSet;

use super::comparable::{host_limited, leaves_out_limited};
use super::permutation::Logs;
use super::shares::{Count, Counts, Group};
use espstress_event::{AnomalyClass, AnomalyId, Failure, WorkloadKind};
use espstress_report::{Report, Unit, Workload};
use espstress_stats::Phase;

/// Fewest attempts of a group that show, without a failure and beside a dozen other shares, that one in a hundred
/// would have been seen.
pub(super) const FEWEST_ATTEMPTS: u64 = 1_200;
/// Fewest intervals of a single run that tell how its failures come.
const FEWEST_INTERVALS: usize = 5;
/// A change of a latency that the testing machine makes, microseconds: a processor that slept wakes within some tens of
/// microseconds, and how deep it slept depends on how much there was to do. A device that answers sooner changes the
/// time of the steps beside the answer so: beside answers twice as fast, the time from FIN to FIN grew from 38 to 125 us.
pub(super) const WAKE_UP_US: f64 = 100.0;
/// The same of the slowest attempt in a hundred, microseconds: one that finds the processor taken waits for a tick of
/// the scheduler, 4 ms at 250 Hz.
pub(super) const TICK_US: f64 = 4_000.0;
/// The most of it that counts for the median of a closed loop, as a share of the base's: connections divided by it are the
/// throughput, and a quarter of that is the device's to lose. The medians of 30 pairs of equal servers, at 60 to 400 us on a
/// machine with other work, lay 12 % apart at most.
pub(super) const LOOP_SHARE: f64 = 0.25;
/// Quantiles that are compared, with the latencies of a run that each takes, as gates do, and with the change that the
/// testing machine makes.
const QUANTILES: [(&str, f64, u64, f64); 3] =
    [("p50", 0.5, 10, WAKE_UP_US), ("p90", 0.9, 20, WAKE_UP_US), ("p99", 0.99, 100, TICK_US)];

/// One figure of all runs.
pub(super) struct Figure {
    /// Its name, as in threshold expressions where there is one.
    pub(super) name: String,
    pub(super) unit: Unit,
    /// Whether the verdict waits for it.
    pub(super) key: bool,
    pub(super) data: Data,
    /// Why a run has no value of it, where some have none.
    pub(super) missing: Option<&'static str>,
    /// Whether so many runs have no value of it that the others decide nothing.
    pub(super) too_few: bool,
}

/// Why a run's timings are left out.
const LIMITED: &str = "the testing machine, not the device, set the pace of some runs (host_limited)";

/// What a figure is made of.
pub(super) enum Data {
    /// A value of each run.
    Timing {
        /// Logarithms, in the order of the runs.
        logs: Logs,
        /// Whether more is better.
        more_is_better: bool,
        /// A change of so much, in the figure's unit, is the testing machine's; 0 where there is no such amount.
        of_host: f64,
        /// The most of it that counts, as a share of the base's figure.
        of_host_at_most: f64,
    },
    /// Events of each run.
    Share {
        /// Those that should be fewer.
        bad: Counts,
        /// Whether the share of the others is what is shown.
        shows_good: bool,
    },
}

/// The two groups of runs.
#[derive(Clone, Copy)]
pub(super) struct Groups<'a> {
    pub(super) base: &'a [&'a Report],
    pub(super) new: &'a [&'a Report],
}

impl<'a> Groups<'a> {
    /// All runs, the base's first.
    pub(super) fn all(self) -> impl Iterator<Item = &'a Report> + Clone {
        self.base.iter().chain(self.new).copied()
    }

    fn of<T>(self, each: impl Fn(&'a Report) -> T) -> Vec<T> {
        self.all().map(each).collect()
    }
}

/// Every figure of the workload `name` that a run of either group has.
pub(super) fn of_workload(groups: Groups<'_>, name: &str) -> Vec<Figure> {
    let runs: Vec<(&Report, &Workload)> =
        groups.all().filter_map(|r| r.workload(name).map(|w| (r, w))).collect();
    let Some((_, first)) = runs.first().copied() else { return Vec::new() };
    // Their failures are made by the test: what becomes of their attempts is no measure.
    let provoking =
        matches!(first.does(), Some(WorkloadKind::Outage | WorkloadKind::HalfOpen | WorkloadKind::Mqtt));
    let all = Runs { groups, name, runs: &runs, leaves_out_limited: leaves_out_limited(groups) };
    let mut figures = vec![all.success_rate(!provoking)];
    figures.extend(all.latencies(!provoking));
    figures.extend(all.rates());
    figures.extend(all.failures());
    figures.extend(all.responses());
    figures.extend(all.anomalies());
    figures
}

/// The runs of one workload.
struct Runs<'a> {
    groups: Groups<'a>,
    name: &'a str,
    runs: &'a [(&'a Report, &'a Workload)],
    leaves_out_limited: bool,
}

impl Runs<'_> {
    fn workloads(&self) -> impl Iterator<Item = &Workload> {
        self.runs.iter().map(|(_, w)| *w)
    }

    /// Whether the testing machine, not the device, set the timings of this run, and that matters.
    fn left_out(&self, r: &Report) -> bool {
        self.leaves_out_limited && host_limited(r)
    }

    /// Whether the timings of most runs of a side are left out: of the rest nobody knows whether they are like them.
    fn most_left_out(&self) -> bool {
        let most = |runs: &[&Report]| runs.iter().filter(|r| self.left_out(r)).count() * 2 > runs.len();
        most(self.groups.base) || most(self.groups.new)
    }

    /// Whether it isn't known of this run how many failed by the device: a machine that stands still loses datagrams.
    fn loses(&self, r: &Report, w: &Workload) -> bool {
        self.left_out(r) && sends_datagrams(w)
    }

    /// The same with why the figure is missing, where such runs are left out.
    fn without_losers(&self, figure: Figure) -> Figure {
        let missing = self.runs.iter().any(|(r, w)| self.loses(r, w)).then_some(LIMITED);
        Figure { missing, too_few: missing.is_some() && self.most_left_out(), ..figure }
    }

    fn success_rate(&self, key: bool) -> Figure {
        let bad = |w: &Workload| tried(w).saturating_sub(w.succeeded);
        let intervals = |w: &Workload| {
            let rows = w.series.iter().map(|row| {
                let of = row.attempts.saturating_sub(row.failures.of_host());
                Count::new(of.saturating_sub(row.succeeded), of)
            });
            rows.collect()
        };
        let of = |r: &Report, w: &Workload| (!self.loses(r, w)).then(|| Count::new(bad(w), tried(w)));
        let bad = self.counts(of, intervals);
        // A workload of few attempts is judged, and can be worse; that it is the same it could never show.
        let key = key && bad.fewest() >= FEWEST_ATTEMPTS;
        self.without_losers(Figure { key, ..share("success_rate".into(), bad, true) })
    }

    fn latencies(&self, key: bool) -> Vec<Figure> {
        let phases: BTreeSet<Phase> = self.workloads().flat_map(|w| w.latency.keys().copied()).collect();
        let main = self.workloads().find_map(|w| w.main_latency().map(|(phase, _)| phase));
        phases.into_iter().flat_map(|phase| self.distribution(phase, key && main == Some(phase))).collect()
    }

    /// Quantiles of a phase, and its geometric mean, into which the whole distribution goes.
    fn distribution(&self, phase: Phase, key: bool) -> Vec<Figure> {
        let histograms = self.groups.of(|r| {
            let latency = r.workload(self.name)?.latency.get(&phase)?;
            latency.histogram().filter(|h| !h.is_empty())
        });
        let limited = self.groups.of(|r| self.left_out(r));
        let closed_loop = self.closed_loop();
        let figure =
            |stat: &str, key: bool, takes: u64, of_host: f64, value: &dyn Fn(usize) -> Option<f64>| {
                let mut missing = None;
                let one = |run: usize| {
                    let Some(h) = &histograms[run] else { return Err("not measured in every run") };
                    if limited[run] {
                        return Err(LIMITED);
                    }
                    if h.len() < takes {
                        return Err("too few latencies in some runs");
                    }
                    value(run).ok_or("not measured in every run")
                };
                let logs = (0..histograms.len()).map(|run| one(run).map_err(|why| missing = Some(why)).ok());
                let logs = logs.collect();
                let of_host_at_most = if key && closed_loop { LOOP_SHARE } else { f64::INFINITY };
                Figure {
                    name: format!("latency.{}.{stat}", phase.name()),
                    unit: Unit::Us,
                    key,
                    data: Data::Timing { logs, more_is_better: false, of_host, of_host_at_most },
                    missing,
                    too_few: self.most_left_out(),
                }
            };
        let mut figures: Vec<Figure> = QUANTILES
            .into_iter()
            .map(|(stat, q, takes, of_host)| {
                let value = |run: usize| {
                    let ns = histograms[run].as_ref()?.value_at_quantile(q);
                    log(ns as f64 / 1e3)
                };
                figure(stat, key && stat == "p50", takes, of_host, &value)
            })
            .collect();
        let geometric = |run: usize| {
            let h = histograms[run].as_ref()?;
            let sum: f64 = h
                .iter_recorded()
                .map(|v| (v.value_iterated_to().max(1) as f64 / 1e3).ln() * v.count_at_value() as f64)
                .sum();
            Some(sum / h.len() as f64)
        };
        figures.push(figure("geometric_mean", false, 10, WAKE_UP_US, &geometric));
        figures
    }

    /// Whether each attempt waited for the one before. In an open loop the rate was set, not measured.
    fn closed_loop(&self) -> bool {
        !self.workloads().any(|w| w.latency.values().any(|l| l.uncorrected.is_some()))
    }

    fn rates(&self) -> Vec<Figure> {
        if !self.closed_loop() {
            return Vec::new();
        }
        let mut figures = vec![self.rate("rate", Unit::PerS, |w| w.attempts_per_s)];
        if self.workloads().any(|w| w.bytes.goodput > 0) {
            figures.push(self.rate("goodput", Unit::BytesPerS, |w| w.goodput_bytes_per_s));
        }
        figures
    }

    fn rate(&self, name: &str, unit: Unit, value: impl Fn(&Workload) -> Option<f64>) -> Figure {
        let logs = self.groups.of(|r| r.workload(self.name).filter(|_| !self.left_out(r)).and_then(&value));
        let logs: Logs = logs.into_iter().map(|value| log(value?)).collect();
        let limited = self.groups.all().any(|r| self.left_out(r));
        let why = if limited { LIMITED } else { "not measured in every run" };
        let missing = logs.contains(&None).then_some(why);
        Figure {
            name: name.into(),
            unit,
            key: false,
            data: Data::Timing { logs, more_is_better: true, of_host: 0.0, of_host_at_most: 0.0 },
            missing,
            too_few: self.most_left_out(),
        }
    }

    fn failures(&self) -> Vec<Figure> {
        let names = self.workloads().flat_map(|w| w.failures.iter().map(|(f, _)| f));
        let names: BTreeSet<Failure> = names.filter(|f| !f.is_host()).collect();
        let figure = |f: Failure| {
            let intervals = |w: &Workload| {
                w.series.iter().map(|row| Count::new(row.failures.get(f), row.attempts)).collect()
            };
            let of = |r: &Report, w: &Workload| {
                (!self.loses(r, w)).then(|| Count::new(w.failures.get(f), tried(w)))
            };
            self.without_losers(share(format!("failures.{}", f.name()), self.counts(of, intervals), false))
        };
        names.into_iter().map(figure).collect()
    }

    /// HTTP status codes, each as a share of all responses: fewer of 2xx are worse, more of any other.
    fn responses(&self) -> Vec<Figure> {
        let codes: BTreeSet<&String> = self.workloads().flat_map(|w| w.responses.keys()).collect();
        let figure = |code: &String| {
            let good = code.starts_with('2');
            // Earlier versions' reports have none: then the runs have no responses to take a share of.
            let count = |_: &Report, w: &Workload| {
                let (n, all) =
                    (w.responses.get(code).copied().unwrap_or(0), w.responses.values().sum::<u64>());
                Some(Count::new(if good { all - n } else { n }, all))
            };
            share(format!("responses.{code}"), self.counts(count, |_| Vec::new()), good)
        };
        codes.into_iter().map(figure).collect()
    }

    fn anomalies(&self) -> Vec<Figure> {
        let of_workload = |r: &Report| -> Vec<(AnomalyId, u64)> {
            let rows = r.anomalies.iter().filter(|a| a.class == AnomalyClass::Device);
            let rows = rows.filter(|a| a.workload.as_deref() == Some(self.name));
            rows.map(|a| (a.id, a.connections)).collect()
        };
        let ids: BTreeSet<AnomalyId> = self.groups.all().flat_map(of_workload).map(|(id, _)| id).collect();
        let figure = |id: AnomalyId| {
            let count = |r: &Report, w: &Workload| {
                let n = of_workload(r).iter().filter(|a| a.0 == id).map(|a| a.1).sum::<u64>();
                r.capture.saw_all().then(|| Count::new(n, w.attempts.max(n)))
            };
            let looked = self.groups.all().all(|r| r.capture.saw_all());
            let mut figure =
                share(format!("anomalies.{}", id.name()), self.counts(count, |_| Vec::new()), false);
            figure.missing = (!looked).then_some("the packets of some runs were not all looked at");
            figure
        };
        ids.into_iter().map(figure).collect()
    }

    fn counts(
        &self,
        count: impl Fn(&Report, &Workload) -> Option<Count>,
        intervals: impl Fn(&Workload) -> Vec<Count>,
    ) -> Counts {
        let group = |reports: &[&Report]| {
            let of = |r: &&Report| r.workload(self.name).and_then(|w| count(r, w));
            let runs: Vec<Count> = reports.iter().filter_map(of).collect();
            let single = reports.first().filter(|_| reports.len() == 1 && !runs.is_empty());
            let rows = single.and_then(|r| r.workload(self.name)).map(&intervals).unwrap_or_default();
            let enough = rows.iter().filter(|c| c.of > 0).count() >= FEWEST_INTERVALS;
            Group { runs, intervals: if enough { rows } else { Vec::new() } }
        };
        let connections = self.workloads().filter_map(|w| w.ran().connections).max();
        Counts {
            base: group(self.groups.base),
            new: group(self.groups.new),
            connections: connections.unwrap_or(1),
        }
    }
}

fn share(name: String, bad: Counts, shows_good: bool) -> Figure {
    Figure {
        name,
        unit: Unit::Ratio,
        key: false,
        data: Data::Share { bad, shows_good },
        missing: None,
        too_few: false,
    }
}

/// Whether what is lost on the way fails an attempt.
fn sends_datagrams(w: &Workload) -> bool {
    w.by_protocol.as_ref().is_some_and(|by| by.udp.is_some())
}

/// Attempts that the host itself did not prevent.
fn tried(w: &Workload) -> u64 {
    w.attempts.saturating_sub(w.failures.of_host())
}

fn log(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then(|| value.ln())
}
