//! Inputs to begin with, made as the tests of the readers make theirs.

use espstress_device::framed::{Header, Kind as Frame, fill_payload};
use espstress_device::mqtt::{
    Ack, ConnAck, Connect, Packet, PacketId, Publish, Qos, SubAck, Subscribe, Subscription, Subscriptions,
    Version,
};
use espstress_event::{Failure, PhaseProgress};
use espstress_report::{
    Announced, IntervalLine, LogEnd, LogLine, LogStart, NoticeLine, PhaseStart, Report, Target, TargetKind,
    Workload,
};
use espstress_scenario::BUILT_IN;
use espstress_stats::{Latency, Phase, Recorder};

/// Settings and pieces.
fn headed(head: &[u8], rest: impl AsRef<[u8]>) -> Vec<u8> {
    [head, rest.as_ref()].concat()
}

/// A list of frames: link, milliseconds since the one before, length, bytes.
fn frames(head: &[u8], list: &[(u8, u16, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    for (link, wait, frame) in list {
        bytes.push(*link);
        bytes.extend_from_slice(&wait.to_le_bytes());
        bytes.extend_from_slice(&(frame.len() as u16).to_le_bytes());
        bytes.extend_from_slice(frame);
    }
    bytes
}

/// An IPv4 packet with a TCP segment, from the host or from the device.
fn segment(from_host: bool, flags: u8, [seq, ack]: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let (source, destination, ports) =
        if from_host { (1, 91, [40_000_u16, 80]) } else { (91, 1, [80, 40_000_u16]) };
    let mut packet =
        vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, 6, 0, 0, 192, 168, 4, source, 192, 168, 4, destination];
    packet[2..4].copy_from_slice(&(40 + payload.len() as u16).to_be_bytes());
    ports.iter().for_each(|port| packet.extend_from_slice(&port.to_be_bytes()));
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&ack.to_be_bytes());
    packet.extend_from_slice(&[0x50, flags, 0x16, 0x80, 0, 0, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}

/// A HEAD with its handshake, its answer, and an end: of each side, or by a reset.
fn conversation(reset: bool) -> Vec<Vec<u8>> {
    const REQUEST: &[u8] = b"HEAD / HTTP/1.1\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let (h, d) = (101 + REQUEST.len() as u32, 901 + ANSWER.len() as u32);
    let mut packets = vec![
        segment(true, 0x02, [100, 0], b""),
        segment(false, 0x12, [900, 101], b""),
        segment(true, 0x10, [101, 901], b""),
        segment(true, 0x18, [101, 901], REQUEST),
        segment(false, 0x18, [901, h], ANSWER),
        segment(true, 0x11, [h, d], b""),
    ];
    if reset {
        packets.push(segment(false, 0x14, [d, h + 1], b""));
    } else {
        packets.push(segment(false, 0x11, [d, h + 1], b""));
        packets.push(segment(true, 0x10, [h + 1, d + 1], b""));
    }
    packets
}

/// Behind an Ethernet header, with a VLAN tag.
fn ethernet(packet: &[u8]) -> Vec<u8> {
    headed(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x81, 0, 0, 5, 8, 0], packet)
}

pub(crate) fn wire() -> Vec<Vec<u8>> {
    let raw = |reset| conversation(reset).into_iter().map(|packet| (1, 5, packet)).collect::<Vec<_>>();
    let tagged: Vec<_> = conversation(false).iter().map(|packet| (0, 5, ethernet(packet))).collect();
    let mut air: Vec<_> = wifi_frames().into_iter().map(|frame| (15, 5, frame)).collect();
    air.extend(raw(true));
    // IPv6 with a hop-by-hop header, and a fragment.
    let mut six = vec![0x60, 0, 0, 0, 0, 28, 0, 64];
    six.extend_from_slice(&[0xfe; 32]);
    six.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0]);
    six.extend_from_slice(&segment(true, 0x02, [100, 0], b"")[20..]);
    let mut fragment = segment(true, 0x18, [1, 1], &[7; 32]);
    fragment[6] = 0x20;
    let mut rest = fragment.clone();
    rest[6..8].copy_from_slice(&[0, 9]);
    vec![
        frames(&[0], &raw(false)),
        frames(&[1], &[raw(true), raw(false)].concat()),
        frames(&[0], &tagged),
        frames(&[0], &air),
        frames(&[0], &[(1, 1, six), (1, 1, fragment), (1, 1, rest)]),
    ]
}

