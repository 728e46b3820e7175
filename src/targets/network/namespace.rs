//! Into a network namespace, by way of a user namespace where needed.

use std::fs;
use std::io;

use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use super::Privilege;
use super::error::{NetworkError, Step};

/// unshare(2) with one of the two flags that [`enter`] needs.
fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: only FILES can take descriptors from a thread, and no caller passes it; there is one thread besides.
    #[expect(unsafe_code, reason = "rustix has no safe unshare(2)")]
    unsafe {
        rustix::thread::unshare_unsafe(flags)
    }
}

/// Enters a network namespace.
pub(super) fn enter() -> Result<Privilege, NetworkError> {
    let threads = fs::read_dir("/proc/self/task").map(Iterator::count).unwrap_or(1);
    if threads > 1 {
        return Err(NetworkError::new(Step::SingleThread, io::Error::other(format!("{threads} threads"))));
    }
    match unshare(UnshareFlags::NEWNET) {
        Ok(()) => return Ok(Privilege::Own),
        Err(Errno::PERM) => {}
        Err(error) => return Err(NetworkError::new(Step::NetworkNamespace, error.into())),
    }
    // Read before: within the new namespace, and until it is mapped, this process is nobody.
    let (user, group) = (geteuid(), getegid());
    unshare(UnshareFlags::NEWUSER).map_err(|error| NetworkError::new(Step::UserNamespace, error.into()))?;
    let write = |path: &str, text: String| {
        fs::write(path, text).map_err(|error| NetworkError::new(Step::UserMap, error))
    };
    // Without this an ordinary user may not map a group (user_namespaces(7)).
    write("/proc/self/setgroups", "deny".to_owned())?;
    write("/proc/self/uid_map", format!("0 {} 1", user.as_raw()))?;
    write("/proc/self/gid_map", format!("0 {} 1", group.as_raw()))?;
    unshare(UnshareFlags::NEWNET).map_err(|error| NetworkError::new(Step::NetworkNamespace, error.into()))?;
    Ok(Privilege::UserNamespace)
}
