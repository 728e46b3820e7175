//! What the host's own stack says of its connections (TCP_INFO), summed over a workload.

use espstress_event::TcpSample;

/// The sum over a workload's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpTotals {
    /// Connections whose TCP_INFO could be read.
    pub connections: u64,
    /// Segments the host sent again.
    pub retransmissions: u64,
    /// Segments thought lost at close.
    pub lost: u64,
    /// Least smoothed round-trip time, microseconds.
    pub rtt_min_us: u32,
    /// Sum, for the mean, microseconds.
    pub(crate) rtt_sum_us: u64,
    /// Greatest, microseconds.
    pub rtt_max_us: u32,
}

impl TcpTotals {
    /// Adds one connection.
    pub(crate) fn add(&mut self, sample: TcpSample) {
        self.rtt_min_us =
            if self.connections == 0 { sample.rtt_us } else { self.rtt_min_us.min(sample.rtt_us) };
        self.rtt_max_us = self.rtt_max_us.max(sample.rtt_us);
        self.connections += 1;
        self.retransmissions += u64::from(sample.retransmissions);
        self.lost += u64::from(sample.lost);
        self.rtt_sum_us += u64::from(sample.rtt_us);
    }

    /// Mean smoothed round-trip time, microseconds; `None` without a connection.
    #[must_use]
    pub fn rtt_mean_us(&self) -> Option<f64> {
        (self.connections > 0).then(|| self.rtt_sum_us as f64 / self.connections as f64)
    }
}
