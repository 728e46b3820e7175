//! Whether a program came to silent clients one after the other, and how long each of them kept it.
//!
//! A program that serves one client at a time closes those that wait for it one by one, and between two closes lies what it
//! spends on a client that says nothing more. One that serves several at a time closes each so long after its silence began:
//! these lengths are alike, and the distances between closes are those between the openings.
//!
//! The time from a client's silence to the FIN on its connection is not that wait: a program that closes after each response
//! sends the FIN along with it, and then waits for the client's own; and who waits in the queue waits for all before it.

use super::super::HalfOpenEvidence;
use super::SECOND;
use espstress_event::{SilencedConnection, Stage};

/// Longer than a close takes on any link, nanoseconds.
const WAIT: u64 = SECOND / 2;

/// Three in a row are no chance to a person.
const FEW: usize = 3;

/// Once, an opening that was late on a busy machine may look so.
const TWICE: usize = 2;

/// How long a silent client kept the others waiting, as the closes of those that were in line behind it show.
pub(crate) fn each(h: &HalfOpenEvidence) -> Option<u64> {
    let turns = turns(h);
    let mut waits: Vec<u64> = turns.iter().map(|turn| turn.wait_ns).collect();
    waits.sort_unstable();
    let median = *waits.get(waits.len() / 2)?;
    let like_it = |ns: u64| ns.abs_diff(median) <= median / 4;
    let constant = waits.iter().filter(|ns| like_it(**ns)).count();
    // Where they were opened at the same distances, each may have had its own time-out.
    let as_opened = turns.iter().filter(|turn| turn.opened_ns.abs_diff(turn.wait_ns) <= turn.wait_ns / 4);
    let own = turns.len().saturating_sub(as_opened.count());
    let in_line =
        constant >= FEW && constant.saturating_mul(4) >= waits.len().saturating_mul(3) && own >= TWICE;
    (h.unserved > 0 && median >= WAIT && in_line).then_some(median)
}

/// The longest time between two closes, the second of a client that was in line already.
pub(crate) fn longest(h: &HalfOpenEvidence) -> Option<u64> {
    turns(h).iter().map(|turn| turn.wait_ns).max().filter(|ns| *ns >= WAIT)
}

/// How long each silent client kept the next one waiting for its first answer, as one after the other was opened and served: the
/// first is answered at once, each of the others after the same long time, as the one before it is given up.
pub(crate) fn before_service(h: &HalfOpenEvidence) -> Option<u64> {
    let waited = |c: &SilencedConnection| Some(c.silent_ns.saturating_sub(c.opened_ns?));
    let first = waited(h.connections.first()?)?;
    let pairs: Vec<_> = h
        .connections
        .iter()
        .zip(h.connections.iter().skip(1))
        .filter(|(_, next)| next.stage == Stage::Served)
        .collect();
    let mut waits: Vec<u64> = pairs.iter().filter_map(|(_, next)| waited(next)).collect();
    waits.sort_unstable();
    let median = *waits.get(waits.len() / 2)?;
    let most = |n: usize| n >= FEW && n.saturating_mul(4) >= pairs.len().saturating_mul(3);
    let constant = waits.iter().filter(|ns| ns.abs_diff(median) <= median / 4).count();
    // Where its close was seen, it came just before the answer to the next one.
    let apart = pairs.iter().filter(|(one, next)| {
        let closed = one.closed_after_ns().map(|after| one.silent_ns.saturating_add(after));
        closed.is_some_and(|closed| closed.abs_diff(next.silent_ns) > WAIT / 2)
    });
    let prompt = |ns: u64| ns <= median / 4;
    let in_turn = most(constant) && apart.count().saturating_mul(4) <= pairs.len();
    let alone = prompt(first) && h.before.latency.is_some_and(|q| prompt(q.max_ns));
    (median >= WAIT && in_turn && alone).then_some(median)
}

