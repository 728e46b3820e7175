//! What can keep the private network from being set up, and what to do about it.

use std::fmt;
use std::io;

use super::facts::{Facts, TunDevice};

/// A step on the way to a private network, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The process still has one thread.
    SingleThread,
    /// A user namespace.
    UserNamespace,
    /// This user as the namespace's root.
    UserMap,
    /// A network namespace.
    NetworkNamespace,
    /// A socket to set interfaces up with.
    Rtnetlink,
    /// The loopback interface.
    Loopback,
    /// A twin's number.
    Index,
    /// Opening `/dev/net/tun`.
    TunDevice,
    /// A TAP device.
    Tap,
    /// A veth pair.
    Veth,
    /// The veth pair without checksum offload.
    Offload,
    /// A packet socket.
    PacketSocket,
    /// The host's address.
    Address,
    /// The interface, up.
    Interface,
    /// A route to a further twin.
    Route,
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::SingleThread => "the process has more than one thread already",
            Self::UserNamespace => "a user namespace was refused",
            Self::UserMap => "the user namespace gave no rights (its user map was refused)",
            Self::NetworkNamespace => "a network namespace was refused",
            Self::Rtnetlink => "the namespace gave no netlink socket",
            Self::Loopback => "the loopback interface could not be set up",
            Self::Index => "there are 64 places for twins, one for each number",
            Self::TunDevice => "/dev/net/tun could not be opened",
            Self::Tap => "a TAP device was refused",
            Self::Veth => "a veth pair was refused",
            Self::Offload => "the veth pair's checksum offload could not be switched off",
            Self::PacketSocket => "a packet socket was refused",
            Self::Address => "the interface took no address",
            Self::Interface => "the interface could not be set up",
            Self::Route => "the route to the twin was refused",
        }
    }
}

/// The private network cannot be had: the first failing step, the system's word for it, and the remedies.
#[derive(Debug)]
pub struct NetworkError {
    step: Step,
    source: io::Error,
    /// Where the TAP device had failed before something else was tried.
    before: Option<Box<Self>>,
    remedies: Vec<String>,
}

impl NetworkError {
    pub(super) fn new(step: Step, source: io::Error) -> Self {
        let remedies = remedies(step, &source, &Facts::gather());
        Self { step, source, before: None, remedies }
    }

    /// What had failed before this was tried instead of it.
    pub(super) fn after(self, before: Self) -> Self {
        Self { before: Some(Box::new(before)), ..self }
    }

    /// The first step that failed.
    #[must_use]
    pub fn step(&self) -> Step {
        self.before.as_ref().map_or(self.step, |before| before.step())
    }

    /// Whether this process still has a loopback interface that is up, so that a device can run on it.
    #[must_use]
    pub(crate) fn leaves_loopback(&self) -> bool {
        !matches!(self.step(), Step::Rtnetlink | Step::Loopback)
    }

    /// What to do about it, a sentence each.
    #[must_use]
    fn remedies(&self) -> Vec<&str> {
        let before = self.before.iter().flat_map(|before| before.remedies());
        before.chain(self.remedies.iter().map(String::as_str)).collect()
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot create a private network for the twin: ")?;
        if let Some(before) = &self.before {
            write!(f, "{} ({}); tried next: ", before.step.words(), before.source)?;
        }
        write!(f, "{} ({})", self.step.words(), self.source)?;
        for remedy in self.remedies() {
            write!(f, "\n  - {remedy}")?;
        }
        f.write_str("\n  - or use the target `sim`, which needs no private network")
    }
}

