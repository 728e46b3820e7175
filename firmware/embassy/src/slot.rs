//! One socket of the pool, for ever.

use embassy_futures::select::{Either, select};
use embassy_futures::{poll_once, yield_now};
use embassy_net::Stack;
use embassy_net::tcp::{State, TcpSocket};
use embassy_time::{Duration, Instant as Clock, Timer, with_timeout};
use espstress_device::carrier::{Interest, Received, Sent};
use espstress_device::persona::KeepAlive;
use espstress_device::{Admission, CloseHow, Connection, Program, Service, SocketOptions, Wish};

use crate::device::{Board, Change, Device};
use crate::slots::Role;
use crate::socket::{ready, receive, send, until};

/// Wishes that are carried out before other tasks have their turn.
const STEPS_AT_ONCE: usize = 32;

/// How long a handshake may take, and how long a peer may take to acknowledge data, where the persona has no
/// keep-alive to say so: smoltcp would try for ever.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long a closed connection may wait for the peer's part: as in lwIP, TCP_FIN_WAIT_TIMEOUT.
pub(crate) const FIN_WAIT: Duration = Duration::from_secs(20);

/// How long an answer may take to be delivered before the RST of a persona that leaves bytes unread.
const DELIVERY: Duration = Duration::from_secs(5);

/// How long smoltcp keeps TIME_WAIT.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(10);

/// How often a connection that waits for admission is looked at: nothing wakes its task when it ends.
const WAITING_CHECK: Duration = Duration::from_millis(250);

/// The memory of one socket.
pub struct Buffers<const RX: usize, const TX: usize> {
    rx: [u8; RX],
    tx: [u8; TX],
}

impl<const RX: usize, const TX: usize> Buffers<RX, TX> {
    /// Empty.
    pub const EMPTY: Self = Self { rx: [0; RX], tx: [0; TX] };

    /// A socket in this memory.
    pub(crate) fn socket<'a>(&'a mut self, stack: Stack<'a>) -> TcpSocket<'a> {
        TcpSocket::new(stack, &mut self.rx, &mut self.tx)
    }
}

impl<const RX: usize, const TX: usize> Default for Buffers<RX, TX> {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// What came of listening.
enum Heard {
    /// A connection, established.
    Connection,
    /// The socket is wanted elsewhere, or its connection came to nothing.
    Nothing,
}

impl<B: Board, const N: usize> Device<B, N> {
    /// Serves with socket number `slot`: listens where it is needed, serves, closes, listens again. Never ends.
    pub async fn serve<const RX: usize, const TX: usize>(
        &self,
        slot: usize,
        stack: Stack<'_>,
        buffers: &mut Buffers<RX, TX>,
    ) {
        loop {
            let Role::Listening(service) = self.role(slot) else {
                self.called(slot).await;
                continue;
            };
            let mut socket = buffers.socket(stack);
            self.note_socket(socket.recv_capacity(), socket.send_capacity());
            let armed = self.arm(&mut socket);
            if let Heard::Nothing = self.listen(slot, service, &mut socket).await {
                drop(socket);
                if self.role(slot) == Role::Busy {
                    self.set_role(slot, Role::Free);
                }
                continue;
            }
            if self.admitted(slot, service, &socket).await {
                self.board().connection(Change::Comes);
                let mut connection = self.with(|program, now| program.open(service, now));
                let how = self.converse(&mut socket, &mut connection, armed).await;
                self.board().connection(Change::Goes);
                self.call_all();
                self.close(slot, &mut socket, how).await;
            }
            drop(socket);
            // In the meantime another service may have been given it out of TIME_WAIT.
            if !matches!(self.role(slot), Role::Listening(_)) {
                self.set_role(slot, Role::Free);
            }
        }
    }

    async fn listen(&self, slot: usize, service: Service, socket: &mut TcpSocket<'_>) -> Heard {
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(HANDSHAKE));
        // Starts listening; that it waits as well is not needed.
        let _ = poll_once(socket.accept(service.port()));
        loop {
            let before = socket.state();
            let changed = until(socket, |socket| socket.state() != before);
            let call = select(changed, self.called(slot)).await;
            match (call, socket.state()) {
                (Either::Second(()), State::Listen) if self.role(slot) != Role::Listening(service) => {
                    return Heard::Nothing;
                }
                (Either::Second(()), State::Listen) => {}
                // The peer has reset its own handshake: smoltcp listens on, and so does this socket.
                (Either::First(()), State::Listen) => self.set_role(slot, Role::Listening(service)),
                (_, State::Closed) => return Heard::Nothing,
                // No listener any more, whoever called: another one has to take its place before the next SYN.
                (_, State::SynReceived) => self.set_role(slot, Role::Busy),
                _ => {
                    self.set_role(slot, Role::Busy);
                    return Heard::Connection;
                }
            }
        }
    }

    /// Waits until the program takes the connection; false when the peer went away before that.
    async fn admitted(&self, slot: usize, service: Service, socket: &TcpSocket<'_>) -> bool {
        loop {
            let admission = self.with(|program, now| program.admit(service, now));
            match admission {
                Admission::Accept => return true,
                Admission::NotNow { .. } if socket.state() == State::Closed => return false,
                Admission::NotNow { retry_at } => {
                    let again = select(self.sleep_until(retry_at), Timer::after(WAITING_CHECK));
                    select(self.called(slot), again).await;
                }
            }
        }
    }

