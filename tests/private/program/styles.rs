//! Echo servers of every style: what goes in comes out, whatever calls they use.

use std::time::{Duration, Instant};

use espstress_targets::network::PrivateNetwork;
use espstress_targets::twin::TwinSpec;

use super::client::{self, echoes, until};
use super::{start, twin};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = cases![
    a_blocking_server_echoes,
    a_server_with_a_thread_for_each_connection_echoes,
    a_server_with_poll_echoes,
    a_server_with_select_echoes,
    a_server_with_level_triggered_epoll_echoes,
    a_server_with_edge_triggered_epoll_echoes,
    a_server_with_stdio_on_the_socket_echoes,
    a_server_that_duplicates_its_descriptors_echoes,
    a_server_that_forks_and_executes_on_standard_input_echoes,
    a_server_with_workers_forked_before_echoes,
    a_server_with_messages_of_several_parts_echoes,
    a_thousand_signals_a_second_lose_and_repeat_nothing,
    a_thousand_restarting_signals_a_second_lose_and_repeat_nothing,
    six_megabytes_at_one_a_second_come_back_as_they_went,
    three_streams_in_parallel_come_back_as_they_went,
    a_lossy_link_changes_no_byte,
    ten_thousand_connections_leave_the_heap_as_it_was,
];

/// One large echo, then as many connections as a device may see one after the other.
fn echo(style: &str, network: &PrivateNetwork) -> Outcome {
    let twin = twin(&["echo", style], network)?;
    echoes(200_000, 1, None)?;
    for seed in 0..30 {
        echoes(1_000, seed, None)?;
    }
    assert_eq!((twin.restarts(), twin.capacity()), (0, 9));
    Ok(())
}

/// The same, and three at once.
fn echo_several(style: &str, network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["echo", style], network)?;
    echoes(200_000, 1, None)?;
    in_parallel(3, 100_000, None)?;
    for seed in 0..30 {
        echoes(1_000, seed, None)?;
    }
    Ok(())
}

fn in_parallel(streams: u64, len: usize, rate: Option<f64>) -> Outcome {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..streams).map(|seed| scope.spawn(move || echoes(len, 7 + seed, rate))).collect();
        all.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    Ok(())
}

fn a_blocking_server_echoes(network: &PrivateNetwork) -> Outcome {
    echo("blocking", network)
}

fn a_server_with_a_thread_for_each_connection_echoes(network: &PrivateNetwork) -> Outcome {
    echo_several("threads", network)
}

fn a_server_with_poll_echoes(network: &PrivateNetwork) -> Outcome {
    echo_several("poll", network)
}

fn a_server_with_select_echoes(network: &PrivateNetwork) -> Outcome {
    echo_several("select", network)
}

fn a_server_with_level_triggered_epoll_echoes(network: &PrivateNetwork) -> Outcome {
    echo_several("epoll", network)
}

fn a_server_with_edge_triggered_epoll_echoes(network: &PrivateNetwork) -> Outcome {
    echo_several("epoll-edge", network)
}

fn a_server_with_stdio_on_the_socket_echoes(network: &PrivateNetwork) -> Outcome {
    echo("stdio", network)
}

fn a_server_that_duplicates_its_descriptors_echoes(network: &PrivateNetwork) -> Outcome {
    echo("dup", network)
}

fn a_server_that_forks_and_executes_on_standard_input_echoes(network: &PrivateNetwork) -> Outcome {
    echo_several("fork", network)
}

fn a_server_with_workers_forked_before_echoes(network: &PrivateNetwork) -> Outcome {
    echo_several("prefork", network)
}

fn a_server_with_messages_of_several_parts_echoes(network: &PrivateNetwork) -> Outcome {
    echo("sendmsg", network)
}

/// Five echoes of 400,000 bytes each while the timer runs.
fn under_signals(style: &str, network: &PrivateNetwork) -> Outcome {
    let twin = twin(&["echo", style], network)?;
    for seed in 0..5 {
        echoes(400_000, seed, None)?;
    }
    // An idle connection: its reads are interrupted and begin anew.
    let _idle = client::connect()?;
    std::thread::sleep(Duration::from_millis(300));
    drop(_idle);
    let ticks = || -> Option<u64> {
        let seen = twin.program().ok()?;
        seen.last_lines.iter().filter_map(|line| line.strip_prefix("ticks ")?.parse().ok()).max()
    };
    until("signals reach the program", client::PATIENCE, || ticks().is_some_and(|ticks| ticks > 5))
        .map_err(|error| format!("{error}: {:?}", twin.program()))?;
    println!("{} signals handled", ticks().unwrap_or_default());
    Ok(())
}

fn a_thousand_signals_a_second_lose_and_repeat_nothing(network: &PrivateNetwork) -> Outcome {
    under_signals("timer", network)
}

fn a_thousand_restarting_signals_a_second_lose_and_repeat_nothing(network: &PrivateNetwork) -> Outcome {
    under_signals("timer-restart", network)
}

const MEGABYTE: f64 = 1_000_000.0;

fn six_megabytes_at_one_a_second_come_back_as_they_went(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["echo", "blocking"], network)?;
    let begin = Instant::now();
    echoes(6_000_000, 3, Some(MEGABYTE))?;
    println!("6 MB in {:?}", begin.elapsed());
    Ok(())
}

fn three_streams_in_parallel_come_back_as_they_went(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["echo", "threads"], network)?;
    in_parallel(3, 2_000_000, Some(MEGABYTE / 3.0))
}

fn a_lossy_link_changes_no_byte(network: &PrivateNetwork) -> Outcome {
    let link = "lossy".parse().map_err(|error| format!("{error}"))?;
    let twin = start(&["echo", "epoll"], TwinSpec { link, seed: 11, ..TwinSpec::default() }, network)?;
    in_parallel(3, 20_000, None)?;
    let frames = twin.frames()?;
    let lost = frames.to_device.lost.total() + frames.to_host.lost.total();
    assert!(lost > 0, "the link has lost frames: {frames:?}");
    println!("{lost} frames lost");
    Ok(())
}

fn ten_thousand_connections_leave_the_heap_as_it_was(network: &PrivateNetwork) -> Outcome {
    let _twin = twin(&["echo", "epoll"], network)?;
    let heap = || client::figure("/heap/free_bytes");
    for seed in 0..10 {
        echoes(100, seed, None)?;
    }
    until("sockets are closed", client::PATIENCE, || {
        client::figure("/sockets/used").is_ok_and(|used| used == 1)
    })?;
    let before = heap()?;
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let one = |from: u64| move || (from..from + 2_500).try_for_each(|seed| echoes(100, seed, None));
        let all: Vec<_> = (0..4).map(|n| scope.spawn(one(n * 2_500))).collect();
        all.into_iter().try_for_each(|one| one.join().expect("no panic"))
    })?;
    println!("10,000 connections in {:?}", begin.elapsed());
    until("the heap is as it was", client::PATIENCE, || heap().is_ok_and(|now| now >= before))
        .map_err(|error| format!("{error}: {before} before, {:?}", client::telemetry()))?;
    Ok(())
}

pub(crate) fn an_ordinary_user_runs_a_program_too(network: &PrivateNetwork) -> Outcome {
    assert!(std::fs::File::create("/etc/espstress-test").is_err(), "this runs as an ordinary user");
    echo_several("fork", network)
}
