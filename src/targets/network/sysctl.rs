//! Settings of the private network, so that a run there does not depend on the machine's.

use std::fs;

use super::Privilege;

/// Pins them. A kernel that lacks one, or lacks IPv6, is none the worse for it.
pub(super) fn pin(privilege: Privilege) {
    // Echo sockets for the groups there are: a user namespace has only its own.
    let groups = match privilege {
        Privilege::Own => "0 2147483647",
        Privilege::UserNamespace => "0 0",
    };
    let settings = [
        ("net/ipv4/ping_group_range", groups),
        // One run's connections must not shape the next one's.
        ("net/ipv4/tcp_no_metrics_save", "1"),
        // Interfaces to come carry IPv4 alone: no neighbour discovery and no router solicitations in captures.
        ("net/ipv6/conf/default/disable_ipv6", "1"),
        ("net/ipv6/conf/default/autoconf", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        // Source addresses are never doubtful here, whatever the machine's defaults.
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
    ];
    for (name, value) in settings {
        let _ = fs::write(format!("/proc/sys/{name}"), value);
    }
}
