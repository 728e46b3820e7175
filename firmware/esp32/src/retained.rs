//! Memory that a restart leaves alone, and why this start happened.

use esp_hal::rtc_cntl::reset_reason;
use esp_hal::system::Cpu;
use espstress_device::config::Boot;
use espstress_device::telemetry::ResetReason;
use espstress_device::{Config, Persona};
use espstress_embassy::lasting::{self, Lasting};

/// Zero after power-on, afterwards what the last program left.
#[esp_hal::ram(unstable(rtc_fast, persistent))]
static mut KEPT: Lasting = [0; size_of::<Lasting>()];

/// Keeps what the next start has to know.
pub(crate) fn keep(next: &Config) {
    write(lasting::keep(next));
}

/// The persona and the count of this start, and why it happened.
///
/// Whatever the chip resets itself for, a watchdog say, is counted as well: the next start is prepared here.
pub(crate) fn recall() -> (Persona, Boot) {
    let hardware = hardware_reason();
    let (persona, boot) = match lasting::recall(&read()) {
        Some((persona, kept)) if hardware != ResetReason::PowerOn => {
            // The program says more than the chip, which only knows that software asked for it.
            let told = hardware == ResetReason::Software && kept.reason != ResetReason::Unknown;
            let reason = if told { kept.reason } else { hardware };
            // Prepared at the last start, and so already counted; a commanded restart has counted itself.
            (persona, Boot { count: kept.count, reason })
        }
        _ => (Persona::ROBUST, Boot { count: 1, reason: hardware }),
    };
    let unannounced = Boot { count: boot.count.saturating_add(1), reason: ResetReason::Unknown };
    keep(&Config { persona, boot: unannounced, ..Config::default() });
    (persona, boot)
}

/// Notes that a panic is the reason for the next start; the persona is the one of this start.
fn keep_panic() {
    if let Some((persona, boot)) = lasting::recall(&read()) {
        let boot = Boot { reason: ResetReason::Panic, ..boot };
        keep(&Config { persona, boot, ..Config::default() });
    }
}

/// Called by the panic handler once it has said what happened.
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the name is how esp-backtrace finds what to do after a panic")]
extern "Rust" fn custom_halt() -> ! {
    keep_panic();
    esp_hal::system::software_reset()
}

#[expect(unsafe_code, reason = "memory that outlasts a restart is a mutable static")]
fn read() -> Lasting {
    // SAFETY: plain bytes, valid whatever they are; the raw pointer makes no reference. Written only by `write`, on the
    // same core, and by a panic, which never returns here.
    unsafe { (&raw const KEPT).read_volatile() }
}

#[expect(unsafe_code, reason = "memory that outlasts a restart is a mutable static")]
fn write(bytes: Lasting) {
    // SAFETY: as in `read`; a reset in the middle of it leaves a wrong checksum.
    unsafe { (&raw mut KEPT).write_volatile(bytes) }
}

/// What the chip says. The numbers are the same on all chips as far as they have them.
fn hardware_reason() -> ResetReason {
    let Some(reason) = reset_reason(Cpu::ProCpu) else {
        return ResetReason::Unknown;
    };
    match reason as u32 {
        0x01 => ResetReason::PowerOn,
        0x03 | 0x0C => ResetReason::Software,
        0x05 => ResetReason::DeepSleep,
        0x06 => ResetReason::Sdio,
        0x07 | 0x0B => ResetReason::TaskWatchdog,
        0x08 | 0x11 => ResetReason::InterruptWatchdog,
        0x09 | 0x0D | 0x10 | 0x12 => ResetReason::Watchdog,
        0x0E => ResetReason::External,
        0x0F => ResetReason::Brownout,
        0x13 | 0x17 => ResetReason::PowerGlitch,
        0x14 => ResetReason::Efuse,
        0x15 => ResetReason::Usb,
        0x16 | 0x18 => ResetReason::Jtag,
        0x1A => ResetReason::CpuLockup,
        _ => ResetReason::Unknown,
    }
}
