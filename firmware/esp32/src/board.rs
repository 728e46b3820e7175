//! Readings of this chip, and what the device as a whole wants of it.

use alloc::vec::Vec;
use core::cell::Cell;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_time::{Duration, Instant};
use esp_println::println;
use espstress_device::telemetry::{DisconnectReason, PowerSave, ResetReason, Stack, Wifi};
use espstress_device::{Config, DeviceWish, Readings};
use espstress_embassy::{Board, Change, SMOLTCP_VERSION};

use crate::{heap, retained};

/// The chip's name.
pub(crate) const CHIP: &str = if cfg!(feature = "esp32c3") {
    "ESP32-C3"
} else if cfg!(feature = "esp32c6") {
    "ESP32-C6"
} else if cfg!(feature = "esp32c2") {
    "ESP32-C2"
} else if cfg!(feature = "esp32s2") {
    "ESP32-S2"
} else if cfg!(feature = "esp32s3") {
    "ESP32-S3"
} else {
    "ESP32"
};

/// What the Wi-Fi task is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Order {
    /// Leave for so long.
    Leave(core::time::Duration),
    /// Switch power save.
    PowerSave(PowerSave),
}

/// How the station is. All on one executor thread.
pub(crate) struct Station {
    pub(crate) rssi_dbm: Cell<Option<i8>>,
    pub(crate) disconnects: Cell<u32>,
    pub(crate) last_reason: Cell<Option<DisconnectReason>>,
    pub(crate) power_save: Cell<PowerSave>,
    /// How long it waits before it tries to join again; `None` while it does not.
    pub(crate) back_off: Cell<Option<&'static str>>,
    pub(crate) orders: Channel<NoopRawMutex, Order, 4>,
}

/// This chip.
pub(crate) struct Chip {
    pub(crate) station: Station,
    /// When the heap was last told of: before a connection, and after one.
    told: [Cell<Option<Instant>>; 2],
}

/// The heap is told of no more often before connections, and after them: each line takes milliseconds.
const HEAP_EVERY: Duration = Duration::from_millis(200);

impl Chip {
    pub(crate) const fn new() -> Self {
        let station = Station {
            rssi_dbm: Cell::new(None),
            disconnects: Cell::new(0),
            last_reason: Cell::new(None),
            power_save: Cell::new(PowerSave::None),
            back_off: Cell::new(None),
            orders: Channel::new(),
        };
        Self { station, told: [const { Cell::new(None) }; 2] }
    }
}

impl Board for Chip {
    fn with_readings<R>(&self, use_them: impl FnOnce(&Readings<'_>) -> R) -> R {
        let station = &self.station;
        let options = [("chip", CHIP), ("wifi_back_off", station.back_off.get().unwrap_or("none"))];
        use_them(&Readings {
            heap: Some(heap::reading()),
            wifi: Some(Wifi {
                rssi_dbm: station.rssi_dbm.get(),
                disconnects: station.disconnects.get(),
                last_reason: station.last_reason.get(),
                power_save: station.power_save.get(),
            }),
            sockets: None,
            tcp: None,
            stack: Stack { name: "smoltcp", version: SMOLTCP_VERSION },
            options: &options,
        })
    }

    fn obey(&self, wish: DeviceWish) {
        // With four orders waiting, the fifth is dropped: the station is busy leaving already.
        match wish {
            DeviceWish::LeaveNetwork(time) => drop(self.station.orders.try_send(Order::Leave(time))),
            DeviceWish::PowerSave(mode) => drop(self.station.orders.try_send(Order::PowerSave(mode))),
            DeviceWish::Hoard(bytes) => hoard(bytes as usize),
            DeviceWish::Restart(_) | DeviceWish::Hang => {}
        }
    }

    /// For `espstress --console`.
    fn connection(&self, change: Change) {
        let told = &self.told[usize::from(change == Change::Goes)];
        let now = Instant::now();
        if told.get().is_none_or(|last| now.duration_since(last) >= HEAP_EVERY) {
            told.set(Some(now));
            let (free, least) = heap::free();
            println!("Free Heap: {free} bytes, Min Free: {least} bytes");
        }
    }

    fn restart(&self, _reason: ResetReason, next: Config) {
        retained::keep(&next);
        esp_hal::system::software_reset()
    }
}

/// Takes memory for ever, as far as there is any.
fn hoard(bytes: usize) {
    let mut kept = Vec::<u8>::new();
    if kept.try_reserve_exact(bytes).is_ok() {
        kept.resize(bytes, 0xA5);
        kept.leak();
    }
}
