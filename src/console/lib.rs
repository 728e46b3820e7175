//! What a device says on its console: where it is read from, whose clock a line is on, and what it means.
//!
//! A leaf beside the probes: it knows nothing of workloads or packets. Lines go through small total parsers; what none of
//! them knows is counted and kept. Memory and work are bounded whatever the device prints, and nothing leaves the
//! machine.

mod account;
mod clock;
mod elf;
mod errno;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod lines;
mod listen;
mod log_line;
mod parse;
mod rfc2217;
mod source;

pub use account::{Account, HeapLine, Heard};
pub use elf::{Elf, ElfError};
pub use listen::{Listening, News, Options, listen};
pub use source::{Opened, Source, SourceError};
