//! From an I/O error to the name of the failure: what the error means depends on the step it met.

use std::io;

use espstress_event::Failure;

/// What the connection was doing when the error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Making the socket, or waiting for the handshake.
    Connect,
    /// Handing over the first byte of the first request: nothing has been asked yet.
    FirstWrite,
    /// Handing over any later byte.
    Write,
    /// Waiting for (the rest of) a response.
    Read,
}

/// Names the failure that `error` is at `step`. Total: what is not known to be the device's is the host's.
#[must_use]
pub(crate) fn failure_of(step: Step, error: &io::Error) -> Failure {
    if let Some(host) = host_limit(error) {
        return host;
    }
    match (step, error.kind()) {
        (Step::Connect, io::ErrorKind::ConnectionRefused) => Failure::ConnectRefused,
        (Step::Connect, io::ErrorKind::TimedOut) => Failure::ConnectTimeout,
        (
            _,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown,
        ) => {
            match step {
                Step::Connect | Step::FirstWrite => Failure::ConnectUnreachable,
                // The stack gave up on a standing connection after ICMP said so: no answer came in time.
                Step::Write => Failure::WriteTimeout,
                Step::Read => Failure::ReadTimeout,
            }
        }
        (Step::Connect | Step::FirstWrite, kind) if is_reset(kind) => Failure::ConnectReset,
        (Step::Write, kind) if is_reset(kind) => Failure::WriteReset,
        (Step::Read, kind) if is_reset(kind) => Failure::ReadReset,
        (Step::FirstWrite | Step::Write, io::ErrorKind::TimedOut) => Failure::WriteTimeout,
        (Step::Read, io::ErrorKind::TimedOut) => Failure::ReadTimeout,
        _ => Failure::HostOther,
    }
}

const fn is_reset(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::ConnectionRefused
    )
}

fn host_limit(error: &io::Error) -> Option<Failure> {
    match error.raw_os_error()? {
        libc::EADDRNOTAVAIL | libc::EADDRINUSE => Some(Failure::HostOutOfPorts),
        libc::EMFILE | libc::ENFILE => Some(Failure::HostOutOfFiles),
        libc::ENOBUFS | libc::ENOMEM | libc::EPERM | libc::EACCES => Some(Failure::HostOther),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(step: Step, errno: i32) -> Failure {
        failure_of(step, &io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn a_reset_is_named_by_the_step_it_met() {
        assert_eq!(of(Step::Connect, libc::ECONNREFUSED), Failure::ConnectRefused);
        assert_eq!(of(Step::Connect, libc::ECONNRESET), Failure::ConnectReset);
        assert_eq!(of(Step::FirstWrite, libc::EPIPE), Failure::ConnectReset);
        assert_eq!(of(Step::Write, libc::EPIPE), Failure::WriteReset);
        assert_eq!(of(Step::Read, libc::ECONNRESET), Failure::ReadReset);
    }

    #[test]
    fn the_hosts_own_limits_are_never_the_devices_failure() {
        for step in [Step::Connect, Step::FirstWrite, Step::Write, Step::Read] {
            for errno in [libc::EMFILE, libc::ENFILE, libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::EPERM] {
                assert!(of(step, errno).is_host(), "{step:?} {errno}");
            }
        }
    }

    #[test]
    fn an_icmp_unreachable_on_a_standing_connection_is_silence_not_a_failed_connect() {
        assert_eq!(of(Step::Read, libc::EHOSTUNREACH), Failure::ReadTimeout);
        assert_eq!(of(Step::Connect, libc::EHOSTUNREACH), Failure::ConnectUnreachable);
    }
}
