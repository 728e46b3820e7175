//! What this machine says of itself, for the remedies.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// The path of the TAP driver's device.
pub(super) const TUN_PATH: &str = "/dev/net/tun";

/// What bears on namespaces and TAP devices; `None` where this kernel does not have the setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// `kernel.unprivileged_userns_clone` (Debian's kernels).
    pub userns_clone: Option<u64>,
    /// `user.max_user_namespaces`.
    pub max_user_namespaces: Option<u64>,
    /// `user.max_net_namespaces`.
    pub max_net_namespaces: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns` (Ubuntu's).
    pub apparmor_restricts: Option<u64>,
    /// `/dev/net/tun`.
    pub tun: TunDevice,
}

/// The state of `/dev/net/tun`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TunDevice {
    /// It can be opened.
    Usable,
    /// It is not there, or without a driver.
    Absent,
    /// It is there, and not for this user.
    Denied,
}

impl Facts {
    /// Reads them.
    #[must_use]
    pub fn gather() -> Self {
        Self {
            userns_clone: number("/proc/sys/kernel/unprivileged_userns_clone"),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            max_net_namespaces: number("/proc/sys/user/max_net_namespaces"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            tun: match open_tun() {
                Ok(_) => TunDevice::Usable,
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => TunDevice::Denied,
                Err(_) => TunDevice::Absent,
            },
        }
    }
}

pub(super) fn open_tun() -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(TUN_PATH)
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
