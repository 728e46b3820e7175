//! `address_changed`: the device has another address than the one that the run talks to.
//!
//! Evidence: the console says a new address, and the one before was the run's, or is in the same network; or the name that
//! the run was started with stands for another address at its end. And: nothing was served at the run's address after
//! that.
//!
//! Neighbours: a device with several interfaces, which is still served at the old address; one behind a port that somebody
//! forwards, whose own address never was the run's; a device that is gone.

use std::net::IpAddr;

use super::super::facts::{self, SECOND, Stack};
use super::super::{Evidence, Finding, FindingId, Place, Severity};
use super::FindingEntry;
use super::text::{things, time};
use espstress_event::Said;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::AddressChanged,
    severity: Severity::Warning,
    meaning: "the device got a new IP address during the run, which went on with the old one",
    needs: "--console with the lines of DHCP (`sta ip:`), or a target that is a name",
    neighbours: "a device that is gone; several interfaces; a forwarded port",
    change: "reserve the device's address in the router, or set a static one, and repeat the run",
};

/// A change of address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    /// Since when, nanoseconds; `None` where that is not known.
    since_ns: u64,
    old: IpAddr,
    new: Vec<IpAddr>,
    evidence: String,
}

/// When anything was served last, and when the first workload began.
fn last_served(e: &Evidence<'_>) -> Option<u64> {
    e.workloads.iter().filter_map(facts::last_success_ns).max()
}

fn fails(e: &Evidence<'_>) -> bool {
    e.workloads.iter().any(|w| w.failures.of_device() > 0)
}

/// Both in a network of the size that access points give out.
fn are_neighbours(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        _ => false,
    }
}

fn by_console(e: &Evidence<'_>, place: &Place) -> Option<Change> {
    let start = e.workloads.iter().map(|w| w.start_ns).min()?;
    let told = e.console?.iter().filter_map(|event| match event.said {
        Said::Address { ip } => Some((event, ip)),
        _ => None,
    });
    let mut before = None;
    let mut change = None;
    for (event, ip) in told {
        let was_here = before.map_or_else(|| are_neighbours(ip, place.address), |ip| ip == place.address);
        if ip == place.address {
            change = None;
        } else if was_here && event.at_ns >= start {
            change = Some((event, ip));
        }
        before = Some(ip);
    }
    let (event, ip) = change?;
    let served = last_served(e);
    if served.is_some_and(|last| last > event.at_ns.saturating_add(SECOND)) {
        return None;
    }
    Some(Change {
        since_ns: served.unwrap_or(start).min(event.at_ns),
        old: place.address,
        new: vec![ip],
        evidence: super::console::quote(event),
    })
}

fn by_name(e: &Evidence<'_>, place: &Place) -> Option<Change> {
    let resolved = place.resolved.as_ref()?;
    let new: Vec<IpAddr> = resolved.addresses.iter().map(IpAddr::to_canonical).collect();
    if new.is_empty() || new.contains(&place.address.to_canonical()) || facts::stack(e) == Stack::Answers {
        return None;
    }
    let end = e.workloads.iter().map(|w| w.end_ns).max()?;
    let start = e.workloads.iter().map(|w| w.start_ns).min()?;
    let since_ns = last_served(e).unwrap_or(start);
    // At the end it was not there any more.
    if since_ns.saturating_add(SECOND) > end {
        return None;
    }
    let list: Vec<String> = new.iter().map(ToString::to_string).collect();
    Some(Change {
        since_ns,
        old: place.address,
        evidence: format!(
            "{} resolved to {} at the start and resolves to {} at the end",
            resolved.name,
            place.address,
            list.join(", ")
        ),
        new,
    })
}

fn change(e: &Evidence<'_>) -> Option<Change> {
    let place = e.device.place.as_ref()?;
    if !fails(e) {
        return None;
    }
    by_console(e, place).or_else(|| by_name(e, place))
}

/// Since when the run talks to an address that the device does not have any more.
pub(super) fn since(e: &Evidence<'_>) -> Option<u64> {
    change(e).map(|change| change.since_ns)
}

pub(super) fn find(e: &Evidence<'_>) -> Option<Finding> {
    let Change { since_ns, old, new, evidence } = change(e)?;
    let list: Vec<String> = new.iter().map(ToString::to_string).collect();
    let episodes = e.workloads.iter().flat_map(|w| &w.episodes).filter(|episode| episode.to_ns >= since_ns);
    let failed = episodes
        .fold(0_u64, |n, episode| n.saturating_add(episode.attempts.saturating_sub(episode.succeeded)));
    Some(Finding {
        id: FindingId::AddressChanged,
        severity: Severity::Warning,
        statement: format!(
            "The device has a new address: {} instead of {old}, the address of this run. Nothing was served there after {}.",
            list.join(", "),
            time(since_ns)
        ),
        evidence: vec![evidence, format!("{} failed at {old} after that", things(failed, "attempt"))],
        cause:
            "the DHCP server gave the device another address, for example after it joined the network again"
                .into(),
        change: format!(
            "reserve the device's address in the router, or set a static one, and repeat the run; until then, run it \
             against {}",
            list.first().map_or("the new address", String::as_str)
        ),
    })
}

#[cfg(test)]
#[path = "address_changed_tests.rs"]
mod tests;
