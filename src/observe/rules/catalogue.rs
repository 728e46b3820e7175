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
        "the device answers the client's SYN with a RST",
        "a RST for an earlier connection on the same ports",
        Needs::Packet,
    ),
    entry(
        AnomalyId::SynUnanswered,
        "the client's SYN gets no answer before the deadline",
        "a SYN answered after a retransmission; as many as packet loss explains; while the device still holds \
         three or more connections whose RST was lost",
        Needs::Watch(5 * SECOND),
    ),
    entry(
        AnomalyId::TimewaitCollision,
        "the device answers a SYN on reused ports with an ACK of the old connection, which it holds in \
         TIME-WAIT",
        "a delayed old ACK; only suspected if the old connection wasn't seen to end with the device's FIN first",
        Needs::Packet,
    ),
    entry(
        AnomalyId::DialCollision,
        "the device opens a connection from the ports of one that the client still holds, and repeats its SYN \
         instead of resetting the old one: it has restarted or forgotten it",
        "the device answers the client's ACK of the old connection with a RST, then connects",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstAfterHandshake,
        "the device resets a connection on which it has sent neither payload nor a FIN",
        "the device gives up on a silent client after keep-alive probes",
        Needs::Packet,
    ),
    entry(
        AnomalyId::ClosedUnserved,
        "the device sends its FIN before any payload, and the client hasn't sent one",
        "a FIN in reply to the client's; a FIN on a connection that the device opened",
        Needs::Packet,
    ),
    entry(
        AnomalyId::AbortiveClose,
        "the device sends payload, then a RST and never a FIN: it closed with unread data",
        "the device gives up on a silent client after keep-alive probes; a reply to the client's RST",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstAfterFin,
        "the device sends its FIN, then a RST before both sides have closed",
        "the client's next request crosses the device's close of an idle connection; a reply to a \
         retransmitted FIN",
        Needs::Packet,
    ),
    entry(
        AnomalyId::LateRst,
        "the device sends a RST after both FINs were acknowledged",
        "a reply to a duplicate segment, or to the ACK of a FIN that arrived twice",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstStorm,
        "the device sends three or more RSTs on one connection",
        "one RST that the path duplicated; one for each copy of a refused SYN",
        Needs::Packet,
    ),
    entry(
        AnomalyId::RstBadSeq,
        "the sequence number of the device's RST is neither the client's last ACK nor the end of the sent \
         data, so the client can't accept it",
        "a RST after segments that the path lost",
        Needs::Packet,
    ),
    entry(
        AnomalyId::FinRetransmission,
        "the device sends the same FIN again",
        "the client's ACK was late or lost: one retransmission per back-off; the ACK of the client's FIN after both \
         closed at the same time",
        Needs::Packet,
    ),
    entry(
        AnomalyId::FinDuel,
        "after both FINs, the device sends three or more segments that carry nothing new but need a reply",
        "the client's last ACK was lost: the same FIN after each back-off",
        Needs::Packet,
    ),
    entry(
        AnomalyId::DataAfterFin,
        "the device sends payload after its own FIN",
        "a retransmission of payload from before the FIN",
        Needs::Packet,
    ),
    entry(
        AnomalyId::ChallengeAck,
        "the device answers a SYN or an inexact RST with a bare ACK, because it considers the connection alive",
        "an ACK that crossed the client's RST",
        Needs::Packet,
    ),
    entry(
        AnomalyId::NoAckToData,
        "the client retransmitted the same payload three or more times, and the device never acknowledged it",
        "keep-alive and window probes; payload acknowledged late; one or two on a lossy path",
        Needs::End,
    ),
    entry(
        AnomalyId::ZeroWindowStall,
        "the device advertises a zero window for more than a second",
        "the window of a RST; a window that is zero for a moment; one or two on a lossy path",
        Needs::Watch(SECOND),
    ),
    entry(
        AnomalyId::HalfClosedLinger,
        "the device acknowledges the client's FIN, then sends no FIN, RST or payload for 5 s",
        "a download that continues after the client's half-close; one or two on a lossy path",
        Needs::Watch(5 * SECOND),
    ),
    entry(
        AnomalyId::Retransmission,
        "either side sends payload again; the device's fault if it comes sooner than a round trip after a copy \
         that the client acknowledged",
        "keep-alive and window probes, SYN, FIN; a copy that the path made",
        Needs::Packet,
    ),
    entry(
        AnomalyId::DuplicateAck,
        "either side repeats an ACK while data is outstanding",
        "replies to probes; window updates",
        Needs::Packet,
    ),
    entry(
        AnomalyId::OutOfOrder,
        "a segment arrives just after one that was sent later, in either direction",
        "a retransmission, which takes longer",
        Needs::Packet,
    ),
    entry(
        AnomalyId::PostRunChatter,
        "the device sends segments on a connection more than max(1 s, 4 round trips) after it ended",
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
