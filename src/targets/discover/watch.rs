//! Announcements as they come, change and end.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{Announced, DiscoverError, Found, Listener, ServiceName};
use espstress_event::is_public;

/// How long a device whose announcement has ended may take to answer a SYN.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of an announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was heard for the first time, or again after its end.
    Appeared(Announced),
    /// It says something else now.
    Changed {
        /// What it said before.
        before: Box<Announced>,
        /// What it says.
        now: Announced,
    },
    /// The device said goodbye, or this host did not hear of it for its time to live.
    Gone(Announced),
}

/// Whether the device is there although its announcement has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The announced port accepts connections.
    Accepts,
    /// It refuses them.
    Refuses,
    /// No answer within three seconds, or none can come.
    Silent,
}

/// A change, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Since the watch began.
    pub at: Duration,
    /// The change.
    pub change: Change,
    /// After the end of an announcement, whether the device is there. `None` for other changes, where the service isn't
    /// TCP, and where the device announced no address of a private network.
    pub reach: Option<Reach>,
}

/// Listens for `length`, or for ever, and tells each change until `tell` says that it is enough.
///
/// # Errors
/// [`DiscoverError`].
pub fn watch(
    services: &[ServiceName],
    length: Option<Duration>,
    interface: Option<&str>,
    mut tell: impl FnMut(Watched) -> bool,
) -> Result<(), DiscoverError> {
    let listener = Listener::start(services, interface)?;
    let start = Instant::now();
    let until = length.map(|length| start + length);
    let mut found = Found::default();
    while let Some(event) = listener.next(until)? {
        let Some(change) = found.take(event) else { continue };
        let at = start.elapsed();
        let reach = match &change {
            Change::Gone(gone) => reach(gone),
            Change::Appeared(_) | Change::Changed { .. } => None,
        };
        if !tell(Watched { at, change, reach }) {
            break;
        }
    }
    Ok(())
}

/// Asks the port that it announced. Never a public address: anybody could announce one.
fn reach(gone: &Announced) -> Option<Reach> {
    let ip = gone.addresses.iter().find_map(|text| text.parse().ok()).filter(|ip| !is_public(*ip))?;
    let port = gone.port.filter(|_| gone.service.ends_with("._tcp"))?;
    Some(match TcpStream::connect_timeout(&SocketAddr::new(ip, port), PATIENCE) {
        Ok(_) => Reach::Accepts,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Reach::Refuses,
        Err(_) => Reach::Silent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(address: &str, port: u16, service: &str) -> Announced {
        Announced {
            addresses: vec![address.to_owned()],
            port: Some(port),
            service: service.to_owned(),
            ..Announced::default()
        }
    }

    #[test]
    fn the_port_of_an_announcement_that_ended_is_asked_on_private_addresses_only() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(reach(&announced("127.0.0.1", port, "_http._tcp")), Some(Reach::Accepts));
        drop(listener);
        assert_eq!(reach(&announced("127.0.0.1", port, "_http._tcp")), Some(Reach::Refuses));
        assert_eq!(reach(&announced("127.0.0.1", port, "_http._udp")), None);
        assert_eq!(reach(&announced("203.0.113.7", port, "_http._tcp")), None);
        assert_eq!(reach(&announced("no address", port, "_http._tcp")), None);
    }
}
