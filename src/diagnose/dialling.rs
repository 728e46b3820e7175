//! What a device that dials in did about each fault of its broker, as the packets show: joins the workload's faults with
//! what the device began and ended on the wire.

use espstress_event::{DialSign, Mqtt, MqttOutage, MqttSign};

/// Gaps grow where those of the later half are so many times those of the earlier one, in the median.
const GROWTH: f64 = 1.5;

/// Fills in, for each fault, when the device noticed and how often it dialled. `start_unix_ns` is when the run's times
/// begin.
pub fn tell_dialling<L>(mqtt: &mut Mqtt<L>, signs: &[DialSign], start_unix_ns: i64) {
    let at = |sign: &DialSign| u64::try_from(sign.at_ns.saturating_sub(start_unix_ns)).unwrap_or(0);
    let starts: Vec<u64> = mqtt.outages.iter().map(|outage| outage.start_ns).collect();
    for (n, outage) in mqtt.outages.iter_mut().enumerate() {
        let next = starts.get(n + 1).copied().unwrap_or(u64::MAX);
        let end = outage.end_ns().unwrap_or(next);
        // A device that stood through it may be ended by whatever comes later.
        let until = if outage.survived { end } else { next };
        // Behind a cut link the device did whatever it did unseen, and comes to light when the link is back.
        let until = if outage.link_cut { end } else { until };
        let first = signs.iter().find(|sign| (outage.start_ns..until).contains(&at(sign)));
        outage.device_notices_ns = first.map(|sign| at(sign) - outage.start_ns);
        outage.device_sign = first.map(|sign| sign.sign);
        if outage.link_cut {
            continue;
        }
        let dialled = signs.iter().filter(|sign| sign.sign == MqttSign::Syn);
        let dialled: Vec<u64> = dialled.map(at).filter(|at| (outage.start_ns..end).contains(at)).collect();
        outage.attempts = Some(dialled.len() as u64);
        gaps(outage, &dialled);
    }
}

fn gaps(outage: &mut MqttOutage, dialled: &[u64]) {
    let gaps: Vec<u64> = dialled.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    outage.gap_min_ns = gaps.iter().copied().min();
    outage.gap_max_ns = gaps.iter().copied().max();
    outage.gap_median_ns = median(&gaps);
    let (earlier, later) = gaps.split_at(gaps.len() / 2);
    outage.gaps_grow =
        median(earlier).zip(median(later)).map(|(early, late)| late as f64 >= early as f64 * GROWTH);
}

fn median(of: &[u64]) -> Option<u64> {
    let mut sorted = of.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::MqttFault;

    const S: u64 = 1_000_000_000;

    #[test]
    fn behind_a_cut_link_nothing_is_known_of_attempts_and_what_comes_after_it_is_no_notice() {
        let mut cut = outage(10, 20);
        cut.link_cut = true;
        let told = told(vec![cut], &[(30 * S + 1, MqttSign::Syn)]);
        assert_eq!((told[0].attempts, told[0].device_notices_ns), (None, None));
    }

    fn told(outages: Vec<MqttOutage>, signs: &[(u64, MqttSign)]) -> Vec<MqttOutage> {
        let signs: Vec<DialSign> = signs
            .iter()
            .enumerate()
            .map(|(n, (at, sign))| DialSign {
                at_ns: (1_000 * S + at) as i64,
                port: n as u16,
                seq: 1,
                sign: *sign,
            })
            .collect();
        let mut mqtt = Mqtt::<()> { outages, ..Mqtt::default() };
        tell_dialling(&mut mqtt, &signs, 1_000 * S as i64);
        mqtt.outages
    }

    fn outage(start: u64, length: u64) -> MqttOutage {
        let mut outage = MqttOutage::new(1, MqttFault::Silent, start * S, 5);
        outage.length_ns = Some(length * S);
        outage
    }

    #[test]
    fn the_first_sign_after_the_start_is_when_the_device_noticed() {
        let signs = [
            (2 * S, MqttSign::Syn),
            (17 * S, MqttSign::Fin),
            (18 * S, MqttSign::Syn),
            (40 * S, MqttSign::Fin),
        ];
        let rows = told(vec![outage(10, 20), outage(35, 20)], &signs);
        assert_eq!((rows[0].device_notices_ns, rows[0].device_sign), (Some(7 * S), Some(MqttSign::Fin)));
        assert_eq!((rows[0].attempts, rows[1].device_notices_ns), (Some(1), Some(5 * S)));
    }

    #[test]
    fn what_comes_after_an_outage_that_was_survived_is_no_notice_of_it() {
        let mut row = outage(10, 5);
        row.survived = true;
        let rows = told(vec![row], &[(20 * S, MqttSign::Fin)]);
        assert_eq!((rows[0].device_notices_ns, rows[0].attempts), (None, Some(0)));
    }

    #[test]
    fn gaps_that_double_grow_and_even_ones_do_not() {
        let syn = |at: &[u64]| at.iter().map(|at| (at * S, MqttSign::Syn)).collect::<Vec<_>>();
        let doubled = told(vec![outage(10, 30)], &syn(&[11, 12, 14, 18, 26]));
        assert_eq!(doubled[0].gaps_grow, Some(true));
        assert_eq!((doubled[0].gap_min_ns, doubled[0].gap_max_ns), (Some(S), Some(8 * S)));
        let even = told(vec![outage(10, 30)], &syn(&[11, 12, 13, 14, 15]));
        assert_eq!((even[0].gaps_grow, even[0].gap_median_ns), (Some(false), Some(S)));
        assert_eq!(told(vec![outage(10, 30)], &syn(&[11, 12]))[0].gaps_grow, None);
    }
}
