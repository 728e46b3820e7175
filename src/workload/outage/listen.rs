//! Waits for devices that dial in with their number and speak the line protocol (see `talk`), and keeps account of
//! where each of them is: connected, away, or back.
//!
//! A device is away from its last byte on, where it fell silent or its connection broke, or from the moment it closed
//! its connection. One that closes and dials again has had no outage. When an outage ends is known only where the
//! device's telemetry tells that it can be heard again; its dialling is when it has recovered, and not when the outage
//! ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::settings::Params;
use super::talk::{First, Left, NUMBER_LIMIT, Talk, shown};
use super::{join_all, presence};
use crate::context::{Context, Stop, StopSource};
use crate::door::{Door, DoorError, places};
use espstress_clock::nanos;
use espstress_event::OutageMeans;
use espstress_stats::{DialledDevice, MessageLedger, OutageOrigin, OutageRow};

/// Devices at once: the protocol's numbers are 1 to 4.
const MOST_DEVICES: u8 = 4;

/// Dialled connections at once, those without a number included.
const MOST_CONNECTIONS: usize = 16;

/// What all connections share.
pub(super) struct Table {
    context: Context,
    pub(super) timeout: Duration,
    pub(super) data_interval: Duration,
    devices: RefCell<BTreeMap<u8, Device>>,
    outages: Cell<u64>,
    /// What the last connection that was turned away began with.
    turned_away: RefCell<Option<String>>,
    /// Somebody is away since now.
    pub(super) somebody_left: Notify,
}

/// A device, over all its connections.
pub(super) struct Device {
    pub(super) stats: DialledDevice,
    /// Where it dials from.
    ip: IpAddr,
    place: Place,
    heard: Instant,
    /// The ledgers of the connection that stands, as they are contained in the sums.
    counted: (MessageLedger, MessageLedger),
}

impl Device {
    /// Something came of it, the first line of a new connection as well: what was silent until then is over.
    fn hear(&mut self, now: Instant) {
        self.silent_until(now);
        self.heard = now;
    }

    /// It has been silent since it was last heard.
    fn silent_until(&mut self, now: Instant) {
        let silence = nanos(now.saturating_duration_since(self.heard));
        self.stats.longest_silence_ns = self.stats.longest_silence_ns.max(silence);
    }
}

/// Where a device is.
enum Place {
    /// A connection of it stands.
    Connected,
    /// The same, and since its last outage no line of data has come.
    Back(OutageRow),
    /// It closed its connection.
    Left,
    /// It fell silent, or its connection broke.
    Away(Away),
}

/// An outage that goes on.
struct Away {
    row: OutageRow,
    /// The number under which the link is noted as away.
    noted: Option<u64>,
}

/// Waits for devices until the time is over.
pub(super) async fn serve(context: &Context, params: &Params, door: Result<Door, DoorError>) {
    let (listener, bound) = match door.and_then(Door::open) {
        Ok(opened) => opened,
        Err(error) => return unavailable(context, error.to_string()),
    };
    // Every connection that is dialled has this port at its end.
    context.book.is_dialled(bound.port(), context.id);
    context.notice(format!("waiting for devices to dial {}", places(bound)));
    let table = Rc::new(Table {
        context: context.clone(),
        timeout: params.peer_timeout.0,
        data_interval: params.data_interval.0,
        devices: RefCell::default(),
        outages: Cell::new(0),
        turned_away: RefCell::default(),
        somebody_left: Notify::new(),
    });
    let mut aside = JoinSet::new();
    if let Some(telemetry) = context.endpoints.telemetry {
        aside.spawn_local(presence::await_return(Rc::clone(&table), telemetry, context.source));
    }
    accept(&table, &listener, params).await;
    context.kept_ports.borrow_mut().keep(&listener, bound);
    aside.abort_all();
    table.finish();
    if let Some(reason) = table.nobody(bound) {
        unavailable(context, reason);
    }
}

fn unavailable(context: &Context, reason: String) {
    context.notice(reason.clone());
    context.recorder.borrow_mut().outage().unavailable = Some(reason);
}

/// Takes connections until the time is over, the outages are there, or the run is stopped.
async fn accept(table: &Rc<Table>, listener: &TcpListener, params: &Params) {
    let schedule = params.schedule(OutageMeans::None);
    let deadline = schedule.duration.and_then(|length| Instant::now().checked_add(length));
    let mut stop = table.context.stop.clone();
    let mut tasks = JoinSet::new();
    let ends = StopSource::default();
    while schedule.cycles.is_none_or(|most| table.outages.get() < most) {
        let until = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) if tasks.len() < MOST_CONNECTIONS => {
                    let (table, stop) = (Rc::clone(table), ends.listener());
                    tasks.spawn_local(async move { table.greet(stream, peer.ip(), stop).await });
                }
                Ok(_) => table.turn_away("too many connections at once".into()),
                // Out of descriptors: the next attempt must not spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = tasks.join_next() => {}
            () = tokio::time::sleep_until(until.into()) => {
                if deadline.is_some() {
                    break;
                }
            }
        }
    }
    ends.stop();
    join_all(&mut tasks).await;
}

