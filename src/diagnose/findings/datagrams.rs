//! `no_echo`, `datagram_size`, `datagrams_lost`: numbered datagrams that do not come back from an echo service.
//!
//! Evidence: the counts of `rw --protocol udp`, by size, in the order in which they were sent; pings and packets beside
//! them, which tell what the link loses.
//!
//! Neighbours: a link that loses packets loses a datagram of several packets more often, and pings as well; a device that
//! is gone answers no ping; a machine whose own socket was full has lost them itself, and they count as its own.
//!
//! Losses that follow each other for a second or more, which chance does not explain, are a time in which nothing came back
//! (`gap`): an error where the link is known to have been there, a warning where it may have been away.
//!
//! Severity: nothing that comes back is an error, and so is an echo that ends; a size from which on nothing comes back
//! is a warning, because a device may be built so; losses here and there are information, a warning where the device drops
//! them or one in twenty is gone, or where other datagrams came that may be theirs; an error where the device drops more than
//! half of them, or where it changes them or mixes them up: then no link has lost them.
//!
//! Thresholds: those of `loss::constants`; four datagrams in a row, more where a sweep holds large ones.

mod gap;

use super::super::account::Account;
use super::super::{Evidence, Finding, FindingId, Severity, WorkloadEvidence, loss};
use super::super::{facts, loss::share_at_most};
use super::text::{percent, things, time};
use super::{FindingEntry, rest};
use espstress_event::{AnomalyClass, DatagramSize, Datagrams, Failure};

/// Fewest lost datagrams that say something of a size, or of an end.
const ENOUGH: u64 = 4;
/// An echo that has ended stays away for so long at least, nanoseconds: longer than any queue takes to drain.
const LASTS: u64 = 1_000_000_000;
/// One in so many lost is no trifle: where TCP no longer hides it either (as `lossy_link`).
const MUCH: u64 = 20;

pub(super) const NO_ECHO: FindingEntry = FindingEntry {
    id: FindingId::NoEcho,
    severity: Severity::Error,
    meaning: "no datagram comes back, or none since some time in the run",
    needs: "rw --protocol udp",
    neighbours: "a device that is gone; a link that loses some; datagrams that are too large",
    change: "check the UDP port and that the program reads and answers; a firewall may drop UDP",
};

pub(super) const SIZE: FindingEntry = FindingEntry {
    id: FindingId::DatagramSize,
    severity: Severity::Warning,
    meaning: "datagrams come back up to a size, and larger ones never",
    needs: "rw --protocol udp with sizes on both sides of the limit (--sweep)",
    neighbours: "a link that loses some of each size",
    change: "send no larger datagrams, or let the device reassemble: CONFIG_LWIP_IP4_REASSEMBLY=y and \
             CONFIG_LWIP_IP4_FRAG=y; check the program's buffer",
};

pub(super) const LOST: FindingEntry = FindingEntry {
    id: FindingId::DatagramsLost,
    severity: Severity::Error,
    meaning: "some datagrams do not come back, or others come in their place",
    needs: "rw --protocol udp; ping or the packets tell the link's share",
    neighbours: "losses of the link, which pings and segments meet as well; a full socket of this machine; datagrams that \
                 the device sends by itself",
    change: "repeat what matters in the program; on the device raise CONFIG_LWIP_UDP_RECVMBOX_SIZE. Where others come in \
             their place: answer each datagram once, from the buffer that it was received in",
};

/// The datagrams of a workload.
fn datagrams(w: &WorkloadEvidence) -> Option<&Datagrams> {
    w.by_protocol.as_ref()?.udp.as_ref()
}

/// Since when none came back, where some did before, nanoseconds since the start of the run.
pub(super) fn stopped(w: &WorkloadEvidence) -> Option<u64> {
    let udp = datagrams(w).filter(|udp| udp.echoed > 0)?;
    // In a sweep all that are too large may be the last ones.
    let sizes = udp.sizes.len() as u64;
    let enough = if sizes > 1 { ENOUGH.saturating_add(sizes.saturating_mul(2)) } else { ENOUGH };
    let since = udp.silent_since_us?.saturating_mul(1_000);
    // A burst that overflows a queue is no end.
    let until = udp.silent_until_us?.saturating_mul(1_000);
    (udp.silent >= enough && until.saturating_sub(since) >= LASTS).then_some(since)
}

