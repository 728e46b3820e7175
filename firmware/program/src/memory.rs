//! The program's memory: read and written where its pointers say. Any pointer is possible; a bad one is `EFAULT`.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};

use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;

/// An error's number.
pub(crate) type Errno = i32;

/// Parts of a vector that the kernel takes in one call.
const MOST_PARTS: usize = 1_024;

/// The memory that a thread sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory(Pid);

impl Memory {
    pub(crate) const fn of_thread(thread: i32) -> Self {
        Self(Pid::from_raw(thread))
    }

    /// Fills `to` from the place.
    pub(crate) fn read(self, from: u64, to: &mut [u8]) -> Result<(), Errno> {
        if to.is_empty() {
            return Ok(());
        }
        let (base, len) = (place(from)?, to.len());
        match process_vm_readv(self.0, &mut [IoSliceMut::new(to)], &[RemoteIoVec { base, len }]) {
            Ok(n) if n == len => Ok(()),
            Ok(_) => Err(libc::EFAULT),
            Err(error) => Err(told(error)),
        }
    }

    /// Writes all of `from` to the place.
    pub(crate) fn write(self, to: u64, from: &[u8]) -> Result<(), Errno> {
        if from.is_empty() {
            return Ok(());
        }
        let (base, len) = (place(to)?, from.len());
        match process_vm_writev(self.0, &[IoSlice::new(from)], &[RemoteIoVec { base, len }]) {
            Ok(n) if n == len => Ok(()),
            Ok(_) => Err(libc::EFAULT),
            Err(error) => Err(told(error)),
        }
    }

    pub(crate) fn read_array<const N: usize>(self, from: u64) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.read(from, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn read_int(self, from: u64) -> Result<i32, Errno> {
        self.read_array(from).map(i32::from_ne_bytes)
    }

    pub(crate) fn write_int(self, to: u64, value: i32) -> Result<(), Errno> {
        self.write(to, &value.to_ne_bytes())
    }

    /// A vector of parts (struct iovec).
    pub(crate) fn parts(self, at: u64, count: u64) -> Result<Parts, Errno> {
        let count = usize::try_from(count).ok().filter(|count| *count <= MOST_PARTS).ok_or(libc::EINVAL)?;
        let mut bytes = vec![0; count * 16];
        self.read(at, &mut bytes)?;
        let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        let mut parts = Parts::default();
        for pair in bytes.chunks_exact(16) {
            parts.push(word(&pair[..8]), word(&pair[8..]))?;
        }
        Ok(parts)
    }

    /// Gathers the first `len` bytes of the parts.
    pub(crate) fn gather(self, parts: &Parts, len: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; len.min(parts.total)];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let remote = parts.first(bytes.len());
        match process_vm_readv(self.0, &mut [IoSliceMut::new(&mut bytes)], &remote) {
            Ok(n) if n == bytes.len() => Ok(bytes),
            Ok(_) => Err(libc::EFAULT),
            Err(error) => Err(told(error)),
        }
    }

    /// Scatters bytes over the parts; what does not fit is left out.
    pub(crate) fn scatter(self, parts: &Parts, bytes: &[u8]) -> Result<(), Errno> {
        let bytes = bytes.get(..parts.total).unwrap_or(bytes);
        if bytes.is_empty() {
            return Ok(());
        }
        match process_vm_writev(self.0, &[IoSlice::new(bytes)], &parts.first(bytes.len())) {
            Ok(n) if n == bytes.len() => Ok(()),
            Ok(_) => Err(libc::EFAULT),
            Err(error) => Err(told(error)),
        }
    }

    /// An IPv4 address (struct sockaddr_in); `None` for one of no family, which ends an association.
    pub(crate) fn address(self, at: u64, len: u64) -> Result<Option<SocketAddrV4>, Errno> {
        if at == 0 || len < 2 {
            return Err(libc::EINVAL);
        }
        let family = i32::from(u16::from_ne_bytes(self.read_array(at)?));
        match family {
            libc::AF_UNSPEC => return Ok(None),
            libc::AF_INET if len >= 16 => {}
            libc::AF_INET => return Err(libc::EINVAL),
            _ => return Err(libc::EAFNOSUPPORT),
        }
        let bytes: [u8; 8] = self.read_array(at)?;
        let [_, _, high, low, a, b, c, d] = bytes;
        Ok(Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low]))))
    }

    /// Writes an address as `accept` does: what the caller has room for, and the full length.
    pub(crate) fn write_address(self, at: u64, len_at: u64, address: SocketAddrV4) -> Result<(), Errno> {
        if at == 0 || len_at == 0 {
            return Ok(());
        }
        let room = usize::try_from(self.read_int(len_at)?).map_err(|_| libc::EINVAL)?;
        let bytes = sockaddr(address);
        self.write(at, &bytes[..room.min(bytes.len())])?;
        self.write_int(len_at, 16)
    }
}

