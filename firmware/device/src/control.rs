//! The commands of `POST /control`.
//!
//! As a JSON object in the body, or as a query: `outage_ms` (1 to 600,000), `persona` (with parameters),
//! `power_save` (`NONE`, `MIN_MODEM`, `MAX_MODEM`), `mqtt_keep_alive` (seconds), `mqtt_interval_ms` (1 to 600,000) and
//! `reboot` (`true`). Unknown keys are refused.

use core::fmt;
use core::time::Duration;

use serde::Deserialize;

use crate::persona::{Persona, PersonaError};
use crate::telemetry::PowerSave;

/// Longest outage that can be asked for.
pub const MAX_OUTAGE: Duration = Duration::from_secs(600);

/// What a control request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// Leave the network for so long.
    pub outage: Option<Duration>,
    /// Behave like this from now on.
    pub persona: Option<Persona>,
    /// Switch power save.
    pub power_save: Option<PowerSave>,
    /// The keep alive of the MQTT client, seconds: it ends its connection and says it in the next one.
    pub keep_alive: Option<u16>,
    /// The time between messages of the MQTT client.
    pub interval: Option<Duration>,
    /// Restart.
    pub reboot: bool,
}

/// Why a control request is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ControlError {
    /// Not a JSON object with the known keys, or not a query.
    Syntax,
    /// It asks for nothing.
    Empty,
    /// The outage is 0 or above [`MAX_OUTAGE`].
    Outage,
    /// No such persona.
    Persona(PersonaError),
    /// No such power-save mode.
    PowerSave,
    /// A keep alive above 65,535 seconds.
    KeepAlive,
    /// An interval that is 0 or above [`MAX_OUTAGE`].
    Interval,
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("allowed keys: outage_ms, persona, power_save, mqtt_keep_alive, mqtt_interval_ms, reboot"),
            Self::Empty => {
                f.write_str("nothing asked for; keys: outage_ms, persona, power_save, mqtt_keep_alive, mqtt_interval_ms, reboot")
            },
            Self::Outage => write!(f, "outage_ms is from 1 to {}", MAX_OUTAGE.as_millis()),
            Self::Persona(error) => error.fmt(f),
            Self::PowerSave => f.write_str("power_save is NONE, MIN_MODEM or MAX_MODEM"),
            Self::KeepAlive => f.write_str("mqtt_keep_alive is from 0 to 65535"),
            Self::Interval => write!(f, "mqtt_interval_ms is from 1 to {}", MAX_OUTAGE.as_millis()),
        }
    }
}

impl core::error::Error for ControlError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(default)]
    outage_ms: Option<u32>,
    #[serde(default, borrow)]
    persona: Option<&'a str>,
    #[serde(default, borrow)]
    power_save: Option<&'a str>,
    #[serde(default)]
    mqtt_keep_alive: Option<u32>,
    #[serde(default)]
    mqtt_interval_ms: Option<u32>,
    #[serde(default)]
    reboot: Option<bool>,
}

