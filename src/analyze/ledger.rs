//! Counts occurrences as they come: a row for each anomaly and class, whatever the file's length.

use std::collections::BTreeMap;

use crate::diagnose::{AnomalyRow, Example, ExamplePacket};
use crate::event::{AnomalyClass, AnomalyId, Direction, Occurrence, PacketNote};

/// Examples that a row keeps.
const EXAMPLES: usize = 5;

/// One row in the making; times in nanoseconds since the Unix epoch.
#[derive(Clone, Debug)]
struct Row {
    count: u64,
    connections: u64,
    from_device: u64,
    first_ns: i64,
    last_ns: i64,
    examples: Vec<Occurrence>,
}

/// The rows so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    rows: BTreeMap<(AnomalyId, AnomalyClass), Row>,
}

impl Ledger {
    /// Counts one.
    pub(super) fn take(&mut self, occurrence: &Occurrence) {
        let at = occurrence.at_ns;
        let until = at.saturating_add(occurrence.lasted_ns.max(0));
        let row = self.rows.entry((occurrence.id, occurrence.class)).or_insert_with(|| Row {
            count: 0,
            connections: 0,
            from_device: 0,
            first_ns: at,
            last_ns: until,
            examples: Vec::new(),
        });
        row.count += 1;
        row.connections += u64::from(occurrence.nth == 1);
        row.from_device += u64::from(occurrence.direction == Direction::FromDevice);
        row.first_ns = row.first_ns.min(at);
        row.last_ns = row.last_ns.max(until);
        // One of each connection: five of the same would show no more than one.
        if row.examples.len() < EXAMPLES && (occurrence.nth == 1 || row.examples.is_empty()) {
            row.examples.push(occurrence.clone());
        }
    }

    /// The rows of a report, in the order of ids; times become seconds since `start_ns`.
    pub(super) fn rows(&self, start_ns: i64) -> Vec<AnomalyRow> {
        let seconds = |at_ns: i64| at_ns.saturating_sub(start_ns) as f64 / 1e9;
        let packet = |p: &PacketNote| ExamplePacket {
            number: p.number,
            at_s: seconds(p.at_ns),
            direction: p.direction,
            summary: p.summary.clone(),
        };
        let example = |o: &Occurrence| Example {
            host: o.connection.host.to_string(),
            device: o.connection.device.to_string(),
            at_s: seconds(o.at_ns),
            lasted_s: (o.lasted_ns > 0).then_some(o.lasted_ns as f64 / 1e9),
            remark: o.remark.map(str::to_owned),
            packets: o.packets.iter().map(packet).collect(),
        };
        self.rows
            .iter()
            .map(|((id, class), row)| AnomalyRow {
                id: *id,
                class: *class,
                count: row.count,
                connections: row.connections,
                workload: None,
                first_s: seconds(row.first_ns),
                last_s: seconds(row.last_ns),
                direction: if row.from_device * 2 >= row.count {
                    Direction::FromDevice
                } else {
                    Direction::FromHost
                },
                examples: row.examples.iter().map(example).collect(),
            })
            .collect()
    }
}