impl std::error::Error for NetworkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// What to do about a failure on a machine of this kind.
fn remedies(step: Step, error: &io::Error, facts: &Facts) -> Vec<String> {
    let mut remedies = Vec::new();
    match step {
        Step::SingleThread => {
            remedies.push("enter the private network before anything else is started".to_owned())
        }
        Step::UserNamespace | Step::UserMap | Step::NetworkNamespace | Step::Loopback | Step::Rtnetlink => {
            let spaces = |text: &mut Vec<String>, name: &str, count: Option<u64>| {
                if count == Some(0) {
                    text.push(format!("allow such namespaces: sudo sysctl user.{name}=10000 (it is 0)"));
                }
            };
            if facts.userns_clone == Some(0) {
                remedies.push(
                    "allow user namespaces: sudo sysctl kernel.unprivileged_userns_clone=1 (it is 0)"
                        .to_owned(),
                );
            }
            if facts.apparmor_restricts == Some(1) {
                remedies.push(
                    "AppArmor allows user namespaces only without capabilities: sudo sysctl \
                     kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` for this program"
                        .to_owned(),
                );
            }
            spaces(&mut remedies, "max_user_namespaces", facts.max_user_namespaces);
            spaces(&mut remedies, "max_net_namespaces", facts.max_net_namespaces);
            if remedies.is_empty() && matches!(step, Step::UserNamespace | Step::NetworkNamespace) {
                remedies.push(
                    "in a container, start it with --cap-add SYS_ADMIN --cap-add NET_ADMIN, or with a seccomp profile \
                     that allows unshare"
                        .to_owned(),
                );
            }
            remedies.push("or run as root: sudo espstress ...".to_owned());
        }
        Step::TunDevice | Step::Tap => match facts.tun {
            TunDevice::Absent => remedies.push(
                "load the driver: sudo modprobe tun; in a container, start it with --device /dev/net/tun"
                    .to_owned(),
            ),
            TunDevice::Denied => {
                remedies.push("let users open the device: sudo chmod 0666 /dev/net/tun".to_owned());
            }
            TunDevice::Usable if step == Step::Tap && error.kind() == io::ErrorKind::PermissionDenied => {
                remedies.push("this needs CAP_NET_ADMIN in the network namespace: run as root".to_owned());
            }
            TunDevice::Usable => {}
        },
        Step::Veth if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            remedies.push("load the driver: sudo modprobe veth".to_owned());
        }
        Step::PacketSocket if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            remedies.push("load the driver: sudo modprobe af_packet".to_owned());
        }
        Step::Veth | Step::PacketSocket | Step::Offload | Step::Address | Step::Interface | Step::Route => {
            if error.kind() == io::ErrorKind::PermissionDenied {
                remedies
                    .push("the namespace doesn't grant CAP_NET_ADMIN or CAP_NET_RAW: run as root".to_owned());
            }
        }
        Step::Index => {}
    }
    remedies
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            userns_clone: None,
            max_user_namespaces: Some(1000),
            max_net_namespaces: Some(1000),
            apparmor_restricts: None,
            tun: TunDevice::Usable,
        }
    }

    fn told(step: Step, errno: i32, facts: &Facts) -> String {
        remedies(step, &io::Error::from_raw_os_error(errno), facts).join("\n")
    }

    #[test]
    fn every_way_of_being_refused_has_its_remedy() {
        use libc::{EACCES, ENOENT, ENOSPC, EPERM};
        let step = Step::UserNamespace;
        let off = Facts { userns_clone: Some(0), ..facts() };
        assert!(told(step, EPERM, &off).contains("kernel.unprivileged_userns_clone=1"));
        let none = Facts { max_user_namespaces: Some(0), ..facts() };
        assert!(told(step, ENOSPC, &none).contains("user.max_user_namespaces"));
        let apparmor = Facts { apparmor_restricts: Some(1), ..facts() };
        assert!(told(Step::UserMap, EACCES, &apparmor).contains("apparmor_restrict_unprivileged_userns=0"));
        assert!(told(step, EPERM, &facts()).contains("--cap-add SYS_ADMIN"));
        let absent = Facts { tun: TunDevice::Absent, ..facts() };
        assert!(told(Step::TunDevice, ENOENT, &absent).contains("modprobe tun"));
        let denied = Facts { tun: TunDevice::Denied, ..facts() };
        assert!(told(Step::TunDevice, EACCES, &denied).contains("chmod 0666 /dev/net/tun"));
    }

    #[test]
    fn the_message_names_the_first_failing_step_and_the_way_out() {
        let tun = NetworkError::new(Step::TunDevice, io::ErrorKind::PermissionDenied.into());
        let error = NetworkError::new(Step::Veth, io::ErrorKind::PermissionDenied.into()).after(tun);
        assert_eq!(error.step(), Step::TunDevice);
        let text = error.to_string();
        assert!(text.contains("/dev/net/tun could not be opened"), "{text}");
        assert!(text.contains("veth pair was refused"), "{text}");
        assert!(text.ends_with("or use the target `sim`, which needs no private network"), "{text}");
    }
}
