//! What every service does on a `robust` device.

use core::ops::RangeInclusive;
use std::format;
use std::string::ToString;
use std::thread;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use super::client::{Client, Ending, datagram, number, request, telemetry};
use super::{Check, Device, Fault, TOKEN, checks, ensure};
use crate::framed::{ErrorCode, HEADER_LEN, Kind, MOST_UNACKNOWLEDGED, Report, Subscribe, fill_payload};
use crate::http::{GREETING, body_byte};
use crate::raw::FILLER_LEN;
use crate::service::Service;

/// The checks, each of one behaviour.
pub const SERVICE_CHECKS: &[Check] = checks![
    head_is_answered_with_a_head_alone,
    get_is_answered_with_the_body_of_the_stated_length,
    a_connection_serves_one_request_after_the_other,
    pipelined_requests_are_answered_in_order,
    a_request_in_single_bytes_is_a_request,
    connection_close_is_honoured_with_a_fin,
    an_http_1_0_client_is_closed_after_the_answer_unless_it_asks_otherwise,
    the_device_closes_after_the_peer,
    a_request_before_the_peers_fin_is_still_answered,
    wrong_requests_get_the_status_that_says_why,
    an_oversized_head_gets_431_and_a_clean_end,
    control_without_or_with_a_wrong_token_is_refused_and_changes_nothing,
    control_with_the_token_is_obeyed,
    a_control_body_that_makes_no_sense_is_refused,
    telemetry_has_its_fields_over_http_and_datagram,
    only_telemetry_requests_get_a_datagram_back,
    echoes_of_every_size_come_back_whole,
    many_echoes_in_flight_come_back_in_order,
    a_damaged_frame_gets_an_error_and_a_clean_end,
    heartbeats_are_acknowledged_and_counted_once,
    the_devices_heartbeats_go_on_in_the_next_connection,
    heartbeats_without_acknowledgements_end_at_the_bound_and_go_on_with_them,
    raw_sends_lists_and_filler_and_closes_first,
    line_sends_objects_back,
    line_keeps_alive_and_notices_a_silent_peer,
    as_many_connections_as_the_capacity_are_served_at_once,
    slots_come_back_after_resets,
];

fn head_is_answered_with_a_head_alone(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    let answer = client.ask("HEAD", "/")?;
    ensure!(answer.status == 200, "status {}", answer.status);
    let length = format!("Content-Length: {}", GREETING.len());
    ensure!(answer.head.contains(&length), "no {length:?} in {:?}", answer.head);
    // A body would be taken for the head of the next answer.
    ensure!(client.ask("HEAD", "/")?.status == 200, "something after the head");
    Ok(())
}

fn get_is_answered_with_the_body_of_the_stated_length(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    let answer = client.ask("GET", "/")?;
    ensure!(answer.body == GREETING.as_bytes(), "body {:?}", answer.body);
    for len in [0u32, 1, 1500, 10_240, 100_000] {
        let body = client.ask("GET", &format!("/?bytes={len}"))?.body;
        ensure!(body.len() == len as usize, "{} bytes instead of {len}", body.len());
        let intact = body.iter().zip(0..).all(|(&byte, at)| byte == body_byte(at));
        ensure!(intact, "wrong bytes in a body of {len}");
    }
    Ok(())
}

fn a_connection_serves_one_request_after_the_other(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    for round in 0..100 {
        let method = if round % 2 == 0 { "GET" } else { "HEAD" };
        ensure!(client.ask(method, "/")?.status == 200, "round {round}");
    }
    Ok(())
}

fn pipelined_requests_are_answered_in_order(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    let burst = (0..20).map(|n| request("GET", &format!("/?bytes={n}"), "")).collect::<Vec<_>>().concat();
    client.say(burst)?;
    for n in 0..20 {
        let body = client.answer("GET")?.body;
        ensure!(body.len() == n, "answer {n} has {} bytes", body.len());
    }
    Ok(())
}

fn a_request_in_single_bytes_is_a_request(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    for byte in request("HEAD", "/", "").bytes() {
        client.say([byte])?;
    }
    ensure!(client.answer("HEAD")?.status == 200, "not 200");
    Ok(())
}

fn connection_close_is_honoured_with_a_fin(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    client.say(request("GET", "/", "Connection: close\r\n"))?;
    let answer = client.answer("GET")?;
    ensure!(answer.head.contains("Connection: close"), "not announced in {:?}", answer.head);
    let ending = client.hear_out();
    ensure!(ending == (vec![], Ending::Fin), "then {ending:?}");
    Ok(())
}

