//! What the device sends between requests.

use super::Channel;
use crate::http;
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
        match link.connection.at_rest() {
            AtRest::Quiet => {}
            AtRest::Closed => self.closed_idle(),
            AtRest::Unasked(bytes) => {
                // In other protocols these bytes meet the next request, and its answer shows what they are.
                if let Some(http) = self.codec.http() {
                    http.unasked(bytes as u64);
                    self.fail(Failure::BadResponse);
                }
            }
        }
        Ok(())
    }

    /// What a WebSocket's device sends while no message is under way: pings, messages of its own, or its close frame.
    fn hear(&mut self) -> Result<(), Failure> {
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
                    self.closed_idle();
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
            heard = match link.connection.read_now(&mut self.buffer) {
                Ok(None) => break,
                Ok(Some(0)) => {
                    ws.eof();
                    self.tell();
                    self.closed_idle();
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

    /// The device closed the connection in order while nothing was under way.
    fn closed_idle(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        // It may have closed long before the host looked.
        let idle = link.since.elapsed().saturating_sub(link.connection.last_heard());
        let idle_ns = espstress_clock::nanos(idle);
        let sample = link.connection.tcp_sample();
        let mut recorder = self.context.recorder.borrow_mut();
        sample.into_iter().for_each(|sample| recorder.tcp(sample));
        recorder.idle_closed(idle_ns);
        drop(recorder);
        http::note_tls(&self.context, &mut link.connection);
    }
}
