//! `rw --protocol sse`: what an event stream brings, read as a browser's EventSource reads it (WHATWG HTML, 9.2).
//!
//! The device speaks when it has something to say: each event is an attempt, and a silence is none. How long the silences
//! are, and how streams end, is what is measured.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::events::Parser;
use crate::context::{Context, Held, Stop};
use crate::http::{self, Addressed};
use crate::load::{Outcome, Start, Worker};
use crate::slow;
use espstress_clock::nanos;
use espstress_connection::http::{Progress, Response, is_redirect};
use espstress_connection::{Connection, Connector, HostClosed, Refused, Tls};
use espstress_event::{EventStreams, Failure, Intent};
use espstress_stats::Phase;

/// Until a stream is opened anew, where the device names no time: as Chrome waits.
const RECONNECT: Duration = Duration::from_secs(3);

/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3_600);

/// What a stream has to be, in small letters (WHATWG HTML, 9.2.5).
const TYPE: &str = "text/event-stream";

/// What one worker is told to do.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) context: Context,
    pub(super) connector: Connector,
    pub(super) tls: Option<Rc<Tls>>,
    pub(super) request: Addressed,
    /// How long a stream may be silent, where the user says that it matters.
    pub(super) silence: Option<Duration>,
    /// Events after which a stream is opened anew.
    pub(super) per_connection: Option<u64>,
    pub(super) silent_before: Option<Duration>,
    /// When the run is over.
    pub(super) end: Option<Instant>,
}

/// One of the workload's streams, opened when it is first needed and again after it has ended.
pub(super) struct Subscriber {
    plan: Plan,
    stream: Option<Stream>,
    /// Before then no stream is opened.
    not_before: Option<Instant>,
    retry: Option<Duration>,
    last_id: String,
    had_failed: bool,
    /// Whether the device has said by 204 that it is not to be asked again (WHATWG HTML, 9.2.2).
    told_to_stop: bool,
    /// Redirects followed since the last stream.
    hops: u32,
    buffer: Box<[u8]>,
}

/// Redirects that a client follows in a row, as browsers do (WHATWG Fetch, 4.4).
const MOST_HOPS: u32 = 20;

/// What lives as long as the stream.
struct Stream {
    connection: Connection,
    response: Response,
    parser: Parser,
    /// Events that have come and were not counted.
    events: VecDeque<u64>,
    /// When the last event came, or else the stream opened.
    event_at: Instant,
    /// When the last byte came.
    byte_at: Instant,
    seen: u64,
    /// What others meet beside it is noted under this number.
    beside: u64,
    /// How it ended, to be told once its events are counted.
    over: Option<Result<(), Failure>>,
    _held: Held,
}

/// Why an attempt came to nothing.
enum NoEvent {
    Refused(Refused),
    Failure(Failure),
    /// The run is over.
    RunOver,
    /// The stream is at another place of the device's.
    Elsewhere,
}

