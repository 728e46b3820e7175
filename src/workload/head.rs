//! `head`: a storm of short HTTP connections - connect, request, response, close - as a sensor's poller or a
//! browser without persistence makes them.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::load::{Load, LoopKind, Outcome, Start, Worker};
use super::registry::{self, Kind, ParamError, Workload};
use crate::clock::Span;
use crate::connection::http::{Expects, Progress, Response};
use crate::connection::{Connection, Connector, HostClosed, Refused};
use crate::event::TcpSample;
use crate::event::{Ending, Expected, Failure, Intent};
use crate::stats::Phase;

/// The registry's line.
pub(super) const KIND: Kind = Kind {
    name: "head",
    flags: registry::flags::<Params>,
    keys: registry::keys::<Params>,
    typed: registry::typed::<Params>,
    build: |table| Ok(Box::new(Head::new(registry::params(table)?)?)),
};

/// How the host ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Close {
    /// A FIN as soon as the response is in
    Fin,
    /// Ask for `Connection: close` and let the device close first
    Wait,
    /// A RST as soon as the response is in
    Rst,
    /// Shut down writing right after the request
    Half,
    /// Say nothing: neither FIN nor RST leaves the host
    Vanish,
}

/// The options of `head`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
struct Params {
    #[command(flatten)]
    #[serde(flatten)]
    load: Load,

    /// HTTP method
    #[arg(long, value_name = "METHOD", default_value = "HEAD")]
    method: String,

    /// What to ask for
    #[arg(long, value_name = "PATH", default_value = "/")]
    path: String,

    /// A header to add, as `Name: value`; may be given again
    #[arg(long, value_name = "HEADER")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    header: Vec<String>,

    /// How the host ends each connection
    #[arg(long, value_enum, default_value_t = Close::Fin)]
    close: Close,

    /// Wait between the handshake and the request
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_delay: Option<Span>,

    /// Wait between the response and the close
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    close_delay: Option<Span>,
}

#[derive(Debug)]
struct Head {
    params: Params,
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
        Ok(Self { params })
    }

    fn request(&self, host: std::net::SocketAddr) -> Vec<u8> {
        let Params { method, path, .. } = &self.params;
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: espstress\r\n");
        if self.params.close == Close::Wait {
            text.push_str("Connection: close\r\n");
        }
        for header in &self.params.header {
            text.push_str(header);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        text.into_bytes()
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
            self.params
                .load
                .drive(&context, |_| Storm {
                    context: context.clone(),
                    connector: connector.clone(),
                    request: Rc::clone(&request),
                    response: Response::new(expects),
                    buffer: vec![0; 16 * 1024].into(),
                    close: self.params.close,
                    request_delay: self.params.request_delay.map(|span| span.0),
                    close_delay: self.params.close_delay.map(|span| span.0),
                })
                .await;
        })
    }
}

/// One of the storm's lanes: buffers are made once and used for each connection.
struct Storm {
    context: Context,
    connector: Connector,
    request: Rc<[u8]>,
    response: Response,
    buffer: Box<[u8]>,
    close: Close,
    request_delay: Option<Duration>,
    close_delay: Option<Duration>,
}

impl Worker for Storm {
    async fn attempt(&mut self, start: Start) -> Outcome {
        let planned = match self.close {
            Close::Fin | Close::Wait => Intent::Plain,
            Close::Half => Intent::HalfClosed,
            Close::Rst => Intent::Reset,
            Close::Vanish => Intent::Vanished,
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
        let outcome = exchanged.and_then(|()| self.judge_status());
        if outcome.is_ok() {
            self.record_total(start);
        }
        // Counted before the close: a success is a success whatever the connection's end is like.
        self.context.attempted(start.actual, outcome);
        let tcp = match exchanged {
            Ok(()) => self.end(connection).await,
            Err(_) => connection.tcp_sample(),
        };
        if let Some(sample) = tcp {
            self.context.recorder.borrow_mut().tcp(sample);
        }
        drop(held);
        if outcome.is_ok() { Outcome::GoOn } else { Outcome::Failed }
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

    /// Counts the status of a whole response; 5xx says that the server failed (RFC 9110, 15.6).
    fn judge_status(&self) -> Result<(), Failure> {
        let status = self.response.status();
        self.context.recorder.borrow_mut().response(status);
        if status >= 500 { Err(Failure::BadStatus) } else { Ok(()) }
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
        if self.close == Close::Half {
            connection.shut_down_writing()?;
        }
        let asked = Instant::now();
        self.response.start();
        let mut first = true;
        loop {
            let n = connection.read(&mut self.buffer, limits.read).await?;
            if n == 0 {
                self.response.eof()?;
                break;
            }
            if std::mem::take(&mut first) {
                self.record(Phase::FirstByte, asked);
            }
            self.context.recorder.borrow_mut().bytes(0, n as u64);
            let bytes = self.buffer.get(..n).unwrap_or_default();
            if let Progress::Done { .. } = self.response.feed(bytes)? {
                break;
            }
        }
        self.context.recorder.borrow_mut().goodput(self.response.body_bytes());
        Ok(())
    }

    /// Ends the connection by the policy.
    async fn end(&mut self, mut connection: Connection) -> Option<TcpSample> {
        if let Some(delay) = self.close_delay {
            tokio::time::sleep(delay).await;
        }
        let closing = Instant::now();
        let sample = connection.tcp_sample();
        let host_closed = match self.close {
            Close::Fin | Close::Half => HostClosed::First,
            Close::Wait => HostClosed::NotYet,
            Close::Rst => {
                connection.reset_on_close();
                return sample;
            }
            Close::Vanish => {
                if let Err(error) = connection.vanish() {
                    self.context.notice(error.to_string());
                    self.context.recorder.borrow_mut().refused(|| error.to_string());
                }
                return sample;
            }
        };
        let ending = if self.close == Close::Fin && connection.shut_down_writing().is_err() {
            Ending::Reset
        } else {
            connection.drain(&mut self.buffer, self.connector.timeouts.read, host_closed).await
        };
        self.context.recorder.borrow_mut().ended(ending, self.context.since_ns(closing));
        sample
    }
}
