//! The carrier on a TAP device of the host: what a board runs, without the board.
//!
//! The heap, the radio and the processor are the host's, so that there are no readings of them; stack, pool and
//! program are the board's. A restart drops the stack with all its sockets, without goodbye, and starts anew.

use std::boxed::Box;
use std::cell::RefCell;
use std::io;
use std::net::Ipv4Addr;
use std::vec::Vec;

use async_executor::LocalExecutor;
use embassy_net::{Ipv4Cidr, StackResources, StaticConfigV4};
use embassy_net_tuntap::TunTapDevice;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use espstress_device::telemetry::{ResetReason, Stack};
use espstress_device::{Config, DeviceWish, Readings};

use crate::device::{Board, Device};
use crate::slot::Buffers;
use crate::{OTHER_SOCKETS, mdns};

/// Sockets of the pool, as on the boards.
const POOL: usize = 12;

/// Receive and send buffer of a socket in bytes, as on the boards.
const RX: usize = 5_760;
const TX: usize = 2_920;

/// Options of the stack that matter for what is seen on the wire.
const OPTIONS: [(&str, &str); 5] = [
    ("TCP_WND", "5760"),
    ("TCP_SND_BUF", "2920"),
    ("TCP_MSS", "1460"),
    ("TIME_WAIT_MS", "10000"),
    ("BACKLOG", "none"),
];

/// A device on a TAP interface of this network namespace.
pub struct TapDevice {
    driver: TunTapDevice,
    address: Ipv4Addr,
    prefix: u8,
}

impl TapDevice {
    /// Opens the interface, or makes it; the device will have this address behind it.
    ///
    /// # Errors
    /// `/dev/net/tun` cannot be opened, or the interface not made: that takes CAP_NET_ADMIN in the network namespace.
    pub fn open(interface: &str, address: Ipv4Addr, prefix: u8) -> io::Result<Self> {
        let mut driver = TunTapDevice::new(interface)?;
        let [.., number] = address.octets();
        driver.set_hardware_address([0x02, b'e', b's', b'p', 0, number]);
        Ok(Self { driver, address, prefix })
    }

    /// Runs the device program, restarts included. Never ends. The interface has to be up by then.
    ///
    /// # Panics
    /// The interface is, or is taken, down: embassy-net-tuntap takes that for a defect.
    pub fn run(mut self, mut config: Config) -> ! {
        loop {
            config = async_io::block_on(self.live(config));
        }
    }

    /// One life, from start to restart; gives the setup for the next one.
    async fn live(&mut self, config: Config) -> Config {
        let host = Host::default();
        let device = Device::<_, POOL>::new(config, host);
        let mut resources = Box::new(StackResources::<{ POOL + OTHER_SOCKETS }>::new());
        let mut pool: Vec<_> = (0..POOL).map(|_| Buffers::<RX, TX>::EMPTY).collect();
        let mut dial = Buffers::<RX, TX>::EMPTY;
        let network = embassy_net::Config::ipv4_static(StaticConfigV4 {
            address: Ipv4Cidr::new(self.address, self.prefix),
            gateway: None,
            dns_servers: Default::default(),
        });
        // Different lives may have the same sequence numbers: nothing of an old one is left to be confused by.
        let seed = u64::from(u32::from(self.address));
        let (stack, mut runner) = embassy_net::new(&mut self.driver, network, &mut resources, seed);
        let device = &device;
        let tasks = LocalExecutor::new();
        for (slot, buffers) in pool.iter_mut().enumerate() {
            tasks.spawn(device.serve(slot, stack, buffers)).detach();
        }
        tasks.spawn(device.answer_telemetry(stack)).detach();
        tasks.spawn(device.obey()).detach();
        tasks.spawn(device.dial(stack, &mut dial)).detach();
        tasks.spawn(mdns::announce(stack, "espstress-tap", &[("http", "80")])).detach();
        // Last, so that everything listens before the first frame is looked at.
        tasks.spawn(async move { runner.run().await }).detach();
        tasks.run(device.board().restarted()).await
    }
}

/// The host, as a board.
#[derive(Default)]
struct Host {
    next: RefCell<Option<Config>>,
    restart: Signal<NoopRawMutex, ()>,
}

impl Host {
    async fn restarted(&self) -> Config {
        loop {
            self.restart.wait().await;
            if let Some(next) = self.next.borrow_mut().take() {
                return next;
            }
        }
    }
}

impl Board for Host {
    fn with_readings<R>(&self, use_them: impl FnOnce(&Readings<'_>) -> R) -> R {
        let stack = Stack { name: "smoltcp", version: "0.13.1" };
        use_them(&Readings { heap: None, wifi: None, sockets: None, stack, options: &OPTIONS })
    }

    fn obey(&self, _wish: DeviceWish) {
        // There is no radio to switch and no heap to fill; what is hoarded, the program counts by itself.
    }

    fn restart(&self, _reason: ResetReason, next: Config) {
        *self.next.borrow_mut() = Some(next);
        self.restart.signal(());
    }
}
