//! Links as people write them: `home`, `loss=2%,delay=20ms`, `home,down.loss=2%,outage=2s/60s`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::spec::{LinkSpec, MAX_QUEUE, Order, OutagePlan, PathSpec, PowerSave, Spacing};
use super::table::{NAMED, named};

/// Keys of one direction, with what they take. `up.` and `down.` before one (from and to the device) set that
/// direction alone.
pub(super) const PATH_KEYS: [(&str, &str); 8] = [
    ("delay", "a duration from 0ms to 10s"),
    ("jitter", "a duration from 0ms to 10s"),
    ("order", "kept or free"),
    ("loss", "a share from 0% to 100%"),
    ("burst", "a mean run of lost frames from 1 to 1000, or none"),
    ("duplicate", "a share from 0% to 100%"),
    ("rate", "from 1kbit/s to 10Gbit/s, or none"),
    ("queue", "frames, from 1 to 8192"),
];

/// Keys of the whole link, with what they take.
pub(super) const LINK_KEYS: [(&str, &str); 5] = [
    (
        "outage",
        "LENGTH@WHEN (once), LENGTH/PERIOD (periodic), LENGTH~MEAN (by chance) with a LENGTH such as 2s or 1s-3s, \
         each from 1ms to 1000h, or none; given again it adds one, up to 16",
    ),
    ("power-save", "none, min-modem or max-modem"),
    ("dtim", "beacons of 102.4ms, from 1 to 10"),
    ("listen", "beacons of 102.4ms, from 1 to 100"),
    ("awake", "a duration from 0ms to 10s"),
];

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const HOUR: u64 = 3_600 * SECOND;

/// Why a link cannot be had as written.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum LinkError {
    /// No such named link.
    #[error("no link `{name}`; use one of {}, or key=value with the keys {}", names(), keys())]
    Name {
        /// As written.
        name: String,
    },
    /// A name somewhere else than at the beginning.
    #[error("the name of a link comes first: `{name},key=value,...`")]
    NameNotFirst {
        /// As written.
        name: String,
    },
    /// No such key.
    #[error("no link setting `{key}`; the settings are {}", keys())]
    Key {
        /// As written.
        key: String,
    },
    /// A value that the key does not take.
    #[error("`{key}={value}`: {key} must be {expected}")]
    Value {
        /// Of this key.
        key: String,
        /// As written.
        value: String,
        /// What the key takes.
        expected: &'static str,
    },
    /// A loss that runs of this length cannot make up.
    #[error("loss {} with an average burst of {burst} is impossible; at most {}", Share(*.loss), Share(.burst / (1.0 + .burst)))]
    Burst {
        /// Asked share, 0 to 1.
        loss: f64,
        /// Asked mean run.
        burst: f64,
    },
    /// More plans than a link takes.
    #[error("a link has at most {} outage plans", LinkSpec::MAX_PLANS)]
    Plans,
}

fn names() -> String {
    NAMED.map(|link| link.name).join(", ")
}

fn keys() -> String {
    let all = PATH_KEYS.iter().chain(&LINK_KEYS).map(|&(key, _)| key).collect::<Vec<_>>();
    format!("{} (the first {} also with `up.` or `down.` before them)", all.join(", "), PATH_KEYS.len())
}

impl FromStr for LinkSpec {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let mut spec = Self::CLEAN;
        for (place, item) in text.split(',').map(str::trim).enumerate() {
            match item.split_once('=') {
                Some((key, value)) => set(&mut spec, key.trim(), value.trim())?,
                None if place > 0 => return Err(LinkError::NameNotFirst { name: item.to_owned() }),
                None => {
                    let link = named(item).ok_or_else(|| LinkError::Name { name: item.to_owned() })?;
                    for (key, value) in link.settings.split(',').filter_map(|setting| setting.split_once('='))
                    {
                        set(&mut spec, key, value)?;
                    }
                }
            }
        }
        for path in [&spec.to_device, &spec.to_host] {
            if let Some(burst) = path.burst
                && path.loss > burst / (1.0 + burst)
            {
                return Err(LinkError::Burst { loss: path.loss, burst });
            }
        }
        Ok(spec)
    }
}

fn set(spec: &mut LinkSpec, key: &str, value: &str) -> Result<(), LinkError> {
    let (name, paths): (&str, [Option<&mut PathSpec>; 2]) = if let Some(name) = key.strip_prefix("up.") {
        (name, [Some(&mut spec.to_host), None])
    } else if let Some(name) = key.strip_prefix("down.") {
        (name, [Some(&mut spec.to_device), None])
    } else {
        (key, [Some(&mut spec.to_device), Some(&mut spec.to_host)])
    };
    if let Some(&(_, expected)) = PATH_KEYS.iter().find(|&&(known, _)| known == name) {
        let bad = || LinkError::Value { key: key.to_owned(), value: value.to_owned(), expected };
        return paths.into_iter().flatten().try_for_each(|path| set_path(path, name, value).ok_or_else(bad));
    }
    let Some(&(_, expected)) = LINK_KEYS.iter().find(|&&(known, _)| known == key) else {
        return Err(LinkError::Key { key: key.to_owned() });
    };
    if key == "outage" && value != "none" && spec.outages.len() == LinkSpec::MAX_PLANS {
        return Err(LinkError::Plans);
    }
    let bad = || LinkError::Value { key: key.to_owned(), value: value.to_owned(), expected };
    set_link(spec, key, value).ok_or_else(bad)
}

