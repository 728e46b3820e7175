//! `head`: a storm of short HTTP connections - connect, request, response, close - as a sensor's poller or a
//! browser without persistence makes them.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::load::{Load, LoopKind, Outcome, Start, Worker};
use super::registry::{self, Kind, ParamError, Workload};
use espstress_clock::{Span, nanos};
use espstress_connection::http::{Expects, Progress, Response};
use espstress_connection::{Connection, Connector, ExpectedStatus, HostClosed, Refused, RequestBody};
use espstress_event::{
    Asks, ClosePolicy, Ending, Endpoints, Expected, Failure, FaultSeen, HttpFault, Intent, Protocol,
    TcpSample, WorkloadFacts, WorkloadKind,
};
use espstress_stats::Phase;

/// The registry's line.
pub(super) const KIND: Kind = Kind {
    name: WorkloadKind::Head.name(),
    flags: registry::flags::<Params>,
    keys: registry::keys::<Params>,
    typed: registry::typed::<Params>,
    build: |table| Ok(Box::new(Head::new(registry::params(table)?)?)),
};

/// The options of `head`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
struct Params {
    #[command(flatten)]
    #[serde(flatten)]
    load: Load,

    /// HTTP method
    #[arg(long, value_name = "METHOD", default_value = "HEAD")]
    method: String,

    /// Path to request
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,

    /// Header to add, as `Name: value`; can be repeated
    #[arg(long, value_name = "HEADER")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    header: Vec<String>,

    /// Body of each request: a size, or a file (@FILE). Needs --method POST, PUT or PATCH
    #[arg(long, value_name = "SIZE|@FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<RequestBody>,

    /// Expected status codes, for example 200,204 or 2xx; any other fails (bad_status). By default only 5xx
    /// fails
    #[arg(long, value_name = "CODES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    expect_status: Option<ExpectedStatus>,

    /// How the client ends each connection
    #[arg(long, value_enum, default_value_t = ClosePolicy::Fin)]
    close: ClosePolicy,

    /// Pause between the handshake and the request, as browsers leave it on connections that they open beforehand
    #[arg(long, value_name = "DUR", visible_alias = "silent-before")]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_delay: Option<Span>,

    /// Pause between the response and the close
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    close_delay: Option<Span>,
}

#[derive(Debug)]
struct Head {
    params: Params,
    /// What each request carries; empty without a body.
    body: Vec<u8>,
}

impl Head {
    fn new(params: Params) -> Result<Self, ParamError> {
        let bad = |key: &str, what: &str| Err(ParamError::Value { key: key.into(), what: what.into() });
        if params.method.is_empty() || !params.method.bytes().all(|b| b.is_ascii_alphabetic()) {
            return bad("method", "a method is a word of letters, as HEAD or GET");
        }
        if !params.path.starts_with('/') || params.path.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return bad("path", "a path starts with / and holds no blank");
        }
        if params.header.iter().any(|h| !h.contains(':') || h.bytes().any(|b| b < b' ')) {
            return bad("header", "a header is `Name: value` on one line");
        }
        let has_none = ["HEAD", "GET"].iter().any(|method| params.method.eq_ignore_ascii_case(method));
        if params.body.is_some() && has_none {
            return bad("body", "HEAD and GET have no body; add --method POST");
        }
        let body = params.body.as_ref().map_or_else(|| Ok(Vec::new()), RequestBody::bytes);
        match body {
            Ok(body) => Ok(Self { params, body }),
            Err(error) => bad("body", &error.to_string()),
        }
    }

    fn request(&self, host: std::net::SocketAddr) -> Vec<u8> {
        let Params { method, path, .. } = &self.params;
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: espstress\r\n");
        if self.params.close == ClosePolicy::Wait {
            text.push_str("Connection: close\r\n");
        }
        for header in &self.params.header {
            text.push_str(header);
            text.push_str("\r\n");
        }
        if self.params.body.is_some() {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut request = text.into_bytes();
        request.extend_from_slice(&self.body);
        request
    }
}

impl Workload for Head {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn main_phase(&self) -> Phase {
        Phase::Total
    }

    fn expected(&self) -> Expected {
        self.params.load.expected()
    }

    fn facts(&self, _: &Endpoints) -> WorkloadFacts {
        WorkloadFacts {
            kind: Some(WorkloadKind::Head),
            asks: Asks {
                protocol: Protocol::Http,
                method: Some(self.params.method.clone()),
                status_expected: self.params.expect_status.is_some(),
                window: 1,
                request_delay_ns: self.params.request_delay.map_or(0, |span| nanos(span.0)),
                body: self.params.body.is_some(),
            },
            close: self.params.close,
        }
    }

    fn settings(&self) -> serde_json::Value {
        registry::settings(&self.params)
    }

    fn at_once(&self) -> u32 {
        self.params.load.at_once()
    }

    fn connections_planned(&self) -> Option<u64> {
        self.params.load.planned_attempts()
    }

