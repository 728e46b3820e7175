//! espstress drives real traffic at a small networked device, watches the packets while it does, and says
//! what broke, how often, when and why.
//!
//! # Rooms, and the only way that imports point
//!
//! ```text
//! main -> lib -> {cli, scenario, target, engine, analyze, doctor, report, compare}
//! engine -> {workload, probe, observe, target, diagnose}
//! workload, probe -> {connection, stats}
//! analyze -> {observe, diagnose}
//! observe -> wire
//! report -> {stats, diagnose}
//! compare -> {report, stats}
//! doctor -> {engine, diagnose}
//! any room -> the leaves {event, clock}
//! ```
//!
//! `command` is lib's own: the commands, each composed of the rooms. `engine` never imports `report`;
//! `connection` never imports `observe`: what was intended and what the wire showed meet only in `diagnose`.
//! `tests/import_map.rs` checks this map.

pub mod analyze;
pub mod cli;
pub mod clock;
pub mod command;
pub mod compare;
pub mod connection;
pub mod diagnose;
pub mod doctor;
pub mod engine;
pub mod event;
pub mod observe;
pub mod probe;
pub mod report;
pub mod scenario;
pub mod stats;
pub mod target;
pub mod wire;
pub mod workload;
