//! `discover`, among responders in a network of each test's own: multicast never leaves it.

use std::io::BufRead as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use edge_mdns::domain::base::Ttl;
use edge_mdns::host::{Host, Service, ServiceAnswers};
use edge_mdns::{HostAnswersMdnsHandler, MdnsHandler, MdnsRequest, MdnsResponse};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::common::apart::{OWN_NETWORK, apart, ip};
use crate::common::{espstress, espstress_with, failure, skipped};

/// Of the interface that the responders are on.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

const GROUP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);

/// Searches until one has what is looked for; a loaded machine may need more than one.
const SEARCHES: usize = 10;

fn in_a_network(test: &str, body: fn()) {
    apart("twin", &format!("{}::{test}", module_path!()), &OWN_NETWORK, body);
}

fn with_an_interface() {
    ip("link set lo up");
    // The other end is there for the carrier alone.
    ip("link add mdns0 type veth peer name far");
    ip("link set far addrgenmode none up");
    ip("address add 10.77.0.1/24 dev mdns0");
    ip("link set mdns0 up");
    // The kernel tells of the carrier a while after it is there.
    let give_up = Instant::now() + Duration::from_secs(60);
    while !running("mdns0") {
        assert!(Instant::now() < give_up, "mdns0 is not up");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn running(interface: &str) -> bool {
    let shown = Command::new("ip").args(["link", "show", interface]).output().unwrap();
    String::from_utf8_lossy(&shown.stdout).contains("state UP")
}

/// Answers what comes with what `device` makes of it, until the test's process ends.
fn respond(mut device: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, GROUP.port()).into()).unwrap();
    socket.join_multicast_v4(GROUP.ip(), &ADDRESS).unwrap();
    socket.set_multicast_if_v4(&ADDRESS).unwrap();
    socket.set_multicast_ttl_v4(255).unwrap();
    let socket = UdpSocket::from(socket);
    std::thread::spawn(move || {
        let mut message = [0; 9_000];
        loop {
            let (len, _) = socket.recv_from(&mut message).unwrap();
            for answer in device(&message[..len]) {
                socket.send_to(&answer, GROUP).unwrap();
            }
        }
    });
}

/// What a board answers, by the responder that the boards have.
fn board(name: &str, txt: &[(&str, &str)], request: &[u8]) -> Option<Vec<u8>> {
    announcement(name, ("_espstress", 7007), txt, Ttl::from_secs(120), request)
}

fn announcement(
    name: &str,
    (service, port): (&str, u16),
    txt: &[(&str, &str)],
    ttl: Ttl,
    request: &[u8],
) -> Option<Vec<u8>> {
    let host = Host { hostname: name, ipv4: ADDRESS, ipv6: Ipv6Addr::UNSPECIFIED, ttl };
    let service = Service {
        name,
        priority: 0,
        weight: 0,
        service,
        protocol: "_tcp",
        port,
        service_subtypes: &[],
        txt_kvs: txt,
    };
    let mut answer = vec![0; 1_400];
    let request = MdnsRequest::Request { legacy: false, multicast: true, data: request };
    match HostAnswersMdnsHandler::new(ServiceAnswers::new(&host, &service)).handle(request, &mut answer) {
        Ok(MdnsResponse::Reply { data, .. }) => Some(data.to_vec()),
        Ok(MdnsResponse::None) | Err(_) => None,
    }
}

const TXT: [(&str, &str); 5] = [
    ("stack", "smoltcp"),
    ("persona", "robust"),
    ("capacity", "5"),
    ("firmware", "0.1.0"),
    ("chip", "ESP32-C3"),
];

fn search(arguments: &str) -> Output {
    let output = espstress_with(&format!("discover {arguments}"));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// Searches until a device of that name has an address, and gives what was heard then.
fn until_found(name: &str) -> Value {
    let mut heard = Value::Null;
    for _ in 0..SEARCHES {
        heard = serde_json::from_slice(&search("--json --timeout 2s").stdout).unwrap();
        if device(&heard, name).is_some_and(|device| device["addresses"][0].is_string()) {
            return heard;
        }
    }
    panic!("{name} is not found: {heard:#}");
}

fn device<'a>(heard: &'a Value, name: &str) -> Option<&'a Value> {
    heard["devices"].as_array().unwrap().iter().find(|device| device["name"] == name)
}

