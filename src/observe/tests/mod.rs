//! Tests of the observer through whole frames: each anomaly alone, its mirror image, its near misses.

mod close;
mod end;
mod handshake;
mod network;
mod path;
mod properties;
mod reset;
mod second;
mod stall;
mod support;
mod weather;
