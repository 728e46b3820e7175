//! The program's sockets: lwIP's socket, our end of the socket pair, and what waits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use espstress_lwip::{DeviceSocket, Kind};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SndBuf;

use crate::park::Parked;

/// A socket's name here, never used again.
pub(crate) type SocketId = u64;

/// One socket of the program, however many descriptors it has there.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) device: Arc<DeviceSocket>,
    /// Our end: carries readiness, and says when the program's last descriptor is closed.
    pub(crate) end: UnixStream,
    inode: u64,
    /// `O_NONBLOCK`, as the program has set it.
    pub(crate) non_blocking: bool,
    /// A connection is being made.
    pub(crate) connecting: bool,
    /// Bytes that make the program's end readable.
    pub(crate) shown: u32,
    /// Whether the program's end is kept from being writable.
    pub(crate) filled: bool,
    pub(crate) receive_timeout: Option<Duration>,
    pub(crate) send_timeout: Option<Duration>,
    pub(crate) parked: VecDeque<Parked>,
    /// Bytes received that their caller did not get, as it was killed meanwhile.
    pub(crate) returned: VecDeque<u8>,
    /// A connection accepted whose caller did not get it.
    pub(crate) unclaimed: Option<(Arc<DeviceSocket>, SocketAddrV4)>,
    /// Answers made up here (see `names`), and whom they are from.
    pub(crate) replies: VecDeque<(Vec<u8>, SocketAddrV4)>,
    /// Where datagrams go that name no address.
    pub(crate) peer: Option<SocketAddrV4>,
    pub(crate) listening: Option<SocketAddrV4>,
}

impl Socket {
    pub(crate) fn is_datagram(&self) -> bool {
        self.device.kind() == Kind::Datagram
    }

    /// Something that did not come from lwIP just now.
    pub(crate) fn has_kept(&self) -> bool {
        !self.returned.is_empty() || self.unclaimed.is_some() || !self.replies.is_empty()
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.has_kept() || self.device.ready().readable()
    }
}

/// All sockets.
#[derive(Debug, Default)]
pub(crate) struct Table {
    next: SocketId,
    sockets: BTreeMap<SocketId, Socket>,
    by_inode: HashMap<u64, SocketId>,
    by_number: HashMap<usize, SocketId>,
}

impl Table {
    /// Takes a socket in: its id, and the program's end.
    pub(crate) fn adopt(
        &mut self,
        device: Arc<DeviceSocket>,
        non_blocking: bool,
    ) -> std::io::Result<(SocketId, OwnedFd)> {
        let (end, theirs) = UnixStream::pair()?;
        // The least there is, so that a single message fills it.
        setsockopt(&theirs, SndBuf, &1)?;
        end.set_nonblocking(true)?;
        theirs.set_nonblocking(non_blocking)?;
        let inode = nix::sys::stat::fstat(theirs.as_fd())?.st_ino;
        self.next += 1;
        let id = self.next;
        self.by_inode.insert(inode, id);
        self.by_number.insert(device.number(), id);
        let socket = Socket {
            device,
            end,
            inode,
            non_blocking,
            connecting: false,
            shown: 0,
            filled: false,
            receive_timeout: None,
            send_timeout: None,
            parked: VecDeque::new(),
            returned: VecDeque::new(),
            unclaimed: None,
            replies: VecDeque::new(),
            peer: None,
            listening: None,
        };
        self.sockets.insert(id, socket);
        Ok((id, theirs.into()))
    }

    pub(crate) fn get(&mut self, id: SocketId) -> Option<&mut Socket> {
        self.sockets.get_mut(&id)
    }

    pub(crate) fn of_inode(&self, inode: u64) -> Option<SocketId> {
        self.by_inode.get(&inode).copied()
    }

    /// The socket that lwIP calls by this number.
    pub(crate) fn of_number(&self, number: usize) -> Option<SocketId> {
        self.by_number.get(&number).copied()
    }

    pub(crate) fn remove(&mut self, id: SocketId) -> Option<Socket> {
        let socket = self.sockets.remove(&id)?;
        self.by_inode.remove(&socket.inode);
        self.by_number.remove(&socket.device.number());
        Some(socket)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (SocketId, &Socket)> {
        self.sockets.iter().map(|(id, socket)| (*id, socket))
    }

    pub(crate) fn ids(&self) -> Vec<SocketId> {
        self.sockets.keys().copied().collect()
    }

    /// Drops everything without closing any of lwIP's sockets: nothing leaves, as from a device that crashed.
    pub(crate) fn forget_all(&mut self) {
        for (_, socket) in std::mem::take(&mut self.sockets) {
            std::mem::forget(socket.device);
            std::mem::forget(socket.unclaimed);
        }
        self.by_inode.clear();
        self.by_number.clear();
    }
}
