//! `bind`, `listen`, `accept`.

use std::sync::Arc;

use super::open::NotHanded;
use super::{Outcome, Try};
use crate::memory::Memory;
use crate::notify::Call;
use crate::readiness;
use crate::supervisor::{News, Supervisor};
use crate::table::SocketId;

impl Supervisor {
    pub(super) fn bind(&mut self, id: SocketId, call: &Call) -> Outcome {
        let memory = Memory::of_thread(call.thread);
        let to = match memory.address(call.arguments[1], call.arguments[2]) {
            Ok(Some(to)) => to,
            // As Linux has it: no family is the unspecified address.
            Ok(None) => return Outcome::Answer(Err(libc::EAFNOSUPPORT)),
            Err(errno) => return Outcome::Answer(Err(errno)),
        };
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        if socket.is_datagram() {
            // The program's own telemetry goes before ours.
            self.telemetry.take_if(|ours| ours.port == to.port());
        }
        Outcome::of(socket.device.bind(to).map_err(|errno| errno.0))
    }

    pub(super) fn listen(&mut self, id: SocketId, call: &Call) -> Outcome {
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        if let Err(errno) = socket.device.listen(call.int(1)) {
            return Outcome::Answer(Err(errno.0));
        }
        if let Ok(address) = socket.device.local_addr()
            && socket.listening.replace(address).is_none()
        {
            self.news.push_back(News::Listening(address));
        }
        Outcome::DONE
    }

    pub(super) fn accept(&mut self, id: SocketId, call: &Call, attempt: Try) -> Outcome {
        let bits = if call.number == libc::SYS_accept4 { call.int(3) } else { 0 };
        let Some(socket) = self.table.get(id) else { return Outcome::Answer(Err(libc::EBADF)) };
        let non_blocking = socket.non_blocking;
        let nothing = |supervisor: &mut Self| match (non_blocking, attempt) {
            (false, Try::First | Try::Again) => Outcome::Wait,
            _ => {
                supervisor.settle(id, call);
                Outcome::Answer(Err(libc::EAGAIN))
            }
        };
        let (device, peer) = match socket.unclaimed.take() {
            Some(accepted) => accepted,
            None => {
                if !socket.device.ready().readable() {
                    return nothing(self);
                }
                // lwIP gives up a connection that it has no socket for. One that is being closed comes first, also for
                // a program that never waits: on a device its close would have waited.
                if self.is_full() && attempt != Try::Late {
                    self.collect_hang_ups();
                    if self.closing > 0 {
                        return Outcome::Wait;
                    }
                }
                let Some(socket) = self.table.get(id) else { return Outcome::Answer(Err(libc::EBADF)) };
                match socket.device.accept() {
                    Ok((device, peer)) => (Arc::new(device), peer),
                    Err(errno) if errno.0 == libc::EAGAIN => return nothing(self),
                    Err(errno) => {
                        self.settle(id, call);
                        return Outcome::Answer(Err(errno.0));
                    }
                }
            }
        };
        self.settle(id, call);
        let memory = Memory::of_thread(call.thread);
        if let Err(errno) = memory.write_address(call.arguments[1], call.arguments[2], peer) {
            self.keep(id, device, peer);
            return Outcome::Answer(Err(errno));
        }
        let close_on_exec = bits & libc::SOCK_CLOEXEC != 0;
        match self.install(call, device, bits & libc::SOCK_NONBLOCK != 0, close_on_exec) {
            Ok(()) => Outcome::Taken,
            Err((NotHanded::Gone, device)) => {
                self.keep(id, device, peer);
                Outcome::Taken
            }
            Err((NotHanded::Refused(errno), device)) => {
                self.keep(id, device, peer);
                Outcome::Answer(Err(errno))
            }
        }
    }

    /// Keeps a connection for who accepts next.
    fn keep(
        &mut self,
        id: SocketId,
        device: Arc<espstress_lwip::DeviceSocket>,
        peer: std::net::SocketAddrV4,
    ) {
        if let Some(socket) = self.table.get(id) {
            socket.unclaimed = Some((device, peer));
            readiness::mirror(socket, true);
        }
    }

    /// Whether every socket of the device is in use.
    pub(super) fn is_full(&self) -> bool {
        let sockets = self.stack.sockets();
        sockets.in_use >= sockets.limit
    }

    /// After a call took something from a socket.
    pub(super) fn settle(&mut self, id: SocketId, call: &Call) {
        if let Some(socket) = self.table.get(id) {
            readiness::settle(socket, || self.reach.descriptor(call.thread, call.descriptor()));
        }
    }

    /// After a socket took all that it has room for.
    pub(super) fn fill(&mut self, id: SocketId, call: &Call) {
        if let Some(socket) = self.table.get(id) {
            readiness::fill(socket, || self.reach.descriptor(call.thread, call.descriptor()));
        }
    }
}
