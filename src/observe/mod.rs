//! What the wire shows: live capture and capture files.

pub mod capture;
pub mod file;
