//! Reports of several devices, or of several machines that drove the same device, as one.
//!
//! A fleet report holds each report whole, so nothing is lost by joining, and any of them can be had back. Beside them it
//! has what only all together show: the sums of each workload, with the histograms added and the series in line by wall
//! clock, and each finding with the devices that have it. The verdict is the worst one.
//!
//! Reports are joined only if they tell of the same work, by the same version of the program: the sums of anything else
//! would mean nothing.

mod file;
mod join;
mod markdown;
mod merge;
mod model;
mod page;
mod series;

#[cfg(feature = "schema")]
pub use file::schema_of_types;
pub use file::{Read, from_json, schema, to_json};
pub use join::join;
pub use markdown::markdown;
pub use merge::{Named, Refused, merge};
pub use model::{FleetDevice, FleetFinding, FleetReport, JoinedWorkload};
pub use page::{page, verdict_line};

#[cfg(test)]
mod tests;
