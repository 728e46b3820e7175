//! What is run, and what must be said of it.
//!
//! A cell is a fault, its onset, a link, a load, a length and whether the device tells of itself. A seed names its cell
//! and its place there, so that a run is repeated from its seed alone. Even seeds are for writing rules by; odd ones
//! are for measuring and nothing else.

use std::fmt;

use espstress_device::Persona;
use espstress_device::persona::Kind as Persona_;
use espstress_diagnose::FindingId;
use espstress_twin::link::{LinkSpec, OutagePlan, Spacing};

use crate::chance::{Chance, Purpose};
use crate::load::{Close, Kind, Load};
use crate::world::{Run, Setup, Switch};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;

/// When a fault is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Onset {
    /// All the time.
    Start,
    /// From about the middle on.
    Late,
    /// For about a quarter of the run.
    Gone,
    /// For about a sixth of it, and once more.
    Twice,
}

impl Onset {
    /// Every onset.
    pub const ALL: [Self; 4] = [Self::Start, Self::Late, Self::Gone, Self::Twice];

    const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Late => "late",
            Self::Gone => "gone",
            Self::Twice => "twice",
        }
    }

    /// From when to when, in shares of the run.
    fn spans(self, chance: &mut Chance) -> Vec<(f64, f64)> {
        let mut share = |from: u64, to: u64| chance.between(from * 100, to * 100) as f64 / 10_000.0;
        match self {
            Self::Start => vec![(0.0, 1.0)],
            Self::Late => vec![(share(35, 60), 1.0)],
            Self::Gone => {
                let from = share(20, 45);
                vec![(from, from + share(22, 30))]
            }
            Self::Twice => {
                let (first, second) = (share(15, 25), share(55, 65));
                vec![(first, first + share(14, 20)), (second, second + share(14, 20))]
            }
        }
    }
}

/// The named links, and two that blink.
pub const LINKS: [&str; 9] =
    ["clean", "home", "busy", "lossy", "roaming", "min-modem", "max-modem", "blink", "blinks"];

/// The link of that name, for a run of that length.
fn link(name: &str, length_ns: u64, chance: &mut Chance) -> LinkSpec {
    let home = || "home".parse().unwrap_or(LinkSpec::CLEAN);
    let once = |length: u64, at: u64| OutagePlan {
        shortest_ns: length,
        longest_ns: length,
        spacing: Spacing::Once(at),
    };
    match name {
        "blink" => {
            let at = chance.between(length_ns / 10, length_ns / 10 * 9);
            LinkSpec { outages: vec![once(2_500 * MS, at)], ..home() }
        }
        "blinks" => {
            let plan = OutagePlan {
                shortest_ns: 500 * MS,
                longest_ns: 4 * SECOND,
                spacing: Spacing::Around(15 * SECOND),
            };
            LinkSpec { outages: vec![plan], ..home() }
        }
        name => name.parse().unwrap_or(LinkSpec::CLEAN),
    }
}

/// What may be said of a link, whatever the device does.
fn allowed_of_link(name: &str) -> &'static [FindingId] {
    match name {
        "busy" | "lossy" => &[FindingId::LossyLink],
        "roaming" => &[FindingId::LossyLink, FindingId::LinkOutages],
        "min-modem" | "max-modem" => &[FindingId::PowerSaveLatency],
        "blink" | "blinks" => &[FindingId::LinkOutages],
        _ => &[],
    }
}

/// A named load.
#[derive(Clone, Copy, Debug)]
pub struct NamedLoad {
    /// Its name.
    pub name: &'static str,
    kind: Kind,
    lanes: u32,
    interval_ns: Option<u64>,
}

const fn head(name: &'static str, close: Close, delay: u64, lanes: u32, interval_ns: u64) -> NamedLoad {
    let kind = Kind::Head { close, request_delay: delay };
    NamedLoad { name, kind, lanes, interval_ns: Some(interval_ns) }
}

const fn framed(name: &'static str, size: u32, lanes: u32, interval_ns: u64) -> NamedLoad {
    NamedLoad { name, kind: Kind::Framed { size }, lanes, interval_ns: Some(interval_ns) }
}

