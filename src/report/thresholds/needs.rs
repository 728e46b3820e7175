//! Whether a report has what a finding needs to be judged.

use crate::{Reading, Report, TelemetrySummary, Workload};
use espstress_diagnose::{Need, air_not_judged};
use espstress_event::{ClosePolicy, MqttFault, MqttOutage};
use espstress_stats::Phase;

/// Why a need was not met; `None` where it was.
pub(super) fn unmet(need: Need, report: &Report) -> Option<String> {
    match need {
        Need::Attempts => report.untested(),
        Need::Packets => super::judge::packets_missing(report),
        Need::Probes => {
            let answered = report.probes.iter().any(|probe| probe.sent > probe.lost);
            (!answered).then(|| "neither ping nor telemetry was answered".to_owned())
        }
        Need::Answers(least) => {
            let connects =
                report.workloads.iter().filter_map(|w| Some(w.latency.get(&Phase::Connect)?.count));
            let most = report.probes.iter().map(|p| p.latency.count).chain(connects).max().unwrap_or(0);
            (most < least).then(|| format!("too few answers to probes: {most} of the {least} that it takes"))
        }
        Need::Console => match &report.console {
            Some(console) if console.lines > 0 => None,
            Some(_) => Some("the console was silent".to_owned()),
            None => Some("nobody listened to the device's console (--console)".to_owned()),
        },
        Need::Restarts => told(report, |t| t.reboots.is_some(), "the device does not tell its restarts"),
        Need::Heap => told(report, tells_heap, "the device does not tell its free heap"),
        Need::HeapReadings(least) => {
            let samples = report.telemetry.as_ref().map_or(0, |t| t.samples);
            (samples < least)
                .then(|| format!("too few readings of the heap: {samples} of the {least} that it takes"))
        }
        Need::Silence => done_by(report, silences, "no workload fell silent on the device")
            .or_else(|| report.workloads.iter().find_map(watched_too_briefly)),
        Need::Mqtt => done_by(report, |w| w.mqtt.is_some(), "no workload was a broker")
            .or_else(|| report.workloads.iter().filter_map(|w| w.mqtt.as_ref()).find_map(|m| m.too_short())),
        Need::Faults(of) => fault_made(report, of, |_| true),
        Need::SeenFaults(of) => fault_made(report, of, |o| !o.link_cut),
        Need::LongFaults(of) => fault_made(report, of, |o| o.long_enough() && o.not_judged.is_none()),
        Need::Sequence => {
            let rows =
                report.workloads.iter().filter_map(|w| w.mqtt.as_ref()).flat_map(|m| m.to_host.values());
            let known = rows.clone().any(|row| row.lost.is_some());
            let why = rows.filter_map(|row| row.not_kept.clone()).next();
            (!known).then(|| why.unwrap_or_else(|| "the device sent no messages".to_owned()))
        }
        Need::Datagrams => {
            let sends = |w: &Workload| w.by_protocol.as_ref().is_some_and(|by| by.udp.is_some());
            done_by(report, sends, "no workload sent datagrams")
        }
        Need::Streams => {
            let reads = |w: &Workload| w.by_protocol.as_ref().is_some_and(|by| by.sse.is_some());
            done_by(report, reads, "no workload read event streams")
        }
        Need::Publishes => done_by(
            report,
            |w| w.mqtt.as_ref().is_some_and(|m| m.to_device.values().any(|row| row.acknowledged.is_some())),
            "nothing was published to the device with QoS 1 or 2",
        ),
        Need::Air(id) => match &report.air {
            None => Some("nobody listened to the air (--air)".to_owned()),
            Some(air) => air_not_judged(air).into_iter().find(|not| not.id == id).map(|not| not.reason),
        },
        Need::Grown => fault_made(report, &[MqttFault::Big], |o| o.big.is_some() && o.not_judged.is_none()),
        Need::Outages => done_by(report, |w| w.outage_summary.is_some(), "no workload went through outages"),
    }
}

/// Why no fault of these kinds says anything; `None` where one does.
fn fault_made(report: &Report, of: &[MqttFault], enough: impl Fn(&MqttOutage) -> bool) -> Option<String> {
    let mut rows = report.workloads.iter().filter_map(|w| w.mqtt.as_ref()).flat_map(|m| &m.outages);
    if rows.any(|o| of.contains(&o.fault) && o.length_ns.is_some() && enough(o)) {
        return None;
    }
    let names: Vec<&str> = of.iter().map(|fault| fault.name()).collect();
    Some(format!("no fault that would show it was made to its end (one of {})", names.join(", ")))
}

fn told(report: &Report, tells: impl Fn(&TelemetrySummary) -> bool, not: &str) -> Option<String> {
    match &report.telemetry {
        None => Some("the device told nothing of itself".to_owned()),
        Some(telemetry) => (!tells(telemetry)).then(|| not.to_owned()),
    }
}

