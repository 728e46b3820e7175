//! The stack: its start, its Ethernet interface, its readings.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{SocketError, check};
use crate::ffi;
use crate::heap;
use crate::options::{OptionError, Options, PcbLimits};
use crate::socket;
use crate::stats::{self, Connection, Frames, Sockets, Stats};

/// What a stack is started with.
#[derive(Debug, Clone)]
pub struct StackConfig {
    /// lwIP's options.
    pub options: Options,
    /// Size of the device's heap in bytes, [`heap::MIN_BYTES`] to [`heap::MAX_BYTES`].
    pub heap_bytes: usize,
    /// The interface's hardware address.
    pub mac: [u8; 6],
    /// The interface's address.
    pub ip: Ipv4Addr,
    /// Its netmask.
    pub netmask: Ipv4Addr,
    /// The gateway.
    pub gateway: Ipv4Addr,
    /// Seed of lwIP's random numbers (first local port, IGMP delays).
    pub seed: u64,
}

impl Default for StackConfig {
    /// Current options and heap size, 192.168.4.91/24 behind 192.168.4.1, a locally administered
    /// hardware address, seed 0.
    fn default() -> Self {
        Self {
            options: Options::current(),
            heap_bytes: heap::DEFAULT_BYTES,
            mac: [0x02, 0x45, 0x53, 0x50, 0x00, 0x5b],
            ip: Ipv4Addr::new(192, 168, 4, 91),
            netmask: Ipv4Addr::new(255, 255, 255, 0),
            gateway: Ipv4Addr::new(192, 168, 4, 1),
            seed: 0,
        }
    }
}

/// Why a stack was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// This process has, or had, its stack: lwIP's state is global and cannot be started twice.
    #[error("this process has a stack already; start another process for another stack")]
    AlreadyStarted,
    /// An option is outside of its range.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The heap's size is outside of its range.
    #[error("a heap of {0} bytes; allowed: {min} to {max}", min = heap::MIN_BYTES, max = heap::MAX_BYTES)]
    HeapSize(usize),
    /// The host has no memory for the heap.
    #[error("the host has no memory for the heap")]
    HostMemory,
    /// The interface could not be set up.
    #[error("the interface could not be set up: {0}")]
    Interface(SocketError),
}

/// Why a frame was dropped before lwIP saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// The heap has no room for it.
    #[error("no memory for the frame")]
    NoMemory,
    /// The tcpip thread's mailbox is full, or the heap has no room for the message.
    #[error("the tcpip mailbox is full")]
    MailboxFull,
    /// It is shorter than an Ethernet header or longer than 1,514 bytes.
    #[error("not an Ethernet frame by its length")]
    Malformed,
}

type Output = Box<dyn FnMut(&[u8]) + Send>;

static STARTED: AtomicBool = AtomicBool::new(false);
static OPTIONS: OnceLock<Options> = OnceLock::new();
static OUTPUT: Mutex<Option<Output>> = Mutex::new(None);
static RECEIVED: AtomicU64 = AtomicU64::new(0);
static NO_MEMORY: AtomicU64 = AtomicU64::new(0);
static MAILBOX_FULL: AtomicU64 = AtomicU64::new(0);
static MALFORMED: AtomicU64 = AtomicU64::new(0);
static SENT: AtomicU64 = AtomicU64::new(0);

/// A handle to the process's stack. Handles can be cloned freely; the stack itself runs until the
/// process ends.
#[derive(Debug, Clone)]
pub struct Stack {
    _started: (),
}

