//! The options of `half-open`.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use espstress_clock::Span;
use espstress_connection::Timeouts;

/// By what means the host falls silent on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    /// A filter on this host's socket (needs CAP_NET_ADMIN)
    Filter,
    /// The link drops its packets (twin only)
    Link,
}

/// The options of `half-open`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(super) struct Params {
    /// Maximum number of connections to silence
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) connections: u32,

    /// How to silence a connection [default: filter if permitted, else link if the target has one]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<By>,

    /// Treat the device as full after this many connections in a row fail
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) full_after: u32,

    /// How long to run a normal client before the first silence
    #[arg(long, value_name = "DUR", default_value = "3s")]
    pub(super) baseline: Span,

    /// How long to wait for the device to free its sockets; ends early when it has
    #[arg(long, value_name = "DUR", default_value = "30s")]
    pub(super) watch_reclaim: Span,

    /// Time the device may take to notice: keep-alive idle time plus interval times count. Until then, failures
    /// of the normal client count as provoked
    #[arg(long, value_name = "DUR", default_value = "20s")]
    pub(super) expect_reclaim: Span,

    /// Time between the normal client's requests
    #[arg(long, value_name = "DUR", default_value = "1s")]
    pub(super) client_interval: Span,

    /// Path to request
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(super) path: String,

    /// Timeout to connect
    #[arg(long, value_name = "DUR", default_value = "2s")]
    pub(super) timeout_connect: Span,

    /// Timeout for a response
    #[arg(long, value_name = "DUR", default_value = "1s")]
    pub(super) timeout_read: Span,

    /// Timeout to send a request
    #[arg(long, value_name = "DUR", default_value = "2s")]
    pub(super) timeout_write: Span,
}

impl Params {
    pub(super) const fn timeouts(&self) -> Timeouts {
        Timeouts { connect: self.timeout_connect.0, read: self.timeout_read.0, write: self.timeout_write.0 }
    }
}
