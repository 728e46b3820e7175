//! Where the settings come from: flash, or else the environment of the build.

use esp_bootloader_esp_idf::partitions::{
    DataPartitionSubType, PARTITION_TABLE_MAX_LEN, PartitionType, read_partition_table,
};
use esp_hal::peripherals::FLASH;
use esp_storage::FlashStorage;
use espstress_device::text::Text;
use espstress_embassy::setup::{STORED_LEN, Setup};
use static_cell::StaticCell;

use core::cell::{Ref, RefCell};

/// The settings, shared by those who use and those who change them.
pub(crate) struct Settings {
    setup: RefCell<Setup>,
    flash: RefCell<FlashStorage<'static>>,
    /// Offset of the sector in flash, in bytes.
    sector: Option<u32>,
}

/// Why settings could not be saved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SaveError {
    /// The partition table has no `nvs` partition.
    NoPartition,
    /// The flash refused.
    Flash,
}

impl Settings {
    /// Reads the settings.
    pub(crate) fn load(flash: FLASH<'static>) -> &'static Self {
        static SETTINGS: StaticCell<Settings> = StaticCell::new();
        let mut flash = FlashStorage::new(flash);
        let sector = sector(&mut flash);
        let mut bytes = [0; STORED_LEN];
        let stored = sector
            .filter(|&sector| flash.read(sector, &mut bytes).is_ok())
            .and_then(|_| Setup::decode(&bytes));
        let setup = stored.unwrap_or_else(built_in);
        SETTINGS.init(Self { setup: RefCell::new(setup), flash: RefCell::new(flash), sector })
    }

    /// The settings in force or to be saved.
    pub(crate) fn setup(&self) -> Ref<'_, Setup> {
        self.setup.borrow()
    }

    /// Changes them.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Setup) -> R) -> R {
        change(&mut self.setup.borrow_mut())
    }

    /// Writes them to flash.
    pub(crate) fn save(&self) -> Result<(), SaveError> {
        let sector = self.sector.ok_or(SaveError::NoPartition)?;
        let bytes = self.setup.borrow().encode();
        let mut flash = self.flash.borrow_mut();
        flash.write(sector, &bytes).map_err(|_| SaveError::Flash)
    }
}

/// The last sector of the `nvs` partition, which nothing else uses here.
fn sector(flash: &mut FlashStorage<'_>) -> Option<u32> {
    let mut space = [0; PARTITION_TABLE_MAX_LEN];
    let table = read_partition_table(flash, &mut space).ok()?;
    let nvs = table.find_partition(PartitionType::Data(DataPartitionSubType::Nvs)).ok()??;
    (nvs.offset() + nvs.len()).checked_sub(FlashStorage::SECTOR_SIZE)
}

/// The settings of the build; empty in a build without them.
fn built_in() -> Setup {
    Setup {
        ssid: text(option_env!("ESPSTRESS_SSID")),
        password: text(option_env!("ESPSTRESS_PASSWORD")),
        token: text(option_env!("ESPSTRESS_TOKEN")),
        dial: text(option_env!("ESPSTRESS_DIAL")),
    }
}

/// One that is too long is as good as none: the console says that the name is missing.
fn text<const N: usize>(value: Option<&str>) -> Text<N> {
    value.and_then(|value| Text::try_from(value).ok()).unwrap_or_default()
}