impl Table {
    /// Takes the number and then the device.
    async fn greet(self: Rc<Self>, stream: TcpStream, ip: IpAddr, mut stop: Stop) {
        let mut talk = Talk::new(stream);
        let first = tokio::select! {
            biased;
            () = stop.stopped() => return,
            first = tokio::time::timeout(NUMBER_LIMIT, talk.first()) => first.unwrap_or(First::Nothing),
        };
        let id = match first {
            First::Number(id) if (1..=MOST_DEVICES).contains(&id) => id,
            First::Number(id) => return self.turn_away(format!("its first line was {id}")),
            First::Other(line) => {
                return self.turn_away(format!("its first line was \"{}\"", shown(&line)));
            }
            First::Nothing => return self.turn_away("it sent no line".into()),
        };
        if !self.enter(id, ip) {
            return self.turn_away(format!("a connection with the number {id} stands already"));
        }
        let held = self.context.hold_one();
        let left = talk.follow(&self, id, stop).await;
        drop(held);
        if left == Left::Silent {
            talk.forget();
        }
        self.leave(id, &talk, left);
    }

    fn turn_away(&self, why: String) {
        self.context.recorder.borrow_mut().outage().turned_away += 1;
        *self.turned_away.borrow_mut() = Some(why);
    }

    /// Notes a new connection; `false` when one of the same number stands.
    fn enter(&self, id: u8, ip: IpAddr) -> bool {
        let now = Instant::now();
        let at_ns = self.context.clock.at_ns(now);
        let mut devices = self.devices.borrow_mut();
        let device = devices.entry(id).or_insert_with(|| Device {
            stats: DialledDevice { id, ..DialledDevice::default() },
            ip,
            place: Place::Left,
            heard: now,
            counted: (MessageLedger::NONE, MessageLedger::NONE),
        });
        let before = match &device.place {
            Place::Connected | Place::Back(_) => return false,
            Place::Left | Place::Away(_) => std::mem::replace(&mut device.place, Place::Connected),
        };
        let mut recorder = self.context.recorder.borrow_mut();
        recorder.attempt(at_ns, at_ns, Ok(()));
        if device.stats.connections > 0 {
            recorder.reconnected();
            recorder.outage().fates.reconnected += 1;
        }
        drop(recorder);
        device.stats.connections += 1;
        (device.ip, device.counted) = (ip, (MessageLedger::NONE, MessageLedger::NONE));
        if let Place::Away(Away { mut row, noted }) = before {
            // Without telemetry nobody saw when the outage ended: the recovery stays unknown, and is not 0.
            row.recovered_ns = Some(at_ns);
            self.link_is_back(noted, row.seen_end_ns.unwrap_or(at_ns));
            device.place = Place::Back(row);
        }
        device.hear(now);
        drop(devices);
        self.show();
        true
    }

    /// Notes the end of a connection.
    fn leave(&self, id: u8, talk: &Talk, left: Left) {
        let now = Instant::now();
        self.count(id, talk.ledgers(left));
        let clock = self.context.clock;
        let mut devices = self.devices.borrow_mut();
        let Some(device) = devices.get_mut(&id) else { return };
        let mut recorder = self.context.recorder.borrow_mut();
        let stats = recorder.outage();
        // An outage after which no data came before the next one, or before the end.
        if let Place::Back(row) = std::mem::replace(&mut device.place, Place::Left) {
            stats.ended(row);
        }
        match left {
            Left::Stopped => device.place = Place::Connected,
            Left::Closed => {
                device.stats.closed_by_device += 1;
                stats.fates.died_outside += 1;
                device.hear(now);
            }
            Left::Silent | Left::Failed(_) => {
                let silent = left == Left::Silent;
                device.stats.outages += 1;
                device.silent_until(now);
                stats.fates.given_up_by_silence += u64::from(silent);
                let mut row = self.row(id, clock.at_ns(device.heard));
                row.host_noticed_ns = Some(clock.at_ns(now));
                row.died = 1;
                // Under way at its start, as far as the host can know.
                let open = talk.ledgers(left).0.unknown;
                row.to_device = MessageLedger { sent: open, unknown: open, ..MessageLedger::NONE };
                let noted = silent.then(|| {
                    let from_ns = self.unix_ns(clock.at_ns(device.heard));
                    self.context.book.link_goes_away(OutageOrigin::Natural, from_ns)
                });
                device.place = Place::Away(Away { row, noted });
            }
        }
        if let Left::Failed(failure) = left {
            recorder.attempt(clock.at_ns(device.heard), clock.at_ns(now), Err(failure));
        }
        drop(recorder);
        drop(devices);
        self.show();
        self.somebody_left.notify_waiters();
    }

    fn row(&self, id: u8, from_ns: u64) -> OutageRow {
        self.outages.set(self.outages.get() + 1);
        let mut row = OutageRow::new(self.outages.get(), OutageOrigin::Natural);
        (row.device, row.seen_start_ns) = (Some(id), Some(from_ns));
        row
    }

