//! lwIP's sockets under the device program's loop.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use espstress_device::carrier::{Dialled, Entry, Interest, Readiness, Received, Sent, Sockets, Source};
use espstress_device::config::Host;
use espstress_device::telemetry::{Heap, ResetReason, SocketUse, Stack as StackName, TcpUse};
use espstress_device::{
    CloseHow, DeviceWish, ErrorKind, Instant, Readings, Service, Services, SocketOptions,
};
use espstress_lwip::heap::Block;
use espstress_lwip::{
    Interest as PollInterest, Poll, PollEntry, Shutdown, SocketError, Stack, TcpListener, TcpState,
    TcpStates, TcpStream, UdpSocket, Waker,
};

use crate::air::Air;
use crate::clock;
use crate::idf_console::{Call, IdfConsole, Whose};

/// How long to wait at most, so that a lost wake does not matter.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A failure has been told to the program; a hung or holding one does nothing about it, and waiting must not end for
/// it again and again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    None,
    Told,
}

struct Stream {
    socket: TcpStream,
    failure: Failure,
    whose: Whose,
    stage: Stage,
}

/// How far a connection has come, for what the console says of its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is dialled.
    Dialling,
    /// Nothing was received on it yet.
    Unheard,
    /// Something was.
    Heard,
    /// The peer ended it, or it failed.
    Over,
}

/// The sockets of one start of a twin.
pub(crate) struct LwipSockets {
    stack: Stack,
    air: Arc<Air>,
    origin_ns: u64,
    listeners: [Option<TcpListener>; Service::TCP_COUNT],
    telemetry: Option<UdpSocket>,
    asker: Option<SocketAddrV4>,
    streams: Vec<Option<Stream>>,
    hoard: Vec<Block>,
    poll: Poll,
    polled: Vec<PollEntry>,
    /// Which of the program's entries each polled one stands for.
    places: Vec<usize>,
    options: &'static [(&'static str, &'static str)],
    console: Option<IdfConsole>,
    dials_for: Whose,
}

/// What the sockets need beside the services.
pub(crate) struct Surroundings {
    pub(crate) stack: Stack,
    pub(crate) air: Arc<Air>,
    /// Connections that wait to be accepted, each listener.
    pub(crate) backlog: u8,
    /// Options in force, for telemetry.
    pub(crate) options: &'static [(&'static str, &'static str)],
    /// The console to print to, where it prints one.
    pub(crate) console: Option<IdfConsole>,
    /// What the device dials for.
    pub(crate) dials_for: Whose,
}

impl LwipSockets {
    /// Binds the services to their ports.
    pub(crate) fn open(services: Services, around: Surroundings) -> Result<Self, (Service, SocketError)> {
        let Surroundings { stack, air, backlog, options, console, dials_for } = around;
        let mut listeners = [const { None }; Service::TCP_COUNT];
        for service in Service::TCP.into_iter().filter(|&service| services.contains(service)) {
            let fail = |error| (service, error);
            let listener = TcpListener::bind(&stack, service.port(), backlog).map_err(fail)?;
            listener.set_nonblocking(true).map_err(fail)?;
            listeners[service as usize] = Some(listener);
        }
        let telemetry = if services.contains(Service::Telemetry) {
            let bound = UdpSocket::bind(&stack, Service::Telemetry.port());
            Some(bound.map_err(|error| (Service::Telemetry, error))?)
        } else {
            None
        };
        Ok(Self {
            stack,
            air,
            origin_ns: clock::now_ns(),
            listeners,
            telemetry,
            asker: None,
            streams: Vec::new(),
            hoard: Vec::new(),
            poll: Poll::new(),
            polled: Vec::new(),
            places: Vec::new(),
            options,
            console,
            dials_for,
        })
    }

    /// The device restarts, and says why.
    pub(crate) fn say_end(&self, reason: ResetReason) {
        if let Some(console) = &self.console {
            console.end(reason);
        }
    }

    /// Whether the program hangs, for the console's watchdog.
    pub(crate) fn say_hang(&mut self, hung: bool) {
        if let Some(console) = &mut self.console {
            console.hangs(hung);
        }
    }

    /// Prints that a call on a connection failed.
    fn say_failure(&mut self, id: usize, call: Call, error: ErrorKind) {
        let Self { console: Some(console), streams, .. } = self else { return };
        let Some(Some(stream)) = streams.get_mut(id) else { return };
        match std::mem::replace(&mut stream.stage, Stage::Over) {
            Stage::Over => {}
            Stage::Dialling => console.not_dialled(stream.whose, Some(error)),
            Stage::Unheard | Stage::Heard => console.failed(stream.whose, call, error),
        }
    }

