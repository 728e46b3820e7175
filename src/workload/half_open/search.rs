//! Opens connections and falls silent on them until the device takes no more.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::client::{head, service};
use super::settings::{By, Params};
use crate::context::{Context, Held, Silencer};
use espstress_connection::{Connection, Connector, Refused};
use espstress_event::{Failure, Intent};
use espstress_stats::{HalfOpenStats, LimitReached, OpenFailure, SilencedConnection, Stage};

/// Once a connection was not served, further ones are asked only for so long: they wait in a backlog.
const UNSERVED_LIMIT: Duration = Duration::from_millis(300);

/// A connection on which the host is silent.
pub(super) struct Silent {
    pub(super) connection: Connection,
    stage: Stage,
    /// What it met that is no service, though the device holds it.
    met: Option<Met>,
    /// When the handshake was complete.
    opened: Instant,
    pub(super) since: Instant,
    pub(super) held: Held,
    pub(super) mute: Mute,
}

/// What the search found.
pub(super) struct Found {
    pub(super) silent: Vec<Silent>,
    pub(super) limit: LimitReached,
    /// Why falling silent was refused.
    pub(super) denied: Option<String>,
}

/// What a connection met that is no service, and the status that said so.
#[derive(Clone, Copy)]
struct Met(Failure, Option<u16>);

/// What became of one more connection.
enum Step {
    Silent(Silent),
    Failed(Met),
    Denied(String),
}

/// Opens connections until the device, the setting, the host or the run says stop.
pub(super) async fn search(
    context: &Context,
    connector: &Connector,
    params: &Params,
    request: &[u8],
) -> Found {
    let mut stop = context.stop.clone();
    let mut found = Found { silent: Vec::new(), limit: LimitReached::Setting, denied: None };
    let mut read_limit = params.timeout_read.0;
    let mut in_a_row = 0;
    // Failed attempts have numbers as well: the order of failure is theirs.
    for number in 1..=params.connections.saturating_add(params.full_after) {
        if found.silent.len() >= params.connections as usize {
            break;
        }
        let mut connector = connector.clone();
        connector.timeouts.read = read_limit;
        let step = tokio::select! {
            biased;
            () = stop.stopped() => {
                found.limit = LimitReached::Stopped;
                break;
            }
            step = one_more(context, &connector, params.by, request) => step,
        };
        match step {
            Step::Denied(reason) => {
                found.denied = Some(reason);
                break;
            }
            Step::Silent(silent) => {
                in_a_row = 0;
                if silent.stage == Stage::Unserved {
                    read_limit = read_limit.min(UNSERVED_LIMIT);
                }
                silent.met.into_iter().for_each(|met| note(context, number, met));
                context.recorder.borrow_mut().half_open().fell_silent(SilencedConnection {
                    connection: number,
                    port: silent.connection.port(),
                    stage: silent.stage,
                    opened_ns: Some(context.clock.at_ns(silent.opened)),
                    silent_ns: context.clock.at_ns(silent.since),
                    reclaimed_after_ns: None,
                    evidence: None,
                });
                found.silent.push(silent);
            }
            Step::Failed(met) if met.0.is_host() => {
                note(context, number, met);
                found.limit = LimitReached::Host;
                break;
            }
            Step::Failed(met) => {
                note(context, number, met);
                in_a_row += 1;
                if in_a_row >= params.full_after {
                    found.limit = LimitReached::Device;
                    break;
                }
            }
        }
    }
    found
}

fn note(context: &Context, connection: u32, Met(met, status): Met) {
    let at_ns = context.clock.now_ns();
    let mut recorder = context.recorder.borrow_mut();
    let failures = &mut recorder.half_open().failures;
    if failures.len() < HalfOpenStats::MOST_FAILURES {
        failures.push(OpenFailure { connection, met, status, at_ns });
    }
}

async fn one_more(context: &Context, connector: &Connector, by: Option<By>, request: &[u8]) -> Step {
    let intent = context.intent(Intent::Plain);
    let held = context.hold_one();
    let mut connection = match connector.open(intent).await {
        Ok(connection) => connection,
        Err(Refused::Failure(failure)) => return failed(failure),
        Err(Refused::PortsUntil(_)) => return failed(Failure::HostOutOfPorts),
    };
    let opened = Instant::now();
    let answer = head(context, &mut connection, request, connector.timeouts).await;
    let status = answer.ok();
    let (stage, met) = match answer.map(service) {
        // A device that closes after each answer leaves nothing to be silent on.
        Ok(Ok(())) if connection.peer_has_closed() => return failed(Failure::EofBeforeResponse),
        Ok(Ok(())) => (Stage::Served, None),
        Ok(Err(refused)) if closes(&mut connection).await => return Step::Failed(Met(refused, status)),
        // It has a socket for this connection, whatever it says of the request.
        Ok(Err(refused)) => (Stage::Served, Some(Met(refused, status))),
        Err(Failure::ReadTimeout) => (Stage::Unserved, Some(Met(Failure::ReadTimeout, None))),
        Err(failure) => return failed(failure),
    };
    context.book.intends(connection.port(), Intent::Silenced);
    match muted(context, &mut connection, by) {
        Ok(mute) => {
            Step::Silent(Silent { connection, stage, met, opened, since: Instant::now(), held, mute })
        }
        Err(reason) => Step::Denied(reason),
    }
}

const fn failed(failure: Failure) -> Step {
    Step::Failed(Met(failure, None))
}

/// Whether the device ends a connection on which it has refused the request: then it holds nothing.
async fn closes(connection: &mut Connection) -> bool {
    let read = async |connection: &mut Connection| connection.read(&mut [0; 256], UNSERVED_LIMIT).await;
    connection.peer_has_closed() || !matches!(read(connection).await, Ok(1..) | Err(Failure::ReadTimeout))
}

/// What keeps a connection silent.
pub(super) enum Mute {
    /// A filter on its socket.
    Filter,
    /// The link.
    Link(Rc<dyn Silencer>),
}

impl Mute {
    /// Lets a connection's last word through.
    pub(super) fn end(&self, port: u16) {
        match self {
            // A filter drops what comes in; a RST goes out all the same.
            Self::Filter => {}
            Self::Link(silencer) => silencer.hear(port),
        }
    }
}

/// Falls silent on a connection by the means that was asked for, or by the first that can be had.
fn muted(context: &Context, connection: &mut Connection, by: Option<By>) -> Result<Mute, String> {
    let port = connection.port();
    let mut filter = || connection.silence_but_for_resets().map(|()| Mute::Filter).map_err(|e| e.to_string());
    let link = |silencer: &Rc<dyn Silencer>| silencer.silence(port).map(|()| Mute::Link(Rc::clone(silencer)));
    match (by, &context.silencer) {
        (Some(By::Filter), _) | (None, None) => filter(),
        (Some(By::Link), Some(silencer)) => link(silencer),
        (Some(By::Link), None) => Err("--by link needs a target whose link can be cut: `twin`".to_owned()),
        (None, Some(silencer)) => filter().or_else(|_| link(silencer)),
    }
}