/// The sizes from which on nothing came back, as one row; `None` where there is no such size, or too little to tell.
pub(super) fn too_large(w: &WorkloadEvidence) -> Option<DatagramSize> {
    let udp = datagrams(w)?;
    let (up_to, from) = udp.limit()?;
    let mut rows = udp.sizes.iter();
    let small = rows.by_ref().take_while(|row| row.bytes <= up_to.bytes);
    let (sent, lost) = small.fold((0_u64, 0_u64), |(sent, lost), row| {
        (sent.saturating_add(row.sent), lost.saturating_add(row.lost))
    });
    let large = udp.sizes.iter().filter(|row| row.bytes > up_to.bytes);
    let all = large.fold(DatagramSize { sent: 0, lost: 0, ..from }, |sum, row| DatagramSize {
        sent: sum.sent.saturating_add(row.sent),
        lost: sum.lost.saturating_add(row.lost),
        ..sum
    });
    // By the rate of the small ones, one packet at a time, all of the large ones are lost by chance so often (Laplace).
    let each = lost.saturating_add(1) as f64 / sent.saturating_add(2) as f64;
    let each = (each * f64::from(from.packets.max(1)) / f64::from(up_to.packets.max(1))).min(1.0);
    let chance = each.powf(all.lost as f64);
    (all.lost >= ENOUGH && all.lost == all.sent && chance < loss::constants::PATH).then_some(all)
}

/// What the account leaves of them.
pub(super) fn find(e: &Evidence<'_>, account: &Account) -> Vec<Finding> {
    let kinds = [Failure::DatagramLost, Failure::PortUnreachable];
    let all = rest::of(e, account, |_, failure| kinds.contains(&failure));
    let Some(worst) = all.first() else { return Vec::new() };
    let Some(udp) = datagrams(worst.w) else { return Vec::new() };
    let mut figures: Vec<String> = all.iter().map(|rest| rest.in_figures("did not come back")).collect();
    figures.extend(sizes(udp));
    if udp.echoed == 0 || stopped(worst.w).is_some() {
        return vec![no_echo(e, worst.w, udp, figures)];
    }
    let large = too_large(worst.w);
    let mut found = Vec::new();
    found.extend(large.and_then(|large| size(e, udp, large, &figures)));
    let lost = udp.lost.saturating_sub(large.map_or(0, |large| large.lost));
    let left = worst.get(Failure::DatagramLost).saturating_sub(large.map_or(0, |large| large.lost));
    if left > 0
        && !mixes_up(udp)
        && let Some(gap) = gap::find(e, worst.w, udp, figures.clone())
    {
        found.push(gap);
    } else if left > 0 {
        found.push(scattered(e, worst.w, udp, lost, figures));
    }
    found
}

/// Each size in figures, where there is more than one.
fn sizes(udp: &Datagrams) -> Option<String> {
    let rows: Vec<String> =
        udp.sizes.iter().map(|row| format!("{} B {} of {}", row.bytes, row.echoed, row.sent)).collect();
    (rows.len() > 1).then(|| format!("came back by size: {}", rows.join(", ")))
}

