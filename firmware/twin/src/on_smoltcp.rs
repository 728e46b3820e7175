//! A life on smoltcp: the carrier of the boards, behind the link.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use espstress_device::telemetry::{Heap, ResetReason};
use espstress_device::{Config, DeviceWish, Readings};
use espstress_embassy::host::{self, Place};
use espstress_embassy::{Board, Device, EMBASSY_NET_VERSION, SMOLTCP_VERSION};
use espstress_lwip::Options;
use espstress_lwip::heap::{self, Block};
use futures_lite::future::block_on;

use crate::air::Air;
use crate::bell::Bell;
use crate::control::Errand;
use crate::error::ChildError;
use crate::life::{After, Life, StackFacts};
use crate::protocol::NoEffect;
use crate::radio::radio;

/// Runs until the host program wants no more of it, or until the next start.
pub(crate) fn live(life: Life) -> Result<(), ChildError> {
    if !heap::create(life.setup.heap_bytes) {
        return Err(ChildError::Heap(life.setup.heap_bytes));
    }
    let setup = &life.setup;
    let bell = Arc::new(Bell::default());
    let (inbox, radio) = radio(Arc::clone(&life.air), setup.mac);
    let errands = life.start_threads(inbox, {
        let bell = Arc::clone(&bell);
        move || bell.ring()
    })?;
    let board = Twin {
        air: Arc::clone(&life.air),
        bell: Arc::clone(&bell),
        next: RefCell::default(),
        hoard: RefCell::default(),
    };
    let device = Device::new(life.device.clone(), board);
    let place = Place {
        address: setup.address,
        prefix: setup.prefix,
        gateway: Some(setup.gateway),
        name: "espstress-twin",
        seed: setup.seed ^ u64::from(setup.boot.count) << 32,
    };
    let next = block_on(host::live(&device, radio, place, attend(&life, &device, &errands, &bell)))?;
    match next {
        None => Ok(()),
        Some(next) => life.restart(&next).map(|never| match never {}),
    }
}

/// Says that it serves, and does what it is told until its end; gives the setup of the next start, if there is to be one.
async fn attend<const N: usize>(
    life: &Life,
    device: &Device<Twin, N>,
    errands: &Receiver<Errand>,
    bell: &Bell,
) -> Result<Option<Config>, ChildError> {
    life.report_ready(device.with_options(facts));
    loop {
        bell.heard().await;
        if let Some(next) = device.board().next.borrow_mut().take() {
            return Ok(Some(next));
        }
        while let Ok(errand) = errands.try_recv() {
            if device.with(|program, _| life.obey(errand, program))? == After::End {
                return Ok(None);
            }
        }
    }
}

fn facts(options: &[(&str, &str)]) -> StackFacts {
    let no_effect = Options::current().in_force().into_iter();
    StackFacts {
        name: format!("smoltcp {SMOLTCP_VERSION} (embassy-net {EMBASSY_NET_VERSION})"),
        sockets: host::POOL as u16 + 1,
        backlog: 0,
        options: options.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
        // What the name `twin` stands for on lwIP.
        no_effect: no_effect.map(|(key, value)| NoEffect { line: 0, key, value }).collect(),
        idf_version: None,
    }
}

/// The twin, as a board.
struct Twin {
    air: Arc<Air>,
    bell: Arc<Bell>,
    next: RefCell<Option<Config>>,
    hoard: RefCell<Vec<Block>>,
}

impl Board for Twin {
    fn with_readings<R>(&self, use_them: impl FnOnce(&Readings<'_>) -> R) -> R {
        let bytes = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let heap = heap::readings().map(|heap| Heap {
            free: bytes(heap.free),
            min_free: Some(bytes(heap.min_free)),
            largest: Some(bytes(heap.largest_block)),
            total: bytes(heap.total),
        });
        use_them(&Readings {
            heap,
            wifi: Some(self.air.wifi()),
            sockets: None,
            tcp: None,
            stack: host::STACK,
            options: &[],
        })
    }

    fn obey(&self, wish: DeviceWish) {
        match wish {
            DeviceWish::LeaveNetwork(time) => {
                self.air.start_outage(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
            }
            DeviceWish::PowerSave(mode) => self.air.set_power_save(mode),
            // Where the heap has no such block, there is nothing more to hoard.
            DeviceWish::Hoard(len) => self.hoard.borrow_mut().extend(Block::alloc(len as usize)),
            // The device's own business.
            DeviceWish::Hang | DeviceWish::Restart(_) => {}
        }
    }

    fn restart(&self, _reason: ResetReason, next: Config) {
        *self.next.borrow_mut() = Some(next);
        self.bell.ring();
    }
}
