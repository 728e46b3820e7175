//! Questions to a twin's process, and their answers.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use espstress_twin::protocol::{Ask, Outcome, Request};

use super::TwinError;
use super::supervise::{Reply, Supervisor};

/// How long an answer may take, a restart included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a question is put that is lost in a restart.
const ATTEMPTS: u32 = 5;

#[derive(Debug)]
pub(super) struct Channel {
    stream: Mutex<UnixStream>,
    next: AtomicU64,
    supervisor: Arc<Supervisor>,
}

impl Channel {
    pub(super) fn new(stream: UnixStream, supervisor: Arc<Supervisor>) -> Self {
        Self { stream: Mutex::new(stream), next: AtomicU64::new(1), supervisor }
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask(&self, ask: Ask) -> Result<Outcome, TwinError> {
        for _ in 0..ATTEMPTS {
            let restarts = self.supervisor.restarts();
            self.supervisor.wait_ready(PATIENCE)?;
            let id = self.next.fetch_add(1, Ordering::Relaxed);
            self.send(&Request { id, ask: ask.clone() })?;
            match self.supervisor.wait_answer(id, restarts, PATIENCE)? {
                Reply::Answered(Outcome::Refused(why)) => return Err(TwinError::Refused(why)),
                Reply::Answered(outcome) => return Ok(outcome),
                Reply::Lost => {}
            }
        }
        Err(TwinError::Silent(PATIENCE))
    }

    fn send(&self, request: &Request) -> Result<(), TwinError> {
        let mut line = serde_json::to_vec(request).map_err(|error| TwinError::Spawn(error.into()))?;
        line.push(b'\n');
        let sent = self.stream.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line);
        // A channel that takes nothing is that of a process that is gone.
        sent.map_err(|_| self.supervisor.wait_end(PATIENCE))
    }

    /// Tells it to end, without waiting.
    pub(super) fn say_exit(&self) {
        // Closing says the same to a process that does not read questions any more.
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stream.shutdown(Shutdown::Write);
    }
}
