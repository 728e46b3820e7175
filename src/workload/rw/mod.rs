//! `rw`: persistent connections that ask and read, with numbered requests and a checked payload.

mod codec;
mod events;
mod framed;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod http;
mod line;
mod raw;
mod sse;
mod udp;
mod websocket;
mod worker;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use self::codec::Codec;
use self::sse::{Plan, Subscriber};
use self::udp::{Sender, Sizes, Way};
use self::worker::{Channel, Usage};
use super::context::Context;
use super::http::{Asked, Request};
use super::load::Load;
use super::registry::{self, Given, Kind, ParamError, Workload};
use super::slow::Slowly;
use espstress_clock::{Size, Span, nanos};
use espstress_event::{Asks, ClosePolicy, Endpoints, Expected, Protocol, WorkloadFacts, WorkloadKind};
use espstress_stats::Phase;

/// The registry's line.
pub(super) const KIND: Kind = Kind {
    name: WorkloadKind::Rw.name(),
    flags: registry::flags::<Params>,
    keys: registry::keys::<Params>,
    typed: registry::typed::<Params>,
    build: |table| {
        let params: Params = registry::params(table)?;
        params.check_given(Given(table))?;
        let sized = table.contains_key("size");
        Ok(Box::new(ReadWrite { sized, ..ReadWrite::new(params)? }))
    },
};

/// How long a WebSocket connection may be idle. Servers ping every 20 s or more by default, and wait as long for the pong.
const LONGEST_IDLE: Duration = Duration::from_secs(10);

/// The options of `rw`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
struct Params {
    #[command(flatten)]
    #[serde(flatten)]
    load: Load,

    /// Protocol [default: framed if the device supports it, else http]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,

    /// Payload of each request and its echo (framed: up to 64KiB; line: up to 32KiB; udp: 8B to 65507B;
    /// websocket: 8B to 1MiB)
    #[arg(long, value_name = "SIZE", default_value = "256B")]
    size: Size,

    /// Sizes from 64 B to 8 KiB in turn, among them the largest that fits into one IP packet, and one byte more
    /// (protocol udp, instead of --size)
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    sweep: bool,

    /// Send to this multicast group, on the target's port: TTL 1, only on the interface that leads to the target.
    /// The target's echoes count; those of others are counted by address (protocol udp)
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Ipv4Addr>,

    /// Requests in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    window: u32,

    /// Reconnect after this many transactions [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    #[serde(skip_serializing_if = "Option::is_none")]
    per_connection: Option<u64>,

    /// Say nothing on a new connection for DUR before its first request, as browsers do (not udp)
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    silent_before: Option<Span>,

    #[command(flatten)]
    #[serde(flatten)]
    slowly: Slowly,

    /// HTTP method (HTTP)
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    method: String,

    #[command(flatten)]
    #[serde(flatten)]
    request: Request,
}

/// What is said of a size that nothing has.
const NO_SIZE: &str =
    "protocols framed, line, udp and websocket have a payload of that size; --body sets one for http";

impl Params {
    /// Refuses what was given and has no effect.
    fn check_given(&self, given: Given<'_>) -> Result<(), ParamError> {
        use Protocol as P;
        let is = |all: &[Protocol]| self.protocol.is_none_or(|protocol| all.contains(&protocol));
        self.load.check_given(given)?;
        given.only_where(is(&[P::Framed, P::Line, P::Udp, P::WebSocket]), &["size"], NO_SIZE)?;
        given.only_where(!self.sweep, &["size"], "--sweep sends its own sizes")?;
        given.only_where(is(&[P::Http, P::Sse, P::WebSocket]), &["path"], "the protocol has no paths")?;
        given.only_where(is(&[P::Http, P::Sse]), &["method"], "the protocol has no methods")?;
        let connects = is(&[P::Http, P::Framed, P::Line, P::WebSocket, P::Sse]);
        given.only_where(connects, &["per_connection"], "the protocol has no persistent connections")?;
        let udp = self.protocol == Some(P::Udp);
        given.only_where(!udp, &["timeout_connect", "timeout_write"], "datagrams need no connection")
    }

