//! Which figures are worse where the testing machine was the limit, and which way: what the device itself did is then
//! known from one side only.

use espstress_event::Failure;

use super::figure::{Figure, ProbeFigure, SseFigure, Stat, UdpFigure, WorkloadFigure};

/// What a machine that is late does to a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shifted {
    /// The figure is larger than the device's own.
    Up,
    /// It is smaller.
    Down,
    /// Either may be.
    EitherWay,
}

impl Figure {
    /// How a machine that is late shifts the figure; `None` where it does not. `by_datagrams`: what its workload sends is
    /// lost where nobody reads it in time.
    pub(super) const fn shifted_by_host(self, by_datagrams: bool) -> Option<Shifted> {
        match self {
            Self::Workload(WorkloadFigure::SuccessRate) if by_datagrams => Some(Shifted::Down),
            Self::Workload(WorkloadFigure::Failed) if by_datagrams => Some(Shifted::Up),
            Self::Workload(figure) => of_workload(figure),
            Self::Probe(_, figure) => of_probe(figure),
            Self::Anomalies(_)
            | Self::FindingsOf(_)
            | Self::Finding(_)
            | Self::CapturePackets
            | Self::CaptureDropped
            | Self::Reading(..)
            | Self::TelemetrySamples
            | Self::TelemetryLost
            | Self::TelemetryReboots => None,
        }
    }
}

const fn of_workload(figure: WorkloadFigure) -> Option<Shifted> {
    use WorkloadFigure as W;
    match figure {
        W::Rate | W::Goodput | W::MqttAttemptsPerS => Some(Shifted::Down),
        W::Latency(_, _, stat) => of_latency(stat),
        W::Failure(Failure::DatagramLost)
        | W::Udp(UdpFigure::Loss | UdpFigure::Lost | UdpFigure::Late)
        | W::Sse(SseFigure::LongestGap | SseFigure::LongestSilence)
        | W::TcpRttMean
        | W::TcpRttMax
        | W::OutageLongestRecovery
        | W::MqttPingP99OfK
        | W::MqttPingMaxOfK
        | W::MqttNoticeMaxOfK
        | W::MqttBackMax => Some(Shifted::Up),
        _ => None,
    }
}

const fn of_probe(figure: ProbeFigure) -> Option<Shifted> {
    match figure {
        ProbeFigure::Sent => None,
        ProbeFigure::Lost | ProbeFigure::Loss | ProbeFigure::LongestGap => Some(Shifted::Up),
        ProbeFigure::Latency(stat) => of_latency(stat),
    }
}

const fn of_latency(stat: Stat) -> Option<Shifted> {
    match stat {
        Stat::Count => None,
        Stat::Stdev => Some(Shifted::EitherWay),
        Stat::Min | Stat::Mean | Stat::Quantile(_) | Stat::Max => Some(Shifted::Up),
    }
}
