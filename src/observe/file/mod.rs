//! Capture files: reading pcap and pcapng, gzip of both, and writing pcapng.
//!
//! Reader and writer are the project's own because of what is asked of them: any bytes must give a result,
//! a file that was cut or damaged must give what came before and the place, memory must stay bounded
//! whatever a length field says, and a packet must not cost an allocation. General libraries for these
//! formats end a cut file with an error like any other, refuse blocks longer than a fixed buffer, or keep
//! the options of each packet in a vector of their own.
//!
//! Duty: bytes to packets and back. It must not know what the packets mean.

mod block;
mod journal;
mod lost;
mod pcap;
mod pcapng;
mod reader;
mod source;
mod writer;

pub use lost::{Lost, lost};
pub use reader::{Damage, End, OpenError, Reader};
pub use writer::{Writer, WriterConfig, WriterReport};