const HEAD_LOW: NamedLoad = head("head 2/s x1", Close::Fin, 0, 1, 500 * MS);
const HEAD_HIGH: NamedLoad = head("head 25/s x4", Close::Fin, 0, 4, 40 * MS);
const HEAD_MANY: NamedLoad = head("head 25/s x8", Close::Fin, 0, 8, 40 * MS);
const HEAD_DELAY: NamedLoad = head("head 2/s x1, request after 300 ms", Close::Fin, 300 * MS, 1, 500 * MS);
const HEAD_DELAYS: NamedLoad = head("head 8/s x4, request after 300 ms", Close::Fin, 300 * MS, 4, 125 * MS);
const HEAD_RST: NamedLoad = head("head rst 4/s x2", Close::Rst, 0, 2, 250 * MS);
const HEAD_VANISH: NamedLoad = head("head vanish 1/5s x1", Close::Vanish, 0, 1, 5 * SECOND);
const RW_LOW: NamedLoad = framed("rw 2/s x1", 256, 1, 500 * MS);
const RW_HIGH: NamedLoad = framed("rw 40/s x4", 256, 4, 25 * MS);
const RW_LARGE: NamedLoad = framed("rw 2/s x2, 16 KiB", 16_384, 2, 500 * MS);
const RW_HTTP: NamedLoad =
    NamedLoad { name: "rw http 5/s x2", kind: Kind::KeepAlive, lanes: 2, interval_ns: Some(200 * MS) };

/// A device, what must be said of it, and under which loads it shows.
#[derive(Clone, Copy, Debug)]
pub struct Truth {
    /// The persona, parameters included.
    pub persona: &'static str,
    /// What must be said once it has shown itself; `None` of a healthy one.
    pub right: Option<FindingId>,
    /// What may be said beside it.
    also: &'static [FindingId],
    loads: &'static [NamedLoad],
}

/// The table of section 6 of the specification, as far as these loads show it.
pub const TRUTHS: [Truth; 12] = [
    Truth {
        persona: "robust",
        right: None,
        also: &[],
        loads: &[HEAD_LOW, HEAD_HIGH, HEAD_DELAY, HEAD_RST, HEAD_VANISH, RW_LOW, RW_HIGH, RW_LARGE, RW_HTTP],
    },
    Truth {
        persona: "unread-close",
        right: Some(FindingId::AbortiveClose),
        also: &[],
        loads: &[HEAD_LOW, HEAD_HIGH],
    },
    Truth {
        persona: "early-close",
        right: Some(FindingId::AbortiveClose),
        also: &[],
        loads: &[HEAD_DELAY, HEAD_DELAYS],
    },
    Truth { persona: "serial", right: Some(FindingId::BlockedApplication), also: &[], loads: &[RW_HIGH] },
    Truth {
        persona: "no-keepalive",
        right: Some(FindingId::HalfOpenNotReclaimed),
        also: &[],
        loads: &[HEAD_VANISH],
    },
    Truth { persona: "leaky", right: Some(FindingId::SocketExhaustion), also: &[], loads: &[HEAD_RST] },
    Truth {
        persona: "hoarder",
        right: Some(FindingId::HeapLeak),
        // Without memory it answers nothing any more.
        also: &[FindingId::HeapLow, FindingId::DeviceUnreachable],
        loads: &[HEAD_LOW, HEAD_HIGH, RW_LOW],
    },
    Truth {
        persona: "slow-accept",
        right: Some(FindingId::AcceptOverflow),
        also: &[],
        loads: &[HEAD_HIGH, HEAD_MANY],
    },
    Truth {
        persona: "deaf",
        right: Some(FindingId::BlockedApplication),
        also: &[],
        loads: &[RW_LOW, RW_HIGH, RW_LARGE],
    },
    Truth {
        persona: "half-closer",
        right: Some(FindingId::SocketExhaustion),
        also: &[],
        loads: &[HEAD_LOW, HEAD_HIGH],
    },
    Truth {
        persona: "frozen",
        right: Some(FindingId::BlockedApplication),
        also: &[],
        loads: &[HEAD_LOW, HEAD_HIGH, RW_LOW, RW_HIGH, RW_HTTP],
    },
    Truth {
        persona: "rebooting:every=8s",
        right: Some(FindingId::DeviceRebooted),
        also: &[],
        loads: &[HEAD_LOW, HEAD_HIGH, RW_LOW, RW_HIGH],
    },
];