#[test]
fn a_board_is_found_with_what_it_says_of_itself() {
    in_a_network("a_board_is_found_with_what_it_says_of_itself", || {
        with_an_interface();
        respond(|request| board("espstress-a1b2", &TXT, request).into_iter().collect());
        respond(|request| board("espstress-c3d4", &[("stack", "lwIP")], request).into_iter().collect());
        let heard = until_found("espstress-a1b2");
        let found = device(&heard, "espstress-a1b2").unwrap();
        assert_eq!(found["addresses"], serde_json::json!(["10.77.0.1"]));
        assert_eq!((&found["port"], &found["capacity"]), (&7007.into(), &5.into()));
        assert_eq!((&found["stack"], &found["persona"]), (&"smoltcp".into(), &"robust".into()));
        assert_eq!((&found["firmware"], &found["txt"]["chip"]), (&"0.1.0".into(), &"ESP32-C3".into()));
        let heard = until_found("espstress-c3d4");
        assert!(device(&heard, "espstress-c3d4").unwrap()["persona"].is_null(), "{heard:#}");
        let told = (0..SEARCHES).any(|_| {
            let page = String::from_utf8(search("--interface mdns0 --timeout 2s").stdout).unwrap();
            page.contains(
                "espstress-a1b2  10.77.0.1  7007  _espstress._tcp  smoltcp, robust, holds 5, 0.1.0, ",
            ) && page.contains("espstress run -t 10.77.0.1")
        });
        assert!(told, "no table has the board's line");
    });
}

#[test]
fn a_fleet_is_made_of_the_devices_that_announce_themselves() {
    in_a_network("a_fleet_is_made_of_the_devices_that_announce_themselves", || {
        with_an_interface();
        let place = crate::common::server_at(ADDRESS, crate::common::answer_all);
        respond(move |request| {
            let service = ("_http", place.port());
            let answer = announcement("kitchen", service, &[("path", "/")], Ttl::from_secs(120), request);
            answer.into_iter().collect()
        });
        let head = "head --targets discover --service http -n 10 --no-capture --no-probes --json";
        let found = (0..SEARCHES).any(|_| {
            let output = espstress_with(head);
            let Ok(fleet) = serde_json::from_slice::<Value>(&output.stdout) else { return false };
            let device = &fleet["devices"][0];
            assert_eq!((&device["name"], &device["tags"][0]), (&"kitchen".into(), &"_http._tcp".into()));
            assert_eq!(device["report"]["workloads"][0]["succeeded"], 10, "{fleet:#}");
            true
        });
        assert!(found, "no search has found it");
    });
}