fn set_path(path: &mut PathSpec, key: &str, value: &str) -> Option<()> {
    match key {
        "delay" => path.delay_ns = duration(value, 0, 10 * SECOND)?,
        "jitter" => path.jitter_ns = duration(value, 0, 10 * SECOND)?,
        "order" => {
            path.order = match value {
                "kept" => Order::Kept,
                "free" => Order::Free,
                _ => return None,
            }
        }
        "loss" => path.loss = share(value)?,
        "duplicate" => path.duplicate = share(value)?,
        "burst" if value == "none" => path.burst = None,
        "burst" => path.burst = Some(decimal(value).filter(|run| (1.0..=1000.0).contains(run))?),
        "rate" if value == "none" => path.rate = None,
        "rate" => path.rate = Some(rate(value)?),
        "queue" => path.queue = whole(value, 1, MAX_QUEUE)?,
        _ => return None,
    }
    Some(())
}

fn set_link(spec: &mut LinkSpec, key: &str, value: &str) -> Option<()> {
    match key {
        "outage" if value == "none" => spec.outages.clear(),
        "outage" => spec.outages.push(plan(value)?),
        "power-save" => {
            spec.power_save = match value {
                "none" => PowerSave::None,
                "min-modem" => PowerSave::MinModem,
                "max-modem" => PowerSave::MaxModem,
                _ => return None,
            }
        }
        "dtim" => spec.dtim = whole(value, 1, 10)?,
        "listen" => spec.listen = whole(value, 1, 100)?,
        "awake" => spec.awake_ns = duration(value, 0, 10 * SECOND)?,
        _ => return None,
    }
    Some(())
}

fn plan(text: &str) -> Option<OutagePlan> {
    let at = text.find(['@', '/', '~'])?;
    let (length, spacing) = text.split_at(at);
    let limits = |text: &str| duration(text, MS, 1_000 * HOUR);
    let (shortest_ns, longest_ns) = match length.split_once('-') {
        Some((shortest, longest)) => (limits(shortest)?, limits(longest)?),
        None => (limits(length)?, limits(length)?),
    };
    let when = &spacing[1..];
    let spacing = match spacing.as_bytes().first()? {
        b'@' => Spacing::Once(duration(when, 0, 1_000 * HOUR)?),
        b'/' => Spacing::Every(limits(when)?),
        _ => Spacing::Around(limits(when)?),
    };
    (shortest_ns <= longest_ns).then_some(OutagePlan { shortest_ns, longest_ns, spacing })
}

/// Digits with at most one point between them; no sign, no exponent, no `inf`.
fn decimal(text: &str) -> Option<f64> {
    let plain =
        text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    (plain && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')).then(|| text.parse().ok())?
}

fn whole(text: &str, least: u32, most: u32) -> Option<u32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}

fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(percent) => decimal(percent)? / 100.0,
        None => decimal(text)?,
    };
    (share <= 1.0).then_some(share)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let &(_, scale) = units.iter().find(|&&(name, _)| name == unit)?;
    match number.parse::<u64>() {
        Ok(number) => number.checked_mul(scale),
        // Saturates; every caller has an upper limit far below.
        Err(_) => Some((decimal(number)? * scale as f64).round() as u64),
    }
}

const TIMES: [(&str, u64); 6] =
    [("h", HOUR), ("m", 60 * SECOND), ("s", SECOND), ("ms", MS), ("us", 1_000), ("ns", 1)];

const RATES: [(&str, u64); 4] =
    [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1_000), ("bit/s", 1)];

fn duration(text: &str, least: u64, most: u64) -> Option<u64> {
    scaled(text, &TIMES).filter(|ns| (least..=most).contains(ns))
}

fn rate(text: &str) -> Option<u64> {
    scaled(text, &RATES).filter(|rate| (1_000..=10_000_000_000).contains(rate))
}

/// A number with the largest unit that leaves it whole.
struct In<'a>(u64, &'a [(&'a str, u64)], &'a str);

impl fmt::Display for In<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Self(value, units, zero) = self;
        match units.iter().find(|&&(_, scale)| value > 0 && value % scale == 0) {
            Some((unit, scale)) => write!(f, "{}{unit}", value / scale),
            None => f.write_str(zero),
        }
    }
}

struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        In(self.0, &TIMES, "0ms").fmt(f)
    }
}

/// A share in percent where that reads back as the same number, else as it is.
struct Share(f64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0 * 1e6).round() / 1e4;
        if rounded / 100.0 == self.0 { write!(f, "{rounded}%") } else { write!(f, "{}", self.0) }
    }
}

