//! What all tasks of one device share.

use core::cell::{Cell, RefCell};

use embassy_futures::select::select;
use embassy_futures::yield_now;
use embassy_net::driver::Capabilities;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Instant as Clock, Timer};
use espstress_device::telemetry::{ResetReason, SocketUse};
use espstress_device::{Config, DeviceWish, Instant, Program, Readings, Service};

use crate::options::InForce;
use crate::slots::{self, Role};

/// The system under the device: a board, or the host.
pub trait Board {
    /// Hands over readings of this moment. With no sockets in them, those of the pool are used. The options are those of
    /// the board alone; the stack's come before them.
    fn with_readings<R>(&self, use_them: impl FnOnce(&Readings<'_>) -> R) -> R;

    /// Does what the device as a whole wants; returns at once. [`DeviceWish::Restart`] and [`DeviceWish::Hang`] never
    /// come here.
    fn obey(&self, wish: DeviceWish);

    /// A connection comes, or has gone: a board may say how its heap is. Returns at once.
    fn connection(&self, change: Change) {
        let _ = change;
    }

    /// Restarts, with this setup afterwards. A board does not return from here; where a process stands for one, the
    /// tasks are ended soon.
    fn restart(&self, reason: ResetReason, next: Config);
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The program takes it.
    Comes,
    /// The program is done with it.
    Goes,
}

/// Whether the device goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    GoesOn,
    /// A restart has been asked for: there are no further wishes.
    IsOver,
}

/// The device program, the pool's table, and what wakes whom. All tasks of one executor thread.
pub struct Device<B, const N: usize> {
    program: RefCell<Program>,
    board: B,
    started: Clock,
    roles: [Cell<Role>; N],
    /// One for each socket of the pool: its role has changed, or a place has become free.
    called: [Signal<NoopRawMutex, ()>; N],
    /// Whether a restart has been asked of the board.
    life: Cell<Life>,
    /// The next wish of the device may have a new time.
    planned: Signal<NoopRawMutex, ()>,
    /// What the stack works with.
    in_force: Cell<InForce>,
}

impl<B: Board, const N: usize> Device<B, N> {
    /// A device that starts now, with `N` sockets in its pool.
    pub fn new(config: Config, board: B) -> Self {
        let device = Self {
            program: RefCell::new(Program::new(config, Instant::ZERO)),
            board,
            started: Clock::now(),
            roles: [const { Cell::new(Role::Free) }; N],
            called: [const { Signal::new() }; N],
            life: Cell::new(Life::GoesOn),
            planned: Signal::new(),
            in_force: Cell::default(),
        };
        device.rebalance();
        device
    }

    /// The system under it.
    pub const fn board(&self) -> &B {
        &self.board
    }

    /// Notes what the driver under the stack can do, for telemetry: the segment and the window come from there.
    pub fn note_link(&self, link: &Capabilities) {
        self.in_force.set(self.in_force.get().with_link(link));
    }

    /// Notes the buffers of a socket, in bytes.
    pub(crate) fn note_socket(&self, rx: usize, tx: usize) {
        self.in_force.set(self.in_force.get().with_socket(rx, tx));
    }

    /// Hands over the options of the stack in force, name and value. Segment and window are there once the device has
    /// been told of the driver and has a socket.
    pub fn with_options<R>(&self, use_them: impl FnOnce(&[(&str, &str)]) -> R) -> R {
        self.in_force.get().with_names(N, &[], use_them)
    }

    /// Works with the program; what it wants as a whole is done afterwards.
    pub fn with<R>(&self, work: impl FnOnce(&mut Program, Instant) -> R) -> R {
        let now = self.now();
        let result = work(&mut self.program.borrow_mut(), now);
        self.obey_now();
        self.planned.signal(());
        result
    }

    /// The time, on the program's clock.
    pub fn now(&self) -> Instant {
        Instant::from_micros(Clock::now().duration_since(self.started).as_micros())
    }

