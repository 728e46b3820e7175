//! The packets beside a run: a thread of its own reads the capture and shows it to the run's [`Sight`].

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::End;
use super::dials::is_own;
use super::link::Link;
use super::plan::{Capturing, Packets, Seen};
use super::sight::{Sight, Surroundings};
use super::weigh::Watched;
use espstress_clock::{Clock, unix_ns};
use espstress_diagnose::Classed;
use espstress_event::{AnomalyClass, AwaySpell, Backlog, Endpoints, Event, IntentBook, Occurrence};
use espstress_observe::capture::{
    Capture, CaptureConfig, CaptureError, DEFAULT_RING_BYTES, Frame, HOLD_BACK, Keep, LINKTYPE_RAW, Ports,
};
use espstress_observe::file::{Writer, WriterConfig};

/// How long one look at the ring waits: the thread's other duties have to be done that often.
const LOOK: Duration = Duration::from_millis(50);

/// Events of anomalies a run sends to its reporters at most; the counts go on.
const EVENTS: u32 = 1_000;

/// What to watch.
#[derive(Clone, Debug)]
pub struct WatchPlan {
    /// Whether to look at packets at all.
    pub capturing: Capturing,
    /// The interface, where it is known better than by the route.
    pub interface: Option<String>,
    /// Keep the packets here.
    pub pcap: Option<PathBuf>,
    /// Captures that this process has at the same time: they share the memory that one would have.
    pub captures: u32,
    /// How long to listen after the last close.
    pub after: Duration,
    /// How long a SYN may go unanswered.
    pub syn_deadline: Duration,
}

/// A watch that is going on.
pub(super) struct Watch {
    end: mpsc::Sender<Instant>,
    over: Arc<Notify>,
    thread: std::thread::JoinHandle<Watched>,
}

/// What the thread needs.
struct Watcher {
    capture: Capture,
    sight: Sight,
    notes: Notes,
    /// Why there is no packet file though one was asked for.
    no_file: Option<String>,
    /// It is told that others removed the packet file.
    told_lost: bool,
    gaps: u64,
}

/// Where occurrences go.
struct Notes {
    writer: Option<Writer>,
    events: Backlog,
    told: u32,
    untold: u64,
    packets: u64,
    link: Link,
}

/// Opens the capture, or says why there is none. `dialled` is a port of this machine's that the device dials.
#[expect(clippy::too_many_arguments, reason = "the one place where all of them meet")]
pub(super) fn start(
    plan: &WatchPlan,
    endpoints: &Endpoints,
    dialled: Option<u16>,
    workloads: Vec<String>,
    book: Arc<IntentBook>,
    clock: Clock,
    events: Backlog,
    link: Link,
) -> Result<Watch, Packets> {
    if plan.capturing == Capturing::Off {
        return Err(Packets::Off);
    }
    let ip = endpoints.http.ip();
    let config = CaptureConfig {
        // On an address of this host's nobody can tell whose connection it is.
        ports: if is_own(ip) { Ports::Only(endpoints.tcp_ports()) } else { Ports::Any },
        dialled,
        keep: if plan.pcap.is_some() { Keep::Whole } else { Keep::Headers },
        interface: plan.interface.clone(),
        // Whole packets fill it sooner.
        ring_bytes: ring_bytes(plan.captures) << u32::from(plan.pcap.is_some()),
        ..CaptureConfig::of([ip])
    };
    let capture = Capture::open(&config).map_err(|error| refused(&error))?;
    tracing::debug!(interface = capture.interface(), link = capture.link(), "the capture is open");
    let writer = plan.pcap.as_ref().map(|path| {
        let config = WriterConfig {
            link: capture.link(),
            snap_length: 65_535,
            interface: capture.interface().to_owned(),
        };
        Writer::create(path, &config)
    });
    let (writer, no_file) = match writer.transpose() {
        Ok(writer) => (writer, None),
        Err(error) => (None, Some(error.to_string())),
    };
    // The packets are looked at all the same.
    if let Some(text) = &no_file {
        events.tell(Event::Notice { text: text.clone() });
    }
    let sight = Sight::new(endpoints, plan.syn_deadline, clock.start_unix_ns(), workloads, book)
        .of_a_device_that_dials(dialled);
    let sight = if is_own(ip) { sight } else { sight.with_own_dials() };
    let notes = Notes { writer, events, told: 0, untold: 0, packets: 0, link };
    let watcher = Watcher { capture, sight, notes, no_file, told_lost: false, gaps: 0 };
    let (end, ending) = mpsc::channel();
    let (watched, over) = End::of_thread();
    let thread = std::thread::Builder::new()
        .name("capture".into())
        .spawn(move || {
            let _watched = watched;
            watcher.run(&ending)
        })
        .map_err(|error| Packets::Denied(format!("the system refused a thread for the capture: {error}")))?;
    Ok(Watch { end, over, thread })
}

