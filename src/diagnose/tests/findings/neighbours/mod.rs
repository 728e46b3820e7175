//! Findings that look alike are told apart, and near misses have none.

mod anomalies;
mod blocked;
mod dialling;
mod gone;
mod heap;
mod host;
mod overflow;
mod path;
mod power_save;
mod restarts;
mod silence;
mod sockets;
