//! Heartbeat sessions of the framed protocol: what was sent, acknowledged and seen, across connections.

use crate::framed::{MOST_UNACKNOWLEDGED, Report};

/// Sessions kept at once; a further one takes the place of the one unused for longest.
const SESSIONS: usize = 8;

/// Which numbers of a sequence that starts at 1 have been seen, exactly for the last 64 numbers.
#[derive(Clone, Copy, Default)]
struct Seen {
    highest: u32,
    /// Bit `n` stands for `highest - n`.
    recent: u64,
    count: u32,
}

impl Seen {
    /// Notes a number and says whether it is new. A number too far back to tell counts as seen.
    fn note(&mut self, number: u32) -> bool {
        let new = if number > self.highest {
            let ahead = number - self.highest;
            self.recent = self.recent.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = number;
            true
        } else {
            let bit = 1u64.checked_shl(self.highest - number).unwrap_or(0);
            let new = number > 0 && bit != 0 && self.recent & bit == 0;
            self.recent |= bit;
            new
        };
        self.count = self.count.saturating_add(u32::from(new));
        new
    }
}

#[derive(Clone, Copy)]
struct Session {
    number: u32,
    owner: u32,
    used: u64,
    sent: u32,
    /// No heartbeat up to this number is waited for any more: the highest acknowledged, or the last one sent before
    /// the subscription.
    settled: u32,
    acked: Seen,
    received: Seen,
    duplicates: u32,
}

/// What comes of a heartbeat that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sending {
    /// Send it under this number; it counts as sent.
    Number(u32),
    /// As many as may be are under way: none before an acknowledgement.
    Waits,
    /// The connection has no session any more, or the session has no further number.
    Over,
}

/// All sessions of a device.
pub(crate) struct Sessions {
    table: [Option<Session>; SESSIONS],
    uses: u64,
}

impl Sessions {
    pub(crate) const fn new() -> Self {
        Self { table: [None; SESSIONS], uses: 0 }
    }

    /// Gives the session to a connection; an older connection of the same session loses it.
    pub(crate) fn subscribe(&mut self, number: u32, owner: u32) -> Report {
        self.uses += 1;
        let known = self.table.iter().position(|entry| entry.is_some_and(|s| s.number == number));
        let place = known
            .or_else(|| self.table.iter().position(Option::is_none))
            .or_else(|| (0..SESSIONS).min_by_key(|&i| self.table[i].map_or(0, |s| s.used)))
            .unwrap_or(0);
        let fresh = Session {
            number,
            owner,
            used: 0,
            sent: 0,
            settled: 0,
            acked: Seen::default(),
            received: Seen::default(),
            duplicates: 0,
        };
        let mut session = if known.is_some() { self.table[place].unwrap_or(fresh) } else { fresh };
        session.owner = owner;
        session.settled = session.sent;
        session.used = self.uses;
        self.table[place] = Some(session);
        session.report()
    }

    /// The next heartbeat of the session.
    pub(crate) fn send(&mut self, number: u32, owner: u32) -> Sending {
        let Some(session) = self.owned(number, owner) else {
            return Sending::Over;
        };
        // `settled` is never above `sent`.
        if session.sent - session.settled >= MOST_UNACKNOWLEDGED {
            return Sending::Waits;
        }
        let Some(next) = session.sent.checked_add(1) else {
            return Sending::Over;
        };
        session.sent = next;
        Sending::Number(next)
    }

    /// Notes an acknowledgement from the host.
    pub(crate) fn acked(&mut self, number: u32, owner: u32, sequence: u32) {
        if let Some(session) = self.owned(number, owner)
            && sequence <= session.sent
        {
            session.acked.note(sequence);
            session.settled = session.settled.max(sequence);
        }
    }

    /// Notes a heartbeat from the host.
    pub(crate) fn received(&mut self, number: u32, owner: u32, sequence: u32) {
        if let Some(session) = self.owned(number, owner)
            && !session.received.note(sequence)
        {
            session.duplicates = session.duplicates.saturating_add(1);
        }
    }

