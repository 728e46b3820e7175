//! `outage`: standing connections with heartbeats both ways, and what outages do to them.

mod channel;
mod director;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod hearing;
mod ledger;
mod listen;
mod maker;
mod patience;
mod presence;
mod settings;
mod shared;
mod talk;
mod wire;

pub use maker::{Made, MakeError, Making, OutageMaker};
pub(crate) use settings::SpanRange;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

use self::channel::Channel;
use self::director::{Director, Means};
use self::maker::{CommandMaker, DeviceMaker};
use self::presence::Meaning;
use self::settings::Params;
use self::shared::Shared;
use super::context::Context;
use super::door::Door;
use super::registry::{self, Given, Kind, ParamError, Workload};
use espstress_clock::nanos;
use espstress_event::{
    Asks, ClosePolicy, Endpoints, Expected, OutageMeans, Protocol, WorkloadFacts, WorkloadKind,
};
use espstress_stats::{Phase, RecoveryRule};

/// The registry's line.
pub(super) const KIND: Kind = Kind {
    name: WorkloadKind::Outage.name(),
    flags: registry::flags::<Params>,
    keys: registry::keys::<Params>,
    typed: registry::typed::<Params>,
    build: |table| {
        let params: Params = registry::params(table)?;
        params.check_given(Given(table))?;
        Ok(Box::new(Outage::new(params)?))
    },
};

#[derive(Debug)]
struct Outage {
    params: Params,
    /// The port for devices that dial in, taken and not listened on yet.
    door: Mutex<Option<Door>>,
}

impl Outage {
    fn new(params: Params) -> Result<Self, ParamError> {
        params.check()?;
        Ok(Self { params, door: Mutex::default() })
    }

    /// What was asked for, or the best that this target allows.
    fn by(&self, context: &Context) -> OutageMeans {
        let best = if self.params.listen.is_some() {
            OutageMeans::None
        } else if self.params.off.is_some() && self.params.on.is_some() {
            OutageMeans::Command
        } else if context.outage_maker.is_some() {
            OutageMeans::Link
        } else if self.token(context).is_some() {
            OutageMeans::Device
        } else {
            OutageMeans::Filter
        };
        self.params.by.unwrap_or(best)
    }

    fn token(&self, context: &Context) -> Option<String> {
        self.params.token.clone().or_else(|| context.control_token.as_deref().map(str::to_owned))
    }

    /// The means, or in one sentence what is missing.
    fn means(&self, by: OutageMeans, context: &Context) -> Result<Means, String> {
        match by {
            OutageMeans::None => Ok(Means::Natural),
            OutageMeans::Filter => Ok(Means::Filter),
            OutageMeans::Link => context.outage_maker.clone().map(Means::Maker).ok_or_else(|| {
                "this target has no link that could be cut: use --by device, filter or command, or the twin"
                    .to_owned()
            }),
            OutageMeans::Device => {
                let token = self.token(context).ok_or_else(|| {
                    "the device leaves its network only for who knows its control token: give --token"
                        .to_owned()
                })?;
                let connector = context.connector(context.endpoints.http, self.params.timeouts());
                Ok(Means::Maker(Rc::new(DeviceMaker::new(connector, token))))
            }
            OutageMeans::Command => match (&self.params.off, &self.params.on) {
                (Some(off), Some(on)) => {
                    let limit = self.params.script_limit.0;
                    Ok(Means::Maker(Rc::new(CommandMaker::new(off.clone(), on.clone(), limit))))
                }
                _ => Err("--by command needs both --off CMD and --on CMD".to_owned()),
            },
        }
    }

