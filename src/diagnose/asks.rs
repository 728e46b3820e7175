//! What a workload asks for, as far as it decides what an answer means.

use espstress_clock::{Span, nanos};

/// What a workload asks for. Read from its settings, which name it as scenarios do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks {
    /// The HTTP method; `None` where no HTTP is spoken.
    pub method: Option<String>,
    /// Another protocol than HTTP, by its name in the settings.
    pub other_protocol: Option<String>,
    /// Whether the user said which status codes are right.
    pub status_expected: bool,
    /// Requests that may be under way on one connection.
    pub window: u32,
    /// How long a connection stands before its first request, nanoseconds.
    pub request_delay_ns: u64,
    /// Whether its requests have a body.
    pub body: bool,
}

impl Asks {
    /// By the settings of a workload of this kind.
    #[must_use]
    pub fn of_settings(kind: &str, settings: &serde_json::Value) -> Self {
        let text = |key: &str| settings.get(key).and_then(serde_json::Value::as_str);
        let method = || text("method").map(str::to_owned);
        let status_expected = settings.get("expect_status").is_some_and(|codes| !codes.is_null());
        let window = settings.get("window").and_then(serde_json::Value::as_u64);
        let window = window.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
        let request_delay_ns = text("request_delay").and_then(|span| span.parse::<Span>().ok());
        let request_delay_ns = request_delay_ns.map_or(0, |span| nanos(span.0));
        let body = settings.get("body").is_some_and(|body| !body.is_null());
        match (kind, text("protocol")) {
            ("head", _) | ("rw", None | Some("http")) => Self {
                method: method(),
                other_protocol: None,
                status_expected,
                window,
                request_delay_ns,
                body,
            },
            (kind, other) => Self {
                method: None,
                // Its heartbeats are frames.
                other_protocol: other.or((kind == "outage").then_some("framed")).map(str::to_owned),
                status_expected: false,
                window,
                request_delay_ns,
                body: false,
            },
        }
    }

    /// Whether its connections are silent for so long before their first request that a server may give them up.
    #[must_use]
    pub const fn late(&self) -> bool {
        self.request_delay_ns >= 1_000_000_000
    }

    /// Whether it asks by HEAD.
    #[must_use]
    pub fn head(&self) -> bool {
        self.method.as_deref() == Some("HEAD")
    }

    /// Whether it asks by GET.
    #[must_use]
    pub fn get(&self) -> bool {
        self.method.as_deref() == Some("GET")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_has_a_method_whatever_its_default_says() {
        let asks = |kind, settings: serde_json::Value| Asks::of_settings(kind, &settings);
        assert!(asks("head", serde_json::json!({ "method": "HEAD" })).head());
        assert!(asks("rw", serde_json::json!({ "method": "GET", "window": 4 })).get());
        let framed = asks("rw", serde_json::json!({ "method": "GET", "protocol": "framed" }));
        let late = asks("head", serde_json::json!({ "method": "HEAD", "request_delay": "8s" }));
        assert_eq!((late.request_delay_ns, late.body), (8_000_000_000, false));
        assert!(asks("head", serde_json::json!({ "method": "POST", "body": "512B" })).body);
        assert_eq!((framed.method, framed.other_protocol.as_deref()), (None, Some("framed")));
    }
}
