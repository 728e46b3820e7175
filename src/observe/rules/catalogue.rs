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
    /// What it is, in one line.
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

const fn entry(id: AnomalyId, looks_like: &'static str, needs: Needs) -> CatalogueEntry {
    CatalogueEntry { id, definition: id.definition(), looks_like, needs }
}

const CATALOGUE: [CatalogueEntry; 22] = [
    entry(AnomalyId::SynRefused, "a RST for an earlier connection on the same ports", Needs::Packet),
    entry(
        AnomalyId::SynUnanswered,
        "a SYN answered after a retransmission; as many as packet loss explains; while the device still holds \
         three or more connections whose RST was lost",
        Needs::Watch(5 * SECOND),
    ),
    entry(
        AnomalyId::TimewaitCollision,
        "a delayed old ACK; only suspected if the old connection wasn't seen to end with the device's FIN first",
        Needs::Packet,
    ),
    entry(
        AnomalyId::DialCollision,
        "the device answers the client's ACK of the old connection with a RST, then connects",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstAfterHandshake,
        "the device gives up on a silent client after keep-alive probes; a reply to what followed a copy of an old SYN",
        Needs::Packet,
    ),
    entry(
        AnomalyId::ClosedUnserved,
        "a FIN in reply to the client's; a FIN on a connection that the device opened",
        Needs::Packet,
    ),
    entry(
        AnomalyId::AbortiveClose,
        "the device gives up on a silent client after keep-alive probes; a reply to the client's RST; pipelined \
         requests behind a response that announced the close",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstAfterFin,
        "the client's next request crosses the device's close of an idle connection; a reply to a \
         retransmitted FIN; pipelined requests behind a response that announced the close",
        Needs::Packet,
    ),
    entry(
        AnomalyId::LateRst,
        "a reply to a duplicate or delayed segment, or to the ACK of a FIN that arrived twice",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstStorm,
        "one RST that the path duplicated; replies to duplicate or delayed segments; one for each copy of a refused SYN",
        Needs::Packet,
    ),
    entry(AnomalyId::RstBadSeq, "a RST after segments that the path lost", Needs::Packet),
    entry(
        AnomalyId::FinRetransmission,
        "the client's ACK was late or lost: one retransmission per back-off; the ACK of the client's FIN after both \
         closed at the same time",
        Needs::Packet,
    ),
    entry(
        AnomalyId::FinDuel,
        "the client's last ACK was lost: the same FIN after each back-off",
        Needs::Packet,
    ),
    entry(AnomalyId::DataAfterFin, "a retransmission of payload from before the FIN", Needs::Packet),
    entry(AnomalyId::ChallengeAck, "an ACK that crossed the client's RST", Needs::Packet),
    entry(
        AnomalyId::NoAckToData,
        "keep-alive and window probes; payload acknowledged late; one or two on a lossy path",
        Needs::End,
    ),
    entry(
        AnomalyId::ZeroWindowStall,
        "the window of a RST; a window that is zero for a moment; one or two on a lossy path",
        Needs::Watch(SECOND),
    ),
    entry(
        AnomalyId::HalfClosedLinger,
        "a download that continues after the client's half-close; one or two on a lossy path",
        Needs::Watch(5 * SECOND),
    ),
    entry(
        AnomalyId::Retransmission,
        "keep-alive and window probes, SYN, FIN; a copy that the path made",
        Needs::Packet,
    ),
    entry(AnomalyId::DuplicateAck, "replies to probes; window updates", Needs::Packet),
    entry(AnomalyId::OutOfOrder, "a retransmission, which takes longer", Needs::Packet),
    entry(
        AnomalyId::PostRunChatter,
        "an ACK in reply to the client; connections that the client vanished from",
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