/// Lengths of runs.
pub const LENGTHS: [u64; 2] = [30 * SECOND, 120 * SECOND];

/// Whether the device tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tells {
    /// Telemetry, and how many connections it holds.
    All,
    /// Nothing: any device.
    Nothing,
}

/// A cell of the matrix.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// The device.
    pub truth: &'static Truth,
    /// When it has its fault.
    pub onset: Onset,
    /// The link.
    pub link: &'static str,
    /// The load.
    pub load: &'static NamedLoad,
    /// How long.
    pub length_ns: u64,
    /// Whether it tells of itself.
    pub tells: Tells,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tells = if self.tells == Tells::All { "telemetry" } else { "no telemetry" };
        write!(
            f,
            "{}, {}, {}, {}, {} s, {tells}",
            self.truth.persona,
            self.onset.name(),
            self.link,
            self.load.name,
            self.length_ns / SECOND
        )
    }
}

/// Every cell, in an order that does not change unless the tables do.
pub fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for truth in &TRUTHS {
        let onsets: &[Onset] = if truth.right.is_none() { &[Onset::Start] } else { &Onset::ALL };
        for load in truth.loads {
            for link in LINKS {
                for &onset in onsets {
                    for length_ns in LENGTHS {
                        for tells in [Tells::All, Tells::Nothing] {
                            // Nobody can know of a heap that the device says nothing of.
                            if truth.right == Some(FindingId::HeapLeak) && tells == Tells::Nothing {
                                continue;
                            }
                            cells.push(Cell { truth, onset, link, load, length_ns, tells });
                        }
                    }
                }
            }
        }
    }
    cells
}

/// Which half of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Half {
    /// Even: rules may be written by them.
    Training,
    /// Odd: nobody looks at them while rules are written.
    HeldOut,
}

/// Bits of a seed below its cell's.
const BELOW: u32 = 16;

/// The number of a cell, by its name: it stays what it is when the tables grow.
fn number(cell: &Cell) -> u64 {
    // FNV-1a, folded to 32 bits; that no two cells share a number is tested.
    let hash = cell.to_string().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ hash >> 32) & 0xffff_ffff
}

/// The cell of a seed.
pub fn cell_of(seed: u64) -> Option<Cell> {
    cells().into_iter().find(|cell| number(cell) == seed >> BELOW)
}

impl Cell {
    /// The seed of its `n`th run, of fewer than 32,768 in each half.
    pub fn seed(&self, n: u64, half: Half) -> u64 {
        number(self) << BELOW | (n << 1 & 0xfffe) | half as u64
    }

    /// What is run under a seed.
    pub fn setup(&self, seed: u64) -> Setup {
        let mut chance = Chance::new(seed, Purpose::Case);
        let faulty: Persona = self.truth.persona.parse().unwrap_or(Persona::ROBUST);
        let at = |share: f64| (share * self.length_ns as f64) as u64;
        let mut personas = vec![Switch { at_ns: 0, persona: Persona::ROBUST }];
        if faulty.kind() != Persona_::Robust {
            for (from, to) in self.onset.spans(&mut chance) {
                if from == 0.0 {
                    personas.clear();
                }
                personas.push(Switch { at_ns: at(from), persona: faulty });
                if to < 1.0 {
                    personas.push(Switch { at_ns: at(to), persona: Persona::ROBUST });
                }
            }
        }
        Setup {
            seed,
            personas,
            link: link(self.link, self.length_ns, &mut chance),
            load: Load {
                kind: self.load.kind,
                lanes: self.load.lanes,
                interval_ns: self.load.interval_ns,
                duration_ns: self.length_ns,
            },
            tells: self.tells,
            keeps: false,
            beside: None,
            restarts: Vec::new(),
        }
    }

