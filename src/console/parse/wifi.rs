//! The Wi-Fi driver's words: states, reasons, signal, and the address that follows.

use std::net::Ipv4Addr;

use espstress_event::{PowerSave, Said, WifiSign, idf_reason_name};

use super::{LogLine, Meaning, More, Sample};

pub(super) fn read(line: &LogLine<'_>) -> Option<Meaning> {
    let text = line.message;
    let of_driver = line.tag == Some("wifi");
    if of_driver || line.is_bare() {
        let said = state(text, of_driver).or_else(|| sign(text)).or_else(|| joined(text, of_driver));
        if let Some(said) = said {
            return Some(Meaning::Said(said));
        }
        if rejoins(text, of_driver) {
            return Some(Meaning::More(More::Joined));
        }
    }
    if of_driver && let Some(sample) = measured(text) {
        return Some(Meaning::Sample(sample));
    }
    let said = match line.tag {
        Some("WiFiGeneric.cpp" | "STA.cpp") => arduino(text),
        _ => None,
    };
    said.or_else(|| left(line)).or_else(|| address(line)).map(Meaning::Said)
}

/// `state: run -> init (c800)`. The number is hexadecimal: the reason, and in its low byte the frame that brought it. The
/// ESP8266 numbers the states: 5 is run.
fn state(text: &str, of_driver: bool) -> Option<Said> {
    let (ran, runs, number) = turn(text, of_driver)?;
    if !ran || runs {
        return None;
    }
    let reason = u16::try_from(number >> 8).ok().filter(|reason| *reason > 0);
    Some(lost(reason, None))
}

/// Whether it ran before, whether it runs now, and the number.
fn turn(text: &str, of_driver: bool) -> Option<(bool, bool, u32)> {
    let (from, rest) = text.strip_prefix("state: ")?.split_once(" -> ")?;
    let (to, rest) = rest.split_once(" (")?;
    let number = rest.strip_suffix(')')?;
    let number = u32::from_str_radix(number.strip_prefix("0x").unwrap_or(number), 16).ok()?;
    let run = |state: &str| (of_driver && state == "run") || (!of_driver && state == "5");
    Some((run(from), run(to), number))
}

/// `state: assoc -> run (10)`.
fn rejoins(text: &str, of_driver: bool) -> bool {
    matches!(turn(text, of_driver), Some((false, true, _)))
}

fn lost(reason: Option<u16>, name: Option<&str>) -> Said {
    let known = reason.and_then(idf_reason_name).or(name);
    let name = match (known, reason) {
        (Some(name), _) => name.to_owned(),
        (None, Some(number)) => format!("reason {number}"),
        (None, None) => "no reason told".to_owned(),
    };
    Said::WifiLost { reason, name }
}

fn sign(text: &str) -> Option<Said> {
    let sign = match text {
        // The ESP8266's SDK has a letter less.
        "bcn_timeout,ap_probe_send_start"
        | "bcn_timout,ap_probe_send_start"
        | "bcn_timeout"
        | "bcn_timout" => WifiSign::BeaconTimeout,
        _ => {
            text.strip_prefix("LmacRxBlk:")?.trim().parse::<u32>().ok()?;
            WifiSign::ReceiveBlocked
        }
    };
    Some(Said::WifiSign { sign })
}

/// `connected with NAME, aid = 1, channel 6, ...`.
fn joined(text: &str, of_driver: bool) -> Option<Said> {
    let rest = text.strip_prefix("connected with ")?;
    let clear = of_driver || rest.contains(", channel ");
    clear.then_some(Said::WifiUp)
}

/// `security: WPA2-PSK, phy: bgn, rssi: -50` and `pm start, type: 1`.
fn measured(text: &str) -> Option<Sample> {
    if let Some(kind) = text.strip_prefix("pm start, type: ") {
        let power_save = match kind.trim() {
            "0" => PowerSave::None,
            "1" => PowerSave::MinModem,
            "2" => PowerSave::MaxModem,
            _ => return None,
        };
        return Some(Sample { power_save: Some(power_save), ..Sample::default() });
    }
    let (_, rssi) = text.strip_prefix("security: ")?.split_once("rssi: ")?;
    let rssi = rssi.split(',').next()?.trim().parse().ok().filter(|rssi| (-120..=0).contains(rssi))?;
    Some(Sample { rssi_dbm: Some(rssi), ..Sample::default() })
}

