//! What all connections share: who the target is, what it is subscribed to, and the account of it.
//!
//! One device is tested. Other hosts, other clients and whatever does not speak MQTT are turned away and counted. The
//! broker publishes nothing unless that is asked for: a stranger's topics may switch something.

mod absence;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use absence::Absence;

use super::big::Gone;
use super::births::Births;
use super::ledger::Ledger;
use super::outgoing::{Answer, Outgoing, Send, Takes};
use super::phase::Phase;
use super::sending::Sending;
use super::settings::{Params, Sessions};
use super::trial::{Before, Lacks, Trial};
use crate::context::Context;
use espstress_clock::{STALL, nanos};
use espstress_device::mqtt::{Connect, Publish, Qos, Version, topic};
use espstress_event::{MqttClient, MqttFault, MqttLeft, MqttProtocol, MqttWill};
use espstress_stats::{Latency, MqttStats};

/// Filters of one client that are kept.
const MOST_FILTERS: usize = 64;

/// Sessions that a device may take to send what it has kept, where they are short.
const SESSIONS: u32 = 3;
/// Silence beyond the keep-alive that is not late yet: the device's clock and the path.
const LATE: Duration = Duration::from_secs(1);

/// What all connections share.
pub(super) struct Broker {
    pub(super) context: Context,
    pub(super) params: Params,
    /// The user's own broker, where this one is only in front of it.
    pub(super) via: Option<SocketAddr>,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) trial: RefCell<Option<Trial>>,
    target: RefCell<Option<Target>>,
    ledger: RefCell<Ledger>,
    births: RefCell<Births>,
    /// Messages to the device, where they are asked for.
    outgoing: RefCell<Option<Outgoing>>,
    /// Time in which this host stood still, so that it could hear nobody.
    deaf: Cell<Duration>,
    /// When whoever looks for that wants to wake.
    wakes: Cell<Instant>,
    /// Since when the target is watched.
    watched_since: Cell<Option<Instant>>,
    /// When it last woke from that.
    stalled: Cell<Instant>,
    /// For how long the target could send.
    sending: RefCell<Sending>,
    /// The target's absence, while it has no session.
    absence: Cell<Option<Absence>>,
    /// The session that lacked filters after the last fault.
    lacks: RefCell<Option<Lacks>>,
}

/// The device that is tested.
struct Target {
    ip: IpAddr,
    id: String,
    /// The connection of its session, while there is one.
    connection: Option<u64>,
    /// Whether its session outlives its connection.
    lasting: bool,
    filters: BTreeMap<String, Qos>,
    /// Filters of this session that were too many.
    beyond: u64,
    heard: Instant,
    accepted: Instant,
    /// Its session began outside of faults.
    calm: bool,
    first_publish: bool,
    first_subscribe: bool,
}

/// Why a CONNECT is not accepted: words, and the return code in 3.1.1.
pub(super) struct Rejected {
    pub(super) why: String,
    pub(super) code: u8,
}

impl Broker {
    pub(super) fn new(context: Context, params: Params, via: Option<SocketAddr>) -> Self {
        let ledger = RefCell::new(Ledger::new(params.sequence.clone()));
        let outgoing = params.publish.clone().map(|to| Outgoing::new(to, params.publish_interval.0));
        let outgoing = RefCell::new(outgoing);
        Self {
            context,
            params,
            via,
            phase: watch::Sender::new(Phase::default()),
            trial: RefCell::default(),
            target: RefCell::default(),
            ledger,
            births: RefCell::default(),
            outgoing,
            deaf: Cell::default(),
            wakes: Cell::new(Instant::now() + STALL),
            watched_since: Cell::default(),
            stalled: Cell::new(Instant::now()),
            sending: RefCell::default(),
            absence: Cell::default(),
            lacks: RefCell::default(),
        }
    }

    pub(super) fn stats(&self, change: impl FnOnce(&mut MqttStats)) {
        change(self.context.recorder.borrow_mut().mqtt());
    }

    pub(super) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Another fault, or none, from now on; `cut` where it is the link that makes it.
    pub(super) fn enter(&self, fault: Option<MqttFault>, cut: bool) {
        self.phase.send_modify(|phase| {
            *phase = Phase { fault, cut, number: phase.number + 1, ..Phase::default() };
        });
        self.can_send(Duration::ZERO, Instant::now());
        if fault.is_none() {
            self.ledger.borrow_mut().fault_is_over();
        }
        self.outgoing(|outgoing| outgoing.phase(fault));
    }

