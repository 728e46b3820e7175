//! How the device ended connections, and which it did not end: what the findings tell programs and stacks apart by.

use espstress_event::{AnomalyId, Answered, Occurrence, RequestFate};

const SECOND: i64 = 1_000_000_000;

/// What the device's RSTs of class device answered: the findings tell an application that closes too
/// early from a stack that gave up waiting by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetCauses {
    /// RSTs (`abortive_close`, `rst_after_fin`) that came while or after the host sent payload.
    pub answering_payload: u64,
    /// `rst_after_fin` that answered the host's FIN or ACK a second or more after the device's own FIN.
    pub answering_late_close: u64,
    /// First RSTs of connections older than a time in which the device answered nothing, just after it: whatever that
    /// was, they are its consequence.
    pub after_absence: u64,
    /// Of those, the ones that a stack sends that started anew and has forgotten the connection.
    pub forgotten: u64,
    /// RSTs (`abortive_close`, `rst_after_fin`) on connections whose request had gone unanswered for a second or more.
    pub unanswered: u64,
    /// `abortive_close` on connections whose last request was not answered, sooner than that.
    pub instead_of_answer: u64,
}

impl ResetCauses {
    /// Counts a RST of the device's that nothing excuses; other occurrences are none.
    pub(super) fn count(&mut self, o: &Occurrence) {
        let is_reset =
            matches!(o.id, AnomalyId::AbortiveClose | AnomalyId::RstAfterFin | AnomalyId::RstAfterHandshake);
        if is_reset && o.after_absence {
            self.after_absence += 1;
            // A connection that the device had closed before is none that it forgot.
            self.forgotten += u64::from(o.forgotten && o.id != AnomalyId::RstAfterFin);
            return;
        }
        if is_reset && o.unanswered_ns.is_some_and(|ns| ns >= SECOND) {
            self.unanswered += u64::from(o.id != AnomalyId::RstAfterHandshake);
            return;
        }
        self.instead_of_answer += u64::from(o.id == AnomalyId::AbortiveClose && o.unanswered_ns.is_some());
        match (o.id, o.answers) {
            (AnomalyId::AbortiveClose | AnomalyId::RstAfterFin, Some(Answered::Payload)) => {
                self.answering_payload += 1;
            }
            (AnomalyId::RstAfterFin, Some(Answered::Fin | Answered::Ack))
                if o.after_fin_ns.is_some_and(|ns| ns >= SECOND) =>
            {
                self.answering_late_close += 1;
            }
            _ => {}
        }
    }
}

/// Connections of a workload on which the device acknowledged the host's FIN and sent nothing more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lingers {
    /// Everything that was asked had been answered: the program keeps the socket.
    pub answered: u64,
    /// The last request had not been answered: the program may not have come to it.
    pub unanswered: u64,
}

/// Connections of a workload that the device ended before any byte of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unserved {
    /// By a RST.
    pub reset: CutRequests,
    /// By a FIN.
    pub closed: CutRequests,
}

/// How far the requests of such connections had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutRequests {
    /// The host had sent no request.
    pub not_sent: u64,
    /// The device had not acknowledged it.
    pub unacknowledged: u64,
    /// The device had acknowledged it.
    pub acknowledged: u64,
    /// The shortest time from that to the end, nanoseconds; `None` where none was acknowledged.
    pub least_ns: Option<u64>,
    /// The longest.
    pub most_ns: Option<u64>,
    /// Other connections that were open by then, summed over all of them; `None` where that is not known.
    pub others: Option<u64>,
}

impl CutRequests {
    /// One more, while so many others were open.
    pub(super) fn count(&mut self, fate: RequestFate, others: u32) {
        self.others = Some(self.others.unwrap_or(0).saturating_add(others.into()));
        match fate {
            RequestFate::NotSent => self.not_sent += 1,
            RequestFate::Unacknowledged => self.unacknowledged += 1,
            RequestFate::Acknowledged(after) => {
                let after = u64::try_from(after).unwrap_or(0);
                self.acknowledged += 1;
                self.least_ns = Some(self.least_ns.map_or(after, |least| least.min(after)));
                self.most_ns = Some(self.most_ns.map_or(after, |most| most.max(after)));
            }
        }
    }
}