fn an_http_1_0_client_is_closed_after_the_answer_unless_it_asks_otherwise(
    device: &Device,
) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    client.say("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")?;
    let answer = client.answer("GET")?;
    ensure!(answer.head.contains("Connection: keep-alive"), "not told in {:?}", answer.head);
    client.say("GET / HTTP/1.0\r\n\r\n")?;
    ensure!(client.answer("GET")?.status == 200, "no second answer");
    let ending = client.hear_out();
    ensure!(ending == (vec![], Ending::Fin), "then {ending:?}");
    Ok(())
}

fn the_device_closes_after_the_peer(device: &Device) -> Result<(), Fault> {
    for service in Service::TCP {
        let mut client = Client::connect(device, service)?;
        client.shut()?;
        let (_, ending) = client.hear_out();
        ensure!(ending == Ending::Fin, "{service}: {ending:?}");
    }
    Ok(())
}

fn a_request_before_the_peers_fin_is_still_answered(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    client.say(request("GET", "/?bytes=20000", ""))?;
    client.shut()?;
    let (bytes, ending) = client.hear_out();
    ensure!(bytes.len() > 20_000 && ending == Ending::Fin, "{} bytes, {ending:?}", bytes.len());
    Ok(())
}

fn wrong_requests_get_the_status_that_says_why(device: &Device) -> Result<(), Fault> {
    let cases = [
        ("GET /nowhere HTTP/1.1\r\nHost: d\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("GET /control HTTP/1.1\r\nHost: d\r\n\r\n", 405),
        ("DELETE / HTTP/1.1\r\nHost: d\r\n\r\n", 405),
        ("BREW / HTTP/1.1\r\nHost: d\r\n\r\n", 501),
        ("POST /control HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: d\r\nHost: e\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: d\r\nContent-Length: +1\r\n\r\n", 400),
        ("\u{1}\u{2}\u{3} nonsense\r\n\r\n", 400),
        ("GET /?bytes=many HTTP/1.1\r\nHost: d\r\n\r\n", 400),
    ];
    for (bytes, status) in cases {
        let mut client = Client::connect(device, Service::Http)?;
        client.say(bytes)?;
        let answer = client.answer("GET").map_err(|fault| format!("{bytes:?}: {fault}"))?;
        ensure!(answer.status == status, "{} instead of {status} for {bytes:?}", answer.status);
        client.shut()?;
        let (rest, ending) = client.hear_out();
        ensure!(rest.is_empty() && ending == Ending::Fin, "{rest:?}, {ending:?} after {bytes:?}");
    }
    Ok(())
}

fn an_oversized_head_gets_431_and_a_clean_end(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    client.say(request("GET", "/", &format!("X-Long: {}\r\n", "x".repeat(3000))))?;
    let status = client.answer("GET")?.status;
    client.shut()?;
    let (_, ending) = client.hear_out();
    ensure!((status, ending) == (431, Ending::Fin), "{status}, {ending:?}");
    Ok(())
}

fn control_without_or_with_a_wrong_token_is_refused_and_changes_nothing(
    device: &Device,
) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    let near = &TOKEN[..TOKEN.len() - 1];
    let fields = [
        "".to_string(),
        "Authorization: Bearer\r\n".to_string(),
        format!("Authorization: Bearer {near}\r\n"),
        format!("Authorization: Bearer {near}x\r\n"),
        format!("Authorization: Bearer {TOKEN}x\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
    ];
    let starts = number(&telemetry(device)?, "boot_count");
    let bodies = [
        r#"{"persona":"deaf"}"#,
        r#"{"outage_ms":60000}"#,
        r#"{"power_save":"MAX_MODEM","reboot":true}"#,
        "",
    ];
    for (fields, body) in fields.iter().flat_map(|fields| bodies.map(|body| (fields, body))) {
        let fields = format!("{fields}Content-Length: {}\r\n", body.len());
        client.say(request("POST", "/control?persona=deaf", &fields) + body)?;
        let status = client.answer("POST")?.status;
        ensure!(status == 403, "{status} for {fields:?} with {body:?}");
    }
    // Outages and restarts that are obeyed come a fifth of a second after their answer.
    thread::sleep(Duration::from_millis(400));
    let json = telemetry(device)?;
    ensure!(json.contains(r#""persona":"robust""#), "persona changed: {json}");
    ensure!(!json.contains("MAX_MODEM"), "power save switched: {json}");
    ensure!(number(&json, "boot_count") == starts, "restarted: {json}");
    Ok(())
}

fn control_with_the_token_is_obeyed(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    for persona in ["no-keepalive", "robust"] {
        let body = format!("{{\"persona\": \"{persona}\"}}");
        let fields = format!("Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n", body.len());
        client.say(request("POST", "/control", &fields) + &body)?;
        let status = client.answer("POST")?.status;
        ensure!(status == 200, "status {status}");
        let json = telemetry(device)?;
        ensure!(json.contains(&format!("\"persona\":\"{persona}\"")), "not {persona}: {json}");
    }
    Ok(())
}

fn a_control_body_that_makes_no_sense_is_refused(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    for body in
        ["", "{", "[]", r#"{"persona":"nobody"}"#, r#"{"outage_ms":0}"#, r#"{"reboot":1}"#, r#"{"x":1}"#]
    {
        let fields = format!("Authorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n", body.len());
        client.say(request("POST", "/control", &fields) + body)?;
        let status = client.answer("POST")?.status;
        ensure!(status == 400, "{status} for {body:?}");
    }
    let fields = format!("Authorization: Bearer {TOKEN}\r\nContent-Length: 2000\r\n");
    client.say(request("POST", "/control", &fields))?;
    let status = client.answer("POST")?.status;
    ensure!(status == 413, "{status} for a body of 2000 bytes");
    Ok(())
}

fn telemetry_has_its_fields_over_http_and_datagram(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Http)?;
    let answer = client.ask("GET", "/telemetry")?;
    ensure!(answer.head.contains("application/json"), "type: {:?}", answer.head);
    let over_http = std::string::String::from_utf8_lossy(&answer.body).into_owned();
    let by_datagram = datagram(device, b"telemetry 4711", Duration::from_secs(2))?;
    let by_datagram = by_datagram.ok_or("no datagram came back")?;
    ensure!(by_datagram.contains("\"request\":4711"), "request not echoed: {by_datagram}");
    for json in [over_http, by_datagram] {
        let fields = [
            "device",
            "number",
            "firmware",
            "stack",
            "persona",
            "uptime_ms",
            "boot_count",
            "reset_reason",
            "heap",
            "wifi",
            "sockets",
            "capacity",
            "services",
            "options",
        ];
        for field in fields {
            ensure!(json.contains(&format!("\"{field}\":")), "no {field} in {json}");
        }
        ensure!(json.len() < 1_400, "{} bytes", json.len());
    }
    Ok(())
}

fn only_telemetry_requests_get_a_datagram_back(device: &Device) -> Result<(), Fault> {
    for nonsense in [&b"hello"[..], b"telemetry!", b"telemetry x", &[0xFF; 60], b""] {
        let answer = datagram(device, nonsense, Duration::from_millis(50))?;
        ensure!(answer.is_none(), "{nonsense:?} got {answer:?}");
    }
    telemetry(device).map(|_| ())
}

fn echoes_of_every_size_come_back_whole(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Framed)?;
    for (sequence, len) in
        [0usize, 1, 19, 20, 21, 1_535, 1_536, 1_537, 16_384, 65_536].into_iter().enumerate()
    {
        let sequence = sequence as u32;
        let mut payload = vec![0; len];
        fill_payload(sequence, &mut payload);
        let mut writer = client.twin()?;
        let (answer, written) = thread::scope(|scope| {
            let written = scope.spawn(|| writer.send_frame(Kind::Echo, sequence, &payload));
            (client.frame(), written.join())
        });
        written.map_err(|_| "the writer panicked")??;
        let (header, echo) = answer?;
        ensure!(
            header.kind == Kind::EchoReply && header.sequence == sequence,
            "{header:?} for echo {sequence}"
        );
        ensure!(echo == payload, "echo of {len} bytes differs");
    }
    Ok(())
}

fn many_echoes_in_flight_come_back_in_order(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Framed)?;
    let mut writer = client.twin()?;
    let mut payload = [0; 200];
    thread::scope(|scope| {
        let written = scope.spawn(move || {
            let mut payload = [0; 200];
            (0..500).try_for_each(|sequence| {
                fill_payload(sequence, &mut payload);
                writer.send_frame(Kind::Echo, sequence, &payload)
            })
        });
        for sequence in 0..500 {
            let (header, echo) = client.frame()?;
            fill_payload(sequence, &mut payload);
            ensure!(header.sequence == sequence, "{header:?} instead of {sequence}");
            ensure!(echo == payload, "payload of {sequence} differs");
        }
        written.join().map_err(|_| "the writer panicked")?
    })
}

fn a_damaged_frame_gets_an_error_and_a_clean_end(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Framed)?;
    client.say([b'x'; HEADER_LEN])?;
    let (header, _) = client.frame()?;
    let expected = (Kind::Error, ErrorCode::BadHeader as u8);
    ensure!((header.kind, header.code) == expected, "{header:?}");
    client.say([b'y'; 500])?;
    client.shut()?;
    let ending = client.hear_out();
    ensure!(ending == (vec![], Ending::Fin), "then {ending:?}");
    Ok(())
}

