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
    BuiltIn { name: "soak", text: include_str!("../../configs/soak.toml") },
    BuiltIn { name: "timewait", text: include_str!("../../configs/timewait.toml") },
];

/// The one of that name.
#[must_use]
pub fn built_in(name: &str) -> Option<BuiltIn> {
    BUILT_IN.iter().copied().find(|scenario| scenario.name == name)
}
