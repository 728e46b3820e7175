//! What an MQTT client did in two sessions of one run.

use std::collections::BTreeMap;

use crate::workload::seconds;
use crate::{LatencyFigures, MqttClientFigures, MqttFigures};
use espstress_event::{MqttDelivery, MqttToDevice};
use espstress_stats::{Latency, MqttStats};

impl MqttFigures {
    /// Moves every time of it.
    pub(super) fn shift(&mut self, by_s: f64) {
        for outage in &mut self.outages {
            outage.start_ns = outage.start_ns.saturating_add((by_s * 1e9) as u64);
        }
        self.sessions.shift(by_s);
    }

    /// This one and that of a later session, whose times count from the start of the first one already.
    pub(super) fn with(mut self, later: Self) -> Self {
        for client in later.clients {
            match self.clients.iter_mut().find(|own| own.id_hash == client.id_hash) {
                Some(own) => own.add(client),
                None => self.clients.push(client),
            }
        }
        for (qos, row) in later.to_host {
            add_row(&mut self.to_host, qos, row, delivered);
        }
        for (qos, row) in later.to_device {
            add_row(&mut self.to_device, qos, row, published);
        }
        let told = self.outages.len() as u64 + self.outages_left_out;
        self.outages_left_out += later.outages_left_out;
        for (n, mut outage) in (1..).zip(later.outages) {
            outage.number = told + n;
            if self.outages.len() < MqttStats::MOST_OUTAGES {
                self.outages.push(outage);
            } else {
                self.outages_left_out += 1;
            }
        }
        let both = LatencyFigures::with;
        Self {
            // What one of them measured was measured.
            unavailable: self.unavailable.and(later.unavailable),
            not_published: self.not_published.and(later.not_published),
            watched_s: self.watched_s + later.watched_s,
            turned_away: self.turned_away + later.turned_away,
            turned_away_last: later.turned_away_last.or(self.turned_away_last),
            malformed: self.malformed + later.malformed,
            malformed_last: later.malformed_last.or(self.malformed_last),
            taken_over: self.taken_over + later.taken_over,
            sessions: self.sessions.with(&later.sessions),
            // Each session subscribes to the same ones again.
            beyond_limits: self.beyond_limits.max(later.beyond_limits),
            acknowledgement: both(&self.acknowledgement, &later.acknowledgement),
            connect: both(&self.connect, &later.connect),
            subscribe: both(&self.subscribe, &later.subscribe),
            first_publish: both(&self.first_publish, &later.first_publish),
            no_signs: self.no_signs.or(later.no_signs),
            incomplete: self.incomplete.or(later.incomplete),
            clients: self.clients,
            to_host: self.to_host,
            to_device: self.to_device,
            outages: self.outages,
            outages_left_out: self.outages_left_out,
        }
    }
}

impl MqttClientFigures {
    /// Adds the same client's later session.
    fn add(&mut self, later: Self) {
        let pings = self.ping_interval.with(&later.ping_interval);
        // Percentiles of two sessions don't follow from those of each, but from both histograms.
        let jitter = pings.histogram().map(Latency::from_histogram).and_then(|all| {
            let (high, low) = all.quantile_ns(0.99).zip(all.quantile_ns(0.01))?;
            Some(seconds(high.saturating_sub(low)))
        });
        let longest = match (self.silence_max_s, later.silence_max_s) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        *self = Self {
            connects: self.connects + later.connects,
            packets: self.packets + later.packets,
            pings: self.pings + later.pings,
            ping_interval: pings,
            ping_jitter_s: jitter,
            silence_max_s: longest,
            late: self.late + later.late,
            missed: self.missed + later.missed,
            birth_retained: later.birth_retained.or(self.birth_retained),
            births_missing: self.births_missing + later.births_missing,
            ..later
        };
    }
}

fn add_row<T>(rows: &mut BTreeMap<String, T>, qos: String, row: T, add: fn(&mut T, T)) {
    match rows.get_mut(&qos) {
        Some(own) => add(own, row),
        None => {
            rows.insert(qos, row);
        }
    }
}

