//! An example of an anomaly as a ladder: client and device are two lines, each packet is an arrow, and time runs down.
//! Here is what stands where; `text` and `svg` draw it.

mod svg;
mod text;

use espstress_diagnose::{AnomalyRow, Example};
use espstress_event::{AnomalyClass, AnomalyId, Direction};

pub use svg::document;

/// One example, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Ladder {
    /// Which anomaly.
    pub id: AnomalyId,
    /// Whom it counts against.
    pub class: AnomalyClass,
    client: String,
    device: String,
    /// When it happened, seconds since the start of the run or of the capture.
    at_s: f64,
    rungs: Vec<Rung>,
    /// What is wrong, in words: the definition, how long it lasted, what qualifies it.
    wrong: String,
    /// Whether it went on from its moment: a silence, which shows below the last packet.
    lasted: bool,
}

/// One arrow.
#[derive(Clone, Debug, PartialEq)]
struct Rung {
    /// Packet number in the capture.
    number: u64,
    /// Seconds since the first packet of the ladder.
    after_s: f64,
    from: Direction,
    /// Flags, sequence numbers, length.
    words: String,
    /// Whether this is the packet that shows the anomaly.
    telling: bool,
}

/// How far apart two arrows stand.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// To scale.
    Scaled(f64),
    /// As close as arrows can stand: in scale it would be less.
    Stretched(f64),
    /// Cut short: in scale it would be too far. The time is written there.
    Cut(f64),
}

impl Step {
    const fn height(self) -> f64 {
        match self {
            Self::Scaled(h) | Self::Stretched(h) | Self::Cut(h) => h,
        }
    }
}

/// How close and how far apart arrows may stand, and the height of a cut, in a drawing's own unit.
#[derive(Clone, Copy, Debug)]
struct Room {
    least: f64,
    most: f64,
    cut: f64,
}

/// All ladders of these anomalies, in their order.
pub fn ladders(rows: &[AnomalyRow]) -> impl Iterator<Item = Ladder> {
    rows.iter().flat_map(|row| row.examples.iter().filter_map(|example| Ladder::of(row, example)))
}

impl Ladder {
    /// The ladder of an example; `None` if no packets of it were kept.
    #[must_use]
    pub fn of(row: &AnomalyRow, example: &Example) -> Option<Self> {
        let first_s = example.packets.first()?.at_s;
        let mut rungs: Vec<Rung> = example
            .packets
            .iter()
            .map(|p| Rung {
                number: p.number,
                after_s: (p.at_s - first_s).max(0.0),
                from: p.direction,
                words: p.summary.clone(),
                telling: p.direction == row.direction && p.at_s == example.at_s,
            })
            .collect();
        // Packets come in the order of the capture; a damaged report may have another.
        rungs.sort_by(|a, b| a.after_s.total_cmp(&b.after_s));
        let lasted = example.lasted_s.filter(|s| *s > 0.0);
        let lasted = lasted.map_or_else(String::new, |s| format!("; it lasted {}", crate::human::time_s(s)));
        let remark = example.remark.as_ref().map_or_else(String::new, |r| format!("; {r}"));
        Some(Self {
            id: row.id,
            class: row.class,
            client: example.host.clone(),
            device: example.device.clone(),
            at_s: example.at_s,
            rungs,
            lasted: !lasted.is_empty(),
            wrong: format!("{}{lasted}{remark}", row.id.definition()),
        })
    }

    /// The arrow below which the words stand: the telling packet, or the last one where a silence tells.
    fn marked(&self) -> usize {
        let last = self.rungs.len().saturating_sub(1);
        let telling = self.rungs.iter().rposition(|rung| rung.telling).unwrap_or(last);
        if self.lasted { last } else { telling }
    }