/// An 802.11 header: type and flags, and three addresses.
fn mac(kind: u8, flags: u8, to: u8, from: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind, flags, 0, 0];
    for address in [to, from, 3] {
        frame.extend_from_slice(&[2, 0, 0, 0, 0, address]);
    }
    frame.extend_from_slice(&[0x10, 0]);
    frame.extend_from_slice(body);
    frame
}

/// Association, beacons, data with power save and a retry, an end.
fn wifi_frames() -> Vec<Vec<u8>> {
    let beacon =
        [&[0; 8][..], &[100, 0, 0x11, 0, 0, 4], b"home", &[1, 2, 0x82, 0x84, 5, 4, 0, 1, 0, 2]].concat();
    let llc = [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &segment(true, 0x02, [100, 0], b"")].concat();
    vec![
        mac(0xb0, 0, 3, 1, &[0, 0, 1, 0, 0, 0]),
        mac(0x00, 0, 3, 1, &[0x11, 0, 3, 0, 0, 4, b'h', b'o', b'm', b'e']),
        mac(0x10, 0, 1, 3, &[0x11, 0, 0, 0, 1, 0xc0]),
        mac(0x80, 0, 0xff, 3, &beacon),
        mac(0x08, 0x11, 3, 1, &llc),
        mac(0x08, 0x0a, 1, 3, &llc),
        mac(0x88, 0x02, 1, 3, &[&[0x80, 0][..], &llc].concat()),
        mac(0xc0, 0, 1, 3, &[8, 0]),
    ]
}

pub(crate) fn air() -> Vec<Vec<u8>> {
    let radiotap =
        |frame: Vec<u8>| [&[0, 0, 14, 0, 0x2e, 0x48, 0, 0, 0, 2, 0x6c, 9, 0xc0, 0][..], &frame].concat();
    let plain: Vec<_> = wifi_frames().into_iter().map(|frame| (0, 100, frame)).collect();
    let heard: Vec<_> = wifi_frames().into_iter().map(|frame| (1, 100, radiotap(frame))).collect();
    vec![frames(&[], &plain), frames(&[], &heard), frames(&[], &[plain, heard].concat())]
}

/// A classic capture file.
fn pcap(link: u32, packets: &[Vec<u8>]) -> Vec<u8> {
    let head = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, link];
    let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (second, packet) in (0..).zip(packets) {
        let length = packet.len() as u32;
        bytes.extend(
            [1_700_000_000 + second, 5, length, length].iter().flat_map(|word: &u32| word.to_le_bytes()),
        );
        bytes.extend_from_slice(packet);
    }
    bytes
}

