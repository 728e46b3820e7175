//! The course of the workload: a quiet beginning, the search for the limit, the watch, and letting go.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::watch::{Receiver, channel};
use tokio::task::JoinSet;

use super::client::{Client, Period};
use super::search::{Found, Silent, search};
use super::settings::Params;
use super::sockets::{self, Sockets};
use crate::context::Context;
use espstress_clock::nanos;
use espstress_event::Failure;
use espstress_stats::{HalfOpenStats, LimitReached, ReclaimEvidence, Stage};

/// Margin on the expected reclaim before a refusal counts against the device.
const MARGIN: Duration = Duration::from_secs(1);

/// How long the client is watched after it has been served again.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Longest wait for service after the host has let go.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// How long the first silence waits for that count, where the device gives one.
const BASELINE_LIMIT: Duration = Duration::from_secs(2);

/// Runs the workload.
pub(super) async fn run(context: Context, params: &Params) {
    let target = context.endpoints.http;
    let connector = context.connector(target, params.timeouts());
    let request: Rc<[u8]> =
        format!("HEAD {} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: espstress\r\n\r\n", params.path)
            .into_bytes()
            .into();
    {
        let mut recorder = context.recorder.borrow_mut();
        let stats = recorder.half_open();
        stats.expected_reclaim_ns = nanos(params.expect_reclaim.0);
        stats.full_after = Some(params.full_after);
    }
    let recorder = Rc::clone(&context.recorder);
    let client = Rc::new(Client::new(context.clone(), connector.clone(), Rc::clone(&request)));
    let sockets = Rc::new(Sockets::default());
    let mut aside = JoinSet::new();
    aside.spawn_local(Rc::clone(&client).run(params.client_interval.0));
    if let Some(telemetry) = context.endpoints.telemetry {
        aside.spawn_local(Rc::clone(&sockets).watch(telemetry, context.source, Rc::clone(&client)));
    }
    pause(&context, params.baseline.0).await;
    let give_up = Instant::now() + BASELINE_LIMIT;
    // A client that is never served is never at rest either.
    let wanted = || sockets.expects_more() && client.last_served().is_some();
    while wanted() && Instant::now() < give_up && !context.stop.is_stopping() {
        pause(&context, sockets::BASELINE_INTERVAL).await;
    }
    client.enter(Period::Filling);
    sockets.filling();
    // Until all is told apart, a refusal is the host's doing.
    client.provoked_until(Instant::now() + params.expect_reclaim.0 + MARGIN);
    let found = search(&context, &connector, params, &request).await;
    Watch { context, params, client: Rc::clone(&client), sockets }.watch(found).await;
    aside.abort_all();
    recorder.borrow_mut().unfinished(client.under_way());
}

async fn pause(context: &Context, length: Duration) {
    let mut stop = context.stop.clone();
    tokio::select! {
        biased;
        () = stop.stopped() => {}
        () = tokio::time::sleep(length) => {}
    }
}

struct Watch<'a> {
    context: Context,
    params: &'a Params,
    client: Rc<Client>,
    sockets: Rc<Sockets>,
}

