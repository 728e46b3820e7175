//! What the connections of the workload, its director and its eye on the telemetry have in common.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::hearing::Hearing;
use crate::context::Context;
use espstress_connection::{Connection, Connector};
use espstress_event::{Failure, Intent, OutageOrigin, Telemetry};
use espstress_stats::MessageLedger;

/// The recovery rule and its times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Time between heartbeats of each side.
    pub(super) heartbeat: Duration,
    /// Silence after which a peer counts as gone; `None`: only the stack gives up.
    pub(super) silence: Option<Duration>,
    /// An acknowledgement that takes longer is late.
    pub(super) late_after: Duration,
    /// Quiet between the loss of a connection and the first attempt to open it again.
    pub(super) quiet: Duration,
    /// Pause after the first failed attempt; doubles from failure to failure.
    pub(super) back_off: Duration,
    /// The longest such pause.
    pub(super) back_off_most: Duration,
}

/// What all connections are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Heartbeats both ways.
    Beat,
    /// No message either way.
    Idle,
    /// The host is silent: it neither hears nor sends.
    Mute,
}

/// The director's order; a change of `poke` alone asks for a heartbeat at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) mode: Mode,
    pub(super) poke: u64,
}

/// One connection's place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane {
    /// The host's port while a connection is open.
    pub(super) port: Option<u16>,
    /// Counts connections.
    pub(super) incarnation: u64,
    /// The session is resumed and messages flow.
    pub(super) up: bool,
    /// When a message was last acknowledged on it.
    pub(super) last_acked: Option<Instant>,
    /// Messages to the device.
    pub(super) to_device: MessageLedger,
    /// Messages from the device.
    pub(super) to_host: MessageLedger,
}

/// What the device's telemetry last said that matters here.
#[derive(Clone, Copy, Debug)]
pub(super) struct DeviceView {
    pub(super) at: Instant,
    /// Connections of the framed service that it holds.
    pub(super) open: Option<u32>,
}

/// Shared by tasks of one thread.
pub(super) struct Shared {
    pub(super) context: Context,
    pub(super) connector: Connector,
    pub(super) rule: Rule,
    pub(super) orders: watch::Sender<Order>,
    pub(super) hearing: RefCell<Hearing>,
    pub(super) lanes: RefCell<Vec<Lane>>,
    /// A lane has come up, gone down, or had data.
    pub(super) changed: Notify,
    /// A lane has gone down outside of an outage.
    pub(super) trouble: Notify,
    /// Whether an outage that somebody made is under way: what fails now is expected.
    pub(super) expected: Cell<bool>,
    pub(super) device: Cell<Option<DeviceView>>,
    /// First instant of the current outage at which the device held no more connections than the host.
    pub(super) device_noticed: Cell<Option<Instant>>,
    /// Connections that were lost in the host's own silence, still silent.
    pub(super) parked: RefCell<Vec<Connection>>,
    /// The number under which the link is noted as away.
    away: Cell<Option<u64>>,
    /// The socket filter was refused: why.
    pub(super) denied: RefCell<Option<String>>,
}

impl Shared {
    pub(super) fn new(context: Context, connector: Connector, rule: Rule, lanes: u32) -> Self {
        let lane = Lane {
            port: None,
            incarnation: 0,
            up: false,
            last_acked: None,
            to_device: MessageLedger::default(),
            to_host: MessageLedger::default(),
        };
        Self {
            context,
            connector,
            rule,
            orders: watch::Sender::new(Order { mode: Mode::Beat, poke: 0 }),
            hearing: RefCell::new(Hearing::new(Instant::now())),
            lanes: RefCell::new(vec![lane; lanes as usize]),
            changed: Notify::new(),
            trouble: Notify::new(),
            expected: Cell::new(false),
            device: Cell::new(None),
            device_noticed: Cell::new(None),
            parked: RefCell::default(),
            away: Cell::new(None),
            denied: RefCell::new(None),
        }
    }

