//! `discover`: devices that announce themselves.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::output::print;
use super::{Exit, Failed};
use espstress_cli::DiscoverArgs;
use espstress_clock::Span;
use espstress_targets::discover::{self, Announced, Heard, SERVICE};

/// Widest a column becomes, in characters.
const MAX_WIDTH: usize = 32;

/// What stands where a device has not said something.
const UNTOLD: &str = "-";

/// `espstress discover`.
pub(super) fn discover(args: &DiscoverArgs) -> Result<Exit, Failed> {
    let heard = discover::discover(args.timeout.0, args.interface.as_deref()).map_err(Failed::environment)?;
    let text = if args.json {
        json(&heard, args.timeout)
    } else if heard.devices.is_empty() {
        nothing(&heard, args.timeout)
    } else {
        page(&heard)
    };
    print(&text).map_err(Failed::environment)?;
    Ok(Exit::Done)
}

fn json(heard: &Heard, timeout: Span) -> String {
    let interfaces: Vec<&str> = heard.interfaces.iter().map(|(name, _)| name.as_str()).collect();
    let value = serde_json::json!({
        "service": SERVICE,
        "interfaces": interfaces,
        "listened_s": timeout.0.as_secs_f64(),
        "devices": heard.devices,
        "devices_left_out": heard.beyond,
    });
    let mut text = serde_json::to_string_pretty(&value).unwrap_or_default();
    text.push('\n');
    text
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
  the firmware    this project's announces itself; one of your own, or MicroPython, does not unless you made it

A device whose address is known needs no announcement: espstress head ADDRESS
",
        interfaces.join(", ")
    )
}

fn page(heard: &Heard) -> String {
    let heads = ["NAME", "ADDRESS", "PORT", "STACK", "PERSONA", "CAPACITY", "FIRMWARE"];
    let rows: Vec<[String; 7]> = heard.devices.iter().map(row).collect();
    let widths: [usize; 7] = std::array::from_fn(|column| {
        let cells = rows.iter().map(|row| console::measure_text_width(&row[column]));
        cells.chain([heads[column].len()]).max().unwrap_or_default().min(MAX_WIDTH)
    });
    let mut text = line(&heads.map(str::to_owned), &widths);
    for row in &rows {
        text.push_str(&line(row, &widths));
    }
    if heard.beyond > 0 {
        let _ = writeln!(text, "and {} announcements beyond, which were not kept", heard.beyond);
    }
    if let Some(address) = heard.devices.iter().find_map(|device| device.addresses.first()) {
        let _ = writeln!(text, "\nNext: espstress run -t {address}");
    }
    text
}

fn row(device: &Announced) -> [String; 7] {
    let told = |text: Option<&String>| text.filter(|text| !text.is_empty()).cloned();
    [
        told(Some(&device.name)),
        told(device.addresses.first()),
        device.port.map(|port| port.to_string()),
        told(device.stack.as_ref()),
        told(device.persona.as_ref()),
        device.capacity.map(|number| number.to_string()),
        told(device.firmware.as_ref()),
    ]
    .map(|cell| cell.unwrap_or_else(|| UNTOLD.to_owned()))
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
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
            ..Announced::default()
        };
        let page = page(&heard(vec![board(), silent]));
        assert_eq!(
            page,
            "NAME                              ADDRESS       PORT  STACK  PERSONA  CAPACITY  FIRMWARE
espstress-a1b2                    192.168.4.91  7007  -      robust   5         -
a-board-that-has-not-answered-..  -             -     -      -        -         -

Next: espstress run -t 192.168.4.91
"
        );
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
            serde_json::from_str(&json(&heard(vec![board()]), Span::millis(3_000))).unwrap();
        assert_eq!(value["listened_s"], 3.0);
        let device = &value["devices"][0];
        assert_eq!((&device["port"], &device["capacity"]), (&7007.into(), &5.into()));
        assert!(device["stack"].is_null() && device["firmware"].is_null(), "{device}");
    }
}
