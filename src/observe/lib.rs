//! What the wire shows: frames in, occurrences of anomalies out, as they happen and in memory that does not
//! grow. The same rules for live capture and for capture files.
//!
//! [`Observer`] does no input or output and reads no clock. It knows packets and which end is the device; what
//! was intended with a connection it does not know: that meets the occurrences in `diagnose`.

pub mod capture;
mod dials;
pub mod file;
mod flow;
mod fragments;
mod observer;
mod quiet;
mod resets;
mod rules;
mod summary;
#[cfg(test)]
mod tests;
mod weather;
mod windows;

pub use dials::{Dial, Dials};
pub use espstress_wire::Link;
pub use observer::{DeviceEnds, Observer, ObserverConfig, Turn};
pub use rules::{CatalogueEntry, Needs, Source, catalogue};
pub use summary::{Absence, LateEnds, QuietSpell, WireSummary};
