//! Takes connections, and makes one fault after the other while a device is there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::broker::Broker;
use super::connection::Connection;
use super::first::First;
use super::settings::Params;
use super::trial::{Limits, Trial};
use crate::door::Door;
use crate::half_open::By;
use crate::outage::{OutageMaker, join_all};
use espstress_clock::nanos;
use espstress_connection::{SilenceError, silence, unsilence};
use espstress_event::{MqttFault, MqttOutage};

/// Connections at once, those of strangers included.
const MOST_CONNECTIONS: usize = 16;
/// Between two looks at what goes on.
const LOOK: Duration = Duration::from_millis(20);
/// How long connections that stood through a mute broker are read before further ones are accepted.
const OLDER_FIRST: Duration = Duration::from_millis(50);
/// How long connections may take to end with the run.
const ENDING: Duration = Duration::from_secs(1);
/// The longest that growing messages may take.
const MOST_GROWING: Duration = Duration::from_secs(300);
/// How long after a cut of the link a device may end a connection because of it.
const GIVEN_UP: Duration = Duration::from_secs(120);
/// How long a restarted broker is away.
const RESTART: Duration = Duration::from_secs(1);

/// The listening port and every socket behind it.
struct Sockets {
    bound: SocketAddr,
    /// `None` while nobody listens.
    listener: RefCell<Option<Rc<TcpListener>>>,
    connections: RefCell<BTreeMap<u64, Weak<TcpStream>>>,
}

/// Serves until the time is over or every fault is made; why nothing came of it, where that is so.
pub(super) async fn run(
    broker: &Rc<Broker>,
    listener: TcpListener,
    bound: SocketAddr,
    first: Option<First>,
) -> Option<String> {
    let sockets = Rc::new(Sockets {
        bound,
        listener: RefCell::new(Some(Rc::new(listener))),
        connections: RefCell::default(),
    });
    let (mut accepting, mut aside) = (JoinSet::new(), JoinSet::new());
    accepting.spawn_local(accept(Rc::clone(broker), Rc::clone(&sockets), first));
    aside.spawn_local(hear_stalls(Rc::clone(broker)));
    let why = direct(broker, &sockets).await;
    if let Some(listener) = sockets.listener.take() {
        broker.context.kept_ports.borrow_mut().keep(&listener, bound);
    }
    broker.phase.send_modify(|phase| phase.over = true);
    broker.count_published();
    // Connections that still wait for something are dropped.
    let _ = tokio::time::timeout(ENDING, join_all(&mut accepting)).await;
    why
}

/// Time in which this host stood still is no silence of the device's.
async fn hear_stalls(broker: Rc<Broker>) {
    let mut due = Instant::now();
    loop {
        due = Instant::now().max(due) + LOOK;
        broker.wakes(due);
        tokio::time::sleep_until(due.into()).await;
        broker.look_for_stall(Instant::now());
    }
}

