//! Findings: what a run means. Each is a small rule over [`Evidence`], with its definition, the evidence that it
//! needs, its near neighbours and its thresholds beside it.
//!
//! A rule reads values and returns a value. It knows no socket, no clock and no page; the words that it returns
//! are its findings' only text.

mod abortive_close;
mod accept_overflow;
mod blocked_application;
mod body_timeout;
mod capture_incomplete;
mod closes_idle;
mod cut_requests;
mod device_rebooted;
mod device_unreachable;
mod fin_wait_timeout;
mod half_open;
mod head_only;
mod head_unanswered;
mod heap_leak;
mod heap_low;
mod host_limited;
mod http_errors;
mod link_outages;
mod lossy_link;
mod lost_resets;
mod makes_room;
mod malformed_response;
mod nagle_delay;
mod one_at_a_time;
mod other_protocol;
mod path_mtu;
mod pipelining_lost;
mod power_save;
mod rest;
mod signs;
mod slow_recovery;
mod socket_exhaustion;
pub(crate) mod text;
mod timewait;
mod unexplained;

use super::account::account;
use super::{Account, Evidence, Finding, FindingId, Severity, Silence, WorkloadEvidence};
use blocked_application::Proof;
use espstress_event::{Failure, FailureCounts};

/// A finding explained, for the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FindingEntry {
    /// Which one.
    pub id: FindingId,
    /// The worst that it can be.
    pub severity: Severity,
    /// What it means.
    pub meaning: &'static str,
    /// What evidence it needs.
    pub needs: &'static str,
    /// What resembles it and is told apart.
    pub neighbours: &'static str,
    /// What to change.
    pub change: &'static str,
}

/// Every finding explained, in the order of [`FindingId::ALL`].
#[must_use]
pub const fn finding_catalogue() -> [FindingEntry; 30] {
    [
        socket_exhaustion::ENTRY,
        half_open::ENTRY,
        abortive_close::ENTRY,
        timewait::ENTRY,
        fin_wait_timeout::ENTRY,
        accept_overflow::ENTRY,
        blocked_application::ENTRY,
        device_unreachable::ENTRY,
        device_rebooted::ENTRY,
        heap_leak::ENTRY,
        heap_low::ENTRY,
        power_save::ENTRY,
        link_outages::ENTRY,
        slow_recovery::ENTRY,
        lossy_link::ENTRY,
        host_limited::ENTRY,
        capture_incomplete::ENTRY,
        http_errors::ENTRY,
        malformed_response::ENTRY,
        head_unanswered::ENTRY,
        other_protocol::ENTRY,
        pipelining_lost::ENTRY,
        cut_requests::RESETS,
        cut_requests::CLOSES,
        nagle_delay::ENTRY,
        closes_idle::ENTRY,
        makes_room::ENTRY,
        path_mtu::ENTRY,
        body_timeout::ENTRY,
        unexplained::ENTRY,
    ]
}

/// What a run means, and who answers for each of its failures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnosis {
    /// The most harmful first. Empty for a clean device on a clean link within its capacity.
    pub findings: Vec<Finding>,
    /// Every failed attempt, in exactly one row.
    pub account: Account,
}

/// What the run means, without the account.
#[must_use]
pub fn findings(e: &Evidence<'_>) -> Vec<Finding> {
    diagnose(e).findings
}

/// What the run means.
#[must_use]
pub fn diagnose(e: &Evidence<'_>) -> Diagnosis {
    let trouble = trouble(e);
    let mut found: Vec<Finding> = Vec::new();
    found.extend(abortive_close::find(e));
    found.extend(fin_wait_timeout::find(e));
    found.extend(timewait::find(e));
    found.extend(heap_leak::find(e, trouble));
    found.extend(heap_low::find(e));
    found.extend(power_save::find(e));
    found.extend(link_outages::find(e, trouble));
    found.extend(slow_recovery::find(e, trouble));
    found.extend(lossy_link::find(e, trouble));
    found.extend(host_limited::find(e));
    found.extend(closes_idle::find(e));
    found.extend(makes_room::find(e));
    found.extend(path_mtu::find(e));
    found.extend(body_timeout::find(e));
    found.extend(nagle_delay::find(e));
    found.extend(trouble.map(|trouble| trouble.finding(e)));
    found.extend(capture_incomplete::find(e, &found));
    found.sort_by_key(|f| (f.severity, f.id));
    // What these name is what all of the others leave.
    let rest = account(e, &found);
    found.extend(http_errors::find(e, &rest));
    found.extend(malformed_response::find(e, &rest));
    found.extend(head_unanswered::find(e, &rest));
    found.extend(other_protocol::find(e, &rest));
    found.extend(pipelining_lost::find(e, &rest));
    found.sort_by_key(|f| (f.severity, f.id));
    let rest = account(e, &found);
    found.extend(cut_requests::resets(e, &rest));
    found.extend(cut_requests::closes(e, &rest));
    found.sort_by_key(|f| (f.severity, f.id));
    let account = account(e, &found);
    found.extend(unexplained::find(e, &account));
    found.sort_by_key(|f| (f.severity, f.id));
    Diagnosis { findings: found, account }
}