fn report(client: &mut Client) -> Result<Report, Fault> {
    loop {
        let (header, payload) = client.frame()?;
        match header.kind {
            Kind::Report => {
                return Report::decode(&payload).ok_or_else(|| "a report of the wrong length".into());
            }
            Kind::Heartbeat => {}
            _ => return Err(format!("{header:?} instead of a report")),
        }
    }
}

fn heartbeats_are_acknowledged_and_counted_once(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Framed)?;
    let subscribe = Subscribe { session: 0xC0FF_EE01, interval_ms: 0 };
    client.send_frame(Kind::Subscribe, 0, &subscribe.encode())?;
    let before = report(&mut client)?;
    ensure!(before.received == 0, "a session that was never used: {before:?}");
    for number in [1, 2, 2, 3] {
        client.send_frame(Kind::Heartbeat, number, b"beat")?;
        let (header, _) = client.frame()?;
        ensure!((header.kind, header.sequence) == (Kind::Ack, number), "{header:?} for {number}");
    }
    client.send_frame(Kind::ReportRequest, 9, b"")?;
    let after = report(&mut client)?;
    let counts = (after.received, after.duplicates, after.highest_received);
    ensure!(counts == (3, 1, 3), "{after:?}");
    Ok(())
}

fn the_devices_heartbeats_go_on_in_the_next_connection(device: &Device) -> Result<(), Fault> {
    let subscribe = Subscribe { session: 0xC0FF_EE02, interval_ms: 20 };
    let mut client = Client::connect(device, Service::Framed)?;
    client.send_frame(Kind::Subscribe, 0, &subscribe.encode())?;
    report(&mut client)?;
    for number in 1..=3 {
        let (header, _) = client.frame()?;
        ensure!((header.kind, header.sequence) == (Kind::Heartbeat, number), "{header:?}");
        if number < 3 {
            client.send_frame(Kind::Ack, number, b"")?;
        }
    }
    drop(client);
    let mut client = Client::connect(device, Service::Framed)?;
    client.send_frame(Kind::Subscribe, 0, &subscribe.encode())?;
    let known = report(&mut client)?;
    ensure!(known.sent >= 3 && known.acked == 2, "{known:?}");
    let (header, _) = client.frame()?;
    ensure!(header.sequence > known.sent, "{header:?} after {known:?}");
    Ok(())
}

