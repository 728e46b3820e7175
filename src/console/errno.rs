//! Error numbers of devices: newlib's (`sys/errno.h`), which ESP-IDF, Arduino and MicroPython on ESP32 use. They are not
//! Linux's: 113 is ECONNABORTED there, and EHOSTUNREACH here.

/// newlib's name of an error number.
pub(crate) const fn name(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "EPERM",
        2 => "ENOENT",
        4 => "EINTR",
        5 => "EIO",
        9 => "EBADF",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        19 => "ENODEV",
        22 => "EINVAL",
        23 => "ENFILE",
        24 => "EMFILE",
        28 => "ENOSPC",
        32 => "EPIPE",
        71 => "EPROTO",
        88 => "ENOSYS",
        95 => "EOPNOTSUPP",
        104 => "ECONNRESET",
        105 => "ENOBUFS",
        106 => "EAFNOSUPPORT",
        107 => "EPROTOTYPE",
        108 => "ENOTSOCK",
        109 => "ENOPROTOOPT",
        110 => "ESHUTDOWN",
        111 => "ECONNREFUSED",
        112 => "EADDRINUSE",
        113 => "ECONNABORTED",
        114 => "ENETUNREACH",
        115 => "ENETDOWN",
        116 => "ETIMEDOUT",
        117 => "EHOSTDOWN",
        118 => "EHOSTUNREACH",
        119 => "EINPROGRESS",
        120 => "EALREADY",
        121 => "EDESTADDRREQ",
        122 => "EMSGSIZE",
        123 => "EPROTONOSUPPORT",
        124 => "ESOCKTNOSUPPORT",
        125 => "EADDRNOTAVAIL",
        126 => "ENETRESET",
        127 => "EISCONN",
        128 => "ENOTCONN",
        129 => "ETOOMANYREFS",
        134 => "ENOTSUP",
        140 => "ECANCELED",
        _ => return None,
    })
}

/// The name again where a text is one of them, so that nothing else is taken for an error's name.
pub(crate) fn named(text: &str) -> Option<&'static str> {
    (1..=140).filter_map(name).find(|name| *name == text)
}

/// Whether an error says that memory ran out.
pub(crate) fn is_no_memory(name: &str) -> bool {
    matches!(name, "ENOMEM" | "ENOBUFS" | "ESP_ERR_NO_MEM") || name.ends_with("_ALLOC_FAILED")
}

/// Mbed TLS's name of an error, of those that people meet (`mbedtls/ssl.h`, `net_sockets.h`, `x509.h`, `pk.h`).
pub(crate) const fn mbedtls(code: u32) -> Option<&'static str> {
    Some(match code {
        0x0010 => "MPI_ALLOC_FAILED",
        0x004C => "NET_RECV_FAILED",
        0x004E => "NET_SEND_FAILED",
        0x0050 => "NET_CONN_RESET",
        0x006A => "ASN1_ALLOC_FAILED",
        0x1180 => "PEM_ALLOC_FAILED",
        0x2700 => "X509_CERT_VERIFY_FAILED",
        0x2880 => "X509_ALLOC_FAILED",
        0x3F80 => "PK_ALLOC_FAILED",
        0x4D80 => "ECP_ALLOC_FAILED",
        0x5180 => "MD_ALLOC_FAILED",
        0x6180 => "CIPHER_ALLOC_FAILED",
        0x6800 => "SSL_TIMEOUT",
        0x6880 => "SSL_WANT_WRITE",
        0x6900 => "SSL_WANT_READ",
        0x7100 => "SSL_BAD_INPUT_DATA",
        0x7180 => "SSL_INVALID_MAC",
        0x7200 => "SSL_INVALID_RECORD",
        0x7280 => "SSL_CONN_EOF",
        0x7780 => "SSL_FATAL_ALERT_MESSAGE",
        0x7880 => "SSL_PEER_CLOSE_NOTIFY",
        0x7F00 => "SSL_ALLOC_FAILED",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_newlibs_and_not_linuxs() {
        let cases = [
            (23, "ENFILE"),
            (104, "ECONNRESET"),
            (113, "ECONNABORTED"),
            (116, "ETIMEDOUT"),
            (118, "EHOSTUNREACH"),
            (128, "ENOTCONN"),
            (112, "EADDRINUSE"),
        ];
        for (number, want) in cases {
            assert_eq!(name(number), Some(want));
        }
        assert_eq!((name(0), name(9_999)), (None, None));
    }

    #[test]
    fn a_name_is_known_and_any_other_word_is_not() {
        assert_eq!(named("ENOBUFS"), Some("ENOBUFS"));
        assert_eq!((named("ELEPHANT"), named("")), (None, None));
    }
}
