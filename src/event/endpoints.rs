//! Where a device's services are.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The addresses of a device's services; a service that it does not have, or that nobody said it has, is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// HTTP/1.1; also what a bare address means.
    pub http: SocketAddr,
    /// The name that the certificate there has to be for, where TLS is spoken there; `None` for plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_name: Option<String>,
    /// Framed read-write.
    pub framed: Option<SocketAddr>,
    /// Request in, some ten kilobytes out, close.
    pub raw: Option<SocketAddr>,
    /// Newline-terminated JSON.
    pub line: Option<SocketAddr>,
    /// Telemetry in one datagram (UDP).
    pub telemetry: Option<SocketAddr>,
}

impl Endpoints {
    /// A device of which only one TCP service is known.
    #[must_use]
    pub const fn only(http: SocketAddr) -> Self {
        Self { http, tls_name: None, framed: None, raw: None, line: None, telemetry: None }
    }

    /// Every TCP port of the device that is known, each once.
    #[must_use]
    pub fn tcp_ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = [Some(self.http), self.framed, self.raw, self.line]
            .into_iter()
            .flatten()
            .map(|address| address.port())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}
