//! Whatever the evidence, findings are said in whole sentences with figures that are numbers.

use crate::findings_support::{client, row};
use espstress_diagnose::*;
use espstress_event::{
    Air, AirNetwork, AirPowerSave, AirRate, AirSide, AirSignal, AirStation, AirTraffic, AirWait,
    AnomalyClass, AnomalyId, ByProtocol, Chosen, ConsoleEvent, Crash, DatagramSize, Datagrams, Departure,
    Doing, Ending, Episode, EventStreams, Failure, FailureCounts, FaultSeen, HttpFault, HttpFigures,
    IdleCloses, Losses, MacAddress, MqttBig, MqttBigEnd, MqttClient, MqttDelivery, MqttFault, MqttOutage,
    MqttProtocol, MqttSign, MqttToDevice, MqttWill, ReclaimEvidence, Responses, Said, SilencedConnection,
    SlowClients, SlowSpan, SocketsUsed, Stage, StallEnd, TlsFault, TlsFaultSeen, TlsFigures, UploadStall,
    Uploads, Watchdog, WebSockets, WifiSign,
};
use proptest::prelude::*;

/// Numbers from a seed, with a liking for the ends of their ranges.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 11
    }

    fn n(&mut self) -> u64 {
        match self.next() % 8 {
            0 | 1 => 0,
            2 => u64::MAX,
            3 => self.next() % 10,
            4 | 5 => self.next() % 10_000,
            _ => self.next() % 100_000_000_000,
        }
    }

    fn small(&mut self) -> u32 {
        if self.next().is_multiple_of(9) { u32::MAX } else { (self.next() % 20) as u32 }
    }

    fn in_use(&mut self) -> InUse {
        InUse {
            sockets: self.maybe(Self::small),
            open: self.maybe(Self::small),
            time_wait: self.maybe(Self::small),
            closing: self.maybe(Self::small),
        }
    }

    fn yes(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn maybe<T>(&mut self, of: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.yes().then(|| of(self))
    }

    fn websockets(&mut self) -> WebSockets {
        WebSockets { pongs: self.n(), pushed: self.n(), handshakes: self.n(), ..WebSockets::default() }
    }

    fn spans(&mut self) -> Vec<SlowSpan> {
        self.many(|d| SlowSpan { length_ms: d.n(), others_served: d.n(), others_waited_ms: d.maybe(Self::n) })
    }

    fn streams(&mut self) -> EventStreams {
        EventStreams {
            streams: self.n(),
            refused: self.n(),
            wrong_type: self.n(),
            wrong_type_seen: self.maybe(|d| d.of(&["", "text/html"]).to_owned()),
            ended: self.n(),
            ended_empty: self.n(),
            cut: self.n(),
            reset: self.n(),
            silent: self.n(),
            broken: self.n(),
            longest_silence_us: self.maybe(Self::n),
            events: self.n(),
            spans: self.spans(),
            ..EventStreams::default()
        }
    }

    fn datagrams(&mut self) -> Datagrams {
        let mut row = || {
            let sent = self.n();
            // Often all of a size are lost, or all but these.
            let lost = if self.yes() { sent } else { self.n() };
            let echoed = if self.yes() { sent.saturating_sub(lost) } else { self.n() };
            DatagramSize { bytes: self.small(), packets: self.small(), sent, echoed, lost }
        };
        let sizes = vec![row(), row(), row()];
        Datagrams {
            sent: self.n(),
            echoed: self.n(),
            lost: self.n(),
            late: self.n(),
            strangers: self.n(),
            unreachable: self.n(),
            silent: self.n(),
            silent_since_us: self.maybe(Self::n),
            silent_until_us: self.maybe(Self::n),
            mtu: self.maybe(Self::small),
            sizes,
            ..Datagrams::default()
        }
    }

    fn float(&mut self) -> f64 {
        let any = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1e300, -20.0, 30.5];
        any[(self.next() % 7) as usize]
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[(self.next() % all.len() as u64) as usize]
    }

    fn many<T>(&mut self, mut of: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.next() % 4).map(|_| of(self)).collect()
    }

    fn quantiles(&mut self) -> Quantiles {
        Quantiles {
            count: self.n(),
            min_ns: self.n(),
            p50_ns: self.n(),
            p90_ns: self.n(),
            p99_ns: self.n(),
            max_ns: self.n(),
        }
    }

    fn probe(&mut self) -> Measured<ProbeEvidence> {
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

    fn slope(&mut self) -> Slope {
        Slope { mean: self.float(), low: self.float(), high: self.float() }
    }

    fn side(&mut self) -> PathFigures {
        PathFigures {
            data_segments: self.n(),
            retransmissions: self.n(),
            repeated_early: self.n(),
            late_fills: self.n(),
            out_of_order: self.n(),
            ..PathFigures::default()
        }
    }

    fn outage_row(&mut self) -> EndedOutage {
        let took = self.n();
        EndedOutage {
            outage: OutageRow {
                origin: self.of(&[OutageOrigin::Made, OutageOrigin::Natural]),
                planned_start_ns: self.maybe(Self::n),
                planned_length_ns: self.maybe(Self::n),
                seen_start_ns: self.maybe(Self::n),
                seen_end_ns: self.maybe(Self::n),
                ..OutageRow::default()
            },
            recovery: self.of(&[Recovery::After(took), Recovery::NotWithin(took), Recovery::CutOff]),
        }
    }

    fn responses(&mut self) -> Responses {
        let mut responses = Responses::default();
        for _ in 0..self.next() % 3 {
            responses.add(self.of(&[200, 302, 404, 405, 503]), self.n() / 32);
        }
        responses
    }

    fn cut_requests(&mut self) -> CutRequests {
        CutRequests {
            not_sent: self.n(),
            unacknowledged: self.n(),
            acknowledged: self.n(),
            least_ns: self.maybe(Self::n),
            most_ns: self.maybe(Self::n),
        }
    }

    fn asks(&mut self) -> Asks {
        Asks {
            method: self.maybe(|d| d.of(&["HEAD", "GET"]).to_owned()),
            // Most findings are about HTTP.
            protocol: self.of(&[
                Protocol::Http,
                Protocol::Http,
                Protocol::Http,
                Protocol::Http,
                Protocol::Line,
                Protocol::Udp,
                Protocol::WebSocket,
                Protocol::Sse,
            ]),
            status_expected: self.yes(),
            window: self.small(),
            request_delay_ns: self.n(),
            body: self.yes(),
            reads_slowly: self.yes(),
            sends_slowly: self.yes(),
        }
    }

    fn mqtt(&mut self) -> MqttEvidence {
        let watched_ns = self.of(&[1_000_000_000, 3_600_000_000_000]);
        let client = MqttClient {
            id_hash: "0123abcd".to_owned(),
            protocol: self.of(&[MqttProtocol::V31, MqttProtocol::V311, MqttProtocol::V5]),
            keepalive_s: self.of(&[0, 1, 5, 60, 400, u16::MAX]),
            clean: self.yes(),
            will: self.maybe(|d| MqttWill { qos: 1, retain: d.yes(), topic_hash: "0".to_owned() }),
            filters: self.small(),
            connects: self.n(),
            packets: self.n(),
            pings: self.n(),
            ping_interval: self.maybe(Self::quantiles),
            silence_max_ns: self.maybe(Self::n),
            late: self.n() % 2,
            missed: self.n() % 2,
            birth_retained: self.maybe(Self::yes),
            births_missing: self.n() % 2,
        };
        let mut delivery = || MqttDelivery {
            received: self.small().into(),
            again_no_dup: self.n() % 2,
            lost: self.maybe(|d| d.n() % 3),
            copies_max: self.n() % 5,
            ..MqttDelivery::default()
        };
        let to_host = [delivery(), delivery(), delivery()];
        let sent = MqttToDevice { sent: 3, ..MqttToDevice::default() };
        MqttEvidence {
            watched_ns,
            clients: self.maybe(|_| client).into_iter().collect(),
            to_host,
            to_device: std::array::from_fn(|_| MqttToDevice {
                late: self.n() % 2,
                unacknowledged: self.n() % 2,
                uncompleted: self.n() % 2,
                again_unacknowledged: self.n() % 2,
                strange_ids: self.n() % 2,
                ..sent.clone()
            }),
            outages: self.many(Self::mqtt_outage),
            ..MqttEvidence::default()
        }
    }

    fn mqtt_outage(&mut self) -> MqttOutage {
        let fault = self.of(&[
            MqttFault::Close,
            MqttFault::Reset,
            MqttFault::Silent,
            MqttFault::Frozen,
            MqttFault::NoPingresp,
            MqttFault::Slow,
            MqttFault::SessionKept,
            MqttFault::Big,
        ]);
        let keepalive = self.of(&[0, 5, 60]);
        let mut row = MqttOutage::new(self.n(), fault, self.n(), keepalive);
        row.length_ns = self.maybe(|d| d.of(&[1_000_000_000, 300_000_000_000]));
        row.delay_ns = self.maybe(|d| d.of(&[1_000_000_000, 40_000_000_000]));
        row.link_cut = self.yes();
        row.device_notices_ns = self.maybe(|d| d.of(&[1_000, 3_000_000_000, 90_000_000_000]));
        row.big = self.maybe(|d| MqttBig {
            acknowledged_bytes: d.maybe(|_| 128),
            failed_bytes: d.maybe(|_| 256),
            failed_by: d.maybe(|d| {
                d.of(&[MqttBigEnd::Dropped, MqttBigEnd::Mute, MqttBigEnd::Disconnected, MqttBigEnd::Hung])
            }),
            beyond_its_maximum: 0,
        });
        row.device_sign = row.device_notices_ns.map(|_| MqttSign::Fin);
        row.attempts = self.maybe(|d| d.of(&[0, 1, 40]));
        row.gap_median_ns = self.maybe(|d| d.of(&[100_000_000, 5_000_000_000]));
        row.gaps_grow = self.maybe(Self::yes);
        row.survived = self.yes();
        row.back_ns = self.maybe(Self::n);
        row.present_refused = self.small() % 2;
        row.filters_missing = self.maybe(|d| d.small() % 3);
        row.gave_up_ns = self.maybe(Self::n);
        row
    }

    fn half_open(&mut self) -> HalfOpenEvidence {
        let h = self.any_half_open();
        // A device in good order, which no dice make.
        let silent = |silent_ns, closed_after_ns: Option<u64>| SilencedConnection {
            connection: 1,
            port: 40_000,
            stage: Stage::Served,
            opened_ns: None,
            silent_ns,
            reclaimed_after_ns: closed_after_ns,
            evidence: closed_after_ns.map(|_| ReclaimEvidence::Fin),
        };
        if self.next().is_multiple_of(8) {
            let connections = vec![silent(1, Some(2)), silent(2, Some(2)), silent(4, None)];
            let (unserved, exhausted, during) = (0, Some(false), client(9, 9));
            return HalfOpenEvidence { connections, unserved, exhausted, during, ..h };
        }
        h
    }

    fn any_half_open(&mut self) -> HalfOpenEvidence {
        HalfOpenEvidence {
            served: self.small(),
            unserved: self.small(),
            connections: self.many(|d| SilencedConnection {
                connection: d.small(),
                port: 40_000,
                stage: d.of(&[Stage::Served, Stage::Unserved]),
                opened_ns: None,
                silent_ns: d.n(),
                reclaimed_after_ns: d.maybe(Self::n),
                evidence: d.maybe(|d| d.of(&[ReclaimEvidence::Fin, ReclaimEvidence::Reset])),
            }),
            watched_ns: self.n(),
            expected_reclaim_ns: self.n(),
            before: client(self.n(), self.n()),
            during: client(self.n(), self.n()),
            exhausted: self.maybe(Self::yes),
            served_again_ns: self.maybe(Self::n),
            sockets_used: self.maybe(|d| SocketsUsed {
                before: d.small(),
                most: d.small(),
                at_end: d.small(),
                limit: None,
            }),
            ..HalfOpenEvidence::default()
        }
    }

    fn workloads(&mut self) -> Vec<WorkloadEvidence> {
        let mut all = self.many(Self::workload);
        // GET answered and HEAD never, in two workloads and nothing else: hardly any dice make that.
        if self.next().is_multiple_of(16) {
            let mut failures = FailureCounts::default();
            failures.add(Failure::ReadTimeout, 9);
            let episode = Episode { to_ns: 9, attempts: 9, failures: failures.clone(), ..Episode::default() };
            let asks = |method: &str| Asks { method: Some(method.to_owned()), ..Asks::default() };
            let head = WorkloadEvidence {
                name: "head".into(),
                kind: WorkloadKind::Head,
                attempts: 9,
                failures,
                episodes: vec![episode],
                asks: asks("HEAD"),
                ..WorkloadEvidence::default()
            };
            let get = WorkloadEvidence { attempts: 9, succeeded: 9, asks: asks("GET"), ..head.clone() };
            let episodes = vec![Episode { to_ns: 9, attempts: 9, succeeded: 9, ..Episode::default() }];
            let failures = FailureCounts::default();
            all = vec![head, WorkloadEvidence { name: "get".into(), failures, episodes, ..get }];
        }
        all
    }

    fn workload(&mut self) -> WorkloadEvidence {
        let kinds = [
            WorkloadKind::Head,
            WorkloadKind::Rw,
            WorkloadKind::Outage,
            WorkloadKind::HalfOpen,
            WorkloadKind::Mqtt,
        ];
        let closes =
            [ClosePolicy::Fin, ClosePolicy::Wait, ClosePolicy::Rst, ClosePolicy::Half, ClosePolicy::Vanish];
        let mut w = WorkloadEvidence {
            name: "w".into(),
            kind: self.of(&kinds),
            close: self.of(&closes),
            start_ns: self.n(),
            end_ns: self.n(),
            attempts: self.n(),
            succeeded: self.n(),
            responses: self.responses(),
            first_status: self.maybe(|d| d.of(&[200, 404, 405, 503])),
            idle_closes: self.maybe(|d| IdleCloses {
                count: d.n(),
                min_us: d.n(),
                median_us: d.n(),
                before_request: d.n(),
            }),
            by_protocol: self.maybe(|d| {
                Box::new(ByProtocol {
                    udp: d.maybe(Self::datagrams),
                    websocket: d.maybe(Self::websockets),
                    slow: d.maybe(|d| SlowClients {
                        served: d.n(),
                        given_up: d.n(),
                        given_up_by_status: [(408, d.n())].into(),
                        spans: d.spans(),
                    }),
                    sse: d.maybe(Self::streams),
                })
            }),
            unserved: self.maybe(|d| Unserved { reset: d.cut_requests(), closed: d.cut_requests() }),
            asks: self.asks(),
            episodes: self.many(Self::episode),
            at_once: self.small(),
            connect: self.maybe(Self::quantiles),
            main: self.maybe(Self::quantiles),
            closing: self.maybe(Self::quantiles),
            first_byte: self.maybe(Self::quantiles),
            tcp: self.maybe(|d| TcpEvidence {
                connections: d.n(),
                retransmissions: d.n(),
                rtt_mean_ns: d.maybe(Self::n),
            }),
            port_waits: self.n(),
            late_starts: self.n(),
            local_ports: self.maybe(Self::small),
            half_open: self.maybe(Self::half_open),
            mqtt: self.maybe(Self::mqtt),
            outages: self.maybe(|d| OutageEvidence {
                made: d.n(),
                natural: d.n(),
                quiet_ns: d.n(),
                rows: d.many(Self::outage_row),
            }),
            ..WorkloadEvidence::default()
        };
        for _ in 0..self.next() % 3 {
            w.malformed.count(FaultSeen {
                fault: self.of(&HttpFault::ALL),
                promised: self.maybe(Self::n),
                received: self.maybe(Self::n),
                detail: "then FIN",
            });
        }
        if self.yes() {
            w.http = self.http();
        }
        for _ in 0..self.next() % 4 {
            let failure = self.of(&Failure::ALL);
            // Counts are sums of attempts: they cannot overflow together.
            let n = self.n() / 32;
            w.failures.add(failure, n / Failure::ALL.len() as u64);
        }
        for _ in 0..self.next() % 6 {
            let ending = self.of(&Ending::ALL);
            w.endings.count(ending);
        }
        w
    }

    fn http(&mut self) -> HttpFigures {
        let mut http = HttpFigures::default();
        for _ in 0..self.next() % 3 {
            let to_itself = self.yes();
            http.redirected(302, if self.yes() { "/login" } else { "" }, to_itself);
        }
        if self.yes() {
            let scheme = self.maybe(|_| "Digest");
            let sent = self.yes();
            http.login_asked(scheme, sent);
        }
        http.uploads = self.maybe(|d| Uploads {
            begun: d.n(),
            stalls: d.n(),
            longest_stall: d.maybe(|d| UploadStall {
                length_ms: d.n(),
                taken_bytes: d.n(),
                of_bytes: d.n(),
                end: d.of(&[StallEnd::Resumed, StallEnd::GaveUp, StallEnd::GaveUp]),
            }),
            ..Uploads::default()
        });
        http.tls = self.maybe(|d| {
            let mut tls = TlsFigures::default();
            for _ in 0..d.next() % 3 {
                tls.failed(TlsFaultSeen { fault: d.of(&TlsFault::ALL), detail: "a detail".into() });
            }
            tls
        });
        http
    }

    fn episode(&mut self) -> Episode {
        let mut episode = Episode { from_ns: self.n(), to_ns: self.n(), ..Episode::default() };
        episode.succeeded = self.n() % 2;
        for _ in 0..self.next() % 3 {
            let common = self.yes() && self.yes();
            let failure = if common { Failure::ReadTimeout } else { self.of(&Failure::ALL) };
            episode.failures.add(failure, self.n() / 512);
        }
        episode
    }

    fn telemetry(&mut self) -> Measured<TelemetryEvidence> {
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

    fn traffic(&mut self) -> AirTraffic {
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

    fn air(&mut self) -> Air {
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

    fn evidence(&mut self) -> (Evidence<'static>, Vec<AnomalyRow>, Option<Air>) {
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

/// A sentence: something, ended by a full stop.
fn is_sentence(text: &str) -> bool {
    text.ends_with('.') && text.chars().next().is_some_and(|c| c.is_uppercase() || c.is_ascii_digit())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_evidence_gives_findings_in_words_and_numbers(seed in any::<u64>()) {
        let (evidence, rows, air) = Dice(seed).evidence();
        let found = findings(&Evidence { anomalies: &rows, air: air.as_ref(), ..evidence });
        for f in &found {
            prop_assert!(is_sentence(&f.statement), "{f:?}");
            prop_assert!(!f.cause.is_empty() && !f.change.is_empty(), "{f:?}");
            let worst = finding_catalogue().into_iter().find(|e| e.id == f.id).map(|e| e.severity);
            prop_assert!(worst.is_some_and(|worst| worst <= f.severity), "{f:?}");
            for text in f.evidence.iter().chain([&f.statement, &f.cause, &f.change]) {
                prop_assert!(!text.contains("NaN") && !text.contains("inf "), "{text}");
                prop_assert!(!text.contains("  "), "{text}");
            }
        }
        let mut ids: Vec<_> = found.iter().map(|f| f.id).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), found.len(), "each finding once");
        prop_assert!(found.is_sorted_by_key(|f| f.severity));
    }
}

#[test]
fn the_dice_reach_every_finding() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200_000 {
        let (evidence, rows, air) = Dice(u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15)).evidence();
        seen.extend(
            findings(&Evidence { anomalies: &rows, air: air.as_ref(), ..evidence }).into_iter().map(|f| f.id),
        );
        if seen.len() == FindingId::ALL.len() {
            return;
        }
    }
    panic!("only {seen:?}");
}

#[test]
fn the_catalogue_explains_every_finding_in_the_order_of_the_ids() {
    let ids = finding_catalogue().map(|entry| entry.id);
    assert_eq!(ids, FindingId::ALL);
    for e in finding_catalogue() {
        let texts = [e.meaning, e.needs, e.neighbours, e.change];
        assert!(texts.iter().all(|t| t.len() > 8 && !t.contains("  ")), "{}", e.id.name());
    }
}

#[test]
fn no_evidence_at_all_means_no_finding() {
    assert_eq!(findings(&Evidence::default()), []);
}