/// Two closes one after the other, the second of a client that was there before the first of them.
struct Turn {
    /// Between the closes.
    wait_ns: u64,
    /// Between the silences.
    opened_ns: u64,
}

/// A silent client.
#[derive(Clone, Copy)]
struct Client {
    /// When the device closed it.
    closed_ns: u64,
    /// When it fell silent.
    silent_ns: u64,
    /// When it came, at the earliest: the next one is opened once the one before is silent.
    came_ns: u64,
}

fn turns(h: &HalfOpenEvidence) -> Vec<Turn> {
    let before = h.connections.iter().map(|c| c.silent_ns);
    let came = h.connections.iter().take(1).map(|c| c.silent_ns).chain(before);
    let closed = h.connections.iter().zip(came).filter_map(|(c, came_ns)| {
        let closed_ns = c.silent_ns.saturating_add(c.closed_after_ns()?);
        Some(Client { closed_ns, silent_ns: c.silent_ns, came_ns })
    });
    let mut closed: Vec<Client> = closed.collect();
    closed.sort_unstable_by_key(|client| client.closed_ns);
    let pairs = closed.iter().zip(closed.iter().skip(1));
    // The next one may come just as the program is done with the one before.
    let in_line = pairs.filter(|(one, next)| next.came_ns <= one.closed_ns.saturating_add(WAIT / 10));
    in_line
        .map(|(one, next)| Turn {
            wait_ns: next.closed_ns.saturating_sub(one.closed_ns),
            opened_ns: next.silent_ns.saturating_sub(one.silent_ns),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Availability, Quantiles};
    use espstress_event::ReclaimEvidence;

    const MS: u64 = SECOND / 1_000;

    /// Silent clients one after the other, each served so long after it was opened, and closed so long after its answer.
    fn opened(waits_ms: &[u64], closed_after_ms: Option<u64>, before_ms: u64) -> Option<u64> {
        let latency = Some(Quantiles { count: 2, max_ns: before_ms * MS, ..Quantiles::default() });
        let mut h = HalfOpenEvidence {
            before: Availability { attempts: 2, served: 2, latency, ..Availability::default() },
            ..HalfOpenEvidence::default()
        };
        let mut at = 8 * SECOND;
        for (connection, wait) in (1..).zip(waits_ms) {
            let opened_ns = Some(at);
            at += wait * MS;
            h.fell_silent(SilencedConnection {
                connection,
                port: 40_000,
                stage: Stage::Served,
                opened_ns,
                silent_ns: at,
                reclaimed_after_ns: closed_after_ms.map(|ms| ms * MS),
                evidence: closed_after_ms.map(|_| ReclaimEvidence::Fin),
            });
        }
        before_service(&h)
    }

    #[test]
    fn a_program_that_waits_for_each_silent_client_serves_the_next_one_so_much_later() {
        let second = [1, 1_001, 1_004, 1_002, 1_001, 1_003];
        assert_eq!(opened(&second, Some(1_000), 1), Some(1_002 * MS));
        assert_eq!(opened(&second, None, 1), Some(1_002 * MS), "nobody saw the closes");
    }

    #[test]
    fn a_pool_and_a_program_that_is_slow_with_everybody_serve_nobody_in_turn() {
        assert_eq!(opened(&[1, 1, 1, 1, 1_001, 1, 1, 1, 1_001], Some(1_000), 1), None, "four at once");
        assert_eq!(opened(&[1_001; 6], Some(1_000), 1), None, "the first one waits as well");
        assert_eq!(
            opened(&[1, 1_001, 1_001, 1_001, 1_001], Some(1_000), 900),
            None,
            "and so did others before"
        );
        assert_eq!(opened(&[1, 1_001, 1_001, 1_001, 1_001], Some(5_000), 1), None, "it closes them later");
        assert_eq!(opened(&[1, 20, 21, 20, 20], Some(20), 1), None, "nobody waits for long");
        assert_eq!(opened(&[1, 1_001, 1_001], Some(1_000), 1), None, "twice");
    }
}
