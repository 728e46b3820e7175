//! Whether the device stayed where it was during a run: who answers ARP for its address, and what its name stands for.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use espstress_diagnose::FindingId;
use espstress_engine::Outcome;
use espstress_event::{Event, EventSink};
use espstress_targets::{Device, DeviceKind, Neighbour, Spec};

/// How often the system is asked at most.
const EVERY: Duration = Duration::from_secs(1);

/// Where a device was, and is.
pub(super) struct Whereabouts {
    /// As it was typed, where that is a name.
    name: Option<String>,
    address: SocketAddr,
    first: Option<String>,
    asked: Option<Instant>,
    /// Hardware addresses that came later, the last of them.
    other: Option<String>,
}

impl Whereabouts {
    /// Of a device that has an address of its own; others are ours to start.
    pub(super) fn of(device: &Device) -> Option<Self> {
        if device.kind != DeviceKind::Address {
            return None;
        }
        let name = Self::name_of(device);
        Some(Self { name, address: device.endpoints.http, first: None, asked: None, other: None })
    }

    /// The target as it was typed, where that is a name.
    pub(super) fn name_of(device: &Device) -> Option<String> {
        match &device.spec {
            Spec::Address { host, .. } if host.parse::<IpAddr>().is_err() => Some(host.clone()),
            _ => None,
        }
    }

    fn look(&mut self) {
        if self.asked.is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.asked = Some(Instant::now());
        self.take(Neighbour::of(self.address.ip()));
    }

    fn take(&mut self, now: Neighbour) {
        if let Neighbour::At(now) = now {
            let first = self.first.get_or_insert_with(|| now.clone());
            if *first != now {
                self.other = Some(now);
            }
        }
    }

    /// What a reader of the report should know, beside what was found.
    pub(super) fn remarks(mut self, outcome: &Outcome) -> Vec<String> {
        let now = Neighbour::of(self.address.ip());
        self.take(now.clone());
        let told = outcome.findings.iter().any(|finding| finding.id == FindingId::AddressChanged);
        let resolved = outcome.resolved.as_ref().filter(|_| !told).map(|resolved| resolved.addresses.clone());
        self.words(&now, resolved)
    }

    fn words(&self, now: &Neighbour, resolved: Option<Vec<IpAddr>>) -> Vec<String> {
        let ip = self.address.ip();
        let mut said = Vec::new();
        if let (Some(name), Some(found)) = (&self.name, resolved)
            && !found.is_empty()
            && !found.contains(&ip)
        {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            said.push(format!(
                "{name} resolves to {} now; this run used {ip}, its address at the start. The device may have a new address",
                found.join(", ")
            ));
        }
        if let (Some(first), Some(other)) = (&self.first, &self.other) {
            said.push(format!(
                "{ip} changed its hardware address during the run, from {first} to {other}: it may be another machine now"
            ));
        }
        if *now == Neighbour::NoAnswer {
            said.push(format!("at the end of the run, no machine answered ARP for {ip}"));
        }
        said
    }
}

/// Watches where the device is while events go by.
pub(super) struct Watching<'a, S> {
    pub(super) whereabouts: Option<&'a mut Whereabouts>,
    pub(super) inner: &'a mut S,
}

impl<S: EventSink> EventSink for Watching<'_, S> {
    fn event(&mut self, event: &Event) {
        if let Some(whereabouts) = &mut self.whereabouts {
            whereabouts.look();
        }
        self.inner.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kitchen() -> Whereabouts {
        Whereabouts {
            name: Some("kitchen.local".to_owned()),
            address: SocketAddr::from(([192, 168, 1, 57], 80)),
            first: None,
            asked: None,
            other: None,
        }
    }

    fn at(hardware: &str) -> Neighbour {
        Neighbour::At(hardware.to_owned())
    }

    #[test]
    fn a_device_that_stays_is_not_worth_a_word() {
        let mut here = kitchen();
        here.take(at("24:6f:28:aa:bb:cc"));
        here.take(Neighbour::Unknown);
        here.take(at("24:6f:28:aa:bb:cc"));
        let same = Some(vec![IpAddr::from([192, 168, 1, 57])]);
        assert_eq!(here.words(&at("24:6f:28:aa:bb:cc"), same), Vec::<String>::new());
        assert_eq!(here.words(&Neighbour::Unknown, Some(Vec::new())), Vec::<String>::new());
    }

    #[test]
    fn a_new_address_of_a_name_another_machine_and_silence_are_told() {
        let mut here = kitchen();
        here.take(at("24:6f:28:aa:bb:cc"));
        here.take(at("24:6f:28:00:00:01"));
        let moved = Some(vec![IpAddr::from([192, 168, 1, 61])]);
        let [name, machine, silent] = &here.words(&Neighbour::NoAnswer, moved)[..] else {
            panic!("three things changed")
        };
        assert!(name.starts_with("kitchen.local resolves to 192.168.1.61 now; this run used 192.168.1.57"));
        assert!(machine.contains("from 24:6f:28:aa:bb:cc to 24:6f:28:00:00:01"));
        assert_eq!(silent, "at the end of the run, no machine answered ARP for 192.168.1.57");
    }
}