impl From<Failure> for NoEvent {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Subscriber {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            stream: None,
            not_before: None,
            retry: None,
            last_id: String::new(),
            had_failed: false,
            told_to_stop: false,
            hops: 0,
            buffer: vec![0; 16 * 1024].into(),
        }
    }

    fn told(&self, tell: impl FnOnce(&mut EventStreams)) {
        let mut recorder = self.plan.context.recorder.borrow_mut();
        tell(recorder.by_protocol().sse.get_or_insert_default());
    }

    /// The head of the request, with what EventSource adds.
    fn head(&self) -> Vec<u8> {
        let mut head = self.plan.request.head.clone();
        // The blank line that ends it.
        head.truncate(head.len().saturating_sub(2));
        head.extend_from_slice(b"Accept: text/event-stream\r\nCache-Control: no-store\r\n");
        if !self.last_id.is_empty() {
            head.extend_from_slice(format!("Last-Event-ID: {}\r\n", self.last_id).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    /// Opens a stream, up to the end of the response's head.
    async fn open(&mut self) -> Result<Stream, NoEvent> {
        let Plan { context, connector, tls, silent_before, .. } = self.plan.clone();
        let limits = connector.timeouts;
        let from = Instant::now();
        let held = context.hold_one();
        let opened = connector.open(context.intent(Intent::Plain)).await;
        let mut connection = opened.map_err(NoEvent::Refused)?;
        connection.send_at_once();
        let ns = context.since_ns(from);
        context.recorder.borrow_mut().latency(Phase::Connect, ns);
        if let Err(failure) = http::secure(&context, &mut connection, tls.as_deref(), limits.connect).await {
            http::note_tls(&context, &mut connection);
            return Err(failure.into());
        }
        if std::mem::take(&mut self.had_failed) {
            context.recorder.borrow_mut().reconnected();
        }
        let silence = match silent_before {
            Some(length) => http::keep_silent(&context, &mut connection, &mut self.buffer, length).await?,
            None => None,
        };
        let head = self.head();
        connection.write_all(&head, limits.write).await?;
        context.recorder.borrow_mut().bytes(head.len() as u64, 0);
        let asked = Instant::now();
        let now = Instant::now();
        let mut stream = Stream {
            connection,
            response: Response::new(self.plan.request.expects()).keeping_body(),
            parser: Parser::default(),
            events: VecDeque::new(),
            event_at: now,
            byte_at: now,
            seen: 0,
            beside: context.beside.borrow_mut().begin(now),
            over: None,
            _held: held,
        };
        let mut first = true;
        while !stream.response.head_is_in() {
            // Its whole time is limited, however its bytes trickle in.
            let left = limits.read.saturating_sub(asked.elapsed());
            let n = stream.connection.read(&mut self.buffer, left).await?;
            if std::mem::take(&mut first) && n > 0 {
                context.recorder.borrow_mut().latency(Phase::FirstByte, context.since_ns(asked));
            }
            self.take(&mut stream, n);
            if let Some(Err(failure)) = stream.over {
                return Err(failure.into());
            }
        }
        slow::answered(&context, silence);
        self.judge(&mut stream)?;
        Ok(stream)
    }

    /// Whether the response is an event stream.
    fn judge(&mut self, stream: &mut Stream) -> Result<(), NoEvent> {
        let status = stream.response.status();
        let context = &self.plan.context.clone();
        self.told_to_stop = status == 204;
        let elsewhere = stream.response.location().filter(|_| is_redirect(status) && self.hops < MOST_HOPS);
        let elsewhere = elsewhere
            .and_then(|to| self.plan.request.redirected(to, &context.endpoints, self.plan.connector.target));
        if let Some(request) = elsewhere {
            context.recorder.borrow_mut().response(status);
            self.plan.request = request;
            self.hops += 1;
            http::give_up_rest(context, &mut stream.connection);
            return Err(NoEvent::Elsewhere);
        }
        let answered = self.plan.request.judge(&stream.response, status, &mut context.recorder.borrow_mut());
        if status != 200 {
            self.told(|sse| sse.refused += 1);
            http::give_up_rest(context, &mut stream.connection);
            if answered.is_ok() {
                let mut recorder = context.recorder.borrow_mut();
                *recorder.http().wrong_statuses.entry(status).or_default() += 1;
            }
            return Err(Failure::BadStatus.into());
        }
        self.hops = 0;
        if stream.response.content_type() != Some(TYPE) {
            let name = stream.response.content_type().unwrap_or_default().to_owned();
            self.told(|sse| {
                sse.wrong_type += 1;
                sse.wrong_type_seen.get_or_insert(name);
            });
            http::give_up_rest(context, &mut stream.connection);
            return Err(Failure::BadResponse.into());
        }
        self.told(|sse| {
            sse.streams += 1;
            sse.longest_gap_us.get_or_insert(0);
            sse.longest_silence_us.get_or_insert(0);
        });
        stream.event_at = Instant::now();
        stream.byte_at = stream.event_at;
        Ok(())
    }

    /// Takes `n` bytes of the buffer, 0 for the device's FIN.
    fn take(&mut self, stream: &mut Stream, n: usize) {
        let bytes = self.buffer.get(..n).unwrap_or_default();
        self.plan.context.recorder.borrow_mut().bytes(0, n as u64);
        let was_open = stream.response.head_is_in();
        let fed = if n == 0 {
            stream.response.eof().map(|()| Progress::Done { used: 0 })
        } else {
            stream.response.feed(bytes)
        };
        let body = stream.response.take_body();
        match fed {
            Ok(Progress::More) => {}
            Ok(Progress::Done { .. }) => stream.over = Some(Ok(())),
            Err(failure) => {
                let fault = stream.response.take_fault();
                fault.into_iter().for_each(|seen| self.plan.context.recorder.borrow_mut().malformed(seen));
                stream.over = Some(Err(failure));
            }
        }
        if was_open && n > 0 {
            self.heard(stream);
        }
        // Another page's bytes say nothing.
        if stream.response.status() != 200 || stream.response.content_type() != Some(TYPE) {
            return;
        }
        let found = stream.parser.feed(&body);
        stream.events.extend(found.events);
        if found.too_long {
            stream.over = Some(Err(Failure::BadResponse));
        }
        if let Some(id) = found.id {
            self.last_id = id;
        }
        if let Some(retry) = found.retry_ms {
            self.retry = Some(Duration::from_millis(retry));
        }
        self.told(|sse| {
            sse.comments += found.comments;
            sse.retry_ms = found.retry_ms.or(sse.retry_ms);
        });
    }

    /// Bytes have come.
    fn heard(&self, stream: &mut Stream) {
        let silence = stream.byte_at.elapsed();
        stream.byte_at = Instant::now();
        self.told(|sse| sse.longest_silence_us = sse.longest_silence_us.max(Some(micros(silence))));
    }

    /// The stream's time is over: the silences that nothing has ended count up to now.
    fn note_silences(&self) {
        let Some(stream) = &self.stream else { return };
        let (gap, silence) = (micros(stream.event_at.elapsed()), micros(stream.byte_at.elapsed()));
        let span = self.plan.context.beside.borrow_mut().end(stream.beside, Instant::now());
        self.told(|sse| {
            sse.longest_gap_us = sse.longest_gap_us.max(Some(gap));
            sse.longest_silence_us = sse.longest_silence_us.max(Some(silence));
            span.into_iter().for_each(|span| sse.note(span));
        });
    }

    /// Waits for the next event: how many bytes it has.
    async fn next(&mut self) -> Result<u64, NoEvent> {
        let mut stop = self.plan.context.stop.clone();
        let end = self.plan.end;
        loop {
            if self.stream.is_none() {
                if let Some(at) = self.not_before.take() {
                    tokio::select! {
                        biased;
                        () = run_over(end, &mut stop) => return Err(NoEvent::RunOver),
                        () = tokio::time::sleep_until(at.into()) => {}
                    }
                }
                if self.told_to_stop {
                    run_over(end, &mut stop).await;
                    return Err(NoEvent::RunOver);
                }
                self.stream = match self.open().await {
                    Err(NoEvent::Elsewhere) => continue,
                    opened => Some(opened?),
                };
            }
            let Some(mut stream) = self.stream.take() else { continue };
            if let Some(bytes) = stream.events.pop_front() {
                let gap = stream.event_at.elapsed();
                stream.event_at = Instant::now();
                stream.seen += 1;
                self.plan.context.recorder.borrow_mut().latency(Phase::EventGap, nanos(gap));
                self.told(|sse| {
                    sse.events += 1;
                    sse.longest_gap_us = sse.longest_gap_us.max(Some(micros(gap)));
                });
                self.stream = Some(stream);
                return Ok(bytes);
            }
            if let Some(over) = stream.over {
                self.stream = Some(stream);
                self.ended(over).await?;
                continue;
            }
            // Without a limit of the user's a silence is no fault.
            let limit = self.plan.silence.unwrap_or(FOREVER).min(FOREVER);
            let left = limit.saturating_sub(stream.byte_at.elapsed());
            // A device that floods is not to keep the run's end, or other workloads, from their turn.
            tokio::task::yield_now().await;
            let read = tokio::select! {
                biased;
                () = run_over(end, &mut stop) => None,
                read = stream.connection.read(&mut self.buffer, left) => Some(read),
            };
            match read {
                Some(Ok(n)) => self.take(&mut stream, n),
                Some(Err(failure)) => stream.over = Some(Err(failure)),
                None => {
                    self.stream = Some(stream);
                    return Err(NoEvent::RunOver);
                }
            }
            self.stream = Some(stream);
        }
    }

    /// The device has ended the stream, or this client gives it up. An end in order is none of its failures where it brought
    /// something: EventSource is made to connect again.
    async fn ended(&mut self, over: Result<(), Failure>) -> Result<(), Failure> {
        self.note_silences();
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        self.not_before = Some(Instant::now() + self.retry.unwrap_or(RECONNECT));
        let context = self.plan.context.clone();
        stream.connection.tcp_sample().into_iter().for_each(|tcp| context.recorder.borrow_mut().tcp(tcp));
        let (empty, unfinished) = (stream.seen == 0, stream.parser.is_amid());
        // An event without its blank line is lost to a browser (9.2.6), whatever HTTP says of the response's end.
        let in_order = over.is_ok();
        let over = if in_order && unfinished { Err(Failure::TruncatedResponse) } else { over };
        self.told(|sse| {
            let count = match over {
                Ok(()) if empty => &mut sse.ended_empty,
                Ok(()) => &mut sse.ended,
                Err(Failure::TruncatedResponse | Failure::EofBeforeResponse) => &mut sse.cut,
                Err(Failure::ReadReset) => &mut sse.reset,
                Err(Failure::ReadTimeout) => &mut sse.silent,
                Err(_) => &mut sse.broken,
            };
            *count += 1;
            sse.unfinished += u64::from(unfinished);
        });
        match over {
            _ if in_order && stream.connection.peer_has_closed() => {}
            _ if in_order => self.finish(&mut stream).await,
            Ok(()) => {}
            Err(Failure::ReadTimeout | Failure::BadResponse) => {
                http::give_up_rest(&context, &mut stream.connection);
            }
            Err(_) => {}
        }
        http::note_tls(&context, &mut stream.connection);
        if over.is_ok() && empty { Err(Failure::EofBeforeResponse) } else { over }
    }

    /// Ends a connection whose response is complete, in order.
    async fn finish(&mut self, stream: &mut Stream) {
        if stream.connection.shut_down_writing().is_err() {
            return;
        }
        let closing = Instant::now();
        let limit = self.plan.connector.timeouts.read;
        let ending = stream.connection.drain(&mut self.buffer, limit, HostClosed::First).await;
        let context = &self.plan.context;
        context.recorder.borrow_mut().ended(ending, context.since_ns(closing));
    }

    /// Leaves a stream that would go on: without a RST the device would notice only when it next writes.
    fn leave(&mut self) {
        self.note_silences();
        let Some(mut stream) = self.stream.take() else { return };
        let context = &self.plan.context;
        stream.connection.tcp_sample().into_iter().for_each(|tcp| context.recorder.borrow_mut().tcp(tcp));
        http::note_tls(context, &mut stream.connection);
        http::give_up_rest(context, &mut stream.connection);
    }
}

/// Returns when the run is over.
async fn run_over(end: Option<Instant>, stop: &mut Stop) {
    let at_end = async {
        match end {
            Some(end) => tokio::time::sleep_until(end.into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = at_end => {}
        () = stop.stopped() => {}
    }
}

fn micros(time: Duration) -> u64 {
    nanos(time) / 1_000
}

impl Worker for Subscriber {
    async fn attempt(&mut self, start: Start) -> Outcome {
        match self.next().await {
            Ok(bytes) => {
                self.plan.context.attempted(start.actual, Ok(()));
                self.plan.context.recorder.borrow_mut().goodput(bytes);
                let seen = self.stream.as_ref().map_or(0, |stream| stream.seen);
                if self.plan.per_connection.is_some_and(|most| seen >= most) {
                    self.leave();
                }
                Outcome::GoOn
            }
            Err(NoEvent::RunOver | NoEvent::Elsewhere) => Outcome::GoOn,
            Err(NoEvent::Refused(Refused::PortsUntil(at))) => Outcome::PortsUntil(at),
            Err(NoEvent::Refused(Refused::Failure(failure)) | NoEvent::Failure(failure)) => {
                self.had_failed = true;
                self.plan.context.attempted(start.actual, Err(failure));
                Outcome::Failed
            }
        }
    }

    fn is_slow(&self) -> bool {
        // It stands for as long as the device has something to say: it waits for no turn.
        true
    }

    fn cut(&mut self) -> u64 {
        self.leave();
        1
    }

    async fn end(&mut self) {
        self.leave();
    }
}
