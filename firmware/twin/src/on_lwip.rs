//! A life on lwIP: its sockets under the device program's loop.

use std::net::Ipv4Addr;
use std::sync::Arc;

use espstress_device::announcement::txt;
use espstress_device::carrier::{Carrier, Entry, Sockets, Turn, entries_needed};
use espstress_device::{Config, Program, Service};
use espstress_lwip::sdkconfig::Parsed;
use espstress_lwip::{Announcement, Stack, StackConfig};

use crate::air::Air;
use crate::error::ChildError;
use crate::idf_console::{IdfConsole, Whose};
use crate::life::{After, Life, StackFacts};
use crate::protocol::NoEffect;
use crate::setup::Setup;
use crate::sockets::{LwipSockets, Surroundings};

/// Names the width of the stack's structures among the options: a device's are of 32 bits, and take less heap.
const STRUCTURE_BITS: &str = "ESPSTRESS_STRUCTURE_BITS";

/// What it is called, what it runs on, and where, as it announces itself.
const NAME: &str = "espstress-twin";
const STACK: &str = "lwIP";
const CHIP: &str = "host";

/// Runs until the host program wants no more of it, or until the next start.
pub(crate) fn live(life: Life) -> Result<(), ChildError> {
    let parsed = life.setup.options.resolve()?;
    let sockets = u16::try_from(parsed.options.max_sockets).unwrap_or(u16::MAX);
    let life = Life { device: Config { sockets, ..life.device }, ..life };
    let stack = start_stack(&life.setup, &parsed, &life.air)?;
    let backlog = u8::try_from(parsed.options.tcp_acceptmbox_size).unwrap_or(u8::MAX);
    let options = lend(in_force(&parsed));
    let setup = &life.setup;
    let console =
        setup.prints_console.then(|| IdfConsole::start(&setup.boot.reason, setup.address, setup.gateway));
    let dials_for = if life.device.mqtt.is_some() { Whose::OfMqtt } else { Whose::Dialled };
    let air = Arc::clone(&life.air);
    let around = Surroundings { stack: stack.clone(), air, backlog, options, console, dials_for };
    let sockets = LwipSockets::open(life.device.services, around);
    let sockets = sockets.map_err(|(service, e)| ChildError::Bind(service, e))?;
    let waker = sockets.waker();
    let facts = facts(&parsed, backlog, stack.version());
    let announcing = stack.clone();
    let errands = life.start_threads(stack, move || waker.wake())?;

    let mut entries = Vec::new();
    entries.resize_with(entries_needed(&life.device), || Entry::EMPTY);
    let program = Program::new(life.device.clone(), sockets.now());
    let mut carrier = Carrier::new(program, sockets, &mut entries);
    let mut announced = life.setup.announce.then(|| Announced::start(&announcing, carrier.program()));
    life.report_ready(facts);
    loop {
        while let Ok(errand) = errands.try_recv() {
            if life.obey(errand, carrier.program())? == After::End {
                return Ok(());
            }
        }
        let turn = carrier.turn();
        let hung = carrier.program().is_hung();
        carrier.sockets().say_hang(hung);
        if let Some(announced) = &mut announced {
            announced.follow(carrier.program());
        }
        if let Turn::Restart(reason) = turn {
            carrier.sockets().say_end(reason);
            let next = carrier.program().config_after_restart(reason);
            return life.restart(&next).map(|never| match never {});
        }
    }
}

/// What the device says of itself by multicast DNS.
struct Announced {
    /// Absent where the heap has no room for it: a device that is short of memory does without as well.
    announcement: Option<Announcement>,
    persona: &'static str,
}

impl Announced {
    fn start(stack: &Stack, program: &Program) -> Self {
        let persona = program.persona().name();
        let capacity = program.config().capacity().to_string();
        let txt = txt(STACK, persona, &capacity, CHIP);
        let announcement = Announcement::start(stack, NAME, Service::Framed.port(), &txt).ok();
        Self { announcement, persona }
    }

    /// Says it again when the persona is another one.
    fn follow(&mut self, program: &Program) {
        let persona = program.persona().name();
        if let Some(announcement) = self.announcement.as_ref().filter(|_| persona != self.persona) {
            let capacity = program.config().capacity().to_string();
            // It fits, as it did at the start.
            let _ = announcement.change(&txt(STACK, persona, &capacity, CHIP));
        }
        self.persona = persona;
    }
}

pub(crate) fn start_stack(setup: &Setup, parsed: &Parsed, air: &Arc<Air>) -> Result<Stack, ChildError> {
    let ones = u32::MAX.checked_shl(32_u32.saturating_sub(setup.prefix.into())).unwrap_or(0);
    let config = StackConfig {
        options: parsed.options.clone(),
        heap_bytes: setup.heap_bytes,
        mac: setup.mac,
        ip: setup.address,
        netmask: Ipv4Addr::from(ones),
        gateway: setup.gateway,
        seed: setup.seed ^ u64::from(setup.boot.count),
    };
    let air = Arc::clone(air);
    Ok(Stack::start(config, move |frame: &[u8]| air.take_out(frame))?)
}

/// The options in force, and first of all that the heap's figures are those of a 64-bit stack.
fn in_force(parsed: &Parsed) -> Vec<(String, String)> {
    let bits = (STRUCTURE_BITS.to_owned(), usize::BITS.to_string());
    std::iter::once(bits).chain(parsed.options.in_force()).collect()
}

/// The same for telemetry, which borrows them for the rest of the process's life.
fn lend(options: Vec<(String, String)>) -> &'static [(&'static str, &'static str)] {
    let leak = |text: String| -> &'static str { text.leak() };
    options.into_iter().map(|(name, value)| (leak(name), leak(value))).collect::<Vec<_>>().leak()
}

pub(crate) fn facts(parsed: &Parsed, backlog: u8, version: &str) -> StackFacts {
    StackFacts {
        name: format!("lwIP {version}"),
        sockets: u16::try_from(parsed.options.max_sockets).unwrap_or(u16::MAX),
        backlog,
        options: in_force(parsed).into_iter().collect(),
        no_effect: parsed
            .no_effect
            .iter()
            .map(|line| NoEffect { line: line.line, key: line.key.clone(), value: line.value.clone() })
            .collect(),
        idf_version: parsed.idf_version.map(|(major, minor, patch)| format!("{major}.{minor}.{patch}")),
    }
}
