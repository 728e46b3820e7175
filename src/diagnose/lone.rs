//! A bare occurrence, for the tests of the crates that take one: the engine's include this file as well.

use espstress_event::{AnomalyId, ConnectionKey, Direction, Occurrence, Shown};

/// One that shows nothing else, on a connection of the local network.
pub(crate) fn lone(id: AnomalyId, shows: Shown, at_ns: i64) -> Occurrence {
    Occurrence {
        id,
        shows,
        connection: ConnectionKey {
            host: ([192, 168, 4, 1], 40_000).into(),
            device: ([192, 168, 4, 91], 80).into(),
            isn: Some(1),
        },
        direction: Direction::FromDevice,
        at_ns,
        nth: 1,
        answers: None,
        after_fin_ns: None,
        request: None,
        others: 0,
        copies: None,
        unanswered_ns: None,
        after_absence: false,
        forgotten: false,
        lasted_ns: 0,
        packets: Vec::new(),
        remark: None,
    }
}