    /// Prints what the end of a dialled connection means to its client.
    fn say_end_of_dial(&mut self, id: usize, how: CloseHow) {
        let Self { console: Some(console), streams, .. } = self else { return };
        let Some(Some(Stream { whose, stage, .. })) = streams.get(id) else { return };
        match (stage, whose) {
            (Stage::Dialling, whose) => console.not_dialled(*whose, None),
            (Stage::Unheard | Stage::Heard, Whose::OfMqtt) if how == CloseHow::Abort => {
                console.broker_given_up(*stage == Stage::Heard);
            }
            _ => {}
        }
    }

    /// What was received on a connection, for what the console says of its end.
    fn note_received(&mut self, id: usize, received: Received) {
        let Some(Some(stream)) = self.streams.get_mut(id) else { return };
        match received {
            Received::NotYet => {}
            Received::Bytes(_) => stream.stage = Stage::Heard,
            Received::End => {
                let before = std::mem::replace(&mut stream.stage, Stage::Over);
                if let (Some(console), Whose::OfMqtt) = (&mut self.console, stream.whose)
                    && before != Stage::Over
                {
                    console.broker_closed();
                }
            }
            Received::Failed(error) => self.say_failure(id, Call::Receive, error),
        }
    }

    /// Prints the heap when a connection has come or gone.
    fn say_heap(&mut self) {
        let Self { console: Some(console), stack, .. } = self else { return };
        console.connection(|| Some(heap(stack)));
    }

    /// The listener that a program without any limit of its own would call `accept()` on, to fail: for a console to tell of
    /// the connections that wait while every socket is in use.
    fn knocks_in_vain(&self) -> Option<PollEntry> {
        self.console.as_ref().filter(|console| console.may_refuse())?;
        let sockets = self.stack.stats().sockets;
        let listener = self.listeners[Service::Http as usize].as_ref()?;
        (sockets.in_use >= sockets.limit).then(|| PollEntry::new(listener, PollInterest::Readable))
    }

    /// Ends a wait from another thread.
    pub(crate) fn waker(&self) -> Waker {
        self.poll.waker()
    }

    fn stream(&self, id: usize) -> Option<&TcpStream> {
        self.streams.get(id)?.as_ref().map(|stream| &stream.socket)
    }

    fn adopt(&mut self, socket: TcpStream, whose: Whose, stage: Stage) -> usize {
        let stream = Some(Stream { socket, failure: Failure::None, whose, stage });
        match self.streams.iter().position(Option::is_none) {
            Some(id) => {
                self.streams[id] = stream;
                id
            }
            None => {
                self.streams.push(stream);
                self.streams.len() - 1
            }
        }
    }

    /// What to poll for an entry, if anything.
    fn watch(&self, source: Source<usize>, interest: Interest) -> Option<PollEntry> {
        let wanted = match interest {
            Interest::Nothing => PollInterest::Errors,
            Interest::Read => PollInterest::Readable,
            Interest::Write => PollInterest::Writable,
        };
        match source {
            Source::Empty => None,
            Source::Telemetry => Some(PollEntry::new(self.telemetry.as_ref()?, wanted)),
            // A listener without interest has nothing to say.
            Source::Listener(_) if interest == Interest::Nothing => None,
            Source::Listener(service) => {
                Some(PollEntry::new(self.listeners[service as usize].as_ref()?, wanted))
            }
            Source::Dialling(id) | Source::Stream(id) => {
                let stream = self.streams.get(id)?.as_ref()?;
                let silent = stream.failure == Failure::Told && interest == Interest::Nothing;
                (!silent).then(|| PollEntry::new(&stream.socket, wanted))
            }
        }
    }

    /// What polling found out about an entry.
    fn found(&mut self, source: Source<usize>, interest: Interest, polled: PollEntry) -> Readiness {
        let readiness = polled.readiness();
        if !readiness.any() {
            return Readiness::Idle;
        }
        if let (true, Source::Stream(id) | Source::Dialling(id)) = (readiness.error(), source)
            && let Some(Some(stream)) = self.streams.get_mut(id)
        {
            let told = std::mem::replace(&mut stream.failure, Failure::Told) == Failure::Told;
            if let (false, Err(error)) = (told, stream.socket.take_error()) {
                // A program that waits for nothing on it hears of it when it next does.
                match interest {
                    Interest::Nothing => {}
                    Interest::Read => self.say_failure(id, Call::Receive, name(error)),
                    Interest::Write => self.say_failure(id, Call::Send, name(error)),
                }
                return Readiness::Failed(name(error));
            }
        }
        Readiness::Ready
    }
}

