//! `path_mtu`: something between host and device carries smaller packets than both ends think, and drops larger ones
//! without a word. Handshakes and small answers get through, full-size segments never: a black hole of path MTU discovery
//! (RFC 2923, 2.1).
//!
//! Evidence: exchanges that got no answer in time, and pings: small ones are answered, and not one as large as the
//! interface carries.
//!
//! Neighbours: `blocked_application`: a program that hangs leaves the stack to answer pings of any size. A path that loses
//! segments loses some of each size.
//!
//! Severity: an error of the network's: whoever asks for more than a packet gets nothing.
//!
//! Thresholds: four full-size pings, and a chance below one in a thousand that a path which loses as many packets as of the
//! small ones lost all of these.

use super::super::choice::{Claim, Firm};
use super::super::facts;
use super::super::{Evidence, Finding, FindingId, FullSize, ProbeEvidence, Severity};
use super::FindingEntry;
use super::text::things;

/// Fewest full-size pings, all lost.
const ENOUGH: u64 = 4;
/// The path loses them all by chance so often at most, by its rate for small pings (the design's figure, as `loss.rs`).
const CHANCE: f64 = 1e-3;

pub(super) const ENTRY: FindingEntry = FindingEntry {
    id: FindingId::PathMtu,
    severity: Severity::Error,
    meaning: "the path carries small packets and silently drops full-size ones",
    needs: "requests without a response, and pings that get one",
    neighbours: "a program that hangs; a path that loses segments of any size",
    change: "use the same MTU everywhere on the path; as a workaround lower it at one end: ip link set dev IF \
             mtu 1400, or CONFIG_LWIP_TCP_MSS=1360",
};

/// Pings, where small ones are answered and full-size ones are not.
fn swallowed<'a>(e: &'a Evidence<'_>) -> Option<(&'a ProbeEvidence, FullSize)> {
    let ping = e.probes.icmp.value()?;
    let full = ping.full_size.filter(|full| full.sent >= ENOUGH && full.answered == 0)?;
    // What is reported both ends take into account.
    let full = Some(full).filter(|full| full.reported.is_none())?;
    // One more lost of two more, so that none lost of a few is no certainty (Laplace).
    let lost = ping.sent.saturating_sub(ping.answered).saturating_add(1) as f64;
    let each = lost / ping.sent.saturating_add(2) as f64;
    (ping.answered > 0 && each.powf(full.sent as f64) < CHANCE).then_some((ping, full))
}

fn happened(e: &Evidence<'_>) -> bool {
    let waited = facts::exchanges(e).any(|w| facts::count(&facts::unexcused(e, w), &facts::SILENT) > 0);
    waited && swallowed(e).is_some()
}

pub(super) fn claim(e: &Evidence<'_>) -> Option<Claim> {
    let (ping, full) = swallowed(e).filter(|_| happened(e))?;
    let mut evidence = vec![format!(
        "ping: {} of {} answered, and {} of {} of {} bytes",
        ping.answered,
        things(ping.sent, "small packet"),
        full.answered,
        full.sent,
        full.bytes
    )];
    evidence.extend(facts::exchanges(e).map(|w| {
        format!(
            "{}: {} of {} got no response in time, {} succeeded",
            w.name,
            facts::count(&w.failures, &facts::SILENT),
            things(w.attempts, "attempt"),
            w.succeeded
        )
    }));
    Some(Claim::new(Firm::Shown, Finding {
        id: FindingId::PathMtu,
        severity: Severity::Error,
        statement: format!(
            "The path drops full-size packets: small pings get a reply, but none of {} of {} bytes; large \
             responses never arrive (path MTU).",
            full.sent, full.bytes
        ),
        evidence,
        cause: "a switch, bridge, tunnel or access point on the path has a smaller MTU and doesn't report it; \
                or the device doesn't answer large pings"
            .into(),
        change: ENTRY.change.into(),
    }))
}
