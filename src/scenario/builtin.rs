//! The scenarios that come with the program.

/// An embedded scenario.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its text, comments and all.
    pub text: &'static str,
}

/// All of them, in the order of `espstress scenarios`.
pub const BUILT_IN: &[BuiltIn] = &[
    BuiltIn { name: "quick", text: include_str!("../../configs/quick.toml") },
    BuiltIn { name: "ci-smoke", text: include_str!("../../configs/ci-smoke.toml") },
    BuiltIn { name: "soak", text: include_str!("../../configs/soak.toml") },
    BuiltIn { name: "head-1s", text: include_str!("../../configs/head-1s.toml") },
    BuiltIn { name: "head-200ms", text: include_str!("../../configs/head-200ms.toml") },
    BuiltIn { name: "micropython-5000", text: include_str!("../../configs/micropython-5000.toml") },
    BuiltIn { name: "timewait", text: include_str!("../../configs/timewait.toml") },
    BuiltIn { name: "resilience", text: include_str!("../../configs/resilience.toml") },
    BuiltIn { name: "resilience-360h", text: include_str!("../../configs/resilience-360h.toml") },
    BuiltIn { name: "half-open", text: include_str!("../../configs/half-open.toml") },
    BuiltIn { name: "mqtt", text: include_str!("../../configs/mqtt.toml") },
    BuiltIn { name: "mqtt-ci", text: include_str!("../../configs/mqtt-ci.toml") },
    BuiltIn { name: "power-save", text: include_str!("../../configs/power-save.toml") },
];

/// The one of that name.
#[must_use]
pub fn built_in(name: &str) -> Option<BuiltIn> {
    BUILT_IN.iter().copied().find(|scenario| scenario.name == name)
}
