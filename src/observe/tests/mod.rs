//! Tests of the observer through whole frames: each anomaly alone, its mirror image, its near misses.

mod belonging;
mod close;
mod end;
mod figures;
mod handshake;
mod network;
mod path;
mod properties;
mod remarks;
mod reset;
mod second;
mod stall;
mod support;
mod weather;