/// Takes connections while somebody listens.
async fn accept(broker: Rc<Broker>, sockets: Rc<Sockets>, first: Option<First>) {
    let mut tasks = JoinSet::new();
    let mut phases = broker.phase.subscribe();
    let mut number = 0;
    let mut held = false;
    let first = first.and_then(|First { stream, peer }| Some((TcpStream::from_std(stream).ok()?, peer)));
    if let Some((stream, peer)) = first {
        let stream = sockets.opened(number, stream);
        tasks.spawn_local(Connection::new(Rc::clone(&broker), stream, peer, number).run());
    }
    loop {
        let phase = *phases.borrow_and_update();
        // What stands is older than what waits in the backlog, and is read before it.
        if std::mem::replace(&mut held, phase.holds()) && !phase.holds() {
            tokio::time::sleep(OLDER_FIRST).await;
        }
        let listener = sockets.listener.borrow().clone().filter(|_| !phase.holds());
        let accepting = async {
            match listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = phases.changed() => if changed.is_err() { break },
            accepted = accepting => match accepted {
                Ok((stream, peer)) if tasks.len() < MOST_CONNECTIONS => {
                    number += 1;
                    let stream = sockets.opened(number, stream);
                    tasks.spawn_local(Connection::new(Rc::clone(&broker), stream, peer, number).run());
                }
                Ok(_) => broker.turn_away("too many connections at once".into()),
                // Out of descriptors: the next attempt must not spin.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            }
        }
        if broker.phase().over {
            break;
        }
    }
    join_all(&mut tasks).await;
}

/// Waits, makes faults, and waits for what follows.
async fn direct(broker: &Rc<Broker>, sockets: &Sockets) -> Option<String> {
    let params = &broker.params;
    let wait = Instant::now() + params.wait.0;
    if !until(broker, Some(wait), |now| broker.ever_connected() || now >= wait).await {
        return None;
    }
    if !broker.ever_connected() {
        let mut why = nobody(params, sockets.bound);
        broker.stats(|stats| {
            if let Some(last) = &stats.turned_away_last {
                why.push_str(&format!("; {} turned away, the last one: {last}", stats.turned_away));
            }
        });
        return Some(why);
    }
    let start = Instant::now();
    broker.watches(start);
    let why = faults(broker, sockets, start).await;
    broker.count_watched(Instant::now());
    broker.count_absence(Instant::now());
    broker.waits_for_messages(Instant::now());
    why
}

/// Makes the faults, or watches a device without any.
async fn faults(broker: &Rc<Broker>, sockets: &Sockets, start: Instant) -> Option<String> {
    let params = &broker.params;
    let end = params.length(broker.keepalive()).map(|length| start + length);
    let faults = params.faults();
    let mut random = SplitMix64::seed_from_u64(broker.context.seed);
    let (mut made, mut next) = (0, start);
    let total = params.cycles.saturating_mul(faults.len() as u64);
    while !faults.is_empty() && made < total {
        let fault = faults.get(usize::try_from(made).unwrap_or(0) % faults.len()).copied()?;
        if !settled(broker, end, next).await {
            break;
        }
        made += 1;
        next = Instant::now() + params.every(broker.keepalive());
        if let Err(error) = trial(broker, sockets, fault, made, &mut random, end).await {
            return Some(error);
        }
    }
    if faults.is_empty() || (params.duration.is_some() && made >= total) {
        until(broker, end, |_| false).await;
    }
    // What is missing at the end may be on its way, above all what the device has kept through the last fault. So may
    // acknowledgements.
    broker.ends_publishing();
    let (ended, enough) = (Instant::now(), broker.for_messages());
    let could_send = broker.could_send(ended);
    // A loss in the last fault shows only by a number of after it.
    let least = if params.sequence.is_some() && made > 0 { enough } else { Duration::ZERO };
    until(broker, Some(ended + enough * 3), |now| {
        // Less than before where a stall of this host is noticed only now.
        let sent_for = broker.could_send(now).saturating_sub(could_send);
        let missing = broker.waits_for_messages(now) || broker.waits_for_acknowledgement();
        let waits = missing && sent_for < enough * 2;
        !waits && sent_for >= least
    })
    .await;
    None
}

/// Looks again and again until it is so; `false` where the run is over before.
async fn until(broker: &Broker, end: Option<Instant>, mut so: impl FnMut(Instant) -> bool) -> bool {
    let mut stop = broker.context.stop.clone();
    loop {
        let now = Instant::now();
        if so(now) {
            return true;
        }
        if end.is_some_and(|end| now >= end) || stop.is_stopping() {
            return false;
        }
        tokio::select! {
            () = stop.stopped() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Waits until the device has been there for a while, and until it is time.
async fn settled(broker: &Broker, end: Option<Instant>, next: Instant) -> bool {
    let settle = broker.params.settle.0;
    let limit = broker.params.recover_limit(broker.keepalive()).max(settle * 3) + settle;
    // A device that does not stay long enough gets no fault more: what that means, its last one shows.
    let give_up = next.max(Instant::now()) + limit;
    let ready = |now: Instant| now >= next && broker.accepted_at().is_some_and(|at| now >= at + settle);
    until(broker, end, |now| ready(now) || now >= give_up).await && ready(Instant::now())
}

/// One fault and what follows.
async fn trial(
    broker: &Broker,
    sockets: &Sockets,
    fault: MqttFault,
    number: u64,
    random: &mut SplitMix64,
    end: Option<Instant>,
) -> Result<(), String> {
    let params = &broker.params;
    let keepalive = broker.keepalive();
    let limits = Limits {
        recover: params.recover_limit(keepalive),
        subscribe: params.subscribe_grace.0,
        data: broker.for_messages(),
    };
    let range = params.outage(keepalive);
    let spread = nanos(range.most - range.least);
    let length = match fault {
        // A restart is short unless it is told otherwise.
        MqttFault::SessionLost | MqttFault::SessionKept if params.outage.is_none() => RESTART,
        _ => range.least + Duration::from_nanos(random.next_u64().checked_rem(spread).unwrap_or(0)),
    };
    let seconds = u16::try_from(keepalive.as_secs()).unwrap_or(u16::MAX);
    let mut row = MqttOutage::new(number, fault, 0, seconds);
    row.delay_ns = (fault == MqttFault::Slow).then(|| nanos(params.delay.0));
    let clock = broker.context.clock;
    let cut = if fault == MqttFault::Silent { sockets.fall_silent(broker)? } else { None };
    row.link_cut = cut.is_some();
    if matches!(fault, MqttFault::Silent | MqttFault::Frozen) {
        sockets.cut_off(broker, length);
    }
    let start = Instant::now();
    *broker.trial.borrow_mut() = Some(Trial::new(row, limits, start, broker.before()));
    let refuses = super::phase::Phase { fault: Some(fault), ..Default::default() }.refuses();
    if refuses {
        sockets.shut(broker).await;
    }
    broker.enter(Some(fault), cut.is_some());
    if fault.publishes() {
        let why = broker.publishing_fault(fault);
        if let Some(trial) = broker.trial.borrow_mut().as_mut() {
            trial.not_judged(why);
        }
    }
    // Sizes take as long as the device takes for them.
    let length = if fault == MqttFault::Big { length.max(MOST_GROWING) } else { length };
    let grown = || fault == MqttFault::Big && broker.is_grown();
    let whole = match &cut {
        Some(link) => cut_link(broker, &**link, length).await?,
        None => until(broker, None, |now| now >= start + length || grown()).await,
    };
    broker.grown();
    if fault == MqttFault::Silent && cut.is_none() {
        sockets.hear();
    }
    if refuses {
        sockets.listen_again(broker).await;
    }
    if whole
        && cut.is_none()
        && let Some(trial) = broker.trial.borrow_mut().as_mut()
    {
        trial.ends(Instant::now());
    }
    if fault == MqttFault::Silent {
        broker.link_is_back(length);
    } else {
        broker.enter(None, false);
    }
    let over = end.map(|end| end.max(Instant::now() + limits.recover));
    until(broker, over, |now| {
        let filters = broker.filters();
        broker.trial.borrow_mut().as_mut().is_none_or(|trial| trial.is_done(&filters, now))
    })
    .await;
    if let Some(trial) = broker.trial.borrow_mut().take() {
        let lacks = trial.lacks();
        let row = trial.finish(&clock);
        broker.stats(|stats| stats.ended(row));
        broker.lacks(lacks);
    }
    Ok(())
}

/// Cuts the link for so long; whether it was that long.
async fn cut_link(broker: &Broker, link: &dyn OutageMaker, length: Duration) -> Result<bool, String> {
    let made = link.make(length, broker.context.stop.clone()).await;
    let made = made.map_err(|error| {
        broker.trial.borrow_mut().take();
        broker.enter(None, false);
        error.to_string()
    })?;
    let whole = until(broker, None, |now| now >= made.end).await;
    if whole && let Some(trial) = broker.trial.borrow_mut().as_mut() {
        trial.was_cut(made.start, made.end);
    }
    Ok(whole)
}

impl Sockets {
    /// Nothing passes from now on, by a filter on each socket; or the link that is to be cut for it, with `--by link` and
    /// where no filter is permitted.
    fn fall_silent(&self, broker: &Broker) -> Result<Option<Rc<dyn OutageMaker>>, String> {
        let filter = || self.silence().map(|()| None).map_err(|error| error.to_string());
        match (broker.params.by, broker.context.outage_maker.clone()) {
            (Some(By::Link), None) => {
                Err("--by link needs a target whose link can be cut: `twin`".to_owned())
            }
            (Some(By::Link), link) => Ok(link),
            (Some(By::Filter), _) | (None, None) => filter(),
            (None, Some(link)) => filter().or(Ok(Some(link))),
        }
    }

    /// Keeps hold of a connection for as long as it is open.
    fn opened(&self, number: u64, stream: TcpStream) -> Rc<TcpStream> {
        let stream = Rc::new(stream);
        // Answers are small: none waits for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let mut open = self.connections.borrow_mut();
        open.retain(|_, stream| stream.strong_count() > 0);
        open.insert(number, Rc::downgrade(&stream));
        stream
    }

    /// Every connection is about to lose its other end: what becomes of it is the fault's doing. A device that gives it up
    /// meanwhile answers what comes afterwards with a RST, as it must.
    fn cut_off(&self, broker: &Broker, length: Duration) {
        let clock = broker.context.clock;
        let ns = |of: u64| i64::try_from(of).unwrap_or(i64::MAX);
        let from = clock.start_unix_ns().saturating_add(ns(clock.now_ns()));
        let to = from.saturating_add(ns(nanos(length + GIVEN_UP)));
        for stream in self.connections.borrow().values().filter_map(Weak::upgrade) {
            if let Ok(peer) = stream.peer_addr() {
                broker.context.book.cuts_off(self.bound.port(), peer.port(), from, to);
            }
        }
    }

    /// Nothing leaves this host from now on. All or none.
    fn silence(&self) -> Result<(), SilenceError> {
        let all = || {
            if let Some(listener) = self.listener.borrow().as_deref() {
                silence(listener)?;
            }
            for stream in self.connections.borrow().values().filter_map(Weak::upgrade) {
                silence(&*stream)?;
            }
            Ok(())
        };
        all().inspect_err(|_| self.hear())
    }

    fn hear(&self) {
        // A socket without a filter has none to be taken off.
        if let Some(listener) = self.listener.borrow().as_deref() {
            let _ = unsilence(listener);
        }
        for stream in self.connections.borrow().values().filter_map(Weak::upgrade) {
            let _ = unsilence(&*stream);
        }
    }

    /// Nobody listens any more, before any connection is ended: a device that dials again at once is refused.
    async fn shut(&self, broker: &Broker) {
        let listener = self.listener.take();
        broker.phase.send_modify(|_| {});
        while listener.as_ref().is_some_and(|listener| Rc::strong_count(listener) > 1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Listens again where it listened before; another program may have taken the port for a moment.
    async fn listen_again(&self, broker: &Broker) {
        let mut told = false;
        loop {
            let door = Door::take(Some(self.bound.ip()), self.bound.ip(), self.bound.port());
            match door.and_then(Door::open) {
                Ok((listener, _)) => {
                    *self.listener.borrow_mut() = Some(Rc::new(listener));
                    return;
                }
                Err(error) if !told => {
                    broker.context.notice(error.to_string());
                    told = true;
                }
                Err(_) => {}
            }
            if broker.context.stop.is_stopping() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Why there was nothing to test, and what to look at.
pub(super) fn nobody(params: &Params, bound: SocketAddr) -> String {
    format!(
        "no MQTT client connected to port {} within {}: check the broker's address in the device's settings, and this \
         machine's firewall",
        bound.port(),
        params.wait
    )
}
