//! `twin`: a twin kept up, or a program run inside its network.

use std::process::Command;

use super::output::print;
use super::{Exit, Failed};
use espstress_cli::TwinArgs;
use espstress_targets::{Device, DeviceSetup, PublicAddresses, Spec};

/// `espstress twin`.
pub(super) fn twin(args: &TwinArgs) -> Result<Exit, Failed> {
    let seed = args.seed.unwrap_or_else(super::run::random_seed);
    let dial = args.dial.as_deref().map(str::parse).transpose();
    let dial = dial.map_err(|why: &str| Failed::usage(format!("--dial: {why}")))?;
    let setup = DeviceSetup {
        spec: Spec::Twin(args.options.as_str().into()),
        persona: args.device.persona.clone(),
        link: args.device.link.clone(),
        heap: args.device.heap.map(|size| size.0),
        stack: args.device.stack.clone(),
        program: args.device.program_words().map_err(Failed::usage)?,
        at: super::run::device_address(args.device.device_address.as_deref())?,
        announce: true,
        show_program: true,
        prints_console: args.device.console_style.is_some(),
        dial,
        seed,
        public: PublicAddresses::Refused,
    };
    let device = Device::bring_up(&setup).map_err(|error| match error.is_usage() {
        true => Failed::usage(error),
        false => Failed::environment(error),
    })?;
    match args.run.split_first() {
        Some((program, rest)) => run_inside(&device, Command::new(program).args(rest)),
        None => keep_up(&device, seed),
    }
}

/// Runs the program and returns its status.
fn run_inside(device: &Device, command: &mut Command) -> Result<Exit, Failed> {
    command.env("ESPSTRESS_TWIN", device.endpoints.http.ip().to_string());
    // Ctrl-C is for the program: this process ends when that one has.
    let _deaf = signals::ignore_interrupt().map_err(Failed::environment)?;
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| Failed::environment(format!("{name}: {error}")))?;
    Ok(Exit::OfProgram(program_status(status)))
}

#[cfg(unix)]
fn program_status(status: std::process::ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let by_signal = status.signal().map(|signal| 128 + signal);
    u8::try_from(status.code().or(by_signal).unwrap_or(1)).unwrap_or(1)
}

#[cfg(not(unix))]
fn program_status(status: std::process::ExitStatus) -> u8 {
    u8::try_from(status.code().unwrap_or(1)).unwrap_or(1)
}

fn keep_up(device: &Device, seed: u64) -> Result<Exit, Failed> {
    let pid = std::process::id();
    let ip = device.endpoints.http.ip();
    let mut text = format!(
        "twin at {ip}: {}, {}, link {}, seed {seed}\n",
        device.stack.as_deref().unwrap_or("lwIP"),
        match &device.program {
            Some(program) => format!("program {}", program.join(" ")),
            None => format!("persona {}", device.persona.as_deref().unwrap_or("robust")),
        },
        device.link.as_deref().unwrap_or("clean"),
    );
    if let Some(capacity) = device.capacity {
        text.push_str(&format!("holds {capacity} connections at once (sockets less listeners and probes)\n"));
    }
    let services = [
        ("http", Some(device.endpoints.http)),
        ("framed", device.endpoints.framed),
        ("raw", device.endpoints.raw),
        ("line", device.endpoints.line),
        ("telemetry (udp)", device.endpoints.telemetry),
    ];
    for (name, address) in services {
        if let Some(address) = address {
            text.push_str(&format!("  {name:<16} {address}\n"));
        }
    }
    if let Some(token) = &device.control_token {
        text.push_str(&format!("  control token    {token}\n"));
    }
    for line in &device.options_without_effect {
        text.push_str(&format!("  no effect here   {line}\n"));
    }
    text.push_str(&format!(
        "It is in a network of its own. From another shell:\n  \
         nsenter --preserve-credentials -U -n -t {pid} curl -i http://{ip}/     (as root: nsenter -n -t {pid} ...)\n\
         or in one go: espstress twin -- curl -i http://{ip}/\nCtrl-C ends it.\n"
    ));
    print(&text).map_err(Failed::environment)?;
    signals::wait_for_end().map_err(Failed::environment)?;
    Ok(Exit::Done)
}

/// What a program that only keeps something up has to know of signals.
mod signals {
    use std::io;

    /// Waits for Ctrl-C or SIGTERM.
    pub(super) fn wait_for_end() -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(end())
    }

    #[cfg(unix)]
    async fn end() -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }

    #[cfg(not(unix))]
    async fn end() -> io::Result<()> {
        tokio::signal::ctrl_c().await
    }

    /// From here on Ctrl-C does not end this process; the program it started hears it as ever.
    pub(super) fn ignore_interrupt() -> io::Result<impl Sized> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let registered = runtime.block_on(async {
            #[cfg(unix)]
            return tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()).map(|_| ());
            #[cfg(not(unix))]
            Ok::<(), io::Error>(())
        });
        registered.map(|()| runtime)
    }
}