impl Watch<'_> {
    async fn watch(&self, found: Found) {
        self.note_found(&found);
        let last = found.silent.iter().map(|silent| silent.since).max();
        if let (None, Some(last)) = (&found.denied, last) {
            let until = last + self.params.expect_reclaim.0 + MARGIN;
            self.client.provoked_until(until);
            self.client.enter(Period::During);
            self.sockets.all_silent();
            let reclaims = Rc::new(RefCell::new(vec![None; found.silent.len()]));
            let (release, released) = channel(Held::Silent);
            let mut tasks = JoinSet::new();
            for (place, silent) in found.silent.into_iter().enumerate() {
                tasks.spawn_local(hold(silent, place, Rc::clone(&reclaims), released.clone()));
            }
            self.until_reclaimed(last, until, &reclaims, &release).await;
            self.note_watched(last, &reclaims);
            self.note_exhaustion();
            let left = reclaims.borrow().iter().any(Option::is_none);
            let let_go = Instant::now();
            // What is served from here on is no longer served beside silent connections.
            self.client.enter(Period::After);
            release.send_replace(Held::LetGo);
            while tasks.join_next().await.is_some() {}
            if left && !self.context.stop.is_stopping() {
                self.after_release(let_go).await;
            }
        }
    }

    fn note_found(&self, found: &Found) {
        let mut recorder = self.context.recorder.borrow_mut();
        let stats = recorder.half_open();
        if let Some(reason) = &found.denied {
            forget_silenced(stats);
            stats.unavailable = Some(reason.clone());
            drop(recorder);
            self.context.notice(format!("nothing measured: {reason}"));
            return;
        }
        stats.limit = found.limit;
        // A device that served others after them had room: what these met was no want of it.
        // A limit of how often it may be asked is one that this search went to.
        let had_room =
            found.limit != LimitReached::Stopped && !stats.may_be_full() && stats.rate_limit().is_none();
        let met = if had_room { stats.failures.clone() } else { Vec::new() };
        if found.silent.is_empty() && found.limit != LimitReached::Stopped {
            let met = stats.failures.first().map_or("nothing", |failure| failure.met.name());
            let reason = format!("no connection could be held: the first one met {met}");
            stats.unavailable = Some(reason.clone());
            drop(recorder);
            self.context.notice(format!("nothing measured: {reason}"));
            return;
        }
        drop(recorder);
        let mut recorder = self.context.recorder.borrow_mut();
        for failure in met.into_iter().filter(|failure| !failure.met.is_host()) {
            recorder.attempt(failure.at_ns, self.context.clock.now_ns(), Err(failure.met));
        }
    }

    /// Watches until every socket is taken back and the client is served, or the time is over.
    async fn until_reclaimed(
        &self,
        last: Instant,
        expected: Instant,
        reclaims: &Reclaims,
        release: &tokio::sync::watch::Sender<Held>,
    ) {
        let mut stop = self.context.stop.clone();
        let end = last + self.params.watch_reclaim.0;
        let mut served_since: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if now >= expected && *release.borrow() == Held::Silent {
                // From here on the device should have its sockets back: they are no excuse any more.
                release.send_replace(Held::Forgotten);
            }
            self.by_packets(reclaims, now);
            self.by_telemetry(reclaims, now);
            self.note_watched(last, reclaims);
            let all = reclaims.borrow().iter().all(Option::is_some);
            let served = !self.client.was_refused() || self.client.served_again().is_some();
            if all && served {
                let since = *served_since.get_or_insert(now);
                if now >= since + AFTERWARDS {
                    return;
                }
            }
            if now >= end || stop.is_stopping() {
                return;
            }
            tokio::select! {
                biased;
                () = stop.stopped() => {}
                () = self.client.changed.notified() => {}
                () = tokio::time::sleep(sockets::INTERVAL / 2) => {}
            }
        }
    }

    /// Connections on which the packets show the device's FIN, which the silent host does not hear.
    fn by_packets(&self, reclaims: &Reclaims, now: Instant) {
        let clock = self.context.clock;
        let recorder = self.context.recorder.borrow();
        let Some(stats) = recorder.half_open_so_far() else { return };
        let mut reclaims = reclaims.borrow_mut();
        for (reclaim, connection) in reclaims.iter_mut().zip(&stats.connections) {
            let Some(fin) = self.context.book.device_ended(connection.port) else { continue };
            let since_start = u64::try_from(fin.saturating_sub(clock.start_unix_ns())).unwrap_or(0);
            if reclaim.is_none() && since_start >= connection.silent_ns {
                let ago = Duration::from_nanos(clock.at_ns(now).saturating_sub(since_start));
                *reclaim = Some((now.checked_sub(ago).unwrap_or(now), ReclaimEvidence::Fin));
            }
        }
    }

    /// Sockets that the device no longer counts, beyond those whose reset was seen: the served connections that
    /// have been silent for longest.
    fn by_telemetry(&self, reclaims: &Reclaims, now: Instant) {
        let Some(in_use) = self.sockets.beyond_before() else { return };
        let recorder = self.context.recorder.borrow();
        let Some(stats) = recorder.half_open_so_far() else { return };
        let mut reclaims = reclaims.borrow_mut();
        let given_back = stats.served.saturating_sub(in_use) as usize;
        let mut known = reclaims.iter().filter(|reclaim| reclaim.is_some()).count();
        for (reclaim, connection) in reclaims.iter_mut().zip(&stats.connections) {
            if known >= given_back {
                break;
            }
            if reclaim.is_none() && connection.stage == Stage::Served {
                *reclaim = Some((now, ReclaimEvidence::Telemetry));
                known += 1;
            }
        }
    }

    /// What has become of the silent connections so far, and of the client that they keep out.
    fn note_watched(&self, last: Instant, reclaims: &Reclaims) {
        let clock = self.context.clock;
        let reclaims = reclaims.borrow();
        let mut recorder = self.context.recorder.borrow_mut();
        let stats = recorder.half_open();
        stats.watched_ns = nanos(last.elapsed());
        if self.client.was_refused() {
            stats.exhausted = Some(true);
        }
        stats.served_again_ns =
            self.client.served_again().map(|at| nanos(at.saturating_duration_since(last)));
        for (connection, reclaim) in stats.connections.iter_mut().zip(reclaims.iter()) {
            let Some((at, evidence)) = reclaim.filter(|_| connection.reclaimed_after_ns.is_none()) else {
                continue;
            };
            let after = clock.at_ns(at).saturating_sub(connection.silent_ns);
            connection.reclaimed_after_ns = Some(after);
            connection.evidence = Some(evidence);
            stats.never_reclaimed = stats.never_reclaimed.saturating_sub(1);
            stats.reclaim.record(after);
            if !stats.evidence.contains(&evidence) {
                stats.evidence.push(evidence);
            }
        }
        stats.sockets_used = self.sockets.used();
    }

    /// The watch is over: a client that asked while all were silent and was never refused was served throughout.
    fn note_exhaustion(&self) {
        if !self.client.was_refused() {
            let mut recorder = self.context.recorder.borrow_mut();
            let stats = recorder.half_open();
            stats.exhausted = (stats.during.attempts > 0).then_some(false);
        }
    }

    async fn after_release(&self, let_go: Instant) {
        let mut stop = self.context.stop.clone();
        let deadline = let_go + RELEASE_LIMIT;
        while Instant::now() < deadline && !stop.is_stopping() {
            if let Some(at) = self.client.last_served().filter(|at| *at > let_go) {
                let after = nanos(at - let_go);
                self.context.recorder.borrow_mut().half_open().served_after_release_ns = Some(after);
                return;
            }
            tokio::select! {
                biased;
                () = stop.stopped() => {}
                () = self.client.changed.notified() => {}
                () = tokio::time::sleep_until(deadline.into()) => {}
            }
        }
    }
}

