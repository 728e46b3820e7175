//! The host's side of the line protocol, for devices that dial in with their number.
//!
//! The first line is the number; an empty line is a keep-alive, sent at two thirds of the time-out; data is a JSON
//! array each interval, each way. Nothing is acknowledged, but a device whose data tells how many lines it has sent
//! and received, as `[sent,received,...]`, lets the ledger be kept.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use espstress_device::line::{self, KEEP_ALIVE, MAX_LINE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::join_all;
use super::settings::Params;
use crate::clock::nanos;
use crate::event::Failure;
use crate::stats::{DialledDevice, MessageLedger, OutageOrigin, OutageRow};
use crate::workload::context::{Context, Stop};

/// Devices at once: the protocol's numbers are 1 to 4.
const MOST_DEVICES: u8 = 4;

/// Longest wait for the line with the number.
const NUMBER_LIMIT: Duration = Duration::from_secs(5);

/// Dialled connections at once, those without a number included.
const MOST_CONNECTIONS: usize = 16;

/// What all connections share.
struct Table {
    context: Context,
    timeout: Duration,
    data_interval: Duration,
    devices: RefCell<BTreeMap<u8, Device>>,
    outages: RefCell<u64>,
}

/// A device, over all its connections.
struct Device {
    stats: DialledDevice,
    /// Whether a connection of it stands.
    connected: bool,
    heard: Instant,
    /// An outage that has not ended yet.
    outage: Option<OutageRow>,
}

/// Waits for devices until the time is over.
pub(super) async fn serve(context: &Context, params: &Params, port: u16) {
    let address = SocketAddr::new(context.source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)), port);
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            let reason = format!("cannot listen on {address}: {error}");
            context.notice(reason.clone());
            context.recorder.borrow_mut().outage().unavailable = Some(reason);
            return;
        }
    };
    let bound = listener.local_addr().unwrap_or(address);
    context.notice(format!("waiting for devices to dial {bound}"));
    let schedule = params.schedule(super::By::None);
    let deadline = schedule.duration.and_then(|length| Instant::now().checked_add(length));
    let table = Rc::new(Table {
        context: context.clone(),
        timeout: params.peer_timeout.0,
        data_interval: params.data_interval.0,
        devices: RefCell::default(),
        outages: RefCell::new(0),
    });
    let mut stop = context.stop.clone();
    let mut tasks = JoinSet::new();
    let ends = crate::workload::context::StopSource::default();
    loop {
        let until = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
        tokio::select! {
            biased;
            () = stop.stopped() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if tasks.len() < MOST_CONNECTIONS => {
                    let table = Rc::clone(&table);
                    let stop = ends.listener();
                    tasks.spawn_local(async move { table.greet(stream, stop).await });
                }
                Ok(_) => context.recorder.borrow_mut().outage().turned_away += 1,
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
        if schedule.cycles.is_some_and(|most| *table.outages.borrow() >= most) {
            break;
        }
    }
    ends.stop();
    join_all(&mut tasks).await;
    table.finish();
}

impl Table {
    /// Takes the number and then the device.
    async fn greet(self: Rc<Self>, stream: TcpStream, mut stop: Stop) {
        let mut talk = Talk::new(stream);
        let number = tokio::select! {
            biased;
            () = stop.stopped() => return,
            number = tokio::time::timeout(NUMBER_LIMIT, talk.number()) => number.ok().flatten(),
        };
        let Some(id) = number.filter(|id| (1..=MOST_DEVICES).contains(id)) else {
            self.context.recorder.borrow_mut().outage().turned_away += 1;
            return;
        };
        if !self.enter(id) {
            self.context.recorder.borrow_mut().outage().turned_away += 1;
            return;
        }
        let held = self.context.hold_one();
        let left = talk.follow(&self, id, stop).await;
        drop(held);
        self.leave(id, &talk, left);
    }