fn tells_heap(telemetry: &TelemetrySummary) -> bool {
    telemetry.summary.contains_key(&Reading::HeapFreeBytes)
}

/// Why a device that gave nothing back cannot be said to keep it: its time was not over.
fn watched_too_briefly(w: &Workload) -> Option<String> {
    let h = w.half_open.as_ref()?;
    let expected = h.expected_reclaim_s?;
    (h.never_reclaimed > 0 && h.watched_s < expected).then(|| {
        format!(
            "{} watched its silent connections for {:.1} s of the {expected} s that the device may take",
            w.name, h.watched_s
        )
    })
}

fn silences(w: &Workload) -> bool {
    w.half_open.is_some() || w.ran().close == Some(ClosePolicy::Vanish)
}

/// Whether one of these workloads did its job; else why not.
fn done_by(report: &Report, kind: impl Fn(&Workload) -> bool, none: &str) -> Option<String> {
    let mut reason = none.to_owned();
    for w in report.workloads.iter().filter(|w| kind(w)) {
        match w.not_done_in_words() {
            None => return None,
            Some(why) => reason = why,
        }
    }
    Some(reason)
}

#[cfg(test)]
mod tests {
    use super::super::{Threshold, judge::judge};
    use super::*;
    use crate::{
        Capture, HalfOpenFigures, LatencyFigures, MqttFigures, ProbeKind, ProbeRow, ReadingSummary, Target,
        TargetKind, ThresholdStatus,
    };
    use espstress_diagnose::FindingId;
    use espstress_event::{Air, AirNetwork, AirSignal, AirStation, AirTraffic, Chosen, Console, MacAddress};
    use espstress_stats::Recorder;

    /// A broker whose device met every fault for long enough, and whose messages were counted.
    fn mqtt() -> MqttFigures {
        let mut stats = espstress_stats::MqttStats { watched_ns: 600_000_000_000, ..Default::default() };
        stats.clients.push(espstress_event::MqttClient {
            id_hash: "0".into(),
            protocol: espstress_event::MqttProtocol::V311,
            keepalive_s: 15,
            clean: true,
            will: None,
            filters: 1,
            connects: 1,
            packets: 1,
            pings: 1,
            ping_interval: espstress_stats::Latency::default(),
            silence_max_ns: None,
            late: 0,
            missed: 0,
            birth_retained: None,
            births_missing: 0,
        });
        for fault in [MqttFault::Silent, MqttFault::Close, MqttFault::Slow, MqttFault::SessionKept] {
            let mut outage = MqttOutage::new(1, fault, 0, 15);
            outage.length_ns = Some(60_000_000_000);
            outage.back_ns = Some(0);
            stats.ended(outage);
        }
        let mut grown = MqttOutage::new(1, MqttFault::Big, 0, 15);
        grown.length_ns = Some(60_000_000_000);
        grown.big = Some(espstress_event::MqttBig::default());
        stats.ended(grown);
        stats.to_device[1] =
            espstress_event::MqttToDevice { sent: 1, acknowledged: Some(1), ..Default::default() };
        let counted = espstress_event::MqttDelivery { received: 1, lost: Some(0), ..Default::default() };
        stats.to_host[1] = counted;
        MqttFigures::from_stats(&stats)
    }

    /// A run whose gates on every finding can be judged.
    fn complete() -> Report {
        let target = Target::new("127.0.0.1", TargetKind::Sim);
        let mut report = Report::new(target, serde_json::json!({}), 1, 0);
        let mut recorder = Recorder::new(0, Phase::Total);
        recorder.attempt(0, 1, Ok(()));
        let stats = recorder.finish(1_000_000_000);
        let mut workload = Workload::from_stats("half-open", "half-open", serde_json::json!({}), &stats);
        workload.half_open = Some(HalfOpenFigures {
            silenced: 5,
            expected_reclaim_s: Some(20.0),
            watched_s: 21.0,
            never_reclaimed: 1,
            ..HalfOpenFigures::default()
        });
        workload.outage_summary = Some(crate::OutageSummary::default());
        workload.mqtt = Some(mqtt());
        workload.by_protocol = Some(Box::new(espstress_event::ByProtocol {
            udp: Some(espstress_event::Datagrams::default()),
            websocket: None,
            sse: Some(espstress_event::EventStreams::default()),
            ..espstress_event::ByProtocol::default()
        }));
        report.workloads.push(workload);
        report.capture = Capture::seen(1_000, 0);
        report.probes.push(ProbeRow {
            kind: ProbeKind::Icmp,
            sent: 30,
            lost: 0,
            longest_gap_s: None,
            latency: LatencyFigures { count: 30, ..LatencyFigures::default() },
            incomplete: None,
        });
        let heap = ReadingSummary {
            first: 50.0,
            last: 50.0,
            min: 50.0,
            max: 50.0,
            mean: Some(50.0),
            slope_per_hour: None,
            slope_low_per_hour: None,
            slope_high_per_hour: None,
        };
        report.telemetry = Some(TelemetrySummary {
            samples: 30,
            reboots: Some(0),
            summary: [(Reading::HeapFreeBytes, heap)].into(),
            ..TelemetrySummary::default()
        });
        report.air = Some(heard());
        report.console = Some(Console { lines: 1, ..Console::default() });
        report
    }

