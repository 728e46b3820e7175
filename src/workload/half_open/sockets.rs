//! What the device's telemetry says of its sockets: those it uses by itself, and those that silent connections hold.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use espstress_device::telemetry::{MAX_LEN, REQUEST};
use tokio::net::UdpSocket;

use super::client::Client;
use espstress_event::Telemetry;
use espstress_stats::SocketsUsed;

/// Time between questions to the device's telemetry.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);

/// The same before the first silence: the count of the sockets in use by then is what all later ones go by.
pub(super) const BASELINE_INTERVAL: Duration = Duration::from_millis(50);

/// The device's own account of its sockets.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    answers: Cell<bool>,
    before: Cell<Option<u32>>,
    /// Accounts that `before` goes by.
    at_rest: Cell<u32>,
    most: Cell<u32>,
    now: Cell<Option<u32>>,
    /// The larger of the last two accounts counts: the client's own connection comes and goes.
    previous: Cell<Option<u32>>,
    limit: Cell<Option<u32>>,
    filling: Cell<bool>,
    /// Accounts since the last silence; `None` before it.
    since_silent: Cell<Option<u32>>,
}

/// Accounts of a device at rest that make what it uses by itself known: it may close the client's socket a moment
/// after the client has seen the end.
const ENOUGH_AT_REST: u32 = 3;

impl Sockets {
    /// From here on connections fall silent.
    pub(super) fn filling(&self) {
        self.filling.set(true);
    }

    /// From here on no connection falls silent: earlier accounts know nothing of the last of them.
    pub(super) fn all_silent(&self) {
        self.since_silent.set(Some(0));
    }

    /// Whether the device gives accounts, and there were too few of them.
    pub(super) fn expects_more(&self) -> bool {
        self.answers.get() && self.at_rest.get() < ENOUGH_AT_REST
    }

    /// Takes an account; before the first silence only one of a time in which the client had no connection.
    fn take(&self, telemetry: &Telemetry, client: Traffic) {
        let Some(used) = telemetry.sockets_used else { return };
        self.answers.set(true);
        self.limit.set(telemetry.sockets_limit);
        if self.filling.get() {
            self.most.set(self.most.get().max(used));
            self.previous.set(self.now.get());
            self.now.set(Some(used));
            self.since_silent.update(|since| since.map(|n| n.saturating_add(1)));
        } else if client == Traffic::None {
            self.at_rest.update(|n| n.saturating_add(1));
            self.before.set(Some(self.before.get().map_or(used, |before| before.min(used))));
        }
    }

    /// Sockets in use beyond those before the first silence, as two accounts in a row agree on. The first of them
    /// may be older than the last silence by as long as its answer took.
    pub(super) fn beyond_before(&self) -> Option<u32> {
        self.since_silent.get().filter(|accounts| *accounts >= 2)?;
        let used = self.now.get()?.max(self.previous.get()?);
        Some(used.saturating_sub(self.before.get()?))
    }

    /// What the report tells of it; `None` where the device does not say.
    pub(super) fn used(&self) -> Option<SocketsUsed> {
        Some(SocketsUsed {
            before: self.before.get()?,
            most: self.most.get(),
            at_end: self.now.get()?,
            limit: self.limit.get(),
        })
    }

    /// Asks the device until it is dropped.
    pub(super) async fn watch(
        self: Rc<Self>,
        target: SocketAddr,
        source: Option<IpAddr>,
        client: Rc<Client>,
    ) {
        let any: IpAddr = match target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let Ok(socket) = UdpSocket::bind(SocketAddr::new(source.unwrap_or(any), 0)).await else { return };
        if socket.connect(target).await.is_err() {
            return;
        }
        let mut buffer = vec![0; MAX_LEN + 1];
        loop {
            let before = client.at_rest();
            // What cannot be sent is not answered.
            let _ = socket.send(REQUEST.as_bytes()).await;
            let interval = if self.filling.get() { INTERVAL } else { BASELINE_INTERVAL };
            let next = tokio::time::Instant::now() + interval;
            while let Ok(received) = tokio::time::timeout_at(next, socket.recv(&mut buffer)).await {
                let Ok(length) = received else { continue };
                if let Some(telemetry) = Telemetry::parse(buffer.get(..length).unwrap_or_default()) {
                    let at_rest = before.is_some() && before == client.at_rest();
                    self.take(&telemetry, if at_rest { Traffic::None } else { Traffic::Some });
                }
            }
        }
    }
}

/// Whether the well-behaved client may have had a connection while the device counted its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Traffic {
    None,
    Some,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sockets: &Sockets, client: Traffic, accounts: &[u32]) {
        for used in accounts {
            let telemetry =
                Telemetry { sockets_used: Some(*used), sockets_limit: Some(10), ..Telemetry::default() };
            sockets.take(&telemetry, client);
        }
    }

    #[test]
    fn what_the_device_uses_by_itself_is_counted_without_the_clients_connection() {
        let sockets = Sockets::default();
        assert!(!sockets.expects_more(), "a device without telemetry is not waited for");
        told(&sockets, Traffic::Some, &[6]);
        assert!(sockets.expects_more());
        told(&sockets, Traffic::None, &[6, 5, 5]);
        assert!(!sockets.expects_more());
        sockets.filling();
        sockets.all_silent();
        told(&sockets, Traffic::Some, &[10, 10]);
        assert_eq!(sockets.beyond_before(), Some(5));
    }

    #[test]
    fn accounts_from_before_the_last_silence_give_no_socket_back() {
        let sockets = Sockets::default();
        told(&sockets, Traffic::None, &[5]);
        sockets.filling();
        told(&sockets, Traffic::None, &[5, 6, 7]);
        assert_eq!(sockets.beyond_before(), None);
        sockets.all_silent();
        // Asked before the silence, answered after it.
        told(&sockets, Traffic::None, &[7]);
        assert_eq!(sockets.beyond_before(), None);
        told(&sockets, Traffic::None, &[10]);
        assert_eq!(sockets.beyond_before(), Some(5));
        told(&sockets, Traffic::None, &[8]);
        assert_eq!(sockets.beyond_before(), Some(5), "one account alone gives nothing back");
        told(&sockets, Traffic::None, &[8]);
        assert_eq!(sockets.beyond_before(), Some(3));
    }
}
