//! The laboratory: labelled runs in virtual time.
//!
//! ```text
//! case     what is run, and what must be said of it
//! tally    how often that was said, and how sure the figure is
//! soak     a run of days: what happens in it, and when
//! world    host, link and device in one virtual time
//! load     the lanes of `head` and `rw`; probes: ping, connect, telemetry
//! host     the host's end, as Linux does it; device: the device's, as lwIP does it
//! stack    a smoltcp endpoint; packet, heap, chance
//! ```
//!
//! No clock is read and nothing sleeps: a run is a function of its setup, seed included. The device program, the link
//! model, the rules on packets, the statistics and the judge are the ones of live runs.

pub mod case;
mod chance;
mod device;
mod heap;
mod host;
pub mod load;
mod packet;
mod probes;
pub mod soak;
mod stack;
pub mod tally;
pub mod world;
