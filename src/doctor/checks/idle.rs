//! Connections that nobody uses: how many the device holds, whether it takes them back, and whether it asks.

use super::super::hold::{HoldSeen, TOO_MANY};
use super::super::names;
use super::{Look, OneEach, check};
use espstress_diagnose::words::{things, time};
use espstress_diagnose::{Check, FindingId, Mark};
use espstress_stats::{HalfOpenStats, LimitReached, Stage};

/// When a system sends its first keep-alive probe where nobody has set another time (lwIP's `TCP_KEEPIDLE_DEFAULT`, RFC 9293,
/// section 3.8.4).
const USUAL: &str = "by default the first probe comes after 7200 s";

/// A connection that the device ended sooner than this was not idle, nanoseconds.
const AT_ONCE: u64 = 500_000_000;

/// The longest time for which a connection was idle: one that has ended gets no more probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Idle {
    ns: u64,
    ended_by_device: bool,
}

impl Idle {
    /// Of connections whose client fell silent. `stay` is whether the device keeps connections after a response: of others
    /// nobody knows whether they had ended before the silence, unless their end was seen after it.
    pub(super) fn of_silent(h: &HalfOpenStats, stay: bool) -> Option<Self> {
        let watched_to = h.silent_since_ns?.saturating_add(h.watched_ns);
        let each = h.connections.iter().filter_map(|c| match c.reclaimed_after_ns {
            Some(ns) => Some(Self { ns, ended_by_device: true }),
            None if stay => Some(Self { ns: watched_to.saturating_sub(c.silent_ns), ended_by_device: false }),
            None => None,
        });
        each.filter(|idle| idle.ns >= AT_ONCE).max()
    }

    /// Of connections that were held. When the device ended some of them nobody noted.
    fn of_held(hold: &HoldSeen) -> Option<Self> {
        let stayed = hold.ended_by_device < hold.held && hold.idle_ns > 0;
        stayed.then_some(Self { ns: hold.idle_ns, ended_by_device: false })
    }

    pub(super) fn words(self) -> String {
        let ended = if self.ended_by_device { ", when the device had ended each of them" } else { "" };
        format!("{} idle{ended}", time(self.ns))
    }
}

