//! Devices that announce themselves by multicast DNS (RFC 6762) as services (RFC 6763).

mod found;
mod service;
mod watch;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mdns_sd::{IfKind, ServiceDaemon, ServiceEvent};

pub use found::Announced;
use found::Found;
pub use service::{ServiceName, UnknownService};
pub use watch::{Change, Reach, Watched, watch};

/// What was heard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// By name and service.
    pub devices: Vec<Announced>,
    /// Announcements beyond those that are kept.
    pub beyond: u64,
    /// The interfaces that were listened on, with one address each.
    pub interfaces: Vec<(String, IpAddr)>,
}

/// Why there was no listening.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// No such interface.
    #[error("no interface `{given}` that is up, has an address and supports multicast; usable interfaces: {}", known.join(", "))]
    NoInterface {
        /// As given.
        given: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// None but the loopback.
    #[error(
        "no usable network interface except loopback (it must be up, have an address, and support multicast). Join the \
         device's network; a container or a private network has only its own interfaces"
    )]
    NoNetwork,
    /// The system does not tell its interfaces.
    #[error("cannot list the network interfaces: {0}")]
    Interfaces(#[source] std::io::Error),
    /// The listener does not start or has ended.
    #[error("cannot listen for multicast DNS: {0}")]
    Listener(String),
}

impl From<mdns_sd::Error> for DiscoverError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Listener(error.to_string())
    }
}

/// Asks for services and listens, on that interface or on every one but the loopback, until it is dropped.
struct Listener {
    daemon: ServiceDaemon,
    events: mpsc::Receiver<ServiceEvent>,
    interfaces: Vec<(String, IpAddr)>,
}

impl Listener {
    fn start(services: &[ServiceName], interface: Option<&str>) -> Result<Self, DiscoverError> {
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
        let (to_all, events) = mpsc::channel();
        for service in services {
            let heard = daemon.browse(&service.full())?;
            let to_all = to_all.clone();
            // Ends with the daemon, which ends with the listener.
            std::thread::spawn(move || {
                while let Ok(event) = heard.recv() {
                    if to_all.send(event).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { daemon, events, interfaces })
    }

    /// The next event, or `None` once it is `until`.
    fn next(&self, until: Option<Instant>) -> Result<Option<ServiceEvent>, DiscoverError> {
        let ended = || DiscoverError::Listener("the listener has ended".to_owned());
        match until {
            None => self.events.recv().map(Some).map_err(|_| ended()),
            Some(until) => match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) => Ok(Some(event)),
                Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
                Err(mpsc::RecvTimeoutError::Disconnected) => Err(ended()),
            },
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It ends with the process at the latest.
        let _ = self.daemon.shutdown();
    }
}

/// Asks for devices that announce one of `services` and listens, on that interface or on every one but the loopback.
///
/// # Errors
/// [`DiscoverError`]. That nobody answers is none.
pub fn discover(
    services: &[ServiceName],
    timeout: Duration,
    interface: Option<&str>,
) -> Result<Heard, DiscoverError> {
    let listener = Listener::start(services, interface)?;
    let deadline = Instant::now() + timeout;
    let mut found = Found::default();
    while let Some(event) = listener.next(Some(deadline))? {
        found.take(event);
    }
    let beyond = found.beyond();
    Ok(Heard { devices: found.into_devices(), beyond, interfaces: listener.interfaces.clone() })
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
