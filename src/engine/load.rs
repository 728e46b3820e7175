//! The executor: runs the workloads of a plan on one thread.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::LocalSet;

use super::first_look;
use super::plan::{Course, EveryPhase, Plan, PlannedPhase, Probing, RunError, StartRule, WorkloadOutcome};
use super::stalls::Stalls;
use espstress_clock::Clock;
use espstress_connection::{Occupancy, PortPool};
use espstress_diagnose::HostEvidence;
use espstress_event::{Backlog, Event, IntentBook, SectionCourse, WorkloadId};
use espstress_probe::{ProbeConfig, ProbeContext, Prober, TelemetrySource, own_ports};
use espstress_stats::{ProbeOutcome, Recorder};
use espstress_workload::{
    Beside, Context, KeptPorts, Notices, OutageMaker, Seldom, Silencer, Standing, Stop,
};

/// How long attempts that are under way at a stop may go on, unless somebody is in a hurry; what is not over then is not
/// counted at all.
const DRAIN: Duration = Duration::from_secs(2);

/// How long attempts under way have to be counted as unfinished when somebody is in a hurry. They are not waited for.
const COUNTED: Duration = Duration::from_millis(50);

/// How long the device may take to let go of connections that were closed, as its telemetry shows it. Two round trips
/// through a power-saving link are well within it.
const LAST_READING: Duration = Duration::from_secs(2);

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(1_000);

/// What the executor brings home.
pub(super) struct Loaded {
    /// Workload by workload.
    pub(super) workloads: Vec<WorkloadOutcome>,
    /// The probes beside them.
    pub(super) probes: Option<ProbeOutcome>,
    /// How this machine fared meanwhile.
    pub(super) host: HostEvidence,
    /// What is to live for as long as packets are watched.
    pub(super) kept_ports: KeptPorts,
}

/// Runs every phase; returns early, with what there is, once `stop` is heard.
pub(super) fn execute(
    plan: &mut Plan,
    clock: Clock,
    book: Arc<IntentBook>,
    stop: Stop,
    events: &Backlog,
) -> Result<Loaded, RunError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
    let shared = Shared {
        ports: Rc::new(RefCell::new(PortPool::new(plan.ports.range(), plan.seed))),
        book,
        occupancy: Rc::default(),
        beside: Rc::default(),
        standing: Rc::default(),
        notices: Rc::default(),
        late_connects: Rc::new(Cell::new(0)),
        kept_ports: Rc::default(),
        clock,
        stop,
    };
    let mut course = std::mem::replace(&mut plan.course, Box::new(EveryPhase));
    let plan = &*plan;
    let local = LocalSet::new();
    // It waits for whole phases; the local set would poll it again with every event of an attempt.
    let course_of_run = Seldom::new(async {
        let machine = Stalls::watch(clock);
        let prober = shared.prober(plan);
        if let Some(prober) = prober.as_ref().filter(|_| plan.looks_first) {
            first_look::by_probe(prober, &shared.stop).await.map_err(RunError::NotThere)?;
        }
        let mut outcomes = Vec::new();
        let mut next_id: u16 = 0;
        let mut phases = plan.phases.iter().peekable();
        while let Some(first) = phases.next() {
            if shared.stop.is_stopping() {
                break;
            }
            let mut group = vec![first];
            while let Some(phase) = phases.next_if(|phase| phase.start == StartRule::WithPrevious) {
                group.push(phase);
            }
            // Names of workloads are by their place in the plan, so that one that is left out keeps its own.
            let ids = next_id..;
            next_id += group.len() as u16;
            let (group, contexts): (Vec<_>, Vec<_>) = group
                .into_iter()
                .zip(ids)
                .filter(|(phase, _)| course.wants(phase, &outcomes))
                .map(|(phase, id)| (phase, shared.context(plan, phase, WorkloadId(id))))
                .unzip();
            if group.is_empty() {
                continue;
            }
            let recorders: Vec<_> = contexts.iter().map(|context| Rc::clone(&context.recorder)).collect();
            let ended = run_group(&group, contexts, &shared, prober.as_ref(), events);
            if plan.looks_first && prober.is_none() && outcomes.is_empty() {
                let ended = first_look::by_attempts(&recorders, ended, &shared.stop).await;
                outcomes.extend(ended.map_err(RunError::NotThere)?);
            } else {
                outcomes.extend(ended.await);
            }
            tell_examination(events, course.as_mut(), &outcomes, shared.clock, || {
                prober.as_ref().map(Prober::so_far)
            });
        }
        if let Some(prober) = &prober {
            let limit = if shared.stop.is_stopping() { LAST_READING / 10 } else { LAST_READING };
            prober.last_reading(limit).await;
            // The log has what the report will have.
            tell_probes(events, Some(prober), SectionCourse::Ended, shared.clock.now_ns());
            tell_examination(events, course.as_mut(), &outcomes, shared.clock, || Some(prober.so_far()));
        }
        let host = machine.host(shared.late_connects.get());
        let kept_ports = shared.kept_ports.take();
        Ok(Loaded { workloads: outcomes, probes: prober.map(Prober::stop), host, kept_ports })
    });
    local.block_on(&runtime, course_of_run)
}

