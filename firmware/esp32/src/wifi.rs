//! The station: joins, joins again with exponential back-off, leaves when asked.

use core::pin::pin;

use embassy_futures::select::{Either3, select, select3};
use embassy_time::{Duration, Timer};
use esp_println::println;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ConnectionError, DisconnectReason as Radio, PowerSaveMode,
    WifiController, WifiError,
};
use espstress_device::telemetry::{DisconnectReason, PowerSave};
use espstress_embassy::setup::Setup;

use crate::Board;
use crate::board::{Order, Station};
use crate::settings::Settings;

/// Waits between attempts to join, with their names for telemetry. The last one stays.
const BACK_OFF: [(u64, &str); 6] = [(1, "1s"), (2, "2s"), (4, "4s"), (8, "8s"), (16, "16s"), (32, "32s")];

/// How often the signal strength is read.
const RSSI_EVERY: Duration = Duration::from_secs(1);

#[embassy_executor::task]
pub(crate) async fn run(
    mut controller: WifiController<'static>,
    settings: &'static Settings,
    device: &'static Board,
) {
    let station = &device.board().station;
    if settings.setup().ssid.is_empty() {
        println!("no network is set: tell me `ssid NAME`, `password SECRET`, `token SECRET`, `save`");
        return;
    }
    let configured = configure(&settings.setup()).and_then(|config| controller.set_config(&config));
    if let Err(error) = configured {
        println!("the network's settings are refused: {error:?}");
        return;
    }
    let mut attempt = 0;
    loop {
        match controller.connect_async().await {
            Ok(_) => {
                attempt = 0;
                station.back_off.set(None);
                println!("joined");
                stay(&mut controller, station).await;
                station.rssi_dbm.set(None);
            }
            Err(ConnectionError::Failed(info)) => station.last_reason.set(Some(number(info.reason))),
            // Says nothing about the network; tried again like the others.
            Err(_) => {}
        }
        let (secs, name) = BACK_OFF[attempt.min(BACK_OFF.len() - 1)];
        attempt += 1;
        station.back_off.set(Some(name));
        println!("joining again in {name}");
        wait(&mut controller, station, Duration::from_secs(secs)).await;
    }
}

fn configure(setup: &Setup) -> Result<Config, WifiError> {
    let authentication = if setup.password.is_empty() {
        AuthenticationMethodConfig::Open
    } else {
        AuthenticationMethodConfig::Wpa2Personal((&*setup.password).try_into()?)
    };
    let station =
        StationConfig::default().with_ssid((&*setup.ssid).try_into()?).with_authentication(authentication);
    Ok(Config::Station(station))
}

/// Stays joined until the network is lost, carrying out orders.
async fn stay(controller: &mut WifiController<'static>, station: &Station) {
    loop {
        let order = {
            let mut lost = pin!(controller.wait_for_disconnect_async());
            loop {
                if let Ok(rssi) = controller.rssi() {
                    station.rssi_dbm.set(i8::try_from(rssi).ok());
                }
                match select3(&mut lost, station.orders.receive(), Timer::after(RSSI_EVERY)).await {
                    Either3::First(info) => {
                        station.disconnects.set(station.disconnects.get().saturating_add(1));
                        let reason = info.ok().map(|info| number(info.reason));
                        station.last_reason.set(reason);
                        println!("wifi: disconnected, reason {}", reason.map_or(0, |reason| reason.0));
                        return;
                    }
                    Either3::Second(order) => break order,
                    Either3::Third(()) => {}
                }
            }
        };
        match order {
            Order::PowerSave(mode) => switch(controller, station, mode),
            Order::Leave(time) => {
                // An error means that the network was lost at this very moment; the outage is as long as asked for.
                let left = controller.disconnect_async().await;
                station.rssi_dbm.set(None);
                station.disconnects.set(station.disconnects.get().saturating_add(1));
                station.last_reason.set(left.ok().map(|info| number(info.reason)));
                Timer::after_micros(time.as_micros() as u64).await;
                if controller.connect_async().await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Waits for the next attempt. Power save can be switched meanwhile; a network that is lost cannot be left.
async fn wait(controller: &mut WifiController<'static>, station: &Station, time: Duration) {
    let mut over = pin!(Timer::after(time));
    loop {
        match select(&mut over, station.orders.receive()).await {
            embassy_futures::select::Either::First(()) => return,
            embassy_futures::select::Either::Second(Order::PowerSave(mode)) => {
                switch(controller, station, mode)
            }
            embassy_futures::select::Either::Second(Order::Leave(_)) => {}
        }
    }
}

fn switch(controller: &mut WifiController<'static>, station: &Station, mode: PowerSave) {
    let radio = match mode {
        PowerSave::None => PowerSaveMode::None,
        PowerSave::MinModem => PowerSaveMode::Minimum,
        PowerSave::MaxModem => PowerSaveMode::Maximum,
    };
    // Telemetry says what is in force, not what was asked for.
    if controller.set_power_saving(radio).is_ok() {
        station.power_save.set(mode);
    }
}

/// ESP-IDF's number of a reason, which has the names that people look for.
fn number(reason: Radio) -> DisconnectReason {
    DisconnectReason(match reason {
        Radio::AuthenticationExpired => 2,
        Radio::AuthenticationLeave => 3,
        Radio::DisassociatedDueToInactivity => 4,
        Radio::AssociationTooMany => 5,
        Radio::Class2FrameFromNonAuthenticatedStation => 6,
        Radio::Class3FrameFromNonAssociatedStation => 7,
        Radio::AssociationLeave => 8,
        Radio::AssociationNotAuthenticated => 9,
        Radio::DisassociatedPowerCapabilityBad => 10,
        Radio::DisassociatedUnsupportedChannel => 11,
        Radio::BssTransitionDisassociated => 12,
        Radio::IeInvalid => 13,
        Radio::MicFailure => 14,
        Radio::FourWayHandshakeTimeout => 15,
        Radio::GroupKeyUpdateTimeout => 16,
        Radio::IeIn4wayDiffers => 17,
        Radio::GroupCipherInvalid => 18,
        Radio::PairwiseCipherInvalid => 19,
        Radio::AkmpInvalid => 20,
        Radio::UnsupportedRsnIeVersion => 21,
        Radio::InvalidRsnIeCapabilities => 22,
        Radio::_802_1xAuthenticationFailed => 23,
        Radio::CipherSuiteRejected => 24,
        Radio::BeaconTimeout => 200,
        Radio::NoAccessPointFound => 201,
        Radio::AuthenticationFailed => 202,
        Radio::AssociationFailed => 203,
        Radio::HandshakeTimeout => 204,
        Radio::ConnectionFailed => 205,
        Radio::AccessPointTsfReset => 206,
        Radio::Roaming => 207,
        Radio::AssociationComebackTimeTooLong => 208,
        Radio::SaQueryTimeout => 209,
        Radio::NoAccessPointFoundWithCompatibleSecurity => 210,
        Radio::NoAccessPointFoundInAuthmodeThreshold => 211,
        Radio::NoAccessPointFoundInRssiThreshold => 212,
        _ => 1,
    })
}
