//! Devices that announce themselves by multicast DNS (RFC 6762, RFC 6763).
//!
//! Whatever a device says of itself is a stranger's text: it leaves this module with everything escaped that a
//! terminal could take for more than text, and there is a limit to how many devices are kept.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent};

/// What our devices announce.
pub const SERVICE: &str = "_espstress._tcp.local.";

/// Devices that are kept; further ones are counted only.
const MAX_DEVICES: usize = 256;

/// Characters that are kept of a text, which is four times what DNS has for a name (RFC 1035 section 2.3.4) when every
/// one of them is escaped.
const MAX_TEXT: usize = 1_024;

/// A device, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Announced {
    /// The name of the announcement, without the service behind it.
    pub name: String,
    /// The name of the host, or empty when it has not answered for that.
    pub host: String,
    /// Where it says that it is, IPv4 before IPv6; link-local addresses with their interface.
    pub addresses: Vec<String>,
    /// The port that it announces.
    pub port: Option<u16>,
    /// The network stack it runs.
    pub stack: Option<String>,
    /// Its habit.
    pub persona: Option<String>,
    /// Connections it holds at once.
    pub capacity: Option<u32>,
    /// The version of its firmware.
    pub firmware: Option<String>,
    /// Everything else in its TXT record.
    pub txt: BTreeMap<String, String>,
}

/// What was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// By name.
    pub devices: Vec<Announced>,
    /// Devices beyond those that are kept.
    pub beyond: u64,
    /// The interfaces that were listened on, with one address each.
    pub interfaces: Vec<(String, IpAddr)>,
}

/// Why there was no listening.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// No such interface.
    #[error("no interface `{given}` is up here with an address and multicast; there are: {}", known.join(", "))]
    NoInterface {
        /// As given.
        given: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// None but the loopback.
    #[error(
        "no network interface is up here with an address and multicast but the loopback, where no device is: join the \
         device's network (a container or a private network has only its own interfaces)"
    )]
    NoNetwork,
    /// The system does not tell its interfaces.
    #[error("the network interfaces cannot be listed: {0}")]
    Interfaces(#[source] std::io::Error),
    /// The listener does not start or has ended.
    #[error("multicast DNS cannot be listened to: {0}")]
    Listener(String),
}

impl From<mdns_sd::Error> for DiscoverError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Listener(error.to_string())
    }
}

/// Asks for devices and listens, on that interface or on every one but the loopback.
///
/// # Errors
/// [`DiscoverError`]. That nobody answers is none.
pub fn discover(timeout: Duration, interface: Option<&str>) -> Result<Heard, DiscoverError> {
    let interfaces = interfaces(interface)?;
    let daemon = ServiceDaemon::new()?;
    // Carried out in this order and before the first question, which so goes out on the chosen ones alone.
    match interface {
        Some(name) => {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(IfKind::Name(name.to_owned()))?;
        }
        None => daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?,
    }
    let events = daemon.browse(SERVICE)?;
    let deadline = Instant::now() + timeout;
    let mut found = Found::default();
    loop {
        match events.recv_deadline(deadline) {
            Ok(event) => found.take(event),
            Err(mdns_sd::RecvTimeoutError::Timeout) => break,
            Err(mdns_sd::RecvTimeoutError::Disconnected) => {
                return Err(DiscoverError::Listener("the listener has ended".to_owned()));
            }
        }
    }
    // It ends with the process at the latest.
    let _ = daemon.shutdown();
    Ok(Heard { devices: found.devices.into_values().collect(), beyond: found.beyond, interfaces })
}

/// The interfaces to listen on, one address each.
fn interfaces(named: Option<&str>) -> Result<Vec<(String, IpAddr)>, DiscoverError> {
    let every = if_addrs::get_if_addrs().map_err(DiscoverError::Interfaces)?;
    let mut addresses: BTreeMap<String, IpAddr> = BTreeMap::new();
    // Those that are down and point-to-point ones, such as tunnels, carry no multicast.
    let carries = |one: &&if_addrs::Interface| one.is_oper_up() && !one.is_p2p();
    for one in every.iter().filter(carries).filter(|one| named.is_some() || !one.is_loopback()) {
        let address = addresses.entry(one.name.clone()).or_insert(one.ip());
        if one.ip().is_ipv4() {
            *address = one.ip();
        }
    }
    match named {
        None if addresses.is_empty() => Err(DiscoverError::NoNetwork),
        None => Ok(addresses.into_iter().collect()),
        Some(name) => match addresses.remove_entry(name) {
            Some(chosen) => Ok(vec![chosen]),
            None => Err(DiscoverError::NoInterface {
                given: name.to_owned(),
                known: addresses.into_keys().collect(),
            }),
        },
    }
}

/// The devices by their full name, as the events go by.
#[derive(Default)]
struct Found {
    devices: BTreeMap<String, Announced>,
    beyond: u64,
}

impl Found {
    fn take(&mut self, event: ServiceEvent) {
        match event {
            ServiceEvent::ServiceFound(_, full) => {
                let named = Announced { name: instance(&full), ..Announced::default() };
                if let Some(device) = self.place(full) {
                    *device = named;
                }
            }
            ServiceEvent::ServiceResolved(service) => {
                if let Some(device) = self.place(service.fullname.clone()) {
                    *device = announced(&service);
                }
            }
            // It has said goodbye.
            ServiceEvent::ServiceRemoved(_, full) => drop(self.devices.remove(&full)),
            _ => {}
        }
    }

    fn place(&mut self, full: String) -> Option<&mut Announced> {
        if self.devices.len() >= MAX_DEVICES && !self.devices.contains_key(&full) {
            self.beyond += 1;
            return None;
        }
        Some(self.devices.entry(full).or_default())
    }
}

