//! What the host program and a twin's process say to each other: JSON lines over a socket pair.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::link::{Counters, OutageCause};

/// A request of the host program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back with the answer.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What the host program asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Change the link, in its own grammar.
    Link(String),
    /// Take the link down for so many nanoseconds.
    Outage(u64),
    /// Carry no segment of this TCP port of the host any more, but for RSTs to it.
    Silence(u16),
    /// Carry them again.
    Hear(u16),
    /// Behave like this persona, in its own grammar.
    Persona(String),
    /// What became of the frames.
    Frames,
    /// What a foreign program has said and used.
    Program,
    /// End.
    Exit,
}

/// What a twin says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// It serves.
    Ready(Box<Ready>),
    /// The answer to a request.
    Answer {
        /// The request's.
        id: u64,
        /// What came of it.
        outcome: Outcome,
    },
    /// The link went down.
    OutageBegan {
        /// When.
        at: Moment,
        /// Why.
        cause: OutageCause,
    },
    /// The link came back.
    OutageEnded {
        /// When.
        at: Moment,
    },
    /// It restarts now.
    Restarting {
        /// When.
        at: Moment,
        /// As ESP-IDF names it.
        reason: String,
        /// The number of the start to come.
        boot_count: u32,
        /// What a foreign program had said and used until its end.
        program: Option<Box<ProgramSeen>>,
    },
    /// It cannot run.
    Failed {
        /// Why.
        message: String,
    },
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Done,
    /// What became of the frames.
    Frames(Box<Frames>),
    /// What a foreign program has said and used.
    Program(Box<ProgramSeen>),
    /// Refused, and why.
    Refused(String),
}

/// What is known of a foreign program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramSeen {
    /// How it ended, in words; absent while it runs.
    pub end: Option<String>,
    /// The last lines that it wrote.
    pub last_lines: Vec<String>,
    /// What it used that the stack has not, and how often.
    pub unsupported: BTreeMap<String, u64>,
}

/// A moment on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// `CLOCK_MONOTONIC`, nanoseconds; the same in every process of a machine.
    pub monotonic_ns: u64,
    /// Since the Unix epoch, nanoseconds.
    pub unix_ns: i64,
}

/// What became of a twin's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// From the host to the device.
    pub to_device: Counters,
    /// From the device to the host.
    pub to_host: Counters,
    /// Frames that the link delivered and the stack had no memory for.
    pub dropped_no_memory: u64,
    /// Frames that the link delivered and for which the stack's mailbox or queue stayed full.
    pub dropped_mailbox_full: u64,
}

/// What a twin is, once it serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Since when.
    pub since: Moment,
    /// Its address.
    pub address: Ipv4Addr,
    /// TCP and UDP ports by service.
    pub ports: BTreeMap<String, u16>,
    /// Connections it holds at once: sockets less listeners and probes.
    pub capacity: u16,
    /// Sockets in all.
    pub sockets: u16,
    /// Connections that wait to be accepted, each listener; 0 where the stack has no backlog.
    pub backlog: u8,
    /// The heap in bytes. lwIP's structures are 64-bit, so less fits into it than on a device; on smoltcp it holds what
    /// the program hoards and nothing else.
    pub heap_bytes: usize,
    /// Name and version of the stack.
    pub stack: String,
    /// The stack's options in force.
    pub options: BTreeMap<String, String>,
    /// Options of the set that have no effect here.
    pub no_effect: Vec<NoEffect>,
    /// The ESP-IDF version that the option set names.
    pub idf_version: Option<String>,
    /// The persona in force; a foreign program has none.
    pub persona: Option<String>,
    /// The port that a foreign program serves HTTP on, or whatever it speaks.
    pub program_port: Option<u16>,
    /// The link in force.
    pub link: String,
    /// Starts since power-on.
    pub boot_count: u32,
    /// Why it started last.
    pub reset_reason: String,
}

/// An option of a set that has no effect on a twin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoEffect {
    /// Line number in its file, from 1; 0 for one that no file names.
    pub line: usize,
    /// The option.
    pub key: String,
    /// Its value.
    pub value: String,
}