    /// Waits until that time; for ever, when there is none.
    pub(crate) async fn sleep_until(&self, until: Option<Instant>) {
        match until {
            // A time that has come: others have their turn all the same.
            Some(until) if until <= self.now() => yield_now().await,
            Some(until) => {
                Timer::at(self.started + embassy_time::Duration::from_micros(until.as_micros())).await
            }
            None => core::future::pending().await,
        }
    }

    /// Does what the device as a whole wants, whenever the time for it has come. Never ends.
    pub async fn obey(&self) {
        loop {
            self.obey_now();
            if self.life.get() == Life::IsOver {
                return core::future::pending().await;
            }
            let next = self.program.borrow().next_wish_at();
            select(self.planned.wait(), self.sleep_until(next)).await;
        }
    }

    fn obey_now(&self) {
        let now = self.now();
        while self.life.get() == Life::GoesOn {
            let wish = self.program.borrow_mut().poll_wish(now);
            match wish {
                None => return,
                Some(DeviceWish::Restart(reason)) => {
                    self.life.set(Life::IsOver);
                    let next = self.program.borrow().config_after_restart(reason);
                    self.board.restart(reason, next);
                }
                // The program knows that it hangs, and every task asks it.
                Some(DeviceWish::Hang) => {}
                Some(wish) => self.board.obey(wish),
            }
        }
    }

    /// Waits until dialling may be due: its time, or a look now and then at a program that hangs.
    pub(crate) async fn dial_due(&self) {
        let (next, host) = {
            let program = self.program.borrow();
            (program.next_dial_at(), program.config().dial.is_some())
        };
        match next {
            _ if !host => core::future::pending().await,
            Some(next) if next > self.now() => self.sleep_until(Some(next)).await,
            _ => Timer::after_secs(1).await,
        }
    }

    /// Readings, with the sockets in use and the options of the stack.
    pub(crate) fn with_readings<R>(&self, use_them: impl FnOnce(&Readings<'_>) -> R) -> R {
        let sockets = self.sockets();
        self.board.with_readings(|readings| {
            let sockets = readings.sockets.or(Some(sockets));
            let options = self.in_force.get();
            options.with_names(N, readings.options, |options| {
                use_them(&Readings { sockets, options, ..*readings })
            })
        })
    }

    /// Sockets in use, one listener a service and the one for telemetry included, and those there are. One in TIME_WAIT
    /// is not in use: it gives way, as in stacks where it is no socket any more.
    fn sockets(&self) -> SocketUse {
        let roles = || self.roles.iter().map(Cell::get);
        let busy = roles().filter(|role| matches!(role, Role::Busy | Role::Leaked)).count();
        let services = self.program.borrow().services();
        let listening = |&service: &Service| roles().any(|role| role == Role::Listening(service));
        let own =
            services.iter().filter(|service| *service == Service::Telemetry || listening(service)).count();
        SocketUse { used: (own + busy) as u16, limit: N as u16 + 1 }
    }

    pub(crate) fn role(&self, slot: usize) -> Role {
        self.roles[slot].get()
    }

    /// Notes what a socket is at now, and lets others take its place.
    pub(crate) fn set_role(&self, slot: usize, role: Role) {
        self.roles[slot].set(role);
        self.rebalance();
    }

    fn rebalance(&self) {
        let services = self.program.borrow().services();
        loop {
            let roles: [Role; N] = core::array::from_fn(|at| self.roles[at].get());
            let Some((slot, service)) = slots::next_move(&roles, services, Clock::now()) else {
                return;
            };
            self.roles[slot].set(Role::Listening(service));
            self.called[slot].signal(());
        }
    }

    /// Calls every socket of the pool: a connection has ended, so that one that waits may have its turn.
    pub(crate) fn call_all(&self) {
        for called in &self.called {
            called.signal(());
        }
    }

    /// Waits for a call.
    pub(crate) async fn called(&self, slot: usize) {
        self.called[slot].wait().await;
    }
}
