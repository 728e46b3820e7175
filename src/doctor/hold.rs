//! Connections held open and idle: how many the device holds at once, where the host may not fall silent on them.
//!
//! Each is asked one request, then left alone while the host's stack goes on answering. They are closed in order
//! at the end, and a last request shows whether the device has its sockets back.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use espstress_clock::{Span, nanos};
use espstress_connection::http::{Expects, Progress, Response};
use espstress_connection::{Connection, HostClosed, Refused, Timeouts};
use espstress_event::{Endpoints, Expected, Failure, Intent, WorkloadFacts};
use espstress_stats::Phase;
use espstress_workload::{Context, Workload};

/// Longest wait for each step.
const LIMIT: Duration = Duration::from_secs(1);

/// Connections in a row that get nowhere before the device counts as full.
const FULL_AFTER: u32 = 2;

/// Too Many Requests: how often the device may be asked, whatever it holds.
pub(super) const TOO_MANY: u16 = 429;

/// Service Unavailable.
const UNAVAILABLE: u16 = 503;

/// What became of the held connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HoldSeen {
    /// Connections that were served and then held.
    pub(super) held: u32,
    /// Whether the device took no more.
    pub(super) full: bool,
    /// The status by which it refused the last ones, 429 or 503; `None` where it refused them otherwise, or took all.
    pub(super) refused_by: Option<u16>,
    /// How long they were left alone, nanoseconds.
    pub(super) idle_ns: u64,
    /// Those that the device ended meanwhile.
    pub(super) ended_by_device: u32,
    /// Whether a request was served after all were closed; `None` when nobody asked.
    pub(super) served_after: Option<bool>,
}

/// Where the phase leaves what it saw.
#[derive(Debug, Default)]
pub(super) struct HoldNotes(Mutex<Option<HoldSeen>>);

impl HoldNotes {
    /// What was seen; `None` when the phase did not run to where it knows.
    pub(super) fn seen(&self) -> Option<HoldSeen> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, seen: HoldSeen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

/// The phase.
pub(super) struct Hold {
    notes: Arc<HoldNotes>,
    most: u32,
    idle: Duration,
}

impl Hold {
    pub(super) const fn new(notes: Arc<HoldNotes>, most: u32, idle: Duration) -> Self {
        Self { notes, most, idle }
    }

    async fn hold(&self, context: &Context) {
        let mut held = Vec::new();
        let (mut seen, mut in_a_row) = (HoldSeen::default(), 0);
        while seen.held < self.most && in_a_row < FULL_AFTER && !context.stop.is_stopping() {
            // The first that is not taken shows the limit; the next one only confirms it.
            let intent = if in_a_row == 0 { Intent::Plain } else { Intent::BeyondCapacity };
            match ask(context, intent).await {
                Ok((mut connection, status)) if refuses(status) => {
                    in_a_row += 1;
                    seen.refused_by = Some(status);
                    end(&mut connection).await;
                }
                Ok((connection, _)) => {
                    in_a_row = 0;
                    seen.held += 1;
                    held.push((connection, context.hold_one()));
                }
                Err(_) => {
                    in_a_row += 1;
                    seen.refused_by = None;
                }
            }
        }
        seen.full = in_a_row >= FULL_AFTER;
        seen.refused_by = seen.refused_by.filter(|_| seen.full);
        self.notes.set(seen);
        let begun = Instant::now();
        let mut stop = context.stop.clone();
        tokio::select! {
            biased;
            () = stop.stopped() => {}
            () = tokio::time::sleep(self.idle) => {}
        }
        seen.idle_ns = nanos(begun.elapsed());
        let mut scratch = [0; 256];
        for (mut connection, _counted) in held {
            // What came meanwhile is there at once.
            match connection.read(&mut scratch, Duration::from_millis(1)).await {
                Ok(0) | Err(Failure::ReadReset) => seen.ended_by_device += 1,
                _ => end(&mut connection).await,
            }
        }
        if !context.stop.is_stopping() {
            seen.served_after = match ask(context, Intent::Plain).await {
                // It says how often it may be asked, or has answered nothing else before.
                Ok((_, status)) if refuses(status) && (status == TOO_MANY || seen.held == 0) => None,
                Ok((_, status)) => Some(!refuses(status)),
                Err(_) => Some(false),
            };
        }
        self.notes.set(seen);
    }
}

/// Whether this status says that the device doesn't serve now (RFC 9110, 15.6.4; RFC 6585, 4).
const fn refuses(status: u16) -> bool {
    matches!(status, TOO_MANY | UNAVAILABLE)
}

/// Ends a connection as a client does that has no more to ask.
async fn end(connection: &mut Connection) {
    if connection.shut_down_writing().is_ok() {
        connection.drain(&mut [0; 256], LIMIT, HostClosed::First).await;
    }
}

/// One more connection, answered, and the status of the answer.
async fn ask(context: &Context, intent: Intent) -> Result<(Connection, u16), Failure> {
    let start = Instant::now();
    let result = attempt(context, intent).await;
    context.attempted(start, result.as_ref().map(|_| ()).map_err(|failure| *failure));
    if result.is_ok() {
        context.recorder.borrow_mut().latency(Phase::Total, context.since_ns(start));
    }
    result
}

async fn attempt(context: &Context, intent: Intent) -> Result<(Connection, u16), Failure> {
    let target = context.endpoints.http;
    let limits = Timeouts { connect: LIMIT, read: LIMIT, write: LIMIT };
    let opened = context.connector(target, limits).open(context.intent(intent)).await;
    let mut connection = opened.map_err(|refused| match refused {
        Refused::Failure(failure) => failure,
        Refused::PortsUntil(_) => Failure::HostOutOfPorts,
    })?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {target}\r\nUser-Agent: espstress\r\n\r\n");
    connection.write_all(request.as_bytes(), limits.write).await?;
    context.recorder.borrow_mut().bytes(request.len() as u64, 0);
    let mut response = Response::new(Expects::HeadOnly);
    response.start();
    let mut buffer = [0; 2_048];
    loop {
        let n = connection.read(&mut buffer, limits.read).await?;
        context.recorder.borrow_mut().bytes(0, n as u64);
        if n == 0 {
            response.eof()?;
            return Err(Failure::EofBeforeResponse);
        }
        if let Progress::Done { .. } = response.feed(buffer.get(..n).unwrap_or_default())? {
            return Ok((connection, response.status()));
        }
    }
}

impl Workload for Hold {
    fn kind(&self) -> &'static str {
        "hold"
    }

    fn main_phase(&self) -> Phase {
        Phase::Total
    }

    fn expected(&self) -> Expected {
        Expected::Duration(nanos(self.idle))
    }

    fn facts(&self, _: &Endpoints) -> WorkloadFacts {
        WorkloadFacts::default()
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "connections": self.most, "idle": Span(self.idle).to_string() })
    }

    fn at_once(&self) -> u32 {
        self.most
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        Some(u64::from(self.most) + 3)
    }

    fn connect_timeout(&self) -> Duration {
        LIMIT
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move { self.hold(&context).await })
    }
}