    /// What makes no sense where the device speaks and nobody asks.
    fn check_sse(&self) -> Result<(), ParamError> {
        let bad = |key: &str, what: &str| Err(ParamError::Value { key: key.into(), what: what.into() });
        if self.load.pace().is_some() {
            let key = if self.load.rate.is_some() { "rate" } else { "interval" };
            return bad(key, "with protocol sse the device decides when an event comes");
        }
        if self.load.duration.is_none() && self.load.count.or(self.load.successes).is_some() {
            let key = if self.load.count.is_some() { "count" } else { "successes" };
            return bad(key, "with protocol sse it needs --duration as well: a stream may stay silent");
        }
        if self.window > 1 {
            return bad("window", "with protocol sse nobody asks for an event");
        }
        if !self.method.eq_ignore_ascii_case("GET") {
            return bad("method", "with protocol sse it is GET");
        }
        if self.request.expect_status.is_some() {
            return bad("expect_status", "with protocol sse it is 200");
        }
        Ok(())
    }
}

#[derive(Debug)]
struct ReadWrite {
    params: Params,
    asked: Asked,
    /// Whether somebody gave a size.
    sized: bool,
}

impl ReadWrite {
    fn new(params: Params) -> Result<Self, ParamError> {
        let bad = |key: &str, what: &str| Err(ParamError::Value { key: key.into(), what: what.into() });
        if params.protocol == Some(Protocol::WebSocket) {
            if !(websocket::LEAST..=websocket::MOST).contains(&params.size.0) {
                return bad("size", "a WebSocket message has 8B to 1MiB here");
            }
            // A device that pings meanwhile would wait in vain for its pongs.
            let idle = params.load.pace().map(|pace| pace.saturating_mul(params.load.at_once()));
            if idle.is_some_and(|idle| idle > LONGEST_IDLE) {
                return bad(
                    "interval",
                    "with protocol websocket each connection needs a message every 10s or more often: between them \
                     nobody would answer the device's pings",
                );
            }
        }
        let checked = matches!(params.protocol, Some(Protocol::Udp | Protocol::WebSocket));
        let most = u64::from(espstress_device::framed::MAX_PAYLOAD);
        if !checked && params.size.0 > most {
            return bad("size", "a payload has at most 64KiB");
        }
        if params.protocol == Some(Protocol::Line) && params.size.0 > line::LONGEST_PAYLOAD as u64 {
            return bad("size", "a line has a payload of at most 32KiB");
        }
        if params.protocol == Some(Protocol::Udp) && !(udp::LEAST..=udp::MOST).contains(&params.size.0) {
            return bad("size", "a datagram has a payload of 8B to 65507B");
        }
        if params.silent_before.is_some() && params.protocol == Some(Protocol::Udp) {
            return bad("silent_before", "there is no connection with --protocol udp");
        }
        if let Some(group) = params.group {
            if params.protocol != Some(Protocol::Udp) {
                return bad("group", "a multicast group is for --protocol udp");
            }
            if !group.is_multicast() {
                return bad("group", "a multicast group is an address from 224.0.0.0 to 239.255.255.255");
            }
        }
        if params.slowly.is_given() {
            let key = params.slowly.key();
            if matches!(
                params.protocol,
                Some(Protocol::Raw | Protocol::Udp | Protocol::WebSocket | Protocol::Sse)
            ) {
                return bad(key, "only with the protocols http, framed and line");
            }
            if params.window > 1 {
                return bad(key, "a slow client has one request in flight: no --window");
            }
        }
        if params.sweep && params.protocol != Some(Protocol::Udp) {
            return bad("sweep", "sizes in turn are for --protocol udp");
        }
        if params.window > 1 && params.load.pace().is_some() {
            return bad(
                "window",
                "more than one request in flight needs a closed loop: no rate and no interval",
            );
        }
        if params.window > 1 && params.protocol == Some(Protocol::Raw) {
            return bad("window", "raw has one request a connection");
        }
        if params.window > 1 && params.request.body.is_some() {
            return bad("window", "requests with a body go one at a time");
        }
        let is_http =
            params.protocol.is_none_or(|protocol| matches!(protocol, Protocol::Http | Protocol::Sse));
        if params.protocol == Some(Protocol::Sse) {
            params.check_sse()?;
        }
        let asked = params.request.ask(&params.method, is_http)?;
        if params.protocol != Some(Protocol::Sse) && asked.asks_close() {
            let only = "the header Connection: close ends each connection after one response";
            if params.window > 1 {
                return bad("window", only);
            }
            if params.per_connection.is_some_and(|most| most > 1) {
                return bad("per_connection", only);
            }
        }
        params.request.check_tls()?;
        Ok(Self { params, asked, sized: false })
    }

