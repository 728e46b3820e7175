//! Which addresses are public: this is for one's own devices only.

use std::net::IpAddr;

/// Whether `ip` is none of one's own network: neither loopback, private (RFC 1918, RFC 4193), link-local, shared
/// (RFC 6598), nor unspecified. Addresses set aside for documentation and benchmarks count as public: no device of
/// anybody's has one, and packets to them leave by the default route.
#[must_use]
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(ip.is_loopback()
                || ip.is_private()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
                || shared)
        }
        IpAddr::V6(ip) => {
            !(ip.is_loopback()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_unique_local()
                || ip.is_unicast_link_local())
        }
    }
}
