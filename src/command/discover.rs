//! `discover`: devices that announce themselves.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::output::print;
use super::{Exit, Failed};
use espstress_cli::DiscoverArgs;
use espstress_clock::Span;
use espstress_targets::discover::{self, Announced, Change, Heard, Reach, ServiceName, Watched};
use espstress_targets::{Device, DeviceAddress, DeviceSetup, PublicAddresses, Spec};

/// Widest a column becomes, in characters: names, addresses, ports, services, and what a device says of itself.
const MAX_WIDTHS: [usize; COLUMNS] = [32, 32, 32, 32, 64];

/// What stands where a device has not said something.
const UNTOLD: &str = "-";

/// How long to listen where neither `--timeout` nor `--watch` says it.
const USUAL: Span = Span::millis(3_000);

/// `espstress discover`.
pub(super) fn discover(args: &DiscoverArgs) -> Result<Exit, Failed> {
    let named =
        |text: &String| text.parse().map_err(|error| Failed::usage(format!("--service {text}: {error}")));
    let services = match args.service.as_slice() {
        [] => ServiceName::usual(),
        chosen => chosen.iter().map(named).collect::<Result<_, _>>()?,
    };
    // It ends when it is dropped.
    let twin = args.target.as_deref().map(start_twin).transpose()?;
    let interface = twin.as_ref().and_then(|twin| twin.interface.as_deref()).or(args.interface.as_deref());
    if args.watch {
        return watch(args, &services, interface);
    }
    let timeout = args.timeout.unwrap_or(USUAL);
    let heard = discover::discover(&services, timeout.0, interface).map_err(Failed::environment)?;
    let text = if args.json {
        json(&heard, &services, timeout)
    } else if heard.devices.is_empty() {
        nothing(&heard, timeout)
    } else {
        page(&heard, args.target.as_deref())
    };
    print(&text).map_err(Failed::environment)?;
    Ok(Exit::Done)
}

/// Starts a twin that announces itself, and enters its private network.
fn start_twin(target: &str) -> Result<Device, Failed> {
    let usage = |why: &dyn std::fmt::Display| Failed::usage(format!("discover {target}: {why}"));
    let spec: Spec = target.parse().map_err(|error| usage(&error))?;
    if !matches!(spec, Spec::Twin(_)) {
        return Err(usage(
            &"discover can start only a twin; to find devices in your networks, leave the target out",
        ));
    }
    let setup = DeviceSetup {
        spec,
        persona: None,
        link: None,
        heap: None,
        stack: None,
        program: None,
        at: DeviceAddress::default(),
        announce: true,
        show_program: false,
        prints_console: false,
        dial: None,
        seed: super::run::random_seed(),
        public: PublicAddresses::Refused,
    };
    Device::bring_up(&setup).map_err(|error| match error.is_usage() {
        true => Failed::usage(error),
        false => Failed::environment(error),
    })
}

/// Prints a line a change, until the time is up or Ctrl-C ends the program.
fn watch(args: &DiscoverArgs, services: &[ServiceName], interface: Option<&str>) -> Result<Exit, Failed> {
    let mut failed = None;
    let tell = |watched: Watched| {
        let line = if args.json { json_line(&watched) } else { text_line(&watched) };
        let printed = print(&line);
        failed = printed.err();
        failed.is_none()
    };
    let length = args.timeout.map(|span| span.0);
    discover::watch(services, length, interface, tell).map_err(Failed::environment)?;
    failed.map_or(Ok(Exit::Done), |error| Err(Failed::environment(error)))
}

fn json_line(watched: &Watched) -> String {
    let (event, device, before) = match &watched.change {
        Change::Appeared(device) => ("appeared", device, None),
        Change::Changed { before, now } => ("changed", now, Some(before.as_ref())),
        Change::Gone(device) => ("gone", device, None),
    };
    let value = serde_json::json!({
        "at_s": watched.at.as_secs_f64(),
        "event": event,
        "device": device,
        "before": before,
        "reach": watched.reach,
    });
    format!("{value}\n")
}

