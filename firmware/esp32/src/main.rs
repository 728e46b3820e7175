//! The device program of espstress on a board.
//!
//! Needs an ESP32 with Wi-Fi, and a network to join: name, password and control token come from `ESPSTRESS_SSID`,
//! `ESPSTRESS_PASSWORD` and `ESPSTRESS_TOKEN` at build time, or from flash, where the console over USB puts them.
//!
//! | module | duty |
//! |---|---|
//! | `board` | readings of this chip, and what the device as a whole wants of it |
//! | `wifi` | joins, joins again with back-off, leaves when asked |
//! | `console` | settings over USB |
//! | `settings` | where they come from, and the flash |
//! | `heap` | size, least free, largest block |
//! | `retained` | memory that a restart leaves alone |
//!
//! Everything else is `espstress-embassy`, which runs on the host as well.
#![no_std]
#![no_main]

extern crate alloc;

mod board;
mod console;
mod heap;
mod retained;
mod settings;
mod wifi;

use core::fmt::Write;

use embassy_executor::Spawner;
use embassy_net::{DhcpConfig, Runner, Stack, StackResources};
use embassy_time::{Duration, Timer};
use esp_backtrace as _;
use esp_hal::clock::CpuClock;
use esp_hal::rng::Rng;
use esp_hal::rtc_cntl::{Rtc, Rwdt, RwdtStage};
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;
use esp_radio::wifi::{ControllerConfig, Interface, WifiController};
use espstress_device::text::{Text, Token};
use espstress_device::{Config, Services};
use espstress_embassy::driver::Driver;
use espstress_embassy::turns::Turns;
use espstress_embassy::{Buffers, Device, OTHER_SOCKETS};
use static_cell::{ConstStaticCell, StaticCell};

use crate::board::Chip;
use crate::settings::Settings;

esp_bootloader_esp_idf::esp_app_desc!();

/// Sockets of the pool: those of a device with ten, and some that stand in for the backlog that smoltcp does not have.
const POOL_LEN: usize = 12;

/// Receive buffer of a socket, and so its largest window: ESP-IDF's TCP_WND.
const RX: usize = 5_760;

/// Send buffer of a socket: two full segments.
const TX: usize = 2_920;

/// Silence of the main loop after which the chip is reset.
const WATCHDOG: esp_hal::time::Duration = esp_hal::time::Duration::from_secs(8);

type Board = Device<Chip, POOL_LEN>;

static POOL_MEMORY: ConstStaticCell<[Buffers<RX, TX>; POOL_LEN]> =
    ConstStaticCell::new([const { Buffers::EMPTY }; POOL_LEN]);
static DIAL_MEMORY: ConstStaticCell<Buffers<1_460, 1_460>> = ConstStaticCell::new(Buffers::EMPTY);
static RESOURCES: StaticCell<StackResources<{ POOL_LEN + OTHER_SOCKETS }>> = StaticCell::new();
static DEVICE: StaticCell<Board> = StaticCell::new();
static NAME: StaticCell<heapless::String<32>> = StaticCell::new();

