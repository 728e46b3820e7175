//! How a transaction failed, by name.

use serde::{Deserialize, Serialize};

/// Why an attempt did not succeed. Most are the device's or the path's; the `Host*` ones are
/// the limits of the machine that runs the test and are never counted against the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No SYN-ACK within the connect time-out.
    ConnectTimeout,
    /// A RST answered the SYN (RFC 9293, 3.5.2 group 1).
    ConnectRefused,
    /// The connection was reset while it was being established, after the SYN-ACK.
    ConnectReset,
    /// ICMP or the routing table said that there is no way to the device.
    ConnectUnreachable,
    /// TLS failed, in the handshake or after it; the report's `http.tls` says how. A time-out, a FIN and a RST in the
    /// handshake are `ReadTimeout`, `EofBeforeResponse` and `ReadReset`.
    TlsFailed,
    /// The request could not be handed to the stack within the write time-out, or the device took nothing of its body for
    /// that long.
    WriteTimeout,
    /// A RST, or a closed connection, met the request.
    WriteReset,
    /// No (further) byte of the response within the read time-out.
    ReadTimeout,
    /// A RST came instead of the response or in the middle of it.
    ReadReset,
    /// A FIN came where the response should have started.
    EofBeforeResponse,
    /// A FIN came in the middle of the response.
    TruncatedResponse,
    /// The response was not one that the protocol allows.
    BadResponse,
    /// The response's status says that the server failed (5xx; RFC 9110, 15.6), or is not one that was asked for.
    BadStatus,
    /// The payload that came back is not the one that was asked for.
    CorruptPayload,
    /// The answer to a later request came instead of this one's, on a connection whose answers come in order.
    PassedOver,
    /// A datagram did not come back in time.
    DatagramLost,
    /// An ICMP port unreachable answered a datagram (RFC 1122, 3.2.2.1): nothing listens on that UDP port.
    PortUnreachable,
    /// The device gave up a client that was slow on purpose (`--read-rate`, `--send-rate`): by a status such as 408 (RFC 9110,
    /// 15.5.9), a FIN or a RST before that client was done. No fault of the device's.
    SlowGivenUp,
    /// The host has no free source port left (EADDRNOTAVAIL).
    HostOutOfPorts,
    /// The host has no free file descriptor left (EMFILE, ENFILE).
    HostOutOfFiles,
    /// Any other refusal of the host's own system.
    HostOther,
}

impl Failure {
    /// Every failure, in the order of reports.
    pub const ALL: [Self; 21] = [
        Self::ConnectTimeout,
        Self::ConnectRefused,
        Self::ConnectReset,
        Self::ConnectUnreachable,
        Self::TlsFailed,
        Self::WriteTimeout,
        Self::WriteReset,
        Self::ReadTimeout,
        Self::ReadReset,
        Self::EofBeforeResponse,
        Self::TruncatedResponse,
        Self::BadResponse,
        Self::BadStatus,
        Self::CorruptPayload,
        Self::PassedOver,
        Self::DatagramLost,
        Self::PortUnreachable,
        Self::SlowGivenUp,
        Self::HostOutOfPorts,
        Self::HostOutOfFiles,
        Self::HostOther,
    ];

    /// The name in reports and threshold expressions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectReset => "connect_reset",
            Self::ConnectUnreachable => "connect_unreachable",
            Self::TlsFailed => "tls_failed",
            Self::WriteTimeout => "write_timeout",
            Self::WriteReset => "write_reset",
            Self::ReadTimeout => "read_timeout",
            Self::ReadReset => "read_reset",
            Self::EofBeforeResponse => "eof_before_response",
            Self::TruncatedResponse => "truncated_response",
            Self::BadResponse => "bad_response",
            Self::BadStatus => "bad_status",
            Self::CorruptPayload => "corrupt_payload",
            Self::PassedOver => "passed_over",
            Self::DatagramLost => "datagram_lost",
            Self::PortUnreachable => "port_unreachable",
            Self::SlowGivenUp => "slow_given_up",
            Self::HostOutOfPorts => "host_out_of_ports",
            Self::HostOutOfFiles => "host_out_of_files",
            Self::HostOther => "host_other",
        }
    }

    /// Whether the host's own limit caused it, so that the device must not be blamed.
    #[must_use]
    pub const fn is_host(self) -> bool {
        matches!(self, Self::HostOutOfPorts | Self::HostOutOfFiles | Self::HostOther)
    }
}

/// A count for each [`Failure`]; fixed size whatever the length of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureCounts([u64; Failure::ALL.len()]);

impl FailureCounts {
    /// Adds one.
    pub fn count(&mut self, failure: Failure) {
        self.0[failure as usize] += 1;
    }

    /// Adds `n`.
    pub fn add(&mut self, failure: Failure, n: u64) {
        self.0[failure as usize] += n;
    }

    /// How often it happened.
    #[must_use]
    pub const fn get(&self, failure: Failure) -> u64 {
        self.0[failure as usize]
    }

    /// Failures that count against device or path.
    #[must_use]
    pub fn of_device(&self) -> u64 {
        self.iter().filter(|(f, _)| !f.is_host()).map(|(_, n)| n).sum()
    }

    /// Failures of the host's own.
    #[must_use]
    pub fn of_host(&self) -> u64 {
        self.iter().filter(|(f, _)| f.is_host()).map(|(_, n)| n).sum()
    }

    /// Every name with its count, zeros included, in the order of [`Failure::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Failure, u64)> + '_ {
        Failure::ALL.into_iter().zip(self.0)
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a += b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_listed_once_and_in_the_order_of_its_discriminant() {
        for (i, f) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(f as usize, i, "{}", f.name());
        }
    }

    #[test]
    fn the_serialised_name_is_the_public_name() {
        for f in Failure::ALL {
            assert_eq!(serde_json::to_value(f).unwrap(), f.name());
        }
    }

    #[test]
    fn host_failures_are_kept_apart_from_the_devices() {
        let mut c = FailureCounts::default();
        c.count(Failure::ConnectTimeout);
        c.add(Failure::HostOutOfPorts, 3);
        assert_eq!((c.of_device(), c.of_host()), (1, 3));
    }
}
