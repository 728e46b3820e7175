//! Which of the rules that fit is right. Each rule reads the evidence alone, and claims what it sees; several faults look
//! alike from outside, and one brings others with it. What decides is here, as data: which evidence is firmer, and what
//! follows from what.
//!
//! The firmest claim to why the device does not serve stands. A second one needs failures of its own: what the first
//! explains is taken out of the evidence, and only where much is left are the rules asked again.

use super::{Finding, FindingId, Severity};
use FindingId as Id;

/// How firmly a rule's evidence names its fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firm {
    /// Nothing else shows this.
    Shown,
    /// Few other faults do.
    Likely,
    /// Several other faults do: it is what is left where nothing names them.
    Left,
}

/// What one rule makes of the evidence.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Claim {
    pub(crate) firm: Firm,
    pub(crate) finding: Finding,
}

impl Claim {
    pub(crate) const fn new(firm: Firm, finding: Finding) -> Self {
        Self { firm, finding }
    }
}

/// Why a device does not serve, the firmest first. All of the others follow from a restart. Of a device that is not there
/// nothing further can be told, and what the path swallows is not the program's silence. Then: does the application hang,
/// as the packets or a single client show without doubt; are the slots held by connections that the host silenced, or
/// that it closed; do TIME_WAIT, want of memory or RSTs that were lost explain that others wait in vain; or are there
/// just more new ones than it accepts?
const ORDER: [(Id, Firm); 14] = [
    (Id::DeviceRebooted, Firm::Shown),
    (Id::DeviceUnreachable, Firm::Shown),
    (Id::PathMtu, Firm::Shown),
    (Id::BlockedApplication, Firm::Shown),
    (Id::HalfOpenNotReclaimed, Firm::Shown),
    (Id::BlockedApplication, Firm::Likely),
    (Id::SocketExhaustion, Firm::Shown),
    (Id::TimewaitPortReuse, Firm::Shown),
    (Id::HeapLow, Firm::Shown),
    (Id::LossyLink, Firm::Shown),
    (Id::SocketExhaustion, Firm::Likely),
    (Id::BlockedApplication, Firm::Left),
    (Id::AcceptOverflow, Firm::Shown),
    (Id::DeviceUnreachable, Firm::Left),
];

/// Findings of `ORDER` that are said in any case, because they are true beside others: they only keep what follows from
/// them from being said.
const IN_ANY_CASE: [Id; 4] = [Id::PathMtu, Id::TimewaitPortReuse, Id::HeapLow, Id::LossyLink];

/// Whether a finding is said beside whatever explains why the device does not serve: also a leak of sockets that are not
/// used up yet, which explains no failure.
fn is_said_anyway(f: &Finding) -> bool {
    IN_ANY_CASE.contains(&f.id) || (f.id == Id::SocketExhaustion && f.severity != Severity::Error)
}

/// Whether a fault brings another finding with it, so that this one says nothing more.
fn follows(from: Id, claim: &Claim) -> bool {
    let other = &claim.finding;
    match other.id {
        // A device with another address is not gone.
        Id::DeviceUnreachable => from == Id::AddressChanged,
        Id::FinWaitTimeout => from == Id::DeviceRebooted,
        // What the device forgot, or could not send, it did not keep. That all of its sockets were in use while it served
        // nobody, no restart does: in a run of days, it may lie hours apart from one.
        Id::SocketExhaustion => match from {
            Id::DeviceRebooted => claim.firm == Firm::Shown,
            _ => matches!(from, Id::DeviceUnreachable | Id::PathMtu),
        },
        // What a restart or a hanging program did to the connections is no outage of the link. In a run of days, outages may
        // lie hours apart from a restart.
        Id::LinkOutages => match from {
            Id::DeviceRebooted => claim.firm != Firm::Shown,
            _ => matches!(from, Id::BlockedApplication | Id::AddressChanged),
        },
        Id::SlowRecovery => {
            matches!(
                from,
                Id::DeviceRebooted | Id::BlockedApplication | Id::DeviceUnreachable | Id::AddressChanged
            )
        }
        // Segments that a device without service does not answer are not lost.
        Id::LossyLink => matches!(
            from,
            Id::DeviceRebooted
                | Id::DeviceUnreachable
                | Id::AddressChanged
                | Id::BlockedApplication
                | Id::HalfOpenNotReclaimed
                | Id::SocketExhaustion
        ),
        // Without memory a stack resets what it cannot go on with.
        Id::AbortiveClose => from == Id::HeapLow && other.severity != Severity::Error,
        _ => false,
    }
}

/// The claims that stand.
pub(crate) fn choose(claims: Vec<Claim>) -> Vec<Finding> {
    choose_beside(&[], claims)
}

