//! What a device says of itself by multicast DNS: the TXT record of `_espstress._tcp` (RFC 6763 section 6).

/// Strings of the record.
const STRINGS: usize = 9;

/// What there is to say; the port of the service itself is that of the framed protocol.
///
/// `stack` is the network stack's name, `persona` the one in force, `capacity` the connections it holds at once in
/// digits, `chip` what it runs on.
#[must_use]
pub const fn txt<'a>(
    stack: &'a str,
    persona: &'a str,
    capacity: &'a str,
    chip: &'a str,
) -> [(&'static str, &'a str); STRINGS] {
    [
        ("stack", stack),
        ("persona", persona),
        ("capacity", capacity),
        ("firmware", env!("CARGO_PKG_VERSION")),
        ("chip", chip),
        ("http", "80"),
        ("telemetry", "7008"),
        ("raw", "8080"),
        ("line", "8123"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    #[test]
    fn the_ports_told_are_those_of_the_services() {
        let txt = txt("lwIP", "robust", "5", "host");
        for service in [Service::Http, Service::Telemetry, Service::Raw, Service::Line] {
            let told = txt.iter().find(|(key, _)| *key == service.name()).map(|(_, port)| port.parse());
            assert_eq!(told, Some(Ok(service.port())), "{}", service.name());
        }
    }
}