    /// Sets the keep-alive of the persona in force, before there is a connection: on one that is established, smoltcp
    /// sends a probe at once.
    pub(crate) fn arm(&self, socket: &mut TcpSocket<'_>) -> Option<KeepAlive> {
        self.arm_with(socket, |program| program.socket_options())
    }

    /// The same for a socket that dials.
    pub(crate) fn arm_dialled(&self, socket: &mut TcpSocket<'_>) -> Option<KeepAlive> {
        self.arm_with(socket, |program| program.dial_options())
    }

    fn arm_with(
        &self,
        socket: &mut TcpSocket<'_>,
        options: impl Fn(&Program) -> SocketOptions,
    ) -> Option<KeepAlive> {
        let keep_alive = self.with(|program, _| options(program).keep_alive);
        socket.set_keep_alive(keep_alive.map(|times| duration(times.idle)));
        keep_alive
    }

    /// Carries out the connection's wishes until it wants to be closed.
    pub(crate) async fn converse(
        &self,
        socket: &mut TcpSocket<'_>,
        connection: &mut Connection,
        armed: Option<KeepAlive>,
    ) -> CloseHow {
        socket.set_nagle_enabled(false);
        let keep_alive = self.with(|program, _| match connection.service() {
            Service::Mqtt => program.dial_options().keep_alive,
            _ => program.socket_options().keep_alive,
        });
        if keep_alive != armed {
            socket.set_keep_alive(keep_alive.map(|times| duration(times.idle)));
        }
        socket
            .set_timeout(keep_alive.map(|times| duration(times.idle + times.interval * times.count.into())));
        loop {
            let interest = match self.step(socket, connection) {
                Step::Wait(interest) => interest,
                Step::Busy => {
                    yield_now().await;
                    continue;
                }
                Step::Close(how) => return how,
            };
            let deadline = connection.deadline();
            let _ = select(ready(socket, interest), self.sleep_until(deadline)).await;
            if interest == Interest::Nothing && socket.state() == State::Closed {
                connection.failed(espstress_device::ErrorKind::Reset);
            }
        }
    }

    /// As many wishes as can be carried out now.
    fn step(&self, socket: &mut TcpSocket<'_>, connection: &mut Connection) -> Step {
        for _ in 0..STEPS_AT_ONCE {
            match self.with(|program, now| connection.next(program, now)) {
                Wish::Read(space) => match receive(socket, space) {
                    Received::Bytes(n) => connection.received(n),
                    Received::End => connection.peer_closed(),
                    Received::Failed(kind) => connection.failed(kind),
                    Received::NotYet => return Step::Wait(Interest::Read),
                },
                Wish::Write(bytes) => match send(socket, bytes) {
                    Sent::Bytes(n) => connection.sent(n),
                    Sent::Failed(kind) => connection.failed(kind),
                    Sent::NotYet => return Step::Wait(Interest::Write),
                },
                Wish::Readings => self.with_readings(|readings| {
                    self.with(|program, now| connection.provide(program, readings, now));
                }),
                Wish::ShutdownWrite => socket.close(),
                Wish::Hold => return Step::Wait(Interest::Nothing),
                Wish::Close(how) => return Step::Close(how),
            }
        }
        Step::Busy
    }

    async fn close(&self, slot: usize, socket: &mut TcpSocket<'_>, how: CloseHow) {
        match how {
            CloseHow::Orderly => {
                socket.close();
                socket.set_keep_alive(None);
                let ended = until(socket, |socket| matches!(socket.state(), State::Closed | State::TimeWait));
                if with_timeout(FIN_WAIT, ended).await.is_ok() && socket.state() == State::TimeWait {
                    self.linger(slot, socket).await;
                }
            }
            CloseHow::Unread => {
                let _ = with_timeout(DELIVERY, socket.flush()).await;
                abort(socket).await;
            }
            CloseHow::Abort => abort(socket).await,
            CloseHow::Leak => {
                self.set_role(slot, Role::Leaked);
                core::future::pending().await
            }
        }
    }

    /// Stays in TIME_WAIT until that is over or the socket is needed.
    async fn linger(&self, slot: usize, socket: &TcpSocket<'_>) {
        let since = Clock::now();
        self.set_role(slot, Role::Lingering(since));
        while matches!(self.role(slot), Role::Lingering(_)) && socket.state() == State::TimeWait {
            let over = Timer::at(since + TIME_WAIT);
            if let Either::Second(()) = select(self.called(slot), over).await {
                return;
            }
        }
    }
}

fn duration(duration: core::time::Duration) -> Duration {
    Duration::from_micros(duration.as_micros() as u64)
}

/// Where a connection stands after its wishes.
enum Step {
    /// For the stack, or the deadline.
    Wait(Interest),
    /// More to do, after others.
    Busy,
    /// At its end.
    Close(CloseHow),
}

/// RST, and time for it to go out.
pub(crate) async fn abort(socket: &mut TcpSocket<'_>) {
    socket.abort();
    let _ = with_timeout(Duration::from_secs(1), socket.flush()).await;
}
