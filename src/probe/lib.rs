//! The probes beside the workloads: is the device there, by ping, by TCP, and by its own account?
//!
//! Each probe asks at its own interval, on sockets of its own, and is counted in nothing but its own figures. A
//! probe that cannot run says why. Knows no workload and no report.

mod icmp;
mod pending;
mod tcp;
mod telemetry;

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use espstress_clock::{Clock, nanos};
use espstress_connection::{Alarms, Connector, Occupancy, PortPool, PortRange, Slowness, Timeouts};
use espstress_event::{DeviceSample, Intent, IntentBook, Probed, SectionCourse, Telemetry, WorkloadId};
use espstress_stats::{DeviceSeries, ProbeKindStats, ProbeNews, ProbeOutcome, ProbeStats};

/// What to probe, and how often. An interval of `None` switches that probe off.
#[derive(Clone, Debug)]
pub struct ProbeConfig {
    /// The device.
    pub target: IpAddr,
    /// Source address, or the routing table's choice.
    pub source: Option<IpAddr>,
    /// The TCP service to connect to.
    pub tcp: SocketAddr,
    /// Where its telemetry is.
    pub telemetry: TelemetrySource,
    /// Time between pings.
    pub icmp_interval: Option<Duration>,
    /// Time between connections. Each takes one of the device's sockets for a moment.
    pub tcp_interval: Option<Duration>,
    /// Time between questions for telemetry.
    pub telemetry_interval: Option<Duration>,
    /// Time after which a probe counts as lost.
    pub timeout: Duration,
}

impl ProbeConfig {
    /// Once a second each, lost after two seconds.
    #[must_use]
    pub const fn new(target: IpAddr, tcp: SocketAddr, telemetry: TelemetrySource) -> Self {
        const SECOND: Option<Duration> = Some(Duration::from_secs(1));
        Self {
            target,
            source: None,
            tcp,
            telemetry,
            icmp_interval: SECOND,
            tcp_interval: SECOND,
            telemetry_interval: SECOND,
            timeout: Duration::from_secs(2),
        }
    }
}

/// Where a device's telemetry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TelemetrySource {
    /// One datagram there, one back: no socket of the device's is taken.
    Udp(SocketAddr),
    /// `GET /telemetry` there, on a connection of its own each time.
    Http(SocketAddr),
    /// It has none that anybody knows of.
    None,
}

/// What the probes share with the run.
#[derive(Clone, Debug)]
pub struct ProbeContext {
    /// The run's time axis.
    pub clock: Clock,
    /// Source ports for connections: a pool of their own, see [`own_ports`].
    pub ports: Rc<RefCell<PortPool>>,
    /// Where intentions are noted, in the name of [`WorkloadId::PROBE`].
    pub book: Arc<IntentBook>,
    /// How many connections the device says it holds at once.
    pub capacity: Option<u32>,
    /// What the device may hold of the workloads' connections.
    pub occupancy: Rc<Occupancy>,
}

impl ProbeContext {
    fn connector(&self, target: SocketAddr, config: &ProbeConfig) -> Connector {
        let limit = config.timeout;
        Connector {
            late: Rc::default(),
            alarms: Alarms::default(),
            target,
            source: config.source,
            timeouts: Timeouts { connect: limit, read: limit, write: limit },
            slowness: Slowness::default(),
            ports: Rc::clone(&self.ports),
            book: Arc::clone(&self.book),
            workload: WorkloadId::PROBE,
        }
    }

    /// A probe beyond what the device says it holds may go unanswered.
    fn intent(&self) -> Intent {
        self.occupancy.intent(Intent::Plain, self.capacity, Instant::now())
    }
}

/// Source ports for the probes that no workload of the run uses: a range beside `storms`.
#[must_use]
pub fn own_ports(storms: PortRange, seed: u64) -> PortPool {
    let beside = [(61_000, 64_999), (28_000, 31_999), (20_000, 23_999)];
    let mut beside = beside.into_iter().map(|(first, last)| PortRange::between(first, last));
    // Three ranges that do not touch each other: at most two of them can be taken by a range below 8,000 ports, and
    // a longer one leaves room for the probes in itself.
    let range = beside.find(|range| !range.meets(storms)).unwrap_or(storms);
    PortPool::new(range, seed)
}

