//! Whose doing an occurrence is: the one place that decides it, from what the packets show, what the run intended with
//! the connection, and when the link was away. Silences stay open until the path's losses are known (`silences`).

use super::anomalies::Intentions;
use super::syns;
use espstress_event::{
    AnomalyClass, AnomalyId, Direction, Intent, IntentBook, IntentEntry, Occurrence, OutageOrigin, Shown,
};

/// Whose doing something is, as long as not everything is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Decided(AnomalyClass),
    /// A silence: to be weighed against the path's losses.
    Open,
}

/// Whose doing an occurrence is on a connection of which `entry` says what was intended.
pub(super) fn standing(o: &Occurrence, entry: Option<IntentEntry>, intentions: Intentions<'_>) -> Standing {
    let class = match o.shows {
        // Nobody there acknowledges what the device sends.
        Shown::OnTheWay if is_repeated_by_device(o) && entry.is_some_and(falls_silent) => {
            AnomalyClass::Provoked
        }
        Shown::OnTheWay => AnomalyClass::Path,
        Shown::Prompted => AnomalyClass::Provoked,
        Shown::Unprompted => {
            let excused = entry.is_some_and(|entry| excuses(entry.intent, o.id));
            let away = match intentions {
                Intentions::Of(book) if !excused => without_link(book, o),
                _ => excused.then_some(AnomalyClass::Provoked),
            };
            match away {
                Some(class) => class,
                None if o.copies.is_some() => return Standing::Open,
                None => AnomalyClass::Device,
            }
        }
    };
    Standing::Decided(class)
}

/// Whether the device sent something once more.
fn is_repeated_by_device(o: &Occurrence) -> bool {
    let of_device = o.direction == Direction::FromDevice;
    o.id == AnomalyId::FinRetransmission || (o.id == AnomalyId::Retransmission && of_device)
}

/// Whether the host was to leave the device's segments unanswered.
const fn falls_silent(entry: IntentEntry) -> bool {
    matches!(entry.intent, Intent::Silenced | Intent::Vanished)
}

/// Whose doing an anomaly is that an absent link explains: this run's where it cut the link, else the path's.
///
/// A SYN that met the outage, and every repetition that did, shows nothing of the device. What is left over counts as
/// always: one SYN may have been lost, two in vain are the device's doing.
fn without_link(book: &IntentBook, o: &Occurrence) -> Option<AnomalyClass> {
    let until = o.at_ns.saturating_add(o.lasted_ns);
    let class = |cause| match cause {
        OutageOrigin::Made => AnomalyClass::Provoked,
        OutageOrigin::Natural => AnomalyClass::Path,
    };
    match o.id {
        AnomalyId::SynUnanswered => {
            let cause = book.link_away_during(o.at_ns, until)?;
            let copies = syns::sent(o.at_ns, o.copies.unwrap_or(1), o.lasted_ns);
            let at_large = copies.filter(|at| book.link_away_during(*at, *at).is_none());
            match at_large.count() {
                0 => Some(class(cause)),
                1 => Some(AnomalyClass::Path),
                _ => None,
            }
        }
        AnomalyId::NoAckToData | AnomalyId::HalfClosedLinger => {
            book.link_away_during(o.at_ns, until).map(class)
        }
        _ => None,
    }
}

/// Whether what was intended with a connection explains an anomaly on it.
///
/// Silence on the host's side explains everything. A host that vanished had a connection first: what kept
/// it from getting one is not explained. A RST that was to come explains only what can come after it. More
/// connections than the device says it can hold explain that it did not take one.
const fn excuses(intent: Intent, id: AnomalyId) -> bool {
    use AnomalyId as A;
    let opening = matches!(id, A::SynRefused | A::SynUnanswered | A::TimewaitCollision);
    match intent {
        Intent::Plain | Intent::HalfClosed => false,
        // The device may end it at any time, and the host's next piece meets that.
        Intent::Slow => matches!(
            id,
            A::RstAfterHandshake | A::ClosedUnserved | A::AbortiveClose | A::RstAfterFin | A::RstStorm
        ),
        // It may sit in the backlog, acknowledged by the stack and seen by no program.
        Intent::BeyondCapacity => matches!(
            id,
            A::SynRefused
                | A::SynUnanswered
                | A::RstAfterHandshake
                | A::ClosedUnserved
                | A::HalfClosedLinger
                | A::NoAckToData
        ),
        // A RST of the device's that came first is its own.
        Intent::Reset => {
            let own =
                matches!(id, A::RstAfterHandshake | A::ClosedUnserved | A::RstAfterFin | A::AbortiveClose);
            !opening && !own
        }
        // It had answered before.
        Intent::LeftBehind => !opening && !matches!(id, A::RstAfterHandshake | A::ClosedUnserved),
        Intent::Silenced => true,
        Intent::Vanished => !opening,
    }
}

/// For a capture of which nobody knows what was intended.
pub(super) const fn may_have_been_provoked(o: &Occurrence) -> Option<&'static str> {
    match o.id {
        AnomalyId::SynUnanswered | AnomalyId::SynRefused => {
            Some("may have been provoked: more connections than the device is made for, or a cut link")
        }
        AnomalyId::NoAckToData | AnomalyId::HalfClosedLinger | AnomalyId::ZeroWindowStall => {
            Some("may have been provoked: the link or the host may have been cut off on purpose")
        }
        AnomalyId::PostRunChatter | AnomalyId::FinRetransmission => {
            Some("may have been provoked: the host may have vanished on purpose")
        }
        _ => None,
    }
}
