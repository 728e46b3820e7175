//! Findings: what a run means. Each is a small rule over [`Evidence`], with its definition, the evidence that it
//! needs, its near neighbours and its thresholds beside it.
//!
//! A rule reads values and returns a value. It knows no socket, no clock and no page; the words that it returns
//! are its findings' only text.

mod abortive_close;
mod accept_overflow;
mod address_changed;
mod air;
mod answers_repeated;
mod blocked_application;
mod body_timeout;
mod capture_incomplete;
mod closes_idle;
mod console;
mod cut_requests;
mod datagrams;
mod device_rebooted;
mod device_unreachable;
mod event_stream;
mod fin_wait_timeout;
mod half_open;
mod head_only;
mod head_unanswered;
mod heap_leak;
mod heap_low;
mod host_limited;
mod http_errors;
mod http_use;
mod kept_out;
mod lines_lost;
mod link_outages;
mod lossy_link;
mod makes_room;
mod malformed_response;
mod mqtt;
mod nagle_delay;
mod one_at_a_time;
mod other_protocol;
mod path_mtu;
mod pipelining_lost;
mod power_save;
mod rest;
mod slow_recovery;
mod slows_down;
mod socket_exhaustion;
mod stands_still;
pub(crate) mod text;
mod timewait;
mod unexplained;
mod watchdog;
mod while_dialling;

use super::account::{account, unexplained_part};
use super::choice::{Claim, Firm, choose, choose_beside};
use super::facts;
use super::{Account, Evidence, Finding, FindingId, Severity, WorkloadEvidence};
use espstress_event::Failure;

