//! The named links. The one place of their numbers; `docs/links.md` shows the same table.

/// A named link.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// Its settings as one would type them; empty for `clean`.
    pub settings: &'static str,
    /// What it stands for.
    pub summary: &'static str,
}

/// All named links.
pub const NAMED: [Named; 7] = [
    Named { name: "clean", settings: "", summary: "nothing: a cable" },
    Named {
        name: "home",
        settings: "delay=2ms,jitter=8ms,rate=20Mbit/s,queue=256",
        summary: "an access point in the next room, no power save",
    },
    Named {
        name: "busy",
        settings: "delay=4ms,jitter=40ms,loss=0.5%,rate=6Mbit/s,queue=64",
        summary: "a crowded channel: long waits for the air, a few losses",
    },
    Named {
        name: "lossy",
        settings: "delay=3ms,jitter=8ms,loss=3%,burst=1.5,rate=10Mbit/s,queue=128",
        summary: "the edge of the range: losses, often two in a row",
    },
    Named {
        name: "roaming",
        settings: "delay=3ms,jitter=10ms,loss=0.5%,rate=10Mbit/s,queue=128,outage=1s-3s~30s",
        summary: "on the move: the association is lost for one to three seconds, on average every half minute",
    },
    Named {
        name: "min-modem",
        settings: "delay=2ms,jitter=2ms,rate=20Mbit/s,queue=256,power-save=min-modem,dtim=1,awake=10ms",
        summary: "the station sleeps between DTIM beacons, ESP-IDF's default: up to 102.4 ms more to the device",
    },
    Named {
        name: "max-modem",
        settings: "delay=2ms,jitter=2ms,rate=20Mbit/s,queue=256,power-save=max-modem,listen=3,awake=10ms",
        summary: "the station sleeps for its listen interval, ESP-IDF's default of three beacons: up to 307.2 ms",
    },
];

/// The named link of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|link| link.name == name)
}