impl Look<'_> {
    pub(super) fn idle_connections(&self) -> Option<Check> {
        const NAME: &str = "idle connections";
        if let Some(why) = self.one_request_each() {
            // What says that it will close may still hold each of them.
            let (mark, none) = match why {
                OneEach::Closed => (Mark::Good, "none"),
                OneEach::Announced => (Mark::Unknown, "not judged"),
            };
            return self.phase(names::SILENT).map(|_| check(NAME, mark, format!("{none}: {}", why.words())));
        }
        if let Some(finding) = self.found(FindingId::MakesRoom) {
            return Some(check(NAME, Mark::Good, finding.statement.clone()));
        }
        if let Some(h) = self.half_open() {
            if let Some(status) = h.rate_limit() {
                let why = match status {
                    429 => "a limit of how often it is asked",
                    _ => "but it served other clients then",
                };
                let text = format!(
                    "not known how many it holds: it held {} and refused others by {status}, {why}",
                    h.served
                );
                return Some(check(NAME, Mark::Unknown, text));
            }
            let text = match h.limit {
                LimitReached::Device => {
                    format!("holds {} at once; more wait or fail", h.capacity().unwrap_or(h.served))
                }
                LimitReached::Setting if h.unserved > 0 => {
                    let held = h.capacity().unwrap_or(h.served);
                    let later = match h.served.saturating_sub(held) {
                        0 => String::new(),
                        later => format!(", and served {later} later"),
                    };
                    format!(
                        "holds {held} at once; it accepted {} more but didn't serve them{later}",
                        h.unserved
                    )
                }
                LimitReached::Setting if h.closed_early() > 0 => format!(
                    "served all {} that this test opened; {} of them were closed before the last",
                    h.served,
                    h.closed_early()
                ),
                LimitReached::Setting if h.refused() > 0 => {
                    let held = h.capacity().unwrap_or(h.served);
                    format!(
                        "held {held} that this test opened; it refused the requests of {} of them, by 429 or 503",
                        h.refused()
                    )
                }
                // Without the packets nobody knows which of them the device has closed.
                LimitReached::Setting if self.packets().is_none() => {
                    format!("served all {} that this test opened", h.served)
                }
                LimitReached::Setting => format!("held all {} that this test opened", h.served),
                LimitReached::NotSearched | LimitReached::Host | LimitReached::Stopped => {
                    return Some(check(NAME, Mark::Unknown, "the search for the limit didn't finish"));
                }
            };
            return Some(check(NAME, if h.served > 1 { Mark::Good } else { Mark::Bad }, text));
        }
        if let Some(hold) = self.hold {
            if let Some(status) = hold.refused_by.filter(|by| *by == TOO_MANY || hold.held == 0) {
                let text = match hold.held {
                    0 => format!("not known how many it holds: it answered each by {status}"),
                    held => format!(
                        "not known how many it holds: it held {held} and refused others by {status}, a limit of how often it is asked"
                    ),
                };
                return Some(check(NAME, Mark::Unknown, text));
            }
            let more = if hold.full { "more wait or fail" } else { "no more were tried" };
            let text = format!(
                "holds {} at once ({more}); {} ended by the device within {}",
                hold.held,
                hold.ended_by_device,
                time(hold.idle_ns)
            );
            return Some(check(NAME, if hold.held > 1 { Mark::Good } else { Mark::Bad }, text));
        }
        let reason = self.phase(names::SILENT)?.stats.half_open.as_deref()?.unavailable.as_deref()?;
        Some(check(NAME, Mark::Unknown, reason))
    }

    pub(super) fn takes_back(&self) -> Option<Check> {
        const NAME: &str = "frees them";
        if self.one_request_each().is_some() {
            return None;
        }
        if let Some(h) = self.half_open() {
            let of = h.connections.iter().filter(|c| c.stage == Stage::Served);
            let (all, back) = of.fold((0_u64, 0_u64), |(all, back), c| {
                (all + 1, back + u64::from(c.reclaimed_after_ns.is_some()))
            });
            let longest = h.connections.iter().filter_map(|c| c.reclaimed_after_ns).max();
            let after = longest
                .filter(|_| back > 0)
                .map_or_else(String::new, |ns| format!(", the last after {}", time(ns)));
            // A FIN shows only in the packets, and how many sockets are left only in the device's own account.
            let unseen = self.packets().is_none() && h.sockets_used.is_none() && back < all;
            let (silent, watched) = (things(all, "connection"), time(h.watched_ns));
            let text = if !unseen {
                format!("{back} of {silent} whose client fell silent{after}; watched for {watched}")
            } else {
                let why = self.no_packets();
                let found = match (back, h.exhausted == Some(true) && h.served_again_ns.is_none()) {
                    (0, true) => format!("no other client was served again within {watched}; "),
                    (0, false) => String::new(),
                    _ => format!("{back} of {silent} whose client fell silent{after}; "),
                };
                let rest = if back > 0 { things(all - back, "other") } else { silent };
                format!("{found}not known whether the device closed the {rest}: {why}")
            };
            // Where others are served all the while nobody is hurt, and a server with much room takes its time. Where they are
            // served again beside all of them, something else had kept them out.
            let long = |ns: u64| ns >= h.expected_reclaim_ns;
            let hurts = h.exhausted == Some(true) && long(h.watched_ns) && h.served_again_ns.is_none_or(long);
            let makes_room = self.found(FindingId::MakesRoom).is_some();
            let mark = match (back == all && all > 0) || makes_room {
                true => Mark::Good,
                false if hurts => Mark::Bad,
                false => Mark::Unknown,
            };
            return Some(check(NAME, mark, text));
        }
        let hold = self.hold?;
        let reason = self.phase(names::SILENT)?.stats.half_open.as_deref()?.unavailable.as_deref()?;
        let after = match hold.served_after {
            Some(true) => "serves again after a normal close",
            Some(false) => "doesn't serve after a normal close",
            None => "not tested again",
        };
        let mark = if hold.served_after == Some(false) { Mark::Bad } else { Mark::Unknown };
        Some(check(NAME, mark, format!("{after}; silent clients couldn't be tested: {reason}")))
    }

    pub(super) fn keep_alive(&self) -> Check {
        const NAME: &str = "TCP keep-alive";
        let Some(seen) = self.packets() else {
            return check(NAME, Mark::Unknown, self.no_packets());
        };
        let figures = seen.summary.keep_alive;
        if figures.probes > 0 {
            let after = figures.idle_ns.map_or_else(String::new, |ns| {
                format!(", the first after {} idle", time(u64::try_from(ns).unwrap_or(0)))
            });
            return check(
                NAME,
                Mark::Good,
                format!("{} from the device{after}", things(figures.probes, "probe")),
            );
        }
        let silent = self.half_open().and_then(|h| Idle::of_silent(h, self.one_request_each().is_none()));
        let held = self.hold.and_then(Idle::of_held);
        let text = match silent.max(held) {
            Some(idle) => format!("none within {}; {USUAL}", idle.words()),
            None if self.half_open().is_some() || self.hold.is_some() => {
                let why = self.one_request_each().map_or("the device ended each", OneEach::words);
                format!("not judged: no connection is known to have been idle for long: {why}")
            }
            None => "no connection was idle".into(),
        };
        check(NAME, Mark::Unknown, text)
    }
}
