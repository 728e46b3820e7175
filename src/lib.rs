//! espstress
pub mod target;
