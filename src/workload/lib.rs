//! The workloads: what to send, when, and for how long.
//!
//! A workload is one file and one line in [`KINDS`]. It takes a [`Context`] (where, on whose behalf, when to
//! stop), writes what it measures to a recorder, and knows neither engine nor report. The three questions are
//! independent values: *what* is the file's own, *when* is a `Pacer`, *for how long* is a limit of `Load`.

mod beside;
mod context;
mod control;
mod door;
mod endless;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod half_open;
mod head;
mod http;
mod load;
mod mqtt;
mod outage;
mod pacer;
mod registry;
mod rw;
mod seldom;
mod slow;
mod standing;

pub use beside::Beside;
pub use context::{Context, Notices, Silencer, Stop, StopSource};
pub use door::KeptPorts;
pub use outage::{Made, MakeError, Making, OutageMaker};
pub use registry::{KINDS, ParamError, Unfit, Workload, kind, load_flags, typed_load};
pub use seldom::Seldom;
pub use standing::Standing;