    fn link_is_back(&self, noted: Option<u64>, at_ns: u64) {
        if let Some(number) = noted {
            self.context.book.link_is_back(number, self.unix_ns(at_ns));
        }
    }

    fn unix_ns(&self, at_ns: u64) -> i64 {
        self.context.clock.start_unix_ns().saturating_add(i64::try_from(at_ns).unwrap_or(i64::MAX))
    }

    /// Bytes have come from a device.
    pub(super) fn heard(&self, id: u8, now: Instant, bytes: u64) {
        self.with(id, |device| device.hear(now));
        self.context.recorder.borrow_mut().bytes(0, bytes);
    }

    /// Bytes have gone to a device.
    pub(super) fn sent(&self, bytes: u64) {
        self.context.recorder.borrow_mut().bytes(bytes, 0);
    }

    /// A line of data has come: an outage before it is over in every respect.
    pub(super) fn data(&self, id: u8, now: Instant) {
        let at_ns = self.context.clock.at_ns(now);
        self.with(id, |device| match std::mem::replace(&mut device.place, Place::Connected) {
            Place::Back(mut row) => {
                row.first_data_ns = Some(at_ns);
                self.context.recorder.borrow_mut().outage().ended(row);
            }
            other => device.place = other,
        });
    }

    /// Takes the ledgers of a device's connection into the sums.
    pub(super) fn count(&self, id: u8, now: (MessageLedger, MessageLedger)) {
        self.with(id, |device| {
            let before = std::mem::replace(&mut device.counted, now);
            let mut recorder = self.context.recorder.borrow_mut();
            let stats = recorder.outage();
            for (sum, before, now) in [
                (&mut device.stats.to_device, &before.0, &now.0),
                (&mut device.stats.to_host, &before.1, &now.1),
                (&mut stats.to_device, &before.0, &now.0),
                (&mut stats.to_host, &before.1, &now.1),
            ] {
                sum.exchange(before, now);
            }
        });
    }

    pub(super) fn with(&self, id: u8, change: impl FnOnce(&mut Device)) {
        if let Some(device) = self.devices.borrow_mut().get_mut(&id) {
            change(device);
        }
    }

    /// Whether somebody is away who dials from `ip`, and of whom nothing has been heard yet.
    pub(super) fn misses(&self, ip: IpAddr) -> bool {
        self.devices.borrow().values().any(|device| {
            device.ip == ip && matches!(&device.place, Place::Away(away) if away.row.seen_end_ns.is_none())
        })
    }

    /// The telemetry of the device at `ip` was answered: what kept it away is over.
    pub(super) fn answered(&self, ip: IpAddr, now: Instant) {
        let at_ns = self.context.clock.at_ns(now);
        for device in self.devices.borrow_mut().values_mut().filter(|device| device.ip == ip) {
            if let Place::Away(Away { row, noted }) = &mut device.place
                && row.seen_end_ns.is_none()
            {
                row.seen_end_ns = Some(at_ns);
                self.link_is_back(noted.take(), at_ns);
            }
        }
    }

    /// The devices as they are now, into the results.
    fn show(&self) {
        let devices = self.devices.borrow();
        let mut recorder = self.context.recorder.borrow_mut();
        recorder.outage().dialled = devices.values().map(|device| device.stats.clone()).collect();
    }

    /// Outages that nobody came back from, and devices that left for good.
    fn finish(&self) {
        let now = Instant::now();
        let clock = self.context.clock;
        for (id, device) in self.devices.borrow_mut().iter_mut() {
            let row = match std::mem::replace(&mut device.place, Place::Connected) {
                Place::Connected => continue,
                Place::Back(row) => row,
                // It did not close to dial again: that was an outage, in every count.
                Place::Left => {
                    device.stats.outages += 1;
                    let mut row = self.row(*id, clock.at_ns(device.heard));
                    row.died = 1;
                    let fates = &mut self.context.recorder.borrow_mut();
                    let fates = &mut fates.outage().fates;
                    fates.died_outside = fates.died_outside.saturating_sub(1);
                    row
                }
                Place::Away(away) => away.row,
            };
            if row.recovered_ns.is_none() {
                device.stats.away_since_ns = row.seen_start_ns;
                device.silent_until(now);
            }
            self.context.recorder.borrow_mut().outage().ended(row);
        }
        self.show();
    }

    /// Why there was nothing to watch.
    fn nobody(&self, bound: SocketAddr) -> Option<String> {
        if !self.devices.borrow().is_empty() {
            return None;
        }
        let turned_away = self.context.recorder.borrow_mut().outage().turned_away;
        let port = bound.port();
        Some(match &*self.turned_away.borrow() {
            None => format!("no device dialled in to port {port}"),
            Some(last) => format!(
                "no device dialled in to port {port} with a number from 1 to {MOST_DEVICES} as its first line: \
                 {turned_away} turned away, of the last {last}"
            ),
        })
    }
}
