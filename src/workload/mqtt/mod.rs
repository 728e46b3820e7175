//! `mqtt`: a broker for a device that dials in, which misbehaves on purpose.
//!
//! `director` makes one fault after the other, `broker` knows the one device that is tested, each `connection` reads and
//! answers as the `phase` wants it, and a `trial` is one fault with what the device makes of it. `outgoing` are messages to
//! the device, where they are asked for, and `big` the fault that makes them grow. The packets are those of
//! `espstress_device::mqtt`.

mod big;
mod births;
mod broker;
mod connection;
mod director;
mod first;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod ledger;
mod outgoing;
mod phase;
mod sending;
mod sequence;
mod settings;
mod trial;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::broker::Broker;
use self::first::First;
use self::settings::Params;
use super::context::Context;
use super::control;
use super::door::{Door, places};
use super::registry::{self, Given, Kind, ParamError, Unfit, Workload};
use espstress_clock::nanos;
use espstress_connection::Timeouts;
use espstress_event::{
    Asks, ClosePolicy, Endpoints, Expected, Intent, WorkloadFacts, WorkloadKind, is_public,
};
use espstress_stats::Phase;

/// How long our own device program may take to answer.
const CONTROL: Timeouts = {
    let limit = Duration::from_secs(5);
    Timeouts { connect: limit, read: limit, write: limit }
};

/// The registry's line.
pub(super) const KIND: Kind = Kind {
    name: WorkloadKind::Mqtt.name(),
    flags: registry::flags::<Params>,
    keys: registry::keys::<Params>,
    typed: registry::typed::<Params>,
    build: |table| {
        let params: Params = registry::params(table)?;
        params.check_given(Given(table))?;
        Ok(Box::new(Mqtt::new(params)?))
    },
};

#[derive(Debug)]
struct Mqtt {
    params: Params,
    /// The port, taken and not listened on yet.
    door: Mutex<Option<Door>>,
    /// A connection of before the run.
    first: Mutex<Option<First>>,
    /// Where the user's own broker is, once it was looked up.
    via: Option<SocketAddr>,
}

impl Mqtt {
    fn new(params: Params) -> Result<Self, ParamError> {
        params.check()?;
        Ok(Self { params, door: Mutex::default(), first: Mutex::default(), via: None })
    }

    fn first_client(
        &mut self,
        source: Option<IpAddr>,
        say: &mut dyn FnMut(String),
    ) -> Result<IpAddr, String> {
        let door = Door::take(source, Ipv4Addr::UNSPECIFIED.into(), self.params.listen);
        let door = door.map_err(|error| error.to_string())?;
        let listener = door.listen().map_err(|error| error.to_string())?;
        say(format!("waiting for a device to dial {}", places(door.address())));
        let limit = self.params.wait.0;
        let first = first::wait(&listener, limit, self.params.client_id.as_deref());
        let first = first.map_err(|error| format!("cannot listen: {error}"))?;
        let first = first.ok_or_else(|| director::nobody(&self.params, door.address()))?;
        let address = first.peer.ip();
        *self.first.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(first);
        *self.door.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(door);
        Ok(address)
    }