/// An address as the kernel writes it.
pub(crate) fn sockaddr(address: SocketAddrV4) -> [u8; 16] {
    let mut bytes = [0; 16];
    let family = u16::try_from(libc::AF_INET).unwrap_or_default();
    bytes[..2].copy_from_slice(&family.to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    bytes[4..8].copy_from_slice(&address.ip().octets());
    bytes
}

/// Places in the program's memory, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    remote: Vec<RemoteIoVec>,
    /// Bytes in all.
    pub(crate) total: usize,
}

impl Parts {
    pub(crate) fn one(base: u64, len: u64) -> Result<Self, Errno> {
        let mut parts = Self::default();
        parts.push(base, len)?;
        Ok(parts)
    }

    fn push(&mut self, base: u64, len: u64) -> Result<(), Errno> {
        let len = usize::try_from(len).map_err(|_| libc::EINVAL)?;
        // As the kernel has it: more than an ssize_t is no length.
        self.total =
            self.total.checked_add(len).filter(|n| isize::try_from(*n).is_ok()).ok_or(libc::EINVAL)?;
        self.remote.push(RemoteIoVec { base: place(base)?, len });
        Ok(())
    }

    /// Those that hold the first `len` bytes.
    fn first(&self, len: usize) -> Vec<RemoteIoVec> {
        let mut left = len;
        let mut first = Vec::with_capacity(self.remote.len());
        for part in &self.remote {
            let len = part.len.min(left);
            if len > 0 {
                first.push(RemoteIoVec { base: part.base, len });
                left -= len;
            }
        }
        first
    }
}

fn place(at: u64) -> Result<usize, Errno> {
    usize::try_from(at).map_err(|_| libc::EFAULT)
}

fn told(error: nix::errno::Errno) -> Errno {
    match error {
        // Not ours to read: the caller is told what it can understand, the user hears of it elsewhere.
        nix::errno::Errno::EPERM => libc::EPERM,
        _ => libc::EFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Memory {
        Memory(Pid::this())
    }

    #[test]
    fn what_is_written_is_read_back_over_several_parts() {
        let (a, b) = ([1_u8, 2, 3], [4_u8, 5]);
        let mut parts = Parts::one(a.as_ptr() as u64, 3).unwrap();
        parts.push(b.as_ptr() as u64, 2).unwrap();
        assert_eq!(own().gather(&parts, 100), Ok(vec![1, 2, 3, 4, 5]));
        assert_eq!(own().gather(&parts, 4), Ok(vec![1, 2, 3, 4]));
        assert_eq!(own().gather(&Parts::default(), 4), Ok(vec![]));
    }

    #[test]
    fn a_bad_pointer_is_efault_and_nothing_else() {
        for at in [0_u64, 1, 0xffff_ffff_ffff_f000, u64::MAX] {
            assert_eq!(own().read_array::<8>(at), Err(libc::EFAULT), "{at:#x}");
            assert_eq!(own().write(at, &[1]), Err(libc::EFAULT), "{at:#x}");
            assert_eq!(own().parts(at, 2).err(), Some(libc::EFAULT), "{at:#x}");
        }
        assert_eq!(own().parts(1, 2_000).err(), Some(libc::EINVAL));
        assert_eq!(Parts::one(1, u64::MAX).err(), Some(libc::EINVAL));
    }

    #[test]
    fn an_address_is_read_as_it_is_written() {
        let address = SocketAddrV4::new(Ipv4Addr::new(192, 168, 4, 91), 8_080);
        let bytes = sockaddr(address);
        assert_eq!(own().address(bytes.as_ptr() as u64, 16), Ok(Some(address)));
        assert_eq!(own().address(bytes.as_ptr() as u64, 8), Err(libc::EINVAL));
        assert_eq!(own().address(0, 16), Err(libc::EINVAL));
        let ipv6 = [10_u8, 0, 0, 0];
        assert_eq!(own().address(ipv6.as_ptr() as u64, 28), Err(libc::EAFNOSUPPORT));
    }
}