    /// Notes a new connection; `false` when one of the same number stands.
    fn enter(&self, id: u8) -> bool {
        let now = Instant::now();
        let mut devices = self.devices.borrow_mut();
        let device = devices.entry(id).or_insert_with(|| Device {
            stats: DialledDevice { id, ..DialledDevice::default() },
            connected: false,
            heard: now,
            outage: None,
        });
        if device.connected {
            return false;
        }
        let returned = device.stats.connections > 0;
        device.connected = true;
        device.stats.connections += 1;
        let mut recorder = self.context.recorder.borrow_mut();
        let at_ns = self.context.clock.at_ns(now);
        recorder.attempt(at_ns, at_ns, Ok(()));
        if returned {
            recorder.reconnected();
            recorder.outage().fates.reconnected += 1;
        }
        drop(recorder);
        if let Some(mut row) = device.outage.take() {
            let at = self.context.clock.at_ns(now);
            (row.seen_end_ns, row.recovered_ns) = (Some(at), Some(at));
            row.first_data_ns = Some(at);
            self.context.recorder.borrow_mut().outage().ended(row);
        }
        device.heard = now;
        drop(devices);
        self.show();
        true
    }

    /// Notes the end of a connection.
    fn leave(&self, id: u8, talk: &Talk, left: Left) {
        let now = Instant::now();
        let mut devices = self.devices.borrow_mut();
        let Some(device) = devices.get_mut(&id) else { return };
        device.connected = false;
        let (to_device, to_host) = talk.close(left);
        device.stats.to_device.merge(&to_device);
        device.stats.to_host.merge(&to_host);
        let clock = self.context.clock;
        let mut recorder = self.context.recorder.borrow_mut();
        let stats = recorder.outage();
        stats.to_device.merge(&to_device);
        stats.to_host.merge(&to_host);
        match left {
            Left::Stopped => {}
            Left::Closed => {
                device.stats.closed_by_device += 1;
                stats.fates.died_outside += 1;
            }
            Left::Silent | Left::Failed(_) => {
                device.stats.outages += 1;
                stats.fates.given_up_by_silence += u64::from(left == Left::Silent);
                *self.outages.borrow_mut() += 1;
                let mut row = OutageRow::new(*self.outages.borrow(), OutageOrigin::Natural);
                row.device = Some(id);
                row.seen_start_ns = Some(clock.at_ns(device.heard));
                row.host_noticed_ns = Some(clock.at_ns(now));
                row.died = 1;
                (row.to_device, row.to_host) = (to_device, to_host);
                device.outage = Some(row);
            }
        }
        if let Left::Failed(failure) = left {
            recorder.attempt(clock.at_ns(device.heard), clock.at_ns(now), Err(failure));
        }
        drop(recorder);
        drop(devices);
        self.show();
    }

    fn with(&self, id: u8, change: impl FnOnce(&mut Device)) {
        if let Some(device) = self.devices.borrow_mut().get_mut(&id) {
            change(device);
        }
    }

    /// The devices as they are now, into the results.
    fn show(&self) {
        let devices = self.devices.borrow();
        let mut recorder = self.context.recorder.borrow_mut();
        recorder.outage().dialled = devices.values().map(|device| device.stats.clone()).collect();
    }

    /// Outages that nobody came back from.
    fn finish(&self) {
        for device in self.devices.borrow_mut().values_mut() {
            if let Some(row) = device.outage.take() {
                self.context.recorder.borrow_mut().outage().ended(row);
            }
        }
        self.show();
    }
}

/// Why a connection was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    Stopped,
    Closed,
    Silent,
    Failed(Failure),
}

/// One dialled connection.
struct Talk {
    stream: TcpStream,
    have: Vec<u8>,
    /// Lines of data to the device, from the device, and what its own data last said of both.
    sent: u64,
    received: u64,
    device_sent: Option<u64>,
    device_received: Option<u64>,
    repeated: u64,
}