/// The claims that stand beside findings that are known already.
pub(crate) fn choose_beside(known: &[Finding], mut claims: Vec<Claim>) -> Vec<Finding> {
    claims.retain(|c| known.iter().all(|f| f.id != c.finding.id));
    let place = |c: &Claim| ORDER.iter().position(|place| *place == (c.finding.id, c.firm));
    let first = claims.iter().filter_map(place).min();
    let stands = |c: &Claim| match place(c) {
        None => true,
        Some(at) => Some(at) == first || is_said_anyway(&c.finding),
    };
    let chosen: Vec<Claim> = claims.into_iter().filter(stands).collect();
    let all: Vec<Id> = known.iter().chain(chosen.iter().map(|c| &c.finding)).map(|f| f.id).collect();
    let brought = |c: &Claim| all.iter().any(|from| *from != c.finding.id && follows(*from, c));
    chosen.into_iter().filter(|c| !brought(c)).map(|c| c.finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: Id, severity: Severity) -> Finding {
        let text = String::new;
        Finding { id, severity, statement: text(), evidence: Vec::new(), cause: text(), change: text() }
    }

    fn chosen(claims: &[(Id, Firm)]) -> Vec<Id> {
        let claims = claims.iter().map(|(id, firm)| Claim::new(*firm, finding(*id, Severity::Error)));
        choose(claims.collect()).into_iter().map(|f| f.id).collect()
    }

    #[test]
    fn the_firmest_claim_stands_alone_in_whatever_order_the_rules_were_asked() {
        let claims = [
            (Id::AcceptOverflow, Firm::Shown),
            (Id::BlockedApplication, Firm::Left),
            (Id::SocketExhaustion, Firm::Shown),
        ];
        assert_eq!(chosen(&claims), [Id::SocketExhaustion]);
        assert_eq!(chosen(&[claims[2], claims[0]]), [Id::SocketExhaustion]);
        assert_eq!(chosen(&[claims[0], claims[1]]), [Id::BlockedApplication]);
    }

    #[test]
    fn one_that_is_shown_beyond_doubt_outranks_one_that_several_faults_show() {
        let held = (Id::HalfOpenNotReclaimed, Firm::Shown);
        assert_eq!(chosen(&[held, (Id::BlockedApplication, Firm::Shown)]), [Id::BlockedApplication]);
        assert_eq!(chosen(&[held, (Id::BlockedApplication, Firm::Likely)]), [Id::HalfOpenNotReclaimed]);
    }

    #[test]
    fn a_leak_that_fails_nothing_yet_is_said_beside_what_keeps_clients_waiting() {
        let beside = |severity| {
            let blocked = Claim::new(Firm::Shown, finding(Id::BlockedApplication, Severity::Error));
            let leak = Claim::new(Firm::Shown, finding(Id::SocketExhaustion, severity));
            choose(vec![blocked, leak]).len()
        };
        assert_eq!((beside(Severity::Warning), beside(Severity::Error)), (2, 1));
    }

    #[test]
    fn want_of_memory_is_said_beside_a_restart_and_alone_it_explains_who_waits() {
        let low = (Id::HeapLow, Firm::Shown);
        assert_eq!(chosen(&[low, (Id::DeviceRebooted, Firm::Shown)]), [Id::HeapLow, Id::DeviceRebooted]);
        assert_eq!(chosen(&[low, (Id::AcceptOverflow, Firm::Shown)]), [Id::HeapLow]);
    }

    #[test]
    fn what_a_fault_brings_with_it_is_not_said_and_what_it_does_not_is() {
        let outage = (Id::LinkOutages, Firm::Shown);
        assert_eq!(chosen(&[outage, (Id::BlockedApplication, Firm::Left)]), [Id::BlockedApplication]);
        assert_eq!(
            chosen(&[outage, (Id::AcceptOverflow, Firm::Shown)]),
            [Id::LinkOutages, Id::AcceptOverflow]
        );
    }

    #[test]
    fn outages_that_lie_apart_from_every_restart_are_said_beside_it() {
        let restart = (Id::DeviceRebooted, Firm::Shown);
        assert_eq!(chosen(&[restart, (Id::LinkOutages, Firm::Left)]), [Id::DeviceRebooted]);
        let both = [Id::DeviceRebooted, Id::LinkOutages];
        assert_eq!(chosen(&[restart, (Id::LinkOutages, Firm::Shown)]), both);
    }

    #[test]
    fn sockets_that_ran_out_apart_from_a_restart_are_said_beside_it_and_those_that_linger_are_not() {
        let known = [finding(Id::DeviceRebooted, Severity::Error)];
        let beside = |firm| {
            let claim = Claim::new(firm, finding(Id::SocketExhaustion, Severity::Error));
            choose_beside(&known, vec![claim]).len()
        };
        assert_eq!((beside(Firm::Likely), beside(Firm::Shown)), (1, 0));
    }

    #[test]
    fn a_few_resets_beside_want_of_memory_are_its_doing_and_many_are_not() {
        let beside = |severity| {
            let low = Claim::new(Firm::Shown, finding(Id::HeapLow, Severity::Warning));
            choose(vec![low, Claim::new(Firm::Shown, finding(Id::AbortiveClose, severity))]).len()
        };
        assert_eq!((beside(Severity::Warning), beside(Severity::Error)), (1, 2));
    }
}
