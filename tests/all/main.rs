//! The integration tests of the command and of its crates, in one program: linking is most of what a test binary costs, and
//! cargo runs one binary after another.
//!
//! `cargo test --test all cases::` runs one module's, `cargo test --test all -- --list` names them all. What needs a
//! private network before its first thread is in `tests/private`.

mod air;
mod analyze;
mod capture;
mod cases;
mod command_line;
mod common;
mod conformance_sim;
mod console;
mod datagrams;
mod docs;
mod doctor;
mod failures;
mod fleets;
mod half_open_on_sim;
mod http_servers;
mod http_use;
mod https;
mod kept_connections;
mod log;
mod metrics;
mod mqtt;
mod multicast;
mod on_twin;
mod open_loop;
mod outage_on_sim;
mod pages;
mod probe_on_sim;
mod raw_pair;
mod report_compare;
mod report_formats;
mod report_page;
mod report_readers;
mod report_support;
mod resume;
mod schema;
mod silent_before;
mod sim;
mod slow_clients;
mod sse;
mod strangers;
mod tap;
mod terminal;
mod tshark;
mod websocket;
mod window;
