//! Findings from evidence as a run would give it, in figures: no traffic, no clock.

#![allow(missing_docs, reason = "a test")]

mod answers;
mod idle;
mod neighbours;
mod personas;
mod statuses;
mod support;
mod total;