/// What all workloads of a run have in common.
struct Shared {
    ports: Rc<RefCell<PortPool>>,
    book: Arc<IntentBook>,
    occupancy: Rc<Occupancy>,
    beside: Rc<RefCell<Beside>>,
    standing: Rc<RefCell<Standing>>,
    notices: Rc<RefCell<Notices>>,
    late_connects: Rc<Cell<u64>>,
    kept_ports: Rc<RefCell<KeptPorts>>,
    clock: Clock,
    stop: Stop,
}

impl Shared {
    fn prober(&self, plan: &Plan) -> Option<Prober> {
        if plan.probing == Probing::Off {
            return None;
        }
        let telemetry = plan.endpoints.telemetry.map_or(TelemetrySource::None, TelemetrySource::Udp);
        let http = plan.endpoints.http;
        let mut config = ProbeConfig { source: plan.source, ..ProbeConfig::new(http.ip(), http, telemetry) };
        match plan.probing {
            Probing::Sparing => config.tcp_interval = Some(Duration::from_secs(3)),
            Probing::WithoutConnect => config.tcp_interval = None,
            Probing::On | Probing::Off => {}
        }
        let context = ProbeContext {
            clock: self.clock,
            ports: Rc::new(RefCell::new(own_ports(plan.ports.range(), plan.seed))),
            book: Arc::clone(&self.book),
            capacity: plan.device.capacity,
            occupancy: Rc::clone(&self.occupancy),
        };
        Some(Prober::start(&config, &context))
    }

    fn context(&self, plan: &Plan, phase: &PlannedPhase, id: WorkloadId) -> Context {
        let recorder = Recorder::new(self.clock.now_ns(), phase.workload.main_phase());
        Context {
            clock: self.clock,
            endpoints: plan.endpoints.clone(),
            recorder: Rc::new(RefCell::new(recorder)),
            stop: self.stop.clone(),
            id,
            ports: Rc::clone(&self.ports),
            book: Arc::clone(&self.book),
            source: plan.source,
            seed: plan.seed.wrapping_add(u64::from(id.0)),
            capacity: plan.device.capacity,
            occupancy: Rc::clone(&self.occupancy),
            beside: Rc::clone(&self.beside),
            standing: Rc::clone(&self.standing),
            outage_maker: outage_maker(plan),
            silencer: silencer(plan),
            control_token: plan.control_token.as_deref().map(Rc::from),
            notices: Rc::clone(&self.notices),
            late_connects: Rc::clone(&self.late_connects),
            kept_ports: Rc::clone(&self.kept_ports),
        }
    }
}

#[cfg(target_os = "linux")]
fn outage_maker(plan: &Plan) -> Option<Rc<dyn OutageMaker>> {
    let twin = plan.twin.as_ref()?;
    Some(Rc::new(super::twin_link::TwinLink(Arc::clone(twin))))
}

#[cfg(not(target_os = "linux"))]
fn outage_maker(_: &Plan) -> Option<Rc<dyn OutageMaker>> {
    None
}

#[cfg(target_os = "linux")]
fn silencer(plan: &Plan) -> Option<Rc<dyn Silencer>> {
    let twin = plan.twin.as_ref()?;
    Some(Rc::new(super::twin_link::TwinLink(Arc::clone(twin))))
}

#[cfg(not(target_os = "linux"))]
fn silencer(_: &Plan) -> Option<Rc<dyn Silencer>> {
    None
}

