//! The fault `big`: one message after the other, each larger, until the device does not take one. Pure.
//!
//! That the device is there and did not take it, a small message after it shows. An end of the connection may have another
//! cause: the same size is tried twice.

use std::collections::VecDeque;

use espstress_event::{MqttBig, MqttBigEnd};

/// Ends of the connection at one size that are no chance.
const ENDS: u32 = 2;

/// Which message it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One of a packet of so many bytes.
    Size(u32),
    /// A small one after one that was not acknowledged.
    Check,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The next size may be sent.
    Ready,
    /// This size is under way.
    Waits(u32),
    /// It was not acknowledged in time: a small message is to be sent.
    Doubts(u32),
    /// That is under way.
    Checks(u32),
    /// That was not acknowledged either: whether the device is there, its next packet shows.
    Listens(u32),
    Over,
}

/// How the connection of a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The device ended it.
    ByDevice,
    /// The device sent nothing for one and a half keep-alives, and the host ended it.
    Silent,
    /// The host ended it for another reason.
    ByHost,
}

/// How far it has come.
#[derive(Debug)]
pub(super) struct Big {
    sizes: VecDeque<u32>,
    state: State,
    ends: u32,
    result: MqttBig,
    not_judged: Option<String>,
}

impl Big {
    /// Sizes in their order; those above `most` are not sent.
    pub(super) fn new(sizes: impl Iterator<Item = u32>, most: u32) -> Self {
        let (sizes, beyond): (Vec<u32>, Vec<u32>) = sizes.partition(|size| *size <= most);
        let sizes = VecDeque::from(sizes);
        let state = if sizes.is_empty() { State::Over } else { State::Ready };
        let beyond_its_maximum = u32::try_from(beyond.len()).unwrap_or(u32::MAX);
        let result = MqttBig { beyond_its_maximum, ..MqttBig::default() };
        Self { sizes, state, ends: 0, result, not_judged: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// What came of it, and why nothing did.
    pub(super) fn result(self) -> (MqttBig, Option<String>) {
        let late = || "it was over before the device had answered".to_owned();
        let why = if self.state == State::Over { self.not_judged } else { Some(late()) };
        (self.result, why)
    }

    /// The next message to be sent, if one is to be.
    pub(super) fn next(&mut self) -> Option<Role> {
        match self.state {
            State::Ready => {
                let size = self.sizes.front().copied()?;
                self.state = State::Waits(size);
                Some(Role::Size(size))
            }
            State::Doubts(size) => {
                self.state = State::Checks(size);
                Some(Role::Check)
            }
            _ => None,
        }
    }

    /// The same where there is room for a message.
    pub(super) fn next_if(&mut self, room: bool) -> Option<Role> {
        if room { self.next() } else { None }
    }

    /// The device has acknowledged it.
    pub(super) fn answered(&mut self, role: Role) {
        match (role, self.state) {
            (_, State::Over) => {}
            (Role::Size(size), _) => {
                self.result.acknowledged_bytes = self.result.acknowledged_bytes.max(Some(size));
                self.sizes.retain(|other| *other > size);
                self.ends = 0;
                self.state = if self.sizes.is_empty() { State::Over } else { State::Ready };
            }
            (Role::Check, State::Checks(size) | State::Listens(size)) => {
                self.failed(size, MqttBigEnd::Dropped)
            }
            (Role::Check, _) => {}
        }
    }

    /// The device has not acknowledged what is under way, and its stack has it.
    pub(super) fn unanswered(&mut self) {
        self.state = match self.state {
            State::Waits(size) => State::Doubts(size),
            State::Checks(size) => State::Listens(size),
            other => other,
        };
    }

    /// The device has sent something.
    pub(super) fn heard(&mut self) {
        if let State::Listens(size) = self.state {
            self.failed(size, MqttBigEnd::Mute);
        }
    }

    /// The connection is over.
    pub(super) fn gone(&mut self, how: Gone) {
        let (State::Waits(size) | State::Doubts(size) | State::Checks(size) | State::Listens(size)) =
            self.state
        else {
            return;
        };
        match how {
            Gone::ByDevice => {}
            Gone::Silent => return self.failed(size, MqttBigEnd::Hung),
            Gone::ByHost => {
                self.not_judged = Some(format!("the host ended the connection at a size of {size}"));
                self.state = State::Over;
                return;
            }
        }
        self.ends += 1;
        if self.ends >= ENDS {
            self.failed(size, MqttBigEnd::Disconnected)
        } else {
            self.state = State::Ready
        }
    }

    /// The session goes on, and what was under way is sent again.
    pub(super) fn resumes(&mut self, role: Role) {
        if let (Role::Size(size), State::Ready) = (role, self.state) {
            self.state = State::Waits(size);
        }
    }

    fn failed(&mut self, size: u32, by: MqttBigEnd) {
        self.result.failed_bytes = Some(size);
        self.result.failed_by = Some(by);
        self.state = State::Over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn big() -> Big {
        Big::new([128, 256, 512].into_iter(), u32::MAX)
    }

    fn said(big: Big) -> (Option<u32>, Option<u32>, Option<MqttBigEnd>) {
        let (result, why) = big.result();
        assert_eq!(why, None);
        (result.acknowledged_bytes, result.failed_bytes, result.failed_by)
    }

    #[test]
    fn all_sizes_that_are_acknowledged_are_taken() {
        let mut big = big();
        for size in [128, 256, 512] {
            assert_eq!((big.next(), big.next()), (Some(Role::Size(size)), None));
            big.answered(Role::Size(size));
        }
        assert!(big.is_over());
        assert_eq!(said(big), (Some(512), None, None));
    }

    #[test]
    fn a_size_is_dropped_where_a_small_message_after_it_is_acknowledged() {
        let mut big = big();
        big.next();
        big.answered(Role::Size(128));
        big.next();
        big.heard();
        big.unanswered();
        assert_eq!(big.next(), Some(Role::Check));
        big.answered(Role::Check);
        assert_eq!(said(big), (Some(128), Some(256), Some(MqttBigEnd::Dropped)));
    }

    #[test]
    fn a_late_acknowledgement_is_one() {
        let mut big = big();
        big.next();
        big.unanswered();
        big.next();
        big.answered(Role::Size(128));
        assert_eq!(big.next(), Some(Role::Size(256)));
    }

    #[test]
    fn a_device_that_acknowledges_nothing_more_is_mute_once_it_has_sent_something_else() {
        let mut big = big();
        big.next();
        big.unanswered();
        big.next();
        big.unanswered();
        assert!(!big.is_over());
        big.heard();
        assert_eq!(said(big), (None, Some(128), Some(MqttBigEnd::Mute)));
    }

    #[test]
    fn one_end_of_the_connection_is_chance_and_two_are_none() {
        let mut big = big();
        big.next();
        big.gone(Gone::ByDevice);
        assert_eq!(big.next(), Some(Role::Size(128)));
        big.answered(Role::Size(128));
        for _ in 0..2 {
            assert_eq!(big.next(), Some(Role::Size(256)));
            big.gone(Gone::ByDevice);
        }
        assert_eq!(said(big), (Some(128), Some(256), Some(MqttBigEnd::Disconnected)));
    }

    #[test]
    fn what_the_host_ended_or_the_run_cut_off_is_not_judged() {
        let mut cut = big();
        cut.next();
        assert!(cut.result().1.is_some());
        let mut unread = big();
        unread.next();
        unread.gone(Gone::ByHost);
        assert!(unread.is_over() && unread.result().1.is_some());
    }

    #[test]
    fn a_device_that_sends_nothing_more_after_a_size_hangs_on_it() {
        let mut big = big();
        big.next();
        big.answered(Role::Size(128));
        big.next();
        big.gone(Gone::Silent);
        assert_eq!(said(big), (Some(128), Some(256), Some(MqttBigEnd::Hung)));
    }

    #[test]
    fn sizes_above_what_the_device_says_it_takes_are_not_sent() {
        let mut big = Big::new([128, 256].into_iter(), 200);
        big.next();
        big.answered(Role::Size(128));
        let (result, _) = big.result();
        assert_eq!((result.beyond_its_maximum, result.failed_bytes), (1, None));
    }
}