fn text_line(watched: &Watched) -> String {
    let place = |device: &Announced| {
        let cell = |text: Option<String>| text.unwrap_or_else(|| UNTOLD.to_owned());
        format!("{}:{}", cell(device.addresses.first().cloned()), cell(device.port.map(|p| p.to_string())))
    };
    let (device, words) = match &watched.change {
        Change::Appeared(device) => (device, format!("appeared at {}", place(device))),
        Change::Changed { before, now } if place(before) != place(now) => {
            (now, format!("moved from {} to {}", place(before), place(now)))
        }
        Change::Changed { now, .. } => (now, "changed what it says of itself".to_owned()),
        Change::Gone(device) => {
            let there = match watched.reach {
                Some(Reach::Accepts) => format!(", but {} still accepts connections", place(device)),
                Some(Reach::Refuses) => format!("; {} refuses connections", place(device)),
                Some(Reach::Silent) => format!("; {} doesn't answer", place(device)),
                None => String::new(),
            };
            (device, format!("is no longer announced{there}"))
        }
    };
    format!("{:8.1} s  {} ({}) {words}\n", watched.at.as_secs_f64(), device.name, device.service)
}

fn json(heard: &Heard, services: &[ServiceName], timeout: Span) -> String {
    let interfaces: Vec<&str> = heard.interfaces.iter().map(|(name, _)| name.as_str()).collect();
    let value = serde_json::json!({
        "services": services,
        "interfaces": interfaces,
        "listened_s": timeout.0.as_secs_f64(),
        "devices": heard.devices,
        "devices_left_out": heard.beyond,
    });
    espstress_report::pretty(&value)
}

fn nothing(heard: &Heard, timeout: Span) -> String {
    let words = |(name, address): &(String, IpAddr)| format!("{name} ({address})");
    let interfaces: Vec<String> = heard.interfaces.iter().map(words).collect();
    format!(
        "No device announced itself within {timeout} on {}.

What to check:
  the device      it is up and has joined: its console shows its address
  the network     it is the same one: multicast crosses no router, and guest networks keep stations apart
  the filters     multicast DNS (UDP port 5353, 224.0.0.251) may pass this host's firewall and the access point
  the firmware    it announces a service: ours, ESPHome and Arduino OTA do; others only if their program asks for it
  the service     it is one that espstress looks for, or you name it with --service

A device whose address is known needs no announcement: espstress head ADDRESS
",
        interfaces.join(", ")
    )
}

const COLUMNS: usize = 5;

fn page(heard: &Heard, twin: Option<&str>) -> String {
    let heads = ["NAME", "ADDRESS", "PORT", "SERVICE", "ABOUT"];
    let rows: Vec<[String; COLUMNS]> = heard.devices.iter().map(row).collect();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| console::measure_text_width(&row[column]));
        cells.chain([heads[column].len()]).max().unwrap_or_default().min(MAX_WIDTHS[column])
    });
    let mut text = line(&heads.map(str::to_owned), &widths);
    for row in &rows {
        text.push_str(&line(row, &widths));
    }
    if heard.beyond > 0 {
        let _ = writeln!(text, "and {} announcements beyond, which were not kept", heard.beyond);
    }
    // A twin ends with this command, and its address may be another machine's elsewhere.
    let next = twin.map_or_else(|| next(&heard.devices), |twin| Some(format!("run -t {twin}")));
    if let Some(next) = next {
        let _ = writeln!(text, "\nNext: espstress {next}");
    }
    text
}

/// What to run first against one of them: our devices have every service, a web server needs its port.
fn next(devices: &[Announced]) -> Option<String> {
    let first = |service: &str| {
        let one = devices.iter().find(|one| one.service == service && !one.addresses.is_empty())?;
        Some((one.addresses.first()?, one.port?))
    };
    if let Some((address, _)) = first("_espstress._tcp") {
        return Some(format!("run -t {address}"));
    }
    let (address, port) = first("_http._tcp")?;
    Some(match port {
        80 => format!("doctor {address}"),
        port if address.contains(':') => format!("doctor [{address}]:{port}"),
        port => format!("doctor {address}:{port}"),
    })
}

fn row(device: &Announced) -> [String; COLUMNS] {
    let told = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    [
        told(Some(&device.name)),
        told(device.addresses.first()),
        device.port.map(|port| port.to_string()),
        told(Some(&device.service)),
        told(Some(&about(device))),
    ]
    .map(|cell| cell.unwrap_or_else(|| UNTOLD.to_owned()))
}

/// What it says of itself, on one line.
fn about(device: &Announced) -> String {
    let ours = [
        device.stack.clone(),
        device.persona.clone(),
        device.capacity.map(|number| format!("holds {number}")),
        device.firmware.clone(),
    ];
    let others = device.txt.iter().map(|(key, value)| format!("{key}={value}"));
    ours.into_iter().flatten().chain(others).collect::<Vec<_>>().join(", ")
}