/// The same in the other format, with a name, statistics and a comment.
fn pcapng(link: u16, packets: &[Vec<u8>]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let length = (padded as u32 + 12).to_le_bytes();
        let mut block = [&kind.to_le_bytes()[..], &length, body].concat();
        block.resize(8 + padded, 0);
        block.extend_from_slice(&length);
        block
    };
    let mut bytes =
        block(0x0a0d_0d0a, &[&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat());
    let interface =
        [&link.to_le_bytes()[..], &[0, 0, 0, 0, 4, 0, 9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat();
    bytes.extend(block(1, &interface));
    for (number, packet) in (0_u32..).zip(packets) {
        let length = (packet.len() as u32).to_le_bytes();
        let at = [0, 0, 0, 0, (number << 20).to_le_bytes()[0], 1, 2, 3, 4, 5, 6, 7];
        let mut body = [&at[..], &length, &length, packet].concat();
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend_from_slice(&[1, 0, 4, 0, b'n', b'o', b't', b'e', 0, 0, 0, 0]);
        bytes.extend(block(6, &body));
    }
    bytes.extend(block(
        5,
        &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 8, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ));
    bytes
}

pub(crate) fn capture_files() -> Vec<Vec<u8>> {
    let packets = conversation(true);
    let tagged: Vec<_> = conversation(false).iter().map(|packet| ethernet(packet)).collect();
    vec![
        pcap(101, &packets),
        pcap(1, &tagged),
        pcap(105, &wifi_frames()),
        pcapng(101, &packets),
        pcapng(105, &wifi_frames()),
    ]
}

pub(crate) fn scenarios() -> Vec<Vec<u8>> {
    let inventory =
        "[[device]]\nname = \"a\"\ntarget = \"192.168.1.5\"\ntags = [\"x\"]\ntoken_env = \"TOKEN\"\n";
    BUILT_IN.iter().map(|one| one.text.into()).chain([inventory.into()]).collect()
}

#[cfg(target_os = "linux")]
pub(crate) fn sdkconfigs() -> Vec<Vec<u8>> {
    let files = [
        include_str!("../../../configs/sdkconfig.std"),
        include_str!("../../../configs/sdkconfig.expr"),
        include_str!("../../../configs/sdkconfig.current"),
    ];
    files.map(Into::into).into()
}

pub(crate) fn settings() -> Vec<Vec<u8>> {
    let of = |which: u8, texts: &[&str]| -> Vec<Vec<u8>> {
        texts.iter().map(|text| headed(&[which], text)).collect()
    };
    let personas = of(0, &["robust", "rebooting:every=8s", "early-close:wait=5ms", "hoarder", "mqtt-storm"]);
    let gates = of(
        1,
        &[
            "errors < 1%",
            "head.latency.total.p99 < 250ms",
            "rw.goodput > 10KiB/s\nerrors == 0",
            "anomalies.device == 0",
        ],
    );
    let links = of(
        2,
        &[
            "home",
            "clean,outage=1500ms@4s,outage=1500ms@12s",
            "delay=20ms,jitter=5ms,loss=1%,rate=1MiB/s",
            "min-modem",
        ],
    );
    [personas, gates, links].concat()
}

pub(crate) fn http_responses() -> Vec<Vec<u8>> {
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 301 Moved\r\nLocation: http://a/b\r\nContent-Type: Text/HTML; charset=x\r\n\r\nuntil the end",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm=\"x\", Basic\r\nContent-Length: 1\r\n\r\n.",
    ]
    .iter()
    .flat_map(|text| [headed(&[0, 0], text), headed(&[2, 3], text), headed(&[1, 0], text)])
    .collect()
}

/// A frame of the framed protocol.
fn framed(kind: Frame, sequence: u32, size: usize) -> Vec<u8> {
    let mut payload = vec![0; size];
    fill_payload(sequence, &mut payload);
    let mut frame = Header::new(kind, sequence, &payload).encode().to_vec();
    frame.extend_from_slice(&payload);
    frame
}

pub(crate) fn answers() -> Vec<Vec<u8>> {
    let echoes: Vec<u8> = (0..3).flat_map(|sequence| framed(Frame::EchoReply, sequence, 100)).collect();
    let session =
        [framed(Frame::Heartbeat, 1, 0), framed(Frame::Ack, 1, 0), framed(Frame::Heartbeat, 2, 16)].concat();
    vec![
        headed(&[0, 0], &echoes),
        headed(&[0, 7], &echoes),
        headed(&[1, 0], "\n1\n[\"data\", 5]\n{\"seq\":0,\"data\":\"aaaa\"}\n"),
        headed(&[2, 0], format!("exec 1 2 3\ndata 1 2 3\n{}", "HelloWorld@123 ".repeat(700))),
        headed(
            &[3, 0],
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        ),
        headed(&[4, 5], session),
    ]
}

pub(crate) fn websockets() -> Vec<Vec<u8>> {
    let frame = |first: u8, payload: &[u8]| {
        let mut frame = vec![first];
        match payload.len() {
            n @ 0..126 => frame.push(n as u8),
            n => frame.extend([&[126][..], &(n as u16).to_be_bytes()].concat()),
        }
        frame.extend_from_slice(payload);
        frame
    };
    // The echo of message 0: a mark, the number, the payload.
    let mut echo = vec![0xe5, 0x57, 0x0e, 0xc0, 0, 0, 0, 0];
    echo.resize(100, 0);
    fill_payload(0, &mut echo[8..]);
    let story = [
        frame(0x8a, &[0; 8]),
        frame(0x82, &echo),
        frame(0x89, b"ping"),
        frame(0x81, "text".as_bytes()),
        frame(0x01, b"frag"),
        frame(0x80, b"ment"),
        frame(0x88, &[3, 0xe8, b'b', b'y', b'e']),
    ]
    .concat();
    let long = frame(0x82, &[7; 300]);
    vec![headed(&[0], &story), headed(&[3], &story), headed(&[220], [story.clone(), long].concat())]
}

pub(crate) fn event_streams() -> Vec<Vec<u8>> {
    let text =
        "\u{feff}: comment\nid: 7\nevent: x\ndata: one\ndata: two\n\nretry: 2000\r\n\r\ndata\r\rid\n\n";
    vec![headed(&[0], text), headed(&[1], text), headed(&[5], text), headed(&[250], text)]
}

fn packet(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = vec![0; 2_048];
    let len = packet.encode(version, &mut bytes).unwrap_or(0);
    bytes.truncate(len);
    bytes
}

/// What a client says, and what a broker says.
fn mqtt_of(version: Version) -> [Vec<u8>; 2] {
    let id = PacketId::new(1);
    let (one, topic) = (id.unwrap_or_else(|| unreachable!("1 is an id")), "a/b");
    let subscription = Subscription { filter: topic, qos: Qos::ExactlyOnce, ..Subscription::default() };
    let publish =
        |qos, id| Packet::Publish(Publish { topic, payload: b"23.5", qos, id, ..Publish::default() });
    let list = [subscription];
    let client = [
        Packet::Connect(Connect {
            version,
            client_id: "dev",
            keep_alive: 15,
            clean: false,
            ..Connect::default()
        }),
        Packet::Subscribe(Subscribe { id: one, subscriptions: Subscriptions::new(&list) }),
        publish(Qos::AtLeastOnce, id),
        Packet::PubAck(Ack::of(one)),
        Packet::PubRec(Ack::of(one)),
        Packet::PubComp(Ack::of(one)),
        Packet::PingReq,
    ];
    let broker = [
        Packet::ConnAck(ConnAck::default()),
        Packet::SubAck(SubAck { id: one, codes: &[2] }),
        publish(Qos::AtMostOnce, None),
        publish(Qos::ExactlyOnce, id),
        Packet::PubRel(Ack::of(one)),
        Packet::PingResp,
    ];
    let all = |packets: &[Packet<'_>]| packets.iter().flat_map(|one| packet(one, version)).collect();
    [all(&client), all(&broker)]
}

pub(crate) fn mqtt() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (number, version) in [Version::V311, Version::V5].into_iter().enumerate() {
        for said in mqtt_of(version) {
            for qos in [1, 2] {
                inputs.push(headed(&[number as u8, qos, 0], &said));
                inputs.push(headed(&[number as u8, qos, 9], &said));
            }
        }
    }
    inputs
}

pub(crate) fn consoles() -> Vec<Vec<u8>> {
    let panic = "I (900) app: up\r\nGuru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\r\n\
                 Core  0 register dump:\r\nPC      : 0x400d1234  PS      : 0x00060330\r\nBacktrace: 0x400d1231:0x3ffb5c50 \
                 0x400d1234:0x3ffb5c70\r\nRebooting...\r\nets Jun  8 2016 00:22:57\r\nrst:0xc (SW_CPU_RESET),boot:0x13 \
                 (SPI_FAST_FLASH_BOOT)\r\nI (30) boot: ESP-IDF v5.1 2nd stage bootloader\r\n";
    let dog = "\x1b[0;31mE (1900) task_wdt: Task watchdog got triggered. The following tasks/users did not reset the watchdog \
               in time:\x1b[0m\nE (1900) task_wdt:  - IDLE (CPU 0)\nE (1900) task_wdt: Aborting.\nabort() was called at PC \
               0x400d1234 on core 0\n";
    let wifi = "I (512) wifi:state: run -> init (200)\nI (600) wifi: bcn_timeout,ap_probe_send_start\nW (700) httpd: \
                httpd_accept_conn: error in accept (23)\nE (701) heap: free 1024 largest 512\nFree heap: 20480\nerrno: 104\n";
    vec![
        headed(&[0, 0], panic),
        headed(&[0, 17], dog),
        headed(&[0, 40], wifi),
        headed(
            &[1, 0],
            [&[255, 251, 44, 255, 253, 0, 255, 250, 44, 1, 255, 240][..], wifi.as_bytes()].concat(),
        ),
    ]
}

pub(crate) fn telemetry() -> Vec<Vec<u8>> {
    use espstress_device::{Config, Instant, Program, Readings};

    let program = Program::new(Config::default(), Instant::ZERO);
    let mut answer = [0; 1_400];
    let len = program.telemetry(&Readings::default(), Instant::ZERO, &mut answer);
    vec![
        answer[..len].to_vec(),
        br#"{"heap_free_bytes": 1000, "services": {"http": {"open": 1, "errors": {"x": 2}}}}"#.to_vec(),
    ]
}

/// A recorder that has seen some attempts, one a second.
fn recorded(latencies_ms: &[u64]) -> (Recorder, Vec<PhaseProgress>) {
    let mut recorder = Recorder::new(0, Phase::Total);
    let mut progress = Vec::new();
    for (second, ms) in (1..).zip(latencies_ms) {
        if *ms == 0 {
            recorder.attempt(0, 1, Err(Failure::ReadTimeout));
        } else {
            recorder.attempt(0, 1, Ok(()));
            recorder.latency(Phase::Total, ms * 1_000_000);
        }
        progress.push(recorder.roll(second * 1_000_000_000));
    }
    (recorder, progress)
}

fn report_of(address: &str, latencies_ms: &[u64]) -> Report {
    let scenario = serde_json::json!({ "name": "head" });
    let mut report =
        Report::new(Target::new(address, TargetKind::Device), scenario, 7, 1_700_000_000_000_000_000);
    let (recorder, _) = recorded(latencies_ms);
    let length = latencies_ms.len() as u64 * 1_000_000_000;
    let params = serde_json::json!({ "path": "/", "count": latencies_ms.len() });
    report.workloads.push(Workload::from_stats("head", "head", params, &recorder.finish(length)));
    report.duration_s = length as f64 / 1e9;
    report
}

pub(crate) fn reports() -> Vec<Vec<u8>> {
    let (a, b) = (report_of("10.0.0.1:80", &[10, 20, 0]), report_of("10.0.0.2:80", &[30, 40, 50]));
    let [a, b] = [a, b].map(|report| espstress_report::to_json(&report));
    // Shorter as one line: a change hits what is said, not the space between.
    let [a, b] = [a, b]
        .map(|text| serde_json::from_str::<serde_json::Value>(&text).map_or(text, |value| value.to_string()));
    let two = |a: &str, b: &str| headed(&(a.len() as u16).to_le_bytes(), format!("{a}{b}"));
    vec![two(&a, &b), two(&a, &a), two(&b, "")]
}

pub(crate) fn logs() -> Vec<Vec<u8>> {
    let target = Target::new("127.0.0.1:80", TargetKind::Sim);
    let params = serde_json::json!({});
    let announced =
        Announced { name: "head".into(), kind: "head".into(), params, facts: None, main_phase: Phase::Total };
    let mut start = LogStart {
        workloads: vec![announced],
        ..LogStart::new(target, serde_json::json!({ "name": "t" }), 7)
    };
    start.started(1_700_000_000_000_000_000);
    let (recorder, progress) = recorded(&[10, 0, 30]);
    let mut lines = vec![
        LogLine::Start(Box::new(start)),
        LogLine::PhaseStart(PhaseStart { workload: "head".into(), at_s: 0.0 }),
    ];
    let mut before = PhaseProgress::default();
    for (second, now) in (0..).map(f64::from).zip(progress) {
        let mut latencies = Latency::default();
        now.latencies.iter().for_each(|(ns, count)| latencies.record_n(*ns, *count));
        let line = IntervalLine::between("head".into(), (second, &before), (second + 1.0, &now), &latencies);
        lines.push(LogLine::Interval(Box::new(line)));
        before = now;
    }
    lines.push(LogLine::Notice(NoticeLine { at_s: 2.0, text: "a remark".into() }));
    let cut: String = lines.iter().map(LogLine::to_text).collect();
    drop(recorder);
    let report = report_of("127.0.0.1:80", &[10, 0, 30]);
    let end =
        LogLine::End(Box::new(LogEnd { duration_s: report.duration_s, verdict: report.verdict, report }))
            .to_text();
    vec![cut.clone().into(), (cut + &end).into()]
}

pub(crate) fn device_services() -> Vec<Vec<u8>> {
    let requests = [
        "HEAD / HTTP/1.1\r\nHost: d\r\n\r\n",
        "GET /telemetry HTTP/1.1\r\nHost: d\r\n\r\nGET /?bytes=5000 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
        "POST /control?persona=serial HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer t\r\nContent-Length: 20\r\n\r\n{\"outage_ms\": 1000 }",
        "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 99999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "telemetry 7",
    ];
    let mut inputs: Vec<Vec<u8>> = requests
        .iter()
        .flat_map(|text| [headed(&[0, 0, 0, 255, 0], text), headed(&[0, 0, 9, 3, 5], text)])
        .collect();
    let frames =
        [framed(Frame::Echo, 0, 100), framed(Frame::Heartbeat, 1, 0), framed(Frame::Echo, 1, 3_000)].concat();
    // Found here: half an end of a line, and then nothing for longer than a keep-alive.
    inputs.push(headed(&[3, 9, 20, 13, 1], "\r\n\r\r\r\r\n\r"));
    for (service, said) in [(1, &frames[..]), (2, b"GET / HTTP/1.1\r\n\r\n"), (3, b"1\n{\"n\":1}\n\n[1]\n")] {
        for persona in [0, 3, 9] {
            inputs.push(headed(&[service, persona, 20, 255, 0], said));
        }
    }
    inputs
}

pub(crate) fn device_mqtt() -> Vec<Vec<u8>> {
    let [_, broker] = mqtt_of(Version::V311);
    let command = Publish {
        topic: "espstress/espstress-1/cmd",
        payload: b"{\"outage_ms\": 100}",
        qos: Qos::AtLeastOnce,
        id: PacketId::new(9),
        ..Publish::default()
    };
    let command = packet(&Packet::Publish(command), Version::V311);
    let said = [broker, command].concat();
    (0..12).map(|persona| headed(&[persona, 0x51, 20, 0], &said)).collect()
}

#[cfg(target_os = "linux")]
pub(crate) fn program_calls() -> Vec<Vec<u8>> {
    // A struct msghdr at 0 whose name is at 128 and whose two parts are at 256, and these.
    let pointer = |offset: u16| [&offset.to_le_bytes()[..], &[0; 4], &[0xb5, 0xb5]].concat();
    let mut room = vec![0; 512];
    let words = [(0, pointer(128)), (8, vec![16]), (16, pointer(256)), (24, vec![2])];
    let parts = [(256, pointer(1_024)), (264, vec![100]), (272, pointer(2_048)), (280, vec![0, 1])];
    let address = [(128, vec![2, 0, 0, 80, 192, 168, 4, 91])];
    for (at, bytes) in words.into_iter().chain(parts).chain(address) {
        room[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    let argument = |tag: u8, number: u16| [tag, number.to_le_bytes()[0], number.to_le_bytes()[1]];
    (0..12)
        .map(|call| {
            let mut input = vec![call];
            let at = if call == 10 { 128 } else { 0 };
            for one in [(1, 3), (0, at), (1, 16), (0, 0), (0, 128), (1, 16)] {
                input.extend(argument(one.0, one.1));
            }
            input.extend([200, 0]);
            input.extend_from_slice(&room);
            input
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use espstress_device::mqtt::{Decoded, decode};
    use espstress_observe::file::Reader;

    use super::*;

    /// A corpus that its reader refuses at once tests nothing behind that.
    #[test]
    fn readers_take_their_corpora() {
        for bytes in capture_files() {
            let mut reader = Reader::new(Box::new(Cursor::new(bytes))).unwrap();
            while reader.next_record().is_some() {}
            assert!(reader.packets() >= 7 && reader.into_end().is_some_and(|end| end.is_complete()));
        }
        for bytes in scenarios() {
            let text = String::from_utf8(bytes).unwrap();
            let read = espstress_scenario::Scenario::parse("x", &text).map(drop);
            let listed = espstress_scenario::Inventory::parse("x", &text).map(drop);
            assert!(read.is_ok() || listed.is_ok(), "{read:?} {listed:?}");
        }
        for bytes in logs() {
            assert_eq!(
                espstress_report::read_log_bytes("x", &bytes).unwrap().report.workloads[0].attempts,
                3
            );
        }
        for bytes in reports() {
            let first = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
            let text = std::str::from_utf8(&bytes[2..2 + first]).unwrap();
            espstress_report::from_json("x", text).unwrap();
        }
        for (version, said) in
            [Version::V311, Version::V5].into_iter().flat_map(|v| mqtt_of(v).map(|said| (v, said)))
        {
            let mut rest = &said[..];
            while let Decoded::Packet { len, .. } = decode(rest, version, 1_000).unwrap() {
                rest = &rest[len..];
            }
            assert!(rest.is_empty() && said.len() > 30, "{version:?}: {rest:?}");
        }
    }
}