impl Command {
    /// Reads a body and a query, either of which may be empty; the body wins where both name a key.
    ///
    /// # Errors
    /// Says which of the rules above is broken.
    pub fn read(body: &[u8], query: &str) -> Result<Self, ControlError> {
        let mut command = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(ControlError::Syntax)?;
            match key {
                "outage_ms" => command.set_outage(value.parse().map_err(|_| ControlError::Outage)?)?,
                "persona" => command.set_persona(value)?,
                "power_save" => command.set_power_save(value)?,
                "mqtt_keep_alive" => {
                    command.set_keep_alive(value.parse().map_err(|_| ControlError::KeepAlive)?)?;
                }
                "mqtt_interval_ms" => {
                    command.set_interval(value.parse().map_err(|_| ControlError::Interval)?)?;
                }
                "reboot" => command.set_reboot(value.parse().map_err(|_| ControlError::Syntax)?),
                _ => return Err(ControlError::Syntax),
            }
        }
        if !body.trim_ascii().is_empty() {
            command.read_json(body)?;
        }
        if command == Self::default() {
            return Err(ControlError::Empty);
        }
        Ok(command)
    }

    fn read_json(&mut self, bytes: &[u8]) -> Result<(), ControlError> {
        let (body, used) =
            serde_json_core::from_slice::<Body<'_>>(bytes).map_err(|_| ControlError::Syntax)?;
        if !bytes[used.min(bytes.len())..].trim_ascii().is_empty() {
            return Err(ControlError::Syntax);
        }
        if let Some(millis) = body.outage_ms {
            self.set_outage(millis)?;
        }
        if let Some(persona) = body.persona {
            self.set_persona(persona)?;
        }
        if let Some(mode) = body.power_save {
            self.set_power_save(mode)?;
        }
        if let Some(seconds) = body.mqtt_keep_alive {
            self.set_keep_alive(seconds)?;
        }
        if let Some(millis) = body.mqtt_interval_ms {
            self.set_interval(millis)?;
        }
        if let Some(reboot) = body.reboot {
            self.set_reboot(reboot);
        }
        Ok(())
    }

    fn set_outage(&mut self, millis: u32) -> Result<(), ControlError> {
        let outage = Duration::from_millis(millis.into());
        if outage.is_zero() || outage > MAX_OUTAGE {
            return Err(ControlError::Outage);
        }
        self.outage = Some(outage);
        Ok(())
    }

    fn set_keep_alive(&mut self, seconds: u32) -> Result<(), ControlError> {
        self.keep_alive = Some(u16::try_from(seconds).map_err(|_| ControlError::KeepAlive)?);
        Ok(())
    }

    fn set_interval(&mut self, millis: u32) -> Result<(), ControlError> {
        let interval = Duration::from_millis(millis.into());
        if interval.is_zero() || interval > MAX_OUTAGE {
            return Err(ControlError::Interval);
        }
        self.interval = Some(interval);
        Ok(())
    }

    fn set_persona(&mut self, text: &str) -> Result<(), ControlError> {
        self.persona = Some(text.parse().map_err(ControlError::Persona)?);
        Ok(())
    }

    fn set_power_save(&mut self, text: &str) -> Result<(), ControlError> {
        self.power_save = Some(PowerSave::from_name(text).ok_or(ControlError::PowerSave)?);
        Ok(())
    }

    fn set_reboot(&mut self, asked: bool) {
        self.reboot = asked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persona::Kind;

    #[test]
    fn json_and_query_say_the_same() {
        let json = Command::read(br#"{"outage_ms": 1500, "persona": "deaf"}"#, "").unwrap();
        let query = Command::read(b"", "outage_ms=1500&persona=deaf").unwrap();
        assert_eq!(json, query);
        assert_eq!(json.outage, Some(Duration::from_millis(1500)));
        assert_eq!(json.persona, Some(Persona::new(Kind::Deaf)));
    }

    #[test]
    fn unknown_keys_values_and_empty_commands_are_refused() {
        assert_eq!(Command::read(br#"{"outage": 1}"#, ""), Err(ControlError::Syntax));
        assert_eq!(Command::read(br#"{"outage_ms": 1} x"#, ""), Err(ControlError::Syntax));
        assert_eq!(Command::read(b"", "outage_ms=600001"), Err(ControlError::Outage));
        assert_eq!(Command::read(br#"{"power_save": "SOME"}"#, ""), Err(ControlError::PowerSave));
        assert_eq!(Command::read(br#"{"mqtt_keep_alive": 65536}"#, ""), Err(ControlError::KeepAlive));
        assert_eq!(Command::read(b"", "mqtt_interval_ms=0"), Err(ControlError::Interval));
        assert_eq!(Command::read(b"{}", ""), Err(ControlError::Empty));
        assert_eq!(Command::read(b"", "reboot=false"), Err(ControlError::Empty));
    }
}