/// `Reason: 200 - BEACON_TIMEOUT` of arduino-esp32.
fn arduino(text: &str) -> Option<Said> {
    let (number, name) = text.strip_prefix("Reason: ")?.split_once(" - ")?;
    Some(lost(Some(number.trim().parse().ok()?), Some(name.trim())))
}

/// Programs that tell that they were disconnected, and the number: `WiFi disconnected, reason: 201`. MQTT, Bluetooth and
/// WebSockets number their reasons as well, so the tag or the words must be of Wi-Fi, and of the device as a station.
fn left(line: &LogLine<'_>) -> Option<Said> {
    let text = line.message;
    if text.len() > 120 {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if line.is_bare() && lower == "disconnected from wifi access point" {
        return Some(lost(None, None));
    }
    // ESP-IDF's examples tell the number alone, or nothing: `Wi-Fi disconnected 201, trying to reconnect...`.
    if let Some(rest) =
        text.strip_prefix("Wi-Fi disconnected").and_then(|rest| rest.split_once(", trying to reconnect"))
    {
        let number = rest.0.trim();
        return (number.is_empty() || number.parse::<u16>().is_ok()).then(|| lost(number.parse().ok(), None));
    }
    // The event's own name says whose it is, and its text may follow the number.
    let of_event = after_event(&lower);
    let rest = match of_event {
        Some(rest) => rest,
        None => {
            let tag = line.tag.unwrap_or_default().to_ascii_lowercase();
            if !is_of_station(&tag, &lower) {
                return None;
            }
            lower.split_once("disconnect").or_else(|| lower.split_once("lost connection"))?.1
        }
    };
    let (_, rest) = rest.split_once("reason")?;
    let rest = rest.trim_start_matches([' ', ':', '=', '(', '#']);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    let name = after.trim_matches([' ', ':', '(', ')', '-', ',', '.']);
    // A number with words after it counts something else; a name is set apart.
    let apart = after.is_empty() || after.trim_start().starts_with(['(', ')', '-', ',', '.', ':']);
    let single = !name.contains(' ');
    let number = number.parse().ok().filter(|_| of_event.is_some() || (apart && single))?;
    let name = name.to_ascii_uppercase();
    Some(lost(Some(number), Some(name.as_str()).filter(|name| !name.is_empty() && single)))
}

/// What follows `STA_DISCONNECTED`, as ESP-IDF, Arduino and MicroPython name the event; not `AP_STADISCONNECTED`, a client
/// of the device's own access point.
fn after_event(lower: &str) -> Option<&str> {
    lower.split_once("sta_disconnected").map(|(_, rest)| rest)
}

/// Whether a disconnection is that of a Wi-Fi station, by the tag or by the words; both in small letters.
fn is_of_station(tag: &str, lower: &str) -> bool {
    const OTHERS: [&str; 19] = [
        "last",
        "previous",
        "mqtt",
        "ble",
        "bluetooth",
        "nimble",
        "gap",
        "gatt",
        "websocket",
        "ws",
        "broker",
        "client",
        "server",
        "peer",
        "session",
        "socket",
        "tcp",
        "usb",
        "eth",
    ];
    let words = |text: &str, known: &[&str]| {
        text.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| known.contains(&word))
    };
    // A client of the device's own access point has an address.
    let of_client = lower.split_whitespace().any(|word| word.matches(':').count() >= 5);
    // Nor is an address of a page, as `/wifi/disconnect?reason=5`.
    if of_client
        || lower.contains(['/', '?'])
        || lower.contains("stadisconnected")
        || words(tag, &OTHERS)
        || words(lower, &OTHERS)
    {
        return false;
    }
    let of_wifi = |text: &str| ["wifi", "wi-fi", "wlan"].iter().any(|name| text.contains(name));
    let begins = ["sta ", "sta:", "station "].iter().any(|word| lower.starts_with(word));
    let tagged = of_wifi(tag) || matches!(tag, "sta" | "station" | "sta.cpp");
    let from_ap = words(lower, &["ap", "ssid", "bssid"]) || lower.contains("access point");
    tagged || of_wifi(lower) || begins || from_ap
}