/// What came between two sessions was not listened to, and is not lost. Where one of them could not tell, the sum is unknown.
fn delivered(own: &mut MqttDelivery, later: MqttDelivery) {
    let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    *own = MqttDelivery {
        received: own.received + later.received,
        again_dup: own.again_dup + later.again_dup,
        again_no_dup: own.again_no_dup + later.again_no_dup,
        again_new_id: sum(own.again_new_id, later.again_new_id),
        lost: sum(own.lost, later.lost),
        under_way: own.under_way + later.under_way,
        quiet_after_fault: later.quiet_after_fault,
        out_of_order: sum(own.out_of_order, later.out_of_order),
        copies_max: own.copies_max.max(later.copies_max),
        acknowledged_copies_max: own.acknowledged_copies_max.max(later.acknowledged_copies_max),
        not_kept: own.not_kept.take().or(later.not_kept),
    };
}

fn published(own: &mut MqttToDevice, later: MqttToDevice) {
    let acknowledged = match (own.acknowledged, later.acknowledged) {
        (Some(a), Some(b)) => Some(a + b),
        (a, b) => a.or(b),
    };
    *own = MqttToDevice {
        sent: own.sent + later.sent,
        again: own.again + later.again,
        acknowledged,
        late: own.late + later.late,
        unacknowledged: own.unacknowledged + later.unacknowledged,
        uncompleted: own.uncompleted + later.uncompleted,
        again_unacknowledged: own.again_unacknowledged + later.again_unacknowledged,
        strange_ids: own.strange_ids + later.strange_ids,
        abandoned: own.abandoned + later.abandoned,
        under_way: own.under_way + later.under_way,
        overdue: later.overdue,
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::{MqttFault, MqttOutage, MqttProtocol};

    fn client(id_hash: &str, pings_ns: &[u64]) -> MqttClientFigures {
        let mut pings = Latency::default();
        pings_ns.iter().for_each(|ns| pings.record(*ns));
        MqttClientFigures {
            id_hash: id_hash.into(),
            protocol: MqttProtocol::V311,
            keepalive_s: 15,
            clean: true,
            will: None,
            filters: 2,
            connects: 1,
            packets: 10,
            pings: pings_ns.len() as u64,
            ping_interval: LatencyFigures::from_latency(&pings),
            ping_jitter_s: None,
            silence_max_s: Some(pings_ns.iter().copied().max().map_or(0.0, seconds)),
            late: 1,
            missed: 0,
            birth_retained: None,
            births_missing: 0,
        }
    }

    fn session(lost: Option<u64>, start_ns: u64) -> MqttFigures {
        let row = MqttDelivery { received: 100, lost, copies_max: 1, ..MqttDelivery::default() };
        MqttFigures {
            watched_s: 60.0,
            clients: vec![client("a", &[5_000_000_000, 7_000_000_000])],
            to_host: [("1".to_owned(), row)].into(),
            outages: vec![MqttOutage::new(1, MqttFault::Close, start_ns, 15)],
            ..MqttFigures::default()
        }
    }

    #[test]
    fn counts_add_up_and_faults_go_on_in_number_and_time() {
        let mut later = session(Some(2), 30_000_000_000);
        later.shift(3_600.0);
        let both = session(Some(1), 30_000_000_000).with(later);
        let at: Vec<_> = both.outages.iter().map(|o| (o.number, o.start_ns / 1_000_000_000)).collect();
        assert_eq!(at, [(1, 30), (2, 3_630)]);
        assert_eq!((both.to_host["1"].received, both.to_host["1"].lost), (200, Some(3)));
        let client = both.target().unwrap();
        assert_eq!(
            (both.clients.len(), client.connects, client.late, client.ping_interval.count),
            (1, 2, 2, 4)
        );
        assert!((1.9..2.1).contains(&client.ping_jitter_s.unwrap()), "{client:?}");
        assert_eq!(both.watched_s, 120.0);
    }

    #[test]
    fn loss_that_one_session_could_not_tell_is_unknown_and_another_client_is_a_row_of_its_own() {
        let mut later = session(None, 0);
        later.to_host.get_mut("1").unwrap().not_kept = Some("no --sequence".into());
        later.clients = vec![client("b", &[])];
        let both = session(Some(0), 0).with(later);
        assert_eq!(both.to_host["1"].lost, None);
        assert_eq!(both.to_host["1"].not_kept.as_deref(), Some("no --sequence"));
        assert_eq!(both.clients.iter().map(|c| c.id_hash.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn a_thousand_sessions_of_faults_take_bounded_memory_and_none_goes_uncounted() {
        let all = (1..1_000).fold(session(Some(0), 0), |all, _| all.with(session(Some(0), 0)));
        assert_eq!(all.outages.len() as u64 + all.outages_left_out, 1_000);
        assert_eq!((all.outages.len(), all.outages.last().unwrap().number), (512, 512));
    }
}
