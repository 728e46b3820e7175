//! Web servers that are not ours, good and bad: what a run says of each, from its report, its page and its exit status.

#![cfg_attr(
    not(feature = "long"),
    allow(dead_code, unused_imports, reason = "only long tests need some of it")
)]

mod faulty;
mod healthy;
mod runs;
