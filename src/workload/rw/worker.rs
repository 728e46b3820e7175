//! One standing connection: requests out, as many in flight as the window allows, answers in.

mod behind;
mod slowly;
mod unasked;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::codec::{Codec, Fed};
use super::websocket::Ws;
use crate::context::{Context, Held};
use crate::endless::Coming;
use crate::http::{self, CONTINUE};
use crate::load::{GIVEN_UP, LoopKind, Outcome, Start, TIME_UP, Worker};
use crate::slow::{self, Sent, SlowOne, Slowly};
use espstress_connection::{Connection, Connector, HostClosed, Refused, Timeouts, Tls, Turn};
use espstress_event::{Continues, Failure, Intent, SlowSpan, StallEnd};
use espstress_stats::Phase;

/// How connections are used.
#[derive(Clone)]
pub(super) struct Usage {
    pub(super) tls: Option<Rc<Tls>>,
    /// Requests that may be under way at once.
    pub(super) window: usize,
    /// Transactions on each.
    pub(super) per_connection: Option<u64>,
    /// How long a new one says nothing.
    pub(super) silent_before: Option<Duration>,
    /// How slow the host is on purpose.
    pub(super) slowly: Slowly,
}

/// One of the workload's connections, opened when it is first needed and again after a failure.
pub(super) struct Channel {
    context: Context,
    connector: Connector,
    usage: Usage,
    codec: Codec,
    sequence: u32,
    link: Option<Link>,
    had_failed: bool,
    /// When the last answer was complete, on whichever connection.
    last_answer: Option<Instant>,
    /// Whether a request has failed while others were sent again.
    one_failed: bool,
    in_flight: VecDeque<(u32, Start)>,
    /// Attempts under way whose request is still to be sent, or sent again.
    unsent: u64,
    /// Whether an answer is coming in.
    receiving: Rc<Cell<bool>>,
    /// Whether one was given up for want of an end.
    endless: bool,
    out: Vec<u8>,
    sent: usize,
    /// Until when a body waits for the device's 100 Continue.
    withheld: Option<Instant>,
    /// The client that is slow just now, and how far it has come.
    slow_one: Option<SlowOne>,
    slow_sent: Sent,
    /// Whether a part of its answer has come.
    slow_begun: bool,
    buffer: Box<[u8]>,
    /// What came behind the last answer: the next request meets it.
    behind: Vec<u8>,
}

/// What lives as long as the connection.
struct Link {
    connection: Connection,
    answers: u64,
    /// Whether an answer came before its request had been taken: what follows would not be understood.
    early: bool,
    /// When the last answer was complete, or else the connection open.
    since: Instant,
    /// How long the last answer had taken by then.
    took: Duration,
    /// What others met while this client was silent, until its first answer.
    silence: Option<SlowSpan>,
    _held: Held,
}

impl Channel {
    pub(super) fn new(
        context: Context,
        connector: Connector,
        usage: Usage,
        codec: Codec,
        first: u32,
    ) -> Self {
        let window = usage.window;
        Self {
            context,
            connector,
            usage,
            codec,
            sequence: first,
            link: None,
            had_failed: false,
            last_answer: None,
            one_failed: false,
            in_flight: VecDeque::with_capacity(window),
            unsent: 0,
            receiving: Rc::default(),
            endless: false,
            out: Vec::with_capacity(4_096),
            sent: 0,
            withheld: None,
            slow_one: None,
            slow_sent: Sent::InHead,
            slow_begun: false,
            buffer: vec![0; 16 * 1024].into(),
            behind: Vec::new(),
        }
    }

    async fn connect(&mut self) -> Result<(), Refused> {
        let from = Instant::now();
        let held = self.context.hold_one();
        let mut connection =
            self.connector.open(self.context.intent(self.usage.slowly.intent(Intent::Plain))).await?;
        connection.send_at_once();
        let ns = self.context.since_ns(from);
        self.context.recorder.borrow_mut().latency(Phase::Connect, ns);
        let limit = self.connector.timeouts.connect;
        if let Err(failure) =
            http::secure(&self.context, &mut connection, self.usage.tls.as_deref(), limit).await
        {
            http::note_tls(&self.context, &mut connection);
            return Err(Refused::Failure(failure));
        }
        self.codec.start();
        self.behind.clear();
        {
            let mut recorder = self.context.recorder.borrow_mut();
            if std::mem::take(&mut self.had_failed) {
                recorder.reconnected();
            }
            if let Codec::Raw(raw) = &mut self.codec {
                raw.connected(from, ns, recorder.raw());
            }
        }
        self.out.clear();
        self.sent = 0;
        self.withheld = None;
        let mut silence = None;
        if let Some(length) = self.usage.silent_before {
            match http::keep_silent(&self.context, &mut connection, &mut self.buffer, length).await {
                Ok(span) => silence = span,
                Err(failure) => {
                    http::note_tls(&self.context, &mut connection);
                    return Err(Refused::Failure(failure));
                }
            }
        }
        self.link = Some(Link {
            connection,
            answers: 0,
            early: false,
            since: Instant::now(),
            took: Duration::ZERO,
            silence,
            _held: held,
        });
        let greeted = self.greet().await;
        self.tell();
        if let Err(failure) = greeted {
            self.link = None;
            return Err(Refused::Failure(failure));
        }
        Ok(())
    }

