//! The client that is slow on purpose: how far it has come, and whether the device gave it up.

use super::Channel;
use crate::slow::{self, Sent, SlowOne};
use espstress_event::Failure;
use espstress_stats::Phase;

impl Channel {
    /// Some of a slow request has gone out.
    pub(super) fn note_sent(&mut self) {
        if self.usage.slowly.is_given() && !matches!(self.slow_sent, Sent::Whole(_)) {
            let head = self.codec.http().map_or(self.out.len(), |http| http.asked().head.len());
            let withheld = if self.withheld.is_some() { usize::MAX } else { self.out.len() };
            self.slow_sent = Sent::after(self.sent, head, withheld);
        }
    }

    /// Some of the answer to a slow client has come.
    pub(super) fn note_received(&mut self) {
        if !self.usage.slowly.is_given() {
            return;
        }
        if let (Sent::Whole(at), false) = (self.slow_sent, self.slow_begun) {
            let ns = self.context.since_ns(at);
            self.context.recorder.borrow_mut().latency(Phase::FirstByte, ns);
        }
        self.slow_begun = true;
        if self.usage.slowly.read_rate.is_some() {
            self.slow_one.get_or_insert_with(|| SlowOne::begin(&self.context));
        }
    }

    /// Whether the answer that has come says that the device gave up this client, which was slow on purpose.
    pub(super) fn gave_up_by_status(&mut self) -> bool {
        let sent = self.slow_sent;
        let status = self.codec.http().map_or(0, |http| http.status());
        let told = self.usage.slowly.send_rate.is_some() && slow::is_given_up_by(status, sent);
        if told {
            slow::told(&self.context, |slow| *slow.given_up_by_status.entry(status).or_default() += 1);
        }
        told
    }

    /// The failure that it is where the client was slow on purpose.
    pub(super) fn of_slowness(&self, failure: Failure) -> Failure {
        let connection = self.link.as_ref().map(|link| &link.connection);
        let given_up = connection.is_some_and(|connection| {
            slow::is_given_up(connection, failure, self.slow_sent, self.slow_begun)
        });
        if given_up { Failure::SlowGivenUp } else { failure }
    }
}
