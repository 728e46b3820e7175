//! The options of `half-open`.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use espstress_clock::Span;
use espstress_connection::Timeouts;

/// By what means the host falls silent on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum By {
    /// A filter on the host's socket (needs CAP_NET_ADMIN)
    Filter,
    /// The link carries nothing of it any more (twin)
    Link,
}

/// The options of `half-open`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub(super) struct Params {
    /// Most connections to fall silent on
    #[arg(short, long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) connections: u32,

    /// What makes a connection silent; filter where it is permitted, else link where the target has one that can
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<By>,

    /// Connections in a row that get nowhere before the device counts as full
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) full_after: u32,

    /// How long to watch the well-behaved client before the first silence
    #[arg(long, value_name = "DUR", default_value = "3s")]
    pub(super) baseline: Span,

    /// How long to wait for the device to take its sockets back; ends early once it has
    #[arg(long, value_name = "DUR", default_value = "30s")]
    pub(super) watch_reclaim: Span,

    /// Time within which the device should have noticed: its keep-alive idle time, plus interval times count.
    /// Until then, failures of the well-behaved client count as provoked
    #[arg(long, value_name = "DUR", default_value = "20s")]
    pub(super) expect_reclaim: Span,

    /// Time between requests of the well-behaved client
    #[arg(long, value_name = "DUR", default_value = "1s")]
    pub(super) client_interval: Span,

    /// What to ask for
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub(super) path: String,

    /// Longest wait for a connection
    #[arg(long, value_name = "DUR", default_value = "2s")]
    pub(super) timeout_connect: Span,

    /// Longest wait for a response
    #[arg(long, value_name = "DUR", default_value = "1s")]
    pub(super) timeout_read: Span,

    /// Longest wait for the stack to take a request
    #[arg(long, value_name = "DUR", default_value = "2s")]
    pub(super) timeout_write: Span,
}

impl Params {
    pub(super) const fn timeouts(&self) -> Timeouts {
        Timeouts { connect: self.timeout_connect.0, read: self.timeout_read.0, write: self.timeout_write.0 }
    }
}