    /// The handshake of a protocol that has one. Its whole time is limited, however its bytes trickle in.
    async fn greet(&mut self) -> Result<(), Failure> {
        let limits = self.connector.timeouts;
        let (Some(ws), Some(link)) = (self.codec.websocket(), &mut self.link) else { return Ok(()) };
        let greeting = ws.greeting();
        link.connection.write_all(&greeting, limits.write).await?;
        self.context.recorder.borrow_mut().bytes(greeting.len() as u64, 0);
        let asked = Instant::now();
        let mut first = true;
        loop {
            let left = limits.read.saturating_sub(asked.elapsed());
            let n = match link.connection.read(&mut self.buffer, left).await? {
                0 if first => return Err(Failure::EofBeforeResponse),
                0 => return Err(Failure::TruncatedResponse),
                n => n,
            };
            let mut recorder = self.context.recorder.borrow_mut();
            if std::mem::take(&mut first) {
                recorder.latency(Phase::FirstByte, self.context.since_ns(asked));
            }
            recorder.bytes(0, n as u64);
            match ws.greeted(self.buffer.get(..n).unwrap_or_default()) {
                Ok(true) => {
                    recorder.response(101);
                    return Ok(());
                }
                Ok(false) => {}
                Err((failure, status)) => {
                    status.into_iter().for_each(|status| recorder.response(status));
                    return Err(failure);
                }
            }
        }
    }

    /// What only the protocol tells.
    fn tell(&mut self) {
        let (out_of_order, repeated) = (self.codec.take_out_of_order(), self.codec.take_repeated());
        if out_of_order + repeated > 0 {
            let mut recorder = self.context.recorder.borrow_mut();
            let told = recorder.by_protocol();
            told.out_of_order += out_of_order;
            told.repeated += repeated;
        }
        if let Some(ws) = self.codec.websocket() {
            ws.tell(&mut self.context.recorder.borrow_mut());
        }
    }

    /// Moves bytes until the oldest request is answered.
    async fn answer(&mut self) -> Result<(), Failure> {
        let Some((due, start)) = self.in_flight.front().copied() else { return Ok(()) };
        self.codec.ahead(self.in_flight.len() - 1);
        let limits = self.connector.timeouts;
        if let Some(ws) = self.codec.websocket()
            && let Some((payload, passed)) = ws.answer(due)?
        {
            let start = self.pass_over(passed).unwrap_or(start);
            self.answered(start, payload);
            return Ok(());
        }
        self.codec.came_before();
        let mut coming = Coming::default();
        loop {
            if let Some(ws) = self.codec.websocket() {
                ws.replies(&mut self.out);
            }
            let link = self.link.as_mut().ok_or(Failure::ReadReset)?;
            let rest = self.out.get(self.sent..).unwrap_or_default();
            let read =
                self.withheld.map_or(limits.read, |until| until.saturating_duration_since(Instant::now()));
            let turned = link.connection.turn(rest, &mut self.buffer, read, limits.write).await;
            if turned == Err(Failure::ReadTimeout) && self.withheld.is_some() {
                if self.codec.http().is_some_and(|http| http.receiving()) {
                    // A response that has begun is the answer.
                    self.no_body();
                } else {
                    self.send_body(|c| c.not_heard += 1);
                }
                continue;
            }
            let received = match turned? {
                Turn::Wrote(n) => {
                    self.sent += n;
                    self.context.recorder.borrow_mut().bytes(n as u64, 0);
                    self.note_sent();
                    // In other protocols what goes out may be a reply to what never ends.
                    if self.codec.http().is_some() {
                        coming.begin();
                    }
                    continue;
                }
                Turn::Read(0) => {
                    let abrupt = link.connection.ended_without_close_notify();
                    let payload = self.codec.eof(abrupt)?;
                    self.answered(start, payload);
                    self.close().await;
                    return Ok(());
                }
                Turn::Read(n) => n,
            };
            self.context.recorder.borrow_mut().bytes(0, received as u64);
            self.note_received();
            if !self.behind.is_empty() {
                // It came before this request went out, so it is no answer to it.
                if self.codec.feed(due, &std::mem::take(&mut self.behind))? != Fed::More {
                    return Err(Failure::CorruptPayload);
                }
                self.codec.came_before();
            }
            let bytes = self.buffer.get(..received).unwrap_or_default();
            match self.codec.feed(due, bytes)? {
                Fed::Answer { used, payload } => {
                    self.answered(start, payload);
                    return self.answers_behind(used, received);
                }
                Fed::Later { used, payload, passed } => {
                    let start = self.pass_over(passed).unwrap_or(start);
                    self.answered(start, payload);
                    return self.answers_behind(used, received);
                }
                Fed::More => {}
            }
            // A response that comes slowly by the host's own choice is not without an end.
            let receiving = self.codec.http().is_some_and(|http| http.receiving());
            self.receiving.set(receiving && !self.usage.slowly.is_given());
            let left = self.codec.http().and_then(|http| http.left());
            if coming.goes_on(received, left, limits.read, self.usage.slowly.read_rate, Instant::now()) {
                self.codec.http().into_iter().for_each(|http| http.endless(GIVEN_UP));
                self.endless = true;
                return Err(Failure::ReadTimeout);
            }
            if self.withheld.is_some() && self.codec.http().is_some_and(|http| http.continued()) {
                self.send_body(|c| c.continued += 1);
            }
        }
    }

