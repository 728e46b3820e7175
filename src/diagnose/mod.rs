//! Where what was intended and what was seen meet: anomalies classed by intention, and findings that say
//! what they mean.
//!
//! Pure: takes values of `event`, returns values; reads no clock, opens nothing, formats nothing.

mod anomalies;
mod finding;

pub use anomalies::{AnomalyRow, Classed, Example, ExamplePacket, Intentions, Ledger, ResetCauses};
pub use finding::{Finding, FindingId, Severity};