    /// For so long nothing reached the device, and now it does again. A stack doubles the time between its repetitions
    /// (RFC 6298, 5.5), so that the next one may take as long again.
    pub(super) fn link_is_back(&self, after: Duration) {
        self.phase.send_modify(|phase| {
            *phase = Phase { patience: after, number: phase.number + 1, ..Phase::default() };
        });
        self.can_send(after, Instant::now());
        self.ledger.borrow_mut().fault_is_over();
        self.outgoing(|outgoing| outgoing.phase(None));
    }

    /// Whoever looks for time in which the host stood still wakes then.
    pub(super) fn wakes(&self, at: Instant) {
        self.wakes.set(at);
    }

    /// Notices that the host woke much later than it wanted to. After such a time a packet may be read before whoever looks
    /// for it is called: so each reader looks first.
    pub(super) fn look_for_stall(&self, now: Instant) {
        let late = now.saturating_duration_since(self.wakes.get());
        if late >= STALL {
            self.stalled.set(now);
            self.deaf.update(|deaf| deaf + late);
            self.wakes.set(now);
        }
    }

    pub(super) const fn deaf(&self) -> Duration {
        self.deaf.get()
    }

    /// Closed unserved.
    pub(super) fn turn_away(&self, why: String) {
        self.stats(|stats| {
            stats.turned_away += 1;
            stats.turned_away_last = Some(why);
        });
    }

    /// Whether somebody who connects from there can be the target.
    pub(super) fn may_be_target(&self, peer: IpAddr) -> bool {
        let known = self.context.endpoints.http.ip();
        if !known.is_unspecified() {
            return known == peer;
        }
        self.target.borrow().as_ref().is_none_or(|target| target.ip == peer)
    }

    /// Whether the target has a session now.
    pub(super) fn connected(&self) -> Option<u64> {
        self.target.borrow().as_ref()?.connection
    }

    pub(super) fn ever_connected(&self) -> bool {
        self.target.borrow().is_some()
    }

    /// Since when the target's session stands.
    pub(super) fn accepted_at(&self) -> Option<Instant> {
        self.target.borrow().as_ref().filter(|t| t.connection.is_some()).map(|t| t.accepted)
    }

    pub(super) fn filters(&self) -> BTreeSet<String> {
        let target = self.target.borrow();
        target.as_ref().map(|target| target.filters.keys().cloned().collect()).unwrap_or_default()
    }

    /// The target's keep-alive.
    pub(super) fn keepalive(&self) -> Duration {
        let mut recorder = self.context.recorder.borrow_mut();
        let seconds = recorder.mqtt().target().map_or(0, |client| client.keepalive_s);
        Duration::from_secs(seconds.into())
    }

    /// What the target is as a fault begins.
    pub(super) fn before(&self) -> Before {
        let target = self.target.borrow();
        let publishes = self.ledger.borrow().any();
        match target.as_ref() {
            None => Before { connection: None, filters: BTreeSet::new(), publishes, heard: None },
            Some(target) => Before {
                connection: target.connection,
                filters: target.filters.keys().cloned().collect(),
                publishes,
                heard: Some(target.heard),
            },
        }
    }

    fn trial(&self, tell: impl FnOnce(&mut Trial)) {
        if let Some(trial) = self.trial.borrow_mut().as_mut() {
            tell(trial);
        }
    }

    /// Judges a CONNECT: whether its session is present, or why it is not accepted.
    pub(super) fn may_connect(&self, connect: &Connect<'_>) -> Result<bool, Rejected> {
        self.check(connect)?;
        let known =
            self.target.borrow().as_ref().map(|t| (t.id == connect.client_id, t.connection, t.lasting));
        if let Some((false, Some(_), _)) = known {
            return Err(Rejected { why: "another client id while the target is connected".into(), code: 2 });
        }
        let lasting = matches!(known, Some((true, _, true)));
        Ok(lasting && !connect.clean && self.keeps_sessions())
    }

    /// A CONNECT waits for its answer until the fault is over.
    pub(super) fn withholds(&self, connection: u64, peer: IpAddr, connect: &Connect<'_>) {
        if self.may_be_target(peer) && self.may_connect(connect).is_ok() {
            self.trial(|trial| trial.withheld(connection, Instant::now()));
        }
    }

