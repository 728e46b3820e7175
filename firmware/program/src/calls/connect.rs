//! `connect`, `shutdown`, and the two addresses.

use espstress_lwip::Shutdown;

use super::{Outcome, Try, Unfinished};
use crate::memory::Memory;
use crate::notify::Call;
use crate::readiness;
use crate::supervisor::Supervisor;
use crate::table::SocketId;
use crate::workers::Work;

impl Supervisor {
    pub(super) fn connect(&mut self, id: SocketId, call: &Call, attempt: Try) -> Outcome {
        if attempt != Try::First {
            return self.connected(id);
        }
        let memory = Memory::of_thread(call.thread);
        let to = match memory.address(call.arguments[1], call.arguments[2]) {
            Ok(Some(to)) => to,
            // Ends an association; there is none that outlives the next connect.
            Ok(None) => return Outcome::DONE,
            Err(errno) => return Outcome::Answer(Err(errno)),
        };
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        if socket.connecting && !socket.non_blocking {
            // Interrupted by a signal, and called again.
            return Outcome::Wait;
        }
        let result = socket.device.connect(to).map_err(|errno| errno.0);
        if socket.is_datagram() && result.is_ok() {
            socket.peer = Some(to);
        }
        match result {
            Err(libc::EINPROGRESS) if !socket.is_datagram() => {
                socket.connecting = true;
                let non_blocking = socket.non_blocking;
                self.fill(id, call);
                if non_blocking { Outcome::Answer(Err(libc::EINPROGRESS)) } else { Outcome::Wait }
            }
            result => Outcome::of(result),
        }
    }

    fn connected(&mut self, id: SocketId) -> Outcome {
        let Some(socket) = self.table.get(id) else { return Outcome::Answer(Err(libc::EBADF)) };
        if !socket.device.ready().writable() {
            return Outcome::Wait;
        }
        socket.connecting = false;
        Outcome::of(socket.device.take_error().map_err(|errno| errno.0))
    }

    pub(super) fn shutdown(&mut self, id: SocketId, call: &Call) -> Outcome {
        let how = match call.int(1) {
            libc::SHUT_RD => Shutdown::Read,
            libc::SHUT_WR => Shutdown::Write,
            libc::SHUT_RDWR => Shutdown::Both,
            _ => return Outcome::Answer(Err(libc::EINVAL)),
        };
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        if socket.is_datagram() || socket.listening.is_some() {
            let result = socket.device.shutdown(how).map_err(|errno| errno.0);
            readiness::mirror(socket, false);
            return Outcome::of(result);
        }
        let device = std::sync::Arc::clone(&socket.device);
        let job = self.workers.start(device, Work::Shutdown(how));
        self.unfinished.insert(job, Unfinished::Shutdown(id, *call));
        Outcome::Taken
    }

    pub(super) fn name(&mut self, id: SocketId, call: &Call) -> Outcome {
        let Some(socket) = self.table.get(id) else { return Outcome::PassOn };
        let address = match call.number {
            libc::SYS_getsockname => socket.device.local_addr(),
            _ => socket.device.peer_addr(),
        };
        let memory = Memory::of_thread(call.thread);
        let written = address
            .map_err(|errno| errno.0)
            .and_then(|address| memory.write_address(call.arguments[1], call.arguments[2], address));
        Outcome::of(written)
    }
}