impl fmt::Display for OutagePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Time(self.shortest_ns))?;
        if self.longest_ns != self.shortest_ns {
            write!(f, "-{}", Time(self.longest_ns))?;
        }
        match self.spacing {
            Spacing::Once(at) => write!(f, "@{}", Time(at)),
            Spacing::Every(period) => write!(f, "/{}", Time(period)),
            Spacing::Around(mean) => write!(f, "~{}", Time(mean)),
        }
    }
}

/// The link in the same grammar: everything that differs from `clean`, or `clean`.
impl fmt::Display for LinkSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clean = Self::CLEAN;
        let mut items = Vec::new();
        let (down, up) = (path_items(&self.to_device), path_items(&self.to_host));
        for (down, up) in down.into_iter().zip(up) {
            match (down, up) {
                (down, up) if down == up => items.extend(down),
                (down, up) => {
                    items.extend(down.map(|item| format!("down.{item}")));
                    items.extend(up.map(|item| format!("up.{item}")));
                }
            }
        }
        items.extend(self.outages.iter().map(|plan| format!("outage={plan}")));
        if self.power_save != clean.power_save {
            items.push(format!("power-save={}", self.power_save));
        }
        if self.dtim != clean.dtim {
            items.push(format!("dtim={}", self.dtim));
        }
        if self.listen != clean.listen {
            items.push(format!("listen={}", self.listen));
        }
        if self.awake_ns != clean.awake_ns {
            items.push(format!("awake={}", Time(self.awake_ns)));
        }
        f.write_str(if items.is_empty() { "clean" } else { "" })?;
        f.write_str(&items.join(","))
    }
}

/// One setting for each of [`PATH_KEYS`] that differs from `clean`.
fn path_items(path: &PathSpec) -> [Option<String>; 8] {
    let clean = PathSpec::CLEAN;
    [
        (path.delay_ns != clean.delay_ns).then(|| format!("delay={}", Time(path.delay_ns))),
        (path.jitter_ns != clean.jitter_ns).then(|| format!("jitter={}", Time(path.jitter_ns))),
        (path.order != clean.order).then(|| format!("order={}", path.order)),
        (path.loss != clean.loss).then(|| format!("loss={}", Share(path.loss))),
        path.burst.map(|burst| format!("burst={burst}")),
        (path.duplicate != clean.duplicate).then(|| format!("duplicate={}", Share(path.duplicate))),
        path.rate.map(|rate| format!("rate={}", In(rate, &RATES, "none"))),
        (path.queue != clean.queue).then(|| format!("queue={}", path.queue)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> LinkSpec {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn every_named_link_reads_and_clean_does_nothing() {
        for link in NAMED {
            let spec = read(link.name);
            assert_eq!(
                spec,
                read(&format!("clean,{}", if link.settings.is_empty() { "loss=0%" } else { link.settings }))
            );
        }
        assert_eq!(read("clean"), LinkSpec::CLEAN);
    }

    #[test]
    fn settings_after_a_name_change_it_in_one_direction_or_both() {
        let spec = read("home, loss=2%,down.delay=1.5ms");
        assert_eq!(spec.to_device, PathSpec { loss: 0.02, delay_ns: 1_500_000, ..read("home").to_device });
        assert_eq!(spec.to_host, PathSpec { loss: 0.02, ..read("home").to_host });
    }

    #[test]
    fn outages_are_read_once_periodic_and_by_chance_and_cleared() {
        let spec = read("outage=2s@10s,outage=1s/60s,outage=1s-3s~30s");
        assert_eq!(spec.outages.len(), 3);
        assert_eq!(spec.outages[0].spacing, Spacing::Once(10 * SECOND));
        assert_eq!(spec.outages[2].longest_ns, 3 * SECOND);
        assert!(read("roaming,outage=none").outages.is_empty());
    }

    #[test]
    fn refusals_tell_what_is_allowed() {
        for (text, told) in [
            ("hom", "clean, home, busy, lossy, roaming, min-modem, max-modem"),
            ("", "clean, home"),
            ("speed=3", "delay, jitter, order, loss"),
            ("up.dtim=2", "delay, jitter, order, loss"),
            ("loss=101%", "0% to 100%"),
            ("loss=inf", "0% to 100%"),
            ("delay=5", "0ms to 10s"),
            ("delay=11s", "0ms to 10s"),
            ("rate=20", "1kbit/s to 10Gbit/s"),
            ("queue=0", "1 to 8192"),
            ("queue=+5", "1 to 8192"),
            ("dtim=11", "1 to 10"),
            ("outage=3s", "LENGTH@WHEN"),
            ("outage=3s-1s/60s", "LENGTH@WHEN"),
            ("loss=80%,burst=2", "at most"),
            ("loss=2%,home", "comes first"),
        ] {
            let error = text.parse::<LinkSpec>().expect_err(text).to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        assert_eq!(["outage=1s/9s"; 17].join(",").parse::<LinkSpec>(), Err(LinkError::Plans));
    }
}