    /// The device has ended a connection.
    pub(super) fn hung_up(&self, connection: u64, now: Instant) {
        self.trial(|trial| trial.hung_up(connection, now));
    }

    /// The target's session is on this connection from now on.
    pub(super) fn opens(
        &self,
        connection: u64,
        peer: IpAddr,
        connect: &Connect<'_>,
        present: bool,
        now: Instant,
    ) {
        self.recorded(connect, now);
        if !present {
            self.ledger.borrow_mut().new_session();
        }
        let mut target = self.target.borrow_mut();
        let replaces =
            target.as_ref().is_some_and(|old| old.id == connect.client_id && old.connection.is_some());
        if replaces && self.trial.borrow().is_none() {
            self.stats(|stats| stats.taken_over += 1);
        }
        let filters = match target.take() {
            Some(old) if present => old.filters,
            _ => BTreeMap::new(),
        };
        *target = Some(Target {
            ip: peer,
            id: connect.client_id.to_owned(),
            connection: Some(connection),
            // A session of MQTT 5 ends with its connection unless it says how long it lasts (3.1.2.11.2 of the standard).
            lasting: match connect.version {
                Version::V5 => connect.properties.session_expiry.is_some_and(|s| s > 0),
                Version::V31 | Version::V311 => !connect.clean,
            },
            filters,
            beyond: 0,
            heard: now,
            accepted: now,
            calm: self.is_calm(),
            first_publish: true,
            first_subscribe: true,
        });
        drop(target);
        self.is_back(now);
        self.can_send(Duration::ZERO, now);
        self.sending.borrow_mut().begins();
        self.trial(|trial| trial.accepted(connection, present, now));
    }

    fn check(&self, connect: &Connect<'_>) -> Result<(), Rejected> {
        if self.params.client_id.as_deref().is_some_and(|id| id != connect.client_id) {
            return Err(Rejected { why: "its client id is not the one of --client-id".into(), code: 2 });
        }
        let user = self.params.user.as_deref().is_none_or(|user| connect.user == Some(user));
        let given = connect.password.map(|password| password.0);
        let password = self.params.password.as_deref().is_none_or(|asked| given == Some(asked.as_bytes()));
        if !user || !password {
            return Err(Rejected { why: "wrong user name or password".into(), code: 4 });
        }
        Ok(())
    }

    /// Whether sessions of before the last fault are still known.
    fn keeps_sessions(&self) -> bool {
        let fault = self.trial.borrow().as_ref().map(Trial::fault);
        match fault {
            Some(MqttFault::SessionLost) => false,
            Some(MqttFault::SessionKept) => true,
            Some(MqttFault::Close | MqttFault::Reset) => self.params.session == Sessions::Keep,
            _ => true,
        }
    }

    /// Writes the client of this CONNECT down.
    fn recorded(&self, connect: &Connect<'_>, now: Instant) {
        let missing = self.births.borrow_mut().begins(connect.will.map(|will| will.topic), now);
        self.lacked_birth(missing);
        let fresh = MqttClient {
            id_hash: hash(connect.client_id),
            protocol: match connect.version {
                Version::V31 => MqttProtocol::V31,
                Version::V311 => MqttProtocol::V311,
                Version::V5 => MqttProtocol::V5,
            },
            keepalive_s: connect.keep_alive,
            clean: connect.clean,
            will: connect.will.map(|will| MqttWill {
                qos: will.qos as u8,
                retain: will.retain,
                topic_hash: hash(will.topic),
            }),
            filters: 0,
            connects: 1,
            packets: 0,
            pings: 0,
            ping_interval: Latency::default(),
            silence_max_ns: None,
            late: 0,
            missed: 0,
            birth_retained: None,
            births_missing: 0,
        };
        self.stats(|stats| match stats.clients.first_mut() {
            None => stats.clients.push(fresh),
            // One device: an id that it makes up anew each time is still its own.
            Some(client) => {
                client.connects += 1;
                client.id_hash = fresh.id_hash;
                client.protocol = fresh.protocol;
                client.keepalive_s = fresh.keepalive_s;
                client.clean = fresh.clean;
                client.will = fresh.will;
            }
        });
    }

