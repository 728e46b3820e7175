//! When nothing came from the device: what tells a link that was away from a probe that lost its answer.

use super::summary::{Absence, QuietSpell};

/// Shorter pauses are told by nobody: probes are further apart.
const LEAST: i64 = 500_000_000;

/// A device that answers nothing for so long is away, or its link is: a lost segment comes again sooner.
const AWAY: i64 = 1_000_000_000;

/// Segments that are closer together meet the same burst of losses, and tell no more than one.
const MOMENT: i64 = 50_000_000;

/// Spells kept at most.
const MOST: usize = 1_024;

/// How often something happened, where what is within [`MOMENT`] counts once.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    last: i64,
    count: u32,
}

impl Moments {
    fn add(&mut self, at: i64) {
        if self.count == 0 || at.saturating_sub(self.last) >= MOMENT {
            *self = Self { last: at, count: self.count.saturating_add(1) };
        }
    }
}

/// What a segment of the host's asks of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asks {
    /// A connection: its program may be what does not answer.
    Connection,
    /// An acknowledgement, which the stack sends without its program.
    Acknowledgement,
}

/// Pauses between the segments from the device.
#[derive(Clone, Debug, Default)]
pub(super) struct Quiet {
    spells: Vec<QuietSpell>,
    last: Option<i64>,
    /// The host's first segment since then that wants an answer.
    asked: Option<i64>,
    /// The moments at which it asked, and those at which the device's stack had an acknowledgement to send.
    wanted: Moments,
    owed: Moments,
    /// The last time in which what the host sent went unanswered for so long, by anything at all.
    absence: Option<QuietSpell>,
    /// That of such times whose consequences last longest: a short one soon after a long one doesn't end them.
    longest: Option<QuietSpell>,
    /// Those of [`AWAY`] and more, the last of them.
    absences: Vec<Absence>,
}

/// Until when what was sent in such a time comes again: a repetition takes as long as the time was (RFC 6298, 5.5).
const fn reach(spell: &QuietSpell) -> i64 {
    spell.to_ns.saturating_add(spell.to_ns.saturating_sub(spell.from_ns))
}

impl Quiet {
    /// A segment came from the device at `at`, nanoseconds since the Unix epoch.
    pub(super) fn heard(&mut self, at: i64) {
        let from_ns = self.last.unwrap_or(i64::MIN);
        self.last = Some(at);
        if let Some(asked) = self.asked.take().filter(|asked| at.saturating_sub(*asked) >= LEAST) {
            let absence = QuietSpell { from_ns: asked, to_ns: at };
            self.absence = Some(absence);
            self.longest = self.longest.filter(|before| reach(before) > reach(&absence)).or(Some(absence));
            if at.saturating_sub(asked) >= AWAY {
                if self.absences.len() == MOST {
                    self.absences.drain(..MOST / 2);
                }
                let (asked_at, owed) = (self.wanted.count, self.owed.count);
                self.absences.push(Absence { from_ns: asked, to_ns: at, asked: asked_at, owed });
            }
        }
        if at.saturating_sub(from_ns) < LEAST {
            return;
        }
        if self.spells.len() == MOST {
            self.forget();
        }
        self.spells.push(QuietSpell { from_ns, to_ns: at });
    }

    /// What ends the pause at hand waited until `at` for what it answers: a program that serves one after the other could do
    /// nothing before.
    pub(super) fn had_nothing_before(&mut self, at: i64) {
        self.last = self.last.max(Some(at));
    }

    /// The host sent something that wants an answer at `at`, nanoseconds since the Unix epoch.
    pub(super) fn asked(&mut self, at: i64, asks: Asks) {
        if self.asked.is_none() {
            self.asked = Some(at);
            (self.wanted, self.owed) = Default::default();
        }
        self.wanted.add(at);
        if asks == Asks::Acknowledgement {
            self.owed.add(at);
        }
    }

    /// The time in which the device answered nothing, half a second or more, that was over at `at` or just before, where a
    /// connection opened at `opened` is older. What the end of such a time brings about takes as long as a repetition
    /// that was sent in it (RFC 6298, 5.5: twice the distance of the one before).
    pub(super) fn just_ended(&self, at: i64, opened: i64) -> Option<QuietSpell> {
        self.absence.into_iter().chain(self.longest).find(|spell| {
            let length = spell.to_ns.saturating_sub(spell.from_ns);
            opened <= spell.from_ns && at.saturating_sub(spell.to_ns) <= length.saturating_mul(2)
        })
    }

    /// Whether it was away, as above, after `then`.
    pub(super) fn was_away_since(&self, then: i64) -> bool {
        self.absence.is_some_and(|spell| spell.to_ns > then)
    }

    /// Whether what comes at `at` was under way while nothing was answered for so long that the device, or its link, was
    /// away: it says nothing of single losses.
    pub(super) fn was_away(&self, at: i64) -> bool {
        self.longest.is_some_and(|spell| at <= reach(&spell))
    }

    /// The times in which the device answered nothing for a second or more.
    pub(super) fn absences(&self) -> Vec<Absence> {
        self.absences.clone()
    }

    /// Makes the older half one spell: nothing is claimed to have been heard in it.
    fn forget(&mut self) {
        let older = ..MOST / 2;
        let (from_ns, to_ns) = (self.spells[0].from_ns, self.spells[MOST / 2 - 1].to_ns);
        self.spells.drain(older);
        self.spells.insert(0, QuietSpell { from_ns, to_ns });
    }