    /// What may be said in its place, because from outside nobody can tell them apart.
    ///
    /// A device that keeps the sockets of connections that the host reset, and one whose program hangs, leave the same
    /// packets; only the device's own count of sockets differs. A restart that cuts no connection is a time without
    /// answers.
    fn looks_like(&self) -> &'static [FindingId] {
        match (self.truth.right, self.tells) {
            (Some(FindingId::SocketExhaustion), Tells::Nothing) if self.truth.persona == "leaky" => {
                &[FindingId::BlockedApplication]
            }
            (Some(FindingId::DeviceRebooted), Tells::Nothing) => &[FindingId::LinkOutages],
            // As many connections as are open at once, answered and not ended, and nobody served after them: the program
            // hangs, or keeps its only sockets.
            (Some(FindingId::SocketExhaustion), _) if self.truth.persona == "half-closer" => {
                &[FindingId::BlockedApplication]
            }
            (Some(FindingId::BlockedApplication), _) if self.load.lanes == 1 => {
                &[FindingId::SocketExhaustion]
            }
            _ => &[],
        }
    }

    /// On how many connections the fault has shown itself, near enough to tell ten from none.
    pub fn shown(&self, run: &Run) -> u64 {
        match self.truth.right {
            None => 0,
            Some(FindingId::AbortiveClose) => run.served_with_fault,
            // Thirty requests of 256 bytes are what one connection holds anyway.
            Some(FindingId::HeapLeak) => run.served_with_fault / 30,
            // The device counts them itself.
            Some(FindingId::DeviceRebooted) if self.tells == Tells::All => run.restarts * Verdict::ENOUGH,
            Some(_) => run.troubles,
        }
    }

    /// What is right and wrong about what was said.
    pub fn verdict(&self, run: &Run) -> Verdict {
        use espstress_diagnose::Severity;

        let allowed = |id: FindingId| {
            Some(id) == self.truth.right
                || self.truth.also.contains(&id)
                || allowed_of_link(self.link).contains(&id)
                || self.looks_like().contains(&id)
                // What a fault does and nothing explains is said, never kept quiet.
                || (self.truth.right.is_some()
                    && matches!(
                        id,
                        FindingId::UnexplainedFailures
                            | FindingId::ResetsRequests
                            | FindingId::ClosesUnserved
                    ))
        };
        let wrong = run.findings.iter().filter(|finding| !allowed(finding.id));
        let said: Vec<FindingId> = run.findings.iter().map(|finding| finding.id).collect();
        Verdict {
            right_said: self.truth.right.is_none_or(|right| {
                said.contains(&right) || self.looks_like().iter().any(|id| said.contains(id))
            }),
            false_errors: wrong.clone().filter(|f| f.severity == Severity::Error).map(|f| f.id).collect(),
            false_words: wrong.map(|f| f.id).collect(),
            shown: self.shown(run),
            said,
        }
    }
}

/// How right a run's findings were.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What had to be said was said.
    pub right_said: bool,
    /// Errors that are none.
    pub false_errors: Vec<FindingId>,
    /// Findings of any severity that nothing in the run accounts for.
    pub false_words: Vec<FindingId>,
    /// On how many connections the fault has shown itself.
    pub shown: u64,
    /// Everything that was said.
    pub said: Vec<FindingId>,
}

impl Verdict {
    /// A fault that shows itself on so many connections has to be found.
    pub const ENOUGH: u64 = 10;

    /// A fault that showed itself and was not named.
    pub const fn is_miss(&self) -> bool {
        !self.right_said && self.shown >= Self::ENOUGH
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_names_its_cell() {
        let cells = cells();
        let numbers: BTreeSet<u64> = cells.iter().map(number).collect();
        assert_eq!(numbers.len(), cells.len());
        let cell = cells[cells.len() / 2];
        let seed = cell.seed(5, Half::HeldOut);
        assert_eq!(cell_of(seed).map(|found| found.to_string()), Some(cell.to_string()));
        assert_eq!([seed % 2, cell.seed(5, Half::Training) % 2], [1, 0]);
    }
}