    /// The target is watched from now on.
    pub(super) fn watches(&self, now: Instant) {
        self.watched_since.set(Some(now));
    }

    /// Brings the time that it was watched for up to date.
    pub(super) fn count_watched(&self, now: Instant) {
        if let Some(since) = self.watched_since.get() {
            self.stats(|stats| stats.watched_ns = nanos(now.saturating_duration_since(since)));
        }
    }

    /// A control packet has come from the target; `last` is the one before on this connection, with the host's deaf time
    /// until then, where nothing was wrong since.
    pub(super) fn heard(&self, connection: u64, last: Option<(Instant, Duration)>, ping: bool, now: Instant) {
        if let Some(target) = self.target.borrow_mut().as_mut() {
            target.heard = now;
        }
        self.trial(|trial| trial.heard(connection));
        self.sending.borrow_mut().sends(now);
        self.outgoing(|outgoing| outgoing.heard(now, self.deaf()));
        self.count_watched(now);
        let keepalive = self.keepalive();
        // A packet that waited in the socket while this host stood still says nothing of when it came.
        let last = last.filter(|_| now >= self.stalled.get() + STALL);
        let gap = last.map(|(at, _)| now - at);
        // Nor is a device called late for time in which this host, and perhaps the device on it, stood still.
        let silent = last.map(|(at, deaf)| (now - at).saturating_sub(self.deaf.get().saturating_sub(deaf)));
        self.stats(|stats| {
            let Some(client) = stats.clients.first_mut() else { return };
            client.packets += 1;
            client.pings += u64::from(ping);
            let (Some(gap), Some(silent)) = (gap, silent) else { return };
            client.silence_max_ns = client.silence_max_ns.max(Some(nanos(gap)));
            if !keepalive.is_zero() {
                client.missed += u64::from(silent > keepalive * 3 / 2);
                client.late += u64::from(silent > keepalive + LATE && silent <= keepalive * 3 / 2);
            }
            if ping {
                client.ping_interval.record(nanos(gap));
            }
        });
    }

    /// The target was silent for longer than a broker waits, and its stack is there.
    pub(super) fn missed(&self, silence: Duration) {
        self.stats(|stats| {
            let Some(client) = stats.clients.first_mut() else { return };
            client.missed += 1;
            client.silence_max_ns = client.silence_max_ns.max(Some(nanos(silence)));
        });
    }

