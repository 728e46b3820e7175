//! Requests that nobody means: random bytes, and valid requests with damage, on every port.
//!
//! All of it follows from the seed. Nothing of it may stop the device, change it, or cost memory.

use std::format;
use std::thread;
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::client::{Client, Ending, datagram, number, request, telemetry};
use super::{Device, Fault, ensure};
use crate::framed::{Header, Kind, Subscribe};
use crate::service::Service;

/// Connections of noise, as many to each service.
const ROUNDS: usize = 160;

/// How long the device may take to be as it was before.
const SETTLING: Duration = Duration::from_secs(30);

/// What telemetry says of a device that is at rest.
#[derive(Debug, PartialEq, Eq)]
struct AtRest {
    boot_count: Option<u64>,
    heap_free: Option<u64>,
    sockets: Option<u64>,
    services_with_connections: usize,
}

/// Sends noise to every port of a `robust` device and looks whether it is afterwards as it was before: the same start,
/// serving, its sockets and its heap back.
///
/// The heap is compared to the byte, where there are readings of it. So the stack's TIME_WAIT has to end within half a
/// minute.
///
/// # Errors
/// What has changed, with the seed.
pub fn withstands_noise(device: &Device, seed: u64) -> Result<(), Fault> {
    let mut noise = Noise(seed | 1);
    // What the first connection of all leaves behind is no growth.
    head(device)?;
    let before = settled(device, |_| true).map_err(|rest| format!("never at rest: {rest:?}"))?;
    for round in 0..ROUNDS {
        let service = Service::TCP[round % Service::TCP_COUNT];
        disturb(device, service, &mut noise)
            .map_err(|fault| format!("{service}, round {round}, seed {seed:#x}: {fault}"))?;
        let bytes = noise.of(b"telemetry 4711", 60);
        // Only the sending matters; an answer may or may not come.
        let _ = datagram(device, &bytes, Duration::from_millis(1));
    }
    head(device).map_err(|fault| format!("serves no more, seed {seed:#x}: {fault}"))?;
    settled(device, |now| *now == before)
        .map_err(|now| format!("{before:?} before, {now:?} after, seed {seed:#x}"))?;
    let json = telemetry(device)?;
    ensure!(json.contains(r#""persona":"robust""#), "persona changed, seed {seed:#x}: {json}");
    Ok(())
}

/// One connection of noise, ended by this side in one of three ways.
fn disturb(device: &Device, service: Service, noise: &mut Noise) -> Result<(), Fault> {
    let mut client = connect(device, service)?;
    let templates = templates(service);
    let template = noise.below(templates.len());
    let bytes = noise.of(&templates[template], 3_000);
    let piece = 1 + noise.below(900);
    for piece in bytes.chunks(piece) {
        // A device that has had enough may close or reset.
        if client.say(piece).is_err() {
            return Ok(());
        }
    }
    match noise.below(3) {
        // With answers unread this is a RST, else a FIN.
        0 => Ok(()),
        1 => {
            let _ = client.patience(Duration::from_millis(3)).and_then(|()| client.hear(1));
            Ok(())
        }
        _ => {
            if client.shut().is_ok() {
                let (_, ending) = client.hear_out();
                ensure!(ending != Ending::Silence, "no end after the peer's, sent {bytes:?}");
            }
            Ok(())
        }
    }
}

/// Connects, also to a stack without backlog that has no listener at this very moment.
fn connect(device: &Device, service: Service) -> Result<Client, Fault> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Client::connect(device, service) {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            outcome => return outcome,
        }
    }
}

fn head(device: &Device) -> Result<(), Fault> {
    let mut client = connect(device, Service::Http)?;
    let status = client.ask("HEAD", "/")?.status;
    ensure!(status == 200, "status {status}");
    client.shut()?;
    client.hear_out();
    Ok(())
}

/// Looks until the device is at rest and as wanted; else the last look.
fn settled(device: &Device, wanted: impl Fn(&AtRest) -> bool) -> Result<AtRest, Option<AtRest>> {
    let deadline = Instant::now() + SETTLING;
    let mut last = None;
    while Instant::now() < deadline {
        if let Ok(json) = telemetry(device) {
            let now = AtRest {
                boot_count: number(&json, "boot_count"),
                heap_free: number(&json, "free_bytes"),
                sockets: number(&json, "used"),
                services_with_connections: json.matches("\"open\":").count()
                    - json.matches("\"open\":0,").count(),
            };
            // A second look that says the same: nothing is under way.
            if now.services_with_connections == 0 && wanted(&now) && last.as_ref() == Some(&now) {
                return Ok(now);
            }
            last = Some(now);
        }
        thread::sleep(Duration::from_millis(100));
    }
    Err(last)
}

/// What somebody who means it would send.
fn templates(service: Service) -> Vec<Vec<u8>> {
    let text = |text: &str| text.as_bytes().to_vec();
    match service {
        Service::Http => {
            let body = r#"{"persona":"deaf","outage_ms":5000,"power_save":"MIN_MODEM","reboot":true}"#;
            let fields = format!("Authorization: Bearer guess\r\nContent-Length: {}\r\n", body.len());
            [
                request("HEAD", "/", ""),
                request("GET", "/?bytes=3000", "") + &request("GET", "/telemetry", ""),
                request("GET", "/telemetry", "Connection: close\r\n"),
                request("POST", "/control?reboot=true", &fields) + body,
            ]
            .map(|request| text(&request))
            .into()
        }
        Service::Framed => {
            let frame = |kind, payload: &[u8]| [&Header::new(kind, 7, payload).encode(), payload].concat();
            let subscribe = Subscribe { session: 0xBAD_5EED, interval_ms: 50 }.encode();
            [
                frame(Kind::Echo, &[0x5A; 700]),
                frame(Kind::Subscribe, &subscribe),
                frame(Kind::Heartbeat, b"b"),
            ]
            .into()
        }
        Service::Raw => [text("GET / HTTP/1.1\r\nHost: device\r\n\r\n")].into(),
        Service::Line => [text("{\"n\":1}\n\n[1,{\"x\":\"y\"}]\n"), text("\n")].into(),
        Service::Telemetry => [text("telemetry")].into(),
        // Nobody can connect to it.
        Service::Mqtt => Vec::new(),
    }
}

/// A source of noise: xorshift64.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % limit.max(1)
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    /// Random bytes, or a valid message with some damage; at most so long.
    fn of(&mut self, valid: &[u8], longest: usize) -> Vec<u8> {
        if self.below(4) == 0 {
            let len = self.below(longest);
            return (0..len).map(|_| self.byte()).collect();
        }
        let mut bytes = valid.to_vec();
        for _ in 0..self.below(5) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, self.byte()),
                2 => {
                    let end = (at + self.below(40)).min(bytes.len());
                    bytes.drain(at..end);
                }
                3 => bytes.extend_from_within(at..),
                _ => {
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte ^= 1 << (self.0 & 7);
                    }
                }
            }
        }
        bytes.truncate(longest);
        bytes
    }
}
