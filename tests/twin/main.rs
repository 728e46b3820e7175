//! Twins in private networks. Each case runs in a process of its own, which enters a network of its own before it has
//! any thread; `main` is that process, the test runner, and the twin, by its first argument.
//!
//! Where no private network can be had, a case says `SKIPPED: why` and passes; with `ESPSTRESS_REQUIRE=twin` it fails.

#[cfg(target_os = "linux")]
mod cases;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod conformance;
#[cfg(target_os = "linux")]
mod mqtt;
#[cfg(target_os = "linux")]
mod outside;
#[cfg(target_os = "linux")]
mod runner;
#[cfg(target_os = "linux")]
mod smoltcp;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    runner::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: twins need Linux");
}