#[esp_rtos::main]
async fn main(spawner: Spawner) -> ! {
    let p = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    heap::init();
    let timers = TimerGroup::new(p.TIMG0);
    esp_rtos::start(timers.timer0, p.FROM_CPU_INTR0);
    let mut watchdog = Rtc::new(p.RTC_TIMER).rwdt;
    watchdog.set_timeout(RwdtStage::Stage0, WATCHDOG);
    watchdog.enable();

    let settings = Settings::load(p.FLASH);
    let interface = Interface::station();
    let name = NAME.init(name(interface.mac_address()));
    println!("espstress {} on {}, device {name}", env!("CARGO_PKG_VERSION"), board::CHIP);

    let (persona, boot) = retained::recall();
    // Boards in one network wait for different times.
    let mut seed = [0; 8];
    seed[2..].copy_from_slice(&interface.mac_address());
    let config = Config {
        persona,
        boot,
        services: Services::ALL,
        token: Token::new(&settings.setup().token).unwrap_or_default(),
        name: Text::try_from(name.as_str()).unwrap_or_default(),
        dial: settings.setup().host(),
        mqtt: settings.setup().mqtt(u64::from_be_bytes(seed)),
        ..Config::default()
    };
    let device: &'static Board = DEVICE.init(Device::new(config, Chip::new()));
    device.note_link(&interface.capabilities());

    let seed = u64::from(Rng::new().random()) << 32 | u64::from(Rng::new().random());
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(
        Turns::new(interface),
        embassy_net::Config::dhcpv4(DhcpConfig::default()),
        resources,
        seed,
    );
    start(&spawner, device, stack, runner, name);

    #[cfg(any(feature = "esp32c3", feature = "esp32c6", feature = "esp32s3"))]
    spawner.spawn(console::run(p.USB_DEVICE, settings, device).expect("one console"));
    #[cfg(not(any(feature = "esp32c3", feature = "esp32c6", feature = "esp32s3")))]
    let _ = &settings;

    match WifiController::new(p.WIFI, ControllerConfig::default()) {
        Ok(controller) => spawner.spawn(wifi::run(controller, settings, device).expect("one station")),
        Err(error) => println!("Wi-Fi does not start: {error:?}"),
    }
    feed(watchdog).await
}

/// Starts what runs on the host as well.
fn start(
    spawner: &Spawner,
    device: &'static Board,
    stack: Stack<'static>,
    runner: Runner<'static, Turns<Interface>>,
    name: &'static str,
) {
    const ONCE: &str = "each task is spawned once";
    spawner.spawn(run_stack(runner).expect(ONCE));
    for (slot, buffers) in POOL_MEMORY.take().iter_mut().enumerate() {
        spawner.spawn(serve(device, slot, stack, buffers).expect(ONCE));
    }
    spawner.spawn(answer_telemetry(device, stack).expect(ONCE));
    spawner.spawn(obey(device).expect(ONCE));
    spawner.spawn(dial(device, stack, DIAL_MEMORY.take()).expect(ONCE));
    spawner.spawn(announce(device, stack, name).expect(ONCE));
    spawner.spawn(say_address(stack).expect(ONCE));
}

/// Feeds the watchdog for as long as the executor comes round.
async fn feed(mut watchdog: Rwdt) -> ! {
    loop {
        watchdog.feed();
        Timer::after(Duration::from_secs(1)).await;
    }
}

#[embassy_executor::task]
async fn run_stack(mut runner: Runner<'static, Turns<Interface>>) -> ! {
    runner.run().await
}

#[embassy_executor::task(pool_size = POOL_LEN)]
async fn serve(
    device: &'static Board,
    slot: usize,
    stack: Stack<'static>,
    buffers: &'static mut Buffers<RX, TX>,
) {
    device.serve(slot, stack, buffers).await;
}

#[embassy_executor::task]
async fn answer_telemetry(device: &'static Board, stack: Stack<'static>) {
    device.answer_telemetry(stack).await;
}

#[embassy_executor::task]
async fn obey(device: &'static Board) {
    device.obey().await;
}

#[embassy_executor::task]
async fn dial(device: &'static Board, stack: Stack<'static>, buffers: &'static mut Buffers<1_460, 1_460>) {
    device.dial(stack, buffers).await;
}

#[embassy_executor::task]
async fn announce(device: &'static Board, stack: Stack<'static>, name: &'static str) {
    device.announce(stack, name, board::CHIP).await;
}

#[embassy_executor::task]
async fn say_address(stack: Stack<'static>) {
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            println!("IP address: {}", config.address.address());
        }
        stack.wait_config_down().await;
        println!("no address");
    }
}

/// `espstress-` and the last two bytes of the hardware address.
fn name(mac: [u8; 6]) -> heapless::String<32> {
    let mut name = heapless::String::new();
    // Fourteen bytes fit.
    let _ = write!(name, "espstress-{:02x}{:02x}", mac[4], mac[5]);
    name
}
