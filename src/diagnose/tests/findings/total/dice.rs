//! Evidence of a whole run, thrown with dice.

use crate::support::row;
use espstress_diagnose::*;
use espstress_event::{
    Air, AnomalyClass, AnomalyId, ConsoleEvent, Crash, Doing, Losses, Said, Watchdog, WifiSign,
};

/// Numbers from a seed, with a liking for the ends of their ranges.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }

    pub(super) fn n(&mut self) -> u64 {
        match self.next() % 8 {
            0 | 1 => 0,
            2 => u64::MAX,
            3 => self.next() % 10,
            4 | 5 => self.next() % 10_000,
            _ => self.next() % 100_000_000_000,
        }
    }

    pub(super) fn small(&mut self) -> u32 {
        if self.next().is_multiple_of(9) { u32::MAX } else { (self.next() % 20) as u32 }
    }

    pub(super) fn yes(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    pub(super) fn maybe<T>(&mut self, of: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.yes().then(|| of(self))
    }

    pub(super) fn float(&mut self) -> f64 {
        let any = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1e300, -20.0, 30.5];
        any[(self.next() % 7) as usize]
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[(self.next() % all.len() as u64) as usize]
    }

    pub(super) fn many<T>(&mut self, mut of: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.next() % 4).map(|_| of(self)).collect()
    }

    pub(super) fn quantiles(&mut self) -> Quantiles {
        Quantiles {
            count: self.n(),
            min_ns: self.n(),
            p50_ns: self.n(),
            p90_ns: self.n(),
            p99_ns: self.n(),
            max_ns: self.n(),
        }
    }

    pub(super) fn side(&mut self) -> PathFigures {
        PathFigures {
            data_segments: self.n(),
            retransmissions: self.n(),
            repeated_early: self.n(),
            late_fills: self.n(),
            out_of_order: self.n(),
            ..PathFigures::default()
        }
    }

    pub(super) fn evidence(&mut self) -> (Evidence<'static>, Vec<AnomalyRow>, Option<Air>) {
        let states = [CaptureState::Complete, CaptureState::Dropped, CaptureState::Denied, CaptureState::Off];
        let classes =
            [AnomalyClass::Device, AnomalyClass::Device, AnomalyClass::Path, AnomalyClass::Provoked];
        let rows = self.many(|d| {
            let owner = d.maybe(|_| "w");
            row(d.of(&AnomalyId::ALL), d.of(&classes), d.n(), owner)
        });
        let evidence = Evidence {
            duration_ns: self.n(),
            workloads: self.workloads(),
            resets: ResetCauses {
                instead_of_answer: self.n(),
                answering_payload: self.n(),
                answering_late_close: self.n(),
                after_absence: self.n(),
                forgotten: self.n(),
                unanswered: self.n(),
            },
            capture: CaptureEvidence {
                status: self.of(&states),
                packets: self.n(),
                dropped: self.n(),
                reason: None,
            },
            ack_waits: self.maybe(|d| AckWaits {
                waited: d.n(),
                total_ns: d.n(),
                longest_ns: d.n(),
                otherwise: d.n(),
            }),
            quiet: self.maybe(|d| d.many(|d| Quiet { from_ns: d.n(), to_ns: d.n() })),
            path: self.maybe(|d| PathEvidence {
                to_device: d.side(),
                from_device: d.side(),
                resets: HostResets { sent: d.n(), lost: d.n(), lost_at_once: d.n() },
                losses: Losses { segments: d.n(), lost: d.n(), again: d.n() },
            }),
            probes: ProbesEvidence { icmp: self.probe(), tcp: self.probe(), telemetry: self.probe() },
            telemetry: self.telemetry(),
            device: DeviceEvidence {
                capacity: self.maybe(Self::small),
                stack: None,
                msl_ms: self.maybe(Self::n),
                fin_wait_timeout_ms: self.maybe(Self::n),
                max_sockets: self.maybe(Self::small),
                foreign: self.n() % 2 == 1,
                place: self.maybe(|d| Place {
                    address: std::net::IpAddr::from([192, 168, 1, 57]),
                    resolved: d.maybe(|_| Resolved {
                        name: "kitchen.local".into(),
                        addresses: vec![std::net::IpAddr::from([192, 168, 1, 61])],
                    }),
                }),
            },
            host: HostEvidence {
                cpu_busy: self.maybe(Self::float),
                slow_connects: self.maybe(Self::n),
                stalls: self.maybe(|d| Stalls { count: d.n(), longest_ns: d.n(), total_ns: d.n() }),
                stood_still: self.many(|d| StoodStill { from_ns: d.n(), to_ns: d.n() }),
            },
            console: self.maybe(|d| &CONSOLE[..d.n() as usize % (CONSOLE.len() + 1)]),
            ..Evidence::default()
        };
        let air = self.maybe(Self::air);
        (evidence, rows, air)
    }
}

/// What a console may say, late enough for any run to have begun.
static CONSOLE: std::sync::LazyLock<Vec<ConsoleEvent>> = std::sync::LazyLock::new(|| {
    let crash = Said::Crash { how: Crash::Abort, cause: "abort".into(), task: None, backtrace: Vec::new() };
    let said = [
        Said::Error { doing: Doing::Accept, name: "ENFILE".into(), no_memory: false },
        Said::Error { doing: Doing::Send, name: "ENOMEM".into(), no_memory: true },
        Said::WifiLost { reason: Some(200), name: "BEACON_TIMEOUT".into() },
        Said::WifiSign { sign: WifiSign::BeaconTimeout },
        Said::WifiUp,
        Said::Error { doing: Doing::Mqtt, name: "no PINGRESP".into(), no_memory: false },
        Said::Address { ip: std::net::IpAddr::from([192, 168, 1, 61]) },
        Said::Watchdog { which: Watchdog::Task, task: Some("busy".into()), restarts: false },
        Said::Brownout,
        crash,
        Said::Restart { reason: ResetReason::Panic },
    ];
    let events = said.into_iter().zip(1_u64 << 62..);
    events
        .map(|(said, at_ns)| ConsoleEvent {
            at_ns,
            device_ms: None,
            said,
            line: "a line".into(),
            around: Vec::new(),
        })
        .collect()
});
