//! Clients that are slow on purpose: their options, and what becomes of each of them.

use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::context::Context;
use espstress_clock::Throughput;
use espstress_connection::{Connection, Slowness};
use espstress_event::{Failure, Intent, SlowClients, SlowSpan};

/// How slow a client is.
#[derive(Args, Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Slowly {
    /// Take each response at this many bytes per second, with the smallest receive window, so that the device has to wait
    /// before it can send the rest
    #[arg(long, value_name = "SIZE/s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) read_rate: Option<Throughput>,

    /// Send each request at this many bytes per second, one small segment at a time
    #[arg(long, value_name = "SIZE/s")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) send_rate: Option<Throughput>,
}

impl Slowly {
    pub(super) const fn slowness(self) -> Slowness {
        Slowness { read: self.read_rate, send: self.send_rate }
    }

    pub(super) const fn is_given(self) -> bool {
        self.slowness().is_any()
    }

    /// The key of an option that is given.
    pub(super) const fn key(self) -> &'static str {
        if self.read_rate.is_some() { "read_rate" } else { "send_rate" }
    }

    /// What is intended with its connections.
    pub(super) const fn intent(self, otherwise: Intent) -> Intent {
        match otherwise {
            Intent::Plain | Intent::HalfClosed | Intent::Reset | Intent::LeftBehind | Intent::Vanished
                if self.is_given() =>
            {
                Intent::Slow
            }
            other => other,
        }
    }
}

/// After the last byte of a slow request, how long a close that the device had decided on before may take to arrive.
const CROSSED: Duration = Duration::from_millis(200);

/// How far a slow client has come with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// A part of its head, or nothing.
    InHead,
    /// All of its head, and a part of its body.
    InBody,
    /// All of it, then.
    Whole(Instant),
}

impl Sent {
    /// After `sent` bytes of a request of `length` bytes whose head has `head` bytes.
    pub(super) fn after(sent: usize, head: usize, length: usize) -> Self {
        if sent >= length {
            Self::Whole(Instant::now())
        } else if sent < head {
            Self::InHead
        } else {
            Self::InBody
        }
    }
}

/// Whether a failure is the device's giving up a client that was slow on purpose. `begun` says that a part of the response
/// had come.
pub(super) fn is_given_up(connection: &Connection, failure: Failure, sent: Sent, begun: bool) -> bool {
    use Failure as F;
    if !connection.was_slow() {
        return false;
    }
    let unsent = match sent {
        Sent::InHead | Sent::InBody => connection.sends_slowly(),
        Sent::Whole(at) => connection.sends_slowly() && at.elapsed() < CROSSED,
    };
    let unread = connection.reads_slowly() && begun;
    match failure {
        F::WriteReset | F::EofBeforeResponse => unsent,
        F::ReadReset | F::TruncatedResponse => unsent || unread,
        _ => false,
    }
}

/// Whether a status is the device's giving up a client that was slow on purpose: 408, or an error before it could know what
/// it was asked for.
pub(super) const fn is_given_up_by(status: u16, sent: Sent) -> bool {
    match sent {
        Sent::InHead => status >= 400,
        Sent::InBody => status == 408,
        Sent::Whole(_) => false,
    }
}

/// A client while it is slow. One that is dropped was cut off at the end of the run.
#[derive(Debug)]
pub(super) struct SlowOne {
    context: Context,
    id: Option<u64>,
}

impl SlowOne {
    pub(super) fn begin(context: &Context) -> Self {
        let id = context.beside.borrow_mut().begin(Instant::now());
        Self { context: context.clone(), id: Some(id) }
    }

    /// It was served, or given up. What it met otherwise says nothing of its slowness.
    pub(super) fn end(mut self, outcome: Result<(), Failure>) {
        match outcome {
            Ok(()) => self.told(|slow| slow.served += 1),
            Err(Failure::SlowGivenUp) => self.told(|slow| slow.given_up += 1),
            Err(_) => {
                let id = self.id.take();
                id.and_then(|id| self.context.beside.borrow_mut().end(id, Instant::now()));
            }
        }
    }

    fn told(&self, tell: impl FnOnce(&mut SlowClients)) {
        told(&self.context, tell);
    }
}

impl Drop for SlowOne {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let span = self.context.beside.borrow_mut().end(id, Instant::now());
        span.into_iter().for_each(|span| self.told(|slow| slow.note(span)));
    }
}

/// A client while it says nothing before its request. One that is dropped was ended by somebody else, and tells nothing.
#[derive(Debug)]
pub(super) struct SilentOne {
    context: Context,
    id: Option<u64>,
}

impl SilentOne {
    pub(super) fn begin(context: &Context) -> Self {
        let id = context.beside.borrow_mut().begin(Instant::now());
        Self { context: context.clone(), id: Some(id) }
    }

    /// It asks now; what others met meanwhile, for [`answered`].
    pub(super) fn ask(mut self) -> Option<SlowSpan> {
        self.end()
    }

    fn end(&mut self) -> Option<SlowSpan> {
        let id = self.id.take()?;
        self.context.beside.borrow_mut().end(id, Instant::now())
    }
}

impl Drop for SilentOne {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client that was silent got an answer when it asked, so others had not waited for something else that went on.
pub(super) fn answered(context: &Context, silence: Option<SlowSpan>) {
    if let Some(span) = silence {
        context.recorder.borrow_mut().by_protocol().silent_before.get_or_insert_default().note(span);
    }
}

/// Counts what slow clients met.
pub(super) fn told(context: &Context, tell: impl FnOnce(&mut SlowClients)) {
    tell(context.recorder.borrow_mut().by_protocol().slow.get_or_insert_default());
}