    /// The distance of each arrow from the one before it. One scale holds for the whole ladder: the one in which the
    /// fewest distances have to be stretched or cut.
    fn steps(&self, room: Room) -> Vec<Step> {
        let gaps: Vec<f64> =
            self.rungs.windows(2).map(|two| (two[1].after_s - two[0].after_s).max(0.0)).collect();
        let with = |per_s: f64| -> Vec<Step> {
            let step = |gap: &f64| match gap * per_s {
                h if h < room.least * 0.999 => Step::Stretched(room.least),
                h if h > room.most => Step::Cut(room.cut),
                h => Step::Scaled(h),
            };
            gaps.iter().map(step).collect()
        };
        let cost = |steps: &[Step]| {
            let off = steps.iter().filter(|step| !matches!(step, Step::Scaled(_))).count();
            (off, steps.iter().map(|step| step.height()).sum::<f64>())
        };
        let candidates = gaps.iter().filter(|gap| **gap > 0.0).map(|gap| with(room.least / gap));
        let best = candidates.min_by(|a, b| {
            let (a, b) = (cost(a), cost(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        best.unwrap_or_else(|| with(0.0))
    }
}

/// The name of a class, and whose doing it is.
pub(crate) const fn class_in_words(class: AnomalyClass) -> &'static str {
    match class {
        AnomalyClass::Device => "by the device",
        AnomalyClass::Path => "by the path",
        AnomalyClass::Provoked => "provoked by the test",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use espstress_diagnose::ExamplePacket;

    pub(crate) fn row(packets: &[(f64, Direction, &str)], at_s: f64) -> AnomalyRow {
        let packets = packets.iter().zip(1..).map(|((at_s, direction, words), number)| ExamplePacket {
            number,
            at_s: *at_s,
            direction: *direction,
            summary: (*words).to_owned(),
        });
        AnomalyRow {
            id: AnomalyId::RstAfterFin,
            class: AnomalyClass::Device,
            count: 1,
            connections: 1,
            workload: Some("head".into()),
            first_s: at_s,
            last_s: at_s,
            direction: Direction::FromDevice,
            examples: vec![Example {
                host: "192.168.4.2:40000".into(),
                device: "192.168.4.91:80".into(),
                at_s,
                lasted_s: None,
                remark: None,
                packets: packets.collect(),
            }],
        }
    }

    const ROOM: Room = Room { least: 10.0, most: 80.0, cut: 20.0 };
    use Direction::{FromDevice, FromHost};

    pub(crate) fn sample() -> AnomalyRow {
        let packets = [
            (1.0, FromHost, "[SYN] seq=0 win=64240 len=0"),
            (1.001, FromDevice, "[SYN, ACK] seq=0 ack=1 win=5760 len=0"),
            (1.003, FromHost, "[PSH, ACK] seq=1 ack=1 win=64240 len=78"),
            (1.0031, FromDevice, "[FIN, PSH, ACK] seq=1 ack=79 win=5744 len=63"),
            (4.0, FromDevice, "[RST, ACK] seq=65 ack=79 win=5744 len=0"),
        ];
        row(&packets, 4.0)
    }

    fn steps(of: &AnomalyRow) -> Vec<Step> {
        ladders(std::slice::from_ref(of)).next().unwrap().steps(ROOM)
    }

    #[test]
    fn one_scale_holds_and_what_does_not_fit_is_stretched_or_cut() {
        let steps = steps(&sample());
        assert_eq!(steps.len(), 4);
        let Step::Scaled(second) = steps[1] else { panic!("{steps:?}") };
        assert_eq!(steps[0], Step::Scaled(10.0));
        assert!((second - 20.0).abs() < 0.1, "twice as long, twice as far: {second}");
        assert_eq!(steps[2..], [Step::Stretched(10.0), Step::Cut(20.0)]);
    }

    #[test]
    fn packets_of_one_instant_are_kept_apart() {
        let same = row(&[(1.0, FromHost, "a"), (1.0, FromDevice, "b")], 1.0);
        assert_eq!(steps(&same), [Step::Stretched(10.0)]);
    }

    #[test]
    fn the_telling_packet_is_the_one_of_the_moment_and_the_direction() {
        let of = sample();
        let ladder = ladders(std::slice::from_ref(&of)).next().unwrap();
        assert_eq!(ladder.marked(), 4);
        assert_eq!(ladder.rungs.iter().filter(|rung| rung.telling).count(), 1);
        let silent = row(&[(1.0, FromHost, "a"), (1.5, FromHost, "b")], 6.0);
        let ladder = ladders(std::slice::from_ref(&silent)).next().unwrap();
        assert_eq!(ladder.marked(), 1, "a silence is told of after the last packet");
    }

    #[test]
    fn an_example_without_packets_has_no_ladder() {
        assert_eq!(ladders(&[row(&[], 1.0)]).count(), 0);
    }
}
