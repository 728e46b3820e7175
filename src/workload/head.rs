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
use super::endless::Coming;
use super::http::{self, Addressed, Asked, CONTINUE, Request};
use super::load::{GIVEN_UP, Load, LoopKind, Outcome, Start, TIME_UP, Worker};
use super::registry::{self, Given, Kind, ParamError, Workload};
use super::slow::{self, Sent, SlowOne, Slowly};
use espstress_clock::{Span, nanos};
use espstress_connection::http::{Progress, Response};
use espstress_connection::{Connection, Connector, HostClosed, Refused, Tls, Turn};
use espstress_event::{
    Asks, ClosePolicy, Continues, Ending, Endpoints, Expected, Failure, FaultSeen, HttpFault, Intent,
    Protocol, SlowSpan, StallEnd, TcpSample, WorkloadFacts, WorkloadKind,
};
use espstress_stats::Phase;

/// The registry's line.
pub(super) const KIND: Kind = Kind {
    name: WorkloadKind::Head.name(),
    flags: registry::flags::<Params>,
    keys: registry::keys::<Params>,
    typed: registry::typed::<Params>,
    build: |table| {
        let params: Params = registry::params(table)?;
        params.load.check_given(Given(table))?;
        Ok(Box::new(Head::new(params)?))
    },
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

    #[command(flatten)]
    #[serde(flatten)]
    request: Request,

    /// How the client ends each connection
    #[arg(long, value_enum, default_value_t = ClosePolicy::Fin)]
    close: ClosePolicy,

    /// Pause between the handshake and the request, as browsers leave it on connections that they open beforehand
    #[arg(long, value_name = "DUR", visible_alias = "silent-before")]
    #[serde(skip_serializing_if = "Option::is_none")]
    request_delay: Option<Span>,

    #[command(flatten)]
    #[serde(flatten)]
    slowly: Slowly,

    /// Pause between the response and the close
    #[arg(long, value_name = "DUR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    close_delay: Option<Span>,
}

#[derive(Debug)]
struct Head {
    params: Params,
    asked: Asked,
}

impl Head {
    fn new(params: Params) -> Result<Self, ParamError> {
        let asked = params.request.ask(&params.method, true)?;
        params.request.check_tls()?;
        Ok(Self { params, asked })
    }
}