    /// Enough of a device that is healthy.
    fn heard() -> Air {
        let address = MacAddress([0x24, 0x6f, 0x28, 0, 0, 1]);
        let signal = AirSignal { frames: 500, min_dbm: -60, p50_dbm: -50, max_dbm: -40 };
        let traffic = AirTraffic {
            frames: 500,
            data: 400,
            followed: 400,
            signal: Some(signal),
            ..AirTraffic::default()
        };
        let network = AirNetwork {
            address,
            ssid: None,
            channel: Some(6),
            beacon_interval_tu: Some(100),
            dtim_period: Some(1),
            beacons: 500,
            beacons_unsent: 0,
            beacons_unheard: 0,
            longest_unsent_s: None,
            signal: Some(signal),
        };
        let station =
            AirStation { sent: traffic, received: traffic, ..AirStation::new(address, Chosen::Named) };
        Air { station: Some(station), networks: vec![network], ..Air::default() }
    }

    fn status(report: &Report, id: FindingId) -> ThresholdStatus {
        let gate = Threshold::parse(&format!("findings.{} == 0", id.name())).unwrap();
        let row = judge(&gate, report);
        assert_eq!(row.reason.is_some(), row.status == ThresholdStatus::Inconclusive, "{row:?}");
        row.status
    }

    type Spoil = fn(&mut Report);
    type Concerns = fn(Need) -> bool;

    #[test]
    fn a_gate_on_a_finding_is_open_exactly_where_a_need_of_it_is_not_met() {
        let spoilt: [(&str, Spoil, Concerns); 23] = [
            ("no console", |r| r.console = None, |n| n == Need::Console),
            (
                "no account of the heap",
                |r| r.telemetry.as_mut().unwrap().summary.clear(),
                |n| n == Need::Heap,
            ),
            ("a silent console", |r| r.console = Some(Console::default()), |n| n == Need::Console),
            ("nothing but losses", |r| r.probes[0].lost = 30, |n| n == Need::Probes),
            (
                "faults that could not be judged",
                |r| {
                    let m = r.workloads[0].mqtt.as_mut().unwrap();
                    m.outages.iter_mut().for_each(|o| o.not_judged = Some("no packets".into()));
                },
                |n| matches!(n, Need::LongFaults(_) | Need::Grown),
            ),
            (
                "nothing that grew",
                |r| {
                    let m = r.workloads[0].mqtt.as_mut().unwrap();
                    m.outages.iter_mut().for_each(|o| o.big = None);
                },
                |n| n == Need::Grown,
            ),
            (
                "faults that the run cut off",
                |r| {
                    let m = r.workloads[0].mqtt.as_mut().unwrap();
                    m.outages.iter_mut().for_each(|o| o.length_ns = None);
                },
                |n| {
                    let fault = matches!(n, Need::Faults(_) | Need::SeenFaults(_) | Need::LongFaults(_));
                    fault || n == Need::Grown
                },
            ),
            ("no air", |r| r.air = None, |n| matches!(n, Need::Air(_))),
            (
                "no datagrams, no streams",
                |r| r.workloads[0].by_protocol = None,
                |n| matches!(n, Need::Datagrams | Need::Streams),
            ),
            ("no packets", |r| r.capture = Capture::off(None), |n| n == Need::Packets),
            ("no answer", |r| r.probes.clear(), |n| matches!(n, Need::Probes | Need::Answers(_))),
            ("few answers", |r| r.probes[0].latency.count = 19, |n| matches!(n, Need::Answers(_))),
            (
                "no telemetry",
                |r| r.telemetry = None,
                |n| matches!(n, Need::Restarts | Need::Heap | Need::HeapReadings(_)),
            ),
            (
                "few readings",
                |r| r.telemetry.as_mut().unwrap().samples = 2,
                |n| matches!(n, Need::HeapReadings(_)),
            ),
            (
                "silence refused",
                |r| r.workloads[0].half_open.as_mut().unwrap().unavailable = Some("EPERM".into()),
                |n| matches!(n, Need::Silence | Need::Outages | Need::Mqtt | Need::Datagrams | Need::Streams),
            ),
            (
                "watched too briefly",
                |r| r.workloads[0].half_open.as_mut().unwrap().watched_s = 3.0,
                |n| n == Need::Silence,
            ),
            (
                "nothing but a storm",
                |r| (r.workloads[0].half_open, r.workloads[0].outage_summary) = (None, None),
                |n| matches!(n, Need::Silence | Need::Outages),
            ),
            (
                "no broker",
                |r| r.workloads[0].mqtt = None,
                |n| {
                    let fault = matches!(n, Need::Faults(_) | Need::SeenFaults(_) | Need::LongFaults(_));
                    fault || matches!(n, Need::Mqtt | Need::Sequence | Need::Publishes | Need::Grown)
                },
            ),
            (
                "a broker for a moment",
                |r| r.workloads[0].mqtt.as_mut().unwrap().watched_s = 20.0,
                |n| n == Need::Mqtt,
            ),
            (
                "short faults",
                |r| {
                    let m = r.workloads[0].mqtt.as_mut().unwrap();
                    m.outages.iter_mut().for_each(|o| o.length_ns = Some(1));
                },
                |n| matches!(n, Need::LongFaults(_)),
            ),
            (
                "a cut link",
                |r| {
                    let m = r.workloads[0].mqtt.as_mut().unwrap();
                    m.outages.iter_mut().for_each(|o| o.link_cut = true);
                },
                |n| matches!(n, Need::SeenFaults(_)),
            ),
            (
                "no numbers",
                |r| r.workloads[0].mqtt.as_mut().unwrap().to_host.clear(),
                |n| n == Need::Sequence,
            ),
            (
                "nothing published",
                |r| r.workloads[0].mqtt.as_mut().unwrap().to_device.clear(),
                |n| n == Need::Publishes,
            ),
        ];
        for id in FindingId::ALL {
            assert_eq!(status(&complete(), id), ThresholdStatus::Pass, "{}", id.name());
            for (what, spoil, concerns) in spoilt {
                let mut report = complete();
                spoil(&mut report);
                let open = id.needs().iter().any(|need| concerns(*need));
                let expected = if open { ThresholdStatus::Inconclusive } else { ThresholdStatus::Pass };
                assert_eq!(status(&report, id), expected, "{} with {what}", id.name());
            }
        }
    }

