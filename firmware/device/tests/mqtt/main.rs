//! The packets of MQTT: our own readings of them, other people's, and what is no packet.

mod arbitrary;
mod malformed;
mod others;
mod round_trip;
