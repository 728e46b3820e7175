//! What the broker does wrong at the moment, and what follows from it for one connection. Pure.

use std::time::Duration;

use espstress_event::MqttFault;

/// What goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phase {
    /// The fault that lasts.
    pub(super) fault: Option<MqttFault>,
    /// It is the link that is silent, and the broker serves whatever comes.
    pub(super) cut: bool,
    /// The device's stack may repeat itself so late after the fault before this one: from then on its silence counts.
    pub(super) patience: Duration,
    /// How many phases there have been: a connection is of the one in which it was accepted.
    pub(super) number: u64,
    /// The run is over.
    pub(super) over: bool,
}

/// What a connection has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Read and answer.
    Serve,
    /// Neither read nor write until this changes.
    Hold,
    /// End by a FIN.
    Close,
    /// End by a RST.
    Reset,
    /// End as a session that another client has taken over.
    TakenOver,
}

impl Phase {
    /// What a connection does that was accepted in phase `accepted`.
    pub(super) fn task(self, accepted: u64) -> Task {
        use MqttFault as F;
        if self.over {
            return Task::Close;
        }
        let old = accepted < self.number;
        match self.fault {
            Some(F::Silent | F::Frozen) if !self.cut => Task::Hold,
            Some(F::Close | F::SessionLost | F::SessionKept | F::NoConnack | F::Refuse) if old => Task::Close,
            Some(F::Reset) if old => Task::Reset,
            Some(F::Takeover) if old => Task::TakenOver,
            _ => Task::Serve,
        }
    }

    /// Whether nobody is listening.
    pub(super) fn refuses(self) -> bool {
        use MqttFault as F;
        matches!(self.fault, Some(F::Close | F::Reset | F::SessionLost | F::SessionKept))
    }

    /// Whether connections stay in the backlog.
    pub(super) fn holds(self) -> bool {
        self.fault.is_some_and(MqttFault::is_mute) && !self.cut
    }

    pub(super) fn is(self, fault: MqttFault) -> bool {
        self.fault == Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_ends_connections_ends_those_of_before_and_serves_later_ones() {
        for fault in [MqttFault::Refuse, MqttFault::NoConnack, MqttFault::Takeover] {
            let phase = Phase { fault: Some(fault), number: 4, ..Phase::default() };
            assert_ne!(phase.task(3), Task::Serve, "{fault:?}");
            assert_eq!(phase.task(4), Task::Serve, "{fault:?}");
        }
    }

    #[test]
    fn a_mute_broker_holds_every_connection_until_it_is_over() {
        for fault in [MqttFault::Silent, MqttFault::Frozen] {
            let phase = Phase { fault: Some(fault), number: 4, ..Phase::default() };
            assert_eq!((phase.task(3), phase.task(4)), (Task::Hold, Task::Hold));
            let cut = Phase { cut: true, ..phase };
            assert_eq!((cut.task(3), cut.holds()), (Task::Serve, false));
            assert_eq!(Phase { fault: None, number: 5, ..Phase::default() }.task(3), Task::Serve);
        }
    }
}