    /// All of them, the time before the first segment and after the last one included.
    pub(super) fn finish(mut self) -> Vec<QuietSpell> {
        self.spells.push(QuietSpell { from_ns: self.last.unwrap_or(i64::MIN), to_ns: i64::MAX });
        self.spells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn heard(at: impl IntoIterator<Item = i64>) -> Vec<(i64, i64)> {
        let mut quiet = Quiet::default();
        at.into_iter().for_each(|at| quiet.heard(at));
        quiet.finish().iter().map(|s| (s.from_ns, s.to_ns)).collect()
    }

    #[test]
    fn a_pause_of_half_a_second_is_a_spell_and_a_shorter_one_is_none() {
        let spells = heard([S, S + LEAST - 1, 3 * S, 3 * S + LEAST]);
        let between = [(S + LEAST - 1, 3 * S), (3 * S, 3 * S + LEAST)];
        assert_eq!(spells, [(i64::MIN, S), between[0], between[1], (3 * S + LEAST, i64::MAX)]);
    }

    #[test]
    fn a_device_that_was_never_heard_was_quiet_all_the_time() {
        assert_eq!(heard([]), [(i64::MIN, i64::MAX)]);
    }

    #[test]
    fn spells_that_are_forgotten_leave_no_time_in_which_the_device_would_have_been_heard() {
        let spells = heard((0..5_000).map(|n| n * S));
        assert!(spells.len() <= MOST + 1, "{}", spells.len());
        assert!(
            spells.windows(2).all(|pair| pair[0].1 == pair[1].0),
            "no gap between spells that follow each other"
        );
        assert_eq!((spells[0].0, spells.last().unwrap().1), (i64::MIN, i64::MAX));
    }

    #[test]
    fn of_absences_that_became_many_the_last_are_kept() {
        let mut quiet = Quiet::default();
        let many = 2 * MOST as i64;
        for n in 0..many {
            quiet.asked(2 * n * S, Asks::Connection);
            quiet.heard((2 * n + 1) * S);
        }
        let kept = quiet.absences();
        assert!((MOST / 2..=MOST).contains(&kept.len()), "{}", kept.len());
        let expected = (many - kept.len() as i64..many).map(|n| 2 * n * S);
        assert!(kept.iter().map(|a| a.from_ns).eq(expected), "none is missing between them");
    }

    /// Asked at 10 s, and heard again after `away`.
    fn away(away: i64) -> Quiet {
        let mut quiet = Quiet::default();
        quiet.heard(9 * S);
        quiet.asked(10 * S, Asks::Connection);
        quiet.heard(10 * S + away);
        quiet
    }

    #[test]
    fn an_absence_has_the_moments_at_which_the_host_asked() {
        let mut quiet = Quiet::default();
        for at in [0, 1_000_000, 200_000_000, 400_000_000, 420_000_000, 1_400_000_000] {
            quiet.asked(at, if at == 0 { Asks::Connection } else { Asks::Acknowledgement });
        }
        quiet.heard(2 * S);
        quiet.asked(3 * S, Asks::Connection);
        quiet.heard(5 * S);
        let absences = [
            Absence { from_ns: 0, to_ns: 2 * S, asked: 4, owed: 4 },
            Absence { from_ns: 3 * S, to_ns: 5 * S, asked: 1, owed: 0 },
        ];
        assert_eq!(quiet.absences(), absences);
    }

    #[test]
    fn an_absence_explains_what_comes_within_twice_its_length_on_connections_that_are_older() {
        let quiet = away(2 * S);
        let absence = Some(QuietSpell { from_ns: 10 * S, to_ns: 12 * S });
        assert_eq!(quiet.just_ended(16 * S, 10 * S), absence);
        assert_eq!(quiet.just_ended(16 * S + 1, 10 * S), None);
        assert_eq!(quiet.just_ended(13 * S, 10 * S + 1), None);
        assert_eq!((quiet.was_away(14 * S), quiet.was_away(14 * S + 1)), (true, false));
    }

    #[test]
    fn a_short_absence_soon_after_a_long_one_does_not_end_what_that_explains() {
        let mut quiet = away(10 * S);
        let long = Some(QuietSpell { from_ns: 10 * S, to_ns: 20 * S });
        quiet.asked(21 * S, Asks::Connection);
        quiet.heard(22 * S);
        let short = Some(QuietSpell { from_ns: 21 * S, to_ns: 22 * S });
        assert_eq!((quiet.just_ended(24 * S, 9 * S), quiet.just_ended(25 * S, 9 * S)), (short, long));
        assert_eq!((quiet.just_ended(24 * S, 15 * S), quiet.just_ended(25 * S, 15 * S)), (short, None));
        assert_eq!((quiet.was_away(30 * S), quiet.was_away(30 * S + 1)), (true, false));
        assert!(quiet.was_away_since(21 * S));
    }

    #[test]
    fn half_a_second_without_an_answer_is_an_absence_and_a_second_is_listed() {
        assert_eq!(away(LEAST - 1).just_ended(11 * S, 0), None);
        assert!(away(LEAST).just_ended(11 * S, 0).is_some());
        assert_eq!(away(AWAY - 1).absences(), []);
        assert_eq!(away(AWAY).absences(), [Absence { from_ns: 10 * S, to_ns: 11 * S, asked: 1, owed: 0 }]);
    }
}