/// Runs phases together until all have ended.
async fn run_group(
    group: &[&PlannedPhase],
    contexts: Vec<Context>,
    shared: &Shared,
    prober: Option<&Prober>,
    events: &Backlog,
) -> Vec<WorkloadOutcome> {
    for phase in group {
        tracing::debug!(phase = phase.name, kind = phase.workload.kind(), "a phase begins");
        events.tell(Event::PhaseStarted {
            workload: phase.name.clone(),
            at_ns: shared.clock.now_ns(),
            expected: phase.workload.expected(),
        });
    }
    let ends: Vec<Cell<Option<u64>>> = group.iter().map(|_| Cell::new(None)).collect();
    let all = async {
        let running = group.iter().zip(&contexts).zip(&ends).map(|((phase, context), end)| async move {
            phase.workload.run(context.clone()).await;
            end.set(Some(context.clock.now_ns()));
        });
        join_all(running.map(|future| Box::pin(future) as _).collect()).await;
    };
    tokio::pin!(all);
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    let mut stop = shared.stop.clone();
    let cut = async {
        stop.stopped().await;
        if tokio::time::timeout(DRAIN, stop.hurried()).await.is_ok() {
            tokio::time::sleep(COUNTED).await;
        }
    };
    tokio::pin!(cut);
    loop {
        tokio::select! {
            biased;
            () = &mut all => break,
            () = &mut cut => break,
            _ = interval.tick() => {
                tick(group, &contexts, &ends, shared, events);
                tell_probes(events, prober, SectionCourse::UnderWay, shared.clock.now_ns());
            }
        }
    }
    let now = shared.clock.now_ns();
    for notice in shared.notices.borrow_mut().take() {
        events.tell(Event::Notice { text: notice });
    }
    tell_probes(events, prober, SectionCourse::Ended, now);
    let each = group.iter().zip(&contexts).zip(&ends);
    each.map(|((phase, context), end)| {
        tell_outages(events, phase, context);
        let progress = context.recorder.borrow().progress();
        let at_ns = end.get().unwrap_or(now);
        tracing::debug!(phase = phase.name, at_ns, cut_off = end.get().is_none(), "a phase is over");
        tell_half_open(events, phase, context, SectionCourse::Ended, at_ns);
        tell_mqtt(events, phase, context, SectionCourse::Ended, at_ns);
        events.tell(Event::PhaseEnded { workload: phase.name.clone(), at_ns, progress });
        let recorder = context.recorder.replace(Recorder::new(now, phase.workload.main_phase()));
        WorkloadOutcome {
            name: phase.name.clone(),
            kind: phase.workload.kind(),
            facts: phase.workload.facts(&context.endpoints),
            settings: phase.workload.settings(),
            at_once: phase.workload.at_once(),
            stats: recorder.finish(end.get().unwrap_or(now)),
        }
    })
    .collect()
}

fn tick(
    group: &[&PlannedPhase],
    contexts: &[Context],
    ends: &[Cell<Option<u64>>],
    shared: &Shared,
    events: &Backlog,
) {
    for notice in shared.notices.borrow_mut().take() {
        events.tell(Event::Notice { text: notice });
    }
    let at_ns = shared.clock.now_ns();
    for ((phase, context), end) in group.iter().zip(contexts).zip(ends) {
        if let Some(at_ns) = end.get() {
            tell_half_open(events, phase, context, SectionCourse::Ended, at_ns);
            tell_mqtt(events, phase, context, SectionCourse::Ended, at_ns);
        } else {
            let progress = context.recorder.borrow_mut().roll(at_ns);
            tell_outages(events, phase, context);
            tell_half_open(events, phase, context, SectionCourse::UnderWay, at_ns);
            tell_mqtt(events, phase, context, SectionCourse::UnderWay, at_ns);
            events.tell(Event::Interval { workload: phase.name.clone(), at_ns, progress });
        }
    }
}

fn tell_outages(events: &Backlog, phase: &PlannedPhase, context: &Context) {
    for outage in context.recorder.borrow_mut().new_outages() {
        events.tell(Event::Outage { workload: phase.name.clone(), outage });
    }
}

/// What silenced connections came to since the last time.
fn tell_half_open(
    events: &Backlog,
    phase: &PlannedPhase,
    context: &Context,
    course: SectionCourse,
    at_ns: u64,
) {
    let Some(news) = context.recorder.borrow_mut().half_open_news(course, at_ns) else { return };
    let workload = || phase.name.clone();
    if !news.connections.is_empty() {
        events.tell(Event::Silenced { workload: workload(), connections: news.connections });
    }
    if let Some(section) = news.section {
        let section = Arc::new(section);
        events.tell(Event::HalfOpen { workload: workload(), at_ns, course, section });
    }
}

/// What an MQTT client did, where it is time to tell it.
fn tell_mqtt(events: &Backlog, phase: &PlannedPhase, context: &Context, course: SectionCourse, at_ns: u64) {
    let news = context.recorder.borrow_mut().mqtt_news(course, at_ns);
    if let Some(section) = news {
        let section = Arc::new(section);
        events.tell(Event::Mqtt { workload: phase.name.clone(), at_ns, course, section });
    }
}

/// What the probes have come to, where it is time to tell it.
fn tell_probes(events: &Backlog, prober: Option<&Prober>, course: SectionCourse, at_ns: u64) {
    let Some(prober) = prober else { return };
    if let Some((at_ns, telemetry)) = prober.fresh() {
        events.tell(Event::Device { at_ns, telemetry: Arc::new(telemetry) });
    }
    if let Some(probed) = prober.news(course, at_ns) {
        events.tell(Event::Probed { at_ns, probed: Arc::new(probed) });
    }
}

/// What an examination has come to, where the course is one.
fn tell_examination(
    events: &Backlog,
    course: &mut dyn Course,
    outcomes: &[WorkloadOutcome],
    clock: Clock,
    probes: impl Fn() -> Option<ProbeOutcome>,
) {
    if let (Some(examination), Some(last)) = (course.ended(outcomes, &probes), outcomes.last()) {
        let examination = Arc::new(examination);
        events.tell(Event::Examined { workload: last.name.clone(), at_ns: clock.now_ns(), examination });
    }
}

type Running<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

async fn join_all(mut running: Vec<Running<'_>>) {
    std::future::poll_fn(|cx| {
        running.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
