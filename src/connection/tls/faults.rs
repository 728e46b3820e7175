//! What failed in TLS, in a fault's name and in words.

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use espstress_event::{TlsFault, TlsFaultSeen};

/// What a peer speaks whose first bytes are no record of TLS (RFC 8446, 5.1).
pub(super) fn instead_of_tls(heard: &[u8]) -> Option<&'static str> {
    match heard {
        [b'H', b'T', b'T', b'P', ..] => Some("it answers in plain HTTP: use http://"),
        [20..=24, 3, ..] | [20..=24] | [] => None,
        _ => Some("its first bytes are no TLS record"),
    }
}

/// Names what rustls says.
pub(super) fn seen(error: &rustls::Error) -> TlsFaultSeen {
    use rustls::Error as E;
    let (fault, detail) = match error {
        E::InvalidCertificate(error) => certificate(error),
        E::PeerIncompatible(why) => (TlsFault::Incompatible, incompatible(why)),
        E::AlertReceived(alert) => match alert {
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity => {
                (TlsFault::Incompatible, format!("alert {}", alert_name(*alert)))
            }
            alert => (TlsFault::Alert, alert_name(*alert)),
        },
        E::NoCertificatesPresented => (TlsFault::BadCertificate, "it presents none".to_owned()),
        E::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            (TlsFault::NotTls, "its bytes are no TLS record".to_owned())
        }
        E::InvalidMessage(why) => (TlsFault::BadRecord, spaced(&format!("{why:?}"))),
        E::DecryptError => (TlsFault::BadRecord, "a record could not be decrypted".to_owned()),
        E::PeerSentOversizedRecord => (TlsFault::BadRecord, "a record is longer than allowed".to_owned()),
        E::PeerMisbehaved(why) => (TlsFault::BadRecord, spaced(&format!("{why:?}"))),
        other => (TlsFault::BadRecord, other.to_string()),
    };
    TlsFaultSeen { fault, detail }
}

fn certificate(error: &CertificateError) -> (TlsFault, String) {
    use CertificateError as C;
    match error {
        C::Expired | C::ExpiredContext { .. } => (TlsFault::Expired, "it has expired".to_owned()),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            (TlsFault::Expired, "its time has not begun: is a clock wrong?".to_owned())
        }
        C::UnknownIssuer => (
            TlsFault::NotTrusted,
            "its issuer is none that this machine trusts: --ca with the authority, or --insecure".to_owned(),
        ),
        C::NotValidForName => (TlsFault::WrongName, String::new()),
        C::NotValidForNameContext { expected, presented } => {
            let names = match presented.as_slice() {
                [] => "it names none (subjectAltName)".to_owned(),
                names => format!(
                    "it is for {}",
                    names.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
                ),
            };
            (TlsFault::WrongName, format!("{names}, not {}", expected.to_str()))
        }
        C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            TlsFault::NotTrusted,
            "it is self-signed: --ca with the device's own certificate, or --insecure".to_owned(),
        ),
        C::Other(other) => (TlsFault::BadCertificate, spaced(&other.to_string())),
        other => (TlsFault::BadCertificate, spaced(&format!("{other:?}"))),
    }
}

/// A name as the library gives it, `DnsName("esp.local")`, without its kind.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

fn incompatible(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::ServerDoesNotSupportTls12Or13 => "it speaks TLS 1.1 or older".to_owned(),
        other => spaced(&format!("{other:?}")),
    }
}

/// As RFC 8446, 6 has it.
pub(super) fn alert_name(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::Unknown(n) => format!("{n}"),
        alert => spaced(&format!("{alert:?}")).replace(' ', "_"),
    }
}

/// `HandshakeFailure` as `handshake failure`.
fn spaced(name: &str) -> String {
    let mut text = String::new();
    for (i, c) in name.char_indices() {
        if c.is_ascii_uppercase() && i > 0 && text.ends_with(|before: char| before.is_ascii_lowercase()) {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_library_become_words() {
        assert_eq!(spaced("HandshakeFailure"), "handshake failure");
        assert_eq!(alert_name(AlertDescription::CertificateRequired), "certificate_required");
        assert_eq!(alert_name(AlertDescription::Unknown(7)), "7");
        assert_eq!((bare("DnsName(\"esp.local\")"), bare("IpAddress(10.0.0.7)")), ("esp.local", "10.0.0.7"));
    }

    #[test]
    fn what_is_not_tls_is_told_from_its_first_bytes() {
        assert!(instead_of_tls(b"HTTP/1.0 400 Bad Request").is_some_and(|what| what.contains("http://")));
        assert!(instead_of_tls(b"SSH-2.0").is_some());
        assert!(instead_of_tls(&[22, 3, 3, 0]).is_none() && instead_of_tls(&[21, 3, 1]).is_none());
        assert!(instead_of_tls(&[]).is_none());
    }
}