fn line(cells: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    let cells = cells.iter().zip(widths);
    let padded = cells.map(|(cell, &width)| {
        console::pad_str(cell, width, console::Alignment::Left, Some("..")).into_owned()
    });
    let mut line = padded.collect::<Vec<_>>().join("  ").trim_end().to_owned();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(devices: Vec<Announced>) -> Heard {
        let interfaces = vec![("wlan0".to_owned(), IpAddr::from([192, 168, 4, 1]))];
        Heard { devices, beyond: 0, interfaces }
    }

    fn board() -> Announced {
        Announced {
            name: "espstress-a1b2".to_owned(),
            service: "_espstress._tcp".to_owned(),
            addresses: vec!["192.168.4.91".to_owned(), "fe80::1".to_owned()],
            port: Some(7007),
            capacity: Some(5),
            persona: Some("robust".to_owned()),
            ..Announced::default()
        }
    }

    #[test]
    fn a_table_has_a_line_a_device_and_says_what_to_do_next() {
        let silent = Announced {
            name: "a-board-that-has-not-answered-any-further".to_owned(),
            service: "_http._tcp".to_owned(),
            ..Announced::default()
        };
        let page = page(&heard(vec![board(), silent]), None);
        assert_eq!(
            page,
            "NAME                              ADDRESS       PORT  SERVICE          ABOUT
espstress-a1b2                    192.168.4.91  7007  _espstress._tcp  robust, holds 5
a-board-that-has-not-answered-..  -             -     _http._tcp       -

Next: espstress run -t 192.168.4.91
"
        );
    }

    #[test]
    fn a_twin_that_has_ended_is_named_and_not_its_address() {
        let page = page(&heard(vec![board()]), Some("twin:std"));
        assert!(page.ends_with("\n\nNext: espstress run -t twin:std\n"), "{page}");
    }

    #[test]
    fn with_no_device_it_says_where_it_listened_and_what_to_check() {
        let words = nothing(&heard(Vec::new()), Span::millis(3_000));
        for part in ["within 3s", "wlan0 (192.168.4.1)", "same one", "5353", "224.0.0.251", "firewall"] {
            assert!(words.contains(part), "{part:?} is not in: {words}");
        }
    }

    #[test]
    fn json_has_null_where_the_device_says_nothing() {
        let value: serde_json::Value =
            serde_json::from_str(&json(&heard(vec![board()]), &ServiceName::usual(), Span::millis(3_000)))
                .unwrap();
        assert_eq!(value["listened_s"], 3.0);
        let device = &value["devices"][0];
        assert_eq!((&device["port"], &device["capacity"]), (&7007.into(), &5.into()));
        assert!(device["stack"].is_null() && device["firmware"].is_null(), "{device}");
    }

    #[test]
    fn the_next_command_names_the_port_of_a_web_server_that_has_another() {
        let web = |address: &str, port| Announced {
            service: "_http._tcp".to_owned(),
            addresses: vec![address.to_owned()],
            port: Some(port),
            ..Announced::default()
        };
        assert_eq!(next(&[web("192.168.4.7", 80)]).as_deref(), Some("doctor 192.168.4.7"));
        assert_eq!(next(&[web("192.168.4.7", 8080)]).as_deref(), Some("doctor 192.168.4.7:8080"));
        assert_eq!(next(&[web("fe80::1", 8080)]).as_deref(), Some("doctor [fe80::1]:8080"));
        assert_eq!(next(&[web("192.168.4.7", 80), board()]).as_deref(), Some("run -t 192.168.4.91"));
        assert_eq!(next(&[Announced { service: "_mqtt._tcp".to_owned(), ..web("192.168.4.7", 1883) }]), None);
    }

    #[test]
    fn a_watch_says_what_changed_and_whether_a_silent_device_is_still_there() {
        let at = std::time::Duration::from_millis(12_340);
        let moved = Announced { addresses: vec!["192.168.4.92".to_owned()], ..board() };
        let line = |change, reach| text_line(&Watched { at, change, reach });
        assert_eq!(
            line(Change::Appeared(board()), None),
            "    12.3 s  espstress-a1b2 (_espstress._tcp) appeared at 192.168.4.91:7007\n"
        );
        let changed = Change::Changed { before: Box::new(board()), now: moved };
        assert!(line(changed, None).ends_with("moved from 192.168.4.91:7007 to 192.168.4.92:7007\n"));
        let gone = line(Change::Gone(board()), Some(Reach::Accepts));
        assert!(
            gone.ends_with("is no longer announced, but 192.168.4.91:7007 still accepts connections\n"),
            "{gone}"
        );
        let json = json_line(&Watched { at, change: Change::Gone(board()), reach: Some(Reach::Silent) });
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&value["event"], &value["reach"]), (&"gone".into(), &"silent".into()));
    }
}