    /// A body that was withheld goes out.
    fn send_body(&mut self, count: impl FnOnce(&mut Continues)) {
        self.withheld = None;
        count(self.context.recorder.borrow_mut().http().continues.get_or_insert_default());
        let Some(http) = self.codec.http() else { return };
        let body = http.asked().body().unwrap_or_default();
        self.out.extend_from_slice(body);
        if let Some(link) = &mut self.link {
            link.connection.begin_upload(0, body.len() as u64);
        }
    }

    /// The answer came instead of 100 Continue.
    fn no_body(&mut self) {
        if self.withheld.take().is_some() {
            self.context.recorder.borrow_mut().http().continues.get_or_insert_default().answered += 1;
            if let Some(link) = &mut self.link {
                link.early = true;
            }
        }
    }

    fn answered(&mut self, start: Start, payload: u64) {
        self.in_flight.pop_front();
        self.last_answer = Some(Instant::now());
        self.receiving.set(false);
        self.no_body();
        if let Some(link) = &mut self.link {
            link.answers += 1;
            slow::answered(&self.context, link.silence.take());
            link.since = Instant::now();
            link.took = link.since.saturating_duration_since(start.actual);
            link.early |= http::note_upload(&self.context, &mut link.connection, StallEnd::Answered);
        }
        if let Some(one) = self.slow_one.take() {
            let unsent = !matches!(self.slow_sent, Sent::Whole(_));
            let outcome = if self.gave_up_by_status() { Err(Failure::SlowGivenUp) } else { Ok(()) };
            one.end(outcome);
            if let Some(link) = &mut self.link {
                link.early |= unsent;
            }
            if let Err(failure) = outcome {
                return self.context.attempted(start.actual, Err(failure));
            }
        }
        let actual = self.context.since_ns(start.actual);
        let mut recorder = self.context.recorder.borrow_mut();
        let clock = self.context.clock;
        self.codec.take_fault().into_iter().for_each(|seen| recorder.malformed(seen));
        if let Err(failure) = self.codec.judge(&mut recorder) {
            recorder.attempt(clock.at_ns(start.actual), clock.now_ns(), Err(failure));
            return;
        }
        recorder.attempt(clock.at_ns(start.actual), clock.now_ns(), Ok(()));
        recorder.goodput(payload);
        match start.kind {
            // The whole of it is the host's own slowness.
            _ if self.usage.slowly.is_given() => {}
            LoopKind::Closed => recorder.latency(Phase::RoundTrip, actual),
            LoopKind::Open => {
                recorder.latency_pair(Phase::RoundTrip, self.context.since_ns(start.intended), actual);
            }
        }
        if let Codec::Raw(raw) = &self.codec {
            raw.answered(recorder.raw());
        }
        drop(recorder);
        self.tell();
    }

