//! What devices say of themselves, as the events of multicast DNS go by.
//!
//! Whatever a device says is a stranger's text: it leaves this module with everything escaped that a terminal could take
//! for more than text, and there is a limit to how many announcements are kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use mdns_sd::{ResolvedService, ServiceEvent};

use super::watch::Change;

/// Announcements that are kept; further ones are counted only.
const MAX_DEVICES: usize = 256;

/// Characters that are kept of a text, which is four times what DNS has for a name (RFC 1035 section 2.3.4) when every
/// one of them is escaped.
const MAX_TEXT: usize = 1_024;

/// A service that a device announces, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Announced {
    /// The name of the announcement, without the service behind it.
    pub name: String,
    /// The service, such as `_http._tcp`.
    pub service: String,
    /// The name of the host, or empty when it has not answered for that.
    pub host: String,
    /// Where it says that it is, IPv4 before IPv6; link-local addresses with their interface.
    pub addresses: Vec<String>,
    /// The port that it announces.
    pub port: Option<u16>,
    /// The network stack it runs; from here to `firmware`, our devices only.
    pub stack: Option<String>,
    /// The fault that it simulates.
    pub persona: Option<String>,
    /// Connections it holds at once.
    pub capacity: Option<u32>,
    /// The version of its firmware.
    pub firmware: Option<String>,
    /// Everything else in its TXT record.
    pub txt: BTreeMap<String, String>,
}

/// The announcements by their full name.
#[derive(Default)]
pub(super) struct Found {
    devices: BTreeMap<String, Announced>,
    beyond: u64,
}

impl Found {
    /// Takes an event to the list, and says what it changed there.
    pub(super) fn take(&mut self, event: ServiceEvent) -> Option<Change> {
        match event {
            // Its name alone: it has not said yet where it is.
            ServiceEvent::ServiceFound(service, full) => {
                if !self.devices.contains_key(&full) {
                    let named = Announced {
                        name: instance(&full, &service),
                        service: short(&service),
                        ..Announced::default()
                    };
                    self.place(full, named);
                }
                None
            }
            ServiceEvent::ServiceResolved(resolved) => {
                let now = announced(&resolved);
                let before = self.place(resolved.fullname.clone(), now.clone())?;
                match before {
                    Some(before) if before == now => None,
                    Some(before) if before.port.is_some() => {
                        Some(Change::Changed { before: Box::new(before), now })
                    }
                    _ => Some(Change::Appeared(now)),
                }
            }
            // It has said goodbye, or nobody has heard of it for its time to live.
            ServiceEvent::ServiceRemoved(_, full) => {
                self.devices.remove(&full).filter(|one| one.port.is_some()).map(Change::Gone)
            }
            _ => None,
        }
    }

    /// Puts it in the list. `None` where the list is full; else what was in its place.
    #[expect(clippy::option_option, reason = "no place, or nothing in it before")]
    fn place(&mut self, full: String, device: Announced) -> Option<Option<Announced>> {
        let is_full = self.devices.len() >= MAX_DEVICES;
        match self.devices.entry(full) {
            Entry::Occupied(mut place) => Some(Some(place.insert(device))),
            Entry::Vacant(_) if is_full => {
                self.beyond += 1;
                None
            }
            Entry::Vacant(place) => {
                place.insert(device);
                Some(None)
            }
        }
    }

    pub(super) const fn beyond(&self) -> u64 {
        self.beyond
    }

    pub(super) fn into_devices(self) -> Vec<Announced> {
        self.devices.into_values().collect()
    }
}

/// The instance in `instance._http._tcp.local.`, which may have dots of its own.
fn instance(full: &str, service: &str) -> String {
    printable(full.strip_suffix(service).map_or(full, |name| name.trim_end_matches('.')))
}

/// `_http._tcp` of `_http._tcp.local.`
fn short(service: &str) -> String {
    printable(service.strip_suffix(".local.").unwrap_or(service))
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
        name: instance(&service.fullname, &service.ty_domain),
        service: short(&service.ty_domain),
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

    const SERVICE: &str = "_espstress._tcp.local.";
    use mdns_sd::{ServiceInfo, TxtProperty};

    fn resolved(name: &str, txt: &[(&str, &str)]) -> ServiceEvent {
        let info =
            ServiceInfo::new(SERVICE, name, "board.local.", "192.168.4.91,fe80::1", 7007, txt).unwrap();
        ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service()))
    }

    fn heard(events: Vec<ServiceEvent>) -> Vec<Announced> {
        let mut found = Found::default();
        for event in events {
            found.take(event);
        }
        found.into_devices()
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
        assert_eq!(
            devices,
            [Announced {
                name: "a.b".to_owned(),
                service: "_espstress._tcp".to_owned(),
                ..Announced::default()
            }]
        );
    }

    #[test]
    fn a_device_that_says_twice_what_it_is_is_one_with_the_last_words() {
        let devices =
            heard(vec![resolved("a", &[("persona", "robust")]), resolved("a", &[("persona", "deaf")])]);
        assert_eq!(devices.iter().map(|one| one.persona.as_deref()).collect::<Vec<_>>(), [Some("deaf")]);
    }

    #[test]
    fn an_announcement_that_appears_changes_or_ends_is_a_change_and_a_repeated_one_is_not() {
        let mut found = Found::default();
        let at = |address: &str| {
            let info =
                ServiceInfo::new(SERVICE, "a", "board.local.", address, 80, &[("k", "v")][..]).unwrap();
            ServiceEvent::ServiceResolved(Box::new(info.as_resolved_service()))
        };
        let gone = || ServiceEvent::ServiceRemoved(SERVICE.to_owned(), format!("a.{SERVICE}"));
        let named = ServiceEvent::ServiceFound(SERVICE.to_owned(), format!("a.{SERVICE}"));
        assert_eq!(found.take(named), None);
        assert!(matches!(found.take(at("10.0.0.1")), Some(Change::Appeared(_))));
        assert_eq!(found.take(at("10.0.0.1")), None);
        let Some(Change::Changed { before, now }) = found.take(at("10.0.0.2")) else { panic!("no change") };
        assert_eq!(
            (before.addresses, now.addresses),
            (vec!["10.0.0.1".to_owned()], vec!["10.0.0.2".to_owned()])
        );
        assert!(matches!(found.take(gone()), Some(Change::Gone(_))));
        assert_eq!(found.take(gone()), None);
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
        assert_eq!((found.devices.len(), found.beyond()), (MAX_DEVICES, MAX_DEVICES as u64));
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