    async fn hold(&self, context: Context) {
        let by = self.by(&context);
        let means = match self.means(by, &context) {
            Ok(means) => means,
            Err(reason) => {
                context.recorder.borrow_mut().outage().unavailable = Some(reason.clone());
                context.notice(format!("no outages: {reason}"));
                return;
            }
        };
        let target = context.endpoints.framed.unwrap_or(context.endpoints.http);
        let connector = context.connector(target, self.params.timeouts());
        let lanes = self.params.connections;
        let shared = Rc::new(Shared::new(context.clone(), connector, self.params.rule(), lanes));
        let mut aside = tokio::task::JoinSet::new();
        let mut spacing = std::time::Duration::ZERO;
        if let Some(telemetry) = context.endpoints.telemetry {
            let meaning = if by == OutageMeans::Filter { Meaning::DeviceOnly } else { Meaning::Link };
            if meaning == Meaning::Link {
                spacing = presence::OFTEN;
            }
            aside.spawn_local(presence::watch(Rc::clone(&shared), telemetry, meaning));
        }
        // Sessions of earlier runs may still be in the device's memory: the start of this run tells them apart.
        let first = context.seed ^ context.clock.start_unix_ns().unsigned_abs();
        let mut channels = tokio::task::JoinSet::new();
        let (ends, ended) = tokio::sync::watch::channel(false);
        for lane in 0..lanes as usize {
            let session = (first as u32).wrapping_add(lane as u32).max(1);
            let channel = Channel::new(Rc::clone(&shared), lane, session, ended.clone());
            channels.spawn_local(channel.run());
        }
        Director::new(Rc::clone(&shared), means, self.params.schedule(by), spacing).run().await;
        ends.send_replace(true);
        join_all(&mut channels).await;
        aside.abort_all();
        if let Some(reason) = shared.denied.borrow().clone().or_else(|| unanswered(&shared)) {
            context.recorder.borrow_mut().outage().unavailable = Some(reason.clone());
            context.notice(format!("no outages: {reason}"));
        }
    }
}

/// Why there was nothing to watch.
fn unanswered(shared: &Shared) -> Option<String> {
    let misunderstood = shared.is_misunderstood();
    (!shared.was_answered()).then(|| {
        if misunderstood {
            "what answers on that port does not speak the framed protocol of the device program".to_owned()
        } else {
            "no heartbeat was ever answered".to_owned()
        }
    })
}

/// A task that panicked has taken its connection with it; the panic goes on here.
pub(crate) async fn join_all(tasks: &mut tokio::task::JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Workload for Outage {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn main_phase(&self) -> Phase {
        Phase::Heartbeat
    }

    fn expected(&self) -> Expected {
        let schedule = self.params.schedule(self.params.by.unwrap_or(OutageMeans::Link));
        match (schedule.duration, schedule.cycles) {
            (Some(duration), _) => Expected::Duration(nanos(duration)),
            (None, Some(cycles)) => {
                Expected::Duration(nanos(schedule.every).saturating_mul(cycles.saturating_add(1)))
            }
            (None, None) => Expected::Open,
        }
    }

    fn facts(&self, _: &Endpoints) -> WorkloadFacts {
        let protocol = if self.params.listen.is_some() { Protocol::Line } else { Protocol::Framed };
        WorkloadFacts {
            kind: Some(WorkloadKind::Outage),
            asks: Asks { protocol, window: 1, ..Asks::default() },
            close: ClosePolicy::Fin,
        }
    }

    fn sends_device_away(&self) -> bool {
        self.params.by == Some(OutageMeans::Device)
    }

    fn settings(&self) -> serde_json::Value {
        registry::settings(&Params { token: None, ..self.params.clone() })
    }

    fn at_once(&self) -> u32 {
        if self.params.listen.is_some() { 0 } else { self.params.connections }
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        None
    }

    fn connect_timeout(&self) -> std::time::Duration {
        self.params.timeouts().connect
    }

    fn listens_on(&self) -> Option<u16> {
        self.params.listen
    }

    fn take_port(&mut self, source: Option<IpAddr>, peer: IpAddr) -> Option<u16> {
        let port = self.params.listen?;
        // What is refused here is refused again when the workload runs, and told there.
        let door = Door::take(source, peer, port).ok();
        let taken = door.as_ref().map_or(port, Door::port);
        *self.door.get_mut().unwrap_or_else(PoisonError::into_inner) = door;
        Some(taken)
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let rule = self.params.rule();
            context.recorder.borrow_mut().outage().rule = RecoveryRule {
                heartbeat_ns: nanos(rule.heartbeat),
                silence_ns: rule.silence.map(nanos),
                quiet_ns: nanos(rule.quiet),
            };
            match self.params.listen {
                Some(port) => {
                    let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
                    let peer = context.endpoints.http.ip();
                    let door = door.map_or_else(|| Door::take(context.source, peer, port), Ok);
                    listen::serve(&context, &self.params, door).await;
                }
                None => self.hold(context).await,
            }
        })
    }
}