    /// The connection is lost: every request in flight has failed, by the same name.
    fn fail(&mut self, failure: Failure) {
        self.receiving.set(false);
        let waiting = self.in_flight.len();
        let failure = match failure {
            Failure::ReadTimeout if waiting > 0 => self.codec.timed_out(waiting),
            _ => failure,
        };
        if let Some(http) = self.codec.http() {
            if failure == Failure::ReadTimeout {
                http.stalled();
            }
            // A response that was cut off is the same as the giving up.
            let fault = http.take_fault().filter(|_| failure != Failure::SlowGivenUp);
            fault.into_iter().for_each(|seen| self.context.recorder.borrow_mut().malformed(seen));
        }
        self.slow_one.take().into_iter().for_each(|one| one.end(Err(failure)));
        if let Some(link) = &mut self.link {
            http::note_upload(&self.context, &mut link.connection, http::stall_end(failure));
            http::note_tls(&self.context, &mut link.connection);
            if let Some(sample) = link.connection.tcp_sample() {
                self.context.recorder.borrow_mut().tcp(sample);
            }
        }
        self.withheld = None;
        let mut recorder = self.context.recorder.borrow_mut();
        if failure == Failure::ReadTimeout && self.link.as_ref().is_some_and(|link| link.answers > 0) {
            recorder.timed_out_in_use(waiting as u64);
        }
        let clock = self.context.clock;
        for (_, start) in self.in_flight.drain(..) {
            recorder.attempt(clock.at_ns(start.actual), clock.now_ns(), Err(failure));
            if let Codec::Raw(raw) = &self.codec {
                raw.failed(failure, recorder.raw());
            }
        }
        drop(recorder);
        self.tell();
        self.link = None;
        self.had_failed = true;
    }

    /// Ends the connection in order.
    async fn close(&mut self) {
        let stands = self.link.as_ref().is_some_and(|link| !link.connection.peer_has_closed());
        if stands && self.codec.websocket().is_some() {
            // A device that has closed already is not asked to. What else ends there is no message's failure.
            let _ = self.hear();
        }
        let Some(Link { mut connection, answers, early, since, _held, .. }) = self.link.take() else {
            return;
        };
        if let Some(sample) = connection.tcp_sample() {
            self.context.recorder.borrow_mut().tcp(sample);
        }
        if early && !connection.peer_has_closed() {
            http::note_tls(&self.context, &mut connection);
            return http::give_up_rest(&self.context, &mut connection);
        }
        let limit = self.connector.timeouts.read;
        if let Some(ws) = self.codec.websocket() {
            part(ws, &mut connection, &mut self.buffer, self.connector.timeouts).await;
            self.tell();
        }
        if answers > 0 && !self.codec.persistent() {
            connection.peer_will_close();
        }
        if connection.peer_has_closed() || connection.shut_down_writing().is_err() {
            return http::note_tls(&self.context, &mut connection);
        }
        let closing = Instant::now();
        let (ending, bytes) = connection.drain_counting(&mut self.buffer, limit, HostClosed::First).await;
        http::note_tls(&self.context, &mut connection);
        let mut recorder = self.context.recorder.borrow_mut();
        recorder.ended(ending, self.context.since_ns(closing));
        let told = http::is_idle_close(&self.buffer, bytes, since);
        if let Some(http) = self.codec.http().filter(|_| bytes > 0 && !told) {
            http.unasked(bytes, http::begin(&self.buffer, bytes));
            http.take_fault().into_iter().for_each(|seen| recorder.malformed(seen));
        }
    }

    /// Whether the connection is to serve no further request: its share is sent, or the peer will close it.
    fn is_spent(&self) -> bool {
        let Some(link) = &self.link else { return false };
        let sent = link.answers + self.in_flight.len() as u64;
        self.usage.per_connection.is_some_and(|most| sent >= most)
            || link.early
            || (link.answers > 0 && !self.codec.persistent())
    }

    /// Takes the answers that are still due.
    async fn settle(&mut self) -> Result<(), Failure> {
        while !self.in_flight.is_empty() {
            if self.leaves_some() {
                self.repeat().await?;
            } else {
                self.answer_or_repeat().await?;
            }
        }
        Ok(())
    }

    async fn ask(&mut self, start: Start) -> Result<(), Failure> {
        self.send(start)?;
        if self.in_flight.len() >= self.usage.window {
            self.answer_or_repeat().await?;
        }
        if self.is_spent() || self.leaves_some() {
            self.settle().await?;
            self.close().await;
        }
        Ok(())
    }

