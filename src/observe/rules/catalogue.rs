//! The catalogue as people read it.

use espstress_event::AnomalyId;

/// How long, after the last packet that matters, a rule has to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing more: one packet tells.
    Packet,
    /// This long, nanoseconds.
    Watch(i64),
    /// Until the connection has ended or the watch is over.
    End,
}

/// One anomaly, explained.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueEntry {
    /// Its name.
    pub id: AnomalyId,
    /// What it is, one line. T is the device, C the host.
    pub definition: &'static str,
    /// What healthy traffic looks like it, and is told apart.
    pub looks_like: &'static str,
    /// What it takes to tell.
    pub needs: Needs,
}

const SECOND: i64 = 1_000_000_000;

/// Every anomaly, in the order of reports.
#[must_use]
pub const fn catalogue() -> &'static [CatalogueEntry] {
    &CATALOGUE
}

const fn entry(
    id: AnomalyId,
    definition: &'static str,
    looks_like: &'static str,
    needs: Needs,
) -> CatalogueEntry {
    CatalogueEntry { id, definition, looks_like, needs }
}

const CATALOGUE: [CatalogueEntry; 22] = [
    entry(
        AnomalyId::SynRefused,
        "T answers C's SYN with a RST",
        "a RST for an earlier connection on the same ports",
        Needs::Packet,
    ),
    entry(
        AnomalyId::SynUnanswered,
        "C's SYN has no answer by the deadline",
        "a SYN answered on its repetition; as many as the path's losses explain; while T holds three connections or more whose RST the path lost",
        Needs::Watch(5 * SECOND),
    ),
    entry(
        AnomalyId::TimewaitCollision,
        "C's SYN on ports used before is answered by an ACK of the old connection: T holds it in TIME-WAIT",
        "an old ACK on its way; suspected only, where the old connection was not seen to end with T's FIN first",
        Needs::Packet,
    ),
    entry(
        AnomalyId::DialCollision,
        "T dials C from the ports of a connection that C still holds, and repeats its SYN instead of resetting that: T has restarted, or forgot it",
        "T answers C's ACK of the old connection with a RST and then gets through",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstAfterHandshake,
        "T resets a connection on which it had sent neither payload nor FIN",
        "T gives up on a silent C after keep-alive probes",
        Needs::Packet,
    ),
    entry(
        AnomalyId::ClosedUnserved,
        "T sends its FIN before any payload, C not having sent one",
        "T's FIN in answer to C's; T's FIN on a connection that it dialled itself",
        Needs::Packet,
    ),
    entry(
        AnomalyId::AbortiveClose,
        "T sent payload, then a RST and never a FIN: it closed with received data unread",
        "T gives up on a silent C after keep-alive probes; an answer to C's own RST",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstAfterFin,
        "T sent its FIN, then a RST before the connection was closed both ways",
        "C's next request crosses T's close of an idle connection; an answer to a FIN that C sent again",
        Needs::Packet,
    ),
    entry(
        AnomalyId::LateRst,
        "T sends a RST after both FINs were acknowledged",
        "an answer to a duplicate of a segment that C had sent before, or to the ACK of a FIN that came twice",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstStorm,
        "T sends three RSTs or more on one connection",
        "one RST copied by the path; one for each copy of a SYN that is refused",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstBadSeq,
        "T's RST is neither at C's last acknowledgement nor at the end of what T has sent: C cannot accept it",
        "a RST behind segments that the path has lost",
        Needs::Packet,
    ),
    entry(
        AnomalyId::FinRetransmission,
        "T sends the same FIN again",
        "C's acknowledgement was lost: one repetition for each back-off is the path's; the acknowledgement of C's FIN after both closed at once",
        Needs::Packet,
    ),
    entry(
        AnomalyId::FinDuel,
        "after both FINs, T sends three or more further segments that say nothing new and that C has to answer",
        "C's last ACK was lost: T's FIN again after each back-off",
        Needs::Packet,
    ),
    entry(
        AnomalyId::DataAfterFin,
        "T sends payload beyond its own FIN",
        "payload below the FIN sent again",
        Needs::Packet,
    ),
    entry(
        AnomalyId::ChallengeAck,
        "T answers C's SYN or inexact RST with a bare ACK: it holds the connection to be alive",
        "an ACK that crossed C's RST",
        Needs::Packet,
    ),
    entry(
        AnomalyId::NoAckToData,
        "C sent the same payload three times again or more, and T never acknowledged it",
        "keep-alive and window probes; payload acknowledged at last; one or two where the path loses segments",
        Needs::End,
    ),
    entry(
        AnomalyId::ZeroWindowStall,
        "T advertises a window of 0 for more than a second",
        "the window of a RST; a window that shuts for a moment; one or two where the path loses segments",
        Needs::Watch(SECOND),
    ),
    entry(
        AnomalyId::HalfClosedLinger,
        "T acknowledged C's FIN, then sends neither FIN nor RST nor payload for 5 s",
        "a download that goes on after C's half-close; one or two where the path loses segments",
        Needs::Watch(5 * SECOND),
    ),
    entry(
        AnomalyId::Retransmission,
        "payload is sent again, either way; T's doing when it comes sooner than a round trip after a copy that C acknowledged",
        "keep-alive and window probes, SYN, FIN; a copy that the path made",
        Needs::Packet,
    ),
    entry(
        AnomalyId::DuplicateAck,
        "the same acknowledgement again while data is outstanding, either way",
        "answers to probes; updates of the window",
        Needs::Packet,
    ),
    entry(
        AnomalyId::OutOfOrder,
        "a segment comes just after one that it was sent before, either way",
        "a retransmission, which comes later",
        Needs::Packet,
    ),
    entry(
        AnomalyId::PostRunChatter,
        "T sends segments on a connection later than max(1 s, 4 round trips) after its end",
        "the ACK that answers C; connections that C vanished from",
        Needs::Watch(SECOND),
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_anomaly_is_explained_in_the_order_of_reports() {
        let ids: Vec<_> = catalogue().iter().map(|e| e.id).collect();
        assert_eq!(ids, AnomalyId::ALL);
    }
}