pub use air::{AirNotJudged, air_findings, air_not_judged};

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
pub const fn finding_catalogue() -> [FindingEntry; 69] {
    [
        socket_exhaustion::ENTRY,
        half_open::ENTRY,
        abortive_close::ENTRY,
        timewait::ENTRY,
        fin_wait_timeout::ENTRY,
        accept_overflow::ENTRY,
        blocked_application::ENTRY,
        device_unreachable::ENTRY,
        console::CRASHED,
        console::BROWNOUT,
        console::WATCHDOG,
        device_rebooted::ENTRY,
        console::NO_MEMORY,
        console::WIFI_LOST,
        address_changed::ENTRY,
        heap_leak::ENTRY,
        heap_low::ENTRY,
        power_save::ENTRY,
        link_outages::ENTRY,
        slow_recovery::ENTRY,
        lossy_link::ENTRY,
        air::DEAUTHENTICATED,
        air::DTIM,
        air::SIGNAL,
        air::RETRIES,
        air::BEACONS,
        host_limited::ENTRY,
        capture_incomplete::ENTRY,
        http_errors::ENTRY,
        malformed_response::ENTRY,
        head_unanswered::ENTRY,
        other_protocol::ENTRY,
        pipelining_lost::ENTRY,
        cut_requests::RESETS,
        cut_requests::CLOSES,
        http_use::TLS,
        http_use::UPLOADS,
        http_use::REDIRECTS,
        nagle_delay::ENTRY,
        stands_still::ENTRY,
        slows_down::ENTRY,
        closes_idle::ENTRY,
        makes_room::ENTRY,
        path_mtu::ENTRY,
        body_timeout::ENTRY,
        datagrams::NO_ECHO,
        datagrams::SIZE,
        datagrams::LOST,
        event_stream::ENTRY,
        unexplained::ENTRY,
        lines_lost::ENTRY,
        answers_repeated::ENTRY,
        mqtt::keepalive::MISSED,
        mqtt::keepalive::LATE,
        mqtt::notice::UNNOTICED,
        mqtt::notice::SLOW_NOTICE,
        mqtt::notice::CLOSE_UNNOTICED,
        mqtt::recovery::NO_RECONNECT,
        mqtt::recovery::SESSION_REFUSED,
        mqtt::recovery::NOT_RESUBSCRIBED,
        mqtt::recovery::STORM_ENTRY,
        mqtt::messages::DUP_MISSING,
        mqtt::messages::DUPLICATES,
        mqtt::messages::LOST,
        mqtt::publish::NO_PUBACK,
        mqtt::publish::BIG_PACKET,
        mqtt::notice::HASTY,
        mqtt::messages::AVAILABILITY,
        mqtt::keepalive::TOO_LONG,
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
    let mut found = choose(claims(e));
    found.extend(further(e, &found));
    found.extend(heap_leak::find(e, found.iter().any(|f| holds_connections(f.id))));
    found.extend(capture_incomplete::find(e, &found));
    found.sort_by_key(|f| (f.severity, f.id));
    // What these name is what all of the others leave.
    let rest = account(e, &found);
    found.extend(http_errors::find(e, &rest));
    found.extend(malformed_response::find(e, &rest));
    found.extend(http_use::tls(e, &rest));
    found.extend(http_use::uploads(e, &rest));
    found.extend(http_use::redirects(e));
    found.extend(head_unanswered::find(e, &rest));
    found.extend(other_protocol::find(e, &rest));
    found.extend(pipelining_lost::find(e, &rest));
    found.extend(datagrams::find(e, &rest));
    found.extend(event_stream::find(e, &rest));
    found.sort_by_key(|f| (f.severity, f.id));
    let rest = account(e, &found);
    found.extend(cut_requests::resets(e, &rest));
    found.extend(cut_requests::closes(e, &rest));
    found.sort_by_key(|f| (f.severity, f.id));
    let account = account(e, &found);
    found.extend(unexplained::find(e, &account));
    found.extend(stands_still::find(e, &found));
    found.extend(slows_down::find(e, &found));
    console::attach(e, &mut found);
    found.sort_by_key(|f| (f.severity, f.id));
    Diagnosis { findings: found, account }
}

/// What each rule makes of the evidence by itself.
fn claims(e: &Evidence<'_>) -> Vec<Claim> {
    let of_service = [
        device_rebooted::claim(e),
        device_unreachable::claim(e),
        path_mtu::claim(e),
        blocked_application::claim(e),
        half_open::claim(e),
        socket_exhaustion::claim(e),
        timewait::claim(e),
        heap_low::claim(e),
        lossy_link::claim(e),
        accept_overflow::claim(e),
    ];
    let of_others = [
        abortive_close::find(e),
        fin_wait_timeout::find(e),
        power_save::find(e),
        link_outages::find(e),
        address_changed::find(e),
        slow_recovery::find(e),
        lines_lost::find(e),
        answers_repeated::find(e),
        host_limited::find(e),
        closes_idle::find(e),
        makes_room::find(e),
        body_timeout::find(e),
        nagle_delay::find(e),
    ];
    let shown = |finding: Finding| {
        let part_of_restart =
            finding.id == FindingId::LinkOutages && !link_outages::are_apart_from_restarts(e);
        Claim::new(if part_of_restart { Firm::Left } else { Firm::Shown }, finding)
    };
    let of_brokers = mqtt::find(e);
    let of_the_air = air::find(e);
    of_service
        .into_iter()
        .flatten()
        .chain(
            of_others
                .into_iter()
                .flatten()
                .chain(of_brokers)
                .chain(of_the_air)
                .chain(console::find(e))
                .map(shown),
        )
        .collect()
}

/// Further reasons why the device did not serve: those that the rules see in what the first leaves, each with failures of
/// its own.
fn further(e: &Evidence<'_>, found: &[Finding]) -> Vec<Finding> {
    let left = |found: &[Finding]| account(e, found);
    let much = |account: &Account| rest::of(e, account, |_, _| true).iter().any(rest::Rest::is_much);
    let before = left(found);
    if before.unexplained() == 0 {
        return Vec::new();
    }
    let part = unexplained_part(e, found);
    // In a run of days, an hour in which nobody was served is few failures of many attempts.
    let stuck = || facts::exchanges(&part).any(|w| !facts::stuck(&part, w).is_empty());
    if !much(&before) && !stuck() {
        return Vec::new();
    }
    let mut all = found.to_vec();
    let mut more: Vec<Finding> = Vec::new();
    for candidate in choose_beside(found, claims(&part)) {
        let unexplained = left(&all).unexplained();
        all.push(candidate.clone());
        let explains = unexplained.saturating_sub(left(&all).unexplained());
        if explains > rest::FEW {
            more.push(candidate);
        } else {
            all.pop();
        }
    }
    more
}

/// Whether what a finding says leaves connections open on the device, each with its memory.
const fn holds_connections(id: FindingId) -> bool {
    use FindingId as Id;
    matches!(id, Id::BlockedApplication | Id::HalfOpenNotReclaimed | Id::SocketExhaustion)
}

/// Whether a device that answers otherwise than it is asked makes a workload fail in this way, as this finding says.
pub(super) fn answers_otherwise(
    e: &Evidence<'_>,
    w: &WorkloadEvidence,
    id: FindingId,
    failure: Failure,
) -> bool {
    match id {
        FindingId::ClosesUnserved => cut_requests::closes_so(w, failure),
        FindingId::MalformedResponse => malformed_response::fails_so(w, failure),
        FindingId::TlsFailed => http_use::tls_so(w, failure),
        FindingId::UploadStalled => http_use::stalled_so(w, failure),
        FindingId::HeadUnanswered => head_unanswered::fails_so(e, w, failure),
        FindingId::OtherProtocol => other_protocol::fails_so(e, w, failure),
        FindingId::PipeliningLost => pipelining_lost::fails_so(w, failure),
        FindingId::EventStream => event_stream::fails_so(w, failure),
        FindingId::ClosesIdle => closes_idle::fails_so(w, failure),
        FindingId::MakesRoom => makes_room::fails_so(e, w, failure),
        _ => false,
    }
}

/// Whether what the console tells explains a failure at this time.
pub(super) fn console_explains(e: &Evidence<'_>, id: FindingId, at: &espstress_event::Episode) -> bool {
    console::explains(e, id, at)
}

/// Since when none of a workload's datagrams comes back, where some did before.
pub(super) fn silent_since(w: &WorkloadEvidence) -> Option<u64> {
    datagrams::stopped(w)
}

/// How many of a workload's datagrams were too large to come back.
pub(super) fn too_large(w: &WorkloadEvidence) -> u64 {
    datagrams::too_large(w).map_or(0, |size| size.lost)
}

/// Since when the device is gone, where it was there before.
/// Since when a run talks to an address that the device does not have any more.
pub(super) fn address_changed_since(e: &Evidence<'_>) -> Option<u64> {
    address_changed::since(e)
}

pub(super) fn gone_since(e: &Evidence<'_>) -> Option<u64> {
    device_unreachable::since(e)
}

/// Whether the device was deauthenticated or disassociated at that time.
pub(super) fn departs(e: &Evidence<'_>, from_ns: u64, to_ns: u64) -> bool {
    air::departs(e, from_ns, to_ns)
}