/// The instance in `instance._espstress._tcp.local.`, which may have dots of its own.
fn instance(full: &str) -> String {
    printable(full.strip_suffix(SERVICE).map_or(full, |name| name.trim_end_matches('.')))
}

fn announced(service: &ResolvedService) -> Announced {
    let mut txt: BTreeMap<String, String> = service
        .txt_properties
        .iter()
        .map(|entry| {
            let value = String::from_utf8_lossy(entry.val().unwrap_or_default());
            (printable(entry.key()), printable(&value))
        })
        .collect();
    let mut addresses: Vec<_> =
        service.addresses.iter().map(|one| (one.to_ip_addr(), one.to_string())).collect();
    addresses.sort();
    Announced {
        name: instance(&service.fullname),
        host: printable(service.host.trim_end_matches('.')),
        addresses: addresses.into_iter().map(|(_, words)| printable(&words)).collect(),
        port: Some(service.port),
        stack: txt.remove("stack"),
        persona: txt.remove("persona"),
        capacity: txt.remove("capacity").and_then(|number| number.parse().ok()),
        firmware: txt.remove("firmware"),
        txt,
    }
}

/// The text with everything escaped that is no visible character or that changes the order or the place of others:
/// control characters, those of bidirectional text (UAX 9), line separators, and those without a width.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == MAX_TEXT {
            out.push_str("...");
            break;
        }
        let formats = matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if c.is_control() || formats {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mdns_sd::{ServiceInfo, TxtProperty};

    fn resolved(name: &str, txt: &[(&str, &str)]) -> ServiceEvent {
        let info =
            ServiceInfo::new(SERVICE, name, "board.local.", "192.168.4.91,fe80::1", 7007, txt).unwrap();
        ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service()))
    }

    fn heard(events: Vec<ServiceEvent>) -> Vec<Announced> {
        let mut found = Found::default();
        events.into_iter().for_each(|event| found.take(event));
        found.devices.into_values().collect()
    }

    #[test]
    fn a_device_is_told_with_its_addresses_and_its_txt_record() {
        let txt = [
            ("stack", "smoltcp"),
            ("persona", "robust"),
            ("capacity", "5"),
            ("firmware", "0.1.0"),
            ("chip", "C3"),
        ];
        let devices = heard(vec![resolved("espstress-a1b2", &txt)]);
        let [device] = devices.as_slice() else { panic!("{devices:?}") };
        assert_eq!((device.name.as_str(), device.host.as_str()), ("espstress-a1b2", "board.local"));
        assert_eq!(
            (device.addresses.as_slice(), device.port),
            (&["192.168.4.91".to_owned(), "fe80::1".to_owned()][..], Some(7007))
        );
        assert_eq!((device.stack.as_deref(), device.persona.as_deref()), (Some("smoltcp"), Some("robust")));
        assert_eq!((device.capacity, device.firmware.as_deref()), (Some(5), Some("0.1.0")));
        assert_eq!(device.txt, BTreeMap::from([("chip".to_owned(), "C3".to_owned())]));
    }

    #[test]
    fn a_device_that_answers_only_with_its_name_is_told_and_one_that_leaves_is_not() {
        let full = |name: &str| format!("{name}.{SERVICE}");
        let named = |name: &str| ServiceEvent::ServiceFound(SERVICE.to_owned(), full(name));
        let gone = ServiceEvent::ServiceRemoved(SERVICE.to_owned(), full("gone"));
        let devices = heard(vec![named("a.b"), named("gone"), gone]);
        assert_eq!(devices, [Announced { name: "a.b".to_owned(), ..Announced::default() }]);
    }

    #[test]
    fn a_device_that_says_twice_what_it_is_is_one_with_the_last_words() {
        let devices =
            heard(vec![resolved("a", &[("persona", "robust")]), resolved("a", &[("persona", "deaf")])]);
        assert_eq!(devices.iter().map(|one| one.persona.as_deref()).collect::<Vec<_>>(), [Some("deaf")]);
    }

    #[test]
    fn a_capacity_that_is_no_number_is_none() {
        for nonsense in ["", "-1", "many", "99999999999"] {
            assert_eq!(heard(vec![resolved("a", &[("capacity", nonsense)])])[0].capacity, None, "{nonsense}");
        }
    }

    #[test]
    fn there_is_a_limit_to_devices() {
        let mut found = Found::default();
        for number in 0..2 * MAX_DEVICES {
            found.take(ServiceEvent::ServiceFound(SERVICE.to_owned(), format!("{number}.{SERVICE}")));
        }
        assert_eq!((found.devices.len(), found.beyond), (MAX_DEVICES, MAX_DEVICES as u64));
    }

    #[test]
    fn what_a_terminal_could_obey_is_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\u{9b}31m\u{7f}"), "a\\u{1b}[2Jb\\r\\nc\\u{9b}31m\\u{7f}");
        assert_eq!(printable("\u{202e}evil\u{2066}\u{200b}"), "\\u{202e}evil\\u{2066}\\u{200b}");
        assert_eq!(printable("Küche 厨房"), "Küche 厨房");
        assert_eq!(printable(&"x".repeat(5_000)).len(), MAX_TEXT + 3);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_device_calls_itself_is_printable(name in ".*", key in "[ -<>-~]{1,9}", value: Vec<u8>) {
            let event = ServiceEvent::ServiceFound(SERVICE.to_owned(), name);
            let info = ServiceInfo::new(SERVICE, "a", "h.local.", "10.0.0.1", 1, vec![TxtProperty::from((key.as_str(), value.as_slice()))]);
            let resolved = info.map(|info| ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service())));
            for device in heard(std::iter::once(event).chain(resolved).collect()) {
                let text = serde_json::to_string(&device).unwrap();
                proptest::prop_assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
            }
        }
    }
}
