//! What a workload came to, thrown with dice.

use super::dice::Dice;
use crate::support::client;
use espstress_diagnose::*;
use espstress_event::{
    ByProtocol, Ending, Episode, Failure, FailureCounts, FaultSeen, HttpFault, IdleCloses, MqttAway, MqttBig,
    MqttBigEnd, MqttClient, MqttDelivery, MqttFault, MqttLeft, MqttOutage, MqttProtocol, MqttSessions,
    MqttSign, MqttToDevice, MqttWill, ReclaimEvidence, Responses, SilencedConnection, SilentClients,
    SlowClients, SocketsUsed, Stage, Standstills,
};

impl Dice {
    pub(super) fn workloads(&mut self) -> Vec<WorkloadEvidence> {
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

    pub(super) fn workload(&mut self) -> WorkloadEvidence {
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
            pace: self.maybe(|d| {
                let step = d.n() >> 3;
                let part =
                    |n: u64| Pace { answers: d.n(), p50_ns: n * step, under_way: 0.5, bytes_each: 9.0 };
                Box::new([1, 2, 3, 4, 5, 6].map(part))
            }),
            idle_closes: self.maybe(|d| IdleCloses {
                count: d.n(),
                min_us: d.n(),
                median_us: d.n(),
                before_request: d.n(),
                told: d.n(),
            }),
            by_protocol: self.maybe(|d| {
                Box::new(ByProtocol {
                    udp: d.maybe(Self::datagrams),
                    websocket: d.maybe(Self::websockets),
                    out_of_order: d.n(),
                    repeated: d.n(),
                    slow: d.maybe(|d| SlowClients {
                        served: d.n(),
                        given_up: d.n(),
                        given_up_by_status: [(408, d.n())].into(),
                        spans: d.spans(),
                    }),
                    sse: d.maybe(Self::streams),
                    silent_before: d.maybe(|d| SilentClients { spans: d.spans() }),
                    standstills: d.maybe(|d| Standstills {
                        times: d.n(),
                        longest_since_us: d.n(),
                        longest_to_us: d.n(),
                    }),
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
                lines: d.many(|d| DialledLines { device: 1, sent: d.n(), lost: d.n() % 2, connections: 1 }),
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

    pub(super) fn asks(&mut self) -> Asks {
        Asks {
            method: self.maybe(|d| d.of(&["HEAD", "GET"]).to_owned()),
            path: self.maybe(|d| d.of(&["/", "/status"]).to_owned()),
            tls: self.yes(),
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

    pub(super) fn responses(&mut self) -> Responses {
        let mut responses = Responses::default();
        for _ in 0..self.next() % 3 {
            responses.add(self.of(&[200, 302, 404, 405, 503]), self.n() / 32);
        }
        responses
    }

    pub(super) fn cut_requests(&mut self) -> CutRequests {
        CutRequests {
            not_sent: self.n(),
            unacknowledged: self.n(),
            acknowledged: self.n(),
            least_ns: self.maybe(Self::n),
            most_ns: self.maybe(Self::n),
            others: self.maybe(Self::n),
        }
    }

    pub(super) fn episode(&mut self) -> Episode {
        let mut episode = Episode { from_ns: self.n(), to_ns: self.n(), ..Episode::default() };
        episode.succeeded = self.n() % 2;
        for _ in 0..self.next() % 3 {
            let common = self.yes() && self.yes();
            let failure = if common { Failure::ReadTimeout } else { self.of(&Failure::ALL) };
            episode.failures.add(failure, self.n() / 512);
        }
        episode
    }

    pub(super) fn outage_row(&mut self) -> EndedOutage {
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

    pub(super) fn half_open(&mut self) -> HalfOpenEvidence {
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

    pub(super) fn any_half_open(&mut self) -> HalfOpenEvidence {
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

    pub(super) fn mqtt(&mut self) -> MqttEvidence {
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
            acknowledged_copies_max: self.n() % 3,
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
            taken_over: self.n() % 5,
            sessions: MqttSessions {
                disconnected: self.n(),
                dropped: self.maybe(Self::quantiles),
                pause: self.maybe(Self::quantiles),
                pause_max_ns: self.maybe(Self::n),
                pauses: self.n() % 4,
                away: self.maybe(|d| MqttAway {
                    since_ns: d.n(),
                    length_ns: d.n(),
                    left: d.of(&[
                        MqttLeft::Disconnected,
                        MqttLeft::Dropped,
                        MqttLeft::Silent,
                        MqttLeft::Closed,
                    ]),
                    limit_ns: d.n(),
                    dials: d.n() % 2,
                }),
            },
            ..MqttEvidence::default()
        }
    }

    pub(super) fn mqtt_outage(&mut self) -> MqttOutage {
        let fault = self.of(&[
            MqttFault::Close,
            MqttFault::Reset,
            MqttFault::Silent,
            MqttFault::Frozen,
            MqttFault::NoPingresp,
            MqttFault::NoConnack,
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
        row.resubscribed_ns = self.maybe(Self::n);
        row.gave_up_ns = self.maybe(Self::n);
        row.connack_wait_ns = self.maybe(|d| d.of(&[1_000_000_000, 90_000_000_000]));
        row.connack_given_up = row.connack_wait_ns.map(|_| self.small() % 2);
        row
    }
}
