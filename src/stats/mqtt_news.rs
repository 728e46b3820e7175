//! What is new of MQTT clients since it was last told: so that a log can tell it as it becomes known.

use super::MqttStats;
use espstress_event::{Mqtt, Recorded, SectionCourse};

/// Time between two accounts while nothing decisive happens, nanoseconds.
const EVERY_NS: u64 = 10_000_000_000;
/// Faults of which an account under way tells, the last ones.
const MOST_OUTAGES: usize = 32;

/// What was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(Option<(SectionCourse, usize, u64)>);

impl Told {
    /// Everything, where it is time to tell it; from now on it is told. While it may change only the last faults are in it,
    /// so that lines do not grow with the run.
    pub(super) fn news(
        &mut self,
        of: &MqttStats,
        course: SectionCourse,
        now_ns: u64,
    ) -> Option<Mqtt<Recorded>> {
        let outages = of.outages.len();
        let due = match self.0 {
            None => true,
            // What has ended changes no more.
            Some((SectionCourse::Ended, ..)) => false,
            Some((told, known, at_ns)) => {
                told != course || known != outages || now_ns.saturating_sub(at_ns) >= EVERY_NS
            }
        };
        if !due {
            return None;
        }
        self.0 = Some((course, outages, now_ns));
        let mut section = of.with_latencies(|latency| latency.recorded().collect::<Recorded>());
        if course == SectionCourse::UnderWay {
            let older = section.outages.len().saturating_sub(MOST_OUTAGES);
            section.outages.drain(..older);
            section.outages_left_out += older as u64;
        }
        Some(section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::{MqttFault, MqttOutage};

    const S: u64 = 1_000_000_000;

    #[test]
    fn an_account_is_told_at_each_fault_every_ten_seconds_and_once_at_the_end() {
        let (mut told, mut stats) = (Told::default(), MqttStats::default());
        let under_way = SectionCourse::UnderWay;
        assert!(told.news(&stats, under_way, S).is_some());
        assert!(told.news(&stats, under_way, 2 * S).is_none());
        stats.outages.push(MqttOutage::new(1, MqttFault::Close, 0, 5));
        assert!(told.news(&stats, under_way, 3 * S).is_some());
        assert!(told.news(&stats, under_way, 12 * S).is_none());
        assert!(told.news(&stats, under_way, 13 * S).is_some());
        assert!(told.news(&stats, SectionCourse::Ended, 13 * S).is_some());
        assert!(told.news(&stats, SectionCourse::Ended, 60 * S).is_none());
    }

    #[test]
    fn an_account_under_way_does_not_grow_and_the_last_one_is_whole() {
        let (mut told, mut stats) = (Told::default(), MqttStats::default());
        stats.outages = (0..100).map(|n| MqttOutage::new(n, MqttFault::Close, 0, 5)).collect();
        let section = told.news(&stats, SectionCourse::UnderWay, S).unwrap();
        assert_eq!((section.outages.len(), section.outages_left_out), (32, 68));
        assert_eq!(section.outages[31].number, 99);
        assert_eq!(told.news(&stats, SectionCourse::Ended, S).unwrap().outages.len(), 100);
    }
}