/// These heartbeats come next, one after the other.
fn expect_beats(client: &mut Client, numbers: RangeInclusive<u32>) -> Result<(), Fault> {
    for number in numbers {
        let (header, _) = client.frame()?;
        ensure!((header.kind, header.sequence) == (Kind::Heartbeat, number), "{header:?} for beat {number}");
    }
    Ok(())
}

/// The next that comes is the report, however long the device has had time for heartbeats.
fn report_alone(client: &mut Client) -> Result<Report, Fault> {
    thread::sleep(Duration::from_millis(300));
    client.send_frame(Kind::ReportRequest, 0, b"")?;
    let (header, payload) = client.frame()?;
    ensure!(header.kind == Kind::Report, "{header:?} beyond the bound");
    Report::decode(&payload).ok_or_else(|| "a report of the wrong length".into())
}

fn heartbeats_without_acknowledgements_end_at_the_bound_and_go_on_with_them(
    device: &Device,
) -> Result<(), Fault> {
    const MOST: u32 = MOST_UNACKNOWLEDGED;
    let subscribe = Subscribe { session: 0xC0FF_EE03, interval_ms: 20 };
    let mut client = Client::connect(device, Service::Framed)?;
    client.send_frame(Kind::Subscribe, 0, &subscribe.encode())?;
    report(&mut client)?;
    expect_beats(&mut client, 1..=MOST)?;
    let known = report_alone(&mut client)?;
    ensure!((known.sent, known.acked) == (MOST, 0), "what was not sent counts: {known:?}");
    // A late Ack for the last of them stands for all: those before it may be lost.
    client.send_frame(Kind::Ack, MOST, b"")?;
    expect_beats(&mut client, MOST + 1..=2 * MOST)?;
    // Acknowledged one by one they come for as long as one likes.
    for number in MOST + 1..=4 * MOST {
        client.send_frame(Kind::Ack, number, b"")?;
        expect_beats(&mut client, number + MOST..=number + MOST)?;
    }
    let known = report_alone(&mut client)?;
    ensure!((known.sent, known.acked) == (5 * MOST, 1 + 3 * MOST), "{known:?}");
    // A new subscription waits for nothing of the old one.
    client.send_frame(Kind::Subscribe, 0, &subscribe.encode())?;
    report(&mut client)?;
    expect_beats(&mut client, 5 * MOST + 1..=6 * MOST)?;
    ensure!(report_alone(&mut client)?.sent == 6 * MOST, "beyond the bound");
    Ok(())
}