/// What one probe writes and the prober reads at the end.
type Shared<T> = Rc<RefCell<T>>;

/// The probes of a run, under way. Ends with [`Prober::stop`], or when it is dropped.
#[derive(Debug)]
pub struct Prober {
    tasks: JoinSet<()>,
    icmp: Shared<ProbeStats>,
    tcp: Shared<ProbeStats>,
    telemetry: Shared<ProbeStats>,
    device: Shared<DeviceSeries>,
    /// Ping and TCP connect: they end before telemetry does.
    others: Vec<AbortHandle>,
    /// Asks for telemetry out of turn.
    ask: Rc<Notify>,
    clock: Clock,
    news: RefCell<ProbeNews>,
    /// Time of the reading that [`Prober::fresh`] gave last.
    given_ns: Cell<Option<u64>>,
}

impl Prober {
    /// Starts the probes as tasks of the current `LocalSet`.
    ///
    /// # Panics
    /// Outside of a `LocalSet`.
    #[must_use]
    pub fn start(config: &ProbeConfig, context: &ProbeContext) -> Self {
        let (mut tasks, mut others) = (JoinSet::new(), Vec::new());
        let device = Shared::<DeviceSeries>::default();
        let ask = Rc::<Notify>::default();
        let icmp = unavailable("switched off");
        if let Some(interval) = config.icmp_interval {
            others.push(tasks.spawn_local(icmp::run(
                config.clone(),
                interval,
                context.clock,
                Rc::clone(&icmp),
            )));
        }
        if let Some(interval) = config.icmp_interval {
            let icmp = Rc::clone(&icmp);
            others.push(tasks.spawn_local(icmp::full_size(config.clone(), interval, icmp)));
        }
        let tcp = unavailable("switched off");
        if let Some(interval) = config.tcp_interval {
            others.push(tasks.spawn_local(tcp::run(
                config.clone(),
                interval,
                context.clone(),
                Rc::clone(&tcp),
            )));
        }
        let telemetry = unavailable("switched off");
        match (config.telemetry_interval, config.telemetry) {
            (None, _) => {}
            (Some(_), TelemetrySource::None) => *telemetry.borrow_mut() = no("the device has none"),
            (Some(interval), TelemetrySource::Udp(target)) => {
                let (stats, device) = (Rc::clone(&telemetry), Rc::clone(&device));
                let config = config.clone();
                let (config, ask) = (config, Rc::clone(&ask));
                tasks.spawn_local(telemetry::by_udp(
                    config,
                    target,
                    interval,
                    context.clock,
                    stats,
                    device,
                    ask,
                ));
            }
            (Some(interval), TelemetrySource::Http(target)) => {
                let (stats, device) = (Rc::clone(&telemetry), Rc::clone(&device));
                let config = config.clone();
                tasks.spawn_local(telemetry::by_http(
                    config,
                    target,
                    interval,
                    context.clone(),
                    stats,
                    device,
                    Rc::clone(&ask),
                ));
            }
        }
        Self {
            tasks,
            others,
            icmp,
            tcp,
            telemetry,
            device,
            ask,
            clock: context.clock,
            news: RefCell::default(),
            given_ns: Cell::default(),
        }
    }

    /// The last that the device said of itself.
    #[must_use]
    pub fn latest(&self) -> Option<DeviceSample> {
        self.device.borrow().last.clone()
    }

    /// The last that the device said of itself, where this was not asked since: its time, and the reading in brief.
    #[must_use]
    pub fn fresh(&self) -> Option<(u64, Telemetry)> {
        let device = self.device.borrow();
        let last = device.last.as_ref().filter(|last| self.given_ns.get() != Some(last.at_ns))?;
        self.given_ns.set(Some(last.at_ns));
        Some((last.at_ns, last.telemetry.brief()))
    }

