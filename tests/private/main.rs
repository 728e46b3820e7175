//! Twins in private networks. Each case runs in a process of its own, which enters a network of its own before it has
//! any thread; `main` is that process, the test runner, and the twin, by its first argument.
//!
//! `cargo test --test private twin::` runs the cases of the twin itself, `program::` those of programs on its stack,
//! `air::` those of a monitor interface.
//! Where a case lacks something it says `SKIPPED: why` and passes; it fails where `ESPSTRESS_REQUIRE` names what it
//! lacks: `twin` for a private network, `strangers` for a program of the system's.

/// Names beside their functions.
#[cfg(target_os = "linux")]
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

#[cfg(target_os = "linux")]
mod air;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod runner;
#[cfg(target_os = "linux")]
mod twin;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    runner::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: twins need Linux");
}