    /// Has our own device program use the settings that were asked for; another device keeps its own.
    async fn set_device(&self, context: &Context) -> Result<(), String> {
        let Some(body) = self.params.asked_of_device() else { return Ok(()) };
        // Such settings are refused where the device has no control service.
        let Some(token) = &context.control_token else { return Ok(()) };
        let connector = context.connector(context.endpoints.http, CONTROL);
        let give_up = Instant::now() + self.params.wait.0;
        loop {
            let failed = match control::ask(&connector, token, &body, Intent::Plain).await {
                Ok(200..=299) => return Ok(()),
                Ok(status) => return Err(format!("the device refused its settings: HTTP status {status}")),
                Err(failure) => failure,
            };
            if Instant::now() >= give_up {
                return Err(format!("the device could not be asked for its settings: {}", failed.name()));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// The user's own broker, and that it is there.
    async fn upstream(&self, bound: SocketAddr) -> Result<Option<SocketAddr>, String> {
        let (Some(via), Some(found)) = (&self.params.via, self.via) else { return Ok(None) };
        let own = |ip: IpAddr| {
            ip.is_loopback() || if_addrs::get_if_addrs().is_ok_and(|all| all.iter().any(|i| i.ip() == ip))
        };
        if found.port() == bound.port() && own(found.ip()) {
            return Err(format!("--via {via} is the port that this run listens on"));
        }
        connection::open_upstream(found).await?;
        Ok(Some(found))
    }

    async fn serve(&self, context: Context) {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).take();
        let peer = context.endpoints.http.ip();
        let door = door.map_or_else(|| Door::take(context.source, peer, self.params.listen), Ok);
        let unavailable = |reason: String| {
            context.notice(reason.clone());
            context.recorder.borrow_mut().mqtt().unavailable = Some(reason);
        };
        if let Err(reason) = self.set_device(&context).await {
            return unavailable(reason);
        }
        let (listener, bound) = match door.and_then(Door::open) {
            Ok(opened) => opened,
            Err(error) => return unavailable(error.to_string()),
        };
        let via = match self.upstream(bound).await {
            Ok(via) => via,
            Err(reason) => return unavailable(reason),
        };
        context.book.is_dialled(bound.port(), context.id);
        let before = via.map_or_else(String::new, |via| format!(", in front of the broker at {via}"));
        context.notice(format!("waiting for a device to dial {}{before}", places(bound)));
        let broker = Rc::new(Broker::new(context.clone(), self.params.clone(), via));
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(reason) = director::run(&broker, listener, bound, first).await {
            unavailable(reason);
        }
    }
}

impl Workload for Mqtt {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn main_phase(&self) -> Phase {
        Phase::Connect
    }

    fn expected(&self) -> Expected {
        self.params.duration.map_or(Expected::Open, |length| Expected::Duration(nanos(length.0)))
    }

    fn facts(&self, _: &Endpoints) -> WorkloadFacts {
        WorkloadFacts {
            kind: Some(WorkloadKind::Mqtt),
            asks: Asks { window: 1, ..Asks::default() },
            close: ClosePolicy::Fin,
        }
    }

    fn check_device(&self, _: &Endpoints, is_ours: bool) -> Result<(), ParamError> {
        let key = if self.params.device_keepalive.is_some() { "device_keepalive" } else { "device_interval" };
        if self.params.asked_of_device().is_some() && !is_ours {
            let what = "has no effect here: only our own device program can be asked for it".into();
            return Err(ParamError::Value { key: key.into(), what });
        }
        Ok(())
    }

    fn sets_keepalive(&self) -> bool {
        self.params.device_keepalive.is_some()
    }

    fn settings(&self) -> serde_json::Value {
        registry::settings(&Params { password: None, ..self.params.clone() })
    }

    fn at_once(&self) -> u32 {
        0
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        None
    }

    fn connect_timeout(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn listens_on(&self) -> Option<u16> {
        Some(self.params.listen)
    }

    fn take_port(&mut self, source: Option<IpAddr>, peer: IpAddr) -> Option<u16> {
        let slot = self.door.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = slot {
            return Some(door.port());
        }
        let door = Door::take(source, peer, self.params.listen).ok();
        let taken = door.as_ref().map_or(self.params.listen, Door::port);
        *slot = door;
        Some(taken)
    }

    fn look_up(&mut self) -> Result<(), Unfit> {
        let Some(via) = &self.params.via else { return Ok(()) };
        let missing = |why: String| Unfit::Environment(format!("cannot find the broker of --via {via}{why}"));
        let mut found = via.to_socket_addrs().map_err(|error| missing(format!(": {error}")))?;
        let found = found.next().ok_or_else(|| missing(String::new()))?;
        if is_public(found.ip()) {
            return Err(Unfit::Usage(format!(
                "--via {via}: {} is a public address; espstress is for your own network. Put a broker of your own before it",
                found.ip()
            )));
        }
        self.via = Some(found);
        Ok(())
    }

    fn await_device(
        &mut self,
        source: Option<IpAddr>,
        say: &mut dyn FnMut(String),
    ) -> Option<Result<IpAddr, String>> {
        Some(self.first_client(source, say))
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(self.serve(context))
    }
}
