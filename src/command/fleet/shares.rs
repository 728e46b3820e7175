//! One load for all devices together: each has its share.

use super::super::settings::Typed;
use crate::command::Failed;
use espstress_cli::SeveralArgs;
use espstress_clock::Rate;

/// What is shared out, and among how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    rate: Option<Rate>,
    connections: Option<u32>,
    devices: u32,
}

impl Shares {
    pub(super) fn of(several: &SeveralArgs, devices: u32) -> Result<Self, Failed> {
        if let Some(total) = several.total_connections.filter(|total| *total < devices) {
            return Err(Failed::usage(format!(
                "--total-connections {total}: there are {devices} devices, and each needs one at least"
            )));
        }
        Ok(Self { rate: several.total_rate, connections: several.total_connections, devices: devices.max(1) })
    }

    /// The settings of the device of that number, its shares among them.
    pub(super) fn given_to(self, number: u64, typed: &Typed) -> Typed {
        let mut own = typed.clone();
        if let Some(rate) = self.rate {
            own.0.insert("rate".to_owned(), rate.share(self.devices).to_string().into());
        }
        if let Some(total) = self.connections {
            // What does not divide goes to the first ones.
            let more = u64::from(total % self.devices) > number;
            own.0.insert("connections".to_owned(), i64::from(total / self.devices + u32::from(more)).into());
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(rate: Option<&str>, connections: Option<u32>, devices: u32) -> Result<Shares, String> {
        let several = SeveralArgs {
            total_rate: rate.map(|rate| rate.parse().unwrap()),
            total_connections: connections,
            ..SeveralArgs::default()
        };
        Shares::of(&several, devices).map_err(|failed| failed.error.to_string())
    }

    #[test]
    fn shares_add_up_to_the_whole() {
        let shares = shares(Some("90/s"), Some(8), 3).unwrap();
        let of = |number| shares.given_to(number, &Typed::default()).0;
        let connections: Vec<i64> = (0..3).filter_map(|n| of(n).get("connections")?.as_integer()).collect();
        assert_eq!(connections, [3, 3, 2]);
        let rate = of(2).get("rate").and_then(|rate| rate.as_str()?.parse::<Rate>().ok());
        assert_eq!(rate, "30/s".parse().ok());
    }

    #[test]
    fn fewer_connections_than_devices_are_refused_and_nothing_given_changes_nothing() {
        assert!(shares(None, Some(2), 3).unwrap_err().contains("3 devices"));
        assert!(shares(None, None, 3).unwrap().given_to(0, &Typed::default()).0.is_empty());
    }
}
