//! The program's end is the device's restart.

use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use espstress_targets::network::PrivateNetwork;
use espstress_targets::twin::{Twin, TwinEvent, TwinSpec};

use super::client::{self, PATIENCE, until};
use super::{start, twin};
use crate::runner::{Case, Outcome};

pub(crate) const ALL: &[Case] = cases![
    a_killed_program_says_no_goodbye_and_serves_again,
    a_killed_family_of_workers_says_no_goodbye_and_serves_again,
    a_crash_is_a_panic_with_its_last_words,
    an_exit_is_a_restart_by_software,
    a_program_that_cannot_start_is_told_with_its_words,
    a_program_that_listens_nowhere_is_told,
    what_a_program_has_is_gone_with_the_twin,
    what_a_program_has_is_gone_with_a_killed_twin,
];

/// The program's own process, the twin's child.
fn program_of(twin: &Twin) -> Result<String, Box<dyn std::error::Error>> {
    let twin = twin.process_id();
    let children = std::fs::read_to_string(format!("/proc/{twin}/task/{twin}/children"))?;
    Ok(children.split_whitespace().next().ok_or("no child")?.to_owned())
}

fn kill(process: &str) -> Outcome {
    let status = Command::new("kill").args(["-9", process]).status()?;
    assert!(status.success());
    Ok(())
}

/// What the twin tells until it serves again. Who connects before may meet the program that is about to end.
fn until_ready(events: &Receiver<TwinEvent>) -> Result<Vec<TwinEvent>, Box<dyn std::error::Error>> {
    let mut told = Vec::new();
    while !matches!(told.last(), Some(TwinEvent::Ready { .. })) {
        told.push(events.recv_timeout(PATIENCE)?);
    }
    Ok(told)
}

fn killed(words: &[&str], network: &PrivateNetwork) -> Outcome {
    let boot_time = Duration::from_millis(1_200);
    let twin = start(words, TwinSpec { boot_time, ..TwinSpec::default() }, network)?;
    let events = twin.events().ok_or("events")?;
    let mut idle = client::connect()?;
    let mut busy = client::connect()?;
    busy.write_all(b"unread, for a while\n")?;
    kill(&program_of(&twin)?)?;
    // Neither a FIN nor a RST arrives, on neither connection.
    for stream in [&mut idle, &mut busy] {
        stream.set_read_timeout(Some(Duration::from_millis(400)))?;
        let mut byte = [0; 64];
        loop {
            match stream.read(&mut byte) {
                // What the program had echoed before.
                Ok(n) if n > 0 => {}
                Ok(_) => return Err("a FIN of a program that was killed".into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("a killed program's connection: {error}").into()),
            }
        }
    }
    let told = until_ready(&events)?;
    client::echoes(500, 1, None)?;
    let reason = told.iter().find_map(|event| match event {
        TwinEvent::Restarting { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(reason, Some("UNKNOWN"), "{told:?}");
    let said = client::telemetry()?;
    assert_eq!((&said["boot_count"], &said["last_words"]), (&2.into(), &"killed by SIGKILL".into()));
    Ok(())
}

fn a_killed_program_says_no_goodbye_and_serves_again(network: &PrivateNetwork) -> Outcome {
    killed(&["echo", "epoll"], network)
}

fn a_killed_family_of_workers_says_no_goodbye_and_serves_again(network: &PrivateNetwork) -> Outcome {
    killed(&["echo", "prefork"], network)
}

/// Asks for the end, and waits until it serves again: reason and last words.
fn ended_by(word: &str, network: &PrivateNetwork) -> Result<(String, String), Box<dyn std::error::Error>> {
    let twin = twin(&["calls", "crash"], network)?;
    let events = twin.events().ok_or("events")?;
    assert!(client::head("")?.starts_with("HTTP/1.1 200"));
    let mut stream = client::connect()?;
    stream.write_all(format!("GET /{word} HTTP/1.1\r\n\r\n").as_bytes())?;
    until_ready(&events)?;
    client::head("")?;
    assert_eq!(twin.restarts(), 1);
    let end = twin.program()?.end.ok_or("its end")?;
    let reason = client::telemetry()?["reset_reason"].as_str().unwrap_or_default().to_owned();
    Ok((reason, end))
}

fn a_crash_is_a_panic_with_its_last_words(network: &PrivateNetwork) -> Outcome {
    let (reason, end) = ended_by("abort", network)?;
    // What it printed before it crashed is there, though nobody flushed it.
    let expected = "killed by SIGABRT, its last line: assert failed: the buffer is there";
    assert_eq!((reason.as_str(), end.as_str()), ("PANIC", expected));
    Ok(())
}

fn an_exit_is_a_restart_by_software(network: &PrivateNetwork) -> Outcome {
    let (reason, end) = ended_by("exit", network)?;
    assert_eq!((reason.as_str(), end.as_str()), ("SW", "exit status 7"));
    Ok(())
}

fn failure(words: &[&str], network: &PrivateNetwork) -> Result<String, Box<dyn std::error::Error>> {
    match twin(words, network) {
        Ok(_) => Err("it started".into()),
        Err(error) => Ok(error.to_string()),
    }
}

fn a_program_that_cannot_start_is_told_with_its_words(network: &PrivateNetwork) -> Outcome {
    let said = failure(&["echo", "nonsense"], network)?;
    assert!(said.contains("ended before it listened") && said.contains("no such style: nonsense"), "{said}");
    let said = failure(&["./no-such-program"], network)?;
    assert!(said.contains("`./no-such-program` cannot be run: No such file"), "{said}");
    let said = failure(&["sh", "-c", "sleep 100 & exit 0"], network)?;
    assert!(said.contains("foreground"), "{said}");
    Ok(())
}

fn a_program_that_listens_nowhere_is_told(network: &PrivateNetwork) -> Outcome {
    let said = failure(&["calls", "never"], network)?;
    assert!(said.contains("does not listen on any IPv4 TCP port"), "{said}");
    Ok(())
}

fn what_a_program_has_is_gone_with_the_twin(network: &PrivateNetwork) -> Outcome {
    gone_with(network, |twin| {
        drop(twin);
        Ok(())
    })
}

fn what_a_program_has_is_gone_with_a_killed_twin(network: &PrivateNetwork) -> Outcome {
    gone_with(network, |twin| kill(&twin.process_id().to_string()))
}

fn gone_with(network: &PrivateNetwork, end: impl FnOnce(Twin) -> Outcome) -> Outcome {
    let twin = twin(&["echo", "prefork"], network)?;
    let program = program_of(&twin)?;
    let workers =
        || std::fs::read_to_string(format!("/proc/{program}/task/{program}/children")).unwrap_or_default();
    until("there are three workers", PATIENCE, || workers().split_whitespace().count() == 3)?;
    let workers = workers();
    end(twin)?;
    for process in workers.split_whitespace().chain([program.as_str()]) {
        let gone = || !std::path::Path::new("/proc").join(process).exists();
        until("every process of the program is gone", PATIENCE, gone)?;
    }
    Ok(())
}