/// Times in which the link was away, or this machine did not hear it, and that the run did not make.
pub(super) fn silences(e: &Evidence<'_>) -> Vec<Silence> {
    signs::unmade_silences(e)
}

/// When no kind of datagram probe was answered that is answered at other times; `None` where there is none.
pub(super) fn silent_probes(e: &Evidence<'_>) -> Option<Vec<Silence>> {
    signs::silent_probes(e)
}

/// Failures of a workload without those of a program that is at work and answers otherwise than it is asked.
pub(super) fn of_program(e: &Evidence<'_>, w: &WorkloadEvidence, failures: FailureCounts) -> FailureCounts {
    signs::of_program(e, w, failures)
}

/// Whether a device that answers otherwise than it is asked makes a workload fail in this way, as this finding says.
pub(super) fn answers_otherwise(
    e: &Evidence<'_>,
    w: &WorkloadEvidence,
    id: FindingId,
    failure: Failure,
) -> bool {
    match id {
        FindingId::MalformedResponse => malformed_response::fails_so(w, failure),
        FindingId::HeadUnanswered => head_unanswered::fails_so(e, w, failure),
        FindingId::OtherProtocol => other_protocol::fails_so(e, w, failure),
        FindingId::PipeliningLost => pipelining_lost::fails_so(w, failure),
        FindingId::ClosesIdle => closes_idle::fails_so(w, failure),
        FindingId::MakesRoom => makes_room::fails_so(e, w, failure),
        _ => false,
    }
}

/// Since when the device is gone, where it was there before.
pub(super) fn gone_since(e: &Evidence<'_>) -> Option<u64> {
    device_unreachable::since(e)
}

/// Why a device does not serve: neighbours that look alike from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Rebooted,
    Unreachable,
    Blocked(blocked_application::Proof),
    HalfOpen(half_open::Proof),
    Exhausted,
    Overflow,
}

/// At most one of them is said of a run: the first that fits.
///
/// A restart comes first, because all of the others follow from one. A device that is not there at all cannot
/// be judged further. Then: does the application hang, are the slots held by connections that the host
/// silenced, by connections that the host closed, or are there just more new ones than it accepts?
fn trouble(e: &Evidence<'_>) -> Option<Trouble> {
    if device_rebooted::happened(e) {
        return Some(Trouble::Rebooted);
    }
    if device_unreachable::happened(e) {
        return Some(Trouble::Unreachable);
    }
    // What the path swallows is not the program's silence.
    if path_mtu::happened(e) {
        return None;
    }
    let blocked = blocked_application::proof(e);
    // The packets, or a single client, show these without doubt.
    // Without memory a segment is dropped as it comes in, whatever the program does.
    let dropped = heap_low::happened(e) && !blocked_application::shuts_its_window(e);
    match blocked {
        Some(proof @ Proof::NotReading) if !dropped => return Some(Trouble::Blocked(proof)),
        Some(proof @ (Proof::OneClient | Proof::OneAtATime(_))) => return Some(Trouble::Blocked(proof)),
        _ => {}
    }
    if let Some(proof) = half_open::proof(e) {
        return Some(Trouble::HalfOpen(proof));
    }
    if let Some(proof @ (Proof::NeverServed | Proof::NoHandshake)) = blocked {
        return Some(Trouble::Blocked(proof));
    }
    // Who kept a socket, a slot or memory explains that others got no answer.
    if socket_exhaustion::happened(e) {
        return Some(Trouble::Exhausted);
    }
    // What TIME_WAIT, want of memory or lost RSTs explain needs no other explanation.
    if timewait::happened(e) || heap_low::happened(e) || lost_resets::fill_the_device(e) {
        return None;
    }
    if socket_exhaustion::is_likely(e) {
        return Some(Trouble::Exhausted);
    }
    if let Some(proof) = blocked {
        return Some(Trouble::Blocked(proof));
    }
    if accept_overflow::happened(e) {
        return Some(Trouble::Overflow);
    }
    device_unreachable::service_ended(e).then_some(Trouble::Unreachable)
}

impl Trouble {
    fn finding(self, e: &Evidence<'_>) -> Finding {
        match self {
            Self::Rebooted => device_rebooted::finding(e),
            Self::Unreachable => device_unreachable::finding(e),
            Self::Blocked(proof) => blocked_application::finding(e, proof),
            Self::HalfOpen(proof) => half_open::finding(e, proof),
            Self::Exhausted => socket_exhaustion::finding(e),
            Self::Overflow => accept_overflow::finding(e),
        }
    }
}