/// `sta ip: 192.168.1.5, mask: ...`, `got ip:192.168.1.5`, `ip:192.168.1.5,mask:...`, `IP address: 192.168.1.5`.
fn address(line: &LogLine<'_>) -> Option<Said> {
    let text = line.message;
    let with_mask = |rest: &'_ str| rest.to_ascii_lowercase().contains("mask:");
    let rest = text
        .strip_prefix("sta ip: ")
        .or_else(|| text.strip_prefix("STA IP: "))
        .or_else(|| text.strip_prefix("ip:").filter(|_| line.is_bare()))
        .filter(|rest| with_mask(rest))
        .or_else(|| text.strip_prefix("got ip:").or_else(|| text.strip_prefix("IP address: ")))?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let ip: Ipv4Addr = rest[..end].parse().ok()?;
    (!ip.is_unspecified()).then_some(Said::Address { ip: ip.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Meaning> {
        read(&LogLine::read(text))
    }

    #[test]
    fn a_lost_association_has_its_reason_by_name_wherever_it_is_told() {
        let cases = [
            ("I (4567) wifi:state: run -> init (c800)", Some(200), "BEACON_TIMEOUT"),
            ("I (4567) wifi:state: run -> init (0x8a0)", Some(8), "ASSOC_LEAVE"),
            ("I (4567) wifi:state: run -> init (fc0)", Some(15), "4WAY_HANDSHAKE_TIMEOUT"),
            ("I (4567) wifi:state: run -> init (0)", None, "no reason told"),
            ("state: 5 -> 0 (2a0)", Some(2), "AUTH_EXPIRE"),
            ("state: 5 -> 2 (7c0)", Some(7), "NOT_ASSOCED"),
            (
                "[  4711][W][WiFiGeneric.cpp:1062] _eventCallback(): Reason: 200 - BEACON_TIMEOUT",
                Some(200),
                "BEACON_TIMEOUT",
            ),
            ("[  4711][W][STA.cpp:137] _onStaEvent(): Reason: 203 - ASSOC_FAIL", Some(203), "ASSOC_FAIL"),
            ("W (4567) app: WiFi disconnected, reason: 201", Some(201), "NO_AP_FOUND"),
            ("STA disconnected, reason=99 (ODD_ONE)", Some(99), "ODD_ONE"),
            ("wifi: disconnected, reason 200 (BEACON_TIMEOUT)", Some(200), "BEACON_TIMEOUT"),
            ("Disconnected from AP (reason: 4)", Some(4), "DISASSOC_DUE_TO_INACTIVITY"),
            ("WiFi disconnect reason:9999", Some(9_999), "reason 9999"),
            ("I (4567) wifi: STA_DISCONNECTED, reason:201:no AP found", Some(201), "NO_AP_FOUND"),
            ("W (4567) app: WIFI_EVENT_STA_DISCONNECTED reason=8", Some(8), "ASSOC_LEAVE"),
            ("[WiFi-event] SYSTEM_EVENT_STA_DISCONNECTED, reason: 2", Some(2), "AUTH_EXPIRE"),
            ("W (4567) wifi station: disconnected, reason: 8", Some(8), "ASSOC_LEAVE"),
            ("I (4567) wifi_manager: Disconnected, reason 8", Some(8), "ASSOC_LEAVE"),
            (
                "I (4567) example_connect: Wi-Fi disconnected 201, trying to reconnect...",
                Some(201),
                "NO_AP_FOUND",
            ),
            ("I (4567) example_connect: Wi-Fi disconnected, trying to reconnect...", None, "no reason told"),
            ("WiFi lost connection. Reason: 200", Some(200), "BEACON_TIMEOUT"),
            ("Disconnected from WiFi access point", None, "no reason told"),
        ];
        for (text, number, want) in cases {
            let Some(Meaning::Said(Said::WifiLost { reason, name })) = of(text) else {
                panic!("{text}: {:?}", of(text))
            };
            assert_eq!((reason, name.as_str()), (number, want), "{text}");
        }
    }

    #[test]
    fn a_reason_of_another_protocol_is_no_loss_of_the_access_point() {
        for text in [
            "I (22000) mqtt: disconnected, reason: 5",
            "I (22000) MQTT_CLIENT: Disconnected, reason 8",
            "Disconnected from MQTT broker, reason: 0",
            "[1200][I][main.cpp:3] onMqttDisconnect(): Disconnected from MQTT, reason: 1",
            "I (22000) BLE: disconnected, reason: 8",
            "I (22000) NimBLE: disconnect; reason=531",
            "I (21100) ble: GAP disconnect, reason: 0x13",
            "[ 22000][I][main.cpp:3] onBle(): disconnected, reason: 8",
            "Disconnected, reason: 8",
            "disconnect reason:9999",
            "client disconnected, reason: 8",
            "W (22400) ws: websocket disconnected, reason: 1006",
            "W (22000) httpd_ws: session disconnected, reason: 201 timeout",
            "W (22300) app: client 3 disconnected, reason: 2 (user left)",
            "WiFi client disconnected from the MQTT broker, reason: 5",
            "I (21300) eth: WiFi disconnected, reason: none, we use Ethernet",
            "I (22000) app: AP_STADISCONNECTED, reason: 8",
            "I (22000) wifi softAP: station aa:bb:cc:dd:ee:ff disconnected, reason: 8",
            "I (22000) wifi:station: aa:bb:cc:dd:ee:ff leave, AID = 1, reason:8",
            "I (22000) usb: disconnected, reason: 3",
            "I (22000) httpd: GET /wifi/disconnect?reason=5",
            "I (22000) json: {\"event\":\"wifi_disconnected\",\"reason\":201}",
            "I (500) wifi_mgr: last disconnect reason: 201",
            "W (500) wifi_prov_mgr: STA Disconnected",
            "[W][wifi_esp32:482]: Disconnected ssid='home' reason='Probe Request Unsuccessful'",
            "00:00:12 MQT: Connect failed to 192.168.1.2:1883, rc -2. Retry in 10 sec",
            "WiFi.status() = 6 (disconnected)",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn joining_complaints_and_addresses_are_read() {
        let beacon = Said::WifiSign { sign: WifiSign::BeaconTimeout };
        let blocked = Said::WifiSign { sign: WifiSign::ReceiveBlocked };
        let ip = |text: &str| Said::Address { ip: text.parse().unwrap() };
        let cases = [
            (
                "I (4567) wifi:connected with home, aid = 1, channel 6, BW20, bssid = aa:bb:cc:dd:ee:ff",
                Said::WifiUp,
            ),
            ("connected with home, channel 6", Said::WifiUp),
            ("I (4567) wifi:bcn_timeout,ap_probe_send_start", beacon.clone()),
            ("bcn_timout,ap_probe_send_start", beacon),
            ("LmacRxBlk:1", blocked),
            (
                "I (4567) esp_netif_handlers: sta ip: 192.168.1.5, mask: 255.255.255.0, gw: 192.168.1.1",
                ip("192.168.1.5"),
            ),
            (
                "I (4567) tcpip_adapter: sta ip: 192.168.1.6, mask: 255.255.255.0, gw: 192.168.1.1",
                ip("192.168.1.6"),
            ),
            ("ip:192.168.1.7,mask:255.255.255.0,gw:192.168.1.1", ip("192.168.1.7")),
            ("I (4567) wifi station: got ip:192.168.1.8", ip("192.168.1.8")),
            (
                "[  4711][D][WiFiGeneric.cpp:1055] _eventCallback(): STA IP: 192.168.1.9, MASK: 255.255.255.0, GW: 192.168.1.1",
                ip("192.168.1.9"),
            ),
            ("IP address: 192.168.1.10", ip("192.168.1.10")),
        ];
        for (text, want) in cases {
            assert_eq!(of(text), Some(Meaning::Said(want)), "{text}");
        }
    }

    #[test]
    fn a_station_that_runs_again_has_joined() {
        for text in ["I (4567) wifi:state: assoc -> run (10)", "state: 3 -> 5 (10)"] {
            assert_eq!(of(text), Some(Meaning::More(More::Joined)), "{text}");
        }
    }

    #[test]
    fn signal_and_power_save_are_measurements_and_other_states_nothing() {
        let rssi = Sample { rssi_dbm: Some(-50), ..Sample::default() };
        let sleeps = Sample { power_save: Some(PowerSave::MinModem), ..Sample::default() };
        assert_eq!(of("I (4567) wifi:security: WPA2-PSK, phy: bgn, rssi: -50"), Some(Meaning::Sample(rssi)));
        assert_eq!(of("I (4567) wifi:pm start, type: 1"), Some(Meaning::Sample(sleeps)));
        for text in [
            "I (4567) wifi:state: init -> auth (b0)",
            "I (4567) wifi:state: auth -> init (200)",
            "state: 0 -> 2 (b0)",
            "ip:0.0.0.0,mask:0.0.0.0,gw:0.0.0.0",
            "I (9) wifi:new:<6,0>, old:<1,0>, ap:<255,255>, sta:<6,0>, prof:1",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