    #[test]
    fn what_was_found_breaks_its_gate_whatever_is_missing() {
        let mut report = complete();
        report.capture = Capture::off(None);
        report.findings.push(espstress_diagnose::Finding {
            id: FindingId::AbortiveClose,
            severity: espstress_diagnose::Severity::Error,
            statement: String::new(),
            evidence: Vec::new(),
            cause: String::new(),
            change: String::new(),
        });
        assert_eq!(
            judge(&Threshold::parse("findings.abortive_close == 0").unwrap(), &report).status,
            ThresholdStatus::Fail
        );
    }

    #[test]
    fn as_many_answers_and_readings_as_a_finding_takes_are_enough() {
        for id in FindingId::ALL {
            for need in id.needs() {
                let mut report = complete();
                match *need {
                    Need::Answers(least) => report.probes[0].latency.count = least,
                    Need::HeapReadings(least) => report.telemetry.as_mut().unwrap().samples = least,
                    _ => continue,
                }
                assert_eq!(status(&report, id), ThresholdStatus::Pass, "{}", id.name());
            }
        }
    }

    #[test]
    fn silent_connections_are_watched_for_as_long_as_the_device_may_take_and_no_longer() {
        let judged = |watched_s: f64, never_reclaimed: u64| {
            let mut report = complete();
            let h = report.workloads[0].half_open.as_mut().unwrap();
            (h.watched_s, h.never_reclaimed) = (watched_s, never_reclaimed);
            unmet(Need::Silence, &report)
        };
        assert_eq!((judged(20.0, 1), judged(3.0, 0)), (None, None));
        let why = "half-open watched its silent connections for 19.9 s of the 20 s that the device may take";
        assert_eq!(judged(19.9, 1).as_deref(), Some(why));
    }

    #[test]
    fn what_of_the_air_could_not_be_judged_leaves_its_own_finding_open() {
        let mut report = complete();
        report.air.as_mut().unwrap().networks.clear();
        let open: Vec<_> = FindingId::ALL
            .into_iter()
            .filter(|id| id.needs().iter().any(|need| matches!(need, Need::Air(_))))
            .filter(|id| status(&report, *id) == ThresholdStatus::Inconclusive)
            .collect();
        let expected: Vec<_> = air_not_judged(report.air.as_ref().unwrap()).iter().map(|n| n.id).collect();
        assert!(!expected.is_empty() && expected.len() < 5, "{expected:?}");
        assert!(expected.iter().all(|id| open.contains(id)) && open.len() == expected.len(), "{open:?}");
    }
}