impl Workload for Head {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn main_phase(&self) -> Phase {
        // The whole of a slow exchange is the host's own slowness.
        if self.params.slowly.is_given() { Phase::FirstByte } else { Phase::Total }
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
                path: Some(self.asked.path_for_reports()),
                tls: self.params.request.tls,
                status_expected: self.params.request.expect_status.is_some(),
                window: 1,
                request_delay_ns: self.params.request_delay.map_or(0, |span| nanos(span.0)),
                body: self.asked.body.is_some(),
                reads_slowly: self.params.slowly.read_rate.is_some(),
                sends_slowly: self.params.slowly.send_rate.is_some(),
            },
            close: self.params.close,
        }
    }

    fn check_device(&self, endpoints: &Endpoints, _: bool) -> Result<(), ParamError> {
        self.params.request.check_device(endpoints)
    }

    fn settings(&self) -> serde_json::Value {
        registry::settings(&Params {
            load: self.params.load.for_reports(),
            request: self.params.request.for_reports(),
            ..self.params.clone()
        })
    }

    fn at_once(&self) -> u32 {
        self.params.load.at_once()
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        self.params.load.attempts_in_a_minute()
    }

    fn connect_timeout(&self) -> Duration {
        self.params.load.timeouts().connect
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let target = context.endpoints.http;
            let tls = match self.params.request.tls(&context.endpoints) {
                Ok(tls) => tls.map(Rc::new),
                Err(why) => return context.recorder.borrow_mut().refused(|| why),
            };
            let last = self.params.close == ClosePolicy::Wait;
            let request = Rc::new(self.asked.address(target, &context.endpoints, tls.is_some(), last));
            let mut connector = context.connector(target, self.params.load.timeouts());
            connector.slowness = self.params.slowly.slowness();
            let patience = Rc::new(Cell::new(connector.timeouts.read.min(FIRST_PATIENCE)));
            self.params
                .load
                .drive(&context, |_| Storm {
                    context: context.clone(),
                    connector: connector.clone(),
                    request: Rc::clone(&request),
                    response: Response::new(request.expects()),
                    buffer: vec![0; 16 * 1024].into(),
                    receiving: Rc::default(),
                    coming: Coming::default(),
                    endless: false,
                    counted: false,
                    tls: tls.clone(),
                    slowly: self.params.slowly,
                    sent: Sent::InHead,
                    slow_one: None,
                    silence: None,
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

/// Said once of a device that has not closed when it was asked to: it may do so later.
const CLOSE_IGNORED: &str = "the device had not closed in time after Connection: close; this host closes instead, after \
                             a wait that becomes shorter";

/// One of the storm's lanes: buffers are made once and used for each connection.
struct Storm {
    context: Context,
    connector: Connector,
    request: Rc<Addressed>,
    tls: Option<Rc<Tls>>,
    response: Response,
    buffer: Box<[u8]>,
    /// Whether a response is coming in.
    receiving: Rc<Cell<bool>>,
    /// How long it has been.
    coming: Coming,
    /// Whether it was given up for want of an end.
    endless: bool,
    /// Whether the attempt under way is counted already, and only its connection's end is due.
    counted: bool,
    slowly: Slowly,
    /// How far the request has come.
    sent: Sent,
    /// The client that is slow just now.
    slow_one: Option<SlowOne>,
    /// What others met while this client was silent before its request.
    silence: Option<SlowSpan>,
    close: ClosePolicy,
    /// How long a device that was asked to close is waited for: less with each time that it did not, whichever lane
    /// saw it.
    patience: Rc<Cell<Duration>>,
    request_delay: Option<Duration>,
    close_delay: Option<Duration>,
}

impl Worker for Storm {
    async fn attempt(&mut self, start: Start) -> Outcome {
        self.counted = false;
        let planned = match self.close {
            ClosePolicy::Fin | ClosePolicy::Wait => Intent::Plain,
            ClosePolicy::Half => Intent::HalfClosed,
            ClosePolicy::Rst => Intent::Reset,
            ClosePolicy::Vanish => Intent::Vanished,
        };
        let intent = self.context.intent_at(self.slowly.intent(planned), start.actual);
        let held = self.context.hold_one();
        let mut connection = match self.connector.open(intent).await {
            Ok(connection) => connection,
            Err(Refused::PortsUntil(at)) => return Outcome::PortsUntil(at),
            Err(Refused::Failure(failure)) => {
                self.context.attempted(start.actual, Err(failure));
                return Outcome::Failed;
            }
        };
        self.record(Phase::Connect, start.actual, connection.opened_at());
        // Nothing of the response before is this connection's.
        self.response.start();
        self.sent = Sent::InHead;
        self.slow_one = None;
        self.silence = None;
        self.coming.begin();
        self.endless = false;
        let limit = self.connector.timeouts.connect;
        let mut exchanged = match self.tls.as_deref() {
            // In a place of its own: a handshake's state is larger than all the rest, and would be moved each time.
            tls @ Some(_) => Box::pin(http::secure(&self.context, &mut connection, tls, limit)).await,
            None => Ok(()),
        };
        if exchanged.is_ok() {
            exchanged = self.exchange(&mut connection).await;
        }
        self.receiving.set(false);
        if self.gave_up(&connection, exchanged) {
            exchanged = Err(Failure::SlowGivenUp);
        }
        let end = exchanged.err().map_or(StallEnd::Answered, http::stall_end);
        let unsent = self.slowly.send_rate.is_some() && !matches!(self.sent, Sent::Whole(_));
        let early = http::note_upload(&self.context, &mut connection, end) || unsent;
        if exchanged == Err(Failure::ReadTimeout) {
            self.response.stalled();
        }
        let outcome = exchanged.and_then(|()| self.judge_status());
        let ended = Instant::now();
        if outcome.is_ok() && !self.slowly.is_given() {
            self.record_total(start, ended);
        }
        slow::answered(&self.context, self.silence.take().filter(|_| exchanged.is_ok()));
        self.slow_one.take().into_iter().for_each(|one| one.end(outcome));
        // Counted before the close: a success is a success whatever the connection's end is like.
        self.context.attempted_by(start.actual, ended, outcome);
        self.counted = true;
        let (tcp, waited) = match exchanged {
            Ok(()) if early => {
                let sample = connection.tcp_sample();
                http::note_tls(&self.context, &mut connection);
                http::give_up_rest(&self.context, &mut connection);
                (sample, false)
            }
            Ok(()) => self.end(connection, ended).await,
            Err(_) => {
                http::note_tls(&self.context, &mut connection);
                (connection.tcp_sample(), false)
            }
        };
        let mut recorder = self.context.recorder.borrow_mut();
        tcp.into_iter().for_each(|sample| recorder.tcp(sample));
        self.response.take_fault().into_iter().for_each(|seen| recorder.malformed(seen));
        drop(recorder);
        drop(held);
        match outcome {
            Ok(()) if waited => Outcome::Waited,
            Ok(()) => Outcome::GoOn,
            Err(_) if self.endless => Outcome::Endless,
            Err(_) => Outcome::Failed,
        }
    }

    fn receiving(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.receiving)
    }

    fn waits_for_answers(&self) -> bool {
        self.close_delay.is_none()
    }

    fn is_slow(&self) -> bool {
        self.slowly.is_given() || self.request_delay.is_some_and(http::is_late)
    }

    fn cut(&mut self) -> u64 {
        if self.receiving.replace(false) {
            self.response.endless(TIME_UP);
        }
        self.slow_one = None;
        let mut recorder = self.context.recorder.borrow_mut();
        self.response.take_fault().into_iter().for_each(|seen| recorder.malformed(seen));
        u64::from(!self.counted)
    }
}

impl Storm {
    fn record(&self, phase: Phase, from: Instant, to: Instant) {
        let ns = nanos(to.saturating_duration_since(from));
        self.context.recorder.borrow_mut().latency(phase, ns);
    }

    fn record_total(&self, start: Start, ended: Instant) {
        let since = |from| nanos(ended.saturating_duration_since(from));
        let actual = since(start.actual);
        let mut recorder = self.context.recorder.borrow_mut();
        match start.kind {
            LoopKind::Closed => recorder.latency(Phase::Total, actual),
            LoopKind::Open => {
                recorder.latency_pair(Phase::Total, since(start.intended), actual);
            }
        }
    }

    /// Whether the device gave up this client, which was slow on purpose.
    fn gave_up(&mut self, connection: &Connection, exchanged: Result<(), Failure>) -> bool {
        let begun = self.response.head_is_in();
        let given_up = match exchanged {
            Err(failure) => slow::is_given_up(connection, failure, self.sent, begun),
            Ok(()) => {
                let status = self.response.status();
                let told = self.slowly.send_rate.is_some() && slow::is_given_up_by(status, self.sent);
                if told {
                    slow::told(&self.context, |slow| {
                        *slow.given_up_by_status.entry(status).or_default() += 1
                    });
                }
                told
            }
        };
        if given_up {
            // A response that was cut off is the same.
            let _ = self.response.take_fault();
        }
        given_up
    }

    /// Counts and judges the status of a whole response.
    fn judge_status(&self) -> Result<(), Failure> {
        let status = self.response.status();
        self.request.judge(&self.response, status, &mut self.context.recorder.borrow_mut())
    }

    /// Request and response.
    async fn exchange(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        if let Some(delay) = self.request_delay {
            self.silence = http::keep_silent(&self.context, connection, &mut self.buffer, delay).await?;
        }
        self.response.start();
        let request = Rc::clone(&self.request);
        let limits = self.connector.timeouts;
        if self.slowly.send_rate.is_some() {
            self.slow_one = Some(SlowOne::begin(&self.context));
        }
        let slow = self.slowly.send_rate.map(|_| &[][..]);
        match request.body().or(slow) {
            // Who sends slowly may be answered before all is sent, body or not.
            Some(body) => self.upload(connection, &request, body).await?,
            None => {
                connection.write_all(&request.head, limits.write).await?;
                self.context.recorder.borrow_mut().bytes(request.head.len() as u64, 0);
                if self.close == ClosePolicy::Half {
                    connection.shut_down_writing()?;
                }
                let asked = Instant::now();
                let mut first = true;
                loop {
                    let from = if first { asked } else { Instant::now() };
                    let n = connection.read_from(&mut self.buffer, from, limits.read).await?;
                    if std::mem::take(&mut first) && n > 0 {
                        self.record(Phase::FirstByte, asked, Instant::now());
                    }
                    if self.take(connection, n)? {
                        break;
                    }
                }
            }
        }
        self.context.recorder.borrow_mut().goodput(self.response.body_bytes());
        Ok(())
    }

    /// Takes bytes of the response that have come, 0 for the device's FIN; whether the response is whole.
    fn take(&mut self, connection: &Connection, n: usize) -> Result<bool, Failure> {
        if n == 0 {
            if connection.ended_without_close_notify() {
                self.response.end_without_close_notify()?;
            }
            // Where the host asks for a close, a response that ends with the connection is as good as any.
            let asked = self.close == ClosePolicy::Wait || self.request.asks_close();
            if !asked || self.response.eof().is_err() {
                self.response.end()?;
            }
            return Ok(true);
        }
        self.context.recorder.borrow_mut().bytes(0, n as u64);
        if self.slowly.read_rate.is_some() {
            self.slow_one.get_or_insert_with(|| SlowOne::begin(&self.context));
        }
        let bytes = self.buffer.get(..n).unwrap_or_default();
        if let Progress::Done { used } = self.response.feed(bytes)? {
            if used < n {
                self.response.unasked((n - used) as u64, bytes.get(used..).unwrap_or_default());
            }
            return Ok(true);
        }
        // A response that comes slowly by the host's own choice is not without an end.
        self.receiving.set(self.response.head_is_in() && !self.slowly.is_given());
        let (left, limit) = (self.response.left(), self.connector.timeouts.read);
        if self.coming.goes_on(n, left, limit, self.slowly.read_rate, Instant::now()) {
            self.response.endless(GIVEN_UP);
            self.endless = true;
            return Err(Failure::ReadTimeout);
        }
        Ok(false)
    }

    /// A request with a body: the response may come before the body is sent, and then ends it.
    async fn upload(
        &mut self,
        connection: &mut Connection,
        request: &Addressed,
        body: &[u8],
    ) -> Result<(), Failure> {
        let limits = self.connector.timeouts;
        let mut whole = request.head.clone();
        if request.expect_continue() {
            connection.write_all(&request.head, limits.write).await?;
            self.context.recorder.borrow_mut().bytes(request.head.len() as u64, 0);
            if self.await_continue(connection).await? {
                return Ok(());
            }
            whole.clear();
        }
        if !body.is_empty() {
            connection.begin_upload(whole.len() as u64, body.len() as u64);
        }
        let head = whole.len();
        whole.extend_from_slice(body);
        let mut sent = 0;
        self.sent = Sent::after(sent, head, whole.len());
        let (mut asked, mut first) = (Instant::now(), true);
        loop {
            let rest = whole.get(sent..).unwrap_or_default();
            match connection.turn(rest, &mut self.buffer, limits.read, limits.write).await? {
                Turn::Wrote(n) => {
                    sent += n;
                    self.coming.begin();
                    self.sent = Sent::after(sent, head, whole.len());
                    self.context.recorder.borrow_mut().bytes(n as u64, 0);
                    if sent == whole.len() {
                        asked = Instant::now();
                        if self.close == ClosePolicy::Half {
                            connection.shut_down_writing()?;
                        }
                    }
                }
                Turn::Read(n) => {
                    // Of an answer before the end of the request, nobody has waited.
                    if std::mem::take(&mut first) && n > 0 && sent == whole.len() {
                        self.record(Phase::FirstByte, asked, Instant::now());
                    }
                    if self.take(connection, n)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Waits for 100 Continue for as long as clients do; whether the whole response came instead.
    async fn await_continue(&mut self, connection: &mut Connection) -> Result<bool, Failure> {
        let deadline = Instant::now() + CONTINUE;
        self.continues(|c| c.asked += 1);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let n = match connection.read(&mut self.buffer, left).await {
                Err(Failure::ReadTimeout) => {
                    // A response that has begun is the answer; the body would only be in its way.
                    if !self.response.head_is_in() {
                        self.continues(|c| c.not_heard += 1);
                        return Ok(false);
                    }
                    connection.read(&mut self.buffer, self.connector.timeouts.read).await?
                }
                read => read?,
            };
            if self.take(connection, n)? {
                self.continues(|c| c.answered += 1);
                return Ok(true);
            }
            if self.response.continued() && !self.response.head_is_in() {
                self.continues(|c| c.continued += 1);
                return Ok(false);
            }
        }
    }

    fn continues(&self, add: impl FnOnce(&mut Continues)) {
        add(self.context.recorder.borrow_mut().http().continues.get_or_insert_default());
    }

    /// Ends the connection by the policy; also whether the host waited for an end that the device left to it.
    async fn end(&mut self, mut connection: Connection, ended: Instant) -> (Option<TcpSample>, bool) {
        let mut closing = ended;
        if let Some(delay) = self.close_delay {
            tokio::time::sleep(delay).await;
            closing = Instant::now();
        }
        let sample = connection.tcp_sample();
        let host_closed = match self.close {
            ClosePolicy::Fin | ClosePolicy::Half => HostClosed::First,
            ClosePolicy::Wait => return (sample, self.wait_for_close(connection, closing, ended).await),
            ClosePolicy::Rst => {
                http::note_tls(&self.context, &mut connection);
                if self.slowly.is_given() {
                    // Until now it was one that the device may give up.
                    self.context.book.intends(connection.port(), Intent::Reset);
                }
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
        if !self.response.persistent() || self.request.asks_close() {
            connection.peer_will_close();
        }
        let (ending, bytes) = if self.close == ClosePolicy::Fin && connection.shut_down_writing().is_err() {
            (Ending::Reset, 0)
        } else {
            connection.drain_counting(&mut self.buffer, self.connector.timeouts.read, host_closed).await
        };
        self.behind(bytes, ended);
        http::note_tls(&self.context, &mut connection);
        self.context.recorder.borrow_mut().ended(ending, self.context.since_ns(closing));
        (sample, false)
    }

    /// So many bytes came behind the response, the first of them to the buffer's beginning.
    fn behind(&mut self, bytes: u64, answered: Instant) {
        if bytes > 0 && !http::is_idle_close(&self.buffer, bytes, answered) {
            self.response.unasked(bytes, http::begin(&self.buffer, bytes));
        }
    }

    /// Lets the device close, which was asked to. One that keeps the connection open is waited for a little less each
    /// time, and then the host closes: whether the device would have is known by then.
    async fn wait_for_close(
        &mut self,
        mut connection: Connection,
        asked: Instant,
        answered: Instant,
    ) -> bool {
        let limit = self.connector.timeouts.read;
        let patience = self.patience.get();
        let (ending, bytes) = connection.drain_counting(&mut self.buffer, patience, HostClosed::NotYet).await;
        self.behind(bytes, answered);
        if !matches!(ending, Ending::NotEnded | Ending::StillSending) {
            if ending == Ending::Fin {
                self.patience.set(limit);
            }
            http::note_tls(&self.context, &mut connection);
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
        http::note_tls(&self.context, &mut connection);
        self.context.recorder.borrow_mut().ended(ending, self.context.since_ns(closing));
        true
    }
}
