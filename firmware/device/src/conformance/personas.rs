//! What each persona does to a socket.

use std::format;
use std::net::TcpStream;
use std::string::ToString;
use std::thread;
use std::time::{Duration, Instant};
use std::vec::Vec;

use super::client::{Client, Ending, number, request, telemetry};
use super::{Backlog, Device, Fault, ensure};
use crate::framed::{Header, Kind as Frame};
use crate::persona::Kind;
use crate::service::Service;

/// How long a device is given to do what it must not do.
const SILENCE: Duration = Duration::from_millis(700);

/// One persona and what shows it.
#[derive(Clone, Copy)]
pub struct PersonaCheck {
    /// As which the device is started.
    pub persona: &'static str,
    /// Which of them it is.
    pub kind: Kind,
    check: fn(&Device) -> Result<(), Fault>,
}

impl PersonaCheck {
    /// Looks whether the device behaves like it.
    ///
    /// # Errors
    /// What it did instead.
    pub fn run(&self, device: &Device) -> Result<(), Fault> {
        (self.check)(device).map_err(|fault| format!("{}: {fault}", self.persona))
    }
}

const fn check(persona: &'static str, kind: Kind, check: fn(&Device) -> Result<(), Fault>) -> PersonaCheck {
    PersonaCheck { persona, kind, check }
}

/// Every persona, with parameters where the defaults would take long.
pub const PERSONA_CHECKS: &[PersonaCheck] = &[
    check("robust", Kind::Robust, closes_after_the_peer),
    check("unread-close", Kind::UnreadClose, resets_after_the_answer),
    check("early-close", Kind::EarlyClose, answers_and_closes_before_the_request),
    check("serial", Kind::Serial, serves_the_second_after_the_first),
    check("no-keepalive", Kind::NoKeepalive, closes_after_the_peer),
    check("leaky", Kind::Leaky, loses_a_slot_with_each_reset),
    check("hoarder", Kind::Hoarder, keeps_256_bytes_of_each_request),
    check("slow-accept:every=300ms", Kind::SlowAccept, takes_its_time_for_each_connection),
    check("deaf", Kind::Deaf, stops_reading),
    check("half-closer", Kind::HalfCloser, holds_its_side_open),
    check("frozen", Kind::Frozen, answers_nothing_but_telemetry),
    check("rebooting:every=800ms", Kind::Rebooting, starts_again_and_again),
];

fn serves(device: &Device) -> Result<Client, Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    let status = client.ask("HEAD", "/")?.status;
    ensure!(status == 200, "status {status}");
    Ok(client)
}

fn closes_after_the_peer(device: &Device) -> Result<(), Fault> {
    let mut client = serves(device)?;
    client.shut()?;
    let ending = client.hear_out();
    ensure!(ending == (Vec::new(), Ending::Fin), "{ending:?}");
    Ok(())
}

fn resets_after_the_answer(device: &Device) -> Result<(), Fault> {
    for round in 0..5 {
        let mut client = Client::connect(device, Service::Http)?;
        client.say(request("HEAD", "/", "User-Agent: conformance\r\n"))?;
        // Once the RST is here, the host may throw the answer away; reading at once nearly always gets it.
        let (answer, ending) = client.hear_out();
        ensure!(ending == Ending::Reset, "round {round}: {ending:?} after {} bytes", answer.len());
    }
    Ok(())
}

fn answers_and_closes_before_the_request(device: &Device) -> Result<(), Fault> {
    let mut late = Client::connect(device, Service::Http)?;
    let (answer, ending) = late.hear_out();
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "no answer without a request");
    ensure!(ending == Ending::Fin, "{ending:?}");
    let mut early = Client::connect(device, Service::Http)?;
    early.say(request("GET", "/", ""))?;
    ensure!(early.answer("GET")?.status == 200, "a request in time is not served");
    let (_, ending) = early.hear_out();
    ensure!(ending == Ending::Fin, "the device does not close first: {ending:?}");
    Ok(())
}

