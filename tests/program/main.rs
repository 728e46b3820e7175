//! Programs that nobody adapted, on the device's stack: small C programs of every style, each in a private network of
//! its own. `main` is a case's process, the test runner, and the twin, by its first argument.
//!
//! Where no private network, no C compiler or no such program can be had, a case says `SKIPPED: why` and passes; with
//! `ESPSTRESS_REQUIRE=twin` it fails where there is no network.

#[cfg(target_os = "linux")]
mod calls;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod ends;
#[cfg(target_os = "linux")]
mod runner;
#[cfg(target_os = "linux")]
mod runs;
#[cfg(target_os = "linux")]
mod strangers;
#[cfg(target_os = "linux")]
mod styles;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    runner::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("SKIPPED: twins need Linux");
}
