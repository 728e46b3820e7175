//! Settings over USB: one line, one answer. Secrets go in and never come out.
#![cfg(any(feature = "esp32c3", feature = "esp32c6", feature = "esp32s3"))]

use esp_hal::peripherals::USB_DEVICE;
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;
use esp_println::println;
use espstress_device::Persona;
use espstress_device::telemetry::ResetReason;
use espstress_embassy::Board as _;
use espstress_embassy::console::{LINE_LEN, Typed, lines};
use espstress_embassy::setup::{HELP, Line};

use crate::Board;
use crate::settings::Settings;

#[embassy_executor::task]
pub(crate) async fn run(usb: USB_DEVICE<'static>, settings: &'static Settings, device: &'static Board) {
    let (rx, _) = UsbSerialJtag::new(usb).into_async().split();
    lines(rx, |typed| match typed {
        Typed::Line(line) => obey(line, settings, device),
        Typed::Unreadable => println!("a line is at most {LINE_LEN} bytes of UTF-8"),
    })
    .await
}

fn obey(line: &str, settings: &Settings, device: &Board) {
    match settings.change(|setup| setup.line(line)) {
        Line::Empty => {}
        Line::Changed => println!("ok; save to keep it"),
        Line::Save | Line::Forget => match settings.save() {
            Ok(()) => {
                println!("saved, restarting");
                restart(device);
            }
            Err(error) => println!("not saved: {error:?}"),
        },
        Line::Status => status(settings, device),
        Line::Robust => {
            device.with(|program, _| program.set_persona(Persona::ROBUST));
            println!("ok");
        }
        Line::Reboot => restart(device),
        Line::Unknown => println!("{HELP}"),
        Line::TooLong => println!("too long"),
    }
}

fn restart(device: &Board) {
    let reason = ResetReason::Software;
    let next = device.with(|program, _| program.config_after_restart(reason));
    device.board().restart(reason, next);
}

fn status(settings: &Settings, device: &Board) {
    let given = |empty: bool| if empty { "not set" } else { "set" };
    let setup = settings.setup();
    println!(
        "network {:?}, password {}, token {}",
        &*setup.ssid,
        given(setup.password.is_empty()),
        given(setup.token.is_empty())
    );
    let station = &device.board().station;
    let persona = device.with(|program, _| program.persona().name());
    println!(
        "persona {persona}, rssi {:?} dBm, {} disconnects, back-off {}",
        station.rssi_dbm.get(),
        station.disconnects.get(),
        station.back_off.get().unwrap_or("none")
    );
}