fn no_echo(e: &Evidence<'_>, w: &WorkloadEvidence, udp: &Datagrams, mut evidence: Vec<String>) -> Finding {
    let alive = e.probes.icmp.value().filter(|ping| ping.answered > 0);
    evidence.extend(alive.map(|p| format!("ping: {} of {} answered", p.answered, p.sent)));
    let all = things(udp.sent, "datagram");
    let nothing_listens = udp.unreachable > 0;
    let statement = match (stopped(w), nothing_listens) {
        (Some(since), true) => format!(
            "The UDP port closed after {}: since then the device answers with ICMP port unreachable.",
            time(since)
        ),
        (Some(since), false) => format!(
            "The echo stopped after {}: none of the last {} came back.",
            time(since),
            things(udp.silent, "datagram")
        ),
        (None, true) => format!(
            "Nothing listens on this UDP port: ICMP port unreachable answered {} of {all}.",
            udp.unreachable
        ),
        (None, false) if udp.late > 0 => {
            format!("None of {all} came back in time; {} came later than the time-out.", udp.late)
        }
        (None, false) if udp.strangers > 0 => format!(
            "The device answers datagrams, but with something else than an echo: none of {all} came back."
        ),
        (None, false) => format!("None of {all} came back before its time-out."),
    };
    let (cause, change) = if nothing_listens {
        (
            "no socket of the device's is bound to the port, or its program has closed it",
            "check the port, that it is UDP, and that the program runs",
        )
    } else if udp.late > 0 {
        (
            "the device answers slowly, or a queue on the way holds datagrams for long",
            "wait longer (--timeout-read), or send less at once",
        )
    } else if udp.strangers > 0 {
        ("another service listens on the port", "check the port: the service has to send each datagram back")
    } else if udp.group.is_some() {
        (
            "the device has not joined the group on this network, nothing echoes on the port, or an access point or a switch \
             drops multicast (IGMP snooping without a querier)",
            "check that the program joins the group after each connection (IP_ADD_MEMBERSHIP), the port, and that the same \
             echo works by unicast",
        )
    } else if alive.is_none() {
        (
            "nothing shows that the device is there: it is gone, a firewall drops UDP, or nothing echoes on the port",
            "check the address and the port; try ping",
        )
    } else {
        (
            "the device's program does not read or answer, it answers later or from another port, another service takes \
             datagrams without an answer, or a firewall drops UDP",
            "check the port, and what recvfrom() and sendto() return on the device",
        )
    };
    Finding {
        id: FindingId::NoEcho,
        severity: Severity::Error,
        statement,
        evidence,
        cause: cause.into(),
        change: change.into(),
    }
}

fn size(e: &Evidence<'_>, udp: &Datagrams, large: DatagramSize, figures: &[String]) -> Option<Finding> {
    let (up_to, from) = udp.limit()?;
    let mut evidence = figures.to_vec();
    evidence
        .extend(udp.mtu.map(|mtu| format!("this machine sends packets of up to {mtu} bytes in one piece")));
    let full = e.probes.icmp.value().and_then(|ping| ping.full_size);
    evidence.extend(
        full.map(|full| format!("ping: {} of {} of {} bytes answered", full.answered, full.sent, full.bytes)),
    );
    let path = full.is_some_and(|full| full.sent >= ENOUGH && full.answered == 0);
    let cause = match (up_to.packets, from.packets) {
        (1, 2..) => {
            "larger ones take several IP packets: the device does not put them together, or does not send its answer in \
             several, or something on the path drops fragments"
        }
        (1, _) if path => "something on the path drops packets of full size: its MTU is smaller",
        _ => "the device's buffers or its program take no larger ones",
    };
    Some(Finding {
        id: FindingId::DatagramSize,
        severity: Severity::Warning,
        statement: format!(
            "Datagrams of up to {} bytes come back; none of {} of {} bytes or more did.",
            up_to.bytes, large.lost, from.bytes
        ),
        evidence,
        cause: cause.into(),
        change: SIZE.change.into(),
    })
}

