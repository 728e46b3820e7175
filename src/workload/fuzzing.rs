//! Entrances for the fuzz targets (`tests/fuzz`): readers that nothing outside of this crate uses otherwise.

pub use crate::mqtt::fuzzing::broker;
pub use crate::outage::fuzzing::session;
pub use crate::rw::fuzzing::{answer, event_stream, websocket};
