//! Which of the known ports take connections: one connection each, closed at once.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use espstress_connection::{HostClosed, Refused, Timeouts};
use espstress_event::{Endpoints, Expected, Failure, Intent, WorkloadFacts};
use espstress_stats::Phase;
use espstress_workload::{Context, Workload};

/// Longest wait at each port.
const LIMIT: Duration = Duration::from_secs(1);

/// What is known of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It took a connection.
    Open,
    /// It refused one.
    Closed,
    /// It did not answer.
    Silent,
    /// The host itself could not ask.
    NotAsked,
}

/// One port and what became of the connection to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortSeen {
    pub(super) port: u16,
    pub(super) service: &'static str,
    pub(super) state: State,
}

/// Where the phase leaves what it saw.
#[derive(Debug, Default)]
pub(super) struct PortNotes(Mutex<Vec<PortSeen>>);

impl PortNotes {
    /// What was seen so far, in the order of asking.
    pub(super) fn seen(&self) -> Vec<PortSeen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, seen: PortSeen) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
    }
}

/// The phase.
pub(super) struct Ports {
    notes: Arc<PortNotes>,
}

impl Ports {
    pub(super) fn new(notes: Arc<PortNotes>) -> Self {
        Self { notes }
    }
}

/// The device's own services where they are, and where the device program has them otherwise.
fn known(endpoints: &Endpoints) -> Vec<(SocketAddr, &'static str)> {
    let ip = endpoints.http.ip();
    let usual = |port: u16| SocketAddr::new(ip, port);
    let ours = endpoints.framed.is_some();
    let mut all = vec![(endpoints.http, "http")];
    if !ours {
        all.push((usual(80), "http"));
    }
    all.push((endpoints.framed.unwrap_or(usual(7007)), "framed"));
    all.push((endpoints.raw.unwrap_or(usual(8080)), "raw"));
    all.push((endpoints.line.unwrap_or(usual(8123)), "line"));
    let mut asked = Vec::new();
    all.retain(|(address, _)| {
        let new = !asked.contains(address);
        asked.push(*address);
        new
    });
    all
}

impl Workload for Ports {
    fn kind(&self) -> &'static str {
        "ports"
    }

    fn main_phase(&self) -> Phase {
        Phase::Connect
    }

    fn expected(&self) -> Expected {
        Expected::Open
    }

    fn facts(&self, _: &Endpoints) -> WorkloadFacts {
        WorkloadFacts::default()
    }

    fn settings(&self) -> serde_json::Value {
        serde_json::json!({ "timeout_connect": "1s" })
    }

    fn at_once(&self) -> u32 {
        1
    }

    fn connections_in_a_minute(&self) -> Option<u64> {
        Some(5)
    }

    fn connect_timeout(&self) -> Duration {
        LIMIT
    }

    fn run(&self, context: Context) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            for (address, service) in known(&context.endpoints) {
                if context.stop.is_stopping() {
                    return;
                }
                let state = knock(&context, address).await;
                self.notes.add(PortSeen { port: address.port(), service, state });
            }
        })
    }
}

async fn knock(context: &Context, address: SocketAddr) -> State {
    let limits = Timeouts { connect: LIMIT, read: LIMIT, write: LIMIT };
    let start = Instant::now();
    // Nobody said that there is a service: a refusal is an answer, and silence is one as well.
    let opened = context.connector(address, limits).open(Intent::BeyondCapacity).await;
    match opened {
        Ok(mut connection) => {
            let took = context.since_ns(start);
            context.attempted(start, Ok(()));
            context.recorder.borrow_mut().latency(Phase::Connect, took);
            if connection.shut_down_writing().is_ok() {
                connection.drain(&mut [0; 256], Duration::from_millis(500), HostClosed::First).await;
            }
            State::Open
        }
        Err(Refused::Failure(failure)) => {
            context.attempted(start, Err(failure));
            match failure {
                Failure::ConnectRefused | Failure::ConnectReset => State::Closed,
                failure if failure.is_host() => State::NotAsked,
                _ => State::Silent,
            }
        }
        Err(Refused::PortsUntil(_)) => State::NotAsked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_port_is_asked_once() {
        let only = Endpoints::only(([192, 0, 2, 1], 80).into());
        let ports: Vec<u16> = known(&only).iter().map(|(address, _)| address.port()).collect();
        assert_eq!(ports, [80, 7007, 8080, 8123]);
        let other = Endpoints::only(([192, 0, 2, 1], 8080).into());
        let ports: Vec<u16> = known(&other).iter().map(|(address, _)| address.port()).collect();
        assert_eq!(ports, [8080, 80, 7007, 8123]);
    }
}