impl Sockets for LwipSockets {
    type Id = usize;

    fn now(&self) -> Instant {
        Instant::from_micros(clock::now_ns().saturating_sub(self.origin_ns) / 1_000)
    }

    fn accept(&mut self, service: Service) -> Result<Option<usize>, ErrorKind> {
        let Some(listener) = &self.listeners[service as usize] else { return Ok(None) };
        match listener.accept() {
            Ok((socket, _)) => {
                let id = self.adopt(socket, Whose::Of(service), Stage::Unheard);
                self.say_heap();
                Ok(Some(id))
            }
            // Gone before it was accepted: nothing to count.
            Err(SocketError::WouldBlock | SocketError::ConnectionAborted) => Ok(None),
            Err(error) => {
                if let Some(console) = &mut self.console {
                    console.refused(service, name(error));
                }
                Err(name(error))
            }
        }
    }

    fn prepare(&mut self, id: usize, options: &SocketOptions) {
        let Some(stream) = self.stream(id) else { return };
        // A socket that takes no options is one whose connection has failed; reading will say so.
        let _ = stream.set_nodelay(true);
        if let Some(wanted) = options.keep_alive {
            let _ = stream.set_keepalive(wanted.idle, wanted.interval, wanted.count);
        }
    }

    fn receive(&mut self, id: usize, space: &mut [u8]) -> Received {
        let Some(stream) = self.stream(id) else { return Received::Failed(ErrorKind::Other) };
        let received = match stream.try_recv(space) {
            Ok(0) => Received::End,
            Ok(n) => Received::Bytes(n),
            Err(SocketError::WouldBlock) => Received::NotYet,
            Err(error) => Received::Failed(name(error)),
        };
        if self.console.is_some() {
            self.note_received(id, received);
        }
        received
    }

    fn send(&mut self, id: usize, bytes: &[u8]) -> Sent {
        let Some(stream) = self.stream(id) else { return Sent::Failed(ErrorKind::Other) };
        match stream.try_send(bytes) {
            Ok(0) | Err(SocketError::WouldBlock) => Sent::NotYet,
            Ok(n) => Sent::Bytes(n),
            Err(error) => {
                self.say_failure(id, Call::Send, name(error));
                Sent::Failed(name(error))
            }
        }
    }

    fn shutdown_write(&mut self, id: usize) {
        if let Some(stream) = self.stream(id) {
            // Fails on a connection that is gone already, which reading will say.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self, id: usize, how: CloseHow) {
        self.say_end_of_dial(id, how);
        let Some(Stream { socket, .. }) = self.streams.get_mut(id).and_then(Option::take) else { return };
        // A close that finds no memory for its FIN gives the socket back all the same.
        let _ = match how {
            CloseHow::Orderly | CloseHow::Unread => socket.close(),
            CloseHow::Abort => socket.abort(),
            CloseHow::Leak => {
                socket.leak();
                Ok(())
            }
        };
        self.say_heap();
    }

    fn dial(&mut self, host: &Host) -> Result<usize, ErrorKind> {
        // There is no name server in the private network.
        let address: Ipv4Addr = host.name.parse().map_err(|_| ErrorKind::Unreachable)?;
        let socket = match TcpStream::start_connect(&self.stack, SocketAddrV4::new(address, host.port)) {
            Ok(socket) => socket,
            Err(error) => {
                if let Some(console) = &mut self.console {
                    console.not_dialled(self.dials_for, Some(name(error)));
                }
                return Err(name(error));
            }
        };
        Ok(self.adopt(socket, self.dials_for, Stage::Dialling))
    }

    fn dialled(&mut self, id: usize) -> Dialled {
        let Some(stream) = self.stream(id) else { return Dialled::Failed(ErrorKind::Other) };
        let outcome = match (stream.take_error(), stream.peer_addr()) {
            (Err(error), _) => Dialled::Failed(name(error)),
            (Ok(()), Ok(_)) => Dialled::Connected,
            (Ok(()), Err(_)) => Dialled::NotYet,
        };
        match outcome {
            Dialled::Failed(error) => self.say_failure(id, Call::Send, error),
            Dialled::Connected => {
                if let Some(Some(stream)) = self.streams.get_mut(id) {
                    stream.stage = Stage::Unheard;
                }
            }
            Dialled::NotYet => {}
        }
        outcome
    }

    fn receive_datagram(&mut self, space: &mut [u8]) -> Option<usize> {
        let (len, from) = self.telemetry.as_ref()?.try_recv_from(space).ok()?;
        self.asker = Some(from);
        Some(len)
    }

    fn answer_datagram(&mut self, bytes: &[u8]) {
        if let (Some(socket), Some(asker)) = (&self.telemetry, self.asker) {
            let _ = socket.send_to(bytes, asker);
        }
    }

    fn readings(&mut self) -> Readings<'_> {
        let stats = self.stack.stats();
        Readings {
            heap: Some(heap(&self.stack)),
            wifi: Some(self.air.wifi()),
            sockets: Some(SocketUse {
                used: u16::try_from(stats.sockets.in_use).unwrap_or(u16::MAX),
                limit: u16::try_from(stats.sockets.limit).unwrap_or(u16::MAX),
            }),
            tcp: Some(by_state(&stats.tcp_states)),
            stack: StackName { name: "lwIP", version: self.stack.version() },
            options: self.options,
        }
    }

