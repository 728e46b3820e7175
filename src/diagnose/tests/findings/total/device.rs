//! What the device says, and what is heard of it, thrown with dice.

use super::dice::Dice;
use espstress_diagnose::*;
use espstress_event::{
    Air, AirNetwork, AirPowerSave, AirRate, AirSide, AirSignal, AirStation, AirTraffic, AirWait, Chosen,
    Departure, MacAddress,
};

impl Dice {
    pub(super) fn probe(&mut self) -> Measured<ProbeEvidence> {
        if self.yes() {
            return Measured::Unavailable { reason: "off".into() };
        }
        Measured::Value(ProbeEvidence {
            sent: self.n(),
            answered: self.n(),
            latency: self.maybe(Self::quantiles),
            silences: self.many(|d| Silence { from_ns: d.n(), to_ns: d.maybe(Self::n), lost: d.n() }),
            full_size: self.maybe(|d| FullSize {
                bytes: d.small(),
                sent: d.n(),
                answered: d.n(),
                reported: d.maybe(|d| d.small()),
            }),
        })
    }

    pub(super) fn telemetry(&mut self) -> Measured<TelemetryEvidence> {
        if self.yes() {
            return Measured::default();
        }
        Measured::Value(TelemetryEvidence {
            samples: self.n(),
            restarts: self.many(|d| RestartEvidence {
                at_ns: d.n(),
                reason: d.maybe(|_| ResetReason::TaskWatchdog),
                last_words: d.maybe(|_| "killed by SIGSEGV".to_owned()),
            }),
            more_restarts: self.n(),
            program_memory: self.maybe(|d| MemoryEvidence {
                first: d.n(),
                middle: d.maybe(Self::n),
                last: d.n(),
                per_second: d.maybe(Self::slope),
            }),
            heap: self.maybe(|d| HeapEvidence {
                free_first: d.n(),
                free_middle: d.maybe(Self::n),
                free_last: d.n(),
                first: d.in_use(),
                last: d.in_use(),
                free_min: d.n(),
                total: d.maybe(Self::n),
                largest_block_min: d.maybe(Self::n),
                per_second: d.maybe(Self::slope),
                per_request: d.maybe(Self::slope),
                step: d.maybe(|d| HeapStep { at_ns: d.n(), by: d.n() as i64 }),
                ceiling: d.maybe(|d| HeapCeiling {
                    first: d.n(),
                    middle: d.n(),
                    last: d.n(),
                    readings: d.n(),
                    at_rest: d.yes(),
                }),
                unasked: d.yes(),
            }),
            sockets: self.maybe(|d| SocketsEvidence {
                first: d.small(),
                most: d.small(),
                last: d.small(),
                limit: d.maybe(Self::small),
            }),
            time_wait: self.maybe(|d| TimeWaitEvidence {
                first: d.small(),
                most: d.small(),
                last: d.small(),
            }),
            wifi_disconnects: self.maybe(Self::n),
            wifi_disconnects_made: self.n(),
            wifi_last_reason: None,
            power_save: None,
            requests: self.n(),
        })
    }

    pub(super) fn slope(&mut self) -> Slope {
        Slope { mean: self.float(), low: self.float(), high: self.float() }
    }

    pub(super) fn in_use(&mut self) -> InUse {
        InUse {
            sockets: self.maybe(Self::small),
            open: self.maybe(Self::small),
            time_wait: self.maybe(Self::small),
            closing: self.maybe(Self::small),
        }
    }

    pub(super) fn air(&mut self) -> Air {
        let address = MacAddress([0x24, 0x6f, 0x28, 0, 0, 7]);
        let sides = [AirSide::Station, AirSide::AccessPoint];
        let station = self.maybe(|d| AirStation {
            departures: d.many(|d| Departure {
                by: d.of(&sides),
                deauthentication: d.yes(),
                reason: d.maybe(|d| d.small() as u16),
                reason_name: None,
                count: d.n(),
                before_roam: d.n(),
                out_of_sequence: d.n(),
                packet: d.n(),
                first_s: d.float(),
                last_s: d.float(),
            }),
            power_save: AirPowerSave {
                sleeps: d.n(),
                ps_polls: d.n(),
                fetched: d.n(),
                announced: d.maybe(Self::n),
                wait: d.maybe(|d| AirWait {
                    count: d.n(),
                    p50_s: d.float(),
                    max_s: d.float(),
                    at_most_p50_s: d.maybe(Self::float),
                    beacon: d.n(),
                    beacon_at_s: d.float(),
                    frame: d.n(),
                }),
                ..AirPowerSave::default()
            },
            sent: d.traffic(),
            received: d.traffic(),
            ..AirStation::new(address, Chosen::Named)
        });
        let networks = self.many(|d| AirNetwork {
            address,
            ssid: None,
            channel: None,
            beacon_interval_tu: d.maybe(|d| d.of(&[0, 100, u16::MAX])),
            dtim_period: d.maybe(|d| d.of(&[1, 3, u8::MAX])),
            beacons: d.n(),
            beacons_unsent: d.n(),
            beacons_unheard: d.n(),
            longest_unsent_s: d.maybe(Self::float),
            signal: None,
        });
        Air { station, networks, ..Air::default() }
    }

    pub(super) fn traffic(&mut self) -> AirTraffic {
        let data = self.n();
        AirTraffic {
            frames: self.n(),
            data,
            retried: if self.yes() { data } else { self.n() },
            missed: self.n(),
            followed: self.n(),
            signal: self.maybe(|d| AirSignal {
                frames: d.n(),
                min_dbm: -90,
                p50_dbm: d.of(&[-84, -50]),
                max_dbm: -20,
            }),
            rate: self.maybe(|d| AirRate {
                frames: d.n(),
                min_mbps: 1.0,
                p50_mbps: d.of(&[1.0, 54.0]),
                max_mbps: 65.0,
            }),
        }
    }
}
