//! Names that ESP-IDF gives to states of a device, as its telemetry tells them.

use serde::{Deserialize, Serialize};

/// An enum of names as a device tells them, with room for a name that this program doesn't know.
macro_rules! named {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $type {
            $($(#[$doc])* $variant,)*
            /// Another name, as the device tells it.
            Other(String),
        }

        impl $type {
            /// The name.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }
        }

        impl From<String> for $type {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$variant,)*
                    _ => Self::Other(name),
                }
            }
        }

        impl From<$type> for String {
            fn from(of: $type) -> Self {
                match of {
                    $type::Other(name) => name,
                    named => named.name().to_owned(),
                }
            }
        }
    };
}

named! {
    /// Why a device started: ESP-IDF's `esp_reset_reason_t` without the `ESP_RST_`.
    ResetReason {
        /// Not known.
        Unknown = "UNKNOWN",
        /// The supply came up.
        PowerOn = "POWERON",
        /// An external pin.
        External = "EXT",
        /// `esp_restart()`.
        Software = "SW",
        /// The program crashed.
        Panic = "PANIC",
        /// The interrupt watchdog.
        InterruptWatchdog = "INT_WDT",
        /// The task watchdog.
        TaskWatchdog = "TASK_WDT",
        /// Another watchdog.
        Watchdog = "WDT",
        /// The end of deep sleep.
        DeepSleep = "DEEPSLEEP",
        /// The supply voltage was too low.
        Brownout = "BROWNOUT",
        /// Over SDIO.
        Sdio = "SDIO",
        /// By the USB peripheral.
        Usb = "USB",
        /// By JTAG.
        Jtag = "JTAG",
        /// An error in the eFuses.
        Efuse = "EFUSE",
        /// A glitch of the supply.
        PowerGlitch = "PWR_GLITCH",
        /// Both exceptions at once.
        CpuLockup = "CPU_LOCKUP",
    }
}

impl ResetReason {
    /// Whether a watchdog had waited for the program in vain.
    #[must_use]
    pub const fn is_watchdog(&self) -> bool {
        matches!(self, Self::InterruptWatchdog | Self::TaskWatchdog | Self::Watchdog)
    }
}

named! {
    /// How a device saves power: ESP-IDF's `wifi_ps_type_t` without the `WIFI_PS_`.
    PowerSave {
        /// It listens all the time.
        None = "NONE",
        /// It wakes up for every DTIM beacon.
        MinModem = "MIN_MODEM",
        /// It wakes up at its listen interval.
        MaxModem = "MAX_MODEM",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_written_as_the_device_tells_it_known_or_not() {
        for name in ["POWERON", "TASK_WDT", "CPU_LOCKUP", "RTC_WDT"] {
            let json = format!("\"{name}\"");
            let reason: ResetReason = serde_json::from_str(&json).unwrap();
            assert_eq!(reason.name(), name);
            assert_eq!(serde_json::to_string(&reason).unwrap(), json);
        }
        assert!(ResetReason::from("TASK_WDT".to_owned()).is_watchdog());
        assert_eq!(PowerSave::from("MIN_MODEM".to_owned()), PowerSave::MinModem);
    }
}
