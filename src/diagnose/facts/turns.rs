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
