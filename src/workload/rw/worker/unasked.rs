//! What the device sends between requests.

use std::time::Duration;

use super::{Channel, Link};
use crate::http::{self, AT_ONCE};
use espstress_clock::{STALL, nanos};
use espstress_connection::AtRest;
use espstress_event::Failure;

impl Channel {
    /// Looks at a connection on which nothing is under way before it is written to: a device may close one that is
    /// idle, and a request that meets its FIN would be answered by a RST.
    ///
    /// # Errors
    /// How a WebSocket's device broke the protocol, or the connection, meanwhile.
    pub(super) fn look(&mut self) -> Result<(), Failure> {
        if !self.in_flight.is_empty() {
            return Ok(());
        }
        if self.codec.websocket().is_some() {
            return self.hear();
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        match link.connection.at_rest(&mut self.buffer) {
            AtRest::Quiet => {}
            AtRest::Closed => self.closed_idle(false),
            AtRest::Unasked(bytes) => {
                // In other protocols these bytes meet the next request, and its answer shows what they are.
                if let Some(http) = self.codec.http() {
                    let a_while_after = link.idle().is_none_or(|idle| idle >= AT_ONCE);
                    if a_while_after && link.connection.says_timeout(&mut self.buffer, bytes) {
                        self.closed_idle(true);
                        return Ok(());
                    }
                    http.unasked(bytes as u64, self.buffer.get(..bytes).unwrap_or_default());
                    self.fail(Failure::BadResponse);
                }
            }
        }
        Ok(())
    }

    /// What a WebSocket's device sends while no message is under way: pings, messages of its own, or its close frame.
    pub(super) fn hear(&mut self) -> Result<(), Failure> {
        // First what came with the last answer, then what is there.
        let mut heard = 0;
        loop {
            let (Some(ws), Some(link)) = (self.codec.websocket(), &mut self.link) else { return Ok(()) };
            let goes_on = ws.between(self.buffer.get(..heard).unwrap_or_default());
            ws.replies(&mut self.out);
            match goes_on {
                Ok(true) => {}
                Ok(false) => {
                    // Its close frame is answered by one of ours (RFC 6455, 5.5.1), as far as the socket takes it.
                    let _ = link.connection.write_now(self.out.get(self.sent..).unwrap_or_default());
                    self.tell();
                    self.closed_idle(false);
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
            heard = match link.connection.read_now(&mut self.buffer) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    ws.eof();
                    self.tell();
                    self.closed_idle(false);
                    return Ok(());
                }
                Ok(Some(n)) => n,
                Err(failure) => return Err(failure),
            };
            self.context.recorder.borrow_mut().bytes(0, heard as u64);
        }
        self.tell();
        Ok(())
    }

    /// The device closed the connection in order while nothing was under way; `told` says whether by a response 408.
    fn closed_idle(&mut self, told: bool) {
        let Some(mut link) = self.link.take() else { return };
        let idle = link.idle();
        let sample = link.connection.tcp_sample();
        let mut recorder = self.context.recorder.borrow_mut();
        sample.into_iter().for_each(|sample| recorder.tcp(sample));
        idle.into_iter().for_each(|idle| recorder.idle_closed(nanos(idle), told));
        drop(recorder);
        http::note_tls(&self.context, &mut link.connection);
    }
}

impl Link {
    /// How long it was idle before the last that the device sent, as [`idle_before`] has it.
    fn idle(&self) -> Option<Duration> {
        idle_before(self.since.elapsed(), self.connection.last_heard(), self.took)
    }
}

/// How long a connection was idle before the device closed it: `answered` ago the host read the last answer, `closed`
/// ago the FIN came. `None` where the host was late and read both together, so long after it had asked (`took`) that nobody
/// knows how far apart they came.
fn idle_before(answered: Duration, closed: Duration, took: Duration) -> Option<Duration> {
    match answered.checked_sub(closed) {
        // It may have closed long before the host looked.
        Some(idle) => Some(idle),
        None => {
            let late = closed.saturating_sub(answered);
            (late < STALL || took.saturating_sub(late) < AT_ONCE).then_some(Duration::ZERO)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_connection_is_idle_from_its_last_answer_to_the_fin() {
        assert_eq!(idle_before(ms(5_000), ms(2_000), ms(3)), Some(ms(3_000)));
        assert_eq!(idle_before(ms(40), ms(41), ms(3)), Some(ms(0)));
    }

    #[test]
    fn a_host_that_read_answer_and_fin_together_after_a_sleep_does_not_know() {
        // Asked, then asleep for 4 s; the FIN came 1 s before it woke.
        assert_eq!(idle_before(ms(10), ms(1_010), ms(4_000)), None);
        // The FIN came so soon after the request that the answer can't have been long before it.
        assert_eq!(idle_before(ms(10), ms(3_900), ms(4_000)), Some(ms(0)));
        // A device that took 4 s itself, and a host that was there.
        assert_eq!(idle_before(ms(10), ms(11), ms(4_000)), Some(ms(0)));
    }
}