    /// Filters were added or removed.
    pub(super) fn subscribe<'a>(&self, filters: impl Iterator<Item = (&'a str, Qos)>, now: Instant) {
        let mut beyond = 0;
        let mut first = None;
        if let Some(target) = self.target.borrow_mut().as_mut() {
            for (filter, qos) in filters {
                if target.filters.len() >= MOST_FILTERS && !target.filters.contains_key(filter) {
                    target.beyond += 1;
                } else {
                    target.filters.insert(filter.to_owned(), qos);
                }
            }
            beyond = target.beyond;
            first = std::mem::take(&mut target.first_subscribe).then(|| nanos(now - target.accepted));
        }
        self.stats(|stats| {
            // Each session subscribes to the same ones again.
            stats.beyond_limits = stats.beyond_limits.max(beyond);
            if let Some(ns) = first {
                stats.subscribe.record(ns);
            }
        });
        self.count_filters(now);
        self.grants();
    }

    pub(super) fn unsubscribe<'a>(&self, filters: impl Iterator<Item = &'a str>, now: Instant) {
        if let Some(target) = self.target.borrow_mut().as_mut() {
            for filter in filters {
                target.filters.remove(filter);
            }
        }
        self.count_filters(now);
        self.grants();
    }

    /// What is published to the device is what it is subscribed to, with the best quality of service that it takes.
    fn grants(&self) {
        self.outgoing(|outgoing| {
            let target = self.target.borrow();
            let filters = target.iter().flat_map(|target| &target.filters);
            let fitting = filters.filter(|(filter, _)| topic::matches(filter, outgoing.topic()));
            let best = fitting.map(|(_, qos)| *qos).max_by_key(|qos| *qos as u8);
            outgoing.subscribed(best);
        });
    }

    fn outgoing<T>(&self, tell: impl FnOnce(&mut Outgoing) -> T) -> Option<T> {
        self.outgoing.borrow_mut().as_mut().map(tell)
    }

    /// A fault that is made of messages begins; why it cannot be made, where that is so.
    pub(super) fn publishing_fault(&self, fault: MqttFault) -> Option<String> {
        let sizes = self.params.sizes.iter().filter_map(|size| u32::try_from(size.0).ok());
        self.outgoing(|outgoing| {
            let why = outgoing.prevented();
            if fault == MqttFault::Big && why.is_none() {
                outgoing.grow(sizes);
            }
            why
        })
        .flatten()
    }

    pub(super) fn is_grown(&self) -> bool {
        self.outgoing(|outgoing| outgoing.is_grown()).unwrap_or(true)
    }

    /// The fault `big` is over: into its row with what came of it.
    pub(super) fn grown(&self) {
        if let Some((big, why)) = self.outgoing(Outgoing::grown).flatten() {
            self.trial(|trial| trial.grown(big, why));
        }
    }

    /// What the target's connection is to send first.
    pub(super) fn publishing_begins(&self, present: bool, connect: &Connect<'_>, now: Instant) -> Vec<Send> {
        let properties = &connect.properties;
        let takes = Takes {
            at_once: properties.receive_maximum.map(std::num::NonZeroU16::get),
            packet: properties.maximum_packet_size.map(std::num::NonZeroU32::get),
            v5: connect.version == Version::V5,
        };
        let again = self.outgoing(|outgoing| outgoing.begins(present, takes, now)).unwrap_or_default();
        self.grants();
        self.count_published();
        again
    }

    /// What is to be sent on it now. `there` tells whether the device's stack has all that was sent.
    pub(super) fn to_publish(&self, now: Instant, there: impl FnOnce() -> bool) -> Vec<Send> {
        let sends = self.outgoing(|outgoing| outgoing.due(now, self.deaf(), there())).unwrap_or_default();
        if !sends.is_empty() {
            self.count_published();
        }
        sends
    }

    /// When that is to be asked again.
    pub(super) fn publishes_at(&self, now: Instant) -> Option<Instant> {
        self.outgoing(|outgoing| outgoing.wakes_at(now)).flatten()
    }

    /// The target has answered a message: what is to be sent next.
    pub(super) fn answered(&self, answer: Answer, now: Instant) -> Vec<Send> {
        let Some((next, took)) = self.outgoing(|outgoing| outgoing.answered(answer, now)) else {
            return Vec::new();
        };
        if let Some(ns) = took {
            self.stats(|stats| stats.acknowledgement.record(ns));
        }
        self.count_published();
        next
    }

    /// Brings the account of messages to the device up to date.
    pub(super) fn count_published(&self) {
        let account = |outgoing: &mut Outgoing| (outgoing.by_qos(Instant::now()), outgoing.not_published());
        if let Some((rows, why)) = self.outgoing(account) {
            self.stats(|stats| (stats.to_device, stats.not_published) = (rows, why));
        }
    }

    /// A session lacks filters after a fault; from now on it may only be late.
    pub(super) fn lacks(&self, lacks: Option<Lacks>) {
        self.lacks.replace(lacks);
    }

    /// Whether what was missing has come, late.
    fn look_for_late(&self, filters: &BTreeSet<String>, now: Instant) {
        let connected = self.connected();
        let late = self
            .lacks
            .borrow_mut()
            .take_if(|lacks| connected == Some(lacks.connection) && lacks.filters.is_subset(filters));
        let Some(late) = late else { return };
        let took = nanos(now.saturating_duration_since(late.at));
        self.stats(|stats| {
            if let Some(row) = stats.outages.iter_mut().find(|row| row.number == late.outage) {
                row.resubscribed_ns = Some(took);
            }
        });
    }

    fn count_filters(&self, now: Instant) {
        let filters = self.filters();
        self.look_for_late(&filters, now);
        self.trial(|trial| trial.subscribes(&filters, now));
        self.stats(|stats| {
            if let Some(client) = stats.clients.first_mut() {
                client.filters = u32::try_from(filters.len()).unwrap_or(u32::MAX);
            }
        });
    }

    /// A message of the target's has come; `told` is whether all that was sent to it on this connection has arrived.
    pub(super) fn message(&self, connection: u64, publish: &Publish<'_>, told: bool, now: Instant) {
        let sent_for = self.could_send(now);
        self.ledger.borrow_mut().received(connection, publish, told, sent_for);
        self.trial(|trial| trial.message(connection, now));
        let mut first = None;
        let birth = self.births.borrow_mut().message(publish.topic).then_some(publish.retain);
        if let Some(target) = self.target.borrow_mut().as_mut() {
            first = std::mem::take(&mut target.first_publish).then(|| nanos(now - target.accepted));
        }
        let by_qos = self.ledger.borrow().by_qos(self.settled(now));
        self.stats(|stats| {
            if let Some(ns) = first {
                stats.first_publish.record(ns);
            }
            if let (Some(client), Some(retain)) = (stats.clients.first_mut(), birth) {
                client.birth_retained = Some(retain);
            }
            stats.to_host = by_qos;
        });
    }

    /// Whether the target can send has changed: it can after `patience` where it is connected and there is no fault.
    fn can_send(&self, patience: Duration, now: Instant) {
        let can = self.phase().fault.is_none() && self.connected().is_some();
        self.sending.borrow_mut().can(can.then_some(now + patience), now, self.deaf());
    }

    /// For how long the target could send so far.
    pub(super) fn could_send(&self, now: Instant) -> Duration {
        self.sending.borrow().until(now, self.deaf())
    }

    /// What was missing by then won't come.
    fn settled(&self, now: Instant) -> Option<Duration> {
        self.could_send(now).checked_sub(self.for_messages())
    }

    /// How long a target that can send may take to send what it has kept.
    pub(super) fn for_messages(&self) -> Duration {
        self.params.settle.0.max(self.keepalive() * 3 / 2)
    }

    /// Brings the account of messages from the device up to date; whether numbers are missing that may be on their way.
    pub(super) fn waits_for_messages(&self, now: Instant) -> bool {
        let by_qos = self.ledger.borrow().by_qos(self.settled(now));
        let waits = by_qos.iter().any(|row| row.under_way > 0);
        self.stats(|stats| stats.to_host = by_qos);
        waits
    }

    /// No new messages go to the target.
    pub(super) fn ends_publishing(&self) {
        self.outgoing(Outgoing::ends);
    }

    /// Whether the target is there and has not acknowledged a message yet that it may acknowledge.
    pub(super) fn waits_for_acknowledgement(&self) -> bool {
        self.connected().is_some() && self.outgoing(|outgoing| outgoing.is_undecided()) == Some(true)
    }

    /// The host has acknowledged a message.
    pub(super) fn acknowledged(&self, id: u16) {
        self.ledger.borrow_mut().acknowledged(id);
    }

    fn lacked_birth(&self, missing: bool) {
        self.stats(|stats| {
            if let Some(client) = stats.clients.first_mut() {
                client.births_missing += u64::from(missing);
            }
        });
    }

    /// Something other than a PINGRESP went to the target.
    pub(super) fn answered_otherwise(&self, connection: u64) {
        self.trial(|trial| trial.answered_otherwise(connection));
    }

    /// Whether no fault lasts, and none is waited for to be over.
    fn is_calm(&self) -> bool {
        self.phase().fault.is_none() && self.trial.borrow().is_none()
    }

    /// A connection of the target's is over.
    pub(super) fn gone(&self, connection: u64, how: Gone, left: MqttLeft, now: Instant) {
        self.trial(|trial| trial.gone(connection, how == Gone::ByDevice, now));
        let mut gone = false;
        let mut target = self.target.borrow_mut();
        if let Some(target) = target.as_mut().filter(|target| target.connection == Some(connection)) {
            target.connection = None;
            self.is_away(target, left, now);
            self.outgoing(|outgoing| outgoing.gone(how));
            let missing = self.births.borrow_mut().ends(now);
            self.lacked_birth(missing);
            gone = true;
        }
        drop(target);
        if gone {
            self.can_send(Duration::ZERO, now);
            if self.ledger.borrow_mut().news() && self.phase().fault.is_none() {
                self.sending.borrow_mut().ends(self.for_messages() / SESSIONS);
            }
        }
    }

    /// What came on a connection of the target's was not MQTT as it has to be.
    pub(super) fn malformed(&self, what: String) {
        self.stats(|stats| {
            stats.malformed += 1;
            stats.malformed_last = Some(what);
        });
    }
}

/// A name that tells clients or topics apart and nothing else.
fn hash(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:08x}", hasher.finish() as u32)
}
