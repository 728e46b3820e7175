//! Into a network namespace, by way of a user namespace where needed.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid};

use super::Privilege;
use super::error::{NetworkError, Step};

/// Enters a network namespace.
pub(super) fn enter() -> Result<Privilege, NetworkError> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if threads > 1 {
        return Err(NetworkError::new(Step::SingleThread, io::Error::other(format!("{threads} threads"))));
    }
    match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => return Ok(Privilege::Own),
        Err(Errno::EPERM) => {}
        Err(error) => return Err(NetworkError::new(Step::NetworkNamespace, error.into())),
    }
    // Read before: within the new namespace, and until it is mapped, this process is nobody.
    let (user, group) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(|error| NetworkError::new(Step::UserNamespace, error.into()))?;
    let write = |path: &str, text: String| {
        fs::write(path, text).map_err(|error| NetworkError::new(Step::UserMap, error))
    };
    // Without this an ordinary user may not map a group (user_namespaces(7)).
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {user} 1"))?;
    write("/proc/self/gid_map", format!("0 {group} 1"))?;
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|error| NetworkError::new(Step::NetworkNamespace, error.into()))?;
    Ok(Privilege::UserNamespace)
}
