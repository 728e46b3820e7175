//! The devices that announce themselves, as an inventory.

use std::collections::BTreeSet;
use std::time::Duration;

use super::members::{device, tagged};
use crate::command::Failed;
use espstress_scenario::{Inventory, InventoryDevice};
use espstress_targets::discover::{self, Announced, ServiceName};

/// How long to listen: as `espstress discover` does.
const LISTEN: Duration = Duration::from_secs(3);

/// Our devices announce this one: each of their services has its own port, which the target `ADDRESS` stands for.
const OURS: &str = "_espstress._tcp";
const WEB: &str = "_http._tcp";

/// Those that announce one of `services`, with one of `tags`.
pub(super) fn devices(services: &[String], tags: &[String]) -> Result<Vec<InventoryDevice>, Failed> {
    let usual = [OURS.to_owned(), WEB.to_owned()];
    let names = if services.is_empty() { &usual } else { services };
    let named =
        |text: &String| text.parse().map_err(|error| Failed::usage(format!("--service {text}: {error}")));
    let services = names.iter().map(named).collect::<Result<Vec<ServiceName>, _>>()?;
    let heard = discover::discover(&services, LISTEN, None).map_err(Failed::environment)?;
    let found = fleet_of(&heard.devices);
    if found.devices.is_empty() {
        let services = services.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        return Err(Failed::environment(format!(
            "--targets discover: no device announced {services} within {} s; `espstress discover` says what to check",
            LISTEN.as_secs()
        )));
    }
    tagged(found, tags, "what announces itself")
}

/// One device for each address: ours rather than a web server, a web server rather than anything else. Its tags are its stack
/// and its services.
fn fleet_of(announced: &[Announced]) -> Inventory {
    let rank = |one: &&Announced| match one.service.as_str() {
        OURS => 0,
        WEB => 1,
        _ => 2,
    };
    let mut ranked: Vec<&Announced> = announced.iter().collect();
    ranked.sort_by_key(rank);
    let mut devices: Vec<(String, InventoryDevice)> = Vec::new();
    let mut names = BTreeSet::new();
    for one in ranked {
        let (Some(address), Some(port)) = (one.addresses.first(), one.port) else { continue };
        if let Some((_, known)) = devices.iter_mut().find(|(at, _)| at == address) {
            known.tags.push(one.service.clone());
            continue;
        }
        let target = match one.service.as_str() {
            OURS => address.clone(),
            _ if address.contains(':') => format!("[{address}]:{port}"),
            _ => format!("{address}:{port}"),
        };
        let tags = one.stack.iter().chain([&one.service]).cloned().collect();
        devices.push((address.clone(), device(free_name(&one.name, &mut names), target, tags)));
    }
    let mut devices: Vec<InventoryDevice> = devices.into_iter().map(|(_, device)| device).collect();
    devices.sort_by(|a, b| a.name.cmp(&b.name));
    Inventory { devices }
}

/// The name that a device gives itself, with only the characters of an inventory, and another than those before it.
fn free_name(own: &str, taken: &mut BTreeSet<String>) -> String {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let name: String = own.chars().map(|c| if fits(c) { c } else { '-' }).take(64).collect();
    let name = if name.is_empty() { "device".to_owned() } else { name };
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(name: &str, service: &str, address: &str, port: u16) -> Announced {
        Announced {
            name: name.to_owned(),
            service: service.to_owned(),
            addresses: vec![address.to_owned()],
            port: Some(port),
            ..Announced::default()
        }
    }

    fn told(announced: &[Announced]) -> Vec<(String, String, Vec<String>)> {
        let devices = fleet_of(announced).devices.into_iter();
        devices.map(|device| (device.name, device.target, device.tags)).collect()
    }

    #[test]
    fn a_device_with_several_services_is_one_and_ours_has_all_its_ports() {
        let all = [
            announced("board", WEB, "192.168.4.9", 80),
            Announced { stack: Some("lwip".into()), ..announced("board", OURS, "192.168.4.9", 7_007) },
            announced("Kitchen (2)", WEB, "192.168.4.10", 8_080),
        ];
        assert_eq!(
            told(&all),
            [
                ("Kitchen--2-".to_owned(), "192.168.4.10:8080".to_owned(), vec![WEB.to_owned()]),
                (
                    "board".to_owned(),
                    "192.168.4.9".to_owned(),
                    vec!["lwip".to_owned(), OURS.to_owned(), WEB.to_owned()]
                ),
            ]
        );
    }

    #[test]
    fn devices_of_one_name_are_told_apart_and_one_without_an_address_is_left_out() {
        let mut nowhere = announced("board", WEB, "", 80);
        nowhere.addresses.clear();
        let all =
            [announced("board", WEB, "fe80::1%wlan0", 80), nowhere, announced("board", WEB, "10.0.0.2", 80)];
        let names: Vec<(String, String)> =
            told(&all).into_iter().map(|(name, target, _)| (name, target)).collect();
        assert_eq!(
            names,
            [
                ("board".to_owned(), "[fe80::1%wlan0]:80".to_owned()),
                ("board-2".to_owned(), "10.0.0.2:80".to_owned())
            ]
        );
    }
}