    /// Whether a session ever stood, or a message was ever acknowledged.
    pub(super) fn was_answered(&self) -> bool {
        self.lanes.borrow().iter().any(|lane| lane.up || lane.last_acked.is_some())
    }

    /// Whether what came back was none of this protocol.
    pub(super) fn is_misunderstood(&self) -> bool {
        self.context.recorder.borrow().failures().get(Failure::BadResponse) > 0
    }

    /// What is intended with a connection that is opened now.
    pub(super) fn intent(&self) -> Intent {
        if self.expected.get() { Intent::Silenced } else { self.context.intent(Intent::Plain) }
    }

    /// Notes that every open connection is about to be cut off.
    pub(super) fn note_silence(&self) {
        for port in self.lanes.borrow().iter().filter_map(|lane| lane.port) {
            self.context.book.intends(port, Intent::Silenced);
        }
    }

    /// Notes for everybody that the link is away since `from`.
    pub(super) fn link_goes_away(&self, cause: OutageOrigin, from: Instant) {
        self.away.set(Some(self.context.book.link_goes_away(cause, self.unix_ns(from))));
    }

    /// Notes that it is back, if it was noted as away.
    pub(super) fn link_is_back(&self, at: Instant) {
        if let Some(number) = self.away.take() {
            self.context.book.link_is_back(number, self.unix_ns(at));
        }
    }

    fn unix_ns(&self, at: Instant) -> i64 {
        let clock = self.context.clock;
        clock.start_unix_ns().saturating_add(i64::try_from(clock.at_ns(at)).unwrap_or(i64::MAX))
    }

    pub(super) fn order(&self, mode: Mode) {
        self.orders.send_modify(|order| *order = Order { mode, poke: order.poke + 1 });
    }

    /// The silence is over: what was lost in it ends without a word, and whatever the device still sends on it is
    /// answered with a RST, as by any host that has forgotten a connection.
    pub(super) fn leave_parked(&self) {
        for connection in self.parked.take() {
            if let Err(error) = connection.vanish() {
                self.context.notice(error.to_string());
            }
        }
    }

    pub(super) fn update(&self, lane: usize, change: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.lanes.borrow_mut().get_mut(lane) {
            change(lane);
        }
        self.changed.notify_waiters();
    }

    /// Takes a lane's new counts into the workload's.
    pub(super) fn count(&self, lane: usize, to_device: MessageLedger, to_host: MessageLedger) {
        let mut lanes = self.lanes.borrow_mut();
        let Some(lane) = lanes.get_mut(lane) else { return };
        let mut recorder = self.context.recorder.borrow_mut();
        let stats = recorder.outage();
        stats.to_device.exchange(&lane.to_device, &to_device);
        stats.to_host.exchange(&lane.to_host, &to_host);
        (lane.to_device, lane.to_host) = (to_device, to_host);
    }

    /// Lanes whose connection stands.
    pub(super) fn lanes_up(&self) -> u32 {
        let lanes = self.lanes.borrow();
        u32::try_from(lanes.iter().filter(|lane| lane.up).count()).unwrap_or(u32::MAX)
    }

    /// Whether every lane stands and has had a message acknowledged after `since`.
    pub(super) fn all_acked_since(&self, since: Instant) -> bool {
        self.lanes.borrow().iter().all(|lane| lane.up && lane.last_acked.is_some_and(|at| at > since))
    }

    /// The device has said something of itself.
    pub(super) fn take_telemetry(&self, telemetry: &Telemetry, at: Instant) {
        let open = telemetry.open("framed");
        self.device.set(Some(DeviceView { at, open }));
        // Before the host has lost a connection there is none that the device could have let go of.
        let lost = self.hearing.borrow().window().is_some_and(|window| window.noticed.is_some());
        if lost && self.device_noticed.get().is_none() && open.is_some_and(|open| open <= self.lanes_up()) {
            self.device_noticed.set(Some(at));
        }
    }

    /// Waits for a change, at most until `deadline`.
    pub(super) async fn changed_until(self: &Rc<Self>, deadline: Instant) {
        tokio::select! {
            () = self.changed.notified() => {}
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
    }
}
