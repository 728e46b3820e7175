//! Scenarios: what a run is to do, read from TOML, the built-in ones embedded.
//!
//! Precedence: command line over file over default. This crate reads the file and its places; what a workload's
//! settings mean is known to the workloads, and `command` brings the two together.

mod builtin;
mod file;
mod inventory;

pub use builtin::{BUILT_IN, built_in};
pub use file::{PhaseSpec, Place, Scenario, ScenarioError, Setting, Start};
pub use inventory::{Inventory, InventoryDevice};
