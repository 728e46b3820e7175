//! Web servers that are not ours, good and bad: what a run says of each, from its report, its page and its exit status.

#[path = "../common/mod.rs"]
mod common;

mod faulty;
mod healthy;
mod runs;