    fn connect_timeout(&self) -> Duration {
        self.params.load.timeouts().connect
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let target = context.endpoints.http;
            let request: Rc<[u8]> = self.request(target).into();
            let expects = if self.params.method.eq_ignore_ascii_case("HEAD") {
                Expects::HeadOnly
            } else {
                Expects::Body
            };
            let connector = context.connector(target, self.params.load.timeouts());
            let patience = Rc::new(Cell::new(connector.timeouts.read.min(FIRST_PATIENCE)));
            let expected = self.params.expect_status.clone().map(Rc::new);
            self.params
                .load
                .drive(&context, |_| Storm {
                    context: context.clone(),
                    connector: connector.clone(),
                    request: Rc::clone(&request),
                    response: Response::new(expects),
                    buffer: vec![0; 16 * 1024].into(),
                    receiving: Rc::default(),
                    expected: expected.clone(),
                    close: self.params.close,
                    patience: Rc::clone(&patience),
                    request_delay: self.params.request_delay.map(|span| span.0),
                    close_delay: self.params.close_delay.map(|span| span.0),
                })
                .await;
        })
    }
}

/// How long a device of which nothing is known is waited for: a FIN that was lost once comes again within that (lwIP's
/// first time-out is 1.5 s), and the Arduino core's server waits 2 s for its client's close before its own. One that has closed before is waited for as long as for a response.
const FIRST_PATIENCE: Duration = Duration::from_millis(2_500);

/// How long a device that has ignored `Connection: close` every time is still waited for: it may yet honour it.
const LEAST_PATIENCE: Duration = Duration::from_millis(100);

/// Said once of a device that does not close when it is asked to.
const CLOSE_IGNORED: &str = "the device does not close after Connection: close; this host closes instead, after a wait \
                             that becomes shorter";

/// One of the storm's lanes: buffers are made once and used for each connection.
struct Storm {
    context: Context,
    connector: Connector,
    request: Rc<[u8]>,
    response: Response,
    buffer: Box<[u8]>,
    /// Whether a response is coming in.
    receiving: Rc<Cell<bool>>,
    expected: Option<Rc<ExpectedStatus>>,
    close: ClosePolicy,
    /// How long a device that was asked to close is waited for: less with each time that it did not, whichever lane
    /// saw it.
    patience: Rc<Cell<Duration>>,
    request_delay: Option<Duration>,
    close_delay: Option<Duration>,
}

impl Worker for Storm {
    async fn attempt(&mut self, start: Start) -> Outcome {
        let planned = match self.close {
            ClosePolicy::Fin | ClosePolicy::Wait => Intent::Plain,
            ClosePolicy::Half => Intent::HalfClosed,
            ClosePolicy::Rst => Intent::Reset,
            ClosePolicy::Vanish => Intent::Vanished,
        };
        let intent = self.context.intent(planned);
        let held = self.context.hold_one();
        let mut connection = match self.connector.open(intent).await {
            Ok(connection) => connection,
            Err(Refused::PortsUntil(at)) => return Outcome::PortsUntil(at),
            Err(Refused::Failure(failure)) => {
                self.context.attempted(start.actual, Err(failure));
                return Outcome::Failed;
            }
        };
        self.record(Phase::Connect, start.actual);
        let exchanged = self.exchange(&mut connection).await;
        self.receiving.set(false);
        if exchanged == Err(Failure::ReadTimeout) {
            self.response.stalled();
        }
        let outcome = exchanged.and_then(|()| self.judge_status());
        if outcome.is_ok() {
            self.record_total(start);
        }
        // Counted before the close: a success is a success whatever the connection's end is like.
        self.context.attempted(start.actual, outcome);
        let (tcp, waited) = match exchanged {
            Ok(()) => self.end(connection).await,
            Err(_) => (connection.tcp_sample(), false),
        };
        let mut recorder = self.context.recorder.borrow_mut();
        tcp.into_iter().for_each(|sample| recorder.tcp(sample));
        self.response.take_fault().into_iter().for_each(|seen| recorder.malformed(seen));
        drop(recorder);
        drop(held);
        match outcome {
            Ok(()) if waited => Outcome::Waited,
            Ok(()) => Outcome::GoOn,
            Err(_) => Outcome::Failed,
        }
    }

    fn receiving(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.receiving)
    }

    fn cut(&mut self) {
        if self.receiving.replace(false) {
            self.response.endless();
        }
        let mut recorder = self.context.recorder.borrow_mut();
        self.response.take_fault().into_iter().for_each(|seen| recorder.malformed(seen));
    }
}

impl Storm {
    fn record(&self, phase: Phase, from: Instant) {
        let ns = self.context.since_ns(from);
        self.context.recorder.borrow_mut().latency(phase, ns);
    }

    fn record_total(&self, start: Start) {
        let actual = self.context.since_ns(start.actual);
        let mut recorder = self.context.recorder.borrow_mut();
        match start.kind {
            LoopKind::Closed => recorder.latency(Phase::Total, actual),
            LoopKind::Open => {
                recorder.latency_pair(Phase::Total, self.context.since_ns(start.intended), actual);
            }
        }
    }