impl Stack {
    /// Starts the stack with its tcpip thread and one Ethernet interface, which is up on return.
    ///
    /// `output` is called with each frame sent, in the tcpip thread (and so never at the same time
    /// twice): it should hand the frame on quickly. It must not make socket calls, which wait for that
    /// very thread.
    ///
    /// # Errors
    /// [`StartError`]; after any but [`StartError::Option`] and [`StartError::HeapSize`] the process
    /// cannot try again.
    pub fn start(
        config: StackConfig,
        output: impl FnMut(&[u8]) + Send + 'static,
    ) -> Result<Self, StartError> {
        config.options.check()?;
        if !(heap::MIN_BYTES..=heap::MAX_BYTES).contains(&config.heap_bytes) {
            return Err(StartError::HeapSize(config.heap_bytes));
        }
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(StartError::AlreadyStarted);
        }
        if !heap::create(config.heap_bytes) {
            return Err(StartError::HostMemory);
        }
        *OUTPUT.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(output));
        let start = start_values(&config);
        let _ = OPTIONS.set(config.options);
        check(ffi::start(&start)).map_err(StartError::Interface)?;
        Ok(Self { _started: () })
    }

    /// Hands a received Ethernet frame (without checksum) to the interface, from any thread.
    ///
    /// # Errors
    /// Why it was dropped; it is counted in [`Frames`] as well.
    pub fn input(&self, frame: &[u8]) -> Result<(), Dropped> {
        let (count, result) = match ffi::input(frame) {
            0.. => (&RECEIVED, Ok(())),
            ret if ret == -libc::EMSGSIZE => (&MALFORMED, Err(Dropped::Malformed)),
            ret if ret == -libc::ENOMEM => (&NO_MEMORY, Err(Dropped::NoMemory)),
            _ => (&MAILBOX_FULL, Err(Dropped::MailboxFull)),
        };
        count.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// The options in force.
    pub fn options(&self) -> &'static Options {
        OPTIONS.get_or_init(Options::current)
    }

    /// lwIP's version, such as `2.2.1d`.
    pub fn version(&self) -> &'static str {
        ffi::version()
    }

    /// Reads everything; the counts of connections are taken in the tcpip thread, for which this
    /// waits.
    pub fn stats(&self) -> Stats {
        let heap = self.heap();
        let sockets = self.sockets();
        let frames = Frames {
            received: RECEIVED.load(Ordering::Relaxed),
            dropped_no_memory: NO_MEMORY.load(Ordering::Relaxed),
            dropped_mailbox_full: MAILBOX_FULL.load(Ordering::Relaxed),
            dropped_malformed: MALFORMED.load(Ordering::Relaxed),
            sent: SENT.load(Ordering::Relaxed),
        };
        Stats::collect(heap, sockets, frames)
    }

    /// How many sockets are in use, without waiting for the tcpip thread.
    pub fn sockets(&self) -> Sockets {
        Sockets { in_use: socket::open_count(), limit: self.options().max_sockets }
    }

    /// Reads the heap alone, without waiting for the tcpip thread.
    pub fn heap(&self) -> heap::Readings {
        heap::readings().unwrap_or(heap::Readings {
            total: 0,
            free: 0,
            min_free: 0,
            largest_block: 0,
            refused: 0,
        })
    }

    /// All TCP connections, `TIME_WAIT` included, listeners not.
    pub fn connections(&self) -> Vec<Connection> {
        stats::connections()
    }

    pub(crate) fn options_in_force() -> Option<&'static Options> {
        OPTIONS.get()
    }
}

fn start_values(config: &StackConfig) -> ffi::Start {
    let o = &config.options;
    let [a, b, c, d, e, f] = config.mac;
    let limit = |n| match o.pcb_limits {
        PcbLimits::Enforced => n,
        PcbLimits::NotEnforced => 0,
    };
    ffi::Start {
        max_sockets: o.max_sockets,
        max_active_tcp: limit(o.max_active_tcp),
        max_listening_tcp: limit(o.max_listening_tcp),
        tcp_mss: o.tcp_mss,
        tcp_wnd: o.tcp_wnd,
        tcp_snd_buf: o.tcp_snd_buf,
        wnd_scale: o.wnd_scale.into(),
        tcp_rcv_scale: if o.wnd_scale { o.tcp_rcv_scale } else { 0 },
        tcp_maxrtx: o.tcp_maxrtx,
        tcp_synmaxrtx: o.tcp_synmaxrtx,
        tcp_msl: o.tcp_msl,
        tcp_tmr_interval: o.tcp_tmr_interval,
        tcp_rto_time: o.tcp_rto_time,
        tcp_fin_wait_timeout: o.tcp_fin_wait_timeout,
        tcp_recvmbox: o.tcp_recvmbox_size,
        udp_recvmbox: o.udp_recvmbox_size,
        tcp_acceptmbox: o.tcp_acceptmbox_size,
        tcpip_recvmbox: o.tcpip_recvmbox_size,
        ip: ffi::ip_number(config.ip),
        netmask: ffi::ip_number(config.netmask),
        gateway: ffi::ip_number(config.gateway),
        mac_low: u32::from_ne_bytes([a, b, c, d]),
        mac_high: u32::from_ne_bytes([e, f, 0, 0]),
        seed: config.seed,
    }
}

/// The interface's output, in the tcpip thread.
#[expect(unsafe_code, reason = "called by name from C, with a pointer and a length")]
#[unsafe(no_mangle)]
extern "C" fn esl_output(frame: *const u8, len: usize) {
    // SAFETY: the C side passes a buffer of `len` bytes that stays as it is during the call.
    let frame = unsafe { std::slice::from_raw_parts(frame, len) };
    SENT.fetch_add(1, Ordering::Relaxed);
    if let Some(output) = OUTPUT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        // A panic must not pass through C; the frame is lost, as on a link.
        let _ = catch_unwind(AssertUnwindSafe(|| output(frame)));
    }
}
