//! The `espstress` command.
fn main() {}
