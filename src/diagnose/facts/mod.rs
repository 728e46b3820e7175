//! What the evidence shows, as several rules ask for it. A fact names no fault: which of the rules that fit is right,
//! `choice` decides.

mod counts;
pub(crate) mod lost_resets;
pub(crate) mod memory;
pub(crate) mod mute;
pub(crate) mod path;
pub(crate) mod ports;
mod program;
pub(crate) mod restarts;
pub(crate) mod room;
mod service;
mod silences;
pub(crate) mod sleep;
pub(crate) mod sockets;
pub(crate) mod turns;

pub(crate) use counts::{
    CONNECT, SECOND, SILENT, after_close_frames, all_endings, at_once, captured, count, endings, ever_served,
    exchanges, is_exchange, keeps_others_waiting, last_success_ns, met_outages, met_outages_in,
    not_connected, of_device, of_device_in_exchanges, of_unread_by_right, recovered, reset_in_exchange,
    telemetry, unanswered, unread_by_right,
};
pub(crate) use program::{
    head_happens, of_program, opens_websockets, other_happens, passes_over, pipe_happens,
    stops_in_the_middle, streams,
};
pub(crate) use service::{
    ends_service, keeps_connections, others_served_after, served_in, service_end, stuck, taken_late,
    unexcused, while_serving,
};
pub(crate) use silences::{
    RECOVERY, Stack, datagram_probe, explained, gone_dialler, host_stood_still, natural_silences,
    open_silence, silent_probes, stack, unmade_silences,
};