fn serves_the_second_after_the_first(device: &Device) -> Result<(), Fault> {
    let first = serves(device)?;
    if device.backlog == Backlog::None {
        return Ok(());
    }
    let mut second = Client::connect(device, Service::Http)?;
    second.say(request("HEAD", "/", ""))?;
    second.patience(SILENCE)?;
    let (bytes, ending) = second.hear_out();
    ensure!(bytes.is_empty() && ending == Ending::Silence, "the second is served beside the first");
    drop(first);
    second.patience(Duration::from_secs(10))?;
    ensure!(second.answer("HEAD")?.status == 200, "the second is never served");
    Ok(())
}

fn loses_a_slot_with_each_reset(device: &Device) -> Result<(), Fault> {
    for round in 1..=device.capacity as u64 {
        let mut client = Client::connect(device, Service::Http)?;
        client.say(request("GET", "/", ""))?;
        // Closing with the rest of the answer unread makes the host send a RST.
        client.hear(1)?;
        drop(client);
        let deadline = Instant::now() + Duration::from_secs(5);
        while number(&telemetry(device)?, "leaked") != Some(round) {
            ensure!(Instant::now() < deadline, "slot {round} is not lost");
            thread::sleep(Duration::from_millis(5));
        }
    }
    is_not_served(device)
}

fn is_not_served(device: &Device) -> Result<(), Fault> {
    let Ok(mut client) = Client::connect(device, Service::Http) else {
        return Ok(());
    };
    client.patience(SILENCE)?;
    // A stack may refuse the bytes at once or leave them unanswered.
    let _ = client.say(request("HEAD", "/", ""));
    let (bytes, _) = client.hear_out();
    ensure!(bytes.is_empty(), "served: {bytes:?}");
    Ok(())
}

fn keeps_256_bytes_of_each_request(device: &Device) -> Result<(), Fault> {
    let mut client = serves(device)?;
    for _ in 0..99 {
        client.ask("HEAD", "/")?;
    }
    let json = telemetry(device)?;
    ensure!(number(&json, "hoarded_bytes") == Some(25_600), "{json}");
    Ok(())
}

fn takes_its_time_for_each_connection(device: &Device) -> Result<(), Fault> {
    let start = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(Client::connect(device, Service::Http)?);
    }
    for client in &mut clients {
        client.ask("HEAD", "/")?;
    }
    let took = start.elapsed();
    ensure!(took >= Duration::from_millis(800), "four connections within {took:?}");
    Ok(())
}

fn stops_reading(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Framed)?;
    let mut header = Header::new(Frame::Echo, 1, b"");
    header.length = 65_536;
    client.say(header.encode())?;
    client.patience(SILENCE)?;
    let mut writer = client.twin()?;
    // More than the buffers of any host hold.
    let taken = thread::spawn(move || writer.stuff(65_536));
    let (echo, ending) = client.hear_out();
    let taken = taken.join().map_err(|_| "the writer panicked".to_string())?;
    ensure!(ending == Ending::Silence, "{ending:?} after {taken} bytes");
    ensure!((4_096..16_384).contains(&echo.len()), "{} bytes came back", echo.len());
    Ok(())
}

fn holds_its_side_open(device: &Device) -> Result<(), Fault> {
    let mut client = serves(device)?;
    client.shut()?;
    client.patience(SILENCE)?;
    let ending = client.hear_out();
    ensure!(ending == (Vec::new(), Ending::Silence), "{ending:?}");
    Ok(())
}

fn answers_nothing_but_telemetry(device: &Device) -> Result<(), Fault> {
    if device.backlog == Backlog::Kept {
        let address = device.address(Service::Http)?;
        let handshake = TcpStream::connect_timeout(&address, Duration::from_secs(5));
        ensure!(handshake.is_ok(), "the stack does not answer: {handshake:?}");
    }
    is_not_served(device)?;
    let json = telemetry(device)?;
    ensure!(json.contains("\"persona\":\"frozen\""), "{json}");
    Ok(())
}

fn starts_again_and_again(device: &Device) -> Result<(), Fault> {
    let before = number(&telemetry(device)?, "boot_count");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let json = telemetry(device)?;
        if number(&json, "boot_count") >= before.map(|count| count + 2) {
            ensure!(json.contains("\"reset_reason\":\"PANIC\""), "{json}");
            ensure!(number(&json, "uptime_ms") < Some(2_000), "{json}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "still at the first starts: {json}");
        thread::sleep(Duration::from_millis(20));
    }
}