    /// Transactions after which a connection ends; `None` for no limit.
    fn per_connection(&self) -> Option<u64> {
        let one = self.params.protocol != Some(Protocol::Sse) && self.asked.asks_close();
        if one { Some(1) } else { self.params.per_connection }
    }

    fn protocol(&self, endpoints: &Endpoints) -> Protocol {
        let is_http = self.params.request.is_given() || endpoints.tls_name.is_some();
        let usual = if endpoints.framed.is_some() && !is_http { Protocol::Framed } else { Protocol::Http };
        self.params.protocol.unwrap_or(usual)
    }

    /// Where the protocol is served; a device of which only one address is known is taken at its word.
    fn target(&self, protocol: Protocol, endpoints: &Endpoints) -> SocketAddr {
        match protocol {
            Protocol::Http | Protocol::Udp | Protocol::WebSocket | Protocol::Sse => endpoints.http,
            Protocol::Framed => endpoints.framed.unwrap_or(endpoints.http),
            Protocol::Raw => endpoints.raw.unwrap_or(endpoints.http),
            Protocol::Line => endpoints.line.unwrap_or(endpoints.http),
        }
    }

    /// Requests and answers on a TCP connection; `None` for a protocol that has none of these.
    fn codec(
        &self,
        protocol: Protocol,
        target: SocketAddr,
        endpoints: &Endpoints,
        is_tls: bool,
    ) -> Option<Codec> {
        let size = self.params.size.0 as usize;
        Some(match protocol {
            Protocol::Udp | Protocol::Sse => return None,
            Protocol::WebSocket => {
                Codec::WebSocket(Box::new(websocket::Ws::new(size, self.params.request.path.clone(), target)))
            }
            Protocol::Http => {
                Codec::Http(Box::new(http::Http::new(self.asked.address(target, endpoints, is_tls, false))))
            }
            Protocol::Framed => Codec::Framed(framed::Framed::new(size)),
            Protocol::Raw => Codec::Raw(raw::Raw::new(target)),
            Protocol::Line => Codec::Line(line::Line::new(size)),
        })
    }
}

impl Workload for ReadWrite {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn main_phase(&self) -> Phase {
        match self.params.protocol {
            Some(Protocol::Sse) => Phase::EventGap,
            // The whole of a slow exchange is the host's own slowness.
            _ if self.params.slowly.is_given() => Phase::FirstByte,
            _ => Phase::RoundTrip,
        }
    }

    fn expected(&self) -> Expected {
        self.params.load.expected()
    }

    fn facts(&self, endpoints: &Endpoints) -> WorkloadFacts {
        let protocol = self.protocol(endpoints);
        let http = protocol == Protocol::Http;
        WorkloadFacts {
            kind: Some(WorkloadKind::Rw),
            asks: Asks {
                protocol,
                method: http.then(|| self.params.method.clone()),
                path: http.then(|| self.asked.path_for_reports()),
                tls: self.params.request.tls,
                status_expected: http && self.params.request.expect_status.is_some(),
                window: self.params.window,
                request_delay_ns: self.params.silent_before.map_or(0, |span| nanos(span.0)),
                body: http && self.asked.body.is_some(),
                reads_slowly: self.params.slowly.read_rate.is_some(),
                sends_slowly: self.params.slowly.send_rate.is_some(),
            },
            // The end of the answer is the device's FIN.
            close: if protocol == Protocol::Raw { ClosePolicy::Wait } else { ClosePolicy::Fin },
        }
    }