#[test]
fn a_responder_that_stops_is_told_while_its_web_server_still_accepts() {
    in_a_network("a_responder_that_stops_is_told_while_its_web_server_still_accepts", || {
        with_an_interface();
        let server = std::net::TcpListener::bind((ADDRESS, 8080)).unwrap();
        std::thread::spawn(move || server.incoming().for_each(drop));
        let mut first = None;
        respond(move |request| {
            let ttl = Ttl::from_secs(2);
            let answer = announcement("kitchen", ("_http", 8080), &[("path", "/")], ttl, request);
            // Answers for a second and then never again, as a responder that has run out of memory.
            let now = Instant::now();
            let stopped = answer.is_some() && now - *first.get_or_insert(now) > Duration::from_secs(1);
            answer.filter(|_| !stopped).into_iter().collect()
        });
        let mut watch = espstress()
            .args(["discover", "--watch", "--service", "http"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let lines = std::io::BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut told: Vec<String> = Vec::new();
        for line in lines {
            told.push(line);
            if told.last().unwrap().contains("no longer announced") {
                break;
            }
        }
        watch.kill().unwrap();
        watch.wait().unwrap();
        assert!(told[0].ends_with("kitchen (_http._tcp) appeared at 10.77.0.1:8080"), "{told:?}");
        let end = "kitchen (_http._tcp) is no longer announced, but 10.77.0.1:8080 still accepts connections";
        assert!(told.last().unwrap().ends_with(end), "{told:?}");
    });
}

#[test]
fn a_service_that_is_none_is_a_usage_error() {
    let (said, status) = failure(&espstress_with("discover --service http.tcp"));
    assert!(
        status == 2 && said.contains("--service http.tcp") && said.contains("_http._tcp"),
        "{status}: {said}"
    );
}

#[test]
fn a_twin_on_the_boards_stack_is_found() {
    // In the twin's own network, by a shell; a loaded machine may need more than one search.
    let search = "\"$0\" discover --json --timeout 2s > heard.json || exit 9";
    let script = format!(
        "for i in 1 2 3 4 5 6 7 8; do {search}; grep -q '\"persona\": \"hoarder\"' heard.json && break; done; cat heard.json"
    );
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_espstress");
    let output = espstress()
        .current_dir(&folder)
        .args(["twin", "--stack", "smoltcp", "--persona", "hoarder", "--", "sh", "-c", &script, program])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(3) && (said.contains("namespace") || said.contains("tun")) {
        return skipped("twin", &said);
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let heard: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    let found = device(&heard, "espstress-twin").unwrap_or_else(|| panic!("{heard:#}"));
    assert_eq!(found["addresses"], serde_json::json!(["192.168.4.91"]));
    assert_eq!((&found["stack"], &found["persona"]), (&"smoltcp".into(), &"hoarder".into()));
    assert_eq!(found["firmware"], env!("CARGO_PKG_VERSION"));
    assert!(found["capacity"].as_u64() > Some(1), "{found:#}");
}

#[test]
fn hostile_answers_change_no_terminal_and_hide_no_board() {
    in_a_network("hostile_answers_change_no_terminal_and_hide_no_board", || {
        const SEED: u64 = 0x5EED;
        with_an_interface();
        respond(|request| board("espstress-a1b2", &TXT, request).into_iter().collect());
        let mut state = SEED;
        let mut below = move |limit: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as usize % limit
        };
        respond(move |request| {
            let name = "\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{9b}31m";
            let Some(whole) = board(name, &[("stack", "\u{1b}[31m\u{202e}"), ("capacity", "-1")], request)
            else {
                return Vec::new();
            };
            let mut answers: Vec<Vec<u8>> = (0..100)
                .map(|_| {
                    let mut damaged = whole.clone();
                    for _ in 0..=below(8) {
                        // Behind the identifier and the flags, so that it is looked at as an answer.
                        let at = 4 + below(damaged.len() - 4);
                        damaged[at] = below(256) as u8;
                    }
                    damaged.truncate(1 + below(damaged.len()));
                    damaged
                })
                .collect();
            // A name that points to itself (RFC 1035 section 4.1.4).
            let head =
                [0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0xC0, 12, 0, 12, 0, 1, 0, 0, 0, 9, 0, 2, 0xC0, 12];
            answers.extend([head.to_vec(), Vec::new(), vec![0xFF; 1_400], whole]);
            answers
        });
        let mut seen = false;
        for _ in 0..SEARCHES {
            for form in ["", "--json"] {
                let output = search(&format!("--timeout 2s {form}"));
                let said =
                    [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
                let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
                assert!(!said.contains(obeyed), "seed {SEED:#x}: {said:?}");
                assert!(!said.contains("panicked"), "seed {SEED:#x}: {said}");
                seen |= said.contains("[2J") && said.contains("espstress-a1b2");
            }
            if seen {
                return;
            }
        }
        panic!("seed {SEED:#x}: both were never told in one search");
    });
}

#[test]
fn with_nobody_there_it_says_what_to_check_and_is_done() {
    in_a_network("with_nobody_there_it_says_what_to_check_and_is_done", || {
        with_an_interface();
        let words = String::from_utf8(search("--timeout 200ms").stdout).unwrap();
        for part in ["within 200ms on mdns0 (10.77.0.1)", "What to check", "5353", "same one"] {
            assert!(words.contains(part), "{part:?} is not in: {words}");
        }
        let heard: Value = serde_json::from_slice(&search("--timeout 200ms --json").stdout).unwrap();
        assert_eq!(heard["devices"], serde_json::json!([]));
    });
}

#[test]
fn without_a_network_or_the_interface_it_does_not_run() {
    in_a_network("without_a_network_or_the_interface_it_does_not_run", || {
        ip("link set lo up");
        let (said, status) = failure(&espstress_with("discover --timeout 200ms"));
        assert!(status == 3 && said.contains("loopback"), "{status}: {said}");
        let (said, status) = failure(&espstress_with("discover --timeout 200ms --interface wlan9"));
        assert!(
            status == 3 && said.contains("wlan9") && said.contains("usable interfaces: lo"),
            "{status}: {said}"
        );
    });
}

/// A run that goes on; ends when dropped.
struct Watching(std::process::Child);

impl Drop for Watching {
    fn drop(&mut self) {
        // Its own child, not yet waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_twin_announces_itself_without_hardware() {
    let mut command = espstress();
    command.args(["discover", "twin", "--watch", "--json", "--timeout", "2m"]);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut watching = Watching(command.spawn().unwrap());
    let mut lines = std::io::BufReader::new(watching.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let found = lines.find_map(|line| {
        let device = serde_json::from_str::<Value>(&line).unwrap()["device"].take();
        let whole = device["name"] == "espstress-twin"
            && device["addresses"] == serde_json::json!(["192.168.4.91"])
            && device["stack"] == "lwIP";
        whole.then_some(device)
    });
    let Some(device) = found else {
        let said = std::io::read_to_string(watching.0.stderr.take().unwrap()).unwrap();
        assert!(said.contains("private network") || said.contains("/dev/net/tun"), "{said}");
        return skipped("twin", &said);
    };
    assert_eq!(device["service"], "_espstress._tcp");
    assert_eq!(
        (&device["port"], &device["persona"], &device["capacity"]),
        (&7007.into(), &"robust".into(), &5.into())
    );
    assert_eq!(device["firmware"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn only_a_twin_is_started_to_be_found() {
    for target in ["sim", "192.168.4.91", "emu:x.bin"] {
        let (said, status) = failure(&espstress_with(&format!("discover {target}")));
        assert!(status == 2 && said.contains("only a twin"), "{status}: {said}");
    }
    let (said, status) = failure(&espstress_with("discover twin --interface eth0"));
    assert!(status == 2 && said.contains("--interface"), "{status}: {said}");
}