    /// Reads telemetry once more, after everything that the run opened is closed: until the device has let go of the
    /// connections as well, by its own account, for `limit` at most. Nothing is waited for where it never answered.
    pub async fn last_reading(&self, limit: Duration) {
        /// Between two questions: a connection takes a few round trips to end.
        const AGAIN: Duration = Duration::from_millis(100);
        if self.device.borrow().samples == 0 {
            return;
        }
        // What they would open now is no longer beside any workload.
        self.others.iter().for_each(AbortHandle::abort);
        let (closed_ns, end) = (self.clock.now_ns(), tokio::time::Instant::now() + limit);
        while !self.device.borrow().is_at_rest(closed_ns) && tokio::time::Instant::now() < end {
            self.ask.notify_one();
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// What the probes have seen so far.
    #[must_use]
    pub fn so_far(&self) -> ProbeOutcome {
        ProbeOutcome {
            icmp: self.icmp.borrow().clone(),
            tcp: self.tcp.borrow().clone(),
            telemetry: self.telemetry.borrow().clone(),
            device: self.device.borrow().clone(),
        }
    }

    /// What there is to tell of them at `now_ns`, nanoseconds since the start of the run; `None` while it is not time.
    #[must_use]
    pub fn news(&self, course: SectionCourse, now_ns: u64) -> Option<Probed> {
        let (icmp, tcp, telemetry) = (self.icmp.borrow(), self.tcp.borrow(), self.telemetry.borrow());
        self.news.borrow_mut().due([&*icmp, &*tcp, &*telemetry], &self.device.borrow(), course, now_ns)
    }

    /// Ends the probes. Those under way are counted nowhere.
    #[must_use]
    pub fn stop(mut self) -> ProbeOutcome {
        self.tasks.abort_all();
        ProbeOutcome {
            icmp: self.icmp.replace(no("stopped")),
            tcp: self.tcp.replace(no("stopped")),
            telemetry: self.telemetry.replace(no("stopped")),
            device: self.device.take(),
        }
    }
}

fn no(reason: &str) -> ProbeStats {
    ProbeStats::Unavailable { reason: reason.to_owned() }
}

fn unavailable(reason: &str) -> Shared<ProbeStats> {
    Rc::new(RefCell::new(no(reason)))
}

fn begin(stats: &Shared<ProbeStats>, clock: Clock, interval: Duration, timeout: Duration) {
    let fresh = ProbeKindStats::new(clock.now_ns(), nanos(interval), nanos(timeout));
    *stats.borrow_mut() = ProbeStats::Measured(Box::new(fresh));
}

fn with(stats: &Shared<ProbeStats>, change: impl FnOnce(&mut ProbeKindStats)) {
    if let ProbeStats::Measured(stats) = &mut *stats.borrow_mut() {
        change(stats);
    }
}

/// When probes are due.
struct Ticks {
    every: tokio::time::Interval,
    clock: Clock,
}

impl Ticks {
    fn new(period: Duration, clock: Clock) -> Self {
        let mut every = tokio::time::interval(period);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        Self { every, clock }
    }

    /// The next one. Where this machine comes late to it, those in between are not asked, and nobody lost them.
    async fn next(&mut self, stats: &Shared<ProbeStats>) {
        let late = self.every.tick().await.elapsed();
        // The rest is the timer's, and the next one comes in time.
        if late >= self.every.period() / 2 {
            with(stats, |stats| stats.not_asked(self.clock.now_ns(), nanos(late)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_connection::Taken;
    use std::time::Instant;

    #[test]
    fn the_probes_ports_lie_beside_the_storms() {
        for storms in ["32768-60999", "61000-65000", "20000-32000", "40000-40099"] {
            let storms: PortRange = storms.parse().unwrap();
            let mut pool = own_ports(storms, 1);
            for _ in 0..4_000 {
                match pool.take(Instant::now()) {
                    Taken::Port(port) => {
                        assert!(!PortRange::between(port, port).meets(storms), "{port} in {storms}")
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}
