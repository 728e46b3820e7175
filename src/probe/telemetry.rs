//! The device's telemetry: asked for by a datagram, or over HTTP where there is nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use espstress_device::telemetry::{MAX_LEN, REQUEST};
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::pending::{Answer, Pending};
use super::{ProbeConfig, ProbeContext, Shared, Ticks, begin, no, with};
use espstress_clock::{Clock, nanos};
use espstress_connection::http::{Expects, Progress, Response};
use espstress_connection::{Connector, HostClosed, Refused};
use espstress_event::{DeviceSample, Failure, Intent, Telemetry};
use espstress_stats::{DeviceSeries, ProbeStats};

/// Longest answer over HTTP that is read, head included.
const MOST_BYTES: usize = 64 * 1024;

/// Asks by datagrams until it is dropped.
pub(super) async fn by_udp(
    config: ProbeConfig,
    target: SocketAddr,
    interval: Duration,
    clock: Clock,
    stats: Shared<ProbeStats>,
    device: Shared<DeviceSeries>,
    ask: Rc<Notify>,
) {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let bound = UdpSocket::bind(SocketAddr::new(config.source.unwrap_or(any), 0)).await;
    let socket = match bound {
        Ok(socket) => socket,
        Err(error) => {
            *stats.borrow_mut() = no(&format!("no socket: {error}"));
            return;
        }
    };
    if let Err(error) = socket.connect(target).await {
        *stats.borrow_mut() = no(&format!("no way to {target}: {error}"));
        return;
    }
    begin(&stats, clock, interval, config.timeout);
    let mut pending = Pending::default();
    let mut ticks = Ticks::new(interval, clock);
    let mut buffer = vec![0; MAX_LEN * 2];
    loop {
        let expiry = pending.next_expiry(config.timeout).unwrap_or_else(|| Instant::now() + interval);
        tokio::select! {
            () = due(&mut ticks, &stats, &ask) => {
                let number = pending.ask(Instant::now());
                let request = format!("{REQUEST} {number}");
                // A refused datagram before this one comes back here as an error: it is asked all the same.
                if socket.send(request.as_bytes()).await.is_err()
                    && socket.send(request.as_bytes()).await.is_err()
                {
                    pending.take_back();
                    with(&stats, |stats| stats.host_failure(clock.now_ns()));
                }
            }
            received = socket.recv(&mut buffer) => {
                let Ok(length) = received else { continue };
                let now = Instant::now();
                let Some(telemetry) = Telemetry::parse(buffer.get(..length).unwrap_or_default()) else {
                    device.borrow_mut().unreadable += 1;
                    continue;
                };
                // A device that does not repeat the number answers the oldest question.
                let number = telemetry.request;
                let at_ns = clock.at_ns(now);
                let asked_ns = match pending.answer(now, |asked| number.is_none_or(|number| number == asked)) {
                    Answer::InTime(took) => {
                        with(&stats, |stats| stats.answer(at_ns, nanos(took)));
                        at_ns.saturating_sub(nanos(took))
                    }
                    // Its question is forgotten: as old as any that is.
                    Answer::Late => {
                        with(&stats, |stats| stats.late += 1);
                        0
                    }
                    Answer::Stranger => continue,
                };
                device.borrow_mut().take(DeviceSample { asked_ns, at_ns, telemetry });
            }
            () = tokio::time::sleep_until(expiry.into()) => {
                let now = Instant::now();
                for _ in 0..pending.expire(now, config.timeout) {
                    with(&stats, |stats| stats.loss(clock.at_ns(now)));
                }
            }
        }
    }
}

/// It is time to ask: by the interval, or because somebody wants to know now.
async fn due(ticks: &mut Ticks, stats: &Shared<ProbeStats>, ask: &Notify) {
    tokio::select! {
        () = ticks.next(stats) => {}
        () = ask.notified() => {}
    }
}

/// Asks over HTTP until it is dropped, or until the device says that it has no telemetry.
pub(super) async fn by_http(
    config: ProbeConfig,
    target: SocketAddr,
    interval: Duration,
    context: ProbeContext,
    stats: Shared<ProbeStats>,
    device: Shared<DeviceSeries>,
    ask: Rc<Notify>,
) {
    let clock = context.clock;
    let connector = context.connector(target, &config);
    begin(&stats, clock, interval, config.timeout);
    let mut ticks = Ticks::new(interval, context.clock);
    let mut bytes = Vec::new();
    loop {
        due(&mut ticks, &stats, &ask).await;
        let start = Instant::now();
        let result = get(&connector, context.intent(), &mut bytes).await;
        let (at_ns, took) = (clock.now_ns(), nanos(start.elapsed()));
        match result {
            Ok((200, body)) => match Telemetry::parse(bytes.get(body..).unwrap_or_default()) {
                Some(telemetry) => {
                    with(&stats, |stats| stats.answer(at_ns, took));
                    let asked_ns = clock.at_ns(start);
                    device.borrow_mut().take(DeviceSample { asked_ns, at_ns, telemetry });
                }
                None => device.borrow_mut().unreadable += 1,
            },
            Ok((status, _)) => {
                *stats.borrow_mut() = no(&format!("GET /telemetry is answered with status {status}"));
                return;
            }
            Err(failure) if failure.is_host() => {
                with(&stats, |stats| stats.host_failure(context.clock.now_ns()))
            }
            Err(failure) => with(&stats, |stats| {
                stats.failures.count(failure);
                stats.loss(at_ns);
            }),
        }
    }
}

/// Status, and where in `bytes` the body begins.
async fn get(connector: &Connector, intent: Intent, bytes: &mut Vec<u8>) -> Result<(u16, usize), Failure> {
    let mut connection = match connector.open(intent).await {
        Ok(connection) => connection,
        Err(Refused::Failure(failure)) => return Err(failure),
        Err(Refused::PortsUntil(_)) => return Err(Failure::HostOutOfPorts),
    };
    let limits = connector.timeouts;
    let request =
        format!("GET /telemetry HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", connector.target);
    connection.write_all(request.as_bytes(), limits.write).await?;
    let mut response = Response::new(Expects::Body);
    response.start();
    bytes.clear();
    let mut buffer = [0; 2_048];
    loop {
        let n = connection.read(&mut buffer, limits.read).await?;
        if n == 0 {
            response.eof()?;
            break;
        }
        let piece = buffer.get(..n).unwrap_or_default();
        if bytes.len() + n > MOST_BYTES {
            return Err(Failure::BadResponse);
        }
        bytes.extend_from_slice(piece);
        if let Progress::Done { .. } = response.feed(piece)? {
            // The device was asked to close; the port is free sooner when it does so first.
            connection.drain(&mut buffer, limits.read, HostClosed::NotYet).await;
            break;
        }
    }
    let body = bytes.len() - usize::try_from(response.body_bytes()).unwrap_or(0).min(bytes.len());
    Ok((response.status(), body))
}