    fn device(&mut self, wish: DeviceWish) {
        match wish {
            DeviceWish::LeaveNetwork(time) => {
                self.air.start_outage(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            }
            DeviceWish::PowerSave(mode) => self.air.set_power_save(mode),
            // Where the heap has no such block, there is nothing more to hoard.
            DeviceWish::Hoard(len) => match (Block::alloc(len as usize), &mut self.console) {
                (Some(block), _) => self.hoard.push(block),
                (None, Some(console)) => console.no_memory(len),
                (None, None) => {}
            },
            // The loop's own business.
            DeviceWish::Hang | DeviceWish::Restart(_) => {}
        }
    }

    fn wait(&mut self, entries: &mut [Entry<usize>], until: Option<Instant>) {
        if let Some(console) = &mut self.console {
            console.station(&self.air.wifi(), self.air.is_up());
        }
        self.polled.clear();
        self.places.clear();
        for (place, entry) in entries.iter().enumerate() {
            if let Some(watched) = self.watch(entry.source(), entry.interest()) {
                self.polled.push(watched);
                self.places.push(place);
            }
        }
        let knocks = self.knocks_in_vain();
        self.polled.extend(knocks);
        let timeout = until.map_or(LONGEST_WAIT, |until| until.since(self.now()).min(LONGEST_WAIT));
        let barks = self.console.as_ref().and_then(IdfConsole::barks_in);
        let timeout = barks.map_or(timeout, |barks| barks.min(timeout));
        // An error is a socket closed meanwhile, and nobody else closes them.
        let _ = self.poll.wait(&mut self.polled, Some(timeout));
        if let (Some(_), Some(last)) = (knocks, self.polled.last())
            && last.readiness().any()
            && let Some(console) = &mut self.console
        {
            console.refused(Service::Http, ErrorKind::OutOfSockets);
        }
        for at in 0..self.places.len() {
            let entry = &mut entries[self.places[at]];
            match self.found(entry.source(), entry.interest(), self.polled[at]) {
                Readiness::Idle => {}
                readiness => entry.set_ready(readiness),
            }
        }
    }
}

fn heap(stack: &Stack) -> Heap {
    let heap = stack.stats().heap;
    let bytes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Heap {
        free: bytes(heap.free),
        min_free: Some(bytes(heap.min_free)),
        largest: Some(bytes(heap.largest_block)),
        total: bytes(heap.total),
    }
}

fn name(error: SocketError) -> ErrorKind {
    match error {
        SocketError::ConnectionReset => ErrorKind::Reset,
        // lwIP's word for a peer it has given up (ERR_ABRT).
        SocketError::ConnectionAborted => ErrorKind::TimedOut,
        SocketError::HostUnreachable => ErrorKind::Unreachable,
        SocketError::NoMemory | SocketError::NoBuffer => ErrorKind::OutOfMemory,
        SocketError::NoSocket => ErrorKind::OutOfSockets,
        _ => ErrorKind::Other,
    }
}

/// lwIP's control blocks by what telemetry tells apart.
pub(crate) fn by_state(states: &TcpStates) -> TcpUse {
    let sum = |of: &[TcpState]| {
        let n: u32 = of.iter().map(|state| states.count(*state)).sum();
        u16::try_from(n).unwrap_or(u16::MAX)
    };
    TcpUse {
        established: sum(&[TcpState::Established]),
        close_wait: sum(&[TcpState::CloseWait]),
        fin_wait: sum(&[TcpState::FinWait1, TcpState::FinWait2, TcpState::Closing, TcpState::LastAck]),
        time_wait: sum(&[TcpState::TimeWait]),
    }
}