/// The room of one of so many captures: less than a thousand packets' would lose some in a burst.
fn ring_bytes(captures: u32) -> usize {
    (DEFAULT_RING_BYTES / captures.max(1) as usize).next_power_of_two().clamp(2 << 20, DEFAULT_RING_BYTES)
}

fn refused(error: &CaptureError) -> Packets {
    Packets::Denied(error.to_string())
}

impl Watch {
    /// The workloads are over: listens on until `deadline` at the latest. A second call may bring it forward.
    pub(super) fn listen_until(&self, deadline: Instant) {
        // A thread that is gone has ended by itself; joining tells.
        let _ = self.end.send(deadline);
    }

    /// Told once the watch is over.
    pub(super) fn over(&self) -> &Notify {
        &self.over
    }

    /// What was seen.
    pub(super) fn join(self) -> Watched {
        match self.thread.join() {
            Ok(watched) => watched,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Watcher {
    fn run(mut self, ending: &Receiver<Instant>) -> Watched {
        let mut deadline: Option<Instant> = None;
        let mut failure = None;
        loop {
            match ending.try_recv() {
                Ok(at) => deadline = Some(at),
                Err(TryRecvError::Empty) => {}
                // The dispatcher is gone: nobody will ask for what is seen from here on.
                Err(TryRecvError::Disconnected) => deadline = Some(Instant::now()),
            }
            if let Err(error) = self.look() {
                failure = Some(format!("the capture broke off: {error}"));
                break;
            }
            let Some(deadline) = deadline else { continue };
            if Instant::now() >= deadline || self.sight.is_settled(complete_until()) {
                break;
            }
        }
        self.finish(failure)
    }

    fn look(&mut self) -> io::Result<()> {
        let Self { capture, sight, notes, gaps, told_lost, no_file: _ } = self;
        capture.next_batch(LOOK, |frame| {
            let decoded = espstress_wire::decode(link_of(&frame), frame.bytes, frame.original_len as usize);
            if sight.is_wanted(&decoded) {
                notes.packet(&frame);
                sight.decoded(frame.at_ns, &decoded, notes);
            }
        })?;
        let counts = capture.stats();
        // What passed while the interface was down and came back may be missing as well.
        let missing = counts.dropped + counts.interface_downs;
        if missing > *gaps {
            *gaps = missing;
            sight.gap();
        }
        sight.advance(complete_until(), notes);
        if let Some(writer) = &mut notes.writer {
            writer.batch_done();
            if let Some(lost) = writer.lost().filter(|_| !*told_lost) {
                *told_lost = true;
                notes.events.tell(Event::Notice { text: format!("the packet file is lost: {lost}") });
            }
        }
        Ok(())
    }

    fn finish(self, failure: Option<String>) -> Watched {
        let Self { mut capture, sight, mut notes, no_file, .. } = self;
        let Watched { seen, ledger } = sight.finish(unix_ns(), &mut notes);
        let stats = capture.stats();
        tracing::debug!(packets = stats.packets, dropped = stats.dropped, "the capture is over");
        let written = notes.writer.take().map(|writer| writer.finish(Some(stats)));
        let missing = written.and_then(|report| {
            let lost = report.lost.map(|lost| lost.to_string());
            lost.or_else(|| incomplete(report.missed, report.failure.as_ref()))
        });
        let pcap_failure = no_file.or(missing);
        let seen = Seen { dropped: stats.dropped, failure, pcap_failure, untold: notes.untold, ..seen };
        Watched { seen, ledger }
    }
}

impl Notes {
    fn packet(&mut self, frame: &Frame<'_>) {
        self.packets += 1;
        if let Some(writer) = &mut self.writer {
            writer.packet(self.packets, frame);
        }
    }
}

impl Surroundings for Notes {
    fn link_news(&mut self) -> Option<Vec<AwaySpell>> {
        self.link.news()
    }

    /// Notes an occurrence in the packet file and tells the reporters.
    fn heard(&mut self, at_ns: i64, occurrence: Occurrence, classed: Classed<'_>) {
        if let Some(writer) = &mut self.writer {
            writer.evidence(self.packets, at_ns, &occurrence, classed.class);
        }
        if classed.class != AnomalyClass::Device {
            return;
        }
        if self.told == EVENTS {
            self.untold += 1;
            if self.untold == 1 {
                self.events.tell(Event::AnomaliesCut { told: EVENTS });
            }
            return;
        }
        let workload = classed.workload.map(str::to_owned);
        self.events.tell(Event::Anomaly { workload, occurrence: Arc::new(occurrence) });
        self.told += 1;
    }
}

/// Up to when every packet has been handed out: the kernel holds them back for a moment.
fn complete_until() -> i64 {
    let held = i64::try_from((2 * HOLD_BACK).as_nanos()).unwrap_or(i64::MAX);
    unix_ns() - held
}

/// What is wrong with a packet file, in words; `None` where it is whole.
fn incomplete(missed: u64, failure: Option<&io::Error>) -> Option<String> {
    let why = match (failure, missed) {
        (Some(error), _) => error.to_string(),
        (None, 0) => return None,
        (None, _) => "the disk was too slow".to_owned(),
    };
    Some(match missed {
        0 => format!("its end is missing ({why})"),
        1 => format!("1 packet is missing ({why})"),
        n => format!("{n} packets are missing ({why})"),
    })
}

const fn link_of(frame: &Frame<'_>) -> espstress_wire::Link {
    if frame.link == LINKTYPE_RAW { espstress_wire::Link::Raw } else { espstress_wire::Link::Ethernet }
}

#[cfg(test)]
mod tests {
    use super::*;
    use espstress_event::{AnomalyId, Shown};

    fn occurrence(at_ns: i64) -> Occurrence {
        crate::lone::lone(AnomalyId::AbortiveClose, Shown::Unprompted, at_ns)
    }

    #[test]
    fn anomalies_beyond_those_that_are_told_are_counted_and_that_is_told_once() {
        let clock = Clock::start();
        let events = Backlog::default();
        let told = events.clone();
        let mut notes =
            Notes { writer: None, events, told: 0, untold: 0, packets: 0, link: Link::real(clock) };
        let classed = Classed { class: AnomalyClass::Device, workload: None };
        (0..i64::from(EVENTS) + 5).for_each(|n| notes.heard(n, occurrence(n), classed));
        let mut events = Vec::new();
        while let Some(event) = told.try_next() {
            events.push(event);
        }
        let cuts =
            events.iter().filter(|event| matches!(event, Event::AnomaliesCut { told: EVENTS })).count();
        assert_eq!((events.len(), cuts, notes.untold), (EVENTS as usize + 1, 1, 5));
    }
}
