//! Asks the device's telemetry service whether it is there: now and then while all is well, often while an outage
//! lasts. Datagrams know no back-off, so that the end of an outage is seen when it comes, and not when TCP next
//! tries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use espstress_device::telemetry::{MAX_LEN, REQUEST};
use tokio::net::UdpSocket;

use super::listen::Table;
use super::shared::Shared;
use espstress_event::{DeviceSample, Telemetry};
use espstress_stats::{DeviceSeries, Reading};

/// Time between questions while an outage lasts.
pub(super) const OFTEN: Duration = Duration::from_millis(20);

/// Time between questions otherwise.
const NOW_AND_THEN: Duration = Duration::from_secs(1);

/// Whether an answer shows that the connections' link is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The link that answers is the one that is cut.
    Link,
    /// Only the connections are cut, not the device.
    DeviceOnly,
}

/// Asks and listens until it is dropped.
pub(super) async fn watch(shared: Rc<Shared>, target: SocketAddr, meaning: Meaning) {
    let Some(socket) = socket_to(target, shared.context.source).await else { return };
    let mut buffer = vec![0; MAX_LEN + 1];
    let mut next = Instant::now();
    let mut device = DeviceSeries::default();
    loop {
        let window = shared.hearing.borrow().window().is_some();
        if window {
            next = next.min(Instant::now() + OFTEN);
        }
        tokio::select! {
            received = socket.recv(&mut buffer) => {
                // A refused port comes back as an error: the device is there, its service is not.
                let Ok(length) = received else { continue };
                let now = Instant::now();
                if meaning == Meaning::Link {
                    shared.hearing.borrow_mut().heard(now);
                }
                let answer = buffer.get(..length).unwrap_or_default();
                if let Some(telemetry) = Telemetry::parse(answer) {
                    shared.take_telemetry(&telemetry, now);
                    note(&shared, &mut device, telemetry, now);
                    shared.changed.notify_waiters();
                }
            }
            () = tokio::time::sleep_until(next.into()) => {
                // What cannot be sent is not answered.
                let _ = socket.send(REQUEST.as_bytes()).await;
                next = Instant::now() + if window { OFTEN } else { NOW_AND_THEN };
            }
            () = window_changes(&shared, window) => {}
        }
    }
}

/// Asks, while a device is away that dials in from there, until it answers: what kept it away is over then.
pub(super) async fn await_return(table: Rc<Table>, target: SocketAddr, source: Option<IpAddr>) {
    let Some(socket) = socket_to(target, source).await else { return };
    let mut buffer = vec![0; MAX_LEN + 1];
    loop {
        if !table.misses(target.ip()) {
            table.somebody_left.notified().await;
            // What came too late for the last time says nothing of this one.
            while socket.try_recv(&mut buffer).is_ok() {}
            continue;
        }
        // What cannot be sent is not answered.
        let _ = socket.send(REQUEST.as_bytes()).await;
        match tokio::time::timeout(OFTEN, socket.recv(&mut buffer)).await {
            Ok(Ok(length)) => {
                let answer = buffer.get(..length).unwrap_or_default();
                if Telemetry::parse(answer).is_some() {
                    table.answered(target.ip(), Instant::now());
                }
            }
            // A refused port comes back at once.
            Ok(Err(_)) => tokio::time::sleep(OFTEN).await,
            Err(_) => {}
        }
    }
}

async fn socket_to(target: SocketAddr, source: Option<IpAddr>) -> Option<UdpSocket> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0)).await.ok()?;
    socket.connect(target).await.ok()?;
    Some(socket)
}

/// Returns when an outage begins or ends.
async fn window_changes(shared: &Rc<Shared>, window: bool) {
    while shared.hearing.borrow().window().is_some() == window {
        shared.changed_until(Instant::now() + OFTEN).await;
    }
}

fn note(shared: &Rc<Shared>, device: &mut DeviceSeries, telemetry: Telemetry, now: Instant) {
    let at_ns = shared.context.clock.at_ns(now);
    device.take(DeviceSample { asked_ns: at_ns, at_ns, telemetry });
    let mut recorder = shared.context.recorder.borrow_mut();
    let stats = recorder.outage();
    stats.device_restarts = device.restart_count;
    if device.readings.contains_key(&Reading::Disconnects) {
        stats.wifi_disconnects = Some(device.disconnects.values().sum());
    }
}