impl Talk {
    fn new(stream: TcpStream) -> Self {
        // Lines are short and on their own: waiting to join them would only look like a slow link.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            have: Vec::with_capacity(1_024),
            sent: 0,
            received: 0,
            device_sent: None,
            device_received: None,
            repeated: 0,
        }
    }

    /// The line with the number.
    async fn number(&mut self) -> Option<u8> {
        loop {
            if let Some(line) = self.line() {
                match line::classify(&line) {
                    line::Line::Id(id) => return Some(id),
                    line::Line::KeepAlive => continue,
                    line::Line::Object | line::Line::Data => return None,
                }
            }
            if self.have.len() > 64 || self.stream.read_buf(&mut self.have).await.ok()? == 0 {
                return None;
            }
        }
    }

    /// The next whole line, without its end.
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.have.iter().position(|byte| *byte == b'\n')?;
        let mut line: Vec<u8> = self.have.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// Keeps the protocol until the connection ends.
    async fn follow(&mut self, table: &Table, id: u8, mut stop: Stop) -> Left {
        // Two thirds of the time-out, as the other side.
        let keep_alive = table.timeout * 2 / 3;
        let mut heard = Instant::now();
        let mut said = heard;
        let mut next_data = heard + table.data_interval;
        table.with(id, |device| device.heard = heard);
        loop {
            while let Some(line) = self.line() {
                self.take(&line, table, id);
            }
            if self.have.len() > MAX_LINE {
                return Left::Failed(Failure::BadResponse);
            }
            let next = next_data.min(said + keep_alive).min(heard + table.timeout);
            tokio::select! {
                biased;
                () = stop.stopped() => return Left::Stopped,
                read = self.stream.read_buf(&mut self.have) => match read {
                    Ok(0) => return Left::Closed,
                    Ok(n) => {
                        let now = Instant::now();
                        let silence = nanos(now - heard);
                        heard = now;
                        table.with(id, |device| {
                            device.heard = now;
                            device.stats.longest_silence_ns = device.stats.longest_silence_ns.max(silence);
                        });
                        table.context.recorder.borrow_mut().bytes(0, n as u64);
                    }
                    Err(_) => return Left::Failed(Failure::ReadReset),
                },
                () = tokio::time::sleep_until(next.into()) => {
                    let now = Instant::now();
                    if now >= heard + table.timeout {
                        return Left::Silent;
                    }
                    let line = if now >= next_data {
                        next_data = now + table.data_interval;
                        self.sent += 1;
                        format!("[{},{}]\n", self.sent, self.received).into_bytes()
                    } else if now >= said + keep_alive {
                        table.with(id, |device| device.stats.keep_alives_sent += 1);
                        KEEP_ALIVE.to_vec()
                    } else {
                        continue;
                    };
                    said = now;
                    let write = tokio::time::timeout(table.timeout, self.stream.write_all(&line));
                    match write.await {
                        Ok(Ok(())) => table.context.recorder.borrow_mut().bytes(line.len() as u64, 0),
                        Ok(Err(_)) => return Left::Failed(Failure::WriteReset),
                        Err(_) => return Left::Silent,
                    }
                }
            }
        }
    }

    fn take(&mut self, line: &[u8], table: &Table, id: u8) {
        match line::classify(line) {
            line::Line::KeepAlive => table.with(id, |device| device.stats.keep_alives_received += 1),
            line::Line::Id(_) => {}
            line::Line::Object | line::Line::Data => {
                self.received += 1;
                self.read_counts(line);
            }
        }
    }

    /// `[sent,received,...]`: the device's own counts, for a device that numbers its lines from 1.
    fn read_counts(&mut self, line: &[u8]) {
        let values: Option<Vec<serde_json::Value>> = serde_json::from_slice(line).ok();
        let count =
            |place: usize| values.as_ref().and_then(|v| v.get(place)).and_then(serde_json::Value::as_u64);
        let (Some(sent), Some(received)) = (count(0), count(1)) else { return };
        match self.device_sent {
            // The first line decides whether these numbers are counts: this connection's first line is number 1.
            None if sent != self.received || received > self.sent => return,
            Some(before) if sent <= before => self.repeated += 1,
            None | Some(_) => {}
        }
        self.device_sent = Some(self.device_sent.unwrap_or(0).max(sent));
        self.device_received = Some(received.min(self.sent));
    }

    /// The ledgers of this connection, to the device and from it.
    fn close(&self, left: Left) -> (MessageLedger, MessageLedger) {
        let acknowledged = self.device_received.unwrap_or(0);
        let open = self.sent - acknowledged;
        let (in_flight, unknown) = if left == Left::Stopped { (open, 0) } else { (0, open) };
        let to_device =
            MessageLedger { sent: self.sent, acknowledged, in_flight, unknown, ..MessageLedger::default() };
        let arrived = self.received - self.repeated;
        let sent = self.device_sent.unwrap_or(arrived).max(arrived);
        let to_host = MessageLedger {
            sent,
            acknowledged: arrived,
            lost: sent - arrived,
            duplicates: self.repeated,
            ..MessageLedger::default()
        };
        (to_device, to_host)
    }
}