/// Losses here and there: whose they are is a matter of what the link loses.
fn scattered(
    e: &Evidence<'_>,
    w: &WorkloadEvidence,
    udp: &Datagrams,
    lost: u64,
    mut evidence: Vec<String>,
) -> Finding {
    let sent = udp.sent.saturating_sub(too_large(w).map_or(0, |large| large.sent));
    let bound = 100.0 * share_at_most(lost, sent);
    evidence.push(format!(
        "{lost} of {sent} lost ({}); with 99.9 % confidence at most {bound:.1} %",
        percent(lost, sent)
    ));
    if udp.late > 0 {
        evidence.push(format!("{} of them came back later than the time-out", udp.late));
    }
    let known = facts::path::losses(e).filter(|losses| losses.segments > 0);
    let limit = udp.limit().map_or(u32::MAX, |(up_to, _)| up_to.bytes);
    let whose = known.and_then(|losses| {
        let rate = loss::silence(losses, 1);
        let rows = udp.sizes.iter().filter(|row| row.bytes <= limit);
        let expected = rows.fold(0.0, |sum, row| {
            sum + row.sent as f64 * (rate * f64::from(row.packets.max(1))).min(1.0)
        });
        evidence.push(format!(
            "the link: {} of {} packets and pings lost; {expected:.1} lost datagrams are possible at that rate",
            losses.lost, losses.segments
        ));
        loss::whose(lost, expected)
    });
    // There is no link.
    let by_address = facts::path::has_no_link(e);
    let whose = if by_address { Some(AnomalyClass::Device) } else { whose };
    let of_device = whose == Some(AnomalyClass::Device) && udp.late.saturating_mul(2) <= lost;
    let much = lost.saturating_mul(MUCH) >= sent;
    // What came back late nobody has dropped.
    let slow = udp.late.saturating_mul(2) > lost;
    let others = udp.strangers.saturating_add(udp.duplicates);
    if others > 0 && udp.replaced > 0 {
        evidence.push(format!(
            "{} that answer none under way; {} of the lost ones were due when such a one came",
            things(others, "datagram"),
            udp.replaced
        ));
    }
    if !slow && mixes_up(udp) {
        return mixed_up(udp, lost, sent, evidence);
    }
    // Nobody knows whether they are what is missing. In a group they may be anybody's.
    let strange = udp.group.is_none() && udp.strangers >= lost;
    let replaced = !slow && (udp.replaced.saturating_mul(2) > lost || strange);
    let of_device = of_device && !replaced;
    let (whom, cause) = match (whose, known.is_some()) {
        _ if slow => (
            "most of them came later than the time-out",
            "the device answers slowly, or a queue on the way holds datagrams for long",
        ),
        _ if replaced => (
            "other datagrams came meanwhile, and it is not known whether they were to be the answers",
            "the device changes some datagrams, mixes them up or answers them with something else; or they are lost, and it \
             sends others besides",
        ),
        _ if by_address => (
            "no link loses any at an address of this machine's own: the device drops them",
            "its program's socket is full, or the program does not answer all; or a program that forwards this port drops them",
        ),
        (Some(AnomalyClass::Device), _) => (
            "more than the link loses: the device drops them",
            "the device's receive queue or its program's socket is full, or the program does not answer all",
        ),
        (Some(_), _) => (
            "the link alone may have lost so many",
            "radio or network, or a full receive queue on the device: UDP does not repeat",
        ),
        (None, true) => (
            "it is not known whether the link or the device dropped them",
            "the link, or a full receive queue on the device: too little was measured to tell them apart",
        ),
        (None, false) => (
            "it is not known whether the link or the device dropped them",
            "the link, or a full receive queue on the device: neither ping nor packets tell the link's share",
        ),
    };
    Finding {
        id: FindingId::DatagramsLost,
        severity: if of_device && lost.saturating_mul(2) > sent {
            Severity::Error
        } else if of_device || much || replaced {
            Severity::Warning
        } else {
            Severity::Info
        },
        statement: format!("{lost} of {} did not come back in time: {whom}.", things(sent, "datagram")),
        evidence,
        cause: cause.into(),
        change: if of_device { LOST.change.into() } else { "repeat what matters in the program".into() },
    }
}

/// Whether other datagrams came in the place of lost ones more often than beside those that came back.
fn mixes_up(udp: &Datagrams) -> bool {
    let others = udp.strangers.saturating_add(udp.duplicates);
    // By the rate of those beside (Laplace).
    let beside = others.saturating_sub(udp.replaced).saturating_add(1) as f64;
    let rate = (beside / udp.echoed.saturating_add(2) as f64).min(1.0);
    loss::whose(udp.replaced, udp.lost as f64 * rate) == Some(AnomalyClass::Device)
}