    /// Counts the status of a whole response; 5xx says that the server failed (RFC 9110, 15.6), where nothing else was
    /// asked for.
    fn judge_status(&self) -> Result<(), Failure> {
        let status = self.response.status();
        self.context.recorder.borrow_mut().response(status);
        let right = self.expected.as_ref().map_or(status < 500, |expected| expected.allows(status));
        if right { Ok(()) } else { Err(Failure::BadStatus) }
    }

    /// Request and response.
    async fn exchange(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        if let Some(delay) = self.request_delay {
            // Whatever comes meanwhile does not change the request: it stays in the socket.
            tokio::time::sleep(delay).await;
        }
        let limits = self.connector.timeouts;
        connection.write_all(&self.request, limits.write).await?;
        self.context.recorder.borrow_mut().bytes(self.request.len() as u64, 0);
        if self.close == ClosePolicy::Half {
            connection.shut_down_writing()?;
        }
        let asked = Instant::now();
        self.response.start();
        let mut first = true;
        loop {
            let n = connection.read(&mut self.buffer, limits.read).await?;
            if n == 0 {
                // Where the host asks for a close, a response that ends with the connection is as good as any.
                if self.close == ClosePolicy::Wait {
                    self.response.eof()?
                } else {
                    self.response.end()?
                }
                break;
            }
            if std::mem::take(&mut first) {
                self.record(Phase::FirstByte, asked);
            }
            self.context.recorder.borrow_mut().bytes(0, n as u64);
            let bytes = self.buffer.get(..n).unwrap_or_default();
            if let Progress::Done { used } = self.response.feed(bytes)? {
                if used < n {
                    self.response.unasked((n - used) as u64);
                }
                break;
            }
            self.receiving.set(self.response.head_is_in());
        }
        self.context.recorder.borrow_mut().goodput(self.response.body_bytes());
        Ok(())
    }

    /// Ends the connection by the policy; also whether the host waited for an end that the device left to it.
    async fn end(&mut self, mut connection: Connection) -> (Option<TcpSample>, bool) {
        if let Some(delay) = self.close_delay {
            tokio::time::sleep(delay).await;
        }
        let closing = Instant::now();
        let sample = connection.tcp_sample();
        let host_closed = match self.close {
            ClosePolicy::Fin | ClosePolicy::Half => HostClosed::First,
            ClosePolicy::Wait => return (sample, self.wait_for_close(connection).await),
            ClosePolicy::Rst => {
                connection.reset_on_close();
                return (sample, false);
            }
            ClosePolicy::Vanish => {
                // It may have been opened beyond the device's capacity: that intention is replaced.
                self.context.book.intends(connection.port(), Intent::Vanished);
                match connection.vanish() {
                    Ok(()) => self.context.occupancy.vanish(closing),
                    Err(error) => {
                        self.context.notice(error.to_string());
                        self.context.recorder.borrow_mut().refused(|| error.to_string());
                    }
                }
                return (sample, false);
            }
        };
        let (ending, bytes) = if self.close == ClosePolicy::Fin && connection.shut_down_writing().is_err() {
            (Ending::Reset, 0)
        } else {
            connection.drain_counting(&mut self.buffer, self.connector.timeouts.read, host_closed).await
        };
        if bytes > 0 {
            self.response.unasked(bytes);
        }
        self.context.recorder.borrow_mut().ended(ending, self.context.since_ns(closing));
        (sample, false)
    }

    /// Lets the device close, which was asked to. One that keeps the connection open is waited for a little less each
    /// time, and then the host closes: whether the device would have is known by then.
    async fn wait_for_close(&mut self, mut connection: Connection) -> bool {
        let limit = self.connector.timeouts.read;
        let patience = self.patience.get();
        let asked = Instant::now();
        let (ending, bytes) = connection.drain_counting(&mut self.buffer, patience, HostClosed::NotYet).await;
        if bytes > 0 {
            self.response.unasked(bytes);
        }
        if ending != Ending::NotEnded {
            if ending == Ending::Fin {
                self.patience.set(limit);
            }
            self.context.recorder.borrow_mut().ended(ending, self.context.since_ns(asked));
            return false;
        }
        let closing = Instant::now();
        let ending = match connection.shut_down_writing() {
            Err(_) => Ending::Reset,
            Ok(()) => match connection.drain(&mut self.buffer, limit, HostClosed::First).await {
                Ending::Fin => Ending::CloseIgnored,
                other => other,
            },
        };
        if ending == Ending::CloseIgnored {
            self.patience.set(patience.min((patience / 4).max(LEAST_PATIENCE)));
            self.context.notice(CLOSE_IGNORED.into());
            self.context.recorder.borrow_mut().malformed(FaultSeen {
                fault: HttpFault::CloseIgnored,
                promised: None,
                received: None,
                detail: "the connection stayed open until the host closed it",
            });
        }
        self.context.recorder.borrow_mut().ended(ending, self.context.since_ns(closing));
        true
    }
}
