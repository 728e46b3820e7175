//! The air beside a run: a thread of its own reads a monitor interface that the user has set up.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use espstress_air::{Listener, Packet};
use espstress_event::{Air, MacAddress};
use espstress_observe::capture::Capture;
use espstress_targets::Neighbour;
use espstress_wire::Link;

/// How long one look at the ring waits.
const LOOK: Duration = Duration::from_millis(50);

/// What to hear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AirPlan {
    /// The monitor interface.
    pub interface: String,
    /// The station to describe; the device's by ARP, or the one that talks most, where it is not given.
    pub station: Option<MacAddress>,
}

/// Listening that goes on.
pub(super) struct Hearing {
    over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Heard>,
    station: Option<MacAddress>,
    device: IpAddr,
}

/// What the thread has heard.
struct Heard {
    listener: Listener,
    dropped: u64,
    failure: Option<String>,
}

/// Opens the capture, or says why there is none.
pub(super) fn start(plan: AirPlan, device: IpAddr, start_unix_ns: i64) -> Result<Hearing, String> {
    let capture = Capture::monitor(&plan.interface).map_err(|error| error.to_string())?;
    let over = Arc::new(AtomicBool::new(false));
    let (ends, station) = (Arc::clone(&over), plan.station.or_else(|| by_arp(device)));
    let thread = std::thread::Builder::new()
        .name("air".into())
        .spawn(move || listen(capture, Listener::new(Some(start_unix_ns), station), &ends))
        .map_err(|error| format!("the system refused a thread for the capture: {error}"))?;
    Ok(Hearing { over, thread, station, device })
}

fn listen(mut capture: Capture, mut listener: Listener, over: &AtomicBool) -> Heard {
    let mut number = 0;
    let mut failure = None;
    loop {
        // Asked first: what has arrived by then is read.
        let last = over.load(Ordering::Relaxed);
        let read = capture.next_batch(LOOK, |frame| {
            number += 1;
            if let Some(link) = Link::from_link_type(frame.link.into()) {
                let packet = Packet { number, at_ns: frame.at_ns };
                listener.hear(packet, link, frame.bytes, frame.original_len as usize);
            }
        });
        if let Err(error) = read {
            failure = Some(format!("the capture of the air broke off: {error}"));
            break;
        }
        if last {
            break;
        }
    }
    Heard { listener, dropped: capture.stats().dropped, failure }
}

/// The hardware address of a device on this host's own network.
fn by_arp(device: IpAddr) -> Option<MacAddress> {
    match Neighbour::of(device) {
        Neighbour::At(address) => address.parse().ok(),
        Neighbour::Unknown | Neighbour::NoAnswer => None,
    }
}

impl Hearing {
    /// Ends it; what was heard.
    pub(super) fn join(self) -> Air {
        self.over.store(true, Ordering::Relaxed);
        let Heard { listener, dropped, failure } = match self.thread.join() {
            Ok(heard) => heard,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        // Before the first packet nobody had asked for the address.
        let air = listener.finish(self.station.or_else(|| by_arp(self.device)));
        Air { dropped: Some(dropped), failure, ..air }
    }
}