    fn check_device(&self, endpoints: &Endpoints, _: bool) -> Result<(), ParamError> {
        if self.sized && self.protocol(endpoints) == Protocol::Http {
            let what = format!("has no effect here: {NO_SIZE}");
            return Err(ParamError::Value { key: "size".into(), what });
        }
        self.params.request.check_device(endpoints)
    }

    fn settings(&self) -> serde_json::Value {
        let is_sse = self.params.protocol == Some(Protocol::Sse);
        let load = &self.params.load;
        let load = if is_sse { load.clone() } else { load.for_reports() };
        registry::settings(&Params {
            load,
            request: self.params.request.for_reports(),
            ..self.params.clone()
        })
    }

    fn at_once(&self) -> u32 {
        self.params.load.at_once()
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        match (self.params.protocol, self.per_connection(), self.params.load.attempts_in_a_minute()) {
            (Some(Protocol::Raw), _, planned) => planned,
            (_, Some(each), Some(planned)) => Some(planned / each + u64::from(self.at_once())),
            _ => Some(u64::from(self.at_once())),
        }
    }

    fn connect_timeout(&self) -> Duration {
        self.params.load.timeouts().connect
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let protocol = self.protocol(&context.endpoints);
            let target = self.target(protocol, &context.endpoints);
            let mut connector = context.connector(target, self.params.load.timeouts());
            connector.slowness = self.params.slowly.slowness();
            let tls = matches!(protocol, Protocol::Http | Protocol::Sse)
                .then(|| self.params.request.tls(&context.endpoints));
            let tls = match tls.transpose() {
                Ok(tls) => tls.flatten().map(Rc::new),
                Err(why) => return context.recorder.borrow_mut().refused(|| why),
            };
            let window = self.params.window as usize;
            // Lanes' numbers are far apart, so that an answer on the wrong connection shows.
            let first = |lane: u32| lane.wrapping_mul(0x0100_0001);
            if protocol == Protocol::Sse {
                let load = &self.params.load;
                let plan = Plan {
                    context: context.clone(),
                    connector,
                    request: self.asked.address(target, &context.endpoints, tls.is_some(), false),
                    tls,
                    silence: load.timeout_read.map(|span| span.0),
                    per_connection: self.params.per_connection,
                    silent_before: self.params.silent_before.map(|span| span.0),
                    end: load.time_limit().and_then(|limit| Instant::now().checked_add(limit)),
                };
                return load.drive(&context, |_| Subscriber::new(plan.clone())).await;
            }
            let Some(codec) = self.codec(protocol, target, &context.endpoints, tls.is_some()) else {
                let sizes =
                    if self.params.sweep { Sizes::Sweep } else { Sizes::One(self.params.size.0 as u32) };
                let limit = self.params.load.timeouts().read;
                let way = Way { target, group: self.params.group };
                if way.group.is_some() && target.is_ipv6() {
                    let why = || "a multicast group needs a target with an IPv4 address".to_owned();
                    return context.recorder.borrow_mut().refused(why);
                }
                let sender = |lane| Sender::new(context.clone(), way, limit, window, sizes, first(lane));
                return self.params.load.drive(&context, sender).await;
            };
            let usage = Usage {
                tls,
                window,
                per_connection: self.per_connection(),
                silent_before: self.params.silent_before.map(|span| span.0),
                slowly: self.params.slowly,
            };
            self.params
                .load
                .drive(&context, |lane| {
                    Channel::new(
                        context.clone(),
                        connector.clone(),
                        usage.clone(),
                        codec.clone(),
                        first(lane),
                    )
                })
                .await;
        })
    }
}