    pub(crate) fn report(&mut self, number: u32, owner: u32) -> Option<Report> {
        self.owned(number, owner).map(|session| session.report())
    }

    fn owned(&mut self, number: u32, owner: u32) -> Option<&mut Session> {
        let mut sessions = self.table.iter_mut().flatten();
        sessions.find(|session| session.number == number && session.owner == owner)
    }
}

impl Session {
    const fn report(&self) -> Report {
        Report {
            session: self.number,
            sent: self.sent,
            acked: self.acked.count,
            received: self.received.count,
            duplicates: self.duplicates,
            highest_received: self.received.highest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_survives_its_connection() {
        let mut sessions = Sessions::new();
        sessions.subscribe(7, 1);
        assert_eq!(sessions.send(7, 1), Sending::Number(1));
        sessions.received(7, 1, 1);
        let report = sessions.subscribe(7, 2);
        assert_eq!((report.sent, report.acked, report.received), (1, 0, 1));
        assert_eq!(sessions.send(7, 1), Sending::Over, "the old connection has lost it");
        assert_eq!(sessions.send(7, 2), Sending::Number(2));
    }

    #[test]
    fn numbers_count_once_however_often_and_in_whatever_order_they_come() {
        let mut sessions = Sessions::new();
        sessions.subscribe(1, 1);
        for number in [1, 3, 2, 3, 1, 4] {
            sessions.received(1, 1, number);
        }
        let report = sessions.report(1, 1).unwrap();
        assert_eq!((report.received, report.duplicates, report.highest_received), (4, 2, 4));
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_counts_for_nothing() {
        let mut sessions = Sessions::new();
        sessions.subscribe(1, 1);
        sessions.send(1, 1);
        sessions.acked(1, 1, 1);
        sessions.acked(1, 1, 1);
        sessions.acked(1, 1, 9);
        assert_eq!(sessions.report(1, 1).unwrap().acked, 1);
    }

    /// How many heartbeats go out now.
    fn send_all(sessions: &mut Sessions) -> usize {
        let sends = core::iter::repeat_with(|| sessions.send(1, 1)).take(100);
        sends.take_while(|sending| *sending != Sending::Waits).count()
    }

    #[test]
    fn what_nobody_acknowledges_goes_out_up_to_the_bound_and_each_acknowledgement_makes_room() {
        let mut sessions = Sessions::new();
        sessions.subscribe(1, 1);
        assert_eq!(send_all(&mut sessions), MOST_UNACKNOWLEDGED as usize);
        sessions.acked(1, 1, 1);
        assert_eq!(send_all(&mut sessions), 1);
        // Of an Ack that did not come, the next one tells as well, and it may still come.
        sessions.acked(1, 1, 4);
        sessions.acked(1, 1, 3);
        assert_eq!(send_all(&mut sessions), 3);
        assert_eq!(sessions.report(1, 1).unwrap().acked, 3);
        for never_or_long_ago in [0, 1, 1_000] {
            sessions.acked(1, 1, never_or_long_ago);
        }
        assert_eq!(send_all(&mut sessions), 0);
        let report = sessions.report(1, 1).unwrap();
        assert_eq!((report.sent, report.acked), (MOST_UNACKNOWLEDGED + 4, 3));
    }

    #[test]
    fn a_new_subscription_waits_for_nothing_of_the_old_one() {
        let mut sessions = Sessions::new();
        sessions.subscribe(1, 1);
        send_all(&mut sessions);
        assert_eq!(sessions.subscribe(1, 1).sent, MOST_UNACKNOWLEDGED);
        assert_eq!(send_all(&mut sessions), MOST_UNACKNOWLEDGED as usize);
    }

    #[test]
    fn the_session_unused_for_longest_makes_room() {
        let mut sessions = Sessions::new();
        for number in 0..9 {
            sessions.subscribe(number, number);
        }
        assert_eq!(sessions.report(0, 0), None);
        assert!(sessions.report(1, 1).is_some());
    }
}