    /// Sends the next request, as far as the stack takes it.
    fn send(&mut self, start: Start) -> Result<(), Failure> {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.codec.request(self.sequence, &mut self.out);
        // The round trip of a closed loop begins with the request, not with a connection that had to be opened.
        let actual = Instant::now();
        self.slow_begun = false;
        self.slow_sent = Sent::InHead;
        if self.usage.slowly.send_rate.is_some() {
            self.slow_one = Some(SlowOne::begin(&self.context));
        }
        self.in_flight.push_back((self.sequence, Start { actual, ..start }));
        self.unsent = self.unsent.saturating_sub(1);
        // At once, so that small requests are small segments on the wire; the rest goes out with the answers.
        if let Some(link) = &mut self.link {
            if let Some(http) = self.codec.http() {
                let asked = http.asked();
                if asked.expect_continue() {
                    self.withheld = Some(Instant::now() + CONTINUE);
                    let mut recorder = self.context.recorder.borrow_mut();
                    recorder.http().continues.get_or_insert_default().asked += 1;
                } else if let Some(body) = asked.body() {
                    link.connection.begin_upload(asked.head.len() as u64, body.len() as u64);
                }
            }
            let written = match link.connection.write_now(self.out.get(self.sent..).unwrap_or_default()) {
                // What the device said before, an answer or a close frame, is read first, also where nothing was asked yet.
                Err(Failure::WriteReset | Failure::ConnectReset) => 0,
                written => written?,
            };
            self.sent += written;
            self.context.recorder.borrow_mut().bytes(written as u64, 0);
            self.note_sent();
        }
        Ok(())
    }
}

/// The closing handshake of a WebSocket connection (RFC 6455, 7.1): after both close frames the device closes first.
async fn part(ws: &mut Ws, connection: &mut Connection, buffer: &mut [u8], limits: Timeouts) {
    let Some(farewell) = ws.farewell() else { return };
    if connection.write_all(&farewell, limits.write).await.is_err() {
        return;
    }
    let asked = Instant::now();
    let mut parted = false;
    while let Some(left) = limits.read.checked_sub(asked.elapsed()) {
        match connection.read(buffer, left).await {
            Ok(0) | Err(_) => break,
            Ok(n) => parted |= ws.parted(buffer.get(..n).unwrap_or_default()),
        }
    }
    if !parted {
        ws.close_unanswered();
    }
}

impl Worker for Channel {
    async fn attempt(&mut self, start: Start) -> Outcome {
        self.unsent = 1;
        if let Err(failure) = self.look() {
            // The request for which the connection was kept has none.
            self.fail(failure);
            self.context.attempted(start.actual, Err(failure));
            return Outcome::Failed;
        }
        if self.link.is_none() {
            match self.connect().await {
                Ok(()) => {}
                Err(Refused::PortsUntil(at)) => return Outcome::PortsUntil(at),
                Err(Refused::Failure(failure)) => {
                    self.had_failed = true;
                    self.context.attempted(start.actual, Err(failure));
                    if matches!(self.codec, Codec::Raw(_)) {
                        self.context.recorder.borrow_mut().raw().connect_failed();
                    }
                    return Outcome::Failed;
                }
            }
        }
        match self.ask(start).await {
            Ok(()) if std::mem::take(&mut self.one_failed) => Outcome::Failed,
            Ok(()) => Outcome::GoOn,
            Err(failure) => {
                self.one_failed = false;
                self.fail(self.of_slowness(failure));
                if std::mem::take(&mut self.endless) { Outcome::Endless } else { Outcome::Failed }
            }
        }
    }

    fn answered_at(&self) -> Option<Instant> {
        // Behind it the attempt may have waited for the device to close.
        self.last_answer
    }

    fn is_slow(&self) -> bool {
        self.usage.slowly.is_given() || self.usage.silent_before.is_some_and(http::is_late)
    }

    fn receiving(&self) -> Rc<Cell<bool>> {
        Rc::clone(&self.receiving)
    }

    fn cut(&mut self) -> u64 {
        let receiving = self.receiving.replace(false);
        self.slow_one = None;
        if let Some(http) = self.codec.http() {
            if receiving {
                http.endless(TIME_UP);
            }
            http.take_fault().into_iter().for_each(|seen| self.context.recorder.borrow_mut().malformed(seen));
        } else if !self.in_flight.is_empty() {
            // Bytes came all the time, or it would have met its time-out.
            let why = "when the time was up an answer was still coming in, a few bytes at a time; it was given up and \
                       counts as no attempt";
            self.context.notice(why.into());
        }
        self.link = None;
        // One that is not in flight is answered and counted where it was sent, and only its connection was to end.
        self.in_flight.drain(..).len() as u64 + self.unsent
    }

    async fn end(&mut self) {
        if let Err(failure) = self.settle().await {
            self.fail(self.of_slowness(failure));
        }
        self.close().await;
    }
}