/// Where the host may not fall silent nothing was measured, also where a connection or two were silent before.
fn forget_silenced(stats: &mut HalfOpenStats) {
    stats.connections.clear();
    (stats.served, stats.unserved, stats.never_reclaimed) = (0, 0, 0);
    stats.silent_since_ns = None;
}

/// Place by place, when the device gave a connection up and how that is known.
type Reclaims = Rc<RefCell<Vec<Option<(Instant, ReclaimEvidence)>>>>;

/// What is done with the silent connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// They count as connections of the host's.
    Silent,
    /// They are silent still, and the device should long have noticed.
    Forgotten,
    /// They end with a RST.
    LetGo,
}

/// Waits for the device's RST on a silent connection, and lets it go when told to.
async fn hold(silent: Silent, place: usize, reclaims: Reclaims, mut held: Receiver<Held>) {
    let Silent { mut connection, held: counted, mute, since, .. } = silent;
    let mut counted = Some(counted);
    let mut scratch = [0; 64];
    loop {
        tokio::select! {
            biased;
            changed = held.changed() => {
                if changed.is_err() || *held.borrow_and_update() == Held::LetGo {
                    break;
                }
                counted = None;
            }
            // What had come in before the silence is read and forgotten.
            read = connection.read(&mut scratch, Duration::from_secs(3_600)) => match read {
                Err(Failure::ReadReset) => {
                    if let Some(reclaim) = reclaims.borrow_mut().get_mut(place) {
                        *reclaim = Some((Instant::now(), ReclaimEvidence::Reset));
                    }
                    // Another connection may have the port next.
                    mute.end(connection.port());
                    return;
                }
                Ok(1..) | Err(Failure::ReadTimeout) => {}
                Ok(0) => {
                    // Its FIN came on the heels of the answer, before the silence.
                    if let Some(reclaim) = reclaims.borrow_mut().get_mut(place) {
                        *reclaim = Some((since, ReclaimEvidence::Fin));
                    }
                    break;
                }
                Err(_) => break,
            },
        }
    }
    drop(counted);
    // The device gets its socket back at once.
    mute.end(connection.port());
    connection.reset_on_close();
}
