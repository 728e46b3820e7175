//! What a workload is given to run with.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::beside::Beside;
use super::door::KeptPorts;
use super::outage::OutageMaker;
use super::standing::Standing;
use espstress_clock::Clock;
use espstress_connection::{Alarms, Connector, Occupancy, PortPool, Slowness, Timeouts};
use espstress_event::{Endpoints, Failure, Intent, IntentBook, Standstills, WorkloadId};
use espstress_stats::Recorder;

/// Asks the workloads of a run to end: keeps the right to say so.
#[derive(Debug)]
pub struct StopSource(watch::Sender<Stage>);

/// How far the end of a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Running,
    /// No new attempts.
    Stopping,
    /// Nor is anything waited for that is under way.
    Hurrying,
}

impl Default for StopSource {
    fn default() -> Self {
        Self(watch::Sender::new(Stage::Running))
    }
}

impl StopSource {
    /// No new attempts from now on; those under way may end.
    pub fn stop(&self) {
        self.raise(Stage::Stopping);
    }

    /// As [`Self::stop`], and those under way are given up.
    pub fn hurry(&self) {
        self.raise(Stage::Hurrying);
    }

    fn raise(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let later = *stage < to;
            *stage = to.max(*stage);
            later
        });
    }

    /// A listener.
    #[must_use]
    pub fn listener(&self) -> Stop {
        Stop(self.0.subscribe())
    }
}

/// Hears when the run should end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<Stage>);

impl Stop {
    /// Whether no new attempt should begin.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow() >= Stage::Stopping
    }

    /// Returns when no new attempt should begin.
    pub async fn stopped(&mut self) {
        // A source that is gone will never say so: then the run is over as well.
        let _ = self.0.wait_for(|stage| *stage >= Stage::Stopping).await;
    }

    /// Returns when what is under way should be given up.
    pub async fn hurried(&mut self) {
        let _ = self.0.wait_for(|stage| *stage >= Stage::Hurrying).await;
    }
}

/// A modelled link that can fall silent on one connection of the host's alone.
pub trait Silencer: std::fmt::Debug {
    /// No segment from or to this local TCP port passes from now on, but for the device's RSTs.
    ///
    /// # Errors
    /// Why not, in words.
    fn silence(&self, port: u16) -> Result<(), String>;

    /// They pass again.
    fn hear(&self, port: u16);
}

/// What a workload runs with. Cheap to clone; lives on one thread.
#[derive(Clone, Debug)]
pub struct Context {
    /// The run's time axis.
    pub clock: Clock,
    /// The device's services.
    pub endpoints: Endpoints,
    /// What it measures goes here.
    pub recorder: Rc<RefCell<Recorder>>,
    /// When to end.
    pub stop: Stop,
    /// Whose connections these are.
    pub id: WorkloadId,
    /// The run's source ports.
    pub ports: Rc<RefCell<PortPool>>,
    /// Where intentions are noted.
    pub book: Arc<IntentBook>,
    /// Source address, or the routing table's choice.
    pub source: Option<IpAddr>,
    /// Of everything random.
    pub seed: u64,
    /// How many connections the device says it holds at once.
    pub capacity: Option<u32>,
    /// What the device may hold of the connections of all workloads of the run.
    pub occupancy: Rc<Occupancy>,
    /// What workloads meet beside clients that are slow on purpose.
    pub beside: Rc<RefCell<Beside>>,
    /// Requests that wait for answers.
    pub standing: Rc<RefCell<Standing>>,
    /// Cuts the device's link, where the target has a link that can be cut.
    pub outage_maker: Option<Rc<dyn OutageMaker>>,
    /// Falls silent on single connections, where the target has a link that can do that.
    pub silencer: Option<Rc<dyn Silencer>>,
    /// The token of the device's control service, where it is known.
    pub control_token: Option<Rc<str>>,
    /// Connections of the run that opened far later than their own round trip.
    pub late_connects: Rc<Cell<u64>>,
    /// Ports that devices have dialled, until the packets have been watched to the end.
    pub kept_ports: Rc<RefCell<KeptPorts>>,
    /// Remarks for the person who waits.
    pub notices: Rc<RefCell<Notices>>,
}