/// They are no losses.
fn mixed_up(udp: &Datagrams, lost: u64, sent: u64, evidence: Vec<String>) -> Finding {
    let came = if udp.replaced >= lost {
        "as many came that answer none under way".to_owned()
    } else {
        format!("in the place of {} of them others came, that answer none under way", udp.replaced)
    };
    Finding {
        id: FindingId::DatagramsLost,
        severity: Severity::Error,
        statement: format!(
            "{lost} of {} did not come back in time, and {came}: the device changes datagrams or mixes them up.",
            things(sent, "datagram")
        ),
        evidence,
        cause: "the program answers with other bytes than it received: a buffer that two datagrams share, or one of before \
                that is sent again"
            .into(),
        change: "answer each datagram once, with the bytes and the length that recvfrom() gave for it; look at the bytes \
                 (--pcap, then Wireshark)"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Place;
    use espstress_event::ByProtocol;

    /// A sweep over sizes of 64, 1,400 and 2,000 bytes, of each of which so many of 50 were lost.
    fn sweep(lost: [u64; 3]) -> Option<(u32, u64, u64)> {
        let row = |bytes, packets, lost| DatagramSize { bytes, packets, sent: 50, echoed: 50 - lost, lost };
        let sizes = vec![row(64, 1, lost[0]), row(1_400, 1, lost[1]), row(2_000, 2, lost[2])];
        let udp = Some(Datagrams { sent: 150, sizes, ..Datagrams::default() });
        let by_protocol = Some(Box::new(ByProtocol { udp, ..ByProtocol::default() }));
        let w = WorkloadEvidence { by_protocol, ..WorkloadEvidence::default() };
        too_large(&w).map(|row| (row.bytes, row.sent, row.lost))
    }

    #[test]
    fn sizes_from_which_on_nothing_comes_back_are_told_with_all_that_were_sent_of_them() {
        assert_eq!(sweep([0, 50, 50]), Some((1_400, 100, 100)));
        assert_eq!(sweep([0, 0, 50]), Some((2_000, 50, 50)));
    }

    #[test]
    fn no_size_is_too_large_where_some_of_it_come_back_or_chance_explains_it() {
        assert_eq!(sweep([0, 50, 49]), None, "one of the largest came back");
        assert_eq!(sweep([49, 50, 50]), None, "hardly one of the small ones did");
    }

    /// What is said of so many of 200 that did not come back, in whose place so many others came, and of further ones; the
    /// link may have lost each of them.
    fn said(lost: u64, replaced: u64, strangers: u64, duplicates: u64) -> (Severity, String) {
        let udp = Datagrams {
            sent: 200,
            echoed: 200 - lost,
            lost,
            replaced,
            strangers,
            duplicates,
            ..Datagrams::default()
        };
        let e = Evidence::default();
        let found = scattered(&e, &WorkloadEvidence::default(), &udp, lost, Vec::new());
        (found.severity, format!("{} {}", found.statement, found.cause))
    }

    #[test]
    fn losses_in_whose_place_other_datagrams_came_are_none_of_the_links() {
        for (strangers, duplicates) in [(20, 0), (0, 20), (9, 11)] {
            let (severity, said) = said(20, 20, strangers, duplicates);
            assert_eq!(severity, Severity::Error);
            assert!(said.contains("as many came that answer none"), "{said}");
            assert!(!said.contains("link") && !said.contains("queue"), "{said}");
        }
        let (severity, said) = said(22, 18, 18, 0);
        assert!(severity == Severity::Error && said.contains("in the place of 18 of them"), "{said}");
    }

    #[test]
    fn a_device_that_drops_more_than_half_is_an_error_and_a_link_that_may_have_is_none() {
        let said = |lost, address: &str| {
            let udp = Datagrams { sent: 200, echoed: 200 - lost, lost, ..Datagrams::default() };
            let mut e = Evidence::default();
            e.device.place = Some(Place { address: address.parse().unwrap(), resolved: None });
            scattered(&e, &WorkloadEvidence::default(), &udp, lost, Vec::new()).severity
        };
        assert_eq!((said(101, "127.0.0.1"), said(100, "127.0.0.1")), (Severity::Error, Severity::Warning));
        assert_eq!(said(190, "192.168.4.1"), Severity::Warning);
    }

    #[test]
    fn a_device_that_sends_more_than_echoes_and_a_path_that_repeats_datagrams_mix_nothing_up() {
        // One of each may be chance, so may be ten lost ones and ten repeated ones.
        assert_eq!(said(1, 1, 1, 0).0, Severity::Warning);
        assert!(said(1, 1, 1, 0).1.contains("it is not known whether they were to be the answers"));
        assert!(!said(10, 1, 0, 9).1.contains("mixes them up."), "{:?}", said(10, 1, 0, 9));
        assert_eq!(said(10, 10, 400, 0).0, Severity::Warning);
        assert!(said(10, 0, 10, 0).1.contains("it is not known"), "they may be answers of another length");
        assert_eq!(said(9, 0, 2, 0).0, Severity::Info, "what came besides is not enough for them");
    }
}
