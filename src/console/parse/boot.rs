//! Starts: the banner of the ROM, and what comes right before it.

use espstress_event::{ResetReason, Said};

use super::{LogLine, Meaning, More};

/// MicroPython starts its interpreter anew.
pub(crate) const SOFT_REBOOT: &str = "MPY: soft reboot";

pub(super) fn read(line: &LogLine<'_>) -> Option<Meaning> {
    if !line.is_bare() {
        return None;
    }
    let text = line.message;
    if text == "Rebooting..." {
        return Some(Meaning::More(More::Rebooting));
    }
    let reason = rom(text)
        .or_else(|| esp8266(text))
        .or_else(|| (text == SOFT_REBOOT).then_some(ResetReason::Software))?;
    Some(Meaning::Said(Said::Restart { reason }))
}

/// `rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)` of the ESP32 family.
fn rom(text: &str) -> Option<ResetReason> {
    let (number, rest) = text.strip_prefix("rst:0x")?.split_once(" (")?;
    u32::from_str_radix(number, 16).ok()?;
    let (name, rest) = rest.split_once(')')?;
    rest.strip_prefix(",boot:0x")?;
    Some(reason(name))
}

/// The ROM's names differ from chip to chip; ESP-IDF's `esp_reset_reason()` makes these of them.
fn reason(name: &str) -> ResetReason {
    let has = |part: &str| name.contains(part);
    match () {
        () if has("BROWN") => ResetReason::Brownout,
        () if has("TG0WDT") => ResetReason::TaskWatchdog,
        () if has("TG1WDT") => ResetReason::InterruptWatchdog,
        () if has("WDT") => ResetReason::Watchdog,
        () if has("POWERON") => ResetReason::PowerOn,
        () if has("DEEPSLEEP") || has("DSLEEP") => ResetReason::DeepSleep,
        () if has("SW") => ResetReason::Software,
        () if has("USB_UART") || has("USB_JTAG") => ResetReason::Usb,
        () if has("EXT") => ResetReason::External,
        () => ResetReason::from(name.to_owned()),
    }
}

/// ` ets Jan  8 2013,rst cause:2, boot mode:(3,6)`.
fn esp8266(text: &str) -> Option<ResetReason> {
    let (_, rest) = text.strip_prefix("ets ")?.split_once(",rst cause:")?;
    let (cause, rest) = rest.split_once(',')?;
    rest.trim_start().strip_prefix("boot mode:(")?;
    Some(match cause.trim().parse::<u32>().ok()? {
        1 => ResetReason::PowerOn,
        2 => ResetReason::External,
        3 => ResetReason::Software,
        4 => ResetReason::Watchdog,
        _ => ResetReason::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_of_each_chip_are_starts_with_their_reason() {
        let cases = [
            ("rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "POWERON"),
            ("rst:0x1 (POWERON),boot:0xc (SPI_FAST_FLASH_BOOT)", "POWERON"),
            ("rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "SW"),
            ("rst:0x3 (RTC_SW_SYS_RST),boot:0xc (SPI_FAST_FLASH_BOOT)", "SW"),
            ("rst:0xf (RTCWDT_BROWN_OUT_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "BROWNOUT"),
            ("rst:0xf (BROWNOUT_RST),boot:0xc (SPI_FAST_FLASH_BOOT)", "BROWNOUT"),
            ("rst:0x8 (TG1WDT_SYS_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "INT_WDT"),
            ("rst:0x7 (TG0WDT_SYS_RST),boot:0xc (SPI_FAST_FLASH_BOOT)", "TASK_WDT"),
            ("rst:0x10 (RTCWDT_RTC_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "WDT"),
            ("rst:0x5 (DEEPSLEEP_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "DEEPSLEEP"),
            ("rst:0x15 (USB_UART_CHIP_RESET),boot:0xc (SPI_FAST_FLASH_BOOT)", "USB"),
            ("rst:0x16 (USB_JTAG_CHIP_RESET),boot:0xc (SPI_FAST_FLASH_BOOT)", "USB"),
            ("rst:0xe (EXT_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)", "EXT"),
            ("ets Jan  8 2013,rst cause:1, boot mode:(3,6)", "POWERON"),
            ("ets Jan  8 2013,rst cause:2, boot mode:(3,6)", "EXT"),
            ("ets Jan  8 2013,rst cause:4, boot mode:(3,6)", "WDT"),
            ("MPY: soft reboot", "SW"),
        ];
        for (text, want) in cases {
            let Some(Meaning::Said(Said::Restart { reason })) = read(&LogLine::read(text)) else {
                panic!("{text}")
            };
            assert_eq!(reason.name(), want, "{text}");
        }
    }
}