impl Context {
    /// A connector to one of the device's services.
    #[must_use]
    pub fn connector(&self, target: SocketAddr, timeouts: Timeouts) -> Connector {
        Connector {
            target,
            source: self.source,
            timeouts,
            slowness: Slowness::default(),
            ports: Rc::clone(&self.ports),
            book: Arc::clone(&self.book),
            workload: self.id,
            late: Rc::clone(&self.late_connects),
            alarms: Alarms::default(),
        }
    }

    /// The intention of a connection that is about to be opened, given what will be done to it: beyond the
    /// capacity that the device states, nothing else matters.
    #[must_use]
    pub fn intent(&self, planned: Intent) -> Intent {
        self.intent_at(planned, Instant::now())
    }

    /// The same, by one who knows the time.
    #[must_use]
    pub(crate) fn intent_at(&self, planned: Intent, now: Instant) -> Intent {
        self.occupancy.intent(planned, self.capacity, now)
    }

    /// Counts one connection until the answer is dropped.
    #[must_use]
    pub fn hold_one(&self) -> Held {
        self.occupancy.enter();
        self.recorder.borrow_mut().opened();
        Held { occupancy: Rc::clone(&self.occupancy), recorder: Rc::clone(&self.recorder) }
    }

    /// Says something to the person who waits, once for each text.
    pub(crate) fn notice(&self, text: String) {
        self.notices.borrow_mut().say(text);
    }

    /// Since then requests had waited, and now one was answered.
    pub(crate) fn stood_still(&self, since: Instant, now: Instant) {
        let (since_ns, to_ns) = (self.clock.at_ns(since), self.clock.at_ns(now));
        if to_ns.saturating_sub(since_ns) >= Standstills::LEAST_NS {
            let mut recorder = self.recorder.borrow_mut();
            recorder.by_protocol().standstills.get_or_insert_default().note(since_ns, to_ns);
        }
    }

    /// Records an attempt that began at `from` and ends now.
    pub fn attempted(&self, from: Instant, outcome: Result<(), Failure>) {
        self.attempted_by(from, Instant::now(), outcome);
    }

    /// The same of one that ended at `to`.
    pub(crate) fn attempted_by(&self, from: Instant, to: Instant, outcome: Result<(), Failure>) {
        if outcome.is_ok() {
            self.occupancy.served(self.capacity);
        }
        let mut recorder = self.recorder.borrow_mut();
        recorder.attempt(self.clock.at_ns(from), self.clock.at_ns(to), outcome);
    }

    /// Nanoseconds from `from` until now.
    #[must_use]
    pub fn since_ns(&self, from: Instant) -> u64 {
        espstress_clock::nanos(from.elapsed())
    }
}

/// Remarks for the person who waits, each text once in a run.
#[derive(Clone, Debug, Default)]
pub struct Notices {
    waiting: Vec<String>,
    told: Vec<String>,
}

impl Notices {
    /// Different texts that are told at most: a workload that finds ever new words fills no log.
    const MOST: usize = 64;

    /// Says something, unless it was said before.
    pub(crate) fn say(&mut self, text: String) {
        let said = self.told.contains(&text) || self.waiting.contains(&text);
        if !said && self.told.len() + self.waiting.len() < Self::MOST {
            self.waiting.push(text);
        }
    }

    /// What has not been told yet; from now on it is.
    pub fn take(&mut self) -> Vec<String> {
        self.told.extend_from_slice(&self.waiting);
        std::mem::take(&mut self.waiting)
    }
}

/// One open connection, counted.
#[derive(Debug)]
pub struct Held {
    occupancy: Rc<Occupancy>,
    recorder: Rc<RefCell<Recorder>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.occupancy.leave();
        self.recorder.borrow_mut().closed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remark_is_told_once_in_a_run_however_often_it_is_made() {
        let mut notices = Notices::default();
        notices.say("a".into());
        notices.say("a".into());
        assert_eq!(notices.take(), ["a"]);
        notices.say("a".into());
        notices.say("b".into());
        assert_eq!(notices.take(), ["b"]);
        assert!(notices.take().is_empty());
    }

    #[test]
    fn remarks_have_an_end() {
        let mut notices = Notices::default();
        let told: usize = (0..1_000).map(|n| (notices.say(n.to_string()), notices.take().len()).1).sum();
        assert_eq!(told, Notices::MOST);
    }
}
