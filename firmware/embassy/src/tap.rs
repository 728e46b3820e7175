//! The carrier on a TAP device of the host, made by itself and without a link model.
//!
//! The heap, the radio and the processor are the host's, so that there are no readings of them. A restart drops the
//! stack with all its sockets and starts anew.

use std::cell::RefCell;
use std::io;
use std::net::Ipv4Addr;

use embassy_net_tuntap::TunTapDevice;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use espstress_device::telemetry::ResetReason;
use espstress_device::{Config, DeviceWish, Readings};

use crate::device::{Board, Device};
use crate::host::{self, Place};

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
        let place = Place {
            address: self.address,
            prefix: self.prefix,
            gateway: None,
            name: "espstress-tap",
            seed: u64::from(u32::from(self.address)) ^ u64::from(config.boot.count) << 32,
        };
        let device = Device::new(config, Host::default());
        host::live(&device, &mut self.driver, place, device.board().restarted()).await
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
        let stack = host::STACK;
        use_them(&Readings { heap: None, wifi: None, sockets: None, tcp: None, stack, options: &[] })
    }

    fn obey(&self, _wish: DeviceWish) {
        // There is no radio to switch and no heap to fill; what is hoarded, the program counts by itself.
    }

    fn restart(&self, _reason: ResetReason, next: Config) {
        *self.next.borrow_mut() = Some(next);
        self.restart.signal(());
    }
}