fn raw_sends_lists_and_filler_and_closes_first(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Raw)?;
    client.say("GET / HTTP/1.1\r\nHost: device\r\n")?;
    client.say("\r\n")?;
    let (bytes, ending) = client.hear_out();
    ensure!(ending == Ending::Fin, "ended with {ending:?}");
    let text = std::string::String::from_utf8(bytes).map_err(|error| error.to_string())?;
    let mut lines = text.splitn(3, '\n');
    let (exec, data, filler) = (lines.next(), lines.next(), lines.next());
    ensure!(exec.is_some_and(|line| line.starts_with("EXEC:[")), "{exec:?}");
    ensure!(data.is_some_and(|line| line.starts_with("DATA:[")), "{data:?}");
    let filler = filler.unwrap_or_default();
    ensure!(filler.len() == FILLER_LEN as usize, "{} bytes of filler", filler.len());
    ensure!(filler.starts_with(" HelloWorld@"), "{:?}", &filler[..20]);
    Ok(())
}

fn line_sends_objects_back(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Line)?;
    let long = format!("{{\"n\":2,\"pad\":\"{}\"}}", "x".repeat(5_000));
    for line in ["{\"n\":1}", &long, "{}"] {
        client.say(format!("[1]\n{line}\n"))?;
        let mut answer = client.line()?;
        while answer.is_empty() {
            answer = client.line()?;
        }
        ensure!(answer == line, "{answer:?} for {line:?}");
    }
    Ok(())
}

fn line_keeps_alive_and_notices_a_silent_peer(device: &Device) -> Result<(), Fault> {
    let mut client = Client::connect(device, Service::Line)?;
    client.say("\n")?;
    let first = client.line()?;
    ensure!(first.is_empty(), "{first:?} instead of a keep-alive");
    // Silence from here on: the device gives up after its time-out, well below the patience of this client.
    let (_, ending) = client.hear_out();
    ensure!(ending == Ending::Fin, "{ending:?}");
    Ok(())
}

fn as_many_connections_as_the_capacity_are_served_at_once(device: &Device) -> Result<(), Fault> {
    let mut clients = Vec::new();
    for _ in 0..device.capacity {
        let mut client = Client::connect(device, Service::Http)?;
        ensure!(client.ask("GET", "/")?.status == 200, "connection {} is not served", clients.len());
        clients.push(client);
    }
    for client in &mut clients {
        ensure!(client.ask("HEAD", "/")?.status == 200, "not all at once");
    }
    Ok(())
}

fn slots_come_back_after_resets(device: &Device) -> Result<(), Fault> {
    for round in 0..device.capacity * 4 {
        let mut client = Client::connect(device, Service::Http)?;
        // Closing with the answer unread makes the host send a RST.
        client.say(request("GET", "/", ""))?;
        client.hear(1).map_err(|fault| format!("round {round}: {fault}"))?;
    }
    let json = telemetry(device)?;
    ensure!(number(&json, "accepted").is_some(), "no counters in {json}");
    Ok(())
}
