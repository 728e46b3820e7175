//! What a workload does, as far as it decides what its outcome means: who closes, in which protocol, what is asked.

use serde::{Deserialize, Serialize};

/// What is known of a workload before its first packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadFacts {
    /// What it does; `None` for one that asks for nothing that would say how the device serves.
    pub kind: Option<WorkloadKind>,
    /// What it asks for.
    pub asks: Asks,
    /// How it ends connections.
    pub close: ClosePolicy,
}

/// What a workload does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkloadKind {
    /// A new connection for each exchange.
    #[default]
    Head,
    /// Standing connections.
    Rw,
    /// Standing connections with heartbeats, through outages.
    Outage,
    /// Connections on which the host falls silent.
    HalfOpen,
    /// A broker for devices that dial in.
    Mqtt,
}

impl WorkloadKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Head, Self::Rw, Self::Outage, Self::HalfOpen, Self::Mqtt];

    /// The name of the command, in scenarios and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Rw => "rw",
            Self::Outage => "outage",
            Self::HalfOpen => "half-open",
            Self::Mqtt => "mqtt",
        }
    }

    /// The kind of that name; `None` for what is none of these.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How the host ends a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum ClosePolicy {
    /// Send a FIN after the response
    #[default]
    Fin,
    /// Send `Connection: close` and let the device close first; if it doesn't, the client closes
    Wait,
    /// Send a RST after the response
    Rst,
    /// Shut down the sending side right after the request
    Half,
    /// Vanish: send neither FIN nor RST
    Vanish,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Keep-alive GET or HEAD, works with any web server
    #[default]
    Http,
    /// Our device programs' protocol: numbered, checksummed frames, echoed
    Framed,
    /// GET and read to the end, one connection each (the MicroPython pair's server)
    Raw,
    /// Newline-terminated JSON
    Line,
    /// Numbered datagrams to a UDP echo service
    Udp,
    /// Messages to a WebSocket service that sends each one back
    #[cfg_attr(feature = "clap", value(name = "websocket"))]
    #[serde(rename = "websocket")]
    WebSocket,
    /// Server-sent events: what an event stream brings, as a browser's EventSource reads it
    Sse,
}

impl Protocol {
    /// The name in settings and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Framed => "framed",
            Self::Raw => "raw",
            Self::Line => "line",
            Self::Udp => "udp",
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
        }
    }
}

/// What a workload asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    /// What it speaks.
    pub protocol: Protocol,
    /// The HTTP method of its requests; `None` where its figures aren't those of HTTP requests.
    pub method: Option<String>,
    /// The path of these requests, as reports have it.
    #[serde(default)]
    pub path: Option<String>,
    /// Whether the workload itself asks for TLS: then its server is another one than that of workloads which don't.
    #[serde(default)]
    pub tls: bool,
    /// Whether the user said which status codes are right.
    pub status_expected: bool,
    /// Requests that may be under way on one connection.
    pub window: u32,
    /// How long a connection stands before its first request, nanoseconds.
    pub request_delay_ns: u64,
    /// Whether its requests have a body.
    pub body: bool,
    /// Whether it takes responses slowly on purpose.
    pub reads_slowly: bool,
    /// Whether it sends requests slowly on purpose.
    pub sends_slowly: bool,
}

impl Asks {
    /// Whether its connections are silent for so long before their first request that a server may give them up.
    #[must_use]
    pub const fn late(&self) -> bool {
        self.request_delay_ns >= 1_000_000_000
    }

    /// Whether both ask for the same page, by whatever method.
    #[must_use]
    pub fn same_page(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.path == other.path && self.tls == other.tls
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

/// By what means outages are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "snake_case")]
pub enum OutageMeans {
    /// Cut the link (twin only)
    Link,
    /// Tell the device to leave its network (needs its control token)
    Device,
    /// Silence these connections on this host (needs CAP_NET_ADMIN)
    Filter,
    /// Run your own scripts to switch something off and on
    Command,
    /// Cause none; watch for natural outages
    None,
}
